//! `tacho status`: how the gate stands.

use tacho_recorder::ErrorKind;
use tacho_recorder::gate::wire::GateStatus;

use crate::cmd::holds::client;
use crate::place::Place;
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Show whether a gate runs, its policy, sessions and holds
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tacho status\n  tacho status --json | jq .sessions")]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let status: GateStatus = match client(place)?.get("/v1/status") {
        Ok(status) => status,
        Err(error) if error.kind() == ErrorKind::Missing => {
            if args.json {
                term.line(r#"{"gate":null}"#)?;
            } else {
                term.line("no gate runs for this log: whatever asks is denied")?;
                term.note("hint: `tacho serve` starts it");
            }
            return Ok(Exit::Negative);
        }
        Err(error) => return Err(error.into()),
    };
    if args.json {
        let gate = serde_json::to_value(&status).map_err(|e| Failure::new(e.to_string()))?;
        term.line(serde_json::json!({ "gate": gate }).to_string())?;
        return Ok(Exit::Done);
    }
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
    if let Some(why) = &status.killed {
        term.line(term.paint(Tone::Bad, &safe(why)))?;
    }
    Ok(Exit::Done)
}
