//! The gate's settings: the tables `[gate]` and `[hold]` of `tacho.toml`.
//!
//! ```toml
//! [hold]
//! wait = 540                       # seconds that a caller is kept waiting; must be well below its harness's timeout
//! open = 86400                     # seconds that a hold can be answered
//! notify = ["/usr/local/bin/page"] # run for each hold, with the hold as JSON on standard input
//! ```

use std::time::Duration;

use serde::Deserialize;

use crate::dir::LogDir;
use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::files::{self, Privacy};

/// The longest settings file.
const MAX_SETTINGS: u64 = 1 << 20;

/// The gate's settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// How long a caller is kept waiting at most.
    pub wait: Duration,
    /// How long a hold can be answered.
    pub open: Duration,
    /// The command that is run for each hold, with its arguments; empty for none.
    pub notify: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(540),
            open: Duration::from_secs(86_400),
            notify: Vec::new(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    hold: Hold,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Hold {
    wait: Option<u64>,
    open: Option<u64>,
    notify: Vec<String>,
}

impl Settings {
    /// Reads the log's settings; what is not set is as usual.
    pub fn read(dir: &LogDir) -> Result<Self> {
        let path = dir.settings();
        let file = match files::open_private(&path, Privacy::Shown) {
            Err(error) if error.kind() == ErrorKind::Missing => return Ok(Self::default()),
            file => file?,
        };
        let mut bytes = Vec::new();
        files::read_capped(&file, &path, MAX_SETTINGS, &mut bytes)?;
        let wrong =
            |why: String| Error::new(ErrorKind::Usage, format!("in {}: {why}", Quoted(&path)));
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
        Self::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let File { hold } = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        let usual = Self::default();
        let secs = |set: Option<u64>, usual| set.map_or(usual, Duration::from_secs);
        Ok(Self {
            wait: secs(hold.wait, usual.wait),
            open: secs(hold.open, usual.open),
            notify: hold.notify,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_as_usual() {
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
        let set = Settings::parse("[hold]\nwait = 7\nnotify = ['a', 'b']\n[other]\nx = 1").unwrap();
        assert_eq!(set.wait, Duration::from_secs(7));
        assert_eq!(set.open, Settings::default().open);
        assert_eq!(set.notify, ["a", "b"]);
        assert!(Settings::parse("[hold]\nwiat = 7").is_err());
    }
}
