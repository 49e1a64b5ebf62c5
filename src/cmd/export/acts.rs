//! `tacho export acts`: what humans signed, for `ssh-keygen -Y verify`.

use std::path::PathBuf;

use tacho_recorder::export::acts::Acts;
use tacho_recorder::export::select;

use super::out::{self, From, filter};
use super::tiles::make_empty;
use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// Write what humans signed as files that `ssh-keygen -Y verify` checks
///
/// For each approval, kill, lease, note and erasure with a signature: `SEQ.statement` and `SEQ.sig`. `allowed_signers` holds the
/// humans' keys as the log enrolled them, `acts.jsonl` which record, holder and namespace each is of.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho export acts acts\n  ssh-keygen -Y verify -f acts/allowed_signers -I HOLDER -n NAMESPACE -s acts/17.sig < acts/17.statement"
)]
pub(crate) struct Args {
    /// Only records that meet this; `tacho list --help` says how it is written
    #[arg(
        long,
        short = 'f',
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,

    /// A new or empty folder
    dir: PathBuf,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let chosen = filter(&args.filter)?;
    let from = From::open(place)?;
    make_empty(&args.dir)?;
    let mut acts = Acts::new(&args.dir);
    let keys = filter("kind:key")?;
    select::each(
        &from.dir,
        &from.reader,
        (&keys, from.size),
        |_, _| (),
        |shown| Ok::<(), Failure>(acts.enrol(&shown)?),
    )?;
    let mut count = 0;
    let mut progress = term.progress("exporting");
    select::each(
        &from.dir,
        &from.reader,
        (&chosen, from.size),
        |done, all| progress.show(done, all),
        |shown| {
            count += 1;
            Ok::<(), Failure>(acts.take(&shown)?)
        },
    )?;
    drop(progress);
    acts.finish()?;
    from.say(count, (acts.written, "act"), &acts.losses, term);
    Ok(out::exit(acts.written, term))
}
