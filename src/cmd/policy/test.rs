//! `tacho policy test`: decision tables.

use std::path::PathBuf;

use tacho_policy::classify::Classifier;
use tacho_policy::table::Table;

use super::source;
use crate::place::Place;
use crate::term::{Exit, Failure, Term, Tone, count, safe};

#[allow(
    rustdoc::broken_intra_doc_links,
    reason = "the text is help, in which TOML stands as it is written"
)]
/// Decide the rows of tables and show those that do not come out as they should
///
/// A row says what is asked and what the answer should be:
///
///   [[row]]
///   name = "a second human looks at CI"
///   tool = "Write"
///   input = { file_path = ".github/workflows/ci.yml", content = "on: push" }
///   facts = { lease_fresh = true, confinement = "cell" }
///   expect = "hold"
///   rules = ["hold-pipeline"]
///
/// `expect` is allow, hold, or a denial: forbidden, not_permitted, policy_error, lease_lapsed, killed. `[default.facts]` holds for
/// all rows. Instead of a tool a row may have `act` with `parts`, `effects` or `class`, or `human` with an `act` of people.
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Example:\n  tacho policy test rows.toml --policy standard"
)]
pub(crate) struct Args {
    /// Tables (TOML)
    #[arg(required = true, value_name = "TABLE")]
    tables: Vec<PathBuf>,

    /// A preset or a file [default: the policy in force, else solo]
    #[arg(long)]
    policy: Option<String>,

    /// More rows for the table of parts (TOML, as policy/parts.toml)
    #[arg(long, value_name = "FILE")]
    parts: Option<PathBuf>,

    /// More rows for the table of commands (TOML, as policy/commands.toml)
    #[arg(long, value_name = "FILE")]
    commands: Option<PathBuf>,

    /// Print the rows that differ as JSON, one a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let policies = source::policy(args.policy.as_deref(), place)?;
    let more = |path: &Option<PathBuf>| path.as_deref().map_or(Ok(String::new()), source::read);
    let classifier = Classifier::new(&more(&args.parts)?, &more(&args.commands)?)
        .map_err(|e| Failure::new(e.to_string()))?;
    let (mut rows, mut wrong) = (0_u64, 0_u64);
    for path in &args.tables {
        let in_file =
            |e: tacho_policy::table::Error| Failure::new(format!("`{}`: {e}", path.display()));
        let table = Table::parse(&source::read(path)?).map_err(in_file)?;
        rows = rows.saturating_add(u64::try_from(table.len()).unwrap_or(u64::MAX));
        for difference in table.run(&policies, &classifier).map_err(in_file)? {
            wrong = wrong.saturating_add(1);
            if args.json {
                let lines: Vec<_> = difference
                    .lines
                    .iter()
                    .map(|(what, wanted, got)| serde_json::json!({ "what": what, "wanted": wanted, "got": got }))
                    .collect();
                let shown = serde_json::json!({
                    "table": path, "row": difference.name, "differs": lines, "reason": difference.reason,
                });
                term.line(shown.to_string())?;
                continue;
            }
            let title = format!("{}: {}", path.display(), difference.name);
            term.line(term.paint(Tone::Strong, &safe(&title)))?;
            for (what, wanted, got) in &difference.lines {
                let wanted = format!("  - {what}: {}", shown(wanted));
                let got = format!("  + {what}: {}", shown(got));
                term.line(term.paint(Tone::Bad, &wanted))?;
                term.line(term.paint(Tone::Good, &got))?;
            }
            term.line(term.paint(Tone::Dim, &format!("    {}", safe(&difference.reason))))?;
        }
    }
    if wrong > 0 {
        term.note(format!(
            "{wrong} of {} differ; `-` is what was wanted, `+` what came",
            count(rows, "row")
        ));
        return Ok(Exit::Negative);
    }
    if !args.json {
        term.line(format!("{} as they should be", count(rows, "row")))?;
    }
    Ok(Exit::Done)
}

/// A value, or that there is none.
fn shown(value: &str) -> String {
    if value.is_empty() {
        "none".to_owned()
    } else {
        safe(value).into_owned()
    }
}
