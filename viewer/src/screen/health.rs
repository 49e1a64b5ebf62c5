//! Health: is this log whole, and how do we know; in sentences.

use ratatui::layout::Rect;
use tacho_recorder::audit::Step;
use tacho_schemas::verify::{Anchor, Authenticity, Completeness, Report};

use super::Scroll;
use crate::answer::health::Health;
use crate::app::App;
use crate::ask::Verification;
use crate::doc::{self, Line};
use crate::draw::{Pen, inset, take_row, verdict};
use crate::keys::Action;
use crate::text::{bytes, count, moment, said, thousands, until};
use crate::theme::{Glyphs, Role, UNICODE};

/// What is known at a glance, and where we are in what is said.
#[derive(Debug, Default)]
pub(crate) struct HealthScreen {
    pub(crate) health: Option<Health>,
    scroll: Scroll,
}

/// Where sentences begin, right of their names.
const MARGIN: usize = 15;

impl App {
    pub(crate) fn health_act(&mut self, action: Action) {
        self.health.scroll.act(action);
    }

    pub(crate) fn draw_health(&mut self, pen: &mut Pen<'_>, area: Rect) {
        let mut area = area;
        let title = take_row(&mut area);
        let word = match &self.verification {
            Verification::Done(report) => verdict(report, pen.glyphs).1,
            Verification::Running(_) => "verifying".to_owned(),
            Verification::Stopped(_) => "verified in part: v goes on".to_owned(),
            Verification::NotAsked if self.locked => "locked".to_owned(),
            Verification::NotAsked => "not verified yet: v verifies".to_owned(),
            Verification::Failed(_) => "cannot be verified".to_owned(),
        };
        pen.rule(title, title.y, &word, "");
        let inner = inset(area, 1, 0);
        let lines = self.health_lines(inner.width);
        let rows = doc::rows(&lines, usize::from(inner.width));
        let top = self.health.scroll.fit(rows.len(), inner.height);
        for (y, row) in (inner.top()..inner.bottom()).zip(rows.iter().skip(top)) {
            pen.row(
                inner,
                y,
                row,
                lines.get(row.line).and_then(|line| line.label),
            );
        }
    }

    /// All sentences.
    pub(crate) fn health_lines(&self, width: u16) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(trouble) = self.trouble.as_ref().or(self.refused.as_ref()) {
            // A lock is no fault of the log.
            let (role, sign) = match self.locked {
                true => (Role::Hold, "!"),
                false => (Role::Deny, "x"),
            };
            say(
                &mut lines,
                "reading",
                role,
                format!("{sign} {}", trouble.what),
            );
            if let Some(next) = &trouble.next {
                say(&mut lines, "", Role::Text, format!("next: {next}"));
            }
            let text = match (&self.trouble, self.proven()) {
                _ if self.locked => {
                    "It is opened by itself as soon as the lock is gone.".to_owned()
                }
                (None, Some(proven)) if proven > 0 => format!(
                    "Shown is what verification proved, #0 to #{}, and nothing after it; e writes it into a file.",
                    thousands(proven - 1)
                ),
                _ => "Nothing is shown that does not fit. It is tried again by itself.".to_owned(),
            };
            say(&mut lines, "", Role::Dim, text);
            lines.push(Line::default());
        }
        match &self.verification {
            Verification::NotAsked => {}
            Verification::Running(step) => {
                let label = if step.again {
                    "reading again"
                } else {
                    "verifying"
                };
                lines.push(bar(step, Role::Accent, label, width));
                let text = match (step.again, self.options.source.is_bundle()) {
                    (true, _) => {
                        "What was sound before is held against what lies there now; then it goes on."
                    }
                    (false, false) => "v stops it, and goes on later.",
                    (false, true) => "",
                };
                if !text.is_empty() {
                    say(&mut lines, "", Role::Dim, text.to_owned());
                }
                lines.push(Line::default());
            }
            Verification::Stopped(step) => {
                lines.push(bar(step, Role::Dim, "stopped", width));
                let (role, text) = match step.sound {
                    true => (
                        Role::Hold,
                        "! Nothing wrong so far, and nothing is claimed before the end. v goes on from here, once it has read again what lies before.",
                    ),
                    false => (
                        Role::Deny,
                        "x Something is not as it was written. v verifies from the beginning to the end, and says what.",
                    ),
                };
                say(&mut lines, "", role, text.to_owned());
                lines.push(Line::default());
            }
            Verification::Failed(trouble) => {
                say(
                    &mut lines,
                    "verification",
                    Role::Deny,
                    format!("x {}", trouble.what),
                );
                if let Some(next) = &trouble.next {
                    say(&mut lines, "", Role::Text, format!("next: {next}"));
                }
                lines.push(Line::default());
            }
            Verification::Done(report) => {
                report_lines(report, &UNICODE, &mut lines);
                let since = self.unverified();
                if since > 0 {
                    let text = match report.has_integrity() {
                        true => "! Not verified yet: v reads again what was sound and goes on with",
                        false => "! Not verified yet: v verifies anew, with",
                    };
                    let text = format!("{text} {} that came since.", count(since, "record"));
                    say(&mut lines, "", Role::Hold, text);
                }
                lines.push(Line::default());
            }
        }
        if let Some(health) = &self.health.health {
            glance_lines(health, &mut lines);
        }
        lines
    }
}

/// How far it is, as a bar.
fn bar(step: &Step, role: Role, label: &'static str, width: u16) -> Line {
    let cells = usize::from(width).saturating_sub(MARGIN + 28).clamp(10, 60);
    let full = u128::from(step.done) * (cells as u128) / u128::from(step.all.max(1));
    let full = usize::try_from(full).unwrap_or(cells).min(cells);
    let bar = format!("{}{}", "█".repeat(full), "·".repeat(cells - full));
    let text = format!("{bar}  {} of {}", thousands(step.done), thousands(step.all));
    let mut line = Line::new(role, text).indent(MARGIN).cut();
    line.label = Some(label);
    line
}

fn say(lines: &mut Vec<Line>, label: &'static str, role: Role, text: String) {
    let mut line = Line::new(role, text).indent(MARGIN).hang(2);
    line.label = (!label.is_empty()).then_some(label);
    lines.push(line);
}

/// What verification found, each question apart, and never more than was asked.
pub(crate) fn report_lines(report: &Report, glyphs: &Glyphs, lines: &mut Vec<Line>) {
    let (ok, hold, deny) = (glyphs.ok, glyphs.hold, glyphs.deny);
    let last = report.size.saturating_sub(1);
    let integrity = &report.integrity;
    if report.size == 0 {
        say(
            lines,
            "integrity",
            Role::Deny,
            format!("{deny} there is nothing to verify"),
        );
        return;
    }
    if let (0, Completeness::Excerpt { shown, .. }) = (integrity.count, &report.completeness) {
        let text = format!(
            "{ok} Each of the {} shown is as it was written, and in its place among #0 to #{}: {}, {} agree.",
            count(*shown, "record"),
            thousands(last),
            count(integrity.seals, "seal"),
            count(integrity.checkpoints, "checkpoint"),
        );
        say(lines, "integrity", Role::Ok, text);
    } else if integrity.count == 0 {
        let text = format!(
            "{ok} Each of #0 to #{} is as it was written: {}, {}, {} agree.",
            thousands(last),
            count(integrity.seals, "seal"),
            count(integrity.checkpoints, "checkpoint"),
            count(integrity.tiles, "tile")
        );
        say(lines, "integrity", Role::Ok, text);
    } else {
        let text = match integrity.first_bad {
            Some(seq) => format!(
                "{deny} #{} is the first record that is not as it was written.",
                thousands(seq.0)
            ),
            None => {
                format!("{deny} Something is not as it was written; no single record can be named.")
            }
        };
        say(lines, "integrity", Role::Deny, text);
        let proven = match integrity.proven {
            0 => "Nothing is proven.".to_owned(),
            1 => "Proven: #0. Not proven: all after it. Treat every line past it as a claim."
                .to_owned(),
            size => format!(
                "Proven: #0 to #{}. Not proven: all after it. Treat every line past it as a claim.",
                thousands(size - 1)
            ),
        };
        say(lines, "", Role::Text, format!("  {proven}"));
        for violation in &integrity.violations {
            let text = format!(
                "{deny} {}: {}",
                violation.breach.name(),
                said(&violation.what)
            );
            say(lines, "", Role::Deny, text);
        }
        let told = u64::try_from(integrity.violations.len()).unwrap_or(0);
        if integrity.count > told {
            say(
                lines,
                "",
                Role::Deny,
                format!("  and {} more", thousands(integrity.count - told)),
            );
        }
    }
    let (role, text) = match &report.authenticity {
        Authenticity::Anchored { identity, by } => {
            let by = match by {
                Anchor::Named => "the key that was named",
                Anchor::Pinned => "the key that this user pinned for the log",
            };
            (Role::Ok, format!("{ok} Signed under {identity}, {by}."))
        }
        Authenticity::SelfConsistent { identity } => (
            Role::Hold,
            format!("{hold} The signatures fit each other, but nobody vouches for {identity}."),
        ),
        Authenticity::Failed => (
            Role::Deny,
            format!("{deny} Not shown to be the log that it should be."),
        ),
    };
    say(lines, "authenticity", role, text);
    let (role, text) = match report.completeness {
        Completeness::CompleteUpTo { size } => (
            Role::Ok,
            format!(
                "{ok} Complete up to {}, by a mark from outside.",
                thousands(size)
            ),
        ),
        Completeness::Excerpt { shown, .. } => (
            Role::Hold,
            format!(
                "{hold} An excerpt: {} shown, and nothing is claimed of the others.",
                count(shown, "record")
            ),
        ),
        Completeness::OpenTail => (
            Role::Hold,
            format!(
                "{hold} Open tail: nothing from outside says where the log ends. `tacho verify --against` takes a mark."
            ),
        ),
    };
    say(lines, "completeness", role, text);
    let clocks = &report.clocks;
    let (role, text) = match (clocks.first, clocks.last, clocks.jumps) {
        (Some(first), Some(last), 0) => (
            Role::Ok,
            format!(
                "{ok} {} to {}; the clocks agree.",
                moment(first),
                moment(last)
            ),
        ),
        (Some(_), Some(_), jumps) => {
            let at = clocks.first_jump.unwrap_or_default();
            let times = count(jumps, "time");
            (
                Role::Hold,
                format!(
                    "{hold} The clocks disagree {times}, first at #{}.",
                    thousands(at.0)
                ),
            )
        }
        _ => (Role::Hold, format!("{hold} No record says.")),
    };
    say(lines, "time", role, text);
    let meaning = &report.meaning;
    let (role, text) = match meaning.not_checked {
        0 => (Role::Ok, format!("{ok} Every record is understood.")),
        many => (
            Role::Deny,
            format!(
                "{deny} {} not understood, first #{}: {}",
                thousands(many),
                thousands(meaning.first.unwrap_or_default().0),
                said(meaning.why.as_deref().unwrap_or(""))
            ),
        ),
    };
    say(lines, "meaning", role, text);
    let content = &report.content;
    let (role, text) = match (content.checked, content.missing) {
        (false, _) => (
            Role::Hold,
            format!("{hold} Texts and files were not looked at."),
        ),
        (true, 0) => (
            Role::Ok,
            format!(
                "{ok} {} texts and files are what was committed to.",
                thousands(content.opened)
            ),
        ),
        (true, missing) => (
            Role::Deny,
            format!(
                "{deny} {} texts or files are gone, and nothing excuses it.",
                thousands(missing)
            ),
        ),
    };
    say(lines, "content", role, text);
    if report.witnesses_needed > 0 {
        let text = format!(
            "{deny} The log asks for {}, and this version cannot check any.",
            count(report.witnesses_needed, "witness")
        );
        say(lines, "witnesses", Role::Deny, text);
    }
    if report.unsigned > 0 {
        say(
            lines,
            "",
            Role::Hold,
            format!(
                "{hold} {} after the last durable signature.",
                count(report.unsigned, "record")
            ),
        );
    }
    if report.broken_epochs > 0 {
        say(
            lines,
            "",
            Role::Hold,
            format!(
                "{hold} {} ended without a seal: the key was lost.",
                count(report.broken_epochs, "epoch")
            ),
        );
    }
}

fn glance_lines(health: &Health, lines: &mut Vec<Line>) {
    if let Some(bundle) = &health.bundle {
        for (label, text) in bundle {
            say(lines, label, Role::Text, text.clone());
        }
        return;
    }
    match &health.keys {
        Ok(keys) => {
            say(lines, "log", Role::Text, keys.origin.clone());
            say(lines, "identity key", Role::Text, keys.identity.clone());
            let changed = match keys.log_keys {
                0 | 1 => "unchanged since #0".to_owned(),
                many => format!("replaced {} times", many - 1),
            };
            say(
                lines,
                "log key",
                Role::Text,
                format!("{}, {changed}", keys.log_key),
            );
            let broken = match keys.broken {
                0 => String::new(),
                many => format!(", {many} began with a lost key"),
            };
            say(
                lines,
                "epoch",
                Role::Text,
                format!("{} is open, {} sealed{broken}", keys.epoch, keys.sealed),
            );
        }
        Err(trouble) => say(lines, "keys", Role::Deny, format!("x {}", trouble.what)),
    }
    let (role, text) = match &health.checkpoint {
        Ok(Some(size)) => {
            let after = health.size.saturating_sub(*size);
            let after = match after {
                0 => "all of the log".to_owned(),
                after => format!("{} came after it", count(after, "record")),
            };
            (
                Role::Text,
                format!("the newest covers {}; {after}", count(*size, "record")),
            )
        }
        Ok(None) => (Role::Hold, "! there is none yet".to_owned()),
        Err(trouble) => (Role::Deny, format!("x {}", trouble.what)),
    };
    say(lines, "checkpoint", role, text);
    let writer = health
        .writer
        .as_deref()
        .unwrap_or("nobody writes it right now");
    say(lines, "writer", Role::Text, writer.to_owned());
    if let Some(last) = health.last_time {
        let ago = until(last, health.now);
        let (role, text) = match ago.ends_with("left")
            && last.0 > health.now.0.saturating_add(2_000_000_000)
        {
            true => (
                Role::Hold,
                format!("! {}, which is ahead of this machine's clock", moment(last)),
            ),
            false if ago.ends_with("left") => (Role::Text, format!("{}, just now", moment(last))),
            false => (Role::Text, format!("{}, {ago}", moment(last))),
        };
        say(lines, "last record", role, text);
    }
    let database = health.database.map_or("?".to_owned(), bytes);
    let (role, disk) = match health.disk {
        Some(free) if free < 256 << 20 => (Role::Hold, format!("! only {} left", bytes(free))),
        Some(free) => (Role::Text, format!("{} left", bytes(free))),
        None => (Role::Dim, "∅ cannot be asked".to_owned()),
    };
    say(
        lines,
        "disk",
        role,
        format!("{disk}; the database has {database}"),
    );
    let index = match (&health.private_index, health.indexed) {
        (Some(why), _) => format!("for this view only: {why}"),
        (None, indexed) => format!(
            "covers {}; it is a convenience, never evidence",
            count(indexed, "record")
        ),
    };
    say(lines, "index", Role::Dim, index);
    say(lines, "directory", Role::Dim, health.path.clone());
}
