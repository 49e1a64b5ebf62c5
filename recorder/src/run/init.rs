//! Init: the first process of a cell. It reaps, it passes on, and when it ends everybody in the cell has ended.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::{set_child_subreaper, set_dumpable, set_pdeathsig};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setsid, tcsetpgrp};
use rustix::process::{PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::plan::INSIDE_EXE;
use super::wire::Wire;
use super::{tree, view};
use crate::error::{Error, ErrorKind, Result};

/// What the supervisor tells init at first. Three descriptors come with it where there is no terminal.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Spec {
    /// The agent's command.
    pub(super) argv: Vec<OsString>,
    /// Its whole environment.
    pub(super) env: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub(super) cwd: PathBuf,
    /// Whose it is.
    pub(super) uid: u32,
    /// Its group.
    pub(super) gid: u32,
    /// Which of its three streams are a terminal.
    pub(super) terminal: [bool; 3],
    /// How far it is confined.
    pub(super) ground: Ground,
}

/// What init stands on.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Ground {
    /// Namespaces of its own.
    Cell,
    /// The host's, with rules that Landlock enforces.
    Landlock(super::landlock::Rules),
    /// The host's: a process tree and nothing more.
    Tree,
}

/// What the supervisor tells init later.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Order {
    /// Start the agent.
    Go,
    /// Wake the agent that was stopped.
    Continue,
    /// Pass a signal on.
    Signal(i32),
}

/// What init tells the supervisor.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Word {
    /// Ready to start; a pidfd of init comes with it, and the terminal's other side if there is one.
    Ready,
    /// The agent stopped.
    Stopped,
    /// The agent exited.
    Exited(i32),
    /// A signal ended the agent.
    Signalled(i32),
    /// Why nothing starts.
    Failed(String, Option<String>),
}

/// Init's whole life; standard input is its control socket. Returns the exit code.
pub fn main() -> u8 {
    let mut wire = match Wire::inherited() {
        Ok(wire) => wire,
        Err(_) => return 125,
    };
    match live(&mut wire) {
        Ok(()) => 0,
        Err(error) => {
            let word = Word::Failed(error.to_string(), error.hint().map(str::to_owned));
            // If nobody hears it, nobody is left.
            let _ = wire.send(&word, &[]);
            125
        }
    }
}

fn live(wire: &mut Wire) -> Result<()> {
    let Some((spec, fds)) = wire.receive::<Spec>()? else {
        return Ok(());
    };
    let in_cell = matches!(spec.ground, Ground::Cell);
    if in_cell {
        // A cell's init dies with its warden. Outside of one it must outlive its parent by a moment, to end its tree.
        set_pdeathsig(Signal::SIGKILL).map_err(|errno| system("watch its parent", errno))?;
        view::enter()?;
        drop_capabilities()?;
    } else {
        set_child_subreaper(true).map_err(|errno| system("adopt orphans", errno))?;
    }
    // Nobody with the same user may look into it.
    set_dumpable(false).map_err(|errno| system("close itself", errno))?;
    setsid().map_err(|errno| system("lead a session", errno))?;
    // Terminal signals are the agent's; children are asked for by descriptor.
    let mut blocked = SigSet::all();
    blocked.remove(Signal::SIGKILL);
    blocked
        .thread_set_mask()
        .map_err(|errno| system("block signals", errno))?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let children = SignalFd::with_flags(&children, flags)
        .map_err(|errno| system("watch its children", errno))?;

    let me = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).map_err(|errno| {
        Error::new(ErrorKind::Io, format!("the system gives no pidfd: {errno}"))
    })?;
    let terminal = if spec.terminal.contains(&true) {
        Some(Terminal::open()?)
    } else {
        None
    };
    let mut out: Vec<BorrowedFd<'_>> = vec![me.as_fd()];
    out.extend(terminal.as_ref().map(|terminal| terminal.master.as_fd()));
    wire.send(&Word::Ready, &out)?;
    let slave = terminal.map(|terminal| terminal.slave);
    match wire.receive::<Order>()? {
        Some((Order::Go, _)) => {}
        _ => return Ok(()),
    }
    let agent = start(&spec, slave.as_ref(), fds)?;
    rule(wire, &children, agent, slave.as_ref())?;
    if !in_cell {
        tree::end(std::process::id());
    }
    Ok(())
}

/// Reaps, obeys and tells, until the agent or the supervisor ends.
fn rule(wire: &mut Wire, children: &SignalFd, agent: Pid, slave: Option<&OwnedFd>) -> Result<()> {
    loop {
        while let Ok(Some(_)) = children.read_signal() {}
        loop {
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == agent => {
                    return wire.send(&Word::Exited(code), &[]);
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == agent => {
                    return wire.send(&Word::Signalled(signal as i32), &[]);
                }
                Ok(WaitStatus::Stopped(pid, _)) if pid == agent => {
                    wire.send(&Word::Stopped, &[])?
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                Err(Errno::EINTR) | Ok(_) => {}
                Err(errno) => return Err(system("wait for its children", errno)),
            }
        }
        let mut fds = [
            PollFd::new(wire.as_fd(), PollFlags::POLLIN),
            PollFd::new(children.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(system("wait", errno)),
        }
        let spoken = fds.first().and_then(PollFd::any).unwrap_or(false);
        if !spoken {
            continue;
        }
        loop {
            match wire.receive::<Order>()? {
                // The supervisor is gone: so are we, and with us everybody.
                None => return Ok(()),
                Some((Order::Go, _)) => {}
                Some((Order::Continue, _)) => {
                    if let Some(slave) = slave {
                        // An agent that is gone needs no terminal.
                        let _ = tcsetpgrp(slave, agent);
                    }
                    let _ = killpg(agent, Signal::SIGCONT);
                }
                Some((Order::Signal(number), _)) => {
                    if let Ok(signal) = Signal::try_from(number) {
                        let _ = killpg(agent, signal).or_else(|_| kill(agent, signal));
                    }
                }
            }
            if !wire.has_more() {
                break;
            }
        }
    }
}

fn start(spec: &Spec, slave: Option<&OwnedFd>, fds: Vec<OwnedFd>) -> Result<Pid> {
    let exe = match spec.ground {
        Ground::Cell => PathBuf::from(INSIDE_EXE),
        _ => std::env::current_exe()
            .map_err(|e| Error::io("find", Path::new("/proc/self/exe"), e))?,
    };
    let mut command = Command::new(exe);
    let ground = serde_json::to_string(&spec.ground)
        .map_err(|e| Error::new(ErrorKind::Unrecordable, "a rule cannot be told").with_source(e))?;
    command
        .arg("cell-agent")
        .args([
            "--uid",
            &spec.uid.to_string(),
            "--gid",
            &spec.gid.to_string(),
        ])
        .args(["--ground", &ground])
        .arg("--cwd")
        .arg(&spec.cwd)
        .arg("--")
        .args(&spec.argv)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .process_group(0);
    let mut fds = fds.into_iter();
    let mut stream = |number: usize| -> Result<Stdio> {
        let own = if spec.terminal.get(number) == Some(&true) {
            slave.map(AsFd::as_fd).map(|fd| fd.try_clone_to_owned())
        } else {
            fds.next().map(Ok)
        };
        match own {
            Some(Ok(fd)) => Ok(fd.into()),
            Some(Err(e)) => Err(Error::io("share", Path::new("/dev/tty"), e)),
            None => Ok(Stdio::null()),
        }
    };
    command
        .stdin(stream(0)?)
        .stdout(stream(1)?)
        .stderr(stream(2)?);
    let child = command
        .spawn()
        .map_err(|e| Error::io("start", &spec.cwd, e))?;
    // Reaped by `rule` with all others, not through the handle.
    i32::try_from(child.id())
        .map(Pid::from_raw)
        .map_err(|_| Error::new(ErrorKind::Io, "a process id is too large"))
}

/// A terminal of the cell's own.
struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
}

impl Terminal {
    /// Makes one and makes it the controlling terminal of our session.
    fn open() -> Result<Self> {
        let failed = |errno: rustix::io::Errno| {
            Error::new(ErrorKind::Io, format!("cannot make a terminal: {errno}"))
        };
        let flags = rustix::pty::OpenptFlags::RDWR
            | rustix::pty::OpenptFlags::NOCTTY
            | rustix::pty::OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).map_err(failed)?;
        rustix::pty::unlockpt(&master).map_err(failed)?;
        let name = rustix::pty::ptsname(&master, Vec::new()).map_err(failed)?;
        let path = Path::new(std::ffi::OsStr::new(name.to_str().unwrap_or_default()));
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(path)
            .map_err(|e| Error::io("open", path, e))?;
        rustix::process::ioctl_tiocsctty(&slave).map_err(failed)?;
        Ok(Self {
            master,
            slave: slave.into(),
        })
    }
}

/// Nothing is to be mounted any more.
fn drop_capabilities() -> Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)
        .map_err(|errno| Error::new(ErrorKind::Io, format!("cannot drop capabilities: {errno}")))
}

fn system(act: &str, errno: Errno) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("the cell's init cannot {act}: {}", errno.desc()),
    )
}
