//! `tacho export`: the log in formats that others read.

mod atif;
mod bundle;
mod jsonl;
mod out;
mod tiles;

use clap::Subcommand;

use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// Write the log in formats that others read
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Format {
    Atif(atif::Args),
    Bundle(bundle::Args),
    Jsonl(jsonl::Args),
    Tiles(tiles::Args),
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match &args.format {
        Format::Atif(args) => atif::run(args, place, term),
        Format::Bundle(args) => bundle::run(args, place, term),
        Format::Jsonl(args) => jsonl::run(args, place, term),
        Format::Tiles(args) => tiles::run(args, place, term),
    }
}
