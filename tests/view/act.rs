//! What a reviewer does from the viewer: the real daemon, real holds, real keys, a real terminal.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::pty::Pty;
use crate::daemon::{Daemon, digits, edit, first_hold, house, post};
use crate::home::Home;

/// A dialog hears nothing in its first moment.
fn open(pty: &mut Pty, key: &str, title: &str) {
    pty.keys(key);
    pty.until(title);
    std::thread::sleep(Duration::from_millis(400));
}

/// A call that is held, and its answer when it comes.
fn held(home: &Home, daemon: &Daemon) -> (std::thread::JoinHandle<Value>, Value) {
    let (_, socket) = daemon.session(home);
    let ask = edit(home, "on: push\n");
    let waiting = std::thread::spawn(move || post(&socket, "/v1/decide", &ask));
    (waiting, first_hold(home))
}

fn view(home: &Home, key: &Path) -> Pty {
    let args = ["view", "--screen", "inbox", "--key", key.to_str().unwrap()];
    let mut pty = Pty::open(home, &args, (100, 40));
    pty.until("1 request waits for a human");
    pty.until("you sign as alice");
    pty
}

#[test]
fn a_hold_is_approved_by_typing_its_digest() {
    let (home, key) = house();
    let daemon = Daemon::start(&home, &[]);
    let (waiting, hold) = held(&home, &daemon);
    let mut pty = view(&home, &key);
    open(&mut pty, "A", "approve #");
    // All of the request can be seen, and what the agent wrote of it is harmless.
    pty.until("on: push");
    assert!(pty.text().contains(&digits(&hold)), "{}", pty.text());
    pty.keys("zzzz enter");
    pty.until("these are not the characters");
    pty.keys("backspace backspace backspace backspace");
    pty.keys(&digits(&hold));
    pty.keys("enter");
    pty.until("approved hold");
    let answer = waiting.join().unwrap();
    assert_eq!(
        (&answer["verdict"], &answer["approved"]),
        (&json!("allow"), &json!(true))
    );
    pty.keys("q");
    assert_eq!(pty.end(), 0);
    daemon.stop();
    assert!(home.run(["verify"]).good().out.ends_with("verified\n"));
    // How much was looked at, and for how long, stands with the approval.
    let listed = home
        .run(["export", "jsonl", "--filter", "kind:approval"])
        .good()
        .json();
    let reason = listed[0]["text_of"]["reason"].as_str().unwrap();
    assert!(reason.contains("lines were seen"), "{reason}");
}

#[test]
fn a_hold_is_denied_with_a_reason_and_a_key_that_wants_its_passphrase() {
    let (home, key) = house();
    let locked = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "tell nobody", "-f"])
        .arg(&key)
        .status();
    assert!(locked.unwrap().success());
    let daemon = Daemon::start(&home, &[]);
    let (waiting, hold) = held(&home, &daemon);
    let mut pty = view(&home, &key);
    open(&mut pty, "X", "deny #");
    pty.keys("not_on_Fridays tab");
    pty.keys(&digits(&hold));
    pty.keys("enter");
    // It is asked for outside of the screen, and our own thread takes no key of it away.
    pty.until("Enter passphrase");
    assert!(!pty.screen().alternate_screen());
    pty.keys("tell_nobody enter");
    pty.until("denied hold");
    assert!(pty.screen().alternate_screen());
    assert_eq!(waiting.join().unwrap()["verdict"], "deny");
    pty.keys("q");
    assert_eq!(pty.end(), 0);
    daemon.stop();
    let listed = home
        .run(["export", "jsonl", "--filter", "kind:approval"])
        .good()
        .json();
    let reason = listed[0]["text_of"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("not on Fridays ("), "{reason}");
}

#[test]
fn everybody_is_killed_and_released_from_the_screen() {
    let (home, key) = house();
    let daemon = Daemon::start(&home, &[]);
    let (waiting, _) = held(&home, &daemon);
    let mut pty = view(&home, &key);
    open(&mut pty, "K", "until a release");
    pty.keys("enter");
    pty.until("cancelled");
    open(&mut pty, "K", "until a release");
    pty.keys("all tab it_edits_its_own_tests enter");
    pty.until("KILLED all");
    assert_eq!(waiting.join().unwrap()["deny_kind"], "killed");
    home.run(["status"]);
    open(&mut pty, "R", "release kill #");
    let text = pty.text();
    let line = text.lines().find(|line| line.contains("to sign as alice"));
    let digits = line.unwrap().split_whitespace().nth(2).unwrap().to_owned();
    assert_eq!(digits.len(), 8, "{text}");
    pty.keys(&digits);
    pty.keys("tab the_tests_are_back enter");
    pty.until("released kill");
    pty.settle();
    assert!(!pty.shows("KILLED"), "{}", pty.text());
    pty.keys("q");
    assert_eq!(pty.end(), 0);
    daemon.stop();
    let out = home.run(["verify", "--switch"]).out;
    assert!(out.contains("verified"), "{out}");
}

#[test]
fn without_a_key_nothing_can_be_done() {
    let (home, _) = house();
    let daemon = Daemon::start(&home, &[]);
    let (_waiting, _) = held(&home, &daemon);
    let mut pty = Pty::open(&home, &["view", "--screen", "inbox"], (100, 30));
    pty.until("1 request waits for a human");
    pty.until("read only");
    for (key, verb) in [("A", "approve"), ("X", "deny"), ("K", "kill")] {
        pty.keys(key);
        pty.until(&format!("`tacho {verb}"));
    }
    pty.keys("R");
    pty.until("nothing is killed");
    pty.keys("q");
    assert_eq!(pty.end(), 0);
    crate::daemon::keygen(&home, "stranger");
    home.run(["view", "--key", "stranger"])
        .refused_with_hint(2, "this key is nobody's in the log");
    home.run(["view", "--key", "nowhere"])
        .refused_with_hint(2, "there is no key to sign with");
}

#[test]
fn what_is_marked_goes_into_a_new_file() {
    let home = Home::with_log();
    home.record_many(5);
    let mut pty = Pty::open(&home, &["view"], (80, 24));
    pty.until("verified");
    pty.keys("k space k k space");
    pty.until("2 marked");
    open(&mut pty, "e", "that you marked");
    pty.keys("two.jsonl enter");
    pty.until("wrote JSON Lines into two.jsonl");
    let lines = std::fs::read_to_string(home.path("two.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    open(&mut pty, "e", "that you marked");
    pty.keys("two.jsonl enter");
    pty.until("exists");
    pty.keys("esc");
    open(&mut pty, "e", "that you marked");
    pty.keys("two.tacho enter");
    pty.until("wrote a bundle into two.tacho");
    pty.keys("q");
    assert_eq!(pty.end(), 0);
    home.run(["verify", "two.tacho"]).good();
    // It opens without the log.
    std::fs::rename(home.log(), home.path("elsewhere")).unwrap();
    let mut pty = Pty::open(&home, &["view", "two.tacho"], (100, 30));
    pty.until("bundle, ");
    pty.until(" shown");
    pty.until("verified");
    pty.keys("7");
    pty.until("because others need them");
    pty.keys("q");
    assert_eq!(pty.end(), 0);
    let mut bytes = std::fs::read(home.path("two.tacho")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(home.path("bad.tacho"), bytes).unwrap();
    home.run(["view", "bad.tacho"])
        .refused(2, "does not verify");
    std::fs::write(home.path("none.tacho"), "hello").unwrap();
    home.run(["view", "none.tacho"]).refused(2, "is no bundle");
}
