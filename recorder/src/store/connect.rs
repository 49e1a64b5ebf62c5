//! Connections to SQLite, and its errors and numbers in our terms.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Moved;
use crate::error::{Error, ErrorKind, Result};

/// Longest value SQLite will hand out: the longest artefact, and some for what zstd adds to bytes it cannot shrink.
const MAX_VALUE: i32 = (64 << 20) + (1 << 20);

/// How long the writer waits for a lock that only a checkpoint or a recovering reader can hold.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens a connection to which the file's content cannot do anything.
pub(crate) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let conn = Connection::open_with_flags(
        path,
        flags
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_EXRESCODE,
    )
    .map_err(|e| sql("open", e))?;
    let settings = [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
    ];
    for (setting, on) in settings {
        if conn
            .set_db_config(setting, on)
            .map_err(|e| sql("open", e))?
            != on
        {
            return Err(Error::new(
                ErrorKind::Io,
                format!("this SQLite does not know {setting:?}"),
            ));
        }
    }
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 0),
    ] {
        conn.set_limit(limit, value).map_err(|e| sql("open", e))?;
    }
    conn.busy_timeout(PATIENCE).map_err(|e| sql("open", e))?;
    conn.execute_batch(
        "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;",
    )
    .map_err(|e| sql("open", e))?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

pub(super) fn set_for_writing(conn: &Connection) -> Result<()> {
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = ON; PRAGMA cache_spill = OFF;",
    )
    .map_err(|e| sql("open", e))
}

/// SQLite says only "unable to open" of a missing file.
pub(super) fn there(path: &Path) -> Result<()> {
    std::fs::symlink_metadata(path)
        .map(drop)
        .map_err(|e| Error::io("open", path, e))
}

pub(super) fn checkpoint(conn: &Connection, pragma: &str) -> Result<Moved> {
    conn.query_row(pragma, [], |row| {
        let number = |at| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
        Ok(Moved {
            busy: row.get::<_, i64>(0)? != 0,
            frames: number(1)?,
            moved: number(2)?,
        })
    })
    .map_err(|e| sql("checkpoint", e))
}

/// Makes "cannot `act` the log's database: reason" of an error of SQLite.
pub(super) fn sql(act: &str, error: rusqlite::Error) -> Error {
    let (kind, text) = (kind_of(&error), plain(&error));
    let made = Error::new(kind, format!("cannot {act} the log's database: {text}"));
    match kind {
        ErrorKind::Full => made.with_hint("free some space on this file system and try again"),
        _ => made,
    }
    .with_source(error)
}

/// What an error of SQLite says, on one line.
pub(crate) fn plain(error: &rusqlite::Error) -> String {
    error
        .to_string()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// What an error of SQLite is about.
pub(crate) fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    use rusqlite::Error as Sql;
    match error {
        Sql::SqliteFailure(e, _) => match e.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => ErrorKind::Busy,
            ErrorCode::DiskFull => ErrorKind::Full,
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly => {
                ErrorKind::Denied
            }
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => ErrorKind::Corrupt,
            ErrorCode::ConstraintViolation => match e.extended_code {
                rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                | rusqlite::ffi::SQLITE_CONSTRAINT_ROWID
                | rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE => ErrorKind::Exists,
                _ => ErrorKind::Usage,
            },
            ErrorCode::TooBig => ErrorKind::Unrecordable,
            ErrorCode::OperationInterrupted => ErrorKind::Interrupted,
            _ => ErrorKind::Io,
        },
        // STRICT tables hold only what they say; anything else was put there by other means.
        Sql::InvalidColumnType(..)
        | Sql::FromSqlConversionFailure(..)
        | Sql::IntegralValueOutOfRange(..) => ErrorKind::Corrupt,
        _ => ErrorKind::Io,
    }
}

/// A number as SQLite stores it.
pub(super) fn stored(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| {
        Error::new(
            ErrorKind::Unrecordable,
            format!("{number} is too large a number"),
        )
    })
}

/// A number from SQLite; ours are never negative.
pub(super) fn ours(number: i64, table: &str) -> Result<u64> {
    u64::try_from(number).map_err(|_| {
        Error::new(
            ErrorKind::Corrupt,
            format!("the log's table `{table}` holds the negative number {number}"),
        )
    })
}
