//! `tacho release`: lets agents run again, by as many people as the log asks for.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use tacho_policy::hold::{Accepts, Places};
use tacho_policy::{Act, Approver, Decision, Facts, Obligation, Preset, Principal, Request};
use tacho_recorder::acts::Fold;
use tacho_recorder::enrol::{Enrolled, Signer};
use tacho_recorder::read::View;
use tacho_recorder::switch::standing::{Open, Standing};
use tacho_recorder::switch::{Switch, Target, acts};
use tacho_recorder::{Clock as _, SystemClock};
use tacho_schemas::body::Body;
use tacho_schemas::body::log::Assurance;
use tacho_schemas::{Hash, Id, Seq, Time, tree};

use crate::cmd::approve::find_key;
use crate::cmd::policy::source;
use crate::keep::Keeper;
use crate::place::{self, Place};
use crate::sign::{self, Yes};
use crate::term::{Exit, Failure, Term, Tone, safe};

/// How long a signature for a release counts, in ns: one hour.
const HOUR: i64 = 3_600_000_000_000;

/// Undo a kill
///
/// Each enrolled person who wants it signs with their own key; who ordered the kill does not count, nor who came after it. When as
/// many have signed as the policy in force asks for (one more, if nobody signed for the kill; never fewer than two where three are
/// enrolled), it is recorded and the switch is armed again. Where at most one person is enrolled, that person may release their own
/// kill, after typing the first eight digits of its hash.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho release --reason 'the fix is in' --key ~/.ssh/id_ed25519\n  tacho release 41 --reason 'false alarm'"
)]
pub(crate) struct Args {
    /// The kill's record [default: the only one that is open]
    #[arg(value_name = "KILL")]
    pub(crate) kill: Option<u64>,

    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,

    /// The key to sign with, as for ssh-keygen: a private key, or a public one whose private half the ssh agent holds
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// The first eight digits of the kill's hash, instead of typing them
    #[arg(long, value_name = "DIGITS")]
    pub(crate) digits: Option<String>,

    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is known of the kill that is to be released.
struct Case {
    open: Open,
    leaf: Hash,
    /// Who signed for the kill.
    initiator: Option<Id>,
    enrolled: Enrolled,
    approvals: Vec<Approver>,
    /// What the policy in force asks for.
    asks: Vec<Obligation>,
    /// Whether at most one person is enrolled.
    single: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing is killed.
    Nothing,
    /// Fewer people signed than it takes.
    Short {
        kill: Seq,
        have: u64,
        needed: u64,
        /// Who must still sign, and why so many.
        missing: Vec<String>,
    },
    /// It is released.
    Released {
        kill: Seq,
        target: Target,
        record: Seq,
        /// Kills of the same target that still stand.
        others: usize,
    },
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let outcome = release(args, place, term)?;
    let said = outcome.said();
    let mut said = said.iter();
    let first = said.next().map(String::as_str).unwrap_or_default();
    let (json, line) = match &outcome {
        Outcome::Nothing => {
            term.note(first);
            return Ok(Exit::Negative);
        }
        Outcome::Short {
            kill, have, needed, ..
        } => {
            let json = serde_json::json!({"released": false, "kill": kill.0, "signed": have, "needed": needed});
            (json, first.to_owned())
        }
        Outcome::Released {
            kill,
            record,
            others,
            ..
        } => {
            let json = serde_json::json!({"released": true, "kill": kill.0, "record": record.0, "still_killed_by": others});
            let painted = term.paint(Tone::Good, "released");
            (json, first.replacen("released", &painted, 1))
        }
    };
    term.line(if args.json { json.to_string() } else { line })?;
    match outcome {
        Outcome::Released { .. } if args.json => Ok(Exit::Done),
        Outcome::Released { .. } => {
            said.try_for_each(|line| term.line(line))?;
            Ok(Exit::Done)
        }
        Outcome::Nothing | Outcome::Short { .. } => {
            said.for_each(|line| term.note(line));
            Ok(Exit::Negative)
        }
    }
}

impl Outcome {
    /// What is to be said of it, in lines.
    pub(crate) fn said(&self) -> Vec<String> {
        match self {
            Self::Nothing => vec!["nothing is killed".to_owned()],
            Self::Short {
                kill,
                have,
                needed,
                missing,
            } => {
                let first =
                    format!("not released: {have} of {needed} signatures count for kill {kill}");
                [first].into_iter().chain(missing.iter().cloned()).collect()
            }
            Self::Released {
                kill,
                target,
                record,
                others,
            } => {
                let mut said = vec![format!("released kill {kill} of {target}; record {record}")];
                if *others > 0 {
                    said.push(format!("{target} is still killed by another record"));
                }
                said
            }
        }
    }
}

/// Signs for a release, if a key is named, and releases if enough have signed.
pub(crate) fn release(args: &Args, place: &Place, term: &mut Term) -> Result<Outcome, Failure> {
    let dir = place.open_to_read()?;
    let switch = Switch::of(dir.path(), place::origin(&dir)?);
    let keeper = Keeper::open(place)?;
    for said in super::kill::reconcile(&keeper, place, &switch)? {
        term.note(safe(&said));
    }
    let Some(mut case) = case(args, place)? else {
        keeper.close()?;
        return Ok(Outcome::Nothing);
    };
    let mut actor = acts::user()?;
    if let Some(key) = &args.key {
        let approval = sign_for(&keeper, &case, key, &args.reason)?;
        actor = acts::human(approval.human.clone())?;
        case.approvals.push(approval);
    }
    let places = Places::fill(&case.asks, &case.approvals);
    let counted = places.used();
    let needed = u64::try_from(places.as_slice().len()).unwrap_or(u64::MAX);
    let have = u64::try_from(counted.len()).unwrap_or(u64::MAX);
    if case.single {
        type_digits(args, &case, term)?;
    }
    if !places.is_full() && !case.enrolled.holders().is_empty() {
        keeper.close()?;
        return Ok(Outcome::Short {
            kill: case.open.seq,
            have,
            needed,
            missing: missing(&case, &places),
        });
    }
    let event = acts::release(
        actor,
        case.open.seq,
        counted,
        needed.max(1),
        case.single,
        &args.reason,
    )?;
    let seq = keeper.append(event, acts::by_hand())?;
    keeper.close()?;
    // Another kill of the same target still stands: then so does its flag.
    let reader = place::reader(&dir)?;
    let standing = Standing::read(&View::new(&reader)?)?;
    let others = standing.of(&case.open.target).count();
    if others == 0 {
        switch.release(&case.open.target, seq.0)?;
        switch.thaw()?;
    }
    Ok(Outcome::Released {
        kill: case.open.seq,
        target: case.open.target,
        record: seq,
        others,
    })
}

/// Who must still sign, and why so many.
fn missing(case: &Case, places: &Places) -> Vec<String> {
    let open = places.open();
    let mut said: Vec<String> = open
        .iter()
        .map(|((rule, group), missing)| {
            format!(
                "{missing} more of `{}` must run `tacho release {} --key FILE` (rule `{}`); who ordered the kill does not count",
                safe(group.as_str()),
                case.open.seq,
                safe(rule.as_str()),
            )
        })
        .collect();
    if case.initiator.is_none() && !case.single {
        said.push("nobody signed for the kill, so one more is asked for than by the policy: whoever ordered it may be among those who sign".to_owned());
    }
    said
}

fn case(args: &Args, place: &Place) -> Result<Option<Case>, Failure> {
    let dir = place.open_to_read()?;
    let reader = place::reader(&dir)?;
    let view = View::new(&reader)?;
    let standing = Standing::read(&view)?;
    let open: Vec<&Open> = standing.open().collect();
    let open = match (args.kill, open.as_slice()) {
        (None, []) => return Ok(None),
        (None, [one]) => (*one).clone(),
        (None, many) => {
            let list: Vec<_> = many
                .iter()
                .map(|open| format!("{} ({})", open.seq, open.target))
                .collect();
            return Err(
                Failure::new(format!("several kills are open: {}", list.join(", ")))
                    .hint("name one: `tacho release SEQ`"),
            );
        }
        (Some(seq), many) => match many.iter().find(|open| open.seq == Seq(seq)) {
            Some(open) => (*open).clone(),
            None => {
                return Err(Failure::new(format!("record {seq} is no open kill"))
                    .hint("`tacho status` shows those that are"));
            }
        },
    };
    let shown = view.record(open.seq)?;
    let leaf = tree::leaf_hash(&shown.bytes);
    let acts = Fold::read(&view)?;
    let enrolled = acts.enrolled().clone();
    let initiator = acts.signed_for(open.seq).cloned();
    let mut approvals = Vec::new();
    for (seq, _) in acts.approvals_of(open.seq, Time(now())) {
        if let Ok(record) = view.record(seq)?.meaning
            && let Body::Approval(approval) = &record.body
            // Who came after the kill does not release it, nor who has left since.
            && let Some(signer) = enrolled.signer_at(&approval.act.key, open.seq)
            && signer.until.is_none()
        {
            approvals.push(approver(signer, seq, initiator.as_ref()));
        }
    }
    let single = enrolled.holders().len() <= 1;
    let least = acts.people_to_release(open.seq);
    let asks = asks(&view, open.seq, initiator.is_some(), single, least)?;
    Ok(Some(Case {
        open,
        leaf,
        initiator,
        enrolled,
        approvals,
        asks,
        single,
    }))
}

fn approver(signer: &Signer, seq: Seq, initiator: Option<&Id>) -> Approver {
    Approver {
        groups: signer.groups.clone(),
        human: signer.holder.clone(),
        initiator: initiator == Some(&signer.holder),
        launcher: false,
        seq,
        weak: signer.assurance == Assurance::None,
    }
}

/// What the policy in force asks for before this kill is released.
///
/// Where who ordered it must not count and nobody signed for it, it may be any of those who sign: one more is asked for, so that it
/// is never they alone.
fn asks(
    view: &View<'_>,
    kill: Seq,
    signed: bool,
    single: bool,
    least: u64,
) -> Result<Vec<Obligation>, Failure> {
    let anybody = Accepts {
        initiator: true,
        launcher: true,
        weak: true,
    };
    let of = |rule: &str, accepts| -> Result<Obligation, Failure> {
        Ok(Obligation {
            accepts,
            group: Id::new("reviewers")?,
            k: 1,
            rule: Id::new(rule)?,
            ttl_secs: None,
        })
    };
    if single {
        // There is nobody else who could.
        return Ok(vec![of("single-person", anybody)?]);
    }
    let policies = match source::in_force(view, None)? {
        Some((_, policies)) => policies,
        None => source::policy_of(Preset::Standard)?,
    };
    let request = Request::deed(
        Principal::Human(acts::user()?.id),
        Act::Release,
        kill.to_string(),
    );
    let verdict = policies.decide(&request, &Facts::default());
    let mut asks = match verdict.decision {
        Decision::Hold => verdict.obligations,
        // A policy that asks for nobody: somebody signs all the same.
        Decision::Allow => vec![of("release", anybody)?],
        Decision::Deny(_) => {
            return Err(Failure::new(format!(
                "the policy `{}` lets nobody release: {}",
                safe(policies.name()),
                safe(&verdict.reason)
            ))
            .hint("`tacho serve --preset NAME` puts another policy into force"));
        }
    };
    for ask in &mut asks {
        // Among several, nobody both stops and frees, whatever the policy accepts.
        ask.accepts.initiator = false;
        if !signed {
            ask.k = ask.k.saturating_add(1);
        }
    }
    let all: u64 = asks.iter().map(|ask| ask.k).sum();
    if let Some(ask) = asks.first_mut() {
        ask.k = ask.k.saturating_add(least.saturating_sub(all));
    }
    Ok(asks)
}

fn now() -> i64 {
    SystemClock::new().map_or(i64::MAX, |clock| clock.wall_ns())
}

/// Has the person sign for the release, and writes that down.
fn sign_for(
    keeper: &Keeper<'_>,
    case: &Case,
    key: &Path,
    reason: &str,
) -> Result<Approver, Failure> {
    let (key, human) = find_key(Some(&key.to_owned()))?;
    let fingerprint = human.fingerprint();
    let Some(signer) = case.enrolled.signer(&fingerprint) else {
        return Err(
            Failure::new("this key is nobody's in the log").hint("`tacho approver add` enrols it")
        );
    };
    if signer.since >= case.open.seq {
        return Err(Failure::new("this key was enrolled after the kill")
            .hint("whoever was enrolled before it must sign"));
    }
    if !case.single && case.initiator.as_ref() == Some(&signer.holder) {
        return Err(Failure::new("who ordered the kill cannot release it")
            .hint("another enrolled person must sign"));
    }
    let yes = Yes {
        target: case.open.seq,
        digest: case.leaf,
        policy: None,
        scope: Some(case.open.target.to_string()),
        life: HOUR,
        reason: Some(reason),
    };
    let (seq, _) = sign::approve(keeper, &case.enrolled, (&key, &human), yes)?;
    Ok(approver(signer, seq, case.initiator.as_ref()))
}

/// Has the one person look at what they release.
fn type_digits(args: &Args, case: &Case, term: &mut Term) -> Result<(), Failure> {
    let digest = case.leaf.to_string();
    let wanted: String = digest.chars().take(8).collect();
    let typed = match &args.digits {
        Some(digits) => digits.clone(),
        None if std::io::stdin().is_terminal() => {
            term.note(format!(
                "kill {} of {}, hash {digest}",
                case.open.seq, case.open.target
            ));
            term.note("type the first eight digits of the hash to release it:");
            let mut line = String::new();
            std::io::stdin()
                .read_line(&mut line)
                .map_err(|e| Failure::new(format!("cannot read: {}", place::plain(&e))))?;
            line.trim().to_owned()
        }
        None => {
            return Err(Failure::new(format!(
                "releasing kill {} alone needs the first eight digits of its hash",
                case.open.seq
            ))
            .hint("`tacho kill` printed the hash, and at a terminal this verb shows it; give the digits with `--digits`"));
        }
    };
    if typed != wanted {
        return Err(
            Failure::new("these are not the first digits of the kill's hash").hint(format!(
                "the kill is record {}, hash {digest}",
                case.open.seq
            )),
        );
    }
    Ok(())
}
