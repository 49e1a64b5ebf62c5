//! Archives of ADAS: one JSON array of agent designs.
//!
//! The meta agent saw the whole archive whenever it made a design, and the file names no parent; so no generation here has one, and
//! that is counted. Numbers that the archive leaves out are designs that were dropped; nothing else is known of them.

use std::path::Path;

use tacho_schemas::body::Part;
use tacho_schemas::body::change::{Fate, Metric};
use tacho_schemas::content::Provenance;
use tacho_schemas::scalar::Decimal;
use tacho_schemas::{Hash, Id};

use serde_json::value::RawValue;

use super::Sink;
use super::lineage::{Lineage, Measured, Program, Why};
use super::lines;
use super::pieces::agent;
use super::raw::{self, Object, number, tolerant, unmarked};
use crate::error::{Error, ErrorKind, Quoted, Result};

const SYSTEM: &str = "adas";

/// Says by what a file's beginning looks like an archive.
pub(super) fn looks_like(head: &str) -> Option<&'static str> {
    let has = |key: &str| head.contains(key);
    (head.trim_start().starts_with('[')
        && has("\"thought\"")
        && has("\"code\"")
        && has("\"fitness\""))
    .then_some("it is an array of designs with `thought`, `code` and `fitness`")
}

/// Sees that the file is an array, before anything is recorded.
pub(super) fn check(path: &Path) -> Result<()> {
    let text = tolerant(lines::whole(path)?);
    match serde_json::from_str::<Vec<&RawValue>>(unmarked(&text)) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::new(
            ErrorKind::Usage,
            format!("{} is not a JSON array of designs: {error}", Quoted(path)),
        )),
    }
}

/// Reads an archive into the sink.
pub(super) fn import(
    path: &Path,
    sink: &mut Sink<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let written = lines::whole(path)?;
    let text = tolerant(written.clone());
    let designs: Vec<&RawValue> = serde_json::from_str(unmarked(&text)).unwrap_or_default();
    let all = u64::try_from(text.len()).unwrap_or(u64::MAX);
    let (mut hasher, mut hashed) = (blake3::Hasher::new(), 0);
    let mut lineage = Lineage::new(sink, SYSTEM, std::collections::HashMap::new());
    let mut numbers = std::collections::BTreeSet::new();
    for (place, raw) in designs.into_iter().enumerate() {
        // The designs are slices of the text.
        let end = (raw.get().as_ptr() as usize)
            .saturating_sub(text.as_ptr() as usize)
            .saturating_add(raw.get().len());
        hasher.update(written.as_bytes().get(hashed..end).unwrap_or_default());
        hashed = end;
        let offset = u64::try_from(end).unwrap_or(u64::MAX);
        progress(offset, all);
        let Ok(object) = Object::read(raw.get()) else {
            lineage.sink.lose("design_not_an_object");
            continue;
        };
        let provenance = Provenance {
            path: path.display().to_string(),
            offset,
            prefix_blake3: Hash(*hasher.finalize().as_bytes()),
        };
        numbers.extend(design(&mut lineage, object, place, provenance)?);
    }
    let skipped = numbers.last().map_or(0, |last| {
        last.saturating_sub(u64::try_from(numbers.len()).unwrap_or(u64::MAX))
    });
    lineage.sink.lose_many("generation_not_in_file", skipped);
    Ok(())
}

/// Puts a design, and returns its number.
fn design(
    lineage: &mut Lineage<'_, '_>,
    mut object: Object<'_>,
    place: usize,
    provenance: Provenance,
) -> Result<Option<u64>> {
    let sink = &mut *lineage.sink;
    let name = object.text(sink, "name");
    let code = object.text(sink, "code");
    if code.is_none() {
        sink.lose("program_without_code");
    }
    let (initial, ordinal) = match object.take("generation") {
        Some(raw) if raw.get() == "\"initial\"" => (true, None),
        Some(raw) => match serde_json::from_str::<u64>(raw.get()) {
            Ok(number) => (false, Some(number)),
            Err(_) => {
                sink.lose("malformed:generation");
                (false, None)
            }
        },
        None => (false, None),
    };
    let mut reasoning = object.take("thought").map(words).unwrap_or_default();
    for key in ["reflection", "debug_thought"] {
        if let Some(raw) = object.take(key) {
            reasoning.push_str(&format!("\n\n{key}:\n{}", words(raw)));
        }
    }
    let selected = interval(&mut object, sink, "fitness");
    let tested = interval(&mut object, sink, "test_fitness");
    object.rest(sink, "field");
    if !initial {
        sink.lose("parents_not_stated");
    }
    let actor = match initial {
        // The first designs were given to the search, not made by its meta agent.
        true => lineage.system()?,
        false => agent(Id::new(SYSTEM)?, None),
    };
    let program = Program {
        source_id: Some(format!("/{place}")),
        name,
        summary: None,
        actor,
        part: Part::Code,
        media_type: Some("text/x-python"),
        code,
        parent_code: None,
        parents: Vec::new(),
        inspirations: Vec::new(),
        ordinal,
        branch: None,
        // The archive holds whom it kept.
        fate: Fate::Alive,
        why: Why {
            summary: None,
            reasoning: Some(reasoning),
            provenance: Some(provenance),
        },
        claimed: None,
        inputs: Vec::new(),
    };
    let Some(subject) = lineage.put(program)? else {
        return Ok(ordinal);
    };
    if let Some((median, bounds)) = selected {
        let measured = Measured {
            name: Some("fitness"),
            main: Some(median),
            metrics: bounds,
            ..Measured::default()
        };
        lineage.evaluate(subject, measured)?;
    }
    // The search did not select by the test, so it has no main number.
    if let Some((median, mut bounds)) = tested {
        bounds.insert(0, median);
        let measured = Measured {
            name: Some("test_fitness"),
            metrics: bounds,
            ..Measured::default()
        };
        lineage.evaluate(subject, measured)?;
    }
    Ok(ordinal)
}

/// A thought: text, or what else the model answered, as it stands.
fn words(raw: &RawValue) -> String {
    raw::text(raw).unwrap_or_else(|| raw.get().to_owned())
}

/// Reads "95% Bootstrap Confidence Interval: (22.7%, 38.3%), Median: 30.5%": the median and the bounds.
fn interval(
    object: &mut Object<'_>,
    sink: &mut Sink<'_>,
    key: &str,
) -> Option<(Metric, Vec<Metric>)> {
    let raw = object.take(key)?;
    let read = || {
        let metric = |name: String, score: &str| {
            score.parse::<f64>().ok()?;
            Some(Metric {
                metric: Id::new(name).ok()?,
                score: Decimal::new(score).ok()?,
            })
        };
        let name = key.replace('_', "-");
        if let Some(number) = number(raw) {
            return Some((metric(name, number)?, Vec::new()));
        }
        let text = raw::text(raw)?;
        let (level, rest) = text.split_once("% Bootstrap Confidence Interval: (")?;
        let (low, rest) = rest.split_once("%, ")?;
        let (high, rest) = rest.split_once("%), Median: ")?;
        let median = rest.strip_suffix('%')?;
        level.parse::<f64>().ok()?;
        let bounds = vec![
            metric(format!("{name}-ci{level}-low-percent"), low)?,
            metric(format!("{name}-ci{level}-high-percent"), high)?,
        ];
        Some((metric(format!("{name}-median-percent"), median)?, bounds))
    };
    let found = read();
    if found.is_none() {
        sink.lose(&format!("malformed:{key}"));
    }
    found
}
