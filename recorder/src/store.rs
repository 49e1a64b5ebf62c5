//! The database of a log: one file, one writer, readers that trust nothing in it.
//!
//! A log's truth is the bytes of its records; tiles, references and the tables' order are conveniences that a verifier
//! computes anew. So a reader pins the tables ([`schema`]), takes one snapshot, and hands out bytes for others to check.
//!
//! Never open `log.db` by other means in a process that has it open here: closing any descriptor of that file drops all of
//! SQLite's locks on it (POSIX). The `-wal` file is not locked and may be looked at.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use rusqlite::{Connection, OpenFlags};

use crate::dir::{Lock, LogDir};
use crate::error::{Error, ErrorKind, Result};
use crate::files;

mod batch;
pub(crate) mod connect;
mod reader;
pub mod schema;
mod snapshot;

use connect::{checkpoint, connect, set_for_writing, sql, stored, there};

pub use batch::{Batch, Put};
pub(crate) use reader::Part;
pub use reader::{Reader, Still};
pub use snapshot::{Artefact, CommitRow, Counts, Snapshot};

/// Longest artefact, unpacked.
pub const MAX_ARTEFACT: u32 = 64 << 20;

/// Longest record; longer ones do not exist in the format.
pub const MAX_RECORD: u16 = u16::MAX;

/// Space is taken for the write-ahead log in steps of this size.
const WAL_STEP: u64 = 4 << 20;

/// The writer's database.
///
/// Settings that matter: WAL with `synchronous=FULL` (one fsync per commit), no automatic checkpoint (it would sit in an
/// acknowledgement's path), no checkpoint on close (a poisoned writer must leave the evidence alone), no cache spill and a
/// WAL begun anew by the first write (what [`crate::wal`] relies on), `secure_delete` (an erased text leaves no free page).
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    page_size: u64,
    /// For taking space ahead of a commit; opened when first needed.
    wal: Option<File>,
    wal_path: std::path::PathBuf,
    /// Bytes from the start of the WAL for which space is taken.
    wal_held: u64,
    /// About so many bytes were added to the WAL since all of it was moved. Its length says nothing of that: the file is written anew
    /// from the start and never gets shorter.
    unmoved: u64,
    poisoned: bool,
}

/// A database with our tables of which nobody else knows; it ends with its connection. All that is put into it is one transaction.
pub(crate) fn scratch() -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let conn = connect(std::path::Path::new(""), flags)?;
    conn.execute_batch(&format!("PRAGMA page_size = {};", schema::PAGE_SIZE))
        .map_err(|e| sql("create", e))?;
    schema::create(&conn)?;
    conn.execute_batch("BEGIN").map_err(|e| sql("create", e))?;
    Ok(conn)
}

impl Store {
    /// Makes the database of a new log.
    ///
    /// Order: file (0600) → tables in one commit → WAL emptied → fsync of the directory. A crash before the end leaves a
    /// database that is refused as not that of a log; nothing was recorded in it.
    pub fn create(dir: &LogDir, _writer: &Lock) -> Result<Self> {
        let path = dir.database();
        // SQLite gives its other files the mode of this one.
        drop(files::create_new(&path)?);
        let conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.execute_batch(&format!(
            "PRAGMA page_size = {}; PRAGMA journal_mode = WAL;",
            schema::PAGE_SIZE
        ))
        .map_err(|e| sql("create", e))?;
        set_for_writing(&conn)?;
        schema::create(&conn)?;
        let store = Self::of(conn, dir)?;
        store.truncate()?;
        files::sync_dir(dir.path())?;
        Ok(store)
    }

    /// Opens the database of a log for its one writer; look at the WAL ([`crate::wal::inspect`]) before.
    ///
    /// SQLite takes what the WAL holds; then it is moved into the database, and the first commit begins the WAL anew. Until then the
    /// file keeps its bytes: a log that was not stopped cleanly and has an empty WAL is one whose WAL was taken away.
    pub fn open_writer(dir: &LogDir, _writer: &Lock) -> Result<Self> {
        let path = dir.database();
        there(&path)?;
        let conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        set_for_writing(&conn)?;
        let store = Self::of(conn, dir)?;
        let mode: String = store
            .conn
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .map_err(|e| sql("open", e))?;
        if mode != "wal" {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "the log's database is not in write-ahead mode",
            ));
        }
        if store.wal_bytes()? > 0 {
            store.move_all("RESTART")?;
        }
        Ok(store)
    }

    fn of(conn: Connection, dir: &LogDir) -> Result<Self> {
        Ok(Self {
            page_size: schema::check(&conn)?.into(),
            conn,
            wal: None,
            wal_path: dir.wal(),
            wal_held: 0,
            unmoved: 0,
            poisoned: false,
        })
    }

    /// Begins a transaction of writes; fails with [`ErrorKind::Busy`] if the database is locked.
    pub fn batch(&mut self) -> Result<Batch<'_>> {
        self.sound()?;
        Batch::begin(self)
    }

    /// Reads what is committed, through the writer's connection.
    pub fn snapshot(&self) -> Result<Snapshot<'_>> {
        self.sound()?;
        Snapshot::begin(&self.conn)
    }

    /// Says whether a commit failed: nothing more is written until the log is opened again.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Bytes in the write-ahead log.
    pub fn wal_bytes(&self) -> Result<u64> {
        match std::fs::symlink_metadata(&self.wal_path) {
            Ok(meta) => Ok(meta.len()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(Error::io("read", &self.wal_path, e)),
        }
    }

    /// Moves everything into the database and empties the WAL: the last act of a clean stop, and after an erasure.
    ///
    /// [`ErrorKind::Busy`] if a reader holds an older snapshot; nothing is lost then.
    pub fn wal_truncate(&mut self) -> Result<()> {
        self.sound()?;
        self.truncate()?;
        (self.wal_held, self.unmoved) = (0, 0);
        Ok(())
    }

    /// About how many bytes of the write-ahead log wait to be moved into the database.
    pub fn unmoved(&self) -> u64 {
        self.unmoved
    }

    /// Moves what another connection's checkpoint left over: after it, the next commit starts the WAL anew.
    ///
    /// What cannot be moved now stays where it is, durable all the same, and is tried again when half as much has been added.
    pub fn move_the_rest(&mut self) -> Result<()> {
        self.sound()?;
        let moved = checkpoint(&self.conn, "PRAGMA wal_checkpoint(PASSIVE)")?;
        self.unmoved = match moved.busy || moved.moved < moved.frames {
            true => self.unmoved / 2,
            false => 0,
        };
        Ok(())
    }

    fn truncate(&self) -> Result<()> {
        self.move_all("TRUNCATE")
    }

    /// Moves everything into the database, so that the next commit begins the WAL anew, with other salts.
    fn move_all(&self, mode: &str) -> Result<()> {
        let moved = checkpoint(&self.conn, &format!("PRAGMA wal_checkpoint({mode})"))?;
        if moved.busy {
            return Err(Error::new(
                ErrorKind::Busy,
                "a reader keeps the log's write-ahead log in use",
            )
            .with_hint("close what reads the log and try again"));
        }
        Ok(())
    }

    /// Takes disk space for so many more bytes of WAL, so that a full disk shows before the COMMIT and not in it.
    fn hold_wal_space(&mut self, more: u64) -> Result<()> {
        let mut file: &File = match self.wal {
            Some(ref file) => file,
            None => {
                let mut options = std::fs::OpenOptions::new();
                options.write(true).custom_flags(OFlag::O_NOFOLLOW.bits());
                let opened = options.open(&self.wal_path);
                self.wal
                    .insert(opened.map_err(|e| Error::io("open", &self.wal_path, e))?)
            }
        };
        // Not by its metadata: since Linux 6.13 a file whose times were asked for gets new ones with the next write, and then the fsync
        // writes the inode too, which makes a commit half as long again.
        let end = file
            .seek(SeekFrom::End(0))
            .map_err(|e| Error::io("read", &self.wal_path, e))?
            .saturating_add(more);
        if end <= self.wal_held {
            return Ok(());
        }
        // KEEP_SIZE: the file does not get longer, so nobody ever reads what was not written.
        let take = |end: u64| {
            fallocate(
                file,
                FallocateFlags::FALLOC_FL_KEEP_SIZE,
                0,
                i64::try_from(end).unwrap_or(i64::MAX),
            )
        };
        // Where a whole step is too much, what is needed now may still fit.
        let step = end.next_multiple_of(WAL_STEP);
        let taken = match take(step).map(|()| step) {
            Err(Errno::ENOSPC | Errno::EDQUOT) => take(end).map(|()| end),
            other => other,
        };
        match taken {
            Ok(held) => self.wal_held = held,
            // Where space cannot be taken, a full disk shows in the COMMIT, and poisons.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => self.wal_held = step,
            Err(errno) => return Err(Error::io("take space for", &self.wal_path, errno.into())),
        }
        Ok(())
    }

    fn sound(&self) -> Result<()> {
        if self.poisoned {
            return Err(Error::new(
                ErrorKind::Poisoned,
                "an earlier commit failed, and what is on disk is unknown",
            )
            .with_hint("stop and start the recorder: it reads the log anew"));
        }
        Ok(())
    }
}

/// Moves committed pages from the WAL into the database, from a thread of its own.
#[derive(Debug)]
pub struct Checkpointer {
    conn: Connection,
}

/// What a checkpoint found and did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moved {
    /// Something was in the way, and not all was done.
    pub busy: bool,
    /// Frames in the WAL.
    pub frames: u64,
    /// Frames of it that are in the database now.
    pub moved: u64,
}

impl Checkpointer {
    /// Opens a second connection of the writer's process.
    pub fn open(dir: &LogDir, _writer: &Lock) -> Result<Self> {
        there(&dir.database())?;
        let conn = connect(&dir.database(), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        set_for_writing(&conn)?;
        schema::check(&conn)?;
        Ok(Self { conn })
    }

    /// Moves what can be moved without making anyone wait.
    pub fn checkpoint_passive(&self) -> Result<Moved> {
        checkpoint(&self.conn, "PRAGMA wal_checkpoint(PASSIVE)")
    }
}

/// The number of a tree tile: its level, then its index in the level.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TileId(i64);

impl TileId {
    /// Makes the number; an index has 48 bits.
    pub fn new(level: u8, index: u64) -> Result<Self> {
        if index >> 48 != 0 {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("there is no tile with index {index}"),
            ));
        }
        Ok(Self(i64::from(level) << 48 | stored(index)?))
    }
}

#[cfg(test)]
mod tests;
