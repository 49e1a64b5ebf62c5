//! The walk through a log, in order: what threads found is folded, and what was sound before is compared with what lies there now.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use tacho_schemas::Seq;
use tacho_schemas::tile::{TileData, Tiles};
use tacho_schemas::tree;
use tacho_schemas::verify::{Breach, Evidence, Fold};

use super::check::{Chunk, Found, Job, Multiset, Texts, check_every, reference};
use super::{CHUNK, Step};
use crate::dir::LogDir;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Snapshot, TileId};

/// Chunks that a thread may be ahead.
const AHEAD: usize = 4;

/// Why a walk ends early.
pub(super) enum Halt<B> {
    Error(Error),
    /// Whoever hears of the progress wants no more.
    Stopped(B),
}

impl<B> From<Error> for Halt<B> {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Where a walk leads through.
pub(super) struct Place<'a> {
    pub(super) dir: &'a LogDir,
    pub(super) snapshot: &'a Snapshot<'a>,
    pub(super) size: u64,
    /// 0 for as many as there are cores.
    pub(super) threads: usize,
}

/// What the records so far come to.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub(super) fold: Fold,
    tiles: Tiles,
    /// The vault and the artefacts are looked at.
    vault: bool,
    /// Vault rows that belong to records.
    pub(super) rows: u64,
    texts: Texts,
    /// Artefacts that records use.
    pub(super) used: Multiset,
    /// References that records bear.
    pub(super) referred: Multiset,
    pub(super) unknown: bool,
}

impl Walk {
    /// Starts before the first record.
    pub(super) fn new(fold: Fold, vault: bool) -> Self {
        Self {
            fold,
            tiles: Tiles::new(),
            vault,
            rows: 0,
            texts: Texts::default(),
            used: Multiset::default(),
            referred: Multiset::default(),
            unknown: false,
        }
    }

    /// The same walk, to be gone on with up to a size; none if that cannot be.
    pub(super) fn up_to(mut self, size: u64, vault: bool, evidence: &Evidence) -> Option<Self> {
        let fits = self.vault == vault && self.fold.size() <= size;
        (fits && self.fold.want(evidence.sizes())).then_some(self)
    }

    /// Walks on to the end; what was walked through before is read again first, and an error of sort `Corrupt` says that it is not
    /// what it was. If anybody wants to go on from here later, `kept` is where from.
    pub(super) fn all<B>(
        &mut self,
        place: &Place<'_>,
        kept: &mut Option<&mut Option<Self>>,
        progress: &mut impl FnMut(Step) -> ControlFlow<B>,
    ) -> Result<(), Halt<B>> {
        let size = place.size;
        let threads = match place.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let threads = u64::try_from(threads)
            .unwrap_or(1)
            .min(size.div_ceil(CHUNK))
            .max(1);
        let job = Job {
            dir: place.dir,
            size,
            vault: self.vault,
            known: self.fold.size() / CHUNK,
            remember: kept.is_some(),
        };
        thread::scope(|scope| {
            let mut channels = Vec::new();
            for first in 0..threads {
                let (send, receive) = sync_channel(AHEAD);
                channels.push(receive);
                scope.spawn(move || check_every(job, first, threads, &send));
            }
            let chunks = channels.iter().cycle().map(Receiver::recv);
            let chunks = chunks.map(|chunk| {
                let ended = || Error::new(ErrorKind::Io, "a thread that checks records ended");
                chunk.map_err(|_| ended())
            });
            self.fold_all(chunks, place.snapshot, job, kept, progress)
        })
    }

    /// Takes the chunks in order.
    fn fold_all<B>(
        &mut self,
        chunks: impl Iterator<Item = Result<Chunk>>,
        snapshot: &Snapshot<'_>,
        job: Job<'_>,
        kept: &mut Option<&mut Option<Self>>,
        progress: &mut impl FnMut(Step) -> ControlFlow<B>,
    ) -> Result<(), Halt<B>> {
        let mut again = Again::default();
        let mut go_on = |number: u64, again, sound| {
            let step = Step {
                done: ((number + 1) * CHUNK).min(job.size),
                all: job.size,
                again,
                sound,
            };
            match progress(step) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(by) => Err(Halt::Stopped(by)),
            }
        };
        for (number, chunk) in (0..job.size.div_ceil(CHUNK)).zip(chunks) {
            let chunk = chunk?;
            if number < job.known {
                again.take(snapshot, chunk)?;
                go_on(number, true, true)?;
                if number + 1 == job.known {
                    again.compare(self)?;
                    if self.vault {
                        read_artefacts_again(snapshot, || go_on(number, true, true))?;
                    }
                }
                continue;
            }
            // The last chunk may grow yet.
            if (number + 1) * CHUNK > job.size {
                self.keep(kept);
            }
            self.take_chunk(snapshot, number, chunk)?;
            if let Err(halt) = go_on(number, false, self.fold.is_sound()) {
                self.keep(kept);
                return Err(halt);
            }
        }
        self.keep(kept);
        Ok(())
    }

    /// Remembers this place, if all before it is sound and no tile begins before it.
    fn keep(&self, kept: &mut Option<&mut Option<Self>>) {
        let Some(kept) = kept else { return };
        match (self.fold.is_sound(), self.fold.size() % CHUNK) {
            (true, 0) => **kept = Some(self.clone()),
            (true, _) => {}
            (false, _) => **kept = None,
        }
    }

    fn take_chunk(&mut self, snapshot: &Snapshot<'_>, number: u64, chunk: Chunk) -> Result<()> {
        if let Some(error) = chunk.error {
            match error.kind() {
                ErrorKind::Corrupt => {
                    let first = Seq(number * CHUNK);
                    self.fold
                        .breach(Breach::Store, Some(first), error.to_string());
                }
                _ => return Err(error),
            }
        }
        self.rows += chunk.rows;
        self.texts.join(&chunk.texts);
        self.used.join(chunk.used);
        self.referred.join(chunk.referred);
        self.unknown |= chunk.unknown;
        for found in chunk.found {
            let bytes = chunk.bytes.get(found.bytes.clone()).unwrap_or_default();
            self.take(snapshot, found, bytes);
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
                    let kept = kept_tile(snapshot, &tile);
                    self.fold.compared_tiles(1);
                    let ours = tile.to_bytes();
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

/// What lies there now of what was walked through before.
#[derive(Default)]
struct Again {
    tiles: Tiles,
    texts: Texts,
}

impl Again {
    fn take(&mut self, snapshot: &Snapshot<'_>, chunk: Chunk) -> Result<()> {
        if let Some(error) = chunk.error {
            return Err(error);
        }
        self.texts.join(&chunk.texts);
        for leaf in chunk.leaves {
            for tile in self.tiles.push(leaf)? {
                if kept_tile(snapshot, &tile) != Some(tile.to_bytes()) {
                    return Err(changed());
                }
            }
        }
        Ok(())
    }

    /// Holds it against what it was: the same tree has the same records, as no two have one hash.
    fn compare(&self, walk: &Walk) -> Result<()> {
        match self.tiles == walk.tiles && self.texts == walk.texts {
            true => Ok(()),
            false => Err(changed()),
        }
    }
}

fn changed() -> Error {
    Error::new(ErrorKind::Corrupt, "what was verified has changed")
}

/// Looks whether each artefact has the bytes that its name says: then those that were sound still are. That none is missing, the
/// table shows later.
fn read_artefacts_again<B>(
    snapshot: &Snapshot<'_>,
    mut go_on: impl FnMut() -> Result<(), Halt<B>>,
) -> Result<(), Halt<B>> {
    snapshot.artefacts(|blake3, _, _| match snapshot.artefact(&blake3)? {
        Some(_) => go_on(),
        None => Err(changed().into()),
    })
}

/// The bytes of a full tile as the log has them.
fn kept_tile(snapshot: &Snapshot<'_>, tile: &TileData) -> Option<Vec<u8>> {
    let id = TileId::new(tile.tile().level(), tile.tile().index());
    id.and_then(|id| snapshot.tile(id)).ok().flatten()
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

/// Holds the artefact table against the records that use them, and its index against the table.
pub(super) fn compare_artefacts(snapshot: &Snapshot<'_>, used: Multiset, fold: &mut Fold) {
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
pub(super) fn compare_references(snapshot: &Snapshot<'_>, referred: Multiset, fold: &mut Fold) {
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
