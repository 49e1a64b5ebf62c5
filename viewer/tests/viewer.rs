//! The viewer as its user sees it: real logs, real keys, whole screens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    unreachable_pub,
    missing_docs,
    reason = "a test may fail loudly"
)]

#[path = "../../recorder/tests/support/unpack.rs"]
mod unpack;
mod viewer {
    pub(crate) mod exam;
    pub(crate) mod following;
    pub(crate) mod gated;
    pub(crate) mod random;
    pub(crate) mod screens;
    pub(crate) mod support;
    pub(crate) mod verifying;
}
