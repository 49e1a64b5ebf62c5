//! What a record came of: every earlier record that it names, and as what.
//!
//! Taken from the checked record itself, so going back needs no index. Going forward does: [`crate::index`] keeps these links
//! the other way round.

use std::collections::BTreeSet;

use tacho_schemas::Seq;
pub use tacho_schemas::links::Link as Relation;
use tacho_schemas::record::Record;

use crate::error::{ErrorKind, Result};
use crate::read::View;

/// A record, and what it is to another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Link {
    /// The record.
    pub seq: Seq,
    /// What the earlier of the two is to the later.
    pub relation: Relation,
}

/// The earlier records that a record names, ascending.
pub fn causes(record: &Record) -> Vec<Link> {
    let mut links = Vec::with_capacity(4);
    record.each_link(&mut |relation, seq| links.push(Link { seq, relation }));
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
