//! What the log says of the switch, and what is to be done where the files say otherwise.
//!
//! The state is the files and the log together: a kill that was ordered while the log could not be written stands as a flag alone,
//! and a kill whose flag somebody removed stands in the log.

use std::collections::BTreeMap;

use tacho_schemas::Seq;
use tacho_schemas::body::Body;
use tacho_schemas::body::human::Trigger;
use tacho_schemas::record::{Record, Via};

use super::{Engaged, Found, State, Target};
use crate::error::Result;
use crate::read::View;
use tacho_schemas::Kind;

/// A kill that no release ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Open {
    /// Its record.
    pub seq: Seq,
    /// What is killed.
    pub target: Target,
    /// What engaged it.
    pub trigger: Trigger,
}

/// What a log says of its switch.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    open: BTreeMap<Seq, Open>,
    last_release: u64,
}

/// Files and log differ.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Difference {
    /// The log has an open kill and no flag stands: somebody removed it. Engage again, and raise an alarm that names the kill.
    FlagGone(Open),
    /// A flag stands, or the files are broken, and the log has no kill: record one with the trigger `flag`.
    Unrecorded(Target, Found),
}

impl Standing {
    /// Reads it out of a log.
    pub fn read(view: &View<'_>) -> Result<Self> {
        let mut standing = Self::default();
        let orders = |kind| matches!(kind, Kind::Kill | Kind::Release);
        view.bare(0..view.size(), orders, |bytes, in_tree| {
            if in_tree && let Ok(record) = Record::decode(bytes) {
                standing.take(record.seq, &record);
            }
            Ok(())
        })?;
        Ok(standing)
    }

    /// Takes the next record into account.
    pub fn take(&mut self, seq: Seq, record: &Record) {
        // A claim neither stops nor frees anybody.
        if !matches!(record.via, Via::Gate | Via::Human | Via::Recorder) {
            return;
        }
        match &record.body {
            Body::Kill(kill) => {
                let target = Target::from_fields(kill.scope, kill.target.as_ref(), kill.about);
                let open = Open {
                    seq,
                    // What this version cannot name it takes for everything.
                    target: target.unwrap_or(Target::All),
                    trigger: kill.trigger,
                };
                self.open.insert(seq, open);
            }
            Body::Release(release) if self.open.remove(&release.kill).is_some() => {
                self.last_release = seq.0;
            }
            _ => {}
        }
    }

    /// The kills that no release ended, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    /// The open kills of one target.
    pub fn of<'a>(&'a self, target: &'a Target) -> impl Iterator<Item = &'a Open> {
        self.open().filter(move |open| open.target == *target)
    }

    /// The newest release, 0 if there was none.
    pub fn last_release(&self) -> u64 {
        self.last_release
    }

    /// Says where the files differ.
    pub fn differences(&self, files: &State) -> Vec<Difference> {
        let all = matches!(files.all, Engaged::Yes(_));
        let stands = |target: &Target| match target {
            Target::All => all,
            target => files.killed.contains(target),
        };
        let gone = self
            .open()
            .filter(|open| !stands(&open.target))
            .cloned()
            .map(Difference::FlagGone);
        let mut found = gone.collect::<Vec<_>>();
        if let Engaged::Yes(stop) = &files.all
            && self.of(&Target::All).next().is_none()
        {
            found.push(Difference::Unrecorded(Target::All, stop.found));
        }
        for target in &files.killed {
            if self.of(target).next().is_none() {
                found.push(Difference::Unrecorded(target.clone(), Found::Flag));
            }
        }
        found
    }
}
