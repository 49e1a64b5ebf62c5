//! A verification that goes on where it was says what one from the beginning says, whatever happened meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tacho_recorder::audit::{Audit, Question, Step, audit};
use tacho_recorder::import::{Known, Request, import};
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::read::View;
use tacho_recorder::{LogDir, Reader, SystemClock, keys};
use tacho_schemas::Origin;
use tacho_schemas::verify::Report;

fn options() -> Options {
    Options::new(Arc::new(SystemClock::new().unwrap()), "test").for_import()
}

/// A log with a lineage in it, which is more than one tile long.
fn make(path: &Path) -> Log {
    let identity = keys::generate().unwrap();
    let beginning = Beginning {
        path,
        origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
        identity: &identity,
        predecessor: None,
    };
    let log = Log::create(beginning, options()).unwrap();
    fill(&log, "codeevolve/island1.jsonl");
    log
}

fn fill(log: &Log, file: &str) {
    let reader = Reader::open(&LogDir::open_to_read(log.path()).unwrap()).unwrap();
    let request = Request {
        path: Path::new("../fixtures/lineages").join(file),
        format: None,
        range: None,
        again: false,
    };
    let view = View::new(&reader).unwrap();
    import(log, &view, &request, &mut Known::default(), &mut |_, _| ()).unwrap();
}

fn question() -> Question {
    Question {
        threads: 2,
        ..Question::default()
    }
}

/// Goes on to the end, and holds what is said against a verification from the beginning. Gives the steps, too.
fn go_on(audit_so_far: &mut Audit, path: &Path) -> (Report, Vec<Step>) {
    let dir = LogDir::open_to_read(path).unwrap();
    let mut steps = Vec::new();
    let end = audit_so_far.go_on(&dir, &question(), |step| {
        steps.push(step);
        ControlFlow::<()>::Continue(())
    });
    let ControlFlow::Continue(report) = end.unwrap() else {
        panic!("nobody stopped it");
    };
    let anew = audit(&dir, &question(), |_, _| ()).unwrap();
    assert_eq!(report, anew);
    (report, steps)
}

fn read_again(steps: &[Step]) -> u64 {
    let again = steps.iter().filter(|step| step.again);
    again.map(|step| step.done).max().unwrap_or(0)
}

#[test]
fn what_came_since_is_verified_after_what_was_is_read_again() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("log");
    let log = make(&path);
    let mut so_far = Audit::default();
    // While it is being written, after it grew, after it was stopped, and after nothing.
    let (report, steps) = go_on(&mut so_far, &path);
    assert!(report.has_integrity(), "{report:#?}");
    assert_eq!(read_again(&steps), 0);
    let known = report.size & !255;
    assert_eq!(so_far.known(), known);
    assert!(known >= 256);
    fill(&log, "codeevolve/island3.jsonl");
    let (grown, steps) = go_on(&mut so_far, &path);
    assert!(grown.has_integrity() && grown.size > report.size + 256);
    assert_eq!(read_again(&steps), known);
    assert_eq!(so_far.known(), grown.size & !255);
    log.close().unwrap();
    let (stopped, steps) = go_on(&mut so_far, &path);
    assert!(stopped.has_integrity() && stopped.sealed);
    assert_eq!(read_again(&steps), grown.size & !255);
    let (same, _) = go_on(&mut so_far, &path);
    assert_eq!(same, stopped);
}

#[test]
fn it_can_be_stopped_anywhere() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("log");
    let log = make(&path);
    fill(&log, "codeevolve/island3.jsonl");
    log.close().unwrap();
    let dir = LogDir::open_to_read(&path).unwrap();
    let mut so_far = Audit::default();
    let mut stop = |after: usize| {
        let mut left = after;
        let end = so_far.go_on(&dir, &question(), |step| match left.checked_sub(1) {
            Some(less) => {
                left = less;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(step),
        });
        match end.unwrap() {
            ControlFlow::Break(step) => (step, so_far.known()),
            ControlFlow::Continue(_) => panic!("it was not stopped"),
        }
    };
    let (step, known) = stop(1);
    assert!(!step.again && step.sound);
    assert_eq!((step.done, known), (512, 512));
    // Stopped while it reads again: what is known stays known.
    let (step, known) = stop(0);
    assert!(step.again && step.sound);
    assert_eq!(known, 512);
    let (report, steps) = go_on(&mut so_far, &path);
    assert!(report.has_integrity());
    assert!(steps.iter().any(|step| step.again) && steps.iter().any(|step| !step.again));
}

/// What somebody may do to the records, texts and files below, or beside them.
const CHANGES: &[&str] = &[
    "UPDATE records SET bytes = (SELECT bytes FROM records WHERE seq = 6) WHERE seq = 5",
    "UPDATE records SET bytes = CAST(substr(bytes, 1, length(bytes) - 1) || x'00' AS BLOB) WHERE seq = 5",
    "DELETE FROM records WHERE seq = 7",
    "DELETE FROM records WHERE seq > 200",
    "UPDATE vault SET row = (SELECT row FROM vault ORDER BY seq DESC LIMIT 1) WHERE seq = (SELECT min(seq) FROM vault)",
    "DELETE FROM vault WHERE seq = (SELECT min(seq) FROM vault)",
    "INSERT INTO vault SELECT seq + 1000, row FROM vault ORDER BY seq DESC LIMIT 1",
    "UPDATE artefacts SET bytes = (SELECT bytes FROM artefacts ORDER BY rowid DESC LIMIT 1) WHERE rowid = 1",
    "UPDATE artefacts SET refs = refs + 1 WHERE rowid = 1",
    "DELETE FROM artefacts WHERE rowid = 1",
    "UPDATE tiles SET hashes = zeroblob(8192) WHERE id = (SELECT min(id) FROM tiles)",
    "DELETE FROM tiles WHERE id = (SELECT min(id) FROM tiles)",
    "INSERT INTO refs VALUES (x'00', 5)",
    "DELETE FROM commits",
];

#[test]
fn a_change_below_is_found_as_from_the_beginning() {
    let base = tempfile::tempdir().unwrap();
    let whole = base.path().join("log");
    make(&whole).close().unwrap();
    for change in CHANGES {
        let path = copy(&whole, &base.path().join("copy"));
        let mut so_far = Audit::default();
        assert!(go_on(&mut so_far, &path).0.has_integrity());
        assert!(so_far.known() > 0);
        let changed = Connection::open(path.join("log.db")).unwrap();
        assert!(changed.execute(change, []).unwrap() > 0, "{change}");
        drop(changed);
        let (report, _) = go_on(&mut so_far, &path);
        assert!(!report.has_integrity(), "{change}");
        // Nothing is built on what is broken.
        assert_eq!(so_far.known(), 0, "{change}");
        std::fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn another_log_in_its_place_is_verified_from_the_beginning() {
    let base = tempfile::tempdir().unwrap();
    let (one, other) = (base.path().join("one"), base.path().join("other"));
    make(&one).close().unwrap();
    make(&other).close().unwrap();
    let mut so_far = Audit::default();
    let (first, _) = go_on(&mut so_far, &one);
    let (second, _) = go_on(&mut so_far, &other);
    assert!(first.has_integrity() && second.has_integrity());
    assert_ne!(first.log_id, second.log_id);
}

fn copy(from: &Path, to: &Path) -> PathBuf {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, from.metadata().unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => drop(copy(&entry.path(), &to.join(entry.file_name()))),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
    to.to_owned()
}
