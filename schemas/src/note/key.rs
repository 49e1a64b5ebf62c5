//! The keys that sign notes, as text: vkeys.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::VerifyingKey;

use crate::error::{Error, Result};
use crate::hash::Hash;

/// Longest name of a key in bytes; later signature kinds have one byte for its length.
const MAX_NAME: usize = 255;

/// What a key signs with.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Algorithm {
    /// Type `04`: a cosigner's Ed25519, over a checkpoint and a time.
    Cosignature,
    /// Type `01`: Ed25519 over the text.
    Ed25519,
    /// Any other type (ECDSA, RFC 6962 tree heads, ML-DSA): never trusted, its lines are ignored.
    Foreign(u8),
}

impl Algorithm {
    /// The byte that names it in key ids and vkeys.
    pub fn code(self) -> u8 {
        match self {
            Self::Cosignature => 0x04,
            Self::Ed25519 => 0x01,
            Self::Foreign(code) => code,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            0x01 => Self::Ed25519,
            0x04 => Self::Cosignature,
            code => Self::Foreign(code),
        }
    }
}

/// The first four bytes of a hash of name, algorithm and key, printed as 8 hex digits.
///
/// It helps to find a key. It is far too short to identify one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    /// Returns SHA-256 of `name ‖ 0a ‖ algorithm ‖ key`, cut off after 4 bytes.
    pub fn of(name: &str, algorithm: Algorithm, key: &[u8]) -> Self {
        let mut bytes = name.as_bytes().to_vec();
        bytes.extend([b'\n', algorithm.code()]);
        bytes.extend(key);
        let [a, b, c, d, ..] = Hash::sha256(&bytes).0;
        Self([a, b, c, d])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A public key with a name, as text: `<name>+<id>+<base64 of algorithm ‖ key>`.
///
/// ```text
/// example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vkey {
    name: String,
    id: KeyId,
    algorithm: Algorithm,
    bytes: Vec<u8>,
    // INVARIANT: present unless the algorithm is foreign.
    public: Option<VerifyingKey>,
}

impl Vkey {
    /// Names an Ed25519 key that signs texts or, as a cosigner's, checkpoints and times.
    ///
    /// One key must not serve two cosigners: what they sign does not hold their name.
    pub fn new(name: &str, algorithm: Algorithm, key: &VerifyingKey) -> Result<Self> {
        if let Algorithm::Foreign(_) = algorithm {
            return Err(Error::Signature("not an algorithm that we sign with"));
        }
        Self::from_bytes(name, algorithm, key.as_bytes())
    }

    /// Reads a vkey.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why| Error::Name { what: "vkey", why };
        // Base64 has a `+` of its own, so only the first two separate.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("is not `name+id+key`"));
        };
        let key = BASE64
            .decode(key)
            .map_err(|_| bad("has a key that is not base64"))?;
        let (code, key) = key.split_first().ok_or(bad("has no key"))?;
        let mut vkey = Self::from_bytes(name, Algorithm::from_code(*code), key)?;
        let mut bytes = [0; 4];
        hex::decode_to_slice(id, &mut bytes)
            .map_err(|_| bad("has an id that is not 8 hex digits"))?;
        if vkey.public.is_none() {
            // ECDSA keys count their id in another way. Nothing depends on the id of a key that is never trusted.
            vkey.id = KeyId(bytes);
        } else if bytes != vkey.id.0 {
            return Err(bad("has an id that does not belong to its key"));
        }
        if vkey.to_string() != text {
            return Err(bad("is not spelled as it would be written"));
        }
        Ok(vkey)
    }

    fn from_bytes(name: &str, algorithm: Algorithm, bytes: &[u8]) -> Result<Self> {
        check_name(name)?;
        let public = match algorithm {
            Algorithm::Foreign(_) => None,
            Algorithm::Cosignature | Algorithm::Ed25519 => Some(public_key(bytes)?),
        };
        Ok(Self {
            name: name.to_owned(),
            id: KeyId::of(name, algorithm, bytes),
            algorithm,
            bytes: bytes.to_vec(),
            public,
        })
    }

    /// The name; a log's key should be named as its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key itself, unless its algorithm is foreign.
    pub fn public(&self) -> Option<&VerifyingKey> {
        self.public.as_ref()
    }
}

impl fmt::Display for Vkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.algorithm.code()];
        key.extend(&self.bytes);
        write!(f, "{}+{}+{}", self.name, self.id, BASE64.encode(key))
    }
}

/// Reads an Ed25519 public key, refusing those under which one signature fits many texts.
fn public_key(bytes: &[u8]) -> Result<VerifyingKey> {
    let bytes = bytes
        .try_into()
        .map_err(|_| Error::Signature("an Ed25519 key has 32 bytes"))?;
    let key = VerifyingKey::from_bytes(bytes)
        .map_err(|_| Error::Signature("the key is not a point of the curve"))?;
    if key.is_weak() {
        return Err(Error::Signature("the key is weak"));
    }
    Ok(key)
}

/// Checks the name of a key.
pub(super) fn check_name(name: &str) -> Result<()> {
    let bad = |why| {
        Err(Error::Name {
            what: "key name",
            why,
        })
    };
    if name.is_empty() || name.len() > MAX_NAME {
        return bad("is not 1 to 255 bytes long");
    }
    if name.contains('+') || name.contains(|c: char| c.is_whitespace() || c < ' ') {
        return bad("has a space, a `+` or a control character");
    }
    Ok(())
}
