//! The sound log from which the attacked ones are made, and everything that an attacker could have taken along the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use tacho_recorder::clock::TestClock;
use tacho_recorder::draft::Way;
use tacho_recorder::keys;
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_schemas::body::change::{Change, Evaluation, Fate, Generation, Known, Mutation};
use tacho_schemas::body::log::{Phase, SealReason};
use tacho_schemas::body::work::{
    Action, Class, Confinement, Message, Outcome, Session, Speaker, Status,
};
use tacho_schemas::body::{Part, Rationale, RationaleSource};
use tacho_schemas::content::Field;
use tacho_schemas::event::{Attachment, Event};
use tacho_schemas::receipt::Receipt;
use tacho_schemas::record::{Actor, ActorType, Role};
use tacho_schemas::scalar::Set;
use tacho_schemas::{Id, Origin, Seq};

/// 2026-01-01, 00:00.
const START: i64 = 1_767_225_600_000_000_000;

/// A log that is being made, with copies of its keys: those of an attacker who saw everything.
pub(crate) struct Made {
    pub(crate) path: PathBuf,
    pub(crate) identity: SigningKey,
    pub(crate) clock: Arc<TestClock>,
    /// Epoch keys by their files, in the order in which they came.
    pub(crate) epochs: Vec<SigningKey>,
    pub(crate) receipts: Vec<Receipt>,
    log: Option<Log>,
}

/// Reads a key of the fixtures, which git keeps readable for all.
pub(crate) fn fixture_key(path: &Path) -> SigningKey {
    SigningKey::from_pkcs8_pem(&fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn options(clock: &Arc<TestClock>) -> Options {
    Options::new(Arc::clone(clock) as Arc<_>, "tacho-fixture")
}

impl Made {
    /// Begins a log.
    pub(crate) fn begin(path: &Path, identity: &SigningKey, id: u8) -> Self {
        let clock = Arc::new(TestClock::new(START, 1_000_000_000));
        let beginning = Beginning {
            path,
            origin: Origin::from_parts("tacho.invalid", [id; 16]).unwrap(),
            identity,
            predecessor: None,
        };
        let log = Log::create(beginning, options(&clock)).unwrap();
        let mut made = Self {
            path: path.to_owned(),
            identity: identity.clone(),
            clock,
            epochs: Vec::new(),
            receipts: Vec::new(),
            log: Some(log),
        };
        made.take_key();
        made
    }

    /// A second life of a copied directory.
    pub(crate) fn adopt(&self, path: &Path) -> Self {
        let mut made = Self {
            path: path.to_owned(),
            identity: self.identity.clone(),
            clock: Arc::clone(&self.clock),
            epochs: self.epochs.clone(),
            receipts: self.receipts.clone(),
            log: None,
        };
        made.open();
        made
    }

    pub(crate) fn open(&mut self) {
        self.log = Some(Log::open(&self.path, options(&self.clock)).unwrap());
        self.take_key();
    }

    pub(crate) fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    fn take_key(&mut self) {
        let key = keys::read(&self.path.join("keys/epoch.pem")).unwrap();
        if self.epochs.iter().all(|k| k.to_bytes() != key.to_bytes()) {
            self.epochs.push(key);
        }
    }

    pub(crate) fn append(&mut self, event: Event, expected: u64) -> Seq {
        self.clock.advance_ns(1_000_000);
        let receipt = self.log().append(event, Way::api(1000)).unwrap();
        assert_eq!(
            receipt.seq,
            Seq(expected),
            "the layout of the fixtures moved"
        );
        self.receipts.push(receipt);
        Seq(expected)
    }

    pub(crate) fn say(&mut self, text: &str, expected: u64) -> Seq {
        self.append(message(Speaker::Assistant, text), expected)
    }

    pub(crate) fn seal(&mut self, expected: u64) {
        self.clock.advance_ns(1_000_000);
        let receipt = self.log().seal(SealReason::Asked).unwrap();
        assert_eq!(
            receipt.seq,
            Seq(expected),
            "the layout of the fixtures moved"
        );
        self.receipts.push(receipt);
        self.take_key();
    }

    pub(crate) fn close(&mut self) {
        self.clock.advance_ns(1_000_000);
        self.log.take().unwrap().close().unwrap();
        self.take_key();
    }
}

/// The usual log, up to its first clean stop; 21 records.
///
/// ```text
///  0 genesis   1 boot    2 session   3 message   4 action   5 outcome   6 mutation   7 message   8 seal of epoch 0
///  9 seal of epoch 1, which is empty
/// 10 generation 11 evaluation 12–15 messages 16 seal of epoch 2
/// 17–19 messages 20 seal of epoch 3, at a stop
/// 21 boot 22–26 messages 27 seal of epoch 4, at a stop        (after `go_on`)
/// ```
pub(crate) fn usual(path: &Path, identity: &SigningKey) -> Made {
    let mut log = Made::begin(path, identity, 7);
    let session = Session {
        phase: Phase::Open,
        agent: id("claude-code"),
        harness: None,
        harness_version: None,
        lineage: None,
        parent: None,
        confinement: Some(Confinement::HookOnly),
        guards: None,
        exit: None,
        signal: None,
    };
    let session = log.append(
        Event::new(agent(), session).with(Field::Goal, "make the build faster"),
        2,
    );
    log.append(message(Speaker::User, "Make the build faster, please."), 3);
    let action = Action {
        tool: id("Bash"),
        class: Some(Class::Execute),
        effects: None,
        parts: None,
        rationale: Some(given()),
        verdict: None,
    };
    let mut event = Event::new(agent(), action)
        .with(Field::Goal, "see what is slow")
        .with(
            Field::Reasoning,
            "A profile says more than a guess, so I measure first.",
        )
        .with(Field::Command, "cargo build --timings");
    event.session = Some(session);
    event.artefacts.push(file(
        Role::Evidence,
        "timings.txt",
        b"link 41 s, codegen 20 s\n",
    ));
    let action = log.append(event, 4);
    let outcome = Outcome {
        exit: Some(0),
        signal: None,
        usage: None,
        of: Some(action),
        status: Status::Succeeded,
        matched: None,
        stop: None,
    };
    log.append(
        Event::new(agent(), outcome).with(Field::Output, "41 s of 61 s are linking"),
        5,
    );
    let mutation = Mutation {
        parts: Some(Set::of(vec![Part::Build]).unwrap()),
        rationale: Some(given()),
        change: Change::Modify,
        known: Known::Declared,
        proposer: None,
        action: Some(action),
        approvals: None,
        applied_by: None,
        reverts: None,
        added: Some(1),
        removed: Some(0),
    };
    let mut event = Event::new(agent(), mutation)
        .with(Field::Path, "Cargo.toml")
        .with(
            Field::Reasoning,
            "Linking dominates; a thin pass halves it and keeps the checks.",
        );
    event.session = Some(session);
    event
        .artefacts
        .push(file(Role::Before, "Cargo.toml", BEFORE));
    event.artefacts.push(file(Role::After, "Cargo.toml", AFTER));
    log.append(event, 6);
    log.say("The build takes 38 s now.", 7);
    log.seal(8);
    log.seal(9);

    let generation = Generation {
        lineage: None,
        parents: None,
        inspirations: None,
        mutations: None,
        ordinal: Some(1),
        branch: None,
        fate: Fate::Alive,
    };
    let mut event = Event::new(agent(), generation).with(Field::Name, "after the change");
    event.artefacts.push(file(Role::Part, "Cargo.toml", AFTER));
    let generation = log.append(event, 10);
    let evaluation = Evaluation {
        cost: None,
        subject: Some(generation),
        benchmark: Some(id("build-time")),
        benchmark_version: None,
        main: None,
        metrics: None,
        n: Some(3),
        seeds: None,
        passed: Some(true),
        touched: None,
    };
    log.append(
        Event::new(agent(), evaluation).with(Field::Conditions, "cold cache, two cores"),
        11,
    );
    for seq in 12..16 {
        log.say(&format!("Step {seq} is done."), seq);
    }
    log.seal(16);
    for seq in 17..20 {
        let mut event = message(Speaker::Assistant, &format!("Step {seq} is done."));
        event.reference = Some(id(&format!("step-{seq}")));
        log.append(event, seq);
    }
    log.close();
    log
}

/// The usual log's second run; 28 records then.
pub(crate) fn go_on(log: &mut Made) {
    log.open();
    for seq in 22..27 {
        log.say(&format!("Step {seq} is done."), seq);
    }
    log.close();
}

const BEFORE: &[u8] = b"[profile.release]\n";
const AFTER: &[u8] = b"[profile.release]\nlto = \"thin\"\n";

pub(crate) fn message(speaker: Speaker, text: &str) -> Event {
    let body = Message {
        speaker,
        usage: None,
    };
    Event::new(agent(), body).with(Field::Text, text)
}

fn given() -> Rationale {
    Rationale {
        source: RationaleSource::Given,
        evidence: None,
        confidence: None,
    }
}

fn file(role: Role, path: &str, bytes: &[u8]) -> Attachment {
    Attachment {
        role,
        path: Some(path.to_owned()),
        media_type: Some("text/plain".to_owned()),
        unredacted_blake3: None,
        bytes: bytes.to_vec(),
    }
}

pub(crate) fn agent() -> Actor {
    Actor {
        actor_type: ActorType::Agent,
        id: id("claude-code"),
        model: None,
        on_behalf_of: None,
    }
}

pub(crate) fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}
