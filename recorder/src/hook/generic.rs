//! Our own dialect, for agents that have none: `schemas/hook-generic.schema.json`.
//!
//! ```text
//! in   {"tacho": 1, "event": "before", "session": "run-7", "cwd": "/w", "tool": "shell", "input": {"command": "make"},
//!       "call": "c1", "rationale": {"summary": "the build is stale"}}
//! out  {"decision": "allow"}     or     {"decision": "deny", "reason": "…", "stop": false}
//! ```
//!
//! Whoever calls it must run the tool only on exit 0 **and** `"decision": "allow"`.

use serde_json::json;

use super::payload::{Payload, empty};
use super::{Agent, Answer, Ask, Ended, Given, Moment, Output, Refusal};

const KNOWN: [&str; 14] = [
    "call",
    "cwd",
    "ended",
    "event",
    "exit",
    "input",
    "model",
    "output",
    "rationale",
    "session",
    "subagent",
    "tacho",
    "tool",
    "transcript",
];

pub(super) fn parse(payload: &Payload<'_>) -> Result<Ask, Refusal> {
    if payload
        .raw("tacho")
        .is_none_or(|version| version.get() != "1")
    {
        return Err(Refusal::Field("tacho"));
    }
    let event = payload.need("event")?;
    let moment = match event.as_str() {
        "before" => Moment::Before,
        "after" => Moment::After,
        "end" => Moment::End,
        _ => return Err(Refusal::Event(event)),
    };
    let about_a_tool = moment != Moment::End;
    Ok(Ask {
        agent: Agent::Generic,
        moment,
        session: payload.need("session")?,
        tool: match about_a_tool {
            true => payload.need("tool")?,
            false => String::new(),
        },
        input: match about_a_tool {
            true => payload.object("input")?,
            false => empty(),
        },
        call_id: payload.words("call"),
        cwd: payload.need("cwd")?,
        transcript: payload.path("transcript"),
        model: payload.words("model"),
        subagent: payload.words("subagent"),
        ended: match (moment, payload.words("ended").as_deref()) {
            (Moment::After, Some("succeeded")) => Some(Ended::Succeeded),
            (Moment::After, Some("failed")) => Some(Ended::Failed),
            (Moment::After, Some("cancelled")) => Some(Ended::Cancelled),
            (Moment::After, None | Some("unknown")) => Some(Ended::Unknown),
            (Moment::After, Some(_)) => return Err(Refusal::Field("ended")),
            _ => None,
        },
        exit: match payload.raw("exit") {
            Some(raw) => Some(raw.get().parse().map_err(|_| Refusal::Field("exit"))?),
            None => None,
        },
        output: payload.any("output"),
        rationale: match payload.raw("rationale") {
            Some(raw) => Some(given(raw.get())?),
            None => None,
        },
        extra: payload.rest(&KNOWN),
        event,
    })
}

fn given(text: &str) -> Result<Given, Refusal> {
    let rationale = Payload::read(text.as_bytes()).map_err(|_| Refusal::Field("rationale"))?;
    Ok(Given {
        goal: rationale.words("goal"),
        summary: rationale.words("summary"),
        reasoning: rationale.words("reasoning"),
    })
}

pub(super) fn answer(_: &Ask, answer: &Answer) -> Output {
    match answer {
        Answer::Allow { approved: None } => Output::document(&json!({"decision": "allow"})),
        Answer::Allow { approved: Some(by) } => {
            Output::document(&json!({"decision": "allow", "reason": by}))
        }
        Answer::Deny { reason, stop } => no(reason, *stop),
    }
}

/// A no to any event.
pub(super) fn no(reason: &str, stop: bool) -> Output {
    Output::document(&json!({"decision": "deny", "reason": reason, "stop": stop}))
}
