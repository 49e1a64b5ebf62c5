//! The gate as people and agents meet it: the real daemon, real `ssh-keygen`, real sockets.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tacho_recorder::SystemClock;
use tacho_recorder::log::{Log, Options};

use super::daemon::{Daemon, digits, edit, first_hold, house, keygen, post};
use super::home::Home;

#[test]
fn a_hold_is_approved_with_a_real_key_and_anybody_can_check_it() {
    let (home, key) = house();
    let daemon = Daemon::start(&home, &[]);
    let (session, socket) = daemon.session(&home);
    let ask = edit(&home, "on: push\n");
    let waiting = std::thread::spawn({
        let (socket, ask) = (socket.clone(), ask.clone());
        move || post(&socket, "/v1/decide", &ask)
    });
    let hold = first_hold(&home);
    let seq = hold["hold"].to_string();
    // What the agent wrote is shown, and shown harmless.
    let shown = home.run(["holds", &seq]).good().out;
    assert!(shown.contains("the agent says"), "{shown}");
    assert!(
        shown.contains("+on: push") && !shown.contains('\u{1b}'),
        "{shown}"
    );
    let key = key.to_str().unwrap();
    let wrong = ["approve", &seq, "--key", key, "--yes-digest", "zzzz"];
    home.run(wrong)
        .refused_with_hint(2, "not the characters of this request");
    home.run(["approve", &seq, "--key", key])
        .refused_with_hint(2, "nobody is here to confirm");
    let digits = digits(&hold);
    let ran = home
        .run(["approve", &seq, "--key", key, "--yes-digest", &digits])
        .good();
    assert!(
        ran.out
            .starts_with(&format!("approved hold {seq} as alice, record ")),
        "{ran:?}"
    );
    let answer = waiting.join().unwrap();
    assert_eq!(answer["verdict"], "allow");
    assert_eq!(answer["approved"], true);
    // It is executed, and becomes a mutation that names everybody.
    std::fs::create_dir_all(home.path("work/.github/workflows")).unwrap();
    std::fs::write(home.path("work/.github/workflows/deploy.yml"), "on: push\n").unwrap();
    let outcome = json!({
        "action": answer["action"], "tool": "Write", "input": ask["input"], "status": "succeeded",
    });
    let taken = post(&socket, "/v1/outcome", &outcome);
    assert_eq!(taken["matched"], true, "{taken}");
    let mutation = taken["mutations"][0].to_string();
    let status = home.run(["status", "--json"]).good().json().pop().unwrap();
    assert_eq!(status["gate"]["single_person"], true);
    assert_eq!(status["gate"]["sessions"][0]["session"], session);
    // A verb that appends goes through the daemon, or says why not.
    let event = super::home::MESSAGE;
    let receipt = home
        .feed(["record"], event.as_bytes())
        .good()
        .json()
        .pop()
        .unwrap();
    assert!(receipt["seq"].as_u64().unwrap() > 10);
    home.run(["key", "rotate"])
        .refused_with_hint(2, "owns the log");
    home.run(["approver", "revoke", "alice"])
        .refused_with_hint(2, "owns the log");
    let said = daemon.stop();
    assert!(said.contains("the log is closed cleanly"), "{said}");
    let why = home.run(["why", &mutation]).good().out;
    for part in ["alice", "pipeline", "on: push"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(home.run(["verify"]).good().out.ends_with("verified\n"));
    // Somebody who does not have this program checks the approval.
    let approvals = home
        .run(["list", "--filter", "kind:approval", "--json"])
        .good()
        .json();
    let act = &approvals[0]["body"]["act"];
    check_with_ssh_keygen(&home, act);
    home.run(["approver", "revoke", "alice"]).good();
    let listed = home.run(["approver", "list", "--allowed-signers"]).good();
    assert_eq!(listed.out, "");
}

fn check_with_ssh_keygen(home: &Home, act: &Value) {
    let bytes = |name: &str| -> Vec<u8> {
        let text = act[name].as_str().unwrap_or_else(|| panic!("{act}"));
        let digit = |c: u8| u8::try_from(char::from(c).to_digit(16).unwrap()).unwrap();
        let pairs = text.as_bytes().chunks(2);
        pairs
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect()
    };
    let signature = tacho_schemas::sshsig::to_armoured(&bytes("sshsig"));
    std::fs::write(home.path("act.sig"), signature).unwrap();
    let signers = home.log().join("policy/allowed_signers");
    let verify = |statement: &[u8]| {
        let mut child = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-n", "tacho/v1/act", "-I", "alice", "-s"])
            .arg(home.path("act.sig"))
            .arg("-f")
            .arg(&signers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(statement).unwrap();
        child.wait_with_output().unwrap()
    };
    let statement = bytes("statement");
    let good = verify(&statement);
    assert!(good.status.success(), "{good:?}");
    let text = String::from_utf8(statement).unwrap();
    assert!(
        text.starts_with("tacho/v1/act\norigin: tacho.invalid/"),
        "{text}"
    );
    assert!(
        !verify(text.replace("approve", "reject").as_bytes())
            .status
            .success()
    );
}

#[test]
fn a_denied_hold_tells_the_agent_and_names_who_said_no() {
    let (home, key) = house();
    let daemon = Daemon::start(&home, &[]);
    let (_, socket) = daemon.session(&home);
    let ask = edit(&home, "on: push\n");
    let waiting = std::thread::spawn(move || post(&socket, "/v1/decide", &ask));
    let hold = first_hold(&home);
    let seq = hold["hold"].to_string();
    let args = [
        "deny",
        &seq,
        "--key",
        key.to_str().unwrap(),
        "--yes-digest",
        &digits(&hold),
        "--reason",
        "not on Fridays",
    ];
    let ran = home.run(args).good();
    assert!(ran.out.starts_with("denied hold"), "{ran:?}");
    let answer = waiting.join().unwrap();
    assert_eq!(
        (&answer["verdict"], &answer["deny_kind"]),
        (&json!("deny"), &json!("unapproved"))
    );
    assert!(home.run(["holds", "--json"]).good().out.is_empty());
    home.run(args).refused_with_hint(2, "there is no open hold");
}

/// Under `standard` a key that the agent could use approves nothing, and a hold outlives the daemon.
#[test]
fn a_key_in_reach_of_the_agent_counts_for_nothing_under_standard() {
    let (home, key) = house();
    keygen(&home, "bob");
    // Nobody can claim for a key in reach that it is out of reach.
    for claim in ["other-uid", "other-host", "confirm", "touch"] {
        let ran = home.run(["approver", "add", "bob", "bob.pub", "--assurance", claim]);
        assert_eq!(ran.code, 2, "{claim}: {ran:?}");
    }
    std::fs::rename(home.path("bob"), home.path("elsewhere")).unwrap();
    let strong = [
        "approver",
        "add",
        "bob",
        "bob.pub",
        "--assurance",
        "other-host",
    ];
    home.run(strong).good();
    let daemon = Daemon::start(&home, &["--preset", "standard", "--wait", "2"]);
    let (_, socket) = daemon.session(&home);
    let ask = edit(&home, "on: push\n");
    let waiting = std::thread::spawn({
        let (socket, ask) = (socket.clone(), ask.clone());
        move || post(&socket, "/v1/decide", &ask)
    });
    let hold = first_hold(&home);
    let seq = hold["hold"].to_string();
    let digits = digits(&hold);
    let weak = [
        "approve",
        &seq,
        "--key",
        key.to_str().unwrap(),
        "--yes-digest",
        &digits,
    ];
    let ran = home.run(weak).good();
    assert!(
        ran.out
            .contains("it still waits for approval by 1 of `reviewers`"),
        "{ran:?}"
    );
    let answer = waiting.join().unwrap();
    assert_eq!(answer["deny_kind"], "unapproved");
    assert_eq!(answer["hold"].to_string(), seq);
    daemon.stop();
    let daemon = Daemon::start(&home, &["--wait", "2"]);
    std::fs::copy(home.path("bob.pub"), home.path("elsewhere.pub")).unwrap();
    let bob = home.path("elsewhere");
    let strong = [
        "approve",
        &seq,
        "--key",
        bob.to_str().unwrap(),
        "--yes-digest",
        &digits,
    ];
    home.run(strong).good();
    assert_eq!(post(&socket, "/v1/decide", &ask)["verdict"], "allow");
    assert_eq!(post(&socket, "/v1/decide", &ask)["verdict"], "deny");
    drop(daemon);
}

#[test]
fn the_agent_that_an_agent_reaches_signs_nothing_that_counts() {
    let (home, _) = house();
    // An ssh-agent without `-c`, as the agent's user would have one.
    let socket = home.path("ssh.sock");
    let mut agent = Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .spawn()
        .unwrap();
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let key = keygen(&home, "carol");
    let added = Command::new("ssh-add")
        .arg(&key)
        .env("SSH_AUTH_SOCK", &socket)
        .stderr(Stdio::null())
        .status();
    assert!(added.unwrap().success());
    // The private key is only in the agent.
    std::fs::remove_file(&key).unwrap();
    let mut claim = home.command([
        "approver",
        "add",
        "carol",
        "carol.pub",
        "--assurance",
        "other-uid",
    ]);
    let claim = claim.env("SSH_AUTH_SOCK", &socket).output().unwrap();
    assert_eq!(claim.status.code(), Some(2));
    let said = String::from_utf8_lossy(&claim.stderr).into_owned();
    assert!(
        said.contains("an ssh-agent that this user reaches"),
        "{said}"
    );
    home.run(["approver", "add", "carol", "carol.pub"]).good();
    let daemon = Daemon::start(&home, &["--preset", "standard", "--wait", "2"]);
    let (_, session) = daemon.session(&home);
    let ask = edit(&home, "on: push\n");
    let waiting = std::thread::spawn(move || post(&session, "/v1/decide", &ask));
    let hold = first_hold(&home);
    let seq = hold["hold"].to_string();
    let public = home.path("carol.pub");
    let args = [
        "approve",
        &seq,
        "--key",
        public.to_str().unwrap(),
        "--yes-digest",
        &digits(&hold),
    ];
    let signed = home
        .command(args)
        .env("SSH_AUTH_SOCK", &socket)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&signed.stdout).into_owned();
    assert!(
        said.contains("assurance none") && said.contains("it still waits"),
        "{signed:?}"
    );
    assert_eq!(waiting.join().unwrap()["verdict"], "deny");
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn a_command_tells_people_of_a_hold() {
    let (home, _) = house();
    let told = home.path("told");
    let settings = format!(
        "[hold]\nnotify = ['/bin/sh', '-c', 'cat > {}.new && mv {0}.new {0}']\n",
        told.display()
    );
    let path = home.log().join("tacho.toml");
    std::fs::write(&path, settings).unwrap();
    let daemon = Daemon::start(&home, &["--wait", "1"]);
    let (_, socket) = daemon.session(&home);
    post(&socket, "/v1/decide", &edit(&home, "on: push\n"));
    let until = Instant::now() + Duration::from_secs(10);
    while !told.exists() {
        assert!(Instant::now() < until, "nobody was told");
        std::thread::sleep(Duration::from_millis(20));
    }
    let held: Value = serde_json::from_slice(&std::fs::read(&told).unwrap()).unwrap();
    assert_eq!(held["tool"], "Write");
    drop(daemon);
}

#[test]
fn what_nobody_runs_says_how_it_is_started() {
    let home = Home::with_log();
    home.run(["holds"])
        .refused_with_hint(2, "no gate listens at");
    home.run(["approve", "3"])
        .refused_with_hint(2, "no gate listens at");
    let ran = home.run(["status"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    for line in [
        "switch    armed",
        "cells     none",
        "drill     never tried",
        "verified  sound",
        "gate      no gate runs",
    ] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
    home.run(["serve", "--preset", "lax"])
        .refused_with_hint(2, "there is no preset `lax`");
    std::fs::write(home.path("bad.cedar"), "permit (principal").unwrap();
    home.run(["serve", "--policy", "bad.cedar"])
        .refused_with_hint(2, "the policy cannot be used");
    home.run(["approver", "revoke", "x"])
        .refused_with_hint(2, "nobody is enrolled as `x`");
    std::fs::write(
        home.path("rsa.pub"),
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== x",
    )
    .unwrap();
    let ran = home.run(["approver", "add", "x", "rsa.pub"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn a_daemon_killed_leaves_a_log_that_holds() {
    let (home, key) = house();
    let daemon = Daemon::start(&home, &["--wait", "60"]);
    let (_, socket) = daemon.session(&home);
    let ask = edit(&home, "on: push\n");
    let sent = ask.clone();
    let waiting = std::thread::spawn({
        let socket = socket.clone();
        move || std::panic::catch_unwind(|| post(&socket, "/v1/decide", &sent)).is_err()
    });
    let hold = first_hold(&home);
    daemon.signal("KILL");
    // No answer is no yes.
    assert!(waiting.join().unwrap());
    drop(daemon);
    let daemon = Daemon::start(&home, &["--wait", "2"]);
    let seq = hold["hold"].to_string();
    let args = [
        "approve",
        &seq,
        "--key",
        key.to_str().unwrap(),
        "--yes-digest",
        &digits(&hold),
    ];
    home.run(args).good();
    assert_eq!(post(&socket, "/v1/decide", &ask)["verdict"], "allow");
    daemon.stop();
    assert!(home.run(["verify"]).good().out.ends_with("verified\n"));
}

/// The gate of a run ends with its agent: it may do so while it is told of the kill that ended it.
#[test]
fn a_kill_whose_gate_breaks_off_is_written_down_once() {
    let home = Home::with_log();
    let options = Options::new(Arc::new(SystemClock::new().unwrap()), "test");
    let log = Log::open(&home.log(), options).unwrap();
    let door = UnixListener::bind(home.log().join("reviewers.sock")).unwrap();
    let gate = std::thread::spawn(move || {
        for caller in door.incoming() {
            let (mut caller, mut asked) = (caller.unwrap(), [0; 4096]);
            let read = caller.read(&mut asked).unwrap();
            if asked[..read].starts_with(b"POST /v1/switch") {
                break;
            }
            caller
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
                .unwrap();
        }
        log.close().unwrap();
    });
    let ran = home.run(["kill", "all", "--reason", "a test", "--json"]);
    gate.join().unwrap();
    assert!(ran.json()[0]["record"].is_u64(), "{ran:?}");
    let kills = home.run(["list", "--json", "--filter", "kind:kill"]).good();
    assert_eq!(kills.json().len(), 1, "{kills:?}");
}
