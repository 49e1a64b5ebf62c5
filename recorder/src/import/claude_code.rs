//! Transcripts of Claude Code: one JSON object a line.
//!
//! An assistant's turn comes as several lines with one `message.id`: thinking, text, tool calls. What was thought and said in the
//! turn before a tool call is the call's rationale, with the place in the file and the hash of the file up to there. A tool's
//! result comes in a later `user` line. Sub-agents are marked lines of the same file (`isSidechain`), or files of their own.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use tacho_schemas::body::change::{AppliedBy, Change, Known as KnownBy, Mutation};
use tacho_schemas::body::log::Phase;
use tacho_schemas::body::work::{Action, Class, Message, Outcome, Session, Speaker, Status, Usage};
use tacho_schemas::content::{Field, Provenance};
use tacho_schemas::event::Event;
use tacho_schemas::record::{ActorType, Claimed};
use tacho_schemas::{Id, Seq};

use super::json::Json;
use super::lines::Lines;
use super::pieces::{agent, changed, claimed, id, other};
use super::transcript::{self, Recent, Why, join};
use super::{Known, Sink};
use crate::error::Result;

const AGENT: &str = "claude-code";

/// Says by what a file's beginning looks like a transcript.
pub(super) fn looks_like(head: &str) -> Option<&'static str> {
    head.lines().take(20).find_map(|line| {
        let (value, _) = Json::read(line).ok()?;
        let has = |key: &str| value.get(key).is_some();
        (has("sessionId") && has("uuid") && has("message"))
            .then_some("its lines have `sessionId`, `uuid` and `message`")
    })
}

/// Reads a transcript into the sink.
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
        sidechains: HashSet::new(),
        places: Recent::default(),
        turns: HashMap::new(),
        calls: HashMap::new(),
    };
    transcript::read(lines, &mut reader, progress)?;
    for _ in 0..reader.calls.len() {
        reader.sink.lose("call_without_result");
    }
    Ok(())
}

struct Reader<'a, 'log> {
    sink: &'a mut Sink<'log>,
    known: &'a mut Known,
    path: String,
    /// By session id, and by session and agent id for sub-agents.
    sessions: HashMap<String, Seq>,
    /// Sessions of sub-agents that have no id of their own.
    sidechains: HashSet<Seq>,
    /// Where each line went, by its id.
    places: Recent<Place>,
    /// The turn under way in each session.
    turns: HashMap<Seq, Turn>,
    /// Tool calls whose result has not come.
    calls: HashMap<String, Call>,
}

/// Where a line went.
#[derive(Clone, Copy, Debug)]
struct Place {
    seq: Seq,
    session: Option<Seq>,
}

/// What was thought and said in the current turn.
#[derive(Default)]
struct Turn {
    message_id: String,
    thinking: String,
    text: String,
    /// The turn's usage, once it is in a record.
    usage: Option<Usage>,
}

/// A tool call on its way.
struct Call {
    action: Seq,
    session: Seq,
    /// What is needed to see what the call changed, if it is one that edits a file.
    edit: Option<Intent>,
}

/// An edit that was asked for.
struct Intent {
    tool: String,
    input: String,
    why: Why,
}

/// What is the same for all records of a line.
struct Context<'l> {
    session: Seq,
    time: Option<Claimed>,
    model: Option<Id>,
    parent: Option<Seq>,
    source_id: Option<&'l str>,
}

impl transcript::Transcript for Reader<'_, '_> {
    fn object(&mut self, line: &Json<'_>, lines: &Lines) -> Result<()> {
        let place = match line.text("type") {
            Some("user") => self.spoken(Speaker::User, line, lines)?,
            Some("assistant") => self.spoken(Speaker::Assistant, line, lines)?,
            Some("summary") => self.aside(line, "summary", "leafUuid")?,
            Some("system") => self.aside(line, "content", "parentUuid")?,
            Some(kind) => {
                self.sink.lose(&format!("line:{kind}"));
                None
            }
            None => {
                self.sink.lose("line_without_type");
                None
            }
        };
        // A line that became no record stands for the one before it, so that the next one finds its parent.
        let parent = || self.places.get(line.text("parentUuid")?).copied();
        if let (Some(uuid), Some(place)) = (line.text("uuid"), place.or_else(parent)) {
            self.places.insert(uuid, place);
        }
        Ok(())
    }

    fn lose(&mut self, what: &str) {
        self.sink.lose(what);
    }
}

impl Reader<'_, '_> {
    /// A line that the harness wrote about the conversation.
    fn aside(&mut self, line: &Json<'_>, key: &str, cause: &str) -> Result<Option<Place>> {
        let Some(text) = line.text(key) else {
            self.sink.lose(&format!(
                "line:{}_without_text",
                line.text("type").unwrap_or_default()
            ));
            return Ok(None);
        };
        let body = Message {
            speaker: Speaker::System,
            usage: None,
        };
        let mut event = Event::new(other(ActorType::System, AGENT)?, body).with(Field::Text, text);
        if line.text("sessionId").is_some() {
            event.session = Some(self.session(line)?);
        }
        if let Some(uuid) = line.text("uuid") {
            event = event.with(Field::SourceId, uuid);
        }
        event.claimed = claimed(self.sink, line.text("timestamp"));
        event.causes = line
            .text(cause)
            .and_then(|id| self.places.get(id))
            .map(|place| place.seq)
            .into_iter()
            .collect();
        let session = event.session;
        Ok(self.sink.put(event)?.map(|seq| Place { seq, session }))
    }

    fn spoken(
        &mut self,
        speaker: Speaker,
        line: &Json<'_>,
        lines: &Lines,
    ) -> Result<Option<Place>> {
        let Some(message) = line.get("message").filter(|m| m.is_object()) else {
            self.sink.lose("message_not_an_object");
            return Ok(None);
        };
        let whole;
        let blocks = match message.get("content") {
            Some(Json::Text(text)) => {
                whole = [Json::Object(vec![
                    (Cow::Borrowed("type"), Json::Text(Cow::Borrowed("text"))),
                    (Cow::Borrowed("text"), Json::Text(Cow::Borrowed(text))),
                ])];
                whole.as_slice()
            }
            Some(Json::List(blocks)) => blocks,
            _ => {
                self.sink.lose("message_without_content");
                return Ok(None);
            }
        };
        let parent = line.text("parentUuid");
        let model = match message.text("model") {
            Some(model) => Some(id(self.sink, model)?),
            None => None,
        };
        let context = Context {
            session: self.session(line)?,
            time: claimed(self.sink, line.text("timestamp")),
            model,
            parent: parent
                .and_then(|id| self.places.get(id))
                .map(|place| place.seq),
            source_id: line.text("uuid"),
        };
        if parent.is_some() && context.parent.is_none() {
            self.sink.lose("parent_not_in_file");
        }
        // What the harness puts into the user's mouth, the user did not say.
        let by_harness = ["isMeta", "isCompactSummary"]
            .iter()
            .any(|key| line.bool(key) == Some(true));
        let speaker = match speaker {
            Speaker::User if by_harness => Speaker::System,
            other => other,
        };
        self.turn(speaker, context.session, message, blocks);
        let said = self.say(speaker, &context, message, blocks)?;
        let mut last = said;
        for block in blocks {
            let kind = block.text("type");
            let made = match kind {
                Some("tool_use") => self.call(&context, said, block, lines)?,
                Some("tool_result") => self.result(&context, line, block)?,
                _ => {
                    let turn = self.turns.entry(context.session).or_default();
                    match (kind, block.text("text"), block.text("thinking")) {
                        (Some("text"), Some(text), _) => join(&mut turn.text, text),
                        (Some("thinking"), _, Some(text)) => join(&mut turn.thinking, text),
                        _ => {}
                    }
                    None
                }
            };
            last = made.or(last);
        }
        let session = Some(context.session);
        Ok(last.map(|seq| Place { seq, session }))
    }

    /// Begins a new turn, if the line belongs to none that is under way: an assistant's turn comes as lines with one `message.id`,
    /// and results of its first calls may stand between them.
    fn turn(&mut self, speaker: Speaker, session: Seq, message: &Json<'_>, blocks: &[Json<'_>]) {
        let turn = self.turns.entry(session).or_default();
        let message_id = message.text("id").unwrap_or_default();
        let ended = match speaker {
            Speaker::Assistant => message_id.is_empty() || message_id != turn.message_id,
            _ => blocks
                .iter()
                .any(|block| block.text("type") != Some("tool_result")),
        };
        if ended {
            *turn = Turn {
                message_id: message_id.to_owned(),
                ..Turn::default()
            };
        }
    }

    /// Puts the text and the thinking of a line, and counts the blocks that are neither these nor tool calls.
    fn say(
        &mut self,
        speaker: Speaker,
        context: &Context<'_>,
        message: &Json<'_>,
        blocks: &[Json<'_>],
    ) -> Result<Option<Seq>> {
        let (mut text, mut thinking) = (String::new(), String::new());
        for block in blocks {
            match (
                block.text("type"),
                block.text("text"),
                block.text("thinking"),
            ) {
                (Some("text"), Some(said), _) => join(&mut text, said),
                (Some("thinking"), _, Some("")) => self.sink.lose("thinking_sealed"),
                (Some("thinking"), _, Some(thought)) => join(&mut thinking, thought),
                (Some("tool_use" | "tool_result"), ..) => {}
                (Some("redacted_thinking"), ..) => self.sink.lose("thinking_sealed"),
                (Some(kind), ..) => self.sink.lose(&format!("block:{kind}")),
                (None, ..) if block.is_object() => self.sink.lose("block_without_type"),
                (None, ..) => self.sink.lose("block_not_an_object"),
            }
        }
        let turn = self.turns.entry(context.session).or_default();
        let usage = match (usage(message), &turn.usage) {
            (Some(again), Some(counted)) => {
                if again != *counted {
                    self.sink.lose("usage_of_repeated_message_differs");
                }
                None
            }
            (usage, _) => usage,
        };
        if text.is_empty() && thinking.is_empty() && usage.is_none() {
            return Ok(None);
        }
        if usage.is_some() {
            turn.usage.clone_from(&usage);
        }
        let actor = match speaker {
            Speaker::Assistant => by_agent(context)?,
            Speaker::User => other(ActorType::Human, "user")?,
            _ => other(ActorType::System, AGENT)?,
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
        context: &Context<'_>,
        said: Option<Seq>,
        block: &Json<'_>,
        lines: &Lines,
    ) -> Result<Option<Seq>> {
        let Some(name) = block.text("name") else {
            self.sink.lose("call_without_name");
            return Ok(None);
        };
        let none = Json::Null;
        let input = block.get("input").unwrap_or(&none);
        let why = self.why(context.session, input, lines)?;
        let body = Action {
            tool: id(self.sink, name)?,
            class: class(name),
            effects: None,
            parts: None,
            rationale: Some(why.rationale.clone()),
            verdict: None,
        };
        let input_text = input.to_text();
        let edit = EDITING.contains(&name).then(|| Intent {
            tool: name.to_owned(),
            input: input_text.clone(),
            why: why.clone(),
        });
        let mut event = Event::new(by_agent(context)?, body).with(Field::Input, input_text);
        event = why.tell(event);
        if let Some(path) = path_of(input) {
            event = event.with(Field::Path, path);
        }
        if let Some(command) = input.text("command") {
            event = event.with(Field::Command, command);
        }
        let call_id = block.text("id");
        if let Some(call_id) = call_id {
            event = event.with(Field::SourceId, call_id);
        }
        let seq = self.put(event, context, said.or(context.parent))?;
        match (seq, call_id) {
            (Some(action), Some(call_id)) => {
                let call = Call {
                    action,
                    session: context.session,
                    edit,
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
    fn why(&self, session: Seq, input: &Json<'_>, lines: &Lines) -> Result<Why> {
        let nothing = Turn::default();
        let turn = self.turns.get(&session).unwrap_or(&nothing);
        let summary = match turn.text.is_empty() {
            true => input.text("description").unwrap_or_default(),
            false => &turn.text,
        };
        Why::new(summary, &turn.thinking, || Provenance {
            path: self.path.clone(),
            offset: lines.end(),
            prefix_blake3: lines.prefix_hash(),
        })
    }

    fn result(
        &mut self,
        context: &Context<'_>,
        line: &Json<'_>,
        block: &Json<'_>,
    ) -> Result<Option<Seq>> {
        let call_id = block.text("tool_use_id").unwrap_or_default();
        let call = self.calls.remove(call_id);
        if call.is_none() {
            self.sink.lose("result_without_call");
        }
        let details = line.get("toolUseResult");
        let interrupted = details.and_then(|d| d.bool("interrupted"));
        let status = match (interrupted, block.bool("is_error")) {
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
            self.mutation(context, call, outcome, details)?;
        }
        Ok(seq)
    }

    fn output(&mut self, block: &Json<'_>) -> String {
        match block.get("content") {
            Some(Json::Text(text)) => text.clone().into_owned(),
            Some(Json::List(parts)) => {
                let mut output = String::new();
                for part in parts {
                    match (part.text("type"), part.text("text")) {
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
        context: &Context<'_>,
        call: Call,
        outcome: Seq,
        details: Option<&Json<'_>>,
    ) -> Result<()> {
        let Some(intent) = call.edit else {
            return Ok(());
        };
        let Ok((input, _)) = Json::read(&intent.input) else {
            self.sink.lose("edit_not_understood");
            return Ok(());
        };
        let Some(edit) = Edit::of(&intent.tool, &input, details) else {
            self.sink.lose("edit_not_understood");
            return Ok(());
        };
        if details.and_then(|d| d.bool("userModified")) == Some(true) {
            self.sink.lose("edit_changed_by_user");
        }
        let path = path_of(&input);
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
            rationale: Some(intent.why.rationale.clone()),
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
        let mut event = intent.why.tell(Event::new(by_agent(context)?, body));
        if let Some(path) = path {
            event = event.with(Field::Path, path);
        }
        event.artefacts = files.files;
        event.causes = vec![call.action, outcome];
        event.session = Some(call.session);
        event.claimed.clone_from(&context.time);
        self.sink.put(event)?;
        Ok(())
    }

    fn put(
        &mut self,
        mut event: Event,
        context: &Context<'_>,
        cause: Option<Seq>,
    ) -> Result<Option<Seq>> {
        event.session = Some(context.session);
        event.claimed.clone_from(&context.time);
        event.causes = cause.into_iter().collect();
        if let Some(uuid) = context.source_id
            && !event.content.contains_key(&Field::SourceId)
        {
            event = event.with(Field::SourceId, uuid);
        }
        self.sink.put(event)
    }

    /// The session of a line, opened if it is new.
    fn session(&mut self, line: &Json<'_>) -> Result<Seq> {
        let main = line.text("sessionId").unwrap_or("unnamed");
        let is_sidechain = line.bool("isSidechain") == Some(true);
        let key = match line.text("agentId") {
            Some(agent) => Cow::Owned(format!("{main}/{agent}")),
            None if is_sidechain => {
                let parent = line.text("parentUuid").and_then(|id| self.places.get(id));
                let session = parent.and_then(|place| place.session);
                if let Some(session) = session.filter(|s| self.sidechains.contains(s)) {
                    return Ok(session);
                }
                Cow::Owned(format!("{main}/sidechain-{}", self.sidechains.len() + 1))
            }
            None => Cow::Borrowed(main),
        };
        if let Some(seq) = self.sessions.get(key.as_ref()) {
            return Ok(*seq);
        }
        let is_sub = key != main;
        let parent = match is_sub {
            true => self
                .sessions
                .get(main)
                .or_else(|| self.known.sessions.get(main)),
            false => None,
        };
        let parent = parent.copied();
        if is_sub && parent.is_none() {
            self.sink.lose("parent_session_not_in_file");
        }
        let version = match line.text("version") {
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
        let actor = agent(Id::new(AGENT)?, None);
        let mut event = Event::new(actor, body).with(Field::SourceId, key.as_bytes());
        if let Some(folder) = line.text("cwd") {
            event = event.with(Field::Workspace, folder);
        }
        event.causes = parent.into_iter().collect();
        event.claimed = claimed(self.sink, line.text("timestamp"));
        let seq = self.sink.put(event)?.unwrap_or(self.sink.import());
        self.known.sessions.insert(key.clone().into_owned(), seq);
        if is_sidechain && line.text("agentId").is_none() {
            self.sidechains.insert(seq);
        }
        self.sessions.insert(key.into_owned(), seq);
        Ok(seq)
    }
}

fn by_agent(context: &Context<'_>) -> Result<tacho_schemas::record::Actor> {
    Ok(agent(Id::new(AGENT)?, context.model.clone()))
}

/// Tools that change a file.
const EDITING: [&str; 4] = ["Edit", "MultiEdit", "NotebookEdit", "Write"];

/// What an editing tool did.
struct Edit {
    change: Change,
    before: Option<String>,
    after: Option<String>,
    /// What was replaced and by what, where the whole file is not known.
    fragment: (Option<String>, Option<String>),
}

impl Edit {
    fn of(tool: &str, input: &Json<'_>, details: Option<&Json<'_>>) -> Option<Self> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let before = owned(details.and_then(|d| d.text("originalFile")));
        let created = details.and_then(|d| d.text("type")) == Some("create");
        // What the user changed before it was carried out is not what the agent asked for.
        let as_asked = details.and_then(|d| d.bool("userModified")) != Some(true);
        let edits = match tool {
            "Write" => {
                let after = owned(input.text("content").filter(|_| as_asked));
                let change = match created || before.is_none() {
                    true => Change::Create,
                    false => Change::Modify,
                };
                return Some(Self {
                    change,
                    before,
                    after,
                    fragment: (None, None),
                });
            }
            "NotebookEdit" => {
                return Some(Self {
                    change: Change::Modify,
                    before: None,
                    after: None,
                    fragment: (None, owned(input.text("new_source"))),
                });
            }
            "MultiEdit" => input.list("edits")?,
            _ => std::slice::from_ref(input),
        };
        let side = |key| {
            let texts = edits.iter().filter_map(|edit| edit.text(key));
            texts.collect::<Vec<_>>().join("\n")
        };
        let fragment = (Some(side("old_string")), Some(side("new_string")));
        // An edit that replaces nothing makes the file.
        let makes = before.is_none() && edits.first()?.text("old_string")?.is_empty();
        let start = match makes {
            true => Some(String::new()),
            false => before.clone(),
        };
        let after = start.filter(|_| as_asked).and_then(|text| {
            edits
                .iter()
                .try_fold(text, |text, edit| replace(&text, edit))
        });
        Some(Self {
            change: match makes {
                true => Change::Create,
                false => Change::Modify,
            },
            before: before.filter(|_| after.is_some()),
            after,
            fragment,
        })
    }
}

/// Carries out one replacement of an editing tool; none if it does not fit the text.
fn replace(text: &str, edit: &Json<'_>) -> Option<String> {
    let (old, new) = (edit.text("old_string")?, edit.text("new_string")?);
    if old.is_empty() && text.is_empty() {
        return Some(new.to_owned());
    }
    if old.is_empty() || !text.contains(old) {
        return None;
    }
    let all = edit.bool("replace_all").unwrap_or(false);
    Some(if all {
        text.replace(old, new)
    } else {
        text.replacen(old, new, 1)
    })
}

fn path_of<'j>(input: &'j Json<'_>) -> Option<&'j str> {
    ["file_path", "notebook_path", "path"]
        .iter()
        .find_map(|key| input.text(key))
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

fn usage(message: &Json<'_>) -> Option<Usage> {
    let usage = message.get("usage")?;
    let usage = Usage {
        tokens_in: usage.count("input_tokens"),
        tokens_out: usage.count("output_tokens"),
        cache_read: usage.count("cache_read_input_tokens"),
        cache_write: usage.count("cache_creation_input_tokens"),
        cost: None,
    };
    let says_something = usage.tokens_in.is_some() || usage.tokens_out.is_some();
    says_something.then_some(usage)
}
