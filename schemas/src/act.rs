//! Human acts: what a person signs, as text that the person can read.
//!
//! ```text
//! tacho/v1/act
//! origin: tacho.invalid/9f86d081884c7d659a2feaa0c55ad015
//! log: 5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9
//! verb: approve
//! target: 41
//! digest: d0d7360ab79f58ab1e1e3fe64ad77e2ea0bc07e36b5f46ed2223edd9298df9e9
//! policy: 19c829bf3fa7e188c39deda800c79a97e08c8af720e5008db9ddfd437e791c96
//! not-before: 2026-11-24T09:50:00Z
//! not-after: 2026-11-24T10:50:00Z
//! nonce: 00112233445566778899aabbccddeeff
//! key: SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU
//! ```
//!
//! One spelling: these lines in this order, each with a line feed, `target`, `digest`, `policy` and `scope` only where the verb
//! has one. It names no group: in which groups the signer counts, the log says. It is signed by `ssh-keygen -Y sign` in the
//! namespace [`NAMESPACE`], so that `ssh-keygen -Y verify` can check it without us.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::hash::{Hash, LogId, Origin};
use crate::scalar::{Seq, Time};
use crate::sign::Fingerprint;

/// The first line of a statement, and the SSHSIG namespace of its signature.
pub const NAMESPACE: &str = "tacho/v1/act";

/// Longest statement in bytes, as in a record.
pub const MAX_STATEMENT: usize = 4096;

/// What somebody does by signing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Verb {
    /// Says yes to a hold, or to the release of a kill.
    Approve,
    /// Erases content.
    Erase,
    /// Engages the off switch.
    Kill,
    /// Gives a permission to go on until a moment.
    Lease,
    /// Notes something about records.
    Note,
    /// Says no to a hold.
    Reject,
}

impl Verb {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Approve, "approve"),
        (Self::Erase, "erase"),
        (Self::Kill, "kill"),
        (Self::Lease, "lease"),
        (Self::Note, "note"),
        (Self::Reject, "reject"),
    ];

    /// The verb as it stands in a statement.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(verb, _)| *verb == self);
        found.map_or("", |(_, name)| *name)
    }

    fn from_name(text: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(verb, _)| *verb)
    }
}

/// What a person signs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statement {
    /// The log's name.
    pub origin: Origin,
    /// The log.
    pub log_id: LogId,
    /// What is done.
    pub verb: Verb,
    /// To which record: the hold, the kill, the noted one.
    pub target: Option<Seq>,
    /// What is bound: a hold's request digest, a kill's leaf hash, the digest of a note.
    pub digest: Option<Hash>,
    /// The policy in force.
    pub policy: Option<Hash>,
    /// How far a kill or lease reaches: `all`, `agent:ID`, `session:SEQ`, `lineage:SEQ`, `part:NAME`.
    pub scope: Option<String>,
    /// When it begins to count.
    pub not_before: Time,
    /// When it ceases to count.
    pub not_after: Time,
    /// Random: no two acts are the same.
    pub nonce: [u8; 16],
    /// The key that signs.
    pub key: Fingerprint,
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{NAMESPACE}")?;
        writeln!(f, "origin: {}", self.origin)?;
        writeln!(f, "log: {}", self.log_id)?;
        writeln!(f, "verb: {}", self.verb.name())?;
        if let Some(target) = self.target {
            writeln!(f, "target: {target}")?;
        }
        if let Some(digest) = self.digest {
            writeln!(f, "digest: {digest}")?;
        }
        if let Some(policy) = self.policy {
            writeln!(f, "policy: {policy}")?;
        }
        if let Some(scope) = &self.scope {
            writeln!(f, "scope: {scope}")?;
        }
        writeln!(f, "not-before: {}", self.not_before)?;
        writeln!(f, "not-after: {}", self.not_after)?;
        writeln!(f, "nonce: {}", hex::encode(self.nonce))?;
        writeln!(f, "key: {}", self.key)
    }
}

impl FromStr for Statement {
    type Err = Error;

    /// Reads a statement; any other spelling of it is refused.
    fn from_str(text: &str) -> Result<Self> {
        if text.len() > MAX_STATEMENT {
            return Err(bad("is too long"));
        }
        let mut lines = Lines(text.split('\n').peekable());
        if lines.0.next() != Some(NAMESPACE) {
            return Err(bad("does not begin with `tacho/v1/act`"));
        }
        let mut nonce = [0; 16];
        let statement = Self {
            origin: Origin::new(lines.must("origin")?)?,
            log_id: LogId(Hash::from_hex(lines.must("log")?)?),
            verb: Verb::from_name(lines.must("verb")?).ok_or_else(|| bad("has no known verb"))?,
            target: match lines.may("target") {
                Some(text) => Some(Seq(text.parse().map_err(|_| bad("has no good target"))?)),
                None => None,
            },
            digest: lines.may("digest").map(Hash::from_hex).transpose()?,
            policy: lines.may("policy").map(Hash::from_hex).transpose()?,
            scope: lines.may("scope").map(str::to_owned),
            not_before: Time::parse(lines.must("not-before")?)?,
            not_after: Time::parse(lines.must("not-after")?)?,
            nonce: {
                let digits = lines.must("nonce")?;
                hex::decode_to_slice(digits, &mut nonce).map_err(|_| bad("has no good nonce"))?;
                nonce
            },
            key: lines.must("key")?.parse()?,
        };
        let printable = |b: u8| b.is_ascii_graphic();
        if !statement.scope.iter().all(|s| s.bytes().all(printable)) {
            return Err(bad("has a scope that is no name"));
        }
        let mut again = String::with_capacity(text.len());
        write!(again, "{statement}").map_err(|_| bad("cannot be printed"))?;
        if again != text {
            return Err(bad("is spelled otherwise than it must be"));
        }
        Ok(statement)
    }
}

struct Lines<'a>(std::iter::Peekable<std::str::Split<'a, char>>);

impl<'a> Lines<'a> {
    fn may(&mut self, name: &str) -> Option<&'a str> {
        let value = self.0.peek()?.strip_prefix(name)?.strip_prefix(": ")?;
        self.0.next();
        Some(value)
    }

    fn must(&mut self, name: &'static str) -> Result<&'a str> {
        self.may(name)
            .ok_or_else(|| Error::Meaning(format!("the statement of an act has no `{name}`")))
    }
}

fn bad(why: &str) -> Error {
    Error::Meaning(format!("the statement of an act {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Statement {
        Statement {
            origin: Origin::new("tacho.invalid/9f86d081884c7d659a2feaa0c55ad015").unwrap(),
            log_id: LogId(Hash([1; 32])),
            verb: Verb::Approve,
            target: Some(Seq(41)),
            digest: Some(Hash([2; 32])),
            policy: Some(Hash([3; 32])),
            scope: None,
            not_before: Time(1_795_500_000_000_000_000),
            not_after: Time(1_795_503_600_000_000_001),
            nonce: [7; 16],
            key: Fingerprint(Hash([4; 32])),
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let mut statement = sample();
        assert_eq!(
            statement.to_string().parse::<Statement>().unwrap(),
            statement
        );
        for (verb, _) in Verb::ALL {
            statement.verb = verb;
            statement.target = None;
            statement.scope = Some("agent:claude-code".to_owned());
            assert_eq!(
                statement.to_string().parse::<Statement>().unwrap(),
                statement
            );
        }
    }

    #[test]
    fn another_spelling_is_no_statement() {
        let good = sample().to_string();
        for bad in [
            good.replace("target: 41", "target: 041"),
            good.replace("target: 41", "target:  41"),
            good.replace("target: 41\n", "target: 41\ntarget: 41\n"),
            good.replace("verb: approve", "verb: Approve"),
            good.replace(NAMESPACE, "other"),
            good.replace("digest: 0202", "digest: 02 02"),
            good.replace("not-before: 2026", "not-before: +002026"),
            good.replace('\n', "\r\n"),
            good.trim_end().to_owned(),
            format!("{good}\n"),
            format!("{good}scope: all\n"),
            good.replace("policy: ", "policy: 0x"),
            good.replace("nonce: 0707", "nonce: 07"),
            String::new(),
            "x".repeat(MAX_STATEMENT + 1),
        ] {
            assert!(bad.parse::<Statement>().is_err(), "{bad}");
        }
    }
}
