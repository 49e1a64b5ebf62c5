//! A few records, indexed for one search alone.
//!
//! FTS5 gathers all that begins with an open word (`ca*`) before it tells the first. Where such words are common, a page lies within
//! some hundred records of where the search begins: these are told to an index in memory and asked first. It has the tables and the
//! words of the kept one, so it gives the same answers.

use std::ops::Range;

use rusqlite::Connection;
use tacho_schemas::Seq;

use super::follow::{TELL, Told};
use super::schema::{WORDS, ours, sql};
use crate::error::Result;
use crate::filter::Lineages;
use crate::read::View;

/// How many records are asked first.
pub(super) const NEAR: u64 = 512;

/// Whether an expression has an open word; a phrase may look like one, and then only time is lost.
pub(super) fn is_open(expression: &str) -> bool {
    expression.contains(" *")
}

/// The numbers in a range that an expression finds, ascending.
pub(super) fn find(
    view: &View<'_>,
    lineages: &mut Lineages,
    range: Range<u64>,
    expression: &str,
) -> Result<Vec<u64>> {
    let conn = Connection::open_in_memory().map_err(sql("make"))?;
    conn.execute_batch(WORDS).map_err(sql("make"))?;
    conn.execute_batch("BEGIN").map_err(sql("make"))?;
    let mut told = Told::default();
    let mut tell = conn.prepare(TELL).map_err(sql("write"))?;
    for seq in range {
        let shown = view.record(Seq(seq))?;
        told.take(&shown, view, lineages, |_, _| ())?;
        told.write(&mut tell, shown.seq)?;
    }
    let mut rows = conn
        .prepare("SELECT rowid FROM words WHERE words MATCH ?1 ORDER BY rowid")
        .map_err(sql("read"))?;
    let rows = rows.query_map([expression], |row| row.get(0));
    let found: rusqlite::Result<Vec<i64>> = rows.and_then(Iterator::collect);
    found.map_err(sql("read"))?.into_iter().map(ours).collect()
}
