//! `tacho bench verify`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use tacho_recorder::audit::{Question, audit};
use tacho_recorder::log::Log;
use tacho_recorder::pack::Unpacker;
use tacho_recorder::read::View;
use tacho_recorder::{LogDir, Reader};
use tacho_schemas::Seq;
use tacho_schemas::content::MAX_ROW;

use super::corpus::Corpus;
use super::ground::Ground;
use super::stats::{median, millis, percentile, rate};
use super::table::{Bound, Row};
use super::{append, floor};
use crate::place;
use crate::term::{Exit, Failure, Term};

/// Records whose bytes are hashed for the floor.
const SAMPLE: u64 = 20_000;

/// Threads that verify; the budget is for two cores.
const THREADS: usize = 2;

pub(super) fn measure(
    options: &super::Options,
    ground: &Ground,
    term: &mut Term,
) -> Result<Vec<Row>, Failure> {
    let records = options.records();
    append::write_log(ground.log("log")?, records, &Corpus::real()?, term)?;
    let path = ground.at("log");
    let dir = LogDir::open(&path)?;
    let sample = read_sample(&dir)?;

    let rounds = if options.quick || records >= 1_000_000 {
        3
    } else {
        7
    };
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        let floor = floor(&sample);
        let question = Question {
            threads: THREADS,
            ..Question::default()
        };
        let mut progress = term.progress("verifying");
        let began = Instant::now();
        let report = audit(&dir, &question, |done, all| progress.show(done, all))?;
        let time = began.elapsed();
        if !report.has_integrity() {
            return Err(Failure::new(
                "the log that was just written does not verify",
            ));
        }
        pairs.push((floor, rate(report.size, time)));
    }
    let child = ask_child(&path)?;
    let (proof_bytes, proof_time) = prove(&dir, records)?;
    let open_time = open(&path)?;

    let size = format!("{records} records");
    Ok(vec![
        Row::against(
            format!("full verify, {size}"),
            ("BLAKE3 + SHA-256", median(pairs.iter().map(|p| p.0))),
            median(pairs.iter().map(|p| p.1)),
            "records/s",
        )
        .ratio(median(pairs.iter().map(|(floor, ours)| ours / floor)))
        .budget(Bound::AtLeast(0.5), "1 x"),
        Row::alone(
            format!("memory of a verify, {size}"),
            child.peak_kib as f64 / 1024.0,
            "MiB",
        )
        .budget(Bound::OursAtMost(200.0), "64 MiB"),
        Row::alone(
            format!("inclusion proof, size, {size}"),
            proof_bytes as f64,
            "bytes",
        )
        .budget(Bound::OursAtMost(1024.0), ""),
        Row::alone(
            format!("inclusion proof, time p50, {size}"),
            millis(proof_time),
            "ms",
        )
        .budget(Bound::OursAtMost(1.0), ""),
        Row::alone(format!("open to write, {size}"), open_time, "ms")
            .budget(Bound::OursAtMost(150.0), "50 ms"),
    ])
}

/// What one core hashes of these, records a second: BLAKE3 and SHA-256.
pub(super) fn floor(sample: &[Vec<u8>]) -> f64 {
    rate(
        u64::try_from(sample.len()).unwrap_or(0),
        floor::hashes(sample),
    )
}

/// The bytes that a verification has to look at: each record, and its text as it was before packing.
pub(super) fn read_sample(dir: &LogDir) -> Result<Vec<Vec<u8>>, Failure> {
    let reader = Reader::open(dir)?;
    let snapshot = reader.snapshot()?;
    let mut unpacker = Unpacker::new()?;
    let mut items = Vec::new();
    snapshot.records(0..SAMPLE, |seq, bytes| -> Result<(), Failure> {
        let mut item = bytes.to_vec();
        if let Some(packed) = snapshot.vault(seq)? {
            item.append(&mut unpacker.unpack(&packed, MAX_ROW)?);
        }
        items.push(item);
        Ok(())
    })?;
    Ok(items)
}

/// Size and usual time of an inclusion proof.
fn prove(dir: &LogDir, records: u64) -> Result<(usize, Duration), Failure> {
    let reader = Reader::open(dir)?;
    let view = View::new(&reader)?;
    let (mut longest, mut samples) = (0, Vec::new());
    for number in 0..200_u64 {
        let seq = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % records;
        let began = Instant::now();
        let path = view.inclusion(Seq(seq), view.size())?;
        samples.push(began.elapsed());
        longest = longest.max(path.len() * 32);
    }
    Ok((longest, percentile(&mut samples, 50)))
}

/// How long it takes to open the log for writing, the last checkpoint checked, in milliseconds.
fn open(path: &Path) -> Result<f64, Failure> {
    let mut samples = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let log = Log::open(path, place::options()?)?;
        samples.push(millis(began.elapsed()));
        log.close()?;
    }
    Ok(median(samples))
}

/// What a process that does one thing says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Child {
    pub(super) peak_kib: u64,
    /// How long the work took, in seconds, without the start of the process.
    #[serde(default)]
    pub(super) seconds: f64,
}

fn ask_child(log: &Path) -> Result<Child, Failure> {
    in_process(&[log.as_os_str()])
}

/// Runs `bench child` with these arguments.
pub(super) fn in_process(args: &[&OsStr]) -> Result<Child, Failure> {
    let failed = |why: String| Failure::new(format!("cannot work in a process of its own: {why}"));
    let program = std::env::current_exe().map_err(|e| failed(e.to_string()))?;
    let output = Command::new(program)
        .args(["bench", "child"])
        .args(args)
        .output()
        .map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| failed(e.to_string()))
}

pub(super) fn child(log: &Path, term: &mut Term) -> Result<Exit, Failure> {
    let question = Question {
        threads: THREADS,
        ..Question::default()
    };
    let began = Instant::now();
    let report = audit(&LogDir::open(log)?, &question, |_, _| ())?;
    say(began.elapsed(), report.has_integrity(), term)
}

/// Says what a process took so far.
pub(super) fn say(time: Duration, good: bool, term: &mut Term) -> Result<Exit, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|e| Failure::new(format!("cannot read /proc/self/status: {e}")))?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .ok_or_else(|| Failure::new("the system does not say how much memory was used"))?;
    term.line(json!({"peak_kib": peak, "seconds": time.as_secs_f64()}).to_string())?;
    Ok(match good {
        true => Exit::Done,
        false => Exit::Negative,
    })
}
