//! The filter language: one text with which every verb and screen says which records it means.
//!
//! ```text
//! kind:mutation part:prompt since:2h            all of these
//! verdict:deny,hold -via:import                 any of the values; not imported
//! "permission denied" | tool:Bash* rm           a phrase, or both of the last two
//! under(17) path:src/*.rs                       what came of record 17 and concerns such a file
//! ```
//!
//! ```text
//! filter = all *( "|" all )                     or
//! all    = 1*term                               and; binds tighter than "|"
//! term   = ( "-" / "!" ) term / "(" filter ")" / key ":" values / "under(" seq ")" / "over(" seq ")" / word / phrase
//! values = value *( "," value )                 any of them; `key:a|b` without spaces means the same
//! value  = bare text, "quoted text" and "*" (anything), side by side
//! ```
//!
//! A word, or the words of a phrase side by side, is found in any text or path of a record, case and accents aside; with `*` at
//! its end it is the beginning of a word. In quotes, `\"` and `\\` stand for themselves. Pure: what a relative time counts
//! from comes in as an argument.

mod facts;
mod parse;

use std::fmt;

use tacho_schemas::{Seq, Time};

pub use parse::{FilterError, SYNTAX, keys};

pub(crate) use facts::{Fact, Lineages, facts, paths, test};

/// A filter that was understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Filter {
    /// Every record.
    Everything,
    /// Those that meet all.
    All(Vec<Self>),
    /// Those that meet any.
    Any(Vec<Self>),
    /// Those that do not meet it.
    Not(Box<Self>),
    /// Those that meet a term.
    Term(Term),
}

/// One thing that a record meets or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Term {
    /// One of its facts under this key fits one of the patterns.
    Is(Key, Vec<Pattern>),
    /// One of its paths has these parts side by side.
    Path(Vec<Pattern>),
    /// Its number is in one of the ranges, ends included.
    Seq(Vec<Span>),
    /// It was recorded then or later.
    Since(Time),
    /// It was recorded then or before.
    Until(Time),
    /// It came of this record, by causes, session and generation.
    Under(Seq),
    /// It led to this record.
    Over(Seq),
    /// Its text holds these words side by side.
    Words {
        /// The words.
        text: String,
        /// The last one may go on.
        open: bool,
    },
}

/// Numbers from the first to the last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// What a record can be asked for. One fact of a record has one key.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[allow(missing_docs, reason = "`parse::KEYS` says what each means")]
pub enum Key {
    Actor,
    Agent,
    By,
    Generation,
    Kind,
    Lineage,
    Model,
    Part,
    Rationale,
    Rule,
    Session,
    Status,
    Tool,
    Verdict,
    Via,
}

/// A text with gaps: what is between two pieces may be anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern(pub(crate) Vec<String>);

impl Pattern {
    /// A text without gaps.
    pub fn exact(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    /// The text, if there are no gaps.
    pub fn as_exact(&self) -> Option<&str> {
        match self.0.as_slice() {
            [text] => Some(text),
            _ => None,
        }
    }

    /// Says whether a text fits, from its beginning to its end.
    pub fn fits(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return text.is_empty();
        };
        let Some((last, middle)) = rest.split_last() else {
            return text == first;
        };
        let Some(mut left) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        for piece in middle {
            let Some(at) = left.find(piece.as_str()) else {
                return false;
            };
            left = left.get(at + piece.len()..).unwrap_or_default();
        }
        left.ends_with(last.as_str())
    }

    /// Says whether parts of a path, side by side, fit; a text that begins with `/` fits from the root only.
    pub fn fits_path(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let mut pieces = self.0.clone();
        let rooted = pieces.first().is_some_and(|first| first.starts_with('/'));
        if let Some(last) = pieces.last_mut() {
            last.truncate(last.trim_end_matches('/').len());
            last.push('/');
        }
        pieces.push(String::new());
        if rooted {
            return Self(pieces).fits(&format!("{path}/"));
        }
        if let Some(first) = pieces.first_mut() {
            first.insert(0, '/');
        }
        pieces.insert(0, String::new());
        Self(pieces).fits(&format!("/{path}/"))
    }
}

impl Filter {
    /// Reads a filter; relative times count back from `now`.
    pub fn parse(text: &str, now: Time) -> Result<Self, FilterError> {
        parse::parse(text, now)
    }

    /// Those that meet all of these.
    pub fn all(filters: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(filters.len());
        for filter in filters {
            match filter {
                Self::Everything => {}
                Self::All(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.pop() {
            None => Self::Everything,
            Some(only) if flat.is_empty() => only,
            Some(last) => {
                flat.push(last);
                Self::All(flat)
            }
        }
    }

    /// Those that meet one of these.
    pub fn any(filters: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(filters.len());
        for filter in filters {
            match filter {
                Self::Everything => return Self::Everything,
                Self::Any(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.pop() {
            None => Self::Not(Box::new(Self::Everything)),
            Some(only) if flat.is_empty() => only,
            Some(last) => {
                flat.push(last);
                Self::Any(flat)
            }
        }
    }

    /// Those that this one leaves out.
    pub fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// The terms that every record must meet.
    pub(crate) fn required(&self) -> &[Self] {
        match self {
            Self::All(terms) => terms,
            other => std::slice::from_ref(other),
        }
    }
}

/// The canonical text: it reads as the same filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, filters: &[Self], between: &str, within: bool| {
            for (place, filter) in filters.iter().enumerate() {
                if place > 0 {
                    f.write_str(between)?;
                }
                match filter {
                    Self::Any(_) if within => write!(f, "({filter})")?,
                    other => write!(f, "{other}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::Everything => Ok(()),
            Self::All(filters) => list(f, filters, " ", true),
            Self::Any(filters) => list(f, filters, " | ", false),
            Self::Not(inner) => match &**inner {
                Self::Term(term) => write!(f, "-{term}"),
                other => write!(f, "-({other})"),
            },
            Self::Term(term) => term.fmt(f),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(
            f: &mut fmt::Formatter<'_>,
            key: &str,
            values: &[T],
        ) -> fmt::Result {
            write!(f, "{key}:")?;
            for (place, value) in values.iter().enumerate() {
                let comma = if place > 0 { "," } else { "" };
                write!(f, "{comma}{value}")?;
            }
            Ok(())
        }
        match self {
            Self::Is(key, patterns) => list(f, key.name(), patterns),
            Self::Path(patterns) => list(f, "path", patterns),
            Self::Seq(spans) => list(f, "seq", spans),
            Self::Since(time) => write!(f, "since:{time}"),
            Self::Until(time) => write!(f, "until:{time}"),
            Self::Under(seq) => write!(f, "under({seq})"),
            Self::Over(seq) => write!(f, "over({seq})"),
            Self::Words { text, open } => {
                let bare = text
                    .chars()
                    .all(|c| c.is_alphanumeric() || "._/-+@".contains(c))
                    && !text.starts_with('-');
                match bare {
                    true => f.write_str(text)?,
                    false => quoted(f, text)?,
                }
                f.write_str(if *open { "*" } else { "" })
            }
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, u64::MAX) => write!(f, "{first}.."),
            (first, last) => write!(f, "{first}..{last}"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, piece) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("*")?;
            }
            let bare = |c: char| !c.is_whitespace() && !c.is_control() && !"\"\\*,|()".contains(c);
            match piece.chars().all(bare) && !(piece.is_empty() && self.0.len() == 1) {
                true => f.write_str(piece)?,
                false => quoted(f, piece)?,
            }
        }
        Ok(())
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        let escape = if c == '"' || c == '\\' { "\\" } else { "" };
        write!(f, "{escape}{c}")?;
    }
    f.write_str("\"")
}
