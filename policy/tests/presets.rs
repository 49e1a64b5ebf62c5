//! What each preset decides, as tables (`fixtures/policy/*.toml`), and that each of its rules is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::path::Path;

use tacho_policy::classify::Classifier;
use tacho_policy::policies::Problem;
use tacho_policy::table::Table;
use tacho_policy::{Approver, Policies, Preset};
use tacho_schemas::{Id, Seq};

fn table(preset: Preset) -> Table {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/policy");
    let text = std::fs::read_to_string(folder.join(format!("{preset}.toml"))).unwrap();
    Table::parse(&text).unwrap_or_else(|e| panic!("{preset}: {e}"))
}

fn built_in() -> Classifier {
    Classifier::new("", "").unwrap()
}

#[test]
fn each_preset_decides_as_its_table_says() {
    let mut wrong = String::new();
    for preset in Preset::ALL {
        let policies = Policies::preset(preset).unwrap_or_else(|e| panic!("{preset}: {e}"));
        for difference in table(preset).run(&policies, &built_in()).unwrap() {
            wrong += &format!("{preset}: {difference:#?}\n");
        }
    }
    assert_eq!(wrong, "");
}

/// The text of a preset without one of its rules, for each of them.
fn without_one(preset: Preset) -> Vec<(Id, String)> {
    let policies = Policies::preset(preset).unwrap();
    let rules = policies.rules();
    let others = |gone: &Id| {
        let kept = rules.iter().filter(|(id, _)| *id != gone);
        kept.map(|(_, rule)| rule.text.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    };
    rules.keys().map(|id| (id.clone(), others(id))).collect()
}

#[test]
fn no_rule_of_a_preset_can_be_taken_away_without_a_row_noticing() {
    let classifier = built_in();
    for preset in Preset::ALL {
        let table = table(preset);
        for (gone, text) in without_one(preset) {
            let policies = Policies::parse("less", &text).unwrap();
            let noticed = !table.run(&policies, &classifier).unwrap().is_empty();
            assert!(noticed, "{preset}: no row needs `{gone}`");
        }
    }
}

#[test]
fn each_preset_survives_being_read_again() {
    for preset in Preset::ALL {
        let policies = Policies::preset(preset).unwrap();
        let again = Policies::parse(policies.name(), preset.text()).unwrap();
        assert_eq!(again.digest(), policies.digest());
        assert_eq!(Preset::from_name(preset.name()), Some(preset));
        assert_eq!(policies.bytes(), preset.text().as_bytes());
        assert_eq!(policies.opens_guard_surface(), preset == Preset::Observe);
        assert!(policies.schema_text().contains("\"reviewers\": Long"));
    }
}

fn human(name: &str) -> Approver {
    Approver {
        groups: vec![Id::new("reviewers").unwrap()],
        human: Id::new(name).unwrap(),
        initiator: false,
        launcher: false,
        seq: Seq(1),
        weak: false,
    }
}

#[test]
fn a_preset_that_asks_for_more_people_than_there_are_is_a_problem() {
    let problems = |preset: Preset, enrolled: &[Approver]| {
        let problems: Vec<Problem> = Policies::preset(preset).unwrap().check(enrolled);
        problems
            .iter()
            .filter_map(|p| p.rule.clone())
            .collect::<Vec<_>>()
    };
    let alone = Approver {
        launcher: true,
        weak: true,
        ..human("h1")
    };
    assert_eq!(problems(Preset::Observe, &[]), [""; 0]);
    assert_eq!(
        problems(Preset::Solo, std::slice::from_ref(&alone)),
        [""; 0]
    );
    assert_eq!(
        problems(Preset::Solo, &[]),
        [
            "hold-pipeline",
            "hold-release",
            "hold-rules",
            "unknown-effects"
        ]
    );
    assert_eq!(
        problems(Preset::Standard, &[human("h1"), human("h1")]),
        ["hold-rules"]
    );
    assert_eq!(
        problems(Preset::Standard, &[human("h1"), human("h2")]),
        [""; 0]
    );
    assert_eq!(
        problems(Preset::Strict, &[human("h1"), alone]),
        ["hold-release", "hold-rules"]
    );
}
