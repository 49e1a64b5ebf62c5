//! Each harness's dialect, held against payloads that harnesses sent and against damage; and against what each harness makes of an
//! answer, written down here a second time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use tacho_recorder::hook::{Agent, Answer, Ask, MAX_ASK, Moment, Output, Refusal};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    base: String,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: Option<String>,
    file: Option<String>,
    payload: Option<String>,
    reads: Option<toml::Table>,
    refused: Option<String>,
    allow: Option<String>,
    approved: Option<String>,
    deny: Option<String>,
    stop: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hostile {
    damage: Vec<Damage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Damage {
    name: String,
    prepend: Option<String>,
    append: Option<String>,
    member: Option<String>,
    replace: Option<[String; 2]>,
    refused: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/hooks")
}

fn cases(agent: Agent) -> Cases {
    let path = folder().join(agent.id()).join("cases.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

impl Case {
    fn bytes(&self, agent: Agent) -> Vec<u8> {
        match (&self.file, &self.payload) {
            (Some(file), None) => std::fs::read(folder().join(agent.id()).join(file)).unwrap(),
            (None, Some(payload)) => payload.clone().into_bytes(),
            _ => panic!("a case has a file or a payload"),
        }
    }

    fn name(&self) -> &str {
        self.name.as_deref().or(self.file.as_deref()).unwrap()
    }
}

/// The payload that asks, in each dialect.
fn base(agent: Agent) -> Vec<u8> {
    let cases = cases(agent);
    let case = cases.case.iter().find(|case| case.name() == cases.base);
    match case {
        Some(case) => case.bytes(agent),
        None => std::fs::read(folder().join(agent.id()).join(&cases.base)).unwrap(),
    }
}

/// Whether the harness would run the tool, after `protocols` and measurements with the real ones.
fn runs(agent: Agent, event: &str, output: &Output) -> bool {
    let out = std::str::from_utf8(&output.stdout).unwrap();
    let json: Option<Value> = serde_json::from_str(out).ok();
    let at = |pointer: &str| {
        json.as_ref()
            .and_then(|json| json.pointer(pointer)?.as_str())
    };
    let said = |pointer: &str| at(pointer).is_some_and(|text| !text.is_empty());
    let blocked_by_exit = output.exit == 2 && !output.stderr.trim().is_empty();
    match agent {
        Agent::ClaudeCode => {
            let before = at("/hookSpecificOutput/permissionDecision") == Some("deny")
                && at("/hookSpecificOutput/hookEventName") == Some(event);
            let asked = at("/hookSpecificOutput/decision/behavior") == Some("deny");
            !(blocked_by_exit || output.exit == 0 && (before || asked))
        }
        Agent::Codex => {
            // Any key that is not expected voids the answer.
            let keys = |pointer: &str| -> BTreeSet<String> {
                let object = json
                    .as_ref()
                    .and_then(|json| json.pointer(pointer)?.as_object());
                object.into_iter().flat_map(|o| o.keys().cloned()).collect()
            };
            let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let before = keys("") == set(&["hookSpecificOutput"])
                && keys("/hookSpecificOutput")
                    == set(&[
                        "hookEventName",
                        "permissionDecision",
                        "permissionDecisionReason",
                    ])
                && at("/hookSpecificOutput/permissionDecision") == Some("deny")
                && said("/hookSpecificOutput/permissionDecisionReason");
            let asked = keys("/hookSpecificOutput") == set(&["hookEventName", "decision"])
                && keys("/hookSpecificOutput/decision") == set(&["behavior", "message"])
                && at("/hookSpecificOutput/decision/behavior") == Some("deny");
            let named = at("/hookSpecificOutput/hookEventName") == Some(event);
            !(blocked_by_exit || output.exit == 0 && named && (before || asked))
        }
        Agent::Copilot => {
            let decided =
                at("/permissionDecision") == Some("deny") && said("/permissionDecisionReason");
            !(output.exit == 2 || decided || at("/behavior") == Some("deny"))
        }
        Agent::Cursor => {
            let bad = !out.is_empty() && json.is_none();
            !(output.exit == 2 || bad || at("/permission") == Some("deny"))
        }
        Agent::Gemini => {
            !(at("/decision") == Some("deny")
                || json.is_none() && output.exit >= 2 && !output.stderr.is_empty())
        }
        Agent::Generic => !(output.exit != 0 || at("/decision") != Some("allow")),
    }
}

/// What must hold of whatever we give back.
fn well_formed(agent: Agent, output: &Output) {
    assert!(output.exit == 0 || output.exit == 2, "{output:?}");
    if output.exit == 2 {
        assert!(output.stdout.is_empty() && !output.stderr.trim().is_empty());
    } else {
        assert!(output.stderr.is_empty(), "{output:?}");
    }
    // One write of so many bytes to a pipe is whole or not at all.
    assert!(output.stdout.len() <= 4096 && output.stderr.len() <= 4096);
    let out = std::str::from_utf8(&output.stdout).unwrap();
    let documents: Vec<Value> = serde_json::Deserializer::from_str(out)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(documents.len() <= 1 && documents.iter().all(Value::is_object));
    // These take an empty answer for a yes, or for something else than we mean.
    if output.exit == 0
        && matches!(
            agent,
            Agent::Copilot | Agent::Cursor | Agent::Gemini | Agent::Generic
        )
    {
        assert_eq!(documents.len(), 1, "{agent} {output:?}");
    }
}

fn stop() -> Answer {
    Answer::Deny {
        reason: "killed".to_owned(),
        stop: true,
    }
}

#[test]
fn every_case_is_read_and_answered_as_written() {
    let mut count = 0;
    for agent in Agent::all() {
        let mut files = BTreeSet::from(["cases.toml".to_owned()]);
        for case in cases(agent).case {
            count += 1;
            let name = format!("{agent}: {}", case.name());
            files.extend(case.file.clone());
            let read = agent.parse(&case.bytes(agent));
            if let Some(refused) = &case.refused {
                let error = read.expect_err(&name);
                assert_eq!(
                    format!("{error:?}").split([' ', '(']).next(),
                    Some(refused.as_str()),
                    "{name}"
                );
                let output = agent.refuse(&error.to_string());
                well_formed(agent, &output);
                assert!(!runs(agent, "PreToolUse", &output), "{name}");
                continue;
            }
            let ask = read.unwrap_or_else(|error| panic!("{name}: {error}"));
            is_read_as(&name, &ask, &case.reads.unwrap());
            let expected = [
                (Answer::Allow { approved: None }, case.allow),
                (
                    Answer::Allow {
                        approved: Some("two people".to_owned()),
                    },
                    case.approved,
                ),
                (Answer::deny("no \"x\""), case.deny),
                (stop(), case.stop),
            ];
            for (answer, expected) in expected {
                let output = agent.answer(&ask, &answer);
                well_formed(agent, &output);
                if ask.moment == Moment::Before {
                    let no = matches!(answer, Answer::Deny { .. });
                    assert_eq!(runs(agent, &ask.event, &output), !no, "{name}: {answer:?}");
                }
                if let Some(expected) = expected {
                    let out = String::from_utf8(output.stdout).unwrap();
                    if agent == Agent::Codex || expected.is_empty() {
                        assert_eq!(out, expected, "{name}: {answer:?}");
                    } else {
                        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
                        assert_eq!(value(&out), value(&expected), "{name}: {answer:?}");
                    }
                }
            }
        }
        // Payloads that lie there are read by a case; other recorded material is read below.
        for file in std::fs::read_dir(folder().join(agent.id())).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            let recorded = file.ends_with(".jsonl") || file.ends_with(".yaml");
            let more = file.starts_with("live-");
            assert!(
                recorded || more || files.contains(&file),
                "nobody reads {file}"
            );
            if more {
                let bytes = std::fs::read(folder().join(agent.id()).join(&file)).unwrap();
                agent
                    .parse(&bytes)
                    .unwrap_or_else(|error| panic!("{file}: {error}"));
            }
        }
    }
    assert!(count > 45, "{count}");
}

fn is_read_as(name: &str, ask: &Ask, reads: &toml::Table) {
    let shown = serde_json::to_value(ask).unwrap();
    for (key, wanted) in reads {
        let is: Value = match key.as_str() {
            // To the byte: approvals bind it.
            "input" => ask.input.get().into(),
            "extra" => ask.extra.iter().map(|(key, _)| key.as_str()).collect(),
            key => shown.get(key).unwrap().clone(),
        };
        assert_eq!(is, serde_json::to_value(wanted).unwrap(), "{name}: {key}");
    }
}

#[test]
fn damage_of_any_sort_is_a_no() {
    let text = std::fs::read_to_string(folder().join("hostile.toml")).unwrap();
    let hostile: Hostile = toml::from_str(&text).unwrap();
    assert!(hostile.damage.len() > 15);
    let is_no = |agent: Agent, bytes: &[u8], name: &str| -> Refusal {
        let refusal = agent.parse(bytes).expect_err(name);
        let output = agent.refuse(&refusal.to_string());
        well_formed(agent, &output);
        assert!(!runs(agent, "PreToolUse", &output), "{agent}: {name}");
        refusal
    };
    for agent in Agent::all() {
        let base = base(agent);
        let sound = agent.parse(&base).unwrap();
        assert_eq!(sound.moment, Moment::Before);
        for damage in &hostile.damage {
            let hex = |text: &Option<String>| hex::decode(text.as_deref().unwrap_or("")).unwrap();
            let mut bytes = base.trim_ascii().to_vec();
            if let Some(member) = &damage.member {
                bytes.splice(1..1, member.bytes());
            }
            if let Some([from, to]) = &damage.replace {
                let (from, to) = (hex::decode(from).unwrap(), hex::decode(to).unwrap());
                let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
                bytes.splice(at..at + from.len(), to);
            }
            bytes.splice(0..0, hex(&damage.prepend));
            bytes.extend(hex(&damage.append));
            let refusal = is_no(agent, &bytes, &damage.name);
            let kind = format!("{refusal:?}");
            assert_eq!(
                kind.split([' ', '(']).next(),
                Some(damage.refused.as_str()),
                "{agent}: {}",
                damage.name
            );
        }
        // Standard input closed early, at every byte.
        let whole = base.trim_ascii();
        for end in 0..whole.len() {
            let refusal = is_no(agent, &whole[..end], "cut short");
            assert!(
                matches!(refusal, Refusal::CutShort | Refusal::NotJson),
                "{end}: {refusal:?}"
            );
        }
        // As long as nobody reviews, and as deep as no stack holds.
        for (name, filler) in [
            ("too long", format!("\"x\":\"{}\",", "y".repeat(MAX_ASK))),
            ("10 MiB", format!("\"x\":\"{}\",", "y".repeat(10 << 20))),
            (
                "deep",
                format!("\"x\":{}{},", "[".repeat(100_000), "]".repeat(100_000)),
            ),
        ] {
            let mut bytes = whole.to_vec();
            bytes.splice(1..1, filler.bytes());
            is_no(agent, &bytes, name);
        }
        // A missing reason, one that commands a terminal, and one without end.
        for reason in [
            "",
            " \n",
            "\u{1b}[2J\0",
            &"\"\u{1b}".repeat(100_000),
            &"ü".repeat(100_000),
        ] {
            let output = agent.answer(&sound, &Answer::deny(reason));
            well_formed(agent, &output);
            assert!(!runs(agent, &sound.event, &output), "{agent}: {reason:?}");
            assert!(!output.stdout.contains(&0x1b));
            well_formed(agent, &agent.refuse(reason));
        }
    }
}

#[test]
fn nobody_is_taken_for_somebody_else() {
    for agent in Agent::all() {
        for other in Agent::all().filter(|other| *other != agent) {
            let refusal = agent.parse(&base(other)).expect_err("another's payload");
            assert!(
                matches!(&refusal, Refusal::Foreign { installed, .. } if *installed == agent),
                "{other} to {agent}: {refusal:?}"
            );
        }
        for stranger in [
            r#"{"agent_action_name":"pre_run_command","trajectory_id":"t","tool_info":{}}"#,
            r#"{"clineVersion":"1","hookName":"PreToolUse","taskId":"t","preToolUse":{}}"#,
            r"{}",
        ] {
            agent
                .parse(stranger.as_bytes())
                .expect_err("a stranger's payload");
        }
    }
}

/// The real events of Codex, as a sanitiser left them: ids replaced, our fields kept.
#[test]
fn recorded_events_of_codex_are_read() {
    let text = std::fs::read_to_string(folder().join("codex/native-v6.sanitized.jsonl")).unwrap();
    let (mut before, mut after) = (0, 0);
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let mut payload = serde_json::Map::new();
        for (key, kind) in event["top_level_field_types"].as_object().unwrap() {
            let value = match (event.get(key), kind.as_str().unwrap()) {
                (Some(value), "object" | "array") => value.clone(),
                (Some(Value::String(text)), _) => text.as_str().into(),
                (_, "null") => Value::Null,
                _ => "x".into(),
            };
            payload.insert(key.clone(), value);
        }
        let ask = Agent::Codex
            .parse(&serde_json::to_vec(&payload).unwrap())
            .unwrap();
        assert!(ask.extra.is_empty(), "{:?}", ask.extra);
        let command = &event["tool_input"]["command"];
        let input: Value = serde_json::from_str(ask.input.get()).unwrap();
        assert_eq!(&input["command"], command);
        match ask.moment {
            Moment::Before => before += 1,
            Moment::After => after += 1,
            _ => panic!("{line}"),
        }
    }
    assert_eq!((before, after), (10, 8));
}

/// What models asked of Gemini CLI and Copilot CLI in recorded exchanges, as their hooks would be told.
#[test]
fn recorded_calls_of_gemini_and_copilot_are_read() {
    let mut calls = 0;
    for file in ["allow", "block"] {
        let path = folder().join(format!("gemini/hooks-system.{file}-tool.responses.jsonl"));
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            for answer in line["response"].as_array().unwrap() {
                let parts = answer["candidates"][0]["content"]["parts"].as_array();
                for call in parts
                    .into_iter()
                    .flatten()
                    .filter_map(|part| part.get("functionCall"))
                {
                    let payload = serde_json::json!({
                        "session_id": "g", "transcript_path": "/t", "cwd": "/w", "timestamp": "2026-11-24T09:00:00.000Z",
                        "hook_event_name": "BeforeTool", "tool_name": call["name"], "tool_input": call["args"],
                    });
                    let ask = Agent::Gemini.parse(payload.to_string().as_bytes()).unwrap();
                    assert_eq!(ask.input.get(), call["args"].to_string());
                    calls += 1;
                }
            }
        }
    }
    for file in std::fs::read_dir(folder().join("copilot")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.lines() {
            let Some(arguments) = line.trim().strip_prefix("arguments: '") else {
                continue;
            };
            let arguments = arguments.strip_suffix('\'').unwrap();
            let payload = serde_json::json!({
                "sessionId": "c", "timestamp": 1, "cwd": "/w", "toolName": "edit", "toolArgs": arguments,
            });
            let ask = Agent::Copilot
                .parse(payload.to_string().as_bytes())
                .unwrap();
            assert_eq!(ask.input.get(), arguments);
            calls += 1;
        }
    }
    assert!(calls > 15, "{calls}");
}
