//! Finding the records that meet a filter.
//!
//! A filter becomes one FTS5 expression that finds all that meet it and perhaps more; what is found is read from the log, checked,
//! and tested. Records of which nothing is known (not understood, or not those in the tree) cannot be said not to meet it, and are
//! found by every filter.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};

use rusqlite::{Connection, OptionalExtension, Rows, Statement, params};
use tacho_schemas::Seq;

use super::follow::{ANY_RECORD, NOTHING, UNKNOWN, prefix};
use super::near::{self, NEAR};
use super::schema::{BLOCK, Transaction, damaged, ours, sql, stored};
use super::{Index, Stamp, stale};
use crate::error::{ErrorKind, Result};
use crate::filter::{Filter, Key, Lineages, Pattern, Term, facts, test};
use crate::links;
use crate::read::{Shown, View};
use crate::store::Reader;

/// In which order records are found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// As they were recorded.
    OldestFirst,
    /// The other way round.
    NewestFirst,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// What the records must meet.
    pub filter: &'a Filter,
    /// Where they must be.
    pub range: Range<u64>,
    /// In which order.
    pub order: Order,
}

impl Index {
    /// Finds so many records at most, in the order asked for; makes a damaged index anew and looks again.
    pub fn page(&mut self, reader: &Reader, query: &Query<'_>, count: usize) -> Result<Vec<Shown>> {
        let mut tries = 0;
        loop {
            let mut found = Vec::new();
            let searched = self.search(reader, query, |shown| {
                found.push(shown);
                Ok(match found.len() < count {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                })
            });
            let error = match searched {
                Ok(()) => return Ok(found),
                Err(error) => error,
            };
            let again = super::schema::is_damage(&error) || error.kind() == ErrorKind::Busy;
            if tries == 2 || !again {
                return Err(error);
            }
            tries += 1;
            if super::schema::is_damage(&error) {
                self.start_over()?;
            }
            self.catch_up(reader, |_, _| ())?;
        }
    }

    /// Shows each record that meets a filter to `f`, until it has enough.
    ///
    /// Looks only at what [`Index::catch_up`] has taken in. An error may come after some were shown: [`ErrorKind::Busy`] if the index
    /// was made anew under the search, [`ErrorKind::Corrupt`] if it turned out to be damaged.
    pub fn search<E: From<crate::Error>>(
        &self,
        reader: &Reader,
        query: &Query<'_>,
        mut f: impl FnMut(Shown) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let conn = &self.conn;
        let transaction = Transaction::begin(conn, "BEGIN DEFERRED")?;
        let stamp = Stamp::read(&transaction)?;
        // Younger than the stamp.
        let view = View::new(reader)?;
        let Some(stamp) = stamp else {
            return if view.size() == 0 {
                Ok(())
            } else {
                Err(stale().into())
            };
        };
        if !stamp.fits(&view)? {
            return Err(stale().into());
        }
        let search = Search::prepare(self, &view, query, stamp.size)?;
        let mut lineages = Lineages::default();
        let (near, rest) = search.near(&mut lineages)?;
        let mut show = |seq| -> Result<ControlFlow<()>, E> {
            let shown = view.record(Seq(seq))?;
            match search.keeps(&shown, &mut lineages)? {
                true => f(shown),
                false => Ok(ControlFlow::Continue(())),
            }
        };
        for seq in near {
            if show(seq)?.is_break() {
                return Ok(());
            }
        }
        let mut candidates = search.candidates(rest)?;
        let mut cursor = candidates.start()?;
        while let Some(seq) = cursor.next()? {
            if show(seq)?.is_break() {
                break;
            }
        }
        drop(cursor);
        drop(candidates);
        drop(search);
        drop(transaction);
        Ok(())
    }
}

impl Index {
    /// How many records meet a filter in each of so many equal pieces of the first `size`.
    ///
    /// By the index alone, and without what only a record itself can say: a picture of where to look, never evidence.
    pub fn density(&self, filter: &Filter, size: u64, pieces: usize) -> Result<Vec<u64>> {
        let mut counts = vec![0; pieces];
        let Cover::Found { expression, .. } = cover(&expand(self, filter)?) else {
            return Ok(counts);
        };
        let mut statement = self
            .conn
            .prepare_cached("SELECT rowid FROM words WHERE words MATCH ?1 AND rowid < ?2")
            .map_err(sql("read"))?;
        let mut rows = statement
            .query(params![expression, stored(size)])
            .map_err(sql("read"))?;
        while let Some(row) = rows.next().map_err(sql("read"))? {
            let seq = ours(row.get(0).map_err(sql("read"))?)?;
            let piece = u128::from(seq) * (pieces as u128) / u128::from(size.max(1));
            let count = usize::try_from(piece)
                .ok()
                .and_then(|at| counts.get_mut(at));
            if let Some(count) = count {
                *count += 1;
            }
        }
        Ok(counts)
    }

    /// Ids under a key that begin so, in order, so many at most.
    pub fn names(&self, key: Key, begins: &str, most: usize) -> Result<Vec<String>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT value FROM names WHERE key = ?1 AND value >= ?2 ORDER BY value")
            .map_err(sql("read"))?;
        let mut rows = statement.query([key.name(), begins]).map_err(sql("read"))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(sql("read"))? {
            let name: String = row.get(0).map_err(sql("read"))?;
            if !name.starts_with(begins) || found.len() >= most {
                break;
            }
            found.push(name);
        }
        Ok(found)
    }
}

/// A filter made ready for one index and one moment.
struct Search<'a> {
    index: &'a Index,
    view: &'a View<'a>,
    query: &'a Query<'a>,
    range: Range<u64>,
    cover: Cover,
    sets: Vec<(Term, Set)>,
}

/// What came of a record, or led to it.
enum Set {
    /// All of it.
    Whole(BTreeSet<Seq>),
    /// Too much to gather: for each record, the way back is walked. Holds which of those that were met lead to the record.
    Walked(Seq, RefCell<HashMap<Seq, bool>>),
}

/// A pattern stands for so many ids at most; beyond, the index looks for what begins alike.
const EXPANDED: usize = 64;

/// What the index can say of a filter.
enum Cover {
    /// Nothing: any record may meet it.
    Everything,
    /// What meets it is found by an expression.
    Found {
        expression: String,
        /// What is found meets it.
        exactly: bool,
    },
}

impl<'a> Search<'a> {
    fn prepare(
        index: &'a Index,
        view: &'a View<'a>,
        query: &'a Query<'a>,
        size: u64,
    ) -> Result<Self> {
        let mut search = Self {
            index,
            view,
            query,
            range: query.range.start..query.range.end.min(size),
            cover: cover(&expand(index, query.filter)?),
            sets: Vec::new(),
        };
        search.find_sets(query.filter)?;
        for filter in query.filter.required() {
            if let Filter::Term(term) = filter {
                search.narrow(term)?;
            }
        }
        Ok(search)
    }

    /// Finds what came of, or led to, the records that the filter names.
    fn find_sets(&mut self, filter: &Filter) -> Result<()> {
        match filter {
            Filter::Everything => Ok(()),
            Filter::All(filters) | Filter::Any(filters) => {
                filters.iter().try_for_each(|filter| self.find_sets(filter))
            }
            Filter::Not(inner) => self.find_sets(inner),
            Filter::Term(term) => {
                if self.set(term).is_none() {
                    let set = match term {
                        Term::Under(seq) => {
                            match self.index.descendants_within(*seq, self.index.gathered)? {
                                Some(set) => Set::Whole(set),
                                None => Set::Walked(*seq, RefCell::default()),
                            }
                        }
                        Term::Over(seq) => Set::Whole(links::ancestors(self.view, *seq)?),
                        _ => return Ok(()),
                    };
                    self.sets.push((term.clone(), set));
                }
                Ok(())
            }
        }
    }

    fn set(&self, term: &Term) -> Option<&Set> {
        self.sets
            .iter()
            .find(|(of, _)| of == term)
            .map(|(_, set)| set)
    }

    /// Narrows the range by a term that every record must meet.
    fn narrow(&mut self, term: &Term) -> Result<()> {
        let conn = &self.index.conn;
        let block = |text: &str, time: i64| -> Result<Option<u64>> {
            let found: Option<i64> = conn
                .prepare_cached(text)
                .and_then(|mut s| s.query_row([time], |row| row.get(0)))
                .map_err(sql("read"))?;
            found.map(ours).transpose()
        };
        let within = match term {
            Term::Seq(spans) => {
                let first = spans.iter().map(|span| span.first).min();
                let last = spans.iter().map(|span| span.last).max();
                first.unwrap_or(0)..last.unwrap_or(0).saturating_add(1)
            }
            Term::Since(time) => {
                let first = block("SELECT min(block) FROM blocks WHERE newest >= ?1", time.0)?;
                first.map_or(u64::MAX, |block| block.saturating_mul(BLOCK))..u64::MAX
            }
            Term::Until(time) => {
                let last = block("SELECT max(block) FROM blocks WHERE oldest <= ?1", time.0)?;
                0..last.map_or(0, |block| block.saturating_add(1).saturating_mul(BLOCK))
            }
            _ => return Ok(()),
        };
        self.range.start = self.range.start.max(within.start);
        self.range.end = self.range.end.min(within.end);
        Ok(())
    }

    /// What an expression with open words finds among the first records of the search, in its order, and the range behind them.
    fn near(&self, lineages: &mut Lineages) -> Result<(Vec<u64>, Range<u64>)> {
        let range = self.range.clone();
        let long = range.end.saturating_sub(range.start) > 4 * NEAR;
        let Cover::Found { expression, .. } = &self.cover else {
            return Ok((Vec::new(), range));
        };
        if !long || !near::is_open(expression) {
            return Ok((Vec::new(), range));
        }
        let expression = or_unknown(expression);
        let (near, rest) = match self.query.order {
            Order::OldestFirst => {
                let end = range.start.saturating_add(NEAR);
                (range.start..end, end..range.end)
            }
            Order::NewestFirst => {
                let start = range.end.saturating_sub(NEAR);
                (start..range.end, range.start..start)
            }
        };
        let mut found = near::find(self.view, lineages, near, &expression)?;
        let sets = self.required_sets();
        found.retain(|seq| sets.iter().all(|set| set.contains(&Seq(*seq))));
        if self.query.order == Order::NewestFirst {
            found.reverse();
        }
        Ok((found, rest))
    }

    /// Where the search goes along: the shortest set that holds all, the index, or all numbers.
    fn candidates(&self, range: Range<u64>) -> Result<Candidates<'_>> {
        let shortest = self.required_sets().into_iter().min_by_key(|set| set.len());
        let range = if range.is_empty() { 0..0 } else { range };
        let order = self.query.order;
        Ok(match (&self.cover, shortest) {
            (Cover::Everything, Some(set)) => Candidates::Set { set, range, order },
            (Cover::Everything, None) => Candidates::Count { range, order },
            (Cover::Found { expression, .. }, _) => {
                let text = match order {
                    Order::OldestFirst => {
                        "SELECT rowid FROM words WHERE words MATCH ?1 AND rowid >= ?2 AND rowid < ?3 ORDER BY rowid"
                    }
                    Order::NewestFirst => {
                        "SELECT rowid FROM words WHERE words MATCH ?1 AND rowid >= ?2 AND rowid < ?3 ORDER BY rowid DESC"
                    }
                };
                Candidates::Found {
                    statement: self.index.conn.prepare(text).map_err(sql("read"))?,
                    expression: or_unknown(expression),
                    range,
                    sets: self.required_sets(),
                }
            }
        })
    }

    /// The gathered sets that hold every record that is looked for.
    fn required_sets(&self) -> Vec<&BTreeSet<Seq>> {
        let required = self.query.filter.required().iter();
        required
            .filter_map(|filter| match filter {
                Filter::Term(term) => match self.set(term) {
                    Some(Set::Whole(set)) => Some(set),
                    _ => None,
                },
                _ => None,
            })
            .collect()
    }

    /// Tests a record that was read and checked.
    fn keeps(&self, shown: &Shown, lineages: &mut Lineages) -> Result<bool> {
        let record = match &shown.meaning {
            Ok(record) if shown.in_tree => record,
            _ => return Ok(true),
        };
        let lineage = lineages.of(self.view, record)?;
        let facts = facts(record, lineage);
        let filter = self.query.filter;
        let met = test(filter, shown, &facts, &mut |term| match self.set(term) {
            Some(set) => self.is_in(term, set, shown).map(Some),
            None => Ok(None),
        })?;
        match (met, &self.cover) {
            (Some(false), Cover::Found { exactly: true, .. }) => {
                Err(damaged("it found a record that does not meet the filter"))
            }
            (Some(met), _) => Ok(met),
            (None, Cover::Found { exactly: true, .. }) => Ok(true),
            (None, _) => {
                let met = test(filter, shown, &facts, &mut |term| match self.set(term) {
                    Some(set) => self.is_in(term, set, shown).map(Some),
                    None => self.has_words(term, shown.seq).map(Some),
                })?;
                Ok(met.unwrap_or(false))
            }
        }
    }

    /// Whether a record has words.
    fn has_words(&self, term: &Term, seq: Seq) -> Result<bool> {
        let Cover::Found { expression, .. } = cover_term(term) else {
            return Ok(false);
        };
        if near::is_open(&expression) {
            let (lineages, one) = (&mut Lineages::default(), seq.0..seq.0.saturating_add(1));
            return Ok(!near::find(self.view, lineages, one, &expression)?.is_empty());
        }
        let conn = &self.index.conn;
        conn.prepare_cached("SELECT 1 FROM words WHERE words MATCH ?1 AND rowid = ?2")
            .and_then(|mut s| {
                s.query_row(params![expression, stored(seq.0)], |_| Ok(()))
                    .optional()
            })
            .map(|found| found.is_some())
            .map_err(sql("read"))
    }

    /// Whether a record is in a set; if it is, the checked record itself must lead to another of it.
    fn is_in(&self, term: &Term, set: &Set, shown: &Shown) -> Result<bool> {
        let set = match set {
            Set::Walked(top, known) => return self.leads_to(*top, shown.seq, known),
            Set::Whole(set) if !set.contains(&shown.seq) => return Ok(false),
            Set::Whole(set) => set,
        };
        let (Term::Under(top), Ok(record)) = (term, &shown.meaning) else {
            return Ok(true);
        };
        let mut causes = links::causes(record).into_iter();
        match causes.any(|link| link.seq == *top || set.contains(&link.seq)) {
            true => Ok(true),
            false => Err(damaged("it leads to a record that does not lead back")),
        }
    }

    /// Walks back from a record, by the log alone, until the other is met.
    fn leads_to(&self, top: Seq, from: Seq, known: &RefCell<HashMap<Seq, bool>>) -> Result<bool> {
        let mut known = known.borrow_mut();
        if let Some(leads) = known.get(&from) {
            return Ok(*leads);
        }
        let (mut open, mut met) = (vec![from], BTreeSet::from([from]));
        while let Some(seq) = open.pop() {
            let shown = self.view.record(seq)?;
            let (Ok(record), true) = (&shown.meaning, shown.in_tree) else {
                continue;
            };
            for link in links::causes(record) {
                if link.seq == top || known.get(&link.seq) == Some(&true) {
                    known.insert(from, true);
                    return Ok(true);
                }
                // What came before it did not come of it.
                if link.seq > top && !known.contains_key(&link.seq) && met.insert(link.seq) {
                    open.push(link.seq);
                }
            }
        }
        known.extend(met.into_iter().map(|seq| (seq, false)));
        Ok(false)
    }
}

/// Puts the ids that there are in the place of patterns.
fn expand(index: &Index, filter: &Filter) -> Result<Filter> {
    let each = |filters: &[Filter]| {
        filters
            .iter()
            .map(|f| expand(index, f))
            .collect::<Result<_>>()
    };
    Ok(match filter {
        Filter::Everything => Filter::Everything,
        Filter::All(filters) => Filter::All(each(filters)?),
        Filter::Any(filters) => Filter::Any(each(filters)?),
        Filter::Not(inner) => Filter::Not(Box::new(expand(index, inner)?)),
        Filter::Term(Term::Is(key, patterns)) if key.is_open() => {
            let mut expanded = Vec::new();
            for pattern in patterns {
                match pattern.as_exact() {
                    Some(_) => expanded.push(pattern.clone()),
                    None => expanded.extend(names(&index.conn, *key, pattern)?),
                }
            }
            Filter::Term(Term::Is(*key, expanded))
        }
        Filter::Term(term) => Filter::Term(term.clone()),
    })
}

/// The ids that fit a pattern; the pattern itself if there are too many.
fn names(conn: &Connection, key: Key, pattern: &Pattern) -> Result<Vec<Pattern>> {
    let begins = pattern.0.first().map_or("", String::as_str);
    let mut statement = conn
        .prepare_cached("SELECT value FROM names WHERE key = ?1 AND value >= ?2")
        .map_err(sql("read"))?;
    let mut rows = statement.query([key.name(), begins]).map_err(sql("read"))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sql("read"))? {
        let name: String = row.get(0).map_err(sql("read"))?;
        if !name.starts_with(begins) {
            break;
        }
        if pattern.fits(&name) {
            found.push(Pattern::exact(name));
        }
        if found.len() > EXPANDED {
            return Ok(vec![pattern.clone()]);
        }
    }
    Ok(found)
}

/// What is looked for, or what nothing is known of.
fn or_unknown(expression: &str) -> String {
    format!("({expression}) OR facts : {UNKNOWN}")
}

/// Numbers of records that may meet the filter.
enum Candidates<'a> {
    Found {
        statement: Statement<'a>,
        expression: String,
        range: Range<u64>,
        sets: Vec<&'a BTreeSet<Seq>>,
    },
    Set {
        set: &'a BTreeSet<Seq>,
        range: Range<u64>,
        order: Order,
    },
    Count {
        range: Range<u64>,
        order: Order,
    },
}

/// A walk along the candidates.
enum Cursor<'a> {
    Found(Rows<'a>, &'a [&'a BTreeSet<Seq>]),
    Numbers(Box<dyn Iterator<Item = u64> + 'a>),
}

impl Candidates<'_> {
    fn start(&mut self) -> Result<Cursor<'_>> {
        Ok(match self {
            Self::Found {
                statement,
                expression,
                range,
                sets,
            } => {
                let values = params![&*expression, stored(range.start), stored(range.end)];
                let rows = statement.query(values).map_err(sql("read"))?;
                Cursor::Found(rows, sets)
            }
            Self::Set { set, range, order } => {
                let within = set.range(Seq(range.start)..Seq(range.end)).map(|seq| seq.0);
                Cursor::Numbers(match order {
                    Order::OldestFirst => Box::new(within),
                    Order::NewestFirst => Box::new(within.rev()),
                })
            }
            Self::Count { range, order } => Cursor::Numbers(match order {
                Order::OldestFirst => Box::new(range.clone()),
                Order::NewestFirst => Box::new(range.clone().rev()),
            }),
        })
    }
}

impl Cursor<'_> {
    fn next(&mut self) -> Result<Option<u64>> {
        match self {
            Self::Numbers(numbers) => Ok(numbers.next()),
            Self::Found(rows, sets) => {
                while let Some(row) = rows.next().map_err(sql("read"))? {
                    let seq = ours(row.get(0).map_err(sql("read"))?)?;
                    if sets.iter().all(|set| set.contains(&Seq(seq))) {
                        return Ok(Some(seq));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// Makes the FTS5 expression of a filter.
fn cover(filter: &Filter) -> Cover {
    match filter {
        Filter::Everything => Cover::Everything,
        Filter::Term(term) => cover_term(term),
        Filter::Not(inner) => match cover(inner) {
            Cover::Found {
                expression,
                exactly: true,
            } => Cover::Found {
                expression: format!("facts : {ANY_RECORD} NOT ({expression})"),
                exactly: true,
            },
            _ => Cover::Everything,
        },
        Filter::All(filters) => {
            let (mut with, mut without, mut exact) = (Vec::new(), Vec::new(), true);
            for filter in filters {
                // What is left out stays together: `a NOT (b OR c)`.
                let (inner, into) = match filter {
                    Filter::Not(inner) => (&**inner, &mut without),
                    other => (other, &mut with),
                };
                match (cover(inner), filter) {
                    (Cover::Found { exactly: false, .. }, Filter::Not(_))
                    | (Cover::Everything, _) => exact = false,
                    (
                        Cover::Found {
                            expression,
                            exactly,
                        },
                        _,
                    ) => {
                        exact &= exactly;
                        into.push(format!("({expression})"));
                    }
                }
            }
            if with.is_empty() && without.is_empty() {
                return Cover::Everything;
            }
            if with.is_empty() {
                with.push(format!("facts : {ANY_RECORD}"));
            }
            let mut expression = with.join(" AND ");
            if !without.is_empty() {
                expression = format!("({expression}) NOT ({})", without.join(" OR "));
            }
            Cover::Found {
                expression,
                exactly: exact,
            }
        }
        Filter::Any(filters) => {
            let (mut all, mut exact) = (Vec::new(), true);
            for filter in filters {
                match cover(filter) {
                    Cover::Everything => return Cover::Everything,
                    Cover::Found {
                        expression,
                        exactly,
                    } => {
                        exact &= exactly;
                        all.push(format!("({expression})"));
                    }
                }
            }
            Cover::Found {
                expression: all.join(" OR "),
                exactly: exact,
            }
        }
    }
}

fn cover_term(term: &Term) -> Cover {
    match term {
        Term::Is(_, patterns) if patterns.is_empty() => Cover::Found {
            expression: format!("facts : {NOTHING}"),
            exactly: true,
        },
        Term::Is(key, patterns) => {
            let mut exact = true;
            let tokens = patterns.iter().map(|pattern| {
                let begins = prefix(*key, pattern.0.first().map_or("", String::as_str));
                match pattern.0.as_slice() {
                    [_] => begins,
                    [_, rest] if rest.is_empty() => format!("{begins} *"),
                    _ => {
                        exact = false;
                        format!("{begins} *")
                    }
                }
            });
            let tokens: Vec<String> = tokens.collect();
            Cover::Found {
                expression: format!("facts : ({})", tokens.join(" OR ")),
                exactly: exact,
            }
        }
        Term::Words { text, open } => Cover::Found {
            expression: format!(
                "{{text path}} : {}{}",
                phrase(text),
                if *open { " *" } else { "" }
            ),
            exactly: true,
        },
        Term::Path(patterns) => {
            let mut all = Vec::new();
            for pattern in patterns {
                match cover_path(pattern) {
                    Some(expression) => all.push(format!("({expression})")),
                    None => return Cover::Everything,
                }
            }
            Cover::Found {
                expression: all.join(" OR "),
                exactly: false,
            }
        }
        Term::Seq(_) | Term::Since(_) | Term::Until(_) | Term::Under(_) | Term::Over(_) => {
            Cover::Everything
        }
    }
}

/// The words that a path must have; those that a gap may cut at their beginning say nothing.
fn cover_path(pattern: &Pattern) -> Option<String> {
    let last = pattern.0.len().saturating_sub(1);
    let mut all = Vec::new();
    for (place, piece) in pattern.0.iter().enumerate() {
        // What the index takes for a letter is one here too, and more: that only drops a word too many.
        let whole = match place {
            0 => piece.as_str(),
            _ => piece.trim_start_matches(|c: char| c.is_alphanumeric() || !c.is_ascii()),
        };
        if whole.chars().any(char::is_alphanumeric) {
            let open = if place < last { " *" } else { "" };
            all.push(format!("path : {}{open}", phrase(whole)));
        }
    }
    (!all.is_empty()).then(|| all.join(" AND "))
}

/// Words side by side, as FTS5 reads them; what could end the text early is between words anyway.
fn phrase(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\"\""),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
