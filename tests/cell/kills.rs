//! Kills: whoever hides, whatever is broken, nobody lives on.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::user::{User, has_cells, marked, said, until};

/// Processes that do what they can to live on, all marked.
const HIDERS: &str = "
(trap '' TERM HUP INT; sleep MARK) &
setsid sleep MARK &
(setsid sh -c 'sleep MARK & sleep MARK' &)
nohup sleep MARK >/dev/null 2>&1 &
sleep MARK & kill -STOP $!
sh -c 'trap \"\" TERM; while :; do sleep 0.01 & wait; done; echo MARK' &
trap '' TERM HUP INT
touch ready
sleep MARK
";

pub(crate) fn hiders(mark: &str) -> String {
    HIDERS.replace("MARK", mark)
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(output)))
}

fn levels() -> Vec<&'static str> {
    let mut levels = vec!["landlock", "process-group"];
    if has_cells() {
        levels.insert(0, "cell");
    }
    levels
}

#[test]
fn on_every_level_a_kill_leaves_nobody() {
    for (number, level) in levels().into_iter().enumerate() {
        let user = User::new();
        let mark = format!("90{number}17");
        let mut cell = user.start(&["--level", level], &hiders(&mark));
        until("all hide", || marked(&mark) > 5);
        let ran = user.run(["kill", "all", "--reason", "a test", "--json"]);
        let killed = json(&ran);
        assert_eq!(killed["survivors"], 0, "{level}: {killed}");
        assert!(killed["record"].is_u64(), "{level}: {}", said(&ran));
        assert_eq!(marked(&mark), 0, "{level}");
        assert_eq!(cell.wait().unwrap().code(), Some(137), "{level}");
        assert_eq!(
            user.run(["run", "--", "true"]).status.code(),
            Some(125),
            "{level}: nobody starts"
        );
        assert_eq!(
            fs::read_dir(user.switch().join("cells")).unwrap().count(),
            0,
            "{level}: no card is left"
        );
    }
}

#[test]
fn a_scope_ends_its_own_cells_and_no_others() {
    let user = User::new();
    let mut one = user.start(&["--name", "one"], &hiders("91001"));
    let mut two = user.start(&["--name", "two"], &hiders("91002"));
    let status = json(&user.run(["status", "--json"]));
    assert_eq!(status["cells"].as_array().unwrap().len(), 2, "{status}");
    let killed = json(&user.run(["kill", "agent:one", "--reason", "a test", "--json"]));
    assert_eq!(killed["killed"], "agent:one");
    assert_eq!(one.wait().unwrap().code(), Some(137));
    assert_eq!(marked("91001"), 0);
    until("the other one lives", || marked("91002") > 5);
    assert_eq!(
        user.run(["run", "--name", "one", "--", "true"])
            .status
            .code(),
        Some(125)
    );
    assert_eq!(
        user.run(["run", "--name", "three", "--", "true"])
            .status
            .code(),
        Some(0)
    );
    user.run(["kill", "all", "--reason", "the end of the test"]);
    assert_eq!(two.wait().unwrap().code(), Some(137));
    let status = user.run(["status", "--json"]);
    assert_eq!(status.status.code(), Some(4), "{}", said(&status));
    assert_eq!(json(&status)["killed"], serde_json::json!(["agent:one"]));
    assert_eq!(json(&status)["kills"].as_array().unwrap().len(), 2);
    assert_eq!(marked("91002"), 0);
}

#[test]
fn a_flag_alone_ends_a_cell_also_where_the_supervisor_stands_still() {
    if !has_cells() {
        return;
    }
    for (number, stopped) in [false, true].into_iter().enumerate() {
        let user = User::new();
        let mark = format!("92{number}01");
        let mut cell = user.start(&[], &hiders(&mark));
        let signal = |name: &str, pid: u32| {
            assert!(
                Command::new("kill")
                    .args([name, &pid.to_string()])
                    .status()
                    .unwrap()
                    .success()
            );
        };
        // setpriv becomes tacho, so this is the supervisor.
        if stopped {
            signal("-STOP", cell.id());
        }
        fs::rename(user.switch().join("armed"), user.switch().join("KILL")).unwrap();
        until("the cell is empty", || marked(&mark) == 0);
        if stopped {
            signal("-CONT", cell.id());
        }
        assert_eq!(cell.wait().unwrap().code(), Some(137));
    }
}

#[test]
fn a_cell_ends_with_its_supervisor() {
    for (number, level) in levels().into_iter().enumerate() {
        let user = User::new();
        let mark = format!("93{number}01");
        let mut cell = user.start(&["--level", level], &hiders(&mark));
        cell.kill().unwrap();
        cell.wait().unwrap();
        until("the cell is empty", || marked(&mark) == 0);
    }
}

#[test]
fn a_kill_needs_no_gate_and_what_was_not_recorded_is_recorded_later() {
    let user = User::new();
    let mut cell = user.start(&[], &hiders("94001"));
    // The gate owns the log, and stands still.
    let gate = user.gate().unwrap();
    let signal = |name: &str| {
        assert!(
            Command::new("kill")
                .args([name, &gate])
                .status()
                .unwrap()
                .success()
        );
    };
    signal("-STOP");
    let killed = user.run(["kill", "all", "--reason", "a test", "--json"]);
    assert!(
        said(&killed).contains("not recorded yet"),
        "{}",
        said(&killed)
    );
    let killed = json(&killed);
    assert_eq!(killed["survivors"], 0);
    assert!(killed["record"].is_null());
    assert_eq!(marked("94001"), 0);
    // And even then a new agent does not start.
    assert_eq!(user.run(["run", "--", "true"]).status.code(), Some(125));
    signal("-CONT");
    assert_eq!(cell.wait().unwrap().code(), Some(137));
    let ran = user.run(["release", "--reason", "a test", "--digits", "00000000"]);
    assert!(
        said(&ran).contains("not the first digits"),
        "{}",
        said(&ran)
    );
    let report = json(&user.run(["verify", "--switch", "--json"]));
    assert!(report["switch"]["kills"].as_u64().unwrap() >= 1, "{report}");
}

#[test]
fn a_flag_that_is_taken_away_is_made_again_and_an_alarm() {
    let user = User::new();
    let killed = json(&user.run(["kill", "agent:x", "--reason", "a test", "--json"]));
    let flag = user.switch().join("killed.agent.x");
    fs::remove_file(&flag).unwrap();
    let ran = user.run(["release", "--reason", "a test", "--digits", "00000000"]);
    assert!(said(&ran).contains("it is made again"), "{}", said(&ran));
    assert!(flag.exists());
    let hash = killed["hash"].as_str().unwrap();
    let ran = user.run([
        "release",
        "--reason",
        "a test",
        "--digits",
        &hash[..8],
        "--json",
    ]);
    assert_eq!(json(&ran)["released"], true);
    assert!(!flag.exists());
    let verified = user.run(["verify", "--switch", "--json"]);
    let report = json(&verified);
    assert_eq!(report["switch"]["kills"], 1, "{report}");
    assert_eq!(report["switch"]["open"].as_array().unwrap().len(), 0);
    let answers = report["switch"]["answers"].as_array().unwrap();
    assert!(answers.iter().all(|a| a["state"] != "broken"), "{report}");
    assert_eq!(verified.status.code(), Some(0), "{report}");
}

#[test]
fn a_lease_that_runs_out_ends_what_it_covers() {
    let user = User::new();
    let mut cell = user.start(&["--name", "leased"], &hiders("95001"));
    let ran = user.run(["lease", "agent:leased", "--for", "2s", "--reason", "a test"]);
    assert!(ran.status.success(), "{}", said(&ran));
    std::thread::sleep(Duration::from_millis(500));
    assert!(marked("95001") > 5, "the lease is fresh");
    assert_eq!(cell.wait().unwrap().code(), Some(137));
    assert_eq!(marked("95001"), 0);
    assert_eq!(
        user.run(["run", "--name", "leased", "--", "true"])
            .status
            .code(),
        Some(125)
    );
    let watchdog = user.run([
        "lease",
        "agent:leased",
        "--for",
        "5s",
        "--every",
        "1s",
        "--reason",
        "a test",
        "--",
        "false",
    ]);
    assert!(
        said(&watchdog).contains("not renewed"),
        "{}",
        said(&watchdog)
    );
}

#[test]
fn what_is_frozen_stands_still_and_ends_with_the_next_kill() {
    if !has_cells() {
        return;
    }
    let user = User::new();
    let mut cell = user.start(&[], "touch ready; while :; do date +%N > tick; done");
    let ticking = user.path("home/proj/tick");
    until("it ticks", || ticking.exists());
    let killed = json(&user.run(["kill", "all", "--reason", "a test", "--freeze", "--json"]));
    assert_eq!(killed["frozen"], true);
    std::thread::sleep(Duration::from_millis(300));
    let tick = fs::read(user.path("home/proj/tick")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        fs::read(user.path("home/proj/tick")).unwrap(),
        tick,
        "nobody moves"
    );
    assert!(cell.try_wait().unwrap().is_none());
    let killed = json(&user.run(["kill", "all", "--reason", "seen enough", "--json"]));
    assert_eq!(killed["survivors"], 0, "{killed}");
    assert_eq!(cell.wait().unwrap().code(), Some(137));
}

#[test]
fn a_drill_passes_and_is_recorded() {
    let user = User::new();
    let drilled = user.run(["drill", "--json", "--within", "10s"]);
    let drilled = json(&drilled);
    assert_eq!(drilled["passed"], true, "{drilled}");
    assert_eq!(drilled["survivors"], 0);
    assert!(drilled["processes"].as_u64().unwrap() >= 16);
    let verified = user.run(["verify", "--switch", "--drill-days", "1", "--json"]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    assert_eq!(json(&verified)["switch"]["answers"][7]["state"], "holds");
}

#[test]
fn a_log_in_which_nothing_was_killed_or_tried_shows_nothing() {
    let user = User::new();
    let verified = user.run(["verify", "--switch"]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(
        said(&verified).contains("nothing to check"),
        "{}",
        said(&verified)
    );
}

/// A gate of its own, which outlives what starts it until the user goes.
fn serve(user: &User, args: &[&str]) -> std::process::Child {
    let mut all = vec!["serve"];
    all.extend(args);
    let mut gate = user.tacho(all).spawn().unwrap();
    let socket = user.log().join("reviewers.sock");
    let mut ended = None;
    until("the gate listens", || {
        ended = gate.try_wait().unwrap();
        ended.is_some() || socket.exists()
    });
    assert!(ended.is_none(), "{ended:?}");
    gate
}

fn stop(mut gate: std::process::Child) {
    let pid = gate.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    gate.wait().unwrap();
}

#[test]
fn a_gate_that_starts_makes_a_flag_again_and_writes_down_one_that_it_finds() {
    let user = User::new();
    let killed = user.run(["kill", "agent:x", "--reason", "a test"]);
    assert!(killed.status.success(), "{}", said(&killed));
    let (gone, found) = (
        user.switch().join("killed.agent.x"),
        user.switch().join("killed.agent.y"),
    );
    fs::remove_file(&gone).unwrap();
    fs::rename(user.switch().join("spare.07"), &found).unwrap();
    stop(serve(&user, &[]));
    assert!(gone.exists() && found.exists());
    let list = |filter: &str| {
        let listed = user.run(["list", "--count", "0", "--json", "--filter", filter]);
        String::from_utf8(listed.stdout).unwrap()
    };
    assert!(list("kind:alarm").contains("switch-flag-removed"));
    assert_eq!(list("kind:kill").lines().count(), 2);
    // A second start has nothing to do.
    stop(serve(&user, &[]));
    assert_eq!(list("kind:kill").lines().count(), 2);
    assert_eq!(list("kind:alarm").lines().count(), 1);
    let report = json(&user.run(["verify", "--switch", "--json"]));
    let answers = report["switch"]["answers"].as_array().unwrap();
    assert!(answers.iter().all(|a| a["state"] != "broken"), "{report}");
}

/// Two humans, whose keys may lie where the agent's user could use them: those of a test do.
const TWO: &str = r#"
@id("people-release")
permit (principal is Human, action == Action::"release", resource);

@id("two-release")
@approval("reviewers") @k("2") @ttl("PT1H") @accepts("weak-keys launcher")
@explain("two humans who did not order the kill")
forbid (principal, action == Action::"release", resource)
unless { context.approvals.reviewers >= 2 };
"#;

#[test]
fn the_policy_says_how_many_release_a_kill_and_who_ordered_it_does_not_count() {
    let user = User::new();
    for name in ["ada", "bob", "cyd"] {
        let key = user.path("home/.ssh").join(name);
        let made = user
            .command(std::path::Path::new("ssh-keygen"))
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&key)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", said(&made));
        let public = key.with_extension("pub");
        let added = user.run(["approver", "add", name, public.to_str().unwrap()]);
        assert!(added.status.success(), "{}", said(&added));
    }
    let policy = user.path("two.cedar");
    fs::write(&policy, TWO).unwrap();
    let gate = serve(&user, &["--policy", policy.to_str().unwrap()]);
    let key = |name: &str| {
        user.path("home/.ssh")
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    };
    let release = |name: &str| {
        user.run([
            "release",
            "--reason",
            "a test",
            "--key",
            &key(name),
            "--json",
        ])
    };
    let signs = |name: &str, have: u64, needed: u64| {
        let ran = release(name);
        assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
        let answer = json(&ran);
        assert_eq!(answer["released"], false);
        assert_eq!(
            (&answer["signed"], &answer["needed"]),
            (&have.into(), &needed.into())
        );
    };

    let killed = user.run([
        "kill",
        "all",
        "--reason",
        "a test",
        "--key",
        &key("ada"),
        "--json",
    ]);
    let seq = json(&killed)["record"].as_u64().unwrap();
    let why = user.run(["list", "--count", "0", "--json", "--filter", "kind:kill"]);
    assert_eq!(json(&why)["actor"]["id"], "ada", "{}", said(&why));
    let refused = release("ada");
    assert!(
        said(&refused).contains("who ordered the kill"),
        "{}",
        said(&refused)
    );
    signs("bob", 1, 2);
    // The same person is one person.
    signs("bob", 1, 2);
    let released = json(&release("cyd"));
    assert_eq!(
        (&released["released"], &released["kill"]),
        (&true.into(), &seq.into())
    );

    // Who ordered this one, nobody signed for: so one more is asked for.
    let killed = user.run(["kill", "all", "--reason", "a test", "--json"]);
    assert!(json(&killed)["record"].as_u64().unwrap() > seq);
    signs("ada", 1, 3);
    signs("bob", 2, 3);
    assert_eq!(json(&release("cyd"))["released"], true);
    let verified = user.run(["verify", "--switch", "--json"]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    assert_eq!(json(&verified)["switch"]["answers"][4]["cases"], 2);
    stop(gate);
}
