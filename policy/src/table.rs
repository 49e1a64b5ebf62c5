//! Decision tables: what a policy should say, row by row, from a file.
//!
//! ```toml
//! [default.facts]
//! lease_fresh = true
//!
//! [[row]]
//! name = "a second human looks at CI"
//! tool = "Write"
//! input = { file_path = ".github/workflows/ci.yml", content = "on: push" }
//! expect = "hold"
//! rules = ["hold-pipeline"]
//! ```
//!
//! A row is a call (`tool`, `input`, with `cwd` and `workspace` `/w` unless it says otherwise; every file is empty before), a deed of a
//! human (`act`, `human`), or says by itself how the call is classified (`act` with `parts`, `effects`, …). What it says of `facts`
//! is laid over the default's.

use std::collections::BTreeSet;

use serde::Deserialize;

use tacho_schemas::Id;
use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Effects};

use crate::classify::{Classifier, Resolver};
use crate::decide::{Decision, Verdict};
use crate::facts::Facts;
use crate::json::Json;
use crate::policies::Policies;
use crate::request::{Act, Call, Principal, Request};

/// A decision table.
#[derive(Debug)]
pub struct Table {
    rows: Vec<(Row, Facts)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    default: Default,
    row: Vec<Row>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Default {
    #[serde(default)]
    facts: toml::Table,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    agent: Option<Id>,
    human: Option<Id>,
    watchdog: Option<Id>,
    act: Option<Act>,
    tool: Option<Id>,
    input: Option<toml::Value>,
    cwd: Option<String>,
    workspace: Option<String>,
    harness: Option<Id>,
    class: Option<Class>,
    effects: Option<Effects>,
    #[serde(default)]
    parts: BTreeSet<Part>,
    #[serde(default)]
    reads: BTreeSet<Part>,
    #[serde(default)]
    outside: bool,
    #[serde(default)]
    facts: toml::Table,
    expect: String,
    rules: Option<BTreeSet<String>>,
    findings: Option<BTreeSet<String>>,
    reason: Option<String>,
}

/// A row that did not come out as it should.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// The row.
    pub name: String,
    /// What was wanted and what came, one line for each thing that differs: what, wanted, got.
    pub lines: Vec<(&'static str, String, String)>,
    /// What the verdict says of itself.
    pub reason: String,
}

/// Why a file is no table.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// A disk on which every file is empty and nothing is a link.
struct Blank;

impl Resolver for Blank {
    fn resolve(&self, path: &str) -> Option<String> {
        Some(crate::classify::plain(path))
    }

    fn read(&self, _: &str) -> Option<Vec<u8>> {
        Some(Vec::new())
    }
}

impl Table {
    /// Reads a table.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file: File = toml::from_str(text).map_err(|e| Error(e.to_string()))?;
        let mut rows = Vec::new();
        for row in file.row {
            let facts = facts(&file.default.facts, &row.facts)
                .map_err(|e| Error(format!("row `{}`: facts: {e}", row.name)))?;
            expected(&row.expect).ok_or_else(|| {
                Error(format!(
                    "row `{}`: expect is `{}`, not allow, hold or one of the denials",
                    row.name, row.expect
                ))
            })?;
            rows.push((row, facts));
        }
        if rows.is_empty() {
            return Err(Error("a table without rows tests nothing".to_owned()));
        }
        Ok(Self { rows })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row; [`Self::parse`] makes none such.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Decides each row and says which ones differ from what they expect.
    pub fn run(
        &self,
        policies: &Policies,
        classifier: &Classifier,
    ) -> Result<Vec<Difference>, Error> {
        let mut differences = Vec::new();
        for (row, facts) in &self.rows {
            let request =
                request(row, classifier).map_err(|e| Error(format!("row `{}`: {e}", row.name)))?;
            let verdict = policies.decide(&request, facts);
            differences.extend(compare(row, &verdict));
        }
        Ok(differences)
    }

    /// The requests and facts of the rows.
    pub fn cases(&self, classifier: &Classifier) -> Result<Vec<(Request, Facts)>, Error> {
        let cases = self.rows.iter().map(|(row, facts)| {
            let request =
                request(row, classifier).map_err(|e| Error(format!("row `{}`: {e}", row.name)))?;
            Ok((request, facts.clone()))
        });
        cases.collect()
    }
}

/// The name of a decision in tables: `allow`, `hold`, or a denial's kind.
pub fn name_of(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Hold => "hold",
        Decision::Deny(kind) => kind.name(),
    }
}

fn expected(name: &str) -> Option<()> {
    use tacho_schemas::body::work::DenyKind;
    let known = name == "allow" || name == "hold" || DenyKind::from_name(name).is_some();
    known.then_some(())
}

fn facts(default: &toml::Table, own: &toml::Table) -> Result<Facts, String> {
    let mut all = serde_json::to_value(Facts::default()).map_err(|e| e.to_string())?;
    for (name, value) in default.iter().chain(own) {
        let value = serde_json::to_value(value).map_err(|e| e.to_string())?;
        if let Some(all) = all.as_object_mut() {
            all.insert(name.clone(), value);
        }
    }
    serde_json::from_value(all).map_err(|e| e.to_string())
}

fn request(row: &Row, classifier: &Classifier) -> Result<Request, String> {
    let agent = row.agent.clone().or_else(|| Id::new("agent").ok());
    let principal = match (&row.human, &row.watchdog, agent) {
        (Some(human), ..) => Principal::Human(human.clone()),
        (None, Some(watchdog), _) => Principal::Watchdog(watchdog.clone()),
        (None, None, Some(agent)) => Principal::Agent(agent),
        _ => return Err("nobody acts".to_owned()),
    };
    let home = || "/w".to_owned();
    if let (Some(tool), Principal::Agent(agent)) = (&row.tool, &principal) {
        if row.act.is_some()
            || row.class.is_some()
            || row.effects.is_some()
            || !row.parts.is_empty()
        {
            return Err(
                "has a tool, whose call is classified: leave out act, class, effects and parts"
                    .to_owned(),
            );
        }
        let input = match &row.input {
            Some(input) => serde_json::to_string(input).map_err(|e| e.to_string())?,
            None => "{}".to_owned(),
        };
        let call = Call {
            agent: agent.clone(),
            cwd: row.cwd.clone().unwrap_or_else(home),
            harness: row.harness.clone(),
            input: Json::parse(&input).map_err(|e| e.to_string())?,
            tool: tool.clone(),
            workspace: row.workspace.clone().unwrap_or_else(home),
        };
        return Ok(Request::of(&call, &classifier.classify(&call, &Blank)));
    }
    let act = row.act.ok_or("has neither a tool nor an act")?;
    let mut request = Request::deed(principal, act, "it");
    if act.is_call() {
        request.class = Some(row.class.unwrap_or(Class::Write));
        request.effects = Some(row.effects.unwrap_or(Effects::Known));
        request.parts.clone_from(&row.parts);
        request.reads.clone_from(&row.reads);
        request.outside = row.outside;
        request.harness.clone_from(&row.harness);
    }
    Ok(request)
}

fn compare(row: &Row, verdict: &Verdict) -> Option<Difference> {
    let mut lines = Vec::new();
    let mut differ = |what: &'static str, wanted: String, got: String| {
        if wanted != got {
            lines.push((what, wanted, got));
        }
    };
    differ(
        "decision",
        row.expect.clone(),
        name_of(verdict.decision).to_owned(),
    );
    let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    if let Some(rules) = &row.rules {
        let got = verdict.rules.iter().map(ToString::to_string).collect();
        differ("rules", list(rules), list(&got));
    }
    if let Some(findings) = &row.findings {
        let got = verdict
            .findings
            .iter()
            .map(|(rule, _)| rule.to_string())
            .collect();
        differ("findings", list(findings), list(&got));
    }
    if let Some(reason) = row.reason.as_ref().filter(|r| !verdict.reason.contains(*r)) {
        lines.push(("reason", reason.clone(), verdict.reason.clone()));
    }
    (!lines.is_empty()).then(|| Difference {
        name: row.name.clone(),
        lines,
        reason: verdict.reason.clone(),
    })
}
