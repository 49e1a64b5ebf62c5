//! What people say to holds: signed acts, checked, recorded, and counted once.

use tacho_policy::{Act as Deed, Decision, Facts, Principal, Request};
use tacho_schemas::act::{Statement, Verb};
use tacho_schemas::body::human::{self, Act};
use tacho_schemas::body::log::{Assurance, KeyRole};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::Via;
use tacho_schemas::scalar::Blob;
use tacho_schemas::{Hash, Id, Seq, Time, sshsig};

use super::hold::{Approval, Hold, Status};
use super::state::Standing;
use super::wire::{Answered, Held, Signed};
use super::{Gate, Peer, human_actor, place};
use crate::acts::{self, About};
use crate::draft::Way;
use crate::enrol::Signer;
use crate::error::{Error, ErrorKind, Result};

/// The longest that a signed act counts: 7 days.
const MAX_LIFE: i64 = 7 * 86_400_000_000_000;

/// Whether approvals suffice is another question than whether the switch is engaged at this moment.
const GOES_ON: Standing = Standing {
    killed: false,
    lease_fresh: true,
};

/// An act whose signature, signer and time are good.
pub(super) struct Checked {
    pub(super) statement: Statement,
    pub(super) act: Act,
    pub(super) holder: Id,
    pub(super) groups: Vec<Id>,
    pub(super) digest: Hash,
}

impl Gate {
    /// Checks a signed act: spelling, log, time, key, signature, and that it was never taken before. `suits` sees the statement first,
    /// so that what it is about is named rather than its signature.
    pub(super) fn check_act(
        &self,
        signed: &Signed,
        suits: impl FnOnce(&Statement) -> Result<()>,
    ) -> Result<Checked> {
        let statement: Statement = signed.statement.parse()?;
        if statement.origin != *self.log.origin() || statement.log_id != self.log.log_id() {
            return refuse("the statement is about another log");
        }
        suits(&statement)?;
        let now = self.now();
        if statement.not_before.0.saturating_sub(acts::SKEW) > now.0 {
            return refuse("the statement is not yet valid");
        }
        if statement.not_after <= now {
            return refuse("the statement is no longer valid");
        }
        if statement.not_after.0.saturating_sub(statement.not_before.0) > MAX_LIFE {
            return refuse("the statement is valid for more than seven days");
        }
        let mut act = Act {
            key: statement.key,
            assurance: None,
            statement: Blob::new(signed.statement.clone().into_bytes())?,
            sshsig: Blob::new(sshsig::from_armoured(&signed.sshsig)?)?,
        };
        let digest = Hash::sha256(signed.statement.as_bytes());
        let state = self.lock();
        if state.statements.contains(&digest) {
            return refuse("this very statement was taken before; sign a new one");
        }
        let opened = acts::open(&self.about(), &state.enrolled, &act).map_err(|why| {
            Error::new(ErrorKind::Refused, why)
                .with_hint("`tacho approver list` shows who is enrolled with which key")
        })?;
        act.assurance = Some(opened.assurance);
        Ok(Checked {
            act,
            holder: opened.signer.holder.clone(),
            groups: human_groups(opened.signer),
            statement,
            digest,
        })
    }

    /// The log that people's statements must name.
    pub(super) fn about(&self) -> About {
        About {
            origin: self.log.origin().clone(),
            log_id: self.log.log_id(),
        }
    }

    /// Takes a human's yes to a hold.
    pub fn approve(&self, peer: Peer, hold: Seq, signed: &Signed) -> Result<Answered> {
        self.answer(peer, hold, signed, Verb::Approve)
    }

    /// Takes a human's no to a hold: it ends for good.
    pub fn reject(&self, peer: Peer, hold: Seq, signed: &Signed) -> Result<Answered> {
        self.answer(peer, hold, signed, Verb::Reject)
    }

    fn answer(&self, peer: Peer, seq: Seq, signed: &Signed, verb: Verb) -> Result<Answered> {
        let mut checked = self.check_act(signed, |statement| {
            if statement.verb != verb || statement.target != Some(seq) {
                return refuse("the statement says something else");
            }
            let state = self.lock();
            let hold = state.holds.get(&seq).ok_or_else(|| no_hold(seq))?;
            if statement.digest != Some(hold.digest) {
                return refuse("the statement binds another request");
            }
            if statement.policy != Some(state.policy.digest) {
                return refuse("the statement binds another policy than the one in force");
            }
            check_open(hold, seq, self.now())
        })?;
        self.may(&checked, verb, seq)?;
        let now = self.now();
        let mut not_after = checked.statement.not_after;
        let pending = {
            let mut state = self.lock();
            let launcher = state
                .holds
                .get(&seq)
                .and_then(|hold| state.sessions.get(&hold.session))
                .map(|session| (session.launcher.clone(), session.uid));
            let policy = state.policy.digest;
            let hold = state.holds.get(&seq).ok_or_else(|| no_hold(seq))?;
            check_open(hold, seq, now)?;
            if Some(policy) != checked.statement.policy {
                return refuse("the policy changed meanwhile");
            }
            // The shortest life that a rule gives, since one approval may have to serve any of them.
            for ttl in hold.obligations.iter().filter_map(|o| o.ttl_secs) {
                let ttl = i64::try_from(ttl)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(1_000_000_000);
                not_after = not_after.min(Time(now.0.saturating_add(ttl)));
            }
            let weak = checked.act.assurance == Some(Assurance::None);
            // A stronger key of the same human may follow a weak one.
            let again = hold.approvals.iter().any(|a| {
                a.approver.human == checked.holder
                    && now < a.not_after
                    && (weak || !a.approver.weak)
            });
            if again && verb == Verb::Approve {
                return Err(Error::new(
                    ErrorKind::Exists,
                    format!("`{}` has approved hold {seq} already", checked.holder),
                )
                .with_hint("another human must fill the next place"));
            }
            // A key that is another user's is not used by the agent's user.
            let agent_uid = launcher.as_ref().and_then(|(_, uid)| *uid);
            if checked.act.assurance == Some(Assurance::OtherUid) && agent_uid == Some(peer.uid) {
                checked.act.assurance = Some(Assurance::None);
            }
            if !state.statements.insert(checked.digest) {
                return refuse("this very statement was taken before; sign a new one");
            }
            let draft = self.draft_answer(peer, seq, signed, &checked, verb, not_after)?;
            let pending = self.log.submit(draft)?;
            // A no counts at once, before anything that is handed over later.
            if verb == Verb::Reject
                && let Some(hold) = state.holds.get_mut(&seq)
            {
                hold.status = Status::Rejected(seq);
            }
            (pending, launcher.and_then(|(launcher, _)| launcher))
        };
        let (pending, launcher) = pending;
        let approval = pending.number()?;
        let assurance = checked.act.assurance.unwrap_or(Assurance::None);
        let mut state = self.lock();
        if let Some(hold) = state.holds.get_mut(&seq) {
            if verb == Verb::Reject {
                hold.status = Status::Rejected(approval);
            } else {
                hold.approvals.push(Approval {
                    approver: tacho_policy::Approver {
                        groups: checked.groups.clone(),
                        initiator: false,
                        launcher: launcher.as_ref() == Some(&checked.holder),
                        human: checked.holder.clone(),
                        seq: approval,
                        weak: assurance == Assurance::None,
                    },
                    not_after,
                });
            }
        }
        let missing = state.missing(seq, self.now());
        if let Some(hold) = state.holds.get(&seq) {
            hold.ring();
        }
        Ok(Answered {
            approval,
            by: checked.holder,
            complete: verb == Verb::Reject || missing.is_none(),
            missing: missing.filter(|_| verb == Verb::Approve),
            assurance: assurance.name().to_owned(),
        })
    }

    /// Whether the policy lets this human answer.
    fn may(&self, checked: &Checked, verb: Verb, hold: Seq) -> Result<()> {
        let deed = match verb {
            Verb::Approve => Deed::Approve,
            _ => Deed::Deny,
        };
        let request = Request::deed(
            Principal::Human(checked.holder.clone()),
            deed,
            hold.to_string(),
        );
        let state = self.lock();
        let facts = Facts {
            groups: checked.groups.clone(),
            single_person: state.enrolled.holders().len() <= 1,
            ..Facts::default()
        };
        let policies = std::sync::Arc::clone(&state.policy.policies);
        drop(state);
        let verdict = policies.decide(&request, &facts);
        match verdict.decision {
            Decision::Allow => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Refused,
                format!(
                    "the policy does not let `{}` answer: {}",
                    checked.holder, verdict.reason
                ),
            )),
        }
    }

    fn draft_answer(
        &self,
        peer: Peer,
        hold: Seq,
        signed: &Signed,
        checked: &Checked,
        verb: Verb,
        not_after: Time,
    ) -> Result<crate::draft::Draft> {
        let mut event = Event::new(
            human_actor(checked.holder.clone()),
            human::Approval {
                request_digest: checked.statement.digest.unwrap_or_default(),
                target: hold,
                answer: match verb {
                    Verb::Approve => human::Answer::Approve,
                    _ => human::Answer::Reject,
                },
                not_after: Some(not_after),
                act: checked.act.clone(),
            },
        );
        event.causes = vec![hold];
        if let Some(reason) = &signed.reason {
            event = event.with(Field::Reason, reason.clone());
        }
        let mut auth = peer.auth();
        auth.key = Some(checked.statement.key);
        let way = Way {
            via: Via::Human,
            auth: Some(auth),
            import: None,
        };
        self.log.draft(event, way)
    }

    /// The holds that people can answer.
    pub fn holds(&self) -> Result<Vec<Held>> {
        let state = self.lock();
        let now = self.now();
        Ok(state
            .open_holds(now)
            .map(|(seq, hold)| shown(*seq, hold, now))
            .collect())
    }

    /// One hold, for whoever is told of it.
    pub fn held(&self, seq: Seq) -> Result<Held> {
        let state = self.lock();
        let hold = state.holds.get(&seq).ok_or_else(|| no_hold(seq))?;
        Ok(shown(seq, hold, self.now()))
    }
}

impl super::state::State {
    /// What a hold still lacks, in words; nothing if it has all.
    fn missing(&self, seq: Seq, now: Time) -> Option<String> {
        let hold = self.holds.get(&seq)?;
        let session = self.sessions.get(&hold.session)?;
        let Ok(request) = Request::from_bytes(&hold.request) else {
            return Some(
                "the request was redacted; it is seen when the agent asks again".to_owned(),
            );
        };
        let ground = self.ground(session, &request, &hold.request, true, GOES_ON, now);
        let verdict = self.policy.policies.decide(&request, &ground.facts);
        match verdict.decision {
            Decision::Allow => None,
            _ => Some(verdict.reason),
        }
    }
}

fn shown(seq: Seq, hold: &Hold, now: Time) -> Held {
    let mut approved_by: Vec<Id> = hold.valid(now).into_iter().map(|a| a.human).collect();
    approved_by.sort();
    approved_by.dedup();
    Held {
        hold: seq,
        since: hold.since,
        deadline: hold.deadline,
        session: hold.session,
        agent: hold.agent.clone(),
        tool: hold.tool.clone(),
        class: hold.class,
        digest: hold.digest,
        policy_digest: hold.policy_digest,
        obligations: hold.obligations.iter().map(place).collect(),
        reason: hold.reason.clone(),
        request: String::from_utf8_lossy(&hold.request).into_owned(),
        input: hold.input.clone(),
        diff: hold.diff.clone(),
        summary: hold.summary.clone(),
        waiting: hold.waiting.load(std::sync::atomic::Ordering::Relaxed) > 0,
        approved_by,
    }
}

fn check_open(hold: &Hold, seq: Seq, now: Time) -> Result<()> {
    let why = match hold.status {
        Status::Open if now < hold.deadline => return Ok(()),
        Status::Open => "has ended: its time is over",
        Status::Spent => "was approved and used already",
        Status::Rejected(_) => "was rejected",
        Status::Killed => "was ended by the off switch",
        Status::Void => "is void: the policy changed",
    };
    Err(Error::new(ErrorKind::Refused, format!("hold {seq} {why}"))
        .with_hint("if the agent asks again, there is a new hold: `tacho holds` lists them"))
}

fn no_hold(seq: Seq) -> Error {
    Error::new(ErrorKind::Missing, format!("there is no hold {seq}"))
        .with_hint("`tacho holds` lists them")
}

fn human_groups(signer: &Signer) -> Vec<Id> {
    match signer.role {
        KeyRole::Human => signer.groups.clone(),
        // A watchdog stops agents; it approves nothing.
        _ => Vec::new(),
    }
}

fn refuse<T>(why: &str) -> Result<T> {
    Err(Error::new(ErrorKind::Refused, why))
}
