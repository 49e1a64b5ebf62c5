//! The index of a log: which records say what, and what came of which.
//!
//! A convenience beside the log (`index.db`), made from it and never evidence: it may be deleted at any time, and it is made
//! anew when its stamp (origin, size, root) does not fit the log, when it is damaged, or when another version made it. It is
//! followed off the write path, by whoever reads; several may do so at once. Queries give numbers of records; the records
//! themselves are read from the log, checked, and tested again before they are shown. So a tampered index can hide a record from
//! a filter, but never show one that does not meet it; `private` indices, made for one question and kept nowhere, hide nothing.
//!
//! Where no index can be kept (another user's log, a read-only disk), a private one is made.

mod follow;
mod graph;
mod near;
mod schema;
mod search;

use rusqlite::{Connection, OptionalExtension};
use tacho_schemas::Hash;

use crate::dir::LogDir;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Lineages;

pub use graph::{Evaluation, Generation, Lineage, Session};
pub use search::{Order, Query};

use schema::{ours, sql};

/// An index of one log.
#[derive(Debug)]
pub struct Index {
    conn: Connection,
    dir: Option<LogDir>,
    /// Why it is private, if it is.
    private: Option<String>,
    lineages: Lineages,
    /// What came of a record is gathered up to so many; beyond, each candidate's way back is walked.
    gathered: usize,
}

/// What came of a record is gathered up to so many.
const GATHERED: usize = 20_000;

/// What an index was made from.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Stamp {
    made_by: String,
    origin: String,
    size: u64,
    root: Hash,
}

impl Index {
    /// Opens the index that is kept beside the log, or a private one where none can be kept.
    ///
    /// What it holds may be of an earlier moment, or of another log: [`Index::catch_up`] comes before every use.
    pub fn open(dir: &LogDir) -> Result<Self> {
        match schema::open_kept(dir) {
            Ok(conn) => Ok(Self {
                conn,
                dir: Some(dir.clone()),
                private: None,
                lineages: Lineages::default(),
                gathered: GATHERED,
            }),
            Err(error) => Self::private(dir, error.to_string()),
        }
    }

    /// Makes an empty index that nobody else sees and that ends with this value.
    pub fn private(dir: &LogDir, why: impl Into<String>) -> Result<Self> {
        Ok(Self {
            dir: Some(dir.clone()),
            ..Self::apart(why)?
        })
    }

    /// The same, of records that lie in no directory.
    pub fn apart(why: impl Into<String>) -> Result<Self> {
        Ok(Self {
            conn: schema::open_private()?,
            dir: None,
            private: Some(why.into()),
            lineages: Lineages::default(),
            gathered: GATHERED,
        })
    }

    /// Why the index is made for this use only, if it is.
    pub fn why_private(&self) -> Option<&str> {
        self.private.as_deref()
    }

    /// Gathers less of what came of a record, so that tests meet both ways.
    #[doc(hidden)]
    pub fn testing_only_gather(&mut self, most: usize) {
        self.gathered = most;
    }

    /// How many records it covers.
    pub fn size(&self) -> Result<u64> {
        Ok(Stamp::read(&self.conn)?.map_or(0, |stamp| stamp.size))
    }

    /// Throws away what a damaged index holds.
    fn start_over(&mut self) -> Result<()> {
        self.conn = match (&self.private, &self.dir) {
            (Some(_), _) | (_, None) => schema::open_private()?,
            (None, Some(dir)) => {
                // The old connection must be closed before its files go.
                self.conn = Connection::open_in_memory().map_err(sql("open"))?;
                schema::remove(&dir.index())?;
                schema::open_kept(dir)?
            }
        };
        Ok(())
    }

    /// Carries out a step on a sound index: a damaged one is made anew, and one that cannot be written gives way to a private one.
    fn soundly<T>(&mut self, mut step: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        let mut error = match step(self) {
            Err(error) if schema::is_of_index(&error) => error,
            other => return other,
        };
        if schema::is_damage(&error) {
            let again = self.start_over().and_then(|()| step(self));
            match again {
                Err(again) if schema::is_of_index(&again) => error = again,
                other => return other,
            }
        }
        let gives_way = matches!(
            error.kind(),
            ErrorKind::Busy
                | ErrorKind::Corrupt
                | ErrorKind::Denied
                | ErrorKind::Full
                | ErrorKind::Io
        );
        if self.private.is_some() || !gives_way {
            return Err(error);
        }
        *self = Self::apart(error.to_string())?;
        step(self)
    }
}

impl Stamp {
    /// Reads it, if there is one.
    fn read(conn: &Connection) -> Result<Option<Self>> {
        let row = conn
            .prepare_cached("SELECT made_by, origin, size, root FROM stamp WHERE id = 0")
            .and_then(|mut s| {
                s.query_row([], |row| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get::<_, Vec<u8>>(3)?,
                    ))
                })
                .optional()
            })
            .map_err(sql("read"))?;
        let Some((made_by, origin, size, root)) = row else {
            return Ok(None);
        };
        Ok(Some(Self {
            made_by,
            origin,
            size: ours(size)?,
            root: Hash::from_slice(&root).map_err(|_| schema::damaged("its root is no hash"))?,
        }))
    }
}

/// The index changed under a query: someone else made it anew.
fn stale() -> Error {
    Error::new(ErrorKind::Busy, "the index was made anew meanwhile").with_hint("try again")
}
