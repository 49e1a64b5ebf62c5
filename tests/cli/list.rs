//! Listing by a filter, page by page, and as records come.

use std::io::{BufRead, BufReader};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::home::{Home, MESSAGE};

fn said(home: &Home, texts: &[&str]) {
    let events: Vec<String> = texts
        .iter()
        .map(|text| MESSAGE.replace("done", text))
        .collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    home.record(&events).good();
}

fn seqs(out: &str) -> Vec<u64> {
    let first = |line: &str| line.split_whitespace().next().unwrap().parse().unwrap();
    out.lines().map(first).collect()
}

#[test]
fn a_filter_chooses_and_the_newest_is_last() {
    let home = Home::with_log();
    said(
        &home,
        &["one apple", "two pears", "three apples", "four apple"],
    );
    let list = |args: &[&str]| {
        let all = ["list", "--filter"].iter().chain(args);
        seqs(&home.run(all).good().out)
    };
    assert_eq!(list(&["apple"]), [4, 7]);
    assert_eq!(list(&["apple*"]), [4, 6, 7]);
    assert_eq!(list(&["apple*", "-n", "2"]), [6, 7]);
    assert_eq!(list(&["apple*", "-n", "2", "--before", "7"]), [4, 6]);
    assert_eq!(list(&["apple*", "-n", "1", "--from", "5"]), [6]);
    assert_eq!(list(&["agent:quill -apple*"]), [5]);
    assert_eq!(list(&["\"two pears\" | seq:0", "--count", "0"]), [0, 5]);
    assert_eq!(list(&["kind:message since:1h", "--no-index"]), [4, 5, 6, 7]);
    assert!(home.log().join("index.db").exists());
    let ran = home.run(["list", "-f", "pears", "--json"]).good();
    assert_eq!(ran.json()[0]["text_of"]["text"], "two pears");
}

#[test]
fn what_finds_nothing_says_which_term_is_in_the_way() {
    let home = Home::with_log();
    said(&home, &["one apple"]);
    let ran = home.run(["list", "--filter", "apple verdict:deny"]).good();
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        (
            "",
            "tacho: no record meets `apple verdict:deny`\ntacho: without `verdict:deny` there are some\n"
        )
    );
}

#[test]
fn a_wrong_filter_is_refused_with_its_place() {
    let home = Home::with_log();
    let ran = home.run(["list", "--filter", "apple knd:action"]);
    let expected = "tacho: in the filter: there is no key `knd:`\ntacho:   apple knd:action\ntacho:         ^^^^\nhint: did you mean `kind:`?\n";
    assert_eq!(ran.err, expected);
    ran.refused_with_hint(2, "no key");
    let ran = home.run(["list", "--filter", "verdict:\u{1b}[31m"]);
    assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
    ran.refused_with_hint(2, "is no verdict");
    assert_eq!(home.run(["list", "--follow", "--from", "3"]).code, 2);
}

#[test]
fn what_comes_is_shown_until_interrupted() {
    let home = Home::with_log();
    said(&home, &["apple before"]);
    let mut child = home
        .command(["list", "--follow", "--filter", "apple"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().ends_with("apple before"));
    said(&home, &["pear", "apple meanwhile"]);
    assert!(next().ends_with("apple meanwhile"));
    said(&home, &["apple again"]);
    assert!(next().ends_with("apple again"));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
}
