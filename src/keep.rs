//! Records that verbs of the off switch leave: into the log, or through the gate that owns it.

use std::time::Duration;

use tacho_recorder::draft::Way;
use tacho_recorder::gate::client::Client;
use tacho_recorder::gate::wire::{Recorded, SwitchAct};
use tacho_recorder::read::View;
use tacho_recorder::{ErrorKind, Log};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::ActorType;
use tacho_schemas::{Hash, LogId, Origin, Seq, tree};

use crate::place::{self, Place};
use crate::term::Failure;

/// How long a gate may take to write a record down.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where records go.
#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    place: &'a Place,
    way: To,
    pub(crate) origin: Origin,
    pub(crate) log_id: LogId,
}

#[derive(Debug)]
enum To {
    Log(Log),
    Gate(Client),
}

impl<'a> Keeper<'a> {
    /// Opens the log, or finds the gate that owns it.
    pub(crate) fn open(place: &'a Place) -> Result<Self, Failure> {
        let dir = place.open_to_read()?;
        let way = match Log::open(&place.log()?, place::options()?) {
            Ok(log) => To::Log(log),
            Err(error) if error.kind() == ErrorKind::Busy => {
                let socket = dir.path().join("reviewers.sock");
                if !socket.exists() {
                    return Err(error.into());
                }
                To::Gate(Client::new(&socket, None, PATIENCE))
            }
            Err(error) => return Err(error.into()),
        };
        let reader = place::reader(&dir)?;
        let genesis = View::new(&reader)?.record(Seq(0))?;
        Ok(Self {
            place,
            way,
            origin: place::origin(&dir)?,
            log_id: LogId(Hash::sha256(&genesis.bytes)),
        })
    }

    /// Writes a record down.
    pub(crate) fn append(&self, event: Event, way: Way) -> Result<Seq, Failure> {
        match &self.way {
            To::Log(log) => Ok(log.append(event, way)?.seq),
            To::Gate(gate) => {
                let kind = event
                    .body
                    .kind()
                    .ok_or_else(|| Failure::new("a record of no kind"))?;
                let text = event
                    .content
                    .get(&Field::Reason)
                    .or_else(|| event.content.get(&Field::Detail));
                let act = SwitchAct {
                    kind,
                    body: serde_json::to_string(&event.body)
                        .map_err(|e| Failure::new(e.to_string()))?,
                    text: text.map(|text| String::from_utf8_lossy(text).into_owned()),
                    by: (event.actor.actor_type == ActorType::Human)
                        .then(|| event.actor.id.clone()),
                    causes: Some(event.causes.clone()),
                };
                let recorded: Recorded = gate.post("/v1/switch", &act)?;
                Ok(recorded.seq)
            }
        }
    }

    /// The hash of a record in the tree.
    pub(crate) fn leaf(&self, seq: Seq) -> Result<Hash, Failure> {
        let dir = self.place.open_to_read()?;
        let reader = place::reader(&dir)?;
        Ok(tree::leaf_hash(&View::new(&reader)?.record(seq)?.bytes))
    }

    /// Whether a gate owns the log.
    pub(crate) fn through_gate(&self) -> bool {
        matches!(self.way, To::Gate(_))
    }

    /// Ends; a log of our own is closed cleanly.
    pub(crate) fn close(self) -> Result<(), Failure> {
        match self.way {
            To::Log(log) => Ok(log.close()?),
            To::Gate(_) => Ok(()),
        }
    }
}
