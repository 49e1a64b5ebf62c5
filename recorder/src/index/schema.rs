//! The index's file: its tables, how it is opened, and its errors.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::dir::LogDir;
use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::files;
use crate::store::connect::{connect, kind_of, plain};

/// `taci`, in the database's header.
const APPLICATION_ID: i32 = 0x7461_6369;

/// What wrote the index. Another version may see other facts in the same records, so it makes its own.
pub(super) const MADE_BY: &str = concat!("1/", env!("CARGO_PKG_VERSION"));

/// Records whose times are summed up in one row of `blocks`.
pub(super) const BLOCK: u64 = 1024;

/// How long to wait for another process that follows the same log: its transactions are shorter.
const PATIENCE: Duration = Duration::from_secs(5);

/// All tables but [`WORDS`].
const TABLES: &str = "
CREATE TABLE stamp (id INTEGER PRIMARY KEY CHECK (id = 0), made_by TEXT NOT NULL, origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL) STRICT;
CREATE TABLE blocks (block INTEGER PRIMARY KEY, oldest INTEGER NOT NULL, newest INTEGER NOT NULL) STRICT;
CREATE TABLE effects (cause INTEGER NOT NULL, effect INTEGER NOT NULL, relation INTEGER NOT NULL, PRIMARY KEY (cause, effect, relation)) STRICT, WITHOUT ROWID;
CREATE TABLE names (key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (key, value)) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (seq INTEGER PRIMARY KEY, agent TEXT NOT NULL, harness TEXT, lineage INTEGER, parent INTEGER, opened INTEGER NOT NULL, closed INTEGER, records INTEGER NOT NULL, newest INTEGER NOT NULL) STRICT;
CREATE TABLE generations (seq INTEGER PRIMARY KEY, lineage INTEGER NOT NULL, time INTEGER NOT NULL, ordinal INTEGER, branch TEXT, fate INTEGER NOT NULL, parents TEXT NOT NULL) STRICT;
CREATE INDEX generations_of ON generations (lineage, seq);
CREATE TABLE evaluations (seq INTEGER PRIMARY KEY, subject INTEGER, benchmark TEXT, metric TEXT, score TEXT, passed INTEGER) STRICT;
CREATE INDEX evaluations_of ON evaluations (subject, seq);
";

/// The words. What erasures delete from them must be found without its text, hence `contentless_delete`.
pub(super) const WORDS: &str = "CREATE VIRTUAL TABLE words USING fts5 (facts, text, path, content='', contentless_delete=1, tokenize='unicode61');";

/// The tables' names, to empty them.
const NAMES: [&str; 7] = [
    "stamp",
    "blocks",
    "effects",
    "names",
    "sessions",
    "generations",
    "evaluations",
];

/// An error of the index, and not of the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct OfIndex(String);

/// Says whether the index is at fault and can be made anew.
pub(super) fn is_damage(error: &Error) -> bool {
    error.kind() == ErrorKind::Corrupt && is_of_index(error)
}

/// Says whether the index is what failed.
pub(super) fn is_of_index(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<OfIndex>())
}

/// Makes "cannot `act` the index: reason" of an error of SQLite.
pub(super) fn sql(act: &str) -> impl Fn(rusqlite::Error) -> Error {
    move |error| {
        let (kind, text) = (kind_of(&error), plain(&error));
        Error::new(kind, format!("cannot {act} the index: {text}")).with_source(OfIndex(text))
    }
}

pub(super) fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the index is damaged: {what}"))
        .with_source(OfIndex(what.to_owned()))
}

/// A number as the index stores it.
pub(super) fn stored(number: u64) -> i64 {
    // No log gets there; what lies beyond is found nowhere.
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from the index.
pub(super) fn ours(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| damaged("a negative number"))
}

/// Opens the index that is kept beside a log, and makes it if there is none or another sort of file stands there.
pub(super) fn open_kept(dir: &LogDir) -> Result<Connection> {
    let path = dir.index();
    let base = fs::symlink_metadata(dir.path()).map_err(|e| Error::io("open", dir.path(), e))?;
    if base.uid() != geteuid().as_raw() {
        let what = format!("{} belongs to another user", Quoted(dir.path()));
        return Err(Error::new(ErrorKind::Denied, what));
    }
    for _ in 0..3 {
        match files::create_new(&path) {
            Ok(file) => drop(file),
            Err(error) if error.kind() == ErrorKind::Exists => {}
            Err(error) => return Err(error),
        }
        let opened = plain_file(&path)
            .and_then(|()| prepare(connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?));
        match opened {
            Err(error) if error.kind() == ErrorKind::Corrupt => remove(&path)?,
            other => return other,
        }
    }
    Err(Error::new(
        ErrorKind::Busy,
        "the index is replaced again and again",
    ))
}

/// Refuses what we did not make. Only looks: closing a descriptor of a database would drop SQLite's locks on it.
fn plain_file(path: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(path).map_err(|e| Error::io("open", path, e))?;
    match meta.is_file() && meta.uid() == geteuid().as_raw() && meta.mode() & 0o077 == 0 {
        true => Ok(()),
        false => Err(damaged("it is not a file of ours alone")),
    }
}

/// Opens an index that nobody else sees and that is gone when closed.
pub(super) fn open_private() -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    prepare(connect(Path::new(""), flags)?)
}

/// Removes the index and SQLite's files beside it.
pub(super) fn remove(path: &Path) -> Result<()> {
    files::remove_if_there(path)?;
    for ending in ["-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        files::remove_if_there(&PathBuf::from(name))?;
    }
    Ok(())
}

fn prepare(conn: Connection) -> Result<Connection> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(sql("open"))?;
    conn.busy_timeout(PATIENCE).map_err(sql("open"))?;
    // Larger pages than usual: most of the file is words, written once from one end to the other.
    // A crash may cost the newest rows but not the file's order; erased words leave no free page.
    conn.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON; PRAGMA cache_size = -32768;",
    )
    .map_err(sql("open"))?;
    let transaction = Transaction::begin(&conn, "BEGIN IMMEDIATE")?;
    if entries(&conn)?.is_empty() {
        conn.execute_batch(TABLES).map_err(sql("make"))?;
        conn.execute_batch(WORDS).map_err(sql("make"))?;
        conn.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID};"))
            .map_err(sql("make"))?;
        // What is gathered before it is sorted and written stays in a core's own cache; the pieces are many, so more of them lie side by
        // side before they are merged. A piece's leaf fills a page.
        conn.execute_batch(
            "INSERT INTO words (words, rank) VALUES ('hashsize', 524288), ('automerge', 16), ('pgsz', 8100);",
        )
        .map_err(sql("make"))?;
        transaction.commit()?;
    } else {
        let id: i32 = conn
            .query_row("PRAGMA application_id", [], |row| row.get(0))
            .map_err(sql("open"))?;
        let model = Connection::open_in_memory().map_err(sql("open"))?;
        model.execute_batch(TABLES).map_err(sql("open"))?;
        model.execute_batch(WORDS).map_err(sql("open"))?;
        if id != APPLICATION_ID || entries(&conn)? != entries(&model)? {
            return Err(damaged("its tables are others"));
        }
        drop(transaction);
    }
    Ok(conn)
}

/// Names and statements of everything in a database.
fn entries(conn: &Connection) -> Result<Vec<(String, String)>> {
    let mut statement = conn
        .prepare("SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema ORDER BY 1, 2")
        .map_err(sql("open"))?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(sql("open"))?;
    rows.collect::<rusqlite::Result<_>>().map_err(sql("open"))
}

/// Empties all tables, within the caller's transaction.
pub(super) fn empty(conn: &Connection) -> Result<()> {
    for name in NAMES {
        conn.execute_batch(&format!("DELETE FROM {name}"))
            .map_err(sql("empty"))?;
    }
    conn.execute_batch("INSERT INTO words (words) VALUES ('delete-all')")
        .map_err(sql("empty"))
}

/// A transaction that is undone unless committed.
pub(super) struct Transaction<C: Deref<Target = Connection>> {
    conn: C,
    ended: bool,
}

impl<C: Deref<Target = Connection>> Transaction<C> {
    pub(super) fn begin(conn: C, how: &str) -> Result<Self> {
        conn.execute_batch(how).map_err(sql("use"))?;
        Ok(Self { conn, ended: false })
    }

    pub(super) fn commit(mut self) -> Result<()> {
        self.conn.execute_batch("COMMIT").map_err(sql("write"))?;
        self.ended = true;
        Ok(())
    }
}

impl<C: Deref<Target = Connection>> Deref for Transaction<C> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.conn
    }
}

impl<C: Deref<Target = Connection>> Drop for Transaction<C> {
    fn drop(&mut self) {
        if !self.ended {
            // If this fails, the connection says so at its next use.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
    }
}
