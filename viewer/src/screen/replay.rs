//! Replay: a bar over the whole log to go along, and the world as of the record here.

use std::time::{Duration, Instant};

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use tacho_schemas::{Kind, Seq};

use super::Scroll;
use crate::answer::kinds;
use crate::answer::world::World;
use crate::app::{App, Hit, Screen};
use crate::ask::Density;
use crate::doc::{self, Line};
use crate::draw::{Pen, inset, take_row};
use crate::keys::Action;
use crate::text::{self, bytes, count, moment, thousands};
use crate::theme::Role;

/// What a step is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum StepBy {
    #[default]
    Record,
    Action,
    Mutation,
    Generation,
}

impl StepBy {
    fn next(self) -> Self {
        match self {
            Self::Record => Self::Action,
            Self::Action => Self::Mutation,
            Self::Mutation => Self::Generation,
            Self::Generation => Self::Record,
        }
    }

    fn kind(self) -> Option<Kind> {
        match self {
            Self::Record => None,
            Self::Action => Some(Kind::Action),
            Self::Mutation => Some(Kind::Mutation),
            Self::Generation => Some(Kind::Generation),
        }
    }

    fn name(self) -> &'static str {
        self.kind().map_or("record", Kind::name)
    }
}

/// Steps in a second while it plays.
const SPEEDS: [u32; 6] = [1, 2, 4, 8, 16, 30];

/// Where the replay is.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub(crate) asked: Option<Seq>,
    pub(crate) asked_density: Option<usize>,
    pub(crate) density: Option<Density>,
    /// Cells of the bar, as drawn last.
    pub(crate) cells: u16,
    /// Which way something is sought, and what.
    pub(crate) seeking: Option<(bool, String)>,
    world: Option<World>,
    by: StepBy,
    speed: usize,
    playing: Option<Instant>,
    scroll: Scroll,
    /// Which part's text is shown.
    part: usize,
}

impl Replay {
    pub(crate) fn take(&mut self, world: World) {
        let same = |one: &World, other: &World| {
            let names = |world: &World| {
                world
                    .parts
                    .iter()
                    .map(|p| p.name.clone())
                    .collect::<Vec<_>>()
            };
            names(one) == names(other)
        };
        if !self.world.as_ref().is_some_and(|old| same(old, &world)) {
            self.part = 0;
            self.scroll = Scroll::default();
        }
        self.world = Some(world);
    }

    /// The world, in plain lines, with the text of each part.
    pub(crate) fn plain(&self) -> Vec<String> {
        let Some(world) = &self.world else {
            return Vec::new();
        };
        let mut lines: Vec<String> = world_lines(world, usize::MAX)
            .iter()
            .map(|line| line.plain("says:"))
            .collect();
        for part in &world.parts {
            lines.push(format!("{} as it was, after #{}:", part.name, part.seq));
            match &part.text {
                Some(text) => lines.extend(text.iter().map(|line| format!("says: {line}"))),
                None => lines.push("its bytes were not kept".to_owned()),
            }
        }
        lines
    }

    pub(crate) fn is_playing(&self) -> bool {
        self.playing.is_some()
    }

    pub(crate) fn stop(&mut self) {
        self.playing = None;
    }

    fn pace(&self) -> Duration {
        let speed = SPEEDS.get(self.speed).copied().unwrap_or(1);
        Duration::from_secs(1) / speed
    }

    /// How long until the next step, while it plays.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.playing
            .map(|since| self.pace().saturating_sub(since.elapsed()))
    }

    /// Whether a step is due; then the next one is later.
    pub(crate) fn is_due(&mut self) -> bool {
        let due = self
            .playing
            .is_some_and(|since| since.elapsed() >= self.pace());
        if due {
            self.playing = Some(Instant::now());
        }
        due
    }
}

impl App {
    pub(crate) fn replay_act(&mut self, action: Action) {
        match action {
            Action::Play => {
                self.replay.playing = match self.replay.playing {
                    Some(_) => None,
                    None => Some(Instant::now()),
                };
                self.timeline.follow = false;
            }
            Action::StepBy => self.replay.by = self.replay.by.next(),
            Action::Faster => self.replay.speed = (self.replay.speed + 1).min(SPEEDS.len() - 1),
            Action::Slower => self.replay.speed = self.replay.speed.saturating_sub(1),
            Action::Left => self.replay_step(false),
            Action::Right => self.replay_step(true),
            Action::Enter => self.show(Screen::Explain),
            Action::NextPane => {
                let parts = self
                    .replay
                    .world
                    .as_ref()
                    .map_or(0, |world| world.parts.len());
                self.replay.part = (self.replay.part + 1) % parts.max(1);
                self.replay.scroll.top = 0;
            }
            Action::Top | Action::Bottom => {
                self.timeline.follow = false;
                self.cursor = match action {
                    Action::Top => Seq(0),
                    _ => Seq(self.standing.size.saturating_sub(1)),
                };
            }
            other => {
                self.replay.scroll.act(other);
            }
        }
    }

    /// One step of the chosen sort, on or back.
    pub(crate) fn replay_step(&mut self, onward: bool) {
        self.timeline.follow = false;
        match self.replay.by.kind() {
            Some(kind) => self.ask_seek(onward, kinds(&[kind]), kind.name().to_owned()),
            None => {
                let last = self.standing.size.saturating_sub(1);
                let next = match onward {
                    true => self.cursor.0.saturating_add(1).min(last),
                    false => self.cursor.0.saturating_sub(1),
                };
                if next == self.cursor.0 {
                    self.replay.stop();
                }
                self.cursor = Seq(next);
            }
        }
    }

    pub(crate) fn draw_replay(&mut self, pen: &mut Pen<'_>, area: Rect) {
        let mut area = area;
        let title = take_row(&mut area);
        let as_of = format!(
            " AS OF #{} ",
            thousands(self.cursor.0.min(self.standing.size))
        );
        let style = Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD);
        let x = title.x + 1;
        let x = x + pen.styled(x, title.y, title.width, style, &as_of) + 2;
        let world = self
            .replay
            .world
            .as_ref()
            .filter(|world| world.seq == self.cursor);
        if let Some(time) = world.and_then(|world| world.time) {
            pen.text(x, title.y, title.width, Role::Dim, &moment(time));
        }
        let state = if self.replay.is_playing() {
            "playing"
        } else {
            "paused"
        };
        let speed = SPEEDS.get(self.replay.speed).copied().unwrap_or(1);
        let right = format!(
            "step by {} ;   {speed}/s + -   {state} ",
            self.replay.by.name()
        );
        pen.right(title, title.y, Role::Dim, &right);
        self.draw_bar(pen, &mut area);
        let inner = inset(area, 1, 0);
        let Some(world) = self.replay.world.clone() else {
            pen.text(inner.x, inner.y, inner.width, Role::Dim, "reading");
            return;
        };
        let lines = world_lines(&world, self.replay.part);
        let rows = doc::rows(&lines, usize::from(inner.width));
        let most = usize::from(inner.height / 2).max(5);
        let head = rows.len().min(most);
        let mut y = inner.y;
        for row in rows.iter().take(head) {
            pen.row(
                inner,
                y,
                row,
                lines.get(row.line).and_then(|line| line.label),
            );
            if let Some(seq) = lines.get(row.line).and_then(|line| line.link) {
                self.hits.push((
                    Rect {
                        y,
                        height: 1,
                        ..inner
                    },
                    Hit::Link(seq),
                ));
            }
            y += 1;
        }
        let Some(part) = world.parts.get(self.replay.part) else {
            return;
        };
        let below = Rect {
            y,
            height: inner.bottom().saturating_sub(y),
            ..area
        };
        let size = part.size.map_or(String::new(), bytes);
        let many = world.parts.len();
        let which = if many > 1 {
            format!("{} of {many} · tab", self.replay.part + 1)
        } else {
            String::new()
        };
        pen.rule(
            below,
            y,
            &format!("{} as it was, after #{}  {size}", part.name, part.seq),
            &which,
        );
        let body = Rect {
            x: inner.x,
            y: y + 1,
            width: inner.width,
            height: below.height.saturating_sub(1),
        };
        let Some(text) = &part.text else {
            pen.text(
                body.x,
                body.y,
                body.width,
                Role::Dim,
                "∅ its bytes were not kept",
            );
            return;
        };
        let room = usize::from(body.width).saturating_sub(2);
        let wrapped: Vec<&str> = text
            .iter()
            .flat_map(|line| text::wrap(line, room))
            .collect();
        let top = self.replay.scroll.fit(wrapped.len(), body.height);
        for (y, line) in (body.top()..body.bottom()).zip(wrapped.iter().skip(top)) {
            pen.text(body.x, y, 1, Role::Bar, pen.glyphs.claim);
            pen.text(
                body.x + 2,
                y,
                body.width.saturating_sub(2),
                Role::Text,
                line,
            );
        }
    }

    /// How much happens where, and where we are.
    fn draw_bar(&mut self, pen: &mut Pen<'_>, area: &mut Rect) {
        let bar = take_row(area);
        let marks = take_row(area);
        let cells = bar.width.saturating_sub(2);
        self.replay.cells = cells;
        let at = |seq: u64, size: u64| -> u16 {
            let last = size.saturating_sub(1).max(1);
            let place =
                u128::from(seq.min(last)) * u128::from(cells.saturating_sub(1)) / u128::from(last);
            u16::try_from(place).unwrap_or(0)
        };
        self.hits.push((
            Rect {
                x: bar.x + 1,
                width: cells,
                ..bar
            },
            Hit::Scrub(bar.x + 1, cells),
        ));
        if let Some(density) = &self.replay.density {
            let most = density.changes.iter().max().copied().unwrap_or(0).max(1);
            for (place, number) in (0_u16..).zip(&density.changes) {
                let get = |list: &[u64]| list.get(usize::from(place)).copied().unwrap_or(0) > 0;
                let x = bar.x + 1 + place;
                if x >= bar.right().saturating_sub(1) {
                    break;
                }
                let (role, glyph) = if get(&density.kills) {
                    (Role::Kill, pen.glyphs.killed)
                } else if get(&density.denies) {
                    (Role::Deny, pen.glyphs.deny)
                } else if get(&density.holds) {
                    (Role::Hold, pen.glyphs.hold)
                } else {
                    let level = match number {
                        0 => 0,
                        number => 1 + usize::try_from(number * 7 / most).unwrap_or(7).min(7),
                    };
                    (
                        Role::Accent,
                        pen.glyphs.bars.get(level).copied().unwrap_or(" "),
                    )
                };
                pen.text(x, bar.y, 1, role, glyph);
            }
        }
        let here = at(self.cursor.0, self.standing.size);
        let x = marks.x + 1 + here;
        let line = pen.glyphs.line.repeat(usize::from(cells));
        pen.text(marks.x + 1, marks.y, cells, Role::Dim, &line);
        for (c, place) in self.markers.iter() {
            let x = marks.x + 1 + at(place.seq.0, self.standing.size);
            pen.text(x, marks.y, 1, Role::Accent, &text::said(&c.to_string()));
        }
        pen.styled(
            x,
            marks.y,
            1,
            Style::new().add_modifier(Modifier::BOLD),
            pen.glyphs.here,
        );
    }
}

/// The world in lines.
pub(crate) fn world_lines(world: &World, chosen: usize) -> Vec<Line> {
    const MARGIN: usize = 9;
    let mut lines = Vec::new();
    let mut add = |label: &'static str, line: Line| {
        let mut line = line.indent(MARGIN);
        line.label = Some(label);
        lines.push(line);
    };
    if let Some(row) = &world.row {
        let mut line = Line::new(row.state.role(), format!("{} {}", row.who, row.what));
        if !row.words.is_empty() {
            line = line.with(Role::Claim, format!("  “{}”", row.words));
        }
        add("Here", line.cut());
    }
    match &world.generation {
        Some((seq, name)) => {
            let score = world.score.as_deref().unwrap_or("not measured yet");
            let line = Line::new(Role::Accent, format!("#{seq}"))
                .with(Role::Text, format!(" {name}  "))
                .with(Role::Fact, score);
            add("Agent", line.link(*seq));
        }
        None => match &world.session {
            Some(row) => {
                let line = Line::new(Role::Accent, format!("#{}", row.seq))
                    .with(
                        Role::Text,
                        match world.earlier {
                            true => format!(" session of {}, the last before this  ", row.who),
                            false => format!(" session of {}  ", row.who),
                        },
                    )
                    .with(Role::Claim, row.words.as_str());
                add("Agent", line.link(row.seq));
            }
            None => add(
                "Agent",
                Line::new(
                    Role::Dim,
                    "∅ neither generation nor session is recorded up to here",
                ),
            ),
        },
    }
    for (place, part) in world.parts.iter().enumerate().take(6) {
        let size = part.size.map_or("not kept".to_owned(), bytes);
        let mark = if place == chosen {
            Role::Accent
        } else {
            Role::Text
        };
        let name = if part.name == part.part {
            String::new()
        } else {
            format!("  ({})", part.part)
        };
        let line = Line::new(mark, part.name.as_str())
            .with(Role::Dim, format!("{name}  {size}, made by "))
            .with(Role::Accent, format!("#{}", part.seq));
        add(if place == 0 { "Parts" } else { "" }, line.cut());
    }
    if world.parts.len() > 6 {
        add(
            "",
            Line::new(Role::Dim, format!("… {} more parts", world.parts.len() - 6)),
        );
    }
    if world.parts.is_empty() {
        add(
            "Parts",
            Line::new(Role::Dim, "∅ no change of a part is recorded up to here"),
        );
    }
    match &world.policy {
        Some(row) => {
            let line = Line::new(Role::Accent, format!("#{}", row.seq))
                .with(Role::Text, format!(" policy {}", row.words));
            add("Rules", line.link(row.seq));
        }
        None => add("Rules", Line::new(Role::Dim, "∅ no policy was in force")),
    }
    let many = u64::try_from(world.holds.len()).unwrap_or(0);
    let killed = world
        .kills
        .first()
        .map(|kill| format!("# {} killed by #{}", kill.target, kill.seq));
    let open = match (many, killed) {
        (0, None) => Line::new(Role::Dim, "nothing waited, nothing was switched off"),
        (_, Some(killed)) => {
            Line::new(Role::Kill, killed).with(Role::Hold, format!("  {}", count(many, "hold")))
        }
        (many, None) => Line::new(Role::Hold, format!("! {} waited", count(many, "request"))),
    };
    add("Open", open);
    for (place, row) in world.lately.iter().take(3).enumerate() {
        let line = Line::new(Role::Dim, format!("#{} ", row.seq))
            .with(row.state.role(), format!("{} {}  ", row.who, row.what))
            .with(Role::Claim, row.words.as_str());
        add(if place == 0 { "Before" } else { "" }, line.link(row.seq));
    }
    lines
}
