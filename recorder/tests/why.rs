//! The seven answers, about real files and about records made by hand.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tacho_recorder::draft::Way;
use tacho_recorder::import::{Known, Request, import};
use tacho_recorder::index::Index;
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::read::View;
use tacho_recorder::why::{Explanation, Statement, explain, largest_gain};
use tacho_recorder::{Error, LogDir, Reader, SystemClock, keys};
use tacho_schemas::body::human::{Act, Answer, Approval, Kill, Release, Scope, Trigger};
use tacho_schemas::body::work::{Action, Decision, Message, Obligation, Speaker, Verdict};
use tacho_schemas::body::{Rationale, RationaleSource};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType};
use tacho_schemas::scalar::{Blob, List, Set};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::{Hash, Id, Kind, Origin, Seq, Time};

struct Home {
    dir: tempfile::TempDir,
    log: Option<Log>,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let beginning = Beginning {
            path: &dir.path().join("log"),
            origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
            identity: &keys::generate().unwrap(),
            predecessor: None,
        };
        let options = Options::new(Arc::new(SystemClock::new().unwrap()), "test").for_import();
        let log = Some(Log::create(beginning, options).unwrap());
        Self { dir, log }
    }

    fn put(&self, event: Event, way: Way) -> Seq {
        self.log.as_ref().unwrap().append(event, way).unwrap().seq
    }

    fn import(&self, path: &Path) {
        let log = self.log.as_ref().unwrap();
        let reader = Reader::open(&LogDir::open_to_read(log.path()).unwrap()).unwrap();
        let request = Request {
            path: path.to_owned(),
            format: None,
            range: None,
            again: false,
        };
        let view = View::new(&reader).unwrap();
        import(log, &view, &request, &mut Known::default(), &mut |_, _| ()).unwrap();
    }

    /// Explains every record of a kind, or of all.
    fn explain(&mut self, kind: Option<Kind>) -> Vec<Explanation> {
        if let Some(log) = self.log.take() {
            log.close().unwrap();
        }
        let dir = LogDir::open_to_read(&self.dir.path().join("log")).unwrap();
        let reader = Reader::open(&dir).unwrap();
        let mut index = Index::open(&dir).unwrap();
        index.catch_up(&reader, |_, _| ()).unwrap();
        let view = View::new(&reader).unwrap();
        let effects = |seq: Seq| {
            let found = index.effects(seq)?.into_iter();
            Ok(found.map(|link| (link.relation, link.seq)).collect())
        };
        let mut seqs = Vec::new();
        view.records(0..view.size(), |shown| {
            let record = shown.meaning.unwrap();
            if kind.is_none_or(|kind| record.kind == kind) {
                seqs.push(shown.seq);
            }
            Ok::<(), Error>(())
        })
        .unwrap();
        let explained = seqs.into_iter().map(|seq| explain(&view, &effects, seq));
        explained.map(Result::unwrap).collect()
    }

    fn gain(&self) -> Option<(u64, String, String)> {
        let dir = LogDir::open_to_read(&self.dir.path().join("log")).unwrap();
        let reader = Reader::open(&dir).unwrap();
        let gain = largest_gain(&View::new(&reader).unwrap()).unwrap()?;
        Some((gain.mutation.0, gain.before, gain.after))
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(name)
}

/// An answer in short lines: what sort of statement, and its words.
fn lines(explanation: &Explanation, answer: usize) -> Vec<String> {
    let statements = explanation.answers[answer - 1].statements.iter();
    statements
        .map(|statement| match statement {
            Statement::Absent { text } => format!("absent {text}"),
            Statement::Claim { by, what, text } => format!("claim {by}: {what}: {text}"),
            Statement::Diff { path, text, .. } => {
                format!("diff {}: {text}", path.as_deref().unwrap_or("?"))
            }
            Statement::Doubt { text } => format!("doubt {text}"),
            Statement::Fact { text } => format!("fact {text}"),
            Statement::Record {
                seq, link, kind, ..
            } => format!("record {link} #{seq} {kind}"),
        })
        .collect()
}

#[track_caller]
fn says(explanation: &Explanation, answer: usize, words: &str) {
    let lines = lines(explanation, answer);
    let said = lines.iter().any(|line| line.contains(words));
    assert!(said, "`{words}` is not in {lines:#?}");
}

/// Whatever a file holds: seven answers, none empty, nothing doubted, and nobody here decided it.
#[test]
fn every_record_of_every_real_file_is_explained() {
    for name in [
        "traces/claude-code/representative_messages.jsonl",
        "traces/claude-code/edge_cases.jsonl",
        "traces/claude-code/todowrite_examples.jsonl",
        "traces/codex/agentsview-function_calls.jsonl",
        "traces/codex/made-modern.jsonl",
        "traces/atif/made-1.8.json",
        "lineages/adas/mgsm_gpt3.5_results.json",
    ] {
        let mut home = Home::new();
        home.import(&fixture(name));
        let all = home.explain(None);
        assert!(all.len() > 5, "{name}");
        for explanation in all {
            assert_eq!(explanation.answers.len(), 7, "{name}");
            for (at, answer) in explanation.answers.iter().enumerate() {
                assert!(!answer.statements.is_empty(), "{name}: {explanation:#?}");
                for line in lines(&explanation, at + 1) {
                    assert!(!line.starts_with("doubt"), "{name}: {line}");
                    assert!(
                        !line.contains("allowed by"),
                        "a file decides nothing: {line}"
                    );
                }
            }
        }
    }
}

#[test]
fn an_action_of_a_coding_agent_is_told_with_its_outcome() {
    let mut home = Home::new();
    home.import(&fixture("traces/claude-code/representative_messages.jsonl"));
    let actions = home.explain(Some(Kind::Action));
    let [write, run] = actions.as_slice() else {
        panic!("{actions:#?}")
    };
    says(write, 1, "fact claude-code asked to use `Edit` (write)");
    says(write, 4, "diff /tmp/decorator_example.py: ");
    says(write, 6, "mutation");
    says(run, 1, "command: python /tmp/decorator_example.py");
    says(run, 3, "record in session");
    says(run, 5, "absent nobody here decided: it was imported");
    says(run, 6, "outcome");
    says(run, 7, "fit their commitments");
}

#[test]
fn a_lineage_tells_what_changed_and_which_change_gained_most() {
    let mut home = Home::new();
    home.import(&fixture("lineages/openevolve/checkpoint_90"));
    let mutations = home.explain(Some(Kind::Mutation));
    assert_eq!(mutations.len(), 60);
    assert!(
        mutations
            .iter()
            .any(|m| lines(m, 2).iter().any(|l| l.contains("claim openevolve")))
    );
    let (mutation, before, after) = home.gain().unwrap();
    let best = mutations.iter().find(|m| m.seq.0 == mutation).unwrap();
    says(best, 4, "diff ");
    says(best, 6, &format!("{before} → {after}"));
    // By another way: no generation is told to have gained more.
    let number = |text: &str| text.parse::<f64>().unwrap();
    for generation in home.explain(Some(Kind::Generation)) {
        for line in lines(&generation, 6) {
            if let Some((low, high)) = line.split_once(" → ") {
                let low = low.rsplit(' ').next().unwrap();
                assert!(number(high) - number(low) <= number(&after) - number(&before));
            }
        }
    }

    let mut home = Home::new();
    home.import(&fixture("lineages/adas/mgsm_gpt3.5_results.json"));
    let designs = home.explain(Some(Kind::Generation));
    says(
        &designs[0],
        6,
        "its parent was not measured or is not known",
    );
    says(&designs[0], 6, "so it is a claim");
}

#[test]
fn a_commit_tells_its_message_as_a_claim() {
    let mut home = Home::new();
    let tree = home.dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.env_remove("GIT_DIR").envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Ann"),
            ("GIT_AUTHOR_EMAIL", "ann@example.org"),
            ("GIT_COMMITTER_NAME", "Ann"),
            ("GIT_COMMITTER_EMAIL", "ann@example.org"),
        ]);
        let ran = command.arg("-C").arg(&tree).args(args).output().unwrap();
        assert!(ran.status.success(), "git {args:?}: {ran:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    for (text, why) in [
        ("Be long.\n", "Begin"),
        ("Be short.\n", "Shorten the prompt"),
    ] {
        std::fs::write(tree.join("prompt.md"), text).unwrap();
        git(&["add", "-A"]);
        git(&["commit", "-q", "-m", why]);
    }
    home.import(&tree);
    let mutations = home.explain(Some(Kind::Mutation));
    let last = mutations.last().unwrap();
    says(last, 2, "claim ");
    says(last, 2, "Shorten the prompt");
    says(last, 4, "-Be long.\n+Be short.");
    says(last, 5, "absent nobody here decided: it was imported");
}

fn human() -> Actor {
    Actor {
        actor_type: ActorType::Human,
        id: Id::new("ann").unwrap(),
        model: None,
        on_behalf_of: None,
    }
}

fn obligation() -> Obligation {
    Obligation {
        rule: None,
        group: Id::new("reviewers").unwrap(),
        k: 1,
        ttl: None,
    }
}

fn act() -> Act {
    Act {
        key: Fingerprint(Hash([7; 32])),
        assurance: None,
        statement: Blob::new(b"signed".to_vec()).unwrap(),
        sshsig: Blob::new(b"signature".to_vec()).unwrap(),
    }
}

/// A hold, its approval, the action that rests on it; then the off switch and its release: as the recorder itself writes them.
#[test]
fn approvals_and_the_off_switch_are_told_as_facts() {
    let mut home = Home::new();
    let agent = Actor {
        actor_type: ActorType::Agent,
        ..human()
    };
    let action = |decision, consumes: Option<Seq>| Action {
        tool: Id::new("Edit").unwrap(),
        class: None,
        effects: None,
        parts: None,
        rationale: Some(Rationale {
            source: RationaleSource::Absent,
            evidence: None,
            confidence: None,
        }),
        verdict: Some(Verdict {
            policy_digest: None,
            consumes: Set::some(consumes.into_iter().collect()).unwrap(),
            decision,
            deny_kind: None,
            rules: Set::some(vec![Id::new("tests-need-a-human").unwrap()]).unwrap(),
            policy: None,
            obligations: (decision == Decision::Hold)
                .then(|| List::new(vec![obligation()]).unwrap()),
            request_digest: Some(Hash([9; 32])),
            deadline: (decision == Decision::Hold).then_some(Time(i64::MAX)),
        }),
    };
    let gate = Way {
        via: tacho_schemas::record::Via::Gate,
        ..Way::recorder()
    };
    let held = Event::new(agent.clone(), action(Decision::Hold, None));
    let held = home.put(held, gate.clone());
    let approval = Approval {
        request_digest: Hash([9; 32]),
        target: held,
        answer: Answer::Approve,
        not_after: None,
        act: act(),
    };
    let by_hand = Way {
        via: tacho_schemas::record::Via::Human,
        ..Way::recorder()
    };
    let approved = home.put(Event::new(human(), approval), by_hand.clone());
    let allowed = action(Decision::Allow, Some(approved));
    let allowed = home.put(Event::new(agent, allowed), gate);
    let kill = Kill {
        t_order: None,
        act: None,
        scope: Scope::Agent,
        target: Some(Id::new("quill").unwrap()),
        about: None,
        trigger: Trigger::Human,
        freeze: false,
        t_flag: None,
    };
    let killed = Event::new(human(), kill).with(Field::Reason, "it edits its own tests");
    let killed = home.put(killed, by_hand.clone());
    let release = Release {
        consumes: None,
        k: 1,
        kill: killed,
        single_person: true,
    };
    let released = home.put(Event::new(human(), release), by_hand);
    let all = home.explain(None);
    let of = |seq: Seq| all.iter().find(|e| e.seq == seq).unwrap();

    says(of(held), 5, "fact held for humans by `tests-need-a-human`");
    says(of(held), 6, &format!("#{approved} approval"));
    let told = format!("fact ann answered #{held} with approve");
    says(of(approved), 1, &told);
    says(of(allowed), 5, "fact allowed by `tests-need-a-human`");
    says(of(allowed), 5, &format!("record approved by #{approved}"));
    says(
        of(killed),
        1,
        "fact ann pulled the off switch for agent `quill`",
    );
    says(of(killed), 2, "claim ann: reason: it edits its own tests");
    says(of(killed), 6, &format!("#{released} release"));
    let told = format!("fact ann released the off switch of #{killed}");
    says(of(released), 1, &told);
}

#[test]
fn what_was_taken_out_is_a_finding() {
    let mut home = Home::new();
    let body = Message {
        speaker: Speaker::User,
        usage: None,
    };
    let secret = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    let event = Event::new(human(), body).with(Field::Text, format!("my token is {secret}"));
    let seq = home.put(event, Way::api(0));
    let all = home.explain(Some(Kind::Message));
    let told = all.iter().find(|e| e.seq == seq).unwrap();
    says(told, 7, "fact finding: 1 × github-token was taken out");
    let text = format!("{told:?}");
    assert!(!text.contains(&secret), "{text}");
}
