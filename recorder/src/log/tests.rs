//! What a caller can be told, and when.

use std::sync::Mutex;

use ed25519_dalek::SigningKey;
use tacho_schemas::body::work::{Message as Said, Speaker};
use tacho_schemas::content::Field;
use tacho_schemas::record::{Actor, ActorType};
use tacho_schemas::{Id, Origin};

use super::*;
use crate::clock::SystemClock;

type Steps = Arc<Mutex<Vec<Step>>>;

fn log(base: &Path) -> (Log, Steps) {
    let steps = Steps::default();
    let passed = Arc::clone(&steps);
    let log = log_with(base, move |step| passed.lock().unwrap().push(step));
    (log, steps)
}

fn log_with(base: &Path, step: impl FnMut(Step) + Send + 'static) -> Log {
    let mut options = Options::new(Arc::new(SystemClock::new().unwrap()), "test");
    options.testing_only_step = Some(Box::new(step));
    let beginning = Beginning {
        path: &base.join("log"),
        origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
        identity: &SigningKey::from_bytes(&[3; 32]),
        predecessor: None,
    };
    Log::create(beginning, options).unwrap()
}

fn draft(log: &Log, text: &str) -> Draft {
    let actor = Actor {
        actor_type: ActorType::Agent,
        id: Id::new("claude-code").unwrap(),
        model: None,
        on_behalf_of: None,
    };
    let said = Said {
        speaker: Speaker::Assistant,
        usage: None,
    };
    let event = Event::new(actor, said).with(Field::Text, text);
    log.draft(event, Way::api(0)).unwrap()
}

#[test]
fn a_number_comes_before_the_signature_and_the_next_commit_after_it() {
    let base = tempfile::tempdir().unwrap();
    let (log, steps) = log(base.path());
    let taken = |log: &Log, seal| {
        steps.lock().unwrap().clear();
        log.write_number(draft(log, "why"), seal).unwrap()
    };
    let passed = || steps.lock().unwrap().clone();
    let commit = [Step::Begun, Step::Written, Step::Committed];

    let first = taken(&log, None);
    assert_eq!(passed(), [&commit[..], &[Step::Answered]].concat());
    log.settle();
    log.settle();
    assert_eq!(
        passed(),
        [&commit[..], &[Step::Answered, Step::Signed]].concat()
    );
    let second = taken(&log, None);
    assert_eq!(passed().first(), Some(&Step::Begun));
    // Nobody settled: the next commit does it first.
    let third = taken(&log, None);
    assert_eq!(passed().first(), Some(&Step::Signed));
    assert_eq!((second.0, third.0), (first.0 + 1, first.0 + 2));
    // A seal binds what was written: its commit is signed before anybody hears of it.
    let mutation = taken(&log, Some(SealReason::Mutation));
    let sealed = passed();
    let at = |step| sealed.iter().position(|s| *s == step).unwrap();
    assert!(
        at(Step::SealCommitted) < at(Step::SealSigned) && at(Step::SealSigned) < at(Step::Answered)
    );
    // A receipt needs the signature.
    steps.lock().unwrap().clear();
    let receipt = log.write(draft(&log, "so")).unwrap();
    assert_eq!(receipt.seq.0, mutation.0 + 2);
    assert_eq!(
        passed(),
        [&commit[..], &[Step::Signed, Step::Answered]].concat()
    );
    log.write_number(draft(&log, "last"), None).unwrap();
    log.close().unwrap();
    let options = Options::new(Arc::new(SystemClock::new().unwrap()), "test");
    let again = Log::open(&base.path().join("log"), options).unwrap();
    assert_eq!(*again.opening(), Opening::default());
}

#[test]
fn nothing_is_packed_while_the_writer_is_behind() {
    let base = tempfile::tempdir().unwrap();
    let held = Arc::new(Mutex::new(()));
    let (writer, text) = (Arc::clone(&held), "because ".repeat(100));
    let log = log_with(base.path(), move |step| {
        if step == Step::Begun {
            drop(writer.lock());
        }
    });
    let usual = draft(&log, &text).weight();
    let hold = held.lock().unwrap();
    // More than one commit takes, so that as many as it is about still wait.
    let submit = |_| log.submit(draft(&log, &text)).unwrap();
    let under_way: Vec<_> = (0..2048).map(submit).collect();
    let hasty = draft(&log, &text).weight();
    assert!(
        usual + text.len() / 2 < hasty,
        "{usual} bytes, then {hasty}"
    );
    drop(hold);
    for pending in under_way {
        pending.wait().unwrap();
    }
    // The writer takes a message off the count before it answers.
    assert_eq!(draft(&log, &text).weight(), usual);
    log.close().unwrap();
    let options = Options::new(Arc::new(SystemClock::new().unwrap()), "test");
    let again = Log::open(&base.path().join("log"), options).unwrap();
    assert_eq!(*again.opening(), Opening::default());
}
