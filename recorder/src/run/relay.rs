//! The user's terminal on one side, the cell's on the other: bytes are carried over, the terminal itself never enters the cell.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::termios::{FlushArg, SetArg, Termios, cfmakeraw, tcflush, tcgetattr, tcsetattr};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::filter::Filter;
use crate::error::{Error, Result};

/// How much waits for a slow reader before we stop taking more.
const ROOM: usize = 64 << 10;

/// Both sides and what is under way between them.
#[derive(Debug)]
pub(super) struct Relay {
    /// The user's terminal, opened anew: whether it blocks is then ours alone to say.
    outer: File,
    /// Its settings before, where what is typed goes to the cell.
    saved: Option<Termios>,
    /// The cell's.
    master: File,
    filter: Filter,
    inwards: Vec<u8>,
    outwards: Vec<u8>,
    ended: bool,
}

impl Relay {
    /// Takes both terminals; `types` says whether the user's input is the terminal too.
    pub(super) fn new(terminal: BorrowedFd<'_>, master: OwnedFd, types: bool) -> Result<Self> {
        let path = PathBuf::from(format!("/proc/self/fd/{}", terminal.as_raw_fd()));
        let open = |path: &Path| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits())
                .open(path)
        };
        // After `su`, the terminal's own name belongs to somebody else.
        let outer = open(&path).or_else(|_| open(Path::new("/dev/tty")));
        let outer = outer.map_err(|e| Error::io("open", &path, e))?;
        let saved = match types {
            true => Some(tcgetattr(&outer).map_err(|e| Error::io("ask", &path, e.into()))?),
            false => None,
        };
        let flags = fcntl_getfl(&master).map_err(|e| Error::io("ask", &path, e.into()))?;
        fcntl_setfl(&master, flags | OFlags::NONBLOCK)
            .map_err(|e| Error::io("set", &path, e.into()))?;
        let relay = Self {
            outer,
            saved,
            master: master.into(),
            filter: Filter::default(),
            inwards: Vec::new(),
            outwards: Vec::new(),
            ended: false,
        };
        relay.resize();
        Ok(relay)
    }

    /// Lets every key go to the cell.
    pub(super) fn raw(&self) {
        if let Some(saved) = &self.saved {
            let mut raw = saved.clone();
            cfmakeraw(&mut raw);
            // A terminal that is gone has no settings.
            let _ = tcsetattr(&self.outer, SetArg::TCSADRAIN, &raw);
        }
    }

    /// Gives the terminal back as it was. Answers that it still owes to the agent are for nobody else to read.
    pub(super) fn restore(&self) {
        if let Some(saved) = &self.saved {
            let _ = tcflush(&self.outer, FlushArg::TCIFLUSH);
            let _ = tcsetattr(&self.outer, SetArg::TCSANOW, saved);
        }
    }

    /// Tells the cell's terminal how large the user's is.
    pub(super) fn resize(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(&self.outer) {
            let _ = rustix::termios::tcsetwinsize(&self.master, size);
        }
    }

    /// What to wait for: (descriptor, to read, to write).
    pub(super) fn wants(&self) -> [(BorrowedFd<'_>, bool, bool); 2] {
        let types = self.saved.is_some() && self.inwards.len() < ROOM && !self.ended;
        [
            (self.outer.as_fd(), types, !self.outwards.is_empty()),
            (
                self.master.as_fd(),
                !self.ended && self.outwards.len() < ROOM,
                !self.inwards.is_empty(),
            ),
        ]
    }

    /// Carries over what is there; never waits.
    pub(super) fn carry(&mut self) {
        let mut chunk = [0; 16 << 10];
        if self.saved.is_some() && self.inwards.len() < ROOM {
            match self.outer.read(&mut chunk) {
                Ok(read) => self
                    .inwards
                    .extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                // Hung up: the signal that comes with it decides.
                Err(_) => {}
            }
        }
        if self.outwards.len() < ROOM {
            match self.master.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(read) => self
                    .filter
                    .pass(chunk.get(..read).unwrap_or_default(), &mut self.outwards),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => self.ended = true,
            }
        }
        push(&mut self.master, &mut self.inwards);
        push(&mut self.outer, &mut self.outwards);
    }

    /// Carries over what the agent still said before its end, for a moment at most.
    pub(super) fn drain(&mut self) {
        let began = std::time::Instant::now();
        while began.elapsed() < std::time::Duration::from_millis(500) {
            self.carry();
            if self.ended && self.outwards.is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Writes as much as goes without waiting.
fn push(to: &mut File, from: &mut Vec<u8>) {
    while !from.is_empty() {
        match to.write(from) {
            Ok(written) => {
                from.drain(..written.min(from.len()));
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return,
            Err(_) => {
                from.clear();
                return;
            }
        }
    }
}
