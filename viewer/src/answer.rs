//! Answers to what the screens ask: made on a thread of their own, of checked records, and safe to draw.

pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod holds;
pub(crate) mod lineage;
pub(crate) mod paint;
pub(crate) mod rows;
pub(crate) mod world;

use std::ops::ControlFlow;

use tacho_recorder::filter::{Filter, Key, Pattern, Term};
use tacho_recorder::index::{Index, Order, Query};
use tacho_recorder::read::{Shown, View};
use tacho_recorder::{Clock, Error, LogDir, Reader};
use tacho_schemas::body::Body;
use tacho_schemas::bundle::Told;
use tacho_schemas::{Kind, Seq, Time, tree};

use crate::ask::{Answer, Ask, CopyWhat, Count, Density, Kill as Killed, Standing};
use crate::text::said;

/// Records that a count looks at before it looks whether something else is asked.
const COUNTED: u64 = 1 << 12;

/// The index, and what it is made of.
#[derive(Debug)]
pub(crate) struct Mind<'a> {
    pub(crate) index: Index,
    pub(crate) reader: Reader,
    pub(crate) place: Place<'a>,
    /// How many records are shown, of a log that is broken after them.
    pub(crate) proven: Option<u64>,
    pub(crate) clock: &'a dyn Clock,
    /// Colours code; made when first needed.
    pub(crate) paint: Option<paint::Painter>,
}

/// Where the records lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    Log(&'a LogDir),
    /// In a bundle, which says this of itself and shows so many.
    Bundle(&'a Told, u64),
}

impl Mind<'_> {
    /// Answers; `early` hears of what is known before all is.
    pub(crate) fn answer(
        &mut self,
        ask: &Ask,
        early: &mut dyn FnMut(Answer),
    ) -> Result<Answer, Error> {
        let answer = match ask {
            Ask::Rows(asked) => Answer::Rows(self.rows_by_filter(asked)?),
            Ask::Seek {
                from,
                onward,
                filter,
            } => Answer::Seek(self.seek(*from, *onward, filter)?),
            Ask::Names { key, begins } => {
                let names = match key.choices() {
                    Some(all) => {
                        let fits = all.into_iter().filter(|name| name.starts_with(begins));
                        fits.map(str::to_owned).collect()
                    }
                    None if key.is_open() => self.index.names(*key, begins, 32)?,
                    None => Vec::new(),
                };
                Answer::Names(names.iter().map(|name| said(name)).collect())
            }
            Ask::Copy(seq, what) => Answer::Copy(self.copy(*seq, *what)?),
            Ask::Explain(seq) => Answer::Explain(Box::new(self.explain(*seq)?)),
            Ask::Linked { seq, later } => Answer::Linked(*seq, *later, self.linked(*seq, *later)?),
            Ask::Diff(seq, against) => {
                let mut changes = self.diff(*seq, *against)?;
                if changes.files.iter().any(|file| file.is_code()) {
                    early(Answer::Diff(Box::new(changes.clone())));
                    let painter = self.paint.get_or_insert_with(paint::Painter::new);
                    changes
                        .files
                        .iter_mut()
                        .for_each(|file| file.paint(painter));
                }
                Answer::Diff(Box::new(changes))
            }
            Ask::World(seq) => Answer::World(Box::new(self.world(*seq)?)),
            Ask::Lineage { near, shift } => {
                Answer::Lineage(self.lineage(*near, *shift)?.map(Box::new))
            }
            Ask::Holds => Answer::Holds(self.holds()?),
            Ask::Health => Answer::Health(Box::new(self.health()?)),
            Ask::Density { pieces } => Answer::Density(self.density(*pieces)?),
            Ask::Count {
                filter,
                next,
                found,
            } => Answer::Count(self.count(filter, *next, *found)?),
        };
        Ok(answer)
    }

    /// Looks what is new, and takes in a little of it; says whether there is more.
    pub(crate) fn follow(&mut self, known: Option<&Standing>) -> Result<(Standing, bool), Error> {
        let last = self.reader.snapshot()?.last_seq()?;
        let size = last.map_or(0, |last| last.saturating_add(1));
        let size = self.proven.map_or(size, |proven| size.min(proven));
        let (live, shown, size) = match self.place {
            Place::Log(dir) => (dir.writer()?.is_some(), None, size),
            Place::Bundle(told, shown) => (false, Some(shown), told.head.size),
        };
        if let Some(known) = known
            && (known.size, known.indexed, known.live) == (size, size, live)
        {
            return Ok((known.clone(), false));
        }
        let (indexed, all) = self.index.catch_up_some(&self.reader)?;
        let mut standing = Standing {
            size: all,
            indexed,
            live,
            shown,
            ..known.cloned().unwrap_or_default()
        };
        if standing.origin.is_empty() && all > 0 {
            let view = View::new(&self.reader)?;
            if let Ok(Body::Genesis(genesis)) = view.record(Seq(0))?.meaning.map(|r| r.body) {
                standing.origin = said(genesis.origin.as_str());
            }
        }
        if indexed == all && all > 0 {
            standing.kills = self.kills(u64::MAX)?;
            let now = Time(self.clock.wall_ns());
            let holds = self.holds()?;
            standing.held = holds.iter().filter(|hold| hold.is_open(now)).count();
        }
        Ok((standing, indexed < all))
    }

    /// The newest records that meet a filter, the newest first.
    pub(crate) fn newest(
        &mut self,
        filter: &Filter,
        before: u64,
        most: usize,
    ) -> Result<Vec<Shown>, Error> {
        let query = Query {
            filter,
            range: 0..before,
            order: Order::NewestFirst,
        };
        self.index.page(&self.reader, &query, most)
    }

    /// Kills before a record that no release before it names, the newest first.
    pub(crate) fn kills(&mut self, before: u64) -> Result<Vec<Killed>, Error> {
        let found = self.newest(&kinds(&[Kind::Kill, Kind::Release]), before, 1000)?;
        let shown = found.iter().filter(|shown| shown.in_tree);
        let records: Vec<_> = shown
            .filter_map(|shown| Some((shown, shown.meaning.as_ref().ok()?)))
            .collect();
        let released: Vec<Seq> = records
            .iter()
            .filter_map(|(_, record)| match &record.body {
                Body::Release(release) => Some(release.kill),
                _ => None,
            })
            .collect();
        let kills = records
            .iter()
            .filter_map(|(shown, record)| match &record.body {
                Body::Kill(kill) if !released.contains(&record.seq) => {
                    let target = match (&kill.target, kill.about) {
                        (Some(id), _) => format!("{} {id}", kill.scope),
                        (None, Some(seq)) => format!("{} #{seq}", kill.scope),
                        (None, None) => kill.scope.to_string(),
                    };
                    Some(Killed {
                        seq: record.seq,
                        target: said(&target),
                        time: record.time,
                        leaf: tree::leaf_hash(&shown.bytes),
                    })
                }
                _ => None,
            });
        Ok(kills.collect())
    }

    fn seek(&mut self, from: u64, onward: bool, filter: &Filter) -> Result<Option<Seq>, Error> {
        let query = Query {
            filter,
            range: match onward {
                true => from.saturating_add(1)..u64::MAX,
                false => 0..from,
            },
            order: match onward {
                true => Order::OldestFirst,
                false => Order::NewestFirst,
            },
        };
        let found = self.index.page(&self.reader, &query, 1)?;
        Ok(found.first().map(|shown| shown.seq))
    }

    fn count(&mut self, filter: &Filter, next: u64, found: u64) -> Result<Count, Error> {
        let size = self.index.size()?;
        let end = next.saturating_add(COUNTED).min(size);
        let query = Query {
            filter,
            range: next..end,
            order: Order::OldestFirst,
        };
        let mut found = found;
        self.index.search(&self.reader, &query, |_| {
            found += 1;
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        Ok(Count {
            found,
            next: end,
            done: end >= size,
        })
    }

    fn density(&mut self, pieces: usize) -> Result<Density, Error> {
        let size = self.index.size()?;
        let verdict = |name: &str| Filter::Term(Term::Is(Key::Verdict, vec![Pattern::exact(name)]));
        let changes = kinds(&[Kind::Mutation, Kind::Action]);
        Ok(Density {
            size,
            changes: self.index.density(&changes, size, pieces)?,
            holds: self.index.density(&verdict("hold"), size, pieces)?,
            denies: self.index.density(&verdict("deny"), size, pieces)?,
            kills: self.index.density(&kinds(&[Kind::Kill]), size, pieces)?,
        })
    }

    fn copy(&mut self, seq: Seq, what: CopyWhat) -> Result<String, Error> {
        let view = View::new(&self.reader)?;
        let shown = view.record(seq)?;
        Ok(match what {
            CopyWhat::Hash => tree::leaf_hash(&shown.bytes).to_string(),
            CopyWhat::Record => match &shown.meaning {
                Ok(record) => explain::to_json(record, &shown),
                Err(_) => explain::hex(&shown.bytes),
            },
        })
    }
}

/// Records of one of these kinds.
pub(crate) fn kinds(kinds: &[Kind]) -> Filter {
    let patterns = kinds.iter().map(|kind| Pattern::exact(kind.name()));
    Filter::Term(Term::Is(Key::Kind, patterns.collect()))
}
