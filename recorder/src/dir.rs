//! The directory of a log: who may be in it, who may write, and a little space for bad days.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, Flock, FlockArg, OFlag, fallocate};
use nix::sys::statfs::statfs;
use nix::unistd::geteuid;

use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::files;

/// Bytes kept free for the records that must still fit on a full disk: kill, seal, gap.
pub const RESERVE_BYTES: u64 = 4 << 20;

/// Everything that belongs to us in a log directory, and whether it is a directory itself.
const OURS: [(&str, bool); 12] = [
    ("log.db", false),
    ("log.db-wal", false),
    ("log.db-shm", false),
    ("index.db", false),
    ("index.db-wal", false),
    ("index.db-shm", false),
    ("checkpoints", false),
    ("keys", true),
    ("policy", true),
    ("tacho.toml", false),
    ("lock", false),
    ("reserve", false),
];

/// File systems on which a lock may not lock and an fsync may not reach a disk, by the number statfs(2) gives.
///
/// FUSE is here because what is behind it is some program's promise; virtiofs and sshfs answer with the same number.
const REMOTE: [(u32, &str); 18] = [
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0000_564c, "NCP"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x2003_0528, "OrangeFS"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x786f_4256, "vboxsf"),
];

/// The directory of one log.
///
/// ```text
/// LOG/            0700, ours, a local disk, no symlinks
///   log.db        records, tree tiles, vault, artefacts (-wal and -shm are SQLite's)
///   index.db      derived; may be deleted
///   checkpoints   signed notes, only ever longer
///   keys/ policy/ 0700
///   tacho.toml    settings
///   lock          held by the one writer, holds its pid
///   reserve       space that is given back when the disk is full
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogDir {
    path: PathBuf,
}

impl LogDir {
    /// Makes a new directory, or takes an empty one, and everything in it durable.
    ///
    /// Order: directory, its folders, lock → fsync of the directory → fsync of the parent. A crash before the end leaves a
    /// directory that the next `create` refuses as not empty: nothing was recorded in it.
    pub fn create(path: &Path) -> Result<Self> {
        let path = files::resolve_parent(path)?;
        match private_dir(&path) {
            Err(e) if e.kind() == ErrorKind::Exists => {
                check_dir(&path)?;
                let mut inside = fs::read_dir(&path).map_err(|e| Error::io("read", &path, e))?;
                if inside.next().is_some() {
                    return Err(Error::new(
                        ErrorKind::Exists,
                        format!("{} is not empty", Quoted(&path)),
                    )
                    .with_hint("a new log needs a new or an empty directory"));
                }
            }
            other => other?,
        }
        check_ours(&path)?;
        check_local(&path)?;
        let dir = Self { path };
        private_dir(&dir.keys())?;
        private_dir(&dir.policy())?;
        files::create_new(&dir.lock_file())?
            .sync_all()
            .map_err(|e| Error::io("write", &dir.lock_file(), e))?;
        files::sync_dir(&dir.path)?;
        files::sync_dir(files::parent(&dir.path))?;
        Ok(dir)
    }

    /// Opens a directory for its owner, who may become its writer.
    ///
    /// Refuses what is missing, not a directory, a symlink or with one inside, open to others, another user's, or on a
    /// file system whose locks and fsync cannot be relied on.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = Self::open_to_read(path)?;
        check_ours(&dir.path)?;
        check_local(&dir.path)?;
        for name in ["keys", "policy"] {
            let path = dir.path.join(name);
            if path.exists() {
                check_ours(&path)?;
            }
        }
        Ok(dir)
    }

    /// Opens a directory only to read it, e.g. an auditor's copy: any owner, any mode, any file system.
    ///
    /// Symlinks are refused all the same: they would make us report on bytes that are somewhere else.
    pub fn open_to_read(path: &Path) -> Result<Self> {
        let path = files::resolve_parent(path)?;
        check_dir(&path)?;
        let dir = Self { path };
        dir.check_inside()?;
        Ok(dir)
    }

    /// Refuses a symlink, or anything that is not what it has to be, in the place of a file of ours.
    ///
    /// SQLite follows a symlink to its write-ahead log, so look again right before it opens one.
    pub(crate) fn check_inside(&self) -> Result<()> {
        for (name, is_dir) in OURS {
            check_inside(&self.path.join(name), is_dir)?;
        }
        Ok(())
    }

    /// The directory itself, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.path.join("log.db")
    }

    /// The database's write-ahead log.
    pub fn wal(&self) -> PathBuf {
        self.path.join("log.db-wal")
    }

    /// The write-ahead log's index.
    pub fn shm(&self) -> PathBuf {
        self.path.join("log.db-shm")
    }

    /// The derived index.
    pub fn index(&self) -> PathBuf {
        self.path.join("index.db")
    }

    /// The signed checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The folder of keys.
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// The folder of the policy.
    pub fn policy(&self) -> PathBuf {
        self.path.join("policy")
    }

    /// The settings.
    pub fn settings(&self) -> PathBuf {
        self.path.join("tacho.toml")
    }

    /// The file that the writer locks.
    pub fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// The space kept free.
    pub fn reserve(&self) -> PathBuf {
        self.path.join("reserve")
    }

    /// Bytes that the disk beneath still has for this user.
    pub fn free_bytes(&self) -> Result<u64> {
        let disk = statfs(&self.path)
            .map_err(|errno| Error::io("measure", &self.path, std::io::Error::from(errno)))?;
        let size = u64::try_from(disk.block_size()).unwrap_or(0);
        Ok(disk.blocks_available().saturating_mul(size))
    }

    /// Makes us the one writer, until the guard is dropped.
    ///
    /// Does not wait for another writer. It waits half a second at most for those who only look ([`LogDir::writer`]).
    pub fn lock(&self) -> Result<Lock> {
        let path = self.lock_file();
        for _ in 0..50 {
            match Flock::lock(self.open_lock()?, FlockArg::LockExclusiveNonblock) {
                Ok(mut held) => {
                    // Someone may have put another file there since we opened ours; that lock would be shared with nobody.
                    let ours = held.metadata().map_err(|e| Error::io("read", &path, e))?;
                    match fs::symlink_metadata(&path) {
                        Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => {}
                        _ => continue,
                    }
                    let pid = format!("{}\n", std::process::id());
                    held.set_len(0)
                        .and_then(|()| held.write_all(pid.as_bytes()))
                        .map_err(|e| Error::io("write", &path, e))?;
                    return Ok(Lock { held });
                }
                Err((_, Errno::EWOULDBLOCK)) => {
                    if let Some(writer) = self.writer()? {
                        return Err(self.busy(&writer));
                    }
                }
                Err((_, errno)) => return Err(Error::io("lock", &path, errno.into())),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(self.busy(&Writer { pid: None }))
    }

    /// Says whether a writer is alive, and which.
    pub fn writer(&self) -> Result<Option<Writer>> {
        let path = self.lock_file();
        let mut file = match files::open_read(&path) {
            Ok(file) => file,
            // A copy without its lock file has no writer.
            Err(e) if e.kind() == ErrorKind::Missing => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut text = String::new();
        // Whatever stands there is only told, never relied on.
        let pid = match (&mut file).take(32).read_to_string(&mut text) {
            Ok(_) => text.trim_end().parse().ok(),
            Err(_) => None,
        };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_) => Ok(None),
            Err((_, Errno::EWOULDBLOCK)) => Ok(Some(Writer { pid })),
            Err((_, errno)) => Err(Error::io("lock", &path, errno.into())),
        }
    }

    /// Gives the reserve back to the file system, so that the last records fit.
    pub fn release_reserve(&self) -> Result<()> {
        files::remove_if_there(&self.reserve())?;
        files::sync_dir(&self.path)
    }

    /// Takes the reserve again; [`ErrorKind::Full`] if the disk has no room for it, and then none is left behind.
    pub fn restore_reserve(&self) -> Result<()> {
        let path = self.reserve();
        if fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() == RESERVE_BYTES) {
            return Ok(());
        }
        files::remove_if_there(&path)?;
        let file = files::create_new(&path)?;
        if let Err(error) = allocate(&file).and_then(|()| file.sync_all()) {
            files::remove_if_there(&path)?;
            return Err(Error::io("reserve space in", &path, error));
        }
        files::sync_dir(&self.path)
    }

    fn open_lock(&self) -> Result<File> {
        let path = self.lock_file();
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))
    }

    fn busy(&self, writer: &Writer) -> Error {
        let who = match writer.pid {
            Some(pid) => format!("another writer (pid {pid})"),
            None => "another writer".to_owned(),
        };
        Error::new(
            ErrorKind::Busy,
            format!("{who} owns the log in {}", Quoted(&self.path)),
        )
        .with_hint("append through the running recorder, or stop it first")
    }
}

/// The right to write to a log; ends when dropped, and with the process however it ends.
#[derive(Debug)]
pub struct Lock {
    held: Flock<File>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A stale pid would only mislead someone who reads the file; the lock itself is what counts.
        let _ = self.held.set_len(0);
    }
}

/// A writer that is alive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Writer {
    /// Its process id as it wrote it down, if it could be read.
    pub pid: Option<u32>,
}

/// Makes a directory for us alone, whatever the umask.
fn private_dir(path: &Path) -> Result<()> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(|e| Error::io("create", path, e))
}

/// Refuses what is not a directory itself.
fn check_dir(path: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(path).map_err(|e| Error::io("open", path, e))?;
    let (what, hint) = if meta.is_symlink() {
        ("is a symlink", "name the directory that it points to")
    } else if !meta.is_dir() {
        ("is not a directory", "a log is a directory: name that")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Denied, format!("{} {what}", Quoted(path))).with_hint(hint))
}

/// Refuses a file of ours that is a symlink or of the wrong sort; it may be absent.
fn check_inside(path: &Path, is_dir: bool) -> Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("open", path, e)),
    };
    if is_dir {
        return check_dir(path);
    }
    let what = if meta.is_symlink() {
        "is a symlink"
    } else if !meta.is_file() {
        "is not a plain file"
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::Denied,
        format!("{} {what}", Quoted(path)),
    ))
}

/// Refuses a directory of another user or one that others may enter.
fn check_ours(path: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(path).map_err(|e| Error::io("open", path, e))?;
    if meta.uid() != geteuid().as_raw() {
        return Err(Error::new(
            ErrorKind::Denied,
            format!(
                "{} belongs to another user (uid {})",
                Quoted(path),
                meta.uid()
            ),
        )
        .with_hint("run as its owner"));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(Error::new(
            ErrorKind::Denied,
            format!(
                "{} is open to others (mode {:o})",
                Quoted(path),
                meta.mode() & 0o7777
            ),
        )
        .with_hint(format!("run chmod 700 {}", Quoted(path))));
    }
    Ok(())
}

/// Refuses a file system of [`REMOTE`].
fn check_local(path: &Path) -> Result<()> {
    let stat = statfs(path).map_err(|e| Error::io("open", path, e.into()))?;
    // The type of this number differs between systems; its hex digits do not.
    let magic = u32::from_str_radix(&format!("{:x}", stat.filesystem_type().0), 16).ok();
    match magic.and_then(remote_name) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::Denied,
            format!(
                "{} is on {name}, where locks and fsync cannot be relied on",
                Quoted(path)
            ),
        )
        .with_hint("keep the log on a local disk")),
    }
}

/// Names a file system that is not a local disk.
fn remote_name(magic: u32) -> Option<&'static str> {
    REMOTE
        .iter()
        .find(|(number, _)| *number == magic)
        .map(|(_, name)| *name)
}

/// Makes the file hold its space for real.
fn allocate(file: &File) -> std::io::Result<()> {
    let length = i64::try_from(RESERVE_BYTES).unwrap_or(i64::MAX);
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
        Err(errno) => return Err(errno.into()),
        Ok(()) => return Ok(()),
    }
    // Random bytes, since zeros would take no space on a file system that compresses.
    let mut block = vec![0; 1 << 16];
    let mut file = file;
    for _ in 0..RESERVE_BYTES >> 16 {
        getrandom::fill(&mut block).map_err(std::io::Error::other)?;
        file.write_all(&block)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_file_systems_are_named() {
        assert_eq!(remote_name(0x6969), Some("NFS"));
        assert_eq!(remote_name(0x0102_1997), Some("9p"));
        assert_eq!(remote_name(0xef53), None); // ext4
        assert_eq!(remote_name(0x0102_1994), None); // tmpfs
        assert_eq!(remote_name(0x9123_683e), None); // btrfs
        let mut numbers: Vec<u32> = REMOTE.iter().map(|(n, _)| *n).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), REMOTE.len());
    }
}
