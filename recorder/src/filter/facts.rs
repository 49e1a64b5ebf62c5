//! What a record can be asked for, and whether it meets a filter.
//!
//! The index is made of the same facts that the test on the checked record looks at: they cannot drift apart.

use std::borrow::Cow;
use std::collections::HashMap;

use tacho_schemas::body::human::Scope;
use tacho_schemas::body::{Body, Part};
use tacho_schemas::canon;
use tacho_schemas::content::{Descriptor, Field, MAX_ROW, Provenance, Row};
use tacho_schemas::record::{ActorType, Record};
use tacho_schemas::{Id, Seq};

use super::{Filter, Key, Term};
use crate::error::{ErrorKind, Result};
use crate::read::{Shown, View};

/// A fact: its key, and its value as a filter would name it.
pub(crate) type Fact<'a> = (Key, Cow<'a, str>);

/// All facts of a record.
pub(crate) fn facts(record: &Record, lineage: Option<Seq>) -> Vec<Fact<'_>> {
    let mut all: Vec<Fact<'_>> = Vec::with_capacity(12);
    let mut add = |key, value: &'static str| all.push((key, Cow::Borrowed(value)));
    add(Key::Kind, record.kind.name());
    add(Key::Via, record.via.name());
    add(Key::By, record.actor.actor_type.name());
    let mut parts: Vec<&Part> = Vec::new();
    match &record.body {
        Body::Action(b) => {
            parts.extend(b.parts.iter().flatten());
            if let Some(rationale) = &b.rationale {
                add(Key::Rationale, rationale.source.name());
            }
            if let Some(verdict) = &b.verdict {
                add(Key::Verdict, verdict.decision.name());
            }
        }
        Body::Mutation(b) => {
            parts.extend(b.parts.iter().flatten());
            if let Some(rationale) = &b.rationale {
                add(Key::Rationale, rationale.source.name());
            }
        }
        Body::Evaluation(b) => parts.extend(b.touched.iter().flatten()),
        Body::Outcome(b) => add(Key::Status, b.status.name()),
        _ => {}
    }
    parts.iter().for_each(|part| add(Key::Part, part.name()));

    let mut name = |key, id: &'_ Id| all.push((key, Cow::Owned(id.as_str().to_owned())));
    name(Key::Actor, &record.actor.id);
    if record.actor.actor_type == ActorType::Agent {
        name(Key::Agent, &record.actor.id);
    }
    if let Some(model) = &record.actor.model {
        name(Key::Model, model);
    }
    match &record.body {
        Body::Session(b) => name(Key::Agent, &b.agent),
        Body::Action(b) => {
            name(Key::Tool, &b.tool);
            let verdict = b.verdict.as_ref();
            let rules = verdict.and_then(|v| v.rules.as_ref()).into_iter().flatten();
            rules.for_each(|rule| name(Key::Rule, rule));
        }
        Body::Alarm(b) => name(Key::Rule, &b.rule),
        Body::Note(b) => b.rule.iter().for_each(|rule| name(Key::Rule, rule)),
        _ => {}
    }

    let mut number = |key, seq: Seq| all.push((key, Cow::Owned(seq.to_string())));
    match &record.body {
        Body::Session(_) if record.session.is_none() => number(Key::Session, record.seq),
        Body::Generation(_) => number(Key::Generation, record.seq),
        _ => {}
    }
    if let Some(session) = record.session {
        number(Key::Session, session);
    }
    if let Some(generation) = record.generation {
        number(Key::Generation, generation);
    }
    if let Some(lineage) = lineage {
        number(Key::Lineage, lineage);
    }
    all
}

/// All paths of a record, those of its artefacts and transcripts too.
pub(crate) fn paths(row: &Row) -> Vec<Cow<'_, str>> {
    let text = |field: Field| {
        let bytes = row.text(field)?;
        std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
    };
    let mut paths: Vec<Cow<'_, str>> = [Field::Path, Field::Workspace]
        .into_iter()
        .filter_map(text)
        .collect();
    if let Some(bytes) = row.text(Field::Provenance)
        && let Ok(from) = canon::decode::<Provenance>(bytes, MAX_ROW)
    {
        paths.push(Cow::Owned(from.path));
    }
    for salted in row.artefacts.iter().flat_map(|all| all.values()) {
        let descriptor = Descriptor::decode(&salted.bytes).ok();
        paths.extend(descriptor.and_then(|d| d.path).map(Cow::Owned));
    }
    paths
}

/// Tells whether a shown record meets a filter, as far as the record itself says.
///
/// What it does not say (words, and what it came of or led to) is `None`, unless `ask` knows.
pub(crate) fn test(
    filter: &Filter,
    shown: &Shown,
    facts: &[Fact<'_>],
    ask: &mut dyn FnMut(&Term) -> Result<Option<bool>>,
) -> Result<Option<bool>> {
    let mut undecided = false;
    let (filters, ends) = match filter {
        Filter::Everything => return Ok(Some(true)),
        Filter::Not(inner) => return Ok(test(inner, shown, facts, ask)?.map(|met| !met)),
        Filter::Term(term) => return test_term(term, shown, facts, ask),
        Filter::All(filters) => (filters, false),
        Filter::Any(filters) => (filters, true),
    };
    for filter in filters {
        match test(filter, shown, facts, ask)? {
            Some(met) if met == ends => return Ok(Some(ends)),
            Some(_) => {}
            None => undecided = true,
        }
    }
    Ok((!undecided).then_some(!ends))
}

fn test_term(
    term: &Term,
    shown: &Shown,
    facts: &[Fact<'_>],
    ask: &mut dyn FnMut(&Term) -> Result<Option<bool>>,
) -> Result<Option<bool>> {
    let time = shown.meaning.as_ref().map(|record| record.time);
    Ok(Some(match term {
        Term::Is(key, patterns) => facts
            .iter()
            .filter(|(k, _)| k == key)
            .any(|(_, value)| patterns.iter().any(|p| p.fits(value))),
        Term::Path(patterns) => paths(&shown.row)
            .iter()
            .any(|path| patterns.iter().any(|p| p.fits_path(path))),
        Term::Seq(spans) => spans
            .iter()
            .any(|span| (span.first..=span.last).contains(&shown.seq.0)),
        Term::Since(since) => time.is_ok_and(|time| time >= *since),
        Term::Until(until) => time.is_ok_and(|time| time <= *until),
        Term::Under(_) | Term::Over(_) | Term::Words { .. } => return ask(term),
    }))
}

/// To which lineage records belong; remembers what generations and sessions say.
#[derive(Debug, Default)]
pub(crate) struct Lineages(HashMap<u64, Option<Seq>>);

/// How many generations and sessions are remembered at once.
const REMEMBERED: usize = 1 << 18;

impl Lineages {
    /// The lineage of a record: its own, else that of what it measures, of its generation, of its session.
    pub(crate) fn of(&mut self, view: &View<'_>, record: &Record) -> Result<Option<Seq>> {
        let own = said_by(record);
        if matches!(record.body, Body::Generation(_) | Body::Session(_)) {
            self.remember(record.seq, own);
        }
        let subject = match &record.body {
            Body::Evaluation(b) => b.subject,
            _ => None,
        };
        let mut found = own;
        for other in [subject, record.generation, record.session] {
            if let (None, Some(other)) = (found, other) {
                found = self.said(view, other)?;
            }
        }
        Ok(found)
    }

    fn said(&mut self, view: &View<'_>, seq: Seq) -> Result<Option<Seq>> {
        if let Some(known) = self.0.get(&seq.0) {
            return Ok(*known);
        }
        let said = match view.record(seq) {
            Ok(shown) if shown.in_tree => shown.meaning.ok().as_ref().and_then(said_by),
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::Missing => None,
            Err(error) => return Err(error),
        };
        self.remember(seq, said);
        Ok(said)
    }

    fn remember(&mut self, seq: Seq, said: Option<Seq>) {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(seq.0, said);
    }
}

/// What a record itself says of its lineage.
fn said_by(record: &Record) -> Option<Seq> {
    match &record.body {
        Body::Generation(b) => Some(b.lineage.unwrap_or(record.seq)),
        Body::Session(b) => b.lineage,
        Body::Kill(b) if b.scope == Scope::Lineage => b.about,
        Body::Lease(b) if b.scope == Scope::Lineage => b.about,
        _ => None,
    }
}
