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
pub(super) const MAX_LINE: usize = 64 << 20;

/// Bytes of a line that are read at once.
const PIECE: u64 = 1 << 20;

/// Bytes at the beginning of a file, enough to guess its format.
const HEAD: u64 = 256 << 10;

/// Opens a file of somebody else's: a plain one, in an encoding that we read.
pub(super) fn open(path: &Path) -> Result<(File, u64)> {
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
pub(super) fn head(path: &Path) -> Result<String> {
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
pub(super) fn digest(paths: &[PathBuf]) -> Result<(Hash, Vec<u64>)> {
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

/// The lines of a file, and the hash of everything read so far.
pub(super) struct Lines {
    input: BufReader<std::io::Take<File>>,
    path: PathBuf,
    pub(super) length: u64,
    at: u64,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    too_long: bool,
}

impl Lines {
    /// Opens a file, to be read as far as it went when it was recognised.
    pub(super) fn open(path: &Path, length: u64) -> Result<Self> {
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
    pub(super) fn prefix_hash(&self) -> Hash {
        Hash(*self.hasher.finalize().as_bytes())
    }

    /// Where the line ends in the file, in bytes.
    pub(super) fn end(&self) -> u64 {
        self.at
    }

    /// Goes to the next line, and says whether there is one.
    pub(super) fn advance(&mut self) -> Result<bool> {
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

    /// The line without its end, or why it is no text.
    pub(super) fn text(&self) -> Result<&str, &'static str> {
        if self.too_long {
            return Err("line_too_long");
        }
        let mut bytes = self.buffer.as_slice();
        if self.at == u64::try_from(bytes.len()).unwrap_or(0) {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        std::str::from_utf8(bytes).map_err(|_| "line_not_utf8")
    }
}
