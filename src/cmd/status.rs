//! `tacho status`: everything at a glance. Only the last part needs a gate.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tacho_recorder::audit::{Question, audit};
use tacho_recorder::gate::client::Client;
use tacho_recorder::gate::wire::GateStatus;
use tacho_recorder::read::View;
use tacho_recorder::run::{Card, tree};
use tacho_recorder::switch::lease::Freshness;
use tacho_recorder::switch::standing::{Open, Standing};
use tacho_recorder::switch::{Engaged, State, Switch};
use tacho_recorder::{Clock as _, ErrorKind, LogDir, SystemClock};
use tacho_schemas::body::Body;
use tacho_schemas::verify::{Anchor, Authenticity, Report};
use tacho_schemas::{Kind, Seq, Time};

use crate::cmd::verify;
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, count, safe};

/// The longest log that is verified whole just to be looked at, in records.
const WHOLE: u64 = 50_000;

/// How long the gate may take to tell about itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// Show everything at a glance
///
/// The off switch and who is killed, cells that run, leases, the last drill, the log, whether it verifies and the space it has, and,
/// where a gate runs, its policy, sessions and holds. Exits with 4 if everybody is killed, else with 1 if no gate runs.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tacho status\n  tacho status --json | jq .cells")]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A cell that runs.
#[derive(Serialize)]
struct Cell {
    agent: Option<String>,
    session: Option<Seq>,
    program: String,
    workspace: String,
    level: tacho_recorder::run::Level,
    since: Time,
    processes: usize,
}

/// A lease.
#[derive(Serialize)]
struct Lease {
    target: String,
    /// Seconds that are left; none if it has run out.
    left: Option<u64>,
}

/// The last try of the switch.
#[derive(Serialize)]
struct Drill {
    record: Seq,
    time: Time,
    passed: bool,
}

/// What needs no gate.
struct Seen {
    switch: State,
    open: Vec<Open>,
    cells: Vec<Cell>,
    leases: Vec<Lease>,
    drill: Option<Drill>,
    records: u64,
    verified: Option<Report>,
    used: u64,
    free: u64,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let dir = place.open_to_read()?;
    let seen = look(&dir)?;
    let gate = gate(&dir)?;
    if args.json {
        term.line(to_json(&seen, gate.as_ref())?.to_string())?;
    } else {
        print(&seen, &dir, term)?;
        match &gate {
            Some(gate) => print_gate(gate, term)?,
            None => {
                term.line("gate      no gate runs for this log: whatever asks is denied")?;
                term.note("hint: `tacho serve` starts it, and so does `tacho run`");
            }
        }
    }
    Ok(match (&seen.switch.all, gate) {
        (Engaged::Yes(_), _) => Exit::Code(4),
        (_, None) => Exit::Negative,
        _ => Exit::Done,
    })
}

fn gate(dir: &LogDir) -> Result<Option<GateStatus>, Failure> {
    let socket = dir.path().join("reviewers.sock");
    match Client::new(&socket, None, PATIENCE).get("/v1/status") {
        Ok(status) => Ok(Some(status)),
        Err(error) if error.kind() == ErrorKind::Missing => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn look(dir: &LogDir) -> Result<Seen, Failure> {
    let reader = place::reader(dir)?;
    let view = View::new(&reader)?;
    let switch = Switch::of(dir.path(), place::origin(dir)?);
    let clock = SystemClock::new()?;
    let now = clock.boottime_ns();
    let mut drill = None;
    view.of_kind(Kind::Drill, |shown| {
        if let (true, Ok(record)) = (shown.in_tree, &shown.meaning)
            && let Body::Drill(body) = &record.body
        {
            drill = Some(Drill {
                record: shown.seq,
                time: record.time,
                passed: body.passed && body.stop.survivors == 0,
            });
        }
        Ok::<(), Failure>(())
    })?;
    let leases = switch.leases()?.into_iter().map(|target| Lease {
        left: match switch.lease(&target, Some((clock.boot_id(), now))) {
            Freshness::Fresh { until } => Some(until.saturating_sub(now) / 1_000_000_000),
            _ => None,
        },
        target: target.to_string(),
    });
    let cells = Card::all(switch.dir()).into_iter().map(|card| Cell {
        agent: card.duty.agent.as_ref().map(ToString::to_string),
        session: card.duty.sessions.first().copied(),
        level: card.level,
        since: Time(card.began),
        processes: tree::below(card.init).len().saturating_add(1),
        program: card.program,
        workspace: card.workspace,
    });
    let records = view.size();
    let verified = match records <= WHOLE {
        false => None,
        true => {
            let question = Question {
                trust: verify::pinned(&Some(place::reader(dir)?)).map(|key| (key, Anchor::Pinned)),
                ..Question::default()
            };
            Some(audit(dir, &question, |_, _| ())?)
        }
    };
    Ok(Seen {
        open: Standing::read(&view)?.open().cloned().collect(),
        switch: switch.state()?,
        cells: cells.collect(),
        leases: leases.collect(),
        drill,
        records,
        verified,
        used: used(dir),
        free: dir.free_bytes()?,
    })
}

/// Bytes of the log's own files.
fn used(dir: &LogDir) -> u64 {
    let files = [dir.database(), dir.wal(), dir.index(), dir.checkpoints()];
    let sizes = files.iter().filter_map(|path| path.metadata().ok());
    sizes.map(|meta| meta.len()).sum()
}

fn to_json(seen: &Seen, gate: Option<&GateStatus>) -> Result<Value, Failure> {
    let armed = match &seen.switch.all {
        Engaged::No { epoch } => json!({"armed": true, "epoch": epoch}),
        Engaged::Yes(stop) => json!({"armed": false, "why": stop.to_string()}),
    };
    let killed: Vec<_> = seen.switch.killed.iter().map(ToString::to_string).collect();
    let open: Vec<_> = (seen.open.iter())
        .map(|open| json!({"kill": open.seq, "target": open.target.to_string()}))
        .collect();
    let value = || -> Result<Value, serde_json::Error> {
        Ok(json!({
            "switch": armed, "killed": killed, "kills": open,
            "cells": serde_json::to_value(&seen.cells)?, "leases": serde_json::to_value(&seen.leases)?,
            "drill": serde_json::to_value(&seen.drill)?,
            "log": {"records": seen.records, "bytes": seen.used, "free": seen.free, "verified": seen.verified.as_ref().map(Report::is_good)},
            "gate": serde_json::to_value(gate)?,
        }))
    };
    value().map_err(|e| Failure::new(e.to_string()))
}

fn print(seen: &Seen, dir: &LogDir, term: &mut Term) -> Result<(), Failure> {
    match &seen.switch.all {
        Engaged::No { .. } => {
            term.line(format!("switch    {}", term.paint(Tone::Good, "armed")))?
        }
        Engaged::Yes(stop) => {
            let said = term.paint(Tone::Bad, &safe(&stop.to_string()));
            term.line(format!("switch    {said}"))?;
        }
    }
    for target in &seen.switch.killed {
        let said = term.paint(Tone::Bad, &safe(&target.to_string()));
        term.line(format!("          {said} is killed"))?;
    }
    for open in &seen.open {
        let said = format!(
            "kill {} of {}, not released",
            open.seq,
            safe(&open.target.to_string())
        );
        term.line(format!("          {}", term.paint(Tone::Dim, &said)))?;
    }
    if seen.cells.is_empty() {
        term.line("cells     none")?;
    }
    for cell in &seen.cells {
        term.line(format!(
            "cell      {} in {} since {}: {}, {}{}",
            safe(&cell.program),
            safe(&cell.workspace),
            cell.since,
            count(u64::try_from(cell.processes).unwrap_or(u64::MAX), "process")
                .replace("processs", "processes"),
            cell.level.confinement(),
            cell.session
                .map_or_else(String::new, |seq| format!(", session {seq}")),
        ))?;
    }
    for lease in &seen.leases {
        let left = match lease.left {
            Some(left) => format!("{left} s left"),
            None => term.paint(Tone::Bad, "run out"),
        };
        term.line(format!("lease     {}: {left}", safe(&lease.target)))?;
    }
    term.line(match &seen.drill {
        None => format!(
            "drill     {}",
            term.paint(Tone::Warn, "never tried: `tacho drill`")
        ),
        Some(drill) => {
            let (word, tone) = match drill.passed {
                true => ("passed", Tone::Good),
                false => ("FAILED", Tone::Bad),
            };
            let said = term.paint(tone, word);
            format!(
                "drill     {said} at {} (record {})",
                drill.time, drill.record
            )
        }
    })?;
    term.line(format!(
        "log       {} with {}, {}; {} free",
        safe(&dir.path().display().to_string()),
        count(seen.records, "record"),
        size(seen.used),
        size(seen.free)
    ))?;
    term.line(format!("verified  {}", verified(seen, term)))
}

/// What a verification came to, in one line.
fn verified(seen: &Seen, term: &Term) -> String {
    let Some(report) = &seen.verified else {
        let long = "the newest signature holds; `tacho verify` checks all of so long a log";
        return term.paint(Tone::Dim, long);
    };
    if report.is_good() {
        let sound = term.paint(Tone::Good, "sound");
        return format!("{sound}: all {}, just now", count(report.size, "record"));
    }
    let why = match (&report.authenticity, report.integrity.violations.first()) {
        (_, Some(violation)) => format!("NOT SOUND: {}", violation.what),
        (Authenticity::Anchored { .. }, None) => "NOT SOUND".to_owned(),
        _ => "sound in itself, and by a key that nobody here knows".to_owned(),
    };
    format!(
        "{}; `tacho verify` says more",
        term.paint(Tone::Bad, &safe(&why))
    )
}

/// Bytes, for people.
fn size(bytes: u64) -> String {
    let (mut shown, mut unit) = (bytes, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if shown < 10_240 {
            break;
        }
        (shown, unit) = (shown / 1024, next);
    }
    format!("{shown} {unit}")
}

fn print_gate(status: &GateStatus, term: &mut Term) -> Result<(), Failure> {
    term.line(format!(
        "gate      {} since {}",
        safe(&status.origin),
        status.since
    ))?;
    let single = if status.single_person {
        " (single person)"
    } else {
        ""
    };
    term.line(format!(
        "policy    {} {}{single}",
        safe(&status.policy),
        term.paint(Tone::Dim, &format!("record {}", status.policy_record))
    ))?;
    for problem in &status.problems {
        term.line(format!(
            "          {}",
            term.paint(Tone::Warn, &safe(problem))
        ))?;
    }
    let people: Vec<_> = status.approvers.iter().map(|id| id.as_str()).collect();
    term.line(format!(
        "people    {}",
        if people.is_empty() {
            "nobody".to_owned()
        } else {
            people.join(", ")
        }
    ))?;
    term.line(format!(
        "holds     {} open, {} waiting at this moment",
        status.holds, status.waiting
    ))?;
    for session in &status.sessions {
        term.line(format!(
            "session   {} {} {} {} allowed, {} denied",
            session.session,
            safe(session.agent.as_str()),
            session.confinement,
            session.allowed,
            session.denied
        ))?;
    }
    Ok(())
}
