//! What people see.
//!
//! The answer goes to stdout, the talk to stderr. Errors are one sentence, lower case, without a full stop, with `tacho: ` before
//! it; advice stands on a line of its own after `hint: `. Text that somebody else wrote passes [`safe`] on its way here. Colour only
//! where stdout is a terminal and `NO_COLOR` is not set.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tacho_recorder::Error;
pub(crate) use tacho_schemas::safe::{safe, safe_block};

/// The exit codes, which scripts may rely on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// Done; the answer is good.
    Done,
    /// The answer is no: not verified, denied.
    Negative,
    /// Wrong use, or it could not be done.
    Failure,
    /// As a program that we ran.
    Code(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Negative => 1,
            Exit::Failure => 2,
            Exit::Code(code) => code,
        })
    }
}

/// Why a verb could not be carried out.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
    /// Lines below the sentence: where the fault lies.
    below: Option<String>,
    /// Whoever read our output went away: no failure of ours.
    closed: bool,
    exit: Exit,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: None,
            below: None,
            closed: false,
            exit: Exit::Failure,
        }
    }

    /// Ends otherwise than by a failure: the answer is no, or not yet.
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// What went wrong.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// What to do next.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether only the reader of our output went away.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Adds lines that show where the fault lies; what others wrote in them has passed [`safe`].
    pub(crate) fn below(mut self, lines: String) -> Self {
        self.below = Some(lines);
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            what: error.to_string(),
            hint: error.hint().map(str::to_owned),
            below: None,
            closed: false,
            exit: Exit::Failure,
        }
    }
}

impl From<tacho_schemas::Error> for Failure {
    fn from(error: tacho_schemas::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let closed = error.kind() == io::ErrorKind::BrokenPipe;
        Self {
            what: format!("cannot write the answer: {}", crate::place::plain(&error)),
            hint: None,
            below: None,
            closed,
            exit: Exit::Failure,
        }
    }
}

/// A number of things: `1 record`, `2 records`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

/// The two streams.
#[derive(Debug)]
pub(crate) struct Term {
    colour: bool,
    chatty: bool,
}

impl Term {
    pub(crate) fn new() -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            colour: io::stdout().is_terminal() && !no_colour,
            chatty: io::stderr().is_terminal(),
        }
    }

    /// Prints a line of the answer.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_ref().as_bytes())?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }

    /// Prints bytes of the answer as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Says something that is not the answer.
    pub(crate) fn note(&mut self, text: impl AsRef<str>) {
        // Nobody is there to hear that nobody hears.
        let _ = writeln!(io::stderr(), "tacho: {}", text.as_ref());
    }

    /// Whether somebody reads the talk while it happens.
    pub(crate) fn is_chatty(&self) -> bool {
        self.chatty
    }

    /// Says why a verb failed, and returns the exit code.
    pub(crate) fn fail(&mut self, failure: &Failure) -> Exit {
        if failure.closed {
            return Exit::Done;
        }
        self.note(safe(&failure.what));
        for line in failure.below.iter().flat_map(|below| below.lines()) {
            self.note(format!("  {line}"));
        }
        if let Some(hint) = &failure.hint {
            let _ = writeln!(io::stderr(), "hint: {}", safe(hint));
        }
        failure.exit
    }

    /// A text that is good, bad, or to be noticed.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Bad => "1;31",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Strong => "1",
            Tone::Warn => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Starts a progress line on stderr, if somebody is there to see it.
    pub(crate) fn progress(&self, what: &'static str) -> Progress {
        Progress {
            what,
            shown: false,
            on: self.chatty,
            began: Instant::now(),
            last: Instant::now(),
        }
    }
}

/// How a text is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    Bad,
    Dim,
    Good,
    Strong,
    Warn,
}

/// A progress line that appears only when the work takes a while.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    shown: bool,
    on: bool,
    began: Instant,
    last: Instant,
}

impl Progress {
    /// Shows how far the work is, ten times a second at most.
    pub(crate) fn show(&mut self, done: u64, all: u64) {
        let patient = self.began.elapsed() < Duration::from_millis(500);
        if !self.on || patient || self.last.elapsed() < Duration::from_millis(100) {
            return;
        }
        (self.last, self.shown) = (Instant::now(), true);
        let percent = u128::from(done) * 100 / u128::from(all.max(1));
        let _ = write!(
            io::stderr(),
            "\r{} {done} of {all} ({percent} %)\x1b[K",
            self.what
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
