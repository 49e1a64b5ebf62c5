//! The Merkle tree over the records: RFC 6962 with SHA-256.
//!
//! A leaf is a whole record. The node at level `l` and index `i` covers the leaves `i·2^l` to `(i+1)·2^l`; it exists
//! once all of them do and never changes again, so it can be kept in a tile and served to anyone.
//!
//! Stricter than RFC 9162: a consistency proof from an empty tree is an error, because it proves nothing about
//! anything, and a hash that is not 32 bytes long cannot be said at all.

mod batch;
mod prove;
mod verify;

use sha2::{Digest, Sha256};

pub use batch::Batch;
pub use prove::{consistency_proof, covers, inclusion_proof, root_of};
pub use verify::{root_from_inclusion, verify_consistency, verify_inclusion};

use crate::error::{Error, Result};
use crate::hash::Hash;

/// Returns the hash of a leaf: SHA-256 of `00 ‖ bytes`.
///
/// The first byte keeps leaves and nodes apart: no 64 bytes of a record can pass for a pair of nodes.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    let digest = Sha256::new().chain_update([0]).chain_update(bytes);
    Hash(digest.finalize().into())
}

/// Returns the hash of a node: SHA-256 of `01 ‖ left ‖ right`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    let (_, pair) = bytes.split_at_mut(1);
    let (first, second) = pair.split_at_mut(32);
    first.copy_from_slice(&left.0);
    second.copy_from_slice(&right.0);
    Hash::sha256(&bytes)
}

/// Returns the root of a tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash::sha256(&[])
}

/// The right edge of a tree: all that is needed to append to it.
///
/// One hash for each bit that is set in `size`, the largest subtree first. A tree of 6 leaves is the two hashes of
/// leaves 0 to 3 and of leaves 4 and 5.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    // INVARIANT: as many hashes as `size` has set bits.
    hashes: Vec<Hash>,
}

impl Frontier {
    /// Returns the frontier of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up a frontier that was kept as its parts.
    ///
    /// Only the number of hashes can be checked; compare [`Self::root`] with a signed one.
    pub fn from_parts(size: u64, hashes: Vec<Hash>) -> Result<Self> {
        if usize::try_from(size.count_ones()) != Ok(hashes.len()) {
            return Err(Error::Proof(
                "a frontier needs one hash per set bit of its size",
            ));
        }
        Ok(Self { size, hashes })
    }

    /// Reads the frontier of a tree of this size from its nodes.
    pub fn from_nodes<E: From<Error>>(
        size: u64,
        mut nodes: impl FnMut(u32, u64) -> Result<Hash, E>,
    ) -> Result<Self, E> {
        let hashes = prove::edge(size)
            .rev()
            .map(|(level, index)| nodes(level, index))
            .collect::<Result<_, E>>()?;
        Ok(Self { size, hashes })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes, largest subtree first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Returns the root over all leaves.
    pub fn root(&self) -> Hash {
        let right_to_left = self.hashes.iter().rev().copied();
        right_to_left
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(empty_root)
    }

    /// Appends one leaf.
    pub fn append(&mut self, leaf: Hash) -> Result<()> {
        self.grow(leaf, |_, _, _| ())
    }

    /// Appends a complete subtree of `2^level` leaves, of which only the root is known. It must begin where one of its size can.
    pub fn append_subtree(&mut self, level: u32, root: Hash) -> Result<()> {
        let leaves = 1_u64
            .checked_shl(level)
            .ok_or(Error::Proof("a subtree is higher than any tree"))?;
        if self.size & (leaves - 1) != 0 {
            return Err(Error::Proof("a subtree begins where none of its size can"));
        }
        let size = self
            .size
            .checked_add(leaves)
            .ok_or(Error::Proof("the tree is full"))?;
        let mut hash = root;
        for _ in 0..(self.size >> level).trailing_ones() {
            let left = self
                .hashes
                .pop()
                .ok_or(Error::Proof("the frontier lacks a hash"))?;
            hash = node_hash(&left, &hash);
        }
        self.hashes.push(hash);
        self.size = size;
        Ok(())
    }

    /// Appends one leaf and shows every node that it completes, from the leaf upwards.
    fn grow(&mut self, leaf: Hash, mut seen: impl FnMut(u32, u64, Hash)) -> Result<()> {
        let size = self
            .size
            .checked_add(1)
            .ok_or(Error::Proof("the tree is full"))?;
        let mut hash = leaf;
        seen(0, self.size, hash);
        for level in 1..=self.size.trailing_ones() {
            let left = self
                .hashes
                .pop()
                .ok_or(Error::Proof("the frontier lacks a hash"))?;
            hash = node_hash(&left, &hash);
            seen(level, self.size >> level, hash);
        }
        self.hashes.push(hash);
        self.size = size;
        Ok(())
    }

    /// Returns a node, if it is one of the frontier.
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        let count = self.size.checked_shr(level)?;
        if count & 1 == 0 || index != count - 1 {
            return None;
        }
        let larger = (count >> 1).count_ones();
        self.hashes.get(usize::try_from(larger).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u8) -> Hash {
        leaf_hash(&[n])
    }

    #[test]
    fn the_empty_tree_has_the_root_of_the_standard() {
        assert_eq!(
            Frontier::new().root().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn a_frontier_survives_being_kept_as_parts() {
        let mut whole = Frontier::new();
        for n in 0..11 {
            whole.append(leaf(n)).unwrap();
        }
        let mut again = Frontier::from_parts(whole.size(), whole.hashes().to_vec()).unwrap();
        assert_eq!(again, whole);
        again.append(leaf(11)).unwrap();
        whole.append(leaf(11)).unwrap();
        assert_eq!(again.root(), whole.root());
        assert!(Frontier::from_parts(11, vec![leaf(0); 4]).is_err());
    }

    #[test]
    fn a_full_tree_refuses_another_leaf() {
        let mut full = Frontier::from_parts(u64::MAX, vec![leaf(0); 64]).unwrap();
        assert_eq!(full.append(leaf(1)), Err(Error::Proof("the tree is full")));
        assert_eq!(full.size(), u64::MAX);
    }
}
