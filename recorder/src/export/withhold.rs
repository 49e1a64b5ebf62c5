//! What is left out on request: its commitment stays in the record, so that it can be shown later and checked.

use std::collections::BTreeSet;

use tacho_schemas::content::{Field, Slot};
use tacho_schemas::record::{Record, Role};

use super::Losses;
use crate::error::{Error, ErrorKind, Result};
use crate::read::Shown;

/// The name that stands for all text and all artefacts.
const ALL: &str = "all";

/// Fields of text and roles of artefacts that are not to leave.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Withhold {
    all: bool,
    fields: BTreeSet<Field>,
    roles: BTreeSet<Role>,
}

impl Withhold {
    /// Withholds everything: the records alone leave.
    pub fn all() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }

    /// Reads names. A name that is both a field's and a role's means both.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut read = Self::default();
        for name in names {
            if name == ALL {
                read.all = true;
                continue;
            }
            let (field, role) = (Field::from_name(name), Role::from_name(name));
            if field.is_none() && role.is_none() {
                return Err(unknown(name));
            }
            read.fields.extend(field);
            read.roles.extend(role);
        }
        Ok(read)
    }

    /// The names, in order, each once.
    pub fn names(&self) -> Vec<&'static str> {
        if self.all {
            return vec![ALL];
        }
        let fields = self.fields.iter().map(|field| field.name());
        let names: BTreeSet<_> = fields.chain(self.roles.iter().map(|r| r.name())).collect();
        names.into_iter().collect()
    }

    /// Which of what a record commits to does not leave.
    pub fn slots(&self, record: &Record) -> Vec<Slot> {
        let fields = record.content.iter().flat_map(|content| content.keys());
        let fields = fields
            .filter(|field| self.all || self.fields.contains(field))
            .map(|field| Slot::Field(field.number()));
        let artefacts = (0..)
            .zip(record.artefacts())
            .filter(|(_, artefact)| self.all || self.roles.contains(&artefact.role))
            .map(|(place, _)| Slot::Artefact(place));
        fields.chain(artefacts).collect()
    }

    /// Takes out what does not leave, counts it, and says what it was. What is gone anyway is not withheld.
    pub fn take_out(&self, shown: &mut Shown, losses: &mut Losses) -> Vec<Slot> {
        let Ok(record) = &shown.meaning else {
            return Vec::new();
        };
        let mut taken = self.slots(record);
        taken.retain(|slot| shown.row.erase(*slot));
        for slot in &taken {
            let name = match slot {
                Slot::Field(number) => Field::from_number(*number).map_or("text", Field::name),
                Slot::Artefact(place) => usize::try_from(*place)
                    .ok()
                    .and_then(|place| record.artefacts().get(place))
                    .map_or("artefact", |artefact| artefact.role.name()),
            };
            *losses.entry(format!("withheld:{name}")).or_default() += 1;
        }
        taken
    }
}

fn unknown(name: &str) -> Error {
    let fields = Field::ALL.iter().map(|(_, name, _)| *name);
    let names: BTreeSet<_> = fields
        .chain(Role::ALL.iter().map(|(_, name, _)| *name))
        .collect();
    let names: Vec<_> = names.into_iter().collect();
    let what = format!(
        "`{}` is neither a field of text nor a role of artefacts",
        name.escape_debug()
    );
    Error::new(ErrorKind::Usage, what)
        .with_hint(format!("give `{ALL}`, or some of: {}", names.join(", ")))
}
