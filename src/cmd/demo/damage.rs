//! What the demo does to copies of the log, beneath all of our own checks.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rusqlite::Connection;
use tacho_recorder::pack::{Packer, Unpacker};
use tacho_schemas::Seq;
use tacho_schemas::content::{Field, MAX_ROW, Row};

use crate::place;
use crate::term::Failure;

/// Copies a log that nobody writes, keys and all.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| {
        Failure::new(format!(
            "cannot copy `{}`: {}",
            from.display(),
            place::plain(&e)
        ))
    };
    fs::DirBuilder::new()
        .mode(0o700)
        .create(to)
        .map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target).map_err(failed)?;
        }
    }
    Ok(())
}

/// Replaces bytes of a record, of the same length.
pub(super) fn edit_record(log: &Path, seq: Seq, old: &str, new: &str) -> Result<(), Failure> {
    let database = open(log)?;
    let seq = number(seq)?;
    let mut bytes: Vec<u8> = database
        .query_row("SELECT bytes FROM records WHERE seq = ?1", [seq], |row| {
            row.get(0)
        })
        .map_err(failed)?;
    let at = bytes
        .windows(old.len())
        .position(|window| window == old.as_bytes())
        .ok_or_else(|| Failure::new(format!("record {seq} does not hold `{old}`")))?;
    bytes.splice(at..at + old.len(), new.bytes());
    change(
        &database,
        "UPDATE records SET bytes = ?2 WHERE seq = ?1",
        seq,
        &bytes,
    )
}

/// Replaces a text in the vault, and leaves its salt and its commitment as they are.
pub(super) fn edit_text(log: &Path, seq: Seq, field: Field, new: &str) -> Result<(), Failure> {
    let database = open(log)?;
    let seq = number(seq)?;
    let packed: Vec<u8> = database
        .query_row("SELECT row FROM vault WHERE seq = ?1", [seq], |row| {
            row.get(0)
        })
        .map_err(failed)?;
    let mut row = Row::decode(&Unpacker::new()?.unpack(&packed, MAX_ROW)?)?;
    match row
        .content
        .as_mut()
        .and_then(|c| c.get_mut(&field.number()))
    {
        Some(held) => held.bytes = new.into(),
        None => return Err(Failure::new(format!("record {seq} has no `{field}`"))),
    }
    let packed = Packer::new()?.pack(&row.encode()?)?;
    change(
        &database,
        "UPDATE vault SET row = ?2 WHERE seq = ?1",
        seq,
        &packed,
    )
}

fn open(log: &Path) -> Result<Connection, Failure> {
    Connection::open(log.join("log.db")).map_err(failed)
}

fn number(seq: Seq) -> Result<i64, Failure> {
    i64::try_from(seq.0).map_err(|e| Failure::new(e.to_string()))
}

fn change(database: &Connection, statement: &str, seq: i64, bytes: &[u8]) -> Result<(), Failure> {
    let changed = database
        .execute(statement, rusqlite::params![seq, bytes])
        .map_err(failed)?;
    if changed != 1 {
        return Err(Failure::new(format!("record {seq} was not damaged")));
    }
    Ok(())
}

fn failed(error: rusqlite::Error) -> Failure {
    Failure::new(format!("cannot damage the copy: {error}"))
}
