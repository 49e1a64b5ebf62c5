//! The records that are written: actions with a decision, a rationale of 640 characters and tool arguments.

use serde::Deserialize;
use tacho_schemas::Id;
use tacho_schemas::body::work::{Action, Class, Decision, Effects, Verdict};
use tacho_schemas::body::{Rationale, RationaleSource};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType};
use tacho_schemas::scalar::Set;

use crate::term::Failure;

/// Bytes of text in a record.
pub(super) const PAYLOAD: usize = RATIONALE + ARGUMENTS;

const RATIONALE: usize = 640;
const ARGUMENTS: usize = 384;

const ADAS: &str = include_str!("../../../fixtures/corpus/adas.jsonl");

/// Texts to cut records from.
#[derive(Clone, Debug)]
pub(super) struct Corpus {
    thoughts: Vec<u8>,
    code: Vec<u8>,
    model: Event,
}

#[derive(Deserialize)]
struct Entry {
    thought: String,
    code: String,
}

impl Corpus {
    /// What real agents wrote.
    pub(super) fn real() -> Result<Self, Failure> {
        let (mut thoughts, mut code) = (Vec::new(), Vec::new());
        for line in ADAS.lines() {
            let entry: Entry = serde_json::from_str(line)
                .map_err(|e| Failure::new(format!("the corpus is damaged: {e}")))?;
            thoughts.extend_from_slice(entry.thought.as_bytes());
            thoughts.push(b'\n');
            code.extend_from_slice(entry.code.as_bytes());
            code.push(b'\n');
        }
        Self::of(thoughts, code)
    }

    /// Random ASCII, all 128 of it: text has to be UTF-8, and this is about the least that can be saved on any.
    pub(super) fn incompressible() -> Result<Self, Failure> {
        let mut texts = [vec![0; 1 << 20], vec![0; 1 << 20]];
        for text in &mut texts {
            crate::place::random(text)?;
            for byte in text {
                *byte &= 0x7f;
            }
        }
        let [thoughts, code] = texts;
        Self::of(thoughts, code)
    }

    fn of(thoughts: Vec<u8>, code: Vec<u8>) -> Result<Self, Failure> {
        let actor = Actor {
            actor_type: ActorType::Agent,
            id: Id::new("bench-agent")?,
            model: Some(Id::new("model-1")?),
            on_behalf_of: None,
        };
        let verdict = Verdict {
            policy_digest: None,
            consumes: None,
            decision: Decision::Allow,
            deny_kind: None,
            rules: Set::some(vec![Id::new("workspace-writes")?])?,
            policy: None,
            obligations: None,
            request_digest: None,
            deadline: None,
        };
        let action = Action {
            tool: Id::new("Write")?,
            class: Some(Class::Write),
            effects: Some(Effects::Known),
            parts: None,
            rationale: Some(Rationale {
                source: RationaleSource::Given,
                evidence: None,
                confidence: None,
            }),
            verdict: Some(verdict),
        };
        Ok(Self {
            thoughts,
            code,
            model: Event::new(actor, action),
        })
    }

    /// The event with this number.
    pub(super) fn event(&self, number: u64) -> Event {
        let mut event = self.model.clone();
        event
            .content
            .insert(Field::Reasoning, cut(&self.thoughts, number, RATIONALE));
        event
            .content
            .insert(Field::Input, cut(&self.code, number, ARGUMENTS));
        event
    }

    /// The bytes of its text, for the floors.
    pub(super) fn payload(&self, number: u64) -> Vec<u8> {
        let mut bytes = cut(&self.thoughts, number, RATIONALE);
        bytes.append(&mut cut(&self.code, number, ARGUMENTS));
        bytes
    }
}

/// A stretch of the text; another number, another stretch.
fn cut(text: &[u8], number: u64, length: usize) -> Vec<u8> {
    let places = u64::try_from(text.len().saturating_sub(length).max(1)).unwrap_or(1);
    // Odd and large, so that neighbours lie far apart.
    let start = usize::try_from(number.wrapping_mul(7919) % places).unwrap_or(0);
    text.get(start..start + length).unwrap_or(text).to_vec()
}
