//! What waits for humans: holds, and how far each one is.

use std::collections::BTreeSet;

use tacho_recorder::Error;
use tacho_recorder::filter::{Filter, Key, Pattern, Term};
use tacho_recorder::read::View;
use tacho_schemas::body::Body;
use tacho_schemas::body::human::Answer;
use tacho_schemas::body::work::Decision;
use tacho_schemas::content::Field;
use tacho_schemas::record::Via;
use tacho_schemas::{Hash, Kind, Seq, Time};

use super::Mind;
use crate::text::{said, said_lines};

/// Holds that are looked at, the newest.
const MOST: usize = 1000;

/// A request that a human must answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hold {
    pub(crate) seq: Seq,
    pub(crate) time: Time,
    pub(crate) who: String,
    pub(crate) tool: String,
    /// What it is about: a path, a command, or the first words.
    pub(crate) target: String,
    pub(crate) why: Option<String>,
    pub(crate) rules: String,
    /// Which group, how many of how many.
    pub(crate) quorum: Vec<(String, u64, u64)>,
    pub(crate) deadline: Option<Time>,
    /// What an answer is bound to.
    pub(crate) digest: Option<Hash>,
    /// All that goes into the tool, in lines: the agent's words.
    pub(crate) input: Vec<String>,
    /// Nothing has answered it yet.
    pub(crate) waits: bool,
    /// What answered it.
    pub(crate) end: Option<String>,
    /// It did not come through the gate: nobody waits for it here.
    pub(crate) is_claim: bool,
}

impl Hold {
    /// Whether an answer would still count.
    pub(crate) fn is_open(&self, now: Time) -> bool {
        self.waits && !self.is_claim && self.deadline.is_none_or(|deadline| deadline > now)
    }
}

impl Mind<'_> {
    /// The newest holds, the oldest first, those that wait before those that do not.
    pub(super) fn holds(&mut self) -> Result<Vec<Hold>, Error> {
        self.holds_before(u64::MAX)
    }

    /// The same, as they stood before a record.
    pub(super) fn holds_before(&mut self, before: u64) -> Result<Vec<Hold>, Error> {
        let hold = vec![Pattern::exact("hold")];
        let filter = Filter::Term(Term::Is(Key::Verdict, hold));
        let mut found = self.newest(&filter, before, MOST)?;
        found.retain(|shown| shown.in_tree);
        let view = View::new(&self.reader)?;
        let mut holds = Vec::new();
        for shown in found.iter().rev() {
            let Ok(record) = &shown.meaning else { continue };
            let Body::Action(action) = &record.body else {
                continue;
            };
            let Some(verdict) = &action.verdict else {
                continue;
            };
            let mut hold = Hold {
                seq: shown.seq,
                time: record.time,
                who: said(record.actor.id.as_str()),
                tool: said(action.tool.as_str()),
                target: said(target(shown)),
                why: shown
                    .text(Field::Summary)
                    .or(shown.text(Field::Reasoning))
                    .map(first_line),
                rules: said(&names(verdict.rules.iter().flatten())),
                quorum: Vec::new(),
                input: Vec::new(),
                deadline: verdict.deadline,
                digest: verdict.request_digest,
                waits: true,
                end: None,
                is_claim: !matches!(record.via, Via::Gate | Via::Recorder),
            };
            let mut signers = BTreeSet::new();
            for link in self.index.effects(shown.seq)? {
                if link.seq.0 >= before {
                    continue;
                }
                let Ok(later) = view.record(link.seq)?.meaning else {
                    continue;
                };
                match &later.body {
                    Body::Approval(approval) if approval.target == shown.seq => {
                        match approval.answer {
                            Answer::Approve => {
                                signers.insert(approval.act.key.to_string());
                            }
                            Answer::Reject => {
                                hold.waits = false;
                                hold.end = Some(format!("rejected by #{}", link.seq));
                            }
                        }
                    }
                    Body::Action(action) if later.kind == Kind::Action => {
                        let decision = action.verdict.as_ref().map(|v| v.decision);
                        let word = match decision {
                            Some(Decision::Allow) => "allowed",
                            Some(Decision::Deny) => "denied",
                            _ => continue,
                        };
                        hold.waits = false;
                        hold.end = Some(format!("{word} by #{}", link.seq));
                    }
                    _ => {}
                }
            }
            if hold.waits {
                hold.input = shown.text(Field::Input).map(laid_out).unwrap_or_default();
            }
            let given = u64::try_from(signers.len()).unwrap_or(u64::MAX);
            for obligation in verdict.obligations.iter().flatten() {
                let group = said(obligation.group.as_str());
                hold.quorum
                    .push((group, given.min(obligation.k), obligation.k));
            }
            holds.push(hold);
        }
        holds.sort_by_key(|hold| (!hold.waits, hold.seq));
        Ok(holds)
    }
}

fn target(shown: &tacho_recorder::read::Shown) -> &str {
    let fields = [Field::Path, Field::Command, Field::Input, Field::Summary];
    let found = fields.into_iter().find_map(|field| shown.text(field));
    found
        .and_then(|text| text.lines().next())
        .unwrap_or_default()
}

/// What goes into a tool: JSON field by field, and a text of several lines as the lines it has.
fn laid_out(input: &str) -> Vec<String> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(input) else {
        return said_lines(input);
    };
    let mut lines = Vec::new();
    for (name, value) in fields {
        let name = said(&name);
        match value {
            serde_json::Value::String(text) if text.trim_end().contains('\n') => {
                lines.push(format!("{name}:"));
                lines.extend(said_lines(&text).iter().map(|line| format!("  {line}")));
            }
            serde_json::Value::String(text) => {
                lines.push(format!("{name}: {}", said(text.trim_end_matches('\n'))));
            }
            other => lines.push(format!("{name}: {}", said(&other.to_string()))),
        }
    }
    lines
}

fn first_line(text: &str) -> String {
    said(
        text.lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or_default(),
    )
}

fn names<'a>(ids: impl Iterator<Item = &'a tacho_schemas::Id>) -> String {
    let ids: Vec<_> = ids.map(tacho_schemas::Id::as_str).collect();
    ids.join(", ")
}
