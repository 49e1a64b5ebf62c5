//! Asking the workers, and hearing from them.

use tacho_recorder::filter::Filter;
use tacho_recorder::store::Still;
use tacho_schemas::Seq;

use super::{App, Screen};
use crate::ask::{Answer, Ask, Count, News, Reply, RowsAsk, Slot, Standing, Trouble, Verification};
use crate::layer::Layer;

/// The largest log that is verified without being asked: about a second of one core.
const AT_ONCE: u64 = 50_000;

impl App {
    /// Asks; the answer comes as an event.
    pub(crate) fn ask(&mut self, ask: Ask) {
        self.number += 1;
        self.wanted.insert(ask.slot(), self.number);
        self.workers.ask(self.number, ask);
    }

    pub(crate) fn ask_rows(&mut self) {
        self.timeline.tail = false;
        self.ask_rows_near(self.cursor);
    }

    fn ask_rows_near(&mut self, near: Seq) {
        self.timeline.asked = Some(self.cursor);
        self.ask(Ask::Rows(RowsAsk {
            near: near.0,
            filter: self.filter.clone(),
        }));
    }

    /// Counts on from where it was counted to.
    pub(super) fn ask_count(&mut self) {
        let Count { found, next, .. } = self.count.unwrap_or_default();
        let filter = self.filter.clone();
        self.ask(Ask::Count {
            filter,
            next,
            found,
        });
    }

    pub(super) fn news(&mut self, news: News) {
        match news {
            News::Trouble(trouble) => {
                self.trouble = Some(trouble);
                self.locked = false;
                self.proving = false;
                self.wanted.clear();
                if matches!(self.verification, Verification::NotAsked) {
                    self.verify();
                }
            }
            News::Locked => {
                self.trouble = Some(Trouble::locked());
                self.locked = true;
            }
            // What is proven of a broken log does not grow.
            News::Size(_) if self.refused.is_some() => {}
            News::Size(size) => {
                self.standing.size = self.standing.size.max(size);
                // By a filter only the index finds rows: they are asked for once it covers more.
                if self.filter == Filter::Everything && self.timeline.ends_before(size) {
                    self.grown();
                }
            }
            News::Verification(verification, before) => {
                self.verification = verification;
                self.show_proven(before);
            }
            News::Standing(standing) => self.stand(standing),
            News::Reply(reply) => self.reply(reply),
        }
    }

    /// Of a log that cannot be read as it lies there, shows what verification proved.
    pub(super) fn show_proven(&mut self, before: Option<Still>) {
        let (Some(proven), Some(before), Some(trouble)) = (self.proven(), before, &self.trouble)
        else {
            return;
        };
        if proven > 0 {
            self.proving = true;
            self.refused = Some(trouble.clone());
            // What was counted was not proven.
            (self.standing.size, self.followed) = (0, 0);
            self.workers.prove(proven, before);
        }
    }

    /// There are more records: whoever follows goes on to the last, and everybody else stays where they are.
    fn grown(&mut self) {
        self.timeline.asked = None;
        if self.timeline.follow && self.screen == Screen::Timeline {
            // The cursor goes on when the rows are there, or it would be nowhere until then.
            self.timeline.tail = true;
            self.ask_rows_near(Seq(u64::MAX));
        } else if self.timeline.is_at_end() {
            self.ask_rows();
        }
    }

    pub(super) fn stand(&mut self, mut standing: Standing) {
        self.proving = false;
        self.locked = false;
        if self.trouble.take().is_some() {
            self.ask_rows();
        }
        let grown = standing.size > self.followed && self.known;
        let indexed = standing.indexed == standing.size && self.standing.indexed < self.followed;
        let cut = standing.size < self.followed;
        self.followed = standing.size;
        if cut {
            let text = "the log has fewer records than before: it was cut, verify it";
            self.say(text.to_owned());
            self.count = None;
        } else {
            // More may have been counted meanwhile.
            standing.size = standing.size.max(self.standing.size);
        }
        let first = !self.known;
        self.known = true;
        self.standing = standing;
        // A small log is verified at once; for a large one somebody must ask.
        if first
            && self.standing.size <= AT_ONCE
            && matches!(self.verification, Verification::NotAsked)
        {
            self.verify();
        }
        if grown
            && (self.filter != Filter::Everything || self.timeline.ends_before(self.standing.size))
        {
            self.grown();
        }
        if grown || indexed {
            if self.filter != Filter::Everything && !self.wanted.contains_key(&Slot::Count) {
                self.ask_count();
            }
            self.explain.asked = None;
            self.replay.asked = None;
            self.replay.asked_density = None;
            self.lineage.asked = None;
            if self.screen == Screen::Inbox {
                self.ask(Ask::Holds);
            }
        }
    }

    pub(super) fn reply(&mut self, reply: Reply) {
        if self.wanted.get(&reply.slot) != Some(&reply.number) {
            return;
        }
        if reply.last {
            self.wanted.remove(&reply.slot);
        }
        match reply.answer {
            Answer::Rows(window) => self.take_rows(window),
            Answer::Explain(explained) => self.explain.take(*explained),
            Answer::Diff(changes) => self.diff.take(*changes),
            Answer::Lineage(graph) => self.take_graph(graph.map(|graph| *graph)),
            Answer::World(world) => self.replay.take(*world),
            Answer::Density(density) => self.replay.density = Some(density),
            Answer::Holds(holds) => self.inbox.take(holds, self.cursor),
            Answer::Health(health) => self.health.health = Some(*health),
            Answer::Count(count) => {
                self.count = Some(count);
                if !count.done {
                    self.ask_count();
                }
            }
            Answer::Copy(text) => self.copy(text),
            Answer::Linked(seq, later, rows) => self.explain.unfold(seq, later, rows),
            Answer::Names(names) => {
                if let Some(Layer::Filter(editor)) = self.layers.last_mut() {
                    editor.take_names(&names);
                }
            }
            Answer::Seek(found) => self.found(found),
            Answer::Failed(trouble) => self.failed(reply.slot, trouble),
        }
    }

    pub(super) fn found(&mut self, found: Option<Seq>) {
        let sought = self.replay.seeking.take();
        match (found, sought) {
            (Some(seq), _) => {
                self.timeline.follow = false;
                self.cursor = seq;
            }
            (None, Some((onward, what))) => {
                self.replay.stop();
                let side = if onward { "later" } else { "earlier" };
                self.say(format!("no {side} {what}"));
            }
            (None, None) => {}
        }
    }

    pub(super) fn failed(&mut self, slot: Slot, trouble: Trouble) {
        match slot {
            Slot::Rows => self.timeline.fail(trouble),
            Slot::Explain => self.explain.fail(trouble),
            Slot::Diff => self.diff.fail(trouble),
            _ => {
                let next = trouble
                    .next
                    .map_or(String::new(), |next| format!(" ({next})"));
                self.say(format!("{}{next}", trouble.what));
            }
        }
    }

    /// Time goes on: playing steps.
    pub(super) fn beat(&mut self) -> bool {
        if self.replay.is_due() && !self.wanted.contains_key(&Slot::Seek) {
            self.replay_step(true);
            self.refresh();
            return true;
        }
        false
    }

    /// Asks for what the screen needs and does not have.
    pub(super) fn refresh(&mut self) {
        if self.trouble.is_some() || self.timeline.window.is_none() {
            return;
        }
        if self.timeline.needs(self.cursor) && self.timeline.asked != Some(self.cursor) {
            self.ask_rows();
        }
        // Beyond the end until the first rows are there.
        if self.cursor.0 == u64::MAX {
            return;
        }
        let cursor = self.cursor;
        match self.screen {
            Screen::Timeline | Screen::Explain | Screen::Inbox => {
                if self.explain.asked != Some(cursor) {
                    self.explain.asked = Some(cursor);
                    self.ask(Ask::Explain(cursor));
                }
                if self.screen == Screen::Timeline && self.timeline.aside {
                    self.lineage_aside();
                }
            }
            Screen::Diff => {
                let key = Some((cursor, self.diff.against));
                if self.diff.asked != key {
                    self.diff.asked = key;
                    self.ask(Ask::Diff(cursor, self.diff.against));
                }
            }
            Screen::Lineage => self.lineage_refresh(),
            Screen::Replay => {
                if self.replay.asked != Some(cursor) {
                    self.replay.asked = Some(cursor);
                    self.ask(Ask::World(cursor));
                }
                let pieces = usize::from(self.replay.cells);
                if pieces > 0 && self.replay.asked_density != Some(pieces) {
                    self.replay.asked_density = Some(pieces);
                    self.ask(Ask::Density { pieces });
                }
            }
            Screen::Health => {}
        }
    }

    /// How many records are proven, of a log that does not verify.
    pub(crate) fn proven(&self) -> Option<u64> {
        match &self.verification {
            Verification::Done(report) if report.integrity.count > 0 => {
                Some(report.integrity.proven)
            }
            _ => None,
        }
    }

    /// Shows only what meets a filter.
    pub(crate) fn set_filter(&mut self, text: String, filter: Filter) {
        self.filter_text = text;
        self.filter = filter;
        self.count = None;
        self.wanted.remove(&Slot::Count);
        self.timeline.window = None;
        self.ask_rows();
        if self.filter != Filter::Everything {
            self.ask_count();
        }
    }

    pub(crate) fn verify(&mut self) {
        if !matches!(self.verification, Verification::Running { .. }) {
            self.verification = Verification::Running { done: 0, all: 0 };
            self.workers.verify();
        }
    }
}
