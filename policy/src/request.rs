//! What is asked for: the call as a harness makes it, and the request that is decided, recorded and approved.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Effects};
use tacho_schemas::{Hash, Id};

use crate::classify::{Classified, tools};
use crate::json::Json;

/// The domain of request digests (domains.md).
pub const DOMAIN: &str = "tacho/v1/request";

/// A tool call, as a harness asks for it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Whose call it is.
    pub agent: Id,
    /// Where it runs: an absolute path.
    pub cwd: String,
    /// The program that runs the agent, e.g. `claude-code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<Id>,
    /// What goes into the tool.
    pub input: Json,
    /// The tool, as the harness names it.
    pub tool: Id,
    /// The folder that the agent works in: an absolute path.
    pub workspace: String,
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It ceases to exist.
    Delete,
    /// It is run as a program.
    Execute,
    /// It is read.
    Read,
    /// It is made or changed.
    Write,
}

impl Access {
    /// Whether the file is another one afterwards.
    pub fn changes(self) -> bool {
        matches!(self, Self::Delete | Self::Write)
    }
}

/// One file, or one pattern of files, that a call touches. Fields in the order of the alphabet: this is written as it stands.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What is done to it.
    pub access: Access,
    /// SHA-256 of its bytes afterwards, where the call tells them; of no bytes where it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Hash>,
    /// SHA-256 of its bytes now, where they could be read; of no bytes where it does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Hash>,
    /// The parts that it is of.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub parts: BTreeSet<Part>,
    /// As the call names it.
    pub path: String,
    /// Below the workspace: relative to it, in the one spelling. Symbolic links are followed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative: Option<String>,
    /// The absolute path it leads to, symbolic links followed; absent where nobody could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
}

impl Target {
    /// Whether path, bytes before and bytes after are all known: then a human can approve exactly this change.
    pub fn is_exact(&self) -> bool {
        self.resolved.is_some() && self.before.is_some() && self.after.is_some()
    }

    /// How policies and people name it.
    pub fn name(&self) -> &str {
        self.relative
            .as_deref()
            .or(self.resolved.as_deref())
            .unwrap_or(&self.path)
    }
}

/// What is done, as policies name it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Act {
    /// A human approves a hold.
    Approve,
    /// A call that changes settings.
    Configure,
    /// A call that hands work to another agent.
    Delegate,
    /// A human rejects a hold.
    Deny,
    /// A human changes the policy in force.
    EditPolicy,
    /// A human enrols or removes a human's key.
    Enrol,
    /// A call that runs a program.
    Execute,
    /// Somebody engages the off switch.
    Kill,
    /// A call that changes a part, whatever its class.
    Mutate,
    /// A call that talks to other machines.
    Network,
    /// A call that looks.
    Read,
    /// A human releases the off switch.
    Release,
    /// A call that arranges for later.
    Schedule,
    /// A call that changes files.
    Write,
}

impl Act {
    /// Every deed.
    pub const ALL: [Self; 14] = [
        Self::Approve,
        Self::Configure,
        Self::Delegate,
        Self::Deny,
        Self::EditPolicy,
        Self::Enrol,
        Self::Execute,
        Self::Kill,
        Self::Mutate,
        Self::Network,
        Self::Read,
        Self::Release,
        Self::Schedule,
        Self::Write,
    ];

    /// The name in policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Configure => "configure",
            Self::Delegate => "delegate",
            Self::Deny => "deny",
            Self::EditPolicy => "editPolicy",
            Self::Enrol => "enrol",
            Self::Execute => "execute",
            Self::Kill => "kill",
            Self::Mutate => "mutate",
            Self::Network => "network",
            Self::Read => "read",
            Self::Release => "release",
            Self::Schedule => "schedule",
            Self::Write => "write",
        }
    }

    /// Finds the deed of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.name() == name)
    }

    /// Whether it is a tool call, which the off switch stops and a lease must cover.
    pub fn is_call(self) -> bool {
        !matches!(
            self,
            Self::Approve
                | Self::Deny
                | Self::EditPolicy
                | Self::Enrol
                | Self::Kill
                | Self::Release
        )
    }
}

impl From<Class> for Act {
    fn from(class: Class) -> Self {
        match class {
            Class::Read => Self::Read,
            Class::Write => Self::Write,
            Class::Execute => Self::Execute,
            Class::Network => Self::Network,
            Class::Delegate => Self::Delegate,
            Class::Schedule => Self::Schedule,
            Class::Configure => Self::Configure,
        }
    }
}

/// Who acts.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// A program that decides by a model.
    Agent(Id),
    /// A person.
    Human(Id),
    /// A program that only ever stops others.
    Watchdog(Id),
}

/// What is decided: the canonical request. Approvals bind its bytes, and replay decides them again.
///
/// It is the same for a retry: no session, no call id, no moment, nothing of the input that does nothing (a description, a
/// timeout). It holds no text of the input but paths: what goes into the tool is bound by a hash of its effect fields, and
/// stands in readable form in the record's content `input`. Fields in the order of the alphabet: this is written as it stands.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is done.
    pub act: Act,
    /// What the call does (calls only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Where it runs (calls only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// How well the effects are known (calls only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<Effects>,
    /// The program that runs the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<Id>,
    /// SHA-256 of the canonical JSON of the input's effect fields (calls only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_sha256: Option<Hash>,
    /// Whether something it changes lies outside the workspace.
    pub outside: bool,
    /// The parts that it changes or may change.
    pub parts: BTreeSet<Part>,
    /// Who acts.
    pub principal: Principal,
    /// The parts that it reads.
    pub reads: BTreeSet<Part>,
    /// The tool; for what people do, the id of the hold, switch, policy or roster.
    pub resource: String,
    /// The files it touches.
    pub targets: BTreeSet<Target>,
    /// The folder that the agent works in (calls only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

impl Request {
    /// The request of a call.
    pub fn of(call: &Call, classified: &Classified) -> Self {
        let effect = tools::effect_fields(call.tool.as_str(), &call.input);
        Self {
            act: if classified.parts.is_empty() {
                classified.class.into()
            } else {
                Act::Mutate
            },
            class: Some(classified.class),
            cwd: Some(call.cwd.clone()),
            effects: Some(classified.effects),
            harness: call.harness.clone(),
            input_sha256: Some(Hash::sha256(effect.to_text().as_bytes())),
            outside: classified.outside,
            parts: classified.parts.clone(),
            principal: Principal::Agent(call.agent.clone()),
            reads: classified.reads.clone(),
            resource: call.tool.as_str().to_owned(),
            targets: classified.targets.iter().cloned().collect(),
            workspace: Some(call.workspace.clone()),
        }
    }

    /// The request of a deed that is no tool call. `resource` is the id of the hold, switch, policy or roster.
    pub fn deed(principal: Principal, act: Act, resource: impl Into<String>) -> Self {
        Self {
            act,
            class: None,
            cwd: None,
            effects: None,
            harness: None,
            input_sha256: None,
            outside: false,
            parts: BTreeSet::new(),
            principal,
            reads: BTreeSet::new(),
            resource: resource.into(),
            targets: BTreeSet::new(),
            workspace: None,
        }
    }

    /// Whether each change of a part is known to the byte. Where a call changes parts but names no file, its own text is all there
    /// is, and the hash of the input binds it.
    pub fn is_exact(&self) -> bool {
        let mut changed = self
            .targets
            .iter()
            .filter(|t| t.access.changes() && !t.parts.is_empty());
        changed.all(Target::is_exact) && self.effects != Some(Effects::Unknown)
    }

    /// The names of the files that it changes, or of those that it does not.
    pub(crate) fn files(&self, changed: bool) -> impl Iterator<Item = &str> {
        let wanted = self.targets.iter();
        let wanted = wanted.filter(move |t| t.access.changes() == changed);
        wanted.map(Target::name)
    }

    /// The bytes that approvals bind and content `request` keeps: JSON, fields in the order of the alphabet, no blanks, no numbers.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts and lists alone: there is nothing that could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Self::to_bytes`] wrote. Any other spelling is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let read: Self = serde_json::from_slice(bytes).map_err(|e| Error(e.to_string()))?;
        if read.to_bytes() == bytes {
            Ok(read)
        } else {
            Err(Error("it is spelled in another way".to_owned()))
        }
    }

    /// What an approval binds: HMAC-SHA256 under the hold's salt (domains.md, `tacho/v1/request`).
    pub fn digest(&self, salt: &[u8; 32]) -> Hash {
        let bytes = self.to_bytes();
        // RFC 2104 fills keys shorter than a block with zeros.
        let mut key = [0; 64];
        key.split_at_mut(32).0.copy_from_slice(salt);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        mac.update(DOMAIN.as_bytes());
        mac.update(&[0]);
        mac.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(&bytes);
        Hash(mac.finalize().into_bytes().into())
    }
}

/// Why bytes are no request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a request: {0}")]
pub struct Error(String);
