//! Records of an agent at work.

use crate::body::log::Phase;
use crate::body::{Part, Rationale};
use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::map::{cbor_enum, cbor_map};
use crate::scalar::{Decimal, Id, List, Seq, Set, Time};

cbor_map! {
    /// A session opens or closes. Later records name the opening one.
    pub struct Session {
        /// Which end.
        88 "phase" => phase: req Phase,
        /// The agent.
        93 "agent" => agent: req Id,
        /// The program that runs the agent, e.g. `claude-code`.
        94 "harness" => harness: opt Id,
        /// Of what version.
        95 "harness_version" => harness_version: opt Id,
        /// The first generation of the agent's lineage.
        96 "lineage" => lineage: opt Seq,
        /// The session that started this one.
        97 "parent" => parent: opt Seq,
        /// What confines it.
        98 "confinement" => confinement: opt Confinement,
        /// What is enforced for which parts, ascending by part, none twice.
        99 "guards" => guards: opt List<Guard, 32>,
        /// The exit code (closing).
        100 "exit" => exit: opt i64,
        /// The signal that ended it (closing).
        101 "signal" => signal: opt u64,
    }
}

impl Session {
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::Meaning(why.to_owned()));
        if self.phase == Phase::Part {
            return refuse("a session has no phase `part`");
        }
        if self.phase != Phase::Close && (self.exit.is_some() || self.signal.is_some()) {
            return refuse("`exit` and `signal` stand only when the session closes");
        }
        let guards = self.guards.as_ref().map(List::as_slice);
        if !guards
            .unwrap_or_default()
            .is_sorted_by(|a, b| a.part < b.part)
        {
            return refuse("guards must ascend by part, with none twice");
        }
        Ok(())
    }
}

cbor_enum! {
    /// What confines an agent. Each one holds more than the one before.
    pub enum Confinement {
        /// Nothing but the hooks of its harness.
        0 "hook_only" => HookOnly,
        /// A process group of its own.
        1 "process_group" => ProcessGroup,
        /// Landlock rules.
        2 "landlock" => Landlock,
        /// A cell.
        3 "cell" => Cell,
        /// A cell under another user.
        4 "other_uid_and_cell" => OtherUidAndCell,
    }
}

cbor_enum! {
    /// What a confinement does for a part.
    pub enum GuardLevel {
        /// It cannot be changed from inside.
        1 "enforced" => Enforced,
        /// A change shows.
        2 "detected" => Detected,
        /// Neither.
        3 "neither" => Neither,
    }
}

cbor_map! {
    /// What a confinement does for a part.
    pub struct Guard {
        /// The part.
        102 "part" => part: req Part,
        /// What is done for it.
        103 "level" => level: req GuardLevel,
    }
}

cbor_enum! {
    /// Who speaks.
    pub enum Speaker {
        /// The person or program that uses the agent.
        1 "user" => User,
        /// The agent.
        2 "assistant" => Assistant,
        /// The instructions around it.
        3 "system" => System,
        /// A tool.
        4 "tool" => Tool,
    }
}

cbor_map! {
    /// Something was said.
    pub struct Message {
        /// Who speaks.
        104 "speaker" => speaker: req Speaker,
        /// What it took.
        105 "usage" => usage: opt Usage,
    }
}

cbor_map! {
    /// Tokens and money, as the source counts them.
    pub struct Usage {
        /// Tokens in.
        106 "tokens_in" => tokens_in: opt u64,
        /// Tokens out.
        107 "tokens_out" => tokens_out: opt u64,
        /// Tokens read from a cache.
        108 "cache_read" => cache_read: opt u64,
        /// Tokens written to a cache.
        109 "cache_write" => cache_write: opt u64,
        /// Cost, in the source's currency.
        110 "cost" => cost: opt Decimal,
    }
}

cbor_enum! {
    /// What a tool call does.
    pub enum Class {
        /// Looks.
        1 "read" => Read,
        /// Changes files.
        2 "write" => Write,
        /// Runs a program.
        3 "execute" => Execute,
        /// Talks to other machines.
        4 "network" => Network,
        /// Hands work to another agent.
        5 "delegate" => Delegate,
        /// Arranges for later.
        6 "schedule" => Schedule,
        /// Changes settings.
        7 "configure" => Configure,
    }
}

cbor_enum! {
    /// How well the effects of a tool call are known beforehand.
    pub enum Effects {
        /// All of them.
        1 "known" => Known,
        /// They stay within known bounds.
        2 "bounded" => Bounded,
        /// They may be anything.
        3 "unknown" => Unknown,
    }
}

cbor_map! {
    /// Something an agent asks to do, and the verdict: intent and decision in one record.
    pub struct Action {
        /// The tool, as the harness names it.
        111 "tool" => tool: req Id,
        /// What the call does.
        112 "class" => class: opt Class,
        /// How well its effects are known.
        113 "effects" => effects: opt Effects,
        /// The parts it touches.
        114 "parts" => parts: opt Set<Part, 16>,
        /// Why, as the agent says. It must stand: `absent` says that there is none.
        115 "rationale" => rationale: opt Rationale,
        /// What was decided. A claim unless the record came via gate.
        116 "verdict" => verdict: opt Verdict,
    }
}

cbor_enum! {
    /// The three answers.
    pub enum Decision {
        /// Go on.
        1 "allow" => Allow,
        /// Do not.
        2 "deny" => Deny,
        /// Wait for humans.
        3 "hold" => Hold,
    }
}

cbor_enum! {
    /// Why an action was denied.
    pub enum DenyKind {
        /// A rule forbids it.
        1 "forbidden" => Forbidden,
        /// No rule permits it.
        2 "not_permitted" => NotPermitted,
        /// The approvals did not come.
        3 "unapproved" => Unapproved,
        /// The policy could not be evaluated.
        4 "policy_error" => PolicyError,
        /// There is no fresh lease.
        5 "lease_lapsed" => LeaseLapsed,
        /// The off switch is engaged.
        6 "killed" => Killed,
        /// It could not be recorded.
        7 "unrecordable" => Unrecordable,
    }
}

cbor_map! {
    /// What was decided, and by which rules.
    pub struct Verdict {
        /// The policy in force, by digest.
        55 "policy_digest" => policy_digest: opt Hash,
        /// The approvals this rests on, each used once (allow only).
        79 "consumes" => consumes: opt Set<Seq, 32>,
        /// The answer.
        117 "decision" => decision: req Decision,
        /// Why not (deny only).
        118 "deny_kind" => deny_kind: opt DenyKind,
        /// The rules that decided.
        119 "rules" => rules: opt Set<Id, 64>,
        /// The policy in force, by record.
        120 "policy" => policy: opt Seq,
        /// What a hold waits for, none twice (hold only).
        121 "obligations" => obligations: opt List<Obligation, 32>,
        /// HMAC-SHA256 of the canonical request under the hold's salt: what approvals bind. A hold that the recorder made has
        /// digest, obligations and deadline.
        122 "request_digest" => request_digest: opt Hash,
        /// When a hold ends by itself (hold only).
        123 "deadline" => deadline: opt Time,
    }
}

impl Verdict {
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::Meaning(why.to_owned()));
        if (self.decision == Decision::Deny) != self.deny_kind.is_some() {
            return refuse("`deny_kind` stands if and only if the decision is deny");
        }
        if self.decision != Decision::Hold
            && (self.obligations.is_some() || self.deadline.is_some())
        {
            return refuse("`obligations` and `deadline` stand only in a hold");
        }
        if self.decision != Decision::Allow && self.consumes.is_some() {
            return refuse("`consumes` stands only if the decision is allow");
        }
        if self.obligations.iter().flatten().any(|o| o.k == 0) {
            return refuse(NOBODY);
        }
        if self.obligations.as_ref().is_some_and(List::repeats) {
            return refuse("an obligation stands twice");
        }
        Ok(())
    }

    /// Says whether a hold lacks what approvals need.
    pub(crate) fn is_open_hold(&self) -> bool {
        self.decision == Decision::Hold
            && (self.request_digest.is_none()
                || self.obligations.is_none()
                || self.deadline.is_none())
    }
}

/// What is said of a `k` of 0.
pub(crate) const NOBODY: &str = "`k` must be at least 1";

cbor_map! {
    /// Approvals that a hold waits for.
    pub struct Obligation {
        /// The rule that asks.
        86 "rule" => rule: opt Id,
        /// From which group.
        124 "group" => group: req Id,
        /// From how many distinct humans, at least 1.
        125 "k" => k: req u64,
        /// How long an approval lasts, in seconds.
        126 "ttl" => ttl: opt u64,
    }
}

cbor_enum! {
    /// How an action ended.
    pub enum Status {
        /// As wished.
        1 "succeeded" => Succeeded,
        /// With an error.
        2 "failed" => Failed,
        /// Not in time.
        3 "timed_out" => TimedOut,
        /// Called off.
        4 "cancelled" => Cancelled,
        /// By the off switch.
        5 "killed" => Killed,
        /// The source does not say.
        6 "unknown" => Unknown,
    }
}

cbor_enum! {
    /// Whether what was executed is what was approved.
    pub enum Match {
        /// It is.
        1 "same" => Same,
        /// It is not.
        2 "differs" => Differs,
        /// Nobody compared.
        3 "not_compared" => NotCompared,
    }
}

cbor_map! {
    /// What then happened. The action, or the kill, is `of`.
    pub struct Outcome {
        /// The exit code.
        100 "exit" => exit: opt i64,
        /// The signal that ended it.
        101 "signal" => signal: opt u64,
        /// What it took.
        105 "usage" => usage: opt Usage,
        /// The action or kill.
        127 "of" => of: opt Seq,
        /// How it ended.
        128 "status" => status: req Status,
        /// Whether what was executed is what was approved.
        129 "matched" => matched: opt Match,
        /// A kill's times.
        130 "stop" => stop: opt Stop,
    }
}

cbor_map! {
    /// How a stop went, on CLOCK_BOOTTIME in nanoseconds.
    pub struct Stop {
        /// When it was ordered.
        131 "t_order" => t_order: req u64,
        /// When nothing ran any more.
        132 "t_empty" => t_empty: opt u64,
        /// How many processes there were.
        133 "processes" => processes: opt u64,
        /// How many lived on.
        134 "survivors" => survivors: req u64,
    }
}
