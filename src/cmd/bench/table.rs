//! What was measured, as a table or as JSON.

use serde_json::json;

use super::ground::Machine;
use crate::term::{Failure, Term, Tone, safe};

/// A figure beside its floor.
#[derive(Debug)]
pub(super) struct Row {
    what: String,
    floor_name: &'static str,
    floor: Option<f64>,
    ours: f64,
    unit: &'static str,
    /// What is compared with the budget: ours by the floor, or ours alone.
    ratio: f64,
    budget: Vec<Bound>,
    reach: &'static str,
}

/// What must hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// Of our figure itself, in its unit.
    OursAtMost(f64),
}

impl Row {
    /// A figure with a floor.
    pub(super) fn against(
        what: impl Into<String>,
        (floor_name, floor): (&'static str, f64),
        ours: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            what: what.into(),
            floor_name,
            floor: Some(floor),
            ours,
            unit,
            ratio: ours / floor,
            budget: Vec::new(),
            reach: "",
        }
    }

    /// A figure by itself.
    pub(super) fn alone(what: impl Into<String>, ours: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            floor_name: "",
            floor: None,
            ours,
            unit,
            ratio: ours,
            budget: Vec::new(),
            reach: "",
        }
    }

    /// The ratio, where it is not that of the figures shown: the median of the rounds' own ratios.
    pub(super) fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = ratio;
        self
    }

    pub(super) fn budget(mut self, bound: Bound, reach: &'static str) -> Self {
        self.budget.push(bound);
        self.reach = reach;
        self
    }

    fn passes(&self) -> bool {
        self.budget.iter().all(|bound| match bound {
            Bound::AtLeast(least) => self.ratio >= *least,
            Bound::AtMost(most) => self.ratio <= *most,
            Bound::OursAtMost(most) => self.ours <= *most,
        })
    }

    fn budget_text(&self) -> String {
        let times = if self.floor.is_some() { " x" } else { "" };
        let all = self.budget.iter().map(|bound| match bound {
            Bound::AtLeast(least) => format!(">= {least}{times}"),
            Bound::AtMost(most) => format!("<= {most}{times}"),
            Bound::OursAtMost(most) => format!("<= {most} {}", self.unit),
        });
        all.collect::<Vec<_>>().join(", ")
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "what": self.what, "floor_name": self.floor_name, "floor": self.floor, "ours": self.ours, "unit": self.unit,
            "ratio": self.floor.map(|_| self.ratio), "budget": self.budget_text(), "reach": self.reach,
            "pass": (!self.budget.is_empty()).then(|| self.passes()),
        })
    }
}

pub(super) fn print(
    rows: &[Row],
    machine: &Machine,
    as_json: bool,
    term: &mut Term,
) -> Result<(), Failure> {
    if as_json {
        let all = json!({
            "machine": {
                "cores": machine.cores, "processor": machine.model, "file_system": machine.file_system,
                "directory": machine.directory, "version": env!("CARGO_PKG_VERSION"),
            },
            "bytes_per_record": machine.payload,
            "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        return term.line(all.to_string());
    }
    term.line(format!(
        "{} cores ({}), {} at {}; records of {} bytes of text",
        machine.cores,
        safe(&machine.model),
        machine.file_system,
        safe(&machine.directory.display().to_string()),
        machine.payload
    ))?;
    term.line("")?;
    let mut lines =
        vec![["what", "floor", "ours", "ratio", "budget", "reach", ""].map(str::to_owned)];
    for row in rows {
        let floor = row.floor.map_or("-".to_owned(), |floor| {
            format!("{} {}", number(floor), row.floor_name)
        });
        let ratio = row
            .floor
            .map_or("-".to_owned(), |_| format!("{:.2} x", row.ratio));
        let verdict = match (row.budget.is_empty(), row.passes()) {
            (true, _) => "",
            (_, true) => "pass",
            (_, false) => "short",
        };
        lines.push([
            row.what.clone(),
            floor,
            format!("{} {}", number(row.ours), row.unit),
            ratio,
            row.budget_text(),
            row.reach.to_owned(),
            verdict.to_owned(),
        ]);
    }
    let mut widths = [0; 7];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(widths) {
            text.push_str(&format!("{cell:<width$}  "));
        }
        let text = text.trim_end();
        let tone = match line.last().map(String::as_str) {
            Some("short") => Tone::Warn,
            Some("pass") => Tone::Good,
            _ => Tone::Dim,
        };
        term.line(term.paint(tone, text))?;
    }
    Ok(())
}

/// Three digits that count, and a separator between thousands.
fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
