//! Disks that are full or closed, a second writer, clocks that jump, and copies made while the recorder runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tacho_recorder::ErrorKind;
use tacho_recorder::clock::TestClock;
use tacho_schemas::event::Attachment;
use tacho_schemas::record::Role;

use super::*;

/// A small file system in memory; gone when dropped.
struct Small(tempfile::TempDir);

impl Small {
    /// Nothing where this user may not mount.
    fn mount(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={megabytes}m,mode=700"),
                "none",
            ])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            println!("SKIPPED: this user may not mount a file system");
        }
        mounted.then(|| Self(dir))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("log")
    }

    fn remount(&self, how: &str) {
        // A process that another test starts holds our open files for a moment, and the file system with them.
        for _ in 0..200 {
            let done = Command::new("mount")
                .args(["-o", &format!("remount,{how}")])
                .arg(self.0.path())
                .stderr(Stdio::null())
                .status();
            if done.unwrap().success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("cannot remount");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status();
    }
}

fn with_file(text: &str, length: usize) -> Event {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).unwrap();
    let mut event = message(text);
    event.artefacts.push(Attachment {
        role: Role::Evidence,
        path: None,
        media_type: None,
        unredacted_blake3: None,
        bytes,
    });
    event
}

#[test]
fn a_full_disk_stops_appends_and_not_the_log() {
    let Some(small) = Small::mount(48) else {
        return;
    };
    let log = create(&small.path(), options()).unwrap();
    assert_eq!(log.opening().no_reserve, None);
    let ballast = small.0.path().join("ballast");
    fs::write(&ballast, vec![1; 20 << 20]).unwrap();
    let mut receipts = Vec::new();
    let error = loop {
        match log.append(with_file("0 0 0", 50_000), Way::api(0)) {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => break error,
        }
        assert!(receipts.len() < 2000, "the disk is not small");
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(
        error.hint().unwrap().contains("free some space"),
        "{error:?}"
    );
    assert!(receipts.len() > 10, "{}: {error}", receipts.len());
    // Again, so that it is not the first time only.
    let again = log.append(with_file("0 0 0", 50_000), Way::api(0));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Full);
    // What must fit fits: the reserve was kept for it.
    let seal = log.seal(SealReason::Mutation).unwrap();
    receipts.push(seal);
    let report = look(&small.path(), &receipts);
    assert!(report.is_good(), "{report:#?}");

    // With space again the same writer goes on.
    fs::remove_file(&ballast).unwrap();
    receipts.push(log.append(message("0 0 1"), Way::api(0)).unwrap());
    log.close().unwrap();
    let report = look(&small.path(), &receipts);
    assert!(report.is_good() && report.sealed, "{report:#?}");
    let log = Log::open(&small.path(), options()).unwrap();
    assert_eq!(log.opening().no_reserve, None);
    assert!(!log.opening().unclean);
}

#[test]
fn on_a_full_disk_a_log_still_stops_and_starts() {
    let Some(small) = Small::mount(40) else {
        return;
    };
    let log = create(&small.path(), options()).unwrap();
    let ballast = small.0.path().join("ballast");
    fs::write(&ballast, vec![1; 16 << 20]).unwrap();
    while log.append(with_file("0 0 0", 50_000), Way::api(0)).is_ok() {}
    log.close().unwrap();
    let report = look(&small.path(), &[]);
    assert!(report.is_good() && report.sealed, "{report:#?}");
    match Log::open(&small.path(), options()) {
        Ok(log) => log.close().unwrap(),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{error}"),
    }
    fs::remove_file(&ballast).unwrap();
    let log = Log::open(&small.path(), options()).unwrap();
    log.append(message("0 0 0"), Way::api(0)).unwrap();
    log.close().unwrap();
    let report = look(&small.path(), &[]);
    assert!(report.is_good(), "{report:#?}");
}

#[test]
fn a_disk_that_may_not_be_written_is_read_and_not_started_on() {
    let Some(small) = Small::mount(24) else {
        return;
    };
    let log = create(&small.path(), options()).unwrap();
    log.append(message("0 0 0"), Way::api(0)).unwrap();
    log.close().unwrap();
    small.remount("ro");
    let error = Log::open(&small.path(), options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let report = look(&small.path(), &[]);
    assert!(report.is_good(), "{report:#?}");
    small.remount("rw");
}

#[test]
fn a_folder_of_keys_that_vanishes_fails_the_seal_only() {
    let Some(small) = Small::mount(24) else {
        return;
    };
    let log = create(&small.path(), options()).unwrap();
    let receipt = log.append(message("0 0 0"), Way::api(0)).unwrap();
    fs::rename(small.path().join("keys"), small.path().join("gone")).unwrap();
    let error = log.seal(SealReason::Asked).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
    fs::rename(small.path().join("gone"), small.path().join("keys")).unwrap();
    log.append(message("0 0 1"), Way::api(0)).unwrap();
    log.close().unwrap();
    assert!(look(&small.path(), &[receipt]).is_good());
}

#[test]
fn a_second_writer_is_refused_by_name() {
    let base = scratch();
    let path = base.path().join("log");
    let log = create(&path, options()).unwrap();
    let error = Log::open(&path, options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    let due = format!(
        "another writer (pid {}) owns the log in",
        std::process::id()
    );
    assert!(error.to_string().starts_with(&due), "{error}");
    assert!(error.hint().is_some());
    let error = Log::break_epoch(&path, &identity(), &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    log.append(message("0 0 0"), Way::api(0)).unwrap();
    log.close().unwrap();
    Log::open(&path, options()).unwrap();
}

#[test]
fn clocks_that_jump_show_and_break_nothing() {
    const START: i64 = 1_767_225_600_000_000_000;
    let base = scratch();
    let path = base.path().join("log");
    let clock = Arc::new(TestClock::new(START, 5_000_000_000));
    let with = |clock: &Arc<TestClock>| {
        let mut options = options();
        options.clock = Arc::clone(clock) as Arc<_>;
        options
    };
    let log = create(&path, with(&clock)).unwrap();
    log.append(message("0 0 0"), Way::api(0)).unwrap();
    for wall in [
        START - 86_400_000_000_000,
        START + 86_400_000_000_000,
        START,
    ] {
        clock.set_wall_ns(wall);
        log.append(message("0 0 0"), Way::api(0)).unwrap();
        clock.advance_ns(1_000_000);
    }
    log.close().unwrap();
    let report = look(&path, &[]);
    assert!(report.is_good(), "{report:#?}");
    assert_eq!(
        (report.clocks.jumps, report.clocks.first_jump),
        (3, Some(Seq(3)))
    );

    // Another boot: the boot clock begins anew, and that is no jump.
    let clock = Arc::new(TestClock::in_boot(START + 60_000_000_000, 1, [2; 16]));
    let log = Log::open(&path, with(&clock)).unwrap();
    log.append(message("0 0 0"), Way::api(0)).unwrap();
    log.close().unwrap();
    let report = look(&path, &[]);
    assert!(report.is_good(), "{report:#?}");
    assert_eq!(report.clocks.jumps, 3);
}

/// Tells a thread to end, also where an assertion fails before it is told.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_copy_of_a_running_log_is_whole_or_says_that_it_is_not() {
    let logs = if std::env::var_os("TACHO_ALL").is_some() {
        25
    } else {
        1
    };
    let (mut whole, mut not) = (0, 0);
    for log in 0..logs {
        // With few seals and checkpoints of its own, a copy could hide more; with many, they could be of different moments.
        let found = copies_of_a_running_log(if log % 2 == 0 { 10_000 } else { 200 });
        assert!(found.0 >= 3);
        whole += found.0;
        not += found.1;
    }
    println!("{whole} copies whole, {not} not");
}

/// Copies a log twelve times while it is written; how many copies are whole, and how many say that they are not.
fn copies_of_a_running_log(epoch_records: u64) -> (u32, u32) {
    let base = scratch();
    let path = base.path().join("log");
    let mut options = options();
    options.epoch_records = epoch_records;
    options.checkpoint_every = Duration::from_secs(3600);
    let log = create(&path, options).unwrap();
    let (acknowledged, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (mut whole, mut not) = (0, 0);
    let fast = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // At first so slowly that no WAL begins anew while a copy is made.
                let event = match fast.load(Ordering::Relaxed) {
                    true => {
                        std::thread::sleep(Duration::from_millis(2));
                        with_file("0 0 0", 30_000)
                    }
                    false => {
                        std::thread::sleep(Duration::from_millis(20));
                        message("0 0 0")
                    }
                };
                let receipt = log.append(event, Way::api(0)).unwrap();
                acknowledged.store(receipt.seq.next().0, Ordering::SeqCst);
            }
        });
        for n in 0..12 {
            let copy = base.path().join("copy");
            fs::create_dir(&copy).unwrap();
            fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o700))
                .unwrap();
            // Nor for ever: each copy is looked at whole.
            fast.store(
                n >= 3 && acknowledged.load(Ordering::SeqCst) < 1500,
                Ordering::Relaxed,
            );
            let before = acknowledged.load(Ordering::SeqCst);
            let order = match n % 3 {
                0 => ["log.db", "log.db-wal", "checkpoints"],
                1 => ["log.db-wal", "log.db", "checkpoints"],
                _ => ["checkpoints", "log.db", "log.db-wal"],
            };
            for file in order {
                // By another process: closing the database in this one would drop SQLite's locks.
                let done = Command::new("cp")
                    .arg("-p")
                    .arg(path.join(file))
                    .arg(&copy)
                    .status();
                assert!(done.unwrap().success());
                if n % 2 == 1 {
                    std::thread::sleep(Duration::from_millis(60));
                }
            }
            let report = look(&copy, &[]);
            if report.is_good() {
                whole += 1;
                assert!(
                    report.size >= before,
                    "{} of {before} and `good`, {order:?}",
                    report.size
                );
            } else {
                not += 1;
                assert!(report.integrity.count > 0, "{report:#?}");
            }
            fs::remove_dir_all(&copy).unwrap();
        }
    });
    log.close().unwrap();
    assert!(look(&path, &[]).is_good());
    (whole, not)
}
