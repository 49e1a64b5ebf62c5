//! The bundle: chosen records of a log in one file, checkable without the log (`bundle.cddl`).
//!
//! A bundle is the log with holes. Hidden runs of records stand there as the roots of the subtrees that cover them, so one walk
//! over the tree proves that every record shown is in it and that every signed tree is a beginning of the next, with less than a
//! proof for each record would take. Reading it is the same fold as reading a log ([`crate::verify::Fold`]).
//!
//! ```text
//! bytes ──frame──▶ Item ──check (any thread)──▶ Step ──Reading::take (in order)──▶ Reading ──finish──▶ Report
//! ```

mod reading;

use std::io::Read;

use sha2::{Digest as _, Sha256};

use crate::body::log::Loss;
use crate::canon;
use crate::content::{MAX_ROW, Slot};
use crate::error::{Error, Result};
use crate::hash::{Hash, LogId, Origin};
use crate::map::{cbor_enum, cbor_map};
use crate::receipt::Commit;
use crate::scalar::{Blob, Fixed, Id, List, Set, Time};

pub use reading::{Checked, Reading, Told, check_block};

/// What a bundle says that it is.
pub const FORMAT: &str = "tacho-bundle-1";

/// The longest item in bytes.
pub const MAX_ITEM: usize = 40 << 20;

/// The most bytes that a block may hold, unpacked: one row and one record of the largest size, and room.
pub const MAX_BLOCK: usize = MAX_ROW + (4 << 20);

/// The most bytes that a piece may hold, unpacked.
pub const MAX_PIECE: usize = 1 << 20;

/// The most steps in one block.
pub const MAX_STEPS: usize = 4096;

/// The most checkpoints in one item.
pub const MAX_NOTES: usize = 1024;

cbor_enum! {
    /// The sorts of items.
    pub enum Sort {
        /// The first.
        1 "head" => Head,
        /// Checkpoints.
        2 "checkpoints" => Checkpoints,
        /// The newest commit.
        3 "last-commit" => LastCommit,
        /// A stretch of the tree.
        4 "block" => Block,
        /// A piece of a file.
        5 "piece" => Piece,
        /// The last.
        6 "end" => End,
    }
}

cbor_enum! {
    /// Why a record is shown that nobody asked for.
    pub enum Because {
        /// Signatures are checked with it: genesis, seals, keys.
        1 "key" => Key,
        /// It was in force.
        2 "policy" => Policy,
        /// It answers, or is rested on.
        3 "approval" => Approval,
        /// It may excuse what is gone.
        4 "erasure" => Erasure,
        /// Shown records happened in it; its text and files are withheld.
        5 "context" => Context,
    }
}

cbor_map! {
    /// The first item. Nobody signs it: origin, log, size and root are shown true by what follows.
    pub struct Head {
        /// The log's name.
        51 "origin" => origin: req Origin,
        /// How many records the log has, shown and hidden.
        60 "size" => size: req u64,
        /// The tree's root over them.
        61 "root" => root: req Hash,
        /// What wrote the bundle.
        67 "software" => software: req Id,
        /// The log.
        320 "log_id" => log_id: req LogId,
        /// This format.
        330 "bundle_format" => format: req Id,
        /// When it was written, by the exporter's clock.
        331 "made" => made: req Time,
        /// Which records were asked for, as a filter; empty for all.
        332 "selection" => selection: req String,
        /// How many records met the selection.
        333 "chosen" => chosen: req u64,
        /// How many more are shown because others need them.
        334 "support" => support: req u64,
        /// Names of fields and roles that were withheld on request.
        335 "withhold" => withhold: opt List<Id, 64>,
        /// That this is a head.
        340 "item" => item: req Sort,
    }
}

cbor_map! {
    /// Checkpoints as they stand in the log.
    pub struct Checkpoints {
        /// Signed notes.
        336 "notes" => notes: req List<String, MAX_NOTES>,
        /// That these are checkpoints.
        340 "item" => item: req Sort,
    }
}

cbor_map! {
    /// The newest commit.
    pub struct LastCommit {
        /// By the epoch's key, over `commit`.
        59 "signature" => signature: req Fixed<64>,
        /// The log after it.
        323 "commit" => commit: req Commit,
        /// That this is a commit.
        340 "item" => item: req Sort,
    }
}

cbor_map! {
    /// A stretch of the tree.
    pub struct Block {
        /// That this is a block.
        340 "item" => item: req Sort,
        /// How many bytes are packed.
        341 "unpacked" => unpacked: req u64,
        /// zlib of steps.
        342 "packed" => packed: req Blob<MAX_ITEM>,
    }
}

cbor_map! {
    /// The next record, or the next run of hidden ones.
    pub struct Step {
        /// How many records are hidden, at least 1.
        343 "hidden" => hidden: opt u64,
        /// The roots of the subtrees that cover them.
        344 "covers" => covers: opt List<Hash, 128>,
        /// The record's canonical bytes.
        345 "record" => record: opt Blob<65_535>,
        /// Its text and descriptors, with their salts.
        346 "row" => row: opt Blob<MAX_ROW>,
        /// Fields that are withheld, by number.
        347 "withheld_fields" => withheld_fields: opt Set<u64, 64>,
        /// Artefacts that are withheld, by place.
        348 "withheld_places" => withheld_places: opt Set<u64, 256>,
        /// Why it is shown though it was not chosen.
        349 "because" => because: opt Because,
    }
}

cbor_map! {
    /// A piece of a file.
    pub struct Piece {
        /// BLAKE3 of the whole file.
        300 "blake3" => blake3: req Hash,
        /// That this is a piece.
        340 "item" => item: req Sort,
        /// How many bytes are packed.
        341 "unpacked" => unpacked: req u64,
        /// zlib of the bytes.
        342 "packed" => packed: req Blob<MAX_ITEM>,
        /// Where in the file they begin.
        350 "from" => from: req u64,
    }
}

cbor_map! {
    /// The last item.
    pub struct End {
        /// What is not in the bundle, by name.
        91 "losses" => losses: opt List<Loss, 256>,
        /// SHA-256 of the file up to here and of this item without this entry ([`End::digest`]).
        301 "sha256" => sha256: req Hash,
        /// That this is the end.
        340 "item" => item: req Sort,
        /// How many records are shown.
        351 "shown" => shown: req u64,
        /// How many are hidden.
        352 "hidden_in_all" => hidden: req u64,
        /// How many texts and descriptors are shown.
        353 "held" => held: req u64,
        /// How many are withheld.
        354 "withheld" => withheld: req u64,
        /// How many files are in it.
        355 "files" => files: req u64,
    }
}

/// An item of a bundle.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Item {
    /// The first.
    Head(Box<Head>),
    /// Checkpoints.
    Checkpoints(Checkpoints),
    /// The newest commit.
    LastCommit(Box<LastCommit>),
    /// A stretch of the tree.
    Block(Block),
    /// A piece of a file.
    Piece(Piece),
    /// The last.
    End(Box<End>),
}

impl Item {
    /// Decodes the inside of a frame.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let entries = canon::check_entries(bytes, MAX_ITEM)?;
        let sort = entries.iter().find(|(key, _)| *key == 340);
        let sort = sort.and_then(|(_, range)| bytes.get(range.clone()));
        let sort: Sort = canon::read(sort.ok_or(malformed("an item has no sort"))?)?;
        Ok(match sort {
            Sort::Head => Self::Head(canon::read(bytes)?),
            Sort::Checkpoints => Self::Checkpoints(canon::read(bytes)?),
            Sort::LastCommit => Self::LastCommit(canon::read(bytes)?),
            Sort::Block => Self::Block(canon::read(bytes)?),
            Sort::Piece => Self::Piece(canon::read(bytes)?),
            Sort::End => Self::End(canon::read(bytes)?),
        })
    }

    /// Encodes the item in its frame.
    pub fn frame(&self) -> Result<Vec<u8>> {
        let inside = self.encode()?;
        let mut framed = head_of(inside.len());
        framed.extend_from_slice(&inside);
        Ok(framed)
    }

    /// Encodes the item.
    pub fn encode(&self) -> Result<Vec<u8>> {
        match self {
            Self::Head(item) => canon::encode(item, MAX_ITEM),
            Self::Checkpoints(item) => canon::encode(item, MAX_ITEM),
            Self::LastCommit(item) => canon::encode(item, MAX_ITEM),
            Self::Block(item) => canon::encode(item, MAX_ITEM),
            Self::Piece(item) => canon::encode(item, MAX_ITEM),
            Self::End(item) => canon::encode(item, MAX_ITEM),
        }
    }
}

impl End {
    /// Goes on with a hash over the file up to the last item, whose inside these bytes are: what `sha256` must be.
    pub fn digest(before: Sha256, inside: &[u8]) -> Result<Hash> {
        let without = canon::without(inside, &[301])?;
        Ok(Hash(before.chain_update(without).finalize().into()))
    }
}

/// The head of a byte string of this length.
fn head_of(length: usize) -> Vec<u8> {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    match (
        u8::try_from(length),
        u16::try_from(length),
        u32::try_from(length),
    ) {
        (Ok(short), _, _) if short < 24 => vec![0x40 | short],
        (Ok(byte), _, _) => vec![0x58, byte],
        (_, Ok(two), _) => [&[0x59], two.to_be_bytes().as_slice()].concat(),
        (_, _, Ok(four)) => [&[0x5a], four.to_be_bytes().as_slice()].concat(),
        _ => [&[0x5b], length.to_be_bytes().as_slice()].concat(),
    }
}

/// Why a frame could not be read.
#[derive(Debug)]
pub enum FrameError {
    /// The bytes are no frame.
    Malformed(Error),
    /// They could not be read at all.
    Io(std::io::Error),
}

/// The bytes of a byte string's head, and its inside.
pub type Frame = (Vec<u8>, Vec<u8>);

/// Reads the next frame; `None` at the end. Takes no more memory than there are bytes.
pub fn read_frame(from: &mut impl Read) -> std::result::Result<Option<Frame>, FrameError> {
    let bad = |why| FrameError::Malformed(malformed(why));
    let mut read = |count: usize| -> std::result::Result<Vec<u8>, FrameError> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(count).unwrap_or(u64::MAX);
        from.by_ref()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(FrameError::Io)?;
        Ok(bytes)
    };
    let first = read(1)?;
    let Some(initial) = first.first().copied() else {
        return Ok(None);
    };
    let more = match initial {
        0x40..=0x57 => 0,
        0x58 => 1,
        0x59 => 2,
        0x5a => 4,
        _ => return Err(bad("an item is not in a byte string")),
    };
    let mut head = first;
    let argument = read(more)?;
    head.extend_from_slice(&argument);
    let mut length = if more == 0 {
        usize::from(initial & 0x1f)
    } else {
        0
    };
    for byte in &argument {
        length = length << 8 | usize::from(*byte);
    }
    if argument.len() < more {
        return Err(bad("it is cut off"));
    }
    if length > MAX_ITEM {
        return Err(bad("an item is longer than any may be"));
    }
    if head_of(length) != head {
        return Err(bad("the length of an item is not in its shortest form"));
    }
    let inside = read(length)?;
    if inside.len() < length {
        return Err(bad("it is cut off"));
    }
    Ok(Some((head, inside)))
}

impl Step {
    /// Hides a run of records.
    pub fn hide(count: u64, covers: Vec<Hash>) -> Result<Self> {
        Ok(Self {
            hidden: Some(count),
            covers: Some(List::new(covers)?),
            ..Self::nothing()
        })
    }

    /// Shows a record. `row` is its vault row without what is withheld.
    pub fn show(
        record: Vec<u8>,
        row: Option<Vec<u8>>,
        withheld: &[Slot],
        because: Option<Because>,
    ) -> Result<Self> {
        let fields = withheld.iter().filter_map(|slot| match slot {
            Slot::Field(number) => Some(*number),
            Slot::Artefact(_) => None,
        });
        let places = withheld.iter().filter_map(|slot| match slot {
            Slot::Field(_) => None,
            Slot::Artefact(place) => Some(*place),
        });
        Ok(Self {
            record: Some(Blob::new(record)?),
            row: row.map(Blob::new).transpose()?,
            withheld_fields: Set::some(fields.collect())?,
            withheld_places: Set::some(places.collect())?,
            because,
            ..Self::nothing()
        })
    }

    fn nothing() -> Self {
        Self {
            hidden: None,
            covers: None,
            record: None,
            row: None,
            withheld_fields: None,
            withheld_places: None,
            because: None,
        }
    }

    /// What is withheld of the record.
    pub fn withheld(&self) -> Vec<Slot> {
        let fields = self.withheld_fields.iter().flatten();
        let places = self.withheld_places.iter().flatten();
        fields
            .map(|number| Slot::Field(*number))
            .chain(places.map(|place| Slot::Artefact(*place)))
            .collect()
    }
}

/// Encodes the steps of a block.
pub fn encode_steps(steps: Vec<Step>) -> Result<Vec<u8>> {
    canon::encode(&List::<Step, MAX_STEPS>::new(steps)?, MAX_BLOCK)
}

fn malformed(why: &'static str) -> Error {
    Error::Bundle(why)
}
