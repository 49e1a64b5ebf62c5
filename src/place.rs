//! Where things lie: the log, the identity key, the pins.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tacho_recorder::log::{Log, Options};
use tacho_recorder::pins::KnownLogs;
use tacho_recorder::read::View;
use tacho_recorder::switch::Switch;
use tacho_recorder::{Clock as _, ErrorKind, LogDir, Reader, SystemClock};
use tacho_schemas::body::Body;
use tacho_schemas::{Origin, Seq};

use crate::term::Failure;

/// The options that every verb has.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// The log's directory [default: $XDG_STATE_HOME/tachograph/default]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "TACHO_LOG",
        hide_env_values = true
    )]
    log: Option<PathBuf>,
}

impl Place {
    /// A log's directory that was named otherwise.
    pub(crate) fn at(log: PathBuf) -> Self {
        Self { log: Some(log) }
    }

    /// The log's directory.
    pub(crate) fn log(&self) -> Result<PathBuf, Failure> {
        match &self.log {
            Some(path) => Ok(path.clone()),
            None => Ok(base("XDG_STATE_HOME", ".local/state")?.join("default")),
        }
    }

    /// The log's directory, to read it.
    pub(crate) fn open_to_read(&self) -> Result<LogDir, Failure> {
        let path = self.log()?;
        if !path.is_symlink() && !path.exists() {
            return Err(nowhere(&path));
        }
        Ok(LogDir::open_to_read(&path)?)
    }

    /// The log, to write it; nothing if a gate owns it, which then appends for us.
    pub(crate) fn open_if_free(&self, options: Options) -> Result<Option<Log>, Failure> {
        let dir = self.open_to_read()?;
        let served = tacho_recorder::gate::reviewers_socket(dir.path()).exists();
        if served && dir.writer()?.is_some() {
            return Ok(None);
        }
        self.open(options).map(Some)
    }

    /// The log, to write it.
    pub(crate) fn open(&self, options: Options) -> Result<Log, Failure> {
        let dir = self.open_to_read()?;
        if !dir.database().exists() {
            return Err(nowhere(dir.path()));
        }
        Ok(Log::open(&self.log()?, options)?)
    }
}

impl Place {
    /// The folders of ours that no cell may see, beyond the log.
    pub(crate) fn hidden(&self) -> Result<[PathBuf; 2], Failure> {
        Ok([
            base("XDG_STATE_HOME", ".local/state")?,
            base("XDG_CONFIG_HOME", ".config")?,
        ])
    }
}

/// The off switch, to engage it: without a look at the log, which may be locked, full or damaged.
pub(crate) fn switch_to_engage(log: &Path) -> Result<Switch, Failure> {
    let log = std::fs::canonicalize(log).unwrap_or_else(|_| log.to_owned());
    Ok(Switch::of(
        &log,
        Origin::from_parts("tacho.invalid", [0; 16])?,
    ))
}

/// Nanoseconds of the clock that the off switch measures by.
pub(crate) fn boottime() -> Result<u64, Failure> {
    Ok(SystemClock::new()?.boottime_ns())
}

/// Reads a duration: `90s`, `5m`, `2h`.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let bad = || format!("`{text}` is no duration: write `90s`, `5m` or `2h`");
    let unit = text.chars().next_back().ok_or_else(bad)?;
    let number = text
        .strip_suffix(unit)
        .and_then(|n| n.parse::<u64>().ok())
        .ok_or_else(bad)?;
    let seconds = match unit {
        's' => Some(number),
        'm' => number.checked_mul(60),
        'h' => number.checked_mul(3600),
        _ => None,
    };
    seconds
        .filter(|s| (1..=31_536_000).contains(s))
        .map(std::time::Duration::from_secs)
        .ok_or_else(bad)
}

/// The log's name.
pub(crate) fn origin(dir: &LogDir) -> Result<Origin, Failure> {
    let reader = reader(dir)?;
    let view = View::new(&reader)?;
    match view.record(Seq(0))?.meaning.map(|record| record.body) {
        Ok(Body::Genesis(genesis)) => Ok(genesis.origin),
        _ => Err(Failure::new("the log does not begin with a genesis")
            .hint("run `tacho verify` to see what is still proven")),
    }
}

/// Our own binary.
pub(crate) fn exe() -> Result<PathBuf, Failure> {
    let exe = env::current_exe().and_then(std::fs::canonicalize);
    exe.map_err(|e| Failure::new(format!("cannot find the running binary: {}", plain(&e))))
}

/// The log's database, to read it.
pub(crate) fn reader(dir: &LogDir) -> Result<Reader, Failure> {
    Reader::open(dir).map_err(|error| match error.kind() {
        ErrorKind::Missing => nowhere(dir.path()),
        _ => error.into(),
    })
}

/// Says what to do where no log is.
pub(crate) fn nowhere(path: &Path) -> Failure {
    Failure::new(format!("there is no log in `{}`", path.display()))
        .hint("`tacho init` makes one; `--log DIR` or TACHO_LOG names another")
}

/// Where the identity key lies unless told otherwise.
pub(crate) fn identity() -> Result<PathBuf, Failure> {
    Ok(base("XDG_CONFIG_HOME", ".config")?.join("identity.pem"))
}

/// A file of the user's settings.
pub(crate) fn settings(name: &str) -> Result<PathBuf, Failure> {
    Ok(base("XDG_CONFIG_HOME", ".config")?.join(name))
}

/// Which identity key answers for which log, as this user has seen.
pub(crate) fn known_logs() -> Result<KnownLogs, Failure> {
    Ok(KnownLogs::at(
        &base("XDG_CONFIG_HOME", ".config")?.join("known_logs"),
    ))
}

/// Our folder in one of the user's base directories (XDG Base Directory Specification).
fn base(variable: &str, below_home: &str) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)));
    let base = base.ok_or_else(|| {
        Failure::new(format!("neither {variable} nor HOME names a directory"))
            .hint("name the log with `--log DIR`")
    })?;
    Ok(base.join("tachograph"))
}

/// How this program writes a log.
pub(crate) fn options() -> Result<Options, Failure> {
    let clock = SystemClock::new()?;
    Ok(Options::new(
        Arc::new(clock),
        concat!("tacho/", env!("CARGO_PKG_VERSION")),
    ))
}

/// Keeps other processes of this user from reading our memory, where keys and passphrases pass through.
pub(crate) fn guard_memory() -> Result<(), Failure> {
    nix::sys::prctl::set_dumpable(false)
        .map_err(|e| Failure::new(format!("cannot guard our memory: {e}")))
}

/// Takes as many open files as the system lets us have: each agent that waits is one.
pub(crate) fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // With fewer, more agents wait at the door.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Makes a directory and those above it, closed to others; one that exists is left as it is.
pub(crate) fn make_private(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|e| Failure::new(format!("cannot make `{}`: {e}", path.display())))
}

/// Fills with random bytes.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes)
        .map_err(|e| Failure::new(format!("the system gives no random numbers: {e}")))
}

/// The longest file that is read whole: some hundred thousand receipts.
const MAX_FILE: u64 = 256 << 20;

/// Reads a whole file that the user named.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let failed = |e| Failure::new(format!("cannot read `{}`: {}", path.display(), plain(&e)));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let read = file
        .take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(read).is_ok_and(|read| read == MAX_FILE) {
        return Err(Failure::new(format!(
            "`{}` is longer than {} MiB",
            path.display(),
            MAX_FILE >> 20
        )));
    }
    Ok(bytes)
}

/// Writes a file that must not exist yet.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .map_err(|e| {
            let failure = Failure::new(format!("cannot write `{}`: {}", path.display(), plain(&e)));
            match e.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    failure.hint("name a new file: nothing is overwritten")
                }
                _ => failure,
            }
        })
}

/// A system error's text in our style: no capital, no number.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}
