//! `tacho bench`: how fast a log is on this disk, against what the disk and the processor can do.
//!
//! Every figure is a ratio against a floor that is measured in the same run, in turns with it, so that a slow moment of the
//! machine hits both.

mod append;
mod corpus;
mod evidence;
mod floor;
mod gate;
mod ground;
mod run;
mod stats;
mod switch;
mod table;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;

use crate::place::Place;
use crate::term::{Exit, Failure, Term};
use ground::Ground;

/// Measure a log on this disk against what the disk and the processor can do
///
/// Writes logs of its own into a new directory and removes it; no other log is touched.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho bench append\n  tacho bench verify --records 1000000\n  tacho bench append --dir /mnt/fast --json"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How fast records become durable
    #[command(after_help = "Example:\n  tacho bench append --dir /mnt/fast --json")]
    Append(Options),
    /// How fast a log is checked, proven and opened
    #[command(after_help = "Example:\n  tacho bench verify --records 1000000")]
    Verify(Options),
    /// How fast the gate answers
    #[command(after_help = "Example:\n  tacho bench gate --quick")]
    Gate(Options),
    /// How fast the off switch is
    #[command(after_help = "Example:\n  tacho bench switch --quick")]
    Switch(Options),
    /// What a cell costs
    #[command(after_help = "Example:\n  tacho bench run --json")]
    Run(Options),
    /// How fast records leave: as JSON Lines, as a bundle, and how fast that is checked
    #[command(after_help = "Example:\n  tacho bench evidence --records 1000000")]
    Evidence(Options),
    /// Verify one log and say what that took, for `bench verify`
    #[command(hide = true)]
    Child {
        /// The log, or the bundle
        log: PathBuf,

        /// Write a bundle of the log instead
        #[arg(long)]
        bundle: Option<PathBuf>,
    },
}

#[derive(clap::Args, Debug)]
struct Options {
    /// Where to make the directory to work in [default: beside the log, else TMPDIR]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Take a tenth of the time; the figures are rougher
    #[arg(long)]
    quick: bool,

    /// How long a log to make [default: 300000; 40000 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..))]
    records: Option<u64>,

    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    fn records(&self) -> u64 {
        self.records
            .unwrap_or(if self.quick { 40_000 } else { 300_000 })
    }
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let (options, measure): (_, Measure) = match &args.what {
        What::Append(options) => (options, append::measure),
        What::Verify(options) => (options, verify::measure),
        What::Gate(options) => (options, gate::measure),
        What::Switch(options) => (options, switch::measure),
        What::Run(options) => (options, run::measure),
        What::Evidence(options) => (options, evidence::measure),
        What::Child { log, bundle } => {
            return match bundle {
                Some(out) => evidence::write(log, out, term),
                None if log.is_file() => evidence::check(log, term),
                None => verify::child(log, term),
            };
        }
    };
    let ground = Ground::make(options.dir.as_deref(), place)?;
    let rows = measure(options, &ground, term)?;
    table::print(&rows, &ground.machine(), options.json, term)?;
    Ok(Exit::Done)
}

type Measure = fn(&Options, &Ground, &mut Term) -> Result<Vec<table::Row>, Failure>;
