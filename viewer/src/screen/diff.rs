//! Diff: what changed, word by word, with the reason that was given beside it; stacked, or side by side where there is room.

use ratatui::layout::Rect;
use ratatui::style::Modifier;
use tacho_schemas::Seq;

use super::Scroll;
use crate::answer::diff::{Against, Changes, DiffLine, FileChange, Sort};
use crate::app::App;
use crate::ask::Trouble;
use crate::draw::{Pen, inset, take_row};
use crate::keys::Action;
use crate::text::{self, thousands};
use crate::theme::Role;

/// From this width on both sides stand side by side.
const WIDE: u16 = 120;

/// Lines of a reason that are shown before the change.
const REASON: usize = 8;

/// What changed, and where we are in it.
#[derive(Debug, Default)]
pub(crate) struct Diff {
    pub(crate) asked: Option<(Seq, Against)>,
    pub(crate) against: Against,
    changes: Option<Changes>,
    failed: Option<Trouble>,
    shown: Option<(Seq, Against)>,
    scroll: Scroll,
    /// Cells that are scrolled out to the left.
    aside: usize,
    /// Reasons are shown whole.
    whole: bool,
}

/// One row of the screen.
#[derive(Clone, Debug)]
enum Shown<'a> {
    File(&'a FileChange),
    Reason(&'a str),
    Quoted(String),
    More(usize),
    Line(&'a DiffLine),
    /// Before and after, side by side.
    Pair(Option<&'a DiffLine>, Option<&'a DiffLine>),
    Empty,
}

impl Diff {
    pub(crate) fn take(&mut self, changes: Changes) {
        if self.shown != self.asked {
            self.scroll = Scroll::default();
            self.aside = 0;
        }
        self.shown = self.asked;
        self.failed = None;
        self.changes = Some(changes);
    }

    /// All changes, in plain lines.
    pub(crate) fn plain(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(changes) = &self.changes else {
            return lines;
        };
        lines.extend(changes.none.clone());
        for file in &changes.files {
            lines.push(format!(
                "{} ({}), {} to {}",
                file.name, file.part, file.sides.0, file.sides.1
            ));
            for (what, text) in &file.reasons {
                lines.push(format!("why, as the agent says: {what}"));
                lines.extend(text.iter().map(|line| format!("says: {line}")));
            }
            for line in &file.lines {
                let word = match line.sort {
                    Sort::Add => "added  ",
                    Sort::Remove => "removed",
                    Sort::Same => "same   ",
                    Sort::Gap => "       ",
                };
                let words: String = line
                    .pieces
                    .iter()
                    .map(|(piece, _)| piece.text.as_str())
                    .collect();
                lines.push(format!("{word} {words}"));
            }
        }
        lines
    }

    pub(crate) fn fail(&mut self, trouble: Trouble) {
        self.failed = Some(trouble);
        self.changes = None;
    }
}

/// The rows of all files.
fn rows(changes: &Changes, wide: bool, width: usize, whole: bool) -> Vec<Shown<'_>> {
    let mut rows = Vec::new();
    for file in &changes.files {
        rows.push(Shown::File(file));
        for (what, lines) in &file.reasons {
            rows.push(Shown::Reason(what));
            let room = width.saturating_sub(4).min(100);
            let all: Vec<String> = lines
                .iter()
                .flat_map(|line| text::wrap(line, room))
                .map(str::to_owned)
                .collect();
            let most = if whole { usize::MAX } else { REASON };
            let kept = if all.len() <= most.saturating_add(1) {
                all.len()
            } else {
                most
            };
            let left = all.len() - kept;
            rows.extend(all.into_iter().take(kept).map(Shown::Quoted));
            if left > 0 {
                rows.push(Shown::More(left));
            }
        }
        if file.reasons.is_empty() {
            rows.push(Shown::Reason(""));
        }
        rows.push(Shown::Empty);
        if wide {
            pairs(&file.lines, &mut rows);
        } else {
            rows.extend(file.lines.iter().map(Shown::Line));
        }
        rows.push(Shown::Empty);
    }
    rows.pop();
    rows
}

/// Puts removed lines beside those that were added in their place.
fn pairs<'a>(lines: &'a [DiffLine], rows: &mut Vec<Shown<'a>>) {
    let (mut old, mut new): (Vec<&DiffLine>, Vec<&DiffLine>) = (Vec::new(), Vec::new());
    let flush =
        |old: &mut Vec<&'a DiffLine>, new: &mut Vec<&'a DiffLine>, rows: &mut Vec<Shown<'a>>| {
            for place in 0..old.len().max(new.len()) {
                rows.push(Shown::Pair(
                    old.get(place).copied(),
                    new.get(place).copied(),
                ));
            }
            old.clear();
            new.clear();
        };
    for line in lines {
        match line.sort {
            Sort::Remove if new.is_empty() => old.push(line),
            Sort::Remove => {
                flush(&mut old, &mut new, rows);
                old.push(line);
            }
            Sort::Add => new.push(line),
            Sort::Same => {
                flush(&mut old, &mut new, rows);
                rows.push(Shown::Pair(Some(line), Some(line)));
            }
            Sort::Gap => {
                flush(&mut old, &mut new, rows);
                rows.push(Shown::Line(line));
            }
        }
    }
    flush(&mut old, &mut new, rows);
}

impl App {
    pub(crate) fn diff_act(&mut self, action: Action) {
        match action {
            Action::Left => self.diff.aside = self.diff.aside.saturating_sub(8),
            Action::Right => self.diff.aside = (self.diff.aside + 8).min(4096),
            Action::Zoom => self.diff.whole = !self.diff.whole,
            Action::NextPane => self.diff.against = self.diff.against.next(),
            other => {
                self.diff.scroll.act(other);
            }
        }
    }

    pub(crate) fn draw_diff(&mut self, pen: &mut Pen<'_>, area: Rect) {
        let mut area = area;
        let title = take_row(&mut area);
        let against = format!("against {} · tab, D", self.diff.against.name());
        let Some(changes) = self
            .diff
            .changes
            .clone()
            .filter(|_| self.diff.failed.is_none())
        else {
            pen.rule(
                title,
                title.y,
                &format!("#{}", thousands(self.cursor.0)),
                &against,
            );
            let (role, text) = match &self.diff.failed {
                Some(trouble) => (Role::Deny, trouble.what.clone()),
                None => (Role::Dim, "reading".to_owned()),
            };
            pen.text(
                area.x + 2,
                area.y + 1,
                area.width.saturating_sub(4),
                role,
                &text,
            );
            return;
        };
        let (added, removed) = changes.files.iter().fold((0, 0), |(add, rem), file| {
            (add + file.added, rem + file.removed)
        });
        let words = match changes.files.is_empty() {
            true => format!("#{}", thousands(self.cursor.0)),
            false => format!("#{}  +{added} −{removed}", thousands(self.cursor.0)),
        };
        pen.rule(title, title.y, &words, &against);
        let mut inner = inset(area, 1, 0);
        if let Some(none) = &changes.none {
            let line = take_row(&mut inner);
            pen.text(
                line.x + 1,
                line.y,
                line.width,
                Role::Dim,
                &format!("∅ {none}"),
            );
        }
        let wide = area.width >= WIDE;
        let rows = rows(&changes, wide, usize::from(inner.width), self.diff.whole);
        let top = self.diff.scroll.fit(rows.len(), inner.height);
        let digits = changes
            .files
            .iter()
            .flat_map(|file| &file.lines)
            .filter_map(|line| line.old.max(line.new))
            .max()
            .map_or(1, |number| number.to_string().len());
        let digits = u16::try_from(digits).unwrap_or(4).max(3);
        for (y, row) in (inner.top()..inner.bottom()).zip(rows.iter().skip(top)) {
            let line = Rect {
                y,
                height: 1,
                ..inner
            };
            self.draw_diff_row(pen, line, row, digits);
        }
        let below = rows.len().saturating_sub(top + usize::from(inner.height));
        if below > 0 {
            let text = format!(" {below} more {} ", pen.glyphs.down);
            pen.right(inner, inner.bottom().saturating_sub(1), Role::Dim, &text);
        }
    }

    fn draw_diff_row(&self, pen: &mut Pen<'_>, line: Rect, row: &Shown<'_>, digits: u16) {
        let y = line.y;
        match row {
            Shown::Empty => {}
            Shown::File(file) => {
                let bold = pen.theme.style(Role::Accent).add_modifier(Modifier::BOLD);
                let mut x = line.x + pen.styled(line.x, y, line.width, bold, &file.name);
                let part = format!("  {}", file.part);
                x += pen.text(x, y, line.right().saturating_sub(x), Role::Dim, &part);
                let sides = format!("   {} {} {}", file.sides.0, pen.glyphs.arrow, file.sides.1);
                pen.text(x, y, line.right().saturating_sub(x), Role::Dim, &sides);
            }
            Shown::Reason("") => {
                pen.text(line.x, y, line.width, Role::Dim, "∅ no reason was given");
            }
            Shown::Reason(what) => {
                pen.text(
                    line.x,
                    y,
                    line.width,
                    Role::Dim,
                    &format!("why, as the agent says: {what}"),
                );
            }
            Shown::Quoted(text) => {
                let x = line.x + pen.text(line.x, y, 1, Role::Claim, pen.glyphs.claim) + 1;
                pen.text(x, y, line.right().saturating_sub(x), Role::Claim, text);
            }
            Shown::More(left) => {
                let text = format!("… {left} more lines: z shows all");
                pen.text(line.x, y, line.width, Role::Dim, &text);
            }
            Shown::Line(found) if found.sort == Sort::Gap => {
                let words: String = found
                    .pieces
                    .iter()
                    .map(|(piece, _)| piece.text.as_str())
                    .collect();
                let dots = pen.glyphs.dot.repeat(3);
                pen.text(
                    line.x + digits,
                    y,
                    line.width,
                    Role::Dim,
                    &format!("{dots} {words}"),
                );
            }
            Shown::Line(found) => {
                self.draw_diff_line(pen, line, found, digits, found.old.or(found.new))
            }
            Shown::Pair(old, new) => {
                let half = line.width / 2;
                let left = Rect {
                    width: half.saturating_sub(1),
                    ..line
                };
                let right = Rect {
                    x: line.x + half + 1,
                    width: line.width.saturating_sub(half + 1),
                    ..line
                };
                pen.text(line.x + half, y, 1, Role::Dim, pen.glyphs.side);
                if let Some(old) = old {
                    self.draw_diff_line(pen, left, old, digits, old.old);
                }
                if let Some(new) = new {
                    self.draw_diff_line(pen, right, new, digits, new.new);
                }
            }
        }
    }

    fn draw_diff_line(
        &self,
        pen: &mut Pen<'_>,
        line: Rect,
        found: &DiffLine,
        digits: u16,
        number: Option<usize>,
    ) {
        let y = line.y;
        if let Some(number) = number {
            let text = format!("{number:>width$}", width = usize::from(digits));
            pen.text(line.x, y, digits, Role::Dim, &text);
        }
        let (sign, role, word) = match found.sort {
            Sort::Add => ("+", Role::Add, Role::AddWord),
            Sort::Remove => ("-", Role::Remove, Role::RemoveWord),
            Sort::Same | Sort::Gap => (" ", Role::Text, Role::Text),
        };
        let mut x = line.x + digits + 1;
        pen.text(x, y, 1, role, sign);
        x += 2;
        let mut aside = self.diff.aside;
        for (piece, strong) in &found.pieces {
            let cells = text::width(&piece.text);
            if aside >= cells {
                aside -= cells;
                continue;
            }
            let words = text::skip(&piece.text, aside);
            aside = 0;
            let style = match (strong, found.sort, piece.role) {
                (true, ..) => {
                    let style = pen.theme.style(word);
                    style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
                }
                // Of what stays, the colours of code; of what changed, what happened to it.
                (false, Sort::Same, role) => pen.theme.style(role),
                (false, _, Role::Comment) => pen.theme.style(role).add_modifier(Modifier::ITALIC),
                (false, ..) => pen.theme.style(role),
            };
            x += pen.styled(x, y, line.right().saturating_sub(x), style, words);
        }
    }
}
