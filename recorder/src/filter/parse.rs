//! From text to filter, or to an error that points at the place and knows the nearest name.

use std::fmt::Write as _;
use std::ops::Range;

use tacho_schemas::body::work::{Decision, Status};
use tacho_schemas::body::{Part, RationaleSource};
use tacho_schemas::record::{ActorType, Via};
use tacho_schemas::safe::safe;
use tacho_schemas::{Kind, Seq, Time};

use super::{Filter, Key, Pattern, Span, Term};

/// The most parentheses and negations around a term.
const MAX_DEPTH: usize = 32;

/// The most terms of a filter, and the most values of a term.
const MAX_TERMS: usize = 128;

/// What a filter may say, in short.
pub const SYNTAX: &str = "terms side by side must all hold, `|` is or, `-` is not; key:value, key:a,b, word, word*, \"a phrase\", \
    under(SEQ), over(SEQ); keys: actor, agent, by, generation, kind, lineage, model, part, path, rationale, rule, seq, session, \
    since, status, tool, until, verdict, via";

/// Why a text is no filter.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    message: String,
    hint: Option<String>,
    span: Range<usize>,
}

impl FilterError {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            span,
        }
    }

    fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to write instead, if we know.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The bytes of the text that are at fault.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The text on one line, with marks on the line below it.
    pub fn caret(&self, text: &str) -> String {
        let part = |range: Range<usize>| safe(text.get(range).unwrap_or_default()).into_owned();
        let before = part(0..self.span.start).chars().count();
        let marks = part(self.span.clone()).chars().count().max(1);
        format!("{}\n{:before$}{:^<marks$}", safe(text), "", "")
    }
}

/// What a key's values are.
enum Values {
    /// Names of the registry.
    Choice(fn() -> Vec<&'static str>),
    /// Ids, with `*`.
    Name,
    /// Numbers of records.
    Number,
}

impl Key {
    /// How the key is written.
    pub fn name(self) -> &'static str {
        KEYS.iter()
            .find(|(_, key, _)| *key == self)
            .map_or("", |(name, ..)| name)
    }

    /// Whether its values are ids, of which there may be any.
    pub fn is_open(self) -> bool {
        KEYS.iter()
            .any(|(_, key, values)| *key == self && matches!(values, Values::Name))
    }

    /// The values it can have, if they are a closed list.
    pub fn choices(self) -> Option<Vec<&'static str>> {
        KEYS.iter().find_map(|(_, key, values)| match values {
            Values::Choice(names) if *key == self => Some(names()),
            _ => None,
        })
    }
}

macro_rules! names {
    ($type:ty) => {
        || <$type>::ALL.iter().map(|(_, name, _)| *name).collect()
    };
}

const KEYS: [(&str, Key, Values); 15] = [
    ("actor", Key::Actor, Values::Name),
    ("agent", Key::Agent, Values::Name),
    ("by", Key::By, Values::Choice(names!(ActorType))),
    ("generation", Key::Generation, Values::Number),
    ("kind", Key::Kind, Values::Choice(names!(Kind))),
    ("lineage", Key::Lineage, Values::Number),
    ("model", Key::Model, Values::Name),
    ("part", Key::Part, Values::Choice(names!(Part))),
    (
        "rationale",
        Key::Rationale,
        Values::Choice(names!(RationaleSource)),
    ),
    ("rule", Key::Rule, Values::Name),
    ("session", Key::Session, Values::Number),
    ("status", Key::Status, Values::Choice(names!(Status))),
    ("tool", Key::Tool, Values::Name),
    ("verdict", Key::Verdict, Values::Choice(names!(Decision))),
    ("via", Key::Via, Values::Choice(names!(Via))),
];

/// Keys that are no facts of one record.
const OTHER_KEYS: [&str; 4] = ["path", "seq", "since", "until"];

/// Every key as it is written, with what it asks for if that is one fact of a record.
pub fn keys() -> impl Iterator<Item = (&'static str, Option<Key>)> {
    let facts = KEYS.iter().map(|(name, key, _)| (*name, Some(*key)));
    facts.chain(OTHER_KEYS.iter().map(|name| (*name, None)))
}

const FUNCTIONS: [&str; 2] = ["over", "under"];

type Result<T> = std::result::Result<T, FilterError>;

pub(super) fn parse(text: &str, now: Time) -> Result<Filter> {
    if text.trim().is_empty() {
        return Ok(Filter::Everything);
    }
    let mut parser = Parser {
        text,
        at: 0,
        now,
        depth: 0,
        terms: 0,
    };
    let filter = parser.any()?;
    match parser.peek() {
        None => Ok(filter),
        Some(_) => Err(FilterError::new(
            parser.here(),
            "this `)` closes no parenthesis",
        )),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    now: Time,
    depth: usize,
    terms: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn eat(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.bump();
        }
        there
    }

    /// Takes what satisfies the condition.
    fn take(&mut self, mut fits: impl FnMut(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn spaces(&mut self) {
        self.take(char::is_whitespace);
    }

    /// The next character, for a mark below it.
    fn here(&self) -> Range<usize> {
        self.at..self.at + self.peek().map_or(0, char::len_utf8)
    }

    fn any(&mut self) -> Result<Filter> {
        let mut filters = vec![self.all()?];
        while self.eat('|') {
            filters.push(self.all()?);
        }
        Ok(Filter::any(filters))
    }

    fn all(&mut self) -> Result<Filter> {
        let mut filters = Vec::new();
        loop {
            self.spaces();
            match self.peek() {
                None | Some('|' | ')') => break,
                Some(_) => filters.push(self.term()?),
            }
        }
        if filters.is_empty() {
            return Err(FilterError::new(self.here(), "a term is missing here"));
        }
        Ok(Filter::all(filters))
    }

    fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let what = format!("more than {MAX_DEPTH} parentheses and negations in each other");
            return Err(FilterError::new(self.here(), what));
        }
        let result = f(self);
        self.depth -= 1;
        result
    }

    fn term(&mut self) -> Result<Filter> {
        let start = self.at;
        match self.peek() {
            Some('-' | '!') => {
                self.bump();
                if self
                    .peek()
                    .is_none_or(|c| c.is_whitespace() || "|)".contains(c))
                {
                    return Err(FilterError::new(
                        start..self.at,
                        "what is to be left out must follow at once",
                    )
                    .with_hint("write `-kind:message`, or \"-\" in quotes to search for it"));
                }
                Ok(self.deeper(Self::term)?.negated())
            }
            Some('(') => {
                self.bump();
                let inner = self.deeper(Self::any)?;
                self.spaces();
                match self.eat(')') {
                    true => Ok(inner),
                    false => Err(FilterError::new(
                        start..start + 1,
                        "this `(` is never closed",
                    )),
                }
            }
            _ => {
                self.terms += 1;
                if self.terms > MAX_TERMS {
                    let what = format!("more than {MAX_TERMS} terms");
                    return Err(FilterError::new(self.here(), what));
                }
                self.bare().map(Filter::Term)
            }
        }
    }

    /// A key with values, a function, a word or a phrase.
    fn bare(&mut self) -> Result<Term> {
        let start = self.at;
        let name = self.take(is_key);
        match self.peek() {
            Some(':') if !name.is_empty() => {
                self.bump();
                self.values(name, start)
            }
            Some('(') if !name.is_empty() => self.function(name, start),
            _ => {
                self.at = start;
                self.words()
            }
        }
    }

    fn words(&mut self) -> Result<Term> {
        let start = self.at;
        let text = match self.peek() {
            Some('"') => self.quoted()?,
            _ => self
                .take(|c| !c.is_whitespace() && !"\"()|*".contains(c))
                .to_owned(),
        };
        let open = self.eat('*');
        let span = start..self.at;
        if open
            && self
                .peek()
                .is_some_and(|c| !c.is_whitespace() && !"|)".contains(c))
        {
            let what = "a `*` in the middle of a word finds nothing";
            return Err(FilterError::new(self.at - 1..self.at, what)
                .with_hint("`*` stands at the end of a word, or anywhere in `path:` and in ids"));
        }
        if !text.chars().any(char::is_alphanumeric) {
            let what = "there is no letter or digit to search for";
            return Err(FilterError::new(span, what));
        }
        Ok(Term::Words { text, open })
    }

    /// A text in quotes, from the first quote on.
    fn quoted(&mut self) -> Result<String> {
        let start = self.at;
        self.bump();
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.bump();
            match c {
                '"' => return Ok(text),
                '\\' if self.peek().is_some_and(|next| "\"\\".contains(next)) => {
                    text.extend(self.peek());
                    self.bump();
                }
                other => text.push(other),
            }
        }
        Err(FilterError::new(
            start..start + 1,
            "this `\"` is never closed",
        ))
    }

    fn function(&mut self, name: &str, start: usize) -> Result<Term> {
        let named = start..self.at;
        let make: fn(Seq) -> Term = match name {
            "under" => Term::Under,
            "over" => Term::Over,
            _ => {
                let error = FilterError::new(named, format!("there is no `{name}(…)`"));
                return Err(match nearest(name, FUNCTIONS) {
                    Some(near) => error.with_hint(format!("did you mean `{near}(SEQ)`?")),
                    None => error.with_hint(
                        "there are `under(SEQ)` and `over(SEQ)`; put a space before `(` to group",
                    ),
                });
            }
        };
        self.bump();
        let from = self.at;
        let inside = self.take(|c| c != ')');
        let span = from..self.at;
        if !self.eat(')') {
            return Err(FilterError::new(from - 1..from, "this `(` is never closed"));
        }
        let seq = inside.trim().parse().map_err(|_| {
            FilterError::new(span, format!("`{name}` needs the number of a record"))
                .with_hint(format!("such as `{name}(17)`"))
        })?;
        Ok(make(Seq(seq)))
    }

    fn values(&mut self, name: &str, start: usize) -> Result<Term> {
        let named = start..self.at;
        let lower = name.to_ascii_lowercase();
        if let Some((_, key, values)) = KEYS.iter().find(|(n, ..)| *n == lower) {
            let patterns = self.list(&lower, named, |found, span| {
                check(&lower, values, found, span)
            })?;
            return Ok(Term::Is(*key, patterns));
        }
        match lower.as_str() {
            "path" => Ok(Term::Path(self.list("path", named, |found, span| {
                match found.0.iter().any(|piece| !piece.is_empty()) || found.0.len() > 1 {
                    true => Ok(found),
                    false => Err(FilterError::new(span, "an empty path")),
                }
            })?)),
            "seq" => Ok(Term::Seq(self.list("seq", named, |found, span| {
                range(&found).ok_or_else(|| {
                    FilterError::new(span, "not the number of a record, nor a range of them")
                        .with_hint("such as `seq:17`, `seq:100..200`, `seq:100..`")
                })
            })?)),
            "since" => self.moment(named, Edge::First).map(Term::Since),
            "until" => self.moment(named, Edge::Last).map(Term::Until),
            _ => {
                let error = FilterError::new(named, format!("there is no key `{name}:`"));
                let known = KEYS.iter().map(|(n, ..)| *n).chain(OTHER_KEYS);
                let known: Vec<&str> = known.collect();
                if FUNCTIONS.contains(&lower.as_str()) {
                    return Err(error.with_hint(format!("write `{lower}(SEQ)`")));
                }
                Err(match nearest(&lower, known.iter().copied()) {
                    Some(near) => error.with_hint(format!("did you mean `{near}:`?")),
                    None => error.with_hint(format!(
                        "keys are {}; put the term in quotes to search for its words",
                        listed(&known)
                    )),
                })
            }
        }
    }

    /// Values between commas; bars without spaces mean the same.
    fn list<T>(
        &mut self,
        name: &str,
        named: Range<usize>,
        mut read: impl FnMut(Pattern, Range<usize>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut values = Vec::new();
        let mut bar = false;
        loop {
            let start = self.at;
            let Some(pattern) = self.pattern()? else {
                let span = if values.is_empty() {
                    named
                } else {
                    self.here()
                };
                let error = FilterError::new(span, format!("a value of `{name}:` is missing"));
                return Err(with_choices(error, name));
            };
            values.push(read(pattern, start..self.at).map_err(|error| match bar {
                true => error.with_hint("to search for a word, put spaces around `|`"),
                false => error,
            })?);
            if values.len() > MAX_TERMS {
                let what = format!("more than {MAX_TERMS} values");
                return Err(FilterError::new(self.here(), what));
            }
            bar = self.bar_joins();
            if !bar && self.peek() != Some(',') {
                return Ok(values);
            }
            self.bump();
        }
    }

    /// Whether a `|` goes on with the same key: another value follows at once, and no term of its own.
    fn bar_joins(&self) -> bool {
        let Some(next) = self.rest().strip_prefix('|') else {
            return false;
        };
        let name = next.find(|c| !is_key(c)).unwrap_or(next.len());
        let after = next.get(name..).and_then(|after| after.chars().next());
        next.starts_with(|c: char| !c.is_whitespace() && !"-!()|,".contains(c))
            && !(name > 0 && after.is_some_and(|c| ":(".contains(c)))
    }

    fn pattern(&mut self) -> Result<Option<Pattern>> {
        let start = self.at;
        let mut pieces = vec![String::new()];
        loop {
            let piece = match self.peek() {
                Some('*') => {
                    self.bump();
                    if pieces.len() < 2 || pieces.last().is_some_and(|piece| !piece.is_empty()) {
                        pieces.push(String::new());
                    }
                    continue;
                }
                Some('"') => self.quoted()?,
                Some('(') => {
                    let what = "a value with a parenthesis needs quotes";
                    return Err(FilterError::new(self.here(), what));
                }
                Some(c) if !c.is_whitespace() && !",|)".contains(c) => {
                    self.bump();
                    c.to_string()
                }
                _ => break,
            };
            if let Some(last) = pieces.last_mut() {
                last.push_str(&piece);
            }
        }
        Ok((self.at > start).then_some(Pattern(pieces)))
    }

    fn moment(&mut self, named: Range<usize>, edge: Edge) -> Result<Time> {
        let start = self.at;
        let found = self.pattern()?.unwrap_or(Pattern(Vec::new()));
        let span = if self.at > start {
            start..self.at
        } else {
            named
        };
        found
            .as_exact()
            .and_then(|text| moment(text, self.now, edge))
            .ok_or_else(|| {
                FilterError::new(span, "not a time")
                    .with_hint("such as `2026-11-24`, `2026-11-24T06:00:00Z` (UTC), or `90m`, `2h`, `3d`, `1w` ago")
            })
    }
}

fn is_key(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

/// Which end of a day is meant.
#[derive(Clone, Copy)]
enum Edge {
    First,
    Last,
}

fn moment(text: &str, now: Time, edge: Edge) -> Option<Time> {
    const SECOND: i64 = 1_000_000_000;
    const DAY: i64 = 86_400 * SECOND;
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => 0,
    };
    let digits = text.strip_suffix(unit).unwrap_or_default();
    if seconds > 0 && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        let ago = digits.parse::<i64>().ok()?;
        let ago = ago.checked_mul(seconds)?.checked_mul(SECOND)?;
        return now.0.checked_sub(ago).map(Time);
    }
    if let Ok(day) = Time::parse(&format!("{text}T00:00:00Z")) {
        return match edge {
            Edge::First => Some(day),
            Edge::Last => day.0.checked_add(DAY - 1).map(Time),
        };
    }
    let endings = ["", "Z", ":00Z"].into_iter();
    endings
        .filter_map(|ending| Time::parse(&format!("{text}{ending}")).ok())
        .next()
}

fn range(found: &Pattern) -> Option<Span> {
    let text = found.as_exact()?;
    let Some((first, last)) = text.split_once("..") else {
        let only = text.parse().ok()?;
        return Some(Span {
            first: only,
            last: only,
        });
    };
    let end = |text: &str, open: u64| match text.is_empty() {
        true => Some(open),
        false => text.parse().ok(),
    };
    let span = Span {
        first: end(first, 0)?,
        last: end(last, u64::MAX)?,
    };
    (span.first <= span.last && text != "..").then_some(span)
}

/// Sees that a value is one that the key can have.
fn check(name: &str, values: &Values, found: Pattern, span: Range<usize>) -> Result<Pattern> {
    match values {
        Values::Name => Ok(found),
        Values::Number => {
            let number = found.as_exact().and_then(|text| text.parse::<u64>().ok());
            number
                .map(|number| Pattern::exact(number.to_string()))
                .ok_or_else(|| {
                    FilterError::new(span, format!("`{name}:` needs the number of a record"))
                        .with_hint(format!("such as `{name}:17`"))
                })
        }
        Values::Choice(names) => {
            let names = names();
            let text = found.as_exact().unwrap_or_default().to_ascii_lowercase();
            if names.contains(&text.as_str()) {
                return Ok(Pattern::exact(text));
            }
            let error = FilterError::new(span, format!("`{found}` is no {name}"));
            Err(match nearest(&text, names.iter().copied()) {
                Some(near) => error.with_hint(format!("did you mean `{name}:{near}`?")),
                None => with_choices(error, name),
            })
        }
    }
}

fn with_choices(error: FilterError, name: &str) -> FilterError {
    match KEYS.iter().find(|(n, ..)| *n == name) {
        Some((.., Values::Choice(names))) => {
            error.with_hint(format!("it may be {}", listed(&names())))
        }
        _ => error,
    }
}

fn listed(names: &[&str]) -> String {
    let mut text = String::new();
    for (place, name) in names.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "{}{name}", if place > 0 { ", " } else { "" });
    }
    text
}

/// The known name that was probably meant: one that begins so, or differs by few letters.
fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.is_empty() {
        return None;
    }
    let far = given.chars().count() / 3 + 1;
    known
        .into_iter()
        .map(|name| match given.len() > 1 && name.starts_with(given) {
            true => (0, name),
            false => (distance(given, name), name),
        })
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be changed, added or taken away.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let above = *cell;
            let changed = diagonal + usize::from(x != y);
            *cell = changed.min(above + 1).min(left + 1);
            (diagonal, left) = (above, *cell);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}
