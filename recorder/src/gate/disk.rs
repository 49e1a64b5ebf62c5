//! What the gate sees of the agent's files: where a path leads, and what lies there now.

use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Uid, User};
use tacho_policy::Resolver;

use crate::files;

/// The longest file that is read to be compared.
pub(super) const MAX_FILE: u64 = 8 << 20;

/// The disk, as the user with this id names paths on it.
pub(super) struct Disk {
    uid: u32,
}

impl Disk {
    pub(super) fn of(uid: u32) -> Self {
        Self { uid }
    }

    fn home(&self) -> Option<PathBuf> {
        let user = User::from_uid(Uid::from_raw(self.uid)).ok().flatten();
        user.map(|user| user.dir)
    }
}

impl Resolver for Disk {
    fn resolve(&self, path: &str) -> Option<String> {
        let path = match path.strip_prefix('~') {
            Some("") => self.home()?,
            Some(rest) => self.home()?.join(rest.strip_prefix('/')?),
            None => PathBuf::from(path),
        };
        follow(&path)?.to_str().map(str::to_owned)
    }

    fn read(&self, resolved: &str) -> Option<Vec<u8>> {
        read(Path::new(resolved))
    }
}

/// Follows every symbolic link of an absolute path; what does not exist is taken as it is spelled.
fn follow(path: &Path) -> Option<PathBuf> {
    if !path.is_absolute() {
        return None;
    }
    // Each prefix that exists is followed; below it nothing can be a link.
    for there in path.ancestors() {
        match fs::canonicalize(there) {
            Ok(mut real) => {
                for component in path.strip_prefix(there).ok()?.components() {
                    match component {
                        Component::Normal(name) => real.push(name),
                        // Where it would lead, nobody can tell: what it goes up from may be made as a link.
                        Component::ParentDir => return None,
                        _ => {}
                    }
                }
                return Some(real);
            }
            // A link that leads nowhere: the file would be made where it leads.
            Err(_) if fs::symlink_metadata(there).is_ok_and(|m| m.is_symlink()) => return None,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    None
}

/// Reads a plain file; no bytes if it does not exist, nothing if that cannot be known or it is too long.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    match files::open_read(path) {
        Ok(file) => {
            let meta = file.metadata().ok().filter(|m| m.is_file())?;
            let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(MAX_FILE)).ok()?);
            let read = file.take(MAX_FILE + 1).read_to_end(&mut bytes).ok()?;
            (u64::try_from(read).ok()? <= MAX_FILE).then_some(bytes)
        }
        Err(e) if e.kind() == crate::ErrorKind::Missing => Some(Vec::new()),
        Err(_) => None,
    }
}
