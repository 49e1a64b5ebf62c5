//! The Tachograph record format, and the code that is exactly the format.
//!
//! Pure: no disk, clock, network, database, thread or randomness. The documents beside this crate (`record.cddl`,
//! `domains.md`, `note.md`) say the same in words that need no Rust.
//!
//! Read the modules in the order a record travels: [`event`] → [`record`] → [`canon`] → [`chain`] → [`tree`] →
//! [`checkpoint`] → [`proof`] → [`verify`]. A [`bundle`] is a log with holes, on the same way.

pub mod act;
pub mod body;
pub mod bundle;
pub mod canon;
pub mod chain;
pub mod checkpoint;
pub mod content;
pub mod error;
pub mod event;
pub mod hash;
pub mod links;
mod map;
pub mod note;
pub mod proof;
pub mod receipt;
pub mod record;
pub mod safe;
pub mod scalar;
pub mod sign;
pub mod sshsig;
pub mod tile;
pub mod tree;
pub mod verify;

pub use error::{Error, Result};
pub use hash::{Hash, LogId, Origin};
pub use map::Keys;
pub use record::{Kind, Record};
pub use scalar::{Fixed, Id, Seq, Time};
