//! `tacho policy`, as a person meets it.

use serde_json::{Value, json};

use super::daemon::{Daemon, edit, post};
use super::home::Home;

const ROWS: &str = r#"
[default.facts]
lease_fresh = true

[[row]]
name = "CI waits"
tool = "Write"
input = { file_path = ".github/workflows/ci.yml", content = "x" }
expect = "hold"
rules = ["hold-pipeline"]
"#;

fn file(home: &Home, name: &str, text: &str) -> String {
    let path = home.path(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_policy_is_checked_and_what_is_wrong_is_said() {
    let home = Home::empty();
    let ran = home.run(["policy", "check", "standard"]).good();
    assert!(
        ran.out.contains("asks for up to 2 of `reviewers`"),
        "{ran:?}"
    );
    assert!(ran.err.contains("who is enrolled"), "{ran:?}");
    let own = home.run(["policy", "show", "strict"]).good().out;
    let path = file(&home, "own.cedar", &own);
    assert!(
        home.run(["policy", "check", &path, "--json"]).good().json()[0]["enrolled_checked"]
            == false
    );
    let path = file(
        &home,
        "bad.cedar",
        &own.replace("reviewers >= 2", "reviewers >= 1"),
    );
    home.run(["policy", "check", &path])
        .refused_with_hint(2, "but waits for `reviewers >= 1`");
    let path = file(&home, "torn.cedar", "permit (principal");
    home.run(["policy", "check", &path])
        .refused_with_hint(2, "is no policy that may decide");
    home.run(["policy", "check", "stritc"])
        .refused_with_hint(2, "cannot read `stritc`");
    let schema = home.run(["policy", "show", "--schema"]).good().out;
    assert!(schema.contains("entity Agent;"), "{schema}");
}

#[test]
fn enough_people_must_be_enrolled() {
    let home = Home::with_log();
    let ran = home.run(["policy", "check", "standard"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out.contains("asks for 2 of `reviewers`, but 0"),
        "{ran:?}"
    );
    let ran = home.run(["policy", "check", "observe"]).good();
    assert!(ran.err.contains("may change what watches them"), "{ran:?}");
}

#[test]
fn a_table_is_decided_and_differences_are_shown() {
    let home = Home::empty();
    let rows = file(&home, "rows.toml", ROWS);
    let ran = home.run(["policy", "test", &rows]).good();
    assert_eq!(ran.out, "1 row as they should be\n");
    let ran = home.run(["policy", "test", &rows, "--policy", "observe"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out
            .contains("  - decision: hold\n  + decision: allow\n"),
        "{ran:?}"
    );
    let ran = home.run(["policy", "test", &rows, "--policy", "observe", "--json"]);
    assert_eq!(ran.json()[0]["differs"][0]["got"], "allow");
    let bad = file(&home, "bad.toml", &ROWS.replace("\"hold\"", "\"helt\""));
    home.run(["policy", "test", &bad])
        .refused(2, "expect is `helt`");
    let none = file(&home, "none.toml", "row = []\n");
    home.run(["policy", "test", &none])
        .refused(2, "tests nothing");
    // Rows of one's own for the classifier.
    let parts = file(
        &home,
        "parts.toml",
        "[[part]]\npart = \"code\"\nroot = [\"agent/**\"]\n",
    );
    let own = file(
        &home,
        "own.toml",
        &ROWS.replace(".github/workflows/ci.yml", "agent/loop.py"),
    );
    assert_eq!(home.run(["policy", "test", &own]).code, 1);
    home.run(["policy", "test", &own, "--parts", &parts]).good();
}

#[test]
fn a_call_is_explained_before_anybody_makes_it() {
    let home = Home::empty();
    let line = r"rm -rf .claude\u001b[31m";
    let call = format!(
        r#"{{"agent":"me","tool":"Bash","input":{{"command":"{line}"}},"cwd":"/w","workspace":"/w"}}"#
    );
    let call = file(&home, "call.json", &call);
    let ran = home.run(["policy", "explain", "--call", &call]).good();
    assert!(!ran.out.contains('\x1b'), "{ran:?}");
    let call = file(
        &home,
        "call.json",
        r#"{"agent":"me","tool":"Bash","input":{"command":"make"},"cwd":"/w","workspace":"/w"}"#,
    );
    let ran = home.run(["policy", "explain", "--call", &call]).good();
    assert!(
        ran.out
            .starts_with("hold: waits for approval by 1 of `reviewers`"),
        "{ran:?}"
    );
    assert!(
        ran.out
            .contains("✓ context.effects == Effects::\"unknown\""),
        "{ran:?}"
    );
    assert!(
        ran.out.contains("it runs make, of which nothing is known"),
        "{ran:?}"
    );
    let json = home
        .run([
            "policy", "explain", "--call", &call, "--policy", "strict", "--json",
        ])
        .good()
        .json();
    assert_eq!(json[0]["decision"], "forbidden");
    assert_eq!(json[0]["would_allow"][0], "it runs in a cell (`tacho run`)");
    let twice = file(
        &home,
        "twice.json",
        r#"{"agent":"me","tool":"Bash","input":{"command":"ls","command":"rm"},"cwd":"/","workspace":"/"}"#,
    );
    home.run(["policy", "explain", "--call", &twice])
        .refused(2, "stands twice");
    assert_eq!(home.run(["policy", "explain"]).code, 2);
}

#[test]
fn claims_are_not_replayed_and_nothing_is_no_good_answer() {
    let home = Home::with_log();
    // What a caller says that somebody decided.
    let claim = r#"{"kind":"action","actor":{"type":"agent","id":"quill"},"body":{"tool":"Bash","rationale":{"source":"absent"},"verdict":{"decision":"allow"}}}"#;
    home.record(&[claim]).good();
    let ran = home.run(["policy", "replay", "strict"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("0 decisions by the gate"), "{ran:?}");
    assert!(
        ran.err.contains("nothing could be decided again"),
        "{ran:?}"
    );
    home.run(["policy", "explain", "0"])
        .refused_with_hint(2, "is no decision");
}

/// What a real gate wrote down is decided again exactly as it was, and by another policy otherwise.
#[test]
fn what_the_gate_recorded_is_replayed() {
    let (home, _) = super::daemon::house();
    let daemon = Daemon::start(&home, &["--preset", "solo", "--wait", "1"]);
    let (_, socket) = daemon.session(&home);
    let work = home.path("work");
    let ask = |tool: &str, input: Value| {
        let ask = json!({ "tool": tool, "cwd": work, "input": input });
        post(&socket, "/v1/decide", &ask)["verdict"].clone()
    };
    assert_eq!(ask("Read", json!({ "file_path": work.join("a") })), "allow");
    assert_eq!(ask("Bash", json!({ "command": "ls" })), "allow");
    let build = work.join("Makefile");
    let input = json!({ "file_path": build, "content": "all:\n" });
    assert_eq!(ask("Write", input), "allow");
    let settings = work.join(".claude/settings.json");
    assert_eq!(
        ask("Write", json!({ "file_path": settings, "content": "{}" })),
        "deny"
    );
    // Held, and denied when its caller could wait no longer.
    assert_eq!(
        post(&socket, "/v1/decide", &edit(&home, "on: push\n"))["verdict"],
        "deny"
    );
    daemon.stop();
    let ran = home.run(["policy", "replay", "solo", "--json"]).good();
    let counts = ran.json().pop().unwrap();
    assert_eq!(counts["same"].as_u64(), Some(5), "{ran:?}");
    assert_eq!(counts["not_replayable"].as_u64(), Some(1), "{ran:?}");
    let ran = home.run(["policy", "replay", "observe", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let changes: Vec<_> = ran
        .json()
        .iter()
        .filter_map(|c| c["change"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(
        changes,
        ["deny->allow", "hold->allow", "not_replayable"],
        "{ran:?}"
    );
    let ran = home.run(["policy", "replay", "strict", "--json"]);
    assert!(
        ran.code == 1 && ran.out.contains(r#""change":"allow->deny""#),
        "{ran:?}"
    );
}
