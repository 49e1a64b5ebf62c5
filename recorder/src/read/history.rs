//! Whose keys signed which part of a log, as its records say.
//!
//! Each record that names a key is held against the tree; that its own signature is good is [`crate::audit`]'s question. Seals
//! name where their epoch began, so a walk back meets one record for each epoch, not all of them.

use ed25519_dalek::VerifyingKey;
use tacho_schemas::body::Body;
use tacho_schemas::body::log::{KeyOp, KeyRole, SealReason};
use tacho_schemas::checkpoint::{Signed, epoch_name};
use tacho_schemas::note::{Algorithm, Note, Vkey};
use tacho_schemas::record::Record;
use tacho_schemas::sign::PublicKey;
use tacho_schemas::{LogId, Origin, Seq};

use super::View;
use crate::error::{Error, ErrorKind, Result};
use crate::log::state;

/// The keys of a log.
#[derive(Clone, Debug)]
pub struct History {
    /// The log's name.
    pub origin: Origin,
    /// The log.
    pub log_id: LogId,
    /// The key that answers for it.
    pub identity: PublicKey,
    /// The log's keys, each with the record that named it; the last one is in force.
    pub log_keys: Vec<(Seq, PublicKey)>,
    /// The epochs, newest first; the oldest may be left out.
    pub epochs: Vec<Epoch>,
}

/// One epoch: which records its key answers for.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// Its number.
    pub number: u64,
    /// Its key.
    pub key: PublicKey,
    /// Its first record, whether or not there is one yet.
    pub first: Seq,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// It began with a break: the key before it was lost.
    pub after_break: bool,
}

/// How an epoch ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Its key was lost; the record that says so is the first of the next epoch.
    Broken(Seq),
    /// By this seal, its last record.
    Sealed(Seq, SealReason),
}

impl Epoch {
    /// The smallest tree that its key signs: the one that ends with the record which names the key.
    fn signs_from(&self) -> u64 {
        match self.after_break || self.first == Seq(0) {
            true => self.first.next().0,
            false => self.first.0,
        }
    }
}

impl History {
    /// The two keys whose signatures a checkpoint of this size bears: the log's, then the epoch's.
    pub fn vkeys_at(&self, size: u64) -> Result<[Vkey; 2]> {
        let unknown = || {
            Error::new(
                ErrorKind::Corrupt,
                format!("no key signs a tree of {size} records"),
            )
        };
        let mut keys = self.log_keys.iter().rev();
        let (_, log) = keys.find(|(from, _)| from.0 < size).ok_or_else(unknown)?;
        let mut epochs = self.epochs.iter();
        let epoch = epochs
            .find(|e| e.signs_from() <= size)
            .ok_or_else(unknown)?;
        Ok([
            vkey(self.origin.as_str(), log)?,
            vkey(&epoch_name(&self.origin, epoch.number), &epoch.key)?,
        ])
    }
}

fn vkey(name: &str, key: &PublicKey) -> Result<Vkey> {
    let key = VerifyingKey::from_bytes(&key.0).map_err(|e| {
        Error::new(ErrorKind::Corrupt, "the log names a key that is none").with_source(e)
    })?;
    Ok(Vkey::new(name, Algorithm::Ed25519, &key)?)
}

impl View<'_> {
    /// Reads the log's keys and its newest epochs.
    ///
    /// The whole log is read only if the log key was replaced, which shows in that the first one did not sign `newest`, the
    /// newest checkpoint.
    pub fn history(&self, newest: Option<&Note>, epochs: usize) -> Result<History> {
        let first = self.record(Seq(0))?;
        let Ok(Record {
            body: Body::Genesis(genesis),
            ..
        }) = &first.meaning
        else {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "the first record is no genesis",
            ));
        };
        let mut history = History {
            origin: genesis.origin.clone(),
            log_id: LogId::of_genesis(&first.bytes),
            identity: genesis.identity_key,
            log_keys: vec![(Seq(0), genesis.log_key)],
            epochs: self.epochs(epochs)?,
        };
        let key = [vkey(genesis.origin.as_str(), &genesis.log_key)?];
        if newest.is_some_and(|note| Signed::open(note, &key).is_err()) {
            history.log_keys.extend(self.later_log_keys()?);
        }
        Ok(history)
    }

    /// Finds every record that replaced the log key.
    fn later_log_keys(&self) -> Result<Vec<(Seq, PublicKey)>> {
        let mut keys = Vec::new();
        self.snapshot.records(0..self.size, |seq, bytes| {
            if let Some(Body::Key(key)) = body(bytes)
                && (key.role, key.op) == (KeyRole::Log, KeyOp::Rotate)
            {
                self.record(Seq(seq))?;
                keys.push((Seq(seq), state::raw_key(key.public_key.as_slice())?));
            }
            Ok::<(), Error>(())
        })?;
        Ok(keys)
    }

    /// Walks back over the records that begin epochs.
    fn epochs(&self, most: usize) -> Result<Vec<Epoch>> {
        let mut found: Vec<Epoch> = Vec::new();
        let (mut at, mut end) = (self.size.checked_sub(1), None);
        while let Some(seq) = at
            && found.len() < most
        {
            let bytes = self.snapshot.record(seq)?.unwrap_or_default();
            let begun = match body(&bytes) {
                Some(Body::Seal(seal)) => {
                    let begun = Epoch {
                        number: seal.epoch.saturating_add(1),
                        key: seal.next_key,
                        first: Seq(seq).next(),
                        end,
                        after_break: false,
                    };
                    end = Some(End::Sealed(Seq(seq), seal.reason));
                    // The record before its epoch's first is a seal, or its first is a break.
                    at = (seal.first.0 < seq)
                        .then_some(seal.first.0)
                        .or(seq.checked_sub(1));
                    begun
                }
                Some(Body::Key(key)) if (key.role, key.op) == (KeyRole::Epoch, KeyOp::Break) => {
                    let begun = Epoch {
                        number: key.epoch.unwrap_or_default(),
                        key: state::raw_key(key.public_key.as_slice())?,
                        first: Seq(seq),
                        end,
                        after_break: true,
                    };
                    end = Some(End::Broken(Seq(seq)));
                    at = seq.checked_sub(1);
                    begun
                }
                Some(Body::Genesis(genesis)) => {
                    at = None;
                    Epoch {
                        number: 0,
                        key: genesis.epoch_key,
                        first: Seq(0),
                        end,
                        after_break: false,
                    }
                }
                _ => {
                    at = seq.checked_sub(1);
                    continue;
                }
            };
            // What the walk found, it found in bytes that nobody had checked.
            let shown = self.record(Seq(seq))?;
            if !shown.in_tree {
                return Err(super::differs(&format!("record {seq}")));
            }
            found.push(begun);
        }
        Ok(found)
    }
}

fn body(bytes: &[u8]) -> Option<Body> {
    Record::decode(bytes).ok().map(|record| record.body)
}
