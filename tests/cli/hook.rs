//! The hook as a harness runs it: the command out of the settings, the harness's own words on its standard input, a real gate.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::daemon::{Daemon, digits, first_hold, house};
use super::home::{Home, Ran, finish};

/// A harness with our hook in its settings, and a transcript that it writes.
struct Harness {
    home: Home,
    key: PathBuf,
    fixtures: &'static str,
    version: &'static str,
    command: Vec<String>,
    transcript: PathBuf,
}

impl Harness {
    /// Installs the hook, as a user would.
    fn new(
        agent: &str,
        fixtures: &'static str,
        version: &'static str,
        gate: &[&str],
    ) -> (Self, Daemon) {
        let (home, key) = house();
        std::fs::create_dir_all(home.path("work/.git")).unwrap();
        std::fs::create_dir_all(home.path("work/.github/workflows")).unwrap();
        std::fs::write(home.path("work/.github/workflows/deploy.yml"), "on: push\n").unwrap();
        let daemon = Daemon::start(&home, gate);
        let args = [
            "hook",
            "install",
            agent,
            "--hold",
            "20",
            "--json",
            "--cli",
            "/nonexistent",
        ];
        let ran = home.run(args);
        assert!(ran.code == 0 || ran.code == 1, "{ran:?}");
        let settings = match agent {
            "codex" => home.path(".codex/hooks.json"),
            _ => home.path(".claude/settings.json"),
        };
        let text = std::fs::read_to_string(&settings).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        let settings: Value = serde_json::from_str(&text).unwrap();
        let command = find_command(&settings["hooks"]["PreToolUse"]).unwrap();
        let ours = |word: &String| word.contains(env!("CARGO_BIN_EXE_tacho"));
        assert!(command.iter().any(ours), "{command:?}");
        let transcript = home.path("transcript.jsonl");
        std::fs::write(&transcript, "").unwrap();
        let harness = Self {
            home,
            key,
            fixtures,
            version,
            command,
            transcript,
        };
        (harness, daemon)
    }

    fn work(&self, below: &str) -> String {
        self.home
            .path("work")
            .join(below)
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn deploy(&self) -> String {
        self.work(".github/workflows/deploy.yml")
    }

    /// A payload that a real harness sent, in this workspace.
    fn payload(&self, name: &str) -> Value {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hooks");
        let path = root
            .join(self.fixtures)
            .join(format!("live-{}-{name}.json", self.version));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        let mut payload: Value = serde_json::from_str(&text).unwrap();
        payload["cwd"] = json!(self.work(""));
        payload["transcript_path"] = json!(self.transcript);
        payload
    }

    fn call(&self, name: &str, id: &str, tool: &str, input: &Value) -> Value {
        let mut payload = self.payload(name);
        payload["tool_name"] = json!(tool);
        payload["tool_input"] = input.clone();
        payload["tool_use_id"] = json!(id);
        payload
    }

    /// What the harness writes into its transcript before it calls the hook.
    fn tells(&self, id: &str, tool: &str, input: &Value, why: &str) {
        let line = json!({
            "type": "assistant", "sessionId": self.payload("PreToolUse-Write")["session_id"],
            "message": { "id": format!("msg-{id}"), "model": "scripted", "role": "assistant", "content": [
                { "type": "thinking", "thinking": why },
                { "type": "tool_use", "id": id, "name": tool, "input": input },
            ]},
        });
        self.append(&line);
    }

    fn append(&self, line: &Value) {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&self.transcript)
            .unwrap();
        writeln!(file, "{line}").unwrap();
    }

    /// As a harness does, with the payload on standard input.
    fn spawn(&self, environment: &[(&str, &Path)]) -> Child {
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .current_dir(self.home.path("work"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn hook(&self, payload: &Value) -> Ran {
        finish(self.spawn(&[]), payload.to_string().as_bytes())
    }

    /// Writes a file, through the hook: before, the write itself if it may, after.
    fn writes(&self, id: &str, path: &str, content: &str, why: &str) -> Ran {
        let input = json!({ "file_path": path, "content": content });
        self.tells(id, "Write", &input, why);
        let ran = self.hook(&self.call("PreToolUse-Write", id, "Write", &input));
        if denial(&ran).is_none() {
            std::fs::write(path, content).unwrap();
            let after = self.call("PostToolUse-Write", id, "Write", &input);
            self.hook(&after).good();
        }
        ran
    }

    fn records(&self, filter: &str) -> Vec<Value> {
        self.home
            .run(["list", "--count", "0", "--json", "--filter", filter])
            .good()
            .json()
    }
}

/// The command as the harness runs it: a line for a shell, or a program and its arguments.
fn find_command(settings: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match settings {
        Value::Object(map) => match (map.get("command"), map.get("args")) {
            (Some(Value::String(program)), Some(Value::Array(args))) => {
                let args = args.iter().filter_map(text);
                Some(std::iter::once(program.clone()).chain(args).collect())
            }
            (Some(Value::String(line)), _) => {
                let words = ["sh", "-c", line].map(str::to_owned);
                Some(words.to_vec())
            }
            _ => map.values().find_map(find_command),
        },
        Value::Array(list) => list.iter().find_map(find_command),
        _ => None,
    }
}

/// Why the harness was told no, in the one form that it obeys; everything else must be a yes that it understands.
fn denial(ran: &Ran) -> Option<String> {
    if ran.code == 2 && ran.out.is_empty() && !ran.err.trim().is_empty() {
        return Some(ran.err.clone());
    }
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    if ran.out.is_empty() {
        return None;
    }
    let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let decision = &answer["hookSpecificOutput"];
    match decision["permissionDecision"].as_str() {
        Some("deny") => Some(
            decision["permissionDecisionReason"]
                .as_str()
                .unwrap()
                .to_owned(),
        ),
        Some("allow") | None => None,
        other => panic!("{other:?}: {ran:?}"),
    }
}

fn denied(ran: &Ran, why: &str) {
    let reason = denial(ran).unwrap_or_else(|| panic!("it was allowed: {ran:?}"));
    assert!(reason.contains(why), "`{why}` is not in {reason}");
}

/// Approves the first hold while somebody waits for it.
fn approve(home: &Home, key: &Path) -> String {
    let hold = first_hold(home);
    let seq = hold["hold"].to_string();
    let key = key.to_str().unwrap();
    let args = [
        "approve",
        &seq,
        "--key",
        key,
        "--yes-digest",
        &digits(&hold),
    ];
    home.run(args).good();
    seq
}

/// A harness on a busy machine writes a call into its transcript after it asks about it.
#[test]
fn a_reason_that_comes_late_is_waited_for() {
    let (harness, _daemon) = Harness::new("claude-code", "claude-code", "2.1.330", &[]);
    let input = json!({ "file_path": harness.work("x.txt"), "content": "one\n" });
    let call = harness.call("PreToolUse-Write", "toolu_late", "Write", &input);
    let asking = harness.spawn(&[]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(700));
            harness.tells("toolu_late", "Write", &input, "it came late");
        });
        let ran = finish(asking, call.to_string().as_bytes());
        assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    });
    let action = harness.records("kind:action verdict:allow").pop().unwrap();
    assert_eq!(
        action["body"]["rationale"]["source"], "transcript",
        "{action}"
    );
    assert!(action.to_string().contains("it came late"), "{action}");
}

#[test]
fn claude_code_asks_first_people_decide_and_what_never_asked_shows() {
    let (harness, daemon) =
        Harness::new("claude-code", "claude-code", "2.1.330", &["--wait", "30"]);
    // (a) What policy allows runs without a word of ours, and its reason is out of the transcript.
    let ran = harness.writes(
        "toolu_a",
        &harness.work("x.txt"),
        "one\n",
        "the greeting is missing",
    );
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    let action = harness.records("kind:action verdict:allow").pop().unwrap();
    assert!(
        action.to_string().contains("the greeting is missing"),
        "{action}"
    );
    assert_eq!(
        action["body"]["rationale"]["source"], "transcript",
        "{action}"
    );
    assert_eq!(harness.records("kind:outcome").len(), 1);
    // (b) The guard surface is not the agent's to change.
    let settings = harness.home.path(".claude/settings.json");
    let before = std::fs::read(&settings).unwrap();
    let ran = harness.writes(
        "toolu_b",
        settings.to_str().unwrap(),
        "{}",
        "hooks are slow",
    );
    denied(&ran, "Do not try to reach the same in another way");
    assert_eq!(std::fs::read(&settings).unwrap(), before);
    // (c) The pipeline is held, approved by a real key, passes once, and is a mutation that names everybody.
    std::thread::scope(|scope| {
        let written =
            scope.spawn(|| harness.writes("toolu_c", &harness.deploy(), "on: tag\n", "only tags"));
        approve(&harness.home, &harness.key);
        let ran = written.join().unwrap();
        assert_eq!(denial(&ran), None);
        assert!(
            ran.out.contains(r#""permissionDecision":"allow""#),
            "{ran:?}"
        );
    });
    let mutation = harness.records("kind:mutation").pop().unwrap();
    let why = harness
        .home
        .run(["why", &mutation["seq"].to_string()])
        .good()
        .out;
    for part in [
        "only tags",
        "alice",
        "hold-pipeline",
        "+on: tag",
        "-on: push",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    // A signal while people are asked is a no, said whole.
    let input = json!({ "file_path": harness.deploy(), "content": "on: never\n" });
    harness.tells("toolu_d", "Write", &input, "again");
    let asked = harness
        .call("PreToolUse-Write", "toolu_d", "Write", &input)
        .to_string();
    let child = harness.spawn(&[]);
    let id = child.id().to_string();
    let waiting = std::thread::spawn(move || finish(child, asked.as_bytes()));
    first_hold(&harness.home);
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    denied(&waiting.join().unwrap(), "told to end");
    // The session ends.
    harness.hook(&harness.payload("SessionEnd")).good();
    let closed = harness.records("kind:session");
    assert!(
        closed.iter().any(|r| r["body"]["phase"] == "close"),
        "{closed:?}"
    );
    // (d) The daemon is gone: nothing runs.
    daemon.signal("KILL");
    drop(daemon);
    let began = Instant::now();
    let ran = harness.writes("toolu_e", &harness.work("ungated.txt"), "x", "nobody looks");
    denied(&ran, "no gate listens");
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    // A harness that ran it all the same has it in its transcript, and so it shows.
    let dry = [
        "reconcile",
        "--dry-run",
        harness.transcript.to_str().unwrap(),
    ];
    let before = harness.home.run(dry);
    assert_eq!(before.code, 1, "{before:?}");
    harness.append(
        &json!({ "type": "user", "sessionId": "s", "message": { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "toolu_e", "content": "written" },
        ]}}),
    );
    let ran = harness
        .home
        .run(["reconcile", harness.transcript.to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out
            .contains("toolu_e: it has a result and never asked the gate"),
        "{ran:?}"
    );
    let gap = harness.records("kind:gap").pop().unwrap();
    assert_eq!(gap["body"]["gap"], "ungated", "{gap}");
    assert!(gap.to_string().contains("toolu_e"), "{gap}");
    assert!(
        harness
            .home
            .run(["verify"])
            .good()
            .out
            .contains("signed by whom they say")
    );
    // (e) The settings come back to what they were: there were none.
    harness
        .home
        .run(["hook", "uninstall", "claude-code"])
        .good();
    assert!(!settings.exists());
}

/// A harness may give calls of two sessions the same name, and only one of them asked.
#[test]
fn a_call_of_another_session_does_not_stand_for_one_that_never_asked() {
    let (harness, _daemon) = Harness::new("claude-code", "claude-code", "2.1.330", &[]);
    let ran = harness.writes("toolu_same", &harness.work("x.txt"), "one\n", "it asks");
    assert_eq!(denial(&ran), None);
    let other = harness.home.path("other.jsonl");
    let input = json!({ "file_path": harness.work("y.txt"), "content": "two\n" });
    let lines = [
        json!({ "type": "assistant", "sessionId": "another", "message": { "id": "m", "model": "scripted", "role": "assistant",
            "content": [{ "type": "tool_use", "id": "toolu_same", "name": "Write", "input": input }] } }),
        json!({ "type": "user", "sessionId": "another", "message": { "role": "user",
            "content": [{ "type": "tool_result", "tool_use_id": "toolu_same", "content": "written" }] } }),
    ];
    std::fs::write(&other, lines.map(|line| format!("{line}\n")).concat()).unwrap();
    let ran = harness.home.run(["reconcile", other.to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out
            .contains("toolu_same: it has a result and never asked the gate"),
        "{ran:?}"
    );
    let gap = harness.records("kind:gap").pop().unwrap();
    assert_eq!(gap["body"]["gap"], "ungated", "{gap}");
}

/// Codex tells its hooks nothing of how a patch ended: the disk does, when the session ends.
#[test]
fn codex_edits_a_part_and_the_disk_tells_when_it_says_nothing() {
    let (harness, daemon) = Harness::new("codex", "codex", "0.169.0", &["--preset", "observe"]);
    let patch = "*** Begin Patch\n*** Update File: .github/workflows/deploy.yml\n@@\n-on: push\n+on: tag\n*** End Patch\n";
    let input = json!({ "command": patch });
    let ran = harness.hook(&harness.call("PreToolUse", "call_a", "apply_patch", &input));
    assert_eq!(denial(&ran), None);
    assert!(harness.records("kind:mutation").is_empty());
    std::fs::write(harness.deploy(), "on: tag\n").unwrap();
    harness.hook(&harness.payload("SessionEnd")).good();
    let outcome = harness.records("kind:outcome").pop().unwrap();
    assert_eq!(
        (&outcome["body"]["status"], &outcome["body"]["matched"]),
        (&json!("unknown"), &json!("not_compared")),
        "{outcome}"
    );
    let mutation = harness.records("kind:mutation").pop().unwrap();
    let why = harness
        .home
        .run(["why", &mutation["seq"].to_string()])
        .good()
        .out;
    assert!(
        why.contains("+on: tag") && why.contains("-on: push"),
        "{why}"
    );
    daemon.stop();
    harness.home.run(["verify"]).good();
}

/// Another log's gate, named by everything in the environment that could name one, is not asked.
#[test]
fn the_environment_names_no_gate() {
    let (harness, daemon) = Harness::new("claude-code", "claude-code", "2.1.330", &["--wait", "1"]);
    let fake = Home::with_log();
    let lenient = Daemon::start(&fake, &["--preset", "observe"]);
    let input = json!({ "file_path": harness.deploy(), "content": "on: never\n" });
    harness.tells("toolu_a", "Write", &input, "");
    let asked = harness
        .call("PreToolUse-Write", "toolu_a", "Write", &input)
        .to_string();
    let (log, state, config) = (fake.log(), fake.path("state"), fake.path("config"));
    let environment: &[(&str, &Path)] = &[
        ("TACHO_LOG", &log),
        ("HOME", &fake.path("")),
        ("XDG_STATE_HOME", &state),
        ("XDG_CONFIG_HOME", &config),
        ("XDG_RUNTIME_DIR", &state),
        ("TACHO_SOCKET", &lenient.reviewers),
    ];
    denied(
        &finish(harness.spawn(environment), asked.as_bytes()),
        "waits as hold",
    );
    // Nor does a gate that took the place of ours on the disk: it lacks the key.
    daemon.stop();
    let door = harness
        .home
        .path("state/tachograph/default.run/sessions/hooks.sock");
    let _ = std::fs::remove_file(&door);
    std::os::unix::fs::symlink(
        fake.path("state/tachograph/default.run/sessions/hooks.sock"),
        &door,
    )
    .unwrap();
    denied(
        &harness.hook(&serde_json::from_str(&asked).unwrap()),
        "is not the gate",
    );
    lenient.stop();
    assert!(
        fake.run(["list", "--count", "0", "--json", "--filter", "kind:action"])
            .good()
            .out
            .is_empty()
    );
}

/// The examples for agents of one's own do what they say: run what is allowed, tell what came of it, and run nothing else.
#[test]
fn the_examples_ask_before_they_run() {
    let (home, _) = house();
    std::fs::create_dir_all(home.path("work/.git")).unwrap();
    let daemon = Daemon::start(&home, &["--wait", "1"]);
    let ran = home.run(["hook", "install", "generic"]).good();
    let line = ran
        .out
        .lines()
        .find(|line| line.contains("--agent generic"));
    let command = line.unwrap_or_else(|| panic!("{ran:?}")).trim().to_owned();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hooks");
    let mut tried = 0;
    for (name, program) in [("gated.py", "python3"), ("gated.sh", "sh")] {
        let there = |tool: &str| {
            Command::new("which")
                .arg(tool)
                .output()
                .unwrap()
                .status
                .success()
        };
        if !there(program) || !there("jq") {
            println!("SKIPPED: {name}: there is no {program} or no jq");
            continue;
        }
        tried += 1;
        let run = |command_line: &str| {
            let child = Command::new(program)
                .arg(examples.join(name))
                .arg(command_line)
                .current_dir(home.path("work"))
                .env("TACHO_HOOK", &command)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let ran = finish(child.unwrap(), b"");
            format!("{}{}", ran.out, ran.err)
        };
        let outcomes = || {
            home.run(["list", "--count", "0", "--json", "--filter", "kind:outcome"])
                .json()
                .len()
        };
        let before = outcomes();
        let said = run("echo hello");
        assert!(said.contains("hello"), "{name}: {said}");
        assert_eq!(outcomes(), before + 1, "{name}");
        let said = run("echo '{}' > .claude/settings.json");
        assert!(
            said.contains("Do not try to reach the same"),
            "{name}: {said}"
        );
        assert!(!home.path("work/.claude").exists(), "{name}");
    }
    daemon.stop();
    println!("{tried} examples tried");
}
