//! `tacho serve`: the gate, until it is told to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tacho_policy::Preset;
use tacho_recorder::acts::Fold;
use tacho_recorder::gate::{Change, Gate, Settings, Wanted, server};
use tacho_recorder::read::View;
use tacho_recorder::{ErrorKind, LogDir, SystemClock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cmd::approve::find_key;
use crate::cmd::record::report_opening;
use crate::keep::Keeper;
use crate::place::{self, Place};
use crate::sign::{self, Yes};
use crate::term::{Exit, Failure, Term, safe};

/// How long a signature for a policy counts, in ns, unless the rules in force say less: a day.
const DAY: i64 = 86_400_000_000_000;

/// People have to sign first.
const HELD: Exit = Exit::Code(3);

/// Decide what agents may do, and record it
///
/// Owns the log while it runs; the other verbs go through it. Agents ask over the socket of their session, people answer over
/// reviewers.sock in the log's directory. Whatever cannot be recorded is denied. SIGTERM or Ctrl-C denies everybody who waits, closes
/// the log cleanly and ends.
///
/// Where the log has a policy already, another one comes into force only as that one lets it. Each person who wants it runs the same
/// command with `--key`, and the last one whose signature it takes starts the gate. Until then the policy stays (exit code 3).
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho serve\n  tacho serve --preset standard\n  tacho serve --policy rules.cedar\n  tacho serve --preset strict --key ~/.ssh/id_ed25519_sk"
)]
pub(crate) struct Args {
    /// Put a preset into force: observe, solo, standard or strict
    #[arg(long, value_name = "NAME", group = "rules")]
    preset: Option<String>,

    /// Put the rules of this file into force
    #[arg(long, value_name = "FILE", group = "rules")]
    policy: Option<PathBuf>,

    /// Sign for this policy in the place of the one in force: your key, or its .pub where an ssh-agent has it
    #[arg(long, value_name = "FILE", requires = "rules")]
    key: Option<PathBuf>,

    /// How long a caller is kept waiting for people, in seconds [default: 540]
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,

    /// Start although records in a damaged WAL are lost; the log says so for ever
    #[arg(long)]
    accept_loss: bool,

    /// Print where it listens as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let wanted = wanted(args)?;
    place::guard_memory()?;
    if let Some(key) = &args.key
        && !sign_for(key, &wanted, place, term)?
    {
        term.note("a gate runs under the policy in force; when enough have signed, stop it and start it with this policy");
        return Ok(HELD);
    }
    place::raise_open_files();
    let mut options = place::options()?;
    options.accept_loss = args.accept_loss;
    let log = place.open(options)?;
    report_opening(&log, term);
    let mut settings = Settings::read(&LogDir::open(log.path())?)?;
    if let Some(secs) = args.wait {
        settings.wait = std::time::Duration::from_secs(secs);
    }
    let tell = Box::new(|error: &tacho_recorder::Error| {
        Term::new().note(safe(&error.to_string()));
    });
    let gate = Arc::new(
        Gate::open(log, Arc::new(SystemClock::new()?), settings, wanted, tell)
            .map_err(|error| unless_signed(error, args))?,
    );
    greet(&gate, args.json, term)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("cannot start: {}", place::plain(&e))))?;
    let served = runtime.block_on(serve(Arc::clone(&gate)));
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    let closed = match Arc::into_inner(gate) {
        Some(gate) => gate.close(),
        // Somebody still writes: the log is closed when it is done.
        None => Ok(()),
    };
    served?;
    closed?;
    term.note("stopped; the log is closed cleanly");
    Ok(Exit::Done)
}

fn wanted(args: &Args) -> Result<Wanted, Failure> {
    if let Some(name) = &args.preset {
        return preset(name);
    }
    let Some(path) = &args.policy else {
        return Ok(Wanted::AsRecorded);
    };
    let text = String::from_utf8(place::read(path)?)
        .map_err(|_| Failure::new(format!("`{}` is not UTF-8", path.display())))?;
    let name = path.file_stem().unwrap_or(path.as_os_str());
    Ok(Wanted::Rules(name.to_string_lossy().into_owned(), text))
}

/// The preset of a name.
pub(crate) fn preset(name: &str) -> Result<Wanted, Failure> {
    match Preset::from_name(name) {
        Some(preset) => Ok(Wanted::Preset(preset)),
        None => Err(Failure::new(format!("there is no preset `{}`", safe(name)))
            .hint("there are observe, solo, standard and strict")),
    }
}

/// Has somebody sign for another policy than the one in force. Returns whether the log is free for us.
pub(crate) fn sign_for(
    key: &Path,
    wanted: &Wanted,
    place: &Place,
    term: &mut Term,
) -> Result<bool, Failure> {
    let (file, public) = find_key(Some(&key.to_owned()))?;
    let keeper = Keeper::open(place)?;
    let reader = place::reader(&place.open_to_read()?)?;
    let acts = Fold::read(&View::new(&reader)?)?;
    match Change::of(&acts, wanted)? {
        None => term.note("nobody has to sign: the log names no other policy"),
        Some(change) => {
            let yes = Yes {
                target: change.record,
                digest: change.wanted,
                policy: Some(change.in_force),
                scope: None,
                life: DAY,
                reason: None,
            };
            let (seq, holder) = sign::approve(&keeper, acts.enrolled(), (&file, &public), yes)?;
            term.note(format!(
                "`{}` signed for policy {} in the place of that of record {}: record {seq}",
                safe(holder.as_str()),
                change.wanted,
                change.record
            ));
        }
    }
    let free = !keeper.through_gate();
    keeper.close()?;
    Ok(free)
}

/// What to do when the policy in force does not let another one take its place.
fn unless_signed(error: tacho_recorder::Error, args: &Args) -> Failure {
    let exit = match error.kind() {
        ErrorKind::Unapproved => HELD,
        ErrorKind::Refused => Exit::Negative,
        _ => return error.into(),
    };
    let what = match (&args.preset, &args.policy) {
        (Some(preset), _) => format!("--preset {preset}"),
        (None, Some(path)) => format!("--policy {}", path.display()),
        (None, None) => return error.into(),
    };
    Failure::from(error)
        .hint(format!(
            "each enrolled person who wants it runs `tacho serve {what} --key FILE`; without `{what}` the gate starts as it was"
        ))
        .exit(exit)
}

/// Says what is in force, and what is wrong with it.
fn greet(gate: &Gate, json: bool, term: &mut Term) -> Result<(), Failure> {
    let status = gate.status();
    if !json {
        term.note(format!("the gate of {}", status.origin));
        term.note(format!(
            "policy {} (record {}); people: {}",
            safe(&status.policy),
            status.policy_record,
            match status.approvers.len() {
                0 => "nobody is enrolled, so nothing that is held can be approved".to_owned(),
                _ => join(&status.approvers),
            }
        ));
        term.note(format!(
            "reviewers: {}",
            safe(&gate.reviewers_socket().to_string_lossy())
        ));
        term.note(format!(
            "hooks: {}",
            safe(&gate.hooks_socket().to_string_lossy())
        ));
    }
    if let Some(changed) = gate.changed() {
        let why = match (changed.by.as_slice(), status.approvers.len()) {
            ([], 0) => "and nobody signed for that: nobody is enrolled".to_owned(),
            ([], _) => "and nobody signed for that: that one asked nobody".to_owned(),
            (by, _) => format!("as signed by {}", join(by)),
        };
        term.note(format!(
            "this policy replaces that of record {}, {why}",
            changed.from
        ));
    }
    for problem in &status.problems {
        term.note(format!("the policy: {}", safe(problem)));
    }
    if status.approvers.is_empty() {
        term.note("hint: stop this, enrol somebody with `tacho approver add`, and start again");
    }
    if let Some(why) = &status.killed {
        term.note(format!("{}; everything is denied", safe(why)));
    }
    Ok(())
}

fn join(ids: &[tacho_schemas::Id]) -> String {
    let names: Vec<_> = ids.iter().map(|id| id.as_str()).collect();
    names.join(", ")
}

async fn serve(gate: Arc<Gate>) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("cannot listen for signals: {e}"));
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut int = signal(SignalKind::interrupt()).map_err(failed)?;
    let (stop, stopped) = watch::channel(false);
    let ready = Arc::clone(&gate);
    let serving = server::serve(gate, stopped, move || {
        // The one line of the answer: whoever started us may now ask.
        let _ = Term::new().line(
            serde_json::json!({
                "reviewers": ready.reviewers_socket().to_string_lossy(),
                "hooks": ready.hooks_socket().to_string_lossy(),
                "log_id": ready.log().log_id().to_string(),
            })
            .to_string(),
        );
    });
    tokio::pin!(serving);
    loop {
        tokio::select! {
            served = &mut serving => return Ok(served?),
            _ = term.recv() => drop(stop.send(true)),
            _ = int.recv() => drop(stop.send(true)),
        }
    }
}
