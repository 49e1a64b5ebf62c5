//! The index finds what a look at every record finds, and is never believed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use tacho_recorder::draft::Way;
use tacho_recorder::filter::{Filter, Key, Term};
use tacho_recorder::index::{Index, Order, Query};
use tacho_recorder::links;
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::read::{Shown, View};
use tacho_recorder::{LogDir, Reader, Store, SystemClock, keys};
use tacho_schemas::body::change::{Change, Evaluation, Fate, Generation, Known, Metric, Mutation};
use tacho_schemas::body::human::{Act, Basis, Erased, Erasure};
use tacho_schemas::body::log::Phase;
use tacho_schemas::body::work::{
    Action, Decision, DenyKind, Message, Outcome, Session, Speaker, Status, Verdict,
};
use tacho_schemas::body::{Body, Part, Rationale, RationaleSource};
use tacho_schemas::content::Field;
use tacho_schemas::event::{Attachment, Event};
use tacho_schemas::record::{Actor, ActorType, Record, Role};
use tacho_schemas::scalar::{Blob, Decimal, List, Set};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::{Fixed, Id, Origin, Seq, Time};

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn seqs<const MAX: usize>(all: &[u64]) -> Option<List<Seq, MAX>> {
    List::some(all.iter().copied().map(Seq).collect()).unwrap()
}

fn actor(name: &str) -> Actor {
    Actor {
        actor_type: if name.starts_with("ci") {
            ActorType::System
        } else {
            ActorType::Agent
        },
        id: id(name),
        model: name.starts_with("plan").then(|| id("model-4")),
        on_behalf_of: None,
    }
}

fn create(path: &Path, origin: u8) -> Log {
    let identity = keys::generate().unwrap();
    let beginning = Beginning {
        path,
        origin: Origin::from_parts("tacho.invalid", [origin; 16]).unwrap(),
        identity: &identity,
        predecessor: None,
    };
    Log::create(beginning, options()).unwrap()
}

fn options() -> Options {
    Options::new(Arc::new(SystemClock::new().unwrap()), "test")
}

fn message(text: &str) -> Event {
    let body = Message {
        speaker: Speaker::Assistant,
        usage: None,
    };
    Event::new(actor("claude-code"), body).with(Field::Text, text)
}

fn session(agent: &str, phase: Phase, lineage: Option<u64>) -> Event {
    let body = Session {
        phase,
        agent: id(agent),
        harness: None,
        harness_version: None,
        lineage: lineage.map(Seq),
        parent: None,
        confinement: None,
        guards: None,
        exit: None,
        signal: None,
    };
    Event::new(actor(agent), body).with(Field::Workspace, "/home/quill/demo")
}

fn generation(lineage: Option<u64>, parents: &[u64], mutations: &[u64]) -> Event {
    let body = Generation {
        lineage: lineage.map(Seq),
        parents: seqs(parents),
        inspirations: None,
        mutations: seqs(mutations),
        ordinal: Some(7),
        branch: None,
        fate: Fate::Alive,
    };
    Event::new(actor("planner"), body).with(Field::Name, "gen")
}

/// Appends and says which record it became.
struct Writer(Log);

impl Writer {
    fn put(&self, event: Event) -> u64 {
        self.0.append(event, Way::api(1)).unwrap().seq.0
    }
}

/// A log with a little of everything: two sessions, a lineage, decisions, mutations. Made once, and copied.
fn varied(path: &Path) {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let base = tempfile::tempdir().unwrap();
        make_varied(&base.path().join("log"));
        base
    });
    copy(&made.path().join("log"), path);
}

/// Copies what a reader needs.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for name in ["log.db", "checkpoints"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn make_varied(path: &Path) {
    let log = Writer(create(path, 1));
    let first = log.put(generation(None, &[], &[]));
    let open = log.put(session("planner", Phase::Open, Some(first)));
    let other = log.put(session("claude-code", Phase::Open, None));
    let mut newest = first;
    for round in 0..90_u64 {
        let within = |event: Event| Event {
            session: Some(Seq(if round % 3 == 0 { other } else { open })),
            generation: (round % 3 != 0).then_some(Seq(newest)),
            ..event
        };
        let decision = [Decision::Allow, Decision::Deny, Decision::Hold][round as usize % 3];
        let action = Action {
            tool: id(["Bash", "Edit", "BashOutput"][round as usize % 3]),
            class: None,
            effects: None,
            parts: Set::some(vec![Part::Prompt, Part::Tests][..round as usize % 3].to_vec())
                .unwrap(),
            rationale: Some(Rationale {
                source: [RationaleSource::Given, RationaleSource::Absent][round as usize % 2],
                evidence: None,
                confidence: None,
            }),
            verdict: Some(Verdict {
                policy_digest: None,
                consumes: None,
                decision,
                deny_kind: (decision == Decision::Deny).then_some(DenyKind::Forbidden),
                rules: Some(Set::new(vec![id("no-secrets")]).unwrap()),
                policy: None,
                obligations: None,
                request_digest: None,
                deadline: None,
            }),
        };
        let path =
            ["src/main.rs", "src/lib/mod.rs", "prompts/system prompt.md"][round as usize % 3];
        let asked = log.put(within(
            Event::new(
                actor(["planner", "claude-code", "ci-bot"][round as usize % 3]),
                action,
            )
            .with(Field::Command, format!("rm -rf build number{round}"))
            .with(Field::Reason, "Clean the build; permission denied before")
            .with(Field::Path, path),
        ));
        let outcome = Outcome {
            exit: Some(1),
            signal: None,
            usage: None,
            of: Some(Seq(asked)),
            status: [Status::Succeeded, Status::Failed][round as usize % 2],
            matched: None,
            stop: None,
        };
        log.put(within(
            Event::new(actor("ci-bot"), outcome).with(Field::Output, "Permission DENIED, café"),
        ));
        log.put(within(message(
            "build \"quoted\" zu za k00 NOT text AND\0nul",
        )));
        if round % 5 == 4 {
            let mutation = Mutation {
                parts: Some(Set::new(vec![Part::Prompt]).unwrap()),
                rationale: Some(Rationale {
                    source: RationaleSource::Absent,
                    evidence: None,
                    confidence: None,
                }),
                change: Change::Modify,
                known: Known::Declared,
                proposer: None,
                action: Some(Seq(asked)),
                approvals: None,
                applied_by: None,
                reverts: None,
                added: None,
                removed: None,
            };
            let mut event =
                Event::new(actor("planner"), mutation).with(Field::Path, "prompts/a.md");
            event.artefacts.push(Attachment {
                role: Role::After,
                path: Some("/abs/prompts/b.md".to_owned()),
                media_type: None,
                unredacted_blake3: None,
                bytes: b"new prompt".to_vec(),
            });
            let changed = log.put(within(event));
            newest = log.put(generation(Some(first), &[newest], &[changed]));
            let evaluation = Evaluation {
                cost: None,
                subject: Some(Seq(newest)),
                benchmark: Some(id("swe")),
                benchmark_version: None,
                main: Some(Metric {
                    metric: id("resolved"),
                    score: Decimal::new("0.5").unwrap(),
                }),
                metrics: None,
                n: None,
                seeds: None,
                passed: Some(true),
                touched: None,
            };
            log.put(Event::new(actor("ci-bot"), evaluation));
        }
    }
    log.put(Event {
        session: Some(Seq(open)),
        ..session("planner", Phase::Close, None)
    });
    log.0.close().unwrap();
}

struct Fixture {
    _base: tempfile::TempDir,
    path: PathBuf,
}

impl Fixture {
    fn new(write: impl FnOnce(&Path)) -> Self {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("log");
        write(&path);
        Self { _base: base, path }
    }

    fn dir(&self) -> LogDir {
        LogDir::open_to_read(&self.path).unwrap()
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.dir()).unwrap()
    }

    fn index(&self) -> Index {
        let mut index = Index::open(&self.dir()).unwrap();
        assert_eq!(index.why_private(), None);
        index.catch_up(&self.reader(), |_, _| ()).unwrap();
        index
    }
}

fn parse(text: &str) -> Filter {
    Filter::parse(text, Time::parse("2026-11-24T12:00:00Z").unwrap())
        .unwrap_or_else(|e| panic!("{e}\n{}", e.caret(text)))
}

fn found(index: &mut Index, reader: &Reader, filter: &Filter, order: Order) -> Vec<u64> {
    let query = Query {
        filter,
        range: 0..u64::MAX,
        order,
    };
    let rows = index.page(reader, &query, usize::MAX).unwrap();
    rows.into_iter().map(|shown| shown.seq.0).collect()
}

/// The same by looking at every record, in other words than the index uses.
fn brute(all: &Every, filter: &Filter) -> Vec<u64> {
    let met = |shown: &&Shown| meets(filter, shown, all);
    all.shown
        .iter()
        .filter(met)
        .map(|shown| shown.seq.0)
        .collect()
}

/// All records, and for each what it came of, by any way.
struct Every {
    shown: Vec<Shown>,
    before: Vec<BTreeSet<Seq>>,
}

fn every(view: &View<'_>) -> Every {
    let (mut shown, mut before) = (Vec::new(), Vec::<BTreeSet<Seq>>::new());
    let each = |one: Shown| {
        let mut set = BTreeSet::new();
        for link in links::causes(record(&one)) {
            set.insert(link.seq);
            set.extend(before[link.seq.0 as usize].iter().copied());
        }
        before.push(set);
        shown.push(one);
        Ok::<_, tacho_recorder::Error>(())
    };
    view.records(0..view.size(), each).unwrap();
    Every { shown, before }
}

fn record(shown: &Shown) -> &Record {
    shown.meaning.as_ref().unwrap()
}

fn meets(filter: &Filter, shown: &Shown, all: &Every) -> bool {
    match filter {
        Filter::Everything => true,
        Filter::All(filters) => filters.iter().all(|f| meets(f, shown, all)),
        Filter::Any(filters) => filters.iter().any(|f| meets(f, shown, all)),
        Filter::Not(inner) => !meets(inner, shown, all),
        Filter::Term(term) => meets_term(term, shown, all),
    }
}

fn meets_term(term: &Term, shown: &Shown, all: &Every) -> bool {
    let r = record(shown);
    match term {
        Term::Is(key, patterns) => {
            let values: Vec<String> = values(*key, r, all);
            patterns.iter().any(|p| values.iter().any(|v| p.fits(v)))
        }
        Term::Path(patterns) => paths(shown)
            .iter()
            .any(|path| patterns.iter().any(|p| p.fits_path(path))),
        Term::Seq(spans) => spans
            .iter()
            .any(|s| s.first <= r.seq.0 && r.seq.0 <= s.last),
        Term::Since(time) => r.time >= *time,
        Term::Until(time) => r.time <= *time,
        Term::Under(top) => leads(r.seq, *top, all),
        Term::Over(below) => leads(*below, r.seq, all),
        Term::Words { text, open } => {
            let wanted = tokens(text);
            let mut texts: Vec<String> = paths(shown);
            let held = shown.row.content.iter().flatten();
            let held = held.filter(|(n, _)| {
                ![Field::Path, Field::Workspace]
                    .map(Field::number)
                    .contains(n)
            });
            texts.extend(held.map(|(_, salted)| String::from_utf8(salted.bytes.clone()).unwrap()));
            texts.iter().any(|text| {
                tokens(text).windows(wanted.len()).any(|window| {
                    let last = wanted.len() - 1;
                    window[..last] == wanted[..last]
                        && match open {
                            true => window[last].starts_with(&wanted[last]),
                            false => window[last] == wanted[last],
                        }
                })
            })
        }
    }
}

fn leads(from: Seq, to: Seq, all: &Every) -> bool {
    let before = all.before.get(from.0 as usize);
    before.is_some_and(|before| before.contains(&to))
}

fn tokens(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace('é', "e");
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn paths(shown: &Shown) -> Vec<String> {
    let mut all: Vec<String> = [Field::Path, Field::Workspace]
        .iter()
        .filter_map(|field| shown.text(*field).map(str::to_owned))
        .collect();
    for salted in shown.row.artefacts.iter().flat_map(|a| a.values()) {
        let descriptor = tacho_schemas::content::Descriptor::decode(&salted.bytes).unwrap();
        all.extend(descriptor.path);
    }
    all
}

fn values(key: Key, r: &Record, all: &Every) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |value: &dyn std::fmt::Display| found.push(value.to_string());
    match (key, &r.body) {
        (Key::Kind, _) => add(&r.kind),
        (Key::Via, _) => add(&r.via),
        (Key::By, _) => add(&r.actor.actor_type),
        (Key::Actor, _) => add(&r.actor.id),
        (Key::Model, _) => r.actor.model.iter().for_each(|m| add(m)),
        (Key::Agent, body) => {
            if r.actor.actor_type == ActorType::Agent {
                add(&r.actor.id);
            }
            if let Body::Session(s) = body {
                add(&s.agent);
            }
        }
        (Key::Tool, Body::Action(a)) => add(&a.tool),
        (Key::Verdict, Body::Action(a)) => add(&a.verdict.as_ref().unwrap().decision),
        (Key::Rule, Body::Action(_)) => add(&"no-secrets"),
        (Key::Rationale, Body::Action(a)) => add(&a.rationale.as_ref().unwrap().source),
        (Key::Rationale, Body::Mutation(m)) => add(&m.rationale.as_ref().unwrap().source),
        (Key::Part, Body::Action(a)) => a.parts.iter().flatten().for_each(|p| add(p)),
        (Key::Part, Body::Mutation(m)) => m.parts.iter().flatten().for_each(|p| add(p)),
        (Key::Status, Body::Outcome(o)) => add(&o.status),
        (Key::Session, body) => {
            r.session.iter().for_each(|s| add(s));
            if matches!(body, Body::Session(s) if s.phase == Phase::Open) {
                add(&r.seq);
            }
        }
        (Key::Generation, body) => {
            r.generation.iter().for_each(|g| add(g));
            if matches!(body, Body::Generation(_)) {
                add(&r.seq);
            }
        }
        (Key::Lineage, body) => {
            let said = |seq: &Seq| match &record(&all.shown[seq.0 as usize]).body {
                Body::Generation(g) => Some(g.lineage.unwrap_or(*seq)),
                Body::Session(s) => s.lineage,
                _ => None,
            };
            let subject = match body {
                Body::Evaluation(e) => e.subject,
                _ => None,
            };
            let ways = [
                said(&r.seq),
                subject.as_ref().and_then(said),
                r.generation.as_ref().and_then(said),
                r.session.as_ref().and_then(said),
            ];
            ways.into_iter().flatten().take(1).for_each(|l| add(&l));
        }
        _ => {}
    }
    found
}

const TERMS: &[&str] = &[
    "kind:action",
    "kind:mutation,generation",
    "kind:seal",
    "via:api",
    "via:recorder",
    "by:system",
    "agent:planner",
    "agent:claude*",
    "agent:*code",
    "actor:ci-bot",
    "model:model-4",
    "tool:Bash",
    "tool:Bash*",
    "tool:B*t",
    "verdict:deny",
    "verdict:deny,hold",
    "part:prompt",
    "status:failed",
    "rule:no-secrets",
    "rule:no*",
    "rationale:absent",
    "session:4",
    "session:3",
    "generation:2",
    "generation:20..",
    "lineage:2",
    "lineage:3",
    "path:src",
    "path:*.rs",
    "path:src/*.rs",
    "path:\"system prompt.md\"",
    "path:/abs",
    "path:prompts/b*",
    "path:*",
    "path:demo",
    "seq:10..60",
    "seq:5,7,9",
    "since:2026-01-01",
    "until:2026-01-01",
    "since:2000-01-01",
    "under(4)",
    "under(2)",
    "under(12)",
    "over(60)",
    "over(9)",
    "under(999)",
    "denied",
    "\"permission denied\"",
    "perm*",
    "\"rm rf\"",
    "cafe",
    "number7",
    "number1*",
    "\"denied before\"",
    "\"build number7 clean\"",
    "quoted",
    "zu",
    "za",
    "NOT",
    "nul",
    "\"a\u{0}b\"",
    "zebra",
];

fn texts() -> impl Strategy<Value = String> {
    let term = prop::sample::select(
        TERMS
            .iter()
            .filter(|t| **t != "generation:20..")
            .copied()
            .collect::<Vec<_>>(),
    )
    .prop_map(str::to_owned);
    term.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("({})", all.join(" "))),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("({})", all.join(" | "))),
            inner.prop_map(|one| format!("-({one})")),
        ]
    })
}

#[test]
fn the_index_finds_what_a_look_at_every_record_finds() {
    let log = Fixture::new(varied);
    let reader = log.reader();
    let all = every(&View::new(&reader).unwrap());
    let mut index = log.index();
    let mut check = |text: &str| {
        let filter = parse(text);
        let mut expected = brute(&all, &filter);
        assert_eq!(
            found(&mut index, &reader, &filter, Order::OldestFirst),
            expected,
            "{text}"
        );
        expected.reverse();
        assert_eq!(
            found(&mut index, &reader, &filter, Order::NewestFirst),
            expected,
            "{text}"
        );
    };
    for term in TERMS.iter().filter(|t| **t != "generation:20..") {
        check(term);
        check(&format!("-{term}"));
    }
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..60 {
        let text = texts().new_tree(&mut runner).unwrap().current();
        check(&text);
    }
}

#[test]
fn what_came_of_much_is_found_by_walking_back() {
    let log = Fixture::new(varied);
    let reader = log.reader();
    let all = every(&View::new(&reader).unwrap());
    let mut index = log.index();
    index.testing_only_gather(3);
    for text in [
        "under(2)",
        "under(3) kind:mutation",
        "-under(4)",
        "under(12) | over(60)",
        "under(999)",
        "denied -under(2)",
        "under(2) under(3) path:src/*.rs",
    ] {
        let filter = parse(text);
        assert_eq!(
            found(&mut index, &reader, &filter, Order::OldestFirst),
            brute(&all, &filter),
            "{text}"
        );
    }
}

#[test]
fn what_is_found_is_not_nothing() {
    let log = Fixture::new(varied);
    let (mut index, reader) = (log.index(), log.reader());
    for (text, least) in [
        ("kind:mutation", 8),
        ("\"permission denied\"", 60),
        ("path:src/*.rs", 20),
        ("under(2)", 60),
        ("lineage:2", 60),
        ("verdict:deny rm", 10),
        ("number7", 1),
    ] {
        let count = found(&mut index, &reader, &parse(text), Order::OldestFirst).len();
        assert!(count >= least, "{text}: {count}");
    }
}

#[test]
fn pages_are_cut_where_they_were_asked_to() {
    let log = Fixture::new(varied);
    let (mut index, reader) = (log.index(), log.reader());
    let filter = parse("kind:action");
    let all = found(&mut index, &reader, &filter, Order::OldestFirst);
    let query = Query {
        filter: &filter,
        range: all[3]..all[30],
        order: Order::NewestFirst,
    };
    let page = index.page(&reader, &query, 5).unwrap();
    let page: Vec<u64> = page.into_iter().map(|shown| shown.seq.0).collect();
    let mut expected = all[25..30].to_vec();
    expected.reverse();
    assert_eq!(page, expected);
}

/// Open words are asked of the nearest records first; behind them the kept index goes on.
#[test]
fn open_words_are_found_near_and_far() {
    let log = Fixture::new(|path| {
        let log = create(path, 9);
        let pending: Vec<_> = (0..2600)
            .map(|n: u64| {
                let rare = if n % 1290 == 5 { "needles" } else { "" };
                let word = ["cache", "call", "then"][n as usize % 3];
                let event = message(&format!("{word} {rare}"));
                log.submit(log.draft(event, Way::api(0)).unwrap()).unwrap()
            })
            .collect();
        pending.into_iter().for_each(|p| drop(p.wait().unwrap()));
        log.close().unwrap();
    });
    let (mut index, reader) = (log.index(), log.reader());
    let all = every(&View::new(&reader).unwrap());
    for text in [
        "ca*",
        "cac*",
        "needl*",
        "ca* -needl*",
        "th* seq:7..2590",
        "th* | seq:7..9",
        "zeb*",
        "agent:claude* ca*",
    ] {
        let filter = parse(text);
        let mut expected = brute(&all, &filter);
        assert_eq!(
            found(&mut index, &reader, &filter, Order::OldestFirst),
            expected,
            "{text}"
        );
        expected.reverse();
        assert_eq!(
            found(&mut index, &reader, &filter, Order::NewestFirst),
            expected,
            "{text}"
        );
        assert_eq!(expected.is_empty(), text == "zeb*", "{text}");
    }
}

#[test]
fn sessions_lineages_and_effects_are_known() {
    let log = Fixture::new(varied);
    let (index, reader) = (log.index(), log.reader());
    let view = View::new(&reader).unwrap();
    let sessions = index.sessions(None, 10).unwrap();
    assert_eq!(sessions.iter().map(|s| s.seq.0).collect::<Vec<_>>(), [4, 3]);
    assert_eq!(
        (sessions[1].lineage, sessions[1].agent.as_str()),
        (Some(Seq(2)), "planner")
    );
    let all = every(&view);
    let within = all
        .shown
        .iter()
        .filter(|shown| record(shown).session == Some(Seq(3)))
        .count();
    assert_eq!(sessions[1].records, within as u64 + 1);
    assert_eq!(sessions[1].closed, Some(sessions[1].newest));
    assert_eq!(index.sessions(Some(Seq(4)), 10).unwrap().len(), 1);
    assert_eq!(index.session(Seq(3)).unwrap().unwrap(), sessions[1]);
    assert_eq!(index.session(Seq(5)).unwrap(), None);

    let lineages = index.lineages().unwrap();
    assert_eq!(
        (lineages.len(), lineages[0].seq, lineages[0].generations),
        (1, Seq(2), 19)
    );
    let generations = index.generations(Seq(2)).unwrap();
    assert_eq!(generations.len(), 19);
    assert_eq!(generations[1].parents, [Seq(2)]);
    let evaluation = generations[18].evaluation.clone().unwrap();
    assert_eq!(
        evaluation.main,
        Some(("resolved".to_owned(), "0.5".to_owned()))
    );
    assert_eq!(
        index.generation(generations[18].seq).unwrap().unwrap(),
        generations[18]
    );

    for seq in 0..view.size() {
        for link in index.effects(Seq(seq)).unwrap() {
            let back = links::causes(record(&all.shown[link.seq.0 as usize]));
            assert!(
                back.iter()
                    .any(|b| b.seq.0 == seq && b.relation == link.relation),
                "{seq} {link:?}"
            );
        }
    }
    let counted: usize = (0..view.size())
        .map(|seq| index.effects(Seq(seq)).unwrap().len())
        .sum();
    let links: usize = all
        .shown
        .iter()
        .map(|shown| links::causes(record(shown)).len())
        .sum();
    assert_eq!(counted, links);
}

#[test]
fn following_step_by_step_ends_where_starting_over_ends() {
    let log = Fixture::new(|path| drop(create(path, 1)));
    let mut followed = log.index();
    for round in 0..30 {
        let open = Log::open(&log.path, options()).unwrap();
        for n in 0..round {
            open.append(message(&format!("word{n} round{round}")), Way::api(0))
                .unwrap();
        }
        open.close().unwrap();
        followed.catch_up(&log.reader(), |_, _| ()).unwrap();
    }
    let mut anew = Index::private(&log.dir(), "to compare").unwrap();
    anew.catch_up(&log.reader(), |_, _| ()).unwrap();
    let reader = log.reader();
    assert_eq!(followed.size().unwrap(), anew.size().unwrap());
    for text in [
        "word3",
        "round29",
        "-word3",
        "kind:boot",
        "seq:5..9",
        "since:2h",
    ] {
        let filter = parse(text);
        let expected = found(&mut anew, &reader, &filter, Order::OldestFirst);
        assert_eq!(
            found(&mut followed, &reader, &filter, Order::OldestFirst),
            expected,
            "{text}"
        );
    }
}

#[test]
fn an_index_of_another_log_or_of_a_longer_one_is_made_anew() {
    let write = |origin: u8, count: u64| {
        move |path: &Path| {
            let log = create(path, origin);
            for n in 0..count {
                log.append(message(&format!("origin{origin} n{n}")), Way::api(0))
                    .unwrap();
            }
            log.close().unwrap();
        }
    };
    let (mine, longer) = (Fixture::new(write(1, 5)), Fixture::new(write(2, 20)));
    drop(longer.index());
    std::fs::copy(longer.path.join("index.db"), mine.path.join("index.db")).unwrap();
    let (mut index, reader) = (mine.index(), mine.reader());
    assert_eq!(
        found(&mut index, &reader, &parse("origin2"), Order::OldestFirst),
        [0_u64; 0]
    );
    assert_eq!(
        found(&mut index, &reader, &parse("origin1"), Order::OldestFirst).len(),
        5
    );

    // The shorter log's index in the longer one, and then the longer log cut back.
    let twin = Fixture::new(|path| copy(&mine.path, path));
    drop(twin.index());
    let open = Log::open(&mine.path, options()).unwrap();
    open.append(message("one more"), Way::api(0)).unwrap();
    open.close().unwrap();
    let more = mine.index();
    drop(more);
    std::fs::copy(mine.path.join("index.db"), twin.path.join("index.db")).unwrap();
    let (mut index, reader) = (twin.index(), twin.reader());
    assert_eq!(
        found(&mut index, &reader, &parse("more"), Order::OldestFirst),
        [0_u64; 0]
    );
    assert_eq!(
        found(&mut index, &reader, &parse("origin1"), Order::OldestFirst).len(),
        5
    );
}

#[test]
fn whatever_stands_in_its_place_nothing_wrong_is_shown() {
    let log = Fixture::new(varied);
    let path = log.path.join("index.db");
    let filter = parse("kind:action path:src/*.rs \"permission denied\"");
    let expected = found(&mut log.index(), &log.reader(), &filter, Order::OldestFirst);
    assert!(expected.len() > 10);
    let check = |what: &str| {
        let mut index = log.index();
        assert_eq!(
            found(&mut index, &log.reader(), &filter, Order::OldestFirst),
            expected,
            "{what}"
        );
        drop(index);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{what}");
    };
    std::fs::remove_file(&path).unwrap();
    check("deleted");
    std::fs::write(&path, b"no database at all, and quite long for that matter").unwrap();
    check("garbage");
    std::fs::write(&path, b"").unwrap();
    check("empty");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    check("open to others");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    check("cut");
    std::fs::copy(log.path.join("log.db"), &path).unwrap();
    check("another database");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(log.path.join("log.db"), &path).unwrap();
    assert!(LogDir::open_to_read(&log.path).is_err());
    std::fs::remove_file(&path).unwrap();
    check("deleted again");
}

#[test]
fn a_flipped_byte_never_shows_what_is_not_so() {
    let log = Fixture::new(varied);
    drop(log.index());
    let path = log.path.join("index.db");
    let whole = std::fs::read(&path).unwrap();
    let view_reader = log.reader();
    let all = every(&View::new(&view_reader).unwrap());
    let filters: Vec<(Filter, BTreeSet<u64>)> = [
        "kind:action",
        "verdict:deny -tool:Bash",
        "path:src under(2)",
        "kind:mutation | tool:Edit",
    ]
    .iter()
    .map(|text| (parse(text), brute(&all, &parse(text)).into_iter().collect()))
    .collect();
    for step in 0..48 {
        let at = (step * 7919 + 13) * (whole.len() / 48) % whole.len();
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (step % 8);
        std::fs::write(&path, &flipped).unwrap();
        let mut index = log.index();
        for (filter, expected) in &filters {
            let shown = found(&mut index, &log.reader(), filter, Order::OldestFirst);
            let wrong: Vec<_> = shown.iter().filter(|seq| !expected.contains(seq)).collect();
            assert!(wrong.is_empty(), "byte {at}: {filter}: {wrong:?}");
        }
    }
}

#[test]
fn what_was_tampered_with_cannot_hide() {
    let log = Fixture::new(varied);
    drop(log.index());
    let conn = rusqlite::Connection::open(log.path.join("log.db")).unwrap();
    let mut bytes: Vec<u8> = conn
        .query_row("SELECT bytes FROM records WHERE seq = 9", [], |row| {
            row.get(0)
        })
        .unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    conn.execute("UPDATE records SET bytes = ?1 WHERE seq = 9", [&bytes])
        .unwrap();
    drop(conn);
    std::fs::remove_file(log.path.join("index.db")).unwrap();
    let (mut index, reader) = (log.index(), log.reader());
    let query = Query {
        filter: &parse("kind:evaluation verdict:allow zebra"),
        range: 0..u64::MAX,
        order: Order::OldestFirst,
    };
    let rows = index.page(&reader, &query, 10).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].seq, rows[0].in_tree), (Seq(9), false));
}

#[test]
fn a_private_index_leaves_nothing_behind() {
    let log = Fixture::new(varied);
    let dir = log.dir();
    let mut index = Index::private(&dir, "asked for").unwrap();
    assert_eq!(index.why_private(), Some("asked for"));
    index.catch_up(&log.reader(), |_, _| ()).unwrap();
    assert!(!dir.index().exists());
    let filter = parse("number7");
    assert_eq!(
        found(&mut index, &log.reader(), &filter, Order::OldestFirst).len(),
        1
    );
}

#[test]
fn two_who_follow_at_once_agree() {
    let log = Fixture::new(varied);
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut index = log.index();
                    found(
                        &mut index,
                        &log.reader(),
                        &parse("build"),
                        Order::OldestFirst,
                    )
                    .len()
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(
        counts[0] > 40 && counts.iter().all(|count| *count == counts[0]),
        "{counts:?}"
    );
}

#[test]
fn a_log_that_grows_meanwhile_is_followed() {
    let log = Fixture::new(|path| drop(create(path, 1)));
    let open = Log::open(&log.path, options()).unwrap();
    let mut index = log.index();
    let reader = log.reader();
    for n in 0..20 {
        open.append(message(&format!("n{n} all")), Way::api(0))
            .unwrap();
        index.catch_up(&reader, |_, _| ()).unwrap();
        assert_eq!(
            found(&mut index, &reader, &parse("all"), Order::NewestFirst).len(),
            n + 1
        );
    }
}

#[test]
fn erased_words_leave_the_index() {
    const SECRET: &str = "xyzzysecretword";
    let log = Fixture::new(|path| {
        let log = create(path, 1);
        log.append(message(&format!("before {SECRET} after")), Way::api(0))
            .unwrap();
        log.append(message("kept"), Way::api(0)).unwrap();
        log.close().unwrap();
    });
    let mut index = log.index();
    let secret = parse(SECRET);
    let hit = found(&mut index, &log.reader(), &secret, Order::OldestFirst);
    assert_eq!(hit.len(), 1);
    drop(index);
    let holds = |name: &str| {
        let bytes = std::fs::read(log.path.join(name)).unwrap_or_default();
        bytes
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes())
    };
    assert!(holds("index.db"));

    // The text goes, and a record says so.
    let dir = LogDir::open(&log.path).unwrap();
    let lock = dir.lock().unwrap();
    let mut store = Store::open_writer(&dir, &lock).unwrap();
    let mut batch = store.batch().unwrap();
    batch.vault_remove(hit[0]).unwrap();
    batch.commit().unwrap();
    store.wal_truncate().unwrap();
    drop((store, lock));
    let open = Log::open(&log.path, options()).unwrap();
    let erasure = Erasure {
        act: Act {
            key: Fingerprint::of(&Fixed([1; 32])),
            assurance: None,
            statement: Blob::new(vec![1]).unwrap(),
            sshsig: Blob::new(vec![1]).unwrap(),
        },
        erased: List::new(vec![Erased {
            seq: Seq(hit[0]),
            fields: Some(Set::new(vec![Field::Text.number()]).unwrap()),
            places: None,
        }])
        .unwrap(),
        basis: Basis::Secret,
    };
    open.append(Event::new(actor("ci-eraser"), erasure), Way::recorder())
        .unwrap();
    open.close().unwrap();

    let mut index = log.index();
    assert_eq!(
        found(&mut index, &log.reader(), &secret, Order::OldestFirst),
        [0_u64; 0]
    );
    assert_eq!(
        found(
            &mut index,
            &log.reader(),
            &parse("kept"),
            Order::OldestFirst
        )
        .len(),
        1
    );
    assert!(!holds("index.db") && !holds("index.db-wal"));
}

#[test]
fn a_search_ends_when_told() {
    let log = Fixture::new(varied);
    let index = log.index();
    let filter = Filter::Everything;
    let query = Query {
        filter: &filter,
        range: 5..20,
        order: Order::OldestFirst,
    };
    let mut seen = Vec::new();
    index
        .search(&log.reader(), &query, |shown| {
            seen.push(shown.seq.0);
            Ok::<_, tacho_recorder::Error>(match seen.len() {
                3 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
        })
        .unwrap();
    assert_eq!(seen, [5, 6, 7]);
}
