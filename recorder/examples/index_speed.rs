//! How fast the index follows and answers, against how fast the log is written, in one run on one disk.
//!
//! ```text
//! cargo run --release -p tacho-recorder --example index_speed -- [RECORDS] [DIR]
//! ```
//!
//! Budgets at 1,000,000 records: following at 0.3 of the append rate or more; the newest 50 with a word in 5 ms or less in the
//! index alone; the first rows of a filter, read and checked, in 100 ms or less from opening on; the answers about a record in
//! 50 ms or less from opening on.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement may fail loudly"
)]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tacho_recorder::draft::Way;
use tacho_recorder::filter::Filter;
use tacho_recorder::index::{Index, Order, Query};
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::read::View;
use tacho_recorder::why::explain;
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

    let (_, view) = median(|| View::new(&reader).unwrap().size());
    println!("view      {view:>9.2} ms to check the tree, part of each query below");

    let conn = rusqlite::Connection::open(dir.index()).unwrap();
    for word in [
        "needle",
        "failed",
        "build AND needle",
        "\"policy asks\"",
        "zebra",
    ] {
        let text = "SELECT rowid FROM words WHERE words MATCH ?1 ORDER BY rowid DESC LIMIT 50";
        let mut statement = conn.prepare(text).unwrap();
        let (found, time) = median(|| {
            let rows = statement.query_map([word], |row| row.get::<_, i64>(0));
            rows.unwrap().map(Result::unwrap).count()
        });
        println!(
            "words     {time:>9.2} ms (budget 5) {}  {:>2} of {word}",
            verdict(time <= 5.0),
            found.unwrap_or_default()
        );
    }
    drop(conn);

    let now = Time::parse("2026-11-24T12:00:00Z").unwrap();
    let budget = 100.0;
    for text in [
        "needle",
        "failed",
        "build needle",
        "\"policy asks\"",
        "ca*",
        "zebra",
        "verdict:deny",
        "verdict:deny needle",
        "-verdict:allow",
        "kind:boot",
        "agent:agent-3 tool:Bash path:dir7/*.rs",
        "since:2000-01-01 until:2001-01-01",
        "since:2000-01-01 kind:action",
        "kind:kill | path:file7.rs",
        "under(0) kind:seal",
    ] {
        let filter = Filter::parse(text, now).unwrap();
        let query = Query {
            filter: &filter,
            range: 0..u64::MAX,
            order: Order::NewestFirst,
        };
        let mut index = Index::open(&dir).unwrap();
        let (found, warm) = median(|| index.page(&reader, &query, 50).unwrap().len());
        drop(index);
        let began = Instant::now();
        let reader = Reader::open(&dir).unwrap();
        let mut index = Index::open(&dir).unwrap();
        index.catch_up(&reader, |_, _| ()).unwrap();
        index.page(&reader, &query, 50).unwrap();
        let opened = began.elapsed().as_secs_f64() * 1e3;
        let good = opened <= budget;
        println!(
            "query     {warm:>9.2} ms, {opened:.2} ms from opening on (budget {budget}) {}  {:>2} of `{text}`",
            verdict(good),
            found.unwrap_or_default()
        );
    }
    for seq in [7, records / 2, records - 9].map(Seq) {
        let (answers, time) = median(|| {
            let reader = Reader::open(&dir).unwrap();
            let mut index = Index::open(&dir).unwrap();
            index.catch_up(&reader, |_, _| ()).unwrap();
            let effects = |of: Seq| {
                let links = index.effects(of)?;
                Ok(links.into_iter().map(|l| (l.relation, l.seq)).collect())
            };
            let view = View::new(&reader).unwrap();
            explain(&view, &effects, seq).unwrap().answers.len()
        });
        println!(
            "why       {time:>9.2} ms from opening on (budget 50) {}  {:>2} answers about record {seq}",
            verdict(time <= 50.0),
            answers.unwrap_or_default()
        );
    }
    std::fs::remove_dir_all(&path).unwrap();
}

/// The last answer, and the median time in milliseconds.
fn median<T>(mut f: impl FnMut() -> T) -> (Option<T>, f64) {
    let mut last = None;
    let mut times: Vec<f64> = (0..15)
        .map(|_| {
            let began = Instant::now();
            last = Some(f());
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    (last, times.get(7).copied().unwrap_or(f64::NAN))
}

fn verdict(good: bool) -> &'static str {
    if good { "pass" } else { "short" }
}
