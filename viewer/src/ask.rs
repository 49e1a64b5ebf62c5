//! What the screens ask of the log, and what they get.
//!
//! Each question has its slot; the newest question of a slot replaces one that still waits, and an answer to an older one is thrown
//! away. So a held-down key never queues up work.

use std::ops::Range;

use tacho_recorder::filter::{Filter, Key};
use tacho_recorder::store::Still;
use tacho_schemas::verify::Report;
use tacho_schemas::{Hash, Seq, Time};

use crate::answer::diff::{Against, Changes};
use crate::answer::explain::Explained;
use crate::answer::health::Health;
use crate::answer::holds::Hold;
use crate::answer::lineage::Graph;
use crate::answer::world::World;
use crate::row::Row;

/// A question.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// Records around a number.
    Rows(RowsAsk),
    /// The next record from here, or the one before, that meets both filters.
    Seek {
        from: u64,
        onward: bool,
        filter: Filter,
    },
    /// Values that complete what is being typed.
    Names { key: Key, begins: String },
    /// The seven answers.
    Explain(Seq),
    /// Earlier or later records that a record is linked with.
    Linked { seq: Seq, later: bool },
    /// What changed.
    Diff(Seq, Against),
    /// The lineage around a record; or the one so many places on from there.
    Lineage { near: Seq, shift: i64 },
    /// The world as of a record.
    World(Seq),
    /// Something to be copied.
    Copy(Seq, CopyWhat),
    /// What waits for humans.
    Holds,
    /// Keys, checkpoints, disk.
    Health,
    /// Where in the log much happens.
    Density { pieces: usize },
    /// How many records meet a filter: a few thousand records at a time, so that nothing counts for whom nobody asks any more.
    Count {
        filter: Filter,
        next: u64,
        found: u64,
    },
}

/// How many records meet a filter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// So many of those before `next`.
    pub(crate) found: u64,
    pub(crate) next: u64,
    /// There were no more.
    pub(crate) done: bool,
}

/// Which records are wanted.
#[derive(Clone, Debug)]
pub(crate) struct RowsAsk {
    /// Around this one.
    pub(crate) near: u64,
    /// Those that meet this.
    pub(crate) filter: Filter,
}

/// What is copied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CopyWhat {
    Hash,
    Record,
}

/// Where a question waits; the order is that of the answers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Slot {
    Rows,
    Seek,
    Names,
    Copy,
    Explain,
    Diff,
    Linked,
    World,
    Lineage,
    Holds,
    Health,
    Density,
    Count,
}

impl Ask {
    pub(crate) fn slot(&self) -> Slot {
        match self {
            Self::Rows(_) => Slot::Rows,
            Self::Seek { .. } => Slot::Seek,
            Self::Names { .. } => Slot::Names,
            Self::Copy(..) => Slot::Copy,
            Self::Explain(_) => Slot::Explain,
            Self::Diff(..) => Slot::Diff,
            Self::Linked { .. } => Slot::Linked,
            Self::World(_) => Slot::World,
            Self::Lineage { .. } => Slot::Lineage,
            Self::Holds => Slot::Holds,
            Self::Health => Slot::Health,
            Self::Density { .. } => Slot::Density,
            Self::Count { .. } => Slot::Count,
        }
    }
}

/// An answer to the question with this number.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) slot: Slot,
    pub(crate) number: u64,
    pub(crate) answer: Answer,
    /// Nothing more comes to this question.
    pub(crate) last: bool,
}

/// What a question got.
#[derive(Debug)]
pub(crate) enum Answer {
    Rows(Window),
    Seek(Option<Seq>),
    Names(Vec<String>),
    Copy(String),
    Explain(Box<Explained>),
    Linked(Seq, bool, Vec<Row>),
    Diff(Box<Changes>),
    World(Box<World>),
    Lineage(Option<Box<Graph>>),
    Holds(Vec<Hold>),
    Health(Box<Health>),
    Density(Density),
    Count(Count),
    Failed(Trouble),
}

/// Records in order, with what lies beyond them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Window {
    pub(crate) rows: Vec<Row>,
    /// Nothing that meets the filter comes before or after.
    pub(crate) whole: Ends,
    /// Found by an index that covers so much.
    pub(crate) searched: Option<Range<u64>>,
    /// Terms without which something would be found, if nothing was.
    pub(crate) without: Vec<String>,
}

/// Which ends of a window are ends of the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Ends {
    pub(crate) first: bool,
    pub(crate) last: bool,
}

/// Where in the log much happens: one number for each piece.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Density {
    pub(crate) size: u64,
    pub(crate) changes: Vec<u64>,
    pub(crate) holds: Vec<u64>,
    pub(crate) denies: Vec<u64>,
    pub(crate) kills: Vec<u64>,
}

/// Why something cannot be shown, and what to do next; both are safe to draw.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) what: String,
    pub(crate) next: Option<String>,
}

impl Trouble {
    /// What is said of a log that somebody holds locked.
    pub(crate) fn locked() -> Self {
        Self {
            what: "another program holds the log's database locked, so nobody else can read it"
                .to_owned(),
            next: Some(
                "end that program (`fuser log.db` in the log's directory names it) or let it finish"
                    .to_owned(),
            ),
        }
    }
}

impl From<&tacho_recorder::Error> for Trouble {
    fn from(error: &tacho_recorder::Error) -> Self {
        Self {
            what: crate::text::said(&error.to_string()),
            next: error.hint().map(crate::text::said),
        }
    }
}

/// A kill that nobody released.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kill {
    pub(crate) seq: Seq,
    /// Its scope, and whom.
    pub(crate) target: String,
    pub(crate) time: Time,
    /// The hash of its leaf, which a release is bound to.
    pub(crate) leaf: Hash,
}

/// The state of the log as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Standing {
    /// Its name.
    pub(crate) origin: String,
    /// How many records there are; seen by whoever follows with the index, so it may lag.
    pub(crate) size: u64,
    /// How many of them the index covers.
    pub(crate) indexed: u64,
    /// Kills without a release, newest first.
    pub(crate) kills: Vec<Kill>,
    /// Holds that still wait.
    pub(crate) held: usize,
    /// Somebody writes the log right now.
    pub(crate) live: bool,
    /// Of a bundle: how many records it shows.
    pub(crate) shown: Option<u64>,
}

/// How far verification is.
#[derive(Clone, Debug, Default)]
pub(crate) enum Verification {
    #[default]
    NotAsked,
    Running {
        done: u64,
        all: u64,
    },
    Done(Box<Report>),
    Failed(Trouble),
}

/// What threads tell the screen.
#[derive(Debug)]
pub(crate) enum News {
    Reply(Reply),
    Standing(Standing),
    /// How far verification is; at its end, what lay there before it.
    Verification(Verification, Option<Still>),
    /// How many records there are, told as soon as it changes; how many of them the index covers stands in [`Standing`].
    Size(u64),
    /// The log cannot be read any more, or not at all.
    Trouble(Trouble),
    /// Somebody holds the log locked. Nothing is wrong with it, and it is opened once they let go.
    Locked,
}
