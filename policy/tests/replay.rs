//! Deciding recorded history again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use tacho_policy::replay::{Outcome, Replay};
use tacho_policy::{Act, Decision, Facts, Policies, Preset, Principal, Request};
use tacho_schemas::Id;
use tacho_schemas::body::Part;
use tacho_schemas::body::work::{self, Class, DenyKind, Effects};

#[test]
fn history_comes_out_the_same_by_its_own_policy_and_differs_by_another() {
    let solo = Policies::preset(Preset::Solo).unwrap();
    let strict = Policies::preset(Preset::Strict).unwrap();
    let mut ci = Request::deed(
        Principal::Agent(Id::new("a").unwrap()),
        Act::Mutate,
        "Write",
    );
    ci.class = Some(Class::Write);
    ci.effects = Some(Effects::Known);
    ci.parts.insert(Part::Ci);
    let mut build = ci.clone();
    build.parts = [Part::Build].into();
    let facts = Facts {
        lease_fresh: true,
        ..Facts::default()
    };
    let (mut own, mut other) = (Replay::new(&solo), Replay::new(&strict));
    let mut changes = Vec::new();
    for request in [&ci, &build, &ci, &build] {
        let was = solo.decide(request, &facts).body(solo.digest(), None);
        let (request, facts) = (request.to_bytes(), facts.to_bytes());
        assert_eq!(
            own.decide(&was, Some(&request), Some(&facts)),
            Outcome::Same
        );
        if let Outcome::Changed { was, now, .. } = other.decide(&was, Some(&request), Some(&facts))
        {
            changes.push((was, now));
        }
    }
    let denied = Decision::Deny(DenyKind::Forbidden);
    let (held, allowed) = (work::Decision::Hold, work::Decision::Allow);
    assert_eq!(
        changes,
        [
            (held, denied),
            (allowed, denied),
            (held, denied),
            (allowed, denied)
        ]
    );
    assert_eq!(
        (own.decided, other.decided),
        (2, 2),
        "equal requests are decided once"
    );

    // What is not there, or was no rule's answer, is said to be so.
    let mut was = solo.decide(&ci, &facts).body(solo.digest(), None);
    let (request, facts) = (ci.to_bytes(), facts.to_bytes());
    let not = |outcome: Outcome| match outcome {
        Outcome::NotReplayable(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(not(own.decide(&was, None, Some(&facts))).contains("request is not"));
    assert!(not(own.decide(&was, Some(&request), None)).contains("knew is not"));
    assert!(not(own.decide(&was, Some(b"{}"), Some(&facts))).contains("does not read"));
    let spaced = [&request[..], b" "].concat();
    assert!(not(own.decide(&was, Some(&spaced), Some(&facts))).contains("does not read"));
    assert!(
        not(own.decide(&was, Some(&request), Some(b"{\"killed\":false}")))
            .contains("does not read")
    );
    was.decision = work::Decision::Deny;
    was.deny_kind = Some(DenyKind::Unapproved);
    assert!(not(own.decide(&was, Some(&request), Some(&facts))).contains("ran out"));
    was.deny_kind = Some(DenyKind::Unrecordable);
    assert!(not(own.decide(&was, Some(&request), Some(&facts))).contains("could not be recorded"));
}
