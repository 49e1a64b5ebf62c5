//! A bundle of evidence (`bundle.cddl`): written so that it can be checked by somebody who has nothing else.
//!
//! ```text
//! plan (which records, and those that they need) ─▶ write under another name ─▶ read and verify ─▶ its name
//! ```
//!
//! A bundle that we could not verify ourselves gets no name.

mod open;
mod plan;
mod read;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha2::{Digest as _, Sha256};
use tacho_schemas::body::log::Loss;
use tacho_schemas::bundle::{
    self, Because, Block, Checkpoints, End, FORMAT, Head, Item, LastCommit, MAX_NOTES, MAX_PIECE,
    MAX_STEPS, Piece, Sort, Step, Told,
};
use tacho_schemas::checkpoint::Checkpoint;
use tacho_schemas::content::Descriptor;
use tacho_schemas::note::Note;
use tacho_schemas::receipt::Commit;
use tacho_schemas::scalar::{Blob, Fixed, List};
use tacho_schemas::verify::{Breach, Report};
use tacho_schemas::{Hash, Id, LogId, Origin, Time, tree};

use super::whole::Whole;
use super::withhold::Withhold;
use super::{Losses, trust};
use crate::checkpoints;
use crate::dir::LogDir;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Filter;
use crate::read::{Shown, View};
use crate::store::Reader;

pub use open::{Opened, open};
use plan::Plan;
pub use read::{Question, is_bundle, origin, verify};

/// A block is closed once it holds so many bytes.
const BLOCK: usize = 1 << 20;

/// What is asked for.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Which records.
    pub filter: &'a Filter,
    /// What does not leave.
    pub withhold: Withhold,
    /// Sizes at which the reader holds a mark, so that it can be compared.
    pub joins: Vec<u64>,
    /// What writes the bundle.
    pub software: &'a str,
    /// When.
    pub made: Time,
}

/// A bundle that was written, and what its verification found.
#[derive(Debug)]
pub struct Made {
    /// What it says of itself.
    pub told: Told,
    /// The verification of it, by nobody's key.
    pub report: Report,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The signed statements of a log, and the size that they reach.
struct Signed {
    checkpoints: Vec<(u64, Note)>,
    commit: Option<(Commit, Fixed<64>)>,
    size: u64,
}

impl Signed {
    /// Checkpoints are read before the snapshot, so that what they cover is in it.
    fn read(notes: Vec<std::result::Result<Note, String>>, view: &View<'_>) -> Result<Self> {
        let corrupt = |what: String| {
            Error::new(ErrorKind::Corrupt, what)
                .with_hint("run `tacho verify` to see what is still proven")
        };
        let last = notes.len().saturating_sub(1);
        let mut read = Vec::new();
        for (line, note) in notes.into_iter().enumerate() {
            match note {
                Ok(note) => {
                    let body =
                        Checkpoint::parse(note.text()).map_err(|e| corrupt(e.to_string()))?;
                    read.push((body.size(), note));
                }
                // One that is just being written was shown to nobody yet.
                Err(_) if line == last && last > 0 => {}
                Err(why) => return Err(corrupt(format!("a checkpoint is malformed: {why}"))),
            }
        }
        let commit = match view.snapshot().commit_row()? {
            None => None,
            Some(row) => {
                let commit = Commit::decode(&row.statement).map_err(|e| corrupt(e.to_string()))?;
                let signature = row.signature.try_into().map(Fixed);
                let signature = signature
                    .map_err(|_| corrupt("the last commit's signature is none".to_owned()))?;
                Some((commit, signature))
            }
        };
        let sizes = read.iter().map(|(size, _)| *size);
        let size = sizes
            .chain(commit.iter().map(|(commit, _)| commit.size))
            .max()
            .unwrap_or(0);
        if size > view.size() {
            return Err(corrupt(format!(
                "{size} records were signed, but the log ends after {}",
                view.size()
            )));
        }
        if size == 0 {
            return Err(corrupt("nothing in the log is signed".to_owned()));
        }
        Ok(Self {
            checkpoints: read,
            commit,
            size,
        })
    }

    /// Keeps the newest checkpoint, and the first one over each record that is shown.
    fn thin(&mut self, plan: &Plan) {
        let newest = self.checkpoints.last().map(|(size, _)| *size);
        let mut before = 0;
        self.checkpoints.retain(|(size, _)| {
            let covers = plan.shows_any(before..*size);
            before = (*size).max(before);
            covers || Some(*size) == newest
        });
    }
}

/// How many records a bundle of a log can reach over now: those that something signed covers.
pub(super) fn signed_size(dir: &LogDir, view: &View<'_>) -> Result<u64> {
    Ok(Signed::read(checkpoints::read_all(&dir.checkpoints())?, view)?.size)
}

/// Writes a bundle. `progress` hears how far the work is: records looked at, of those to look at.
pub fn write(
    dir: &LogDir,
    reader: &Reader,
    ask: &Ask<'_>,
    path: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Made> {
    let notes = checkpoints::read_all(&dir.checkpoints())?;
    let view = View::new(reader)?;
    let mut signed = Signed::read(notes, &view)?;
    let all = signed.size.saturating_mul(2);
    let plan = Plan::make(dir, (&view, ask.filter, signed.size), |done| {
        progress(done, all);
    })?;
    if plan.chosen() == 0 {
        let what = "no record meets the filter";
        return Err(Error::new(ErrorKind::Missing, what)
            .with_hint("`tacho list --filter` shows what a filter finds"));
    }
    signed.thin(&plan);
    let unsigned = view.size().saturating_sub(signed.size);
    let mut writer = Writer::begin(path, &view, ask)?;
    writer.lose("unsigned_records", unsigned);
    writer.head(&plan, signed.size)?;
    writer.notes(&signed)?;
    let mut cuts: Vec<u64> = signed.checkpoints.iter().map(|(size, _)| *size).collect();
    cuts.extend(signed.commit.iter().map(|(commit, _)| commit.size));
    cuts.extend(ask.joins.iter().filter(|size| **size <= signed.size));
    writer.tree(&plan, (cuts, signed.size), |done| {
        progress(signed.size.saturating_add(done), all);
    })?;
    writer.files()?;
    let file = writer.end()?;
    let (report, told) = verify(file.beside(), &Question::default(), |_, _| ())?;
    // What is gone is gone: a bundle says so like the log. Anything else must not leave.
    if let Some(violation) = report
        .integrity
        .violations
        .iter()
        .find(|v| v.breach != Breach::Hole)
    {
        let what = format!(
            "what would be in the bundle does not verify: {}",
            violation.what
        );
        return Err(Error::new(ErrorKind::Corrupt, what)
            .with_hint("run `tacho verify` to see what is still proven"));
    }
    let bytes = file.written();
    file.finish()?;
    Ok(Made {
        told,
        report,
        bytes,
    })
}

/// A bundle under way.
struct Writer<'a> {
    file: Whole,
    sha256: Sha256,
    view: &'a View<'a>,
    ask: &'a Ask<'a>,
    context: Withhold,
    steps: Vec<Step>,
    /// Bytes in the steps that are not written.
    gathered: usize,
    shown: u64,
    hidden: u64,
    held: u64,
    withheld: u64,
    /// Files that are to follow.
    wanted: BTreeSet<Hash>,
    files: u64,
    losses: Losses,
}

impl<'a> Writer<'a> {
    fn begin(path: &Path, view: &'a View<'a>, ask: &'a Ask<'a>) -> Result<Self> {
        Ok(Self {
            file: Whole::create(path)?,
            sha256: Sha256::new(),
            view,
            ask,
            context: Withhold::all(),
            steps: Vec::new(),
            gathered: 0,
            shown: 0,
            hidden: 0,
            held: 0,
            withheld: 0,
            wanted: BTreeSet::new(),
            files: 0,
            losses: Losses::new(),
        })
    }

    fn lose(&mut self, what: &str, count: u64) {
        if count > 0 {
            *self.losses.entry(what.to_owned()).or_default() += count;
        }
    }

    fn put(&mut self, item: &Item) -> Result<()> {
        let framed = item.frame()?;
        self.sha256.update(&framed);
        self.file.write(&framed)
    }

    fn head(&mut self, plan: &Plan, size: u64) -> Result<()> {
        let (origin, log_id) = self.name()?;
        let names = self.ask.withhold.names().into_iter().map(Id::new);
        let withhold = List::some(names.collect::<tacho_schemas::Result<Vec<_>>>()?)?;
        self.put(&Item::Head(Box::new(Head {
            origin,
            size,
            root: self.view.root_at(size)?,
            software: Id::new(self.ask.software)?,
            log_id,
            format: Id::new(FORMAT)?,
            made: self.ask.made,
            selection: self.ask.filter.to_string(),
            chosen: plan.chosen(),
            support: plan.support(),
            withhold,
            item: Sort::Head,
        })))
    }

    fn name(&self) -> Result<(Origin, LogId)> {
        let history = self.view.history(None, 1)?;
        Ok((history.origin, history.log_id))
    }

    fn notes(&mut self, signed: &Signed) -> Result<()> {
        for notes in signed.checkpoints.chunks(MAX_NOTES) {
            let notes = notes.iter().map(|(_, note)| note.to_string()).collect();
            self.put(&Item::Checkpoints(Checkpoints {
                notes: List::new(notes)?,
                item: Sort::Checkpoints,
            }))?;
        }
        if let Some((commit, signature)) = &signed.commit {
            self.put(&Item::LastCommit(Box::new(LastCommit {
                signature: *signature,
                commit: commit.clone(),
                item: Sort::LastCommit,
            })))?;
        }
        Ok(())
    }

    /// Goes over the tree from the first record to the last signed one.
    fn tree(
        &mut self,
        plan: &Plan,
        (mut cuts, size): (Vec<u64>, u64),
        mut progress: impl FnMut(u64),
    ) -> Result<()> {
        cuts.sort_unstable();
        cuts.dedup();
        let mut at = 0;
        while at < size {
            let (run, shown) = plan.next_run(at, size);
            if shown {
                let view = self.view;
                view.records(at..run, |shown| {
                    progress(shown.seq.0);
                    let because = plan.because(shown.seq);
                    self.show(shown, because)
                })?;
                at = run;
                continue;
            }
            // A hidden run ends where something was signed.
            let cut = cuts.partition_point(|cut| *cut <= at);
            let end = cuts.get(cut).map_or(run, |cut| run.min(*cut));
            self.hide(at, end)?;
            at = end;
        }
        self.flush()
    }

    fn hide(&mut self, from: u64, to: u64) -> Result<()> {
        let nodes = tree::covers(from, to).map(|(level, index)| self.view.node(level, index));
        let hashes = nodes.collect::<Result<Vec<_>>>()?;
        let count = to.saturating_sub(from);
        self.hidden += count;
        self.step(Step::hide(count, hashes)?, 64)
    }

    fn show(&mut self, mut shown: Shown, because: Option<Because>) -> Result<()> {
        trust(&shown)?;
        let withhold = match because {
            Some(Because::Context) => &self.context,
            _ => &self.ask.withhold,
        };
        let withheld = withhold.take_out(&mut shown, &mut self.losses);
        self.lose("gone", u64::try_from(shown.holes.len()).unwrap_or(0));
        let held = shown.row.content.as_ref().map_or(0, |held| held.len())
            + shown.row.artefacts.as_ref().map_or(0, |held| held.len());
        self.held += u64::try_from(held).unwrap_or(0);
        self.withheld += u64::try_from(withheld.len()).unwrap_or(0);
        for salted in shown.row.artefacts.iter().flat_map(|held| held.values()) {
            self.wanted
                .insert(Descriptor::decode(&salted.bytes)?.blake3);
        }
        let row = match shown.row.is_empty() {
            true => None,
            false => Some(shown.row.encode()?),
        };
        let bytes = shown.bytes.len() + row.as_ref().map_or(0, Vec::len);
        self.shown += 1;
        self.step(Step::show(shown.bytes, row, &withheld, because)?, bytes)
    }

    fn step(&mut self, step: Step, bytes: usize) -> Result<()> {
        // A row may be large by itself: it never shares a block with what would make that too long.
        if self.gathered + bytes > BLOCK || self.steps.len() >= MAX_STEPS {
            self.flush()?;
        }
        self.steps.push(step);
        self.gathered += bytes + 64;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.steps.is_empty() {
            return Ok(());
        }
        self.gathered = 0;
        let unpacked = bundle::encode_steps(std::mem::take(&mut self.steps))?;
        self.put(&Item::Block(Block {
            item: Sort::Block,
            unpacked: length(&unpacked),
            packed: Blob::new(pack(&unpacked)?)?,
        }))
    }

    /// Writes the files that descriptors ask for, in pieces.
    fn files(&mut self) -> Result<()> {
        for blake3 in std::mem::take(&mut self.wanted) {
            let kept = self.view.snapshot().artefact(&blake3)?;
            let kept = kept.ok_or_else(|| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!("artefact `{blake3}` is missing"),
                )
                .with_hint("run `tacho verify` to see what is still proven")
            })?;
            let pieces = kept.bytes.chunks(MAX_PIECE);
            // A file without bytes has one piece without bytes.
            let empty = kept.bytes.is_empty().then_some(&[][..]);
            let mut from = 0;
            for piece in pieces.chain(empty) {
                self.put(&Item::Piece(Piece {
                    blake3,
                    item: Sort::Piece,
                    unpacked: length(piece),
                    packed: Blob::new(pack(piece)?)?,
                    from,
                }))?;
                from += length(piece);
            }
            self.files += 1;
        }
        Ok(())
    }

    fn end(mut self) -> Result<Whole> {
        self.lose("hidden_records", self.hidden);
        let losses = self.losses.iter().map(|(what, count)| {
            Ok(Loss {
                count: *count,
                what: Id::new(what.as_str())?,
            })
        });
        let losses = List::some(losses.collect::<tacho_schemas::Result<Vec<_>>>()?)?;
        let mut end = End {
            losses,
            sha256: Hash::ZERO,
            item: Sort::End,
            shown: self.shown,
            hidden: self.hidden,
            held: self.held,
            withheld: self.withheld,
            files: self.files,
        };
        let inside = Item::End(Box::new(end.clone())).encode()?;
        end.sha256 = End::digest(self.sha256.clone(), &inside)?;
        self.put(&Item::End(Box::new(end)))?;
        self.file.settle()?;
        Ok(self.file)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn pack(bytes: &[u8]) -> Result<Vec<u8>> {
    let io = |e| Error::new(ErrorKind::Io, "zlib refuses to work").with_source(e);
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).map_err(io)?;
    packer.finish().map_err(io)
}
