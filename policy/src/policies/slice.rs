//! The rules that can fire for a request, found without asking Cedar.
//!
//! By the deed in a rule's head, and by a thing that its condition asks for: `when { context.writes.contains("x") && … }` cannot fire for
//! a request that does not write `x`. Both are exact and not a guess. What does not hold on the left of `&&` ends the evaluation, so a
//! rule that is left out would have been false, and could not have erred: nothing may stand before that thing but what always has a
//! value ([`cannot_err`]), such as `!context.outside`.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use cedar_policy::{ActionConstraint, Entities, EntityUid, Policy, PolicySet};
use serde_json::Value;

use crate::entity::{Kinds, uid};
use crate::request::{Act, Request};

/// The rules for a deed.
pub(crate) struct Slice {
    /// Those that are always asked.
    always: PolicySet,
    /// The others.
    some: Vec<Policy>,
    /// Where in `some` the rules are that ask for this.
    asking: HashMap<(Sort, String), Vec<usize>>,
}

/// A set of the context that rules ask for members of.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Sort {
    FilesRead,
    Parts,
    Reads,
    Writes,
}

impl Sort {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "files_read" => Some(Self::FilesRead),
            "parts" => Some(Self::Parts),
            "reads" => Some(Self::Reads),
            "writes" => Some(Self::Writes),
            _ => None,
        }
    }

    /// A member, as its literal is written in the JSON form of rules: a text, or a part.
    fn member(self, literal: &Value) -> Option<(Self, String)> {
        let value = literal.get("Value")?;
        let name = match self {
            Self::FilesRead | Self::Writes => value.as_str(),
            Self::Parts | Self::Reads => {
                let entity = value.get("__entity")?;
                let is_part = entity.get("type").and_then(Value::as_str) == Some("Part");
                entity.get("id").and_then(Value::as_str).filter(|_| is_part)
            }
        };
        Some((self, name?.to_owned()))
    }

    /// All members that the context of a request has: see `Policies::context`.
    fn members(request: &Request) -> impl Iterator<Item = (Self, String)> {
        let named = |sort: Self| move |name: &str| (sort, name.to_owned());
        let parts = request.parts.iter().map(|p| p.name());
        let reads = request.reads.iter().map(|p| p.name());
        (request.files(true).map(named(Self::Writes)))
            .chain(request.files(false).map(named(Self::FilesRead)))
            .chain(parts.map(named(Self::Parts)))
            .chain(reads.map(named(Self::Reads)))
    }
}

impl Slice {
    /// For each deed the rules whose head fits it.
    pub(super) fn all(
        policies: &[Policy],
        kinds: &Kinds,
        actions: &Entities,
    ) -> Result<HashMap<Act, Self>, String> {
        let fits = |policy: &Policy, deed: &EntityUid| match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(one) => one == *deed,
            ActionConstraint::In(list) => list
                .iter()
                .any(|one| one == deed || actions.is_ancestor_of(one, deed)),
        };
        let lean: Vec<(Policy, Vec<_>)> = policies.iter().map(lean).collect::<Result<_, _>>()?;
        let slice = |act: Act| {
            let deed = uid(&kinds.action, act.name());
            let mut slice = Self {
                always: PolicySet::new(),
                some: Vec::new(),
                asking: HashMap::new(),
            };
            let fit = policies.iter().zip(&lean).filter(|(p, _)| fits(p, &deed));
            for (_, (rule, asked)) in fit {
                // What people do has another context.
                if asked.is_empty() || !act.is_call() {
                    let added = slice.always.add(rule.clone());
                    added.map_err(|e| e.to_string())?;
                    continue;
                }
                for member in asked {
                    let places = slice.asking.entry(member.clone()).or_default();
                    places.push(slice.some.len());
                }
                slice.some.push(rule.clone());
            }
            Ok((act, slice))
        };
        Act::ALL.into_iter().map(slice).collect()
    }

    /// Every rule.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Policy> {
        self.always.policies().chain(&self.some)
    }

    /// The rules that can fire for a request.
    pub(crate) fn of(&self, request: &Request) -> Result<Cow<'_, PolicySet>, String> {
        let mut set = Cow::Borrowed(&self.always);
        let asking = Sort::members(request).filter_map(|member| self.asking.get(&member));
        let asking: BTreeSet<usize> = asking.flatten().copied().collect();
        for rule in asking.into_iter().filter_map(|place| self.some.get(place)) {
            let added = set.to_mut().add(rule.clone());
            added.map_err(|e| e.to_string())?;
        }
        Ok(set)
    }
}

/// A rule as slices hold it, and what it asks for: one of these; nothing where it must always be asked.
///
/// It does not ask for the deed again, and knows no longer where in the text it stood, since Cedar would carry that along from one step
/// of its evaluation to the next.
fn lean(policy: &Policy) -> Result<(Policy, Vec<(Sort, String)>), String> {
    let mut json = policy.to_json().map_err(|e| e.to_string())?;
    let head = json.get_mut("action").ok_or("a rule has no deed")?;
    *head = serde_json::json!({ "op": "All" });
    let asked = asked_for(&json).unwrap_or_default();
    let policy = Policy::from_json(Some(policy.id().clone()), json).map_err(|e| e.to_string())?;
    Ok((policy, asked))
}

/// What the condition of a rule asks for, where that is a member of a set: one of these. Nothing that could err stands before it.
fn asked_for(rule: &Value) -> Option<Vec<(Sort, String)>> {
    let condition = rule.get("conditions")?.get(0)?;
    if condition.get("kind")?.as_str()? != "when" {
        return None;
    }
    let mut asked = Vec::new();
    conjuncts(condition.get("body")?, &mut asked);
    for one in asked {
        if let Some(members) = membership(one) {
            return Some(members);
        }
        if !cannot_err(one) {
            return None;
        }
    }
    None
}

/// What has to hold all together, in the order of evaluation.
fn conjuncts<'a>(condition: &'a Value, found: &mut Vec<&'a Value>) {
    match condition
        .get("&&")
        .map(|both| (both.get("left"), both.get("right")))
    {
        Some((Some(left), Some(right))) => {
            conjuncts(left, found);
            conjuncts(right, found);
        }
        _ => found.push(condition),
    }
}

/// The members that a question for a member of a set asks for: one of these.
fn membership(asked: &Value) -> Option<Vec<(Sort, String)>> {
    let (has, one) = match (asked.get("contains"), asked.get("containsAny")) {
        (Some(has), _) => (has, true),
        (_, Some(has)) => (has, false),
        _ => return None,
    };
    let Some((None, name)) = attribute(has.get("left")?) else {
        return None;
    };
    let sort = Sort::from_name(name)?;
    let literal = has.get("right")?;
    match one {
        true => Some(vec![sort.member(literal)?]),
        false => {
            let literals = literal.get("Set")?.as_array()?;
            literals.iter().map(|one| sort.member(one)).collect()
        }
    }
}

/// An attribute of the context, or of a record in it.
fn attribute(expression: &Value) -> Option<(Option<&str>, &str)> {
    let path = expression.get(".")?;
    let (left, name) = (path.get("left")?, path.get("attr")?.as_str()?);
    if left.get("Var").and_then(Value::as_str) == Some("context") {
        return Some((None, name));
    }
    match attribute(left)? {
        (None, record) => Some((Some(record), name)),
        (Some(_), _) => None,
    }
}

/// Whether an expression is true or false for every call, whatever else it is: what it asks stands in each context and is a `Bool`.
fn cannot_err(expression: &Value) -> bool {
    if let Some(not) = expression.get("!") {
        return not.get("arg").is_some_and(cannot_err);
    }
    if let Some(two) = expression.get("==").or_else(|| expression.get("!=")) {
        return [two.get("left"), two.get("right")]
            .iter()
            .all(|side| side.is_some_and(has_a_value));
    }
    matches!(
        attribute(expression),
        Some((None, "outside" | "exact"))
            | Some((
                Some("facts"),
                "killed"
                    | "lease_fresh"
                    | "rationale"
                    | "evaluated"
                    | "evaluation_passed"
                    | "evaluation_clean"
                    | "single_person"
            ))
    )
}

/// Whether an expression has a value for every call, of whatever type: two values of different types are not equal, and no error.
fn has_a_value(expression: &Value) -> bool {
    let is_known = matches!(
        attribute(expression),
        Some((
            None,
            "class" | "effects" | "harness" | "parts" | "reads" | "writes" | "files_read"
        ))
    );
    let is_plain = match expression.get("Value") {
        // The others are calls of functions, which may fail.
        Some(Value::Object(value)) => value.contains_key("__entity"),
        Some(value) => value.is_boolean() || value.is_number() || value.is_string(),
        None => expression.get("Var").is_some(),
    };
    is_known || is_plain || cannot_err(expression)
}

#[cfg(test)]
mod tests {
    use cedar_policy::{AuthorizationError, Authorizer, PolicyId};
    use proptest::prelude::*;
    use tacho_schemas::Id;
    use tacho_schemas::body::Part;

    use super::*;
    use crate::decide::Counts;
    use crate::facts::Facts;
    use crate::policies::Policies;
    use crate::request::{Access, Principal, Target};

    fn target_of(path: &str, access: Access) -> Target {
        Target {
            access,
            after: None,
            before: None,
            parts: BTreeSet::new(),
            path: path.to_owned(),
            relative: None,
            resolved: None,
        }
    }

    #[test]
    fn a_rule_is_left_out_where_what_it_asks_for_is_not_there() {
        let rules = [
            (
                "path",
                r#"context.writes.contains("a\u{62}c") && context.outside"#,
                true,
            ),
            (
                "and",
                r#"(context.writes.contains("x") && context.exact) && context.outside"#,
                true,
            ),
            ("part", r#"context.parts.contains(Part::"ci")"#, true),
            (
                "parts",
                r#"context.parts.containsAny([Part::"ci", Part::"code"])"#,
                true,
            ),
            ("reads", r#"context.reads.contains(Part::"ci")"#, true),
            ("file", r#"context.files_read.contains("abc")"#, true),
            (
                "late",
                r#"context.outside && context.class == Class::"read" && !context.facts.killed && context.writes.contains("x")"#,
                true,
            ),
            // Behind what could err, not by name, or not a condition that has to hold.
            (
                "err",
                r#"context.facts.drift + 1 > 2 && context.writes.contains("x")"#,
                false,
            ),
            (
                "err-in",
                r#"!(context.outside && context.facts.drift + 1 == 2) && context.writes.contains("x")"#,
                false,
            ),
            (
                "or",
                r#"context.writes.contains("x") || context.outside"#,
                false,
            ),
            ("not", r#"!context.writes.contains("x")"#, false),
            ("all", r#"context.parts.containsAll([Part::"ci"])"#, false),
            ("tool", r#"context.writes.contains(context.harness)"#, false),
        ];
        let mut text = "@id(\"unless\") forbid (principal, action in Action::\"act\", resource)\n\
             unless { context.writes.contains(\"x\") };\n"
            .to_owned();
        for (id, when, _) in rules {
            text += &format!(
                "@id(\"{id}\") forbid (principal, action in Action::\"act\", resource) when {{ {when} }};\n"
            );
        }
        let policies = Policies::parse("t", &text).unwrap();
        let asked = |request: &Request| -> BTreeSet<String> {
            let set = policies
                .slices
                .get(&request.act)
                .unwrap()
                .of(request)
                .unwrap();
            set.policies().map(|p| p.id().to_string()).collect()
        };
        let agent = Principal::Agent(Id::new("a").unwrap());
        let mut request = Request::deed(agent, Act::Write, "Write");
        let always: BTreeSet<String> = rules
            .iter()
            .filter(|(.., left_out)| !left_out)
            .map(|(id, ..)| (*id).to_owned())
            .chain(["unless".to_owned()])
            .collect();
        assert_eq!(asked(&request), always);
        let with = |more: &[&str]| -> BTreeSet<String> {
            always
                .iter()
                .cloned()
                .chain(more.iter().map(|m| (*m).to_owned()))
                .collect()
        };
        request.targets.insert(target_of("abc", Access::Write));
        assert_eq!(asked(&request), with(&["path"]));
        request.targets.insert(target_of("abc", Access::Read));
        request.targets.insert(target_of("x", Access::Delete));
        assert_eq!(asked(&request), with(&["path", "file", "and", "late"]));
        request.reads.insert(Part::Ci);
        request.parts.extend([Part::Ci, Part::Code]);
        assert_eq!(
            asked(&request),
            with(&["path", "file", "and", "late", "reads", "part", "parts"])
        );
        let slice = policies.slices.get(&Act::Write).unwrap();
        assert_eq!(slice.rules().count(), rules.len() + 1);
    }

    /// Conditions of every shape that says what it asks for, and of others.
    fn conditions() -> impl Strategy<Value = String> {
        let simple = prop::sample::select(vec![
            "context.writes.contains(\"abc\")",
            "context.writes.contains(\"x\")",
            "context.writes.containsAny([\"x\", \"abc\"])",
            "context.writes.containsAll([\"x\", \"abc\"])",
            "context.files_read.contains(\"abc\")",
            "context.parts.contains(Part::\"ci\")",
            "context.parts.containsAny([Part::\"code\", Part::\"ci\"])",
            "context.reads.contains(Part::\"ci\")",
            "context.writes.contains(context.harness)",
            "context.writes.isEmpty()",
            "context.outside",
            "context.facts.killed",
            "context.facts.rationale != context.exact",
            "context.class == Class::\"write\"",
            "context.harness == \"\"",
            "resource == Tool::\"Tool\"",
            "context.facts.drift + 9223372036854775807 > 0",
        ]);
        let simple = simple.prop_map(str::to_owned);
        simple.prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| format!("if ({a}) then ({b}) else ({c})")),
                inner.prop_map(|a| format!("!({a})")),
            ]
        })
    }

    fn rules() -> impl Strategy<Value = String> {
        let head = prop::sample::select(vec![
            "action in Action::\"act\"",
            "action == Action::\"write\"",
            "action in [Action::\"write\", Action::\"execute\"]",
            "action in [Action::\"read\", Action::\"network\"]",
        ]);
        let clause = (prop::bool::weighted(0.7), conditions()).prop_map(|(when, text)| {
            format!("{} {{ {text} }}", ["unless", "when"][usize::from(when)])
        });
        let rule = (any::<bool>(), head, prop::collection::vec(clause, 0..3));
        prop::collection::vec(rule, 1..5).prop_map(|rules| {
            let texts = rules
                .iter()
                .enumerate()
                .map(|(n, (permit, head, clauses))| {
                    let effect = ["forbid", "permit"][usize::from(*permit)];
                    let clauses = clauses.join(" ");
                    format!("@id(\"r{n}\") {effect} (principal, {head}, resource) {clauses};\n")
                });
            texts.collect()
        })
    }

    fn requests() -> impl Strategy<Value = Request> {
        let target = (
            prop::sample::select(vec!["abc", "x", "other"]),
            prop::sample::select(vec![Access::Read, Access::Write, Access::Delete]),
        );
        let parts =
            || prop::collection::btree_set(prop::sample::select(vec![Part::Ci, Part::Code]), 0..3);
        (
            prop::sample::select(vec![Act::Write, Act::Read]),
            prop::collection::vec(target, 0..3),
            parts(),
            parts(),
            any::<bool>(),
        )
            .prop_map(|(act, targets, parts, reads, outside)| {
                let agent = Principal::Agent(Id::new("a").unwrap());
                let mut request = Request::deed(agent, act, "Tool");
                let targets = targets
                    .iter()
                    .map(|(path, access)| target_of(path, *access));
                request.targets.extend(targets);
                request.parts = parts;
                request.reads = reads;
                request.outside = outside;
                request
            })
    }

    proptest! {
        /// Cedar, asked with every rule as it was written, says the same as with those of the slice.
        #[test]
        fn what_is_left_out_changes_nothing(
            text in rules(),
            request in requests(),
            killed in any::<bool>(),
            drift in 0..2_u64,
        ) {
            // What the validator refuses never decides.
            let policies = Policies::parse("t", &text);
            prop_assume!(policies.is_ok());
            let policies = policies.unwrap();
            let facts = Facts { killed, drift, ..Facts::default() };
            let counts = Counts::Saturated;
            let (asked, entities) = policies.asked(&request, &facts, &counts).unwrap();
            let told = |set: &PolicySet| {
                let response = Authorizer::new().is_authorized(&asked, set, &entities);
                let id = |id: &PolicyId| match set.policy(id).and_then(|rule| rule.annotation("id")) {
                    Some(id) => id.to_owned(),
                    None => id.to_string(),
                };
                let fired: BTreeSet<String> = response.diagnostics().reason().map(id).collect();
                let erred: BTreeSet<String> =
                    response.diagnostics().errors().map(|error| match error {
                        AuthorizationError::PolicyEvaluationError(error) => id(error.policy_id()),
                    }).collect();
                (response.decision(), fired, erred)
            };
            let whole: PolicySet = text.parse().unwrap();
            let slice = policies.slices.get(&request.act).unwrap().of(&request).unwrap();
            prop_assert_eq!(told(&slice), told(&whole), "{}", text);
        }
    }
}
