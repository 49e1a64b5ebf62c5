//! Secrets are taken out before anything is stored.
//!
//! What a secret looks like is data ([`patterns.toml`](../patterns.toml), and `[[secret]]` tables in a log's `tacho.toml`); this is
//! the one function that looks. It works in two steps, both linear in the text: all literals of all patterns are found in one
//! pass, and where one stands, its patterns are tried at exactly that place. Text without secrets is never copied.
//!
//! ```text
//! export GITHUB_TOKEN=ghp_0123…  ─▶  export GITHUB_TOKEN=[redacted:github-token]
//! ```
//!
//! The marker holds no byte of the secret, not even its length; it is plain ASCII, so that JSON around it stays JSON; and what is
//! already a marker is left alone, so redacting twice is redacting once. This guards against secrets that stray into a record by
//! accident. It cannot guard against an agent that encodes one before saying it.

mod event;
mod lazy;
mod literals;
mod pattern;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use tacho_schemas::Id;
use tacho_schemas::record::{MAX_REDACTIONS, Redaction};
use tacho_schemas::scalar::List;

use crate::error::{Error, ErrorKind, Result};
use lazy::Lazy;
use literals::{Hit, Literals};
use pattern::{Pattern, Patterns, Sighting};

/// What every marker begins with; the kind and `]` follow.
const MARKER: &[u8] = b"[redacted:";

/// Taking one secret out can bring another to light; more rounds than this are never seen outside tests made for it.
const ROUNDS: usize = 16;

/// Inside something harmless that is longer than this, its pattern does not look again: hostile text cannot make it look over and
/// over. What is shorter may hold the same pattern once more, as in `token=https://a/?token=…`.
const LONG: usize = 256;

static BUILTIN: OnceLock<Arc<Redactor>> = OnceLock::new();

/// Finds secrets and takes them out; made once, then shared by all threads.
#[derive(Debug)]
pub struct Redactor {
    patterns: Vec<Arc<Pattern>>,
    /// The literals of all patterns, and the marker as the first.
    literals: Literals,
    /// Which patterns to try where a literal stands, each with the literal as it writes it.
    tries: Vec<Vec<(usize, String)>>,
    placeholder: Option<Arc<Lazy>>,
}

/// Text without secrets, and what was taken out.
#[derive(Debug)]
pub struct Redacted<'a> {
    /// Borrowed if there was nothing to take out.
    pub text: Cow<'a, str>,
    /// What was taken out.
    pub found: Found,
}

/// Secrets by kind: how many places each was taken from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Found(BTreeMap<Id, u64>);

/// Where a secret stands.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Span {
    range: Range<usize>,
    /// Its place among the patterns; none for a marker that was there before.
    pattern: Option<usize>,
}

impl Redactor {
    /// Knows the secrets of `patterns.toml`; made at the first call.
    pub fn builtin() -> Result<Arc<Self>> {
        if let Some(made) = BUILTIN.get() {
            return Ok(Arc::clone(made));
        }
        let patterns = Patterns::read(include_str!("../patterns.toml"), None)?;
        let made = Arc::new(Self::of(patterns.list, patterns.placeholder)?);
        Ok(Arc::clone(BUILTIN.get_or_init(|| made)))
    }

    /// Knows those and more: `[[secret]]` tables in TOML, as in `patterns.toml`. Other tables are passed over, so that a whole
    /// settings file can be given. The examples that come with a pattern are tried at once.
    pub fn with_extra(toml: &str) -> Result<Arc<Self>> {
        let builtin = Self::builtin()?;
        let extra = Patterns::read(toml, builtin.placeholder.clone())?.list;
        if extra.is_empty() {
            return Ok(builtin);
        }
        let first = builtin.patterns.len();
        let all = builtin.patterns.iter().cloned().chain(extra).collect();
        let made = Self::of(all, builtin.placeholder.clone())?;
        made.prove(first)?;
        Ok(Arc::new(made))
    }

    fn of(patterns: Vec<Arc<Pattern>>, placeholder: Option<Arc<Lazy>>) -> Result<Self> {
        let mut tries: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
        for (place, pattern) in patterns.iter().enumerate() {
            for literal in &pattern.at {
                let tries = tries.entry(literal.to_ascii_lowercase()).or_default();
                tries.push((place, literal.clone()));
            }
        }
        let literals: Vec<_> = std::iter::once(MARKER)
            .chain(tries.keys().map(String::as_bytes))
            .collect();
        let literals = Literals::new(&literals).map_err(|e| {
            Error::new(ErrorKind::Usage, "there are too many patterns").with_source(e)
        })?;
        let tries = std::iter::once(Vec::new())
            .chain(tries.into_values())
            .collect();
        Ok(Self {
            patterns,
            literals,
            tries,
            placeholder,
        })
    }

    /// The kinds of secrets it knows.
    pub fn kinds(&self) -> impl Iterator<Item = &Id> {
        self.patterns.iter().map(|pattern| &pattern.kind)
    }

    /// Takes secrets out of text.
    pub fn redact<'a>(&self, text: &'a str) -> Redacted<'a> {
        let (bytes, found) = self.redact_bytes(text.as_bytes());
        let text = match bytes {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // Only whole characters are taken out, so this copies nothing.
            Cow::Owned(bytes) => Cow::Owned(
                String::from_utf8(bytes)
                    .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
            ),
        };
        Redacted { text, found }
    }

    /// Takes secrets out of bytes that may or may not be text.
    pub fn redact_bytes<'a>(&self, bytes: &'a [u8]) -> (Cow<'a, [u8]>, Found) {
        let mut found = Found::default();
        let mut now = Cow::Borrowed(bytes);
        // INVARIANT: what is returned has nothing left to take out, so that a second call changes nothing. Each round leaves less
        // text that is not a marker.
        for _ in 0..ROUNDS {
            let spans = self.spans(&now);
            if spans.is_empty() {
                break;
            }
            now = Cow::Owned(self.replace(&now, &spans, &mut found));
        }
        (now, found)
    }

    /// The kind of a secret in the text, if there is any.
    pub fn find(&self, text: &str) -> Option<&Id> {
        let spans = self.spans(text.as_bytes());
        let first = spans.first()?.pattern?;
        self.patterns.get(first).map(|pattern| &pattern.kind)
    }

    /// Whether there may be a secret: a literal stands somewhere. Quick, and never wrong about bytes that only hold the text.
    fn may_hold(&self, bytes: &[u8]) -> bool {
        self.literals.find(bytes).next().is_some()
    }

    /// What is to be replaced: apart from each other, in order.
    fn spans(&self, bytes: &[u8]) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        // Where a pattern has found something, it does not look inside again.
        let mut past: Vec<usize> = Vec::new();
        let mut marker = 0..0;
        for Hit { literal, at } in self.literals.find(bytes) {
            if marker.contains(&at) {
                continue;
            }
            if literal == 0 {
                if let Some(end) = marker_end(bytes, at) {
                    marker = at..end;
                    spans.push(Span {
                        range: at..end,
                        pattern: None,
                    });
                }
                continue;
            }
            for (place, literal) in self.tries.get(literal).into_iter().flatten() {
                let Some(pattern) = self.patterns.get(*place) else {
                    continue;
                };
                if past.get(*place).is_some_and(|past| at < *past) {
                    continue;
                }
                let Some(sighting) = pattern.find(bytes, literal, at) else {
                    continue;
                };
                let (range, is_secret) = match sighting {
                    Sighting::Secret(range) => (range, true),
                    Sighting::Harmless(range) => (range, false),
                };
                if is_secret || range.len() > LONG {
                    past.resize(self.patterns.len(), 0);
                    if let Some(past) = past.get_mut(*place) {
                        *past = range.end;
                    }
                }
                if !is_secret {
                    continue;
                }
                spans.push(Span {
                    range: whole_characters(bytes, range),
                    pattern: Some(*place),
                });
            }
        }
        if spans.iter().all(|span| span.pattern.is_none()) {
            return Vec::new();
        }
        unite(spans)
    }

    fn replace(&self, bytes: &[u8], spans: &[Span], found: &mut Found) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for span in spans {
            let Some(pattern) = span.pattern.and_then(|place| self.patterns.get(place)) else {
                continue;
            };
            out.extend_from_slice(bytes.get(at..span.range.start).unwrap_or_default());
            out.extend_from_slice(MARKER);
            out.extend_from_slice(pattern.kind.as_str().as_bytes());
            out.push(b']');
            at = span.range.end;
            found.add(&pattern.kind, 1);
        }
        out.extend_from_slice(bytes.get(at..).unwrap_or_default());
        out
    }

    /// Compiles the patterns from a place in the list on, and tries the examples that come with them.
    fn prove(&self, first: usize) -> Result<()> {
        for pattern in self.patterns.iter().skip(first) {
            pattern.check()?;
            for example in &pattern.yes {
                let (text, wanted) = example.both(&pattern.kind);
                if self.redact(&text).text != wanted {
                    return Err(pattern.wrong(&format!(
                        "does not take out what is marked in its example {example}"
                    )));
                }
            }
            for example in &pattern.no {
                let (text, _) = example.both(&pattern.kind);
                if self.redact(&text).text != text {
                    return Err(
                        pattern.wrong(&format!("or another pattern finds something in {example}"))
                    );
                }
            }
        }
        Ok(())
    }
}

impl Found {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many places of each kind, by kind.
    pub fn iter(&self) -> impl Iterator<Item = (&Id, u64)> {
        self.0.iter().map(|(kind, count)| (kind, *count))
    }

    /// Adds what was found elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in other.iter() {
            self.add(kind, count);
        }
    }

    fn add(&mut self, kind: &Id, count: u64) {
        match self.0.get_mut(kind) {
            Some(sum) => *sum = sum.saturating_add(count),
            None => {
                self.0.insert(kind.clone(), count);
            }
        }
    }

    /// What the record says. Kinds beyond its limit are counted together as `other`, the rarest first.
    pub fn into_list(mut self) -> Result<Option<List<Redaction, MAX_REDACTIONS>>> {
        if self.0.len() > MAX_REDACTIONS {
            let mut kinds: Vec<_> = std::mem::take(&mut self.0).into_iter().collect();
            kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            let rest = kinds.split_off(MAX_REDACTIONS - 1);
            let rest = rest.iter().map(|(_, count)| count).sum();
            self.0.extend(kinds);
            self.add(&Id::new(pattern::OTHER)?, rest);
        }
        let list = self.0.into_iter();
        let list = list.map(|(secret, count)| Redaction { secret, count });
        Ok(List::some(list.collect())?)
    }
}

/// `1 aws-access-key, 2 jwt`.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (kind, count)) in self.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {kind}")?;
        }
        Ok(())
    }
}

/// Where the marker that begins at `at` ends, if it is one.
fn marker_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?.strip_prefix(MARKER)?;
    let name = rest.iter().take_while(|b| pattern::may_name(**b)).count();
    if (1..=pattern::MAX_NAME).contains(&name) && rest.get(name) == Some(&b']') {
        Some(at + MARKER.len() + name + 1)
    } else {
        None
    }
}

/// Widens a range so that it cuts no UTF-8 character. Escapes of JSON are cut by no pattern.
fn whole_characters(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let follows = |at: usize| bytes.get(at).is_some_and(|b| b & 0xc0 == 0x80);
    let Range { mut start, mut end } = range;
    // A character has at most three bytes that follow its first; what is longer is no UTF-8.
    let least = start.saturating_sub(3);
    while start > least && follows(start) {
        start -= 1;
    }
    let most = end.saturating_add(3);
    while end < most && follows(end) {
        end += 1;
    }
    start..end
}

/// Makes one of spans that overlap: the whole of them, named by the first of their patterns in the file. Markers that nothing
/// reaches out of are dropped.
fn unite(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by(|a, b| {
        let key = |s: &Span| (s.range.start, std::cmp::Reverse(s.range.end));
        key(a).cmp(&key(b))
    });
    let mut out: Vec<(Span, Range<usize>)> = Vec::with_capacity(spans.len());
    for span in spans {
        let marker = match span.pattern {
            Some(_) => 0..0,
            None => span.range.clone(),
        };
        match out.last_mut() {
            Some((last, inner)) if span.range.start < last.range.end => {
                last.range.end = last.range.end.max(span.range.end);
                last.pattern = match (last.pattern, span.pattern) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                if inner.start == inner.end {
                    *inner = marker;
                }
            }
            _ => out.push((span, marker)),
        }
    }
    out.retain(|(span, marker)| span.pattern.is_some() && span.range != *marker);
    out.into_iter().map(|(span, _)| span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_of_our_patterns_holds() {
        let redactor = Redactor::builtin().unwrap();
        redactor.prove(0).unwrap();
        for pattern in &redactor.patterns {
            assert!(!pattern.yes.is_empty(), "{} has no example", pattern.kind);
        }
    }
}
