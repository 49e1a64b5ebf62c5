//! Opening a log that someone else may be writing, or may have left behind.

use std::path::Path;

use nix::unistd::{AccessFlags, access};
use rusqlite::{Connection, OpenFlags};

use super::connect::{connect, sql, there};
use super::{Snapshot, schema};
use crate::dir::LogDir;
use crate::error::{ErrorKind, Result};

/// Someone who only reads: another process, another user, or an auditor with a copy.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
}

impl Reader {
    /// Opens the database of a log to read it.
    ///
    /// A directory that cannot be written to, with nothing in its WAL, is read as it lies there, without locks; no writer can
    /// be at work in it.
    pub fn open(dir: &LogDir) -> Result<Self> {
        let wal = match std::fs::symlink_metadata(dir.wal()) {
            Ok(meta) => meta.len(),
            Err(_) => 0,
        };
        let writable = access(dir.path(), AccessFlags::W_OK).is_ok();
        if wal == 0 && !writable {
            return Self::open_still(dir);
        }
        there(&dir.database())?;
        let opened =
            connect(&dir.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(Self::pinned);
        match opened {
            Err(e) if e.kind() == ErrorKind::Denied && !writable => Err(e.with_hint(
                "the log was not stopped cleanly: copy its directory to where you can write, and read the copy",
            )),
            other => other,
        }
    }

    /// Opens a database that nobody changes, on a disk that may forbid all writing: no locks, no other files.
    pub(super) fn open_still(dir: &LogDir) -> Result<Self> {
        there(&dir.database())?;
        let mut uri = String::from("file:");
        for byte in dir.database().as_os_str().as_encoded_bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                    uri.push(char::from(*byte));
                }
                other => uri.push_str(&format!("%{other:02X}")),
            }
        }
        uri.push_str("?immutable=1");
        connect(
            Path::new(&uri),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
        )
        .and_then(Self::pinned)
    }

    fn pinned(conn: Connection) -> Result<Self> {
        conn.execute_batch("PRAGMA query_only = ON;")
            .map_err(|e| sql("open", e))?;
        schema::check(&conn)?;
        Ok(Self { conn })
    }

    /// Takes a snapshot: everything read from it is of one moment.
    pub fn snapshot(&self) -> Result<Snapshot<'_>> {
        Snapshot::begin(&self.conn)
    }
}
