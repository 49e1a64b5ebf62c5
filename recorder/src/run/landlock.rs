//! Landlock: the walls where there are no namespaces, and one more wall where there are.
//!
//! It can only say what is allowed, so that what must be absent is left out of a list of everything else. It cannot guard a file
//! inside a folder that may be written, hide a name, or close sockets that have a path.

use std::fs;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope, path_beneath_rules,
};
use serde::{Deserialize, Serialize};

use super::plan::{How, Plan, SYSTEM};
use crate::error::{Error, ErrorKind, Result};

/// What may be read and what may be written.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Rules {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
}

impl Rules {
    /// What a plan comes to on this level: scratch is real here, and everything is seen that is not hidden.
    pub(super) fn of(plan: &Plan) -> Self {
        let hidden: Vec<&Path> = plan
            .binds
            .iter()
            .filter(|bind| bind.how == How::Hide)
            .map(|bind| bind.path.as_path())
            .collect();
        let mut rules = Self::default();
        for path in SYSTEM {
            around(Path::new(path), &hidden, &mut rules.read);
        }
        for path in ["/tmp", "/var/tmp", "/dev"] {
            around(Path::new(path), &hidden, &mut rules.write);
        }
        around(Path::new("/proc"), &hidden, &mut rules.write);
        for bind in plan.in_order() {
            match bind.how {
                How::Hide => {}
                How::Read => around(&bind.path, &hidden, &mut rules.read),
                How::Scratch | How::Write => around(&bind.path, &hidden, &mut rules.write),
            }
        }
        rules.read.push(plan.switch.clone());
        rules.read.push(plan.exe.clone());
        rules.read.extend(plan.door.clone());
        rules
    }
}

/// Names a folder, or, where something hidden lies in it, everything in it but that.
fn around(path: &Path, hidden: &[&Path], into: &mut Vec<PathBuf>) {
    if hidden.iter().any(|hidden| path.starts_with(hidden)) {
        return;
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(path)) {
        into.push(path.to_owned());
        return;
    }
    let Ok(entries) = fs::read_dir(path) else {
        return;
    };
    for entry in entries.flatten() {
        // A link leads elsewhere, where the rules of that place hold.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            around(&entry.path(), hidden, into);
        }
    }
}

/// Allows what the rules say, and nothing else of the file system.
pub(super) fn confine(rules: &Rules) -> Result<()> {
    let all = AccessFs::from_all(ABI::V5);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(|ruleset| {
            ruleset
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(all)
        })
        .and_then(|ruleset| ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal))
        .and_then(Ruleset::create)
        .and_then(|created| {
            created.add_rules(path_beneath_rules(
                &rules.read,
                AccessFs::from_read(ABI::V5),
            ))
        })
        .and_then(|created| created.add_rules(path_beneath_rules(&rules.write, all)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|e| {
            Error::new(
                ErrorKind::Denied,
                format!("this system has no Landlock: {e}"),
            )
        })?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(Error::new(
            ErrorKind::Denied,
            "this system does not enforce Landlock rules",
        ));
    }
    Ok(())
}

/// Keeps sockets without a path out of a cell: they belong to the network namespace, which it shares with the host.
///
/// Kernels before 6.12 cannot; a cell there says so ([`super::level`]).
pub(super) fn no_abstract_sockets() -> Result<()> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .scope(Scope::AbstractUnixSocket)
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map(drop)
        .map_err(|e| {
            Error::new(
                ErrorKind::Denied,
                format!("cannot close abstract sockets: {e}"),
            )
        })
}
