//! The verbs, one file each: the only code that prints, reads the environment, or exits.

mod bench;
mod init;
mod list;
mod record;
mod verify;

use clap::Subcommand;

use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a new log
    Init(init::Args),
    /// Append events from standard input, one JSON object a line
    Record(record::Args),
    /// Show records
    List(list::Args),
    /// Check that the log is what it was when it was written
    Verify(verify::Args),
    /// Measure a log on this disk against what the disk and the processor can do
    Bench(bench::Args),
}

/// Carries out a verb.
pub(crate) fn run(verb: Verb, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(args) => init::run(&args, place, term),
        Verb::Record(args) => record::run(&args, place, term),
        Verb::List(args) => list::run(&args, place, term),
        Verb::Verify(args) => verify::run(&args, place, term),
        Verb::Bench(args) => bench::run(&args, place, term),
    }
}
