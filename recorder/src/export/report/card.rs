//! What cards are made of: a title, facts, words, times.

use tacho_schemas::body::Body;
use tacho_schemas::body::work::Stop;
use tacho_schemas::content::Field;
use tacho_schemas::record::{Record, Via};
use tacho_schemas::{Hash, Seq, Time};

use super::gather::{Newest, ours};
use super::html::{Block, Esc};
use super::{Losses, Page};
use crate::error::Result;
use crate::read::Shown;

/// How much of a text is on the page, in characters.
const TEXT: usize = 6_000;

/// The words that people read, with how they are called.
const WORDS: [(Field, &str); 8] = [
    (Field::Summary, "In short"),
    (Field::Goal, "Goal"),
    (Field::Reasoning, "Reasoning"),
    (Field::ExpectedEffect, "What it expects"),
    (Field::Command, "Command"),
    (Field::Reason, "Reason"),
    (Field::Detail, "Detail"),
    (Field::Text, "Words"),
];

impl Page<'_> {
    pub(super) fn section(
        &mut self,
        (id, what): (&str, &str),
        title: &str,
        list: &Newest,
    ) -> Result<()> {
        self.html.put(format_args!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-h\">\n<h2 id=\"{id}-h\">{title}</h2>\n<p class=\"count\">{}: {}</p>\n",
            what, shown_of(list)
        ))
    }

    pub(super) fn card(&mut self, shown: &Shown, record: &Record, title: &str) -> Result<()> {
        self.html.put(format_args!(
            "<article class=\"card\" id=\"r{0}\" data-seq=\"{0}\" data-kind=\"{1}\">\n<h3><a href=\"#r{0}\">#{0}</a> {2}</h3>\n<p class=\"who\">{3} {4}, via {5}, ",
            shown.seq, record.kind.number(), Esc(title), record.actor.actor_type, Esc(record.actor.id.as_str()), record.via,
        ))?;
        self.time(shown.seq, record.time)?;
        if !ours(record) && record.via != Via::Human {
            self.html.raw(" <span class=\"tag\">claim</span>")?;
        }
        self.html.raw("</p>\n")
    }

    pub(super) fn time(&mut self, seq: Seq, time: Time) -> Result<()> {
        self.html.put(format_args!(
            "<time data-of=\"{seq}\" data-ns=\"{}\" datetime=\"{time}\">{}</time>",
            time.0,
            moment(time)
        ))
    }

    pub(super) fn facts_begin(&mut self) -> Result<()> {
        self.html.raw("<dl>\n")
    }

    pub(super) fn facts_end(&mut self) -> Result<()> {
        self.html.raw("</dl>\n")
    }

    pub(super) fn fact(&mut self, name: &str, text: &str) -> Result<()> {
        self.html.put(format_args!(
            "<div><dt>{name}</dt><dd>{}</dd></div>\n",
            Esc(text)
        ))
    }

    /// A fact that another record shows.
    pub(super) fn fact_of(&mut self, name: &str, seq: Seq, time: Time, text: &str) -> Result<()> {
        self.html.put(format_args!(
            "<div><dt>{name}</dt><dd>{} <span class=\"quiet\">(record #{seq}, ",
            Esc(text)
        ))?;
        self.time(seq, time)?;
        self.html.raw(")</span></dd></div>\n")
    }

    pub(super) fn allowed(&mut self, action: Seq) -> Result<()> {
        let shown = self.view.record(action)?;
        let said = match shown.meaning.as_ref().map(|record| (record, &record.body)) {
            Ok((record, Body::Action(body))) => match &body.verdict {
                Some(verdict) if ours(record) => {
                    let rules: Vec<_> = verdict
                        .rules
                        .iter()
                        .flatten()
                        .map(|rule| rule.as_str())
                        .collect();
                    let rules = if rules.is_empty() {
                        String::new()
                    } else {
                        format!(", by {}", rules.join(", "))
                    };
                    format!("#{action}: {}{rules}", verdict.decision)
                }
                _ => format!("#{action}, a claim: no gate decided"),
            },
            _ => format!("#{action}, which is no action"),
        };
        self.fact("Allowed by", &said)
    }

    /// The words of a record, each as somebody's.
    pub(super) fn texts(&mut self, shown: &Shown) -> Result<()> {
        for (field, name) in WORDS {
            let Some(text) = shown.text(field) else {
                continue;
            };
            let end = text.char_indices().nth(TEXT).map(|(at, _)| at);
            let cut = if end.is_some() { " data-cut" } else { "" };
            let part = end.and_then(|end| text.get(..end)).unwrap_or(text);
            let number = field.number();
            self.html.put(format_args!(
                "<figure><figcaption>{name}</figcaption><blockquote><pre class=\"words\" tabindex=\"0\" aria-label=\"{name}\" data-field=\"{number}\"{cut}>\n{}</pre></blockquote></figure>\n",
                Block(part)
            ))?;
            if end.is_some() {
                self.html.put(format_args!("<p class=\"cut\">{TEXT} of {} characters shown; all are in the evidence.</p>\n", text.chars().count()))?;
            }
        }
        Ok(())
    }

    /// Reads a record and takes out what is withheld.
    pub(super) fn read(&mut self, seq: Seq) -> Result<Shown> {
        let mut shown = self.view.record(seq)?;
        self.withhold.take_out(&mut shown, &mut Losses::new());
        Ok(shown)
    }

    pub(super) fn file(&self, name: &Hash) -> Result<Vec<u8>> {
        Ok(self
            .view
            .snapshot()
            .artefact(name)?
            .map(|kept| kept.bytes)
            .unwrap_or_default())
    }
}

pub(super) fn shown_of(list: &Newest) -> String {
    match (list.seqs.len(), list.of) {
        (_, 0) => "none in what was asked for".to_owned(),
        (shown, of) => format!("{shown} of {of} shown, the newest first"),
    }
}

/// A name of the format, for people.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// A moment to the second.
pub(super) fn moment(time: Time) -> String {
    format!("{:.19} UTC", time.to_string().replace('T', " "))
}

pub(super) fn stopped(stop: &Stop) -> String {
    let took = match stop.t_empty {
        Some(empty) => format!("after {}", duration(empty.saturating_sub(stop.t_order))),
        None => "never seen empty".to_owned(),
    };
    let of = stop
        .processes
        .map_or(String::new(), |n| format!(" of {n} processes"));
    format!("{took}; {} left{of}", stop.survivors)
}

/// The time between two moments of one clock.
pub(super) fn span(from: Time, to: Time) -> String {
    duration(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

/// Nanoseconds for people.
fn duration(ns: u64) -> String {
    let (ms, s) = (ns / 1_000_000, ns / 1_000_000_000);
    match s {
        0 if ms == 0 => format!("{} µs", ns / 1000),
        0 => format!("{ms} ms"),
        1..=59 => format!("{s}.{} s", ms % 1000 / 100),
        60..=3599 => format!("{} min {} s", s / 60, s % 60),
        3600..=86_399 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    pub(super) fn durations_are_short() {
        for (ns, text) in [
            (0, "0 µs"),
            (999_999, "999 µs"),
            (1_000_000, "1 ms"),
            (1_250_000_000, "1.2 s"),
            (61_000_000_000, "1 min 1 s"),
            (7_260_000_000_000, "2 h 1 min"),
            (90_000_000_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(ns), text);
        }
        assert_eq!(span(Time(5), Time(3)), "0 µs");
        assert_eq!(moment(Time(0)), "1970-01-01 00:00:00 UTC");
    }
}
