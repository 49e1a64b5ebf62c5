//! `tacho lease`: a dead man's switch. Work goes on only while somebody says so again and again.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::Duration;

use tacho_recorder::switch::{Switch, Target, acts};
use tacho_recorder::{Clock as _, SystemClock};
use tacho_schemas::Seq;

use crate::keep::Keeper;
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term};

/// Let work go on until a moment, and no longer
///
/// Once a scope has a lease, its cells are killed when the lease runs out, whatever failed: the network, the clock's owner, the
/// recorder or the watchdog. With `--every` a command is run again and again, and the lease is renewed each time that it succeeds.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho lease agent:fixer --for 5m --reason 'on duty until lunch'\n  tacho lease all --for 60s --every 20s --reason watchdog -- curl -fsS https://status.example.com/ok"
)]
pub(crate) struct Args {
    /// For whom: all, agent:ID, session:SEQ or lineage:SEQ
    #[arg(value_name = "SCOPE")]
    target: String,

    /// How long, from now: 90s, 5m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = place::duration, required_unless_present = "end")]
    length: Option<Duration>,

    /// Why; it is recorded
    #[arg(long, value_name = "TEXT", required_unless_present = "end")]
    reason: Option<String>,

    /// Renew so often, while the command succeeds
    #[arg(long, value_name = "TIME", value_parser = place::duration, requires = "command")]
    every: Option<Duration>,

    /// Ask for no lease any more; nobody is killed by this
    #[arg(long, conflicts_with_all = ["length", "every", "command"])]
    end: bool,

    /// The watchdog's command
    #[arg(last = true, value_name = "COMMAND", requires = "every")]
    command: Vec<OsString>,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let target = Target::parse(&args.target)?;
    if matches!(target, Target::Part(_)) {
        return Err(Failure::new("a part runs nothing, so it has no lease")
            .hint("name `all`, `agent:ID`, `session:SEQ` or `lineage:SEQ`"));
    }
    let dir = place.open_to_read()?;
    let switch = Switch::of(dir.path(), place::origin(&dir)?);
    if args.end {
        switch.end_lease(&target)?;
        term.line(format!("{target} needs no lease"))?;
        return Ok(Exit::Done);
    }
    let (Some(length), Some(reason)) = (args.length, &args.reason) else {
        return Err(Failure::new("a lease needs a length and a reason"));
    };
    if args.every.is_some_and(|every| every >= length) {
        return Err(Failure::new("the lease would run out before it is renewed")
            .hint("make `--every` shorter than `--for`"));
    }
    let mut last = None;
    loop {
        if let Some((program, rest)) = args.command.split_first() {
            let ran = Command::new(program)
                .args(rest)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status();
            let ran = ran.map_err(|e| {
                Failure::new(format!(
                    "cannot run the watchdog's command: {}",
                    place::plain(&e)
                ))
            })?;
            if !ran.success() {
                return Err(Failure::new(format!(
                    "the watchdog's command failed ({ran}); the lease for {target} is not renewed"
                ))
                .hint("cells under it are killed when it runs out"));
            }
        }
        let seq = grant(place, &switch, &target, length, last, reason)?;
        term.line(format!(
            "{target} may run for {} s more; record {seq}",
            length.as_secs()
        ))?;
        last = Some(seq);
        match args.every {
            Some(every) => std::thread::sleep(every),
            None => return Ok(Exit::Done),
        }
    }
}

/// Records a lease, then gives it: what is not recorded lets nobody run.
fn grant(
    place: &Place,
    switch: &Switch,
    target: &Target,
    length: Duration,
    renews: Option<Seq>,
    reason: &str,
) -> Result<Seq, Failure> {
    let clock = SystemClock::new()?;
    let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let until = clock.boottime_ns().saturating_add(length);
    let keeper = Keeper::open(place)?;
    let seq = keeper.append(
        acts::lease(acts::user()?, target, until, renews, reason)?,
        acts::by_hand(),
    )?;
    keeper.close()?;
    switch.grant(target, clock.boot_id(), until)?;
    Ok(seq)
}
