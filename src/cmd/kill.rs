//! `tacho kill`: stops agents. The flag first, then the processes, then the record.

use std::path::{Path, PathBuf};

use tacho_recorder::draft::Way;
use tacho_recorder::enrol::Enrolled;
use tacho_recorder::read::View;
use tacho_recorder::run::Card;
use tacho_recorder::run::card::Ended;
use tacho_recorder::switch::acts::{self, Ordered};
use tacho_recorder::switch::{Switch, Target, reconcile};
use tacho_recorder::{Clock as _, SystemClock};
use tacho_schemas::act::{NAMESPACE, Statement, Verb};
use tacho_schemas::body::human::{Act, Trigger};
use tacho_schemas::body::work::Stop;
use tacho_schemas::scalar::Blob;
use tacho_schemas::sshsig;
use tacho_schemas::{Hash, Id, Seq, Time};

use crate::cmd::approve::{find_key, sign as ssh_sign};
use crate::keep::Keeper;
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, count, safe};

/// Stop everybody, or one agent, session, lineage or part
///
/// Works without the log and without a daemon: a file is renamed, which every hook and every cell looks at, and the processes of the
/// cells are ended. Then it is recorded. `tacho release` undoes it.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho kill all --reason 'it edits its own tests'\n  tacho kill agent:fixer --reason 'asked by ops' --freeze --key ~/.ssh/id_ed25519"
)]
pub(crate) struct Args {
    /// What to stop: all, agent:ID, session:SEQ, lineage:SEQ or part:NAME
    #[arg(value_name = "SCOPE")]
    target: String,

    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Sign it with this key, as for `tacho release`: then the record says who ordered it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Leave the processes stopped where they are, for forensics; a kill without it then ends them
    #[arg(long)]
    freeze: bool,

    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// How long the signature of a kill may take to reach the log, in ns: one hour.
const SIGNED_FOR: i64 = 3_600_000_000_000;

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let order = Order {
        target: &args.target,
        reason: &args.reason,
        key: args.key.as_deref(),
        freeze: args.freeze,
    };
    let done = engage(place, &order)?;
    let (t_order, t_flag, t_empty) = (done.t_order, done.t_flag, done.t_empty);
    let (killed, ended, cells) = (&done.killed, done.ended, &done.cells);
    let (flagged, recorded) = (&done.flagged, &done.recorded);
    let ms = |from: u64, to: u64| format!("{:.1} ms", precise(to.saturating_sub(from)));
    if args.json {
        let cells = cells.iter().map(|(card, ended)| {
            serde_json::json!({"program": card.program, "workspace": card.workspace, "init": card.init, "processes": ended.processes,
                "survivors": ended.survivors})
        });
        let answer = serde_json::json!({
            "killed": killed.to_string(), "flag": flagged.is_ok(), "flag_ms": t_flag.map(|t| precise(t.saturating_sub(t_order))),
            "empty_ms": precise(t_empty.saturating_sub(t_order)), "processes": ended.processes, "survivors": ended.survivors,
            "frozen": args.freeze, "cells": cells.collect::<Vec<_>>(), "record": recorded.as_ref().ok().map(|(seq, _)| seq.0),
            "hash": recorded.as_ref().ok().map(|(_, hash)| hash.to_string()),
        });
        term.line(answer.to_string())?;
    } else {
        let what = if args.freeze { "frozen" } else { "killed" };
        term.line(format!("{} {killed}", term.paint(Tone::Bad, what)))?;
        if let Some(t_flag) = t_flag {
            term.line(format!("  flag    durable after {}", ms(t_order, t_flag)))?;
        }
        for (card, ended) in cells {
            term.line(format!(
                "  cell    {} in {}: {}, {} live on",
                safe(&card.program),
                safe(&card.workspace),
                processes(ended.processes),
                ended.survivors
            ))?;
        }
        if cells.is_empty() {
            term.line("  cell    none was running; whoever asks the gate is denied")?;
        } else {
            term.line(format!("  empty   after {}", ms(t_order, t_empty)))?;
        }
        if let Ok((seq, hash)) = recorded {
            term.line(format!("  record  {seq}, hash {hash}"))?;
        }
    }
    for said in done.doubts() {
        term.note(said);
    }
    done.check()?;
    Ok(Exit::Done)
}

/// A kill as somebody orders it.
pub(crate) struct Order<'a> {
    /// All, or what to stop.
    pub(crate) target: &'a str,
    /// Why.
    pub(crate) reason: &'a str,
    /// The key to sign it with.
    pub(crate) key: Option<&'a Path>,
    /// Whether the processes stay where they are.
    pub(crate) freeze: bool,
}

/// A kill that was carried out, and what it met.
#[derive(Debug)]
pub(crate) struct Done {
    target: Target,
    killed: Target,
    freeze: bool,
    cells: Vec<(Card, Ended)>,
    ended: Ended,
    t_order: u64,
    t_flag: Option<u64>,
    t_empty: u64,
    prepared: tacho_recorder::Result<()>,
    flagged: tacho_recorder::Result<Target>,
    synced: tacho_recorder::Result<()>,
    recorded: Result<(Seq, Hash), Failure>,
    /// Why nobody signed for it, although somebody wanted to.
    unsigned: Option<Failure>,
}

impl Done {
    /// What did not go as it should and does not matter to those who were killed.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let mut said = Vec::new();
        if let Err(error) = &self.prepared {
            said.push(safe(&error.to_string()).into_owned());
        }
        if let Some(failure) = &self.unsigned {
            said.push(format!("not signed: {}", safe(failure.what())));
        }
        if let Err(failure) = &self.recorded {
            said.push(format!(
                "not recorded yet: {}; the flag stands, and the next start of the recorder records it",
                safe(failure.what())
            ));
        }
        if self.killed != self.target {
            said.push("no flag was left for the scope, so everybody is stopped".to_owned());
        }
        said
    }

    /// Whether the flag is durable and nobody lives on.
    pub(crate) fn check(self) -> Result<(), Failure> {
        self.flagged?;
        self.synced?;
        if self.ended.survivors > 0 {
            return Err(Failure::new(format!("{} live on", processes(self.ended.survivors)))
                .hint("they hid outside of a cell: find them with `ps`, and run agents where cells are to be had"));
        }
        Ok(())
    }

    /// What was done, in a line.
    pub(crate) fn said(&self) -> String {
        let what = if self.freeze { "frozen" } else { "killed" };
        let record = match &self.recorded {
            Ok((seq, _)) => format!(", record {seq}"),
            Err(_) => String::new(),
        };
        let ended = match self.cells.len() {
            0 => "no cell was running".to_owned(),
            _ => format!("{} ended", processes(self.ended.processes)),
        };
        format!("{what} {}: {ended}{record}", self.killed)
    }
}

fn processes(number: u64) -> String {
    count(number, "process").replace("processs", "processes")
}

/// Engages the switch for a scope: the flag, the processes, then the record. What went wrong after the flag is in what was done.
pub(crate) fn engage(place: &Place, order: &Order<'_>) -> Result<Done, Failure> {
    let (target, freeze) = (Target::parse(order.target)?, order.freeze);
    if order.reason.trim().is_empty() {
        return Err(Failure::new("a kill needs a reason").hint("say why with `--reason TEXT`"));
    }
    let log = place.log()?;
    let switch = place::switch_to_engage(&log)?;
    let t_order = place::boottime()?;
    // What goes wrong here is told at the end: it must not delay the signal.
    let prepared = match freeze {
        true => switch.freeze(),
        false => switch.thaw(),
    };
    // Held before the flag: their supervisors look at it too, and may be quicker.
    let cells = Card::all(switch.dir()).into_iter();
    let cells: Vec<_> = cells
        .filter_map(|card| Some((card.hold()?, card)))
        .collect();
    let flagged = switch.flag(&target);
    let killed = flagged.as_ref().cloned().unwrap_or_else(|_| target.clone());
    let mut ended = Ended::default();
    let mut done = Vec::new();
    // Made durable beside it: the disk and the processes do not wait for each other.
    let durable = {
        let switch = switch.clone();
        std::thread::spawn(move || (switch.sync(), place::boottime()))
    };
    for (held, card) in cells.into_iter().filter(|(_, card)| card.is_under(&killed)) {
        let of_this = match freeze {
            true => {
                let (processes, still) = card.freeze();
                let processes = u64::try_from(processes).unwrap_or(u64::MAX);
                Ended {
                    processes,
                    survivors: if still { 0 } else { processes },
                }
            }
            false => held.end(),
        };
        ended.processes = ended.processes.saturating_add(of_this.processes);
        ended.survivors = ended.survivors.saturating_add(of_this.survivors);
        done.push((card, of_this));
    }
    let cells = done;
    let t_empty = place::boottime()?;
    let (synced, t_flag) = match durable.join() {
        Ok((synced, at)) => (synced, at?),
        Err(_) => (switch.sync(), place::boottime()?),
    };
    let t_flag = (flagged.is_ok() && synced.is_ok()).then_some(t_flag);
    let stop = Stop {
        t_order,
        t_empty: (ended.survivors == 0).then_some(t_empty),
        processes: Some(ended.processes),
        survivors: ended.survivors,
    };
    let ordered = Ordered {
        target: killed.clone(),
        trigger: Trigger::Human,
        freeze,
        t_order,
        t_flag,
        act: None,
    };
    // A passphrase or a touch may be asked for: by now nobody runs any more.
    let (recorded, unsigned) = record(place, ordered, order, stop);
    Ok(Done {
        target,
        killed,
        freeze,
        cells,
        ended,
        t_order,
        t_flag,
        t_empty,
        prepared,
        flagged,
        synced,
        recorded,
        unsigned,
    })
}

/// Milliseconds with their fraction.
fn precise(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64() * 1000.0
}

/// Writes the kill down, and what came of it. Better a kill that nobody signed than one that is not written down: the second
/// answer is why nobody did.
fn record(
    place: &Place,
    mut ordered: Ordered,
    order: &Order<'_>,
    stop: Stop,
) -> (Result<(Seq, Hash), Failure>, Option<Failure>) {
    let mut unsigned = None;
    let write = || {
        let keeper = Keeper::open(place)?;
        let mut actor = acts::user()?;
        if let Some(key) = order.key {
            match sign(place, &keeper, &ordered.target, key) {
                Ok((act, holder)) => {
                    ordered.act = Some(act);
                    actor = acts::human(holder)?;
                }
                Err(failure) => unsigned = Some(failure),
            }
        }
        let kill = acts::kill(actor, &ordered, order.reason)?;
        let kill = keeper.append(kill, acts::by_hand())?;
        keeper.append(acts::stopped(kill, stop)?, Way::recorder())?;
        let hash = keeper.leaf(kill)?;
        keeper.close()?;
        Ok((kill, hash))
    };
    let recorded = write();
    (recorded, unsigned)
}

/// Has somebody who is enrolled sign for the kill.
fn sign(
    place: &Place,
    keeper: &Keeper<'_>,
    target: &Target,
    key: &Path,
) -> Result<(Act, Id), Failure> {
    let (key, human) = find_key(Some(&key.to_owned()))?;
    let dir = place.open_to_read()?;
    let reader = place::reader(&dir)?;
    let enrolled = Enrolled::read(&View::new(&reader)?)?;
    let fingerprint = human.fingerprint();
    let Some(signer) = enrolled.signer(&fingerprint) else {
        return Err(Failure::new("this key is nobody's in the log"));
    };
    let mut nonce = [0; 16];
    place::random(&mut nonce)?;
    let now = SystemClock::new()?.wall_ns();
    let statement = Statement {
        origin: keeper.origin.clone(),
        log_id: keeper.log_id,
        verb: Verb::Kill,
        target: None,
        digest: None,
        policy: None,
        scope: Some(target.to_string()),
        not_before: Time(now),
        not_after: Time(now.saturating_add(SIGNED_FOR)),
        nonce,
        key: fingerprint,
    };
    let text = statement.to_string();
    let blob = sshsig::from_armoured(&ssh_sign(&key, &text)?)?;
    human.verify(NAMESPACE, text.as_bytes(), &blob)?;
    let act = Act {
        key: fingerprint,
        assurance: Some(signer.assurance),
        statement: Blob::new(text.into_bytes())?,
        sshsig: Blob::new(blob)?,
    };
    Ok((act, signer.holder.clone()))
}

/// Makes the flags and the log say the same, through whoever owns the log.
pub(crate) fn reconcile(
    keeper: &Keeper<'_>,
    place: &Place,
    switch: &Switch,
) -> Result<Vec<String>, Failure> {
    let dir = place.open_to_read()?;
    let reader = place::reader(&dir)?;
    let clock = SystemClock::new()?;
    let append = |event, way| keeper.append(event, way);
    reconcile::reconcile(&View::new(&reader)?, switch, &clock, append)
}
