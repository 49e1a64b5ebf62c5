//! Going about: from screen to screen, from record to record, and back; with the mouse too.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;
use tacho_recorder::filter::Filter;
use tacho_schemas::{Kind, Seq};

use super::{App, Hit, Place, Screen};
use crate::answer::kinds;
use crate::ask::Ask;
use crate::keys::Action;
use crate::layer::Layer;
use crate::text::count;

/// Places that are remembered.
const REMEMBERED: usize = 200;

/// Records that can be marked.
const PICKED: usize = 500;

impl App {
    /// Shows another lens on the same record.
    pub(crate) fn show(&mut self, screen: Screen) {
        if screen == self.screen {
            return;
        }
        self.remember();
        self.enter(screen);
    }

    pub(super) fn enter(&mut self, screen: Screen) {
        self.screen = screen;
        match screen {
            Screen::Lineage => self.lineage.asked = None,
            Screen::Inbox => self.ask(Ask::Holds),
            Screen::Health => {
                self.ask(Ask::Health);
                if self.may_verify() {
                    self.verify();
                }
            }
            Screen::Replay => self.replay.asked_density = None,
            Screen::Timeline | Screen::Explain | Screen::Diff => {}
        }
    }

    /// Goes to a record on another screen, so that one can come back.
    pub(crate) fn open(&mut self, screen: Screen, seq: Seq) {
        self.remember();
        self.cursor = seq;
        self.timeline.follow = false;
        if screen != self.screen {
            self.enter(screen);
        }
    }

    pub(super) fn remember(&mut self) {
        let here = self.here();
        if self.back.last() != Some(&here) {
            self.back.push(here);
        }
        if self.back.len() > REMEMBERED {
            self.back.remove(0);
        }
        self.forward.clear();
    }

    pub(crate) fn here(&self) -> Place {
        Place {
            screen: self.screen,
            seq: self.cursor,
        }
    }

    pub(super) fn travel(&mut self, back: bool) {
        let here = self.here();
        let (from, to) = match back {
            true => (&mut self.back, &mut self.forward),
            false => (&mut self.forward, &mut self.back),
        };
        match from.pop() {
            Some(place) => {
                to.push(here);
                self.timeline.follow = false;
                self.cursor = place.seq;
                if self.screen != place.screen {
                    self.enter(place.screen);
                }
            }
            None => self.say(match back {
                true => "nowhere to go back to".to_owned(),
                false => "nowhere to go forward to".to_owned(),
            }),
        }
    }

    pub(crate) fn jump(&mut self, place: Place) {
        self.open(place.screen, place.seq);
    }

    /// One record on or back, whatever the screen; on replay, one step of its sort.
    pub(super) fn step(&mut self, onward: bool) {
        if self.screen == Screen::Replay {
            return self.replay_step(onward);
        }
        self.timeline.follow = false;
        if self.filter == Filter::Everything && self.standing.shown.is_none() {
            let last = self.standing.size.saturating_sub(1);
            let next = match onward {
                true => self.cursor.0.saturating_add(1).min(last),
                false => self.cursor.0.saturating_sub(1),
            };
            self.cursor = Seq(next);
        } else {
            let filter = self.filter.clone();
            self.ask_seek(onward, filter, "record that meets the filter".to_owned());
        }
    }

    pub(super) fn same(&mut self) {
        let kind = self.timeline.row(self.cursor).and_then(|row| row.kind);
        match kind {
            Some(kind) => {
                self.seek = Some((kinds(&[kind]), kind.name().to_owned()));
                self.say(format!("n and N go to the next and the previous {kind}"));
            }
            None => self.say("the record here is not understood".to_owned()),
        }
    }

    pub(super) fn seek(&mut self, onward: bool) {
        let (filter, what) = match &self.seek {
            Some((filter, what)) => (filter.clone(), what.clone()),
            None if self.filter != Filter::Everything => (
                Filter::Everything,
                "record that meets the filter".to_owned(),
            ),
            None => (kinds(&[Kind::Mutation]), Kind::Mutation.name().to_owned()),
        };
        let filter = Filter::all(vec![filter, self.filter.clone()]);
        self.ask_seek(onward, filter, what);
    }

    pub(crate) fn ask_seek(&mut self, onward: bool, filter: Filter, what: String) {
        let from = self.cursor.0;
        self.ask(Ask::Seek {
            from,
            onward,
            filter,
        });
        self.replay.seeking = Some((onward, what));
    }

    /// One layer back: help and inputs are closed where they are; here a screen, then the filter.
    pub(super) fn out(&mut self) {
        if self.screen != Screen::Timeline {
            self.show(Screen::Timeline);
        } else if self.filter != Filter::Everything {
            self.set_filter(String::new(), Filter::Everything);
        } else if self.timeline.zoomed {
            self.timeline.zoomed = false;
        }
    }

    /// Puts the cursor on a record without leaving the screen.
    pub(crate) fn select(&mut self, seq: Seq) {
        self.cursor = seq;
    }

    pub(super) fn scrub(&mut self, column: u16, first: u16, cells: u16) {
        let place = u64::from(column.saturating_sub(first));
        let last = self.standing.size.saturating_sub(1);
        let cells = u64::from(cells.max(2)) - 1;
        let seq = u128::from(place) * u128::from(last) / u128::from(cells);
        self.cursor = Seq(u64::try_from(seq).unwrap_or(u64::MAX).min(last));
        self.timeline.follow = false;
    }

    pub(super) fn mouse(&mut self, mouse: MouseEvent) {
        let at = Position::new(mouse.column, mouse.row);
        match mouse.kind {
            MouseEventKind::ScrollDown => self.wheel(Action::Down),
            MouseEventKind::ScrollUp => self.wheel(Action::Up),
            MouseEventKind::Down(MouseButton::Left) | MouseEventKind::Drag(MouseButton::Left) => {
                let hits = self.hits.iter().rev();
                let hit = hits
                    .clone()
                    .find(|(rect, _)| rect.contains(at))
                    .map(|(_, hit)| *hit);
                let dragged = matches!(mouse.kind, MouseEventKind::Drag(_));
                match hit {
                    Some(Hit::Scrub(first, cells)) => self.scrub(mouse.column, first, cells),
                    _ if dragged || !self.layers.is_empty() => {}
                    Some(Hit::Act(action)) => self.act(action),
                    Some(Hit::SortBy(order)) => self.sort_by(order),
                    Some(Hit::Row(seq)) if seq == self.cursor => self.act(Action::Enter),
                    Some(Hit::Row(seq)) => {
                        self.timeline.follow = false;
                        self.select(seq);
                    }
                    Some(Hit::Link(seq)) => self.open(Screen::Explain, seq),
                    None => {}
                }
            }
            _ => {}
        }
    }

    pub(super) fn wheel(&mut self, action: Action) {
        if self.layers.is_empty() {
            (0..3).for_each(|_| self.act(action));
        } else if let Some(Layer::Help { scroll, .. }) = self.layers.last_mut() {
            *scroll = match action {
                Action::Down => scroll.saturating_add(3),
                _ => scroll.saturating_sub(3),
            };
        }
    }

    /// Marks the record here, or takes its mark away, and goes on to the next.
    pub(super) fn pick(&mut self) {
        if !self.picked.remove(&self.cursor) {
            if self.picked.len() >= PICKED {
                return self.say(format!(
                    "no more than {PICKED} can be marked: a filter finds more"
                ));
            }
            self.picked.insert(self.cursor);
        }
        let many = u64::try_from(self.picked.len()).unwrap_or(0);
        self.say(format!("{} marked; e exports them", count(many, "record")));
        if self.screen == Screen::Timeline {
            self.timeline_act(Action::Down);
        }
    }
}
