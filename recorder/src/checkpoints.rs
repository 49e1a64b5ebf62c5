//! The `checkpoints` file: signed notes, only ever longer.
//!
//! Each entry is a signed note and an empty line. An entry is appended with one write and made durable before anybody sees the
//! checkpoint; the file is compared with what we last wrote to it before each append, so that a second writer or a swapped file
//! shows instead of being signed over.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tacho_schemas::checkpoint::Checkpoint;
use tacho_schemas::note::Note;

use crate::dir::LogDir;
use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::files;

/// Enough of the end of the file to hold its last entry: a note has at most 128 KiB.
const TAIL: u64 = 256 << 10;

/// The checkpoints of a log, for its writer.
#[derive(Debug)]
pub struct Checkpoints {
    path: PathBuf,
    /// What the file must look like before the next append: its length and its last entry.
    length: u64,
    last: Option<Note>,
}

/// What the end of a file holds.
struct Tail {
    last: Option<Note>,
    /// Length of the file up to the end of the last whole entry.
    whole: u64,
    length: u64,
}

impl Checkpoints {
    /// Makes the file of a new log.
    pub fn create(dir: &LogDir) -> Result<Self> {
        files::write_new(&dir.checkpoints(), b"")?;
        Ok(Self {
            path: dir.checkpoints(),
            length: 0,
            last: None,
        })
    }

    /// Opens the file, and cuts off an entry that a crash left half written: it was never shown to anybody.
    pub fn open(dir: &LogDir) -> Result<Self> {
        let path = dir.checkpoints();
        let tail = Tail::read(&path)?;
        if tail.whole < tail.length {
            let file = files::open_append(&path)?;
            file.set_len(tail.whole)
                .and_then(|()| file.sync_all())
                .map_err(|e| Error::io("write", &path, e))?;
        }
        Ok(Self {
            path,
            length: tail.whole,
            last: tail.last,
        })
    }

    /// The last checkpoint.
    pub fn last(&self) -> Result<Option<(Checkpoint, &Note)>> {
        let Some(note) = &self.last else {
            return Ok(None);
        };
        let body = Checkpoint::parse(note.text()).map_err(|e| self.malformed(&e.to_string()))?;
        Ok(Some((body, note)))
    }

    /// Appends a checkpoint and makes it durable; refuses if the file is not as we left it.
    pub fn append(&mut self, note: Note) -> Result<()> {
        let now = Tail::read(&self.path)?;
        if now.length != self.length || now.last != self.last {
            return Err(Error::new(
                ErrorKind::Refused,
                format!("{} was changed by someone else", Quoted(&self.path)),
            )
            .with_hint(
                "stop the recorder and find out by whom; `tacho verify` shows what is still proven",
            ));
        }
        let entry = format!("{note}\n");
        let mut file = files::open_append(&self.path)?;
        if let Err(error) = file
            .write_all(entry.as_bytes())
            .and_then(|()| file.sync_all())
        {
            // What a full disk took of it was shown to nobody; left there, it would look like someone else's.
            file.set_len(self.length)
                .and_then(|()| file.sync_all())
                .map_err(|e| Error::io("write", &self.path, e).with_kind(ErrorKind::Io))?;
            return Err(Error::io("write", &self.path, error));
        }
        self.length += u64::try_from(entry.len()).unwrap_or(0);
        self.last = Some(note);
        Ok(())
    }

    fn malformed(&self, why: &str) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "the last entry of {} is malformed: {why}",
                Quoted(&self.path)
            ),
        )
    }
}

impl Tail {
    fn read(path: &Path) -> Result<Self> {
        let mut file = files::open_read(path)?;
        let io = |e| Error::io("read", path, e);
        let length = file.metadata().map_err(io)?.len();
        let from = length.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(from)).map_err(io)?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes).map_err(io)?;

        let malformed = |why: String| {
            Error::new(
                ErrorKind::Corrupt,
                format!("the last entry of {} is malformed: {why}", Quoted(path)),
            )
        };
        let ends = entry_ends(&bytes);
        let end = ends.last().copied().unwrap_or(0);
        let start = ends
            .len()
            .checked_sub(2)
            .and_then(|i| ends.get(i))
            .copied()
            .unwrap_or(0);
        let entry = bytes.get(start..end.saturating_sub(1)).unwrap_or_default();
        let last = match entry.is_empty() {
            true => None,
            false => Some(Note::parse(entry).map_err(|e| malformed(e.to_string()))?),
        };
        let whole = from + u64::try_from(end).unwrap_or(u64::MAX);
        Ok(Self {
            last,
            whole,
            length,
        })
    }
}

/// Reads the newest checkpoint of a log that may be live: an entry that is just being written does not count yet.
///
/// Read it before taking a snapshot of the records; then they are there.
pub fn newest(dir: &LogDir) -> Result<Option<Note>> {
    match Tail::read(&dir.checkpoints()) {
        Ok(tail) => Ok(tail.last),
        Err(error) if error.kind() == ErrorKind::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads all checkpoints, oldest first; an entry that cannot be read is an error with its number.
pub fn read_all(path: &Path) -> Result<Vec<std::result::Result<Note, String>>> {
    let mut file = files::open_read(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|e| Error::io("read", path, e))?;
    let mut notes = Vec::new();
    let mut start = 0;
    for end in entry_ends(&bytes) {
        let entry = bytes.get(start..end.saturating_sub(1)).unwrap_or_default();
        notes.push(Note::parse(entry).map_err(|e| e.to_string()));
        start = end;
    }
    if start < bytes.len() {
        notes.push(Err("it is not whole".to_owned()));
    }
    Ok(notes)
}

/// Finds where entries end: after each empty line that follows a signature line.
fn entry_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut at, mut after_signature) = (0, false);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        if line == b"\n" && after_signature {
            ends.push(at);
        }
        after_signature = line.starts_with("\u{2014} ".as_bytes());
    }
    ends
}
