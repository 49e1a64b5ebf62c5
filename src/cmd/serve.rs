//! `tacho serve`: the gate, until it is told to stop.

use std::path::PathBuf;
use std::sync::Arc;

use tacho_policy::Preset;
use tacho_recorder::gate::{Gate, Settings, Wanted, server};
use tacho_recorder::{LogDir, SystemClock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cmd::record::report_opening;
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, safe};

/// Decide what agents may do, and record it
///
/// Owns the log while it runs; the other verbs go through it. Agents ask over the socket of their session, people answer over
/// reviewers.sock in the log's directory. Whatever cannot be recorded is denied. SIGTERM or Ctrl-C denies everybody who waits, closes
/// the log cleanly and ends.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho serve\n  tacho serve --preset standard\n  tacho serve --policy rules.cedar"
)]
pub(crate) struct Args {
    /// Put a preset into force: observe, solo, standard or strict
    #[arg(long, value_name = "NAME", conflicts_with = "policy")]
    preset: Option<String>,

    /// Put the rules of this file into force
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

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
    let gate = Arc::new(Gate::open(
        log,
        Arc::new(SystemClock::new()?),
        settings,
        wanted,
        tell,
    )?);
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
        return match Preset::from_name(name) {
            Some(preset) => Ok(Wanted::Preset(preset)),
            None => Err(Failure::new(format!("there is no preset `{}`", safe(name)))
                .hint("there are observe, solo, standard and strict")),
        };
    }
    let Some(path) = &args.policy else {
        return Ok(Wanted::AsRecorded);
    };
    let text = String::from_utf8(place::read(path)?)
        .map_err(|_| Failure::new(format!("`{}` is not UTF-8", path.display())))?;
    let name = path.file_stem().unwrap_or(path.as_os_str());
    Ok(Wanted::Rules(name.to_string_lossy().into_owned(), text))
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
