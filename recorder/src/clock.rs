//! Time, as an argument.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::error::{Error, ErrorKind, Result};

/// Where a log gets its time from.
///
/// Two clocks, since neither is enough: the wall clock jumps, and the boot clock starts anew with each boot.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// Nanoseconds since 1970 by the wall clock.
    fn wall_ns(&self) -> i64;
    /// Nanoseconds since the machine started, sleep included.
    fn boottime_ns(&self) -> u64;
    /// The kernel's name for this boot: `boottime_ns` compares only within one.
    fn boot_id(&self) -> [u8; 16];
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    boot: [u8; 16],
}

impl SystemClock {
    /// Asks the kernel for the boot id and sees that the boot clock answers.
    pub fn new() -> Result<Self> {
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(|errno| {
            Error::new(ErrorKind::Io, "the system has no boot clock").with_source(errno)
        })?;
        Ok(Self {
            boot: kernel_boot_id(Path::new("/proc/sys/kernel/random/boot_id"))?,
        })
    }
}

impl Clock for SystemClock {
    fn wall_ns(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            // A clock set before 1970 is wrong, and the record shall show that it was.
            Err(before) => {
                i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, std::ops::Neg::neg)
            }
        }
    }

    fn boottime_ns(&self) -> u64 {
        // `new` saw this clock answer; it does not stop doing so.
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |t| {
            u64::try_from(std::time::Duration::from(t).as_nanos()).unwrap_or(u64::MAX)
        })
    }

    fn boot_id(&self) -> [u8; 16] {
        self.boot
    }
}

/// Reads a boot id as the kernel prints it: 32 hex digits with hyphens and a line end.
fn kernel_boot_id(path: &Path) -> Result<[u8; 16]> {
    let text = fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let digits: String = text.trim_end().chars().filter(|c| *c != '-').collect();
    let mut id = [0; 16];
    hex::decode_to_slice(digits, &mut id)
        .map_err(|e| Error::new(ErrorKind::Io, "the kernel's boot id is not one").with_source(e))?;
    Ok(id)
}

/// A clock that stands still until told otherwise: for tests only.
///
/// Records made with it are the same bytes on every run.
#[derive(Debug)]
pub struct TestClock {
    wall: AtomicI64,
    boottime: AtomicU64,
    boot: [u8; 16],
}

impl TestClock {
    /// Starts at these two times, in boot `01 01 … 01`.
    pub fn new(wall_ns: i64, boottime_ns: u64) -> Self {
        Self::in_boot(wall_ns, boottime_ns, [1; 16])
    }

    /// Starts at these two times in the given boot.
    pub fn in_boot(wall_ns: i64, boottime_ns: u64, boot: [u8; 16]) -> Self {
        Self {
            wall: AtomicI64::new(wall_ns),
            boottime: AtomicU64::new(boottime_ns),
            boot,
        }
    }

    /// Lets time pass on both clocks.
    pub fn advance_ns(&self, ns: u32) {
        self.wall.fetch_add(i64::from(ns), Ordering::SeqCst);
        self.boottime.fetch_add(u64::from(ns), Ordering::SeqCst);
    }

    /// Makes the wall clock jump, forwards or backwards; the boot clock does not notice.
    pub fn set_wall_ns(&self, wall_ns: i64) {
        self.wall.store(wall_ns, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn wall_ns(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn boottime_ns(&self) -> u64 {
        self.boottime.load(Ordering::SeqCst)
    }

    fn boot_id(&self) -> [u8; 16] {
        self.boot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_a_boot_and_time_passes() {
        let clock = SystemClock::new().unwrap();
        assert_ne!(clock.boot_id(), [0; 16]);
        let before = clock.boottime_ns();
        assert!(before > 0);
        assert!(clock.boottime_ns() >= before);
        // 2020: a machine whose clock says otherwise has no business running tests.
        assert!(clock.wall_ns() > 1_577_836_800_000_000_000);
    }

    #[test]
    fn a_boot_id_must_be_sixteen_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "not hex\n").unwrap();
        assert_eq!(
            kernel_boot_id(file.path()).unwrap_err().kind(),
            ErrorKind::Io
        );
    }

    #[test]
    fn a_test_clock_moves_only_when_told() {
        let clock = TestClock::new(-5, 7);
        assert_eq!((clock.wall_ns(), clock.boottime_ns()), (-5, 7));
        clock.advance_ns(10);
        assert_eq!((clock.wall_ns(), clock.boottime_ns()), (5, 17));
        clock.set_wall_ns(-100);
        assert_eq!((clock.wall_ns(), clock.boottime_ns()), (-100, 17));
    }
}
