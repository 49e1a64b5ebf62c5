//! The start of a writer: a new log, or one that is there.
//!
//! A start looks before it lets SQLite look (the WAL), checks the keys, the last checkpoint and every record since, and writes a
//! `boot` record. After an unclean stop the epoch is sealed at once. What it cannot explain it refuses, with the next step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ed25519_dalek::{SigningKey, VerifyingKey};
use tacho_schemas::body::Body;
use tacho_schemas::body::log::{
    Boot, Gap, GapKind, Genesis, Key, KeyOp, KeyRole, SUITE, SealReason,
};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::receipt::Commit;
use tacho_schemas::scalar::Blob;
use tacho_schemas::sign::{self, PublicKey, Purpose};
use tacho_schemas::tile::Tiles;
use tacho_schemas::tree;
use tacho_schemas::{Fixed, Hash, Id, Kind, LogId, Origin, Seq, Time};

use super::backfill::Backfill;
use super::state::{self, State};
use super::writer::{Request, Writer, recorder};
use super::{Beginning, Opening, Options, Prover};
use crate::checkpoints::Checkpoints;
use crate::dir::{Lock, LogDir};
use crate::draft::Draft;
use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::files::{self, Privacy};
use crate::keys::KeyRing;
use crate::redact::Redactor;
use crate::store::{Store, TileId};
use crate::wal::{self, Wal};

/// The longest settings.
const MAX_SETTINGS: u64 = 1 << 20;

/// A writer that is ready to serve.
pub(super) struct Started {
    pub(super) writer: Writer,
    pub(super) path: PathBuf,
    pub(super) origin: Origin,
    pub(super) log_id: LogId,
    pub(super) identity: PublicKey,
    pub(super) opening: Opening,
    pub(super) redactor: Arc<Redactor>,
}

/// Makes a new log.
///
/// Order: directory → keys → database → checkpoints file → genesis → boot → first checkpoint, each durable. A crash before the
/// genesis leaves a directory that is refused as not a log and not empty; nothing was recorded in it. A crash after it leaves a
/// log that the next start finishes.
pub(super) fn create(beginning: Beginning<'_>, options: Options) -> Result<Started> {
    let dir = LogDir::create(beginning.path)?;
    let lock = dir.lock()?;
    let ring = KeyRing::create(&dir.keys())?;
    let mut store = Store::create(&dir, &lock)?;
    let checkpoints = Checkpoints::create(&dir)?;
    let genesis = Genesis {
        suite: SUITE,
        origin: beginning.origin,
        identity_key: public(&beginning.identity.verifying_key()),
        log_key: public(&ring.log().verifying_key()),
        epoch_key: public(&ring.epoch()?.verifying_key()),
        policy_digest: None,
        sealing: true,
        witness_quorum: 0,
        predecessor: beginning.predecessor,
        signature: None,
    };
    let place = (Seq(0), Hash::ZERO);
    let bytes = signed(
        genesis.into(),
        place,
        Purpose::Genesis,
        beginning.identity,
        &options,
    )?;
    keep(&mut store, Tiles::new(), 0, &bytes)?;
    let state = State::read(&store.snapshot()?)?;
    begin(
        Parts {
            dir,
            lock,
            store,
            ring,
            checkpoints,
            state,
            options,
        },
        Opening::default(),
        None,
    )
}

/// Opens a log that is there.
pub(super) fn open(path: &Path, options: Options) -> Result<Started> {
    let Found {
        dir,
        lock,
        store,
        mut state,
        lost,
    } = find(path, &options)?;
    let (ring, keys) = {
        let snapshot = store.snapshot()?;
        let log_key = verifying(&state.log_key)?;
        match KeyRing::recover(&dir.keys(), &log_key, &verifying(&state.epoch_key)?) {
            Err(error) if error.kind() == ErrorKind::Refused => {
                // Perhaps the log key was rotated; only then is the whole log read for it.
                state.find_log_key(&snapshot)?;
                if verifying(&state.log_key)? == log_key {
                    return Err(error);
                }
                KeyRing::recover(
                    &dir.keys(),
                    &verifying(&state.log_key)?,
                    &verifying(&state.epoch_key)?,
                )?
            }
            other => other?,
        }
    };
    let checkpoints = Checkpoints::open(&dir).map_err(|error| match error.kind() {
        ErrorKind::Missing => Error::new(
            ErrorKind::Refused,
            format!(
                "{} is missing, and the log is not new",
                Quoted(&dir.checkpoints())
            ),
        )
        .with_hint("restore it; without it nothing shows whether the log was cut"),
        _ => error,
    })?;
    let mut opening = Opening {
        unclean: !state.clean,
        keys,
        ..Opening::default()
    };
    {
        let snapshot = store.snapshot()?;
        let mut from = 0;
        match checkpoints.last()? {
            Some((body, note)) => {
                state.check_checkpoint(&snapshot, &body, note)?;
                from = body.size().saturating_sub(1);
            }
            // Making a log ends with its first checkpoint; only a crash before that leaves the file empty.
            None if !is_unused(&snapshot, &state)? => {
                return Err(Error::new(
                    ErrorKind::Refused,
                    format!(
                        "{} is empty, and the log is not new",
                        Quoted(&dir.checkpoints())
                    ),
                )
                .with_hint("restore it; without it nothing shows whether the log was cut"));
            }
            None => {}
        }
        state.check_from(&snapshot, from)?;
        opening.recovered = unsigned(&snapshot, &state)?;
    }
    begin(
        Parts {
            dir,
            lock,
            store,
            ring,
            checkpoints,
            state,
            options,
        },
        opening,
        lost,
    )
}

/// Ends an epoch whose key is lost, by leave of the identity key: the break stays visible for ever.
pub(super) fn break_epoch(path: &Path, identity: &SigningKey, options: &Options) -> Result<Seq> {
    let Found {
        dir,
        lock: _lock,
        mut store,
        mut state,
        ..
    } = find(path, options)?;
    if public(&identity.verifying_key()) != state.identity {
        return Err(Error::new(
            ErrorKind::Refused,
            "this identity key is not the one that answers for the log",
        ));
    }
    let epoch_key = verifying(&state.epoch_key)?;
    let mut present = KeyRing::present(&dir.keys(), &verifying(&state.log_key)?, &epoch_key)?;
    if !present.log {
        // Perhaps it was rotated.
        state.find_log_key(&store.snapshot()?)?;
        present = KeyRing::present(&dir.keys(), &verifying(&state.log_key)?, &epoch_key)?;
    }
    if present.epoch {
        return Err(Error::new(
            ErrorKind::Refused,
            "the epoch's key is not lost, so nothing needs a break",
        )
        .with_hint("use `tacho key rotate` to end the epoch"));
    }
    if !present.log {
        return Err(Error::new(
            ErrorKind::Refused,
            "the log key is lost too, and a break does not replace it",
        )
        .with_hint(
            "restore `keys/log.pem`, or start a new log that names this one as its predecessor",
        ));
    }
    let next = KeyRing::prepare_break(&dir.keys())?;
    let body = Key {
        signature: None,
        epoch: Some(state.epoch.saturating_add(1)),
        op: KeyOp::Break,
        role: KeyRole::Epoch,
        public_key: Blob::new(next.to_bytes().to_vec())?,
        holder: None,
        groups: None,
        assurance: None,
        consumes: None,
    };
    let place = (Seq(state.size()), state.head);
    let bytes = signed(body.into(), place, Purpose::Key, identity, options)?;
    keep(&mut store, state.tiles.clone(), state.size(), &bytes)?;
    Ok(place.0)
}

/// A log whose database is open and whose state is read.
struct Found {
    dir: LogDir,
    lock: Lock,
    store: Store,
    state: State,
    /// What was lost with the WAL, where a human accepted that.
    lost: Option<String>,
}

/// Looks at the WAL, then opens the database and reads the state.
fn find(path: &Path, options: &Options) -> Result<Found> {
    let dir = LogDir::open(path)?;
    let lock = dir.lock()?;
    let looked = wal::inspect(&dir.wal())?;
    let mut lost = match &looked {
        Wal::Empty | Wal::Clean(_) | Wal::TornTail { .. } => None,
        Wal::Damaged {
            committed,
            frame,
            later_frames,
            ..
        } => Some(format!(
            "the WAL is damaged at frame {frame}: {} commits before it are whole, {later_frames} frames after it would be dropped",
            committed.commits
        )),
        Wal::BadHeader { why, bytes_after } => Some(format!(
            "the header of the WAL {why}, and {bytes_after} bytes after it would be dropped"
        )),
    };
    if let (Some(what), false) = (&lost, options.accept_loss) {
        return Err(loss(what));
    }
    let store = match Store::open_writer(&dir, &lock) {
        // What the WAL holds finds no room in the database: the reserve is for days like this.
        Err(error) if error.kind() == ErrorKind::Full => {
            dir.release_reserve()?;
            Store::open_writer(&dir, &lock)?
        }
        other => other?,
    };
    let state = State::read(&store.snapshot()?)?;
    if looked == Wal::Empty && !state.clean && state.size() > 1 {
        let what = "the log was not stopped cleanly, but its WAL is gone and what was in it";
        if !options.accept_loss {
            return Err(loss(what));
        }
        lost = Some(what.to_owned());
    }
    Ok(Found {
        dir,
        lock,
        store,
        state,
        lost,
    })
}

fn loss(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, what).with_hint(
        "copy the directory for forensics first; then `--accept-loss` starts without the lost records, and the log says so for ever",
    )
}

struct Parts {
    dir: LogDir,
    lock: Lock,
    store: Store,
    ring: KeyRing,
    checkpoints: Checkpoints,
    state: State,
    options: Options,
}

/// Records the start: `boot`, a `gap` if something is missing, and after an unclean stop a seal.
fn begin(parts: Parts, mut opening: Opening, lost: Option<String>) -> Result<Started> {
    let Parts {
        dir,
        lock,
        store,
        ring,
        checkpoints,
        state,
        options,
    } = parts;
    let redactor = redactor(&dir)?;
    if let Err(error) = dir.restore_reserve() {
        opening.no_reserve = Some(error.to_string());
    }
    let is_new = state.size() == 1;
    let boot_id = Fixed(options.clock.boot_id());
    let boot = Boot {
        boot_id,
        clean: !opening.unclean,
        recovered: opening.recovered,
        mono_reset: is_new
            || last_boot(&store, &state)? != Some(boot_id)
            || options.clock.boottime_ns() < state.last_mono,
        software: Id::new(options.software.as_str())?,
        loss_accepted: lost.is_some(),
    };
    let mut requests = vec![Request::own(Event::new(recorder()?, boot))?];
    if opening.unclean {
        let gap = Gap {
            gap: if lost.is_some() {
                GapKind::Lost
            } else {
                GapKind::RecorderDown
            },
            count: None,
            since: Some(Time(state.last_time)),
            until: Some(Time(options.clock.wall_ns())),
        };
        let mut event = Event::new(recorder()?, gap);
        if let Some(what) = lost {
            event = event.with(Field::Detail, what);
        }
        requests.push(Request::own(event)?);
    }
    let backfill = Backfill::start(&dir, &lock)?;
    let started = Instant::now();
    let mut writer = Writer {
        prover: Prover::new(ring.log()),
        dir,
        store,
        ring,
        checkpoints,
        backfill,
        state,
        options,
        unsigned: false,
        signed: None,
        unkept: false,
        epoch_began: started,
        checkpointed: started,
        checkpointed_size: 0,
        checkpoint_owed: false,
        poisoned: false,
        reserve_spent: false,
        _lock: lock,
    };
    writer.commit(requests)?;
    if opening.unclean {
        writer.seal(SealReason::UncleanStart)?;
    }
    // A checkpoint of the start: if the WAL is taken away later, the log is shorter than what it signed. From its first moment a
    // log has what a verifier asks of it, a checkpoint and a statement over its records.
    if !opening.unclean {
        writer.checkpoint()?;
        writer.keep_statement()?;
    }
    if writer.checkpoints.last()?.is_none() {
        return Err(Error::new(
            ErrorKind::Full,
            "the disk has no room for the log's first checkpoint",
        )
        .with_hint("free some space on this file system and try again"));
    }
    Ok(Started {
        path: writer.dir.path().to_owned(),
        origin: writer.state.origin.clone(),
        log_id: writer.state.log_id,
        identity: writer.state.identity,
        opening,
        redactor,
        writer,
    })
}

/// Whether nobody ever wrote to the log: it holds only what making and starting it leaves.
fn is_unused(snapshot: &crate::store::Snapshot<'_>, state: &State) -> Result<bool> {
    for seq in 0..state.size() {
        let kind = state::record(snapshot, seq)?.1.kind;
        if !matches!(kind, Kind::Genesis | Kind::Boot | Kind::Gap | Kind::Seal) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What is to be taken out of this log's records: what we know, and what its settings add.
fn redactor(dir: &LogDir) -> Result<Arc<Redactor>> {
    let path = dir.settings();
    let file = match files::open_private(&path, Privacy::Shown) {
        Err(error) if error.kind() == ErrorKind::Missing => return Redactor::builtin(),
        file => file?,
    };
    let mut settings = Vec::new();
    files::read_capped(&file, &path, MAX_SETTINGS, &mut settings)?;
    let wrong = |why: &str| Error::new(ErrorKind::Usage, format!("in {}: {why}", Quoted(&path)));
    let settings = String::from_utf8(settings).map_err(|_| wrong("it is not UTF-8"))?;
    Redactor::with_extra(&settings).map_err(|e| wrong(&e.to_string()))
}

/// How many records lie behind the last durable signature; refuses a signature that does not fit.
fn unsigned(snapshot: &crate::store::Snapshot<'_>, state: &State) -> Result<u64> {
    let Some(row) = snapshot.commit_row()? else {
        // The first statement is kept with the second commit.
        return Ok(state.size());
    };
    let refused = |what: &str| {
        Error::new(
            ErrorKind::Refused,
            format!("the last commit's statement {what}"),
        )
        .with_hint("the log was altered: run `tacho verify` to see what is still proven")
    };
    let commit =
        Commit::decode(&row.statement).map_err(|e| refused("cannot be read").with_source(e))?;
    if commit.log_id != state.log_id || commit.size > state.size() {
        return Err(refused("is of another log, or of a longer one"));
    }
    let nodes = state.nodes();
    let root = tree::root_of(commit.size, |level, index| {
        nodes.node(snapshot, level, index)
    })?;
    if root != commit.root {
        return Err(refused("has another root"));
    }
    // An older epoch's statement is covered by the seal that ended it.
    if commit.epoch == state.epoch {
        let signature = row
            .signature
            .try_into()
            .map(Fixed)
            .map_err(|_| refused("has no signature"))?;
        commit
            .verify(&state.epoch_key, &signature)
            .map_err(|e| refused("does not verify").with_source(e))?;
    }
    let sealed = if state.epoch > 0 {
        state.epoch_first.0
    } else {
        0
    };
    Ok(state.size().saturating_sub(commit.size.max(sealed)))
}

/// The boot id of the last boot record.
fn last_boot(store: &Store, state: &State) -> Result<Option<Fixed<16>>> {
    let snapshot = store.snapshot()?;
    let seq = match state.boot {
        Some(seq) => Some(seq),
        None => {
            let row = snapshot.commit_row()?;
            row.and_then(|row| Commit::decode(&row.statement).ok())
                .map(|commit| commit.boot)
        }
    };
    let Some(seq) = seq else { return Ok(None) };
    Ok(match state::record(&snapshot, seq.0)?.1.body {
        Body::Boot(boot) => Some(boot.boot_id),
        _ => None,
    })
}

/// Encodes a record of the recorder's that is signed in its place.
fn signed(
    body: Body,
    (seq, prev): (Seq, Hash),
    purpose: Purpose,
    key: &SigningKey,
    options: &Options,
) -> Result<Vec<u8>> {
    let mut draft = Draft::own(Event::new(recorder()?, body))?;
    let time = Time(options.clock.wall_ns());
    let record = draft.place(seq, prev, time, options.clock.boottime_ns());
    record
        .body
        .set_signature(Some(sign::sign(key, purpose, &record.encode_unsigned()?)));
    Ok(record.encode()?)
}

/// Commits one record outside the writer.
fn keep(store: &mut Store, mut tiles: Tiles, seq: u64, bytes: &[u8]) -> Result<()> {
    let mut batch = store.batch()?;
    batch.record(seq, bytes)?;
    for tile in tiles.push(tree::leaf_hash(bytes))? {
        batch.tile(
            TileId::new(tile.tile().level(), tile.tile().index())?,
            &tile.to_bytes(),
        )?;
    }
    batch.commit()
}

fn public(key: &VerifyingKey) -> PublicKey {
    Fixed(key.to_bytes())
}

fn verifying(key: &PublicKey) -> Result<VerifyingKey> {
    VerifyingKey::from_bytes(&key.0).map_err(|e| {
        Error::new(ErrorKind::Corrupt, "the log names a key that is none").with_source(e)
    })
}
