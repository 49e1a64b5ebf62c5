//! What a cell is to be: made and checked outside, before anything is mounted. Pure.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Quoted, Result};

/// Where our own things stand inside every cell.
pub const INSIDE: &str = "/run/tacho";

/// The binary, inside: what hooks name.
pub const INSIDE_EXE: &str = "/run/tacho/bin/tacho";

/// The switch's directory, inside.
pub const INSIDE_SWITCH: &str = "/run/tacho/switch";

/// The directory of the session's socket, inside.
pub const INSIDE_DOOR: &str = "/run/tacho/gate";

/// How something outside is seen inside.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum How {
    /// Not at all: an empty, closed folder or file stands in its place.
    Hide,
    /// As it is, unchangeable.
    Read,
    /// As it is; changes are thrown away with the cell.
    Scratch,
    /// As it is; changes are real.
    Write,
}

/// One thing of outside.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Bind {
    /// Its path, absolute and without symlinks; the same inside.
    pub path: PathBuf,
    /// How it is seen.
    pub how: How,
}

/// A file laid over `/etc` inside.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Managed {
    /// Below `/etc`.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// Everything that makes one cell.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Plan {
    /// The agent's command.
    pub argv: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// Whose processes they are.
    pub uid: u32,
    /// Their group.
    pub gid: u32,
    /// Our own binary, outside.
    pub exe: PathBuf,
    /// What is seen, beyond the system's own folders.
    pub binds: Vec<Bind>,
    /// What is laid over `/etc`.
    pub managed: Vec<Managed>,
    /// The switch's directory, outside.
    pub switch: PathBuf,
    /// The directory of the session's socket, outside.
    pub door: Option<PathBuf>,
    /// The supervisor's process id.
    pub supervisor: u32,
}

/// What of a user's home an agent may see and change, for all that we know of agents.
#[derive(Clone, Copy, Debug)]
pub struct Home;

impl Home {
    /// Credentials of the user: a cell holds none that push, sign or log in elsewhere.
    pub const HIDDEN: &'static [&'static str] = &[
        ".ssh",
        ".gnupg",
        ".git-credentials",
        ".netrc",
        ".config/gh",
        ".config/git/credentials",
        ".config/hub",
        ".config/glab-cli",
        ".docker",
        ".kube",
        ".aws",
        ".azure",
        ".config/gcloud",
        ".password-store",
        ".local/share/keyrings",
        ".mozilla",
        ".config/google-chrome",
        ".config/chromium",
        ".bash_history",
        ".zsh_history",
    ];

    /// Caches and settings that programs write to: they may, and it is thrown away.
    pub const SCRATCH: &'static [&'static str] = &[
        ".cache", ".cargo", ".claude", ".codex", ".gradle", ".m2", ".npm", ".vim", "go",
    ];

    /// The state of harnesses that must outlive the cell: transcripts, and tokens that are renewed.
    pub const WRITE: &'static [&'static str] = &[
        ".claude/projects",
        ".claude/.credentials.json",
        ".claude/history.jsonl",
        ".claude.json",
        ".codex/sessions",
        ".codex/auth.json",
        ".codex/history.jsonl",
    ];
}

/// What of the environment goes inside: names, and beginnings of names that end in `*`.
pub const ENVIRONMENT: &[&str] = &[
    "TERM",
    "COLORTERM",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "NO_COLOR",
    "FORCE_COLOR",
    "CI",
    "EDITOR",
    "VISUAL",
    "PAGER",
    // Harnesses and their models.
    "ANTHROPIC_*",
    "CLAUDE_*",
    "DISABLE_AUTOUPDATER",
    "DISABLE_TELEMETRY",
    "OPENAI_*",
    "CODEX_*",
    "GEMINI_*",
    "GOOGLE_API_KEY",
    "MISTRAL_*",
    "OPENROUTER_*",
    // The way out.
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    // Tool chains.
    "CARGO_HOME",
    "RUSTUP_HOME",
    "GOPATH",
    "GOROOT",
    "JAVA_HOME",
    "VIRTUAL_ENV",
    "NVM_DIR",
    "PNPM_HOME",
];

/// Keeps what may go inside of an environment; `more` are names that the user asked for.
pub fn environment(
    all: impl Iterator<Item = (OsString, OsString)>,
    more: &[OsString],
) -> Vec<(OsString, OsString)> {
    let allowed = |name: &OsStr| {
        let bytes = name.as_encoded_bytes();
        more.iter().any(|asked| asked == name)
            || ENVIRONMENT
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(start) => bytes.starts_with(start.as_bytes()),
                    None => bytes == pattern.as_bytes(),
                })
    };
    all.filter(|(name, _)| allowed(name)).collect()
}

impl Plan {
    /// Refuses a plan that would show what must be absent, or let change what must stay.
    pub fn check(&self) -> Result<()> {
        let refuse =
            |what: String, hint: &str| Err(Error::new(ErrorKind::Refused, what).with_hint(hint));
        let seen = self.binds.iter().filter(|bind| bind.how != How::Hide);
        for bind in seen.clone() {
            if !bind.path.is_absolute() {
                return refuse(
                    format!("{} is not absolute", Quoted(&bind.path)),
                    "name it from the root",
                );
            }
            let path = &bind.path;
            if bind.how == How::Write
                && (path == Path::new("/")
                    || SYSTEM
                        .iter()
                        .any(|s| Path::new(s).starts_with(path) || path.starts_with(s)))
            {
                return refuse(
                    format!("{} is not a workspace: the system lies there", Quoted(path)),
                    "start in a project's own folder",
                );
            }
        }
        let hidden = self.binds.iter().filter(|bind| bind.how == How::Hide);
        for bind in hidden {
            let inside = |outer: &Bind| {
                bind.path.starts_with(&outer.path) || outer.path.starts_with(&bind.path)
            };
            if let Some(outer) = seen
                .clone()
                .find(|outer| outer.how == How::Write && inside(outer))
            {
                return refuse(
                    format!(
                        "the agent could change {} and reach {}, which no cell may see",
                        Quoted(&outer.path),
                        Quoted(&bind.path)
                    ),
                    "start in a project's own folder, and keep the log and your keys out of it",
                );
            }
            let inner = |inner: &Bind| inner.path.starts_with(&bind.path);
            if let Some(inner) = seen.clone().find(|b| inner(b)) {
                return refuse(
                    format!(
                        "{} lies in {}, which no cell may see",
                        Quoted(&inner.path),
                        Quoted(&bind.path)
                    ),
                    "leave it out",
                );
            }
        }
        Ok(())
    }

    /// A plan of a cell in which nobody runs, to try whether one can be made.
    pub(super) fn of_nobody(uid: u32, gid: u32) -> Result<Self> {
        let exe = std::env::current_exe()
            .map_err(|e| Error::io("find", Path::new("/proc/self/exe"), e))?;
        Ok(Self {
            argv: Vec::new(),
            env: Vec::new(),
            cwd: "/".into(),
            uid,
            gid,
            // Any folder that everybody may see.
            switch: "/usr".into(),
            exe,
            binds: Vec::new(),
            managed: Vec::new(),
            door: None,
            supervisor: 0,
        })
    }

    /// What is seen, outer folders before what lies in them.
    pub(super) fn in_order(&self) -> Vec<&Bind> {
        let mut binds: Vec<&Bind> = self.binds.iter().collect();
        binds.sort_by_key(|bind| (bind.path.components().count(), bind.how));
        binds
    }
}

/// The system's own folders, read-only in every cell where they exist.
pub(super) const SYSTEM: &[&str] = &[
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu", "/sys",
    "/etc", "/dev", "/proc", "/run",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(binds: &[(&str, How)]) -> Plan {
        Plan {
            argv: vec!["true".into()],
            env: Vec::new(),
            cwd: "/w".into(),
            uid: 1,
            gid: 1,
            exe: "/usr/bin/tacho".into(),
            binds: binds
                .iter()
                .map(|(path, how)| Bind {
                    path: path.into(),
                    how: *how,
                })
                .collect(),
            managed: Vec::new(),
            switch: "/home/u/.local/state/tachograph/default.run".into(),
            door: None,
            supervisor: 1,
        }
    }

    #[test]
    fn what_must_be_absent_is_neither_in_nor_around_what_may_change() {
        let log = ("/home/u/.local/state/tachograph", How::Hide);
        for (path, how, good) in [
            ("/home/u/project", How::Write, true),
            ("/home/u", How::Read, true),
            ("/home/u", How::Write, false),
            ("/home/u/.local", How::Write, false),
            ("/home/u/.local/state/tachograph", How::Write, false),
            ("/home/u/.local/state/tachograph/default", How::Read, false),
            ("/home/u/.local/state/tachograph/x", How::Write, false),
            ("/", How::Write, false),
            ("/usr", How::Write, false),
            ("/etc/x", How::Write, false),
            ("relative", How::Write, false),
        ] {
            assert_eq!(
                plan(&[log, (path, how)]).check().is_ok(),
                good,
                "{path} {how:?}"
            );
        }
    }

    #[test]
    fn the_environment_is_a_list_of_what_may_come_in() {
        let all = [
            "PATH",
            "LC_ALL",
            "ANTHROPIC_API_KEY",
            "SSH_AUTH_SOCK",
            "DBUS_SESSION_BUS_ADDRESS",
            "DISPLAY",
            "TMUX",
            "LD_PRELOAD",
            "NODE_OPTIONS",
            "BASH_ENV",
            "TACHO_LOG",
            "XDG_RUNTIME_DIR",
            "DOCKER_HOST",
            "GITHUB_TOKEN",
            "MINE",
            "PATHX",
            "GIT_ASKPASS",
        ];
        let all = all.into_iter().map(|name| (name.into(), "x".into()));
        let kept = environment(all, &["MINE".into()]);
        let names: Vec<_> = kept
            .iter()
            .map(|(name, _)| name.to_str().unwrap())
            .collect();
        assert_eq!(names, ["PATH", "LC_ALL", "ANTHROPIC_API_KEY", "MINE"]);
    }
}
