//! A log directory lets in one writer, and nothing that could lead elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use tacho_recorder::dir::RESERVE_BYTES;
use tacho_recorder::{ErrorKind, LogDir, Reader, Store};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn create_makes_a_private_directory_and_refuses_a_second_time() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("log");
    let dir = LogDir::create(&path).unwrap();
    for made in [dir.path().to_owned(), dir.keys(), dir.policy()] {
        assert_eq!(fs::metadata(made).unwrap().mode() & 0o7777, 0o700);
    }
    assert_eq!(LogDir::open(&path).unwrap(), dir);
    let error = LogDir::create(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(error.to_string().ends_with("is not empty"), "{error}");
}

#[test]
fn create_takes_an_empty_private_directory_only() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("log");
    fs::create_dir(&path).unwrap();
    chmod(&path, 0o755);
    assert_eq!(LogDir::create(&path).unwrap_err().kind(), ErrorKind::Denied);
    chmod(&path, 0o700);
    LogDir::create(&path).unwrap();

    let link = base.path().join("link");
    fs::create_dir(base.path().join("other")).unwrap();
    symlink(base.path().join("other"), &link).unwrap();
    assert_eq!(LogDir::create(&link).unwrap_err().kind(), ErrorKind::Denied);
    let nowhere = base.path().join("no").join("such");
    assert_eq!(
        LogDir::create(&nowhere).unwrap_err().kind(),
        ErrorKind::Missing
    );
}

#[test]
fn open_refuses_what_is_not_a_private_directory() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("log");
    assert_eq!(LogDir::open(&path).unwrap_err().kind(), ErrorKind::Missing);
    fs::write(&path, b"").unwrap();
    assert_eq!(LogDir::open(&path).unwrap_err().kind(), ErrorKind::Denied);
    fs::remove_file(&path).unwrap();

    let dir = LogDir::create(&path).unwrap();
    for (what, mode) in [
        (path.clone(), 0o750),
        (path.clone(), 0o701),
        (dir.keys(), 0o750),
    ] {
        chmod(&what, mode);
        let error = LogDir::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.hint().unwrap().contains("chmod 700"));
        // A reader of a copy does not mind.
        LogDir::open_to_read(&path).unwrap();
        chmod(&what, 0o700);
    }

    let link = base.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(LogDir::open(&link).unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(
        LogDir::open(&link.join(".")).unwrap_err().kind(),
        ErrorKind::Denied
    );
    assert_eq!(
        LogDir::open_to_read(&link).unwrap_err().kind(),
        ErrorKind::Denied
    );
}

#[test]
fn open_refuses_each_of_our_files_as_a_symlink() {
    let base = tempfile::tempdir().unwrap();
    let dir = LogDir::create(&base.path().join("log")).unwrap();
    fs::create_dir(base.path().join("elsewhere")).unwrap();
    for path in [
        dir.database(),
        dir.wal(),
        dir.shm(),
        dir.index(),
        dir.checkpoints(),
        dir.keys(),
        dir.policy(),
        dir.settings(),
        dir.lock_file(),
        dir.reserve(),
    ] {
        let aside = base.path().join("aside");
        let was_there = fs::rename(&path, &aside).is_ok();
        // One that leads somewhere, and one that leads nowhere.
        for target in ["elsewhere", "nowhere"] {
            symlink(base.path().join(target), &path).unwrap();
            let error = LogDir::open_to_read(dir.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{path:?}");
            assert!(error.to_string().ends_with("is a symlink"), "{error}");
            fs::remove_file(&path).unwrap();
        }
        if was_there {
            fs::rename(&aside, &path).unwrap();
        }
    }
    LogDir::open(dir.path()).unwrap();
}

#[test]
fn a_reader_refuses_a_symlink_that_came_after_the_directory_was_opened() {
    let base = tempfile::tempdir().unwrap();
    let dir = LogDir::create(&base.path().join("log")).unwrap();
    drop(Store::create(&dir, &dir.lock().unwrap()).unwrap());
    fs::write(base.path().join("elsewhere"), "").unwrap();
    Reader::open(&dir).unwrap();
    for path in [dir.database(), dir.wal(), dir.shm()] {
        let aside = base.path().join("aside");
        let was_there = fs::rename(&path, &aside).is_ok();
        symlink(base.path().join("elsewhere"), &path).unwrap();
        let error = Reader::open(&dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{path:?}");
        assert!(error.to_string().ends_with("is a symlink"), "{error}");
        fs::remove_file(&path).unwrap();
        if was_there {
            fs::rename(&aside, &path).unwrap();
        }
    }
    Reader::open(&dir).unwrap();
}

#[test]
fn a_second_writer_is_told_who_is_first() {
    let base = tempfile::tempdir().unwrap();
    let dir = LogDir::create(&base.path().join("log")).unwrap();
    assert_eq!(dir.writer().unwrap(), None);
    let lock = dir.lock().unwrap();
    let pid = std::process::id();
    assert_eq!(dir.writer().unwrap().unwrap().pid, Some(pid));
    let error = dir.lock().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(
        error
            .to_string()
            .starts_with(&format!("another writer (pid {pid}) owns the log")),
        "{error}"
    );
    drop(lock);
    assert_eq!(dir.writer().unwrap(), None);
    drop(dir.lock().unwrap());
    // The words in the file are not the lock.
    fs::write(dir.lock_file(), "1\n").unwrap();
    assert_eq!(dir.writer().unwrap(), None);
    fs::write(dir.lock_file(), [0xff; 100]).unwrap();
    drop(dir.lock().unwrap());
}

#[test]
fn looking_does_not_keep_a_writer_out() {
    let base = tempfile::tempdir().unwrap();
    let dir = LogDir::create(&base.path().join("log")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    dir.writer().unwrap();
                    std::thread::yield_now();
                }
            });
        }
        for _ in 0..20 {
            drop(dir.lock().unwrap());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn the_reserve_takes_space_and_gives_it_back() {
    let base = tempfile::tempdir().unwrap();
    let dir = LogDir::create(&base.path().join("log")).unwrap();
    dir.release_reserve().unwrap();
    dir.restore_reserve().unwrap();
    dir.restore_reserve().unwrap();
    let meta = fs::metadata(dir.reserve()).unwrap();
    assert_eq!(meta.len(), RESERVE_BYTES);
    assert!(
        meta.blocks() * 512 >= RESERVE_BYTES,
        "space is held, not promised"
    );
    assert_eq!(meta.mode() & 0o777, 0o600);
    dir.release_reserve().unwrap();
    assert!(!dir.reserve().exists());
}
