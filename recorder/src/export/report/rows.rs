//! The verdict on the log, and the rows of controls. No row says more than what was found, and none says "compliant".

use std::fmt;

use tacho_schemas::verify::{Anchor, Authenticity, Completeness, switch};

use super::Page;
use super::framework::{Check, Control, Evidence, Reach};
use super::gather::Found;
use super::html::Esc;
use crate::error::Result;

/// What a row says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// The log holds everything that a log can bring for it, and that is what it asks for.
    Satisfied,
    /// It holds a part, or brings a part at most.
    Partly,
    /// It could hold something, and holds nothing.
    Nothing,
    /// No log of this sort can bring it.
    NotByThisTool,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Satisfied => "satisfied",
            Self::Partly => "partly",
            Self::Nothing => "nothing found",
            Self::NotByThisTool => "not by this tool",
        })
    }
}

/// How many rows are in which state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Satisfied.
    pub satisfied: u64,
    /// Partly.
    pub partly: u64,
    /// Nothing found.
    pub nothing: u64,
    /// Not by this tool.
    pub not_by_this_tool: u64,
}

impl Tally {
    fn add(&mut self, state: State) {
        *match state {
            State::Satisfied => &mut self.satisfied,
            State::Partly => &mut self.partly,
            State::Nothing => &mut self.nothing,
            State::NotByThisTool => &mut self.not_by_this_tool,
        } += 1;
    }
}

/// What a row says, from how much a log can bring at most and whether each thing that must be there is.
pub(super) fn state(by: Reach, there: impl Iterator<Item = bool>) -> State {
    let (mut all, mut any) = (true, false);
    for there in there {
        all &= there;
        any |= there;
    }
    match (by, all, any) {
        (Reach::None, ..) => State::NotByThisTool,
        (_, _, false) => State::Nothing,
        (Reach::All, true, _) => State::Satisfied,
        _ => State::Partly,
    }
}

/// A day, in ns.
const DAY: i64 = 86_400_000_000_000;

impl Page<'_> {
    pub(super) fn verdict(&mut self) -> Result<()> {
        let log = self.log;
        self.html.raw("<section id=\"verdict\" aria-labelledby=\"verdict-h\">\n<h2 id=\"verdict-h\">Verdict on the log</h2>\n")?;
        let good = log.is_good() && self.gathered.acts.is_good();
        let word = match (good, log.integrity.count) {
            (true, _) => "The log was verified.",
            (false, 0) => "Not verified: not everything that was asked has a good answer.",
            (false, _) => "Not verified: texts or files are gone, and nothing excuses it.",
        };
        self.html.put(format_args!(
            "<p class=\"verdict {}\">{word}</p>\n<p class=\"quiet\">This is what the exporter found in the whole log when it made this report. Each question is answered apart.</p>\n<dl class=\"answers\">\n",
            if good { "good" } else { "some" }
        ))?;
        let integrity = match log.integrity.count {
            0 => (
                "good",
                format!(
                    "each record is as it was written; seals: {}, checkpoints: {}, tiles: {}",
                    log.integrity.seals, log.integrity.checkpoints, log.integrity.tiles
                ),
            ),
            count => (
                "bad",
                format!("{count} texts or files that were committed to are gone"),
            ),
        };
        let authenticity = match &log.authenticity {
            Authenticity::Anchored {
                identity,
                by: Anchor::Named,
            } => (
                "good",
                format!("signed under {identity}, the key that the exporter named"),
            ),
            Authenticity::Anchored {
                identity,
                by: Anchor::Pinned,
            } => (
                "good",
                format!("signed under {identity}, the key that the exporter had pinned"),
            ),
            Authenticity::SelfConsistent { identity } => (
                "some",
                format!("self-consistent, not anchored: nobody vouched for {identity}"),
            ),
            Authenticity::Failed => ("bad", "not shown".to_owned()),
        };
        let completeness = match log.completeness {
            Completeness::CompleteUpTo { size } if size == log.size => (
                "good",
                format!("complete up to {size}, by a mark from outside: that is all of it"),
            ),
            Completeness::CompleteUpTo { size } => (
                "some",
                format!("complete up to {size}, by a mark from outside; then open tail"),
            ),
            _ => (
                "some",
                "open tail: nothing from outside says where the log ends".to_owned(),
            ),
        };
        let clocks = match log.clocks.jumps {
            0 => (
                "good",
                "wall clock and boot clock agree; times are what this machine says".to_owned(),
            ),
            jumps => (
                "some",
                format!(
                    "the clocks disagree {jumps} times, first at record {}",
                    log.clocks.first_jump.unwrap_or_default()
                ),
            ),
        };
        let meaning = match log.meaning.not_checked {
            0 => ("good", "every record is understood".to_owned()),
            count => (
                "bad",
                format!("{count} records are of a newer version, and were not understood"),
            ),
        };
        let content = match (log.content.checked, log.content.missing) {
            (false, _) => ("some", "not looked at".to_owned()),
            (true, 0) => (
                "good",
                format!(
                    "{} texts and files are what was committed to",
                    log.content.opened
                ),
            ),
            (true, missing) => ("bad", format!("{missing} texts or files are gone")),
        };
        let switch = match (
            self.gathered.switch.is_good(),
            self.gathered.switch.answers.iter().any(is_bad),
        ) {
            (_, true) => (
                "bad",
                "an invariant is broken or open: see below".to_owned(),
            ),
            (true, _) => ("good", "every invariant that had a case holds".to_owned()),
            _ => (
                "none",
                "nothing to check: never used and never tried".to_owned(),
            ),
        };
        let acts = &self.gathered.acts;
        let unsigned = match acts.unsigned {
            0 => String::new(),
            count => format!("; kills, leases and notes that nobody signed: {count}"),
        };
        let people = match (acts.wrong, acts.checked) {
            (0, 0) => ("none", format!("no act of a person to check{unsigned}")),
            (0, checked) => (
                "good",
                format!("{checked} acts and enrolments are signed by whom they say{unsigned}"),
            ),
            (wrong, _) => {
                let first = acts
                    .findings
                    .first()
                    .map(|finding| format!("; record {}: {}", finding.seq, finding.why));
                (
                    "bad",
                    format!(
                        "{wrong} acts are not what they say{}",
                        first.unwrap_or_default()
                    ),
                )
            }
        };
        for (name, (class, text)) in [
            ("Integrity", integrity),
            ("Authenticity", authenticity),
            ("Completeness", completeness),
            ("Time", clocks),
            ("Meaning", meaning),
            ("Content", content),
            ("People", people),
            ("Off switch", switch),
        ] {
            self.html.put(format_args!(
                "<div class=\"{class}\"><dt>{name}</dt><dd>{}</dd></div>\n",
                Esc(text)
            ))?;
        }
        if log.witnesses_needed > 0 {
            self.html.put(format_args!("<div class=\"bad\"><dt>Witnesses</dt><dd>{} are asked for, and none can be checked</dd></div>\n", log.witnesses_needed))?;
        }
        self.html.raw("</dl>\n<div id=\"here\" class=\"here off\" role=\"status\" aria-live=\"polite\">\n<h3>Checked here, by this page</h3>\n<p><strong>Nothing was checked again here.</strong> JavaScript is off, or this browser could not run it. The verdict above is the exporter's word; <a href=\"#check\">how to check it</a> with other software stands below.</p>\n</div>\n</section>\n")
    }

    pub(super) fn controls(&mut self) -> Result<Tally> {
        let framework = self.ask.framework;
        self.html.put(format_args!(
            "<section id=\"controls\" aria-labelledby=\"controls-h\">\n<h2 id=\"controls-h\">Controls</h2>\n<p>{}</p>\n<p class=\"quiet\"><span class=\"state good\">satisfied</span> the log holds what a log has to bring. <span class=\"state some\">partly</span> it holds some of it, or a log can only bring a part. <span class=\"state none\">nothing found</span> it could be here, and is not in this selection. <span class=\"state not\">not by this tool</span> it has to come from elsewhere. Whether a law is kept, no row says.</p>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Controls\"><table class=\"controls\">\n<caption>{}</caption>\n<thead><tr><th scope=\"col\">Control</th><th scope=\"col\">State</th><th scope=\"col\">Evidence: records and the query that selects them</th></tr></thead>\n<tbody>\n",
            Esc(&framework.note), Esc(&framework.title)
        ))?;
        let mut tally = Tally::default();
        let found = std::mem::take(&mut self.gathered.found);
        for (control, found) in framework.controls.iter().zip(&found) {
            tally.add(self.control(control, found)?);
        }
        self.html.raw("</tbody></table></div>\n</section>\n")?;
        Ok(tally)
    }

    fn control(&mut self, control: &Control, found: &[Found]) -> Result<State> {
        let pairs = || control.evidence.iter().zip(found);
        let needed = pairs().filter(|(evidence, _)| !evidence.optional);
        let state = state(
            control.by,
            needed.map(|(evidence, found)| self.is_there(evidence, found)),
        );
        let class = match state {
            State::Satisfied => "good",
            State::Partly => "some",
            State::Nothing => "none",
            State::NotByThisTool => "not",
        };
        self.html.put(format_args!(
            "<tr><th scope=\"row\"><span class=\"id\">{}</span> {}<span class=\"block quiet\">{}</span></th><td><span class=\"state {class}\">{state}</span></td><td>",
            Esc(&control.id), Esc(&control.title), Esc(&control.asks)
        ))?;
        if !control.evidence.is_empty() {
            self.html.raw("<ul>")?;
            for (evidence, found) in pairs() {
                self.evidence(evidence, found)?;
            }
            self.html.raw("</ul>")?;
        }
        self.html.put(format_args!(
            "<span class=\"block quiet\">Not shown by this: {}</span></td></tr>\n",
            Esc(&control.rest)
        ))?;
        Ok(state)
    }

    fn evidence(&mut self, evidence: &Evidence, found: &Found) -> Result<()> {
        let Some(filter) = &evidence.filter else {
            let answer = if self.is_there(evidence, found) {
                "yes"
            } else {
                "no"
            };
            return self.html.put(format_args!(
                "<li>{}: <strong>{answer}</strong></li>",
                Esc(&evidence.what)
            ));
        };
        self.html.put(format_args!(
            "<li>{}: <strong>{}</strong>",
            Esc(&evidence.what),
            found.count
        ))?;
        if found.count > 0 {
            let spans: Vec<_> = found.spans.iter().map(ToString::to_string).collect();
            let more = found.count.saturating_sub(found.listed());
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            self.html.put(format_args!(
                " <span class=\"seqs\">#{}{more}</span>",
                spans.join(", ")
            ))?;
        }
        self.html
            .put(format_args!(" <code>{}</code></li>", Esc(filter)))
    }

    fn is_there(&self, evidence: &Evidence, found: &Found) -> bool {
        let log = self.log;
        match evidence.check {
            None => found.count > 0,
            Some(Check::Anchored) => matches!(log.authenticity, Authenticity::Anchored { .. }),
            Some(Check::Clocks) => log.clocks.jumps == 0,
            Some(Check::Complete) => {
                matches!(log.completeness, Completeness::CompleteUpTo { size } if size == log.size)
            }
            Some(Check::Content) => log.content.checked && log.content.missing == 0,
            Some(Check::Integrity) => log.has_integrity(),
            Some(Check::Kept) => {
                let days = i64::from(evidence.days.unwrap_or(u32::MAX)).saturating_mul(DAY);
                match (log.clocks.first, log.clocks.last) {
                    (Some(first), Some(last)) => last.0.saturating_sub(first.0) >= days,
                    _ => false,
                }
            }
            Some(Check::Switch) => self.gathered.switch.is_good(),
        }
    }
}

fn is_bad(answer: &switch::Answer) -> bool {
    matches!(answer.state, switch::State::Broken | switch::State::Open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_never_says_more_than_was_found() {
        let say = |by, there: &[bool]| state(by, there.iter().copied());
        assert_eq!(say(Reach::All, &[true, true]), State::Satisfied);
        assert_eq!(say(Reach::All, &[true, false]), State::Partly);
        assert_eq!(say(Reach::All, &[false]), State::Nothing);
        assert_eq!(say(Reach::All, &[]), State::Nothing);
        assert_eq!(say(Reach::Part, &[true]), State::Partly);
        assert_eq!(say(Reach::Part, &[false]), State::Nothing);
        assert_eq!(say(Reach::None, &[]), State::NotByThisTool);
        assert_eq!(say(Reach::None, &[true]), State::NotByThisTool);
    }
}
