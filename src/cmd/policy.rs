//! `tacho policy`: which action is allowed, denied or held, and why.

mod check;
mod explain;
mod replay;
mod show;
pub(crate) mod source;
mod test;

use clap::Subcommand;

use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// Check, test and explain the rules that decide what agents may do
///
/// Rules are Cedar (<https://docs.cedarpolicy.com>). A policy is the name of a preset (observe, solo, standard, strict), or a
/// file; where none is named, the one in force in the log, else `solo`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Check(check::Args),
    Test(test::Args),
    Explain(explain::Args),
    Replay(replay::Args),
    Show(show::Args),
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match &args.what {
        What::Check(args) => check::run(args, place, term),
        What::Test(args) => test::run(args, place, term),
        What::Explain(args) => explain::run(args, place, term),
        What::Replay(args) => replay::run(args, place, term),
        What::Show(args) => show::run(args, place, term),
    }
}
