//! Hashes and names: 32 bytes that mean something, and the texts that stand for a log.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A 32-byte hash: a chain hash (BLAKE3), a tree hash (SHA-256) or a commitment (HMAC-SHA256), as its field says.
///
/// Printed as 64 lower-case hex digits.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Thirty-two zero bytes: `prev` of the genesis record.
    pub const ZERO: Self = Self([0; 32]);

    /// Returns SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        bytes.try_into().map(Self).map_err(|_| Error::Name {
            what: "hash",
            why: "is not 32 bytes long",
        })
    }

    /// Reads 64 hex digits.
    pub fn from_hex(text: &str) -> Result<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Error::Name {
            what: "hash",
            why: "is not 64 hex digits",
        })?;
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An export writes millions: no text is made on the way.
        let mut text = [0; 64];
        hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// The identity of one log: SHA-256 of its genesis record's bytes.
///
/// The origin is a name that a copy can bear too; the log id is not.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LogId(pub Hash);

impl LogId {
    /// Returns the id of the log that starts with these bytes.
    pub fn of_genesis(bytes: &[u8]) -> Self {
        Self(Hash::sha256(bytes))
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a log, e.g. `tacho.invalid/9f86d081884c7d659a2feaa0c55ad015`.
///
/// A domain, `/`, and 32 lower-case hex digits: a schema-less URL as C2SP tlog-checkpoint asks for, with no host or user name in it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Origin(String);

impl Origin {
    /// Longest origin in bytes: a domain (253), a slash and 32 digits would not fit a C2SP name of 255, so domains end at 200.
    const MAX_DOMAIN: usize = 200;

    /// Checks and takes a name.
    pub fn new(text: &str) -> Result<Self> {
        let bad = |why| {
            Err(Error::Name {
                what: "origin",
                why,
            })
        };
        let Some((domain, id)) = text.split_once('/') else {
            return bad("has no `/`");
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if domain.is_empty() || domain.len() > Self::MAX_DOMAIN || !domain.bytes().all(plain) {
            return bad("needs a domain of lower-case letters, digits, `-` and `.`");
        }
        if id.len() != 32
            || !id
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return bad("must end in 32 lower-case hex digits");
        }
        Ok(Self(text.to_owned()))
    }

    /// Makes the origin `<domain>/<hex of id>`.
    pub fn from_parts(domain: &str, id: [u8; 16]) -> Result<Self> {
        Self::new(&format!("{domain}/{}", hex::encode(id)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
