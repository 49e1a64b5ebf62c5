//! Which policy is in force, and whether it lets another one take its place.

use std::collections::BTreeSet;
use std::sync::Arc;

use nix::unistd::geteuid;
use tacho_policy::policies::Preset;
use tacho_policy::{Act as Deed, Approver, Decision, Facts, Policies, Principal, Request, Verdict};
use tacho_schemas::body::human::{Answer, Approval};
use tacho_schemas::body::log::{Assurance, Policy};
use tacho_schemas::content::Field;
use tacho_schemas::event::{Attachment, Event};
use tacho_schemas::record::{Record, Role};
use tacho_schemas::scalar::Set;
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::{Hash, Id, Seq, Time};

use super::recorder;
use super::state::{InForce, State};
use crate::acts::Fold;
use crate::draft::Way;
use crate::enrol::Signer;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::read::View;

/// Which policy shall be in force.
#[derive(Debug)]
pub enum Wanted {
    /// The one that the log names; else `solo` or, where more people are enrolled, `standard`.
    AsRecorded,
    /// This preset.
    Preset(Preset),
    /// These rules, under a name.
    Rules(String, String),
}

impl Wanted {
    /// Reads the rules; none where those of the log are wanted.
    fn read(&self) -> Result<Option<(Policies, Option<Preset>)>> {
        let (policies, preset) = match self {
            Self::AsRecorded => return Ok(None),
            Self::Preset(preset) => (Policies::preset(*preset), Some(*preset)),
            Self::Rules(name, text) => (Policies::parse(name, text), None),
        };
        let policies = policies.map_err(|e| {
            Error::new(ErrorKind::Usage, format!("the policy cannot be used: {e}"))
                .with_hint("`tacho policy check` shows what is wrong")
        })?;
        Ok(Some((policies, preset)))
    }
}

/// Another policy in the place of the one in force: what people sign for. The statement's verb is `approve`, its target
/// `record`, its digest `wanted` and its policy `in_force`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Change {
    /// The record of the policy in force.
    pub record: Seq,
    /// Its digest.
    pub in_force: Hash,
    /// The digest of the wanted one.
    pub wanted: Hash,
}

impl Change {
    /// What a start with this policy changes; nothing where the log names none yet, or the same.
    pub fn of(acts: &Fold, wanted: &Wanted) -> Result<Option<Self>> {
        let (Some((record, in_force)), Some((policies, _))) = (acts.rules(), wanted.read()?) else {
            return Ok(None);
        };
        let change = Self {
            record,
            in_force,
            wanted: policies.digest(),
        };
        Ok((change.in_force != change.wanted).then_some(change))
    }
}

/// A policy that was replaced at a start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Changed {
    /// Its record.
    pub from: Seq,
    /// Whose signatures the change rests on; empty where it asked for none, or nobody is enrolled.
    pub by: Vec<Id>,
}

/// Somebody's yes to another policy.
pub(super) struct Yes {
    /// Who; whether they started an agent, is seen when it is counted.
    approver: Approver,
    key: Fingerprint,
    /// The user who brought it.
    uid: Option<u32>,
    /// Of the wanted policy.
    digest: Hash,
    at: Time,
    not_after: Time,
}

impl Yes {
    /// Of an approval that its human signed, for the policy in force.
    pub(super) fn of(record: &Record, approval: &Approval, signer: &Signer) -> Option<Self> {
        (approval.answer == Answer::Approve).then(|| Self {
            approver: Approver {
                groups: signer.groups.clone(),
                human: signer.holder.clone(),
                initiator: false,
                launcher: false,
                seq: record.seq,
                weak: approval.act.assurance.unwrap_or(Assurance::None) == Assurance::None,
            },
            key: approval.act.key,
            uid: record.auth.as_ref().and_then(|auth| auth.uid),
            digest: approval.request_digest,
            at: record.time,
            not_after: approval.not_after.unwrap_or(Time(i64::MIN)),
        })
    }

    fn counts(&self, state: &State, wanted: Hash, now: Time) -> bool {
        // A key that was taken from its holder since counts no more.
        let signer = state.enrolled.signer(&self.key);
        let holds = signer.is_some_and(|signer| signer.holder == self.approver.human);
        self.digest == wanted && now < self.not_after && holds
    }

    fn approver(&self, state: &State) -> Approver {
        let mut approver = self.approver.clone();
        let mut sessions = state.sessions.values();
        approver.launcher =
            sessions.any(|s| s.open && s.launcher.as_ref() == Some(&self.approver.human));
        // A key that is another user's is not used by an agent's user.
        let signer = state.enrolled.signer(&self.key);
        let other = signer.is_some_and(|s| s.assurance == Assurance::OtherUid);
        let mut users = state.sessions.values().filter_map(|s| s.uid);
        approver.weak |= other && users.any(|uid| Some(uid) == self.uid);
        approver
    }
}

/// Puts the wanted policy into force, and says so in the log if it was not before. Another policy than the one that the log names
/// comes only as that one lets it.
pub(super) fn put_in_force(
    log: &Log,
    view: &View<'_>,
    state: &mut State,
    wanted: Wanted,
    now: Time,
) -> Result<Option<Changed>> {
    let recorded = state.recorded_policy(view)?;
    let wanted = match (wanted.read()?, &recorded) {
        (Some((policies, _)), Some(in_force)) if policies.digest() == in_force.digest => None,
        (None, None) if state.enrolled.holders().len() > 1 => {
            Wanted::Preset(Preset::Standard).read()?
        }
        (None, None) => Wanted::Preset(Preset::Solo).read()?,
        (wanted, _) => wanted,
    };
    let mut changed = None;
    state.policy = match (wanted, recorded) {
        (Some((policies, preset)), in_force) => {
            let mut consumes = Vec::new();
            if let Some(in_force) = &in_force {
                let used = ask(state, in_force, &policies, now)?;
                let by;
                (consumes, by) = used.into_iter().unzip();
                let from = in_force.seq;
                changed = Some(Changed { from, by });
            }
            record(log, in_force.map(|p| p.seq), policies, preset, consumes)?
        }
        (None, Some(in_force)) => in_force,
        (None, None) => return Ok(None),
    };
    state.void_holds();
    Ok(changed)
}

/// Asks the policy in force; returns the approvals that the change rests on, and whose they are.
fn ask(state: &State, in_force: &InForce, wanted: &Policies, now: Time) -> Result<Vec<(Seq, Id)>> {
    let people = state.enrolled.holders().len();
    if people == 0 {
        // There is nobody who could sign: whoever starts the gate decides, as for the first policy.
        return Ok(Vec::new());
    }
    let digest = wanted.digest();
    let yes: Vec<&Yes> = state
        .yes
        .iter()
        .filter(|yes| yes.counts(state, digest, now))
        .collect();
    let mut asking: BTreeSet<(Id, Vec<Id>)> = yes
        .iter()
        .map(|yes| (yes.approver.human.clone(), yes.approver.groups.clone()))
        .collect();
    if asking.is_empty() {
        // Nobody is named who did not sign.
        asking.insert((Id::new(format!("uid-{}", geteuid().as_raw()))?, Vec::new()));
    }
    let mut refused: Option<Verdict> = None;
    for (human, groups) in asking {
        let request = Request::deed(
            Principal::Human(human),
            Deed::EditPolicy,
            digest.to_string(),
        );
        let mut facts = Facts {
            groups,
            single_person: people <= 1,
            ..Facts::default()
        };
        let asked = in_force.policies.decide(&request, &facts);
        // The shortest life that a rule gives, since one approval may have to serve any of them.
        let ttl = asked.obligations.iter().filter_map(|o| o.ttl_secs).min();
        let ttl = ttl.map(|secs| i64::try_from(secs).unwrap_or(i64::MAX));
        let lives = |yes: &&&Yes| {
            let end = ttl.map(|secs| secs.saturating_mul(1_000_000_000));
            end.is_none_or(|life| now.0 < yes.at.0.saturating_add(life))
        };
        facts.approvals = yes
            .iter()
            .filter(lives)
            .map(|yes| yes.approver(state))
            .collect();
        let verdict = in_force.policies.decide(&request, &facts);
        match verdict.decision {
            Decision::Allow => {
                // Where no rule counts approvals, one may have asked who it is.
                let mut used = verdict.used;
                if let Principal::Human(human) = &request.principal
                    && used.is_empty()
                {
                    let own = facts.approvals.iter().find(|a| a.human == *human);
                    used.extend(own.map(|a| a.seq));
                }
                let approvals = facts.approvals.into_iter();
                let used = approvals.filter(|a| used.contains(&a.seq));
                return Ok(used.map(|a| (a.seq, a.human)).collect());
            }
            // What more signatures could change is told rather than what nothing can.
            Decision::Hold => refused = Some(verdict),
            Decision::Deny(_) => refused = refused.or(Some(verdict)),
        }
    }
    let (kind, why) = match refused {
        Some(verdict) if verdict.decision == Decision::Hold => {
            (ErrorKind::Unapproved, verdict.reason)
        }
        Some(verdict) => (ErrorKind::Refused, verdict.reason),
        None => (ErrorKind::Refused, "nobody asked".to_owned()),
    };
    Err(Error::new(
        kind,
        format!(
            "the policy `{}` (record {}) stays in force; that `{}` takes its place {}{why}",
            in_force.policies.name(),
            in_force.seq,
            wanted.name(),
            match kind {
                ErrorKind::Unapproved => "",
                _ => "is denied: ",
            },
        ),
    ))
}

fn record(
    log: &Log,
    supersedes: Option<Seq>,
    policies: Policies,
    preset: Option<Preset>,
    consumes: Vec<Seq>,
) -> Result<InForce> {
    let digest = policies.digest();
    let mut event = Event::new(
        recorder()?,
        Policy {
            policy_digest: digest,
            consumes: match consumes.is_empty() {
                true => None,
                false => Some(Set::of(consumes.clone())?),
            },
            supersedes,
            preset: preset.map(|p| Id::new(p.name())).transpose()?,
        },
    )
    .with(Field::Name, policies.name().to_owned());
    event.causes.extend(supersedes);
    event.causes.extend(consumes);
    event.causes.sort_unstable();
    event.causes.dedup();
    event.artefacts.push(Attachment {
        role: Role::Policy,
        path: None,
        media_type: Some("text/x-cedar".to_owned()),
        unredacted_blake3: None,
        bytes: policies.bytes().to_vec(),
    });
    let seq = log.append(event, Way::recorder())?.seq;
    Ok(InForce {
        policies: Arc::new(policies),
        digest,
        seq,
    })
}
