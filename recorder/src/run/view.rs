//! What a cell sees: an allow-list, mounted by the warden in its own user and mount namespace.
//!
//! ```text
//! /            a tmpfs of ours, read-only: nothing is here but what is named
//! /usr … /opt  the system's folders, read-only        /etc   an overlay: our managed settings over the host's, read-only
//! /dev         null zero full random urandom tty, a devpts and shm of its own
//! /tmp /run    empty                                  /proc  the cell's own processes (mounted by init)
//! HOME         read-only, with named holes            the workspace   as it is
//! /run/tacho   our binary, the switch, the session's socket, all read-only
//! ```
//!
//! The old root stands at `/old` while this is built, the new one at `/new`; init changes into the new one and lets the old one go.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

use super::plan::{How, INSIDE, INSIDE_DOOR, INSIDE_EXE, INSIDE_SWITCH, Plan, SYSTEM};
use crate::error::{Error, Quoted, Result};

/// Where the view is built. Any folder that every machine has will do: it is hidden for a moment, and only from us.
const BASE: &str = "/tmp";

/// The root that is left.
pub(super) const OLD: &str = "/old";

/// The root that comes.
pub(super) const NEW: &str = "/new";

/// Scratch of overlays, and what we lay over `/etc`; unreachable from the new root.
const OURS: &str = "/ours";

/// The devices that programs need; none of them holds anything of the host.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Files of procfs through which a root without capabilities could still reach the kernel.
const KERNEL: [&str; 7] = ["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi"];

/// Builds the view. We are root of a fresh user and mount namespace.
pub(super) fn build(plan: &Plan) -> Result<()> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|e| failed("make private", Path::new("/"), e))?;
    tmpfs(Path::new(BASE), "mode=755")?;
    for name in [OLD, NEW, OURS] {
        make_dir(&under(BASE, Path::new(name)))?;
    }
    let base = Path::new(BASE);
    pivot_root(base, &under(BASE, Path::new(OLD))).map_err(|e| failed("enter", base, e))?;
    chdir("/").map_err(|e| failed("enter", base, e))?;
    tmpfs(Path::new(NEW), "mode=755")?;
    for path in SYSTEM {
        // Init starts from this root for a moment, and needs the libraries of the old one.
        symlink(old(Path::new(path)), path).map_err(|e| Error::io("make", Path::new(path), e))?;
    }

    for path in SYSTEM {
        match *path {
            "/etc" => etc(plan)?,
            "/dev" => dev()?,
            "/proc" => make_dir(&new(Path::new("/proc")))?,
            "/run" => private(Path::new("/run"), "mode=755")?,
            path => system(Path::new(path))?,
        }
    }
    private(Path::new("/tmp"), "mode=1777")?;
    private(Path::new("/var/tmp"), "mode=1777")?;
    resolver()?;
    for (number, bind) in plan.in_order().into_iter().enumerate() {
        match bind.how {
            How::Hide => hide(&bind.path)?,
            How::Read => show(&bind.path, true)?,
            How::Scratch => scratch(&bind.path, number)?,
            How::Write => show(&bind.path, false)?,
        }
    }
    inside(plan)?;
    // Last, since mount points had to be made: nothing can be made at the root, in `/dev`, or beside our own things.
    for path in ["/dev", INSIDE, "/"] {
        close(&new(Path::new(path)))?;
    }
    Ok(())
}

/// Changes into the view; for init, which is the first in the cell's own process namespace.
pub(super) fn enter() -> Result<()> {
    let none: Option<&str> = None;
    let proc = new(Path::new("/proc"));
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), &proc, Some("proc"), flags, none).map_err(|e| failed("mount", &proc, e))?;
    for name in KERNEL {
        let path = proc.join(name);
        if path.exists() {
            bind(&path, &path)?;
            read_only(&path)?;
        }
    }
    chdir(NEW).map_err(|e| failed("enter", Path::new(NEW), e))?;
    // The old root is stacked on the new one and taken off again: no folder is needed for it.
    pivot_root(".", ".").map_err(|e| failed("enter", Path::new(NEW), e))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(|e| failed("leave", Path::new(OLD), e))?;
    chdir("/").map_err(|e| failed("enter", Path::new("/"), e))
}

/// A folder of the system, or the symlink that stands in its place.
fn system(path: &Path) -> Result<()> {
    let from = old(path);
    match fs::symlink_metadata(&from) {
        Err(_) => Ok(()),
        Ok(meta) if meta.is_symlink() => {
            let target = fs::read_link(&from).map_err(|e| Error::io("read", &from, e))?;
            symlink(target, new(path)).map_err(|e| Error::io("make", path, e))
        }
        Ok(_) => show(path, true),
    }
}

/// The host's `/etc` beneath our managed settings, read-only.
fn etc(plan: &Plan) -> Result<()> {
    let ours = under(OURS, Path::new("etc"));
    make_dir(&ours)?;
    for file in &plan.managed {
        let path = ours.join(&file.path);
        if let Some(parent) = path.parent() {
            make_dir(parent)?;
        }
        fs::write(&path, &file.text).map_err(|e| Error::io("write", &path, e))?;
    }
    let to = new(Path::new("/etc"));
    make_dir(&to)?;
    let options = format!(
        "lowerdir={}:{}",
        ours.display(),
        old(Path::new("/etc")).display()
    );
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("overlay"),
        &to,
        Some("overlay"),
        flags,
        Some(options.as_str()),
    )
    .map_err(|e| failed("lay our settings over", Path::new("/etc"), e))?;
    // An overlay shows one file system: what is mounted below `/etc` (containers do that) is put back.
    for mounted in mounts(&old(Path::new("/etc")))? {
        if let Ok(name) = mounted.path.strip_prefix(old(Path::new("/etc")))
            && !name.as_os_str().is_empty()
        {
            let to = to.join(name);
            bind(&mounted.path, &to)?;
            read_only(&to)?;
        }
    }
    Ok(())
}

fn dev() -> Result<()> {
    let dev = new(Path::new("/dev"));
    private(Path::new("/dev"), "mode=755")?;
    for name in DEVICES {
        let (from, to) = (old(Path::new("/dev")).join(name), dev.join(name));
        let meta = fs::metadata(&from).map_err(|e| Error::io("open", &from, e))?;
        if !meta.file_type().is_char_device() {
            continue;
        }
        File::create(&to).map_err(|e| Error::io("make", &to, e))?;
        bind(&from, &to)?;
    }
    let pts = dev.join("pts");
    make_dir(&pts)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(
        Some("devpts"),
        &pts,
        Some("devpts"),
        flags,
        Some("newinstance,ptmxmode=0666,mode=620"),
    )
    .map_err(|e| failed("mount", &pts, e))?;
    private(Path::new("/dev/shm"), "mode=1777")?;
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name)).map_err(|e| Error::io("make", &dev.join(name), e))?;
    }
    Ok(())
}

/// The file that names the resolvers, where `/etc/resolv.conf` points into `/run`.
fn resolver() -> Result<()> {
    let Ok(target) = fs::read_link(old(Path::new("/etc/resolv.conf"))) else {
        return Ok(());
    };
    let path = Path::new("/etc").join(target);
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            std::path::Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    if plain.starts_with("/run") && fs::metadata(old(&plain)).is_ok_and(|meta| meta.is_file()) {
        show(&plain, true)?;
    }
    Ok(())
}

/// Our own things, on a file system of their own, so that its mount point pins them.
fn inside(plan: &Plan) -> Result<()> {
    private(Path::new(INSIDE), "mode=755")?;
    place(&plan.exe, Path::new(INSIDE_EXE))?;
    place(&plan.switch, Path::new(INSIDE_SWITCH))?;
    // The switch is everybody's; sockets and processes of other cells are not.
    for name in ["sessions", "cells"] {
        let path = Path::new(INSIDE_SWITCH).join(name);
        if new(&path).exists() {
            hide_at(&new(&path))?;
        }
    }
    if let Some(door) = &plan.door {
        place(door, Path::new(INSIDE_DOOR))?;
    }
    Ok(())
}

/// Shows something outside at another place inside, read-only.
fn place(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (old(from), new(to));
    let meta = fs::metadata(&from).map_err(|e| Error::io("open", &from, e))?;
    mount_point(&to, meta.is_dir())?;
    bind(&from, &to)?;
    read_only(&to)
}

/// Shows something outside at its own place.
fn show(path: &Path, unchangeable: bool) -> Result<()> {
    let (from, to) = (old(path), new(path));
    let meta = fs::metadata(&from).map_err(|e| Error::io("open", path, e))?;
    mount_point(&to, meta.is_dir())?;
    bind(&from, &to)?;
    lock(&to, unchangeable)
}

/// Shows a folder whose changes are thrown away.
fn scratch(path: &Path, number: usize) -> Result<()> {
    if !fs::metadata(old(path)).is_ok_and(|meta| meta.is_dir()) {
        return Ok(());
    }
    let to = new(path);
    mount_point(&to, true)?;
    let own = under(OURS, Path::new(&number.to_string()));
    let (upper, work) = (own.join("upper"), own.join("work"));
    make_dir(&upper)?;
    make_dir(&work)?;
    // A path with a colon or a comma cannot be named in an overlay's options; a link without them can.
    let lower = own.join("lower");
    symlink(old(path), &lower).map_err(|e| Error::io("make", &lower, e))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr",
        lower.display(),
        upper.display(),
        work.display()
    );
    mount(
        Some("overlay"),
        &to,
        Some("overlay"),
        flags,
        Some(options.as_str()),
    )
    .map_err(|e| failed("lay scratch over", path, e))
}

/// Puts something empty and closed in the place of what must be absent.
fn hide(path: &Path) -> Result<()> {
    if fs::symlink_metadata(new(path)).is_err() {
        return Ok(());
    }
    hide_at(&new(path))
}

fn hide_at(to: &Path) -> Result<()> {
    let meta = fs::metadata(to).map_err(|e| Error::io("open", to, e))?;
    if meta.is_dir() {
        tmpfs(to, "mode=555,size=4k,nr_inodes=2")?;
        return read_only(to);
    }
    let empty = under(OURS, Path::new("empty"));
    File::create(&empty).map_err(|e| Error::io("make", &empty, e))?;
    bind(&empty, to)?;
    read_only(to)
}

/// A file system in memory at its own place inside.
fn private(path: &Path, options: &str) -> Result<()> {
    let to = new(path);
    make_dir(&to)?;
    tmpfs(&to, options)
}

fn tmpfs(to: &Path, options: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), to, Some("tmpfs"), flags, Some(options))
        .map_err(|e| failed("mount", to, e))
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    let none: Option<&str> = None;
    mount(
        Some(from),
        to,
        none,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        none,
    )
    .map_err(|e| failed("show", to, e))
}

fn read_only(path: &Path) -> Result<()> {
    lock(path, true)
}

/// Sets the flags of a mount and of all below it. Flags that were there stay: those of the host may not be taken away.
fn lock(path: &Path, unchangeable: bool) -> Result<()> {
    let none: Option<&str> = None;
    for mounted in mounts(path)? {
        let mut flags = mounted.flags | MsFlags::MS_NOSUID | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
        if unchangeable {
            flags |= MsFlags::MS_RDONLY;
        }
        match mount(none, &mounted.path, none, flags, none) {
            Ok(()) => {}
            // A mount below that another one covers cannot be reached, by us or by anybody.
            Err(Errno::EACCES | Errno::ENOENT | Errno::EINVAL) if mounted.path != path => {}
            Err(errno) => return Err(failed("close", &mounted.path, errno)),
        }
    }
    Ok(())
}

/// Makes a file system of ours read-only, and nothing that is mounted in it.
fn close(path: &Path) -> Result<()> {
    let none: Option<&str> = None;
    let flags = MsFlags::MS_REMOUNT
        | MsFlags::MS_BIND
        | MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV;
    mount(none, path, none, flags, none).map_err(|e| failed("close", path, e))
}

/// A mount as the kernel lists it.
struct Mounted {
    path: PathBuf,
    flags: MsFlags,
}

/// The mounts at a path and below it.
fn mounts(path: &Path) -> Result<Vec<Mounted>> {
    let list = Path::new("/old/proc/self/mountinfo");
    let list = if list.exists() {
        list
    } else {
        Path::new("/proc/self/mountinfo")
    };
    let text = fs::read_to_string(list).map_err(|e| Error::io("read", list, e))?;
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.split(' ').skip(4);
        let (Some(point), Some(options)) = (fields.next(), fields.next()) else {
            continue;
        };
        let point = unescape(point);
        if !point.starts_with(path) {
            continue;
        }
        let flags = options.split(',').fold(MsFlags::empty(), |flags, option| {
            flags
                | match option {
                    "ro" => MsFlags::MS_RDONLY,
                    "nosuid" => MsFlags::MS_NOSUID,
                    "nodev" => MsFlags::MS_NODEV,
                    "noexec" => MsFlags::MS_NOEXEC,
                    "noatime" => MsFlags::MS_NOATIME,
                    "nodiratime" => MsFlags::MS_NODIRATIME,
                    "relatime" => MsFlags::MS_RELATIME,
                    _ => MsFlags::empty(),
                }
        });
        found.push(Mounted { path: point, flags });
    }
    Ok(found)
}

/// Reads a path of mountinfo, where space, tab, line end and backslash stand as `\ooo`.
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let digits: String = rest.by_ref().take(3).map(char::from).collect();
        bytes.extend(u8::from_str_radix(&digits, 8));
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// Makes what a mount needs beneath it, where it is not there.
fn mount_point(path: &Path, is_dir: bool) -> Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() == is_dir && !meta.is_symlink()) {
        return Ok(());
    }
    if is_dir {
        return make_dir(path);
    }
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    File::create_new(path)
        .map(drop)
        .map_err(|e| Error::io("make", path, e))
}

fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io("make", path, e))
}

fn old(path: &Path) -> PathBuf {
    under(OLD, path)
}

fn new(path: &Path) -> PathBuf {
    under(NEW, path)
}

fn under(root: &str, path: &Path) -> PathBuf {
    Path::new(root).join(path.strip_prefix("/").unwrap_or(path))
}

fn failed(act: &str, path: &Path, errno: Errno) -> Error {
    let error = Error::io(act, path, errno.into());
    if errno == Errno::EPERM || errno == Errno::EACCES {
        return error.with_hint(format!(
            "this system keeps {} from a user's own namespace; `tacho doctor` names the setting",
            Quoted(path)
        ));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mountinfo_are_read_as_they_are() {
        assert_eq!(unescape("/a\\040b\\134c\\011"), Path::new("/a b\\c\t"));
        assert_eq!(unescape("/plain"), Path::new("/plain"));
        assert_eq!(under("/new", Path::new("/")), Path::new("/new"));
        assert_eq!(under("/new", Path::new("/a/b")), Path::new("/new/a/b"));
    }
}
