//! A file that is there whole or not at all.
//!
//! It is written under another name beside its place, made durable, and given its name last; nothing that exists is overwritten. A
//! full disk, an error or a lost interest leaves nothing under either name; only a killed process leaves the other name,
//! `.NAME.<random>.part`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::files;

/// A file under way.
#[derive(Debug)]
pub struct Whole {
    path: PathBuf,
    beside: PathBuf,
    file: BufWriter<File>,
    written: u64,
    finished: bool,
}

impl Whole {
    /// Begins a file; its name must be free.
    pub fn create(path: &Path) -> Result<Self> {
        let Some(name) = path.file_name() else {
            let what = format!("{} names no file", Quoted(path));
            return Err(Error::new(ErrorKind::Usage, what));
        };
        if std::fs::symlink_metadata(path).is_ok() {
            return Err(exists(path));
        }
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(|e| {
            Error::new(ErrorKind::Io, "the system gives no random numbers").with_source(e)
        })?;
        let mut beside = OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}.part", hex::encode(random)));
        let beside = files::parent(path).join(beside);
        let file = files::create_new(&beside)?;
        Ok(Self {
            path: path.to_owned(),
            beside,
            file: BufWriter::with_capacity(1 << 18, file),
            written: 0,
            finished: false,
        })
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let path = &self.path;
        self.file
            .write_all(bytes)
            .map_err(|e| Error::io("write", path, e))?;
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.written = self.written.saturating_add(more);
        Ok(())
    }

    /// How many bytes were written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Where the bytes lie until the file has its name, to look at them once more after [`Self::settle`].
    pub(crate) fn beside(&self) -> &Path {
        &self.beside
    }

    /// Makes the bytes durable.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let io = |e| Error::io("write", &self.path, e);
        self.file.flush().map_err(io)?;
        self.file.get_ref().sync_all().map_err(io)
    }

    /// Makes the file durable and gives it its name.
    pub fn finish(mut self) -> Result<()> {
        self.settle()?;
        let io = |e| Error::io("write", &self.path, e);
        let flags = RenameFlags::RENAME_NOREPLACE;
        match renameat2(AT_FDCWD, &self.beside, AT_FDCWD, &self.path, flags) {
            Ok(()) => {}
            Err(Errno::EEXIST) => return Err(exists(&self.path)),
            // A file system without the flag: the name was free when we began.
            Err(Errno::EINVAL | Errno::ENOSYS) => files::rename(&self.beside, &self.path)?,
            Err(errno) => return Err(io(errno.into())),
        }
        self.finished = true;
        files::sync_dir(files::parent(&self.path))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody is told: the error that led here says what matters.
            let _ = std::fs::remove_file(&self.beside);
        }
    }
}

fn exists(path: &Path) -> Error {
    Error::new(ErrorKind::Exists, format!("{} exists", Quoted(path)))
        .with_hint("name a file that does not exist: nothing is overwritten")
}
