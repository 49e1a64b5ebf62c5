//! Attacks on a log are data: each folder of `fixtures/logs` is a log as an auditor gets it, with the verdict that is due.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

#[path = "support/unpack.rs"]
mod unpack;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tacho_recorder::audit::{Question, audit};
use tacho_recorder::clock::TestClock;
use tacho_recorder::filter::Filter;
use tacho_recorder::index::{Index, Order, Query};
use tacho_recorder::log::{Log, Options};
use tacho_recorder::read::View;
use tacho_recorder::{Error, ErrorKind, LogDir, Reader};
use tacho_schemas::Time;
use tacho_schemas::note::Note;
use tacho_schemas::receipt::Receipt;
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::{Anchor, Authenticity, Completeness, Mark, Report};

use unpack::unpack;

#[path = "tamper/flips.rs"]
mod flips;

/// `case.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    what: String,
    trust: Option<String>,
    expect: Expect,
    /// What a start of the recorder comes to: `opens`, or the kind of error.
    start: Option<String>,
}

/// What `audit` must say.
#[derive(Debug, Deserialize, Eq, PartialEq)]
#[serde(untagged)]
enum Expect {
    Error {
        exit: u8,
        error: String,
    },
    Verdict {
        exit: u8,
        breaches: BTreeSet<String>,
        first_bad: Option<u64>,
        proven: u64,
        complete_up_to: Option<u64>,
        authenticity: String,
        not_checked: u64,
    },
}

impl Expect {
    fn of(outcome: &Result<Report, Error>) -> Self {
        let report = match outcome {
            Ok(report) => report,
            Err(error) => {
                return Self::Error {
                    exit: 2,
                    error: kind_name(error.kind()),
                };
            }
        };
        let integrity = &report.integrity;
        Self::Verdict {
            exit: u8::from(!report.is_good()),
            breaches: integrity
                .violations
                .iter()
                .map(|v| v.breach.to_string())
                .collect(),
            first_bad: integrity.first_bad.map(|seq| seq.0),
            proven: integrity.proven,
            complete_up_to: match report.completeness {
                Completeness::CompleteUpTo { size } => Some(size),
                Completeness::Excerpt { .. } | Completeness::OpenTail => None,
            },
            authenticity: match report.authenticity {
                Authenticity::Anchored { .. } => "anchored",
                Authenticity::Failed => "failed",
                Authenticity::SelfConsistent { .. } => "self_consistent",
            }
            .to_owned(),
            not_checked: report.meaning.not_checked,
        }
    }
}

/// `NewerVersion` as `newer_version`.
fn kind_name(kind: ErrorKind) -> String {
    let mut name = String::new();
    for c in format!("{kind:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    name
}

fn logs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/logs")
}

fn question(case: &Path, trust: Option<&str>) -> Question {
    let mark = fs::read(case.join("mark")).ok().map(|bytes| {
        Note::parse(&bytes).map_or_else(
            |_| Mark::Receipt(Box::new(Receipt::decode(&bytes).unwrap())),
            Mark::Checkpoint,
        )
    });
    Question {
        trust: trust.map(|t| (t.parse::<Fingerprint>().unwrap(), Anchor::Named)),
        marks: mark.into_iter().collect(),
        ..Question::default()
    }
}

fn look(log: &Path, question: &Question) -> Result<Report, Error> {
    let dir = LogDir::open(log).unwrap();
    audit(&dir, question, |_, _| ())
}

/// Starts the recorder on a log. Where that works, the log must be one whole again once it has stopped.
fn start(log: &Path, question: &Question) -> String {
    // Later than everything in the fixtures.
    let clock = Arc::new(TestClock::new(
        1_767_300_000_000_000_000,
        80_000_000_000_000,
    ));
    match Log::open(log, Options::new(clock, "tacho-test")) {
        Ok(log) => {
            let path = log.path().to_owned();
            log.close().unwrap();
            let question = Question {
                marks: Vec::new(),
                ..question.clone()
            };
            let breaches = match Expect::of(&look(&path, &question)) {
                Expect::Verdict { breaches, .. } => breaches,
                Expect::Error { error, .. } => BTreeSet::from([error]),
            };
            match breaches.is_empty() {
                true => "opens".to_owned(),
                false => format!("opens with {breaches:?}"),
            }
        }
        Err(error) => kind_name(error.kind()),
    }
}

#[test]
fn each_log_gets_the_verdict_that_is_due() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut read, mut sound, mut wrong) = (0, 0, Vec::new());
    for entry in fs::read_dir(logs()).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            assert!(
                ["case.json", "log", "mark"].contains(&file.as_str()),
                "{name}/{file} is read by nobody"
            );
        }
        let case: Case =
            serde_json::from_str(&fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
        let log = scratch.path().join(&name);
        unpack(&folder.join("log"), &log);
        let question = question(&folder, case.trust.as_deref());
        let outcome = look(&log, &question);
        let found = Expect::of(&outcome);
        if found != case.expect {
            wrong.push(format!(
                "{name} ({}):\n  due   {:?}\n  found {found:?}\n  {outcome:#?}",
                case.what, case.expect
            ));
        }
        // Looking changes nothing: asked again, the answer is the same.
        assert_eq!(Expect::of(&look(&log, &question)), found, "{name}");
        if let Some(due) = &case.start {
            let came = start(&log, &question);
            if came != *due {
                wrong.push(format!(
                    "{name}: a start should come to {due}, and came to {came}"
                ));
            }
        }
        read += 1;
        sound += usize::from(name.starts_with("sound"));
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!((read, sound), COUNT, "a case came or went: say so here");
}

/// Cases in all, and sound logs among them.
const COUNT: (usize, usize) = (99, 11);

/// An index that lags behind, and lacks what it should have, hides nothing for long: it is followed on, and what it says is held
/// against the log.
#[test]
fn a_stale_index_is_followed_and_never_believed() {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("log");
    unpack(&logs().join("stale-index/log"), &log);
    let dir = LogDir::open_to_read(&log).unwrap();
    let reader = Reader::open(&dir).unwrap();
    let mut index = Index::open(&dir).unwrap();
    let size = View::new(&reader).unwrap().size();
    assert!((1..size).contains(&index.size().unwrap()), "it lags behind");
    index.catch_up(&reader, |_, _| ()).unwrap();
    assert_eq!(index.size().unwrap(), size);
    let seals = Filter::parse("kind:seal", Time(0)).unwrap();
    let query = Query {
        filter: &seals,
        range: 0..size,
        order: Order::OldestFirst,
    };
    let found = index.page(&reader, &query, 100).unwrap();
    let found: Vec<_> = found.into_iter().map(|shown| shown.seq).collect();
    let mut there = Vec::new();
    let view = View::new(&reader).unwrap();
    view.of_kind(tacho_schemas::Kind::Seal, |shown| {
        there.push(shown.seq);
        Ok::<(), Error>(())
    })
    .unwrap();
    assert!(!there.is_empty());
    assert_eq!(found, there);
}
