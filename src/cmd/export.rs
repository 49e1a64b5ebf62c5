//! `tacho export`: records in formats that others read.

mod atif;

use clap::Subcommand;

use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// Write records in formats that others read
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Format {
    /// A session as a trajectory in the Agent Trajectory Interchange Format
    Atif(atif::Args),
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match &args.format {
        Format::Atif(args) => atif::run(args, place, term),
    }
}
