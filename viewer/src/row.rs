//! One record on one line.

use tacho_recorder::read::{HIDDEN, Shown};
use tacho_recorder::why;
use tacho_schemas::body::change::Fate;
use tacho_schemas::body::human::Answer;
use tacho_schemas::body::log::Phase;
use tacho_schemas::body::work::{Decision, DenyKind, Status};
use tacho_schemas::body::{Body, Part, RationaleSource};
use tacho_schemas::content::Field;
use tacho_schemas::record::{ActorType, Record};
use tacho_schemas::{Kind, Seq, Time};

use crate::text::said;
use crate::theme::{Glyphs, Role};

/// What a record comes to, for the eye: a sign and a word before it has a colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Plain,
    /// Allowed, succeeded, approved.
    Good,
    Hold,
    /// Denied, failed, rejected.
    Bad,
    Killed,
}

impl State {
    pub(crate) fn glyph(self, glyphs: &Glyphs) -> &'static str {
        match self {
            Self::Plain => " ",
            Self::Good => glyphs.ok,
            Self::Hold => glyphs.hold,
            Self::Bad => glyphs.deny,
            Self::Killed => glyphs.killed,
        }
    }

    pub(crate) fn role(self) -> Role {
        match self {
            Self::Plain => Role::Text,
            Self::Good => Role::Ok,
            Self::Hold => Role::Hold,
            Self::Bad => Role::Deny,
            Self::Killed => Role::Kill,
        }
    }
}

/// A record in short; everything in it is safe to draw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) seq: Seq,
    pub(crate) time: Option<Time>,
    /// When it happened, as its source says.
    pub(crate) claimed: Option<Time>,
    pub(crate) kind: Option<Kind>,
    pub(crate) who: String,
    /// An agent did it.
    pub(crate) is_agent: bool,
    pub(crate) session: Option<Seq>,
    pub(crate) state: State,
    /// The deed, in a word or three.
    pub(crate) what: String,
    /// Words of the record: a claim, like all words.
    pub(crate) words: String,
    /// The generation that it ran under.
    pub(crate) generation: Option<Seq>,
    /// What does not fit.
    pub(crate) doubt: Option<String>,
}

impl Row {
    /// Puts a record into short.
    pub(crate) fn of(shown: &Shown) -> Self {
        let doubt = shown.doubts.first().map(|doubt| said(doubt));
        match &shown.meaning {
            Ok(record) => {
                let (state, what) = deed(record);
                Self {
                    seq: shown.seq,
                    time: Some(record.time),
                    claimed: record.claimed.as_ref().and_then(|claimed| claimed.start),
                    kind: Some(record.kind),
                    who: said(record.actor.id.as_str()),
                    is_agent: record.actor.actor_type == ActorType::Agent,
                    session: record.session,
                    state,
                    what: said(&what),
                    words: said(&words(shown, record)),
                    generation: record.generation,
                    doubt,
                }
            }
            Err(why) if why == HIDDEN => Self {
                seq: shown.seq,
                time: None,
                claimed: None,
                kind: None,
                who: "?".to_owned(),
                is_agent: false,
                session: None,
                state: State::Plain,
                what: "not shown".to_owned(),
                words: HIDDEN.to_owned(),
                generation: None,
                doubt,
            },
            Err(why) => Self {
                seq: shown.seq,
                time: None,
                claimed: None,
                kind: None,
                who: "?".to_owned(),
                is_agent: false,
                session: None,
                state: State::Hold,
                what: "not understood".to_owned(),
                words: said(why),
                generation: None,
                doubt,
            },
        }
    }
}

/// Names of parts, side by side.
pub(crate) fn parts<'a>(parts: impl Iterator<Item = &'a Part>) -> String {
    let names: Vec<_> = parts.map(|part| part.name()).collect();
    match names.is_empty() {
        true => "part?".to_owned(),
        false => names.join("+"),
    }
}

/// What became of a generation.
pub(crate) fn fate(fate: Fate) -> State {
    match fate {
        Fate::Alive => State::Plain,
        Fate::Failed => State::Bad,
        Fate::Evicted | Fate::Missing => State::Plain,
    }
}

fn deed(record: &Record) -> (State, String) {
    match &record.body {
        Body::Action(body) => {
            let verdict = body.verdict.as_ref();
            let state = match verdict.map(|v| (v.decision, v.deny_kind)) {
                None => State::Plain,
                Some((Decision::Allow, _)) => State::Good,
                Some((Decision::Hold, _)) => State::Hold,
                Some((Decision::Deny, Some(DenyKind::Killed))) => State::Killed,
                Some((Decision::Deny, _)) => State::Bad,
            };
            let word = verdict.map_or(String::new(), |v| format!(" {}", v.decision));
            (state, format!("{}{word}", body.tool))
        }
        Body::Outcome(body) => {
            let state = match body.status {
                Status::Succeeded => State::Good,
                Status::Failed | Status::TimedOut => State::Bad,
                Status::Killed => State::Killed,
                Status::Cancelled | Status::Unknown => State::Plain,
            };
            (state, body.status.to_string())
        }
        Body::Mutation(body) => {
            let what = format!("{} {}", body.change, parts(body.parts.iter().flatten()));
            (State::Plain, what)
        }
        Body::Generation(body) => {
            let number = body.ordinal.map_or(String::new(), |n| format!(" {n}"));
            let word = match body.fate {
                Fate::Alive => String::new(),
                other => format!(" {other}"),
            };
            (fate(body.fate), format!("generation{number}{word}"))
        }
        Body::Evaluation(body) => {
            let number = body.main.as_ref().or(body.metrics.iter().flatten().next());
            match (number, body.passed) {
                (Some(number), _) => (State::Plain, format!("{} {}", number.metric, number.score)),
                (None, Some(true)) => (State::Good, "passed".to_owned()),
                (None, Some(false)) => (State::Bad, "not passed".to_owned()),
                (None, None) => (State::Plain, "measured".to_owned()),
            }
        }
        Body::Message(body) => (State::Plain, format!("{} says", body.speaker)),
        Body::Session(body) => {
            let word = match body.phase {
                Phase::Close => "session ends",
                _ => "session begins",
            };
            (State::Plain, word.to_owned())
        }
        Body::Approval(body) => match body.answer {
            Answer::Approve => (State::Good, format!("approve #{}", body.target)),
            Answer::Reject => (State::Bad, format!("reject #{}", body.target)),
        },
        Body::Kill(body) => (State::Killed, format!("KILL {}", body.scope)),
        Body::Release(body) => (State::Good, format!("release #{}", body.kill)),
        Body::Gap(_) => (State::Bad, "gap".to_owned()),
        Body::Alarm(body) => (State::Bad, format!("alarm {}", body.rule)),
        _ => (State::Plain, record.kind.name().to_owned()),
    }
}

/// The words that say most: for what an agent does, first why.
fn words(shown: &Shown, record: &Record) -> String {
    if let Some(rationale) = record.body.rationale() {
        let why = [Field::Summary, Field::Goal, Field::Reasoning];
        let why = why.into_iter().find_map(|field| shown.text(field));
        let line = why.and_then(first_reason);
        match (line, rationale.source, record.kind) {
            (Some(line), ..) => return line,
            (None, RationaleSource::Absent, Kind::Mutation) => {
                let name = why::first_words(shown);
                return match name.is_empty() {
                    true => "∅ no reason given".to_owned(),
                    false => format!("∅ no reason given ({name})"),
                };
            }
            _ => {}
        }
    }
    why::first_words(shown)
}

/// The first line of a reason that says something: no heading, if there is more.
pub(crate) fn first_reason(text: &str) -> Option<String> {
    let words = |line: &&str| line.chars().any(char::is_alphanumeric);
    let heading = |line: &str| {
        let bare = line.trim_matches(|c: char| "*#: ".contains(c));
        let marked = line.starts_with(['*', '#']) || line.ends_with(':');
        marked && line.len() > bare.len() + 1 && bare.split_whitespace().count() <= 4
    };
    let lines = || text.lines().map(str::trim).filter(words);
    let telling = lines().find(|line| !heading(line));
    telling.or_else(|| lines().next()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_say_nothing() {
        let first = |text| first_reason(text).unwrap_or_default();
        assert_eq!(
            first("**Insights:**\nThe plan is long."),
            "The plan is long."
        );
        assert_eq!(first("## Why\n\n- it fails"), "- it fails");
        assert_eq!(first("**Insights:**"), "**Insights:**");
        assert_eq!(first("The cache is stale:\nx"), "The cache is stale:");
        assert_eq!(first("\n--\n"), "");
    }
}
