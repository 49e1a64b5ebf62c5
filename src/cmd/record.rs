//! `tacho record`: events in, receipts out.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use tacho_recorder::draft::Way;
use tacho_recorder::log::{Log, Pending};
use tacho_recorder::{Error, ErrorKind};
use tacho_schemas::event::Event;
use tacho_schemas::record::Redaction;

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, count, safe};

/// The longest line that is read: an event's text and files together.
const MAX_LINE: u64 = 64 << 20;

/// How many events may be under way before the oldest receipt is waited for.
const UNDER_WAY: usize = 4096;

/// Append events from standard input, one JSON object a line
///
/// Each line is an event by schemas/event.schema.json. For each one that is durable, a receipt is printed as one JSON line, in
/// the order of the events. A line that cannot be recorded is reported on stderr and skipped; the exit code is then 2. What is
/// recorded this way is a claim of the caller.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  tacho record < events.jsonl\n\nwith one event a line, such as (here in two):\n  {\"kind\":\"message\",\"actor\":{\"type\":\"agent\",\"id\":\"me\"},\"body\":{\"speaker\":\"assistant\"},\n   \"content\":{\"text\":\"done\"}}"
)]
pub(crate) struct Args {
    /// Stop at the first line that cannot be recorded
    #[arg(long)]
    strict: bool,

    /// Print no receipts
    #[arg(long, short)]
    quiet: bool,

    /// Start although records in a damaged WAL are lost; the log says so for ever
    #[arg(long)]
    accept_loss: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))
            .map_err(|e| Failure::new(format!("cannot listen for signals: {e}")))?;
    }
    let mut options = place::options()?;
    options.accept_loss = args.accept_loss;
    let log = place.open(options)?;
    report_opening(&log, term);
    if io::stdin().is_terminal() {
        term.note("reading events, one JSON object a line; Ctrl-D ends");
    }

    let mut session = Session {
        log: &log,
        term,
        quiet: args.quiet,
        under_way: VecDeque::new(),
        refused: 0,
        written: 0,
    };
    let outcome = session.serve(&read_lines(), args.strict, &stopped);
    // Whatever went wrong: what is under way becomes durable, and its receipts are printed.
    let drained = session.drain(0);
    let (refused, written) = (session.refused, session.written);
    let closed = log.close();
    outcome.and(drained)?;
    closed?;
    if stopped.load(Ordering::Relaxed) {
        term.note(format!(
            "interrupted; the log is closed cleanly, with {} more",
            count(written, "record")
        ));
    }
    if refused > 0 {
        term.note(format!(
            "not recorded: {refused} of {}",
            count(refused.saturating_add(written), "line")
        ));
        return Ok(Exit::Failure);
    }
    Ok(Exit::Done)
}

pub(crate) fn report_opening(log: &Log, term: &mut Term) {
    let opening = log.opening();
    if opening.unclean {
        let lost = opening.recovered;
        term.note(format!("the log was not stopped cleanly; it is checked and sealed, {} had no durable signature yet", count(lost, "record")));
    }
    for repaired in &opening.keys {
        term.note(repaired.to_string());
    }
    if let Some(why) = &opening.no_reserve {
        term.note(format!(
            "no space could be reserved for an emergency: {}",
            safe(why)
        ));
    }
}

/// A line of input, or why it is none.
type Line = (u64, Result<String, Failure>);

/// Reads standard input on a thread of its own, so that a signal is heard while nothing comes.
fn read_lines() -> Receiver<Line> {
    let (send, lines) = sync_channel(64);
    std::thread::spawn(move || {
        let mut input = BufReader::with_capacity(1 << 16, io::stdin());
        for number in 1.. {
            let line = match read_line(&mut input) {
                Ok(None) => return,
                Ok(Some(line)) => line,
                Err(error) => {
                    let _ = send.send((
                        number,
                        Err(Failure::new(format!("cannot read standard input: {error}"))),
                    ));
                    return;
                }
            };
            if send.send((number, line)).is_err() {
                return;
            }
        }
    });
    lines
}

/// Reads a line; one that is too long is passed over without being kept.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Result<String, Failure>>> {
    let mut bytes = Vec::new();
    let read = input
        .by_ref()
        .take(MAX_LINE)
        .read_until(b'\n', &mut bytes)?;
    if read == 0 {
        return Ok(None);
    }
    if bytes.last() != Some(&b'\n') && u64::try_from(read).is_ok_and(|n| n == MAX_LINE) {
        skip_line(input)?;
        return Ok(Some(Err(Failure::new(format!(
            "the line is longer than {} MiB",
            MAX_LINE >> 20
        ))
        .hint("split the event, or leave its largest file out"))));
    }
    Ok(Some(
        String::from_utf8(bytes).map_err(|_| Failure::new("the line is not UTF-8")),
    ))
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (used, ended) = match buffer.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        input.consume(used);
        if ended {
            return Ok(());
        }
    }
}

struct Session<'a> {
    log: &'a Log,
    term: &'a mut Term,
    quiet: bool,
    under_way: VecDeque<(u64, Pending)>,
    refused: u64,
    written: u64,
}

impl Session<'_> {
    fn serve(
        &mut self,
        lines: &Receiver<Line>,
        strict: bool,
        stopped: &AtomicBool,
    ) -> Result<(), Failure> {
        while !stopped.load(Ordering::Relaxed) {
            // Nothing more has come yet: show what is done before waiting.
            let next = match lines.try_recv() {
                Ok(next) => next,
                Err(_) => {
                    self.drain(0)?;
                    match lines.recv_timeout(Duration::from_millis(100)) {
                        Ok(next) => next,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => return Ok(()),
                    }
                }
            };
            let (number, line) = next;
            let submitted = match line {
                Ok(line) if line.trim().is_empty() => continue,
                Ok(line) => submit(self.log, line.trim()),
                Err(failure) => Err(Refusal::Line(failure)),
            };
            match submitted {
                Ok((pending, redacted)) => {
                    for Redaction { secret, count } in redacted {
                        let what = format!("line {number}: redacted {count} {secret}");
                        self.term.note(what);
                    }
                    self.under_way.push_back((number, pending));
                }
                Err(Refusal::Line(failure)) => {
                    self.refuse(number, &failure);
                    if strict {
                        return Ok(());
                    }
                }
                Err(Refusal::Log(error)) => return Err(error.into()),
            }
            self.drain(UNDER_WAY)?;
        }
        Ok(())
    }

    /// Waits for receipts until so many are left under way.
    fn drain(&mut self, left: usize) -> Result<(), Failure> {
        while self.under_way.len() > left {
            let Some((number, pending)) = self.under_way.pop_front() else {
                return Ok(());
            };
            match pending.wait() {
                Ok(receipt) => {
                    self.written += 1;
                    if !self.quiet {
                        let line = serde_json::to_string(&receipt)
                            .map_err(|e| Failure::new(e.to_string()))?;
                        // Who no longer reads receipts wants the events recorded all the same.
                        self.quiet = match self.term.line(line) {
                            Err(failure) if failure.is_closed() => true,
                            other => other.map(|()| false)?,
                        };
                    }
                }
                Err(error) if is_about_the_line(&error) => self.refuse(number, &error.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, number: u64, failure: &Failure) {
        self.refused += 1;
        self.term
            .note(format!("line {number}: {}", safe(failure.what())));
        if let Some(hint) = failure.advice() {
            self.term
                .note(format!("line {number}: hint: {}", safe(hint)));
        }
    }
}

/// Why a line did not become a record.
enum Refusal {
    /// The line is at fault; the next may be good.
    Line(Failure),
    /// The log is at fault.
    Log(Error),
}

/// Hands a line to the writer; says which secrets were taken out of it.
fn submit(log: &Log, line: &str) -> Result<(Pending, Vec<Redaction>), Refusal> {
    let event = Event::from_json(line).map_err(|e| Refusal::Line(e.into()))?;
    let way = Way::api(nix::unistd::geteuid().as_raw());
    let draft = log.draft(event, way).map_err(|e| Refusal::Line(e.into()))?;
    let redacted = draft.redacted().to_vec();
    let pending = log.submit(draft).map_err(Refusal::Log)?;
    Ok((pending, redacted))
}

fn is_about_the_line(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Exists | ErrorKind::Unrecordable | ErrorKind::Usage
    )
}
