//! transparency-dev/merkle: inclusion and consistency proofs, most of them damaged.

use serde_json::Value;
use tacho_schemas::Result;
use tacho_schemas::hash::Hash;
use tacho_schemas::tree::{verify_consistency, verify_inclusion};

use super::{files, text, unbase64};

const SET: &str = "transparency-dev-merkle";

/// The one case that is meant to hold and cannot even be said here: its roots are placeholders of 12 bytes.
const PLACEHOLDER: &str = "sizes-are-equal-one-and-proof-is-empty.json";

/// How a hash of another length than 32 bytes is read.
#[derive(Clone, Copy)]
enum Short {
    /// Not at all, as everywhere in this crate.
    Refused,
    /// As its SHA-256, so that a case with a placeholder for a hash still puts the walk itself to the test.
    Hashed,
}

#[test]
fn proofs_hold_or_fail_as_they_should() {
    let files = files(SET);
    let (mut inclusion, mut consistency, mut good, mut only_short) = (0, 0, 0, 0);
    for path in &files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let case: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let run = if case.get("leafIdx").is_some() {
            inclusion += 1;
            included
        } else {
            consistency += 1;
            consistent
        };
        let want_error = case["wantErr"].as_bool().unwrap();
        let (strict, hashed) = (run(&case, Short::Refused), run(&case, Short::Hashed));
        let expected = want_error || name == PLACEHOLDER;
        assert_eq!(strict.is_err(), expected, "{name}: {strict:?}");
        if !want_error {
            assert_eq!(hashed, Ok(()), "{name}");
            good += 1;
        } else if hashed.is_ok() {
            // Wrong by nothing but the length of a hash.
            only_short += 1;
        }
    }
    assert_eq!((inclusion, consistency), (80, 77));
    assert_eq!(inclusion + consistency, files.len());
    assert_eq!((good, only_short), (10, 2));
}

fn included(case: &Value, short: Short) -> Result<()> {
    let (index, size) = (number(case, "leafIdx"), number(case, "treeSize"));
    let (leaf, root) = (
        hash(text(case, "leafHash"), short)?,
        hash(text(case, "root"), short)?,
    );
    verify_inclusion(&leaf, index, size, &path(case, short)?, &root)
}

fn consistent(case: &Value, short: Short) -> Result<()> {
    let (size1, size2) = (number(case, "size1"), number(case, "size2"));
    let (root1, root2) = (
        hash(text(case, "root1"), short)?,
        hash(text(case, "root2"), short)?,
    );
    verify_consistency(size1, size2, &path(case, short)?, &root1, &root2)
}

/// Sizes go up to 2^64-1.
fn number(case: &Value, field: &str) -> u64 {
    case[field].as_u64().unwrap()
}

fn path(case: &Value, short: Short) -> Result<Vec<Hash>> {
    let Some(path) = case["proof"].as_array() else {
        return Ok(Vec::new());
    };
    path.iter()
        .map(|one| hash(one.as_str().unwrap(), short))
        .collect()
}

fn hash(encoded: &str, short: Short) -> Result<Hash> {
    let bytes = unbase64(encoded);
    match short {
        Short::Hashed if bytes.len() != 32 => Ok(Hash::sha256(&bytes)),
        _ => Hash::from_slice(&bytes),
    }
}
