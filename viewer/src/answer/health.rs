//! Keys, checkpoints, clocks, disk: what can be said of a log without reading all of it.

use tacho_recorder::Error;
use tacho_recorder::checkpoints;
use tacho_recorder::read::View;
use tacho_schemas::Time;
use tacho_schemas::sign::Fingerprint;

use super::Mind;
use crate::ask::Trouble;
use crate::text::said;

/// The newest epochs that are told of.
const EPOCHS: usize = 64;

/// What is known at a glance.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) path: String,
    pub(crate) now: Time,
    pub(crate) keys: Result<Keys, Trouble>,
    /// The size of the newest checkpoint, if it fits; none if there is none.
    pub(crate) checkpoint: Result<Option<u64>, Trouble>,
    pub(crate) size: u64,
    pub(crate) disk: Option<u64>,
    pub(crate) database: Option<u64>,
    /// Who writes the log right now.
    pub(crate) writer: Option<String>,
    pub(crate) indexed: u64,
    pub(crate) private_index: Option<String>,
    pub(crate) last_time: Option<Time>,
}

/// Whose log it is.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) origin: String,
    pub(crate) identity: String,
    pub(crate) log_key: String,
    pub(crate) log_keys: usize,
    pub(crate) epoch: u64,
    pub(crate) sealed: usize,
    pub(crate) broken: usize,
}

impl Mind<'_> {
    pub(super) fn health(&mut self) -> Result<Health, Error> {
        // Read before the records: then they are there.
        let newest = checkpoints::newest(self.dir);
        let view = View::new(&self.reader)?;
        let note = newest.as_ref().ok().and_then(Option::as_ref);
        let history = view.history(note, EPOCHS);
        let checkpoint = match (&newest, &history) {
            (Err(error), _) => Err(Trouble::from(error)),
            (Ok(None), _) => Ok(None),
            (Ok(Some(note)), Ok(history)) => match view.check(note, history) {
                Ok(checkpoint) => Ok(Some(checkpoint.size())),
                Err(error) => Err(Trouble::from(&error)),
            },
            (Ok(Some(_)), Err(error)) => Err(Trouble::from(error)),
        };
        let keys = history.map(|history| Keys {
            origin: said(history.origin.as_str()),
            identity: fingerprint(&history.identity),
            log_key: history
                .log_keys
                .last()
                .map_or(String::new(), |(_, key)| fingerprint(key)),
            log_keys: history.log_keys.len(),
            epoch: history.epochs.first().map_or(0, |epoch| epoch.number),
            sealed: history
                .epochs
                .iter()
                .filter(|e| matches!(e.end, Some(tacho_recorder::read::End::Sealed(..))))
                .count(),
            broken: history.epochs.iter().filter(|e| e.after_break).count(),
        });
        let last = view
            .size()
            .checked_sub(1)
            .map(|last| view.record(tacho_schemas::Seq(last)));
        let last_time = last
            .and_then(Result::ok)
            .and_then(|s| s.meaning.ok())
            .map(|r| r.time);
        Ok(Health {
            path: said(&self.dir.path().display().to_string()),
            now: Time(self.clock.wall_ns()),
            keys: keys.map_err(|error| Trouble::from(&error)),
            checkpoint,
            size: view.size(),
            disk: self.dir.free_bytes().ok(),
            database: std::fs::metadata(self.dir.database())
                .ok()
                .map(|meta| meta.len()),
            writer: self.dir.writer()?.map(|writer| match writer.pid {
                Some(pid) => format!("process {pid}"),
                None => "a process that does not say its number".to_owned(),
            }),
            indexed: self.index.size()?,
            private_index: self.index.why_private().map(said),
            last_time,
        })
    }
}

fn fingerprint(key: &tacho_schemas::sign::PublicKey) -> String {
    Fingerprint::of(key).to_string()
}
