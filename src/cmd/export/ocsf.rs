//! `tacho export ocsf`: records as OCSF events.

use tacho_recorder::export::ocsf::Events;
use tacho_recorder::read::View;

use super::out::{self, Choice, From, Hide, Out};
use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// Write records as events of the Open Cybersecurity Schema Framework (OCSF) 1.8.0, one a line
///
/// Actions, mutations and approvals become API Activity; keys, policies, kills and releases Entity Management; alarms Detection
/// Findings. OCSF has no class for the rest: it is counted. What an event has no place for stands under `unmapped`.
///
/// With `--record-integrity` events are of OCSF 1.9.0 and form a chain: it shows what was changed or taken out after the export.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  tacho export ocsf events.jsonl --filter 'since:2026-03-01' --withhold summary"
)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,

    #[command(flatten)]
    hide: Hide,

    /// Add the profile `record_integrity` of OCSF 1.9.0: each event's SHA-256, and that of the event before it
    #[arg(long)]
    record_integrity: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let from = From::open(place)?;
    let view = View::new(&from.reader)?;
    let mut events = Events::new(
        args.hide.withhold()?,
        &view,
        env!("CARGO_PKG_VERSION"),
        args.record_integrity,
    )?;
    drop(view);
    let out = Out::open(args.choice.out())?;
    let chosen = from.stream(
        (&args.choice, out),
        term,
        b"",
        &mut events,
        |events, shown, out| Ok(events.take(shown, out)?),
        |_, _| (),
    )?;
    from.say(chosen, (events.written, "event"), &events.losses, term);
    Ok(out::exit(events.written, term))
}
