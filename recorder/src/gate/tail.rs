//! `GET /v1/tail`: records as they become durable, as server-sent events.
//!
//! ```text
//! id: 41
//! data: {"version":1,"seq":41,"kind":"action", …}
//! ```
//!
//! Each `data` is one line of `tacho list --json`: a record that was checked against the tree, with its text. A reader that went away
//! comes back with `?after=` or the header `last-event-id`, and misses nothing. One that is slow holds up nobody: it is read for only
//! as fast as it takes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tacho_schemas::Seq;
use tokio::sync::{mpsc, watch};

use super::Gate;
use crate::error::Result;
use crate::export::line;

/// How often new records are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// A comment is sent after so long without a record, so that whoever went away is noticed.
const ALIVE: Duration = Duration::from_secs(15);

/// Records that are read at a time.
const PIECE: u64 = 64;

/// A stream under way.
pub(super) struct Tail(mpsc::Receiver<Bytes>);

impl Body for Tail {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Tail {
    /// Begins a stream with record `first`; it ends when its reader goes away or the gate stops.
    pub(super) fn begin(gate: Arc<Gate>, first: u64, stop: watch::Receiver<bool>) -> Self {
        let (send, receive) = mpsc::channel(2);
        tokio::spawn(feed(gate, first, stop, send));
        Self(receive)
    }
}

async fn feed(
    gate: Arc<Gate>,
    mut next: u64,
    mut stop: watch::Receiver<bool>,
    send: mpsc::Sender<Bytes>,
) {
    let mut idle = Duration::ZERO;
    loop {
        let piece = match gate.events(next) {
            Ok((piece, then)) => {
                next = then;
                piece
            }
            Err(error) => {
                gate.tell(&error);
                return;
            }
        };
        if !piece.is_empty() {
            idle = Duration::ZERO;
            if send.send(piece.into()).await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => idle += LOOK,
            () = send.closed() => return,
            _ = stop.changed() => return,
        }
        if idle >= ALIVE {
            idle = Duration::ZERO;
            if send.send(Bytes::from_static(b":\n\n")).await.is_err() {
                return;
            }
        }
    }
}

impl Gate {
    /// The next records from one on as events, and the number after them.
    fn events(&self, first: u64) -> Result<(Vec<u8>, u64)> {
        self.read(|view| {
            let (mut events, mut next) = (Vec::new(), first);
            let end = first.saturating_add(PIECE).min(view.size());
            if first >= end {
                return Ok((events, next));
            }
            view.records(first..end, |shown| {
                let Seq(seq) = shown.seq;
                events.extend_from_slice(format!("id: {seq}\ndata: ").as_bytes());
                // One line: JSON text has no line feeds of its own.
                line::write(&shown, &[], &mut events)?;
                events.extend_from_slice(b"\n\n");
                next = seq.saturating_add(1);
                Ok::<(), crate::Error>(())
            })?;
            Ok((events, next))
        })
    }

    /// Where a reader goes on who has had the records up to `after`; without that, with what comes from now on.
    pub(super) fn tail_from(&self, after: Option<u64>) -> Result<u64> {
        match after {
            Some(after) => Ok(after.saturating_add(1)),
            None => self.read(|view| Ok(view.size())),
        }
    }
}
