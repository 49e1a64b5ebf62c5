//! What the processes of a cell say to each other: one line of JSON, descriptors with it.
//!
//! The sockets are inherited as descriptor 0 and have no path, so nobody else can speak there.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};

/// The longest message: a plan with its environment.
const MAX: usize = 4 << 20;

/// How many descriptors one message carries at most.
const MAX_FDS: usize = 4;

/// One end of a control socket, with what was read beyond the last line.
#[derive(Debug)]
pub(super) struct Wire {
    socket: OwnedFd,
    beyond: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Wire {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            beyond: Vec::new(),
            fds: Vec::new(),
        }
    }

    /// Takes the socket that was inherited as standard input.
    pub(super) fn inherited() -> Result<Self> {
        let socket = std::io::stdin().as_fd().try_clone_to_owned();
        Ok(Self::new(socket.map_err(|e| broken("take", e))?))
    }

    /// Sends one message; waits while the other side does not read.
    pub(super) fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let mut bytes = serde_json::to_vec(message).map_err(|e| {
            Error::new(
                ErrorKind::Unrecordable,
                format!("a path or name is not text: {e}"),
            )
        })?;
        bytes.push(b'\n');
        let mut rest = bytes.as_slice();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut first = true;
        while !rest.is_empty() {
            let mut with = SendAncillaryBuffer::new(&mut space);
            if first && !fds.is_empty() && !with.push(SendAncillaryMessage::ScmRights(fds)) {
                return Err(Error::new(
                    ErrorKind::Usage,
                    "too many descriptors for one message",
                ));
            }
            let sent = rustix::net::sendmsg(
                &self.socket,
                &[IoSlice::new(rest)],
                &mut with,
                SendFlags::NOSIGNAL,
            );
            match sent {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(broken("write to", errno.into())),
            }
            first = false;
        }
        Ok(())
    }

    /// Receives one message, with the descriptors that came since the last one; `None` at the end.
    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<(T, Vec<OwnedFd>)>> {
        loop {
            if let Some(end) = self.beyond.iter().position(|byte| *byte == b'\n') {
                let rest = self.beyond.split_off(end.saturating_add(1));
                let line = std::mem::replace(&mut self.beyond, rest);
                let message = serde_json::from_slice(&line).map_err(|e| {
                    Error::new(
                        ErrorKind::Corrupt,
                        "a process of the cell said something unknown",
                    )
                    .with_source(e)
                })?;
                return Ok(Some((message, std::mem::take(&mut self.fds))));
            }
            if self.beyond.len() > MAX {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    "a process of the cell talks too long",
                ));
            }
            let mut chunk = vec![0; 64 << 10];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut with = RecvAncillaryBuffer::new(&mut space);
            let received = rustix::net::recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut chunk)],
                &mut with,
                RecvFlags::CMSG_CLOEXEC,
            );
            let received = match received {
                Ok(received) => received,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                Err(errno) => return Err(broken("read from", errno.into())),
            };
            for message in with.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    self.fds.extend(fds);
                }
            }
            if received.flags.contains(ReturnFlags::CTRUNC) {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    "descriptors were lost on their way",
                ));
            }
            if received.bytes == 0 {
                return Ok(None);
            }
            self.beyond
                .extend_from_slice(chunk.get(..received.bytes).unwrap_or_default());
        }
    }

    /// Whether a whole message is here already.
    pub(super) fn has_more(&self) -> bool {
        self.beyond.contains(&b'\n')
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn broken(act: &str, source: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("cannot {act} the cell's control socket: {source}"),
    )
    .with_source(source)
}
