//! A hold: a call that waits for people, and what they said to it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tacho_policy::{Approver, Facts, Obligation, Request};
use tacho_schemas::body::work::{Class, Verdict};
use tacho_schemas::content::Field;
use tacho_schemas::record::{Record, Role};
use tacho_schemas::{Hash, Id, Seq, Time};
use tokio::sync::watch;

use super::rebuild::artefact;
use crate::read::{Shown, View};

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

/// Reads a hold out of its record; one whose salt or request is gone can no longer be answered.
pub(super) fn held(
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
