//! Whoever writes an act of a human down: it counts only if that human signed it.

use tacho_policy::Preset;
use tacho_recorder::acts::Fold;
use tacho_recorder::draft::Way;
use tacho_recorder::gate::server::Door;
use tacho_recorder::gate::wire::SwitchAct;
use tacho_recorder::gate::{Step, Wanted, Why};
use tacho_recorder::read::View;
use tacho_recorder::switch::acts;
use tacho_recorder::{LogDir, Reader};
use tacho_schemas::act::{NAMESPACE, Statement, Verb};
use tacho_schemas::body::human::{Act, Answer, Approval, Scope, Trigger};
use tacho_schemas::body::log::Assurance;
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType, Via};
use tacho_schemas::scalar::Blob;
use tacho_schemas::{Id, Kind, Seq, Time, sshsig, tree};

use super::support::{House, Person, other_hash};

const HOUR: i64 = 3_600_000_000_000;

/// An approval as it would be recorded, before somebody meddles with it.
#[derive(Clone)]
struct Sample {
    by: &'static str,
    statement: Statement,
    body: Approval,
}

fn act(statement: &Statement, person: &Person) -> Act {
    let text = statement.to_string();
    let blob = sshsig::from_armoured(&person.sign_in(NAMESPACE, &text, 1)).unwrap();
    Act {
        key: person.public().fingerprint(),
        assurance: Some(Assurance::OtherHost),
        statement: Blob::new(text.into_bytes()).unwrap(),
        sshsig: Blob::new(blob).unwrap(),
    }
}

fn sample(statement: Statement, person: &Person) -> Sample {
    Sample {
        by: person.name,
        body: Approval {
            request_digest: statement.digest.unwrap(),
            target: statement.target.unwrap(),
            answer: Answer::Approve,
            not_after: Some(statement.not_after),
            act: act(&statement, person),
        },
        statement,
    }
}

fn human(name: &str) -> Actor {
    Actor {
        actor_type: ActorType::Human,
        id: Id::new(name).unwrap(),
        model: None,
        on_behalf_of: None,
    }
}

fn by_hand() -> Way {
    Way {
        via: Via::Human,
        auth: None,
        import: None,
    }
}

impl House {
    pub(crate) fn acts(&self) -> Fold {
        let reader = Reader::open(&LogDir::open(self.gate.log().path()).unwrap()).unwrap();
        Fold::read(&View::new(&reader).unwrap()).unwrap()
    }

    /// Writes an approval straight into the log, as somebody would who got hold of it.
    fn plant(&self, sample: &Sample) -> Seq {
        let mut event = Event::new(human(sample.by), sample.body.clone());
        event.causes = vec![sample.body.target];
        self.gate.log().append(event, by_hand()).unwrap().seq
    }

    fn through_the_door(&self, kind: Kind, by: &str, body: &impl serde::Serialize) -> String {
        let act = SwitchAct {
            kind,
            body: serde_json::to_string(body).unwrap(),
            by: Some(Id::new(by).unwrap()),
            text: None,
            causes: None,
        };
        match self.gate.switch_act(Self::peer(Door::Reviewers), act) {
            Ok(seq) => format!("recorded as {seq}"),
            Err(error) => error.to_string(),
        }
    }
}

type Meddle = fn(&mut Sample, &Person, &Person);

#[test]
fn what_a_human_did_not_sign_counts_for_nothing_whoever_wrote_it_down() {
    let (alice, bob) = (Person::new("alice", 1), Person::new("bob", 2));
    let mallory = Person::new("alice", 66);
    let house = House::new(
        Wanted::Preset(Preset::Standard),
        &[(&alice, Assurance::OtherHost), (&bob, Assurance::OtherHost)],
    );
    let session = house.session();
    let waiting = house.held(session, house.edit("on: push"));
    let hold = waiting.hold();
    let meddling: &[(&str, Meddle)] = &[
        ("does not verify", |s, alice, _| {
            let mut other = s.statement.clone();
            other.nonce = [9; 16];
            s.body.act.sshsig = act(&other, alice).sshsig;
        }),
        ("nobody is enrolled", |s, _, mallory| {
            s.statement.key = mallory.public().fingerprint();
            s.body.act = act(&s.statement, mallory);
        }),
        ("by another key", |s, _, mallory| {
            s.body.act.sshsig = act(&s.statement, mallory).sshsig;
        }),
        ("the key is that of `alice`", |s, _, _| s.by = "bob"),
        ("about something else", |s, _, _| s.body.target = Seq(1)),
        ("about something else", |s, _, _| {
            s.body.request_digest = other_hash();
        }),
        ("binds something else", |s, alice, _| {
            s.statement.policy = Some(other_hash());
            s.body.act = act(&s.statement, alice);
        }),
        ("what was signed is `approve`", |s, _, _| {
            s.body.answer = Answer::Reject;
        }),
        ("for longer than was signed", |s, _, _| {
            s.body.not_after = Some(Time(s.statement.not_after.0 + 1));
        }),
        ("did not count when", |s, alice, _| {
            s.statement.not_before = Time(s.statement.not_before.0 - 2 * HOUR);
            s.statement.not_after = Time(s.statement.not_before.0 + HOUR);
            s.body.not_after = Some(s.statement.not_after);
            s.body.act = act(&s.statement, alice);
        }),
        ("said to have assurance `touch`", |s, _, _| {
            s.body.act.assurance = Some(Assurance::Touch);
        }),
        ("another log", |s, alice, _| {
            s.statement.log_id = tacho_schemas::LogId(other_hash());
            s.body.act = act(&s.statement, alice);
        }),
        ("asks nobody", |s, alice, _| {
            s.statement.target = Some(Seq(1));
            s.body.target = Seq(1);
            s.body.act = act(&s.statement, alice);
        }),
    ];
    let mut planted = Vec::new();
    for (why, meddle) in meddling {
        let mut forged = sample(house.statement(hold, Verb::Approve, &alice), &alice);
        meddle(&mut forged, &alice, &mallory);
        // Approvals of holds have a door of their own.
        let said = house.through_the_door(Kind::Approval, forged.by, &forged.body);
        assert!(said.contains("cannot be recorded"), "{why}: {said}");
        planted.push((house.plant(&forged), *why));
    }
    drop(waiting);
    // Nor does a restart take them for approvals.
    let house = house.again(Wanted::AsRecorded);
    assert!(house.hold(hold).approved_by.is_empty());
    let waiting = house.held(session, house.edit("on: push"));
    assert_eq!(waiting.hold(), hold);
    let honest = house.approve(hold, &bob).unwrap();
    assert!(honest.complete, "{honest:?}");
    let Step::Done(answer) = house.gate.resume(waiting, Why::Bell) else {
        panic!("it waits on")
    };
    assert!(answer.allows());
    // `verify` names each.
    let report = house.acts().report().clone();
    for (seq, why) in &planted {
        let found = report.findings.iter().find(|f| f.seq == *seq);
        let found = found.unwrap_or_else(|| panic!("{seq}: {why}: {report:?}"));
        assert!(found.why.contains(why), "{why}: {found:?}");
    }
    assert!(!report.findings.iter().any(|f| f.seq == honest.approval));
}

#[test]
fn honest_acts_have_no_findings_and_an_approval_is_used_once() {
    let alice = Person::new("alice", 1);
    let house = House::new(
        Wanted::Preset(Preset::Solo),
        &[(&alice, Assurance::OtherHost)],
    );
    let session = house.session();
    let waiting = house.held(session, house.edit("on: push"));
    let hold = waiting.hold();
    let approval = house.approve(hold, &alice).unwrap().approval;
    let Step::Done(answer) = house.gate.resume(waiting, Why::Bell) else {
        panic!("it waits on")
    };
    let other = house.held(session, house.edit("other")).hold();
    let statement = house.statement(other, Verb::Reject, &alice);
    let signed = House::signed(&statement, &alice);
    let peer = House::peer(Door::Reviewers);
    house.gate.reject(peer, other, &signed).unwrap();
    let report = house.acts().report().clone();
    assert!(report.is_good(), "{report:?}");
    // An enrolment, a yes and a no.
    assert_eq!(report.checked, 3);
    // The same allow a second time, by hand.
    let allowed = house.record(answer.action.unwrap());
    let mut event = Event::new(allowed.actor.clone(), allowed.body.clone());
    event.causes = allowed.causes().to_vec();
    event.session = allowed.session;
    let way = Way {
        via: Via::Gate,
        auth: None,
        import: None,
    };
    let again = house.gate.log().append(event, way).unwrap().seq;
    let report = house.acts().report().clone();
    assert_eq!(report.findings.len(), 1, "{report:?}");
    assert_eq!(report.findings[0].seq, again);
    let why = format!("rests on approval {approval}, which was used before");
    assert!(report.findings[0].why.contains(&why), "{report:?}");
}

/// A kill is released by two people who signed, neither of them whoever ordered it, whatever comes through the reviewers' door.
#[test]
fn a_release_needs_as_many_signatures_as_there_must_be() {
    let people = [
        Person::new("alice", 1),
        Person::new("bob", 2),
        Person::new("carol", 3),
    ];
    let [alice, bob, carol] = &people;
    let house = House::new(
        Wanted::Preset(Preset::Standard),
        &people.each_ref().map(|p| (p, Assurance::OtherHost)),
    );
    // Signed, so that the log knows who ordered it.
    let mut order = house.act_statement(Verb::Kill, alice);
    order.scope = Some("all".to_owned());
    let signed = House::signed(&order, alice);
    let kill = |scope, about, signed| tacho_recorder::gate::wire::Kill {
        scope,
        target: None,
        about,
        reason: Some("a test".to_owned()),
        trigger: Some(Trigger::Human),
        freeze: None,
        signed: Some(signed),
        t_order: None,
        t_flag: None,
    };
    let peer = House::peer(Door::Reviewers);
    let killed = house
        .gate
        .kill(peer, kill(Scope::All, None, signed.clone()));
    let killed = killed.unwrap();
    // Who says the same words of somebody else, or again, stops them and is not believed to be alice.
    for (scope, about, why) in [
        (Scope::Session, Some(Seq(1)), "something else"),
        (Scope::All, None, "taken before"),
    ] {
        let size = house.size();
        let error = house.gate.kill(peer, kill(scope, about, signed.clone()));
        let error = error.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(
            error.hint().unwrap().contains("the kill stands"),
            "{error:?}"
        );
        let record = house.record(Seq(size));
        assert!(record.actor.id.as_str().starts_with("uid-"), "{record:?}");
    }

    let leaf = tree::leaf_hash(&house.shown(killed).bytes);
    let sign = |person: &Person| {
        let mut statement = house.act_statement(Verb::Approve, person);
        statement.target = Some(killed);
        statement.digest = Some(leaf);
        statement.scope = Some("all".to_owned());
        sample(statement, person).body
    };
    let approve = |person: &Person| {
        let said = house.through_the_door(Kind::Approval, person.name, &sign(person));
        let seq = said.strip_prefix("recorded as ");
        Seq(seq.unwrap_or_else(|| panic!("{said}")).parse().unwrap())
    };
    let release = |consumes: &[Seq], k: u64, single: bool| {
        let event = acts::release(human("bob"), killed, consumes.to_vec(), k, single, "x").unwrap();
        house.through_the_door(Kind::Release, "bob", &event.body)
    };
    for (consumes, k, single, why) in [
        (&[][..], 1, false, "0 of the 2 people"),
        (&[], 1, true, "more are enrolled"),
        (&[killed], 1, false, "is no good approval"),
    ] {
        let said = release(consumes, k, single);
        assert!(said.contains(why), "{why}: {said}");
    }
    let mut forged = sign(bob);
    forged.act.sshsig = sign(carol).act.sshsig;
    let said = house.through_the_door(Kind::Approval, "bob", &forged);
    assert!(said.contains("by another key"), "{said}");
    let first = approve(bob);
    let said = release(&[first], 1, false);
    assert!(said.contains("1 of the 2 people"), "{said}");
    let again = approve(bob);
    let said = release(&[first, again], 2, false);
    assert!(said.contains("rests twice on `bob`"), "{said}");
    let by_alice = approve(alice);
    let said = release(&[first, by_alice], 2, false);
    assert!(said.contains("who ordered the kill"), "{said}");
    let second = approve(carol);
    let said = release(&[first, second], 2, false);
    assert!(said.starts_with("recorded as "), "{said}");
    assert!(house.acts().report().is_good());
    let said = house.acts();
    assert!(
        said.approvals_of(killed, Time(0))
            .iter()
            .all(|(_, id)| id.as_str() != "carol")
    );
}
