//! Verification of a log on disk: reads what `schemas` judges.
//!
//! Records and vault rows are read and checked by a few threads, each with a connection of its own; one thread folds what they
//! found, in order. Memory does not grow with the log.

mod check;
mod walk;

use std::convert::Infallible;
use std::ops::ControlFlow;

use tacho_schemas::receipt::Commit;
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::{Anchor, Breach, Evidence, Fold, Mark, Report};
use tacho_schemas::{Fixed, Seq};

use self::walk::{Halt, Walk, compare_artefacts, compare_references};
use crate::checkpoints;
use crate::dir::LogDir;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Reader, Snapshot};
use crate::wal::{self, Wal};

/// Records that one thread checks at a time: one tile.
const CHUNK: u64 = 256;

/// Numbers that may be missing before a record; one farther out was put there so that we look for a long time.
const FAR: u64 = 1 << 20;

/// What is asked of a log.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The vault and the artefacts are not looked at.
    pub skip_vault: bool,
    /// The identity key that is trusted, and why.
    pub trust: Option<(Fingerprint, Anchor)>,
    /// Marks kept outside the directory.
    pub marks: Vec<Mark>,
    /// How many threads read and check; 0 for as many as there are cores.
    pub threads: usize,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Step {
    /// Records that were read.
    pub done: u64,
    /// How many there are.
    pub all: u64,
    /// They were verified before: it is only looked whether they are what they were.
    pub again: bool,
    /// Nothing that is wrong was found so far.
    pub sound: bool,
}

/// A verification that can be stopped and gone on with, and that goes on with newer records.
///
/// What it remembers, in memory alone, is where it was when all before was sound. It trusts nobody that this is still so: every
/// byte below is read again and must come to the same tree and the same texts, and each artefact to its name, or all is verified from
/// nothing. What is saved is the work on what the bytes say: signatures, the chain, commitments.
#[derive(Debug, Default)]
pub struct Audit {
    kept: Option<Walk>,
}

impl Audit {
    /// Verifies a log, as [`audit`] does, and goes on where it was. `progress` hears how far it is, and can stop it.
    pub fn go_on<B>(
        &mut self,
        dir: &LogDir,
        question: &Question,
        mut progress: impl FnMut(Step) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B, Report>> {
        run(dir, question, Some(&mut self.kept), &mut progress)
    }

    /// How many records were sound when they were read last: what need only be read again.
    pub fn known(&self) -> u64 {
        self.kept.as_ref().map_or(0, |walk| walk.fold.size())
    }
}

/// Verifies a log. `progress` hears how many records of how many are done.
///
/// An error means that the question could not be asked at all; everything that is wrong with the log is in the report.
pub fn audit(
    dir: &LogDir,
    question: &Question,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report> {
    let mut progress = |step: Step| {
        progress(step.done, step.all);
        ControlFlow::<Infallible>::Continue(())
    };
    match run(dir, question, None, &mut progress)? {
        ControlFlow::Continue(report) => Ok(report),
        ControlFlow::Break(never) => match never {},
    }
}

/// Verifies a log; `kept` is where it was before, and then where it is, if anybody asks for that.
fn run<B>(
    dir: &LogDir,
    question: &Question,
    mut kept: Option<&mut Option<Walk>>,
    progress: &mut impl FnMut(Step) -> ControlFlow<B>,
) -> Result<ControlFlow<B, Report>> {
    let mut findings = Vec::new();
    let live = dir.writer()?.is_some();
    if !live {
        findings.extend(look_at_wal(dir)?);
    }
    let mut evidence = Evidence {
        trust: question.trust,
        marks: question.marks.clone(),
        ..Evidence::default()
    };
    let unreadable = |error, evidence, findings| {
        unreadable(error, evidence, findings).map(ControlFlow::Continue)
    };
    // Before the records: then those that they speak of are there.
    let malformed = read_checkpoints(dir, &mut evidence)?;
    let reader = match Reader::open(dir) {
        Ok(reader) => reader,
        Err(error) => return unreadable(error, evidence, findings),
    };
    let snapshot = match reader.snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => return unreadable(error, evidence, findings),
    };
    findings.extend(malformed);
    match read_commit(&snapshot) {
        Ok(commit) => evidence.commit = commit,
        Err(what) => findings.push((Breach::Commit, what)),
    }
    let counts = match snapshot.counts() {
        Ok(counts) => counts,
        Err(error) => return unreadable(error, evidence, findings),
    };
    let span = match snapshot.span() {
        Ok(span) => span,
        Err(error) => return unreadable(error, evidence, findings),
    };
    let last = span.and_then(|(_, last)| u64::try_from(last).ok());
    let mut size = last.map_or(0, |last| last.saturating_add(1));
    if span.is_some_and(|(first, _)| first < 0) {
        let what = "the log holds records with negative numbers";
        findings.push((Breach::Store, what.to_owned()));
    }
    if size > counts.records.saturating_add(FAR) {
        let what = format!(
            "a record has the number {}, but there are {} records",
            size.saturating_sub(1),
            counts.records
        );
        findings.push((Breach::Store, what));
        size = counts.records;
    }

    let vault = !question.skip_vault;
    let known = match (kept.as_deref(), findings.is_empty()) {
        (Some(Some(walk)), true) => walk.clone().up_to(size, vault, &evidence),
        _ => None,
    };
    let goes_on = known.is_some();
    let mut walk = known.unwrap_or_else(|| {
        let mut fold = Fold::new(evidence.sizes());
        for (breach, what) in findings {
            fold.breach(breach, None, what);
        }
        Walk::new(fold, vault)
    });
    let place = walk::Place {
        dir,
        snapshot: &snapshot,
        size,
        threads: question.threads,
    };
    match walk.all(&place, &mut kept, progress) {
        Ok(()) => {}
        Err(Halt::Error(error)) if goes_on && error.kind() == ErrorKind::Corrupt => {
            return from_nothing(dir, question, kept, progress);
        }
        Err(Halt::Error(error)) => return Err(error),
        Err(Halt::Stopped(by)) => return Ok(ControlFlow::Break(by)),
    }
    let Walk {
        mut fold,
        rows,
        used,
        referred,
        unknown,
        ..
    } = walk;

    if fold.size() != counts.records {
        let what = format!(
            "{} rows of records were read, but there are {}",
            fold.size(),
            counts.records
        );
        fold.breach(Breach::Store, None, what);
    }
    if !live && size > 1 && !fold.is_stopped() && wal_is_empty(dir)? {
        let what = "the log was not stopped cleanly, but its WAL is gone: what was in it is lost";
        fold.breach(Breach::Store, Some(Seq(size)), what);
    }
    if vault {
        if rows != counts.vault {
            let what = format!(
                "the vault has {} rows, but {rows} belong to records",
                counts.vault
            );
            fold.breach(Breach::Surplus, None, what);
        }
        compare_artefacts(&snapshot, used, &mut fold);
    }
    // What a record of a newer version refers to is not known.
    if !unknown {
        compare_references(&snapshot, referred, &mut fold);
    }
    let full = tiles_in(size);
    if counts.tiles != full {
        fold.breach(
            Breach::Tile,
            None,
            format!("there are {} tiles where {full} are full", counts.tiles),
        );
    }
    let sound = fold.is_sound();
    let _ = progress(Step {
        done: size,
        all: size,
        again: false,
        sound,
    });
    let report = fold.finish(&evidence);
    match (report.integrity.count, goes_on) {
        (0, _) => {}
        (_, true) => return from_nothing(dir, question, kept, progress),
        (_, false) => forget(&mut kept),
    }
    Ok(ControlFlow::Continue(report))
}

/// Verifies anew what is not what it was: only from the beginning shows what is wrong, and where.
fn from_nothing<B>(
    dir: &LogDir,
    question: &Question,
    mut kept: Option<&mut Option<Walk>>,
    progress: &mut impl FnMut(Step) -> ControlFlow<B>,
) -> Result<ControlFlow<B, Report>> {
    forget(&mut kept);
    run(dir, question, kept, progress)
}

fn forget(kept: &mut Option<&mut Option<Walk>>) {
    if let Some(kept) = kept {
        **kept = None;
    }
}

/// A store that cannot be read is a finding about the log, unless the reason lies with who asks.
fn unreadable(error: Error, evidence: Evidence, findings: Vec<(Breach, String)>) -> Result<Report> {
    if error.kind() != ErrorKind::Corrupt {
        return Err(error);
    }
    let mut fold = Fold::new([]);
    for (breach, what) in findings {
        fold.breach(breach, None, what);
    }
    fold.breach(Breach::Store, None, error.to_string());
    Ok(fold.finish(&Evidence {
        checkpoints: Vec::new(),
        commit: None,
        ..evidence
    }))
}

fn look_at_wal(dir: &LogDir) -> Result<Option<(Breach, String)>> {
    Ok(match wal::inspect(&dir.wal())? {
        Wal::Empty | Wal::Clean(_) | Wal::TornTail { .. } => None,
        Wal::Damaged {
            frame,
            later_frames,
            ..
        } => Some((
            Breach::Store,
            format!(
                "the WAL is damaged at frame {frame}, and {later_frames} frames after it are lost with it"
            ),
        )),
        Wal::BadHeader { why, bytes_after } => Some((
            Breach::Store,
            format!(
                "the header of the WAL {why}, and {bytes_after} bytes after it are lost with it"
            ),
        )),
    })
}

fn wal_is_empty(dir: &LogDir) -> Result<bool> {
    match std::fs::symlink_metadata(dir.wal()) {
        Ok(meta) => Ok(meta.len() == 0),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(Error::io("read", &dir.wal(), e)),
    }
}

/// Reads the log's own checkpoints, and says what is wrong with those that are malformed.
fn read_checkpoints(dir: &LogDir, evidence: &mut Evidence) -> Result<Vec<(Breach, String)>> {
    let mut findings = Vec::new();
    match checkpoints::read_all(&dir.checkpoints()) {
        Ok(notes) => {
            for (line, note) in (1..).zip(notes) {
                match note {
                    Ok(note) => evidence.checkpoints.push(note),
                    Err(why) => findings.push((
                        Breach::Checkpoint,
                        format!("checkpoint {line} is malformed: {why}"),
                    )),
                }
            }
            Ok(findings)
        }
        // The fold says so itself: a log with records needs checkpoints.
        Err(error) if error.kind() == ErrorKind::Missing => Ok(findings),
        Err(error) => Err(error),
    }
}

fn read_commit(snapshot: &Snapshot<'_>) -> Result<Option<(Commit, Fixed<64>)>, String> {
    let Some(row) = snapshot.commit_row().map_err(|e| e.to_string())? else {
        return Ok(None);
    };
    let commit =
        Commit::decode(&row.statement).map_err(|e| format!("the last commit's statement: {e}"))?;
    let signature = row.signature.try_into().map(Fixed);
    let signature =
        signature.map_err(|_| "the last commit's signature does not have 64 bytes".to_owned())?;
    Ok(Some((commit, signature)))
}

/// How many full tiles a tree of this size has.
fn tiles_in(size: u64) -> u64 {
    let mut level = size >> 8;
    let mut all = 0;
    while level > 0 {
        all += level;
        level >>= 8;
    }
    all
}
