//! The seven answers about one record: what happened; why, as the agent says; what it saw; what changed, as the bytes show; who
//! allowed it and under which rule; what came of it; how we know.
//!
//! A claim (what somebody says) and a fact (what checked bytes show) are different [`Statement`]s, so that no screen can make
//! them look alike. What a record that came via import or api says of the world is a claim of its file or caller, whatever it is.

mod answers;
mod gain;
mod path;

use serde::Serialize;
use tacho_schemas::content::Field;
use tacho_schemas::links::Link;
use tacho_schemas::record::{Record, Via};
use tacho_schemas::{Kind, Seq};

use crate::error::{Error, ErrorKind, Result};
use crate::read::{HIDDEN, Shown, View};

pub use gain::{Gain, largest_gain};
pub use path::Stage;

/// Records told of in one answer at the most.
const MANY: usize = 40;

/// What is known of one record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The record.
    pub seq: Seq,
    /// Its kind.
    pub kind: String,
    /// The seven answers, in their order.
    pub answers: Vec<Answer>,
    /// For a generation: how it came about, from the root on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Stage>,
}

/// One of the seven answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The question.
    pub question: &'static str,
    /// What can be said.
    pub statements: Vec<Statement>,
}

/// One thing that can be said.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Statement {
    /// Something is not there, and that is worth saying.
    Absent {
        /// What.
        text: String,
    },
    /// What somebody says.
    Claim {
        /// Who, or what file.
        by: String,
        /// What sort of thing it is: goal, summary, reasoning, …
        what: String,
        /// Their words.
        text: String,
    },
    /// The difference between two states of a part, from bytes that were kept.
    Diff {
        /// The mutation.
        seq: Seq,
        /// The part's path.
        path: Option<String>,
        /// Unified diff.
        text: String,
    },
    /// The log does not hold what it should.
    Doubt {
        /// What is wrong.
        text: String,
    },
    /// What checked bytes show.
    Fact {
        /// What they show.
        text: String,
    },
    /// Another record, which can be asked about in turn.
    Record {
        /// Its number.
        seq: Seq,
        /// How the two are linked.
        link: &'static str,
        /// Its kind.
        kind: String,
        /// Who acts in it.
        by: String,
        /// Its first words; a claim, like all words.
        words: String,
    },
}

/// Finds what points to a record: the records after it, each with its link.
pub type Effects<'a> = dyn Fn(Seq) -> Result<Vec<(Link, Seq)>> + 'a;

/// Explains a record.
pub fn explain(view: &View<'_>, effects: &Effects<'_>, seq: Seq) -> Result<Explanation> {
    let shown = view.record(seq)?;
    let record = match &shown.meaning {
        Ok(record) => record.clone(),
        Err(why) => {
            return Err(Error::new(
                ErrorKind::NewerVersion,
                format!("record {seq} is not understood: {why}"),
            )
            .with_hint("a newer tacho may know it; `tacho list --json` shows what can be read"));
        }
    };
    let about = About {
        view,
        effects,
        shown: &shown,
        record: &record,
    };
    let answers = vec![
        Answer {
            question: "what happened",
            statements: about.what_happened(),
        },
        Answer {
            question: "why, as the agent says",
            statements: about.why()?,
        },
        Answer {
            question: "what it saw",
            statements: about.what_it_saw()?,
        },
        Answer {
            question: "what changed, as the bytes show",
            statements: about.what_changed()?,
        },
        Answer {
            question: "who allowed it, under which rule",
            statements: about.who_allowed_it()?,
        },
        Answer {
            question: "what came of it",
            statements: about.what_came_of_it()?,
        },
        Answer {
            question: "how we know",
            statements: about.how_we_know()?,
        },
    ];
    let path = if record.kind == Kind::Generation {
        about.path()?
    } else {
        Vec::new()
    };
    Ok(Explanation {
        seq,
        kind: record.kind.name().to_owned(),
        answers,
        path,
    })
}

/// A record, and where to look for what surrounds it.
struct About<'a> {
    view: &'a View<'a>,
    effects: &'a Effects<'a>,
    shown: &'a Shown,
    record: &'a Record,
}

impl About<'_> {
    /// Who says what this record says of the world.
    fn speaker(record: &Record) -> String {
        match record.via {
            Via::Import => {
                let import = record
                    .import
                    .map_or(String::new(), |seq| format!(" #{seq}"));
                format!("{} (in the file of import{import})", record.actor.id)
            }
            Via::Api => format!("{} (as a caller reports)", record.actor.id),
            _ => record.actor.id.to_string(),
        }
    }

    /// Points to another record.
    fn point(&self, link: &'static str, seq: Seq) -> Result<Statement> {
        let shown = self.view.record(seq)?;
        let (kind, by) = match &shown.meaning {
            Ok(record) => (record.kind.name().to_owned(), record.actor.id.to_string()),
            Err(why) if why == HIDDEN => ("not shown in this bundle".to_owned(), String::new()),
            Err(_) => ("not understood".to_owned(), String::new()),
        };
        Ok(Statement::Record {
            seq,
            link,
            kind,
            by,
            words: first_words(&shown),
        })
    }
}

/// The words that say most about a record: the first line of the first field that has any.
pub fn first_words(shown: &Shown) -> String {
    const FIELDS: [Field; 15] = [
        Field::Summary,
        Field::Text,
        Field::Path,
        Field::Command,
        Field::Name,
        Field::Goal,
        Field::Reason,
        Field::Detail,
        Field::Error,
        Field::Output,
        Field::Reasoning,
        Field::Workspace,
        Field::Input,
        Field::Request,
        Field::SourceId,
    ];
    let lines = FIELDS.iter().filter_map(|field| shown.text(*field));
    let mut lines =
        lines.filter_map(|text| text.lines().map(str::trim).find(|line| !line.is_empty()));
    lines.next().unwrap_or_default().to_owned()
}
