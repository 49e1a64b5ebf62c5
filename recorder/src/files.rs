//! Files of ours: made once, replaced whole, never through a symlink.
//!
//! Everything a log keeps outside its database goes through these few functions, so that the order of write, fsync and
//! rename stands in one place.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use crate::error::{Error, ErrorKind, Quoted, Result};

/// Who else may look at a file of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Privacy {
    /// Nobody: a secret.
    Secret,
    /// Anybody may read, nobody else may write.
    Shown,
}

/// Makes a file that must not exist, readable and writable by us only.
///
/// Neither the file nor its name is durable yet: write, `sync_all`, then [`sync_dir`].
pub fn create_new(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(|e| Error::io("create", path, e))
}

/// Makes a new file with these bytes and makes both durable: write, fsync, fsync of the directory.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = create_new(path)?;
    fill(&mut file, path, bytes)?;
    sync_dir(parent(path))
}

/// Puts these bytes in the place of a file, whole or not at all.
///
/// Order: write a file beside it → fsync → rename over the old one → fsync of the directory. A crash before the rename leaves
/// the old file and a stray `.NAME.new`, which the next replacement removes. Callers take turns (they hold a lock).
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let Some(name) = path.file_name() else {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("{} names no file", Quoted(path)),
        ));
    };
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".new");
    let beside = parent(path).join(beside);
    remove_if_there(&beside)?;
    let mut file = create_new(&beside)?;
    fill(&mut file, &beside, bytes)?;
    rename(&beside, path)?;
    sync_dir(parent(path))
}

/// Opens a file for appending, never through a symlink and never creating it.
pub fn open_append(path: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .read(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(|e| not_through_a_symlink("open", path, e))
}

/// Opens a file for reading, never through a symlink.
pub fn open_read(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        // A FIFO in the place of a file must not make us wait for its writer.
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
        .map_err(|e| not_through_a_symlink("open", path, e))
}

/// Opens a file of ours and sees that it is a plain file, belongs to us, and is closed to others.
pub(crate) fn open_private(path: &Path, privacy: Privacy) -> Result<File> {
    let file = open_read(path)?;
    let meta = file.metadata().map_err(|e| Error::io("read", path, e))?;
    if !meta.is_file() {
        return Err(Error::new(
            ErrorKind::Denied,
            format!("{} is not a plain file", Quoted(path)),
        ));
    }
    if meta.uid() != geteuid().as_raw() {
        return Err(Error::new(
            ErrorKind::Denied,
            format!("{} belongs to another user", Quoted(path)),
        ));
    }
    let (forbidden, what) = match privacy {
        Privacy::Secret => (0o077, "can be read or written by others"),
        Privacy::Shown => (0o022, "can be written by others"),
    };
    if meta.mode() & forbidden != 0 {
        return Err(
            Error::new(ErrorKind::Denied, format!("{} {what}", Quoted(path)))
                .with_hint(format!("run chmod 600 {}", Quoted(path))),
        );
    }
    Ok(file)
}

/// Reads at most `cap` bytes into `buffer`, and refuses a longer file.
pub(crate) fn read_capped(file: &File, path: &Path, cap: u64, buffer: &mut Vec<u8>) -> Result<()> {
    let read = file
        .take(cap.saturating_add(1))
        .read_to_end(buffer)
        .map_err(|e| Error::io("read", path, e))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > cap {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("{} is longer than {cap} bytes", Quoted(path)),
        ));
    }
    Ok(())
}

/// Makes the names in a directory durable.
pub fn sync_dir(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| Error::io("sync", path, e))
}

/// Renames within one directory; durable after [`sync_dir`].
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| Error::io("replace", to, e))
}

/// Removes a file; one that is not there is as good as removed.
pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// The directory a path stands in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Resolves everything but the last name of a path, so that a symlink in the last place stays visible.
pub(crate) fn resolve_parent(path: &Path) -> Result<PathBuf> {
    let resolve = |p: &Path| fs::canonicalize(p).map_err(|e| Error::io("open", p, e));
    match path.file_name() {
        Some(name) => Ok(resolve(parent(path))?.join(name)),
        // `.`, `..` and `/` are directories themselves, never links to one.
        None => resolve(path),
    }
}

/// Writes all bytes and makes them durable.
fn fill(file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|e| Error::io("write", path, e))
}

/// Says "is a symlink" where the system says "too many levels of symbolic links".
fn not_through_a_symlink(act: &str, path: &Path, error: std::io::Error) -> Error {
    if error.raw_os_error().map(Errno::from_raw) == Some(Errno::ELOOP) {
        return Error::new(ErrorKind::Denied, format!("{} is a symlink", Quoted(path)))
            .with_source(error);
    }
    Error::io(act, path, error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn new_files_are_ours_alone_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_new(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            write_new(&path, b"two").unwrap_err().kind(),
            ErrorKind::Exists
        );
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn replacing_survives_a_stray_and_leaves_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(dir.path().join(".a.new"), b"half").unwrap();
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn symlinks_are_named_and_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, b"x").unwrap();
        symlink(&real, &link).unwrap();
        for error in [
            open_read(&link).unwrap_err(),
            open_append(&link).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(error.to_string().ends_with("is a symlink"), "{error}");
        }
        // Replacing a symlink replaces the link and leaves what it points to.
        replace(&link, b"y").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"x");
    }

    #[test]
    fn open_doors_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_new(&path, b"x").unwrap();
        for (mode, secret, shown) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o644, false, true),
            (0o640, false, true),
            (0o620, false, false),
            (0o602, false, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let ok = |p| open_private(&path, p).is_ok();
            assert_eq!(
                (ok(Privacy::Secret), ok(Privacy::Shown)),
                (secret, shown),
                "{mode:o}"
            );
        }
        assert_eq!(
            open_private(dir.path(), Privacy::Shown).unwrap_err().kind(),
            ErrorKind::Denied
        );
    }

    #[test]
    fn long_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_new(&path, b"four").unwrap();
        let mut buffer = Vec::new();
        read_capped(&open_read(&path).unwrap(), &path, 4, &mut buffer).unwrap();
        assert_eq!(buffer, b"four");
        let error = read_capped(&open_read(&path).unwrap(), &path, 3, &mut Vec::new());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
