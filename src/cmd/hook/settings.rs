//! `tacho hook install`, `uninstall`, `check`: an agent's settings.
//!
//! The settings are the user's: what is there stays, the change is shown, and what was put in comes out again to the byte. What was
//! there before is noted beside the identity key, in `hooks.json`: hashes, and the bytes themselves only where taking the hook
//! out would not give them back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tacho_recorder::files;
use tacho_recorder::gate::client::Client;
use tacho_recorder::hook::Agent;
use tacho_recorder::hook::harness::{Scope, Version};
use tacho_recorder::hook::install::{self, Command, Door};
use tacho_recorder::read::View;
use tacho_recorder::switch::Switch;
use tacho_schemas::Hash;
use tacho_schemas::sign::Fingerprint;

use super::canary;
use crate::cmd::doctor::{Finding, Level, report};
use crate::place::{self, Place, plain};
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Whose settings.
#[derive(clap::Args, Debug)]
pub(crate) struct Where {
    /// The agent: claude-code, codex, copilot, cursor, gemini, generic
    agent: Agent,

    /// Whose settings: project, user, or managed (of the machine; the strongest)
    #[arg(long, default_value = "user")]
    scope: Scope,

    /// The workspace of scope project [default: the repository here]
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,

    /// The agent's program, to ask for its version [default: found on the PATH]
    #[arg(long, value_name = "FILE")]
    cli: Option<PathBuf>,

    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Write the hook into an agent's settings
///
/// Shows what changes, keeps what is there, and does nothing if it is there already. The command has the absolute path of this
/// program, the log, the key that the gate must prove to hold, and its sockets; for `generic` it is printed, since your own program
/// runs it. Then a canary is tried, if the gate is up: an action that every policy denies must be denied, and the deny must be in
/// the log.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho hook install claude-code\n  tacho hook install codex --scope managed\n  tacho hook install claude-code --scope project --hold 120 --dry-run"
)]
pub(crate) struct Install {
    #[command(flatten)]
    at: Where,

    /// How long a hold may wait for people, in seconds; refused if the agent's harness waits less
    #[arg(long, value_name = "SECONDS")]
    hold: Option<u64>,

    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Take the hook out of an agent's settings
///
/// Gives back the bytes that were there. What was changed besides the hook since then stays.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  tacho hook uninstall claude-code --scope user")]
pub(crate) struct Uninstall {
    #[command(flatten)]
    at: Where,
}

/// See whether an agent's hook is there, answers, and is obeyed as far as the agent can
///
/// Reads the settings of all scopes, asks the agent's program for its version, asks the gate to prove itself, and runs the canary
/// through the command as it stands in the settings. Exits with 1 if the agent is not gated.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  tacho hook check claude-code")]
pub(crate) struct Check {
    #[command(flatten)]
    at: Where,

    /// Leave the canary out
    #[arg(long)]
    no_canary: bool,
}

/// What was there before a hook was written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Before {
    path: PathBuf,
    existed: bool,
    folders: Vec<PathBuf>,
    before: String,
    after: String,
    original: Option<String>,
}

/// A program of one's own has no settings of ours: it is told the line that it is to run.
fn line_for_own_program(
    command: &Command,
    json: bool,
    place: &Place,
    term: &mut Term,
) -> Result<Exit, Failure> {
    let line = command.line();
    match json {
        true => term.line(serde_json::json!({ "command": line }).to_string())?,
        false => term.line(&line)?,
    }
    term.note("your program runs this line: schemas/hook-generic.schema.json says what it sends, examples/hooks show how");
    let canary = match gate_answers(command) {
        true => canary::run(Agent::Generic, &line, place),
        false => return Ok(Exit::Done),
    };
    term.note(safe(canary.says()));
    Ok(if canary.is_canary_alive() {
        Exit::Negative
    } else {
        Exit::Done
    })
}

pub(crate) fn install(args: &Install, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let agent = args.at.agent;
    let command = command(agent, args.hold, place)?;
    command.check()?;
    if agent == Agent::Generic {
        return line_for_own_program(&command, args.at.json, place, term);
    }
    let version = version(agent, args.at.cli.as_deref());
    let path = settings(&args.at)?;
    let old = read(&path)?;
    let new = install::add(&command, args.at.scope, old.as_deref())?;
    let old_text = old.clone().unwrap_or_default();
    let changed = old.as_deref() != Some(&new);
    if changed && !args.at.json {
        show_change(term, &path, &old_text, &new)?;
    }
    if changed && !args.dry_run {
        let folders = make_folders(&path)?;
        note(&path, old.as_deref(), &new, agent, args.at.scope, folders)?;
        write(&path, &new)?;
    }
    let mut findings = Vec::new();
    findings.push(match (changed, args.dry_run) {
        (true, false) => Finding::good(format!("the hook is written into {}", path.display())),
        (true, true) => Finding::good(format!("the hook would be written into {}", path.display())),
        (false, _) => Finding::good(format!("the hook is in {} already", path.display())),
    });
    findings.extend(strength(agent, args.at.scope, version));
    if !args.dry_run {
        findings.extend(gate(&command));
        if gate_answers(&command) {
            findings.push(canary::run(agent, &command.line(), place));
        }
    }
    report(&findings, args.at.json, term)?;
    // Without a gate it denies, which is safe; a canary that lives is not.
    let dead = findings.iter().any(Finding::is_canary_alive);
    Ok(if dead { Exit::Negative } else { Exit::Done })
}

pub(crate) fn uninstall(args: &Uninstall, _: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let (agent, scope) = (args.at.agent, args.at.scope);
    let path = settings(&args.at)?;
    let Some(text) = read(&path)? else {
        let none = Finding::good(format!("there is no hook: {} is not there", path.display()));
        report(&[none], args.at.json, term)?;
        return Ok(Exit::Done);
    };
    let mut notes = notes()?;
    let noted = notes.iter().position(|before| before.path == path);
    let noted = noted.map(|at| notes.swap_remove(at));
    let mut rest = install::remove(agent, scope, &text)?;
    if let Some(before) = &noted
        && before.after == digest(&text)
        && let Some(original) = &before.original
    {
        let bytes = STANDARD.decode(original).ok();
        rest = bytes
            .and_then(|b| String::from_utf8(b).ok())
            .unwrap_or(rest);
    }
    if rest == text {
        let none = Finding::good(format!("there is no hook in {}", path.display()));
        report(&[none], args.at.json, term)?;
        return Ok(Exit::Done);
    }
    if !args.at.json {
        show_change(term, &path, &text, &rest)?;
    }
    let made = noted.as_ref().is_some_and(|before| !before.existed);
    let said = if made && install::is_bare(agent, scope, &rest) {
        fs::remove_file(real(&path)).map_err(|e| broken("remove", &path, &e))?;
        for folder in noted.iter().flat_map(|before| before.folders.iter().rev()) {
            // A folder that others use by now stays.
            let _ = fs::remove_dir(folder);
        }
        "the file is gone again, as it was not there before"
    } else {
        write(&path, &rest)?;
        match &noted {
            Some(before) if before.before == digest(&rest) => "byte for byte as it was before",
            Some(_) => "what was changed besides since then is kept",
            None => "nothing is known of what was there before; all but the hook is kept",
        }
    };
    keep(&notes)?;
    let gone = Finding::good(format!("the hook is out of {}: {said}", path.display()));
    report(&[gone], args.at.json, term)?;
    Ok(Exit::Done)
}

pub(crate) fn check(args: &Check, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let findings = examine(&args.at, !args.no_canary, place)?;
    report(&findings, args.at.json, term)?;
    let gated = findings.iter().all(|finding| finding.level != Level::Bad);
    Ok(if gated { Exit::Done } else { Exit::Negative })
}

/// What `doctor` asks of one agent.
pub(crate) fn examine_agent(agent: Agent, place: &Place) -> Result<Vec<Finding>, Failure> {
    let at = Where {
        agent,
        scope: Scope::User,
        project: None,
        cli: None,
        json: false,
    };
    examine(&at, true, place)
}

/// Whether an agent is on this machine, or has settings of ours.
pub(crate) fn is_here(agent: Agent) -> bool {
    let cli = agent.harness().cli;
    cli.is_some_and(|cli| on_path(cli).is_some())
        || [Scope::Project, Scope::User, Scope::Managed]
            .iter()
            .any(|scope| {
                let at = Where {
                    agent,
                    scope: *scope,
                    project: None,
                    cli: None,
                    json: false,
                };
                let text = settings(&at)
                    .ok()
                    .and_then(|path| read(&path).ok().flatten());
                let found = text.and_then(|text| install::installed(agent, *scope, &text).ok());
                found.is_some_and(|found| !found.is_empty())
            })
}

fn examine(at: &Where, with_canary: bool, place: &Place) -> Result<Vec<Finding>, Failure> {
    let agent = at.agent;
    let command = command(agent, None, place)?;
    let version = version(agent, at.cli.as_deref());
    let mut findings = Vec::new();
    let mut lines: Vec<(Scope, String)> = Vec::new();
    let asks = agent.harness().listens.first().map(|listen| listen.event);
    for scope in [Scope::Project, Scope::User, Scope::Managed] {
        let at = Where {
            agent,
            scope,
            project: at.project.clone(),
            cli: None,
            json: false,
        };
        let Ok(path) = settings(&at) else { continue };
        let Some(text) = read(&path)? else { continue };
        let found = match install::installed(agent, scope, &text) {
            Ok(found) => found,
            Err(error) => {
                findings.push(Finding::bad(
                    format!("{}: {error}", path.display()),
                    "the agent cannot read it either, or reads it in another way",
                ));
                continue;
            }
        };
        if found.is_empty() {
            continue;
        }
        let missing = agent.harness().listens.iter();
        let missing: Vec<&str> = missing
            .map(|listen| listen.event)
            .filter(|event| !found.iter().any(|(name, _)| name == event))
            .collect();
        findings.push(match missing.is_empty() {
            true => Finding::good(format!("{scope}: the hook is in {}", path.display())),
            false => Finding::warn(
                format!(
                    "{scope}: {} lacks the hook for {}",
                    path.display(),
                    missing.join(", ")
                ),
                "`tacho hook install` writes all of them",
            ),
        });
        for (event, line) in found {
            if Some(event.as_str()) == asks {
                lines.push((scope, line));
            }
        }
    }
    if lines.is_empty() {
        findings.push(Finding::bad(
            format!("{agent} is not gated: no settings of it have the hook"),
            format!("`tacho hook install {}` writes it", agent.id()),
        ));
        return Ok(findings);
    }
    for (scope, line) in &lines {
        findings.extend(same(*scope, line, &command));
        findings.extend(strength(agent, *scope, version));
    }
    findings.extend(gate(&command));
    if with_canary && gate_answers(&command) {
        for (_, line) in &lines {
            findings.push(canary::run(agent, line, place));
        }
    }
    Ok(findings)
}

/// Whether the installed command is the one that would be installed now.
fn same(scope: Scope, line: &str, wanted: &Command) -> Option<Finding> {
    let plain: String = line.replace('\'', "");
    for (what, part) in [
        (
            "this program",
            wanted.program.to_string_lossy().into_owned(),
        ),
        ("this log", format!("--origin {}", wanted.origin)),
        ("the log's key", format!("--key {}", wanted.key)),
        (
            "the off switch",
            format!("--switch {}", wanted.switch.display()),
        ),
    ] {
        if !plain.contains(&part) {
            return Some(Finding::bad(
                format!("{scope}: the installed command does not name {what}"),
                "install it again",
            ));
        }
    }
    None
}

/// What the agent does if the hook fails, and how firmly it sits.
fn strength(agent: Agent, scope: Scope, version: Option<Version>) -> Vec<Finding> {
    let harness = agent.harness();
    let mut findings = Vec::new();
    match (version, harness.cli) {
        (Some(version), _) => {
            let tried = harness
                .tried
                .iter()
                .any(|t| Version::find(t) == Some(version));
            let text = format!("{agent} is version {version}");
            findings.push(match tried {
                true => Finding::good(text),
                false if harness.tried.is_empty() => Finding::warn(
                    format!("{text}; our hook was written from its documents and not tried live"),
                    "try it before you rely on it",
                ),
                false => Finding::good(format!("{text}; tried were {}", harness.tried.join(", "))),
            });
        }
        (None, Some(cli)) => findings.push(Finding::warn(
            format!("the version of {agent} is not known: `{cli} --version` does not answer"),
            "name the program with `--cli FILE`",
        )),
        (None, None) => {}
    }
    if harness.can_close(version) {
        findings.push(Finding::good(format!(
            "if the hook fails, {}",
            closed(agent)
        )));
    } else {
        findings.push(Finding::warn(
            format!("fails open: if the hook dies, {}", harness.when_it_fails),
            "run the agent in a cell (`tacho run`), and look with `tacho reconcile`",
        ));
    }
    match (agent, scope) {
        (Agent::Codex, Scope::User | Scope::Project) => findings.push(Finding::warn(
            "Codex skips this hook without a word until somebody trusts it with `/hooks`"
                .to_owned(),
            "`--scope managed` needs no trust",
        )),
        (_, Scope::User | Scope::Project) => findings.push(Finding::warn(
            format!("the agent can edit its own settings of scope {scope}"),
            "`--scope managed`, or a cell, keeps them from it",
        )),
        (_, Scope::Managed) => {}
    }
    findings
}

fn closed(agent: Agent) -> &'static str {
    match agent {
        Agent::ClaudeCode => {
            "the tool is blocked (`onFailure`), unless the hook says nothing or something torn"
        }
        _ => agent.harness().when_it_fails,
    }
}

/// Whether the gate is there and is the right one.
pub(crate) fn gate(command: &Command) -> Vec<Finding> {
    let client = Client::new(
        command.door.path(),
        Some(command.key),
        Duration::from_secs(3),
    );
    let began = Instant::now();
    vec![match client.get::<serde_json::Value>("/v1/health") {
        Ok(_) => Finding::good(format!(
            "the gate answers and proves itself, in {:.1} ms",
            began.elapsed().as_secs_f64() * 1_000.0
        )),
        Err(error) => Finding::bad(
            format!("no gate: {error}; every tool call is denied"),
            error.hint().unwrap_or("`tacho serve` starts it").to_owned(),
        ),
    }]
}

fn gate_answers(command: &Command) -> bool {
    gate(command)
        .iter()
        .all(|finding| finding.level == Level::Good)
}

/// The command that a hook of this log runs.
pub(crate) fn command(agent: Agent, hold: Option<u64>, place: &Place) -> Result<Command, Failure> {
    let dir = place.open_to_read()?;
    let reader = place::reader(&dir)?;
    let history = View::new(&reader)?.history(None, 1)?;
    let log = fs::canonicalize(dir.path()).map_err(|e| broken("find", dir.path(), &e))?;
    let program = std::env::current_exe().and_then(fs::canonicalize);
    let program = program.map_err(|e| {
        Failure::new(format!(
            "this program cannot be found on the disk: {}",
            plain(&e)
        ))
    })?;
    let key = history.log_keys.last().map(|(_, key)| Fingerprint::of(key));
    let switch = Switch::dir_of(&log);
    Ok(Command {
        program,
        agent,
        origin: history.origin.as_str().to_owned(),
        key: key.ok_or_else(|| Failure::new("the log names no log key"))?,
        door: Door::Log(switch.join("sessions").join("hooks.sock")),
        switch,
        hold: hold.unwrap_or_else(|| agent.harness().longest_hold().min(540)),
    })
}

/// Asks an agent's program for its version.
fn version(agent: Agent, cli: Option<&Path>) -> Option<Version> {
    let program = match cli {
        Some(cli) => cli.to_owned(),
        None => on_path(agent.harness().cli?)?,
    };
    let mut child = Process::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let began = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if began.elapsed() > Duration::from_secs(10) {
            let _ = child.kill();
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = child.wait_with_output().ok()?;
    Version::find(&String::from_utf8_lossy(&said.stdout))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| {
            file.metadata()
                .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
}

fn settings(at: &Where) -> Result<PathBuf, Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let home = home.filter(|home| home.is_absolute()).unwrap_or_default();
    let project = match &at.project {
        Some(project) => fs::canonicalize(project).map_err(|e| broken("find", project, &e))?,
        None => {
            let here = std::env::current_dir().map_err(|e| broken("find", Path::new("."), &e))?;
            let root = here.ancestors().find(|folder| folder.join(".git").exists());
            root.unwrap_or(&here).to_owned()
        }
    };
    if at.scope == Scope::User && !home.is_absolute() {
        return Err(Failure::new("HOME names no directory").hint("name another scope"));
    }
    let path = at.agent.harness().settings(at.scope, &home, &project);
    path.ok_or_else(|| {
        Failure::new(format!(
            "{} has no settings that a hook could be written into",
            at.agent
        ))
        .hint("your own program calls it: see schemas/hook-generic.schema.json and examples/hooks")
    })
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    match place::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Failure::new(format!("`{}` is not UTF-8", path.display()))),
        },
        Err(_) if !path.exists() && !path.is_symlink() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a path leads: people keep their settings behind symlinks.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Makes the folders above a file, and says which were not there.
fn make_folders(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut made: Vec<PathBuf> = path
        .ancestors()
        .skip(1)
        .take_while(|folder| !folder.exists())
        .map(Path::to_owned)
        .collect();
    made.reverse();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| broken("make", folder, &e))?;
    }
    Ok(made)
}

/// Puts a text in the place of a file, whole or not at all, with the mode that it had.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let path = real(path);
    let mode = path
        .metadata()
        .map_or(0o644, |meta| meta.permissions().mode());
    files::replace(&path, text.as_bytes())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777))
        .map_err(|e| broken("write", &path, &e))
}

fn broken(act: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cannot {act} `{}`: {}",
        path.display(),
        plain(error)
    ))
}

fn digest(text: &str) -> String {
    Hash::sha256(text.as_bytes()).to_string()
}

fn note(
    path: &Path,
    old: Option<&str>,
    new: &str,
    agent: Agent,
    scope: Scope,
    folders: Vec<PathBuf>,
) -> Result<(), Failure> {
    let mut notes = notes()?;
    let earlier = notes.iter().position(|before| before.path == path);
    let mut before = match earlier.map(|at| notes.swap_remove(at)) {
        // Installed again over itself: what was there first still counts.
        Some(before) if old.is_some_and(|old| digest(old) == before.after) => before,
        _ => Before {
            path: path.to_owned(),
            existed: old.is_some(),
            folders,
            before: digest(old.unwrap_or_default()),
            ..Before::default()
        },
    };
    before.after = digest(new);
    // Kept only if taking the hook out would not give the bytes back: settings hold secrets.
    let back = install::remove(agent, scope, new)?;
    if digest(&back) != before.before && before.existed && before.original.is_none() {
        before.original = old.map(|old| STANDARD.encode(old));
    }
    notes.push(before);
    keep(&notes)
}

fn notes_path() -> Result<PathBuf, Failure> {
    Ok(place::identity()?.with_file_name("hooks.json"))
}

fn notes() -> Result<Vec<Before>, Failure> {
    let path = notes_path()?;
    match read(&path)? {
        None => Ok(Vec::new()),
        Some(text) => serde_json::from_str(&text)
            .map_err(|_| Failure::new(format!("`{}` cannot be read", path.display()))),
    }
}

fn keep(notes: &[Before]) -> Result<(), Failure> {
    let path = notes_path()?;
    if notes.is_empty() {
        return match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(broken("remove", &path, &e)),
            _ => Ok(()),
        };
    }
    if let Some(folder) = path.parent() {
        place::make_private(folder)?;
    }
    let text = serde_json::to_vec_pretty(notes).map_err(|e| Failure::new(e.to_string()))?;
    Ok(files::replace(&path, &text)?)
}

/// Shows what changes in a file, line by line.
fn show_change(term: &mut Term, path: &Path, old: &str, new: &str) -> Result<(), Failure> {
    let shown = safe(&path.display().to_string()).into_owned();
    term.line(term.paint(Tone::Strong, &shown))?;
    for (sign, line) in tacho_recorder::hook::install::changes(old, new) {
        let tone = match sign {
            '+' => Tone::Good,
            '-' => Tone::Bad,
            _ => Tone::Dim,
        };
        let text = format!("  {sign} {}", safe(&line));
        term.line(term.paint(tone, &text))?;
    }
    term.line("")
}
