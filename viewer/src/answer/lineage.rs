//! The graph of generations, as flat rows.

use std::collections::HashMap;

use tacho_recorder::Error;
use tacho_recorder::read::View;
use tacho_recorder::why;
use tacho_schemas::body::Body;
use tacho_schemas::body::RationaleSource;
use tacho_schemas::body::change::Fate;
use tacho_schemas::content::Field;
use tacho_schemas::{Kind, Seq};

use super::Mind;
use super::diff::{is_by_human, mutation};
use crate::row::{first_reason, parts};
use crate::text::said;

/// Generations whose mutations are read; of a larger lineage, the newest.
const DETAILED: usize = 5_000;

/// A lineage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Graph {
    pub(crate) lineage: Seq,
    pub(crate) name: String,
    /// Which of how many lineages of the log.
    pub(crate) place: (usize, usize),
    /// In the order in which they were recorded.
    pub(crate) nodes: Vec<Node>,
    /// What is measured.
    pub(crate) metric: String,
    /// The one with the highest number.
    pub(crate) best: Option<usize>,
    /// The one that the question was about, or that it ran under.
    pub(crate) near: Option<usize>,
}

/// A generation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) seq: Seq,
    pub(crate) name: String,
    pub(crate) fate: Fate,
    /// Places of the generations that it was made from; the first one is drawn.
    pub(crate) parents: Vec<usize>,
    /// The number as its source wrote it, and as a number if it is one.
    pub(crate) score: Option<(String, Option<f64>)>,
    /// The number less that of the parent.
    pub(crate) gain: Option<f64>,
    pub(crate) steps: Vec<Step>,
    /// Mutations since a human last approved one.
    pub(crate) drift: u64,
    pub(crate) by_human: bool,
}

/// A mutation that made a generation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) seq: Seq,
    pub(crate) parts: String,
    pub(crate) added: Option<u64>,
    pub(crate) removed: Option<u64>,
    /// Why, in the first words; a claim.
    pub(crate) why: Option<String>,
}

impl Mind<'_> {
    pub(super) fn lineage(&mut self, near: Seq, shift: i64) -> Result<Option<Graph>, Error> {
        let view = View::new(&self.reader)?;
        let lineages = self.index.lineages()?;
        let Some(generation) = self.generation_of(&view, near)? else {
            return self.lineage_by_place(&view, &lineages, near, shift);
        };
        let own = self
            .index
            .generation(generation)?
            .map(|found| found.lineage);
        let place = lineages.iter().position(|l| Some(l.seq) == own);
        match place {
            Some(place) => self.graph(
                &view,
                &lineages,
                shifted(place, shift, lineages.len()),
                Some(generation),
            ),
            None => self.lineage_by_place(&view, &lineages, near, shift),
        }
    }

    /// The newest lineage before a record, or the one so many places on.
    fn lineage_by_place(
        &self,
        view: &View<'_>,
        lineages: &[tacho_recorder::index::Lineage],
        near: Seq,
        shift: i64,
    ) -> Result<Option<Graph>, Error> {
        if lineages.is_empty() {
            return Ok(None);
        }
        let before = lineages.iter().rposition(|l| l.seq <= near).unwrap_or(0);
        let place = shifted(before, shift, lineages.len());
        self.graph(view, lineages, place, None)
    }

    /// The generation that a record is, measures, made, or ran under.
    pub(super) fn generation_of(&self, view: &View<'_>, seq: Seq) -> Result<Option<Seq>, Error> {
        let Ok(record) = view.record(seq)?.meaning else {
            return Ok(None);
        };
        let found = match &record.body {
            Body::Generation(_) => Some(seq),
            Body::Evaluation(body) => body.subject,
            Body::Mutation(_) => {
                let effects = self.index.effects(seq)?;
                let mut made = None;
                for link in effects {
                    if view
                        .record(link.seq)?
                        .meaning
                        .is_ok_and(|r| r.kind == Kind::Generation)
                    {
                        made = Some(link.seq);
                        break;
                    }
                }
                made
            }
            _ => None,
        };
        Ok(found.or(record.generation))
    }

    fn graph(
        &self,
        view: &View<'_>,
        lineages: &[tacho_recorder::index::Lineage],
        place: usize,
        near: Option<Seq>,
    ) -> Result<Option<Graph>, Error> {
        let Some(lineage) = lineages.get(place) else {
            return Ok(None);
        };
        let generations = self.index.generations(lineage.seq)?;
        let places: HashMap<Seq, usize> = generations
            .iter()
            .enumerate()
            .map(|(at, g)| (g.seq, at))
            .collect();
        let detailed = generations.len().saturating_sub(DETAILED);
        let mut nodes: Vec<Node> = Vec::with_capacity(generations.len());
        let mut metric = String::new();
        for (at, generation) in generations.iter().enumerate() {
            let mut node = Node {
                seq: generation.seq,
                name: generation.ordinal.map_or(String::new(), |n| n.to_string()),
                fate: generation.fate,
                parents: generation
                    .parents
                    .iter()
                    .filter_map(|p| places.get(p).copied())
                    .collect(),
                score: None,
                gain: None,
                steps: Vec::new(),
                drift: 0,
                by_human: false,
            };
            let measured = self.index.evaluations(generation.seq)?;
            // The newest that has the number its system selects by.
            if let Some((name, number)) = measured
                .into_iter()
                .rev()
                .find_map(|evaluation| evaluation.main)
            {
                metric = said(&name);
                node.score = Some((
                    said(&number),
                    number.parse().ok().filter(|n: &f64| n.is_finite()),
                ));
            }
            if at >= detailed {
                self.detail(view, &mut node)?;
            }
            let parent = node.parents.first().and_then(|p| nodes.get(*p));
            let before = parent.map_or(0, |parent| parent.drift);
            let made = u64::try_from(node.steps.len()).unwrap_or(0);
            node.drift = if node.by_human { 0 } else { before + made };
            let was = parent.and_then(|parent| parent.score.as_ref()?.1);
            let is = node.score.as_ref().and_then(|score| score.1);
            node.gain = is.zip(was).map(|(is, was)| is - was);
            nodes.push(node);
        }
        let number = |at: &usize| nodes.get(*at).and_then(|n| n.score.as_ref()?.1);
        let best = (0..nodes.len())
            .filter(|at| number(at).is_some())
            .max_by(|a, b| {
                number(a)
                    .partial_cmp(&number(b))
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
        let first = view.record(lineage.seq)?;
        let name = match &first.meaning {
            Ok(record) => said(record.actor.id.as_str()),
            Err(_) => String::new(),
        };
        Ok(Some(Graph {
            lineage: lineage.seq,
            name,
            place: (place + 1, lineages.len()),
            near: near.and_then(|seq| places.get(&seq).copied()),
            nodes,
            metric,
            best,
        }))
    }

    /// Reads the record of a generation, and those of its mutations.
    fn detail(&self, view: &View<'_>, node: &mut Node) -> Result<(), Error> {
        let shown = view.record(node.seq)?;
        let name = why::first_words(&shown);
        if !name.is_empty() {
            node.name = said(&name);
        }
        let Ok(Body::Generation(body)) = shown.meaning.map(|record| record.body) else {
            return Ok(());
        };
        for seq in body.mutations.iter().flatten() {
            let shown = view.record(*seq)?;
            let Some(found) = mutation(&shown) else {
                continue;
            };
            node.by_human |= shown.meaning.as_ref().is_ok_and(is_by_human);
            let words = [Field::Summary, Field::Goal, Field::Reasoning];
            let words = words.into_iter().find_map(|field| shown.text(field));
            let why = words.and_then(first_reason);
            let absent = found
                .rationale
                .as_ref()
                .is_none_or(|r| r.source == RationaleSource::Absent);
            node.steps.push(Step {
                seq: *seq,
                parts: parts(found.parts.iter().flatten()),
                added: found.added,
                removed: found.removed,
                why: why.filter(|_| !absent).map(|why| said(&why)),
            });
        }
        Ok(())
    }
}

/// A place so many further on, round and round.
fn shifted(place: usize, shift: i64, of: usize) -> usize {
    let of = i64::try_from(of.max(1)).unwrap_or(1);
    let place = i64::try_from(place).unwrap_or(0);
    usize::try_from((place + shift).rem_euclid(of)).unwrap_or(0)
}
