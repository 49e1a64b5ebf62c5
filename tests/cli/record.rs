//! Events in, receipts out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command};

use super::home::{Home, MESSAGE, finish};

/// Interrupts a process of ours, by its number.
pub(crate) fn interrupt(child: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn receipts_come_in_the_order_of_the_events() {
    let home = Home::with_log();
    let lines = format!("{MESSAGE}\n\n").repeat(600);
    let ran = home.feed(["record"], lines.as_bytes()).good();
    let seqs: Vec<u64> = ran
        .json()
        .iter()
        .map(|r| r["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, (4..604).collect::<Vec<_>>());
    assert_eq!(ran.err, "");
    assert!(home.run(["verify"]).good().out.ends_with("verified\n"));
}

#[test]
fn a_reference_used_again_gives_the_first_record() {
    let home = Home::with_log();
    let with_ref = MESSAGE.replacen('{', r#"{"ref":"r1","#, 1);
    let first = home.record(&[&with_ref]).good().json();
    let again = home.record(&[MESSAGE, &with_ref, MESSAGE]).good().json();
    assert_eq!(first[0]["seq"], 4);
    assert_eq!(first[0]["leaf"], again[1]["leaf"]);
    let seqs: Vec<_> = again.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [7, 4, 8]);
    let other = with_ref.replace("done", "not done");
    home.record(&[&other])
        .refused(2, "this `ref` was used for record 4");
}

#[test]
fn what_is_not_read_is_recorded_all_the_same() {
    let home = Home::with_log();
    let mut child = home.command(["record"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{MESSAGE}\n").as_bytes()).unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    stdin
        .write_all(format!("{MESSAGE}\n").repeat(50).as_bytes())
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let list = home.run(["list", "--count", "0", "--json"]).good().json();
    let messages = list.iter().filter(|r| r["kind"] == "message").count();
    assert_eq!(messages, 51);
}

#[test]
fn ctrl_c_stops_cleanly() {
    let home = Home::with_log();
    let mut child = home.command(["record"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{MESSAGE}\n").as_bytes()).unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut receipt = String::new();
    out.read_line(&mut receipt).unwrap();
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("interrupted; the log is closed cleanly, with 1 record more"),
        "{said}"
    );
    drop(stdin);
    std::fs::write(home.path("receipt.json"), receipt).unwrap();
    let ran = home.run(["verify", "--against", "receipt.json"]).good();
    assert!(ran.out.contains("complete up to 5"), "{ran:?}");
}

#[test]
fn a_live_log_can_be_read_and_proven_and_has_one_writer() {
    let home = Home::with_log();
    home.record_many(3);
    let mut child = home.command(["record"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{MESSAGE}\n").as_bytes()).unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    let pid = child.id();
    home.run(["verify"]).good();
    assert_eq!(home.run(["list"]).good().out.lines().count(), 10);
    home.run(["prove", "inclusion", "5"]).good();
    home.run(["prove", "consistency", "4"]).good();
    home.run(["key", "show"]).good();
    home.run(["export", "tiles", "tiles"]).good();
    home.run(["prove", "inclusion", "9"])
        .refused_with_hint(2, "no checkpoint covers record 9 yet");
    home.record(&[MESSAGE])
        .refused_with_hint(2, &format!("another writer (pid {pid}) owns the log"));
    home.run(["key", "rotate"])
        .refused_with_hint(2, "owns the log");
    drop(stdin);
    assert!(child.wait().unwrap().success());
    home.run(["prove", "inclusion", "9"]).good();
}

#[test]
fn a_closed_standard_output_is_no_failure() {
    let home = Home::with_log();
    home.record_many(3000);
    for args in [
        &["list", "--count", "0"][..],
        &["list", "--count", "0", "--json"],
        &["completions", "bash"],
        &["demo"],
    ] {
        let mut child = home.command(args).spawn().unwrap();
        drop(child.stdout.take());
        let ran = finish(child, b"");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn a_full_disk_beneath_standard_output_is_a_failure() {
    let home = Home::with_log();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let child = home.command(["list"]).stdout(full).spawn().unwrap();
    finish(child, b"").refused(2, "cannot write the answer: no space left on device");
}

#[test]
fn bad_lines_are_named_and_the_others_recorded() {
    let home = Home::with_log();
    let ran = home.record(&[MESSAGE, "nonsense", MESSAGE]);
    assert_eq!(ran.json().len(), 2);
    ran.refused(2, "line 2: not understood: not JSON");
    let ran = home.feed(
        ["record", "--strict"],
        format!("{MESSAGE}\n[]\n{MESSAGE}\n").as_bytes(),
    );
    assert_eq!(ran.json().len(), 1);
    ran.refused(2, "line 2: not understood: an event is a JSON object");
}
