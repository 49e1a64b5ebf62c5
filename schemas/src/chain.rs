//! The BLAKE3 chain: what streaming checks, crash recovery and receipts lean on.
//!
//! `c[0] = H(32 zero bytes ‖ u64 length ‖ bytes[0])`, `c[i] = H(c[i-1] ‖ u64 length ‖ bytes[i])`, where `H` is BLAKE3 in
//! key-derivation mode with the context [`CONTEXT`] and lengths are big-endian. Record `i` carries `c[i-1]` as `prev`, so
//! the tree commits to the chain as well. Outsiders are never asked to believe the chain: their proofs come from the tree.

use std::sync::LazyLock;

use crate::hash::Hash;

/// The BLAKE3 `derive_key` context.
pub const CONTEXT: &str = "tacho/v1/chain";

static START: LazyLock<blake3::Hasher> = LazyLock::new(|| blake3::Hasher::new_derive_key(CONTEXT));

/// Returns the chain hash of a record with these bytes after a record with chain hash `prev`.
pub fn link(prev: &Hash, bytes: &[u8]) -> Hash {
    let mut hasher = START.clone();
    hasher.update(prev.as_bytes());
    hasher.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    hasher.update(bytes);
    Hash(*hasher.finalize().as_bytes())
}
