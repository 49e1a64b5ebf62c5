//! The terminal UI that replays and explains a Tachograph log.
//!
//! It draws, and knows no SQL: everything it shows comes from [`tacho_recorder`] as checked records. Nothing here writes to a log;
//! the one file that is touched is the index beside it.
//!
//! Read the modules in the order in which a record reaches the eye: `ask` (what can be asked), `worker` (the threads that read),
//! `answer` (what they make of it), `row` and `doc` (lines), `app` (the state, and what an event does to it), `screen` and `layer`
//! (the parts of it), `draw`, [`term`]. `dialog` asks before what cannot be taken back, `deed` is what others then do. `text` is the one way in for words that somebody else wrote, `keys` the one table of keys.

mod answer;
mod app;
mod ask;
mod deed;
mod dialog;
mod doc;
mod draw;
mod keys;
mod layer;
mod plain;
mod row;
mod screen;
pub mod term;
mod text;
mod theme;
mod words;
mod worker;

pub use app::{App, Effect, Event, Options, Screen, Source, WorkerNews};
pub use deed::{Deed, Outside};
pub use keys::Keymap;
pub use plain::plain;
pub use theme::Theme;
