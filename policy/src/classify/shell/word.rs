//! Words of a shell that are known without running it.

use std::collections::HashMap;

use brush_parser::ParserOptions;
use brush_parser::word::{
    self, Parameter, ParameterExpr, TildeExpr, WordPiece, WordPieceWithSource,
};

use super::super::{guard, path};

/// The longest value that is kept.
const MAX_VALUE: usize = 16 << 10;

/// A word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Word {
    /// This text.
    Known(String),
    /// The files that this pattern matches.
    Pattern(String),
    /// Nobody knows.
    Unknown,
}

/// What variables hold.
#[derive(Clone, Debug)]
pub(super) struct Vars {
    known: HashMap<String, Word>,
}

impl Vars {
    pub(super) fn new(cwd: &str) -> Self {
        let mut known = HashMap::new();
        known.insert("HOME".to_owned(), Word::Known("~".to_owned()));
        known.insert("PWD".to_owned(), Word::Known(cwd.to_owned()));
        Self { known }
    }

    pub(super) fn set(&mut self, name: &str, value: Word) {
        let short = match &value {
            Word::Known(text) | Word::Pattern(text) => text.len() <= MAX_VALUE,
            Word::Unknown => true,
        };
        let value = if short { value } else { Word::Unknown };
        self.known.insert(name.to_owned(), value);
    }

    /// Anything may have been set.
    pub(super) fn forget_all(&mut self) {
        self.known.clear();
    }

    /// What is known whichever way was taken.
    pub(super) fn join(&mut self, other: &Self) {
        let agrees = |name: &String, value: &mut Word| other.known.get(name) == Some(value);
        self.known.retain(agrees);
    }

    /// A word, as one value.
    pub(super) fn word(&self, text: &str) -> Word {
        if text.len() > MAX_VALUE || !guard::is_readable(text) {
            return Word::Unknown;
        }
        match word::parse(text, &ParserOptions::default()) {
            Ok(pieces) => self.pieces(&pieces),
            Err(_) => Word::Unknown,
        }
    }

    /// A word as the words that it becomes: braces make several, and a variable without quotes as many as it holds.
    pub(super) fn words(&self, text: &str) -> Vec<Word> {
        match braces(text) {
            Some(several) => several.iter().map(|one| self.word(one)).collect(),
            None => match self.word(text) {
                // `$X` without quotes falls apart where it has blanks.
                Word::Known(value)
                    if is_bare_variable(text) && value.contains([' ', '\t', '\n']) =>
                {
                    value
                        .split_whitespace()
                        .map(|w| Word::Known(w.to_owned()))
                        .collect()
                }
                word => vec![word],
            },
        }
    }

    /// The text of a here-document.
    pub(super) fn text(&self, text: &str) -> Option<String> {
        if !guard::is_readable(text) {
            return None;
        }
        let pieces = word::parse_heredoc(text, &ParserOptions::default()).ok()?;
        self.quoted(&pieces)
    }

    fn pieces(&self, pieces: &[WordPieceWithSource]) -> Word {
        let mut text = String::new();
        let mut pattern = false;
        for piece in pieces {
            match &piece.piece {
                WordPiece::Text(plain) => {
                    pattern |= plain.contains(['*', '?', '[']) || is_braced(plain);
                    text.push_str(plain);
                }
                WordPiece::TildeExpansion(TildeExpr::Home) => text.push('~'),
                WordPiece::TildeExpansion(TildeExpr::WorkingDir) => match self.known.get("PWD") {
                    Some(Word::Known(pwd)) => text.push_str(pwd),
                    _ => return Word::Unknown,
                },
                WordPiece::ParameterExpansion(expression) => match self.parameter(expression) {
                    Word::Known(value) => {
                        // Unquoted: a pattern in the value is one.
                        pattern |= value.contains(['*', '?', '[']);
                        text.push_str(&value);
                    }
                    Word::Pattern(value) => {
                        pattern = true;
                        text.push_str(&value);
                    }
                    Word::Unknown => return Word::Unknown,
                },
                other => match self.quoted_piece(other) {
                    // What is quoted stands for itself; within a pattern that cannot be told apart, so it widens it.
                    Some(value) => text.push_str(&value),
                    None => return Word::Unknown,
                },
            }
        }
        if pattern {
            Word::Pattern(text)
        } else {
            Word::Known(text)
        }
    }

    fn quoted(&self, pieces: &[WordPieceWithSource]) -> Option<String> {
        let texts = pieces.iter().map(|p| self.quoted_piece(&p.piece));
        texts.collect::<Option<String>>()
    }

    fn quoted_piece(&self, piece: &WordPiece) -> Option<String> {
        match piece {
            WordPiece::Text(text) | WordPiece::SingleQuotedText(text) => Some(text.clone()),
            WordPiece::EscapeSequence(text) => {
                let plain = text.strip_prefix('\\').unwrap_or(text);
                // An escaped line feed is none.
                Some(if plain == "\n" {
                    String::new()
                } else {
                    plain.to_owned()
                })
            }
            WordPiece::DoubleQuotedSequence(pieces) => self.quoted(pieces),
            WordPiece::AnsiCQuotedText(text) => (!text.contains('\\')).then(|| text.clone()),
            WordPiece::ParameterExpansion(expression) => match self.parameter(expression) {
                Word::Known(value) => Some(value),
                _ => None,
            },
            _ => None,
        }
    }

    fn parameter(&self, expression: &ParameterExpr) -> Word {
        match expression {
            ParameterExpr::Parameter {
                parameter: Parameter::Named(name),
                indirect: false,
            } => self.known.get(name).cloned().unwrap_or(Word::Unknown),
            _ => Word::Unknown,
        }
    }
}

/// Whether braces in a text become several words: `{a,b}`, `{1..9}`.
fn is_braced(text: &str) -> bool {
    let inner = text
        .split_once('{')
        .and_then(|(_, rest)| rest.rsplit_once('}'));
    inner.is_some_and(|(inner, _)| inner.contains(',') || inner.contains(".."))
}

fn is_bare_variable(text: &str) -> bool {
    text.starts_with('$') && !text.contains(['"', '\''])
}

/// The texts that a word with braces becomes: `a{b,c}d` is `abd acd`. Only plain ones, and no more than 64.
fn braces(text: &str) -> Option<Vec<String>> {
    if !text.contains('{') || text.contains(['"', '\'', '\\', '$', '`']) {
        return None;
    }
    let (open, _) = text.match_indices('{').next()?;
    let close = text
        .match_indices('}')
        .map(|(at, _)| at)
        .find(|at| *at > open)?;
    let (before, rest) = text.split_at_checked(open)?;
    let inner = rest.get(1..close.checked_sub(open)?)?;
    let after = text.get(close.checked_add(1)?..)?;
    if inner.contains('{') || !inner.contains(',') {
        return None;
    }
    let mut made = Vec::new();
    for one in inner.split(',') {
        let word = format!("{before}{one}{after}");
        match braces(&word) {
            Some(several) => made.extend(several),
            None => made.push(word),
        }
        if made.len() > 64 {
            return None;
        }
    }
    Some(made)
}

/// The lines that run while a word is made: `$(…)` and backquotes, wherever they stand. `None` if that cannot be said.
pub(super) fn substituted(text: &str) -> Option<Vec<String>> {
    if !guard::is_readable(text) {
        return None;
    }
    collected(&word::parse(text, &ParserOptions::default()).ok()?)
}

/// The same for the text of a here-document, where quotes are letters.
pub(super) fn substituted_in_text(text: &str) -> Option<Vec<String>> {
    if !guard::is_readable(text) {
        return None;
    }
    collected(&word::parse_heredoc(text, &ParserOptions::default()).ok()?)
}

fn collected(pieces: &[WordPieceWithSource]) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    for piece in pieces {
        collect(&piece.piece, &mut lines)?;
    }
    Some(lines)
}

fn collect(piece: &WordPiece, lines: &mut Vec<String>) -> Option<()> {
    match piece {
        WordPiece::CommandSubstitution(line) => lines.push(line.clone()),
        WordPiece::BackquotedCommandSubstitution(line) => lines.push(line.replace("\\`", "`")),
        WordPiece::DoubleQuotedSequence(pieces)
        | WordPiece::GettextDoubleQuotedSequence(pieces) => {
            for piece in pieces {
                collect(&piece.piece, lines)?;
            }
        }
        WordPiece::ArithmeticExpression(expression) => nested(&expression.value, lines)?,
        // A default, a pattern, an index: words of their own, with substitutions of their own.
        WordPiece::ParameterExpansion(expression)
            if format!("{expression:?}").contains(['$', '`']) =>
        {
            return None;
        }
        _ => {}
    }
    Some(())
}

fn nested(text: &str, lines: &mut Vec<String>) -> Option<()> {
    if text.contains(['$', '`']) {
        lines.extend(substituted(text)?);
    }
    Some(())
}

/// The name of a file in a path.
pub(super) fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A program that lies where only the system puts one.
pub(super) fn is_of_system(name: &str) -> bool {
    let plain = path::plain(name);
    [
        "/bin/",
        "/usr/bin/",
        "/usr/local/bin/",
        "/sbin/",
        "/usr/sbin/",
    ]
    .iter()
    .any(|folder| {
        plain
            .strip_prefix(folder)
            .is_some_and(|rest| !rest.contains('/'))
    })
}
