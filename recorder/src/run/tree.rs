//! Processes by their parents, as /proc lists them: to count a cell, to freeze it, and to end a tree where there is no namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process: a number alone is given to others after its end.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub start: u64,
}

/// What /proc/PID/stat says.
struct Stat {
    parent: u32,
    start: u64,
    state: char,
}

impl Process {
    /// Finds who has a number now.
    pub fn find(pid: u32) -> Option<Self> {
        let stat = stat(pid)?;
        Some(Self {
            pid,
            start: stat.start,
        })
    }

    /// Whether it still runs; one that is dead and not yet buried does not.
    pub fn lives(self) -> bool {
        stat(self.pid)
            .is_some_and(|stat| stat.start == self.start && !matches!(stat.state, 'Z' | 'X'))
    }

    /// Whether it is stopped.
    fn is_still(self) -> bool {
        stat(self.pid).is_none_or(|stat| {
            stat.start != self.start || matches!(stat.state, 'T' | 't' | 'Z' | 'X')
        })
    }

    fn signal(self, signal: Signal) {
        if self.lives()
            && let Ok(pid) = i32::try_from(self.pid)
        {
            // Gone in the meantime is as good.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, also parentheses.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some(Stat {
        parent,
        start,
        state,
    })
}

/// Lists everybody below a process, not itself; the dead are left out.
pub fn below(root: u32) -> Vec<Process> {
    let mut children: BTreeMap<u32, Vec<Process>> = BTreeMap::new();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(Process {
                pid,
                start: stat.start,
            });
        }
    }
    let (mut found, mut seen, mut next) = (Vec::new(), BTreeSet::new(), vec![root]);
    while let Some(parent) = next.pop() {
        if !seen.insert(parent) {
            continue;
        }
        for process in children.get(&parent).into_iter().flatten() {
            next.push(process.pid);
            if process.lives() {
                found.push(*process);
            }
        }
    }
    found
}

/// Lists everybody below a process by the kernel's own lists of children: quick, and good to count, not to rely on.
pub fn glance(root: u32) -> Vec<Process> {
    let (mut found, mut next) = (Vec::new(), vec![root]);
    while let Some(parent) = next.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for process in children
                .split_ascii_whitespace()
                .filter_map(|pid| Process::find(pid.parse().ok()?))
            {
                next.push(process.pid);
                found.push(process);
            }
        }
    }
    found
}

/// How long a tree may take to end or to stand still.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ends everybody below a process that adopts orphans. Returns those who live on.
///
/// First all are stopped, so that none starts another while the others are ended.
pub fn end(root: u32) -> Vec<Process> {
    freeze(root);
    let began = Instant::now();
    loop {
        let left = below(root);
        if left.is_empty() || began.elapsed() > PATIENCE {
            return left;
        }
        for process in left {
            process.signal(Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Stops everybody below a process, until nobody moves. Returns how many there are, and whether all stand still.
pub fn freeze(root: u32) -> (usize, bool) {
    let began = Instant::now();
    loop {
        let all = below(root);
        let moving: Vec<_> = all.iter().filter(|process| !process.is_still()).collect();
        if moving.is_empty() {
            return (all.len(), true);
        }
        if began.elapsed() > PATIENCE {
            return (all.len(), false);
        }
        for process in moving {
            process.signal(Signal::SIGSTOP);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
