//! The world as of a record: what the agent was made of then, which rules were in force, what waited, what was switched off.

use tacho_recorder::filter::{Filter, Key, Pattern, Term};
use tacho_recorder::read::View;
use tacho_recorder::{Error, why};
use tacho_schemas::body::Body;
use tacho_schemas::content::Field;
use tacho_schemas::record::Role as Artefact;
use tacho_schemas::{Kind, Seq, Time};

use super::Mind;
use super::diff::{artefact, mutation};
use crate::ask::Kill;
use crate::row::{Row, parts};
use crate::text::{said, said_lines};

/// Generations that are walked back.
const STEPS: usize = 4096;

/// Parts that are shown.
const MOST_PARTS: usize = 64;

/// Mutations of a session that are looked at.
const LOOKED_AT: usize = 500;

/// What was true right after a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct World {
    pub(crate) seq: Seq,
    pub(crate) time: Option<Time>,
    pub(crate) row: Option<Row>,
    /// The generation in force, its name and number.
    pub(crate) generation: Option<(Seq, String)>,
    pub(crate) score: Option<String>,
    pub(crate) session: Option<Row>,
    /// The record is of no session: this is the last one before it.
    pub(crate) earlier: bool,
    pub(crate) parts: Vec<PartState>,
    /// The policy in force.
    pub(crate) policy: Option<Row>,
    /// Holds that waited.
    pub(crate) holds: Vec<Seq>,
    /// What was switched off.
    pub(crate) kills: Vec<Kill>,
    /// What was said or done last before it, in the same session.
    pub(crate) lately: Vec<Row>,
}

/// A part as it was.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PartState {
    /// The mutation that made it so.
    pub(crate) seq: Seq,
    pub(crate) part: String,
    pub(crate) name: String,
    pub(crate) size: Option<u64>,
    /// Its text, if it was kept.
    pub(crate) text: Option<Vec<String>>,
}

impl Mind<'_> {
    pub(super) fn world(&mut self, seq: Seq) -> Result<World, Error> {
        let mut world = World {
            seq,
            ..World::default()
        };
        let session = {
            let view = View::new(&self.reader)?;
            let shown = view.record(seq)?;
            world.row = Some(Row::of(&shown));
            let record = shown.meaning.ok();
            world.time = record.as_ref().map(|record| record.time);
            let session = record.as_ref().and_then(|record| match record.body {
                Body::Session(_) => record.session.or(Some(seq)),
                _ => record.session,
            });
            if let Some(generation) = self.generation_of(&view, seq)? {
                self.parts_of(&view, generation, &mut world)?;
            }
            session
        };
        let end = seq.0.saturating_add(1);
        // A record of nobody's session, as a seal: whoever was at work last is who its reader means.
        let session = match session {
            None if world.generation.is_none() => {
                let last = self.newest(&super::kinds(&[Kind::Session]), end, 1)?;
                world.earlier = true;
                last.first().map(|shown| match &shown.meaning {
                    Ok(record) => record.session.unwrap_or(shown.seq),
                    Err(_) => shown.seq,
                })
            }
            session => session,
        };
        if let Some(session) = session {
            world.session = Some(Row::of(&View::new(&self.reader)?.record(session)?));
            let number = vec![Pattern::exact(session.to_string())];
            let within = Filter::Term(Term::Is(Key::Session, number));
            if world.parts.is_empty() {
                let changes = Filter::all(vec![super::kinds(&[Kind::Mutation]), within.clone()]);
                let found = self.newest(&changes, end, LOOKED_AT)?;
                let view = View::new(&self.reader)?;
                for shown in found {
                    add_part(&view, &shown, &mut world.parts)?;
                }
            }
            let found = self.newest(&within, seq.0, 8)?;
            world.lately = found.iter().map(Row::of).collect();
        }
        let policy = self.newest(&super::kinds(&[Kind::Policy]), end, 1)?;
        world.policy = policy.first().map(Row::of);
        world.kills = self.kills(end)?;
        let holds = self.holds_before(end)?;
        world.holds = holds
            .iter()
            .filter(|hold| hold.waits)
            .map(|hold| hold.seq)
            .collect();
        Ok(world)
    }

    /// The parts of a generation: of each, what the newest mutation on the way from the root made of it.
    fn parts_of(&self, view: &View<'_>, generation: Seq, world: &mut World) -> Result<(), Error> {
        let shown = view.record(generation)?;
        world.generation = Some((generation, said(&why::first_words(&shown))));
        let evaluation = self.index.evaluations(generation)?.pop();
        let score = evaluation
            .filter(|e| e.seq <= world.seq)
            .and_then(|e| e.main);
        world.score = score.map(|(metric, score)| said(&format!("{metric} {score}")));
        let mut at = Some(generation);
        for _ in 0..STEPS {
            let Some(seq) = at.take() else { break };
            let Ok(Body::Generation(body)) = view.record(seq)?.meaning.map(|r| r.body) else {
                break;
            };
            let made: Vec<Seq> = body.mutations.iter().flatten().copied().collect();
            for seq in made.into_iter().rev() {
                add_part(view, &view.record(seq)?, &mut world.parts)?;
            }
            at = body.parents.iter().flatten().next().copied();
        }
        Ok(())
    }
}

/// Takes in what a mutation made of a part, unless a newer one did.
fn add_part(
    view: &View<'_>,
    shown: &tacho_recorder::read::Shown,
    known: &mut Vec<PartState>,
) -> Result<(), Error> {
    let Some(body) = mutation(shown) else {
        return Ok(());
    };
    let part = parts(body.parts.iter().flatten());
    // A part without a path is one thing, whatever each state of it is called.
    let path = shown.text(Field::Path).map(said);
    let name = path.clone().unwrap_or_else(|| part.clone());
    if known.len() >= MOST_PARTS || known.iter().any(|known| known.name == name) {
        return Ok(());
    }
    let after = artefact(view, shown, Artefact::After)?;
    let size = after
        .as_ref()
        .map(|text| u64::try_from(text.len()).unwrap_or(u64::MAX));
    known.push(PartState {
        seq: shown.seq,
        part,
        name,
        size,
        text: after.map(|text| said_lines(&text)),
    });
    Ok(())
}
