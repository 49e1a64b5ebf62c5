//! What the gate knows beside the request. Nothing here comes from the caller.

use serde::{Deserialize, Serialize};

use tacho_schemas::body::work::Confinement;
use tacho_schemas::{Id, Seq};

/// What the gate knows when it decides, stored as content `facts` so that a decision can be repeated exactly.
///
/// The default is what is known of nobody: no lease, no confinement, no approval. It denies.
///
/// ```
/// use tacho_policy::facts::Facts;
/// let facts = Facts { lease_fresh: true, ..Facts::default() };
/// let bytes = facts.to_bytes();
/// assert_eq!(Facts::from_bytes(&bytes).unwrap(), facts);
/// ```
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The humans who approved this very request: verified, unexpired, not used before, none twice.
    pub approvals: Vec<Approver>,
    /// What confines the caller: taken from its socket.
    pub confinement: Confinement,
    /// Denials in a row.
    pub consecutive_denials: u64,
    /// Changes of parts since a human last approved one.
    pub drift: u64,
    /// What is known of the generation in force by measuring it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// The generation in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Seq>,
    /// The groups that the one who acts is in, if that is a human.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Id>,
    /// Whether the off switch covers the caller.
    pub killed: bool,
    /// Whether every lease that covers the caller is fresh; true where none is asked for.
    pub lease_fresh: bool,
    /// Changes of parts in the last hour.
    pub mutations_last_hour: u64,
    /// Whether one who acts undoes what they did themselves: releases the kill that they ordered.
    pub own: bool,
    /// Whether the agent says why.
    pub rationale: bool,
    /// Whether one human alone is enrolled.
    pub single_person: bool,
}

/// What is known of a generation by measuring it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Nothing that it was measured by was changed by the agent since a human last approved.
    pub clean: bool,
    /// It ran to its end.
    pub passed: bool,
}

/// A human who approved, and what the gate knows of it.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Approver {
    /// The groups that the human was in when the approval was recorded.
    pub groups: Vec<Id>,
    /// Who: two keys of one human are one human.
    pub human: Id,
    /// Whether this human ordered the kill that is to be released.
    pub initiator: bool,
    /// Whether this human started the agent.
    pub launcher: bool,
    /// The approval's record.
    pub seq: Seq,
    /// Whether the agent's user could have made the signature (`assurance: none`).
    pub weak: bool,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            approvals: Vec::new(),
            confinement: Confinement::HookOnly,
            consecutive_denials: 0,
            drift: 0,
            evaluation: None,
            generation: None,
            groups: Vec::new(),
            killed: false,
            lease_fresh: false,
            mutations_last_hour: 0,
            own: false,
            rationale: false,
            single_person: false,
        }
    }
}

impl Facts {
    /// The bytes that are stored: JSON, fields in the order of the alphabet, no blanks.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts, numbers and lists alone: there is nothing that could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Self::to_bytes`] wrote. An unknown or a missing fact is an error: a decision on other facts is another one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
