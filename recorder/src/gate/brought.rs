//! What callers bring to be written down: claims of agents, and acts of people and of the verbs that they run.

use tacho_schemas::act::Verb;
use tacho_schemas::body::Body;
use tacho_schemas::body::human::{self, Trigger};
use tacho_schemas::body::log;
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::receipt::Receipt;
use tacho_schemas::record::Via;
use tacho_schemas::{Hash, Id, Kind, Seq};

use super::server::Door;
use super::wire::{Gap, Kill, Note, SwitchAct};
use super::{Gate, Peer, human_actor, recorder};
use crate::acts;
use crate::error::{Error, ErrorKind, Result};
use crate::switch::Target;

impl Gate {
    /// Appends what a caller brings as a claim.
    pub fn record(&self, peer: Peer, text: &str) -> Result<Receipt> {
        let mut event = Event::from_json(text.trim())?;
        if let Door::Session(session) = peer.door {
            let kind = event.body.kind();
            if !matches!(kind, Some(Kind::Message | Kind::Outcome | Kind::Evaluation)) {
                return Err(Error::new(
                    ErrorKind::Refused,
                    "an agent may append messages, outcomes and evaluations",
                )
                .with_hint("actions are asked for with `/v1/decide`"));
            }
            event.session = Some(session);
        }
        self.log.append(event, peer.way(Via::Api))
    }

    /// Writes an act of the off switch down, and looks at the switch anew.
    pub fn switch_act(&self, peer: Peer, act: SwitchAct) -> Result<Seq> {
        let field = match act.kind {
            Kind::Drill | Kind::Alarm => Field::Detail,
            Kind::Kill | Kind::Lease | Kind::Release | Kind::Approval | Kind::Outcome => {
                Field::Reason
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("a `{}` is no act of the off switch", act.kind),
                ));
            }
        };
        let mut json = serde_json::Deserializer::from_str(&act.body);
        let body = Body::deserialize_as(act.kind, &mut json)
            .map_err(|e| Error::new(ErrorKind::Usage, format!("in `body`: {e}")))?;
        let (actor, via) = match act.by {
            Some(id) => (human_actor(id), Via::Human),
            None => (recorder()?, Via::Recorder),
        };
        self.check_switch_act(&actor.id, &body)?;
        let mut event = Event::new(actor, body);
        if let (Some(text), true) = (act.text, act.kind != Kind::Outcome) {
            event = event.with(field, text);
        }
        event.causes = act.causes.unwrap_or_default();
        let seq = self.append(event, peer.way(via))?;
        self.look_at_switch();
        Ok(seq)
    }

    /// Whoever comes through the reviewers' door brings people's signatures, and makes none: each is checked before it is recorded.
    fn check_switch_act(&self, by: &Id, body: &Body) -> Result<()> {
        let act = match body {
            Body::Approval(approval) => Some(&approval.act),
            Body::Kill(kill) => kill.act.as_ref(),
            Body::Lease(lease) => lease.act.as_ref(),
            _ => None,
        };
        if act.is_none() && !matches!(body, Body::Release(_)) {
            return Ok(());
        }
        let refuse = |why: String| {
            let why = format!("it cannot be recorded: {why}");
            Err(Error::new(ErrorKind::Refused, why))
        };
        let mut fold = self.read(acts::Fold::read)?;
        let at = self.now();
        if let Body::Approval(approval) = body
            && !fold.is_kill(approval.target)
        {
            return refuse("holds are answered at `/v1/holds/{seq}/approve`".to_owned());
        }
        if let Err(why) = fold.judge(acts::Stated { by, at }, body) {
            return refuse(why);
        }
        let digest = act.map(|act| Hash::sha256(act.statement.as_slice()));
        match digest.is_none_or(|digest| self.lock().statements.insert(digest)) {
            true => Ok(()),
            false => refuse("this very statement was taken before; sign a new one".to_owned()),
        }
    }

    /// Takes a human's note about records. It changes nothing but what people see.
    pub fn note(&self, peer: Peer, note: Note) -> Result<Seq> {
        let usage = |why: &str| Err(Error::new(ErrorKind::Usage, why));
        let size = self.read(|view| Ok(view.size()))?;
        let Some(first) = note.about.first().copied() else {
            return usage("a note is about a record at least: `about` is empty");
        };
        if note.about.iter().any(|seq| seq.0 >= size) {
            return usage("there is no such record to be about");
        }
        if note.text.trim().is_empty() {
            return usage("a note says something: `text` is empty");
        }
        let signed = match &note.signed {
            Some(signed) => Some(self.check_act(signed, |statement| {
                let bound = (statement.verb, statement.target, statement.digest);
                let text = Hash::sha256(note.text.as_bytes());
                match bound == (Verb::Note, Some(first), Some(text)) {
                    true => Ok(()),
                    false => Err(Error::new(
                        ErrorKind::Refused,
                        "the statement says something else",
                    )),
                }
            })?),
            None => None,
        };
        let actor = match &signed {
            Some(checked) => human_actor(checked.holder.clone()),
            None => human_actor(Id::new(format!("uid-{}", peer.uid))?),
        };
        if let Some(checked) = &signed
            && !self.lock().statements.insert(checked.digest)
        {
            return usage("this very statement was taken before; sign a new one");
        }
        let mut event = Event::new(
            actor,
            human::Note {
                rule: note.rule,
                act: signed.map(|checked| checked.act),
                mark: note.mark,
            },
        )
        .with(Field::Text, note.text);
        event.causes = note.about;
        event.causes.sort_unstable();
        event.causes.dedup();
        self.append(event, peer.way(Via::Human))
    }

    /// Notes that something is known to be missing.
    pub fn gap(&self, peer: Peer, gap: Gap) -> Result<Seq> {
        let mut event = Event::new(
            recorder()?,
            log::Gap {
                gap: gap.gap,
                count: gap.count,
                since: None,
                until: None,
            },
        );
        if let Some(detail) = gap.detail {
            event = event.with(Field::Detail, detail);
        }
        event.session = gap.session;
        event.causes = gap.causes.unwrap_or_default();
        self.append(event, peer.way(Via::Recorder))
    }

    /// Engages the off switch: the flag first, then the record.
    pub fn kill(&self, peer: Peer, kill: Kill) -> Result<Seq> {
        let ordered = kill.t_order.unwrap_or_else(|| self.clock.boottime_ns());
        let target = Target::from_fields(kill.scope, kill.target.as_ref(), kill.about)
            .ok_or_else(|| Error::new(ErrorKind::Usage, "the scope names nothing to stop"))?;
        self.switch.engage(&target)?;
        let flagged = kill.t_flag.unwrap_or_else(|| self.clock.boottime_ns());
        // Who waits hears of it before the log does.
        self.look_at_switch();
        let signed = kill.signed.as_ref().map(|signed| {
            self.check_act(signed, |statement| {
                let scope = statement.scope.as_deref();
                match statement.verb == Verb::Kill && scope == Some(&*target.to_string()) {
                    true => Ok(()),
                    false => Err(Error::new(
                        ErrorKind::Refused,
                        "the statement says something else",
                    )),
                }
            })
        });
        // Who stops somebody stops them, whatever is wrong with the signature; but nobody is named who did not sign.
        let (signed, refused) = match signed {
            Some(Ok(checked)) => (Some(checked), None),
            Some(Err(refused)) => (None, Some(refused)),
            None => (None, None),
        };
        let actor = match &signed {
            Some(checked) => {
                self.lock().statements.insert(checked.digest);
                human_actor(checked.holder.clone())
            }
            None => human_actor(Id::new(format!("uid-{}", peer.uid))?),
        };
        let mut event = Event::new(
            actor,
            human::Kill {
                t_order: Some(ordered),
                act: signed.map(|checked| checked.act),
                scope: kill.scope,
                target: kill.target,
                about: kill.about,
                trigger: kill.trigger.unwrap_or(Trigger::Human),
                freeze: kill.freeze.unwrap_or(false),
                t_flag: Some(flagged),
            },
        );
        if let Some(reason) = kill.reason {
            event = event.with(Field::Reason, reason);
        }
        let seq = self.append(event, peer.way(Via::Human))?;
        match refused {
            None => Ok(seq),
            Some(refused) => Err(refused.with_hint(format!(
                "the kill stands all the same, and is recorded as {seq} without a signature"
            ))),
        }
    }
}
