//! What every importer needs to make events of.

use std::time::Duration;

use similar::{ChangeTag, TextDiff};
use tacho_schemas::event::Attachment;
use tacho_schemas::record::{Actor, ActorType, Claimed, Role};
use tacho_schemas::{Id, Time};

use super::Sink;
use crate::error::Result;

/// A diff that takes longer is cut to a coarser one.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a change did to a text.
pub(crate) struct Changed {
    /// `before`, `after` and `diff`, as far as they are known.
    pub(crate) files: Vec<Attachment>,
    /// Lines added.
    pub(crate) added: u64,
    /// Lines removed.
    pub(crate) removed: u64,
}

/// Describes a change from one text to another. `kept` says whether the texts are the whole part, so that they are kept too.
pub(crate) fn changed(
    path: Option<&str>,
    before: Option<&str>,
    after: Option<&str>,
    kept: bool,
) -> Changed {
    let (old, new) = (before.unwrap_or_default(), after.unwrap_or_default());
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let count = |tag| {
        u64::try_from(diff.iter_all_changes().filter(|c| c.tag() == tag).count()).unwrap_or(0)
    };
    let (added, removed) = (count(ChangeTag::Insert), count(ChangeTag::Delete));
    let name = path.unwrap_or("part");
    let text = diff
        .unified_diff()
        .context_radius(3)
        .header(&format!("a/{name}"), &format!("b/{name}"))
        .to_string();
    let mut files = Vec::new();
    let mut add = |role, text: &str| {
        files.push(Attachment {
            role,
            path: path.map(str::to_owned),
            media_type: (role == Role::Diff).then(|| "text/x-diff".to_owned()),
            unredacted_blake3: None,
            bytes: text.as_bytes().to_vec(),
        });
    };
    if kept {
        for (role, text) in [(Role::Before, before), (Role::After, after)] {
            if let Some(text) = text {
                add(role, text);
            }
        }
    }
    if !text.is_empty() {
        add(Role::Diff, &text);
    }
    Changed {
        files,
        added,
        removed,
    }
}

/// An agent by name, with the model it runs on.
pub(super) fn agent(id: Id, model: Option<Id>) -> Actor {
    Actor {
        actor_type: ActorType::Agent,
        id,
        model,
        on_behalf_of: None,
    }
}

/// A person or program by name.
pub(super) fn other(actor_type: ActorType, id: &str) -> Result<Actor> {
    Ok(Actor {
        actor_type,
        id: Id::new(id)?,
        model: None,
        on_behalf_of: None,
    })
}

/// A moment that the source names; one that cannot be read is counted.
pub(super) fn claimed(sink: &mut Sink<'_>, time: Option<&str>) -> Option<Claimed> {
    let time = match Time::parse(time?) {
        Ok(time) => time,
        Err(_) => {
            sink.lose("time_malformed");
            return None;
        }
    };
    Some(Claimed {
        start: Some(time),
        end: None,
    })
}

/// An id made of a name of the source: what an id may not hold becomes `_`, and what is too long is cut; both are counted.
pub(super) fn id(sink: &mut Sink<'_>, name: &str) -> Result<Id> {
    let fitting: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() { c } else { '_' })
        .take(64)
        .collect();
    if fitting != name {
        sink.lose("name_changed_to_fit");
    }
    Ok(Id::new(if fitting.is_empty() {
        "unnamed".to_owned()
    } else {
        fitting
    })?)
}
