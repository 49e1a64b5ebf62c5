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

use std::path::PathBuf;

use clap::Subcommand;

use crate::place::Place;
use crate::term::{Exit, Failure, Term, safe};

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

/// Writes the records that meet a filter into a new file: JSON Lines if its name says so, else a bundle. Of a log that is broken,
/// those that are proven.
pub(crate) fn into_file(
    (filter, proven): (&str, bool),
    path: PathBuf,
    place: &Place,
    term: &mut Term,
) -> Result<Vec<String>, Failure> {
    let name = safe(&path.display().to_string()).into_owned();
    let filter = filter.to_owned();
    let lines = path.extension().is_some_and(|ending| ending == "jsonl");
    let exit = match (lines, proven) {
        (true, false) => jsonl::run(&jsonl::Args::of(filter, path), place, term)?,
        (true, true) => {
            let from = out::From::proven(place, term)?;
            jsonl::write(&jsonl::Args::of(filter, path), &from, term)?
        }
        (false, true) => {
            return Err(
                Failure::new("no bundle can be made of a log that is broken")
                    .hint("a file whose name ends with `.jsonl` takes what is proven"),
            );
        }
        (false, false) => bundle::run(&bundle::Args::of(filter, path), place, term)?,
    };
    let what = if lines { "JSON Lines" } else { "a bundle" };
    Ok(match exit {
        Exit::Done => vec![format!("wrote {what} into {name}")],
        _ => vec![
            format!("wrote {what} into {name}"),
            "no record met the filter, or something of those that did is gone".to_owned(),
        ],
    })
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
