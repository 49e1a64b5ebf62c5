//! What the disk, SQLite and the processor do without us.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::corpus::Corpus;
use crate::term::Failure;

/// A file to which each record is appended and made durable by itself.
#[derive(Debug)]
pub(super) struct Raw {
    file: File,
    next: u64,
}

impl Raw {
    pub(super) fn make(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().append(true).create_new(true).open(path);
        Ok(Self {
            file: file.map_err(|e| io(&e))?,
            next: 0,
        })
    }

    /// Appends for so long; returns what each record took, and what the fdatasync of it took.
    pub(super) fn run(
        &mut self,
        corpus: &Corpus,
        time: Duration,
    ) -> Result<Vec<(Duration, Duration)>, Failure> {
        let (began, mut samples) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            let bytes = corpus.payload(self.next);
            self.next += 1;
            let start = Instant::now();
            self.file.write_all(&bytes).map_err(|e| io(&e))?;
            let written = Instant::now();
            self.file.sync_data().map_err(|e| io(&e))?;
            samples.push((start.elapsed(), written.elapsed()));
        }
        Ok(samples)
    }
}

/// Records of a transaction of bare SQLite.
const PER_COMMIT: u64 = 256;

/// Bare SQLite: one table, one row a record, WAL, synchronous=FULL.
#[derive(Debug)]
pub(super) struct Sqlite {
    conn: Connection,
    next: i64,
}

impl Sqlite {
    pub(super) fn make(path: &Path) -> Result<Self, Failure> {
        let conn = Connection::open(path).map_err(|e| sql(&e))?;
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE records (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;",
        )
        .map_err(|e| sql(&e))?;
        Ok(Self { conn, next: 0 })
    }

    /// Writes whole transactions until `go_on`, which hears how many records there are, says no; returns how many there are then.
    pub(super) fn write(
        &mut self,
        corpus: &Corpus,
        go_on: impl Fn(u64) -> bool,
    ) -> Result<u64, Failure> {
        let mut count = 0;
        while go_on(count) {
            self.commit(corpus)?;
            count += PER_COMMIT;
        }
        Ok(count)
    }

    fn commit(&mut self, corpus: &Corpus) -> Result<(), Failure> {
        let transaction = self.conn.transaction().map_err(|e| sql(&e))?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO records (seq, bytes) VALUES (?1, ?2)")
                .map_err(|e| sql(&e))?;
            for _ in 0..PER_COMMIT {
                let bytes = corpus.payload(u64::try_from(self.next).unwrap_or(0));
                insert.execute((self.next, bytes)).map_err(|e| sql(&e))?;
                self.next += 1;
            }
        }
        transaction.commit().map_err(|e| sql(&e))
    }
}

/// BLAKE3 and SHA-256 of each of these, on this thread; returns the time it took.
pub(super) fn hashes(items: &[Vec<u8>]) -> Duration {
    let began = Instant::now();
    for bytes in items {
        black_box(blake3::hash(black_box(bytes)));
        black_box(Sha256::digest(black_box(bytes)));
    }
    began.elapsed()
}

fn io(error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot write: {error}"))
}

fn sql(error: &rusqlite::Error) -> Failure {
    Failure::new(format!("SQLite: {error}"))
}
