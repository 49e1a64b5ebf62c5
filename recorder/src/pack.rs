//! Vault rows and artefacts, packed with zstd.
//!
//! What comes back is checked against a commitment or a hash by whoever unpacks, so no zstd checksum is added. What is
//! unpacked was on disk, where others may have been: it may claim any size, so the claim is checked before memory is taken.

use std::fmt;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::find_frame_compressed_size;

use crate::error::{Error, ErrorKind, Result};

/// How hard zstd tries with what is long.
const LEVEL: i32 = 3;

/// And with what is short: without entropy coding, whose tables cost more than they save. A kilobyte of text is packed in two fifths
/// of the time of level 1 and unpacked in a fifth, and is half as long again.
const SHORT_LEVEL: i32 = -3;

/// And where records come faster than they can be written: zstd's least, which copies nearly all bytes as they are, in a tenth of the
/// time of that.
const HASTY_LEVEL: i32 = -131_072;

/// Up to so many bytes are short.
const SHORT: usize = 4096;

/// Where the descriptor of a frame stands (RFC 8878, 3.1.1.1.1), behind the magic number.
const DESCRIPTOR: usize = 4;

/// Its unused bit.
const UNUSED: u8 = 1 << 4;

/// How much work packing is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effort {
    /// As much as it saves on disk.
    Usual,
    /// None for what is short: many wait.
    Hasty,
}

/// Packs; keeps its memory between calls.
pub struct Packer {
    context: Compressor<'static>,
}

impl Packer {
    /// Makes a packer.
    pub fn new() -> Result<Self> {
        Ok(Self {
            context: Compressor::new(LEVEL).map_err(unusable)?,
        })
    }

    /// Packs these bytes.
    pub fn pack(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        self.pack_with(bytes, Effort::Usual)
    }

    /// Packs these bytes, with less effort where there is haste.
    pub fn pack_with(&mut self, bytes: &[u8], effort: Effort) -> Result<Vec<u8>> {
        let level = match (bytes.len(), effort) {
            (0..=SHORT, Effort::Usual) => SHORT_LEVEL,
            (0..=SHORT, Effort::Hasty) => HASTY_LEVEL,
            _ => LEVEL,
        };
        self.context
            .set_compression_level(level)
            .and_then(|()| self.context.compress(bytes))
            .map_err(unusable)
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

/// Unpacks; keeps its memory between calls.
pub struct Unpacker {
    context: Decompressor<'static>,
}

impl Unpacker {
    /// Makes an unpacker.
    pub fn new() -> Result<Self> {
        Ok(Self {
            context: Decompressor::new().map_err(unusable)?,
        })
    }

    /// Unpacks what a [`Packer`] made; refuses more than `cap` bytes before taking memory for them.
    pub fn unpack(&mut self, packed: &[u8], cap: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.unpack_into(packed, cap, &mut bytes)?;
        Ok(bytes)
    }

    /// The same, behind what `bytes` holds already; on an error it holds what it held.
    pub fn unpack_into(&mut self, packed: &[u8], cap: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let corrupt = |why: &str| Error::new(ErrorKind::Corrupt, format!("packed bytes {why}"));
        // To zstd, nothing at all is no frames at all, and fine; a packer writes a frame for it.
        if packed.is_empty() {
            return Err(corrupt("are missing"));
        }
        let length = match Decompressor::upper_bound(packed) {
            None => return Err(corrupt("do not say how long they are")),
            Some(claim) if claim > cap => {
                return Err(corrupt(&format!(
                    "claim {claim} bytes where {cap} are allowed"
                )));
            }
            Some(claim) => claim,
        };
        // zstd passes over this bit, and over whatever frames and skippable frames follow: nobody shall hide anything there.
        if packed.get(DESCRIPTOR).is_none_or(|bits| bits & UNUSED != 0) {
            return Err(corrupt("have a bit that nothing sets"));
        }
        if find_frame_compressed_size(packed) != Ok(packed.len()) {
            return Err(corrupt("are not one frame"));
        }
        let start = bytes.len();
        bytes.resize(start + length, 0);
        let space = bytes.get_mut(start..).unwrap_or_default();
        let unpacked = self.context.decompress_to_buffer(packed, space);
        bytes.truncate(start + unpacked.as_ref().map_or(0, |written| *written));
        unpacked
            .map(drop)
            .map_err(|e| corrupt("cannot be unpacked").with_source(e))
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacker")
    }
}

fn unusable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "zstd refuses to work").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_memory_is_kept() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
        for bytes in [&b""[..], b"x", &[7; 100_000], b"tea, Earl Grey"] {
            for effort in [Effort::Usual, Effort::Hasty] {
                let packed = packer.pack_with(bytes, effort).unwrap();
                assert_eq!(unpacker.unpack(&packed, bytes.len()).unwrap(), bytes);
                assert_eq!(unpacker.unpack(&packed, 1 << 20).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn a_claim_above_the_cap_is_refused_unread() {
        let mut unpacker = Unpacker::new().unwrap();
        let packed = Packer::new().unwrap().pack(&[0; 1000]).unwrap();
        let error = unpacker.unpack(&packed, 999).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(
            error.to_string().contains("1000 bytes where 999"),
            "{error}"
        );
        // Two frames, each below the cap.
        let twice = [packed.clone(), packed].concat();
        assert_eq!(
            unpacker.unpack(&twice, 1999).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
        // A frame whose header claims 2^60 bytes.
        let bomb = [
            0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0,
        ];
        assert_eq!(
            unpacker.unpack(&bomb, 1 << 30).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }

    #[test]
    fn what_zstd_passes_over_is_refused() {
        let mut unpacker = Unpacker::new().unwrap();
        let packed = Packer::new().unwrap().pack(b"tea, Earl Grey").unwrap();
        let empty = Packer::new().unwrap().pack(b"").unwrap();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'h', b'o', b't'];
        let mut unused = packed.clone();
        unused[DESCRIPTOR] |= UNUSED;
        for bytes in [
            unused,
            [&packed[..], &skippable].concat(),
            [&skippable[..], &packed].concat(),
            [&packed[..], &empty].concat(),
            [&packed[..], &[0]].concat(),
        ] {
            assert!(zstd::decode_all(&bytes[..]).is_ok() || bytes.ends_with(&[0]));
            let error = unpacker.unpack(&bytes, 3000).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn broken_bytes_are_refused_and_the_next_ones_are_not() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
        let whole: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let packed = packer.pack(&whole).unwrap();
        for length in 0..packed.len() {
            assert!(
                unpacker.unpack(&packed[..length], 3000).is_err(),
                "{length}"
            );
        }
        assert!(unpacker.unpack(b"no zstd at all", 3000).is_err());
        assert_eq!(unpacker.unpack(&packed, 3000).unwrap(), whole);
    }
}
