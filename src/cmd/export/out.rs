//! What every streaming export shares: which records, where to, and what is said at the end.

use std::path::{Path, PathBuf};

use tacho_recorder::audit::{Question, audit};
use tacho_recorder::export::Losses;
use tacho_recorder::export::whole::Whole;
use tacho_recorder::export::withhold::Withhold;
use tacho_recorder::filter::{Filter, FilterError};
use tacho_recorder::store::Still;
use tacho_recorder::{Clock, Reader, SystemClock, export};
use tacho_recorder::{LogDir, read::Shown, read::View};
use tacho_schemas::Time;

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, count, safe};

/// Which records, by a filter.
#[derive(clap::Args, Debug, Default)]
struct Which {
    /// Only records that meet this; `tacho list --help` says how it is written
    #[arg(
        long,
        short = 'f',
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,
}

/// Which records, and where they go.
#[derive(clap::Args, Debug)]
pub(crate) struct Choice {
    #[command(flatten)]
    which: Which,

    /// The file to make, or `-` for standard output
    #[arg(value_name = "OUT", default_value = "-")]
    out: PathBuf,
}

impl Choice {
    pub(crate) fn of(filter: String, out: PathBuf) -> Self {
        Self {
            which: Which { filter },
            out,
        }
    }

    /// Where the export goes.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }
}

/// Which records, by what they are and when they were.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Span {
    #[command(flatten)]
    which: Which,

    /// Only records from this time on: a date, an RFC 3339 time, or 90m, 2h, 3d ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Only records up to this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Span {
    /// Whenever they were.
    pub(crate) fn of(filter: String) -> Self {
        Self {
            which: Which { filter },
            ..Self::default()
        }
    }

    /// Each thing that a record must meet.
    pub(crate) fn filters(&self) -> Result<Vec<Filter>, Failure> {
        let mut all = vec![filter(&self.which.filter)?];
        for (key, time) in [("since", &self.since), ("until", &self.until)] {
            if let Some(time) = time {
                all.push(filter(&format!("{key}:\"{}\"", time.replace('"', "")))?);
            }
        }
        Ok(all)
    }
}

/// Text and files that do not leave.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Hide {
    /// Leave out these fields of text and roles of artefacts, or `all`; their commitments stay
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    withhold: Vec<String>,
}

impl Hide {
    pub(crate) fn withhold(&self) -> Result<Withhold, Failure> {
        Ok(Withhold::parse(self.withhold.iter().map(String::as_str))?)
    }
}

/// Reads a filter, and says where it is wrong.
pub(crate) fn filter(text: &str) -> Result<Filter, Failure> {
    let now = Time(SystemClock::new()?.wall_ns());
    Filter::parse(text, now).map_err(|error| misread(&error, text))
}

fn misread(error: &FilterError, text: &str) -> Failure {
    let failure = Failure::new(format!("in the filter: {error}")).below(error.caret(text));
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Where an export goes.
pub(crate) enum Out {
    Stdout(Term),
    File(Whole),
}

/// So many bytes are gathered before they are written to standard output.
const GATHER: usize = 1 << 16;

impl Out {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        Ok(match path.as_os_str() == "-" {
            true => Self::Stdout(Term::new()),
            false => Self::File(Whole::create(path)?),
        })
    }

    /// Writes what was gathered, if it is enough, and empties it.
    pub(crate) fn drain(&mut self, gathered: &mut Vec<u8>) -> Result<(), Failure> {
        if gathered.len() >= GATHER {
            self.write(gathered)?;
            gathered.clear();
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Stdout(term) => term.raw(bytes),
            Self::File(file) => Ok(file.write(bytes)?),
        }
    }

    pub(crate) fn finish(mut self, rest: &[u8]) -> Result<(), Failure> {
        self.write(rest)?;
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(file) => Ok(file.finish()?),
        }
    }
}

/// A log that is exported from.
pub(crate) struct From {
    pub(crate) dir: LogDir,
    pub(crate) reader: Reader,
    pub(crate) size: u64,
}

impl From {
    pub(crate) fn open(place: &Place) -> Result<Self, Failure> {
        let dir = place.open_to_read()?;
        let reader = place::reader(&dir)?;
        let size = View::new(&reader)?.size();
        Ok(Self { dir, reader, size })
    }

    /// Opens what verification proves of a log that is broken; all of it is verified once more for that.
    pub(crate) fn proven(place: &Place, term: &Term) -> Result<Self, Failure> {
        let dir = place.open_to_read()?;
        let before = Still::now(&dir)?;
        let mut progress = term.progress("verifying");
        let report = audit(&dir, &Question::default(), |done, all| {
            progress.show(done, all)
        })?;
        drop(progress);
        let reader = Reader::open_proven(&dir, report.integrity.proven, before)?;
        let size = View::new(&reader)?.size();
        Ok(Self { dir, reader, size })
    }

    /// Shows each chosen record to `take`, which appends what it makes of it, and lets `end` append the rest; writes it all to the
    /// chosen place.
    pub(crate) fn stream<T>(
        &self,
        (choice, mut out): (&Choice, Out),
        term: &Term,
        head: &[u8],
        made: &mut T,
        mut take: impl FnMut(&mut T, Shown, &mut Vec<u8>) -> Result<(), Failure>,
        end: impl FnOnce(&mut T, &mut Vec<u8>),
    ) -> Result<u64, Failure> {
        let filter = filter(&choice.which.filter)?;
        let mut progress = term.progress("exporting");
        let mut gathered = head.to_vec();
        let mut chosen = 0;
        export::select::each(
            &self.dir,
            &self.reader,
            (&filter, self.size),
            |done, all| progress.show(done, all),
            |shown| {
                chosen += 1;
                take(made, shown, &mut gathered)?;
                out.drain(&mut gathered)
            },
        )?;
        end(made, &mut gathered);
        out.finish(&gathered)?;
        Ok(chosen)
    }

    /// Says how many records became how many things, and what is not in them.
    pub(crate) fn say(&self, chosen: u64, made: (u64, &str), losses: &Losses, term: &mut Term) {
        term.note(format!(
            "{} of {} chosen, {} written",
            chosen,
            count(self.size, "record"),
            count(made.0, made.1)
        ));
        say_losses(losses, term);
    }
}

pub(crate) fn say_losses(losses: &Losses, term: &mut Term) {
    for (what, number) in losses {
        term.note(format!("not in it: {number} {}", safe(what)));
    }
}

/// An export of nothing is no evidence of anything.
pub(crate) fn exit(chosen: u64, term: &mut Term) -> Exit {
    if chosen == 0 {
        term.note("nothing was written");
        return Exit::Negative;
    }
    Exit::Done
}
