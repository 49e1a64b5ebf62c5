//! `tacho why`: the seven answers about one record.

use tacho_recorder::index::Index;
use tacho_recorder::read::View;
use tacho_recorder::why::{Explanation, Stage, Statement, explain};
use tacho_recorder::{LogDir, Reader};
use tacho_schemas::Seq;
use tacho_schemas::safe::safe_block;

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Lines of a text or a diff that are shown unless everything is asked for.
const SHOWN: usize = 14;

/// Explain a record: what, why, by whose leave, with what effect, and how we know
///
/// Seven answers. What somebody says stands quoted behind a bar (│), with who says it; what checked bytes show stands plain; what is
/// not there is said to be absent (∅). For a generation also its path from the root, with the score before and after each step.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho why 31\n  tacho why 31 --full | less\n  tacho why 31 --json | jq '.answers[1]'"
)]
pub(crate) struct Args {
    /// The record's number
    seq: u64,

    /// Show long texts and diffs whole
    #[arg(long)]
    full: bool,

    /// Print the answers as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let dir = place.open_to_read()?;
    let reader = place::reader(&dir)?;
    let mut progress = term.progress("indexing");
    let explanation = ask(&dir, &reader, Seq(args.seq), |done, all| {
        progress.show(done, all);
    })?;
    drop(progress);
    let doubtful = explanation
        .answers
        .iter()
        .flat_map(|a| &a.statements)
        .any(|s| matches!(s, Statement::Doubt { .. }));
    if args.json {
        term.line(serde_json::to_string(&explanation).map_err(|e| Failure::new(e.to_string()))?)?;
    } else {
        Printer {
            shown: if args.full { usize::MAX } else { SHOWN },
            width: textwrap::termwidth().clamp(60, 110),
            more: " (--full)",
        }
        .print(term, &explanation)?;
    }
    if doubtful {
        term.note("something is not as it was recorded; run `tacho verify`");
        return Ok(Exit::Negative);
    }
    Ok(Exit::Done)
}

/// Asks the log for all it knows of a record.
pub(crate) fn ask(
    dir: &LogDir,
    reader: &Reader,
    seq: Seq,
    progress: impl FnMut(u64, u64),
) -> Result<Explanation, Failure> {
    let mut index = Index::open(dir)?;
    index.catch_up(reader, progress)?;
    let view = View::new(reader)?;
    let found = |seq: Seq| {
        let effects = index.effects(seq)?;
        Ok(effects
            .into_iter()
            .map(|link| (link.relation, link.seq))
            .collect())
    };
    Ok(explain(&view, &found, seq)?)
}

/// Prints an explanation as text.
pub(crate) struct Printer {
    /// Lines of a text or a diff.
    pub(crate) shown: usize,
    /// Columns.
    pub(crate) width: usize,
    /// How to see the others.
    pub(crate) more: &'static str,
}

impl Printer {
    pub(crate) fn print(&self, term: &mut Term, explanation: &Explanation) -> Result<(), Failure> {
        let title = format!("#{} {}", explanation.seq, explanation.kind);
        term.line(term.paint(Tone::Strong, &title))?;
        for (number, answer) in (1..).zip(&explanation.answers) {
            term.line("")?;
            term.line(term.paint(Tone::Strong, &format!("{number}  {}", answer.question)))?;
            for statement in &answer.statements {
                self.statement(term, statement)?;
            }
        }
        if !explanation.path.is_empty() {
            term.line("")?;
            term.line(term.paint(Tone::Strong, "   the path from the root"))?;
            for stage in &explanation.path {
                self.stage(term, stage)?;
            }
        }
        Ok(())
    }

    fn statement(&self, term: &mut Term, statement: &Statement) -> Result<(), Failure> {
        match statement {
            Statement::Fact { text } => self.wrapped(term, "   ", "   ", &safe(text), None),
            Statement::Absent { text } => {
                self.wrapped(term, "   ∅ ", "     ", &safe(text), Some(Tone::Dim))
            }
            Statement::Doubt { text } => {
                self.wrapped(term, "   ! ", "     ", &safe(text), Some(Tone::Bad))
            }
            Statement::Claim { by, what, text } => {
                let what = format!("   {} says, {}:", safe(by), safe(what));
                term.line(term.paint(Tone::Dim, &what))?;
                self.quoted(term, text)
            }
            Statement::Diff { seq, path, text } => {
                let path = path
                    .as_deref()
                    .map_or(String::new(), |path| format!(" {}", safe(path)));
                term.line(term.paint(Tone::Dim, &format!("   the diff kept with #{seq}{path}:")))?;
                self.diff(term, text)
            }
            Statement::Record {
                seq,
                link,
                kind,
                by,
                words,
            } => {
                let by = match by.is_empty() {
                    true => String::new(),
                    false => format!(" by {}", safe(by)),
                };
                let head = format!("   {link:<11} #{seq} {kind}{by}");
                let room = self.width.saturating_sub(head.chars().count() + 4);
                let words = match words.is_empty() {
                    true => String::new(),
                    false => format!("  “{}”", cut(&safe(words), room)),
                };
                term.line(format!("{head}{}", term.paint(Tone::Dim, &words)))
            }
        }
    }

    fn stage(&self, term: &mut Term, stage: &Stage) -> Result<(), Failure> {
        let score = match &stage.score {
            Some(score) if score.context.is_empty() => {
                format!("{} {} (a claim: no context)", score.metric, score.score)
            }
            Some(score) => format!(
                "{} {} ({})",
                score.metric,
                score.score,
                score.context.join(", ")
            ),
            None => "not measured".to_owned(),
        };
        let name = cut(&safe(&stage.name), 40);
        term.line(format!(
            "   #{} {name}  {}  {}",
            stage.seq,
            stage.fate,
            term.paint(Tone::Strong, &safe(&score))
        ))?;
        for step in &stage.mutations {
            let count = |n: Option<u64>| n.map_or("?".to_owned(), |n| n.to_string());
            let lines = format!("+{} −{}", count(step.added), count(step.removed));
            match &step.why {
                Some(why) => {
                    let room = self.width.saturating_sub(30);
                    term.line(format!(
                        "      #{} {lines}  │ “{}”",
                        step.seq,
                        cut(&safe(why), room)
                    ))?;
                }
                None => term.line(format!("      #{} {lines}  ∅ no rationale", step.seq))?,
            }
        }
        Ok(())
    }

    fn quoted(&self, term: &mut Term, text: &str) -> Result<(), Failure> {
        let bar = "   │ ";
        let text = safe_block(text);
        let options = textwrap::Options::new(self.width)
            .initial_indent(bar)
            .subsequent_indent(bar);
        let lines: Vec<String> = text
            .lines()
            .flat_map(|line| match line.trim().is_empty() {
                true => vec![bar.trim_end().to_owned()],
                false => textwrap::wrap(line, &options)
                    .into_iter()
                    .map(std::borrow::Cow::into_owned)
                    .collect(),
            })
            .collect();
        self.some_of(term, &lines, bar, |_| None)
    }

    fn diff(&self, term: &mut Term, text: &str) -> Result<(), Failure> {
        let text = safe_block(text);
        let room = match self.shown {
            usize::MAX => usize::MAX,
            _ => self.width.saturating_sub(5),
        };
        let lines: Vec<String> = text
            .lines()
            .map(|line| format!("     {}", cut(line, room)))
            .collect();
        self.some_of(term, &lines, "     ", |line| {
            match line.trim_start().as_bytes().first() {
                Some(b'+') => Some(Tone::Good),
                Some(b'-') => Some(Tone::Bad),
                _ => None,
            }
        })
    }

    /// Prints the lines, or the first of them and how many there are.
    fn some_of(
        &self,
        term: &mut Term,
        lines: &[String],
        margin: &str,
        tone: impl Fn(&str) -> Option<Tone>,
    ) -> Result<(), Failure> {
        // One or two more lines are shorter than saying so.
        let shown = match lines.len() <= self.shown.saturating_add(2) {
            true => lines.len(),
            false => self.shown,
        };
        for line in lines.iter().take(shown) {
            match tone(line) {
                Some(tone) => term.line(term.paint(tone, line))?,
                None => term.line(line)?,
            }
        }
        if shown < lines.len() {
            let rest = format!("{margin}… {} more lines{}", lines.len() - shown, self.more);
            term.line(term.paint(Tone::Dim, &rest))?;
        }
        Ok(())
    }

    fn wrapped(
        &self,
        term: &mut Term,
        first: &str,
        next: &str,
        text: &str,
        tone: Option<Tone>,
    ) -> Result<(), Failure> {
        let options = textwrap::Options::new(self.width)
            .initial_indent(first)
            .subsequent_indent(next);
        for line in textwrap::wrap(text, &options) {
            match tone {
                Some(tone) => term.line(term.paint(tone, &line))?,
                None => term.line(line)?,
            }
        }
        Ok(())
    }
}

fn cut(text: &str, room: usize) -> String {
    match text.chars().count() > room {
        true => text
            .chars()
            .take(room.saturating_sub(1))
            .chain(['…'])
            .collect(),
        false => text.to_owned(),
    }
}
