//! `tacho approve` and `tacho deny`: a human answers a hold, and signs for it.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tacho_recorder::Clock as _;
use tacho_recorder::gate::client::Client;
use tacho_recorder::gate::wire::{Answered, GateStatus, Held, Signed};
use tacho_schemas::act::{NAMESPACE, Statement, Verb};
use tacho_schemas::hash::LogId;
use tacho_schemas::sshsig::HumanKey;
use tacho_schemas::{Hash, Origin, Seq, Time};

use crate::cmd::holds::{client, show};
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, safe};

/// How long an approval counts unless a rule says otherwise: 1 hour.
const LIFE_SECS: u64 = 3600;

/// How many characters of the digest somebody types.
const DIGITS: usize = 4;

/// Approve a hold, once
///
/// Shows what would happen, asks for the four characters that stand for exactly this request, and signs with your SSH key by running
/// `ssh-keygen -Y sign`. The approval serves this one request, under the policy in force, and is used up by it.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho approve 41\n  tacho approve 41 --key ~/.ssh/id_ed25519_sk\n  tacho approve 41 --yes-digest 3f9c"
)]
pub(crate) struct Approve {
    #[command(flatten)]
    answer: Answer,
}

/// Deny a hold, for good
///
/// Signed as an approval is. The agent is told, and the same request is not put before people again while the hold would have lasted.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  tacho deny 41 --reason \"we deploy on Mondays\"")]
pub(crate) struct Deny {
    #[command(flatten)]
    answer: Answer,
}

#[derive(clap::Args, Debug)]
struct Answer {
    /// The hold
    hold: u64,

    /// Your key, or its .pub where an ssh-agent has it [default: ~/.ssh/id_ed25519_sk, ~/.ssh/id_ed25519]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// The four characters, for scripts that have shown the request by other means
    #[arg(long, value_name = "XXXX")]
    yes_digest: Option<String>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn approve(args: &Approve, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    answer(&args.answer, Verb::Approve, place, term)
}

pub(crate) fn deny(args: &Deny, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    answer(&args.answer, Verb::Reject, place, term)
}

fn answer(args: &Answer, verb: Verb, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    outside_a_cell()?;
    let gate = client(place)?;
    let held = find(&gate, args.hold)?;
    let wanted: String = held.digest.to_string().chars().take(DIGITS).collect();
    match &args.yes_digest {
        Some(typed) if *typed == wanted => {}
        Some(_) => {
            return Err(Failure::new("these are not the characters of this request")
                .hint("look at it again: `tacho holds` shows it"));
        }
        None => {
            show(&held, term)?;
            term.line("")?;
            if !confirmed(&wanted, verb, term)? {
                term.note("nothing was signed");
                return Ok(Exit::Negative);
            }
        }
    }
    let answered = give(&gate, &held, verb, args.key.as_ref(), args.reason.clone())?;
    if args.json {
        let line = serde_json::to_string(&answered).map_err(|e| Failure::new(e.to_string()))?;
        term.line(line)?;
        return Ok(Exit::Done);
    }
    said(held.hold, verb, &answered)
        .iter()
        .try_for_each(|line| term.line(line))?;
    Ok(Exit::Done)
}

/// Refuses where an agent may be, and hides our memory from others.
pub(crate) fn outside_a_cell() -> Result<(), Failure> {
    if Path::new("/run/tacho/gate").exists() {
        return Err(
            Failure::new("this is a cell: nobody answers a hold from inside one")
                .hint("answer it where the people are, outside"),
        );
    }
    place::guard_memory()
}

/// Signs an answer to a hold, and gives it to the gate.
pub(crate) fn give(
    gate: &Client,
    held: &Held,
    verb: Verb,
    key: Option<&PathBuf>,
    reason: Option<String>,
) -> Result<Answered, Failure> {
    let status: GateStatus = gate.get("/v1/status")?;
    let (key_file, key) = find_key(key)?;
    let statement = statement(held, &status, verb, &key)?.to_string();
    let sshsig = sign(&key_file, &statement)?;
    let signed = Signed {
        statement,
        sshsig,
        reason,
    };
    let path = match verb {
        Verb::Approve => "approve",
        _ => "deny",
    };
    Ok(gate.answer(held.hold, path, &signed)?)
}

/// What came of an answer, in lines.
pub(crate) fn said(hold: Seq, verb: Verb, answered: &Answered) -> Vec<String> {
    let done = match verb {
        Verb::Approve => "approved",
        _ => "denied",
    };
    let mut lines = vec![format!(
        "{done} hold {hold} as {}, record {} (assurance {})",
        safe(answered.by.as_str()),
        answered.approval,
        safe(&answered.assurance)
    )];
    if let Some(missing) = &answered.missing {
        lines.push(format!("it still {}", safe(missing)));
    }
    lines
}

/// Finds a hold that is open.
pub(crate) fn find(gate: &Client, hold: u64) -> Result<Held, Failure> {
    let holds = gate.holds()?.holds;
    holds.into_iter().find(|h| h.hold.0 == hold).ok_or_else(|| {
        Failure::new(format!("there is no open hold {hold}"))
            .hint("`tacho holds` lists those that are open")
    })
}

fn confirmed(digits: &str, verb: Verb, term: &mut Term) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("nobody is here to confirm it")
            .hint("scripts give the first four characters of its digest with `--yes-digest`"));
    }
    term.note(format!("type {digits} to {} exactly this:", verb.name()));
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|e| Failure::new(format!("cannot read the answer: {}", place::plain(&e))))?;
    Ok(line.trim() == digits)
}

/// Finds the key to sign with, and its public half.
pub(crate) fn find_key(named: Option<&PathBuf>) -> Result<(PathBuf, HumanKey), Failure> {
    let candidates = match named {
        Some(path) => vec![path.clone()],
        None => {
            let home = std::env::var_os("HOME")
                .map(PathBuf::from)
                .unwrap_or_default();
            ["id_ed25519_sk", "id_ed25519"]
                .map(|name| home.join(".ssh").join(name))
                .to_vec()
        }
    };
    for path in &candidates {
        let public = match path.extension().is_some_and(|e| e == "pub") {
            true => path.clone(),
            false => {
                let mut name = path.clone().into_os_string();
                name.push(".pub");
                PathBuf::from(name)
            }
        };
        if !public.exists() {
            continue;
        }
        let text = String::from_utf8(place::read(&public)?)
            .map_err(|_| Failure::new(format!("`{}` is no public key", public.display())))?;
        let key = HumanKey::from_openssh(&text)
            .map_err(|e| Failure::new(format!("`{}`: {e}", public.display())))?;
        return Ok((path.clone(), key));
    }
    Err(Failure::new("there is no key to sign with")
        .hint("name it with `--key FILE`; its public half lies beside it as FILE.pub"))
}

fn statement(
    held: &Held,
    status: &GateStatus,
    verb: Verb,
    key: &HumanKey,
) -> Result<Statement, Failure> {
    let now = tacho_recorder::SystemClock::new()?.wall_ns();
    let life = held.obligations.iter().filter_map(|o| o.ttl).min();
    let life = i64::try_from(life.unwrap_or(LIFE_SECS).min(6 * 86_400)).unwrap_or(i64::MAX);
    // Whole seconds: what people read.
    let now = now.div_euclid(1_000_000_000).saturating_mul(1_000_000_000);
    let mut nonce = [0; 16];
    place::random(&mut nonce)?;
    Ok(Statement {
        origin: Origin::new(&status.origin)?,
        log_id: LogId(Hash::from_hex(&status.log_id)?),
        verb,
        target: Some(held.hold),
        digest: Some(held.digest),
        policy: Some(held.policy_digest),
        scope: None,
        not_before: Time(now),
        not_after: Time(now.saturating_add(life.saturating_mul(1_000_000_000))),
        nonce,
        key: key.fingerprint(),
    })
}

/// Signs by running `ssh-keygen`, which asks for a passphrase or a touch where there must be one.
pub(crate) fn sign(key: &Path, statement: &str) -> Result<String, Failure> {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-n", NAMESPACE, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| {
            Failure::new(format!("cannot run ssh-keygen: {}", place::plain(&e)))
                .hint("install OpenSSH: it makes the signature")
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // If it does not read, it says why.
        let _ = stdin.write_all(statement.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|e| Failure::new(format!("cannot run ssh-keygen: {}", place::plain(&e))))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || text.is_empty() {
        let why = String::from_utf8_lossy(&output.stderr);
        let why = why.lines().last().unwrap_or("it says nothing");
        return Err(
            Failure::new(format!("ssh-keygen did not sign: {}", safe(why)))
                .hint("name another key with `--key FILE`"),
        );
    }
    Ok(text)
}
