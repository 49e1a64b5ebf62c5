//! Entry bundles: the leaves themselves, each after its length in two bytes.
//!
//! The length field is why a record has at most 65,535 bytes.

use super::WIDTH;
use crate::error::{Error, Result};

/// Writes a bundle of 1 to 256 entries: `u16 length ‖ entry`, big-endian, repeated.
pub fn encode_bundle<T: AsRef<[u8]>>(entries: &[T]) -> Result<Vec<u8>> {
    if entries.is_empty() || entries.len() > usize::from(WIDTH) {
        return Err(Error::Tile("a bundle has 1 to 256 entries"));
    }
    let mut bytes = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len())
            .map_err(|_| Error::Tile("an entry has at most 65,535 bytes"))?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
    }
    Ok(bytes)
}

/// Reads a bundle of exactly `width` entries.
pub fn decode_bundle(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>> {
    const SHORT: Error = Error::Tile("the bundle ends within an entry");
    let mut entries = Vec::new();
    let mut rest = bytes;
    for _ in 0..width {
        let (length, tail) = rest.split_first_chunk().ok_or(SHORT)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, tail) = tail.split_at_checked(length).ok_or(SHORT)?;
        entries.push(entry);
        rest = tail;
    }
    if !rest.is_empty() {
        return Err(Error::Tile("the bundle holds more than its width says"));
    }
    Ok(entries)
}
