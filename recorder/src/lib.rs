//! The disk and the keys beneath a log.
//!
//! Silent: nothing here prints, reads the environment or ends the process; paths, the clock and callbacks come in as
//! arguments.
//!
//! Read the modules from the ground up: [`error`], [`clock`], [`files`], [`dir`], [`keys`] and [`pins`], then [`wal`],
//! [`pack`] and [`store`].

pub mod acts;
pub mod audit;
pub mod checkpoints;
pub mod clock;
pub mod dir;
pub mod draft;
pub mod enrol;
pub mod error;
pub mod export;
pub mod files;
pub mod filter;
pub mod gate;
pub mod hook;
pub mod import;
pub mod index;
pub mod keys;
pub mod links;
pub mod log;
pub mod pack;
pub mod pins;
pub mod read;
pub mod redact;
pub mod run;
mod salt;
pub mod store;
pub mod switch;
pub mod wal;
pub mod why;

pub use clock::{Clock, SystemClock};
pub use dir::LogDir;
pub use error::{Error, ErrorKind, Result};
pub use keys::KeyRing;
pub use log::Log;
pub use redact::Redactor;
pub use store::{Reader, Store};
