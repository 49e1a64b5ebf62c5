//! The tables, letter by letter.
//!
//! A reader compares what is in the file with this list and refuses anything else: a view or a trigger would be a program
//! that whoever wrote the file runs in the reader.

use rusqlite::Connection;

use super::connect::sql;
use crate::error::{Error, ErrorKind, Result};

/// `tach`, in the database's header.
pub const APPLICATION_ID: i32 = 0x7461_6368;

/// The version of the tables.
pub const USER_VERSION: i32 = 1;

/// Bytes of a page of a new log. A commit writes whole pages, three of them for one record: short ones are soon durable, and long
/// ones waste less of themselves on rows that do not fit any more.
pub const PAGE_SIZE: u16 = 8192;

/// What pages of a log may have: earlier ones were made with the shortest and with the longest.
const PAGE_SIZES: std::ops::RangeInclusive<u16> = 4096..=16_384;

/// Each table with its statement, and whether SQLite adds an index of its own for it.
///
/// `artefacts` has rowids and that index, since SQLite keeps rows of a `WITHOUT ROWID` table in the search tree itself: good for
/// the few bytes of `refs`, bad for rows of many kilobytes. `refs` is a cache of what the records say, to find a repeated
/// request at once.
const TABLES: [(&str, &str, bool); 6] = [
    (
        "records",
        "CREATE TABLE records (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT",
        false,
    ),
    (
        "vault",
        "CREATE TABLE vault (seq INTEGER PRIMARY KEY, row BLOB NOT NULL) STRICT",
        false,
    ),
    (
        "tiles",
        "CREATE TABLE tiles (id INTEGER PRIMARY KEY, hashes BLOB NOT NULL) STRICT",
        false,
    ),
    (
        "artefacts",
        "CREATE TABLE artefacts (blake3 BLOB PRIMARY KEY NOT NULL, refs INTEGER NOT NULL, size INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT",
        true,
    ),
    (
        "refs",
        "CREATE TABLE refs (key BLOB PRIMARY KEY NOT NULL, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        false,
    ),
    (
        "commits",
        "CREATE TABLE commits (id INTEGER PRIMARY KEY CHECK (id = 0), statement BLOB NOT NULL, signature BLOB NOT NULL) STRICT",
        false,
    ),
];

/// Makes all tables and writes the two numbers into the header, in one transaction.
pub(super) fn create(conn: &Connection) -> Result<()> {
    let mut text = String::from("BEGIN IMMEDIATE;\n");
    for (_, statement, _) in TABLES {
        text.push_str(statement);
        text.push_str(";\n");
    }
    text.push_str(&format!(
        "PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {USER_VERSION};\nCOMMIT;"
    ));
    conn.execute_batch(&text).map_err(|e| sql("create", e))
}

/// Refuses a database that is not exactly one of ours; returns the size of its pages.
pub(super) fn check(conn: &Connection) -> Result<u16> {
    let number = |pragma: &str| -> Result<i32> {
        conn.query_row(pragma, [], |row| row.get(0))
            .map_err(|e| sql("open", e))
    };
    if number("PRAGMA application_id")? != APPLICATION_ID {
        return Err(Error::new(
            ErrorKind::Corrupt,
            "the database is not that of a log",
        ));
    }
    let version = number("PRAGMA user_version")?;
    if version > USER_VERSION {
        return Err(Error::new(
            ErrorKind::NewerVersion,
            format!(
                "the log's tables have version {version}, and this program knows {USER_VERSION}"
            ),
        )
        .with_hint("use the newer version of tacho that wrote it"));
    }
    if version != USER_VERSION {
        return Err(differs(&format!("version {version}")));
    }
    let page_size = u16::try_from(number("PRAGMA page_size")?)
        .ok()
        .filter(|size| PAGE_SIZES.contains(size))
        .ok_or_else(|| differs("page size"))?;

    let mut found = {
        let mut statement = conn
            .prepare_cached("SELECT type, name, tbl_name, sql FROM sqlite_schema")
            .map_err(|e| sql("open", e))?;
        let rows = statement
            .query_map([], |row| {
                Ok(Entry {
                    sort: row.get(0)?,
                    name: row.get(1)?,
                    table: row.get(2)?,
                    sql: row.get(3)?,
                })
            })
            .map_err(|e| sql("open", e))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
            .map_err(|e| sql("open", e))?
    };
    found.sort_unstable();
    let mut expected = expected();
    for entry in &found {
        let Some(at) = expected.iter().position(|e| e == entry) else {
            return Err(differs(&format!(
                "{} `{}`",
                plain(&entry.sort),
                plain(&entry.name)
            )));
        };
        expected.swap_remove(at);
    }
    match expected.first() {
        Some(missing) => Err(differs(&format!("{} `{}`", missing.sort, missing.name))),
        None => Ok(page_size),
    }
}

/// One row of SQLite's own list of tables.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Entry {
    sort: String,
    name: String,
    table: String,
    sql: Option<String>,
}

fn expected() -> Vec<Entry> {
    let mut all = Vec::new();
    for (name, statement, index) in TABLES {
        all.push(Entry {
            sort: "table".to_owned(),
            name: name.to_owned(),
            table: name.to_owned(),
            sql: Some(statement.to_owned()),
        });
        if index {
            all.push(Entry {
                sort: "index".to_owned(),
                name: format!("sqlite_autoindex_{name}_1"),
                table: name.to_owned(),
                sql: None,
            });
        }
    }
    all
}

fn differs(what: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("the tables of the log are not those that tacho makes: {what}"),
    )
    .with_hint("someone changed the database; verify a copy that was kept elsewhere")
}

/// A name from a hostile file, short and on one line.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control() && *c != '`')
        .take(64)
        .collect()
}
