//! Transcripts of Claude Code.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};
use tacho_recorder::ErrorKind;
use tacho_recorder::import::Request;
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

/// What a small reader of its own finds in a transcript.
#[derive(Debug, Default, Eq, PartialEq)]
struct Count {
    messages: u64,
    calls: u64,
    results: u64,
    results_without_call: u64,
    not_objects: u64,
    sessions: u64,
}

fn count(text: &str) -> Count {
    let mut found = Count::default();
    let (mut calls, mut sessions, mut told) = (HashSet::new(), HashSet::new(), HashSet::new());
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if !line.is_object() {
            found.not_objects += 1;
            continue;
        }
        found.messages += u64::from(line["type"] == "summary");
        let content = match &line["message"]["content"] {
            Value::String(text) => vec![json!({ "type": "text", "text": text })],
            Value::Array(blocks) => blocks.clone(),
            _ => continue,
        };
        let id = &line["message"]["id"];
        let speaks = content
            .iter()
            .any(|b| ["text", "thinking"].iter().any(|k| b["type"] == *k));
        let counts = line["message"]["usage"].is_object() && told.insert(id.to_string());
        found.messages += u64::from(speaks || counts);
        sessions.insert(line["sessionId"].to_string());
        for block in content {
            if block["type"] == "tool_use" {
                found.calls += 1;
                calls.insert(block["id"].to_string());
            }
            if block["type"] == "tool_result" {
                found.results += 1;
                found.results_without_call +=
                    u64::from(!calls.contains(&block["tool_use_id"].to_string()));
            }
        }
    }
    found.sessions = u64::try_from(sessions.len()).unwrap();
    found
}

#[test]
fn counts_are_those_of_the_files() {
    for (name, expected_losses) in [
        (
            "edge_cases",
            &[
                ("block_not_an_object", 1),
                ("call_without_result", 2),
                ("line_not_an_object", 3),
                ("line_without_type", 1),
                ("message_not_an_object", 1),
                ("message_without_content", 1),
                ("parent_not_in_file", 1),
            ][..],
        ),
        ("representative_messages", &[]),
        ("todowrite_examples", &[]),
    ] {
        let path = fixture(&format!("claude-code/{name}.jsonl"));
        let expected = count(&std::fs::read_to_string(&path).unwrap());
        let mut bench = Bench::new();
        let (imported, records) = bench.path(&path);
        let made = |kind| imported.counts.get(&kind).copied().unwrap_or(0);
        let lost = losses(&imported);
        let found = Count {
            messages: made(Kind::Message),
            calls: made(Kind::Action),
            results: made(Kind::Outcome),
            results_without_call: lost.get("result_without_call").copied().unwrap_or(0),
            not_objects: lost.get("line_not_an_object").copied().unwrap_or(0),
            sessions: made(Kind::Session),
        };
        assert_eq!(found, expected, "{name}: {lost:?}");
        assert_eq!(lost, expected_losses.iter().copied().collect(), "{name}");
        assert_eq!(records.of(Kind::Import).len(), 2);
        bench.audit();
    }
}

/// Lines of one session, each the child of the one before.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) text: String,
    lines: u32,
}

impl Script {
    /// Adds a line; `more` overrides what is usual.
    pub(crate) fn line(&mut self, kind: &str, message: Value, more: Value) {
        let parent = (self.lines > 0).then(|| format!("u{}", self.lines));
        self.lines += 1;
        let mut line = json!({
            "type": kind, "uuid": format!("u{}", self.lines), "parentUuid": parent, "sessionId": "s1", "isSidechain": false,
            "version": "2.0.0", "cwd": "/w", "timestamp": "2026-01-02T03:04:05.678Z", "message": message,
        });
        let more = more.as_object().unwrap();
        line.as_object_mut().unwrap().extend(more.clone());
        self.text.push_str(&line.to_string());
        self.text.push('\n');
    }

    pub(crate) fn user(&mut self, content: Value) {
        self.line(
            "user",
            json!({ "role": "user", "content": content }),
            json!({}),
        );
    }

    pub(crate) fn assistant(&mut self, id: &str, content: Value) {
        let usage = json!({ "input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 7 });
        let message = json!({ "role": "assistant", "id": id, "model": "m-1", "content": content, "usage": usage });
        self.line("assistant", message, json!({}));
    }

    /// A call and its result.
    fn call(&mut self, id: &str, name: &str, input: Value, details: Value) {
        self.assistant(
            &format!("m-{id}"),
            json!([{ "type": "tool_use", "id": id, "name": name, "input": input }]),
        );
        let content = json!([{ "type": "tool_result", "tool_use_id": id, "content": "ok" }]);
        self.line(
            "user",
            json!({ "role": "user", "content": content }),
            json!({ "toolUseResult": details }),
        );
    }
}

#[test]
fn a_turn_that_comes_in_pieces_is_counted_once_and_explains_its_calls() {
    let mut script = Script::default();
    script.user(json!("please"));
    script.assistant(
        "m1",
        json!([{ "type": "thinking", "thinking": "I think", "signature": "x" }]),
    );
    script.assistant("m1", json!([{ "type": "text", "text": "I say" }]));
    script.assistant(
        "m1",
        json!([
            { "type": "tool_use", "id": "t1", "name": "Bash", "input": { "command": "ls", "z": 1, "a": 2 } },
            { "type": "text", "text": "and later" },
        ]),
    );
    // A reader that sorts keys would not give back what was asked for.
    let sorted = r#"{"a":2,"command":"ls","z":1}"#;
    let unsorted = r#"{"command":"ls","z":1,"a":2}"#;
    script.text = script.text.replace(sorted, unsorted);
    let until_first = script.text.len();
    // Results of the first calls stand between the lines of a turn.
    script.user(json!([{ "type": "tool_result", "tool_use_id": "t1", "content": [{ "type": "text", "text": "a" }, { "type": "image" }] }]));
    script.assistant(
        "m1",
        json!([{ "type": "tool_use", "id": "t2", "name": "Read", "input": { "file_path": "/w/a" } }]),
    );
    script.user(
        json!([{ "type": "tool_result", "tool_use_id": "t2", "content": "no", "is_error": true }]),
    );
    script.assistant("m2", json!([{ "type": "tool_use", "id": "t3", "name": "Bash", "input": { "command": "rm", "description": "Remove it" } }]));
    script.user(json!("again"));
    script.assistant(
        "m3",
        json!([{ "type": "tool_use", "id": "t4", "name": "Bash", "input": { "command": "x" } }]),
    );
    let mut bench = Bench::new();
    let (imported, records) = bench.text("turn.jsonl", &script.text);

    let usages = records.of(Kind::Message);
    let usages = usages.iter().filter(|s| message(s).usage.is_some());
    assert_eq!(usages.count(), 3, "one for each message.id");
    let first = records.action("t1");
    assert_eq!(first.text(Field::Summary), Some("I say"));
    assert_eq!(first.text(Field::Reasoning), Some("I think"));
    assert_eq!(
        first.text(Field::Input),
        Some(unsorted),
        "in the order of the source"
    );
    let place = canon::decode::<Provenance>(first.row.text(Field::Provenance).unwrap(), MAX_ROW);
    let place = place.unwrap();
    assert_eq!(place.offset, u64::try_from(until_first).unwrap());
    let before = &script.text.as_bytes()[..until_first];
    assert_eq!(place.prefix_blake3, Hash(*blake3::hash(before).as_bytes()));
    let second = records.action("t2");
    assert_eq!(second.text(Field::Summary), Some("I say\n\nand later"));
    let third = records.action("t3");
    assert_eq!(third.text(Field::Summary), Some("Remove it"));
    assert_eq!(third.text(Field::Reasoning), None);
    let fourth = action(records.action("t4")).rationale.clone().unwrap();
    assert_eq!(fourth.source, RationaleSource::Absent);

    let results = records.of(Kind::Outcome);
    assert_eq!(outcome(results[0]).of, Some(first.seq));
    assert_eq!(outcome(results[1]).status, Status::Failed);
    assert_eq!(results[1].text(Field::Error), Some("no"));
    let expected = BTreeMap::from([("call_without_result", 2), ("result_block:image", 1)]);
    assert_eq!(losses(&imported), expected);
    bench.audit();
}

#[test]
fn sub_agents_find_their_parents_in_the_file_and_in_another() {
    let mut script = Script::default();
    script.user(json!("go"));
    let aside = json!({ "isSidechain": true, "parentUuid": null });
    let said = |text: &str| json!({ "role": "user", "content": text });
    script.line("user", said("dig here"), aside.clone());
    script.line("user", said("deeper"), json!({ "isSidechain": true }));
    script.line("user", said("dig there"), aside);
    let mut bench = Bench::new();
    let (imported, records) = bench.text("main.jsonl", &script.text);
    assert!(imported.losses.is_empty(), "{:?}", imported.losses);
    let sessions = records.of(Kind::Session);
    assert_eq!(sessions.len(), 3, "each sidechain is a session");
    let main = sessions[0].seq;
    assert_eq!(session(sessions[1]).parent, Some(main));
    let words: Vec<_> = records
        .of(Kind::Message)
        .iter()
        .map(|s| record(s).session)
        .collect();
    let (one, two) = (Some(sessions[1].seq), Some(sessions[2].seq));
    assert_eq!(words, [Some(main), one, one, two]);

    let mut other = Script::default();
    let agent = json!({ "isSidechain": true, "agentId": "a9" });
    other.line("user", said("dig elsewhere"), agent);
    let (imported, records) = bench.text("agent.jsonl", &other.text);
    assert!(imported.losses.is_empty(), "{:?}", imported.losses);
    let sub = records.of(Kind::Session)[3];
    assert_eq!(session(sub).parent, Some(main));
    assert_eq!(sub.text(Field::SourceId), Some("s1/a9"));

    let mut alone = Bench::new();
    let (imported, _) = alone.text("agent.jsonl", &other.text);
    assert_eq!(
        losses(&imported),
        BTreeMap::from([("parent_session_not_in_file", 1)])
    );
    bench.audit();
}

#[test]
fn edits_are_mutations_with_what_was_and_what_is() {
    let mut script = Script::default();
    let before = "one\ntwo\nthree\n";
    let edit = |old: &str, new: &str| json!({ "old_string": old, "new_string": new });
    let mut single = edit("two", "2");
    single["file_path"] = json!("/w/a");
    script.call(
        "edit",
        "Edit",
        single.clone(),
        json!({ "originalFile": before }),
    );
    script.call(
        "multi",
        "MultiEdit",
        json!({ "file_path": "/w/a", "edits": [edit("one", "1"), edit("1", "uno"), edit("three", "3")] }),
        json!({ "originalFile": before }),
    );
    script.call(
        "blind",
        "Edit",
        single.clone(),
        json!("The file was updated"),
    );
    script.call(
        "write",
        "Write",
        json!({ "file_path": "/w/new", "content": "fresh\n" }),
        json!({ "type": "create" }),
    );
    script.call(
        "made",
        "MultiEdit",
        json!({ "file_path": "/w/made", "edits": [edit("", "a\nb\n"), edit("a", "A")] }),
        json!({}),
    );
    script.call(
        "user",
        "Edit",
        single,
        json!({ "originalFile": before, "userModified": true }),
    );
    let mut bench = Bench::new();
    let (imported, records) = bench.text("edits.jsonl", &script.text);
    let found = records.of(Kind::Mutation);
    let seen: Vec<_> = found
        .iter()
        .map(|s| {
            (
                mutation(s).change,
                mutation(s).added.unwrap(),
                mutation(s).removed.unwrap(),
                roles(s).len(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (Change::Modify, 1, 1, 3),
            (Change::Modify, 2, 2, 3),
            (Change::Modify, 1, 1, 1),
            (Change::Create, 1, 0, 2),
            (Change::Create, 2, 0, 2),
            (Change::Modify, 1, 1, 1),
        ]
    );
    assert_eq!(roles(found[0]), [Role::Before, Role::After, Role::Diff]);
    assert_eq!(records.file(found[0], 0), before);
    assert_eq!(records.file(found[0], 1), "one\n2\nthree\n");
    assert_eq!(
        records.file(found[0], 2),
        "--- a//w/a\n+++ b//w/a\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
    );
    assert_eq!(records.file(found[1], 1), "uno\ntwo\n3\n");
    assert_eq!(records.file(found[4], 0), "A\nb\n");
    let first = found[0];
    assert_eq!(mutation(first).action, Some(records.action("edit").seq));
    assert_eq!(first.text(Field::Path), Some("/w/a"));
    assert_eq!(
        losses(&imported),
        BTreeMap::from([("edit_changed_by_user", 1)])
    );
    bench.audit();
}

#[test]
fn what_the_harness_adds_is_told_apart_or_counted() {
    let mut script = Script::default();
    script.user(json!([{ "type": "text", "text": "see" }, { "type": "image", "source": {} }]));
    script.line("attachment", json!({}), json!({}));
    let said = |text: &str| json!({ "role": "user", "content": text });
    script.line(
        "user",
        said("It went on from before."),
        json!({ "isCompactSummary": true }),
    );
    script.line("user", said("Caveat"), json!({ "isMeta": true }));
    script.line(
        "system",
        json!({}),
        json!({ "content": "Conversation compacted" }),
    );
    script.line("system", json!({}), json!({ "subtype": "turn_duration" }));
    for kind in [
        "file-history-snapshot",
        "queue-operation",
        "queue-operation",
    ] {
        script
            .text
            .push_str(&json!({ "type": kind, "snapshot": {} }).to_string());
        script.text.push('\n');
    }
    script.assistant(
        "m1",
        json!([{ "type": "thinking", "thinking": "" }, { "type": "redacted_thinking" }, { "type": "tool_use", "id": "t1", "name": "Bash", "input": {} }]),
    );
    script.line(
        "user",
        json!({ "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": "" }] }),
        json!({ "toolUseResult": { "interrupted": true } }),
    );
    let mut bench = Bench::new();
    let (imported, records) = bench.text("harness.jsonl", &script.text);
    let speakers: Vec<_> = records
        .of(Kind::Message)
        .iter()
        .map(|s| message(s).speaker)
        .collect();
    use Speaker::{Assistant, System, User};
    assert_eq!(speakers, [User, System, System, System, Assistant]);
    assert_eq!(
        outcome(records.of(Kind::Outcome)[0]).status,
        Status::Cancelled
    );
    let expected = BTreeMap::from([
        ("block:image", 1),
        ("line:attachment", 1),
        ("line:file-history-snapshot", 1),
        ("line:queue-operation", 2),
        ("line:system_without_text", 1),
        ("thinking_sealed", 2),
    ]);
    assert_eq!(losses(&imported), expected, "and no parent is missing");
    bench.audit();
}

#[test]
fn a_file_that_was_imported_is_refused_until_asked_again() {
    let mut bench = Bench::new();
    let path = fixture("claude-code/todowrite_examples.jsonl");
    let (first, _) = bench.path(&path);
    let (open, close) = first.records;
    let refused = bench.import(&path, None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Exists);
    let told = refused.to_string();
    assert!(
        told.contains(&format!("as records {open} to {close}")),
        "{told}"
    );
    assert_eq!(refused.hint(), Some("`--again` imports it once more"));
    let again = Request {
        path,
        format: None,
        again: true,
        range: None,
    };
    let second = bench.request(&again).unwrap();
    assert_eq!(first.counts, second.counts);
    bench.audit();
}
