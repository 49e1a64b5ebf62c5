//! What comes while somebody looks, and what keeps it from coming.

use std::time::Duration;

use rusqlite::Connection;
use tacho_recorder::LogDir;
use tacho_recorder::draft::Way;
use tacho_recorder::log::{Log, Options};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_viewer::Theme;

use super::screens::check;
use super::support::{Watch, clock, make, settled, styles};

/// Looks at the screen until it is as it should be; false if that takes far too long.
fn until(watch: &mut Watch, is_so: impl Fn(&Watch) -> bool) -> bool {
    (0..6000).any(|_| {
        watch.app.wait(Duration::from_millis(10));
        watch.draw();
        is_so(watch)
    })
}

/// Whether the index covers less than there is.
fn is_behind(watch: &Watch) -> bool {
    let open = watch.app.open_questions();
    let index = open.rsplit("index at ").next().unwrap();
    let (indexed, size) = index.split_once(" of ").unwrap();
    indexed.parse::<u64>().unwrap() < size.parse::<u64>().unwrap()
}

fn say(log: &Log, words: &str) {
    let event = r#"{"kind":"message","actor":{"type":"agent","id":"quill"},"body":{"speaker":"assistant"}}"#;
    let event = Event::from_json(event).unwrap().with(Field::Text, words);
    log.append(event, Way::api(0)).unwrap();
}

#[test]
fn new_records_are_shown_however_far_behind_the_index_is() {
    // The index gives up waiting after two seconds and goes on elsewhere, which is too soon only on a machine that stands still.
    let ahead = (0..5).any(|_| {
        let made = make(|_| ());
        let mut watch = Watch::open(&made.path(), (80, 24), Theme::Dark);
        let index = LogDir::open_to_read(&made.path()).unwrap().index();
        let index = Connection::open(index).unwrap();
        index.execute_batch("BEGIN IMMEDIATE").unwrap();
        let log = Log::open(&made.path(), Options::new(clock(), "test")).unwrap();
        let ahead = ["the first word", "the second word"]
            .into_iter()
            .all(|words| {
                say(&log, words);
                let shown = until(&mut watch, |watch| {
                    // Followed: the newest is the one with the cursor.
                    let text = watch.text();
                    let mut cursor = text.lines().filter(|line| line.starts_with('>'));
                    cursor.any(|line| line.contains(words))
                });
                assert!(shown, "{words} never comes:\n{}", watch.text());
                is_behind(&watch)
            });
        // How fresh the index is stands apart, and it comes after.
        assert!(
            !ahead || watch.text().contains("index "),
            "{}",
            watch.text()
        );
        index.execute_batch("ROLLBACK").unwrap();
        assert!(until(&mut watch, |watch| !is_behind(watch)));
        log.close().unwrap();
        ahead
    });
    assert!(ahead, "the rows wait for the index");
}

#[test]
fn a_locked_log_says_so_and_is_opened_by_itself() {
    let made = make(|_| ());
    let database = LogDir::open_to_read(&made.path()).unwrap().database();
    let other = Connection::open(database).unwrap();
    other
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    let mut watch = Watch::open(&made.path(), (160, 50), Theme::Dark);
    check("locked-160x50", &settled(&watch.text()));
    let why = tacho_viewer::plain(&mut watch.app).unwrap_err();
    assert!(why.contains("locked") && why.contains("fuser"), "{why}");
    watch = Watch::open(&made.path(), (80, 24), Theme::Dark);
    check("locked-80x24", &settled(&watch.text()));
    check("locked-colours", &styles(watch.buffer()));
    drop(other);
    let opened = until(&mut watch, |watch| watch.text().contains("genesis"));
    assert!(opened, "{}", watch.text());
    watch.settle();
    let text = watch.text();
    assert!(!text.contains("locked") && text.contains("whole"), "{text}");
}
