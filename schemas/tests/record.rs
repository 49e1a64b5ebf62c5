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
use tacho_schemas::body::change::{Evaluation, Generation, Mutation};
use tacho_schemas::body::human::{Erased, Kill, Lease, Release, Scope};
use tacho_schemas::body::log::{Assurance, Genesis, Import, Key, KeyOp, KeyRole, Phase, Seal};
use tacho_schemas::body::work::{Action, Decision, DenyKind, Guard, GuardLevel, Session, Verdict};
use tacho_schemas::body::{Part, RationaleSource};
use tacho_schemas::content::Field;
use tacho_schemas::record::{Auth, Claimed, Frame, Via};
use tacho_schemas::scalar::{Blob, Fixed, Id, List, Seq, Set, Time};
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
    ("import 50 does not come before the record", |r| {
        r.via = Via::Import;
        r.import = Some(r.seq);
    }),
    ("session 50 does not come before the record", |r| {
        r.session = Some(r.seq)
    }),
    ("generation 51 does not come before the record", |r| {
        r.generation = Some(Seq(51))
    }),
    ("cause 50 does not come before the record", |r| {
        causes(r, &[3, 50])
    }),
    ("`message` has no content `path`", |r| {
        r.content = Some(BTreeMap::from([(Field::Path, Hash::ZERO)]));
    }),
];

fn causes(record: &mut Record, causes: &[u64]) {
    record.causes = Some(Set::of(causes.iter().copied().map(Seq).collect()).unwrap());
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

fn action(decision: Decision, edit: fn(&mut Verdict)) -> Body {
    let Body::Action(mut body) = samples::minimal(Kind::Action).body else {
        panic!("not an action")
    };
    let mut verdict = samples::verdict(decision);
    edit(&mut verdict);
    body.verdict = Some(verdict);
    Body::Action(body)
}

/// Edits the body of a full sample.
macro_rules! edited {
    ($kind:ident, $edit:expr) => {{
        let Body::$kind(mut body) = samples::full(Kind::$kind).body else {
            panic!("of another kind")
        };
        let edit: fn(&mut _) = $edit;
        edit(&mut *body);
        Body::$kind(body)
    }};
}

/// One edit for each rule of the bodies, and what is said of it.
fn cases() -> Vec<(Body, Option<&'static str>)> {
    const DENY_KIND: &str = "`deny_kind` stands if and only if the decision is deny";
    const HOLD: &str = "`obligations` and `deadline` stand only in a hold";
    const CONSUMES: &str = "`consumes` stands only if the decision is allow";
    const OPEN_HOLD: &str = "a hold needs `request_digest`, `obligations` and `deadline`";
    const K: &str = "`k` must be at least 1";
    const DIFFER: &str = "identity, log and epoch key must differ";
    const HOLDER: &str = "`holder` stands if and only if the role is human, witness or watchdog";
    const HUMAN: &str = "`groups` and `assurance` stand only if the role is human";
    const CLOSES: &str = "`exit` and `signal` stand only when the session closes";
    const IMPORT: &str = "`count` and `losses` stand only when the import closes";
    const GUARDS: &str = "guards must ascend by part, with none twice";
    const ABSENT: &str = "a rationale that is absent has neither evidence nor confidence";
    const RATIONALE: &str = "`rationale` must stand; its source `absent` says that there is none";
    const EVALUATION: &str = "an evaluation has `main`, `metrics` or `passed`";
    const TWICE: &str = "a parent or a mutation stands twice";
    const ERASED: &str = "what is erased must ascend by record, with none twice";
    let guard = |part, level| Guard { part, level };
    let guards = |pairs: [Guard; 2]| {
        let Body::Session(mut body) = samples::full(Kind::Session).body else {
            panic!("not a session")
        };
        body.guards = Some(List::new(pairs.to_vec()).unwrap());
        Body::Session(body)
    };
    let erased = |seqs: &[u64]| {
        let Body::Erasure(mut body) = samples::full(Kind::Erasure).body else {
            panic!("not an erasure")
        };
        let one = body.erased.as_slice()[0].clone();
        let all = seqs.iter().map(|seq| Erased {
            seq: Seq(*seq),
            ..one.clone()
        });
        body.erased = List::new(all.collect()).unwrap();
        Body::Erasure(body)
    };
    let good = |level| guard(Part::Tests, level);
    vec![
        (genesis(|g| g.suite = 2), Some("the suite is not known")),
        (
            genesis(|g| g.sealing = false),
            Some("a log of version 1 is sealed"),
        ),
        (genesis(|g| g.log_key = g.identity_key), Some(DIFFER)),
        (genesis(|g| g.epoch_key = g.identity_key), Some(DIFFER)),
        (genesis(|g| g.epoch_key = g.log_key), Some(DIFFER)),
        (genesis(|g| g.witness_quorum = 2), None),
        (
            key(KeyRole::Human, KeyOp::Add, |k| k.holder = None),
            Some(HOLDER),
        ),
        (
            key(KeyRole::Witness, KeyOp::Add, |k| k.holder = None),
            Some(HOLDER),
        ),
        (
            key(KeyRole::Watchdog, KeyOp::Add, |k| k.holder = None),
            Some(HOLDER),
        ),
        (
            key(KeyRole::Log, KeyOp::Rotate, |k| {
                k.holder = Some(samples::id("h"))
            }),
            Some(HOLDER),
        ),
        (
            key(KeyRole::Witness, KeyOp::Add, |k| {
                k.assurance = Some(Assurance::Touch)
            }),
            Some(HUMAN),
        ),
        (
            key(KeyRole::Watchdog, KeyOp::Add, |k| {
                k.groups = Some(Set::of(vec![samples::id("g")]).unwrap());
            }),
            Some(HUMAN),
        ),
        (action(Decision::Allow, |_| ()), None),
        (action(Decision::Deny, |_| ()), None),
        (action(Decision::Hold, |_| ()), None),
        (
            action(Decision::Deny, |v| v.deny_kind = None),
            Some(DENY_KIND),
        ),
        (
            action(Decision::Allow, |v| v.deny_kind = Some(DenyKind::Killed)),
            Some(DENY_KIND),
        ),
        (
            action(Decision::Allow, |v| {
                v.obligations = samples::verdict(Decision::Hold).obligations;
            }),
            Some(HOLD),
        ),
        (
            action(Decision::Deny, |v| v.deadline = Some(Time(1))),
            Some(HOLD),
        ),
        (
            action(Decision::Hold, |v| {
                v.consumes = samples::verdict(Decision::Allow).consumes;
            }),
            Some(CONSUMES),
        ),
        (
            action(Decision::Deny, |v| {
                v.consumes = samples::verdict(Decision::Allow).consumes;
            }),
            Some(CONSUMES),
        ),
        (
            action(Decision::Hold, |v| v.obligations = None),
            Some(OPEN_HOLD),
        ),
        (
            action(Decision::Hold, |v| v.deadline = None),
            Some(OPEN_HOLD),
        ),
        (
            action(Decision::Hold, |v| v.request_digest = None),
            Some(OPEN_HOLD),
        ),
        (
            action(Decision::Hold, |v| {
                let one = v.obligations.as_ref().unwrap().as_slice()[0].clone();
                v.obligations = Some(List::new(vec![one.clone(), one]).unwrap());
            }),
            Some("an obligation stands twice"),
        ),
        (
            action(Decision::Hold, |v| {
                let mut one = v.obligations.as_ref().unwrap().as_slice()[0].clone();
                one.k = 0;
                v.obligations = Some(List::new(vec![one]).unwrap());
            }),
            Some(K),
        ),
        (edited!(Release, |r: &mut Release| r.k = 0), Some(K)),
        (
            edited!(Action, |a: &mut Action| a.rationale = None),
            Some(RATIONALE),
        ),
        (
            edited!(Mutation, |m: &mut Mutation| m.rationale = None),
            Some(RATIONALE),
        ),
        (
            edited!(Mutation, |m: &mut Mutation| {
                m.rationale.as_mut().unwrap().source = RationaleSource::Absent;
            }),
            Some(ABSENT),
        ),
        (
            edited!(Evaluation, |e: &mut Evaluation| {
                (e.main, e.metrics, e.passed) = (None, None, None);
            }),
            Some(EVALUATION),
        ),
        (
            edited!(Evaluation, |e: &mut Evaluation| (e.main, e.passed) =
                (None, None)),
            None,
        ),
        (
            edited!(Session, |s: &mut Session| s.phase = Phase::Open),
            Some(CLOSES),
        ),
        (
            edited!(Session, |s: &mut Session| s.phase = Phase::Part),
            Some("a session has no phase `part`"),
        ),
        (
            edited!(Import, |i: &mut Import| i.phase = Phase::Open),
            Some(IMPORT),
        ),
        (
            edited!(Import, |i: &mut Import| i.phase = Phase::Part),
            Some(IMPORT),
        ),
        (
            guards([
                good(GuardLevel::Enforced),
                guard(Part::Code, GuardLevel::Neither),
            ]),
            Some(GUARDS),
        ),
        (
            guards([good(GuardLevel::Enforced), good(GuardLevel::Detected)]),
            Some(GUARDS),
        ),
        (
            edited!(Generation, |g: &mut Generation| {
                g.parents = Some(List::new(vec![Seq(9), Seq(3), Seq(9)]).unwrap());
            }),
            Some(TWICE),
        ),
        (
            edited!(Generation, |g: &mut Generation| {
                g.mutations = Some(List::new(vec![Seq(9), Seq(9)]).unwrap());
            }),
            Some(TWICE),
        ),
        (
            edited!(Generation, |g: &mut Generation| {
                g.parents = Some(List::new(vec![Seq(9), Seq(3)]).unwrap());
            }),
            None,
        ),
        (erased(&[3, 4]), None),
        (erased(&[4, 3]), Some(ERASED)),
        (erased(&[4, 4]), Some(ERASED)),
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
                k.consumes = Some(Set::of(vec![Seq(3)]).unwrap());
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
    ]
}

#[test]
fn each_rule_of_the_bodies_is_held() {
    for (body, message) in cases() {
        let record = samples::envelope(body);
        let expected = message.map(|m| Error::Meaning(m.to_owned()));
        assert_eq!(record.encode().err(), expected);
        // A reader holds records to the same rules as a writer.
        let mut bytes = Vec::new();
        ciborium::into_writer(&record, &mut bytes).unwrap();
        assert_eq!(Record::decode(&bytes).err(), expected);
    }
}

/// Whose word a hold is decides what it must say: a claim may say less.
#[test]
fn a_claimed_hold_may_lack_what_approvals_need() {
    let bare = |verdict: &mut Verdict| {
        (
            verdict.request_digest,
            verdict.obligations,
            verdict.deadline,
        ) = (None, None, None);
    };
    for (_, name, via) in Via::ALL {
        let mut record = samples::envelope(action(Decision::Hold, bare));
        record.via = *via;
        record.import = (*via == Via::Import).then_some(Seq(3));
        let decided = matches!(via, Via::Gate | Via::Recorder);
        assert_eq!(record.encode().is_err(), decided, "{name}");
    }
}

#[test]
fn a_rationale_that_is_absent_has_no_words() {
    for kind in [Kind::Action, Kind::Mutation] {
        let good = samples::minimal(kind);
        for field in kind.fields() {
            let mut record = good.clone();
            record.content = Some(BTreeMap::from([(*field, Hash::ZERO)]));
            let words = [
                Field::Goal,
                Field::Summary,
                Field::Reasoning,
                Field::Alternatives,
                Field::ExpectedEffect,
                Field::Provenance,
            ];
            let said = record.encode().err();
            let why = format!("the rationale is absent, so there is no `{field}`");
            let expected = words.contains(field).then_some(Error::Meaning(why));
            assert_eq!(said, expected);
        }
    }
}

#[test]
fn sets_have_one_spelling() {
    type Small = Set<u64, 3>;
    assert_eq!(Small::new(vec![1, 2, 3]).unwrap().as_slice(), [1, 2, 3]);
    for bad in [&[][..], &[2, 1], &[1, 1], &[1, 2, 3, 4]] {
        assert!(Small::new(bad.to_vec()).is_err(), "{bad:?}");
        let mut bytes = Vec::new();
        ciborium::into_writer(&bad, &mut bytes).unwrap();
        assert!(ciborium::from_reader::<Small, _>(&bytes[..]).is_err());
    }
    assert_eq!(
        Small::of(vec![3, 1, 3, 1, 2]).unwrap().as_slice(),
        [1, 2, 3]
    );
    assert_eq!(Small::some(Vec::new()).unwrap(), None);
    assert!(Small::of(vec![1, 2, 3, 4]).is_err());
    let json: Small = serde_json::from_str("[2, 1, 2]").unwrap();
    assert_eq!(json.as_slice(), [1, 2]);
    assert!(serde_json::from_str::<Small>("[]").is_err());
    // Texts ascend by their bytes, not by their length as map keys do.
    let ids = ["b", "aa", "B"].map(|id| Id::new(id).unwrap());
    let set: Set<Id, 3> = Set::of(ids.to_vec()).unwrap();
    let order: Vec<_> = set.as_slice().iter().map(Id::as_str).collect();
    assert_eq!(order, ["B", "aa", "b"]);
}

/// Everything that a record points to comes before it: moved to the place of any of them, no sample is a record.
#[test]
fn what_is_pointed_to_comes_before() {
    let mut links = 0;
    for sample in samples::all() {
        let pointed = sample.record.links();
        for (link, seq) in &pointed {
            let mut moved = sample.record.clone();
            moved.seq = *seq;
            let said = moved.encode();
            assert!(said.is_err(), "{} at its {}", sample.name, link.name());
            links += 1;
        }
        let last = pointed.iter().map(|(_, seq)| seq.next()).max();
        let mut moved = sample.record.clone();
        moved.seq = last.unwrap_or(moved.seq);
        if sample.name != "seal" && sample.name != "seal-minimal" {
            moved.encode().unwrap();
        }
    }
    assert!(links > 80, "{links}");
    let mut empty = samples::minimal(Kind::Seal);
    let Body::Seal(seal) = &mut empty.body else {
        panic!("not a seal")
    };
    seal.first = empty.seq;
    empty.encode().unwrap();
    let Body::Seal(seal) = &mut empty.body else {
        panic!("not a seal")
    };
    seal.first = empty.seq.next();
    assert_eq!(refusal(&empty), "an epoch begins after its seal");
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
        let absent = Value::Map(vec![(40.into(), 4.into())]);
        let body = Value::Map(vec![
            (114.into(), value),
            (115.into(), absent),
            (135.into(), 1.into()),
            (136.into(), 1.into()),
        ]);
        Record::decode(&with(&entries, 15, body))
    };
    assert!(parts(Value::Array(vec![1.into(), 2.into()])).is_ok());
    assert!(parts(Value::Array(vec![2.into(), 1.into()])).is_err());
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
    more.push((19.into(), 1.into()));
    meaning(&bytes_of(more), "unknown key 19");
    let mut less = entries.clone();
    less.remove(3);
    meaning(&bytes_of(less), "missing field `time`");
    meaning(&[0x01], "not a map");
    meaning(&[0x81, 0x01], "not a map");
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
    record.seq = Seq(1_000);
    let Body::Erasure(body) = &mut record.body else {
        panic!("not an erasure")
    };
    let one = (&body.erased).into_iter().next().unwrap().clone();
    let fields = Set::of((0..64).map(|n| u64::MAX - n).collect()).unwrap();
    let many = (0..256).map(|seq| {
        let mut erased = one.clone();
        erased.seq = Seq(seq);
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
