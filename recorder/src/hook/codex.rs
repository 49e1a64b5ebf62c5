//! Codex.
//!
//! Its readers refuse an answer with any key that they do not expect, and run the tool then. So the deny is exactly the smallest one,
//! and nothing at all is printed to allow. `continue`, `stopReason` and `suppressOutput` void a deny that stands beside them.

use super::payload::{Payload, empty};
use super::{Agent, Answer, Ask, Ended, Moment, Output, Refusal};

const ASIDES: [&str; 9] = [
    "Interrupt",
    "PostCompact",
    "PreCompact",
    "SessionStart",
    "Stop",
    "StopFailure",
    "SubagentStart",
    "SubagentStop",
    "UserPromptSubmit",
];

const KNOWN: [&str; 14] = [
    "agent_id",
    "agent_type",
    "cwd",
    "hook_event_name",
    "model",
    "permission_mode",
    "session_id",
    "source",
    "tool_input",
    "tool_name",
    "tool_response",
    "tool_use_id",
    "transcript_path",
    "turn_id",
];

pub(super) fn parse(payload: &Payload<'_>) -> Result<Ask, Refusal> {
    let event = payload.need("hook_event_name")?;
    let moment = match event.as_str() {
        "PreToolUse" | "PermissionRequest" => Moment::Before,
        "PostToolUse" => Moment::After,
        "SessionEnd" => Moment::End,
        known if ASIDES.contains(&known) => Moment::Aside,
        _ => return Err(Refusal::Event(event)),
    };
    let about_a_tool = matches!(moment, Moment::Before | Moment::After);
    if about_a_tool {
        payload.need("turn_id")?;
    }
    let call_id = payload.words("tool_use_id");
    if event == "PreToolUse" && call_id.is_none() {
        return Err(Refusal::Field("tool_use_id"));
    }
    Ok(Ask {
        agent: Agent::Codex,
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
        call_id,
        cwd: payload.need("cwd")?,
        transcript: payload.path("transcript_path"),
        model: payload.words("model"),
        subagent: payload.words("agent_id"),
        // It calls the hook alike for a command that failed.
        ended: (moment == Moment::After).then_some(Ended::Unknown),
        exit: None,
        output: payload.any("tool_response").filter(|text| !text.is_empty()),
        rationale: None,
        extra: payload.rest(&KNOWN),
        event,
    })
}

pub(super) fn answer(ask: &Ask, answer: &Answer) -> Output {
    let Answer::Deny { reason, .. } = answer else {
        return Output::default();
    };
    let reason = serde_json::Value::from(reason.as_str());
    let document = match ask.event.as_str() {
        "PreToolUse" => format!(
            "{{\"hookSpecificOutput\":{{\"hookEventName\":\"PreToolUse\",\"permissionDecision\":\"deny\",\"permissionDecisionReason\":{reason}}}}}"
        ),
        "PermissionRequest" => format!(
            "{{\"hookSpecificOutput\":{{\"hookEventName\":\"PermissionRequest\",\"decision\":{{\"behavior\":\"deny\",\"message\":{reason}}}}}}}"
        ),
        // There is nothing left to deny, and any word of ours may be taken for an answer.
        _ => return Output::default(),
    };
    Output {
        stdout: document.into_bytes(),
        ..Output::default()
    }
}
