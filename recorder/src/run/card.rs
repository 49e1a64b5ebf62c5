//! What a supervisor leaves beside the switch about its cell, so that `kill` can end it and `status` can show it without a daemon.
//!
//! `LOG.run/cells/<supervisor pid>`, 0600 in a folder 0700; masked inside every cell.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::duty::Duty;
use super::level::Level;
use super::tree::{self, Process};
use crate::error::{Error, Result};
use crate::files;
use crate::switch::Target;

/// The longest card.
const MAX: u64 = 64 << 10;

/// One running cell.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Card {
    /// Its init.
    pub init: u32,
    /// When init started, in clock ticks: a process id alone is given to others later.
    pub init_start: u64,
    /// Its supervisor.
    pub supervisor: u32,
    /// What confines it.
    pub level: Level,
    /// Whom it holds.
    pub duty: Duty,
    /// The agent's program, for people.
    pub program: String,
    /// Its workspace, for people.
    pub workspace: String,
    /// When it began, by the wall clock, in ns.
    pub began: i64,
}

/// What ending a cell came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ended {
    /// How many processes there were, init included.
    pub processes: u64,
    /// How many live on.
    pub survivors: u64,
}

/// A card in its place, taken away at the end.
#[derive(Debug)]
pub(super) struct Laid {
    path: PathBuf,
}

impl Drop for Laid {
    fn drop(&mut self) {
        // Whoever reads it then finds that the process is gone.
        let _ = fs::remove_file(&self.path);
    }
}

fn folder(run: &Path) -> PathBuf {
    run.join("cells")
}

impl Card {
    pub(super) fn lay(&self, run: &Path) -> Result<Laid> {
        let folder = folder(run);
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::io("create", &folder, e));
            }
            _ => {}
        }
        let path = folder.join(self.supervisor.to_string());
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::new(crate::ErrorKind::Unrecordable, e.to_string()))?;
        files::remove_if_there(&path)?;
        files::write_new(&path, &text)?;
        Ok(Laid { path })
    }

    /// Reads the cards of the cells that run; those of cells that are gone are taken away.
    pub fn all(run: &Path) -> Vec<Self> {
        let mut cards = Vec::new();
        let Ok(entries) = fs::read_dir(folder(run)) else {
            return cards;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let mut text = Vec::new();
            let read = files::open_private(&path, files::Privacy::Secret)
                .and_then(|file| files::read_capped(&file, &path, MAX, &mut text));
            let Ok(card) = read.and_then(|()| {
                serde_json::from_slice::<Self>(&text)
                    .map_err(|e| Error::new(crate::ErrorKind::Corrupt, e.to_string()))
            }) else {
                continue;
            };
            if card.process().lives() {
                cards.push(card);
            } else {
                let _ = fs::remove_file(&path);
            }
        }
        cards.sort_by_key(|card| card.began);
        cards
    }

    fn process(&self) -> Process {
        Process {
            pid: self.init,
            start: self.init_start,
        }
    }

    /// Whether a kill of this target is a kill of this cell.
    pub fn is_under(&self, target: &Target) -> bool {
        match target {
            Target::All => true,
            Target::Agent(id) => self.duty.agent.as_ref() == Some(id),
            Target::Session(seq) => self.duty.sessions.contains(seq),
            Target::Lineage(seq) => self.duty.lineages.contains(seq),
            // A part is no process; who touches it is denied.
            Target::Part(_) => false,
        }
    }

    /// Takes hold of the cell, so that it can be ended without help from its supervisor, the daemon or the log; `None` if it is gone.
    pub fn hold(&self) -> Option<Held> {
        let init = self.open()?;
        Some(Held {
            level: self.level,
            pid: self.init,
            init,
        })
    }

    /// Stops everybody in the cell where they stand. Returns how many, and whether all do.
    pub fn freeze(&self) -> (usize, bool) {
        tree::freeze(self.init)
    }

    /// Holds on to init, if it still is the process that the card names.
    fn open(&self) -> Option<OwnedFd> {
        let pid = i32::try_from(self.init).ok().and_then(Pid::from_raw)?;
        let init = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Looked at after it was opened: the descriptor cannot come to mean another process.
        (Process::find(self.init)?.start == self.init_start).then_some(init)
    }
}

/// A cell in our hand, by its init.
#[derive(Debug)]
pub struct Held {
    level: Level,
    pid: u32,
    init: OwnedFd,
}

impl Held {
    /// Ends everybody in it.
    pub fn end(&self) -> Ended {
        end(self.level, self.pid, &self.init)
    }
}

/// How long the kernel may take to bury a cell.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends a cell by its init.
pub(super) fn end(level: Level, pid: u32, init: &OwnedFd) -> Ended {
    let before = tree::glance(pid);
    let processes = u64::try_from(before.len())
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let left = if level == Level::Cell {
        // Gone already is as good.
        let _ = pidfd_send_signal(init, Signal::KILL);
        let gone = wait(init, PATIENCE);
        let mut left: Vec<_> = before.into_iter().filter(|p| p.lives()).collect();
        // The kernel ends an init after everybody else: where it is not gone, nothing is known.
        left.extend((!gone).then(|| Process::find(pid)).flatten());
        left
    } else {
        // Without a namespace init's end is nobody else's: its tree goes first, while init still adopts.
        let left = tree::end(pid);
        let _ = pidfd_send_signal(init, Signal::KILL);
        left
    };
    Ended {
        processes,
        survivors: u64::try_from(left.len()).unwrap_or(u64::MAX),
    }
}

/// Waits until a process has ended. An init ends after everybody in its namespace.
pub(super) fn wait(process: &OwnedFd, patience: Duration) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd as _;
    let began = Instant::now();
    loop {
        let left = patience.saturating_sub(began.elapsed());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(
            &mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)],
            timeout,
        ) {
            Ok(ready) if ready > 0 => return true,
            Err(nix::errno::Errno::EINTR) => {}
            _ if left.is_zero() => return false,
            _ => {}
        }
    }
}
