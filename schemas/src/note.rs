//! Signed notes: a text and signatures below it (C2SP signed-note).
//!
//! ```text
//! any text, also with
//!
//! blank lines
//!
//! — <name> <base64 of key id (4 bytes) ‖ signature>
//! ```
//!
//! The text ends in a line feed, which is signed too; the blank line below it is not. The dash is U+2014.
//!
//! A reader knows some keys. A line by another key is ignored, for anyone may add one. But a line that claims a known
//! key and does not verify makes the whole note false: somebody changed the text, or pretends.
//!
//! Stricter than the specification: base64 and hex have one spelling; a known key may sign once; names have at most 255
//! bytes; a known key that is weak (of low order) is refused; a note is at most 128 KiB and 128 signatures.

mod key;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};

pub use key::{Algorithm, KeyId, Vkey};

use crate::checkpoint::cosignature_message;
use crate::error::{Error, Result};

/// Longest note in bytes. Post-quantum signatures take 3.3 kB each, and a checkpoint may bear many.
const MAX_BYTES: usize = 128 * 1024;

/// Most signatures on a note.
const MAX_SIGNATURES: usize = 128;

/// A text with signatures that nobody has looked at yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    // INVARIANT: ends in a line feed, has no other control characters.
    text: String,
    // INVARIANT: not empty.
    signatures: Vec<SignatureLine>,
}

/// One signature as it stands below a note.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignatureLine {
    name: String,
    id: KeyId,
    signature: Vec<u8>,
}

/// A signature that verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verified<'k> {
    /// The key that made it.
    pub key: &'k Vkey,
    /// When, in seconds since 1970, if the key is a cosigner's: their clock, not ours.
    pub time: Option<u64>,
}

impl Note {
    /// Signs a text as `name`.
    pub fn sign(text: &str, name: &str, key: &SigningKey) -> Result<Self> {
        check_text(text)?;
        let mut note = Self {
            text: text.to_owned(),
            signatures: Vec::new(),
        };
        note.add_signature(name, key)?;
        Ok(note)
    }

    /// Signs the text as one more name.
    pub fn add_signature(&mut self, name: &str, key: &SigningKey) -> Result<()> {
        let vkey = Vkey::new(name, Algorithm::Ed25519, &key.verifying_key())?;
        let signature = key.sign(self.text.as_bytes()).to_bytes().to_vec();
        self.add(SignatureLine {
            name: name.to_owned(),
            id: vkey.id(),
            signature,
        })
    }

    /// Takes a line that someone else sent, e.g. a witness.
    pub fn add(&mut self, line: SignatureLine) -> Result<()> {
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(Error::Note("too many signatures"));
        }
        let mut others = self.signatures.iter();
        if others.any(|other| other.name == line.name && other.id == line.id) {
            return Err(Error::Note("this key has signed already"));
        }
        self.signatures.push(line);
        Ok(())
    }

    /// Reads a note.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::Note("longer than 128 KiB"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| Error::Note("not UTF-8"))?;
        let (text, lines) = note
            .rsplit_once("\n\n")
            .ok_or(Error::Note("no blank line above the signatures"))?;
        let text = format!("{text}\n");
        check_text(&text)?;
        let lines = lines
            .strip_suffix('\n')
            .ok_or(Error::Note("no line feed at the end"))?;
        if lines.split('\n').count() > MAX_SIGNATURES {
            return Err(Error::Note("too many signatures"));
        }
        let signatures = lines.split('\n').map(SignatureLine::parse);
        Ok(Self {
            text,
            signatures: signatures.collect::<Result<_>>()?,
        })
    }

    /// The text that is signed, with the line feed at its end.
    ///
    /// Nothing is known about it until [`Self::verify`] says who signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in order.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Returns the signatures by known keys; at least one.
    ///
    /// Refuses the note if no known key signed it, or if a known key signed twice, or if a signature that bears name and
    /// id of a known key does not verify. Keys of a [`Algorithm::Foreign`] kind count as unknown.
    pub fn verify<'k>(&self, known: &'k [Vkey]) -> Result<Vec<Verified<'k>>> {
        let mut verified: Vec<Verified<'k>> = Vec::new();
        for line in &self.signatures {
            let Some(key) = line.find_key(known)? else {
                continue;
            };
            if verified.iter().any(|earlier| earlier.key == key) {
                return Err(Error::Signature("a known key signed twice"));
            }
            let time = line.verify(&self.text, key)?;
            verified.push(Verified { key, time });
        }
        if verified.is_empty() {
            return Err(Error::Signature("no signature by a known key"));
        }
        Ok(verified)
    }
}

/// Prints the note as it is kept and sent.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}

impl SignatureLine {
    /// Makes a line of its parts.
    pub(crate) fn new(key: &Vkey, signature: Vec<u8>) -> Self {
        Self {
            name: key.name().to_owned(),
            id: key.id(),
            signature,
        }
    }

    /// Reads a line, without the line feed at its end.
    pub fn parse(line: &str) -> Result<Self> {
        let (name, encoded) = line
            .strip_prefix("— ")
            .and_then(|rest| rest.split_once(' '))
            .ok_or(Error::Note("a signature line is not `— name signature`"))?;
        key::check_name(name)?;
        let bytes = BASE64
            .decode(encoded)
            .map_err(|_| Error::Note("a signature is not base64"))?;
        let (id, signature) = bytes
            .split_first_chunk()
            .ok_or(Error::Note("a signature has no key id"))?;
        if signature.is_empty() {
            return Err(Error::Note("a signature is empty"));
        }
        Ok(Self {
            name: name.to_owned(),
            id: KeyId(*id),
            signature: signature.to_vec(),
        })
    }

    /// The name of the key that is claimed to have signed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of that key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The signature, of whatever kind.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Finds the known key whose name and id the line bears.
    fn find_key<'k>(&self, known: &'k [Vkey]) -> Result<Option<&'k Vkey>> {
        let mut found: Option<&Vkey> = None;
        for key in known {
            if key.public().is_none() || key.name() != self.name || key.id() != self.id {
                continue;
            }
            // Ids have 32 bits, so two keys can be made to share one. Then nobody can say whose line it is.
            if found.is_some_and(|other| other != key) {
                return Err(Error::Signature("two known keys have the same name and id"));
            }
            found = Some(key);
        }
        Ok(found)
    }

    /// Checks the signature and returns its time, if it has one.
    fn verify(&self, text: &str, key: &Vkey) -> Result<Option<u64>> {
        const FALSE: Error = Error::Signature("a signature by a known key does not verify");
        let public = key.public().ok_or(FALSE)?;
        let (message, time, signature) = match key.algorithm() {
            Algorithm::Ed25519 => (text.to_owned(), None, self.signature.as_slice()),
            Algorithm::Cosignature => {
                let (time, signature) = self.signature.split_first_chunk().ok_or(FALSE)?;
                let time = u64::from_be_bytes(*time);
                (cosignature_message(text, time)?, Some(time), signature)
            }
            Algorithm::Foreign(_) => return Err(FALSE),
        };
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| FALSE)?;
        public
            .verify_strict(message.as_bytes(), &signature)
            .map_err(|_| FALSE)?;
        Ok(time)
    }
}

/// Prints the line with its line feed.
impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.0.to_vec();
        bytes.extend(&self.signature);
        writeln!(f, "— {} {}", self.name, BASE64.encode(bytes))
    }
}

/// Checks what may be signed.
fn check_text(text: &str) -> Result<()> {
    if !text.ends_with('\n') {
        return Err(Error::Note("the text does not end in a line feed"));
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(Error::Note("control characters"));
    }
    if text.len() > MAX_BYTES {
        return Err(Error::Note("longer than 128 KiB"));
    }
    Ok(())
}
