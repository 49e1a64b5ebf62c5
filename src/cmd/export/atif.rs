//! `tacho export atif`: a session as an ATIF document.

use std::fs::OpenOptions;
use std::io::{ErrorKind as Io, Write};
use std::path::{Path, PathBuf};

use tacho_recorder::Reader;
use tacho_recorder::export::atif::{self, Exported};
use tacho_recorder::read::View;
use tacho_schemas::Seq;

use crate::place::Place;
use crate::term::{Exit, Failure, Term, safe};

/// Sessions that are named when one must be chosen.
const NAMED: usize = 20;

/// Write a session as a trajectory in the Agent Trajectory Interchange Format (ATIF) 1.8
///
/// Each record is checked against the tree and its text against its commitment before it is written; one that is not what was
/// recorded ends the export. Sub-agents' trajectories are inside. What the format cannot hold is counted on stderr, and in the
/// document under `extra.tacho.not_held`; every step names the records that it is made of.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho export atif trajectory.json\n  tacho export atif --session 2 - | jq '.steps | length'"
)]
pub(crate) struct Args {
    /// The session, by the number of its opening record [default: the only one]
    #[arg(long, value_name = "SEQ")]
    session: Option<u64>,

    /// The file to make, or `-` for standard output
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let reader = Reader::open(&place.open_to_read()?)?;
    let view = View::new(&reader)?;
    let session = match args.session {
        Some(seq) => Seq(seq),
        None => only_session(&view)?,
    };
    let software = concat!("tacho/", env!("CARGO_PKG_VERSION"));
    let exported = atif::export(&view, session, software)?;
    match args.out.as_os_str() == "-" {
        true => term.raw(exported.document.as_bytes())?,
        false => write_new(&args.out, exported.document.as_bytes())?,
    }
    report(&exported, term);
    Ok(Exit::Done)
}

fn only_session(view: &View<'_>) -> Result<Seq, Failure> {
    let found = atif::sessions(view)?;
    if let [only] = found.as_slice() {
        return Ok(only.seq);
    }
    if found.is_empty() {
        return Err(Failure::new("the log has no session"));
    }
    let names: Vec<_> = found
        .iter()
        .rev()
        .take(NAMED)
        .map(|s| {
            let source_id = s.source_id.as_deref().unwrap_or_default();
            format!("{} {} {}", s.seq, s.agent, safe(source_id))
                .trim_end()
                .to_owned()
        })
        .collect();
    let what = format!("the log has {} sessions", found.len());
    Err(Failure::new(what).hint(format!(
        "name one with `--session`, the newest are: {}",
        names.join(", ")
    )))
}

/// Makes a file; one that exists is left as it is.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let name = path.display();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|e| match e.kind() {
            Io::AlreadyExists => Failure::new(format!("`{name}` exists"))
                .hint("name a file that does not exist, or `-`"),
            _ => Failure::new(format!("cannot make `{name}`: {e}")),
        })?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|e| Failure::new(format!("cannot write `{name}`: {e}")))
}

fn report(exported: &Exported, term: &mut Term) {
    let counts = exported.counts.iter();
    let counts: Vec<_> = counts
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    term.note(format!(
        "{} became {} trajectories, {} steps, {} calls, {} results",
        counts.join(", "),
        exported.trajectories,
        exported.steps,
        exported.calls,
        exported.results
    ));
    for (what, count) in &exported.losses {
        term.note(format!("not held by the format: {count} {}", safe(what)));
    }
}
