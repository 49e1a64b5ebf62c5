//! How fast the gate answers: over the socket, with the durable record, by a policy of a hundred rules.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tacho_recorder::SystemClock;
use tacho_recorder::gate::server::{self, Door};
use tacho_recorder::gate::wire::OpenSession;
use tacho_recorder::gate::{Gate, Peer, Settings, Wanted};
use tacho_recorder::switch::Switch;
use tacho_schemas::Id;
use tacho_schemas::sign::Fingerprint;
use tokio::sync::watch;

use super::corpus::Corpus;
use super::floor::Raw;
use super::ground::Ground;
use super::stats::{median, millis, percentile, rate};
use super::table::{Bound, Row};
use crate::place;
use crate::term::{Failure, Term};

/// Rules of the policy that is asked.
const RULES: usize = 100;

/// The agent's id.
pub(super) const AGENT: &str = "bench";

/// Agents that ask at once.
const AGENTS: usize = 64;

/// What a hook may cost beside a process that does nothing and the decision, in milliseconds.
const HOOK: f64 = 5.0;

pub(super) fn measure(
    options: &super::Options,
    ground: &Ground,
    term: &mut Term,
) -> Result<Vec<Row>, Failure> {
    let (rounds, time) = match options.quick {
        true => (3, Duration::from_millis(300)),
        false => (9, Duration::from_secs(1)),
    };
    let corpus = Corpus::real()?;
    let mut raw = Raw::make(&ground.at("raw"))?;
    let open = Open::make(ground)?;
    let all_asked = Open::with(ground, "all-asked", rules(ASKED))?;
    let (mut syncs, mut ours, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let mut asked = Vec::new();
    let (mut one, mut many) = (Vec::new(), Vec::new());
    let (mut bare, mut hooks) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let progress = &mut term.progress("asking");
        progress.show(round, rounds);
        syncs.extend(raw.run(&corpus, time)?.into_iter().map(|(_, sync)| sync));
        let samples = open.ask(&open.read(), time)?;
        one.push(rate(count(samples.len()), time));
        ours.extend(samples);
        asked.extend(all_asked.ask(&all_asked.read(), time)?);
        parts.extend(open.ask(&open.mutate(), time)?);
        many.push(rate(open.ask_at_once(time)?, time));
        let began = Instant::now();
        while began.elapsed() < time {
            bare.push(spawn(&mut Command::new("true"), b"")?.0);
            hooks.push(open.hook()?);
        }
    }
    open.close()?;
    all_asked.close()?;
    let sync = millis(percentile(&mut syncs, 50));
    let ratios: Vec<_> = one
        .iter()
        .zip(&many)
        .map(|(one, many)| many / one)
        .collect();
    let (one, many) = (median(one), median(many));
    let decide = millis(percentile(&mut ours, 50));
    let unhooked = millis(percentile(&mut bare, 50)) + decide;
    Ok(vec![
        Row::against(
            format!("decide over the socket, {RULES} rules, p50"),
            ("fdatasync p50", sync),
            decide,
            "ms",
        )
        .budget(Bound::AtMost(2.5), "1.5 x"),
        Row::against(
            "the same, rules of which none can be left out, p50",
            ("fdatasync p50", sync),
            millis(percentile(&mut asked, 50)),
            "ms",
        ),
        Row::against(
            "the same for a mutation, sealed before it, p50",
            ("fdatasync p50", sync),
            millis(percentile(&mut parts, 50)),
            "ms",
        )
        .budget(Bound::AtMost(6.0), "4 x"),
        Row::against(
            "`tacho hook`, the whole process, p50",
            ("`true` and decide", unhooked),
            millis(percentile(&mut hooks, 50)),
            "ms",
        )
        .budget(Bound::OursAtMost(unhooked + HOOK), "+ 2 ms"),
        Row::against(
            format!("decisions/s, {AGENTS} agents at once"),
            ("1 agent", one),
            many,
            "/s",
        )
        .ratio(median(ratios))
        .budget(Bound::AtLeast(5.0), "15 x"),
    ])
}

/// Runs a program with this on its standard input; what that took, and what it said.
fn spawn(command: &mut Command, input: &[u8]) -> Result<(Duration, String), Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("cannot run a program: {e}"));
    let began = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take()
        && !input.is_empty()
    {
        stdin.write_all(input).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((began.elapsed(), said))
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// What each rule asks for: a path, so that it need not be asked where another one is written, or first for what may err, so that it
/// has to be asked each time.
const ABOUT_A_PATH: [&str; 2] = ["!context.outside", r#"context.writes.contains("never/N")"#];
const ASKED: [&str; 2] = [
    "context.facts.drift + N >= 0",
    r#"context.writes.contains("never/N")"#,
];

/// A policy that allows everything, by the last of its rules.
fn rules(conditions: [&str; 2]) -> String {
    let mut text = String::new();
    for n in 0..RULES.saturating_sub(1) {
        let when = conditions.join(" && ").replace('N', &n.to_string());
        let _ = writeln!(
            text,
            "@id(\"never-{n}\") forbid (principal, action in Action::\"act\", resource) when {{ {when} }};"
        );
    }
    text.push_str("@id(\"all\") permit (principal, action in Action::\"act\", resource);\n");
    text
}

/// A gate behind its doors.
pub(super) struct Open {
    pub(super) switch: Switch,
    gate: Arc<Gate>,
    socket: PathBuf,
    work: PathBuf,
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<tacho_recorder::Result<()>>,
}

impl Open {
    pub(super) fn make(ground: &Ground) -> Result<Self, Failure> {
        Self::with(ground, "gate", rules(ABOUT_A_PATH))
    }

    fn with(ground: &Ground, name: &str, rules: String) -> Result<Self, Failure> {
        let log = ground.log(name)?;
        let switch = Switch::of(log.path(), log.origin().clone());
        switch.create()?;
        let work = ground.at(&format!("work-{name}"));
        place::make_private(&work)?;
        let wanted = Wanted::Rules("bench".to_owned(), rules);
        let clock = Arc::new(SystemClock::new()?);
        let tell = Box::new(|_: &tacho_recorder::Error| {});
        let gate = Arc::new(Gate::open(log, clock, Settings::default(), wanted, tell)?);
        let peer = Peer {
            uid: nix::unistd::geteuid().as_raw(),
            door: Door::Reviewers,
        };
        let open = OpenSession {
            agent: Id::new(AGENT)?,
            workspace: work.to_string_lossy().into_owned(),
            harness: None,
            harness_version: None,
            lineage: None,
            confinement: None,
            parent: None,
            launcher: None,
            goal: None,
            command: None,
            source_id: None,
            reference: None,
        };
        let socket = gate.open_session(peer, open)?.0.socket.into();
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = mpsc::channel();
        let serving = Arc::clone(&gate);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(|e| tacho_recorder::Error::io("start", Path::new("tokio"), e))?;
            runtime.block_on(server::serve(serving, stopped, move || {
                let _ = ready.send(());
            }))
        });
        if is_ready.recv().is_err() {
            return Err(Failure::new("the gate did not start"));
        }
        Ok(Self {
            switch,
            gate,
            socket,
            work,
            stop,
            thread,
        })
    }

    pub(super) fn read(&self) -> String {
        let path = self.work.join("README.md");
        let input = serde_json::json!({ "file_path": path });
        self.call("Read", &input)
    }

    fn mutate(&self) -> String {
        let path = self.work.join("CLAUDE.md");
        let input = serde_json::json!({ "file_path": path, "content": "be kind" });
        self.call("Write", &input)
    }

    fn call(&self, tool: &str, input: &serde_json::Value) -> String {
        let why = "the cache is stale, and nothing that was built with it can be trusted any more "
            .repeat(8);
        serde_json::json!({
            "tool": tool, "cwd": self.work, "input": input, "rationale": { "summary": why },
        })
        .to_string()
    }

    /// Asks the same again and again, over one connection; returns what each answer took.
    fn ask(&self, body: &str, time: Duration) -> Result<Vec<Duration>, Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("the gate does not answer: {e}"));
        let mut stream = UnixStream::connect(&self.socket).map_err(failed)?;
        let question = format!(
            "POST /v1/decide HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (began, mut samples, mut buffer) = (Instant::now(), Vec::new(), vec![0; 65_536]);
        while began.elapsed() < time {
            let start = Instant::now();
            stream.write_all(question.as_bytes()).map_err(failed)?;
            let read = stream.read(&mut buffer).map_err(failed)?;
            samples.push(start.elapsed());
            let answer = String::from_utf8_lossy(buffer.get(..read).unwrap_or_default());
            if !answer.contains(r#""verdict":"allow""#) {
                return Err(Failure::new(format!("the gate did not allow it: {answer}")));
            }
        }
        Ok(samples)
    }

    /// Asks once, over a connection of its own, as a hook does.
    pub(super) fn once(&self, body: &str) -> Result<String, Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("the gate does not answer: {e}"));
        let mut stream = UnixStream::connect(&self.socket).map_err(failed)?;
        let question = format!(
            "POST /v1/decide HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(question.as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        Ok(answer)
    }

    /// Calls the hook as a harness does; returns what that took.
    fn hook(&self) -> Result<Duration, Failure> {
        let key = Fingerprint::of(&self.gate.log().prove(b"").0);
        let own = std::env::current_exe();
        let own = own.map_err(|e| Failure::new(format!("cannot find myself: {e}")))?;
        let mut command = Command::new(own);
        command
            .args(["hook", "--agent", "generic", "--origin"])
            .arg(self.gate.log().origin().as_str())
            .args(["--key", &key.to_string(), "--switch"])
            .arg(self.switch.dir())
            .arg("--socket")
            .arg(&self.socket);
        let call = serde_json::json!({
            "tacho": 1, "event": "before", "session": "bench", "cwd": self.work, "tool": "Read", "call": "1",
            "input": { "file_path": self.work.join("README.md") },
        });
        let (took, answer) = spawn(&mut command, call.to_string().as_bytes())?;
        if !answer.contains(r#""allow""#) {
            return Err(Failure::new(format!("the hook did not allow it: {answer}")));
        }
        Ok(took)
    }

    fn ask_at_once(&self, time: Duration) -> Result<u64, Failure> {
        let (body, all) = (self.read(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let agents: Vec<_> = (0..AGENTS)
                .map(|_| {
                    scope.spawn(|| {
                        let samples = self.ask(&body, time)?;
                        all.fetch_add(count(samples.len()), Ordering::Relaxed);
                        Ok::<(), Failure>(())
                    })
                })
                .collect();
            for agent in agents {
                match agent.join() {
                    Ok(asked) => asked?,
                    Err(_) => return Err(Failure::new("an agent of the benchmark failed")),
                }
            }
            Ok(())
        })?;
        Ok(all.into_inner())
    }

    pub(super) fn close(self) -> Result<(), Failure> {
        let _ = self.stop.send(true);
        match self.thread.join() {
            Ok(served) => served?,
            Err(_) => return Err(Failure::new("the gate failed")),
        }
        if let Some(gate) = Arc::into_inner(self.gate) {
            gate.close()?;
        }
        Ok(())
    }
}
