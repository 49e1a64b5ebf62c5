//! What a report tells of, taken from the log in two passes: what was asked for, and what answers it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tacho_schemas::body::Body;
use tacho_schemas::body::human::Answer;
use tacho_schemas::body::work::{Decision, Stop};
use tacho_schemas::record::{Record, Via};
use tacho_schemas::verify::switch;
use tacho_schemas::{Seq, Time, tree};

use super::framework::Framework;
use crate::acts;
use crate::dir::LogDir;
use crate::error::{Error, Result};
use crate::export::{select, trust};
use crate::filter::{Filter, Span, facts, test};
use crate::read::{Shown, View};
use crate::store::Reader;

/// How many of each sort are told of in full.
const CARDS: usize = 100;

/// How many generations are drawn.
const GENERATIONS: usize = 400;

/// How many ranges of numbers a row lists.
const SPANS: usize = 12;

/// The newest of some records, and how many there are.
#[derive(Debug)]
pub(super) struct Newest {
    most: usize,
    /// Their numbers, ascending.
    pub(super) seqs: VecDeque<Seq>,
    /// How many there are in all.
    pub(super) of: u64,
}

impl Newest {
    fn new(most: usize) -> Self {
        Self {
            most,
            seqs: VecDeque::new(),
            of: 0,
        }
    }

    /// Nothing, in the place of what was taken out.
    pub(super) fn none() -> Self {
        Self::new(0)
    }

    fn push(&mut self, seq: Seq) {
        self.of += 1;
        self.seqs.push_back(seq);
        if self.seqs.len() > self.most {
            self.seqs.pop_front();
        }
    }

    /// Keeps the last of them.
    pub(super) fn keep_last(&mut self, count: usize) {
        let surplus = self.seqs.len().saturating_sub(count);
        self.seqs.drain(..surplus);
    }

    fn has(&self, seq: Seq) -> bool {
        self.seqs.binary_search(&seq).is_ok()
    }
}

/// The records that a query selected.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// How many.
    pub(super) count: u64,
    /// Where the first of them lie.
    pub(super) spans: Vec<Span>,
}

impl Found {
    fn push(&mut self, seq: Seq) {
        self.count += 1;
        let room = self.spans.len() < SPANS;
        match self.spans.last_mut() {
            Some(span) if span.last.checked_add(1) == Some(seq.0) => span.last = seq.0,
            _ if room => self.spans.push(Span {
                first: seq.0,
                last: seq.0,
            }),
            _ => {}
        }
    }

    /// How many lie in the ranges that are listed.
    pub(super) fn listed(&self) -> u64 {
        let width = |span: &Span| span.last.saturating_sub(span.first).saturating_add(1);
        self.spans.iter().map(width).sum()
    }
}

/// A person's answer.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) seq: Seq,
    pub(super) time: Time,
    pub(super) by: String,
    pub(super) answer: Answer,
}

/// What became of a hold.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub(super) seq: Seq,
    pub(super) time: Time,
    pub(super) decision: Decision,
    pub(super) why: Option<String>,
}

/// What became of a kill.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    pub(super) stop: Option<(Seq, Stop)>,
    pub(super) release: Option<(Seq, Time, u64, bool)>,
}

/// A generation's newest score.
#[derive(Clone, Debug)]
pub(super) struct Score {
    pub(super) seq: Seq,
    pub(super) metric: String,
    pub(super) score: String,
}

/// What a report tells of.
#[derive(Debug)]
pub(super) struct Gathered {
    /// For each control, for each filter of its evidence: what it selected.
    pub(super) found: Vec<Vec<Found>>,
    /// How many records the report is about.
    pub(super) selected: u64,
    pub(super) first: Option<Time>,
    pub(super) last: Option<Time>,
    pub(super) mutations: Newest,
    pub(super) holds: Newest,
    pub(super) kills: Newest,
    pub(super) drills: Newest,
    pub(super) alarms: Newest,
    pub(super) generations: Newest,
    pub(super) said: BTreeMap<Seq, Vec<Said>>,
    pub(super) decided: BTreeMap<Seq, Decided>,
    pub(super) ended: BTreeMap<Seq, Ended>,
    pub(super) scores: BTreeMap<Seq, Score>,
    /// About the whole log, whatever was selected: the off switch, and whether acts of people are theirs.
    pub(super) switch: switch::Report,
    pub(super) acts: acts::Report,
}

impl Gathered {
    /// Reads the first `size` records.
    pub(super) fn read(
        dir: &LogDir,
        reader: &Reader,
        (framework, filter, size): (&Framework, &Filter, u64),
        mut progress: impl FnMut(u64),
    ) -> Result<Self> {
        let mut rows = Vec::new();
        for control in &framework.controls {
            let filters = control
                .evidence
                .iter()
                .map(super::framework::Evidence::filter);
            rows.push(filters.collect::<Result<Vec<_>>>()?);
        }
        let mut all = Self {
            found: rows
                .iter()
                .map(|row| vec![Found::default(); row.len()])
                .collect(),
            selected: 0,
            first: None,
            last: None,
            mutations: Newest::new(CARDS),
            holds: Newest::new(CARDS),
            kills: Newest::new(CARDS),
            drills: Newest::new(CARDS),
            alarms: Newest::new(CARDS),
            generations: Newest::new(GENERATIONS),
            said: BTreeMap::new(),
            decided: BTreeMap::new(),
            ended: BTreeMap::new(),
            scores: BTreeMap::new(),
            switch: switch::Fold::new().finish(None),
            acts: acts::Report::default(),
        };
        select::each(
            dir,
            reader,
            (filter, size),
            |done, _| progress(done),
            |shown| {
                trust(&shown)?;
                all.take(&rows, &shown)
            },
        )?;
        all.answer(&View::new(reader)?, size, |done| {
            progress(size.saturating_add(done))
        })?;
        Ok(all)
    }

    fn take(&mut self, rows: &[Vec<Option<Filter>>], shown: &Shown) -> Result<()> {
        self.selected += 1;
        let Ok(record) = &shown.meaning else {
            return Ok(());
        };
        self.first = self.first.or(Some(record.time));
        self.last = Some(record.time);
        let seq = shown.seq;
        match &record.body {
            Body::Mutation(_) => self.mutations.push(seq),
            Body::Action(_) if held(record) => self.holds.push(seq),
            Body::Kill(_) => self.kills.push(seq),
            Body::Drill(_) => self.drills.push(seq),
            Body::Alarm(_) | Body::Gap(_) => self.alarms.push(seq),
            Body::Generation(_) => self.generations.push(seq),
            _ => {}
        }
        let facts = facts(record, None);
        for (filters, found) in rows.iter().zip(&mut self.found) {
            for (filter, found) in filters.iter().zip(found) {
                let Some(filter) = filter else { continue };
                if test(filter, shown, &facts, &mut |_| Ok(None))? == Some(true) {
                    found.push(seq);
                }
            }
        }
        Ok(())
    }

    /// Finds what became of what was gathered, wherever in the log it stands, and asks about the off switch.
    fn answer(&mut self, view: &View<'_>, size: u64, mut progress: impl FnMut(u64)) -> Result<()> {
        let mut fold = switch::Fold::new();
        view.records(0..size, |shown| {
            progress(shown.seq.0);
            // What is not in the tree, or not understood, is missing here, and I7 says so.
            if let (true, Ok(record)) = (shown.in_tree, &shown.meaning) {
                fold.push(record, tree::leaf_hash(&shown.bytes));
                self.hear(record);
            }
            Ok::<(), Error>(())
        })?;
        self.switch = fold.finish(None);
        self.acts = acts::Fold::read(view)?.report().clone();
        Ok(())
    }

    fn hear(&mut self, record: &Record) {
        let seq = record.seq;
        match &record.body {
            Body::Approval(body) if self.holds.has(body.target) || self.kills.has(body.target) => {
                self.said.entry(body.target).or_default().push(Said {
                    seq,
                    time: record.time,
                    by: record.actor.id.to_string(),
                    answer: body.answer,
                });
            }
            Body::Action(body) if ours(record) => {
                let Some(verdict) = &body.verdict else { return };
                for hold in record.causes() {
                    if verdict.decision != Decision::Hold && self.holds.has(*hold) {
                        self.decided.entry(*hold).or_insert_with(|| Decided {
                            seq,
                            time: record.time,
                            decision: verdict.decision,
                            why: verdict.deny_kind.map(|kind| kind.name().to_owned()),
                        });
                    }
                }
            }
            Body::Outcome(body) => {
                if let (Some(of), Some(stop)) = (body.of, &body.stop)
                    && self.kills.has(of)
                {
                    self.ended.entry(of).or_default().stop = Some((seq, stop.clone()));
                }
            }
            Body::Release(body) if self.kills.has(body.kill) => {
                let release = (seq, record.time, body.k, body.single_person);
                self.ended.entry(body.kill).or_default().release = Some(release);
            }
            Body::Evaluation(body) => {
                if let (Some(subject), Some(main)) = (body.subject, &body.main)
                    && self.generations.has(subject)
                {
                    let score = Score {
                        seq,
                        metric: main.metric.to_string(),
                        score: main.score.to_string(),
                    };
                    self.scores.insert(subject, score);
                }
            }
            _ => {}
        }
    }

    /// The records that the report shows something of.
    pub(super) fn shown(&self) -> BTreeSet<u64> {
        let lists = [
            &self.mutations,
            &self.holds,
            &self.kills,
            &self.drills,
            &self.alarms,
            &self.generations,
        ];
        let cards = lists.into_iter().flat_map(|list| &list.seqs);
        let said = self.said.values().flatten().map(|said| &said.seq);
        let decided = self.decided.values().map(|decided| &decided.seq);
        let stops = self
            .ended
            .values()
            .filter_map(|ended| ended.stop.as_ref().map(|(seq, _)| seq));
        let releases = self
            .ended
            .values()
            .filter_map(|ended| ended.release.as_ref().map(|r| &r.0));
        let scores = self.scores.values().map(|score| &score.seq);
        let all = cards
            .chain(said)
            .chain(decided)
            .chain(stops)
            .chain(releases)
            .chain(scores);
        std::iter::once(0).chain(all.map(|seq| seq.0)).collect()
    }
}

/// Whether the gate made people wait.
fn held(record: &Record) -> bool {
    let decision = match &record.body {
        Body::Action(body) => body.verdict.as_ref().map(|verdict| verdict.decision),
        _ => None,
    };
    ours(record) && decision == Some(Decision::Hold)
}

/// Whether the record is the gate's or the recorder's own, and not somebody's claim.
pub(super) fn ours(record: &Record) -> bool {
    matches!(record.via, Via::Gate | Via::Recorder)
}

/// Numbers as the ranges that cover them.
pub(super) fn spans(seqs: &BTreeSet<u64>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for seq in seqs {
        match spans.last_mut() {
            Some(span) if span.last.checked_add(1) == Some(*seq) => span.last = *seq,
            _ => spans.push(Span {
                first: *seq,
                last: *seq,
            }),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_listed_until_there_are_too_many() {
        let mut found = Found::default();
        for seq in (0..6).chain((10..100).step_by(2)) {
            found.push(Seq(seq));
        }
        assert_eq!(found.count, 51);
        assert_eq!(found.spans.len(), SPANS);
        assert_eq!((found.spans[0].first, found.spans[0].last), (0, 5));
        assert_eq!(found.listed(), 6 + 11);
    }

    #[test]
    fn the_newest_are_kept() {
        let mut newest = Newest::new(3);
        (0..5).for_each(|seq| newest.push(Seq(seq)));
        assert_eq!((newest.of, newest.seqs.len()), (5, 3));
        assert!(newest.has(Seq(2)) && !newest.has(Seq(1)));
        newest.keep_last(1);
        assert_eq!(newest.seqs, [Seq(4)]);
    }
}
