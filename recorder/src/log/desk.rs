//! Where the one writer works: for the queue on a thread of its own, or for a caller who is alone on that caller's thread.
//!
//! Handing a record to another thread and being woken again costs about as much as a third of the fsync between. Who is alone
//! need not pay that: it sits down at the desk itself. As soon as more than one record waits, the queue gathers them, and one fsync
//! serves them all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::writer::{Request, Writer, copy};
use super::{Message, stopped};
use crate::draft::Draft;
use crate::error::{Error, ErrorKind, Result};

/// At most so many records in one commit.
const BATCH_RECORDS: usize = 1024;

/// At most about so many bytes in one commit.
const BATCH_BYTES: usize = 1 << 20;

/// So many records wait when the writer is behind.
const BEHIND: usize = 512;

/// And so many are handed over between two times that it is let go first.
const STRIDE: usize = 16;

/// When nothing comes, the last commit's signature is kept after so long.
const IDLE: Duration = Duration::from_millis(500);

/// The desk: who holds the lock writes.
pub(super) struct Desk {
    seat: Mutex<Seat>,
    /// Messages in the queue that nobody has begun with. Who finds none overtakes nobody.
    waiting: AtomicUsize,
    /// The last commit was of one record.
    alone: AtomicBool,
}

enum Seat {
    Working(Box<Writer>),
    /// The writer has stopped; the reason, if it was an error and nobody took it yet.
    Ended(Option<Error>),
}

/// What came of trying to commit on the caller's thread.
pub(super) enum Here<T> {
    /// It was tried: the answer, and whether the writer's thread is to look after the log.
    Done(Result<T>, bool),
    /// Others wait.
    Queue(Box<Draft>),
}

impl Desk {
    pub(super) fn new(writer: Writer) -> Self {
        Self {
            seat: Mutex::new(Seat::Working(Box::new(writer))),
            waiting: AtomicUsize::new(0),
            alone: AtomicBool::new(true),
        }
    }

    /// Called before a message is sent that asks for something.
    pub(super) fn announce(&self) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
    }

    /// Lets the writer go first where it is behind.
    ///
    /// Callers who are quicker than the writer, on the same cores, would else have done all their work before it comes to the fsync,
    /// and nobody has anything to do in that time. Costs a system call now and then where cores are free.
    pub(super) fn give_way(&self) {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting >= BEHIND && waiting.is_multiple_of(STRIDE) {
            std::thread::yield_now();
        }
    }

    /// Whether more comes than the writer can take.
    pub(super) fn is_behind(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= BEHIND
    }

    /// Lets a caller commit a draft now, on its own thread, if nobody else waits.
    pub(super) fn commit_here<T>(
        &self,
        draft: Box<Draft>,
        commit: impl FnOnce(&mut Writer, Box<Draft>) -> Result<T>,
    ) -> Here<T> {
        let is_free = || self.waiting.load(Ordering::Acquire) == 0;
        if !self.alone.load(Ordering::Relaxed) || !is_free() {
            return Here::Queue(draft);
        }
        let Ok(mut seat) = self.seat.try_lock() else {
            return Here::Queue(draft);
        };
        // INVARIANT: the thread takes a message off the count with the lock held, so none that came before is in its hands.
        if !is_free() {
            return Here::Queue(draft);
        }
        let outcome = seat.work(|writer| commit(writer, draft));
        let tend = match &*seat {
            Seat::Working(writer) => writer.is_due(),
            Seat::Ended(_) => true,
        };
        Here::Done(outcome, tend)
    }

    /// Signs what was committed for the number alone, unless somebody is at work: who commits signs first what is owed.
    pub(super) fn settle(&self) {
        if let Ok(mut seat) = self.seat.try_lock() {
            // An error ends the writer; who asks it next is told.
            let _ = seat.work(Writer::sign);
        }
    }

    /// Serves the queue until told to stop, or until an error ends the writer.
    pub(super) fn serve(&self, messages: &Receiver<Message>) -> Result<()> {
        loop {
            let first = messages.recv_timeout(IDLE);
            let mut seat = self.lock()?;
            let outcome = match &mut *seat {
                Seat::Ended(reason) => return reason.take().map_or(Ok(()), Err),
                Seat::Working(writer) => match first {
                    Ok(message) => self.take_up(writer, message, messages),
                    Err(RecvTimeoutError::Timeout) => writer.rest().map(|()| Next::Message),
                    Err(RecvTimeoutError::Disconnected) => Ok(Next::Stop),
                },
            };
            match outcome.and_then(|next| seat.tend(next)) {
                Ok(Next::Message) => {}
                Ok(Next::Stop) => {
                    return match std::mem::replace(&mut *seat, Seat::Ended(None)) {
                        Seat::Working(writer) => writer.stop(),
                        Seat::Ended(reason) => reason.map_or(Ok(()), Err),
                    };
                }
                Err(error) => {
                    *seat = Seat::Ended(None);
                    return Err(error);
                }
            }
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, Seat>> {
        self.seat
            .lock()
            .map_err(|_| Error::new(ErrorKind::Poisoned, "the writer ended without a word"))
    }

    /// Does what a message asks, and what those behind it ask that go with it.
    fn take_up(
        &self,
        writer: &mut Writer,
        message: Message,
        messages: &Receiver<Message>,
    ) -> Result<Next> {
        let mut now = Some(message);
        while let Some(message) = now.take() {
            if !matches!(message, Message::Tend) {
                self.waiting.fetch_sub(1, Ordering::AcqRel);
            }
            match message {
                Message::Append(draft, answer) => {
                    let mut weight = draft.weight();
                    let mut requests = vec![Request::of(draft, answer)];
                    while requests.len() < BATCH_RECORDS && weight < BATCH_BYTES {
                        match messages.try_recv() {
                            Ok(Message::Append(draft, answer)) => {
                                self.waiting.fetch_sub(1, Ordering::AcqRel);
                                weight += draft.weight();
                                requests.push(Request::of(draft, answer));
                            }
                            Ok(other) => {
                                now = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.alone.store(requests.len() == 1, Ordering::Relaxed);
                    writer.commit(requests)?;
                }
                Message::Enrol(key, identity, answer) => {
                    let outcome = writer.enrol(*key, &identity);
                    writer.tell(&answer, outcome)?;
                }
                Message::AppendAndSeal(draft, reason, answer) => {
                    let outcome = writer.commit_one(draft, Some(reason));
                    writer.tell(&answer, outcome)?;
                }
                Message::Seal(reason, answer) => {
                    let outcome = writer.seal(reason);
                    writer.tell(&answer, outcome)?;
                }
                Message::RotateLogKey(identity, answer) => {
                    let outcome = writer.rotate_log_key(&identity);
                    writer.tell(&answer, outcome)?;
                }
                Message::Tend => {}
                Message::Stop => return Ok(Next::Stop),
            }
        }
        Ok(Next::Message)
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("waiting", &self.waiting)
            .field("alone", &self.alone)
            .finish_non_exhaustive()
    }
}

/// What the thread does next.
enum Next {
    Message,
    Stop,
}

impl Seat {
    /// Lets a caller work here. It is told of a failure within, and does not share it; an error that ends the writer ends it.
    fn work<T>(&mut self, work: impl FnOnce(&mut Writer) -> Result<T>) -> Result<T> {
        let Self::Working(writer) = self else {
            return Err(stopped());
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| work(writer))).unwrap_or_else(|_| {
            let what = "the writer ended without a word";
            Err(Error::new(ErrorKind::Poisoned, what))
        });
        match outcome {
            Err(error) if writer.is_poisoned(&error) => {
                let told = copy(&error);
                *self = Self::Ended(Some(error));
                Err(told)
            }
            other => other,
        }
    }

    /// Between two messages: seals, checkpoints and the moving of the WAL, if it is time.
    fn tend(&mut self, next: Next) -> Result<Next> {
        match (&next, self) {
            (Next::Message, Self::Working(writer)) => writer.keep_cadence().map(|()| next),
            _ => Ok(next),
        }
    }
}
