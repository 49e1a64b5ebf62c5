//! Verification that is stopped, goes on, and goes on with what is new.

use std::path::Path;

use crossterm::event::KeyEvent;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tacho_recorder::LogDir;
use tacho_recorder::draft::Way;
use tacho_recorder::log::{Log, Options};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event as Record;
use tacho_viewer::{App, Event, Screen, Source};

use super::screens::check;
use super::support::{Watch, clock, imported, keys_of, options, settled, styles};

fn key(text: &str) -> KeyEvent {
    *keys_of(text).first().unwrap()
}

/// Opens the health of a log and stops its verification at once, which begins by itself.
fn stopped(path: &Path, size: (u16, u16)) -> Watch {
    let mut options = options(Source::Log(LogDir::open_to_read(path).unwrap()));
    options.screen = Screen::Health;
    let mut watch = Watch {
        app: App::new(options).unwrap(),
        terminal: Terminal::new(TestBackend::new(size.0, size.1)).unwrap(),
        effects: Vec::new(),
    };
    watch.app.handle(Event::Key(key("v")));
    watch.settle();
    watch
}

#[test]
fn it_is_stopped_and_goes_on_also_with_what_is_new() {
    let made = imported(&["lineages/codeevolve/island1.jsonl"]);
    // It can be too late to stop only on a machine that stands still.
    let sizes = [((80, 24), "80x24"), ((160, 50), "160x50")];
    let mut watches: Vec<Watch> = Vec::new();
    for (size, name) in sizes {
        let watch = (0..5).map(|_| stopped(&made.path(), size));
        let is_stopped = |watch: &Watch| watch.text().contains("256 of ");
        let watch = watch.into_iter().find(is_stopped).unwrap();
        check(&format!("stopped-{name}"), &settled(&watch.text()));
        watches.push(watch);
    }
    check("stopped-colours", &styles(watches[0].buffer()));
    for watch in &mut watches {
        watch.keys("v");
        let text = watch.text();
        assert!(text.contains("is as it was written"), "{text}");
    }
    let log = Log::open(&made.path(), Options::new(clock(), "test")).unwrap();
    let event = r#"{"kind":"message","actor":{"type":"agent","id":"quill"},"body":{"speaker":"assistant"}}"#;
    let event = Record::from_json(event).unwrap();
    log.append(event.with(Field::Text, "one more"), Way::api(0))
        .unwrap();
    for (mut watch, (_, name)) in watches.into_iter().zip(sizes) {
        for _ in 0..1000 {
            watch.app.wait(std::time::Duration::from_millis(10));
            watch.draw();
            let text = watch.text();
            // The answer about the rest comes after the count.
            if text.contains("2 records that came since") && text.contains("process ") {
                break;
            }
        }
        watch.settle();
        let text = settled(&watch.text()).replace(&std::process::id().to_string(), "(differs)");
        check(&format!("since-{name}"), &text);
        watch.keys("v");
        let text = watch.text();
        assert!(text.contains("is as it was written"), "{text}");
        assert!(!text.contains("came since") && !text.contains("since (v)"));
    }
    log.close().unwrap();
}
