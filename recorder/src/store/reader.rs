//! Opening a log that someone else may be writing, or may have left behind.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{AccessFlags, access};
use rusqlite::{Connection, OpenFlags};
use tacho_schemas::Hash;
use tacho_schemas::content::Slot;
use tacho_schemas::tile::Tiles;

use super::connect::{connect, sql, there};
use super::{Snapshot, schema};
use crate::dir::LogDir;
use crate::error::{Error, ErrorKind, Result};

/// Someone who only reads: another process, another user, or an auditor with a copy.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    /// What must not change, if the database is read without locks.
    still: Option<Still>,
    /// Which records it has, if not all of a log.
    part: Option<Part>,
    /// The right edge of the tree as it was last held against what is signed.
    edge: RefCell<Option<Tiles>>,
}

/// Records of a log that were proven by other means than its tiles.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Those that a verified bundle shows.
    Excerpt {
        /// How many the log has.
        size: u64,
        /// The root over all of them.
        root: Hash,
        /// What is withheld of each.
        withheld: HashMap<u64, Vec<Slot>>,
    },
    /// The first ones, up to where a log that is broken was verified.
    First(u64),
}

impl Reader {
    /// Opens the database of a log to read it.
    ///
    /// A directory that we cannot write to, without a live writer and with nothing in the WAL, is read as it lies there, without
    /// locks. It may be a view of one that others write to, so each snapshot sees that nothing has changed.
    pub fn open(dir: &LogDir) -> Result<Self> {
        dir.check_inside()?;
        let wal = match std::fs::symlink_metadata(dir.wal()) {
            Ok(meta) => meta.len(),
            Err(_) => 0,
        };
        let writable = access(dir.path(), AccessFlags::W_OK).is_ok();
        if wal == 0 && !writable && dir.writer()?.is_none() {
            return Self::open_still(dir);
        }
        there(&dir.database())?;
        let opened = connect(&dir.database(), OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|conn| Self::pinned(conn, None));
        match opened {
            Err(e) if e.kind() == ErrorKind::Denied && !writable => Err(e.with_hint(
                "the log was not stopped cleanly: copy its directory to where you can write, and read the copy",
            )),
            other => other,
        }
    }

    /// Opens a database that nobody changes, on a disk that may forbid all writing: no locks, no other files.
    pub(super) fn open_still(dir: &LogDir) -> Result<Self> {
        let still = Still::now(dir)?;
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
        .and_then(|conn| Self::pinned(conn, Some(still)))
    }

    fn pinned(conn: Connection, still: Option<Still>) -> Result<Self> {
        conn.execute_batch("PRAGMA query_only = ON;")
            .map_err(|e| sql("open", e))?;
        schema::check(&conn)?;
        Ok(Self {
            conn,
            still,
            part: None,
            edge: RefCell::default(),
        })
    }

    /// Opens a log that is broken, to read what verification proved of it: the first `size` records, as long as nothing changes that
    /// was there `before` it was verified.
    pub fn open_proven(dir: &LogDir, size: u64, before: Still) -> Result<Self> {
        let mut reader = Self::open(dir)?;
        reader.still = Some(before);
        reader.part = Some(Part::First(size));
        Ok(reader)
    }

    /// What a verified bundle shows, in a database of which nobody else knows.
    pub(crate) fn of_excerpt(conn: Connection, part: Part) -> Result<Self> {
        let mut reader = Self::pinned(conn, None)?;
        reader.part = Some(part);
        Ok(reader)
    }

    /// Which records it has, if not all of a log.
    pub(crate) fn part(&self) -> Option<&Part> {
        self.part.as_ref()
    }

    /// The right edge of the tree when it was last good; it is forgotten until it is good again.
    pub(crate) fn take_edge(&self) -> Option<Tiles> {
        self.edge.take()
    }

    /// Keeps the right edge of a tree that is good.
    pub(crate) fn keep_edge(&self, edge: Tiles) {
        self.edge.replace(Some(edge));
    }

    /// Takes a snapshot: everything read from it is of one moment.
    pub fn snapshot(&self) -> Result<Snapshot<'_>> {
        let snapshot = Snapshot::begin(&self.conn)?;
        match &self.still {
            Some(still) if self.part.is_some() && still.moved()? => Err(Error::new(
                ErrorKind::Corrupt,
                "the log was written to since it was verified",
            )
            .with_hint("verify it again")),
            Some(still) if still.moved()? => Err(Error::new(
                ErrorKind::Busy,
                "the log was written to since it was opened for reading",
            )
            .with_hint("open it again")),
            _ => Ok(snapshot),
        }
    }
}

/// A database that lies still: the same file and write-ahead log, of the same length, changed at the same time. What counts is the
/// time of the last change to the file or its entry, which nobody but the system sets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Still {
    dir: LogDir,
    files: [Option<Mark>; 2],
}

/// Device, number, length, and when it changed.
type Mark = (u64, u64, u64, i64, i64);

impl Still {
    /// What lies there now.
    pub fn now(dir: &LogDir) -> Result<Self> {
        let path = dir.database();
        let meta = std::fs::symlink_metadata(&path).map_err(|e| Error::io("open", &path, e))?;
        let wal = std::fs::symlink_metadata(dir.wal()).ok();
        let mark = |meta: &std::fs::Metadata| {
            let (dev, ino, len) = (meta.dev(), meta.ino(), meta.len());
            (dev, ino, len, meta.ctime(), meta.ctime_nsec())
        };
        Ok(Self {
            dir: dir.clone(),
            // An empty one says nothing, and comes and goes with readers.
            files: [
                Some(mark(&meta)),
                wal.filter(|meta| meta.len() > 0).as_ref().map(mark),
            ],
        })
    }

    fn moved(&self) -> Result<bool> {
        Ok(*self != Self::now(&self.dir)? || self.dir.writer()?.is_some())
    }
}
