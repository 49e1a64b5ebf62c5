//! Transcripts of Claude Code: one JSON object a line.
//!
//! An assistant's turn comes as several lines with one `message.id`: thinking, text, tool calls. What was thought and said in the
//! turn before a tool call is the call's rationale, with the place in the file and the hash of the file up to there. A tool's
//! result comes in a later `user` line. Sub-agents are marked lines of the same file (`isSidechain`), or files of their own.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use serde_json::Value;
use tacho_schemas::Seq;
use tacho_schemas::body::change::{AppliedBy, Change, Known as KnownBy, Mutation};
use tacho_schemas::body::log::Phase;
use tacho_schemas::body::work::{Action, Class, Message, Outcome, Session, Speaker, Status, Usage};
use tacho_schemas::body::{Rationale, RationaleSource};
use tacho_schemas::canon;
use tacho_schemas::content::{Field, MAX_ROW, Provenance};
use tacho_schemas::event::Event;
use tacho_schemas::record::ActorType;

use super::lines::Lines;
use super::pieces::{agent, changed, claimed, id, other};
use super::{Known, Sink};
use crate::error::Result;

/// How many message ids are kept to find parents: older ones are out of reach.
const REMEMBERED: usize = 1 << 16;

const AGENT: &str = "claude-code";

/// Says by what a file's beginning looks like a transcript.
pub(super) fn looks_like(head: &str) -> Option<&'static str> {
    head.lines().take(20).find_map(|line| {
        let value: Value = serde_json::from_str(line).ok()?;
        let has = |key: &str| value.get(key).is_some();
        (has("sessionId") && has("uuid") && has("message"))
            .then_some("its lines have `sessionId`, `uuid` and `message`")
    })
}

/// Reads a transcript into the sink.
pub(super) fn import(
    path: &Path,
    sink: &mut Sink<'_>,
    known: &mut Known,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let mut lines = Lines::open(path)?;
    let mut transcript = Transcript {
        sink,
        known,
        path: path.display().to_string(),
        sessions: HashMap::new(),
        messages: Recent::default(),
        turn: Turn::default(),
        calls: HashMap::new(),
    };
    while let Some(line) = lines.next()? {
        progress(line.end, lines.length);
        match line.text {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => match serde_json::from_str::<Value>(&text) {
                Ok(object) if object.is_object() => transcript.line(&object, line.end, &lines)?,
                Ok(_) => transcript.sink.lose("line_not_an_object"),
                Err(error) if error.is_eof() => transcript.sink.lose("line_torn"),
                Err(_) => transcript.sink.lose("line_not_json"),
            },
            Err(why) => transcript.sink.lose(why),
        }
    }
    for _ in 0..transcript.calls.len() {
        transcript.sink.lose("call_without_result");
    }
    Ok(())
}

struct Transcript<'a, 'log> {
    sink: &'a mut Sink<'log>,
    known: &'a mut Known,
    path: String,
    /// By session id, and by session and agent id for sub-agents.
    sessions: HashMap<String, Seq>,
    messages: Recent,
    turn: Turn,
    /// Tool calls whose result has not come.
    calls: HashMap<String, Call>,
}

/// The record of each message, as long as it is among the last ones.
#[derive(Default)]
struct Recent {
    by_id: HashMap<String, Seq>,
    order: VecDeque<String>,
}

impl Recent {
    fn insert(&mut self, id: &str, seq: Seq) {
        if self.by_id.insert(id.to_owned(), seq).is_none() {
            self.order.push_back(id.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }
}

/// What was thought and said in the current turn.
#[derive(Default)]
struct Turn {
    message_id: String,
    thinking: String,
    text: String,
    /// The turn's usage is in a record.
    counted: bool,
}

/// A tool call on its way.
struct Call {
    action: Seq,
    session: Seq,
    tool: String,
    input: Value,
    why: Why,
}

/// A call's rationale: the body and the words.
#[derive(Clone)]
struct Why {
    rationale: Rationale,
    words: Vec<(Field, Vec<u8>)>,
}

/// What is the same for all records of a line.
struct Context {
    session: Seq,
    time: Option<String>,
    model: Option<String>,
    parent: Option<Seq>,
    source_id: Option<String>,
}

impl Transcript<'_, '_> {
    fn line(&mut self, line: &Value, end: u64, lines: &Lines) -> Result<()> {
        match text_at(line, "type") {
            Some(speaker @ ("user" | "assistant")) => self.spoken(speaker, line, end, lines),
            Some("summary") => self.aside(line, "summary", "leafUuid"),
            Some("system") => self.aside(line, "content", "parentUuid"),
            Some(kind) => {
                self.sink.lose(&format!("line:{kind}"));
                Ok(())
            }
            None => {
                self.sink.lose("line_without_type");
                Ok(())
            }
        }
    }

    /// A line that the harness wrote about the conversation.
    fn aside(&mut self, line: &Value, key: &str, cause: &str) -> Result<()> {
        let Some(text) = text_at(line, key) else {
            self.sink.lose(&format!(
                "line:{}_without_text",
                text_at(line, "type").unwrap_or_default()
            ));
            return Ok(());
        };
        let mut event = Event::new(
            other(ActorType::System, AGENT)?,
            Message {
                speaker: Speaker::System,
                usage: None,
            },
        )
        .with(Field::Text, text);
        if text_at(line, "sessionId").is_some() {
            event.session = Some(self.session(line)?);
        }
        event.claimed = claimed(self.sink, text_at(line, "timestamp"));
        event.causes = text_at(line, cause)
            .and_then(|id| self.messages.by_id.get(id))
            .copied()
            .into_iter()
            .collect();
        if let (Some(seq), Some(uuid)) = (self.sink.put(event)?, text_at(line, "uuid")) {
            self.messages.insert(uuid, seq);
        }
        Ok(())
    }

    fn spoken(&mut self, speaker: &str, line: &Value, end: u64, lines: &Lines) -> Result<()> {
        let Some(message) = line.get("message").filter(|m| m.is_object()) else {
            self.sink.lose("message_not_an_object");
            return Ok(());
        };
        let blocks = match message.get("content") {
            Some(Value::String(text)) => vec![serde_json::json!({ "type": "text", "text": text })],
            Some(Value::Array(blocks)) => blocks.clone(),
            _ => {
                self.sink.lose("message_without_content");
                return Ok(());
            }
        };
        let parent = text_at(line, "parentUuid");
        let context = Context {
            session: self.session(line)?,
            time: text_at(line, "timestamp").map(str::to_owned),
            model: text_at(message, "model").map(str::to_owned),
            parent: parent.and_then(|id| self.messages.by_id.get(id)).copied(),
            source_id: text_at(line, "uuid").map(str::to_owned),
        };
        if parent.is_some() && context.parent.is_none() {
            self.sink.lose("parent_not_in_file");
        }
        let message_id = text_at(message, "id").unwrap_or_default();
        if speaker == "user" || message_id.is_empty() || message_id != self.turn.message_id {
            self.turn = Turn {
                message_id: message_id.to_owned(),
                ..Turn::default()
            };
        }
        let said = self.say(speaker, &context, message, &blocks)?;
        let mut last = said;
        for block in &blocks {
            let made = match text_at(block, "type") {
                Some("tool_use") => self.call(&context, said, block, end, lines)?,
                Some("tool_result") => self.result(&context, line, block)?,
                _ => None,
            };
            last = made.or(last);
        }
        if let (Some(seq), Some(uuid)) = (last, &context.source_id) {
            self.messages.insert(uuid, seq);
        }
        Ok(())
    }

    /// Puts the text and the thinking of a line, and counts the blocks that are neither these nor tool calls.
    fn say(
        &mut self,
        speaker: &str,
        context: &Context,
        message: &Value,
        blocks: &[Value],
    ) -> Result<Option<Seq>> {
        let (mut text, mut thinking) = (String::new(), String::new());
        for block in blocks {
            match (
                text_at(block, "type"),
                text_at(block, "text"),
                text_at(block, "thinking"),
            ) {
                (Some("text"), Some(said), _) => join(&mut text, said),
                (Some("thinking"), _, Some("")) => self.sink.lose("thinking_sealed"),
                (Some("thinking"), _, Some(thought)) => join(&mut thinking, thought),
                (Some("tool_use" | "tool_result"), ..) => {}
                (Some("redacted_thinking"), ..) => self.sink.lose("thinking_sealed"),
                (Some(kind), ..) => self.sink.lose(&format!("block:{kind}")),
                (None, ..) if block.is_string() => self.sink.lose("block_not_an_object"),
                (None, ..) => self.sink.lose("block_without_type"),
            }
        }
        let usage = match self.turn.counted {
            true => None,
            false => usage(message),
        };
        if text.is_empty() && thinking.is_empty() && usage.is_none() {
            return Ok(None);
        }
        self.turn.counted |= usage.is_some();
        join(&mut self.turn.text, &text);
        join(&mut self.turn.thinking, &thinking);
        let (actor, speaker) = match speaker {
            "assistant" => (self.agent(context)?, Speaker::Assistant),
            _ => (other(ActorType::Human, "user")?, Speaker::User),
        };
        let mut event = Event::new(actor, Message { speaker, usage });
        for (field, words) in [(Field::Text, text), (Field::Reasoning, thinking)] {
            if !words.is_empty() {
                event = event.with(field, words);
            }
        }
        self.put(event, context, context.parent)
    }

    fn call(
        &mut self,
        context: &Context,
        said: Option<Seq>,
        block: &Value,
        end: u64,
        lines: &Lines,
    ) -> Result<Option<Seq>> {
        let Some(name) = text_at(block, "name") else {
            self.sink.lose("call_without_name");
            return Ok(None);
        };
        let input = block.get("input").cloned().unwrap_or(Value::Null);
        let why = self.why(&input, end, lines)?;
        let body = Action {
            tool: id(self.sink, name)?,
            class: class(name),
            effects: None,
            parts: None,
            rationale: Some(why.rationale.clone()),
            verdict: None,
        };
        let mut event =
            Event::new(self.agent(context)?, body).with(Field::Input, input.to_string());
        for (field, words) in &why.words {
            event = event.with(*field, words.clone());
        }
        if let Some(path) = path_of(&input) {
            event = event.with(Field::Path, path);
        }
        if let Some(command) = text_at(&input, "command") {
            event = event.with(Field::Command, command);
        }
        let call_id = text_at(block, "id");
        if let Some(call_id) = call_id {
            event = event.with(Field::SourceId, call_id);
        }
        let seq = self.put(event, context, said.or(context.parent))?;
        match (seq, call_id) {
            (Some(action), Some(call_id)) => {
                let call = Call {
                    action,
                    session: context.session,
                    tool: name.to_owned(),
                    input,
                    why,
                };
                if self.calls.insert(call_id.to_owned(), call).is_some() {
                    self.sink.lose("call_id_repeated");
                }
            }
            (_, None) => self.sink.lose("call_without_id"),
            _ => {}
        }
        Ok(seq)
    }

    /// The rationale of a call: what the turn thought and said before it, or that there is none.
    fn why(&mut self, input: &Value, end: u64, lines: &Lines) -> Result<Why> {
        let described = text_at(input, "description").unwrap_or_default();
        let summary = if self.turn.text.is_empty() {
            described
        } else {
            &self.turn.text
        };
        let mut words = Vec::new();
        for (field, text) in [
            (Field::Summary, summary),
            (Field::Reasoning, &self.turn.thinking),
        ] {
            if !text.is_empty() {
                words.push((field, text.as_bytes().to_vec()));
            }
        }
        let source = match words.is_empty() {
            true => RationaleSource::Absent,
            false => {
                let provenance = Provenance {
                    path: self.path.clone(),
                    offset: end,
                    prefix_blake3: lines.prefix_hash(),
                };
                words.push((Field::Provenance, canon::encode(&provenance, MAX_ROW)?));
                RationaleSource::Transcript
            }
        };
        Ok(Why {
            rationale: Rationale {
                source,
                evidence: None,
                confidence: None,
            },
            words,
        })
    }

    fn result(&mut self, context: &Context, line: &Value, block: &Value) -> Result<Option<Seq>> {
        let call_id = text_at(block, "tool_use_id").unwrap_or_default();
        let call = self.calls.remove(call_id);
        if call.is_none() {
            self.sink.lose("result_without_call");
        }
        let details = line.get("toolUseResult");
        let interrupted = details
            .and_then(|d| d.get("interrupted"))
            .and_then(Value::as_bool);
        let failed = block.get("is_error").and_then(Value::as_bool);
        let status = match (interrupted, failed) {
            (Some(true), _) => Status::Cancelled,
            (_, Some(true)) => Status::Failed,
            _ => Status::Succeeded,
        };
        let body = Outcome {
            exit: None,
            signal: None,
            usage: None,
            of: call.as_ref().map(|c| c.action),
            status,
            matched: None,
            stop: None,
        };
        let output = self.output(block);
        let field = if status == Status::Failed {
            Field::Error
        } else {
            Field::Output
        };
        let mut event = Event::new(other(ActorType::System, AGENT)?, body).with(field, output);
        if !call_id.is_empty() {
            event = event.with(Field::SourceId, call_id);
        }
        let cause = call.as_ref().map(|c| c.action).or(context.parent);
        let seq = self.put(event, context, cause)?;
        if let (Some(call), Some(outcome), Status::Succeeded) = (call, seq, status) {
            self.mutation(context, &call, outcome, details)?;
        }
        Ok(seq)
    }

    fn output(&mut self, block: &Value) -> String {
        match block.get("content") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                let mut output = String::new();
                for part in parts {
                    match (text_at(part, "type"), text_at(part, "text")) {
                        (Some("text"), Some(text)) => join(&mut output, text),
                        (kind, _) => self
                            .sink
                            .lose(&format!("result_block:{}", kind.unwrap_or("unnamed"))),
                    }
                }
                output
            }
            _ => String::new(),
        }
    }

    /// A successful edit of a file is a change of it.
    fn mutation(
        &mut self,
        context: &Context,
        call: &Call,
        outcome: Seq,
        details: Option<&Value>,
    ) -> Result<()> {
        let Some(edit) = Edit::of(&call.tool, &call.input, details) else {
            return Ok(());
        };
        let path = path_of(&call.input);
        let whole = edit.before.is_some() || edit.change == Change::Create;
        let files = match (&edit.before, &edit.after) {
            (None, None) => changed(
                path,
                edit.fragment.0.as_deref(),
                edit.fragment.1.as_deref(),
                false,
            ),
            (before, after) => changed(path, before.as_deref(), after.as_deref(), whole),
        };
        let body = Mutation {
            parts: None,
            rationale: Some(call.why.rationale.clone()),
            change: edit.change,
            known: KnownBy::Declared,
            proposer: None,
            action: Some(call.action),
            approvals: None,
            applied_by: Some(AppliedBy::Agent),
            reverts: None,
            added: Some(files.added),
            removed: Some(files.removed),
        };
        let mut event = Event::new(self.agent(context)?, body);
        for (field, words) in &call.why.words {
            event = event.with(*field, words.clone());
        }
        if let Some(path) = path {
            event = event.with(Field::Path, path);
        }
        event.artefacts = files.files;
        event.causes = vec![call.action, outcome];
        event.session = Some(call.session);
        event.claimed = claimed(self.sink, context.time.as_deref());
        self.sink.put(event)?;
        Ok(())
    }

    fn put(
        &mut self,
        mut event: Event,
        context: &Context,
        cause: Option<Seq>,
    ) -> Result<Option<Seq>> {
        event.session = Some(context.session);
        event.claimed = claimed(self.sink, context.time.as_deref());
        event.causes = cause.into_iter().collect();
        if let Some(uuid) = &context.source_id
            && !event.content.contains_key(&Field::SourceId)
        {
            event = event.with(Field::SourceId, uuid.as_str());
        }
        self.sink.put(event)
    }

    fn agent(&mut self, context: &Context) -> Result<tacho_schemas::record::Actor> {
        let model = match &context.model {
            Some(model) => Some(id(self.sink, model)?),
            None => None,
        };
        Ok(agent(tacho_schemas::Id::new(AGENT)?, model))
    }

    /// The session of a line, opened if it is new.
    fn session(&mut self, line: &Value) -> Result<Seq> {
        let main = text_at(line, "sessionId").unwrap_or("unnamed").to_owned();
        let sub = match (
            text_at(line, "agentId"),
            line.get("isSidechain").and_then(Value::as_bool),
        ) {
            (Some(agent), _) => Some(agent),
            (None, Some(true)) => Some("sidechain"),
            _ => None,
        };
        let key = sub.map_or_else(|| main.clone(), |sub| format!("{main}/{sub}"));
        if let Some(seq) = self.sessions.get(&key) {
            return Ok(*seq);
        }
        let parent = sub
            .and_then(|_| {
                self.sessions
                    .get(&main)
                    .or_else(|| self.known.sessions.get(&main))
            })
            .copied();
        if sub.is_some() && parent.is_none() {
            self.sink.lose("parent_session_not_in_file");
        }
        let version = match text_at(line, "version") {
            Some(version) => Some(id(self.sink, version)?),
            None => None,
        };
        let body = Session {
            phase: Phase::Open,
            agent: tacho_schemas::Id::new(AGENT)?,
            harness: Some(tacho_schemas::Id::new(AGENT)?),
            harness_version: version,
            lineage: None,
            parent,
            confinement: None,
            guards: None,
            exit: None,
            signal: None,
        };
        let actor = agent(tacho_schemas::Id::new(AGENT)?, None);
        let mut event = Event::new(actor, body).with(Field::SourceId, key.as_str());
        if let Some(folder) = text_at(line, "cwd") {
            event = event.with(Field::Workspace, folder);
        }
        event.causes = parent.into_iter().collect();
        event.claimed = claimed(self.sink, text_at(line, "timestamp"));
        let seq = self.sink.put(event)?.unwrap_or(self.sink.import());
        self.known.sessions.insert(key.clone(), seq);
        self.sessions.insert(key, seq);
        Ok(seq)
    }
}

/// What an editing tool did.
struct Edit {
    change: Change,
    before: Option<String>,
    after: Option<String>,
    /// What was replaced and by what, where the whole file is not known.
    fragment: (Option<String>, Option<String>),
}

impl Edit {
    fn of(tool: &str, input: &Value, details: Option<&Value>) -> Option<Self> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let before = details
            .and_then(|d| text_at(d, "originalFile"))
            .map(str::to_owned);
        let created = details.and_then(|d| text_at(d, "type")) == Some("create");
        match tool {
            "Write" => {
                let after = owned(text_at(input, "content"));
                let change = if created || before.is_none() {
                    Change::Create
                } else {
                    Change::Modify
                };
                Some(Self {
                    change,
                    before,
                    after,
                    fragment: (None, None),
                })
            }
            "Edit" => {
                let (old, new) = (text_at(input, "old_string")?, text_at(input, "new_string")?);
                let after = before.as_deref().and_then(|text| replace(text, input));
                let fragment = (Some(old.to_owned()), Some(new.to_owned()));
                Some(Self {
                    change: Change::Modify,
                    before: before.filter(|_| after.is_some()),
                    after,
                    fragment,
                })
            }
            "MultiEdit" => {
                let edits = input.get("edits")?.as_array()?;
                let apply = |text: &String| {
                    edits
                        .iter()
                        .try_fold(text.clone(), |text, edit| replace(&text, edit))
                };
                let after = before.as_ref().and_then(apply);
                let side = |key| {
                    let texts: Vec<_> =
                        edits.iter().filter_map(|edit| text_at(edit, key)).collect();
                    Some(texts.join("\n"))
                };
                let fragment = (side("old_string"), side("new_string"));
                Some(Self {
                    change: Change::Modify,
                    before: before.filter(|_| after.is_some()),
                    after,
                    fragment,
                })
            }
            "NotebookEdit" => {
                let fragment = (None, owned(text_at(input, "new_source")));
                Some(Self {
                    change: Change::Modify,
                    before: None,
                    after: None,
                    fragment,
                })
            }
            _ => None,
        }
    }
}

/// Carries out one replacement of an editing tool; none if it does not fit the text.
fn replace(text: &str, edit: &Value) -> Option<String> {
    let (old, new) = (text_at(edit, "old_string")?, text_at(edit, "new_string")?);
    if old.is_empty() || !text.contains(old) {
        return None;
    }
    let all = edit
        .get("replace_all")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    Some(if all {
        text.replace(old, new)
    } else {
        text.replacen(old, new, 1)
    })
}

fn path_of(input: &Value) -> Option<&str> {
    ["file_path", "notebook_path", "path"]
        .iter()
        .find_map(|key| text_at(input, key))
}

fn class(tool: &str) -> Option<Class> {
    Some(match tool {
        "Read" | "Glob" | "Grep" | "LS" | "NotebookRead" => Class::Read,
        "Write" | "Edit" | "MultiEdit" | "NotebookEdit" => Class::Write,
        "Bash" | "BashOutput" | "KillShell" | "KillBash" => Class::Execute,
        "WebFetch" | "WebSearch" => Class::Network,
        "Task" | "Agent" => Class::Delegate,
        _ => return None,
    })
}

fn usage(message: &Value) -> Option<Usage> {
    let usage = message.get("usage")?;
    let count = |key: &str| usage.get(key).and_then(Value::as_u64);
    let usage = Usage {
        tokens_in: count("input_tokens"),
        tokens_out: count("output_tokens"),
        cache_read: count("cache_read_input_tokens"),
        cache_write: count("cache_creation_input_tokens"),
        cost: None,
    };
    let says_something = usage.tokens_in.is_some() || usage.tokens_out.is_some();
    says_something.then_some(usage)
}

fn text_at<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

/// Adds a paragraph.
fn join(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}
