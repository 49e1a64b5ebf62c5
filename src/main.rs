//! The `tacho` command: parse, run, exit code.

mod cmd;
mod keep;
mod place;
mod sign;
mod term;

use std::process::ExitCode;

use clap::Parser;

use crate::cmd::Verb;
use crate::term::{Exit, Term};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The flight recorder and off switch for AI agents that change themselves
#[derive(Debug, Parser)]
#[command(
    name = "tacho",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    place: place::Place,

    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if cmd::hook::is_call(&args) {
        return cmd::hook::answer(&args);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; anything else is a wrong use.
            let code = if error.use_stderr() {
                Exit::Failure
            } else {
                Exit::Done
            };
            // A closed pipe is the reader's choice.
            let _ = error.print();
            return code.into();
        }
    };
    let mut term = Term::new();
    match cmd::run(cli.verb, &cli.place, &mut term) {
        Ok(exit) => exit.into(),
        Err(failure) => term.fail(&failure).into(),
    }
}
