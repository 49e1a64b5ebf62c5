//! A bundle, opened to look at it: what it shows goes into a database of which nobody else knows, and is read from there as a log is.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, params};
use tacho_schemas::bundle::{MAX_BLOCK, MAX_STEPS, Step, Told};
use tacho_schemas::content::Slot;
use tacho_schemas::scalar::List;
use tacho_schemas::verify::{Breach, Report};
use tacho_schemas::{Hash, canon};

use super::read::{Met, Question, verify_and};
use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::pack::Packer;
use crate::store::connect::{kind_of, plain};
use crate::store::{Part, Reader};

/// A bundle that was verified, and can be read.
#[derive(Debug)]
pub struct Opened {
    /// Reads the records that it shows.
    pub reader: Reader,
    /// What it says of itself.
    pub told: Told,
    /// What its verification found.
    pub report: Report,
    /// How many records it shows.
    pub shown: u64,
}

/// Opens a bundle. One that does not verify is refused: nothing in it could be believed. `progress` hears how many records of how
/// many were passed.
pub fn open(path: &Path, question: &Question, progress: impl FnMut(u64, u64)) -> Result<Opened> {
    let mut kept = Kept::new()?;
    let (report, told) = verify_and(path, question, progress, |met| kept.meet(met))?;
    // What is gone is gone: a bundle says so like the log.
    let bad = report.integrity.violations.iter();
    if let Some(bad) = bad.into_iter().find(|v| v.breach != Breach::Hole) {
        let what = format!("the bundle {} does not verify: {}", Quoted(path), bad.what);
        return Err(Error::new(ErrorKind::Corrupt, what).with_hint(
            "ask for another copy; `tacho verify FILE` says all that is wrong with this one",
        ));
    }
    let (shown, reader) = kept.end()?;
    Ok(Opened {
        reader,
        told,
        report,
        shown,
    })
}

/// What was met so far.
struct Kept {
    conn: Connection,
    packer: Packer,
    size: u64,
    root: Hash,
    /// The number of the next record.
    next: u64,
    shown: u64,
    withheld: HashMap<u64, Vec<Slot>>,
    /// The file whose pieces are coming.
    file: Option<(Hash, Vec<u8>)>,
}

impl Kept {
    fn new() -> Result<Self> {
        Ok(Self {
            conn: crate::store::scratch()?,
            packer: Packer::new()?,
            size: 0,
            root: Hash::ZERO,
            next: 0,
            shown: 0,
            withheld: HashMap::new(),
            file: None,
        })
    }

    fn meet(&mut self, met: Met<'_>) -> Result<()> {
        match met {
            Met::Head(head) => (self.size, self.root) = (head.size, head.root),
            Met::Steps(bytes) => {
                let steps: List<Step, MAX_STEPS> = canon::decode(bytes, MAX_BLOCK)?;
                steps
                    .as_slice()
                    .iter()
                    .try_for_each(|step| self.step(step))?;
            }
            Met::Piece(piece, bytes) => {
                let begun = self
                    .file
                    .as_ref()
                    .is_some_and(|(of, _)| *of == piece.blake3);
                if !begun {
                    self.put_file()?;
                    self.file = Some((piece.blake3, Vec::new()));
                }
                if let Some((_, all)) = &mut self.file {
                    all.extend_from_slice(bytes);
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let Some(record) = &step.record else {
            self.next = self.next.saturating_add(step.hidden.unwrap_or(0));
            return Ok(());
        };
        let seq = number(self.next)?;
        self.run(
            "INSERT INTO records (seq, bytes) VALUES (?1, ?2)",
            params![seq, record.as_slice()],
        )?;
        if let Some(row) = &step.row {
            let packed = self.packer.pack(row.as_slice())?;
            self.run(
                "INSERT INTO vault (seq, row) VALUES (?1, ?2)",
                params![seq, packed],
            )?;
        }
        let withheld = step.withheld();
        if !withheld.is_empty() {
            self.withheld.insert(self.next, withheld);
        }
        self.shown += 1;
        self.next = self.next.saturating_add(1);
        Ok(())
    }

    fn put_file(&mut self) -> Result<()> {
        let Some((blake3, bytes)) = self.file.take() else {
            return Ok(());
        };
        let size = number(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
        let packed = self.packer.pack(&bytes)?;
        self.run(
            "INSERT OR IGNORE INTO artefacts (blake3, refs, size, bytes) VALUES (?1, 1, ?2, ?3)",
            params![blake3.as_bytes(), size, packed],
        )
    }

    fn run(&self, statement: &str, values: impl rusqlite::Params) -> Result<()> {
        self.conn
            .prepare_cached(statement)
            .and_then(|mut s| s.execute(values))
            .map(drop)
            .map_err(|error| {
                let what = format!("cannot unpack the bundle: {}", plain(&error));
                Error::new(kind_of(&error), what).with_source(error)
            })
    }

    fn end(mut self) -> Result<(u64, Reader)> {
        self.put_file()?;
        self.conn
            .execute_batch("COMMIT")
            .map_err(|error| Error::new(kind_of(&error), plain(&error)).with_source(error))?;
        let part = Part::Excerpt {
            size: self.size,
            root: self.root,
            withheld: self.withheld,
        };
        Ok((self.shown, Reader::of_excerpt(self.conn, part)?))
    }
}

fn number(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| {
        Error::new(
            ErrorKind::Corrupt,
            format!("{number} is too large a number"),
        )
    })
}
