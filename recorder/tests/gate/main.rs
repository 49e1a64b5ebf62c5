//! The gate: what is asked, decided, held, approved, executed, and what an attacker tries at each of these.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test may fail loudly"
)]

mod acts;
mod attacks;
mod description;
mod doors;
mod life;
mod support;
