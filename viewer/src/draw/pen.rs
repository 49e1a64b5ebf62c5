//! The pen that all screens draw with, and how areas are cut.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::doc;
use crate::text;
use crate::theme::{Glyphs, Role, Theme};

/// Draws into a buffer, in the colours of a theme.
pub(crate) struct Pen<'a> {
    pub(crate) buf: &'a mut Buffer,
    pub(crate) theme: Theme,
    pub(crate) glyphs: &'static Glyphs,
    pub(crate) ascii: bool,
}

impl Pen<'_> {
    /// Writes text of a role; returns the cells that it took.
    pub(crate) fn text(&mut self, x: u16, y: u16, room: u16, role: Role, text: &str) -> u16 {
        self.styled(x, y, room, self.theme.style(role), text)
    }

    /// Writes text in a style.
    pub(crate) fn styled(&mut self, x: u16, y: u16, room: u16, style: Style, text: &str) -> u16 {
        if !self.buf.area.contains((x, y).into()) || room == 0 {
            return 0;
        }
        let room_for = usize::from(room);
        let text = match self.ascii {
            true => text::cut(&to_ascii(text), room_for).replace('…', "~"),
            false => text::cut(text, room_for),
        };
        let (end, _) = self.buf.set_stringn(x, y, text, usize::from(room), style);
        end.saturating_sub(x)
    }

    /// Writes text that ends at the right edge of an area.
    pub(crate) fn right(&mut self, area: Rect, y: u16, role: Role, text: &str) {
        let cells = u16::try_from(text::width(text))
            .unwrap_or(u16::MAX)
            .min(area.width);
        self.text(area.right().saturating_sub(cells), y, cells, role, text);
    }

    /// Lays a style over what is there.
    pub(crate) fn style(&mut self, area: Rect, style: Style) {
        self.buf.set_style(area, style);
    }

    /// Marks a row as the one where the cursor is.
    pub(crate) fn select(&mut self, area: Rect) {
        let mut style = Style::reset().add_modifier(Modifier::REVERSED);
        if self.theme == Theme::Mono {
            // `reset` would set colours.
            style = Style::new().add_modifier(Modifier::REVERSED);
        }
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                if let Some(cell) = self.buf.cell_mut((x, y)) {
                    cell.modifier = Modifier::empty();
                    cell.set_style(style);
                }
            }
        }
    }

    /// Takes everything off an area.
    pub(crate) fn clear(&mut self, area: Rect) {
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                if let Some(cell) = self.buf.cell_mut((x, y)) {
                    cell.reset();
                }
            }
        }
    }

    /// A line across, with a title in it and something at its right end.
    pub(crate) fn rule(&mut self, area: Rect, y: u16, title: &str, right: &str) {
        let line = self.glyphs.line.repeat(usize::from(area.width));
        self.text(area.x, y, area.width, Role::Dim, &line);
        let mut room = area.width.saturating_sub(4);
        if !right.is_empty() {
            let right = format!(" {right} ");
            let inner = Rect {
                width: area.width.saturating_sub(2),
                ..area
            };
            self.right(inner, y, Role::Dim, &right);
            room = room.saturating_sub(u16::try_from(text::width(&right)).unwrap_or(room));
        }
        if !title.is_empty() {
            let title = text::cut(title, usize::from(room.saturating_sub(2)));
            self.text(area.x + 2, y, room, Role::Accent, &format!(" {title} "));
        }
    }

    /// A line down.
    pub(crate) fn wall(&mut self, x: u16, area: Rect) {
        for y in area.top()..area.bottom() {
            self.text(x, y, 1, Role::Dim, self.glyphs.side);
        }
    }

    /// A frame around a cleared area, with a title; returns what is inside.
    pub(crate) fn boxed(&mut self, area: Rect, title: &str) -> Rect {
        // A cell on each side, so that no half word touches the frame.
        self.clear(Rect {
            x: area.x.saturating_sub(1),
            width: area.width.saturating_add(2),
            ..area
        });
        let across = self.glyphs.line.repeat(usize::from(area.width));
        let (right, bottom) = (
            area.right().saturating_sub(1),
            area.bottom().saturating_sub(1),
        );
        self.text(area.x, area.y, area.width, Role::Dim, &across);
        self.text(area.x, bottom, area.width, Role::Dim, &across);
        self.wall(area.x, area);
        self.wall(right, area);
        let corners = if self.ascii {
            ["+"; 4]
        } else {
            ["┌", "┐", "└", "┘"]
        };
        let places = [
            (area.x, area.y),
            (right, area.y),
            (area.x, bottom),
            (right, bottom),
        ];
        for ((x, y), corner) in places.into_iter().zip(corners) {
            self.text(x, y, 1, Role::Dim, corner);
        }
        let title = format!(" {title} ");
        self.text(
            area.x + 2,
            area.y,
            area.width.saturating_sub(4),
            Role::Accent,
            &title,
        );
        Rect {
            x: area.x + 2,
            y: area.y + 1,
            width: area.width.saturating_sub(4),
            height: area.height.saturating_sub(2),
        }
    }

    /// One row of a document.
    pub(crate) fn row(&mut self, area: Rect, y: u16, row: &doc::Row, label: Option<&str>) {
        if let (Some(label), true) = (label, row.first) {
            self.text(area.x, y, area.width, Role::Accent, label);
        }
        let mut x = area
            .x
            .saturating_add(u16::try_from(row.indent).unwrap_or(u16::MAX));
        if row.quoted {
            x += self.text(x, y, 1, Role::Bar, self.glyphs.claim) + 1;
        }
        for piece in &row.pieces {
            let room = area.right().saturating_sub(x);
            x += self.text(x, y, room, piece.role, &piece.text);
        }
    }
}

/// The signs of lines that were made for Unicode, in ASCII; other text stays.
fn to_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '∅' | '−' | '─' => out.push('-'),
            '“' | '”' => out.push('"'),
            '…' => out.push('~'),
            '→' => out.push_str("->"),
            '←' => out.push_str("<-"),
            '↓' => out.push('v'),
            '↑' => out.push('^'),
            '│' | '┃' => out.push('|'),
            '⏎' => out.push_str("enter"),
            '·' => out.push('.'),
            '★' => out.push('*'),
            '✓' => out.push('+'),
            '█' => out.push('#'),
            other => out.push(other),
        }
    }
    out
}

/// Takes the topmost row off an area.
pub(crate) fn take_row(area: &mut Rect) -> Rect {
    let row = Rect { height: 1, ..*area };
    area.y = area.y.saturating_add(1);
    area.height = area.height.saturating_sub(1);
    row
}

/// An area less a margin on each side.
pub(crate) fn inset(area: Rect, x: u16, y: u16) -> Rect {
    Rect {
        x: area.x.saturating_add(x),
        y: area.y.saturating_add(y),
        width: area.width.saturating_sub(x.saturating_mul(2)),
        height: area.height.saturating_sub(y.saturating_mul(2)),
    }
}
