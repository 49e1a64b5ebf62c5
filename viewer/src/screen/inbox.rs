//! Inbox: what waits for humans, the oldest first, the same rule and target together.

use ratatui::layout::Rect;
use tacho_schemas::{Seq, Time};

use super::Scroll;
use crate::answer::holds::Hold;
use crate::app::{App, Hit, Screen};
use crate::draw::{Pen, take_row};
use crate::keys::Action;
use crate::text::{thousands, until, wrap};
use crate::theme::Role;

/// The holds, and where we are among them.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    holds: Option<Vec<Hold>>,
    chosen: usize,
    scroll: Scroll,
}

/// One row: the head of a group, or a hold.
enum Shown<'a> {
    Group(&'a Hold, usize),
    Hold(usize, &'a Hold),
    Past(usize),
}

impl Inbox {
    pub(crate) fn take(&mut self, mut holds: Vec<Hold>, cursor: Seq) {
        // Those with the same rule and target stand together, where the oldest of them does.
        let waiting = holds.iter().filter(|hold| hold.waits).count();
        let mut grouped: Vec<Hold> = Vec::with_capacity(holds.len());
        let rest = holds.split_off(waiting);
        for hold in holds {
            let same = |other: &Hold| other.rules == hold.rules && other.target == hold.target;
            match grouped.iter().rposition(same) {
                Some(place) => grouped.insert(place + 1, hold),
                None => grouped.push(hold),
            }
        }
        grouped.extend(rest);
        self.chosen = grouped
            .iter()
            .position(|hold| hold.seq == cursor)
            .unwrap_or(0);
        self.holds = Some(grouped);
    }

    pub(crate) fn holds(&self) -> &[Hold] {
        self.holds.as_deref().unwrap_or_default()
    }

    /// The one that is chosen.
    pub(crate) fn chosen(&self) -> Option<&Hold> {
        self.holds().get(self.chosen)
    }

    fn rows(&self) -> Vec<Shown<'_>> {
        let mut rows = Vec::new();
        let holds = self.holds.as_deref().unwrap_or_default();
        let mut last: Option<&Hold> = None;
        for (at, hold) in holds.iter().enumerate() {
            if !hold.waits {
                if last.is_none_or(|last| last.waits) {
                    rows.push(Shown::Past(holds.len() - at));
                }
            } else if !last.is_some_and(|l| l.rules == hold.rules && l.target == hold.target) {
                let same = holds.iter().skip(at);
                let many = same
                    .take_while(|h| h.waits && h.rules == hold.rules && h.target == hold.target);
                rows.push(Shown::Group(hold, many.count()));
            }
            rows.push(Shown::Hold(at, hold));
            last = Some(hold);
        }
        rows
    }
}

impl App {
    pub(crate) fn inbox_act(&mut self, action: Action) {
        let holds = self.inbox.holds.as_deref().unwrap_or_default();
        match action {
            Action::Enter => {
                if let Some(seq) = holds.get(self.inbox.chosen).map(|hold| hold.seq) {
                    self.open(Screen::Explain, seq);
                }
            }
            other => {
                let last = holds.len().saturating_sub(1);
                if let Some(distance) = self.inbox.scroll.distance(other) {
                    let next = self.inbox.chosen.saturating_add_signed(distance).min(last);
                    self.inbox.chosen = next;
                    if let Some(seq) = holds.get(next).map(|hold| hold.seq) {
                        self.timeline.follow = false;
                        self.cursor = seq;
                    }
                }
            }
        }
    }

    pub(crate) fn draw_inbox(&mut self, pen: &mut Pen<'_>, area: Rect) {
        let mut area = area;
        let title = take_row(&mut area);
        let now = self.now();
        let Some(holds) = &self.inbox.holds else {
            pen.rule(title, title.y, "inbox", "");
            pen.text(area.x + 2, area.y + 1, area.width, Role::Dim, "reading");
            return;
        };
        let open = holds.iter().filter(|hold| hold.is_open(now)).count();
        let words = match open {
            0 => "nothing waits for a human".to_owned(),
            1 => "1 request waits for a human".to_owned(),
            many => format!("{many} requests wait for a human"),
        };
        let as_whom = match &self.options.signer {
            Some(name) => format!("you sign as {name}"),
            None => "read only".to_owned(),
        };
        pen.rule(title, title.y, &words, &as_whom);
        if holds.is_empty() {
            let room = area.width.saturating_sub(4);
            let lines = [
                "A request is held when a rule asks for people. None was held so far in this log.",
                "",
                "next: `tacho serve` or `tacho run` put the gate in front of an agent; what it holds appears here, with the rule, the deadline and who has answered.",
            ];
            let lines = lines.iter().flat_map(|line| wrap(line, usize::from(room)));
            for (y, text) in (area.y + 1..area.bottom()).zip(lines) {
                pen.text(area.x + 2, y, room, Role::Dim, text);
            }
            return;
        }
        let rows = self.inbox.rows();
        let place = rows
            .iter()
            .position(|row| matches!(row, Shown::Hold(at, _) if *at == self.inbox.chosen));
        let mut scroll = self.inbox.scroll;
        scroll.fit(rows.len(), area.height);
        scroll.show(place.unwrap_or(0));
        let mut hits = Vec::new();
        for (y, row) in (area.top()..area.bottom()).zip(rows.iter().skip(scroll.top)) {
            let line = Rect {
                y,
                height: 1,
                ..area
            };
            match row {
                Shown::Past(many) => {
                    let text = format!("answered or over ({many})");
                    pen.text(line.x + 2, y, line.width, Role::Dim, &text);
                }
                Shown::Group(hold, many) => {
                    let x = line.x + 2;
                    let rule = if hold.rules.is_empty() {
                        "no rule is named"
                    } else {
                        &hold.rules
                    };
                    let x = x + pen.text(x, y, line.width / 3, Role::Accent, rule) + 2;
                    let x = x + pen.text(
                        x,
                        y,
                        line.right().saturating_sub(x + 14),
                        Role::Claim,
                        &hold.target,
                    );
                    if *many > 1 {
                        pen.text(x + 2, y, 12, Role::Dim, &format!("{many} of them"));
                    }
                }
                Shown::Hold(at, hold) => {
                    draw_hold(pen, line, hold, now);
                    hits.push((line, Hit::Row(hold.seq)));
                    if *at == self.inbox.chosen {
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
            }
        }
        self.inbox.scroll = scroll;
        self.hits.extend(hits);
    }
}

/// How far a hold is, in a word.
pub(crate) fn quorum(hold: &Hold) -> String {
    let all: Vec<String> = hold
        .quorum
        .iter()
        .map(|(group, given, needed)| format!("{given} of {needed} {group}"))
        .collect();
    match all.is_empty() {
        true => "quorum not named".to_owned(),
        false => all.join(", "),
    }
}

/// What became of a hold, or how long it waits yet.
pub(crate) fn fate(hold: &Hold, now: Time) -> (Role, String) {
    match (&hold.end, hold.deadline) {
        (Some(end), _) => (Role::Dim, end.clone()),
        _ if hold.is_claim => (
            Role::Dim,
            "a claim: it did not come through the gate".to_owned(),
        ),
        (None, Some(deadline)) if deadline <= now => {
            (Role::Dim, format!("over, {}", until(deadline, now)))
        }
        (None, Some(deadline)) => (Role::Hold, until(deadline, now)),
        (None, None) => (Role::Hold, "no deadline".to_owned()),
    }
}

fn draw_hold(pen: &mut Pen<'_>, line: Rect, hold: &Hold, now: Time) {
    let y = line.y;
    let role = if hold.is_open(now) {
        Role::Hold
    } else {
        Role::Dim
    };
    pen.text(
        line.x + 4,
        y,
        1,
        role,
        if hold.is_open(now) {
            pen.glyphs.hold
        } else {
            pen.glyphs.dot
        },
    );
    let x = line.x + 6;
    let x =
        x + pen.text(
            x,
            y,
            12,
            Role::Accent,
            &format!("#{}", thousands(hold.seq.0)),
        ) + 1;
    let x = x + pen.text(x, y, 16, Role::Text, &hold.who) + 1;
    let x = x + pen.text(x, y, 16, Role::Text, &hold.tool) + 2;
    let (role, text) = fate(hold, now);
    let tail = format!("{}   {text}", quorum(hold));
    let room = line.right().saturating_sub(x + 1);
    let cells = u16::try_from(crate::text::width(&tail))
        .unwrap_or(u16::MAX)
        .min(room);
    if let Some(why) = &hold.why {
        let room = room.saturating_sub(cells + 4);
        let used = pen.text(x, y, 1.min(room), Role::Bar, pen.glyphs.claim);
        pen.text(x + used + 1, y, room.saturating_sub(2), Role::Claim, why);
    }
    let inner = Rect {
        width: line.width.saturating_sub(1),
        ..line
    };
    pen.right(inner, y, role, &crate::text::cut(&tail, usize::from(cells)));
}
