//! `tacho approver`: who may answer holds.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tacho_recorder::enrol::{self, Enrolled, Exposure};
use tacho_recorder::read::View;
use tacho_recorder::{ErrorKind, LogDir, keys};
use tacho_schemas::Id;
use tacho_schemas::body::log::{Assurance, Key};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::sshsig::HumanKey;

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Say who may answer holds
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Enrol a human's key
    ///
    /// The record is signed by the identity key, so that whoever writes the log cannot enrol anybody. NAME stays in the log for ever:
    /// take a handle. An approval counts fully only if the agent's user could not have made it, and that is what --assurance says:
    /// `touch` (an sk- key in hardware; seen in each signature), `confirm` (only in an ssh-agent, added with `ssh-add -c`), `other-uid`
    /// (another user's key), `other-host` (never on this machine), else `none`, which counts only under observe and solo.
    #[command(
        after_help = "Examples:\n  tacho approver add alice ~/.ssh/id_ed25519.pub\n  tacho approver add bob bob_sk.pub --group reviewers --group safety"
    )]
    Add(Add),
    /// Show who is enrolled
    #[command(
        after_help = "Examples:\n  tacho approver list\n  tacho approver list --allowed-signers > allowed_signers"
    )]
    List(List),
    /// End a key, or all keys of a human
    #[command(after_help = "Example:\n  tacho approver revoke alice")]
    Revoke(Revoke),
}

#[derive(clap::Args, Debug)]
struct Add {
    /// A handle for the human; two keys of one human have the same
    name: String,

    /// The public key: ssh-ed25519 or sk-ssh-ed25519@openssh.com
    key: PathBuf,

    /// A group the human counts in
    #[arg(long, value_name = "NAME", default_value = "reviewers")]
    group: Vec<String>,

    /// What keeps the agent's user from signing
    #[arg(long, value_name = "WHAT", value_parser = ["none", "confirm", "other-uid", "touch", "other-host"])]
    assurance: Option<String>,

    /// The identity key [default: $XDG_CONFIG_HOME/tachograph/identity.pem]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct List {
    /// Print one JSON object a key
    #[arg(long, conflicts_with = "allowed_signers")]
    json: bool,

    /// Print the keys in force as `ssh-keygen -Y verify` reads them
    #[arg(long)]
    allowed_signers: bool,
}

#[derive(clap::Args, Debug)]
struct Revoke {
    /// The human, or the fingerprint of one key
    who: String,

    /// The identity key [default: $XDG_CONFIG_HOME/tachograph/identity.pem]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match &args.what {
        What::Add(args) => add(args, place, term),
        What::List(args) => list(args, place, term),
        What::Revoke(args) => revoke(args, place, term),
    }
}

fn add(args: &Add, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let text = String::from_utf8(place::read(&args.key)?)
        .map_err(|_| Failure::new(format!("`{}` is no public key", args.key.display())))?;
    let key = HumanKey::from_openssh(&text)
        .map_err(|e| Failure::new(format!("`{}`: {e}", args.key.display())))?;
    let stated = match args.assurance.as_deref() {
        None => None,
        Some(name) => Assurance::from_name(&name.replace('-', "_")),
    };
    let exposure = exposure(&args.key, &key);
    let assurance = enrol::assurance(&key, stated, &exposure)?;
    let holder = Id::new(args.name.clone())?;
    let groups = args.group.iter().map(|g| Id::new(g.clone()));
    let groups = groups.collect::<Result<Vec<_>, _>>()?;
    let known = enrolled(place)?;
    if known.signer(&key.fingerprint()).is_some() {
        return Err(
            Failure::new(format!("the key {} is enrolled already", key.fingerprint()))
                .hint("`tacho approver revoke` ends it first"),
        );
    }
    let record = enrol::add(&key, holder, groups, assurance)?;
    write(vec![record], args.identity.as_ref(), place)?;
    term.line(format!(
        "enrolled {} with {}",
        term.paint(Tone::Strong, &safe(&args.name)),
        key.fingerprint()
    ))?;
    term.line(format!("  groups     {}", safe(&args.group.join(", "))))?;
    term.line(format!("  assurance  {assurance}"))?;
    if assurance == Assurance::None {
        let why = exposure.why().unwrap_or_else(|| {
            "nothing says that the agent's user could not use this key".to_owned()
        });
        term.note(format!(
            "{}: it counts only under observe and solo",
            safe(&why)
        ));
    }
    Ok(Exit::Done)
}

/// What speaks for it that this user can sign with a key.
fn exposure(public: &Path, key: &HumanKey) -> Exposure {
    let private = public.with_extension("");
    let beside = public.extension().is_some_and(|e| e == "pub");
    let readable = beside && std::fs::File::open(&private).is_ok();
    let plain = readable && {
        // Fails where a passphrase is needed.
        let read = Command::new("ssh-keygen")
            .args(["-y", "-P", "", "-f"])
            .arg(&private)
            .stdin(Stdio::null())
            .output();
        read.is_ok_and(|output| output.status.success())
    };
    let listed = Command::new("ssh-add")
        .arg("-L")
        .stdin(Stdio::null())
        .output();
    let in_agent = listed
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&key.to_openssh()));
    Exposure {
        readable: readable.then(|| private.to_string_lossy().into_owned()),
        plain,
        in_agent,
    }
}

fn enrolled(place: &Place) -> Result<Enrolled, Failure> {
    let dir = place.open_to_read()?;
    let reader = place::reader(&dir)?;
    Ok(Enrolled::read(&View::new(&reader)?)?)
}

/// Writes `key` records, each signed by the identity key in its place, and `allowed_signers` beside the policy.
fn write(records: Vec<Key>, identity: Option<&PathBuf>, place: &Place) -> Result<(), Failure> {
    let path = place.log()?;
    let identity_path = match identity {
        Some(path) => path.clone(),
        None => place::identity()?,
    };
    let identity = keys::read_identity(&identity_path, &path).map_err(|error| {
        let missing = error.kind() == ErrorKind::Missing;
        let failure = Failure::from(error);
        match missing {
            true => failure
                .hint("name the identity key with `--identity FILE`; it may be on another medium"),
            false => failure,
        }
    })?;
    let log = place.open(place::options()?).map_err(|failure| {
        match failure.what().contains("owns the log") {
            true => Failure::new(failure.what().to_owned()).hint(
                "stop `tacho serve` first: the identity key signs this record in its place, and never goes to a running gate",
            ),
            false => failure,
        }
    })?;
    for record in records {
        log.enrol(record, &identity)?;
    }
    log.close()?;
    let dir = LogDir::open(&path)?;
    let text = enrolled(place)?.allowed_signers();
    Ok(tacho_recorder::files::replace(
        &dir.policy().join("allowed_signers"),
        text.as_bytes(),
    )?)
}

fn list(args: &List, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let enrolled = enrolled(place)?;
    if args.allowed_signers {
        term.raw(enrolled.allowed_signers().as_bytes())?;
        return Ok(Exit::Done);
    }
    let all = enrolled.all();
    if all.is_empty() && !args.json {
        term.note("nobody is enrolled, so nothing that is held can be approved");
    }
    for signer in all {
        if args.json {
            let json = serde_json::json!({
                "name": signer.holder, "fingerprint": signer.key.fingerprint().to_string(),
                "groups": signer.groups, "assurance": signer.assurance.name(), "key": signer.key.to_openssh(),
                "role": signer.role.name(), "since": signer.since, "until": signer.until, "anchored": signer.anchored,
            });
            term.line(json.to_string())?;
            continue;
        }
        let groups: Vec<_> = signer.groups.iter().map(Id::as_str).collect();
        let ended = match signer.until {
            Some(seq) => format!("  ended by record {seq}"),
            None => String::new(),
        };
        term.line(format!(
            "{:<16} {:<10} {:<24} {}  record {}{ended}",
            signer.holder.as_str(),
            signer.assurance.name(),
            groups.join(","),
            signer.key.fingerprint(),
            signer.since,
        ))?;
    }
    Ok(Exit::Done)
}

fn revoke(args: &Revoke, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let enrolled = enrolled(place)?;
    let one: Option<Fingerprint> = args.who.parse().ok();
    let keys: Vec<_> = enrolled
        .all()
        .into_iter()
        .filter(|s| s.until.is_none())
        .filter(|s| one == Some(s.key.fingerprint()) || s.holder.as_str() == args.who)
        .collect();
    if keys.is_empty() {
        return Err(
            Failure::new(format!("nobody is enrolled as `{}`", safe(&args.who)))
                .hint("`tacho approver list` shows who is"),
        );
    }
    let records = keys.iter().map(|signer| enrol::retire(signer));
    let records = records.collect::<Result<Vec<_>, _>>()?;
    write(records, args.identity.as_ref(), place)?;
    for signer in keys {
        term.line(format!(
            "ended {} of {}",
            signer.key.fingerprint(),
            signer.holder
        ))?;
    }
    let _ = std::io::stdout().flush();
    Ok(Exit::Done)
}
