//! Windows of records around a number.

use std::ops::Range;

use tacho_recorder::Error;
use tacho_recorder::filter::Filter;
use tacho_recorder::index::{Order, Query};
use tacho_recorder::read::View;

use super::Mind;
use crate::ask::{Answer, Ends, RowsAsk, Window};
use crate::row::Row;
use crate::text::said;

/// Rows before and after the one that is asked for.
pub(crate) const AROUND: u64 = 200;

/// Terms of a filter that are left out in turn to find one without which something is found.
const TRIED: usize = 8;

/// Rows by their numbers alone.
pub(crate) fn by_number(view: &View<'_>, asked: &RowsAsk) -> Result<Answer, Error> {
    let size = view.size();
    let range: Range<u64> =
        asked.near.saturating_sub(AROUND)..asked.near.saturating_add(AROUND).min(size);
    let range = range.start.min(size.saturating_sub(2 * AROUND))..range.end;
    let mut rows = Vec::with_capacity(usize::try_from(2 * AROUND).unwrap_or(0));
    let whole = Ends {
        first: range.start == 0,
        last: range.end >= size,
    };
    view.records(range, |shown| {
        rows.push(Row::of(&shown));
        Ok::<(), Error>(())
    })?;
    Ok(Answer::Rows(Window {
        rows,
        whole,
        ..Window::default()
    }))
}

impl Mind<'_> {
    pub(super) fn rows_by_filter(&mut self, asked: &RowsAsk) -> Result<Window, Error> {
        let around = usize::try_from(AROUND).unwrap_or(usize::MAX);
        let filter = &asked.filter;
        let middle = asked.near.saturating_add(1);
        let before = Query {
            filter,
            range: 0..middle,
            order: Order::NewestFirst,
        };
        let mut found = self.index.page(&self.reader, &before, around)?;
        let first = found.len() < around;
        found.reverse();
        let after = Query {
            filter,
            range: middle..u64::MAX,
            order: Order::OldestFirst,
        };
        let later = self.index.page(&self.reader, &after, around)?;
        let last = later.len() < around;
        found.extend(later);
        let without = match found.is_empty() {
            true => self.without(filter)?,
            false => Vec::new(),
        };
        Ok(Window {
            rows: found.iter().map(Row::of).collect(),
            whole: Ends { first, last },
            searched: Some(0..self.index.size()?),
            without,
        })
    }

    /// The terms without which something would be found.
    fn without(&mut self, filter: &Filter) -> Result<Vec<String>, Error> {
        let Filter::All(terms) = filter else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for at in 0..terms.len().min(TRIED) {
            let mut others = terms.clone();
            let without = others.remove(at);
            if !self.newest(&Filter::all(others), u64::MAX, 1)?.is_empty() {
                all.push(said(&Filter::any(vec![without]).to_string()));
            }
        }
        Ok(all)
    }
}
