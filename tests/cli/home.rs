//! A user's home with nothing in it, and our binary run there.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A message event.
pub(crate) const MESSAGE: &str = r#"{"kind":"message","actor":{"type":"agent","id":"quill"},"body":{"speaker":"assistant"},"content":{"text":"done"}}"#;

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The answer as JSON, one value a line.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// Sees that it went well, and says nothing where nothing is to be said.
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Sees that it was refused in one sentence of our own, with an exit code.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, sentence: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(
            self.err.contains(sentence),
            "`{sentence}` is not in {self:?}"
        );
        for word in ["panicked", "unwrap", "RUST_BACKTRACE", "os error", "tacho_"] {
            assert!(!self.err.contains(word), "`{word}` is in {self:?}");
        }
        for line in self.err.lines() {
            let ours = ["tacho: ", "hint: "]
                .iter()
                .any(|start| line.starts_with(start));
            assert!(ours, "{line}");
        }
        self
    }

    /// Sees that it was refused with advice.
    #[track_caller]
    pub(crate) fn refused_with_hint(self, code: i32, sentence: &str) -> Self {
        assert!(self.err.contains("hint: "), "no hint in {self:?}");
        self.refused(code, sentence)
    }
}

/// A home.
pub(crate) struct Home(TempDir);

impl Home {
    /// With nothing in it.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a log.
    pub(crate) fn with_log() -> Self {
        let home = Self::empty();
        home.run(["init"]).good();
        home
    }

    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(below)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("state/tachograph/default")
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.path("config/tachograph/identity.pem")
    }

    /// Our binary, with nothing of the caller's environment that it reads.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tacho"));
        command
            .args(args)
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("TMPDIR", self.0.path())
            .env_remove("TACHO_LOG")
            .env_remove("NO_COLOR")
            .env_remove("COLUMNS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        self.feed(args, b"")
    }

    /// Runs with this on standard input.
    pub(crate) fn feed<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Ran {
        finish(self.command(args).spawn().unwrap(), input)
    }

    /// Records lines, and returns what `record` said.
    pub(crate) fn record(&self, lines: &[&str]) -> Ran {
        self.feed(["record"], format!("{}\n", lines.join("\n")).as_bytes())
    }

    /// Records so many messages.
    pub(crate) fn record_many(&self, count: usize) {
        let lines = format!("{MESSAGE}\n").repeat(count);
        self.feed(["record", "--quiet"], lines.as_bytes()).good();
    }
}

/// Gives a process its input, and waits for its end.
pub(crate) fn finish(mut child: Child, input: &[u8]) -> Ran {
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A process that does not read to the end is no failure of the test's.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
