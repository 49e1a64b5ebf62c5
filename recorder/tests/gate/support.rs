//! A gate on a log of its own, and people who sign.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha512};
use tacho_policy::Json;
use tacho_recorder::clock::TestClock;
use tacho_recorder::gate::server::Door;
use tacho_recorder::gate::wire::{
    Answer, Decide, Held, OpenSession, Outcome, OutcomeTaken, Rationale, Signed,
};
use tacho_recorder::gate::{Gate, Peer, Settings, Step, Waiting, Wanted};
use tacho_recorder::log::{Beginning, Log, Options, Step as LogStep};
use tacho_recorder::read::{Shown, View};
use tacho_recorder::switch::Switch;
use tacho_recorder::{Clock, LogDir, Reader, enrol, keys};
use tacho_schemas::act::{NAMESPACE, Statement, Verb};
use tacho_schemas::body::log::Assurance;
use tacho_schemas::body::work::Status;
use tacho_schemas::hash::LogId;
use tacho_schemas::record::Record;
use tacho_schemas::sshsig::{HumanKey, to_armoured};
use tacho_schemas::{Hash, Id, Origin, Seq, Time};

pub(crate) const UID: u32 = 4242;

/// A human with a key.
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) key: SigningKey,
    hardware: bool,
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [length.as_slice(), bytes].concat()
}

impl Person {
    pub(crate) fn new(name: &'static str, n: u8) -> Self {
        Self {
            name,
            key: SigningKey::from_bytes(&[n; 32]),
            hardware: false,
        }
    }

    pub(crate) fn with_hardware(name: &'static str, n: u8) -> Self {
        Self {
            hardware: true,
            ..Self::new(name, n)
        }
    }

    fn algorithm(&self) -> &'static [u8] {
        match self.hardware {
            true => b"sk-ssh-ed25519@openssh.com",
            false => b"ssh-ed25519",
        }
    }

    pub(crate) fn public(&self) -> HumanKey {
        let mut blob = string(self.algorithm());
        blob.extend(string(self.key.verifying_key().as_bytes()));
        if self.hardware {
            blob.extend(string(b"ssh:"));
        }
        HumanKey::from_blob(&blob).unwrap()
    }

    /// Signs as `ssh-keygen -Y sign` would; `flags` is what a security key says of a touch.
    pub(crate) fn sign_in(&self, namespace: &str, text: &str, flags: u8) -> String {
        let hash = Sha512::digest(text.as_bytes());
        let mut over = b"SSHSIG".to_vec();
        for part in [namespace.as_bytes(), b"", b"sha512", hash.as_slice()] {
            over.extend(string(part));
        }
        let mut signature = string(self.algorithm());
        if self.hardware {
            use sha2::Sha256;
            let mut u2f = Sha256::digest(b"ssh:").to_vec();
            u2f.extend([flags, 0, 0, 0, 9]);
            u2f.extend(Sha256::digest(&over));
            signature.extend(string(&self.key.sign(&u2f).to_bytes()));
            signature.extend([flags, 0, 0, 0, 9]);
        } else {
            signature.extend(string(&self.key.sign(&over).to_bytes()));
        }
        let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
        for part in [
            self.public().blob(),
            namespace.as_bytes(),
            b"",
            b"sha512",
            &signature,
        ] {
            blob.extend(string(part));
        }
        to_armoured(&blob)
    }

    pub(crate) fn sign(&self, text: &str) -> String {
        self.sign_in(NAMESPACE, text, 1)
    }
}

/// A gate with what it stands on.
pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) gate: Arc<Gate>,
    /// Turns true when the disk shall fail.
    pub(crate) broken: Arc<AtomicBool>,
}

pub(crate) fn hour(clock: &TestClock, hours: u32) {
    for _ in 0..hours * 1200 {
        clock.advance_ns(3_000_000_000);
    }
}

impl House {
    /// A gate where these people are enrolled: in `reviewers`, with this assurance.
    pub(crate) fn new(wanted: Wanted, people: &[(&Person, Assurance)]) -> Self {
        Self::within(tempfile::tempdir().unwrap(), wanted, people)
    }

    /// The same in a folder of the caller's.
    pub(crate) fn within(
        folder: tempfile::TempDir,
        wanted: Wanted,
        people: &[(&Person, Assurance)],
    ) -> Self {
        let clock = Arc::new(TestClock::new(1_795_500_000_000_000_000, 1_000_000_000));
        let identity = keys::generate().unwrap();
        let beginning = Beginning {
            path: &folder.path().join("log"),
            origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
            identity: &identity,
            predecessor: None,
        };
        let broken = Arc::new(AtomicBool::new(false));
        let log = Log::create(beginning, options(&clock, &broken)).unwrap();
        Switch::of(log.path(), log.origin().clone())
            .create()
            .unwrap();
        for (person, assurance) in people {
            let groups = vec![Id::new("reviewers").unwrap()];
            let name = Id::new(person.name).unwrap();
            let key = enrol::add(&person.public(), name, groups, *assurance).unwrap();
            log.enrol(key, &identity).unwrap();
        }
        std::fs::create_dir(folder.path().join("work")).unwrap();
        Self {
            gate: Arc::new(open(log, &clock, wanted)),
            clock,
            folder,
            broken,
        }
    }

    /// Stops and starts it again.
    pub(crate) fn again(self, wanted: Wanted) -> Self {
        let path = self.folder.path().join("log");
        Arc::into_inner(self.gate).unwrap().close().unwrap();
        let log = Log::open(&path, options(&self.clock, &self.broken)).unwrap();
        Self {
            gate: Arc::new(open(log, &self.clock, wanted)),
            ..self
        }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work").canonicalize().unwrap()
    }

    pub(crate) fn switch(&self) -> Switch {
        Switch::of(self.gate.log().path(), self.gate.log().origin().clone())
    }

    pub(crate) fn peer(door: Door) -> Peer {
        Peer { uid: UID, door }
    }

    pub(crate) fn session_of(&self, agent: &str, launcher: Option<&str>) -> Seq {
        let open = OpenSession {
            agent: Id::new(agent).unwrap(),
            workspace: self.work().to_str().unwrap().to_owned(),
            harness: None,
            harness_version: None,
            lineage: None,
            confinement: None,
            parent: None,
            launcher: launcher.map(|l| Id::new(l).unwrap()),
            goal: None,
            command: None,
            source_id: None,
            reference: None,
        };
        let opened = self.gate.open_session(Self::peer(Door::Reviewers), open);
        opened.unwrap().0.session
    }

    pub(crate) fn session(&self) -> Seq {
        self.session_of("agent", None)
    }

    pub(crate) fn ask(&self, tool: &str, input: &serde_json::Value) -> Decide {
        Decide {
            tool: Id::new(tool).unwrap(),
            input: Json::parse(&input.to_string()).unwrap(),
            cwd: self.work().to_str().unwrap().to_owned(),
            tool_use_id: None,
            rationale: Some(Rationale {
                from_transcript: None,
                goal: None,
                summary: Some("because".to_owned()),
                reasoning: None,
                alternatives: None,
                expected_effect: None,
                evidence: None,
                confidence: None,
            }),
            transcript: None,
            model: None,
            subagent: None,
            deadline_ms: None,
        }
    }

    /// An edit of the pipeline, which is held.
    pub(crate) fn edit(&self, content: &str) -> Decide {
        let path = self.work().join(".github/workflows/deploy.yml");
        let input = serde_json::json!({ "file_path": path, "content": content });
        self.ask("Write", &input)
    }

    pub(crate) fn decide(&self, session: Seq, ask: Decide) -> Step {
        self.gate
            .decide(Self::peer(Door::Session(session)), session, ask)
    }

    pub(crate) fn done(&self, session: Seq, ask: Decide) -> Answer {
        match self.decide(session, ask) {
            Step::Done(answer) => *answer,
            Step::Wait(waiting) => panic!("it waits as hold {}", waiting.hold()),
        }
    }

    pub(crate) fn held(&self, session: Seq, ask: Decide) -> Waiting {
        match self.decide(session, ask) {
            Step::Wait(waiting) => waiting,
            Step::Done(answer) => panic!("it does not wait: {answer:?}"),
        }
    }

    pub(crate) fn hold(&self, seq: Seq) -> Held {
        self.gate.held(seq).unwrap()
    }

    /// What an honest person would sign about a hold.
    pub(crate) fn statement(&self, hold: Seq, verb: Verb, person: &Person) -> Statement {
        let held = self.hold(hold);
        Statement {
            target: Some(hold),
            digest: Some(held.digest),
            policy: Some(held.policy_digest),
            ..self.act_statement(verb, person)
        }
    }

    /// A statement about this log, for an hour from now on.
    pub(crate) fn act_statement(&self, verb: Verb, person: &Person) -> Statement {
        let mut nonce = [0; 16];
        getrandom(&mut nonce);
        Statement {
            origin: self.gate.log().origin().clone(),
            log_id: LogId(self.gate.log().log_id().0),
            verb,
            target: None,
            digest: None,
            policy: None,
            scope: None,
            not_before: Time(self.clock.wall_ns()),
            not_after: Time(self.clock.wall_ns() + 3_600_000_000_000),
            nonce,
            key: person.public().fingerprint(),
        }
    }

    pub(crate) fn signed(statement: &Statement, person: &Person) -> Signed {
        let text = statement.to_string();
        Signed {
            sshsig: person.sign(&text),
            statement: text,
            reason: None,
        }
    }

    pub(crate) fn approve(
        &self,
        hold: Seq,
        person: &Person,
    ) -> tacho_recorder::Result<tacho_recorder::gate::wire::Answered> {
        let statement = self.statement(hold, Verb::Approve, person);
        self.send(hold, &Self::signed(&statement, person))
    }

    pub(crate) fn send(
        &self,
        hold: Seq,
        signed: &Signed,
    ) -> tacho_recorder::Result<tacho_recorder::gate::wire::Answered> {
        // People are other users than the agent.
        let peer = Peer {
            uid: UID + 1,
            door: Door::Reviewers,
        };
        self.gate.approve(peer, hold, signed)
    }

    pub(crate) fn outcome(&self, session: Seq, action: Option<Seq>, ask: &Decide) -> OutcomeTaken {
        let outcome = Outcome {
            action,
            tool_use_id: None,
            tool: ask.tool.clone(),
            input: ask.input.clone(),
            cwd: None,
            status: Status::Succeeded,
            exit: None,
            output: Some("done".to_owned()),
            error: None,
        };
        let peer = Self::peer(Door::Session(session));
        self.gate.outcome(peer, outcome).unwrap()
    }

    pub(crate) fn shown(&self, seq: Seq) -> Shown {
        let reader = Reader::open(&LogDir::open(self.gate.log().path()).unwrap()).unwrap();
        let view = View::new(&reader).unwrap();
        view.record(seq).unwrap()
    }

    pub(crate) fn record(&self, seq: Seq) -> Record {
        self.shown(seq).meaning.unwrap()
    }

    pub(crate) fn size(&self) -> u64 {
        let reader = Reader::open(&LogDir::open(self.gate.log().path()).unwrap()).unwrap();
        View::new(&reader).unwrap().size()
    }
}

fn getrandom(bytes: &mut [u8]) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    bytes[..8].copy_from_slice(&next);
}

fn options(clock: &Arc<TestClock>, broken: &Arc<AtomicBool>) -> Options {
    let mut options = Options::new(Arc::clone(clock) as Arc<dyn Clock>, "test");
    let broken = Arc::clone(broken);
    options.testing_only_step = Some(Box::new(move |step| {
        let fails = step == LogStep::Begun && broken.load(Ordering::Relaxed);
        assert!(!fails, "the disk fails");
    }));
    options
}

fn open(log: Log, clock: &Arc<TestClock>, wanted: Wanted) -> Gate {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let tell = Box::new(|error: &tacho_recorder::Error| panic!("{error}"));
    Gate::open(log, clock, Settings::default(), wanted, tell).unwrap()
}

pub(crate) fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub(crate) fn other_hash() -> Hash {
    Hash([9; 32])
}
