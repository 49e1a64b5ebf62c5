//! What a policy must not be able to say, and what becomes of one that goes wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use tacho_policy::{Act, Approver, Decision, Facts, Policies, Principal, Request};
use tacho_schemas::body::work::{Class, DenyKind, Effects};
use tacho_schemas::{Id, Seq};

const OPEN: &str = "@id(\"open\") permit (principal, action, resource);\n";

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn read() -> Request {
    let mut request = Request::deed(Principal::Agent(id("a")), Act::Read, "Read");
    request.class = Some(Class::Read);
    request.effects = Some(Effects::Known);
    request
}

fn fresh() -> Facts {
    Facts {
        lease_fresh: true,
        ..Facts::default()
    }
}

fn approver(human: &str, seq: u64, groups: &[&str]) -> Approver {
    Approver {
        groups: groups.iter().map(|g| id(g)).collect(),
        human: id(human),
        initiator: false,
        launcher: false,
        seq: Seq(seq),
        weak: false,
    }
}

#[test]
fn what_a_policy_must_not_say_is_refused_with_the_reason() {
    for (rule, why) in [
        // Approvals anywhere but in the one form.
        (
            "@id(\"x\") permit (principal, action == Action::\"mutate\", resource) when { context.approvals.reviewers >= 2 };",
            "in another way",
        ),
        (
            "@id(\"x\") permit (principal, action == Action::\"mutate\", resource) unless { context.approvals.reviewers >= 2 };",
            "is a permit that asks",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"2\") permit (principal, action == Action::\"mutate\", resource);",
            "is a permit with @approval",
        ),
        (
            "@id(\"x\") @approval(\"owners\") @k(\"2\") forbid (principal, action == Action::\"mutate\", resource) unless { context.approvals.owners + context.approvals.reviewers >= 2 };",
            "in another way",
        ),
        (
            "@id(\"x\") @approval(\"owners\") @k(\"2\") forbid (principal, action == Action::\"mutate\", resource) unless { context.approvals.owners * 2 >= 2 };",
            "in another way",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"2\") forbid (principal, action == Action::\"mutate\", resource) unless { context.approvals.reviewers > 1 };",
            "in another way",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"2\") forbid (principal, action == Action::\"mutate\", resource) unless { 2 <= context.approvals.reviewers };",
            "in another way",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"2\") forbid (principal, action == Action::\"mutate\", resource) unless { context.approvals.reviewers >= 2 || context.exact };",
            "in another way",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"2\") forbid (principal, action == Action::\"mutate\", resource) when { context.approvals.reviewers < 2 };",
            "in another way",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"1\") forbid (principal, action == Action::\"mutate\", resource) unless { context.approvals.reviewers >= context.facts.drift };",
            "in another way",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"1\") forbid (principal, action == Action::\"mutate\", resource) when { context has approvals } unless { context.approvals.reviewers >= 1 };",
            "in another way",
        ),
        (
            "@id(\"x\") forbid (principal, action == Action::\"mutate\", resource) when { context == context };",
            "in another way",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"1\") forbid (principal, action == Action::\"mutate\", resource) unless { context.approvals.reviewers >= 1 } unless { context.approvals.reviewers >= 1 };",
            "twice",
        ),
        // Annotations that say something else than the condition.
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"1\") forbid (principal, action == Action::\"mutate\", resource) unless { context.approvals.reviewers >= 2 };",
            "but waits for `reviewers >= 2`",
        ),
        (
            "@id(\"x\") @approval(\"owners\") @k(\"2\") forbid (principal, action == Action::\"mutate\", resource) unless { context.approvals.reviewers >= 2 };",
            "but waits for `reviewers >= 2`",
        ),
        (
            "@id(\"x\") forbid (principal, action == Action::\"mutate\", resource) unless { context.approvals.reviewers >= 2 };",
            "does not say so",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"2\") forbid (principal, action == Action::\"mutate\", resource);",
            "nothing that approvals switch off",
        ),
        (
            "@id(\"x\") @k(\"2\") forbid (principal, action == Action::\"mutate\", resource);",
            "has @k but no @approval",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"0\") forbid (principal, action, resource) unless { context.approvals.reviewers >= 0 };",
            "@k is \"0\"",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"1000000\") forbid (principal, action, resource) unless { context.approvals.reviewers >= 1000000 };",
            "@k is",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"1\") @ttl(\"soon\") forbid (principal, action, resource) unless { context.approvals.reviewers >= 1 };",
            "@ttl is",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"1\") @accepts(\"anybody\") forbid (principal, action, resource) unless { context.approvals.reviewers >= 1 };",
            "@accepts has",
        ),
        (
            "@id(\"x\") @approval(\"reviewers\") @k(\"1\") @bind(\"nothing\") forbid (principal, action, resource) unless { context.approvals.reviewers >= 1 };",
            "@bind is",
        ),
        (
            "@id(\"x\") @approval(\"Re Viewers\") @k(\"1\") forbid (principal, action, resource);",
            "a group has",
        ),
        (
            "@id(\"x\") @aproval(\"reviewers\") forbid (principal, action, resource);",
            "@aproval means nothing",
        ),
        (
            "@id(\"x\") @finding(\"y\") forbid (principal, action, resource);",
            "is a forbid with @finding",
        ),
        // Names.
        ("permit (principal, action, resource);", "has no @id"),
        (
            "@id(\"open\") forbid (principal, action, resource);",
            "stands twice",
        ),
        (
            "@id(\"x\") permit (principal == ?principal, action, resource);",
            "templates",
        ),
        // Types.
        (
            "@id(\"x\") forbid (principal, action == Action::\"mutate\", resource) when { context.parts.contains(Part::\"cii\") };",
            "rule `x`",
        ),
        (
            "@id(\"x\") forbid (principal, action == Action::\"mutate\", resource) when { context.killed };",
            "rule `x`",
        ),
        (
            "@id(\"x\") permit (principal is Agent, action == Action::\"release\", resource);",
            "rule `x`",
        ),
        (
            "@id(\"x\") forbid (principal in Group::\"reviewers\", action == Action::\"mutat\", resource);",
            "rule `x`",
        ),
        ("\n@id(\"x\") forbid (principal, action", "line 3: "),
    ] {
        let text = format!("{OPEN}{rule}");
        let error = Policies::parse("trap", &text).expect_err(rule).to_string();
        assert!(error.contains(why), "{rule}\n  {error}");
    }
    assert!(Policies::parse("long", &" ".repeat(2 << 20)).is_err());
}

/// A forbid that cannot be evaluated is skipped by Cedar, and what it forbids would flow.
#[test]
fn a_rule_that_errs_denies() {
    let text = format!(
        "{OPEN}@id(\"overflows\") forbid (principal, action in Action::\"act\", resource) when {{ context.facts.drift * 9223372036854775807 > 5 }};"
    );
    let policies = Policies::parse("errs", &text).unwrap();
    assert_eq!(policies.decide(&read(), &fresh()).decision, Decision::Allow);
    let mut facts = fresh();
    facts.drift = 2;
    let verdict = policies.decide(&read(), &facts);
    assert_eq!(verdict.decision, Decision::Deny(DenyKind::PolicyError));
    assert_eq!(verdict.rules, [id("overflows")]);
    // A permit that errs too: what it says is not known.
    let text = "@id(\"x\") permit (principal, action, resource); @id(\"y\") permit (principal, action in Action::\"act\", resource) when { context.facts.drift * 9223372036854775807 > 5 };";
    let verdict = Policies::parse("errs", text)
        .unwrap()
        .decide(&read(), &facts);
    assert_eq!(verdict.decision, Decision::Deny(DenyKind::PolicyError));
}

#[test]
fn the_reason_is_that_of_the_round_that_people_could_not_change() {
    // Nothing permits it: whoever approves would approve in vain, so nobody is asked.
    let gate = "@id(\"gate\") @approval(\"reviewers\") @k(\"1\") forbid (principal, action in Action::\"act\", resource) unless { context.approvals.reviewers >= 1 };";
    let verdict = Policies::parse("no permit", gate)
        .unwrap()
        .decide(&read(), &fresh());
    assert_eq!(verdict.decision, Decision::Deny(DenyKind::NotPermitted));
    assert!(
        verdict.reason.contains("no rule permits `read`"),
        "{}",
        verdict.reason
    );
    // No rule at all.
    let nothing = Policies::parse("nothing", "").unwrap();
    assert_eq!(
        nothing.decide(&read(), &fresh()).decision,
        Decision::Deny(DenyKind::NotPermitted)
    );
    // A true forbid beside a gate: the forbid is why.
    let text = format!(
        "{OPEN}{gate}@id(\"never\") @explain(\"not here\") forbid (principal, action == Action::\"read\", resource);"
    );
    let verdict = Policies::parse("both", &text)
        .unwrap()
        .decide(&read(), &fresh());
    assert_eq!(verdict.decision, Decision::Deny(DenyKind::Forbidden));
    assert_eq!(verdict.rules, [id("never")]);
    assert!(verdict.reason.ends_with("not here"), "{}", verdict.reason);
}

#[test]
fn one_human_in_two_groups_fills_one_place() {
    let gate = |name: &str, group: &str| {
        format!(
            "@id(\"{name}\") @approval(\"{group}\") @k(\"1\") forbid (principal, action in Action::\"act\", resource) unless {{ context.approvals.{group} >= 1 }};"
        )
    };
    let text = format!("{OPEN}{}{}", gate("a", "owners"), gate("b", "reviewers"));
    let policies = Policies::parse("two", &text).unwrap();
    let decide = |approvals: Vec<Approver>| {
        policies.decide(
            &read(),
            &Facts {
                approvals,
                ..fresh()
            },
        )
    };
    let both = ["owners", "reviewers"];
    assert_eq!(decide(vec![]).obligations.len(), 2);
    let one = decide(vec![approver("h1", 1, &both)]);
    assert_eq!(one.decision, Decision::Hold);
    assert!(one.reason.contains("1 of `reviewers`"), "{}", one.reason);
    // Two keys, one human.
    assert_eq!(
        decide(vec![approver("h1", 1, &both), approver("h1", 2, &both)]).decision,
        Decision::Hold
    );
    // Two humans, one of whom moves on for the other.
    let two = decide(vec![
        approver("h1", 1, &both),
        approver("h2", 2, &["owners"]),
    ]);
    assert_eq!(two.decision, Decision::Allow);
    assert_eq!(two.used, [Seq(1), Seq(2)]);
    assert_eq!(
        decide(vec![
            approver("h1", 1, &["owners"]),
            approver("h2", 2, &["owners"])
        ])
        .decision,
        Decision::Hold
    );
    // An approval that nothing asks for is not used up.
    let three = decide(vec![
        approver("h1", 1, &both),
        approver("h2", 2, &["owners"]),
        approver("h3", 3, &both),
    ]);
    assert_eq!(three.used.len(), 2);
}

#[test]
fn an_explanation_names_clause_value_and_the_smallest_change() {
    use tacho_schemas::body::Part;
    let strict = Policies::preset(tacho_policy::Preset::Strict).unwrap();
    let mut request = read();
    request.act = Act::Mutate;
    request.parts.insert(Part::Ci);
    let mut facts = Facts {
        rationale: true,
        mutations_last_hour: 21,
        ..fresh()
    };
    let told = strict.explain(&request, &facts);
    let fired = &told.fired[0];
    assert_eq!(fired.rule, id("no-burst"));
    assert_eq!(fired.clauses[0].holds, Some(true));
    assert_eq!(
        fired.clauses[0].values,
        [(
            "context.facts.mutations_last_hour".to_owned(),
            "21".to_owned()
        )]
    );
    assert!(
        told.would_allow
            .contains(&"it waits an hour; then people would be asked".to_owned()),
        "{told:?}"
    );
    // What came near: one clause did not hold, with its value.
    let near = told.near.iter().find(|n| n.rule == id("says-why")).unwrap();
    assert_eq!(
        near.clauses[0].values,
        [("context.facts.rationale".to_owned(), "true".to_owned())]
    );
    facts.mutations_last_hour = 0;
    let held = strict.explain(&request, &facts);
    assert_eq!(
        held.would_allow,
        ["approval by 1 of `reviewers` (rule `hold-pipeline`)"]
    );
    // Two things at once.
    facts.mutations_last_hour = 30;
    facts.rationale = false;
    let two = strict.explain(&request, &facts);
    assert!(
        two.would_allow
            .iter()
            .any(|w| w.starts_with("the agent says why, and it waits an hour")),
        "{two:?}"
    );
    // The guard surface: only another action helps.
    request.parts = [Part::GuardSurface].into();
    let never = strict.explain(
        &request,
        &Facts {
            rationale: true,
            ..fresh()
        },
    );
    assert_eq!(never.would_allow, ["it leaves the guard surface alone"]);
}
