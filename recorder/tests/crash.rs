//! A recorder killed at any step has lost nothing that it acknowledged and invented nothing, and its next start puts things right.
//!
//! The usual run kills a few times at each step; `TACHO_ALL=1` makes it thousands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tacho_recorder::audit::{Question, audit};
use tacho_recorder::draft::Way;
use tacho_recorder::log::{Beginning, Log, Options, Step};
use tacho_recorder::read::View;
use tacho_recorder::{Error, LogDir, Reader, SystemClock};
use tacho_schemas::body::log::SealReason;
use tacho_schemas::body::work::{Message, Speaker};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::receipt::Receipt;
use tacho_schemas::record::{Actor, ActorType};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::{Anchor, Mark, Report};
use tacho_schemas::{Fixed, Id, Origin, Seq};

#[path = "crash/disk.rs"]
mod disk;

/// Threads that append.
const THREADS: usize = 3;

/// Records that each of them appends in one life.
const RECORDS: usize = 16;

/// Drafts that a thread hands over before it waits; the last of them it writes itself if it can.
const BURST: usize = 3;

/// A folder in memory where there is one: a process that is killed takes no disk with it, and fsync only costs time.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn identity() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn options() -> Options {
    let mut options = Options::new(Arc::new(SystemClock::new().unwrap()), "test");
    options.epoch_records = 20;
    options.checkpoint_every = Duration::from_millis(2);
    options
}

fn create(path: &Path, options: Options) -> Result<Log, Error> {
    let beginning = Beginning {
        path,
        origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
        identity: &identity(),
        predecessor: None,
    };
    Log::create(beginning, options)
}

fn message(text: &str) -> Event {
    let actor = Actor {
        actor_type: ActorType::Agent,
        id: Id::new("claude-code").unwrap(),
        model: None,
        on_behalf_of: None,
    };
    let body = Message {
        speaker: Speaker::Assistant,
        usage: None,
    };
    Event::new(actor, body).with(Field::Text, text)
}

/// Not a test: the process that kills itself at a step.
#[test]
#[ignore = "run by the tests below"]
fn life() {
    let Some(path) = std::env::var_os("TACHO_CRASH_LOG") else {
        return;
    };
    let number = |name: &str| -> usize { std::env::var(name).unwrap().parse().unwrap() };
    let (step, mut left) = (
        Step::all()[number("TACHO_CRASH_STEP")],
        number("TACHO_CRASH_NTH"),
    );
    let round = number("TACHO_CRASH_ROUND");
    let mut options = options();
    options.testing_only_step = Some(Box::new(move |passed| {
        if passed == step {
            left -= 1;
            if left == 0 {
                kill(Pid::this(), Signal::SIGKILL).unwrap();
                loop {
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        }
    }));
    let path = Path::new(&path);
    let log = match path.exists() {
        true => Log::open(path, options).unwrap(),
        false => create(path, options).unwrap(),
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                for first in (0..RECORDS).step_by(BURST) {
                    let last = RECORDS.min(first + BURST) - 1;
                    let burst: Vec<_> = (first..last)
                        .map(|n| {
                            let event = message(&format!("{round} {thread} {n}"));
                            log.submit(log.draft(event, Way::api(0)).unwrap()).unwrap()
                        })
                        .collect();
                    let acked = |n: usize, receipt: Receipt| {
                        let receipt = hex::encode(receipt.encode().unwrap());
                        say(&format!("{thread} {n} {receipt}"));
                    };
                    for (n, pending) in (first..).zip(burst) {
                        acked(n, pending.wait().unwrap());
                    }
                    // Whoever is alone just now commits by itself.
                    let event = message(&format!("{round} {thread} {last}"));
                    let draft = log.draft(event, Way::api(0)).unwrap();
                    acked(
                        last,
                        match thread {
                            // And one thread's last record ends the epoch.
                            1 => {
                                let sealing = log.submit_and_seal(draft, SealReason::Mutation);
                                sealing.unwrap().wait().unwrap()
                            }
                            _ => log.write(draft).unwrap(),
                        },
                    );
                    if (thread, first) == (0, 2 * BURST) {
                        log.seal(SealReason::Mutation).unwrap();
                    }
                }
            });
        }
    });
    log.close().unwrap();
}

/// Says one line in one piece.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What a life acknowledged.
struct Lived {
    status: ExitStatus,
    receipts: Vec<(usize, usize, Receipt)>,
}

fn live(path: &Path, step: usize, nth: usize, round: usize) -> Lived {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["life", "--exact", "--ignored", "--nocapture"])
        .env("TACHO_CRASH_LOG", path)
        .env("TACHO_CRASH_STEP", step.to_string())
        .env("TACHO_CRASH_NTH", nth.to_string())
        .env("TACHO_CRASH_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    let mut complaints = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaints)
        .unwrap();
    let status = child.wait().unwrap();
    assert!(
        status.success() || status.signal() == Some(9),
        "round {round} at {:?}: {status}\n{complaints}",
        Step::all()[step]
    );
    let receipts = text
        .split_inclusive('\n')
        // Death may have cut the last line.
        .filter_map(|line| {
            line.strip_suffix('\n')?
                .split_once('@')
                .map(|(_, said)| said)
        })
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let receipt = Receipt::decode(&hex::decode(words[2]).unwrap()).unwrap();
            (
                words[0].parse().unwrap(),
                words[1].parse().unwrap(),
                receipt,
            )
        })
        .collect();
    Lived { status, receipts }
}

fn look(path: &Path, marks: &[Receipt]) -> Report {
    let trust = Fingerprint::of(&Fixed(identity().verifying_key().to_bytes()));
    let question = Question {
        trust: Some((trust, Anchor::Named)),
        marks: marks
            .iter()
            .map(|r| Mark::Receipt(Box::new(r.clone())))
            .collect(),
        ..Question::default()
    };
    audit(&LogDir::open(path).unwrap(), &question, |_, _| ()).unwrap()
}

fn key_files(path: &Path) -> BTreeSet<String> {
    fs::read_dir(path.join("keys"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A log with several lives, and what they acknowledged.
struct Story {
    path: PathBuf,
    /// By life and thread: how many records in order were acknowledged.
    acknowledged: BTreeMap<(usize, usize), usize>,
    /// By number: leaf and chain hash.
    kept: BTreeMap<Seq, (tacho_schemas::Hash, tacho_schemas::Hash)>,
    /// The last receipt of each life.
    last: Vec<Receipt>,
    _base: tempfile::TempDir,
}

impl Story {
    fn begin() -> Self {
        let base = scratch();
        Self {
            path: base.path().join("log"),
            acknowledged: BTreeMap::new(),
            kept: BTreeMap::new(),
            last: Vec::new(),
            _base: base,
        }
    }

    /// One life, and the log as it lies there afterwards.
    fn live(&mut self, step: usize, nth: usize, round: usize) -> bool {
        let lived = live(&self.path, step, nth, round);
        let what = || {
            format!(
                "round {round}, {:?} for the {nth}th time",
                Step::all()[step]
            )
        };
        for (thread, n, receipt) in &lived.receipts {
            let count = self.acknowledged.entry((round, *thread)).or_default();
            assert_eq!(*count, *n, "{}", what());
            *count += 1;
            let before = self.kept.insert(receipt.seq, (receipt.leaf, receipt.chain));
            assert_eq!(
                before,
                None,
                "{}: two records got number {}",
                what(),
                receipt.seq
            );
        }
        let marks: Vec<_> = lived
            .receipts
            .into_iter()
            .map(|(_, _, receipt)| receipt)
            .collect();
        // Dead, not stopped: an auditor who comes now finds a sound log with an open tail.
        let report = look(&self.path, &marks);
        assert!(report.is_good(), "{}: {report:#?}", what());
        self.last
            .extend(marks.into_iter().max_by_key(|r| r.commit.size));
        lived.status.signal() == Some(9)
    }

    /// Starts and stops the recorder, and looks at everything.
    fn check(&self) {
        let log = Log::open(&self.path, options()).unwrap();
        log.close().unwrap();
        let report = look(&self.path, &self.last);
        assert!(report.is_good(), "{report:#?}");
        assert_eq!(report.broken_epochs, 0);
        assert_eq!(
            key_files(&self.path),
            BTreeSet::from(["epoch.pem".to_owned(), "log.pem".to_owned()])
        );

        let reader = Reader::open(&LogDir::open(&self.path).unwrap()).unwrap();
        let view = View::new(&reader).unwrap();
        let mut found: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut seen = 0;
        view.records(0..view.size(), |shown| {
            assert_eq!(shown.doubts, [""; 0]);
            if let Some((leaf, chain)) = self.kept.get(&shown.seq) {
                let record = shown.meaning.as_ref().unwrap();
                assert_eq!(tacho_schemas::tree::leaf_hash(&shown.bytes), *leaf);
                assert_eq!(
                    tacho_schemas::chain::link(&record.prev, &shown.bytes),
                    *chain
                );
                seen += 1;
            }
            if let Some(text) = shown.text(Field::Text) {
                let words: Vec<usize> = text.split(' ').map(|w| w.parse().unwrap()).collect();
                let count = found.entry((words[0], words[1])).or_default();
                assert_eq!(
                    *count, words[2],
                    "record {} is lost, or twice there",
                    shown.seq
                );
                *count += 1;
            }
            Ok::<(), Error>(())
        })
        .unwrap();
        assert_eq!(seen, self.kept.len(), "an acknowledged record is lost");
        for (life, count) in &found {
            let acknowledged = self.acknowledged.get(life).copied().unwrap_or(0);
            assert!(
                (acknowledged..=acknowledged + BURST).contains(count),
                "life {life:?}: {acknowledged} acknowledged, {count} found"
            );
        }
    }
}

fn lives() -> usize {
    match std::env::var_os("TACHO_ALL") {
        Some(_) => 160,
        None => 3,
    }
}

#[test]
fn killed_at_each_step_it_loses_and_invents_nothing() {
    let (mut rounds, mut kills) = (0, 0);
    for (index, step) in Step::all().into_iter().enumerate() {
        let mut killed = 0;
        let mut story = Story::begin();
        for life in 0..lives() {
            // Long stories make long checks.
            if life % 8 == 7 {
                story.check();
                story = Story::begin();
            }
            // The first death may fall into the making of the log, whose own test is below.
            if !story.path.exists() {
                drop(create(&story.path, options()).unwrap());
            }
            let often = matches!(
                step,
                Step::Begun | Step::Written | Step::Committed | Step::Signed | Step::Answered
            );
            let nth = match (often, step) {
                (_, Step::Stopped) => 1,
                (true, _) => 1 + life * 5 % 17,
                (false, _) => 1 + life % 3,
            };
            killed += usize::from(story.live(index, nth, life));
            rounds += 1;
            // Every other time the next life itself has to put things right, and may die of that.
            if life % 2 == 0 {
                story.check();
            }
        }
        story.check();
        assert!(killed > 0, "nobody was killed at {step:?}");
        kills += killed;
    }
    println!(
        "{rounds} lives, {kills} kills at {} steps",
        Step::all().len()
    );
}

#[test]
fn killed_while_it_is_made_a_log_is_finished_by_the_next_start() {
    let mut killed = 0;
    for (index, step) in Step::all().into_iter().enumerate() {
        for nth in 1..=2 {
            let base = scratch();
            let path = base.path().join("log");
            let lived = live(&path, index, nth, 0);
            if lived.status.success() || !lived.receipts.is_empty() {
                continue;
            }
            killed += 1;
            let log = Log::open(&path, options()).unwrap_or_else(|e| panic!("{step:?} {nth}: {e}"));
            log.append(message("0 0 0"), Way::api(0)).unwrap();
            log.close().unwrap();
            let report = look(&path, &[]);
            assert!(report.is_good(), "{step:?} {nth}: {report:#?}");
        }
    }
    assert!(killed >= 8, "{killed}");
}
