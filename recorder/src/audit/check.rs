//! What a thread finds in the records that it is given, one tile's worth at a time.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::mpsc::SyncSender;

use tacho_schemas::content::{Descriptor, MAX_ROW};
use tacho_schemas::verify::{Single, Vault};
use tacho_schemas::{Hash, tree};

use super::CHUNK;
use crate::dir::LogDir;
use crate::draft::reference_key_of;
use crate::error::{Error, Result};
use crate::pack::Unpacker;
use crate::store::{Reader, Snapshot};

/// One record as a thread found it.
pub(super) struct Found {
    pub(super) seq: u64,
    /// Where its bytes lie in the chunk's.
    pub(super) bytes: Range<usize>,
    pub(super) single: tacho_schemas::Result<Single>,
    /// What is wrong with its artefacts.
    pub(super) artefacts: Vec<String>,
}

/// What a thread found in one chunk.
#[derive(Default)]
pub(super) struct Chunk {
    /// The records' bytes, one after the other: one allocation that another thread gives back, not one for each.
    pub(super) bytes: Vec<u8>,
    pub(super) found: Vec<Found>,
    /// The leaves of records that were only read again.
    pub(super) leaves: Vec<Hash>,
    pub(super) rows: u64,
    /// A hash over the vault rows as they lie there, if that is to be remembered.
    pub(super) texts: Texts,
    pub(super) used: Multiset,
    pub(super) referred: Multiset,
    /// A record was not understood.
    pub(super) unknown: bool,
    pub(super) error: Option<Error>,
}

/// A hash over vault rows, their numbers and their lengths.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts(blake3::Hasher);

impl Texts {
    fn add(&mut self, seq: u64, packed: &[u8]) {
        let length = u64::try_from(packed.len()).unwrap_or(u64::MAX);
        self.0.update(&seq.to_be_bytes());
        self.0.update(&length.to_be_bytes());
        self.0.update(packed);
    }

    /// Takes those of the next chunk.
    pub(super) fn join(&mut self, next: &Self) {
        self.0.update(next.0.finalize().as_bytes());
    }
}

impl PartialEq for Texts {
    fn eq(&self, other: &Self) -> bool {
        self.0.finalize() == other.0.finalize()
    }
}

/// What threads have to do.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) dir: &'a LogDir,
    pub(super) size: u64,
    /// The vault and the artefacts are looked at.
    pub(super) vault: bool,
    /// Chunks that are only read again.
    pub(super) known: u64,
    /// What lies in the vault is to be known again.
    pub(super) remember: bool,
}

/// Checks chunk `first`, then every `step`th after it.
pub(super) fn check_every(job: Job<'_>, first: u64, step: u64, send: &SyncSender<Chunk>) {
    let outcome = Reader::open(job.dir).and_then(|reader| {
        let snapshot = reader.snapshot()?;
        let mut checker = Checker::new(&snapshot, job)?;
        let mut number = first;
        while number * CHUNK < job.size {
            let range = number * CHUNK..((number + 1) * CHUNK).min(job.size);
            let mut chunk = Chunk::default();
            let outcome = match number < job.known {
                true => checker.read_again(range, &mut chunk),
                false => checker.check(range, &mut chunk),
            };
            chunk.error = outcome.err();
            // Nobody listens any more: the fold has ended with an error.
            if send.send(chunk).is_err() {
                break;
            }
            number += step;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        let _ = send.send(Chunk {
            error: Some(error),
            ..Chunk::default()
        });
    }
}

/// One thread's means to check records.
struct Checker<'a> {
    snapshot: &'a Snapshot<'a>,
    unpacker: Unpacker,
    vault: bool,
    remember: bool,
    /// The vault rows of a chunk, unpacked, one after the other.
    rows: Vec<u8>,
    /// Artefacts that were checked, the newest thousands of them: many records share few.
    known: HashSet<Hash>,
}

impl<'a> Checker<'a> {
    fn new(snapshot: &'a Snapshot<'a>, job: Job<'_>) -> Result<Self> {
        Ok(Self {
            snapshot,
            unpacker: Unpacker::new()?,
            vault: job.vault,
            remember: job.remember,
            rows: Vec::new(),
            known: HashSet::new(),
        })
    }

    /// Reads what was sound before, to see whether it still is what it was.
    fn read_again(&self, range: Range<u64>, chunk: &mut Chunk) -> Result<()> {
        if self.vault {
            self.snapshot.vault_rows(range.clone(), |seq, packed| {
                chunk.texts.add(seq, packed);
                Ok::<(), Error>(())
            })?;
        }
        self.snapshot.records(range, |_, bytes| {
            chunk.leaves.push(tree::leaf_hash(bytes));
            Ok(())
        })
    }

    fn check(&mut self, range: Range<u64>, chunk: &mut Chunk) -> Result<()> {
        let Self {
            snapshot,
            unpacker,
            vault,
            remember,
            rows,
            known,
        } = self;
        // Number and place of each row, ascending; no place if it cannot be unpacked.
        let mut places = Vec::new();
        rows.clear();
        if *vault {
            snapshot.vault_rows(range.clone(), |seq, packed| {
                chunk.rows += 1;
                if *remember {
                    chunk.texts.add(seq, packed);
                }
                let start = rows.len();
                let unpacked = unpacker.unpack_into(packed, MAX_ROW, rows);
                places.push((seq, unpacked.ok().map(|()| start..rows.len())));
                Ok::<(), Error>(())
            })?;
        }
        let mut places = places.into_iter().peekable();
        snapshot.records(range, |seq, bytes| {
            while places.next_if(|(of, _)| *of < seq).is_some() {}
            let held = match (*vault, places.next_if(|(of, _)| *of == seq)) {
                (false, _) => Vault::Skipped,
                (true, None) => Vault::Row(None),
                // Without a place no row has these bytes, so the record's text is found wrong.
                (true, Some((_, place))) => {
                    Vault::Row(Some(place.and_then(|p| rows.get(p)).unwrap_or_default()))
                }
            };
            let mut understood = false;
            let single = Single::check_and_show(bytes, held, |record| {
                understood = true;
                if let Some(key) = reference_key_of(record) {
                    chunk.referred.add(&reference(key.as_bytes(), seq), 1);
                }
            });
            chunk.unknown |= !understood;
            let mut artefacts = Vec::new();
            for descriptor in single
                .iter()
                .flat_map(|s| s.held.iter())
                .flat_map(|h| &h.artefacts)
            {
                chunk.used.add(&descriptor.blake3, 1);
                // What a newer version says of its artefacts is not known; that they are in use is.
                if understood && !known.contains(&descriptor.blake3) {
                    match check_artefact(snapshot, descriptor) {
                        Ok(()) => {
                            if known.len() >= 4096 {
                                known.clear();
                            }
                            known.insert(descriptor.blake3);
                        }
                        Err(what) => artefacts.push(what),
                    }
                }
            }
            let start = chunk.bytes.len();
            chunk.bytes.extend_from_slice(bytes);
            chunk.found.push(Found {
                seq,
                bytes: start..chunk.bytes.len(),
                single,
                artefacts,
            });
            Ok(())
        })
    }
}

fn check_artefact(snapshot: &Snapshot<'_>, descriptor: &Descriptor) -> Result<(), String> {
    match snapshot.artefact(&descriptor.blake3) {
        Ok(None) => Err("is missing".to_owned()),
        Ok(Some(kept)) if Hash::sha256(&kept.bytes) != descriptor.sha256 => {
            Err("has another SHA-256".to_owned())
        }
        Ok(Some(kept)) if u64::try_from(kept.bytes.len()) != Ok(descriptor.size) => {
            Err("has another size".to_owned())
        }
        Ok(Some(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// A reference and its record as one hash.
pub(super) fn reference(key: &[u8], seq: u64) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seq.to_be_bytes());
    hasher.update(key);
    Hash(*hasher.finalize().as_bytes())
}

/// A sum over hashes that is equal for equal multisets, and else almost never: no list has to be kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Multiset {
    count: u64,
    sum: u128,
}

impl Multiset {
    pub(super) fn add(&mut self, hash: &Hash, times: u64) {
        let (half, _) = hash.as_bytes().split_at(16);
        let value = u128::from_be_bytes(half.try_into().unwrap_or_default());
        self.count = self.count.wrapping_add(times);
        self.sum = self.sum.wrapping_add(value.wrapping_mul(u128::from(times)));
    }

    pub(super) fn join(&mut self, other: Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
    }
}
