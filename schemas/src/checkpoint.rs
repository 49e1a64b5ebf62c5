//! Checkpoints: what a log says its tree is (C2SP tlog-checkpoint), and what others say they saw (tlog-cosignature).
//!
//! A checkpoint is a note whose text is the name of the log, the number of leaves and the root:
//!
//! ```text
//! tacho.invalid/9f86d081884c7d659a2feaa0c55ad015
//! 42
//! lCkHUpkmVBEms2r2T1K6Og69+wUuuN3MIEW1/ezu2v0=
//!
//! — tacho.invalid/9f86d081884c7d659a2feaa0c55ad015 <signature by the log key>
//! — tacho.invalid/9f86d081884c7d659a2feaa0c55ad015/e3 <signature by the key of epoch 3>
//! ```
//!
//! Logs of others may add extension lines; ours do not, since not every kind of cosignature covers them.
//!
//! Stricter than the specification: size and root have one spelling, and a tree of size 0 has the root of the empty
//! tree. A cosignature of time 0 is refused, because it says nothing about when.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};

use crate::error::{Error, Result};
use crate::hash::{Hash, Origin};
use crate::note::{Algorithm, Note, SignatureLine, Verified, Vkey};
use crate::tree::empty_root;

/// A tree head: origin, size and root.
///
/// The origin is text, because logs of others are named as they like; see [`Self::is_of`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// Makes a checkpoint without extension lines.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self> {
        Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        }
        .check()
    }

    /// Reads the text of a note.
    pub fn parse(text: &str) -> Result<Self> {
        let body = text
            .strip_suffix('\n')
            .ok_or(Error::Checkpoint("no line feed at the end"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(Error::Checkpoint("fewer than three lines"));
        };
        let root = BASE64.decode(root).ok();
        let root = root.and_then(|root| Hash::from_slice(&root).ok());
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: decimal(size).ok_or(Error::Checkpoint("the size is not a plain number"))?,
            root: root.ok_or(Error::Checkpoint("the root is not base64 of 32 bytes"))?,
            extensions: lines.map(str::to_owned).collect(),
        };
        checkpoint.check()
    }

    fn check(self) -> Result<Self> {
        let lines = || std::iter::once(&self.origin).chain(&self.extensions);
        if lines().any(String::is_empty) {
            return Err(Error::Checkpoint("an empty line"));
        }
        if lines().any(|line| line.bytes().any(|byte| byte < b' ')) {
            return Err(Error::Checkpoint("control characters"));
        }
        if self.size == 0 && self.root != empty_root() {
            return Err(Error::Checkpoint("a tree without leaves has another root"));
        }
        Ok(self)
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether this is about the log with that origin.
    pub fn is_of(&self, origin: &Origin) -> bool {
        self.origin == origin.as_str()
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The extension lines, which mean nothing to us.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// Whether both cannot be true: two roots for one size of one log.
    ///
    /// If the sizes differ, only a consistency proof can tell.
    pub fn contradicts(&self, other: &Self) -> bool {
        self.origin == other.origin && self.size == other.size && self.root != other.root
    }
}

/// Prints the text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}\n{}\n{}",
            self.origin,
            self.size,
            BASE64.encode(self.root.0)
        )?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A checkpoint and who signed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed<'k> {
    /// What they signed.
    pub checkpoint: Checkpoint,
    /// The signatures by known keys; at least one.
    pub signatures: Vec<Verified<'k>>,
}

impl<'k> Signed<'k> {
    /// Verifies a note and reads the checkpoint in it.
    ///
    /// Any one of the known keys is enough, also a cosigner's: ask [`Self::by`] or [`Self::by_log`] for more.
    pub fn open(note: &Note, known: &'k [Vkey]) -> Result<Self> {
        let signatures = note.verify(known)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(Self {
            checkpoint,
            signatures,
        })
    }

    /// Whether a key with this name signed.
    pub fn by(&self, name: &str) -> bool {
        self.signatures.iter().any(|one| one.key.name() == name)
    }

    /// Whether the log itself signed: a key that is named as the origin, and is no cosigner's.
    pub fn by_log(&self) -> bool {
        let mut signatures = self.signatures.iter();
        signatures.any(|one| {
            one.key.algorithm() == Algorithm::Ed25519 && one.key.name() == self.checkpoint.origin
        })
    }
}

/// Returns the name under which the key of an epoch signs: `<origin>/e<epoch>`.
pub fn epoch_name(origin: &Origin, epoch: u64) -> String {
    format!("{origin}/e{epoch}")
}

/// Adds a cosignature: `name` saw this checkpoint at `time`, in seconds since 1970, and none that it contradicts.
///
/// The signature field is `time (8 bytes, big-endian) ‖ signature (64 bytes)`.
pub fn cosign(note: &mut Note, name: &str, key: &SigningKey, time: u64) -> Result<()> {
    Checkpoint::parse(note.text())?;
    let vkey = Vkey::new(name, Algorithm::Cosignature, &key.verifying_key())?;
    let message = cosignature_message(note.text(), time)?;
    let mut field = time.to_be_bytes().to_vec();
    field.extend(key.sign(message.as_bytes()).to_bytes());
    note.add(SignatureLine::new(&vkey, field))
}

/// Returns what a cosigner signs: two lines of its own, then the text of the checkpoint.
///
/// ```text
/// cosignature/v1
/// time 1679315147
/// example.com/behind-the-sofa
/// 20852163
/// CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
/// ```
pub(crate) fn cosignature_message(text: &str, time: u64) -> Result<String> {
    if time == 0 || i64::try_from(time).is_err() {
        return Err(Error::Signature("a cosignature has an impossible time"));
    }
    Ok(format!("cosignature/v1\ntime {time}\n{text}"))
}

/// Reads a number that is spelled in the one way it would be written.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number = text.parse::<u64>().ok()?;
    (number.to_string() == text).then_some(number)
}
