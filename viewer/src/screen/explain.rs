//! Explain: the seven answers about one record, and from each to the records that it names.

use std::collections::HashMap;

use ratatui::layout::Rect;
use tacho_schemas::Seq;

use super::Scroll;
use crate::answer::explain::{Explained, MARGIN};
use crate::app::{App, Hit, Screen};
use crate::ask::{Ask, Trouble};
use crate::doc::{self, Line};
use crate::draw::{Pen, inset, take_row};
use crate::keys::Action;
use crate::row::Row;
use crate::text::{moment, thousands};
use crate::theme::Role;

/// A record's answers, and where we are in them.
#[derive(Debug, Default)]
pub(crate) struct Explain {
    pub(crate) asked: Option<Seq>,
    explained: Option<Explained>,
    failed: Option<Trouble>,
    scroll: Scroll,
    /// Which of the lines that lead somewhere is chosen.
    chosen: Option<usize>,
    /// Long texts are shown whole.
    whole: bool,
    /// Cells that lines have, as drawn last.
    width: usize,
    /// What is unfolded beneath a line: by record and direction.
    branches: HashMap<(Seq, bool), Vec<Row>>,
}

impl Explain {
    pub(crate) fn seq(&self) -> Option<Seq> {
        self.explained.as_ref().map(|explained| explained.row.seq)
    }

    pub(crate) fn take(&mut self, explained: Explained) {
        if self.seq() != Some(explained.row.seq) {
            self.scroll = Scroll::default();
            self.chosen = None;
            self.whole = false;
            self.branches.clear();
        }
        self.failed = None;
        self.explained = Some(explained);
    }

    pub(crate) fn fail(&mut self, trouble: Trouble) {
        self.failed = Some(trouble);
        self.explained = None;
    }

    pub(crate) fn unfold(&mut self, seq: Seq, later: bool, rows: Vec<Row>) {
        self.branches.insert((seq, later), rows);
    }

    /// The first line of the answers that say most.
    pub(crate) fn brief(&self) -> Option<&[Line]> {
        self.explained
            .as_ref()
            .map(|explained| explained.brief.as_slice())
    }

    /// All that is said about a record, if it is the one that is here.
    pub(crate) fn whole(&self, seq: Seq) -> Option<&[Line]> {
        let explained = self.explained.as_ref()?;
        (explained.row.seq == seq).then_some(explained.whole.as_slice())
    }

    /// All that is said, in plain lines.
    pub(crate) fn plain(&self) -> Result<Vec<String>, String> {
        match (&self.explained, &self.failed) {
            (Some(explained), _) => Ok(explained
                .whole
                .iter()
                .map(|line| line.plain("says:"))
                .collect()),
            (None, Some(trouble)) => Err(trouble.what.clone()),
            (None, None) => Err("there is no such record".to_owned()),
        }
    }

    /// All lines, with what is unfolded beneath.
    fn lines(&self) -> Vec<Line> {
        let Some(explained) = &self.explained else {
            return Vec::new();
        };
        let lines = if self.whole {
            &explained.whole
        } else {
            &explained.lines
        };
        let mut out = Vec::with_capacity(lines.len());
        let mut later = false;
        for line in lines {
            match line.label {
                Some("Then") => later = true,
                Some(_) => later = false,
                None => {}
            }
            out.push(line.clone());
            if let Some(seq) = line.link {
                self.branch(seq, later, 1, &mut out);
            }
        }
        out
    }

    fn branch(&self, seq: Seq, later: bool, depth: usize, out: &mut Vec<Line>) {
        // A record has no way back to itself, so this ends; the bound keeps it on the screen.
        if depth > 12 {
            return;
        }
        let Some(rows) = self.branches.get(&(seq, later)) else {
            return;
        };
        let indent = MARGIN + 2 * depth;
        if rows.is_empty() {
            let side = if later {
                "nothing came of it"
            } else {
                "it came of nothing that is recorded"
            };
            out.push(Line::new(Role::Dim, format!("∅ {side}")).indent(indent));
        }
        for row in rows {
            let arrow = if later { "→" } else { "←" };
            let mut line = Line::new(Role::Dim, format!("{arrow} "))
                .with(Role::Accent, format!("#{}", row.seq))
                .with(row.state.role(), format!(" {} ", row.what))
                .with(Role::Text, format!("by {}", row.who));
            if !row.words.is_empty() {
                line = line.with(Role::Claim, format!("  “{}”", row.words));
            }
            out.push(line.indent(indent).link(row.seq));
            self.branch(row.seq, later, depth + 1, out);
        }
    }

    /// The chosen line's record, and whether it came later.
    fn link(&self) -> Option<(Seq, bool)> {
        let lines = self.lines();
        let mut later = false;
        let mut links = Vec::new();
        for line in &lines {
            match line.label {
                Some("Then") => later = true,
                Some(_) => later = false,
                None => {}
            }
            links.extend(line.link.map(|seq| (seq, later)));
        }
        links.get(self.chosen?).copied()
    }

    fn choose(&mut self, onward: bool, width: usize) {
        let lines = self.lines();
        let links: Vec<usize> = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.link.is_some())
            .map(|(at, _)| at)
            .collect();
        if links.is_empty() {
            return;
        }
        let last = links.len() - 1;
        let rows = doc::rows(&lines, width);
        let row_of = |link: usize| {
            let line = links.get(link).copied().unwrap_or(0);
            rows.iter().position(|row| row.line == line).unwrap_or(0)
        };
        let next = match (self.chosen, onward) {
            (Some(at), true) => {
                if at >= last {
                    0
                } else {
                    at + 1
                }
            }
            (Some(at), false) => at.checked_sub(1).unwrap_or(last),
            // The first one that is seen.
            (None, true) => (0..=last)
                .find(|link| row_of(*link) >= self.scroll.top)
                .unwrap_or(0),
            (None, false) => last,
        };
        self.chosen = Some(next);
        self.scroll.show(row_of(next));
    }
}

impl App {
    pub(crate) fn explain_act(&mut self, action: Action) {
        let width = self.explain.width;
        match action {
            Action::NextPane => self.explain.choose(true, width),
            Action::Enter => match self.explain.link() {
                Some((seq, _)) => self.open(Screen::Explain, seq),
                None => self.explain.choose(true, width),
            },
            Action::Zoom => self.explain.whole = !self.explain.whole,
            Action::Right => match self.explain.link() {
                Some((seq, later)) => self.ask(Ask::Linked { seq, later }),
                None => self.explain.choose(true, width),
            },
            Action::Left => {
                if let Some(link) = self.explain.link() {
                    self.explain.branches.remove(&link);
                }
            }
            other => {
                self.explain.scroll.act(other);
            }
        }
    }

    pub(crate) fn draw_explain(&mut self, pen: &mut Pen<'_>, area: Rect) {
        self.draw_answers(pen, area);
    }

    /// The answers about the record here, on a whole screen or beside the list.
    pub(crate) fn draw_answers(&mut self, pen: &mut Pen<'_>, area: Rect) {
        let mut area = area;
        let title = take_row(&mut area);
        if let Some(trouble) = &self.explain.failed {
            let text = format!("{} {}", pen.glyphs.deny, trouble.what);
            pen.text(
                area.x + 1,
                area.y + 1,
                area.width.saturating_sub(2),
                Role::Deny,
                &text,
            );
            return;
        }
        let Some(explained) = &self.explain.explained else {
            pen.text(area.x + 1, area.y, area.width, Role::Dim, "reading");
            return;
        };
        let row = &explained.row;
        let words = format!("#{}  {} {}", thousands(row.seq.0), row.who, row.what);
        let when = row.time.map_or(String::new(), moment);
        let inner = inset(area, 1, 0);
        self.explain.width = usize::from(inner.width);
        let lines = self.explain.lines();
        let rows = doc::rows(&lines, usize::from(inner.width));
        let chosen_line = self.explain.chosen.and_then(|chosen| {
            let links = lines
                .iter()
                .enumerate()
                .filter(|(_, line)| line.link.is_some());
            links.map(|(at, _)| at).nth(chosen)
        });
        let top = self.explain.scroll.fit(rows.len(), inner.height);
        let below = rows.len().saturating_sub(top + usize::from(inner.height));
        let more = match below {
            0 => when,
            below => format!("{when}   {below} more {}", pen.glyphs.down),
        };
        pen.rule(title, title.y, &words, &more);
        for (y, row) in (inner.top()..inner.bottom()).zip(rows.iter().skip(top)) {
            let line = lines.get(row.line);
            pen.row(inner, y, row, line.and_then(|line| line.label));
            if let Some(seq) = line.and_then(|line| line.link) {
                let place = Rect {
                    y,
                    height: 1,
                    ..inner
                };
                self.hits.push((place, Hit::Link(seq)));
                if chosen_line == Some(row.line) {
                    let indent = u16::try_from(row.indent).unwrap_or(0).min(inner.width);
                    pen.select(Rect {
                        x: inner.x + indent,
                        width: inner.width - indent,
                        ..place
                    });
                }
            }
        }
    }
}
