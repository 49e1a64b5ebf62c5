//! What then happened: held against what was decided, and, where a part changed, what it changed into.

use std::path::Path;
use std::sync::Arc;

use tacho_policy::{Act, Json, Request, Resolver as _, Target, classify};
use tacho_schemas::body::change::{AppliedBy, Change, Fate, Generation, Known, Mutation};
use tacho_schemas::body::log::{Gap, GapKind, Severity};
use tacho_schemas::body::work::{self, Match, Status};
use tacho_schemas::body::{Body, Rationale, RationaleSource};
use tacho_schemas::content::{Field, Row};
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType, Record, Role, Via};
use tacho_schemas::scalar::{List, Set};
use tacho_schemas::{Hash, Id, Kind, Seq};

use super::action::file;
use super::disk::{self, Disk};
use super::state::{Call, Session};
use super::wire::{Outcome, OutcomeTaken};
use super::{Gate, Peer, server};
use crate::draft::Way;
use crate::error::{Error, ErrorKind, Result};
use crate::import::pieces;

/// The words of a rationale, which a mutation takes over from its action.
const WORDS: [Field; 6] = [
    Field::Goal,
    Field::Summary,
    Field::Reasoning,
    Field::Alternatives,
    Field::ExpectedEffect,
    Field::Provenance,
];

/// Calls from before a restart that an outcome is searched among.
const SEARCHED: usize = 1024;

impl Gate {
    /// Takes what came of a call: compares it with what was decided, and writes the mutations that it made.
    pub fn outcome(&self, peer: Peer, outcome: Outcome) -> Result<OutcomeTaken> {
        let server::Door::Session(seq) = peer.door else {
            return Err(Error::new(
                ErrorKind::Refused,
                "outcomes come through a session's socket",
            ));
        };
        let session = {
            let state = self.lock();
            state.sessions.get(&seq).cloned().ok_or_else(|| {
                Error::new(ErrorKind::Missing, format!("there is no session {seq}"))
            })?
        };
        let call = self.find_call(seq, &session, &outcome)?;
        let Some(call) = call else {
            return self.ungated(peer, seq, &session, &outcome);
        };
        let differs = self.compare(&session, peer, &call, &outcome);
        let taken = self.write_outcome(
            peer,
            seq,
            &session,
            &outcome,
            Some(&call),
            match differs {
                Some(_) => Match::Differs,
                None => Match::Same,
            },
        )?;
        let mut alarms = Vec::new();
        let causes = vec![call.action, taken];
        let raise = |rule: &str, detail: &str| {
            self.alarm(rule, Severity::Critical, detail, causes.clone(), Some(seq))
        };
        if let Some(detail) = &differs {
            alarms.push(raise("executed-differs", detail)?);
        }
        // What a harness does not say how it ended has run all the same: Codex says no more.
        let ran = !matches!(outcome.status, Status::Cancelled | Status::Killed);
        if !call.allowed && ran {
            alarms.push(raise(
                "executed-denied",
                "it was executed although it was denied",
            )?);
        }
        if call.told && ran {
            alarms.push(raise(
                "executed-twice",
                "one answer, more than one outcome",
            )?);
        }
        let (mutations, generation) = match call.request.act {
            Act::Mutate if ran => self.mutations(seq, &session, &call, taken)?,
            _ => (Vec::new(), None),
        };
        if let Some(kept) = self.lock().call_mut(seq, call.action) {
            kept.told = true;
        }
        Ok(OutcomeTaken {
            outcome: taken,
            matched: Some(differs.is_none()),
            mutations,
            generation,
            alarms,
        })
    }

    /// Finds the decision that an outcome is of: by its record, else by the harness's name of the call.
    fn find_call(&self, seq: Seq, session: &Session, outcome: &Outcome) -> Result<Option<Call>> {
        let fits = |call: &&Call| match (outcome.action, &outcome.tool_use_id) {
            (Some(action), _) => call.action == action,
            (None, id) => id.is_some() && call.id == *id,
        };
        // The last answer to a call counts: a retry has the same name.
        if let Some(call) = self.lock().calls(seq).rev().find(fits) {
            return Ok(Some(call.clone()));
        }
        let named = match (outcome.action, &outcome.tool_use_id) {
            (Some(action), _) => Some(action),
            // Answered by the gate that ran before this one.
            (None, Some(id)) if session.restored => self.find_named(seq, id)?,
            _ => None,
        };
        let Some(action) = named else {
            return Ok(None);
        };
        self.read(|view| {
            let shown = view.record(action)?;
            let Ok(record) = &shown.meaning else {
                return Ok(None);
            };
            let (Body::Action(body), Some(request)) = (&record.body, shown.text(Field::Request))
            else {
                return Ok(None);
            };
            if record.via != Via::Gate || record.session != Some(seq) || !shown.in_tree {
                return Ok(None);
            }
            let (Ok(request), Some(verdict)) =
                (Request::from_bytes(request.as_bytes()), &body.verdict)
            else {
                return Ok(None);
            };
            let before = super::rebuild::artefact(view, &shown, Role::Before);
            let mut targets = request.targets.iter().filter(|t| t.access.changes());
            let first = targets.next().and_then(|t| t.resolved.clone());
            let before = first.map(|path| (path, before)).into_iter().collect();
            Ok(Some(Call {
                action,
                id: shown.text(Field::SourceId).map(str::to_owned),
                allowed: verdict.decision == work::Decision::Allow,
                before: Arc::new(before),
                approvals: verdict.consumes.iter().flatten().copied().collect(),
                told: false,
                request: Arc::new(request),
            }))
        })
    }

    /// Finds the newest action of a session that the harness calls so, in the log.
    fn find_named(&self, session: Seq, id: &str) -> Result<Option<Seq>> {
        self.read(|view| {
            let mut actions = Vec::new();
            let is_action = |kind| kind == Kind::Action;
            view.bare(session.0..view.size(), is_action, |bytes, in_tree| {
                if in_tree && let Ok(record) = Record::decode(bytes) {
                    let ours = record.session == Some(session) && record.via == Via::Gate;
                    actions.extend(ours.then_some(record.seq));
                }
                Ok(())
            })?;
            for seq in actions.into_iter().rev().take(SEARCHED) {
                if view.record(seq)?.text(Field::SourceId) == Some(id) {
                    return Ok(Some(seq));
                }
            }
            Ok(None)
        })
    }

    /// Writes down what the disk shows of calls whose outcome never came: Codex, for one, says nothing of its patch tool. To be called
    /// before a session ends.
    pub(super) fn settle(&self, peer: Peer, seq: Seq) -> Result<()> {
        let waits = |call: &&Call| call.allowed && !call.told && call.request.act == Act::Mutate;
        let (session, calls) = {
            let state = self.lock();
            let Some(session) = state.sessions.get(&seq).cloned() else {
                return Ok(());
            };
            let calls: Vec<Call> = state.calls(seq).filter(waits).cloned().collect();
            (session, calls)
        };
        for call in &calls {
            let changed = call.before.iter().any(|(path, before)| {
                let exists = std::fs::symlink_metadata(path).is_ok();
                *before != disk::read(Path::new(path)).filter(|_| exists)
            });
            if !changed {
                continue;
            }
            let outcome = Outcome {
                action: Some(call.action),
                tool_use_id: call.id.clone(),
                tool: Id::new(&call.request.resource)?,
                input: Json::Null,
                cwd: None,
                status: Status::Unknown,
                exit: None,
                output: None,
                error: None,
            };
            let taken = self.write_outcome(
                peer,
                seq,
                &session,
                &outcome,
                Some(call),
                Match::NotCompared,
            )?;
            self.mutations(seq, &session, call, taken)?;
        }
        Ok(())
    }

    /// Says how what was executed differs from what was decided, if it does.
    fn compare(
        &self,
        session: &Session,
        peer: Peer,
        call: &Call,
        outcome: &Outcome,
    ) -> Option<String> {
        let cwd = outcome.cwd.clone().or_else(|| call.request.cwd.clone());
        let executed = tacho_policy::Call {
            agent: session.agent.clone(),
            cwd: cwd.unwrap_or_default(),
            harness: session.harness.clone(),
            input: outcome.input.clone(),
            tool: outcome.tool.clone(),
            workspace: session.workspace.clone(),
        };
        let disk = Disk::of(session.uid.unwrap_or(peer.uid));
        let classified = self.guard_own(classify(&executed, &disk));
        let executed = Request::of(&executed, &classified);
        let decided = &call.request;
        if executed.resource != decided.resource {
            return Some("another tool was used than was decided".to_owned());
        }
        if executed.input_sha256 != decided.input_sha256 {
            return Some("the input that was executed is not the one that was decided".to_owned());
        }
        if executed.cwd != decided.cwd {
            return Some("it ran in another folder than was decided".to_owned());
        }
        if outcome.status != Status::Succeeded || !call.allowed {
            return None;
        }
        let mut changed = decided.targets.iter().filter(|t| t.access.changes());
        changed.find_map(|target| moved(target, &disk))
    }

    fn write_outcome(
        &self,
        peer: Peer,
        seq: Seq,
        session: &Session,
        outcome: &Outcome,
        call: Option<&Call>,
        matched: Match,
    ) -> Result<Seq> {
        let mut event = Event::new(
            agent(session),
            work::Outcome {
                exit: outcome.exit,
                signal: None,
                usage: None,
                of: call.map(|c| c.action),
                status: outcome.status,
                matched: Some(matched),
                stop: None,
            },
        );
        for (field, text) in [
            (Field::Output, &outcome.output),
            (Field::Error, &outcome.error),
            (Field::SourceId, &outcome.tool_use_id),
        ] {
            if let Some(text) = text {
                event = event.with(field, text.clone());
            }
        }
        event.session = Some(seq);
        event.generation = self
            .generation_of(session)
            .map(|(_, generation)| generation);
        event.causes = call.map(|c| c.action).into_iter().collect();
        self.append(event, peer.way(Via::Gate))
    }

    /// An outcome of a call that never asked.
    fn ungated(
        &self,
        peer: Peer,
        seq: Seq,
        session: &Session,
        outcome: &Outcome,
    ) -> Result<OutcomeTaken> {
        let taken = self.write_outcome(peer, seq, session, outcome, None, Match::NotCompared)?;
        let mut event = Event::new(
            super::recorder()?,
            Gap {
                gap: GapKind::Ungated,
                count: Some(1),
                since: None,
                until: None,
            },
        )
        .with(
            Field::Detail,
            format!("`{}` was executed and never asked the gate", outcome.tool),
        );
        event.session = Some(seq);
        event.causes = vec![taken];
        let gap = self.append(event, Way::recorder())?;
        Ok(OutcomeTaken {
            outcome: taken,
            matched: None,
            mutations: Vec::new(),
            generation: None,
            alarms: vec![gap],
        })
    }

    fn generation_of(&self, session: &Session) -> Option<(Seq, Seq)> {
        let place = (session.agent.clone(), session.workspace.clone());
        self.lock().lineages.get(&place).copied()
    }

    /// Writes a mutation for each part that is another one now, and the generation that came of them.
    fn mutations(
        &self,
        seq: Seq,
        session: &Session,
        call: &Call,
        outcome: Seq,
    ) -> Result<(Vec<Seq>, Option<Seq>)> {
        let words = self.read(|view| {
            let shown = view.record(call.action)?;
            let rationale = match &shown.meaning {
                Ok(record) => record.body.rationale().cloned(),
                Err(_) => None,
            };
            Ok((rationale, shown.row))
        })?;
        let place = self.generation_of(session);
        let (mut made, mut parts) = (Vec::new(), Vec::new());
        for target in call.request.targets.iter() {
            if !target.access.changes() || target.parts.is_empty() {
                continue;
            }
            let Some(path) = &target.resolved else {
                continue;
            };
            let Some(before) = call.before.get(path) else {
                continue;
            };
            let exists = std::fs::symlink_metadata(path).is_ok();
            let after = disk::read(Path::new(path)).filter(|_| exists);
            if *before == after && exists == before.is_some() {
                continue;
            }
            let event = mutation(target, before.as_deref(), after.as_deref(), &words);
            let mut event = event(session, call)?;
            event.session = Some(seq);
            event.generation = place.map(|(_, generation)| generation);
            event.causes = vec![call.action, outcome];
            made.push(self.append(
                event,
                Way {
                    via: Via::Gate,
                    auth: None,
                    import: None,
                },
            )?);
            if let Some(after) = after {
                parts.push(file(Role::Part, target.name(), after));
            }
        }
        if made.is_empty() {
            return Ok((made, None));
        }
        let mut event = Event::new(
            agent(session),
            Generation {
                lineage: place.map(|(lineage, _)| lineage),
                parents: List::some(place.map(|(_, parent)| parent).into_iter().collect())?,
                inspirations: None,
                mutations: List::some(made.clone())?,
                ordinal: None,
                branch: None,
                fate: Fate::Alive,
            },
        );
        event.session = Some(seq);
        event.causes = made.clone();
        event.artefacts = parts;
        let generation = self.append(event, Way::recorder())?;
        let lineage = place.map_or(generation, |(lineage, _)| lineage);
        self.lock().lineages.insert(
            (session.agent.clone(), session.workspace.clone()),
            (lineage, generation),
        );
        Ok((made, Some(generation)))
    }
}

/// Where an approved file is not what was approved any more: it leads elsewhere, or holds other bytes.
fn moved(target: &Target, disk: &Disk) -> Option<String> {
    let name = target.name();
    let now = disk.resolve(target.resolved.as_deref()?);
    if now.as_deref() != target.resolved.as_deref() {
        return Some(format!("`{name}` leads elsewhere than when it was decided"));
    }
    let named = disk.resolve(&target.path);
    if target.path.starts_with('/') && named.as_deref() != target.resolved.as_deref() {
        return Some(format!("`{name}` leads elsewhere than when it was decided"));
    }
    let after = target.after?;
    let bytes = disk.read(now.as_deref()?)?;
    (Hash::sha256(&bytes) != after)
        .then(|| format!("`{name}` does not hold the bytes that were decided"))
}

fn agent(session: &Session) -> Actor {
    Actor {
        actor_type: ActorType::Agent,
        id: session.agent.clone(),
        model: None,
        on_behalf_of: None,
    }
}

type Words = (Option<Rationale>, Row);

/// The record of a change of a part, once it is known by whom.
fn mutation<'a>(
    target: &'a Target,
    before: Option<&'a [u8]>,
    after: Option<&'a [u8]>,
    (rationale, row): &'a Words,
) -> impl FnOnce(&Session, &Call) -> Result<Event> + 'a {
    move |session, call| {
        let change = match (before, after) {
            (None, _) => Change::Create,
            (Some(_), None) => Change::Delete,
            (Some(_), Some(_)) => Change::Modify,
        };
        let texts = (
            before.map_or(Some(""), |b| std::str::from_utf8(b).ok()),
            after.map_or(Some(""), |b| std::str::from_utf8(b).ok()),
        );
        let diff = match texts {
            (Some(old), Some(new)) => Some(pieces::changed(
                Some(target.name()),
                Some(old),
                Some(new),
                false,
            )),
            _ => None,
        };
        let rationale = rationale.clone().unwrap_or(Rationale {
            source: RationaleSource::Absent,
            evidence: None,
            confidence: None,
        });
        let mut event = Event::new(
            agent(session),
            Mutation {
                parts: Set::some(target.parts.iter().copied().collect())?,
                change,
                known: Known::Declared,
                proposer: None,
                action: Some(call.action),
                approvals: Set::some(call.approvals.clone())?,
                applied_by: Some(AppliedBy::Agent),
                reverts: None,
                added: diff.as_ref().map(|d| d.added),
                removed: diff.as_ref().map(|d| d.removed),
                rationale: Some(rationale.clone()),
            },
        )
        .with(Field::Path, target.name().to_owned());
        if rationale.source != RationaleSource::Absent {
            for field in WORDS {
                if let Some(words) = row.text(field) {
                    event = event.with(field, words.to_vec());
                }
            }
        }
        for (role, bytes) in [(Role::Before, before), (Role::After, after)] {
            if let Some(bytes) = bytes {
                event
                    .artefacts
                    .push(file(role, target.name(), bytes.to_vec()));
            }
        }
        event
            .artefacts
            .extend(diff.into_iter().flat_map(|d| d.files));
        Ok(event)
    }
}
