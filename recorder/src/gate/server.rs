//! The gate's doors: HTTP/1.1 and JSON over Unix sockets.
//!
//! ```text
//! LOG/reviewers.sock                    0600  people and `tacho run`: everything
//! LOG.run/sessions/hooks.sock           0666  installed hooks: opens sessions, confined by nothing
//! LOG.run/sessions/<seq>/gate.sock      0666  one session: decides, takes outcomes
//! ```
//!
//! Which session is asking, the socket says, and never the request; the peer's uid must be the one that the session was opened by.
//! A door has so many connections at most, and each has so long for its head and body. A stop answers everybody who waits. What can be
//! asked at which door is in [`super::route`].
//!
//! **Each connection has a thread.** Its questions wait for the disk or for people, and what one of them waits for (a file system that an
//! agent made, say) holds up nobody else. Nor is a question handed from thread to thread on its way, which would be several waits for a
//! processor to wake.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit};
use tacho_schemas::Seq;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::client::check_path;
use super::route::answer;
use super::{Gate, Peer};
use crate::error::{Error, Result};

/// How long a client may take for the head of a request, and for its body.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How often the switch is looked at for those who wait.
const LOOK: Duration = Duration::from_millis(25);

/// How long a stop waits for answers to be taken.
const LEAVE: Duration = Duration::from_secs(5);

/// Connections that a door takes at once, at most; more wait at the door.
const CROWD: u32 = 2048;

/// Descriptors of a connection: its socket, and four with which its thread waits.
const DESCRIPTORS: u64 = 5;

/// Connections of people; an agent's flood does not take these.
const REVIEWERS: u32 = 256;

/// Who comes through a door.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Door {
    /// People, and programs that they trust as themselves.
    Reviewers,
    /// Hooks that have no session yet.
    Hooks,
    /// One session.
    Session(Seq),
}

/// What the doors need.
pub(super) struct House {
    pub(super) gate: Arc<Gate>,
    /// For what goes on when the question that began it is answered.
    pub(super) runtime: Handle,
    /// Turns true when the gate stops.
    pub(super) stop: watch::Receiver<bool>,
    /// Sessions whose door is to be opened or closed; whoever wants one opened hears when it is.
    pub(super) doors: mpsc::UnboundedSender<(Seq, Option<oneshot::Sender<()>>)>,
}

/// Serves until `stop` turns true; then answers everybody who waits, and returns.
///
/// `ready` is called once the doors are open.
pub async fn serve(
    gate: Arc<Gate>,
    stop: watch::Receiver<bool>,
    ready: impl FnOnce(),
) -> Result<()> {
    let (send, mut doors) = mpsc::unbounded_channel();
    let house = Arc::new(House {
        gate: Arc::clone(&gate),
        runtime: Handle::current(),
        stop: stop.clone(),
        doors: send,
    });
    let mut open: JoinSet<()> = JoinSet::new();
    let mut sessions = std::collections::HashMap::new();
    let folder = gate.sessions_dir();
    make_folder(&folder)?;
    let reviewers = bind(&gate.reviewers_socket(), 0o600)?;
    open.spawn(keep_door(Arc::clone(&house), reviewers, Door::Reviewers));
    let hooks = bind(&gate.hooks_socket(), 0o666)?;
    open.spawn(keep_door(Arc::clone(&house), hooks, Door::Hooks));
    for session in gate.open_sessions() {
        let handle = open_door(&house, &mut open, session)?;
        sessions.insert(session, handle);
    }
    ready();
    let mut stopping = stop;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            changed = stopping.changed() => {
                if changed.is_err() || *stopping.borrow() {
                    break;
                }
            }
            Some((session, opens)) = doors.recv() => {
                if let Some(opened) = opens {
                    match open_door(&house, &mut open, session) {
                        Ok(handle) => {
                            sessions.insert(session, handle);
                            let _ = opened.send(());
                        }
                        // Whoever opened it finds no socket there, and nothing runs.
                        Err(error) => gate.tell(&error),
                    }
                } else if let Some(handle) = sessions.remove(&session) {
                    let handle: tokio::task::AbortHandle = handle;
                    handle.abort();
                    let _ = fs::remove_dir_all(gate.session_socket(session).parent().unwrap_or(&folder));
                }
            }
            _ = look.tick() => gate.look_at_switch(),
        }
    }
    gate.stop();
    let leave = async { while open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LEAVE, leave).await;
    let _ = fs::remove_file(gate.reviewers_socket());
    let _ = fs::remove_file(gate.hooks_socket());
    Ok(())
}

fn open_door(
    house: &Arc<House>,
    open: &mut JoinSet<()>,
    session: Seq,
) -> Result<tokio::task::AbortHandle> {
    let path = house.gate.session_socket(session);
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let listener = bind(&path, 0o666)?;
    Ok(open.spawn(keep_door(
        Arc::clone(house),
        listener,
        Door::Session(session),
    )))
}

/// Makes a folder that everybody may look into and only we may write.
fn make_folder(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::io("create", path, e))
        }
        _ => fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .map_err(|e| Error::io("open", path, e)),
    }
}

/// Listens at a path; whatever lies there is a stale socket of ours, since we own the log.
fn bind(path: &PathBuf, mode: u32) -> Result<UnixListener> {
    check_path(path)?;
    crate::files::remove_if_there(path)?;
    // Nobody else may connect in the moment before the mode is set: the folder's owner alone could, and that is us.
    let listener = UnixListener::bind(path).map_err(|e| Error::io("listen at", path, e))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|e| Error::io("listen at", path, e))?;
    Ok(listener)
}

/// How many connections a door of agents takes: the other doors, and the log, keep three quarters of the descriptors.
fn crowd() -> u32 {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    u32::try_from(limit / (4 * DESCRIPTORS)).map_or(CROWD, |fit| fit.clamp(1, CROWD))
}

/// Takes connections until the gate stops.
async fn keep_door(house: Arc<House>, listener: UnixListener, door: Door) {
    let places = match door {
        Door::Reviewers => REVIEWERS,
        _ => crowd(),
    };
    let crowd = Arc::new(Semaphore::new(places.try_into().unwrap_or(0)));
    // Who talks at this door hears when it is closed: this end is let go of then.
    let (_open, closed) = watch::channel(());
    let mut stop = house.stop.clone();
    loop {
        let place = tokio::select! {
            _ = stop.changed() => break,
            place = Arc::clone(&crowd).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let stream = tokio::select! {
            _ = stop.changed() => break,
            taken = listener.accept() => taken,
        };
        match stream {
            // Whoever finds no thread is hung up on, and a hook denies then.
            Ok((stream, _)) => {
                let house = Arc::clone(&house);
                drop(begin_talk(house, stream, door, closed.clone(), place));
            }
            // Too many files are open, or the peer is gone already.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    drop(listener);
    // When all places are free again, all have left.
    let _ = crowd.acquire_many(places).await;
}

/// Begins a connection on a thread of its own, which keeps its place as long as it lasts.
fn begin_talk(
    house: Arc<House>,
    stream: UnixStream,
    door: Door,
    closed: watch::Receiver<()>,
    place: OwnedSemaphorePermit,
) -> std::io::Result<()> {
    let stream = stream.into_std()?;
    let talking = move || {
        let _place = place;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let gate = Arc::clone(&house.gate);
        let talked = runtime.block_on(async {
            talk(house, UnixStream::from_std(stream)?, door, closed).await;
            Ok::<(), std::io::Error>(())
        });
        gate.log().settle();
        talked
    };
    let thread = std::thread::Builder::new().name("tacho-door".to_owned());
    thread.spawn(talking).map(drop)
}

/// One connection: as many questions as come, until its door is closed or the gate stops.
async fn talk(house: Arc<House>, stream: UnixStream, door: Door, mut closed: watch::Receiver<()>) {
    let Ok(credentials) = stream.peer_cred() else {
        return;
    };
    let peer = Peer {
        uid: credentials.uid(),
        door,
    };
    let asked = Arc::clone(&house);
    let service = service_fn(move |request| {
        let house = Arc::clone(&asked);
        async move { Ok::<_, Infallible>(answer(&house, peer, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(32)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut stop = house.stop.clone();
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = closed.changed() => {}
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(LEAVE, connection).await;
        }
    }
}
