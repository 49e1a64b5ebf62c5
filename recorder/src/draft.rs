//! An event made ready for the writer: all the work that needs no place in the log, done by the caller's thread.
//!
//! Secrets are taken out first: a [`Draft`] is the only thing the writer accepts, and it is made in one place, so nothing that the
//! redactor knows is ever stored. Then text is committed to under fresh salts, vault row and artefacts are packed, hashes are taken. What remains for the one
//! writer is to give number, time and links.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tacho_schemas::content::{self, Descriptor, MAX_ROW, Row, Salted};
use tacho_schemas::event::Event;
use tacho_schemas::record::{Artefact, Auth, Record, Redaction, VERSION, Via};
use tacho_schemas::scalar::{List, Set};
use tacho_schemas::{Hash, Id, Kind, Seq, Time};

use crate::error::{Error, ErrorKind, Result};
use crate::pack::{Effort, Packer};
use crate::redact::Redactor;
use crate::salt::salt;
use crate::store::MAX_ARTEFACT;

/// The way an event came in: set by the recorder, never by the caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Way {
    /// The way itself.
    pub via: Via,
    /// What is known of the caller.
    pub auth: Option<Auth>,
    /// The import record, if and only if the event comes from a file.
    pub import: Option<Seq>,
}

impl Way {
    /// The recorder's own records.
    pub fn recorder() -> Self {
        Self {
            via: Via::Recorder,
            auth: None,
            import: None,
        }
    }

    /// A caller with this user id appends a claim.
    pub fn api(uid: u32) -> Self {
        let auth = Auth {
            uid: Some(uid),
            token: None,
            cell: None,
            key: None,
        };
        Self {
            via: Via::Api,
            auth: Some(auth),
            import: None,
        }
    }

    /// From a file that the given record announced.
    pub fn import(import: Seq) -> Self {
        Self {
            via: Via::Import,
            auth: None,
            import: Some(import),
        }
    }
}

/// An event that only lacks its place in the log.
#[derive(Debug)]
pub struct Draft {
    /// The record; number, link and times are not yet true.
    record: Record,
    /// The only number that it may get.
    pub(crate) expected: Option<Seq>,
    /// The vault row, as it is and packed.
    pub(crate) row: Option<PackedRow>,
    /// Artefacts to store, packed.
    pub(crate) files: Vec<File>,
}

/// A vault row, ready for the store.
#[derive(Debug)]
pub(crate) struct PackedRow {
    /// What it holds, where a retry may have to be held against it. Else it is let go at once: many drafts may wait.
    row: Option<Row>,
    pub(crate) packed: Vec<u8>,
}

/// An artefact, ready for the store.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) blake3: Hash,
    pub(crate) size: u64,
    pub(crate) packed: Vec<u8>,
}

/// Packers that nobody uses. The one used last is taken first: its memory is still in the processor's caches, which hundreds of
/// threads with one each would push out.
static PACKERS: Mutex<Vec<Packer>> = Mutex::new(Vec::new());

/// More are let go.
const PACKERS_KEPT: usize = 16;

fn pack(bytes: &[u8], effort: Effort) -> Result<Vec<u8>> {
    let kept = PACKERS.lock().ok().and_then(|mut kept| kept.pop());
    let mut packer = kept.map_or_else(Packer::new, Ok)?;
    let packed = packer.pack_with(bytes, effort);
    if let Ok(mut kept) = PACKERS.lock()
        && kept.len() < PACKERS_KEPT
    {
        kept.push(packer);
    }
    packed
}

impl Draft {
    /// Makes an event ready. What the redactor finds is gone when this returns.
    ///
    /// [`crate::Log::draft`] does it with the log's own redactor.
    pub fn new(mut event: Event, way: Way, redactor: &Redactor, effort: Effort) -> Result<Self> {
        let redacted = redactor.redact_event(&mut event)?.into_list()?;
        let kind = event
            .body
            .kind()
            .ok_or_else(|| unrecordable("the event has no body"))?;
        let mut row = Row::empty();
        let mut content = BTreeMap::new();
        // An empty text is no text: absent is its only spelling.
        for (field, bytes) in event.content.into_iter().filter(|(_, b)| !b.is_empty()) {
            field
                .check(&bytes)
                .map_err(|e| unrecordable(&e.to_string()))?;
            let salt = salt()?;
            content.insert(field, content::commit(&salt, kind, field, &bytes));
            row.content
                .get_or_insert_default()
                .insert(field.number(), Salted { salt, bytes });
        }
        let mut artefacts = Vec::with_capacity(event.artefacts.len());
        let mut files = Vec::with_capacity(event.artefacts.len());
        for (place, file) in (0..).zip(event.artefacts) {
            if u64::try_from(file.bytes.len()).unwrap_or(u64::MAX) > u64::from(MAX_ARTEFACT) {
                let what = format!(
                    "an artefact of {} bytes is longer than {MAX_ARTEFACT}",
                    file.bytes.len()
                );
                return Err(unrecordable(&what));
            }
            let mut descriptor = Descriptor::of(&file.bytes);
            descriptor.path = file.path;
            descriptor.media_type = file.media_type;
            descriptor.unredacted_blake3 = file.unredacted_blake3;
            let bytes = descriptor.encode()?;
            let salt = salt()?;
            let commitment = content::commit_artefact(&salt, kind, file.role, &bytes);
            artefacts.push(Artefact {
                role: file.role,
                commitment,
            });
            row.artefacts
                .get_or_insert_default()
                .insert(place, Salted { salt, bytes });
            files.push(File {
                blake3: descriptor.blake3,
                size: descriptor.size,
                packed: pack(&file.bytes, effort)?,
            });
        }
        let row = match row.is_empty() {
            true => None,
            false => {
                let bytes = row.encode().map_err(|_| {
                    let cap = MAX_ROW >> 20;
                    unrecordable(&format!(
                        "the event's texts are longer than {cap} MiB together"
                    ))
                    .with_hint("put what is long into an artefact")
                })?;
                Some(PackedRow {
                    row: event.reference.is_some().then_some(row),
                    packed: pack(&bytes, effort)?,
                })
            }
        };
        let record = Record {
            version: VERSION,
            seq: Seq(0),
            prev: Hash::ZERO,
            time: Time(0),
            mono: 0,
            kind,
            actor: event.actor,
            via: way.via,
            import: way.import,
            auth: way.auth,
            claimed: event.claimed,
            reference: event.reference,
            session: event.session,
            generation: event.generation,
            causes: Set::some(event.causes)?,
            body: event.body,
            content: if content.is_empty() {
                None
            } else {
                Some(content)
            },
            artefacts: List::some(artefacts)?,
            redacted,
        };
        Ok(Self {
            record,
            expected: None,
            row,
            files,
        })
    }

    /// Says which number the record will have: other drafts under way already name it. Refuses what could not be recorded, so that
    /// no number is left out; the writer refuses the draft if another record came between.
    pub fn expecting(mut self, seq: Seq) -> Result<Self> {
        self.place(seq, Hash::ZERO, Time(i64::MAX), u64::MAX)
            .encode()?;
        self.expected = Some(seq);
        Ok(self)
    }

    /// Makes an event of the recorder's own ready.
    pub(crate) fn own(event: Event) -> Result<Self> {
        let redactor = Redactor::builtin()?;
        Self::new(event, Way::recorder(), &redactor, Effort::Usual)
    }

    /// What the record will be about.
    pub fn kind(&self) -> Kind {
        self.record.kind
    }

    /// What was taken out.
    pub fn redacted(&self) -> &[Redaction] {
        self.record.redacted()
    }

    /// Bytes that the writer will have to move, roughly.
    pub(crate) fn weight(&self) -> usize {
        let row = self.row.as_ref().map_or(0, |row| row.packed.len());
        512 + row + self.files.iter().map(|f| f.packed.len()).sum::<usize>()
    }

    /// The name under which a retry of this event is found again, if the caller gave a reference.
    pub(crate) fn reference_key(&self) -> Option<Hash> {
        reference_key_of(&self.record)
    }

    /// Whether an earlier record, with its vault row, says the same as this event, which bears a reference.
    pub(crate) fn says_the_same(&self, record: &Record, row: &Row) -> bool {
        let texts = |row: &Row| -> Vec<(u64, Vec<u8>)> {
            let slots = row
                .content
                .iter()
                .flatten()
                .chain(row.artefacts.iter().flatten());
            slots
                .map(|(slot, salted)| (*slot, salted.bytes.clone()))
                .collect()
        };
        let empty = Row::empty();
        let ours = self.row.as_ref().and_then(|row| row.row.as_ref());
        let own = &self.record;
        record.kind == own.kind
            && record.body == own.body
            && record.actor == own.actor
            && record.reference == own.reference
            && record.claimed == own.claimed
            && record.generation == own.generation
            && record.causes == own.causes
            && record.redacted == own.redacted
            && texts(row) == texts(ours.unwrap_or(&empty))
    }

    /// Gives the event its place, or another one if it could not be written at the first.
    pub(crate) fn place(&mut self, seq: Seq, prev: Hash, time: Time, mono: u64) -> &mut Record {
        let record = &mut self.record;
        (record.seq, record.prev, record.time, record.mono) = (seq, prev, time, mono);
        record
    }
}

/// The name under which a retry of this record is found again, if its caller gave a reference.
///
/// Scoped by the way in, caller, session and actor: one caller's reference never finds another's record.
pub(crate) fn reference_key_of(record: &Record) -> Option<Hash> {
    let reference = record.reference.as_ref()?;
    let auth = record.auth.as_ref();
    let mut hasher = blake3::Hasher::new_derive_key("tacho/v1/ref");
    let uid = auth
        .and_then(|a| a.uid)
        .map_or(String::new(), |uid| uid.to_string());
    let text = |id: Option<&Id>| id.map_or(String::new(), ToString::to_string);
    let seq = |seq: Option<Seq>| seq.map_or(String::new(), |s| s.to_string());
    for part in [
        record.via.name(),
        &uid,
        &text(auth.and_then(|a| a.token.as_ref())),
        &text(auth.and_then(|a| a.cell.as_ref())),
        &seq(record.import),
        &seq(record.session),
        record.actor.id.as_str(),
        reference.as_str(),
    ] {
        // No part holds a line feed: ids are printable ASCII.
        hasher.update(part.as_bytes());
        hasher.update(b"\n");
    }
    Some(Hash(*hasher.finalize().as_bytes()))
}

pub(crate) fn unrecordable(why: &str) -> Error {
    Error::new(ErrorKind::Unrecordable, why)
}
