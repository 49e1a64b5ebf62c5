//! Signatures inside records and receipts: Ed25519 over `purpose ‖ 00 ‖ bytes`.
//!
//! The purposes are in `domains.md`. Verification is `verify_strict` only: the plain one accepts 165 more of the 914 CCTV
//! edge cases, among them keys of small order under which anybody can sign anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::scalar::Fixed;

/// An Ed25519 public key as it stands in records.
pub type PublicKey = Fixed<32>;

/// What a signature is for; the text is part of what is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// An answer of the gate, by the log key: who asks knows whom.
    Answer,
    /// One group commit: the promise in every receipt.
    Commit,
    /// The genesis record, by the identity key.
    Genesis,
    /// A key record, by the identity key.
    Key,
    /// A seal, by the epoch key that it retires.
    Seal,
}

impl Purpose {
    /// The domain text.
    pub fn domain(self) -> &'static str {
        match self {
            Self::Answer => "tacho/v1/sign/answer",
            Self::Commit => "tacho/v1/sign/commit",
            Self::Genesis => "tacho/v1/sign/genesis",
            Self::Key => "tacho/v1/sign/key",
            Self::Seal => "tacho/v1/sign/seal",
        }
    }

    fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.domain().as_bytes(), &[0], bytes].concat()
    }
}

/// Signs `bytes` for a purpose.
pub fn sign(key: &SigningKey, purpose: Purpose, bytes: &[u8]) -> Fixed<64> {
    Fixed(key.sign(&purpose.message(bytes)).to_bytes())
}

/// Checks a signature made by [`sign`].
pub fn verify(
    key: &PublicKey,
    purpose: Purpose,
    bytes: &[u8],
    signature: &Fixed<64>,
) -> Result<()> {
    let key =
        VerifyingKey::from_bytes(&key.0).map_err(|_| Error::Signature("the key is not a point"))?;
    key.verify_strict(
        &purpose.message(bytes),
        &Signature::from_bytes(&signature.0),
    )
    .map_err(|_| Error::Signature("does not verify"))
}

/// The name of a public key: SHA-256 of its OpenSSH wire encoding, printed as `ssh-keygen -l` prints it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Fingerprint(pub Hash);

impl Fingerprint {
    /// Names an Ed25519 key.
    pub fn of(key: &PublicKey) -> Self {
        let mut wire = Vec::with_capacity(51);
        for part in [b"ssh-ed25519".as_slice(), &key.0] {
            wire.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            wire.extend_from_slice(part);
        }
        Self(Hash::sha256(&wire))
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = Error;

    /// Reads `SHA256:` and 43 characters of base64, as `ssh-keygen -l` prints.
    fn from_str(text: &str) -> Result<Self> {
        let bad = Error::Name {
            what: "fingerprint",
            why: "is not `SHA256:` and 43 characters of base64",
        };
        let bytes = text
            .strip_prefix("SHA256:")
            .and_then(|b| STANDARD_NO_PAD.decode(b).ok());
        bytes
            .and_then(|b| Hash::from_slice(&b).ok())
            .map(Self)
            .ok_or(bad)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0.0))
    }
}
