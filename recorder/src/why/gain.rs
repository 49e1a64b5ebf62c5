//! The change that is said to have gained most.

use std::collections::BTreeMap;

use serde::Serialize;
use tacho_schemas::body::Body;
use tacho_schemas::{Kind, Seq};

use crate::error::{Error, Result};
use crate::read::View;

/// A mutation, and what its source measured before and after it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// The mutation.
    pub mutation: Seq,
    /// The generation that it made.
    pub generation: Seq,
    /// The measurement of that generation.
    pub evaluation: Seq,
    /// What is measured.
    pub metric: String,
    /// The parent's score, as its source wrote it.
    pub before: String,
    /// The score after.
    pub after: String,
}

/// Finds the mutation whose generation was measured highest above its first parent, by the same metric; the earliest of equals.
///
/// Only generations that one mutation made are compared: of several, nobody can say which of them it was. Reads the whole log.
pub fn largest_gain(view: &View<'_>) -> Result<Option<Gain>> {
    let mut scores: BTreeMap<Seq, (Seq, String, String)> = BTreeMap::new();
    view.of_kind(Kind::Evaluation, |shown| {
        if let Ok(record) = &shown.meaning
            && let Body::Evaluation(body) = &record.body
            && let (Some(subject), Some(main)) = (body.subject, &body.main)
        {
            let score = (shown.seq, main.metric.to_string(), main.score.to_string());
            scores.insert(subject, score);
        }
        Ok::<(), Error>(())
    })?;
    let mut largest: Option<(f64, Gain)> = None;
    view.of_kind(Kind::Generation, |shown| {
        let Ok(record) = &shown.meaning else {
            return Ok(());
        };
        let Body::Generation(body) = &record.body else {
            return Ok(());
        };
        let mutations = body.mutations.iter().flatten();
        let parent = body.parents.iter().flatten().next();
        if let [mutation] = mutations.collect::<Vec<_>>().as_slice()
            && let Some((_, metric, before)) = parent.and_then(|parent| scores.get(parent))
            && let Some((evaluation, same, after)) = scores.get(&shown.seq)
            && metric == same
            && let (Ok(low), Ok(high)) = (before.parse::<f64>(), after.parse::<f64>())
            && largest.as_ref().is_none_or(|(gain, _)| high - low > *gain)
        {
            let gain = Gain {
                mutation: **mutation,
                generation: shown.seq,
                evaluation: *evaluation,
                metric: metric.clone(),
                before: before.clone(),
                after: after.clone(),
            };
            largest = Some((high - low, gain));
        }
        Ok::<(), Error>(())
    })?;
    Ok(largest.map(|(_, gain)| gain))
}
