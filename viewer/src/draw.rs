//! Drawing: the frame around every screen, and the pen that all of them draw with.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use tacho_recorder::filter::Filter;
use tacho_schemas::verify::{Authenticity, Report};

use crate::app::{App, Hit, SMALLEST, Screen};
use crate::ask::Verification;
use crate::doc;
use crate::keys::{Action, TABLE};
use crate::layer::{COPIES, Editor, Layer, find};
use crate::text::{self, count, thousands};
use crate::theme::{Glyphs, Role, Theme};

/// Draws into a buffer, in the colours of a theme.
pub(crate) struct Pen<'a> {
    pub(crate) buf: &'a mut Buffer,
    pub(crate) theme: Theme,
    pub(crate) glyphs: &'static Glyphs,
    ascii: bool,
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

/// A piece of the title: a sign and words before it has a colour.
type Badge = (Role, String);

impl App {
    /// Draws everything.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        self.hits.clear();
        let all = frame.area();
        let cursor = self.draw_on(all, frame.buffer_mut());
        if let Some((x, y)) = cursor {
            frame.set_cursor_position((x, y));
        }
    }

    /// Draws into a buffer; returns where the terminal's cursor belongs, if anywhere.
    fn draw_on(&mut self, all: Rect, buf: &mut Buffer) -> Option<(u16, u16)> {
        let pen = &mut Pen {
            buf,
            theme: self.theme,
            glyphs: self.glyphs,
            ascii: self.options.ascii,
        };
        if all.width < SMALLEST.0 || all.height < SMALLEST.1 {
            let (width, height) = SMALLEST;
            let need = format!("needs {width}x{height}, have {}x{}", all.width, all.height);
            pen.text(all.x, all.y + all.height / 2, all.width, Role::Text, &need);
            return None;
        }
        let mut area = all;
        self.draw_kills(pen, &mut area);
        self.draw_broken(pen, &mut area);
        self.draw_title(pen, take_row(&mut area));
        self.draw_tabs(pen, take_row(&mut area));
        let editing = matches!(self.layers.last(), Some(Layer::Filter(_)));
        let mut cursor = None;
        let mut filter_row = None;
        if editing || self.filter != Filter::Everything {
            let row = take_row(&mut area);
            filter_row = Some(row);
            if !editing {
                self.draw_filter(pen, row);
            }
        }
        area.height = area.height.saturating_sub(1);
        let hints = Rect {
            y: area.bottom(),
            height: 1,
            ..area
        };
        match &self.trouble {
            // What can be said of a log that cannot be shown.
            Some(_) => self.draw_health(pen, area),
            None if self.known && self.standing.size == 0 => draw_empty(pen, area),
            _ => match self.screen {
                Screen::Timeline => self.draw_timeline(pen, area),
                Screen::Explain => self.draw_explain(pen, area),
                Screen::Diff => self.draw_diff(pen, area),
                Screen::Lineage => self.draw_lineage(pen, area),
                Screen::Replay => self.draw_replay(pen, area),
                Screen::Inbox => self.draw_inbox(pen, area),
                Screen::Health => self.draw_health(pen, area),
            },
        }
        self.draw_hints(pen, hints);
        match self.layers.last().cloned() {
            Some(Layer::Filter(editor)) => {
                if let Some(row) = filter_row {
                    cursor = draw_editor(pen, row, &editor);
                }
            }
            Some(Layer::Help { query, scroll }) => self.draw_help(pen, all, &query, scroll),
            Some(Layer::Palette { query, chosen }) => {
                cursor = self.draw_palette(pen, all, &query, chosen);
            }
            Some(Layer::Dialog(mut dialog)) => {
                cursor = self.draw_dialog(pen, all, &mut dialog);
                if let Some(Layer::Dialog(drawn)) = self.layers.last_mut() {
                    *drawn = dialog;
                }
            }
            Some(Layer::Notice { is_good, lines }) => draw_notice(pen, all, is_good, &lines),
            Some(layer) => self.draw_question(pen, hints, &layer),
            None => {}
        }
        cursor
    }

    /// The switch is engaged: told on every screen until it is released.
    fn draw_kills(&self, pen: &mut Pen<'_>, area: &mut Rect) {
        let Some(kill) = self.standing.kills.first() else {
            return;
        };
        let row = take_row(area);
        let more = self.standing.kills.len().saturating_sub(1);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let text = format!(
            " {} KILLED {}{more} by #{} at {} · nothing of it may run until a release",
            pen.glyphs.killed,
            kill.target,
            kill.seq,
            text::moment(kill.time)
        );
        let style = pen.theme.style(Role::Kill);
        pen.styled(row.x, row.y, row.width, style, &text);
        pen.style(row, style);
    }

    /// The log does not verify: told on every screen, with what may still be believed.
    fn draw_broken(&self, pen: &mut Pen<'_>, area: &mut Rect) {
        let Some(proven) = self.proven() else { return };
        let row = take_row(area);
        let shown = match (proven, &self.refused) {
            (0, _) => "Nothing in it is proven".to_owned(),
            (proven, refused) => {
                let rest = match (refused, proven < self.standing.size) {
                    _ if self.trouble.is_some() => "but cannot be read",
                    (Some(_), _) => "what follows is not shown",
                    (None, true) => "what follows is not proven",
                    (None, false) => "but not what stands beside them",
                };
                format!("#0 to #{} are proven, {rest}", thousands(proven - 1))
            }
        };
        let text = format!(
            " {} BROKEN · {shown} · {} says why",
            pen.glyphs.deny,
            self.options.keys.shown(Action::Show(Screen::Health)),
        );
        let style = pen.theme.style(Role::Kill);
        pen.styled(row.x, row.y, row.width, style, &text);
        pen.style(row, style);
    }

    fn draw_title(&self, pen: &mut Pen<'_>, row: Rect) {
        let mut x = row.x + 1;
        let bold = pen.theme.style(Role::Text).add_modifier(Modifier::BOLD);
        x += pen.styled(x, row.y, row.width, bold, &self.options.name);
        let size = match self.known {
            true => match self.standing.shown {
                Some(shown) if shown < self.standing.size => format!(
                    "  bundle, {} of {} shown",
                    thousands(shown),
                    count(self.standing.size, "record")
                ),
                Some(_) => format!(
                    "  bundle, all {} shown",
                    count(self.standing.size, "record")
                ),
                None => format!("  {}", count(self.standing.size, "record")),
            },
            false => "  opening".to_owned(),
        };
        pen.text(x, row.y, row.width, Role::Dim, &size);
        let mut right = row.right().saturating_sub(1);
        for (role, text) in self.badges(pen.glyphs).into_iter().rev() {
            let cells = u16::try_from(text::width(&text)).unwrap_or(u16::MAX);
            if right < x + cells + 16 {
                break;
            }
            right -= cells;
            pen.text(right, row.y, cells, role, &text);
            right = right.saturating_sub(3);
        }
    }

    /// The state of the log, the most important first.
    fn badges(&self, glyphs: &Glyphs) -> Vec<Badge> {
        let mut badges = Vec::new();
        match &self.verification {
            Verification::NotAsked => {
                badges.push((Role::Dim, "not verified yet (v)".to_owned()));
            }
            Verification::Running { done, all } => {
                let percent = u128::from(*done) * 100 / u128::from((*all).max(1));
                badges.push((Role::Dim, format!("verifying {percent} %")));
            }
            Verification::Done(report) => badges.push(verdict(report, glyphs)),
            Verification::Failed(_) => {
                badges.push((Role::Deny, format!("{} cannot be verified", glyphs.deny)));
            }
        }
        if self.standing.held > 0 {
            badges.push((
                Role::Hold,
                format!("{} {} held", glyphs.hold, self.standing.held),
            ));
        }
        if self.known && self.standing.indexed < self.standing.size {
            let percent = u128::from(self.standing.indexed) * 100 / u128::from(self.standing.size);
            badges.push((Role::Dim, format!("index {percent} %")));
        }
        if !self.picked.is_empty() {
            badges.push((Role::Accent, format!("{} marked", self.picked.len())));
        }
        match (self.standing.live, self.timeline.follow) {
            _ if self.standing.shown.is_some() => {}
            _ if self.locked => badges.push((Role::Hold, format!("{} locked", glyphs.hold))),
            (true, true) => badges.push((Role::Ok, "LIVE".to_owned())),
            (true, false) => badges.push((Role::Dim, "live".to_owned())),
            (false, _) => badges.push((Role::Dim, "at rest".to_owned())),
        }
        badges
    }

    fn draw_tabs(&mut self, pen: &mut Pen<'_>, row: Rect) {
        let mut x = row.x + 1;
        for (number, screen) in (1..).zip(Screen::ALL) {
            let held = self.standing.held;
            let name = match screen {
                Screen::Inbox if held > 0 => format!("{number} {} ({held})", screen.name()),
                _ => format!("{number} {}", screen.name()),
            };
            let here = screen == self.screen;
            let role = if here { Role::Accent } else { Role::Dim };
            let mut style = pen.theme.style(role);
            if here {
                style = style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
            }
            let cells = pen.styled(x, row.y, row.right().saturating_sub(x), style, &name);
            let hit = Rect {
                x,
                y: row.y,
                width: cells,
                height: 1,
            };
            self.hits.push((hit, Hit::Act(Action::Show(screen))));
            x = x.saturating_add(cells).saturating_add(2);
        }
    }

    fn draw_filter(&mut self, pen: &mut Pen<'_>, row: Rect) {
        let counted = match self.count {
            Some(count) if count.done => {
                format!(
                    "{} of {} match",
                    thousands(count.found),
                    thousands(self.standing.size)
                )
            }
            Some(count) => format!("{}+ match", thousands(count.found)),
            None => "counting".to_owned(),
        };
        let room = u16::try_from(text::width(&counted)).unwrap_or(0) + 3;
        let text = format!("/ {}", text::said(&self.filter_text));
        pen.text(
            row.x + 1,
            row.y,
            row.width.saturating_sub(room),
            Role::Accent,
            &text,
        );
        let inner = Rect {
            width: row.width.saturating_sub(1),
            ..row
        };
        pen.right(inner, row.y, Role::Dim, &counted);
        self.hits.push((row, Hit::Act(Action::Filter)));
    }

    /// What the most useful keys do here, or what there is to say.
    fn draw_hints(&mut self, pen: &mut Pen<'_>, row: Rect) {
        if let Some((text, _)) = &self.toast {
            pen.text(
                row.x + 1,
                row.y,
                row.width.saturating_sub(2),
                Role::Accent,
                text,
            );
            return;
        }
        let mut x = row.x + 1;
        let right = row.right().saturating_sub(1);
        let mut hints = Vec::new();
        for entry in TABLE {
            let here = Action::Show(self.screen) == entry.action
                || (entry.action == Action::Diff && self.screen == Screen::Diff);
            if entry.hint.is_empty() || here || entry.works(self.screen).is_err() {
                continue;
            }
            let keys = self.options.keys.keys(entry.action);
            if let Some(key) = keys.first() {
                let hint = match (self.screen, entry.action) {
                    (Screen::Explain, Action::Enter) => "open link",
                    (Screen::Diff | Screen::Health, Action::Enter) => continue,
                    (Screen::Health, Action::Diff | Action::Filter) => continue,
                    (Screen::Health, Action::Verify) => entry.hint,
                    (_, Action::Verify) => continue,
                    _ => entry.hint,
                };
                hints.push((entry.action, key.to_string(), hint));
            }
        }
        // What only this screen has comes first; help never falls off the end.
        hints.sort_by_key(|(action, ..)| *action != Action::Verify);
        let help = hints
            .iter()
            .position(|(action, ..)| *action == Action::Help);
        let help = help.map(|place| hints.remove(place));
        let cells = |key: &str, hint: &str| {
            u16::try_from(text::width(key) + text::width(hint) + 1).unwrap_or(u16::MAX)
        };
        let reserve = help
            .as_ref()
            .map_or(0, |(_, key, hint)| cells(key, hint) + 2);
        let mut put = |pen: &mut Pen<'_>,
                       hits: &mut Vec<(Rect, Hit)>,
                       (action, key, hint): (Action, String, &str)| {
            let hit = Rect {
                x,
                y: row.y,
                width: cells(&key, hint),
                height: 1,
            };
            x += pen.text(x, row.y, right.saturating_sub(x), Role::Accent, &key) + 1;
            x += pen.text(x, row.y, right.saturating_sub(x), Role::Dim, hint) + 2;
            hits.push((hit, Hit::Act(action)));
            x
        };
        let mut used = row.x + 1;
        for hint in hints {
            if used + cells(&hint.1, hint.2) + reserve > right {
                break;
            }
            used = put(pen, &mut self.hits, hint);
        }
        if let Some(help) = help {
            put(pen, &mut self.hits, help);
        }
    }

    /// A question for one more key, where the hints stand.
    fn draw_question(&self, pen: &mut Pen<'_>, row: Rect, layer: &Layer) {
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

    fn draw_help(&self, pen: &mut Pen<'_>, all: Rect, query: &str, scroll: usize) {
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
        let top = scroll.min(rows.len().saturating_sub(usize::from(body.height)));
        for (y, (keys, what, dim)) in (body.top()..body.bottom()).zip(rows.iter().skip(top)) {
            let (first, second) = match dim {
                true => (Role::Dim, Role::Dim),
                false => (Role::Accent, Role::Text),
            };
            pen.text(body.x, y, 12, first, keys);
            pen.text(body.x + 13, y, body.width.saturating_sub(13), second, what);
        }
        if entries.is_empty() {
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

    fn draw_palette(
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

/// What verification found, in three words.
pub(crate) fn verdict(report: &Report, glyphs: &Glyphs) -> Badge {
    let last = report.size.saturating_sub(1);
    if report.size == 0 {
        return (Role::Deny, format!("{} nothing to verify", glyphs.deny));
    }
    if report.integrity.count > 0 {
        let text = match report.integrity.proven {
            0 => format!("{} NOT VERIFIED", glyphs.deny),
            proven => format!(
                "{} NOT VERIFIED past #{}",
                glyphs.deny,
                thousands(proven - 1)
            ),
        };
        return (Role::Deny, text);
    }
    if report.is_good() {
        return (
            Role::Ok,
            format!("{} verified to #{}", glyphs.ok, thousands(last)),
        );
    }
    let text = match report.authenticity {
        Authenticity::SelfConsistent { .. } => "whole, not anchored",
        _ if report.meaning.not_checked > 0 => "whole, not all understood",
        _ => "not all verified",
    };
    (Role::Hold, format!("{} {text}", glyphs.hold))
}

fn draw_editor(pen: &mut Pen<'_>, row: Rect, editor: &Editor) -> Option<(u16, u16)> {
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
        let help = "kind: agent: tool: verdict: status: path: since: under(SEQ) word \"phrase\"  - not  | or";
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
fn draw_notice(pen: &mut Pen<'_>, all: Rect, is_good: bool, said: &[String]) {
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

fn draw_empty(pen: &mut Pen<'_>, area: Rect) {
    let y = area.y + area.height / 3;
    let lines = [
        (Role::Text, "The log has no records yet."),
        (Role::Dim, ""),
        (
            Role::Text,
            "next: tacho import FILE         what agents did becomes records",
        ),
        (
            Role::Text,
            "      tacho record < events     your own agent reports",
        ),
    ];
    for (y, (role, text)) in (y..area.bottom()).zip(lines) {
        pen.text(area.x + 6, y, area.width.saturating_sub(6), role, text);
    }
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
