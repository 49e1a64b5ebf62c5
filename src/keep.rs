//! Records that verbs of the off switch leave: into the log, or through the gate that owns it.
//!
//! A gate may end at that very moment, as the one of a run does when its agent is killed: then the log is free a little later.

use std::cell::RefCell;
use std::time::{Duration, Instant};

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

/// How long a gate may take to write a record down, or to let go of the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a gate that broke off may take to let go of the log.
const ENDING: Duration = Duration::from_secs(2);

/// Among how many of the newest records one that was written is found.
const NEWEST: u64 = 64;

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(20);

/// Where records go.
#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    place: &'a Place,
    way: RefCell<To>,
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
        let way = RefCell::new(find(place)?);
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
        loop {
            let error = match &*self.way.borrow() {
                To::Log(log) => return Ok(log.append(event, way)?.seq),
                To::Gate(gate) => match gate.post::<Recorded>("/v1/switch", &act_of(&event)?) {
                    Ok(recorded) => return Ok(recorded.seq),
                    Err(error) => error,
                },
            };
            match error.kind() {
                // Nobody listened, so nothing was written.
                ErrorKind::Missing => drop(self.way.replace(find(self.place)?)),
                // It ended in the midst of it. Once the log is free, it shows whether this was written.
                ErrorKind::Io | ErrorKind::Busy => {
                    let log = self.log_of_the_ended(error)?;
                    self.way.replace(To::Log(log));
                    if let Some(seq) = self.written(&event)? {
                        return Ok(seq);
                    }
                }
                _ => return Err(error.into()),
            }
        }
    }

    /// The log, as soon as the gate that failed so has let go of it.
    fn log_of_the_ended(&self, error: tacho_recorder::Error) -> Result<Log, Failure> {
        let began = Instant::now();
        while began.elapsed() < ENDING {
            match Log::open(&self.place.log()?, place::options()?) {
                Ok(log) => return Ok(log),
                Err(error) if error.kind() == ErrorKind::Busy => std::thread::sleep(PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
        Err(error.into())
    }

    /// The record of an event, if it is among the newest.
    fn written(&self, event: &Event) -> Result<Option<Seq>, Failure> {
        let dir = self.place.open_to_read()?;
        let reader = place::reader(&dir)?;
        let view = View::new(&reader)?;
        for seq in view.size().saturating_sub(NEWEST)..view.size() {
            let record = view.record(Seq(seq))?.meaning;
            if record.is_ok_and(|r| r.body == event.body && r.causes() == event.causes.as_slice()) {
                return Ok(Some(Seq(seq)));
            }
        }
        Ok(None)
    }

    /// The hash of a record in the tree.
    pub(crate) fn leaf(&self, seq: Seq) -> Result<Hash, Failure> {
        let dir = self.place.open_to_read()?;
        let reader = place::reader(&dir)?;
        Ok(tree::leaf_hash(&View::new(&reader)?.record(seq)?.bytes))
    }

    /// Whether a gate owns the log.
    pub(crate) fn through_gate(&self) -> bool {
        matches!(*self.way.borrow(), To::Gate(_))
    }

    /// Ends; a log of our own is closed cleanly.
    pub(crate) fn close(self) -> Result<(), Failure> {
        match self.way.into_inner() {
            To::Log(log) => Ok(log.close()?),
            To::Gate(_) => Ok(()),
        }
    }
}

/// The log, or the gate that owns it and listens.
fn find(place: &Place) -> Result<To, Failure> {
    let path = place.log()?;
    let socket = path.join("reviewers.sock");
    let began = Instant::now();
    loop {
        let error = match Log::open(&path, place::options()?) {
            Ok(log) => return Ok(To::Log(log)),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::Busy || began.elapsed() > PATIENCE {
            return Err(error.into());
        }
        let gate = Client::new(&socket, None, PATIENCE);
        match gate.get::<serde_json::Value>("/v1/health") {
            Ok(_) => return Ok(To::Gate(gate)),
            // It stands still: it would not answer later either.
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error.into()),
            Err(_) => {}
        }
        std::thread::sleep(PAUSE);
    }
}

/// A record as the gate takes it.
fn act_of(event: &Event) -> Result<SwitchAct, Failure> {
    let kind = event.body.kind();
    let kind = kind.ok_or_else(|| Failure::new("a record of no kind"))?;
    let text = (event.content.get(&Field::Reason)).or_else(|| event.content.get(&Field::Detail));
    Ok(SwitchAct {
        kind,
        body: serde_json::to_string(&event.body).map_err(|e| Failure::new(e.to_string()))?,
        text: text.map(|text| String::from_utf8_lossy(text).into_owned()),
        by: (event.actor.actor_type == ActorType::Human).then(|| event.actor.id.clone()),
        causes: Some(event.causes.clone()),
    })
}
