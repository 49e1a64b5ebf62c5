//! Proofs for leaves that were just appended, without reading a node back.

use super::{Frontier, inclusion_proof};
use crate::error::{Error, Result};
use crate::hash::Hash;

/// A tree and the leaves that are being appended to it.
///
/// Holds the old frontier and every node that the new leaves completed. That is enough: the sibling of a node on a new
/// leaf's path is either new itself or, being the complete left neighbour of a node that was not yet complete, part of
/// the old frontier. So each receipt of a commit can carry its inclusion proof while the disk is left alone.
///
/// Appending n leaves costs fewer than 2n hashes beyond the height of the tree.
#[derive(Clone, Debug)]
pub struct Batch {
    old: Frontier,
    new: Frontier,
    /// By level, the nodes completed since `old`, in order.
    completed: Vec<Vec<Hash>>,
}

impl Batch {
    /// Starts with the tree as it is.
    pub fn new(old: Frontier) -> Self {
        Self {
            new: old.clone(),
            old,
            completed: Vec::new(),
        }
    }

    /// Appends one leaf and returns its index.
    pub fn push(&mut self, leaf: Hash) -> Result<u64> {
        let index = self.new.size();
        let completed = &mut self.completed;
        // A leaf completes nodes from level 0 upwards without a gap, so the row of each is there or is the next one.
        let mut rows = 0;
        self.new.grow(leaf, |_, _, hash| {
            match completed.get_mut(rows) {
                Some(row) => row.push(hash),
                None => completed.push(vec![hash]),
            }
            rows += 1;
        })?;
        Ok(index)
    }

    /// The tree with the new leaves.
    pub fn frontier(&self) -> &Frontier {
        &self.new
    }

    /// Ends the batch: the tree with the new leaves is all that is left.
    pub fn into_frontier(self) -> Frontier {
        self.new
    }

    /// Returns the inclusion proof of a new leaf in the new tree.
    pub fn path(&self, index: u64) -> Result<Vec<Hash>> {
        if index < self.old.size() {
            return Err(Error::Proof("the leaf is older than this batch"));
        }
        inclusion_proof(index, self.new.size(), |level, index| {
            self.node(level, index)
                .ok_or(Error::Proof("the batch lacks a node"))
        })
    }

    /// Returns a node, if it is new or in the old frontier.
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        let first = self.old.size().checked_shr(level)?;
        let Some(place) = index.checked_sub(first) else {
            return self.old.node(level, index);
        };
        let row = self.completed.get(usize::try_from(level).ok()?)?;
        row.get(usize::try_from(place).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appending_n_leaves_makes_few_nodes() {
        for old in [0, 1, 255, 256, 1_000] {
            let mut frontier = Frontier::new();
            for _ in 0..old {
                frontier.append(Hash::ZERO).unwrap();
            }
            for new in [1, 2, 100, 1_000] {
                let mut batch = Batch::new(frontier.clone());
                for _ in 0..new {
                    batch.push(Hash::ZERO).unwrap();
                }
                let nodes: usize = batch.completed.iter().map(Vec::len).sum();
                assert!(nodes <= 2 * new + 64, "{nodes} for {new} after {old}");
            }
        }
    }
}
