//! What the commands of a shell do: the table `commands.toml`.

use std::collections::HashMap;

use serde::Deserialize;

use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Effects};

use super::Error;

const BUILT_IN: &str = include_str!("../../commands.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    command: Vec<Row>,
}

/// What the operands of a command are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operands {
    Copy,
    Delete,
    Link,
    Move,
    #[default]
    None,
    Read,
    Write,
}

/// A command that code of its own reads.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Special {
    Awk,
    Cd,
    Dd,
    Eval,
    Find,
    Gh,
    Git,
    Root,
    Sed,
    Shell,
    Trap,
    Wrapper,
    Xargs,
}

/// A row of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    names: Vec<String>,
    #[serde(default)]
    sub: Vec<String>,
    #[serde(default = "read")]
    pub(crate) class: Class,
    #[serde(default = "known")]
    pub(crate) effects: Effects,
    #[serde(default)]
    pub(crate) args: Operands,
    #[serde(default)]
    pub(crate) skip: usize,
    #[serde(default)]
    pub(crate) values: Vec<String>,
    #[serde(default)]
    pub(crate) writes: Vec<String>,
    #[serde(default)]
    pub(crate) unknown: Vec<String>,
    #[serde(default)]
    pub(crate) parts: Vec<Part>,
    pub(crate) special: Option<Special>,
}

fn read() -> Class {
    Class::Read
}

fn known() -> Effects {
    Effects::Known
}

/// The table of commands.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    rows: Vec<Row>,
    /// By name and subcommand; the empty one is the command itself.
    places: HashMap<(String, String), usize>,
}

impl Commands {
    /// Reads the built-in table and one more.
    pub(crate) fn new(more: &str) -> Result<Self, Error> {
        let mut rows: Vec<Row> = Vec::new();
        let mut places = HashMap::new();
        for text in [BUILT_IN, more] {
            let file: File = toml::from_str(text).map_err(|e| Error::new("commands", &e))?;
            for row in file.command {
                let none = [String::new()];
                let subs: &[String] = if row.sub.is_empty() { &none } else { &row.sub };
                for name in &row.names {
                    for sub in subs {
                        places.insert((name.clone(), sub.clone()), rows.len());
                    }
                }
                rows.push(row);
            }
        }
        Ok(Self { rows, places })
    }

    /// Finds a command by name and first operand or option.
    pub(crate) fn find(&self, name: &str, first: Option<&str>) -> Option<&Row> {
        let at = |sub: &str| self.places.get(&(name.to_owned(), sub.to_owned()));
        let place = first.and_then(at).or_else(|| at(""))?;
        self.rows.get(*place)
    }
}
