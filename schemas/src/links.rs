//! What a record points to: the edges along which causes and effects are walked.

use crate::body::{Body, Rationale};
use crate::map::cbor_enum;
use crate::record::Record;
use crate::scalar::Seq;

cbor_enum! {
    /// How one record points to an earlier one. The numbers are those of the derived index, not of the format.
    pub enum Link {
        /// It led to this.
        1 "cause" => Cause,
        /// This record is its outcome, or a change that it allowed.
        2 "action" => Action,
        /// This record rests on its approval, or answers its hold.
        3 "approval" => Approval,
        /// This record's rationale points to it.
        4 "evidence" => Evidence,
        /// It is what this generation was inspired by.
        5 "inspiration" => Inspiration,
        /// It made this generation, or is undone by this mutation.
        6 "mutation" => Mutation,
        /// This generation descends from it.
        7 "parent" => Parent,
        /// This evaluation measures it.
        8 "subject" => Subject,
        /// This record continues or supersedes it: a lease, a policy.
        9 "predecessor" => Predecessor,
        /// The switch that this release opens, or the scope of a kill or lease.
        10 "switch" => Switch,
        /// The session that it happened in, or that started this one.
        11 "session" => Session,
        /// The policy in force.
        12 "policy" => Policy,
        /// The generation in force.
        13 "generation" => Generation,
        /// The first generation of its lineage.
        14 "lineage" => Lineage,
        /// The import that brought it.
        15 "import" => Import,
    }
}

impl Link {
    /// Whether the record pointed to is part of why this one came about; the others say where it happened.
    pub fn is_causal(self) -> bool {
        !matches!(
            self,
            Self::Session | Self::Policy | Self::Generation | Self::Lineage | Self::Import
        )
    }
}

impl Record {
    /// Everything that the record points to; a record may stand twice, under two links.
    pub fn links(&self) -> Vec<(Link, Seq)> {
        let mut links = Vec::new();
        self.each_link(&mut |link, seq| links.push((link, seq)));
        links
    }

    /// Hears of everything that the record points to: its causes, what its body names, and where it happened. Each comes before
    /// the record, or the record is not understood.
    pub fn each_link(&self, hear: &mut dyn FnMut(Link, Seq)) {
        for seq in self.causes() {
            hear(Link::Cause, *seq);
        }
        self.each_link_of_body(hear);
        one(hear, Link::Session, self.session);
        one(hear, Link::Generation, self.generation);
        one(hear, Link::Import, self.import);
    }

    fn each_link_of_body(&self, hear: &mut dyn FnMut(Link, Seq)) {
        match &self.body {
            Body::Action(b) => {
                if let Some(verdict) = &b.verdict {
                    all(hear, Link::Approval, verdict.consumes.iter().flatten());
                    one(hear, Link::Policy, verdict.policy);
                }
                evidence(hear, b.rationale.as_ref());
            }
            Body::Outcome(b) => one(hear, Link::Action, b.of),
            Body::Evaluation(b) => one(hear, Link::Subject, b.subject),
            Body::Approval(b) => hear(Link::Approval, b.target),
            Body::Kill(b) => one(hear, Link::Switch, b.about),
            Body::Release(b) => {
                hear(Link::Switch, b.kill);
                all(hear, Link::Approval, b.consumes.iter().flatten());
            }
            Body::Lease(b) => {
                one(hear, Link::Predecessor, b.renews);
                one(hear, Link::Switch, b.about);
            }
            Body::Policy(b) => {
                one(hear, Link::Predecessor, b.supersedes);
                all(hear, Link::Approval, b.consumes.iter().flatten());
            }
            Body::Key(b) => all(hear, Link::Approval, b.consumes.iter().flatten()),
            Body::Session(b) => {
                one(hear, Link::Lineage, b.lineage);
                one(hear, Link::Session, b.parent);
            }
            Body::Mutation(b) => {
                one(hear, Link::Action, b.action);
                one(hear, Link::Mutation, b.reverts);
                all(hear, Link::Approval, b.approvals.iter().flatten());
                evidence(hear, b.rationale.as_ref());
            }
            Body::Generation(b) => {
                all(hear, Link::Mutation, b.mutations.iter().flatten());
                all(hear, Link::Parent, b.parents.iter().flatten());
                all(hear, Link::Inspiration, b.inspirations.iter().flatten());
                one(hear, Link::Lineage, b.lineage);
            }
            Body::Erasure(b) => all(hear, Link::Cause, (&b.erased).into_iter().map(|e| &e.seq)),
            Body::Genesis(_)
            | Body::Boot(_)
            | Body::Seal(_)
            | Body::Message(_)
            | Body::Drill(_)
            | Body::Note(_)
            | Body::Gap(_)
            | Body::Alarm(_)
            | Body::Import(_)
            | Body::Unread => {}
        }
    }
}

fn one(hear: &mut dyn FnMut(Link, Seq), link: Link, seq: Option<Seq>) {
    if let Some(seq) = seq {
        hear(link, seq);
    }
}

fn all<'a>(hear: &mut dyn FnMut(Link, Seq), link: Link, seqs: impl Iterator<Item = &'a Seq>) {
    seqs.for_each(|seq| hear(link, *seq));
}

fn evidence(hear: &mut dyn FnMut(Link, Seq), rationale: Option<&Rationale>) {
    let seqs = rationale.and_then(|r| r.evidence.as_ref());
    all(hear, Link::Evidence, seqs.into_iter().flatten());
}
