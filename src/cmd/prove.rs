//! `tacho prove`: evidence about this log for someone who does not have it.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tacho_recorder::checkpoints;
use tacho_recorder::read::{History, View};
use tacho_schemas::checkpoint::Checkpoint;
use tacho_schemas::note::{Note, Vkey};
use tacho_schemas::proof::Proof;
use tacho_schemas::{Hash, Seq, tree};

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term};

/// Make and check proofs about the log
///
/// Proofs are texts of a few lines in the formats of C2SP. Who has the log's vkey (`tacho key show`) can check them without the
/// log and without this program. Making one changes nothing, and works while a recorder runs.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Prove that a record is in the log
    ///
    /// Prints a tlog-proof: the way from the record to the root that the newest checkpoint signs. Whoever checks it needs the
    /// record's bytes as well: `--record FILE` writes them.
    #[command(
        after_help = "Example:\n  tacho prove inclusion 17 --out 17.tlog-proof --record 17.cbor"
    )]
    Inclusion(Inclusion),
    /// Prove that the log only grew between two sizes
    ///
    /// Prints the two roots and the hashes that lead from one to the other (RFC 6962). The newer size is the newest checkpoint's
    /// unless it is given.
    #[command(after_help = "Example:\n  tacho prove consistency 1000 --json")]
    Consistency(Consistency),
    /// Check a proof that a record is in a log
    ///
    /// Without options it is checked against the log here. With `--vkey` and `--record` no log is needed. The exit code is 1 if
    /// the proof does not hold.
    #[command(
        after_help = "Examples:\n  tacho prove check 17.tlog-proof\n  tacho prove check 17.tlog-proof --record 17.cbor --vkey audit.example.com/9f86…+1c21ed2a+AXnC…"
    )]
    Check(Check),
}

#[derive(clap::Args, Debug)]
struct Inclusion {
    /// The record's number
    seq: u64,

    /// Write the proof to a new file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Write the record's bytes to a new file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Print the proof as JSON
    #[arg(long, conflicts_with = "out")]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct Consistency {
    /// The older size: how many records there were
    from: u64,

    /// The newer size [default: the newest checkpoint's]
    to: Option<u64>,

    /// Print the proof as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct Check {
    /// The proof
    proof: PathBuf,

    /// The record's bytes [default: the record with that number in the log here]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// The key that must have signed [default: the log key of the log here]
    #[arg(long)]
    vkey: Option<String>,

    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match &args.what {
        What::Inclusion(args) => inclusion(args, place, term),
        What::Consistency(args) => consistency(args, place, term),
        What::Check(args) => check(args, place, term),
    }
}

/// The newest checkpoint, checked against the log.
pub(super) struct Newest {
    pub(super) note: Note,
    pub(super) checkpoint: Checkpoint,
    pub(super) history: History,
}

impl Newest {
    /// Checks the checkpoint that was read before the view was taken.
    pub(super) fn of(view: &View<'_>, note: Option<Note>) -> Result<Self, Failure> {
        let note = note.ok_or_else(none_yet)?;
        // Two epochs are enough: the newest checkpoint is of the last epoch or of the one before it.
        let history = view.history(Some(&note), 3)?;
        let checkpoint = view.check(&note, &history)?;
        Ok(Self {
            note,
            checkpoint,
            history,
        })
    }

    /// The key that signs the log's checkpoints.
    pub(super) fn log_vkey(&self) -> Result<Vkey, Failure> {
        let [log, _] = self.history.vkeys_at(self.checkpoint.size())?;
        Ok(log)
    }
}

fn none_yet() -> Failure {
    Failure::new("the log has no checkpoint yet").hint(WAIT)
}

const WAIT: &str = "a recorder makes one every minute and at each clean stop: wait, or stop it";

fn inclusion(args: &Inclusion, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let dir = place.open_to_read()?;
    let note = checkpoints::newest(&dir)?;
    let reader = place::reader(&dir)?;
    let view = View::new(&reader)?;
    let seq = Seq(args.seq);
    let shown = view.record(seq)?;
    let newest = Newest::of(&view, note)?;
    let size = newest.checkpoint.size();
    if args.seq >= size {
        let what = format!(
            "no checkpoint covers record {seq} yet: the newest speaks of the {size} records before it"
        );
        return Err(Failure::new(what).hint(WAIT));
    }
    let proof = Proof::new(args.seq, view.inclusion(seq, size)?, newest.note.clone())?;
    // Nobody is given a proof that we would not take.
    proof.verify(&shown.bytes, &[newest.log_vkey()?])?;
    if let Some(path) = &args.record {
        place::write_new(path, &shown.bytes)?;
    }
    let text = proof.to_string();
    if args.json {
        let value = serde_json::json!({
            "seq": seq, "leaf": tree::leaf_hash(&shown.bytes), "size": size, "root": newest.checkpoint.root(),
            "path": proof.path(), "checkpoint": newest.note.to_string(), "vkey": newest.log_vkey()?.to_string(), "proof": text,
        });
        term.line(value.to_string())?;
    } else if let Some(path) = &args.out {
        place::write_new(path, text.as_bytes())?;
    } else {
        term.raw(text.as_bytes())?;
    }
    Ok(Exit::Done)
}

fn consistency(args: &Consistency, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let dir = place.open_to_read()?;
    let note = checkpoints::newest(&dir)?;
    let reader = place::reader(&dir)?;
    let view = View::new(&reader)?;
    let from = args.from;
    let to = match args.to {
        Some(to) => to,
        None => Newest::of(&view, note)?.checkpoint.size(),
    };
    if from == 0 {
        return Err(Failure::new(
            "every log begins with nothing, so there is nothing to prove from size 0",
        )
        .hint("give the size of a checkpoint that you kept, its second line"));
    }
    if from > to && args.to.is_none() && from <= view.size() {
        let what = format!("the newest checkpoint is of size {to}, which is less than {from}");
        return Err(Failure::new(what).hint(WAIT));
    }
    if from > to && args.to.is_some() {
        return Err(
            Failure::new(format!("size {from} is larger than size {to}"))
                .hint("give the older size first"),
        );
    }
    let to = to.max(from);
    if to > view.size() {
        return Err(Failure::new(format!(
            "the log has {} records, so there is no size {to}",
            view.size()
        ))
        .hint("if you hold a checkpoint of that size, records were cut off: run `tacho verify --against FILE`"));
    }
    let path = view.consistency(from, to)?;
    let (old, new) = (view.root_at(from)?, view.root_at(to)?);
    tree::verify_consistency(from, to, &path, &old, &new)?;
    let text = |hash: &Hash| BASE64.encode(hash.as_bytes());
    if args.json {
        let path: Vec<_> = path.iter().map(text).collect();
        let value = serde_json::json!({
            "from": { "size": from, "root": text(&old) }, "to": { "size": to, "root": text(&new) }, "path": path,
        });
        term.line(value.to_string())?;
        return Ok(Exit::Done);
    }
    term.line(format!("from {from} {}", text(&old)))?;
    term.line(format!("to {to} {}", text(&new)))?;
    for hash in &path {
        term.line(text(hash))?;
    }
    Ok(Exit::Done)
}

fn check(args: &Check, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let name = args.proof.display();
    let proof = Proof::parse(&place::read(&args.proof)?).map_err(|e| {
        Failure::new(format!("`{name}` is no proof: {e}"))
            .hint("`tacho prove inclusion SEQ --out FILE` writes one")
    })?;
    let (mut record, mut vkeys) = (None, Vec::new());
    if let Some(path) = &args.record {
        record = Some(place::read(path)?);
    }
    if let Some(text) = &args.vkey {
        let vkey = Vkey::parse(text).map_err(|e| {
            Failure::new(format!("`{text}` is no key: {e}"))
                .hint("`tacho key show` prints the vkey of a log")
        })?;
        vkeys.push(vkey);
    }
    if record.is_none() || vkeys.is_empty() {
        let dir = place.open_to_read()?;
        let note = checkpoints::newest(&dir)?;
        let reader = place::reader(&dir)?;
        let view = View::new(&reader)?;
        if vkeys.is_empty() {
            let size = Checkpoint::parse(proof.checkpoint().text())?.size();
            let history = view.history(note.as_ref(), usize::MAX)?;
            vkeys.extend(history.vkeys_at(size)?.into_iter().next());
        }
        if record.is_none() {
            record = Some(view.record(Seq(proof.index()))?.bytes);
        }
    }
    let answer = proof.verify(&record.unwrap_or_default(), &vkeys);
    if args.json {
        let value = match &answer {
            Ok(signed) => serde_json::json!({
                "holds": true, "seq": proof.index(), "origin": signed.checkpoint.origin(), "size": signed.checkpoint.size(),
            }),
            Err(error) => {
                serde_json::json!({ "holds": false, "seq": proof.index(), "why": error.to_string() })
            }
        };
        term.line(value.to_string())?;
        return Ok(if answer.is_ok() {
            Exit::Done
        } else {
            Exit::Negative
        });
    }
    match answer {
        Ok(signed) => {
            term.line(format!(
                "holds: record {} is among the {} that {} signed",
                proof.index(),
                signed.checkpoint.size(),
                crate::term::safe(signed.checkpoint.origin()),
            ))?;
            Ok(Exit::Done)
        }
        Err(error) => {
            term.line(format!(
                "DOES NOT HOLD for record {}: {error}",
                proof.index()
            ))?;
            Ok(Exit::Negative)
        }
    }
}
