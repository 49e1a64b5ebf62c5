//! One number, one name, one meaning.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;

use structures::structures;
use tacho_schemas::Kind;
use tacho_schemas::body::Body;
use tacho_schemas::content::Field;

#[allow(dead_code, reason = "each test uses a part")]
#[path = "support/structures.rs"]
mod structures;

#[test]
fn a_number_has_one_name_and_a_name_one_number() {
    let mut names: BTreeMap<i64, &str> = BTreeMap::new();
    let mut numbers: BTreeMap<&str, i64> = BTreeMap::new();
    for (structure, keys) in structures() {
        assert!(
            keys.is_sorted_by(|a, b| a.0 < b.0),
            "{structure} is not ascending: {keys:?}"
        );
        for (number, name) in &keys {
            assert_eq!(
                names.entry(*number).or_insert(name),
                name,
                "number {number} in {structure}"
            );
            assert_eq!(
                numbers.entry(name).or_insert(*number),
                number,
                "name {name} in {structure}"
            );
        }
    }
    for (number, name, _) in Field::ALL {
        let number = i64::try_from(*number).unwrap();
        assert_eq!(names.entry(number).or_insert(name), name, "field {number}");
        assert_eq!(
            numbers.entry(name).or_insert(number),
            &number,
            "field {name}"
        );
    }
}

#[test]
fn every_kind_has_a_body() {
    let kinds: Vec<Kind> = Body::KEYS.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        Kind::ALL
            .iter()
            .map(|(_, _, kind)| *kind)
            .collect::<Vec<_>>()
    );
}
