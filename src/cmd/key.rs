//! `tacho key`: whose keys sign the log, and how they are replaced.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use tacho_recorder::checkpoints;
use tacho_recorder::log::Log;
use tacho_recorder::read::{End, Epoch, History, View};
use tacho_recorder::{ErrorKind, LogDir, keys};
use tacho_schemas::body::log::SealReason;
use tacho_schemas::sign::Fingerprint;

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, safe};

/// How many epochs are shown unless all are asked for.
const SHOWN: usize = 10;

/// Show and replace the keys of the log
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show whose log it is and which key signed which records
    ///
    /// The vkeys are what others check checkpoints, proofs and exports with. What is shown is what the log says; `tacho verify`
    /// checks it.
    #[command(
        after_help = "Examples:\n  tacho key show\n  tacho key show --json | jq -r .vkeys.log"
    )]
    Show(Show),
    /// End the epoch now, or replace the log key
    ///
    /// The end of an epoch destroys its key: from then on not even who has all the keys here can change the records before it
    /// unseen. It happens by itself every hour and at each stop; ask for it before something risky. With `--log-key` the key that
    /// signs checkpoints is replaced as well, by leave of the identity key: give the new vkey to all who check.
    #[command(
        after_help = "Examples:\n  tacho key rotate\n  tacho key rotate --log-key --identity /media/stick/identity.pem"
    )]
    Rotate(Rotate),
    /// Go on although the epoch's key is lost
    ///
    /// Only for a log that no longer opens because its key is gone. The record of it is signed by the identity key and stays
    /// visible for ever: every verification says that an epoch was ended without its key, and records after its last checkpoint
    /// are vouched for by nobody. If the key may have been stolen, start a new log instead.
    #[command(after_help = "Example:\n  tacho key break --identity /media/stick/identity.pem")]
    Break(Break),
}

#[derive(clap::Args, Debug)]
struct Show {
    /// Show all epochs, not only the newest
    #[arg(long)]
    all: bool,

    /// Print the keys as JSON, with all epochs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct Rotate {
    /// Replace the key that signs checkpoints
    #[arg(long)]
    log_key: bool,

    /// The identity key [default: $XDG_CONFIG_HOME/tachograph/identity.pem]
    #[arg(long, value_name = "FILE", requires = "log_key")]
    identity: Option<PathBuf>,

    /// Print the receipt as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct Break {
    /// The identity key [default: $XDG_CONFIG_HOME/tachograph/identity.pem]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,

    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match &args.what {
        What::Show(args) => show(args, place, term),
        What::Rotate(args) => rotate(args, place, term),
        What::Break(args) => end_without_key(args, place, term),
    }
}

fn show(args: &Show, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let dir = place.open_to_read()?;
    let most = match args.all || args.json {
        true => usize::MAX,
        false => SHOWN + 1,
    };
    let history = history(&dir, most)?;
    let identity = Fingerprint::of(&history.identity);
    let [log, epoch] = history.vkeys_at(u64::MAX)?;
    if args.json {
        let epochs: Vec<_> = history.epochs.iter().rev().map(to_json).collect();
        let log_keys: Vec<_> = history
            .log_keys
            .iter()
            .map(|(from, key)| serde_json::json!({ "from": from, "fingerprint": Fingerprint::of(key).to_string() }))
            .collect();
        let value = serde_json::json!({
            "origin": history.origin.as_str(), "log_id": history.log_id.to_string(), "identity": identity.to_string(),
            "vkeys": { "log": log.to_string(), "epoch": epoch.to_string() }, "log_keys": log_keys, "epochs": epochs,
        });
        term.line(value.to_string())?;
        return Ok(Exit::Done);
    }
    for (name, value) in [
        ("origin", history.origin.to_string()),
        ("log id", history.log_id.to_string()),
        ("identity", identity.to_string()),
        ("log key", log.to_string()),
        ("epoch key", epoch.to_string()),
    ] {
        term.line(format!("{name:<10}  {}", term.paint(Tone::Strong, &value)))?;
    }
    for (from, _) in history.log_keys.iter().skip(1) {
        term.line(format!(
            "{:<10}  the log key was replaced by record {from}",
            ""
        ))?;
    }
    term.line("")?;
    let hidden = history.epochs.len() > SHOWN && !args.all;
    if hidden {
        term.line(term.paint(Tone::Dim, "earlier epochs: `--all`"))?;
    }
    let shown = if hidden { SHOWN } else { history.epochs.len() };
    for epoch in history.epochs.iter().take(shown).rev() {
        term.line(to_line(epoch))?;
    }
    Ok(Exit::Done)
}

fn history(dir: &LogDir, epochs: usize) -> Result<History, Failure> {
    let note = checkpoints::newest(dir)?;
    let reader = place::reader(dir)?;
    Ok(View::new(&reader)?.history(note.as_ref(), epochs)?)
}

fn to_line(epoch: &Epoch) -> String {
    let first = epoch.first;
    let (range, end) = match epoch.end {
        None => (format!("from record {first}"), "open".to_owned()),
        Some(End::Sealed(last, reason)) => (
            format!("records {first} to {last}"),
            format!("sealed ({reason})"),
        ),
        Some(End::Broken(next)) => {
            let range = match next.0.checked_sub(1) {
                Some(last) if last >= first.0 => format!("records {first} to {last}"),
                _ => "no records".to_owned(),
            };
            (range, "BROKEN: its key was lost".to_owned())
        }
    };
    format!("epoch {:<5} {range:<26} {end}", epoch.number)
}

fn to_json(epoch: &Epoch) -> serde_json::Value {
    // An epoch without records has no last one.
    let (last, end, reason) = match epoch.end {
        None => (None, "open", None),
        Some(End::Sealed(last, reason)) => (Some(last.0), "sealed", Some(reason.name())),
        Some(End::Broken(next)) => (
            next.0.checked_sub(1).filter(|last| *last >= epoch.first.0),
            "broken",
            None,
        ),
    };
    serde_json::json!({
        "epoch": epoch.number, "first": epoch.first, "last": last, "end": end, "reason": reason,
        "fingerprint": Fingerprint::of(&epoch.key).to_string(),
    })
}

fn rotate(args: &Rotate, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let path = place.log()?;
    let identity = match args.log_key {
        true => Some(identity(args.identity.as_ref(), &path)?),
        false => None,
    };
    let log = place.open(place::options()?)?;
    let receipt = match &identity {
        Some(identity) => log.rotate_log_key(identity)?,
        None => log.seal(SealReason::Asked)?,
    };
    log.close()?;
    if args.json {
        let line = serde_json::to_string(&receipt).map_err(|e| Failure::new(e.to_string()))?;
        term.line(line)?;
        return Ok(Exit::Done);
    }
    if args.log_key {
        let [vkey, _] = history(&LogDir::open_to_read(&path)?, 1)?.vkeys_at(u64::MAX)?;
        term.line(format!(
            "record {} names the new log key; give it to all who check:",
            receipt.seq
        ))?;
        term.line(format!("  {}", term.paint(Tone::Strong, &vkey.to_string())))?;
    } else {
        let ended = receipt.commit.epoch.saturating_sub(1);
        term.line(format!(
            "epoch {ended} ends with record {}, and its key is destroyed",
            receipt.seq
        ))?;
    }
    Ok(Exit::Done)
}

fn identity(
    named: Option<&PathBuf>,
    log: &std::path::Path,
) -> Result<tacho_recorder::keys::SigningKey, Failure> {
    let path = match named {
        Some(path) => path.clone(),
        None => place::identity()?,
    };
    keys::read_identity(&path, log).map_err(|error| {
        let missing = error.kind() == ErrorKind::Missing;
        let failure = Failure::from(error);
        match missing {
            true => failure
                .hint("name the identity key with `--identity FILE`; it may be on another medium"),
            false => failure,
        }
    })
}

fn end_without_key(args: &Break, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let path = place.log()?;
    let identity = identity(args.identity.as_ref(), &path)?;
    let history = history(&LogDir::open_to_read(&path)?, 1)?;
    let origin = history.origin.to_string();
    if !args.yes {
        term.note(format!("this ends an epoch of {origin} without its key"));
        term.note("the record of it is signed by the identity key and stays visible for ever");
        term.note("records after the last checkpoint are vouched for by nobody");
        let digits: String = origin
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .chars()
            .take(8)
            .collect();
        if !confirmed(&digits, term)? {
            return Err(Failure::new("not confirmed, so nothing was changed")
                .hint("type the first 8 digits after the `/` of the log's name, or give `--yes`"));
        }
    }
    let seq = Log::break_epoch(&path, &identity, &place::options()?)?;
    term.line(format!(
        "record {seq} says that the key of the epoch before it was lost; the log can be written again"
    ))?;
    Ok(Exit::Done)
}

/// Asks a human on a terminal to type the digits.
fn confirmed(digits: &str, term: &mut Term) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    term.note(format!("type {} to go on:", safe(digits)));
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|e| Failure::new(format!("cannot read the answer: {}", place::plain(&e))))?;
    Ok(line.trim() == digits)
}
