//! The warden: makes the namespaces and the view, starts init, and watches the switch from outside the cell's processes.
//!
//! ```text
//! tacho run (supervisor) ─▶ warden ─▶ init (1) ─▶ agent
//!   the user's terminal      new user, mount     new process    new user namespace again: no right
//!   and the log              and IPC namespace   namespace      over the mounts; no new privileges
//! ```
//!
//! Each dies with the one before it, and the kernel ends everybody in the cell when init dies.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use serde::{Deserialize, Serialize};

use super::duty::Duty;
use super::plan::{INSIDE_EXE, INSIDE_SWITCH, Plan};
use super::view;
use super::wire::Wire;
use crate::error::{Error, ErrorKind, Result};
use crate::switch::Switch;

/// How often the switch is looked at when nothing wakes us.
const TICK: Duration = Duration::from_millis(100);

/// What the supervisor tells the warden.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Order {
    /// The cell.
    pub(super) plan: Plan,
    /// Whom to look for in the switch's files.
    pub(super) duty: Duty,
}

/// What the warden tells the supervisor.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Word {
    /// Why there is no cell.
    Failed {
        /// Why.
        why: String,
        /// What to do.
        hint: Option<String>,
    },
}

/// The warden's whole life; standard input is its control socket. Returns the exit code.
pub fn main() -> u8 {
    let mut wire = match Wire::inherited() {
        Ok(wire) => wire,
        Err(_) => return 125,
    };
    match live(&mut wire) {
        Ok(()) => 0,
        Err(error) => {
            let word = Word::Failed {
                why: error.to_string(),
                hint: error.hint().map(str::to_owned),
            };
            // If nobody hears it, nobody is left.
            let _ = wire.send(&word, &[]);
            125
        }
    }
}

fn live(wire: &mut Wire) -> Result<()> {
    let Some((order, fds)) = wire.receive::<Order>()? else {
        return Ok(());
    };
    let Ok([init_end]) = <[_; 1]>::try_from(fds) else {
        return Err(Error::new(
            ErrorKind::Usage,
            "the cell's init needs one socket",
        ));
    };
    let Order { plan, duty } = order;
    namespaces(plan.uid, plan.gid)?;
    // After the change of credentials, which takes it away.
    die_with(plan.supervisor)?;
    view::build(&plan)?;
    one_namespace_more()?;
    process_namespace()?;
    let exe = Path::new(view::NEW).join(INSIDE_EXE.trim_start_matches('/'));
    let init = Command::new(&exe)
        .arg("cell-init")
        .env_clear()
        .current_dir("/")
        .stdin(init_end)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| Error::io("start", &exe, e))?;
    watch(wire, init, &duty);
    Ok(())
}

/// Does what a warden does, up to the view of nobody: for [`super::level::Reach`].
pub(super) fn probe() -> Result<()> {
    let (uid, gid) = (
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    );
    namespaces(uid, gid)?;
    view::build(&Plan::of_nobody(uid, gid)?)?;
    one_namespace_more()?;
    process_namespace()
}

fn namespaces(uid: u32, gid: u32) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC)
        .map_err(|errno| {
            Error::new(
                ErrorKind::Denied,
                format!("this system gives no user namespace: {}", errno.desc()),
            )
            .with_hint("`tacho doctor` names the setting")
        })?;
    map(0, uid, 0, gid)
}

fn process_namespace() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWPID).map_err(|errno| {
        Error::new(
            ErrorKind::Denied,
            format!("this system gives no process namespace: {}", errno.desc()),
        )
    })
}

/// Waits for the end of the cell, and brings it about when the switch or a lease says so: the supervisor may be stopped.
fn watch(wire: &Wire, mut init: Child, duty: &Duty) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    // Inside, since init has taken the old root from both of us.
    let switch = Switch::at(INSIDE_SWITCH.into(), duty.origin.clone());
    let tick = PollTimeout::try_from(TICK).unwrap_or(PollTimeout::ZERO);
    loop {
        match init.try_wait() {
            Ok(None) => {}
            _ => return,
        }
        let entered = Path::new(INSIDE_SWITCH).exists();
        if entered && duty.ends(&switch).is_some() && !switch.wants_freeze() {
            // Already gone is as good.
            let _ = init.kill();
        }
        // The supervisor's end closes when it dies; PDEATHSIG is then on its way too.
        let mut fds = [PollFd::new(wire.as_fd(), PollFlags::POLLIN)];
        if matches!(poll(&mut fds, tick), Ok(ready) if ready > 0) {
            let _ = init.kill();
            let _ = init.wait();
            return;
        }
    }
}

/// Maps one user and one group into the namespace that was just made.
pub(super) fn map(inside_uid: u32, uid: u32, inside_gid: u32, gid: u32) -> Result<()> {
    let write = |name: &str, text: String| {
        let path = Path::new("/proc/self").join(name);
        fs::write(&path, text).map_err(|e| Error::io("write", &path, e))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{inside_uid} {uid} 1"))?;
    write("gid_map", format!("{inside_gid} {gid} 1"))
}

/// Asks for death when the parent dies, and sees that it has not died before.
pub(super) fn die_with(parent: u32) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).map_err(|errno| Error::new(ErrorKind::Io, errno.desc()))?;
    if i32::try_from(parent).map(Pid::from_raw) != Ok(getppid()) {
        return Err(Error::new(ErrorKind::Interrupted, "the supervisor is gone"));
    }
    Ok(())
}

/// Leaves room for one more user namespace, the agent's: none can be made in it.
fn one_namespace_more() -> Result<()> {
    let path = Path::new("/old/proc/sys/user/max_user_namespaces");
    fs::write(path, "1").map_err(|e| Error::io("write", path, e))
}
