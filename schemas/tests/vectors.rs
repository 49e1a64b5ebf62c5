//! The vectors that others made, in `fixtures/vectors`: each folder is walked, and each file in it counted.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

#[path = "vectors/hashes.rs"]
mod hashes;
#[path = "vectors/merkle.rs"]
mod merkle;
#[path = "vectors/notes.rs"]
mod notes;
#[path = "vectors/rekor.rs"]
mod rekor;
#[path = "vectors/signatures.rs"]
mod signatures;
#[path = "vectors/sunlight.rs"]
mod sunlight;
#[path = "vectors/tessera.rs"]
mod tessera;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Returns the folder of a set.
fn folder(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.join("../fixtures/vectors").join(name);
    assert!(folder.is_dir(), "{}", folder.display());
    folder
}

/// Returns the files of a set, but for the words about it.
fn files(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder(name)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                open.push(path);
            } else if !name.starts_with("README") && !name.starts_with("LICENSE") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Reads a file of a set.
fn read(set: &str, path: &str) -> Vec<u8> {
    fs::read(folder(set).join(path)).unwrap()
}

/// Reads a JSON file of a set.
fn json(set: &str, path: &str) -> Value {
    serde_json::from_slice(&read(set, path)).unwrap()
}

/// The text in a field.
fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no `{field}`"))
}

/// The bytes of a field that holds hex.
fn unhex(value: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(value, field)).unwrap()
}

/// The bytes of base64.
fn unbase64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

#[test]
fn every_set_is_in_the_table() {
    let table = String::from_utf8(read("", "README.md")).unwrap();
    let mut sets = 0;
    for entry in fs::read_dir(folder("")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(table.contains(&format!("| `{name}` |")), "{name}");
            assert!(path.join("README.md").is_file(), "{name}");
            sets += 1;
        }
    }
    assert_eq!(sets, 9);
}
