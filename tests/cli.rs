//! The command line as a person or a script meets it: the real binary, in a home of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod cli {
    pub(crate) mod asked;
    pub(crate) mod daemon;
    pub(crate) mod evidence;
    pub(crate) mod export;
    pub(crate) mod gate;
    pub(crate) mod help;
    pub(crate) mod home;
    pub(crate) mod hook;
    pub(crate) mod list;
    pub(crate) mod people;
    pub(crate) mod policy;
    pub(crate) mod readme;
    pub(crate) mod record;
    pub(crate) mod refused;
    pub(crate) mod tiles;
    pub(crate) mod why;
}
