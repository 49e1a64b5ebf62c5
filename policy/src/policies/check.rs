//! What can be wrong with a policy, and with a policy for the people who are enrolled.

use std::collections::BTreeMap;
use std::fmt;

use cedar_policy::ParseErrors;
use miette::Diagnostic as _;
use tacho_schemas::Id;
use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Confinement, Effects};

use crate::decide::Decision;
use crate::facts::{Approver, Facts};
use crate::hold::Places;
use crate::policies::Policies;
use crate::request::{Act, Principal, Request};

/// Something wrong with a policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The rule, if it is in one.
    pub rule: Option<String>,
    /// The line, from 1, where that is known.
    pub line: Option<usize>,
    /// What.
    pub what: String,
}

impl Problem {
    pub(crate) fn of_file(what: String) -> Self {
        Self {
            rule: None,
            line: None,
            what,
        }
    }

    pub(crate) fn of_rule(rule: String, what: String) -> Self {
        Self {
            rule: Some(rule),
            line: None,
            what,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.rule, self.line) {
            (Some(rule), _) => write!(f, "rule `{rule}` {}", self.what),
            (None, Some(line)) => write!(f, "line {line}: {}", self.what),
            (None, None) => write!(f, "the policy {}", self.what),
        }
    }
}

/// What does not parse, each with its line.
pub(super) fn syntax(text: &str, errors: &ParseErrors) -> Vec<Problem> {
    errors
        .iter()
        .map(|error| Problem {
            rule: None,
            line: error.labels().and_then(|mut labels| {
                let (before, _) = text.split_at_checked(labels.next()?.offset())?;
                Some(before.matches('\n').count().saturating_add(1))
            }),
            what: error.to_string(),
        })
        .collect()
}

/// The people who may approve: each human with what the gate knows of them.
pub type Enrolled = [Approver];

impl Policies {
    /// Whether the people who are enrolled can do what the rules ask of them.
    ///
    /// A rule that asks for more people than there are can never be satisfied. `enrolled` has one entry for each key of each human,
    /// with what would be known of an approval by it; who starts agents alone is a `launcher`.
    pub fn check(&self, enrolled: &Enrolled) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (id, rule) in &self.rules {
            let Some(gate) = &rule.gate else { continue };
            let places = Places::fill(std::slice::from_ref(gate), enrolled);
            let can = places.used().len();
            if !places.is_full() {
                let what = format!(
                    "asks for {} of `{}`, but {can} of those who are enrolled can approve",
                    gate.k, gate.group
                );
                problems.push(Problem::of_rule(id.to_string(), what));
            }
        }
        problems
    }

    /// Whether an agent can ever change the guard surface: an allow or a hold for any class of call, in the best circumstances.
    ///
    /// Found by asking, not by proof: a rule that opens it for one tool alone is not seen.
    pub fn opens_guard_surface(&self) -> bool {
        let Ok(agent) = Id::new("agent") else {
            return true;
        };
        let facts = Facts {
            confinement: Confinement::OtherUidAndCell,
            lease_fresh: true,
            rationale: true,
            ..Facts::default()
        };
        Class::ALL.iter().any(|(_, _, class)| {
            let mut request = Request::deed(Principal::Agent(agent.clone()), Act::Mutate, "any");
            request.class = Some(*class);
            request.effects = Some(Effects::Known);
            request.parts.insert(Part::GuardSurface);
            !matches!(self.decide(&request, &facts).decision, Decision::Deny(_))
        })
    }

    /// The groups with the number of people that one rule asks of each at most.
    pub fn demands(&self) -> BTreeMap<&Id, u64> {
        let mut demands = BTreeMap::new();
        for gate in self.rules.values().filter_map(|r| r.gate.as_ref()) {
            let most: &mut u64 = demands.entry(&gate.group).or_default();
            *most = gate.k.max(*most);
        }
        demands
    }
}
