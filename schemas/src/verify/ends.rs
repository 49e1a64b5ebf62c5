//! The end of a verification: what was signed about the log, held against the log.

use super::{Anchor, Authenticity, Boots, Breach, Completeness, Fold, Integrity, Report};
use crate::body::log::Genesis;
use crate::checkpoint::{self, Signed};
use crate::hash::Hash;
use crate::note::{Algorithm, Note, Vkey};
use crate::receipt::{Commit, Receipt};
use crate::scalar::{Fixed, Seq};
use crate::sign::{Fingerprint, PublicKey};

/// Something signed about the log that was kept outside its directory.
#[derive(Clone, Debug)]
pub enum Mark {
    /// A checkpoint.
    Checkpoint(Note),
    /// A receipt.
    Receipt(Box<Receipt>),
}

/// What is held against the records once all were taken.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The log's own checkpoints, oldest first.
    pub checkpoints: Vec<Note>,
    /// The newest commit's statement and signature.
    pub commit: Option<(Commit, Fixed<64>)>,
    /// Marks from outside.
    pub marks: Vec<Mark>,
    /// The identity key that the caller trusts, and why.
    pub trust: Option<(Fingerprint, Anchor)>,
}

impl Evidence {
    /// The tree sizes that the log's own signatures speak of.
    pub(crate) fn own_sizes(&self) -> impl Iterator<Item = u64> + '_ {
        let of_note = |note: &Note| {
            checkpoint::Checkpoint::parse(note.text())
                .ok()
                .map(|c| c.size())
        };
        let commit = self.commit.iter().map(|(commit, _)| commit.size);
        self.checkpoints.iter().filter_map(of_note).chain(commit)
    }

    /// The tree sizes that the evidence speaks of: what [`Fold::new`] wants to know.
    pub fn sizes(&self) -> impl Iterator<Item = u64> + '_ {
        let of_note = |note: &Note| {
            checkpoint::Checkpoint::parse(note.text())
                .ok()
                .map(|c| c.size())
        };
        let marks = self.marks.iter().flat_map(move |mark| match mark {
            Mark::Checkpoint(note) => [of_note(note), None],
            // The chain hash of its record is that after the record.
            Mark::Receipt(receipt) => [Some(receipt.commit.size), Some(receipt.seq.next().0)],
        });
        self.own_sizes().chain(marks.flatten())
    }
}

/// What is wrong with something that was signed about the log.
struct Fault {
    breach: Breach,
    place: Place,
    what: String,
}

/// What a fault says of where the log is bad.
#[derive(Clone, Copy)]
enum Place {
    /// Nothing: it may be the statement that is bad.
    Nowhere,
    /// Somewhere before this size.
    Before(u64),
}

impl Fault {
    fn nowhere(breach: Breach, what: impl Into<String>) -> Self {
        Self {
            breach,
            place: Place::Nowhere,
            what: what.into(),
        }
    }

    fn before(breach: Breach, size: u64, what: String) -> Self {
        Self {
            breach,
            place: Place::Before(size),
            what,
        }
    }
}

/// Something was signed at a size in the middle of a hidden run.
fn unseen(size: u64) -> Fault {
    let what = format!("is of size {size}, and the bundle does not show the tree at that size");
    Fault::nowhere(Breach::Bundle, what)
}

impl Fold {
    /// Holds the evidence against the records, and reports.
    pub fn finish(mut self, evidence: &Evidence) -> Report {
        let size = self.tree.size();
        if size == 0 {
            self.breach(Breach::Empty, None, "the log has no records");
        }
        self.check_checkpoints(&evidence.checkpoints);
        self.check_commit(evidence.commit.as_ref());
        let signed = self.vouched.iter().copied().max().unwrap_or(0);
        self.judge_holes();
        let authenticity = self.judge_identity(evidence.trust);
        let proven = self.blame();
        let (completeness, proven) = self.check_marks(&evidence.marks, proven);
        // What a hole or a mark takes away is no longer proven either.
        let first_bad = self.integrity.first_bad.map_or(proven, |seq| seq.0);
        self.integrity.proven = proven.min(first_bad);
        self.report(signed, authenticity, completeness)
    }

    /// Reports without an end: what was to be read cannot be, so nothing that was signed can be held against it and nothing is proven.
    pub fn abandon(mut self, breach: Breach, what: impl Into<String>) -> Report {
        // What was found before is not said: of bytes that may all be others it would be said of nothing.
        self.integrity = Integrity::default();
        self.breach(breach, None, what);
        let completeness = Completeness::OpenTail;
        self.report(0, Authenticity::Failed, completeness)
    }

    fn report(self, signed: u64, authenticity: Authenticity, completeness: Completeness) -> Report {
        let size = self.tree.size();
        Report {
            origin: self.genesis.as_ref().map(|g| g.origin.clone()),
            log_id: self.log_id,
            size,
            shown: size.saturating_sub(self.hidden),
            root: self.tree.root(),
            head: self.head,
            unsigned: size.saturating_sub(signed),
            sealed: self.sealed,
            broken_epochs: self.broken_epochs,
            witnesses_needed: self.genesis.as_ref().map_or(0, |g| g.witness_quorum),
            integrity: self.integrity,
            authenticity,
            completeness,
            clocks: self.clocks,
            meaning: self.meaning,
            content: self.content,
        }
    }

    /// Settles which records a misfit between records and signatures puts in doubt, and returns how many the signatures prove.
    ///
    /// A record that shows by itself explains a misfit after it. Else whatever lies behind the last signature that holds may be bad.
    /// Signatures that lie beyond a misfit prove nothing: whoever wrote one of the two may have written them.
    fn blame(&mut self) -> u64 {
        let beyond = self.doubted.unwrap_or(u64::MAX);
        let before = self.vouched.iter().filter(|size| **size < beyond);
        let proven = before.copied().max().unwrap_or(0);
        if self.doubted.is_some() {
            self.blame_from(proven, beyond);
        }
        proven
    }

    /// Puts the records from `first` on in doubt, unless one before `size` already shows as bad.
    fn blame_from(&mut self, first: u64, size: u64) {
        if self.integrity.first_bad.is_none_or(|bad| bad.0 >= size) {
            self.integrity.first_bad = Some(Seq(first));
        }
    }

    fn note(&mut self, fault: Fault, prefix: &str) {
        let what = format!("{prefix}: {}", fault.what);
        match fault.place {
            Place::Nowhere => self.breach(fault.breach, None, what),
            Place::Before(size) => self.doubt(fault.breach, size, what),
        }
    }

    /// Checks the log's own checkpoints.
    fn check_checkpoints(&mut self, checkpoints: &[Note]) {
        if checkpoints.is_empty() && self.tree.size() > 0 {
            self.breach(
                Breach::Checkpoint,
                None,
                "the log has records but no checkpoints",
            );
        }
        let mut largest = 0;
        for (line, note) in (1..).zip(checkpoints) {
            match self.check_checkpoint(note) {
                // The file is out of order, not the records.
                Ok(size) if size < largest => {
                    let what =
                        format!("checkpoint {line} is of an earlier size than the one before it");
                    self.breach(Breach::Checkpoint, None, what);
                }
                Ok(size) => {
                    largest = size;
                    self.integrity.checkpoints += 1;
                    self.vouched.push(size);
                }
                Err(fault) => self.note(fault, &format!("checkpoint {line}")),
            }
        }
    }

    /// Checks one checkpoint: both signatures by the keys of its size, and the root.
    fn check_checkpoint(&self, note: &Note) -> Result<u64, Fault> {
        let bad = |what: String| Fault::nowhere(Breach::Checkpoint, what);
        let body = checkpoint::Checkpoint::parse(note.text()).map_err(|e| bad(e.to_string()))?;
        let size = body.size();
        let Some(Genesis { origin, .. }) = &self.genesis else {
            return Err(bad("there is no genesis".into()));
        };
        if !body.is_of(origin) {
            return Err(bad(format!(
                "is of another log, `{}`",
                body.origin().escape_debug()
            )));
        }
        if size > self.tree.size() {
            if Signed::open(note, &self.log_vkeys()).is_err() {
                return Err(bad("lacks a good signature of the log key".into()));
            }
            let what = format!(
                "{size} records were signed, but the log ends after {}",
                self.tree.size()
            );
            return Err(Fault::before(
                Breach::Truncated,
                self.size().saturating_add(1),
                what,
            ));
        }
        let known = self
            .vkeys_at(size)
            .ok_or_else(|| bad("no key signs at this size".into()))?;
        let both =
            Signed::open(note, &known).is_ok_and(|s| known.iter().all(|key| s.by(key.name())));
        if !both {
            return Err(bad(
                "lacks a good signature of the log key and the epoch's key".into(),
            ));
        }
        match self.seen.get(&size) {
            Some(state) if state.root == *body.root() => Ok(size),
            None => Err(unseen(size)),
            _ => Err(Fault::before(
                Breach::Checkpoint,
                size,
                format!("has another root at size {size}"),
            )),
        }
    }

    /// The two verifier keys that sign a tree of this size.
    fn vkeys_at(&self, size: u64) -> Option<[Vkey; 2]> {
        let origin = &self.genesis.as_ref()?.origin;
        let vkey = |name: &str, key: PublicKey| {
            let key = ed25519_dalek::VerifyingKey::from_bytes(&key.0).ok()?;
            Vkey::new(name, Algorithm::Ed25519, &key).ok()
        };
        let epoch = self.epoch_at(size)?;
        Some([
            vkey(origin.as_str(), self.log_key_at(size)?)?,
            vkey(&checkpoint::epoch_name(origin, epoch.number), epoch.key)?,
        ])
    }

    /// Checks the newest commit's statement.
    fn check_commit(&mut self, commit: Option<&(Commit, Fixed<64>)>) {
        let Some((commit, signature)) = commit else {
            if self.tree.size() > 0 {
                self.breach(
                    Breach::Commit,
                    None,
                    "the signature over the last commit is missing",
                );
            }
            return;
        };
        match self.check_statement(commit, signature) {
            Ok(()) => self.vouched.push(commit.size),
            Err(fault) => self.note(fault, "the last commit's statement"),
        }
    }

    fn check_statement(&self, commit: &Commit, signature: &Fixed<64>) -> Result<(), Fault> {
        let bad = |what: String| Fault::nowhere(Breach::Commit, what);
        let ours = self
            .genesis
            .as_ref()
            .is_some_and(|g| g.origin == commit.origin)
            && self.log_id == Some(commit.log_id);
        if !ours {
            return Err(Fault::nowhere(Breach::Forked, "is of another log"));
        }
        let beyond = commit.size > self.tree.size();
        match self.epoch_signing(commit) {
            Some(key) if commit.verify(&key, signature).is_ok() => {}
            Some(_) => return Err(bad("the signature does not verify".into())),
            // The key was named in a record that is no longer there: the signature cannot be checked, the lack shows.
            None if beyond && self.epochs.last().is_none_or(|e| e.number < commit.epoch) => {}
            None => {
                return Err(bad(format!(
                    "names epoch {}, which does not sign at its size",
                    commit.epoch
                )));
            }
        }
        if beyond {
            let what = format!(
                "{} records were signed, but the log ends after {}",
                commit.size,
                self.tree.size()
            );
            return Err(Fault::before(
                Breach::Truncated,
                self.size().saturating_add(1),
                what,
            ));
        }
        match self.seen.get(&commit.size) {
            None => Err(unseen(commit.size)),
            Some(state)
                if state.root == commit.root
                    && state.head.is_none_or(|head| head == commit.head) =>
            {
                match state.boots.may_end_with(commit.boot, commit.size) {
                    true => Ok(()),
                    false => Err(bad(format!(
                        "names record {} as that of the last boot, which was {}",
                        commit.boot, state.boots.last
                    ))),
                }
            }
            _ => Err(Fault::before(
                Breach::Forked,
                commit.size,
                format!("another history was signed at size {}", commit.size),
            )),
        }
    }

    /// The key that may have signed a commit: its epoch's, if the epoch signs trees of this size. Beyond the end of the log the
    /// last epoch is tried, so that a cut log still shows as cut and not as a bad signature.
    fn epoch_signing(&self, commit: &Commit) -> Option<PublicKey> {
        if commit.size <= self.tree.size() {
            return self
                .epoch_at(commit.size)
                .filter(|e| e.number == commit.epoch)
                .map(|e| e.key);
        }
        self.epochs
            .iter()
            .find(|e| e.number == commit.epoch)
            .map(|e| e.key)
    }

    /// Excuses the holes that a valid erasure names; the others are violations.
    ///
    /// An erasure is valid if a human who was enrolled when it was written signed it. Enrolment is not part of this version's
    /// verbs, so no erasure is valid yet: each hole stands.
    fn judge_holes(&mut self) {
        for (seq, slots) in std::mem::take(&mut self.holes) {
            for slot in slots {
                self.content.missing += 1;
                let what = match self.erasures.iter().any(|e| *e > seq) {
                    true => format!(
                        "{slot} of {seq} is gone; an erasure came later, but no enrolled human signed it"
                    ),
                    false => format!("{slot} of {seq} is gone, and no erasure says why"),
                };
                self.breach(Breach::Hole, Some(seq), what);
            }
        }
    }

    fn judge_identity(&mut self, trust: Option<(Fingerprint, Anchor)>) -> Authenticity {
        let Some(genesis) = &self.genesis else {
            return Authenticity::Failed;
        };
        let identity = Fingerprint::of(&genesis.identity_key);
        match trust {
            Some((trusted, _)) if trusted != identity => {
                let what = format!("the log is signed by {identity}, not by the trusted {trusted}");
                self.breach(Breach::Identity, Some(Seq(0)), what);
                Authenticity::Failed
            }
            // Anybody can name a key: it is the signature that makes the log the key's.
            _ if !self.genesis_signed => Authenticity::Failed,
            Some((_, by)) => Authenticity::Anchored { identity, by },
            None => Authenticity::SelfConsistent { identity },
        }
    }

    /// Checks the marks from outside, and takes back what they show not to be proven.
    fn check_marks(&mut self, marks: &[Mark], proven: u64) -> (Completeness, u64) {
        let mut complete = Vec::new();
        let mut forked = None;
        for mark in marks {
            let outcome = match mark {
                Mark::Checkpoint(note) => self.check_outside_checkpoint(note),
                Mark::Receipt(receipt) => self.check_outside_receipt(receipt),
            };
            match outcome {
                Ok(size) => complete.push(size),
                Err(fault) => {
                    match (fault.breach, fault.place) {
                        (_, Place::Nowhere) => {}
                        // The log's own signatures hold for what is left of it.
                        (Breach::Truncated, Place::Before(size)) => self.blame_from(proven, size),
                        (_, Place::Before(size)) => {
                            forked = Some(forked.map_or(size, |least: u64| least.min(size)));
                        }
                    }
                    self.note(fault, "a mark from outside");
                }
            }
        }
        // Whoever signed two histories could sign anything: only other marks from outside still prove something.
        let proven = match forked {
            None => proven,
            Some(size) => {
                let outside = complete.iter().copied().filter(|mark| *mark < size);
                let outside = outside.max().unwrap_or(0);
                self.blame_from(outside, size);
                proven.min(outside)
            }
        };
        let completeness = match (self.hidden, complete.into_iter().max()) {
            (0, Some(size)) => Completeness::CompleteUpTo { size },
            (0, None) => Completeness::OpenTail,
            (hidden, marked) => Completeness::Excerpt {
                shown: self.tree.size().saturating_sub(hidden),
                marked,
            },
        };
        (completeness, proven)
    }

    /// A checkpoint from outside counts if the log key signed it; the line of the epoch's key need not have been kept with it, and
    /// in a log that was restored and went on, that epoch has another key.
    fn check_outside_checkpoint(&self, note: &Note) -> Result<u64, Fault> {
        let bad = |what: String| Fault::nowhere(Breach::Checkpoint, what);
        let body = checkpoint::Checkpoint::parse(note.text()).map_err(|e| bad(e.to_string()))?;
        let size = body.size();
        let origin = self.genesis.as_ref().map(|g| &g.origin);
        if !origin.is_some_and(|origin| body.is_of(origin)) {
            return Err(Fault::nowhere(Breach::Forked, "is of another log"));
        }
        if Signed::open(note, &self.log_vkeys()).is_err() {
            return Err(bad("lacks a good signature of the log key".into()));
        }
        if size > self.tree.size() {
            let what = format!(
                "{size} records were signed, but the log ends after {}",
                self.tree.size()
            );
            return Err(Fault::before(
                Breach::Truncated,
                self.tree.size().saturating_add(1),
                what,
            ));
        }
        let in_force = self.log_key_at(size).and_then(|key| self.log_vkey(key));
        if in_force.is_none_or(|key| Signed::open(note, &[key]).is_err()) {
            let what = format!("the log key that signed it was not in force at size {size}");
            return Err(Fault::before(Breach::Forked, size, what));
        }
        match self.seen.get(&size) {
            Some(state) if state.root == *body.root() => Ok(size),
            None => Err(unseen(size)),
            _ => Err(Fault::before(
                Breach::Forked,
                size,
                format!("another history was signed at size {size}"),
            )),
        }
    }

    fn log_vkeys(&self) -> Vec<Vkey> {
        let keys = self.log_keys.iter();
        keys.filter_map(|(_, key)| self.log_vkey(*key)).collect()
    }

    fn log_vkey(&self, key: PublicKey) -> Option<Vkey> {
        let origin = &self.genesis.as_ref()?.origin;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key.0).ok()?;
        Vkey::new(origin.as_str(), Algorithm::Ed25519, &key).ok()
    }

    fn check_outside_receipt(&self, receipt: &Receipt) -> Result<u64, Fault> {
        let commit = &receipt.commit;
        self.check_statement(commit, &receipt.signature)?;
        let bad = |what: String| Fault::nowhere(Breach::Commit, what);
        let Some(key) = self.epoch_signing(commit) else {
            return Err(bad("names no epoch".into()));
        };
        // The statement holds, so it is the rest of the receipt that is bad, and no record.
        receipt
            .verify(&key)
            .map_err(|e| bad(format!("the receipt itself is bad: {e}")))?;
        // No signature covers a chain hash that is not the head's, but here the record is at hand, unless it is hidden.
        match self.seen.get(&receipt.seq.next().0) {
            None if self.hidden > 0 => Ok(commit.size),
            Some(state) if state.head.is_none_or(|head| head == receipt.chain) => Ok(commit.size),
            _ => Err(bad(
                "the receipt itself is bad: the record has another chain hash".into(),
            )),
        }
    }

    /// The root and, unless its record is hidden, the head at a size that was wanted.
    pub fn at(&self, size: u64) -> Option<(Hash, Option<Hash>)> {
        self.seen.get(&size).map(|state| (state.root, state.head))
    }
}

impl Boots {
    /// Whether this may be the last boot record before `size`.
    fn may_end_with(self, boot: Seq, size: u64) -> bool {
        boot == self.last
            || self
                .unclear
                .is_some_and(|from| from <= boot && boot.0 < size)
    }
}
