//! The gate: agents ask before they act, people decide, and each answer is a durable record before it is given.
//!
//! ```text
//! call ─▶ off switch ─▶ canonical request ─▶ policy ─▶ one durable `action` record ─▶ answer
//!                                              │ hold
//!                                              ▼
//!            people sign ─▶ `approval` records ─▶ decided again ─▶ action(allow, consumes) ─▶ answer
//! ```
//!
//! **No record, no action**: whatever cannot be made durable is denied. What a decision counts, it counts, decides and hands to the
//! writer under one lock, so that two calls cannot both pass where one may. The gate keeps nothing that the log does not hold: after a
//! crash it is rebuilt from there.
//!
//! [`Gate`] is the machine without sockets; [`server`] puts it behind doors, [`route`] answers there, [`client`] is the other end.

mod action;
mod approval;
mod ask;
mod brought;
pub mod client;
mod decide;
mod disk;
mod hold;
mod notify;
mod outcome;
mod rebuild;
pub mod route;
mod rules;
pub mod server;
mod session;
pub mod settings;
mod state;
mod tail;
pub mod wire;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tacho_policy::Approver;
use tacho_schemas::body::log::{Alarm, Assurance, Severity};
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType, Auth, Via};
use tacho_schemas::{Hash, Id, Seq, Time};

use crate::acts::About;
use crate::clock::Clock;
use crate::dir::LogDir;
use crate::draft::Way;
use crate::enrol::Enrolled;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::read::View;
use crate::store::Reader;
use crate::switch::Switch;

pub use decide::{Step, Waiting, Why};
pub use rules::{Change, Changed, Wanted};
pub use settings::Settings;
use state::State;
use wire::{GateStatus, Place};

/// The longest request and answer, in bytes.
pub const MAX_BODY: usize = 8 << 20;

/// The header with the caller's nonce, 64 hex digits: whoever sends one gets an answer that proves itself.
pub const NONCE: &str = "tacho-nonce";

/// The header with the signature by the log key over [`proven`], as hex.
pub const PROOF: &str = "tacho-proof";

/// The header with the log key, as hex.
pub const PROVER: &str = "tacho-key";

/// What an answer's proof is over: nonce ‖ u16 status ‖ SHA-256 of the body.
pub fn proven(nonce: &[u8; 32], status: u16, body: &[u8]) -> Vec<u8> {
    let hash = Hash::sha256(body);
    [nonce.as_slice(), &status.to_be_bytes(), &hash.0].concat()
}

/// Who asks, as the socket says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// The peer's user id.
    pub uid: u32,
    /// The door it came through.
    pub door: server::Door,
}

impl Peer {
    fn auth(self) -> Auth {
        Auth {
            uid: Some(self.uid),
            token: None,
            cell: None,
            key: None,
        }
    }

    fn way(self, via: Via) -> Way {
        Way {
            via,
            auth: Some(self.auth()),
            import: None,
        }
    }
}

/// Who hears what goes wrong where no caller can be told.
pub type Tell = Box<dyn Fn(&Error) + Send + Sync>;

/// The machine that decides.
pub struct Gate {
    log: Log,
    reader: Mutex<Reader>,
    switch: Switch,
    clock: Arc<dyn Clock>,
    settings: Settings,
    began: Time,
    changed: Option<Changed>,
    state: Mutex<State>,
    /// Calls that are being decided now.
    deciding: Arc<AtomicUsize>,
    tell: Tell,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({})", self.log.origin())
    }
}

impl Gate {
    /// Makes the gate of an open log: reads what the log knows of sessions, holds, people and the policy, and puts the wanted policy
    /// into force, if the one in force lets it.
    pub fn open(
        log: Log,
        clock: Arc<dyn Clock>,
        settings: Settings,
        wanted: Wanted,
        tell: Tell,
    ) -> Result<Self> {
        let dir = LogDir::open(log.path())?;
        let reader = Reader::open(&dir)?;
        let switch = Switch::of(log.path(), log.origin().clone());
        // Before anybody asks: what was ordered while nobody could write, and what somebody took away.
        let append = |event, way| Ok::<_, Error>(log.append(event, way)?.seq);
        for said in crate::switch::reconcile::reconcile(
            &View::new(&reader)?,
            &switch,
            clock.as_ref(),
            append,
        )? {
            tell(&Error::new(ErrorKind::Refused, said));
        }
        let about = About {
            origin: log.origin().clone(),
            log_id: log.log_id(),
        };
        let now = Time(clock.wall_ns());
        let mut state = State::rebuild(&View::new(&reader)?, &about, now)?;
        let changed = rules::put_in_force(&log, &View::new(&reader)?, &mut state, wanted, now)?;
        Ok(Self {
            began: now,
            changed,
            reader: Mutex::new(reader),
            state: Mutex::new(state),
            deciding: Arc::default(),
            log,
            switch,
            clock,
            settings,
            tell,
        })
    }

    /// The log beneath.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What this start changed of the policy.
    pub fn changed(&self) -> Option<&Changed> {
        self.changed.as_ref()
    }

    /// Ends the gate and closes the log cleanly.
    pub fn close(self) -> Result<()> {
        self.log.close()
    }

    /// Whatever a thread that ended left behind was changed in one step, so it is good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        Time(self.clock.wall_ns())
    }

    /// Reads from the log.
    fn read<A>(&self, f: impl FnOnce(&View<'_>) -> Result<A>) -> Result<A> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        f(&View::new(&reader)?)
    }

    /// Tells whoever runs the gate of something that no caller can be told.
    pub fn tell(&self, error: &Error) {
        (self.tell)(error);
    }

    /// How long a caller is kept waiting for people.
    pub fn patience(&self, asked_ms: Option<u64>) -> Duration {
        let ours = self.settings.wait;
        asked_ms.map_or(ours, |ms| ours.min(Duration::from_millis(ms)))
    }

    /// The reviewers' socket: in the log's own directory, which no cell sees.
    pub fn reviewers_socket(&self) -> PathBuf {
        reviewers_socket(self.log.path())
    }

    /// The folder of the other sockets.
    pub fn sessions_dir(&self) -> PathBuf {
        self.switch.dir().join("sessions")
    }

    /// The socket of installed hooks.
    pub fn hooks_socket(&self) -> PathBuf {
        self.sessions_dir().join("hooks.sock")
    }

    /// The socket of a session.
    pub fn session_socket(&self, session: Seq) -> PathBuf {
        self.sessions_dir()
            .join(session.to_string())
            .join("gate.sock")
    }

    /// Denies whatever comes from now on, and rings for everybody who waits.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        state.ring_all();
    }

    /// Rings for those who wait and whom the switch now stops.
    pub fn look_at_switch(&self) {
        let waiting = self.lock().waiting_sessions();
        for (session, who) in waiting {
            if self.is_killed(&who, &[]) {
                self.lock().ring_session(session);
            }
        }
    }

    /// Writes an alarm: a record for people, which nothing waits for.
    fn alarm(
        &self,
        rule: &str,
        severity: Severity,
        detail: &str,
        causes: Vec<Seq>,
        session: Option<Seq>,
    ) -> Result<Seq> {
        let mut event = Event::new(
            recorder()?,
            Alarm {
                rule: Id::new(rule)?,
                severity,
            },
        )
        .with(tacho_schemas::content::Field::Detail, detail);
        event.causes = causes;
        event.session = session;
        self.append(event, Way::recorder())
    }

    /// Appends and waits until it is durable.
    fn append(&self, event: Event, way: Way) -> Result<Seq> {
        self.log.submit(self.log.draft(event, way)?)?.number()
    }

    /// How the gate stands.
    pub fn status(&self) -> GateStatus {
        let killed = match self.switch.engaged(crate::switch::Who::default()) {
            crate::switch::Engaged::No { .. } => None,
            crate::switch::Engaged::Yes(stop) => Some(stop.to_string()),
        };
        let state = self.lock();
        let approvers: Vec<_> = state.enrolled.holders().into_iter().cloned().collect();
        let problems = state.policy.policies.check(&approvers_of(&state.enrolled));
        GateStatus {
            origin: self.log.origin().to_string(),
            log_id: self.log.log_id().to_string(),
            since: self.began,
            policy: state.policy.policies.name().to_owned(),
            policy_digest: state.policy.digest,
            policy_record: state.policy.seq,
            single_person: approvers.len() <= 1,
            approvers,
            sessions: state.session_status(),
            holds: state
                .open_holds(self.now())
                .count()
                .try_into()
                .unwrap_or(u64::MAX),
            waiting: state.waiting(),
            problems: problems.iter().map(ToString::to_string).collect(),
            killed,
        }
    }
}

/// The reviewers' socket of a log.
pub fn reviewers_socket(log: &Path) -> PathBuf {
    log.join("reviewers.sock")
}

/// Everybody who is enrolled, as a policy's demands are held against them.
pub fn approvers_of(enrolled: &Enrolled) -> Vec<Approver> {
    enrolled
        .humans()
        .map(|signer| Approver {
            groups: signer.groups.clone(),
            human: signer.holder.clone(),
            initiator: false,
            launcher: false,
            seq: signer.since,
            weak: signer.assurance == Assurance::None,
        })
        .collect()
}

/// The recorder as an actor.
fn recorder() -> Result<Actor> {
    Ok(Actor {
        actor_type: ActorType::System,
        id: Id::new("tacho")?,
        model: None,
        on_behalf_of: None,
    })
}

fn human_actor(id: Id) -> Actor {
    Actor {
        actor_type: ActorType::Human,
        id,
        model: None,
        on_behalf_of: None,
    }
}

fn place(obligation: &tacho_policy::Obligation) -> Place {
    Place {
        rule: obligation.rule.clone(),
        group: obligation.group.clone(),
        k: obligation.k,
        ttl: obligation.ttl_secs,
    }
}
