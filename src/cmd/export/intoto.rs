//! `tacho export intoto`: mutations and verdicts as signed statements.

use std::path::PathBuf;

use tacho_recorder::export::statement::Statements;
use tacho_recorder::keys;
use tacho_recorder::read::View;

use super::out::{self, Choice, From, Hide, Out};
use crate::place::Place;
use crate::term::{Exit, Failure, Term};

/// Write mutations and verdicts as in-toto statements in DSSE envelopes, one a line
///
/// The subjects are the record and its files, by SHA-256; the predicates are described in `schemas/statement.md`. The key is the
/// exporter's: its signature says who exported, the log's own signatures say what was recorded (`tacho export bundle`). Records of
/// other kinds become no statement and are counted.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  openssl genpkey -algorithm ed25519 -out export.pem && chmod 600 export.pem\n  tacho export intoto statements.jsonl --key export.pem --filter kind:mutation"
)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,

    #[command(flatten)]
    hide: Hide,

    /// The exporter's key: Ed25519 in a PEM file (PKCS #8)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let key = keys::read(&args.key)?;
    let from = From::open(place)?;
    let view = View::new(&from.reader)?;
    let mut made = Statements::new(key, args.hide.withhold()?, &view)?;
    drop(view);
    let out = Out::open(args.choice.out())?;
    let chosen = from.stream(
        (&args.choice, out),
        term,
        b"",
        &mut made,
        |made, shown, out| Ok(made.take(shown, out)?),
        |_, _| (),
    )?;
    from.say(chosen, (made.written, "statement"), &made.losses, term);
    Ok(out::exit(made.written, term))
}
