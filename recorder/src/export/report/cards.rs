//! What is told of single records: changes, holds, kills, drills, alarms. What somebody says is marked as said; what bytes show is not.

use similar::TextDiff;
use tacho_schemas::body::Body;
use tacho_schemas::body::human::Answer;
use tacho_schemas::body::work::{Decision, Stop};
use tacho_schemas::content::Field;
use tacho_schemas::record::{Record, Role, Via};
use tacho_schemas::{Hash, Seq, Time};

use super::Page;
use super::gather::{Newest, Said, ours};
use super::html::{Block, Esc};
use crate::error::Result;
use crate::read::Shown;

/// How much of a text is on the page, in characters.
const TEXT: usize = 6_000;

/// How much of a diff is on the page, in lines.
const LINES: usize = 400;

/// The longest file of which a diff is made here, in bytes.
const DIFFED: usize = 256 << 10;

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
    pub(super) fn mutations(&mut self) -> Result<()> {
        let list = std::mem::replace(&mut self.gathered.mutations, Newest::none());
        self.section(
            ("changes", "Changes"),
            "Changes of the agent and its pipeline",
            &list,
        )?;
        for seq in list.seqs.iter().rev() {
            let shown = self.read(*seq)?;
            if let Ok(record) = &shown.meaning {
                self.mutation(&shown, record)?;
            }
        }
        self.html.raw("</section>\n")
    }

    fn mutation(&mut self, shown: &Shown, record: &Record) -> Result<()> {
        let Body::Mutation(body) = &record.body else {
            return Ok(());
        };
        let parts: Vec<_> = body
            .parts
            .iter()
            .flatten()
            .map(|part| words(part.name()))
            .collect();
        let name = shown.text(Field::Path).or_else(|| shown.text(Field::Name));
        let title = format!(
            "{} {}",
            words(body.change.name()),
            name.unwrap_or("(no path)")
        );
        self.card(shown, record, &title)?;
        self.facts_begin()?;
        let parts = if parts.is_empty() {
            "none named".to_owned()
        } else {
            parts.join(", ")
        };
        self.fact("Parts", &parts)?;
        let known = match body.known.name() {
            "observed" => "seen by the watcher; nobody declared it",
            _ => "declared",
        };
        self.fact("Known", known)?;
        if let (Some(added), Some(removed)) = (body.added, body.removed) {
            self.fact("Lines", &format!("{added} added, {removed} removed"))?;
        }
        match body.action {
            Some(action) => self.allowed(action)?,
            None if record.via == Via::Import => {
                self.fact("Allowed by", "not shown: it was imported, no gate decided")?;
            }
            None => self.fact("Allowed by", "no decision is recorded")?,
        }
        for seq in body.approvals.iter().flatten() {
            self.fact("Approval", &format!("#{seq}"))?;
        }
        if let Some(reverts) = body.reverts {
            self.fact("Undoes", &format!("#{reverts}"))?;
        }
        let mut before = None;
        let mut after = None;
        let mut kept = None;
        for (role, descriptor) in shown.descriptors() {
            if matches!(role, Role::Before | Role::After) {
                let said = format!("{} bytes, SHA-256 {}", descriptor.size, descriptor.sha256);
                self.fact(
                    if role == Role::Before {
                        "Before"
                    } else {
                        "After"
                    },
                    &said,
                )?;
            }
            match role {
                Role::Before => before = Some(descriptor.blake3),
                Role::After => after = Some(descriptor.blake3),
                Role::Diff => kept = Some(descriptor.blake3),
                _ => {}
            }
        }
        self.facts_end()?;
        let source = body
            .rationale
            .as_ref()
            .map_or("absent", |r| r.source.name());
        match source {
            "absent" => self
                .html
                .raw("<p class=\"absent\">No rationale was given.</p>\n")?,
            source => self.html.put(format_args!(
                "<p class=\"source\">Why, as is said. Source: {}.</p>\n",
                Esc(words(source))
            ))?,
        }
        self.texts(shown)?;
        match kept {
            Some(name) => {
                let text = self.file(&name)?;
                self.diff(&text, true)?;
            }
            None => self.made_diff(before, after)?,
        }
        self.html.raw("</article>\n")
    }

    /// A diff of the two files, if nobody kept one.
    fn made_diff(&mut self, before: Option<Hash>, after: Option<Hash>) -> Result<()> {
        if before.is_none() && after.is_none() {
            return self.html.raw("<p class=\"absent\">No bytes are shown: none were kept, or they are withheld.</p>\n");
        }
        let read = |name: Option<Hash>| match name {
            Some(name) => self.file(&name),
            None => Ok(Vec::new()),
        };
        let (before, after) = (read(before)?, read(after)?);
        if before.len().max(after.len()) > DIFFED {
            return self.html.raw("<p class=\"absent\">The files are too long for a diff here; they are in the evidence.</p>\n");
        }
        let (before, after) = (
            String::from_utf8_lossy(&before),
            String::from_utf8_lossy(&after),
        );
        let diff = TextDiff::from_lines(&*before, &*after);
        let text = diff.unified_diff().header("before", "after").to_string();
        self.diff(text.as_bytes(), false)
    }

    /// A diff, coloured by line. `kept`: it is a file of the log and not made here.
    fn diff(&mut self, bytes: &[u8], kept: bool) -> Result<()> {
        let text = String::from_utf8_lossy(bytes);
        let all = text.split_inclusive('\n').count();
        let cut = all > LINES;
        let role = if kept { " data-role=\"4\"" } else { "" };
        let attribute = if cut { " data-cut" } else { "" };
        // HTML drops a line feed right behind the tag, so one stands there to be dropped.
        self.html.put(format_args!(
            "<pre class=\"diff\" tabindex=\"0\" aria-label=\"difference\"{role}{attribute}>\n"
        ))?;
        for line in text.split_inclusive('\n').take(LINES) {
            let class = match line.as_bytes().first() {
                _ if line.starts_with("+++") || line.starts_with("---") => "h",
                Some(b'+') => "a",
                Some(b'-') => "d",
                Some(b'@') => "h",
                _ => "",
            };
            match class {
                "" => self.html.put(format_args!("{}", Block(line)))?,
                class => self.html.put(format_args!(
                    "<span class=\"{class}\">{}</span>",
                    Block(line)
                ))?,
            }
        }
        self.html.raw("</pre>\n")?;
        if !kept {
            self.html.raw("<p class=\"cut\">This difference was made for the report, from the two files.</p>\n")?;
        }
        if cut {
            self.html.put(format_args!(
                "<p class=\"cut\">{LINES} of {all} lines shown; all are in the evidence.</p>\n"
            ))?;
        }
        Ok(())
    }

    pub(super) fn holds(&mut self) -> Result<()> {
        let list = std::mem::replace(&mut self.gathered.holds, Newest::none());
        self.section(("holds", "Holds"), "Holds and approvals", &list)?;
        for seq in list.seqs.iter().rev() {
            let shown = self.read(*seq)?;
            let Ok(record) = &shown.meaning else { continue };
            let Body::Action(body) = &record.body else {
                continue;
            };
            self.card(&shown, record, &format!("hold of {}", body.tool))?;
            self.facts_begin()?;
            let asked = body
                .verdict
                .iter()
                .flat_map(|v| v.obligations.iter().flatten());
            for asked in asked {
                let rule = asked.rule.as_ref().map(|rule| format!(", by rule {rule}"));
                let said = format!(
                    "{} of group {}{}",
                    asked.k,
                    asked.group,
                    rule.unwrap_or_default()
                );
                self.fact("Waits for", &said)?;
            }
            let said = self.gathered.said.get(seq).cloned().unwrap_or_default();
            for said in &said {
                self.said(record.time, said)?;
            }
            match self.gathered.decided.get(seq).cloned() {
                Some(decided) => {
                    let why = decided
                        .why
                        .map_or(String::new(), |why| format!(", {}", words(&why)));
                    let word = match decided.decision {
                        Decision::Allow => "allowed",
                        _ => "denied",
                    };
                    self.fact_of(
                        "Ended",
                        decided.seq,
                        decided.time,
                        &format!(
                            "{word}{why}, {} after it began",
                            span(record.time, decided.time)
                        ),
                    )?;
                }
                None => self.fact("Ended", "not in this log yet")?,
            }
            self.facts_end()?;
            self.texts(&shown)?;
            self.html.raw("</article>\n")?;
        }
        self.html.raw("</section>\n")
    }

    fn said(&mut self, since: Time, said: &Said) -> Result<()> {
        let answer = match said.answer {
            Answer::Approve => "approved",
            Answer::Reject => "rejected",
        };
        let quick = said.time.0.saturating_sub(since.0) < 2_000_000_000;
        let quick = if quick { " (within two seconds)" } else { "" };
        let text = format!(
            "{} {answer}, {} after{quick}",
            said.by,
            span(since, said.time)
        );
        self.fact_of("Answer", said.seq, said.time, &text)
    }

    pub(super) fn switch(&mut self) -> Result<()> {
        let kills = std::mem::replace(&mut self.gathered.kills, Newest::none());
        self.section(("switch", "Kills"), "The off switch", &kills)?;
        self.invariants()?;
        for seq in kills.seqs.iter().rev() {
            let shown = self.read(*seq)?;
            let Ok(record) = &shown.meaning else { continue };
            let Body::Kill(body) = &record.body else {
                continue;
            };
            let target = match (&body.target, body.about) {
                (Some(id), _) => format!(" {id}"),
                (_, Some(seq)) => format!(" #{seq}"),
                _ => String::new(),
            };
            self.card(
                &shown,
                record,
                &format!("kill of {}{target}", words(body.scope.name())),
            )?;
            self.facts_begin()?;
            self.fact("Engaged by", words(body.trigger.name()).as_str())?;
            let ended = self.gathered.ended.get(seq).cloned().unwrap_or_default();
            match &ended.stop {
                Some((seq, stop)) => {
                    self.fact("Stopped", &format!("{} (record #{seq})", stopped(stop)))?
                }
                None => self.fact(
                    "Stopped",
                    "no process was running under it, or none is recorded",
                )?,
            }
            for said in self.gathered.said.get(seq).cloned().unwrap_or_default() {
                self.said(record.time, &said)?;
            }
            match ended.release {
                Some((seq, time, k, single)) => {
                    let single = if single {
                        "; a single person did it"
                    } else {
                        ""
                    };
                    self.fact_of(
                        "Released",
                        seq,
                        time,
                        &format!("by {k} needed, {} after{single}", span(record.time, time)),
                    )?;
                }
                None => self.fact("Released", "no")?,
            }
            self.facts_end()?;
            self.texts(&shown)?;
            self.html.raw("</article>\n")?;
        }
        let drills = std::mem::replace(&mut self.gathered.drills, Newest::none());
        self.html.put(format_args!(
            "<h3 id=\"drills\">Drills</h3>\n<p class=\"count\">Drills: {}</p>\n",
            shown_of(&drills)
        ))?;
        for seq in drills.seqs.iter().rev() {
            let shown = self.read(*seq)?;
            let Ok(record) = &shown.meaning else { continue };
            let Body::Drill(body) = &record.body else {
                continue;
            };
            self.card(
                &shown,
                record,
                if body.passed {
                    "drill, passed"
                } else {
                    "drill, FAILED"
                },
            )?;
            self.facts_begin()?;
            if let Some(confinement) = body.confinement {
                self.fact(
                    "Tried on",
                    &format!("a scratch cell: {}", words(confinement.name())),
                )?;
            }
            self.fact("Stopped", &stopped(&body.stop))?;
            self.facts_end()?;
            self.texts(&shown)?;
            self.html.raw("</article>\n")?;
        }
        self.html.raw("</section>\n")
    }

    fn invariants(&mut self) -> Result<()> {
        self.html.raw("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Invariants of the off switch\"><table>\n<caption>What must hold of the off switch, over the whole log</caption>\n<thead><tr><th scope=\"col\">Invariant</th><th scope=\"col\">State</th><th scope=\"col\">Records</th></tr></thead>\n<tbody>\n")?;
        for answer in std::mem::take(&mut self.gathered.switch.answers) {
            let state = format!("{:?}", answer.state).to_lowercase();
            let (class, word) = match state.as_str() {
                "holds" => ("good", "holds"),
                "broken" => ("bad", "broken"),
                "open" => ("some", "open"),
                _ => ("none", "nothing to check"),
            };
            self.html.put(format_args!(
                "<tr><th scope=\"row\">{}: {}</th><td><span class=\"state {class}\">{word}</span></td><td>",
                answer.name, Esc(answer.says)
            ))?;
            let list = |seqs: &mut dyn Iterator<Item = Seq>| {
                seqs.take(8)
                    .map(|seq| format!("#{seq}"))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            match answer.breaks.is_empty() {
                true => self
                    .html
                    .put(format_args!("{}", list(&mut answer.proves.iter().copied())))?,
                false => {
                    for breach in answer.breaks.iter().take(8) {
                        self.html.put(format_args!(
                            "<span class=\"block\">#{}: {}</span>",
                            breach.seq,
                            Esc(&breach.why)
                        ))?;
                    }
                }
            }
            for note in answer.notes.iter().take(8) {
                self.html.put(format_args!(
                    "<span class=\"block quiet\">{}</span>",
                    Esc(note)
                ))?;
            }
            self.html.raw("</td></tr>\n")?;
        }
        self.html.raw("</tbody></table></div>\n")
    }

    pub(super) fn alarms(&mut self) -> Result<()> {
        let list = std::mem::replace(&mut self.gathered.alarms, Newest::none());
        self.section(("alarms", "Alarms and gaps"), "Alarms and gaps", &list)?;
        for seq in list.seqs.iter().rev() {
            let shown = self.read(*seq)?;
            let Ok(record) = &shown.meaning else { continue };
            let title = match &record.body {
                Body::Alarm(body) => format!("alarm: {}, {}", body.rule, body.severity),
                Body::Gap(body) => format!("gap: {}", words(body.gap.name())),
                _ => continue,
            };
            self.card(&shown, record, &title)?;
            self.facts_begin()?;
            let about: Vec<_> = record
                .causes()
                .iter()
                .take(16)
                .map(|seq| format!("#{seq}"))
                .collect();
            if !about.is_empty() {
                self.fact("About", &about.join(" "))?;
            }
            if let Body::Gap(body) = &record.body {
                if let Some(count) = body.count {
                    self.fact("How many", &count.to_string())?;
                }
                if let (Some(since), Some(until)) = (body.since, body.until) {
                    self.fact("How long", &span(since, until))?;
                }
            }
            self.facts_end()?;
            self.texts(&shown)?;
            self.html.raw("</article>\n")?;
        }
        self.html.raw("</section>\n")
    }

    // What cards are made of.

    fn section(&mut self, (id, what): (&str, &str), title: &str, list: &Newest) -> Result<()> {
        self.html.put(format_args!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-h\">\n<h2 id=\"{id}-h\">{title}</h2>\n<p class=\"count\">{}: {}</p>\n",
            what, shown_of(list)
        ))
    }

    fn card(&mut self, shown: &Shown, record: &Record, title: &str) -> Result<()> {
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

    fn time(&mut self, seq: Seq, time: Time) -> Result<()> {
        self.html.put(format_args!(
            "<time data-of=\"{seq}\" data-ns=\"{}\" datetime=\"{time}\">{}</time>",
            time.0,
            moment(time)
        ))
    }

    fn facts_begin(&mut self) -> Result<()> {
        self.html.raw("<dl>\n")
    }

    fn facts_end(&mut self) -> Result<()> {
        self.html.raw("</dl>\n")
    }

    fn fact(&mut self, name: &str, text: &str) -> Result<()> {
        self.html.put(format_args!(
            "<div><dt>{name}</dt><dd>{}</dd></div>\n",
            Esc(text)
        ))
    }

    /// A fact that another record shows.
    fn fact_of(&mut self, name: &str, seq: Seq, time: Time, text: &str) -> Result<()> {
        self.html.put(format_args!(
            "<div><dt>{name}</dt><dd>{} <span class=\"quiet\">(record #{seq}, ",
            Esc(text)
        ))?;
        self.time(seq, time)?;
        self.html.raw(")</span></dd></div>\n")
    }

    fn allowed(&mut self, action: Seq) -> Result<()> {
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
    fn texts(&mut self, shown: &Shown) -> Result<()> {
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
    fn read(&mut self, seq: Seq) -> Result<Shown> {
        let mut shown = self.view.record(seq)?;
        self.withhold
            .take_out(&mut shown, &mut super::Losses::new());
        Ok(shown)
    }

    fn file(&self, name: &Hash) -> Result<Vec<u8>> {
        Ok(self
            .view
            .snapshot()
            .artefact(name)?
            .map(|kept| kept.bytes)
            .unwrap_or_default())
    }
}

fn shown_of(list: &Newest) -> String {
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

fn stopped(stop: &Stop) -> String {
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
fn span(from: Time, to: Time) -> String {
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
    fn durations_are_short() {
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
