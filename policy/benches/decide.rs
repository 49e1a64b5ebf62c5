//! `cargo bench -p tacho-policy`: how long a verdict takes, against the budget.
//!
//! A verdict is a question to Cedar, with a request and its context built and checked; two or three where it is held.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark may fail loudly"
)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tacho_policy::classify::Unseen;
use tacho_policy::replay::Replay;
use tacho_policy::{Act, Call, Facts, Json, Policies, Preset, Principal, Request, classify};
use tacho_schemas::Id;
use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Effects};

/// So many rules, each with a head that names a deed and a condition of six clauses, of which the last does not hold.
fn rules(count: usize) -> Policies {
    let mut text =
        "@id(\"open\") permit (principal, action in Action::\"act\", resource);\n".to_owned();
    let acts = [
        "read",
        "write",
        "execute",
        "network",
        "delegate",
        "schedule",
        "configure",
        "mutate",
    ];
    for (number, act) in (1..count).zip(acts.iter().cycle()) {
        writeln!(
            text,
            "@id(\"rule-{number}\") forbid (principal is Agent, action == Action::\"{act}\", resource) when {{
               context.effects == Effects::\"known\" && context.facts.confinement <= 4 && !context.outside &&
               context.facts.drift < {} && context.harness != \"h{number}\" && context.facts.mutations_last_hour > {number} }};",
            number + 100
        )
        .unwrap();
    }
    Policies::parse("bench", &text).unwrap()
}

fn request() -> Request {
    let mut request = Request::deed(
        Principal::Agent(Id::new("agent").unwrap()),
        Act::Mutate,
        "Write",
    );
    request.class = Some(Class::Write);
    request.effects = Some(Effects::Known);
    request.parts.insert(Part::Build);
    request
}

/// The middle of many times, warm.
fn p50(mut f: impl FnMut()) -> Duration {
    for _ in 0..50 {
        f();
    }
    let mut times: Vec<Duration> = (0..1_001)
        .map(|_| {
            let began = Instant::now();
            f();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn row(what: &str, ours: f64, unit: &str, budget: f64, good: bool) {
    let verdict = if good { "pass" } else { "short" };
    println!("{what:<44} {ours:>12.1} {unit:<12} budget {budget:>9.0}  {verdict}");
}

fn main() {
    let facts = Facts {
        lease_fresh: true,
        ..Facts::default()
    };
    let request = request();
    for (count, budget) in [(10, 30.0), (100, 150.0), (1_000, 1_000.0)] {
        let policies = rules(count);
        let took = p50(|| {
            assert_eq!(
                policies.decide(&request, &facts).decision,
                tacho_policy::Decision::Allow
            )
        });
        let micros = took.as_secs_f64() * 1e6;
        row(
            &format!("decide, {count} rules, p50"),
            micros,
            "us",
            budget,
            micros <= budget,
        );
    }
    let standard = Policies::preset(Preset::Standard).unwrap();
    let micros = p50(|| drop(standard.decide(&request, &facts))).as_secs_f64() * 1e6;
    row(
        "decide, preset standard, p50",
        micros,
        "us",
        30.0,
        micros <= 30.0,
    );

    let was = standard
        .decide(&request, &facts)
        .body(standard.digest(), None);
    for (what, different) in [
        ("replay, all different", true),
        ("replay, one in a hundred different", false),
    ] {
        let mut replay = Replay::new(&standard);
        let count = 20_000_u32;
        let began = Instant::now();
        for number in 0..count {
            let facts = Facts {
                drift: u64::from(if different { number } else { number % 200 }),
                ..facts.clone()
            };
            std::hint::black_box(replay.decide(
                &was,
                Some(&request.to_bytes()),
                Some(&facts.to_bytes()),
            ));
        }
        let rate = f64::from(count) / began.elapsed().as_secs_f64();
        row(what, rate, "decisions/s", 20_000.0, rate >= 20_000.0);
    }

    let line = r#"{"command":"cd src && grep -rn foo . | head -20; sed -i 's/a/b/' lib.rs && git add -A && git commit -m 'x'"}"#;
    let call = Call {
        agent: Id::new("agent").unwrap(),
        cwd: "/w".to_owned(),
        harness: None,
        input: Json::parse(line).unwrap(),
        tool: Id::new("Bash").unwrap(),
        workspace: "/w".to_owned(),
    };
    let micros = p50(|| drop(classify(&call, &Unseen))).as_secs_f64() * 1e6;
    row(
        "classify a shell line, p50",
        micros,
        "us",
        1_000.0,
        micros <= 1_000.0,
    );
}
