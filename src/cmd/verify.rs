//! `tacho verify`: is the log, or the part of it in a bundle, what it was when it was written?

use std::path::{Path, PathBuf};

use tacho_recorder::Reader;
use tacho_recorder::audit::{Question, audit};
use tacho_recorder::export::bundle;
use tacho_recorder::keys;
use tacho_recorder::read::View;
use tacho_schemas::body::Body;
use tacho_schemas::bundle::Told;
use tacho_schemas::note::Note;
use tacho_schemas::receipt::Receipt;
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::{Anchor, Authenticity, Completeness, Mark, Report};
use tacho_schemas::{Fixed, Seq};

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, count, safe};

mod switch;

/// Check that the log is what it was when it was written
///
/// Answers apart: integrity (is each record as it was written?), authenticity (whose log is it?), completeness (is the end the
/// end?), time, meaning and content. The exit code is 0 only if everything that was asked has a good answer: 1 if not, and also
/// for a log whose identity key nobody vouches for. It says nothing about what it did not check.
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
    answer(args, &report, None, switch.as_ref(), term)
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
    answer(args, &report, Some(&told), None, term)
}

fn answer(
    args: &Args,
    report: &Report,
    told: Option<&Told>,
    switch: Option<&switch::Report>,
    term: &mut Term,
) -> Result<Exit, Failure> {
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
    let good = good && switch.is_none_or(switch::Report::is_good);
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
            object.insert("unmet".to_owned(), unmet.into());
            if let Some(told) = told {
                object.insert("bundle".to_owned(), to_json(told));
            }
        }
        term.line(value.to_string())?;
    } else {
        print(term, report, told, &unmet, args.integrity_only, good)?;
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

fn read_trust(text: &str) -> Result<Fingerprint, Failure> {
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

fn print(
    term: &mut Term,
    report: &Report,
    told: Option<&Told>,
    unmet: &[String],
    narrow: bool,
    good: bool,
) -> Result<(), Failure> {
    let origin = report
        .origin
        .as_ref()
        .map_or("no log".to_owned(), ToString::to_string);
    term.line(format!(
        "{}  {}",
        term.paint(Tone::Strong, &origin),
        match told {
            Some(told) => count(told.head.size, "record"),
            None => count(report.size, "record"),
        }
    ))?;
    if let Some(told) = told {
        say_of_bundle(term, report, told)?;
    }
    let integrity = &report.integrity;
    let mut rows: Vec<(&str, Tone, String)> = Vec::new();
    rows.push(match integrity.count {
        0 => (
            "integrity",
            Tone::Good,
            format!(
                "each record is as it was written: {}, {}, {} agree",
                count(integrity.seals, "seal"),
                count(integrity.checkpoints, "checkpoint"),
                count(integrity.tiles, "tile")
            ),
        ),
        violations => ("integrity", Tone::Bad, broken(report, violations)),
    });
    rows.push(match &report.authenticity {
        Authenticity::Anchored {
            identity,
            by: Anchor::Named,
        } => (
            "authenticity",
            Tone::Good,
            format!("signed under {identity}, the key you named"),
        ),
        Authenticity::Anchored {
            identity,
            by: Anchor::Pinned,
        } => (
            "authenticity",
            Tone::Good,
            format!("signed under {identity}, the key pinned for this log"),
        ),
        Authenticity::SelfConsistent { identity } => (
            "authenticity",
            Tone::Warn,
            format!("self-consistent, not anchored: nobody vouches for {identity}"),
        ),
        Authenticity::Failed => ("authenticity", Tone::Bad, "not shown: see below".to_owned()),
    });
    rows.push(match report.completeness {
        Completeness::CompleteUpTo { size } if size == report.size => (
            "completeness",
            Tone::Good,
            format!("complete up to {size}, by a mark from outside: that is all of it"),
        ),
        Completeness::CompleteUpTo { size } => (
            "completeness",
            Tone::Good,
            format!("complete up to {size}, by a mark from outside; then open tail"),
        ),
        Completeness::Excerpt { shown, marked } => (
            "completeness",
            Tone::Warn,
            format!(
                "an excerpt, {shown} of {} records: what is not shown is not judged{}",
                report.size,
                marked.map_or(String::new(), |size| format!(
                    "; a mark from outside fits at {size}"
                ))
            ),
        ),
        Completeness::OpenTail => (
            "completeness",
            Tone::Warn,
            "open tail: nothing from outside says where the log ends (`--against`)".to_owned(),
        ),
    });
    let clocks = &report.clocks;
    rows.push(match (clocks.first, clocks.last, clocks.jumps) {
        (Some(first), Some(last), 0) => (
            "time",
            Tone::Good,
            // Whole seconds; each record has the rest.
            format!(
                "{:.19}Z to {:.19}Z, the clocks agree",
                first.to_string(),
                last.to_string()
            ),
        ),
        (Some(_), Some(_), jumps) => {
            let at = clocks.first_jump.unwrap_or_default();
            (
                "time",
                Tone::Warn,
                format!(
                    "the clocks disagree {}, first at record {at}",
                    count(jumps, "time")
                ),
            )
        }
        _ => ("time", Tone::Warn, "no record says".to_owned()),
    });
    let meaning = &report.meaning;
    rows.push(match (meaning.not_checked, meaning.first) {
        (0, _) => (
            "meaning",
            Tone::Good,
            "every record is understood".to_owned(),
        ),
        (number, first) => (
            "meaning",
            Tone::Bad,
            format!(
                "not checked ({number}), first {}: {}",
                first.unwrap_or_default(),
                safe(meaning.why.as_deref().unwrap_or(""))
            ),
        ),
    });
    if report.witnesses_needed > 0 {
        let text = format!(
            "the log asks for {}, and this version cannot check any",
            report.witnesses_needed
        );
        rows.push(("witnesses", Tone::Bad, text));
    }
    let content = &report.content;
    rows.push(match (content.checked, content.missing) {
        (false, _) => ("content", Tone::Warn, "not looked at".to_owned()),
        (true, 0) => (
            "content",
            Tone::Good,
            format!(
                "{} texts and files are what was committed to{}",
                content.opened,
                match content.withheld {
                    0 => String::new(),
                    withheld => format!("; {withheld} are withheld, their commitments stand"),
                }
            ),
        ),
        (true, missing) => (
            "content",
            Tone::Bad,
            format!("{missing} texts or files are gone, and nothing excuses it"),
        ),
    });
    for (name, tone, text) in rows {
        term.line(format!("  {name:<13} {}", term.paint(tone, &text)))?;
    }
    if report.unsigned > 0 {
        term.line(format!(
            "  {:<13} {} after the last durable signature",
            "",
            count(report.unsigned, "record")
        ))?;
    }
    if report.broken_epochs > 0 {
        let text = format!(
            "{} ended without a seal, since the key was lost: only the identity key vouches for the end",
            count(report.broken_epochs, "epoch")
        );
        term.line(format!("  {:<13} {}", "", term.paint(Tone::Warn, &text)))?;
    }
    for violation in &integrity.violations {
        let mark = term.paint(Tone::Bad, "✗");
        term.line(format!(
            "  {mark} {:<11} {}",
            violation.breach.name(),
            safe(&violation.what)
        ))?;
    }
    let rest = integrity
        .count
        .saturating_sub(u64::try_from(integrity.violations.len()).unwrap_or(0));
    if rest > 0 {
        term.line(format!("  … and {rest} more"))?;
    }
    for what in unmet {
        term.line(format!(
            "  {} {}",
            term.paint(Tone::Bad, "✗ required"),
            safe(what)
        ))?;
    }
    let verdict = match (good, narrow) {
        (true, false) if report.broken_epochs > 0 => term.paint(
            Tone::Warn,
            "verified, but for what the lost key would have sealed (`--require sealed`)",
        ),
        (true, false) => term.paint(Tone::Good, "verified"),
        (true, true) => term.paint(
            Tone::Good,
            "the records are as they were written; by whom was not asked",
        ),
        (false, _) if integrity.count > 0 => term.paint(Tone::Bad, "NOT VERIFIED"),
        (false, _) => term.paint(
            Tone::Warn,
            "not verified: not everything that was asked has a good answer",
        ),
    };
    term.line(verdict)
}

/// What a bundle is of. Its words are the exporter's: nobody signed them.
fn say_of_bundle(term: &mut Term, report: &Report, told: &Told) -> Result<(), Failure> {
    let head = &told.head;
    let selection = match head.selection.as_str() {
        "" => "all records".to_owned(),
        filter => format!("records that meet `{}`", safe(filter)),
    };
    term.line(format!(
        "  {:<13} {} of size {} shown: {} chosen, {} because others need them",
        "bundle", report.shown, head.size, head.chosen, head.support
    ))?;
    term.line(format!(
        "  {:<13} it says that it was made by {} on {:.19}Z of {selection}",
        "",
        safe(head.software.as_str()),
        head.made.to_string(),
    ))?;
    for loss in &told.losses {
        term.line(format!(
            "  {:<13} it says that it lacks: {} {}",
            "",
            loss.count,
            safe(loss.what.as_str())
        ))?;
    }
    Ok(())
}

fn broken(report: &Report, violations: u64) -> String {
    let integrity = &report.integrity;
    let first = match integrity.first_bad {
        Some(seq) => format!("first bad record {seq}"),
        None => "no single record can be named".to_owned(),
    };
    let proven = match integrity.proven {
        0 => "nothing is proven".to_owned(),
        size => format!("records before {size} are still proven"),
    };
    format!("{}; {first}; {proven}", count(violations, "violation"))
}
