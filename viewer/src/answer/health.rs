//! Keys, checkpoints, clocks, disk: what can be said of a log without reading all of it.

use tacho_recorder::checkpoints;
use tacho_recorder::read::View;
use tacho_recorder::{Error, LogDir};
use tacho_schemas::Time;
use tacho_schemas::bundle::Told;
use tacho_schemas::sign::Fingerprint;

use super::{Mind, Place};
use crate::ask::Trouble;
use crate::text::{count, moment, said, thousands};

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
    /// What a bundle says of itself, in sentences with their names.
    pub(crate) bundle: Option<Vec<(&'static str, String)>>,
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
        let (dir, told) = match self.place {
            Place::Log(dir) => (Some(dir), None),
            Place::Bundle(told, shown) => (None, Some(of_bundle(told, shown))),
        };
        let newest = dir.map_or(Ok(None), checkpoints::newest);
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
            path: dir.map_or(String::new(), |dir| said(&dir.path().display().to_string())),
            now: Time(self.clock.wall_ns()),
            keys: keys.map_err(|error| Trouble::from(&error)),
            checkpoint,
            size: view.size(),
            disk: dir.and_then(|dir| dir.free_bytes().ok()),
            database: dir
                .and_then(|dir| std::fs::metadata(dir.database()).ok())
                .map(|meta| meta.len()),
            writer: dir
                .map_or(Ok(None), LogDir::writer)?
                .map(|writer| match writer.pid {
                    Some(pid) => format!("process {pid}"),
                    None => "a process that does not say its number".to_owned(),
                }),
            indexed: self.index.size()?,
            private_index: self.index.why_private().map(said),
            last_time,
            bundle: told,
        })
    }
}

fn of_bundle(told: &Told, shown: u64) -> Vec<(&'static str, String)> {
    let head = &told.head;
    let hidden = head.size.saturating_sub(shown);
    let mut all = vec![
        ("log", said(head.origin.as_str())),
        (
            "shown",
            format!(
                "{} of {}; the others are proven to be there, and not shown",
                thousands(shown),
                count(head.size, "record")
            ),
        ),
        (
            "chosen",
            match head.selection.is_empty() {
                true => format!("{}: all of the log", count(head.chosen, "record")),
                false => format!(
                    "{}: {}",
                    count(head.chosen, "record"),
                    said(&head.selection)
                ),
            },
        ),
    ];
    if hidden == 0 {
        all.retain(|(name, _)| *name != "shown");
    }
    if head.support > 0 {
        let because = told.because.iter();
        let because: Vec<_> = because.map(|(why, many)| format!("{many} {why}")).collect();
        let text = format!(
            "{} because others need them ({})",
            thousands(head.support),
            because.join(", ")
        );
        all.push(("support", text));
    }
    let withheld: Vec<_> = head
        .withhold
        .iter()
        .flatten()
        .map(|name| said(name.as_str()))
        .collect();
    if !withheld.is_empty() {
        all.push(("withheld", format!("on request: {}", withheld.join(", "))));
    }
    let losses: Vec<_> = told
        .losses
        .iter()
        .map(|loss| {
            format!(
                "{} {}",
                thousands(loss.count),
                said(loss.what.as_str()).replace(['_', ':'], " ")
            )
        })
        .collect();
    if !losses.is_empty() {
        all.push(("not in it", losses.join(", ")));
    }
    let made = format!(
        "{} by {}, as it says itself",
        moment(head.made),
        said(head.software.as_str())
    );
    all.push(("written", made));
    all
}

fn fingerprint(key: &tacho_schemas::sign::PublicKey) -> String {
    Fingerprint::of(key).to_string()
}
