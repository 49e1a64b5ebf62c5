//! What the verbs answer when all is well, or when the answer is no.

use super::home::{Home, MESSAGE};

#[test]
fn init_says_what_it_made() {
    let home = Home::empty();
    let ran = home.run(["init", "--domain", "audit.example.com"]).good();
    assert!(
        ran.out.starts_with("made the log audit.example.com/"),
        "{ran:?}"
    );
    assert!(ran.out.contains("identity.pem (new)"), "{ran:?}");
    let made = &home
        .run(["--log", "second", "init", "--json"])
        .good()
        .json()[0];
    assert_eq!(made["identity_made"], false);
    assert!(made["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
    home.run(["--log", "second", "verify"]).good();
}

#[test]
fn list_shows_what_was_said() {
    let home = Home::with_log();
    home.record(&[MESSAGE]).good();
    let ran = home.run(["list", "--from", "4", "--count", "1"]).good();
    let words: Vec<_> = ran.out.split_whitespace().collect();
    assert_eq!(
        (words[0], &words[2..]),
        ("4", &["message", "api", "quill", "done"][..])
    );
    let record = &home
        .run(["list", "--from", "4", "-n", "1", "--json"])
        .good()
        .json()[0];
    assert_eq!(record["text_of"]["text"], "done");
    let ran = home.run(["list", "--from", "99"]).good();
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("", "tacho: the log has 6 records, so none from 99 on\n")
    );
}

#[test]
fn what_an_agent_wrote_cannot_act_on_a_terminal() {
    let home = Home::with_log();
    home.record(&[&MESSAGE.replace("done", r"\u001b[2Jgone\u202e\u0007")])
        .good();
    let ran = home.run(["list"]).good();
    assert!(ran.out.contains("gone"), "{ran:?}");
    for c in ['\x1b', '\u{202e}', '\x07'] {
        assert!(!ran.out.contains(c), "{ran:?}");
    }
}

#[test]
fn verify_answers_apart_and_trust_decides() {
    let home = Home::with_log();
    let receipt = home.record(&[MESSAGE]).good().out;
    std::fs::write(home.path("receipt"), &receipt).unwrap();
    let ran = home.run(["verify"]).good();
    assert!(ran.out.contains("the key pinned for this log"), "{ran:?}");
    assert!(ran.out.contains("open tail"), "{ran:?}");
    let time = ran
        .out
        .lines()
        .find(|line| line.contains("  time "))
        .unwrap();
    assert!(
        time.len() < 80 && time.ends_with("Z, the clocks agree"),
        "{time}"
    );

    let report = &home
        .run(["verify", "--json", "--against", "receipt"])
        .good()
        .json()[0];
    assert_eq!(report["completeness"]["complete_up_to"]["size"], 5);
    assert_eq!(report["good"], true);
    let checkpoints = home.log().join("checkpoints");
    let text = std::fs::read_to_string(checkpoints).unwrap();
    let last = text.trim_end().rsplit("\n\n\n").next().unwrap();
    let note = last
        .rsplit_once("\n\n")
        .map(|_| format!("{}\n", last_note(&text)));
    std::fs::write(home.path("checkpoint"), note.unwrap()).unwrap();
    let args = [
        "verify",
        "--against",
        "checkpoint",
        "--require",
        "complete",
        "--require",
        "sealed",
    ];
    home.run(args).good();

    let ran = home.run(["verify", "--require", "complete"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out.contains("marks from outside cover 0 of 6"),
        "{ran:?}"
    );
    let wrong = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let ran = home.run(["verify", "--trust", wrong]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out.contains("NOT VERIFIED") && ran.out.contains(wrong),
        "{ran:?}"
    );
    let identity = home.identity();
    home.run(["verify", "--trust", identity.to_str().unwrap()])
        .good();
    std::fs::remove_file(home.path("config/tachograph/known_logs")).unwrap();
    let ran = home.run(["verify"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("self-consistent, not anchored"), "{ran:?}");
    home.run(["verify", "--integrity-only"]).good();
    home.run(["verify", "--trust", "SHA256:abc"])
        .refused_with_hint(2, "is no identity key");
    home.run(["verify", "--against", "nowhere"])
        .refused(2, "cannot read `nowhere`: no such file");
    std::fs::write(home.path("junk"), "junk").unwrap();
    home.run(["verify", "--against", "junk"])
        .refused_with_hint(2, "is neither a checkpoint nor a receipt");
}

/// The last of the notes in a checkpoints file: text, blank line, signatures.
fn last_note(file: &str) -> String {
    let mut notes = vec![String::new()];
    let mut signed = false;
    for line in file.lines() {
        if line.is_empty() && signed {
            notes.push(String::new());
            signed = false;
            continue;
        }
        signed = line.starts_with('—');
        let note = notes.last_mut().unwrap();
        note.push_str(line);
        note.push('\n');
    }
    notes.retain(|note| !note.is_empty());
    notes.pop().unwrap().trim_end_matches('\n').to_owned()
}

#[test]
fn a_receipt_of_another_log_is_a_no() {
    let home = Home::with_log();
    home.run(["--log", "other", "init"]).good();
    let input = format!("{MESSAGE}\n");
    let receipt = home
        .feed(["--log", "other", "record"], input.as_bytes())
        .good()
        .out;
    std::fs::write(home.path("receipt"), receipt).unwrap();
    let ran = home.run(["verify", "--against", "receipt"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("is of another log"), "{ran:?}");
}

#[test]
fn colour_is_for_terminals() {
    let home = Home::with_log();
    for verb in [&["verify"][..], &["list"], &["key", "show"], &["demo"]] {
        assert!(!home.run(verb).good().out.contains('\x1b'), "{verb:?}");
    }
    let Some(script) = terminal(&home, "") else {
        return;
    };
    assert!(script.contains("\x1b[32mverified"), "{script}");
    let plain = terminal(&home, "NO_COLOR=1").unwrap();
    assert!(
        plain.contains("verified") && !plain.contains('\x1b'),
        "{plain}"
    );
    let empty = terminal(&home, "NO_COLOR=").unwrap();
    assert!(
        empty.contains("\x1b[32mverified"),
        "an empty NO_COLOR does not count: {empty}"
    );
}

/// Runs `verify` on a terminal, where script(1) can make one.
fn terminal(home: &Home, variable: &str) -> Option<String> {
    let ours = home.command(["verify"]);
    let program = ours.get_program().to_str()?.to_owned();
    let mut command = std::process::Command::new("script");
    command.args([
        "-qec",
        &format!("env {variable} {program} verify"),
        "/dev/null",
    ]);
    for (name, value) in ours.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.stdin(std::process::Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_demo_catches_everything_and_leaves_nothing() {
    let home = Home::empty();
    let before = std::fs::read_dir(home.path("")).unwrap().count();
    let ran = home.run(["demo"]).good();
    assert_eq!(ran.err, "");
    assert!(
        ran.out.contains("4 of 4 attacks were caught"),
        "{}",
        ran.out
    );
    for said in [
        "fitness 0.0 → 0.9956384935764844",
        "#135 modify code: 110 lines added",
        "everything was understood",
        "its prompt: allowed (prompt-flows)",
        "its workflow: approved (look-at-workflow)",
        "its own tests: denied (own-tests)",
        "killed, and all it started: 0 left",
        "#20 modify ci: 1 lines added, 1 removed",
        "approved by #16 approval by you",
        "27 records sound; I1 I2 I3 I4 I6 I7 hold",
    ] {
        assert!(ran.out.contains(said), "{said}\n{}", ran.out);
    }
    for line in ran.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), before);

    let answer = &home.run(["demo", "--json", "--keep", "kept"]).good().json()[0];
    assert_eq!(answer["gain"]["mutation"], 135);
    let attacks = answer["attacks"].as_array().unwrap();
    let breaches: Vec<_> = attacks
        .iter()
        .map(|a| a["breach"].as_str().unwrap())
        .collect();
    assert_eq!(breaches, ["chain", "content", "truncated", "forked"]);
    assert!(attacks.iter().all(|a| a["caught"] == true), "{answer}");
    assert_eq!(
        answer["live"]["wishes"],
        serde_json::json!(["allowed", "approved", "denied"])
    );
    assert_eq!(answer["live"]["survivors"], 0);
    let trust = ["--trust", "kept/identity.pem"];
    let verify = |log: &str, against: &[&str]| {
        let mut args = vec!["--log", log, "verify"];
        args.extend(trust);
        args.extend(against);
        home.run(args).code
    };
    let against = ["--against", "kept/receipt.json"];
    assert_eq!(verify("kept/log", &against), 0);
    assert_eq!(verify("kept/edited", &[]), 1);
    assert_eq!(verify("kept/reworded", &[]), 1);
    assert_eq!(
        (verify("kept/cut", &[]), verify("kept/cut", &against)),
        (0, 1)
    );
    assert_eq!(
        (
            verify("kept/rewritten", &[]),
            verify("kept/rewritten", &against)
        ),
        (0, 1)
    );
    home.run(["demo", "--keep", "kept"])
        .refused_with_hint(2, "cannot make `kept`: file exists");
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let home = Home::empty();
    for wait in [0, 30, 120, 300] {
        let child = home.command(["demo"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        super::record::interrupt(&child);
        let ran = super::home::finish(child, b"");
        // Before it listens for signals, it has made nothing; after its end, there is nothing left.
        assert!([-1, 0, 2].contains(&ran.code), "{ran:?}");
        if ran.code == 2 {
            assert_eq!(ran.err, "tacho: interrupted\n");
        }
        assert_eq!(
            std::fs::read_dir(home.path("")).unwrap().count(),
            0,
            "{ran:?}"
        );
    }
}
