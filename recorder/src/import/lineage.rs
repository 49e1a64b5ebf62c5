//! Lineages of systems that breed programs: what their importers share.
//!
//! A program becomes a mutation (what was changed, and why), the generation that the mutation made, and an evaluation of it. Parents
//! come before children; who is named but not there gets one generation with fate `missing`.

use std::collections::HashMap;

use tacho_schemas::body::change::{Change, Evaluation, Fate, Generation, Known, Metric, Mutation};
use tacho_schemas::body::{Part, Rationale, RationaleSource};
use tacho_schemas::content::{Field, MAX_ROW, Provenance};
use tacho_schemas::event::{Attachment, Event};
use tacho_schemas::record::{Actor, ActorType, Claimed, Role};
use tacho_schemas::scalar::{List, Set};
use tacho_schemas::{Hash, Id, Seq, canon};

use super::Sink;
use super::pieces::{changed, other};
use crate::error::Result;

/// The most parents, and the most inspirations, that a generation names.
const MAX_PARENTS: usize = 64;
const MAX_INSPIRATIONS: usize = 256;

/// Orders programs, given the ids that each names, so that whoever is named comes first; a circle is cut where it closes.
pub(super) fn order(names: &[Vec<String>], by_id: &HashMap<String, usize>) -> Vec<usize> {
    let mut order = Vec::with_capacity(names.len());
    let mut seen = vec![false; names.len()];
    // Not by recursion: a lineage may be deep.
    let mut stack: Vec<(usize, usize)> = Vec::new();
    let mut enter = |place: usize, stack: &mut Vec<_>| {
        if let Some(seen) = seen.get_mut(place).filter(|seen| !**seen) {
            *seen = true;
            stack.push((place, 0));
        }
    };
    for start in 0..names.len() {
        enter(start, &mut stack);
        while let Some((place, next)) = stack.last_mut() {
            let place = *place;
            match names.get(place).and_then(|names| names.get(*next)) {
                Some(need) => {
                    *next += 1;
                    if let Some(need) = by_id.get(need) {
                        enter(*need, &mut stack);
                    }
                }
                None => {
                    order.push(place);
                    stack.pop();
                }
            }
        }
    }
    order
}

/// Why a program is as it is, as its source says.
pub(super) struct Why {
    /// The rationale in short.
    pub(super) summary: Option<String>,
    /// The rationale at length.
    pub(super) reasoning: Option<String>,
    /// Where it stands.
    pub(super) provenance: Option<Provenance>,
}

/// A program with all that is known of it.
pub(super) struct Program {
    pub(super) source_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) summary: Option<String>,
    pub(super) actor: Actor,
    pub(super) part: Part,
    pub(super) media_type: Option<&'static str>,
    pub(super) code: Option<String>,
    pub(super) parent_code: Option<String>,
    pub(super) parents: Vec<Seq>,
    pub(super) inspirations: Vec<Seq>,
    pub(super) ordinal: Option<u64>,
    pub(super) branch: Option<Id>,
    pub(super) fate: Fate,
    pub(super) why: Why,
    pub(super) claimed: Option<Claimed>,
    /// What the model was given.
    pub(super) inputs: Vec<Attachment>,
}

/// What was measured of a generation.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) name: Option<&'static str>,
    pub(super) main: Option<Metric>,
    pub(super) metrics: Vec<Metric>,
    pub(super) passed: Option<bool>,
    pub(super) error: Option<String>,
    pub(super) claimed: Option<Claimed>,
}

/// A lineage on its way into the log.
pub(super) struct Lineage<'a, 'log> {
    pub(super) sink: &'a mut Sink<'log>,
    /// The system that bred it.
    system: &'static str,
    by_id: HashMap<String, usize>,
    made: HashMap<String, Seq>,
    tried: Vec<bool>,
    first: Option<Seq>,
}

impl<'a, 'log> Lineage<'a, 'log> {
    /// A lineage of programs, by id and place.
    pub(super) fn new(
        sink: &'a mut Sink<'log>,
        system: &'static str,
        by_id: HashMap<String, usize>,
    ) -> Self {
        let tried = vec![false; by_id.len()];
        Self {
            sink,
            system,
            by_id,
            made: HashMap::new(),
            tried,
            first: None,
        }
    }

    /// Where in the source a program stands.
    pub(super) fn place(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The generation of a program that another one names; a new one with fate `missing` if there is none. None, and counted, where a
    /// circle was cut. True if it is new.
    pub(super) fn ancestor(&mut self, id: &str) -> Result<Option<(Seq, bool)>> {
        if let Some(seq) = self.made.get(id) {
            return Ok(Some((*seq, false)));
        }
        let untried = |place: &usize| self.tried.get(*place) == Some(&false);
        if self.by_id.get(id).is_some_and(untried) {
            self.sink.lose("cycle");
            return Ok(None);
        }
        Ok(self.missing(id, None)?.map(|seq| (seq, true)))
    }

    /// Puts a generation that others name, but that is not in the source.
    pub(super) fn missing(&mut self, id: &str, branch: Option<Id>) -> Result<Option<Seq>> {
        let body = Generation {
            lineage: self.first,
            parents: None,
            inspirations: None,
            mutations: None,
            ordinal: None,
            branch,
            fate: Fate::Missing,
        };
        let event = Event::new(self.system()?, body).with(Field::SourceId, id);
        self.generation(event, Some(id))
    }

    /// Whether a generation stands for this id.
    pub(super) fn is_made(&self, id: &str) -> bool {
        self.made.contains_key(id)
    }

    /// The program that bred the lineage, as the one who acts.
    pub(super) fn system(&self) -> Result<Actor> {
        other(ActorType::System, self.system)
    }

    fn generation(&mut self, event: Event, id: Option<&str>) -> Result<Option<Seq>> {
        let seq = self.sink.put(event)?;
        if let Some(seq) = seq {
            self.first.get_or_insert(seq);
            if let Some(id) = id {
                self.made.insert(id.to_owned(), seq);
            }
        }
        Ok(seq)
    }

    /// Puts a program: its mutation and its generation.
    pub(super) fn put(&mut self, mut program: Program) -> Result<Option<Seq>> {
        if let Some(place) = program.source_id.as_deref().and_then(|id| self.place(id))
            && let Some(tried) = self.tried.get_mut(place)
        {
            *tried = true;
        }
        self.cap(&mut program.parents, MAX_PARENTS, "parents_over_64");
        // Causes hold both, so both together must fit.
        let room = MAX_INSPIRATIONS - MAX_PARENTS - 1;
        self.cap(&mut program.inspirations, room, "inspirations_over_191");
        let mutation = self.mutation(&mut program)?;
        let body = Generation {
            lineage: self.first,
            parents: List::some(program.parents.clone())?,
            inspirations: Set::some(program.inspirations.clone())?,
            mutations: List::some(mutation.into_iter().collect())?,
            ordinal: program.ordinal,
            branch: program.branch,
            fate: program.fate,
        };
        let mut event = Event::new(self.system()?, body);
        for (field, text) in [
            (Field::Name, program.name),
            (Field::Summary, program.summary),
            (Field::SourceId, program.source_id.clone()),
        ] {
            if let Some(text) = text {
                event = event.with(field, text);
            }
        }
        if let Some(code) = program.code {
            event = event.with(
                Field::Digest,
                Hash(*blake3::hash(code.as_bytes()).as_bytes()).to_string(),
            );
            event.artefacts = vec![Attachment {
                role: Role::Part,
                path: None,
                media_type: program.media_type.map(str::to_owned),
                unredacted_blake3: None,
                bytes: code.into_bytes(),
            }];
        }
        event.claimed = program.claimed;
        event.causes = mutation.into_iter().collect();
        event.causes.extend(program.parents);
        event.causes.extend(program.inspirations);
        self.generation(event, program.source_id.as_deref())
    }

    fn cap(&mut self, seqs: &mut Vec<Seq>, most: usize, what: &str) {
        let mut seen = std::collections::HashSet::new();
        seqs.retain(|seq| seen.insert(*seq));
        let over = seqs.len().saturating_sub(most);
        self.sink
            .lose_many(what, u64::try_from(over).unwrap_or(u64::MAX));
        seqs.truncate(most);
    }

    fn mutation(&mut self, program: &mut Program) -> Result<Option<Seq>> {
        let code = program.code.as_deref();
        let modifies = program.parent_code.is_some() || !program.parents.is_empty();
        // Lines can be told apart only where both sides are known.
        let files = match (modifies, &program.parent_code, code) {
            (true, Some(before), Some(after)) => {
                Some(changed(None, Some(before), Some(after), true))
            }
            (false, None, Some(after)) => Some(changed(None, None, Some(after), true)),
            _ => None,
        };
        let (rationale, words) = rationale(&mut program.why)?;
        let body = Mutation {
            parts: Some(Set::of(vec![program.part])?),
            rationale: Some(rationale),
            change: if modifies {
                Change::Modify
            } else {
                Change::Create
            },
            known: Known::Declared,
            proposer: None,
            action: None,
            approvals: None,
            applied_by: None,
            reverts: None,
            added: files.as_ref().map(|files| files.added),
            removed: files.as_ref().map(|files| files.removed),
        };
        let mut event = Event::new(program.actor.clone(), body);
        event.content = words;
        for (field, text) in [
            (Field::Name, &program.name),
            (Field::SourceId, &program.source_id),
        ] {
            if let Some(text) = text {
                event = event.with(field, text.as_str());
            }
        }
        event.artefacts = match files {
            Some(files) => files.files,
            None => code
                .map(|code| Attachment {
                    role: Role::After,
                    path: None,
                    media_type: None,
                    unredacted_blake3: None,
                    bytes: code.as_bytes().to_vec(),
                })
                .into_iter()
                .collect(),
        };
        for file in &mut event.artefacts {
            if file.media_type.is_none() {
                file.media_type = program.media_type.map(str::to_owned);
            }
        }
        event.artefacts.append(&mut program.inputs);
        event.claimed = program.claimed.clone();
        event.causes = program.parents.clone();
        event.causes.extend(&program.inspirations);
        self.sink.put(event)
    }

    /// Puts what was measured of a generation; nothing if nothing was.
    pub(super) fn evaluate(&mut self, subject: Seq, measured: Measured) -> Result<()> {
        let Measured {
            name,
            main,
            metrics,
            passed,
            error,
            claimed,
        } = measured;
        if main.is_none() && metrics.is_empty() && passed.is_none() && error.is_none() {
            return Ok(());
        }
        let body = Evaluation {
            cost: None,
            subject: Some(subject),
            benchmark: None,
            benchmark_version: None,
            main,
            metrics: List::some(metrics)?,
            n: None,
            seeds: None,
            passed,
            touched: None,
        };
        let mut event = Event::new(self.system()?, body);
        if let Some(name) = name {
            event = event.with(Field::Name, name);
        }
        if let Some(error) = error {
            event = event.with(Field::Error, error);
        }
        event.claimed = claimed;
        event.causes = vec![subject];
        self.sink.put(event)?;
        Ok(())
    }
}

/// A rationale and its words; without words it is absent, and that is what the record says.
pub(super) fn rationale(
    why: &mut Why,
) -> Result<(Rationale, std::collections::BTreeMap<Field, Vec<u8>>)> {
    let mut words = std::collections::BTreeMap::new();
    for (field, text) in [
        (Field::Summary, why.summary.take()),
        (Field::Reasoning, why.reasoning.take()),
    ] {
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            words.insert(field, text.into_bytes());
        }
    }
    let source = match (words.is_empty(), why.provenance.take()) {
        (true, _) => RationaleSource::Absent,
        (false, None) => RationaleSource::Given,
        (false, Some(provenance)) => {
            words.insert(Field::Provenance, canon::encode(&provenance, MAX_ROW)?);
            RationaleSource::Transcript
        }
    };
    let rationale = Rationale {
        source,
        evidence: None,
        confidence: None,
    };
    Ok((rationale, words))
}

/// The branch of an island.
pub(super) fn island(number: u64) -> Result<Id> {
    Ok(Id::new(format!("island-{number}"))?)
}

/// The media type of a language, as its source names it.
pub(super) fn media_type(sink: &mut Sink<'_>, language: Option<String>) -> Option<&'static str> {
    match language?.as_str() {
        "python" => Some("text/x-python"),
        "text" => Some("text/plain"),
        other => {
            sink.lose(&format!("language:{other}"));
            Some("text/plain")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(nodes: &[(&str, &[&str])]) -> Vec<usize> {
        let names: Vec<Vec<String>> = nodes
            .iter()
            .map(|(_, names)| names.iter().map(|name| (*name).to_owned()).collect())
            .collect();
        let by_id = nodes
            .iter()
            .enumerate()
            .map(|(place, (id, _))| ((*id).to_owned(), place))
            .collect();
        order(&names, &by_id)
    }

    #[test]
    fn parents_come_first_and_circles_end() {
        assert_eq!(
            order_of(&[("c", &["b"]), ("a", &[]), ("b", &["a", "gone"])]),
            [1, 2, 0]
        );
        assert_eq!(
            order_of(&[("a", &["a"]), ("b", &["c"]), ("c", &["b"])]),
            [0, 2, 1]
        );
    }

    #[test]
    fn a_deep_lineage_does_not_overflow_the_stack() {
        let names: Vec<_> = (1..=200_000).map(|n| vec![n.to_string()]).collect();
        let by_id = (0..names.len()).map(|n| (n.to_string(), n)).collect();
        let order = order(&names, &by_id);
        assert_eq!(order.len(), names.len());
        assert_eq!(order.first(), Some(&(names.len() - 1)));
    }
}
