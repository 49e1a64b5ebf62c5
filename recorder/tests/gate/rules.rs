//! Another policy in the place of the one in force: that one is asked, and people sign.

use tacho_policy::{Policies, Preset};
use tacho_recorder::ErrorKind;
use tacho_recorder::draft::Way;
use tacho_recorder::gate::Wanted;
use tacho_schemas::act::{Statement, Verb};
use tacho_schemas::body::Body;
use tacho_schemas::body::log::{Assurance, Policy};
use tacho_schemas::event::Event;
use tacho_schemas::{Hash, Kind, Seq};

use super::acts::sample;
use super::support::{House, Person, hour, other_hash};

const STRICT: Wanted = Wanted::Preset(Preset::Strict);

fn digest(preset: Preset) -> Hash {
    Policies::preset(preset).unwrap().digest()
}

fn number(said: &str) -> Seq {
    let seq = said.strip_prefix("recorded as ");
    Seq(seq.unwrap_or_else(|| panic!("{said}")).parse().unwrap())
}

impl House {
    /// What an honest person would sign for another policy.
    fn for_policy(&self, digest: Hash, person: &Person) -> Statement {
        let status = self.gate.status();
        let mut statement = self.act_statement(Verb::Approve, person);
        statement.target = Some(status.policy_record);
        statement.digest = Some(digest);
        statement.policy = Some(status.policy_digest);
        statement.not_after.0 += 6 * 86_400_000_000_000;
        statement
    }

    /// Brings it as by a key that the agent's user could use.
    fn weakly(&self, digest: Hash, person: &Person) -> Seq {
        let mut body = sample(self.for_policy(digest, person), person).body;
        let said = self.through_the_door(Kind::Approval, person.name, &body);
        assert!(said.contains("it is said to have assurance"), "{said}");
        body.act.assurance = Some(Assurance::None);
        number(&self.through_the_door(Kind::Approval, person.name, &body))
    }

    fn bring(&self, statement: Statement, person: &Person) -> String {
        let body = sample(statement, person).body;
        self.through_the_door(Kind::Approval, person.name, &body)
    }

    /// Brings the signature to the gate that runs.
    pub(crate) fn sign_for(&self, policies: &Policies, person: &Person) -> Seq {
        self.sign_for_digest(policies.digest(), person)
    }

    fn sign_for_digest(&self, digest: Hash, person: &Person) -> Seq {
        number(&self.bring(self.for_policy(digest, person), person))
    }
}

#[test]
fn one_person_signs_for_another_policy() {
    let alice = Person::new("alice", 1);
    let house = House::new(Wanted::Preset(Preset::Solo), &[(&alice, Assurance::None)]);
    assert!(
        house.gate.changed().is_none(),
        "the first one replaces none"
    );
    let before = house.gate.status();
    let (error, house) = house.refused(STRICT);
    assert_eq!(error.kind(), ErrorKind::Unapproved, "{error}");
    let said = error.to_string();
    assert!(said.contains("the policy `solo` (record"), "{said}");
    assert!(
        said.contains("1 of `reviewers` (rule `hold-rules`)"),
        "{said}"
    );
    let status = house.gate.status();
    assert_eq!(
        (&*status.policy, status.policy_record),
        ("solo", before.policy_record)
    );
    // The same policy again needs nobody.
    let house = house.again(Wanted::Preset(Preset::Solo));
    assert_eq!(house.gate.status().policy_record, before.policy_record);
    let approval = house.weakly(digest(Preset::Strict), &alice);
    let house = house.again(STRICT);
    let status = house.gate.status();
    assert_eq!(status.policy, "strict");
    let changed = house.gate.changed().unwrap();
    assert_eq!(changed.from, before.policy_record);
    assert_eq!(changed.by.len(), 1);
    let Body::Policy(body) = house.record(status.policy_record).body else {
        panic!("no policy")
    };
    assert_eq!(body.supersedes, Some(before.policy_record));
    let consumes: Vec<Seq> = body.consumes.iter().flatten().copied().collect();
    assert_eq!(consumes, [approval]);
    let report = house.acts().report().clone();
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.checked, report.unsigned), (2, 0));
    // A restart with it needs nobody, and the way back needs those whom it asks for.
    let house = house.again(STRICT);
    assert!(house.gate.changed().is_none());
    house.weakly(digest(Preset::Observe), &alice);
    let (error, house) = house.refused(Wanted::Preset(Preset::Observe));
    assert!(error.to_string().contains("2 of `reviewers`"), "{error}");
    assert_eq!(house.gate.status().policy, "strict");
}

#[test]
fn two_people_sign_and_nobody_else_counts() {
    let people = [
        Person::new("alice", 1),
        Person::new("bob", 2),
        // Her key lies where an agent can use it.
        Person::new("carol", 3),
    ];
    let [alice, bob, carol] = &people;
    let house = House::new(
        Wanted::Preset(Preset::Standard),
        &[
            (alice, Assurance::OtherHost),
            (bob, Assurance::OtherHost),
            (carol, Assurance::None),
        ],
    );
    let strict = digest(Preset::Strict);
    // What is no yes of an enrolled person to exactly this is refused at the door, and counts for nothing if it stands in the log.
    let mallory = Person::new("bob", 66);
    let mut of_record = house.for_policy(strict, bob);
    of_record.target = Some(Seq(0));
    let mut of_policy = house.for_policy(strict, bob);
    of_policy.policy = Some(other_hash());
    let unknown = house.for_policy(strict, &mallory);
    let mut planted = Vec::new();
    for (statement, person, why) in [
        (of_record, bob, "answered at"),
        (of_policy, bob, "it binds something else"),
        (unknown, &mallory, "nobody is enrolled"),
    ] {
        let said = house.bring(statement.clone(), person);
        assert!(said.contains(why), "{why}: {said}");
        planted.push(house.plant(&sample(statement, person)));
    }
    house.sign_for_digest(strict, alice);
    house.sign_for_digest(strict, alice);
    house.sign_for_digest(digest(Preset::Observe), bob);
    house.weakly(strict, carol);
    let (error, house) = house.refused(STRICT);
    assert_eq!(error.kind(), ErrorKind::Unapproved, "{error}");
    let said = error.to_string();
    assert!(
        said.contains("waits for approval by 1 of `reviewers`"),
        "{said}"
    );
    assert_eq!(house.gate.status().policy, "standard");

    house.sign_for_digest(strict, bob);
    let house = house.again(STRICT);
    let mut by = house.gate.changed().unwrap().by.clone();
    by.sort();
    let by: Vec<_> = by.iter().map(tacho_schemas::Id::as_str).collect();
    assert_eq!(by, ["alice", "bob"]);
    let report = house.acts().report().clone();
    let wrong: Vec<Seq> = report.findings.iter().map(|f| f.seq).collect();
    assert_eq!(wrong, planted, "{report:?}");
    // What was signed for under the policy before is void.
    let (_, house) = house.refused(Wanted::Preset(Preset::Observe));
    assert_eq!(house.gate.status().policy, "strict");
}

#[test]
fn a_signature_for_a_policy_ends() {
    let alice = Person::new("alice", 1);
    let house = House::new(
        Wanted::Preset(Preset::Solo),
        &[(&alice, Assurance::OtherHost)],
    );
    // It would count for a week; the rule says a day.
    house.sign_for_digest(digest(Preset::Strict), &alice);
    hour(&house.clock, 25);
    let (error, house) = house.refused(STRICT);
    assert_eq!(error.kind(), ErrorKind::Unapproved, "{error}");
    house.sign_for_digest(digest(Preset::Strict), &alice);
    let house = house.again(STRICT);
    assert_eq!(house.gate.status().policy, "strict");
}

#[test]
fn rules_that_let_nobody_change_them_stay() {
    let alice = Person::new("alice", 1);
    let rules = r#"@id("work") permit (principal, action in Action::"act", resource);"#;
    let house = House::new(
        Wanted::Rules("stone".to_owned(), rules.to_owned()),
        &[(&alice, Assurance::OtherHost)],
    );
    house.sign_for_digest(digest(Preset::Strict), &alice);
    let (error, house) = house.refused(STRICT);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("is denied"), "{error}");
    assert_eq!(house.gate.status().policy, "stone");
}

#[test]
fn where_nobody_is_asked_it_is_recorded_and_counted() {
    let alice = Person::new("alice", 1);
    let people: [&[(&Person, Assurance)]; 2] = [&[(&alice, Assurance::OtherHost)], &[]];
    for (preset, people) in [Preset::Observe, Preset::Solo].into_iter().zip(people) {
        let house = House::new(Wanted::Preset(preset), people);
        let before = house.gate.status().policy_record;
        let house = house.again(STRICT);
        let changed = house.gate.changed().unwrap();
        assert!(changed.from == before && changed.by.is_empty());
        let report = house.acts().report().clone();
        assert!(report.is_good(), "{report:?}");
        assert_eq!(report.unsigned, 1);
    }
    // Who signs all the same is named.
    let house = House::new(Wanted::Preset(Preset::Observe), people[0]);
    house.sign_for_digest(digest(Preset::Strict), &alice);
    let house = house.again(STRICT);
    assert_eq!(house.gate.changed().unwrap().by.len(), 1);
    assert_eq!(house.acts().report().unsigned, 0);
}

/// Whoever writes a change down by hand: it rests on what was signed for it, or `verify` names it.
#[test]
fn a_recorded_change_rests_on_signatures_for_it() {
    let alice = Person::new("alice", 1);
    let house = House::new(
        Wanted::Preset(Preset::Solo),
        &[(&alice, Assurance::OtherHost)],
    );
    let before = house.gate.status().policy_record;
    let approval = house.sign_for_digest(digest(Preset::Strict), &alice);
    let template = house.record(before);
    let change = |policy_digest, supersedes, consumes: &[Seq]| {
        let body = Policy {
            policy_digest,
            consumes: tacho_schemas::scalar::Set::some(consumes.to_vec()).unwrap(),
            supersedes,
            preset: None,
        };
        let event = Event::new(template.actor.clone(), body);
        house.gate.log().append(event, Way::recorder()).unwrap().seq
    };
    let mut wrong = Vec::new();
    for (digest, supersedes, consumes, why) in [
        (
            digest(Preset::Observe),
            Some(before),
            &[approval][..],
            "approval of another policy",
        ),
        (
            digest(Preset::Strict),
            Some(before),
            &[][..],
            "was not in force",
        ),
        (
            digest(Preset::Strict),
            None,
            &[approval],
            "is of something else",
        ),
        (digest(Preset::Strict), None, &[Seq(0)], "no good approval"),
    ] {
        let seq = change(digest, supersedes, consumes);
        let report = house.acts().report().clone();
        let found = report.findings.iter().find(|f| f.seq == seq);
        let found = found.unwrap_or_else(|| panic!("{why}: {report:?}"));
        assert!(found.why.contains(why), "{why}: {found:?}");
        wrong.push(seq);
    }
    assert_eq!(house.acts().report().findings.len(), wrong.len());
}
