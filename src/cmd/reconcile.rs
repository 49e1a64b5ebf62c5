//! `tacho reconcile`: an agent's own transcript against the log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tacho_recorder::ErrorKind;
use tacho_recorder::draft::Way;
use tacho_recorder::gate::client::Client;
use tacho_recorder::gate::{reviewers_socket, wire};
use tacho_recorder::hook::reconcile::{self, Gap};
use tacho_recorder::read::View;
use tacho_schemas::Id;
use tacho_schemas::Seq;
use tacho_schemas::body::log::{Gap as GapBody, GapKind};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType};

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, count, safe};

/// The most gaps that are told one by one in a record.
const TOLD: usize = 100;

/// Hold an agent's own transcript against the log
///
/// Says which tool calls of a transcript of Claude Code or a rollout of Codex never asked the gate, which have a result and no
/// outcome, which ran although they were denied, and which had another input than the one that was decided. What is found becomes
/// a `gap` record of each sort, through the gate if it runs. Exits with 1 if anything is found. A transcript is what the agent's own
/// program wrote: that nothing is found is no proof that there was nothing.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho reconcile ~/.claude/projects/my-app/3f9c2094.jsonl\n  tacho reconcile --session 12 --dry-run rollout.jsonl"
)]
pub(crate) struct Args {
    /// The transcript
    #[arg(value_name = "TRANSCRIPT")]
    transcript: PathBuf,

    /// The session's record [default: the sessions that the transcript names, else all]
    #[arg(long, value_name = "SEQ")]
    session: Option<u64>,

    /// Write no records
    #[arg(long)]
    dry_run: bool,

    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let (agent, told) = reconcile::read(&args.transcript)?;
    let session = args.session.map(Seq);
    let gaps = {
        let dir = place.open_to_read()?;
        let reader = place::reader(&dir)?;
        let view = View::new(&reader)?;
        let gated = reconcile::gated(&view, session, &told.sessions)?;
        reconcile::compare(&told, &gated)
    };
    let mut records = Vec::new();
    if !args.dry_run {
        for (kind, of_kind) in by_kind(&gaps) {
            records.push(write(kind, &of_kind, session, args, place)?);
        }
    }
    let calls = u64::try_from(told.calls.len()).unwrap_or(u64::MAX);
    if args.json {
        let value = serde_json::json!({
            "agent": agent.id(), "sessions": told.sessions, "calls": calls, "unread": told.unread, "gaps": gaps,
            "records": records,
        });
        term.line(value.to_string())?;
    } else {
        for gap in &gaps {
            let mark = term.paint(Tone::Bad, &format!("{:<9}", gap.gap.to_string()));
            let action = gap
                .action
                .map_or_else(String::new, |seq| format!(" (action {seq})"));
            term.line(format!(
                "{mark}  {} {}{action}: {}",
                safe(&gap.tool),
                safe(&gap.call),
                gap.detail
            ))?;
        }
        let told_calls = count(calls, "tool call");
        term.line(match gaps.is_empty() {
            true => format!("{told_calls} of {agent}, and all of them are in the log"),
            false => format!(
                "{told_calls} of {agent}, {}",
                count(u64::try_from(gaps.len()).unwrap_or(u64::MAX), "gap")
            ),
        })?;
        if told.unread > 0 {
            term.note(format!("{} could not be read", count(told.unread, "line")));
        }
        for seq in &records {
            term.note(format!("recorded as {seq}"));
        }
    }
    // Of nothing there is no good answer.
    if calls == 0 {
        return Err(Failure::new("there is no tool call in the transcript"));
    }
    Ok(if gaps.is_empty() {
        Exit::Done
    } else {
        Exit::Negative
    })
}

fn by_kind(gaps: &[Gap]) -> BTreeMap<GapKind, Vec<&Gap>> {
    let mut sorts: BTreeMap<GapKind, Vec<&Gap>> = BTreeMap::new();
    for gap in gaps {
        sorts.entry(gap.gap).or_default().push(gap);
    }
    sorts
}

/// Writes one gap record: through the gate, else into the log itself.
fn write(
    kind: GapKind,
    gaps: &[&Gap],
    session: Option<Seq>,
    args: &Args,
    place: &Place,
) -> Result<Seq, Failure> {
    let mut lines: Vec<String> = gaps
        .iter()
        .take(TOLD)
        .map(|gap| format!("{} {}: {}", gap.tool, gap.call, gap.detail))
        .collect();
    if gaps.len() > TOLD {
        lines.push(format!("and {} more", gaps.len() - TOLD));
    }
    lines.push(format!("transcript {}", args.transcript.display()));
    let detail = lines.join("\n");
    let mut causes: Vec<Seq> = gaps
        .iter()
        .filter_map(|gap| gap.action)
        .take(TOLD)
        .collect();
    causes.sort_unstable();
    causes.dedup();
    let number = u64::try_from(gaps.len()).ok();
    let gap = wire::Gap {
        gap: kind,
        count: number,
        detail: Some(detail.clone()),
        session,
        causes: (!causes.is_empty()).then(|| causes.clone()),
    };
    let socket = reviewers_socket(&place.log()?);
    let gate = Client::new(&socket, None, Duration::from_secs(10));
    match gate.post::<wire::Recorded>("/v1/gap", &gap) {
        Ok(recorded) => return Ok(recorded.seq),
        // No gate runs: the log is ours to write.
        Err(error) if error.kind() == ErrorKind::Missing => {}
        Err(error) => return Err(error.into()),
    }
    let log = place.open(place::options()?)?;
    let actor = Actor {
        actor_type: ActorType::System,
        id: Id::new("tacho").map_err(Failure::from)?,
        model: None,
        on_behalf_of: None,
    };
    let body = GapBody {
        gap: kind,
        count: number,
        since: None,
        until: None,
    };
    let mut event = Event::new(actor, body).with(Field::Detail, detail);
    event.session = session;
    event.causes = causes;
    let receipt = log.append(event, Way::recorder())?;
    log.close()?;
    Ok(receipt.seq)
}
