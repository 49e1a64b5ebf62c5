//! Reading a bundle: a fold over its items, in their order.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{
    Because, Checkpoints, End, FORMAT, Head, LastCommit, MAX_BLOCK, MAX_STEPS, Piece, Step,
};
use crate::body::log::Loss;
use crate::canon;
use crate::content::Descriptor;
use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::note::Note;
use crate::scalar::{List, Seq};
use crate::sign::Fingerprint;
use crate::verify::{Anchor, Breach, Evidence, Fold, Mark, Report, Single, Vault};

/// A step that was checked by itself.
#[derive(Debug)]
pub enum Checked {
    /// A run of hidden records.
    Hidden {
        /// How many.
        count: u64,
        /// The roots of the subtrees that cover them.
        covers: Vec<Hash>,
    },
    /// A record.
    Shown {
        /// Its bytes.
        bytes: Vec<u8>,
        /// What they say.
        single: Result<Box<Single>>,
        /// Why it is there, if nobody asked for it.
        because: Option<Because>,
    },
}

/// Decodes the steps of a block, unpacked, and checks each by itself. This is the part that callers run on many threads.
pub fn check_block(unpacked: &[u8]) -> Result<Vec<Checked>> {
    let steps: List<Step, MAX_STEPS> = canon::decode(unpacked, MAX_BLOCK)?;
    steps.as_slice().iter().map(check_step).collect()
}

fn check_step(step: &Step) -> Result<Checked> {
    let shows = step.row.is_some()
        || step.withheld_fields.is_some()
        || step.withheld_places.is_some()
        || step.because.is_some();
    match (step.hidden, &step.covers, &step.record) {
        (Some(count), Some(covers), None) if !shows => Ok(Checked::Hidden {
            count,
            covers: covers.as_slice().to_vec(),
        }),
        (None, None, Some(record)) => {
            let bytes = record.as_slice();
            let row = Vault::Row(step.row.as_ref().map(|row| row.as_slice()));
            let single = Single::check(bytes, row).map(|mut single| {
                if let Some(held) = &mut single.held {
                    held.excuse(&step.withheld());
                }
                Box::new(single)
            });
            Ok(Checked::Shown {
                bytes: bytes.to_vec(),
                single,
                because: step.because,
            })
        }
        _ => Err(Error::Bundle(
            "a step neither shows a record nor hides some",
        )),
    }
}

/// What the exporter says, and what was counted.
#[derive(Clone, Debug)]
pub struct Told {
    /// The first item. Nobody signed it.
    pub head: Head,
    /// How many records are shown because others need them, by reason.
    pub because: BTreeMap<Because, u64>,
    /// How many files are in it.
    pub files: u64,
    /// What is not in it, as the exporter says.
    pub losses: Vec<Loss>,
}

/// How far a bundle was read.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Stage {
    Notes,
    Tree,
    Files,
    Ended,
}

/// A file that descriptors ask for.
#[derive(Debug)]
struct Wanted {
    sha256: Hash,
    size: u64,
    /// The first record that names it.
    seq: Seq,
}

/// A file whose pieces are coming.
#[derive(Debug)]
struct Open {
    blake3: Hash,
    size: u64,
    ours: blake3::Hasher,
    theirs: Sha256,
}

/// The state of a reading between two items.
#[derive(Debug)]
pub struct Reading {
    told: Told,
    stage: Stage,
    evidence: Evidence,
    fold: Option<Fold>,
    shown: u64,
    wanted: BTreeMap<Hash, Wanted>,
    open: Option<Open>,
    last_file: Option<Hash>,
    end: Option<(Box<End>, Hash)>,
}

impl Reading {
    /// Starts with the head. `marks` were kept by whoever reads.
    pub fn begin(head: Head, marks: Vec<Mark>) -> Result<Self> {
        if head.format.as_str() != FORMAT {
            return Err(Error::Bundle(
                "it is of a format that this version does not know",
            ));
        }
        Ok(Self {
            told: Told {
                head,
                because: BTreeMap::new(),
                files: 0,
                losses: Vec::new(),
            },
            stage: Stage::Notes,
            evidence: Evidence {
                marks,
                ..Evidence::default()
            },
            fold: None,
            shown: 0,
            wanted: BTreeMap::new(),
            open: None,
            last_file: None,
            end: None,
        })
    }

    /// Goes on to a stage, never back.
    fn enter(&mut self, stage: Stage) -> Result<()> {
        if stage < self.stage || self.stage == Stage::Ended {
            return Err(OUT_OF_ORDER);
        }
        self.stage = stage;
        Ok(())
    }

    /// Takes checkpoints.
    pub fn checkpoints(&mut self, item: &Checkpoints) -> Result<()> {
        self.enter(Stage::Notes)?;
        if self.evidence.commit.is_some() {
            return Err(OUT_OF_ORDER);
        }
        for note in item.notes.as_slice() {
            let note = Note::parse(note.as_bytes())?;
            self.evidence.checkpoints.push(note);
        }
        Ok(())
    }

    /// Takes the newest commit.
    pub fn commit(&mut self, item: LastCommit) -> Result<()> {
        self.enter(Stage::Notes)?;
        let before = self.evidence.commit.replace((item.commit, item.signature));
        match before {
            None => Ok(()),
            Some(_) => Err(Error::Bundle("it has two last commits")),
        }
    }

    /// Takes the steps of the next block.
    pub fn steps(&mut self, steps: Vec<Checked>) -> Result<()> {
        self.enter(Stage::Tree)?;
        let evidence = &self.evidence;
        let fold = self.fold.get_or_insert_with(|| Fold::new(evidence.sizes()));
        for step in steps {
            match step {
                Checked::Hidden { count, covers } => fold.hide(count, &covers)?,
                Checked::Shown {
                    bytes,
                    single,
                    because,
                } => {
                    let here = Seq(fold.size());
                    self.shown += 1;
                    if let Some(because) = because {
                        *self.told.because.entry(because).or_default() += 1;
                    }
                    let held = single.iter().flat_map(|single| single.held.iter());
                    for descriptor in held.flat_map(|held| &held.artefacts) {
                        want(&mut self.wanted, descriptor, here, fold);
                    }
                    fold.push(here, &bytes, single.map(|single| *single));
                }
            }
        }
        Ok(())
    }

    /// Takes a piece of a file, unpacked.
    pub fn piece(&mut self, piece: &Piece, bytes: &[u8]) -> Result<()> {
        if self.fold.is_none() {
            return Err(OUT_OF_ORDER);
        }
        self.enter(Stage::Files)?;
        if self.open.as_ref().map(|open| open.blake3) != Some(piece.blake3) {
            self.close();
            if self.last_file.is_some_and(|last| last >= piece.blake3) {
                return Err(Error::Bundle(
                    "its files are out of order, or one stands twice",
                ));
            }
            self.last_file = Some(piece.blake3);
        }
        let open = self.open.get_or_insert_with(|| Open {
            blake3: piece.blake3,
            size: 0,
            ours: blake3::Hasher::new(),
            theirs: Sha256::new(),
        });
        if open.size != piece.from {
            return Err(Error::Bundle(
                "the pieces of a file do not follow each other",
            ));
        }
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        open.size = open.size.saturating_add(more);
        open.ours.update(bytes);
        open.theirs.update(bytes);
        Ok(())
    }

    /// Holds a file against the descriptors that ask for it.
    fn close(&mut self) {
        let (Some(open), Some(fold)) = (self.open.take(), &mut self.fold) else {
            return;
        };
        self.told.files += 1;
        let Some(wanted) = self.wanted.remove(&open.blake3) else {
            let what = format!("file {} belongs to no record", open.blake3);
            return fold.breach(Breach::Surplus, None, what);
        };
        let blake3 = Hash(*open.ours.finalize().as_bytes());
        let sha256 = Hash(open.theirs.finalize().into());
        let same = blake3 == open.blake3 && sha256 == wanted.sha256 && open.size == wanted.size;
        if !same {
            let what = format!("an artefact of {} has other bytes", wanted.seq);
            fold.breach(Breach::Artefact, Some(wanted.seq), what);
        }
    }

    /// Takes the end. `sha256` is what [`End::digest`] made of the bytes.
    pub fn end(&mut self, end: Box<End>, sha256: Hash) -> Result<()> {
        if self.fold.is_none() {
            return Err(Error::Bundle("it shows nothing of the tree"));
        }
        self.enter(Stage::Files)?;
        self.close();
        self.stage = Stage::Ended;
        self.told.losses = end.losses.iter().flatten().cloned().collect();
        self.end = Some((end, sha256));
        Ok(())
    }

    /// Reports. `fault` says why the bundle could not be read to its end, if it could not: then nothing in it is proven.
    pub fn finish(
        mut self,
        trust: Option<(Fingerprint, Anchor)>,
        fault: Option<String>,
    ) -> (Report, Told) {
        self.evidence.trust = trust;
        let fold = self.fold.take().unwrap_or_else(|| Fold::new([]));
        let what = match (fault, self.end.take()) {
            (None, Some((end, sha256))) if end.sha256 == sha256 => {
                return (self.judge(fold, &end), self.told);
            }
            (Some(fault), _) => format!("the bundle cannot be read: {fault}"),
            (None, None) => "the bundle cannot be read: it is cut off".to_owned(),
            (None, Some(_)) => {
                "the bundle is damaged: its SHA-256 is another than it says".to_owned()
            }
        };
        (fold.abandon(Breach::Bundle, what), self.told)
    }

    /// Holds what the bundle says of itself against what is in it, and the evidence against the tree.
    fn judge(&self, mut fold: Fold, end: &End) -> Report {
        let head = &self.told.head;
        for wanted in self.wanted.values() {
            let what = format!("an artefact of {} is missing", wanted.seq);
            fold.breach(Breach::Artefact, Some(wanted.seq), what);
        }
        let size = fold.size();
        if size != head.size || fold.tree().root() != head.root {
            let what = format!(
                "the bundle says that the log has {} records; it shows a tree of {size}, or another root",
                head.size
            );
            fold.breach(Breach::Bundle, None, what);
        }
        if !fold.is_of(&head.origin, head.log_id) {
            let what = "the bundle names another log than it shows";
            fold.breach(Breach::Bundle, None, what);
        }
        if self.evidence.own_sizes().all(|signed| signed != size) {
            let what = "nothing that was signed covers the last records of the bundle";
            fold.breach(Breach::Bundle, None, what);
        }
        let support: u64 = self.told.because.values().sum();
        let hidden = size.saturating_sub(self.shown);
        let (held, withheld) = fold.texts();
        let counted = [self.shown, hidden, held, withheld, self.told.files];
        let says = [end.shown, end.hidden, end.held, end.withheld, end.files];
        let chosen = self.shown.saturating_sub(support);
        if counted != says || (head.chosen, head.support) != (chosen, support) {
            let what = "the bundle counts other things than are in it";
            fold.breach(Breach::Bundle, None, what);
        }
        fold.finish(&self.evidence)
    }
}

const OUT_OF_ORDER: Error = Error::Bundle("its items are out of order");

fn want(wanted: &mut BTreeMap<Hash, Wanted>, descriptor: &Descriptor, here: Seq, fold: &mut Fold) {
    let known = wanted.entry(descriptor.blake3).or_insert(Wanted {
        sha256: descriptor.sha256,
        size: descriptor.size,
        seq: here,
    });
    if (known.sha256, known.size) != (descriptor.sha256, descriptor.size) {
        let what = format!(
            "an artefact of {here} has another SHA-256 or size than the same one of {}",
            known.seq
        );
        fold.breach(Breach::Artefact, Some(here), what);
    }
}
