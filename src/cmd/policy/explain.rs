//! `tacho policy explain`: why a verdict is what it is, and what would change it.

use std::path::{Path, PathBuf};

use tacho_policy::explain::{Clauses, Explanation};
use tacho_policy::table::name_of;
use tacho_policy::{Call, Decision, Facts, Policies, Request, Resolver, classify};
use tacho_recorder::read::View;
use tacho_schemas::Seq;
use tacho_schemas::body::Body;
use tacho_schemas::content::Field;

use super::source;
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Say which clause decided, what came near, and the smallest change that would allow it
///
/// Explains a recorded action by the rules that were in force, or by others (`--policy`): a dry run on what was recorded. Or
/// explains a call that nobody made yet, from a file:
///
///   {"agent": "me", "tool": "Bash", "input": {"command": "make deploy"}, "cwd": "/src/x", "workspace": "/src/x"}
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  tacho policy explain 31\n  tacho policy explain 31 --policy strict\n  tacho policy explain --call call.json --json"
)]
pub(crate) struct Args {
    /// The action's record
    #[arg(required_unless_present = "call", conflicts_with = "call")]
    seq: Option<u64>,

    /// A file with a call as JSON
    #[arg(long, value_name = "FILE")]
    call: Option<PathBuf>,

    /// A file with facts as JSON, for a call [default: a fresh lease, a reason given, hook only]
    #[arg(long, value_name = "FILE", requires = "call")]
    facts: Option<PathBuf>,

    /// A preset or a file [default: the policy that decided; for a call, the one in force, else solo]
    #[arg(long)]
    policy: Option<String>,

    /// Print the explanation as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let (policies, request, facts, notes) = match (&args.call, args.seq) {
        (Some(path), _) => from_file(args, path, place)?,
        (None, Some(seq)) => from_log(args, Seq(seq), place)?,
        (None, None) => return Err(Failure::new("name a record or a call")),
    };
    let explanation = policies.explain(&request, &facts);
    if args.json {
        let verdict = &explanation.verdict;
        let shown = serde_json::json!({
            "policy": policies.name(), "decision": name_of(verdict.decision), "reason": verdict.reason, "rules": verdict.rules,
            "obligations": verdict.obligations, "fired": explanation.fired, "near": explanation.near,
            "would_allow": explanation.would_allow, "request": request, "facts": facts, "notes": notes,
        });
        term.line(shown.to_string())?;
    } else {
        print(&explanation, &request, &notes, term)?;
    }
    Ok(Exit::Done)
}

type Case = (Policies, Request, Facts, Vec<String>);

fn from_log(args: &Args, seq: Seq, place: &Place) -> Result<Case, Failure> {
    let dir = place.open_to_read()?;
    let reader = place::reader(&dir)?;
    let view = View::new(&reader)?;
    let shown = view.record(seq)?;
    let record = shown
        .meaning
        .as_ref()
        .map_err(|e| Failure::new(format!("record {seq}: {e}")))?;
    let verdict = match &record.body {
        Body::Action(action) => action.verdict.as_ref(),
        _ => None,
    };
    let Some(verdict) = verdict else {
        return Err(Failure::new(format!("record {seq} is no decision"))
            .hint("`tacho list --where kind=action` shows the actions"));
    };
    let gone = |what: &str| {
        Failure::new(format!(
            "{what} of record {seq} is not in the log, so it cannot be decided again"
        ))
        .hint(format!("`tacho why {seq}` shows what is"))
    };
    let request = shown
        .row
        .text(Field::Request)
        .ok_or_else(|| gone("the request"))?;
    let facts = shown
        .row
        .text(Field::Facts)
        .ok_or_else(|| gone("what the gate knew"))?;
    let request =
        Request::from_bytes(request).map_err(|e| Failure::new(format!("record {seq}: {e}")))?;
    let facts = Facts::from_bytes(facts)
        .map_err(|e| Failure::new(format!("record {seq}: its facts: {e}")))?;
    let policies = match (&args.policy, verdict.policy_digest) {
        (Some(named), _) => source::policy(Some(named), place)?,
        (None, Some(digest)) => match source::in_force(&view, Some(digest))? {
            Some((_, policies)) => policies,
            None => {
                return Err(Failure::new(format!(
                    "the policy that decided record {seq} is not in the log"
                ))
                .hint("`--policy` names another one"));
            }
        },
        (None, None) => source::policy(None, place)?,
    };
    Ok((policies, request, facts, Vec::new()))
}

fn from_file(args: &Args, path: &Path, place: &Place) -> Result<Case, Failure> {
    let broken =
        |path: &Path, e: serde_json::Error| Failure::new(format!("`{}`: {e}", path.display()));
    let call: Call = serde_json::from_str(&source::read(path)?).map_err(|e| broken(path, e))?;
    let facts = match &args.facts {
        Some(path) => serde_json::from_str(&source::read(path)?).map_err(|e| broken(path, e))?,
        None => Facts {
            lease_fresh: true,
            rationale: true,
            ..Facts::default()
        },
    };
    let classified = classify(&call, &Disk);
    let policies = source::policy(args.policy.as_deref(), place)?;
    let request = Request::of(&call, &classified);
    Ok((policies, request, facts, classified.notes))
}

/// The disk, as this user sees it.
struct Disk;

impl Resolver for Disk {
    fn resolve(&self, path: &str) -> Option<String> {
        let path = match path.strip_prefix('~') {
            Some(rest) => {
                PathBuf::from(std::env::var_os("HOME")?).join(rest.trim_start_matches('/'))
            }
            None => PathBuf::from(path),
        };
        // What does not exist yet lies where the folder above it does.
        let (mut base, mut missing) = (path.as_path(), Vec::new());
        loop {
            match base.canonicalize() {
                Ok(mut real) => {
                    real.extend(missing.iter().rev());
                    return real.to_str().map(str::to_owned);
                }
                Err(_) => {
                    missing.push(base.file_name()?);
                    base = base.parent()?;
                }
            }
        }
    }

    fn read(&self, resolved: &str) -> Option<Vec<u8>> {
        match std::fs::metadata(resolved) {
            Ok(meta) if meta.is_file() && meta.len() <= 16 << 20 => std::fs::read(resolved).ok(),
            Ok(_) => None,
            Err(e) => (e.kind() == std::io::ErrorKind::NotFound).then(Vec::new),
        }
    }
}

fn print(
    explanation: &Explanation,
    request: &Request,
    notes: &[String],
    term: &mut Term,
) -> Result<(), Failure> {
    let verdict = &explanation.verdict;
    let (word, tone) = match verdict.decision {
        Decision::Allow => ("allow", Tone::Good),
        Decision::Hold => ("hold", Tone::Warn),
        Decision::Deny(_) => ("deny", Tone::Bad),
    };
    let kind = match verdict.decision {
        Decision::Deny(kind) => format!(" ({kind})"),
        _ => String::new(),
    };
    term.line(format!(
        "{}{kind}: {}",
        term.paint(tone, word),
        safe(&verdict.reason)
    ))?;
    let parts: Vec<_> = request.parts.iter().map(|p| p.name()).collect();
    let mut read = format!("`{}` by {}", request.act.name(), safe(&request.resource));
    if !parts.is_empty() {
        read.push_str(&format!(", changes {}", parts.join(", ")));
    }
    if let Some(effects) = request.effects {
        read.push_str(&format!(", effects {effects}"));
    }
    term.line(format!("read as: {read}"))?;
    for note in notes {
        term.line(format!("  it {}", safe(note)))?;
    }
    for (rule, sentence) in &verdict.findings {
        term.line(format!("finding by `{rule}`: {}", safe(sentence)))?;
    }
    for (title, rules) in [
        ("what fired", &explanation.fired),
        ("what came near", &explanation.near),
    ] {
        if rules.is_empty() {
            continue;
        }
        term.line("")?;
        term.line(term.paint(Tone::Strong, title))?;
        for rule in rules {
            clauses(rule, term)?;
        }
    }
    if verdict.decision != Decision::Allow {
        term.line("")?;
        term.line(term.paint(Tone::Strong, "what would allow it"))?;
        for change in &explanation.would_allow {
            term.line(format!("  - {}", safe(change)))?;
        }
        if explanation.would_allow.is_empty() {
            term.line("  nothing short of another policy or another action")?;
        }
    }
    Ok(())
}

fn clauses(rule: &Clauses, term: &mut Term) -> Result<(), Failure> {
    let effect = if rule.permits { "permit" } else { "forbid" };
    term.line(format!("  {effect} `{}`", rule.rule))?;
    if rule.clauses.is_empty() {
        term.line("    always, for this action")?;
    }
    for clause in &rule.clauses {
        let (mark, tone) = match clause.holds {
            Some(true) => ("✓", Tone::Good),
            Some(false) => ("✗", Tone::Bad),
            None => ("?", Tone::Warn),
        };
        let text: String = clause.text.split_whitespace().collect::<Vec<_>>().join(" ");
        term.line(format!("    {} {}", term.paint(tone, mark), safe(&text)))?;
        for (path, value) in &clause.values {
            term.line(term.paint(Tone::Dim, &format!("        {path} is {}", safe(value))))?;
        }
    }
    Ok(())
}
