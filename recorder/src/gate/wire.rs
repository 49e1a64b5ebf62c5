//! What goes over the gate's sockets: JSON, as `schemas/gate.openapi.yaml` says. A test holds the two to each other.

use serde::{Deserialize, Serialize};
use tacho_policy::Json;
use tacho_schemas::body::human::{Mark, Scope, Trigger};
use tacho_schemas::body::log::GapKind;
use tacho_schemas::body::work::{Class, Confinement, DenyKind, Status};
use tacho_schemas::content::Alternative;
use tacho_schemas::{Hash, Id, Seq, Time};

macro_rules! wire {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ident $type:ty,)* })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Deserialize, Serialize)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($(#[$field_doc])* pub $field: wire!(@type $kind $type),)* }
        )+

        /// Every structure with its fields, and whether each must stand; for the test of the description.
        pub const STRUCTURES: &[(&str, &[(&str, bool)])] = &[
            $((stringify!($name), &[$((stringify!($field), wire!(@must $kind)),)*]),)+
        ];
    };
    (@type req $type:ty) => { $type };
    (@type opt $type:ty) => { Option<$type> };
    (@must req) => { true };
    (@must opt) => { false };
}

wire! {
    /// Opens a session. What is said of confinement counts only on the reviewers' socket.
    pub struct OpenSession {
        /// The agent.
        agent: req Id,
        /// The folder that it works in: an absolute path.
        workspace: req String,
        /// The program that runs it, e.g. `claude-code`.
        harness: opt Id,
        /// Of what version.
        harness_version: opt Id,
        /// The first generation of its lineage; else the one that this agent has in this workspace, or a new one.
        lineage: opt Seq,
        /// What confines it.
        confinement: opt Confinement,
        /// The session that started this one.
        parent: opt Seq,
        /// The enrolled human who started it.
        launcher: opt Id,
        /// What it shall reach.
        goal: opt String,
        /// The command that runs it.
        command: opt String,
        /// The harness's own name of the session.
        source_id: opt String,
        /// The caller's name for this session: the same name gives the same session.
        reference: opt Id,
    }

    /// A session is open.
    pub struct SessionOpened {
        /// Its record.
        session: req Seq,
        /// Its socket: an absolute path.
        socket: req String,
        /// What the last decision of the session said of its transcript.
        transcript: opt Transcript,
    }

    /// Closes a session.
    pub struct CloseSession {
        /// The exit code.
        exit: opt i64,
        /// The signal that ended it.
        signal: opt u64,
        /// Why, in words.
        reason: opt String,
    }

    /// Where a rationale was found.
    pub struct Transcript {
        /// The transcript: an absolute path.
        path: req String,
        /// Up to where it was read, in bytes.
        offset: req u64,
        /// BLAKE3 of the transcript up to there.
        prefix_blake3: req Hash,
        /// Whether what the last decision named is still there, unchanged.
        last_matches: opt bool,
    }

    /// Why, as the agent says.
    pub struct Rationale {
        /// Whether it comes from the agent's transcript and not from the call itself.
        from_transcript: opt bool,
        /// What is to be reached.
        goal: opt String,
        /// In short.
        summary: opt String,
        /// At length.
        reasoning: opt String,
        /// What else was thought of.
        alternatives: opt Vec<Alternative>,
        /// What it should bring.
        expected_effect: opt String,
        /// Records that it points to.
        evidence: opt Vec<Seq>,
        /// How sure the agent says it is, per mille.
        confidence: opt u16,
    }

    /// Asks whether a tool call may run.
    pub struct Decide {
        /// The tool, as the harness names it.
        tool: req Id,
        /// What goes into it, whole.
        input: req Json,
        /// Where it runs: an absolute path.
        cwd: req String,
        /// The harness's name of the call.
        tool_use_id: opt String,
        /// Why, as the agent says.
        rationale: opt Rationale,
        /// Where the rationale was found.
        transcript: opt Transcript,
        /// The model.
        model: opt Id,
        /// The subagent that calls, if it is not the agent itself.
        subagent: opt Id,
        /// How long the caller can wait for an answer, in milliseconds.
        deadline_ms: opt u64,
    }

    /// The answer to a call.
    pub struct Answer {
        /// `allow` or `deny`; there is nothing else.
        verdict: req Verdict,
        /// Why not.
        deny_kind: opt DenyKind,
        /// One plain sentence, for the model.
        reason: req String,
        /// The record of this answer; none if it could not be recorded.
        action: opt Seq,
        /// The hold that people can still answer, or that was answered.
        hold: opt Seq,
        /// The rules that decided.
        rules: req Vec<Id>,
        /// Whether it rests on approvals.
        approved: req bool,
        /// Whether the off switch is engaged.
        killed: req bool,
    }

    /// Tells what then happened.
    pub struct Outcome {
        /// The record of the answer.
        action: opt Seq,
        /// Or the harness's name of the call.
        tool_use_id: opt String,
        /// The tool.
        tool: req Id,
        /// What went into it, as it was executed.
        input: req Json,
        /// Where it ran.
        cwd: opt String,
        /// How it ended.
        status: req Status,
        /// The exit code.
        exit: opt i64,
        /// What came out.
        output: opt String,
        /// What went wrong.
        error: opt String,
    }

    /// What became of an outcome.
    pub struct OutcomeTaken {
        /// Its record.
        outcome: req Seq,
        /// Whether what was executed is what was decided; absent where nobody could tell.
        matched: opt bool,
        /// The mutations that it made.
        mutations: req Vec<Seq>,
        /// The generation that came of them.
        generation: opt Seq,
        /// What a reviewer should look at: alarms and gaps.
        alarms: req Vec<Seq>,
    }

    /// A record is durable.
    pub struct Recorded {
        /// Its number.
        seq: req Seq,
    }

    /// A hold that waits for people.
    pub struct Held {
        /// Its record.
        hold: req Seq,
        /// Since when.
        since: req Time,
        /// When it ends by itself.
        deadline: req Time,
        /// The session.
        session: req Seq,
        /// The agent.
        agent: req Id,
        /// The tool.
        tool: req Id,
        /// What the call does.
        class: opt Class,
        /// What is bound by an approval.
        digest: req Hash,
        /// The policy in force.
        policy_digest: req Hash,
        /// What the hold waits for.
        obligations: req Vec<Place>,
        /// Why it is held.
        reason: req String,
        /// The exact request, JSON as text.
        request: req String,
        /// What goes into the tool, JSON as text.
        input: req String,
        /// The change as unified diff, where it is known to the byte.
        diff: opt String,
        /// The agent's words for it: a claim.
        summary: opt String,
        /// Whether the agent waits at this moment.
        waiting: req bool,
        /// Who approved so far.
        approved_by: req Vec<Id>,
    }

    /// Places that one rule asks for.
    pub struct Place {
        /// The rule.
        rule: req Id,
        /// From which group.
        group: req Id,
        /// How many distinct humans.
        k: req u64,
        /// How long an approval lasts, in seconds.
        ttl: opt u64,
    }

    /// All holds that are open.
    pub struct Holds {
        /// The oldest first.
        holds: req Vec<Held>,
    }

    /// A human's signed act.
    pub struct Signed {
        /// The exact text that was signed.
        statement: req String,
        /// The signature, armoured as `ssh-keygen -Y sign` writes it.
        sshsig: req String,
        /// Why, in words.
        reason: opt String,
    }

    /// An answer to a hold was taken.
    pub struct Answered {
        /// The record of the approval.
        approval: req Seq,
        /// Who gave it.
        by: req Id,
        /// Whether the hold now has all it waits for.
        complete: req bool,
        /// What is still missing, in words.
        missing: opt String,
        /// What stands behind the signature.
        assurance: req String,
    }

    /// Engages the off switch.
    pub struct Kill {
        /// How far.
        scope: req Scope,
        /// The agent or part.
        target: opt Id,
        /// The session or lineage.
        about: opt Seq,
        /// Who or what engages it.
        trigger: opt Trigger,
        /// Whether processes stay frozen for forensics.
        freeze: opt bool,
        /// Why.
        reason: opt String,
        /// When it was ordered, on CLOCK_BOOTTIME.
        t_order: opt u64,
        /// When the flag was durable, on CLOCK_BOOTTIME.
        t_flag: opt u64,
        /// A signature, where a key was at hand.
        signed: opt Signed,
    }

    /// An act of the off switch, by a verb of whoever owns the log: what the verb would write itself if no gate ran.
    pub struct SwitchAct {
        /// Which: `outcome` of a kill, `lease`, `drill`, `approval` of a release, `release`, `alarm`, `kill`.
        kind: req tacho_schemas::Kind,
        /// Its body, JSON as text.
        body: req String,
        /// Why, in words.
        text: opt String,
        /// The human; else it is the recorder's own.
        by: opt Id,
        /// What led to it.
        causes: opt Vec<Seq>,
    }

    /// What a human says about records.
    pub struct Note {
        /// The records.
        about: req Vec<Seq>,
        /// What is said.
        text: req String,
        /// The rule of the finding that it answers.
        rule: opt Id,
        /// What it says of that finding.
        mark: opt Mark,
        /// A signature, where a key was at hand: verb `note`, target the first record, digest the SHA-256 of the text.
        signed: opt Signed,
    }

    /// Something is known to be missing.
    pub struct Gap {
        /// What sort.
        gap: req GapKind,
        /// How many.
        count: opt u64,
        /// Particulars for people.
        detail: opt String,
        /// The session.
        session: opt Seq,
        /// The records that it is about.
        causes: opt Vec<Seq>,
    }

    /// How the gate stands.
    pub struct GateStatus {
        /// The log's name.
        origin: req String,
        /// The log.
        log_id: req String,
        /// Since when it runs.
        since: req Time,
        /// The policy in force, by name.
        policy: req String,
        /// Its digest.
        policy_digest: req Hash,
        /// Its record.
        policy_record: req Seq,
        /// Who can approve.
        approvers: req Vec<Id>,
        /// Whether one human alone is enrolled.
        single_person: req bool,
        /// Open sessions.
        sessions: req Vec<SessionStatus>,
        /// How many holds are open.
        holds: req u64,
        /// How many calls wait at this moment.
        waiting: req u64,
        /// What is wrong with the policy for the people who are enrolled.
        problems: req Vec<String>,
        /// What the off switch says, if it is engaged for everybody.
        killed: opt String,
    }

    /// A session that is open.
    pub struct SessionStatus {
        /// Its record.
        session: req Seq,
        /// The agent.
        agent: req Id,
        /// The program that runs it.
        harness: opt Id,
        /// What confines it.
        confinement: req Confinement,
        /// The generation in force.
        generation: opt Seq,
        /// Calls that were allowed.
        allowed: req u64,
        /// Calls that were denied.
        denied: req u64,
    }

    /// Why something was refused.
    pub struct Refused {
        /// One plain sentence.
        error: req String,
        /// What to do next.
        hint: opt String,
    }
}

/// What a caller is told.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The tool may run.
    Allow,
    /// It may not.
    Deny,
}

impl Answer {
    /// A deny that needs no log: whatever fails on the way to an answer ends in one.
    pub fn unrecordable(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Deny,
            deny_kind: Some(DenyKind::Unrecordable),
            reason: reason.into(),
            action: None,
            hold: None,
            rules: Vec::new(),
            approved: false,
            killed: false,
        }
    }

    /// Whether the tool may run.
    pub fn allows(&self) -> bool {
        self.verdict == Verdict::Allow
    }
}
