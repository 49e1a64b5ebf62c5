//! How many lines of a transcript become records in a second, on this disk.
//!
//! ```text
//! cargo run --release -p tacho-recorder --example import_speed -- [LINES] [DIR]
//! ```
//!
//! Writes a transcript that is as long as asked for (200,000 lines unless told), made of the real one in `fixtures/traces`: each
//! round has the same words under ids of its own. Budget: 20,000 lines a second.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement may fail loudly"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tacho_recorder::import::{Format, Known, Request, import};
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::read::View;
use tacho_recorder::{LogDir, Reader, SystemClock, keys};
use tacho_schemas::Origin;

fn main() {
    let mut args = std::env::args().skip(1);
    let lines: u64 = args.next().map_or(200_000, |n| n.parse().unwrap());
    let base = std::env::temp_dir().join(format!("tacho-import-speed-{}", std::process::id()));
    let base = args.next().map_or(base, PathBuf::from);
    std::fs::create_dir_all(&base).unwrap();
    let transcript = base.join("transcript.jsonl");
    let written = write(&transcript, lines);
    let bytes = std::fs::metadata(&transcript).unwrap().len() as f64;

    let path = base.join("log");
    let identity = keys::generate().unwrap();
    let beginning = Beginning {
        path: &path,
        origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
        identity: &identity,
        predecessor: None,
    };
    let options = Options::new(Arc::new(SystemClock::new().unwrap()), "import-speed").for_import();
    let log = Log::create(beginning, options).unwrap();
    let reader = Reader::open(&LogDir::open(&path).unwrap()).unwrap();
    let request = Request {
        path: transcript.clone(),
        format: Some(Format::ClaudeCode),
        range: None,
        again: false,
    };
    let began = Instant::now();
    let view = View::new(&reader).unwrap();
    let done = import(&log, &view, &request, &mut Known::default(), &mut |_, _| ()).unwrap();
    log.close().unwrap();
    let time = began.elapsed().as_secs_f64();
    let rate = written as f64 / time;
    let records: u64 = done.counts.values().sum();
    println!(
        "import    {rate:>9.0} lines/s, {:.1} MB/s (budget 20000 lines/s) {}  {written} lines, {records} records",
        bytes / time / 1e6,
        if rate >= 20_000.0 { "pass" } else { "short" }
    );
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::remove_file(&transcript).unwrap();
}

/// Writes a transcript of at least so many lines; says how many.
fn write(path: &Path, least: u64) -> u64 {
    let real = "fixtures/traces/claude-code/representative_messages.jsonl";
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(real);
    let real = std::fs::read_to_string(real).unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let (mut lines, mut round) = (0, 0);
    while lines < least {
        round += 1;
        for line in real.lines() {
            let line = line
                .replace("\"uuid\": \"", &format!("\"uuid\": \"{round}-"))
                .replace("\"parentUuid\": \"", &format!("\"parentUuid\": \"{round}-"))
                .replace("\"id\": \"", &format!("\"id\": \"{round}-"))
                .replace(
                    "\"tool_use_id\": \"",
                    &format!("\"tool_use_id\": \"{round}-"),
                );
            writeln!(file, "{line}").unwrap();
            lines += 1;
        }
    }
    file.flush().unwrap();
    lines
}
