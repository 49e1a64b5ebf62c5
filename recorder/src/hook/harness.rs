//! One table of harnesses: who they are, how long they wait, what they do when a hook fails, where their settings lie.
//!
//! The numbers are what was measured with the real program where `tried` says so, else what its documents or its source say.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A harness whose dialect we speak.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Agent {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// OpenAI's Codex CLI.
    Codex,
    /// GitHub's Copilot CLI.
    Copilot,
    /// Cursor.
    Cursor,
    /// Google's Gemini CLI.
    Gemini,
    /// Anything that speaks our own JSON (`schemas/hook-generic.schema.json`).
    Generic,
}

/// In what a harness writes its timeouts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
}

/// How the entries of a settings file are nested.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// `{"hooks": {EVENT: [HANDLER…]}}`.
    Flat,
    /// `{"hooks": {EVENT: [{"matcher": …, "hooks": [HANDLER…]}]}}`.
    Nested,
}

/// Whose settings a hook is written into. The later ones are stronger.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// Of one workspace. The agent that it gates can usually edit it.
    Project,
    /// Of one user. So can it, unless it is confined.
    User,
    /// Of the machine, by its administrator.
    Managed,
}

/// An event that a hook is installed for.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// Its name.
    pub event: &'static str,
    /// Whether it is about tools, so that a matcher makes sense.
    pub tools: bool,
    /// The longest timeout in seconds that makes sense for it; none for the gate's own.
    pub short: Option<u64>,
}

/// What is known of a harness.
#[derive(Debug)]
pub struct Harness {
    /// Who.
    pub agent: Agent,
    /// As the command line and the log name it.
    pub id: &'static str,
    /// As people name it.
    pub name: &'static str,
    /// The program to ask for its version.
    pub cli: Option<&'static str>,
    /// In what it writes its timeouts.
    pub unit: Unit,
    /// Under which key.
    pub timeout_key: &'static str,
    /// How long it waits for a hook if nothing is written, in seconds.
    pub waits: u64,
    /// The longest that we may write, in seconds: beyond it nobody has seen it wait.
    pub longest: u64,
    /// How its settings are nested.
    pub shape: Shape,
    /// What its events are called.
    pub listens: &'static [Listen],
    /// From which version on it can be told to deny when the hook fails; none if never.
    pub closes_from: Option<Version>,
    /// The member of the handler that says so.
    pub closes_by: Option<(&'static str, &'static str)>,
    /// What happens to a tool call when the hook dies, cannot start, or takes too long, in a sentence.
    pub when_it_fails: &'static str,
    /// The versions that our tests run; empty if it was written from documents.
    pub tried: &'static [&'static str],
}

/// A version such as 2.1.330.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version(pub u32, pub u32, pub u32);

const fn tool(event: &'static str) -> Listen {
    Listen {
        event,
        tools: true,
        short: None,
    }
}

/// What comes after a call is reported, not asked: nobody waits for people there.
const fn after(event: &'static str) -> Listen {
    Listen {
        event,
        tools: true,
        short: Some(30),
    }
}

const fn end(event: &'static str, short: u64) -> Listen {
    Listen {
        event,
        tools: false,
        short: Some(short),
    }
}

/// What most of them share.
const USUAL: Harness = Harness {
    agent: Agent::Generic,
    id: "",
    name: "",
    cli: None,
    unit: Unit::Seconds,
    timeout_key: "timeout",
    waits: 600,
    longest: 600,
    shape: Shape::Nested,
    listens: &[],
    closes_from: None,
    closes_by: None,
    when_it_fails: "",
    tried: &[],
};

/// The table.
pub static HARNESSES: [Harness; 6] = [
    Harness {
        agent: Agent::ClaudeCode,
        id: "claude-code",
        name: "Claude Code",
        cli: Some("claude"),
        shape: Shape::Nested,
        listens: &[
            tool("PreToolUse"),
            after("PostToolUse"),
            after("PostToolUseFailure"),
            end("SessionEnd", 10),
        ],
        closes_from: Some(Version(2, 1, 295)),
        closes_by: Some(("onFailure", "\"block\"")),
        when_it_fails: "the tool runs before version 2.1.295; from then on it is blocked, unless the hook says nothing or something torn",
        tried: &["2.1.197", "2.1.330"],
        ..USUAL
    },
    Harness {
        agent: Agent::Codex,
        id: "codex",
        name: "Codex",
        cli: Some("codex"),
        shape: Shape::Nested,
        listens: &[
            tool("PreToolUse"),
            after("PostToolUse"),
            end("SessionEnd", 3),
        ],
        when_it_fails: "the tool runs, in every version: only `tacho reconcile` shows it afterwards",
        tried: &["0.169.0"],
        ..USUAL
    },
    Harness {
        agent: Agent::Copilot,
        id: "copilot",
        name: "Copilot CLI",
        cli: Some("copilot"),
        timeout_key: "timeoutSec",
        waits: 30,
        shape: Shape::Flat,
        listens: &[
            tool("preToolUse"),
            after("postToolUse"),
            end("sessionEnd", 10),
        ],
        when_it_fails: "the tool is blocked when the hook crashes or is not there, but runs when it takes too long",
        ..USUAL
    },
    Harness {
        agent: Agent::Cursor,
        id: "cursor",
        name: "Cursor",
        cli: Some("cursor-agent"),
        waits: 60,
        shape: Shape::Flat,
        listens: &[
            tool("preToolUse"),
            after("postToolUse"),
            after("postToolUseFailure"),
            end("sessionEnd", 10),
        ],
        closes_from: Some(Version(0, 0, 0)),
        closes_by: Some(("failClosed", "true")),
        when_it_fails: "the tool is blocked: `failClosed` is set",
        ..USUAL
    },
    Harness {
        agent: Agent::Gemini,
        id: "gemini",
        name: "Gemini CLI",
        cli: Some("gemini"),
        unit: Unit::Milliseconds,
        waits: 60,
        shape: Shape::Nested,
        listens: &[
            tool("BeforeTool"),
            after("AfterTool"),
            end("SessionEnd", 10),
        ],
        when_it_fails: "the tool runs when the hook is killed, takes too long or cannot start",
        ..USUAL
    },
    Harness {
        agent: Agent::Generic,
        id: "generic",
        name: "generic",
        cli: None,
        longest: 3_600,
        shape: Shape::Flat,
        listens: &[],
        when_it_fails: "what your own program does: see the examples, which deny",
        tried: &["schemas/hook-generic.schema.json"],
        ..USUAL
    },
];

impl Agent {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        HARNESSES.iter().map(|harness| harness.agent)
    }

    /// What is known of it.
    pub fn harness(self) -> &'static Harness {
        let [claude_code, codex, copilot, cursor, gemini, generic] = &HARNESSES;
        match self {
            Self::ClaudeCode => claude_code,
            Self::Codex => codex,
            Self::Copilot => copilot,
            Self::Cursor => cursor,
            Self::Gemini => gemini,
            Self::Generic => generic,
        }
    }

    /// As the command line and the log name it.
    pub fn id(self) -> &'static str {
        self.harness().id
    }

    /// Whether this may be who sent a payload.
    pub(super) fn may_be(self, sender: &str) -> bool {
        self.harness().name == sender
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.harness().name)
    }
}

impl FromStr for Agent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = HARNESSES.iter().find(|harness| harness.id == text);
        found.map(|harness| harness.agent).ok_or_else(|| {
            let ids: Vec<_> = HARNESSES.iter().map(|harness| harness.id).collect();
            format!("no such agent; there are {}", ids.join(", "))
        })
    }
}

impl Serialize for Agent {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.id())
    }
}

impl Harness {
    /// The longest that a hold may wait for people, in seconds: well below the harness's own timeout, so that it is we who say no.
    pub fn longest_hold(&self) -> u64 {
        self.longest * 9 / 10
    }

    /// The timeout to write for a hold of so many seconds, in the harness's unit.
    pub fn timeout(&self, hold: u64, listen: &Listen) -> u64 {
        let seconds = match listen.short {
            Some(short) => short,
            // A tenth more than our own deadline, and never less than a busy machine needs.
            None => (hold + hold.div_ceil(9)).max(hold + 30).min(self.longest),
        };
        match self.unit {
            Unit::Milliseconds => seconds * 1_000,
            Unit::Seconds => seconds,
        }
    }

    /// Whether a version can be told to deny when the hook fails.
    pub fn can_close(&self, version: Option<Version>) -> bool {
        match (self.closes_from, version) {
            (Some(from), Some(version)) => version >= from,
            (Some(from), None) => from == Version(0, 0, 0),
            (None, _) => false,
        }
    }

    /// Where the settings of a scope lie; none if there is no such scope.
    pub fn settings(&self, scope: Scope, home: &Path, project: &Path) -> Option<PathBuf> {
        let below = |base: &Path, path: &str| Some(base.join(path));
        match (self.agent, scope) {
            (Agent::ClaudeCode, Scope::Project) => below(project, ".claude/settings.json"),
            (Agent::ClaudeCode, Scope::User) => below(home, ".claude/settings.json"),
            (Agent::ClaudeCode, Scope::Managed) => {
                Some("/etc/claude-code/managed-settings.json".into())
            }
            (Agent::Codex, Scope::Project) => below(project, ".codex/hooks.json"),
            (Agent::Codex, Scope::User) => below(home, ".codex/hooks.json"),
            (Agent::Codex, Scope::Managed) => Some("/etc/codex/requirements.toml".into()),
            (Agent::Copilot, Scope::Project) => below(project, ".github/hooks/tachograph.json"),
            (Agent::Copilot, Scope::User) => below(home, ".copilot/hooks/tachograph.json"),
            (Agent::Copilot, Scope::Managed) => {
                Some("/etc/github-copilot/policy.d/tachograph.json".into())
            }
            (Agent::Cursor, Scope::Project) => below(project, ".cursor/hooks.json"),
            (Agent::Cursor, Scope::User) => below(home, ".cursor/hooks.json"),
            (Agent::Cursor, Scope::Managed) => Some("/etc/cursor/hooks.json".into()),
            (Agent::Gemini, Scope::Project) => below(project, ".gemini/settings.json"),
            (Agent::Gemini, Scope::User) => below(home, ".gemini/settings.json"),
            (Agent::Gemini, Scope::Managed) => Some("/etc/gemini-cli/settings.json".into()),
            (Agent::Generic, _) => None,
        }
    }
}

impl Version {
    /// Finds the first version in what a program says of itself.
    pub fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.')
            .find_map(|word| {
                let mut numbers = word.splitn(4, '.').map(str::parse);
                match (numbers.next(), numbers.next(), numbers.next()) {
                    (Some(Ok(a)), Some(Ok(b)), Some(Ok(c))) => Some(Self(a, b, c)),
                    _ => None,
                }
            })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "project" => Ok(Self::Project),
            "user" => Ok(Self::User),
            "managed" => Ok(Self::Managed),
            _ => Err("there are project, user and managed".to_owned()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Project => "project",
            Self::User => "user",
            Self::Managed => "managed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, version) in [
            ("2.1.330 (Claude Code)", Some(Version(2, 1, 330))),
            ("codex-cli 0.169.0", Some(Version(0, 169, 0))),
            ("gemini 0.61.0-nightly.3", Some(Version(0, 61, 0))),
            ("v1.2", None),
            ("", None),
        ] {
            assert_eq!(Version::find(said), version, "{said}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_our_deadline_comes_first() {
        for harness in &HARNESSES {
            assert_eq!(harness.agent.harness().id, harness.id);
            assert_eq!(harness.id.parse(), Ok(harness.agent));
            let hold = harness.longest_hold();
            assert!(hold * 10 <= harness.longest * 9, "{}", harness.id);
            for listen in harness.listens {
                let unit = match harness.unit {
                    Unit::Milliseconds => 1_000,
                    Unit::Seconds => 1,
                };
                for hold in [0, 1, 30, 300, hold] {
                    let timeout = harness.timeout(hold, listen) / unit;
                    assert!(timeout <= harness.longest, "{}", harness.id);
                    assert!(listen.short.is_some() || timeout > hold, "{}", harness.id);
                }
            }
        }
    }
}
