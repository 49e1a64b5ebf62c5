//! What lies over a screen: help, palette, the filter that is typed, questions for one more key, and what came of something.

use ratatui::layout::Rect;

use super::{Pen, inset};
use crate::app::App;
use crate::doc;
use crate::layer::{COPIES, Editor, Layer, find};
use crate::text;
use crate::theme::Role;
use crate::words;

impl App {
    /// A question for one more key, where the hints stand.
    pub(super) fn draw_question(&self, pen: &mut Pen<'_>, row: Rect, layer: &Layer) {
        pen.clear(row);
        let text = match layer {
            Layer::Copy => {
                let keys: Vec<_> = COPIES
                    .iter()
                    .map(|(key, _, what)| format!("{key} {what}"))
                    .collect();
                format!("copy:  {}", keys.join("   "))
            }
            Layer::Mark => "set a marker here: which letter?".to_owned(),
            Layer::JumpMark => {
                let known: Vec<_> = self
                    .markers
                    .iter()
                    .map(|(c, place)| format!("{c} #{} {}", place.seq, place.screen.name()))
                    .collect();
                match known.is_empty() {
                    true => "no marker is set yet: m and a letter set one".to_owned(),
                    false => format!("go to marker:  {}", known.join("   ")),
                }
            }
            Layer::Goto(digits) => format!("go to #{digits}_   ⏎ goes"),
            _ => String::new(),
        };
        pen.text(
            row.x + 1,
            row.y,
            row.width.saturating_sub(2),
            Role::Accent,
            &text,
        );
    }

    pub(super) fn draw_help(&self, pen: &mut Pen<'_>, all: Rect, query: &str, scroll: usize) {
        let area = inset(all, 4, 1);
        let inside = pen.boxed(area, &format!("keys on {}", self.screen.name()));
        let ask = match query.is_empty() {
            true => "type to search · ↓ ↑ scroll · esc closes".to_owned(),
            false => format!("{query}_"),
        };
        pen.text(inside.x, inside.y, inside.width, Role::Dim, &ask);
        let mut entries = find(query);
        // What works here comes first; why the rest does not stands with it.
        entries.sort_by_key(|entry| entry.works(self.screen).is_err());
        let body = Rect {
            y: inside.y + 2,
            height: inside.height.saturating_sub(2),
            ..inside
        };
        let room = usize::from(body.width.saturating_sub(13));
        let mut rows: Vec<(String, String, bool)> = Vec::new();
        for entry in &entries {
            let keys = self.options.keys.shown(entry.action);
            let keys = if keys.is_empty() {
                ":".to_owned()
            } else {
                keys
            };
            let (what, dim) = match entry.works(self.screen) {
                Ok(()) => (entry.what.to_owned(), false),
                Err(why) => (format!("{} ({why})", entry.what), true),
            };
            for (place, line) in text::wrap(&what, room).into_iter().enumerate() {
                let keys = if place == 0 {
                    keys.clone()
                } else {
                    String::new()
                };
                rows.push((keys, line.to_owned(), dim));
            }
        }
        for (mark, what) in words::find(pen.glyphs, query) {
            for (place, line) in text::wrap(what, room).into_iter().enumerate() {
                let mark = if place == 0 { mark } else { "" };
                rows.push((mark.to_owned(), line.to_owned(), false));
            }
        }
        let top = scroll.min(rows.len().saturating_sub(usize::from(body.height)));
        for (y, (keys, what, dim)) in (body.top()..body.bottom()).zip(rows.iter().skip(top)) {
            let (first, second) = match dim {
                true => (Role::Dim, Role::Dim),
                false => (Role::Accent, Role::Text),
            };
            pen.text(body.x, y, 12, first, keys);
            pen.text(body.x + 13, y, body.width.saturating_sub(13), second, what);
        }
        if rows.is_empty() {
            pen.text(body.x, body.y, body.width, Role::Dim, "no key does that");
        }
        let below = rows.len().saturating_sub(top + usize::from(body.height));
        if below > 0 {
            let text = format!(" {below} more {} ", pen.glyphs.down);
            let edge = Rect {
                width: area.width.saturating_sub(2),
                ..area
            };
            pen.right(edge, area.bottom().saturating_sub(1), Role::Dim, &text);
        }
    }

    pub(super) fn draw_palette(
        &self,
        pen: &mut Pen<'_>,
        all: Rect,
        query: &str,
        chosen: usize,
    ) -> Option<(u16, u16)> {
        let entries = find(query);
        let rows = u16::try_from(entries.len())
            .unwrap_or(u16::MAX)
            .clamp(1, 12);
        let area = inset(all, 8, 2);
        let area = Rect {
            height: (rows + 4).min(area.height),
            ..area
        };
        let inside = pen.boxed(area, "palette");
        let cells = pen.text(
            inside.x,
            inside.y,
            inside.width,
            Role::Text,
            &format!(": {query}"),
        );
        let body = Rect {
            y: inside.y + 2,
            height: inside.height.saturating_sub(2),
            ..inside
        };
        let top = chosen.saturating_sub(usize::from(body.height.max(1)) - 1);
        for (y, (place, entry)) in
            (body.top()..body.bottom()).zip(entries.iter().enumerate().skip(top))
        {
            let dim = entry.works(self.screen).is_err();
            let role = if dim { Role::Dim } else { Role::Text };
            pen.text(body.x, y, 18, role, entry.name);
            pen.text(
                body.x + 18,
                y,
                body.width.saturating_sub(30),
                Role::Dim,
                entry.what,
            );
            let keys = self.options.keys.shown(entry.action);
            pen.right(body, y, Role::Accent, &keys);
            if place == chosen {
                pen.select(Rect {
                    y,
                    height: 1,
                    ..body
                });
            }
        }
        if entries.is_empty() {
            pen.text(
                body.x,
                body.y,
                body.width,
                Role::Dim,
                "nothing is called so",
            );
        }
        Some((inside.x + cells, inside.y))
    }
}

/// The filter that is being typed, with what completes it.
pub(super) fn draw_editor(pen: &mut Pen<'_>, row: Rect, editor: &Editor) -> Option<(u16, u16)> {
    pen.clear(row);
    let room = row.width.saturating_sub(4);
    // What is left of the cursor stays in view.
    let typed = editor.text.get(..editor.at).unwrap_or_default();
    let hidden = text::width(typed).saturating_sub(usize::from(room));
    pen.text(row.x + 1, row.y, 2, Role::Accent, "/ ");
    pen.text(
        row.x + 3,
        row.y,
        room,
        Role::Text,
        text::skip(&editor.text, hidden),
    );
    let at = text::width(typed).saturating_sub(hidden);
    let x = row.x + 3 + u16::try_from(at).unwrap_or(room);
    let mut below = Rect {
        y: row.y + 1,
        ..row
    };
    if let Some(error) = &editor.error {
        pen.clear(Rect { height: 2, ..below });
        let caret = error.caret(&editor.text);
        let marks = caret.lines().nth(1).unwrap_or_default();
        pen.text(
            row.x + 3,
            below.y,
            room,
            Role::Deny,
            text::skip(marks, hidden),
        );
        let hint = error
            .hint()
            .map_or(String::new(), |hint| format!("; {hint}"));
        let words = text::said(&format!("{error}{hint}"));
        pen.text(row.x + 3, below.y + 1, room, Role::Deny, &words);
        return Some((x, row.y));
    }
    if editor.text.trim().is_empty() {
        pen.clear(below);
        let help = "kind: by: agent: tool: status: verdict: path: since: words  - not  | or";
        pen.text(row.x + 3, below.y, room, Role::Dim, help);
        return Some((x, row.y));
    }
    let chosen = editor.chosen;
    for (place, choice) in editor
        .choices
        .iter()
        .enumerate()
        .skip(chosen.saturating_sub(7))
        .take(8)
    {
        pen.clear(below);
        let role = if place == chosen {
            Role::Accent
        } else {
            Role::Dim
        };
        let mark = if place == chosen { "tab" } else { "" };
        let line = format!("{mark:>3} {choice}");
        pen.text(row.x, below.y, room, role, &line);
        below.y += 1;
    }
    Some((x, row.y))
}

/// What came of something, until a key is pressed.
pub(super) fn draw_notice(pen: &mut Pen<'_>, all: Rect, is_good: bool, said: &[String]) {
    let across = inset(all, 4, 1);
    let role = if is_good { Role::Text } else { Role::Deny };
    let lines: Vec<doc::Line> = said
        .iter()
        .enumerate()
        .map(|(place, line)| {
            doc::Line::new(if place == 0 { role } else { Role::Text }, line.as_str()).hang(2)
        })
        .collect();
    let rows = doc::rows(&lines, usize::from(across.width.saturating_sub(4)));
    let height = u16::try_from(rows.len() + 4)
        .unwrap_or(u16::MAX)
        .min(across.height);
    let area = Rect {
        y: across.y + (across.height - height) / 2,
        height,
        ..across
    };
    let inside = pen.boxed(area, if is_good { "done" } else { "not done" });
    for (y, row) in (inside.top()..inside.bottom()).zip(&rows) {
        pen.row(inside, y, row, None);
    }
    let last = inside.bottom().saturating_sub(1);
    pen.text(inside.x, last, inside.width, Role::Dim, "any key goes on");
}
