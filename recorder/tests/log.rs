//! A log is made, written, closed and opened again.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;
use std::sync::Arc;

use tacho_recorder::audit::{Question, audit};
use tacho_recorder::draft::Way;
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::read::View;
use tacho_recorder::{LogDir, Reader, SystemClock, keys};
use tacho_schemas::body::log::SealReason;
use tacho_schemas::body::work::{Message, Speaker};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType};
use tacho_schemas::{Id, Origin, Seq};

fn options() -> Options {
    Options::new(Arc::new(SystemClock::new().unwrap()), "test")
}

fn create(path: &Path) -> Log {
    let identity = keys::generate().unwrap();
    let origin = Origin::from_parts("tacho.invalid", [7; 16]).unwrap();
    let beginning = Beginning {
        path,
        origin,
        identity: &identity,
        predecessor: None,
    };
    Log::create(beginning, options()).unwrap()
}

fn message(text: &str) -> Event {
    let actor = Actor {
        actor_type: ActorType::Agent,
        id: Id::new("claude-code").unwrap(),
        model: None,
        on_behalf_of: None,
    };
    Event::new(
        actor,
        Message {
            speaker: Speaker::Assistant,
            usage: None,
        },
    )
    .with(Field::Text, text)
}

#[test]
fn what_was_acknowledged_is_there_after_a_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = create(&path);
    let receipt = log.append(message("hello"), Way::api(0)).unwrap();
    assert_eq!(receipt.seq.0, 2);
    let pending: Vec<_> = (0..1000)
        .map(|n| {
            log.submit(log.draft(message(&n.to_string()), Way::api(0)).unwrap())
                .unwrap()
        })
        .collect();
    for (n, pending) in pending.into_iter().enumerate() {
        assert_eq!(pending.wait().unwrap().seq.0, 3 + n as u64);
    }
    log.close().unwrap();
    let log = Log::open(&path, options()).unwrap();
    assert!(!log.opening().unclean, "{:?}", log.opening());
    log.append(message("again"), Way::api(0)).unwrap();
    let live = audit(
        &LogDir::open(&path).unwrap(),
        &Question::default(),
        |_, _| (),
    )
    .unwrap();
    assert!(live.has_integrity(), "{live:#?}");
    log.close().unwrap();
    let report = audit(
        &LogDir::open(&path).unwrap(),
        &Question::default(),
        |_, _| (),
    )
    .unwrap();
    assert!(report.has_integrity(), "{report:#?}");
    assert_eq!(report.size, 1007);
    assert_eq!(report.content.opened, 1002);
    assert_eq!(report.integrity.tiles, 3);
    assert_eq!(report.unsigned, 0);
}

#[test]
fn a_log_verifies_from_its_first_moment() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("log");
    let log = create(&path);
    let dir = LogDir::open(&path).unwrap();
    let report = audit(&dir, &Question::default(), |_, _| ()).unwrap();
    assert!(report.has_integrity(), "{report:#?}");
    assert_eq!((report.size, report.integrity.checkpoints), (2, 1));
    assert_eq!(report.unsigned, 0);
    log.close().unwrap();
}

/// A tile of leaves shows which record, or which of its hashes, was changed; one that is missing does not.
#[test]
fn a_tile_names_the_first_leaf_that_differs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = create(&path);
    for n in 0..600 {
        log.submit(log.draft(message(&n.to_string()), Way::api(0)).unwrap())
            .unwrap();
    }
    log.close().unwrap();
    let change = |statement: &str| {
        let conn = rusqlite::Connection::open(path.join("log.db")).unwrap();
        assert_eq!(conn.execute(statement, []).unwrap(), 1);
    };
    let first_bad = || {
        let dir = LogDir::open(&path).unwrap();
        let report = audit(&dir, &Question::default(), |_, _| ()).unwrap();
        (report.integrity.first_bad, report.integrity.proven)
    };
    let whole = 603;
    assert_eq!(first_bad(), (None, whole));
    // The second tile of leaves: hash 3 of it is the leaf of record 259.
    let second = "WHERE id = (SELECT id FROM tiles ORDER BY id LIMIT 1 OFFSET 1)";
    change(&format!(
        "UPDATE tiles SET hashes = CAST(substr(hashes, 1, 96) || zeroblob(32) || substr(hashes, 129) AS BLOB) {second}"
    ));
    assert_eq!(first_bad(), (Some(Seq(259)), 259));
    change(&format!("DELETE FROM tiles {second}"));
    assert_eq!(first_bad(), (None, whole));
}

#[test]
fn an_empty_text_is_no_text() {
    let dir = tempfile::tempdir().unwrap();
    let log = create(&dir.path().join("log"));
    let empty = message("").with(Field::SourceId, "m-1");
    let seq = log.append(empty, Way::api(0)).unwrap().seq;
    let seq_of_none = log.append(message(""), Way::api(0)).unwrap().seq;
    log.close().unwrap();
    let dir = LogDir::open(&dir.path().join("log")).unwrap();
    let reader = Reader::open(&dir).unwrap();
    let view = View::new(&reader).unwrap();
    let shown = view.record(seq).unwrap();
    let fields: Vec<_> = shown
        .meaning
        .unwrap()
        .content
        .unwrap()
        .into_keys()
        .collect();
    assert_eq!(fields, [Field::SourceId]);
    assert_eq!(shown.row.text(Field::Text), None);
    let shown = view.record(seq_of_none).unwrap();
    assert_eq!(shown.meaning.unwrap().content, None);
}

/// Who writes and waits may commit on its own thread, and overtakes nobody: neither itself nor a seal that was asked for.
#[test]
fn writing_directly_keeps_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = create(&dir.path().join("log"));
    let draft = |text: String| log.draft(message(&text), Way::api(0)).unwrap();
    let seqs = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (draft, seqs, log) = (&draft, &seqs, &log);
            scope.spawn(move || {
                let mut last = None;
                for n in 0..60 {
                    let handed = (n % 3 == 0).then(|| {
                        let pending = log.submit(draft(format!("{thread} {n} first")));
                        pending.unwrap()
                    });
                    let direct = log.write(draft(format!("{thread} {n}"))).unwrap().seq;
                    let handed = handed.map(|pending| pending.wait().unwrap().seq);
                    assert!(last < handed.or(Some(direct)) && handed < Some(direct));
                    last = Some(direct);
                    seqs.lock()
                        .unwrap()
                        .extend(handed.into_iter().chain([direct]));
                    if thread == 0 && n % 20 == 7 {
                        let sealed = log.seal(SealReason::Asked).unwrap().seq;
                        assert!(direct < sealed);
                    }
                }
            });
        }
    });
    let mut seqs = seqs.into_inner().unwrap();
    seqs.sort_unstable();
    let written = seqs.len();
    seqs.dedup();
    assert_eq!(
        (written, seqs.len()),
        (240, 240),
        "no number is given twice"
    );
    log.close().unwrap();
    let dir = LogDir::open(&dir.path().join("log")).unwrap();
    let report = audit(&dir, &Question::default(), |_, _| ()).unwrap();
    assert!(report.has_integrity(), "{report:#?}");
}

/// The next view of a reader goes on from the tree of the last one.
#[test]
fn a_reader_that_stays_sees_the_tree_that_a_new_one_sees() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = create(&path);
    let place = LogDir::open(&path).unwrap();
    let stays = Reader::open(&place).unwrap();
    for step in [1, 0, 253, 1, 300, 5000, 2] {
        let pending: Vec<_> = (0..step)
            .map(|n: u32| {
                log.submit(log.draft(message(&n.to_string()), Way::api(0)).unwrap())
                    .unwrap()
            })
            .collect();
        pending.into_iter().for_each(|p| drop(p.wait().unwrap()));
        let new = Reader::open(&place).unwrap();
        let (one, other) = (View::new(&stays).unwrap(), View::new(&new).unwrap());
        assert_eq!((one.size(), one.root()), (other.size(), other.root()));
        let last = Seq(one.size() - 1);
        assert!(one.record(last).unwrap().doubts.is_empty());
    }
    log.close().unwrap();
    let size = View::new(&stays).unwrap().size();
    // What was changed after it was looked at first is seen to be.
    let conn = rusqlite::Connection::open(path.join("log.db")).unwrap();
    let changed = format!(
        "UPDATE records SET bytes = (SELECT bytes FROM records WHERE seq = 9) WHERE seq = {}",
        size - 2
    );
    assert_eq!(conn.execute(&changed, []).unwrap(), 1);
    let view = View::new(&stays).unwrap();
    assert!(!view.record(Seq(size - 2)).unwrap().in_tree);
    drop(view);
    // A new reader, which puts the tree together anew, refuses this log.
    assert!(View::new(&Reader::open(&place).unwrap()).is_err());
}
