//! Makes the files of the switch and the log say the same: for whoever opens a log to write, before anybody is let in.

use tacho_schemas::Seq;
use tacho_schemas::body::human::Trigger;
use tacho_schemas::body::work::Stop;
use tacho_schemas::event::Event;

use super::acts::{self, Ordered};
use super::standing::{Difference, Standing};
use super::{Switch, Target};
use crate::clock::Clock;
use crate::draft::Way;
use crate::error::Error;
use crate::read::View;
use crate::run::Card;
use crate::run::card::Ended;

/// Writes down what was ordered while the log could not be written, and makes flags again that somebody took away. What still runs
/// in a cell under such a flag is ended first. Says what it did, in sentences for people.
pub fn reconcile<E: From<Error>>(
    view: &View<'_>,
    switch: &Switch,
    clock: &dyn Clock,
    mut append: impl FnMut(Event, Way) -> Result<Seq, E>,
) -> Result<Vec<String>, E> {
    let mut said = Vec::new();
    for difference in Standing::read(view)?.differences(&switch.state()?) {
        match difference {
            Difference::FlagGone(open) => {
                switch.engage(&open.target)?;
                append(acts::flag_gone(open.seq)?, Way::recorder())?;
                said.push(format!(
                    "the flag of kill {} ({}) was removed without a release; it is made again",
                    open.seq, open.target
                ));
            }
            Difference::Unrecorded(target, _) => {
                let t_order = clock.boottime_ns();
                let ended = end(switch, &target);
                let ordered = Ordered {
                    target: target.clone(),
                    trigger: Trigger::Flag,
                    freeze: switch.wants_freeze(),
                    t_order,
                    t_flag: None,
                    act: None,
                };
                let kill = acts::kill(acts::user()?, &ordered, "the flag was found")?;
                let seq = append(kill, Way::recorder())?;
                let stop = Stop {
                    t_order,
                    t_empty: (ended.survivors == 0).then(|| clock.boottime_ns()),
                    processes: Some(ended.processes),
                    survivors: ended.survivors,
                };
                append(acts::stopped(seq, stop)?, Way::recorder())?;
                said.push(format!(
                    "the switch was found engaged for {target}; recorded as kill {seq}"
                ));
            }
        }
    }
    Ok(said)
}

/// Ends what runs in cells under a flag, unless it is to stand still; its supervisor does the same, if it still can.
fn end(switch: &Switch, target: &Target) -> Ended {
    let mut all = Ended::default();
    if switch.wants_freeze() {
        return all;
    }
    let cells = Card::all(switch.dir()).into_iter();
    for held in cells
        .filter(|card| card.is_under(target))
        .filter_map(|card| card.hold())
    {
        let ended = held.end();
        all.processes = all.processes.saturating_add(ended.processes);
        all.survivors = all.survivors.saturating_add(ended.survivors);
    }
    all
}
