//! The gate's part of a run: one that runs or is started, a session, and its hook in every harness's managed settings.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tacho_recorder::ErrorKind;
use tacho_recorder::gate::client::Client;
use tacho_recorder::gate::wire::{CloseSession, GateStatus, OpenSession, SessionOpened};
use tacho_recorder::hook::Agent;
use tacho_recorder::hook::harness::Scope;
use tacho_recorder::hook::install::{self, Door};
use tacho_recorder::run::plan::{INSIDE_DOOR, INSIDE_EXE, INSIDE_SWITCH, Managed};
use tacho_recorder::run::{End, Level};
use tacho_schemas::{Id, Seq};

use crate::cmd::hook::settings;
use crate::place::{self, Place};
use crate::term::{Failure, Term, count};

/// How long a gate may take to start: it reads the log from its last checkpoint on.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gate and a session on it.
pub(super) struct Session {
    client: Client,
    /// The gate, where we started it.
    own: Option<Child>,
    pub(super) seq: Seq,
    /// The folder of its socket.
    pub(super) door: PathBuf,
}

impl Session {
    /// Finds a gate or starts one, and opens a session.
    pub(super) fn open(
        place: &Place,
        agent: &Id,
        argv: &[std::ffi::OsString],
        cwd: &Path,
        level: Level,
        preset: Option<&str>,
        term: &mut Term,
    ) -> Result<Self, Failure> {
        let dir = place.open_to_read()?;
        let socket = dir.path().join("reviewers.sock");
        let client = Client::new(&socket, None, PATIENCE);
        let own = match client.get::<serde_json::Value>("/v1/health") {
            Ok(_) => {
                if preset.is_some() {
                    term.note("a gate runs already, and its policy stays in force: `--preset` changes nothing");
                }
                None
            }
            Err(error) if error.kind() == ErrorKind::Missing => {
                Some(start(dir.path(), preset, &client)?)
            }
            // One is there and does not answer, e.g. since its disk stands still: a second could not own the log.
            Err(error) => return Err(error.into()),
        };
        let program = argv
            .first()
            .map(Path::new)
            .and_then(Path::file_name)
            .unwrap_or_default();
        let command: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
        let harness = match program.to_str() {
            Some("claude") => Some(Agent::ClaudeCode.id()),
            Some(name) => Agent::all().map(Agent::id).find(|id| *id == name),
            None => None,
        };
        let open = OpenSession {
            agent: agent.clone(),
            workspace: cwd.to_string_lossy().into_owned(),
            harness: harness.map(Id::new).transpose()?,
            harness_version: None,
            lineage: None,
            confinement: Some(level.confinement()),
            parent: None,
            launcher: None,
            goal: None,
            command: Some(command.join(" ")),
            source_id: None,
            reference: None,
        };
        let opened: SessionOpened = match client.open_session(&open) {
            Ok(opened) => opened,
            Err(error) => {
                stop(own);
                return Err(error.into());
            }
        };
        let socket = PathBuf::from(opened.socket);
        let door = socket
            .parent()
            .map_or_else(|| socket.clone(), Path::to_owned);
        Ok(Self {
            client,
            own,
            seq: opened.session,
            door,
        })
    }

    /// The hook in the managed settings of every harness that has such, over what the machine's administrator wrote there.
    pub(super) fn managed(place: &Place) -> Result<Vec<Managed>, Failure> {
        let mut managed = Vec::new();
        for agent in Agent::all() {
            let none = Path::new("/");
            let Some(path) = agent.harness().settings(Scope::Managed, none, none) else {
                continue;
            };
            let Ok(below) = path.strip_prefix("/etc") else {
                continue;
            };
            let mut command = settings::command(agent, None, place)?;
            command.program = INSIDE_EXE.into();
            command.switch = INSIDE_SWITCH.into();
            command.door = Door::Session(Path::new(INSIDE_DOOR).join("gate.sock"));
            let there = std::fs::read_to_string(&path).ok();
            managed.push(Managed {
                path: below.to_owned(),
                text: install::add(&command, Scope::Managed, there.as_deref())?,
            });
        }
        Ok(managed)
    }

    /// Closes the session, ends a gate that nobody else needs, and says what happened.
    pub(super) fn close(self, end: Option<&End>, term: &mut Term) {
        let status = self.client.get::<GateStatus>("/v1/status");
        let (exit, signal, reason) = match end {
            Some(End::Exited(code)) => (Some(i64::from(*code)), None, None),
            Some(End::Signalled(signal)) => (None, u64::try_from(*signal).ok(), None),
            Some(End::Stopped(stopped)) => (None, Some(9), Some(stopped.why.to_string())),
            None => (None, None, Some("the agent did not start".to_owned())),
        };
        let close = CloseSession {
            exit,
            signal,
            reason,
        };
        if let Err(error) = self.client.close_session(self.seq, &close) {
            term.note(format!(
                "the end of session {} is not recorded: {error}",
                self.seq
            ));
        }
        let mut others = 0;
        if let Ok(status) = status {
            others = status
                .sessions
                .iter()
                .filter(|s| s.session != self.seq)
                .count();
            if let Some(ours) = status.sessions.iter().find(|s| s.session == self.seq) {
                term.note(format!(
                    "session {}: {} allowed, {} denied, {} still held; `tacho list --filter session:{}` shows it",
                    self.seq,
                    count(ours.allowed, "call"),
                    ours.denied,
                    status.holds,
                    self.seq
                ));
            }
        }
        match others {
            0 => stop(self.own),
            _ => term.note("the gate runs on: other sessions need it; `tacho status` shows them"),
        }
    }
}

/// Starts a gate of our own and waits until it answers.
fn start(log: &Path, preset: Option<&str>, client: &Client) -> Result<Child, Failure> {
    use std::io::Read as _;
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(place::exe()?);
    command.arg("--log").arg(log).arg("serve");
    if let Some(preset) = preset {
        command.args(["--preset", preset]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A Ctrl-C for the agent must not end the gate.
        .process_group(0)
        .spawn()
        .map_err(|e| Failure::new(format!("cannot start the gate: {}", place::plain(&e))))?;
    let began = Instant::now();
    loop {
        if client.get::<serde_json::Value>("/v1/health").is_ok() {
            return Ok(child);
        }
        let ended = child.try_wait().ok().flatten().is_some();
        if ended || began.elapsed() > PATIENCE {
            let mut said = String::new();
            if ended && let Some(mut stderr) = child.stderr.take() {
                let _ = stderr.read_to_string(&mut said);
            }
            stop(Some(child));
            let why = said
                .lines()
                .next()
                .unwrap_or("it did not answer in time")
                .trim_start_matches("tacho: ")
                .to_owned();
            return Err(
                Failure::new(format!("the gate does not start: {why}")).hint(match preset {
                    Some(preset) => format!(
                        "`tacho serve --preset {preset}` shows it at length; who has to sign for that policy adds `--key FILE`"
                    ),
                    None => "`tacho serve` shows it at length".to_owned(),
                }),
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Asks a gate to close its log cleanly.
fn stop(gate: Option<Child>) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let Some(mut gate) = gate else { return };
    if let Ok(pid) = i32::try_from(gate.id()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    let _ = gate.wait();
}
