//! The same answers as lines: for pipes, and for people who have them read aloud. Words for states, no boxes, no cursor.

use std::time::Duration;

use tacho_schemas::Time;

use crate::app::{App, Screen};
use crate::screen::inbox::{fate, quorum};
use crate::text::{count, moment, thousands};

/// A log may be large and its index not made yet.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Rows of the timeline.
const ROWS: usize = 50;

/// The screen that the options ask for, in lines; an error says why there are none.
pub fn plain(app: &mut App) -> Result<Vec<String>, String> {
    if !app.settle(PATIENCE) {
        return Err(format!(
            "no answer came within an hour: {}",
            app.open_questions()
        ));
    }
    if let Some(trouble) = &app.trouble {
        let next = trouble
            .next
            .as_ref()
            .map_or(String::new(), |next| format!("; {next}"));
        return Err(format!("{}{next}", trouble.what));
    }
    if let Some(seq) = app.options.seq.filter(|seq| *seq >= app.standing.size) {
        let all = count(app.standing.size, "record");
        return Err(format!("there is no record {seq}; the log has {all}"));
    }
    let mut lines = vec![format!(
        "{}: {}, {}",
        app.options.name,
        app.screen.name(),
        count(app.standing.size, "record")
    )];
    for kill in &app.standing.kills {
        let at = moment(kill.time);
        lines.push(format!("KILLED: {}, by #{} at {at}", kill.target, kill.seq));
    }
    match app.screen {
        Screen::Timeline => app.plain_timeline(&mut lines),
        Screen::Explain => app.plain_explain(&mut lines)?,
        Screen::Diff => app.plain_diff(&mut lines),
        Screen::Lineage => app.plain_lineage(&mut lines),
        Screen::Replay => app.plain_world(&mut lines),
        Screen::Inbox => app.plain_inbox(&mut lines, app.now()),
        Screen::Health => lines.extend(app.health_lines(80).iter().map(|line| line.plain("says:"))),
    }
    Ok(lines)
}

impl App {
    fn plain_timeline(&self, lines: &mut Vec<String>) {
        if !self.filter_text.is_empty() {
            let found = self.count.map_or(0, |count| count.found);
            let text = crate::text::said(&self.filter_text);
            lines.push(format!("filter {text}: {} found", thousands(found)));
        }
        let Some(window) = &self.timeline.window else {
            return;
        };
        let here = window.rows.partition_point(|row| row.seq <= self.cursor);
        let from = here.saturating_sub(ROWS);
        for row in window.rows.iter().take(here).skip(from) {
            let time = row.time.map_or("no time".to_owned(), moment);
            let doubt = row
                .doubt
                .as_ref()
                .map_or(String::new(), |doubt| format!("  DOUBT: {doubt}"));
            let words = match row.words.is_empty() {
                true => String::new(),
                false => format!("  says: {}", row.words),
            };
            lines.push(format!(
                "#{}  {time}  {}  {}{words}{doubt}",
                row.seq, row.who, row.what
            ));
        }
        for term in &window.without {
            lines.push(format!("without {term} there are some"));
        }
    }

    fn plain_explain(&self, lines: &mut Vec<String>) -> Result<(), String> {
        let found = self.explain.plain();
        match found {
            Ok(found) => {
                lines.push(format!("#{}", self.cursor));
                lines.extend(found);
                Ok(())
            }
            Err(why) => Err(why),
        }
    }

    fn plain_diff(&self, lines: &mut Vec<String>) {
        lines.push(format!(
            "#{}, against {}",
            self.cursor,
            self.diff.against.name()
        ));
        lines.extend(self.diff.plain());
    }

    fn plain_lineage(&self, lines: &mut Vec<String>) {
        lines.extend(self.lineage.plain());
    }

    fn plain_world(&self, lines: &mut Vec<String>) {
        lines.push(format!("as of #{}", self.cursor));
        lines.extend(self.replay.plain());
    }

    fn plain_inbox(&self, lines: &mut Vec<String>, now: Time) {
        let holds = self.inbox.holds();
        if holds.is_empty() {
            lines.push("nothing was held".to_owned());
        }
        for hold in holds {
            let state = if hold.is_open(now) { "waits" } else { "over" };
            let (_, end) = fate(hold, now);
            lines.push(format!(
                "#{} {state}: {} {}  rule {}  target {}  {}  {end}",
                thousands(hold.seq.0),
                hold.who,
                hold.tool,
                hold.rules,
                hold.target,
                quorum(hold)
            ));
        }
    }
}
