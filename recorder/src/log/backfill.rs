//! Keeps the WAL small without making an acknowledgement wait.
//!
//! Moving pages from the WAL into the database costs two fsyncs and is what makes SQLite's slowest commits slow. So a thread of
//! its own does the bulk; the writer moves only the few pages that were added meanwhile, after which the next commit starts at
//! the beginning of the file again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

use crate::dir::{Lock, LogDir};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Checkpointer, Store};

/// The WAL is moved when so much was added to it.
const LIMIT: u64 = 8 << 20;

#[derive(Debug)]
pub(super) struct Backfill {
    ask: Option<SyncSender<()>>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Backfill {
    pub(super) fn start(dir: &LogDir, lock: &Lock) -> Result<Self> {
        let checkpointer = Checkpointer::open(dir, lock)?;
        let done = Arc::new(AtomicBool::new(false));
        let (ask, asked) = mpsc::sync_channel::<()>(1);
        let told = Arc::clone(&done);
        let thread = std::thread::Builder::new()
            .name("tacho-backfill".to_owned())
            .spawn(move || {
                while asked.recv().is_ok() {
                    // An error here costs only space; a broken disk shows in the next commit.
                    let moved = checkpointer.checkpoint_passive();
                    told.store(moved.is_ok(), Ordering::Release);
                }
            })
            .map_err(|e| Error::new(ErrorKind::Io, "cannot start a thread").with_source(e))?;
        Ok(Self {
            ask: Some(ask),
            done,
            thread: Some(thread),
        })
    }

    /// Whether so much was added that it has to be moved.
    pub(super) fn is_due(store: &Store) -> bool {
        store.unmoved() >= LIMIT
    }

    /// Called between commits.
    pub(super) fn keep_small(&self, store: &mut Store) -> Result<()> {
        if !Self::is_due(store) {
            return Ok(());
        }
        if self.done.swap(false, Ordering::Acquire) {
            return match store.move_the_rest() {
                // The database has no room to grow: the WAL does in its place, as long as there is some.
                Err(error) if error.kind() == ErrorKind::Full => Ok(()),
                other => other,
            };
        }
        if let Some(ask) = &self.ask {
            // A full channel: it is at work already.
            let _ = ask.try_send(());
        }
        Ok(())
    }

    /// Ends the thread and its connection.
    pub(super) fn end(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Backfill {
    fn drop(&mut self) {
        self.end();
    }
}
