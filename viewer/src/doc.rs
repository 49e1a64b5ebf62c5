//! Text with roles, links and bars: what screens draw and `--plain` prints.

use tacho_schemas::Seq;

use crate::text;
use crate::theme::Role;

/// A piece of a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) role: Role,
    pub(crate) text: String,
}

/// One line, before it is wrapped.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Line {
    /// Cells left of it.
    pub(crate) indent: usize,
    /// A word in the margin.
    pub(crate) label: Option<&'static str>,
    /// Cells more for the lines that follow when it is wrapped.
    pub(crate) hang: usize,
    /// Behind the bar that only quoted words have.
    pub(crate) quoted: bool,
    pub(crate) pieces: Vec<Piece>,
    /// The record that it leads to.
    pub(crate) link: Option<Seq>,
    /// Cut at the edge instead of wrapped.
    pub(crate) cut: bool,
}

impl Line {
    pub(crate) fn new(role: Role, text: impl Into<String>) -> Self {
        Self::default().with(role, text)
    }

    pub(crate) fn with(mut self, role: Role, text: impl Into<String>) -> Self {
        self.pieces.push(Piece {
            role,
            text: text.into(),
        });
        self
    }

    pub(crate) fn indent(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    pub(crate) fn hang(mut self, hang: usize) -> Self {
        self.hang = hang;
        self
    }

    pub(crate) fn quoted(mut self) -> Self {
        self.quoted = true;
        self
    }

    pub(crate) fn link(mut self, seq: Seq) -> Self {
        self.link = Some(seq);
        self.cut = true;
        self
    }

    pub(crate) fn cut(mut self) -> Self {
        self.cut = true;
        self
    }

    /// The words alone.
    pub(crate) fn words(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| piece.text.as_str())
            .collect()
    }

    /// The line as people without a screen read it; the bar is drawn with this sign.
    pub(crate) fn plain(&self, bar: &str) -> String {
        let bar = if self.quoted {
            format!("{bar} ")
        } else {
            String::new()
        };
        let label = self.label.unwrap_or("");
        let line = format!("{label:indent$}{bar}{}", self.words(), indent = self.indent);
        line.trim_end().to_owned()
    }

    /// Wraps the line into rows of so many cells.
    fn rows(&self, width: usize, at: usize, into: &mut Vec<Row>) {
        let bar = if self.quoted { 2 } else { 0 };
        let room = width.saturating_sub(self.indent + bar).max(8);
        let row = |indent, first, pieces| Row {
            line: at,
            first,
            indent,
            quoted: self.quoted,
            pieces,
        };
        let words = self.words();
        if self.cut || text::width(&words) <= room {
            into.push(row(self.indent, true, self.pieces.clone()));
            return;
        }
        // Wrapped as a whole; then the roles are laid over it again.
        let mut lines = Vec::new();
        let first = text::wrap(&words, room);
        if self.hang == 0 {
            lines = first;
        } else if let Some(head) = first.first() {
            lines.push(*head);
            let rest = words.get(head.len()..).unwrap_or_default().trim_start();
            lines.extend(text::wrap(rest, room.saturating_sub(self.hang).max(8)));
        }
        let mut roles = self
            .pieces
            .iter()
            .flat_map(|piece| piece.text.char_indices().map(|(_, c)| (c, piece.role)));
        for (number, line) in lines.into_iter().enumerate() {
            let mut pieces: Vec<Piece> = Vec::new();
            let wanted = line.chars();
            for c in wanted {
                let role = roles
                    .by_ref()
                    .find(|(found, _)| *found == c)
                    .map_or(Role::Text, |(_, role)| role);
                match pieces.last_mut() {
                    Some(last) if last.role == role => last.text.push(c),
                    _ => pieces.push(Piece {
                        role,
                        text: c.to_string(),
                    }),
                }
            }
            let hang = if number > 0 { self.hang } else { 0 };
            into.push(row(self.indent + hang, number == 0, pieces));
        }
    }
}

/// One line of the screen.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The line that it is part of.
    pub(crate) line: usize,
    /// It is the first row of its line.
    pub(crate) first: bool,
    pub(crate) indent: usize,
    pub(crate) quoted: bool,
    pub(crate) pieces: Vec<Piece>,
}

/// Wraps lines to a width.
pub(crate) fn rows(lines: &[Line], width: usize) -> Vec<Row> {
    let mut rows = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        line.rows(width, at, &mut rows);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_words_roles_and_margins() {
        let line = Line::new(Role::Accent, "one ")
            .with(Role::Text, "two three four")
            .indent(2)
            .hang(4);
        let rows = rows(&[line], 12);
        let shown: Vec<_> = rows
            .iter()
            .map(|r| {
                (
                    r.indent,
                    r.pieces.iter().map(|p| p.text.as_str()).collect::<String>(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (2, "one two".to_owned()),
                (6, "three".to_owned()),
                (6, "four".to_owned())
            ]
        );
        assert_eq!(rows[0].pieces[0].role, Role::Accent);
        assert_eq!(rows[0].pieces[1].role, Role::Text);
    }

    #[test]
    fn quoted_words_stand_behind_the_bar() {
        assert_eq!(
            Line::new(Role::Claim, "x").quoted().indent(3).plain("┃"),
            "   ┃ x"
        );
    }
}
