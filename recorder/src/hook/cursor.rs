//! Cursor.
//!
//! An empty stdout lets the tool run, so there is a document to every event. The five `before…` events and `preToolUse` take
//! the same answer.

use serde_json::json;
use serde_json::value::RawValue;

use super::payload::{Payload, empty, words};
use super::{Agent, Answer, Ask, Ended, Moment, Output, Refusal};

const ASIDES: [&str; 11] = [
    "afterAgentResponse",
    "afterAgentThought",
    "afterFileEdit",
    "afterTabFileEdit",
    "beforeSubmitPrompt",
    "preCompact",
    "sessionStart",
    "stop",
    "subagentStop",
    "workspaceOpen",
    "beforeTabFileRead",
];

const KNOWN: [&str; 20] = [
    "command",
    "content",
    "conversation_id",
    "cursor_version",
    "cwd",
    "duration",
    "error_message",
    "file_path",
    "generation_id",
    "hook_event_name",
    "model",
    "output",
    "session_id",
    "tool_input",
    "tool_name",
    "tool_output",
    "tool_use_id",
    "transcript_path",
    "url",
    "workspace_roots",
];

pub(super) fn parse(payload: &Payload<'_>) -> Result<Ask, Refusal> {
    let event = payload.need("hook_event_name")?;
    let moment = match event.as_str() {
        "preToolUse"
        | "beforeShellExecution"
        | "beforeMCPExecution"
        | "beforeReadFile"
        | "subagentStart" => Moment::Before,
        "postToolUse" | "postToolUseFailure" | "afterShellExecution" | "afterMCPExecution" => {
            Moment::After
        }
        "sessionEnd" => Moment::End,
        known if ASIDES.contains(&known) => Moment::Aside,
        _ => return Err(Refusal::Event(event)),
    };
    let (tool, input) = match event.as_str() {
        "beforeShellExecution" | "afterShellExecution" => (
            "Shell".to_owned(),
            members(&[("command", payload.need("command")?)])?,
        ),
        "beforeReadFile" => (
            "Read".to_owned(),
            members(&[("file_path", payload.need("file_path")?)])?,
        ),
        "subagentStart" => ("Task".to_owned(), empty()),
        _ if matches!(moment, Moment::Before | Moment::After) => {
            (payload.need("tool_name")?, arguments(payload)?)
        }
        _ => (String::new(), empty()),
    };
    // Events without a folder of their own have the workspaces.
    let root = || {
        let roots: Vec<String> =
            serde_json::from_str(payload.raw("workspace_roots")?.get()).ok()?;
        roots.into_iter().next()
    };
    let cwd = payload.words("cwd").filter(|cwd| !cwd.is_empty());
    let cwd = cwd.or_else(root).ok_or(Refusal::Field("cwd"))?;
    let session = payload.words("session_id");
    Ok(Ask {
        agent: Agent::Cursor,
        moment,
        session: match session.or_else(|| payload.words("conversation_id")) {
            Some(session) if !session.is_empty() => session,
            _ => return Err(Refusal::Field("session_id")),
        },
        tool,
        input,
        call_id: payload.words("tool_use_id"),
        cwd,
        transcript: payload.path("transcript_path"),
        model: payload.words("model"),
        subagent: None,
        ended: (moment == Moment::After).then_some(match event.as_str() {
            "postToolUse" => Ended::Succeeded,
            "postToolUseFailure" => Ended::Failed,
            _ => Ended::Unknown,
        }),
        exit: None,
        output: payload
            .any("tool_output")
            .or_else(|| payload.any("output"))
            .or_else(|| payload.any("error_message")),
        rationale: None,
        extra: payload.rest(&KNOWN),
        event,
    })
}

/// The arguments of a tool: an object, or a string that holds one.
fn arguments(payload: &Payload<'_>) -> Result<Box<RawValue>, Refusal> {
    if let Ok(object) = payload.object("tool_input") {
        return Ok(object);
    }
    let bad = Refusal::Field("tool_input");
    let text = payload
        .raw("tool_input")
        .and_then(words)
        .ok_or(bad.clone())?;
    let inner = Payload::read(text.as_bytes())?;
    inner.strictly()?;
    RawValue::from_string(text.trim().to_owned()).map_err(|_| bad)
}

fn members(members: &[(&str, String)]) -> Result<Box<RawValue>, Refusal> {
    let object: serde_json::Map<String, serde_json::Value> = members
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.as_str().into()))
        .collect();
    serde_json::value::to_raw_value(&object).map_err(|_| Refusal::NotJson)
}

pub(super) fn answer(ask: &Ask, answer: &Answer) -> Output {
    match (ask.moment, answer) {
        (Moment::Before, Answer::Allow { .. }) => Output::document(&json!({"permission": "allow"})),
        (Moment::Before, Answer::Deny { reason, .. }) => no(reason),
        (_, Answer::Allow { .. }) => Output::document(&json!({})),
        (_, Answer::Deny { reason, .. }) => Output::document(&json!({"user_message": reason})),
    }
}

/// A no to any event.
pub(super) fn no(reason: &str) -> Output {
    Output::document(
        &json!({"permission": "deny", "user_message": reason, "agent_message": reason}),
    )
}
