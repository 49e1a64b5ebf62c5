//! Tiles: the tree cut into files that never change (C2SP tlog-tiles).
//!
//! A tile holds up to 256 hashes of one level of the tree, 32 bytes each. Tile levels are eight tree levels apart: a
//! hash in a tile of level `l` covers 256^`l` leaves. A tile that is not full yet is a file of its own for each width.
//! The entry bundles hold the leaves themselves and are numbered like the tiles of level 0.
//!
//! ```text
//! tile/0/x001/x234/067         tile 1,234,067 of level 0, full: 8,192 bytes
//! tile/2/000.p/1               the first hash of level 2
//! tile/entries/x001/067.p/44   44 records
//! ```
//!
//! Stricter than the specification: a path that is read must be the one that would be written, and a bundle must hold
//! exactly as many entries as its width says.

mod build;
mod bundle;

use std::fmt;

pub use build::{TileData, Tiles};
pub use bundle::{decode_bundle, encode_bundle};

use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::tree::{empty_root, node_hash};

/// Hashes in a full tile.
pub const WIDTH: u16 = 256;

/// Tile levels that a tree with 64-bit indices can have.
const LEVELS: u8 = 8;

/// The place of a tile.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// Names a tile; the level is at most 63 and the width is 1 to 256.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self> {
        if level > 63 {
            return Err(Error::Tile("levels end at 63"));
        }
        if width == 0 || width > WIDTH {
            return Err(Error::Tile("a tile is 1 to 256 hashes wide"));
        }
        Ok(Self {
            level,
            index,
            width,
        })
    }

    /// The tile level.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// The number of the tile in its level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes it holds.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it holds all the hashes it ever will.
    pub fn is_full(&self) -> bool {
        self.width == WIDTH
    }

    /// Returns the path of the tile, e.g. `tile/0/x001/x234/067.p/8`.
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, self.place())
    }

    /// Returns the path of the entry bundle with the leaves of this tile of level 0, e.g. `tile/entries/067.p/8`.
    pub fn entries_path(&self) -> String {
        format!("tile/entries/{}", self.place())
    }

    /// Reads the path of a tile.
    pub fn parse(path: &str) -> Result<Self> {
        let rest = path.strip_prefix("tile/");
        let (level, place) = rest.and_then(|rest| rest.split_once('/')).ok_or(BAD_PATH)?;
        let tile = Self::parse_place(level.parse().map_err(|_| BAD_PATH)?, place)?;
        if tile.path() == path {
            Ok(tile)
        } else {
            Err(BAD_PATH)
        }
    }

    /// Reads the path of an entry bundle; the result is the tile of level 0 beside it.
    pub fn parse_entries(path: &str) -> Result<Self> {
        let place = path.strip_prefix("tile/entries/").ok_or(BAD_PATH)?;
        let tile = Self::parse_place(0, place)?;
        if tile.entries_path() == path {
            Ok(tile)
        } else {
            Err(BAD_PATH)
        }
    }

    /// Returns number and width: `x001/x234/067.p/8`.
    fn place(&self) -> String {
        let mut text = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            text = format!("x{:03}/{text}", rest % 1000);
            rest /= 1000;
        }
        if !self.is_full() {
            text.push_str(&format!(".p/{}", self.width));
        }
        text
    }

    /// Reads number and width loosely; the caller compares with what it would have written.
    fn parse_place(level: u8, place: &str) -> Result<Self> {
        let (groups, width) = match place.split_once(".p/") {
            Some((groups, width)) => (groups, width.parse().map_err(|_| BAD_PATH)?),
            None => (place, WIDTH),
        };
        let mut index: u64 = 0;
        for group in groups.split('/') {
            let group = group.strip_prefix('x').unwrap_or(group);
            let digits: u64 = group.parse().map_err(|_| BAD_PATH)?;
            index = index
                .checked_mul(1000)
                .and_then(|index| index.checked_add(digits))
                .ok_or(BAD_PATH)?;
        }
        Self::new(level, index, width)
    }
}

/// Prints the path.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

const BAD_PATH: Error = Error::Tile("not the path of a tile");

/// Names the tiles of a tree: the full ones and the partial one of each level, from level 0 upwards.
pub fn tiles_of(size: u64) -> impl Iterator<Item = Tile> {
    tiles_between(0, size)
}

/// Names the tiles that a tree has and had not when it was smaller.
pub fn tiles_between(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    (0..LEVELS).flat_map(move |level| {
        let shift = 8 * u32::from(level);
        let (had, has) = (old >> shift, new >> shift);
        let full = (had >> 8..has >> 8).map(move |index| Tile {
            level,
            index,
            width: WIDTH,
        });
        full.chain(partial(level, has).filter(move |_| had < has))
    })
}

/// Names the tiles of a tree that are not full: what is needed to append to it.
pub fn partial_tiles_of(size: u64) -> impl Iterator<Item = Tile> {
    (0..LEVELS).filter_map(move |level| partial(level, size >> (8 * u32::from(level))))
}

/// Names the last tile of a level with this many hashes, unless it is full or empty.
fn partial(level: u8, hashes: u64) -> Option<Tile> {
    let width = u16::try_from(hashes & 0xff).ok()?;
    (width > 0).then_some(Tile {
        level,
        index: hashes >> 8,
        width,
    })
}

/// Returns a node of the tree from the tile that holds it, or holds what is below it.
///
/// `tiles(tile level, tile index)` gives the hashes of a tile, as many as there are. Together with the functions in
/// [`crate::tree`] that ask for nodes, this makes proofs and roots from tiles.
pub fn node<E: From<Error>, T: AsRef<[Hash]>>(
    level: u32,
    index: u64,
    mut tiles: impl FnMut(u8, u64) -> Result<T, E>,
) -> Result<Hash, E> {
    const MISSING: Error = Error::Tile("the tile lacks a hash of this node");
    // The node covers `count` hashes of the tile level below it, and these never cross a tile.
    let tile_level = u8::try_from(level / 8).map_err(|_| MISSING)?;
    let first = u128::from(index) << (level % 8);
    let tile_index = u64::try_from(first >> 8).map_err(|_| MISSING)?;
    let start = usize::try_from(first & 0xff).map_err(|_| MISSING)?;
    let count = 1_usize << (level % 8);

    let tile = tiles(tile_level, tile_index)?;
    let hashes = tile.as_ref().get(start..start + count).ok_or(MISSING)?;
    Ok(root_of_row(hashes))
}

/// Returns the root over a row of hashes of one level: pair by pair, and what has no pair goes up alone (RFC 6962, 2.1).
pub fn root_of_row(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let pairs = row.chunks(2).filter_map(|pair| match pair {
            [left, right] => Some(node_hash(left, right)),
            alone => alone.first().copied(),
        });
        row = pairs.collect();
    }
    row.first().copied().unwrap_or_else(empty_root)
}
