//! One moment of a log, read.

use std::ops::Range;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use tacho_schemas::Hash;

use super::connect::{ours, sql, stored};
use super::{MAX_ARTEFACT, TileId, schema};
use crate::error::{Error, ErrorKind, Result};
use crate::pack::Unpacker;

/// One moment of a log: a read transaction that ends when dropped.
///
/// The tables are compared with ours in the same transaction. The bytes are those in the file: whoever shows them checks a record
/// against its leaf and a text against its commitment.
#[derive(Debug)]
pub struct Snapshot<'conn> {
    conn: &'conn Connection,
}

/// How many rows each table has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(missing_docs, reason = "each field is a table's name")]
pub struct Counts {
    pub records: u64,
    pub vault: u64,
    pub tiles: u64,
    pub artefacts: u64,
    pub refs: u64,
}

/// The newest commit statement that was kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommitRow {
    /// The bytes that were signed.
    pub statement: Vec<u8>,
    /// The epoch key's signature.
    pub signature: Vec<u8>,
}

/// An artefact, unpacked, with its bytes checked against its hash.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Artefact {
    /// How often the log uses it, as the table says.
    pub refs: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl<'conn> Snapshot<'conn> {
    pub(super) fn begin(conn: &'conn Connection) -> Result<Self> {
        conn.prepare_cached("BEGIN DEFERRED")
            .and_then(|mut s| s.execute([]))
            .map_err(|e| sql("read", e))?;
        let snapshot = Self { conn };
        // The first read fixes the moment.
        schema::check(conn)?;
        Ok(snapshot)
    }

    /// Reads one record.
    pub fn record(&self, seq: u64) -> Result<Option<Vec<u8>>> {
        self.blob("SELECT bytes FROM records WHERE seq = ?1", stored(seq)?)
    }

    /// Shows each record of a range to `f`, in order; a missing number is skipped, so `f` counts.
    pub fn records<E: From<Error>>(
        &self,
        range: Range<u64>,
        f: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk(
            "records",
            "SELECT seq, bytes FROM records WHERE seq >= ?1 AND seq < ?2 ORDER BY seq",
            range,
            f,
        )
    }

    /// Reads the vault row of a record, packed.
    pub fn vault(&self, seq: u64) -> Result<Option<Vec<u8>>> {
        self.blob("SELECT row FROM vault WHERE seq = ?1", stored(seq)?)
    }

    /// Shows each vault row of a range to `f`, packed, in order.
    pub fn vault_rows<E: From<Error>>(
        &self,
        range: Range<u64>,
        f: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk(
            "vault",
            "SELECT seq, row FROM vault WHERE seq >= ?1 AND seq < ?2 ORDER BY seq",
            range,
            f,
        )
    }

    /// Shows the number of each vault row to `f`, in order, all of them: one without a record is a violation.
    pub fn vault_seqs<E: From<Error>>(
        &self,
        mut f: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each("SELECT seq FROM vault ORDER BY seq", [], |row| {
            f(ours(integer(row, 0)?, "vault")?)
        })
    }

    /// Reads a tile.
    pub fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>> {
        self.blob("SELECT hashes FROM tiles WHERE id = ?1", id.0)
    }

    /// Finds the record that the request with this key became.
    pub fn reference(&self, key: &Hash) -> Result<Option<u64>> {
        let seq: Option<i64> = self
            .conn
            .prepare_cached("SELECT seq FROM refs WHERE key = ?1")
            .and_then(|mut s| s.query_row([key.as_bytes()], |row| row.get(0)).optional())
            .map_err(|e| sql("read", e))?;
        seq.map(|seq| ours(seq, "refs")).transpose()
    }

    /// Reads an artefact; refuses bytes that are not those of the hash, and a row that has another name than the index says.
    pub fn artefact(&self, blake3: &Hash) -> Result<Option<Artefact>> {
        let mut statement = self
            .conn
            // By the number that the index has, or SQLite would give us the index's name for the row's own.
            .prepare_cached(
                "SELECT refs, size, bytes, blake3 FROM artefacts WHERE rowid = (SELECT rowid FROM artefacts WHERE blake3 = ?1)",
            )
            .map_err(|e| sql("read", e))?;
        let mut rows = statement
            .query([blake3.as_bytes()])
            .map_err(|e| sql("read", e))?;
        let Some(row) = rows.next().map_err(|e| sql("read", e))? else {
            return Ok(None);
        };
        let refs = ours(integer(row, 0)?, "artefacts")?;
        let corrupt =
            |why: &str| Error::new(ErrorKind::Corrupt, format!("artefact `{blake3}` {why}"));
        if bytes(row, 3)? != blake3.as_bytes() {
            return Err(corrupt("is kept under another name"));
        }
        let size = u32::try_from(integer(row, 1)?)
            .ok()
            .filter(|size| *size <= MAX_ARTEFACT)
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| corrupt("claims an impossible size"))?;
        let bytes = Unpacker::new()?.unpack(bytes(row, 2)?, size)?;
        if bytes.len() != size {
            return Err(corrupt("is not as long as the table says"));
        }
        if blake3::hash(&bytes).as_bytes() != blake3.as_bytes() {
            return Err(corrupt("has bytes with another hash"));
        }
        Ok(Some(Artefact { refs, bytes }))
    }

    /// Shows each artefact's hash, number of users and size to `f`, as the table has them and not its index.
    pub fn artefacts<E: From<Error>>(
        &self,
        mut f: impl FnMut(Hash, u64, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each(
            "SELECT blake3, refs, size FROM artefacts NOT INDEXED",
            [],
            |row| {
                let refs = ours(integer(row, 1)?, "artefacts")?;
                f(name(row)?, refs, ours(integer(row, 2)?, "artefacts")?)
            },
        )
    }

    /// Shows each hash in the index of the artefacts to `f`.
    pub fn indexed_artefacts<E: From<Error>>(
        &self,
        mut f: impl FnMut(Hash) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each(
            "SELECT blake3 FROM artefacts INDEXED BY sqlite_autoindex_artefacts_1",
            [],
            |row| f(name(row)?),
        )
    }

    /// Counts all rows; rows that a walk did not meet show here.
    pub fn counts(&self) -> Result<Counts> {
        let count = |table: &str| -> Result<u64> {
            let rows: i64 = self
                .conn
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                    row.get(0)
                })
                .map_err(|e| sql("read", e))?;
            ours(rows, table)
        };
        Ok(Counts {
            records: count("records")?,
            vault: count("vault")?,
            tiles: count("tiles")?,
            artefacts: count("artefacts")?,
            refs: count("refs")?,
        })
    }

    /// The number of the last record; nothing if there is none. Refuses a table with negative numbers, where no walk would look.
    pub fn last_seq(&self) -> Result<Option<u64>> {
        let Some((first, last)) = self.span()? else {
            return Ok(None);
        };
        ours(first, "records")?;
        Ok(Some(ours(last, "records")?))
    }

    /// The smallest and the largest number of a record, whatever they are.
    pub fn span(&self) -> Result<Option<(i64, i64)>> {
        let (first, last): (Option<i64>, Option<i64>) = self
            .conn
            .prepare_cached("SELECT (SELECT min(seq) FROM records), (SELECT max(seq) FROM records)")
            .and_then(|mut s| s.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
            .map_err(|e| sql("read", e))?;
        Ok(first.zip(last))
    }

    /// Shows each request's key and the record it became to `f`, in the order of the keys.
    pub fn references<E: From<Error>>(
        &self,
        mut f: impl FnMut(&[u8], i64) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each("SELECT key, seq FROM refs ORDER BY key", [], |row| {
            f(bytes(row, 0)?, integer(row, 1)?)
        })
    }

    /// The newest commit statement that was kept.
    pub fn commit_row(&self) -> Result<Option<CommitRow>> {
        self.conn
            .prepare_cached("SELECT statement, signature FROM commits WHERE id = 0")
            .and_then(|mut s| {
                s.query_row([], |row| {
                    Ok(CommitRow {
                        statement: row.get(0)?,
                        signature: row.get(1)?,
                    })
                })
                .optional()
            })
            .map_err(|e| sql("read", e))
    }

    fn blob(&self, statement: &str, id: i64) -> Result<Option<Vec<u8>>> {
        self.conn
            .prepare_cached(statement)
            .and_then(|mut s| s.query_row([id], |row| row.get(0)).optional())
            .map_err(|e| sql("read", e))
    }

    fn walk<E: From<Error>>(
        &self,
        table: &str,
        statement: &str,
        range: Range<u64>,
        mut f: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let (start, end) = (number(range.start), number(range.end));
        self.each(statement, [start, end], |row| {
            f(ours(integer(row, 0)?, table)?, bytes(row, 1)?)
        })
    }

    fn each<E: From<Error>>(
        &self,
        statement: &str,
        values: impl rusqlite::Params,
        mut f: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self
            .conn
            .prepare_cached(statement)
            .map_err(|e| sql("read", e))?;
        let mut rows = statement.query(values).map_err(|e| sql("read", e))?;
        while let Some(row) = rows.next().map_err(|e| sql("read", e))? {
            f(row)?;
        }
        Ok(())
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // Nothing was written; if ending fails, the connection is of no more use to anyone and says so next time.
        let _ = self.conn.execute_batch("ROLLBACK");
    }
}

fn integer(row: &Row<'_>, at: usize) -> Result<i64> {
    row.get(at).map_err(|e| sql("read", e))
}

/// The hash in the first column, by which an artefact is called.
fn name(row: &Row<'_>) -> Result<Hash> {
    Hash::from_slice(bytes(row, 0)?).map_err(|e| {
        Error::new(ErrorKind::Corrupt, "an artefact has no hash for a name").with_source(e)
    })
}

/// The bytes of a column, not copied.
fn bytes<'row>(row: &'row Row<'_>, at: usize) -> Result<&'row [u8]> {
    match row.get_ref(at).map_err(|e| sql("read", e))? {
        ValueRef::Blob(bytes) => Ok(bytes),
        _ => Err(Error::new(
            ErrorKind::Corrupt,
            "a column of bytes holds something else",
        )),
    }
}
