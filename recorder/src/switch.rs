//! The off switch: a few files beside the log, which work when nothing else does.
//!
//! ```text
//! LOG.run/                 0755, beside the log: all that a cell sees of us, read-only
//!   armed                  present and ours = nobody is killed
//!   KILL                   what `armed` is renamed to: everybody is killed
//!   killed.<scope>.<id>    what a spare is renamed to: one agent, session, lineage or part is killed
//!   spare.00 … spare.15    made when the switch is, since a rename works on a disk without space or inodes
//! ```
//!
//! **Absent is killed.** Whoever cannot read `armed`, or reads another log's, is killed: removing the files stops agents and frees none.
//! A flag alone does not free anybody either: the state is the files and the log together ([`standing`]); a flag that went away
//! without a `release` record is made again. Looking costs a few system calls and never waits for the log or a daemon.

pub mod acts;
pub mod lease;
pub mod reconcile;
pub mod standing;
mod target;

use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use tacho_schemas::body::Part;
use tacho_schemas::{Id, Origin, Seq};

use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::files;

pub use target::Target;

const ARMED: &str = "armed";
const KILL: &str = "KILL";
const KILLED: &str = "killed.";
const SPARE: &str = "spare.";

/// How many scopes can be killed at once on a disk without inodes; more take new files, and if that fails, everything.
const SPARES: u32 = 16;

/// The longest `armed`: a line of version, an origin of at most 233 bytes, a number.
const MAX_ARMED: usize = 512;

/// While it stands, those who are killed are stopped where they are and not ended.
const FREEZE: &str = "freeze";

const HEADER: &str = "tachograph switch v1";

/// The switch's directory, open, and whose it is.
#[derive(Debug)]
struct Dir {
    fd: OwnedFd,
    owner: u32,
}

impl Dir {
    /// Whether a file of it is plain, of the same owner and nobody else's to write.
    fn owns(&self, stat: &FileStat) -> bool {
        is_plain(stat) && stat.st_uid == self.owner && stat.st_mode & 0o022 == 0
    }
}

/// The off switch of one log.
#[derive(Clone, Debug)]
pub struct Switch {
    dir: PathBuf,
    origin: Origin,
}

/// Whom a question is about. What is not known stays empty; a kill of everything reaches whoever asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Who<'a> {
    /// The agent.
    pub agent: Option<&'a Id>,
    /// Its session, and the sessions that started it.
    pub sessions: &'a [Seq],
    /// Its lineage, and those that it comes from.
    pub lineages: &'a [Seq],
    /// The parts that the action would touch.
    pub parts: &'a [Part],
}

impl Who<'_> {
    /// Everything that this is, or belongs to.
    fn targets(&self) -> impl Iterator<Item = Target> {
        (self.agent.into_iter().cloned().map(Target::Agent))
            .chain(self.sessions.iter().copied().map(Target::Session))
            .chain(self.lineages.iter().copied().map(Target::Lineage))
    }
}

/// What the switch says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Engaged {
    /// It is armed: go on. The epoch says which arming it is: one that changed means that it was engaged in between.
    No {
        /// The arming, which grows with each release of everything.
        epoch: u64,
    },
    /// It is engaged: stop.
    Yes(Stop),
}

/// Why somebody must stop.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stop {
    /// What is killed.
    pub target: Target,
    /// How the switch was found.
    pub found: Found,
}

/// How the switch was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found {
    /// A flag stands.
    Flag,
    /// `armed`, or the whole directory, is not there.
    Absent,
    /// It is there and cannot be read.
    Unreadable,
    /// It is not of this log, or not ours.
    Foreign,
}

impl Engaged {
    /// Whether to stop.
    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes(_))
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = match self.found {
            Found::Flag => "the off switch is engaged for",
            Found::Absent => "the off switch's `armed` file is absent, which stops",
            Found::Unreadable => "the off switch's `armed` file cannot be read, which stops",
            Found::Foreign => "the off switch's `armed` file is not this log's, which stops",
        };
        write!(f, "{why} {}", self.target)
    }
}

/// Everything that the files say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// The switch as it stands for everybody.
    pub all: Engaged,
    /// The other scopes that are killed, ascending.
    pub killed: Vec<Target>,
    /// How many spares there are.
    pub spares: usize,
    /// Names that are not ours.
    pub strange: Vec<String>,
}

impl Switch {
    /// The directory of a log's switch and sockets: beside the log, since a cell must see it and must not see the log.
    pub fn dir_of(log: &Path) -> PathBuf {
        let mut name = log
            .file_name()
            .map_or_else(|| "log".into(), std::ffi::OsStr::to_os_string);
        name.push(".run");
        log.with_file_name(name)
    }

    /// Names the switch of a log; looks at nothing.
    pub fn of(log: &Path, origin: Origin) -> Self {
        Self {
            dir: Self::dir_of(log),
            origin,
        }
    }

    /// Names a switch by its own directory, as a cell sees it; looks at nothing.
    pub fn at(dir: PathBuf, origin: Origin) -> Self {
        Self { dir, origin }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the directory and arms the switch for the first time.
    ///
    /// Refuses where something of a switch is: arming it again is a release. Order: directory, spares, `armed` → fsync → parent. A
    /// crash before the end leaves a switch that stops everybody.
    pub fn create(&self) -> Result<()> {
        match DirBuilder::new().mode(0o755).create(&self.dir) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::io("create", &self.dir, e));
            }
            _ => {}
        }
        let dir = self.open().map_err(|found| self.bad_dir(found))?;
        let state = self.list(&dir)?;
        if state.all != stop(Target::All, Found::Absent) || !state.killed.is_empty() {
            return Err(Error::new(
                ErrorKind::Exists,
                format!("there is a switch in {}", Quoted(&self.dir)),
            ));
        }
        // Whatever the umask: the agents' user must be able to look, and nobody else to write.
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o755))
            .map_err(|e| Error::io("open", &self.dir, e))?;
        self.restore_spares(&state)?;
        self.write_armed(0)?;
        files::sync_dir(files::parent(&self.dir))
    }

    /// Says whether somebody must stop. Reads only files; a few system calls.
    pub fn engaged(&self, who: Who<'_>) -> Engaged {
        match self.open() {
            Ok(dir) => self.engaged_in(&dir, who),
            Err(found) => stop(Target::All, found),
        }
    }

    fn engaged_in(&self, dir: &Dir, who: Who<'_>) -> Engaged {
        let epoch = match self.all(dir) {
            Engaged::No { epoch } => epoch,
            yes => return yes,
        };
        for target in who
            .targets()
            .chain(who.parts.iter().copied().map(Target::Part))
        {
            // Anything but "there is none" stops.
            if has(dir, &target.flag()) {
                return stop(target, Found::Flag);
            }
        }
        Engaged::No { epoch }
    }

    /// Says whether this one target is engaged.
    pub fn engaged_for(&self, target: &Target) -> Engaged {
        let (mut who, seq, part) = (Who::default(), [seq_of(target)], [part_of(target)]);
        let parts = part.iter().copied().flatten().collect::<Vec<_>>();
        let seqs = seq.iter().copied().flatten().collect::<Vec<_>>();
        match target {
            Target::All => {}
            Target::Agent(id) => who.agent = Some(id),
            Target::Session(_) => who.sessions = &seqs,
            Target::Lineage(_) => who.lineages = &seqs,
            Target::Part(_) => who.parts = &parts,
        }
        self.engaged(who)
    }

    /// Engages the switch and makes that durable. Engaged already is done.
    ///
    /// Where a scope's flag cannot be made, everything is killed instead: the answer says what is.
    pub fn engage(&self, target: &Target) -> Result<Target> {
        let done = self.flag(target)?;
        self.sync()?;
        Ok(done)
    }

    /// Engages the switch: a rename. Everybody who looks from now on stops, and [`Switch::sync`] makes it durable.
    pub fn flag(&self, target: &Target) -> Result<Target> {
        let dir = match self.open() {
            Ok(dir) => dir,
            // Without a directory everybody is killed.
            Err(Found::Absent) => return Ok(Target::All),
            Err(found) => return Err(self.bad_dir(found)),
        };
        if *target != Target::All && self.engage_scope(&dir, &target.flag()) {
            return Ok(target.clone());
        }
        self.engage_all(&dir)?;
        Ok(Target::All)
    }

    /// Makes the flags durable.
    pub fn sync(&self) -> Result<()> {
        match files::sync_dir(&self.dir) {
            Err(e) if e.kind() == ErrorKind::Missing => Ok(()),
            other => other,
        }
    }

    /// Asks that those who are killed from now on are stopped where they are, for forensics; before the flag.
    pub fn freeze(&self) -> Result<()> {
        let dir = self.open().map_err(|found| self.bad_dir(found))?;
        if self.engage_scope(&dir, FREEZE) {
            return Ok(());
        }
        Err(
            Error::new(ErrorKind::Full, "no file is left that says to freeze")
                .with_hint("kill without --freeze: that needs none"),
        )
    }

    /// Whether those who are killed are stopped and not ended. In doubt they are ended.
    pub fn wants_freeze(&self) -> bool {
        let Ok(dir) = self.open() else {
            return false;
        };
        fstatat(&dir.fd, FREEZE, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|stat| is_plain(&stat))
    }

    /// Lets those who are stopped be ended.
    pub fn thaw(&self) -> Result<()> {
        files::remove_if_there(&self.dir.join(FREEZE))
    }

    /// Takes a flag away, once the release is in the log. For everything, `epoch` names the new arming.
    ///
    /// Order: `armed` is written and fsynced while `KILL` still stands, then `KILL` goes. A crash in between leaves everybody
    /// killed, and the next start ends it.
    pub fn release(&self, target: &Target, epoch: u64) -> Result<()> {
        let dir = self.open().map_err(|found| self.bad_dir(found))?;
        if *target == Target::All {
            self.write_armed(epoch)?;
        }
        match unlinkat(&dir.fd, target.flag().as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Error::io("release", &self.dir, errno.into())),
        }
        self.restore_spares(&self.list(&dir)?)?;
        files::sync_dir(&self.dir)
    }

    /// Reads everything that the files say.
    pub fn state(&self) -> Result<State> {
        match self.open() {
            Ok(dir) => self.list(&dir),
            Err(found) => Ok(State {
                all: stop(Target::All, found),
                killed: Vec::new(),
                spares: 0,
                strange: Vec::new(),
            }),
        }
    }

    /// Opens the directory: itself and not through a symlink, and nobody else's to write.
    fn open(&self) -> std::result::Result<Dir, Found> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(AT_FDCWD, &self.dir, flags, Mode::empty()).map_err(found)?;
        let stat = fstat(&fd).map_err(found)?;
        if stat.st_mode & 0o022 != 0 {
            return Err(Found::Foreign);
        }
        let owner = stat.st_uid;
        Ok(Dir { fd, owner })
    }

    /// The switch as it stands for everybody.
    fn all(&self, dir: &Dir) -> Engaged {
        if has(dir, KILL) {
            return stop(Target::All, Found::Flag);
        }
        match self.read_armed(dir) {
            Ok(epoch) => Engaged::No { epoch },
            Err(found) => stop(Target::All, found),
        }
    }

    /// Reads the epoch of `armed`, if it is a plain file of the directory's owner that names this log.
    fn read_armed(&self, dir: &Dir) -> std::result::Result<u64, Found> {
        // A FIFO in its place must not make us wait.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(&dir.fd, ARMED, flags, Mode::empty()).map_err(found)?;
        if !dir.owns(&fstat(&file).map_err(found)?) {
            return Err(Found::Foreign);
        }
        let text = read_short(file).ok_or(Found::Unreadable)?;
        let mut lines = text.split('\n');
        let header = lines.next() == Some(HEADER);
        let origin = lines.next() == Some(self.origin.as_str());
        let epoch = lines.next().and_then(|line| line.parse::<u64>().ok());
        let end = lines.next() == Some("") && lines.next().is_none();
        match epoch {
            // One spelling only.
            Some(epoch) if header && origin && end && text == self.armed_text(epoch) => Ok(epoch),
            _ => Err(Found::Foreign),
        }
    }

    fn armed_text(&self, epoch: u64) -> String {
        format!("{HEADER}\n{}\n{epoch}\n", self.origin)
    }

    fn write_armed(&self, epoch: u64) -> Result<()> {
        files::replace(&self.dir.join(ARMED), self.armed_text(epoch).as_bytes())?;
        self.show(ARMED)
    }

    /// Lets other users read a file: what a switch says is no secret.
    fn show(&self, name: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
            .map_err(|e| Error::io("open", &path, e))
    }

    fn engage_all(&self, dir: &Dir) -> Result<()> {
        match renameat(&dir.fd, ARMED, &dir.fd, KILL) {
            Ok(()) => Ok(()),
            // Engaged already, or so broken that everybody is killed.
            Err(Errno::ENOENT) => Ok(()),
            // A directory in the place of the flag is a flag too, and `armed` must still go.
            Err(Errno::EISDIR) if has(dir, KILL) => Ok(()),
            Err(errno) => Err(Error::io("engage the switch in", &self.dir, errno.into())),
        }
    }

    /// Renames a spare to the flag, or makes a file where none is left.
    fn engage_scope(&self, dir: &Dir, flag: &str) -> bool {
        if has(dir, flag) {
            return true;
        }
        for number in 0..SPARES {
            if renameat(&dir.fd, spare(number).as_str(), &dir.fd, flag).is_ok() {
                return true;
            }
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&dir.fd, flag, flags, Mode::from_bits_truncate(0o644)).is_ok()
    }

    fn list(&self, dir: &Dir) -> Result<State> {
        let mut state = State {
            all: self.all(dir),
            killed: Vec::new(),
            spares: 0,
            strange: Vec::new(),
        };
        let entries = fs::read_dir(&self.dir).map_err(|e| Error::io("read", &self.dir, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("read", &self.dir, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == ARMED || name == KILL || name.starts_with(lease::LEASE) || is_door(&name) {
                continue;
            }
            if name.starts_with(SPARE) {
                state.spares += 1;
                continue;
            }
            match Target::from_flag(&name) {
                Some(target) => state.killed.push(target),
                None => state.strange.push(name),
            }
        }
        state.killed.sort();
        state.strange.sort();
        Ok(state)
    }

    fn restore_spares(&self, state: &State) -> Result<()> {
        if usize::try_from(SPARES).is_ok_and(|all| state.spares >= all) {
            return Ok(());
        }
        for number in 0..SPARES {
            let path = self.dir.join(spare(number));
            match files::create_new(&path) {
                Ok(mut file) => file
                    .write_all(format!("{HEADER}\n").as_bytes())
                    .and_then(|()| file.sync_all())
                    .map_err(|e| Error::io("write", &path, e))?,
                Err(e) if e.kind() == ErrorKind::Exists => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn bad_dir(&self, found: Found) -> Error {
        let (kind, what) = match found {
            Found::Absent => (ErrorKind::Missing, "there is no switch in"),
            Found::Flag | Found::Unreadable => (ErrorKind::Io, "cannot open"),
            Found::Foreign => (ErrorKind::Denied, "a symlink, or open to others, is"),
        };
        Error::new(kind, format!("{what} {}", Quoted(&self.dir)))
            .with_hint("everybody is stopped until `tacho release` arms the switch again")
    }
}

/// What else lies in the directory: the gate's sockets and what the supervisors of cells leave for `status`.
fn is_door(name: &str) -> bool {
    matches!(name, FREEZE | "sessions" | "cells")
}

fn stop(target: Target, found: Found) -> Engaged {
    Engaged::Yes(Stop { target, found })
}

fn spare(number: u32) -> String {
    format!("{SPARE}{number:02}")
}

/// Says whether a name is there; whatever keeps us from knowing counts as there.
fn has(dir: &Dir, name: &str) -> bool {
    !matches!(
        fstatat(&dir.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW),
        Err(Errno::ENOENT)
    )
}

/// The text of a file of ours, in one go: none is longer than `MAX_ARMED`.
fn read_short(file: OwnedFd) -> Option<String> {
    let mut text = String::with_capacity(2 * MAX_ARMED);
    let most = u64::try_from(MAX_ARMED).ok()?;
    File::from(file).take(most).read_to_string(&mut text).ok()?;
    Some(text)
}

fn is_plain(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

fn found(errno: Errno) -> Found {
    match errno {
        Errno::ENOENT => Found::Absent,
        Errno::ELOOP | Errno::ENOTDIR => Found::Foreign,
        _ => Found::Unreadable,
    }
}

fn seq_of(target: &Target) -> Option<Seq> {
    match target {
        Target::Session(seq) | Target::Lineage(seq) => Some(*seq),
        _ => None,
    }
}

fn part_of(target: &Target) -> Option<Part> {
    match target {
        Target::Part(part) => Some(*part),
        _ => None,
    }
}
