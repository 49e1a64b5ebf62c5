//! Gemini CLI.
//!
//! It takes any JSON on stdout for the answer, whatever the exit code: a deny is a document and exit 0, and nothing else is printed.

use serde_json::json;

use super::payload::{Payload, empty};
use super::{Agent, Answer, Ask, Ended, Moment, Output, Refusal};

const ASIDES: [&str; 8] = [
    "AfterAgent",
    "AfterModel",
    "BeforeAgent",
    "BeforeModel",
    "BeforeToolSelection",
    "Notification",
    "PreCompress",
    "SessionStart",
];

const KNOWN: [&str; 8] = [
    "cwd",
    "hook_event_name",
    "session_id",
    "timestamp",
    "tool_input",
    "tool_name",
    "tool_response",
    "transcript_path",
];

pub(super) fn parse(payload: &Payload<'_>) -> Result<Ask, Refusal> {
    let event = payload.need("hook_event_name")?;
    let moment = match event.as_str() {
        "BeforeTool" => Moment::Before,
        "AfterTool" => Moment::After,
        "SessionEnd" => Moment::End,
        known if ASIDES.contains(&known) => Moment::Aside,
        _ => return Err(Refusal::Event(event)),
    };
    let about_a_tool = matches!(moment, Moment::Before | Moment::After);
    Ok(Ask {
        agent: Agent::Gemini,
        moment,
        session: payload.need("session_id")?,
        tool: match about_a_tool {
            true => payload.need("tool_name")?,
            false => String::new(),
        },
        input: match about_a_tool {
            true => payload.object("tool_input")?,
            false => empty(),
        },
        call_id: None,
        cwd: payload.need("cwd")?,
        transcript: payload.path("transcript_path"),
        model: None,
        subagent: None,
        ended: (moment == Moment::After).then_some(Ended::Unknown),
        exit: None,
        output: payload.any("tool_response"),
        rationale: None,
        extra: payload.rest(&KNOWN),
        event,
    })
}

pub(super) fn answer(ask: &Ask, answer: &Answer) -> Output {
    match answer {
        Answer::Allow { .. } if ask.moment == Moment::Before => {
            Output::document(&json!({"decision": "allow"}))
        }
        Answer::Allow { .. } => Output::document(&json!({})),
        Answer::Deny { reason, stop } if ask.moment == Moment::Before => no(reason, *stop),
        Answer::Deny { reason, stop: true } => {
            Output::document(&json!({"continue": false, "stopReason": reason}))
        }
        Answer::Deny { reason, .. } => Output::document(&json!({"systemMessage": reason})),
    }
}

/// A no to any event.
pub(super) fn no(reason: &str, stop: bool) -> Output {
    Output::document(&match stop {
        true => {
            json!({"decision": "deny", "reason": reason, "continue": false, "stopReason": reason})
        }
        false => json!({"decision": "deny", "reason": reason}),
    })
}
