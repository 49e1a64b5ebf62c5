//! The verbs, one file each: the only code that prints, reads the environment, or exits.

mod export;
mod import;
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
    /// Turn transcripts and lineages of other tools into records
    Import(import::Args),
    /// Write records in formats that others read
    Export(export::Args),
    /// Show records
    List(list::Args),
    /// Check that the log is what it was when it was written
    Verify(verify::Args),
}

/// Carries out a verb.
pub(crate) fn run(verb: Verb, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(args) => init::run(&args, place, term),
        Verb::Record(args) => record::run(&args, place, term),
        Verb::Import(args) => import::run(&args, place, term),
        Verb::Export(args) => export::run(&args, place, term),
        Verb::List(args) => list::run(&args, place, term),
        Verb::Verify(args) => verify::run(&args, place, term),
    }
}
