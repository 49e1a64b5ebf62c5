//! Appends records and says what was acknowledged; then checks that all of it is there. For `tests/outside/strace.sh`.
//!
//! ```text
//! append run PATH      makes or opens the log, appends, seals, stops; a line for each receipt and each error
//! append check PATH    opens the log and holds the receipts on stdin against it
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool for tests may fail loudly"
)]

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use tacho_recorder::audit::{Question, audit};
use tacho_recorder::draft::Way;
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::read::View;
use tacho_recorder::{Error, ErrorKind, LogDir, Reader, SystemClock};
use tacho_schemas::body::log::SealReason;
use tacho_schemas::body::work::{Message, Speaker};
use tacho_schemas::content::Field;
use tacho_schemas::event::{Attachment, Event};
use tacho_schemas::receipt::Receipt;
use tacho_schemas::record::{Actor, ActorType, Role};
use tacho_schemas::verify::Mark;
use tacho_schemas::{Id, Origin, tree};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let path = Path::new(&words[2]);
    match words[1].as_str() {
        "run" => run(path),
        "check" => check(path),
        other => panic!("`{other}` is neither run nor check"),
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn failed(error: &Error) -> ErrorKind {
    say(&format!("error {:?} {error}", error.kind()));
    error.kind()
}

fn options() -> Options {
    let mut options = Options::new(Arc::new(SystemClock::new().unwrap()), "test");
    options.checkpoint_every = std::time::Duration::from_millis(5);
    options
}

fn event(n: u32) -> Event {
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
    let mut event = Event::new(actor, body).with(Field::Text, n.to_string());
    if n.is_multiple_of(3) {
        event.artefacts.push(Attachment {
            role: Role::Evidence,
            path: None,
            media_type: None,
            unredacted_blake3: None,
            bytes: vec![7; 100],
        });
    }
    event
}

fn run(path: &Path) -> ExitCode {
    let opened = match path.exists() {
        true => Log::open(path, options()),
        false => Log::create(
            Beginning {
                path,
                origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
                identity: &SigningKey::from_bytes(&[7; 32]),
                predecessor: None,
            },
            options(),
        ),
    };
    let log = match opened {
        Ok(log) => log,
        Err(error) => {
            failed(&error);
            return ExitCode::from(3);
        }
    };
    let mut poisoned = false;
    for n in 0..10 {
        let draft = log.draft(event(n), Way::api(0));
        let appended = draft.and_then(|draft| match n {
            // Two epochs that end in haste, one behind the other, and one after a seal that had time.
            2 | 3 | 7 => log.submit_and_seal(draft, SealReason::Mutation)?.wait(),
            _ => log.write(draft),
        });
        match appended {
            Ok(receipt) => {
                assert!(!poisoned, "a receipt after an error that poisons");
                say(&format!("@{}", hex::encode(receipt.encode().unwrap())));
            }
            Err(error) => poisoned |= failed(&error) == ErrorKind::Poisoned,
        }
        if n == 5 {
            match log.seal(SealReason::Mutation) {
                Ok(_) => assert!(!poisoned, "a seal after an error that poisons"),
                Err(error) => poisoned |= failed(&error) == ErrorKind::Poisoned,
            }
        }
    }
    match log.close() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failed(&error);
            ExitCode::from(3)
        }
    }
}

fn has_checkpoints(path: &Path) -> bool {
    std::fs::metadata(path.join("checkpoints")).is_ok_and(|meta| meta.len() > 0)
}

fn check(path: &Path) -> ExitCode {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let receipts: Vec<_> = text
        .split_inclusive('\n')
        // Death may have cut the last line.
        .filter_map(|line| line.strip_suffix('\n')?.strip_prefix('@'))
        .map(|digits| Receipt::decode(&hex::decode(digits).unwrap()).unwrap())
        .collect();
    let log = match Log::open(path, options()) {
        Ok(log) => log,
        Err(error) if receipts.is_empty() && !has_checkpoints(path) => {
            // It died while the log was made: nothing was recorded in it.
            say(&format!("no log: {error}"));
            return ExitCode::SUCCESS;
        }
        Err(error) => panic!("the log does not open again: {error}"),
    };
    log.append(event(0), Way::api(0)).unwrap();
    log.close().unwrap();
    let dir = LogDir::open(path).unwrap();
    let question = Question {
        marks: receipts
            .iter()
            .map(|r| Mark::Receipt(Box::new(r.clone())))
            .collect(),
        ..Question::default()
    };
    let report = audit(&dir, &question, |_, _| ()).unwrap();
    assert!(report.has_integrity(), "{report:#?}");
    let reader = Reader::open(&dir).unwrap();
    let view = View::new(&reader).unwrap();
    for receipt in &receipts {
        let shown = view.record(receipt.seq).unwrap();
        assert_eq!(tree::leaf_hash(&shown.bytes), receipt.leaf);
        assert_eq!(shown.doubts, [""; 0]);
    }
    let mut keys: Vec<_> = std::fs::read_dir(path.join("keys"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    keys.sort();
    assert_eq!(keys, ["epoch.pem", "log.pem"]);
    say(&format!(
        "{} receipts, {} records",
        receipts.len(),
        report.size
    ));
    ExitCode::SUCCESS
}
