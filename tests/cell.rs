//! The cell and the off switch from outside: attacks from inside a cell, kills, levels. Run as an ordinary user, also by root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

#[path = "cell/attacks.rs"]
mod attacks;
#[path = "cell/broken.rs"]
mod broken;
#[path = "cell/kills.rs"]
mod kills;
#[path = "cell/screen.rs"]
mod screen;
#[path = "cell/user.rs"]
mod user;
