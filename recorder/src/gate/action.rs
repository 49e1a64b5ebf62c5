//! The record of a decision, and the agent's words in it.

use tacho_policy::Act;
use tacho_schemas::Seq;
use tacho_schemas::body::work;
use tacho_schemas::body::{PerMille, Rationale, RationaleSource};
use tacho_schemas::canon;
use tacho_schemas::content::{Alternatives, Field, MAX_ROW, Provenance};
use tacho_schemas::event::{Attachment, Event};
use tacho_schemas::record::{Actor, ActorType, Role, Via};
use tacho_schemas::scalar::{List, Set};

use super::Gate;
use super::ask::Read;
use super::state::{Ground, parts};
use super::wire::Decide;
use crate::error::Result;

impl Gate {
    /// The record of a decision.
    pub(super) fn event(
        &self,
        read: &Read,
        ground: &Ground,
        verdict: work::Verdict,
        causes: Vec<Seq>,
    ) -> Result<Event> {
        let ask = &read.asked.ask;
        let request = &read.request;
        let mut event = Event::new(
            actor(read),
            work::Action {
                tool: ask.tool.clone(),
                class: request.class,
                effects: request.effects,
                parts: Set::some(parts(request))?,
                rationale: None,
                verdict: Some(verdict),
            },
        )
        .with(Field::Request, read.bytes.as_ref().clone())
        .with(Field::Facts, ground.facts.to_bytes())
        .with(Field::Input, read.input.clone());
        event.session = Some(read.asked.session);
        event.generation = ground.generation;
        event.causes = causes;
        if let Some(id) = &ask.tool_use_id {
            event = event.with(Field::SourceId, id.clone());
        }
        if let Some(command) = ask.input.field("command").and_then(text) {
            event = event.with(Field::Command, command.to_owned());
        }
        if let Some(target) = request.targets.iter().next() {
            event = event.with(Field::Path, target.name().to_owned());
        }
        let rationale = rationale(ask, &mut event)?;
        if let tacho_schemas::body::Body::Action(action) = &mut event.body {
            action.rationale = Some(rationale);
        }
        if request.act == Act::Mutate {
            for (path, bytes) in read.before.iter() {
                if let Some(bytes) = bytes {
                    event
                        .artefacts
                        .push(file(Role::Before, path, bytes.clone()));
                }
            }
            if let Some(diff) = &read.diff {
                let mut diff = file(Role::Diff, "change", diff.clone().into_bytes());
                (diff.path, diff.media_type) = (None, Some("text/x-diff".to_owned()));
                event.artefacts.push(diff);
            }
        }
        Ok(event)
    }

    /// A prefix of the agent's transcript is not what it was: somebody rewrote what was said before.
    pub(super) fn rewritten(&self, read: &Read, action: Seq) -> Result<Seq> {
        use tacho_schemas::body::log::{Gap, GapKind};
        let mut event = Event::new(
            super::recorder()?,
            Gap {
                gap: GapKind::Rewritten,
                count: None,
                since: None,
                until: None,
            },
        )
        .with(
            Field::Detail,
            "the transcript up to the last decision is not what it was then",
        );
        event.session = Some(read.asked.session);
        event.causes = vec![action];
        self.append(event, read.asked.peer.way(Via::Recorder))
    }
}

fn actor(read: &Read) -> Actor {
    let agent = read.session.agent.clone();
    let ask = &read.asked.ask;
    let (id, on_behalf_of) = match &ask.subagent {
        Some(subagent) => (subagent.clone(), Some(agent)),
        None => (agent, None),
    };
    Actor {
        actor_type: ActorType::Agent,
        id,
        model: ask.model.clone(),
        on_behalf_of,
    }
}

/// Takes the agent's words over, as a claim.
fn rationale(ask: &Decide, event: &mut Event) -> Result<Rationale> {
    let absent = Rationale {
        source: RationaleSource::Absent,
        evidence: None,
        confidence: None,
    };
    let Some(given) = &ask.rationale else {
        return Ok(absent);
    };
    let mut words = false;
    for (field, text) in [
        (Field::Goal, &given.goal),
        (Field::Summary, &given.summary),
        (Field::Reasoning, &given.reasoning),
        (Field::ExpectedEffect, &given.expected_effect),
    ] {
        if let Some(text) = text.as_ref().filter(|t| !t.is_empty()) {
            event.content.insert(field, text.clone().into_bytes());
            words = true;
        }
    }
    if let Some(list) = given.alternatives.clone().filter(|l| !l.is_empty()) {
        let list: Alternatives = List::new(list)?;
        let bytes = canon::encode(&list, MAX_ROW)?;
        event.content.insert(Field::Alternatives, bytes);
        words = true;
    }
    let evidence = Set::some({
        let mut evidence = given.evidence.clone().unwrap_or_default();
        evidence.sort_unstable();
        evidence.dedup();
        evidence
    })?;
    let confidence = given.confidence.map(PerMille::new).transpose()?;
    if !words && evidence.is_none() && confidence.is_none() {
        return Ok(absent);
    }
    let from_transcript = given.from_transcript == Some(true);
    if let (true, Some(transcript)) = (from_transcript, &ask.transcript) {
        let provenance = Provenance {
            offset: transcript.offset,
            prefix_blake3: transcript.prefix_blake3,
            path: transcript.path.clone(),
        };
        let bytes = canon::encode(&provenance, MAX_ROW)?;
        event.content.insert(Field::Provenance, bytes);
    }
    Ok(Rationale {
        source: if from_transcript {
            RationaleSource::Transcript
        } else {
            RationaleSource::Given
        },
        evidence,
        confidence,
    })
}

pub(super) fn text(value: &tacho_policy::Json) -> Option<&str> {
    match value {
        tacho_policy::Json::Text(text) => Some(text),
        _ => None,
    }
}

pub(super) fn file(role: Role, path: &str, bytes: Vec<u8>) -> Attachment {
    Attachment {
        role,
        path: Some(path.to_owned()),
        media_type: None,
        unredacted_blake3: None,
        bytes,
    }
}
