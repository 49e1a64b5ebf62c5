//! The Tachograph record format, and the code that is exactly the format.
//!
//! Pure: no disk, clock, network, database, thread or randomness. The documents beside this crate (`record.cddl`,
//! `domains.md`, `note.md`) say the same in words that need no Rust.
//!
//! Read the modules in the order a record travels: `record` → [`canon`] → `chain` → [`tree`] → [`tile`] → [`note`] →
//! [`checkpoint`] → [`proof`] → `verify`.

pub mod canon;

pub mod tree;

pub mod tile;

pub mod note;

pub mod checkpoint;

pub mod proof;

pub mod error;
pub mod hash;

pub use error::{Error, Result};
pub use hash::{Hash, LogId, Origin};
