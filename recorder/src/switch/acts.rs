//! The records that the off switch leaves, as events.

use nix::unistd::geteuid;
use tacho_schemas::body::human::{Act, Drill, Kill, Lease, Release, Trigger};
use tacho_schemas::body::log::{Alarm, Severity};
use tacho_schemas::body::work::{Outcome, Status, Stop};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType, Auth, Via};
use tacho_schemas::scalar::Set;
use tacho_schemas::{Id, Seq};

use super::Target;
use crate::draft::Way;
use crate::error::Result;
use crate::run::Level;

/// A human's verb, by the user who runs it.
pub fn by_hand() -> Way {
    Way {
        via: Via::Human,
        auth: Some(Auth {
            uid: Some(geteuid().as_raw()),
            token: None,
            cell: None,
            key: None,
        }),
        import: None,
    }
}

/// Whoever runs a verb without a key: an opaque name, the user's number.
pub fn user() -> Result<Actor> {
    human(Id::new(format!("uid-{}", geteuid().as_raw()))?)
}

/// A human, by the name that the log knows.
pub fn human(id: Id) -> Result<Actor> {
    Ok(Actor {
        actor_type: ActorType::Human,
        id,
        model: None,
        on_behalf_of: None,
    })
}

fn recorder() -> Result<Actor> {
    crate::log::recorder_actor()
}

/// A kill as it was ordered. Times are of CLOCK_BOOTTIME, in ns.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// What is killed.
    pub target: Target,
    /// What engaged it.
    pub trigger: Trigger,
    /// Whether processes stay where they are.
    pub freeze: bool,
    /// When.
    pub t_order: u64,
    /// When the flag was durable.
    pub t_flag: Option<u64>,
    /// A signature, where a key was at hand.
    pub act: Option<Act>,
}

/// The switch is engaged.
pub fn kill(actor: Actor, ordered: &Ordered, reason: &str) -> Result<Event> {
    let (scope, target, about) = ordered.target.fields()?;
    let kill = Kill {
        t_order: Some(ordered.t_order),
        act: ordered.act.clone(),
        scope,
        target,
        about,
        trigger: ordered.trigger,
        freeze: ordered.freeze,
        t_flag: ordered.t_flag,
    };
    let mut event = Event::new(actor, kill).with(Field::Reason, reason);
    event.causes.extend(about);
    Ok(event)
}

/// Those who were killed have ended, or not.
pub fn stopped(kill: Seq, stop: Stop) -> Result<Event> {
    let outcome = Outcome {
        exit: None,
        signal: None,
        usage: None,
        of: Some(kill),
        status: Status::Killed,
        matched: None,
        stop: Some(stop),
    };
    let mut event = Event::new(recorder()?, outcome);
    event.causes.push(kill);
    Ok(event)
}

/// The switch is released.
pub fn release(
    actor: Actor,
    kill: Seq,
    approvals: Vec<Seq>,
    k: u64,
    single_person: bool,
    reason: &str,
) -> Result<Event> {
    let release = Release {
        consumes: match approvals.is_empty() {
            true => None,
            false => Some(Set::of(approvals.clone())?),
        },
        k,
        kill,
        single_person,
    };
    let mut event = Event::new(actor, release).with(Field::Reason, reason);
    event.causes.push(kill);
    event.causes.extend(approvals);
    Ok(event)
}

/// The switch was tried.
pub fn drill(level: Level, stop: Stop, passed: bool, detail: &str) -> Result<Event> {
    let drill = Drill {
        confinement: Some(level.confinement()),
        stop,
        passed,
    };
    Ok(Event::new(recorder()?, drill).with(Field::Detail, detail))
}

/// Work may go on until then.
pub fn lease(
    actor: Actor,
    target: &Target,
    until_mono: u64,
    renews: Option<Seq>,
    reason: &str,
) -> Result<Event> {
    let (scope, id, about) = target.fields()?;
    let lease = Lease {
        act: None,
        scope,
        target: id,
        about,
        until_mono,
        renews,
    };
    let mut event = Event::new(actor, lease).with(Field::Reason, reason);
    event.causes.extend(renews);
    event.causes.extend(about);
    Ok(event)
}

/// A flag of the switch was taken away without a release.
pub fn flag_gone(kill: Seq) -> Result<Event> {
    let alarm = Alarm {
        rule: Id::new("switch-flag-removed")?,
        severity: Severity::Critical,
    };
    let mut event = Event::new(recorder()?, alarm).with(
        Field::Detail,
        format!("the flag of kill {kill} was removed without a release, and is made again"),
    );
    event.causes.push(kill);
    Ok(event)
}
