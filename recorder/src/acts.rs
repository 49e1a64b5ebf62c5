//! Whether the acts of people that a log holds are theirs.
//!
//! An approval, a signed kill, lease, note or erasure carries the statement that its human signed. Here each is held against whoever
//! was enrolled when it was written, and what rests on approvals against these: an allow after a hold, a release, a policy. The gate
//! asks the same before it counts an approval that it reads out of a log, and `tacho verify` asks it of all.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tacho_schemas::act::{NAMESPACE, Statement, Verb};
use tacho_schemas::body::Body;
use tacho_schemas::body::human::{Act, Answer, Approval, Release};
use tacho_schemas::body::log::{Assurance, Key, KeyRole, Policy};
use tacho_schemas::body::work::{Action, Decision};
use tacho_schemas::record::{Record, Via};
use tacho_schemas::sign::{self, PublicKey, Purpose};
use tacho_schemas::{Hash, Id, Kind, LogId, Origin, Seq, Time, tree};

use crate::enrol::{Enrolled, Signer};
use crate::error::Result;
use crate::read::View;
use crate::switch::Target;

/// How far a signer's clock may be ahead of the recorder's, in ns: 5 minutes.
pub const SKEW: i64 = 300_000_000_000;

/// Findings that are kept; more are counted.
const TOLD: usize = 64;

/// The log that a statement must name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct About {
    /// Its name.
    pub origin: Origin,
    /// Its genesis.
    pub log_id: LogId,
}

/// An act whose statement its holder signed.
#[derive(Debug)]
pub struct Signed<'a> {
    /// What was signed.
    pub statement: Statement,
    /// Whose key it is.
    pub signer: &'a Signer,
    /// What stands behind the signature: hardware that was not touched shows nothing.
    pub assurance: Assurance,
}

type Said<T> = std::result::Result<T, String>;

fn no<T>(why: impl Into<String>) -> Said<T> {
    Err(why.into())
}

/// Checks the statement of an act, and its signature by a key that is enrolled now. The error is a sentence.
pub fn open<'a>(about: &About, enrolled: &'a Enrolled, act: &Act) -> Said<Signed<'a>> {
    let bytes = act.statement.as_slice();
    let text = std::str::from_utf8(bytes).map_err(|_| "its statement is not text")?;
    let statement: Statement = text.parse().map_err(|e| format!("{e}"))?;
    if (&statement.origin, statement.log_id) != (&about.origin, about.log_id) {
        return no("its statement is about another log");
    }
    if statement.key != act.key {
        return no("its statement names another key than the record");
    }
    let Some(signer) = enrolled.signer(&act.key) else {
        return no(format!("nobody is enrolled with the key {}", act.key));
    };
    let made = signer
        .key
        .verify(NAMESPACE, bytes, act.sshsig.as_slice())
        .map_err(|e| e.to_string())?;
    let assurance = match (signer.assurance, made.touched) {
        (Assurance::Touch, false) => Assurance::None,
        (assurance, _) => assurance,
    };
    Ok(Signed {
        statement,
        signer,
        assurance,
    })
}

/// By whom a record is said to be, and when.
#[derive(Clone, Copy, Debug)]
pub struct Stated<'a> {
    /// The actor.
    pub by: &'a Id,
    /// The recorder's time.
    pub at: Time,
}

impl<'a> Stated<'a> {
    /// As a record says.
    pub fn of(record: &'a Record) -> Self {
        Self {
            by: &record.actor.id,
            at: record.time,
        }
    }
}

/// Checks an act as it is recorded: what is signed, by whom, and when.
fn recorded<'a>(
    about: &About,
    enrolled: &'a Enrolled,
    stated: Stated<'_>,
    act: &Act,
    verb: Verb,
) -> Said<Signed<'a>> {
    let signed = open(about, enrolled, act)?;
    let statement = &signed.statement;
    if statement.verb != verb {
        return no(format!("what was signed is `{}`", statement.verb.name()));
    }
    if *stated.by != signed.signer.holder {
        return no(format!(
            "it is said to be by `{}`, and the key is that of `{}`",
            stated.by, signed.signer.holder
        ));
    }
    if statement.not_after <= stated.at || statement.not_before.0.saturating_sub(SKEW) > stated.at.0
    {
        return no("its statement did not count when it was recorded");
    }
    // Less may stand behind a signature than behind its key: who brought it matters too.
    let said = act.assurance.unwrap_or(Assurance::None);
    if said != Assurance::None && said != signed.assurance {
        return no(format!(
            "it is said to have assurance `{said}`, and has `{}`",
            signed.assurance
        ));
    }
    Ok(signed)
}

/// Checks an approval or a rejection: that its human signed for exactly this.
pub fn approval<'a>(
    about: &About,
    enrolled: &'a Enrolled,
    stated: Stated<'_>,
    approval: &Approval,
) -> Said<Signed<'a>> {
    let verb = match approval.answer {
        Answer::Approve => Verb::Approve,
        _ => Verb::Reject,
    };
    let signed = recorded(about, enrolled, stated, &approval.act, verb)?;
    let statement = &signed.statement;
    let bound = (statement.target, statement.digest);
    if bound != (Some(approval.target), Some(approval.request_digest)) {
        return no("what was signed is about something else");
    }
    if approval
        .not_after
        .is_none_or(|end| end > statement.not_after)
    {
        return no("it is said to count for longer than was signed");
    }
    if signed.signer.role != KeyRole::Human {
        return no("its key is no human's");
    }
    Ok(signed)
}

/// An act that is not what it says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// The record.
    pub seq: Seq,
    /// What is wrong, in a sentence.
    pub why: String,
}

/// What was found.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Signed acts and enrolments that were checked.
    pub checked: u64,
    /// Kills, leases, notes and changes of the policy that nobody signed: a user gave them, and no key says who.
    pub unsigned: u64,
    /// How many are wrong.
    pub wrong: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether every act is what it says.
    pub fn is_good(&self) -> bool {
        self.wrong == 0
    }
}

/// A good approval, for what rests on it.
#[derive(Debug)]
struct Good {
    holder: Id,
    target: Seq,
    digest: Hash,
    not_after: Time,
}

/// What an approval of it must bind.
#[derive(Debug)]
struct Bound {
    digest: Hash,
    policy: Option<Hash>,
    /// Who ordered a kill: somebody else releases it.
    initiator: Option<Id>,
    /// Whether who ordered it signed for it.
    signed: bool,
}

/// Reads the records of a log in order, and judges the acts of people in them.
#[derive(Debug, Default)]
pub struct Fold {
    about: Option<About>,
    identity: Option<PublicKey>,
    enrolled: Enrolled,
    statements: BTreeSet<Hash>,
    /// Holds by their record, and kills.
    bound: BTreeMap<Seq, Bound>,
    /// The policy in force: its record, and its digest.
    rules: Option<(Seq, Hash)>,
    good: BTreeMap<Seq, Good>,
    used: BTreeSet<Seq>,
    report: Report,
}

impl Fold {
    /// Reads the acts of a whole log.
    pub fn read(view: &View<'_>) -> Result<Self> {
        let mut fold = Self::default();
        view.bare(0..view.size(), Self::is_about, |bytes, in_tree| {
            if in_tree && let Ok(record) = Record::decode(bytes) {
                fold.push(&record, bytes);
            }
            Ok(())
        })?;
        Ok(fold)
    }

    /// Whether records of this kind matter here.
    pub fn is_about(kind: Kind) -> bool {
        matches!(
            kind,
            Kind::Action
                | Kind::Approval
                | Kind::Erasure
                | Kind::Genesis
                | Kind::Key
                | Kind::Kill
                | Kind::Lease
                | Kind::Note
                | Kind::Policy
                | Kind::Release
        )
    }

    /// Takes the next record that matters. Claims by callers and files are passed over: they count for nobody.
    pub fn push(&mut self, record: &Record, bytes: &[u8]) {
        if let Body::Genesis(genesis) = &record.body {
            self.about.get_or_insert(About {
                origin: genesis.origin.clone(),
                log_id: LogId(Hash::sha256(bytes)),
            });
            self.identity.get_or_insert(genesis.identity_key);
        }
        if !matches!(record.via, Via::Gate | Via::Human | Via::Recorder) {
            return;
        }
        let stated = Stated::of(record);
        let judged = match &record.body {
            Body::Key(key) => self.key(record, key),
            Body::Action(action) => self.action(record, action),
            Body::Policy(policy) => self.policy(record, policy),
            Body::Kill(kill) => {
                let judged = self.judge(stated, &record.body);
                let bound = Bound {
                    digest: tree::leaf_hash(bytes),
                    policy: None,
                    initiator: Some(record.actor.id.clone()),
                    signed: kill.act.is_some() && judged.is_ok(),
                };
                self.bound.insert(record.seq, bound);
                judged
            }
            body => self.judge(stated, body),
        };
        if let (Body::Approval(approval), Ok(())) = (&record.body, &judged) {
            self.remember(record, approval);
        }
        if let Err(why) = judged {
            self.report.wrong = self.report.wrong.saturating_add(1);
            if self.report.findings.len() < TOLD {
                let seq = record.seq;
                self.report.findings.push(Finding { seq, why });
            }
        }
    }

    /// Judges an act that is recorded, or shall be.
    pub fn judge(&mut self, stated: Stated<'_>, body: &Body) -> Said<()> {
        match body {
            Body::Approval(approval) => self.approval(stated, approval),
            Body::Kill(kill) => {
                let target = Target::from_fields(kill.scope, kill.target.as_ref(), kill.about);
                self.reaches(stated, kill.act.as_ref(), Verb::Kill, target)
            }
            Body::Lease(lease) => {
                let target = Target::from_fields(lease.scope, lease.target.as_ref(), lease.about);
                self.reaches(stated, lease.act.as_ref(), Verb::Lease, target)
            }
            Body::Note(note) => match &note.act {
                Some(act) => self.signed(stated, act, Verb::Note).map(drop),
                None => self.unsigned(),
            },
            Body::Erasure(erasure) => self.signed(stated, &erasure.act, Verb::Erase).map(drop),
            Body::Release(release) => self.release(release, stated.at),
            _ => Ok(()),
        }
    }

    /// Whether a record is a kill.
    pub fn is_kill(&self, seq: Seq) -> bool {
        let bound = self.bound.get(&seq);
        bound.is_some_and(|bound| bound.initiator.is_some())
    }

    /// The policy in force: its record, and its digest.
    pub fn rules(&self) -> Option<(Seq, Hash)> {
        self.rules
    }

    /// What was found.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Everybody who is or was enrolled.
    pub fn enrolled(&self) -> &Enrolled {
        &self.enrolled
    }

    /// The good approvals of a hold or kill that count at this time and rest under nothing yet, one for each human.
    pub fn approvals_of(&self, target: Seq, at: Time) -> Vec<(Seq, Id)> {
        let mut found: Vec<(Seq, Id)> = Vec::new();
        for (seq, good) in &self.good {
            let counts = good.target == target && at < good.not_after && !self.used.contains(seq);
            if counts && !found.iter().any(|(_, holder)| *holder == good.holder) {
                found.push((*seq, good.holder.clone()));
            }
        }
        found
    }

    /// Who signed for a kill; none where nobody did.
    pub fn signed_for(&self, kill: Seq) -> Option<&Id> {
        let bound = self.bound.get(&kill).filter(|bound| bound.signed)?;
        bound.initiator.as_ref()
    }

    /// How many people the release of a kill needs at least, whatever the policy asks for.
    ///
    /// A kill needs no signature, so whoever ordered it may be one of those who sign: with another, it is never they alone. Who signed
    /// for it does not count, so of two people the other is enough.
    pub fn people_to_release(&self, kill: Seq) -> u64 {
        match (self.enrolled.holders().len(), self.signed_for(kill)) {
            (0, _) => 0,
            (1, _) | (2, Some(_)) => 1,
            _ => 2,
        }
    }

    /// Judges a release: by good approvals of its kill, from as many people as it says and as there must be.
    fn release(&mut self, release: &Release, at: Time) -> Said<()> {
        let consumes: Vec<Seq> = release.consumes.iter().flatten().copied().collect();
        let people = self.consume(at, &consumes, &[release.kill])?;
        let needed = self.people_to_release(release.kill);
        let several = self.enrolled.holders().len() > 1;
        let initiator = self.bound.get(&release.kill).map(|kill| &kill.initiator);
        if several
            && let Some(Some(initiator)) = initiator
            && let good = consumes.iter().filter_map(|seq| self.good.get(seq))
            && good.into_iter().any(|good| good.holder == *initiator)
        {
            return no("who ordered the kill is one of those who release it");
        }
        if release.single_person && several {
            return no("it is said to be by a single person, and more are enrolled");
        }
        let needed = if release.single_person {
            needed
        } else {
            needed.max(release.k)
        };
        match people < needed {
            true => no(format!(
                "it rests on {people} of the {needed} people that it needs"
            )),
            false => Ok(()),
        }
    }

    fn unsigned(&mut self) -> Said<()> {
        self.report.unsigned = self.report.unsigned.saturating_add(1);
        Ok(())
    }

    fn count(&mut self) {
        self.report.checked = self.report.checked.saturating_add(1);
    }

    /// An enrolment: only the identity key makes somebody's key count.
    fn key(&mut self, record: &Record, key: &Key) -> Said<()> {
        if !matches!(
            key.role,
            KeyRole::Human | KeyRole::Watchdog | KeyRole::Witness
        ) {
            return Ok(());
        }
        self.count();
        let Some(signature) = &key.signature else {
            return no("nobody vouches for this key: the identity key did not sign it");
        };
        let unsigned = record.encode_unsigned().map_err(|e| e.to_string())?;
        let verified = self.identity.is_some_and(|identity| {
            sign::verify(&identity, Purpose::Key, &unsigned, signature).is_ok()
        });
        if !verified {
            return no("the identity key did not sign this key");
        }
        self.enrolled.take(record);
        Ok(())
    }

    /// A statement is signed for one act, and stands in one record.
    fn once(&mut self, act: &Act) -> Said<()> {
        let digest = Hash::sha256(act.statement.as_slice());
        match self.statements.insert(digest) {
            true => Ok(()),
            false => no("its statement stands in an earlier record already"),
        }
    }

    fn about(&self) -> Said<&About> {
        let about = self.about.as_ref();
        about.ok_or_else(|| "the log has no genesis".to_owned())
    }

    fn signed(&mut self, stated: Stated<'_>, act: &Act, verb: Verb) -> Said<Statement> {
        self.count();
        let statement = recorded(self.about()?, &self.enrolled, stated, act, verb)?.statement;
        self.once(act)?;
        Ok(statement)
    }

    /// An act of the switch: if it is signed, it reaches as far as its human wanted.
    fn reaches(
        &mut self,
        stated: Stated<'_>,
        act: Option<&Act>,
        verb: Verb,
        target: Option<Target>,
    ) -> Said<()> {
        let Some(act) = act else {
            return self.unsigned();
        };
        let statement = self.signed(stated, act, verb)?;
        match statement.scope == target.map(|target| target.to_string()) {
            true => Ok(()),
            false => no("what was signed reaches elsewhere"),
        }
    }

    fn approval(&mut self, stated: Stated<'_>, body: &Approval) -> Said<()> {
        self.count();
        let signed = approval(self.about()?, &self.enrolled, stated, body)?;
        let bound = match (self.bound.get(&body.target), self.rules) {
            (Some(bound), _) => (bound.digest, bound.policy),
            // For another policy in the place of this one: which, its human says.
            (None, Some((seq, digest))) if seq == body.target => {
                (body.request_digest, Some(digest))
            }
            _ => return no(format!("record {} asks nobody for approval", body.target)),
        };
        if bound != (body.request_digest, signed.statement.policy) {
            return no(format!(
                "it binds something else than record {}",
                body.target
            ));
        }
        self.once(&body.act)
    }

    fn remember(&mut self, record: &Record, body: &Approval) {
        if body.answer == Answer::Approve {
            let good = Good {
                holder: record.actor.id.clone(),
                target: body.target,
                digest: body.request_digest,
                not_after: body.not_after.unwrap_or(Time(i64::MIN)),
            };
            self.good.insert(record.seq, good);
        }
    }

    fn action(&mut self, record: &Record, action: &Action) -> Said<()> {
        let Some(verdict) = &action.verdict else {
            return Ok(());
        };
        if record.via != Via::Gate {
            return Ok(());
        }
        if let (Decision::Hold, Some(digest)) = (verdict.decision, verdict.request_digest) {
            let bound = Bound {
                digest,
                policy: verdict.policy_digest,
                initiator: None,
                signed: false,
            };
            self.bound.insert(record.seq, bound);
        }
        let consumes: Vec<Seq> = verdict.consumes.iter().flatten().copied().collect();
        self.consume(record.time, &consumes, record.causes())
            .map(drop)
    }

    /// Another policy comes into force: in the place of the one that was, and by approvals of exactly this.
    fn policy(&mut self, record: &Record, policy: &Policy) -> Said<()> {
        let before = self.rules.replace((record.seq, policy.policy_digest));
        let before = before.map(|(seq, _)| seq);
        if policy.supersedes.is_some() && policy.supersedes != before {
            return no("it says that it replaces a policy which was not in force");
        }
        let consumes: Vec<Seq> = policy.consumes.iter().flatten().copied().collect();
        if consumes.is_empty() {
            return match before {
                Some(_) => self.unsigned(),
                None => Ok(()),
            };
        }
        let mut good = consumes.iter().filter_map(|seq| self.good.get(seq));
        if good.any(|good| good.digest != policy.policy_digest) {
            return no("it rests on an approval of another policy");
        }
        self.consume(record.time, &consumes, before.as_slice())
            .map(drop)
    }

    /// What rests on approvals: each is good, of one of `of`, in time, and used once. Returns how many people they are.
    fn consume(&mut self, at: Time, consumes: &[Seq], of: &[Seq]) -> Said<u64> {
        let mut people = BTreeSet::new();
        for seq in consumes {
            let Some(good) = self.good.get(seq) else {
                return no(format!(
                    "it rests on record {seq}, which is no good approval"
                ));
            };
            if !of.contains(&good.target) {
                return no(format!(
                    "it rests on approval {seq}, which is of something else"
                ));
            }
            if good.not_after <= at {
                return no(format!("it rests on approval {seq}, which had ended"));
            }
            if !people.insert(good.holder.clone()) {
                return no(format!("it rests twice on `{}`", good.holder));
            }
            if !self.used.insert(*seq) {
                return no(format!("it rests on approval {seq}, which was used before"));
            }
        }
        Ok(u64::try_from(people.len()).unwrap_or(u64::MAX))
    }
}
