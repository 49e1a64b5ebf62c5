//! `tacho policy show`: the rules as they stand.

use super::source;
use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// Print a policy, or what policies may ask about
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho policy show standard > my.cedar\n  tacho policy show --schema > tacho.cedarschema"
)]
pub(crate) struct Args {
    /// A preset or a file [default: the policy in force, else solo]
    policy: Option<String>,

    /// Print the Cedar schema with the policy's groups instead
    #[arg(long)]
    schema: bool,

    /// Print name, digest, rules and what each asks for as JSON
    #[arg(long, conflicts_with = "schema")]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let policies = source::policy(args.policy.as_deref(), place)?;
    if args.schema {
        term.raw(policies.schema_text().as_bytes())?;
    } else if args.json {
        let rules: Vec<_> = policies
            .rules()
            .iter()
            .map(|(id, rule)| {
                serde_json::json!({
                    "id": id, "permits": rule.permits, "explain": rule.explain, "finding": rule.finding, "gate": rule.gate,
                    "text": rule.text,
                })
            })
            .collect();
        let shown = serde_json::json!({ "policy": policies.name(), "digest": policies.digest(), "rules": rules });
        term.line(shown.to_string())?;
    } else {
        term.raw(policies.bytes())?;
    }
    Ok(Exit::Done)
}
