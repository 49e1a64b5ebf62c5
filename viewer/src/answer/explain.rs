//! The seven answers, as lines.

use std::fmt::Write as _;

use tacho_recorder::Error;
use tacho_recorder::links;
use tacho_recorder::read::{HIDDEN, Shown, View};
use tacho_recorder::why::{self, Explanation, Stage, Statement};
use tacho_schemas::content::Field;
use tacho_schemas::record::Record;
use tacho_schemas::{Seq, canon, tree};

use super::Mind;
use crate::doc::Line;
use crate::row::Row;
use crate::text::{said, said_lines};
use crate::theme::{Role, UNICODE};

/// Lines of a quoted text or a diff in an answer, unless all is asked for.
const SHOWN: usize = 12;

/// Where answers begin, right of their names.
pub(crate) const MARGIN: usize = 9;

/// A record, explained.
#[derive(Clone, Debug)]
pub(crate) struct Explained {
    pub(crate) row: Row,
    /// Its session, and the path or part that it is about, for the header.
    pub(crate) lines: Vec<Line>,
    /// The same, with long texts whole.
    pub(crate) whole: Vec<Line>,
    /// One line for each answer that says most.
    pub(crate) brief: Vec<Line>,
}

impl Mind<'_> {
    pub(super) fn explain(&mut self, seq: Seq) -> Result<Explained, Error> {
        let view = View::new(&self.reader)?;
        let shown = view.record(seq)?;
        if let Err(why) = &shown.meaning {
            let lines = match why == HIDDEN {
                true => not_shown(seq),
                false => raw(&view, &shown),
            };
            return Ok(Explained {
                row: Row::of(&shown),
                whole: lines.clone(),
                brief: lines.iter().take(4).cloned().collect(),
                lines,
            });
        }
        let index = &self.index;
        let effects = |seq: Seq| {
            let effects = index.effects(seq)?;
            Ok(effects
                .into_iter()
                .map(|link| (link.relation, link.seq))
                .collect())
        };
        let explanation = why::explain(&view, &effects, seq)?;
        let covered = index.size()?;
        let mut lines = lay_out(&explanation, SHOWN);
        let mut whole = lay_out(&explanation, usize::MAX);
        if covered < view.size() {
            let text = format!(
                "the index covers {covered} of {} records so far: what came of it may be more",
                view.size()
            );
            for lines in [&mut lines, &mut whole] {
                lines.push(
                    Line::new(Role::Hold, format!("! {text}"))
                        .indent(MARGIN)
                        .hang(2),
                );
            }
        }
        Ok(Explained {
            row: Row::of(&shown),
            lines,
            whole,
            brief: brief(&explanation),
        })
    }

    /// The earlier records that a record came of, or the later ones that came of it.
    pub(super) fn linked(&mut self, seq: Seq, later: bool) -> Result<Vec<Row>, Error> {
        let view = View::new(&self.reader)?;
        let mut found = match later {
            true => self.index.effects(seq)?,
            false => match view.record(seq)?.meaning {
                Ok(record) => links::causes(&record),
                Err(_) => Vec::new(),
            },
        };
        found.retain(|link| link.relation.is_causal());
        found.dedup_by_key(|link| link.seq);
        found.truncate(100);
        found
            .iter()
            .map(|link| Ok(Row::of(&view.record(link.seq)?)))
            .collect()
    }
}

/// The name of an answer in a word.
fn short(question: &str) -> &'static str {
    match question {
        "what happened" => "What",
        "why, as the agent says" => "Why",
        "what it saw" => "Saw",
        "what changed, as the bytes show" => "Changed",
        "who allowed it, under which rule" => "Allowed",
        "what came of it" => "Then",
        "how we know" => "Proof",
        _ => "",
    }
}

fn lay_out(explanation: &Explanation, most: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for answer in &explanation.answers {
        let begin = lines.len();
        for statement in &answer.statements {
            state(statement, most, &mut lines);
        }
        if let Some(first) = lines.get_mut(begin) {
            first.label = Some(short(answer.question));
        }
        lines.push(Line::default());
    }
    if !explanation.path.is_empty() {
        let begin = lines.len();
        for stage in &explanation.path {
            step(stage, explanation.seq, &mut lines);
        }
        if let Some(first) = lines.get_mut(begin) {
            first.label = Some("Path");
        }
        lines.push(Line::default());
    }
    lines.pop();
    lines
}

/// The first thing that each answer has to say, on a line.
fn brief(explanation: &Explanation) -> Vec<Line> {
    let is_deed = matches!(explanation.kind.as_str(), "action" | "mutation");
    let mut lines = Vec::new();
    for answer in &explanation.answers {
        let label = short(answer.question);
        let claim = answer
            .statements
            .iter()
            .find(|s| matches!(s, Statement::Claim { .. }));
        let first = match label {
            "Saw" => continue,
            // What was done stands in the title: here its words.
            "What" => claim.or(answer.statements.last()),
            "Why" => claim.or(answer.statements.first()),
            _ => answer.statements.first(),
        };
        let Some(first) = first else { continue };
        // That something is not there is worth a line only where it should be.
        if matches!(first, Statement::Absent { .. }) && !(is_deed && label != "Then") {
            continue;
        }
        let mut all = Vec::new();
        state(first, 4, &mut all);
        // Of a claim, its words: who says it stands in the title.
        let of_claim = matches!(first, Statement::Claim { .. });
        let mut all = all.into_iter().skip(usize::from(of_claim));
        if let Some(mut line) = all.find(|line| line.words().chars().any(char::is_alphanumeric)) {
            line.label = Some(label);
            lines.push(line);
        }
    }
    lines
}

fn state(statement: &Statement, most: usize, lines: &mut Vec<Line>) {
    let glyphs = &UNICODE;
    match statement {
        Statement::Fact { text } => {
            lines.push(Line::new(Role::Fact, said(text)).indent(MARGIN));
        }
        Statement::Absent { text } => {
            let text = format!("{} {}", glyphs.absent, said(text));
            lines.push(Line::new(Role::Dim, text).indent(MARGIN).hang(2));
        }
        Statement::Doubt { text } => {
            let text = format!("{} {}", glyphs.hold, said(text));
            lines.push(Line::new(Role::Deny, text).indent(MARGIN).hang(2));
        }
        Statement::Claim { by, what, text } => {
            let head = format!("{} says, {}", said(by), said(what));
            lines.push(Line::new(Role::Dim, head).indent(MARGIN));
            let all = said_lines(text);
            let shown = shorten(all.len(), most);
            for line in all.iter().take(shown) {
                lines.push(
                    Line::new(Role::Claim, line.as_str())
                        .indent(MARGIN)
                        .quoted(),
                );
            }
            more(all.len() - shown, lines);
        }
        Statement::Diff { seq, path, text } => {
            let path = path
                .as_deref()
                .map_or(String::new(), |path| format!(" {}", said(path)));
            let head = format!("the diff kept with #{seq}{path}");
            lines.push(Line::new(Role::Dim, head).indent(MARGIN).link(*seq));
            let all = said_lines(text);
            let shown = shorten(all.len(), most);
            for line in all.iter().take(shown) {
                let role = match line.as_bytes().first() {
                    Some(b'+') => Role::Add,
                    Some(b'-') => Role::Remove,
                    Some(b'@') => Role::Accent,
                    _ => Role::Text,
                };
                lines.push(Line::new(role, line.as_str()).indent(MARGIN + 2).cut());
            }
            more(all.len() - shown, lines);
        }
        Statement::Record {
            seq,
            link,
            kind,
            by,
            words,
        } => {
            let mut line = Line::new(Role::Dim, format!("{link:<11} "))
                .with(Role::Accent, format!("#{seq}"))
                .with(
                    Role::Text,
                    match by.is_empty() {
                        true => format!(" {kind}"),
                        false => format!(" {kind} by {}", said(by)),
                    },
                );
            if !words.is_empty() {
                line = line.with(Role::Claim, format!("  “{}”", said(words)));
            }
            lines.push(line.indent(MARGIN).link(*seq));
        }
    }
}

fn shorten(all: usize, most: usize) -> usize {
    if all <= most.saturating_add(2) {
        all
    } else {
        most
    }
}

fn more(left: usize, lines: &mut Vec<Line>) {
    if left > 0 {
        lines
            .push(Line::new(Role::Dim, format!("… {left} more lines: z shows all")).indent(MARGIN));
    }
}

/// One generation on the way from the root.
fn step(stage: &Stage, of: Seq, lines: &mut Vec<Line>) {
    let score = match &stage.score {
        Some(score) => format!("{} {}", said(&score.metric), said(&score.score)),
        None => "not measured".to_owned(),
    };
    let here = if stage.seq == of { "  ← here" } else { "" };
    lines.push(
        Line::new(Role::Accent, format!("#{}", stage.seq))
            .with(Role::Text, format!(" {}  ", said(&stage.name)))
            .with(Role::Fact, score)
            .with(Role::Dim, format!("  {}{here}", stage.fate))
            .indent(MARGIN)
            .link(stage.seq),
    );
    for step in &stage.mutations {
        let number = |n: Option<u64>| n.map_or("?".to_owned(), |n| n.to_string());
        let mut line = Line::new(
            Role::Dim,
            format!(
                "#{} +{} −{}  ",
                step.seq,
                number(step.added),
                number(step.removed)
            ),
        );
        line = match &step.why {
            Some(why) => line.with(Role::Claim, format!("“{}”", said(why))),
            None => line.with(Role::Dim, "∅ no reason given"),
        };
        lines.push(line.indent(MARGIN + 3).link(step.seq));
    }
}

/// A record that a bundle proves and does not show.
fn not_shown(seq: Seq) -> Vec<Line> {
    let line = |role, text: String| Line::new(role, text).indent(MARGIN).hang(2);
    let mut what = line(
        Role::Dim,
        format!("∅ #{seq} {}", HIDDEN.trim_start_matches("it ")),
    );
    what.label = Some("What");
    let mut proof = line(
        Role::Fact,
        "it is under the root that the bundle proves, as one of a run of which only hashes are there".to_owned(),
    );
    proof.label = Some("Proof");
    vec![what, Line::default(), proof]
}

/// A record that this version does not understand, as far as it can be read.
fn raw(view: &View<'_>, shown: &Shown) -> Vec<Line> {
    let mut lines = Vec::new();
    let fact = |text: String| Line::new(Role::Fact, text).indent(MARGIN).hang(2);
    if let Err(why) = &shown.meaning {
        let mut line = Line::new(Role::Hold, format!("! not understood: {}", said(why)));
        line.label = Some("What");
        lines.push(line.indent(MARGIN).hang(2));
    }
    lines.push(
        Line::new(
            Role::Dim,
            "a newer tacho may know it; its fields, as they lie there:",
        )
        .indent(MARGIN),
    );
    match canon::entries(&shown.bytes) {
        Ok(entries) => {
            for (key, range) in entries {
                let bytes = shown.bytes.get(range).unwrap_or_default();
                lines.push(fact(format!("{key:>4}: {}", hex(bytes))));
            }
        }
        Err(error) => lines.push(fact(said(&error.to_string()))),
    }
    lines.push(Line::default());
    let leaf = tree::leaf_hash(&shown.bytes);
    let mut line = match shown.in_tree {
        true => fact(format!(
            "its {} bytes are the leaf {leaf}, and the tree with the root {} holds it",
            shown.bytes.len(),
            view.root()
        )),
        false => Line::new(Role::Deny, "! its bytes are not those in the tree").indent(MARGIN),
    };
    line.label = Some("Proof");
    lines.push(line);
    lines
}

/// Bytes in hexadecimal, the first of them if there are many.
pub(super) fn hex(bytes: &[u8]) -> String {
    const MOST: usize = 512;
    let mut text = String::new();
    for byte in bytes.iter().take(MOST) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > MOST {
        let _ = write!(text, "… {} more bytes", bytes.len() - MOST);
    }
    text
}

/// A record with its text, by the names of the registry.
pub(super) fn to_json(record: &Record, shown: &Shown) -> String {
    let mut value = match serde_json::to_value(record) {
        Ok(value) => value,
        Err(error) => return said(&error.to_string()),
    };
    let mut text = serde_json::Map::new();
    for (number, salted) in shown.row.content.iter().flatten() {
        let name = Field::from_number(*number)
            .map_or_else(|| number.to_string(), |field| field.name().to_owned());
        let words = String::from_utf8_lossy(&salted.bytes).into_owned();
        text.insert(name, words.into());
    }
    if let Some(object) = value.as_object_mut() {
        object.insert("text_of".to_owned(), text.into());
    }
    value.to_string()
}
