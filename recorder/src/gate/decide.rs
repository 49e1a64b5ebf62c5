//! One call, from the question to the answer.
//!
//! Off switch → canonical request → policy → one durable `action` record → answer. The policy is asked on a copy of what is known;
//! under the lock it is then seen whether that still holds, and only then the record is handed to the writer, who keeps the order. So
//! rules are evaluated side by side, and counted one after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};

use tacho_policy::{Act, Decision, Verdict as Decided};
use tacho_schemas::body::log::SealReason;
use tacho_schemas::body::work::DenyKind;
use tacho_schemas::content::Field;
use tacho_schemas::record::Via;
use tacho_schemas::{Hash, Id, Seq, Time};
use tokio::sync::watch;

use super::ask::{Asked, Read};
use super::hold::{Hold, Status};
use super::state::{Call, Ground, State, parts};
use super::wire::{Answer, Decide, Verdict};
use super::{Gate, Peer};
use crate::draft::Draft;
use crate::error::{Error, ErrorKind, Result};
use crate::hook::canary::MARK as CANARY;
use crate::salt::salt;

/// How often a decision is made on a copy before it is made under the lock.
const TRIES: usize = 3;

/// What a decision led to.
#[derive(Debug)]
pub enum Step {
    /// The answer.
    Done(Box<Answer>),
    /// People are asked.
    Wait(Waiting),
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// Something changed that the hold waits for.
    Bell,
    /// The caller can wait no longer.
    Deadline,
    /// The gate stops.
    Stop,
}

/// A call that waits for people.
#[derive(Debug)]
pub struct Waiting {
    asked: Arc<Asked>,
    hold: Seq,
    bell: watch::Receiver<u64>,
    is_new: bool,
    _counted: Counted,
}

/// One who waits, counted while it does.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiting {
    /// Rings when the hold should be looked at again.
    pub fn bell(&self) -> watch::Receiver<u64> {
        self.bell.clone()
    }

    /// The hold.
    pub fn hold(&self) -> Seq {
        self.hold
    }

    /// Whether the hold was made for this very call, so that people are yet to be told.
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

/// What is to be written, and what follows from it.
struct Plan {
    draft: Draft,
    verdict: Decided,
    /// For a hold: its salt, digest and end.
    hold: Option<([u8; 32], Hash, Time)>,
    reason: String,
}

impl Gate {
    /// Decides a call of a session. Whatever goes wrong is a deny.
    pub fn decide(&self, peer: Peer, session: Seq, ask: Decide) -> Step {
        let asked = Arc::new(Asked { peer, session, ask });
        self.attempt(&asked, None)
    }

    /// Goes on with a call that waited.
    pub fn resume(&self, waiting: Waiting, why: Why) -> Step {
        match why {
            Why::Bell => self.attempt(&waiting.asked, Some(&waiting)),
            Why::Deadline => {
                let reason = format!(
                    "nobody has approved this yet: it waits as hold {0}. Do not try to reach the same in another way. Go on with other \
                     work or stop, and make exactly this call again later: once hold {0} is approved, it passes once",
                    waiting.hold
                );
                self.leave(&waiting, reason)
            }
            Why::Stop => {
                let reason = format!(
                    "the gate stops. This call waits as hold {0} and can still be approved; make exactly this call again when the gate runs",
                    waiting.hold
                );
                self.leave(&waiting, reason)
            }
        }
    }

    /// Waits where it stands, for tests and callers without a runtime: until the answer, or the end of patience.
    pub fn decide_blocking(&self, peer: Peer, session: Seq, ask: Decide) -> Answer {
        let until = std::time::Instant::now() + self.patience(ask.deadline_ms);
        let mut step = self.decide(peer, session, ask);
        loop {
            match step {
                Step::Done(answer) => return *answer,
                Step::Wait(waiting) => {
                    let mut why = Why::Deadline;
                    while std::time::Instant::now() < until {
                        if waiting.bell.has_changed().unwrap_or(true) {
                            why = Why::Bell;
                            break;
                        }
                        self.look_at_switch();
                        std::thread::sleep(std::time::Duration::from_millis(2));
                    }
                    step = self.resume(waiting, why);
                }
            }
        }
    }

    fn attempt(&self, asked: &Arc<Asked>, waited: Option<&Waiting>) -> Step {
        let _deciding = Counted::new(&self.deciding);
        let step = self
            .read_call(asked)
            .and_then(|read| self.decide_read(&read, waited));
        step.unwrap_or_else(|error| {
            let mut reason = error.to_string();
            if let Some(hint) = error.hint() {
                reason = format!("{reason} ({hint})");
            }
            Step::Done(Box::new(Answer::unrecordable(format!(
                "denied, since it could not be recorded: {reason}"
            ))))
        })
    }

    fn decide_read(&self, read: &Read, waited: Option<&Waiting>) -> Result<Step> {
        for _ in 0..TRIES {
            let ground = self.ground(&self.lock(), read);
            let planned = self.plan(read, &ground)?;
            let state = self.lock();
            if self.ground(&state, read) == ground {
                return self.carry_out(state, read, &ground, planned, waited);
            }
        }
        let state = self.lock();
        let ground = self.ground(&state, read);
        let planned = self.plan(read, &ground)?;
        self.carry_out(state, read, &ground, planned, waited)
    }

    fn ground(&self, state: &State, read: &Read) -> Ground {
        let rationale = read
            .asked
            .ask
            .rationale
            .as_ref()
            .is_some_and(|r| r.goal.is_some() || r.summary.is_some() || r.reasoning.is_some());
        state.ground(
            &read.session,
            &read.request,
            &read.bytes,
            rationale,
            read.switch,
            self.now(),
        )
    }

    /// Decides, and makes the record ready. `None` where an open hold already asks people for this.
    fn plan(&self, read: &Read, ground: &Ground) -> Result<Option<Plan>> {
        let mut verdict = ground.policy.policies.decide(&read.request, &ground.facts);
        // `observe` denies nothing else, and has to show that its hooks are obeyed all the same.
        if !matches!(verdict.decision, Decision::Deny(_)) && read.input.contains(CANARY) {
            verdict = deny(
                DenyKind::Forbidden,
                "this is the canary, which every policy denies".to_owned(),
            );
            verdict.rules.extend(Id::new("canary"));
        }
        let mut causes = Vec::new();
        match ground.hold {
            Some((hold, Status::Open)) => {
                if verdict.decision == Decision::Hold && !ground.stopping {
                    return Ok(None);
                }
                causes.push(hold);
            }
            // What a human refused is not asked again, under the same policy and until the hold would have ended.
            Some((hold, Status::Rejected(by))) if verdict.decision == Decision::Hold => {
                verdict = unapproved(format!("a human rejected this as hold {hold}"));
                causes.extend([hold, by]);
            }
            _ => {}
        }
        if ground.stopping && verdict.decision == Decision::Hold {
            verdict = unapproved("the gate stops, and asks nobody any more".to_owned());
        }
        causes.extend(verdict.used.iter().copied());
        if !verdict.used.is_empty() {
            // What people approved, they approved because these rules asked them.
            let asked = verdict.obligations.iter().map(|o| o.rule.clone());
            verdict.rules.extend(asked);
            verdict.rules.sort();
            verdict.rules.dedup();
        }
        let mut body = verdict.body(ground.policy.digest, Some(ground.policy.seq));
        let mut salt_text = None;
        let mut hold = None;
        if verdict.decision == Decision::Hold {
            let salt = salt()?.0;
            let digest = read.request.digest(&salt);
            let open = i64::try_from(self.settings.open.as_nanos()).unwrap_or(i64::MAX);
            let deadline = Time(self.now().0.saturating_add(open));
            body.request_digest = Some(digest);
            body.deadline = Some(deadline);
            salt_text = Some(hex::encode(salt));
            hold = Some((salt, digest, deadline));
        }
        let reason = sentence(&verdict);
        let mut event = self.event(read, ground, body, causes)?;
        if let Some(salt) = salt_text {
            event = event.with(Field::RequestSalt, salt);
        }
        if verdict.decision != Decision::Allow {
            event = event.with(Field::AnswerText, reason.clone());
        }
        let draft = self.log.draft(event, read.asked.peer.way(Via::Gate))?;
        Ok(Some(Plan {
            draft,
            verdict,
            hold,
            reason,
        }))
    }

    /// Counts, hands the record to the writer, lets go of the lock, waits until it is durable, and answers.
    fn carry_out(
        &self,
        mut state: MutexGuard<'_, State>,
        read: &Read,
        ground: &Ground,
        plan: Option<Plan>,
        waited: Option<&Waiting>,
    ) -> Result<Step> {
        let Some(plan) = plan else {
            // Only an open hold leaves nothing to write.
            let seq = ground.hold.map_or(Seq(0), |(seq, _)| seq);
            return wait_for(&state, read, seq, false);
        };
        let mutates = read.request.act == Act::Mutate;
        let approved = !plan.verdict.used.is_empty();
        match plan.verdict.decision {
            Decision::Allow => {
                let agent = state.agents.entry(read.session.agent.clone()).or_default();
                agent.allowed(mutates, approved, self.now());
                if let (true, Some((hold, _))) = (approved, ground.hold)
                    && let Some(hold) = state.holds.get_mut(&hold)
                {
                    // Used up from here on, whatever becomes of the call; others who wait for the same must ask anew.
                    hold.status = Status::Spent;
                    hold.ring();
                }
                if let Some(session) = state.sessions.get_mut(&read.asked.session) {
                    session.allowed = session.allowed.saturating_add(1);
                }
            }
            Decision::Deny(kind) => {
                let agent = state.agents.entry(read.session.agent.clone()).or_default();
                agent.denials = agent.denials.saturating_add(1);
                if let (DenyKind::Killed, Some((hold, Status::Open))) = (kind, ground.hold)
                    && let Some(hold) = state.holds.get_mut(&hold)
                {
                    hold.status = Status::Killed;
                    hold.ring();
                }
                if let Some(session) = state.sessions.get_mut(&read.asked.session) {
                    session.denied = session.denied.saturating_add(1);
                }
            }
            Decision::Hold => {}
        }
        if let (Some(transcript), Some(session)) = (
            &read.asked.ask.transcript,
            state.sessions.get_mut(&read.asked.session),
        ) {
            session.transcript = Some(transcript.clone());
        }
        // What is written from here on cannot change what was written before an allowed change of a part.
        let seals = mutates && plan.verdict.decision == Decision::Allow;
        let seal = seals.then_some(SealReason::Mutation);
        let seq = if self.deciding.load(Ordering::Relaxed) <= 1 {
            // Nobody else would wait for the lock: the record is written here and now, without waking another thread.
            let seq = self.log.write_number(plan.draft, seal);
            drop(state);
            seq?
        } else {
            let pending = match seal {
                Some(reason) => self.log.submit_and_seal(plan.draft, reason)?,
                None => self.log.submit(plan.draft)?,
            };
            drop(state);
            pending.number()?
        };
        if read
            .asked
            .ask
            .transcript
            .as_ref()
            .and_then(|t| t.last_matches)
            == Some(false)
        {
            self.rewritten(read, seq)?;
        }
        let mut state = self.lock();
        if let Some((salt, digest, deadline)) = plan.hold {
            let hold = self.new_hold(read, ground, &plan.verdict, salt, digest, deadline);
            state.forget_holds(self.now());
            state.holds.insert(seq, hold);
            return wait_for(&state, read, seq, true);
        }
        let allowed = plan.verdict.decision == Decision::Allow;
        let call = Call {
            action: seq,
            id: read.asked.ask.tool_use_id.clone(),
            request: Arc::clone(&read.request),
            allowed,
            before: Arc::clone(&read.before),
            approvals: plan.verdict.used.clone(),
            told: false,
        };
        state.keep(read.asked.session, call);
        drop(state);
        let hold = waited
            .map(Waiting::hold)
            .or(ground.hold.map(|(hold, _)| hold));
        let mut answer = Answer {
            verdict: if allowed {
                Verdict::Allow
            } else {
                Verdict::Deny
            },
            deny_kind: match plan.verdict.decision {
                Decision::Deny(kind) => Some(kind),
                _ => None,
            },
            reason: plan.reason,
            action: Some(seq),
            hold,
            rules: plan.verdict.rules,
            approved,
            killed: plan.verdict.decision == Decision::Deny(DenyKind::Killed),
        };
        // The switch may have been engaged while the disk was waited for.
        if allowed && self.is_killed(&read.session, &parts(&read.request)) {
            answer = self.killed_after(read, ground, seq)?;
        }
        Ok(Step::Done(Box::new(answer)))
    }

    /// Records that an allow is not given, since the switch was engaged before its answer.
    fn killed_after(&self, read: &Read, ground: &Ground, allowed: Seq) -> Result<Answer> {
        if let Some(call) = self.lock().call_mut(read.asked.session, allowed) {
            call.allowed = false;
        }
        let verdict = deny(DenyKind::Killed, "the off switch is engaged".to_owned());
        let reason = sentence(&verdict);
        let seq = self.write_deny(read, ground, &verdict, vec![allowed], &reason)?;
        Ok(Answer {
            verdict: Verdict::Deny,
            deny_kind: Some(DenyKind::Killed),
            reason,
            action: Some(seq),
            hold: None,
            rules: Vec::new(),
            approved: false,
            killed: true,
        })
    }

    fn write_deny(
        &self,
        read: &Read,
        ground: &Ground,
        verdict: &Decided,
        causes: Vec<Seq>,
        reason: &str,
    ) -> Result<Seq> {
        let body = verdict.body(ground.policy.digest, Some(ground.policy.seq));
        let mut event = self
            .event(read, ground, body, causes)?
            .with(Field::AnswerText, reason);
        event.artefacts.clear();
        self.append(event, read.asked.peer.way(Via::Gate))
    }

    /// Ends a wait without an answer by people: a deny, recorded, that says what to do.
    fn leave(&self, waiting: &Waiting, reason: String) -> Step {
        let left = self.read_call(&waiting.asked).and_then(|read| {
            let ground = self.ground(&self.lock(), &read);
            let verdict = unapproved(reason.clone());
            let seq = self.write_deny(&read, &ground, &verdict, vec![waiting.hold], &reason)?;
            let mut state = self.lock();
            if let Some(session) = state.sessions.get_mut(&waiting.asked.session) {
                session.denied = session.denied.saturating_add(1);
            }
            let call = Call {
                action: seq,
                id: waiting.asked.ask.tool_use_id.clone(),
                request: Arc::clone(&read.request),
                allowed: false,
                before: Arc::default(),
                approvals: Vec::new(),
                told: false,
            };
            state.keep(waiting.asked.session, call);
            Ok(seq)
        });
        let answer = match left {
            Ok(seq) => Answer {
                verdict: Verdict::Deny,
                deny_kind: Some(DenyKind::Unapproved),
                reason,
                action: Some(seq),
                hold: Some(waiting.hold),
                rules: Vec::new(),
                approved: false,
                killed: false,
            },
            Err(error) => {
                let mut answer = Answer::unrecordable(format!(
                    "denied, since it could not be recorded: {error}"
                ));
                answer.hold = Some(waiting.hold);
                answer
            }
        };
        Step::Done(Box::new(answer))
    }

    fn new_hold(
        &self,
        read: &Read,
        ground: &Ground,
        verdict: &Decided,
        salt: [u8; 32],
        digest: Hash,
        deadline: Time,
    ) -> Hold {
        let summary = read.asked.ask.rationale.as_ref().and_then(|r| {
            r.summary
                .clone()
                .or_else(|| r.reasoning.clone())
                .or_else(|| r.goal.clone())
        });
        Hold {
            session: read.asked.session,
            agent: read.session.agent.clone(),
            tool: read.asked.ask.tool.clone(),
            class: read.request.class,
            since: self.now(),
            deadline,
            salt,
            digest,
            policy_digest: ground.policy.digest,
            obligations: verdict.obligations.clone(),
            request: Arc::clone(&read.bytes),
            intact: true,
            input: read.input.clone(),
            diff: read.diff.clone(),
            reason: verdict.reason.clone(),
            summary,
            status: Status::Open,
            approvals: Vec::new(),
            bell: watch::Sender::new(0),
            waiting: Arc::default(),
        }
    }
}

fn wait_for(state: &State, read: &Read, seq: Seq, is_new: bool) -> Result<Step> {
    let hold = state
        .holds
        .get(&seq)
        .ok_or_else(|| Error::new(ErrorKind::Missing, format!("there is no hold {seq}")))?;
    Ok(Step::Wait(Waiting {
        asked: Arc::clone(&read.asked),
        hold: seq,
        bell: hold.bell.subscribe(),
        is_new,
        _counted: Counted::new(&hold.waiting),
    }))
}

fn deny(kind: DenyKind, reason: String) -> Decided {
    Decided {
        decision: Decision::Deny(kind),
        rules: Vec::new(),
        obligations: Vec::new(),
        used: Vec::new(),
        findings: Vec::new(),
        reason,
    }
}

fn unapproved(reason: String) -> Decided {
    deny(DenyKind::Unapproved, reason)
}

/// What the model is told.
fn sentence(verdict: &Decided) -> String {
    match verdict.decision {
        Decision::Deny(DenyKind::Forbidden | DenyKind::NotPermitted) => format!(
            "{}. Do not try to reach the same in another way",
            verdict.reason
        ),
        Decision::Deny(DenyKind::Killed) => format!("{}. Stop now", verdict.reason),
        _ => verdict.reason.clone(),
    }
}
