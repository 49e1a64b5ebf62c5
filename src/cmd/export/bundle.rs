//! `tacho export bundle`: evidence in one file, for somebody who has nothing else.

use std::path::PathBuf;

use tacho_recorder::export::bundle::{self, Ask, Made};
use tacho_recorder::filter::Filter;
use tacho_recorder::{Clock, SystemClock};
use tacho_schemas::Time;
use tacho_schemas::verify::Mark;

use super::out::{From, Hide, Span, filter};
use crate::cmd::verify::read_marks;
use crate::place::Place;
use crate::term::{Exit, Failure, Term, Tone, count, safe};

/// Write chosen records as one file that can be checked without the log
///
/// In it: the chosen records with their text, files and salts; what was withheld, by its commitments; keys, seals, policies in force
/// and approvals, as far as the chosen records need them; checkpoints, and the tree that proves each record and joins them. Without
/// a filter it is the whole log. `tacho verify FILE` checks it anywhere; so does the independent checker in `schemas/checker`.
///
/// The file is verified before it gets its name. What is not in it is listed: in the file and on stderr.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho export bundle march.tacho --since 2026-03-01 --until 2026-03-31 --withhold reasoning,input\n  tacho export bundle incident.tacho --incident 1207\n  tacho export bundle all.tacho"
)]
pub(crate) struct Args {
    #[command(flatten)]
    span: Span,

    /// Only this record, what led to it, and what came of it
    #[arg(long, value_name = "SEQ")]
    incident: Option<u64>,

    #[command(flatten)]
    hide: Hide,

    /// A mark that the reader holds: a receipt or a checkpoint in a file. The bundle shows the tree at its size
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,

    /// Print what was written as JSON
    #[arg(long)]
    json: bool,

    /// The file to make
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

impl Args {
    /// All of the records that meet a filter, into a file.
    pub(crate) fn of(filter: String, out: PathBuf) -> Self {
        Self {
            span: Span::of(filter),
            incident: None,
            hide: Hide::default(),
            against: Vec::new(),
            json: false,
            out,
        }
    }
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    if args.out.as_os_str() == "-" {
        return Err(
            Failure::new("a bundle is verified before it leaves, so it needs a file")
                .hint("name a file"),
        );
    }
    let mut joins = Vec::new();
    for path in &args.against {
        for mark in read_marks(path)? {
            joins.push(match mark {
                Mark::Receipt(receipt) => receipt.commit.size,
                Mark::Checkpoint(note) => {
                    tacho_schemas::checkpoint::Checkpoint::parse(note.text())?.size()
                }
            });
        }
    }
    let filter = selection(args)?;
    let ask = Ask {
        filter: &filter,
        withhold: args.hide.withhold()?,
        joins,
        software: concat!("tacho/", env!("CARGO_PKG_VERSION")),
        made: Time(SystemClock::new()?.wall_ns()),
    };
    let from = From::open(place)?;
    let mut progress = term.progress("exporting");
    let made = bundle::write(&from.dir, &from.reader, &ask, &args.out, |done, all| {
        progress.show(done, all);
    })?;
    drop(progress);
    report(args, &made, term)?;
    Ok(match made.report.content.missing {
        0 => Exit::Done,
        _ => Exit::Negative,
    })
}

/// Everything that is asked for, as one filter.
fn selection(args: &Args) -> Result<Filter, Failure> {
    let mut all = args.span.filters()?;
    if let Some(seq) = args.incident {
        all.push(filter(&format!("seq:{seq} | under({seq}) | over({seq})"))?);
    }
    Ok(Filter::all(all))
}

fn report(args: &Args, made: &Made, term: &mut Term) -> Result<(), Failure> {
    let (head, report) = (&made.told.head, &made.report);
    let content = &report.content;
    if args.json {
        let losses = made.told.losses.iter();
        let losses: serde_json::Map<_, _> = losses
            .map(|loss| (loss.what.to_string(), loss.count.into()))
            .collect();
        let value = serde_json::json!({
            "file": args.out.to_string_lossy(), "bytes": made.bytes, "size": head.size, "shown": report.shown,
            "chosen": head.chosen, "support": head.support, "texts": content.opened, "withheld": content.withheld,
            "missing": content.missing, "files": made.told.files, "losses": losses,
        });
        return term.line(value.to_string());
    }
    term.line(format!(
        "{} of {} shown: {} chosen, {} more because others need them",
        report.shown,
        count(head.size, "record"),
        head.chosen,
        head.support
    ))?;
    term.line(format!(
        "{} and {} are in it, {} withheld; {} bytes in {}",
        count(content.opened, "text"),
        count(made.told.files, "file"),
        content.withheld,
        made.bytes,
        term.paint(Tone::Strong, &safe(&args.out.to_string_lossy()))
    ))?;
    for loss in &made.told.losses {
        term.note(format!("not in it: {} {}", loss.count, loss.what));
    }
    Ok(())
}
