//! Drives the real viewer over a log and measures what its user waits for:
//! `cargo run --release -p tacho-viewer --example drive -- LOG [--make RECORDS] [--append]`.
//!
//! Each line: what, the figure, the budget, and whether it holds; the exit code is 1 if one does not. The budgets are those for ten
//! million records. With `--make`, a log of so many records is made there first. With `--append`, records are appended at 5,000 a
//! second meanwhile: do that to a copy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of ours, not of the product"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tacho_recorder::draft::Way;
use tacho_recorder::log::{Beginning, Pending};
use tacho_recorder::{Log, LogDir, Reader, SystemClock, keys};
use tacho_schemas::Origin;
use tacho_schemas::event::Event as Reported;
use tacho_viewer::{App, Event, Keymap, Options, Screen, Source, Theme};

/// Records a second that are appended meanwhile.
const RATE: u32 = 5_000;

struct Drive {
    app: App,
    terminal: Terminal<TestBackend>,
    missed: bool,
}

impl Drive {
    fn draw(&mut self) {
        let app = &mut self.app;
        self.terminal.draw(|frame| app.draw(frame)).unwrap();
    }

    fn shows(&self, words: &str) -> bool {
        let buffer = self.terminal.backend().buffer();
        let text: String = buffer
            .content()
            .iter()
            .map(ratatui::buffer::Cell::symbol)
            .collect();
        text.contains(words)
    }

    fn press(&mut self, code: KeyCode) {
        self.app
            .handle(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }

    fn type_in(&mut self, text: &str) {
        text.chars().for_each(|c| self.press(KeyCode::Char(c)));
    }

    /// The record whose row has the cursor, if one has.
    fn cursor(&self) -> Option<u64> {
        let buffer = self.terminal.backend().buffer();
        let cells = buffer.content().chunks(usize::from(buffer.area.width));
        cells.into_iter().find_map(|line| {
            let text: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
            let mut words = text.split_whitespace();
            words.next().filter(|word| *word == ">")?;
            words.next()?.replace(',', "").parse().ok()
        })
    }

    /// Draws until something is so; says how long ago it began.
    fn wait_for(&mut self, began: Instant, is_so: impl Fn(&Self) -> bool) -> Duration {
        loop {
            self.draw();
            if is_so(self) {
                return began.elapsed();
            }
            assert!(began.elapsed() < Duration::from_secs(600), "it never comes");
            self.app.wait(Duration::from_millis(1));
        }
    }

    /// Draws until some words are there; says how long that took.
    fn until(&mut self, words: &str) -> Duration {
        self.wait_for(Instant::now(), |drive| drive.shows(words))
    }

    fn report(&mut self, what: &str, figure: Duration, budget: u64) {
        let budget = Duration::from_millis(budget);
        let holds = figure <= budget;
        self.missed |= !holds;
        let word = if holds { "holds" } else { "MISSED" };
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let ratio = ms(figure) / ms(budget);
        println!(
            "{what:<34} {:>9.2} ms   budget {:>5} ms   {ratio:>6.2}   {word}",
            ms(figure),
            budget.as_millis()
        );
    }

    /// Presses a key again and again, as fast as it is drawn, and says what 99 of 100 frames take.
    fn hold_down(&mut self, what: &str, code: KeyCode, times: usize) {
        let mut frames: Vec<Duration> = (0..times)
            .map(|_| {
                let began = Instant::now();
                self.press(code);
                self.app.wait(Duration::ZERO);
                self.draw();
                began.elapsed()
            })
            .collect();
        frames.sort();
        self.report(what, frames[times * 99 / 100], 16);
    }
}

fn options(path: &Path) -> Options {
    Options {
        source: Source::Log(LogDir::open_to_read(path).unwrap()),
        signer: None,
        clock: Arc::new(SystemClock::new().unwrap()),
        trust: None,
        name: "log".to_owned(),
        command: "tacho view".to_owned(),
        theme: Theme::Dark,
        ascii: false,
        keys: Keymap::default(),
        screen: Screen::Timeline,
        filter: String::new(),
        seq: None,
    }
}

fn submit(log: &Log) -> Pending {
    let event = r#"{"kind":"message","actor":{"type":"agent","id":"quill"},"body":{"speaker":"assistant"},"content":{"text":"a word while somebody scrolls"}}"#;
    let draft = log.draft(Reported::from_json(event).unwrap(), Way::api(0));
    log.submit(draft.unwrap()).unwrap()
}

fn settings() -> tacho_recorder::log::Options {
    tacho_recorder::log::Options::new(Arc::new(SystemClock::new().unwrap()), "drive")
}

/// Makes a log of so many records and what belongs to it.
fn make(path: &Path, records: u64) {
    let identity = keys::generate().unwrap();
    let beginning = Beginning {
        path,
        origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
        identity: &identity,
        predecessor: None,
    };
    let log = Log::create(beginning, settings()).unwrap();
    let mut left = records;
    while left > 0 {
        let batch: Vec<_> = (0..left.min(1000)).map(|_| submit(&log)).collect();
        left -= u64::try_from(batch.len()).unwrap();
        batch
            .into_iter()
            .for_each(|ticket| drop(ticket.wait().unwrap()));
    }
    log.close().unwrap();
}

/// Appends at a rate until told to stop, and tells the newest that is durable; says how many.
fn append(
    path: PathBuf,
    stop: Arc<AtomicBool>,
    newest: Arc<AtomicU64>,
) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let log = Log::open(&path, settings()).unwrap();
        let (began, mut done) = (Instant::now(), 0_u32);
        while !stop.load(Ordering::Relaxed) {
            let due = (began.elapsed() * RATE).as_secs();
            let behind = u32::try_from(due).unwrap_or(u32::MAX).saturating_sub(done);
            let batch: Vec<_> = (0..behind.min(500)).map(|_| submit(&log)).collect();
            done += u32::try_from(batch.len()).unwrap();
            for ticket in batch {
                newest.store(ticket.wait().unwrap().seq.0, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        log.close().unwrap();
        u64::from(done)
    })
}

/// Bytes that the process holds, and CPU time that it used.
fn usage() -> (u64, Duration) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = [11, 12]
        .map(|at: usize| fields[at].parse::<u64>().unwrap())
        .iter()
        .sum();
    (
        kib.parse::<u64>().unwrap() << 10,
        Duration::from_millis(ticks * 10),
    )
}

const USAGE: &str = "\
usage: drive LOG [--make RECORDS] [--append]
  LOG             the directory of a log
  --make RECORDS  makes a log of so many records there first; nothing may be there yet
  --append        appends 5,000 records a second meanwhile: use a copy";

/// What is asked of us.
struct Asked {
    log: PathBuf,
    make: Option<u64>,
    append: bool,
}

impl Asked {
    fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut log, mut make, mut append) = (None, None, false);
        let mut words = words;
        while let Some(word) = words.next() {
            match word.as_str() {
                "--append" => append = true,
                "--make" => {
                    let records = words.next().ok_or("--make wants a number of records")?;
                    let number = records.replace([',', '_'], "").parse();
                    make =
                        Some(number.map_err(|_| format!("`{records}` is no number of records"))?);
                }
                option if option.starts_with('-') => {
                    return Err(format!("there is no `{option}`"));
                }
                _ if log.is_some() => return Err(format!("one log, not also `{word}`")),
                _ => log = Some(PathBuf::from(word)),
            }
        }
        let log = log.ok_or("which log?")?;
        match (make, log.exists()) {
            (Some(_), true) => Err(format!("`{}` is there already", log.display())),
            (None, false) => Err(format!("there is no `{}`", log.display())),
            _ => Ok(Self { log, make, append }),
        }
    }
}

fn main() -> ExitCode {
    let asked = match Asked::read(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (path, appends) = (asked.log, asked.append);
    if let Some(records) = asked.make {
        make(&path, records);
    }
    let began = Instant::now();
    let mut drive = Drive {
        app: App::new(options(&path)).unwrap(),
        terminal: Terminal::new(TestBackend::new(160, 50)).unwrap(),
        missed: false,
    };
    let painted = drive.wait_for(began, |drive| drive.shows(">"));
    drive.report("first paint", painted, 100);
    let mut draws: Vec<Duration> = (0..500)
        .map(|_| {
            let began = Instant::now();
            drive.draw();
            began.elapsed()
        })
        .collect();
    draws.sort();
    drive.report("draw at 160x50, median", draws[250], 3);
    drive.hold_down("scrolling up, p99", KeyCode::Char('k'), 1000);
    drive.hold_down("pages up, p99", KeyCode::PageUp, 1000);
    println!("the index and the first verification are waited for");
    let began = Instant::now();
    while !drive.app.settle(Duration::from_secs(3600)) {}
    println!(
        "{:<34} {:>9.2} s",
        "index and all else",
        began.elapsed().as_secs_f64()
    );
    let reader = Reader::open(&LogDir::open_to_read(&path).unwrap()).unwrap();
    let last = reader.snapshot().unwrap().last_seq().unwrap().unwrap_or(0);
    let (mut row, mut answers) = (Duration::ZERO, Duration::ZERO);
    for part in [1, 777, 500, 123, 2, 999, 0, 666] {
        let seq = last / 1000 * part;
        drive.press(KeyCode::Char('#'));
        drive.type_in(&seq.to_string());
        let began = Instant::now();
        drive.press(KeyCode::Enter);
        row = row.max(drive.wait_for(began, |drive| drive.cursor() == Some(seq)));
        let title = format!("#{}  ", thousands(seq));
        answers = answers.max(drive.wait_for(began, |drive| drive.shows(&title)));
    }
    drive.report("jump, slowest of 8", row, 20);
    println!(
        "{:<34} {:>9.2} ms",
        "jump, with its answers",
        answers.as_secs_f64() * 1000.0
    );
    drive.press(KeyCode::Char('/'));
    drive.type_in("kind:message");
    let began = Instant::now();
    drive.press(KeyCode::Enter);
    // Until the rows are there, none has the cursor.
    drive.until(">");
    drive.report("first hits", began.elapsed(), 100);
    drive.press(KeyCode::Esc);
    drive.app.settle(Duration::from_secs(600));
    if appends {
        let stop = Arc::new(AtomicBool::new(false));
        let newest = Arc::new(AtomicU64::new(0));
        let writer = append(path, Arc::clone(&stop), Arc::clone(&newest));
        std::thread::sleep(Duration::from_secs(1));
        drive.hold_down(
            "scrolling while 5,000/s come, p99",
            KeyCode::Char('k'),
            2000,
        );
        drive.press(KeyCode::Char('f'));
        let began = Instant::now();
        let (mut seen, mut slowest) = (0, Duration::ZERO);
        while began.elapsed() < Duration::from_secs(5) {
            let (durable, since) = (newest.load(Ordering::Relaxed), Instant::now());
            slowest = slowest.max(drive.wait_for(since, |drive| {
                drive.cursor().is_some_and(|seq| seq >= durable)
            }));
            seen += 1;
            drive.app.wait(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
        println!(
            "{:<34} {:>9} appended, the newest seen {seen} times in 5 s",
            "following",
            writer.join().unwrap()
        );
        drive.report("new record to screen, slowest", slowest, 250);
        drive.app.settle(Duration::from_secs(600));
    }
    let (_, before) = usage();
    let mut drawn = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        drawn += u32::from(drive.app.wait(Duration::from_secs(5)));
    }
    let (bytes, after) = usage();
    println!(
        "{:<34} {drawn} redraws, {} ms of CPU in 5 s",
        "idle",
        (after - before).as_millis()
    );
    println!(
        "{:<34} {:>9} MB   budget   100 MB",
        "memory, at most",
        bytes >> 20
    );
    drive.missed |= bytes > 100 << 20;
    ExitCode::from(u8::from(drive.missed))
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
