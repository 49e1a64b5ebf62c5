//! `tacho export report`: evidence by controls, for people.

use std::path::PathBuf;

use tacho_recorder::audit::Question;
use tacho_recorder::export::report::{self, Ask, Made};
use tacho_recorder::filter::Filter;
use tacho_recorder::{Clock, SystemClock};
use tacho_schemas::Time;
use tacho_schemas::verify::Anchor;

use super::out::{From, Hide, Span, say_losses};
use crate::cmd::verify::{pinned, read_marks, read_trust};
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, count, safe};

/// Write a report for auditors: one HTML file that works offline and prints
///
/// First the verdict on the log; then each control of the framework as satisfied, partly, nothing found, or not by this tool, with the
/// records and the query that selects them; changes with their rationale and difference; holds and approvals with timings; the off
/// switch; the lineage; and a template for an incident report. No row says that a law is kept.
///
/// The file holds the records that it shows as a bundle, and checks them where it is read: in the browser, without a network. It says
/// what it could not check. Of a log that does not verify no report is made.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho export report --framework eu-ai-act march.html --since 2026-03-01 --until 2026-03-31\n  tacho export report --framework nist-800-53 --filter 'agent:quill' --withhold reasoning quill.html"
)]
pub(crate) struct Args {
    /// Whose controls: eu-ai-act, nist-800-53
    #[arg(long, value_name = "NAME")]
    framework: String,

    #[command(flatten)]
    span: Span,

    #[command(flatten)]
    hide: Hide,

    /// A mark from outside the log: a receipt or a checkpoint in a file
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,

    /// The identity key to trust: its fingerprint, its 64 hex digits, or the key file
    #[arg(long, value_name = "KEY")]
    trust: Option<String>,

    /// Print what was written as JSON
    #[arg(long)]
    json: bool,

    /// The file to make
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    // A wrong name is said before any work.
    let framework = report::framework(&args.framework)?;
    if args.out.as_os_str() == "-" {
        return Err(Failure::new(
            "a report is given its name when it is whole, so it needs a file",
        )
        .hint("name a file"));
    }
    let filter = Filter::all(args.span.filters()?);
    let mut marks = Vec::new();
    for path in &args.against {
        marks.extend(read_marks(path)?);
    }
    let from = From::open(place)?;
    let trust = match &args.trust {
        Some(key) => Some((read_trust(key)?, Anchor::Named)),
        None => pinned(&Some(place::reader(&from.dir)?)).map(|key| (key, Anchor::Pinned)),
    };
    let ask = Ask {
        framework: &framework,
        filter: &filter,
        withhold: args.hide.withhold()?,
        question: Question {
            trust,
            marks,
            ..Question::default()
        },
        software: concat!("tacho/", env!("CARGO_PKG_VERSION")),
        made: Time(SystemClock::new()?.wall_ns()),
    };
    let mut progress = term.progress("reporting");
    let made = report::write(&from.dir, &from.reader, &ask, &args.out, |done, all| {
        progress.show(done, all);
    })?;
    drop(progress);
    tell(args, &made, term)?;
    Ok(match made.good {
        true => Exit::Done,
        false => Exit::Negative,
    })
}

fn tell(args: &Args, made: &Made, term: &mut Term) -> Result<(), Failure> {
    let tally = &made.tally;
    if args.json {
        let value = serde_json::json!({
            "file": args.out.to_string_lossy(), "bytes": made.bytes, "framework": args.framework, "good": made.good,
            "selected": made.selected, "size": made.report.size, "shown": made.shown,
            "mutations": {"shown": made.mutations.0, "of": made.mutations.1},
            "controls": {
                "satisfied": tally.satisfied, "partly": tally.partly, "nothing_found": tally.nothing,
                "not_by_this_tool": tally.not_by_this_tool,
            },
            "losses": made.losses,
        });
        return term.line(value.to_string());
    }
    term.line(format!(
        "{} satisfied, {} partly, {} with nothing found, {} not by this tool",
        tally.satisfied, tally.partly, tally.nothing, tally.not_by_this_tool
    ))?;
    term.line(format!(
        "about {} of {}; {} in its evidence, {} of {} shown; {} bytes in {}",
        made.selected,
        count(made.report.size, "record"),
        made.shown,
        made.mutations.0,
        count(made.mutations.1, "change"),
        made.bytes,
        term.paint(Tone::Strong, &safe(&args.out.to_string_lossy()))
    ))?;
    say_losses(&made.losses, term);
    if !made.good {
        term.note(
            "the log has no good verdict, and the report says so first: `tacho verify` says why",
        );
    }
    Ok(())
}
