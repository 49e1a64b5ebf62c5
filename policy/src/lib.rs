//! Which action of an agent is allowed, denied or held, and why.
//!
//! Pure: no disk, clock, network, thread or randomness; what lies outside comes in as an argument. Read the modules in the order
//! of a call's way: [`request`] (what is asked) → [`classify`] (what it would do) → [`facts`] (what the gate knows) →
//! [`policies`] (the rules) → [`decide`] (the verdict) → [`hold`] (who may fill which place).

pub mod classify;
pub mod decide;
mod entity;
pub mod facts;
pub mod hold;
pub mod json;
pub mod policies;
pub mod request;

pub use classify::{Classified, Resolver, classify};
pub use decide::{Decision, Verdict};
pub use facts::{Approver, Facts};
pub use hold::Obligation;
pub use json::Json;
pub use policies::{Policies, Preset};
pub use request::{Access, Act, Call, Principal, Request, Target};
