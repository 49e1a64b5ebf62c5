//! The canonical encoding: vectors, other people's vectors, and laws that hold for all bytes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ciborium::Value;
use proptest::prelude::*;
use tacho_schemas::canon::{self, MAX_RECORD, Rule};
use tacho_schemas::{Error, Record};

#[allow(dead_code, reason = "each test uses a part")]
#[path = "support/samples.rs"]
mod samples;

const RULES: [Rule; 19] = [
    Rule::Break,
    Rule::Depth,
    Rule::DuplicateKey,
    Rule::Empty,
    Rule::Float,
    Rule::Indefinite,
    Rule::IntRange,
    Rule::KeyType,
    Rule::NonShortest,
    Rule::Null,
    Rule::Reserved,
    Rule::Simple,
    Rule::Tag,
    Rule::TooLong,
    Rule::Trailing,
    Rule::Truncated,
    Rule::Undefined,
    Rule::Utf8,
    Rule::UnsortedKey,
];

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(folder)
}

/// The files of a folder, by name.
fn files(folder: &str) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(fixtures(folder)).unwrap();
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    entries.map(read).collect()
}

/// A vector: hex, and above it lines such as `# offset 3` and `# max 4`.
fn vector(text: &str) -> (Vec<u8>, BTreeMap<&str, usize>) {
    let (notes, hex): (Vec<&str>, Vec<&str>) = text.lines().partition(|l| l.starts_with('#'));
    let notes = notes.into_iter().map(|note| {
        let (name, number) = note.trim_start_matches("# ").split_once(' ').unwrap();
        (name, number.parse().unwrap())
    });
    (hex::decode(hex.concat()).unwrap(), notes.collect())
}

/// What ciborium makes of the bytes when it writes them again.
fn again(bytes: &[u8]) -> Vec<u8> {
    encode(&ciborium::from_reader(bytes).unwrap())
}

fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn rule_of(bytes: &[u8]) -> Option<(Rule, usize)> {
    match canon::check(bytes, MAX_RECORD) {
        Ok(()) => None,
        Err(Error::Canon { rule, offset }) => Some((rule, offset)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn accepted_vectors_are_accepted_and_have_one_spelling() {
    let files = files("canon/accept");
    let mut count = 0;
    for (name, text) in &files {
        if let Some(stem) = name.strip_suffix(".hex") {
            let (bytes, _) = vector(text);
            assert_eq!(rule_of(&bytes), None, "{name}");
            assert_eq!(again(&bytes), bytes, "{name}");
            count += 1;
            if let Some(text) = files.get(&format!("{stem}.diag")) {
                let item = cbor_diag::parse_diag(text).unwrap();
                assert_eq!(hex::encode(item.to_bytes()), hex::encode(&bytes), "{name}");
                count += 1;
            }
        }
    }
    assert_eq!(count, files.len(), "a file was not read");
    assert_eq!(count, 16);
}

#[test]
fn rejected_vectors_are_rejected_by_their_rule() {
    let mut seen = BTreeSet::new();
    let files = files("canon/reject");
    for (name, text) in &files {
        let (rule, _) = name.strip_suffix(".hex").unwrap().split_once("--").unwrap();
        let rule = RULES.into_iter().find(|r| r.name() == rule);
        let rule = rule.unwrap_or_else(|| panic!("{name}: no such rule"));
        let (bytes, notes) = vector(text);
        let max = notes.get("max").copied().unwrap_or(MAX_RECORD);
        let offset = notes["offset"];
        let expected = Err(Error::Canon { rule, offset });
        assert_eq!(canon::check(&bytes, max), expected, "{name}");
        seen.insert(rule);
    }
    assert_eq!(files.len(), 79);
    let without: Vec<_> = RULES.iter().filter(|r| !seen.contains(r)).collect();
    assert!(without.is_empty(), "rules without a vector: {without:?}");
}

/// A match without a wildcard: a new rule does not compile until it is in [`RULES`], and so needs a vector.
#[test]
fn the_list_of_rules_is_whole() {
    for (place, rule) in RULES.into_iter().enumerate() {
        let expected = match rule {
            Rule::Break => 0,
            Rule::Depth => 1,
            Rule::DuplicateKey => 2,
            Rule::Empty => 3,
            Rule::Float => 4,
            Rule::Indefinite => 5,
            Rule::IntRange => 6,
            Rule::KeyType => 7,
            Rule::NonShortest => 8,
            Rule::Null => 9,
            Rule::Reserved => 10,
            Rule::Simple => 11,
            Rule::Tag => 12,
            Rule::TooLong => 13,
            Rule::Trailing => 14,
            Rule::Truncated => 15,
            Rule::Undefined => 16,
            Rule::Utf8 => 17,
            Rule::UnsortedKey => 18,
        };
        assert_eq!(place, expected);
    }
}

#[test]
fn the_examples_of_the_standard_are_sorted_into_ours_and_others() {
    #[derive(serde::Deserialize)]
    struct Item {
        hex: String,
        roundtrip: bool,
    }
    let text = std::fs::read_to_string(fixtures("vectors/cbor-appendix-a/appendix_a.json"));
    let items: Vec<Item> = serde_json::from_str(&text.unwrap()).unwrap();
    assert_eq!(items.len(), 82);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for item in items {
        let bytes = hex::decode(&item.hex).unwrap();
        let rule = rule_of(&bytes);
        if rule.is_none() {
            assert!(item.roundtrip, "{} is spelled in two ways", item.hex);
            assert_eq!(again(&bytes), bytes, "{}", item.hex);
        }
        *counts
            .entry(rule.map_or("accepted", |(r, _)| r.name()))
            .or_default() += 1;
    }
    let expected = [
        ("accepted", 30),
        ("empty", 2),
        ("float", 22),
        ("indefinite", 11),
        ("int-range", 1),
        ("key-type", 3),
        ("null", 1),
        ("simple", 3),
        ("tag", 8),
        ("undefined", 1),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
}

#[test]
fn a_record_has_at_most_65_535_bytes() {
    let bytes = |n: u16| {
        [
            &[0x59][..],
            &(n - 3).to_be_bytes(),
            &vec![7; usize::from(n - 3)],
        ]
        .concat()
    };
    let most = bytes(u16::MAX);
    assert_eq!(rule_of(&most), None);
    let more = [&most[..], &[0]].concat();
    assert_eq!(rule_of(&more), Some((Rule::TooLong, MAX_RECORD)));
}

#[test]
fn a_million_brackets_end_soon() {
    let deep = vec![0x81; MAX_RECORD];
    assert_eq!(rule_of(&deep), Some((Rule::Depth, 8)));
}

/// A value of our subset, with keys in the order of their encoding.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..300).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        ".{0,20}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..30).prop_map(Value::Array),
            proptest::collection::btree_map(-300_i64..600, inner, 1..30).prop_map(|map| {
                let mut entries: Vec<_> = map.into_iter().map(|(k, v)| (k.into(), v)).collect();
                entries.sort_by_key(|(key, _)| encode(key));
                Value::Map(entries)
            }),
        ]
    })
}

/// Bytes that are often nearly right: an encoding with a few changes.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (values(), edits).prop_map(|(value, edits)| {
        let mut bytes = encode(&value);
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn what_the_subset_can_say_is_accepted(value in values()) {
        prop_assert_eq!(rule_of(&encode(&value)), None);
    }

    #[test]
    fn what_is_accepted_has_one_spelling(bytes in nearly()) {
        if canon::check(&bytes, MAX_RECORD).is_ok() {
            prop_assert_eq!(again(&bytes), bytes);
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if canon::check(&bytes, MAX_RECORD).is_ok() {
            prop_assert_eq!(again(&bytes), bytes);
        }
    }

    #[test]
    fn other_bytes_are_another_value(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        xor in 1_u8..,
    ) {
        let all = samples::all();
        let record = &all[which.index(all.len())].record;
        let bytes = record.encode().unwrap();
        let mut other = bytes.clone();
        other[place.index(bytes.len())] ^= xor;
        if let Ok(changed) = Record::decode(&other) {
            prop_assert_ne!(&changed, record);
            // And the changed value is written as it was read, unless a key became one that readers pass over.
            let again = changed.encode().unwrap();
            prop_assert!(again == other || again.len() < other.len());
        }
    }
}

/// All flips of all bytes of one record, not a sample of them.
#[test]
fn no_two_spellings_of_one_record() {
    let record = samples::minimal(tacho_schemas::Kind::Action);
    let bytes = record.encode().unwrap();
    let (mut refused, mut others) = (0, 0);
    for place in 0..bytes.len() {
        for xor in 1..=u8::MAX {
            let mut other = bytes.clone();
            other[place] ^= xor;
            match Record::decode(&other) {
                Ok(changed) => {
                    assert_ne!(changed, record, "byte {place} ^ {xor:#x}");
                    others += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 1_000 && others > 1_000, "{refused} {others}");
}
