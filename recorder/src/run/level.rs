//! How far this machine can confine an agent, tried and not guessed.

use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use tacho_schemas::body::work::Confinement;

use crate::error::Result;

/// What a run stands on. Each holds more than the one before.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A process tree that can be ended.
    ProcessGroup,
    /// The same, and Landlock rules.
    Landlock,
    /// Namespaces of its own.
    Cell,
}

impl Level {
    /// As records say it.
    pub fn confinement(self) -> Confinement {
        match self {
            Self::ProcessGroup => Confinement::ProcessGroup,
            Self::Landlock => Confinement::Landlock,
            Self::Cell => Confinement::Cell,
        }
    }

    /// What does not hold on this level, in a sentence for the one who starts an agent; `None` for a cell.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Self::Cell => None,
            Self::Landlock => Some(
                "no cell on this machine: Landlock keeps the agent from log, keys and policy, but not from its own hooks and settings; \
                 it shares your processes and sockets",
            ),
            Self::ProcessGroup => Some(
                "no cell and no Landlock on this machine: the agent can reach log and keys, and a process that hides can outlive a kill",
            ),
        }
    }
}

/// What was found out about this machine.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The highest level.
    pub level: Level,
    /// Why not higher.
    pub why: Option<String>,
    /// What would make it higher.
    pub next: Option<String>,
}

impl Reach {
    /// Tries: `exe` is our own binary, whose hidden verb `cell-probe` makes a cell or Landlock rules and says whether that worked.
    pub fn find(exe: &std::path::Path) -> Self {
        let try_out = |what: &str| -> std::result::Result<(), String> {
            let ran = Command::new(exe)
                .args(["cell-probe", what])
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .output()
                .map_err(|e| e.to_string())?;
            if ran.status.success() {
                Ok(())
            } else {
                Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned())
            }
        };
        let why = match try_out("cell") {
            Ok(()) => {
                return Self {
                    level: Level::Cell,
                    why: None,
                    next: None,
                };
            }
            Err(why) => why,
        };
        let level = match try_out("landlock") {
            Ok(()) => Level::Landlock,
            Err(_) => Level::ProcessGroup,
        };
        Self {
            level,
            next: Some(next()),
            why: Some(why),
        }
    }
}

/// Tries one level in this process, which is of no other use afterwards: `cell` or `landlock`.
pub fn probe(what: &str) -> Result<()> {
    match what {
        "cell" => super::warden::probe(),
        _ => super::landlock::confine(&super::landlock::Rules::default()),
    }
}

/// What forbids user namespaces, as far as the system's settings say.
fn next() -> String {
    let setting = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/{name}")).map(|text| text.trim().to_owned())
    };
    if setting("kernel/apparmor_restrict_unprivileged_userns").is_ok_and(|value| value == "1") {
        return "AppArmor restricts user namespaces (Ubuntu 24.04): an AppArmor profile for tacho with `userns,` allows them, or \
                `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
            .to_owned();
    }
    if setting("kernel/unprivileged_userns_clone").is_ok_and(|value| value == "0") {
        return "`sysctl kernel.unprivileged_userns_clone=1` allows user namespaces".to_owned();
    }
    if setting("user/max_user_namespaces").is_ok_and(|value| value == "0") {
        return "`sysctl user.max_user_namespaces=10000` allows user namespaces".to_owned();
    }
    "run tacho outside of a container, or in one that allows user namespaces and overlay mounts"
        .to_owned()
}
