//! Sessions: who asks, from where, confined by what.

use tacho_schemas::Seq;
use tacho_schemas::body::change::{Fate, Generation};
use tacho_schemas::body::log::Phase;
use tacho_schemas::body::work::{self, Confinement};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType, Via};

use super::server::Door;
use super::state::{Session, Standing};
use super::wire::{CloseSession, OpenSession, SessionOpened};
use super::{Gate, Peer};
use crate::draft::Way;
use crate::error::{Error, ErrorKind, Result};
use crate::switch::Who;
use tacho_schemas::body::Part;

impl Gate {
    /// Opens a session, or finds the one that has this reference; says whether it is new.
    ///
    /// Through the door of installed hooks nothing counts that only people may say: there is no confinement, parent or launcher.
    pub fn open_session(&self, peer: Peer, mut open: OpenSession) -> Result<(SessionOpened, bool)> {
        if !open.workspace.starts_with('/') {
            return Err(Error::new(
                ErrorKind::Usage,
                "`workspace` is no absolute path",
            ));
        }
        if peer.door != Door::Reviewers {
            open.confinement = None;
            open.parent = None;
            open.launcher = None;
            open.lineage = None;
        }
        if let Some(found) = self.find_session(peer, &open)? {
            return Ok((found, false));
        }
        let (lineage, generation) = self.lineage_of(&open)?;
        let mut event = Event::new(
            Actor {
                actor_type: ActorType::Agent,
                id: open.agent.clone(),
                model: None,
                on_behalf_of: open.launcher.clone(),
            },
            work::Session {
                phase: Phase::Open,
                agent: open.agent.clone(),
                harness: open.harness.clone(),
                harness_version: open.harness_version.clone(),
                lineage,
                parent: open.parent,
                confinement: Some(open.confinement.unwrap_or(Confinement::HookOnly)),
                guards: None,
                exit: None,
                signal: None,
            },
        )
        .with(Field::Workspace, open.workspace.clone());
        for (field, text) in [
            (Field::Goal, &open.goal),
            (Field::Command, &open.command),
            (Field::SourceId, &open.source_id),
        ] {
            if let Some(text) = text {
                event = event.with(field, text.clone());
            }
        }
        event.reference = open.reference.clone();
        event.generation = generation;
        let seq = self.append(event, peer.way(Via::Gate))?;
        let mut state = self.lock();
        let chain = state.chain_of(seq, open.parent);
        state.sessions.insert(
            seq,
            Session {
                agent: open.agent.clone(),
                harness: open.harness.clone(),
                workspace: open.workspace.clone(),
                confinement: open.confinement.unwrap_or(Confinement::HookOnly),
                launcher: open.launcher.clone(),
                uid: Some(peer.uid),
                chain,
                open: true,
                restored: false,
                transcript: None,
                allowed: 0,
                denied: 0,
            },
        );
        if let Some(reference) = open.reference.clone() {
            state.references.insert(reference, seq);
        }
        let place = (open.agent.clone(), open.workspace.clone());
        if let (Some(lineage), Some(generation)) = (lineage, generation) {
            state.lineages.insert(place, (lineage, generation));
            drop(state);
        } else {
            drop(state);
            // The state of all parts that this agent begins with here: later ones are made of it.
            let root = self.begin_lineage(seq, &open)?;
            self.lock().lineages.insert(place, (root, root));
        }
        let opened = SessionOpened {
            session: seq,
            socket: self.session_socket(seq).to_string_lossy().into_owned(),
            transcript: None,
        };
        Ok((opened, true))
    }

    fn find_session(&self, peer: Peer, open: &OpenSession) -> Result<Option<SessionOpened>> {
        let state = self.lock();
        let Some(seq) = open
            .reference
            .as_ref()
            .and_then(|r| state.references.get(r))
        else {
            return Ok(None);
        };
        let Some(session) = state.sessions.get(seq).filter(|s| s.open) else {
            return Err(Error::new(
                ErrorKind::Refused,
                format!("the session {seq} of this reference is closed"),
            )
            .with_hint("use a new reference for a new session"));
        };
        // Not the workspace: an agent may change its folder.
        let same = session.agent == open.agent && session.uid == Some(peer.uid);
        if !same {
            return Err(Error::new(
                ErrorKind::Exists,
                format!("this reference is that of session {seq}, which is another's"),
            ));
        }
        Ok(Some(SessionOpened {
            session: *seq,
            socket: self.session_socket(*seq).to_string_lossy().into_owned(),
            transcript: session.transcript.clone(),
        }))
    }

    /// The lineage and its generation in force: the named one, or that of this agent in this workspace.
    fn lineage_of(&self, open: &OpenSession) -> Result<(Option<Seq>, Option<Seq>)> {
        let state = self.lock();
        let known = state
            .lineages
            .get(&(open.agent.clone(), open.workspace.clone()));
        match (open.lineage, known) {
            (None, None) => Ok((None, None)),
            (None, Some((lineage, generation))) => Ok((Some(*lineage), Some(*generation))),
            (Some(named), Some((lineage, generation))) if named == *lineage => {
                Ok((Some(named), Some(*generation)))
            }
            (Some(named), _) => {
                // Another place's lineage goes on here, from its newest generation.
                let of = state.lineages.values().filter(|(l, _)| *l == named);
                let newest = of.map(|(_, generation)| *generation).max();
                Ok((Some(named), Some(newest.unwrap_or(named))))
            }
        }
    }

    fn begin_lineage(&self, session: Seq, open: &OpenSession) -> Result<Seq> {
        let mut event = Event::new(
            Actor {
                actor_type: ActorType::Agent,
                id: open.agent.clone(),
                model: None,
                on_behalf_of: None,
            },
            Generation {
                lineage: None,
                parents: None,
                inspirations: None,
                mutations: None,
                ordinal: None,
                branch: None,
                fate: Fate::Alive,
            },
        );
        event.session = Some(session);
        self.append(event, Way::recorder())
    }

    /// Closes a session: nothing is decided for it any more.
    pub fn close_session(&self, peer: Peer, seq: Seq, close: CloseSession) -> Result<Seq> {
        let agent = {
            let mut state = self.lock();
            let session = state.sessions.get_mut(&seq).filter(|s| s.open);
            let session = session.ok_or_else(|| unknown(seq))?;
            if peer.door != Door::Reviewers && session.uid != Some(peer.uid) {
                return Err(unknown(seq));
            }
            session.open = false;
            let agent = session.agent.clone();
            state.ring_session(seq);
            agent
        };
        self.settle(peer, seq)?;
        let mut event = Event::new(
            Actor {
                actor_type: ActorType::Agent,
                id: agent.clone(),
                model: None,
                on_behalf_of: None,
            },
            work::Session {
                phase: Phase::Close,
                agent,
                harness: None,
                harness_version: None,
                lineage: None,
                parent: None,
                confinement: None,
                guards: None,
                exit: close.exit,
                signal: close.signal,
            },
        );
        event.session = Some(seq);
        if let Some(reason) = close.reason {
            event = event.with(Field::Reason, reason);
        }
        self.append(event, peer.way(Via::Gate))
    }

    /// The sessions that are open.
    pub fn open_sessions(&self) -> Vec<Seq> {
        let state = self.lock();
        let open = state.sessions.iter().filter(|(_, s)| s.open);
        open.map(|(seq, _)| *seq).collect()
    }

    /// Refuses a peer that is not the one for whom the session was opened.
    pub fn check_peer(&self, session: Seq, uid: u32) -> Result<()> {
        let state = self.lock();
        let found = state.sessions.get(&session).filter(|s| s.open);
        let found = found.ok_or_else(|| unknown(session))?;
        if found.uid == Some(uid) || uid == nix::unistd::geteuid().as_raw() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Refused,
            format!("session {session} is another user's"),
        ))
    }

    /// Whether the off switch stops a session, or whoever touches these parts.
    pub(super) fn is_killed(&self, session: &Session, parts: &[Part]) -> bool {
        let lineages = self.lineages(session);
        self.switch.engaged(who(session, &lineages, parts)).is_yes()
    }

    /// The same, and whether no lease that covers the session ran out; where none was given, none is asked for.
    pub(super) fn standing(&self, session: &Session, parts: &[Part]) -> Standing {
        let now = Some((self.clock.boot_id(), self.clock.boottime_ns()));
        let lineages = self.lineages(session);
        let (engaged, lapsed) = self.switch.look(who(session, &lineages, parts), now);
        Standing {
            killed: engaged.is_yes(),
            lease_fresh: !lapsed,
        }
    }

    fn lineages(&self, session: &Session) -> Vec<Seq> {
        let place = (session.agent.clone(), session.workspace.clone());
        let state = self.lock();
        let lineage = state.lineages.get(&place);
        lineage.map(|(lineage, _)| *lineage).into_iter().collect()
    }
}

fn who<'a>(session: &'a Session, lineages: &'a [Seq], parts: &'a [Part]) -> Who<'a> {
    Who {
        agent: Some(&session.agent),
        sessions: &session.chain,
        lineages,
        parts,
    }
}

fn unknown(seq: Seq) -> Error {
    Error::new(
        ErrorKind::Missing,
        format!("there is no open session {seq}"),
    )
}
