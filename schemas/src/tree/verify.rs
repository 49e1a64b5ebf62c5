//! Checking proofs: RFC 9162, sections 2.1.3.2 and 2.1.4.2.
//!
//! Both walk the tree with two numbers: where the proven node stands in its level, and where the last node of that
//! level stands. A proof has to be used up exactly when the last node is the root.

use super::node_hash;
use crate::error::{Error, Result};
use crate::hash::Hash;

/// Checks that `leaf` is number `index` of the `size` leaves under `root`.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<()> {
    if root_from_inclusion(leaf, index, size, path)? != *root {
        return Err(Error::Proof("the path leads to another root"));
    }
    Ok(())
}

/// Returns the root that a path of the right length leads to.
///
/// It proves nothing until it is compared with a root that someone signed.
pub fn root_from_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Result<Hash> {
    if index >= size {
        return Err(Error::Proof("the leaf is not in a tree of this size"));
    }
    let mut walk = Walk {
        node: index,
        last: size - 1,
    };
    let mut hash = *leaf;
    for sibling in path {
        hash = match walk.step()? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    walk.end()?;
    Ok(hash)
}

/// Checks that the tree of `size1` leaves under `root1` is a beginning of the tree of `size2` leaves under `root2`.
///
/// `size1` of 0 is refused: nothing is consistent with everything, so no proof of it is worth anything.
pub fn verify_consistency(
    size1: u64,
    size2: u64,
    path: &[Hash],
    root1: &Hash,
    root2: &Hash,
) -> Result<()> {
    if size1 == 0 {
        return Err(Error::Proof("an empty tree is consistent with everything"));
    }
    if size1 > size2 {
        return Err(Error::Proof("the older tree is larger"));
    }
    if size1 == size2 {
        if !path.is_empty() {
            return Err(Error::Proof("trees of the same size need no path"));
        }
        if root1 != root2 {
            return Err(Error::Proof("two roots for the same size"));
        }
        return Ok(());
    }
    // The start is the last complete subtree of the old tree: the whole of it, if its size is a power of two.
    let (start, path) = if size1.is_power_of_two() {
        (root1, path)
    } else {
        path.split_first()
            .ok_or(Error::Proof("the path is too short"))?
    };
    let level = size1.trailing_zeros();
    let mut walk = Walk {
        node: (size1 - 1) >> level,
        last: (size2 - 1) >> level,
    };
    let (mut old, mut new) = (*start, *start);
    for sibling in path {
        match walk.step()? {
            Side::Left => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            // To the right of the old tree is only what came later.
            Side::Right => new = node_hash(&new, sibling),
        }
    }
    walk.end()?;
    if old != *root1 {
        return Err(Error::Proof("the path does not lead to the older root"));
    }
    if new != *root2 {
        return Err(Error::Proof("the path does not lead to the newer root"));
    }
    Ok(())
}

/// A walk from a node to the root.
struct Walk {
    /// Where the node stands in its level.
    node: u64,
    /// Where the last node of that level stands.
    last: u64,
}

/// On which side of the node its sibling is.
enum Side {
    Left,
    Right,
}

impl Walk {
    /// Goes up to the next node that has a sibling, and past it.
    fn step(&mut self) -> Result<Side> {
        if self.last == 0 {
            return Err(Error::Proof("the path is too long"));
        }
        let side = if self.node & 1 == 1 {
            Side::Left
        } else if self.node == self.last {
            // The last node of a level with an odd number of nodes moves up until it is somebody's right sibling.
            self.up(self.node.trailing_zeros());
            Side::Left
        } else {
            Side::Right
        };
        self.up(1);
        Ok(side)
    }

    fn up(&mut self, levels: u32) {
        self.node >>= levels;
        self.last >>= levels;
    }

    /// Checks that the root is reached.
    fn end(&self) -> Result<()> {
        if self.last != 0 {
            return Err(Error::Proof("the path is too short"));
        }
        Ok(())
    }
}
