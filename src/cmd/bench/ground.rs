//! Where a benchmark works: a directory of its own, removed at the end whatever happens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statfs::statfs;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tacho_recorder::keys;
use tacho_recorder::log::{Beginning, Log};
use tacho_schemas::Origin;

use super::corpus::PAYLOAD;
use crate::place::{self, Place};
use crate::term::Failure;

/// A directory that is removed when dropped, and when the process is asked to end.
#[derive(Debug)]
pub(super) struct Ground {
    path: PathBuf,
}

impl Ground {
    pub(super) fn make(dir: Option<&Path>, place: &Place) -> Result<Self, Failure> {
        let beside = || Some(place.log().ok()?.parent()?.to_owned()).filter(|p| p.is_dir());
        let base = match dir {
            Some(dir) => dir.to_owned(),
            None => beside().unwrap_or_else(std::env::temp_dir),
        };
        let mut id = [0; 8];
        place::random(&mut id)?;
        let path = base.join(format!("tacho-bench-{:016x}", u64::from_be_bytes(id)));
        place::make_private(&path)?;
        let ground = Self { path };
        ground.watch_signals()?;
        Ok(ground)
    }

    fn watch_signals(&self) -> Result<(), Failure> {
        let listen = |e| Failure::new(format!("cannot listen for signals: {e}"));
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(listen)?;
        let path = self.path.clone();
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // A writer at work may add a file meanwhile.
                for _ in 0..10 {
                    if std::fs::remove_dir_all(&path).is_ok() || !path.exists() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                std::process::exit(128 + signal);
            }
        });
        Ok(())
    }

    /// A path inside.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A new log inside.
    pub(super) fn log(&self, name: &str) -> Result<Log, Failure> {
        let identity = keys::generate()?;
        let beginning = Beginning {
            path: &self.at(name),
            origin: Origin::from_parts("tacho.invalid", [0xbe; 16])?,
            identity: &identity,
            predecessor: None,
        };
        Ok(Log::create(beginning, place::options()?)?)
    }

    /// What the figures were measured on, in words.
    pub(super) fn machine(&self) -> Machine {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .find_map(|l| l.strip_prefix("model name"))
            .map_or("", |l| l.trim_start_matches([' ', '\t', ':']));
        let file_system = match statfs(&self.path) {
            Ok(stat) => file_system_name(&format!("{:x}", stat.filesystem_type().0)),
            Err(_) => "unknown".to_owned(),
        };
        Machine {
            cores,
            model: model.to_owned(),
            file_system,
            directory: self.path.parent().unwrap_or(&self.path).to_owned(),
            payload: PAYLOAD,
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Left over if it cannot be removed: the name says whose it is.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// What the figures were measured on.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) model: String,
    pub(super) file_system: String,
    pub(super) directory: PathBuf,
    pub(super) payload: usize,
}

fn file_system_name(magic: &str) -> String {
    match magic {
        "ef53" => "ext4",
        "58465342" => "xfs",
        "9123683e" => "btrfs",
        "2fc12fc1" => "zfs",
        "f2f52010" => "f2fs",
        "1021994" => "tmpfs",
        "794c7630" => "overlayfs",
        other => other,
    }
    .to_owned()
}
