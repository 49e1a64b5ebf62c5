//! Entries in a JSON file that somebody else lays out.

use std::ops::Range;

use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::value::RawValue;

use super::{Agent, Command, Entry, is_ours};
use crate::error::{Error, ErrorKind, Result};
use crate::import::json::Json;

/// Adds an entry to `hooks.EVENT`, at the end, unless it stands there.
pub(super) fn add(text: &str, command: &Command, entry: &Entry, event: &str) -> Result<String> {
    let mut text = text.to_owned();
    // What stands there from an earlier installation makes way, unless it is the same.
    let wanted = serde_json::to_value(entry).unwrap_or_default();
    let (mut there, mut others) = (false, false);
    for item in entries(&text, event)? {
        let piece = slice(&text, &item)?;
        match serde_json::from_str::<serde_json::Value>(piece) {
            Ok(value) if value == wanted => there = true,
            Ok(value)
                if lines(&value)
                    .iter()
                    .any(|line| is_ours(command.agent, line)) =>
            {
                others = true;
            }
            _ => {}
        }
    }
    if there && !others {
        return Ok(text);
    }
    if there || others {
        text = remove(&text, command.agent, event)?;
    }
    let layout = Layout::of(&text);
    let root = root(&text)?;
    let Some(hooks) = member(&text, &root, "hooks")? else {
        let inner = layout.render(entry, 3)?;
        let list = layout.wrap('[', &[inner], 2);
        let list = format!("{}: {list}", quoted(event));
        let hooks = format!("\"hooks\": {}", layout.wrap('{', &[list], 1));
        return insert(&text, &root, &layout, &hooks, 0);
    };
    let Some(list) = member(&text, &hooks, event)? else {
        let inner = layout.render(entry, 3)?;
        let list = layout.wrap('[', &[inner], 2);
        let list = format!("{}: {list}", quoted(event));
        return insert(&text, &hooks, &layout, &list, 1);
    };
    let inner = layout.render(entry, 3)?;
    insert(&text, &list, &layout, &inner, 2)
}

/// Takes our entries out of `hooks.EVENT`, and containers that are empty then.
pub(super) fn remove(text: &str, agent: Agent, event: &str) -> Result<String> {
    let mut text = text.to_owned();
    loop {
        let items = entries(&text, event)?;
        let ours = items.iter().position(|item| {
            let piece = slice(&text, item).ok();
            let value = piece.and_then(|piece| serde_json::from_str(piece).ok());
            value.is_some_and(|value: serde_json::Value| {
                let lines = lines(&value);
                !lines.is_empty() && lines.iter().all(|line| is_ours(agent, line))
            })
        });
        let Some(ours) = ours else {
            return Ok(text);
        };
        let hooks = member(&text, &root(&text)?, "hooks")?.ok_or_else(malformed)?;
        let list = member(&text, &hooks, event)?.ok_or_else(malformed)?;
        text = cut(&text, &list, &items, ours)?;
        if items.len() == 1 {
            text = drop_member(&text, &hooks, event)?;
            let root = root(&text)?;
            if let Some(hooks) = member(&text, &root, "hooks")?
                && members(&text, &hooks)?.is_empty()
            {
                text = drop_member(&text, &root, "hooks")?;
            }
        }
    }
}

/// The command lines of our hooks, each with its event.
pub(super) fn installed(agent: Agent, text: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let Some(hooks) = member(text, &root(text)?, "hooks")? else {
        return Ok(found);
    };
    for (event, ..) in members(text, &hooks)? {
        for item in entries(text, &event)? {
            let value = serde_json::from_str(slice(text, &item)?).unwrap_or_default();
            let ours = lines(&value).into_iter().filter(|l| is_ours(agent, l));
            found.extend(ours.map(|line| (event.clone(), line)));
        }
    }
    Ok(found)
}

/// The command lines in an entry, flat or nested.
fn lines(entry: &serde_json::Value) -> Vec<String> {
    let nested = entry.get("hooks").and_then(|hooks| hooks.as_array());
    let handlers: Vec<&serde_json::Value> = match nested {
        Some(handlers) => handlers.iter().collect(),
        None => vec![entry],
    };
    let line = |handler: &serde_json::Value| {
        let command = handler.get("command").or_else(|| handler.get("bash"));
        let mut line = command?.as_str()?.to_owned();
        for arg in handler
            .get("args")
            .and_then(|a| a.as_array())
            .into_iter()
            .flatten()
        {
            line.push(' ');
            line.push_str(arg.as_str().unwrap_or_default());
        }
        Some(line)
    };
    // An entry with a handler that we do not understand is not ours alone.
    handlers
        .into_iter()
        .map(|h| line(h).unwrap_or_default())
        .collect()
}

/// How the file is laid out.
struct Layout {
    /// One step of indentation; none if everything stands in one line.
    step: Option<String>,
}

impl Layout {
    fn of(text: &str) -> Self {
        let mut lines = text.trim_end().lines().skip(1);
        let step = lines.find_map(|line| {
            let rest = line.trim_start_matches([' ', '\t']);
            let indent = line.strip_suffix(rest)?;
            (!indent.is_empty() && !rest.is_empty()).then(|| indent.to_owned())
        });
        let one_line = text.trim_end().lines().count() < 2;
        let empty = text.chars().all(|c| c.is_whitespace() || "{}".contains(c));
        Self {
            step: match (step, one_line && !empty) {
                (_, true) => None,
                (step, _) => Some(step.unwrap_or_else(|| "  ".to_owned())),
            },
        }
    }

    /// The beginning of a line at a depth.
    fn line(&self, depth: usize) -> String {
        match &self.step {
            Some(step) => format!("\n{}", step.repeat(depth)),
            None => String::new(),
        }
    }

    fn render(&self, entry: &Entry, depth: usize) -> Result<String> {
        let Some(step) = &self.step else {
            return serde_json::to_string(entry).map_err(|_| malformed());
        };
        let mut bytes = Vec::new();
        let formatter = PrettyFormatter::with_indent(step.as_bytes());
        let mut serializer = Serializer::with_formatter(&mut bytes, formatter);
        serde::Serialize::serialize(entry, &mut serializer).map_err(|_| malformed())?;
        let text = String::from_utf8(bytes).map_err(|_| malformed())?;
        Ok(text.replace('\n', &self.line(depth)))
    }

    /// A container with these things in it, its closing bracket at a depth.
    fn wrap(&self, open: char, things: &[String], depth: usize) -> String {
        let close = if open == '[' { ']' } else { '}' };
        let inner = self.line(depth + 1);
        let things = things.join(&format!(",{inner}"));
        format!("{open}{inner}{things}{}{close}", self.line(depth))
    }
}

/// Puts a thing at the end of a container whose closing bracket is at a depth.
fn insert(
    text: &str,
    container: &Range<usize>,
    layout: &Layout,
    thing: &str,
    depth: usize,
) -> Result<String> {
    let last = ends(text, container)?.last().copied();
    let (before, after) = match last {
        Some(end) => (
            format!(
                "{},{}",
                slice(text, &(0..end))?,
                match &layout.step {
                    Some(_) => layout.line(depth + 1),
                    None => " ".to_owned(),
                }
            ),
            slice(text, &(end..text.len()))?.to_owned(),
        ),
        None => (
            format!(
                "{}{}",
                slice(text, &(0..container.start + 1))?,
                layout.line(depth + 1)
            ),
            format!(
                "{}{}",
                layout.line(depth),
                slice(text, &(container.end - 1..text.len()))?
            ),
        ),
    };
    checked(format!("{before}{thing}{after}"))
}

/// Where the members or items of a container end.
fn ends(text: &str, container: &Range<usize>) -> Result<Vec<usize>> {
    Ok(match slice(text, container)?.starts_with('{') {
        true => members(text, container)?
            .into_iter()
            .map(|(_, _, value)| value.end)
            .collect(),
        false => items(text, container)?
            .into_iter()
            .map(|item| item.end)
            .collect(),
    })
}

fn drop_member(text: &str, object: &Range<usize>, key: &str) -> Result<String> {
    // The object may have shrunk since it was measured.
    let object = measure(text, object.start)?;
    let all = members(text, &object)?;
    let places: Vec<Range<usize>> = all
        .iter()
        .map(|(_, key, value)| key.start..value.end)
        .collect();
    match all.iter().position(|(name, ..)| name == key) {
        Some(which) => cut(text, &object, &places, which),
        None => Ok(text.to_owned()),
    }
}

/// Cuts one of the things out of a container, with its comma.
fn cut(
    text: &str,
    container: &Range<usize>,
    things: &[Range<usize>],
    which: usize,
) -> Result<String> {
    let thing = things.get(which).ok_or_else(malformed)?;
    let gone = match (
        which.checked_sub(1).and_then(|i| things.get(i)),
        things.get(which + 1),
    ) {
        (_, Some(next)) => thing.start..next.start,
        (Some(previous), None) => previous.end..thing.end,
        (None, None) => container.start + 1..container.end - 1,
    };
    let before = slice(text, &(0..gone.start))?;
    let after = slice(text, &(gone.end..text.len()))?;
    checked(format!("{before}{after}"))
}

fn entries(text: &str, event: &str) -> Result<Vec<Range<usize>>> {
    let Some(hooks) = member(text, &root(text)?, "hooks")? else {
        return Ok(Vec::new());
    };
    match member(text, &hooks, event)? {
        Some(list) => items(text, &list),
        None => Ok(Vec::new()),
    }
}

/// The whole value; refuses what is not one object without repeated keys.
fn root(text: &str) -> Result<Range<usize>> {
    let unreadable = |what: &str| {
        Error::new(ErrorKind::Refused, format!("the settings {what}"))
            .with_hint("they were left as they are; put them right, or add the hook by hand")
    };
    match Json::read(text) {
        Ok((value, 0)) if value.is_object() => {}
        Ok((_, 0)) => return Err(unreadable("are not a JSON object")),
        Ok(_) => return Err(unreadable("have a key that stands twice")),
        Err(_) => return Err(unreadable("are not JSON, or JSON with comments")),
    }
    measure(text, text.len() - text.trim_start().len())
}

fn member(text: &str, object: &Range<usize>, key: &str) -> Result<Option<Range<usize>>> {
    let all = members(text, object)?;
    Ok(all
        .into_iter()
        .find(|(name, ..)| name == key)
        .map(|(_, _, value)| value))
}

/// A member of an object: name, place of the name, place of the value.
type Member = (String, Range<usize>, Range<usize>);

fn members(text: &str, object: &Range<usize>) -> Result<Vec<Member>> {
    if !slice(text, object)?.starts_with('{') {
        return Err(Error::new(
            ErrorKind::Refused,
            "`hooks` in the settings is not an object",
        ));
    }
    let mut found = Vec::new();
    let mut at = skip(text, object.start + 1, " \t\r\n,");
    while at + 1 < object.end {
        let key = measure(text, at)?;
        let name = serde_json::from_str(slice(text, &key)?).map_err(|_| malformed())?;
        let value = measure(text, skip(text, key.end, " \t\r\n:"))?;
        at = skip(text, value.end, " \t\r\n,");
        found.push((name, key, value));
    }
    Ok(found)
}

/// The places of an array's items.
fn items(text: &str, array: &Range<usize>) -> Result<Vec<Range<usize>>> {
    if !slice(text, array)?.starts_with('[') {
        return Err(Error::new(
            ErrorKind::Refused,
            "an event in the settings' `hooks` is not an array",
        ));
    }
    let mut found = Vec::new();
    let mut at = skip(text, array.start + 1, " \t\r\n,");
    while at + 1 < array.end {
        let item = measure(text, at)?;
        at = skip(text, item.end, " \t\r\n,");
        found.push(item);
    }
    Ok(found)
}

fn skip(text: &str, from: usize, over: &str) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.len() - rest.trim_start_matches(|c| over.contains(c)).len()
}

/// The place of the value that begins there: one value is read and the reader asked how far it went.
fn measure(text: &str, start: usize) -> Result<Range<usize>> {
    let rest = text.get(start..).ok_or_else(malformed)?;
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
    let value = values.next().and_then(Result::ok).ok_or_else(malformed)?;
    Ok(start..start + value.get().len())
}

fn slice<'t>(text: &'t str, place: &Range<usize>) -> Result<&'t str> {
    text.get(place.clone()).ok_or_else(malformed)
}

/// What comes out must still be what a harness reads.
fn checked(text: String) -> Result<String> {
    root(&text)?;
    Ok(text)
}

fn quoted(word: &str) -> String {
    serde_json::Value::from(word).to_string()
}

fn malformed() -> Error {
    Error::new(ErrorKind::Refused, "the settings cannot be taken apart")
}
