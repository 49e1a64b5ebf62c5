//! The records that an export is about.
//!
//! Evidence must not depend on an index that somebody may have changed: each record of the log is read, checked and asked. Only
//! words need an index, and one is made for them from every record and thrown away.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use tacho_schemas::Seq;

use crate::dir::LogDir;
use crate::error::Error;
use crate::filter::{Filter, Lineages, Term, facts, test};
use crate::index::{Index, Order, Query};
use crate::links;
use crate::read::{Shown, View};
use crate::store::Reader;

/// Shows each record of the first `size` that meets a filter to `f`, in order. `progress` hears how many were looked at.
///
/// A record that is not understood, or not the one in the tree, cannot be said not to meet a filter, and is shown.
pub fn each<E: From<Error>>(
    dir: &LogDir,
    reader: &Reader,
    (filter, size): (&Filter, u64),
    mut progress: impl FnMut(u64, u64),
    mut f: impl FnMut(Shown) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    if has_words(filter) {
        let mut index = Index::private(dir, "asked for")?;
        index.catch_up(reader, &mut progress)?;
        let query = Query {
            filter,
            range: 0..size,
            order: Order::OldestFirst,
        };
        return index.search(reader, &query, |shown| {
            f(shown).map(|()| ControlFlow::Continue(()))
        });
    }
    let view = View::new(reader)?;
    let mut asked = Asked::new(&view, filter)?;
    view.records(0..size, |shown| {
        progress(shown.seq.0, size);
        match asked.keeps(&shown)? {
            true => f(shown),
            false => Ok(()),
        }
    })
}

pub(super) fn has_words(filter: &Filter) -> bool {
    match filter {
        Filter::Everything => false,
        Filter::All(filters) | Filter::Any(filters) => filters.iter().any(has_words),
        Filter::Not(inner) => has_words(inner),
        Filter::Term(term) => matches!(term, Term::Words { .. }),
    }
}

/// A filter that is asked of each record in order.
struct Asked<'a> {
    view: &'a View<'a>,
    filter: &'a Filter,
    lineages: Lineages,
    /// For each record that `under` names: what came of it so far. Whatever a record points to comes before it.
    under: Vec<(Seq, BTreeSet<Seq>)>,
    over: Vec<(Seq, BTreeSet<Seq>)>,
}

impl<'a> Asked<'a> {
    fn new(view: &'a View<'a>, filter: &'a Filter) -> Result<Self, Error> {
        let mut asked = Self {
            view,
            filter,
            lineages: Lineages::default(),
            under: Vec::new(),
            over: Vec::new(),
        };
        asked.prepare(filter)?;
        Ok(asked)
    }

    fn prepare(&mut self, filter: &Filter) -> Result<(), Error> {
        match filter {
            Filter::All(filters) | Filter::Any(filters) => {
                filters.iter().try_for_each(|filter| self.prepare(filter))
            }
            Filter::Not(inner) => self.prepare(inner),
            Filter::Term(Term::Under(seq)) => {
                self.under.push((*seq, BTreeSet::new()));
                Ok(())
            }
            Filter::Term(Term::Over(seq)) => {
                self.over.push((*seq, links::ancestors(self.view, *seq)?));
                Ok(())
            }
            Filter::Everything | Filter::Term(_) => Ok(()),
        }
    }

    fn keeps(&mut self, shown: &Shown) -> Result<bool, Error> {
        let record = match &shown.meaning {
            _ if *self.filter == Filter::Everything => return Ok(true),
            Ok(record) if shown.in_tree => record,
            _ => return Ok(true),
        };
        if !self.under.is_empty() {
            let causes = links::causes(record);
            for (top, set) in &mut self.under {
                if causes.iter().any(|l| l.seq == *top || set.contains(&l.seq)) {
                    set.insert(shown.seq);
                }
            }
        }
        let lineage = self.lineages.of(self.view, record)?;
        let facts = facts(record, lineage);
        let Self { under, over, .. } = self;
        let is_in = |sets: &[(Seq, BTreeSet<Seq>)], top: &Seq| {
            let mut sets = sets.iter().filter(|(of, _)| of == top);
            Some(sets.any(|(_, set)| set.contains(&shown.seq)))
        };
        let met = test(self.filter, shown, &facts, &mut |term| {
            Ok(match term {
                Term::Under(top) => is_in(under, top),
                Term::Over(top) => is_in(over, top),
                _ => None,
            })
        })?;
        Ok(met.unwrap_or(true))
    }
}
