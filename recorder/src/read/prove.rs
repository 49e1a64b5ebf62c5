//! Proofs out of a view: that a record is in the log, that the log only grew, and that a checkpoint speaks of it.

use tacho_schemas::checkpoint::{Checkpoint, Signed};
use tacho_schemas::note::Note;
use tacho_schemas::tree;
use tacho_schemas::{Hash, Seq};

use super::{History, View, differs};
use crate::error::{Error, ErrorKind, Result};

impl View<'_> {
    /// Returns the root over the first `size` records.
    pub fn root_at(&self, size: u64) -> Result<Hash> {
        self.there(size)?;
        match size == self.size {
            true => Ok(self.root),
            false => self.compute_root(size),
        }
    }

    /// What an index is stamped with: the root over the first `size` records, or nothing where the records rest on no tree.
    pub(crate) fn stamp_at(&self, size: u64) -> Result<Hash> {
        match self.part {
            Some(_) => Ok(Hash::ZERO),
            None => self.root_at(size),
        }
    }

    /// Returns the siblings that lead from a record to the root over the first `size` records, nearest first.
    pub fn inclusion(&self, seq: Seq, size: u64) -> Result<Vec<Hash>> {
        self.there(size)?;
        tree::inclusion_proof(seq.0, size, |level, index| self.node(level, index))
    }

    /// Returns the hashes which show that the first `from` records are a beginning of the first `to`.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>> {
        self.there(from.max(to))?;
        tree::consistency_proof(from, to, |level, index| self.node(level, index))
    }

    /// Checks a checkpoint of this log: signed by the keys that sign at its size, with the root that the log has there.
    pub fn check(&self, note: &Note, history: &History) -> Result<Checkpoint> {
        let bad = |what: &str| {
            Error::new(
                ErrorKind::Corrupt,
                format!("the newest checkpoint does not fit the log: {what}"),
            )
            .with_hint("run `tacho verify` to see what is still proven")
        };
        let body = Checkpoint::parse(note.text()).map_err(|e| bad(&e.to_string()))?;
        if !body.is_of(&history.origin) {
            return Err(bad("it is of another log"));
        }
        let keys = history.vkeys_at(body.size())?;
        let by_both =
            Signed::open(note, &keys).is_ok_and(|s| keys.iter().all(|key| s.by(key.name())));
        if !by_both {
            return Err(bad(
                "the log key and the epoch's key have not both signed it",
            ));
        }
        if body.size() > self.size || self.root_at(body.size())? != *body.root() {
            return Err(bad("it has another root"));
        }
        Ok(body)
    }

    fn there(&self, size: u64) -> Result<()> {
        if size <= self.size {
            return Ok(());
        }
        Err(differs("what is asked of it: there are fewer records").with_kind(ErrorKind::Usage))
    }
}
