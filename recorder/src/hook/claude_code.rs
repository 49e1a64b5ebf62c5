//! Claude Code.
//!
//! Says nothing to allow: its own questions and rules then go on as if we were not there. `allow` would skip the question that a
//! person expects, so it is said only when people approved this very call. Any other key beside a deny would be accepted here, but
//! not by Codex, which copied the format.

use serde_json::json;

use super::payload::Payload;
use super::{Agent, Answer, Ask, Ended, Moment, Output, Refusal};

/// The events that are about no tool call: nothing is decided there.
const ASIDES: [&str; 28] = [
    "ConfigChange",
    "CwdChanged",
    "DirectoryAdded",
    "Elicitation",
    "ElicitationResult",
    "FileChanged",
    "InstructionsLoaded",
    "MessageDisplay",
    "Notification",
    "PermissionDenied",
    "PostCompact",
    "PostModelSwitch",
    "PostToolBatch",
    "PreCompact",
    "PreModelSwitch",
    "SessionStart",
    "Setup",
    "Stop",
    "StopFailure",
    "SubagentStart",
    "SubagentStop",
    "TaskCompleted",
    "TaskCreated",
    "TeammateIdle",
    "UserPromptExpansion",
    "UserPromptSubmit",
    "WorktreeCreate",
    "WorktreeRemove",
];

/// Fields besides those of [`Payload::call`].
const OWN: [&str; 4] = ["duration_ms", "error", "is_interrupt", "prompt_id"];

pub(super) fn parse(payload: &Payload<'_>) -> Result<Ask, Refusal> {
    let event = payload.need("hook_event_name")?;
    let moment = match event.as_str() {
        "PreToolUse" | "PermissionRequest" => Moment::Before,
        "PostToolUse" | "PostToolUseFailure" => Moment::After,
        "SessionEnd" => Moment::End,
        known if ASIDES.contains(&known) => Moment::Aside,
        _ => return Err(Refusal::Event(event)),
    };
    let failed = event == "PostToolUseFailure";
    Ok(Ask {
        ended: (moment == Moment::After).then(|| match payload.raw("is_interrupt") {
            Some(raw) if raw.get() == "true" => Ended::Cancelled,
            _ if failed => Ended::Failed,
            _ => Ended::Succeeded,
        }),
        exit: payload.words("error").as_deref().and_then(exit),
        output: match failed {
            true => payload.any("error"),
            false => payload.any("tool_response"),
        },
        ..payload.call(Agent::ClaudeCode, event, moment, &OWN)?
    })
}

/// The exit code in "Exit code 7".
fn exit(error: &str) -> Option<i64> {
    let rest = error.strip_prefix("Exit code ")?;
    rest.split_whitespace().next()?.parse().ok()
}

pub(super) fn answer(ask: &Ask, answer: &Answer) -> Output {
    match (ask.moment, answer) {
        (Moment::Before, Answer::Allow { approved: None }) => Output::default(),
        (Moment::Before, Answer::Allow { approved: Some(by) }) => {
            Output::document(&match ask.event.as_str() {
                "PermissionRequest" => json!({"hookSpecificOutput": {
                    "hookEventName": "PermissionRequest",
                    "decision": {"behavior": "allow"},
                }}),
                _ => json!({"hookSpecificOutput": {
                    "hookEventName": "PreToolUse",
                    "permissionDecision": "allow",
                    "permissionDecisionReason": by,
                }}),
            })
        }
        (Moment::Before, Answer::Deny { reason, stop }) => {
            let mut no = match ask.event.as_str() {
                "PermissionRequest" => json!({"hookSpecificOutput": {
                    "hookEventName": "PermissionRequest",
                    "decision": {"behavior": "deny", "message": reason},
                }}),
                _ => json!({"hookSpecificOutput": {
                    "hookEventName": "PreToolUse",
                    "permissionDecision": "deny",
                    "permissionDecisionReason": reason,
                }}),
            };
            if *stop && let Some(no) = no.as_object_mut() {
                no.insert("continue".to_owned(), json!(false));
                no.insert("stopReason".to_owned(), json!(reason));
            }
            Output::document(&no)
        }
        (_, Answer::Allow { .. }) => Output::default(),
        // The tool has run: only the agent can still be stopped, or the user told.
        (_, Answer::Deny { reason, stop: true }) => {
            Output::document(&json!({"continue": false, "stopReason": reason}))
        }
        (
            _,
            Answer::Deny {
                reason,
                stop: false,
            },
        ) => Output::document(&json!({"systemMessage": reason})),
    }
}
