//! The names of Cedar's types, read once.

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

/// The types of the schema.
#[derive(Clone, Debug)]
pub(crate) struct Kinds {
    pub(crate) action: EntityTypeName,
    pub(crate) agent: EntityTypeName,
    pub(crate) class: EntityTypeName,
    pub(crate) effects: EntityTypeName,
    pub(crate) group: EntityTypeName,
    pub(crate) hold: EntityTypeName,
    pub(crate) human: EntityTypeName,
    pub(crate) part: EntityTypeName,
    pub(crate) policy: EntityTypeName,
    pub(crate) roster: EntityTypeName,
    pub(crate) switch: EntityTypeName,
    pub(crate) tool: EntityTypeName,
    pub(crate) watchdog: EntityTypeName,
}

impl Kinds {
    pub(crate) fn new() -> Result<Self, String> {
        let kind = |name: &str| name.parse().map_err(|e| format!("{name}: {e}"));
        Ok(Self {
            action: kind("Action")?,
            agent: kind("Agent")?,
            class: kind("Class")?,
            effects: kind("Effects")?,
            group: kind("Group")?,
            hold: kind("Hold")?,
            human: kind("Human")?,
            part: kind("Part")?,
            policy: kind("Policy")?,
            roster: kind("Roster")?,
            switch: kind("Switch")?,
            tool: kind("Tool")?,
            watchdog: kind("Watchdog")?,
        })
    }
}

/// An entity.
pub(crate) fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}
