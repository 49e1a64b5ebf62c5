//! `tacho hook`: what agents call before and after each tool call, and how it gets into their settings.

pub(crate) mod ask;
mod canary;
pub(crate) mod settings;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tacho_recorder::hook::Agent;
use tacho_recorder::hook::client::Hook;
use tacho_recorder::hook::install::Door;
use tacho_schemas::Origin;
use tacho_schemas::sign::Fingerprint;

use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// Put the gate before each tool call of an agent
///
/// A hook reads what its harness is about to do from standard input, asks the gate, and answers in the harness's own dialect. Every
/// failure is a no: there is no gate, the off switch is engaged, the answer takes too long, the input cannot be read without
/// doubt. `tacho hook install` writes it into an agent's settings; agents call it, people need not.
#[derive(clap::Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  tacho hook install claude-code\n  tacho hook check claude-code\n  tacho hook uninstall claude-code"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,

    #[command(flatten)]
    called: Option<Called>,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    Install(settings::Install),
    Uninstall(settings::Uninstall),
    Check(settings::Check),
}

/// What a harness calls. All of it stands in the settings; nothing is taken from the environment.
#[derive(clap::Args, Debug)]
pub(crate) struct Called {
    /// Whose dialect is spoken: claude-code, codex, copilot, cursor, gemini, generic
    #[arg(long, value_name = "AGENT", required = true)]
    agent: Agent,

    /// The log, by its origin
    #[arg(long, value_name = "ORIGIN", required = true)]
    origin: String,

    /// The fingerprint of the log key, which the gate must prove to hold
    #[arg(long, value_name = "SHA256:…", required = true)]
    key: String,

    /// The directory of the off switch
    #[arg(long, value_name = "DIR", required = true)]
    switch: PathBuf,

    /// The gate's socket for installed hooks
    #[arg(long, value_name = "SOCKET", conflicts_with = "socket")]
    door: Option<PathBuf>,

    /// The gate's socket of one session
    #[arg(long, value_name = "SOCKET")]
    socket: Option<PathBuf>,

    /// How long a hold may wait for people, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 540)]
    hold: u64,
}

/// The verb as a harness calls it, without the rest of the command line: starting is most of what it costs.
#[derive(Debug, Parser)]
#[command(name = "tacho hook", no_binary_name = true)]
struct Short {
    #[command(flatten)]
    called: Called,
}

impl Called {
    fn hook(&self) -> Result<Hook, String> {
        let wrong = |what: &str| {
            format!("tachograph denies this: the hook's own `{what}` is wrong; install it again")
        };
        let door = match (&self.door, &self.socket) {
            (Some(door), None) => Door::Log(door.clone()),
            (None, Some(socket)) => Door::Session(socket.clone()),
            _ => return Err(wrong("--door or --socket")),
        };
        if self.hold > self.agent.harness().longest_hold() {
            return Err(wrong("--hold"));
        }
        Ok(Hook {
            agent: self.agent,
            origin: Origin::new(self.origin.as_str()).map_err(|_| wrong("--origin"))?,
            key: self
                .key
                .parse::<Fingerprint>()
                .map_err(|_| wrong("--key"))?,
            switch: self.switch.clone(),
            door,
            hold: Duration::from_secs(self.hold),
        })
    }
}

/// Whether this is a harness's call; then it is answered here and now.
pub(crate) fn is_call(args: &[std::ffi::OsString]) -> bool {
    args.get(1).is_some_and(|verb| verb == "hook")
        && args.get(2).is_some_and(|first| first == "--agent")
}

/// Answers a harness's call.
pub(crate) fn answer(args: &[std::ffi::OsString]) -> std::process::ExitCode {
    let code = match Short::try_parse_from(args.iter().skip(2)) {
        Ok(short) => ask::run(&short.called),
        Err(error) => ask::misused(&error.to_string()),
    };
    code.into()
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match (&args.what, &args.called) {
        (Some(What::Install(args)), _) => settings::install(args, place, term),
        (Some(What::Uninstall(args)), _) => settings::uninstall(args, place, term),
        (Some(What::Check(args)), _) => settings::check(args, place, term),
        (None, Some(called)) => Ok(if ask::run(called) == 0 {
            Exit::Done
        } else {
            Exit::Failure
        }),
        (None, None) => Err(Failure::new("there is nothing to do")
            .hint("`tacho hook install AGENT` puts the gate before an agent's tool calls")),
    }
}
