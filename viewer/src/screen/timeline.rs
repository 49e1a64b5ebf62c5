//! Timeline: all records, newest last, one line each; below it, or beside it where there is room, what the one here means.

use ratatui::layout::Rect;
use tacho_recorder::filter::Filter;
use tacho_schemas::Seq;

use super::Scroll;
use crate::app::{App, Hit, Screen};
use crate::ask::{Trouble, Window};
use crate::draw::{Pen, inset, take_row};
use crate::keys::Action;
use crate::row::{Row, State};
use crate::text::{self, clock, thousands};
use crate::theme::Role;

/// Rows of the preview, its title included.
const PREVIEW: u16 = 7;

/// From this width on the answers stand beside the list.
pub(crate) const WIDE: u16 = 120;

/// From this width on a list has room for the time that its source names, and the cells that it takes.
const ROOMY: u16 = 86;
const CLAIMED: u16 = 17;

/// From this height on the lineage stands below the answers.
const ASIDE: u16 = 36;

/// Rows from the end of the window at which more are asked for.
const NEAR: usize = 60;

/// Which records are here, and where on the screen the cursor is.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) window: Option<Window>,
    /// Around which record rows were asked for last.
    pub(crate) asked: Option<Seq>,
    pub(crate) follow: bool,
    /// The last rows were asked for, and the cursor goes there with them.
    pub(crate) tail: bool,
    /// Records that came since the end was last seen.
    fresh: u64,
    seen: u64,
    scroll: Scroll,
    pub(crate) zoomed: bool,
    /// There is room for the lineage beside it.
    pub(crate) aside: bool,
    pub(crate) failed: Option<Trouble>,
}

impl Timeline {
    pub(crate) fn new(follow: bool) -> Self {
        Self {
            follow,
            ..Self::default()
        }
    }

    fn rows(&self) -> &[Row] {
        self.window.as_ref().map_or(&[], |window| &window.rows)
    }

    pub(crate) fn row(&self, seq: Seq) -> Option<&Row> {
        let rows = self.rows();
        let place = rows.binary_search_by_key(&seq, |row| row.seq).ok()?;
        rows.get(place)
    }

    /// The place of the cursor among the rows: its own, or that of the row before it.
    fn place(&self, cursor: Seq) -> usize {
        match self.rows().binary_search_by_key(&cursor, |row| row.seq) {
            Ok(place) => place,
            Err(place) => place.saturating_sub(1),
        }
    }

    /// Whether other rows should be asked for.
    pub(crate) fn needs(&self, cursor: Seq) -> bool {
        let Some(window) = &self.window else {
            return false;
        };
        let place = self.place(cursor);
        let rows = window.rows.len();
        let outside = window.rows.first().is_none_or(|row| cursor < row.seq)
            || window.rows.last().is_none_or(|row| cursor > row.seq);
        let before = !window.whole.first && (place < NEAR || outside);
        let after = !window.whole.last && (place + NEAR > rows || outside);
        before || after || (outside && rows > 0 && window.searched.is_none())
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.window.as_ref().is_none_or(|window| window.whole.last)
    }

    /// The rows here were the last ones, and of so many records they are not.
    pub(crate) fn ends_before(&self, size: u64) -> bool {
        self.window.as_ref().is_some_and(|window| {
            let end = window
                .rows
                .last()
                .map_or(0, |row| row.seq.0.saturating_add(1));
            window.whole.last && end < size
        })
    }

    pub(crate) fn fail(&mut self, trouble: Trouble) {
        self.window.get_or_insert_default();
        self.failed = Some(trouble);
    }
}

impl App {
    pub(crate) fn take_rows(&mut self, window: Window) {
        self.timeline.failed = None;
        let known = self.timeline.window.is_some();
        self.timeline.window = Some(window);
        if std::mem::take(&mut self.timeline.tail)
            && self.timeline.follow
            && self.screen == Screen::Timeline
        {
            self.cursor = Seq(u64::MAX);
        }
        let place = self.timeline.place(self.cursor);
        if let Some(row) = self.timeline.rows().get(place) {
            let beyond = self.cursor.0 == u64::MAX || self.filter != Filter::Everything;
            if beyond || !known {
                self.cursor = row.seq;
            }
        }
        self.timeline.asked = Some(self.cursor);
    }

    pub(crate) fn timeline_act(&mut self, action: Action) {
        match action {
            Action::Enter => self.show(Screen::Explain),
            Action::Zoom => self.timeline.zoomed = !self.timeline.zoomed,
            Action::NextPane => self.show(Screen::Explain),
            Action::Top => {
                self.timeline.follow = false;
                self.cursor = match self.filter {
                    Filter::Everything => Seq(0),
                    _ => Seq(0),
                };
                self.ask_rows();
                self.snap();
            }
            Action::Bottom => {
                self.cursor = Seq(u64::MAX);
                self.ask_rows();
                if self.timeline.is_at_end() {
                    self.snap();
                }
            }
            Action::Left | Action::Right => {}
            other => {
                if let Some(distance) = self.timeline.scroll.distance(other) {
                    self.move_by(distance);
                }
            }
        }
    }

    /// Puts the cursor on the nearest row that is here.
    fn snap(&mut self) {
        let place = self.timeline.place(self.cursor);
        let window = self.timeline.window.as_ref();
        let whole = window.is_some_and(|w| match self.cursor {
            Seq(0) => w.whole.first,
            _ => w.whole.last,
        });
        if let (Some(row), true) = (self.timeline.rows().get(place), whole) {
            self.cursor = row.seq;
        }
    }

    fn move_by(&mut self, distance: isize) {
        if self.cursor.0 == u64::MAX {
            return;
        }
        let timeline = &mut self.timeline;
        if distance < 0 {
            timeline.follow = false;
        }
        let rows = timeline.rows();
        let place = timeline.place(self.cursor);
        let next = place
            .saturating_add_signed(distance)
            .min(rows.len().saturating_sub(1));
        if let Some(row) = rows.get(next) {
            self.cursor = row.seq;
        }
    }

    pub(crate) fn draw_timeline(&mut self, pen: &mut Pen<'_>, area: Rect) {
        let wide = area.width >= WIDE && !self.timeline.zoomed;
        let preview = if self.timeline.zoomed || area.height < 14 {
            0
        } else {
            PREVIEW
        };
        if wide {
            let list = Rect {
                width: area.width * 11 / 20,
                ..area
            };
            let side = Rect {
                x: list.right() + 1,
                width: area.width.saturating_sub(list.width + 1),
                ..area
            };
            pen.wall(list.right(), area);
            self.draw_list(pen, list);
            let graph = side.height / 3;
            let room = side.height >= ASIDE && self.lineage.number().is_some();
            self.timeline.aside = side.height >= ASIDE;
            let answers = Rect {
                height: if room {
                    side.height - graph
                } else {
                    side.height
                },
                ..side
            };
            self.draw_answers(pen, answers);
            if room {
                let below = Rect {
                    y: answers.bottom(),
                    height: graph,
                    ..side
                };
                let here = self.generation_here().unwrap_or(self.cursor);
                self.draw_graph(pen, below, here);
            }
            return;
        }
        self.timeline.aside = false;
        let list = Rect {
            height: area.height.saturating_sub(preview),
            ..area
        };
        self.draw_list(pen, list);
        if preview > 0 {
            let below = Rect {
                y: list.bottom(),
                height: preview,
                ..area
            };
            self.draw_preview(pen, below);
        }
    }

    fn draw_list(&mut self, pen: &mut Pen<'_>, area: Rect) {
        let mut area = area;
        if let Some(trouble) = self.timeline.failed.clone() {
            let text = format!("{} {}", pen.glyphs.deny, trouble.what);
            pen.text(
                area.x + 2,
                area.y + 1,
                area.width.saturating_sub(4),
                Role::Deny,
                &text,
            );
            if let Some(next) = trouble.next {
                pen.text(
                    area.x + 4,
                    area.y + 2,
                    area.width.saturating_sub(6),
                    Role::Text,
                    &next,
                );
            }
            return;
        }
        let Some(window) = &self.timeline.window else {
            pen.text(area.x + 2, area.y + 1, area.width, Role::Dim, "reading");
            return;
        };
        if window.rows.is_empty() {
            let without = window.without.clone();
            return self.draw_no_match(pen, area, &without);
        }
        let columns = Columns::of(&window.rows, self.standing.size, area.width);
        columns.head(pen, take_row(&mut area));
        let cursor = self.cursor;
        let (proven, picked) = (self.proven(), &self.picked);
        let timeline = &mut self.timeline;
        let place = timeline.place(cursor);
        let all = timeline.rows().len();
        let height = area.height;
        timeline.scroll.fit(all, height);
        timeline.scroll.show(place);
        let top = timeline.scroll.top;
        let at_end = timeline.is_at_end();
        let mut hits = Vec::new();
        for (y, row) in (area.top()..area.bottom()).zip(timeline.rows().iter().skip(top)) {
            let line = Rect {
                y,
                height: 1,
                ..area
            };
            columns.row(pen, line, row);
            let is_proven = proven.is_none_or(|proven| row.seq.0 < proven);
            if !is_proven && row.doubt.is_none() {
                pen.text(line.x + 1, y, 1, Role::Deny, pen.glyphs.deny);
            }
            if picked.contains(&row.seq) {
                pen.text(line.x + 2, y, 1, Role::Accent, pen.glyphs.picked);
            }
            hits.push((line, Hit::Row(row.seq)));
            if row.seq == cursor {
                pen.select(line);
                pen.styled(
                    line.x,
                    y,
                    1,
                    ratatui::style::Style::new(),
                    pen.glyphs.cursor,
                );
            }
        }
        self.hits.extend(hits);
        let last = self.timeline.rows().last().map_or(0, |row| row.seq.0 + 1);
        if at_end && place + 1 == all {
            self.timeline.seen = self.standing.size.max(last);
        }
        let seen = if self.timeline.seen == 0 {
            self.standing.size
        } else {
            self.timeline.seen
        };
        self.timeline.seen = seen;
        self.timeline.fresh = self.standing.size.saturating_sub(seen);
        if self.timeline.fresh > 0 && !self.timeline.follow {
            let text = format!(
                " {} {} new (G) ",
                pen.glyphs.down,
                thousands(self.timeline.fresh)
            );
            let inner = Rect {
                width: area.width.saturating_sub(1),
                ..area
            };
            pen.right(inner, area.bottom().saturating_sub(1), Role::Accent, &text);
        }
    }

    fn draw_no_match(&self, pen: &mut Pen<'_>, area: Rect, without: &[String]) {
        let area = inset(area, 3, 1);
        pen.text(
            area.x,
            area.y,
            area.width,
            Role::Text,
            "no record meets the filter",
        );
        let mut y = area.y + 2;
        for term in without {
            let x = area.x + pen.text(area.x, y, area.width, Role::Dim, "without ");
            let x = x + pen.text(x, y, area.width, Role::Accent, term);
            pen.text(x, y, area.width, Role::Dim, " there are some");
            y += 1;
        }
        if self.standing.indexed < self.standing.size {
            let text = format!(
                "the index covers {} of {} so far; more may come",
                thousands(self.standing.indexed),
                thousands(self.standing.size)
            );
            pen.text(area.x, y, area.width, Role::Hold, &text);
            y += 1;
        }
        pen.text(
            area.x,
            y + 1,
            area.width,
            Role::Dim,
            "/ changes the filter, esc takes it away",
        );
    }

    /// The answers that matter most about the record here, one line each.
    fn draw_preview(&mut self, pen: &mut Pen<'_>, area: Rect) {
        let mut area = area;
        let title = match self.timeline.row(self.cursor) {
            Some(row) => format!("#{}  {} {}", thousands(row.seq.0), row.who, row.what),
            None => String::new(),
        };
        let rule = take_row(&mut area);
        pen.rule(rule, rule.y, &title, "");
        let inner = inset(area, 1, 0);
        if self.explain.seq() != Some(self.cursor) {
            return;
        }
        let Some(brief) = self.explain.brief() else {
            return;
        };
        for (y, line) in (inner.top()..inner.bottom()).zip(brief) {
            let rows = crate::doc::rows(
                std::slice::from_ref(&line.clone().cut()),
                usize::from(inner.width),
            );
            if let Some(row) = rows.first() {
                pen.row(inner, y, row, line.label);
            }
        }
    }
}

/// Where things stand in a row.
struct Columns {
    seq: u16,
    who: u16,
    what: u16,
    generation: u16,
    /// None where no source names its time, or there is no room.
    claimed: u16,
}

impl Columns {
    fn of(rows: &[Row], size: u64, width: u16) -> Self {
        let longest = |text: fn(&Row) -> &str| -> u16 {
            let cells = rows.iter().map(|row| text::width(text(row))).max();
            u16::try_from(cells.unwrap_or(0)).unwrap_or(u16::MAX)
        };
        let seq = u16::try_from(thousands(size).len().max(3)).unwrap_or(12);
        let generation = rows
            .iter()
            .filter_map(|row| row.generation)
            .map(|g| g.to_string().len() + 1)
            .max();
        Self {
            seq,
            who: longest(|row| &row.who).clamp(4, if width < 100 { 14 } else { 18 }),
            what: longest(|row| &row.what).clamp(8, if width < 100 { 18 } else { 24 }),
            claimed: match rows.iter().any(|row| row.claimed.is_some()) && width >= ROOMY {
                true => CLAIMED,
                false => 0,
            },
            generation: match width {
                0..76 => 0,
                _ => u16::try_from(generation.unwrap_or(0)).unwrap_or(0),
            },
        }
    }

    /// The columns' first cells: sequence, time, claimed time, generation, who, state, what, words.
    fn places(&self, x: u16) -> [u16; 8] {
        let seq = x + 3;
        let time = seq + self.seq + 2;
        let claimed = time + 10;
        let generation = claimed + self.claimed;
        let who = generation
            + if self.generation > 0 {
                self.generation + 2
            } else {
                0
            };
        let state = who + self.who + 2;
        [
            seq,
            time,
            claimed,
            generation,
            who,
            state,
            state + 2,
            state + 2 + self.what + 2,
        ]
    }

    fn head(&self, pen: &mut Pen<'_>, line: Rect) {
        let [seq, time, claimed, generation, who, _, what, words] = self.places(line.x);
        let mut put = |x: u16, text: &str| {
            let room = line.right().saturating_sub(x);
            pen.text(x, line.y, room, Role::Dim, text);
        };
        put(seq + self.seq.saturating_sub(3), "seq");
        put(time, "time");
        if self.claimed > 0 {
            put(claimed, "as it says");
        }
        if self.generation > 0 {
            put(generation, "gen");
        }
        put(who, "who");
        put(what, "what");
        put(words, "words");
    }

    fn row(&self, pen: &mut Pen<'_>, line: Rect, row: &Row) {
        let [seq, time, claimed, generation, who, state, what, words] = self.places(line.x);
        let y = line.y;
        let room = |x: u16| line.right().saturating_sub(x);
        if row.doubt.is_some() {
            pen.text(line.x + 1, y, 1, Role::Deny, pen.glyphs.hold);
        }
        let number = thousands(row.seq.0);
        let pad = self
            .seq
            .saturating_sub(u16::try_from(number.len()).unwrap_or(0));
        pen.text(seq + pad, y, self.seq, Role::Text, &number);
        if let Some(at) = row.time {
            pen.text(time, y, 8, Role::Dim, &clock(at));
        }
        if let (Some(at), true) = (row.claimed, self.claimed > 0) {
            let used = pen.text(claimed, y, 1, Role::Bar, pen.glyphs.claim);
            pen.text(claimed + used, y, 14, Role::Claim, &text::short(at));
        }
        if let (Some(of), true) = (row.generation, self.generation > 0) {
            pen.text(generation, y, self.generation, Role::Dim, &format!("g{of}"));
        }
        pen.text(who, y, self.who.min(room(who)), Role::Text, &row.who);
        let role = row.state.role();
        if row.state != State::Plain {
            pen.text(state, y, 1, role, row.state.glyph(pen.glyphs));
        }
        pen.text(what, y, self.what.min(room(what)), role, &row.what);
        match &row.doubt {
            Some(doubt) => pen.text(words, y, room(words), Role::Deny, doubt),
            None => pen.text(words, y, room(words), Role::Claim, &row.words),
        };
    }
}
