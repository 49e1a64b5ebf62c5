//! How fast the off switch is: from the order to the flag, to the next answer, and to an empty cell.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tacho_recorder::run::Reach;
use tacho_recorder::switch::Target;
use tacho_schemas::Id;

use super::gate::Open;
use super::ground::Ground;
use super::stats::{millis, percentile};
use super::table::{Bound, Row};
use crate::cmd::drill::drill;
use crate::place;
use crate::term::{Failure, Term};

/// How many processes a scratch cell holds.
const PROCESSES: u16 = 16;

pub(super) fn measure(
    options: &super::Options,
    ground: &Ground,
    term: &mut Term,
) -> Result<Vec<Row>, Failure> {
    let rounds = if options.quick { 5 } else { 30 };
    let level = Reach::find(&place::exe()?).level;
    let open = Open::make(ground)?;
    let (mut renames, mut flags, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut groups, mut empties) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let progress = &mut term.progress("killing");
        progress.show(round, rounds);
        renames.push(rename(&ground.at("renamed"))?);
        groups.push(group(PROCESSES)?);
        answers.push(answer(&open)?);
        let drilled = drill(level, u64::from(PROCESSES), &ground.at("."))?;
        if drilled.ended.survivors > 0 {
            let left = drilled.ended.survivors;
            return Err(Failure::new(format!("{left} processes outlived a kill")));
        }
        flags.push(Duration::from_nanos(drilled.flag));
        empties.push(Duration::from_nanos(drilled.empty));
    }
    open.close()?;
    let what = |text: &str| format!("kill ordered -> {text}");
    Ok(vec![
        Row::against(
            what("flag durable, p99"),
            ("rename and fsync p99", millis(percentile(&mut renames, 99))),
            millis(percentile(&mut flags, 99)),
            "ms",
        )
        .budget(Bound::OursAtMost(5.0), "1 ms"),
        Row::alone(
            what("the next decide says killed, p99"),
            millis(percentile(&mut answers, 99)),
            "ms",
        )
        .budget(Bound::OursAtMost(10.0), "2 ms"),
        Row::against(
            what(&format!("{PROCESSES} processes gone, p50 ({level:?})")),
            ("killpg and wait p50", millis(percentile(&mut groups, 50))),
            millis(percentile(&mut empties, 50)),
            "ms",
        )
        .budget(Bound::OursAtMost(10.0), "6 ms"),
        Row::against(
            what(&format!("{PROCESSES} processes gone, the slowest")),
            ("killpg and wait", millis(percentile(&mut groups, 100))),
            millis(percentile(&mut empties, 100)),
            "ms",
        )
        .budget(Bound::OursAtMost(50.0), "10 ms"),
    ])
}

/// A rename that is durable: the least that a flag takes on this disk.
fn rename(path: &Path) -> Result<Duration, Failure> {
    let failed = |e: std::io::Error| Failure::new(place::plain(&e));
    let to = path.with_extension("flag");
    std::fs::write(path, "").map_err(failed)?;
    let dir = std::fs::File::open(path.parent().unwrap_or(path)).map_err(failed)?;
    dir.sync_all().map_err(failed)?;
    let began = Instant::now();
    std::fs::rename(path, &to)
        .and_then(|()| dir.sync_all())
        .map_err(failed)?;
    let took = began.elapsed();
    std::fs::remove_file(to).map_err(failed)?;
    Ok(took)
}

/// One process group, with nobody who hides, ended by one call and waited for: the least that so many processes take.
fn group(processes: u16) -> Result<Duration, Failure> {
    let failed = |e: std::io::Error| Failure::new(place::plain(&e));
    let mut children: Vec<Child> = Vec::new();
    for _ in 0..processes {
        let leader = children.first().map_or(0, Child::id);
        let child = Command::new("sleep")
            .arg("600")
            .process_group(i32::try_from(leader).unwrap_or(0))
            .stdin(Stdio::null())
            .spawn();
        children.push(child.map_err(failed)?);
    }
    let leader = children
        .first()
        .and_then(|child| i32::try_from(child.id()).ok());
    let began = Instant::now();
    if let Some(leader) = leader {
        killpg(Pid::from_raw(leader), Signal::SIGKILL).map_err(|e| failed(e.into()))?;
    }
    for child in &mut children {
        child.wait().map_err(failed)?;
    }
    Ok(began.elapsed())
}

/// The agent is killed, and asks.
fn answer(open: &Open) -> Result<Duration, Failure> {
    let target = Target::Agent(Id::new(super::gate::AGENT)?);
    let began = Instant::now();
    open.switch.flag(&target)?;
    let said = open.once(&open.read())?;
    let took = began.elapsed();
    if !said.contains(r#""killed":true"#) {
        return Err(Failure::new(format!(
            "the agent was killed and hears: {said}"
        )));
    }
    open.switch.release(&target, 0)?;
    Ok(took)
}
