//! One number, one name, one meaning.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;

use tacho_schemas::body::{self, Body};
use tacho_schemas::content::{Alternative, Descriptor, Field, Provenance, Row};
use tacho_schemas::receipt::{Commit, Receipt};
use tacho_schemas::record::{Actor, Artefact, Auth, Claimed, Record, Redaction};
use tacho_schemas::{Keys, Kind};

/// Every structure of the format with its keys.
fn structures() -> Vec<(String, &'static [(i64, &'static str)])> {
    fn of<T: Keys>() -> (String, &'static [(i64, &'static str)]) {
        (T::NAME.to_owned(), T::KEYS)
    }
    let mut all = vec![
        of::<Record>(),
        of::<Actor>(),
        of::<Auth>(),
        of::<Claimed>(),
        of::<Artefact>(),
        of::<Redaction>(),
        of::<Alternative>(),
        of::<Provenance>(),
        of::<Descriptor>(),
        of::<Row>(),
        of::<Commit>(),
        of::<Receipt>(),
        of::<body::Rationale>(),
        of::<body::log::Predecessor>(),
        of::<body::log::Loss>(),
        of::<body::work::Guard>(),
        of::<body::work::Usage>(),
        of::<body::work::Verdict>(),
        of::<body::work::Obligation>(),
        of::<body::work::Stop>(),
        of::<body::change::Metric>(),
        of::<body::human::Act>(),
        of::<body::human::Erased>(),
    ];
    all.extend(
        Body::KEYS
            .iter()
            .map(|(kind, keys)| (kind.to_string(), *keys)),
    );
    all
}

#[test]
fn a_number_has_one_name_and_a_name_one_number() {
    let mut names: BTreeMap<i64, &str> = BTreeMap::new();
    let mut numbers: BTreeMap<&str, i64> = BTreeMap::new();
    for (structure, keys) in structures() {
        assert!(
            keys.is_sorted_by(|a, b| a.0 < b.0),
            "{structure} is not ascending: {keys:?}"
        );
        for (number, name) in keys {
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
