//! The one writer: takes the queue, commits, signs, answers.
//!
//! **A commit**, and why a crash between two steps is safe:
//!
//! 1. BEGIN, rows written ([`Step::Begun`], [`Step::Written`]): nothing is durable, nobody was told.
//! 2. COMMIT, one fsync ([`Step::Committed`]): durable, nobody was told. The next start finds the records behind the last durable
//!    signature, takes them over, says how many, and seals.
//! 3. Sign (origin, log id, epoch, boot, time, size, root, head) with the epoch key ([`Step::Signed`]).
//! 4. Answer ([`Step::Answered`]). The signature itself is kept with the next commit, or soon when nothing comes.
//!
//! Who wants no receipt and only the number is answered before 3, which comes then at once, and in any case before the next commit:
//! a crash in between is one before the signature is kept.
//!
//! An error in or after COMMIT poisons the writer: what is on disk is unknown, so nobody is told anything but that.
//!
//! **A seal**: the next key is made and durable ([`Step::NextKeyMade`]) → a commit whose last record is the seal that names it
//! ([`Step::SealCommitted`]) → the keys change places and the old secret is destroyed ([`Step::Promoting`]) → only then the new
//! key signs that commit ([`Step::SealSigned`]). Whatever step a crash hits, exactly one file holds the key that the log expects.
//!
//! **A seal that somebody waits for** ends the commit of the record that it is made for. The keys do not change places then: the key
//! for the epoch after the next is written over the old secret, which destroys the one and makes the other durable in one fsync.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use ed25519_dalek::SigningKey;
use tacho_schemas::body::Body;
use tacho_schemas::body::log::{Key, KeyOp, KeyRole, Seal, SealReason};
use tacho_schemas::checkpoint::Checkpoint;
use tacho_schemas::content::{MAX_ROW, Row};
use tacho_schemas::event::Event;
use tacho_schemas::note::Note;
use tacho_schemas::receipt::Commit;
use tacho_schemas::record::{Actor, ActorType, Record};
use tacho_schemas::scalar::Blob;
use tacho_schemas::sign::{self, Purpose};
use tacho_schemas::tile::Tiles;
use tacho_schemas::tree::{self, Batch};
use tacho_schemas::{Fixed, Hash, Id, Kind, Seq, Time, chain};

use super::state::{self, State};
use super::{Acknowledged, Options, Prover, SignedCommit, Step, backfill::Backfill};
use crate::checkpoints::Checkpoints;
use crate::dir::{Lock, LogDir};
use crate::draft::Draft;
use crate::error::{Error, ErrorKind, Result};
use crate::keys::KeyRing;
use crate::pack::Unpacker;
use crate::store::{Store, TileId};

type Answer = SyncSender<Result<Acknowledged>>;

/// One draft and who waits for it.
pub(super) struct Request {
    pub(super) draft: Box<Draft>,
    pub(super) answer: Option<Answer>,
}

impl Request {
    /// A draft, and where its caller waits.
    pub(super) fn of(draft: Box<Draft>, answer: Answer) -> Self {
        Self {
            draft,
            answer: Some(answer),
        }
    }

    /// A record of the recorder itself, for which nobody waits.
    pub(super) fn own(event: Event) -> Result<Self> {
        Ok(Self {
            draft: Box::new(Draft::own(event)?),
            answer: None,
        })
    }

    fn tell(&mut self, outcome: Result<Acknowledged>) {
        if let Some(answer) = self.answer.take() {
            // Who has gone away does not want to know.
            let _ = answer.send(outcome);
        }
    }
}

/// A record that is written, and whose it is: a place among the requests, or none for a seal.
struct Written {
    seq: Seq,
    leaf: Hash,
    chain: Hash,
    request: Option<usize>,
}

/// What the writer owns.
pub(super) struct Writer {
    pub(super) dir: LogDir,
    pub(super) store: Store,
    pub(super) ring: KeyRing,
    pub(super) checkpoints: Checkpoints,
    pub(super) backfill: Backfill,
    pub(super) state: State,
    pub(super) options: Options,
    pub(super) prover: Arc<Prover>,
    /// The last commit is still to be signed.
    pub(super) unsigned: bool,
    /// The last commit that was signed.
    pub(super) signed: Option<(Commit, Fixed<64>)>,
    /// Its statement is not in the database yet.
    pub(super) unkept: bool,
    pub(super) epoch_began: Instant,
    pub(super) checkpointed: Instant,
    pub(super) checkpointed_size: u64,
    /// An epoch was sealed in haste, and its checkpoint is to come.
    pub(super) checkpoint_owed: bool,
    /// Something failed at or after a commit.
    pub(super) poisoned: bool,
    /// The reserve was given up.
    pub(super) reserve_spent: bool,
    /// Declared last, so that it is let go last.
    pub(super) _lock: Lock,
}

impl Writer {
    /// Answers one caller; ends the writer if it is poisoned.
    pub(super) fn tell(&self, answer: &Answer, outcome: Result<Acknowledged>) -> Result<()> {
        let end = match &outcome {
            Err(error) if self.is_poisoned(error) => Err(copy(error)),
            _ => Ok(()),
        };
        let _ = answer.send(outcome);
        end
    }

    /// Whether an error ends the writer.
    pub(super) fn is_poisoned(&self, error: &Error) -> bool {
        self.poisoned || self.store.is_poisoned() || error.kind() == ErrorKind::Poisoned
    }

    /// Marks the writer as poisoned by an error that came after a commit.
    fn poison(&mut self, error: Error) -> Error {
        self.poisoned = true;
        error.with_kind(ErrorKind::Poisoned)
    }

    /// Commits the requests and answers each. An error is one that ends the writer.
    pub(super) fn commit(&mut self, mut requests: Vec<Request>) -> Result<()> {
        // A reference that stands twice in one batch is answered as a retry of the first.
        let mut seen = HashSet::new();
        let (mut now, later): (Vec<_>, Vec<_>) = requests
            .drain(..)
            .partition(|r| r.draft.reference_key().is_none_or(|key| seen.insert(key)));
        match self
            .answer_retries(&mut now)
            .and_then(|()| self.write(&mut now, None))
            .and_then(|written| self.sign().map(|()| written))
        {
            Ok(written) => self.answer(now, written)?,
            Err(error) => {
                let end = self.is_poisoned(&error);
                for request in &mut now {
                    request.tell(Err(copy(&error)));
                }
                if end {
                    return Err(error);
                }
            }
        }
        if later.is_empty() {
            Ok(())
        } else {
            self.commit(later)
        }
    }

    /// Answers who waits, the newest first: a caller with many records under way waits for its oldest, and wakes once, not for each.
    ///
    /// The drafts go back with the answers: memory is cheapest given back by the thread that took it.
    fn answer(
        &mut self,
        requests: Vec<Request>,
        (written, batch): (Vec<Written>, Batch),
    ) -> Result<()> {
        let shared = Arc::new(self.share(batch, None)?);
        let mut written = written.into_iter().rev().peekable();
        for (place, request) in requests.into_iter().enumerate().rev() {
            // The others were told already why they were refused.
            if let Some(record) = written.next_if(|w| w.request == Some(place))
                && let Some(answer) = request.answer
            {
                let _ = answer.send(Ok(Acknowledged {
                    seq: record.seq,
                    leaf: record.leaf,
                    chain: record.chain,
                    shared: Arc::clone(&shared),
                    spent: Some(request.draft),
                }));
            }
        }
        step(&mut self.options, Step::Answered);
        Ok(())
    }

    fn share(&mut self, batch: Batch, older_path: Option<Vec<Hash>>) -> Result<SignedCommit> {
        self.sign()?;
        let (commit, signature) = self
            .signed
            .clone()
            .ok_or_else(|| Error::new(ErrorKind::Poisoned, "nothing was signed yet"))?;
        Ok(SignedCommit {
            commit,
            signature,
            batch,
            older_path,
        })
    }

    /// Answers and takes out the requests whose reference is known: with the first receipt's record if they say the same, with
    /// an error if not.
    fn answer_retries(&mut self, requests: &mut Vec<Request>) -> Result<()> {
        if requests.iter().all(|r| r.draft.reference_key().is_none()) {
            return Ok(());
        }
        let mut fresh = Vec::with_capacity(requests.len());
        for mut request in requests.drain(..) {
            match self.find_retried(&request.draft) {
                Ok(None) => fresh.push(request),
                Ok(Some(acknowledged)) => request.tell(Ok(acknowledged)),
                Err(error) => request.tell(Err(error)),
            }
        }
        *requests = fresh;
        Ok(())
    }

    fn find_retried(&mut self, draft: &Draft) -> Result<Option<Acknowledged>> {
        let Some(key) = draft.reference_key() else {
            return Ok(None);
        };
        let snapshot = self.store.snapshot()?;
        let Some(seq) = snapshot.reference(&key)? else {
            return Ok(None);
        };
        let (bytes, record) = state::record(&snapshot, seq)?;
        let row = match snapshot.vault(seq)? {
            Some(packed) => Row::decode(&Unpacker::new()?.unpack(&packed, MAX_ROW)?)?,
            None => Row::empty(),
        };
        if !draft.says_the_same(&record, &row) {
            let what = format!("this `ref` was used for record {seq}, which says something else");
            return Err(
                Error::new(ErrorKind::Exists, what).with_hint("use a new `ref` for a new event")
            );
        }
        let size = self.state.size();
        let nodes = self.state.nodes();
        let path = tree::inclusion_proof(seq, size, |level, index| {
            nodes.node(&snapshot, level, index)
        })?;
        drop(snapshot);
        let shared = self.share(Batch::new(self.state.tree.clone()), Some(path))?;
        let chain = chain::link(&record.prev, &bytes);
        Ok(Some(Acknowledged {
            seq: Seq(seq),
            leaf: tree::leaf_hash(&bytes),
            chain,
            shared: Arc::new(shared),
            spent: None,
        }))
    }

    /// Writes the requests, and behind them a record that is signed in its place, in one transaction; commits and signs.
    ///
    /// If the disk is full and only records wait that stop or close things, the reserve is given up for them; others are refused
    /// from then on until there is room for a reserve again, lest they take what it freed.
    fn write(
        &mut self,
        requests: &mut [Request],
        last: Option<Last<'_>>,
    ) -> Result<(Vec<Written>, Batch)> {
        if requests.is_empty() && last.is_none() {
            return Ok((Vec::new(), Batch::new(self.state.tree.clone())));
        }
        let all_must_fit = requests.iter().all(|r| must_fit(r.draft.kind()));
        let must_fit = match &last {
            Some(Last::Seal(reason) | Last::QuickSeal(reason)) => {
                *reason != SealReason::Cadence && all_must_fit
            }
            Some(Last::Key(..)) => false,
            None => all_must_fit,
        };
        if self.reserve_spent && !must_fit {
            self.dir.restore_reserve()?;
            self.reserve_spent = false;
        }
        match self.try_write(requests, last.as_ref()) {
            Err(error)
                if must_fit && error.kind() == ErrorKind::Full && !self.is_poisoned(&error) =>
            {
                self.reserve_spent = true;
                self.dir.release_reserve()?;
                self.try_write(requests, last.as_ref())
            }
            other => other,
        }
    }

    fn try_write(
        &mut self,
        requests: &mut [Request],
        last: Option<&Last<'_>>,
    ) -> Result<(Vec<Written>, Batch)> {
        self.sign()?;
        let time = Time(self.options.clock.wall_ns());
        let mono = self.options.clock.boottime_ns();
        let next_key = match last {
            Some(Last::Seal(_) | Last::QuickSeal(_)) => {
                let key = self.ring.make_next()?;
                step(&mut self.options, Step::NextKeyMade);
                Some(Fixed(key.to_bytes()))
            }
            _ => None,
        };
        let mut open = Transaction {
            batch: self.store.batch()?,
            tree: Batch::new(self.state.tree.clone()),
            tiles: self.state.tiles.clone(),
            head: self.state.head,
            boot: self.state.boot,
            written: Vec::with_capacity(requests.len() + 1),
        };
        step(&mut self.options, Step::Begun);
        if let (true, Some((commit, signature))) = (self.unkept, &self.signed) {
            open.batch.commit_row(&commit.encode()?, &signature.0)?;
        }
        for (place, request) in requests.iter_mut().enumerate() {
            if request.draft.expected.is_some_and(|seq| seq != open.seq()) {
                request.tell(Err(Error::new(
                    ErrorKind::Busy,
                    "another record came between two that belong together",
                )));
                continue;
            }
            let record = request.draft.place(open.seq(), open.head, time, mono);
            let bytes = match record.encode() {
                Ok(bytes) => bytes,
                Err(error) => {
                    request.tell(Err(error.into()));
                    continue;
                }
            };
            let seq = record.seq.0;
            open.put(record, &bytes, Some(place))?;
            if let Some(row) = &request.draft.row {
                open.batch.vault(seq, &row.packed)?;
            }
            for file in &request.draft.files {
                open.batch.artefact(&file.blake3, file.size, &file.packed)?;
            }
            if let Some(key) = request.draft.reference_key() {
                open.batch.reference(&key, seq)?;
            }
        }
        if let Some(last) = last {
            let (purpose, key) = last.signer(&self.ring)?;
            let body = match last {
                Last::Key(body, _) => body.clone().into(),
                Last::Seal(reason) | Last::QuickSeal(reason) => Body::from(Seal {
                    epoch: self.state.epoch,
                    first: self.state.epoch_first,
                    root: open.tree.frontier().root(),
                    next_key: next_key.unwrap_or(Fixed([0; 32])),
                    reason: *reason,
                    signature: None,
                }),
            };
            let mut draft = Draft::own(Event::new(recorder()?, body))?;
            let record = draft.place(open.seq(), open.head, time, mono);
            record
                .body
                .set_signature(Some(sign::sign(key, purpose, &record.encode_unsigned()?)));
            open.put(record, &record.encode()?, None)?;
        }
        if open.written.is_empty() {
            // Each request was refused: nothing to make durable.
            drop(open);
            return Ok((Vec::new(), Batch::new(self.state.tree.clone())));
        }
        step(&mut self.options, Step::Written);
        let Durable {
            tree,
            tiles,
            head,
            boot,
            written,
        } = open.commit()?;
        step(&mut self.options, Step::Committed);
        self.unkept = false;
        self.state.tree = tree.frontier().clone();
        (self.state.tiles, self.state.head, self.state.boot) = (tiles, head, boot);
        self.unsigned = true;
        if let Some(next_key) = next_key {
            step(&mut self.options, Step::SealCommitted);
            let quick = matches!(last, Some(Last::QuickSeal(_)));
            self.begin_epoch(next_key, quick)
                .map_err(|e| self.poison(e))?;
        }
        Ok((written, tree))
    }

    /// After a durable seal: the keys change places, and the next epoch begins.
    fn begin_epoch(&mut self, key: Fixed<32>, quick: bool) -> Result<()> {
        let options = &mut self.options;
        let mut promoted = |promoted| {
            step(options, Step::Promoting(promoted));
            Ok(())
        };
        match quick {
            true => self.ring.replace_with_next(&mut promoted)?,
            false => self.ring.promote_next(&mut promoted)?,
        }
        self.state.epoch = self.state.epoch.saturating_add(1);
        self.state.epoch_key = key;
        self.state.epoch_first = Seq(self.state.size());
        self.epoch_began = Instant::now();
        Ok(())
    }

    /// Signs the state of the log as it is durable now, if that was not done yet. It must not fail any more.
    pub(super) fn sign(&mut self) -> Result<()> {
        if !self.unsigned {
            return Ok(());
        }
        match self.signature() {
            Ok(signed) => self.signed = Some(signed),
            Err(error) => return Err(self.poison(error)),
        }
        (self.unsigned, self.unkept) = (false, true);
        step(&mut self.options, Step::Signed);
        Ok(())
    }

    fn signature(&self) -> Result<(Commit, Fixed<64>)> {
        let commit = Commit {
            time: Time(self.options.clock.wall_ns()),
            origin: self.state.origin.clone(),
            size: self.state.size(),
            root: self.state.tree.root(),
            epoch: self.state.epoch,
            log_id: self.state.log_id,
            boot: self.state.boot.unwrap_or_default(),
            head: self.state.head,
        };
        let signature = sign::sign(self.ring.epoch()?, Purpose::Commit, &commit.encode()?);
        Ok((commit, signature))
    }

    /// Commits one record, with the seal of its epoch behind it if there shall be one, and signs.
    pub(super) fn commit_one(
        &mut self,
        draft: Box<Draft>,
        seal: Option<SealReason>,
    ) -> Result<Acknowledged> {
        if let Some(acknowledged) = self.find_retried(&draft)? {
            return Ok(acknowledged);
        }
        let (record, batch, spent) = self.write_one(draft, seal)?;
        let shared = Arc::new(self.share(batch, None)?);
        step(&mut self.options, Step::Answered);
        Ok(Acknowledged {
            seq: record.seq,
            leaf: record.leaf,
            chain: record.chain,
            shared,
            spent,
        })
    }

    /// The same for who wants the number alone: the signature is left to [`Self::sign`].
    pub(super) fn commit_number(
        &mut self,
        draft: Box<Draft>,
        seal: Option<SealReason>,
    ) -> Result<Seq> {
        if let Some(acknowledged) = self.find_retried(&draft)? {
            return Ok(acknowledged.seq);
        }
        let (record, ..) = self.write_one(draft, seal)?;
        step(&mut self.options, Step::Answered);
        Ok(record.seq)
    }

    /// Writes one record and perhaps the seal of its epoch. The checkpoint follows when nobody waits: the seal does not need it.
    fn write_one(
        &mut self,
        draft: Box<Draft>,
        seal: Option<SealReason>,
    ) -> Result<(Written, Batch, Option<Box<Draft>>)> {
        let (answer, outcome) = std::sync::mpsc::sync_channel(1);
        let mut requests = vec![Request::of(draft, answer)];
        let (written, batch) = self.write(&mut requests, seal.map(Last::QuickSeal))?;
        if seal.is_some() {
            self.sign()?;
            step(&mut self.options, Step::SealSigned);
            self.checkpoint_owed = true;
        }
        let spent = requests.pop().map(|request| request.draft);
        match written.into_iter().find(|w| w.request == Some(0)) {
            Some(record) => Ok((record, batch, spent)),
            // It was refused alone, and told why; the epoch is sealed all the same.
            None => Err(outcome
                .try_recv()
                .ok()
                .and_then(Result::err)
                .unwrap_or_else(|| Error::new(ErrorKind::Poisoned, "the record was not written"))),
        }
    }

    /// Ends the epoch, and makes a checkpoint of what is sealed.
    pub(super) fn seal(&mut self, reason: SealReason) -> Result<Acknowledged> {
        let acknowledged = self
            .write(&mut [], Some(Last::Seal(reason)))
            .and_then(|w| self.last_of(w))?;
        step(&mut self.options, Step::SealSigned);
        self.checkpoint()?;
        Ok(acknowledged)
    }

    /// Writes somebody's key down, signed by the identity key.
    pub(super) fn enrol(&mut self, key: Key, identity: &SigningKey) -> Result<Acknowledged> {
        self.check_identity(identity)?;
        self.write(&mut [], Some(Last::Key(key, identity)))
            .and_then(|w| self.last_of(w))
    }

    fn check_identity(&self, identity: &SigningKey) -> Result<()> {
        match identity.verifying_key().to_bytes() == self.state.identity.0 {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Refused,
                "this identity key is not the one that answers for the log",
            )),
        }
    }

    /// Replaces the log key: the new one is durable → the identity key's word for it is committed → the files change places.
    pub(super) fn rotate_log_key(&mut self, identity: &SigningKey) -> Result<Acknowledged> {
        self.check_identity(identity)?;
        let public = self.ring.make_next_log()?;
        let body = Key {
            signature: None,
            epoch: None,
            op: KeyOp::Rotate,
            role: KeyRole::Log,
            public_key: Blob::new(public.to_bytes().to_vec())?,
            holder: None,
            groups: None,
            assurance: None,
            consumes: None,
        };
        let acknowledged = self
            .write(&mut [], Some(Last::Key(body, identity)))
            .and_then(|w| self.last_of(w))?;
        if let Err(error) = self.ring.promote_log() {
            return Err(self.poison(error));
        }
        self.state.log_key = Fixed(public.to_bytes());
        *self.prover.key() = self.ring.log().clone();
        self.checkpoint()?;
        Ok(acknowledged)
    }

    /// The acknowledgement of the last record of a commit.
    fn last_of(&mut self, (written, batch): (Vec<Written>, Batch)) -> Result<Acknowledged> {
        let shared = Arc::new(self.share(batch, None)?);
        match written.last() {
            Some(Written {
                seq, leaf, chain, ..
            }) => Ok(Acknowledged {
                seq: *seq,
                leaf: *leaf,
                chain: *chain,
                shared,
                spent: None,
            }),
            None => Err(Error::new(
                ErrorKind::Poisoned,
                "the record was not written",
            )),
        }
    }

    /// Signs a checkpoint of what is durable and appends it to the file.
    pub(super) fn checkpoint(&mut self) -> Result<()> {
        let size = self.state.size();
        let text =
            Checkpoint::new(self.state.origin.as_str(), size, self.state.tree.root())?.to_string();
        let mut note = Note::sign(&text, self.state.origin.as_str(), self.ring.log())?;
        note.add_signature(&self.state.epoch_name(), self.ring.epoch()?)?;
        step(&mut self.options, Step::CheckpointSigned);
        self.checkpointed = Instant::now();
        match self.checkpoints.append(note) {
            Ok(()) => (self.checkpointed_size, self.checkpoint_owed) = (size, false),
            // Not fatal: the log goes on without, and the next one is due soon.
            Err(error) if error.kind() == ErrorKind::Full => return Ok(()),
            Err(error) => return Err(self.poison(error)),
        }
        step(&mut self.options, Step::CheckpointKept);
        Ok(())
    }

    fn is_seal_due(&self) -> bool {
        let in_epoch = self.state.size().saturating_sub(self.state.epoch_first.0);
        let aged = in_epoch > 1 && self.epoch_began.elapsed() >= self.options.epoch_time;
        in_epoch >= self.options.epoch_records || aged
    }

    fn is_checkpoint_due(&self) -> bool {
        self.checkpointed_size < self.state.size()
            && self.checkpointed.elapsed() >= self.options.checkpoint_every
    }

    /// Whether it is time for anything of [`Self::keep_cadence`].
    pub(super) fn is_due(&self) -> bool {
        self.is_seal_due() || self.is_checkpoint_due() || Backfill::is_due(&self.store)
    }

    /// Seals, makes a checkpoint, moves the WAL, if it is time.
    pub(super) fn keep_cadence(&mut self) -> Result<()> {
        let due = if self.is_seal_due() {
            self.seal(SealReason::Cadence).map(drop)
        } else if self.is_checkpoint_due() {
            self.checkpoint()
        } else {
            Ok(())
        };
        match due {
            Err(error) if self.is_poisoned(&error) => return Err(error),
            // A full or busy disk: what waits is told when it comes, and this is tried again.
            _ => {}
        }
        self.backfill.keep_small(&mut self.store)
    }

    /// What is done when nothing has come for a while.
    pub(super) fn rest(&mut self) -> Result<()> {
        self.keep_statement()?;
        match self.checkpoint_owed {
            true => self.checkpoint(),
            false => Ok(()),
        }
    }

    /// Keeps the last commit's statement, so that a crash leaves no unsigned tail.
    pub(super) fn keep_statement(&mut self) -> Result<()> {
        self.sign()?;
        if !self.unkept {
            return Ok(());
        }
        match self.try_keep_statement() {
            Ok(()) => self.unkept = false,
            Err(error) if self.is_poisoned(&error) => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    fn try_keep_statement(&mut self) -> Result<()> {
        let Some((commit, signature)) = &self.signed else {
            return Ok(());
        };
        let mut batch = self.store.batch()?;
        batch.commit_row(&commit.encode()?, &signature.0)?;
        batch.commit()
    }

    /// Stops cleanly: seal, checkpoint, the last statement kept, the WAL emptied.
    pub(super) fn stop(mut self) -> Result<()> {
        self.seal(SealReason::Stop)?;
        self.try_keep_statement()?;
        self.backfill.end();
        match self.store.wal_truncate() {
            // A reader is at work, or the database has no room to grow; what is in the WAL is durable all the same.
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::Full) => {}
            other => other?,
        }
        step(&mut self.options, Step::Stopped);
        Ok(())
    }
}

/// A record that ends a commit and is signed where its number and links are known.
enum Last<'a> {
    /// A key record, by the identity key.
    Key(Key, &'a SigningKey),
    /// A seal, by the epoch key that it retires.
    Seal(SealReason),
    /// The same where somebody waits: [`KeyRing::replace_with_next`].
    QuickSeal(SealReason),
}

impl<'a> Last<'a> {
    fn signer(&self, ring: &'a KeyRing) -> Result<(Purpose, &'a SigningKey)> {
        match self {
            Self::Key(_, identity) => Ok((Purpose::Key, identity)),
            Self::Seal(_) | Self::QuickSeal(_) => Ok((Purpose::Seal, ring.epoch()?)),
        }
    }
}

/// The rows of one commit while they are written.
struct Transaction<'store> {
    batch: crate::store::Batch<'store>,
    tree: Batch,
    tiles: Tiles,
    head: Hash,
    boot: Option<Seq>,
    written: Vec<Written>,
}

/// What a commit left.
struct Durable {
    tree: Batch,
    tiles: Tiles,
    head: Hash,
    boot: Option<Seq>,
    written: Vec<Written>,
}

impl Transaction<'_> {
    fn commit(self) -> Result<Durable> {
        let Self {
            batch,
            tree,
            tiles,
            head,
            boot,
            written,
        } = self;
        batch.commit()?;
        Ok(Durable {
            tree,
            tiles,
            head,
            boot,
            written,
        })
    }

    /// The number of the next record.
    fn seq(&self) -> Seq {
        Seq(self.tree.frontier().size())
    }

    /// Writes a record that was placed at [`Self::seq`] behind [`Self::head`](Transaction).
    fn put(&mut self, record: &Record, bytes: &[u8], request: Option<usize>) -> Result<()> {
        let leaf = tree::leaf_hash(bytes);
        self.batch.record(record.seq.0, bytes)?;
        self.tree.push(leaf)?;
        for tile in self.tiles.push(leaf)? {
            self.batch.tile(
                TileId::new(tile.tile().level(), tile.tile().index())?,
                &tile.to_bytes(),
            )?;
        }
        self.head = chain::link(&self.head, bytes);
        if record.kind == Kind::Boot {
            self.boot = Some(record.seq);
        }
        self.written.push(Written {
            seq: record.seq,
            leaf,
            chain: self.head,
            request,
        });
        Ok(())
    }
}

/// Calls the tests' hook.
pub(super) fn step(options: &mut Options, step: Step) {
    if let Some(hook) = &mut options.testing_only_step {
        hook(step);
    }
}

/// The records that must still fit on a full disk: those that stop and close things.
fn must_fit(kind: Kind) -> bool {
    matches!(kind, Kind::Boot | Kind::Gap | Kind::Kill | Kind::Alarm)
}

/// The recorder as an actor.
pub(super) fn recorder() -> Result<Actor> {
    Ok(Actor {
        actor_type: ActorType::System,
        id: Id::new("tacho")?,
        model: None,
        on_behalf_of: None,
    })
}

/// The same error for the next who waited.
pub(super) fn copy(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.to_string());
    match error.hint() {
        Some(hint) => copy.with_hint(hint),
        None => copy,
    }
}
