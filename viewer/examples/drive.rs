//! Drives the real viewer over a log and measures what its user waits for: `cargo run --release -p tacho-viewer --example drive -- LOG`.
//!
//! Budgets at ten million records, in words: first paint 100 ms, key to frame 16 ms (99 of 100), jump 20 ms, first hits 100 ms.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a tool of ours, not of the product"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tacho_recorder::{LogDir, SystemClock};
use tacho_viewer::{App, Event, Keymap, Options, Screen, Theme};

struct Drive {
    app: App,
    terminal: Terminal<TestBackend>,
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

    /// Draws until some words are there; says how long that took.
    fn until(&mut self, words: &str) -> Duration {
        let began = Instant::now();
        loop {
            self.draw();
            if self.shows(words) {
                return began.elapsed();
            }
            assert!(
                began.elapsed() < Duration::from_secs(600),
                "`{words}` never came"
            );
            self.app.wait(Duration::from_millis(1));
        }
    }
}

fn main() {
    let path = std::env::args().nth(1).expect("the directory of a log");
    let began = Instant::now();
    let options = Options {
        dir: LogDir::open_to_read(Path::new(&path)).unwrap(),
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
    };
    let mut drive = Drive {
        app: App::new(options).unwrap(),
        terminal: Terminal::new(TestBackend::new(160, 50)).unwrap(),
    };
    drive.until(">");
    println!("first paint       {:?}", began.elapsed());
    for (name, keys) in [
        ("scrolling up", KeyCode::Char('k')),
        ("pages up", KeyCode::PageUp),
    ] {
        let mut frames: Vec<Duration> = (0..1000)
            .map(|_| {
                let began = Instant::now();
                drive.press(keys);
                drive.app.wait(Duration::ZERO);
                drive.draw();
                began.elapsed()
            })
            .collect();
        frames.sort();
        println!(
            "{name:<17} median {:?}, 99 of 100 within {:?}",
            frames[500], frames[990]
        );
    }
    let mut slowest = Duration::ZERO;
    for seq in [1_u64, 777, 5_000, 12_345, 2, 60_000] {
        drive.press(KeyCode::Char('#'));
        drive.type_in(&seq.to_string());
        drive.press(KeyCode::Enter);
        let began = Instant::now();
        drive.until(">");
        slowest = slowest.max(began.elapsed());
    }
    println!("jump, slowest     {slowest:?}");
    drive.press(KeyCode::Char('/'));
    drive.type_in("kind:message");
    let began = Instant::now();
    drive.press(KeyCode::Enter);
    drive.until("match");
    println!("first hits        {:?}", began.elapsed());
    let began = Instant::now();
    drive.app.settle(Duration::from_secs(3600));
    println!("all else done     {:?}", began.elapsed());
}
