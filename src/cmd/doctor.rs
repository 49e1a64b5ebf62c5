//! `tacho doctor`: the whole chain on this machine, and what in it would fail open.

mod unit;

use serde::Serialize;
use std::time::Duration;
use tacho_recorder::gate::client::Client;
use tacho_recorder::gate::wire::GateStatus;
use tacho_recorder::hook::Agent;
use tacho_recorder::hook::install::Command;
use tacho_recorder::read::View;
use tacho_recorder::run::{Level as Ground, Reach};
use tacho_recorder::switch::{Engaged, Switch};
use tacho_schemas::Origin;

use super::hook::settings;
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, count, safe};

/// Look at the whole chain on this machine, and say what would fail open
///
/// The log and who else can read it, the off switch, the gate and whether it proves itself, the policy and who may approve, and for each
/// agent that is here: whether its hook is installed, whether its version denies when a hook fails, and a canary through the
/// installed command. Then how far this machine can confine an agent, and how to reach the next level. Exits with 1 if something is broken; what is merely weak is said.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho doctor\n  tacho doctor --json | jq '.[] | select(.level == \"bad\")'"
)]
pub(crate) struct Args {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// How a finding is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Bad,
    Good,
    Warn,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Finding {
    pub(crate) fn good(what: impl Into<String>) -> Self {
        Self {
            level: Level::Good,
            what: what.into(),
            next: None,
        }
    }

    pub(crate) fn warn(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            what: what.into(),
            next: Some(next.into()),
        }
    }

    /// What was found, in a sentence.
    pub(crate) fn says(&self) -> &str {
        &self.what
    }

    /// Whether a canary was not denied.
    pub(crate) fn is_canary_alive(&self) -> bool {
        self.level == Level::Bad && self.what.starts_with("the canary")
    }

    pub(crate) fn bad(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            level: Level::Bad,
            what: what.into(),
            next: Some(next.into()),
        }
    }
}

/// Prints findings.
pub(crate) fn report(findings: &[Finding], json: bool, term: &mut Term) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(findings).map_err(|e| Failure::new(e.to_string()))?;
        return term.line(text);
    }
    for finding in findings {
        let (mark, tone) = match finding.level {
            Level::Good => ("ok", Tone::Good),
            Level::Warn => ("weak", Tone::Warn),
            Level::Bad => ("BAD", Tone::Bad),
        };
        let mark = format!("{mark:<4}");
        term.line(format!(
            "{}  {}",
            term.paint(tone, &mark),
            safe(&finding.what)
        ))?;
        if let Some(next) = &finding.next {
            let next = format!("      {}", safe(next));
            term.line(term.paint(Tone::Dim, &next))?;
        }
    }
    Ok(())
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let mut findings = Vec::new();
    match log(place) {
        Ok((seen, command)) => {
            findings.extend(seen);
            let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
            let user = user.ok().flatten().map(|user| user.name);
            findings.extend(unit::examine(user.as_deref()));
            findings.extend(switch(&command));
            let gates = settings::gate(&command);
            let up = gates.iter().all(|finding| finding.level == Level::Good);
            findings.extend(gates);
            if up {
                findings.extend(people(place));
            }
            for agent in Agent::all().filter(|agent| settings::is_here(*agent)) {
                findings.extend(settings::examine_agent(agent, place)?);
            }
        }
        Err(failure) => findings.push(Finding::bad(
            failure.what(),
            failure
                .advice()
                .unwrap_or("nothing can be recorded until then"),
        )),
    }
    findings.push(level()?);
    report(&findings, args.json, term)?;
    let bad = findings.iter().any(|finding| finding.level == Level::Bad);
    Ok(if bad { Exit::Negative } else { Exit::Done })
}

fn log(place: &Place) -> Result<(Vec<Finding>, Command), Failure> {
    let dir = place.open_to_read()?;
    let reader = place::reader(&dir)?;
    let view = View::new(&reader)?;
    let mut findings = vec![Finding::good(format!(
        "the log {} has {}, and its newest signature holds (`tacho verify` checks all of it)",
        dir.path().display(),
        count(view.size(), "record"),
    ))];
    let identity = place::identity()?;
    if identity.exists() {
        findings.push(Finding::warn(
            format!("the identity key {} is on this machine", identity.display()),
            "move it to where no agent comes: it is not needed to record",
        ));
    }
    let owner = std::os::unix::fs::MetadataExt::uid(
        &std::fs::metadata(dir.path()).map_err(|e| Failure::new(place::plain(&e)))?,
    );
    if owner == nix::unistd::geteuid().as_raw() {
        findings.push(Finding::warn(
            "the log belongs to the user who runs this: an agent of the same user can read its keys",
            "run agents in a cell (`tacho run`), or `tacho serve` as a user of its own",
        ));
    }
    Ok((findings, settings::command(Agent::Generic, None, place)?))
}

/// How far this machine can confine an agent, tried out.
fn level() -> Result<Finding, Failure> {
    let reach = Reach::find(&place::exe()?);
    let Some(weak) = reach.level.warning() else {
        return Ok(Finding::good(
            "agents run in a cell here (`tacho run`): the highest level there is",
        ));
    };
    let reached = match reach.level {
        Ground::Cell => "cell",
        Ground::Landlock => "Landlock",
        Ground::ProcessGroup => "process group",
    };
    let why = reach.why.unwrap_or_default();
    Ok(Finding::warn(
        format!("`tacho run` reaches the level {reached}: {weak} ({why})"),
        format!(
            "to reach the next: {}",
            reach.next.as_deref().unwrap_or("another kernel")
        ),
    ))
}

fn switch(command: &Command) -> Vec<Finding> {
    let Ok(origin) = Origin::new(&command.origin) else {
        return Vec::new();
    };
    let state = match Switch::at(command.switch.clone(), origin).state() {
        Ok(state) => state,
        Err(error) => {
            return vec![Finding::bad(
                format!("the off switch cannot be read, which stops everybody: {error}"),
                "`tacho release` arms it",
            )];
        }
    };
    let mut findings = vec![match &state.all {
        Engaged::No { .. } => Finding::good("the off switch is armed, and nobody is killed by it"),
        Engaged::Yes(stop) => Finding::bad(stop.to_string(), "`tacho release` ends it"),
    }];
    for target in &state.killed {
        findings.push(Finding::warn(
            format!("the off switch is engaged for {target}"),
            "`tacho release` ends it",
        ));
    }
    for name in &state.strange {
        findings.push(Finding::warn(
            format!("`{name}` in the off switch's folder is not ours"),
            "see who put it there",
        ));
    }
    findings
}

/// Which policy is in force, and who can say yes.
fn people(place: &Place) -> Vec<Finding> {
    let Ok(path) = place.log() else {
        return Vec::new();
    };
    let socket = tacho_recorder::gate::reviewers_socket(&path);
    let status: GateStatus =
        match Client::new(&socket, None, Duration::from_secs(3)).get("/v1/status") {
            Ok(status) => status,
            Err(error) => {
                return vec![Finding::warn(
                    format!("the gate does not tell its status: {error}"),
                    "it tells the user who runs it",
                )];
            }
        };
    let mut findings = vec![match status.policy.as_str() {
        "observe" => Finding::warn(
            "the policy `observe` records, and denies nothing",
            "`tacho serve --preset solo` or `standard`",
        ),
        name => Finding::good(format!("the policy `{name}` is in force")),
    }];
    let humans = u64::try_from(status.approvers.len()).unwrap_or(u64::MAX);
    findings.push(match humans {
        0 => Finding::warn(
            "nobody is enrolled: what is held waits in vain and is denied",
            "`tacho approver add` enrols a key",
        ),
        1 => Finding::good("1 person can approve: records say `single person`"),
        more => Finding::good(format!("{more} people can approve")),
    });
    for problem in status.problems {
        findings.push(Finding::bad(problem, "`tacho policy check` says more"));
    }
    findings
}
