//! Commitments, vault rows, and what signatures inside records are made over.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeMap;

use ciborium::Value;
use proptest::prelude::*;
use tacho_schemas::body::log::{KeyOp, KeyRole};
use tacho_schemas::canon::{self, MAX_RECORD};
use tacho_schemas::content::{
    self, Alternatives, Descriptor, Field, Held, MAX_ROW, Row, Salted, Slot, commit,
    commit_artefact,
};
use tacho_schemas::record::{Artefact, Role};
use tacho_schemas::scalar::{Fixed, List};
use tacho_schemas::{Error, Hash, Kind, Record, chain};

#[allow(dead_code, reason = "each test uses a part")]
#[path = "support/samples.rs"]
mod samples;

fn counting_salt() -> Fixed<32> {
    let mut salt = [0; 32];
    for (byte, n) in salt.iter_mut().zip(0..) {
        *byte = n;
    }
    Fixed(salt)
}

/// Made with Python's `hmac` and `struct.pack(">HHQ", kind, field, length)`.
#[test]
fn commitments_are_as_another_program_makes_them() {
    let salt = counting_salt();
    let text = "Grüße".as_bytes();
    assert_eq!(
        commit(&salt, Kind::Message, Field::Text, text).to_string(),
        "f12be3930cf056644e4dba9468ae9665e021cb65f4e51e95fc16446e2291c3b5"
    );
    assert_eq!(
        commit(&salt, Kind::Message, Field::Text, b"").to_string(),
        "c48a43b47175f1cc7a368db4a4376127b2a8eafe54ef707d4333c35fdf4c5c0e"
    );
    let descriptor = Descriptor {
        blake3: Hash([0x11; 32]),
        sha256: Hash([0x22; 32]),
        size: 5,
        ..Descriptor::of(b"")
    };
    let descriptor = canon::encode(&descriptor, MAX_ROW).unwrap();
    let made = commit_artefact(&salt, Kind::Mutation, Role::Diff, &descriptor);
    assert_eq!(
        made.to_string(),
        "38fdbea5eb793ccf2883d400a43d8cde671313b19fad429a440ab3e57a6c1c56"
    );
}

/// Made with a BLAKE3 of forty lines of Python that passes the official vectors.
#[test]
fn the_chain_is_as_another_program_makes_it() {
    let one = chain::link(&Hash::ZERO, b"one");
    assert_eq!(
        one.to_string(),
        "b1b91d995a8defa4c6c57ce9531708a5a580d2f53a9005af987a8c095e1af3f5"
    );
    assert_eq!(
        chain::link(&one, b"two").to_string(),
        "19c829bf3fa7e188c39deda800c79a97e08c8af720e5008db9ddfd437e791c96"
    );
}

#[test]
fn a_commitment_is_to_salt_kind_field_and_bytes() {
    let salt = counting_salt();
    let one = commit(&salt, Kind::Message, Field::Text, b"x");
    assert_ne!(
        one,
        commit(&Fixed([0; 32]), Kind::Message, Field::Text, b"x")
    );
    assert_ne!(one, commit(&salt, Kind::Note, Field::Text, b"x"));
    assert_ne!(one, commit(&salt, Kind::Message, Field::Reasoning, b"x"));
    assert_ne!(one, commit(&salt, Kind::Message, Field::Text, b"x\0"));
    // Role 4 and field 4 would be the same number: the domain keeps them apart.
    let mut seen: Vec<Hash> = Role::ALL
        .iter()
        .map(|(_, _, role)| commit_artefact(&salt, Kind::Message, *role, b"x"))
        .chain(
            Field::ALL
                .iter()
                .map(|(_, _, f)| commit(&salt, Kind::Message, *f, b"x")),
        )
        .collect();
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

fn salted(byte: u8, bytes: &[u8]) -> Salted {
    Salted {
        salt: Fixed([byte; 32]),
        bytes: bytes.to_vec(),
    }
}

/// A record with two fields and two artefacts, and the row that opens them.
fn record_and_row() -> (Record, Row) {
    let texts = [(Field::Text, "said"), (Field::Reasoning, "thought")];
    let content = texts.map(|(field, text)| (field.number(), salted(1, text.as_bytes())));
    let descriptors = [&b"before"[..], b"after"]
        .map(|bytes| canon::encode(&Descriptor::of(bytes), MAX_ROW).unwrap());
    let artefacts = descriptors.map(|d| salted(2, &d));
    let mut record = samples::minimal(Kind::Message);
    record.content = Some(
        texts
            .iter()
            .map(|(f, text)| {
                (
                    *f,
                    commit(&Fixed([1; 32]), Kind::Message, *f, text.as_bytes()),
                )
            })
            .collect(),
    );
    let roles = [Role::Before, Role::After];
    let commitments = roles.iter().zip(&artefacts).map(|(role, kept)| Artefact {
        role: *role,
        commitment: commit_artefact(&kept.salt, Kind::Message, *role, &kept.bytes),
    });
    record.artefacts = Some(List::new(commitments.collect()).unwrap());
    let row = Row {
        content: Some(BTreeMap::from(content)),
        artefacts: Some((0..).zip(artefacts).collect()),
    };
    (record, row)
}

/// What is said of the record of [`record_and_row`]; its artefacts are those that are neither gone nor wrong.
fn held(opened: u64, holes: &[Slot], wrong: &[Slot]) -> Held {
    let fits = |place| {
        let slot = Slot::Artefact(place);
        !holes.contains(&slot) && !wrong.contains(&slot)
    };
    let artefacts = (0..).zip([&b"before"[..], b"after"]);
    Held {
        withheld: 0,
        opened,
        holes: holes.to_vec(),
        wrong: wrong.to_vec(),
        garbled: false,
        artefacts: artefacts
            .filter(|(place, _)| fits(*place))
            .map(|(_, bytes)| Descriptor::of(bytes))
            .collect(),
    }
}

#[test]
fn a_row_is_held_against_its_record() {
    let (record, row) = record_and_row();
    assert_eq!(row.check(&record), held(4, &[], &[]));
    assert_eq!(Row::decode(&row.encode().unwrap()).unwrap(), row);
    assert_eq!(row.text(Field::Text), Some(&b"said"[..]));
    assert_eq!(row.text(Field::Path), None);

    let everything = [
        Slot::Field(200),
        Slot::Field(203),
        Slot::Artefact(0),
        Slot::Artefact(1),
    ];
    assert_eq!(Row::empty().check(&record), held(0, &everything, &[]));

    for slot in everything {
        let mut less = row.clone();
        assert!(less.erase(slot));
        assert!(!less.erase(slot), "it is gone already");
        assert_eq!(less.check(&record), held(3, &[slot], &[]));
    }
    let mut bare = row.clone();
    everything
        .iter()
        .for_each(|slot| assert!(bare.erase(*slot)));
    assert!(bare.is_empty());
    assert!(bare.encode().is_err(), "a row of nothing is no row");
}

#[test]
fn what_a_row_holds_besides_is_wrong() {
    let (record, row) = record_and_row();
    let content = |number, text: &[u8]| {
        let mut row = row.clone();
        row.content
            .as_mut()
            .unwrap()
            .insert(number, salted(1, text));
        row.check(&record)
    };
    assert_eq!(content(200, b"says"), held(3, &[], &[Slot::Field(200)]));
    assert_eq!(
        content(207, b"x"),
        held(4, &[], &[Slot::Field(207)]),
        "not committed to"
    );
    assert_eq!(
        content(77, b"x"),
        held(4, &[], &[Slot::Field(77)]),
        "no field at all"
    );
    let artefact = |place, bytes: &[u8]| {
        let mut row = row.clone();
        row.artefacts
            .as_mut()
            .unwrap()
            .insert(place, salted(2, bytes));
        row.check(&record)
    };
    assert_eq!(artefact(1, b"x"), held(3, &[], &[Slot::Artefact(1)]));
    assert_eq!(artefact(2, b"x"), held(4, &[], &[Slot::Artefact(2)]));

    let mut swapped = row.clone();
    let kept = swapped.artefacts.as_mut().unwrap();
    let (first, second) = (kept[&0].clone(), kept[&1].clone());
    kept.extend([(0, second), (1, first)]);
    let wrong = [Slot::Artefact(0), Slot::Artefact(1)];
    assert_eq!(swapped.check(&record), held(2, &[], &wrong));

    let mut salt = row.clone();
    salt.content.as_mut().unwrap().get_mut(&200).unwrap().salt = Fixed([9; 32]);
    assert_eq!(salt.check(&record), held(3, &[], &[Slot::Field(200)]));
}

#[test]
fn slots_have_names() {
    assert_eq!(Slot::Field(200).to_string(), "content `text`");
    assert_eq!(Slot::Field(77).to_string(), "content 77");
    assert_eq!(Slot::Artefact(3).to_string(), "artefact 3");
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn map(entries: Vec<(i64, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(k, v)| (k.into(), v)).collect())
}

/// ciborium stops reading a pair after two items, and would take a third for the next key of the row.
#[test]
fn a_slot_is_two_items() {
    let (salt, bytes) = (Value::Bytes(vec![1; 32]), Value::Bytes(vec![2]));
    let row = |items: Vec<Value>, more: Option<(i64, Value)>| {
        let mut entries = vec![(306, map(vec![(200, Value::Array(items))]))];
        entries.extend(more);
        Row::decode(&encoded(&map(entries)))
    };
    assert!(row(vec![salt.clone(), bytes.clone()], None).is_ok());
    assert!(row(vec![salt.clone()], None).is_err());
    assert!(row(vec![salt.clone(), bytes.clone(), 307.into()], None).is_err());
    let hidden = map(vec![(0, Value::Array(vec![salt.clone(), bytes.clone()]))]);
    assert!(row(vec![salt, bytes, (-1).into()], Some((307, hidden))).is_err());
}

#[test]
fn a_row_of_extensions_is_no_row() {
    assert!(Row::decode(&encoded(&map(vec![(-1, 1.into())]))).is_err());
}

#[test]
fn content_has_the_form_of_its_field() {
    assert!(Field::Text.check("Grüße".as_bytes()).is_ok());
    assert!(Field::Text.check(b"\xff").is_err());
    assert!(Field::Alternatives.check(&alternatives_of(32)).is_ok());
    assert!(
        Field::Alternatives.check(&alternatives_of(33)).is_err(),
        "more than 32"
    );
    assert!(Field::Alternatives.check(b"wait").is_err());
    assert!(Field::Provenance.check(&[0xa0]).is_err());
}

fn alternatives_of(count: usize) -> Vec<u8> {
    let one = map(vec![(36, Value::Text("wait".into()))]);
    encoded(&Value::Array(vec![one; count]))
}

#[test]
fn alternatives_are_written_as_they_are_read() {
    let bytes = alternatives_of(2);
    let list: Alternatives = canon::decode(&bytes, MAX_ROW).unwrap();
    assert_eq!(canon::encode(&list, MAX_ROW).unwrap(), bytes);
}

#[test]
fn each_field_is_of_some_kind() {
    for (_, name, field) in Field::ALL {
        let of = Kind::ALL
            .iter()
            .filter(|(_, _, kind)| kind.fields().contains(field));
        assert!(of.count() > 0, "no kind has `{name}`");
    }
    assert_eq!(content::CONTENT_DOMAIN, "tacho/v1/content");
}

/// The three kinds with a signature inside, full and minimal.
fn signed() -> Vec<Record> {
    let mut all: Vec<_> = [Kind::Genesis, Kind::Seal, Kind::Key]
        .into_iter()
        .flat_map(|kind| [samples::full(kind), samples::minimal(kind)])
        .collect();
    let broken = samples::key(KeyRole::Epoch, KeyOp::Break);
    all.push(samples::envelope(broken));
    all
}

const SIGNATURE: &[i64] = &[15, 59];

#[test]
fn what_is_signed_is_the_record_without_the_signature() {
    for record in signed() {
        let bytes = record.encode().unwrap();
        let unsigned = canon::without(&bytes, SIGNATURE).unwrap();
        assert_eq!(unsigned, record.encode_unsigned().unwrap());
        canon::check(&unsigned, MAX_RECORD).unwrap();
        assert!(
            canon::without(&unsigned, SIGNATURE).is_err(),
            "it is out already"
        );
    }
}

#[test]
fn extensions_are_signed_too() {
    for record in signed() {
        let bytes = record.encode().unwrap();
        let mut value: Value = ciborium::from_reader(&bytes[..]).unwrap();
        let Value::Map(envelope) = &mut value else {
            panic!("not a map")
        };
        let body = envelope.iter_mut().find(|(key, _)| *key == 15.into());
        body.unwrap()
            .1
            .as_map_mut()
            .unwrap()
            .push(((-1).into(), "extension".into()));
        envelope.push(((-7).into(), Value::Bytes(vec![1, 2, 3])));
        let extended = encoded(&value);
        // A reader passes over the extensions ...
        assert_eq!(Record::decode(&extended).unwrap(), record);
        // ... but the signature is over them.
        let unsigned = canon::without(&extended, SIGNATURE).unwrap();
        assert_ne!(unsigned, record.encode_unsigned().unwrap());
        let read: Value = ciborium::from_reader(&unsigned[..]).unwrap();
        let body = read
            .as_map()
            .unwrap()
            .iter()
            .find(|(key, _)| *key == 15.into());
        let body = body.unwrap().1.as_map().unwrap();
        assert!(body.iter().any(|(key, _)| *key == (-1).into()));
        assert!(!body.iter().any(|(key, _)| *key == 59.into()));
    }
}

proptest! {
    /// Around 23 and 24 entries, 255 and 256, the head of a map changes its length.
    #[test]
    fn without_takes_out_one_entry_and_nothing_else(
        outer in prop_oneof![1..60_i64, 250..260_i64],
        inner in prop_oneof![2..60_i64, 250..260_i64],
        place in any::<prop::sample::Index>(),
        gone in any::<prop::sample::Index>(),
    ) {
        let place = i64::try_from(place.index(usize::try_from(outer).unwrap())).unwrap();
        let gone = i64::try_from(gone.index(usize::try_from(inner).unwrap())).unwrap();
        let nested = |skip: Option<i64>| {
            let keys = (0..inner).filter(|k| Some(*k) != skip);
            map(keys.map(|k| (k, Value::Bytes(vec![7; usize::try_from(k % 40).unwrap()]))).collect())
        };
        let whole = |skip| {
            let entry = |k| (k, if k == place { nested(skip) } else { Value::from(k * 1_000) });
            encoded(&map((0..outer).map(entry).collect()))
        };
        let taken = canon::without(&whole(None), &[place, gone]).unwrap();
        prop_assert_eq!(&taken, &whole(Some(gone)));
        canon::check(&taken, MAX_RECORD).unwrap();
        prop_assert!(canon::without(&taken, &[place, gone]).is_err());
    }
}

#[test]
fn without_says_when_there_is_nothing() {
    let bytes = encoded(&map(vec![(1, 2.into()), (3, map(vec![(4, 5.into())]))]));
    let missing = Err(Error::Meaning("has no such field to take out".to_owned()));
    for path in [&[][..], &[2], &[3, 5]] {
        assert_eq!(canon::without(&bytes, path), missing, "{path:?}");
    }
    assert!(canon::without(&bytes, &[1, 1]).is_err(), "not a map");
}
