//! Making proofs from nodes, wherever they are kept.

use super::{empty_root, node_hash};
use crate::error::{Error, Result};
use crate::hash::Hash;

/// Returns the root of the tree of the first `size` leaves.
///
/// `nodes(level, index)` gives complete nodes; only those of this tree are asked for.
pub fn root_of<E: From<Error>>(
    size: u64,
    mut nodes: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    if size == 0 {
        return Ok(empty_root());
    }
    fold(edge(size), &mut nodes)
}

/// Returns the siblings that lead from the leaf `index` to the root of the tree of `size` leaves, nearest first.
pub fn inclusion_proof<E: From<Error>>(
    index: u64,
    size: u64,
    mut nodes: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if index >= size {
        return Err(Error::Proof("the leaf is not in a tree of this size").into());
    }
    // As long as the tree is high, at most.
    let mut path = Vec::with_capacity(64 - size.leading_zeros() as usize);
    climb(0, index, size, &mut path, &mut nodes)?;
    Ok(path)
}

/// Returns the hashes which show that the tree of `size1` leaves is a beginning of the tree of `size2` leaves.
pub fn consistency_proof<E: From<Error>>(
    size1: u64,
    size2: u64,
    mut nodes: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if size1 == 0 {
        return Err(Error::Proof("an empty tree is consistent with everything").into());
    }
    if size1 > size2 {
        return Err(Error::Proof("the older tree is larger").into());
    }
    let mut path = Vec::new();
    if size1 == size2 {
        return Ok(path);
    }
    // The proof starts at the last subtree that the old tree had complete, and climbs from there as for a leaf.
    let level = size1.trailing_zeros();
    let index = (size1 >> level) - 1;
    if index != 0 {
        // Otherwise it is the whole old tree, whose root the verifier has.
        path.push(nodes(level, index)?);
    }
    climb(level, index, size2, &mut path, &mut nodes)?;
    Ok(path)
}

/// Names the largest complete subtrees that cover the leaves from `start` to before `end`, from the left: `(level, index)`.
pub fn covers(start: u64, end: u64) -> impl Iterator<Item = (u32, u64)> {
    let mut at = start;
    std::iter::from_fn(move || {
        let left = end.checked_sub(at).filter(|left| *left > 0)?;
        // Where it can begin (anywhere, at 0), and what fits.
        let level = at.trailing_zeros().min(left.ilog2());
        let index = at >> level;
        at += 1 << level;
        Some((level, index))
    })
}

/// Collects the siblings from a complete node up to the root.
fn climb<E>(
    from: u32,
    node: u64,
    size: u64,
    path: &mut Vec<Hash>,
    nodes: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<(), E>
where
    E: From<Error>,
{
    let mut index = node;
    for level in from..height(size) {
        let complete = size >> level;
        let sibling = index ^ 1;
        if sibling < complete {
            path.push(nodes(level, sibling)?);
        } else if sibling == complete && size & below(level) != 0 {
            path.push(fold(
                edge(size).take_while(|(part, _)| *part < level),
                nodes,
            )?);
        }
        // Without a sibling the node is the last one of its level and moves up unchanged.
        index >>= 1;
    }
    Ok(())
}

/// Names the complete subtrees that a tree of this size consists of, from the right: `(level, index)`.
pub(super) fn edge(size: u64) -> impl DoubleEndedIterator<Item = (u32, u64)> {
    (0..height(size))
        .filter(move |level| (size >> level) & 1 == 1)
        .map(move |level| (level, (size >> level) - 1))
}

/// Above this level no node has a sibling.
fn height(size: u64) -> u32 {
    u64::BITS - size.leading_zeros()
}

/// Hashes subtrees together, from the right.
fn fold<E: From<Error>>(
    parts: impl Iterator<Item = (u32, u64)>,
    nodes: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let mut right = None;
    for (level, index) in parts {
        let left = nodes(level, index)?;
        right = Some(match right {
            Some(right) => node_hash(&left, &right),
            None => left,
        });
    }
    right.ok_or_else(|| Error::Proof("a subtree without leaves has no hash").into())
}

/// The bits below `level`.
fn below(level: u32) -> u64 {
    (1 << level) - 1
}
