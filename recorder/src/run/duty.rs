//! What ends a cell from outside: the switch, and a lease that ran out. Asked by supervisor and warden, each by itself, from files.

use serde::{Deserialize, Serialize};
use tacho_schemas::{Id, Origin, Seq};

use crate::clock::Clock;
use crate::clock::SystemClock;
use crate::switch::lease::Freshness;
use crate::switch::{Engaged, Stop, Switch, Target, Who};

/// Whom a cell holds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Duty {
    /// The log whose switch it is.
    pub origin: Origin,
    /// The agent.
    pub agent: Option<Id>,
    /// Its session, and the sessions that started it.
    pub sessions: Vec<Seq>,
    /// Its lineage.
    pub lineages: Vec<Seq>,
    /// The arming it started under.
    pub epoch: u64,
    /// Whether it may only run while a lease for it is fresh. Without it, only leases that exist must be fresh.
    pub leased: bool,
}

/// Why a cell ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ending {
    /// The switch is engaged.
    Killed(Stop),
    /// A lease ran out, or the one that must be there is not.
    Lapsed(Target),
    /// The switch was engaged and released since: what ran before does not run on.
    Rearmed,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Killed(stop) => stop.fmt(f),
            Self::Lapsed(target) => write!(f, "the lease for {target} ran out"),
            Self::Rearmed => f.write_str("the off switch was engaged and released in the meantime"),
        }
    }
}

impl Duty {
    /// The question to ask the switch.
    pub fn who(&self) -> Who<'_> {
        Who {
            agent: self.agent.as_ref(),
            sessions: &self.sessions,
            lineages: &self.lineages,
            parts: &[],
        }
    }

    /// Says whether the cell must end now.
    pub fn ends(&self, switch: &Switch) -> Option<Ending> {
        match switch.engaged(self.who()) {
            Engaged::Yes(stop) => return Some(Ending::Killed(stop)),
            Engaged::No { epoch } if epoch != self.epoch => return Some(Ending::Rearmed),
            Engaged::No { .. } => {}
        }
        let targets = std::iter::once(Target::All)
            .chain(self.agent.iter().cloned().map(Target::Agent))
            .chain(self.sessions.iter().copied().map(Target::Session))
            .chain(self.lineages.iter().copied().map(Target::Lineage));
        // Without a clock nothing is fresh.
        let now = SystemClock::new()
            .map(|clock| (clock.boot_id(), clock.boottime_ns()))
            .ok();
        let mut fresh = false;
        for target in targets {
            match switch.lease(&target, now) {
                Freshness::None => {}
                Freshness::Fresh { .. } => fresh = true,
                Freshness::Lapsed => return Some(Ending::Lapsed(target)),
            }
        }
        if self.leased && !fresh {
            let own = self
                .sessions
                .first()
                .copied()
                .map_or(Target::All, Target::Session);
            return Some(Ending::Lapsed(own));
        }
        None
    }
}
