//! Reading records to show them: nothing is shown that was not checked against the tree and its commitments.
//!
//! This is the light check of a reader: each record against its leaf in the tree, the tree against the newest signed statement,
//! each text against its commitment. What it does not ask (signatures, seals, the chain from genesis) is [`crate::audit`]'s.

mod history;
mod prove;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use tacho_schemas::content::{Descriptor, Field, Held, MAX_ROW, Row, Slot};
use tacho_schemas::receipt::Commit;
use tacho_schemas::record::{Record, Role};
use tacho_schemas::tile::{self, Tiles};
use tacho_schemas::tree;
use tacho_schemas::{Hash, Kind, Seq};

use crate::error::{Error, ErrorKind, Result};
use crate::log::state::Nodes;
use crate::pack::Unpacker;
use crate::store::{Part, Reader, Snapshot};

pub use history::{End, Epoch, History};

/// One moment of a log, for people.
#[derive(Debug)]
pub struct View<'reader> {
    snapshot: Snapshot<'reader>,
    size: u64,
    part: Option<&'reader Part>,
    nodes: Nodes,
    root: Hash,
    tiles: RefCell<HashMap<(u8, u64), Known>>,
    unpacker: RefCell<Unpacker>,
}

/// A tile that was read, so that records near each other, and the nodes above them, do not read it again.
#[derive(Clone, Debug)]
struct Known {
    hashes: Rc<[Hash]>,
    /// Held against the root.
    checked: bool,
}

/// How many tiles are kept.
const TILES: usize = 256;

/// So many new records are read at most to go on from the tree of the last view; behind more, the tiles are quicker.
const GROWN: u64 = 1 << 12;

/// A record as it may be shown.
#[derive(Debug)]
pub struct Shown {
    /// Its number.
    pub seq: Seq,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether its bytes are those in the tree: if not, it is not what was recorded, and nothing that it says is known to be true.
    pub in_tree: bool,
    /// What it means, or why this version does not know.
    pub meaning: std::result::Result<Record, String>,
    /// Its text and descriptors, those that fit their commitments.
    pub row: Row,
    /// What does not fit. Whoever shows the record shows this first.
    pub doubts: Vec<String>,
    /// What is gone: each is a doubt too, and may be an erasure that the law asked for.
    pub holes: Vec<Slot>,
    /// What a bundle does not show.
    pub withheld: Vec<Slot>,
}

impl Shown {
    /// A field's text, if it is held and fits.
    pub fn text(&self, field: Field) -> Option<&str> {
        self.row
            .text(field)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Notes that some of what is gone is withheld.
    fn withhold(&mut self, slots: &[Slot]) {
        let of_withheld = |slot: &Slot| slots.contains(slot);
        self.withheld = self.holes.iter().copied().filter(of_withheld).collect();
        self.holes.retain(|slot| !of_withheld(slot));
        let doubts: Vec<String> = self.withheld.iter().map(gone).collect();
        self.doubts.retain(|doubt| !doubts.contains(doubt));
    }

    /// The descriptors of its artefacts that are held and fit, with their roles.
    pub fn descriptors(&self) -> Vec<(Role, Descriptor)> {
        let Ok(record) = &self.meaning else {
            return Vec::new();
        };
        let held = self.row.artefacts.as_ref();
        (0_u64..)
            .zip(record.artefacts())
            .filter_map(|(place, artefact)| {
                let salted = held?.get(&place)?;
                Some((artefact.role, Descriptor::decode(&salted.bytes).ok()?))
            })
            .collect()
    }
}

impl<'reader> View<'reader> {
    /// Takes a snapshot, and holds the tree against the newest signed statement.
    ///
    /// The first one of a reader puts the right edge of the tree together, from a hundred thousand hashes at ten million records;
    /// the next ones go on from there.
    pub fn new(reader: &'reader Reader) -> Result<Self> {
        // Records that were not signed yet can be others after a crash of the writer: then all is read.
        let known = reader.take_edge();
        let grown = known.and_then(|edge| Self::at(reader, Some(edge)).ok());
        let view = grown.map_or_else(|| Self::at(reader, None), Ok)?;
        if view.part.is_none() {
            reader.keep_edge(view.nodes.edge().clone());
        }
        Ok(view)
    }

    fn at(reader: &'reader Reader, known: Option<Tiles>) -> Result<Self> {
        let snapshot = reader.snapshot()?;
        let there = snapshot
            .last_seq()?
            .map_or(0, |last| last.saturating_add(1));
        let part = reader.part();
        // Of a part, the leaves are those of the bytes that were proven; there are no tiles, or they are not believed.
        let (size, root, of_tiles) = match part {
            None => (there, Hash::ZERO, there),
            Some(Part::Excerpt { size, root, .. }) => (*size, *root, 0),
            Some(Part::First(size)) => (there.min(*size), Hash::ZERO, 0),
        };
        let nodes = match known {
            Some(edge) if (edge.size()..=edge.size() + GROWN).contains(&of_tiles) => {
                Nodes::grow(edge, &snapshot, of_tiles)?
            }
            _ => Nodes::read(&snapshot, of_tiles)?,
        };
        let mut view = Self {
            snapshot,
            size,
            part,
            nodes,
            root,
            tiles: RefCell::default(),
            unpacker: RefCell::new(Unpacker::new()?),
        };
        if part.is_some() {
            return Ok(view);
        }
        if let Some(row) = view.snapshot.commit_row()? {
            let commit = Commit::decode(&row.statement).map_err(|e| differs(&e.to_string()))?;
            if commit.size > size || view.compute_root(commit.size)? != commit.root {
                return Err(differs("what was signed last"));
            }
        }
        view.root = view.compute_root(size)?;
        Ok(view)
    }

    /// How many records there are; of a bundle, how many the log has that it is of.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// On what the records rest, if not on the tree that lies beside them.
    pub fn rests_on(&self) -> Option<String> {
        match self.part? {
            Part::Excerpt { root, .. } => Some(format!(
                "and the bundle, which was verified as it was opened, holds it under the root {root}"
            )),
            Part::First(size) => Some(format!(
                "which verification proved together with all of the first {size}; the log is broken after them"
            )),
        }
    }

    /// The root over all of them.
    pub fn root(&self) -> Hash {
        self.root
    }

    fn compute_root(&self, size: u64) -> Result<Hash> {
        tree::root_of(size, |level, index| self.node(level, index))
    }

    /// The snapshot beneath.
    pub fn snapshot(&self) -> &Snapshot<'reader> {
        &self.snapshot
    }

    /// Reads one record.
    ///
    /// One that a bundle hides is not an error: it means nothing to us, and says why.
    pub fn record(&self, seq: Seq) -> Result<Shown> {
        let mut found = None;
        self.records(seq.0..seq.0.saturating_add(1), |shown| {
            found = Some(shown);
            Ok::<(), Error>(())
        })?;
        if let (None, Some(Part::Excerpt { size, .. })) = (&found, self.part)
            && seq.0 < *size
        {
            return Ok(hidden(seq));
        }
        found.ok_or_else(|| {
            Error::new(
                ErrorKind::Missing,
                format!(
                    "there is no record {seq}; the log has {} records",
                    self.size
                ),
            )
            .with_hint("`tacho list` shows the last ones")
        })
    }

    /// Shows each record of a range to `f`, in order; those that a bundle hides are passed over.
    pub fn records<E: From<Error>>(
        &self,
        range: Range<u64>,
        mut f: impl FnMut(Shown) -> Result<(), E>,
    ) -> Result<(), E> {
        let range = range.start..range.end.min(self.size);
        let mut next = range.start;
        let excerpt = matches!(self.part, Some(Part::Excerpt { .. }));
        self.snapshot.records(range.clone(), |seq, bytes| {
            if seq != next && !excerpt {
                return Err(
                    Error::new(ErrorKind::Corrupt, format!("record {next} is missing")).into(),
                );
            }
            next = seq.saturating_add(1);
            let leaf = self.due(seq, bytes)?;
            let row = match self.snapshot.vault(seq)? {
                Some(packed) => self
                    .unpacker
                    .borrow_mut()
                    .unpack(&packed, MAX_ROW)
                    .map_err(|e| e.to_string()),
                None => Ok(Vec::new()),
            };
            let mut shown = show(seq, bytes, &leaf, row);
            if let Some(Part::Excerpt { withheld, .. }) = self.part
                && let Some(slots) = withheld.get(&seq)
            {
                shown.withhold(slots);
            }
            f(shown)
        })?;
        if next < range.end && !excerpt {
            return Err(Error::new(ErrorKind::Corrupt, format!("record {next} is missing")).into());
        }
        Ok(())
    }

    /// Shows each record of one kind to `f`, in order; the others are passed over by their kind alone.
    pub fn of_kind<E: From<Error>>(
        &self,
        kind: Kind,
        mut f: impl FnMut(Shown) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut found = Vec::new();
        self.snapshot.records(0..self.size, |seq, bytes| {
            if Kind::peek(bytes) == Some(kind) {
                found.push(Seq(seq));
            }
            Ok::<(), Error>(())
        })?;
        found.into_iter().try_for_each(|seq| f(self.record(seq)?))
    }

    /// Gives `f` the bytes of each record of the wanted kinds, in order, and whether they are those in the tree: no text is read.
    pub fn bare(
        &self,
        range: Range<u64>,
        wanted: impl Fn(Kind) -> bool,
        mut f: impl FnMut(&[u8], bool) -> Result<()>,
    ) -> Result<()> {
        let range = range.start..range.end.min(self.size);
        self.snapshot.records(range, |seq, bytes| {
            if !Kind::peek(bytes).is_some_and(&wanted) {
                return Ok(());
            }
            f(bytes, tree::leaf_hash(bytes) == self.due(seq, bytes)?)
        })
    }

    /// The leaf that a record has to have. Of a part, all bytes were proven before.
    fn due(&self, seq: u64, bytes: &[u8]) -> Result<Hash> {
        match self.part {
            Some(_) => Ok(tree::leaf_hash(bytes)),
            None => self.leaf(seq),
        }
    }

    /// The leaf that the tree holds for a record.
    fn leaf(&self, seq: u64) -> Result<Hash> {
        let tile = (0, seq >> 8);
        let known = self.tile(tile)?;
        if !known.checked {
            self.check_tile(seq, &known.hashes)?;
            if let Some(known) = self.tiles.borrow_mut().get_mut(&tile) {
                known.checked = true;
            }
        }
        let place = usize::try_from(seq & 0xff).unwrap_or(usize::MAX);
        let hash = known.hashes.get(place).copied();
        hash.ok_or_else(|| differs("its number of records"))
    }

    /// Reads a tile, or finds it among those that were read.
    fn tile(&self, tile: (u8, u64)) -> Result<Known> {
        if let Some(known) = self.tiles.borrow().get(&tile) {
            return Ok(known.clone());
        }
        let known = Known {
            hashes: self.nodes.tile(&self.snapshot, tile.0, tile.1)?.into(),
            checked: false,
        };
        let mut tiles = self.tiles.borrow_mut();
        if tiles.len() >= TILES {
            tiles.clear();
        }
        tiles.insert(tile, known.clone());
        Ok(known)
    }

    /// A node of the tree whose leaves are all there.
    pub(crate) fn node(&self, level: u32, index: u64) -> Result<Hash> {
        tile::node(level, index, |level, index| {
            self.tile((level, index)).map(|known| known.hashes)
        })
    }

    /// Holds a tile against the root.
    fn check_tile(&self, seq: u64, hashes: &[Hash]) -> Result<()> {
        let path = self.inclusion(Seq(seq), self.size)?;
        let place = usize::try_from(seq & 0xff).unwrap_or(usize::MAX);
        let leaf = hashes
            .get(place)
            .ok_or_else(|| differs("its number of records"))?;
        tree::verify_inclusion(leaf, seq, self.size, &path, &self.root)
            .map_err(|e| differs(&e.to_string()))
    }
}

fn differs(from: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("the log's tree differs from {from}"),
    )
    .with_hint("run `tacho verify` to see what is still proven")
}

fn show(seq: u64, bytes: &[u8], leaf: &Hash, row: std::result::Result<Vec<u8>, String>) -> Shown {
    let mut doubts = Vec::new();
    let in_tree = tree::leaf_hash(bytes) == *leaf;
    if !in_tree {
        doubts.push("its bytes are not those in the tree".to_owned());
    }
    let meaning = Record::decode(bytes).map_err(|e| e.to_string());
    let mut row = match row {
        Ok(bytes) if bytes.is_empty() => Row::empty(),
        Ok(bytes) => Row::decode(&bytes).unwrap_or_else(|_| {
            doubts.push("its vault row cannot be read".to_owned());
            Row::empty()
        }),
        Err(why) => {
            doubts.push(format!("its vault row cannot be read: {why}"));
            Row::empty()
        }
    };
    let mut missing = Vec::new();
    if let Ok(record) = &meaning {
        let Held { holes, wrong, .. } = row.check(record);
        for slot in &holes {
            doubts.push(gone(slot));
        }
        missing = holes;
        for slot in wrong {
            doubts.push(format!("{slot} is not what was committed to"));
            row.erase(slot);
        }
    } else {
        row = Row::empty();
    }
    Shown {
        seq: Seq(seq),
        bytes: bytes.to_vec(),
        in_tree,
        meaning,
        row,
        doubts,
        holes: missing,
        withheld: Vec::new(),
    }
}

fn gone(slot: &Slot) -> String {
    format!("{slot} is gone")
}

/// A record that a bundle proves and does not show.
fn hidden(seq: Seq) -> Shown {
    Shown {
        seq,
        bytes: Vec::new(),
        in_tree: false,
        meaning: Err(HIDDEN.to_owned()),
        row: Row::empty(),
        doubts: Vec::new(),
        holes: Vec::new(),
        withheld: Vec::new(),
    }
}

/// Why a record means nothing that a bundle does not show.
pub const HIDDEN: &str = "it is not shown in this bundle";
