//! How fast the index follows and answers, against how fast the log is written, in one run on one disk.
//!
//! ```text
//! cargo run --release -p tacho-recorder --example index_speed -- [RECORDS] [DIR]
//! ```
//!
//! Budgets: following at 0.3 of the append rate or more; the newest 50 with a word in 5 ms or less; the first rows of a filter in
//! 100 ms or less, from opening on. At 1,000,000 records.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement may fail loudly"
)]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tacho_recorder::draft::Way;
use tacho_recorder::filter::Filter;
use tacho_recorder::index::{Index, Order, Query};
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::{LogDir, Reader, SystemClock, keys};
use tacho_schemas::body::work::{Action, Decision, DenyKind, Verdict};
use tacho_schemas::body::{Rationale, RationaleSource};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType};
use tacho_schemas::{Id, Origin, Seq, Time};

const WORDS: [&str; 32] = [
    "the", "build", "failed", "because", "test", "of", "module", "reads", "file", "before", "it",
    "is", "written", "so", "change", "order", "and", "run", "again", "with", "flag", "that",
    "shows", "trace", "in", "cache", "policy", "asks", "for", "approval", "prompt", "tool",
];

/// A decision with a rationale of about 640 characters and a command, as budgets count it.
fn event(n: u64) -> Event {
    let actor = Actor {
        actor_type: ActorType::Agent,
        id: Id::new(format!("agent-{}", n % 7)).unwrap(),
        model: None,
        on_behalf_of: None,
    };
    let denied = n.is_multiple_of(50);
    let body = Action {
        tool: Id::new(if n.is_multiple_of(3) { "Bash" } else { "Edit" }).unwrap(),
        class: None,
        effects: None,
        parts: None,
        rationale: Some(Rationale {
            source: RationaleSource::Given,
            evidence: None,
            confidence: None,
        }),
        verdict: Some(Verdict {
            policy_digest: None,
            consumes: None,
            decision: if denied {
                Decision::Deny
            } else {
                Decision::Allow
            },
            deny_kind: denied.then_some(DenyKind::Forbidden),
            rules: None,
            policy: None,
            obligations: None,
            request_digest: None,
            deadline: None,
        }),
    };
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(700);
    while text.len() < 640 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let pick = usize::try_from(state % 40).unwrap();
        match WORDS.get(pick) {
            Some(word) => text.push_str(word),
            None => text.push_str(&format!("id{}", state >> 44)),
        }
        text.push(' ');
    }
    if n % 1000 == 7 {
        text.push_str("needle");
    }
    let mut event = Event::new(actor, body)
        .with(Field::Reasoning, text)
        .with(
            Field::Command,
            format!("cargo test --package p{} -- case_{n}", n % 100),
        )
        .with(
            Field::Path,
            format!("src/dir{}/file{}.rs", n % 40, n % 1000),
        );
    event.session = Some(Seq(0));
    event
}

fn main() {
    let mut args = std::env::args().skip(1);
    let records: u64 = args.next().map_or(1_000_000, |n| n.parse().unwrap());
    let base = std::env::temp_dir().join(format!("tacho-index-speed-{}", std::process::id()));
    let base = args.next().map_or(base, PathBuf::from);
    std::fs::create_dir_all(&base).unwrap();
    let path = base.join("log");
    let identity = keys::generate().unwrap();
    let beginning = Beginning {
        path: &path,
        origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
        identity: &identity,
        predecessor: None,
    };
    let options = Options::new(Arc::new(SystemClock::new().unwrap()), "index-speed");
    let log = Log::create(beginning, options).unwrap();
    let began = Instant::now();
    let mut waiting = VecDeque::new();
    for n in 0..records {
        let draft = log.draft(event(n), Way::api(0)).unwrap();
        waiting.push_back(log.submit(draft).unwrap());
        if waiting.len() == 4096 {
            waiting.pop_front().unwrap().wait().unwrap();
        }
    }
    for pending in waiting {
        pending.wait().unwrap();
    }
    let append = records as f64 / began.elapsed().as_secs_f64();
    log.close().unwrap();
    println!("append    {append:>9.0} records/s, 4096 in flight");

    let dir = LogDir::open(&path).unwrap();
    let reader = Reader::open(&dir).unwrap();
    let began = Instant::now();
    let mut index = Index::open(&dir).unwrap();
    index.catch_up(&reader, |_, _| ()).unwrap();
    let follow = records as f64 / began.elapsed().as_secs_f64();
    let ratio = follow / append;
    println!(
        "follow    {follow:>9.0} records/s, {ratio:.2} of append (budget 0.3) {}",
        verdict(ratio >= 0.3)
    );
    drop(index);
    let size = |name: &str| {
        std::fs::metadata(path.join(name)).map_or(0, |m| m.len()) as f64 / records as f64
    };
    println!(
        "bytes     {:>9.0} a record in index.db, {:.0} in log.db",
        size("index.db"),
        size("log.db")
    );

    let now = Time::parse("2026-11-24T12:00:00Z").unwrap();
    for (text, budget) in [
        ("needle", 5.0),
        ("failed", 5.0),
        ("build needle", 5.0),
        ("\"policy asks\"", 5.0),
        ("ca*", 5.0),
        ("zebra", 5.0),
        ("verdict:deny", 100.0),
        ("verdict:deny needle", 100.0),
        ("-verdict:allow", 100.0),
        ("kind:boot", 100.0),
        ("agent:agent-3 tool:Bash path:dir7/*.rs", 100.0),
        ("since:2000-01-01 until:2001-01-01", 100.0),
        ("since:2000-01-01 kind:action", 100.0),
        ("kind:kill | path:file7.rs", 100.0),
        ("under(0) kind:seal", 100.0),
    ] {
        let filter = Filter::parse(text, now).unwrap();
        let query = Query {
            filter: &filter,
            range: 0..u64::MAX,
            order: Order::NewestFirst,
        };
        let mut index = Index::open(&dir).unwrap();
        let mut found = 0;
        let mut times: Vec<Duration> = (0..9)
            .map(|_| {
                let began = Instant::now();
                found = index.page(&reader, &query, 50).unwrap().len();
                began.elapsed()
            })
            .collect();
        times.sort_unstable();
        let warm = times.get(4).map_or(f64::NAN, |t| t.as_secs_f64() * 1e3);
        drop(index);
        let began = Instant::now();
        let reader = Reader::open(&dir).unwrap();
        let mut index = Index::open(&dir).unwrap();
        index.catch_up(&reader, |_, _| ()).unwrap();
        index.page(&reader, &query, 50).unwrap();
        let opened = began.elapsed().as_secs_f64() * 1e3;
        let good = if budget < 50.0 {
            warm <= budget
        } else {
            opened <= budget
        };
        println!(
            "query     {warm:>9.2} ms, {opened:.2} ms from opening on (budget {budget}) {}  {found:>2} of `{text}`",
            verdict(good)
        );
    }
    std::fs::remove_dir_all(&path).unwrap();
}

fn verdict(good: bool) -> &'static str {
    if good { "pass" } else { "short" }
}
