//! A log is made, written, closed and opened again.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;
use std::sync::Arc;

use tacho_recorder::audit::{Question, audit};
use tacho_recorder::draft::Way;
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::{LogDir, SystemClock, keys};
use tacho_schemas::Id;
use tacho_schemas::Origin;
use tacho_schemas::body::work::{Message, Speaker};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType};

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
