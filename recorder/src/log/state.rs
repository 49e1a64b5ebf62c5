//! What the writer knows of the log it writes.

use tacho_schemas::body::Body;
use tacho_schemas::body::log::{KeyOp, KeyRole};
use tacho_schemas::checkpoint::{Checkpoint, epoch_name};
use tacho_schemas::note::{Algorithm, Note, Vkey};
use tacho_schemas::record::Record;
use tacho_schemas::sign::PublicKey;
use tacho_schemas::tile::{self, Tile, TileData, Tiles};
use tacho_schemas::tree::{self, Frontier};
use tacho_schemas::{Fixed, Hash, LogId, Origin, Seq, chain};

use crate::error::{Error, ErrorKind, Result};
use crate::store::{Snapshot, TileId};

/// The state of a log after its last durable record.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) origin: Origin,
    pub(super) log_id: LogId,
    pub(super) identity: PublicKey,
    pub(super) log_key: PublicKey,
    pub(super) tree: Frontier,
    pub(super) tiles: Tiles,
    pub(super) head: Hash,
    pub(super) epoch: u64,
    pub(super) epoch_key: PublicKey,
    pub(super) epoch_first: Seq,
    /// The last record is the seal of a clean stop.
    pub(super) clean: bool,
    /// The last boot record.
    pub(super) boot: Option<Seq>,
    /// The last record's times.
    pub(super) last_time: i64,
    pub(super) last_mono: u64,
}

impl State {
    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Reads the state of a log, trusting its tiles for the roots that a signature then confirms.
    ///
    /// Read are the genesis record, the records back to the last seal or break, and a few hundred tiles at most.
    pub(super) fn read(snapshot: &Snapshot<'_>) -> Result<Self> {
        let size = snapshot
            .last_seq()?
            .map_or(0, |last| last.saturating_add(1));
        if size == 0 {
            return Err(Error::new(ErrorKind::Corrupt, "the log has no records").with_hint(
                "if the making of it was interrupted, remove the directory and make it anew; if not, run `tacho verify`",
            ));
        }
        let first = record(snapshot, 0)?;
        let Body::Genesis(genesis) = &first.1.body else {
            return Err(corrupt("the first record is no genesis".to_owned()));
        };
        let nodes = Nodes::read(snapshot, size)?;
        let tree = Frontier::from_nodes(size, |level, index| nodes.node(snapshot, level, index))?;
        let last_seq = size.saturating_sub(1);
        let (bytes, last) = record(snapshot, last_seq)?;
        let mut state = Self {
            origin: genesis.origin.clone(),
            log_id: LogId::of_genesis(&first.0),
            identity: genesis.identity_key,
            log_key: genesis.log_key,
            tree,
            tiles: nodes.edge,
            head: chain::link(&last.prev, &bytes),
            epoch: 0,
            epoch_key: genesis.epoch_key,
            epoch_first: Seq(0),
            clean: false,
            boot: None,
            last_time: last.time.0,
            last_mono: last.mono,
        };
        state.clean = matches!(&last.body, Body::Seal(seal) if seal.reason == tacho_schemas::body::log::SealReason::Stop);
        state.find_epoch(snapshot, last_seq)?;
        Ok(state)
    }

    /// Goes back from the end to the record that began the current epoch.
    fn find_epoch(&mut self, snapshot: &Snapshot<'_>, last: u64) -> Result<()> {
        for seq in (0..=last).rev() {
            let (_, record) = record(snapshot, seq)?;
            match &record.body {
                Body::Seal(seal) => {
                    self.epoch = seal.epoch.saturating_add(1);
                    self.epoch_key = seal.next_key;
                    self.epoch_first = Seq(seq.saturating_add(1));
                    return Ok(());
                }
                Body::Key(key) if (key.role, key.op) == (KeyRole::Epoch, KeyOp::Break) => {
                    self.epoch = key.epoch.unwrap_or_default();
                    self.epoch_key = raw_key(key.public_key.as_slice())?;
                    self.epoch_first = Seq(seq);
                    return Ok(());
                }
                Body::Boot(_) if self.boot.is_none() => self.boot = Some(Seq(seq)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes the log key that was in force last, if it was ever replaced: reads every record, so only where genesis' key does not
    /// fit the key file.
    pub(super) fn find_log_key(&mut self, snapshot: &Snapshot<'_>) -> Result<()> {
        snapshot.records(0..self.size(), |_, bytes| {
            if let Ok(record) = Record::decode(bytes)
                && let Body::Key(key) = &record.body
                && (key.role, key.op) == (KeyRole::Log, KeyOp::Rotate)
            {
                self.log_key = raw_key(key.public_key.as_slice())?;
            }
            Ok::<(), Error>(())
        })
    }

    /// Checks a checkpoint of ours: both signatures, and the root at its size.
    pub(super) fn check_checkpoint(
        &self,
        snapshot: &Snapshot<'_>,
        body: &Checkpoint,
        note: &Note,
    ) -> Result<()> {
        let refused = |what: String| {
            Error::new(ErrorKind::Refused, what).with_hint(
                "the log was cut, restored or altered: run `tacho verify`, and start a new log that names this one as its predecessor",
            )
        };
        if !body.is_of(&self.origin) {
            return Err(refused("the last checkpoint is of another log".to_owned()));
        }
        if body.size() > self.size() {
            return Err(refused(format!(
                "the last checkpoint speaks of {} records, but the log has {}",
                body.size(),
                self.size()
            )));
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(&self.log_key.0)
            .map_err(|e| corrupt("the log key is no key".to_owned()).with_source(e))?;
        let known = [Vkey::new(self.origin.as_str(), Algorithm::Ed25519, &key)?];
        note.verify(&known).map_err(|e| {
            refused("the last checkpoint is not signed by the log key".to_owned()).with_source(e)
        })?;
        let size = body.size();
        let nodes = self.nodes();
        let root = tree::root_of(size, |level, index| nodes.node(snapshot, level, index))?;
        if root != *body.root() {
            return Err(refused(format!(
                "the log differs from its last checkpoint at size {size}"
            )));
        }
        Ok(())
    }

    /// Checks every record from this number on: encoding, number, link, and that the tiles hold its leaf.
    pub(super) fn check_from(&self, snapshot: &Snapshot<'_>, from: u64) -> Result<()> {
        let nodes = self.nodes();
        let mut leaves: Option<(u64, Vec<Hash>)> = None;
        let mut expected = from;
        let mut head = None;
        snapshot.records(from..self.size(), |seq, bytes| {
            let frame = tacho_schemas::record::Frame::read(bytes)
                .map_err(|e| corrupt(format!("record {seq} cannot be read: {e}")))?;
            if seq != expected || frame.seq.0 != seq {
                return Err(corrupt(format!("record {expected} is missing")));
            }
            if head.is_some_and(|head| head != frame.prev) {
                return Err(corrupt(format!(
                    "record {seq} does not follow the record before it"
                )));
            }
            let index = seq >> 8;
            let tile = match leaves.take().filter(|(at, _)| *at == index) {
                Some((_, tile)) => tile,
                None => nodes.tile(snapshot, 0, index)?,
            };
            let place = usize::try_from(seq & 0xff).unwrap_or(usize::MAX);
            let held = tile.get(place).copied();
            leaves = Some((index, tile));
            if held != Some(tree::leaf_hash(bytes)) {
                return Err(corrupt(format!("the tree does not hold record {seq}")));
            }
            head = Some(chain::link(&frame.prev, bytes));
            expected += 1;
            Ok::<(), Error>(())
        })?;
        if expected != self.size() {
            return Err(corrupt(format!("record {expected} is missing")));
        }
        Ok(())
    }

    /// The nodes of the tree as it is durable.
    pub(super) fn nodes(&self) -> Nodes {
        Nodes {
            size: self.size(),
            edge: self.tiles.clone(),
        }
    }

    /// The name under which the current epoch's key signs.
    pub(super) fn epoch_name(&self) -> String {
        epoch_name(&self.origin, self.epoch)
    }
}

/// Reads and decodes a record that must be there.
pub(super) fn record(snapshot: &Snapshot<'_>, seq: u64) -> Result<(Vec<u8>, Record)> {
    let bytes = snapshot
        .record(seq)?
        .ok_or_else(|| corrupt(format!("record {seq} is missing")))?;
    let record = Record::decode(&bytes).map_err(|e| {
        let kind = match e {
            tacho_schemas::Error::Meaning(_) => ErrorKind::NewerVersion,
            _ => ErrorKind::Corrupt,
        };
        Error::new(kind, format!("record {seq} cannot be read: {e}"))
            .with_hint("run `tacho verify`; if a newer tacho wrote the log, use that one")
    })?;
    Ok((bytes, record))
}

/// The nodes of a tree: from its full tiles, and from those at the right edge, which are put together once.
#[derive(Debug)]
pub(crate) struct Nodes {
    size: u64,
    edge: Tiles,
}

impl Nodes {
    /// Puts the right edge together: reads at most 255 records, and 255 tiles a level.
    pub(crate) fn read(snapshot: &Snapshot<'_>, size: u64) -> Result<Self> {
        let edge = Tiles::resume(size, |tile| read_partial(snapshot, tile))?;
        Ok(Self { size, edge })
    }

    /// Goes on from the right edge of a smaller tree: reads only what came after it.
    pub(crate) fn grow(mut edge: Tiles, snapshot: &Snapshot<'_>, size: u64) -> Result<Self> {
        snapshot.records(edge.size()..size, |seq, bytes| {
            if seq != edge.size() {
                return Err(corrupt(format!("record {} is missing", edge.size())));
            }
            edge.push(tree::leaf_hash(bytes))?;
            Ok(())
        })?;
        if edge.size() != size {
            return Err(corrupt(format!("record {} is missing", edge.size())));
        }
        Ok(Self { size, edge })
    }

    /// The right edge, to go on from.
    pub(crate) fn edge(&self) -> &Tiles {
        &self.edge
    }

    /// Returns a node.
    pub(crate) fn node(&self, snapshot: &Snapshot<'_>, level: u32, index: u64) -> Result<Hash> {
        tile::node(level, index, |level, index| {
            self.tile(snapshot, level, index)
        })
    }

    /// Returns the hashes of a tile, as many as it has at this size.
    pub(crate) fn tile(&self, snapshot: &Snapshot<'_>, level: u8, index: u64) -> Result<Vec<Hash>> {
        let tile = tile_of(self.size, level, index)?;
        match self.edge.row(level) {
            Some(row) if !tile.is_full() => Ok(row.to_vec()),
            _ => read_tile(snapshot, tile),
        }
    }
}

/// The tile with this place in a tree of this size, as wide as it is there.
fn tile_of(size: u64, level: u8, index: u64) -> Result<Tile> {
    let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    let width = hashes.saturating_sub(index << 8).min(256);
    Ok(Tile::new(
        level,
        index,
        u16::try_from(width).unwrap_or(256),
    )?)
}

/// Reads a tile; one that is not full is put together from what lies below it.
fn read_tile(snapshot: &Snapshot<'_>, tile: Tile) -> Result<Vec<Hash>> {
    if !tile.is_full() {
        return read_partial(snapshot, tile);
    }
    let id = TileId::new(tile.level(), tile.index())?;
    let bytes = snapshot
        .tile(id)?
        .ok_or_else(|| corrupt(format!("tile {} is missing", tile.path())))?;
    Ok(TileData::from_bytes(tile, &bytes)?.hashes().to_vec())
}

/// Puts together a tile that is not full: leaves from records, inner hashes from the full tiles below.
fn read_partial(snapshot: &Snapshot<'_>, tile: Tile) -> Result<Vec<Hash>> {
    let first = tile.index() << 8;
    let range = first..first + u64::from(tile.width());
    let mut hashes = Vec::with_capacity(usize::from(tile.width()));
    if let Some(below) = tile.level().checked_sub(1) {
        for index in range {
            let full = read_tile(snapshot, Tile::new(below, index, 256)?)?;
            hashes.push(tile::root_of_row(&full));
        }
    } else {
        snapshot.records(range, |_, bytes| {
            hashes.push(tree::leaf_hash(bytes));
            Ok::<(), Error>(())
        })?;
    }
    Ok(hashes)
}

pub(crate) fn raw_key(bytes: &[u8]) -> Result<PublicKey> {
    bytes
        .try_into()
        .map(Fixed)
        .map_err(|_| corrupt("a key does not have 32 bytes".to_owned()))
}

fn corrupt(what: String) -> Error {
    Error::new(ErrorKind::Corrupt, what).with_hint("run `tacho verify` to see what is still proven")
}
