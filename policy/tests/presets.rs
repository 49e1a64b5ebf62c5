//! Each preset is a policy.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use tacho_policy::classify::Unseen;
use tacho_policy::{Approver, Call, Decision, Facts, Json, Policies, Preset, Request, classify};
use tacho_schemas::body::work::DenyKind;
use tacho_schemas::{Id, Seq};

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

#[test]
fn each_preset_is_a_policy_and_survives_being_read_again() {
    for preset in Preset::ALL {
        let policies = Policies::preset(preset).unwrap_or_else(|e| panic!("{preset}: {e}"));
        let again = Policies::parse(policies.name(), preset.text()).unwrap();
        assert_eq!(again.digest(), policies.digest());
        assert_eq!(Preset::from_name(preset.name()), Some(preset));
    }
}

#[test]
fn a_command_that_nobody_understands_waits_and_is_allowed_once_a_human_approved() {
    let call = Call {
        agent: id("me"),
        cwd: "/w".to_owned(),
        harness: None,
        input: Json::parse(r#"{"command":"./mystery"}"#).unwrap(),
        tool: id("Bash"),
        workspace: "/w".to_owned(),
    };
    let request = Request::of(&call, &classify(&call, &Unseen));
    let solo = Policies::preset(Preset::Solo).unwrap();
    let mut facts = Facts::default();
    assert_eq!(
        solo.decide(&request, &facts).decision,
        Decision::Deny(DenyKind::LeaseLapsed)
    );
    facts.lease_fresh = true;
    let held = solo.decide(&request, &facts);
    assert_eq!(held.decision, Decision::Hold, "{}", held.reason);
    assert_eq!(held.obligations.len(), 1);
    facts.approvals = vec![Approver {
        groups: vec![id("reviewers")],
        human: id("h1"),
        initiator: false,
        launcher: true,
        seq: Seq(7),
        weak: true,
    }];
    let allowed = solo.decide(&request, &facts);
    assert_eq!(allowed.decision, Decision::Allow, "{}", allowed.reason);
    assert_eq!(allowed.used, [Seq(7)]);
    // `standard` wants another human than the one who started the agent, and a key out of the agent's reach.
    let standard = Policies::preset(Preset::Standard).unwrap();
    assert_eq!(standard.decide(&request, &facts).decision, Decision::Hold);
    facts.killed = true;
    assert_eq!(
        solo.decide(&request, &facts).decision,
        Decision::Deny(DenyKind::Killed)
    );
    assert_eq!(Request::from_bytes(&request.to_bytes()).unwrap(), request);
}
