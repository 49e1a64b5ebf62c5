//! Which tool does what, and which fields of its input have an effect: the table `tools.toml`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Effects};

use crate::json::Json;

const BUILT_IN: &str = include_str!("../../tools.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tool: Vec<Tool>,
}

/// What a tool does to files.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Does {
    Delete,
    Edit,
    Nothing,
    Patch,
    Read,
    Shell,
    Write,
}

/// A row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tool {
    names: Vec<String>,
    pub(crate) does: Does,
    pub(crate) class: Option<Class>,
    pub(crate) effects: Option<Effects>,
    #[serde(default)]
    pub(crate) path: Vec<String>,
    #[serde(default)]
    pub(crate) text: Vec<String>,
    #[serde(default)]
    pub(crate) old: Vec<String>,
    #[serde(default)]
    pub(crate) new: Vec<String>,
    #[serde(default)]
    pub(crate) all: Vec<String>,
    #[serde(default)]
    pub(crate) parts: Vec<Part>,
    #[serde(default)]
    idle: Vec<String>,
}

/// Finds a tool. A table that cannot be read knows no tool, so that everything is unknown; tests read it.
pub(crate) fn find(name: &str) -> Option<&'static Tool> {
    static TABLE: LazyLock<(Vec<Tool>, HashMap<String, usize>)> = LazyLock::new(|| {
        let file: Result<File, _> = toml::from_str(BUILT_IN);
        let tools = file.map(|f| f.tool).unwrap_or_default();
        let named = |(at, tool): (usize, &Tool)| {
            let names = tool.names.iter();
            names.map(|n| (n.clone(), at)).collect::<Vec<_>>()
        };
        let places = tools.iter().enumerate().flat_map(named).collect();
        (tools, places)
    });
    TABLE.0.get(*TABLE.1.get(name)?)
}

/// The fields of a tool's input that have an effect: what an approval binds. A field that is not known to have none has one.
pub fn effect_fields(tool: &str, input: &Json) -> Json {
    match (input, find(tool)) {
        (Json::Map(fields), Some(tool)) => {
            let mut fields = fields.clone();
            fields.retain(|name, _| !tool.idle.contains(name));
            Json::Map(fields)
        }
        _ => input.clone(),
    }
}

impl Tool {
    /// A field that is a text, by the first of its names that stands in the input.
    pub(crate) fn text<'a>(names: &[String], input: &'a Json) -> Option<&'a str> {
        names.iter().find_map(|name| input.field(name)?.as_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let file: File = toml::from_str(BUILT_IN).unwrap();
        let names: Vec<_> = file.tool.iter().flat_map(|t| &t.names).collect();
        let mut once = names.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len());
        // What an approval does not bind must never be what a tool does.
        for tool in &file.tool {
            let fields = [&tool.path, &tool.text, &tool.old, &tool.new, &tool.all];
            for field in fields.into_iter().flatten() {
                assert!(!tool.idle.contains(field), "{field}");
            }
        }
    }

    #[test]
    fn what_has_no_effect_is_left_out_and_what_is_unknown_stays_in() {
        let input = |text: &str| Json::parse(text).unwrap();
        let one = input(r#"{"command":"ls","description":"look","timeout":5}"#);
        let two = input(r#"{"timeout":900,"description":"look again","command":"ls"}"#);
        assert_eq!(effect_fields("Bash", &one), effect_fields("Bash", &two));
        assert_ne!(
            effect_fields("Bash", &one),
            effect_fields("Bash", &input(r#"{"command":"ls","sudo":true}"#))
        );
        assert_ne!(
            effect_fields("mcp__x__y", &one),
            effect_fields("mcp__x__y", &two)
        );
    }
}
