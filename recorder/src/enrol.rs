//! Who may answer for whom: the keys of people, as the log's `key` records say.
//!
//! The log is the only place where somebody is enrolled. `allowed_signers` is written from it, so that `ssh-keygen -Y verify` can
//! check any act without us, and is never read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tacho_schemas::act::NAMESPACE;
use tacho_schemas::body::Body;
use tacho_schemas::body::log::{Assurance, Key, KeyOp, KeyRole};
use tacho_schemas::record::{Kind, Record, Via};
use tacho_schemas::scalar::{Blob, Set};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::sshsig::HumanKey;
use tacho_schemas::{Id, Seq};

use crate::error::{Error, ErrorKind, Result};
use crate::read::View;

/// A key that somebody signs with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signer {
    /// The key.
    pub key: HumanKey,
    /// A human's or a watchdog's.
    pub role: KeyRole,
    /// Whose it is.
    pub holder: Id,
    /// In which groups the holder counts.
    pub groups: Vec<Id>,
    /// What stands behind a signature by it.
    pub assurance: Assurance,
    /// The record that enrolled it.
    pub since: Seq,
    /// The record that ended it.
    pub until: Option<Seq>,
    /// Whether the identity key vouches for it; else approvals do.
    pub anchored: bool,
}

/// Everybody who is or was enrolled, by key.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Enrolled {
    signers: BTreeMap<Fingerprint, Signer>,
}

impl Enrolled {
    /// Reads it out of a log. A record that is not the one in the tree enrols nobody.
    pub fn read(view: &View<'_>) -> Result<Self> {
        let mut enrolled = Self::default();
        view.of_kind(Kind::Key, |shown| {
            if let (true, Ok(record)) = (shown.in_tree, &shown.meaning) {
                enrolled.take(record);
            }
            Ok::<(), Error>(())
        })?;
        Ok(enrolled)
    }

    /// Takes one record in; records must come in order. Others than `key` records change nothing.
    pub fn take(&mut self, record: &Record) {
        let Body::Key(key) = &record.body else { return };
        if !matches!(record.via, Via::Recorder | Via::Human) {
            return;
        }
        let Ok(parsed) = HumanKey::from_blob(key.public_key.as_slice()) else {
            return;
        };
        let (KeyRole::Human | KeyRole::Watchdog, Some(holder)) = (key.role, &key.holder) else {
            return;
        };
        let fingerprint = parsed.fingerprint();
        match key.op {
            KeyOp::Add | KeyOp::Rotate => {
                let signer = Signer {
                    role: key.role,
                    holder: holder.clone(),
                    groups: key.groups.iter().flatten().cloned().collect(),
                    assurance: key.assurance.unwrap_or(Assurance::None),
                    since: record.seq,
                    until: None,
                    anchored: key.signature.is_some(),
                    key: parsed,
                };
                self.signers.insert(fingerprint, signer);
            }
            KeyOp::Retire | KeyOp::Break => {
                if let Some(signer) = self.signers.get_mut(&fingerprint) {
                    signer.until.get_or_insert(record.seq);
                }
            }
        }
    }

    /// Finds who signs with a key now; a retired key is nobody's.
    pub fn signer(&self, key: &Fingerprint) -> Option<&Signer> {
        self.signers.get(key).filter(|s| s.until.is_none())
    }

    /// Finds who signed with a key when the given record was written.
    pub fn signer_at(&self, key: &Fingerprint, at: Seq) -> Option<&Signer> {
        let signer = self.signers.get(key)?;
        (signer.since < at && signer.until.is_none_or(|until| at < until)).then_some(signer)
    }

    /// Everybody, retired keys too, in the order of their enrolment.
    pub fn all(&self) -> Vec<&Signer> {
        let mut all: Vec<_> = self.signers.values().collect();
        all.sort_by_key(|signer| signer.since);
        all
    }

    /// The humans whose keys count now.
    pub fn humans(&self) -> impl Iterator<Item = &Signer> {
        let all = self.signers.values();
        all.filter(|s| s.role == KeyRole::Human && s.until.is_none())
    }

    /// The names of the humans enrolled now, each once.
    pub fn holders(&self) -> std::collections::BTreeSet<&Id> {
        self.humans().map(|signer| &signer.holder).collect()
    }

    /// The keys in force as an OpenSSH `allowed_signers` file.
    pub fn allowed_signers(&self) -> String {
        let mut text = String::new();
        for signer in self.all() {
            if signer.until.is_none() {
                let key = signer.key.to_openssh();
                // Writing to a string cannot fail. An id has no spaces, and quotes keep a comma or a pattern in it from meaning one.
                let holder = signer.holder.as_str();
                let _ = writeln!(text, "{holder} namespaces=\"{NAMESPACE}\" {key}");
            }
        }
        text
    }
}

/// What was seen that speaks against the word of whoever enrols a key.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exposure {
    /// The private key lies where the user who enrols can read it: its path.
    pub readable: Option<String>,
    /// It needs no passphrase.
    pub plain: bool,
    /// An ssh-agent that this user reaches holds it.
    pub in_agent: bool,
}

impl Exposure {
    /// In words, if there is anything.
    pub fn why(&self) -> Option<String> {
        match (&self.readable, self.in_agent) {
            (Some(path), _) => Some(format!(
                "the private key `{path}` lies where this user can read it"
            )),
            (None, true) => Some("an ssh-agent that this user reaches holds the key".to_owned()),
            (None, false) => None,
        }
    }
}

/// What stands behind a signature, as far as this can be known: hardware shows its touch itself, the rest is the enroller's word, unless
/// what was seen speaks against it.
pub fn assurance(key: &HumanKey, stated: Option<Assurance>, seen: &Exposure) -> Result<Assurance> {
    let refuse = |why: String| Err(Error::new(ErrorKind::Refused, why));
    match (stated, key.is_hardware()) {
        (None | Some(Assurance::Touch), true) => Ok(Assurance::Touch),
        (Some(Assurance::Touch), false) => refuse(
            "a key in a file needs no touch; only `sk-ssh-ed25519@openssh.com` keys do".to_owned(),
        ),
        (None | Some(Assurance::None), _) => Ok(Assurance::None),
        (Some(stated @ (Assurance::OtherUid | Assurance::OtherHost)), _) => match seen.why() {
            Some(why) => refuse(format!("the key cannot have assurance `{stated}`: {why}")),
            None => Ok(stated),
        },
        (Some(Assurance::Confirm), _) if seen.plain => refuse(format!(
            "the key cannot have assurance `confirm`: {}, without a passphrase",
            seen.why().unwrap_or_default()
        )),
        (Some(Assurance::Confirm), _) => Ok(Assurance::Confirm),
    }
}

/// A `key` record that enrols a human.
pub fn add(key: &HumanKey, holder: Id, groups: Vec<Id>, assurance: Assurance) -> Result<Key> {
    check_holder(&holder)?;
    Ok(Key {
        signature: None,
        epoch: None,
        op: KeyOp::Add,
        role: KeyRole::Human,
        public_key: Blob::new(key.blob().to_vec())?,
        holder: Some(holder),
        groups: match groups.is_empty() {
            true => None,
            false => Some(Set::of(groups)?),
        },
        assurance: Some(assurance),
        consumes: None,
    })
}

/// A `key` record that ends a key.
pub fn retire(signer: &Signer) -> Result<Key> {
    Ok(Key {
        signature: None,
        epoch: None,
        op: KeyOp::Retire,
        role: signer.role,
        public_key: Blob::new(signer.key.blob().to_vec())?,
        holder: Some(signer.holder.clone()),
        groups: None,
        assurance: None,
        consumes: None,
    })
}

/// Refuses what `allowed_signers` would read as a pattern, a list or an option.
fn check_holder(holder: &Id) -> Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.@+".contains(&b);
    match holder.as_str().bytes().all(plain) {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Usage,
            format!("`{holder}` is no good name for an approver"),
        )
        .with_hint("use letters, digits and `-_.@+`; it stays in the log for ever, so take a handle rather than a name")),
    }
}
