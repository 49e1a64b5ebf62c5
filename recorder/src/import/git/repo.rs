//! A repository through the `git` command, which may be hostile.
//!
//! Its configuration is its own: whatever there could run a program, ask the network or change what objects say is switched off, and
//! the environment is empty. Only plumbing commands are used, and no revision may look like an option. What git prints is believed:
//! that an object has the content its name says is for `git fsck`.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tacho_schemas::Hash;

use crate::error::{Error, ErrorKind, Quoted, Result};

/// Where `git` is looked for: never in a folder that somebody else chose.
const PLACES: [&str; 5] = [
    "/usr/bin/git",
    "/usr/local/bin/git",
    "/bin/git",
    "/opt/homebrew/bin/git",
    "/run/current-system/sw/bin/git",
];

/// What a repository may not change.
const SETTINGS: [&str; 9] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.commitGraph=false",
    "core.quotePath=false",
    "protocol.allow=never",
    "safe.directory=*",
    "diff.external=",
    "diff.renames=true",
    "diff.renameLimit=1000",
];

/// The longest object line that git may print before its content.
const MAX_HEADER: u64 = 64 << 10;

/// The longest commit that is read.
const MAX_COMMIT: u64 = 16 << 20;

/// A repository.
#[derive(Debug)]
pub(super) struct Repo {
    git: &'static str,
    path: PathBuf,
}

/// The commits that are imported, parents first.
#[derive(Debug)]
pub(in crate::import) struct History {
    pub(super) repo: Repo,
    /// Their ids.
    pub(super) commits: Vec<String>,
    /// Refs and ids as text: kept as the original.
    pub(in crate::import) listing: Vec<u8>,
    /// What the history is recognised by.
    pub(in crate::import) digest: Hash,
}

/// Says by what a folder looks like a repository.
pub(in crate::import) fn looks_like(path: &Path) -> Option<&'static str> {
    if path.join(".git").exists() {
        return Some("it has `.git`");
    }
    let bare =
        path.join("HEAD").is_file() && path.join("objects").is_dir() && path.join("refs").is_dir();
    bare.then_some("it has `HEAD`, `objects` and `refs`")
}

impl Repo {
    fn open(path: &Path) -> Result<Self> {
        let real = std::fs::canonicalize(path).map_err(|e| Error::io("read", path, e))?;
        if !real.is_dir() || looks_like(&real).is_none() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("{} is not a git repository", Quoted(path)),
            )
            .with_hint("name its top folder, or a bare repository"));
        }
        let git = PLACES.into_iter().find(|git| Path::new(git).is_file());
        let git = git.ok_or_else(|| {
            Error::new(ErrorKind::Missing, "the `git` command is not installed")
                .with_hint(format!("it is looked for at {}", PLACES.join(", ")))
        })?;
        let repo = Self { git, path: real };
        repo.ask(&["rev-parse", "--git-dir"]).map_err(|error| {
            Error::new(
                ErrorKind::Usage,
                format!("{} is not a git repository: {error}", Quoted(path)),
            )
        })?;
        Ok(repo)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.git);
        command.env_clear();
        for (key, value) in [
            ("PATH", "/usr/bin:/bin:/usr/local/bin"),
            ("LC_ALL", "C"),
            ("HOME", "/nonexistent"),
            ("XDG_CONFIG_HOME", "/nonexistent"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_GRAFT_FILE", "/dev/null"),
            ("GIT_OPTIONAL_LOCKS", "0"),
        ] {
            command.env(key, value);
        }
        // A folder that is no repository must not become the one around it.
        if let Some(around) = self.path.parent() {
            command.env("GIT_CEILING_DIRECTORIES", around);
        }
        command.args(["--no-pager", "--no-replace-objects", "--literal-pathspecs"]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.arg("-C").arg(&self.path).args(args);
        command.current_dir("/");
        command
    }

    /// Runs a command to its end; an error is what git says first.
    fn ask(&self, args: &[&str]) -> Result<Vec<u8>> {
        let output = self
            .command(args)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Error::io("run", Path::new(self.git), e))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().next().unwrap_or("it says nothing");
        let line = line.strip_prefix("fatal: ").unwrap_or(line);
        let plain: String = line.chars().filter(|c| !c.is_control()).take(300).collect();
        Err(Error::new(ErrorKind::Usage, plain))
    }

    /// Finds the commits of a range, or all behind `HEAD`.
    fn history(self, range: Option<&str>) -> Result<History> {
        let quoted = |text: &str| Quoted(Path::new(text)).to_string();
        let head = self.ask(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]);
        let head = match (head, range) {
            (Ok(head), _) => String::from_utf8_lossy(&head).trim().to_owned(),
            (Err(_), Some(_)) => String::new(),
            (Err(_), None) => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("{} has no commits", Quoted(&self.path)),
                )
                .with_hint("name another branch with `--range`"));
            }
        };
        if let Some(range) = range
            && (range.is_empty() || range.starts_with('-') || range.contains(char::is_whitespace))
        {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("{} is not a range of commits", quoted(range)),
            )
            .with_hint("such as `v1.0..main`"));
        }
        let list = self.ask(&[
            "rev-list",
            "--topo-order",
            "--reverse",
            "--end-of-options",
            range.unwrap_or(&head),
            "--",
        ]);
        let list = list.map_err(|error| match range {
            Some(range) => Error::new(
                ErrorKind::Usage,
                format!("{} is not a range of commits: {error}", quoted(range)),
            ),
            None => error,
        })?;
        let commits: Vec<String> = String::from_utf8_lossy(&list)
            .lines()
            .map(str::to_owned)
            .collect();
        if commits.is_empty() {
            let range = range.unwrap_or_default();
            return Err(Error::new(
                ErrorKind::Usage,
                format!("there are no commits in {}", quoted(range)),
            ));
        }
        let refs = self.ask(&["for-each-ref", "--format=ref %(objectname) %(refname)"])?;
        let mut listing = format!("head {head}\nrange {}\n", range.unwrap_or("HEAD")).into_bytes();
        listing.extend_from_slice(&refs);
        listing.extend_from_slice(b"commits\n");
        listing.extend_from_slice(&list);
        // The same commits are the same history, whatever the range was called.
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"git commits\n");
        hasher.update(&list);
        Ok(History {
            repo: self,
            commits,
            listing,
            digest: Hash(*hasher.finalize().as_bytes()),
        })
    }

    /// Starts a command that answers line by line.
    pub(super) fn talk(&self, args: &[&str]) -> Result<Talk> {
        let child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.map_err(|e| Error::io("run", Path::new(self.git), e))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ended());
        };
        Ok(Talk {
            child,
            input: Some(input),
            output: BufReader::with_capacity(1 << 16, output),
        })
    }
}

/// Opens a repository and finds the commits.
pub(in crate::import) fn history(path: &Path, range: Option<&str>) -> Result<History> {
    Repo::open(path)?.history(range)
}

/// A command that is asked and answers, until it is dropped.
#[derive(Debug)]
pub(super) struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.input.take();
        // It may wait for a reader; nobody reads any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An object's line: its type and how long it is; none if it is not there.
pub(super) type Header = Option<(String, u64)>;

impl Talk {
    fn say(&mut self, line: &str) -> Result<()> {
        let Some(input) = &mut self.input else {
            return Err(ended());
        };
        let said = input
            .write_all(line.as_bytes())
            .and_then(|()| input.write_all(b"\n"))
            .and_then(|()| input.flush());
        said.map_err(|e| ended().with_source(e))
    }

    fn until(&mut self, end: u8) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self
            .output
            .by_ref()
            .take(MAX_HEADER)
            .read_until(end, &mut bytes);
        read.map_err(|e| ended().with_source(e))?;
        if bytes.pop() != Some(end) {
            return Err(ended());
        }
        Ok(bytes)
    }

    /// Asks `cat-file --batch-check` or the first line of `--batch`.
    pub(super) fn header(&mut self, id: &str) -> Result<Header> {
        self.say(id)?;
        let line = self.until(b'\n')?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let mut words = line.split(' ').skip(1);
        match (words.next(), words.next().map(str::parse)) {
            (Some(kind), Some(Ok(size))) => Ok(Some((kind.to_owned(), size))),
            (Some("missing"), None) => Ok(None),
            _ => Err(ended()),
        }
    }

    /// Reads an object through `cat-file --batch`; none if it is not there. Longer than `most`, its bytes are passed over.
    pub(super) fn object(&mut self, id: &str, most: u64) -> Result<Option<(String, Vec<u8>)>> {
        let Some((kind, size)) = self.header(id)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let mut body = self.output.by_ref().take(size);
        let read = if size <= most {
            body.read_to_end(&mut bytes).map(drop)
        } else {
            std::io::copy(&mut body, &mut std::io::sink()).map(drop)
        };
        read.map_err(|e| ended().with_source(e))?;
        self.until(b'\n')?;
        Ok((size <= most).then_some((kind, bytes)))
    }

    /// Reads a commit.
    pub(super) fn commit(&mut self, id: &str) -> Result<Option<Vec<u8>>> {
        let object = self.object(id, MAX_COMMIT)?;
        Ok(object.and_then(|(kind, bytes)| (kind == "commit").then_some(bytes)))
    }

    /// Asks `diff-tree --stdin` what a commit changed, and gives each change to `f`.
    pub(super) fn changes(
        &mut self,
        commit: &str,
        parent: Option<&str>,
        mut f: impl FnMut(Changed) -> Result<()>,
    ) -> Result<()> {
        // A line that is no object id comes back as it is, after everything before it.
        self.say(&match parent {
            Some(parent) => format!("{commit} {parent}\nend"),
            None => format!("{commit}\nend"),
        })?;
        loop {
            let next = self.output.fill_buf().map_err(|e| ended().with_source(e))?;
            match next.first() {
                Some(b':') => {
                    let line = self.until(0)?;
                    let line = String::from_utf8_lossy(&line).into_owned();
                    let mut words = line.trim_start_matches(':').split(' ').map(str::to_owned);
                    let mut word = || words.next().ok_or_else(ended);
                    let (old_mode, new_mode) = (word()?, word()?);
                    let (old, new, status) = (word()?, word()?, word()?);
                    let path = self.until(0)?;
                    let (from, path) = match status.as_bytes().first() {
                        Some(b'R' | b'C') => (Some(path), self.until(0)?),
                        _ => (None, path),
                    };
                    f(Changed {
                        old_mode,
                        new_mode,
                        old,
                        new,
                        status,
                        from,
                        path,
                    })?;
                }
                Some(b'e') => {
                    return match self.until(b'\n')?.as_slice() {
                        b"end" => Ok(()),
                        _ => Err(ended()),
                    };
                }
                _ => return Err(ended()),
            }
        }
    }
}

/// A changed file, as `diff-tree` prints it.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) old_mode: String,
    pub(super) new_mode: String,
    pub(super) old: String,
    pub(super) new: String,
    pub(super) status: String,
    pub(super) from: Option<Vec<u8>>,
    pub(super) path: Vec<u8>,
}

fn ended() -> Error {
    Error::new(
        ErrorKind::Io,
        "git ended or answered something unexpected while the repository was read",
    )
    .with_hint("`git fsck` tells whether the repository is sound")
}
