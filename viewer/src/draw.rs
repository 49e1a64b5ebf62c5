//! Drawing: the frame around every screen.

mod over;
mod pen;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use tacho_recorder::audit::Step;
use tacho_recorder::filter::Filter;
use tacho_schemas::verify::{Authenticity, Report};

use crate::app::{App, Hit, SMALLEST, Screen};
use crate::ask::Verification;
use crate::keys::{Action, TABLE};
use crate::layer::Layer;
use crate::text::{self, count, thousands};
use crate::theme::{Glyphs, Role};

pub(crate) use pen::{Pen, inset, take_row};

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
                    cursor = over::draw_editor(pen, row, &editor);
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
            Some(Layer::Notice { is_good, lines }) => over::draw_notice(pen, all, is_good, &lines),
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
            Verification::Running(step) => {
                badges.push((Role::Dim, format!("verifying {} %", percent(step))));
            }
            Verification::Stopped(step) => {
                let text = format!("verified {} % (v goes on)", percent(step));
                badges.push((Role::Dim, text));
            }
            Verification::Done(report) => {
                badges.push(verdict(report, glyphs));
                let since = self.unverified();
                if since > 0 {
                    badges.push((Role::Dim, format!("{} since (v)", thousands(since))));
                }
            }
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
                    (Screen::Health, Action::Verify) => match &self.verification {
                        Verification::Running(_) if !self.options.source.is_bundle() => "stop",
                        Verification::Stopped(_) => "go on",
                        Verification::Done(_) if self.unverified() > 0 => "go on",
                        _ => entry.hint,
                    },
                    (_, Action::Verify) => continue,
                    // Nothing to answer, or nobody who may.
                    (_, Action::Approve | Action::Deny)
                        if self.options.signer.is_none() || self.inbox.chosen().is_none() =>
                    {
                        continue;
                    }
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
}

fn percent(step: &Step) -> u128 {
    u128::from(step.done) * 100 / u128::from(step.all.max(1))
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
