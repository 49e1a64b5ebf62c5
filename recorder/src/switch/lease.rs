//! Leases as files: until when work may go on. Beside the switch, so that whoever must stop needs neither log nor daemon.
//!
//! ```text
//! LOG.run/lease.session.12      tachograph lease v1
//!                               <origin>
//!                               <boot id, 32 hex digits>
//!                               <until, ns of CLOCK_BOOTTIME>
//! ```
//!
//! A dead man's switch: who renews must do it again and again, and when clock, recorder or watchdog stops, so does the work. A lease
//! that cannot be read, is another log's or of another boot has run out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};

use super::{Dir, Engaged, Switch, Target, Who, read_short, stop};
use crate::error::{Error, Result};
use crate::files;

const HEADER: &str = "tachograph lease v1";

/// How the name of a lease begins.
pub(super) const LEASE: &str = "lease.";

/// Whether work may go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Freshness {
    /// No lease was given for this.
    None,
    /// Until then, in ns of CLOCK_BOOTTIME.
    Fresh {
        /// When it ends.
        until: u64,
    },
    /// It ran out.
    Lapsed,
}

/// A boot and a time in it: `boot_id` and `boottime_ns` of a [`crate::Clock`].
pub type Now = ([u8; 16], u64);

impl Switch {
    /// Says whether the lease for a target is fresh; without a clock none is.
    pub fn lease(&self, target: &Target, now: Option<Now>) -> Freshness {
        match self.open() {
            Ok(dir) => self.lease_in(&dir, target, now),
            Err(_) => Freshness::Lapsed,
        }
    }

    /// Looks at the switch and at the leases in one go: whether somebody must stop, and whether a lease that covers it ran out. Where
    /// none was given, none is asked for.
    pub fn look(&self, who: Who<'_>, now: Option<Now>) -> (Engaged, bool) {
        let dir = match self.open() {
            Ok(dir) => dir,
            Err(found) => return (stop(Target::All, found), true),
        };
        let lapsed = std::iter::once(Target::All)
            .chain(who.targets())
            .any(|target| self.lease_in(&dir, &target, now) == Freshness::Lapsed);
        (self.engaged_in(&dir, who), lapsed)
    }

    fn lease_in(&self, dir: &Dir, target: &Target, now: Option<Now>) -> Freshness {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&dir.fd, lease_name(target).as_str(), flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::ENOENT) => return Freshness::None,
            Err(_) => return Freshness::Lapsed,
        };
        if !fstat(&file).is_ok_and(|stat| dir.owns(&stat)) {
            return Freshness::Lapsed;
        }
        let Some(text) = read_short(file) else {
            return Freshness::Lapsed;
        };
        let until = text
            .lines()
            .nth(3)
            .and_then(|line| line.parse::<u64>().ok());
        match (until, now) {
            (Some(until), Some((boot, now)))
                if text == self.lease_text(boot, until) && now < until =>
            {
                Freshness::Fresh { until }
            }
            _ => Freshness::Lapsed,
        }
    }

    /// For whom there are leases, fresh or not, ascending.
    pub fn leases(&self) -> Result<Vec<Target>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("read", &self.dir, e)),
        };
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            match name.strip_prefix(LEASE)? {
                "all" => Some(Target::All),
                rest => Target::from_flag(&format!("{}{rest}", super::KILLED)),
            }
        });
        let mut targets: Vec<Target> = names.collect();
        targets.sort();
        Ok(targets)
    }

    /// Grants or renews a lease.
    pub fn grant(&self, target: &Target, boot: [u8; 16], until: u64) -> Result<()> {
        let path = self.dir.join(lease_name(target));
        files::replace(&path, self.lease_text(boot, until).as_bytes())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
            .map_err(|e| Error::io("open", &path, e))
    }

    /// Ends a lease with what it was for; nothing is killed by this.
    pub fn end_lease(&self, target: &Target) -> Result<()> {
        files::remove_if_there(&self.dir.join(lease_name(target)))
    }

    fn lease_text(&self, boot: [u8; 16], until: u64) -> String {
        format!(
            "{HEADER}\n{}\n{}\n{until}\n",
            self.origin,
            hex::encode(boot)
        )
    }
}

fn lease_name(target: &Target) -> String {
    let flag = target.flag();
    format!(
        "{LEASE}{}",
        flag.strip_prefix(super::KILLED).unwrap_or("all")
    )
}
