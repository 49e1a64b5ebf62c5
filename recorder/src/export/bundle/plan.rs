//! Which records a bundle shows: those that were asked for, and those without which they could not be checked or understood.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tacho_schemas::body::Body;
use tacho_schemas::bundle::Because;
use tacho_schemas::links::Link;
use tacho_schemas::record::Record;
use tacho_schemas::{Kind, Seq};

use crate::dir::LogDir;
use crate::error::{Error, Result};
use crate::export::select;
use crate::filter::Filter;
use crate::read::View;
use crate::store::Reader;

/// The records that are shown.
#[derive(Debug)]
pub(super) struct Plan {
    chosen: Chosen,
    support: BTreeMap<u64, Because>,
}

/// The records that were asked for: all, or these, ascending.
#[derive(Debug)]
enum Chosen {
    All(u64),
    Some(Vec<u64>),
}

impl Chosen {
    fn has(&self, seq: u64) -> bool {
        match self {
            Self::All(size) => seq < *size,
            Self::Some(chosen) => chosen.binary_search(&seq).is_ok(),
        }
    }

    /// The first one from `at` on.
    fn from(&self, at: u64) -> Option<u64> {
        match self {
            Self::All(size) => (at < *size).then_some(at),
            Self::Some(chosen) => {
                let place = chosen.partition_point(|seq| *seq < at);
                chosen.get(place).copied()
            }
        }
    }
}

impl Plan {
    /// Reads the log once for what is asked for, and once by kinds for what that needs.
    pub(super) fn make(
        dir: &LogDir,
        (view, filter, size): (&View<'_>, &Filter, u64),
        mut progress: impl FnMut(u64),
    ) -> Result<Self> {
        if *filter == Filter::Everything {
            return Ok(Self {
                chosen: Chosen::All(size),
                support: BTreeMap::new(),
            });
        }
        let mut chosen = Vec::new();
        let mut needs = Needs::default();
        // A reader shows one moment at a time, and `view` is one.
        select::each(
            dir,
            &Reader::open(dir)?,
            (filter, size),
            |done, _| progress(done),
            |shown| {
                chosen.push(shown.seq.0);
                if let Ok(record) = &shown.meaning {
                    needs.of_chosen(record);
                }
                Ok::<(), Error>(())
            },
        )?;
        let chosen = Chosen::Some(chosen);
        needs.of_log(view, size, &chosen)?;
        needs.support.retain(|seq, _| !chosen.has(*seq));
        Ok(Self {
            chosen,
            support: needs.support,
        })
    }

    /// How many were asked for.
    pub(super) fn chosen(&self) -> u64 {
        match &self.chosen {
            Chosen::All(size) => *size,
            Chosen::Some(chosen) => u64::try_from(chosen.len()).unwrap_or(u64::MAX),
        }
    }

    /// How many more are shown.
    pub(super) fn support(&self) -> u64 {
        u64::try_from(self.support.len()).unwrap_or(u64::MAX)
    }

    /// Why a record is shown, unless it was asked for.
    pub(super) fn because(&self, seq: Seq) -> Option<Because> {
        self.support.get(&seq.0).copied()
    }

    fn shows(&self, seq: u64) -> bool {
        self.chosen.has(seq) || self.support.contains_key(&seq)
    }

    /// The first record from `at` on that is shown.
    fn next(&self, at: u64) -> Option<u64> {
        let support = self.support.range(at..).next().map(|(seq, _)| *seq);
        self.chosen.from(at).into_iter().chain(support).min()
    }

    /// Whether any record of a range is shown.
    pub(super) fn shows_any(&self, range: Range<u64>) -> bool {
        self.next(range.start).is_some_and(|seq| seq < range.end)
    }

    /// Where the run of records that begins at `at` ends, and whether it is shown.
    pub(super) fn next_run(&self, at: u64, size: u64) -> (u64, bool) {
        if !self.shows(at) {
            return (self.next(at).map_or(size, |next| next.min(size)), false);
        }
        if let Chosen::All(_) = self.chosen {
            return (size, true);
        }
        let mut end = at.saturating_add(1);
        while end < size && self.shows(end) {
            end += 1;
        }
        (end, true)
    }
}

/// What records need beside them.
#[derive(Debug, Default)]
struct Needs {
    support: BTreeMap<u64, Because>,
    /// Holds, kills and policies that shown records rest on: whoever answers one of them is shown too.
    answered: BTreeSet<u64>,
}

impl Needs {
    /// Notes why a record is needed; the first reason of the list counts.
    fn add(&mut self, seq: Seq, because: Because) {
        let known = self.support.entry(seq.0).or_insert(because);
        *known = (*known).min(because);
    }

    fn of_chosen(&mut self, record: &Record) {
        self.answered.insert(record.seq.0);
        record.each_link(&mut |link, seq| match link {
            Link::Approval | Link::Switch => {
                self.answered.insert(seq.0);
                self.add(seq, Because::Approval);
            }
            Link::Policy => self.add(seq, Because::Policy),
            Link::Session | Link::Generation | Link::Lineage | Link::Import => {
                self.add(seq, Because::Context);
            }
            _ => {}
        });
    }

    /// Finds what the log has to say of them: its keys and seals, policies in force, answers, erasures.
    fn of_log(&mut self, view: &View<'_>, size: u64, chosen: &Chosen) -> Result<()> {
        self.add(Seq(0), Because::Key);
        let (mut answers, mut policy) = (Vec::new(), None::<u64>);
        view.snapshot().records(0..size, |seq, bytes| {
            match Kind::peek(bytes) {
                Some(Kind::Seal | Kind::Key) => self.add(Seq(seq), Because::Key),
                Some(Kind::Erasure) => self.add(Seq(seq), Because::Erasure),
                Some(Kind::Approval | Kind::Release) => answers.push(seq),
                Some(Kind::Policy) => {
                    // The one before was in force up to here.
                    if let Some(before) = policy.replace(seq)
                        && chosen.from(before).is_some_and(|next| next < seq)
                    {
                        self.add(Seq(before), Because::Policy);
                    }
                }
                _ => {}
            }
            Ok::<(), Error>(())
        })?;
        if let Some(last) = policy
            && chosen.from(last).is_some()
        {
            self.add(Seq(last), Because::Policy);
        }
        // From the newest on: what an answer rests on comes before it.
        for seq in answers.into_iter().rev() {
            let shown = view.record(Seq(seq))?;
            let Ok(record) = &shown.meaning else {
                continue;
            };
            let of = match &record.body {
                Body::Approval(body) => body.target,
                Body::Release(body) => body.kill,
                _ => continue,
            };
            if self.answered.contains(&of.0) || self.support.contains_key(&seq) {
                self.add(Seq(seq), Because::Approval);
                self.add(of, Because::Approval);
                record.each_link(&mut |link, seq| {
                    if link == Link::Approval {
                        self.add(seq, Because::Approval);
                    }
                });
            }
        }
        Ok(())
    }
}
