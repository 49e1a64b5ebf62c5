//! The cell: where an agent runs so that it cannot reach what watches it, and so that one signal ends all of it.
//!
//! Read in the order things are made: [`plan`] (what is seen), [`supervise`] (outside), [`warden`] (namespaces and view), [`init`]
//! (the first process inside), [`agent`] (the last step before its program). [`duty`] says what ends it, [`card`] lets `kill` do so
//! without the supervisor, [`level`] says how far this machine goes.
//!
//! Guards of single files in a workspace, and writes that the gate applies from outside, have their place in the warden: it stays
//! alive outside the agent's processes with rights over the cell's mounts. They are not here yet; [`plan::How`] has what is.

pub mod agent;
pub mod card;
pub mod duty;
mod filter;
pub mod init;
mod landlock;
pub mod level;
pub mod plan;
mod relay;
mod seccomp;
pub mod supervise;
pub mod tree;
mod view;
pub mod warden;
mod wire;

pub use card::Card;
pub use duty::{Duty, Ending};
pub use level::{Level, Reach};
pub use plan::{Bind, How, Plan};
pub use supervise::{End, Setup, Stopped, Streams, run};
