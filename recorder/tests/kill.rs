//! A writer killed at any moment has kept every commit that it said it kept.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may fail loudly"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use tacho_recorder::wal::{Wal, inspect};
use tacho_recorder::{Error, LogDir, Store};

/// Not a test: the process that is killed. Commits batches and says the last number of each once it is durable.
#[test]
#[ignore = "run by the test below"]
fn writer() {
    let Some(path) = std::env::var_os("TACHO_KILL_ME") else {
        return;
    };
    let dir = LogDir::open(Path::new(&path)).unwrap();
    let lock = dir.lock().unwrap();
    let mut store = Store::open_writer(&dir, &lock).unwrap();
    let mut next = store
        .snapshot()
        .unwrap()
        .last_seq()
        .unwrap()
        .map_or(0, |s| s + 1);
    let mut out = std::io::stdout();
    loop {
        let mut batch = store.batch().unwrap();
        for _ in 0..=next % 7 {
            batch
                .record(next, format!("record {next}").as_bytes())
                .unwrap();
            batch
                .vault(next, &vec![b'v'; usize::try_from(next % 4000).unwrap()])
                .unwrap();
            next += 1;
        }
        batch.commit().unwrap();
        writeln!(out, "kept {}", next - 1).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_writer_lost_nothing_it_acknowledged() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("log");
    let dir = LogDir::create(&path).unwrap();
    drop(Store::create(&dir, &dir.lock().unwrap()).unwrap());
    for round in 0..12_u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["writer", "--exact", "--ignored", "--nocapture"])
            .env("TACHO_KILL_ME", &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut kept = None;
        let mut heard = 0;
        // Killed after a different number of acknowledgements each time, at whatever it does then.
        while heard < 5 + 13 * round {
            let line = lines.next().unwrap().unwrap();
            if let Some(seq) = line.strip_prefix("kept ") {
                kept = Some(seq.parse::<u64>().unwrap());
                heard += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some(Ok(seq)) = line.strip_prefix("kept ").map(str::parse) {
                kept = Some(seq);
            }
        }
        match inspect(&dir.wal()).unwrap() {
            Wal::Clean(c) => assert!(c.commits >= u64::from(heard)),
            Wal::TornTail { committed, .. } => {
                assert!(committed.commits >= u64::from(heard));
            }
            other => panic!("round {round}: {other:?}"),
        }
        let lock = dir.lock().unwrap();
        let store = Store::open_writer(&dir, &lock).unwrap();
        let snapshot = store.snapshot().unwrap();
        assert!(snapshot.last_seq().unwrap() >= kept, "round {round}");
        let mut next = 0;
        snapshot
            .records(0..u64::MAX, |seq, bytes| {
                assert_eq!(seq, next);
                assert_eq!(bytes, format!("record {seq}").as_bytes());
                next += 1;
                Ok::<(), Error>(())
            })
            .unwrap();
        assert_eq!(snapshot.counts().unwrap().vault, next);
    }
}
