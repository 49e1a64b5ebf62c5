//! The processes of a cell, each started by the one before it: no verbs for people.

use std::ffi::OsString;
use std::path::PathBuf;

use tacho_recorder::run::{agent, init, level, warden};

use crate::term::{Exit, Failure, Term};

/// Makes the namespaces of a cell.
#[derive(clap::Args, Debug)]
pub(crate) struct Warden {}

/// Is the first process in a cell.
#[derive(clap::Args, Debug)]
pub(crate) struct Init {}

/// Settles the agent's process and becomes the agent.
#[derive(clap::Args, Debug)]
pub(crate) struct Agent {
    #[arg(long)]
    uid: u32,
    #[arg(long)]
    gid: u32,
    #[arg(long)]
    ground: String,
    #[arg(long)]
    cwd: PathBuf,
    #[arg(last = true, required = true)]
    argv: Vec<OsString>,
}

/// Tries a level on this machine.
#[derive(clap::Args, Debug)]
pub(crate) struct Probe {
    what: String,
}

pub(crate) fn warden() -> Exit {
    Exit::Code(warden::main())
}

pub(crate) fn init() -> Exit {
    Exit::Code(init::main())
}

pub(crate) fn agent(args: Agent, term: &mut Term) -> Exit {
    let last = agent::Last {
        argv: args.argv,
        cwd: args.cwd,
        uid: args.uid,
        gid: args.gid,
        ground: args.ground,
    };
    let error = agent::main(&last);
    // As shells do: 127 for a program that is not there, 126 for one that cannot be started.
    let code = match error.kind() {
        tacho_recorder::ErrorKind::Missing => 127,
        _ => 126,
    };
    let _ = term.fail(&Failure::from(error));
    Exit::Code(code)
}

pub(crate) fn probe(args: &Probe) -> Result<Exit, Failure> {
    level::probe(&args.what)?;
    Ok(Exit::Done)
}
