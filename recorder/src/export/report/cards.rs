//! What is told of single records: changes, holds, kills, drills, alarms. What somebody says is marked as said; what bytes show is not.

use similar::TextDiff;
use tacho_schemas::body::Body;
use tacho_schemas::body::human::Answer;
use tacho_schemas::body::work::Decision;
use tacho_schemas::content::Field;
use tacho_schemas::record::{Record, Role, Via};
use tacho_schemas::{Hash, Seq, Time};

use super::Page;
use super::card::{shown_of, span, stopped, words};
use super::gather::{Newest, Said};
use super::html::{Block, Esc};
use crate::error::Result;
use crate::read::Shown;

/// How much of a diff is on the page, in lines.
const LINES: usize = 400;

/// The longest file of which a diff is made here, in bytes.
const DIFFED: usize = 256 << 10;

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
            match about.is_empty() {
                true => self.fact("About", "no other record is named")?,
                false => self.fact("About", &about.join(" "))?,
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
}
