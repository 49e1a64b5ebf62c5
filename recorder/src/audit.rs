//! Verification of a log on disk: reads what `schemas` judges.
//!
//! Records and vault rows are read and checked by a few threads, each with a connection of its own; one thread folds what they
//! found, in order. Memory does not grow with the log.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tacho_schemas::content::{Descriptor, MAX_ROW};
use tacho_schemas::receipt::Commit;
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::tile::Tiles;
use tacho_schemas::tree;
use tacho_schemas::verify::{Anchor, Breach, Evidence, Fold, Mark, Report, Single, Vault};
use tacho_schemas::{Fixed, Hash, Seq};

use crate::checkpoints;
use crate::dir::LogDir;
use crate::draft::reference_key_of;
use crate::error::{Error, ErrorKind, Result};
use crate::pack::Unpacker;
use crate::store::{Reader, Snapshot, TileId};
use crate::wal::{self, Wal};

/// Records that one thread checks at a time: one tile.
const CHUNK: u64 = 256;

/// Chunks that a thread may be ahead.
const AHEAD: usize = 4;

/// Numbers that may be missing before a record; one farther out was put there so that we look for a long time.
const FAR: u64 = 1 << 20;

/// What is asked of a log.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The vault and the artefacts are not looked at.
    pub skip_vault: bool,
    /// The identity key that is trusted, and why.
    pub trust: Option<(Fingerprint, Anchor)>,
    /// Marks kept outside the directory.
    pub marks: Vec<Mark>,
    /// How many threads read and check; 0 for as many as there are cores.
    pub threads: usize,
}

/// Verifies a log. `progress` hears how many records of how many are done.
///
/// An error means that the question could not be asked at all; everything that is wrong with the log is in the report.
pub fn audit(
    dir: &LogDir,
    question: &Question,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report> {
    let mut findings = Vec::new();
    let live = dir.writer()?.is_some();
    if !live {
        findings.extend(look_at_wal(dir)?);
    }
    let mut evidence = Evidence {
        trust: question.trust,
        marks: question.marks.clone(),
        ..Evidence::default()
    };
    let reader = match Reader::open(dir) {
        Ok(reader) => reader,
        Err(error) => return unreadable(error, evidence, findings),
    };
    let snapshot = match reader.snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => return unreadable(error, evidence, findings),
    };
    read_checkpoints(dir, &mut evidence, &mut findings)?;
    match read_commit(&snapshot) {
        Ok(commit) => evidence.commit = commit,
        Err(what) => findings.push((Breach::Commit, what)),
    }
    let counts = match snapshot.counts() {
        Ok(counts) => counts,
        Err(error) => return unreadable(error, evidence, findings),
    };
    let span = match snapshot.span() {
        Ok(span) => span,
        Err(error) => return unreadable(error, evidence, findings),
    };
    let last = span.and_then(|(_, last)| u64::try_from(last).ok());
    let mut size = last.map_or(0, |last| last.saturating_add(1));
    if span.is_some_and(|(first, _)| first < 0) {
        let what = "the log holds records with negative numbers";
        findings.push((Breach::Store, what.to_owned()));
    }
    if size > counts.records.saturating_add(FAR) {
        let what = format!(
            "a record has the number {}, but there are {} records",
            size.saturating_sub(1),
            counts.records
        );
        findings.push((Breach::Store, what));
        size = counts.records;
    }

    let mut fold = Fold::new(evidence.sizes());
    for (breach, what) in findings {
        fold.breach(breach, None, what);
    }
    let mut walk = Walk {
        fold,
        tiles: Tiles::new(),
        rows: 0,
        used: Multiset::default(),
        referred: Multiset::default(),
        unknown: false,
    };
    walk.all(dir, &snapshot, size, question, &mut progress)?;
    let Walk {
        mut fold,
        rows,
        used,
        referred,
        unknown,
        ..
    } = walk;

    if fold.size() != counts.records {
        let what = format!(
            "{} rows of records were read, but there are {}",
            fold.size(),
            counts.records
        );
        fold.breach(Breach::Store, None, what);
    }
    if !live && size > 1 && !fold.is_stopped() && wal_is_empty(dir)? {
        let what = "the log was not stopped cleanly, but its WAL is gone: what was in it is lost";
        fold.breach(Breach::Store, Some(Seq(size)), what);
    }
    if !question.skip_vault {
        if rows != counts.vault {
            let what = format!(
                "the vault has {} rows, but {rows} belong to records",
                counts.vault
            );
            fold.breach(Breach::Surplus, None, what);
        }
        compare_artefacts(&snapshot, used, &mut fold);
    }
    // What a record of a newer version refers to is not known.
    if !unknown {
        compare_references(&snapshot, referred, &mut fold);
    }
    let full = tiles_in(size);
    if counts.tiles != full {
        fold.breach(
            Breach::Tile,
            None,
            format!("there are {} tiles where {full} are full", counts.tiles),
        );
    }
    progress(size, size);
    Ok(fold.finish(&evidence))
}

/// A store that cannot be read is a finding about the log, unless the reason lies with who asks.
fn unreadable(error: Error, evidence: Evidence, findings: Vec<(Breach, String)>) -> Result<Report> {
    if error.kind() != ErrorKind::Corrupt {
        return Err(error);
    }
    let mut fold = Fold::new([]);
    for (breach, what) in findings {
        fold.breach(breach, None, what);
    }
    fold.breach(Breach::Store, None, error.to_string());
    Ok(fold.finish(&Evidence {
        checkpoints: Vec::new(),
        commit: None,
        ..evidence
    }))
}

fn look_at_wal(dir: &LogDir) -> Result<Option<(Breach, String)>> {
    Ok(match wal::inspect(&dir.wal())? {
        Wal::Empty | Wal::Clean(_) | Wal::TornTail { .. } => None,
        Wal::Damaged {
            frame,
            later_frames,
            ..
        } => Some((
            Breach::Store,
            format!(
                "the WAL is damaged at frame {frame}, and {later_frames} frames after it are lost with it"
            ),
        )),
        Wal::BadHeader { why, bytes_after } => Some((
            Breach::Store,
            format!(
                "the header of the WAL {why}, and {bytes_after} bytes after it are lost with it"
            ),
        )),
    })
}

fn wal_is_empty(dir: &LogDir) -> Result<bool> {
    match std::fs::symlink_metadata(dir.wal()) {
        Ok(meta) => Ok(meta.len() == 0),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(Error::io("read", &dir.wal(), e)),
    }
}

fn read_checkpoints(
    dir: &LogDir,
    evidence: &mut Evidence,
    findings: &mut Vec<(Breach, String)>,
) -> Result<()> {
    match checkpoints::read_all(&dir.checkpoints()) {
        Ok(notes) => {
            for (line, note) in (1..).zip(notes) {
                match note {
                    Ok(note) => evidence.checkpoints.push(note),
                    Err(why) => findings.push((
                        Breach::Checkpoint,
                        format!("checkpoint {line} is malformed: {why}"),
                    )),
                }
            }
            Ok(())
        }
        // The fold says so itself: a log with records needs checkpoints.
        Err(error) if error.kind() == ErrorKind::Missing => Ok(()),
        Err(error) => Err(error),
    }
}

fn read_commit(snapshot: &Snapshot<'_>) -> Result<Option<(Commit, Fixed<64>)>, String> {
    let Some(row) = snapshot.commit_row().map_err(|e| e.to_string())? else {
        return Ok(None);
    };
    let commit =
        Commit::decode(&row.statement).map_err(|e| format!("the last commit's statement: {e}"))?;
    let signature = row.signature.try_into().map(Fixed);
    let signature =
        signature.map_err(|_| "the last commit's signature does not have 64 bytes".to_owned())?;
    Ok(Some((commit, signature)))
}

/// How many full tiles a tree of this size has.
fn tiles_in(size: u64) -> u64 {
    let mut level = size >> 8;
    let mut all = 0;
    while level > 0 {
        all += level;
        level >>= 8;
    }
    all
}

/// One record as a thread found it.
struct Found {
    seq: u64,
    /// Where its bytes lie in the chunk's.
    bytes: std::ops::Range<usize>,
    single: tacho_schemas::Result<Single>,
    /// What is wrong with its artefacts.
    artefacts: Vec<String>,
}

/// What a thread found in one chunk.
#[derive(Default)]
struct Chunk {
    /// The records' bytes, one after the other: one allocation that another thread gives back, not one for each.
    bytes: Vec<u8>,
    found: Vec<Found>,
    rows: u64,
    used: Multiset,
    referred: Multiset,
    /// A record was not understood.
    unknown: bool,
    error: Option<Error>,
}

struct Walk {
    fold: Fold,
    tiles: Tiles,
    /// Vault rows that belong to records.
    rows: u64,
    /// Artefacts that records use.
    used: Multiset,
    /// References that records bear.
    referred: Multiset,
    unknown: bool,
}

impl Walk {
    fn all(
        &mut self,
        dir: &LogDir,
        snapshot: &Snapshot<'_>,
        size: u64,
        question: &Question,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<()> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = if question.threads == 0 {
            cores
        } else {
            question.threads
        };
        let threads = u64::try_from(threads)
            .unwrap_or(1)
            .min(size.div_ceil(CHUNK))
            .max(1);
        let vault = !question.skip_vault;
        thread::scope(|scope| {
            let mut channels = Vec::new();
            for first in 0..threads {
                let (send, receive) = sync_channel(AHEAD);
                channels.push(receive);
                scope.spawn(move || check_every(dir, size, vault, first, threads, &send));
            }
            self.fold_all(&channels, snapshot, size, progress)
        })
    }

    /// Takes the chunks in order, one thread after the other.
    fn fold_all(
        &mut self,
        channels: &[Receiver<Chunk>],
        snapshot: &Snapshot<'_>,
        size: u64,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<()> {
        for (number, channel) in (0..size.div_ceil(CHUNK)).zip(channels.iter().cycle()) {
            let Ok(chunk) = channel.recv() else {
                return Err(Error::new(
                    ErrorKind::Io,
                    "a thread that checks records ended",
                ));
            };
            if let Some(error) = chunk.error {
                match error.kind() {
                    ErrorKind::Corrupt => self.fold.breach(
                        Breach::Store,
                        Some(Seq(number * CHUNK)),
                        error.to_string(),
                    ),
                    _ => return Err(error),
                }
            }
            self.rows += chunk.rows;
            self.used.join(chunk.used);
            self.referred.join(chunk.referred);
            self.unknown |= chunk.unknown;
            for found in chunk.found {
                let bytes = chunk.bytes.get(found.bytes.clone()).unwrap_or_default();
                self.take(snapshot, found, bytes);
            }
            progress((number * CHUNK).min(size), size);
        }
        Ok(())
    }

    fn take(&mut self, snapshot: &Snapshot<'_>, found: Found, bytes: &[u8]) {
        let here = Seq(self.fold.size());
        for what in found.artefacts {
            self.fold.breach(
                Breach::Artefact,
                Some(here),
                format!("an artefact of {here} {what}"),
            );
        }
        let leaf = match &found.single {
            Ok(single) => single.leaf,
            Err(_) => tree::leaf_hash(bytes),
        };
        self.fold.push(Seq(found.seq), bytes, found.single);
        match self.tiles.push(leaf) {
            Ok(filled) => {
                for tile in filled {
                    let id = TileId::new(tile.tile().level(), tile.tile().index());
                    let kept = id.and_then(|id| snapshot.tile(id));
                    self.fold.compared_tiles(1);
                    let ours = tile.to_bytes();
                    let kept = kept.ok().flatten();
                    if kept.as_ref() != Some(&ours) {
                        let what = format!(
                            "tile {} is missing or differs from the records",
                            tile.tile().path()
                        );
                        let seq = kept
                            .filter(|_| tile.tile().level() == 0)
                            .and_then(|kept| first_other_leaf(&kept, &ours))
                            .map(|leaf| Seq(tile.tile().index() * CHUNK + leaf));
                        self.fold.breach(Breach::Tile, seq, what);
                    }
                }
            }
            Err(error) => self.fold.breach(Breach::Tile, None, error.to_string()),
        }
    }
}

/// The first leaf that a tile of leaves does not have as it should.
fn first_other_leaf(kept: &[u8], ours: &[u8]) -> Option<u64> {
    let kept = kept.chunks(32).map(Some).chain(std::iter::repeat(None));
    let place = ours
        .chunks(32)
        .zip(kept)
        .position(|(our, kept)| kept != Some(our))?;
    u64::try_from(place).ok()
}

/// Checks chunk `first`, then every `step`th after it.
fn check_every(
    dir: &LogDir,
    size: u64,
    vault: bool,
    first: u64,
    step: u64,
    send: &SyncSender<Chunk>,
) {
    let outcome = Reader::open(dir).and_then(|reader| {
        let snapshot = reader.snapshot()?;
        let mut checker = Checker::new(&snapshot, vault)?;
        let mut number = first;
        while number * CHUNK < size {
            let chunk = checker.check(number * CHUNK..((number + 1) * CHUNK).min(size));
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
    /// The vault rows of a chunk, unpacked, one after the other.
    rows: Vec<u8>,
    /// Artefacts that were checked, the newest thousands of them: many records share few.
    known: HashSet<Hash>,
}

impl<'a> Checker<'a> {
    fn new(snapshot: &'a Snapshot<'a>, vault: bool) -> Result<Self> {
        Ok(Self {
            snapshot,
            unpacker: Unpacker::new()?,
            vault,
            rows: Vec::new(),
            known: HashSet::new(),
        })
    }

    fn check(&mut self, range: std::ops::Range<u64>) -> Chunk {
        let mut chunk = Chunk::default();
        if let Err(error) = self.try_check(range, &mut chunk) {
            chunk.error = Some(error);
        }
        chunk
    }

    fn try_check(&mut self, range: std::ops::Range<u64>, chunk: &mut Chunk) -> Result<()> {
        let Self {
            snapshot,
            unpacker,
            vault,
            rows,
            known,
        } = self;
        // Number and place of each row, ascending; no place if it cannot be unpacked.
        let mut places = Vec::new();
        rows.clear();
        if *vault {
            snapshot.vault_rows(range.clone(), |seq, packed| {
                chunk.rows += 1;
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

/// Holds the artefact table against the records that use them, and its index against the table.
fn compare_artefacts(snapshot: &Snapshot<'_>, used: Multiset, fold: &mut Fold) {
    let mut counted = Multiset::default();
    let mut kept = Multiset::default();
    let mut indexed = Multiset::default();
    let outcome = snapshot
        .artefacts(|blake3, refs, _| {
            counted.add(&blake3, refs);
            kept.add(&blake3, 1);
            Ok::<(), Error>(())
        })
        .and_then(|()| {
            snapshot.indexed_artefacts(|blake3| {
                indexed.add(&blake3, 1);
                Ok(())
            })
        });
    if let Err(error) = outcome {
        fold.breach(Breach::Artefact, None, error.to_string());
        return;
    }
    if counted != used {
        let what = "the artefacts are not those that the records use, as often as they do";
        fold.breach(Breach::Artefact, None, what);
    }
    if indexed != kept {
        let what = "the index of the artefacts does not have the names that they have";
        fold.breach(Breach::Artefact, None, what);
    }
}

/// Holds the table by which retries are found against the records.
fn compare_references(snapshot: &Snapshot<'_>, referred: Multiset, fold: &mut Fold) {
    let mut kept = Multiset::default();
    let outcome = snapshot.references(|key, seq| {
        kept.add(&reference(key, u64::try_from(seq).unwrap_or(u64::MAX)), 1);
        Ok::<(), Error>(())
    });
    if let Err(error) = outcome {
        fold.breach(Breach::Store, None, error.to_string());
    } else if kept != referred {
        fold.breach(
            Breach::Store,
            None,
            "the references by which retries are found are not those that the records bear",
        );
    }
}

/// A reference and its record as one hash.
fn reference(key: &[u8], seq: u64) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seq.to_be_bytes());
    hasher.update(key);
    Hash(*hasher.finalize().as_bytes())
}

/// A sum over hashes that is equal for equal multisets, and else almost never: no list has to be kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Multiset {
    count: u64,
    sum: u128,
}

impl Multiset {
    fn add(&mut self, hash: &Hash, times: u64) {
        let (half, _) = hash.as_bytes().split_at(16);
        let value = u128::from_be_bytes(half.try_into().unwrap_or_default());
        self.count = self.count.wrapping_add(times);
        self.sum = self.sum.wrapping_add(value.wrapping_mul(u128::from(times)));
    }

    fn join(&mut self, other: Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
    }
}
