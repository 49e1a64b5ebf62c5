//! Diff: what changed, word by word, with the reason that was given above it; stacked, or side by side where there is room.

use ratatui::layout::Rect;
use ratatui::style::Modifier;
use tacho_schemas::Seq;

use super::Scroll;
use crate::answer::diff::{Against, Changes, DiffLine, FileChange, Sort};
use crate::app::App;
use crate::ask::Trouble;
use crate::doc::Piece;
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
    /// Reasons are shown whole.
    whole: bool,
}

/// One row of the screen.
#[derive(Clone, Debug)]
enum Shown<'a> {
    Empty,
    File(&'a FileChange),
    Gap(&'a DiffLine),
    More(usize),
    /// Before and after, side by side.
    Pair(Option<Part>, Option<Part>),
    Part(Part),
    Quoted(String),
    Reason(&'a str),
}

/// As much of a line as fits on a row.
#[derive(Clone, Debug)]
struct Part {
    sort: Sort,
    /// On the first row of a line.
    number: Option<usize>,
    first: bool,
    pieces: Vec<(Piece, bool)>,
}

impl Diff {
    pub(crate) fn take(&mut self, changes: Changes) {
        if self.shown != self.asked {
            self.scroll = Scroll::default();
        }
        self.shown = self.asked;
        self.failed = None;
        self.changes = Some(changes);
    }

    pub(crate) fn fail(&mut self, trouble: Trouble) {
        self.failed = Some(trouble);
        self.changes = None;
    }

    /// All changes, in plain lines.
    pub(crate) fn plain(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(changes) = &self.changes else {
            return lines;
        };
        lines.extend(changes.none.clone());
        for file in &changes.files {
            let (before, after) = &file.sides;
            lines.push(format!(
                "{} ({}), {before} to {after}",
                file.name, file.part
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
                lines.push(format!("{word} {}", words(line)));
            }
        }
        lines
    }
}

fn words(line: &DiffLine) -> String {
    line.pieces
        .iter()
        .map(|(piece, _)| piece.text.as_str())
        .collect()
}

/// Breaks a line into rows of so many cells.
fn break_up(line: &DiffLine, number: Option<usize>, room: usize) -> Vec<Part> {
    let room = room.max(8);
    let words = words(line);
    let part = |first: bool, pieces| Part {
        sort: line.sort,
        number: number.filter(|_| first),
        first,
        pieces,
    };
    if text::width(&words) <= room {
        return vec![part(true, line.pieces.clone())];
    }
    let mut chars = line
        .pieces
        .iter()
        .flat_map(|(piece, strong)| piece.text.chars().map(|c| (c, piece.role, *strong)));
    let mut parts = Vec::new();
    for row in text::wrap(&words, room) {
        let mut pieces: Vec<(Piece, bool)> = Vec::new();
        for c in row.chars() {
            let Some((_, role, strong)) = chars.by_ref().find(|(found, ..)| *found == c) else {
                break;
            };
            match pieces.last_mut() {
                Some((last, was)) if last.role == role && *was == strong => last.text.push(c),
                _ => {
                    let text = c.to_string();
                    pieces.push((Piece { role, text }, strong));
                }
            }
        }
        parts.push(part(parts.is_empty(), pieces));
    }
    parts
}

/// The rows of all files.
fn rows(changes: &Changes, wide: bool, width: usize, margin: usize, whole: bool) -> Vec<Shown<'_>> {
    let mut rows = Vec::new();
    for file in &changes.files {
        rows.push(Shown::File(file));
        for (what, lines) in &file.reasons {
            rows.push(Shown::Reason(what));
            let room = width.saturating_sub(4).min(100);
            let wrapped = lines.iter().flat_map(|line| text::wrap(line, room));
            let all: Vec<String> = wrapped.map(str::to_owned).collect();
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
            let room = (width / 2).saturating_sub(margin + 1);
            pairs(&file.lines, room, &mut rows);
        } else {
            for line in &file.lines {
                if line.sort == Sort::Gap {
                    rows.push(Shown::Gap(line));
                    continue;
                }
                let number = line.new.or(line.old);
                let parts = break_up(line, number, width.saturating_sub(margin));
                rows.extend(parts.into_iter().map(Shown::Part));
            }
        }
        rows.push(Shown::Empty);
    }
    rows.pop();
    rows
}

/// Puts removed lines beside those that were added in their place.
fn pairs<'a>(lines: &'a [DiffLine], room: usize, rows: &mut Vec<Shown<'a>>) {
    let (mut old, mut new): (Vec<&DiffLine>, Vec<&DiffLine>) = (Vec::new(), Vec::new());
    let flush = |old: &mut Vec<&DiffLine>, new: &mut Vec<&DiffLine>, rows: &mut Vec<Shown<'a>>| {
        for place in 0..old.len().max(new.len()) {
            let left = old.get(place).map(|line| break_up(line, line.old, room));
            let right = new.get(place).map(|line| break_up(line, line.new, room));
            let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
            for row in 0..left.len().max(right.len()) {
                rows.push(Shown::Pair(left.get(row).cloned(), right.get(row).cloned()));
            }
        }
        old.clear();
        new.clear();
    };
    for line in lines {
        match line.sort {
            Sort::Remove => {
                if !new.is_empty() {
                    flush(&mut old, &mut new, rows);
                }
                old.push(line);
            }
            Sort::Add => new.push(line),
            Sort::Same => {
                flush(&mut old, &mut new, rows);
                old.push(line);
                new.push(line);
                flush(&mut old, &mut new, rows);
            }
            Sort::Gap => {
                flush(&mut old, &mut new, rows);
                rows.push(Shown::Gap(line));
            }
        }
    }
    flush(&mut old, &mut new, rows);
}

impl App {
    pub(crate) fn diff_act(&mut self, action: Action) {
        match action {
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
        let against = format!("against {} · tab", self.diff.against.name());
        let number = format!("#{}", thousands(self.cursor.0));
        // Taken out while it is drawn: it may be long.
        let Some(changes) = self.diff.changes.take() else {
            pen.rule(title, title.y, &number, &against);
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
        let files = changes.files.iter();
        let (added, removed) = files.fold((0, 0), |(add, rem), file| {
            (add + file.added, rem + file.removed)
        });
        let words = match changes.files.is_empty() {
            true => number,
            false => format!("{number}  +{added} −{removed}"),
        };
        let mut inner = inset(area, 1, 0);
        if let Some(none) = &changes.none {
            let line = take_row(&mut inner);
            pen.text(line.x, line.y, line.width, Role::Dim, &format!("∅ {none}"));
        }
        let lines = changes.files.iter().flat_map(|file| &file.lines);
        let digits = lines
            .filter_map(|line| line.old.max(line.new))
            .max()
            .map_or(1, |number| number.to_string().len());
        let digits = u16::try_from(digits).unwrap_or(4).max(3);
        let wide = area.width >= WIDE;
        let margin = usize::from(digits) + 3;
        let rows = rows(
            &changes,
            wide,
            usize::from(inner.width),
            margin,
            self.diff.whole,
        );
        let top = self.diff.scroll.fit(rows.len(), inner.height);
        let below = rows.len().saturating_sub(top + usize::from(inner.height));
        let more = match below {
            0 => against,
            below => format!("{against}   {below} more {}", pen.glyphs.down),
        };
        pen.rule(title, title.y, &words, &more);
        for (y, row) in (inner.top()..inner.bottom()).zip(rows.iter().skip(top)) {
            let line = Rect {
                y,
                height: 1,
                ..inner
            };
            draw_row(pen, line, row, digits);
        }
        drop(rows);
        self.diff.changes = Some(changes);
    }
}

fn draw_row(pen: &mut Pen<'_>, line: Rect, row: &Shown<'_>, digits: u16) {
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
            let text = format!("why, as the agent says: {what}");
            pen.text(line.x, y, line.width, Role::Dim, &text);
        }
        Shown::Quoted(text) => {
            let x = line.x + pen.text(line.x, y, 1, Role::Bar, pen.glyphs.claim) + 1;
            pen.text(x, y, line.right().saturating_sub(x), Role::Claim, text);
        }
        Shown::More(left) => {
            let text = format!("… {left} more lines: z shows all");
            pen.text(line.x, y, line.width, Role::Dim, &text);
        }
        Shown::Gap(found) => {
            let text = format!("{} {}", pen.glyphs.dot.repeat(3), words(found));
            pen.text(
                line.x + digits,
                y,
                line.width.saturating_sub(digits),
                Role::Dim,
                &text,
            );
        }
        Shown::Part(part) => draw_part(pen, line, part, digits),
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
            pen.text(
                line.x + half.saturating_sub(1),
                y,
                1,
                Role::Dim,
                pen.glyphs.side,
            );
            if let Some(old) = old {
                draw_part(pen, left, old, digits);
            }
            if let Some(new) = new {
                draw_part(pen, right, new, digits);
            }
        }
    }
}

fn draw_part(pen: &mut Pen<'_>, line: Rect, part: &Part, digits: u16) {
    let y = line.y;
    if let Some(number) = part.number {
        let text = format!("{number:>width$}", width = usize::from(digits));
        pen.text(line.x, y, digits, Role::Dim, &text);
    }
    let (sign, role, word) = match part.sort {
        Sort::Add => ("+", Role::Add, Role::AddWord),
        Sort::Remove => ("-", Role::Remove, Role::RemoveWord),
        Sort::Same | Sort::Gap => (" ", Role::Text, Role::Text),
    };
    let mut x = line.x + digits + 1;
    pen.text(x, y, 1, role, if part.first { sign } else { " " });
    x += 2;
    for (piece, strong) in &part.pieces {
        let style = match (strong, part.sort) {
            (true, _) => pen.theme.style(word),
            // Of what stays, the colours of code; of what changed, that it did.
            (false, Sort::Same) => pen.theme.style(piece.role),
            (false, _) => pen.theme.style(role),
        };
        x += pen.styled(x, y, line.right().saturating_sub(x), style, &piece.text);
    }
}
