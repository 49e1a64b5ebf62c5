//! Signatures of people: made by `ssh-keygen`, checked by us, and the other way round.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256, Sha512};
use tacho_schemas::act::NAMESPACE;
use tacho_schemas::sshsig::{HumanKey, claimed_key, from_armoured, to_armoured};

const TEXT: &str = "tacho/v1/act\nsomething\n";

fn keygen(folder: &Path, kind: &str) -> Option<PathBuf> {
    let path = folder.join(kind);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", "", "-C", "a comment", "-f"])
        .arg(&path)
        .stderr(Stdio::null())
        .status();
    made.is_ok_and(|status| status.success()).then_some(path)
}

fn sign(key: &Path, namespace: &str, text: &str, options: &[&str]) -> String {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-n", namespace, "-f"])
        .arg(key)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn public(key: &Path) -> String {
    std::fs::read_to_string(key.with_extension("pub")).unwrap()
}

#[test]
fn what_ssh_keygen_signs_is_checked_and_nothing_else_passes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = keygen(folder.path(), "ed25519") else {
        return;
    };
    let key = HumanKey::from_openssh(&public(&path)).unwrap();
    assert!(public(&path).starts_with(&key.to_openssh()));
    assert_eq!(HumanKey::from_blob(key.blob()).unwrap(), key);
    let armoured = sign(&path, NAMESPACE, TEXT, &[]);
    let blob = from_armoured(&armoured).unwrap();
    assert_eq!(to_armoured(&blob), armoured);
    assert_eq!(claimed_key(&blob).unwrap(), key.fingerprint());
    let good = |message: &str, blob: &[u8]| key.verify(NAMESPACE, message.as_bytes(), blob);
    assert!(!good(TEXT, &blob).unwrap().touched);
    good("something else", &blob).unwrap_err();
    key.verify("git", TEXT.as_bytes(), &blob).unwrap_err();
    let sha256 = from_armoured(&sign(&path, NAMESPACE, TEXT, &["-O", "hashalg=sha256"])).unwrap();
    good(TEXT, &sha256).unwrap();
    good(
        TEXT,
        &from_armoured(&sign(&path, "git", TEXT, &[])).unwrap(),
    )
    .unwrap_err();
    // No bit of it is without a meaning.
    for bit in 0..blob.len() * 8 {
        let mut flipped = blob.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(good(TEXT, &flipped).is_err(), "bit {bit}");
    }
    for length in 0..blob.len() {
        assert!(good(TEXT, &blob[..length]).is_err(), "{length} bytes");
    }
    let mut longer = blob;
    longer.push(0);
    good(TEXT, &longer).unwrap_err();
}

#[test]
fn keys_of_other_kinds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["rsa", "ecdsa"] {
        if let Some(path) = keygen(folder.path(), kind) {
            HumanKey::from_openssh(&public(&path)).unwrap_err();
        }
    }
    for text in [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 !",
        &"x".repeat(10_000),
    ] {
        HumanKey::from_openssh(text).unwrap_err();
    }
    // A key of small order, under which anybody can sign.
    let mut blob = [&[0, 0, 0, 11][..], b"ssh-ed25519", &[0, 0, 0, 32]].concat();
    blob.extend([0; 32]);
    HumanKey::from_blob(&blob).unwrap_err();
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [
        &u32::try_from(bytes.len()).unwrap().to_be_bytes()[..],
        bytes,
    ]
    .concat()
}

/// A security key, as PROTOCOL.u2f has it sign; `ssh-keygen` checks that we understood it.
#[test]
fn a_security_key_shows_its_touch() {
    let secret = SigningKey::from_bytes(&[5; 32]);
    let algorithm = b"sk-ssh-ed25519@openssh.com";
    let mut blob = string(algorithm);
    blob.extend(string(secret.verifying_key().as_bytes()));
    blob.extend(string(b"ssh:"));
    let key = HumanKey::from_blob(&blob).unwrap();
    assert!(key.is_hardware());
    let signed = |flags: u8| {
        let mut over = b"SSHSIG".to_vec();
        let hash = Sha512::digest(TEXT.as_bytes());
        for part in [NAMESPACE.as_bytes(), b"", b"sha512", &hash] {
            over.extend(string(part));
        }
        let mut u2f = Sha256::digest(b"ssh:").to_vec();
        u2f.extend([flags, 0, 0, 0, 9]);
        u2f.extend(Sha256::digest(&over));
        let mut signature = string(algorithm);
        signature.extend(string(&secret.sign(&u2f).to_bytes()));
        signature.extend([flags, 0, 0, 0, 9]);
        let mut all = b"SSHSIG\0\0\0\x01".to_vec();
        for part in [key.blob(), NAMESPACE.as_bytes(), b"", b"sha512", &signature] {
            all.extend(string(part));
        }
        all
    };
    let verify = |blob: &[u8]| key.verify(NAMESPACE, TEXT.as_bytes(), blob);
    assert!(verify(&signed(1)).unwrap().touched);
    assert!(verify(&signed(5)).unwrap().touched);
    assert!(!verify(&signed(0)).unwrap().touched);
    // The flags are signed too.
    let mut lifted = signed(0);
    let flags = lifted.len() - 5;
    lifted[flags] = 1;
    verify(&lifted).unwrap_err();

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "signers",
        format!("alice namespaces=\"{NAMESPACE}\" {}\n", key.to_openssh()),
    );
    write("sig", to_armoured(&signed(1)));
    let Ok(mut child) = Command::new("ssh-keygen")
        .args([
            "-Y", "verify", "-n", NAMESPACE, "-I", "alice", "-f", "signers", "-s", "sig",
        ])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
    else {
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(TEXT.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}
