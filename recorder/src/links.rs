//! What a record came of: every earlier record that it names, and as what.
//!
//! Taken from the checked record itself, so going back needs no index. Going forward does: [`crate::index`] keeps these links
//! the other way round.

use std::collections::BTreeSet;
use std::fmt;

use tacho_schemas::Seq;
use tacho_schemas::body::Body;
use tacho_schemas::record::Record;

use crate::error::{ErrorKind, Result};
use crate::read::View;

macro_rules! relations {
    ($( $(#[$meta:meta])* $number:literal $label:literal => $variant:ident ),+ $(,)?) => {
        /// What an earlier record is to a later one.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Relation { $( $(#[$meta])* $variant = $number ),+ }

        impl Relation {
            /// Its name in words.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $label ),+ }
            }

            pub(crate) fn number(self) -> i64 {
                match self { $( Self::$variant => $number ),+ }
            }

            pub(crate) fn from_number(number: i64) -> Option<Self> {
                match number { $( $number => Some(Self::$variant), )+ _ => None }
            }
        }
    };
}

relations! {
    /// The record says that this led to it.
    1 "cause" => Cause,
    /// Its session, or the session that started it.
    2 "session" => Session,
    /// The generation that was in force.
    3 "generation" => Generation,
    /// The import that brought it.
    4 "import" => Import,
    /// The action or kill whose outcome it is.
    5 "outcome of" => Of,
    /// The action that allowed a mutation.
    6 "allowed by" => AllowedBy,
    /// An approval that it rests on.
    7 "approval" => Approval,
    /// The hold or kill that an approval answers, or the kill that a release ends.
    8 "answers" => Answers,
    /// The generation that is measured.
    9 "measures" => Measures,
    /// A generation that it was made from.
    10 "parent" => Parent,
    /// A generation that inspired it.
    11 "inspiration" => Inspiration,
    /// A mutation that made a generation.
    12 "mutation" => Mutation,
    /// The mutation that it undoes.
    13 "reverts" => Reverts,
    /// The policy under which it was decided, or that it replaces.
    14 "policy" => Policy,
    /// What a rationale points to.
    15 "evidence" => Evidence,
    /// The session or lineage that a kill or lease is about, or the record that is erased.
    16 "about" => About,
    /// The lease that it renews.
    17 "renews" => Renews,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A record, and what it is to another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Link {
    /// The record.
    pub seq: Seq,
    /// What the earlier of the two is to the later.
    pub relation: Relation,
}

/// The earlier records that a record names, ascending.
///
/// A number that is not earlier is a claim about nothing, and left out.
pub fn causes(record: &Record) -> Vec<Link> {
    let mut links = Vec::with_capacity(4);
    let mut add = |relation, seq: Seq| {
        if seq < record.seq {
            links.push(Link { seq, relation });
        }
    };
    fn each<'a>(list: Option<impl IntoIterator<Item = &'a Seq>>) -> impl Iterator<Item = Seq> {
        list.into_iter().flatten().copied()
    }
    record
        .causes()
        .iter()
        .for_each(|seq| add(Relation::Cause, *seq));
    for (relation, seq) in [
        (Relation::Session, record.session),
        (Relation::Generation, record.generation),
        (Relation::Import, record.import),
    ] {
        seq.into_iter().for_each(|seq| add(relation, seq));
    }
    match &record.body {
        Body::Session(b) => b.parent.into_iter().for_each(|s| add(Relation::Session, s)),
        Body::Action(b) => {
            if let Some(verdict) = &b.verdict {
                each(verdict.consumes.as_ref()).for_each(|s| add(Relation::Approval, s));
                verdict
                    .policy
                    .into_iter()
                    .for_each(|s| add(Relation::Policy, s));
            }
            let why = b.rationale.iter();
            why.flat_map(|r| each(r.evidence.as_ref()))
                .for_each(|s| add(Relation::Evidence, s));
        }
        Body::Outcome(b) => b.of.into_iter().for_each(|s| add(Relation::Of, s)),
        Body::Mutation(b) => {
            b.action
                .into_iter()
                .for_each(|s| add(Relation::AllowedBy, s));
            b.reverts
                .into_iter()
                .for_each(|s| add(Relation::Reverts, s));
            each(b.approvals.as_ref()).for_each(|s| add(Relation::Approval, s));
            let why = b.rationale.iter();
            why.flat_map(|r| each(r.evidence.as_ref()))
                .for_each(|s| add(Relation::Evidence, s));
        }
        Body::Generation(b) => {
            each(b.parents.as_ref()).for_each(|s| add(Relation::Parent, s));
            each(b.inspirations.as_ref()).for_each(|s| add(Relation::Inspiration, s));
            each(b.mutations.as_ref()).for_each(|s| add(Relation::Mutation, s));
        }
        Body::Evaluation(b) => b
            .subject
            .into_iter()
            .for_each(|s| add(Relation::Measures, s)),
        Body::Approval(b) => add(Relation::Answers, b.target),
        Body::Key(b) => each(b.consumes.as_ref()).for_each(|s| add(Relation::Approval, s)),
        Body::Policy(b) => {
            each(b.consumes.as_ref()).for_each(|s| add(Relation::Approval, s));
            b.supersedes
                .into_iter()
                .for_each(|s| add(Relation::Policy, s));
        }
        Body::Kill(b) => b.about.into_iter().for_each(|s| add(Relation::About, s)),
        Body::Lease(b) => {
            b.about.into_iter().for_each(|s| add(Relation::About, s));
            b.renews.into_iter().for_each(|s| add(Relation::Renews, s));
        }
        Body::Release(b) => {
            add(Relation::Answers, b.kill);
            each(b.consumes.as_ref()).for_each(|s| add(Relation::Approval, s));
        }
        Body::Erasure(b) => (&b.erased)
            .into_iter()
            .for_each(|e| add(Relation::About, e.seq)),
        _ => {}
    }
    links.sort_unstable();
    links.dedup();
    links
}

/// Everything that a record came of, directly or not, ascending, without the record itself; read from the log alone.
///
/// A record that is not the one in the tree leads nowhere: nothing that it says is known to be true.
pub fn ancestors(view: &View<'_>, of: Seq) -> Result<BTreeSet<Seq>> {
    let mut found = BTreeSet::new();
    let mut open = vec![of];
    while let Some(seq) = open.pop() {
        let shown = match view.record(seq) {
            Ok(shown) => shown,
            Err(error) if error.kind() == ErrorKind::Missing => continue,
            Err(error) => return Err(error),
        };
        if let (Ok(record), true) = (&shown.meaning, shown.in_tree) {
            let earlier = causes(record).into_iter().map(|link| link.seq);
            open.extend(earlier.filter(|cause| found.insert(*cause)));
        }
    }
    Ok(found)
}
