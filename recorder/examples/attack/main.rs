//! Makes `fixtures/logs/` anew: sound logs, and the same logs attacked, each with the verdict that is due.
//!
//! `cargo run -p tacho-recorder --example attack`. Salts and log keys are random, so each run makes other bytes; numbers and
//! verdicts stay. What is expected is written here by hand: `tests/tamper.rs` holds the audit to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a tool that makes test data may fail loudly"
)]

mod base;
mod cases;
mod forge;

fn main() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    cases::make(&fixtures);
}
