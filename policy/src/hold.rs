//! What a hold waits for, and which human fills which place.
//!
//! Each rule that holds a request asks for places: `k` of them, each for one human of a group. One human fills one place over all
//! rules that fire, whatever groups they are in and however many keys they have: who must be asked twice is not two people.
//! Finding out whether the humans who approved can fill all places is a matching in a graph of two sides, and Kuhn's algorithm
//! (augmenting paths) finds a largest one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use tacho_schemas::{Id, Seq};

use crate::facts::Approver;

/// The largest `k` of a rule.
pub const MAX_K: u64 = 32;

/// Places that one rule asks for.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Obligation {
    /// Whose approval counts that otherwise would not.
    pub accepts: Accepts,
    /// From which group.
    pub group: Id,
    /// How many distinct humans, 1 to [`MAX_K`].
    pub k: u64,
    /// The rule that asks.
    pub rule: Id,
    /// How long an approval lasts, in seconds.
    pub ttl_secs: Option<u64>,
}

/// Whose approval counts that otherwise would not (`@accepts` of the rule).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Accepts {
    /// The human who ordered the kill that is to be released.
    pub initiator: bool,
    /// The human who started the agent.
    pub launcher: bool,
    /// A key that the agent's user could use.
    pub weak: bool,
}

impl Obligation {
    /// Whether this approval may fill a place of this rule.
    pub fn takes(&self, approver: &Approver) -> bool {
        approver.groups.contains(&self.group)
            && (self.accepts.weak || !approver.weak)
            && (self.accepts.launcher || !approver.launcher)
            && (self.accepts.initiator || !approver.initiator)
    }
}

/// One place, and who fills it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The rule that asks.
    pub rule: Id,
    /// From which group.
    pub group: Id,
    /// The human who fills it, with the approval's record.
    pub by: Option<(Id, Seq)>,
}

/// All places of a hold, filled as well as can be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Places(Vec<Place>);

impl Places {
    /// Fills as many places as these approvals can. The result depends on nothing but the arguments.
    pub fn fill(obligations: &[Obligation], approvals: &[Approver]) -> Self {
        let mut humans: BTreeMap<&Id, Vec<&Approver>> = BTreeMap::new();
        for approval in approvals {
            humans.entry(&approval.human).or_default().push(approval);
        }
        let humans: Vec<_> = humans.into_values().collect();
        let asked: Vec<&Obligation> = obligations
            .iter()
            .flat_map(|o| (0..o.k.min(MAX_K)).map(move |_| o))
            .collect();
        let mut matching = Matching {
            edges: asked
                .iter()
                .map(|o| {
                    let fits = |h: &Vec<&Approver>| h.iter().any(|a| o.takes(a));
                    let fitting = humans.iter().enumerate().filter(|(_, h)| fits(h));
                    fitting.map(|(place, _)| place).collect()
                })
                .collect(),
            place_of: vec![None; humans.len()],
        };
        for place in 0..asked.len() {
            let mut seen = vec![false; humans.len()];
            matching.augment(place, &mut seen);
        }
        let mut places: Vec<Place> = asked
            .iter()
            .map(|o| Place {
                rule: o.rule.clone(),
                group: o.group.clone(),
                by: None,
            })
            .collect();
        for (human, place) in humans.iter().zip(&matching.place_of) {
            let Some(place) = place else { continue };
            let (Some(filled), Some(obligation)) = (places.get_mut(*place), asked.get(*place))
            else {
                continue;
            };
            let approval = human.iter().find(|a| obligation.takes(a));
            filled.by = approval.map(|a| (a.human.clone(), a.seq));
        }
        Self(places)
    }

    /// Whether every place is filled.
    pub fn is_full(&self) -> bool {
        self.0.iter().all(|p| p.by.is_some())
    }

    /// The places.
    pub fn as_slice(&self) -> &[Place] {
        &self.0
    }

    /// How many places of each group are filled.
    pub fn counts(&self) -> BTreeMap<&Id, u64> {
        let mut counts = BTreeMap::new();
        for place in self.0.iter().filter(|p| p.by.is_some()) {
            let count: &mut u64 = counts.entry(&place.group).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }

    /// How many places of each rule are still open, with its group.
    pub fn open(&self) -> BTreeMap<(&Id, &Id), u64> {
        let mut open = BTreeMap::new();
        for place in self.0.iter().filter(|p| p.by.is_none()) {
            let count: &mut u64 = open.entry((&place.rule, &place.group)).or_default();
            *count = count.saturating_add(1);
        }
        open
    }

    /// The approvals that fill places, each once, ascending.
    pub fn used(&self) -> Vec<Seq> {
        let mut used: Vec<_> = self
            .0
            .iter()
            .filter_map(|p| p.by.as_ref().map(|(_, seq)| *seq))
            .collect();
        used.sort_unstable();
        used
    }
}

/// A matching of places to humans, both by number.
struct Matching {
    /// The humans that fit each place.
    edges: Vec<Vec<usize>>,
    /// The place that each human fills.
    place_of: Vec<Option<usize>>,
}

impl Matching {
    /// Finds a human for a place; one who fills another may move on. At most one step per human deep.
    fn augment(&mut self, place: usize, seen: &mut [bool]) -> bool {
        let humans = self.edges.get(place).cloned().unwrap_or_default();
        for human in humans {
            let Some(seen_human) = seen.get_mut(human) else {
                continue;
            };
            if std::mem::replace(seen_human, true) {
                continue;
            }
            let held = self.place_of.get(human).copied().flatten();
            if held.is_none_or(|other| self.augment(other, seen)) {
                if let Some(slot) = self.place_of.get_mut(human) {
                    *slot = Some(place);
                }
                return true;
            }
        }
        false
    }
}
