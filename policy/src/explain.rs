//! Why a verdict is what it is, and what would change it.

use std::collections::BTreeSet;

use cedar_policy::{Policy, PolicyId, eval_expression};
use serde::Serialize;
use serde_json::Value;

use tacho_schemas::Id;

use crate::decide::{Counts, Decision, Verdict};
use crate::facts::Facts;
use crate::policies::Policies;
use crate::request::Request;

/// How many clauses may fail in a rule that came near.
const NEAR: usize = 2;

/// How many facts are changed at once in search of the smallest change.
const CHANGES: usize = 2;

/// A verdict with its reasons.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// The rules that fired, each with its clauses.
    pub fired: Vec<Clauses>,
    /// The rules of the same deed that came near: one or two of their clauses did not hold.
    pub near: Vec<Clauses>,
    /// The smallest changes that would allow it, best first; empty if it is allowed, or nothing that is tried would.
    pub would_allow: Vec<String>,
}

/// A rule, clause by clause.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Clauses {
    /// The rule.
    pub rule: Id,
    /// Whether it permits.
    pub permits: bool,
    /// Its clauses in the order of its text: the head first, then what is joined by `&&`.
    pub clauses: Vec<Clause>,
}

/// One clause of a rule.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Clause {
    /// Its text, in Cedar.
    pub text: String,
    /// Whether it holds; none where it cannot be evaluated.
    pub holds: Option<bool>,
    /// What it looks at, with the values: `context.facts.drift` is `7`.
    pub values: Vec<(String, String)>,
}

impl Policies {
    /// Explains the verdict on a request.
    pub fn explain(&self, request: &Request, facts: &Facts) -> Explanation {
        let verdict = self.decide(request, facts);
        let fired: BTreeSet<&Id> = verdict.rules.iter().collect();
        let (mut told, mut near) = (Vec::new(), Vec::new());
        let slice = self.slices.get(&request.act);
        for policy in slice.iter().flat_map(|s| s.rules()) {
            let Ok(id) = Id::new(policy.id().to_string()) else {
                continue;
            };
            let clauses = self.clauses(&id, policy, request, facts);
            if fired.contains(&id) {
                told.push(clauses);
                continue;
            }
            let missing = clauses
                .clauses
                .iter()
                .filter(|c| c.holds != Some(true))
                .count();
            if (1..=NEAR).contains(&missing) {
                near.push(clauses);
            }
        }
        near.sort_by_key(|c| c.clauses.iter().filter(|c| c.holds != Some(true)).count());
        let would_allow = match verdict.decision {
            Decision::Allow => Vec::new(),
            _ => self.changes(request, facts, &verdict),
        };
        Explanation {
            verdict,
            fired: told,
            near,
            would_allow,
        }
    }

    fn clauses(&self, id: &Id, policy: &Policy, request: &Request, facts: &Facts) -> Clauses {
        let json = policy.to_json().unwrap_or_default();
        let mut clauses = Vec::new();
        for place in ["principal", "resource"] {
            if let Some(clause) = self.head(place, &json, request, facts) {
                clauses.push(clause);
            }
        }
        for condition in json
            .get("conditions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let unless = condition.get("kind").and_then(Value::as_str) == Some("unless");
            let body = condition.get("body").cloned().unwrap_or_default();
            if unless {
                // All of it at once: what is negated does not fall apart at `&&`.
                let mut clause = self.clause(&body, request, facts);
                clause.text = format!("unless {}", clause.text);
                clause.holds = clause.holds.map(|holds| !holds);
                clauses.push(clause);
                continue;
            }
            let mut open = vec![body];
            let mut found = Vec::new();
            while let Some(body) = open.pop() {
                match body.get("&&") {
                    Some(both) => {
                        open.extend(
                            ["right", "left"]
                                .iter()
                                .filter_map(|s| both.get(s).cloned()),
                        );
                    }
                    None => found.push(self.clause(&body, request, facts)),
                }
            }
            clauses.extend(found);
        }
        Clauses {
            rule: id.clone(),
            permits: crate::policies::permits(policy),
            clauses,
        }
    }

    /// The head of a rule, where it asks for more than the deed.
    fn head(&self, place: &str, json: &Value, request: &Request, facts: &Facts) -> Option<Clause> {
        let head = json.get(place)?;
        if head.get("op").and_then(Value::as_str) == Some("All") {
            return None;
        }
        let mut alone = serde_json::json!({
            "effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"}, "conditions": []
        });
        alone
            .as_object_mut()?
            .insert(place.to_owned(), head.clone());
        let policy = Policy::from_json(Some(PolicyId::new("head")), alone).ok()?;
        let text = policy.to_cedar()?;
        let text = text.split_once('(')?.1.rsplit_once(')')?.0;
        let text = text
            .split(',')
            .find(|t| t.trim().starts_with(place))?
            .trim()
            .to_owned();
        let expression = text.parse().ok()?;
        let (asked, entities) = self.asked(request, facts, &Counts::Zero).ok()?;
        Some(Clause {
            holds: as_bool(eval_expression(&asked, &entities, &expression).ok()),
            values: Vec::new(),
            text,
        })
    }

    fn clause(&self, body: &Value, request: &Request, facts: &Facts) -> Clause {
        let text = text_of(body)
            .or_else(|| cedar_text(body))
            .unwrap_or_else(|| body.to_string());
        let mut clause = Clause {
            text,
            holds: None,
            values: Vec::new(),
        };
        let Ok((asked, entities)) = self.asked(request, facts, &Counts::Zero) else {
            return clause;
        };
        let value = |text: &str| eval_expression(&asked, &entities, &text.parse().ok()?).ok();
        clause.holds = as_bool(value(&clause.text));
        let mut paths = BTreeSet::new();
        looked_at(body, &mut paths);
        for path in paths {
            if let Some(found) = value(&path) {
                clause.values.push((path, shown(&found)));
            }
        }
        clause
    }

    /// The smallest changes that would allow a request: first approvals, then one fact, then two.
    fn changes(&self, request: &Request, facts: &Facts, verdict: &Verdict) -> Vec<String> {
        if verdict.decision == Decision::Hold {
            let waits = verdict.obligations.iter();
            let asks =
                waits.map(|o| format!("approval by {} of `{}` (rule `{}`)", o.k, o.group, o.rule));
            return vec![asks.collect::<Vec<_>>().join(" and ")];
        }
        let (circumstances, others) = tries(request, facts);
        let mut found = self.search(&circumstances, request, facts);
        if found.is_empty() {
            // Nothing around the call helps; another call might.
            let all: Vec<Try> = others.into_iter().chain(circumstances).collect();
            found = self.search(&all, request, facts);
        }
        // What needs nobody comes first.
        found.sort_by_key(|what| what.ends_with("asked"));
        found
    }

    /// The smallest sets of changes after which it is allowed or held.
    fn search(&self, tries: &[Try], request: &Request, facts: &Facts) -> Vec<String> {
        let after = |picked: &[&Try]| {
            let (mut request, mut facts) = (request.clone(), facts.clone());
            picked
                .iter()
                .for_each(|t| (t.change)(&mut request, &mut facts));
            self.decide(&request, &facts).decision
        };
        let mut found = Vec::new();
        for size in 1..=CHANGES {
            for (at, one) in tries.iter().enumerate() {
                let rest = tries.get(at.saturating_add(1)..).unwrap_or_default();
                let sets: Vec<Vec<&Try>> = match size {
                    1 => vec![vec![one]],
                    _ => rest.iter().map(|other| vec![one, other]).collect(),
                };
                for picked in sets {
                    let what = picked
                        .iter()
                        .map(|t| t.what)
                        .collect::<Vec<_>>()
                        .join(", and ");
                    match after(&picked) {
                        Decision::Allow => found.push(what),
                        Decision::Hold => found.push(format!("{what}; then people would be asked")),
                        Decision::Deny(_) => {}
                    }
                }
            }
            if !found.is_empty() {
                break;
            }
        }
        found
    }
}

/// A change that could be tried.
#[derive(Clone, Copy)]
struct Try {
    what: &'static str,
    change: fn(&mut Request, &mut Facts),
}

/// The changes that would be one, for this request: of the circumstances, and of what is asked.
fn tries(request: &Request, facts: &Facts) -> (Vec<Try>, Vec<Try>) {
    use tacho_schemas::body::Part;
    use tacho_schemas::body::work::{Confinement, Effects};
    let mut tries: Vec<Try> = Vec::new();
    let mut add = |is_one: bool, what, change| {
        if is_one {
            tries.push(Try { what, change });
        }
    };
    add(facts.killed, "the off switch is released", |_, f| {
        f.killed = false
    });
    add(!facts.lease_fresh, "a lease is renewed", |_, f| {
        f.lease_fresh = true
    });
    add(!facts.rationale, "the agent says why", |_, f| {
        f.rationale = true
    });
    add(
        facts.confinement < Confinement::Cell,
        "it runs in a cell (`tacho run`)",
        |_, f| {
            f.confinement = Confinement::Cell;
        },
    );
    add(
        facts.drift > 0,
        "a human reviews what changed so far",
        |_, f| f.drift = 0,
    );
    add(facts.mutations_last_hour > 0, "it waits an hour", |_, f| {
        f.mutations_last_hour = 0
    });
    add(
        facts.consecutive_denials > 0,
        "something else is allowed before",
        |_, f| f.consecutive_denials = 0,
    );
    add(facts.own, "another human does it", |_, f| f.own = false);
    add(
        request.effects != Some(Effects::Known) && request.act.is_call(),
        "its effects can be read from its text",
        |r, _| {
            r.effects = Some(Effects::Known);
        },
    );
    add(
        request
            .targets
            .iter()
            .any(|t| !t.parts.is_empty() && !t.is_exact()),
        "the change is made with an edit tool, to the byte",
        |r, _| {
            r.effects = Some(Effects::Known);
            r.targets = r
                .targets
                .iter()
                .filter(|t| t.parts.is_empty() || t.is_exact())
                .cloned()
                .collect();
        },
    );
    add(request.outside, "it stays in the workspace", |r, _| {
        r.outside = false
    });
    let mut others: Vec<Try> = Vec::new();
    if request.parts.contains(&Part::GuardSurface) {
        others.push(Try {
            what: "it leaves the guard surface alone",
            change: |r, _| {
                r.parts.remove(&Part::GuardSurface);
                settle(r);
            },
        });
    }
    if request.parts.iter().any(|p| *p != Part::GuardSurface) {
        others.push(Try {
            what: "it leaves the other parts alone",
            change: |r, _| {
                r.parts.retain(|p| *p == Part::GuardSurface);
                settle(r);
            },
        });
    }
    (tries, others)
}

/// A call that changes no part any more is named by its class.
fn settle(request: &mut Request) {
    if request.parts.is_empty()
        && let Some(class) = request.class
    {
        request.act = class.into();
    }
}

/// The text of an expression, as a person would write it; `None` where it has something rare in it.
fn text_of(body: &Value) -> Option<String> {
    let (operator, inner) = body.as_object().filter(|m| m.len() == 1)?.iter().next()?;
    let side = |name: &str| {
        let side = inner.get(name)?;
        let text = text_of(side)?;
        // What is joined stands in brackets: who reads it need not know what binds how.
        let is_joined = [
            "&&", "||", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "in",
        ]
        .iter()
        .any(|o| side.get(o).is_some());
        Some(if is_joined { format!("({text})") } else { text })
    };
    match operator.as_str() {
        "Var" => inner.as_str().map(str::to_owned),
        "Value" => match inner.get("__entity") {
            Some(entity) => {
                let id = entity.get("id")?.as_str()?;
                Some(format!("{}::{id:?}", entity.get("type")?.as_str()?))
            }
            None => (inner.is_string() || inner.is_i64() || inner.is_boolean())
                .then(|| inner.to_string()),
        },
        "." => Some(format!(
            "{}.{}",
            side("left")?,
            inner.get("attr")?.as_str()?
        )),
        "has" => Some(format!(
            "{} has {}",
            side("left")?,
            inner.get("attr")?.as_str()?
        )),
        "!" => Some(format!("!{}", side("arg")?)),
        "isEmpty" => Some(format!("{}.isEmpty()", side("arg")?)),
        "contains" | "containsAll" | "containsAny" => {
            let right = text_of(inner.get("right")?)?;
            Some(format!("{}.{operator}({right})", side("left")?))
        }
        "&&" | "||" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "in" => {
            Some(format!("{} {operator} {}", side("left")?, side("right")?))
        }
        "Set" => {
            let texts = inner
                .as_array()?
                .iter()
                .map(text_of)
                .collect::<Option<Vec<_>>>()?;
            Some(format!("[{}]", texts.join(", ")))
        }
        _ => None,
    }
}

/// The text of an expression, as Cedar writes it.
fn cedar_text(body: &Value) -> Option<String> {
    let alone = serde_json::json!({
        "effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"},
        "conditions": [{ "kind": "when", "body": body }]
    });
    let policy = Policy::from_json(Some(PolicyId::new("clause")), alone).ok()?;
    let text = policy.to_cedar()?;
    let (_, rest) = text.split_once("when")?;
    let inner = rest
        .trim()
        .strip_prefix('{')?
        .trim_end()
        .trim_end_matches(';')
        .trim_end();
    Some(inner.strip_suffix('}')?.trim().to_owned())
}

/// What an expression looks at: `context.facts.drift`.
fn looked_at(body: &Value, found: &mut BTreeSet<String>) {
    fn path(body: &Value) -> Option<String> {
        if let Some(var) = body.get("Var").and_then(Value::as_str) {
            return Some(var.to_owned());
        }
        let access = body.get(".")?;
        let left = path(access.get("left")?)?;
        Some(format!("{left}.{}", access.get("attr")?.as_str()?))
    }
    if body.get(".").is_some()
        && let Some(path) = path(body)
    {
        found.insert(path);
        return;
    }
    match body {
        Value::Object(map) => map.values().for_each(|v| looked_at(v, found)),
        Value::Array(list) => list.iter().for_each(|v| looked_at(v, found)),
        _ => {}
    }
}

fn as_bool(value: Option<cedar_policy::EvalResult>) -> Option<bool> {
    match value? {
        cedar_policy::EvalResult::Bool(value) => Some(value),
        _ => None,
    }
}

/// A value for people: `Part::"ci"` as it is, sets in brackets.
fn shown(value: &cedar_policy::EvalResult) -> String {
    let text = value.to_string();
    if text.chars().count() > 200 {
        let short: String = text.chars().take(200).collect();
        format!("{short}…")
    } else {
        text
    }
}
