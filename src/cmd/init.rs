//! `tacho init`: makes a log, and says what it made and who is trusted with what.

use std::path::PathBuf;

use tacho_recorder::log::{Beginning, Log};
use tacho_recorder::switch::Switch;
use tacho_recorder::{ErrorKind, keys};
use tacho_schemas::Origin;

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Make a new log
///
/// Creates the log's directory, the log's own keys, and, if there is none yet, the identity key that answers for your logs. The
/// identity key is needed only to make logs and to replace keys: move it to another medium when you are done.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho init\n  tacho --log /var/lib/tacho/build-agents init --domain audit.example.com"
)]
pub(crate) struct Args {
    /// The domain in the log's name; it need not exist
    #[arg(long, default_value = "tacho.invalid")]
    domain: String,

    /// The identity key: used if it exists, made if not [default: $XDG_CONFIG_HOME/tachograph/identity.pem]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,

    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let path = place.log()?;
    let identity_path = match &args.identity {
        Some(path) => path.clone(),
        None => place::identity()?,
    };
    let mut id = [0; 16];
    place::random(&mut id)?;
    let origin = Origin::from_parts(&args.domain, id)?;
    place::make_private(&path)?;
    if let Some(folder) = identity_path.parent().filter(|p| !p.as_os_str().is_empty()) {
        place::make_private(folder)?;
    }
    let (identity, is_new) = match keys::read_identity(&identity_path, &path) {
        Ok(identity) => (identity, false),
        Err(error) if error.kind() == ErrorKind::Missing => {
            (keys::create_identity(&identity_path, &path)?, true)
        }
        Err(error) => return Err(error.into()),
    };
    let fingerprint = keys::fingerprint(&identity.verifying_key());
    let beginning = Beginning {
        path: &path,
        origin,
        identity: &identity,
        predecessor: None,
    };
    let log = Log::create(beginning, place::options()?)?;
    let origin = log.origin().clone();
    let log_id = log.log_id();
    log.close()?;
    let switch = Switch::of(
        &std::fs::canonicalize(&path).unwrap_or(path.clone()),
        origin.clone(),
    );
    switch.create()?;
    let pins = place::known_logs()?;
    pins.add(&origin, &identity.verifying_key())?;

    let shown = |path: &std::path::Path| safe(&path.display().to_string()).into_owned();
    if args.json {
        let made = serde_json::json!({
            "log": path.to_string_lossy(), "origin": origin.as_str(), "log_id": log_id.to_string(),
            "identity": identity_path.to_string_lossy(), "identity_made": is_new,
            "fingerprint": fingerprint.to_string(), "switch": switch.dir().to_string_lossy(), "known_logs": pins.path().to_string_lossy(),
        });
        term.line(made.to_string())?;
        return Ok(Exit::Done);
    }
    term.line(format!(
        "made the log {}",
        term.paint(Tone::Strong, origin.as_str())
    ))?;
    term.line("")?;
    let (verb, spare) = if is_new {
        ("new", "Move it")
    } else {
        ("used", "Keep it")
    };
    for (name, value, why) in [
        (
            "log",
            shown(&path),
            "records, keys and checkpoints. Whoever can write here can add to the log, and can break it, but not unseen.",
        ),
        (
            "identity",
            format!("{} ({verb})", shown(&identity_path)),
            "answers for the log. Whoever has it can make another log in your name.",
        ),
        (
            "fingerprint",
            fingerprint.to_string(),
            "what an auditor needs to know that this log is yours. Hand it out by another way.",
        ),
        (
            "switch",
            shown(switch.dir()),
            "the off switch's files, which agents see and cannot change. Whoever takes them away stops everybody.",
        ),
        (
            "pin",
            shown(pins.path()),
            "what `tacho verify` here trusts. Whoever can write it can make it trust another log.",
        ),
    ] {
        term.line(format!(
            "  {:<12} {}",
            name,
            term.paint(Tone::Strong, &value)
        ))?;
        term.line(format!("  {:<12} {}", "", term.paint(Tone::Dim, why)))?;
    }
    term.line("")?;
    term.line(format!(
        "{spare} off this machine: it is not needed to record."
    ))?;
    term.line("An agent that runs as your own user can reach all of this. See the threat table in README.")?;
    Ok(Exit::Done)
}
