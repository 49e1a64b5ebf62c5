//! What a record points to: the edges along which causes and effects are walked.

use crate::body::Body;
use crate::record::Record;
use crate::scalar::{List, Seq};

/// How one record points to an earlier one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Link {
    /// It led to this.
    Cause,
    /// This record is its outcome, or a change that it allowed.
    Action,
    /// This record rests on its approval, or answers its hold.
    Approval,
    /// This record's rationale points to it.
    Evidence,
    /// It is what this generation was inspired by.
    Inspiration,
    /// It made this generation, or is undone by this mutation.
    Mutation,
    /// This generation descends from it.
    Parent,
    /// This evaluation measures it.
    Subject,
    /// This record continues or supersedes it: a lease, a policy.
    Predecessor,
    /// The switch that this release opens, or the scope of a kill or lease.
    Switch,
    /// The session that it happened in, or that started this one.
    Session,
    /// The generation in force.
    Generation,
    /// The first generation of its lineage.
    Lineage,
    /// The import that brought it.
    Import,
}

impl Link {
    /// Whether the record pointed to is part of why this one came about; the others say where it happened.
    pub fn is_causal(self) -> bool {
        !matches!(
            self,
            Self::Session | Self::Generation | Self::Lineage | Self::Import
        )
    }

    /// The name used in JSON and in the index.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cause => "cause",
            Self::Action => "action",
            Self::Approval => "approval",
            Self::Evidence => "evidence",
            Self::Inspiration => "inspiration",
            Self::Mutation => "mutation",
            Self::Parent => "parent",
            Self::Subject => "subject",
            Self::Predecessor => "predecessor",
            Self::Switch => "switch",
            Self::Session => "session",
            Self::Generation => "generation",
            Self::Lineage => "lineage",
            Self::Import => "import",
        }
    }
}

impl Record {
    /// Everything that the record points to, causal links first; a record may stand twice, under two links.
    pub fn links(&self) -> Vec<(Link, Seq)> {
        let mut links: Vec<(Link, Seq)> = self
            .causes()
            .iter()
            .map(|seq| (Link::Cause, *seq))
            .collect();
        let mut add = |link, seq: Option<Seq>| links.extend(seq.map(|seq| (link, seq)));
        add(Link::Session, self.session);
        add(Link::Generation, self.generation);
        add(Link::Import, self.import);
        match &self.body {
            Body::Outcome(b) => add(Link::Action, b.of),
            Body::Evaluation(b) => add(Link::Subject, b.subject),
            Body::Approval(b) => add(Link::Approval, Some(b.target)),
            Body::Release(b) => add(Link::Switch, Some(b.kill)),
            Body::Kill(b) => add(Link::Switch, b.about),
            Body::Lease(b) => {
                add(Link::Predecessor, b.renews);
                add(Link::Switch, b.about);
            }
            Body::Policy(b) => add(Link::Predecessor, b.supersedes),
            Body::Session(b) => {
                add(Link::Lineage, b.lineage);
                add(Link::Session, b.parent);
            }
            Body::Mutation(b) => {
                add(Link::Action, b.action);
                add(Link::Mutation, b.reverts);
            }
            Body::Generation(b) => add(Link::Lineage, b.lineage),
            _ => {}
        }
        let mut all = |link, list: &[Seq]| links.extend(list.iter().map(|seq| (link, *seq)));
        match &self.body {
            Body::Action(b) => {
                let verdict = b.verdict.as_ref();
                all(
                    Link::Approval,
                    slice(verdict.and_then(|v| v.consumes.as_ref())),
                );
                all(
                    Link::Evidence,
                    slice(b.rationale.as_ref().and_then(|r| r.evidence.as_ref())),
                );
            }
            Body::Mutation(b) => {
                all(Link::Approval, slice(b.approvals.as_ref()));
                all(
                    Link::Evidence,
                    slice(b.rationale.as_ref().and_then(|r| r.evidence.as_ref())),
                );
            }
            Body::Generation(b) => {
                all(Link::Mutation, slice(b.mutations.as_ref()));
                all(Link::Parent, slice(b.parents.as_ref()));
                all(Link::Inspiration, slice(b.inspirations.as_ref()));
            }
            Body::Key(b) => all(Link::Approval, slice(b.consumes.as_ref())),
            Body::Policy(b) => all(Link::Approval, slice(b.consumes.as_ref())),
            Body::Release(b) => all(Link::Approval, slice(b.consumes.as_ref())),
            Body::Erasure(b) => {
                let erased: Vec<Seq> = (&b.erased).into_iter().map(|e| e.seq).collect();
                all(Link::Cause, &erased);
            }
            _ => {}
        }
        links
    }
}

fn slice<const MAX: usize>(list: Option<&List<Seq, MAX>>) -> &[Seq] {
    list.map(List::as_slice).unwrap_or_default()
}
