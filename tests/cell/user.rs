//! An ordinary user with a home, a project and a log.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Who tests run as when root starts them.
const NOBODY: u32 = 65_534;

pub(crate) struct User {
    dir: TempDir,
}

impl Drop for User {
    /// Ends a gate that outlived its run.
    fn drop(&mut self) {
        if let Some(gate) = self.gate() {
            let _ = Command::new("kill").args(["-KILL", &gate]).status();
        }
    }
}

/// Our binary where everybody may run it.
fn binary() -> &'static Path {
    static PLACE: OnceLock<TempDir> = OnceLock::new();
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let place = PLACE.get_or_init(|| open(tempfile::tempdir().unwrap()));
        let to = place.path().join("tacho");
        fs::copy(env!("CARGO_BIN_EXE_tacho"), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        to
    })
}

fn open(dir: TempDir) -> TempDir {
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

impl User {
    pub(crate) fn new() -> Self {
        let user = Self {
            dir: open(tempfile::tempdir().unwrap()),
        };
        for name in [
            "home",
            "home/proj",
            "home/.ssh",
            "home/.cache",
            "home/.config",
        ] {
            fs::create_dir(user.path(name)).unwrap();
        }
        fs::write(user.path("home/.ssh/id_ed25519"), "secret-of-ssh").unwrap();
        fs::write(user.path("home/readme"), "seen").unwrap();
        if is_root() {
            for name in [
                "home",
                "home/proj",
                "home/.ssh",
                "home/.cache",
                "home/.config",
                "home/.ssh/id_ed25519",
                "home/readme",
            ] {
                chown(user.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let made = user.run(["init"]);
        assert!(made.status.success(), "{made:?}");
        user
    }

    /// Our binary, where this user may run it.
    pub(crate) fn binary(&self) -> &'static Path {
        binary()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("home/.local/state/tachograph/default")
    }

    pub(crate) fn switch(&self) -> PathBuf {
        self.path("home/.local/state/tachograph/default.run")
    }

    /// The process that owns the log.
    pub(crate) fn gate(&self) -> Option<String> {
        let pid = fs::read_to_string(self.log().join("lock")).ok()?;
        let pid = pid.trim().to_owned();
        (!pid.is_empty()).then_some(pid)
    }

    /// A program run as this user.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .args([
                    "--reuid",
                    "65534",
                    "--regid",
                    "65534",
                    "--clear-groups",
                    "--",
                ])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .current_dir(self.path("home/proj"))
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn tacho<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.command(binary());
        command.args(args);
        command
    }

    /// Our binary as this user, for a terminal.
    pub(crate) fn in_terminal(&self, args: &[&str]) -> portable_pty::CommandBuilder {
        let plain = self.command(binary());
        let mut command = portable_pty::CommandBuilder::new(plain.get_program());
        command.args(plain.get_args());
        command.args(args);
        command.env_clear();
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.cwd(self.path("home/proj"));
        command
    }

    pub(crate) fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        self.tacho(args).output().unwrap()
    }

    /// Runs a shell script in a cell.
    pub(crate) fn inside(&self, options: &[&str], script: &str) -> Output {
        let mut args = vec!["run"];
        args.extend(options);
        args.extend(["--", "sh", "-c", script]);
        self.run(args)
    }

    /// Starts a script in a cell and waits until it has made a file in the project.
    pub(crate) fn start(&self, options: &[&str], script: &str) -> Child {
        let ready = self.path("home/proj/ready");
        let _ = fs::remove_file(&ready);
        let mut args = vec!["run"];
        args.extend(options);
        args.extend(["--", "sh", "-c", script]);
        let child = self.tacho(args).spawn().unwrap();
        until("the cell is ready", || ready.exists());
        child
    }
}

pub(crate) fn until(what: &str, mut good: impl FnMut() -> bool) {
    let began = Instant::now();
    while !good() {
        assert!(began.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// How many `sleep MARK` there are.
pub(crate) fn marked(mark: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let state = fs::read_to_string(entry.path().join("stat")).ok()?;
        let dead = state
            .rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
        (!dead).then(|| String::from_utf8_lossy(&line).into_owned())
    });
    let sleeper = format!("sleep\0{mark}");
    lines.filter(|line| line.contains(&sleeper)).count()
}

/// Whether cells are to be had here; says so where not, and then only the lower levels are tried.
pub(crate) fn has_cells() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let user = User::new();
        let probed = user.run(["cell-probe", "cell"]);
        if !probed.status.success() {
            eprintln!("skipped: no cell on this machine: {}", said(&probed));
        }
        probed.status.success()
    })
}
