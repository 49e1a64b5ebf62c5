//! Laws that hold for all requests, all facts and all presets, and a second evaluator that knows nothing of Cedar.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tacho_policy::hold::{Accepts, Obligation, Places};
use tacho_policy::{Act, Approver, Decision, Facts, Policies, Preset, Principal, Request};
use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Confinement, DenyKind, Effects};
use tacho_schemas::{Id, Seq};

static PRESETS: LazyLock<Vec<(Preset, Policies)>> = LazyLock::new(|| {
    let all = Preset::ALL.into_iter();
    all.map(|preset| (preset, Policies::preset(preset).unwrap()))
        .collect()
});

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn values<T: Copy + std::fmt::Debug + 'static>(
    all: &'static [(u64, &'static str, T)],
) -> impl Strategy<Value = T> {
    select(all.iter().map(|(_, _, value)| *value).collect::<Vec<_>>())
}

prop_compose! {
    fn approvers()(list in prop::collection::vec((0..4_u8, 0..4_u8, any::<[bool; 3]>()), 0..5)) -> Vec<Approver> {
        let groups = [vec![], vec![id("reviewers")], vec![id("owners")], vec![id("owners"), id("reviewers")]];
        let approver = |(seq, (human, group, flags)): (u64, (u8, u8, [bool; 3]))| Approver {
            groups: groups[usize::from(group)].clone(),
            human: id(&format!("h{human}")),
            initiator: flags[0],
            launcher: flags[1],
            seq: Seq(seq),
            weak: flags[2],
        };
        (10..).zip(list).map(approver).collect()
    }
}

prop_compose! {
    fn facts()(
        approvals in approvers(),
        confinement in values(Confinement::ALL),
        numbers in prop::array::uniform3(prop_oneof![0_u64..25, any::<u64>()]),
        flags in any::<[bool; 4]>(),
        killed in prop::bool::weighted(0.1),
        lease in prop::bool::weighted(0.9),
    ) -> Facts {
        Facts {
            approvals,
            confinement,
            consecutive_denials: numbers[0],
            drift: numbers[1],
            mutations_last_hour: numbers[2],
            killed,
            lease_fresh: lease,
            own: flags[0],
            rationale: flags[1],
            single_person: flags[2],
            groups: if flags[3] { vec![id("reviewers")] } else { vec![] },
            ..Facts::default()
        }
    }
}

prop_compose! {
    fn call()(
        class in values(Class::ALL),
        effects in values(Effects::ALL),
        parts in subsequence(Part::ALL.iter().map(|p| p.2).collect::<Vec<_>>(), 0..4),
        outside in any::<bool>(),
    ) -> Request {
        let mut request = Request::deed(Principal::Agent(id("a")), class.into(), "Tool");
        request.class = Some(class);
        request.effects = Some(effects);
        request.outside = outside;
        request.parts = parts.into_iter().collect();
        if !request.parts.is_empty() {
            request.act = Act::Mutate;
        }
        request
    }
}

fn deed() -> impl Strategy<Value = Request> {
    let acts = Act::ALL
        .into_iter()
        .filter(|act| !act.is_call())
        .collect::<Vec<_>>();
    let who = prop_oneof![
        Just(Principal::Agent(id("a"))),
        Just(Principal::Human(id("h1"))),
        Just(Principal::Watchdog(id("w")))
    ];
    (select(acts), who).prop_map(|(act, who)| Request::deed(who, act, "it"))
}

fn any_request() -> impl Strategy<Value = Request> {
    prop_oneof![3 => call(), 1 => deed()]
}

/// The presets again, in plain Rust, from what their documents say: no Cedar, no rules, no rounds.
fn reference(preset: Preset, request: &Request, facts: &Facts) -> &'static str {
    use Part::*;
    let agent = matches!(request.principal, Principal::Agent(_));
    let human = matches!(request.principal, Principal::Human(_));
    let enough = |k: usize, also: fn(&Approver) -> bool| {
        let humans: BTreeSet<&Id> = facts
            .approvals
            .iter()
            .filter(|a| a.groups.contains(&id("reviewers")) && also(a))
            .map(|a| &a.human)
            .collect();
        if humans.len() >= k { "allow" } else { "hold" }
    };
    let strict: fn(&Approver) -> bool = |a| !a.weak && !a.launcher && !a.initiator;
    let own_agent: fn(&Approver) -> bool = |a| !a.weak && !a.initiator;
    let loose: fn(&Approver) -> bool = |a| !a.initiator;
    if !request.act.is_call() {
        return match request.act {
            Act::Kill => "allow",
            _ if !human => "policy_error",
            Act::Approve | Act::Deny => "allow",
            _ if preset == Preset::Observe => "allow",
            Act::Release => match preset {
                Preset::Solo => enough(1, |_| true),
                Preset::Standard => enough(1, own_agent),
                _ => enough(2, strict),
            },
            _ => match preset {
                Preset::Solo => enough(1, loose),
                Preset::Standard => enough(2, own_agent),
                _ => enough(2, strict),
            },
        };
    }
    assert!(agent);
    if facts.killed {
        return "killed";
    }
    if !facts.lease_fresh {
        return "lease_lapsed";
    }
    if preset == Preset::Observe {
        return "allow";
    }
    let touches = |parts: &[Part]| parts.iter().any(|p| request.parts.contains(p));
    let unknown = request.effects == Some(Effects::Unknown);
    let loose_cell = unknown && facts.confinement < Confinement::Cell;
    let later = request.class == Some(Class::Schedule);
    let held = match preset {
        Preset::Solo => touches(&[
            Code,
            Prompt,
            Tools,
            Memory,
            Weights,
            DataIngestion,
            Resources,
            Training,
            Evaluations,
            Ci,
            Deploy,
            Permissions,
        ]),
        Preset::Standard => touches(&[Weights, Training, Evaluations, Ci, Deploy, Permissions]),
        _ => request.parts.iter().any(|p| *p != GuardSurface),
    };
    if touches(&[GuardSurface]) || (held && unknown) {
        return "forbidden";
    }
    if preset == Preset::Strict {
        let mutates = !request.parts.is_empty();
        let drumming = facts.consecutive_denials >= 10 && request.class != Some(Class::Read);
        let burst = mutates && facts.mutations_last_hour > 20;
        if loose_cell
            || later
            || request.outside
            || drumming
            || burst
            || (mutates && !facts.rationale)
        {
            return "forbidden";
        }
    }
    let waits = match preset {
        Preset::Solo => held || loose_cell,
        Preset::Standard => held || loose_cell || (later && request.parts.is_empty()),
        _ => held,
    };
    match (waits, preset) {
        (false, _) => "allow",
        (true, Preset::Solo) => enough(1, loose),
        (true, _) => enough(1, strict),
    }
}

fn name(decision: Decision) -> &'static str {
    tacho_policy::table::name_of(decision)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_second_evaluator_says_the_same(request in any_request(), facts in facts()) {
        for (preset, policies) in PRESETS.iter() {
            let verdict = policies.decide(&request, &facts);
            prop_assert_eq!(name(verdict.decision), reference(*preset, &request, &facts), "{} {:?}", preset, verdict);
        }
    }

    #[test]
    fn a_kill_outvotes_all(request in call(), facts in facts()) {
        let killed = Facts { killed: true, ..facts };
        for (preset, policies) in PRESETS.iter() {
            let decision = policies.decide(&request, &killed).decision;
            prop_assert_eq!(decision, Decision::Deny(DenyKind::Killed), "{}", preset);
        }
    }

    #[test]
    fn one_more_approval_never_makes_things_worse(request in any_request(), facts in facts(), more in approvers()) {
        let rank = |decision: Decision| match decision {
            Decision::Deny(_) => 0,
            Decision::Hold => 1,
            Decision::Allow => 2,
        };
        for (preset, policies) in PRESETS.iter() {
            let before = policies.decide(&request, &facts).decision;
            let mut facts = facts.clone();
            facts.approvals.extend(more.iter().cloned());
            let after = policies.decide(&request, &facts).decision;
            prop_assert!(rank(after) >= rank(before), "{}: {:?} then {:?}", preset, before, after);
            // And a denial is no question that people could answer.
            prop_assert!(rank(before) != 0 || rank(after) == 0, "{}: {:?} then {:?}", preset, before, after);
        }
    }

    #[test]
    fn agents_never_change_the_guard_surface(request in call(), facts in facts()) {
        let mut request = request;
        request.parts.insert(Part::GuardSurface);
        request.act = Act::Mutate;
        for (preset, policies) in PRESETS.iter().filter(|(p, _)| *p != Preset::Observe) {
            let decision = policies.decide(&request, &facts).decision;
            prop_assert!(matches!(decision, Decision::Deny(_)), "{}: {:?}", preset, decision);
        }
    }

    #[test]
    fn an_allow_rests_on_as_many_humans_as_it_uses_approvals(request in any_request(), facts in facts()) {
        for (_, policies) in PRESETS.iter() {
            let verdict = policies.decide(&request, &facts);
            let used: Vec<_> = facts.approvals.iter().filter(|a| verdict.used.contains(&a.seq)).collect();
            let humans: BTreeSet<_> = used.iter().map(|a| &a.human).collect();
            prop_assert_eq!(humans.len(), verdict.used.len());
            let asked: u64 = verdict.obligations.iter().map(|o| o.k).sum();
            if verdict.decision == Decision::Allow {
                prop_assert_eq!(u64::try_from(used.len()).unwrap(), asked);
            } else {
                prop_assert!(verdict.used.is_empty());
            }
        }
    }

    #[test]
    fn a_verdict_can_be_recorded_and_a_request_comes_back(request in any_request(), facts in facts()) {
        let (_, policies) = &PRESETS[2];
        let body = policies.decide(&request, &facts).body(policies.digest(), Some(Seq(3)));
        prop_assert_eq!(body.deny_kind.is_some(), body.decision == tacho_schemas::body::work::Decision::Deny);
        prop_assert_eq!(Request::from_bytes(&request.to_bytes()).unwrap(), request.clone());
        prop_assert_eq!(Facts::from_bytes(&facts.to_bytes()).unwrap(), facts);
        // No blanks, no numbers, keys in order: one spelling, whoever writes it.
        let json = tacho_policy::Json::parse(std::str::from_utf8(&request.to_bytes()).unwrap()).unwrap();
        prop_assert_eq!(json.to_text().into_bytes(), request.to_bytes());
        prop_assert_ne!(request.digest(&[1; 32]), request.digest(&[2; 32]));
    }

    /// Against all ways of filling places, one after the other.
    #[test]
    fn places_are_filled_as_well_as_can_be(
        asks in prop::collection::vec((0..3_usize, 1..3_u64, any::<[bool; 3]>()), 1..4),
        approvals in approvers(),
    ) {
        let groups = ["reviewers", "owners", "nobody"];
        let obligations: Vec<Obligation> = asks
            .iter()
            .enumerate()
            .map(|(at, (group, k, accepts))| Obligation {
                accepts: Accepts { initiator: accepts[0], launcher: accepts[1], weak: accepts[2] },
                group: id(groups[*group]),
                k: *k,
                rule: id(&format!("r{at}")),
                ttl_secs: None,
            })
            .collect();
        let places = Places::fill(&obligations, &approvals);
        let filled: Vec<_> = places.as_slice().iter().filter_map(|p| p.by.as_ref()).collect();
        let humans: BTreeSet<_> = filled.iter().map(|(human, _)| human).collect();
        prop_assert_eq!(humans.len(), filled.len(), "one human fills two places");
        for place in places.as_slice() {
            let Some((human, seq)) = &place.by else { continue };
            let obligation = obligations.iter().find(|o| o.rule == place.rule).unwrap();
            prop_assert!(approvals.iter().any(|a| a.human == *human && a.seq == *seq && obligation.takes(a)));
        }
        fn most(places: &[&Obligation], approvals: &[Approver], taken: &mut BTreeSet<Id>) -> usize {
            let Some((first, rest)) = places.split_first() else { return 0 };
            let mut best = most(rest, approvals, taken);
            let fitting: BTreeSet<Id> = approvals.iter().filter(|a| first.takes(a)).map(|a| a.human.clone()).collect();
            for human in fitting {
                if taken.insert(human.clone()) {
                    best = best.max(1 + most(rest, approvals, taken));
                    taken.remove(&human);
                }
            }
            best
        }
        let asked: Vec<&Obligation> = obligations.iter().flat_map(|o| (0..o.k).map(move |_| o)).collect();
        prop_assert_eq!(filled.len(), most(&asked, &approvals, &mut BTreeSet::new()));
        prop_assert_eq!(places.is_full(), filled.len() == asked.len());
    }
}
