//! `tacho policy check`: whether a policy may decide, and whether people can do what it asks.

use tacho_recorder::read::View;

use super::source;
use crate::place::Place;
use crate::term::{Exit, Failure, Term, count, safe};

/// Check a policy: strictly typed, gates in their one form, enough people enrolled
///
/// A gate is a forbid that people can switch off. It has one form, so that what it says and what it does cannot differ:
///
///   @approval("reviewers") @k("2") @ttl("PT24H")
///   forbid (…) when { … } unless { context.approvals.reviewers >= 2 };
///
/// Where there is a log, the people enrolled in it are held against what the rules ask.
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  tacho policy check standard\n  tacho policy check my.cedar --json"
)]
pub(crate) struct Args {
    /// A preset or a file [default: the policy in force, else solo]
    policy: Option<String>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let policies = source::policy(args.policy.as_deref(), place)?;
    let log = source::log(place)?;
    let enrolled = match &log {
        Some((_, reader)) => Some(source::enrolled(&View::new(reader)?)?),
        None => None,
    };
    let problems = enrolled
        .as_ref()
        .map_or_else(Vec::new, |e| policies.check(e));
    let asks = policies.demands();
    let opens = policies.opens_guard_surface();
    if args.json {
        let problems: Vec<_> = problems
            .iter()
            .map(|p| serde_json::json!({ "rule": p.rule, "what": p.what }))
            .collect();
        let asks: serde_json::Map<_, _> = asks
            .iter()
            .map(|(g, k)| (g.to_string(), (*k).into()))
            .collect();
        term.line(
            serde_json::json!({
                "policy": policies.name(), "digest": policies.digest(), "rules": policies.rules().len(), "asks": asks,
                "enrolled_checked": enrolled.is_some(), "problems": problems,
                "opens_guard_surface": opens,
            })
            .to_string(),
        )?;
    } else {
        let rules = u64::try_from(policies.rules().len()).unwrap_or(u64::MAX);
        term.line(format!(
            "{}: {}, valid",
            safe(policies.name()),
            count(rules, "rule")
        ))?;
        term.line(format!("digest {}", policies.digest()))?;
        for (group, k) in asks {
            term.line(format!("asks for up to {k} of `{group}`"))?;
        }
        for problem in &problems {
            term.line(safe(&problem.to_string()))?;
        }
        if opens {
            term.note("agents may change what watches them under this policy: policy, log, hooks");
        }
        if enrolled.is_none() {
            term.note("there is no log here, so nobody knows who is enrolled: whether there are enough people is not checked");
        }
    }
    if problems.is_empty() {
        Ok(Exit::Done)
    } else {
        term.note("people cannot do what this policy asks; enrol more of them, or ask fewer");
        Ok(Exit::Negative)
    }
}
