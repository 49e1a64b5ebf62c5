//! What can go wrong between a log and its disk, its keys or its caller.

use std::fmt;
use std::io;
use std::path::Path;

/// What an error is about; exhaustive, so that whoever decides looks at each case.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ErrorKind {
    /// Another writer owns the log, or a lock was not free in time. Nothing was changed.
    Busy,
    /// Bytes on disk are not what we wrote, or never were ours.
    Corrupt,
    /// Permissions, ownership, a symlink or the kind of file system forbid it.
    Denied,
    /// Something is already there, and it is not overwritten.
    Exists,
    /// The disk or a quota is full.
    Full,
    /// A signal interrupted it.
    Interrupted,
    /// The system refused for another reason.
    Io,
    /// It is not there.
    Missing,
    /// A newer version of this program wrote it.
    NewerVersion,
    /// The writer failed at or after a commit: what is on disk is unknown until the log is opened again.
    Poisoned,
    /// It could be done, but would hide something (a rollback, a changed pin, a lost key).
    Refused,
    /// The policy in force asks for people's signatures first.
    Unapproved,
    /// It cannot be put into a record.
    Unrecordable,
    /// The caller asked for something that has no meaning.
    Usage,
}

/// An error: its kind, one line of text, and what to do next if we know.
///
/// The message is lower case, without a full stop or a line break; what came from outside stands in backticks.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of anything that touches a log.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an error without a hint or a source.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error beneath.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Changes the kind and keeps everything else.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Makes "cannot `act` `path`: reason" of a system error.
    pub fn io(act: &str, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => ErrorKind::Exists,
            io::ErrorKind::Interrupted => ErrorKind::Interrupted,
            io::ErrorKind::NotFound => ErrorKind::Missing,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::Denied
            }
            io::ErrorKind::QuotaExceeded | io::ErrorKind::StorageFull => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        let message = format!("cannot {act} {}: {}", Quoted(path), Plain(&source));
        let error = Self::new(kind, message).with_source(source);
        if kind == ErrorKind::Full {
            return error.with_hint("free some space on this file system and try again");
        }
        error
    }

    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do next, if we know.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// What the format refuses cannot be recorded; whoever reads says [`ErrorKind::Corrupt`] instead.
impl From<tacho_schemas::Error> for Error {
    fn from(error: tacho_schemas::Error) -> Self {
        Self::new(ErrorKind::Unrecordable, error.to_string()).with_source(error)
    }
}

/// A path in backticks, with control characters and backticks escaped: a name that an agent chose cannot forge a line.
pub(crate) struct Quoted<'a>(pub(crate) &'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        for c in self.0.to_string_lossy().chars() {
            if c.is_control() || c == '`' {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        f.write_str("`")
    }
}

/// A system error's text in our style: first letter lower case, without "(os error n)".
struct Plain<'a>(&'a io::Error);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        let mut chars = text.chars().filter(|c| !c.is_control());
        if let Some(first) = chars.next() {
            write!(f, "{}{}", first.to_lowercase(), chars.collect::<String>())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_one_plain_line() {
        let error = Error::io(
            "open",
            Path::new("/a/b\n`c"),
            io::Error::from_raw_os_error(2),
        );
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert_eq!(
            error.to_string(),
            "cannot open `/a/b\\u{a}\\u{60}c`: no such file or directory"
        );
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn full_disks_and_closed_doors_have_their_own_kind() {
        for (errno, kind) in [
            (28, ErrorKind::Full),
            (122, ErrorKind::Full),
            (13, ErrorKind::Denied),
            (30, ErrorKind::Denied),
            (17, ErrorKind::Exists),
            (4, ErrorKind::Interrupted),
            (5, ErrorKind::Io),
        ] {
            let error = Error::io("write", Path::new("x"), io::Error::from_raw_os_error(errno));
            assert_eq!(error.kind(), kind, "errno {errno}");
        }
    }
}
