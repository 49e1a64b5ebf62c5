//! The screens: what each one keeps, what keys do on it, how it is drawn.

pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod inbox;
pub(crate) mod lineage;
pub(crate) mod replay;
pub(crate) mod timeline;

use crate::keys::Action;

/// A list or text that is longer than the screen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scroll {
    pub(crate) top: usize,
    /// Rows that were drawn last.
    pub(crate) height: usize,
    /// Rows that there are.
    pub(crate) all: usize,
}

impl Scroll {
    /// Says how many rows there are and fit, and returns the first to draw.
    pub(crate) fn fit(&mut self, all: usize, height: u16) -> usize {
        self.all = all;
        self.height = usize::from(height);
        self.top = self.top.min(all.saturating_sub(self.height));
        self.top
    }

    /// Moves so that a row is seen.
    pub(crate) fn show(&mut self, row: usize) {
        let height = self.height.max(1);
        // A jump lands a third down; a step scrolls by one.
        if row + height < self.top || row > self.top + 2 * height {
            self.top = row.saturating_sub(height / 3);
            return;
        }
        if row < self.top {
            self.top = row;
        }
        if row >= self.top + height {
            self.top = row + 1 - height;
        }
    }

    /// How far a key moves; none if it does not.
    pub(crate) fn distance(&self, action: Action) -> Option<isize> {
        let page = isize::try_from(self.height.max(2) - 1).unwrap_or(1);
        let all = isize::MAX / 4;
        Some(match action {
            Action::Down => 1,
            Action::Up => -1,
            Action::HalfDown => (page / 2).max(1),
            Action::HalfUp => -(page / 2).max(1),
            Action::PageDown => page,
            Action::PageUp => -page,
            Action::Top => -all,
            Action::Bottom => all,
            _ => return None,
        })
    }

    /// Scrolls; false if the key does something else.
    pub(crate) fn act(&mut self, action: Action) -> bool {
        let Some(distance) = self.distance(action) else {
            return false;
        };
        let last = self.all.saturating_sub(self.height);
        self.top = self.top.saturating_add_signed(distance).min(last);
        true
    }
}
