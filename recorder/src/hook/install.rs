//! Writes a hook into a harness's settings, and takes it out again.
//!
//! Text in, text out: settings belong to the user, so everything that is there stays as it is, comments of TOML and the user's own
//! layout too, and what [`add`] did [`remove`] undoes to the byte. Nothing here touches a file.

mod block;
mod json;

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer, ser::SerializeMap};
use tacho_schemas::sign::Fingerprint;

use super::harness::{Agent, Listen, Scope, Shape};
use crate::error::{Error, ErrorKind, Result};

/// What an installed hook runs. All of it stands in the settings; nothing is taken from the environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    /// The program, absolute.
    pub program: PathBuf,
    /// Whose dialect.
    pub agent: Agent,
    /// The log, by its origin.
    pub origin: String,
    /// The log key that the gate must prove to hold.
    pub key: Fingerprint,
    /// Where the gate listens, absolute.
    pub door: Door,
    /// The directory of the off switch, absolute.
    pub switch: PathBuf,
    /// The longest that a hold may wait for people, in seconds.
    pub hold: u64,
}

/// Where a hook finds the gate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Door {
    /// The socket of people's verbs, which opens a session for each of the harness's own.
    Log(PathBuf),
    /// The socket of one session: what arrives there is that session.
    Session(PathBuf),
}

impl Door {
    /// The socket.
    pub fn path(&self) -> &Path {
        match self {
            Self::Log(path) | Self::Session(path) => path,
        }
    }
}

impl Command {
    /// The arguments, one by one.
    pub fn args(&self) -> Vec<String> {
        [
            "hook",
            "--agent",
            self.agent.id(),
            "--origin",
            &self.origin,
            "--key",
            &self.key.to_string(),
            "--switch",
            &self.switch.to_string_lossy(),
            match self.door {
                Door::Log(_) => "--door",
                Door::Session(_) => "--socket",
            },
            &self.door.path().to_string_lossy(),
            "--hold",
            &self.hold.to_string(),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// The same as one line for a POSIX shell.
    pub fn line(&self) -> String {
        let program = self.program.to_string_lossy().into_owned();
        let words: Vec<String> = std::iter::once(program)
            .chain(self.args())
            .map(|word| quoted(&word))
            .collect();
        words.join(" ")
    }

    /// Says whether this can be installed at all.
    pub fn check(&self) -> Result<()> {
        let harness = self.agent.harness();
        let usage = |what: String| Err(Error::new(ErrorKind::Usage, what));
        if self.hold > harness.longest_hold() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "a hold of {} s is longer than {} lets a hook wait: it would run the tool",
                    self.hold, harness.name
                ),
            )
            .with_hint(format!("at most {} s", harness.longest_hold())));
        }
        for path in [&self.program, &self.switch, self.door.path()] {
            let path: &Path = path;
            if !path.is_absolute() || path.to_str().is_none_or(|path| path.contains(['\n', '\0'])) {
                return usage(format!(
                    "`{}` cannot stand in a hook's command: it must be absolute and UTF-8",
                    path.display()
                ));
            }
        }
        Ok(())
    }
}

/// A word that a POSIX shell reads as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:+=@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Puts the hook into settings, and returns them whole; the same text if it is there as it would be written.
///
/// `text` is none where there is no file.
pub fn add(command: &Command, scope: Scope, text: Option<&str>) -> Result<String> {
    command.check()?;
    let harness = command.agent.harness();
    if harness.listens.is_empty() {
        return Err(Error::new(
            ErrorKind::Usage,
            "the generic hook has no settings: your own program calls it",
        )
        .with_hint(format!("it runs: {}", command.line())));
    }
    if is_toml(command.agent, scope) {
        return block::add(command, text.unwrap_or_default());
    }
    let fresh = match harness.shape {
        Shape::Flat => "{\n  \"version\": 1\n}\n",
        Shape::Nested => "{}\n",
    };
    let mut text = text
        .filter(|text| !text.trim().is_empty())
        .unwrap_or(fresh)
        .to_owned();
    for listen in harness.listens {
        text = json::add(&text, command, &entry(command, listen), listen.event)?;
    }
    Ok(text)
}

/// Takes the hook out of settings, whatever log or program it names, and returns the rest.
pub fn remove(agent: Agent, scope: Scope, text: &str) -> Result<String> {
    if is_toml(agent, scope) {
        return Ok(block::remove(text));
    }
    let mut text = text.to_owned();
    for listen in agent.harness().listens {
        text = json::remove(&text, agent, listen.event)?;
    }
    Ok(text)
}

/// The commands of our hooks in settings, as lines, with the event that each is for.
pub fn installed(agent: Agent, scope: Scope, text: &str) -> Result<Vec<(String, String)>> {
    if is_toml(agent, scope) {
        return block::installed(agent, text);
    }
    json::installed(agent, text)
}

/// Whether nothing is left but what [`add`] makes where there was no file.
pub fn is_bare(agent: Agent, scope: Scope, text: &str) -> bool {
    if is_toml(agent, scope) {
        return text.is_empty();
    }
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    matches!(bare.as_str(), "" | "{}" | "{\"version\":1}")
}

fn is_toml(agent: Agent, scope: Scope) -> bool {
    (agent, scope) == (Agent::Codex, Scope::Managed)
}

/// A member of a handler.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Value {
    List(Vec<String>),
    Number(u64),
    Text(String),
    True(bool),
}

/// Members in the order in which they are written.
#[derive(Clone, Debug)]
struct Handler(Vec<(&'static str, Value)>);

impl Serialize for Handler {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// One entry of a settings file for an event.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Entry {
    Flat(Handler),
    Nested {
        #[serde(skip_serializing_if = "Option::is_none")]
        matcher: Option<&'static str>,
        hooks: [Handler; 1],
    },
}

fn entry(command: &Command, listen: &Listen) -> Entry {
    let harness = command.agent.harness();
    let mut handler = vec![("type", Value::Text("command".to_owned()))];
    match command.agent {
        // Without a shell between: seen to work from 2.1.197 on.
        Agent::ClaudeCode => handler.extend([
            (
                "command",
                Value::Text(command.program.to_string_lossy().into_owned()),
            ),
            ("args", Value::List(command.args())),
        ]),
        Agent::Copilot => handler.push(("bash", Value::Text(command.line()))),
        _ => handler.push(("command", Value::Text(command.line()))),
    }
    if command.agent == Agent::Gemini {
        handler.insert(0, ("name", Value::Text("tachograph".to_owned())));
    }
    handler.push((
        harness.timeout_key,
        Value::Number(harness.timeout(command.hold, listen)),
    ));
    // A hook after the fact has nothing to block.
    let before = listen.tools && listen.short.is_none();
    // Versions that do not know it pass it over.
    if let Some((key, value)) = harness.closes_by
        && before
    {
        handler.push((
            key,
            match value {
                "true" => Value::True(true),
                text => Value::Text(text.trim_matches('"').to_owned()),
            },
        ));
    }
    match harness.shape {
        Shape::Flat => Entry::Flat(Handler(handler)),
        Shape::Nested => Entry::Nested {
            matcher: listen.tools.then_some(match command.agent {
                Agent::Gemini => ".*",
                _ => "*",
            }),
            hooks: [Handler(handler)],
        },
    }
}

/// Whether a command line is one of ours for this agent.
fn is_ours(agent: Agent, line: &str) -> bool {
    line.contains(&format!(" hook --agent {} --origin ", agent.id()))
}

/// The lines that a change takes out (`-`) and puts in (`+`), with two lines around them.
pub fn changes(old: &str, new: &str) -> Vec<(char, String)> {
    let diff = similar::TextDiff::from_lines(old, new);
    let mut lines = Vec::new();
    for (place, group) in diff.grouped_ops(2).iter().enumerate() {
        if place > 0 {
            lines.push((' ', "…".to_owned()));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                similar::ChangeTag::Delete => '-',
                similar::ChangeTag::Equal => ' ',
                similar::ChangeTag::Insert => '+',
            };
            lines.push((sign, change.value().trim_end_matches('\n').to_owned()));
        }
    }
    lines
}
