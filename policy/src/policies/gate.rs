//! The one form of a gate: `forbid … unless { context.approvals.<group> >= <k> }`, with annotations that say the same.
//!
//! Cedar has no third answer. A gate is a forbid that enough approvals switch off; its annotations tell the gate (the program) whom
//! to ask. If the two could differ, people would be asked for less than the rule demands, or for more; if approvals could stand
//! elsewhere, an approval could open what it was not asked for. So there is one form, and everything else is refused.

use std::collections::BTreeMap;

use cedar_policy::{Policy, PolicyId, PolicySet};
use serde_json::Value;
use tacho_schemas::Id;

use crate::hold::{Accepts, MAX_K, Obligation};
use crate::policies::{Problem, Rule, permits};

/// The annotations that a rule may have.
const KNOWN: [&str; 8] = [
    "id", "explain", "finding", "approval", "k", "ttl", "accepts", "bind",
];

/// The policies, named, and what stands around their conditions.
type Named = (Vec<Policy>, BTreeMap<Id, Rule>);

/// Names each policy by its `@id` and reads its annotations.
pub(super) fn rules(set: &PolicySet) -> Result<Named, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut policies = Vec::new();
    let mut rules = BTreeMap::new();
    if let Some(template) = set.templates().next() {
        let what = format!("templates are not used here: {}", template.id());
        problems.push(Problem::of_file(what));
    }
    for policy in set.policies() {
        match rule(policy) {
            Ok((id, rule)) => {
                policies.push(policy.new_id(PolicyId::new(id.as_str())));
                if rules.insert(id.clone(), rule).is_some() {
                    let what = "stands twice; an id names one rule".to_owned();
                    problems.push(Problem::of_rule(id.to_string(), what));
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok((policies, rules))
    } else {
        Err(problems)
    }
}

fn rule(policy: &Policy) -> Result<(Id, Rule), Problem> {
    let text = policy.to_cedar().unwrap_or_default();
    let named = policy.annotation("id").unwrap_or_default();
    let Ok(id) = Id::new(named) else {
        let head: String = text.chars().take(60).collect();
        let what = format!(
            "`{}…` has no @id of 1 to 64 letters without blanks, which verdicts name it by",
            head.trim()
        );
        return Err(Problem::of_file(what));
    };
    let bad = |what: String| Problem::of_rule(id.to_string(), what);
    for (name, _) in policy.annotations() {
        if !KNOWN.contains(&name) {
            let known = KNOWN.map(|k| format!("@{k}")).join(" ");
            return Err(bad(format!("@{name} means nothing here; known: {known}")));
        }
    }
    let said = |name: &str| policy.annotation(name).filter(|t| !t.is_empty());
    let gate = match said("approval") {
        None => {
            if let Some(lone) = ["k", "ttl", "accepts", "bind"]
                .into_iter()
                .find(|name| policy.annotation(name).is_some())
            {
                return Err(bad(format!("has @{lone} but no @approval")));
            }
            None
        }
        Some(group) => Some(obligation(policy, &id, group).map_err(&bad)?),
    };
    if gate.is_some() && permits(policy) {
        return Err(bad(
            "is a permit with @approval; only a forbid can wait for people".to_owned(),
        ));
    }
    let finding = said("finding").map(str::to_owned);
    if finding.is_some() && !permits(policy) {
        return Err(bad(
            "is a forbid with @finding; only what flows is one".to_owned()
        ));
    }
    let rule = Rule {
        explain: said("explain").map(str::to_owned),
        finding,
        gate,
        permits: permits(policy),
        text,
    };
    Ok((id, rule))
}

fn obligation(policy: &Policy, rule: &Id, group: &str) -> Result<Obligation, String> {
    let group = group_name(group)?;
    let k = policy.annotation("k").unwrap_or("1");
    let k = match k.parse::<u64>() {
        Ok(number) if (1..=MAX_K).contains(&number) && number.to_string() == k => number,
        _ => return Err(format!("@k is {k:?}, not a number from 1 to {MAX_K}")),
    };
    let ttl_secs = policy.annotation("ttl").map(seconds).transpose()?;
    if let Some(bind) = policy.annotation("bind").filter(|b| *b != "request") {
        return Err(format!(
            "@bind is {bind:?}; an approval binds the whole request: \"request\", or leave it out"
        ));
    }
    let mut accepts = Accepts::default();
    for word in policy
        .annotation("accepts")
        .unwrap_or("")
        .split_whitespace()
    {
        match word {
            "initiator" => accepts.initiator = true,
            "launcher" => accepts.launcher = true,
            "weak-keys" => accepts.weak = true,
            other => {
                return Err(format!(
                    "@accepts has {other:?}; known: initiator, launcher, weak-keys"
                ));
            }
        }
    }
    Ok(Obligation {
        accepts,
        group,
        k,
        rule: rule.clone(),
        ttl_secs,
    })
}

/// A group's name is also a field's name in policies.
fn group_name(name: &str) -> Result<Id, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    Id::new(name)
        .ok()
        .filter(|_| name.bytes().all(plain))
        .ok_or_else(|| {
            format!("@approval is {name:?}; a group has 1 to 64 of a-z, 0-9, `_` and `-`")
        })
}

/// Reads a duration such as `PT24H`, `P1D` or `PT1H30M` (ISO 8601, without years, months and weeks) into seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let bad = || format!("@ttl is {text:?}, not a duration such as \"PT24H\" or \"P1D\"");
    let rest = text.strip_prefix('P').ok_or_else(bad)?;
    let (days, hours) = rest.split_once('T').unwrap_or((rest, ""));
    let mut total: u64 = 0;
    let mut count = 0_u32;
    for (part, units) in [
        (days, &[('D', 86_400)][..]),
        (hours, &[('H', 3_600), ('M', 60), ('S', 1)][..]),
    ] {
        let mut units = units.iter();
        let mut digits = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let (_, size) = units.find(|(unit, _)| *unit == c).ok_or_else(bad)?;
            let number: u64 = digits.parse().map_err(|_| bad())?;
            digits.clear();
            count = count.saturating_add(1);
            total = number
                .checked_mul(*size)
                .and_then(|n| total.checked_add(n))
                .ok_or_else(bad)?;
        }
        if !digits.is_empty() {
            return Err(bad());
        }
    }
    // A year is longer than any approval should last.
    if count == 0 || total == 0 || total > 366 * 86_400 || text.ends_with('T') {
        return Err(bad());
    }
    Ok(total)
}

/// Holds each rule against the one form of a gate.
pub(super) fn check(all: &PolicySet, rules: &BTreeMap<Id, Rule>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for policy in all.policies() {
        let id = policy.id().to_string();
        let rule = rules.iter().find(|(name, _)| name.as_str() == id);
        let Some((_, rule)) = rule else { continue };
        let json = match policy.to_json() {
            Ok(json) => json,
            Err(e) => {
                problems.push(Problem::of_rule(id, e.to_string()));
                continue;
            }
        };
        let empty = Vec::new();
        let conditions = json.get("conditions").and_then(Value::as_array);
        let conditions = conditions.unwrap_or(&empty);
        if let Err(what) = check_rule(rule, conditions) {
            problems.push(Problem::of_rule(id, what));
        }
    }
    problems
}

fn check_rule(rule: &Rule, conditions: &[Value]) -> Result<(), String> {
    let mut asked = None;
    for condition in conditions {
        let body = condition.get("body").unwrap_or(&Value::Null);
        let unless = condition.get("kind").and_then(Value::as_str) == Some("unless");
        if let Some(found) = gate_of(body).filter(|_| unless) {
            if asked.replace(found).is_some() {
                return Err("asks for approvals twice; make two rules of it".to_owned());
            }
        } else if mentions_approvals(body) {
            return Err(
                "uses context.approvals in another way than `unless { context.approvals.<group> >= <number> }`"
                    .to_owned(),
            );
        }
    }
    match (&rule.gate, asked) {
        (None, None) => Ok(()),
        (_, Some(_)) if rule.permits => {
            Err("is a permit that asks for approvals; only a forbid can".to_owned())
        }
        (Some(gate), Some((group, k))) if gate.group.as_str() == group && gate.k == k => Ok(()),
        (Some(gate), Some((group, k))) => Err(format!(
            "says @approval({:?}) @k(\"{}\") but waits for `{group} >= {k}`",
            gate.group.as_str(),
            gate.k
        )),
        (Some(gate), None) => Err(format!(
            "has @approval but nothing that approvals switch off: add `unless {{ context.approvals.{} >= {} }}`",
            gate.group, gate.k
        )),
        (None, Some((group, k))) => Err(format!(
            "asks for approvals but does not say so: add @approval({group:?}) @k(\"{k}\")"
        )),
    }
}

/// Reads `context.approvals.<group> >= <k>`.
fn gate_of(body: &Value) -> Option<(&str, u64)> {
    let compare = only(body, ">=")?;
    let group = only(compare.get("left")?, ".")?;
    let approvals = only(group.get("left")?, ".")?;
    let context = only(approvals.get("left")?, "Var")?;
    let is_ours = context == "context" && approvals.get("attr")? == "approvals";
    let k = only(compare.get("right")?, "Value")?.as_u64()?;
    is_ours.then_some((group.get("attr")?.as_str()?, k))
}

/// The operand of an expression that is this operator.
fn only<'a>(body: &'a Value, operator: &str) -> Option<&'a Value> {
    body.as_object().filter(|map| map.len() == 1)?.get(operator)
}

/// Whether an expression can see approvals: it names them, or takes the context whole.
fn mentions_approvals(body: &Value) -> bool {
    match body {
        Value::Object(map) => {
            // `context` may only stand left of the name of one of its other fields.
            if let Some(access) = map.get(".").or_else(|| map.get("has")) {
                let of_context =
                    access.get("left").and_then(|l| only(l, "Var")) == Some(&"context".into());
                if of_context {
                    let attr = access.get("attr").and_then(Value::as_str);
                    return attr.is_none_or(|a| a == "approvals");
                }
            }
            if map.get("Var").and_then(Value::as_str) == Some("context") {
                return true;
            }
            map.values().any(mentions_approvals)
        }
        Value::Array(list) => list.iter().any(mentions_approvals),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, secs) in [
            ("PT1S", 1),
            ("PT24H", 86_400),
            ("P1D", 86_400),
            ("P1DT1H2M3S", 90_123),
            ("PT90M", 5_400),
        ] {
            assert_eq!(seconds(text), Ok(secs), "{text}");
        }
        for text in [
            "",
            "P",
            "PT",
            "1H",
            "PT1",
            "P1H",
            "PT1D",
            "PT0S",
            "PT1M1H",
            "P1Y",
            "PT-1H",
            "P1DT",
            "PT99999999999999999999H",
            "P367D",
            "pt1h",
        ] {
            seconds(text).unwrap_err();
        }
    }
}
