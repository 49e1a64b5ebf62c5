//! Code, CDDL and examples say the same.
//!
//! Other crates hold what they write to the format in one line:
//! `cddl_cat::validate_cbor_bytes("record", include_str!("../../schemas/record.cddl"), &bytes)`. The rules `receipt`, `commit`,
//! `row`, `descriptor`, `alternatives` and `provenance` are in `proof.cddl`, those of bundles in `bundle.cddl`; for them, concatenate the files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use cddl_cat::context::{BasicContext, LookupContext as _};
use ciborium::Value;
use tacho_schemas::content::{
    Alternative, Alternatives, Descriptor, Field, Provenance, Row, Salted,
};
use tacho_schemas::receipt::{Commit, Receipt};
use tacho_schemas::scalar::{Fixed, List, Seq, Time};
use tacho_schemas::{Error, Hash, Kind, LogId, Record, canon};

#[path = "support/samples.rs"]
mod samples;
#[path = "support/structures.rs"]
mod structures;

const RECORD: &str = include_str!("../record.cddl");
const PROOF: &str = include_str!("../proof.cddl");
const BUNDLE: &str = include_str!("../bundle.cddl");

static CDDL: LazyLock<BasicContext> = LazyLock::new(|| {
    let both = format!("{RECORD}\n{PROOF}\n{BUNDLE}");
    BasicContext::new(cddl_cat::flatten::flatten_from_str(&both).unwrap())
});

/// Holds a value against a rule of the three files.
fn conforms(rule: &str, value: &Value) -> Result<(), String> {
    let rule = CDDL.lookup_rule(rule).unwrap();
    cddl_cat::cbor::validate_cbor(rule, value, &*CDDL).map_err(|e| format!("{e:?}"))
}

fn value(bytes: &[u8]) -> Value {
    ciborium::from_reader(bytes).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

#[test]
fn every_sample_conforms_and_survives() {
    for sample in samples::all() {
        let name = &sample.name;
        let encoded = sample
            .record
            .encode()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(Record::decode(&encoded).unwrap(), sample.record, "{name}");
        if let Err(why) = conforms("record", &value(&encoded)) {
            panic!("{name} does not conform: {why}");
        }
    }
}

#[test]
fn the_record_file_stands_alone() {
    let encoded = samples::full(Kind::Action).encode().unwrap();
    cddl_cat::validate_cbor_bytes("record", RECORD, &encoded).unwrap();
}

#[test]
fn full_samples_are_full() {
    // What must not stand together: a kill or lease has one sort of target, and only log keys of ours have an epoch.
    let apart = [169, 168, 69];
    for (kind, keys) in tacho_schemas::body::Body::KEYS {
        let Value::Map(envelope) = value(&samples::full(*kind).encode().unwrap()) else {
            panic!("not a map")
        };
        let body = &envelope.iter().find(|(k, _)| *k == 15.into()).unwrap().1;
        let there = body.as_map().unwrap();
        for (number, name) in *keys {
            let found = there.iter().any(|(k, _)| *k == (*number).into());
            assert!(found || apart.contains(number), "{kind} lacks `{name}`");
        }
    }
}

/// Every way to a map entry or list element inside a value.
fn places(value: &Value, here: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
    let inner: Vec<&Value> = match value {
        Value::Map(entries) => entries.iter().map(|(_, v)| v).collect(),
        Value::Array(items) => items.iter().collect(),
        _ => return,
    };
    for (i, item) in inner.into_iter().enumerate() {
        here.push(i);
        all.push(here.clone());
        places(item, here, all);
        here.pop();
    }
}

/// Changes the entry or element at a place.
fn change(value: &mut Value, place: &[usize], change_it: &mut dyn FnMut(Parent<'_>)) {
    let (&i, rest) = place.split_first().unwrap();
    match value {
        Value::Map(entries) if rest.is_empty() => change_it(Parent::Map(entries, i)),
        Value::Array(items) if rest.is_empty() => change_it(Parent::Array(items, i)),
        Value::Map(entries) => change(&mut entries[i].1, rest, change_it),
        Value::Array(items) => change(&mut items[i], rest, change_it),
        _ => panic!("no such place"),
    }
}

enum Parent<'a> {
    Map(&'a mut Vec<(Value, Value)>, usize),
    Array(&'a mut Vec<Value>, usize),
}

/// Code and CDDL judge alike. The code may refuse more, but only for the reasons that the head of `record.cddl` lists.
fn judge_alike(what: &str, changed: &Value) -> bool {
    let code = Record::decode(&bytes(changed));
    let cddl = conforms("record", changed);
    match (&code, &cddl) {
        (Ok(_), Err(why)) => panic!("{what}: only the CDDL refuses: {why}"),
        (Err(error), Ok(())) => assert!(
            is_beyond_cddl(error),
            "{what}: only the code refuses: {error}"
        ),
        _ => {}
    }
    code.is_ok()
}

fn is_beyond_cddl(error: &Error) -> bool {
    let text = error.to_string();
    [
        "not canonical: empty",
        "cannot come via",
        "stands if and only if",
        "does not come before",
        "must ascend",
        "stands twice",
        "stand only",
        "stands only",
        "no phase `part`",
        "must differ",
        "is absent",
        "has `main`",
        "a hold needs",
        "needs a signature",
        "needs the identity key's signature",
        "has 32 bytes",
        "does not fit the scope",
        "an erasure of nothing",
        "an empty map",
        "`redacted` is not ascending",
        "an epoch begins after its seal",
        "the suite is not known",
    ]
    .iter()
    .any(|reason| text.contains(reason))
}

#[test]
fn what_is_left_out_is_judged_alike() {
    let (mut judged, mut refused) = (0, 0);
    for sample in samples::all() {
        let whole = value(&sample.record.encode().unwrap());
        let mut all = Vec::new();
        places(&whole, &mut Vec::new(), &mut all);
        for place in all {
            let mut changed = whole.clone();
            change(&mut changed, &place, &mut |parent| match parent {
                Parent::Map(entries, i) => drop(entries.remove(i)),
                Parent::Array(items, i) => drop(items.remove(i)),
            });
            judged += 1;
            let what = format!("{} without {place:?}", sample.name);
            refused += u32::from(!judge_alike(&what, &changed));
        }
    }
    assert!(
        judged > 800 && refused > 400,
        "{judged} judged, {refused} refused"
    );
}

#[test]
fn wrong_types_and_values_are_refused_by_both() {
    let wrong = [
        Value::Bool(true),
        Value::Bool(false),
        Value::Integer(0.into()),
        Value::Text("agent".into()),
        Value::Text("with space".into()),
        Value::Text(String::new()),
        Value::Text("x".repeat(65)),
        Value::Bytes(vec![1, 2]),
        Value::Bytes(vec![7; 33]),
        Value::Bytes(Vec::new()),
        Value::Integer((-1).into()),
        Value::Integer(1.into()),
        Value::Integer(1001.into()),
        Value::Integer(u64::MAX.into()),
        Value::Array(vec![1.into(); 257]),
        Value::Array(vec![Value::Bytes(vec![0; 32])]),
        Value::Map(vec![(1.into(), 1.into())]),
    ];
    let mut judged = 0;
    for sample in samples::all() {
        let whole = value(&sample.record.encode().unwrap());
        let mut all = Vec::new();
        places(&whole, &mut Vec::new(), &mut all);
        // Kind and version decide about everything else and are left alone.
        for place in all.into_iter().filter(|p| *p != [0] && *p != [5]) {
            for wrong in &wrong {
                let mut changed = whole.clone();
                change(&mut changed, &place, &mut |parent| match parent {
                    Parent::Map(entries, i) => entries[i].1 = wrong.clone(),
                    Parent::Array(items, i) => items[i] = wrong.clone(),
                });
                judged += 1;
                judge_alike(
                    &format!("{} with {wrong:?} at {place:?}", sample.name),
                    &changed,
                );
            }
        }
    }
    assert!(judged > 10_000, "{judged}");
}

#[test]
fn unknown_keys_are_refused_by_both() {
    for sample in samples::all() {
        let whole = value(&sample.record.encode().unwrap());
        let mut all = vec![Vec::new()];
        places(&whole, &mut Vec::new(), &mut all);
        for place in all {
            let mut changed = whole.clone();
            let mut found = false;
            let mut add = |value: &mut Value| {
                if let Value::Map(entries) = value {
                    entries.push((999.into(), 1.into()));
                    found = true;
                }
            };
            if place.is_empty() {
                add(&mut changed);
            } else {
                change(&mut changed, &place, &mut |parent| match parent {
                    Parent::Map(entries, i) => add(&mut entries[i].1),
                    Parent::Array(items, i) => add(&mut items[i]),
                });
            }
            if found {
                let what = format!("{} with 999 in {place:?}", sample.name);
                assert!(!judge_alike(&what, &changed), "{what}");
                assert!(conforms("record", &changed).is_err(), "{what}");
            }
        }
    }
}

#[test]
fn lists_end_where_the_cddl_says() {
    let mut record = samples::full(Kind::Message);
    record.seq = Seq(1_000);
    for (count, good) in [(256, true), (257, false)] {
        let mut long = value(&record.encode().unwrap());
        let Value::Map(entries) = &mut long else {
            panic!("not a map")
        };
        let causes = &mut entries.iter_mut().find(|(k, _)| *k == 14.into()).unwrap().1;
        *causes = Value::Array((0..count).map(Value::from).collect());
        assert_eq!(judge_alike("causes", &long), good);
        assert_eq!(conforms("record", &long).is_ok(), good);
    }
}

#[test]
fn what_is_no_record_conforms_too() {
    let key = ed25519(1);
    let commit = Commit {
        time: Time(1),
        origin: samples::origin(),
        size: 8,
        root: Hash([1; 32]),
        epoch: 0,
        log_id: LogId(Hash([2; 32])),
        boot: Seq(1),
        head: Hash([3; 32]),
    };
    let receipt = Receipt {
        seq: Seq(7),
        signature: tacho_schemas::sign::sign(
            &key,
            tacho_schemas::sign::Purpose::Commit,
            &commit.encode().unwrap(),
        ),
        commit: commit.clone(),
        leaf: Hash([4; 32]),
        chain: Hash([3; 32]),
        path: Some(List::new(vec![Hash([5; 32]); 3]).unwrap()),
    };
    let descriptor = Descriptor {
        path: Some("src/main.rs".into()),
        media_type: Some("text/plain".into()),
        unredacted_blake3: Some(Hash([6; 32])),
        ..Descriptor::of(b"fn main() {}\n")
    };
    let alternatives: Alternatives = List::new(vec![Alternative {
        option: "wait".into(),
        why_not: Some("the build is red".into()),
    }])
    .unwrap();
    let provenance = Provenance {
        offset: 8_191,
        prefix_blake3: Hash([7; 32]),
        path: "transcript.jsonl".into(),
    };
    let salted = |bytes: Vec<u8>| Salted {
        salt: Fixed([9; 32]),
        bytes,
    };
    let max = canon::MAX_RECORD;
    let row = Row {
        content: Some(BTreeMap::from([
            (200, salted(b"done".to_vec())),
            (204, salted(canon::encode(&alternatives, max).unwrap())),
        ])),
        artefacts: Some(BTreeMap::from([(
            0,
            salted(canon::encode(&descriptor, max).unwrap()),
        )])),
    };
    let cases = [
        ("commit", commit.encode().unwrap()),
        ("receipt", receipt.encode().unwrap()),
        ("row", row.encode().unwrap()),
        ("descriptor", canon::encode(&descriptor, max).unwrap()),
        ("alternatives", canon::encode(&alternatives, max).unwrap()),
        ("provenance", canon::encode(&provenance, max).unwrap()),
    ];
    for (rule, encoded) in &cases {
        let good = value(encoded);
        conforms(rule, &good).unwrap_or_else(|why| panic!("{rule}: {why}"));
        for other in ["commit", "receipt", "row", "descriptor", "record"] {
            assert!(
                other == *rule || conforms(other, &good).is_err(),
                "{rule} as {other}"
            );
        }
    }
    assert_eq!(Receipt::decode(&cases[1].1).unwrap(), receipt);
    assert_eq!(Row::decode(&cases[2].1).unwrap(), row);
    for (field, encoded) in [
        (Field::Alternatives, &cases[4].1),
        (Field::Provenance, &cases[5].1),
    ] {
        field.check(encoded).unwrap();
    }
}

fn ed25519(seed: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
}

/// The structures and enumerations that the CDDL files write down.
type Written = BTreeMap<String, Vec<(i64, String)>>;

fn written() -> (Written, Written) {
    let (mut maps, mut enums) = (Written::new(), Written::new());
    let mut open: Option<(bool, String)> = None;
    for line in RECORD.lines().chain(PROOF.lines()).chain(BUNDLE.lines()) {
        if let Some(name) = line.strip_suffix(" = {") {
            open = Some((true, name.to_owned()));
            maps.insert(name.to_owned(), Vec::new());
        } else if let Some(name) = line.strip_suffix(" = &(") {
            open = Some((false, name.to_owned()));
            enums.insert(name.to_owned(), Vec::new());
        } else if line == "}" || line == ")" {
            open = None;
        } else if let Some((is_map, name)) = &open {
            let (rule, comment) = line.split_once(';').unwrap_or((line, ""));
            let rule = rule.trim();
            if *is_map {
                let Some((number, _)) = rule.split_once(" => ") else {
                    continue;
                };
                let number = number.strip_prefix("? ").unwrap_or(number).parse().unwrap();
                let label = comment.trim().split_once(':').unwrap().0.to_owned();
                maps.get_mut(name).unwrap().push((number, label));
            } else {
                let (label, number) = rule.strip_suffix(',').unwrap().split_once(": ").unwrap();
                let entry = (number.parse().unwrap(), label.to_owned());
                enums.get_mut(name).unwrap().push(entry);
            }
        }
    }
    // The kind, the body and the content of a record stand in the group `variant`.
    let comment = RECORD
        .lines()
        .find(|l| l.starts_with("; 5 kind, 15 body, 16 content:"));
    assert!(comment.is_some());
    let record = maps.get_mut("record").unwrap();
    for (number, name) in [(5, "kind"), (15, "body"), (16, "content")] {
        record.push((number, name.to_owned()));
    }
    record.sort();
    (maps, enums)
}

#[test]
fn the_cddl_has_the_registry_and_nothing_else() {
    let (maps, enums) = written();
    let owned = |(n, name): (i64, &str)| (n, name.to_owned());
    let structures: Written = structures::structures()
        .into_iter()
        .map(|(name, keys)| (name, keys.into_iter().map(owned).collect()))
        .collect();
    for (name, keys) in &structures {
        assert_eq!(maps.get(name), Some(keys), "structure {name}");
    }
    assert_eq!(maps, structures);
    let enumerations: Written = structures::enumerations()
        .into_iter()
        .map(|(name, values)| {
            let number = |n: u64| i64::try_from(n).unwrap();
            let values = values.into_iter().map(|(n, l)| (number(n), l.to_owned()));
            (name, values.collect())
        })
        .collect();
    for (name, values) in &enumerations {
        assert_eq!(enums.get(name), Some(values), "enumeration {name}");
    }
    assert_eq!(enums, enumerations);
}

#[test]
fn the_cddl_gives_each_kind_its_body_and_content() {
    for (number, name, kind) in Kind::ALL {
        let variant = format!("5 => {number}, 15 => {name}, ? 16 => {name}-content ");
        assert!(RECORD.contains(&variant), "{variant}");
        for (field, label, _) in Field::ALL {
            assert!(
                RECORD.contains(&format!("\nfield-{label} = {field}\n")),
                "{label}"
            );
            let content = Value::Map(vec![((*field).into(), Value::Bytes(vec![0; 32]))]);
            let said = conforms(&format!("{name}-content"), &content).is_ok();
            let field = Field::from_number(*field).unwrap();
            assert_eq!(
                said,
                kind.fields().contains(&field),
                "{name} with `{field}`"
            );
        }
    }
}

/// The number ranges that the head of `record.cddl` promises.
#[test]
fn numbers_lie_in_their_ranges() {
    let bodies: Vec<String> = Kind::ALL
        .iter()
        .map(|(_, name, _)| (*name).to_owned())
        .collect();
    for (name, keys) in structures::structures() {
        for (number, label) in keys {
            let range = match name.as_str() {
                "record" => 0..=23,
                _ if bodies.contains(&name) => 24..=199,
                _ => 0..=399,
            };
            assert!(range.contains(&number), "{name}.{label} is {number}");
        }
    }
}

fn example(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{kind}.diag"))
}

/// Prints a value in diagnostic notation, each key with its name.
fn diagnostic(value: &Value, names: &BTreeMap<i64, &str>, indent: usize) -> String {
    let pad = "  ".repeat(indent + 1);
    let end = "  ".repeat(indent);
    match value {
        Value::Map(entries) => {
            let line = |(key, value): &(Value, Value)| {
                let number = i64::try_from(key.as_integer().unwrap()).unwrap();
                let name = names.get(&number).copied().unwrap_or("?");
                let value = diagnostic(value, names, indent + 1);
                format!("{pad}/ {name} / {number}: {value}")
            };
            let lines: Vec<_> = entries.iter().map(line).collect();
            format!("{{\n{}\n{end}}}", lines.join(",\n"))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|i| diagnostic(i, names, indent)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Integer(n) => i128::from(*n).to_string(),
        Value::Bytes(bytes) => format!("h'{}'", hex::encode(bytes)),
        Value::Text(text) => format!("{text:?}"),
        Value::Bool(bool) => bool.to_string(),
        other => panic!("{other:?} is not in the format"),
    }
}

#[test]
fn the_examples_are_the_samples() {
    let mut names = BTreeMap::new();
    for (_, keys) in structures::structures() {
        names.extend(keys);
    }
    for (number, name, _) in Field::ALL {
        names.insert(i64::try_from(*number).unwrap(), *name);
    }
    for (_, kind, of) in Kind::ALL {
        let encoded = samples::full(*of).encode().unwrap();
        let path = example(kind);
        if std::env::var_os("UPDATE_EXAMPLES").is_some() {
            let text = diagnostic(&value(&encoded), &names, 0);
            std::fs::write(&path, format!("{text}\n")).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let parsed = cbor_diag::parse_diag(&text).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(
            hex::encode(parsed.to_bytes()),
            hex::encode(&encoded),
            "{kind}"
        );
    }
    let files = std::fs::read_dir(example("x").parent().unwrap()).unwrap();
    assert_eq!(files.count(), Kind::ALL.len(), "one example for each kind");
}
