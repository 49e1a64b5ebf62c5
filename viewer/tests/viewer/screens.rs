//! Whole screens against kept ones; the scripts are in `screens.toml`.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use tacho_recorder::draft::Way;
use tacho_schemas::body::human::{Act, Answer, Approval, Kill, Scope, Trigger};
use tacho_schemas::body::work::{Action, Class, Decision, Obligation, Verdict};
use tacho_schemas::body::{Rationale, RationaleSource};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType, Via};
use tacho_schemas::scalar::{Blob, List, Set};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::{Fixed, Hash, Id, Time};
use tacho_viewer::{Effect, Screen, Theme};

use super::support::{Made, NOW, Watch, by_name, fixture_logs, make, settled, styles, unpack};

#[derive(Deserialize)]
struct Shots {
    shot: Vec<Shot>,
}

#[derive(Deserialize)]
struct Shot {
    name: String,
    log: String,
    keys: String,
}

const SIZES: [(&str, (u16, u16)); 2] = [("80x24", (80, 24)), ("160x50", (160, 50))];

fn check(name: &str, text: &str) {
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
            let mut watch = Watch::open(&by_name(&shot.log).path(), size, Theme::Dark);
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
fn broken_logs_say_what_is_wrong_and_nothing_panics() {
    let mut troubled = 0;
    for case in fixture_logs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        unpack(&case.join("log"), &path);
        if !path.join("log.db").exists() {
            continue;
        }
        let mut watch = Watch::open(&path, (80, 24), Theme::Dark);
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        troubled += usize::from(watch.text().contains("Nothing is shown that does not fit"));
        watch.keys("7");
        let text = watch.text();
        let sound = name.starts_with("sound");
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
    assert!(troubled >= 3, "{troubled}");
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
fn a_log_that_does_not_fit_says_what_is_still_proven() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    unpack(Path::new("../fixtures/logs/edit/log"), &path);
    let mut watch = Watch::open(&path, (80, 24), Theme::Dark);
    let text = watch.text();
    assert!(text.contains("NOT VERIFIED past #9"), "{text}");
    assert!(text.contains("Proven: #0 to #9."), "{text}");
    assert!(text.contains("differs from what was signed last"), "{text}");
    // Nothing else can be looked at, and nothing breaks.
    watch.keys("j k enter d 4 5 6 1");
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

fn actor(kind: ActorType, id: &str) -> Actor {
    Actor {
        actor_type: kind,
        id: Id::new(id).unwrap(),
        model: None,
        on_behalf_of: None,
    }
}

fn way(via: Via) -> Way {
    Way {
        via,
        auth: None,
        import: None,
    }
}

fn act(key: u8) -> Act {
    Act {
        key: Fingerprint::of(&Fixed([key; 32])),
        assurance: None,
        statement: Blob::new(b"statement".to_vec()).unwrap(),
        sshsig: Blob::new(b"sshsig".to_vec()).unwrap(),
    }
}

fn hold(tool: &str, path: &str, minutes: i64, rule: &str) -> Event {
    let verdict = Verdict {
        policy_digest: None,
        consumes: None,
        decision: Decision::Hold,
        deny_kind: None,
        rules: Some(Set::of(vec![Id::new(rule).unwrap()]).unwrap()),
        policy: None,
        obligations: Some(
            List::new(vec![Obligation {
                rule: Some(Id::new(rule).unwrap()),
                group: Id::new("reviewers").unwrap(),
                k: 2,
                ttl: None,
            }])
            .unwrap(),
        ),
        request_digest: Some(Hash([7; 32])),
        deadline: Some(Time(NOW + minutes * 60_000_000_000)),
    };
    let action = Action {
        tool: Id::new(tool).unwrap(),
        class: Some(Class::Write),
        effects: None,
        parts: None,
        rationale: Some(Rationale {
            source: RationaleSource::Given,
            evidence: None,
            confidence: None,
        }),
        verdict: Some(verdict),
    };
    Event::new(actor(ActorType::Agent, "planner"), action)
        .with(Field::Summary, "the child keeps failing on builds")
        .with(Field::Path, path)
}

/// A log as the gate writes it: holds, an answer, a kill.
pub(crate) fn gated() -> Made {
    make(|log| {
        let append = |event: Event, way: Way| log.append(event, way).unwrap().seq;
        let first = append(
            hold("Edit", "tools.json", 22, "new-capability"),
            way(Via::Gate),
        );
        append(
            hold("Edit", "tools.json", 25, "new-capability"),
            way(Via::Gate),
        );
        append(
            hold("Write", "prompt.md", -5, "prompt-text"),
            way(Via::Gate),
        );
        append(hold("Bash", "deploy.sh", 6, "deploy"), way(Via::Gate));
        let mut yes = Event::new(
            actor(ActorType::Human, "ana"),
            Approval {
                request_digest: Hash([7; 32]),
                target: first,
                answer: Answer::Approve,
                not_after: None,
                act: act(1),
            },
        );
        yes.causes = vec![first];
        append(yes, way(Via::Human));
        let kill = Kill {
            t_order: None,
            act: Some(act(1)),
            scope: Scope::Agent,
            target: Some(Id::new("planner").unwrap()),
            about: None,
            trigger: Trigger::Human,
            freeze: false,
            t_flag: None,
        };
        append(
            Event::new(actor(ActorType::Human, "ana"), kill),
            way(Via::Human),
        );
    })
}
