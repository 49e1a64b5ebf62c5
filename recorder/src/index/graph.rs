//! What came of what, sessions, generations: walks over the index.
//!
//! Back from a record needs no index ([`crate::links`]); everything here is a hint where to look, and whoever shows a record
//! reads it through [`crate::read::View`].

use std::collections::{BTreeSet, VecDeque};

use rusqlite::{Row, params};
use tacho_schemas::Seq;
use tacho_schemas::Time;
use tacho_schemas::body::change::Fate;

use super::Index;
use super::schema::{damaged, ours, sql, stored};
use crate::error::Result;
use crate::links::{Link, Relation};

/// A session, as far as it has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Its opening record.
    pub seq: Seq,
    /// The agent.
    pub agent: String,
    /// The program that runs the agent.
    pub harness: Option<String>,
    /// The lineage that it states.
    pub lineage: Option<Seq>,
    /// The session that started it.
    pub parent: Option<Seq>,
    /// When it opened.
    pub opened: Time,
    /// Its closing record.
    pub closed: Option<Seq>,
    /// How many records it has, its ends included.
    pub records: u64,
    /// Its newest record.
    pub newest: Seq,
}

/// A lineage: a graph of generations.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lineage {
    /// Its first generation, which is its id.
    pub seq: Seq,
    /// How many generations it has.
    pub generations: u64,
    /// The newest.
    pub newest: Seq,
}

/// A generation of a lineage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Generation {
    /// Its record.
    pub seq: Seq,
    /// Its lineage.
    pub lineage: Seq,
    /// When it was recorded.
    pub time: Time,
    /// The number that its system gave it.
    pub ordinal: Option<u64>,
    /// The island or branch.
    pub branch: Option<String>,
    /// What became of it.
    pub fate: Fate,
    /// The generations that it was made from.
    pub parents: Vec<Seq>,
    /// The newest evaluation of it.
    pub evaluation: Option<Evaluation>,
}

/// A measurement, in short.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evaluation {
    /// Its record.
    pub seq: Seq,
    /// The benchmark.
    pub benchmark: Option<String>,
    /// What its system selects by, and the number as its source wrote it.
    pub main: Option<(String, String)>,
    /// Whether it ran to its end.
    pub passed: Option<bool>,
}

impl Index {
    /// The later records that name this one, ascending.
    pub fn effects(&self, of: Seq) -> Result<Vec<Link>> {
        let mut statement = self
            .conn
            .prepare_cached(
                "SELECT effect, relation FROM effects WHERE cause = ?1 ORDER BY effect, relation",
            )
            .map_err(sql("read"))?;
        let rows = statement
            .query_map([stored(of.0)], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(sql("read"))?;
        rows.map(|row| {
            let (effect, relation): (i64, i64) = row.map_err(sql("read"))?;
            Ok(Link {
                seq: Seq(ours(effect)?),
                relation: u64::try_from(relation)
                    .ok()
                    .and_then(Relation::from_number)
                    .ok_or_else(|| damaged("an unknown relation"))?,
            })
        })
        .collect()
    }

    /// Everything that came of a record, directly or not, ascending, without the record itself.
    pub fn descendants(&self, of: Seq) -> Result<BTreeSet<Seq>> {
        let all = self.descendants_within(of, usize::MAX)?;
        Ok(all.unwrap_or_default())
    }

    /// The same, unless there are more than so many.
    pub(super) fn descendants_within(&self, of: Seq, most: usize) -> Result<Option<BTreeSet<Seq>>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT effect FROM effects WHERE cause = ?1")
            .map_err(sql("read"))?;
        let mut found = BTreeSet::new();
        let mut open = VecDeque::from([of]);
        while let Some(seq) = open.pop_front() {
            let mut rows = statement.query([stored(seq.0)]).map_err(sql("read"))?;
            while let Some(row) = rows.next().map_err(sql("read"))? {
                let effect = Seq(ours(row.get(0).map_err(sql("read"))?)?);
                if effect > seq && found.insert(effect) {
                    open.push_back(effect);
                }
                if found.len() > most {
                    return Ok(None);
                }
            }
        }
        Ok(Some(found))
    }

    /// Sessions, the newest first; those that opened before `before`, if given.
    pub fn sessions(&self, before: Option<Seq>, count: u64) -> Result<Vec<Session>> {
        let before = before.map_or(i64::MAX, |seq| stored(seq.0));
        self.list(
            "SELECT seq, agent, harness, lineage, parent, opened, closed, records, newest FROM sessions \
             WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2",
            params![before, stored(count)],
            read_session,
        )
    }

    /// A session, by its opening record.
    pub fn session(&self, seq: Seq) -> Result<Option<Session>> {
        let found = self.list(
            "SELECT seq, agent, harness, lineage, parent, opened, closed, records, newest FROM sessions WHERE seq = ?1",
            [stored(seq.0)],
            read_session,
        )?;
        Ok(found.into_iter().next())
    }

    /// All lineages, the oldest first.
    pub fn lineages(&self) -> Result<Vec<Lineage>> {
        self.list(
            "SELECT lineage, count(*), max(seq) FROM generations GROUP BY lineage ORDER BY lineage",
            [],
            |row| {
                Ok(Lineage {
                    seq: seq(row, 0)?,
                    generations: ours(get(row, 1)?)?,
                    newest: seq(row, 2)?,
                })
            },
        )
    }

    /// The generations of a lineage, the oldest first.
    pub fn generations(&self, lineage: Seq) -> Result<Vec<Generation>> {
        let mut all: Vec<Generation> = self.list(
            "SELECT seq, lineage, time, ordinal, branch, fate, parents FROM generations WHERE lineage = ?1 ORDER BY seq",
            [stored(lineage.0)],
            read_generation,
        )?;
        for generation in &mut all {
            self.complete(generation)?;
        }
        Ok(all)
    }

    /// A generation, by its record.
    pub fn generation(&self, seq: Seq) -> Result<Option<Generation>> {
        let found = self.list(
            "SELECT seq, lineage, time, ordinal, branch, fate, parents FROM generations WHERE seq = ?1",
            [stored(seq.0)],
            read_generation,
        )?;
        let Some(mut generation) = found.into_iter().next() else {
            return Ok(None);
        };
        self.complete(&mut generation)?;
        Ok(Some(generation))
    }

    /// The evaluations of a generation, the oldest first.
    pub fn evaluations(&self, generation: Seq) -> Result<Vec<Evaluation>> {
        self.list(
            "SELECT seq, benchmark, metric, score, passed FROM evaluations WHERE subject = ?1 ORDER BY seq",
            [stored(generation.0)],
            |row| {
                let metric: Option<String> = get(row, 2)?;
                let score: Option<String> = get(row, 3)?;
                Ok(Evaluation {
                    seq: seq(row, 0)?,
                    benchmark: get(row, 1)?,
                    main: metric.zip(score),
                    passed: get(row, 4)?,
                })
            },
        )
    }

    fn complete(&self, generation: &mut Generation) -> Result<()> {
        generation.evaluation = self.evaluations(generation.seq)?.pop();
        Ok(())
    }

    fn list<T>(
        &self,
        text: &str,
        values: impl rusqlite::Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.conn.prepare_cached(text).map_err(sql("read"))?;
        let mut rows = statement.query(values).map_err(sql("read"))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(sql("read"))? {
            all.push(read(row)?);
        }
        Ok(all)
    }
}

fn read_session(row: &Row<'_>) -> Result<Session> {
    Ok(Session {
        seq: seq(row, 0)?,
        agent: get(row, 1)?,
        harness: get(row, 2)?,
        lineage: maybe(row, 3)?,
        parent: maybe(row, 4)?,
        opened: Time(get(row, 5)?),
        closed: maybe(row, 6)?,
        records: ours(get(row, 7)?)?,
        newest: seq(row, 8)?,
    })
}

fn read_generation(row: &Row<'_>) -> Result<Generation> {
    let ordinal: Option<i64> = get(row, 3)?;
    let parents: String = get(row, 6)?;
    Ok(Generation {
        seq: seq(row, 0)?,
        lineage: seq(row, 1)?,
        time: Time(get(row, 2)?),
        ordinal: ordinal.map(ours).transpose()?,
        branch: get(row, 4)?,
        fate: Fate::from_number(ours(get(row, 5)?)?).ok_or_else(|| damaged("an unknown fate"))?,
        parents: parents
            .split_whitespace()
            .map(|seq| seq.parse().map(Seq))
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| damaged("a parent that is no number"))?,
        evaluation: None,
    })
}

fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, at: usize) -> Result<T> {
    row.get(at).map_err(sql("read"))
}

fn seq(row: &Row<'_>, at: usize) -> Result<Seq> {
    ours(get(row, at)?).map(Seq)
}

fn maybe(row: &Row<'_>, at: usize) -> Result<Option<Seq>> {
    let number: Option<i64> = get(row, at)?;
    number.map(|number| ours(number).map(Seq)).transpose()
}
