//! The off switch's files: who is killed, whatever was done to them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tacho_recorder::switch::lease::Freshness;
use tacho_recorder::switch::{Engaged, Found, Stop, Switch, Target, Who};
use tacho_schemas::body::Part;
use tacho_schemas::{Id, Origin, Seq};

fn origin(byte: u8) -> Origin {
    Origin::from_parts("tacho.invalid", [byte; 16]).unwrap()
}

fn made(dir: &Path) -> Switch {
    let switch = Switch::of(&dir.join("log"), origin(7));
    switch.create().unwrap();
    switch
}

fn whoever(switch: &Switch) -> Engaged {
    switch.engaged(Who::default())
}

fn found(switch: &Switch) -> Option<Found> {
    match whoever(switch) {
        Engaged::No { .. } => None,
        Engaged::Yes(Stop { target, found }) => {
            assert_eq!(target, Target::All);
            Some(found)
        }
    }
}

/// Something done to the directory.
type Deed = fn(&Path);

#[test]
fn whatever_is_done_to_the_files_stops_everybody_or_nobody_and_never_waits() {
    let deeds: &[(&str, Deed, Option<Found>)] = &[
        ("nothing", |_| {}, None),
        (
            "armed removed",
            |d| fs::remove_file(d.join("armed")).unwrap(),
            Some(Found::Absent),
        ),
        (
            "all removed",
            |d| fs::remove_dir_all(d).unwrap(),
            Some(Found::Absent),
        ),
        (
            "KILL made",
            |d| fs::write(d.join("KILL"), "").unwrap(),
            Some(Found::Flag),
        ),
        (
            "KILL is a directory",
            |d| fs::create_dir(d.join("KILL")).unwrap(),
            Some(Found::Flag),
        ),
        (
            "KILL is a dangling symlink",
            |d| symlink("nowhere", d.join("KILL")).unwrap(),
            Some(Found::Flag),
        ),
        (
            "armed empty",
            |d| fs::write(d.join("armed"), "").unwrap(),
            Some(Found::Foreign),
        ),
        (
            "armed long",
            |d| fs::write(d.join("armed"), vec![b'a'; 1 << 20]).unwrap(),
            Some(Found::Foreign),
        ),
        (
            "armed not text",
            |d| fs::write(d.join("armed"), [0xff; 8]).unwrap(),
            Some(Found::Unreadable),
        ),
        (
            "armed of another log",
            |d| {
                let text = fs::read_to_string(d.join("armed")).unwrap();
                fs::write(d.join("armed"), text.replace("0707", "0808")).unwrap();
            },
            Some(Found::Foreign),
        ),
        (
            "armed with a second epoch",
            |d| {
                let text = fs::read_to_string(d.join("armed")).unwrap();
                fs::write(d.join("armed"), format!("{text}1\n")).unwrap();
            },
            Some(Found::Foreign),
        ),
        (
            "armed spelt otherwise",
            |d| {
                let text = fs::read_to_string(d.join("armed")).unwrap();
                fs::write(d.join("armed"), text.replace("\n0\n", "\n00\n")).unwrap();
            },
            Some(Found::Foreign),
        ),
        (
            "armed writable by others",
            |d| {
                fs::set_permissions(d.join("armed"), fs::Permissions::from_mode(0o666)).unwrap();
            },
            Some(Found::Foreign),
        ),
        (
            "directory writable by others",
            |d| {
                fs::set_permissions(d, fs::Permissions::from_mode(0o777)).unwrap();
            },
            Some(Found::Foreign),
        ),
        (
            "armed is a symlink to a good one",
            |d| {
                fs::rename(d.join("armed"), d.join("../elsewhere")).unwrap();
                symlink("../elsewhere", d.join("armed")).unwrap();
            },
            Some(Found::Foreign),
        ),
        (
            "directory is a symlink to a good one",
            |d| {
                let real = d.with_file_name("real");
                fs::rename(d, &real).unwrap();
                symlink(&real, d).unwrap();
            },
            Some(Found::Foreign),
        ),
        (
            "armed is a FIFO",
            |d| {
                fs::remove_file(d.join("armed")).unwrap();
                assert!(
                    Command::new("mkfifo")
                        .arg(d.join("armed"))
                        .status()
                        .unwrap()
                        .success()
                );
                fs::set_permissions(d.join("armed"), fs::Permissions::from_mode(0o644)).unwrap();
            },
            Some(Found::Foreign),
        ),
        (
            "armed is a directory",
            |d| {
                fs::remove_file(d.join("armed")).unwrap();
                fs::create_dir(d.join("armed")).unwrap();
            },
            Some(Found::Foreign),
        ),
        (
            "directory is a file",
            |d| {
                fs::remove_dir_all(d).unwrap();
                fs::write(d, "").unwrap();
            },
            Some(Found::Foreign),
        ),
    ];
    for (what, deed, expected) in deeds {
        let dir = tempfile::tempdir().unwrap();
        let switch = made(dir.path());
        assert_eq!(whoever(&switch), Engaged::No { epoch: 0 });
        deed(switch.dir());
        assert_eq!(found(&switch), *expected, "{what}");
        // Engaging works on whatever is there, and afterwards everybody is stopped.
        let _ = switch.engage(&Target::All);
        assert!(found(&switch).is_some(), "{what}");
    }
}

#[test]
fn a_scope_stops_those_it_names_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let switch = made(dir.path());
    let (a, b) = (Id::new("a/../b").unwrap(), Id::new("b").unwrap());
    for target in [
        Target::Agent(a.clone()),
        Target::Session(Seq(4)),
        Target::Lineage(Seq(5)),
        Target::Part(Part::Ci),
    ] {
        assert_eq!(switch.engage(&target).unwrap(), target);
    }
    let cases = [
        (
            Who {
                agent: Some(&a),
                ..Who::default()
            },
            true,
        ),
        (
            Who {
                agent: Some(&b),
                ..Who::default()
            },
            false,
        ),
        (
            Who {
                sessions: &[Seq(9), Seq(4)],
                ..Who::default()
            },
            true,
        ),
        (
            Who {
                sessions: &[Seq(5)],
                ..Who::default()
            },
            false,
        ),
        (
            Who {
                lineages: &[Seq(5)],
                ..Who::default()
            },
            true,
        ),
        (
            Who {
                lineages: &[Seq(4)],
                ..Who::default()
            },
            false,
        ),
        (
            Who {
                parts: &[Part::Tests, Part::Ci],
                ..Who::default()
            },
            true,
        ),
        (
            Who {
                parts: &[Part::Tests],
                ..Who::default()
            },
            false,
        ),
        (Who::default(), false),
    ];
    for (who, stops) in cases {
        assert_eq!(switch.engaged(who).is_yes(), stops, "{who:?}");
    }
    let state = switch.state().unwrap();
    assert_eq!(state.killed.len(), 4);
    assert_eq!(state.spares, 12);
    assert!(state.strange.is_empty(), "{state:?}");
    switch.release(&Target::Agent(a.clone()), 0).unwrap();
    assert!(
        !switch
            .engaged(Who {
                agent: Some(&a),
                ..Who::default()
            })
            .is_yes()
    );
    assert_eq!(switch.state().unwrap().spares, 16);
}

#[test]
fn when_no_spare_is_left_new_files_serve() {
    let dir = tempfile::tempdir().unwrap();
    let switch = made(dir.path());
    for seq in 0..20 {
        let target = Target::Session(Seq(seq));
        assert_eq!(switch.engage(&target).unwrap(), target);
        assert!(switch.engaged_for(&target).is_yes());
    }
    assert_eq!(switch.state().unwrap().killed.len(), 20);
}

#[test]
fn a_release_arms_with_a_new_epoch_and_an_old_copy_does_not_come_back_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let switch = made(dir.path());
    let old = fs::read(switch.dir().join("armed")).unwrap();
    switch.engage(&Target::All).unwrap();
    switch.engage(&Target::All).unwrap();
    assert_eq!(found(&switch), Some(Found::Flag));
    // Putting `armed` back while KILL stands frees nobody.
    fs::write(switch.dir().join("armed"), &old).unwrap();
    assert_eq!(found(&switch), Some(Found::Flag));
    switch.release(&Target::All, 41).unwrap();
    assert_eq!(whoever(&switch), Engaged::No { epoch: 41 });
    // Who remembers the epoch sees that it is not the same arming.
    fs::write(switch.dir().join("armed"), &old).unwrap();
    assert_eq!(whoever(&switch), Engaged::No { epoch: 0 });
}

#[test]
fn a_switch_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let switch = made(dir.path());
    assert!(switch.create().is_err());
    switch.engage(&Target::All).unwrap();
    assert!(switch.create().is_err(), "making it again would release it");
    let other = Switch::at(switch.dir().to_owned(), origin(8));
    assert!(found(&other).is_some());
}

#[test]
fn it_engages_on_a_disk_without_space_and_without_inodes() {
    // A file system of our own needs mount rights: a user namespace gives them, where it is to be had.
    let exe = std::env::current_exe().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=256k,nr_inodes=40,mode=755 none /mnt && cd /mnt && TACHO_FULL=/mnt {} --exact full_disk_inner --ignored --nocapture",
        exe.display()
    );
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .output();
    let Ok(ran) = ran else {
        eprintln!("skipped: no unshare(1)");
        return;
    };
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let erred = String::from_utf8_lossy(&ran.stderr).into_owned();
    if !ran.status.success() && (erred.contains("unshare") || erred.contains("mount")) {
        eprintln!("skipped: no user namespace here: {erred}");
        return;
    }
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{said}{erred}"
    );
}

#[test]
#[ignore = "runs inside the test above, on a file system that it may fill"]
fn full_disk_inner() {
    let place = std::path::PathBuf::from(std::env::var_os("TACHO_FULL").unwrap());
    let switch = made(&place);
    // Take every block and every inode.
    let mut number = 0;
    while fs::write(place.join(format!("filler{number}")), vec![1; 64 << 10]).is_ok() {
        number += 1;
    }
    while fs::write(place.join(format!("inode{number}")), "").is_ok() {
        number += 1;
    }
    let error = fs::write(place.join("one-more"), "x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let session = Target::Session(Seq(3));
    assert_eq!(switch.engage(&session).unwrap(), session);
    assert!(switch.engaged_for(&session).is_yes());
    assert!(!whoever(&switch).is_yes());
    assert_eq!(switch.engage(&Target::All).unwrap(), Target::All);
    assert!(whoever(&switch).is_yes());
}

#[test]
fn a_lease_is_fresh_only_in_its_time_its_boot_and_its_log_and_by_a_clock() {
    let dir = tempfile::tempdir().unwrap();
    let switch = made(dir.path());
    let target = Target::Agent(Id::new("a").unwrap());
    let path = switch.dir().join("lease.agent.a");
    let (boot, until) = ([3; 16], 1_000);
    assert_eq!(switch.lease(&target, Some((boot, 1))), Freshness::None);
    assert!(switch.leases().unwrap().is_empty());
    let grant = || switch.grant(&target, boot, until).unwrap();
    grant();
    assert_eq!(switch.leases().unwrap(), std::slice::from_ref(&target));
    for (what, now, fresh) in [
        ("in its time", Some((boot, 999)), true),
        ("at its end", Some((boot, 1_000)), false),
        ("after its end", Some((boot, u64::MAX)), false),
        ("in another boot", Some(([4; 16], 1)), false),
        ("without a clock", None, false),
    ] {
        let expected = if fresh {
            Freshness::Fresh { until }
        } else {
            Freshness::Lapsed
        };
        assert_eq!(switch.lease(&target, now), expected, "{what}");
    }
    let good = fs::read_to_string(&path).unwrap();
    let deeds: &[(&str, &dyn Fn())] = &[
        ("empty", &|| fs::write(&path, "").unwrap()),
        ("cut", &|| fs::write(&path, good.trim_end()).unwrap()),
        ("longer", &|| {
            fs::write(&path, format!("{good}1\n")).unwrap()
        }),
        ("of another log", &|| {
            fs::write(&path, good.replace("0707", "0808")).unwrap()
        }),
        ("not text", &|| fs::write(&path, [0xff; 80]).unwrap()),
        ("of everybody", &|| {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("a symlink to a good one", &|| {
            fs::rename(&path, dir.path().join("elsewhere")).unwrap();
            symlink(dir.path().join("elsewhere"), &path).unwrap();
        }),
        ("a folder", &|| fs::create_dir(&path).unwrap()),
    ];
    for (what, deed) in deeds {
        let _ = fs::remove_file(&path);
        grant();
        assert!(matches!(
            switch.lease(&target, Some((boot, 1))),
            Freshness::Fresh { .. }
        ));
        if *what == "a folder" {
            fs::remove_file(&path).unwrap();
        }
        deed();
        assert_eq!(
            switch.lease(&target, Some((boot, 1))),
            Freshness::Lapsed,
            "{what}"
        );
    }
}

#[test]
fn looking_takes_microseconds() {
    let dir = tempfile::tempdir().unwrap();
    let switch = made(dir.path());
    let agent = Id::new("a").unwrap();
    let who = Who {
        agent: Some(&agent),
        sessions: &[Seq(1)],
        lineages: &[Seq(2)],
        parts: &[Part::Ci],
    };
    let began = Instant::now();
    for _ in 0..1000 {
        assert!(!switch.engaged(who).is_yes());
    }
    let each = began.elapsed() / 1000;
    // Some ten system calls; the bound leaves room for a busy machine.
    assert!(each.as_micros() < 2000, "{each:?}");
}
