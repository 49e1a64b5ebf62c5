//! Keys as files, and the ring of keys that a log signs with.
//!
//! A key file is PKCS#8 PEM without the public half, which openssl reads too. Secrets leave memory when dropped. On disk
//! they are overwritten before they are unlinked; on flash, and on file systems that copy on write, that is a best effort:
//! the old blocks may live on until the device reuses them. What protects a sealed epoch is the seal; destroying its key
//! early only shortens the time in which it can be stolen.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use nix::fcntl::OFlag;
use tacho_schemas::Fixed;
use tacho_schemas::sign::Fingerprint;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::files::{self, Privacy};

pub mod ring;

pub use ed25519_dalek::SigningKey;
pub use ring::{KeyRing, PromoteStep, Recovered};

/// Longest key file we read; ours have 119 bytes.
const MAX_FILE: u64 = 4096;

/// Makes a new key from the system's randomness.
pub fn generate() -> Result<SigningKey> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret)
        .map_err(|e| Error::new(ErrorKind::Io, "the system gives no randomness").with_source(e))?;
    Ok(SigningKey::from_bytes(&secret))
}

/// Writes a key to a new file (0600) and makes it durable, name and all.
pub fn write(path: &Path, key: &SigningKey) -> Result<()> {
    files::write_new(path, to_pem(key)?.as_bytes())
}

fn to_pem(key: &SigningKey) -> Result<Zeroizing<String>> {
    let pair = KeypairBytes {
        secret_key: key.to_bytes(),
        // With a public half the file would be PKCS#8 version 2, which openssl does not read.
        public_key: None,
    };
    pair.to_pkcs8_pem(LineEnding::LF)
        .map_err(|e| Error::new(ErrorKind::Io, "the key cannot be written down").with_source(e))
}

/// Writes a key over another one, in the same place of the disk, and makes that durable. All key files are of one length.
fn overwrite(path: &Path, key: &SigningKey) -> Result<()> {
    let pem = to_pem(key)?;
    let failed = |e| Error::io("write", path, e);
    let mut file = OpenOptions::new()
        .write(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if meta.nlink() > 1 || usize::try_from(meta.len()) != Ok(pem.len()) {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("{} was changed by someone else", Quoted(path)),
        ));
    }
    file.write_all(pem.as_bytes())
        .and_then(|()| file.sync_data())
        .map_err(failed)
}

/// Reads a key; refuses a symlink, another user's file and one that others can read.
pub fn read(path: &Path) -> Result<SigningKey> {
    let file = files::open_private(path, Privacy::Secret)?;
    // Reserved once, so that no growing leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(8192));
    files::read_capped(&file, path, MAX_FILE, &mut bytes)?;
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|pem| SigningKey::from_pkcs8_pem(pem).ok())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                format!("{} holds no Ed25519 key", Quoted(path)),
            )
        })
}

/// Makes the identity key of a log, in a file outside the log's directory.
///
/// Outside, because whoever can change the log must not be able to sign a new beginning for it.
pub fn create_identity(path: &Path, log_dir: &Path) -> Result<SigningKey> {
    outside(path, log_dir)?;
    let key = generate()?;
    write(path, &key)?;
    Ok(key)
}

/// Reads the identity key; refuses one inside the log's directory.
pub fn read_identity(path: &Path, log_dir: &Path) -> Result<SigningKey> {
    outside(path, log_dir)?;
    read(path)
}

/// Names a key as `ssh-keygen -l` does.
pub fn fingerprint(key: &VerifyingKey) -> Fingerprint {
    Fingerprint::of(&Fixed(key.to_bytes()))
}

/// Refuses a path beneath the log's directory.
fn outside(path: &Path, log_dir: &Path) -> Result<()> {
    let path = files::resolve_parent(path)?;
    let log_dir = std::fs::canonicalize(log_dir).map_err(|e| Error::io("open", log_dir, e))?;
    if path.starts_with(&log_dir) {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("the identity key {} is inside the log", Quoted(&path)),
        )
        .with_hint("keep it where whoever writes the log cannot reach it"));
    }
    Ok(())
}

/// Overwrites a secret with zeros and makes that durable; a file that is not there is fine.
fn zero(path: &Path) -> Result<()> {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("open", path, e)),
    };
    let wipe = |file: &mut std::fs::File| {
        let meta = file.metadata()?;
        // Two names for one file: wiping this one would wipe a key that is still in use under the other.
        if meta.nlink() > 1 {
            return Ok(());
        }
        let length = usize::try_from(meta.len().min(MAX_FILE)).unwrap_or_default();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&vec![0; length])?;
        file.sync_all()
    };
    wipe(&mut file).map_err(|e| Error::io("erase", path, e))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use base64::Engine as _;

    use super::*;

    /// The key of RFC 8032, section 7.1, test 1.
    fn known() -> SigningKey {
        let mut secret = [0; 32];
        hex::decode_to_slice(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            &mut secret,
        )
        .unwrap();
        SigningKey::from_bytes(&secret)
    }

    #[test]
    fn a_key_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        let key = generate().unwrap();
        write(&path, &key).unwrap();
        assert_eq!(read(&path).unwrap().to_bytes(), key.to_bytes());
        assert_eq!(write(&path, &key).unwrap_err().kind(), ErrorKind::Exists);
        assert_ne!(generate().unwrap().to_bytes(), key.to_bytes());
    }

    #[test]
    fn a_key_file_is_the_one_openssl_knows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        write(&path, &known()).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "-----BEGIN PRIVATE KEY-----\n\
             MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
             -----END PRIVATE KEY-----\n"
        );
        let Ok(out) = Command::new("openssl")
            .args(["pkey", "-pubout", "-outform", "DER", "-in"])
            .arg(&path)
            .output()
        else {
            return;
        };
        assert!(out.status.success(), "{out:?}");
        assert!(out.stdout.ends_with(known().verifying_key().as_bytes()));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        write(&path, &known()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.hint().unwrap().starts_with("run chmod 600 `"));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read(&link).unwrap_err().kind(), ErrorKind::Denied);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("empty", &b""[..]),
            ("zeros", &[0; 119]),
            ("binary", &[0xff; 119]),
            ("long", &[b'a'; 5000]),
            (
                "other",
                b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            ),
        ] {
            let path = dir.path().join(name);
            files::write_new(&path, bytes).unwrap();
            assert_eq!(
                read(&path).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{name}"
            );
        }
        let missing = read(&dir.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Missing);
    }

    #[test]
    fn an_identity_lives_outside_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::create_dir_all(log.join("keys")).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&log, &link).unwrap();
        for inside in [
            log.join("id.pem"),
            log.join("keys/id.pem"),
            log.join("../log/id.pem"),
            link.join("id.pem"),
        ] {
            let error = create_identity(&inside, &log).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{inside:?}");
        }
        // `log-id.pem` starts with the same letters, and is outside.
        let path = dir.path().join("log-id.pem");
        let made = create_identity(&path, &log).unwrap();
        assert_eq!(
            read_identity(&path, &log).unwrap().to_bytes(),
            made.to_bytes()
        );
    }

    #[test]
    fn fingerprints_are_those_of_ssh() {
        let key = known().verifying_key();
        let ours = fingerprint(&key).to_string();
        assert_eq!(ours.len(), 50);
        let mut wire = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
        wire.extend(key.as_bytes());
        let line = format!(
            "ssh-ed25519 {} x\n",
            base64::engine::general_purpose::STANDARD.encode(wire)
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pub");
        std::fs::write(&path, line).unwrap();
        assert_eq!(ours, "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8");
        let Ok(out) = Command::new("ssh-keygen").arg("-lf").arg(&path).output() else {
            return;
        };
        let theirs = String::from_utf8(out.stdout).unwrap();
        assert_eq!(theirs.split(' ').nth(1), Some(ours.as_str()));
    }
}
