//! The database keeps what it is given, and gives nothing it was not given.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tacho_recorder::dir::Lock;
use tacho_recorder::pack::Packer;
use tacho_recorder::store::{Checkpointer, Counts, Put, TileId};
use tacho_recorder::wal::{Wal, inspect};
use tacho_recorder::{Error, ErrorKind, LogDir, Reader, Store};
use tacho_schemas::Hash;

struct Log {
    _base: tempfile::TempDir,
    dir: LogDir,
    lock: Lock,
    store: Store,
}

fn log() -> Log {
    let base = tempfile::tempdir().unwrap();
    let dir = LogDir::create(&base.path().join("log")).unwrap();
    let lock = dir.lock().unwrap();
    let store = Store::create(&dir, &lock).unwrap();
    Log {
        _base: base,
        dir,
        lock,
        store,
    }
}

impl Log {
    fn add(&mut self, seqs: std::ops::Range<u64>) {
        let mut batch = self.store.batch().unwrap();
        for seq in seqs {
            batch
                .record(seq, format!("record {seq}").as_bytes())
                .unwrap();
        }
        batch.commit().unwrap();
    }

    /// What a crash would leave now, as a directory of its own.
    fn crash(&self, to: &Path) -> LogDir {
        fs::create_dir(to).unwrap();
        for file in [self.dir.database(), self.dir.wal(), self.dir.lock_file()] {
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
        fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        LogDir::open(to).unwrap()
    }
}

/// A connection of someone who does as he likes.
fn attacker(dir: &LogDir) -> Connection {
    let conn = Connection::open(dir.database()).unwrap();
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)
        .unwrap();
    conn
}

fn seqs(dir: &LogDir) -> Vec<u64> {
    let reader = Reader::open(dir).unwrap();
    let mut seen = Vec::new();
    reader
        .snapshot()
        .unwrap()
        .records(0..u64::MAX, |seq, bytes| {
            assert_eq!(bytes, format!("record {seq}").as_bytes());
            seen.push(seq);
            Ok::<(), Error>(())
        })
        .unwrap();
    seen
}

#[test]
fn everything_comes_back() {
    let mut log = log();
    let key = Hash([9; 32]);
    let tile = TileId::new(1, 7).unwrap();
    let mut batch = log.store.batch().unwrap();
    batch.record(0, b"genesis").unwrap();
    batch.record(1, b"").unwrap();
    batch.vault(1, b"packed text").unwrap();
    batch.tile(tile, &[1; 32]).unwrap();
    batch.tile(tile, &[2; 64]).unwrap();
    batch.reference(&key, 1).unwrap();
    batch.commit_row(b"one", b"s1").unwrap();
    batch.commit_row(b"two", b"s2").unwrap();
    batch.commit().unwrap();

    let reader = Reader::open(&log.dir).unwrap();
    for snapshot in [reader.snapshot().unwrap(), log.store.snapshot().unwrap()] {
        assert_eq!(snapshot.record(0).unwrap().unwrap(), b"genesis");
        assert_eq!(snapshot.record(1).unwrap().unwrap(), b"");
        assert_eq!(snapshot.record(2).unwrap(), None);
        assert_eq!(snapshot.vault(0).unwrap(), None);
        assert_eq!(snapshot.vault(1).unwrap().unwrap(), b"packed text");
        assert_eq!(snapshot.tile(tile).unwrap().unwrap(), [2; 64]);
        assert_eq!(snapshot.tile(TileId::new(0, 7).unwrap()).unwrap(), None);
        assert_eq!(snapshot.reference(&key).unwrap(), Some(1));
        assert_eq!(snapshot.reference(&Hash::ZERO).unwrap(), None);
        let row = snapshot.commit_row().unwrap().unwrap();
        assert_eq!(
            (&row.statement[..], &row.signature[..]),
            (&b"two"[..], &b"s2"[..])
        );
        assert_eq!(snapshot.last_seq().unwrap(), Some(1));
        assert_eq!(
            snapshot.counts().unwrap(),
            Counts {
                records: 2,
                vault: 1,
                tiles: 1,
                artefacts: 0,
                refs: 1
            }
        );
        let mut rows = Vec::new();
        snapshot
            .vault_rows(0..9, |seq, row| {
                rows.push((seq, row.to_vec()));
                Ok::<(), Error>(())
            })
            .unwrap();
        assert_eq!(rows, [(1, b"packed text".to_vec())]);
    }
}

#[test]
fn a_new_log_is_empty_private_and_set_up() {
    let log = log();
    let snapshot = log.store.snapshot().unwrap();
    assert_eq!(snapshot.last_seq().unwrap(), None);
    assert_eq!(snapshot.commit_row().unwrap(), None);
    assert_eq!(snapshot.counts().unwrap(), Counts::default());
    drop(snapshot);
    for file in [log.dir.database(), log.dir.wal(), log.dir.shm()] {
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    }
    assert_eq!(inspect(&log.dir.wal()).unwrap(), Wal::Empty);
    let bytes = fs::read(log.dir.database()).unwrap();
    assert_eq!(&bytes[68..72], b"tach");
    assert_eq!(
        Store::create(&log.dir, &log.lock).unwrap_err().kind(),
        ErrorKind::Exists
    );
}

#[test]
fn a_dropped_or_spoilt_batch_leaves_nothing() {
    let mut log = log();
    log.add(0..1);
    let mut batch = log.store.batch().unwrap();
    batch.record(1, b"gone").unwrap();
    drop(batch);

    let mut batch = log.store.batch().unwrap();
    batch.record(1, b"gone too").unwrap();
    assert_eq!(
        batch.record(0, b"again").unwrap_err().kind(),
        ErrorKind::Exists
    );
    assert_eq!(
        batch.record(2, b"after").unwrap_err().kind(),
        ErrorKind::Usage
    );
    assert_eq!(batch.commit().unwrap_err().kind(), ErrorKind::Usage);

    let mut batch = log.store.batch().unwrap();
    assert_eq!(
        batch.record(1, &[0; 65_536]).unwrap_err().kind(),
        ErrorKind::Unrecordable
    );
    assert_eq!(
        batch.vault_remove(5).unwrap_err().kind(),
        ErrorKind::Missing
    );
    drop(batch);

    assert!(!log.store.is_poisoned());
    log.add(1..3);
    assert_eq!(seqs(&log.dir), [0, 1, 2]);
}

#[test]
fn a_locked_database_fails_the_batch_only() {
    let mut log = log();
    log.add(0..1);
    let other = attacker(&log.dir);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(log.store.batch().unwrap_err().kind(), ErrorKind::Busy);
    other.execute_batch("ROLLBACK").unwrap();
    log.add(1..2);
    assert_eq!(seqs(&log.dir), [0, 1]);
}

#[test]
fn a_snapshot_is_of_one_moment() {
    let mut log = log();
    log.add(0..10);
    let reader = Reader::open(&log.dir).unwrap();
    let snapshot = reader.snapshot().unwrap();
    log.add(10..20);
    assert_eq!(snapshot.last_seq().unwrap(), Some(9));
    // A reader keeps the WAL, and says so; nothing is lost.
    assert_eq!(
        log.store.wal_truncate().unwrap_err().kind(),
        ErrorKind::Busy
    );
    drop(snapshot);
    log.store.wal_truncate().unwrap();
    assert_eq!(reader.snapshot().unwrap().last_seq().unwrap(), Some(19));
    let mut seen = Vec::new();
    reader
        .snapshot()
        .unwrap()
        .records(5..8, |seq, _| {
            seen.push(seq);
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(seen, [5, 6, 7]);
    // A callback's own error ends the walk.
    let stop = reader
        .snapshot()
        .unwrap()
        .records(0..20, |_, _| Err(Error::new(ErrorKind::Usage, "enough")));
    assert_eq!(stop.unwrap_err().to_string(), "enough");
}

#[test]
fn a_checkpoint_beside_the_writer_moves_frames_and_keeps_all() {
    let mut log = log();
    let checkpointer = Checkpointer::open(&log.dir, &log.lock).unwrap();
    log.add(0..100);
    let moved = checkpointer.checkpoint_passive().unwrap();
    assert!(
        !moved.busy && moved.frames > 0 && moved.moved == moved.frames,
        "{moved:?}"
    );
    let size = log.store.wal_bytes().unwrap();
    // The next commit starts the WAL anew instead of growing it.
    log.add(100..101);
    assert_eq!(log.store.wal_bytes().unwrap(), size);
    assert!(matches!(inspect(&log.dir.wal()).unwrap(), Wal::Clean(c) if c.commits == 1));
    assert_eq!(seqs(&log.dir).len(), 101);
}

#[test]
fn a_crash_keeps_every_commit_and_the_next_start_raises_no_alarm() {
    let mut log = log();
    let base = tempfile::tempdir().unwrap();
    log.add(0..3);
    let mut batch = log.store.batch().unwrap();
    batch.record(3, &[1; 60_000]).unwrap();
    batch.record(4, &[2; 60_000]).unwrap();
    batch.commit().unwrap();
    // Two commits, the second torn: its frames stay in the file behind the first.
    let torn = log.crash(&base.path().join("torn"));
    let whole = fs::metadata(torn.wal()).unwrap().len();
    let cut = fs::OpenOptions::new().write(true).open(torn.wal()).unwrap();
    cut.set_len(whole - 16_408).unwrap();
    let Wal::TornTail {
        committed,
        bytes_after,
    } = inspect(&torn.wal()).unwrap()
    else {
        panic!("{:?}", inspect(&torn.wal()));
    };
    assert_eq!(committed.commits, 1);
    assert!(bytes_after > 3 * 16_408);

    let lock = torn.lock().unwrap();
    let mut store = Store::open_writer(&torn, &lock).unwrap();
    assert_eq!(store.snapshot().unwrap().last_seq().unwrap(), Some(2));
    // Killed now, the next start must not find an empty WAL and think that it was taken away.
    assert_eq!(store.wal_bytes().unwrap(), whole - 16_408);
    let mut batch = store.batch().unwrap();
    batch.record(3, b"record 3").unwrap();
    batch.commit().unwrap();
    // With the WAL not begun anew, the torn frames would now lie behind this commit, and fit.
    assert!(matches!(inspect(&torn.wal()).unwrap(), Wal::Clean(c) if c.commits == 1));
    assert_eq!(seqs(&torn), [0, 1, 2, 3]);
}

#[test]
fn a_clean_stop_leaves_an_empty_wal_and_a_whole_database() {
    let mut log = log();
    log.add(0..50);
    log.store.wal_truncate().unwrap();
    assert_eq!(inspect(&log.dir.wal()).unwrap(), Wal::Empty);
    drop(log.store);
    // The database alone is the log.
    let base = tempfile::tempdir().unwrap();
    fs::copy(log.dir.database(), base.path().join("log.db")).unwrap();
    let copy = LogDir::open_to_read(base.path()).unwrap();
    assert_eq!(seqs(&copy).len(), 50);
    let store = Store::open_writer(&log.dir, &log.lock).unwrap();
    assert_eq!(store.snapshot().unwrap().last_seq().unwrap(), Some(49));
}

#[test]
fn artefacts_are_kept_once_and_counted() {
    let mut log = log();
    let bytes = b"You are a helpful agent. ".repeat(4000);
    let hash = Hash(*blake3::hash(&bytes).as_bytes());
    let size = u64::try_from(bytes.len()).unwrap();
    let packed = Packer::new().unwrap().pack(&bytes).unwrap();
    let mut batch = log.store.batch().unwrap();
    assert_eq!(batch.artefact(&hash, size, &packed).unwrap(), Put::Added);
    assert_eq!(batch.artefact(&hash, size, &packed).unwrap(), Put::Shared);
    batch.commit().unwrap();
    {
        let snapshot = log.store.snapshot().unwrap();
        let artefact = snapshot.artefact(&hash).unwrap().unwrap();
        assert_eq!((artefact.refs, artefact.bytes), (2, bytes));
        assert_eq!(snapshot.artefact(&Hash::ZERO).unwrap(), None);
        let mut seen = Vec::new();
        snapshot
            .artefacts(|hash, refs, size| {
                seen.push((hash, refs, size));
                Ok::<(), Error>(())
            })
            .unwrap();
        assert_eq!(seen, [(hash, 2, size)]);
    }
    let mut batch = log.store.batch().unwrap();
    assert_eq!(batch.artefact_release(&hash).unwrap(), 1);
    assert_eq!(batch.artefact_release(&hash).unwrap(), 0);
    batch.commit().unwrap();
    assert_eq!(log.store.snapshot().unwrap().artefact(&hash).unwrap(), None);
    let mut batch = log.store.batch().unwrap();
    assert_eq!(
        batch.artefact_release(&hash).unwrap_err().kind(),
        ErrorKind::Missing
    );
    drop(batch);
    let mut batch = log.store.batch().unwrap();
    let error = batch.artefact(&hash, (64 << 20) + 1, &packed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unrecordable);
}

#[test]
fn an_artefact_with_other_bytes_is_refused() {
    let mut log = log();
    let mut packer = Packer::new().unwrap();
    let hash = Hash(*blake3::hash(b"right").as_bytes());
    let (right, wrong) = (
        packer.pack(b"right").unwrap(),
        packer.pack(b"wrong").unwrap(),
    );
    let big = packer.pack(&[0; 1 << 20]).unwrap();
    let mut batch = log.store.batch().unwrap();
    batch.artefact(&hash, 5, &right).unwrap();
    batch.commit().unwrap();
    let other = attacker(&log.dir);
    let reader = Reader::open(&log.dir).unwrap();
    for (size, bytes, ok) in [
        (5, &right, true),
        (5, &wrong, false),
        (6, &right, false),
        (4, &right, false),
        (5, &big, false),
        (-1, &right, false),
        (i64::MAX, &right, false),
    ] {
        other
            .execute(
                "UPDATE artefacts SET size = ?1, bytes = ?2",
                rusqlite::params![size, bytes],
            )
            .unwrap();
        let found = reader.snapshot().unwrap().artefact(&hash);
        match ok {
            true => assert_eq!(found.unwrap().unwrap().bytes, b"right"),
            false => assert_eq!(found.unwrap_err().kind(), ErrorKind::Corrupt, "{size}"),
        }
    }
}

#[test]
fn an_erased_text_is_not_in_the_files_any_more() {
    const SECRET: &[u8] = b"the text that a court wants gone";
    let mut log = log();
    let mut batch = log.store.batch().unwrap();
    for seq in 0..20 {
        batch.vault(seq, &[SECRET, &[b'x'; 3000]].concat()).unwrap();
    }
    batch.commit().unwrap();
    let mut batch = log.store.batch().unwrap();
    for seq in 0..10 {
        batch.vault_replace(seq, b"the rest").unwrap();
    }
    for seq in 10..20 {
        batch.vault_remove(seq).unwrap();
    }
    batch.commit().unwrap();
    assert_eq!(
        log.store.snapshot().unwrap().vault(3).unwrap().unwrap(),
        b"the rest"
    );
    log.store.wal_truncate().unwrap();
    let holds = |path: &Path| {
        fs::read(path)
            .unwrap()
            .windows(SECRET.len())
            .any(|w| w == SECRET)
    };
    drop(log.store);
    assert!(!holds(&log.dir.database()));
    assert!(!holds(&log.dir.wal()));
}

#[test]
fn rows_that_nobody_asked_for_are_found() {
    let mut log = log();
    log.add(0..2);
    let other = attacker(&log.dir);
    other
        .execute_batch(
            "INSERT INTO vault VALUES (7, x'00'); INSERT INTO records VALUES (-1, x'00')",
        )
        .unwrap();
    let reader = Reader::open(&log.dir).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let mut surplus = Vec::new();
    snapshot
        .vault_seqs(|seq| {
            surplus.push(seq);
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(surplus, [7]);
    assert_eq!(snapshot.counts().unwrap().records, 3);
    assert_eq!(snapshot.last_seq().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(snapshot.span().unwrap(), Some((-1, 1)));
    let mut walked = 0;
    snapshot
        .records(0..2, |_, _| {
            walked += 1;
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(walked, 2);
}

#[test]
fn other_tables_are_refused() {
    for (change, kind) in [
        ("CREATE VIEW v AS SELECT 1", ErrorKind::Corrupt),
        (
            "CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM vault; END",
            ErrorKind::Corrupt,
        ),
        ("CREATE INDEX i ON records (bytes)", ErrorKind::Corrupt),
        ("CREATE TABLE more (a)", ErrorKind::Corrupt),
        ("DROP TABLE refs", ErrorKind::Corrupt),
        ("ALTER TABLE vault ADD COLUMN more BLOB", ErrorKind::Corrupt),
        ("ALTER TABLE vault RENAME TO safe", ErrorKind::Corrupt),
        ("ANALYZE", ErrorKind::Corrupt),
        (
            "DROP TABLE refs; CREATE TABLE refs (key BLOB PRIMARY KEY NOT NULL, seq INTEGER NOT NULL) STRICT",
            ErrorKind::Corrupt,
        ),
        ("PRAGMA application_id = 7", ErrorKind::Corrupt),
        ("PRAGMA user_version = 0", ErrorKind::Corrupt),
        ("PRAGMA user_version = 2", ErrorKind::NewerVersion),
        (
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'row BLOB', 'row  BLOB') WHERE name = 'vault'",
            ErrorKind::Corrupt,
        ),
    ] {
        let mut log = log();
        log.add(0..1);
        let before = Reader::open(&log.dir).unwrap();
        drop(log.store);
        let other = attacker(&log.dir);
        other.execute_batch(change).unwrap();
        drop(other);
        let error = Reader::open(&log.dir).unwrap_err();
        assert_eq!(error.kind(), kind, "{change}: {error}");
        let error = Store::open_writer(&log.dir, &log.lock).unwrap_err();
        assert_eq!(error.kind(), kind, "{change}: {error}");
        // A reader that was there before looks again with each snapshot.
        assert_eq!(before.snapshot().unwrap_err().kind(), kind, "{change}");
    }
}

#[test]
fn what_is_no_log_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let dir = LogDir::create(&base.path().join("log")).unwrap();
    let lock = dir.lock().unwrap();
    for open in [
        Reader::open(&dir).unwrap_err(),
        Store::open_writer(&dir, &lock).unwrap_err(),
    ] {
        assert_eq!(open.kind(), ErrorKind::Missing);
    }
    assert!(!dir.database().exists());
    for bytes in [&b""[..], &[b'x'; 5000]] {
        fs::write(dir.database(), bytes).unwrap();
        assert_eq!(Reader::open(&dir).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(
            Store::open_writer(&dir, &lock).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }
    // Another program's database, in WAL mode and not.
    fs::remove_file(dir.database()).unwrap();
    let other = attacker(&dir);
    other.execute_batch("CREATE TABLE t (a)").unwrap();
    assert_eq!(Reader::open(&dir).unwrap_err().kind(), ErrorKind::Corrupt);
    other
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE u (a)")
        .unwrap();
    assert_eq!(Reader::open(&dir).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_log_that_left_wal_mode_is_not_written() {
    let log = log();
    drop(log.store);
    let other = attacker(&log.dir);
    other.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    drop(other);
    let error = Store::open_writer(&log.dir, &log.lock).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn a_huge_value_is_refused_before_it_is_read() {
    let mut log = log();
    log.add(0..1);
    let other = attacker(&log.dir);
    other
        .execute_batch("UPDATE records SET bytes = zeroblob(70000000)")
        .unwrap();
    let reader = Reader::open(&log.dir).unwrap();
    assert!(reader.snapshot().unwrap().record(0).is_err());
}
