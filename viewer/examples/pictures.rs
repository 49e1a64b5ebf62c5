//! Makes the pictures of the README: `cargo run -p tacho-viewer --example pictures`.
//!
//! Real runs of other people's systems from `fixtures/` are imported into a log in a temporary directory, keys are pressed, and
//! the screen is written as SVG: text, so that it stays sharp, small, and searchable.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a tool of ours, not of the product"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use tacho_recorder::clock::TestClock;
use tacho_recorder::import::{Known, Request, import};
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::read::View;
use tacho_recorder::{LogDir, Reader, keys};
use tacho_schemas::Origin;
use tacho_viewer::{App, Event, Keymap, Screen, Source, Theme};

#[path = "../tests/viewer/gated.rs"]
mod gated;

use gated::NOW;

const FILES: [&str; 3] = [
    "lineages/codeevolve/island1.jsonl",
    "lineages/adas/mgsm_gpt3.5_results.json",
    "traces/codex/made-modern.jsonl",
];

/// Name, cells, keys.
const PICTURES: [(&str, (u16, u16), &str); 6] = [
    ("timeline", (132, 34), "# 75 enter"),
    ("lineage", (132, 30), "# 76 enter 4 s"),
    ("diff", (132, 34), "# 84 enter d"),
    ("replay", (100, 28), "# 75 enter 5"),
    ("health", (100, 20), "7"),
    ("approve", (100, 26), "6 A pause 07"),
];

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::set_current_dir(&root).unwrap();
    let clock = Arc::new(TestClock::new(NOW, 1_000_000_000));
    let imported = make(&dir.path().join("imported"), &clock, import_all);
    // What the gate writes, without a gate.
    let held = make(&dir.path().join("held"), &clock, |log| {
        gated::fill(log, false)
    });
    for (name, size, keys) in PICTURES {
        let (path, signer) = match name {
            "approve" => (&held, Some("ana".to_owned())),
            _ => (&imported, None),
        };
        let options = tacho_viewer::Options {
            source: Source::Log(LogDir::open_to_read(path).unwrap()),
            signer,
            clock: clock.clone(),
            trust: None,
            name: "planner".to_owned(),
            command: "tacho view".to_owned(),
            theme: Theme::Dark,
            ascii: false,
            keys: Keymap::default(),
            screen: Screen::Timeline,
            filter: String::new(),
            seq: None,
        };
        let mut app = App::new(options).unwrap();
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        let mut settle = |app: &mut App| {
            for _ in 0..3 {
                assert!(app.settle(Duration::from_secs(120)));
                terminal.draw(|frame| app.draw(frame)).unwrap();
            }
        };
        settle(&mut app);
        for word in keys.split_whitespace() {
            let codes = match word {
                "enter" => vec![KeyCode::Enter],
                "pause" => {
                    // As long as a dialog hears nothing.
                    std::thread::sleep(Duration::from_millis(350));
                    continue;
                }
                word => word.chars().map(KeyCode::Char).collect(),
            };
            for code in codes {
                app.handle(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
                settle(&mut app);
            }
        }
        let file = Path::new("docs").join(format!("{name}.svg"));
        std::fs::write(&file, svg(terminal.backend().buffer())).unwrap();
        println!("{}", file.display());
    }
}

fn make(path: &Path, clock: &Arc<TestClock>, fill: impl FnOnce(&Log)) -> PathBuf {
    let identity = keys::generate().unwrap();
    let beginning = Beginning {
        path,
        origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
        identity: &identity,
        predecessor: None,
    };
    let options = Options::new(clock.clone(), "pictures").for_import();
    let log = Log::create(beginning, options).unwrap();
    fill(&log);
    log.close().unwrap();
    path.to_owned()
}

fn import_all(log: &Log) {
    for file in FILES {
        let reader = Reader::open(&LogDir::open_to_read(log.path()).unwrap()).unwrap();
        let request = Request {
            path: Path::new("fixtures").join(file),
            format: None,
            range: None,
            again: false,
        };
        let view = View::new(&reader).unwrap();
        import(log, &view, &request, &mut Known::default(), &mut |_, _| ()).unwrap();
    }
}

const BACK: &str = "#12161c";
const FORE: &str = "#d5dae1";

fn colour(colour: Color) -> &'static str {
    match colour {
        Color::Black => "#2a2f37",
        Color::Red => "#d1605a",
        Color::LightRed => "#ff7b72",
        Color::Green => "#8fc379",
        Color::Yellow => "#e0b252",
        Color::Blue => "#4f8fe0",
        Color::LightBlue => "#79b8ff",
        Color::Magenta => "#c792ea",
        Color::Cyan => "#56c8d8",
        Color::DarkGray => "#7d8794",
        _ => FORE,
    }
}

/// The screen as SVG; 9 by 19 units a cell.
fn svg(buffer: &Buffer) -> String {
    const CELL: (u16, u16) = (9, 19);
    const EDGE: u16 = 14;
    let area = buffer.area;
    let (width, height) = (
        area.width * CELL.0 + 2 * EDGE,
        area.height * CELL.1 + 2 * EDGE,
    );
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"15\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{BACK}\"/>\n"
    );
    for y in area.top()..area.bottom() {
        let mut x = area.left();
        while x < area.right() {
            let first = &buffer[(x, y)];
            let style = (first.fg, first.modifier);
            let begin = x;
            let mut text = String::new();
            while x < area.right() && (buffer[(x, y)].fg, buffer[(x, y)].modifier) == style {
                text.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            let reversed = style.1.contains(Modifier::REVERSED);
            let (left, cells) = (begin * CELL.0 + EDGE, (x - begin) * CELL.0);
            let top = y * CELL.1 + EDGE;
            if reversed {
                writeln!(out, "<rect x=\"{left}\" y=\"{top}\" width=\"{cells}\" height=\"{}\" fill=\"{FORE}\"/>", CELL.1)
                    .unwrap();
            }
            if text.trim().is_empty() {
                continue;
            }
            let fill = if reversed { BACK } else { colour(style.0) };
            let mut more = String::new();
            if style.1.contains(Modifier::BOLD) {
                more.push_str(" font-weight=\"bold\"");
            }
            if style.1.contains(Modifier::ITALIC) {
                more.push_str(" font-style=\"italic\"");
            }
            if style.1.contains(Modifier::UNDERLINED) {
                more.push_str(" text-decoration=\"underline\"");
            }
            // What stands left and right of the words is not text.
            let lead = u16::try_from(text.len() - text.trim_start().len()).unwrap();
            let text = text.trim();
            let cells = u16::try_from(unicode_width::UnicodeWidthStr::width(text)).unwrap();
            writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" textLength=\"{}\" xml:space=\"preserve\" fill=\"{fill}\"{more}>{}</text>",
                left + lead * CELL.0,
                top + 14,
                cells * CELL.0,
                text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
            )
            .unwrap();
        }
    }
    out.push_str("</svg>\n");
    out
}
