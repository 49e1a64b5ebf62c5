//! A log as the gate writes it.

use tacho_recorder::draft::Way;
use tacho_recorder::log::Log;
use tacho_schemas::body::human::{Act, Answer, Approval, Kill, Scope, Trigger};
use tacho_schemas::body::work::{Action, Class, Decision, Obligation, Verdict};
use tacho_schemas::body::{Rationale, RationaleSource};
use tacho_schemas::content::Field;
use tacho_schemas::event::Event;
use tacho_schemas::record::{Actor, ActorType, Via};
use tacho_schemas::scalar::{Blob, List, Set};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::{Fixed, Hash, Id, Seq, Time};

/// 2026-11-24 06:00:00Z.
pub(crate) const NOW: i64 = 1_795_500_000_000_000_000;

fn actor(kind: ActorType, id: &str) -> Actor {
    Actor {
        actor_type: kind,
        id: Id::new(id).unwrap(),
        model: None,
        on_behalf_of: None,
    }
}

fn way(via: Via) -> Way {
    Way {
        via,
        auth: None,
        import: None,
    }
}

fn act(key: u8) -> Act {
    Act {
        key: Fingerprint::of(&Fixed([key; 32])),
        assurance: None,
        statement: Blob::new(b"statement".to_vec()).unwrap(),
        sshsig: Blob::new(b"sshsig".to_vec()).unwrap(),
    }
}

fn hold(tool: &str, path: &str, minutes: i64, rule: &str) -> Event {
    let verdict = Verdict {
        policy_digest: None,
        consumes: None,
        decision: Decision::Hold,
        deny_kind: None,
        rules: Some(Set::of(vec![Id::new(rule).unwrap()]).unwrap()),
        policy: None,
        obligations: Some(
            List::new(vec![Obligation {
                rule: Some(Id::new(rule).unwrap()),
                group: Id::new("reviewers").unwrap(),
                k: 2,
                ttl: None,
            }])
            .unwrap(),
        ),
        request_digest: Some(Hash([7; 32])),
        deadline: Some(Time(NOW + minutes * 60_000_000_000)),
    };
    let action = Action {
        tool: Id::new(tool).unwrap(),
        class: Some(Class::Write),
        effects: None,
        parts: None,
        rationale: Some(Rationale {
            source: RationaleSource::Given,
            evidence: None,
            confidence: None,
        }),
        verdict: Some(verdict),
    };
    Event::new(actor(ActorType::Agent, "planner"), action)
        .with(Field::Summary, "the child keeps failing on builds")
        .with(Field::Path, path)
}

fn append(log: &Log, event: Event, way: Way) -> Seq {
    log.append(event, way).unwrap().seq
}

/// Holds, an answer to the first of them, and maybe a kill.
pub(crate) fn fill(log: &Log, killed: bool) {
    hold_some(log);
    if killed {
        kill(log);
    }
}

fn hold_some(log: &Log) {
    let append = |event, way| append(log, event, way);
    let first = append(
        hold("Edit", "tools.json", 22, "new-capability"),
        way(Via::Gate),
    );
    append(
        hold("Edit", "tools.json", 25, "new-capability"),
        way(Via::Gate),
    );
    append(
        hold("Write", "prompt.md", -5, "prompt-text"),
        way(Via::Gate),
    );
    append(hold("Bash", "deploy.sh", 6, "deploy"), way(Via::Gate));
    let mut yes = Event::new(
        actor(ActorType::Human, "ana"),
        Approval {
            request_digest: Hash([7; 32]),
            target: first,
            answer: Answer::Approve,
            not_after: None,
            act: act(1),
        },
    );
    yes.causes = vec![first];
    append(yes, way(Via::Human));
}

fn kill(log: &Log) {
    let kill = Kill {
        t_order: None,
        act: Some(act(1)),
        scope: Scope::Agent,
        target: Some(Id::new("planner").unwrap()),
        about: None,
        trigger: Trigger::Human,
        freeze: false,
        t_flag: None,
    };
    append(
        log,
        Event::new(actor(ActorType::Human, "ana"), kill),
        way(Via::Human),
    );
}
