//! The last step before the agent: what it may no longer do is settled, then its program takes this process over.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_no_new_privs;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getpgrp, tcsetpgrp};

use super::init::Ground;
use super::{landlock, seccomp, warden};
use crate::error::{Error, ErrorKind, Result};

/// What init tells the last step.
#[derive(Debug)]
pub struct Last {
    /// The agent's command.
    pub argv: Vec<OsString>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// Whose it is.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// What it stands on, as init says it.
    pub ground: String,
}

/// Becomes the agent; returns only why that did not work.
pub fn main(last: &Last) -> Error {
    match settle(last) {
        Ok(()) => {}
        Err(error) => return error,
    }
    let Some((program, args)) = last.argv.split_first() else {
        return Error::new(ErrorKind::Usage, "there is no command to run");
    };
    let error = Command::new(program).args(args).exec();
    let error = Error::io("start", Path::new(program), error);
    match error.kind() {
        ErrorKind::Missing => error.with_hint(
            "a cell shows the system, your home and the workspace; `--read DIR` shows more",
        ),
        _ => error,
    }
}

fn settle(last: &Last) -> Result<()> {
    let ground: Ground = serde_json::from_str(&last.ground)
        .map_err(|e| Error::new(ErrorKind::Usage, "the ground is unknown").with_source(e))?;
    close_all()?;
    if matches!(ground, Ground::Cell) {
        unshare(CloneFlags::CLONE_NEWUSER)
            .map_err(|errno| failed("take a namespace of its own", errno))?;
        warden::map(last.uid, 0, last.gid, 0)?;
        empty_bounds()?;
    }
    // By its absolute path, after mounting: a folder that was open before is of the other view.
    std::env::set_current_dir(&last.cwd).map_err(|e| Error::io("enter", &last.cwd, e))?;
    foreground();
    set_no_new_privs().map_err(|errno| failed("give up new privileges", errno))?;
    match &ground {
        Ground::Cell => landlock::no_abstract_sockets()?,
        Ground::Landlock(rules) => landlock::confine(rules)?,
        Ground::Tree => {}
    }
    if !matches!(ground, Ground::Tree) {
        seccomp::confine()?;
    }
    SigSet::empty()
        .thread_set_mask()
        .map_err(|errno| failed("unblock signals", errno))
}

/// Closes every descriptor but the three streams.
fn close_all() -> Result<()> {
    let path = Path::new("/proc/self/fd");
    let entries = fs::read_dir(path).map_err(|e| Error::io("read", path, e))?;
    let open: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // Closed already: it was the one that listed them.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

/// Takes every capability out of reach for what comes after, also where the user is root.
fn empty_bounds() -> Result<()> {
    use rustix::thread::{
        CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    };
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel knows no more of them.
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => {
                return Err(Error::new(
                    ErrorKind::Io,
                    format!("cannot drop capabilities: {errno}"),
                ));
            }
        }
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)
        .map_err(|errno| Error::new(ErrorKind::Io, format!("cannot drop capabilities: {errno}")))
}

/// Takes the terminal, where there is one.
fn foreground() {
    let tty = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open("/dev/tty");
    if let Ok(tty) = tty {
        // From the background this would stop us; init has blocked all signals, this one too.
        let mut out = SigSet::empty();
        out.add(Signal::SIGTTOU);
        let _ = out.thread_block();
        let _ = tcsetpgrp(&tty, getpgrp());
    }
}

fn failed(act: &str, errno: nix::errno::Errno) -> Error {
    Error::new(
        ErrorKind::Denied,
        format!("the agent's process cannot {act}: {}", errno.desc()),
    )
}
