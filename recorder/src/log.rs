//! The log: one writer owns the database, callers wait for receipts.
//!
//! ```text
//! caller: Event ─▶ Draft ─▶ queue ─▶ writer: number, link, leaf ─▶ BEGIN … COMMIT (one fsync) ─▶ sign ─▶ Receipt
//! ```
//!
//! The writer works on a thread of its own, or, for a caller who is alone and waits, on that caller's thread (`desk`).
//! A receipt is given only after the COMMIT, and one fsync serves all that waited. The order of a crash-safe commit and of a
//! seal is written above the code that relies on it (`writer`), and a test kills the process at each [`Step`].

mod backfill;
mod desk;
mod start;
pub(crate) mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use tacho_schemas::body::log::{Key, KeyRole, Predecessor, SealReason};
use tacho_schemas::event::Event;
use tacho_schemas::receipt::{Commit, Receipt};
use tacho_schemas::scalar::List;
use tacho_schemas::sign::{self, PublicKey, Purpose};
use tacho_schemas::tree::Batch;
use tacho_schemas::{Fixed, Hash, LogId, Origin, Seq};

use crate::clock::Clock;
use crate::draft::{Draft, Way};
use crate::error::{Error, ErrorKind, Result};
use crate::keys::ring::{PromoteStep, Recovered};
use crate::pack::Effort;
use crate::redact::Redactor;
use desk::{Desk, Here};
use writer::Writer;

/// How many drafts may wait for the writer; more make callers wait.
const QUEUE: usize = 8192;

/// A point of the writer that has just been passed. Tests end the process at each.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Step {
    /// A transaction has begun.
    Begun,
    /// All rows of it are written, none is durable.
    Written,
    /// It is durable; nobody knows yet.
    Committed,
    /// Its statement is signed.
    Signed,
    /// All who waited have their receipts, or the number alone: then [`Step::Signed`] comes behind it.
    Answered,
    /// The next epoch's key is durable.
    NextKeyMade,
    /// The seal is durable; the old key still exists.
    SealCommitted,
    /// The keys are changing places.
    Promoting(PromoteStep),
    /// The new key has signed the commit that ends with the seal.
    SealSigned,
    /// A checkpoint is signed, and not yet in the file.
    CheckpointSigned,
    /// It is in the file.
    CheckpointKept,
    /// The statement of the last commit is kept, the WAL is empty.
    Stopped,
}

impl Step {
    /// All steps, for tests.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::Begun,
            Self::Written,
            Self::Committed,
            Self::Signed,
            Self::Answered,
            Self::NextKeyMade,
            Self::SealCommitted,
        ];
        all.extend(PromoteStep::ALL.map(Self::Promoting));
        all.extend([
            Self::SealSigned,
            Self::CheckpointSigned,
            Self::CheckpointKept,
            Self::Stopped,
        ]);
        all
    }
}

/// What tests hook into the writer; does nothing unless set.
pub type TestingOnlyStep = Box<dyn FnMut(Step) + Send>;

/// How a log is written.
pub struct Options {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// A human accepts that records in a damaged WAL are lost.
    pub accept_loss: bool,
    /// An epoch ends after so many records.
    pub epoch_records: u64,
    /// An epoch ends after so long.
    pub epoch_time: Duration,
    /// A checkpoint is made so often, if there is something new.
    pub checkpoint_every: Duration,
    /// The recorder's version, for boot records.
    pub software: String,
    /// Called at each step, so that tests can end the process there.
    pub testing_only_step: Option<TestingOnlyStep>,
}

impl Options {
    /// The usual settings.
    pub fn new(clock: Arc<dyn Clock>, software: impl Into<String>) -> Self {
        Self {
            clock,
            accept_loss: false,
            epoch_records: 65_536,
            epoch_time: Duration::from_secs(3600),
            checkpoint_every: Duration::from_secs(60),
            software: software.into(),
            testing_only_step: None,
        }
    }

    /// The same, for an import: epochs end only when the importer says so, since its records name each other by number.
    #[must_use]
    pub fn for_import(mut self) -> Self {
        self.epoch_records = u64::MAX;
        self.epoch_time = Duration::MAX;
        self
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("clock", &self.clock)
            .field("accept_loss", &self.accept_loss)
            .field("epoch_records", &self.epoch_records)
            .field("epoch_time", &self.epoch_time)
            .field("checkpoint_every", &self.checkpoint_every)
            .field("software", &self.software)
            .finish_non_exhaustive()
    }
}

/// What a new log is made of.
#[derive(Debug)]
pub struct Beginning<'a> {
    /// Where.
    pub path: &'a Path,
    /// Its name.
    pub origin: Origin,
    /// The key that answers for it; signs the genesis and is not kept.
    pub identity: &'a SigningKey,
    /// The log that it continues.
    pub predecessor: Option<Predecessor>,
}

/// What opening a log found and put right, for the one who opened it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Opening {
    /// The last stop was not clean.
    pub unclean: bool,
    /// Records that lay after the last durable signature and were taken over.
    pub recovered: u64,
    /// Interrupted key changes that were ended.
    pub keys: Vec<Recovered>,
    /// Why no space could be reserved, if it could not.
    pub no_reserve: Option<String>,
}

/// A log that is open for writing.
#[derive(Debug)]
pub struct Log {
    queue: SyncSender<Message>,
    desk: Arc<Desk>,
    thread: Option<JoinHandle<Result<()>>>,
    path: PathBuf,
    origin: Origin,
    log_id: LogId,
    identity: PublicKey,
    opening: Opening,
    redactor: Arc<Redactor>,
    prover: Arc<Prover>,
}

/// The log key, for answers that prove whose they are; the writer replaces it when the key is.
struct Prover(Mutex<SigningKey>);

impl Prover {
    fn new(key: &SigningKey) -> Arc<Self> {
        Arc::new(Self(Mutex::new(key.clone())))
    }

    fn key(&self) -> MutexGuard<'_, SigningKey> {
        // A key is replaced whole, so that a thread that ended meanwhile left a good one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Prover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prover")
    }
}

/// What the writer is asked for.
enum Message {
    /// To append.
    Append(Box<Draft>, SyncSender<Result<Acknowledged>>),
    /// To write a person's or another machine's key down, by leave of the identity key.
    Enrol(Box<Key>, Box<SigningKey>, SyncSender<Result<Acknowledged>>),
    /// To append, and to end the epoch in the same commit.
    AppendAndSeal(Box<Draft>, SealReason, SyncSender<Result<Acknowledged>>),
    /// To end the epoch.
    Seal(SealReason, SyncSender<Result<Acknowledged>>),
    /// To replace the log key, by leave of the identity key.
    RotateLogKey(Box<SigningKey>, SyncSender<Result<Acknowledged>>),
    /// To look whether a seal or a checkpoint is due.
    Tend,
    /// To stop cleanly.
    Stop,
}

/// A durable record; the proof is made by whoever wants the receipt, not by the writer.
struct Acknowledged {
    seq: Seq,
    leaf: Hash,
    chain: Hash,
    shared: Arc<SignedCommit>,
    /// The draft, given back to be let go by who made it.
    #[allow(dead_code, reason = "it is only dropped")]
    spent: Option<Box<Draft>>,
}

/// What all records of one commit share.
struct SignedCommit {
    commit: Commit,
    signature: Fixed<64>,
    batch: Batch,
    /// The inclusion proof of a record older than the batch, for retries.
    older_path: Option<Vec<Hash>>,
}

impl Acknowledged {
    fn into_receipt(self) -> Result<Receipt> {
        let path = match &self.shared.older_path {
            Some(path) => path.clone(),
            None => self.shared.batch.path(self.seq.0)?,
        };
        Ok(Receipt {
            seq: self.seq,
            signature: self.shared.signature,
            commit: self.shared.commit.clone(),
            leaf: self.leaf,
            chain: self.chain,
            path: List::some(path)?,
        })
    }
}

/// A draft on its way: wait for its receipt.
#[derive(Debug)]
pub struct Pending(Receiver<Result<Acknowledged>>);

impl Pending {
    /// Waits until the record is durable.
    pub fn wait(self) -> Result<Receipt> {
        match self.0.recv() {
            Ok(answer) => answer?.into_receipt(),
            Err(_) => Err(stopped()),
        }
    }
}

impl Pending {
    /// Waits until the record is durable, and gives its number alone: no proof is made.
    pub(crate) fn number(self) -> Result<Seq> {
        match self.0.recv() {
            Ok(answer) => answer.map(|acknowledged| acknowledged.seq),
            Err(_) => Err(stopped()),
        }
    }
}

impl std::fmt::Debug for Acknowledged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Acknowledged({})", self.seq)
    }
}

/// The actor of the recorder's own records.
pub(crate) fn recorder_actor() -> Result<tacho_schemas::record::Actor> {
    writer::recorder()
}

fn stopped() -> Error {
    Error::new(ErrorKind::Poisoned, "the writer has stopped")
        .with_hint("open the log again: it shows what is durable")
}

impl Log {
    /// Makes a new log and opens it.
    pub fn create(beginning: Beginning<'_>, options: Options) -> Result<Self> {
        start::create(beginning, options).map(Self::run)?
    }

    /// Opens a log for writing: checks it from the last checkpoint on, and records the start.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        start::open(path, options).map(Self::run)?
    }

    /// Ends an epoch whose key is lost, by leave of the identity key; the log must not be open. The break stays visible for ever.
    pub fn break_epoch(path: &Path, identity: &SigningKey, options: &Options) -> Result<Seq> {
        start::break_epoch(path, identity, options)
    }

    fn run(started: start::Started) -> Result<Self> {
        let (queue, messages) = mpsc::sync_channel(QUEUE);
        let start::Started {
            writer,
            path,
            origin,
            log_id,
            identity,
            opening,
            redactor,
        } = started;
        let prover = Arc::clone(&writer.prover);
        let desk = Arc::new(Desk::new(writer));
        let served = Arc::clone(&desk);
        let thread = std::thread::Builder::new()
            .name("tacho-writer".to_owned())
            .spawn(move || served.serve(&messages))
            .map_err(|e| Error::new(ErrorKind::Io, "cannot start the writer").with_source(e))?;
        Ok(Self {
            queue,
            desk,
            thread: Some(thread),
            path,
            origin,
            log_id,
            identity,
            opening,
            redactor,
            prover,
        })
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log's name.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The log.
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// The key that answers for the log.
    pub fn identity(&self) -> &PublicKey {
        &self.identity
    }

    /// What opening it found.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Appends an event and waits until it is durable.
    pub fn append(&self, event: Event, way: Way) -> Result<Receipt> {
        self.write(self.draft(event, way)?)
    }

    /// Writes a draft and waits until it is durable: sooner than [`Self::submit`] and [`Pending::wait`] if nobody else writes.
    ///
    /// What this caller submitted before gets its number before.
    pub fn write(&self, draft: Draft) -> Result<Receipt> {
        let commit = |writer: &mut Writer, draft| writer.commit_one(draft, None);
        match self.desk.commit_here(Box::new(draft), commit) {
            Here::Queue(draft) => self.queue(draft, None)?.wait(),
            Here::Done(outcome, tend) => {
                self.tend(tend);
                outcome?.into_receipt()
            }
        }
    }

    fn queue(&self, draft: Box<Draft>, seal: Option<SealReason>) -> Result<Pending> {
        self.ask(|answer| match seal {
            None => Message::Append(draft, answer),
            Some(reason) => Message::AppendAndSeal(draft, reason, answer),
        })
    }

    /// Wakes the writer's thread, if there is something to look after.
    fn tend(&self, is_due: bool) {
        if is_due {
            // A full queue has the thread's attention anyway.
            let _ = self.queue.try_send(Message::Tend);
        }
    }

    /// Makes an event ready: takes out secrets, those that this log's settings add included, and commits to the rest.
    pub fn draft(&self, event: Event, way: Way) -> Result<Draft> {
        let effort = match self.desk.is_behind() {
            true => Effort::Hasty,
            false => Effort::Usual,
        };
        Draft::new(event, way, &self.redactor, effort)
    }

    /// Hands a draft to the writer; waits only if the queue is full.
    pub fn submit(&self, draft: Draft) -> Result<Pending> {
        self.desk.give_way();
        self.queue(Box::new(draft), None)
    }

    /// Hands a draft to the writer, who ends the epoch behind it in the same commit: once the record is durable, what stands before it
    /// can no longer be changed.
    pub fn submit_and_seal(&self, draft: Draft, reason: SealReason) -> Result<Pending> {
        self.queue(Box::new(draft), Some(reason))
    }

    /// As [`Self::write`] or, with a seal, as [`Self::submit_and_seal`], for who needs the number alone: it comes as soon as the record
    /// is durable, and [`Self::settle`] is to follow when nobody waits.
    pub(crate) fn write_number(&self, draft: Draft, seal: Option<SealReason>) -> Result<Seq> {
        let commit = |writer: &mut Writer, draft| writer.commit_number(draft, seal);
        match self.desk.commit_here(Box::new(draft), commit) {
            Here::Queue(draft) => self.queue(draft, seal)?.number(),
            Here::Done(outcome, tend) => {
                self.tend(tend);
                outcome
            }
        }
    }

    /// Signs the last commit, if [`Self::write_number`] left that to do. It is done without this before the next commit, or soon.
    pub(crate) fn settle(&self) {
        self.desk.settle();
    }

    /// Ends the epoch: what is written from here on cannot change what was written before.
    pub fn seal(&self, reason: SealReason) -> Result<Receipt> {
        self.ask(|answer| Message::Seal(reason, answer))?.wait()
    }

    /// Replaces the key that signs checkpoints, by leave of the identity key.
    pub fn rotate_log_key(&self, identity: &SigningKey) -> Result<Receipt> {
        self.ask(|answer| Message::RotateLogKey(Box::new(identity.clone()), answer))?
            .wait()
    }

    /// Writes a key of a person, a witness or a watchdog down, by leave of the identity key: its signature is made in the record's
    /// place.
    pub fn enrol(&self, key: Key, identity: &SigningKey) -> Result<Receipt> {
        if matches!(key.role, KeyRole::Epoch | KeyRole::Log) {
            return Err(Error::new(
                ErrorKind::Usage,
                "the log's own keys are not enrolled",
            ));
        }
        self.ask(|answer| Message::Enrol(Box::new(key), Box::new(identity.clone()), answer))?
            .wait()
    }

    /// Proves an answer: signs it with the log key. Returns the key and the signature.
    pub fn prove(&self, answer: &[u8]) -> (PublicKey, Fixed<64>) {
        let key = self.prover.key();
        (
            Fixed(key.verifying_key().to_bytes()),
            sign::sign(&key, Purpose::Answer, answer),
        )
    }

    fn ask(
        &self,
        message: impl FnOnce(SyncSender<Result<Acknowledged>>) -> Message,
    ) -> Result<Pending> {
        let (answer, pending) = mpsc::sync_channel(1);
        self.desk.announce();
        self.queue.send(message(answer)).map_err(|_| stopped())?;
        Ok(Pending(pending))
    }

    /// Stops cleanly: everything that was handed over is durable, the epoch is sealed, a checkpoint is made, the WAL is empty.
    pub fn close(mut self) -> Result<()> {
        self.stop()
    }

    fn stop(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        // A writer that has stopped by itself left its reason in the thread's result.
        self.desk.announce();
        let _ = self.queue.send(Message::Stop);
        match thread.join() {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                ErrorKind::Poisoned,
                "the writer ended without a word",
            )),
        }
    }
}

impl Drop for Log {
    /// Stops cleanly; use [`Log::close`] to hear of errors.
    fn drop(&mut self) {
        let _ = self.stop();
    }
}
