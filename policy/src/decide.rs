//! The verdict: allow, deny or hold.
//!
//! Cedar answers yes or no. The third answer comes from asking twice: a forbid with `@approval` (a gate) waits for approvals, so a
//! no that only gates say becomes a yes when every counter of approvals is as high as can be. Then, and only then, it is worth
//! asking people. In order:
//!
//! 1. killed, or a lease that lapsed: deny, before any rule is asked
//! 2. anything that cannot be evaluated, in any round: deny. An error would else switch off the forbid it is in
//! 3. yes: allow
//! 4. no rule fires: deny, not permitted
//! 5. a forbid fires that is no gate: deny, forbidden
//! 6. only gates fire: ask again with every counter at 1,000,000. Still no: deny, for the reason of *that* round, since approvals
//!    could not help. Yes: hold, until one human stands on each place that the gates ask for ([`crate::hold`]); then ask a third
//!    time with the true counters, and allow.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityTypeName, Request as Asked, Response,
    RestrictedExpression as Value,
};
use tacho_schemas::body::Part;
use tacho_schemas::body::work::{self, Class, DenyKind, Effects};
use tacho_schemas::scalar::{List, Set};
use tacho_schemas::{Hash, Id, Seq};

use crate::entity::uid;
use crate::facts::Facts;
use crate::hold::{Obligation, Places};
use crate::policies::Policies;
use crate::request::{Act, Principal, Request};

/// What every counter of approvals stands at in the second round. More than any rule can ask for.
pub const SATURATED: i64 = 1_000_000;

/// The answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// Do not.
    Deny(DenyKind),
    /// Wait for humans.
    Hold,
}

/// The answer with its reasons.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// The answer.
    pub decision: Decision,
    /// The rules that decided, ascending.
    pub rules: Vec<Id>,
    /// What a hold waits for; for an allow that people made possible, what it waited for.
    pub obligations: Vec<Obligation>,
    /// The approvals that it rests on, each to be used up (allow only).
    pub used: Vec<Seq>,
    /// What flows and should be looked at: rule and sentence (allow only).
    pub findings: Vec<(Id, String)>,
    /// One plain sentence for the model.
    pub reason: String,
}

impl Verdict {
    fn deny(kind: DenyKind, rules: Vec<Id>, reason: String) -> Self {
        Self {
            decision: Decision::Deny(kind),
            rules,
            obligations: Vec::new(),
            used: Vec::new(),
            findings: Vec::new(),
            reason,
        }
    }

    /// The verdict as it is recorded. The digest of the request and the deadline are added by whoever holds.
    pub fn body(&self, policy_digest: Hash, policy: Option<Seq>) -> work::Verdict {
        let hold = self.decision == Decision::Hold;
        let obligation = |o: &Obligation| work::Obligation {
            rule: Some(o.rule.clone()),
            group: o.group.clone(),
            k: o.k,
            ttl: o.ttl_secs,
        };
        // 64 rules and 32 obligations fit; whoever fires more has a policy that nobody can read, and the first say why.
        let rules: Vec<_> = self.rules.iter().take(64).cloned().collect();
        let obligations: Vec<_> = self.obligations.iter().take(32).map(obligation).collect();
        work::Verdict {
            policy_digest: Some(policy_digest),
            consumes: Set::some(self.used.clone()).ok().flatten(),
            decision: match self.decision {
                Decision::Allow => work::Decision::Allow,
                Decision::Deny(_) => work::Decision::Deny,
                Decision::Hold => work::Decision::Hold,
            },
            deny_kind: match self.decision {
                Decision::Deny(kind) => Some(kind),
                _ => None,
            },
            rules: Set::some(rules).ok().flatten(),
            policy,
            obligations: List::some(obligations).ok().flatten().filter(|_| hold),
            request_digest: None,
            deadline: None,
        }
    }
}

/// How many approvals of each group a round sees.
pub(crate) enum Counts<'a> {
    /// None.
    Zero,
    /// As many as any rule could ask for.
    Saturated,
    /// As many places as are filled.
    True(BTreeMap<&'a Id, u64>),
}

impl Policies {
    /// Decides. Depends on nothing but its arguments and the rules.
    pub fn decide(&self, request: &Request, facts: &Facts) -> Verdict {
        if request.act.is_call() && facts.killed {
            return Verdict::deny(
                DenyKind::Killed,
                Vec::new(),
                "the off switch is engaged".to_owned(),
            );
        }
        if request.act.is_call() && !facts.lease_fresh {
            let reason =
                "there is no fresh lease: nobody has said that this agent may go on".to_owned();
            return Verdict::deny(DenyKind::LeaseLapsed, Vec::new(), reason);
        }
        match self.rounds(request, facts) {
            Ok(verdict) => verdict,
            Err(error) => Verdict::deny(
                DenyKind::PolicyError,
                error.rules,
                format!("the policy could not be evaluated: {}", error.what),
            ),
        }
    }

    fn rounds(&self, request: &Request, facts: &Facts) -> Result<Verdict, Failed> {
        let first = self.round(request, facts, &Counts::Zero)?;
        if first.allows {
            return Ok(self.allow(first, Vec::new(), Vec::new()));
        }
        let gates = self.gates(&first);
        let Some(obligations) = gates else {
            return Ok(self.refuse(request, first));
        };
        let second = self.round(request, facts, &Counts::Saturated)?;
        if !second.allows {
            return Ok(self.refuse(request, second));
        }
        let places = Places::fill(&obligations, &facts.approvals);
        if places.is_full() {
            let third = self.round(request, facts, &Counts::True(places.counts()))?;
            if third.allows {
                let used = places.used();
                return Ok(self.allow(third, obligations, used));
            }
        }
        Ok(self.hold(first, obligations, &places))
    }

    /// What the gates ask for that fired, if nothing else did.
    fn gates(&self, round: &Round) -> Option<Vec<Obligation>> {
        if round.rules.is_empty() {
            return None;
        }
        round
            .rules
            .iter()
            .map(|id| self.rules.get(id).and_then(|r| r.gate.clone()))
            .collect()
    }

    fn allow(&self, round: Round, obligations: Vec<Obligation>, used: Vec<Seq>) -> Verdict {
        let findings = round
            .rules
            .iter()
            .filter_map(|id| {
                let finding = self.rules.get(id)?.finding.clone()?;
                Some((id.clone(), finding))
            })
            .collect();
        let reason = if used.is_empty() {
            format!("allowed by {}", names(&round.rules))
        } else {
            format!("allowed by {}, as people approved", names(&round.rules))
        };
        Verdict {
            decision: Decision::Allow,
            rules: round.rules,
            obligations,
            used,
            findings,
            reason,
        }
    }

    fn refuse(&self, request: &Request, round: Round) -> Verdict {
        if round.rules.is_empty() {
            let reason = format!("no rule permits `{}` here", request.act.name());
            return Verdict::deny(DenyKind::NotPermitted, Vec::new(), reason);
        }
        // A gate that fires beside a true forbid is not why it is denied.
        let hard: Vec<Id> = round
            .rules
            .iter()
            .filter(|id| self.rules.get(*id).is_none_or(|r| r.gate.is_none()))
            .cloned()
            .collect();
        let rules = if hard.is_empty() { round.rules } else { hard };
        let because = self.because(&rules);
        let reason = format!("forbidden by {}{because}", names(&rules));
        Verdict::deny(DenyKind::Forbidden, rules, reason)
    }

    fn hold(&self, round: Round, obligations: Vec<Obligation>, places: &Places) -> Verdict {
        let open: Vec<String> = places
            .open()
            .into_iter()
            .map(|((rule, group), n)| format!("{n} of `{group}` (rule `{rule}`)"))
            .collect();
        let because = self.because(&round.rules);
        Verdict {
            decision: Decision::Hold,
            reason: format!("waits for approval by {}{because}", open.join(" and ")),
            rules: round.rules,
            obligations,
            used: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// The sentences of rules.
    fn because(&self, rules: &[Id]) -> String {
        let sentences: Vec<&str> = rules
            .iter()
            .filter_map(|id| self.rules.get(id)?.explain.as_deref())
            .collect();
        if sentences.is_empty() {
            String::new()
        } else {
            format!(": {}", sentences.join("; "))
        }
    }

    /// Asks Cedar once.
    pub(crate) fn round(
        &self,
        request: &Request,
        facts: &Facts,
        counts: &Counts<'_>,
    ) -> Result<Round, Failed> {
        let (asked, entities) = self.asked(request, facts, counts)?;
        let nothing = Failed::new("the deed is unknown");
        let slice = self.slices.get(&request.act).ok_or(nothing)?;
        let rules = slice.of(request).map_err(|e| Failed::new(&e))?;
        let response = Authorizer::new().is_authorized(&asked, &rules, &entities);
        Round::of(&response)
    }

    /// The request as Cedar sees it. Request, context and entities are held against the schema.
    pub(crate) fn asked(
        &self,
        request: &Request,
        facts: &Facts,
        counts: &Counts<'_>,
    ) -> Result<(Asked, Cow<'_, Entities>), Failed> {
        let failed = |e: &dyn std::fmt::Display| Failed::new(&e.to_string());
        let kinds = &self.kinds;
        let (principal, entities) = match &request.principal {
            Principal::Agent(id) => (uid(&kinds.agent, id.as_str()), Cow::Borrowed(&self.actions)),
            Principal::Watchdog(id) => (
                uid(&kinds.watchdog, id.as_str()),
                Cow::Borrowed(&self.actions),
            ),
            Principal::Human(id) => {
                let human = uid(&kinds.human, id.as_str());
                let groups = facts.groups.iter().map(|g| uid(&kinds.group, g.as_str()));
                let entity = Entity::new_no_attrs(human.clone(), groups.collect());
                let entities = self
                    .actions
                    .clone()
                    .add_entities([entity], Some(&self.schema));
                (human, Cow::Owned(entities.map_err(|e| failed(&e))?))
            }
        };
        let resource = match request.act {
            Act::EditPolicy => &kinds.policy,
            Act::Enrol => &kinds.roster,
            Act::Kill | Act::Release => &kinds.switch,
            Act::Approve | Act::Deny => &kinds.hold,
            _ => &kinds.tool,
        };
        let context = self
            .context(request, facts, counts)
            .map_err(|e| failed(&e))?;
        let asked = Asked::new(
            principal,
            uid(&kinds.action, request.act.name()),
            uid(resource, &request.resource),
            context,
            Some(&self.schema),
        )
        .map_err(|e| failed(&e))?;
        Ok((asked, entities))
    }

    fn context(
        &self,
        request: &Request,
        facts: &Facts,
        counts: &Counts<'_>,
    ) -> Result<Context, String> {
        let record =
            |fields: Vec<(String, Value)>| Value::new_record(fields).map_err(|e| e.to_string());
        let named = |name: &str, value: Value| (name.to_owned(), value);
        let count = |group: &str| match counts {
            Counts::Zero => 0,
            Counts::Saturated => SATURATED,
            Counts::True(counts) => counts
                .iter()
                .find(|(id, _)| id.as_str() == group)
                .map_or(0, |(_, n)| long(*n)),
        };
        let mut groups: Vec<&str> = self.groups.iter().map(Id::as_str).collect();
        if !groups.contains(&"reviewers") {
            groups.push("reviewers");
        }
        let approvals = record(
            groups
                .into_iter()
                .map(|g| named(g, Value::new_long(count(g))))
                .collect(),
        )?;
        let measured = facts.evaluation;
        let known = record(vec![
            named("killed", Value::new_bool(facts.killed)),
            named("lease_fresh", Value::new_bool(facts.lease_fresh)),
            named(
                "confinement",
                Value::new_long(long(facts.confinement.number())),
            ),
            named("drift", Value::new_long(long(facts.drift))),
            named(
                "mutations_last_hour",
                Value::new_long(long(facts.mutations_last_hour)),
            ),
            named(
                "consecutive_denials",
                Value::new_long(long(facts.consecutive_denials)),
            ),
            named("rationale", Value::new_bool(facts.rationale)),
            named("evaluated", Value::new_bool(measured.is_some())),
            named(
                "evaluation_passed",
                Value::new_bool(measured.is_some_and(|e| e.passed)),
            ),
            named(
                "evaluation_clean",
                Value::new_bool(measured.is_some_and(|e| e.clean)),
            ),
            named("single_person", Value::new_bool(facts.single_person)),
        ])?;
        let mut fields = vec![named("approvals", approvals), named("facts", known)];
        if request.act.is_call() {
            let files = |changed| {
                let files = request.files(changed);
                Value::new_set(files.map(|name| Value::new_string(name.to_owned())))
            };
            // What was not classified may be anything.
            let kinds = &self.kinds;
            let class = request.class.unwrap_or(Class::Execute);
            let effects = request.effects.unwrap_or(Effects::Unknown);
            let harness = request.harness.as_ref().map_or("", Id::as_str);
            fields.extend([
                named(
                    "class",
                    Value::new_entity_uid(uid(&kinds.class, class.name())),
                ),
                named(
                    "effects",
                    Value::new_entity_uid(uid(&kinds.effects, effects.name())),
                ),
                named("parts", parts(&kinds.part, &request.parts)),
                named("reads", parts(&kinds.part, &request.reads)),
                named("writes", files(true)),
                named("files_read", files(false)),
                named("outside", Value::new_bool(request.outside)),
                named("exact", Value::new_bool(request.is_exact())),
                named("harness", Value::new_string(harness.to_owned())),
            ]);
        } else {
            fields.push(named("own", Value::new_bool(facts.own)));
        }
        Context::from_pairs(fields).map_err(|e| e.to_string())
    }
}

fn parts(kind: &EntityTypeName, parts: &BTreeSet<Part>) -> Value {
    let entity = |p: &Part| Value::new_entity_uid(uid(kind, p.name()));
    Value::new_set(parts.iter().map(entity))
}

fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What Cedar said once.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) allows: bool,
    /// The rules that decided, ascending.
    pub(crate) rules: Vec<Id>,
}

impl Round {
    fn of(response: &Response) -> Result<Self, Failed> {
        let ids = |ids: &mut dyn Iterator<Item = String>| {
            let mut ids: Vec<Id> = ids.filter_map(|id| Id::new(id).ok()).collect();
            ids.sort();
            ids
        };
        let diagnostics = response.diagnostics();
        let mut errors = diagnostics.errors().peekable();
        if errors.peek().is_some() {
            let (mut rules, mut what) = (Vec::new(), Vec::new());
            for error in errors {
                let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
                rules.push(error.policy_id().to_string());
                what.push(error.to_string());
            }
            return Err(Failed {
                rules: ids(&mut rules.into_iter()),
                what: what.join("; "),
            });
        }
        Ok(Self {
            allows: response.decision() == cedar_policy::Decision::Allow,
            rules: ids(&mut diagnostics.reason().map(ToString::to_string)),
        })
    }
}

/// Why a round could not be evaluated.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) rules: Vec<Id>,
    pub(crate) what: String,
}

impl Failed {
    fn new(what: &str) -> Self {
        Self {
            rules: Vec::new(),
            what: what.to_owned(),
        }
    }
}

/// Rules by name, for a sentence.
fn names(rules: &[Id]) -> String {
    let names: Vec<_> = rules.iter().map(|r| format!("`{r}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No checked policy can err in the second round alone, since approvals stand in one form; should one ever, it denies.
    #[test]
    fn an_error_in_the_second_round_denies() {
        let text = "@id(\"open\") permit (principal, action, resource);
            @id(\"gate\") @approval(\"reviewers\") @k(\"1\") forbid (principal, action in Action::\"act\", resource)
              unless { context.approvals.reviewers >= 1 };
            @id(\"errs\") forbid (principal, action in Action::\"act\", resource)
              when { context.approvals.reviewers * 9223372036854775 > 9000000000000000000 };";
        Policies::parse("unchecked", text).unwrap_err();
        let (policies, _) = Policies::read("unchecked", text).unwrap();
        let agent = Principal::Agent(Id::new("a").unwrap());
        let mut request = Request::deed(agent, Act::Read, "Read");
        request.class = Some(Class::Read);
        request.effects = Some(Effects::Known);
        let facts = Facts {
            lease_fresh: true,
            ..Facts::default()
        };
        let first = policies.round(&request, &facts, &Counts::Zero).unwrap();
        assert!(!first.allows);
        let verdict = policies.decide(&request, &facts);
        assert_eq!(verdict.decision, Decision::Deny(DenyKind::PolicyError));
        assert_eq!(verdict.rules, [Id::new("errs").unwrap()]);
    }
}
