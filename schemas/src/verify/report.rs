//! What a verification found, each question answered apart.

use serde::Serialize;

use crate::hash::{Hash, LogId, Origin};
use crate::map::cbor_enum;
use crate::scalar::{Seq, Time};
use crate::sign::Fingerprint;

cbor_enum! {
    /// The rule that a violation breaks. Names are stable: fixtures and scripts use them.
    pub enum Breach {
        /// The bytes of a record are not canonical, or not a record.
        1 "canon" => Canon,
        /// A record bears another number than its place.
        2 "sequence" => Sequence,
        /// `prev` is not the chain hash of the record before.
        3 "chain" => Chain,
        /// The first record is not a valid genesis, or a later one is one.
        4 "genesis" => Genesis,
        /// A seal does not fit its epoch.
        5 "seal" => Seal,
        /// A signature does not verify, or is missing.
        6 "signature" => Signature,
        /// A key record is out of place.
        7 "key" => Key,
        /// A tile differs from the tree, or is missing.
        8 "tile" => Tile,
        /// A checkpoint is malformed, missing, or contradicts the log.
        9 "checkpoint" => Checkpoint,
        /// The last commit's statement contradicts the log.
        10 "commit" => Commit,
        /// The log is shorter than something it signed.
        11 "truncated" => Truncated,
        /// The log and a mark from outside tell two histories.
        12 "forked" => Forked,
        /// The vault holds something else than was committed to.
        13 "content" => Content,
        /// The vault lacks something, and no valid erasure says why.
        14 "hole" => Hole,
        /// The vault holds a row that belongs to no record.
        15 "surplus" => Surplus,
        /// An artefact is missing or differs from its descriptor.
        16 "artefact" => Artefact,
        /// The identity key is not the one that is trusted.
        17 "identity" => Identity,
        /// The store itself is damaged or altered.
        18 "store" => Store,
        /// There is nothing to verify.
        19 "empty" => Empty,
        /// A bundle is malformed, or says of itself what is not so.
        20 "bundle" => Bundle,
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Violation {
    /// The rule that is broken.
    pub breach: Breach,
    /// The record it shows at, where it shows at one.
    pub seq: Option<Seq>,
    /// What is wrong, in a sentence without a full stop.
    pub what: String,
}

/// How many violations a report spells out, besides the first of each sort; the others are counted.
pub const SPELT_OUT: usize = 20;

/// Integrity: is each record, and the order of them, as it was written?
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Integrity {
    /// The first violations.
    pub violations: Vec<Violation>,
    /// How many there are in all.
    pub count: u64,
    /// The first record that may be bad: the one that shows, or, where only a signature does not fit, the first that no earlier
    /// signature vouches for.
    pub first_bad: Option<Seq>,
    /// The records before this number are proven by a seal, checkpoint or commit in spite of the violations; none after the
    /// first bad one.
    pub proven: u64,
    /// Seals checked.
    pub seals: u64,
    /// Checkpoints checked.
    pub checkpoints: u64,
    /// Full tiles compared.
    pub tiles: u64,
}

/// Authenticity: whose log is it?
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Authenticity {
    /// The identity key is one that the caller trusts.
    Anchored {
        /// The key's fingerprint.
        #[serde(serialize_with = "as_text")]
        identity: Fingerprint,
        /// Where the trust comes from.
        by: Anchor,
    },
    /// The log is not the trusted one, or does not show whose it is.
    Failed,
    /// The signatures fit each other, but nobody has said that this identity key is the right one.
    SelfConsistent {
        /// The key's fingerprint.
        #[serde(serialize_with = "as_text")]
        identity: Fingerprint,
    },
}

fn as_text<S: serde::Serializer>(value: &Fingerprint, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

/// Where trust in an identity key comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// The caller named the key.
    Named,
    /// The key was pinned when the log was made or first trusted.
    Pinned,
}

/// Completeness: is the end the end?
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// A mark from outside the directory vouches for the records before this number; more may follow.
    CompleteUpTo {
        /// The mark's size.
        size: u64,
    },
    /// Only a part of the log is shown, so whatever the marks say, nothing is complete.
    Excerpt {
        /// How many records are shown.
        shown: u64,
        /// The largest size that a mark from outside vouches for.
        marked: Option<u64>,
    },
    /// Nothing from outside says where the log ends: what was cut off the end would not show.
    OpenTail,
}

/// Time: do the clocks agree?
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Clocks {
    /// The first record's time.
    pub first: Option<Time>,
    /// The last record's time.
    pub last: Option<Time>,
    /// How often the wall clock moved by over two seconds against the boot clock, or the boot clock went back.
    pub jumps: u64,
    /// Where it first did.
    pub first_jump: Option<Seq>,
}

/// Meaning: did this version understand everything?
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Meaning {
    /// How many records it did not understand: their bytes are checked, what they say is not.
    pub not_checked: u64,
    /// The first of them.
    pub first: Option<Seq>,
    /// Why.
    pub why: Option<String>,
}

/// Content: is the text what was committed to?
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Content {
    /// Commitments opened.
    pub opened: u64,
    /// Holes that a valid erasure excuses.
    pub erased: u64,
    /// Commitments that were left closed on purpose.
    pub withheld: u64,
    /// Holes that nothing excuses.
    pub missing: u64,
    /// Whether the vault was looked at.
    pub checked: bool,
}

/// All answers.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Report {
    /// The log's name, if it has a genesis.
    pub origin: Option<Origin>,
    /// The log, if it has a genesis.
    pub log_id: Option<LogId>,
    /// How many records there are.
    pub size: u64,
    /// How many of them were looked at; the others are hidden in a bundle.
    pub shown: u64,
    /// The tree's root over all of them.
    pub root: Hash,
    /// The chain hash of the last, unless it is hidden.
    pub head: Option<Hash>,
    /// How many records lie after the last durable signature over the tree.
    pub unsigned: u64,
    /// Whether the last record is a seal.
    pub sealed: bool,
    /// How many epochs were ended by a break instead of a seal.
    pub broken_epochs: u64,
    /// How many witnesses the genesis asks for. This version cannot check any.
    pub witnesses_needed: u64,
    /// Is each record as it was written?
    pub integrity: Integrity,
    /// Whose log is it?
    pub authenticity: Authenticity,
    /// Is the end the end?
    pub completeness: Completeness,
    /// Do the clocks agree?
    pub clocks: Clocks,
    /// Was everything understood?
    pub meaning: Meaning,
    /// Is the text what was committed to?
    pub content: Content,
}

impl Report {
    /// Whether every question that was asked has a good answer. A check of nothing never has.
    pub fn is_good(&self) -> bool {
        self.size > 0
            && self.integrity.count == 0
            && self.meaning.not_checked == 0
            && self.witnesses_needed == 0
            && matches!(self.authenticity, Authenticity::Anchored { .. })
    }

    /// Whether the records are as they were written, whoever wrote them: the narrower question.
    pub fn has_integrity(&self) -> bool {
        self.size > 0 && self.integrity.count == 0
    }
}
