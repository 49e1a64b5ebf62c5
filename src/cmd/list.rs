//! `tacho list`: records, one a line.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tacho_recorder::export::line;
use tacho_recorder::filter::{Filter, FilterError};
use tacho_recorder::index::{Index, Order, Query};
use tacho_recorder::read::{Shown, View};
use tacho_recorder::why;
use tacho_recorder::{Clock, ErrorKind, LogDir, Reader, SystemClock};
use tacho_schemas::Time;
use tacho_schemas::body::Body;
use tacho_schemas::record::Redaction;

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, count, safe};

/// How often a followed log is looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Show records
///
/// One line a record: number, time, kind, way in, actor, and the first words; these columns stay as they are. Each record is checked
/// against the tree and its text against its commitment before it is shown; a line that does not fit begins with `!`, and the exit
/// code is then 1.
///
/// A filter is terms side by side, which must all hold; `|` is or, `-` is not, parentheses group. Terms: KEY:VALUE, KEY:A,B (any),
/// a word, the beginning of a word*, "a phrase", under(SEQ) and over(SEQ) for what came of a record and what led to it. Keys: actor,
/// agent, by, generation, kind, lineage, model, part, path, rationale, rule, seq (17, 100..200), session, since and until (a date,
/// an RFC 3339 time, or 90m, 2h, 3d, 1w ago; UTC), status, tool, verdict, via. Ids and paths may have `*`. A record that is not
/// understood, or not the one in the tree, cannot be said not to meet a filter, and is shown.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho list\n  tacho list --from 100 --count 20\n  tacho list --filter 'kind:mutation part:prompt since:2h'\n  tacho list --filter 'verdict:deny,hold \"permission denied\"' --follow\n  tacho list --json | jq .kind"
)]
pub(crate) struct Args {
    /// Only records that meet this
    #[arg(
        long,
        short = 'f',
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,

    /// The first record to look at; shows the oldest COUNT from there on [default: the newest COUNT are shown]
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,

    /// Only records before this one
    #[arg(long, value_name = "SEQ")]
    before: Option<u64>,

    /// How many records to show; 0 for all
    #[arg(long, short = 'n', default_value_t = 50)]
    count: u64,

    /// Go on with new records as they come, until interrupted
    #[arg(long, conflicts_with_all = ["from", "before"])]
    follow: bool,

    /// Make an index for this question only, from every record, instead of using the one kept beside the log
    #[arg(long)]
    no_index: bool,

    /// Print each record as one JSON line, whole
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let now = Time(SystemClock::new()?.wall_ns());
    let filter = Filter::parse(&args.filter, now).map_err(|error| misread(&error, &args.filter))?;
    let stopped = Arc::new(AtomicBool::new(false));
    if args.follow {
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stopped))
                .map_err(|e| Failure::new(format!("cannot listen for signals: {e}")))?;
        }
    }
    let dir = place.open_to_read()?;
    let mut source = Source::open(dir, &filter, args, term)?;
    let size = source.size(term)?;
    let within = args.from.unwrap_or(0)..args.before.unwrap_or(size).min(size);
    let mut page = Page::new(args.json, size);
    if within.start >= size {
        let from = within.start;
        let records = count(size, "record");
        term.note(format!("the log has {records}, so none from {from} on"));
    } else if args.from.is_some() || args.count == 0 {
        source.oldest(within.clone(), args.count, |shown| page.show(term, &shown))?;
        page.say_next(args, size, term);
    } else {
        for shown in source.newest(within.clone(), args.count)? {
            page.show(term, &shown)?;
        }
        page.say_older(args, term);
    }
    if page.shown == 0 && within.start < size && !args.follow {
        source.say_why_none(within, term)?;
    }
    if args.follow {
        follow(&mut source, size, &mut page, &stopped, term)?;
    }
    Ok(page.end(term))
}

/// Shows new records until a signal comes.
fn follow(
    source: &mut Source<'_>,
    mut next: u64,
    page: &mut Page,
    stopped: &AtomicBool,
    term: &mut Term,
) -> Result<(), Failure> {
    while !stopped.load(Ordering::Relaxed) {
        std::thread::sleep(EVERY);
        let size = source.size(term)?;
        if size < next {
            return Err(
                Failure::new(format!("the log had {next} records and now has {size}"))
                    .hint("it was cut: run `tacho verify --against` with a receipt"),
            );
        }
        if size > next {
            source.oldest(next..size, 0, |shown| page.show(term, &shown))?;
            next = size;
        }
    }
    Ok(())
}

/// Says where a filter is wrong.
fn misread(error: &FilterError, text: &str) -> Failure {
    let failure = Failure::new(format!("in the filter: {error}")).below(error.caret(text));
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Where records come from: straight from the log, or by an index.
struct Source<'a> {
    dir: LogDir,
    reader: Reader,
    filter: &'a Filter,
    index: Option<Index>,
}

impl<'a> Source<'a> {
    fn open(
        dir: LogDir,
        filter: &'a Filter,
        args: &Args,
        term: &mut Term,
    ) -> Result<Self, Failure> {
        let reader = place::reader(&dir)?;
        let index = match (filter, args.no_index) {
            (Filter::Everything, _) => None,
            (_, true) => Some(Index::private(&dir, "asked for")?),
            (_, false) => Some(Index::open(&dir)?),
        };
        let mut source = Self {
            dir,
            reader,
            filter,
            index,
        };
        source.size(term)?;
        let why = source.index.as_ref().and_then(Index::why_private);
        if let (Some(why), false) = (why, args.no_index) {
            term.note(format!(
                "the index is made for this question only: {}",
                safe(why)
            ));
        }
        Ok(source)
    }

    /// How many records there are by now; an index takes them in.
    fn size(&mut self, term: &Term) -> Result<u64, Failure> {
        let size = match self.try_size(term) {
            // Read without locks, and somebody wrote: look at it anew.
            Err(error) if error.kind() == ErrorKind::Busy => {
                self.reader = place::reader(&self.dir)?;
                self.try_size(term)
            }
            other => other,
        };
        Ok(size?)
    }

    fn try_size(&mut self, term: &Term) -> tacho_recorder::Result<u64> {
        match &mut self.index {
            None => Ok(View::new(&self.reader)?.size()),
            Some(index) => {
                let mut progress = term.progress("indexing");
                index.catch_up(&self.reader, |done, all| progress.show(done, all))?;
                index.size()
            }
        }
    }

    /// Shows records of a range from the oldest on, so many at most; 0 for all.
    fn oldest(
        &mut self,
        range: Range<u64>,
        count: u64,
        mut f: impl FnMut(Shown) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(index) = &mut self.index else {
            let end = match count {
                0 => range.end,
                count => range.end.min(range.start.saturating_add(count)),
            };
            return View::new(&self.reader)?.records(range.start..end, f);
        };
        let query = Query {
            filter: self.filter,
            range,
            order: Order::OldestFirst,
        };
        match count {
            0 => index.search(&self.reader, &query, |shown| {
                f(shown).map(|()| ControlFlow::Continue(()))
            }),
            count => index
                .page(&self.reader, &query, number(count))?
                .into_iter()
                .try_for_each(f),
        }
    }

    /// The newest records of a range, the newest last.
    fn newest(&mut self, range: Range<u64>, count: u64) -> Result<Vec<Shown>, Failure> {
        let mut found = Vec::new();
        let Some(index) = &mut self.index else {
            let start = match count {
                0 => range.start,
                count => range.start.max(range.end.saturating_sub(count)),
            };
            View::new(&self.reader)?.records(start..range.end, |shown| {
                found.push(shown);
                Ok::<(), Failure>(())
            })?;
            return Ok(found);
        };
        let query = Query {
            filter: self.filter,
            range,
            order: Order::NewestFirst,
        };
        let count = if count == 0 {
            usize::MAX
        } else {
            number(count)
        };
        found = index.page(&self.reader, &query, count)?;
        found.reverse();
        Ok(found)
    }

    /// Says that nothing was found, and without which term something is.
    fn say_why_none(&mut self, range: Range<u64>, term: &mut Term) -> Result<(), Failure> {
        if *self.filter == Filter::Everything {
            return Ok(());
        }
        term.note(format!(
            "no record meets `{}`",
            safe(&self.filter.to_string())
        ));
        let (Filter::All(terms), Some(index)) = (self.filter, &mut self.index) else {
            return Ok(());
        };
        for at in 0..terms.len().min(8) {
            let mut others = terms.clone();
            let without = others.remove(at);
            let filter = Filter::all(others);
            let query = Query {
                filter: &filter,
                range: range.clone(),
                order: Order::NewestFirst,
            };
            if !index.page(&self.reader, &query, 1)?.is_empty() {
                let without = Filter::any(vec![without]).to_string();
                term.note(format!("without `{}` there are some", safe(&without)));
            }
        }
        Ok(())
    }
}

fn number(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// What was shown so far.
struct Page {
    json: bool,
    width: usize,
    shown: u64,
    first: u64,
    last: u64,
    doubtful: u64,
}

impl Page {
    fn new(json: bool, size: u64) -> Self {
        Self {
            json,
            width: size.to_string().len(),
            shown: 0,
            first: 0,
            last: 0,
            doubtful: 0,
        }
    }

    fn show(&mut self, term: &mut Term, shown: &Shown) -> Result<(), Failure> {
        if self.shown == 0 {
            self.first = shown.seq.0;
        }
        self.shown += 1;
        self.last = shown.seq.0;
        self.doubtful += u64::from(!shown.doubts.is_empty());
        match self.json {
            true => term.line(to_json(shown)?),
            false => {
                let line = to_line(term, shown, self.width);
                term.line(line)
            }
        }
    }

    /// Says how to see what follows.
    fn say_next(&self, args: &Args, size: u64, term: &mut Term) {
        let next = self.last.saturating_add(1);
        if self.is_full(args, term) && next < args.before.unwrap_or(size) {
            term.note(format!("next: {}", args.again("--from", next)));
        }
    }

    /// Says how to see what came before.
    fn say_older(&self, args: &Args, term: &mut Term) {
        if self.is_full(args, term) && self.first > 0 && !args.follow {
            term.note(format!("older: {}", args.again("--before", self.first)));
        }
    }

    fn is_full(&self, args: &Args, term: &Term) -> bool {
        term.is_chatty() && self.shown > 0 && self.shown == args.count
    }

    fn end(&self, term: &mut Term) -> Exit {
        if self.doubtful == 0 {
            return Exit::Done;
        }
        let are = if self.doubtful == 1 { "is" } else { "are" };
        term.note(format!(
            "{} {are} not what was recorded; run `tacho verify`",
            count(self.doubtful, "record")
        ));
        Exit::Negative
    }
}

impl Args {
    /// The command for another page.
    fn again(&self, option: &str, seq: u64) -> String {
        let mut text = format!("tacho list {option} {seq}");
        if let ("--from", Some(before)) = (option, self.before) {
            text.push_str(&format!(" --before {before}"));
        }
        if self.count != 50 {
            text.push_str(&format!(" --count {}", self.count));
        }
        if !self.filter.is_empty() {
            // For a shell: what is between single quotes stays as it is.
            let quoted = self.filter.replace('\'', "'\\''");
            text.push_str(&format!(" --filter '{}'", safe(&quoted)));
        }
        for (on, option) in [(self.no_index, " --no-index"), (self.json, " --json")] {
            text.push_str(if on { option } else { "" });
        }
        text
    }
}

fn to_line(term: &Term, shown: &Shown, width: usize) -> String {
    let seq = term.paint(Tone::Strong, &format!("{:>width$}", shown.seq.0));
    let line = match &shown.meaning {
        Ok(record) => {
            let time = term.paint(Tone::Dim, &format!("{:.19}Z", record.time.to_string()));
            let words = first_words(shown);
            format!(
                "{seq}  {time}  {:<10}  {:<8}  {:<16}  {words}",
                record.kind.name(),
                record.via.name(),
                record.actor.id.as_str()
            )
        }
        Err(why) => format!(
            "{seq}  {}",
            term.paint(Tone::Warn, &format!("not understood: {}", safe(why)))
        ),
    };
    let line = match findings(shown) {
        found if found.is_empty() => line,
        found => format!("{}  {}", line.trim_end(), term.paint(Tone::Warn, &found)),
    };
    match shown.doubts.is_empty() {
        true => format!("  {}", line.trim_end()),
        false => format!(
            "{} {}  {}",
            term.paint(Tone::Bad, "!"),
            line.trim_end(),
            term.paint(Tone::Bad, &shown.doubts.join("; "))
        ),
    }
}

/// What a reviewer should look at: secrets that were taken out.
fn findings(shown: &Shown) -> String {
    let redacted = shown.meaning.as_ref().map(|record| record.redacted());
    let found = redacted.unwrap_or_default().iter();
    let found: Vec<_> = found
        .map(|Redaction { secret, count }| format!("[finding: {count} × {secret} taken out]"))
        .collect();
    found.join(" ")
}

/// The words that say most about a record, cut to a line.
fn first_words(shown: &Shown) -> String {
    let mut first = why::first_words(shown);
    if let (true, Ok(Body::Evaluation(body))) = (
        first.is_empty(),
        shown.meaning.as_ref().map(|record| &record.body),
    ) && let Some(main) = &body.main
    {
        first = format!("{} {}", main.metric, main.score);
    }
    let mut words: String = first.chars().take(72).collect();
    if words.len() < first.len() {
        words.push('…');
    }
    safe(&words).into_owned()
}

/// A record with its text, by the names of the registry (`record.schema.json`).
fn to_json(shown: &Shown) -> Result<String, Failure> {
    let mut line = Vec::new();
    line::write(shown, &[], &mut line)?;
    String::from_utf8(line).map_err(|e| Failure::new(e.to_string()))
}
