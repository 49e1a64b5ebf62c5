//! Logs made of the fixtures, and a viewer on them without a terminal.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use tacho_recorder::clock::TestClock;
use tacho_recorder::import::{Known, Request, import};
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::read::View;
use tacho_recorder::{LogDir, Reader, keys};
use tacho_schemas::Origin;
use tacho_viewer::{App, Effect, Event, Keymap, Screen, Source, Theme};
use tempfile::TempDir;

use super::gated::{self, NOW};
pub(crate) use crate::unpack::unpack;

/// A log that all tests of a process share; nothing is written to it.
#[derive(Debug)]
pub(crate) struct Made {
    dir: TempDir,
}

impl Made {
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

pub(crate) fn clock() -> Arc<TestClock> {
    Arc::new(TestClock::new(NOW, 1_000_000_000))
}

/// Makes a log and lets `fill` write to it.
pub(crate) fn make(fill: impl FnOnce(&Log)) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let identity = keys::generate().unwrap();
    let beginning = Beginning {
        path: &path,
        origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
        identity: &identity,
        predecessor: None,
    };
    let log = Log::create(beginning, Options::new(clock(), "test").for_import()).unwrap();
    fill(&log);
    log.close().unwrap();
    Made { dir }
}

/// A log of the fixtures that somebody changed.
pub(crate) fn attacked(name: &str) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let from = Path::new("../fixtures/logs").join(name).join("log");
    unpack(&from, &dir.path().join("log"));
    Made { dir }
}

/// Imports files of the fixtures; their paths stand in the records, so they are relative.
pub(crate) fn imported(files: &[&str]) -> Made {
    make(|log| {
        let mut known = Known::default();
        for file in files {
            let reader = Reader::open(&LogDir::open_to_read(log.path()).unwrap()).unwrap();
            let request = Request {
                path: Path::new("../fixtures").join(file),
                format: None,
                range: None,
                again: false,
            };
            let view = View::new(&reader).unwrap();
            import(log, &view, &request, &mut known, &mut |_, _| ()).unwrap();
        }
    })
}

macro_rules! logs {
    ($($name:ident = [$($file:literal),+]),+ $(,)?) => {
        /// A log by its name in scripts.
        pub(crate) fn by_name(name: &str) -> &'static Made {
            $( static $name: LazyLock<Made> = LazyLock::new(|| imported(&[$($file),+])); )+
            static NEWER: LazyLock<Made> = LazyLock::new(|| attacked("newer-tables"));
            static FOREIGN: LazyLock<Made> = LazyLock::new(|| attacked("application-id"));
            static DROPPED: LazyLock<Made> = LazyLock::new(|| attacked("drop-all"));
            static EDIT: LazyLock<Made> = LazyLock::new(|| attacked("edit"));
            static VAULT_EDIT: LazyLock<Made> = LazyLock::new(|| attacked("vault-edit"));
            static EMPTY_HANDED: LazyLock<Made> = LazyLock::new(|| make(|_| ()));
            static GATED: LazyLock<Made> = LazyLock::new(|| make(|log| gated::fill(log, true)));
            match name.trim_start_matches("bundle-").to_uppercase().as_str() {
                $( stringify!($name) => &$name, )+
                "EDIT" => &EDIT,
                "NEWER-TABLES" => &NEWER,
                "APPLICATION-ID" => &FOREIGN,
                "DROP-ALL" => &DROPPED,
                "VAULT-EDIT" => &VAULT_EDIT,
                "EMPTY_HANDED" => &EMPTY_HANDED,
                "GATED" => &GATED,
                other => panic!("there is no log `{other}`"),
            }
        }
    };
}

logs! {
    CODEEVOLVE = ["lineages/codeevolve/island1.jsonl"],
    OPENEVOLVE = ["lineages/openevolve/checkpoint_90"],
    ADAS = ["lineages/adas/mgsm_gpt3.5_results.json"],
    CLAUDE = ["traces/claude-code/edge_cases.jsonl", "traces/claude-code/representative_messages.jsonl"],
    CODEX = ["traces/codex/made-modern.jsonl"],
}

pub(crate) fn fixture_logs() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir("../fixtures/logs")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    all.sort();
    all
}

/// What tests look at, and how.
pub(crate) fn options(source: Source) -> tacho_viewer::Options {
    tacho_viewer::Options {
        source,
        signer: None,
        clock: clock(),
        trust: None,
        name: "planner".to_owned(),
        command: "tacho view".to_owned(),
        theme: Theme::Dark,
        ascii: false,
        keys: Keymap::default(),
        screen: Screen::Timeline,
        filter: String::new(),
        seq: None,
    }
}

/// A viewer with a screen of its own.
pub(crate) struct Watch {
    pub(crate) app: App,
    pub(crate) terminal: Terminal<TestBackend>,
    pub(crate) effects: Vec<Effect>,
}

impl Watch {
    pub(crate) fn open(path: &Path, size: (u16, u16), theme: Theme) -> Self {
        Self::with(path, size, |options| options.theme = theme)
    }

    pub(crate) fn with(
        path: &Path,
        size: (u16, u16),
        change: impl FnOnce(&mut tacho_viewer::Options),
    ) -> Self {
        let source = match path {
            // Another source comes with the change.
            path if path == Path::new(".") => Source::Bundle(PathBuf::new()),
            path => Source::Log(LogDir::open_to_read(path).unwrap()),
        };
        let mut options = options(source);
        change(&mut options);
        let mut watch = Self {
            app: App::new(options).unwrap(),
            terminal: Terminal::new(TestBackend::new(size.0, size.1)).unwrap(),
            effects: Vec::new(),
        };
        watch.settle();
        watch
    }

    /// Draws and answers until nothing is left to answer.
    pub(crate) fn settle(&mut self) {
        for _ in 0..4 {
            let settled = self.app.settle(Duration::from_secs(180));
            assert!(settled, "it never settles: {}", self.app.open_questions());
            self.draw();
        }
        self.effects.extend(self.app.effects());
    }

    pub(crate) fn draw(&mut self) {
        let app = &mut self.app;
        self.terminal.draw(|frame| app.draw(frame)).unwrap();
    }

    /// Types keys as scripts write them; answers are waited for after each.
    pub(crate) fn keys(&mut self, script: &str) -> &mut Self {
        for word in script.split_whitespace() {
            if word == "pause" {
                // As long as a dialog hears nothing.
                std::thread::sleep(Duration::from_millis(350));
            } else {
                for key in keys_of(word) {
                    self.app.handle(Event::Key(key));
                    self.settle();
                }
            }
        }
        self
    }

    pub(crate) fn buffer(&self) -> &Buffer {
        self.terminal.backend().buffer()
    }

    /// What the screen shows, without what differs from run to run.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for line in lines(self.buffer()) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

pub(crate) fn lines(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    (area.top()..area.bottom())
        .map(|y| {
            let mut line = String::new();
            let mut wide = 0;
            for x in area.left()..area.right() {
                let symbol = buffer[(x, y)].symbol();
                if wide > 0 {
                    wide -= 1;
                    continue;
                }
                wide = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
                line.push_str(symbol);
            }
            line
        })
        .collect()
}

/// How each cell looks, by letters with a legend; a row without styles is left out.
pub(crate) fn styles(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut legend: Vec<Style> = Vec::new();
    let mut rows = String::new();
    for y in area.top()..area.bottom() {
        let mut row = String::new();
        for x in area.left()..area.right() {
            let cell = &buffer[(x, y)];
            let style = Style {
                fg: Some(cell.fg),
                bg: Some(cell.bg),
                add_modifier: cell.modifier,
                ..Style::default()
            };
            let plain = cell.fg == Color::Reset
                && cell.bg == Color::Reset
                && cell.modifier == Modifier::empty();
            if plain || cell.symbol() == " " && cell.modifier == Modifier::empty() {
                row.push(' ');
                continue;
            }
            let place = legend
                .iter()
                .position(|known| *known == style)
                .unwrap_or_else(|| {
                    legend.push(style);
                    legend.len() - 1
                });
            row.push(char::from(b'a' + place as u8));
        }
        if !row.trim().is_empty() {
            rows.push_str(&format!("{y:>2} {}\n", row.trim_end()));
        }
    }
    for (place, style) in legend.iter().enumerate() {
        let letter = char::from(b'a' + place as u8);
        rows.push_str(&format!(
            "{letter}: {:?} {:?}\n",
            style.fg.unwrap(),
            style.add_modifier
        ));
    }
    rows
}

/// Keys by their names; every other word is typed letter by letter, `_` in it is a space.
pub(crate) fn keys_of(script: &str) -> Vec<KeyEvent> {
    let mut keys = Vec::new();
    for word in script.split_whitespace() {
        let named = match word {
            "enter" => Some(KeyCode::Enter),
            "esc" => Some(KeyCode::Esc),
            "tab" => Some(KeyCode::Tab),
            "up" => Some(KeyCode::Up),
            "down" => Some(KeyCode::Down),
            "left" => Some(KeyCode::Left),
            "right" => Some(KeyCode::Right),
            "pgup" => Some(KeyCode::PageUp),
            "pgdn" => Some(KeyCode::PageDown),
            "home" => Some(KeyCode::Home),
            "end" => Some(KeyCode::End),
            "backspace" => Some(KeyCode::Backspace),
            "space" => Some(KeyCode::Char(' ')),
            _ => None,
        };
        match (named, word.strip_prefix("ctrl-")) {
            (Some(code), _) => keys.push(KeyEvent::new(code, KeyModifiers::NONE)),
            (None, Some(letter)) => {
                let letter = letter.chars().next().unwrap();
                keys.push(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL));
            }
            (None, None) => {
                let typed = word
                    .chars()
                    .map(|c| if c == '_' && word.len() > 1 { ' ' } else { c });
                keys.extend(typed.map(|c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)));
            }
        }
    }
    keys
}

/// Takes out what differs from run to run: hashes, fingerprints, free space; each by as many signs.
pub(crate) fn settled(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        for (mark, known) in [("SHA256:", 43_usize)] {
            let mut from = 0;
            while let Some(at) = line[from..].find(mark) {
                let begin = from + at + mark.len();
                let end = line[begin..]
                    .char_indices()
                    .find(|(n, c)| *n >= known || !(c.is_ascii_alphanumeric() || "+/".contains(*c)))
                    .map_or(line.len(), |(n, _)| begin + n);
                line.replace_range(begin..end, &"f".repeat(end - begin));
                from = end;
            }
        }
        let mut word = String::new();
        // A hash that is broken goes on where the line before ends.
        let goes_on = out
            .lines()
            .last()
            .is_some_and(|line| line.ends_with(&"0".repeat(40)));
        let begins = line.rfind('│').map_or(0, |at| at + '│'.len_utf8());
        let rest = line[begins..].trim_start();
        let tail = rest
            .split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap_or("");
        if goes_on && tail.chars().all(|c| c.is_ascii_hexdigit()) {
            let at = line.len() - rest.len();
            let zeros = "0".repeat(tail.len());
            line.replace_range(at..at + zeros.len(), &zeros);
        }
        let flush = |word: &mut String, out: &mut String| {
            let hex = word
                .chars()
                .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
            let mixed = word.chars().any(|c| c.is_ascii_digit());
            match word.len() >= 12 && hex && mixed {
                true => out.push_str(&"0".repeat(word.len())),
                false => out.push_str(word),
            }
            word.clear();
        };
        for c in line.chars() {
            if c.is_ascii_alphanumeric() {
                word.push(c);
                continue;
            }
            flush(&mut word, &mut out);
            out.push(c);
        }
        flush(&mut word, &mut out);
        out.push('\n');
    }
    let mut kept = String::new();
    for line in out.lines() {
        // The digits that are typed for a release.
        let masked = line.find("type  ").and_then(|at| {
            let begin = at + "type  ".len();
            let digits = line.get(begin..begin + 8)?;
            let hex = digits.chars().all(|c| c.is_ascii_hexdigit());
            hex.then(|| format!("{}00000000{}", &line[..begin], &line[begin + 8..]))
        });
        let line = masked.as_deref().unwrap_or(line);
        let line = match line.trim_start() {
            l if l.starts_with("disk ") => " disk           (differs)",
            l if l.starts_with("directory ") => " directory      (differs)",
            _ => line,
        };
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}
