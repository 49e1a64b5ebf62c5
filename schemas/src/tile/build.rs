//! Cutting a growing tree into tiles.

use super::{Tile, WIDTH, partial_tiles_of, root_of_row};
use crate::error::{Error, Result};
use crate::hash::Hash;

/// A tile and its hashes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TileData {
    tile: Tile,
    // INVARIANT: as many as the tile is wide.
    hashes: Vec<Hash>,
}

impl TileData {
    /// Reads the bytes of a tile: 32 for each hash, nothing else.
    pub fn from_bytes(tile: Tile, bytes: &[u8]) -> Result<Self> {
        if bytes.len() != usize::from(tile.width()) * 32 {
            return Err(Error::Tile("the tile does not have 32 bytes per hash"));
        }
        let hashes = bytes.chunks_exact(32).map(Hash::from_slice);
        Ok(Self {
            tile,
            hashes: hashes.collect::<Result<_>>()?,
        })
    }

    /// Returns the bytes of the tile: 8,192 if it is full.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.0).collect()
    }

    /// The place of the tile.
    pub fn tile(&self) -> Tile {
        self.tile
    }

    /// The hashes.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

impl AsRef<[Hash]> for TileData {
    fn as_ref(&self) -> &[Hash] {
        &self.hashes
    }
}

/// A tree that is being cut into tiles while it grows.
///
/// Holds the partial tile of each level and nothing else, at most 255 hashes per level.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tiles {
    size: u64,
    /// By level; a level that was just filled up is empty.
    partial: Vec<Vec<Hash>>,
}

impl Tiles {
    /// Starts with an empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up a tree of this size from its partial tiles, which `read` gives.
    ///
    /// Whether they are the right ones shows when the root is compared with a signed one.
    pub fn resume<E: From<Error>>(
        size: u64,
        mut read: impl FnMut(Tile) -> Result<Vec<Hash>, E>,
    ) -> Result<Self, E> {
        let mut partial: Vec<Vec<Hash>> = Vec::new();
        for tile in partial_tiles_of(size) {
            let hashes = read(tile)?;
            if hashes.len() != usize::from(tile.width()) {
                return Err(
                    Error::Tile("the tile does not have as many hashes as its width").into(),
                );
            }
            partial.resize(usize::from(tile.level()), Vec::new());
            partial.push(hashes);
        }
        Ok(Self { size, partial })
    }

    /// The number of leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the tile at the right edge of a level, unless it is full or empty.
    pub fn row(&self, level: u8) -> Option<&[Hash]> {
        let row = self.partial.get(usize::from(level))?;
        Some(row.as_slice()).filter(|row| !row.is_empty())
    }

    /// Appends a leaf and returns the tiles that it fills, from level 0 upwards: mostly none.
    pub fn push(&mut self, leaf: Hash) -> Result<Vec<TileData>> {
        let size = self
            .size
            .checked_add(1)
            .ok_or(Error::Proof("the tree is full"))?;
        let mut filled = Vec::new();
        let mut hash = leaf;
        for level in 0_u8.. {
            let Some(row) = self.partial.get_mut(usize::from(level)) else {
                self.partial.push(vec![hash]);
                break;
            };
            row.push(hash);
            if row.len() < usize::from(WIDTH) {
                break;
            }
            let hashes = std::mem::take(row);
            hash = root_of_row(&hashes);
            // All hashes of this level are in full tiles now, this one being the last.
            let tile = Tile::new(level, (size >> (8 * u32::from(level) + 8)) - 1, WIDTH)?;
            filled.push(TileData { tile, hashes });
        }
        self.size = size;
        Ok(filled)
    }

    /// Returns the tiles that are not full.
    pub fn partial(&self) -> Vec<TileData> {
        let tiles = partial_tiles_of(self.size);
        tiles
            .filter_map(|tile| {
                let hashes = self.partial.get(usize::from(tile.level()))?.clone();
                Some(TileData { tile, hashes })
            })
            .collect()
    }
}
