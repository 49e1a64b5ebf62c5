//! `tacho export`: the log in formats that others read.

mod acts;
mod atif;
mod bundle;
mod csv;
mod intoto;
mod jsonl;
mod ocsf;
mod out;
mod report;
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
    Bundle(bundle::Args),
    Jsonl(jsonl::Args),
    Csv(csv::Args),
    Intoto(intoto::Args),
    Acts(acts::Args),
    Ocsf(ocsf::Args),
    Atif(atif::Args),
    Report(report::Args),
    Tiles(tiles::Args),
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match &args.format {
        Format::Acts(args) => acts::run(args, place, term),
        Format::Atif(args) => atif::run(args, place, term),
        Format::Bundle(args) => bundle::run(args, place, term),
        Format::Csv(args) => csv::run(args, place, term),
        Format::Intoto(args) => intoto::run(args, place, term),
        Format::Ocsf(args) => ocsf::run(args, place, term),
        Format::Jsonl(args) => jsonl::run(args, place, term),
        Format::Report(args) => report::run(args, place, term),
        Format::Tiles(args) => tiles::run(args, place, term),
    }
}
