//! `tacho import`: other people's files become records.

use std::path::PathBuf;

use tacho_recorder::import::{Format, Imported, Known, Request, import};
use tacho_recorder::log::Log;
use tacho_recorder::read::View;
use tacho_recorder::{LogDir, Reader};

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Turn transcripts and lineages of other tools into records
///
/// What is imported is a claim of the file, marked `via import` in every record, with the file's own times beside the recorder's. The
/// original bytes are kept. What was not understood is counted by type and reported, here and in the log. A file that was imported
/// before is refused. Files of one session (a main transcript and those of its sub-agents) belong in one call, the main one first.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho import ~/.claude/projects/my-app/*.jsonl\n  tacho import --format claude-code transcript.jsonl\n  tacho import openevolve_output/checkpoints/checkpoint_90\n  tacho import --format git --range v1.0..main ~/my-agent"
)]
pub(crate) struct Args {
    /// Files or folders, as the format asks for
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The format [default: guessed from the beginning of the file]
    #[arg(long, value_parser = format_parser())]
    format: Option<String>,

    /// Which commits of a git repository [default: all behind HEAD]
    #[arg(long, value_name = "A..B")]
    range: Option<String>,

    /// Import again what was imported before
    #[arg(long)]
    again: bool,

    /// Print the report as one JSON line a file
    #[arg(long)]
    json: bool,
}

fn format_parser() -> clap::builder::PossibleValuesParser {
    let values = Format::ALL
        .iter()
        .map(|(name, _, what)| clap::builder::PossibleValue::new(*name).help(*what));
    clap::builder::PossibleValuesParser::new(values)
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let log = place.open(place::options()?.for_import())?;
    let outcome = import_all(args, &log, term);
    // What became records before an error stays, and the log is closed cleanly.
    let closed = log.close();
    let exit = outcome?;
    closed?;
    Ok(exit)
}

fn import_all(args: &Args, log: &Log, term: &mut Term) -> Result<Exit, Failure> {
    let format = args.format.as_deref().and_then(Format::from_name);
    let mut known = Known::default();
    let mut refused = 0;
    for path in &args.paths {
        let reader = Reader::open(&LogDir::open_to_read(log.path())?)?;
        let request = Request {
            path: path.clone(),
            format,
            range: args.range.clone(),
            again: args.again,
        };
        let mut progress = term.progress("importing");
        let outcome = import(
            log,
            &View::new(&reader)?,
            &request,
            &mut known,
            &mut |done, all| progress.show(done, all),
        );
        drop(progress);
        match outcome {
            Ok(imported) => report(args, path, &imported, term)?,
            // The next file may be good.
            Err(error) if args.paths.len() > 1 => {
                refused += 1;
                term.fail(&error.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(if refused > 0 {
        Exit::Failure
    } else {
        Exit::Done
    })
}

fn report(
    args: &Args,
    path: &std::path::Path,
    imported: &Imported,
    term: &mut Term,
) -> Result<(), Failure> {
    let (open, close) = imported.records;
    let counts = imported
        .counts
        .iter()
        .map(|(kind, count)| (kind.name(), *count));
    if args.json {
        let counts: serde_json::Map<_, _> = counts
            .map(|(kind, count)| (kind.to_owned(), count.into()))
            .collect();
        let line = serde_json::json!({
            "path": path.to_string_lossy(), "format": imported.format.name(), "guessed": imported.guessed, "open": open, "close": close,
            "counts": counts, "losses": imported.losses,
            "repeats": imported.repeats,
        });
        return term.line(line.to_string());
    }
    let name = safe(&path.display().to_string()).into_owned();
    term.line(format!(
        "{}  {}",
        term.paint(Tone::Strong, &name),
        imported.format.name()
    ))?;
    if let Some(why) = imported.guessed {
        term.line(format!("  guessed, since {why}"))?;
    }
    let made: Vec<String> = counts
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let made = if made.is_empty() {
        "nothing".to_owned()
    } else {
        made.join(", ")
    };
    term.line(format!("  records {open} to {close}: {made}"))?;
    if !imported.repeats.is_empty() {
        let told = imported.repeats.iter();
        let told: Vec<_> = told
            .map(|(what, count)| format!("{count} {}", safe(what)))
            .collect();
        term.line(format!(
            "  told twice by the source, kept once: {}",
            told.join(", ")
        ))?;
    }
    if imported.losses.is_empty() {
        return term.line(format!(
            "  {}",
            term.paint(Tone::Good, "everything was understood")
        ));
    }
    term.line(format!(
        "  {}",
        term.paint(
            Tone::Warn,
            "not understood, and only in the original that was kept:"
        )
    ))?;
    for (what, count) in &imported.losses {
        term.line(format!("    {count:>8}  {}", safe(what)))?;
    }
    Ok(())
}
