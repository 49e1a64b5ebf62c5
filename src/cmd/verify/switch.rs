//! `tacho verify --switch`: did the off switch do what it says?

use tacho_recorder::LogDir;
use tacho_recorder::read::View;
use tacho_schemas::tree;
pub(super) use tacho_schemas::verify::switch::Report;
use tacho_schemas::verify::switch::{Fold, State};

use crate::place;
use crate::term::{Failure, Term, Tone, count, safe};

/// A day, in ns.
const DAY: i64 = 86_400_000_000_000;

/// Asks the records.
pub(crate) fn ask(dir: &LogDir, drill_days: Option<u16>) -> Result<Report, Failure> {
    let reader = place::reader(dir)?;
    let view = View::new(&reader)?;
    let mut fold = Fold::new();
    view.records(0..view.size(), |shown| {
        // What is not in the tree, or not understood, is missing here, and I7 says so.
        if let (true, Ok(record)) = (shown.in_tree, &shown.meaning) {
            fold.push(record, tree::leaf_hash(&shown.bytes));
        }
        Ok::<(), Failure>(())
    })?;
    Ok(fold.finish(drill_days.map(|days| i64::from(days).saturating_mul(DAY))))
}

/// Prints the answers, one a line, with the records that prove or break each.
pub(super) fn print(report: &Report, term: &mut Term) -> Result<(), Failure> {
    term.line("")?;
    let open = match report.open.len() {
        0 => "none open".to_owned(),
        _ => format!("open: {}", list(report.open.iter())),
    };
    term.line(format!(
        "off switch    {}, {open}",
        count(report.kills, "kill")
    ))?;
    for answer in &report.answers {
        let (tone, word) = match answer.state {
            State::Holds => (Tone::Good, "holds"),
            State::Broken => (Tone::Bad, "BROKEN"),
            State::Open => (Tone::Warn, "open"),
            State::Nothing => (Tone::Dim, "nothing to check"),
        };
        let shown = if answer.proves.is_empty() {
            String::new()
        } else {
            format!(" (records {})", list(answer.proves.iter()))
        };
        term.line(format!(
            "  {}  {}  {}{shown}",
            answer.name,
            term.paint(tone, word),
            answer.says
        ))?;
        for breach in &answer.breaks {
            term.line(format!(
                "        record {}: {}",
                breach.seq,
                safe(&breach.why)
            ))?;
        }
        for note in &answer.notes {
            term.line(format!("        {}", safe(note)))?;
        }
    }
    if !report
        .answers
        .iter()
        .any(|a| a.name != "I7" && a.state != State::Nothing)
    {
        term.line("  nobody was killed and nothing was tried, so that nothing is shown: run `tacho drill`")?;
    }
    Ok(())
}

fn list<'a>(seqs: impl Iterator<Item = &'a tacho_schemas::Seq>) -> String {
    let seqs: Vec<String> = seqs.take(8).map(ToString::to_string).collect();
    seqs.join(", ")
}
