//! Which action of an agent is allowed, denied or held, and why.
//!
//! Pure: no disk, clock, network, thread or randomness; what lies outside comes in as an argument. Read the modules in the order
//! of a call's way: [`request`] (what is asked) → [`mod@classify`] (what it would do) → [`facts`] (what the gate knows) →
//! [`policies`] (the rules) → [`decide`] (the verdict) → [`hold`] (who may fill which place). [`mod@explain`], [`replay`] and
//! [`table`] ask the same question in other ways.

pub mod classify;
pub mod decide;
mod entity;
pub mod explain;
pub mod facts;
pub mod hold;
pub mod json;
pub mod policies;
pub mod replay;
pub mod request;
pub mod table;

pub use classify::{Classified, Resolver, classify};
pub use decide::{Decision, Verdict};
pub use facts::{Approver, Facts};
pub use hold::Obligation;
pub use json::Json;
pub use policies::{Policies, Preset};
pub use request::{Access, Act, Call, Principal, Request, Target};
