//! Rollouts of Codex: one JSON object a line, `{timestamp, type, payload}`; the first ones had the items bare.
//!
//! What the model answered (`response_item`) comes first, what it took (`token_count`) right after, then what its calls brought. So an
//! answer is held until its usage is known or something else follows. Events that repeat an item are matched with it by their words.

mod patch;

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use tacho_schemas::body::change::{AppliedBy, Change, Known as KnownBy, Mutation};
use tacho_schemas::body::log::Phase;
use tacho_schemas::body::work::{Action, Class, Message, Outcome, Session, Speaker, Status, Usage};
use tacho_schemas::content::{Field, Provenance};
use tacho_schemas::event::{Attachment, Event};
use tacho_schemas::record::{ActorType, Claimed, Role};
use tacho_schemas::{Id, Seq};

use super::json::Json;
use super::lines::Lines;
use super::pieces::{agent, changed, claimed, id, other};
use super::transcript::{self, Why, join};
use super::{Known, Sink};
use crate::error::Result;

const AGENT: &str = "codex";

/// Events and items that wait for their double, at the most.
const UNMATCHED: usize = 64;

/// Types of lines that have a payload.
const TYPES: [&str; 5] = [
    "session_meta",
    "turn_context",
    "response_item",
    "event_msg",
    "compacted",
];

/// Says by what a file's beginning looks like a rollout.
pub(super) fn looks_like(head: &str) -> Option<&'static str> {
    let mut lines = head
        .lines()
        .take(20)
        .filter_map(|line| Json::read(line).ok());
    let (first, _) = lines.next()?;
    let wrapped = |line: &Json<'_>| {
        line.text("type").is_some_and(|kind| TYPES.contains(&kind))
            && line.get("payload").is_some_and(Json::is_object)
    };
    if wrapped(&first) || lines.any(|(line, _)| wrapped(&line)) {
        return Some("its lines have the types and payloads of a rollout");
    }
    is_bare_meta(&first).then_some("its first line has `id`, `timestamp` and `instructions`")
}

/// The first line of the first rollouts.
fn is_bare_meta(line: &Json<'_>) -> bool {
    let has = |key: &str| line.get(key).is_some();
    has("id") && has("timestamp") && has("instructions") && !has("type")
}

/// Reads a rollout into the sink.
pub(super) fn import(
    lines: Lines,
    path: &Path,
    sink: &mut Sink<'_>,
    known: &mut Known,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let mut reader = Reader {
        sink,
        known,
        path: path.display().to_string(),
        sessions: HashMap::new(),
        current: None,
        model: None,
        last: None,
        answer: Vec::new(),
        spoken: Spoken::default(),
        counted: None,
        calls: HashMap::new(),
        ended: HashMap::new(),
        doubles: Doubles::default(),
    };
    transcript::read(lines, &mut reader, progress)?;
    reader.flush(None)?;
    for event in std::mem::take(&mut reader.doubles.events) {
        reader.sink.lose(&format!("event:{}_alone", event.0));
    }
    for _ in 0..reader.calls.len() {
        reader.sink.lose("call_without_result");
    }
    Ok(())
}

struct Reader<'a, 'log> {
    sink: &'a mut Sink<'log>,
    known: &'a mut Known,
    path: String,
    /// By the id of the thread.
    sessions: HashMap<String, Seq>,
    current: Option<Seq>,
    model: Option<Id>,
    /// The last record of the conversation.
    last: Option<Seq>,
    /// What the model answered, as long as its usage is not known.
    answer: Vec<Item>,
    /// What it said in the answer so far.
    spoken: Spoken,
    /// The total that was counted last: it is told again and again.
    counted: Option<String>,
    /// Tool calls whose result has not come.
    calls: HashMap<String, Call>,
    /// How calls ended, as events say before the result comes.
    ended: HashMap<String, End>,
    doubles: Doubles,
}

/// What the model thought and said in one answer.
#[derive(Default)]
struct Spoken {
    thinking: String,
    text: String,
}

/// A part of the model's answer that waits.
enum Item {
    Said {
        field: Field,
        text: String,
        id: Option<String>,
        time: Option<Claimed>,
    },
    Called {
        call: Box<Asked>,
        time: Option<Claimed>,
    },
}

/// A tool call, as the model asked for it.
struct Asked {
    tool: String,
    input: String,
    call_id: Option<String>,
    path: Option<String>,
    command: Option<String>,
    described: String,
    patch: Option<String>,
    /// No result will come.
    alone: bool,
    place: Provenance,
}

/// A tool call on its way.
struct Call {
    action: Seq,
    session: Option<Seq>,
    patch: Option<(String, Why)>,
}

/// How a call ended.
#[derive(Clone, Copy, Default)]
struct End {
    exit: Option<i64>,
    good: Option<bool>,
}

impl transcript::Transcript for Reader<'_, '_> {
    fn object(&mut self, line: &Json<'_>, lines: &Lines) -> Result<()> {
        let time = claimed(self.sink, line.text("timestamp"));
        let kind = line.text("type");
        match (kind, line.get("payload")) {
            (Some("session_meta"), Some(meta)) => self.meta(meta, time),
            (Some("turn_context"), Some(context)) => self.context(context),
            (Some("response_item"), Some(item)) => self.item(item, time, lines),
            (Some("event_msg"), Some(event)) => self.event(event, time),
            (Some("compacted"), Some(compacted)) => self.compacted(compacted, time),
            (Some(kind), Some(_)) => {
                self.sink.lose(&format!("line:{kind}"));
                Ok(())
            }
            (Some(_), None) => self.item(line, time, lines),
            (None, _) if is_bare_meta(line) => self.meta(line, time),
            (None, _) if line.text("record_type").is_some() => {
                self.sink.lose("line:state");
                Ok(())
            }
            (None, _) => {
                self.sink.lose("line_without_type");
                Ok(())
            }
        }
    }

    fn lose(&mut self, what: &str) {
        self.sink.lose(what);
    }
}

impl Reader<'_, '_> {
    /// Opens the session that a rollout is about.
    fn meta(&mut self, meta: &Json<'_>, time: Option<Claimed>) -> Result<()> {
        self.flush(None)?;
        let thread = meta.text("id").unwrap_or("unnamed");
        if self.sessions.contains_key(thread) {
            self.sink.repeat("session_meta");
            return Ok(());
        }
        let spawned = meta.get("source").and_then(|source| source.get("subagent"));
        let parent_id = spawned
            .and_then(|sub| sub.get("thread_spawn"))
            .and_then(|spawn| spawn.text("parent_thread_id"))
            .or_else(|| meta.text("forked_from_id"));
        if self.current.is_some() {
            // A fork repeats what it was forked from, with its parent's own first line.
            self.sink.lose("session_meta_of_another_session");
            return Ok(());
        }
        let parent = parent_id
            .and_then(|id| self.known.sessions.get(id))
            .copied();
        if (spawned.is_some() || parent_id.is_some()) && parent.is_none() {
            self.sink.lose("parent_session_not_in_file");
        }
        let version = match meta.text("cli_version") {
            Some(version) => Some(id(self.sink, version)?),
            None => None,
        };
        let body = Session {
            phase: Phase::Open,
            agent: Id::new(AGENT)?,
            harness: Some(Id::new(AGENT)?),
            harness_version: version,
            lineage: None,
            parent,
            confinement: None,
            guards: None,
            exit: None,
            signal: None,
        };
        let mut event =
            Event::new(agent(Id::new(AGENT)?, None), body).with(Field::SourceId, thread);
        for (field, key) in [(Field::Workspace, "cwd"), (Field::Name, "agent_nickname")] {
            if let Some(text) = meta.text(key) {
                event = event.with(field, text);
            }
        }
        event.causes = parent.into_iter().collect();
        event.claimed.clone_from(&time);
        let seq = self.sink.put(event)?;
        self.current = seq;
        self.last = seq;
        if let Some(seq) = seq {
            self.sessions.insert(thread.to_owned(), seq);
            self.known.sessions.insert(thread.to_owned(), seq);
        }
        self.count_rest(
            "session_meta",
            meta,
            &[
                "id",
                "timestamp",
                "cwd",
                "agent_nickname",
                "cli_version",
                "instructions",
                "base_instructions",
                "forked_from_id",
            ],
        );
        // What the agent was told before anybody spoke belongs to what it is.
        let told = meta
            .get("base_instructions")
            .and_then(|base| base.text("text"))
            .or_else(|| meta.text("instructions"));
        match told {
            Some(text) if !text.is_empty() => self.told(text, time),
            _ => Ok(()),
        }
    }

    /// What holds for the following turns.
    fn context(&mut self, context: &Json<'_>) -> Result<()> {
        self.flush(None)?;
        if let Some(model) = context.text("model") {
            self.model = Some(id(self.sink, model)?);
        }
        self.count_rest("turn_context", context, &["model", "turn_id", "cwd"]);
        Ok(())
    }

    /// Counts what is known to stand in an object and has no place in a record.
    fn count_rest(&mut self, of: &str, object: &Json<'_>, kept: &[&str]) {
        for (key, value) in object.entries() {
            if !value.is_null() && !kept.contains(&key.as_ref()) {
                self.sink.lose(&format!("{of}:{key}"));
            }
        }
    }

    fn item(&mut self, item: &Json<'_>, time: Option<Claimed>, lines: &Lines) -> Result<()> {
        // The oldest samples leave the type of a message out.
        let kind = item
            .text("type")
            .or_else(|| item.get("role").and(item.get("content")).map(|_| "message"));
        match kind {
            Some("message") => self.message(item, time),
            Some("reasoning") => {
                self.reasoning(item, time);
                Ok(())
            }
            Some("function_call" | "custom_tool_call" | "local_shell_call" | "web_search_call") => {
                self.ask(item, time, lines);
                Ok(())
            }
            Some("function_call_output" | "custom_tool_call_output") => self.result(item, time),
            Some("compaction" | "compaction_summary" | "context_compaction") => {
                self.sink.lose("compaction_sealed");
                Ok(())
            }
            Some(kind) => {
                self.sink.lose(&format!("item:{kind}"));
                Ok(())
            }
            None => {
                self.sink.lose("item_without_type");
                Ok(())
            }
        }
    }

    fn message(&mut self, item: &Json<'_>, time: Option<Claimed>) -> Result<()> {
        let text = match item.get("content") {
            Some(Json::Text(text)) => text.clone().into_owned(),
            Some(Json::List(parts)) => self.parts("message", parts),
            _ => {
                self.sink.lose("message_without_content");
                return Ok(());
            }
        };
        let (speaker, event) = match item.text("role") {
            Some("assistant") => {
                self.double("agent_message", &text, false);
                self.answer.push(Item::Said {
                    field: Field::Text,
                    text,
                    id: item.text("id").map(str::to_owned),
                    time,
                });
                return Ok(());
            }
            Some("user") => (Speaker::User, Some("user_message")),
            Some("developer" | "system") => (Speaker::System, None),
            role => {
                self.sink
                    .lose(&format!("message_of:{}", role.unwrap_or("nobody")));
                return Ok(());
            }
        };
        self.flush(None)?;
        if let Some(event) = event {
            self.double(event, &text, false);
        }
        let actor = match speaker {
            Speaker::User => other(ActorType::Human, "user")?,
            _ => other(ActorType::System, AGENT)?,
        };
        let event = Event::new(
            actor,
            Message {
                speaker,
                usage: None,
            },
        )
        .with(Field::Text, text);
        self.put(event, time, self.last)?;
        Ok(())
    }

    /// The text of parts; others are counted.
    fn parts(&mut self, of: &str, parts: &[Json<'_>]) -> String {
        let mut text = String::new();
        for part in parts {
            match (part.text("type"), part.text("text")) {
                (
                    Some("input_text" | "output_text" | "text" | "summary_text" | "reasoning_text"),
                    Some(more),
                ) => join(&mut text, more),
                (kind, _) => self
                    .sink
                    .lose(&format!("{of}_part:{}", kind.unwrap_or("unnamed"))),
            }
        }
        text
    }

    fn reasoning(&mut self, item: &Json<'_>, time: Option<Claimed>) {
        if item.text("encrypted_content").is_some() {
            self.sink.lose("reasoning_sealed");
        }
        let mut text = String::new();
        for key in ["summary", "content"] {
            for part in item.list(key).unwrap_or_default() {
                let more = self.parts("reasoning", std::slice::from_ref(part));
                self.double("agent_reasoning", &more, false);
                join(&mut text, &more);
            }
        }
        if text.is_empty() {
            return;
        }
        self.answer.push(Item::Said {
            field: Field::Reasoning,
            text,
            id: item.text("id").map(str::to_owned),
            time,
        });
    }

    fn ask(&mut self, item: &Json<'_>, time: Option<Claimed>, lines: &Lines) {
        let place = Provenance {
            path: self.path.clone(),
            offset: lines.end(),
            prefix_blake3: lines.prefix_hash(),
        };
        let mut call = Asked {
            tool: String::new(),
            input: String::new(),
            call_id: item
                .text("call_id")
                .or_else(|| item.text("id"))
                .map(str::to_owned),
            path: None,
            command: None,
            described: item.text("summary").unwrap_or_default().to_owned(),
            patch: None,
            alone: false,
            place,
        };
        match item.text("type") {
            Some("local_shell_call") => {
                call.tool = "local_shell".to_owned();
                let action = item.get("action").unwrap_or(&Json::Null);
                call.input = action.to_text();
                call.learn(action);
            }
            Some("web_search_call") => {
                call.tool = "web_search".to_owned();
                call.input = item.get("action").map_or_else(String::new, Json::to_text);
                call.alone = true;
            }
            kind => {
                let Some(name) = item.text("name") else {
                    self.sink.lose("call_without_name");
                    return;
                };
                call.tool = name.to_owned();
                let input = match kind {
                    Some("custom_tool_call") => item.get("input"),
                    _ => item.get("arguments"),
                };
                call.input = match input {
                    Some(Json::Text(text)) => text.clone().into_owned(),
                    Some(other) => other.to_text(),
                    None => {
                        self.sink.lose("call_without_input");
                        String::new()
                    }
                };
                if name == "apply_patch" && call.input.contains(patch::BEGIN) {
                    call.patch = Some(call.input.clone());
                }
                let input = std::mem::take(&mut call.input);
                // Arguments are JSON in a text; what is none (a patch, redacted words) is kept as it is.
                if let Ok((arguments, _)) = Json::read(&input) {
                    call.learn(&arguments);
                }
                call.input = input;
            }
        }
        if call.call_id.is_none() && !call.alone {
            self.sink.lose("call_without_id");
        }
        self.answer.push(Item::Called {
            call: Box::new(call),
            time,
        });
    }

    /// Makes records of what the model answered.
    fn flush(&mut self, mut usage: Option<Usage>) -> Result<()> {
        let answer = std::mem::take(&mut self.answer);
        let only_calls = !answer.iter().any(|item| matches!(item, Item::Said { .. }));
        if only_calls && usage.is_some() {
            let time = answer.iter().find_map(|item| match item {
                Item::Said { time, .. } | Item::Called { time, .. } => time.clone(),
            });
            self.say(Vec::new(), usage.take(), time)?;
        }
        for item in answer {
            match item {
                Item::Said {
                    field,
                    text,
                    id,
                    time,
                } => {
                    match field {
                        Field::Reasoning => join(&mut self.spoken.thinking, &text),
                        _ => join(&mut self.spoken.text, &text),
                    }
                    let mut words = vec![(field, text)];
                    words.extend(id.map(|id| (Field::SourceId, id)));
                    self.say(words, usage.take(), time)?;
                }
                Item::Called { call, time } => self.call(*call, time)?,
            }
        }
        self.spoken = Spoken::default();
        Ok(())
    }

    fn say(
        &mut self,
        words: Vec<(Field, String)>,
        usage: Option<Usage>,
        time: Option<Claimed>,
    ) -> Result<()> {
        let body = Message {
            speaker: Speaker::Assistant,
            usage,
        };
        let event = words
            .into_iter()
            .fold(Event::new(self.agent()?, body), |event, (field, text)| {
                event.with(field, text)
            });
        self.put(event, time, self.last)?;
        Ok(())
    }

    fn call(&mut self, call: Asked, time: Option<Claimed>) -> Result<()> {
        let summary = match self.spoken.text.is_empty() {
            true => &call.described,
            false => &self.spoken.text,
        };
        let why = Why::new(summary, &self.spoken.thinking, || call.place)?;
        let body = Action {
            tool: id(self.sink, &call.tool)?,
            class: class(&call.tool),
            effects: None,
            parts: None,
            rationale: Some(why.rationale.clone()),
            verdict: None,
        };
        let patch = call.patch.map(|patch| (patch, why.clone()));
        let mut event = why.tell(Event::new(self.agent()?, body));
        for (field, text) in [
            (Field::Input, Some(call.input)),
            (Field::Path, call.path),
            (Field::Command, call.command),
            (Field::SourceId, call.call_id.clone()),
        ] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                event = event.with(field, text);
            }
        }
        // Calls of one answer stand beside each other: each follows what was said.
        let before = self.last;
        let seq = self.put(event, time, before)?;
        self.last = before.or(seq);
        if let (Some(action), Some(call_id), false) = (seq, call.call_id, call.alone) {
            let call = Call {
                action,
                session: self.current,
                patch,
            };
            if self.calls.insert(call_id, call).is_some() {
                self.sink.lose("call_id_repeated");
            }
        }
        Ok(())
    }

    fn result(&mut self, item: &Json<'_>, time: Option<Claimed>) -> Result<()> {
        self.flush(None)?;
        let call_id = item.text("call_id").unwrap_or_default();
        let call = self.calls.remove(call_id);
        if call.is_none() {
            self.sink.lose("result_without_call");
        }
        let told = self.ended.remove(call_id).unwrap_or_default();
        let (text, said) = self.output(item.get("output"));
        let end = End {
            exit: said.exit.or(told.exit),
            good: said.good.or(told.good),
        };
        let status = match (end.good, end.exit) {
            _ if text.starts_with("aborted") => Status::Cancelled,
            (Some(true), _) | (None, Some(0)) => Status::Succeeded,
            (Some(false), _) | (None, Some(_)) => Status::Failed,
            (None, None) => Status::Unknown,
        };
        let body = Outcome {
            exit: end.exit,
            signal: None,
            usage: None,
            of: call.as_ref().map(|c| c.action),
            status,
            matched: None,
            stop: None,
        };
        let field = match status {
            Status::Failed => Field::Error,
            _ => Field::Output,
        };
        let mut event = Event::new(other(ActorType::System, AGENT)?, body).with(field, text);
        if !call_id.is_empty() {
            event = event.with(Field::SourceId, call_id);
        }
        let cause = call.as_ref().map(|c| c.action).or(self.last);
        let seq = self.put(event, time.clone(), cause)?;
        match call {
            Some(Call {
                action,
                session,
                patch: Some((patch, why)),
            }) => match (status, seq) {
                (Status::Succeeded, Some(outcome)) => {
                    self.mutations(&patch, &why, session, (action, outcome), time)
                }
                (Status::Unknown, _) => {
                    self.sink.lose("patch_of_unknown_outcome");
                    Ok(())
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// What came out, and how it says that it ended: a text, a text with JSON in it, an object or parts.
    fn output(&mut self, output: Option<&Json<'_>>) -> (String, End) {
        match output {
            Some(Json::Text(text)) => match Json::read(text) {
                Ok((inner, _)) if inner.text("output").is_some() => {
                    let exit = inner.get("metadata").and_then(|m| m.integer("exit_code"));
                    let text = inner.text("output").unwrap_or_default().to_owned();
                    let said = End { exit, good: None };
                    (text, said)
                }
                _ => (text.clone().into_owned(), end_in_words(text)),
            },
            Some(Json::List(parts)) => {
                let text = self.parts("output", parts);
                let end = end_in_words(&text);
                (text, end)
            }
            Some(object @ Json::Object(_)) => {
                let text = match object.get("content") {
                    Some(Json::List(parts)) => self.parts("output", parts),
                    Some(Json::Text(text)) => text.clone().into_owned(),
                    _ => object.to_text(),
                };
                let mut end = end_in_words(&text);
                end.good = object.bool("success").or(end.good);
                (text, end)
            }
            _ => {
                self.sink.lose("result_without_output");
                (String::new(), End::default())
            }
        }
    }

    /// A patch that was applied is a change of each of its files.
    fn mutations(
        &mut self,
        text: &str,
        why: &Why,
        session: Option<Seq>,
        (action, outcome): (Seq, Seq),
        time: Option<Claimed>,
    ) -> Result<()> {
        let patch = patch::read(text);
        for _ in 0..patch.strange {
            self.sink.lose("patch_line_not_understood");
        }
        for file in patch.files {
            let (artefacts, added, removed) = match file.change {
                Change::Create => {
                    let made = changed(Some(&file.path), None, Some(&file.text), true);
                    (made.files, Some(made.added), Some(0))
                }
                Change::Delete => (Vec::new(), Some(0), None),
                _ => {
                    let diff = Attachment {
                        role: Role::Diff,
                        path: Some(file.path.clone()),
                        media_type: Some("text/x-diff".to_owned()),
                        unredacted_blake3: None,
                        bytes: file.diff().into_bytes(),
                    };
                    (vec![diff], Some(file.added), Some(file.removed))
                }
            };
            let body = Mutation {
                parts: None,
                rationale: Some(why.rationale.clone()),
                change: file.change,
                known: KnownBy::Declared,
                proposer: None,
                action: Some(action),
                approvals: None,
                applied_by: Some(AppliedBy::Agent),
                reverts: None,
                added,
                removed,
            };
            let mut event = why
                .clone()
                .tell(Event::new(self.agent()?, body))
                .with(Field::Path, file.path);
            event.artefacts = artefacts;
            event.causes = vec![action, outcome];
            event.session = session;
            event.claimed.clone_from(&time);
            self.sink.put(event)?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Json<'_>, time: Option<Claimed>) -> Result<()> {
        let Some(kind) = event.text("type") else {
            self.sink.lose("event_without_type");
            return Ok(());
        };
        let words = |key: &str| event.text(key).unwrap_or_default();
        match kind {
            "agent_reasoning" | "agent_reasoning_raw_content" => {
                self.double("agent_reasoning", words("text"), true);
            }
            "agent_message" => self.double("agent_message", words("message"), true),
            "user_message" => self.double("user_message", words("message"), true),
            "task_complete" | "turn_complete" => self.sink.repeat(kind),
            "token_count" => return self.tokens(event, time),
            "exec_command_end" | "patch_apply_end" | "mcp_tool_call_end" => {
                let end = End {
                    exit: event.integer("exit_code"),
                    good: event.bool("success"),
                };
                if let Some(call_id) = event.text("call_id") {
                    self.ended.insert(call_id.to_owned(), end);
                }
                self.sink.repeat(kind);
            }
            "exec_command_begin"
            | "patch_apply_begin"
            | "mcp_tool_call_begin"
            | "web_search_begin"
            | "web_search_end"
            | "context_compacted" => self.sink.repeat(kind),
            "turn_aborted" => {
                return self.told(&format!("turn aborted: {}", words("reason")), time);
            }
            "error" | "warning" | "stream_error" => {
                return self.told(&format!("{kind}: {}", words("message")), time);
            }
            kind => self.sink.lose(&format!("event:{kind}")),
        }
        Ok(())
    }

    fn tokens(&mut self, event: &Json<'_>, time: Option<Claimed>) -> Result<()> {
        if event
            .get("rate_limits")
            .is_some_and(|limits| !limits.is_null())
        {
            self.sink.lose("event:rate_limits");
        }
        let info = event.get("info");
        let (Some(last), Some(total)) = (
            info.and_then(|i| i.get("last_token_usage")),
            info.and_then(|i| i.get("total_token_usage")),
        ) else {
            return Ok(());
        };
        let total = total.to_text();
        if self.counted.as_ref() == Some(&total) {
            self.sink.repeat("token_count");
            return Ok(());
        }
        self.counted = Some(total);
        let usage = Usage {
            tokens_in: last.count("input_tokens"),
            tokens_out: last.count("output_tokens"),
            cache_read: last.count("cached_input_tokens"),
            cache_write: None,
            cost: None,
        };
        match self.answer.is_empty() {
            true => self.say(Vec::new(), Some(usage), time),
            false => self.flush(Some(usage)),
        }
    }

    /// What was compressed, in the words that took its place.
    fn compacted(&mut self, compacted: &Json<'_>, time: Option<Claimed>) -> Result<()> {
        self.count_rest("compacted", compacted, &["message"]);
        match compacted.text("message") {
            Some(text) if !text.is_empty() => self.told(text, time),
            _ => {
                self.sink.lose("compaction_sealed");
                Ok(())
            }
        }
    }

    /// Something that the harness says.
    fn told(&mut self, text: &str, time: Option<Claimed>) -> Result<()> {
        self.flush(None)?;
        let body = Message {
            speaker: Speaker::System,
            usage: None,
        };
        let event = Event::new(other(ActorType::System, AGENT)?, body).with(Field::Text, text);
        self.put(event, time, self.last)?;
        Ok(())
    }

    /// Matches an event with the item that says the same.
    fn double(&mut self, kind: &'static str, text: &str, is_event: bool) {
        if text.is_empty() {
            return;
        }
        match self.doubles.meet(kind, text, is_event) {
            Met::Double => self.sink.repeat(kind),
            Met::Alone(kind) => self.sink.lose(&format!("event:{kind}_alone")),
            Met::Nothing => {}
        }
    }

    fn put(
        &mut self,
        mut event: Event,
        time: Option<Claimed>,
        cause: Option<Seq>,
    ) -> Result<Option<Seq>> {
        event.session = self.current;
        event.claimed = time;
        event.causes = cause.into_iter().collect();
        let seq = self.sink.put(event)?;
        self.last = seq.or(self.last);
        Ok(seq)
    }

    fn agent(&self) -> Result<tacho_schemas::record::Actor> {
        Ok(agent(Id::new(AGENT)?, self.model.clone()))
    }
}

impl Asked {
    /// Takes from the arguments what readers look for first.
    fn learn(&mut self, arguments: &Json<'_>) {
        let command = ["command", "cmd"].iter().find_map(|key| arguments.get(key));
        self.command = match command {
            Some(Json::Text(text)) => Some(text.clone().into_owned()),
            Some(Json::List(words)) => {
                let words: Vec<_> = words.iter().filter_map(Json::as_text).collect();
                match words.as_slice() {
                    [_, "-c" | "-lc", script] => Some((*script).to_owned()),
                    words => Some(words.join(" ")),
                }
            }
            _ => None,
        };
        self.path = ["path", "file_path"]
            .iter()
            .find_map(|key| arguments.text(key))
            .map(str::to_owned);
        if self.described.is_empty() {
            let described = arguments.text("justification").unwrap_or_default();
            described.clone_into(&mut self.described);
        }
        // A patch may come as an argument, or through a shell.
        let patch = arguments.text("input").or(self.command.as_deref());
        if self.patch.is_none()
            && let Some(patch) = patch.and_then(patch::within)
            && (self.tool == "apply_patch" || self.command.as_deref().is_some_and(applies))
        {
            self.patch = Some(patch.to_owned());
        }
    }
}

/// Says whether a command applies a patch.
fn applies(command: &str) -> bool {
    command.contains("apply_patch") || command.contains("applypatch")
}

/// How the words of an output say that it ended.
fn end_in_words(text: &str) -> End {
    if text.starts_with("Success. Updated the following files") {
        return End {
            exit: None,
            good: Some(true),
        };
    }
    if text.starts_with("apply_patch verification failed") {
        return End {
            exit: None,
            good: Some(false),
        };
    }
    // The lines before the output itself.
    let exit = text
        .lines()
        .take(6)
        .take_while(|line| !line.starts_with("Output:"))
        .find_map(|line| {
            let code = line
                .strip_prefix("Exit code: ")
                .or_else(|| line.strip_prefix("Process exited with code "))?;
            code.trim().parse().ok()
        });
    End { exit, good: None }
}

fn class(tool: &str) -> Option<Class> {
    Some(match tool {
        "shell" | "shell_command" | "local_shell" | "container.exec" | "exec_command"
        | "unified_exec" | "write_stdin" => Class::Execute,
        "apply_patch" => Class::Write,
        "view_image" | "read_file" | "list_dir" | "grep_files" => Class::Read,
        "web_search" => Class::Network,
        "spawn_agent" | "send_input" | "resume_agent" => Class::Delegate,
        _ => return None,
    })
}

/// Items and events that say the same, in either order.
#[derive(Default)]
struct Doubles {
    items: VecDeque<(&'static str, String)>,
    events: VecDeque<(&'static str, String)>,
}

/// What came of a text.
enum Met {
    /// The other that says the same was there already.
    Double,
    /// It waits; an event of this kind waited too long.
    Alone(&'static str),
    /// It waits.
    Nothing,
}

impl Doubles {
    fn meet(&mut self, kind: &'static str, text: &str, is_event: bool) -> Met {
        let (own, others) = match is_event {
            true => (&mut self.events, &mut self.items),
            false => (&mut self.items, &mut self.events),
        };
        // Harnesses wrap or trim what they show.
        let same = |(other_kind, other): &(&'static str, String)| {
            *other_kind == kind && (other == text || other.contains(text) || text.contains(other))
        };
        if let Some(place) = others.iter().position(same) {
            others.remove(place);
            return Met::Double;
        }
        own.push_back((kind, text.to_owned()));
        let oldest = match own.len() > UNMATCHED {
            true => own.pop_front(),
            false => None,
        };
        match oldest {
            Some((kind, _)) if is_event => Met::Alone(kind),
            _ => Met::Nothing,
        }
    }
}
