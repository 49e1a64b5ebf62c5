//! Random keys and mouse on sound, hostile and broken logs: no panic, no write, no unescaped byte of the log on the wire.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use tacho_recorder::draft::Way;
use tacho_recorder::{LogDir, Reader};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event as Reported;
use tacho_viewer::{App, Deed, Effect, Event, Options, Source, Theme};

use super::support::{Made, by_name, make, options, unpack};

/// What an agent may say that a terminal would obey, or that would hide something.
const HOSTILE: &str = "\x1b]0;PWNED\x07\x1b[31mHOSTILE\x1b[2J\u{9b}31m\u{202e}gnp.exe\u{200b}\x08\r\x7f a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}";

fn hostile() -> Made {
    make(|log| {
        let mut said = Vec::new();
        for (kind, body, field) in [
            (
                "session",
                r#"{"phase":"open","agent":"quill"}"#,
                Field::Name,
            ),
            ("message", r#"{"speaker":"assistant"}"#, Field::Text),
            (
                "action",
                r#"{"tool":"Bash","rationale":{"source":"given"}}"#,
                Field::Summary,
            ),
            ("outcome", r#"{"status":"failed"}"#, Field::Output),
            (
                "mutation",
                r#"{"parts":["prompt"],"change":"modify","known":"declared","rationale":{"source":"given"}}"#,
                Field::Reasoning,
            ),
            ("generation", r#"{"fate":"alive"}"#, Field::Name),
            ("evaluation", r#"{"passed":false}"#, Field::Error),
        ] {
            let text = format!(
                r#"{{"kind":"{kind}","actor":{{"type":"agent","id":"quill"}},"body":{body}}}"#
            );
            let mut event = Reported::from_json(&text).unwrap();
            for n in 0..3 {
                event = event.with(field, format!("{n} {HOSTILE}\n{HOSTILE}"));
            }
            if kind == "mutation" {
                event = event.with(Field::Path, HOSTILE);
                for (role, text) in [
                    (tacho_schemas::record::Role::Before, HOSTILE.to_owned()),
                    (
                        tacho_schemas::record::Role::After,
                        format!("{HOSTILE} after\n{HOSTILE}"),
                    ),
                ] {
                    event.artefacts.push(tacho_schemas::event::Attachment {
                        role,
                        path: Some(HOSTILE.to_owned()),
                        media_type: None,
                        unredacted_blake3: None,
                        bytes: text.into_bytes(),
                    });
                }
            }
            event.causes = said.clone();
            said.push(log.append(event, Way::api(0)).unwrap().seq);
        }
    })
}

/// The raw stream to a terminal.
#[derive(Clone, Default)]
struct Wire(Rc<RefCell<Vec<u8>>>);

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sees that a stream has only what a drawing library writes: text, and sequences that move, colour and clear.
fn check_wire(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\x1b' {
            assert!(!c.is_control(), "{c:?} is on the wire");
            let hidden = matches!(u32::from(c), 0x200b..=0x200f | 0x202a..=0x202e | 0x2066..=0x2069 | 0xfeff);
            assert!(!hidden, "{c:?} is on the wire");
            continue;
        }
        assert_eq!(chars.next(), Some('['), "another sequence than CSI");
        let last = chars
            .by_ref()
            .find(|c| !(c.is_ascii_digit() || ";?:".contains(*c)));
        assert!(last.is_some_and(|c| "mHJKhl".contains(c)), "CSI … {last:?}");
    }
    for words in ["\x1b[31mHOSTILE", "\x1b]0", "PWNED\x07"] {
        assert!(!text.contains(words), "{words:?}");
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        // xorshift64 (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn event(&mut self) -> Event {
        const KEYS: [KeyCode; 16] = [
            KeyCode::Enter,
            KeyCode::Esc,
            KeyCode::Tab,
            KeyCode::BackTab,
            KeyCode::Backspace,
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::Left,
            KeyCode::Right,
            KeyCode::PageUp,
            KeyCode::PageDown,
            KeyCode::Home,
            KeyCode::End,
            KeyCode::Delete,
            KeyCode::F(3),
            KeyCode::Insert,
        ];
        let modifiers = match self.next(12) {
            0 => KeyModifiers::CONTROL,
            1 => KeyModifiers::ALT,
            _ => KeyModifiers::NONE,
        };
        match self.next(10) {
            0 => {
                let kind = match self.next(4) {
                    0 => MouseEventKind::ScrollDown,
                    1 => MouseEventKind::ScrollUp,
                    2 => MouseEventKind::Drag(MouseButton::Left),
                    _ => MouseEventKind::Down(MouseButton::Left),
                };
                Event::Mouse(MouseEvent {
                    kind,
                    column: self.next(170) as u16,
                    row: self.next(60) as u16,
                    modifiers,
                })
            }
            1 if self.next(20) == 0 => Event::Paste(HOSTILE.to_owned()),
            1 | 2 => Event::Key(KeyEvent::new(KEYS[self.next(KEYS.len())], modifiers)),
            3 => Event::Key(KeyEvent::new(
                KeyCode::Char(['日', 'é', '\u{301}', '\u{202e}'][self.next(4)]),
                modifiers,
            )),
            _ => {
                let c = char::from(b' ' + self.next(95) as u8);
                Event::Key(KeyEvent::new(KeyCode::Char(c), modifiers))
            }
        }
    }
}

/// Every file of a log but the index, which is a convenience.
fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // SQLite's own, for readers of a live database; and the index.
        if name.starts_with("index.db") || name.ends_with("-shm") || name.ends_with("-wal") {
            continue;
        }
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(
                contents(&entry.path())
                    .into_iter()
                    .map(|(n, b)| (format!("{name}/{n}"), b)),
            ),
            false => drop(all.insert(name, fs::read(entry.path()).unwrap())),
        }
    }
    all
}

fn storm(path: &Path, seed: u64, events: usize) {
    let before = contents(path);
    let sizes = [(80, 24), (160, 50), (61, 16), (40, 10), (200, 20)];
    let mut random = Random(seed | 1);
    let options = Options {
        // Half of the storms hold a key; words that are typed by chance stand for no request.
        signer: seed.is_multiple_of(2).then(|| "ana".to_owned()),
        ..options(Source::Log(LogDir::open_to_read(path).unwrap()))
    };
    let mut app = App::new(options).unwrap();
    let wire = Wire::default();
    let mut done = 0;
    while done < events {
        let (width, height) = sizes[random.next(sizes.len())];
        let viewport = Viewport::Fixed(Rect::new(0, 0, width, height));
        let backend = CrosstermBackend::new(wire.clone());
        let mut terminal = Terminal::with_options(backend, TerminalOptions { viewport }).unwrap();
        for _ in 0..random.next(200) {
            done += 1;
            app.handle(random.event());
            let answered = app.effects().into_iter().any(
                |effect| matches!(effect, Effect::Do(deed) if !matches!(deed, Deed::Export { .. })),
            );
            assert!(!answered, "random keys signed for something");
            if random.next(4) == 0 {
                app.wait(std::time::Duration::from_millis(1));
            }
            terminal.draw(|frame| app.draw(frame)).unwrap();
        }
        check_wire(&wire.0.borrow());
        wire.0.borrow_mut().clear();
    }
    app.settle(std::time::Duration::from_secs(60));
    drop(app);
    assert_eq!(before, contents(path), "something was written");
}

/// So many events on each log: 5,000 in all unless the environment asks for more.
fn events(logs: usize) -> usize {
    let all = std::env::var("TACHO_EVENTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(5_000);
    all / logs
}

#[test]
fn random_keys_on_sound_and_hostile_logs() {
    let hostile = hostile();
    for (seed, path) in [
        (0x9e37_79b9, by_name("codeevolve").path()),
        (0x85eb_ca6b, by_name("claude").path()),
        (0xc2b2_ae35, by_name("gated").path()),
        (0x27d4_eb2f, hostile.path()),
    ] {
        storm(&path, seed, events(5));
    }
}

#[test]
fn random_keys_on_broken_logs() {
    let cases = super::support::fixture_logs();
    for (seed, case) in (1..).zip(&cases) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        unpack(&case.join("log"), &path);
        let readable = LogDir::open_to_read(&path).is_ok_and(|dir| Reader::open(&dir).is_ok());
        if readable {
            storm(&path, seed * 0x9e37_79b9, events(5 * cases.len()).max(10));
        }
    }
}

#[test]
fn what_an_agent_says_is_shown_and_not_obeyed() {
    let hostile = hostile();
    for keys in [
        "# 3 enter",
        "# 4 enter 2",
        "# 6 enter 2",
        "# 6 enter d",
        "# 7 enter 4",
        "# 6 enter 5",
        "/ gnp enter",
    ] {
        let mut watch = super::support::Watch::open(&hostile.path(), (160, 50), Theme::Dark);
        watch.keys(keys);
        let text = watch.text();
        assert!(text.contains("\\x1b"), "{keys}:\n{text}");
        assert!(
            !text.contains('\x1b') && !text.contains('\u{202e}'),
            "{keys}"
        );
    }
}
