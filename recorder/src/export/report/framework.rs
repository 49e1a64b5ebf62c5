//! Frameworks: which controls ask for what, and which records answer. Data, in `frameworks/`.

use serde::Deserialize;
use tacho_schemas::Time;
use tacho_schemas::safe::safe;

use crate::error::{Error, ErrorKind, Result};
use crate::filter::Filter;

/// The frameworks that come with the program.
const KNOWN: [(&str, &str); 2] = [
    ("eu-ai-act", include_str!("frameworks/eu-ai-act.toml")),
    ("nist-800-53", include_str!("frameworks/nist-800-53.toml")),
];

/// A framework and its controls.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// Its name on the command line.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What a reader has to know about all rows.
    pub note: String,
    /// Where the controls stand.
    pub sources: Vec<Source>,
    /// The rows.
    pub controls: Vec<Control>,
}

/// Where something stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What it is.
    pub title: String,
    /// Where it is.
    pub url: String,
}

/// One control.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Its number there.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// What it asks for, in our words.
    pub asks: String,
    /// How much of that a log can do.
    pub by: Reach,
    /// What remains for others.
    pub rest: String,
    /// What answers it.
    pub evidence: Vec<Evidence>,
}

/// How much of a control a log can do at the most.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// What it asks for.
    All,
    /// A part of it.
    Part,
    /// Nothing.
    None,
}

/// One thing that answers a control: records that a filter selects, or a question that verification answered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// What it is.
    pub what: String,
    /// Which records. Without words: those would need an index.
    pub filter: Option<String>,
    /// Or which question.
    pub check: Option<Check>,
    /// Days, for [`Check::Kept`].
    pub days: Option<u32>,
    /// Whether there may be none.
    #[serde(default)]
    pub optional: bool,
}

/// A question that the verification of the log answers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Its identity key is trusted.
    Anchored,
    /// Its clocks agree.
    Clocks,
    /// A mark from outside covers all of it.
    Complete,
    /// No text or file is missing.
    Content,
    /// No rule is broken.
    Integrity,
    /// It reaches over so many days.
    Kept,
    /// The off switch did what it says, and was tried.
    Switch,
}

/// Reads a framework by its name.
pub fn framework(name: &str) -> Result<Framework> {
    let Some((_, text)) = KNOWN.iter().find(|(known, _)| *known == name) else {
        let what = format!("`{}` is no framework that is known here", safe(name));
        let names = KNOWN.map(|(name, _)| name).join(", ");
        return Err(Error::new(ErrorKind::Usage, what).with_hint(format!("known are: {names}")));
    };
    toml::from_str(text).map_err(|e| {
        Error::new(
            ErrorKind::Corrupt,
            format!("the data of `{name}` is malformed"),
        )
        .with_source(e)
    })
}

impl Evidence {
    /// The filter, read.
    pub(super) fn filter(&self) -> Result<Option<Filter>> {
        let read = |text: &String| {
            Filter::parse(text, Time(0)).map_err(|e| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!("the filter of `{}`: {e}", self.what),
                )
            })
        };
        self.filter.as_ref().map(read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_framework_is_whole() {
        for (name, _) in KNOWN {
            let read = framework(name).unwrap();
            assert_eq!(read.name, name);
            assert!(
                read.sources
                    .iter()
                    .all(|source| source.url.starts_with("https://"))
            );
            let mut ids: Vec<_> = read.controls.iter().map(|control| &control.id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), read.controls.len());
            for control in &read.controls {
                assert_eq!(
                    control.by == Reach::None,
                    control.evidence.is_empty(),
                    "{}",
                    control.id
                );
                for evidence in &control.evidence {
                    assert_ne!(
                        evidence.filter.is_some(),
                        evidence.check.is_some(),
                        "{}",
                        control.id
                    );
                    assert_eq!(evidence.days.is_some(), evidence.check == Some(Check::Kept));
                    if let Some(filter) = evidence.filter().unwrap() {
                        assert!(!crate::export::select::has_words(&filter), "{}", control.id);
                        assert_eq!(Some(filter.to_string()), evidence.filter, "{}", control.id);
                    }
                }
                // Nobody is called satisfied or partly so for having nothing at all.
                assert!(
                    control.evidence.is_empty() || control.evidence.iter().any(|e| !e.optional)
                );
            }
        }
    }

    #[test]
    fn an_unknown_framework_is_refused_with_the_known_ones() {
        let error = framework("soc\u{202e}2").unwrap_err();
        assert!(error.to_string().contains("soc\\u{202e}2"), "{error}");
        assert_eq!(error.hint(), Some("known are: eu-ai-act, nist-800-53"));
    }
}
