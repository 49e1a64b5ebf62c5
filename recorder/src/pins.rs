//! Known logs: which identity key belongs to which log, kept where the log's writer cannot change it.
//!
//! ```text
//! tacho.invalid/9f86d081884c7d659a2feaa0c55ad015 d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;
use nix::fcntl::{Flock, FlockArg};
use tacho_schemas::Origin;

use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::files::{self, Privacy};
use crate::keys::fingerprint;

/// Longest pin file: some eight thousand logs.
const MAX_FILE: u64 = 1 << 20;

/// A file of pins: one log a line, its origin and the hex of its identity's public key.
///
/// Blank lines and lines that start with `#` are kept and mean nothing. It is read anew for each question, so that a change by
/// hand counts at once.
#[derive(Clone, Debug)]
pub struct KnownLogs {
    path: PathBuf,
}

/// What [`KnownLogs::add`] did.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Pinned {
    /// The log was not known and is now.
    Added,
    /// The log was known by this key.
    Known,
}

impl KnownLogs {
    /// Names the file; it need not exist yet.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks up the identity key of a log.
    pub fn lookup(&self, origin: &Origin) -> Result<Option<VerifyingKey>> {
        self.find(&self.text()?, origin)
    }

    /// Pins a log to a key; refuses if it is pinned to another.
    ///
    /// Order: lock → read → replace the file whole → unlock; two who add at once both stay.
    pub fn add(&self, origin: &Origin, key: &VerifyingKey) -> Result<Pinned> {
        let _turn = self.turn()?;
        let mut text = self.text()?;
        match self.find(&text, origin)? {
            Some(known) if known == *key => return Ok(Pinned::Known),
            Some(known) => {
                return Err(Error::new(
                    ErrorKind::Refused,
                    format!(
                        "`{origin}` is pinned to the identity key {}, not {}",
                        fingerprint(&known),
                        fingerprint(key)
                    ),
                )
                .with_hint(format!(
                    "if its owner says that the key changed, remove its line from {}",
                    Quoted(&self.path)
                )));
            }
            None => {}
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let _ = writeln!(text, "{origin} {}", hex::encode(key.as_bytes()));
        files::replace(&self.path, text.as_bytes())?;
        Ok(Pinned::Added)
    }

    /// Finds a log in the text; every line is checked, so that a slip in another line is seen too.
    fn find(&self, text: &str, origin: &Origin) -> Result<Option<VerifyingKey>> {
        let mut found: Option<VerifyingKey> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, key)) = parse(line) else {
                return Err(self.bad_line(number, "is not an origin and a key"));
            };
            if name != *origin {
                continue;
            }
            if found.is_some_and(|other| other != key) {
                return Err(self.bad_line(number, "pins a log for the second time, to another key"));
            }
            found = Some(key);
        }
        Ok(found)
    }

    fn text(&self) -> Result<String> {
        let file = match files::open_private(&self.path, Privacy::Shown) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::Missing => return Ok(String::new()),
            Err(e) => return Err(e),
        };
        let mut bytes = Vec::new();
        files::read_capped(&file, &self.path, MAX_FILE, &mut bytes)?;
        String::from_utf8(bytes).map_err(|e| {
            Error::new(
                ErrorKind::Corrupt,
                format!("{} is not text", Quoted(&self.path)),
            )
            .with_source(e)
        })
    }

    /// Waits for our turn to change the file. The lock is on a file beside it, which is never replaced.
    fn turn(&self) -> Result<Flock<std::fs::File>> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".lock");
        let beside = PathBuf::from(beside);
        let file = match files::create_new(&beside) {
            Err(e) if e.kind() == ErrorKind::Exists => files::open_append(&beside)?,
            other => other?,
        };
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| Error::io("lock", &beside, errno.into()))
    }

    fn bad_line(&self, number: usize, what: &str) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!("line {number} of {} {what}", Quoted(&self.path)),
        )
    }
}

fn parse(line: &str) -> Option<(Origin, VerifyingKey)> {
    let (origin, digits) = line.split_once(' ')?;
    let mut key = [0; 32];
    hex::decode_to_slice(digits, &mut key).ok()?;
    Some((
        Origin::new(origin).ok()?,
        VerifyingKey::from_bytes(&key).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn origin(digit: char) -> Origin {
        Origin::new(&format!("tacho.invalid/{}", digit.to_string().repeat(32))).unwrap()
    }

    fn key(n: u8) -> VerifyingKey {
        SigningKey::from_bytes(&[n; 32]).verifying_key()
    }

    #[test]
    fn a_pin_stays_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let logs = KnownLogs::at(&dir.path().join("known_logs"));
        assert_eq!(logs.lookup(&origin('a')).unwrap(), None);
        assert_eq!(logs.add(&origin('a'), &key(1)).unwrap(), Pinned::Added);
        assert_eq!(logs.add(&origin('b'), &key(2)).unwrap(), Pinned::Added);
        assert_eq!(logs.add(&origin('a'), &key(1)).unwrap(), Pinned::Known);
        let error = logs.add(&origin('a'), &key(2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(
            error
                .to_string()
                .contains(&fingerprint(&key(1)).to_string()),
            "{error}"
        );
        assert_eq!(logs.lookup(&origin('a')).unwrap(), Some(key(1)));
        assert_eq!(logs.lookup(&origin('b')).unwrap(), Some(key(2)));
    }

    #[test]
    fn a_file_changed_by_hand_is_kept_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_logs");
        let logs = KnownLogs::at(&path);
        let line = |d, n| format!("{} {}", origin(d), hex::encode(key(n).as_bytes()));
        files::replace(&path, format!("# mine\n\n{}", line('a', 1)).as_bytes()).unwrap();
        logs.add(&origin('b'), &key(2)).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("# mine\n\n{}\n{}\n", line('a', 1), line('b', 2))
        );
        for bad in [
            "a".to_owned(),
            format!("{} 00", origin('a')),
            format!("{} x", line('a', 1)),
            format!("{}\n{}", line('a', 1), line('a', 2)),
        ] {
            files::replace(&path, bad.as_bytes()).unwrap();
            let error = logs.lookup(&origin('a')).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{bad}");
        }
        files::replace(&path, &[0xff, 0xfe]).unwrap();
        assert_eq!(
            logs.lookup(&origin('a')).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }

    #[test]
    fn many_who_pin_at_once_all_stay() {
        let dir = tempfile::tempdir().unwrap();
        let logs = KnownLogs::at(&dir.path().join("known_logs"));
        std::thread::scope(|scope| {
            for (digit, n) in "0123456789".chars().zip(0..) {
                let logs = &logs;
                scope.spawn(move || logs.add(&origin(digit), &key(n)).unwrap());
            }
        });
        for (digit, n) in "0123456789".chars().zip(0..) {
            assert_eq!(logs.lookup(&origin(digit)).unwrap(), Some(key(n)));
        }
    }
}
