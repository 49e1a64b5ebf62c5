//! Where an importer puts what it read.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::thread;

use tacho_schemas::body::log::{Import, Loss, Phase, SealReason};
use tacho_schemas::content::Field;
use tacho_schemas::event::{Attachment, Event};
use tacho_schemas::record::{Actor, ActorType, Role};
use tacho_schemas::scalar::List;
use tacho_schemas::{Hash, Id, Kind, Seq};

use super::{Format, Source, lines};
use crate::draft::{Draft, Way};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Log, Pending};

/// Records under way at the most.
const UNDER_WAY: usize = 4096;

/// An epoch ends after so many records of an import.
const EPOCH: u64 = 65_536;

/// Original bytes in one artefact.
const PIECE: u64 = 4 << 20;

/// Pieces in one record.
const PIECES: usize = 8;

/// Records with original bytes that are made ready at once.
const PARTS: usize = 2;

/// Types of losses that are kept apart; more become `other`.
const MAX_LOSSES: usize = 250;

/// Takes events, gives them numbers before they are durable, and counts what was lost.
///
/// Records of a file name each other (an outcome its action, a generation its parents), and waiting for each to be durable would
/// cost an fsync a line. So the sink says which number each record will have, and the writer refuses a draft that would get another.
#[derive(Debug)]
pub struct Sink<'log> {
    log: &'log Log,
    way: Way,
    open: Seq,
    next: u64,
    epoch: u64,
    under_way: VecDeque<(Seq, Pending)>,
    counts: BTreeMap<Kind, u64>,
    losses: BTreeMap<String, u64>,
    repeats: BTreeMap<String, u64>,
}

/// What a sink tells when it is closed.
#[derive(Debug)]
pub(super) struct Closed {
    /// The opening and the closing record.
    pub(super) records: (Seq, Seq),
    pub(super) counts: BTreeMap<Kind, u64>,
    pub(super) losses: BTreeMap<String, u64>,
    pub(super) repeats: BTreeMap<String, u64>,
}

impl<'log> Sink<'log> {
    /// Writes the opening record, with the original bytes.
    pub(super) fn open(
        log: &'log Log,
        format: Format,
        path: &Path,
        source: &Source,
        lengths: &[u64],
        digest: &Hash,
    ) -> Result<Self> {
        let mut pieces = Pieces::of(source, lengths, path);
        let mut event = Event::new(system()?, phase(Phase::Open, format)?)
            .with(Field::Path, path.display().to_string())
            .with(Field::Digest, digest.to_string());
        event.artefacts = pieces.take()?;
        let receipt = log.append(event, Way::recorder())?;
        let open = receipt.seq;
        let mut sink = Self {
            log,
            way: Way::recorder(),
            open,
            next: open.0 + 1,
            epoch: 0,
            under_way: VecDeque::new(),
            counts: BTreeMap::new(),
            losses: BTreeMap::new(),
            repeats: BTreeMap::new(),
        };
        loop {
            let mut parts = Vec::new();
            while parts.len() < PARTS {
                let artefacts = pieces.take()?;
                if artefacts.is_empty() {
                    break;
                }
                let mut event = Event::new(system()?, phase(Phase::Part, format)?);
                event.causes = vec![open];
                event.artefacts = artefacts;
                parts.push(event);
            }
            if parts.is_empty() {
                break;
            }
            sink.put_together(parts)?;
        }
        sink.way = Way::import(open);
        sink.counts.clear();
        Ok(sink)
    }

    /// The opening record.
    pub fn import(&self) -> Seq {
        self.open
    }

    /// Puts an event, and returns the number that its record will have; none if it cannot be recorded, which is counted.
    pub fn put(&mut self, event: Event) -> Result<Option<Seq>> {
        self.submit(self.log.draft(event, self.way.clone()))
    }

    /// Puts events whose bytes are many: they are made ready side by side.
    fn put_together(&mut self, events: Vec<Event>) -> Result<()> {
        let (log, way) = (self.log, &self.way);
        let drafts: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = events
                .into_iter()
                .map(|event| scope.spawn(|| log.draft(event, way.clone())))
                .collect();
            let ended = || Error::new(ErrorKind::Io, "a thread of the import failed");
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(ended())))
                .collect()
        });
        for draft in drafts {
            self.submit(draft)?;
        }
        Ok(())
    }

    fn submit(&mut self, draft: Result<Draft>) -> Result<Option<Seq>> {
        let seq = Seq(self.next);
        let draft = match draft.and_then(|draft| draft.expecting(seq)) {
            Ok(draft) => draft,
            Err(error) if error.kind() == ErrorKind::Unrecordable => {
                self.lose("unrecordable");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        *self.counts.entry(draft.kind()).or_default() += 1;
        self.under_way.push_back((seq, self.log.submit(draft)?));
        self.next += 1;
        self.epoch += 1;
        self.drain(UNDER_WAY)?;
        if self.epoch >= EPOCH {
            self.drain(0)?;
            self.next = self.log.seal(SealReason::Cadence)?.seq.0 + 1;
            self.epoch = 0;
        }
        Ok(Some(seq))
    }

    /// Counts something that was not understood.
    pub fn lose(&mut self, what: &str) {
        self.lose_many(what, 1);
    }

    /// Counts several things of one type that were not understood.
    pub fn lose_many(&mut self, what: &str, many: u64) {
        tally(&mut self.losses, what, many);
    }

    /// Counts something that the source says a second time and that is kept once.
    pub fn repeat(&mut self, what: &str) {
        tally(&mut self.repeats, what, 1);
    }

    /// Writes the closing record.
    pub(super) fn close(mut self, format: Format) -> Result<Closed> {
        self.drain(0)?;
        let mut body = phase(Phase::Close, format)?;
        body.count = Some(self.counts.values().sum());
        let losses = self.losses.iter().map(|(what, count)| {
            Ok(Loss {
                count: *count,
                what: Id::new(what.as_str())?,
            })
        });
        body.losses = List::some(losses.collect::<Result<_>>()?)?;
        let mut event = Event::new(system()?, body);
        event.causes = vec![self.open];
        if !self.repeats.is_empty() {
            let repeats = self.repeats.iter();
            let repeats: Vec<_> = repeats
                .map(|(what, count)| format!("{what} {count}"))
                .collect();
            let detail = format!(
                "told twice by the source, kept once: {}",
                repeats.join(", ")
            );
            event = event.with(Field::Detail, detail);
        }
        let close = self.log.append(event, Way::recorder())?.seq;
        Ok(Closed {
            records: (self.open, close),
            counts: self.counts,
            losses: self.losses,
            repeats: self.repeats,
        })
    }

    fn drain(&mut self, left: usize) -> Result<()> {
        while self.under_way.len() > left {
            let Some((seq, pending)) = self.under_way.pop_front() else {
                return Ok(());
            };
            let became = pending.number()?;
            if became != seq {
                return Err(Error::new(
                    ErrorKind::Poisoned,
                    format!("record {seq} became {became}"),
                ));
            }
        }
        Ok(())
    }
}

/// Adds to a count; names beyond the most that are kept apart are counted as `other`.
fn tally(counts: &mut BTreeMap<String, u64>, what: &str, many: u64) {
    if many == 0 {
        return;
    }
    if let Some(count) = counts.get_mut(what) {
        *count = count.saturating_add(many);
        return;
    }
    let known = counts.len() < MAX_LOSSES;
    let count = counts.entry(fitting(what, known)).or_default();
    *count = count.saturating_add(many);
}

/// A name under which something is counted; new ones only as long as there is room.
fn fitting(what: &str, is_room: bool) -> String {
    if !is_room {
        return "other".to_owned();
    }
    let fitting: String = what.chars().map(plain).take(64).collect();
    if fitting.is_empty() {
        "empty".to_owned()
    } else {
        fitting
    }
}

/// A character of a loss' name: what an id may hold.
fn plain(c: char) -> char {
    if c.is_ascii_graphic() { c } else { '_' }
}

fn system() -> Result<Actor> {
    Ok(Actor {
        actor_type: ActorType::System,
        id: Id::new("tacho-import")?,
        model: None,
        on_behalf_of: None,
    })
}

fn phase(phase: Phase, format: Format) -> Result<Import> {
    Ok(Import {
        count: None,
        phase,
        format: Id::new(format.name())?,
        format_version: None,
        losses: None,
    })
}

/// The original bytes, in pieces that end with lines where they can.
struct Pieces {
    files: Vec<(PathBuf, u64)>,
    current: Option<(Box<dyn Read>, PathBuf, Vec<u8>)>,
    place: usize,
}

impl Pieces {
    fn of(source: &Source, lengths: &[u64], path: &Path) -> Self {
        let mut pieces = Self {
            files: Vec::new(),
            current: None,
            place: 0,
        };
        match source {
            Source::Files(files) => {
                pieces.files = files.iter().cloned().zip(lengths.iter().copied()).collect();
            }
            Source::Git(history) => {
                let listing = Box::new(Cursor::new(history.listing.clone()));
                pieces.current = Some((listing, path.to_owned(), Vec::new()));
            }
        }
        pieces
    }

    /// Takes the next pieces, as many as one record carries.
    fn take(&mut self) -> Result<Vec<Attachment>> {
        let mut taken = Vec::new();
        while taken.len() < PIECES {
            let Some((input, path, rest)) = &mut self.current else {
                let Some((path, length)) = self.files.get(self.place).cloned() else {
                    break;
                };
                self.place += 1;
                let (file, _) = lines::open(&path)?;
                self.current = Some((Box::new(file.take(length)), path, Vec::new()));
                continue;
            };
            let mut bytes = std::mem::take(rest);
            let room = PIECE.saturating_sub(u64::try_from(bytes.len()).unwrap_or(0));
            let read = input.by_ref().take(room).read_to_end(&mut bytes);
            let read = read.map_err(|e| Error::io("read", path, e))?;
            let more = u64::try_from(read) == Ok(room) && room > 0;
            // A secret that lies across two pieces would not be found: cut where a line ends.
            if more && let Some(end) = bytes.iter().rposition(|b| *b == b'\n') {
                *rest = bytes.split_off(end + 1);
            }
            let path = path.display().to_string();
            if !more {
                self.current = None;
                if bytes.is_empty() {
                    continue;
                }
            }
            taken.push(Attachment {
                role: Role::Original,
                path: Some(path),
                media_type: None,
                unredacted_blake3: None,
                bytes,
            });
        }
        Ok(taken)
    }
}
