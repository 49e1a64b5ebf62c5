//! The verbs, one file each: the only code that prints, reads the environment, or exits.

pub(crate) mod approve;
mod approver;
mod bench;
mod cell;
mod completions;
mod demo;
pub(crate) mod doctor;
mod drill;
mod export;
mod holds;
pub(crate) mod hook;
mod import;
mod init;
mod key;
mod kill;
mod lease;
mod list;
mod policy;
mod prove;
mod reconcile;
mod record;
mod release;
mod run;
mod serve;
mod status;
mod verify;
mod view;
mod why;

use clap::Subcommand;

use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// The verbs; what each does stands with its arguments, where clap finds it.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Init(init::Args),
    Run(run::Args),
    Kill(kill::Args),
    Release(release::Args),
    Lease(lease::Args),
    Drill(drill::Args),
    Serve(serve::Args),
    Record(record::Args),
    Import(import::Args),
    Hook(hook::Args),
    List(list::Args),
    Why(why::Args),
    View(view::Args),
    Verify(verify::Args),
    Prove(prove::Args),
    Reconcile(reconcile::Args),
    Status(status::Args),
    Holds(holds::Args),
    Approve(approve::Approve),
    Deny(approve::Deny),
    Approver(approver::Args),
    Export(export::Args),
    Policy(policy::Args),
    Key(key::Args),
    Doctor(doctor::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    /// Measure a log on this disk against what the disk and the processor can do
    Bench(bench::Args),
    #[command(name = "demo-agent", hide = true)]
    DemoAgent(demo::agent::Args),
    #[command(name = "cell-warden", hide = true)]
    CellWarden(cell::Warden),
    #[command(name = "cell-init", hide = true)]
    CellInit(cell::Init),
    #[command(name = "cell-agent", hide = true)]
    CellAgent(cell::Agent),
    #[command(name = "cell-probe", hide = true)]
    CellProbe(cell::Probe),
}

/// Carries out a verb.
pub(crate) fn run(verb: Verb, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(args) => init::run(&args, place, term),
        Verb::Run(args) => run::run(&args, place, term),
        Verb::Kill(args) => kill::run(&args, place, term),
        Verb::Release(args) => release::run(&args, place, term),
        Verb::Lease(args) => lease::run(&args, place, term),
        Verb::Drill(args) => drill::run(&args, place, term),
        Verb::Serve(args) => serve::run(&args, place, term),
        Verb::Record(args) => record::run(&args, place, term),
        Verb::Import(args) => import::run(&args, place, term),
        Verb::Hook(args) => hook::run(&args, place, term),
        Verb::List(args) => list::run(&args, place, term),
        Verb::Why(args) => why::run(&args, place, term),
        Verb::View(args) => view::run(&args, place, term),
        Verb::Verify(args) => verify::run(&args, place, term),
        Verb::Prove(args) => prove::run(&args, place, term),
        Verb::Reconcile(args) => reconcile::run(&args, place, term),
        Verb::Status(args) => status::run(&args, place, term),
        Verb::Holds(args) => holds::run(&args, place, term),
        Verb::Approve(args) => approve::approve(&args, place, term),
        Verb::Deny(args) => approve::deny(&args, place, term),
        Verb::Approver(args) => approver::run(&args, place, term),
        Verb::Export(args) => export::run(&args, place, term),
        Verb::Policy(args) => policy::run(&args, place, term),
        Verb::Key(args) => key::run(&args, place, term),
        Verb::Doctor(args) => doctor::run(&args, place, term),
        Verb::Demo(args) => demo::run(&args, term),
        Verb::Completions(args) => completions::run(&args, term),
        Verb::Bench(args) => bench::run(&args, place, term),
        Verb::DemoAgent(args) => demo::agent::run(&args, term),
        Verb::CellWarden(_) => Ok(cell::warden()),
        Verb::CellInit(_) => Ok(cell::init()),
        Verb::CellAgent(args) => Ok(cell::agent(args, term)),
        Verb::CellProbe(args) => cell::probe(&args),
    }
}
