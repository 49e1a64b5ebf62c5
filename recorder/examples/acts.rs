//! Writes a log with human acts: `acts LOG NAME.pub STATEMENT SIGNATURE`, the last three by `ssh-keygen`. For the checks outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool for tests may fail loudly"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use tacho_recorder::SystemClock;
use tacho_recorder::draft::Way;
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_schemas::body::human::{Act, Answer, Approval, Kill, Note, Release, Scope, Trigger};
use tacho_schemas::body::log::{Alarm, Assurance, Key, KeyOp, KeyRole, Policy, Severity};
use tacho_schemas::body::work::{Action, Class, Decision, DenyKind, Obligation, Verdict};
use tacho_schemas::body::{Body, Part, Rationale, RationaleSource};
use tacho_schemas::content::Field;
use tacho_schemas::event::{Attachment, Event};
use tacho_schemas::record::{Actor, ActorType, Role};
use tacho_schemas::scalar::{Blob, List, Set};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::{Hash, Id, Origin, Seq, Time};

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn by(actor_type: ActorType, name: &str, body: impl Into<Body>) -> Event {
    let actor = Actor {
        actor_type,
        id: id(name),
        model: (actor_type == ActorType::Agent).then(|| id("m-1")),
        on_behalf_of: None,
    };
    Event::new(actor, body)
}

fn action(decision: Decision, deny_kind: Option<DenyKind>, policy: Seq) -> Event {
    let hold = decision == Decision::Hold;
    let verdict = Verdict {
        policy_digest: Some(Hash([7; 32])),
        consumes: None,
        decision,
        deny_kind,
        rules: Some(Set::of(vec![id("hold-ci")]).unwrap()),
        policy: Some(policy),
        obligations: hold.then(|| {
            let group = id("maintainers");
            List::new(vec![Obligation {
                rule: None,
                group,
                k: 1,
                ttl: None,
            }])
            .unwrap()
        }),
        request_digest: hold.then_some(Hash([8; 32])),
        deadline: hold.then_some(Time(1_900_000_000_000_000_000)),
    };
    let body = Action {
        tool: id("edit_file"),
        class: Some(Class::Write),
        effects: None,
        parts: Some(Set::of(vec![Part::Ci]).unwrap()),
        rationale: Some(Rationale {
            source: RationaleSource::Given,
            evidence: None,
            confidence: None,
        }),
        verdict: Some(verdict),
    };
    by(ActorType::Agent, "quill", body)
        .with(Field::Summary, "run the tests twice")
        .with(Field::Path, ".ci/run")
}

fn main() {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [path, public, statement, signature] = args.as_slice() else {
        panic!("acts LOG NAME.pub STATEMENT SIGNATURE");
    };
    let public = fs::read_to_string(public).unwrap();
    let blob = STANDARD
        .decode(public.split(' ').nth(1).unwrap().trim())
        .unwrap();
    let armour = fs::read_to_string(signature).unwrap();
    let inner: String = armour
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let act = Act {
        key: Fingerprint(Hash::sha256(&blob)),
        assurance: Some(Assurance::OtherHost),
        statement: Blob::new(fs::read(statement).unwrap()).unwrap(),
        sshsig: Blob::new(STANDARD.decode(inner).unwrap()).unwrap(),
    };

    // As worthless as everything here.
    let identity = SigningKey::from_bytes(&[42; 32]);
    let beginning = Beginning {
        path,
        origin: Origin::from_parts("tacho.invalid", [5; 16]).unwrap(),
        identity: &identity,
        predecessor: None,
    };
    let clock = Arc::new(SystemClock::new().unwrap());
    let log = Log::create(beginning, Options::new(clock, "acts")).unwrap();
    let put = |event: Event| log.append(event, Way::recorder()).unwrap().seq;
    let mut policy = by(
        ActorType::System,
        "recorder",
        Policy {
            policy_digest: Hash([7; 32]),
            consumes: None,
            supersedes: None,
            preset: Some(id("standard")),
        },
    );
    policy.artefacts.push(Attachment {
        role: Role::Policy,
        path: Some("policy.cedar".to_owned()),
        media_type: None,
        unredacted_blake3: None,
        bytes: b"forbid (principal, action, resource);".to_vec(),
    });
    let policy = put(policy);
    put(by(
        ActorType::Human,
        "ada",
        Key {
            signature: None,
            epoch: None,
            op: KeyOp::Add,
            role: KeyRole::Human,
            public_key: Blob::new(blob).unwrap(),
            holder: Some(id("ada")),
            groups: Some(Set::of(vec![id("maintainers")]).unwrap()),
            assurance: Some(Assurance::OtherHost),
            consumes: Some(Set::of(vec![policy]).unwrap()),
        },
    ));
    let hold = put(action(Decision::Hold, None, policy));
    put(by(
        ActorType::Human,
        "ada",
        Approval {
            request_digest: Hash([8; 32]),
            target: hold,
            answer: Answer::Approve,
            not_after: None,
            act: act.clone(),
        },
    ));
    put(action(Decision::Allow, None, policy));
    put(action(Decision::Deny, Some(DenyKind::Forbidden), policy));
    let kill = put(by(
        ActorType::Human,
        "ada",
        Kill {
            t_order: Some(1),
            act: Some(act.clone()),
            scope: Scope::All,
            target: None,
            about: None,
            trigger: Trigger::Human,
            freeze: false,
            t_flag: Some(2),
        },
    ));
    put(by(
        ActorType::System,
        "recorder",
        Release {
            consumes: None,
            k: 1,
            kill,
            single_person: true,
        },
    ));
    put(by(
        ActorType::System,
        "recorder",
        Alarm {
            rule: id("action-after-kill"),
            severity: Severity::Critical,
        },
    ));
    let note = Note {
        rule: None,
        act: Some(act),
        mark: None,
    };
    put(by(ActorType::Human, "ada", note).with(Field::Text, "looked at"));
    log.close().unwrap();
}
