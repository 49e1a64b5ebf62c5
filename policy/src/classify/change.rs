//! What an edit makes of a file's bytes, worked out before it happens: only then can a human approve exactly this.

use crate::json::Json;

/// What is done to the bytes of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// They become these.
    Content(Vec<u8>),
    /// They go.
    Delete,
    /// Pieces of a patch are applied, in order.
    Patch(Vec<Hunk>),
    /// Texts are replaced, in order.
    Replace(Vec<Replacement>),
    /// Nobody can say from the call.
    Unknown,
}

/// One replacement of an edit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replacement {
    /// What goes; empty where the file is to be made.
    pub old: String,
    /// What comes.
    pub new: String,
    /// Everywhere, or at the one place where it stands.
    pub all: bool,
}

/// One piece of a patch: the lines before and after, with the line that it comes after, if one is named.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hunk {
    /// A line somewhere before the piece (`@@ line`).
    pub anchor: Option<String>,
    /// Lines as they are.
    pub old: Vec<String>,
    /// Lines as they will be.
    pub new: Vec<String>,
    /// The piece ends the file.
    pub at_end: bool,
}

impl Change {
    /// The bytes afterwards; `None` where that cannot be said, for the edit does not fit or is not understood.
    pub fn apply(&self, before: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Content(bytes) => Some(bytes.clone()),
            Self::Delete => Some(Vec::new()),
            Self::Unknown => None,
            Self::Replace(list) => {
                let mut text = std::str::from_utf8(before).ok()?.to_owned();
                for Replacement { old, new, all } in list {
                    text = match (old.as_str(), text.matches(old.as_str()).count()) {
                        ("", _) if text.is_empty() => new.clone(),
                        ("", _) | (_, 0) => return None,
                        (old, 1) => text.replacen(old, new, 1),
                        (old, _) if *all => text.replace(old, new),
                        _ => return None,
                    };
                }
                Some(text.into_bytes())
            }
            Self::Patch(hunks) => patch(std::str::from_utf8(before).ok()?, hunks),
        }
    }
}

fn patch(before: &str, hunks: &[Hunk]) -> Option<Vec<u8>> {
    let mut lines: Vec<&str> = before.split('\n').collect();
    // A file ends with a line feed, which is no line of its own.
    if lines.last() == Some(&"") {
        lines.pop();
    }
    let mut made: Vec<&str> = Vec::new();
    let mut from = 0;
    for hunk in hunks {
        if let Some(anchor) = &hunk.anchor {
            let at = lines.get(from..)?.iter().position(|l| l == anchor)?;
            let end = from.checked_add(at)?.checked_add(1)?;
            made.extend(lines.get(from..end)?);
            from = end;
        }
        let rest = lines.get(from..)?;
        let at = if hunk.old.is_empty() {
            rest.len()
        } else {
            let mut places = rest
                .windows(hunk.old.len())
                .enumerate()
                .filter(|(_, window)| window.iter().zip(&hunk.old).all(|(a, b)| *a == b.as_str()))
                .map(|(at, _)| at);
            if hunk.at_end {
                places.next_back()?
            } else {
                places.next()?
            }
        };
        made.extend(rest.get(..at)?);
        made.extend(hunk.new.iter().map(String::as_str));
        from = from.checked_add(at)?.checked_add(hunk.old.len())?;
    }
    made.extend(lines.get(from..)?);
    let mut text = made.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    Some(text.into_bytes())
}

/// One file of a patch in the form that begins with `*** Begin Patch`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Patched {
    pub(crate) path: String,
    pub(crate) to: Option<String>,
    pub(crate) change: Change,
}

/// Reads a patch. `None` if it is none, or has a line that is not understood: then nobody knows what it would change.
pub(crate) fn read_patch(text: &str) -> Option<Vec<Patched>> {
    let start = text.find("*** Begin Patch")?;
    let (_, body) = text.split_at_checked(start)?;
    let mut lines = body.lines().skip(1);
    let mut files: Vec<Patched> = Vec::new();
    loop {
        let line = lines.next()?;
        let head = line.trim_end();
        if head == "*** End Patch" {
            break;
        }
        let new = |path: &str, change| Patched {
            path: path.trim().to_owned(),
            to: None,
            change,
        };
        if let Some(path) = head.strip_prefix("*** Add File: ") {
            files.push(new(path, Change::Content(Vec::new())));
        } else if let Some(path) = head.strip_prefix("*** Delete File: ") {
            files.push(new(path, Change::Delete));
        } else if let Some(path) = head.strip_prefix("*** Update File: ") {
            files.push(new(path, Change::Patch(Vec::new())));
        } else {
            let file = files.last_mut()?;
            match &mut file.change {
                Change::Content(bytes) => {
                    bytes.extend_from_slice(line.strip_prefix('+')?.as_bytes());
                    bytes.push(b'\n');
                }
                Change::Patch(hunks) => match head.strip_prefix("*** Move to: ") {
                    Some(to) => file.to = Some(to.trim().to_owned()),
                    None => hunk_line(hunks, line)?,
                },
                _ => return None,
            }
        }
    }
    (!files.is_empty()).then_some(files)
}

fn hunk_line(hunks: &mut Vec<Hunk>, line: &str) -> Option<()> {
    if let Some(anchor) = line.strip_prefix("@@") {
        let anchor = anchor.trim();
        hunks.push(Hunk {
            anchor: (!anchor.is_empty()).then(|| anchor.to_owned()),
            ..Hunk::default()
        });
        return Some(());
    }
    if hunks.is_empty() {
        hunks.push(Hunk::default());
    }
    let hunk = hunks.last_mut()?;
    if line.trim_end() == "*** End of File" {
        hunk.at_end = true;
    } else if let Some(text) = line.strip_prefix('+') {
        hunk.new.push(text.to_owned());
    } else if let Some(text) = line.strip_prefix('-') {
        hunk.old.push(text.to_owned());
    } else {
        // An empty line stands for an empty line that stays.
        let text = if line.is_empty() {
            ""
        } else {
            line.strip_prefix(' ')?
        };
        hunk.old.push(text.to_owned());
        hunk.new.push(text.to_owned());
    }
    Some(())
}

/// Reads the replacements of an edit: one, or a list of them in `edits`.
pub(crate) fn read_edit(input: &Json, old: &[String], new: &[String], all: &[String]) -> Change {
    let one = |from: &Json| {
        let text = |names: &[String]| names.iter().find_map(|n| from.field(n)?.as_text());
        let all = all.iter().find_map(|n| from.field(n));
        Some(Replacement {
            old: text(old)?.to_owned(),
            new: text(new)?.to_owned(),
            all: all == Some(&Json::Bool(true)),
        })
    };
    let list = match input.field("edits") {
        Some(edits) => edits
            .as_list()
            .and_then(|edits| edits.iter().map(one).collect::<Option<Vec<_>>>()),
        None => one(input).map(|r| vec![r]),
    };
    list.filter(|l| !l.is_empty())
        .map_or(Change::Unknown, Change::Replace)
}
