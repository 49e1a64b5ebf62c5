//! The life of a call.

use std::sync::Arc;

use tacho_policy::Preset;
use tacho_recorder::gate::server::Door;
use tacho_recorder::gate::{Step, Wanted, Why};
use tacho_recorder::switch::Target;
use tacho_schemas::act::Verb;
use tacho_schemas::body::Body;
use tacho_schemas::body::change::Change;
use tacho_schemas::body::log::Assurance;
use tacho_schemas::body::work::{Decision, DenyKind, Match};
use tacho_schemas::content::Field;
use tacho_schemas::record::{Role, Via};

use super::support::{House, Person, hour, write};

fn solo() -> (House, Person) {
    let alice = Person::new("alice", 1);
    let house = House::new(
        Wanted::Preset(Preset::Solo),
        &[(&alice, Assurance::OtherHost)],
    );
    (house, alice)
}

#[test]
fn what_is_allowed_is_recorded_before_it_is_answered() {
    let (house, _) = solo();
    let session = house.session();
    let path = house.work().join("README.md");
    let ask = house.ask("Read", &serde_json::json!({ "file_path": path }));
    let answer = house.done(session, ask.clone());
    assert!(answer.allows(), "{answer:?}");
    let shown = house.shown(answer.action.unwrap());
    let record = shown.meaning.as_ref().unwrap();
    assert_eq!((record.via, record.session), (Via::Gate, Some(session)));
    assert!(record.generation.is_some());
    let Body::Action(action) = &record.body else {
        panic!("{record:?}")
    };
    let verdict = action.verdict.as_ref().unwrap();
    assert_eq!(verdict.decision, Decision::Allow);
    assert!(verdict.policy_digest.is_some() && verdict.policy.is_some());
    assert_eq!(shown.text(Field::Summary), Some("because"));
    assert_eq!(shown.text(Field::Input), Some(ask.input.to_text().as_str()));
    let request = tacho_policy::Request::from_bytes(shown.text(Field::Request).unwrap().as_bytes());
    let facts = tacho_policy::Facts::from_bytes(shown.text(Field::Facts).unwrap().as_bytes());
    // Exactly what was decided can be decided again.
    let policies = tacho_policy::Policies::preset(Preset::Solo).unwrap();
    let again = policies.decide(&request.unwrap(), &facts.unwrap());
    assert_eq!(again.decision, tacho_policy::Decision::Allow);
}

#[test]
fn nothing_is_decided_for_a_session_that_is_not_open() {
    let (house, _) = solo();
    let session = house.session();
    let peer = House::peer(Door::Reviewers);
    let close = tacho_recorder::gate::wire::CloseSession {
        exit: Some(0),
        signal: None,
        reason: None,
    };
    house.gate.close_session(peer, session, close).unwrap();
    let ask = house.ask("Read", &serde_json::json!({ "file_path": "x" }));
    let answer = house.done(session, ask);
    assert_eq!(answer.deny_kind, Some(DenyKind::Unrecordable));
    assert_eq!(answer.action, None);
}

#[test]
fn a_log_that_cannot_be_written_denies() {
    let (house, alice) = solo();
    let session = house.session();
    let waiting = house.held(session, house.edit("on: push"));
    let statement = house.statement(waiting.hold(), Verb::Approve, &alice);
    house
        .broken
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let read = house.ask("Read", &serde_json::json!({ "file_path": "x" }));
    let answer = house.done(session, read);
    assert_eq!(answer.deny_kind, Some(DenyKind::Unrecordable), "{answer:?}");
    assert_eq!((answer.allows(), answer.action), (false, None));
    // An approval that is not recorded is none.
    house
        .send(waiting.hold(), &House::signed(&statement, &alice))
        .unwrap_err();
    let Step::Done(answer) = house.gate.resume(waiting, Why::Deadline) else {
        panic!("it waits on")
    };
    assert_eq!(answer.deny_kind, Some(DenyKind::Unrecordable), "{answer:?}");
}

#[test]
fn a_hold_passes_once_and_only_once() {
    let (house, alice) = solo();
    let session = house.session();
    let waiting = house.held(session, house.edit("on: push"));
    let hold = waiting.hold();
    let held = house.hold(hold);
    assert!(held.waiting);
    assert_eq!(held.summary.as_deref(), Some("because"));
    assert!(
        held.diff.as_ref().unwrap().contains("+on: push"),
        "{held:?}"
    );
    let answered = house.approve(hold, &alice).unwrap();
    assert!(answered.complete, "{answered:?}");
    let Step::Done(answer) = house.gate.resume(waiting, Why::Bell) else {
        panic!("it waits on")
    };
    assert!(answer.allows() && answer.approved, "{answer:?}");
    let record = house.record(answer.action.unwrap());
    let Body::Action(action) = &record.body else {
        panic!("{record:?}")
    };
    let consumes = action.verdict.as_ref().unwrap().consumes.as_ref().unwrap();
    assert_eq!(consumes.as_slice(), [answered.approval]);
    assert_eq!(record.causes(), [hold, answered.approval]);
    // The same again is another hold.
    let again = house.held(session, house.edit("on: push"));
    assert!(again.hold() > hold);
    // And what was used up cannot be used again.
    assert!(house.approve(hold, &alice).is_err());
}

#[test]
fn a_retry_passes_whatever_it_is_called_and_other_content_does_not() {
    let (house, alice) = solo();
    let session = house.session();
    let waiting = house.held(session, house.edit("on: push"));
    let hold = waiting.hold();
    let Step::Done(late) = house.gate.resume(waiting, Why::Deadline) else {
        panic!("it waits on")
    };
    assert_eq!(late.deny_kind, Some(DenyKind::Unapproved));
    assert_eq!(late.hold, Some(hold));
    assert!(late.reason.contains(&format!("hold {hold}")), "{late:?}");
    assert_eq!(house.record(late.action.unwrap()).causes(), [hold]);
    // Asked again while nobody answered: the same hold, no new record.
    let size = house.size();
    let retry = house.held(session, house.edit("on: push"));
    assert_eq!((retry.hold(), house.size()), (hold, size));
    house.approve(hold, &alice).unwrap();
    let other = house.held(session, house.edit("on: pull_request"));
    assert_ne!(other.hold(), hold);
    let mut same = house.edit("on: push");
    same.tool_use_id = Some("another".to_owned());
    same.rationale = None;
    let answer = house.done(session, same);
    assert!(answer.allows() && answer.approved, "{answer:?}");
}

#[test]
fn a_no_is_a_no() {
    let (house, alice) = solo();
    let session = house.session();
    let waiting = house.held(session, house.edit("on: push"));
    let hold = waiting.hold();
    let statement = house.statement(hold, Verb::Reject, &alice);
    let peer = House::peer(Door::Reviewers);
    let signed = House::signed(&statement, &alice);
    let rejected = house.gate.reject(peer, hold, &signed).unwrap();
    let Step::Done(answer) = house.gate.resume(waiting, Why::Bell) else {
        panic!("it waits on")
    };
    assert_eq!(answer.deny_kind, Some(DenyKind::Unapproved));
    let record = house.record(answer.action.unwrap());
    assert_eq!(record.causes(), [hold, rejected.approval]);
    // Nobody is asked again for the same.
    let answer = house.done(session, house.edit("on: push"));
    assert_eq!(answer.deny_kind, Some(DenyKind::Unapproved));
    assert!(house.approve(hold, &alice).is_err());
}

#[test]
fn holds_sessions_and_approvals_survive_a_restart() {
    let (house, alice) = solo();
    let session = house.session();
    let one = house.held(session, house.edit("one"));
    let two = house.held(session, house.edit("two"));
    let spent = house.held(session, house.edit("spent"));
    house.approve(one.hold(), &alice).unwrap();
    house.approve(spent.hold(), &alice).unwrap();
    assert!(matches!(house.gate.resume(spent, Why::Bell), Step::Done(a) if a.allows()));
    let (one, two) = (one.hold(), two.hold());
    let digest = house.hold(two).digest;
    let house = house.again(Wanted::AsRecorded);
    assert_eq!(house.gate.open_sessions(), [session]);
    assert_eq!(house.hold(two).digest, digest);
    assert!(house.hold(one).diff.unwrap().contains("+one"));
    assert_eq!(house.gate.holds().unwrap().len(), 2);
    let answer = house.done(session, house.edit("one"));
    assert!(answer.allows() && answer.approved, "{answer:?}");
    assert_eq!(house.held(session, house.edit("two")).hold(), two);
    house.approve(two, &alice).unwrap();
    assert!(house.done(session, house.edit("two")).allows());
    assert!(house.held(session, house.edit("spent")).hold() > two);
}

#[test]
fn another_policy_voids_what_is_open() {
    let (house, alice) = solo();
    let session = house.session();
    let hold = house.held(session, house.edit("on: push")).hold();
    house.approve(hold, &alice).unwrap();
    let rules = format!("{}\n// changed\n", Preset::Solo.text());
    let house = house.again(Wanted::Rules("mine".to_owned(), rules));
    assert_eq!(house.gate.status().policy, "mine");
    assert!(house.gate.holds().unwrap().is_empty());
    assert!(house.held(session, house.edit("on: push")).hold() > hold);
    let error = house.approve(hold, &alice).unwrap_err();
    assert!(error.to_string().contains("policy"), "{error}");
    // What is in force stays so, and what was void stays void.
    let house = house.again(Wanted::AsRecorded);
    assert_eq!(house.gate.status().policy, "mine");
    assert_eq!(house.gate.holds().unwrap().len(), 1);
}

#[test]
fn an_approval_ends() {
    let (house, alice) = solo();
    let session = house.session();
    let waiting = house.held(session, house.edit("on: push"));
    house.approve(waiting.hold(), &alice).unwrap();
    hour(&house.clock, 2);
    let Step::Wait(waiting) = house.gate.resume(waiting, Why::Bell) else {
        panic!("an approval that ended was used")
    };
    hour(&house.clock, 23);
    // So does the hold.
    assert!(house.approve(waiting.hold(), &alice).is_err());
    assert!(house.held(session, house.edit("on: push")).hold() > waiting.hold());
}

#[test]
fn the_switch_stops_those_who_wait_and_those_who_ask() {
    let (house, alice) = solo();
    let (one, two) = (house.session(), house.session_of("other", None));
    let waiting = house.held(one, house.edit("on: push"));
    let hold = waiting.hold();
    house.approve(hold, &alice).unwrap();
    house.switch().engage(&Target::Session(one)).unwrap();
    house.gate.look_at_switch();
    let Step::Done(answer) = house.gate.resume(waiting, Why::Bell) else {
        panic!("it waits on")
    };
    assert!(answer.killed && !answer.allows(), "{answer:?}");
    assert_eq!(answer.deny_kind, Some(DenyKind::Killed));
    assert_eq!(house.record(answer.action.unwrap()).causes(), [hold]);
    assert!(
        house
            .done(
                two,
                house.ask("Read", &serde_json::json!({ "file_path": "x" }))
            )
            .allows()
    );
    house.switch().engage(&Target::All).unwrap();
    let read = house.ask("Read", &serde_json::json!({ "file_path": "x" }));
    assert!(house.done(two, read).killed);
    // After the release nothing of before passes.
    house.switch().release(&Target::All, 1).unwrap();
    house.switch().release(&Target::Session(one), 1).unwrap();
    assert!(house.held(one, house.edit("on: push")).hold() > hold);
}

#[test]
fn a_stop_answers_everybody() {
    let (house, _) = solo();
    let session = house.session();
    let waiting = house.held(session, house.edit("on: push"));
    let bell = waiting.bell();
    house.gate.stop();
    assert!(bell.has_changed().unwrap());
    let Step::Done(answer) = house.gate.resume(waiting, Why::Bell) else {
        panic!("it waits on")
    };
    assert_eq!(answer.deny_kind, Some(DenyKind::Unapproved));
    let answer = house.done(session, house.edit("other"));
    assert_eq!(answer.deny_kind, Some(DenyKind::Unapproved));
}

#[test]
fn an_edit_of_a_part_becomes_a_mutation_and_a_generation() {
    let (house, alice) = solo();
    let session = house.session();
    let path = house.work().join(".github/workflows/deploy.yml");
    write(&path, "on: push\n");
    let ask = house.edit("on: push\njobs: {}\n");
    let waiting = house.held(session, ask.clone());
    let approval = house.approve(waiting.hold(), &alice).unwrap().approval;
    let Step::Done(answer) = house.gate.resume(waiting, Why::Bell) else {
        panic!("it waits on")
    };
    let action = answer.action.unwrap();
    // What was written before is sealed before the change takes effect.
    let seal = house.record(tacho_schemas::Seq(action.0 + 1));
    assert!(matches!(seal.body, Body::Seal(_)), "{seal:?}");
    std::fs::write(&path, "on: push\njobs: {}\n").unwrap();
    let taken = house.outcome(session, answer.action, &ask);
    assert_eq!(taken.matched, Some(true), "{taken:?}");
    assert!(taken.alarms.is_empty(), "{taken:?}");
    let shown = house.shown(taken.mutations[0]);
    let record = shown.meaning.as_ref().unwrap();
    let Body::Mutation(mutation) = &record.body else {
        panic!("{record:?}")
    };
    assert_eq!(mutation.change, Change::Modify);
    assert_eq!(mutation.action, answer.action);
    assert_eq!(mutation.approvals.as_ref().unwrap().as_slice(), [approval]);
    assert_eq!((mutation.added, mutation.removed), (Some(1), Some(0)));
    assert_eq!(
        shown.text(Field::Path),
        Some(".github/workflows/deploy.yml")
    );
    assert_eq!(shown.text(Field::Summary), Some("because"));
    let roles: Vec<_> = record.artefacts().iter().map(|a| a.role).collect();
    assert_eq!(roles, [Role::Before, Role::After, Role::Diff]);
    let generation = house.record(taken.generation.unwrap());
    let Body::Generation(body) = &generation.body else {
        panic!("{generation:?}")
    };
    assert_eq!(body.mutations.as_ref().unwrap().as_slice(), taken.mutations);
    assert_eq!(
        body.parents.as_ref().unwrap().as_slice(),
        [record.generation.unwrap()]
    );
    // The next action runs under it, and still does after a restart.
    let read = house.ask("Read", &serde_json::json!({ "file_path": "x" }));
    let next = house.done(session, read.clone());
    assert_eq!(
        house.record(next.action.unwrap()).generation,
        taken.generation
    );
    let house = house.again(Wanted::AsRecorded);
    let next = house.done(session, read);
    assert_eq!(
        house.record(next.action.unwrap()).generation,
        taken.generation
    );
}

#[test]
fn what_was_executed_is_held_against_what_was_decided() {
    let (house, _) = solo();
    let session = house.session();
    let ask = house.ask(
        "Bash",
        &serde_json::json!({ "command": "ls", "description": "look" }),
    );
    let answer = house.done(session, ask.clone());
    let same = house.ask(
        "Bash",
        &serde_json::json!({ "command": "ls", "description": "see" }),
    );
    let taken = house.outcome(session, answer.action, &same);
    assert_eq!((taken.matched, taken.alarms.len()), (Some(true), 0));
    let answer = house.done(session, ask);
    let other = house.ask("Bash", &serde_json::json!({ "command": "ls /" }));
    let taken = house.outcome(session, answer.action, &other);
    assert_eq!((taken.matched, taken.alarms.len()), (Some(false), 1));
    let Body::Outcome(outcome) = house.record(taken.outcome).body else {
        panic!()
    };
    assert_eq!(outcome.matched, Some(Match::Differs));
    // One answer, executed twice.
    let taken = house.outcome(session, answer.action, &other);
    assert_eq!(taken.alarms.len(), 2);
    // Never asked.
    let taken = house.outcome(session, None, &other);
    assert_eq!(taken.matched, None);
    assert!(matches!(house.record(taken.alarms[0]).body, Body::Gap(_)));
}

#[test]
fn a_reference_is_one_session() {
    let (house, _) = solo();
    let open = |reference: &str, workspace: &str| tacho_recorder::gate::wire::OpenSession {
        agent: tacho_schemas::Id::new("agent").unwrap(),
        workspace: workspace.to_owned(),
        harness: None,
        harness_version: None,
        lineage: None,
        confinement: Some(tacho_schemas::body::work::Confinement::Cell),
        parent: None,
        launcher: None,
        goal: None,
        command: None,
        source_id: None,
        reference: Some(tacho_schemas::Id::new(reference).unwrap()),
    };
    let peer = House::peer(Door::Hooks);
    let (one, new) = house.gate.open_session(peer, open("a:1", "/x")).unwrap();
    assert!(new);
    let (again, new) = house.gate.open_session(peer, open("a:1", "/x")).unwrap();
    assert_eq!((one.session, new), (again.session, false));
    // Nobody who comes as a hook says what confines it.
    let Body::Session(session) = house.record(one.session).body else {
        panic!()
    };
    let hook_only = tacho_schemas::body::work::Confinement::HookOnly;
    assert_eq!(session.confinement, Some(hook_only));
    let mut stranger = peer;
    stranger.uid += 1;
    assert!(
        house
            .gate
            .open_session(stranger, open("a:1", "/x"))
            .is_err()
    );
    assert!(house.gate.check_peer(one.session, stranger.uid).is_err());
    let house = house.again(Wanted::AsRecorded);
    let (again, new) = house.gate.open_session(peer, open("a:1", "/x")).unwrap();
    assert_eq!((one.session, new), (again.session, false));
    drop(Arc::clone(&house.gate));
}

/// What the disk shows at a session's end of calls that nobody told of; what did not happen, what was told and what was denied is not
/// written down again.
#[test]
fn the_end_of_a_session_tells_what_the_disk_shows() {
    let house = House::new(Wanted::Preset(Preset::Observe), &[]);
    let session = house.session();
    let work = house.work();
    let ask = |name: &str, content: &str| {
        let input = serde_json::json!({ "file_path": work.join(name), "content": content });
        house.ask("Write", &input)
    };
    write(&work.join("CLAUDE.md"), "be kind\n");
    write(&work.join("a/CLAUDE.md"), "told\n");
    write(&work.join("b/CLAUDE.md"), "not done\n");
    let silent = house.done(session, ask("CLAUDE.md", "be quick\n"));
    let made = house.done(session, ask("c/CLAUDE.md", "new\n"));
    let told = ask("a/CLAUDE.md", "told again\n");
    let told_action = house.done(session, told.clone()).action;
    assert!(house.done(session, ask("b/CLAUDE.md", "never\n")).allows());
    write(&work.join("CLAUDE.md"), "be quick\n");
    write(&work.join("c/CLAUDE.md"), "new\n");
    write(&work.join("a/CLAUDE.md"), "told again\n");
    house.outcome(session, told_action, &told);
    let before = house.size();
    let close = tacho_recorder::gate::wire::CloseSession {
        exit: None,
        signal: None,
        reason: None,
    };
    let peer = House::peer(Door::Hooks);
    let closed = house.gate.close_session(peer, session, close).unwrap();
    let (mut changed, mut outcomes) = (Vec::new(), Vec::new());
    for seq in before..closed.0 {
        let record = house.record(tacho_schemas::Seq(seq));
        assert_eq!(record.session, Some(session));
        match record.body {
            Body::Mutation(mutation) => changed.push((mutation.action, mutation.change)),
            Body::Outcome(outcome) => {
                assert_eq!(outcome.matched, Some(Match::NotCompared));
                assert_eq!(outcome.status, tacho_schemas::body::work::Status::Unknown);
                outcomes.push(outcome.of);
            }
            Body::Generation(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let expected = [
        (silent.action, Change::Modify),
        (made.action, Change::Create),
    ];
    assert_eq!(changed, expected);
    assert_eq!(outcomes, [silent.action, made.action]);
}

/// A harness knows only its own name of a call; the gate that answered it may have been another.
#[test]
fn an_outcome_finds_its_call_after_a_restart() {
    let house = House::new(Wanted::Preset(Preset::Observe), &[]);
    let session = house.session();
    let mut ask = house.edit("on: push\n");
    ask.tool_use_id = Some("toolu_1".to_owned());
    let answer = house.done(session, ask.clone());
    assert!(answer.allows(), "{answer:?}");
    let house = house.again(Wanted::AsRecorded);
    let path = house.work().join(".github/workflows/deploy.yml");
    write(&path, "on: push\n");
    let outcome = |id: &str| tacho_recorder::gate::wire::Outcome {
        action: None,
        tool_use_id: Some(id.to_owned()),
        tool: ask.tool.clone(),
        input: ask.input.clone(),
        cwd: None,
        status: tacho_schemas::body::work::Status::Succeeded,
        exit: None,
        output: None,
        error: None,
    };
    let peer = House::peer(Door::Session(session));
    let taken = house.gate.outcome(peer, outcome("toolu_1")).unwrap();
    assert_eq!((taken.matched, taken.alarms.len()), (Some(true), 0));
    assert_eq!(taken.mutations.len(), 1);
    let taken = house.gate.outcome(peer, outcome("toolu_2")).unwrap();
    assert_eq!((taken.matched, taken.alarms.len()), (None, 1));
}
