//! `tacho export csv`: a population, or a sample of it.

use tacho_recorder::export::population::{Population, Sample};

use super::out::{self, Choice, From, Out};
use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// Write records as CSV: a population to draw samples from, or a sample
///
/// Ids, numbers and names of the format only, no free text. With `--sample` and `--seed` the records with the smallest ranks are
/// written; a rank is SHA-256 over the seed, a line feed, and the record's number. So anybody who knows the seed draws the same
/// sample: agree on the seed before the population is known.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho export csv population.csv --filter 'kind:action verdict:allow'\n  tacho export csv sample.csv --filter 'kind:mutation' --sample 25 --seed 'audit 2026-03'"
)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,

    /// Draw so many records
    #[arg(long, value_name = "COUNT", requires = "seed", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,

    /// What the sample is drawn by
    #[arg(long, value_name = "TEXT", requires = "sample")]
    seed: Option<String>,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let sample = args
        .sample
        .zip(args.seed.clone())
        .map(|(count, seed)| Sample {
            count: usize::try_from(count).unwrap_or(usize::MAX),
            seed,
        });
    let mut rows = Population::new(sample);
    let from = From::open(place)?;
    let header = rows.header();
    let out = Out::open(args.choice.out())?;
    let chosen = from.stream(
        (&args.choice, out),
        term,
        header.as_bytes(),
        &mut rows,
        |rows, shown, out| Ok(rows.take(&shown, out)?),
        |rows, out| rows.finish(out),
    )?;
    from.say(chosen, (rows.written, "row"), &rows.losses, term);
    Ok(out::exit(chosen, term))
}
