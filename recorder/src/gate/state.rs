//! What the gate knows, and how it is read out of the log again.
//!
//! Everything here is a fold over records: [`State::rebuild`] takes them all after a start, and each record that the gate writes is
//! taken in by the same rules. Only records via the gate, people or the recorder count; what callers or files say does not.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tacho_policy::{Approver, Facts, Obligation, Policies, Request};
use tacho_schemas::body::human::Answer;
use tacho_schemas::body::log::Phase;
use tacho_schemas::body::work::{Class, Confinement, Decision, DenyKind, Verdict};
use tacho_schemas::body::{Body, Part};
use tacho_schemas::content::{Descriptor, Field};
use tacho_schemas::record::{ActorType, Record, Role, Via};
use tacho_schemas::{Hash, Id, Kind, Seq, Time};
use tokio::sync::watch;

use super::wire::{SessionStatus, Transcript};
use crate::acts::{self, About};
use crate::enrol::Enrolled;
use crate::error::{Error, ErrorKind, Result};
use crate::read::{Shown, View};

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
    last_policy: Option<Seq>,
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
    pub(super) transcript: Option<Transcript>,
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) calls: VecDeque<Call>,
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

impl Session {
    pub(super) fn keep(&mut self, call: Call) {
        self.calls.push_back(call);
        if self.calls.len() > CALLS {
            self.calls.pop_front();
        }
    }
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
            self.mutations.push_back(now);
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
        let recent = |then: &&Time| now.0.saturating_sub(then.0) <= HOUR;
        self.mutations
            .iter()
            .filter(recent)
            .count()
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

/// How a hold stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Status {
    Open,
    /// An action that rests on it was allowed.
    Spent,
    /// A human said no; the record says who.
    Rejected(Seq),
    /// The off switch ended it.
    Killed,
    /// The policy changed.
    Void,
}

/// A hold.
pub(super) struct Hold {
    pub(super) session: Seq,
    pub(super) agent: Id,
    pub(super) tool: Id,
    pub(super) class: Option<Class>,
    pub(super) since: Time,
    pub(super) deadline: Time,
    pub(super) salt: [u8; 32],
    pub(super) digest: Hash,
    pub(super) policy_digest: Hash,
    pub(super) obligations: Vec<Obligation>,
    pub(super) request: Arc<Vec<u8>>,
    /// Whether `request` is what the digest is of: else something was redacted on its way into the log.
    pub(super) intact: bool,
    pub(super) input: String,
    pub(super) diff: Option<String>,
    pub(super) reason: String,
    pub(super) summary: Option<String>,
    pub(super) status: Status,
    pub(super) approvals: Vec<Approval>,
    pub(super) bell: watch::Sender<u64>,
    pub(super) waiting: Arc<AtomicUsize>,
}

/// An approval of a hold.
#[derive(Clone, Debug)]
pub(super) struct Approval {
    pub(super) approver: Approver,
    pub(super) not_after: Time,
}

impl Hold {
    pub(super) fn ring(&self) {
        self.bell.send_modify(|rung| *rung = rung.wrapping_add(1));
    }

    pub(super) fn is_open(&self, now: Time) -> bool {
        self.status == Status::Open && now < self.deadline
    }

    /// Whether it is about this very request.
    pub(super) fn is_about(&self, request: &Request, bytes: &[u8]) -> bool {
        self.request.as_slice() == bytes
            || (!self.intact && request.digest(&self.salt) == self.digest)
    }

    pub(super) fn valid(&self, now: Time) -> Vec<Approver> {
        let valid = self.approvals.iter().filter(|a| now < a.not_after);
        valid.map(|a| a.approver.clone()).collect()
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
    /// Reads everything out of the log.
    pub(super) fn rebuild(view: &View<'_>, about: &About) -> Result<Self> {
        let nothing = Policies::parse("nothing", "").map_err(|e| {
            Error::new(
                ErrorKind::Io,
                format!("the empty policy cannot be read: {e}"),
            )
        })?;
        let mut state = Self {
            sessions: BTreeMap::new(),
            references: HashMap::new(),
            holds: BTreeMap::new(),
            agents: HashMap::new(),
            lineages: HashMap::new(),
            statements: HashSet::new(),
            enrolled: Enrolled::default(),
            policy: InForce {
                digest: nothing.digest(),
                policies: Arc::new(nothing),
                seq: Seq(0),
            },
            stopping: false,
            last_policy: None,
        };
        let mut wanted = Vec::new();
        view.snapshot().records(0..view.size(), |seq, bytes| {
            let counts = matches!(
                Kind::peek(bytes),
                Some(
                    Kind::Action
                        | Kind::Approval
                        | Kind::Generation
                        | Kind::Key
                        | Kind::Policy
                        | Kind::Session
                )
            );
            if counts
                && Record::decode(bytes)
                    .is_ok_and(|r| matches!(r.via, Via::Gate | Via::Human | Via::Recorder))
            {
                wanted.push(Seq(seq));
            }
            Ok::<(), Error>(())
        })?;
        for seq in wanted {
            let shown = view.record(seq)?;
            if shown.in_tree {
                state.take(&shown, view, about);
            }
        }
        state.void_holds();
        Ok(state)
    }

    /// Takes one record of the log in.
    fn take(&mut self, shown: &Shown, view: &View<'_>, about: &About) {
        let Ok(record) = &shown.meaning else { return };
        match &record.body {
            Body::Key(_) => self.enrolled.take(record),
            Body::Policy(_) => self.last_policy = Some(record.seq),
            Body::Session(session) => self.take_session(record, session, shown),
            Body::Generation(generation) => {
                let Some(session) = record.session.and_then(|s| self.sessions.get(&s)) else {
                    return;
                };
                let lineage = generation.lineage.unwrap_or(record.seq);
                let place = (session.agent.clone(), session.workspace.clone());
                self.lineages.insert(place, (lineage, record.seq));
            }
            Body::Action(action) => {
                if let Some(verdict) = &action.verdict {
                    self.take_action(record, action, verdict, shown, view);
                }
            }
            Body::Approval(approval) => {
                let statement = Hash::sha256(approval.act.statement.as_slice());
                if !self.statements.insert(statement) {
                    return;
                }
                // Whatever wrote it: what its human did not sign for counts for nothing.
                let stated = acts::Stated::of(record);
                let Ok(signed) = acts::approval(about, &self.enrolled, stated, approval) else {
                    return;
                };
                let policy = signed.statement.policy;
                let human = signed.signer.holder.clone();
                let groups = signed.signer.groups.clone();
                let launcher = self
                    .holds
                    .get(&approval.target)
                    .and_then(|hold| self.sessions.get(&hold.session))
                    .and_then(|session| session.launcher.clone());
                let Some(hold) = self.holds.get_mut(&approval.target) else {
                    return;
                };
                if hold.digest != approval.request_digest || Some(hold.policy_digest) != policy {
                    return;
                }
                if approval.answer == Answer::Reject {
                    hold.status = Status::Rejected(record.seq);
                } else {
                    use tacho_schemas::body::log::Assurance;
                    let approver = Approver {
                        groups,
                        initiator: false,
                        launcher: launcher.as_ref() == Some(&human),
                        human,
                        seq: record.seq,
                        weak: approval.act.assurance.unwrap_or(Assurance::None) == Assurance::None,
                    };
                    hold.approvals.push(Approval {
                        approver,
                        not_after: approval.not_after.unwrap_or(Time(i64::MIN)),
                    });
                }
            }
            _ => {}
        }
    }

    fn take_session(
        &mut self,
        record: &Record,
        body: &tacho_schemas::body::work::Session,
        shown: &Shown,
    ) {
        if body.phase == Phase::Close {
            if let Some(session) = record.session.and_then(|s| self.sessions.get_mut(&s)) {
                session.open = false;
            }
            return;
        }
        if record.via != Via::Gate {
            return;
        }
        let chain = self.chain_of(record.seq, body.parent);
        let session = Session {
            agent: body.agent.clone(),
            harness: body.harness.clone(),
            workspace: shown.text(Field::Workspace).unwrap_or_default().to_owned(),
            confinement: body.confinement.unwrap_or(Confinement::HookOnly),
            launcher: record.actor.on_behalf_of.clone(),
            uid: record.auth.as_ref().and_then(|a| a.uid),
            chain,
            open: true,
            transcript: None,
            allowed: 0,
            denied: 0,
            calls: VecDeque::new(),
        };
        if let Some(reference) = &record.reference {
            self.references.insert(reference.clone(), record.seq);
        }
        if let Some(lineage) = body.lineage {
            let place = (session.agent.clone(), session.workspace.clone());
            self.lineages
                .entry(place)
                .or_insert((lineage, record.generation.unwrap_or(lineage)));
        }
        self.sessions.insert(record.seq, session);
    }

    /// A session and those that started it.
    pub(super) fn chain_of(&self, session: Seq, parent: Option<Seq>) -> Vec<Seq> {
        let mut chain = vec![session];
        if let Some(parent) = parent.and_then(|p| self.sessions.get(&p)) {
            chain.extend(parent.chain.iter().copied());
        }
        chain
    }

    fn take_action(
        &mut self,
        record: &Record,
        action: &tacho_schemas::body::work::Action,
        verdict: &Verdict,
        shown: &Shown,
        view: &View<'_>,
    ) {
        let Some(session) = record.session else {
            return;
        };
        let Some(agent) = self.sessions.get(&session).map(|s| s.agent.clone()) else {
            return;
        };
        if record.via != Via::Gate || record.actor.actor_type != ActorType::Agent {
            return;
        }
        let request = shown.text(Field::Request).unwrap_or_default();
        match verdict.decision {
            Decision::Hold => {
                if let Some(hold) = held(record, action, verdict, shown, view, &agent, session) {
                    self.holds.insert(record.seq, hold);
                }
            }
            Decision::Allow => {
                let approved = verdict.consumes.is_some();
                let mutates = Request::from_bytes(request.as_bytes())
                    .is_ok_and(|r| r.act == tacho_policy::Act::Mutate);
                self.agents
                    .entry(agent)
                    .or_default()
                    .allowed(mutates, approved, record.time);
                for cause in record.causes().iter().filter(|_| approved) {
                    if let Some(hold) = self.holds.get_mut(cause) {
                        hold.status = Status::Spent;
                    }
                }
            }
            Decision::Deny => {
                let denials = &mut self.agents.entry(agent).or_default().denials;
                *denials = denials.saturating_add(1);
                for cause in record.causes() {
                    if verdict.deny_kind == Some(DenyKind::Killed)
                        && let Some(hold) = self.holds.get_mut(cause)
                    {
                        hold.status = Status::Killed;
                    }
                }
            }
        }
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

    /// Reads the policy that the log names last; none if it names none.
    pub(super) fn recorded_policy(&self, view: &View<'_>) -> Result<Option<InForce>> {
        let Some(seq) = self.last_policy else {
            return Ok(None);
        };
        let gone = || {
            Error::new(
                ErrorKind::Corrupt,
                format!("the text of the policy in record {seq} is not there"),
            )
            .with_hint("name a policy: `tacho serve --preset solo`")
        };
        let shown = view.record(seq)?;
        let Ok(Record {
            body: Body::Policy(body),
            ..
        }) = &shown.meaning
        else {
            return Err(gone());
        };
        let name = shown.text(Field::Name).unwrap_or("policy").to_owned();
        let text = artefact(view, &shown, Role::Policy).ok_or_else(gone)?;
        let text = String::from_utf8(text).map_err(|_| gone())?;
        let policies = Policies::parse(&name, &text).map_err(|e| {
            Error::new(
                ErrorKind::Usage,
                format!("the policy in record {seq} can no longer be used: {e}"),
            )
            .with_hint("name a policy: `tacho serve --preset solo`")
        })?;
        if policies.digest() != body.policy_digest {
            return Err(gone());
        }
        Ok(Some(InForce {
            digest: policies.digest(),
            policies: Arc::new(policies),
            seq,
        }))
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
                let mut light = session.clone();
                light.calls = VecDeque::new();
                found.insert(hold.session, light);
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

/// Reads a hold out of its record; one whose salt or request is gone can no longer be answered.
fn held(
    record: &Record,
    action: &tacho_schemas::body::work::Action,
    verdict: &Verdict,
    shown: &Shown,
    view: &View<'_>,
    agent: &Id,
    session: Seq,
) -> Option<Hold> {
    let mut salt = [0; 32];
    hex::decode_to_slice(shown.text(Field::RequestSalt)?, &mut salt).ok()?;
    let facts = shown.text(Field::Facts)?;
    Facts::from_bytes(facts.as_bytes()).ok()?;
    let diff = artefact(view, shown, Role::Diff);
    let request = shown.text(Field::Request)?.as_bytes().to_vec();
    let digest = verdict.request_digest?;
    Some(Hold {
        intact: Request::from_bytes(&request).is_ok_and(|r| r.digest(&salt) == digest),
        session,
        agent: agent.clone(),
        tool: action.tool.clone(),
        class: action.class,
        since: record.time,
        deadline: verdict.deadline?,
        salt,
        digest,
        policy_digest: verdict.policy_digest?,
        obligations: verdict
            .obligations
            .iter()
            .flatten()
            .filter_map(|o| {
                Some(Obligation {
                    accepts: tacho_policy::hold::Accepts::default(),
                    group: o.group.clone(),
                    k: o.k,
                    rule: o.rule.clone()?,
                    ttl_secs: o.ttl,
                })
            })
            .collect(),
        request: Arc::new(request),
        input: shown.text(Field::Input).unwrap_or_default().to_owned(),
        diff: diff.and_then(|bytes| String::from_utf8(bytes).ok()),
        reason: shown.text(Field::AnswerText).unwrap_or_default().to_owned(),
        summary: shown.text(Field::Summary).map(str::to_owned),
        status: Status::Open,
        approvals: Vec::new(),
        bell: watch::Sender::new(0),
        waiting: Arc::default(),
    })
}

/// Reads the bytes of a record's first artefact of a role.
pub(super) fn artefact(view: &View<'_>, shown: &Shown, role: Role) -> Option<Vec<u8>> {
    let record = shown.meaning.as_ref().ok()?;
    let (place, _) = (0_u64..)
        .zip(record.artefacts())
        .find(|(_, artefact)| artefact.role == role)?;
    let salted = shown.row.artefacts.as_ref()?.get(&place)?;
    let descriptor = Descriptor::decode(&salted.bytes).ok()?;
    let kept = view.snapshot().artefact(&descriptor.blake3).ok()??;
    Some(kept.bytes)
}

/// The parts of a request, as a set of the record.
pub(super) fn parts(request: &Request) -> Vec<Part> {
    request.parts.iter().copied().collect()
}
