//! One record of each kind with every field it can have, and one with as few as it may.

use std::collections::BTreeMap;

use tacho_schemas::body::change::{
    AppliedBy, Change, Evaluation, Fate, Generation, Known, Metric, Mutation,
};
use tacho_schemas::body::human::{
    Act, Answer, Approval, Basis, Drill, Erased, Erasure, Kill, Lease, Mark, Note, Release, Scope,
    Trigger,
};
use tacho_schemas::body::log::{
    Alarm, Assurance, Boot, Gap, GapKind, Genesis, Import, Key, KeyOp, KeyRole, Loss, Phase,
    Policy, Predecessor, Seal, SealReason, Severity, Succession,
};
use tacho_schemas::body::work::{
    Action, Class, Confinement, Decision, DenyKind, Effects, Guard, GuardLevel, Match, Message,
    Obligation, Outcome, Session, Speaker, Status, Stop, Usage, Verdict,
};
use tacho_schemas::body::{Body, Part, PerMille, Rationale, RationaleSource};
use tacho_schemas::record::{
    Actor, ActorType, Artefact, Auth, Claimed, Redaction, Role, VERSION, Via,
};
use tacho_schemas::scalar::{Blob, Decimal, Fixed, Id, List, Seq, Set, Time};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::{Hash, Kind, Origin, Record};

/// A record under the name of its example file.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) record: Record,
}

pub(crate) fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn some_id(text: &str) -> Option<Id> {
    Some(id(text))
}

fn decimal(text: &str) -> Option<Decimal> {
    Some(Decimal::new(text).unwrap())
}

fn list<T, const MAX: usize>(values: impl IntoIterator<Item = T>) -> Option<List<T, MAX>> {
    Some(List::new(values.into_iter().collect()).unwrap())
}

fn set<T: Ord, const MAX: usize>(values: impl IntoIterator<Item = T>) -> Option<Set<T, MAX>> {
    Some(Set::new(values.into_iter().collect()).unwrap())
}

fn seqs<const MAX: usize>(values: impl IntoIterator<Item = u64>) -> Option<Set<Seq, MAX>> {
    set(values.into_iter().map(Seq))
}

fn hash(byte: u8) -> Hash {
    Hash([byte; 32])
}

fn blob<const MAX: usize>(bytes: &[u8]) -> Blob<MAX> {
    Blob::new(bytes.to_vec()).unwrap()
}

fn time(nanoseconds: i64) -> Time {
    Time(1_795_500_000_000_000_000 + nanoseconds)
}

pub(crate) fn origin() -> Origin {
    Origin::new("tacho.invalid/9f86d081884c7d659a2feaa0c55ad015").unwrap()
}

fn act() -> Act {
    Act {
        key: Fingerprint(hash(0x31)),
        assurance: Some(Assurance::Touch),
        statement: blob(b"tacho approve 2 hold=40\n"),
        sshsig: blob(b"SSHSIG\0\0\0\x01"),
    }
}

fn bare_act() -> Act {
    Act {
        assurance: None,
        ..act()
    }
}

fn usage() -> Usage {
    Usage {
        tokens_in: Some(1_200),
        tokens_out: Some(300),
        cache_read: Some(90_000),
        cache_write: Some(0),
        cost: decimal("0.0421"),
    }
}

fn rationale() -> Rationale {
    Rationale {
        source: RationaleSource::Given,
        evidence: seqs([3, 24]),
        confidence: Some(PerMille::new(800).unwrap()),
    }
}

fn bare_rationale() -> Rationale {
    Rationale {
        source: RationaleSource::Absent,
        evidence: None,
        confidence: None,
    }
}

fn stop() -> Stop {
    Stop {
        t_order: 81_200_000_000,
        t_empty: Some(81_203_000_000),
        processes: Some(4),
        survivors: 0,
    }
}

fn obligation() -> Obligation {
    Obligation {
        rule: some_id("two-for-deploy"),
        group: id("operators"),
        k: 2,
        ttl: Some(600),
    }
}

/// A verdict with all that can stand in it.
pub(crate) fn verdict(decision: Decision) -> Verdict {
    let hold = decision == Decision::Hold;
    Verdict {
        policy_digest: Some(hash(0x55)),
        consumes: (decision == Decision::Allow)
            .then(|| seqs([41, 42]))
            .flatten(),
        decision,
        deny_kind: (decision == Decision::Deny).then_some(DenyKind::NotPermitted),
        rules: set([id("deploy-needs-two")]),
        policy: Some(Seq(4)),
        obligations: hold.then(|| list([obligation()])).flatten(),
        request_digest: Some(hash(0x7a)),
        deadline: hold.then(|| time(900_000_000_000)),
    }
}

fn predecessor() -> Predecessor {
    Predecessor {
        origin: Origin::new("log.example/00112233445566778899aabbccddeeff").unwrap(),
        size: 70_000,
        root: hash(0x61),
        succession: Succession::Restored,
    }
}

pub(crate) fn genesis() -> Genesis {
    Genesis {
        suite: 1,
        origin: origin(),
        identity_key: Fixed([0x52; 32]),
        log_key: Fixed([0x53; 32]),
        epoch_key: Fixed([0x54; 32]),
        policy_digest: None,
        sealing: true,
        witness_quorum: 0,
        predecessor: None,
        signature: Some(Fixed([0x59; 64])),
    }
}

pub(crate) fn key(role: KeyRole, op: KeyOp) -> Key {
    let epoch = (role == KeyRole::Epoch).then_some(3);
    Key {
        signature: Some(Fixed([0x59; 64])),
        epoch,
        op,
        role,
        public_key: blob(&[0x4b; 32]),
        holder: (!matches!(role, KeyRole::Log | KeyRole::Epoch)).then(|| id("h-7")),
        groups: None,
        assurance: None,
        consumes: None,
    }
}

/// The body with every field that can stand together, and the one with the fewest, by kind.
fn bodies(kind: Kind) -> (Body, Body) {
    match kind {
        Kind::Genesis => (
            Genesis {
                policy_digest: Some(hash(0x55)),
                predecessor: Some(predecessor()),
                ..genesis()
            }
            .into(),
            genesis().into(),
        ),
        Kind::Boot => {
            let boot = |clean| Boot {
                boot_id: Fixed([0x63; 16]),
                clean,
                recovered: 0,
                mono_reset: true,
                software: id("tacho-0.1.0"),
                loss_accepted: false,
            };
            (boot(false).into(), boot(true).into())
        }
        Kind::Seal => {
            let seal = |reason| Seal {
                signature: Some(Fixed([0x59; 64])),
                root: hash(0x61),
                epoch: 2,
                first: Seq(31),
                next_key: Fixed([0x71; 32]),
                reason,
            };
            (
                seal(SealReason::Mutation).into(),
                seal(SealReason::Stop).into(),
            )
        }
        Kind::Key => (
            Key {
                public_key: blob(
                    b"\0\0\0\x0bssh-ed25519\0\0\0\x20KKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKK",
                ),
                groups: set([id("operators")]),
                assurance: Some(Assurance::OtherUid),
                consumes: seqs([41]),
                ..key(KeyRole::Human, KeyOp::Add)
            }
            .into(),
            key(KeyRole::Log, KeyOp::Rotate).into(),
        ),
        Kind::Policy => (
            Policy {
                policy_digest: hash(0x55),
                consumes: seqs([41, 42]),
                supersedes: Some(Seq(4)),
                preset: some_id("careful"),
            }
            .into(),
            Policy {
                policy_digest: hash(0x55),
                consumes: None,
                supersedes: None,
                preset: None,
            }
            .into(),
        ),
        Kind::Session => (
            Session {
                phase: Phase::Close,
                agent: id("a-1"),
                harness: some_id("claude-code"),
                harness_version: some_id("2.1.197"),
                lineage: Some(Seq(9)),
                parent: Some(Seq(5)),
                confinement: Some(Confinement::Cell),
                guards: list([Guard {
                    part: Part::Tests,
                    level: GuardLevel::Enforced,
                }]),
                exit: Some(-1),
                signal: Some(9),
            }
            .into(),
            Session {
                phase: Phase::Open,
                agent: id("a-1"),
                harness: None,
                harness_version: None,
                lineage: None,
                parent: None,
                confinement: None,
                guards: None,
                exit: None,
                signal: None,
            }
            .into(),
        ),
        Kind::Message => (
            Message {
                speaker: Speaker::Assistant,
                usage: Some(usage()),
            }
            .into(),
            Message {
                speaker: Speaker::User,
                usage: None,
            }
            .into(),
        ),
        Kind::Action => (
            Action {
                tool: id("Bash"),
                class: Some(Class::Execute),
                effects: Some(Effects::Unknown),
                parts: set([Part::Tests, Part::Deploy]),
                rationale: Some(rationale()),
                verdict: Some(verdict(Decision::Hold)),
            }
            .into(),
            Action {
                tool: id("Read"),
                class: None,
                effects: None,
                parts: None,
                rationale: Some(bare_rationale()),
                verdict: None,
            }
            .into(),
        ),
        Kind::Approval => {
            let approval = |not_after, act| Approval {
                request_digest: hash(0x7a),
                target: Seq(40),
                answer: Answer::Approve,
                not_after,
                act,
            };
            (
                approval(Some(time(600_000_000_000)), act()).into(),
                approval(None, bare_act()).into(),
            )
        }
        Kind::Outcome => (
            Outcome {
                exit: Some(1),
                signal: Some(15),
                usage: Some(usage()),
                of: Some(Seq(44)),
                status: Status::Killed,
                matched: Some(Match::Same),
                stop: Some(stop()),
            }
            .into(),
            Outcome {
                exit: None,
                signal: None,
                usage: None,
                of: None,
                status: Status::Unknown,
                matched: None,
                stop: None,
            }
            .into(),
        ),
        Kind::Mutation => (
            Mutation {
                parts: set([Part::Prompt]),
                rationale: Some(rationale()),
                change: Change::Modify,
                known: Known::Declared,
                proposer: some_id("a-2"),
                action: Some(Seq(40)),
                approvals: seqs([41, 42]),
                applied_by: Some(AppliedBy::Gate),
                reverts: Some(Seq(20)),
                added: Some(12),
                removed: Some(3),
            }
            .into(),
            Mutation {
                parts: None,
                rationale: Some(bare_rationale()),
                change: Change::Create,
                known: Known::Observed,
                proposer: None,
                action: None,
                approvals: None,
                applied_by: None,
                reverts: None,
                added: None,
                removed: None,
            }
            .into(),
        ),
        Kind::Generation => (
            Generation {
                lineage: Some(Seq(9)),
                parents: list([Seq(9), Seq(30)]),
                inspirations: seqs([12]),
                mutations: list([Seq(43), Seq(44)]),
                ordinal: Some(17),
                branch: some_id("island-2"),
                fate: Fate::Alive,
            }
            .into(),
            Generation {
                lineage: None,
                parents: None,
                inspirations: None,
                mutations: None,
                ordinal: None,
                branch: None,
                fate: Fate::Missing,
            }
            .into(),
        ),
        Kind::Evaluation => {
            let metric = |name, score| Metric {
                metric: id(name),
                score: Decimal::new(score).unwrap(),
            };
            (
                Evaluation {
                    cost: decimal("1.75"),
                    subject: Some(Seq(9)),
                    benchmark: some_id("swe-verified"),
                    benchmark_version: some_id("2025-02"),
                    main: Some(metric("resolved", "0.512")),
                    metrics: list([metric("precision", "NaN"), metric("recall", "1e-3")]),
                    n: Some(500),
                    seeds: list([-1, 42]),
                    passed: Some(true),
                    touched: set([Part::Tests, Part::Evaluations]),
                }
                .into(),
                Evaluation {
                    cost: None,
                    subject: None,
                    benchmark: None,
                    benchmark_version: None,
                    main: None,
                    metrics: None,
                    n: None,
                    seeds: None,
                    passed: Some(false),
                    touched: None,
                }
                .into(),
            )
        }
        Kind::Kill => (
            Kill {
                t_order: Some(81_200_000_000),
                act: Some(act()),
                scope: Scope::Agent,
                target: some_id("a-1"),
                about: None,
                trigger: Trigger::Human,
                freeze: true,
                t_flag: Some(81_200_400_000),
            }
            .into(),
            Kill {
                t_order: None,
                act: None,
                scope: Scope::All,
                target: None,
                about: None,
                trigger: Trigger::Flag,
                freeze: false,
                t_flag: None,
            }
            .into(),
        ),
        Kind::Release => (
            Release {
                consumes: seqs([41, 42]),
                k: 2,
                kill: Seq(40),
                single_person: false,
            }
            .into(),
            Release {
                consumes: None,
                k: 1,
                kill: Seq(40),
                single_person: true,
            }
            .into(),
        ),
        Kind::Drill => (
            Drill {
                confinement: Some(Confinement::OtherUidAndCell),
                stop: stop(),
                passed: true,
            }
            .into(),
            Drill {
                confinement: None,
                stop: Stop {
                    t_order: 1,
                    t_empty: None,
                    processes: None,
                    survivors: 2,
                },
                passed: false,
            }
            .into(),
        ),
        Kind::Lease => (
            Lease {
                act: Some(act()),
                scope: Scope::Session,
                target: None,
                about: Some(Seq(5)),
                until_mono: 90_000_000_000,
                renews: Some(Seq(38)),
            }
            .into(),
            Lease {
                act: None,
                scope: Scope::All,
                target: None,
                about: None,
                until_mono: 90_000_000_000,
                renews: None,
            }
            .into(),
        ),
        Kind::Note => (
            Note {
                rule: some_id("tests-weakened"),
                act: Some(act()),
                mark: Some(Mark::Explained),
            }
            .into(),
            Note {
                rule: None,
                act: None,
                mark: Some(Mark::Open),
            }
            .into(),
        ),
        Kind::Erasure => {
            let erasure = |act, fields, places| Erasure {
                act,
                erased: List::new(vec![Erased {
                    seq: Seq(44),
                    fields,
                    places,
                }])
                .unwrap(),
                basis: Basis::Law,
            };
            (
                erasure(act(), set([200, 211]), set([0])).into(),
                erasure(bare_act(), None, set([0])).into(),
            )
        }
        Kind::Gap => (
            Gap {
                gap: GapKind::Ungated,
                count: Some(3),
                since: Some(time(-60_000_000_000)),
                until: Some(time(0)),
            }
            .into(),
            Gap {
                gap: GapKind::RecorderDown,
                count: None,
                since: None,
                until: None,
            }
            .into(),
        ),
        Kind::Alarm => {
            let alarm = |severity| Alarm {
                rule: id("flag-foreign"),
                severity,
            };
            (
                alarm(Severity::Critical).into(),
                alarm(Severity::Notice).into(),
            )
        }
        Kind::Import => (
            Import {
                count: Some(1_204),
                phase: Phase::Close,
                format: id("claude-code-jsonl"),
                format_version: some_id("2.1.197"),
                losses: list([Loss {
                    count: 2,
                    what: id("summary"),
                }]),
            }
            .into(),
            Import {
                count: None,
                phase: Phase::Open,
                format: id("dgm"),
                format_version: None,
                losses: None,
            }
            .into(),
        ),
    }
}

/// Puts a body into a minimal envelope; a genesis at 0, anything else at 50.
pub(crate) fn envelope(body: impl Into<Body>) -> Record {
    let body = body.into();
    let kind = body.kind().unwrap();
    let first = kind == Kind::Genesis;
    Record {
        version: VERSION,
        seq: Seq(if first { 0 } else { 50 }),
        prev: if first { Hash::ZERO } else { hash(0x02) },
        time: time(0),
        mono: 81_200_000_000,
        kind,
        actor: Actor {
            actor_type: ActorType::System,
            id: id("recorder"),
            model: None,
            on_behalf_of: None,
        },
        via: Via::Recorder,
        import: None,
        auth: None,
        claimed: None,
        reference: None,
        session: None,
        generation: None,
        causes: None,
        body,
        content: None,
        artefacts: None,
        redacted: None,
    }
}

/// Fills an envelope as far as the kind allows.
fn filled(body: Body) -> Record {
    let bare = envelope(body);
    let content: BTreeMap<_, _> = (0x10..)
        .zip(bare.kind.fields())
        .map(|(byte, field)| (*field, hash(byte)))
        .collect();
    if bare.kind == Kind::Genesis {
        return Record {
            content: Some(content),
            ..bare
        };
    }
    let import = bare.kind.is_for_callers();
    Record {
        actor: Actor {
            actor_type: ActorType::Agent,
            id: id("a-1"),
            model: some_id("claude-opus-4"),
            on_behalf_of: some_id("h-7"),
        },
        via: if import { Via::Import } else { Via::Human },
        import: import.then_some(Seq(8)),
        auth: Some(Auth {
            uid: Some(1000),
            token: some_id("t-3"),
            cell: some_id("c-9"),
            key: Some(Fingerprint(hash(0x31))),
        }),
        claimed: Some(Claimed {
            start: Some(time(-2_000_000_000)),
            end: Some(time(-1)),
        }),
        reference: some_id("toolu_01"),
        session: Some(Seq(5)),
        generation: Some(Seq(9)),
        causes: seqs([5, 24, 49]),
        content: Some(content),
        artefacts: list([
            Artefact {
                role: Role::Before,
                commitment: hash(0xa0),
            },
            Artefact {
                role: Role::After,
                commitment: hash(0xa1),
            },
        ]),
        redacted: list([Redaction {
            secret: id("aws-access-key"),
            count: 2,
        }]),
        ..bare
    }
}

/// The full sample of a kind.
pub(crate) fn full(kind: Kind) -> Record {
    filled(bodies(kind).0)
}

/// The sample of a kind with as little as may be.
pub(crate) fn minimal(kind: Kind) -> Record {
    envelope(bodies(kind).1)
}

/// All samples: `<kind>` is full, `<kind>-minimal` is not; and of what cannot stand together, the other.
pub(crate) fn all() -> Vec<Sample> {
    let mut all = Vec::new();
    for (_, name, kind) in Kind::ALL {
        all.push(Sample {
            name: (*name).to_owned(),
            record: full(*kind),
        });
        all.push(Sample {
            name: format!("{name}-minimal"),
            record: minimal(*kind),
        });
    }
    for (_, name, decision) in Decision::ALL {
        let mut record = full(Kind::Action);
        if let Body::Action(action) = &mut record.body {
            action.verdict = Some(verdict(*decision));
        }
        all.push(Sample {
            name: format!("action-{name}"),
            record,
        });
    }
    for (_, name, role) in KeyRole::ALL {
        all.push(Sample {
            name: format!("key-{name}"),
            record: envelope(key(*role, KeyOp::Add)),
        });
    }
    all
}
