//! `tacho bench append`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tacho_recorder::draft::{Draft, Way};
use tacho_recorder::log::{Log, Pending};

use super::corpus::{Corpus, PAYLOAD};
use super::floor::{Raw, Sqlite};
use super::ground::Ground;
use super::stats::{median, millis, percentile, rate};
use super::table::{Bound, Row};
use crate::term::{Failure, Term};

/// Records that are under way at once where throughput is asked for.
const IN_FLIGHT: usize = 4096;

/// And so few that the writer is never behind.
const UNHURRIED: usize = 256;

/// Threads that submit them.
const SUBMITTERS: usize = 2;

/// Records offered a second where the slow acknowledgements are asked for.
const OFFERED: u32 = 5_000;

pub(super) fn measure(
    options: &super::Options,
    ground: &Ground,
    term: &mut Term,
) -> Result<Vec<Row>, Failure> {
    let rounds: u32 = if options.quick { 3 } else { 7 };
    let slice = Duration::from_millis(if options.quick { 250 } else { 1000 });
    let corpus = Corpus::real()?;
    let log = ground.log("log")?;
    let mut raw = Raw::make(&ground.at("raw"))?;
    let mut sqlite = Sqlite::make(&ground.at("sqlite.db"))?;
    let next = AtomicU64::new(0);
    let run = Run::new(&log, &corpus, &next);

    // One turn of everything before it counts: files have grown, caches are warm.
    let mut turns = Turns::default();
    for round in 0..=rounds {
        let mut progress = term.progress("measuring");
        progress.show(round.into(), u64::from(rounds) + 1);
        if round == 1 {
            turns = Turns::default();
        }
        turns.take(&run, &mut raw, &mut sqlite, slice)?;
    }
    log.close()?;
    let mut rows = turns.rows();
    for (name, corpus, in_flight, most, reach) in [
        ("corpus", &corpus, UNHURRIED, 1.6, "1.2 x"),
        ("corpus, in a stream", &corpus, IN_FLIGHT, 1.6, "1.2 x"),
        (
            "incompressible",
            &Corpus::incompressible()?,
            IN_FLIGHT,
            2.0,
            "",
        ),
    ] {
        let row = size_on_disk(name, corpus, in_flight, options, ground)?;
        rows.push(row.budget(Bound::AtMost(most), reach));
    }
    rows.push(growth(options.records(), &corpus, ground, term)?);
    rows.push(bare_growth(options.records(), &corpus, ground, term)?);
    Ok(rows)
}

/// Where records go.
#[derive(Clone, Copy, Debug)]
struct Run<'a> {
    log: &'a Log,
    corpus: &'a Corpus,
    next: &'a AtomicU64,
    uid: u32,
}

impl<'a> Run<'a> {
    fn new(log: &'a Log, corpus: &'a Corpus, next: &'a AtomicU64) -> Self {
        let uid = nix::unistd::geteuid().as_raw();
        Self {
            log,
            corpus,
            next,
            uid,
        }
    }

    fn draft(&self) -> Result<Draft, Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let event = self.corpus.event(number);
        Ok(self.log.draft(event, Way::api(self.uid))?)
    }

    fn submit(&self) -> Result<Pending, Failure> {
        Ok(self.log.submit(self.draft()?)?)
    }

    /// So many callers, each waiting for its receipt before the next; returns what each record took.
    fn blocking(&self, callers: usize, time: Duration) -> Result<Vec<Duration>, Failure> {
        let until = Instant::now() + time;
        let one = || -> Result<Vec<Duration>, Failure> {
            let mut samples = Vec::new();
            while Instant::now() < until {
                let start = Instant::now();
                self.log.write(self.draft()?)?;
                samples.push(start.elapsed());
            }
            Ok(samples)
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..callers).map(|_| scope.spawn(one)).collect();
            let mut all = Vec::new();
            for thread in threads {
                all.append(&mut join(thread)?);
            }
            Ok(all)
        })
    }

    /// Few callers with many records under way, until `go_on` says no; `done` hears of each receipt.
    fn streaming(
        &self,
        in_flight: usize,
        go_on: impl Fn() -> bool + Sync,
        done: impl Fn() + Sync,
    ) -> Result<(), Failure> {
        let one = || -> Result<(), Failure> {
            let mut under_way = VecDeque::new();
            while go_on() {
                under_way.push_back(self.submit()?);
                if under_way.len() >= in_flight / SUBMITTERS
                    && let Some(oldest) = under_way.pop_front()
                {
                    oldest.wait()?;
                    done();
                }
            }
            for pending in under_way {
                pending.wait()?;
                done();
            }
            Ok(())
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..SUBMITTERS).map(|_| scope.spawn(one)).collect();
            threads.into_iter().try_for_each(join)
        })
    }

    /// Receipts a second from the first one on: until it comes, the pipe is filled.
    fn steady(&self, time: Duration) -> Result<f64, Failure> {
        let (first, received, end) = (OnceLock::new(), AtomicU64::new(0), OnceLock::new());
        let go_on = || match first.get().map(Instant::elapsed) {
            Some(passed) if passed >= time => {
                end.get_or_init(|| rate(received.load(Ordering::Relaxed), passed));
                false
            }
            _ => true,
        };
        let done = || {
            first.get_or_init(Instant::now);
            received.fetch_add(1, Ordering::Relaxed);
        };
        self.streaming(IN_FLIGHT, go_on, done)?;
        Ok(end.into_inner().unwrap_or(f64::NAN))
    }

    /// Records at fixed moments, whatever happens to those before; each is timed from the moment it was due.
    fn offered(&self, time: Duration) -> Result<Vec<Duration>, Failure> {
        let (send, receive) = mpsc::channel::<(Instant, Pending)>();
        thread::scope(|scope| {
            let waiter = scope.spawn(move || -> Result<Vec<Duration>, Failure> {
                let mut samples = Vec::new();
                for (due, pending) in receive {
                    pending.wait()?;
                    samples.push(due.elapsed());
                }
                Ok(samples)
            });
            let began = Instant::now();
            let step = Duration::from_secs(1) / OFFERED;
            for number in 0_u32.. {
                let due = began + step * number;
                if due > began + time {
                    break;
                }
                if let Some(wait) = due.checked_duration_since(Instant::now()) {
                    thread::sleep(wait);
                }
                if send.send((due, self.submit()?)).is_err() {
                    break;
                }
            }
            drop(send);
            join(waiter)
        })
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    match thread.join() {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::new("a thread of the benchmark ended")),
    }
}

/// The figures of all rounds.
#[derive(Debug, Default)]
struct Turns {
    /// Floor and ours, records a second, by round.
    one: Vec<(f64, f64)>,
    many: Vec<(f64, f64)>,
    stream: Vec<(f64, f64)>,
    sync: Vec<Duration>,
    ack: Vec<Duration>,
    offered: Vec<Duration>,
}

impl Turns {
    fn take(
        &mut self,
        run: &Run<'_>,
        raw: &mut Raw,
        sqlite: &mut Sqlite,
        slice: Duration,
    ) -> Result<(), Failure> {
        let mut floor = |sync: &mut Vec<Duration>| -> Result<f64, Failure> {
            let samples = raw.run(run.corpus, slice)?;
            let all: Duration = samples.iter().map(|(whole, _)| *whole).sum();
            sync.extend(samples.iter().map(|(_, sync)| *sync));
            Ok(rate(count(samples.len()), all))
        };
        let before = floor(&mut self.sync)?;
        let samples = run.blocking(1, slice)?;
        self.one
            .push((before, rate(count(samples.len()), samples.iter().sum())));
        self.ack.extend(samples);
        let between = floor(&mut self.sync)?;
        let began = Instant::now();
        let samples = run.blocking(256, slice)?;
        self.many
            .push((between, rate(count(samples.len()), began.elapsed())));
        self.offered.extend(run.offered(slice * 2)?);
        let began = Instant::now();
        let written = sqlite.write(run.corpus, |_| began.elapsed() < slice)?;
        let bare = rate(written, began.elapsed());
        self.stream.push((bare, run.steady(slice)?));
        Ok(())
    }

    fn rows(mut self) -> Vec<Row> {
        let row = |what: &str, floor_name, rounds: &[(f64, f64)]| {
            let floor = median(rounds.iter().map(|(floor, _)| *floor));
            let ours = median(rounds.iter().map(|(_, ours)| *ours));
            Row::against(what, (floor_name, floor), ours, "records/s")
                .ratio(median(rounds.iter().map(|(floor, ours)| ours / floor)))
        };
        let mut at = |part| {
            (
                millis(percentile(&mut self.sync, part)),
                millis(percentile(&mut self.ack, part)),
            )
        };
        let (sync_p99, _) = at(99);
        let (sync_p50, ack_p50) = at(50);
        let ack_p99 = millis(percentile(&mut self.offered, 99));
        vec![
            row("1 blocking writer", "append + fdatasync", &self.one)
                .budget(Bound::AtLeast(0.75), "0.95 x"),
            row("256 blocking writers", "append + fdatasync", &self.many)
                .budget(Bound::AtLeast(10.0), "20 x"),
            row("4,096 in flight", "bare SQLite", &self.stream)
                .budget(Bound::AtLeast(0.6), "0.9 x"),
            Row::against(
                "acknowledgement, 1 writer, p50",
                ("fdatasync p50", sync_p50),
                ack_p50,
                "ms",
            )
            .budget(Bound::AtMost(1.4), "1.1 x"),
            Row::against(
                "acknowledgement at 5,000/s offered, p99",
                ("fdatasync p99", sync_p99),
                ack_p99,
                "ms",
            )
            .budget(Bound::OursAtMost(15.0), "")
            .budget(Bound::AtMost(20.0), "5 x"),
        ]
    }
}

fn size_on_disk(
    name: &str,
    corpus: &Corpus,
    in_flight: usize,
    options: &super::Options,
    ground: &Ground,
) -> Result<Row, Failure> {
    let path = ground.at(name);
    let log = ground.log(name)?;
    let next = AtomicU64::new(0);
    let run = Run::new(&log, corpus, &next);
    let wanted = options.records().min(100_000);
    run.streaming(in_flight, || next.load(Ordering::Relaxed) < wanted, || ())?;
    log.close()?;
    let written = next.into_inner();
    let length = std::fs::metadata(path.join("log.db"))
        .map_err(|e| Failure::new(format!("cannot read: {e}")))?
        .len();
    let _ = std::fs::remove_dir_all(&path);
    Ok(Row::against(
        format!("on disk, {name}, {written} records"),
        ("bytes of text", PAYLOAD as f64),
        length as f64 / written as f64,
        "bytes",
    ))
}

/// Whether a long log takes records as fast as a short one.
fn growth(records: u64, corpus: &Corpus, ground: &Ground, term: &mut Term) -> Result<Row, Failure> {
    let log = ground.log("long")?;
    let next = AtomicU64::new(0);
    let run = Run::new(&log, corpus, &next);
    let marks = fill(&run, records, term)?;
    log.close()?;
    let _ = std::fs::remove_dir_all(ground.at("long"));
    let part = |index: usize| -> Option<f64> {
        let (from, to) = (marks.get(index)?, marks.get(index + 1)?);
        Some(rate(records / 10, to.saturating_sub(*from)))
    };
    let (first, last) = (part(0).unwrap_or(f64::NAN), part(9).unwrap_or(f64::NAN));
    Ok(Row::against(
        format!("growth to {records} records"),
        ("first tenth", first),
        last,
        "records/s",
    )
    .budget(Bound::AtLeast(0.9), "1 x"))
}

/// The same of bare SQLite: where that slows down, it is the machine.
fn bare_growth(
    records: u64,
    corpus: &Corpus,
    ground: &Ground,
    term: &mut Term,
) -> Result<Row, Failure> {
    let mut sqlite = Sqlite::make(&ground.at("bare.db"))?;
    let mut progress = term.progress("writing without us");
    let tenths = (0..10).map(|tenth| {
        progress.show(tenth, 10);
        let began = Instant::now();
        let written = sqlite.write(corpus, |count| count < records / 10)?;
        Ok(rate(written, began.elapsed()))
    });
    let tenths = tenths.collect::<Result<Vec<_>, Failure>>()?;
    let at = |index: usize| tenths.get(index).copied().unwrap_or(f64::NAN);
    let what = format!("growth to {records} records, bare SQLite");
    Ok(Row::against(
        what,
        ("first tenth", at(0)),
        at(9),
        "records/s",
    ))
}

/// Writes so many records; returns the times at which each tenth was done.
fn fill(run: &Run<'_>, records: u64, term: &mut Term) -> Result<Vec<Duration>, Failure> {
    let began = Instant::now();
    let done = AtomicU64::new(0);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut progress = term.progress("writing");
            let mut marks = Vec::new();
            while marks.len() <= 10 && !ended.load(Ordering::Acquire) {
                let now = done.load(Ordering::Relaxed);
                // The pipe is full when the first receipt comes.
                if marks.is_empty() && now > 0 {
                    marks.push(began.elapsed());
                }
                while (1..=10).contains(&marks.len()) && now >= records / 10 * count(marks.len()) {
                    marks.push(began.elapsed());
                }
                progress.show(now, records);
                thread::sleep(Duration::from_millis(2));
            }
            marks.resize(11, began.elapsed());
            marks
        });
        let outcome = run.streaming(
            IN_FLIGHT,
            || run.next.load(Ordering::Relaxed) < records,
            || {
                done.fetch_add(1, Ordering::Relaxed);
            },
        );
        ended.store(true, Ordering::Release);
        outcome?;
        watch
            .join()
            .map_err(|_| Failure::new("a thread of the benchmark ended"))
    })
}

/// Writes a log of so many records and closes it; for `bench verify`.
pub(super) fn write_log(
    log: Log,
    records: u64,
    corpus: &Corpus,
    term: &mut Term,
) -> Result<(), Failure> {
    let next = AtomicU64::new(0);
    let run = Run::new(&log, corpus, &next);
    fill(&run, records, term)?;
    Ok(log.close()?)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
