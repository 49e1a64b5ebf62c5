//! Entries in a TOML file: one block of lines between two marks, at the end.

use super::{Agent, Command, is_ours};
use crate::error::{Error, ErrorKind, Result};
use crate::hook::harness::Harness;

const OPEN: &str =
    "\n# >>> tachograph (`tacho hook uninstall codex --scope managed` takes these lines out)\n";
const CLOSE: &str = "# <<< tachograph\n";

/// Puts the block at the end.
pub(super) fn add(command: &Command, text: &str) -> Result<String> {
    let rest = remove(text);
    let table = read(&rest)?;
    let hooks = table.get("hooks").and_then(toml::Value::as_table);
    let harness: &Harness = command.agent.harness();
    let mut block = String::from(OPEN);
    // Codex calls no hook, not even a managed one, where its feature is off, and `-c features.hooks=false` turns it off: seen in
    // 0.169. What is required here cannot be turned off.
    match table.get("features") {
        None => block.push_str("[features]\nhooks = true\n"),
        Some(features) if features.get("hooks").and_then(toml::Value::as_bool) == Some(true) => {}
        Some(_) => {
            return Err(Error::new(
                ErrorKind::Refused,
                "the settings have a `[features]` table that does not require hooks",
            )
            .with_hint("write `hooks = true` there first: an agent could turn them off"));
        }
    }
    match hooks {
        None => {
            let folder = command.program.parent().unwrap_or(&command.program);
            block.push_str(&format!(
                "[hooks]\nmanaged_dir = {}\n",
                text_of(&folder.to_string_lossy())
            ));
        }
        Some(hooks) if !hooks.contains_key("managed_dir") => {
            return Err(Error::new(
                ErrorKind::Refused,
                "the settings have a `[hooks]` table without `managed_dir`",
            )
            .with_hint("name the folder of managed hooks there first"));
        }
        Some(_) => {}
    }
    for listen in harness.listens {
        block.push_str(&format!("[[hooks.{}]]\n", listen.event));
        if listen.tools {
            block.push_str("matcher = \"*\"\n");
        }
        block.push_str(&format!(
            "[[hooks.{}.hooks]]\ntype = \"command\"\ncommand = {}\ntimeout = {}\n",
            listen.event,
            text_of(&command.line()),
            harness.timeout(command.hold, listen),
        ));
    }
    block.push_str(CLOSE);
    let whole = format!("{rest}{block}");
    read(&whole)?;
    Ok(whole)
}

/// Takes the block out.
pub(super) fn remove(text: &str) -> String {
    let Some((before, rest)) = text.split_once(OPEN) else {
        return text.to_owned();
    };
    match rest.split_once(CLOSE) {
        Some((_, after)) => format!("{before}{after}"),
        None => text.to_owned(),
    }
}

/// The command lines of our hooks, each with its event.
pub(super) fn installed(agent: Agent, text: &str) -> Result<Vec<(String, String)>> {
    let table = read(text)?;
    let mut found = Vec::new();
    let hooks = table.get("hooks").and_then(toml::Value::as_table);
    for (event, entries) in hooks.into_iter().flatten() {
        for entry in entries.as_array().into_iter().flatten() {
            let handlers = entry.get("hooks").and_then(toml::Value::as_array);
            for handler in handlers.into_iter().flatten() {
                let line = handler.get("command").and_then(toml::Value::as_str);
                if let Some(line) = line.filter(|line| is_ours(agent, line)) {
                    found.push((event.clone(), line.to_owned()));
                }
            }
        }
    }
    Ok(found)
}

fn read(text: &str) -> Result<toml::Table> {
    toml::from_str(text).map_err(|_| {
        Error::new(
            ErrorKind::Refused,
            "the settings are not TOML, or name a table twice",
        )
        .with_hint("they were left as they are; put them right, or add the hook by hand")
    })
}

/// A basic string of TOML: what JSON writes is one, but for DEL.
fn text_of(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}
