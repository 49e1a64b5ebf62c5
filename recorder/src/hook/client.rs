//! Asks the gate for a harness: the part of a hook between its standard input and its answer.
//!
//! Everything that can go wrong ends in a deny with a reason. Nothing here reads the environment, and nothing starts a gate.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tacho_policy::Json;
use tacho_schemas::body::work::Status;
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::{Hash, Id, Origin};

use super::install::Door;
use super::transcript::{self, Found, Mark};
use super::{Agent, Answer, Ask, Ended, Moment};
use crate::error::{Error, ErrorKind, Result};
use crate::gate::client::Client;
use crate::gate::wire::{self, CloseSession, Decide, OpenSession, Rationale, SessionOpened};
use crate::switch::{Engaged, Switch, Who};

/// How much longer than a hold we wait for the gate's own answer to it.
const GRACE: Duration = Duration::from_secs(10);

/// The longest output of a tool that is told, in bytes.
const MAX_OUTPUT: usize = 1 << 20;

/// How long a transcript is looked into again for a call that is not there yet, and after what pause. Harnesses write it beside
/// their work, on a busy machine much later than they call us. A file that is not there at all may never come: less for it.
const PATIENCE: Duration = Duration::from_millis(1_500);
const PATIENCE_NO_FILE: Duration = Duration::from_millis(400);
const PAUSE: Duration = Duration::from_millis(25);

/// How often a session that was closed may come back under its own name.
const RETURNS: u32 = 64;

/// What an installed hook knows, all of it from its command line.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Whose dialect.
    pub agent: Agent,
    /// The log.
    pub origin: Origin,
    /// The key that the gate must prove to hold.
    pub key: Fingerprint,
    /// The directory of the off switch.
    pub switch: PathBuf,
    /// Where the gate listens.
    pub door: Door,
    /// How long a hold may wait.
    pub hold: Duration,
}

impl Hook {
    /// Says why the agent must stop, if the off switch is engaged. Reads only files.
    pub fn stopped(&self) -> Option<String> {
        let agent = Id::new(self.agent.id()).ok();
        let who = Who {
            agent: agent.as_ref(),
            ..Who::default()
        };
        match Switch::at(self.switch.clone(), self.origin.clone()).engaged(who) {
            Engaged::No { .. } => None,
            Engaged::Yes(stop) => Some(format!(
                "{stop}. Stop working: no tool runs until people release it"
            )),
        }
    }

    /// When an answer must be there, whatever the gate does.
    pub fn deadline(&self, moment: Moment) -> Duration {
        match (moment, self.agent) {
            (Moment::Before, _) => self.hold + GRACE,
            (Moment::After, _) => Duration::from_secs(20),
            (Moment::End | Moment::Aside, Agent::Codex) => Duration::from_secs(2),
            (Moment::End | Moment::Aside, _) => Duration::from_secs(8),
        }
    }

    /// Asks, or tells, and waits for the answer. `began` is when the harness called.
    pub fn ask(&self, ask: &Ask, began: Instant) -> Answer {
        let answer = match ask.moment {
            Moment::Aside => Ok(Answer::Allow { approved: None }),
            Moment::Before => self.decide(ask, began),
            Moment::After => self.tell(ask, began),
            Moment::End => self.close(ask, began),
        };
        answer.unwrap_or_else(|error| Answer::deny(in_words(ask.moment, &error)))
    }

    fn left(&self, moment: Moment, began: Instant) -> Duration {
        self.deadline(moment).saturating_sub(began.elapsed())
    }

    fn decide(&self, ask: &Ask, began: Instant) -> Result<Answer> {
        let tool = Id::new(ask.tool.as_str()).map_err(|_| {
            Error::new(
                ErrorKind::Unrecordable,
                "the tool's name cannot be recorded: it is longer than 64 characters or has blanks",
            )
        })?;
        let session = self.session(ask, began)?;
        let earlier = session.transcript.as_ref().map(|t| Mark {
            offset: t.offset,
            prefix_blake3: t.prefix_blake3,
        });
        let found = self.look(ask, earlier);
        let wait = self.hold.saturating_sub(began.elapsed());
        let decide = Decide {
            tool,
            input: input(ask)?,
            cwd: ask.cwd.clone(),
            tool_use_id: Some(call_id(ask)),
            rationale: rationale(ask, found.as_ref()),
            transcript: found.as_ref().and_then(|found| place(ask, found)),
            model: ask
                .model
                .as_deref()
                .or(found.as_ref().and_then(|found| found.model.as_deref()))
                .and_then(fitting),
            subagent: ask.subagent.as_deref().and_then(fitting),
            deadline_ms: u64::try_from(wait.as_millis()).ok(),
        };
        let gate = self.gate(Path::new(&session.socket), self.left(Moment::Before, began));
        let said = gate.decide(&decide)?;
        Ok(if said.allows() {
            Answer::Allow {
                approved: said.approved.then_some(said.reason),
            }
        } else {
            Answer::Deny {
                reason: said.reason,
                stop: said.killed,
            }
        })
    }

    /// Looks into the transcript. A harness may write a call there only after it calls us: then we look again, for a while.
    fn look(&self, ask: &Ask, earlier: Option<Mark>) -> Option<Found> {
        let path = ask.transcript.as_deref()?;
        let id = ask.call_id.as_deref();
        let writes_calls = matches!(self.agent, Agent::ClaudeCode | Agent::Codex) && id.is_some();
        let began = Instant::now();
        loop {
            let found = transcript::look(self.agent, path, id, earlier);
            let patience = found.mark.map_or(PATIENCE_NO_FILE, |_| PATIENCE);
            if !writes_calls || found.has_call || began.elapsed() >= patience {
                return Some(found);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn tell(&self, ask: &Ask, began: Instant) -> Result<Answer> {
        let session = self.session(ask, began)?;
        let gate = self.gate(Path::new(&session.socket), self.left(Moment::After, began));
        let failed = ask.ended == Some(Ended::Failed);
        let output = ask
            .output
            .as_deref()
            .map(|text| super::short(text, MAX_OUTPUT));
        let outcome = wire::Outcome {
            action: None,
            tool_use_id: Some(call_id(ask)),
            tool: Id::new(ask.tool.as_str())?,
            input: input(ask)?,
            cwd: Some(ask.cwd.clone()),
            status: match ask.ended {
                Some(Ended::Succeeded) => Status::Succeeded,
                Some(Ended::Failed) => Status::Failed,
                Some(Ended::Cancelled) => Status::Cancelled,
                Some(Ended::Unknown) | None => Status::Unknown,
            },
            exit: ask.exit,
            output: output.clone().filter(|_| !failed),
            error: output.filter(|_| failed),
        };
        gate.outcome(&outcome)?;
        Ok(Answer::Allow { approved: None })
    }

    fn close(&self, ask: &Ask, began: Instant) -> Result<Answer> {
        // What `tacho run` opened it closes itself.
        if let Door::Log(_) = self.door {
            let session = self.session(ask, began)?;
            let gate = self.gate(self.door.path(), self.left(Moment::End, began));
            let close = CloseSession {
                exit: None,
                signal: None,
                reason: Some(format!("{} says that it ended", self.agent)),
            };
            gate.close_session(session.session, &close)?;
        }
        Ok(Answer::Allow { approved: None })
    }

    fn gate(&self, socket: &Path, deadline: Duration) -> Client {
        Client::new(socket, Some(self.key), deadline)
    }

    /// The session in which the harness's own session is recorded.
    fn session(&self, ask: &Ask, began: Instant) -> Result<SessionOpened> {
        if let Door::Session(socket) = &self.door {
            return Ok(SessionOpened {
                session: tacho_schemas::Seq(0),
                socket: socket.to_string_lossy().into_owned(),
                transcript: None,
            });
        }
        let agent = Id::new(self.agent.id())?;
        let mut open = OpenSession {
            agent: agent.clone(),
            workspace: workspace(Path::new(&ask.cwd))
                .to_string_lossy()
                .into_owned(),
            harness: Some(agent),
            harness_version: None,
            lineage: None,
            confinement: None,
            parent: None,
            launcher: None,
            goal: None,
            command: None,
            source_id: Some(ask.session.clone()),
            reference: None,
        };
        let name = reference(self.agent, &ask.session);
        for time in 1..=RETURNS {
            let suffix = if time == 1 {
                String::new()
            } else {
                format!(".{time}")
            };
            open.reference = Some(Id::new(format!("{name}{suffix}"))?);
            let gate = self.gate(self.door.path(), self.left(ask.moment, began));
            match gate.open_session(&open) {
                // It was closed, and the agent took it up again.
                Err(error)
                    if error.kind() == ErrorKind::Refused
                        && error.to_string().contains("is closed") => {}
                answer => return answer,
            }
        }
        Err(Error::new(
            ErrorKind::Refused,
            "this session was closed and taken up again too often",
        ))
    }
}

/// The words of a failure, for the model.
fn in_words(moment: Moment, error: &Error) -> String {
    let hint = error
        .hint()
        .map(|hint| format!("; {hint}"))
        .unwrap_or_default();
    match moment {
        Moment::Before => format!(
            "tachograph denies this: {error}{hint}. Nothing runs without a record: do not try another tool, tell the user"
        ),
        _ => format!("tachograph could not record this: {error}{hint}"),
    }
}

/// What goes into the tool. Read strictly before a call; after it, the tool has run and what can be read is told.
fn input(ask: &Ask) -> Result<Json> {
    Json::parse(ask.input.get())
        .map_err(|e| Error::new(ErrorKind::Unrecordable, format!("the tool's input is {e}")))
}

/// The harness's id of the call; where it has none, one made of what is the same before and after.
fn call_id(ask: &Ask) -> String {
    if let Some(id) = ask.call_id.as_deref().filter(|id| !id.is_empty()) {
        return id.to_owned();
    }
    let mut hasher = blake3::Hasher::new();
    for part in [&ask.session, &ask.tool, ask.input.get()] {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let hex = Hash(*hasher.finalize().as_bytes()).to_string();
    format!("input-{}", hex.chars().take(32).collect::<String>())
}

/// The name under which a harness's session is opened once.
fn reference(agent: Agent, session: &str) -> String {
    let plain = session.len() <= 40 && session.chars().all(|c| c.is_ascii_graphic());
    if plain {
        return format!("{}:{session}", agent.id());
    }
    let hex = Hash(*blake3::hash(session.as_bytes()).as_bytes()).to_string();
    format!(
        "{}:{}",
        agent.id(),
        hex.chars().take(40).collect::<String>()
    )
}

/// A name as an id; none if it does not fit.
fn fitting(name: &str) -> Option<Id> {
    Id::new(name).ok()
}

/// The repository that a folder is in, else the folder.
fn workspace(cwd: &Path) -> &Path {
    let root = cwd
        .ancestors()
        .find(|folder| folder.join(".git").symlink_metadata().is_ok());
    root.unwrap_or(cwd)
}

fn place(ask: &Ask, found: &Found) -> Option<wire::Transcript> {
    let path = ask.transcript.as_ref()?.to_str()?;
    // A transcript that is gone has no place, and says so by what no longer fits.
    let mark = match (found.mark, found.unchanged) {
        (Some(mark), _) => mark,
        (None, Some(false)) => Mark {
            offset: 0,
            prefix_blake3: Hash(*blake3::hash(b"").as_bytes()),
        },
        (None, _) => return None,
    };
    Some(wire::Transcript {
        path: path.to_owned(),
        offset: mark.offset,
        prefix_blake3: mark.prefix_blake3,
        last_matches: found.unchanged,
    })
}

fn rationale(ask: &Ask, found: Option<&Found>) -> Option<Rationale> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let words = |from_transcript, goal, summary, reasoning| Rationale {
        from_transcript: Some(from_transcript),
        goal,
        summary,
        reasoning,
        alternatives: None,
        expected_effect: None,
        evidence: None,
        confidence: None,
    };
    if let Some(given) = &ask.rationale {
        let given = given.clone();
        return Some(words(false, given.goal, given.summary, given.reasoning));
    }
    if let Some(found) = found.filter(|f| !(f.summary.is_empty() && f.reasoning.is_empty())) {
        return Some(words(
            true,
            None,
            some(&found.summary),
            some(&found.reasoning),
        ));
    }
    // What the model says of its call in the call itself.
    let input = Json::parse(ask.input.get()).ok()?;
    let described = some(input.field("description")?.as_text()?)?;
    Some(words(false, None, Some(described), None))
}
