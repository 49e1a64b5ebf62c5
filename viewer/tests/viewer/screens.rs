//! Whole screens against kept ones; the scripts are in `screens.toml`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use serde::Deserialize;
use tacho_recorder::draft::Way;
use tacho_recorder::export::bundle;
use tacho_recorder::export::withhold::Withhold;
use tacho_recorder::filter::Filter;
use tacho_recorder::{LogDir, Reader};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::{Hash, Time};
use tacho_viewer::{App, Deed, Effect, Screen, Source, Theme};
use tempfile::TempDir;

use super::gated::NOW;
use super::support::{Watch, by_name, fixture_logs, make, options, settled, styles, unpack};

#[derive(Deserialize)]
struct Shots {
    shot: Vec<Shot>,
}

#[derive(Deserialize)]
struct Shot {
    name: String,
    log: String,
    keys: String,
    /// Opened with a key of this name.
    signer: Option<String>,
}

const SIZES: [(&str, (u16, u16)); 2] = [("80x24", (80, 24)), ("160x50", (160, 50))];

pub(crate) fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("shots");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn every_screen_looks_as_it_should() {
    let shots: Shots = toml::from_str(include_str!("screens.toml")).unwrap();
    let mut names = BTreeSet::new();
    for shot in &shots.shot {
        for (size_name, size) in SIZES {
            let mut seen: Option<String> = None;
            let mut watch = Watch::with(&by_name(&shot.log).path(), size, |options| {
                options.signer = shot.signer.clone();
                if let Some(bundle) = shot.log.strip_prefix("bundle-") {
                    options.source = Source::Bundle(bundled(bundle));
                    options.name = "march.tacho".to_owned();
                }
            });
            watch.keys(&shot.keys);
            for theme in [Theme::Dark, Theme::Mono] {
                watch.app.set_theme(theme);
                watch.draw();
                let text = settled(&watch.text());
                // Colours are never the only sign: both themes show the same text.
                match &seen {
                    Some(before) => assert_eq!(before, &text, "{}", shot.name),
                    None => check(&format!("{}-{size_name}", shot.name), &text),
                }
                if theme == Theme::Mono {
                    for cell in watch.buffer().content() {
                        let colours = (cell.fg, cell.bg);
                        assert_eq!(colours, Default::default(), "{} sets a colour", shot.name);
                    }
                } else if size_name == "80x24" {
                    check(&format!("{}-colours", shot.name), &styles(watch.buffer()));
                }
                seen = Some(text);
            }
        }
        names.insert(shot.name.clone());
    }
    assert_eq!(names.len(), shots.shot.len(), "two shots have one name");
}

#[test]
fn ascii_has_nothing_else_of_ours() {
    for keys in ["", "2", "4", "5", "6", "7", "?", ": x"] {
        let mut watch = Watch::with(&by_name("gated").path(), (80, 24), |options| {
            options.ascii = true;
        });
        watch.keys(keys);
        let text = watch.text();
        let other: String = text.chars().filter(|c| !c.is_ascii()).collect();
        assert_eq!(other, "", "{keys}:\n{text}");
    }
}

#[test]
fn a_small_window_says_what_it_needs() {
    let watch = Watch::open(&by_name("claude").path(), (52, 14), Theme::Dark);
    assert!(
        watch.text().contains("needs 60x16, have 52x14"),
        "{}",
        watch.text()
    );
}

#[test]
fn broken_logs_say_what_is_wrong_and_show_what_is_proven() {
    let (mut troubled, mut proven) = (0, 0);
    for case in fixture_logs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        unpack(&case.join("log"), &path);
        if !path.join("log.db").exists() {
            continue;
        }
        let mut watch = Watch::open(&path, (80, 24), Theme::Dark);
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let text = watch.text();
        let sound = name.starts_with("sound");
        let broken = text.contains("BROKEN");
        let bad = text.contains("NOT VERIFIED") || text.contains("nothing to verify");
        assert_eq!(broken, bad, "{name}:\n{text}");
        troubled += usize::from(text.contains("Nothing is shown that does not fit"));
        if text.contains("what follows is not shown") {
            proven += 1;
            let end = text.split("#0 to #").nth(1).unwrap();
            let end = end.split(' ').next().unwrap();
            watch.keys("G");
            let last = watch.text();
            let here = last.lines().find(|line| line.starts_with('>'));
            let here = here.and_then(|line| line.split_whitespace().nth(1));
            assert_eq!(here, Some(end), "{name}:\n{last}");
            watch.keys("enter");
            assert!(watch.text().contains("what follows is not shown"), "{name}");
            watch.keys("e");
            assert!(
                watch.text().contains("what is proven"),
                "{name}:\n{}",
                watch.text()
            );
            watch.keys("esc");
        }
        watch.keys("7");
        let text = watch.text();
        let spoken = [
            "NOT VERIFIED",
            "nothing to verify",
            "not anchored",
            "cannot be verified",
            "not all",
        ];
        let warned = spoken.iter().any(|word| text.contains(word));
        assert!(warned || sound, "{name}:\n{text}");
        if sound && name != "sound-no-pin" {
            assert!(!text.contains("NOT VERIFIED"), "{name}:\n{text}");
        }
    }
    assert!(troubled >= 3 && proven >= 5, "{troubled} {proven}");
}

#[test]
fn text_that_was_changed_is_marked_in_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    unpack(Path::new("../fixtures/logs/vault-edit/log"), &path);
    let mut watch = Watch::open(&path, (100, 40), Theme::Dark);
    watch.keys("g");
    let text = watch.text();
    let line = text
        .lines()
        .find(|line| line.contains("is not what was committed to"));
    assert!(line.is_some_and(|line| line.contains('!')), "{text}");
}

#[test]
fn a_log_that_does_not_fit_shows_what_is_still_proven() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    unpack(Path::new("../fixtures/logs/edit/log"), &path);
    let mut watch = Watch::open(&path, (80, 24), Theme::Dark);
    let text = watch.text();
    for words in [
        "NOT VERIFIED past #9",
        "BROKEN · #0 to #9 are proven, what follows is not shown",
        ">    9",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    assert!(!text.contains("   10 "), "{text}");
    watch.keys("7");
    let text = watch.text();
    for words in [
        "differs from what was signed last",
        "Shown is what verification proved, #0 to #9",
        "Proven: #0 to #9.",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    watch.keys("1 enter");
    assert!(
        watch.text().contains("verification proved"),
        "{}",
        watch.text()
    );
    // Somebody writes to it: what was proven is not what lies there.
    let db = std::fs::OpenOptions::new()
        .append(true)
        .open(path.join("log.db"));
    std::io::Write::write_all(&mut db.unwrap(), b"x").unwrap();
    watch.keys("k k d 4");
    for _ in 0..100 {
        watch.app.wait(std::time::Duration::from_millis(20));
        watch.draw();
    }
    assert!(
        watch.text().contains("written to since it was verified"),
        "{}",
        watch.text()
    );
}

/// A bundle of what changed and led to it, without the reasons.
fn bundled(log: &str) -> PathBuf {
    static MADE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap();
    let path = MADE.path().join(format!("{log}.tacho"));
    if !path.exists() {
        let dir = LogDir::open_to_read(&by_name(log).path()).unwrap();
        let filter = Filter::parse("seq:60..90", Time(NOW)).unwrap();
        let ask = bundle::Ask {
            filter: &filter,
            withhold: Withhold::parse(["reasoning"]).unwrap(),
            joins: Vec::new(),
            software: "test",
            made: Time(NOW),
        };
        let reader = Reader::open(&dir).unwrap();
        bundle::write(&dir, &reader, &ask, &path, |_, _| ()).unwrap();
    }
    path
}

#[test]
fn a_bundle_needs_no_log_and_says_what_it_does_not_show() {
    let path = bundled("codeevolve");
    let mut watch = Watch::with(Path::new("."), (120, 40), |options| {
        options.source = Source::Bundle(path.clone());
    });
    let text = watch.text();
    assert!(
        text.contains("bundle, ") && text.contains(" shown"),
        "{text}"
    );
    // The same sentences as of a log, on what the bundle proves.
    watch.keys("# 78 enter enter end");
    let text: Vec<_> = watch.text().split_whitespace().map(str::to_owned).collect();
    let text = text.join(" ");
    for words in [
        "which was verified as it was opened",
        "withheld from this bundle",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    assert!(!text.contains("is gone"), "{text}");
    // A hidden record is there and not shown; so is what it would link to.
    watch.keys("# 55 enter");
    assert!(
        watch.text().contains("not shown in this bundle"),
        "{}",
        watch.text()
    );
    watch.keys("1 / kind:mutation enter");
    assert!(watch.text().contains("match"), "{}", watch.text());
    for keys in ["esc # 77 enter d", "D", "4", "5", "6", "7", "K", "e"] {
        watch.keys(keys);
        assert!(
            !watch.text().contains("cannot"),
            "{keys}:\n{}",
            watch.text()
        );
    }
    let plain = Watch::with(Path::new("."), (80, 24), |options| {
        options.source = Source::Bundle(path.clone());
        options.screen = Screen::Health;
    });
    let lines = tacho_viewer::plain(&mut { plain.app }).unwrap().join("\n");
    assert!(lines.contains("because others need them"), "{lines}");
}

#[test]
fn a_damaged_bundle_is_refused() {
    let bytes = std::fs::read(bundled("codeevolve")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.tacho");
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        std::fs::write(&path, bad).unwrap();
        let options = options(Source::Bundle(path.clone()));
        let why = App::new(options).err();
        let why = why.unwrap_or_else(|| panic!("flipped at {at}, it opens"));
        assert!(
            why.contains("does not verify") || why.contains("is no bundle"),
            "{why}"
        );
    }
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(App::new(options(Source::Bundle(path))).is_err());
}

#[test]
fn a_dialog_wants_words_and_time() {
    let with = |keys: &str, signer: Option<&str>| -> (Vec<Deed>, String) {
        let mut watch = Watch::with(&by_name("gated").path(), (100, 40), |options| {
            options.signer = signer.map(str::to_owned);
        });
        watch.keys(keys);
        let deeds = watch.effects.iter().filter_map(|effect| match effect {
            Effect::Do(deed) => Some(deed.clone()),
            _ => None,
        });
        (deeds.collect(), watch.text())
    };
    let none = [
        // Typed before anybody can have read; Enter alone; the wrong characters; escaped.
        "6 A 0707 enter",
        "6 A pause enter",
        "6 A pause 0708 enter",
        "6 A pause 0707 esc enter",
        "6 X pause tab 0707 enter",
        "K pause all enter",
        "K pause planner tab why enter",
        "R pause 00000000 tab why enter",
        "e pause enter",
    ];
    for keys in none {
        let (deeds, text) = with(keys, Some("ana"));
        assert_eq!(deeds, [], "{keys}:\n{text}");
    }
    for keys in [
        "6 A pause 0707 enter",
        "6 X pause why tab 0707 enter",
        "K pause all tab why enter",
    ] {
        let (deeds, text) = with(keys, None);
        assert_eq!(deeds, [], "{keys}:\n{text}");
    }
    // From the past nothing is done.
    let (deeds, text) = with("5 K pause all tab why enter", Some("ana"));
    assert_eq!(deeds, [], "{text}");
    let (deeds, text) = with("6 A pause 0707 enter", Some("ana"));
    let [
        Deed::Answer {
            approve: true,
            digest,
            reason,
            ..
        },
    ] = deeds.as_slice()
    else {
        panic!("{deeds:?}\n{text}");
    };
    assert_eq!(*digest, Hash([7; 32]));
    assert!(
        reason.starts_with('(') && reason.contains(" lines were seen, "),
        "{reason}"
    );
    let (deeds, _) = with("6 X pause not_today enter 0707 enter", Some("ana"));
    assert!(
        matches!(deeds.as_slice(), [Deed::Answer { approve: false, reason, .. }] if reason.starts_with("not today (")),
        "{deeds:?}"
    );
    let (deeds, _) = with("K pause all enter it_runs_wild enter", Some("ana"));
    let kill = Deed::Kill {
        target: "all".to_owned(),
        reason: "it runs wild".to_owned(),
    };
    assert_eq!(deeds, [kill]);
    let (deeds, _) = with("g space space e pause x.jsonl enter", None);
    let export = Deed::Export {
        filter: "seq:0,1".to_owned(),
        proven: false,
        path: "x.jsonl".to_owned(),
    };
    assert_eq!(deeds, [export]);
}

#[test]
fn a_newer_record_is_listed_with_its_raw_fields() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    unpack(Path::new("../fixtures/logs/newer-kind/log"), &path);
    let mut watch = Watch::open(&path, (80, 24), Theme::Dark);
    watch.keys("7");
    assert!(watch.text().contains("not understood"), "{}", watch.text());
    let text = watch.text();
    let first = text.split("first #").nth(1).unwrap();
    let seq: String = first.chars().take_while(char::is_ascii_digit).collect();
    watch.keys(&format!("1 # {seq} enter enter"));
    let text = watch.text();
    assert!(
        text.contains("not understood") && text.contains("its fields, as they lie there"),
        "{text}"
    );
}

#[test]
fn copies_go_through_the_terminal() {
    let mut watch = Watch::open(&by_name("codeevolve").path(), (80, 24), Theme::Dark);
    watch.keys("/ kind:mutation enter # 77 enter y i y h y r y p y c");
    let copied: Vec<String> = watch
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Copy(text) => Some(text.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(copied[0], "#77");
    assert_eq!(copied[1].len(), 64);
    assert!(copied[2].starts_with("{\"version\":1,\"seq\":77,"));
    assert_eq!(copied[3], "tacho prove inclusion 77");
    assert_eq!(copied[4], "tacho view --seq 77 --filter 'kind:mutation'");
}

#[test]
fn one_can_go_back_and_forward_and_to_markers() {
    let mut watch = Watch::open(&by_name("codeevolve").path(), (80, 24), Theme::Dark);
    watch.keys("# 77 enter m a # 5 enter 2 [");
    assert!(watch.text().contains(">    5"), "{}", watch.text());
    watch.keys("[");
    assert!(watch.text().contains(">   77"), "{}", watch.text());
    watch.keys("] G ' a");
    assert!(watch.text().contains(">   77"), "{}", watch.text());
}

#[test]
fn the_tail_is_followed_and_told_of() {
    let made = make(|_| ());
    let mut watch = Watch::open(&made.path(), (80, 24), Theme::Dark);
    let log = tacho_recorder::Log::open(
        &made.path(),
        tacho_recorder::log::Options::new(super::support::clock(), "test"),
    )
    .unwrap();
    let say = |words: &str| {
        let event = r#"{"kind":"message","actor":{"type":"agent","id":"quill"},"body":{"speaker":"assistant"}}"#;
        let event = Event::from_json(event).unwrap().with(Field::Text, words);
        log.append(event, Way::api(0)).unwrap();
    };
    say("the first word");
    let seen = |watch: &mut Watch, words: &str| {
        for _ in 0..200 {
            watch.app.wait(std::time::Duration::from_millis(20));
            watch.settle();
            if watch.text().contains(words) {
                return true;
            }
        }
        false
    };
    assert!(seen(&mut watch, "the first word"), "{}", watch.text());
    // Whoever looks at something is left alone, and told.
    watch.keys("k k");
    say("the second word");
    assert!(seen(&mut watch, "1 new"), "{}", watch.text());
    watch.keys("G");
    assert!(seen(&mut watch, "the second word"), "{}", watch.text());
    log.close().unwrap();
}

#[test]
fn an_empty_log_says_how_to_fill_it() {
    // A log of genesis and boot is not empty; one without any record cannot be made by us, and a reader says so.
    let watch = Watch::open(&by_name("empty_handed").path(), (80, 24), Theme::Dark);
    assert!(watch.text().contains("genesis"), "{}", watch.text());
}

#[test]
fn plain_lines_say_the_same_without_signs() {
    for (log, screen, words) in [
        ("codeevolve", Screen::Lineage, "the best"),
        ("codeevolve", Screen::Timeline, "says: "),
        ("codeevolve", Screen::Explain, "Why"),
        ("claude", Screen::Replay, "as of #"),
        ("gated", Screen::Inbox, "waits: planner"),
        ("gated", Screen::Timeline, "KILLED: "),
        ("claude", Screen::Health, "Each of #0"),
        ("codeevolve", Screen::Diff, "#7, against parent"),
    ] {
        let mut watch = Watch::with(&by_name(log).path(), (80, 24), |options| {
            options.screen = screen;
            options.seq = (screen == Screen::Diff).then_some(7);
        });
        let lines = tacho_viewer::plain(&mut watch.app).unwrap();
        let all = lines.join("\n");
        assert!(all.contains(words), "{words} is not in:\n{all}");
        for sign in ["│", "┃", "─", "█", "▸"] {
            assert!(!all.contains(sign), "{sign} in:\n{all}");
        }
    }
}
