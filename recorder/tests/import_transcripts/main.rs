//! Transcripts become records: what is in the file is in the log or in the loss report.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

mod atif;
mod bad;
mod claude_code;
mod codex;
mod harness;
