//! `tacho policy replay`: what another policy would have said.

use std::collections::BTreeMap;

use tacho_policy::replay::{Outcome, Replay};
use tacho_policy::table::name_of;
use tacho_recorder::read::View;
use tacho_schemas::Kind;
use tacho_schemas::body::Body;
use tacho_schemas::body::work;
use tacho_schemas::content::Field;
use tacho_schemas::record::Via;

use super::source;
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, count, safe};

/// Decide the recorded history again by another policy and list what would change
///
/// A decision depends on the request, on what the gate knew, and on the rules. The log keeps the first two with each action, so
/// that every changed verdict is exact. What cannot be decided again is counted apart, with why. Exit code 1 if anything changes,
/// or if nothing could be decided at all.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho policy replay strict\n  tacho policy replay my.cedar --json | jq 'select(.change == \"allow->deny\")'"
)]
pub(crate) struct Args {
    /// A preset or a file
    policy: String,

    /// Print each change as JSON, one a line, and the counts as the last line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let policies = source::policy(Some(&args.policy), place)?;
    let dir = place.open_to_read()?;
    let reader = place::reader(&dir)?;
    let view = View::new(&reader)?;
    let mut replay = Replay::new(&policies);
    let mut changes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut not: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut same, mut decisions) = (0_u64, 0_u64);
    let size = view.size();
    let mut progress = term.progress("replaying");
    let mut lines = Vec::new();
    view.of_kind(Kind::Action, |shown| {
        progress.show(shown.seq.0, size);
        let Ok(record) = &shown.meaning else {
            return Ok(());
        };
        let Body::Action(action) = &record.body else {
            return Ok(());
        };
        // What others say was decided is a claim; only the gate decided.
        let Some(verdict) = action.verdict.as_ref().filter(|_| record.via == Via::Gate) else {
            return Ok(());
        };
        decisions = decisions.saturating_add(1);
        let request = shown.row.text(Field::Request);
        let facts = shown.row.text(Field::Facts);
        match replay.decide(verdict, request, facts) {
            Outcome::Same => same = same.saturating_add(1),
            Outcome::NotReplayable(why) => {
                let count = not.entry(why).or_default();
                *count = count.saturating_add(1);
                if args.json {
                    lines.push(serde_json::json!({ "seq": shown.seq, "change": "not_replayable", "why": why }));
                }
            }
            Outcome::Changed { was, now, reason } => {
                let change = format!("{}->{}", was.name(), answer(now));
                if args.json {
                    lines.push(serde_json::json!({
                        "seq": shown.seq, "change": change, "kind": name_of(now), "tool": action.tool, "reason": reason,
                    }));
                } else {
                    let line = format!("#{} {}: {}", shown.seq, safe(action.tool.as_str()), safe(&reason));
                    changes.entry(change).or_default().push(line);
                }
            }
        }
        Ok::<(), Failure>(())
    })?;
    drop(progress);
    let unable = not.values().fold(0_u64, |a, b| a.saturating_add(*b));
    let changed = decisions.saturating_sub(same).saturating_sub(unable);
    if args.json {
        for line in lines {
            term.line(line.to_string())?;
        }
        let counts = serde_json::json!({
            "decisions": decisions, "same": same, "changed": changed, "not_replayable": unable, "policy": policies.name(),
            "digest": policies.digest(),
        });
        term.line(counts.to_string())?;
    } else {
        for (change, lines) in &changes {
            let title = change.to_uppercase().replace("->", " → ");
            let number = u64::try_from(lines.len()).unwrap_or(u64::MAX);
            term.line(term.paint(
                Tone::Strong,
                &format!("{title}  ({})", count(number, "decision")),
            ))?;
            for line in lines {
                term.line(format!("  {line}"))?;
            }
        }
        if !not.is_empty() {
            term.line(term.paint(
                Tone::Strong,
                &format!("not replayable  ({})", count(unable, "decision")),
            ))?;
            for (why, number) in &not {
                term.line(format!("  {number}: {why}"))?;
            }
        }
        term.line(format!(
            "{} by the gate: {same} the same under `{}`, {changed} changed, {unable} not replayable",
            count(decisions, "decision"),
            safe(policies.name()),
        ))?;
    }
    if same == 0 && changed == 0 {
        term.note("nothing could be decided again, so nothing is known about this policy");
        return Ok(Exit::Negative);
    }
    Ok(if changed == 0 {
        Exit::Done
    } else {
        Exit::Negative
    })
}

fn answer(now: tacho_policy::Decision) -> &'static str {
    match now {
        tacho_policy::Decision::Allow => work::Decision::Allow.name(),
        tacho_policy::Decision::Deny(_) => work::Decision::Deny.name(),
        tacho_policy::Decision::Hold => work::Decision::Hold.name(),
    }
}
