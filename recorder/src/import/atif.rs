//! Trajectories in the Agent Trajectory Interchange Format (ATIF): one document, with the sub-agents' trajectories inside.
//!
//! A step's words become a message, its calls actions, what it observed outcomes. Numbers and arguments are taken as they are
//! written. The format does not say whether a call went well, so its outcomes are of unknown status.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tacho_schemas::body::log::Phase;
use tacho_schemas::body::work::{Action, Message, Outcome, Session, Speaker, Status, Usage};
use tacho_schemas::content::{Field, Provenance};
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType, Claimed};
use tacho_schemas::scalar::Decimal;
use tacho_schemas::{Hash, Id, Seq};

use super::json::{Fault, Json};
use super::pieces::{agent, claimed, id, other};
use super::transcript::Why;
use super::{Known, Sink, lines};
use crate::error::{Error, ErrorKind, Quoted, Result};

/// The versions that are read.
const VERSIONS: [&str; 5] = [
    "ATIF-v1.4",
    "ATIF-v1.5",
    "ATIF-v1.6",
    "ATIF-v1.7",
    "ATIF-v1.8",
];

/// The longest document that is read: it is kept in memory.
const MAX_DOCUMENT: u64 = 256 << 20;

/// Trajectories within trajectories.
const MAX_DEPTH: usize = 16;

/// Says by what a file's beginning looks like a trajectory.
pub(super) fn looks_like(head: &str) -> Option<&'static str> {
    let (_, after) = head
        .trim_start()
        .strip_prefix('{')?
        .split_once("\"schema_version\"")?;
    let value = after.trim_start().strip_prefix(':')?.trim_start();
    value
        .starts_with("\"ATIF-")
        .then_some("its `schema_version` names ATIF")
}

/// A document of a version that is read.
#[derive(Debug)]
pub(super) struct Document {
    path: String,
    text: String,
    /// Bytes before the text that are not part of it.
    skipped: usize,
}

impl Document {
    /// Reads a document, and refuses what is none.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let refuse =
            |what: String| Error::new(ErrorKind::Usage, format!("{} {what}", Quoted(path)));
        let (file, length) = lines::open(path)?;
        if length > MAX_DOCUMENT {
            let what = format!("is longer than {} MiB", MAX_DOCUMENT >> 20);
            return Err(refuse(what));
        }
        let mut bytes = Vec::new();
        file.take(length)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::io("read", path, e))?;
        let mut text = String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8".to_owned()))?;
        let mut skipped = 0;
        if let Some(without) = text.strip_prefix('\u{feff}') {
            (text, skipped) = (without.to_owned(), '\u{feff}'.len_utf8());
        }
        let head: Head<'_> = serde_json::from_str(&text).map_err(|e| {
            let what = if e.is_data() {
                "is no ATIF document".to_owned()
            } else {
                format!("is not JSON: {e}")
            };
            refuse(what)
        })?;
        match head.schema_version.as_deref() {
            Some(version) if VERSIONS.contains(&version) => {}
            Some(version) if version.starts_with("ATIF-") => {
                let what = format!("is of version `{}`", version.escape_debug());
                return Err(refuse(what).with_hint(format!("read are {}", VERSIONS.join(", "))));
            }
            _ => {
                return Err(refuse(
                    "is no ATIF document: it has no `schema_version`".to_owned(),
                ));
            }
        }
        Ok(Self {
            path: path.display().to_string(),
            text,
            skipped,
        })
    }

    /// Reads its trajectories into the sink.
    pub(super) fn import(
        &self,
        sink: &mut Sink<'_>,
        known: &mut Known,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let length = u64::try_from(self.text.len()).unwrap_or(u64::MAX);
        let mut hasher = blake3::Hasher::new();
        if self.skipped > 0 {
            hasher.update("\u{feff}".as_bytes());
        }
        let mut prefix = Prefix {
            text: &self.text,
            at: 0,
            skipped: self.skipped,
            hasher,
        };
        let Some(root) = Object::read(&self.text, sink) else {
            sink.lose("trajectory_not_an_object");
            return Ok(());
        };
        let root = Trajectory::read(root, 0, &mut prefix, sink);
        let mut reader = Reader {
            path: &self.path,
            sink,
            known,
            delegated: HashMap::new(),
        };
        reader.trajectory(&root, None, &mut |at| progress(at, length))?;
        progress(length, length);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    schema_version: Option<Cow<'a, str>>,
}

/// An object whose values have not been read yet, in the order of the text.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    entries.push((key, value));
                }
                Ok(Object(entries))
            }
        }
        d.deserialize_map(Reader)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Object<'a> {
    /// Reads an object; keys that stand twice are counted, and the last of them counts.
    fn read(text: &'a str, sink: &mut Sink<'_>) -> Option<Self> {
        let mut object: Self = serde_json::from_str(text).ok()?;
        let mut seen = HashSet::new();
        object.0.reverse();
        object.0.retain(|(key, _)| {
            let is_new = seen.insert(key.clone());
            if !is_new {
                sink.lose("key_repeated");
            }
            is_new
        });
        object.0.reverse();
        Some(object)
    }

    /// Takes a value out; null is as good as none.
    fn take(&mut self, key: &str) -> Option<&'a RawValue> {
        let place = self.0.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.0.remove(place);
        (value.get() != "null").then_some(value)
    }

    /// Takes a text out.
    fn text(&mut self, key: &str, of: &str, sink: &mut Sink<'_>) -> Option<String> {
        let value = self.take(key)?;
        let text = serde_json::from_str(value.get()).ok();
        if text.is_none() {
            sink.lose(&format!("{of}:{key}"));
        }
        text
    }

    /// Takes a count out.
    fn count(&mut self, key: &str, of: &str, sink: &mut Sink<'_>) -> Option<u64> {
        let value = self.take(key)?;
        let count = value.get().parse().ok();
        if count.is_none() {
            sink.lose(&format!("{of}:{key}"));
        }
        count
    }

    /// Counts what was left in.
    fn lose_rest(self, of: &str, sink: &mut Sink<'_>) {
        for (key, value) in self.0 {
            if value.get() != "null" {
                sink.lose(&format!("{of}:{key}"));
            }
        }
    }
}

/// Reads a list of objects; what is none is counted.
fn objects<'a>(
    value: &'a RawValue,
    of: &str,
    sink: &mut Sink<'_>,
) -> Vec<(Object<'a>, &'a RawValue)> {
    let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
        sink.lose(&format!("{of}_not_a_list"));
        return Vec::new();
    };
    let mut found = Vec::with_capacity(values.len());
    for value in values {
        match Object::read(value.get(), sink) {
            Some(object) => found.push((object, value)),
            None => sink.lose(&format!("{of}_not_an_object")),
        }
    }
    found
}

/// BLAKE3 of the document up to a place, which only moves on.
struct Prefix<'a> {
    text: &'a str,
    at: usize,
    skipped: usize,
    hasher: blake3::Hasher,
}

impl Prefix<'_> {
    /// The place in the file where a value ends, and the hash up to there.
    fn of(&mut self, value: &RawValue) -> (u64, Hash) {
        let start = value.get().as_ptr().addr() - self.text.as_ptr().addr();
        let end = start + value.get().len();
        if let Some(more) = self.text.get(self.at..end) {
            self.hasher.update(more.as_bytes());
            self.at = end;
        }
        let offset = u64::try_from(self.at + self.skipped).unwrap_or(u64::MAX);
        (offset, Hash(*self.hasher.finalize().as_bytes()))
    }
}

/// A trajectory whose parts are found, in the order of the text.
struct Trajectory<'a> {
    about: Object<'a>,
    steps: Vec<(Object<'a>, (u64, Hash))>,
    inner: Vec<Self>,
}

impl<'a> Trajectory<'a> {
    fn read(
        mut about: Object<'a>,
        depth: usize,
        prefix: &mut Prefix<'_>,
        sink: &mut Sink<'_>,
    ) -> Self {
        let (mut steps, mut inner) = (Vec::new(), Vec::new());
        let order: Vec<_> = about.0.iter().map(|(key, _)| key.clone()).collect();
        for key in order {
            match key.as_ref() {
                "steps" => {
                    let Some(value) = about.take("steps") else {
                        continue;
                    };
                    for (step, raw) in objects(value, "step", sink) {
                        steps.push((step, prefix.of(raw)));
                    }
                }
                "subagent_trajectories" if depth < MAX_DEPTH => {
                    let Some(value) = about.take("subagent_trajectories") else {
                        continue;
                    };
                    for (sub, _) in objects(value, "subagent_trajectory", sink) {
                        inner.push(Self::read(sub, depth + 1, prefix, sink));
                    }
                }
                _ => {}
            }
        }
        Self {
            about,
            steps,
            inner,
        }
    }
}

struct Reader<'a, 'log> {
    path: &'a str,
    sink: &'a mut Sink<'log>,
    known: &'a mut Known,
    /// Which outcome stands for which trajectory, by its id.
    delegated: HashMap<String, Seq>,
}

/// What is the same for all records of a trajectory.
struct Context {
    session: Option<Seq>,
    agent: Id,
    model: Option<Id>,
    /// The last record.
    last: Option<Seq>,
    /// Calls by their id.
    calls: HashMap<String, Seq>,
}

/// What is the same for all records of a step.
struct Step {
    time: Option<Claimed>,
    agent: Actor,
    message: Option<Seq>,
}

impl Reader<'_, '_> {
    fn trajectory(
        &mut self,
        trajectory: &Trajectory<'_>,
        parent: Option<Seq>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let mut about = Object(trajectory.about.0.clone());
        about.take("schema_version");
        let trajectory_id = about.text("trajectory_id", "trajectory", self.sink);
        let session_id = about.text("session_id", "trajectory", self.sink);
        let mut told = about
            .take("agent")
            .and_then(|raw| Object::read(raw.get(), self.sink));
        let (mut name, mut version, mut model) = (None, None, None);
        if let Some(agent) = &mut told {
            name = agent.text("name", "agent", self.sink);
            version = agent.text("version", "agent", self.sink);
            model = agent.text("model_name", "agent", self.sink);
        } else {
            self.sink.lose("trajectory_without_agent");
        }
        if let Some(agent) = told {
            agent.lose_rest("agent", self.sink);
        }
        about.lose_rest("trajectory", self.sink);
        let agent_id = id(self.sink, name.as_deref().unwrap_or("unnamed"))?;
        let version = version.map(|v| id(self.sink, &v)).transpose()?;
        let model = model.map(|m| id(self.sink, &m)).transpose()?;
        let body = Session {
            phase: Phase::Open,
            agent: agent_id.clone(),
            harness: None,
            harness_version: version,
            lineage: None,
            parent,
            confinement: None,
            guards: None,
            exit: None,
            signal: None,
        };
        let mut event = Event::new(agent(agent_id.clone(), model.clone()), body);
        if let Some(text) = session_id.as_ref().or(trajectory_id.as_ref()) {
            event = event.with(Field::SourceId, text.as_str());
        }
        if let Some(text) = &trajectory_id {
            event = event.with(Field::Name, text.as_str());
        }
        let delegated = trajectory_id
            .as_ref()
            .and_then(|id| self.delegated.get(id))
            .copied();
        event.causes = delegated.or(parent).into_iter().collect();
        let session = self.sink.put(event)?;
        if let (Some(seq), Some(id)) = (session, session_id.or(trajectory_id)) {
            self.known.sessions.insert(id, seq);
        }
        let mut context = Context {
            session,
            agent: agent_id,
            model,
            last: session,
            calls: HashMap::new(),
        };
        for (step, (offset, prefix)) in &trajectory.steps {
            let place = Provenance {
                path: self.path.to_owned(),
                offset: *offset,
                prefix_blake3: *prefix,
            };
            self.step(Object(step.0.clone()), &mut context, &place)?;
            progress(*offset);
        }
        for inner in &trajectory.inner {
            self.trajectory(inner, session, progress)?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        mut step: Object<'_>,
        context: &mut Context,
        place: &Provenance,
    ) -> Result<()> {
        if step
            .take("is_copied_context")
            .is_some_and(|v| v.get() == "true")
        {
            self.sink.lose("step_copied_from_elsewhere");
            return Ok(());
        }
        let source = step.text("source", "step", self.sink);
        let speaker = match source.as_deref() {
            Some("user") => Speaker::User,
            Some("system") => Speaker::System,
            Some("agent") => Speaker::Assistant,
            other => {
                self.sink
                    .lose(&format!("step_of:{}", other.unwrap_or("nobody")));
                return Ok(());
            }
        };
        let step_id = step.take("step_id").map(|v| v.get().to_owned());
        let time = step.text("timestamp", "step", self.sink);
        let time = claimed(self.sink, time.as_deref());
        let model = step.text("model_name", "step", self.sink);
        let model = match model {
            Some(model) => Some(id(self.sink, &model)?),
            None => context.model.clone(),
        };
        let agent = agent(context.agent.clone(), model);
        let text = step
            .take("message")
            .map_or_else(String::new, |v| self.content(v, "message"));
        let reasoning = step
            .text("reasoning_content", "step", self.sink)
            .unwrap_or_default();
        let usage = step.take("metrics").and_then(|v| self.usage(v));
        let calls = step.take("tool_calls");
        let observation = step.take("observation");
        step.lose_rest("step", self.sink);

        let actor = match speaker {
            Speaker::User => other(ActorType::Human, "user")?,
            Speaker::Assistant => agent.clone(),
            _ => other(ActorType::System, context.agent.as_str())?,
        };
        let mut event = Event::new(actor, Message { speaker, usage });
        for (field, words) in [
            (Field::Text, text.as_str()),
            (Field::Reasoning, &reasoning),
            (Field::SourceId, step_id.as_deref().unwrap_or_default()),
        ] {
            if !words.is_empty() {
                event = event.with(field, words);
            }
        }
        let mut step = Step {
            time,
            agent,
            message: None,
        };
        step.message = self.put(event, context, &step.time, context.last)?;
        let mut last = step.message;
        if let Some(calls) = calls {
            let why = Why::new(&text, &reasoning, || place.clone())?;
            for (call, _) in objects(calls, "tool_call", self.sink) {
                last = self.call(call, context, &step, &why)?.or(last);
            }
        }
        if let Some(observation) = observation {
            last = self.observation(observation, context, &step)?.or(last);
        }
        context.last = last.or(context.last);
        Ok(())
    }

    /// The text of a message or result; parts that are none are counted.
    fn content(&mut self, value: &RawValue, of: &str) -> String {
        let Ok((content, repeated)) = Json::read(value.get()) else {
            self.sink.lose(&format!("{of}_not_understood"));
            return String::new();
        };
        for _ in 0..repeated {
            self.sink.lose("key_repeated");
        }
        match &content {
            Json::Text(text) => text.clone().into_owned(),
            Json::List(parts) => {
                let mut text = String::new();
                for part in parts {
                    match (part.text("type"), part.text("text")) {
                        (Some("text"), Some(more)) => super::transcript::join(&mut text, more),
                        (kind, _) => self
                            .sink
                            .lose(&format!("{of}_part:{}", kind.unwrap_or("unnamed"))),
                    }
                }
                text
            }
            _ => {
                self.sink.lose(&format!("{of}_not_understood"));
                String::new()
            }
        }
    }

    fn usage(&mut self, value: &RawValue) -> Option<Usage> {
        let Some(mut metrics) = Object::read(value.get(), self.sink) else {
            self.sink.lose("metrics_not_an_object");
            return None;
        };
        let tokens_in = metrics.count("prompt_tokens", "metrics", self.sink);
        let tokens_out = metrics.count("completion_tokens", "metrics", self.sink);
        let cache_read = metrics.count("cached_tokens", "metrics", self.sink);
        // As it is written: a cost that is read as a float is not the cost that was told.
        let cost = metrics
            .take("cost_usd")
            .and_then(|cost| match Decimal::new(cost.get()) {
                Ok(cost) if cost.is_finite() => Some(cost),
                _ => {
                    self.sink.lose("metrics:cost_usd");
                    None
                }
            });
        metrics.lose_rest("metrics", self.sink);
        let usage = Usage {
            tokens_in,
            tokens_out,
            cache_read,
            cache_write: None,
            cost,
        };
        let says_something =
            tokens_in.or(tokens_out).or(cache_read).is_some() || usage.cost.is_some();
        says_something.then_some(usage)
    }

    fn call(
        &mut self,
        mut call: Object<'_>,
        context: &mut Context,
        step: &Step,
        why: &Why,
    ) -> Result<Option<Seq>> {
        let call_id = call.text("tool_call_id", "tool_call", self.sink);
        let Some(name) = call.text("function_name", "tool_call", self.sink) else {
            self.sink.lose("call_without_name");
            return Ok(None);
        };
        let arguments = call.take("arguments");
        call.lose_rest("tool_call", self.sink);
        let body = Action {
            tool: id(self.sink, &name)?,
            class: None,
            effects: None,
            parts: None,
            rationale: Some(why.rationale.clone()),
            verdict: None,
        };
        let mut event = why.clone().tell(Event::new(step.agent.clone(), body));
        if let Some(arguments) = arguments {
            event = event.with(Field::Input, arguments.get());
            match Json::read(arguments.get()) {
                Ok((arguments, repeated)) => {
                    for _ in 0..repeated {
                        self.sink.lose("key_repeated");
                    }
                    let path = ["path", "file_path"]
                        .iter()
                        .find_map(|key| arguments.text(key));
                    let command = ["command", "cmd"]
                        .iter()
                        .find_map(|key| arguments.text(key));
                    for (field, words) in [(Field::Path, path), (Field::Command, command)] {
                        if let Some(words) = words {
                            event = event.with(field, words);
                        }
                    }
                }
                Err(Fault::TooDeep | Fault::TooLarge) => self.sink.lose("arguments_too_large"),
                Err(_) => self.sink.lose("arguments_not_understood"),
            }
        }
        if let Some(call_id) = &call_id {
            event = event.with(Field::SourceId, call_id.as_str());
        }
        let seq = self.put(event, context, &step.time, step.message)?;
        match (seq, call_id) {
            (Some(seq), Some(call_id)) => {
                if context.calls.insert(call_id, seq).is_some() {
                    self.sink.lose("call_id_repeated");
                }
            }
            _ => self.sink.lose("call_without_id"),
        }
        Ok(seq)
    }

    fn observation(
        &mut self,
        value: &RawValue,
        context: &mut Context,
        step: &Step,
    ) -> Result<Option<Seq>> {
        let Some(mut observation) = Object::read(value.get(), self.sink) else {
            self.sink.lose("observation_not_an_object");
            return Ok(None);
        };
        let results = observation.take("results");
        observation.lose_rest("observation", self.sink);
        let Some(results) = results else {
            self.sink.lose("observation_without_results");
            return Ok(None);
        };
        let mut last = None;
        for (mut result, _) in objects(results, "result", self.sink) {
            let call_id = result.text("source_call_id", "result", self.sink);
            let of = call_id
                .as_ref()
                .and_then(|id| context.calls.get(id))
                .copied();
            if call_id.is_some() && of.is_none() {
                self.sink.lose("result_without_call");
            }
            let content = result.take("content");
            let refs = result.take("subagent_trajectory_ref");
            result.lose_rest("result", self.sink);
            let body = Outcome {
                exit: None,
                signal: None,
                usage: None,
                of,
                status: Status::Unknown,
                matched: None,
                stop: None,
            };
            let mut event = Event::new(other(ActorType::System, context.agent.as_str())?, body);
            if let Some(content) = content {
                let text = self.content(content, "result");
                event = event.with(Field::Output, text);
            }
            if let Some(call_id) = &call_id {
                event = event.with(Field::SourceId, call_id.as_str());
            }
            let seq = self.put(event, context, &step.time, of.or(step.message))?;
            if let (Some(refs), Some(seq)) = (refs, seq) {
                self.delegations(refs, seq);
            }
            last = seq.or(last);
        }
        Ok(last)
    }

    /// Remembers which trajectories a result stands for.
    fn delegations(&mut self, refs: &RawValue, seq: Seq) {
        for (mut found, _) in objects(refs, "subagent_trajectory_ref", self.sink) {
            let of = "subagent_trajectory_ref";
            found.take("session_id");
            if let Some(trajectory_id) = found.text("trajectory_id", of, self.sink) {
                self.delegated.insert(trajectory_id, seq);
            }
            found.lose_rest(of, self.sink);
        }
    }

    fn put(
        &mut self,
        mut event: Event,
        context: &Context,
        time: &Option<Claimed>,
        cause: Option<Seq>,
    ) -> Result<Option<Seq>> {
        event.session = context.session;
        event.claimed.clone_from(time);
        event.causes = cause.into_iter().collect();
        self.sink.put(event)
    }
}
