//! Rollouts of Codex.

use std::collections::BTreeMap;

use tacho_recorder::import::Format;
use tacho_schemas::body::RationaleSource;
use tacho_schemas::body::change::Change;
use tacho_schemas::body::work::{Speaker, Status};
use tacho_schemas::canon;
use tacho_schemas::content::{Field, MAX_ROW, Provenance};
use tacho_schemas::record::Role;
use tacho_schemas::{Hash, Kind};

use crate::harness::{
    Bench, action, fixture, losses, message, mutation, outcome, record, roles, session,
};

#[test]
fn a_rollout_of_today() {
    let mut bench = Bench::new();
    let path = fixture("codex/made-modern.jsonl");
    let (imported, records) = bench.path(&path);
    assert_eq!(imported.format, Format::Codex);
    let made: Vec<_> = imported
        .counts
        .iter()
        .map(|(k, n)| (k.name(), *n))
        .collect();
    assert_eq!(
        made,
        [
            ("session", 1),
            ("message", 9),
            ("action", 7),
            ("outcome", 6),
            ("mutation", 4)
        ]
    );
    let expected = BTreeMap::from([
        ("call_without_result", 1),
        ("compacted:replacement_history", 1),
        ("event:agent_message_alone", 1),
        ("event:something_new", 1),
        ("event:task_started", 1),
        ("item:ghost_snapshot", 1),
        ("output_part:input_image", 1),
        ("reasoning_sealed", 2),
        ("result_without_call", 1),
        ("session_meta:git", 1),
        ("session_meta:model_provider", 1),
        ("session_meta:originator", 1),
        ("session_meta:source", 1),
        ("turn_context:approval_policy", 1),
        ("turn_context:effort", 1),
        ("turn_context:sandbox_policy", 1),
    ]);
    assert_eq!(losses(&imported), expected);
    let repeats: Vec<_> = imported
        .repeats
        .iter()
        .map(|(k, n)| (k.as_str(), *n))
        .collect();
    assert_eq!(
        repeats,
        [
            ("agent_message", 1),
            ("agent_reasoning", 1),
            ("patch_apply_end", 1),
            ("task_complete", 1),
            ("token_count", 1),
            ("user_message", 1),
            ("web_search_end", 1),
        ]
    );

    let speakers: Vec<_> = records
        .of(Kind::Message)
        .iter()
        .map(|s| (message(s).speaker, message(s).usage.is_some()))
        .collect();
    use Speaker::{Assistant, System, User};
    assert_eq!(
        speakers,
        [
            (System, false),
            (System, false),
            (User, false),
            (Assistant, true),
            (Assistant, false),
            (Assistant, true),
            (Assistant, false),
            (System, false),
            (System, false),
        ]
    );

    let first = records.action("call_1");
    assert_eq!(
        first.text(Field::Summary),
        Some("I look at the label first.")
    );
    assert_eq!(
        first.text(Field::Reasoning),
        Some("The label is wrong in one file.")
    );
    assert_eq!(first.text(Field::Command), Some("cat label.txt"));
    assert_eq!(
        record(first).actor.model.as_ref().unwrap().as_str(),
        "example-codex-1"
    );
    let text = std::fs::read(&path).unwrap();
    let place = first.row.text(Field::Provenance).unwrap();
    let place = canon::decode::<Provenance>(place, MAX_ROW).unwrap();
    let before = &text[..usize::try_from(place.offset).unwrap()];
    assert!(before.ends_with(b"\"call_1\"}}\n"));
    assert_eq!(place.prefix_blake3, Hash(*blake3::hash(before).as_bytes()));
    let second = records.action("call_2");
    assert_eq!(second.text(Field::Command), Some("ls beds"));
    assert_eq!(
        record(first).causes(),
        record(second).causes(),
        "beside each other"
    );
    let third = action(records.action("call_3")).rationale.clone().unwrap();
    assert_eq!(
        third.source,
        RationaleSource::Absent,
        "sealed thoughts explain nothing"
    );

    let ends: Vec<_> = records
        .of(Kind::Outcome)
        .iter()
        .map(|s| {
            (
                s.text(Field::SourceId).unwrap().to_owned(),
                outcome(s).status,
                outcome(s).exit,
            )
        })
        .collect();
    let end = |id: &str, status, exit| (id.to_owned(), status, exit);
    assert_eq!(
        ends,
        [
            end("call_1", Status::Succeeded, Some(0)),
            end("call_2", Status::Failed, Some(2)),
            end("call_3", Status::Succeeded, None),
            end("call_4", Status::Failed, None),
            end("call_5", Status::Unknown, None),
            end("call_9", Status::Succeeded, Some(0)),
        ]
    );

    let changes = records.of(Kind::Mutation);
    let seen: Vec<_> = changes
        .iter()
        .map(|s| (mutation(s).change, s.text(Field::Path).unwrap(), roles(s)))
        .collect();
    assert_eq!(
        seen,
        [
            (Change::Modify, "label.txt", vec![Role::Diff]),
            (
                Change::Create,
                "beds/one.txt",
                vec![Role::After, Role::Diff]
            ),
            (Change::Delete, "old.txt", vec![]),
            (Change::Rename, "plans/spring.md", vec![Role::Diff]),
        ]
    );
    assert_eq!(records.file(changes[1], 0), "tulip\nlily\n");
    assert_eq!(
        records.file(changes[3], 0),
        "--- a/plan.md\n+++ b/plans/spring.md\n@@ # Plan\n-winter\n+spring\n+early\n"
    );
    let call = records.action("call_3").seq;
    assert!(changes.iter().all(|s| mutation(s).action == Some(call)));

    let close = records.get(imported.records.1);
    let detail = close.text(Field::Detail).unwrap();
    assert!(detail.contains("agent_message 1"), "{detail}");
    bench.audit();
}

#[test]
fn a_sub_agent_finds_its_parent() {
    let mut bench = Bench::new();
    bench.path(&fixture("codex/made-modern.jsonl"));
    let (imported, records) = bench.path(&fixture("codex/made-sub-agent.jsonl"));
    let sessions = records.of(Kind::Session);
    assert_eq!(sessions.len(), 2);
    assert_eq!(session(sessions[1]).parent, Some(sessions[0].seq));
    assert_eq!(sessions[1].text(Field::Name), Some("digger"));
    assert_eq!(
        losses(&imported).get("session_meta_of_another_session"),
        Some(&1)
    );
    bench.audit();
    let mut alone = Bench::new();
    let (imported, _) = alone.path(&fixture("codex/made-sub-agent.jsonl"));
    assert_eq!(
        losses(&imported).get("parent_session_not_in_file"),
        Some(&1)
    );
}

#[test]
fn the_first_rollouts_had_bare_items() {
    let mut bench = Bench::new();
    let (imported, records) = bench.path(&fixture("codex/made-first.jsonl"));
    assert_eq!(imported.format, Format::Codex);
    assert_eq!(
        losses(&imported),
        BTreeMap::from([("line:state", 2), ("session_meta:git", 1)])
    );
    assert_eq!(records.of(Kind::Message).len(), 4);
    assert_eq!(
        records.action("call_a").text(Field::Reasoning),
        Some("A listing will do.")
    );
    let end = records.of(Kind::Outcome)[0];
    assert_eq!(end.text(Field::Output), Some("a\nb\n"));
    assert_eq!(outcome(end).exit, Some(0));
    bench.audit();
}

#[test]
fn calls_without_arguments_are_calls() {
    let mut bench = Bench::new();
    let (imported, records) = bench.path(&fixture("codex/agentsview-function_calls.jsonl"));
    let calls = records.of(Kind::Action);
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].text(Field::Summary), Some("Running tests"));
    assert_eq!(records.of(Kind::Message).len(), 1);
    let lost = losses(&imported);
    assert_eq!(lost.get("call_id_repeated"), Some(&1));
    assert_eq!(lost.get("call_without_input"), Some(&2));
    assert_eq!(lost.get("call_without_result"), Some(&1));
    bench.audit();
}
