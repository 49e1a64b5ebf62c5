//! Signatures of people: OpenSSH keys and SSHSIG (OpenSSH PROTOCOL.sshsig), Ed25519 in a file or in hardware.
//!
//! `ssh-key` reads the formats. The signature itself is checked here, strictly, as all others are ([`crate::sign`]).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey, SshSig};

use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::sign::Fingerprint;

/// Longest key or signature that is looked at, in bytes of text.
const MAX_TEXT: usize = 8192;

/// The bit of a security key's flags that says: somebody touched it (PROTOCOL.u2f).
const TOUCHED: u8 = 1;

/// A person's public key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HumanKey {
    key: VerifyingKey,
    /// What a security key signs for, e.g. `ssh:`; none for a key in a file.
    application: Option<String>,
    blob: Vec<u8>,
}

impl HumanKey {
    /// Reads a line of a `.pub` file: `ssh-ed25519` or `sk-ssh-ed25519@openssh.com`.
    pub fn from_openssh(line: &str) -> Result<Self> {
        if line.len() > MAX_TEXT {
            return Err(bad("the key is too long"));
        }
        let key = PublicKey::from_openssh(line.trim_end())
            .map_err(|_| bad("the key is no OpenSSH public key"))?;
        Self::from_data(&key)
    }

    /// Reads a key as a `key` record holds it: OpenSSH's wire encoding.
    pub fn from_blob(blob: &[u8]) -> Result<Self> {
        let key = PublicKey::from_bytes(blob).map_err(|_| bad("the key is no OpenSSH key"))?;
        let key = Self::from_data(&key)?;
        // One key has one encoding and one fingerprint.
        if key.blob != blob {
            return Err(bad("the key is spelled otherwise than it must be"));
        }
        Ok(key)
    }

    fn from_data(key: &PublicKey) -> Result<Self> {
        let (point, application) = match key.key_data() {
            KeyData::Ed25519(key) => (key.0, None),
            KeyData::SkEd25519(key) => (key.public_key().0, Some(key.application().to_owned())),
            _ => {
                return Err(bad(
                    "the key is neither `ssh-ed25519` nor `sk-ssh-ed25519@openssh.com`",
                ));
            }
        };
        let verifying =
            VerifyingKey::from_bytes(&point).map_err(|_| bad("the key is not a point"))?;
        if verifying.is_weak() {
            return Err(bad("the key is of small order"));
        }
        Ok(Self {
            key: verifying,
            application,
            blob: key
                .to_bytes()
                .map_err(|_| bad("the key cannot be encoded"))?,
        })
    }

    /// OpenSSH's wire encoding, as it stands in a `key` record.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The key's name, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Hash::sha256(&self.blob))
    }

    /// Whether the key is in hardware.
    pub fn is_hardware(&self) -> bool {
        self.application.is_some()
    }

    /// The key as a `.pub` file has it, without a comment.
    pub fn to_openssh(&self) -> String {
        let name = match self.application {
            None => "ssh-ed25519",
            Some(_) => "sk-ssh-ed25519@openssh.com",
        };
        format!("{name} {}", STANDARD.encode(&self.blob))
    }

    /// Checks a signature (an SSHSIG blob) by this key over a message, in a namespace.
    pub fn verify(&self, namespace: &str, message: &[u8], sshsig: &[u8]) -> Result<Signed> {
        let parsed = parse(sshsig)?;
        if parsed.version() != SshSig::VERSION || !parsed.reserved().is_empty() {
            return Err(bad("the signature is of a version that is not known"));
        }
        if parsed.namespace() != namespace {
            return Err(bad("the signature is for another purpose"));
        }
        let data = PublicKey::from(parsed.public_key().clone()).to_bytes();
        if data.ok().as_deref() != Some(&self.blob) {
            return Err(bad("the signature is by another key"));
        }
        let hash = match parsed.hash_alg() {
            HashAlg::Sha256 => HashAlg::Sha256,
            HashAlg::Sha512 => HashAlg::Sha512,
            _ => return Err(bad("the signature uses a hash that is not known")),
        };
        let signed = SshSig::signed_data(namespace, hash, message)
            .map_err(|_| bad("the signature cannot be checked"))?;
        let bytes = parsed.signature_bytes();
        let (raw, rest) = bytes.split_at_checked(64).ok_or_else(unverified)?;
        let (signed, flags) = match (&self.application, rest) {
            (None, []) => (signed, None),
            (Some(application), [flags, counter @ ..]) if counter.len() == 4 => {
                let mut over = Sha256::digest(application.as_bytes()).to_vec();
                over.extend_from_slice(rest);
                over.extend_from_slice(&Sha256::digest(&signed));
                (over, Some(*flags))
            }
            _ => return Err(unverified()),
        };
        let raw = Signature::from_slice(raw).map_err(|_| unverified())?;
        self.key
            .verify_strict(&signed, &raw)
            .map_err(|_| unverified())?;
        Ok(Signed {
            touched: flags.is_some_and(|flags| flags & TOUCHED != 0),
        })
    }
}

/// What a good signature shows beyond the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Signed {
    /// It was made in hardware that somebody touched.
    pub touched: bool,
}

/// The fingerprint of the key that an SSHSIG blob says it is by; nothing is checked.
pub fn claimed_key(sshsig: &[u8]) -> Result<Fingerprint> {
    let parsed = parse(sshsig)?;
    let blob = PublicKey::from(parsed.public_key().clone()).to_bytes();
    let blob = blob.map_err(|_| bad("the key cannot be encoded"))?;
    Ok(Fingerprint(Hash::sha256(&blob)))
}

/// Takes the armour (`-----BEGIN SSH SIGNATURE-----`) off a signature.
pub fn from_armoured(text: &str) -> Result<Vec<u8>> {
    let inside = text
        .trim()
        .strip_prefix(BEGIN)
        .and_then(|rest| rest.strip_suffix(END))
        .filter(|inside| inside.len() <= MAX_TEXT)
        .ok_or_else(|| bad("the signature is not armoured as `ssh-keygen -Y sign` does"))?;
    let digits: String = inside.split_ascii_whitespace().collect();
    let blob = STANDARD
        .decode(digits)
        .map_err(|_| bad("the signature is not base64"))?;
    parse(&blob)?;
    Ok(blob)
}

/// Puts the armour on a signature, for `ssh-keygen -Y verify`.
pub fn to_armoured(sshsig: &[u8]) -> String {
    let digits = STANDARD.encode(sshsig);
    let mut text = format!("{BEGIN}\n");
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && place.is_multiple_of(LINE) {
            text.push('\n');
        }
        text.push(digit);
    }
    text.push('\n');
    text.push_str(END);
    text.push('\n');
    text
}

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

/// Digits in a line of armour, as OpenSSH writes it.
const LINE: usize = 70;

/// Reads a blob; any other spelling of it is refused.
fn parse(sshsig: &[u8]) -> Result<SshSig> {
    let malformed = || bad("the signature is malformed");
    if sshsig.len() > MAX_TEXT {
        return Err(malformed());
    }
    let parsed = SshSig::from_pem(to_armoured(sshsig)).map_err(|_| malformed())?;
    let again = parsed
        .to_pem(ssh_key::LineEnding::LF)
        .map_err(|_| malformed())?;
    match again == to_armoured(sshsig) {
        true => Ok(parsed),
        false => Err(malformed()),
    }
}

fn unverified() -> Error {
    Error::Signature("does not verify")
}

fn bad(why: &'static str) -> Error {
    Error::Meaning(why.to_owned())
}
