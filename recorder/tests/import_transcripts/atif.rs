//! Trajectories in ATIF, in and out again.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tacho_recorder::ErrorKind;
use tacho_recorder::import::Format;
use tacho_schemas::canon;
use tacho_schemas::content::{Field, MAX_ROW, Provenance};
use tacho_schemas::{Hash, Kind, Seq};

use crate::claude_code::Script;
use crate::harness::{Bench, fixture, losses, message, outcome, record, session};

/// What a round trip must keep of a step.
fn essence(step: &Value, default_model: &Value) -> Value {
    let text = |content: &Value| match content {
        Value::Array(parts) => {
            let texts: Vec<_> = parts.iter().filter_map(|p| p["text"].as_str()).collect();
            json!(texts.join("\n\n"))
        }
        other => other.clone(),
    };
    let metrics = &step["metrics"];
    let is_agent = step["source"] == "agent";
    let model = match &step["model_name"] {
        Value::Null if is_agent => default_model,
        other => other,
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let calls: Vec<_> = list(&step["tool_calls"])
        .iter()
        .map(|c| json!([c["tool_call_id"], c["function_name"], c["arguments"]]))
        .collect();
    let results: Vec<_> = list(&step["observation"]["results"])
        .iter()
        .map(|r| {
            let refs: Vec<_> = list(&r["subagent_trajectory_ref"])
                .iter()
                .map(|found| found["trajectory_id"].clone())
                .collect();
            json!([r["source_call_id"], text(&r["content"]), refs])
        })
        .collect();
    json!({
        "source": step["source"], "message": text(&step["message"]), "reasoning": step["reasoning_content"], "model": model,
        "time": step["timestamp"], "calls": calls, "results": results,
        "metrics": [metrics["prompt_tokens"], metrics["completion_tokens"], metrics["cached_tokens"], metrics["cost_usd"]],
    })
}

fn steps(trajectory: &Value) -> Vec<Value> {
    let model = &trajectory["agent"]["model_name"];
    let steps = trajectory["steps"].as_array().unwrap();
    steps
        .iter()
        .filter(|step| step["is_copied_context"] != true)
        .map(|step| essence(step, model))
        .collect()
}

#[test]
fn steps_come_out_as_they_went_in() {
    let path = fixture("atif/made-1.8.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let source: Value = serde_json::from_str(&text).unwrap();
    let mut bench = Bench::new();
    let (imported, records) = bench.path(&path);
    assert_eq!(imported.format, Format::Atif);
    let expected = BTreeMap::from([
        ("agent:tool_definitions", 1),
        ("message_part:image", 1),
        ("metrics:completion_token_ids", 1),
        ("metrics:extra", 1),
        ("metrics:logprobs", 1),
        ("step:llm_call_count", 1),
        ("step:reasoning_effort", 1),
        ("step_copied_from_elsewhere", 1),
        ("tool_call:extra", 1),
        ("trajectory:continued_trajectory_ref", 1),
        ("trajectory:extra", 1),
        ("trajectory:final_metrics", 1),
        ("trajectory:notes", 1),
    ]);
    assert_eq!(losses(&imported), expected);

    let sessions = records.of(Kind::Session);
    let root = sessions[0].seq;
    assert_eq!(session(sessions[1]).parent, Some(root));
    let delegated = records.of(Kind::Outcome)[1].seq;
    assert_eq!(record(sessions[1]).causes(), [delegated]);
    let call = records.action("c1");
    assert_eq!(call.text(Field::Summary), Some("I measure and dig."));
    assert_eq!(call.text(Field::Command), Some("tape bed"));
    let place = call.row.text(Field::Provenance).unwrap();
    let place = canon::decode::<Provenance>(place, MAX_ROW).unwrap();
    let before = &text.as_bytes()[..usize::try_from(place.offset).unwrap()];
    assert_eq!(place.prefix_blake3, Hash(*blake3::hash(before).as_bytes()));
    assert!(
        text[before.len()..]
            .trim_start_matches([',', '\n', ' '])
            .starts_with("{\n   \"step_id\": 4")
    );
    let costs = records.of(Kind::Message);
    let costs = costs
        .iter()
        .filter_map(|s| message(s).usage.as_ref()?.cost.as_ref());
    let costs: Vec<_> = costs.map(|cost| cost.as_str()).collect();
    assert_eq!(costs, ["0.00012300", "2"], "exactly as written");
    assert!(
        records
            .of(Kind::Outcome)
            .iter()
            .all(|s| outcome(s).of.is_some() != (s.text(Field::Output) == Some("It rains.")))
    );

    let exported = bench.export(root).unwrap();
    let out: Value = serde_json::from_str(&exported.document).unwrap();
    assert_eq!(steps(&out), steps(&source));
    assert!(exported.document.contains("\"cost_usd\": 0.00012300"));
    assert!(
        exported.document.contains("\"z\": 1.10"),
        "arguments as written"
    );
    assert_eq!(
        out["final_metrics"]["total_cost_usd"].to_string(),
        "2.000123"
    );
    assert_eq!(out["trajectory_id"], "root");
    assert_eq!(out["session_id"], "run-7");
    assert_eq!(out["agent"]["name"], "gardener");
    assert_eq!(out["agent"]["version"], "2.1.0");
    let inner = |document: &Value| document["subagent_trajectories"][0].clone();
    assert_eq!(steps(&inner(&out)), steps(&inner(&source)));
    assert_eq!(inner(&out)["trajectory_id"], "digger");
    let made = |kind| exported.counts[&kind];
    assert_eq!((exported.trajectories, made(Kind::Session)), (2, 2));
    assert_eq!((exported.steps, made(Kind::Message)), (7, 7));
    assert_eq!((exported.calls, made(Kind::Action)), (4, 4));
    assert_eq!((exported.results, made(Kind::Outcome)), (5, 5));
    assert_eq!(
        exported.losses,
        BTreeMap::from([("rationale:provenance".to_owned(), 3)])
    );

    // And what came out goes in again.
    let (again, _) = bench.text("again.json", &exported.document);
    assert_eq!(again.counts, imported.counts);
    bench.audit();
}

#[test]
fn versions_are_read_by_name_and_others_refused() {
    let mut bench = Bench::new();
    bench.path(&fixture("atif/made-1.4.json"));
    let text = std::fs::read_to_string(fixture("atif/made-1.4.json")).unwrap();
    let before = bench.records().of(Kind::Import).len();
    for version in ["ATIF-v1.3", "ATIF-v1.9", "ATIF-v2.0"] {
        let path = bench.file("other.json", text.replace("ATIF-v1.4", version));
        for format in [None, Some(Format::Atif)] {
            let refused = bench.import(&path, format).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Usage);
            assert!(
                refused
                    .to_string()
                    .ends_with(&format!("is of version `{version}`")),
                "{refused}"
            );
            assert_eq!(
                refused.hint(),
                Some("read are ATIF-v1.4, ATIF-v1.5, ATIF-v1.6, ATIF-v1.7, ATIF-v1.8")
            );
        }
    }
    for (text, told) in [
        (
            "{\"steps\": []}",
            "is no ATIF document: it has no `schema_version`",
        ),
        ("[1]", "is no ATIF document"),
        ("{\"schema_version\": \"ATIF-v1.8\", ", "is not JSON: "),
        ("", "is not JSON: "),
    ] {
        let path = bench.file("other.json", text);
        let refused = bench.import(&path, Some(Format::Atif)).unwrap_err();
        assert!(refused.to_string().contains(told), "{refused}");
    }
    assert_eq!(
        bench.records().of(Kind::Import).len(),
        before,
        "a refusal leaves nothing behind"
    );
    bench.audit();
}

#[test]
fn strange_documents_are_counted() {
    let mut deep = json!({ "schema_version": "ATIF-v1.8", "agent": { "name": "a", "version": "1" }, "steps": [] });
    for n in 0..30 {
        deep = json!({
            "schema_version": "ATIF-v1.8", "trajectory_id": format!("t{n}"), "agent": { "name": "a b", "version": "1" }, "steps": [],
            "subagent_trajectories": [deep],
        });
    }
    let mut bench = Bench::new();
    let (imported, _) = bench.text("deep.json", &deep.to_string());
    assert_eq!(
        losses(&imported).get("trajectory:subagent_trajectories"),
        Some(&1)
    );
    let text = r#"{"schema_version":"ATIF-v1.7","agent":"x","steps":[1,{"source":"robot"},{"source":"agent","source":"user","message":7},
        {"source":"agent","message":"m","tool_calls":{},"observation":[],"metrics":{"prompt_tokens":-1,"cost_usd":"free"}},
        {"source":"agent","message":"m","timestamp":"yesterday","tool_calls":[{"function_name":"f"},{"tool_call_id":"x"}],
         "observation":{"results":[{"source_call_id":"nobody"}]}}]}"#;
    let (imported, _) = bench.text("strange.json", text);
    let expected = BTreeMap::from([
        ("call_without_id", 1),
        ("call_without_name", 1),
        ("key_repeated", 1),
        ("message_not_understood", 1),
        ("metrics:cost_usd", 1),
        ("metrics:prompt_tokens", 1),
        ("observation_not_an_object", 1),
        ("result_without_call", 1),
        ("step_not_an_object", 1),
        ("step_of:robot", 1),
        ("time_malformed", 1),
        ("tool_call_not_a_list", 1),
        ("trajectory_without_agent", 1),
    ]);
    assert_eq!(losses(&imported), expected);
    bench.audit();
}

#[test]
fn a_transcript_of_another_harness_becomes_steps() {
    let mut script = Script::default();
    script.user(json!("please"));
    script.assistant("m1", json!([{ "type": "thinking", "thinking": "I think" }]));
    script.assistant("m1", json!([{ "type": "text", "text": "I say" }]));
    script.assistant("m1", json!([{ "type": "tool_use", "id": "t1", "name": "Write", "input": { "file_path": "/w/a", "content": "x" } }]));
    script.user(json!([{ "type": "tool_result", "tool_use_id": "t1", "content": "done" }]));
    script.assistant("m2", json!([{ "type": "text", "text": "bye" }]));
    let mut bench = Bench::new();
    let (imported, _) = bench.text("t.jsonl", &script.text);
    let root = Seq(imported.records.0.0 + 1);
    let exported = bench.export(root).unwrap();
    let out: Value = serde_json::from_str(&exported.document).unwrap();
    let sources: Vec<_> = out["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["source"].clone())
        .collect();
    assert_eq!(sources, ["user", "agent", "agent"], "one turn is one step");
    let step = &out["steps"][1];
    assert_eq!(step["message"], "I say");
    assert_eq!(step["reasoning_content"], "I think");
    assert_eq!(
        step["metrics"]["prompt_tokens"], 10,
        "with what came from the cache"
    );
    assert_eq!(step["tool_calls"][0]["function_name"], "Write");
    assert_eq!(step["observation"]["results"][0]["content"], "done");
    assert_eq!(step["extra"]["tacho"]["mutations"][0]["path"], "/w/a");
    assert_eq!(exported.losses["mutation"], 1);
    assert_eq!(out["extra"]["tacho"]["not_held"]["mutation"], 1);

    let codex = bench.path(&fixture("codex/made-modern.jsonl")).0;
    let exported = bench.export(Seq(codex.records.0.0 + 1)).unwrap();
    assert_eq!((exported.calls, exported.results), (7, 6));
    assert_eq!(bench.export(Seq(1)).unwrap_err().kind(), ErrorKind::Usage);
    bench.audit();
}
