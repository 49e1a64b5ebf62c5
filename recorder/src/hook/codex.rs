//! Codex.
//!
//! Its readers refuse an answer with any key that they do not expect, and run the tool then. So the deny is exactly the smallest one,
//! and nothing at all is printed to allow. `continue`, `stopReason` and `suppressOutput` void a deny that stands beside them.

use super::payload::Payload;
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

/// Fields besides those of [`Payload::call`].
const OWN: [&str; 3] = ["model", "source", "turn_id"];

pub(super) fn parse(payload: &Payload<'_>) -> Result<Ask, Refusal> {
    let event = payload.need("hook_event_name")?;
    let moment = match event.as_str() {
        "PreToolUse" | "PermissionRequest" => Moment::Before,
        "PostToolUse" => Moment::After,
        "SessionEnd" => Moment::End,
        known if ASIDES.contains(&known) => Moment::Aside,
        _ => return Err(Refusal::Event(event)),
    };
    if matches!(moment, Moment::Before | Moment::After) {
        payload.need("turn_id")?;
    }
    Ok(Ask {
        model: payload.words("model"),
        // It calls the hook alike for a command that failed.
        ended: (moment == Moment::After).then_some(Ended::Unknown),
        output: payload.any("tool_response").filter(|text| !text.is_empty()),
        ..payload.call(Agent::Codex, event, moment, &OWN)?
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
