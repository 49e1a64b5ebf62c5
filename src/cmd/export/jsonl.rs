//! `tacho export jsonl`: records as JSON Lines.

use std::path::PathBuf;

use tacho_recorder::export::line::Lines;

use super::out::{self, Choice, From, Hide, Out};
use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// Write records as JSON Lines, one object a record
///
/// The shape is `schemas/record.schema.json`: names instead of numbers, RFC 3339 times, hashes in hex, texts under `text_of`, hashes
/// of files under `files`. Each record is checked against the tree and its text against its commitment before it is written; one
/// that is not what was recorded ends the export, and no file is made. What is not in the lines is counted on stderr.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho export jsonl march.jsonl --filter 'since:2026-03-01 until:2026-03-31'\n  tacho export jsonl --withhold reasoning,input | jq .kind"
)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,

    #[command(flatten)]
    hide: Hide,
}

impl Args {
    /// All of the records that meet a filter, into a file.
    pub(crate) fn of(filter: String, out: PathBuf) -> Self {
        Self {
            choice: Choice::of(filter, out),
            hide: Hide::default(),
        }
    }
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    write(args, &From::open(place)?, term)
}

/// Writes what was opened.
pub(crate) fn write(args: &Args, from: &From, term: &mut Term) -> Result<Exit, Failure> {
    let mut lines = Lines::new(args.hide.withhold()?);
    let out = Out::open(args.choice.out())?;
    let chosen = from.stream(
        (&args.choice, out),
        term,
        b"",
        &mut lines,
        |lines, shown, out| Ok(lines.take(shown, out)?),
        |_, _| (),
    )?;
    if lines.written != chosen {
        return Err(Failure::new(format!(
            "{chosen} records were chosen, and {} written",
            lines.written
        )));
    }
    from.say(chosen, (lines.written, "line"), &lines.losses, term);
    Ok(out::exit(chosen, term))
}
