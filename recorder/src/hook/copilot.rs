//! Copilot CLI.
//!
//! The case of the event's name picks the payload: `preToolUse` brings `toolName`, `PreToolUse` brings `tool_name`. The answer is
//! the same: exactly one document. A document without a decision leaves the harness's own questions as they are.

use serde_json::json;
use serde_json::value::RawValue;

use super::payload::{Payload, empty, words};
use super::{Agent, Answer, Ask, Ended, Moment, Output, Refusal};

const ASIDES: [&str; 9] = [
    "agentstop",
    "erroroccurred",
    "notification",
    "precompact",
    "sessionstart",
    "subagentstart",
    "subagentstop",
    "userpromptsubmit",
    "userpromptsubmitted",
];

const KNOWN: [&str; 16] = [
    "cwd",
    "hook_event_name",
    "reason",
    "sessionId",
    "session_id",
    "timestamp",
    "toolArgs",
    "toolName",
    "toolResult",
    "tool_input",
    "tool_name",
    "tool_result",
    "transcript_path",
    "transcriptPath",
    "error",
    "stopReason",
];

pub(super) fn parse(payload: &Payload<'_>) -> Result<Ask, Refusal> {
    // The camel-case payload does not name its event: a result is what comes after.
    let event = match payload.words("hook_event_name") {
        Some(event) => event,
        None if payload.raw("toolResult").is_some() => "postToolUse".to_owned(),
        None if payload.raw("toolName").is_some() => "preToolUse".to_owned(),
        None if payload.raw("reason").is_some() => "sessionEnd".to_owned(),
        None => return Err(Refusal::Field("toolName")),
    };
    let moment = match event.to_ascii_lowercase().as_str() {
        "pretooluse" | "permissionrequest" => Moment::Before,
        "posttooluse" | "posttoolusefailure" => Moment::After,
        "sessionend" => Moment::End,
        known if ASIDES.contains(&known) => Moment::Aside,
        _ => return Err(Refusal::Event(event)),
    };
    let about_a_tool = matches!(moment, Moment::Before | Moment::After);
    let either = |a: &'static str, b: &'static str| payload.need(a).or_else(|_| payload.need(b));
    Ok(Ask {
        agent: Agent::Copilot,
        moment,
        session: either("sessionId", "session_id")?,
        tool: match about_a_tool {
            true => either("toolName", "tool_name")?,
            false => String::new(),
        },
        input: match about_a_tool {
            true => arguments(payload)?,
            false => empty(),
        },
        call_id: None,
        cwd: payload.need("cwd")?,
        transcript: payload.path("transcriptPath"),
        model: None,
        subagent: None,
        ended: (moment == Moment::After).then(|| ended(payload)),
        exit: None,
        output: payload
            .any("toolResult")
            .or_else(|| payload.any("tool_result")),
        rationale: None,
        extra: payload.rest(&KNOWN),
        event,
    })
}

/// The arguments of a tool: an object, or a string that holds one.
fn arguments(payload: &Payload<'_>) -> Result<Box<RawValue>, Refusal> {
    for key in ["toolArgs", "tool_input"] {
        if let Ok(object) = payload.object(key) {
            return Ok(object);
        }
        if let Some(text) = payload.raw(key).and_then(words) {
            Payload::read(text.as_bytes())?.strictly()?;
            return RawValue::from_string(text.trim().to_owned())
                .map_err(|_| Refusal::Field("toolArgs"));
        }
    }
    Err(Refusal::Field("toolArgs"))
}

fn ended(payload: &Payload<'_>) -> Ended {
    let result = payload.raw("toolResult").map(RawValue::get);
    let kind = result.and_then(|result| {
        let result: serde_json::Value = serde_json::from_str(result).ok()?;
        Some(result.get("resultType")?.as_str()?.to_owned())
    });
    match kind.as_deref() {
        Some("success") => Ended::Succeeded,
        Some("failure") => Ended::Failed,
        Some("denied") => Ended::Cancelled,
        _ => Ended::Unknown,
    }
}

pub(super) fn answer(ask: &Ask, answer: &Answer) -> Output {
    let asks = ask.event.eq_ignore_ascii_case("permissionRequest");
    match (ask.moment, answer) {
        (Moment::Before, Answer::Deny { reason, .. }) if asks => {
            Output::document(&json!({"behavior": "deny", "message": reason}))
        }
        (Moment::Before, Answer::Deny { reason, .. }) => no(reason),
        _ => Output::document(&json!({})),
    }
}

/// A no to any event.
pub(super) fn no(reason: &str) -> Output {
    Output::document(&json!({"permissionDecision": "deny", "permissionDecisionReason": reason}))
}
