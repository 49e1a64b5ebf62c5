//! Real write-ahead logs, cut and changed at every byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tacho_recorder::wal::{Committed, Wal, inspect};

const PAGE: usize = 512;
const FRAME: usize = 24 + PAGE;

/// A live database with small pages, and copies of its files as a crash would leave them.
struct Live {
    dir: tempfile::TempDir,
    db: Connection,
}

impl Live {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("a.db")).unwrap();
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .unwrap();
        db.execute_batch(&format!(
            "PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB);
             PRAGMA wal_checkpoint(TRUNCATE);"
        ))
        .unwrap();
        Self { dir, db }
    }

    /// One transaction that adds one row of so many bytes.
    fn add(&self, length: u32) {
        self.db
            .execute("INSERT INTO t (b) VALUES (randomblob(?1))", [length])
            .unwrap();
    }

    fn wal(&self) -> PathBuf {
        self.dir.path().join("a.db-wal")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.wal()).unwrap()
    }
}

/// How many rows SQLite sees after a crash that left this database and this WAL.
fn rows(live: &Live, wal: &[u8]) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(live.dir.path().join("a.db"), dir.path().join("b.db")).unwrap();
    fs::write(dir.path().join("b.db-wal"), wal).unwrap();
    let rows: u32 = Connection::open(dir.path().join("b.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM t", [], |r| r.get(0))
        .unwrap();
    rows.into()
}

fn look(dir: &Path, wal: &[u8]) -> Wal {
    let path = dir.join("x");
    fs::write(&path, wal).unwrap();
    inspect(&path).unwrap()
}

fn clean(wal: Wal) -> Committed {
    match wal {
        Wal::Clean(committed) => committed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_file_and_an_empty_file_are_empty() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(inspect(&dir.path().join("none")).unwrap(), Wal::Empty);
    assert_eq!(look(dir.path(), b""), Wal::Empty);
}

#[test]
fn a_live_wal_is_clean() {
    let live = Live::new();
    assert_eq!(inspect(&live.wal()).unwrap(), Wal::Empty);
    for n in 1..=5 {
        live.add(700);
        let committed = clean(inspect(&live.wal()).unwrap());
        assert_eq!(committed.commits, n);
        assert_eq!(
            committed.frames,
            u64::try_from((live.bytes().len() - 32) / FRAME).unwrap()
        );
        let pages: u32 = live
            .db
            .query_row("PRAGMA page_count", [], |r| r.get(0))
            .unwrap();
        assert_eq!(committed.db_pages, pages);
    }
}

#[test]
fn leftovers_of_an_earlier_use_are_normal() {
    let live = Live::new();
    for _ in 0..6 {
        live.add(700);
    }
    let before = live.bytes().len();
    live.db
        .query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))
        .unwrap();
    live.add(10);
    let bytes = live.bytes();
    assert_eq!(bytes.len(), before);
    let committed = clean(inspect(&live.wal()).unwrap());
    assert_eq!(committed.commits, 1);
    assert!(committed.frames < 4);
    // Leftovers that do not end with a whole frame are leftovers still.
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        clean(look(dir.path(), &bytes[..bytes.len() - 7])),
        committed
    );
}

#[test]
fn big_endian_sums_are_read_too() {
    // The same content, summed over big-endian words.
    let mut header = Vec::new();
    for word in [0x377f_0683_u32, 3_007_000, 512, 0, 0x1111_2222, 0x3333_4444] {
        header.extend(word.to_be_bytes());
    }
    let sum = |(mut a, mut b): (u32, u32), bytes: &[u8]| {
        for pair in bytes.chunks(8) {
            let w = |r: std::ops::Range<usize>| u32::from_be_bytes(pair[r].try_into().unwrap());
            a = a.wrapping_add(w(0..4)).wrapping_add(b);
            b = b.wrapping_add(w(4..8)).wrapping_add(a);
        }
        (a, b)
    };
    let first = sum((0, 0), &header);
    header.extend(first.0.to_be_bytes());
    header.extend(first.1.to_be_bytes());
    let page = [7_u8; 512];
    let head = [0, 0, 0, 1, 0, 0, 0, 9];
    let second = sum(sum(first, &head), &page);
    let mut file = header.clone();
    file.extend(head);
    file.extend(&header[16..24]);
    file.extend(second.0.to_be_bytes());
    file.extend(second.1.to_be_bytes());
    file.extend(page);
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        clean(look(dir.path(), &file)),
        Committed {
            frames: 1,
            commits: 1,
            db_pages: 9
        }
    );
}

#[test]
fn no_flipped_byte_passes_for_the_same_commits() {
    let live = Live::new();
    for _ in 0..3 {
        live.add(600);
    }
    let bytes = live.bytes();
    let dir = tempfile::tempdir().unwrap();
    let whole = clean(look(dir.path(), &bytes));
    assert_eq!(whole.commits, 3);
    let last = bytes.len() - FRAME;
    let mut alarms = 0;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        match look(dir.path(), &changed) {
            Wal::BadHeader { .. } => assert!(at < 32, "byte {at}"),
            Wal::Damaged {
                committed,
                frame,
                later_frames,
                ..
            } => {
                let hit = u64::try_from((at - 32) / FRAME).unwrap() + 1;
                assert_eq!(frame, hit, "byte {at}");
                assert!(committed.frames < hit);
                // A changed sum spoils its own frame only; a changed page number, page or salt too.
                assert_eq!(later_frames, whole.frames - hit, "byte {at}");
                alarms += 1;
            }
            // Nothing that fits follows the last frame: it cannot be told from a crash, and its commit is gone.
            Wal::TornTail { committed, .. } | Wal::Clean(committed) => {
                assert!(at >= last, "byte {at}");
                assert_eq!(committed.commits, 2);
            }
            Wal::Empty => panic!("byte {at}"),
        }
    }
    assert_eq!(alarms, last - 32);
}

#[test]
fn a_flip_in_leftovers_changes_nothing() {
    let live = Live::new();
    for _ in 0..4 {
        live.add(600);
    }
    live.db
        .query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))
        .unwrap();
    live.add(10);
    let bytes = live.bytes();
    let dir = tempfile::tempdir().unwrap();
    let whole = look(dir.path(), &bytes);
    let committed = clean(whole);
    let stale = 32 + usize::try_from(committed.frames).unwrap() * FRAME;
    assert!(stale < bytes.len());
    for at in (0..bytes.len()).step_by(3) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let seen = look(dir.path(), &changed);
        if at >= stale {
            assert_eq!(seen, whole, "byte {at}");
        } else {
            assert_ne!(seen, whole, "byte {at}");
        }
    }
}

#[test]
fn a_cut_anywhere_is_a_torn_tail_and_sqlite_agrees() {
    let live = Live::new();
    for _ in 0..3 {
        live.add(600);
    }
    let bytes = live.bytes();
    let dir = tempfile::tempdir().unwrap();
    let whole = clean(look(dir.path(), &bytes));
    // The ends of transactions, found by growing.
    let mut commits_at = Vec::new();
    for at in 0..=bytes.len() {
        let seen = look(dir.path(), &bytes[..at]);
        match seen {
            Wal::Empty => assert_eq!(at, 0),
            Wal::Clean(c) => commits_at.push((at, c.commits)),
            Wal::TornTail {
                committed,
                bytes_after,
            } => {
                let kept = if committed.frames == 0 && at < 32 {
                    0
                } else {
                    32 + usize::try_from(committed.frames).unwrap() * FRAME
                };
                assert_eq!(
                    bytes_after,
                    u64::try_from(at - kept).unwrap(),
                    "cut at {at}"
                );
            }
            other => panic!("cut at {at}: {other:?}"),
        }
        if at % 97 == 0 {
            let commits = match seen {
                Wal::Clean(c) | Wal::TornTail { committed: c, .. } => c.commits,
                _ => 0,
            };
            assert_eq!(rows(&live, &bytes[..at]), commits, "cut at {at}");
        }
    }
    // A header without frames holds nothing and misses nothing; then each commit.
    let commits: Vec<u64> = commits_at.iter().map(|(_, c)| *c).collect();
    assert_eq!(commits, [0, 1, 2, 3]);
    assert_eq!(commits_at.last(), Some(&(bytes.len(), whole.commits)));
}

#[test]
fn sqlite_drops_silently_what_we_call_damaged() {
    let live = Live::new();
    for _ in 0..3 {
        live.add(10);
    }
    let mut bytes = live.bytes();
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(clean(look(dir.path(), &bytes)).frames, 3);
    assert_eq!(rows(&live, &bytes), 3);
    bytes[32 + FRAME + 100] ^= 1;
    assert_eq!(rows(&live, &bytes), 1);
    assert_eq!(
        look(dir.path(), &bytes),
        Wal::Damaged {
            committed: Committed {
                frames: 1,
                commits: 1,
                db_pages: 2
            },
            frame: 2,
            later_frames: 1,
            later_commits: 1
        }
    );
    // And all of it behind a damaged header.
    bytes[3] = 0;
    assert_eq!(rows(&live, &bytes), 0);
    assert!(matches!(look(dir.path(), &bytes), Wal::BadHeader { .. }));
}
