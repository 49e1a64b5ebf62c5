//! `domains.md` and the code name the same domains.
#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeSet;
use std::path::Path;

use tacho_schemas::content::{Field, commit};
use tacho_schemas::scalar::Fixed;
use tacho_schemas::tree::leaf_hash;
use tacho_schemas::{Hash, Kind, chain, sign};

const DOMAINS: &str = include_str!("../domains.md");

/// Every text that starts with `start` and ends before `end`.
fn texts_between(source: &str, start: &str, end: char) -> Vec<String> {
    let skip = start.len() - "tacho/v1/".len();
    let found = source.match_indices(start).map(|(at, _)| {
        let rest = &source[at + skip..];
        rest[..rest.find(end).unwrap()].to_owned()
    });
    found.collect()
}

/// Every literal `"tacho/v1/…"` of the sources.
fn in_code(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            in_code(&path, found);
        } else {
            let source = std::fs::read_to_string(path).unwrap();
            found.extend(texts_between(&source, "\"tacho/v1/", '"'));
        }
    }
}

/// The first cells of the table under a heading.
fn in_document(heading: &str) -> Vec<String> {
    let (_, rest) = DOMAINS.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    texts_between(section, "\n| `tacho/v1/", '`')
}

#[test]
fn the_list_is_whole_and_has_nothing_else() {
    let mut code = Vec::new();
    for sources in ["src", "../policy/src", "../recorder/src"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(sources);
        in_code(&folder, &mut code);
    }
    let code_set: BTreeSet<_> = code.iter().cloned().collect();
    assert_eq!(
        code_set.len(),
        code.len(),
        "a domain is spelled out twice: {code:?}"
    );
    let listed = in_document("Ours");
    let listed_set: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(listed_set.len(), listed.len(), "a domain stands twice");
    assert_eq!(code_set, listed_set);
}

#[test]
fn no_domain_begins_another() {
    // A `00` follows each in what is hashed, so this is more than is needed, and easier to see.
    let all = in_document("Ours");
    for one in &all {
        for other in all.iter().filter(|other| *other != one) {
            assert!(!other.starts_with(one.as_str()), "{one} begins {other}");
        }
    }
}

#[test]
fn the_vectors_of_the_document_are_true() {
    let one = chain::link(&Hash::ZERO, b"one");
    let mut salt = [0; 32];
    for (byte, n) in salt.iter_mut().zip(0..) {
        *byte = n;
    }
    let content = |bytes: &[u8]| commit(&Fixed(salt), Kind::Message, Field::Text, bytes);
    let vectors = [
        one,
        chain::link(&one, b"two"),
        leaf_hash(b"one"),
        content("Grüße".as_bytes()),
        content(b""),
    ];
    let (_, rest) = DOMAINS.split_once("\n## Vectors\n").unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let values: Vec<&str> = section
        .split('`')
        .filter(|text| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()))
        .collect();
    assert_eq!(values, vectors.map(|v| v.to_string()));
}

/// A signature for one purpose is none for another, nor without one.
#[test]
fn purposes_are_apart() {
    use sign::Purpose;
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let public = Fixed(key.verifying_key().to_bytes());
    let all = [
        Purpose::Answer,
        Purpose::Commit,
        Purpose::Genesis,
        Purpose::Key,
        Purpose::Seal,
    ];
    for made in all {
        let signature = sign::sign(&key, made, b"x");
        for asked in all {
            let good = sign::verify(&public, asked, b"x", &signature).is_ok();
            assert_eq!(good, made == asked, "{made:?} as {asked:?}");
        }
        let signed = [made.domain().as_bytes(), &[0], b"x"].concat();
        let plain = ed25519_dalek::Signature::from_bytes(&signature.0);
        assert!(key.verifying_key().verify_strict(&signed, &plain).is_ok());
        assert!(key.verifying_key().verify_strict(b"x", &plain).is_err());
    }
}
