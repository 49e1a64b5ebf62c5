//! The demo's last part: an agent that changes itself, for real: our own verbs, a gate, a cell, a human's signature, a kill.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::Value;
use sha2::{Digest as _, Sha512};
use tacho_recorder::audit::{Question, audit};
use tacho_recorder::gate::client::Client;
use tacho_recorder::gate::wire::{GateStatus, Held, Signed};
use tacho_recorder::run::plan::{INSIDE_DOOR, INSIDE_EXE};
use tacho_recorder::run::{Level, Reach};
use tacho_recorder::switch::Switch;
use tacho_recorder::{Clock as _, LogDir, Reader, SystemClock, gate, keys};
use tacho_schemas::act::{NAMESPACE, Statement, Verb};
use tacho_schemas::sshsig::{HumanKey, to_armoured};
use tacho_schemas::verify::Anchor;
use tacho_schemas::verify::switch::State;
use tacho_schemas::{Hash, Origin, Seq, Time};

use super::agent::{Told, WISHES};
use super::{LINES, Show, Stage};
use crate::cmd::{verify, why};
use crate::place;
use crate::term::{Failure, Tone, count, safe};

/// The agent's id in the log.
const NAME: &str = "refiner";

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often is looked at what has no end that one could wait for.
const PAUSE: Duration = Duration::from_millis(20);

/// What must come of the wishes.
const HOPED: [&str; 3] = ["allowed", "approved", "denied"];

/// What happened.
#[derive(serde::Serialize)]
pub(super) struct Live {
    level: Level,
    /// What came of each wish: `allowed`, `approved` or `denied`.
    wishes: Vec<&'static str>,
    /// The workflow's change.
    mutation: Option<Seq>,
    #[serde(skip)]
    rules: Vec<String>,
    processes: u64,
    survivors: u64,
    empty_ms: f64,
    /// Nobody starts it again.
    stays: bool,
    /// The log is sound, and shows that the switch did what it says.
    sound: bool,
    records: u64,
    invariants: Vec<&'static str>,
    #[serde(skip)]
    log: PathBuf,
}

impl Live {
    /// Whether all of it went as it should.
    pub(super) fn is_good(&self) -> bool {
        self.wishes == HOPED && (self.survivors, self.stays, self.sound) == (0, true, true)
    }
}

/// A process of ours that does not outlive us.
struct Ours(Child);

impl Drop for Ours {
    fn drop(&mut self) {
        use nix::sys::signal::{Signal, kill};
        // Asked first, so that a gate closes its log and a supervisor empties its cell.
        if let (Ok(None), Ok(pid)) = (self.0.try_wait(), i32::try_from(self.0.id())) {
            let _ = kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM);
            let began = Instant::now();
            while matches!(self.0.try_wait(), Ok(None)) && began.elapsed() < PATIENCE / 10 {
                std::thread::sleep(PAUSE);
            }
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

/// Our own verbs, in a home and with a log of their own.
struct House<'a> {
    stage: &'a Stage,
    dir: PathBuf,
    log: PathBuf,
    workspace: PathBuf,
}

impl<'a> House<'a> {
    fn new(stage: &'a Stage) -> Result<Self, Failure> {
        let dir = stage.path.join("live");
        for name in ["", "home", "home/agent"] {
            place::make_private(&dir.join(name))?;
        }
        let dir = std::fs::canonicalize(&dir).map_err(|e| Failure::new(place::plain(&e)))?;
        let workspace = dir.join("home/agent");
        for wish in &WISHES {
            let path = workspace.join(wish.file);
            let parent = path.parent().unwrap_or(&workspace);
            let made =
                std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, wish.before));
            made.map_err(|e| Failure::new(place::plain(&e)))?;
        }
        Ok(Self {
            stage,
            log: dir.join("state/tachograph/default"),
            dir,
            workspace,
        })
    }

    fn command(&self, args: &[&str]) -> Result<Command, Failure> {
        let mut command = Command::new(place::exe()?);
        command
            .args(args)
            .current_dir(&self.workspace)
            .env("HOME", self.dir.join("home"))
            .env("XDG_STATE_HOME", self.dir.join("state"))
            .env("XDG_CONFIG_HOME", self.dir.join("config"))
            .env("NO_COLOR", "1")
            .env_remove("TACHO_LOG")
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Runs a verb to its end.
    fn done(&self, args: &[&str]) -> Result<std::process::Output, Failure> {
        self.stage.go_on()?;
        let ran = self.command(args)?.output();
        ran.map_err(|e| {
            Failure::new(format!(
                "cannot run `tacho {}`: {}",
                args.join(" "),
                place::plain(&e)
            ))
        })
    }

    /// Runs a verb that must succeed.
    fn good(&self, args: &[&str]) -> Result<Vec<u8>, Failure> {
        let ran = self.done(args)?;
        match ran.status.success() {
            true => Ok(ran.stdout),
            false => Err(Failure::new(format!(
                "`tacho {}` failed: {}",
                args.join(" "),
                safe(
                    String::from_utf8_lossy(&ran.stderr)
                        .lines()
                        .next()
                        .unwrap_or("it says nothing")
                )
            ))),
        }
    }

    /// Starts a verb whose lines are heard.
    fn start(&self, args: &[&str]) -> Result<(Ours, Receiver<String>), Failure> {
        self.stage.go_on()?;
        let mut command = self.command(args)?;
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        // A Ctrl-C is ours to pass on, in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn();
        let mut child = Ours(child.map_err(|e| Failure::new(place::plain(&e)))?);
        let (send, lines) = mpsc::channel();
        if let Some(out) = child.0.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok((child, lines))
    }

    /// Waits for the next line.
    fn hear(&self, lines: &Receiver<String>) -> Result<String, Failure> {
        let began = Instant::now();
        loop {
            self.stage.go_on()?;
            match lines.recv_timeout(PAUSE) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Timeout) if began.elapsed() < PATIENCE => {}
                Err(_) => return Err(Failure::new("the demo's agent or its gate ended too early")),
            }
        }
    }
}

/// Plays it.
pub(super) fn play(stage: &Stage) -> Result<Live, Failure> {
    let house = House::new(stage)?;
    house.good(&["init"])?;
    let key = keys::generate()?;
    let human = public(&key)?;
    let file = house.dir.join("you.pub");
    place::write_new(&file, format!("{}\n", human.to_openssh()).as_bytes())?;
    house.good(&["approver", "add", "you", &file.to_string_lossy()])?;
    let policy = house.dir.join("live.cedar");
    place::write_new(&policy, include_bytes!("live.cedar"))?;
    let (gate, ready) = house.start(&["serve", "--policy", &policy.to_string_lossy()])?;
    house.hear(&ready)?;
    let client = Client::new(&gate::reviewers_socket(&house.log), None, PATIENCE);

    let level = Reach::find(&place::exe()?).level;
    let sessions = Switch::dir_of(&house.log).join("sessions");
    let (exe, door, named) = match level {
        Level::Cell => (
            PathBuf::from(INSIDE_EXE),
            Path::new(INSIDE_DOOR).join("gate.sock"),
            "cell",
        ),
        Level::Landlock => (place::exe()?, sessions, "landlock"),
        Level::ProcessGroup => (place::exe()?, sessions, "process-group"),
    };
    let (exe, door) = (exe.to_string_lossy(), door.to_string_lossy());
    let run = [
        "run",
        "--level",
        named,
        "--name",
        NAME,
        "--",
        &exe,
        "demo-agent",
        &door,
    ];
    let (mut agent, told) = house.start(&run)?;
    let mut live = Live {
        level,
        wishes: Vec::new(),
        mutation: None,
        rules: Vec::new(),
        processes: 0,
        survivors: 0,
        empty_ms: 0.0,
        stays: false,
        sound: false,
        records: 0,
        invariants: Vec::new(),
        log: house.log.clone(),
    };
    loop {
        let line = house.hear(&told)?;
        match serde_json::from_str(&line).map_err(|e| Failure::new(e.to_string()))? {
            // The workflow: the human looks, and signs.
            Told::Asks(1) => approve(&house, &client, &key, &human)?,
            Told::Asks(_) => {}
            Told::Heard {
                wish,
                allowed,
                approved,
                rules,
                mutation,
                ..
            } => {
                live.wishes.push(match (allowed, approved) {
                    (true, true) => "approved",
                    (true, false) => "allowed",
                    _ => "denied",
                });
                live.rules
                    .push(rules.first().map_or_else(String::new, ToString::to_string));
                if wish == 1 {
                    live.mutation = mutation;
                }
            }
            Told::Works => break,
        }
    }
    let reason = "it tried to change its own tests";
    let killed = house.good(&[
        "kill",
        &format!("agent:{NAME}"),
        "--reason",
        reason,
        "--json",
    ])?;
    let killed: Value = serde_json::from_slice(&killed).map_err(|e| Failure::new(e.to_string()))?;
    let number = |name: &str| killed.get(name).and_then(Value::as_u64);
    live.survivors = number("survivors").unwrap_or(u64::MAX);
    live.processes = number("processes").unwrap_or(0);
    live.empty_ms = killed
        .get("empty_ms")
        .and_then(Value::as_f64)
        .unwrap_or(0.0);
    let ended = agent.0.wait().map_err(|e| Failure::new(place::plain(&e)))?;
    let again = house.done(&["run", "--level", named, "--name", NAME, "--", "true"])?;
    live.stays = ended.code() == Some(137) && again.status.code() == Some(125);
    drop((agent, gate));
    look(&house, &mut live)?;
    Ok(live)
}

/// Verifies the log, and what it says of the switch.
fn look(house: &House<'_>, live: &mut Live) -> Result<(), Failure> {
    let dir = LogDir::open_to_read(&house.log)?;
    let identity = keys::read(&house.dir.join("config/tachograph/identity.pem"))?;
    let question = Question {
        trust: Some((keys::fingerprint(&identity.verifying_key()), Anchor::Named)),
        ..Question::default()
    };
    let report = audit(&dir, &question, |_, _| ())?;
    let switch = verify::switch::ask(&dir, None)?;
    let holds = switch
        .answers
        .iter()
        .filter(|answer| answer.state == State::Holds);
    live.invariants = holds.map(|answer| answer.name).collect();
    live.records = report.size;
    live.sound = report.is_good() && switch.is_good();
    Ok(())
}

/// The human's part: looks at the hold and signs for exactly it.
fn approve(
    house: &House<'_>,
    gate: &Client,
    key: &SigningKey,
    human: &HumanKey,
) -> Result<(), Failure> {
    let began = Instant::now();
    let held: Held = loop {
        house.stage.go_on()?;
        if let Some(held) = gate.holds()?.holds.pop() {
            break held;
        }
        if began.elapsed() > PATIENCE {
            return Err(Failure::new("the change of the workflow was not held"));
        }
        std::thread::sleep(PAUSE);
    };
    let status: GateStatus = gate.get("/v1/status")?;
    let mut nonce = [0; 16];
    place::random(&mut nonce)?;
    let now = SystemClock::new()?.wall_ns();
    let statement = Statement {
        origin: Origin::new(&status.origin)?,
        log_id: tacho_schemas::LogId(Hash::from_hex(&status.log_id)?),
        verb: Verb::Approve,
        target: Some(held.hold),
        digest: Some(held.digest),
        policy: Some(held.policy_digest),
        scope: None,
        not_before: Time(now),
        not_after: Time(now.saturating_add(3_600_000_000_000)),
        nonce,
        key: human.fingerprint(),
    }
    .to_string();
    let signed = Signed {
        sshsig: sign(key, human, &statement),
        statement,
        reason: Some("faster, and the whole suite still runs at night".to_owned()),
    };
    gate.answer(held.hold, "approve", &signed)?;
    Ok(())
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

fn public(key: &SigningKey) -> Result<HumanKey, Failure> {
    let point = key.verifying_key();
    let blob = [string(b"ssh-ed25519"), string(point.as_bytes())].concat();
    Ok(HumanKey::from_blob(&blob)?)
}

/// What `ssh-keygen -Y sign` does (PROTOCOL.sshsig), which need not be installed for a demo; `tacho approve` runs it.
fn sign(key: &SigningKey, human: &HumanKey, text: &str) -> String {
    let about = [NAMESPACE.as_bytes(), b"", b"sha512"].map(string).concat();
    let hash = Sha512::digest(text.as_bytes());
    let over = [&b"SSHSIG"[..], &about, &string(&hash)].concat();
    let raw = key.sign(&over).to_bytes();
    let signature = [string(b"ssh-ed25519"), string(&raw)].concat();
    let head = [&b"SSHSIG\0\0\0\x01"[..], &string(human.blob())].concat();
    to_armoured(&[head, about, string(&signature)].concat())
}

/// Tells it.
pub(super) fn tell(show: &mut Show<'_>, live: &Live) -> Result<(), Failure> {
    show.line("")?;
    show.heading("5  An agent changes itself now, behind the gate")?;
    match live.level.warning() {
        None => show.text(
            "   ",
            "A script without a model runs in a cell: no log, no key, no other process is there.",
        )?,
        Some(warning) => {
            show.painted("   ", Tone::Bad, "NOT CONFINED AS DESIGNED")?;
            show.text("   ", warning)?;
        }
    }
    let said = [
        (
            "its prompt",
            "a change that the policy lets flow, recorded with its reason",
        ),
        (
            "its workflow",
            "held until a human signed for exactly this change",
        ),
        (
            "its own tests",
            "an agent does not change what it is measured by",
        ),
    ];
    for (number, (what, how)) in said.into_iter().enumerate() {
        let came = live.wishes.get(number).copied().unwrap_or("not asked");
        let good = HOPED.get(number) == Some(&came);
        let rule = live.rules.get(number).map_or("", String::as_str);
        let mark = if came == "denied" { "✗" } else { "✓" };
        let tone = if good { Tone::Good } else { Tone::Bad };
        show.marked(mark, tone, &format!("{what}: {came} ({})", safe(rule)))?;
        show.text("     ", how)?;
    }
    let stays = match live.stays {
        true => "nobody restarts it",
        false => "IT RESTARTS",
    };
    let ended = (live.survivors, live.stays) == (0, true);
    show.marked(
        "✗",
        if ended { Tone::Good } else { Tone::Bad },
        &format!(
            "killed, and all it started: {} left after {:.1} ms; {stays}",
            live.survivors, live.empty_ms
        ),
    )?;
    if let Some(mutation) = live.mutation {
        show.line("")?;
        show.text(
            "   ",
            &format!("What `tacho why {mutation}` says of the workflow:"),
        )?;
        show.line("")?;
        let dir = LogDir::open_to_read(&live.log)?;
        let reader = Reader::open(&dir)?;
        let explanation = why::ask(&dir, &reader, mutation, |_, _| ())?;
        if !show.quiet {
            let printer = why::Printer {
                shown: LINES,
                width: 80,
                more: "",
            };
            printer.print(show.term, &explanation)?;
        }
    }
    show.line("")?;
    let (mark, tone, word) = match live.sound {
        true => ("✓", Tone::Good, "sound"),
        false => ("✗", Tone::Bad, "NOT SOUND"),
    };
    show.marked(
        mark,
        tone,
        &format!(
            "`tacho verify --switch`: {} {word}; {} hold",
            count(live.records, "record"),
            live.invariants.join(" ")
        ),
    )
}
