//! What can be asked at the gate's doors, and how a question becomes an answer.
//!
//! Each question is read whole, put to the [`Gate`], and answered in JSON; who wants a proof gets one. What fails on the way to an answer
//! of `decide` is a deny.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tacho_schemas::Seq;
use tokio::sync::oneshot;

use super::notify::notify;
use super::server::{Door, House, PATIENCE};
use super::tail::Tail;
use super::wire::{Answer, Decide, Holds, Recorded, Refused};
use super::{Gate, MAX_BODY, NONCE, PROOF, PROVER, Peer, Step, Why, proven};
use crate::error::{Error, ErrorKind, Result};

/// One thing that can be asked: method, path with `{seq}` for a number, and through which doors.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path.
    pub path: &'static str,
    /// Which sort of door.
    pub doors: &'static [&'static str],
    /// The structure of the body.
    pub takes: Option<&'static str>,
    /// The structure of the answer.
    pub gives: &'static str,
}

macro_rules! routes {
    ($($method:literal $path:literal [$($door:literal)+] ($($takes:literal)?) -> $gives:literal,)+) => {
        /// Everything that can be asked, for the server and for the test of its description.
        pub const ROUTES: &[Route] = &[$(Route {
            method: $method,
            path: $path,
            doors: &[$($door),+],
            takes: routes!(@takes $($takes)?),
            gives: $gives,
        },)+];
    };
    (@takes) => { None };
    (@takes $takes:literal) => { Some($takes) };
}

routes! {
    "GET" "/v1/health" ["reviewers" "hooks" "session"] () -> "Health",
    "POST" "/v1/sessions" ["reviewers" "hooks"] ("OpenSession") -> "SessionOpened",
    "POST" "/v1/sessions/{seq}/close" ["reviewers" "hooks"] ("CloseSession") -> "Recorded",
    "POST" "/v1/decide" ["session"] ("Decide") -> "Answer",
    "POST" "/v1/outcome" ["session"] ("Outcome") -> "OutcomeTaken",
    "POST" "/v1/record" ["reviewers" "session"] ("Event") -> "Receipt",
    "GET" "/v1/status" ["reviewers"] () -> "GateStatus",
    "GET" "/v1/holds" ["reviewers"] () -> "Holds",
    "POST" "/v1/holds/{seq}/approve" ["reviewers"] ("Signed") -> "Answered",
    "POST" "/v1/holds/{seq}/deny" ["reviewers"] ("Signed") -> "Answered",
    "POST" "/v1/note" ["reviewers"] ("Note") -> "Recorded",
    "GET" "/v1/tail" ["reviewers"] () -> "Record",
    "POST" "/v1/kill" ["reviewers"] ("Kill") -> "Recorded",
    "POST" "/v1/gap" ["reviewers"] ("Gap") -> "Recorded",
    "POST" "/v1/switch" ["reviewers"] ("SwitchAct") -> "Recorded",
}

/// Answers one question, and proves the answer if that was asked for.
pub(super) async fn answer(
    house: &House,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<Either<Full<Bytes>, Tail>> {
    if let Some((route, _)) = find(request.method(), request.uri().path(), peer.door)
        && route.path == "/v1/tail"
        && let Some(tail) = tail(house, &request)
    {
        return tail;
    }
    let nonce = request.headers().get(NONCE).and_then(|text| {
        let mut nonce = [0; 32];
        hex::decode_to_slice(text.as_bytes(), &mut nonce).ok()?;
        Some(nonce)
    });
    let (status, body) = route(house, peer, request).await;
    let body = body.unwrap_or_else(|e| {
        let refused = Refused {
            error: format!("the answer cannot be written: {e}"),
            hint: None,
        };
        serde_json::to_vec(&refused).unwrap_or_default()
    });
    let mut response = Response::new(Either::Left(Full::new(Bytes::new())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    if let Some(nonce) = nonce {
        let (key, signature) = house
            .gate
            .log()
            .prove(&proven(&nonce, status.as_u16(), &body));
        for (name, value) in [
            (PROVER, hex::encode(key.0)),
            (PROOF, hex::encode(signature.0)),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
    *response.body_mut() = Either::Left(Full::new(Bytes::from(body)));
    response
}

/// Begins a stream of records; nothing if it is asked for as it cannot be, or the log cannot be read. A stream has no proof of its
/// own: each record in it has its leaf, which a receipt or checkpoint can be held against.
fn tail(house: &House, request: &Request<Incoming>) -> Option<Response<Either<Full<Bytes>, Tail>>> {
    let number = |text: &str| text.parse::<u64>().ok();
    let header = request.headers().get("last-event-id");
    let after = match (request.uri().query(), header) {
        (Some(query), _) => Some(number(query.strip_prefix("after=")?)?),
        (None, Some(id)) => Some(number(id.to_str().ok()?)?),
        (None, None) => None,
    };
    let first = guarded(&house.gate, |gate| gate.tail_from(after)).ok()?;
    let tail = Tail::begin(Arc::clone(&house.gate), first, house.stop.clone());
    let mut response = Response::new(Either::Right(tail));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert("content-type", kind);
    Some(response)
}

type Written = (StatusCode, std::result::Result<Vec<u8>, serde_json::Error>);

fn good(answer: &impl Serialize) -> Written {
    (StatusCode::OK, serde_json::to_vec(answer))
}

fn refused(status: StatusCode, error: impl Into<String>, hint: Option<&str>) -> Written {
    let refused = Refused {
        error: error.into(),
        hint: hint.map(str::to_owned),
    };
    (status, serde_json::to_vec(&refused))
}

fn failed(error: &Error) -> Written {
    let status = match error.kind() {
        ErrorKind::Usage | ErrorKind::Unrecordable => StatusCode::BAD_REQUEST,
        ErrorKind::Missing => StatusCode::NOT_FOUND,
        ErrorKind::Exists => StatusCode::CONFLICT,
        ErrorKind::Refused | ErrorKind::Denied => StatusCode::FORBIDDEN,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    refused(status, error.to_string(), error.hint())
}

/// Finds the route; a door that it is not for does not know it.
fn find(method: &Method, path: &str, door: Door) -> Option<(&'static Route, Option<Seq>)> {
    let door = match door {
        Door::Reviewers => "reviewers",
        Door::Hooks => "hooks",
        Door::Session(_) => "session",
    };
    ROUTES.iter().find_map(|route| {
        if route.method != method.as_str() || !route.doors.contains(&door) {
            return None;
        }
        match route.path.split_once("{seq}") {
            None => (route.path == path).then_some((route, None)),
            Some((before, after)) => {
                let number = path.strip_prefix(before)?.strip_suffix(after)?;
                let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
                let seq = number.parse().ok().filter(|_| plain)?;
                Some((route, Some(Seq(seq))))
            }
        }
    })
}

async fn route(house: &House, peer: Peer, request: Request<Incoming>) -> Written {
    let (head, body) = request.into_parts();
    let Some((route, seq)) = find(&head.method, head.uri.path(), peer.door) else {
        return refused(
            StatusCode::NOT_FOUND,
            "there is nothing of this name at this door",
            Some("schemas/gate.openapi.yaml lists what can be asked through which socket"),
        );
    };
    let gate = &house.gate;
    if let Door::Session(session) = peer.door
        && let Err(error) = gate.check_peer(session, peer.uid)
    {
        return failed(&error);
    }
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let seq = seq.unwrap_or_default();
    match route.path {
        "/v1/health" => {
            good(&serde_json::json!({ "ok": true, "log_id": gate.log().log_id().to_string() }))
        }
        "/v1/decide" => decide(house, peer, &body).await,
        "/v1/sessions" => {
            let opened = with(gate, &body, move |gate, open| gate.open_session(peer, open));
            if let Ok((opened, true)) = &opened {
                // The door is open before the caller knows of it.
                let (open, is_open) = oneshot::channel();
                let _ = house.doors.send((opened.session, Some(open)));
                let _ = tokio::time::timeout(PATIENCE, is_open).await;
            }
            written(opened.map(|(opened, _)| opened))
        }
        "/v1/sessions/{seq}/close" => {
            let closed = with(gate, &body, move |gate, close| {
                gate.close_session(peer, seq, close)
            });
            if closed.is_ok() {
                let _ = house.doors.send((seq, None));
            }
            written(closed.map(|seq| Recorded { seq }))
        }
        "/v1/switch" => written(
            with(gate, &body, move |gate, act| gate.switch_act(peer, act))
                .map(|seq| Recorded { seq }),
        ),
        "/v1/outcome" => written(with(gate, &body, move |gate, outcome| {
            gate.outcome(peer, outcome)
        })),
        "/v1/record" => {
            let Ok(text) = String::from_utf8(body) else {
                return refused(StatusCode::BAD_REQUEST, "the event is not UTF-8", None);
            };
            written(guarded(gate, move |gate| gate.record(peer, &text)))
        }
        "/v1/status" => written(guarded(gate, |gate| Ok(gate.status()))),
        "/v1/holds" => written(guarded(gate, |gate| {
            Ok(Holds {
                holds: gate.holds()?,
            })
        })),
        "/v1/holds/{seq}/approve" => written(with(gate, &body, move |gate, signed| {
            gate.approve(peer, seq, &signed)
        })),
        "/v1/holds/{seq}/deny" => written(with(gate, &body, move |gate, signed| {
            gate.reject(peer, seq, &signed)
        })),
        "/v1/kill" => written(
            with(gate, &body, move |gate, kill| gate.kill(peer, kill)).map(|seq| Recorded { seq }),
        ),
        "/v1/note" => written(
            with(gate, &body, move |gate, note| gate.note(peer, note)).map(|seq| Recorded { seq }),
        ),
        "/v1/tail" => refused(
            StatusCode::BAD_REQUEST,
            "the records cannot be followed from there",
            Some("`/v1/tail?after=SEQ` begins after a record, `/v1/tail` with the next one"),
        ),
        "/v1/gap" => written(
            with(gate, &body, move |gate, gap| gate.gap(peer, gap)).map(|seq| Recorded { seq }),
        ),
        _ => refused(StatusCode::NOT_FOUND, "there is nothing of this name", None),
    }
}

fn written<A: Serialize>(answer: Result<A>) -> Written {
    match answer {
        Ok(answer) => good(&answer),
        Err(error) => failed(&error),
    }
}

async fn read_body(body: Incoming) -> std::result::Result<Vec<u8>, Written> {
    let whole = Limited::new(body, MAX_BODY).collect();
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes().to_vec()),
        Ok(Err(_)) => Err(refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the request is longer than {} MiB, or broke off",
                MAX_BODY >> 20
            ),
            None,
        )),
        Err(_) => Err(refused(
            StatusCode::REQUEST_TIMEOUT,
            "the request did not come in time",
            None,
        )),
    }
}

/// Runs what may wait for the disk: this thread has no other connection to look after.
fn guarded<A>(gate: &Gate, work: impl FnOnce(&Gate) -> Result<A>) -> Result<A> {
    // A caller is told of a failure within, as of any other.
    catch_unwind(AssertUnwindSafe(|| work(gate)))
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "the gate failed within")))
}

fn with<Q: DeserializeOwned, A>(
    gate: &Gate,
    body: &[u8],
    work: impl FnOnce(&Gate, Q) -> Result<A>,
) -> Result<A> {
    let asked = read(body)?;
    guarded(gate, |gate| work(gate, asked))
}

fn read<Q: DeserializeOwned>(body: &[u8]) -> Result<Q> {
    serde_json::from_slice(body)
        .map_err(|e| Error::new(ErrorKind::Usage, format!("the request cannot be read: {e}")))
}

/// Decides, and waits while people are asked. Whatever goes wrong is a deny.
async fn decide(house: &House, peer: Peer, body: &[u8]) -> Written {
    let ask: Decide = match read(body) {
        Ok(ask) => ask,
        Err(error) => return failed(&error),
    };
    let Door::Session(session) = peer.door else {
        return refused(StatusCode::NOT_FOUND, "there is nothing of this name", None);
    };
    let began = Instant::now();
    let gate = &house.gate;
    let deadline = began + gate.patience(ask.deadline_ms);
    let mut stop = house.stop.clone();
    let mut step = guarded(gate, |gate| Ok(gate.decide(peer, session, ask)));
    loop {
        let waiting = match step {
            Ok(Step::Done(answer)) => {
                let gate = Arc::clone(gate);
                // On this thread, as soon as the answer is on its way.
                tokio::spawn(async move { gate.log().settle() });
                return good(&*answer);
            }
            Ok(Step::Wait(waiting)) => waiting,
            Err(error) => return good(&Answer::unrecordable(error.to_string())),
        };
        let mut bell = waiting.bell();
        if waiting.is_new() {
            notify(house, waiting.hold());
        }
        let why = tokio::select! {
            _ = bell.changed() => Why::Bell,
            () = tokio::time::sleep_until(deadline.into()) => Why::Deadline,
            _ = stop.changed() => Why::Stop,
        };
        step = guarded(gate, |gate| Ok(gate.resume(waiting, why)));
    }
}
