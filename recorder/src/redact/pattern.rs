//! What a secret looks like: one table of `patterns.toml`, read and compiled.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use regex_automata::{Anchored, Input};
use serde::Deserialize;
use tacho_schemas::Id;

use super::lazy::Lazy;
use crate::error::{Error, ErrorKind, Result};

/// Kinds that a record has no room for are counted under this name.
pub(super) const OTHER: &str = "other";

/// The longest name of a kind.
pub(super) const MAX_NAME: usize = 64;

/// How far beyond its literal a pattern looks, unless it says otherwise. It bounds the work that hostile text can make.
const REACH: usize = 4096;

/// The farthest that a pattern may say.
const MAX_REACH: usize = 1 << 17;

/// Kinds are lower-case letters, digits and hyphens: they stand in text, in markers.
pub(super) fn may_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// One pattern, ready.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) kind: Id,
    pub(super) at: Vec<String>,
    pub(super) yes: Vec<Example>,
    pub(super) no: Vec<Example>,
    regex: Lazy,
    inside: bool,
    back: usize,
    reach: usize,
    entropy: Option<f32>,
    mixed: bool,
    unless: Option<Lazy>,
    placeholder: Option<Arc<Lazy>>,
}

/// What stands where a pattern looked.
#[derive(Debug)]
pub(super) enum Sighting {
    /// A secret.
    Secret(Range<usize>),
    /// It has the shape of one, but is none.
    Harmless(Range<usize>),
}

/// Text with the secret between `«` and `»`. `{+}` stands for nothing: it keeps our examples from being taken for secrets.
#[derive(Clone, Debug)]
pub(super) struct Example(String);

impl Example {
    /// The text as it is met, and as it is to become.
    pub(super) fn both(&self, kind: &Id) -> (String, String) {
        let text = self.0.replace("{+}", "");
        let (mut met, mut wanted) = (String::new(), String::new());
        let mut rest = text.as_str();
        while let Some((before, secret, after)) = rest.split_once('«').and_then(|(before, rest)| {
            let (secret, after) = rest.split_once('»')?;
            Some((before, secret, after))
        }) {
            met.extend([before, secret]);
            wanted.push_str(before);
            wanted.push_str(&format!("[redacted:{kind}]"));
            rest = after;
        }
        met.push_str(rest);
        wanted.push_str(rest);
        (met, wanted)
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.0.escape_debug().take(80).collect();
        write!(f, "`{text}`")
    }
}

/// A file of patterns.
#[derive(Debug)]
pub(super) struct Patterns {
    pub(super) list: Vec<Arc<Pattern>>,
    /// What a value looks like that only stands for one.
    pub(super) placeholder: Option<Arc<Lazy>>,
}

#[derive(Deserialize)]
struct File {
    placeholder: Option<String>,
    #[serde(default)]
    secret: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    at: Vec<String>,
    regex: String,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    inside: bool,
    #[serde(default)]
    back: usize,
    reach: Option<usize>,
    entropy: Option<f32>,
    #[serde(default)]
    mixed: bool,
    #[serde(default)]
    weak: bool,
    unless: Option<String>,
    #[serde(default)]
    yes: Vec<String>,
    #[serde(default)]
    no: Vec<String>,
}

impl Patterns {
    /// Reads a file; what a placeholder looks like is given, or comes with it.
    pub(super) fn read(toml: &str, placeholder: Option<Arc<Lazy>>) -> Result<Self> {
        let file: File = toml::from_str(toml).map_err(|e| {
            let place = e.span().map_or(0, |span| {
                let before = toml.get(..span.start).unwrap_or_default();
                before.matches('\n').count() + 1
            });
            let why = e.message().replace('\n', " ");
            usage(format!("the patterns of secrets, line {place}: {why}"))
        })?;
        let own = file.placeholder.map(|regex| Lazy::new(regex, true));
        let placeholder = placeholder.or(own.map(Arc::new));
        let list = file.secret.into_iter();
        let list = list.map(|entry| entry.ready(placeholder.as_ref()).map(Arc::new));
        Ok(Self {
            list: list.collect::<Result<_>>()?,
            placeholder,
        })
    }
}

impl Entry {
    fn ready(self, placeholder: Option<&Arc<Lazy>>) -> Result<Pattern> {
        let wrong = |why: &str| wrong(&self.name, why);
        let name = self.name.as_bytes();
        if name.is_empty() || name.len() > MAX_NAME || !name.iter().all(|b| may_name(*b)) {
            return Err(wrong(
                "needs a name of 1 to 64 lower-case letters, digits and hyphens",
            ));
        }
        if self.name == OTHER {
            return Err(wrong("has a name that is taken"));
        }
        if self.at.is_empty() || self.at.iter().any(|l| l.len() < 2 || !l.is_ascii()) {
            return Err(wrong(
                "needs literals of 2 or more ASCII characters in `at`",
            ));
        }
        let reach = self.reach.unwrap_or(REACH);
        if reach == 0 || reach > MAX_REACH || self.back > reach {
            return Err(wrong(&format!(
                "reaches too far: at most {MAX_REACH} bytes"
            )));
        }
        let examples = |list: &[String]| list.iter().cloned().map(Example).collect();
        Ok(Pattern {
            kind: Id::new(self.name.as_str())?,
            regex: Lazy::new(self.regex, self.ignore_case),
            inside: self.inside,
            back: self.back,
            reach,
            entropy: self.entropy,
            mixed: self.mixed,
            unless: self.unless.map(|regex| Lazy::new(regex, true)),
            placeholder: placeholder.filter(|_| self.weak).cloned(),
            yes: examples(&self.yes),
            no: examples(&self.no),
            at: self.at,
        })
    }
}

impl Pattern {
    /// Compiles the regexes, and says what is wrong with them.
    pub(super) fn check(&self) -> Result<()> {
        let bad = |field: &str, why: &str| self.wrong(&format!("has a bad `{field}`: {why}"));
        let regex = self.regex.compile().map_err(|e| bad("regex", &e))?;
        if regex.is_match("") {
            return Err(self.wrong("has a `regex` that finds nothing at all"));
        }
        let others = [
            ("unless", self.unless.as_ref()),
            ("placeholder", self.placeholder.as_deref()),
        ];
        for (field, regex) in others {
            if let Some(regex) = regex {
                regex.compile().map_err(|e| bad(field, &e))?;
            }
        }
        Ok(())
    }

    /// What this pattern finds at a literal, if anything.
    ///
    /// The regex is tried at one place only, with all around it in view.
    pub(super) fn find(&self, bytes: &[u8], literal: &str, at: usize) -> Option<Sighting> {
        let start = at.checked_sub(self.back)?;
        // The literals are found in any case.
        if !self.regex.ignore_case && !bytes.get(at..)?.starts_with(literal.as_bytes())
            || !self.inside && is_inside_word(bytes.get(..start)?)
        {
            return None;
        }
        let end = bytes.len().min(at.saturating_add(self.reach));
        let input = Input::new(bytes).range(start..end).anchored(Anchored::Yes);
        // INVARIANT: all regexes compile; a test and `with_extra` see to it. One that did not would take all in its reach.
        let Some(regex) = self.regex.get() else {
            return Some(Sighting::Secret(start..end));
        };
        // Most literals begin no secret: that much is said without looking for groups.
        let half = regex.search_half(&input)?;
        let mut range = if regex.group_info().group_len(half.pattern()) > 1 {
            let mut groups = regex.create_captures();
            regex.search_captures(&input, &mut groups);
            let mut taking_part = groups.iter().skip(1).flatten();
            taking_part.next()?.range()
        } else {
            start..half.offset()
        };
        let secret = bytes.get(range.clone())?;
        if cuts_escape(bytes.get(..range.start)?, secret) || !self.accepts(secret) {
            return Some(Sighting::Harmless(range));
        }
        if range.end == end {
            // It may be longer than the reach: what goes on like a secret belongs to it.
            let more = bytes.get(end..).unwrap_or_default().iter();
            range.end += more.take_while(|b| goes_on(**b)).count();
        }
        Some(Sighting::Secret(range))
    }

    fn accepts(&self, secret: &[u8]) -> bool {
        !secret.is_empty()
            && (!self.mixed
                || secret.iter().any(u8::is_ascii_digit)
                    && secret.iter().any(u8::is_ascii_alphabetic))
            && self.entropy.is_none_or(|least| entropy(secret) >= least)
            && self.unless.as_ref().is_none_or(|r| !r.is_match(secret))
            && self
                .placeholder
                .as_ref()
                .is_none_or(|r| !r.is_match(secret))
    }

    /// Says what is wrong with this pattern.
    pub(super) fn wrong(&self, why: &str) -> Error {
        wrong(self.kind.as_str(), why)
    }
}

/// Whether text ends within a word: a letter or digit that is not the end of an escape (`\n`, `\u0026`, `%3D`).
fn is_inside_word(before: &[u8]) -> bool {
    let hex = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_hexdigit);
    match before {
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => false,
        [.., b'%', a, b] if hex(&[*a, *b]) => false,
        [.., b'\\', b'u', a, b, c, d] if hex(&[*a, *b, *c, *d]) => false,
        [.., last] => last.is_ascii_alphanumeric(),
        [] => false,
    }
}

/// Whether the first letter of the secret belongs to the backslash before it, as in `\npm_`: then it is not that secret, and
/// taking it out would leave text that is no JSON any more.
fn cuts_escape(before: &[u8], secret: &[u8]) -> bool {
    let backslashes = before.iter().rev().take(64);
    let backslashes = backslashes.take_while(|b| **b == b'\\').count();
    let escaped = secret
        .first()
        .is_some_and(|first| b"nrtbfu\"\\/".contains(first));
    escaped && backslashes % 2 == 1
}

fn goes_on(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=_-.~".contains(&byte)
}

/// Shannon's entropy in bits for each byte.
fn entropy(secret: &[u8]) -> f32 {
    let mut counts = [0_u16; 256];
    for byte in secret.iter().take(1024) {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = f32::from(counts.iter().sum::<u16>());
    let shares = counts.iter().filter(|count| **count > 0);
    shares
        .map(|count| f32::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

fn wrong(name: &str, why: &str) -> Error {
    let name = name.escape_debug();
    usage(format!("the pattern `{name}` {why}"))
}

fn usage(what: String) -> Error {
    Error::new(ErrorKind::Usage, what)
}
