//! Laws of the tree that hold for all sizes, against a slow tree that follows the recursive words of RFC 6962.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::ops::Range;

use proptest::prelude::*;
use tacho_schemas::tile::{self, Tile, TileData, Tiles, partial_tiles_of, tiles_between, tiles_of};
use tacho_schemas::tree::{
    Batch, Frontier, consistency_proof, empty_root, inclusion_proof, leaf_hash, node_hash, root_of,
    verify_consistency, verify_inclusion,
};
use tacho_schemas::{Error, Hash};

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

/// The slow tree: MTH, PATH and SUBPROOF of RFC 6962, section 2.1, over these leaves.
mod slow {
    use super::*;

    pub(super) fn root(leaves: Range<u64>) -> Hash {
        match leaves.end - leaves.start {
            0 => empty_root(),
            1 => leaf(leaves.start),
            _ => {
                let (left, right) = split(leaves);
                node_hash(&root(left), &root(right))
            }
        }
    }

    pub(super) fn path(index: u64, leaves: Range<u64>) -> Vec<Hash> {
        if leaves.end - leaves.start == 1 {
            return Vec::new();
        }
        let (left, right) = split(leaves);
        let (within, beside) = if left.contains(&index) {
            (left, right)
        } else {
            (right, left)
        };
        let mut path = path(index, within);
        path.push(root(beside));
        path
    }

    pub(super) fn consistency(size1: u64, leaves: Range<u64>, whole: bool) -> Vec<Hash> {
        if size1 == leaves.end {
            return if whole {
                Vec::new()
            } else {
                vec![root(leaves)]
            };
        }
        let (left, right) = split(leaves);
        let (mut path, beside) = if size1 <= left.end {
            (consistency(size1, left, whole), right)
        } else {
            (consistency(size1, right, false), left)
        };
        path.push(root(beside));
        path
    }

    /// Splits at the largest power of two below the number of leaves.
    fn split(leaves: Range<u64>) -> (Range<u64>, Range<u64>) {
        let half = (leaves.end - leaves.start).next_power_of_two() / 2;
        let middle = leaves.start + half;
        (leaves.start..middle, middle..leaves.end)
    }
}

/// Returns a complete node by hashing all below it.
fn node(level: u32, index: u64) -> Result<Hash, Error> {
    Ok(slow::root(index << level..(index + 1) << level))
}

fn grown(size: u64) -> Frontier {
    let mut frontier = Frontier::new();
    for index in 0..size {
        frontier.append(leaf(index)).unwrap();
    }
    frontier
}

#[test]
fn every_proof_of_every_small_tree_is_the_one_of_the_standard() {
    for size in 0..=40 {
        let root = slow::root(0..size);
        assert_eq!(grown(size).root(), root);
        assert_eq!(root_of(size, node).unwrap(), root);
        assert_eq!(Frontier::from_nodes(size, node).unwrap(), grown(size));
        for index in 0..size {
            let path = inclusion_proof(index, size, node).unwrap();
            assert_eq!(path, slow::path(index, 0..size));
            verify_inclusion(&leaf(index), index, size, &path, &root).unwrap();
        }
        assert!(inclusion_proof(size, size, node).is_err());
        for older in 1..=size {
            let path = consistency_proof(older, size, node).unwrap();
            assert_eq!(
                path,
                slow::consistency(older, 0..size, true),
                "{older} {size}"
            );
            verify_consistency(older, size, &path, &slow::root(0..older), &root).unwrap();
        }
        assert!(consistency_proof(0, size, node).is_err());
        assert!(consistency_proof(size + 1, size, node).is_err());
    }
}

#[test]
fn tiles_of_the_sizes_in_the_specification() {
    let paths = |size| tiles_of(size).map(|tile| tile.path()).collect::<Vec<_>>();
    assert!(paths(0).is_empty());
    assert_eq!(paths(255), ["tile/0/000.p/255"]);
    assert_eq!(paths(256), ["tile/0/000", "tile/1/000.p/1"]);
    let large = paths(70_000);
    assert_eq!(large.len(), 277);
    assert_eq!(
        large[272..],
        [
            "tile/0/272",
            "tile/0/273.p/112",
            "tile/1/000",
            "tile/1/001.p/17",
            "tile/2/000.p/1",
        ]
    );
    // The largest tree has tiles on all eight levels, and naming the partial ones does not walk the full ones.
    assert_eq!(partial_tiles_of(u64::MAX).count(), 8);
}

#[test]
fn seventy_thousand_leaves_are_cut_as_the_specification_says() {
    const SIZE: u64 = 70_000;
    let mut tiles = Tiles::new();
    let mut frontier = Frontier::new();
    let mut made: Vec<TileData> = Vec::new();
    for index in 0..SIZE {
        frontier.append(leaf(index)).unwrap();
        made.extend(tiles.push(leaf(index)).unwrap());
    }
    assert!(made.iter().all(|data| data.tile().is_full()));
    assert!(made.iter().all(|data| data.to_bytes().len() == 8192));
    made.extend(tiles.partial());
    made.sort_by_key(TileData::tile);
    let named: Vec<Tile> = tiles_of(SIZE).collect();
    assert_eq!(made.iter().map(TileData::tile).collect::<Vec<_>>(), named);

    let read = |level, index| {
        let place = |data: &TileData| (data.tile().level(), data.tile().index());
        match made.binary_search_by_key(&(level, index), place) {
            Ok(found) => Ok(&made[found]),
            Err(_) => Err(Error::Tile("no such tile")),
        }
    };
    let nodes = |level, index| tile::node::<Error, _>(level, index, read);
    assert_eq!(root_of(SIZE, nodes).unwrap(), frontier.root());
    for index in [0, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
        let path = inclusion_proof(index, SIZE, nodes).unwrap();
        verify_inclusion(&leaf(index), index, SIZE, &path, &frontier.root()).unwrap();
    }
    // A node that is not complete is in no tile.
    for level in [0, 4, 5, 8, 16] {
        assert!(nodes(level, (SIZE >> level) - 1).is_ok());
        assert!(nodes(level, SIZE >> level).is_err());
    }
}

/// A tree whose leaves are all the same, which has proofs at sizes that nobody could store.
mod uniform {
    use super::*;

    pub(super) fn nodes() -> Vec<Hash> {
        let mut nodes = vec![leaf_hash(b"same")];
        for level in 0..63 {
            nodes.push(node_hash(&nodes[level], &nodes[level]));
        }
        nodes
    }
}

#[test]
fn the_largest_tree_has_proofs_too() {
    let nodes = uniform::nodes();
    let node = |level: u32, index: u64| {
        assert!(index < u64::MAX >> level, "not a node of the tree");
        Ok::<_, Error>(nodes[usize::try_from(level).unwrap()])
    };
    let root = root_of(u64::MAX, node).unwrap();
    for index in [0, 1, 1 << 63, u64::MAX - 2, u64::MAX - 1] {
        let path = inclusion_proof(index, u64::MAX, node).unwrap();
        verify_inclusion(&nodes[0], index, u64::MAX, &path, &root).unwrap();
    }
    for older in [1, 2, 3, 1 << 63, (1 << 63) + 1, u64::MAX - 1] {
        let path = consistency_proof(older, u64::MAX, node).unwrap();
        let old_root = root_of(older, node).unwrap();
        verify_consistency(older, u64::MAX, &path, &old_root, &root).unwrap();
    }
    assert!(verify_inclusion(&nodes[0], u64::MAX, u64::MAX, &[], &root).is_err());
}

/// Flips one bit of one of the hashes.
fn flip(hashes: &mut [&mut Hash], at: prop::sample::Index, bit: u8) {
    let at = at.index(hashes.len() * 32);
    hashes[at / 32].0[at % 32] ^= 1 << (bit % 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_batch_proves_its_leaves_without_the_old_nodes(old in 0_u64..300, new in 1_u64..40) {
        let size = old + new;
        let mut batch = Batch::new(grown(old));
        for index in old..size {
            prop_assert_eq!(batch.push(leaf(index)).unwrap(), index);
        }
        prop_assert_eq!(batch.frontier(), &grown(size));
        let root = batch.frontier().root();
        for index in old..size {
            let path = batch.path(index).unwrap();
            prop_assert_eq!(&path, &inclusion_proof(index, size, node).unwrap());
            verify_inclusion(&leaf(index), index, size, &path, &root).unwrap();
        }
        prop_assert!(batch.path(size).is_err());
        prop_assert!(old == 0 || batch.path(old - 1).is_err());
        prop_assert_eq!(batch.into_frontier().root(), slow::root(0..size));
    }

    #[test]
    fn a_changed_inclusion_proof_is_caught(
        (size, index) in (1_u64..300).prop_flat_map(|size| (Just(size), 0..size)),
        at: prop::sample::Index,
        bit: u8,
    ) {
        let good = inclusion_proof(index, size, node).unwrap();
        let (good_leaf, good_root) = (leaf(index), slow::root(0..size));
        verify_inclusion(&good_leaf, index, size, &good, &good_root).unwrap();

        let (mut leaf, mut root, mut path) = (good_leaf, good_root, good.clone());
        let mut all: Vec<&mut Hash> = path.iter_mut().chain([&mut leaf, &mut root]).collect();
        flip(&mut all, at, bit);
        prop_assert!(verify_inclusion(&leaf, index, size, &path, &root).is_err());

        let mut longer = good.clone();
        longer.push(good_root);
        prop_assert!(verify_inclusion(&good_leaf, index, size, &longer, &good_root).is_err());
        if let Some((_, shorter)) = good.split_last() {
            prop_assert!(verify_inclusion(&good_leaf, index, size, shorter, &good_root).is_err());
        }
        for other in (0..size).filter(|other| *other != index) {
            prop_assert!(verify_inclusion(&good_leaf, other, size, &good, &good_root).is_err());
        }
    }

    #[test]
    fn a_changed_consistency_proof_is_caught(
        (size2, size1) in (2_u64..300).prop_flat_map(|size| (Just(size), 1..size)),
        at: prop::sample::Index,
        bit: u8,
    ) {
        let good = consistency_proof(size1, size2, node).unwrap();
        prop_assert_eq!(&good, &slow::consistency(size1, 0..size2, true));
        let (good1, good2) = (slow::root(0..size1), slow::root(0..size2));
        verify_consistency(size1, size2, &good, &good1, &good2).unwrap();

        let (mut root1, mut root2, mut path) = (good1, good2, good.clone());
        let mut all: Vec<&mut Hash> = path.iter_mut().chain([&mut root1, &mut root2]).collect();
        flip(&mut all, at, bit);
        prop_assert!(verify_consistency(size1, size2, &path, &root1, &root2).is_err());

        let mut longer = good.clone();
        longer.push(good2);
        prop_assert!(verify_consistency(size1, size2, &longer, &good1, &good2).is_err());
        let (_, shorter) = good.split_last().unwrap();
        prop_assert!(verify_consistency(size1, size2, shorter, &good1, &good2).is_err());
    }

    #[test]
    fn proofs_hold_at_any_size(size: u64, other: u64) {
        let nodes = uniform::nodes();
        let node = |level: u32, _| Ok::<_, Error>(nodes[usize::try_from(level).unwrap()]);
        let (older, newer) = (size.min(other).max(1), size.max(other).max(1));
        let (root1, root2) = (root_of(older, node).unwrap(), root_of(newer, node).unwrap());
        let path = consistency_proof(older, newer, node).unwrap();
        verify_consistency(older, newer, &path, &root1, &root2).unwrap();
        let path = inclusion_proof(older - 1, newer, node).unwrap();
        verify_inclusion(&nodes[0], older - 1, newer, &path, &root2).unwrap();
    }

    #[test]
    fn cutting_can_stop_and_go_on(stop in 0_u64..700, more in 0_u64..700) {
        let mut through = Tiles::new();
        for index in 0..stop {
            through.push(leaf(index)).unwrap();
        }
        let kept = through.partial();
        let read = |tile| {
            let found = kept.iter().find(|data| data.tile() == tile);
            Ok::<_, Error>(found.unwrap().hashes().to_vec())
        };
        let mut resumed = Tiles::resume(stop, read).unwrap();
        let mut made = Vec::new();
        for index in stop..stop + more {
            let filled = through.push(leaf(index)).unwrap();
            prop_assert_eq!(&resumed.push(leaf(index)).unwrap(), &filled);
            made.extend(filled);
        }
        prop_assert_eq!(resumed.size(), stop + more);
        prop_assert_eq!(resumed.partial(), through.partial());
        made.extend(resumed.partial());
        // What had to be written is what the tree has now and had not before.
        made.retain(|data| !tiles_of(stop).any(|old| old == data.tile()));
        made.sort_by_key(TileData::tile);
        let named: Vec<_> = tiles_between(stop, stop + more).collect();
        prop_assert_eq!(made.iter().map(TileData::tile).collect::<Vec<_>>(), named);
    }
}
