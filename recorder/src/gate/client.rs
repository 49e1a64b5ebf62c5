//! The other end of the gate's sockets, for hooks and verbs: one question, one answer, before a deadline.
//!
//! Blocking on the outside. The gate proves itself: it signs our nonce and its answer with the log key, whose fingerprint the
//! caller got when the hook was installed. So no other program can say "allow" in the gate's place.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tacho_schemas::sign::{self, Fingerprint, PublicKey, Purpose};
use tacho_schemas::{Fixed, Seq};
use tokio::net::UnixStream;

use super::wire::{
    Answer, CloseSession, Decide, Holds, OpenSession, Outcome, OutcomeTaken, Refused,
    SessionOpened, Signed,
};
use super::{MAX_BODY, NONCE, PROOF, PROVER, proven};
use crate::error::{Error, ErrorKind, Quoted, Result};

/// The longest path that a Unix socket can have.
const MAX_PATH: usize = 107;

/// A gate that can be asked.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    expected: Option<Fingerprint>,
    deadline: Duration,
}

impl Client {
    /// Names a gate by its socket. `expected` is the log key that it must prove itself with; without one, whoever can put a socket
    /// there is believed. Each question is answered within `deadline`, or fails.
    pub fn new(socket: &Path, expected: Option<Fingerprint>, deadline: Duration) -> Self {
        Self {
            socket: socket.to_owned(),
            expected,
            deadline,
        }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Opens a session, or finds the one that was opened under the same reference.
    pub fn open_session(&self, open: &OpenSession) -> Result<SessionOpened> {
        self.post("/v1/sessions", open)
    }

    /// Closes a session.
    pub fn close_session(
        &self,
        session: Seq,
        close: &CloseSession,
    ) -> Result<super::wire::Recorded> {
        self.post(&format!("/v1/sessions/{session}/close"), close)
    }

    /// Asks whether a tool call may run; waits while people are asked.
    pub fn decide(&self, ask: &Decide) -> Result<Answer> {
        self.post("/v1/decide", ask)
    }

    /// Tells what came of a tool call.
    pub fn outcome(&self, outcome: &Outcome) -> Result<OutcomeTaken> {
        self.post("/v1/outcome", outcome)
    }

    /// The holds that are open.
    pub fn holds(&self) -> Result<Holds> {
        self.get("/v1/holds")
    }

    /// Gives a human's signed answer to a hold: `approve` or `deny`.
    pub fn answer(
        &self,
        hold: Seq,
        answer: &str,
        signed: &Signed,
    ) -> Result<super::wire::Answered> {
        self.post(&format!("/v1/holds/{hold}/{answer}"), signed)
    }

    /// Asks for something by its path.
    pub fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A> {
        self.ask(Method::GET, path, Vec::new())
    }

    /// Sends something to a path.
    pub fn post<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<A> {
        let body = serde_json::to_vec(body).map_err(|e| failed("cannot be asked", e))?;
        self.ask(Method::POST, path, body)
    }

    fn ask<A: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> Result<A> {
        let until = Instant::now() + self.deadline;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| failed("cannot be asked", e))?;
        let answered = runtime.block_on(async {
            tokio::time::timeout_at(until.into(), self.exchange(method, path, body)).await
        });
        // A connection that hangs must not keep us.
        runtime.shutdown_background();
        let (status, bytes) = answered.map_err(|_| {
            Error::new(ErrorKind::Interrupted, "the gate did not answer in time")
                .with_hint("look at `tacho status`; nothing was allowed")
        })??;
        if status.is_success() {
            return serde_json::from_slice(&bytes)
                .map_err(|e| failed("gave an unreadable answer", e));
        }
        let refused: Refused =
            serde_json::from_slice(&bytes).map_err(|e| failed("gave an unreadable answer", e))?;
        let kind = match status {
            StatusCode::NOT_FOUND => ErrorKind::Missing,
            StatusCode::CONFLICT => ErrorKind::Exists,
            StatusCode::FORBIDDEN => ErrorKind::Refused,
            StatusCode::SERVICE_UNAVAILABLE => ErrorKind::Busy,
            _ => ErrorKind::Usage,
        };
        let error = Error::new(kind, refused.error);
        Err(match refused.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes)> {
        check_path(&self.socket)?;
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|e| no_gate(&self.socket, e))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| failed("does not speak HTTP", e))?;
        tokio::spawn(connection);
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|e| failed("cannot be asked", e))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "tacho")
            .header("content-type", "application/json")
            .header(NONCE, hex::encode(nonce))
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| failed("cannot be asked", e))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| failed("went away before it answered", e))?;
        let status = response.status();
        let proof = proof_of(&response);
        let bytes = Limited::new(response.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(|e| Error::new(ErrorKind::Io, "the gate broke off its answer").with_source(e))?
            .to_bytes();
        if let Some(expected) = &self.expected {
            check_proof(expected, proof.as_ref(), &nonce, status, &bytes)?;
        }
        Ok((status, bytes))
    }
}

type Proof = (PublicKey, Fixed<64>);

fn proof_of<B>(response: &Response<B>) -> Option<Proof> {
    let header = |name: &str, bytes: &mut [u8]| {
        let text = response.headers().get(name)?;
        hex::decode_to_slice(text.as_bytes(), bytes).ok()
    };
    let (mut key, mut signature) = ([0; 32], [0; 64]);
    header(PROVER, &mut key)?;
    header(PROOF, &mut signature)?;
    Some((Fixed(key), Fixed(signature)))
}

fn check_proof(
    expected: &Fingerprint,
    proof: Option<&Proof>,
    nonce: &[u8; 32],
    status: StatusCode,
    body: &[u8],
) -> Result<()> {
    let refuse = |why: &str| {
        Err(
            Error::new(ErrorKind::Refused, format!("whoever answers is not the gate: {why}"))
                .with_hint("another program listens on its socket, or its log key was replaced: install the hook again"),
        )
    };
    let Some((key, signature)) = proof else {
        return refuse("it proves nothing");
    };
    if Fingerprint::of(key) != *expected {
        return refuse("it has another key");
    }
    let said = proven(nonce, status.as_u16(), body);
    match sign::verify(key, Purpose::Answer, &said, signature) {
        Ok(()) => Ok(()),
        Err(_) => refuse("its proof is false"),
    }
}

/// Refuses a path that no Unix socket can have.
pub(super) fn check_path(socket: &Path) -> Result<()> {
    if socket.as_os_str().as_bytes().len() <= MAX_PATH {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Usage,
        format!(
            "the path of the socket {} is longer than {MAX_PATH} bytes",
            Quoted(socket)
        ),
    )
    .with_hint("Unix sockets allow no longer ones: keep the log where its path is shorter"))
}

fn no_gate(socket: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound | Io::ConnectionRefused => Error::new(
            ErrorKind::Missing,
            format!("no gate listens at {}", Quoted(socket)),
        )
        .with_hint("`tacho serve` starts it"),
        _ => Error::io("connect to", socket, error),
    }
}

fn failed(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, format!("the gate {what}: {error}")).with_source(error)
}
