//! The supervisor: starts a cell, carries its terminal, and ends it when the switch or a lease says so. It needs neither log nor
//! daemon for that, and nothing it does waits for the agent, the terminal or the disk.

use std::fs;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::card::{self, Card, Ended, Laid};
use super::duty::{Duty, Ending};
use super::landlock::Rules;
use super::level::Level;
use super::plan::Plan;
use super::relay::Relay;
use super::tree::{self, Process};
use super::wire::Wire;
use super::{init, warden};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::switch::Switch;

/// How often the switch is looked at when nothing wakes us.
const TICK: Duration = Duration::from_millis(100);

/// How long a cell may take to be made.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long an agent has after it was asked to end.
const GRACE: Duration = Duration::from_secs(5);

/// What is to run, and under whose eyes.
#[derive(Debug)]
pub struct Setup {
    /// The cell.
    pub plan: Plan,
    /// What it stands on.
    pub level: Level,
    /// What ends it.
    pub duty: Duty,
    /// The switch, outside.
    pub switch: Switch,
}

/// The streams of the one who started us.
#[derive(Debug)]
pub struct Streams {
    /// Input, output, errors.
    pub fds: [OwnedFd; 3],
}

/// How a run ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// The agent exited.
    Exited(i32),
    /// A signal ended the agent.
    Signalled(i32),
    /// The switch or a lease ended the cell.
    Stopped(Stopped),
}

/// A cell that was ended. Times are of CLOCK_BOOTTIME, in ns.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stopped {
    /// Why.
    pub why: Ending,
    /// When we saw it.
    pub t_order: u64,
    /// When nothing ran any more.
    pub t_empty: u64,
    /// How many there were, and how many live on.
    pub ended: Ended,
}

/// A started cell.
struct Cell {
    level: Level,
    /// The child that we started: the warden, or init where there is none.
    child: Child,
    /// Closed when we are gone.
    _warden: Option<Wire>,
    init: Wire,
    pidfd: OwnedFd,
    pid: u32,
    relay: Option<Relay>,
}

/// Runs an agent to its end. `tell` hears once when the agent is frozen, and where.
pub fn run(setup: &Setup, streams: Streams, tell: &mut dyn FnMut(&str)) -> Result<End> {
    setup.plan.check()?;
    if let Some(ending) = setup.duty.ends(&setup.switch) {
        return Err(Error::new(ErrorKind::Refused, ending.to_string())
            .with_hint("`tacho status` shows it; `tacho release` ends it"));
    }
    let signals = Signals::take()?;
    let mut cell = Cell::start(setup, streams)?;
    let card = cell.card(setup)?;
    let _laid: Laid = card.lay(setup.switch.dir())?;
    // The flag may have come while we started; from the card on, `kill` finds us.
    if let Some(why) = setup.duty.ends(&setup.switch) {
        return cell.stop(why);
    }
    let inotify = watch(setup.switch.dir());
    cell.init.send(&init::Order::Go, &[])?;
    if let Some(relay) = &cell.relay {
        relay.raw();
    }
    let end = cell.rule(setup, &signals, inotify.as_ref(), tell);
    if end.is_err() {
        card::end(cell.level, cell.pid, &cell.pidfd);
    }
    end
}

impl Cell {
    fn start(setup: &Setup, streams: Streams) -> Result<Self> {
        let broken = |e| Error::new(ErrorKind::Io, format!("cannot make a socket: {e}"));
        let (ours, theirs) = UnixStream::pair().map_err(broken)?;
        let mut init = Wire::new(ours.into());
        let theirs = OwnedFd::from(theirs);
        let spawn = |verb: &str, stdin: OwnedFd| {
            let mut command = Command::new(&setup.plan.exe);
            if verb == "cell-warden" {
                // A stop of our job must not stop the one who watches too. Init leads a session of its own.
                command.process_group(0);
            }
            command
                .arg(verb)
                .env_clear()
                .stdin(stdin)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|e| Error::io("start", &setup.plan.exe, e))
        };
        let (child, warden, ground) = match setup.level {
            Level::Cell => {
                let (ours, to_warden) = UnixStream::pair().map_err(broken)?;
                let child = spawn("cell-warden", to_warden.into())?;
                let warden = Wire::new(ours.into());
                let order = warden::Order {
                    plan: setup.plan.clone(),
                    duty: setup.duty.clone(),
                };
                warden.send(&order, &[theirs.as_fd()])?;
                drop(theirs);
                (child, Some(warden), init::Ground::Cell)
            }
            Level::Landlock => (
                spawn("cell-init", theirs)?,
                None,
                init::Ground::Landlock(Rules::of(&setup.plan)),
            ),
            Level::ProcessGroup => (spawn("cell-init", theirs)?, None, init::Ground::Tree),
        };
        let terminal = streams
            .fds
            .each_ref()
            .map(|fd| nix::unistd::isatty(fd) == Ok(true));
        let spec = init::Spec {
            argv: setup.plan.argv.clone(),
            env: setup.plan.env.clone(),
            cwd: setup.plan.cwd.clone(),
            uid: setup.plan.uid,
            gid: setup.plan.gid,
            terminal,
            ground,
        };
        let plain: Vec<BorrowedFd<'_>> = streams
            .fds
            .iter()
            .zip(terminal)
            .filter_map(|(fd, terminal)| (!terminal).then_some(fd.as_fd()))
            .collect();
        init.send(&spec, &plain)?;
        let mut warden = warden;
        let mut fds = ready(&mut init, warden.as_mut())?.into_iter();
        let Some(pidfd) = fds.next() else {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "the cell's init is not to be held",
            ));
        };
        let relay = match fds.next() {
            Some(master) => {
                let outer = streams
                    .fds
                    .iter()
                    .zip(terminal)
                    .find(|(_, terminal)| *terminal);
                let outer = outer.ok_or_else(|| {
                    Error::new(ErrorKind::Corrupt, "a terminal that nobody asked for")
                })?;
                let [types, ..] = terminal;
                Some(Relay::new(outer.0.as_fd(), master, types)?)
            }
            None => None,
        };
        let pid = pid_of(&pidfd)?;
        Ok(Self {
            level: setup.level,
            child,
            _warden: warden,
            init,
            pidfd,
            pid,
            relay,
        })
    }

    fn card(&self, setup: &Setup) -> Result<Card> {
        let process = Process::find(self.pid).ok_or_else(|| {
            Error::new(
                ErrorKind::Interrupted,
                "the cell ended before its agent started",
            )
        })?;
        let lossy = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        Ok(Card {
            init: process.pid,
            init_start: process.start,
            supervisor: std::process::id(),
            level: self.level,
            duty: setup.duty.clone(),
            program: setup
                .plan
                .argv
                .first()
                .map(|name| lossy(name))
                .unwrap_or_default(),
            workspace: lossy(setup.plan.cwd.as_os_str()),
            began: SystemClock::new()?.wall_ns(),
        })
    }

    /// Carries, watches and obeys until the end.
    fn rule(
        &mut self,
        setup: &Setup,
        signals: &Signals,
        inotify: Option<&Inotify>,
        tell: &mut dyn FnMut(&str),
    ) -> Result<End> {
        let mut deadline: Option<Instant> = None;
        let mut frozen = false;
        loop {
            if let Some(why) = setup.duty.ends(&setup.switch) {
                if !setup.switch.wants_freeze() {
                    return self.stop(why);
                }
                let (count, still) = tree::freeze(self.pid);
                if !frozen {
                    let state = if still {
                        "stand still"
                    } else {
                        "are stopped, not all of them yet"
                    };
                    tell(&format!(
                        "{why}: {count} processes {state} for forensics, below process {}",
                        self.pid
                    ));
                    frozen = true;
                }
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                card::end(self.level, self.pid, &self.pidfd);
                deadline = None;
            }
            let (gone, spoken) = self.wait(signals, inotify)?;
            if let Some(inotify) = inotify {
                // What happened is read from the files themselves.
                let _ = inotify.read_events();
            }
            if let Some(relay) = &mut self.relay {
                relay.carry();
            }
            while let Some(signal) = signals.next() {
                self.signal(signal, &mut deadline);
            }
            if spoken && let Some(end) = self.hear(setup)? {
                self.finish();
                return Ok(end);
            }
            if gone {
                self.finish();
                // Somebody else ended it: the warden, `tacho kill`, or whoever may signal us.
                return match setup.duty.ends(&setup.switch) {
                    Some(why) => self.stop(why),
                    None => Ok(End::Signalled(Signal::SIGKILL as i32)),
                };
            }
        }
    }

    /// Waits for something to happen, a tick at most. Says whether init is gone, and whether it said something.
    fn wait(&self, signals: &Signals, inotify: Option<&Inotify>) -> Result<(bool, bool)> {
        let read = PollFlags::POLLIN;
        let mut fds = vec![
            PollFd::new(self.pidfd.as_fd(), read),
            PollFd::new(self.init.as_fd(), read),
            PollFd::new(signals.fd.as_fd(), read),
        ];
        fds.extend(inotify.map(|inotify| PollFd::new(inotify.as_fd(), read)));
        for (fd, reads, writes) in self.relay.iter().flat_map(Relay::wants) {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, reads);
            flags.set(PollFlags::POLLOUT, writes);
            if !flags.is_empty() {
                fds.push(PollFd::new(fd, flags));
            }
        }
        let tick = PollTimeout::try_from(TICK).unwrap_or(PollTimeout::ZERO);
        match poll(&mut fds, tick) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => {
                return Err(Error::new(
                    ErrorKind::Io,
                    format!("cannot wait: {}", errno.desc()),
                ));
            }
        }
        let any = |place: usize| fds.get(place).and_then(PollFd::any).unwrap_or(false);
        Ok((any(0), any(1)))
    }

    /// Hears what init says.
    fn hear(&mut self, setup: &Setup) -> Result<Option<End>> {
        loop {
            match self.init.receive::<init::Word>()? {
                None => return Ok(None),
                Some((init::Word::Exited(code), _)) => return Ok(Some(End::Exited(code))),
                Some((init::Word::Signalled(signal), _)) => {
                    return Ok(Some(End::Signalled(signal)));
                }
                Some((init::Word::Failed(why, hint), _)) => return Err(failed(why, hint)),
                // Frozen by the switch, not by Ctrl-Z: we stay awake.
                Some((init::Word::Stopped, _)) if setup.duty.ends(&setup.switch).is_some() => {}
                Some((init::Word::Stopped, _)) => {
                    if let Some(relay) = &self.relay {
                        relay.restore();
                    }
                    // Ctrl-Z: the shell takes over until it wakes us. The warden watches on.
                    let _ = kill(Pid::this(), Signal::SIGSTOP);
                    if let Some(relay) = &self.relay {
                        relay.raw();
                        relay.resize();
                    }
                    self.init.send(&init::Order::Continue, &[])?;
                }
                Some((init::Word::Ready, _)) => {}
            }
            if !self.init.has_more() {
                return Ok(None);
            }
        }
    }

    fn signal(&mut self, signal: Signal, deadline: &mut Option<Instant>) {
        match signal {
            Signal::SIGWINCH => {
                if let Some(relay) = &self.relay {
                    relay.resize();
                }
            }
            Signal::SIGCONT => {}
            signal => {
                // An init that does not hear any more is about to be seen as gone.
                let _ = self.init.send(&init::Order::Signal(signal as i32), &[]);
                if matches!(signal, Signal::SIGTERM | Signal::SIGHUP) {
                    // Asked twice is asked to end now.
                    let wait = if deadline.is_some() {
                        Duration::ZERO
                    } else {
                        GRACE
                    };
                    *deadline = Some(Instant::now() + wait);
                }
            }
        }
    }

    /// Ends everybody.
    fn stop(&mut self, why: Ending) -> Result<End> {
        let clock = SystemClock::new()?;
        let t_order = clock.boottime_ns();
        let ended = card::end(self.level, self.pid, &self.pidfd);
        let t_empty = clock.boottime_ns();
        self.finish();
        Ok(End::Stopped(Stopped {
            why,
            t_order,
            t_empty,
            ended,
        }))
    }

    /// Lets the terminal say its last words and buries the child.
    fn finish(&mut self) {
        if !card::wait(&self.pidfd, Duration::from_secs(1)) {
            card::end(self.level, self.pid, &self.pidfd);
        }
        if let Some(relay) = &mut self.relay {
            relay.drain();
            relay.restore();
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        // Whatever happened, nothing of it stays.
        card::end(self.level, self.pid, &self.pidfd);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for init's first word, or for the warden to say why there is none.
fn ready(init: &mut Wire, mut warden: Option<&mut Wire>) -> Result<Vec<OwnedFd>> {
    let began = Instant::now();
    loop {
        let left = PATIENCE.saturating_sub(began.elapsed());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let (from_init, from_warden) = {
            let mut fds = vec![PollFd::new(init.as_fd(), PollFlags::POLLIN)];
            fds.extend(
                warden
                    .as_ref()
                    .map(|warden| PollFd::new(warden.as_fd(), PollFlags::POLLIN)),
            );
            match poll(&mut fds, timeout) {
                Ok(0) if left.is_zero() => {
                    return Err(Error::new(
                        ErrorKind::Busy,
                        "the cell was not ready in time",
                    ));
                }
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => {
                    return Err(Error::new(
                        ErrorKind::Io,
                        format!("cannot wait: {}", errno.desc()),
                    ));
                }
            }
            let any = |place: usize| fds.get(place).and_then(PollFd::any).unwrap_or(false);
            (any(0), any(1))
        };
        // The warden knows better why nothing comes.
        if from_warden && let Some(warden) = warden.as_mut() {
            return Err(match warden.receive::<warden::Word>()? {
                Some((warden::Word::Failed { why, hint }, _)) => failed(why, hint),
                None => Error::new(
                    ErrorKind::Interrupted,
                    "the cell's warden ended without a word",
                ),
            });
        }
        if from_init {
            match init.receive::<init::Word>()? {
                Some((init::Word::Ready, fds)) => return Ok(fds),
                Some((init::Word::Failed(why, hint), _)) => return Err(failed(why, hint)),
                Some(_) => {}
                // The warden's word follows, where there is one.
                None if warden.is_some() => std::thread::sleep(Duration::from_millis(1)),
                None => {
                    return Err(Error::new(
                        ErrorKind::Interrupted,
                        "the cell's init ended without a word",
                    ));
                }
            }
        }
    }
}

fn failed(why: String, hint: Option<String>) -> Error {
    let error = Error::new(ErrorKind::Denied, why);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The process that a pidfd holds, by our own numbers.
fn pid_of(pidfd: &OwnedFd) -> Result<u32> {
    let path = Path::new("/proc/self/fdinfo").join(pidfd.as_raw_fd().to_string());
    let text = fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
    let pid = text
        .lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.ok_or_else(|| {
        Error::new(
            ErrorKind::Interrupted,
            "the cell's init ended before its agent started",
        )
    })
}

/// Wakes us when something happens to the switch; without it the tick must do.
fn watch(dir: &Path) -> Option<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
    let what = AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF;
    inotify.add_watch(dir, what).ok()?;
    Some(inotify)
}

/// The signals of a terminal and of a service manager, as a descriptor; given back at the end.
struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    fn take() -> Result<Self> {
        let failed = |errno: nix::errno::Errno| {
            Error::new(
                ErrorKind::Io,
                format!("cannot take signals: {}", errno.desc()),
            )
        };
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGWINCH,
            Signal::SIGTSTP,
            Signal::SIGCONT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
        ] {
            set.add(signal);
        }
        let before = set
            .thread_swap_mask(SigmaskHow::SIG_BLOCK)
            .map_err(failed)?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(failed)?;
        Ok(Self { fd, before })
    }

    fn next(&self) -> Option<Signal> {
        let info = self.fd.read_signal().ok()??;
        i32::try_from(info.ssi_signo)
            .ok()
            .and_then(|number| Signal::try_from(number).ok())
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}
