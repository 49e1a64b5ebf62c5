//! How the gate's knowledge is read out of the log again.
//!
//! A fold over records, in their order. Most need no more than their bytes: texts are read only of what is still open. Only records via
//! the gate, people or the recorder count; what callers or files say does not.

use std::sync::Arc;

use tacho_policy::{Approver, Policies};
use tacho_schemas::body::Body;
use tacho_schemas::body::human::{self, Answer};
use tacho_schemas::body::log::{Assurance, Phase};
use tacho_schemas::body::work::{Confinement, Decision, DenyKind, Verdict};
use tacho_schemas::content::{Descriptor, Field};
use tacho_schemas::record::{ActorType, Record, Role, Via};
use tacho_schemas::{Hash, Kind, Seq, Time};

use super::hold::{Approval, Status, held};
use super::rules::Yes;
use super::state::{InForce, Session, State};
use crate::acts::{self, About};
use crate::error::{Error, ErrorKind, Result};
use crate::read::{Shown, View};

/// What a record is read from, and when.
struct From<'a> {
    view: &'a View<'a>,
    about: &'a About,
    now: Time,
}

/// Whether records of a kind change what the gate knows.
fn counts(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Action | Kind::Approval | Kind::Generation | Kind::Key | Kind::Policy | Kind::Session
    )
}

impl State {
    /// Reads everything out of the log.
    pub(super) fn rebuild(view: &View<'_>, about: &About, now: Time) -> Result<Self> {
        let nothing = Policies::parse("nothing", "").map_err(|e| {
            Error::new(
                ErrorKind::Io,
                format!("the empty policy cannot be read: {e}"),
            )
        })?;
        let mut state = Self::new(InForce {
            digest: nothing.digest(),
            policies: Arc::new(nothing),
            seq: Seq(0),
        });
        view.bare(0..view.size(), counts, |bytes, in_tree| {
            // What this version cannot read changes nothing, and `verify` names it.
            if in_tree && let Ok(record) = Record::decode(bytes) {
                let counts = matches!(record.via, Via::Gate | Via::Human | Via::Recorder);
                if counts {
                    state.take(&record, &From { view, about, now })?;
                }
            }
            Ok(())
        })?;
        state.void_holds();
        Ok(state)
    }

    /// Takes one record of the log in.
    fn take(&mut self, record: &Record, from: &From<'_>) -> Result<()> {
        match &record.body {
            Body::Key(_) => self.enrolled.take(record),
            Body::Policy(policy) => {
                self.last_policy = Some((record.seq, policy.policy_digest));
                // What people signed was about the policy before.
                self.yes.clear();
            }
            Body::Session(session) => self.take_session(record, session, from)?,
            Body::Generation(generation) => {
                let Some(session) = record.session.and_then(|s| self.sessions.get(&s)) else {
                    return Ok(());
                };
                let lineage = generation.lineage.unwrap_or(record.seq);
                let place = (session.agent.clone(), session.workspace.clone());
                self.lineages.insert(place, (lineage, record.seq));
            }
            Body::Action(action) => {
                if let Some(verdict) = &action.verdict {
                    self.take_action(record, action, verdict, from)?;
                }
            }
            Body::Approval(approval) => self.take_approval(record, approval, from.about),
            _ => {}
        }
        Ok(())
    }

    fn take_approval(&mut self, record: &Record, approval: &human::Approval, about: &About) {
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
        if let Some((seq, digest)) = self.last_policy
            && (approval.target, policy) == (seq, Some(digest))
        {
            let yes = Yes::of(record, approval, signed.signer);
            self.yes.extend(yes);
            return;
        }
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

    fn take_session(
        &mut self,
        record: &Record,
        body: &tacho_schemas::body::work::Session,
        from: &From<'_>,
    ) -> Result<()> {
        if body.phase == Phase::Close {
            if let Some(session) = record.session.and_then(|s| self.sessions.get_mut(&s)) {
                session.open = false;
            }
            return Ok(());
        }
        if record.via != Via::Gate {
            return Ok(());
        }
        let shown = from.view.record(record.seq)?;
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
            restored: true,
            transcript: None,
            allowed: 0,
            denied: 0,
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
        Ok(())
    }

    fn take_action(
        &mut self,
        record: &Record,
        action: &tacho_schemas::body::work::Action,
        verdict: &Verdict,
        from: &From<'_>,
    ) -> Result<()> {
        let Some(session) = record.session else {
            return Ok(());
        };
        let Some(agent) = self.sessions.get(&session).map(|s| s.agent.clone()) else {
            return Ok(());
        };
        if record.via != Via::Gate || record.actor.actor_type != ActorType::Agent {
            return Ok(());
        }
        match verdict.decision {
            // Nobody can answer what has ended.
            Decision::Hold if verdict.deadline.is_none_or(|end| end <= from.now) => {}
            Decision::Hold => {
                let (view, shown) = (from.view, &from.view.record(record.seq)?);
                if let Some(hold) = held(record, action, verdict, shown, view, &agent, session) {
                    self.holds.insert(record.seq, hold);
                }
            }
            Decision::Allow => {
                let approved = verdict.consumes.is_some();
                // Whatever touches a part is a mutation.
                let mutates = action.parts.is_some();
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
        Ok(())
    }

    /// Reads the policy that the log names last; none if it names none.
    pub(super) fn recorded_policy(&self, view: &View<'_>) -> Result<Option<InForce>> {
        let Some((seq, _)) = self.last_policy else {
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
