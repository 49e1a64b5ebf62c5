//! The off switch's invariants against `fixtures/switch`: each kept and broken, with the records that show it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use tacho_schemas::act::{NAMESPACE, Statement, Verb};
use tacho_schemas::body::Body;
use tacho_schemas::body::human::{Act, Answer, Approval};
use tacho_schemas::body::log::{Assurance, Key, KeyOp, KeyRole};
use tacho_schemas::record::{Actor, ActorType, VERSION, Via};
use tacho_schemas::scalar::{Blob, Fixed, Set};
use tacho_schemas::sshsig::HumanKey;
use tacho_schemas::verify::switch::{Fold, INVARIANTS, Report, State};
use tacho_schemas::{Hash, Id, Kind, LogId, Origin, Record, Seq, Time, tree};

const SECOND: f64 = 1e9;

/// 2026-11-24, in ns.
const BEGIN: i64 = 1_795_500_000_000_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    records: Vec<serde_json::Map<String, Value>>,
    expect: BTreeMap<String, Expected>,
    good: bool,
    drill_days: Option<i64>,
    still: Option<Vec<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    state: String,
    #[serde(default)]
    proves: Vec<u64>,
    #[serde(default)]
    breaks: Vec<(u64, String)>,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approve {
    by: String,
    kill: u64,
    but: Option<String>,
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// Somebody's key, made out of their name.
fn key(name: &str) -> SigningKey {
    SigningKey::from_bytes(&Hash::sha256(name.as_bytes()).0)
}

fn public(name: &str) -> HumanKey {
    let point = key(name).verifying_key();
    let blob = [string(b"ssh-ed25519"), string(point.as_bytes())].concat();
    HumanKey::from_blob(&blob).unwrap()
}

/// Signs as `ssh-keygen -Y sign` does (PROTOCOL.sshsig).
fn sshsig(name: &str, public: &HumanKey, text: &str) -> Vec<u8> {
    let hash = Sha512::digest(text.as_bytes());
    let about = [NAMESPACE.as_bytes(), b"", b"sha512"].map(string).concat();
    let over = [b"SSHSIG".to_vec(), about.clone(), string(&hash)].concat();
    let signature = [
        string(b"ssh-ed25519"),
        string(&key(name).sign(&over).to_bytes()),
    ]
    .concat();
    let head = [b"SSHSIG\0\0\0\x01".to_vec(), string(public.blob())].concat();
    [head, about, string(&signature)].concat()
}

/// What the body of a kind needs and no case is about.
fn usual(kind: Kind) -> Value {
    match kind {
        Kind::Action => json!({"tool": "Bash", "rationale": {"source": "absent"}}),
        Kind::Kill => json!({"trigger": "human", "freeze": false}),
        Kind::Policy => json!({"policy_digest": "00".repeat(32)}),
        Kind::Boot => {
            json!({"boot_id": "00".repeat(16), "recovered": 0, "mono_reset": false, "software": "tacho", "loss_accepted": false})
        }
        _ => json!({}),
    }
}

fn human_key(name: &str, op: KeyOp) -> Body {
    let add = op == KeyOp::Add;
    Body::Key(Box::new(Key {
        // Nobody checks it here; that a key has one is what makes it a key.
        signature: Some(Fixed([0; 64])),
        epoch: None,
        op,
        role: KeyRole::Human,
        public_key: Blob::new(public(name).blob().to_vec()).unwrap(),
        holder: Some(id(name)),
        groups: add.then(|| Set::new(vec![id("reviewers")]).unwrap()),
        assurance: add.then_some(Assurance::Touch),
        consumes: None,
    }))
}

/// A yes to the release of a kill, with what is wrong with it.
fn approval(approve: &Approve, leaves: &[Hash], now: i64) -> Body {
    let is = |what: &str| approve.but.as_deref() == Some(what);
    let kill = leaves[usize::try_from(approve.kill).unwrap()];
    let other = Hash([9; 32]);
    let bound = if is("statement") { other } else { kill };
    let signer = match is("signature") {
        true => "somebody else",
        false => &approve.by,
    };
    let target = Some((Seq(approve.kill), bound));
    Body::Approval(Box::new(Approval {
        request_digest: if is("digest") { other } else { kill },
        target: Seq(approve.kill),
        answer: match is("answer") {
            true => Answer::Reject,
            false => Answer::Approve,
        },
        not_after: Some(Time(if is("late") { now } else { now + 1 })),
        act: act(&approve.by, signer, Verb::Approve, target, now),
    }))
}

/// What somebody signs, for everything or to a record; by another key, where the signature is not theirs.
fn act(by: &str, signer: &str, verb: Verb, target: Option<(Seq, Hash)>, now: i64) -> Act {
    let public = public(by);
    let statement = Statement {
        origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
        log_id: LogId(Hash([5; 32])),
        verb,
        target: target.map(|(seq, _)| seq),
        digest: target.map(|(_, digest)| digest),
        policy: None,
        scope: Some("all".to_owned()),
        not_before: Time(now - 1),
        not_after: Time(now + 1),
        nonce: [1; 16],
        key: public.fingerprint(),
    };
    let text = statement.to_string();
    Act {
        key: public.fingerprint(),
        assurance: Some(Assurance::Touch),
        sshsig: Blob::new(sshsig(signer, &public, &text)).unwrap(),
        statement: Blob::new(text.into_bytes()).unwrap(),
    }
}

/// One record of a case, as it would stand in a log.
fn record(line: &serde_json::Map<String, Value>, place: usize, leaves: &[Hash]) -> Record {
    let mut line = line.clone();
    let mut take = |name: &str| line.remove(name);
    let seq = take("seq").map_or(u64::try_from(place).unwrap(), |seq| seq.as_u64().unwrap());
    #[allow(clippy::cast_possible_truncation, reason = "seconds of a few days")]
    let at = take("at").map_or(0, |at| (at.as_f64().unwrap() * SECOND) as i64);
    let text = |value: Value| value.as_str().unwrap().to_owned();
    let (via, by) = (take("via").map(text), take("by").map(text));
    let signed = take("signed").map(text);
    let session = take("in").map(|seq| Seq(seq.as_u64().unwrap()));
    let causes = take("causes").map(|seqs| serde_json::from_value(seqs).unwrap());
    assert_eq!(line.len(), 1, "one kind: {line:?}");
    let (name, value) = line.into_iter().next().unwrap();
    let (kind, body) = match name.as_str() {
        "enrol" => (Kind::Key, human_key(value.as_str().unwrap(), KeyOp::Add)),
        "retire" => (Kind::Key, human_key(value.as_str().unwrap(), KeyOp::Retire)),
        "approve" => {
            let approve = serde_json::from_value(value).unwrap();
            (Kind::Approval, approval(&approve, leaves, BEGIN + at))
        }
        name => {
            let kind: Kind = serde_json::from_value(json!(name)).unwrap();
            let mut body = usual(kind);
            let given = value.as_object().unwrap().clone();
            body.as_object_mut().unwrap().extend(given);
            let body = Body::deserialize_as(kind, body);
            let mut body = body.unwrap_or_else(|e| panic!("{name}: {e}"));
            if let (Body::Kill(kill), Some(name)) = (&mut body, &signed) {
                kill.act = Some(act(name, name, Verb::Kill, None, BEGIN + at));
            }
            (kind, body)
        }
    };
    let (via, by) = match kind {
        Kind::Kill => (
            via.unwrap_or("human".into()),
            by.unwrap_or("human:ops".into()),
        ),
        Kind::Key | Kind::Approval => (
            via.unwrap_or("human".into()),
            by.unwrap_or("human:ops".into()),
        ),
        _ => (
            via.unwrap_or("gate".into()),
            by.unwrap_or("agent:fixer".into()),
        ),
    };
    let (sort, name) = by.split_once(':').unwrap();
    let actor_type: ActorType = serde_json::from_value(json!(sort)).unwrap();
    let via: Via = serde_json::from_value(json!(via)).unwrap();
    Record {
        version: VERSION,
        seq: Seq(seq),
        prev: Hash([0; 32]),
        time: Time(BEGIN + at),
        mono: u64::try_from(at).unwrap(),
        kind,
        actor: Actor {
            actor_type,
            id: id(name),
            model: None,
            on_behalf_of: None,
        },
        via,
        import: None,
        auth: None,
        claimed: None,
        reference: None,
        session,
        generation: None,
        causes,
        body,
        content: None,
        artefacts: None,
        redacted: None,
    }
}

fn ask(case: &Case) -> Report {
    let mut fold = Fold::new();
    let mut leaves = Vec::new();
    for (place, line) in case.records.iter().enumerate() {
        let record = record(line, place, &leaves);
        // What is asked about is what a log could hold.
        let bytes = record
            .encode()
            .unwrap_or_else(|e| panic!("{}, record {place}: {e}", case.name));
        leaves.push(tree::leaf_hash(&bytes));
        fold.push(&Record::decode(&bytes).unwrap(), leaves[place]);
    }
    fold.finish(case.drill_days.map(|days| days * 86_400_000_000_000))
}

fn differs(case: &Case, report: &Report) -> Option<String> {
    for (answer, (name, _)) in report.answers.iter().zip(INVARIANTS) {
        let nothing = Expected {
            state: "nothing".to_owned(),
            proves: vec![],
            breaks: vec![],
            note: None,
        };
        let expected = case.expect.get(name).unwrap_or(&nothing);
        let state: Value = json!(answer.state);
        let proves: Vec<u64> = answer.proves.iter().map(|seq| seq.0).collect();
        let breaks = answer.breaks.len() == expected.breaks.len()
            && answer
                .breaks
                .iter()
                .zip(&expected.breaks)
                .all(|(is, (seq, words))| is.seq.0 == *seq && is.why.contains(words));
        let noted = expected
            .note
            .as_ref()
            .is_none_or(|note| answer.notes.iter().any(|said| said.contains(note)));
        if state != json!(expected.state) || proves != expected.proves || !breaks || !noted {
            return Some(format!("{}: {name} is {answer:?}", case.name));
        }
    }
    if report.is_good() != case.good {
        return Some(format!("{}: good is {}", case.name, report.is_good()));
    }
    let open: Vec<u64> = report.open.iter().map(|seq| seq.0).collect();
    match &case.still {
        Some(still) if *still != open => Some(format!("{}: {open:?} stand", case.name)),
        _ => None,
    }
}

#[test]
fn each_invariant_is_kept_and_broken_by_the_records_that_say_so() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../fixtures/switch/invariants.json")).unwrap();
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| differs(case, &ask(case)))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    for (name, _) in INVARIANTS {
        for state in [State::Holds, State::Broken] {
            let state = json!(state);
            let shown = cases.iter().any(|case| {
                case.expect
                    .get(name)
                    .is_some_and(|e| json!(e.state) == state)
            });
            assert!(shown, "no case shows {name} {state}");
        }
    }
}

#[test]
fn a_log_without_any_one_of_its_records_is_noticed() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../fixtures/switch/invariants.json")).unwrap();
    for case in cases
        .iter()
        .filter(|case| case.good && case.records.len() > 1)
    {
        let mut leaves = Vec::new();
        let records: Vec<Record> = (case.records.iter().enumerate())
            .map(|(place, line)| {
                let record = record(line, place, &leaves);
                leaves.push(tree::leaf_hash(&record.encode().unwrap()));
                record
            })
            .collect();
        // The last one is a matter of completeness, which no fold can see.
        for without in 0..records.len() - 1 {
            let mut fold = Fold::new();
            for (place, record) in records
                .iter()
                .enumerate()
                .filter(|(place, _)| *place != without)
            {
                fold.push(record, leaves[place]);
            }
            let report = fold.finish(None);
            assert_eq!(
                report.answers[6].state,
                State::Broken,
                "{} without {without}",
                case.name
            );
            assert!(!report.is_good());
        }
    }
}
