//! The verbs, one file each: the only code that prints, reads the environment, or exits.

mod completions;
mod demo;
mod export;
mod init;
mod key;
mod list;
mod prove;
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
    /// Make and check proofs about the log
    Prove(prove::Args),
    /// Write the log in formats that others read
    Export(export::Args),
    /// Show and replace the keys of the log
    Key(key::Args),
    /// Watch an agent change itself, and attacks on the record of it fail
    Demo(demo::Args),
    /// Print the completions for a shell
    Completions(completions::Args),
}

/// Carries out a verb.
pub(crate) fn run(verb: Verb, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(args) => init::run(&args, place, term),
        Verb::Record(args) => record::run(&args, place, term),
        Verb::List(args) => list::run(&args, place, term),
        Verb::Verify(args) => verify::run(&args, place, term),
        Verb::Prove(args) => prove::run(&args, place, term),
        Verb::Export(args) => export::run(&args, place, term),
        Verb::Key(args) => key::run(&args, place, term),
        Verb::Demo(args) => demo::run(&args, term),
        Verb::Completions(args) => completions::run(&args, term),
    }
}
