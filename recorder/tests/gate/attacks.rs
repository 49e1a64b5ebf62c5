//! What somebody tries who wants a yes.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tacho_policy::Preset;
use tacho_recorder::gate::wire::Signed;
use tacho_recorder::gate::{Step, Wanted, Why};
use tacho_schemas::act::{Statement, Verb};
use tacho_schemas::body::log::Assurance;
use tacho_schemas::hash::LogId;
use tacho_schemas::{Origin, Seq, Time};

use super::support::{House, Person, UID, hour, other_hash, write};

/// Two places of one group, and no place for weak keys or whoever started the agent.
const TWO: &str = r#"
@id("work") permit (principal, action in Action::"act", resource);
@id("two") @approval("reviewers") @k("2") @ttl("PT24H")
forbid (principal, action == Action::"mutate", resource) unless { context.approvals.reviewers >= 2 };
@id("people") permit (principal is Human, action in [Action::"approve", Action::"deny"], resource);
"#;

/// One place, for a strong key of somebody who did not start the agent.
const ONE: &str = r#"
@id("work") permit (principal, action in Action::"act", resource);
@id("one") @approval("reviewers") @k("1") @ttl("PT24H")
forbid (principal, action == Action::"mutate", resource) unless { context.approvals.reviewers >= 1 };
@id("people") permit (principal is Human, action in [Action::"approve", Action::"deny"], resource);
"#;

fn rules(text: &str) -> Wanted {
    Wanted::Rules("rules".to_owned(), text.to_owned())
}

type Forge = fn(&House, Statement, &Person, &Person) -> Signed;

#[test]
fn no_forged_approval_is_taken() {
    let (alice, mallory) = (Person::new("alice", 1), Person::new("mallory", 66));
    let house = House::new(rules(ONE), &[(&alice, Assurance::OtherHost)]);
    let session = house.session();
    let waiting = house.held(session, house.edit("on: push"));
    let hold = waiting.hold();
    let other = house.held(session, house.edit("other")).hold();
    let forgeries: &[(&str, Forge)] = &[
        ("nobody is enrolled with", |_, mut s, _, mallory| {
            s.key = mallory.public().fingerprint();
            House::signed(&s, mallory)
        }),
        ("is by another key", |_, s, _, mallory| {
            House::signed(&s, mallory)
        }),
        ("does not verify", |_, s, alice, _| {
            let mut signed = House::signed(&s, alice);
            let mut changed = s;
            changed.nonce = [3; 16];
            signed.statement = changed.to_string();
            signed
        }),
        ("another purpose", |_, s, alice, _| {
            let text = s.to_string();
            Signed {
                sshsig: alice.sign_in("git", &text, 1),
                statement: text,
                reason: None,
            }
        }),
        ("not armoured", |_, s, _, _| Signed {
            statement: s.to_string(),
            sshsig: "x".to_owned(),
            reason: None,
        }),
        ("another log", |_, mut s, alice, _| {
            s.origin = Origin::from_parts("tacho.invalid", [8; 16]).unwrap();
            House::signed(&s, alice)
        }),
        ("another log", |_, mut s, alice, _| {
            s.log_id = LogId(other_hash());
            House::signed(&s, alice)
        }),
        ("something else", |_, mut s, alice, _| {
            s.verb = Verb::Reject;
            House::signed(&s, alice)
        }),
        ("something else", |_, mut s, alice, _| {
            s.target = Some(Seq(1));
            House::signed(&s, alice)
        }),
        ("another request", |_, mut s, alice, _| {
            s.digest = Some(other_hash());
            House::signed(&s, alice)
        }),
        ("another policy", |_, mut s, alice, _| {
            s.policy = Some(other_hash());
            House::signed(&s, alice)
        }),
        ("another policy", |_, mut s, alice, _| {
            s.policy = None;
            House::signed(&s, alice)
        }),
        ("not yet valid", |_, mut s, alice, _| {
            s.not_before = Time(s.not_before.0 + 3_600_000_000_000);
            s.not_after = Time(s.not_before.0 + 3_600_000_000_000);
            House::signed(&s, alice)
        }),
        ("no longer valid", |_, mut s, alice, _| {
            s.not_after = s.not_before;
            House::signed(&s, alice)
        }),
        ("seven days", |_, mut s, alice, _| {
            s.not_after = Time(s.not_before.0 + 8 * 86_400_000_000_000);
            House::signed(&s, alice)
        }),
    ];
    for (why, forge) in forgeries {
        let statement = house.statement(hold, Verb::Approve, &alice);
        let error = house.send(hold, &forge(&house, statement, &alice, &mallory));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
    // For one hold it is good, for the other not.
    let statement = house.statement(hold, Verb::Approve, &alice);
    let signed = House::signed(&statement, &alice);
    assert!(house.send(other, &signed).is_err());
    assert!(house.send(hold, &signed).unwrap().complete);
    let error = house.send(hold, &signed).unwrap_err().to_string();
    assert!(error.contains("taken before"), "{error}");
    assert!(matches!(house.gate.resume(waiting, Why::Bell), Step::Done(a) if a.allows()));
    // A restart forgets no statement.
    let house = house.again(Wanted::AsRecorded);
    house.held(session, house.edit("on: push"));
    let error = house.send(hold, &signed).unwrap_err().to_string();
    assert!(
        error.contains("used already") || error.contains("taken before"),
        "{error}"
    );
}

#[test]
fn weak_keys_fill_no_place() {
    let weak = Person::new("weak", 1);
    let untouched = Person::with_hardware("sk", 2);
    let house = House::new(
        rules(ONE),
        &[(&weak, Assurance::None), (&untouched, Assurance::Touch)],
    );
    let session = house.session();
    let hold = house.held(session, house.edit("on: push")).hold();
    let answered = house.approve(hold, &weak).unwrap();
    assert!(
        !answered.complete && answered.assurance == "none",
        "{answered:?}"
    );
    // Hardware that nobody touched is as good as a file.
    let statement = house.statement(hold, Verb::Approve, &untouched).to_string();
    let signed = Signed {
        sshsig: untouched.sign_in(tacho_schemas::act::NAMESPACE, &statement, 0),
        statement,
        reason: None,
    };
    let answered = house.send(hold, &signed).unwrap();
    assert!(
        !answered.complete && answered.assurance == "none",
        "{answered:?}"
    );
    house.held(session, house.edit("on: push"));
    let other = house.held(session, house.edit("other")).hold();
    let answered = house.approve(other, &untouched).unwrap();
    assert!(
        answered.complete && answered.assurance == "touch",
        "{answered:?}"
    );
}

/// The key is said to be another user's, and the agent's user brings the signature.
#[test]
fn another_users_key_used_by_the_agents_user_is_weak() {
    let alice = Person::new("alice", 1);
    let house = House::new(rules(ONE), &[(&alice, Assurance::OtherUid)]);
    let session = house.session();
    let hold = house.held(session, house.edit("on: push")).hold();
    let statement = house.statement(hold, Verb::Approve, &alice);
    let peer = tacho_recorder::gate::Peer {
        uid: UID,
        door: tacho_recorder::gate::server::Door::Reviewers,
    };
    let answered = house
        .gate
        .approve(peer, hold, &House::signed(&statement, &alice));
    assert!(!answered.unwrap().complete);
    house.held(session, house.edit("on: push"));
}

#[test]
fn who_started_the_agent_does_not_approve_it() {
    let (alice, bob) = (Person::new("alice", 1), Person::new("bob", 2));
    let house = House::new(
        rules(ONE),
        &[(&alice, Assurance::OtherHost), (&bob, Assurance::OtherHost)],
    );
    let session = house.session_of("agent", Some("alice"));
    let hold = house.held(session, house.edit("on: push")).hold();
    assert!(!house.approve(hold, &alice).unwrap().complete);
    house.held(session, house.edit("on: push"));
    assert!(house.approve(hold, &bob).unwrap().complete);
    assert!(house.done(session, house.edit("on: push")).allows());
}

#[test]
fn one_human_with_two_keys_is_one_human() {
    let (one, two) = (Person::new("alice", 1), Person::new("alice", 2));
    let bob = Person::new("bob", 3);
    let house = House::new(
        rules(TWO),
        &[
            (&one, Assurance::OtherHost),
            (&two, Assurance::OtherHost),
            (&bob, Assurance::OtherHost),
        ],
    );
    let session = house.session();
    let hold = house.held(session, house.edit("on: push")).hold();
    let answered = house.approve(hold, &one).unwrap();
    assert!(answered.missing.unwrap().contains("1 of `reviewers`"));
    let error = house.approve(hold, &two).unwrap_err().to_string();
    assert!(error.contains("has approved hold"), "{error}");
    house.held(session, house.edit("on: push"));
    assert!(house.approve(hold, &bob).unwrap().complete);
    assert!(house.done(session, house.edit("on: push")).allows());
}

#[test]
fn one_approval_lets_one_of_many_through() {
    let alice = Person::new("alice", 1);
    let house = Arc::new(House::new(rules(ONE), &[(&alice, Assurance::OtherHost)]));
    let session = house.session();
    let first = house.held(session, house.edit("on: push"));
    let hold = first.hold();
    let passed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (house, passed) = (&house, &passed);
            scope.spawn(move || {
                let mut ask = house.edit("on: push");
                ask.deadline_ms = Some(3000);
                let peer = House::peer(tacho_recorder::gate::server::Door::Session(session));
                let answer = house.gate.decide_blocking(peer, session, ask);
                if answer.allows() {
                    passed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        house.approve(hold, &alice).unwrap();
    });
    assert_eq!(passed.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_counted_is_counted_once_for_each() {
    const LIMIT: &str = r#"
@id("work") permit (principal, action in Action::"act", resource);
@id("three") forbid (principal, action == Action::"mutate", resource)
when { context.facts.mutations_last_hour >= 3 };
"#;
    let house = Arc::new(House::new(rules(LIMIT), &[]));
    let session = house.session();
    let passed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (house, passed) = (&house, &passed);
            scope.spawn(move || {
                if house
                    .done(session, house.edit(&thread.to_string()))
                    .allows()
                {
                    passed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(passed.load(Ordering::Relaxed), 3);
    hour(&house.clock, 2);
    assert!(house.done(session, house.edit("later")).allows());
}

#[test]
fn a_link_swapped_after_the_approval_is_another_request() {
    let alice = Person::new("alice", 1);
    let house = House::new(rules(ONE), &[(&alice, Assurance::OtherHost)]);
    let session = house.session();
    let work = house.work();
    let (ci, prompts) = (work.join(".github/workflows"), work.join("elsewhere"));
    write(&ci.join("deploy.yml"), "on: push\n");
    write(&prompts.join("deploy.yml"), "on: push\n");
    let waiting = house.held(session, house.edit("new"));
    house.approve(waiting.hold(), &alice).unwrap();
    // Between the approval and the answer.
    std::fs::rename(&ci, work.join("away")).unwrap();
    symlink(&prompts, &ci).unwrap();
    match house.gate.resume(waiting, Why::Bell) {
        Step::Done(answer) => assert!(!answer.approved, "{answer:?}"),
        Step::Wait(other) => drop(other),
    }
    // Between the answer and the execution.
    std::fs::remove_file(&ci).unwrap();
    std::fs::rename(work.join("away"), &ci).unwrap();
    let ask = house.edit("newer");
    let waiting = house.held(session, ask.clone());
    house.approve(waiting.hold(), &alice).unwrap();
    let Step::Done(answer) = house.gate.resume(waiting, Why::Bell) else {
        panic!("it waits on")
    };
    assert!(answer.allows());
    std::fs::rename(&ci, work.join("away")).unwrap();
    symlink(&prompts, &ci).unwrap();
    std::fs::write(prompts.join("deploy.yml"), "newer").unwrap();
    let taken = house.outcome(session, answer.action, &ask);
    assert_eq!(taken.matched, Some(false), "{taken:?}");
    assert_eq!(taken.alarms.len(), 1);
}

#[test]
fn the_guard_surface_is_forbidden_by_whatever_path_it_is_named() {
    let alice = Person::new("alice", 1);
    let house = House::new(
        Wanted::Preset(Preset::Standard),
        &[(&alice, Assurance::OtherHost)],
    );
    let session = house.session();
    let work = house.work();
    std::fs::create_dir_all(work.join(".github/workflows")).unwrap();
    symlink(work.join(".github"), work.join("docs")).unwrap();
    for path in [
        "./.github/../.github/workflows/x.yml",
        "docs/workflows/x.yml",
        ".GitHub/Workflows/x.yml",
    ] {
        let input = serde_json::json!({ "file_path": work.join(path), "content": "x" });
        match house.decide(session, house.ask("Write", &input)) {
            Step::Wait(_) => {}
            Step::Done(answer) => assert!(!answer.allows(), "{path}: {answer:?}"),
        }
    }
    let nested = format!("{}{}", "(".repeat(20_000), ")".repeat(20_000));
    let answer = house.decide(
        session,
        house.ask("Bash", &serde_json::json!({ "command": nested })),
    );
    if let Step::Done(answer) = answer {
        assert!(!answer.allows(), "{answer:?}");
    }
}

#[test]
fn a_thousand_holds_wait_at_once() {
    let alice = Person::new("alice", 1);
    let house = House::new(rules(ONE), &[(&alice, Assurance::OtherHost)]);
    let session = house.session();
    let mut waiting: Vec<_> = (0..1000)
        .map(|n| house.held(session, house.edit(&n.to_string())))
        .collect();
    assert_eq!(house.gate.status().waiting, 1000);
    let chosen = waiting.swap_remove(617);
    house.approve(chosen.hold(), &alice).unwrap();
    assert!(matches!(house.gate.resume(chosen, Why::Bell), Step::Done(a) if a.allows()));
    for other in waiting.drain(..5) {
        assert!(matches!(house.gate.resume(other, Why::Bell), Step::Wait(_)));
    }
    drop(waiting);
    assert_eq!(house.gate.status().waiting, 0);
}

/// A disk without a free byte: nothing is allowed, whatever policy says; a kill still gets in; and with room again work goes on.
#[test]
fn on_a_full_disk_the_answer_is_no() {
    let small = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=48m,mode=700", "none"])
        .arg(small.path())
        .stderr(std::process::Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("SKIPPED: this user may not mount a file system");
        return;
    }
    let alice = Person::new("alice", 1);
    let folder = tempfile::tempdir_in(small.path()).unwrap();
    let filler = small.path().join("filler");
    let house = House::within(folder, rules(ONE), &[(&alice, Assurance::OtherHost)]);
    let session = house.session();
    let waiting = house.held(session, house.edit("on: push"));
    let statement = house.statement(waiting.hold(), Verb::Approve, &alice);
    let read = || house.ask("Read", &serde_json::json!({ "file_path": "x" }));
    assert!(house.done(session, read()).allows());
    let mut full = std::fs::File::create(&filler).unwrap();
    let block = vec![7; 4096];
    while std::io::Write::write_all(&mut full, &block).is_ok() {}
    // What fits into space that is set aside already may pass; then nothing does.
    let mut denied = 0;
    for n in 0..20_000 {
        let mut ask = read();
        ask.tool_use_id = Some(format!("{n} {}", "x".repeat(2000)));
        let answer = house.done(session, ask);
        match answer.allows() {
            true => assert!(answer.action.is_some() && denied == 0, "{answer:?}"),
            false => {
                denied += 1;
                let kind = Some(tacho_schemas::body::work::DenyKind::Unrecordable);
                assert_eq!(
                    (answer.deny_kind, answer.action),
                    (kind, None),
                    "{answer:?}"
                );
                if denied == 20 {
                    break;
                }
            }
        }
    }
    assert_eq!(denied, 20, "the disk was never full");
    // An approval that is not recorded is none, and an edit of a part that cannot be sealed does not happen.
    assert!(
        house
            .send(waiting.hold(), &House::signed(&statement, &alice))
            .is_err()
    );
    assert!(
        !house
            .gate
            .held(waiting.hold())
            .unwrap()
            .approved_by
            .iter()
            .any(|id| id.as_str() == "alice")
    );
    drop(waiting);
    let kill = tacho_recorder::gate::wire::Kill {
        scope: tacho_schemas::body::human::Scope::Session,
        target: None,
        about: Some(Seq(1)),
        trigger: None,
        freeze: None,
        reason: Some("full".to_owned()),
        t_order: None,
        t_flag: None,
        signed: None,
    };
    let peer = House::peer(tacho_recorder::gate::server::Door::Reviewers);
    let killed = house.gate.kill(peer, kill).unwrap();
    drop(full);
    std::fs::remove_file(&filler).unwrap();
    assert!(matches!(
        house.record(killed).body,
        tacho_schemas::body::Body::Kill(_)
    ));
    assert!(house.done(session, read()).allows());
    let path = small.path().to_owned();
    drop(house);
    let _ = std::process::Command::new("umount")
        .arg("--lazy")
        .arg(path)
        .status();
}
