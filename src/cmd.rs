//! The verbs, one file each: the only code that prints, reads the environment, or exits.

mod bench;
mod completions;
mod demo;
mod export;
mod import;
mod init;
mod key;
mod list;
mod prove;
mod record;
mod verify;
mod view;
mod why;

use clap::Subcommand;

use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// The verbs; what each does stands with its arguments, where clap finds it.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Init(init::Args),
    Record(record::Args),
    Import(import::Args),
    List(list::Args),
    Why(why::Args),
    View(view::Args),
    Verify(verify::Args),
    Prove(prove::Args),
    Export(export::Args),
    Key(key::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    /// Measure a log on this disk against what the disk and the processor can do
    Bench(bench::Args),
}

/// Carries out a verb.
pub(crate) fn run(verb: Verb, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(args) => init::run(&args, place, term),
        Verb::Record(args) => record::run(&args, place, term),
        Verb::Import(args) => import::run(&args, place, term),
        Verb::List(args) => list::run(&args, place, term),
        Verb::Why(args) => why::run(&args, place, term),
        Verb::View(args) => view::run(&args, place, term),
        Verb::Verify(args) => verify::run(&args, place, term),
        Verb::Prove(args) => prove::run(&args, place, term),
        Verb::Export(args) => export::run(&args, place, term),
        Verb::Key(args) => key::run(&args, place, term),
        Verb::Demo(args) => demo::run(&args, term),
        Verb::Completions(args) => completions::run(&args, term),
        Verb::Bench(args) => bench::run(&args, place, term),
    }
}
