//! Deciding recorded history again, by the same rules or by others.
//!
//! A decision depends on the request, the facts and the rules, all of which a record keeps or names. So what another policy would
//! have said is known exactly, for every decision whose two halves are still there; the others are counted apart, with why.

use std::collections::HashMap;

use tacho_schemas::body::work;

use crate::decide::Decision;
use crate::facts::Facts;
use crate::policies::Policies;
use crate::request::Request;

/// What became of one decision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The same answer; a denial for another reason is the same answer.
    Same,
    /// Another answer.
    Changed {
        /// What was answered.
        was: work::Decision,
        /// What these rules answer.
        now: Decision,
        /// Why, in their words.
        reason: String,
    },
    /// It cannot be decided again.
    NotReplayable(&'static str),
}

/// What was decided, and why; nothing where it could not be read.
type Answer = Option<(Decision, String)>;

/// Decides again by one policy. Equal requests with equal facts are decided once.
#[derive(Debug)]
pub struct Replay<'a> {
    policies: &'a Policies,
    known: HashMap<(Vec<u8>, Vec<u8>), Answer>,
    /// How many were decided and not remembered.
    pub decided: u64,
}

/// How many decisions are remembered.
const REMEMBERED: usize = 65_536;

impl<'a> Replay<'a> {
    /// Replays by these rules.
    pub fn new(policies: &'a Policies) -> Self {
        Self {
            policies,
            known: HashMap::new(),
            decided: 0,
        }
    }

    /// Decides one recorded decision again: its verdict, and its content `request` and `facts` where they are still there.
    pub fn decide(
        &mut self,
        was: &work::Verdict,
        request: Option<&[u8]>,
        facts: Option<&[u8]>,
    ) -> Outcome {
        // Neither of these was the answer of rules.
        match was.deny_kind {
            Some(work::DenyKind::Unapproved) => {
                return Outcome::NotReplayable("a hold ran out: nobody answered, so no rule did");
            }
            Some(work::DenyKind::Unrecordable) => {
                return Outcome::NotReplayable("it could not be recorded, so no rule was asked");
            }
            _ => {}
        }
        let Some(request) = request else {
            return Outcome::NotReplayable("its request is not in the record, or was erased");
        };
        let Some(facts) = facts else {
            return Outcome::NotReplayable(
                "what the gate knew is not in the record, or was erased",
            );
        };
        let key = (request.to_vec(), facts.to_vec());
        let now = match self.known.get(&key) {
            Some(known) => known.clone(),
            None => {
                let now = self.fresh(request, facts);
                if self.known.len() >= REMEMBERED {
                    self.known.clear();
                }
                self.known.insert(key, now.clone());
                now
            }
        };
        match now {
            None => Outcome::NotReplayable(
                "its request or its facts are written in a way that this version does not read",
            ),
            Some((now, reason)) => {
                let same = matches!(
                    (was.decision, now),
                    (work::Decision::Allow, Decision::Allow)
                        | (work::Decision::Deny, Decision::Deny(_))
                        | (work::Decision::Hold, Decision::Hold)
                );
                if same {
                    Outcome::Same
                } else {
                    Outcome::Changed {
                        was: was.decision,
                        now,
                        reason,
                    }
                }
            }
        }
    }

    fn fresh(&mut self, request: &[u8], facts: &[u8]) -> Answer {
        let request = Request::from_bytes(request).ok()?;
        let facts = Facts::from_bytes(facts).ok()?;
        self.decided = self.decided.saturating_add(1);
        let verdict = self.policies.decide(&request, &facts);
        Some((verdict.decision, verdict.reason))
    }
}
