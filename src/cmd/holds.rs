//! `tacho holds`: what waits for people.

use std::time::Duration;

use tacho_recorder::gate::client::Client;
use tacho_recorder::gate::reviewers_socket;
use tacho_recorder::gate::wire::Held;

use crate::place::Place;
use crate::term::{Exit, Failure, Term, Tone, safe, safe_block};

/// Show the calls that wait for people
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tacho holds\n  tacho holds --json | jq .hold")]
pub(crate) struct Args {
    /// Show only this hold, whole
    hold: Option<u64>,

    /// Print one JSON object a hold
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let holds = client(place)?.holds()?.holds;
    let wanted = |held: &&Held| args.hold.is_none_or(|seq| held.hold.0 == seq);
    let mut shown = 0_u32;
    for held in holds.iter().filter(wanted) {
        shown += 1;
        if args.json {
            let line = serde_json::to_string(held).map_err(|e| Failure::new(e.to_string()))?;
            term.line(line)?;
        } else if args.hold.is_some() {
            show(held, term)?;
        } else {
            term.line(format!(
                "{:<8} {:<16} {:<12} {}",
                held.hold.to_string(),
                safe(held.agent.as_str()),
                safe(held.tool.as_str()),
                safe(&held.reason)
            ))?;
        }
    }
    if let (Some(seq), 0) = (args.hold, shown) {
        return Err(Failure::new(format!("there is no open hold {seq}"))
            .hint("`tacho holds` lists those that are open"));
    }
    if shown == 0 && !args.json {
        term.note("nothing waits for people");
    }
    Ok(Exit::Done)
}

/// The gate, as people reach it.
pub(crate) fn client(place: &Place) -> Result<Client, Failure> {
    let socket = reviewers_socket(&place.log()?);
    Ok(Client::new(&socket, None, Duration::from_secs(30)))
}

/// Shows all that somebody must see before answering. What the agent wrote is escaped, and marked as its words.
pub(crate) fn show(held: &Held, term: &mut Term) -> Result<(), Failure> {
    term.line(term.paint(Tone::Strong, &format!("hold {}", held.hold)))?;
    let class = held.class.map_or(String::new(), |c| format!(" ({c})"));
    term.line(format!(
        "  agent     {} in session {}",
        safe(held.agent.as_str()),
        held.session
    ))?;
    term.line(format!("  tool      {}{class}", safe(held.tool.as_str())))?;
    term.line(format!(
        "  since     {}, open until {}",
        held.since, held.deadline
    ))?;
    term.line(format!("  why held  {}", safe(&held.reason)))?;
    if !held.approved_by.is_empty() {
        let names: Vec<_> = held.approved_by.iter().map(|id| id.as_str()).collect();
        term.line(format!("  approved  {}", names.join(", ")))?;
    }
    if let Some(summary) = &held.summary {
        term.line("")?;
        term.line(term.paint(Tone::Dim, "  the agent says:"))?;
        for line in safe_block(summary).lines().take(40) {
            term.line(format!("  │ {line}"))?;
        }
    }
    term.line("")?;
    match &held.diff {
        Some(diff) => {
            for line in safe_block(diff).lines() {
                let tone = match line.chars().next() {
                    Some('+') => Tone::Good,
                    Some('-') => Tone::Bad,
                    _ => Tone::Dim,
                };
                term.line(format!("  {}", term.paint(tone, line)))?;
            }
        }
        None => {
            term.line(term.paint(Tone::Dim, "  what goes into the tool:"))?;
            for line in safe_block(&pretty(&held.input)).lines() {
                term.line(format!("  {line}"))?;
            }
        }
    }
    Ok(())
}

/// JSON in lines; a text with line feeds as the lines it has.
fn pretty(input: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(input) {
        Ok(serde_json::Value::Object(fields)) => {
            let mut text = String::new();
            for (name, value) in fields {
                match value {
                    serde_json::Value::String(lines) => {
                        text.push_str(&format!("{name}:\n"));
                        for line in lines.lines() {
                            text.push_str(&format!("  {line}\n"));
                        }
                    }
                    other => text.push_str(&format!("{name}: {other}\n")),
                }
            }
            text
        }
        _ => input.to_owned(),
    }
}
