//! A session as a trajectory in the Agent Trajectory Interchange Format (ATIF) 1.8.
//!
//! ```text
//! message ─▶ step    action ─▶ tool call of the step that asked for it    outcome ─▶ result beside the call
//! session ─▶ trajectory    session of a sub-agent ─▶ trajectory inside, named by the result that it stands for
//! ```
//!
//! What the format has no place for is counted, and the numbers of the records stand under `extra.tacho`, so that each step can be
//! looked up in the log.

mod document;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::json;
use serde_json::value::RawValue;
use tacho_schemas::body::Body;
use tacho_schemas::body::log::Phase;
use tacho_schemas::body::work::{Action, Message, Outcome, Session, Speaker, Usage};
use tacho_schemas::content::{Field, Slot};
use tacho_schemas::record::{ActorType, Record, Via};
use tacho_schemas::{Kind, Seq};

use super::trust;
use crate::error::{Error, ErrorKind, Result};
use crate::read::{Shown, View};

use document::{Agent, Metrics, Ref, Totals, Trajectory};

/// The version that is written.
pub const VERSION: &str = "ATIF-v1.8";

/// A session as a document.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The document, one JSON object with a line feed behind it.
    pub document: String,
    /// Records of the session and those of its sub-agents, by kind.
    pub counts: BTreeMap<Kind, u64>,
    /// Trajectories in the document.
    pub trajectories: u64,
    /// Steps in all of them.
    pub steps: u64,
    /// Tool calls in all of them.
    pub calls: u64,
    /// Results in all of them.
    pub results: u64,
    /// What the format cannot hold, by type.
    pub losses: BTreeMap<String, u64>,
}

/// A session that can be exported.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its opening record.
    pub seq: Seq,
    /// Its agent.
    pub agent: String,
    /// The id that it has in its source.
    pub source_id: Option<String>,
}

/// Finds all sessions that no other session started.
pub fn sessions(view: &View<'_>) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    view.of_kind(Kind::Session, |shown| {
        if let Ok(record) = &shown.meaning
            && let Body::Session(body) = &record.body
            && body.phase == Phase::Open
            && body.parent.is_none()
        {
            found.push(Found {
                seq: shown.seq,
                agent: body.agent.as_str().to_owned(),
                source_id: shown.text(Field::SourceId).map(str::to_owned),
            });
        }
        Ok::<(), Error>(())
    })?;
    Ok(found)
}

/// Exports a session with those of its sub-agents.
pub fn export(view: &View<'_>, session: Seq, software: &str) -> Result<Exported> {
    let first = view.record(session)?;
    let opens = matches!(&first.meaning, Ok(Record { body: Body::Session(body), .. }) if body.phase == Phase::Open);
    if !opens {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("record {session} does not open a session"),
        ));
    }
    let mut exporter = Exporter::new(session);
    view.records(session.0..view.size(), |shown| {
        let Ok(record) = &shown.meaning else {
            return Ok(());
        };
        if exporter.is_about(record) {
            trust(&shown)?;
            let format = match record.import.filter(|_| record.kind == Kind::Session) {
                Some(import) => format_of(view, import)?,
                None => None,
            };
            exporter.take(record, &shown, format.as_deref());
        }
        Ok::<(), Error>(())
    })?;
    let genesis = view.record(Seq(0))?;
    trust(&genesis)?;
    let origin = match &genesis.meaning {
        Ok(Record {
            body: Body::Genesis(body),
            ..
        }) => body.origin.to_string(),
        _ => String::new(),
    };
    exporter.finish(json!({
        "log": origin, "size": view.size(), "root": view.root(), "session": session, "software": software,
    }))
}

/// The format of the file that records come from.
fn format_of(view: &View<'_>, import: Seq) -> Result<Option<String>> {
    let shown = view.record(import)?;
    trust(&shown)?;
    Ok(match &shown.meaning {
        Ok(Record {
            body: Body::Import(body),
            ..
        }) => Some(body.format.as_str().to_owned()),
        _ => None,
    })
}

/// Where a record went.
#[derive(Clone, Copy)]
struct Place {
    trajectory: usize,
    step: usize,
    /// The tool call, if it became one.
    call: Option<usize>,
    /// The result, if it became one.
    result: Option<usize>,
}

/// A trajectory under way.
struct Under {
    seq: Seq,
    parent: Option<usize>,
    trajectory: Trajectory,
    /// What its source tells as lines of one turn is put together again.
    joins: bool,
    /// The source counts tokens read from a cache apart from the others.
    cache_apart: bool,
    /// The last record of the last step.
    last: Option<Seq>,
    call_ids: HashSet<String>,
}

struct Exporter {
    root: Seq,
    all: Vec<Under>,
    by_session: HashMap<Seq, usize>,
    places: HashMap<Seq, Place>,
    counts: BTreeMap<Kind, u64>,
    losses: BTreeMap<String, u64>,
}

impl Exporter {
    fn new(root: Seq) -> Self {
        Self {
            root,
            all: Vec::new(),
            by_session: HashMap::new(),
            places: HashMap::new(),
            counts: BTreeMap::new(),
            losses: BTreeMap::new(),
        }
    }

    fn lose(&mut self, what: impl Into<String>) {
        *self.losses.entry(what.into()).or_default() += 1;
    }

    /// Says whether a record belongs to the session or to one that it started.
    fn is_about(&self, record: &Record) -> bool {
        let known =
            |session: Option<Seq>| session.is_some_and(|s| self.by_session.contains_key(&s));
        match &record.body {
            Body::Session(body) if body.phase == Phase::Open => {
                record.seq == self.root || known(body.parent)
            }
            _ => known(record.session),
        }
    }

    fn take(&mut self, record: &Record, shown: &Shown, format: Option<&str>) {
        *self.counts.entry(record.kind).or_default() += 1;
        for slot in &shown.holes {
            match slot {
                Slot::Field(_) => self.lose("text_gone"),
                Slot::Artefact(_) => self.lose("artefact_gone"),
            }
        }
        for artefact in record.artefacts() {
            self.lose(format!("artefact:{}", artefact.role));
        }
        let end = record.claimed.as_ref().and_then(|c| c.end);
        if end.is_some() {
            self.lose("claimed_end");
        }
        let session = record
            .session
            .and_then(|s| self.by_session.get(&s))
            .copied();
        match (&record.body, session) {
            (Body::Session(body), _) if body.phase == Phase::Open => {
                self.session(record, body, shown, format);
            }
            (Body::Session(_), _) => self.lose("session_close"),
            (Body::Message(body), Some(at)) => self.message(record, body, shown, at),
            (Body::Action(body), Some(at)) => self.action(record, body, shown, at),
            (Body::Outcome(body), Some(at)) => self.outcome(record, body, shown, at),
            (Body::Mutation(body), Some(_)) => {
                self.lose("mutation");
                let place = body.action.and_then(|seq| self.places.get(&seq)).copied();
                let path = shown.text(Field::Path);
                let told = json!({ "record": record.seq, "change": body.change, "path": path });
                if let Some(step) = place.and_then(|place| self.step_at(place)) {
                    step.extra.tacho.mutations.push(told);
                }
            }
            _ => self.lose(record.kind.name()),
        }
    }

    fn step_at(&mut self, place: Place) -> Option<&mut document::Step> {
        let under = self.all.get_mut(place.trajectory)?;
        under.trajectory.steps.get_mut(place.step)
    }

    fn session(&mut self, record: &Record, body: &Session, shown: &Shown, format: Option<&str>) {
        let parent = body
            .parent
            .filter(|_| record.seq != self.root)
            .and_then(|seq| self.by_session.get(&seq))
            .copied();
        let named = shown.text(Field::Name).filter(|_| format == Some("atif"));
        let is_taken = |name: &str| {
            self.all
                .iter()
                .any(|u| u.trajectory.trajectory_id.as_deref() == Some(name))
        };
        let trajectory_id = named
            .filter(|name| !is_taken(name))
            .map_or_else(|| format!("tacho-{}", record.seq), str::to_owned);
        let harness = body.harness.as_ref().unwrap_or(&body.agent);
        let trajectory = Trajectory {
            schema_version: VERSION,
            session_id: shown.text(Field::SourceId).map(str::to_owned),
            trajectory_id: Some(trajectory_id.clone()),
            agent: Agent {
                name: body.agent.as_str().to_owned(),
                version: body
                    .harness_version
                    .as_ref()
                    .map_or("unknown", |v| v.as_str())
                    .to_owned(),
                model_name: record.actor.model.as_ref().map(ToString::to_string),
            },
            steps: Vec::new(),
            final_metrics: None,
            extra: None,
            subagent_trajectories: Vec::new(),
        };
        let lost = [Field::Workspace, Field::Goal, Field::Command, Field::Reason];
        for field in lost {
            if shown.text(field).is_some() {
                self.lose(format!("session:{field}"));
            }
        }
        // The result that the trajectory stands for names it.
        let result = record
            .causes()
            .iter()
            .filter_map(|seq| self.places.get(seq))
            .find(|place| Some(place.trajectory) == parent && place.result.is_some())
            .copied();
        if let Some(place) = result
            && let Some(step) = self.step_at(place)
            && let Some(result) = place.result.and_then(|at| step.results_mut().get_mut(at))
        {
            result.subagent_trajectory_ref.push(Ref { trajectory_id });
        }
        self.by_session.insert(record.seq, self.all.len());
        self.all.push(Under {
            seq: record.seq,
            parent,
            trajectory,
            joins: matches!(format, Some("claude-code" | "codex")),
            cache_apart: harness.as_str() == "claude-code",
            last: None,
            call_ids: HashSet::new(),
        });
    }

    /// Begins a step, and says which it is.
    fn begin(&mut self, record: &Record, at: usize, source: &'static str) -> usize {
        let claimed = record.claimed.as_ref().and_then(|c| c.start);
        // The time of an import says nothing about when something happened.
        let own = (record.via != Via::Import).then_some(record.time);
        let Some(under) = self.all.get_mut(at) else {
            return 0;
        };
        let steps = &mut under.trajectory.steps;
        let mut step = document::Step::new(steps.len() + 1, source);
        step.timestamp = claimed.or(own).map(|time| time.to_string());
        let is_agent = source == "agent";
        step.model_name = record
            .actor
            .model
            .as_ref()
            .filter(|_| is_agent)
            .map(ToString::to_string);
        steps.push(step);
        steps.len() - 1
    }

    fn remember(&mut self, record: &Record, place: Place) {
        if let Some(step) = self.step_at(place) {
            step.extra.tacho.records.push(record.seq.0);
        }
        if let Some(under) = self.all.get_mut(place.trajectory) {
            under.last = Some(record.seq);
        }
        self.places.insert(record.seq, place);
    }

    fn message(&mut self, record: &Record, body: &Message, shown: &Shown, at: usize) {
        let source = match body.speaker {
            Speaker::User => "user",
            Speaker::Assistant => "agent",
            Speaker::System => "system",
            Speaker::Tool => {
                self.lose("speaker_tool");
                "system"
            }
        };
        let text = shown.text(Field::Text);
        let reasoning = shown.text(Field::Reasoning);
        let step = match self.continues(record, reasoning.is_none(), body, at) {
            Some(step) => step,
            None => self.begin(record, at, source),
        };
        let place = Place {
            trajectory: at,
            step,
            call: None,
            result: None,
        };
        let is_agent = source == "agent";
        if !is_agent && reasoning.is_some() {
            self.lose("reasoning_of_others");
        }
        let metrics = match &body.usage {
            Some(usage) if is_agent => Some(self.metrics(usage, at)),
            Some(_) => {
                self.lose("usage_of_others");
                None
            }
            None => None,
        };
        if let Some(step) = self.step_at(place) {
            if let Some(text) = text {
                text.clone_into(&mut step.message);
            }
            step.reasoning_content = reasoning
                .filter(|_| is_agent)
                .map(str::to_owned)
                .or(step.reasoning_content.take());
            step.metrics = metrics.or(step.metrics.take());
        }
        self.remember(record, place);
    }

    /// The step that a message goes on with: thoughts and words of one turn may be records of their own.
    fn continues(
        &self,
        record: &Record,
        only_text: bool,
        body: &Message,
        at: usize,
    ) -> Option<usize> {
        let under = self.all.get(at).filter(|under| under.joins)?;
        let step = under.trajectory.steps.last()?;
        let follows = under
            .last
            .is_some_and(|last| record.causes().contains(&last));
        let fits = follows
            && only_text
            && body.speaker == Speaker::Assistant
            && step.source == "agent"
            && step.message.is_empty()
            && step.reasoning_content.is_some()
            && step.tool_calls.is_empty()
            && step.observation.is_none()
            && (body.usage.is_none() || step.metrics.is_none())
            && step.model_name.as_deref()
                == record.actor.model.as_ref().map(tacho_schemas::Id::as_str);
        fits.then(|| under.trajectory.steps.len() - 1)
    }

    fn metrics(&mut self, usage: &Usage, at: usize) -> Metrics {
        let apart = self.all.get(at).is_some_and(|under| under.cache_apart);
        let cached = usage.cache_read.unwrap_or(0);
        let written = usage.cache_write.unwrap_or(0);
        let prompt = match apart {
            // The format counts all tokens in, whether they came from a cache or not.
            true => usage
                .tokens_in
                .map(|tokens| tokens.saturating_add(cached).saturating_add(written)),
            false => usage.tokens_in,
        };
        let cost = usage.cost.as_ref().and_then(|cost| {
            let number = document::number(cost.as_str());
            if number.is_none() {
                self.lose("cost_not_a_number");
            }
            number
        });
        Metrics {
            prompt_tokens: prompt,
            completion_tokens: usage.tokens_out,
            cached_tokens: usage.cache_read,
            cost_usd: cost,
            extra: usage
                .cache_write
                .map(|tokens| json!({ "cache_creation_input_tokens": tokens })),
        }
    }

    fn action(&mut self, record: &Record, body: &Action, shown: &Shown, at: usize) {
        // The step that asked: what was said before, or another call beside this one.
        let step = record
            .causes()
            .iter()
            .filter_map(|seq| self.places.get(seq))
            .filter(|place| place.trajectory == at && place.result.is_none())
            .map(|place| place.step)
            .filter(|step| {
                let steps = self.all.get(at).map(|under| &under.trajectory.steps);
                steps
                    .and_then(|steps| steps.get(*step))
                    .is_some_and(|step| step.source == "agent")
            })
            .max();
        let step = match step {
            Some(step) => step,
            None => self.begin(record, at, "agent"),
        };
        let call_id = self.call_id(record, shown, at);
        let arguments = self.arguments(shown);
        let mut about = json!({ "record": record.seq });
        if let (Some(verdict), Some(about)) = (&body.verdict, about.as_object_mut()) {
            about.insert(
                "verdict".to_owned(),
                json!({
                    "decision": verdict.decision, "deny_kind": verdict.deny_kind, "rules": verdict.rules,
                }),
            );
        }
        self.rationale(record, body, shown, (at, step), &mut about);
        let place = Place {
            trajectory: at,
            step,
            call: None,
            result: None,
        };
        let call = self.step_at(place).map(|step| {
            step.tool_calls.push(document::Call {
                tool_call_id: call_id,
                function_name: body.tool.as_str().to_owned(),
                arguments,
                extra: json!({ "tacho": about }),
            });
            step.tool_calls.len() - 1
        });
        self.remember(record, Place { call, ..place });
    }

    /// A name for a call that no other call of the trajectory has.
    fn call_id(&mut self, record: &Record, shown: &Shown, at: usize) -> String {
        let own = shown
            .text(Field::SourceId)
            .map_or_else(|| format!("tacho-{}", record.seq), str::to_owned);
        let Some(under) = self.all.get_mut(at) else {
            return own;
        };
        if under.call_ids.insert(own.clone()) {
            return own;
        }
        let other = format!("{own}#{}", record.seq);
        under.call_ids.insert(other.clone());
        self.lose("call_id_repeated");
        other
    }

    /// What went in, as an object, as it was written where it is one.
    fn arguments(&mut self, shown: &Shown) -> Box<RawValue> {
        let text = shown.text(Field::Input).or(shown.text(Field::Request));
        let object = |text: &str| {
            let raw: Box<RawValue> = serde_json::from_str(text).ok()?;
            raw.get().starts_with('{').then_some(raw)
        };
        if let Some(raw) = text.and_then(object) {
            return raw;
        }
        let mut made = serde_json::Map::new();
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.lose("arguments_not_an_object");
            made.insert("input".to_owned(), text.into());
        } else {
            for (key, field) in [("command", Field::Command), ("path", Field::Path)] {
                if let Some(text) = shown.text(field) {
                    made.insert(key.to_owned(), text.into());
                }
            }
        }
        serde_json::value::to_raw_value(&made).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }

    /// What was said of a call and stands nowhere else in its step.
    fn rationale(
        &mut self,
        record: &Record,
        body: &Action,
        shown: &Shown,
        (at, step): (usize, usize),
        about: &mut serde_json::Value,
    ) {
        let Some(rationale) = &body.rationale else {
            return;
        };
        let mut told = serde_json::Map::new();
        let said = self
            .all
            .get(at)
            .and_then(|under| under.trajectory.steps.get(step))
            .map(|step| {
                (
                    step.message.as_str(),
                    step.reasoning_content.as_deref().unwrap_or_default(),
                )
            });
        let (message, reasoning) = said.unwrap_or_default();
        for (field, stands) in [
            (Field::Summary, message),
            (Field::Reasoning, reasoning),
            (Field::Goal, ""),
            (Field::ExpectedEffect, ""),
        ] {
            if let Some(text) = shown.text(field).filter(|text| *text != stands) {
                told.insert(field.name().to_owned(), text.into());
            }
        }
        if !told.is_empty() || record.via != Via::Import {
            told.insert("source".to_owned(), json!(rationale.source));
            if let Some(about) = about.as_object_mut() {
                about.insert("rationale".to_owned(), told.into());
            }
        }
        for (lost, is_there) in [
            ("rationale:evidence", rationale.evidence.is_some()),
            ("rationale:confidence", rationale.confidence.is_some()),
            (
                "rationale:alternatives",
                shown.row.text(Field::Alternatives).is_some(),
            ),
            (
                "rationale:provenance",
                shown.row.text(Field::Provenance).is_some(),
            ),
        ] {
            if is_there {
                self.lose(lost);
            }
        }
    }

    fn outcome(&mut self, record: &Record, body: &Outcome, shown: &Shown, at: usize) {
        let call = body
            .of
            .and_then(|seq| self.places.get(&seq))
            .filter(|place| place.trajectory == at && place.call.is_some())
            .copied();
        if body.of.is_some() && call.is_none() {
            self.lose("result_of_elsewhere");
        }
        let beside = || {
            let places = record
                .causes()
                .iter()
                .filter_map(|seq| self.places.get(seq));
            places
                .filter(|place| place.trajectory == at)
                .max_by_key(|p| p.step)
                .copied()
        };
        let step = match call.or_else(beside) {
            Some(place) => place.step,
            None => self.begin(record, at, "system"),
        };
        if body.usage.is_some() {
            self.lose("usage_of_others");
        }
        let mut place = Place {
            trajectory: at,
            step,
            call: None,
            result: None,
        };
        let content = shown.text(Field::Output).or(shown.text(Field::Error));
        if let Some(step) = self.step_at(place) {
            let source_call_id = call
                .and_then(|place| step.tool_calls.get(place.call?))
                .map(|call| call.tool_call_id.clone());
            let results = step.results_mut();
            results.push(document::Brought {
                source_call_id,
                content: content.map(str::to_owned),
                subagent_trajectory_ref: Vec::new(),
                extra: json!({ "tacho": {
                    "record": record.seq, "status": body.status, "exit": body.exit, "signal": body.signal,
                    "by": (record.actor.actor_type != ActorType::System).then_some(&record.actor.id),
                } }),
            });
            place.result = Some(results.len() - 1);
        }
        self.remember(record, place);
    }

    /// Puts the trajectories into each other, and holds what came out against what went in.
    fn finish(mut self, about: serde_json::Value) -> Result<Exported> {
        let counted = |kind| self.counts.get(&kind).copied().unwrap_or(0);
        let every = || self.all.iter().flat_map(|under| &under.trajectory.steps);
        let amount = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let calls = amount(every().map(|step| step.tool_calls.len()).sum());
        let results = amount(
            every()
                .filter_map(|step| step.observation.as_ref())
                .map(|o| o.results.len())
                .sum(),
        );
        let records = amount(every().map(|step| step.extra.tacho.records.len()).sum());
        let closed = self.losses.get("session_close").copied().unwrap_or(0);
        let expected = counted(Kind::Message) + counted(Kind::Action) + counted(Kind::Outcome);
        let trajectories = amount(self.all.len());
        if calls != counted(Kind::Action)
            || results != counted(Kind::Outcome)
            || records != expected
            || trajectories + closed != counted(Kind::Session)
        {
            let what = "the document would not hold what the session holds";
            return Err(Error::new(ErrorKind::Corrupt, what));
        }
        let steps = amount(every().count());
        let mut losses = std::mem::take(&mut self.losses);
        for under in &mut self.all {
            let (totals, lost) = Totals::of(&under.trajectory.steps);
            under.trajectory.final_metrics = Some(totals);
            if lost {
                *losses.entry("total_cost".to_owned()).or_default() += 1;
            }
        }
        // From the last to the first: a parent opens before its children.
        while let Some(mut under) = self.all.pop() {
            under.trajectory.subagent_trajectories.reverse();
            if let Some(parent) = under.parent.and_then(|at| self.all.get_mut(at)) {
                parent
                    .trajectory
                    .subagent_trajectories
                    .push(under.trajectory);
                continue;
            }
            let mut about = about;
            if let Some(about) = about.as_object_mut() {
                about.insert("not_held".to_owned(), json!(losses));
            }
            under.trajectory.extra = Some(json!({ "tacho": about }));
            let mut document = serde_json::to_string_pretty(&under.trajectory).map_err(|e| {
                let what = format!("record {} cannot be written as JSON", under.seq);
                Error::new(ErrorKind::Unrecordable, what).with_source(e)
            })?;
            document.push('\n');
            return Ok(Exported {
                document,
                counts: self.counts,
                trajectories,
                steps,
                calls,
                results,
                losses,
            });
        }
        Err(Error::new(ErrorKind::Missing, "there is no session"))
    }
}
