//! The envelope: what a record may not say, and what is read of records from the future.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeMap;

use ciborium::Value;
use tacho_schemas::body::Body;
use tacho_schemas::body::human::{Kill, Lease, Scope};
use tacho_schemas::body::log::{Genesis, Key, KeyOp, KeyRole, Seal};
use tacho_schemas::body::work::{Decision, DenyKind};
use tacho_schemas::content::Field;
use tacho_schemas::record::{Auth, Claimed, Frame, Via};
use tacho_schemas::scalar::{Blob, Fixed, List, Seq};
use tacho_schemas::{Error, Hash, Kind, Record};

#[allow(dead_code, reason = "each test uses a part")]
#[path = "support/samples.rs"]
mod samples;

fn refusal(record: &Record) -> String {
    match record.encode() {
        Err(Error::Meaning(text)) => text,
        other => panic!("{other:?}"),
    }
}

type Edit = fn(&mut Record);

/// One edit for each rule of the envelope, and what is said of it.
const RULES: &[(&str, Edit)] = &[
    ("version 2 is not known", |r| r.version = 2),
    ("version 0 is not known", |r| r.version = 0),
    ("the body is of another kind", |r| r.kind = Kind::Note),
    ("`seal` cannot come via api", |r| {
        *r = samples::minimal(Kind::Seal);
        r.via = Via::Api;
    }),
    ("`approval` cannot come via import", |r| {
        *r = samples::minimal(Kind::Approval);
        r.via = Via::Import;
    }),
    ("`erasure` cannot come via watch", |r| {
        *r = samples::minimal(Kind::Erasure);
        r.via = Via::Watch;
    }),
    ("`import` stands if and only if `via` is import", |r| {
        r.via = Via::Import
    }),
    ("`import` stands if and only if `via` is import", |r| {
        r.import = Some(Seq(1))
    }),
    ("an empty map", |r| {
        r.auth = Some(Auth {
            uid: None,
            token: None,
            cell: None,
            key: None,
        });
    }),
    ("an empty map", |r| {
        r.claimed = Some(Claimed {
            start: None,
            end: None,
        });
    }),
    ("refers to a record that does not come before it", |r| {
        r.via = Via::Import;
        r.import = Some(r.seq);
    }),
    ("refers to a record that does not come before it", |r| {
        r.session = Some(r.seq)
    }),
    ("refers to a record that does not come before it", |r| {
        r.generation = Some(Seq(51))
    }),
    ("causes are not ascending and before the record", |r| {
        causes(r, &[3, 2])
    }),
    ("causes are not ascending and before the record", |r| {
        causes(r, &[3, 3])
    }),
    ("causes are not ascending and before the record", |r| {
        causes(r, &[3, 50])
    }),
    ("`message` has no content `path`", |r| {
        r.content = Some(BTreeMap::from([(Field::Path, Hash::ZERO)]));
    }),
];

fn causes(record: &mut Record, causes: &[u64]) {
    record.causes = Some(List::new(causes.iter().copied().map(Seq).collect()).unwrap());
}

#[test]
fn each_rule_of_the_envelope_is_held() {
    let good = samples::minimal(Kind::Message);
    good.encode().unwrap();
    for (message, edit) in RULES {
        let mut bad = good.clone();
        edit(&mut bad);
        assert_eq!(refusal(&bad), *message);
        // A reader holds records to the same rules as a writer.
        let mut bytes = Vec::new();
        ciborium::into_writer(&bad, &mut bytes).unwrap();
        assert!(Record::decode(&bytes).is_err(), "{message}");
    }
}

fn genesis(edit: fn(&mut Genesis)) -> Body {
    let mut body = samples::genesis();
    edit(&mut body);
    body.into()
}

fn key(role: KeyRole, op: KeyOp, edit: fn(&mut Key)) -> Body {
    let mut body = samples::key(role, op);
    edit(&mut body);
    body.into()
}

fn seal(edit: fn(&mut Seal)) -> Body {
    let Body::Seal(mut body) = samples::minimal(Kind::Seal).body else {
        panic!("not a seal")
    };
    edit(&mut body);
    Body::Seal(body)
}

fn action(decision: Decision, deny_kind: Option<DenyKind>) -> Body {
    let Body::Action(mut body) = samples::full(Kind::Action).body else {
        panic!("not an action")
    };
    let verdict = body.verdict.as_mut().unwrap();
    (verdict.decision, verdict.deny_kind) = (decision, deny_kind);
    Body::Action(body)
}

#[test]
fn each_rule_of_the_bodies_is_held() {
    let cases: Vec<(Body, Option<&str>)> = vec![
        (genesis(|g| g.suite = 2), Some("the suite is not known")),
        (
            genesis(|g| g.signature = None),
            Some("a genesis needs a signature"),
        ),
        (
            seal(|s| s.signature = None),
            Some("a seal needs a signature"),
        ),
        (
            key(KeyRole::Log, KeyOp::Rotate, |k| {
                k.public_key = Blob::new(vec![1; 33]).unwrap();
            }),
            Some("a log or epoch key has 32 bytes"),
        ),
        (
            key(KeyRole::Epoch, KeyOp::Break, |k| k.signature = None),
            Some("a log or epoch key needs the identity key's signature"),
        ),
        (
            key(KeyRole::Human, KeyOp::Add, |k| k.signature = None),
            Some("a key needs the identity key's signature or approvals"),
        ),
        (
            key(KeyRole::Human, KeyOp::Add, |k| {
                k.signature = None;
                k.consumes = Some(List::new(vec![Seq(3)]).unwrap());
            }),
            None,
        ),
        (
            key(KeyRole::Epoch, KeyOp::Break, |k| k.epoch = None),
            Some("`epoch` stands if and only if the role is epoch"),
        ),
        (
            key(KeyRole::Log, KeyOp::Rotate, |k| k.epoch = Some(1)),
            Some("`epoch` stands if and only if the role is epoch"),
        ),
        (action(Decision::Allow, None), None),
        (action(Decision::Hold, None), None),
        (action(Decision::Deny, Some(DenyKind::Killed)), None),
        (
            action(Decision::Deny, None),
            Some("`deny_kind` stands if and only if the decision is deny"),
        ),
        (
            action(Decision::Allow, Some(DenyKind::Killed)),
            Some("`deny_kind` stands if and only if the decision is deny"),
        ),
    ];
    for (body, message) in cases {
        let said = samples::envelope(body).encode().err();
        let expected = message.map(|m| Error::Meaning(m.to_owned()));
        assert_eq!(said, expected);
    }
}

#[test]
fn a_target_fits_its_scope() {
    let Body::Kill(kill) = samples::minimal(Kind::Kill).body else {
        panic!("not a kill")
    };
    let Body::Lease(lease) = samples::minimal(Kind::Lease).body else {
        panic!("not a lease")
    };
    for (_, name, scope) in Scope::ALL {
        for (id, seq) in [(false, false), (true, false), (false, true), (true, true)] {
            let target = id.then(|| samples::id("a-1"));
            let about = seq.then_some(Seq(5));
            let good = match scope {
                Scope::All => !id && !seq,
                Scope::Agent | Scope::Part => id && !seq,
                Scope::Session | Scope::Lineage => !id && seq,
            };
            let kill = Kill {
                scope: *scope,
                target: target.clone(),
                about,
                ..(*kill).clone()
            };
            let lease = Lease {
                scope: *scope,
                target,
                about,
                ..(*lease).clone()
            };
            for body in [Body::from(kill), Body::from(lease)] {
                let what = format!("{name} with id {id} and record {seq}");
                assert_eq!(samples::envelope(body).encode().is_ok(), good, "{what}");
            }
        }
    }
}

#[test]
fn an_erasure_names_something() {
    let Body::Erasure(mut body) = samples::full(Kind::Erasure).body else {
        panic!("not an erasure")
    };
    let mut erased = (&body.erased).into_iter().next().unwrap().clone();
    (erased.fields, erased.places) = (None, None);
    body.erased = List::new(vec![erased]).unwrap();
    let record = samples::envelope(Body::Erasure(body));
    assert_eq!(refusal(&record), "an erasure of nothing");
}

/// Which kinds can come which way: pinned, since a forged approval would be the worst of all.
#[test]
fn ways_in_are_pinned() {
    let ways = |kind: Kind| -> Vec<&str> {
        let ways = Via::ALL.iter().filter(|(_, _, via)| kind.comes_via(*via));
        ways.map(|(_, name, _)| *name).collect()
    };
    for (_, name, kind) in Kind::ALL {
        let expected: &[&str] = match name {
            &"session" | &"message" | &"action" | &"outcome" | &"mutation" | &"generation"
            | &"evaluation" => &["gate", "api", "watch", "human", "recorder", "import"],
            &"gap" | &"alarm" => &["gate", "watch", "human", "recorder"],
            _ => &["gate", "human", "recorder"],
        };
        assert_eq!(ways(*kind), expected, "{name}");
    }
}

fn value_of(record: &Record) -> Vec<(Value, Value)> {
    match ciborium::from_reader(&record.encode().unwrap()[..]).unwrap() {
        Value::Map(entries) => entries,
        other => panic!("{other:?}"),
    }
}

fn bytes_of(entries: Vec<(Value, Value)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(&Value::Map(entries), &mut bytes).unwrap();
    bytes
}

/// Replaces the value of a key.
fn with(entries: &[(Value, Value)], key: i64, value: Value) -> Vec<u8> {
    let mut entries = entries.to_vec();
    let key = Value::from(key);
    entries.iter_mut().find(|(k, _)| *k == key).unwrap().1 = value;
    bytes_of(entries)
}

/// What ciborium would take for the same: names for numbers, byte strings for lists, lists for byte strings.
#[test]
fn second_spellings_are_refused() {
    let mut record = samples::minimal(Kind::Mutation);
    causes(&mut record, &[1, 2]);
    let entries = value_of(&record);
    let small = |bytes: &[u8]| Value::Array(bytes.iter().map(|b| Value::from(*b)).collect());
    let spellings = [
        (5, "mutation".into()),
        (7, "recorder".into()),
        (14, Value::Bytes(vec![1, 2])),
        (2, small(&record.prev.0)),
    ];
    for (key, value) in spellings {
        let bytes = with(&entries, key, value);
        tacho_schemas::canon::check(&bytes, usize::MAX).unwrap();
        assert!(Record::decode(&bytes).is_err(), "key {key}");
    }
    let parts = |value: Value| {
        let body = Value::Map(vec![
            (114.into(), value),
            (135.into(), 1.into()),
            (136.into(), 1.into()),
        ]);
        Record::decode(&with(&entries, 15, body))
    };
    assert!(parts(Value::Array(vec![1.into(), 2.into()])).is_ok());
    assert!(parts(Value::Bytes(vec![1, 2])).is_err());
    assert!(parts(Value::Array(vec!["code".into()])).is_err());
}

#[test]
fn what_is_not_known_is_meaning_and_not_canon() {
    let entries = value_of(&samples::minimal(Kind::Message));
    let meaning = |bytes: &[u8], what: &str| match Record::decode(bytes) {
        Err(Error::Meaning(text)) => assert!(text.contains(what), "{text}"),
        other => panic!("{other:?}"),
    };
    meaning(&with(&entries, 0, 2.into()), "version 2 is not known");
    meaning(&with(&entries, 5, 22.into()), "unknown kind 22");
    meaning(&with(&entries, 7, 7.into()), "unknown via 7");
    let body = Value::Map(vec![(104.into(), 1.into()), (199.into(), 1.into())]);
    meaning(&with(&entries, 15, body), "unknown key 199");
    let mut more = entries.clone();
    more.push((18.into(), 1.into()));
    meaning(&bytes_of(more), "unknown key 18");
    let mut less = entries.clone();
    less.remove(3);
    meaning(&bytes_of(less), "missing field `time`");
    meaning(&[0x01], "expected map");
    meaning(&[0x81, 0x01], "expected map");
}

#[test]
fn extensions_are_passed_over_and_not_written() {
    let record = samples::full(Kind::Message);
    let mut entries = value_of(&record);
    entries.push(((-1).into(), Value::Map(vec![(5.into(), Value::Bool(true))])));
    entries.push(((-300).into(), "x".repeat(5_000).into()));
    let bytes = bytes_of(entries);
    let read = Record::decode(&bytes).unwrap();
    assert_eq!(read, record);
    assert_ne!(read.encode().unwrap(), bytes);
}

/// A structure with nothing but extensions would be a second spelling of an absent one.
#[test]
fn extensions_alone_are_no_structure() {
    let only = Value::Map(vec![((-1).into(), 1.into())]);
    let refused = |record: Record, key: i64, value: Value, what: &str| {
        let said = Record::decode(&with(&value_of(&record), key, value));
        assert_eq!(said, Err(Error::Meaning(what.to_owned())));
    };
    let full = || samples::full(Kind::Message);
    refused(full(), 9, only.clone(), "an empty auth");
    refused(full(), 10, only.clone(), "an empty claimed");
    refused(full(), 6, only.clone(), "missing field `type`");
    let evaluation = samples::minimal(Kind::Evaluation);
    refused(evaluation, 15, only.clone(), "an empty evaluation");
    let usage = Value::Map(vec![(104.into(), 1.into()), (105.into(), only)]);
    refused(full(), 15, usage, "an empty usage");
}

#[test]
fn the_frame_of_a_future_version_is_read() {
    let prev = Value::Bytes(vec![7; 32]);
    let future = |version: Value, seq: Value, prev: Value| {
        bytes_of(vec![
            (0.into(), version),
            (1.into(), seq),
            (2.into(), prev),
            (3.into(), Value::Array(vec!["another".into(), true.into()])),
            (400.into(), 1.into()),
        ])
    };
    let bytes = future(9.into(), 50.into(), prev.clone());
    let frame = Frame::read(&bytes).unwrap();
    assert_eq!(
        (frame.version, frame.seq, frame.prev),
        (9, Seq(50), Hash([7; 32]))
    );
    assert!(matches!(Record::decode(&bytes), Err(Error::Meaning(_))));

    let unframed = Err(Error::Meaning(
        "does not begin with version, seq and prev".to_owned(),
    ));
    let bad = [
        future("9".into(), 50.into(), prev.clone()),
        future(9.into(), (-1).into(), prev.clone()),
        future(9.into(), 50.into(), Value::Bytes(vec![7; 31])),
        bytes_of(vec![
            (0.into(), 1.into()),
            (1.into(), 1.into()),
            (3.into(), prev.clone()),
        ]),
        bytes_of(vec![(0.into(), 1.into()), (1.into(), 1.into())]),
        bytes_of(vec![
            (1.into(), 1.into()),
            (2.into(), prev.clone()),
            (3.into(), 1.into()),
        ]),
    ];
    for bytes in bad {
        assert_eq!(Frame::read(&bytes), unframed);
    }
    assert!(matches!(Frame::read(&[0xa0]), Err(Error::Canon { .. })));
    assert!(matches!(Frame::read(&[]), Err(Error::Canon { .. })));
}

#[test]
fn a_record_that_is_too_long_is_not_written() {
    let mut record = samples::full(Kind::Erasure);
    let Body::Erasure(body) = &mut record.body else {
        panic!("not an erasure")
    };
    let one = (&body.erased).into_iter().next().unwrap().clone();
    let fields = List::new(vec![u64::MAX; 64]).unwrap();
    let many = (0..256).map(|_| {
        let mut erased = one.clone();
        erased.fields = Some(fields.clone());
        erased
    });
    body.erased = List::new(many.collect()).unwrap();
    let said = record.encode().unwrap_err().to_string();
    assert_eq!(said, "not canonical: too-long at byte 65535");
}

#[test]
fn a_signature_is_set_only_where_there_is_one() {
    for (_, name, kind) in Kind::ALL {
        let mut body = samples::full(*kind).body;
        let has = matches!(kind, Kind::Genesis | Kind::Seal | Kind::Key);
        assert_eq!(body.signature().is_some(), has, "{name}");
        body.set_signature(Some(Fixed([1; 64])));
        assert_eq!(body.signature(), has.then_some(&Fixed([1; 64])), "{name}");
        body.set_signature(None);
        assert_eq!(body.signature(), None, "{name}");
    }
}
