//! What the gate knows. Nothing of it is anywhere but in the log: `rebuild` reads it out of there after a start.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tacho_policy::{Facts, Policies, Request};
use tacho_schemas::body::Part;
use tacho_schemas::body::work::Confinement;
use tacho_schemas::{Hash, Id, Seq, Time};

use super::hold::{Hold, Status};
use super::rules::Yes;
use super::wire::{SessionStatus, Transcript};
use crate::enrol::Enrolled;

/// An hour in nanoseconds.
const HOUR: i64 = 3_600_000_000_000;

/// Calls of a session that an outcome can still come for; older ones are found in the log.
const CALLS: usize = 1024;

/// Holds that are kept before those that ended are let go.
const HOLDS: usize = 4096;

/// The policy in force.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) policies: Arc<Policies>,
    pub(super) digest: Hash,
    pub(super) seq: Seq,
}

/// Everything.
pub(super) struct State {
    pub(super) sessions: BTreeMap<Seq, Session>,
    /// The last calls of each session: apart from it, since a session is copied for each question.
    calls: HashMap<Seq, VecDeque<Call>>,
    pub(super) references: HashMap<Id, Seq>,
    pub(super) holds: BTreeMap<Seq, Hold>,
    pub(super) agents: HashMap<Id, Agent>,
    /// The lineage of an agent in a workspace, and its generation in force.
    pub(super) lineages: HashMap<(Id, String), (Seq, Seq)>,
    /// SHA-256 of every statement that was taken: none is taken twice.
    pub(super) statements: HashSet<Hash>,
    pub(super) enrolled: Enrolled,
    pub(super) policy: InForce,
    pub(super) stopping: bool,
    /// The last `policy` record.
    pub(super) last_policy: Option<(Seq, Hash)>,
    /// Who signed for another policy than that one.
    pub(super) yes: Vec<Yes>,
}

/// A session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) agent: Id,
    pub(super) harness: Option<Id>,
    pub(super) workspace: String,
    pub(super) confinement: Confinement,
    pub(super) launcher: Option<Id>,
    pub(super) uid: Option<u32>,
    /// Itself and the sessions that started it.
    pub(super) chain: Vec<Seq>,
    pub(super) open: bool,
    /// It was opened before this gate started, so that not all of its calls are at hand.
    pub(super) restored: bool,
    pub(super) transcript: Option<Transcript>,
    pub(super) allowed: u64,
    pub(super) denied: u64,
}

/// A call that was decided.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) action: Seq,
    pub(super) id: Option<String>,
    pub(super) request: Arc<Request>,
    pub(super) allowed: bool,
    /// The bytes of what it changes, as they were, by resolved path; only for parts.
    pub(super) before: Arc<HashMap<String, Option<Vec<u8>>>>,
    pub(super) approvals: Vec<Seq>,
    pub(super) told: bool,
}

/// What is counted of an agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Agent {
    /// When it changed a part, in the last hour.
    pub(super) mutations: VecDeque<Time>,
    /// Changes of parts since a human approved one.
    pub(super) drift: u64,
    /// Denials in a row.
    pub(super) denials: u64,
}

impl Agent {
    pub(super) fn allowed(&mut self, mutates: bool, approved: bool, now: Time) {
        self.denials = 0;
        if mutates {
            // In their order, so that the last hour is found and not counted. A clock that is set back lets them count longer.
            let last = self.mutations.back().copied().unwrap_or(now);
            self.mutations.push_back(now.max(last));
            self.drift = if approved {
                0
            } else {
                self.drift.saturating_add(1)
            };
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Time) {
        while self
            .mutations
            .front()
            .is_some_and(|then| now.0.saturating_sub(then.0) > HOUR)
        {
            self.mutations.pop_front();
        }
    }

    fn in_the_last_hour(&self, now: Time) -> u64 {
        let past = |then: &Time| now.0.saturating_sub(then.0) > HOUR;
        let past = self.mutations.partition_point(past);
        let recent = self.mutations.len().saturating_sub(past);
        recent.try_into().unwrap_or(u64::MAX)
    }
}

/// What the off switch says of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) killed: bool,
    /// No lease that covers the caller ran out.
    pub(super) lease_fresh: bool,
}

/// What a decision is made on, beside the request.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) facts: Facts,
    pub(super) hold: Option<(Seq, Status)>,
    pub(super) policy: InForce,
    pub(super) generation: Option<Seq>,
    pub(super) stopping: bool,
}

impl PartialEq for Ground {
    fn eq(&self, other: &Self) -> bool {
        self.facts == other.facts
            && self.hold == other.hold
            && self.policy.seq == other.policy.seq
            && self.stopping == other.stopping
    }
}

impl State {
    /// A gate that knows nothing yet.
    pub(super) fn new(policy: InForce) -> Self {
        Self {
            sessions: BTreeMap::new(),
            calls: HashMap::new(),
            references: HashMap::new(),
            holds: BTreeMap::new(),
            agents: HashMap::new(),
            lineages: HashMap::new(),
            statements: HashSet::new(),
            enrolled: Enrolled::default(),
            policy,
            stopping: false,
            last_policy: None,
            yes: Vec::new(),
        }
    }

    /// Keeps a call for the outcome that may come of it.
    pub(super) fn keep(&mut self, session: Seq, call: Call) {
        let calls = self.calls.entry(session).or_default();
        calls.push_back(call);
        if calls.len() > CALLS {
            calls.pop_front();
        }
    }

    /// The last calls of a session, the newest last.
    pub(super) fn calls(&self, session: Seq) -> impl DoubleEndedIterator<Item = &Call> {
        self.calls.get(&session).into_iter().flatten()
    }

    /// The call of a session whose decision is this record.
    pub(super) fn call_mut(&mut self, session: Seq, action: Seq) -> Option<&mut Call> {
        let calls = self.calls.get_mut(&session)?;
        calls.iter_mut().rev().find(|call| call.action == action)
    }

    /// A session and those that started it.
    pub(super) fn chain_of(&self, session: Seq, parent: Option<Seq>) -> Vec<Seq> {
        let mut chain = vec![session];
        if let Some(parent) = parent.and_then(|p| self.sessions.get(&p)) {
            chain.extend(parent.chain.iter().copied());
        }
        chain
    }

    /// Ends the open holds of other policies: an approval binds the policy that asked for it.
    pub(super) fn void_holds(&mut self) {
        for hold in self.holds.values_mut() {
            let other = self.policy.seq != Seq(0) && hold.policy_digest != self.policy.digest;
            if hold.status == Status::Open && other {
                hold.status = Status::Void;
                hold.ring();
            }
        }
    }

    /// Lets go of holds that nobody can answer or ask about any more, where there are many; the log keeps them.
    pub(super) fn forget_holds(&mut self, now: Time) {
        if self.holds.len() >= HOLDS {
            self.holds.retain(|_, hold| {
                let asked = matches!(hold.status, Status::Open | Status::Rejected(_));
                (asked && now < hold.deadline) || hold.waiting.load(Ordering::Relaxed) > 0
            });
        }
    }

    /// What a call of a session is decided on.
    pub(super) fn ground(
        &self,
        session: &Session,
        request: &Request,
        bytes: &[u8],
        rationale: bool,
        switch: Standing,
        now: Time,
    ) -> Ground {
        let hold = self.find(&session.agent, request, bytes, now);
        let generation = self
            .lineages
            .get(&(session.agent.clone(), session.workspace.clone()))
            .map(|(_, generation)| *generation);
        let nobody = Agent::default();
        let agent = self.agents.get(&session.agent).unwrap_or(&nobody);
        let approvals = match hold.and_then(|seq| self.holds.get(&seq)) {
            Some(hold) if hold.status == Status::Open => hold.valid(now),
            _ => Vec::new(),
        };
        Ground {
            facts: Facts {
                approvals,
                confinement: session.confinement,
                consecutive_denials: agent.denials,
                drift: agent.drift,
                evaluation: None,
                generation,
                groups: Vec::new(),
                killed: switch.killed,
                lease_fresh: switch.lease_fresh,
                mutations_last_hour: agent.in_the_last_hour(now),
                own: false,
                rationale,
                single_person: self.enrolled.holders().len() <= 1,
            },
            hold: hold.and_then(|seq| Some((seq, self.holds.get(&seq)?.status))),
            policy: self.policy.clone(),
            generation,
            stopping: self.stopping,
        }
    }

    /// Finds the newest hold of this very request that can still be answered or was just rejected.
    fn find(&self, agent: &Id, request: &Request, bytes: &[u8], now: Time) -> Option<Seq> {
        let fits = |hold: &Hold| {
            matches!(hold.status, Status::Open | Status::Rejected(_))
                && now < hold.deadline
                && hold.agent == *agent
                && hold.is_about(request, bytes)
        };
        let found = self.holds.iter().rev().find(|(_, hold)| fits(hold));
        found.map(|(seq, _)| *seq)
    }

    pub(super) fn open_holds(&self, now: Time) -> impl Iterator<Item = (&Seq, &Hold)> {
        self.holds.iter().filter(move |(_, h)| h.is_open(now))
    }

    pub(super) fn waiting(&self) -> u64 {
        let waiting = self
            .holds
            .values()
            .map(|h| h.waiting.load(Ordering::Relaxed));
        waiting.sum::<usize>().try_into().unwrap_or(u64::MAX)
    }

    pub(super) fn ring_all(&self) {
        self.holds.values().for_each(Hold::ring);
    }

    pub(super) fn ring_session(&self, session: Seq) {
        let of = self.holds.values().filter(|h| h.session == session);
        of.for_each(Hold::ring);
    }

    /// The sessions in which somebody waits.
    pub(super) fn waiting_sessions(&self) -> Vec<(Seq, Session)> {
        let mut found = BTreeMap::new();
        for hold in self.holds.values() {
            if hold.waiting.load(Ordering::Relaxed) > 0
                && !found.contains_key(&hold.session)
                && let Some(session) = self.sessions.get(&hold.session)
            {
                found.insert(hold.session, session.clone());
            }
        }
        found.into_iter().collect()
    }

    pub(super) fn session_status(&self) -> Vec<SessionStatus> {
        let open = self.sessions.iter().filter(|(_, s)| s.open);
        open.map(|(seq, s)| SessionStatus {
            session: *seq,
            agent: s.agent.clone(),
            harness: s.harness.clone(),
            confinement: s.confinement,
            generation: self
                .lineages
                .get(&(s.agent.clone(), s.workspace.clone()))
                .map(|(_, generation)| *generation),
            allowed: s.allowed,
            denied: s.denied,
        })
        .collect()
    }
}

/// The parts of a request, as a set of the record.
pub(super) fn parts(request: &Request) -> Vec<Part> {
    request.parts.iter().copied().collect()
}
