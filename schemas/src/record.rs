//! One record: the envelope every kind shares.
//!
//! Sequence, time, way in and proof of the caller are set by the recorder and never by the caller. Free text is not here: the
//! record holds commitments to it ([`crate::content`]), so that text can be erased by law while every proof still holds.

use std::collections::BTreeMap;

use crate::body::Body;
use crate::body::work::Verdict;
use crate::canon::{self, MAX_RECORD};
use crate::content::Field;
use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::map::{cbor_enum, cbor_map};
use crate::scalar::{Id, List, Seq, Set, Time};

/// The version of the format that this crate writes.
pub const VERSION: u64 = 1;

/// The most causes a record may name.
pub const MAX_CAUSES: usize = 256;

/// The most artefacts a record may carry; beyond them one `manifest` artefact.
pub const MAX_ARTEFACTS: usize = 256;

/// The most kinds of secrets a record may tell of.
pub const MAX_REDACTIONS: usize = 32;

cbor_enum! {
    /// What a record is about. The list is closed.
    pub enum Kind {
        /// The first record: names the log and its keys, signed by the identity key.
        0 "genesis" => Genesis,
        /// The recorder started.
        1 "boot" => Boot,
        /// Closes a key epoch and names the key of the next.
        2 "seal" => Seal,
        /// A key was enrolled, rotated, retired or declared lost.
        3 "key" => Key,
        /// A policy came into force.
        4 "policy" => Policy,
        /// An agent's session opened or closed.
        5 "session" => Session,
        /// Something was said.
        6 "message" => Message,
        /// Something an agent asks to do, with the verdict.
        7 "action" => Action,
        /// A human's signed answer to one hold.
        8 "approval" => Approval,
        /// What then happened.
        9 "outcome" => Outcome,
        /// A change of a part of the agent or its pipeline.
        10 "mutation" => Mutation,
        /// One state of all parts.
        11 "generation" => Generation,
        /// A measurement of a generation.
        12 "evaluation" => Evaluation,
        /// The off switch was engaged.
        13 "kill" => Kill,
        /// The off switch was released.
        14 "release" => Release,
        /// The off switch was tried.
        15 "drill" => Drill,
        /// A permission to go on until a moment.
        16 "lease" => Lease,
        /// A reviewer's note.
        17 "note" => Note,
        /// Content was erased.
        18 "erasure" => Erasure,
        /// Something is known to be missing.
        19 "gap" => Gap,
        /// A rule raised something to look at at once.
        20 "alarm" => Alarm,
        /// Records were taken over from a file.
        21 "import" => Import,
    }
}

impl Kind {
    /// Reads the kind of a record without decoding the rest.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        let range = canon::entry(bytes, 5).ok()??;
        canon::read(bytes.get(range)?)
            .ok()
            .and_then(Self::from_number)
    }

    /// Says whether a caller may write this kind; the others are the recorder's own.
    pub fn is_for_callers(self) -> bool {
        matches!(
            self,
            Self::Session
                | Self::Message
                | Self::Action
                | Self::Outcome
                | Self::Mutation
                | Self::Evaluation
                | Self::Generation
        )
    }
}

impl Kind {
    /// Says whether a record of this kind can have come in this way.
    ///
    /// What callers, importers and the watcher bring are claims and observations. An approval or a seal that came that way would
    /// be one of the recorder's own acts forged, so it is not understood as one.
    pub fn comes_via(self, via: Via) -> bool {
        match via {
            Via::Gate | Via::Human | Via::Recorder => true,
            Via::Api | Via::Import => self.is_for_callers(),
            Via::Watch => self.is_for_callers() || matches!(self, Self::Gap | Self::Alarm),
        }
    }
}

cbor_enum! {
    /// Who acts.
    pub enum ActorType {
        /// A program that decides by a model.
        1 "agent" => Agent,
        /// A person.
        2 "human" => Human,
        /// A program that follows rules: the recorder, a watchdog, a CI job.
        3 "system" => System,
    }
}

cbor_enum! {
    /// The way by which a record came in.
    pub enum Via {
        /// Through the gate, which decided.
        1 "gate" => Gate,
        /// Appended by a caller, as a claim.
        2 "api" => Api,
        /// Seen by the watcher.
        3 "watch" => Watch,
        /// A human's verb.
        4 "human" => Human,
        /// The recorder itself.
        5 "recorder" => Recorder,
        /// From a file; `import` names the import record.
        6 "import" => Import,
    }
}

cbor_map! {
    /// Who acts, by opaque ids.
    pub struct Actor {
        /// What sort of actor.
        24 "type" => actor_type: req ActorType,
        /// Which one.
        25 "id" => id: req Id,
        /// The model behind an agent, as the caller names it.
        26 "model" => model: opt Id,
        /// On whose behalf.
        27 "on_behalf_of" => on_behalf_of: opt Id,
    }
}

cbor_map! {
    /// What the recorder knows of the caller. At least one field.
    pub struct Auth {
        /// The peer's user id, from the socket.
        28 "uid" => uid: opt u32,
        /// The id of the token that was shown.
        29 "token" => token: opt Id,
        /// The cell whose socket it was.
        30 "cell" => cell: opt Id,
        /// The key that signed.
        31 "key" => key: opt crate::sign::Fingerprint,
    }
}

cbor_map! {
    /// The source's own times, which nobody vouches for. At least one field.
    pub struct Claimed {
        /// When it began.
        32 "start" => start: opt Time,
        /// When it ended.
        33 "end" => end: opt Time,
    }
}

cbor_enum! {
    /// What an artefact is to its record.
    pub enum Role {
        /// The file that records were imported from.
        1 "original" => Original,
        /// A part before a mutation.
        2 "before" => Before,
        /// A part after a mutation.
        3 "after" => After,
        /// The difference, as unified diff.
        4 "diff" => Diff,
        /// A list of artefacts that would not fit.
        5 "manifest" => Manifest,
        /// What a rationale or finding points to.
        6 "evidence" => Evidence,
        /// A policy in force.
        7 "policy" => Policy,
        /// A part of a generation.
        8 "part" => Part,
        /// What went into a tool.
        9 "input" => Input,
        /// What came out of a tool.
        10 "output" => Output,
        /// The exact bytes that a human signed.
        11 "statement" => Statement,
    }
}

cbor_map! {
    /// Bytes kept by the recorder, named by a salted commitment to their descriptor.
    pub struct Artefact {
        /// What the artefact is to this record.
        34 "role" => role: req Role,
        /// The commitment to the descriptor ([`crate::content::Descriptor`]).
        35 "commitment" => commitment: req Hash,
    }
}

cbor_map! {
    /// Secrets of one kind that the recorder took out of text and artefacts before anything was stored.
    pub struct Redaction {
        /// Which kind, e.g. `aws-access-key`; in the text stands `[redacted:aws-access-key]`.
        43 "secret" => secret: req Id,
        /// How many places.
        83 "count" => count: req u64,
    }
}

cbor_map! {
    /// A record: envelope and body.
    ///
    /// ```text
    /// {0: 1, 1: 2, 2: h'5feb…', 3: 1795500000000000000, 4: 81200000000, 5: 6, 6: {24: 1, 25: "claude-code"}, 7: 2,
    ///  9: {28: 1000}, 15: {104: 2}, 16: {200: h'9c1d…'}}
    /// ```
    pub struct Record {
        /// The version of the format. Keys 0, 1 and 2 mean the same in every version.
        0 "version" => version: req u64,
        /// The record's number.
        1 "seq" => seq: req Seq,
        /// The chain hash of the record before; 32 zero bytes at genesis.
        2 "prev" => prev: req Hash,
        /// The recorder's wall clock.
        3 "time" => time: req Time,
        /// The recorder's CLOCK_BOOTTIME in nanoseconds; the last boot record names the boot.
        4 "mono" => mono: req u64,
        /// What the record is about.
        5 "kind" => kind: req Kind,
        /// Who acts.
        6 "actor" => actor: req Actor,
        /// How the record came in.
        7 "via" => via: req Via,
        /// The import record, if and only if `via` is import.
        8 "import" => import: opt Seq,
        /// What the recorder knows of the caller.
        9 "auth" => auth: opt Auth,
        /// The source's own times.
        10 "claimed" => claimed: opt Claimed,
        /// The caller's idempotency key.
        11 "ref" => reference: opt Id,
        /// The session's opening record.
        12 "session" => session: opt Seq,
        /// The generation in force in its lineage.
        13 "generation" => generation: opt Seq,
        /// What led to this.
        14 "causes" => causes: opt Set<Seq, MAX_CAUSES>,
        /// What the kind asks for.
        15 "body" => body: req Body,
        /// Commitments to free text, by field.
        16 "content" => content: opt BTreeMap<Field, Hash>,
        /// Commitments to artefacts.
        17 "artefacts" => artefacts: opt List<Artefact, MAX_ARTEFACTS>,
        /// Secrets that were taken out, ascending by kind; set by the recorder and never by the caller.
        18 "redacted" => redacted: opt List<Redaction, MAX_REDACTIONS>,
    }
}

/// The part of a record that every version shares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame {
    /// The version of the format.
    pub version: u64,
    /// The record's number.
    pub seq: Seq,
    /// The chain hash of the record before.
    pub prev: Hash,
}

impl Frame {
    /// Checks the canonical encoding of a record of any version, and reads what all versions share.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        Self::of(bytes, &canon::check_entries(bytes, MAX_RECORD)?)
    }

    /// Reads what all versions share from checked bytes with these entries.
    pub(crate) fn of(bytes: &[u8], entries: &canon::Entries) -> Result<Self> {
        let unframed = || Error::Meaning("does not begin with version, seq and prev".to_owned());
        let value = |key: usize| {
            let (number, range) = entries.get(key)?;
            if *number != i128::try_from(key).ok()? {
                None
            } else {
                bytes.get(range.clone())
            }
        };
        let (Some(version), Some(seq), Some(prev)) = (value(0), value(1), value(2)) else {
            return Err(unframed());
        };
        Ok(Self {
            version: canon::read(version).map_err(|_| unframed())?,
            seq: canon::read(seq).map_err(|_| unframed())?,
            prev: canon::read(prev).map_err(|_| unframed())?,
        })
    }
}

/// Bytes of a record that has a few texts.
const USUAL_RECORD: usize = 512;

impl Record {
    /// Encodes the record; refuses what [`Record::decode`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check()?;
        canon::encode_about(self, USUAL_RECORD, MAX_RECORD)
    }

    /// Encodes the record without the signature inside: what a genesis, seal or key signature is made over.
    pub fn encode_unsigned(&self) -> Result<Vec<u8>> {
        let mut unsigned = self.clone();
        unsigned.body.set_signature(None);
        canon::encode(&unsigned, MAX_RECORD)
    }

    /// Checks and decodes a record of this version.
    ///
    /// [`Error::Canon`] means that the bytes are no record at all; [`Error::Meaning`] that they may be one, but say something
    /// that this version does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let entries = canon::check_entries(bytes, MAX_RECORD)?;
        Self::decode_checked(bytes, &entries)
    }

    /// Decodes checked bytes with these entries.
    pub(crate) fn decode_checked(bytes: &[u8], entries: &canon::Entries) -> Result<Self> {
        let mut record: Self = canon::read(bytes)?;
        let body = entries.iter().find(|(key, _)| *key == 15);
        let body = body
            .and_then(|(_, range)| bytes.get(range.clone()))
            .unwrap_or_default();
        record.body = Body::decode(record.kind, body)?;
        record.check()?;
        Ok(record)
    }

    /// Checks what the types alone cannot say.
    fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::Meaning(why.to_owned()));
        if self.version != VERSION {
            return refuse(&format!("version {} is not known", self.version));
        }
        if self.body.kind() != Some(self.kind) {
            return refuse("the body is of another kind");
        }
        if !self.kind.comes_via(self.via) {
            return refuse(&format!("`{}` cannot come via {}", self.kind, self.via));
        }
        if (self.via == Via::Import) != self.import.is_some() {
            return refuse("`import` stands if and only if `via` is import");
        }
        if self.auth.as_ref().is_some_and(|a| {
            a.uid.is_none() && a.token.is_none() && a.cell.is_none() && a.key.is_none()
        }) || self
            .claimed
            .as_ref()
            .is_some_and(|c| c.start.is_none() && c.end.is_none())
        {
            return refuse("an empty map");
        }
        let mut late = None;
        self.each_link(&mut |link, seq| {
            if seq >= self.seq {
                late.get_or_insert((link, seq));
            }
        });
        match &self.body {
            // An empty epoch begins with its seal.
            Body::Seal(seal) if seal.first > self.seq => {
                return refuse("an epoch begins after its seal");
            }
            Body::Action(action) => {
                let decided = matches!(self.via, Via::Gate | Via::Recorder);
                let verdict = action.verdict.as_ref();
                if decided && verdict.is_some_and(Verdict::is_open_hold) {
                    return refuse("a hold needs `request_digest`, `obligations` and `deadline`");
                }
            }
            _ => {}
        }
        if let Some((link, seq)) = late {
            return refuse(&format!(
                "{} {seq} does not come before the record",
                link.name()
            ));
        }
        let fields = self.kind.fields();
        if let Some(field) = self
            .content
            .iter()
            .flat_map(|c| c.keys())
            .find(|f| !fields.contains(f))
        {
            return refuse(&format!("`{}` has no content `{field}`", self.kind));
        }
        let redacted = self.redacted();
        if !redacted.is_sorted_by(|a, b| a.secret < b.secret)
            || redacted.iter().any(|r| r.count == 0)
        {
            return refuse("`redacted` is not ascending by kind, or tells of nothing");
        }
        self.body
            .check_content(self.content.iter().flat_map(BTreeMap::keys))?;
        self.body.check()
    }

    /// The causes as a slice.
    pub fn causes(&self) -> &[Seq] {
        self.causes.as_ref().map(Set::as_slice).unwrap_or_default()
    }

    /// The artefacts as a slice.
    pub fn artefacts(&self) -> &[Artefact] {
        self.artefacts
            .as_ref()
            .map(List::as_slice)
            .unwrap_or_default()
    }

    /// The secrets that were taken out, as a slice.
    pub fn redacted(&self) -> &[Redaction] {
        self.redacted
            .as_ref()
            .map(List::as_slice)
            .unwrap_or_default()
    }
}
