//! Two people: neither alone is enough, for a hold as for a release.

use std::path::PathBuf;

use serde_json::json;

use super::daemon::{Daemon, digits, edit, first_hold, keygen, post};
use super::home::{Home, Ran, finish};

const TWO: &str = r#"
@id("work") permit (principal, action in Action::"act", resource);
@id("two") @approval("reviewers") @k("2") @ttl("PT1H")
forbid (principal, action == Action::"mutate", resource) unless { context.approvals.reviewers >= 2 };
@id("people") permit (principal is Human, action in [Action::"approve", Action::"deny"], resource);
"#;

/// A log with alice and bob, whose private keys are nowhere that the agent's user would look.
fn house() -> (Home, [PathBuf; 2]) {
    let home = Home::with_log();
    std::fs::create_dir(home.path("work")).unwrap();
    std::fs::create_dir(home.path("far")).unwrap();
    let keys = ["alice", "bob"].map(|name| {
        let key = keygen(&home, name);
        let far = home.path("far").join(name);
        std::fs::rename(&key, &far).unwrap();
        std::fs::copy(key.with_extension("pub"), far.with_extension("pub")).unwrap();
        let public = format!("{name}.pub");
        let ran = home.run([
            "approver",
            "add",
            name,
            &public,
            "--assurance",
            "other-host",
        ]);
        ran.good();
        far
    });
    (home, keys)
}

#[test]
fn two_people_sign_for_one_edit() {
    let (home, [alice, bob]) = house();
    std::fs::write(home.path("two.cedar"), TWO).unwrap();
    let daemon = Daemon::start(&home, &["--policy", "two.cedar", "--wait", "60"]);
    let (_, socket) = daemon.session(&home);
    let ask = edit(&home, "on: push\n");
    let waiting = std::thread::spawn(move || post(&socket, "/v1/decide", &ask));
    let hold = first_hold(&home);
    let seq = hold["hold"].to_string();
    let approve = |key: &PathBuf| {
        let key = key.to_str().unwrap();
        home.run([
            "approve",
            &seq,
            "--key",
            key,
            "--yes-digest",
            &digits(&hold),
        ])
    };
    let ran = approve(&alice).good();
    assert!(
        ran.out
            .contains("it still waits for approval by 1 of `reviewers`"),
        "{ran:?}"
    );
    approve(&alice).refused(2, "has approved hold");
    assert!(!waiting.is_finished());
    approve(&bob).good();
    let answer = waiting.join().unwrap();
    assert_eq!(
        (&answer["verdict"], &answer["approved"]),
        (&json!("allow"), &json!(true)),
        "{answer}"
    );
    daemon.stop();
    // Two enrolments and two approvals, each signed.
    let ran = home.run(["verify", "--json"]).good();
    let acts = &ran.json()[0]["acts"];
    assert_eq!(
        (&acts["checked"], &acts["wrong"]),
        (&json!(4), &json!(0)),
        "{acts}"
    );
}

#[test]
fn two_people_sign_for_a_release() {
    let (home, [alice, bob]) = house();
    for with_gate in [true, false] {
        let daemon = with_gate.then(|| Daemon::start(&home, &["--preset", "standard"]));
        home.run(["kill", "all", "--reason", "a test"]).good();
        let release = |key: Option<&PathBuf>| -> Ran {
            let mut args = vec!["release", "--reason", "it is over"];
            if let Some(key) = key {
                args.extend(["--key", key.to_str().unwrap()]);
            }
            home.run(args)
        };
        for (key, said) in [
            (None, "not released: 0 of 2"),
            (Some(&alice), "not released: 1 of 2"),
            // Twice the same is once.
            (Some(&alice), "not released: 1 of 2"),
            (None, "not released: 1 of 2"),
        ] {
            let ran = release(key);
            assert!(ran.code == 1 && ran.out.contains(said), "{said}: {ran:?}");
        }
        let ran = release(Some(&bob)).good();
        assert!(ran.out.starts_with("released kill"), "{ran:?}");
        assert!(home.run(["release", "--reason", "x"]).code == 1);
        drop(daemon.map(Daemon::stop));
    }
    let ran = home.run(["verify", "--switch"]).good();
    assert!(
        ran.out.contains("8 acts and enrolments are signed"),
        "{ran:?}"
    );
}

/// With the gate running, somebody signs through it; without, straight into the log. The last one whose signature counts starts it.
#[test]
fn two_people_sign_for_another_policy() {
    let (home, [alice, bob]) = house();
    let daemon = Daemon::start(&home, &["--preset", "standard"]);
    let strict = |key: &PathBuf| {
        let key = key.to_str().unwrap().to_owned();
        home.run(["serve", "--preset", "strict", "--key", &key])
    };
    let ran = strict(&alice);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("`alice` signed for policy"), "{ran:?}");
    assert!(ran.err.contains("a gate runs"), "{ran:?}");
    daemon.stop();
    for args in [
        &["serve", "--preset", "strict"][..],
        // Twice the same is once.
        &[
            "serve",
            "--preset",
            "strict",
            "--key",
            alice.to_str().unwrap(),
        ],
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(
            ran.err.contains("waits for approval by 1 of `reviewers`"),
            "{ran:?}"
        );
        assert!(
            ran.err
                .contains("runs `tacho serve --preset strict --key FILE`"),
            "{ran:?}"
        );
    }
    // An agent's key is nobody's.
    let mallory = keygen(&home, "mallory");
    strict(&mallory).refused_with_hint(2, "nobody is enrolled with the key");
    let ran = home.run(["serve", "--key", alice.to_str().unwrap()]);
    assert!(ran.code == 2 && ran.err.contains("--preset"), "{ran:?}");
    let bob = bob.to_str().unwrap();
    let said = Daemon::start(&home, &["--preset", "strict", "--key", bob]).stop();
    assert!(said.contains("policy strict"), "{said}");
    assert!(said.contains("as signed by alice, bob"), "{said}");
    // It needs nobody to stay.
    let said = Daemon::start(&home, &["--preset", "strict"]).stop();
    assert!(
        said.contains("policy strict") && !said.contains("replaces"),
        "{said}"
    );
    // Two enrolments, and three signatures for strict.
    let ran = home.run(["verify", "--json"]).good();
    let acts = &ran.json()[0]["acts"];
    assert_eq!(
        (&acts["checked"], &acts["wrong"], &acts["unsigned"]),
        (&json!(5), &json!(0), &json!(0)),
        "{acts}"
    );
}

/// `tacho run` starts a gate under another preset once enough have signed for it, and the agent runs under that one.
#[test]
fn a_run_signs_for_its_preset() {
    let (home, [alice, bob]) = house();
    Daemon::start(&home, &["--preset", "standard"]).stop();
    let run = |key: &PathBuf| {
        let key = key.to_str().unwrap();
        let mut command = home.command(["run", "--level", "process-group"]);
        command.args(["--preset", "strict", "--key", key, "--", "true"]);
        let child = command.current_dir(home.path("work")).spawn().unwrap();
        finish(child, b"")
    };
    let ran = run(&alice);
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.err.contains("`alice` signed for policy"), "{ran:?}");
    assert!(
        ran.err.contains("waits for approval by 1 of `reviewers`"),
        "{ran:?}"
    );
    run(&bob).good();
    let said = Daemon::start(&home, &[]).stop();
    assert!(said.contains("policy strict"), "{said}");
}
