//! Holds an agent's own transcript against the log: what never asked, what has no outcome, what was not what was approved.
//!
//! Both sides can be wrong. A transcript is a file that the agent may be able to write, so that it shows a call which the log lacks is
//! a finding, and that it shows none is no proof that there was none.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use tacho_schemas::Seq;
use tacho_schemas::body::Body;
use tacho_schemas::body::log::GapKind;
use tacho_schemas::body::work::Decision;
use tacho_schemas::content::Field;
use tacho_schemas::record::Via;

use super::Agent;
use crate::error::{Error, ErrorKind, Result};
use crate::import::json::Json;
use crate::import::lines::{self, Lines};
use crate::read::View;

/// A tool call, as a transcript tells it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    /// Its id.
    pub id: String,
    /// The tool, as the model named it.
    pub tool: String,
    /// What went in, as JSON.
    pub input: serde_json::Value,
    /// What came back: none if nothing did, else whether it was an error.
    pub failed: Option<bool>,
}

/// What a transcript tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Transcript {
    /// The harness's ids of the sessions in it.
    pub sessions: Vec<String>,
    /// The calls, in their order.
    pub calls: Vec<Told>,
    /// Lines that could not be read.
    pub unread: u64,
}

/// A tool call, as the gate recorded it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gated {
    /// The newest action about it.
    pub action: Seq,
    /// What the gate said in the end.
    pub decision: Option<Decision>,
    /// What went in; none if it was erased, or if secrets were taken out of it.
    pub input: Option<serde_json::Value>,
    /// Its outcome.
    pub outcome: Option<Seq>,
}

/// Something that does not fit.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Gap {
    /// What sort.
    #[serde(serialize_with = "name")]
    pub gap: GapKind,
    /// The call's id.
    pub call: String,
    /// The tool, as the transcript names it.
    pub tool: String,
    /// The action that the log has of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Seq>,
    /// In a sentence.
    pub detail: String,
}

fn name<S: serde::Serializer>(gap: &GapKind, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(gap)
}

/// Reads the calls of a transcript of Claude Code or a rollout of Codex, whichever it looks like.
pub fn read(path: &Path) -> Result<(Agent, Transcript)> {
    let head = lines::head(path)?;
    let agent = if crate::import::looks_like_codex(&head) {
        Agent::Codex
    } else if head.contains("\"sessionId\"") {
        Agent::ClaudeCode
    } else {
        return Err(Error::new(
            ErrorKind::Usage,
            "this is no transcript of Claude Code and no rollout of Codex",
        )
        .with_hint("name a file below ~/.claude/projects or ~/.codex/sessions"));
    };
    let (_, length) = lines::open(path)?;
    let mut lines = Lines::open(path, length)?;
    let mut told = Transcript::default();
    let mut places = HashMap::new();
    while lines.advance()? {
        let Ok(text) = lines.text() else {
            told.unread += 1;
            continue;
        };
        if text.trim().is_empty() {
            continue;
        }
        match Json::read(text) {
            Ok((line, _)) if agent == Agent::Codex => told.codex(&line, &mut places),
            Ok((line, _)) => told.claude_code(&line, &mut places),
            Err(_) => told.unread += 1,
        }
    }
    Ok((agent, told))
}

impl Transcript {
    fn session(&mut self, id: Option<&str>) {
        if let Some(id) = id
            && !self.sessions.iter().any(|known| known == id)
        {
            self.sessions.push(id.to_owned());
        }
    }

    fn call(&mut self, call: Told, places: &mut HashMap<String, usize>) {
        places.insert(call.id.clone(), self.calls.len());
        self.calls.push(call);
    }

    fn result(&mut self, id: Option<&str>, failed: bool, places: &HashMap<String, usize>) {
        let call = id.and_then(|id| places.get(id));
        if let Some(call) = call.and_then(|place| self.calls.get_mut(*place)) {
            call.failed = Some(failed);
        }
    }

    fn claude_code(&mut self, line: &Json<'_>, places: &mut HashMap<String, usize>) {
        self.session(line.text("sessionId"));
        let message = line.get("message");
        let blocks = message.and_then(|message| message.list("content"));
        for block in blocks.unwrap_or_default() {
            match (line.text("type"), block.text("type")) {
                (Some("assistant"), Some("tool_use")) => {
                    let (Some(id), Some(tool)) = (block.text("id"), block.text("name")) else {
                        self.unread += 1;
                        continue;
                    };
                    let call = Told {
                        id: id.to_owned(),
                        tool: tool.to_owned(),
                        input: block.get("input").map(value).unwrap_or_default(),
                        failed: None,
                    };
                    self.call(call, places);
                }
                (Some("user"), Some("tool_result")) => {
                    let failed = block.bool("is_error") == Some(true);
                    self.result(block.text("tool_use_id"), failed, places);
                }
                _ => {}
            }
        }
    }

    fn codex(&mut self, line: &Json<'_>, places: &mut HashMap<String, usize>) {
        let Some(item) = line.get("payload") else {
            return;
        };
        if line.text("type") == Some("session_meta") {
            self.session(item.text("id"));
        }
        if line.text("type") != Some("response_item") {
            return;
        }
        let id = item.text("call_id");
        match item.text("type") {
            Some("function_call") => {
                let (Some(id), Some(tool)) = (id, item.text("name")) else {
                    self.unread += 1;
                    return;
                };
                let arguments = item.text("arguments").unwrap_or_default();
                let input = serde_json::from_str(arguments).unwrap_or_default();
                let call = Told {
                    id: id.to_owned(),
                    tool: tool.to_owned(),
                    input: as_hooked(tool, input),
                    failed: None,
                };
                self.call(call, places);
            }
            Some("custom_tool_call") => {
                let (Some(id), Some(tool)) = (id, item.text("name")) else {
                    self.unread += 1;
                    return;
                };
                let patch = item.text("input").unwrap_or_default();
                let call = Told {
                    id: id.to_owned(),
                    tool: tool.to_owned(),
                    input: serde_json::json!({ "command": patch }),
                    failed: None,
                };
                self.call(call, places);
            }
            Some("function_call_output" | "custom_tool_call_output") => {
                let output = item.text("output").unwrap_or_default();
                self.result(id, refused(output), places);
            }
            _ => {}
        }
    }
}

/// Codex says of a call that did not run why it did not.
fn refused(output: &str) -> bool {
    output.starts_with("Command blocked by") || output.starts_with("unsupported ")
}

/// Codex shows its hooks only the command of a shell call.
fn as_hooked(tool: &str, input: serde_json::Value) -> serde_json::Value {
    let command = input.get("cmd").or_else(|| input.get("command"));
    match (tool, command) {
        ("exec_command" | "shell" | "shell_command" | "local_shell", Some(command)) => {
            serde_json::json!({ "command": command })
        }
        _ => input,
    }
}

fn value(json: &Json<'_>) -> serde_json::Value {
    serde_json::to_value(json).unwrap_or_default()
}

/// Reads what the gate recorded of the calls of a session, or of the sessions that the harness calls so; if neither
/// is known, of those that it does not call otherwise.
pub fn gated(
    view: &View<'_>,
    session: Option<Seq>,
    names: &[String],
) -> Result<HashMap<String, Gated>> {
    let mut sessions: Vec<Seq> = session.into_iter().collect();
    // Sessions that the harness names otherwise: calls of theirs are not this transcript's, even if they have the same name. The
    // session of a cell has no such name.
    let mut others = Vec::new();
    if session.is_none() {
        view.of_kind(tacho_schemas::Kind::Session, |shown| {
            let name = shown.text(Field::SourceId).unwrap_or_default();
            // A gate's session is named by the agent and the harness's own id.
            let named = names
                .iter()
                .any(|id| name == id || name.strip_suffix(id).is_some_and(|n| n.ends_with(':')));
            if named && shown.in_tree {
                sessions.push(shown.seq);
            } else if !name.is_empty() && !names.is_empty() {
                others.push(shown.seq);
            }
            Ok::<(), Error>(())
        })?;
    }
    let mut calls: HashMap<String, Gated> = HashMap::new();
    let mut by_seq: HashMap<Seq, String> = HashMap::new();
    view.of_kind(tacho_schemas::Kind::Action, |shown| {
        let Ok(record) = &shown.meaning else {
            return Ok(());
        };
        let here = match (record.session, sessions.is_empty()) {
            (Some(session), true) => !others.contains(&session),
            (Some(session), false) => sessions.contains(&session),
            (None, none) => none,
        };
        let (Via::Gate, true, Body::Action(action)) = (record.via, here, &record.body) else {
            return Ok(());
        };
        let Some(id) = shown.text(Field::SourceId) else {
            return Ok(());
        };
        let input = shown
            .text(Field::Input)
            .filter(|_| record.redacted().is_empty());
        by_seq.insert(shown.seq, id.to_owned());
        let earlier = calls.remove(id);
        let input = input.and_then(|input| serde_json::from_str(input).ok());
        calls.insert(
            id.to_owned(),
            Gated {
                action: shown.seq,
                decision: action.verdict.as_ref().map(|verdict| verdict.decision),
                input: input.or_else(|| earlier.as_ref().and_then(|g| g.input.clone())),
                outcome: earlier.and_then(|gated| gated.outcome),
            },
        );
        Ok::<(), Error>(())
    })?;
    view.of_kind(tacho_schemas::Kind::Outcome, |shown| {
        if let Ok(record) = &shown.meaning
            && let Body::Outcome(outcome) = &record.body
            && let Some(call) = outcome.of.and_then(|of| by_seq.get(&of))
            && let Some(gated) = calls.get_mut(call)
        {
            gated.outcome = Some(shown.seq);
        }
        Ok::<(), Error>(())
    })?;
    Ok(calls)
}

/// Says what does not fit.
pub fn compare(told: &Transcript, gated: &HashMap<String, Gated>) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for call in &told.calls {
        let mut add = |gap, action, detail: &str| {
            gaps.push(Gap {
                gap,
                call: call.id.clone(),
                tool: call.tool.clone(),
                action,
                detail: detail.to_owned(),
            });
        };
        let Some(known) = gated.get(&call.id) else {
            match call.failed {
                Some(false) => add(
                    GapKind::Ungated,
                    None,
                    "it has a result and never asked the gate",
                ),
                Some(true) => add(
                    GapKind::Ungated,
                    None,
                    "it has an error for a result and never asked the gate",
                ),
                None => add(
                    GapKind::Ungated,
                    None,
                    "it never asked the gate; no result of it is told",
                ),
            }
            continue;
        };
        let action = Some(known.action);
        if known
            .input
            .as_ref()
            .is_some_and(|input| *input != call.input)
        {
            add(
                GapKind::Mismatch,
                action,
                "the transcript tells another input than the one that was decided about",
            );
        }
        match (known.decision, call.failed) {
            (Some(Decision::Allow), Some(_)) if known.outcome.is_none() => {
                add(
                    GapKind::Unpaired,
                    action,
                    "it was allowed and has a result, but no outcome was reported",
                );
            }
            (Some(Decision::Deny | Decision::Hold), Some(false)) => {
                add(
                    GapKind::Ungated,
                    action,
                    "it was not allowed and has a result all the same",
                );
            }
            _ => {}
        }
    }
    gaps
}
