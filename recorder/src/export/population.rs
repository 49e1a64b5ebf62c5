//! A population as CSV (RFC 4180), and a sample of it that anybody can draw again.
//!
//! Only ids, numbers and names of the format stand in it, never free text. A cell that a spreadsheet would take for a formula gets
//! an apostrophe before it, and is counted.
//!
//! The sample is the records with the smallest ranks; a record's rank is SHA-256 over the seed, a line feed, and its number in
//! decimal. Whoever knows the seed and the population draws the same one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tacho_schemas::Hash;
use tacho_schemas::body::Body;
use tacho_schemas::record::Record;

use super::{Losses, trust};
use crate::error::Result;
use crate::read::Shown;

/// The columns, in their order; `rank` stands only in a sample.
const COLUMNS: [&str; 20] = [
    "seq",
    "time",
    "kind",
    "via",
    "actor_type",
    "actor",
    "model",
    "session",
    "generation",
    "tool",
    "class",
    "verdict",
    "deny_kind",
    "rules",
    "approvals",
    "parts",
    "change",
    "status",
    "sha256",
    "leaf",
];

/// Which part of a population is wanted.
#[derive(Clone, Debug)]
pub struct Sample {
    /// How many records.
    pub count: usize,
    /// What the ranks are made from.
    pub seed: String,
}

/// Rows under way.
#[derive(Debug)]
pub struct Population {
    sample: Option<Sample>,
    /// The rows with the smallest ranks so far, by rank.
    drawn: BTreeMap<Hash, (u64, String)>,
    /// Rows written or drawn.
    pub written: u64,
    /// What is not in them.
    pub losses: Losses,
}

impl Population {
    /// Begins a population, or a sample of it.
    pub fn new(sample: Option<Sample>) -> Self {
        Self {
            sample,
            drawn: BTreeMap::new(),
            written: 0,
            losses: Losses::new(),
        }
    }

    /// The first line.
    pub fn header(&self) -> String {
        let rank = if self.sample.is_some() { ",rank" } else { "" };
        format!("{}{rank}\r\n", COLUMNS.join(","))
    }

    /// Takes a record: appends its row, or keeps it if it may be drawn.
    pub fn take(&mut self, shown: &Shown, out: &mut Vec<u8>) -> Result<()> {
        trust(shown)?;
        let row = self.row(shown);
        let Some(sample) = &self.sample else {
            out.extend_from_slice(row.as_bytes());
            out.extend_from_slice(b"\r\n");
            self.written += 1;
            return Ok(());
        };
        let rank = Hash::sha256(format!("{}\n{}", sample.seed, shown.seq).as_bytes());
        self.drawn.insert(rank, (shown.seq.0, row));
        if self.drawn.len() > sample.count {
            self.drawn.pop_last();
        }
        Ok(())
    }

    /// Appends the sample, in the order of the log.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let mut rows: Vec<_> = std::mem::take(&mut self.drawn)
            .into_iter()
            .map(|(rank, (seq, row))| (seq, row, rank))
            .collect();
        rows.sort_unstable();
        for (_, row, rank) in rows {
            out.extend_from_slice(format!("{row},{rank}\r\n").as_bytes());
            self.written += 1;
        }
    }

    fn row(&mut self, shown: &Shown) -> String {
        let mut cells: BTreeMap<&str, String> = BTreeMap::new();
        cells.insert("seq", shown.seq.to_string());
        cells.insert("sha256", Hash::sha256(&shown.bytes).to_string());
        cells.insert(
            "leaf",
            tacho_schemas::tree::leaf_hash(&shown.bytes).to_string(),
        );
        match &shown.meaning {
            Ok(record) => fill(record, &mut cells),
            Err(_) => *self.losses.entry("not_understood".to_owned()).or_default() += 1,
        }
        let texts = shown.row.content.as_ref().map_or(0, |held| held.len());
        if texts > 0 {
            *self.losses.entry("texts".to_owned()).or_default() +=
                u64::try_from(texts).unwrap_or(0);
        }
        let mut row = String::new();
        for (place, column) in COLUMNS.iter().enumerate() {
            if place > 0 {
                row.push(',');
            }
            let text = cells.get(column).map_or("", String::as_str);
            let formula = text.starts_with(['=', '+', '-', '@', '\t']);
            if formula {
                *self.losses.entry("guarded_cells".to_owned()).or_default() += 1;
            }
            let guard = if formula { "'" } else { "" };
            match text.contains([',', '"', '\r', '\n']) {
                true => {
                    let _ = write!(row, "\"{guard}{}\"", text.replace('"', "\"\""));
                }
                false => {
                    let _ = write!(row, "{guard}{text}");
                }
            }
        }
        row
    }
}

fn fill(record: &Record, cells: &mut BTreeMap<&'static str, String>) {
    fn list<T: ToString>(all: impl Iterator<Item = T>) -> String {
        all.map(|one| one.to_string()).collect::<Vec<_>>().join(";")
    }
    let mut put = |column: &'static str, text: String| drop(cells.insert(column, text));
    put("time", record.time.to_string());
    put("kind", record.kind.to_string());
    put("via", record.via.to_string());
    put("actor_type", record.actor.actor_type.to_string());
    put("actor", record.actor.id.to_string());
    put("model", list(record.actor.model.iter()));
    put("session", list(record.session.iter()));
    put("generation", list(record.generation.iter()));
    match &record.body {
        Body::Action(body) => {
            put("tool", body.tool.to_string());
            put("class", list(body.class.iter()));
            put("parts", list(body.parts.iter().flatten()));
            if let Some(verdict) = &body.verdict {
                put("verdict", verdict.decision.to_string());
                put("deny_kind", list(verdict.deny_kind.iter()));
                put("rules", list(verdict.rules.iter().flatten()));
                put("approvals", list(verdict.consumes.iter().flatten()));
            }
        }
        Body::Mutation(body) => {
            put("parts", list(body.parts.iter().flatten()));
            put("change", body.change.to_string());
            put("approvals", list(body.approvals.iter().flatten()));
        }
        Body::Outcome(body) => put("status", body.status.to_string()),
        Body::Approval(body) => {
            put("verdict", body.answer.to_string());
            put("approvals", body.target.to_string());
        }
        _ => {}
    }
}
