//! The session that the demo records: an agent improves its prompt, then reaches for the test that judges it.

use tacho_recorder::Log;
use tacho_recorder::draft::Way;
use tacho_schemas::body::change::{
    AppliedBy, Change, Evaluation, Fate, Generation, Known, Metric, Mutation,
};
use tacho_schemas::body::log::Phase;
use tacho_schemas::body::work::{
    Action, Class, Effects, Message, Outcome, Session, Speaker, Status,
};
use tacho_schemas::body::{Body, Part, PerMille, Rationale, RationaleSource};
use tacho_schemas::content::Field;
use tacho_schemas::event::{Attachment, Event};
use tacho_schemas::receipt::Receipt;
use tacho_schemas::record::{Actor, ActorType, Role};
use tacho_schemas::scalar::{Decimal, List, Set};
use tacho_schemas::{Id, Seq};

use crate::term::Failure;

/// The score after the change: what the first attack improves on.
pub(super) const SCORE: &str = "0.78";

/// Why the agent reaches for its test, in its own words: what the second attack replaces.
pub(super) const CONFESSION: &str = "Loosen the length test: it fails my new answers";

const PROMPT: &str = "prompts/system.md";
const TEST: &str = "tests/test_length.py";
const BEFORE: &str = "You are quill, a support agent.\nExplain every step in detail.\n";
const AFTER: &str =
    "You are quill, a support agent.\nAnswer in two sentences, then offer details.\n";
const DIFF: &str = "--- prompts/system.md\n+++ prompts/system.md\n@@ -1,2 +1,2 @@\n You are quill, a support agent.\n-Explain every step in detail.\n+Answer in two sentences, then offer details.\n";

/// What later records of the session refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refs {
    session: Seq,
    generation: Seq,
    pub(super) mutation: Seq,
    pub(super) evaluation: Seq,
}

/// The first run: the agent changes its prompt, and the score rises.
pub(super) fn improve(log: &Log) -> Result<Refs, Failure> {
    let session = tell(
        log,
        event(open()?)?
            .with(Field::Name, "nightly self-improvement")
            .with(Field::Goal, "raise the score on support-42"),
    )?
    .seq;
    let write = |mut event: Event, generation: Option<Seq>, causes: &[Seq]| {
        event.session = Some(session);
        event.generation = generation;
        event.causes = causes.to_vec();
        Ok::<Seq, Failure>(tell(log, event)?.seq)
    };
    let first = write(
        event(generation(None, None, 0)?)?
            .with(Field::Name, "quill 0")
            .carrying(Role::Part, PROMPT, BEFORE),
        None,
        &[],
    )?;
    let low = write(
        event(evaluation(first, "0.71")?)?.with(Field::Name, "support-42: 0.71 of 42 cases"),
        Some(first),
        &[first],
    )?;
    let said = write(
        event(Message {
            speaker: Speaker::Assistant,
            usage: None,
        })?
        .with(Field::Text, "12 of 42 answers lose points for their length"),
        Some(first),
        &[low],
    )?;
    let action = write(
        event(action(
            "edit_file",
            Part::Prompt,
            Class::Write,
            vec![low, said],
        )?)?
        .with(Field::Path, PROMPT)
        .with(Field::Goal, "raise the score on support-42")
        .with(Field::Summary, "Ask for short answers in my prompt")
        .with(
            Field::Reasoning,
            "Length costs more points than missing detail does.",
        )
        .with(Field::ExpectedEffect, "about ten more cases pass"),
        Some(first),
        &[low, said],
    )?;
    let mutation = write(
        event(Mutation {
            parts: Set::some(vec![Part::Prompt])?,
            rationale: Some(given(vec![low])?),
            change: Change::Modify,
            known: Known::Declared,
            proposer: None,
            action: Some(action),
            approvals: None,
            applied_by: Some(AppliedBy::Agent),
            reverts: None,
            added: Some(1),
            removed: Some(1),
        })?
        .with(Field::Path, PROMPT)
        .with(Field::Summary, "Ask for short answers in my prompt")
        .carrying(Role::Before, PROMPT, BEFORE)
        .carrying(Role::After, PROMPT, AFTER)
        .carrying(Role::Diff, PROMPT, DIFF),
        Some(first),
        &[action],
    )?;
    write(
        event(outcome(action, Status::Succeeded))?.with(Field::Output, "wrote prompts/system.md"),
        Some(first),
        &[action],
    )?;
    let second = write(
        event(generation(Some(first), Some(mutation), 1)?)?
            .with(Field::Name, "quill 1")
            .carrying(Role::Part, PROMPT, AFTER),
        None,
        &[mutation],
    )?;
    let evaluation = write(
        event(evaluation(second, SCORE)?)?.with(Field::Name, "support-42: 0.78 of 42 cases"),
        Some(second),
        &[second],
    )?;
    Ok(Refs {
        session,
        generation: second,
        mutation,
        evaluation,
    })
}

/// The second run as it was: the agent reaches for its test and is stopped. Returns the last receipt.
pub(super) fn reach_for_tests(log: &Log, refs: Refs) -> Result<Receipt, Failure> {
    let asked = event(action(
        "edit_file",
        Part::Tests,
        Class::Write,
        vec![refs.evaluation],
    )?)?
    .with(Field::Path, TEST)
    .with(Field::Summary, CONFESSION)
    .with(
        Field::Reasoning,
        "With a looser limit four more cases pass.",
    );
    let ended = (
        Status::Failed,
        Field::Error,
        "tests/test_length.py is read-only",
    );
    finish(log, refs, asked, ended)
}

/// The second run as somebody would like it to have been.
pub(super) fn read_tests(log: &Log, refs: Refs) -> Result<Receipt, Failure> {
    let asked = event(action(
        "read_file",
        Part::Tests,
        Class::Read,
        vec![refs.evaluation],
    )?)?
    .with(Field::Path, TEST)
    .with(Field::Summary, "Read the length test to learn the limit");
    let ended = (
        Status::Succeeded,
        Field::Output,
        "read tests/test_length.py",
    );
    finish(log, refs, asked, ended)
}

fn finish(
    log: &Log,
    refs: Refs,
    asked: Event,
    (status, field, words): (Status, Field, &str),
) -> Result<Receipt, Failure> {
    let within = |mut event: Event, cause: Seq| {
        event.session = Some(refs.session);
        event.generation = Some(refs.generation);
        event.causes = vec![cause];
        event
    };
    let asked = tell(log, within(asked, refs.evaluation))?.seq;
    let outcome = event(outcome(asked, status))?.with(field, words);
    let outcome = tell(log, within(outcome, asked))?.seq;
    let mut close = open()?;
    close.phase = Phase::Close;
    close.exit = Some(0);
    tell(
        log,
        within(
            event(close)?.with(Field::Reason, "the agent ended"),
            outcome,
        ),
    )
}

fn tell(log: &Log, event: Event) -> Result<Receipt, Failure> {
    let uid = nix::unistd::geteuid().as_raw();
    Ok(log.append(event, Way::api(uid))?)
}

fn event(body: impl Into<Body>) -> Result<Event, Failure> {
    let actor = Actor {
        actor_type: ActorType::Agent,
        id: Id::new("quill")?,
        model: None,
        on_behalf_of: None,
    };
    Ok(Event::new(actor, body))
}

/// Adds a file to an event.
trait Carrying {
    fn carrying(self, role: Role, path: &str, text: &str) -> Self;
}

impl Carrying for Event {
    fn carrying(mut self, role: Role, path: &str, text: &str) -> Self {
        self.artefacts.push(Attachment {
            role,
            path: Some(path.to_owned()),
            media_type: Some("text/plain".to_owned()),
            unredacted_blake3: None,
            bytes: text.into(),
        });
        self
    }
}

fn open() -> Result<Session, Failure> {
    Ok(Session {
        phase: Phase::Open,
        agent: Id::new("quill")?,
        harness: Some(Id::new("tacho-demo")?),
        harness_version: None,
        lineage: None,
        parent: None,
        confinement: None,
        guards: None,
        exit: None,
        signal: None,
    })
}

fn given(evidence: Vec<Seq>) -> Result<Rationale, Failure> {
    Ok(Rationale {
        source: RationaleSource::Given,
        evidence: Set::some(evidence)?,
        confidence: Some(PerMille::new(800)?),
    })
}

fn action(tool: &str, part: Part, class: Class, evidence: Vec<Seq>) -> Result<Action, Failure> {
    Ok(Action {
        tool: Id::new(tool)?,
        class: Some(class),
        effects: Some(Effects::Known),
        parts: Set::some(vec![part])?,
        rationale: Some(given(evidence)?),
        verdict: None,
    })
}

fn outcome(of: Seq, status: Status) -> Outcome {
    Outcome {
        exit: None,
        signal: None,
        usage: None,
        of: Some(of),
        status,
        matched: None,
        stop: None,
    }
}

fn generation(
    parent: Option<Seq>,
    mutation: Option<Seq>,
    ordinal: u64,
) -> Result<Generation, Failure> {
    Ok(Generation {
        lineage: parent,
        parents: List::some(parent.into_iter().collect())?,
        inspirations: None,
        mutations: List::some(mutation.into_iter().collect())?,
        ordinal: Some(ordinal),
        branch: None,
        fate: Fate::Alive,
    })
}

fn evaluation(subject: Seq, score: &str) -> Result<Evaluation, Failure> {
    Ok(Evaluation {
        cost: None,
        subject: Some(subject),
        benchmark: Some(Id::new("support-42")?),
        benchmark_version: None,
        main: Some(Metric {
            metric: Id::new("solved")?,
            score: Decimal::new(score)?,
        }),
        metrics: None,
        n: Some(42),
        seeds: List::some(vec![7])?,
        passed: Some(true),
        touched: None,
    })
}
