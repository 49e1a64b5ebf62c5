//! Files that somebody else wrote, line by line.
//!
//! A file may be torn, huge, of another encoding, or grow while it is read. What is read ends where the file ended when it was
//! opened; a line that is too long is passed over and counted; memory is bounded by the longest line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use tacho_schemas::Hash;

use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::files;

/// The longest line that is read.
pub(crate) const MAX_LINE: usize = 64 << 20;

/// Bytes of a line that are read at once.
const PIECE: u64 = 1 << 20;

/// Bytes at the beginning of a file, enough to guess its format.
const HEAD: u64 = 256 << 10;

/// Opens a file of somebody else's: a plain one, in an encoding that we read.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    // Through symlinks: the user named it. A FIFO must not make us wait, so it is refused after opening without blocking.
    let meta = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
    let refuse = |what: &str, hint: &str| {
        let error = Error::new(ErrorKind::Usage, format!("{} {what}", Quoted(path)));
        Err(if hint.is_empty() {
            error
        } else {
            error.with_hint(hint)
        })
    };
    if meta.is_dir() {
        return refuse("is a directory", "name the files in it");
    }
    if !meta.is_file() {
        return refuse("is not a plain file", "save what it gives to a file first");
    }
    let real = std::fs::canonicalize(path).map_err(|e| Error::io("read", path, e))?;
    let mut file = files::open_read(&real)?;
    let mut magic = [0; 4];
    let read = file
        .read(&mut magic)
        .map_err(|e| Error::io("read", path, e))?;
    match magic.get(..read).unwrap_or_default() {
        [0x1f, 0x8b, ..] => {
            return refuse("is compressed with gzip", "unpack it first: gunzip -k FILE");
        }
        [0x28, 0xb5, 0x2f, 0xfd] => {
            return refuse("is compressed with zstd", "unpack it first: unzstd FILE");
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return refuse(
                "is in UTF-16",
                "convert it first: iconv -f UTF-16 -t UTF-8 FILE",
            );
        }
        [b'P', b'K', 3, 4] => return refuse("is a zip archive", "unpack it first"),
        _ => {}
    }
    std::io::Seek::rewind(&mut file).map_err(|e| Error::io("read", path, e))?;
    Ok((file, meta.len()))
}

/// The beginning of a file, as text as far as it is.
pub(crate) fn head(path: &Path) -> Result<String> {
    let (file, _) = open(path)?;
    let mut bytes = Vec::new();
    file.take(HEAD)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io("read", path, e))?;
    Ok(String::from_utf8_lossy(&bytes)
        .trim_start_matches('\u{feff}')
        .to_owned())
}

/// BLAKE3 over files, each with its length: what a file is recognised by when it comes again.
///
/// The lengths are given back: what a file grows by from here on is not part of the import.
pub(crate) fn digest(paths: &[PathBuf]) -> Result<(Hash, Vec<u64>)> {
    let mut hasher = blake3::Hasher::new();
    let mut lengths = Vec::with_capacity(paths.len());
    for path in paths {
        let (file, length) = open(path)?;
        hasher.update(&length.to_be_bytes());
        hasher
            .update_reader(file.take(length))
            .map_err(|e| Error::io("read", path, e))?;
        lengths.push(length);
    }
    Ok((Hash(*hasher.finalize().as_bytes()), lengths))
}

/// The text of a whole file, for formats that are one JSON value.
pub(crate) fn whole(path: &Path) -> Result<String> {
    let (file, length) = open(path)?;
    let refuse = |what: &str| {
        Err(Error::new(
            ErrorKind::Usage,
            format!("{} {what}", Quoted(path)),
        ))
    };
    if length > u64::try_from(MAX_LINE).unwrap_or(u64::MAX) {
        return refuse("is longer than 64 MiB");
    }
    let mut bytes = Vec::new();
    file.take(length)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io("read", path, e))?;
    String::from_utf8(bytes).or_else(|_| refuse("is not UTF-8"))
}

/// A file whose lines are read a second time, in another order.
pub(crate) struct Again {
    file: File,
    path: PathBuf,
}

impl Again {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (file, _) = open(path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Reads the line between two places; none if it is no longer there.
    pub(crate) fn line(&mut self, start: u64, end: u64) -> Result<Option<String>> {
        let io = |e| Error::io("read", &self.path, e);
        std::io::Seek::seek(&mut self.file, std::io::SeekFrom::Start(start)).map_err(io)?;
        let length = end.saturating_sub(start);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        self.file
            .by_ref()
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        Ok(std::str::from_utf8(trimmed(&bytes, start == 0))
            .ok()
            .map(str::to_owned))
    }
}

/// A line without its end; the first one of a file without its byte order mark.
fn trimmed(bytes: &[u8], first: bool) -> &[u8] {
    let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) if first => rest,
        _ => bytes,
    };
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// One line.
pub(crate) struct Line {
    /// Its text without its end, or why it has none.
    pub(crate) text: Result<String, &'static str>,
    /// Where it ends in the file, in bytes.
    pub(crate) end: u64,
}

/// The lines of a file, and the hash of everything read so far.
pub(crate) struct Lines {
    input: BufReader<std::io::Take<File>>,
    path: PathBuf,
    pub(crate) length: u64,
    at: u64,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    too_long: bool,
}

impl Lines {
    /// Opens a file, to be read as far as it went when it was recognised.
    pub(crate) fn open(path: &Path, length: u64) -> Result<Self> {
        let (file, _) = open(path)?;
        Ok(Self {
            input: BufReader::with_capacity(1 << 16, file.take(length)),
            path: path.to_owned(),
            length,
            at: 0,
            hasher: blake3::Hasher::new(),
            buffer: Vec::new(),
            too_long: false,
        })
    }

    /// BLAKE3 of everything up to the end of the line.
    pub(crate) fn prefix_hash(&self) -> Hash {
        Hash(*self.hasher.finalize().as_bytes())
    }

    /// Where the line ends in the file, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.at
    }

    /// Goes to the next line, and says whether there is one.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        self.buffer.clear();
        self.too_long = false;
        loop {
            let before = self.buffer.len();
            let read = self
                .input
                .by_ref()
                .take(PIECE)
                .read_until(b'\n', &mut self.buffer);
            let read = read.map_err(|e| Error::io("read", &self.path, e))?;
            let part = self.buffer.get(before..).unwrap_or_default();
            let ended = part.last().is_none_or(|last| *last == b'\n');
            self.hasher.update(part);
            self.at += u64::try_from(read).unwrap_or(0);
            self.too_long |= self.buffer.len() > MAX_LINE;
            if self.too_long {
                self.buffer.clear();
            }
            if ended {
                return Ok(self.too_long || !self.buffer.is_empty());
            }
        }
    }

    /// Reads the next line; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Line>> {
        Ok(match self.advance()? {
            true => Some(Line {
                text: self.text().map(str::to_owned),
                end: self.at,
            }),
            false => None,
        })
    }

    /// The line without its end, or why it is no text.
    pub(crate) fn text(&self) -> Result<&str, &'static str> {
        if self.too_long {
            return Err("line_too_long");
        }
        let first = self.at == u64::try_from(self.buffer.len()).unwrap_or(0);
        std::str::from_utf8(trimmed(&self.buffer, first)).map_err(|_| "line_not_utf8")
    }
}
