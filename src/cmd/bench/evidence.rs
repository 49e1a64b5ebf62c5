//! `tacho bench evidence`: records on their way out.

use std::path::Path;
use std::time::Instant;

use tacho_recorder::export::bundle::{self, Ask};
use tacho_recorder::export::line::Lines;
use tacho_recorder::export::select;
use tacho_recorder::export::whole::Whole;
use tacho_recorder::export::withhold::Withhold;
use tacho_recorder::filter::Filter;
use tacho_recorder::{LogDir, Reader};
use tacho_schemas::Time;

use super::append;
use super::corpus::Corpus;
use super::ground::Ground;
use super::stats::{median, rate};
use super::table::{Bound, Row};
use super::verify::{floor, in_process, read_sample, say};
use crate::term::{Exit, Failure, Term};

/// Records a second that make a million of them in two minutes.
const TWO_MINUTES: f64 = 8_334.0;

/// Bytes that are gathered before they are written.
const GATHER: usize = 1 << 16;

pub(super) fn measure(
    options: &super::Options,
    ground: &Ground,
    term: &mut Term,
) -> Result<Vec<Row>, Failure> {
    let records = options.records();
    append::write_log(ground.log("log")?, records, &Corpus::real()?, term)?;
    let log = ground.at("log");
    let rounds = if options.quick || records >= 1_000_000 {
        1
    } else {
        3
    };
    let mut lines = Vec::new();
    for round in 0..rounds {
        lines.push(as_lines(&log, &ground.at(&format!("lines.{round}")))?);
    }
    let out = ground.at("all.tacho");
    let sample = read_sample(&LogDir::open(&log)?)?;
    let made = in_process(&[log.as_os_str(), "--bundle".as_ref(), out.as_os_str()])?;
    let checked = in_process(&[out.as_os_str()])?;
    let floor = median((0..3).map(|_| floor(&sample)));
    let bytes = std::fs::metadata(&out).map_or(0, |meta| meta.len());
    let per_second = |seconds: f64| records as f64 / seconds.max(f64::MIN_POSITIVE);
    let size = format!("{records} records");
    let mib = |kib: u64| kib as f64 / 1024.0;
    Ok(vec![
        Row::alone(format!("JSON Lines, {size}"), median(lines), "records/s")
            .budget(Bound::AtLeast(50_000.0), ""),
        Row::alone(
            format!("bundle, {size}"),
            per_second(made.seconds),
            "records/s",
        )
        .budget(Bound::AtLeast(TWO_MINUTES), ""),
        Row::alone(
            format!("memory of writing it, {size}"),
            mib(made.peak_kib),
            "MiB",
        )
        .budget(Bound::OursAtMost(200.0), ""),
        Row::alone(
            format!("its length, {size}"),
            bytes as f64 / f64::from(1 << 20),
            "MiB",
        ),
        Row::against(
            format!("verify of it, {size}"),
            ("BLAKE3 + SHA-256", floor),
            per_second(checked.seconds),
            "records/s",
        )
        .budget(Bound::AtLeast(0.5), "1 x"),
        Row::alone(
            format!("memory of that, {size}"),
            mib(checked.peak_kib),
            "MiB",
        )
        .budget(Bound::OursAtMost(200.0), ""),
    ])
}

/// Writes all records as JSON Lines, as `export jsonl` does; records a second.
fn as_lines(log: &Path, out: &Path) -> Result<f64, Failure> {
    let dir = LogDir::open(log)?;
    let reader = Reader::open(&dir)?;
    let began = Instant::now();
    let mut lines = Lines::new(Withhold::default());
    let mut file = Whole::create(out)?;
    let mut gathered = Vec::with_capacity(2 * GATHER);
    let everything = (&Filter::Everything, u64::MAX);
    select::each(
        &dir,
        &reader,
        everything,
        |_, _| (),
        |shown| {
            lines.take(shown, &mut gathered)?;
            if gathered.len() >= GATHER {
                file.write(&gathered)?;
                gathered.clear();
            }
            Ok::<(), tacho_recorder::Error>(())
        },
    )?;
    file.write(&gathered)?;
    file.finish()?;
    let rate = rate(lines.written, began.elapsed());
    // The next one shall find the disk as it was.
    std::fs::remove_file(out)
        .map_err(|e| Failure::new(format!("cannot remove what was written: {e}")))?;
    Ok(rate)
}

/// Writes a bundle of a whole log, and says what that took.
pub(super) fn write(log: &Path, out: &Path, term: &mut Term) -> Result<Exit, Failure> {
    let dir = LogDir::open(log)?;
    let reader = Reader::open(&dir)?;
    let ask = Ask {
        filter: &Filter::Everything,
        withhold: Withhold::default(),
        joins: Vec::new(),
        software: concat!("tacho/", env!("CARGO_PKG_VERSION")),
        made: Time(0),
    };
    let began = Instant::now();
    let made = bundle::write(&dir, &reader, &ask, out, |_, _| ())?;
    say(began.elapsed(), made.report.has_integrity(), term)
}

/// Verifies a bundle, and says what that took.
pub(super) fn check(path: &Path, term: &mut Term) -> Result<Exit, Failure> {
    let began = Instant::now();
    let (report, _) = bundle::verify(path, &bundle::Question::default(), |_, _| ())?;
    say(began.elapsed(), report.has_integrity(), term)
}
