//! `tacho verify`: is the log, or the part of it in a bundle, what it was when it was written?

use std::path::{Path, PathBuf};

use tacho_recorder::acts;
use tacho_recorder::audit::{Question, audit};
use tacho_recorder::export::bundle;
use tacho_recorder::keys;
use tacho_recorder::read::View;
use tacho_recorder::{LogDir, Reader};
use tacho_schemas::body::Body;
use tacho_schemas::bundle::Told;
use tacho_schemas::note::Note;
use tacho_schemas::receipt::Receipt;
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::{Anchor, Completeness, Mark, Report};
use tacho_schemas::{Fixed, Seq};

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, count};

mod print;
pub(crate) mod switch;

/// Check that the log is what it was when it was written
///
/// Answers apart: integrity (is each record as it was written?), authenticity (whose log is it?), completeness (is the end the
/// end?), time, meaning, content, and people (did they sign what the log says that they did?). The exit code is 0 only if
/// everything that was asked has a good answer: 1 if not, and also for a log whose identity key nobody vouches for. It says nothing
/// about what it did not check.
///
/// With a file it checks a bundle (`tacho export bundle`), which needs no log. It claims nothing of what the bundle does not show.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho verify\n  tacho verify --against receipt.json --trust SHA256:…\n  tacho verify --integrity-only --json\n  tacho verify march.tacho --trust SHA256:…"
)]
pub(crate) struct Args {
    /// A bundle to verify instead of the log
    #[arg(value_name = "BUNDLE")]
    bundle: Option<PathBuf>,

    /// A mark from outside the log: a receipt or a checkpoint in a file
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,

    /// The identity key to trust: its fingerprint, its 64 hex digits, or the key file
    #[arg(long, value_name = "KEY")]
    trust: Option<String>,

    /// Raise the question
    #[arg(long, value_enum)]
    require: Vec<Require>,

    /// Ask only whether the records are as they were written, not by whom
    #[arg(long)]
    integrity_only: bool,

    /// Leave out the vault and the artefacts
    #[arg(long)]
    skip_vault: bool,

    /// Ask whether the off switch did what it says: the invariants I1 to I8, with the records that prove or break each
    #[arg(long, conflicts_with = "bundle")]
    switch: bool,

    /// With --switch: a drill must have passed within this many days before the last record
    #[arg(long, value_name = "DAYS", requires = "switch", value_parser = clap::value_parser!(u16).range(1..))]
    drill_days: Option<u16>,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What else must hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Require {
    /// A mark from outside covers every record
    Complete,
    /// Each epoch ended with a seal, the last one too
    Sealed,
    /// Every record was seen by the witnesses that the log asks for
    Witnessed,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    if let Some(path) = &args.bundle {
        return of_bundle(args, path, term);
    }
    let dir = place.open_to_read()?;
    if !dir.database().exists() && !dir.checkpoints().exists() {
        return Err(place::nowhere(dir.path()));
    }
    let mut marks = Vec::new();
    for path in &args.against {
        marks.extend(read_marks(path)?);
    }
    let trust = match &args.trust {
        Some(key) => Some((read_trust(key)?, Anchor::Named)),
        None => pinned(&Reader::open(&dir).ok()).map(|key| (key, Anchor::Pinned)),
    };
    let question = Question {
        skip_vault: args.skip_vault,
        trust,
        marks,
        threads: 0,
    };
    let mut progress = term.progress("verifying");
    let report = audit(&dir, &question, |done, all| progress.show(done, all))?;
    drop(progress);
    let switch = match args.switch {
        true => Some(switch::ask(&dir, args.drill_days)?),
        false => None,
    };
    let acts = match args.integrity_only {
        true => None,
        false => people(&dir, &report)?,
    };
    let besides = Besides {
        told: None,
        switch: switch.as_ref(),
        acts: acts.as_ref(),
    };
    answer(args, &report, besides, term)
}

/// Whether the acts of people in the log are theirs; a log that cannot be read has a worse finding already.
fn people(dir: &LogDir, report: &Report) -> Result<Option<acts::Report>, Failure> {
    let read = || -> Result<acts::Report, Failure> {
        let reader = Reader::open(dir)?;
        let fold = acts::Fold::read(&View::new(&reader)?)?;
        Ok(fold.report().clone())
    };
    match read() {
        Ok(acts) => Ok(Some(acts)),
        Err(_) if !report.has_integrity() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whose log a bundle should be of, if this user has pinned it.
pub(crate) fn vouched(path: &std::path::Path) -> Result<Option<(Fingerprint, Anchor)>, Failure> {
    let pin = bundle::origin(path)?
        .and_then(|origin| place::known_logs().ok()?.lookup(&origin).ok()?)
        .map(|key| (keys::fingerprint(&key), Anchor::Pinned));
    Ok(pin)
}

/// Verifies a bundle, in the same words.
fn of_bundle(args: &Args, path: &Path, term: &mut Term) -> Result<Exit, Failure> {
    if !bundle::is_bundle(path) {
        let what = format!("`{}` is not a file", path.display());
        return Err(Failure::new(what)
            .hint("name a bundle that `tacho export bundle` made, or a log with `--log DIR`"));
    }
    let mut marks = Vec::new();
    for path in &args.against {
        marks.extend(read_marks(path)?);
    }
    let trust = match &args.trust {
        Some(key) => Some((read_trust(key)?, Anchor::Named)),
        None => vouched(path)?,
    };
    let question = bundle::Question { trust, marks };
    let mut progress = term.progress("verifying");
    let (report, told) = bundle::verify(path, &question, |done, all| progress.show(done, all))?;
    drop(progress);
    let besides = Besides {
        told: Some(&told),
        ..Besides::default()
    };
    answer(args, &report, besides, term)
}

/// What is said beside the verdict on the log itself.
#[derive(Clone, Copy, Default)]
struct Besides<'a> {
    told: Option<&'a Told>,
    switch: Option<&'a switch::Report>,
    acts: Option<&'a acts::Report>,
}

fn answer(
    args: &Args,
    report: &Report,
    besides: Besides<'_>,
    term: &mut Term,
) -> Result<Exit, Failure> {
    let Besides { told, switch, acts } = besides;
    let unmet: Vec<String> = args
        .require
        .iter()
        .filter_map(|require| unmet(*require, report))
        .collect();
    let good = (if args.integrity_only {
        report.has_integrity()
    } else {
        report.is_good()
    }) && unmet.is_empty();
    let good = good
        && switch.is_none_or(switch::Report::is_good)
        && acts.is_none_or(acts::Report::is_good);
    if args.json {
        let mut value = serde_json::to_value(report).map_err(|e| Failure::new(e.to_string()))?;
        if let Some(object) = value.as_object_mut() {
            object.insert("good".to_owned(), good.into());
            if let Some(switch) = switch {
                let mut value =
                    serde_json::to_value(switch).map_err(|e| Failure::new(e.to_string()))?;
                if let Some(inner) = value.as_object_mut() {
                    inner.insert("good".to_owned(), switch.is_good().into());
                }
                object.insert("switch".to_owned(), value);
            }
            if let Some(acts) = acts {
                let acts = serde_json::to_value(acts).map_err(|e| Failure::new(e.to_string()))?;
                object.insert("acts".to_owned(), acts);
            }
            object.insert("unmet".to_owned(), unmet.into());
            if let Some(told) = told {
                object.insert("bundle".to_owned(), to_json(told));
            }
        }
        term.line(value.to_string())?;
    } else {
        print::print(term, report, besides, &unmet, args.integrity_only, good)?;
        if let Some(switch) = switch {
            switch::print(switch, term)?;
        }
    }
    Ok(if good { Exit::Done } else { Exit::Negative })
}

fn unmet(require: Require, report: &Report) -> Option<String> {
    let complete = match report.completeness {
        Completeness::CompleteUpTo { size } => size,
        Completeness::Excerpt { .. } | Completeness::OpenTail => 0,
    };
    match require {
        Require::Complete if report.shown < report.size => Some(format!(
            "complete: the bundle shows {} of {} records",
            report.shown, report.size
        )),
        Require::Complete if complete < report.size => Some(format!(
            "complete: marks from outside cover {complete} of {} records",
            report.size
        )),
        Require::Sealed if !report.sealed => {
            Some("sealed: the last record is not a seal".to_owned())
        }
        // A break is signed by the identity key, and so is no violation; but no seal vouches for the epoch that it ended.
        Require::Sealed if report.broken_epochs > 0 => Some(format!(
            "sealed: {} ended without a seal",
            count(report.broken_epochs, "epoch")
        )),
        Require::Witnessed => Some("witnessed: this version cannot check witnesses yet".to_owned()),
        _ => None,
    }
}

/// The key that this user pinned for the log's name.
pub(crate) fn pinned(reader: &Option<Reader>) -> Option<Fingerprint> {
    let view = View::new(reader.as_ref()?).ok()?;
    let Body::Genesis(genesis) = view.record(Seq(0)).ok()?.meaning.ok()?.body else {
        return None;
    };
    let key = place::known_logs().ok()?.lookup(&genesis.origin).ok()??;
    Some(keys::fingerprint(&key))
}

/// Reads an identity key as people give it.
pub(crate) fn read_trust(text: &str) -> Result<Fingerprint, Failure> {
    if let Ok(fingerprint) = text.parse() {
        return Ok(fingerprint);
    }
    let mut raw = [0; 32];
    if hex_into(text, &mut raw) {
        return Ok(Fingerprint::of(&Fixed(raw)));
    }
    match keys::read(Path::new(text)) {
        Ok(key) => Ok(keys::fingerprint(&key.verifying_key())),
        Err(error) => Err(Failure::new(format!("`{text}` is no identity key: {error}"))
            .hint("give the fingerprint that `tacho init` printed (SHA256:…), 64 hex digits, or the key file")),
    }
}

fn hex_into(text: &str, bytes: &mut [u8; 32]) -> bool {
    tacho_schemas::Hash::from_hex(text)
        .map(|hash| *bytes = hash.0)
        .is_ok()
}

/// Reads a checkpoint, a receipt as CBOR, or receipts as JSON lines.
pub(crate) fn read_marks(path: &Path) -> Result<Vec<Mark>, Failure> {
    let name = path.display();
    let bytes = place::read(path)?;
    if let Ok(note) = Note::parse(&bytes) {
        return Ok(vec![Mark::Checkpoint(note)]);
    }
    if let Ok(receipt) = Receipt::decode(&bytes) {
        return Ok(vec![Mark::Receipt(Box::new(receipt))]);
    }
    let no_mark = |why: String| {
        Failure::new(format!(
            "`{name}` is neither a checkpoint nor a receipt: {why}"
        ))
        .hint("`tacho record` prints receipts, and the log's `checkpoints` file holds checkpoints")
    };
    let text = std::str::from_utf8(&bytes).map_err(|e| no_mark(e.to_string()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let receipts = lines.map(|line| {
        let receipt: Receipt = serde_json::from_str(line).map_err(|e| no_mark(e.to_string()))?;
        Ok(Mark::Receipt(Box::new(receipt)))
    });
    let receipts = receipts.collect::<Result<Vec<_>, Failure>>()?;
    if receipts.is_empty() {
        Err(no_mark("it is empty".to_owned()))
    } else {
        Ok(receipts)
    }
}

/// What the exporter says of a bundle.
fn to_json(told: &Told) -> serde_json::Value {
    let named = told.because.iter();
    let because: serde_json::Map<_, _> = named
        .map(|(why, count)| (why.name().to_owned(), (*count).into()))
        .collect();
    serde_json::json!({
        "head": told.head, "because": because, "files": told.files, "losses": told.losses,
    })
}
