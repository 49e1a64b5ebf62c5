//! A person's signed yes to what no hold asks for, as a record: the release of a kill, another policy.

use std::path::Path;

use tacho_recorder::acts::{self, About};
use tacho_recorder::enrol::Enrolled;
use tacho_recorder::switch::acts::{by_hand, human};
use tacho_recorder::{Clock as _, SystemClock};
use tacho_schemas::act::{Statement, Verb};
use tacho_schemas::body::human::{Act, Answer, Approval};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::scalar::Blob;
use tacho_schemas::sshsig::{self, HumanKey};
use tacho_schemas::{Hash, Id, Seq, Time};

use crate::cmd::approve::sign;
use crate::keep::Keeper;
use crate::place;
use crate::term::Failure;

/// What is signed for.
pub(crate) struct Yes<'a> {
    /// The kill, or the policy in force.
    pub(crate) target: Seq,
    /// The kill's leaf hash, or the wanted policy's digest.
    pub(crate) digest: Hash,
    /// The digest of the policy in force, where that matters.
    pub(crate) policy: Option<Hash>,
    /// How far the kill reaches.
    pub(crate) scope: Option<String>,
    /// How long it counts, in ns.
    pub(crate) life: i64,
    /// Why.
    pub(crate) reason: Option<&'a str>,
}

/// Has the person sign with the key (its file, and its public half), and writes that down.
pub(crate) fn approve(
    keeper: &Keeper<'_>,
    enrolled: &Enrolled,
    (file, key): (&Path, &HumanKey),
    yes: Yes<'_>,
) -> Result<(Seq, Id), Failure> {
    let mut nonce = [0; 16];
    place::random(&mut nonce)?;
    let begin = SystemClock::new()?.wall_ns();
    let statement = Statement {
        origin: keeper.origin.clone(),
        log_id: keeper.log_id,
        verb: Verb::Approve,
        target: Some(yes.target),
        digest: Some(yes.digest),
        policy: yes.policy,
        scope: yes.scope,
        not_before: Time(begin),
        not_after: Time(begin.saturating_add(yes.life)),
        nonce,
        key: key.fingerprint(),
    };
    let text = statement.to_string();
    let armoured = sign(file, &text)?;
    let mut act = Act {
        key: statement.key,
        assurance: None,
        statement: Blob::new(text.into_bytes())?,
        sshsig: Blob::new(sshsig::from_armoured(&armoured)?)?,
    };
    let about = About {
        origin: keeper.origin.clone(),
        log_id: keeper.log_id,
    };
    let signed = acts::open(&about, enrolled, &act).map_err(|why| {
        Failure::new(why).hint("`tacho approver list` shows who is enrolled with which key")
    })?;
    act.assurance = Some(signed.assurance);
    let holder = signed.signer.holder.clone();
    let approval = Approval {
        request_digest: yes.digest,
        target: yes.target,
        answer: Answer::Approve,
        not_after: Some(statement.not_after),
        act,
    };
    let mut event = Event::new(human(holder.clone())?, approval);
    if let Some(reason) = yes.reason {
        event = event.with(Field::Reason, reason);
    }
    event.causes.push(yes.target);
    let mut way = by_hand();
    if let Some(auth) = &mut way.auth {
        auth.key = Some(statement.key);
    }
    Ok((keeper.append(event, way)?, holder))
}
