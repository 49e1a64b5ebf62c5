//! What only shows from the inside: failing commits, and reading without locks.

use std::path::Path;

use super::*;

fn new_log(base: &Path) -> (LogDir, Lock, Store) {
    let dir = LogDir::create(base).unwrap();
    let lock = dir.lock().unwrap();
    let store = Store::create(&dir, &lock).unwrap();
    (dir, lock, store)
}

#[test]
fn a_failing_commit_poisons() {
    let base = tempfile::tempdir().unwrap();
    let (_dir, _lock, mut store) = new_log(&base.path().join("log"));
    let mut batch = store.batch().unwrap();
    batch.record(0, b"a").unwrap();
    batch.end_behind_its_back();
    assert_eq!(batch.commit().unwrap_err().kind(), ErrorKind::Poisoned);
    assert!(store.is_poisoned());
    assert_eq!(store.batch().unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(store.snapshot().unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(
        store.wal_truncate().unwrap_err().kind(),
        ErrorKind::Poisoned
    );
}

#[test]
fn a_database_that_nobody_changes_is_read_without_other_files() {
    let base = tempfile::tempdir().unwrap();
    let (dir, lock, mut store) = new_log(&base.path().join("a %41 ?b=c #d é"));
    let mut batch = store.batch().unwrap();
    batch.record(0, b"a").unwrap();
    batch.commit().unwrap();
    store.wal_truncate().unwrap();
    drop(store);
    std::fs::remove_file(dir.wal()).unwrap();
    std::fs::remove_file(dir.shm()).unwrap();
    drop(lock);
    let reader = Reader::open_still(&dir).unwrap();
    let record = reader.snapshot().unwrap().record(0).unwrap();
    assert_eq!(record.as_deref(), Some(&b"a"[..]));
    assert!(!dir.wal().exists() && !dir.shm().exists());

    // A writer that comes later is noticed while it is there and after it has gone.
    let lock = dir.lock().unwrap();
    assert_eq!(reader.snapshot().unwrap_err().kind(), ErrorKind::Busy);
    let mut store = Store::open_writer(&dir, &lock).unwrap();
    let mut batch = store.batch().unwrap();
    batch.record(1, b"b").unwrap();
    batch.commit().unwrap();
    store.wal_truncate().unwrap();
    drop((store, lock));
    assert_eq!(reader.snapshot().unwrap_err().kind(), ErrorKind::Busy);
    let again = Reader::open_still(&dir).unwrap();
    assert_eq!(again.snapshot().unwrap().last_seq().unwrap(), Some(1));
}

#[test]
fn space_is_taken_in_steps_and_not_seen() {
    use std::os::unix::fs::MetadataExt;
    let base = tempfile::tempdir().unwrap();
    let (dir, _lock, mut store) = new_log(&base.path().join("log"));
    let mut batch = store.batch().unwrap();
    batch.record(0, &[7; 60_000]).unwrap();
    batch.commit().unwrap();
    assert_eq!(store.wal_held, WAL_STEP);
    let wal = std::fs::metadata(dir.wal()).unwrap();
    assert!(wal.len() < 200_000, "{}", wal.len());
    assert!(wal.blocks() * 512 >= WAL_STEP);
    for seq in 1..100 {
        let mut batch = store.batch().unwrap();
        batch.record(seq, &[7; 60_000]).unwrap();
        batch.commit().unwrap();
    }
    assert!(store.wal_bytes().unwrap() <= store.wal_held);
    store.wal_truncate().unwrap();
    assert_eq!((store.wal_bytes().unwrap(), store.wal_held), (0, 0));
}

#[test]
fn tiles_have_numbers_of_their_own() {
    assert_eq!(TileId::new(0, 0).unwrap().0, 0);
    assert_eq!(TileId::new(2, 5).unwrap().0, (2 << 48) + 5);
    assert!(TileId::new(255, (1 << 48) - 1).unwrap().0 > 0);
    assert_eq!(
        TileId::new(0, 1 << 48).unwrap_err().kind(),
        ErrorKind::Usage
    );
}

#[test]
fn a_log_keeps_the_pages_that_it_was_made_with() {
    let base = tempfile::tempdir().unwrap();
    let (dir, lock, mut store) = new_log(&base.path().join("log"));
    let mut batch = store.batch().unwrap();
    batch.record(0, b"a").unwrap();
    batch.commit().unwrap();
    store.wal_truncate().unwrap();
    drop(store);
    let paged = |size: u32| {
        let conn = Connection::open(dir.database()).unwrap();
        conn.execute_batch(&format!(
            "PRAGMA journal_mode = DELETE; PRAGMA page_size = {size}; VACUUM; PRAGMA journal_mode = WAL;"
        ))
        .unwrap();
        let found: u32 = conn
            .query_row("PRAGMA page_size", [], |row| row.get(0))
            .unwrap();
        assert_eq!(found, size);
    };
    for size in [2048, 32_768] {
        paged(size);
        let refused = Store::open_writer(&dir, &lock).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
        assert_eq!(Reader::open(&dir).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    for (size, next) in [(16_384, 1), (8192, 2), (4096, 3)] {
        paged(size);
        let mut store = Store::open_writer(&dir, &lock).unwrap();
        assert_eq!(store.page_size, u64::from(size));
        let mut batch = store.batch().unwrap();
        batch.record(next, b"b").unwrap();
        batch.commit().unwrap();
        store.wal_truncate().unwrap();
        drop(store);
        let reader = Reader::open(&dir).unwrap();
        assert_eq!(reader.snapshot().unwrap().last_seq().unwrap(), Some(next));
    }
}
