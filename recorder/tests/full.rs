//! A full disk fails a batch before its COMMIT, and the reserve lets the last records in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may fail loudly"
)]

use std::path::PathBuf;

use tacho_recorder::{ErrorKind, LogDir, Store};

/// `mount -t tmpfs -o size=24m none DIR`, then `TACHO_SMALL_FS=DIR cargo test -p tacho-recorder --test full -- --ignored`.
#[test]
#[ignore = "needs a file system of some 24 MB in TACHO_SMALL_FS"]
fn a_full_disk_fails_the_batch_and_not_the_writer() {
    let small = PathBuf::from(std::env::var_os("TACHO_SMALL_FS").unwrap());
    let base = tempfile::tempdir_in(small).unwrap();
    let dir = LogDir::create(&base.path().join("log")).unwrap();
    let lock = dir.lock().unwrap();
    dir.restore_reserve().unwrap();
    let mut store = Store::create(&dir, &lock).unwrap();
    let mut seq = 0;
    let mut write = |store: &mut Store| {
        let mut batch = store.batch()?;
        batch.record(seq, &[7; 60_000])?;
        batch.commit()?;
        seq += 1;
        Ok::<_, tacho_recorder::Error>(seq)
    };
    let error = loop {
        match write(&mut store) {
            Ok(seq) => assert!(seq < 1000, "the disk is not small"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(error.hint().unwrap().contains("free some space"));
    assert!(!store.is_poisoned());
    assert_eq!(write(&mut store).unwrap_err().kind(), ErrorKind::Full);
    dir.release_reserve().unwrap();
    let written = write(&mut store).unwrap();
    assert_eq!(dir.restore_reserve().unwrap_err().kind(), ErrorKind::Full);
    assert!(!dir.reserve().exists());
    let last = store.snapshot().unwrap().last_seq().unwrap();
    assert_eq!(last, Some(written - 1));
}
