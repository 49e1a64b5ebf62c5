//! Whether the off switch did what it says, from the records alone.
//!
//! ```text
//! I1  after a kill nothing that it covers is executed until its release
//! I2  every decision that it covers is a deny with the reason `killed`
//! I3  no lease is given to what it covers
//! I4  within a bound everybody had stopped, with nobody left, or there is an alarm
//! I5  it is released by enough distinct humans, enrolled before it, bound to it, none of them its initiator
//! I6  the policy in force does not change meanwhile, except by approvals
//! I7  no record is missing, and a recorder that was down says so
//! I8  the switch was tried within the period asked for, and the last try passed
//! ```
//!
//! Only what came via the gate, a human's verb or the recorder counts; the rest are claims. It says nothing about processes outside
//! of cells, nor about what was never asked: an invariant without a single case is `nothing to check`, which is not `holds`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::act::{NAMESPACE, Statement, Verb};
use crate::body::Body;
use crate::body::human::{Act, Answer as Said, Kill, Release, Scope};
use crate::body::log::{GapKind, KeyOp, KeyRole, Phase};
use crate::body::work::{Action, Decision, DenyKind, Outcome, Session, Status};
use crate::hash::Hash;
use crate::record::{Record, Via};
use crate::scalar::{Id, Seq};
use crate::sign::Fingerprint;
use crate::sshsig::HumanKey;

/// How long after a kill an outcome of what had begun before may still come in, and how long everybody may take to stop: 10 s.
pub const BOUND_NS: u64 = 10_000_000_000;

/// The invariants, by number and in a sentence.
pub const INVARIANTS: [(&str, &str); 8] = [
    (
        "I1",
        "after a kill nothing that it covers is executed until its release",
    ),
    (
        "I2",
        "every decision that a kill covers is a deny with the reason killed",
    ),
    ("I3", "no lease is given to what is killed"),
    (
        "I4",
        "within the bound everybody had stopped, with nobody left, or there is an alarm",
    ),
    (
        "I5",
        "a kill is released by enough distinct humans, enrolled before it, bound to it, without its initiator",
    ),
    (
        "I6",
        "the policy does not change while something is killed, except by approvals",
    ),
    (
        "I7",
        "no record is missing, and a recorder that was down says so",
    ),
    (
        "I8",
        "the switch was tried in time, and the last try passed",
    ),
];

/// What became of one invariant.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It holds in each case.
    Holds,
    /// It does not, in at least one.
    Broken,
    /// The log ends before its bound.
    Open,
    /// There was no case.
    Nothing,
}

/// One invariant's answer.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub says: &'static str,
    /// What became of it.
    pub state: State,
    /// The records that show it, the first 32 of them.
    pub proves: Vec<Seq>,
    /// How many there are.
    pub cases: u64,
    /// The records that break it, and how; the first 32.
    pub breaks: Vec<Breach>,
    /// How many there are.
    pub broken: u64,
    /// Particulars that a reader must know, e.g. that one person released alone.
    pub notes: Vec<String>,
}

/// A record that breaks an invariant.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Breach {
    /// The record.
    pub seq: Seq,
    /// How.
    pub why: String,
}

/// All answers.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The eight answers, in order.
    pub answers: Vec<Answer>,
    /// How many kills there were.
    pub kills: u64,
    /// Those that nothing released, oldest first.
    pub open: Vec<Seq>,
}

impl Report {
    /// Whether something was checked and nothing is broken or open.
    pub fn is_good(&self) -> bool {
        let checked = self
            .answers
            .iter()
            .filter(|a| a.name != "I7")
            .any(|a| a.state == State::Holds);
        let bad = |a: &Answer| matches!(a.state, State::Broken | State::Open);
        checked && !self.answers.iter().any(bad)
    }
}

/// What is listed of one invariant at most.
const LISTED: usize = 32;

#[derive(Debug, Default)]
struct Tally {
    proves: Vec<Seq>,
    cases: u64,
    breaks: Vec<Breach>,
    broken: u64,
    open: bool,
    notes: Vec<String>,
}

impl Tally {
    fn holds(&mut self, seq: Seq) {
        self.cases = self.cases.saturating_add(1);
        if self.proves.len() < LISTED {
            self.proves.push(seq);
        }
    }

    fn breaks(&mut self, seq: Seq, why: impl Into<String>) {
        self.broken = self.broken.saturating_add(1);
        if self.breaks.len() < LISTED {
            self.breaks.push(Breach {
                seq,
                why: why.into(),
            });
        }
    }

    fn check(&mut self, good: bool, seq: Seq, why: impl FnOnce() -> String) {
        match good {
            true => self.holds(seq),
            false => self.breaks(seq, why()),
        }
    }
}

/// A kill that is open.
#[derive(Debug)]
struct Open {
    scope: Scope,
    id: Option<Id>,
    about: Option<Seq>,
    initiator: Id,
    leaf: Hash,
    mono: u64,
    /// Everybody had stopped, or somebody was told that not.
    settled: bool,
    /// Enrolled before it: key → holder.
    people: BTreeMap<Fingerprint, (HumanKey, Id)>,
    approvals: BTreeMap<Seq, Result<Id, String>>,
}

/// What an action was.
#[derive(Debug)]
struct Asked {
    session: Option<Seq>,
    agent: Id,
    parts: BTreeSet<&'static str>,
}

/// Who a session is.
#[derive(Debug)]
struct Known {
    agent: Id,
    lineage: Option<Seq>,
    parent: Option<Seq>,
}

/// The state between two records.
#[derive(Debug, Default)]
pub struct Fold {
    tallies: [Tally; 8],
    kills: u64,
    open: BTreeMap<Seq, Open>,
    sessions: BTreeMap<Seq, Known>,
    /// What a kill may still hear an outcome of.
    actions: BTreeMap<Seq, Asked>,
    people: BTreeMap<Fingerprint, (HumanKey, Id)>,
    /// A policy is in force.
    ruled: bool,
    /// An unclean start that no gap explains yet.
    down: Option<Seq>,
    next: u64,
    last_mono: u64,
    last_time: i64,
    last_drill: Option<(Seq, i64, bool)>,
}

/// How many actions are remembered for outcomes that come after a kill; older ones count as begun before it.
const ACTIONS: usize = 65_536;

impl Fold {
    /// Starts before the first record.
    pub fn new() -> Self {
        Self::default()
    }

    fn tally(&mut self, number: usize) -> &mut Tally {
        let [i1, i2, i3, i4, i5, i6, i7, i8] = &mut self.tallies;
        match number {
            1 => i1,
            2 => i2,
            3 => i3,
            4 => i4,
            5 => i5,
            6 => i6,
            7 => i7,
            _ => i8,
        }
    }

    /// Takes the next record; `leaf` is its hash in the tree.
    pub fn push(&mut self, record: &Record, leaf: Hash) {
        let seq = record.seq;
        if seq.0 != self.next {
            let missing = self.next;
            self.tally(7)
                .breaks(seq, format!("record {missing} is missing"));
        }
        self.next = seq.0.saturating_add(1);
        self.overdue(record.mono);
        self.last_mono = record.mono;
        self.last_time = record.time.0;
        self.starts(record);
        if !matches!(record.via, Via::Gate | Via::Human | Via::Recorder) {
            return;
        }
        match &record.body {
            Body::Session(session) => self.session(seq, session),
            Body::Action(action) => self.action(record, action),
            Body::Outcome(outcome) => self.outcome(record, outcome),
            Body::Kill(kill) => self.kill(record, kill, leaf),
            Body::Release(release) => self.release(record, release),
            Body::Approval(approval) => {
                let (target, digest, said, act) = (
                    approval.target,
                    approval.request_digest,
                    approval.answer,
                    approval.act.clone(),
                );
                self.approval(
                    record,
                    target,
                    digest,
                    said,
                    &act,
                    approval.not_after.map(|end| end.0),
                );
            }
            Body::Lease(lease) => {
                let covering: Vec<Seq> = self
                    .open
                    .iter()
                    .filter(|(_, kill)| {
                        kill.scope == Scope::All
                            || (kill.scope, &kill.id, kill.about)
                                == (lease.scope, &lease.target, lease.about)
                    })
                    .map(|(seq, _)| *seq)
                    .collect();
                for kill in covering {
                    self.tally(3)
                        .breaks(seq, format!("a lease while kill {kill} stands"));
                }
            }
            Body::Alarm(_) => {
                for cause in record.causes() {
                    if let Some(kill) = self.open.get_mut(cause)
                        && !std::mem::replace(&mut kill.settled, true)
                    {
                        self.tally(4).holds(seq);
                    }
                }
            }
            // The first one changes none.
            Body::Policy(_) if !std::mem::replace(&mut self.ruled, true) => {}
            Body::Policy(policy) => {
                let open: Vec<Seq> = self.open.keys().copied().collect();
                for kill in open {
                    let approved = policy.consumes.is_some();
                    self.tally(6).check(approved, seq, || {
                        format!("the policy changed without approvals while kill {kill} stood")
                    });
                }
            }
            Body::Drill(drill) => {
                self.last_drill = Some((
                    seq,
                    record.time.0,
                    drill.passed && drill.stop.survivors == 0,
                ))
            }
            Body::Key(key) => {
                if let Ok(human) = HumanKey::from_blob(key.public_key.as_slice())
                    && key.role == KeyRole::Human
                    && let Some(holder) = &key.holder
                {
                    let fingerprint = human.fingerprint();
                    match key.op {
                        KeyOp::Add | KeyOp::Rotate => {
                            self.people.insert(fingerprint, (human, holder.clone()))
                        }
                        KeyOp::Retire | KeyOp::Break => self.people.remove(&fingerprint),
                    };
                }
            }
            _ => {}
        }
    }

    /// I7: an unclean start is explained by the record after it.
    fn starts(&mut self, record: &Record) {
        if let Some(boot) = self.down.take() {
            let says = matches!(&record.body, Body::Gap(gap) if matches!(gap.gap, GapKind::RecorderDown | GapKind::Lost));
            self.tally(7).check(says, boot, || {
                "the recorder was down, and no gap says so".to_owned()
            });
        }
        if let Body::Boot(boot) = &record.body {
            match boot.clean {
                true => self.tally(7).holds(record.seq),
                false => self.down = Some(record.seq),
            }
        }
    }

    fn session(&mut self, seq: Seq, session: &Session) {
        if session.phase == Phase::Open {
            let known = Known {
                agent: session.agent.clone(),
                lineage: session.lineage,
                parent: session.parent,
            };
            self.sessions.insert(seq, known);
        }
    }

    /// The open kills that cover somebody.
    fn covering(
        &self,
        session: Option<Seq>,
        agent: &Id,
        parts: &BTreeSet<&'static str>,
    ) -> Vec<Seq> {
        let (mut chain, mut agents, mut lineages) = (Vec::new(), vec![agent], Vec::new());
        let mut at = session;
        while let Some(seq) = at {
            chain.push(seq);
            let known = self.sessions.get(&seq);
            agents.extend(known.map(|known| &known.agent));
            lineages.extend(known.and_then(|known| known.lineage));
            // Parents stand before their children, so this ends.
            at = known
                .and_then(|known| known.parent)
                .filter(|parent| *parent < seq);
        }
        let covers = |kill: &Open| match (kill.scope, &kill.id, kill.about) {
            (Scope::All, ..) => true,
            (Scope::Agent, Some(id), _) => agents.contains(&id),
            (Scope::Session, _, Some(seq)) => chain.contains(&seq),
            (Scope::Lineage, _, Some(seq)) => lineages.contains(&seq),
            (Scope::Part, Some(id), _) => parts.contains(id.as_str()),
            _ => false,
        };
        self.open
            .iter()
            .filter(|(_, kill)| covers(kill))
            .map(|(seq, _)| *seq)
            .collect()
    }

    fn action(&mut self, record: &Record, action: &Action) {
        let parts: BTreeSet<&'static str> = action
            .parts
            .iter()
            .flatten()
            .map(|part| part.name())
            .collect();
        let covering = self.covering(record.session, &record.actor.id, &parts);
        let verdict = action.verdict.as_ref();
        for kill in covering {
            let killed = verdict.is_some_and(|v| {
                v.decision == Decision::Deny && v.deny_kind == Some(DenyKind::Killed)
            });
            self.tally(2).check(killed, record.seq, || {
                format!("a decision that is not `killed` while kill {kill} stands")
            });
        }
        if verdict.is_some_and(|v| v.decision == Decision::Allow) {
            let asked = Asked {
                session: record.session,
                agent: record.actor.id.clone(),
                parts,
            };
            self.actions.insert(record.seq, asked);
            if self.actions.len() > ACTIONS {
                self.actions.pop_first();
            }
        }
    }

    fn outcome(&mut self, record: &Record, outcome: &Outcome) {
        let Some(of) = outcome.of else { return };
        if let Some(kill) = self.open.get_mut(&of)
            && let Some(stop) = &outcome.stop
        {
            let (ordered, late) = (kill.mono, record.mono.saturating_sub(kill.mono) > BOUND_NS);
            let took = stop.t_empty.map(|empty| empty.saturating_sub(stop.t_order));
            kill.settled = true;
            let good = stop.survivors == 0 && !late && took.is_some_and(|took| took <= BOUND_NS);
            self.tally(4).check(good, record.seq, || {
                if stop.survivors > 0 {
                    format!("{} lived on after kill {of}", stop.survivors)
                } else {
                    format!("kill {of} was ordered at {ordered} ns and not empty within the bound")
                }
            });
            return;
        }
        let Some(asked) = self.actions.get(&of) else {
            return;
        };
        let executed = !matches!(outcome.status, Status::Killed | Status::Cancelled);
        for kill in self.covering(asked.session, &asked.agent, &asked.parts) {
            let since = self.open.get(&kill).map_or(0, |open| open.mono);
            let begun_before = of < kill;
            let late = record.mono.saturating_sub(since) > BOUND_NS;
            let bad = executed && (!begun_before || late);
            self.tally(1).check(!bad, record.seq, || {
                format!("action {of} was executed while kill {kill} stood")
            });
        }
    }

    /// Whose signature it is, if it is over this kill by a key that is enrolled.
    fn signer(&self, kill: &Kill, act: &Act) -> Option<Id> {
        let (key, holder) = self.people.get(&act.key)?;
        let text = std::str::from_utf8(act.statement.as_slice()).ok()?;
        let statement: Statement = text.parse().ok()?;
        let scope = match (&kill.target, kill.about) {
            (Some(id), None) => format!("{}:{id}", kill.scope),
            (None, Some(seq)) => format!("{}:{seq}", kill.scope),
            _ => kill.scope.to_string(),
        };
        if (statement.verb, statement.scope, statement.key) != (Verb::Kill, Some(scope), act.key) {
            return None;
        }
        let sshsig = act.sshsig.as_slice();
        key.verify(NAMESPACE, text.as_bytes(), sshsig).ok()?;
        Some(holder.clone())
    }

    fn kill(&mut self, record: &Record, kill: &Kill, leaf: Hash) {
        self.kills = self.kills.saturating_add(1);
        // A signature that does not hold makes nobody the initiator: else one could put it on somebody else.
        let signer = kill.act.as_ref().and_then(|act| self.signer(kill, act));
        let open = Open {
            scope: kill.scope,
            id: kill.target.clone(),
            about: kill.about,
            initiator: signer.unwrap_or_else(|| record.actor.id.clone()),
            leaf,
            mono: record.mono,
            settled: false,
            people: self.people.clone(),
            approvals: BTreeMap::new(),
        };
        self.open.insert(record.seq, open);
    }

    fn approval(
        &mut self,
        record: &Record,
        target: Seq,
        digest: Hash,
        said: Said,
        act: &Act,
        not_after: Option<i64>,
    ) {
        let Some(kill) = self.open.get_mut(&target) else {
            return;
        };
        let checked = || -> Result<Id, String> {
            let refuse = |why: &str| Err(why.to_owned());
            if said != Said::Approve {
                return refuse("it says no");
            }
            if digest != kill.leaf {
                return refuse("it is bound to another record");
            }
            if not_after.is_some_and(|end| record.time.0 >= end) {
                return refuse("it had run out");
            }
            let Some((key, holder)) = kill.people.get(&act.key) else {
                return refuse("its key was not enrolled before the kill");
            };
            let statement = std::str::from_utf8(act.statement.as_slice())
                .map_err(|_| "its statement is not text".to_owned())?;
            let parsed: Statement = statement.parse().map_err(|e: crate::Error| e.to_string())?;
            if (parsed.verb, parsed.target, parsed.digest, parsed.key)
                != (Verb::Approve, Some(target), Some(kill.leaf), act.key)
            {
                return refuse("what was signed is not the release of this kill");
            }
            key.verify(NAMESPACE, statement.as_bytes(), act.sshsig.as_slice())
                .map_err(|e| e.to_string())?;
            Ok(holder.clone())
        };
        let checked = checked();
        kill.approvals.insert(record.seq, checked);
    }

    fn release(&mut self, record: &Record, release: &Release) {
        let seq = record.seq;
        let Some(kill) = self.open.remove(&release.kill) else {
            self.tally(5).breaks(
                seq,
                format!("record {} is no kill that stands", release.kill),
            );
            return;
        };
        self.settle(release.kill, &kill, record.mono, true);
        for number in [1, 2, 3, 6] {
            // It stood, and whatever broke these was counted when it came.
            self.tally(number).holds(release.kill);
        }
        let holders: BTreeSet<&Id> = kill.people.values().map(|(_, holder)| holder).collect();
        let alone = release.single_person && holders.len() <= 1;
        let mut counted = BTreeSet::new();
        let mut wrong = None;
        for consumed in release.consumes.iter().flatten() {
            match kill.approvals.get(consumed) {
                None => wrong = Some(format!("record {consumed} is no approval of this release")),
                Some(Err(why)) => {
                    wrong = Some(format!("approval {consumed} does not count: {why}"))
                }
                Some(Ok(holder)) if *holder == kill.initiator && !alone => {
                    wrong = Some(format!("approval {consumed} is by who ordered the kill"));
                }
                Some(Ok(holder)) if !counted.insert(holder.clone()) => {
                    wrong = Some(format!(
                        "approval {consumed} is by a person who counts already"
                    ));
                }
                Some(Ok(_)) => {}
            }
        }
        let have = u64::try_from(counted.len()).unwrap_or(u64::MAX);
        if wrong.is_none() && have < release.k && !(alone && holders.is_empty()) {
            wrong = Some(format!("{have} of {} humans signed", release.k));
        }
        if release.single_person && holders.len() > 1 {
            wrong = Some(format!(
                "it was released as by a single person, and {} are enrolled",
                holders.len()
            ));
        }
        if alone {
            let how = if holders.is_empty() {
                "unsigned: nobody is enrolled"
            } else {
                "signed"
            };
            self.tally(5).notes.push(format!(
                "kill {} was released by a single person, {how}",
                release.kill
            ));
        }
        match wrong {
            None => self.tally(5).holds(seq),
            Some(why) => self.tally(5).breaks(seq, why),
        }
    }

    /// I4 for kills whose bound has passed.
    fn overdue(&mut self, mono: u64) {
        let late: Vec<Seq> = self
            .open
            .iter()
            .filter(|(_, kill)| !kill.settled && mono.saturating_sub(kill.mono) > BOUND_NS)
            .map(|(seq, _)| *seq)
            .collect();
        for seq in late {
            if let Some(kill) = self.open.get_mut(&seq) {
                kill.settled = true;
            }
            self.tally(4).breaks(
                seq,
                "nothing says that everybody had stopped within the bound",
            );
        }
    }

    fn settle(&mut self, seq: Seq, kill: &Open, mono: u64, ended: bool) {
        if kill.settled {
            return;
        }
        if ended || mono.saturating_sub(kill.mono) > BOUND_NS {
            self.tally(4)
                .breaks(seq, "nothing says that everybody had stopped");
        } else {
            self.tally(4).open = true;
        }
    }

    /// Ends: `period` is how often a drill was to be, in ns; without it only the last one must have passed.
    pub fn finish(mut self, period: Option<i64>) -> Report {
        let open = std::mem::take(&mut self.open);
        let mono = self.last_mono;
        for (seq, kill) in &open {
            self.settle(*seq, kill, mono, false);
            for number in [1, 2, 3, 6] {
                self.tally(number).holds(*seq);
            }
        }
        if let Some(boot) = self.down.take() {
            self.tally(7)
                .breaks(boot, "the recorder was down, and no gap says so");
        }
        let now = self.last_time;
        match self.last_drill {
            Some((seq, _, false)) => self.tally(8).breaks(seq, "the last drill failed"),
            Some((seq, time, true))
                if period.is_some_and(|period| now.saturating_sub(time) > period) =>
            {
                self.tally(8)
                    .breaks(seq, "the last drill is older than the period asked for");
            }
            Some((seq, _, true)) => self.tally(8).holds(seq),
            None if period.is_some() => self.tally(8).breaks(Seq(0), "there was no drill"),
            None => {}
        }
        let answers = INVARIANTS
            .into_iter()
            .zip(self.tallies)
            .map(|((name, says), tally)| Answer {
                name,
                says,
                state: match (tally.broken, tally.open, tally.cases) {
                    (1.., ..) => State::Broken,
                    (0, true, _) => State::Open,
                    (0, false, 0) => State::Nothing,
                    (0, false, _) => State::Holds,
                },
                proves: tally.proves,
                cases: tally.cases,
                breaks: tally.breaks,
                broken: tally.broken,
                notes: tally.notes,
            });
        Report {
            answers: answers.collect(),
            kills: self.kills,
            open: open.into_keys().collect(),
        }
    }
}
