//! What transcripts of different harnesses have in common: words before a call are its rationale, lines name each other.

use std::collections::{HashMap, VecDeque};

use tacho_schemas::body::{Rationale, RationaleSource};
use tacho_schemas::canon;
use tacho_schemas::content::{Field, MAX_ROW, Provenance};
use tacho_schemas::event::Event;

use super::json::{Fault, Json};
use super::lines::Lines;
use crate::error::Result;

/// How many things of a source are kept to find them by name: older ones are out of reach.
const REMEMBERED: usize = 1 << 16;

/// Why a call was made: the body and the words.
#[derive(Clone, Debug)]
pub(super) struct Why {
    pub(super) rationale: Rationale,
    words: Vec<(Field, Vec<u8>)>,
}

impl Why {
    /// Takes words that were found in a source at a place, or says that there are none.
    pub(super) fn new(
        summary: &str,
        reasoning: &str,
        place: impl FnOnce() -> Provenance,
    ) -> Result<Self> {
        let mut words = Vec::with_capacity(3);
        for (field, text) in [(Field::Summary, summary), (Field::Reasoning, reasoning)] {
            if !text.is_empty() {
                words.push((field, text.as_bytes().to_vec()));
            }
        }
        let source = match words.is_empty() {
            true => RationaleSource::Absent,
            false => {
                words.push((Field::Provenance, canon::encode(&place(), MAX_ROW)?));
                RationaleSource::Transcript
            }
        };
        Ok(Self {
            rationale: Rationale {
                source,
                evidence: None,
                confidence: None,
            },
            words,
        })
    }

    /// Puts the words into an event.
    pub(super) fn tell(self, event: Event) -> Event {
        self.words
            .into_iter()
            .fold(event, |event, (field, words)| event.with(field, words))
    }
}

/// The last things of a source, by the names that it gave them.
#[derive(Debug)]
pub(super) struct Recent<T> {
    by_name: HashMap<String, T>,
    order: VecDeque<String>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            by_name: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Recent<T> {
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.by_name.get(name)
    }

    pub(super) fn insert(&mut self, name: &str, thing: T) {
        if self.by_name.insert(name.to_owned(), thing).is_none() {
            self.order.push_back(name.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_name.remove(&oldest);
        }
    }
}

/// Somebody who reads a transcript, object by object.
pub(super) trait Transcript {
    /// Takes the object of the line at which `lines` stands.
    fn object(&mut self, object: &Json<'_>, lines: &Lines) -> Result<()>;

    /// Counts a line that is none.
    fn lose(&mut self, what: &str);
}

/// Reads a transcript to its end.
pub(super) fn read(
    mut lines: Lines,
    transcript: &mut impl Transcript,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    while lines.advance()? {
        progress(lines.end(), lines.length);
        let lost = match lines.text() {
            Err(why) => why,
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => match Json::read(text) {
                Ok((object, repeated)) if object.is_object() => {
                    for _ in 0..repeated {
                        transcript.lose("key_repeated");
                    }
                    transcript.object(&object, &lines)?;
                    continue;
                }
                Ok(_) => "line_not_an_object",
                Err(Fault::Torn) => "line_torn",
                Err(Fault::NotJson) => "line_not_json",
                Err(Fault::TooDeep) => "line_too_deep",
                Err(Fault::TooLarge) => "line_with_too_many_values",
            },
        };
        transcript.lose(lost);
    }
    Ok(())
}

/// Adds a paragraph.
pub(super) fn join(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}
