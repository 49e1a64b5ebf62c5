//! How a generation came about: its path from the root, with what each step changed, why it was said to, and the score before and
//! after.

use serde::Serialize;
use tacho_schemas::body::Body;
use tacho_schemas::body::change::{Evaluation, Fate};
use tacho_schemas::content::Field;
use tacho_schemas::links::Link;
use tacho_schemas::record::Record;
use tacho_schemas::{Kind, Seq};

use super::answers::record;
use super::{About, Statement, first_words};
use crate::error::Result;

/// Steps told of at the most; a longer path is cut at the root's end.
const LONGEST: usize = 512;

/// One generation on the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// The generation.
    pub seq: Seq,
    /// Its name, or what its source calls it.
    pub name: String,
    /// What became of it.
    pub fate: String,
    /// The mutations that made it, each with the first words of its rationale (a claim) and lines added and removed.
    pub mutations: Vec<Step>,
    /// Its score, if it was measured.
    pub score: Option<Score>,
}

/// One mutation on the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The mutation.
    pub seq: Seq,
    /// Why, in the first words; a claim. None if the rationale is absent.
    pub why: Option<String>,
    /// Lines added.
    pub added: Option<u64>,
    /// Lines removed.
    pub removed: Option<u64>,
}

/// A measured number, and what there is to believe it by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The evaluation.
    pub seq: Seq,
    /// What is measured.
    pub metric: String,
    /// The number, as its source wrote it.
    pub score: String,
    /// Benchmark, number of cases and seeds, as far as they are recorded; a number without them is a claim.
    pub context: Vec<String>,
    /// What the agent had changed of tests, evaluations or data since a human last approved.
    pub touched: Vec<String>,
}

impl About<'_> {
    /// The path from the root to this generation.
    pub(super) fn path(&self) -> Result<Vec<Stage>> {
        let mut path = Vec::new();
        let mut next = Some(self.record.seq);
        while let Some(seq) = next.take() {
            let Some((shown, found)) = record(self, seq)? else {
                break;
            };
            let Body::Generation(body) = &found.body else {
                break;
            };
            let mut mutations = Vec::new();
            for seq in body.mutations.iter().flatten() {
                mutations.extend(self.step(*seq)?);
            }
            path.push(Stage {
                seq,
                name: first_words(&shown),
                fate: body.fate.name().to_owned(),
                mutations,
                score: self.score(seq)?,
            });
            if path.len() < LONGEST && body.fate != Fate::Missing {
                // Each parent comes before its child, so this ends.
                next = body.parents.iter().flatten().next().copied();
            }
        }
        path.reverse();
        Ok(path)
    }

    fn step(&self, seq: Seq) -> Result<Option<Step>> {
        let Some((shown, found)) = record(self, seq)? else {
            return Ok(None);
        };
        let Body::Mutation(body) = &found.body else {
            return Ok(None);
        };
        let why = [Field::Summary, Field::Goal, Field::Reasoning]
            .into_iter()
            .find_map(|field| shown.text(field));
        let why = why.and_then(|text| {
            text.lines()
                .map(str::trim)
                .find(|line| line.chars().any(char::is_alphanumeric))
        });
        Ok(Some(Step {
            seq,
            why: why.map(str::to_owned),
            added: body.added,
            removed: body.removed,
        }))
    }

    /// The newest measurement of a generation.
    fn score(&self, generation: Seq) -> Result<Option<Score>> {
        let mut newest: Option<Score> = None;
        for (link, seq) in (self.effects)(generation)? {
            if link == Link::Subject
                && let Some((_, found)) = record(self, seq)?
                && let Body::Evaluation(body) = &found.body
                && let Some(main) = &body.main
            {
                let touched = body
                    .touched
                    .iter()
                    .flatten()
                    .map(|part| part.name().to_owned());
                let score = Score {
                    seq,
                    metric: main.metric.to_string(),
                    score: main.score.to_string(),
                    context: context(body),
                    touched: touched.collect(),
                };
                if newest.as_ref().is_none_or(|newest| newest.seq < seq) {
                    newest = Some(score);
                }
            }
        }
        Ok(newest)
    }

    /// The score before and after each generation that this mutation made.
    pub(super) fn scores_of_made(&self) -> Result<Vec<Statement>> {
        let mut statements = Vec::new();
        for (link, seq) in (self.effects)(self.record.seq)? {
            if link == Link::Mutation
                && let Some((_, made)) = record(self, seq)?
                && made.kind == Kind::Generation
            {
                statements.extend(self.scores(&made)?);
            }
        }
        Ok(statements)
    }

    /// The score before and after a generation.
    pub(super) fn scores(&self, generation: &Record) -> Result<Vec<Statement>> {
        let Some(after) = self.score(generation.seq)? else {
            return Ok(vec![Statement::Absent {
                text: "it was never measured".to_owned(),
            }]);
        };
        let parent = match &generation.body {
            Body::Generation(body) => body.parents.iter().flatten().next().copied(),
            _ => None,
        };
        let before = match parent {
            Some(parent) => self.score(parent)?,
            None => None,
        };
        let by = Self::speaker(generation);
        let text = match &before {
            Some(before) => format!("{} {} → {}", after.metric, before.score, after.score),
            None => format!(
                "{} {}; its parent was not measured or is not known",
                after.metric, after.score
            ),
        };
        let mut statements = vec![Statement::Claim {
            by,
            what: "score".to_owned(),
            text,
        }];
        statements.push(match after.context.is_empty() {
            true => Statement::Absent {
                text: "the score has no context: benchmark, number of cases and seeds are not recorded, so it is a claim".to_owned(),
            },
            false => Statement::Fact { text: format!("measured with {}", after.context.join(", ")) },
        });
        if !after.touched.is_empty() {
            let text = format!(
                "the agent had changed {} since a human last approved",
                after.touched.join(", ")
            );
            statements.push(Statement::Doubt { text });
        }
        Ok(statements)
    }
}

fn context(body: &Evaluation) -> Vec<String> {
    let mut context = Vec::new();
    if let Some(benchmark) = &body.benchmark {
        let version = body
            .benchmark_version
            .as_ref()
            .map_or(String::new(), |v| format!(" {v}"));
        context.push(format!("{benchmark}{version}"));
    }
    context.extend(body.n.map(|n| format!("{n} cases")));
    context.extend(
        body.seeds
            .as_ref()
            .map(|seeds| format!("{} seeds", seeds.as_slice().len())),
    );
    context
}
