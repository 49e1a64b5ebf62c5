//! What agents call before each tool call: the hook.
//!
//! A harness runs `tacho hook --agent A`, writes what is about to happen to its standard input, and reads the answer from its
//! standard output. Each harness has a dialect of its own, one file each, and most of them **run the tool when a hook answers in
//! any way they do not understand**. So the rules here are narrow:
//!
//! - one dialect per installed command: what another harness sent is refused, never guessed at;
//! - an answer is exit 0 with one whole document of the dialect, or exit 2 with a reason on stderr and nothing else;
//! - what cannot be read without doubt (repeated keys, half characters, NUL, text after the end) is denied.
//!
//! Everything here is pure: bytes in, bytes out. `tacho hook` does the waiting.

pub mod canary;
mod claude_code;
pub mod client;
mod codex;
mod copilot;
mod cursor;
mod gemini;
mod generic;
pub mod harness;
pub mod install;
mod payload;
pub mod reconcile;
pub mod transcript;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::value::RawValue;
use tacho_schemas::safe::safe_block;

pub use harness::Agent;

/// The longest payload that may ask for something, in bytes. A tool call that is longer is denied: no person could review it.
pub const MAX_ASK: usize = 8 << 20;

/// The longest payload that is read at all. What a tool brought may be longer than what went into it.
pub const MAX_PAYLOAD: usize = 64 << 20;

/// The longest reason in bytes, so that a whole answer fits into one atomic write to a pipe (4,096 bytes).
const MAX_REASON: usize = 1_200;

/// When in the life of a tool call the harness speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// A tool is about to run: the answer counts.
    Before,
    /// A tool has run.
    After,
    /// The session ends.
    End,
    /// Something else that the harness tells its hooks; there is nothing to decide.
    Aside,
}

/// How a tool call ended, as the harness says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// As wished.
    Succeeded,
    /// With an error.
    Failed,
    /// Somebody called it off.
    Cancelled,
    /// The harness does not say.
    Unknown,
}

/// What a harness told its hook.
#[derive(Clone, Debug, Serialize)]
pub struct Ask {
    /// Whose dialect it is.
    pub agent: Agent,
    /// The event, as the harness names it.
    pub event: String,
    /// What sort of event that is.
    pub moment: Moment,
    /// The harness's id of the session.
    pub session: String,
    /// The tool, as the harness names it; empty for an [`Moment::Aside`] or [`Moment::End`].
    pub tool: String,
    /// What goes into the tool, as JSON text exactly as it came; `{}` if there is no tool.
    pub input: Box<RawValue>,
    /// The id of the call, where the harness has one.
    pub call_id: Option<String>,
    /// The folder that the session works in.
    pub cwd: String,
    /// The agent's own transcript.
    pub transcript: Option<PathBuf>,
    /// The model, as the harness names it.
    pub model: Option<String>,
    /// Which sub-agent asks.
    pub subagent: Option<String>,
    /// How the call ended ([`Moment::After`]).
    pub ended: Option<Ended>,
    /// Its exit code, where the harness says it.
    pub exit: Option<i64>,
    /// What it brought, as text.
    pub output: Option<String>,
    /// The rationale, where the caller gives it with the call (generic).
    pub rationale: Option<Given>,
    /// Fields that the dialect does not know, kept as they came.
    pub extra: Vec<(String, Box<RawValue>)>,
}

/// A rationale that came with the call itself.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Given {
    /// What is to be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// In short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// At length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
}

/// What the gate said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Go on. Our yes never takes the place of the harness's own questions, unless people approved this very call.
    Allow {
        /// What people approved, in a sentence; none if policy alone allowed it.
        approved: Option<String>,
    },
    /// Do not.
    Deny {
        /// Why, in words for the model.
        reason: String,
        /// Whether the agent is to stop altogether: the off switch is engaged.
        stop: bool,
    },
}

impl Answer {
    /// A no for this one call.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny {
            reason: reason.into(),
            stop: false,
        }
    }
}

/// What a hook gives back to its harness.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Output {
    /// For stdout, whole.
    pub stdout: Vec<u8>,
    /// For stderr.
    pub stderr: String,
    /// 0 or 2; others would let the tool run.
    pub exit: u8,
}

impl Output {
    /// A document of the dialect.
    fn document(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(mut stdout) => {
                stdout.push(b'\n');
                Self {
                    stdout,
                    ..Self::default()
                }
            }
            Err(_) => Self::refusal("the answer could not be written"),
        }
    }

    /// The no that every harness understands: exit 2 with a reason on stderr.
    pub fn refusal(reason: &str) -> Self {
        Self {
            stdout: Vec::new(),
            stderr: format!("{}\n", fit(reason)),
            exit: 2,
        }
    }
}

/// Why a payload is not even asked about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// There was nothing on standard input, or it was closed before the end.
    CutShort,
    /// The event is none that this dialect knows.
    Event(String),
    /// Another harness sent it.
    Foreign {
        /// Whom the command was installed for.
        installed: Agent,
        /// Who seems to have sent it.
        sender: &'static str,
    },
    /// A field is missing or not what it should be.
    Field(&'static str),
    /// It has a NUL character, which a shell or the kernel would cut at.
    Nul,
    /// It is not one JSON object, in UTF-8, with nothing before or after.
    NotJson,
    /// A key stands twice: two readers would read two things.
    RepeatedKey,
    /// It is longer than what is read.
    TooLong,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tachograph denies this: ")?;
        match self {
            Self::CutShort => f.write_str("what the harness sent is cut short"),
            Self::Event(event) => write!(f, "the event `{}` is not known", short(event, 64)),
            Self::Foreign { installed, sender } => write!(
                f,
                "this hook is installed for {installed}, and {sender} called it; run `tacho hook install` for that agent"
            ),
            Self::Field(field) => write!(f, "`{field}` is missing or malformed"),
            Self::Nul => f.write_str("there is a NUL character in it"),
            Self::NotJson => f.write_str("what the harness sent is not one JSON object in UTF-8"),
            Self::RepeatedKey => f.write_str("a key stands in it more than once"),
            Self::TooLong => write!(f, "it is longer than {} MiB", MAX_ASK >> 20),
        }
    }
}

impl std::error::Error for Refusal {}

impl Agent {
    /// Reads what the harness wrote to the hook's standard input.
    pub fn parse(self, bytes: &[u8]) -> Result<Ask, Refusal> {
        let payload = payload::Payload::read(bytes)?;
        if let Some(sender) = payload.sender()
            && !self.may_be(sender)
        {
            return Err(Refusal::Foreign {
                installed: self,
                sender,
            });
        }
        let ask = match self {
            Self::ClaudeCode => claude_code::parse(&payload),
            Self::Codex => codex::parse(&payload),
            Self::Copilot => copilot::parse(&payload),
            Self::Cursor => cursor::parse(&payload),
            Self::Gemini => gemini::parse(&payload),
            Self::Generic => generic::parse(&payload),
        }?;
        if ask.moment == Moment::Before {
            payload.strictly()?;
        }
        Ok(ask)
    }

    /// Says an answer in the harness's own words.
    pub fn answer(self, ask: &Ask, answer: &Answer) -> Output {
        let answer = match answer {
            Answer::Deny { reason, stop } => &Answer::Deny {
                reason: fit(reason),
                stop: *stop,
            },
            allow => allow,
        };
        match self {
            Self::ClaudeCode => claude_code::answer(ask, answer),
            Self::Codex => codex::answer(ask, answer),
            Self::Copilot => copilot::answer(ask, answer),
            Self::Cursor => cursor::answer(ask, answer),
            Self::Gemini => gemini::answer(ask, answer),
            Self::Generic => generic::answer(ask, answer),
        }
    }

    /// Says no to what could not be read, so that the harness understands it whatever the event was.
    pub fn refuse(self, reason: &str) -> Output {
        let reason = &fit(reason);
        match self {
            // Their documents name the event, which is in doubt; exit 2 does not.
            Self::ClaudeCode | Self::Codex => Output::refusal(reason),
            Self::Copilot => copilot::no(reason),
            Self::Cursor => cursor::no(reason),
            Self::Gemini => gemini::no(reason, false),
            Self::Generic => generic::no(reason, false),
        }
    }
}

/// A reason that is never empty, never commands a terminal, and leaves room in one write. Several harnesses run the tool when the
/// reason is empty.
fn fit(reason: &str) -> String {
    let reason = safe_block(reason.trim());
    if reason.is_empty() {
        return "tachograph denies this".to_owned();
    }
    short(&reason, MAX_REASON)
}

/// A text of at most so many bytes; what is cut shows.
fn short(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut cut = String::with_capacity(most + 3);
    for c in text.chars() {
        if cut.len() + c.len_utf8() > most {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}
