//! One transaction of writes.

use rusqlite::{OptionalExtension, params};
use tacho_schemas::Hash;

use super::connect::{sql, stored};
use super::{MAX_ARTEFACT, MAX_RECORD, Store, TileId};
use crate::error::{Error, ErrorKind, Result};

/// A transaction of writes: all of it becomes durable with [`Batch::commit`], or none.
///
/// Before the COMMIT an error spoils this batch only: drop it, and the next may work ([`ErrorKind::Busy`], [`ErrorKind::Full`],
/// a number that exists). An error in the COMMIT is [`ErrorKind::Poisoned`]: the fsync may or may not have happened, and asking
/// again would not tell. The store takes no writes from then on; nor after an error that speaks of a broken disk or file.
#[derive(Debug)]
pub struct Batch<'store> {
    store: &'store mut Store,
    state: State,
    /// Upper estimate of the pages this batch changes.
    pages: u64,
    /// Bytes added so far, which fill pages from the end.
    bytes: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Closed,
    Open,
    Spoilt,
}

/// What putting an artefact did.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Put {
    /// It was new.
    Added,
    /// Its bytes were there, and have one user more.
    Shared,
}

impl<'store> Batch<'store> {
    pub(super) fn begin(store: &'store mut Store) -> Result<Self> {
        store
            .conn
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut s| s.execute([]))
            .map_err(|e| sql("write to", e))?;
        Ok(Self {
            store,
            state: State::Open,
            // Inner pages, the header, the commit row, tiles.
            pages: 64,
            bytes: 0,
        })
    }

    /// Adds the record with this number.
    pub fn record(&mut self, seq: u64, bytes: &[u8]) -> Result<()> {
        if bytes.len() > usize::from(MAX_RECORD) {
            return Err(Error::new(
                ErrorKind::Unrecordable,
                format!(
                    "a record of {} bytes is longer than {MAX_RECORD}",
                    bytes.len()
                ),
            ));
        }
        self.bytes += grown(bytes);
        let seq = stored(seq)?;
        self.run(
            "INSERT INTO records (seq, bytes) VALUES (?1, ?2)",
            params![seq, bytes],
        )
    }

    /// Adds the vault row of a record, packed.
    pub fn vault(&mut self, seq: u64, row: &[u8]) -> Result<()> {
        self.bytes += grown(row);
        let seq = stored(seq)?;
        self.run(
            "INSERT INTO vault (seq, row) VALUES (?1, ?2)",
            params![seq, row],
        )
    }

    /// Puts another vault row in the place of one, e.g. one with a field less; [`ErrorKind::Missing`] if there is none.
    pub fn vault_replace(&mut self, seq: u64, row: &[u8]) -> Result<()> {
        self.bytes += grown(row);
        self.pages += 8;
        let number = stored(seq)?;
        match self.changed(
            "UPDATE vault SET row = ?2 WHERE seq = ?1",
            params![number, row],
        )? {
            0 => Err(self.spoil(missing(&format!("vault row {seq}")))),
            _ => Ok(()),
        }
    }

    /// Removes a vault row whole; [`ErrorKind::Missing`] if there is none.
    pub fn vault_remove(&mut self, seq: u64) -> Result<()> {
        self.pages += 8;
        let number = stored(seq)?;
        match self.changed("DELETE FROM vault WHERE seq = ?1", params![number])? {
            0 => Err(self.spoil(missing(&format!("vault row {seq}")))),
            _ => Ok(()),
        }
    }

    /// Writes a tile, or a longer one in its place.
    pub fn tile(&mut self, id: TileId, hashes: &[u8]) -> Result<()> {
        self.bytes += grown(hashes);
        self.run(
            "INSERT INTO tiles (id, hashes) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET hashes = excluded.hashes",
            params![id.0, hashes],
        )
    }

    /// Remembers that the request with this key became this record; [`ErrorKind::Exists`] if the key is known.
    pub fn reference(&mut self, key: &Hash, seq: u64) -> Result<()> {
        self.pages += 1;
        let seq = stored(seq)?;
        self.run(
            "INSERT INTO refs (key, seq) VALUES (?1, ?2)",
            params![key.as_bytes(), seq],
        )
    }

    /// Keeps the newest commit statement and its signature.
    pub fn commit_row(&mut self, statement: &[u8], signature: &[u8]) -> Result<()> {
        self.bytes += grown(statement) + grown(signature);
        self.run(
            "INSERT INTO commits (id, statement, signature) VALUES (0, ?1, ?2)
             ON CONFLICT (id) DO UPDATE SET statement = excluded.statement, signature = excluded.signature",
            params![statement, signature],
        )
    }

    /// Keeps an artefact, or counts one user more; `size` is its length unpacked.
    ///
    /// The hash must be that of the unpacked bytes. It is not computed here: that, and packing, is done by callers in parallel.
    pub fn artefact(&mut self, blake3: &Hash, size: u64, packed: &[u8]) -> Result<Put> {
        if size > u64::from(MAX_ARTEFACT) {
            return Err(Error::new(
                ErrorKind::Unrecordable,
                format!("an artefact of {size} bytes is longer than {MAX_ARTEFACT}"),
            ));
        }
        self.pages += 2;
        let size = stored(size)?;
        let known = self.changed(
            "UPDATE artefacts SET refs = refs + 1 WHERE blake3 = ?1",
            params![blake3.as_bytes()],
        )?;
        // Counting rewrites the row when the counter needs a byte more.
        self.bytes += grown(packed);
        if known > 0 {
            return Ok(Put::Shared);
        }
        self.run(
            "INSERT INTO artefacts (blake3, refs, size, bytes) VALUES (?1, 1, ?2, ?3)",
            params![blake3.as_bytes(), size, packed],
        )?;
        Ok(Put::Added)
    }

    /// Takes one user from an artefact, and its bytes with the last; returns how many are left.
    pub fn artefact_release(&mut self, blake3: &Hash) -> Result<u64> {
        self.pages += 16;
        self.open()?;
        let left: Option<i64> = self
            .store
            .conn
            .prepare_cached("UPDATE artefacts SET refs = refs - 1 WHERE blake3 = ?1 RETURNING refs")
            .and_then(|mut s| {
                s.query_row([blake3.as_bytes()], |row| row.get(0))
                    .optional()
            })
            .map_err(|e| self.spoil(sql("write to", e)))?;
        let Some(left) = left else {
            return Err(self.spoil(missing("artefact")));
        };
        if left <= 0 {
            self.run(
                "DELETE FROM artefacts WHERE blake3 = ?1",
                params![blake3.as_bytes()],
            )?;
        }
        Ok(u64::try_from(left).unwrap_or(0))
    }

    /// Makes the batch durable.
    ///
    /// Order: take space for the WAL (a full disk fails here, and the batch only) → COMMIT (one fsync). From the COMMIT on, any
    /// error poisons the store.
    pub fn commit(mut self) -> Result<()> {
        self.open()?;
        let page = self.store.page_size;
        let pages = self.pages + 2 * self.bytes.div_ceil(page);
        if let Err(e) = self.store.hold_wal_space(pages * (page + 24)) {
            return Err(self.spoil(e));
        }
        // Usually two tables and the commit row change, each in a page that is not new.
        self.store.unmoved += (3 + self.bytes.div_ceil(page)) * (page + 24);
        self.state = State::Closed;
        self.store
            .conn
            .prepare_cached("COMMIT")
            .and_then(|mut s| s.execute([]))
            .map(drop)
            .map_err(|e| {
                self.store.poisoned = true;
                sql("commit to", e)
                    .with_kind(ErrorKind::Poisoned)
                    .with_hint("stop and start the recorder: it reads the log anew")
            })
    }

    /// Makes the COMMIT fail.
    #[cfg(test)]
    pub(super) fn end_behind_its_back(&self) {
        self.store.conn.execute_batch("ROLLBACK").unwrap();
    }

    fn run(&mut self, statement: &str, values: impl rusqlite::Params) -> Result<()> {
        self.changed(statement, values).map(drop)
    }

    fn changed(&mut self, statement: &str, values: impl rusqlite::Params) -> Result<usize> {
        self.open()?;
        self.store
            .conn
            .prepare_cached(statement)
            .and_then(|mut s| s.execute(values))
            .map_err(|e| self.spoil(sql("write to", e)))
    }

    fn open(&self) -> Result<()> {
        match self.state {
            State::Open => Ok(()),
            State::Closed | State::Spoilt => Err(Error::new(
                ErrorKind::Usage,
                "an earlier write of this batch failed, so nothing of it is kept",
            )),
        }
    }

    /// Nothing of this batch may be committed any more; and nothing at all, if the disk or the file is at fault.
    fn spoil(&mut self, error: Error) -> Error {
        self.state = State::Spoilt;
        if matches!(
            error.kind(),
            ErrorKind::Corrupt | ErrorKind::Denied | ErrorKind::Io
        ) {
            self.store.poisoned = true;
        }
        error
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // SQLite has rolled back by itself after some errors.
        if self.state == State::Closed || self.store.conn.is_autocommit() {
            return;
        }
        if self.store.conn.execute_batch("ROLLBACK").is_err() {
            self.store.poisoned = true;
        }
    }
}

/// Bytes that a value adds to the file, its row's head included.
fn grown(value: &[u8]) -> u64 {
    u64::try_from(value.len()).unwrap_or(u64::MAX >> 8) + 32
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::Missing, format!("there is no {what}"))
}
