//! `tacho completions`: what a shell needs to complete our verbs.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::term::{Exit, Failure, Term};

/// Print the completions for a shell
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho completions bash > ~/.local/share/bash-completion/completions/tacho\n  tacho completions fish > ~/.config/fish/completions/tacho.fish"
)]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, term: &mut Term) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "tacho", &mut text);
    term.raw(&text)?;
    Ok(Exit::Done)
}
