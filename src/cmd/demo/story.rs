//! What the demo records: two real files of agents, and what somebody would like to have been instead of the second.

use std::path::{Path, PathBuf};

use tacho_recorder::draft::Way;
use tacho_recorder::import::{Imported, Known, Request, import};
use tacho_recorder::log::Log;
use tacho_recorder::read::View;
use tacho_recorder::{LogDir, Reader};
use tacho_schemas::Id;
use tacho_schemas::body::work::{Message, Speaker};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::receipt::Receipt;
use tacho_schemas::record::{Actor, ActorType};

use crate::place;
use crate::term::Failure;

/// A file that somebody else's agent left, as its authors published it. It comes with the program, so that the demo needs nothing.
pub(super) struct Real {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    bytes: &'static [u8],
}

/// A system that rewrites its own prompts and programs: a hundred rounds.
pub(super) const LINEAGE: Real = Real {
    name: "island3.jsonl",
    what: "a run of CodeEvolve, which rewrites its own prompts and programs to pack circles into a square (inter-co, Apache-2.0)",
    bytes: include_bytes!("../../../fixtures/lineages/codeevolve/island3.jsonl"),
};

/// A coding agent at work.
pub(super) const TRANSCRIPT: Real = Real {
    name: "representative_messages.jsonl",
    what: "a transcript of Claude Code (from claude-code-log, MIT)",
    bytes: include_bytes!("../../../fixtures/traces/claude-code/representative_messages.jsonl"),
};

impl Real {
    /// Where the file lies in the demo's folder.
    pub(super) fn path(&self, stage: &Path) -> PathBuf {
        stage.join(self.name)
    }

    /// Writes the file beside the log, and imports it as `tacho import` does.
    pub(super) fn import(&self, stage: &Path, log: &Log) -> Result<Imported, Failure> {
        let path = self.path(stage);
        place::write_new(&path, self.bytes)?;
        let reader = Reader::open(&LogDir::open_to_read(log.path())?)?;
        let request = Request {
            path,
            format: None,
            range: None,
            again: false,
        };
        let view = View::new(&reader)?;
        Ok(import(
            log,
            &view,
            &request,
            &mut Known::default(),
            &mut |_, _| (),
        )?)
    }
}

/// What is noted at the end of the day.
pub(super) const TRUE_NOTE: &str = "The transcript of today is in.";

/// What somebody would like to have been noted.
pub(super) const HARMLESS_NOTE: &str = "Nothing happened today.";

/// Notes something, and returns the receipt of it.
pub(super) fn note(log: &Log, text: &str) -> Result<Receipt, Failure> {
    let actor = Actor {
        actor_type: ActorType::Human,
        id: Id::new("reviewer")?,
        model: None,
        on_behalf_of: None,
    };
    let body = Message {
        speaker: Speaker::User,
        usage: None,
    };
    let event = Event::new(actor, body).with(Field::Text, text);
    Ok(log.append(event, Way::api(nix::unistd::geteuid().as_raw()))?)
}
