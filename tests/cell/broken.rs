//! Kills while what they are recorded with is broken: the disk, the log, the gate, the watchdog.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::kills::{hiders, json};
use crate::user::{User, has_cells, marked, said, until};

fn signal(name: &str, pid: &str) {
    assert!(
        Command::new("kill")
            .args([name, pid])
            .status()
            .unwrap()
            .success()
    );
}

/// A kill of everything: nobody lives on, nobody starts, and the cell says so.
fn kill(user: &User, cell: &mut Child, mark: &str) -> Value {
    let killed = json(&user.run(["kill", "all", "--reason", "a test", "--json"]));
    assert_eq!(killed["survivors"], 0, "{killed}");
    assert_eq!(killed["flag"], true, "{killed}");
    assert_eq!(marked(mark), 0);
    assert_eq!(cell.wait().unwrap().code(), Some(137));
    assert_eq!(user.run(["run", "--", "true"]).status.code(), Some(125));
    killed
}

/// In the end the log shows the kill, and that it left nobody.
fn told(user: &User) {
    let ran = user.run(["release", "--reason", "a test", "--digits", "00000000"]);
    assert!(
        said(&ran).contains("not the first digits"),
        "{}",
        said(&ran)
    );
    let report = json(&user.run(["verify", "--switch", "--json"]));
    let answers = report["switch"]["answers"].as_array().unwrap();
    assert_eq!(report["switch"]["kills"], 1, "{report}");
    assert_eq!(answers[3]["state"], "holds", "{report}");
}

#[test]
fn a_kill_needs_no_daemon_and_is_recorded_where_one_was_killed() {
    let user = User::new();
    let mut cell = user.start(&[], &hiders("96001"));
    signal("-KILL", &user.gate().unwrap());
    until("the log is free", || {
        let ran = user.run(["status", "--json"]);
        json(&ran)["gate"].is_null()
    });
    let killed = kill(&user, &mut cell, "96001");
    assert!(killed["record"].is_u64(), "{killed}");
    told(&user);
}

#[test]
fn a_kill_does_not_wait_for_a_log_that_somebody_locked() {
    let user = User::new();
    let mut cell = user.start(&[], &hiders("96002"));
    let database = rusqlite::Connection::open(user.log().join("log.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let killed = kill(&user, &mut cell, "96002");
    let after = killed["empty_ms"].as_f64().unwrap();
    assert!(after < 5000.0, "{killed}");
    database.execute_batch("ROLLBACK").unwrap();
    // Closing it would take the WAL away beneath the gate.
    std::mem::forget(database);
    until("the gate has ended", || {
        user.gate()
            .is_none_or(|pid| !fs::exists(format!("/proc/{pid}")).unwrap())
    });
    told(&user);
}

#[test]
fn a_kill_works_on_a_disk_without_space_or_inodes() {
    if !has_cells() {
        return;
    }
    for (number, fill) in [
        "i=0; while head -c 65536 /dev/zero > $HOME/.local/f$i; do i=$((i+1)); done",
        "i=0; while : > $HOME/.local/f$i; do i=$((i+1)); done",
    ]
    .into_iter()
    .enumerate()
    {
        let user = User::new();
        let mark = format!("96{number}03");
        // A file system that it may fill: a user namespace gives the right to mount one.
        let script = format!(
            "mount -t tmpfs -o size=32m,nr_inodes=400,mode=755 none $HOME/.local && {tacho} init >/dev/null || exit 9
             {tacho} run -- sh -c '{hiders}' >/dev/null 2>&1 & cell=$!
             while ! [ -e ready ]; do kill -0 $cell || exit 8; sleep 0.02; done
             ({fill}) 2>/dev/null
             {tacho} kill all --reason full --json 2>$HOME/said
             wait $cell; echo \"cell $?\"
             {tacho} run -- true >/dev/null 2>&1; echo \"again $?\"
             rm $HOME/.local/f*
             {tacho} release --reason full --digits 00000000 >/dev/null 2>&1
             {tacho} verify --switch --json",
            tacho = user.binary().display(),
            hiders = hiders(&mark).replace('\'', "'\\''"),
        );
        let mut command = user.command(std::path::Path::new("unshare"));
        let ran = command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .output()
            .unwrap();
        if said(&ran).contains("unshare:") || ran.status.code() == Some(9) {
            eprintln!("skipped: no file system of our own here: {}", said(&ran));
            return;
        }
        let out = String::from_utf8_lossy(&ran.stdout).into_owned();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 4, "{}", said(&ran));
        let killed: Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(
            (&killed["survivors"], &killed["flag"]),
            (&0.into(), &true.into()),
            "{killed}"
        );
        assert_eq!(
            (lines[1], lines[2]),
            ("cell 137", "again 125"),
            "{}",
            said(&ran)
        );
        assert_eq!(marked(&mark), 0);
        let report: Value = serde_json::from_str(lines[3]).unwrap();
        assert_eq!(report["switch"]["kills"], 1, "{report}");
        assert_eq!(report["switch"]["answers"][3]["state"], "holds", "{report}");
    }
}

/// A cell that may run while its lease is fresh, and a watchdog that renews it.
fn leased(user: &User, mark: &str, watchdog: &[&str]) -> (Child, Child) {
    let grant = [
        "lease",
        "agent:leased",
        "--for",
        "4s",
        "--every",
        "1s",
        "--reason",
        "a test",
        "--",
    ];
    let renew = [&grant[..], watchdog].concat();
    let mut renewing = user
        .tacho(renew)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lease = user.switch().join("lease.agent.leased");
    until("there is a lease", || {
        assert!(renewing.try_wait().unwrap().is_none(), "the watchdog ended");
        lease.exists()
    });
    let cell = user.start(&["--name", "leased", "--leased"], &hiders(mark));
    // Longer than one lease: it was renewed.
    let first = fs::read(&lease).unwrap();
    until("it is renewed", || {
        fs::read(&lease).is_ok_and(|text| text != first)
    });
    (cell, renewing)
}

fn lapses(user: &User, mut cell: Child, mark: &str) {
    assert_eq!(cell.wait().unwrap().code(), Some(137));
    assert_eq!(marked(mark), 0);
    let ran = user.run(["run", "--name", "leased", "--leased", "--", "true"]);
    assert_eq!(ran.status.code(), Some(125), "{}", said(&ran));
}

fn end(mut child: Child) {
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn a_lease_lapses_when_the_watchdog_stops() {
    let user = User::new();
    let (cell, renewing) = leased(&user, "97001", &["true"]);
    signal("-STOP", &renewing.id().to_string());
    lapses(&user, cell, "97001");
    end(renewing);
}

#[test]
fn a_lease_lapses_when_what_the_watchdog_watches_fails() {
    let user = User::new();
    let good = user.path("home/good");
    fs::write(&good, "").unwrap();
    let (cell, mut renewing) = leased(&user, "97002", &["test", "-e", good.to_str().unwrap()]);
    fs::remove_file(&good).unwrap();
    assert_ne!(renewing.wait().unwrap().code(), Some(0));
    lapses(&user, cell, "97002");
}

#[test]
fn a_lease_lapses_when_the_recorder_stops() {
    let user = User::new();
    let (cell, renewing) = leased(&user, "97003", &["true"]);
    // The gate owns the log: what it does not record gives nobody a lease.
    let gate = user.gate().unwrap();
    signal("-STOP", &gate);
    until("the cell is empty", || marked("97003") == 0);
    signal("-CONT", &gate);
    end(renewing);
    // What the gate heard too late may have been renewed since, so only the cell's own end counts here.
    let mut cell = cell;
    assert_eq!(cell.wait().unwrap().code(), Some(137));
}

#[test]
fn without_a_lease_nobody_starts_who_must_have_one() {
    let user = User::new();
    let began = std::time::Instant::now();
    let ran = user.run(["run", "--name", "leased", "--leased", "--", "sleep", "60"]);
    assert!(
        [Some(125), Some(137)].contains(&ran.status.code()),
        "{}",
        said(&ran)
    );
    assert!(began.elapsed() < Duration::from_secs(50), "{}", said(&ran));
}
