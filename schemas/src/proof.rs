//! Proofs in one file: a leaf is in a signed tree (C2SP tlog-proof).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! index 1
//! <base64 of a sibling, the leaf's own first>
//! <base64 of the next>
//!
//! <the checkpoint, a signed note>
//! ```
//!
//! The leaf itself is not in the file: whoever verifies has it. A line `extra <base64>` may stand above `index`; no
//! signature covers it.
//!
//! Stricter than the specification: every line has one spelling, an empty `extra` line is refused, and the log itself
//! has to have signed under the name of its origin: a cosignature alone is not enough, nor is a key of another log.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::checkpoint::{Checkpoint, Signed, decimal};
use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::note::{Note, Vkey};
use crate::tree::{leaf_hash, verify_inclusion};

/// The first line.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// No tree with 64-bit indices is higher.
const MAX_PATH: usize = 64;

/// A proof that nobody has checked yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proof {
    /// Data that travels with the proof and that no signature covers; not empty.
    extra: Option<Vec<u8>>,
    index: u64,
    path: Vec<Hash>,
    checkpoint: Note,
}

impl Proof {
    /// Puts a proof together; the note has to be a checkpoint.
    pub fn new(index: u64, path: Vec<Hash>, checkpoint: Note) -> Result<Self> {
        Checkpoint::parse(checkpoint.text())?;
        if path.len() > MAX_PATH {
            return Err(Error::Proof("the path is too long"));
        }
        Ok(Self {
            extra: None,
            index,
            path,
            checkpoint,
        })
    }

    /// Adds data that no signature covers.
    pub fn with_extra(self, extra: &[u8]) -> Result<Self> {
        if extra.is_empty() {
            return Err(Error::Proof("the extra data is empty"));
        }
        Ok(Self {
            extra: Some(extra.to_vec()),
            ..self
        })
    }

    /// Reads a proof.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Proof("not UTF-8"))?;
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(Error::Proof("no blank line above the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(Error::Proof("does not start with `c2sp.org/tlog-proof@v1`"));
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.and_then(|line| line.strip_prefix("extra "));
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(decimal);
        let path: Vec<_> = lines
            .take(MAX_PATH + 1)
            .map(read_hash)
            .collect::<Result<_>>()?;
        let proof = Self::new(
            index.ok_or(Error::Proof("no `index` with a plain number"))?,
            path,
            Note::parse(checkpoint.as_bytes())?,
        )?;
        match extra {
            None => Ok(proof),
            Some(extra) => proof.with_extra(
                &BASE64
                    .decode(extra)
                    .map_err(|_| Error::Proof("the extra data is not base64"))?,
            ),
        }
    }

    /// The index of the leaf.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The siblings on the way to the root, nearest first.
    pub fn path(&self) -> &[Hash] {
        &self.path
    }

    /// The checkpoint, not yet verified.
    pub fn checkpoint(&self) -> &Note {
        &self.checkpoint
    }

    /// The data that no signature covers.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Checks that these bytes are the leaf, and returns the checkpoint that says so and who signed it.
    pub fn verify<'k>(&self, leaf: &[u8], known: &'k [Vkey]) -> Result<Signed<'k>> {
        self.verify_hash(&leaf_hash(leaf), known)
    }

    /// Checks that this is the hash of the leaf, as [`Self::verify`] does.
    ///
    /// Only for a hash that the caller has made of bytes: one that came with the proof proves nothing about any record.
    pub fn verify_hash<'k>(&self, leaf: &Hash, known: &'k [Vkey]) -> Result<Signed<'k>> {
        let signed = Signed::open(&self.checkpoint, known)?;
        if !signed.by_log() {
            return Err(Error::Signature("not signed by the log under its origin"));
        }
        let tree = &signed.checkpoint;
        verify_inclusion(leaf, self.index, tree.size(), &self.path, tree.root())?;
        Ok(signed)
    }
}

/// Prints the proof as it is kept and sent.
impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", BASE64.encode(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Reads one line of the path.
fn read_hash(line: &str) -> Result<Hash> {
    let bytes = BASE64.decode(line).ok();
    let hash = bytes.and_then(|bytes| Hash::from_slice(&bytes).ok());
    hash.ok_or(Error::Proof("a hash is not base64 of 32 bytes"))
}
