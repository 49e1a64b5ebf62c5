//! Checkpoints of OpenEvolve: a folder with `metadata.json` and `programs/<id>.json`.
//!
//! A checkpoint keeps who is alive; parents may have been dropped before it was made. What their children say of a dropped parent
//! (`parent_metrics`) becomes an evaluation of the placeholder. A checkpoint without programs gives placeholders alone.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use tacho_schemas::body::Part;
use tacho_schemas::body::change::Fate;
use tacho_schemas::content::Provenance;
use tacho_schemas::event::Attachment;
use tacho_schemas::record::{Claimed, Role};
use tacho_schemas::{Hash, Id, Time};

use super::Sink;
use super::lineage::{self, Lineage, Measured, Program, Why, island, media_type};
use super::lines;
use super::pieces::agent;
use super::raw::{Object, array, number, text, tolerant};
use crate::error::{Error, ErrorKind, Quoted, Result};

const SYSTEM: &str = "openevolve";

/// By which number the system selects, where there is one.
const MAIN: &str = "combined_score";

/// Says by what a folder looks like a checkpoint.
pub(super) fn looks_like(path: &Path) -> Option<&'static str> {
    if !path.join("metadata.json").is_file() {
        return None;
    }
    if path.join("programs").is_dir() {
        return Some("it has `metadata.json` and `programs`");
    }
    let text = lines::whole(&path.join("metadata.json")).ok()?;
    let object = Object::read(&text).ok()?;
    (object.peek("islands").is_some() && object.peek("archive").is_some())
        .then_some("its `metadata.json` has `islands` and `archive`")
}

/// The files of a checkpoint: the metadata, then the programs by name.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let refuse = |what: &str| {
        Err(Error::new(
            ErrorKind::Usage,
            format!("{} is not a checkpoint of OpenEvolve: {what}", Quoted(path)),
        )
        .with_hint("name the folder that holds `metadata.json`"))
    };
    if !path.is_dir() {
        return refuse("it is not a folder");
    }
    let metadata = path.join("metadata.json");
    if !metadata.is_file() {
        return refuse("it has no `metadata.json`");
    }
    let text = tolerant(lines::whole(&metadata)?);
    if let Err(why) = Object::read(&text) {
        return refuse(&format!("`metadata.json` is {}", why.replace('_', " ")));
    }
    let mut files = vec![metadata];
    files.extend(Some(path.join("best_program_info.json")).filter(|path| path.is_file()));
    let folder = path.join("programs");
    if folder.is_dir() {
        let entries = std::fs::read_dir(&folder).map_err(|e| Error::io("read", &folder, e))?;
        let mut programs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("read", &folder, e))?;
            // Not through links: nobody named what they point to.
            let plain = entry
                .file_type()
                .map_err(|e| Error::io("read", &entry.path(), e))?
                .is_file();
            if plain && entry.path().extension().is_some_and(|e| e == "json") {
                programs.push(entry.path());
            }
        }
        programs.sort_unstable();
        files.append(&mut programs);
    }
    Ok(files)
}

/// What the metadata says of who is where.
#[derive(Default)]
struct Population {
    islands: HashMap<String, u64>,
    members: BTreeSet<String>,
}

impl Population {
    fn read(sink: &mut Sink<'_>, path: &Path) -> Result<Self> {
        let metadata = tolerant(lines::whole(path)?);
        let mut population = Self::default();
        let Ok(mut metadata) = Object::read(&metadata) else {
            sink.lose("metadata_not_an_object");
            return Ok(population);
        };
        let islands = metadata.take("islands").and_then(array).unwrap_or_default();
        for (number, members) in (0..).zip(islands) {
            for id in array(members).unwrap_or_default() {
                let Some(id) = text(id) else {
                    sink.lose("member_not_text");
                    continue;
                };
                population.members.insert(id.clone());
                // Migrants stand on two islands; their own word comes before this one.
                if population.islands.insert(id, number).is_some() {
                    sink.lose("on_two_islands");
                }
            }
        }
        let archive = metadata.take("archive").and_then(array).unwrap_or_default();
        population
            .members
            .extend(archive.into_iter().filter_map(text));
        metadata.rest_by_size(sink, "metadata");
        Ok(population)
    }
}

/// Reads a checkpoint into the sink.
pub(super) fn import(
    files: &[PathBuf],
    sink: &mut Sink<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let Some((metadata, rest)) = files.split_first() else {
        return Ok(());
    };
    let population = Population::read(sink, metadata)?;
    let (mut names, mut paths, mut by_id) = (Vec::new(), Vec::new(), HashMap::new());
    for path in rest {
        if path.ends_with("best_program_info.json") {
            sink.lose("file:best_program_info.json");
            continue;
        }
        let text = match lines::whole(path) {
            Ok(text) => tolerant(text),
            Err(error) if error.kind() == ErrorKind::Usage => {
                sink.lose("program_not_readable");
                continue;
            }
            Err(error) => return Err(error),
        };
        let object = match Object::read(&text) {
            Ok(object) => object,
            Err(why) => {
                sink.lose(&format!("program_{why}"));
                continue;
            }
        };
        match object.peek_text("id") {
            Some(id) if by_id.contains_key(&id) => sink.lose("id_repeated"),
            Some(id) => {
                by_id.insert(id, names.len());
                names.push(object.peek_text("parent_id").into_iter().collect());
                paths.push(path);
            }
            None => sink.lose("program_without_id"),
        }
    }
    let order = lineage::order(&names, &by_id);
    let all = u64::try_from(order.len()).unwrap_or(u64::MAX);
    let mut reader = Reader {
        lineage: Lineage::new(sink, SYSTEM, by_id),
        population,
        paths: &paths,
    };
    for (done, place) in (1..).zip(order) {
        reader.program(place)?;
        progress(done, all);
    }
    // Members whose files are not there exist too.
    let members = std::mem::take(&mut reader.population.members);
    for id in members {
        if !reader.lineage.is_made(&id) {
            let branch = reader.branch_of(&id)?;
            reader.lineage.missing(&id, branch)?;
        }
    }
    Ok(())
}

struct Reader<'a, 'log> {
    lineage: Lineage<'a, 'log>,
    population: Population,
    paths: &'a [&'a PathBuf],
}

impl Reader<'_, '_> {
    fn branch_of(&self, id: &str) -> Result<Option<Id>> {
        self.population
            .islands
            .get(id)
            .map(|n| island(*n))
            .transpose()
    }

    fn read(&self, place: usize) -> Result<Option<String>> {
        self.paths
            .get(place)
            .map(|path| lines::whole(path))
            .transpose()
    }

    #[allow(
        clippy::too_many_lines,
        reason = "one mapping, read from top to bottom"
    )]
    fn program(&mut self, place: usize) -> Result<()> {
        let written = self.read(place)?.unwrap_or_default();
        let text = tolerant(written.clone());
        let object = Object::read(&text).ok();
        let known = |o: &Object<'_>| o.peek_text("id").and_then(|id| self.lineage.place(&id));
        let Some(mut object) = object.filter(|o| known(o) == Some(place)) else {
            self.lineage.sink.lose("changed_while_read");
            return Ok(());
        };
        let sink = &mut *self.lineage.sink;
        let source_id = object.text(sink, "id").unwrap_or_default();
        let parent = object.text(sink, "parent_id");
        let code = object.text(sink, "code");
        if code.is_none() {
            sink.lose("program_without_code");
        }
        let language = object.text(sink, "language");
        let media_type = media_type(sink, language);
        let ordinal = object.value::<u64>(sink, "generation");
        let iteration = object.value::<u64>(sink, "iteration_found");
        let claimed = object.take("timestamp").and_then(|raw| {
            let time = number(raw).and_then(seconds);
            if time.is_none() {
                sink.lose("time_malformed");
            }
            time
        });
        let claimed = claimed.map(|time| Claimed {
            start: Some(time),
            end: None,
        });
        let metrics = object.object(sink, "metrics");
        let mut measured = measured(sink, metrics)?;
        for key in ["complexity", "diversity"] {
            measured.metrics.extend(object.metric(sink, key, key)?);
        }
        let mut metadata = object.object(sink, "metadata").unwrap_or_default();
        let summary = metadata.text(sink, "changes");
        let own_island = metadata.value::<u64>(sink, "island");
        let parent_metrics = metadata.object(sink, "parent_metrics");
        metadata.rest(sink, "metadata_of_program");
        let prompts = object.object(sink, "prompts").unwrap_or_default();
        let (inputs, reasoning) = conversation(sink, prompts);
        object.rest(sink, "field");

        let branch = match own_island {
            Some(number) => Some(island(number)?),
            None => self.branch_of(&source_id)?,
        };
        let fate = match (
            self.population.members.contains(&source_id),
            measured.passed,
        ) {
            (true, _) => Fate::Alive,
            (false, Some(false)) => Fate::Failed,
            (false, _) => Fate::Evicted,
        };
        let mut parents = Vec::new();
        let mut parent_code = None;
        if let Some(parent) = &parent {
            parent_code = self.parent(parent, parent_metrics.as_ref())?;
            parents.extend(self.ancestor(parent, parent_metrics)?);
        } else if let Some(metrics) = parent_metrics {
            // A first program has none to speak of.
            metrics.rest(self.lineage.sink, "parent_metrics");
        }
        let provenance = self.paths.get(place).map(|path| Provenance {
            path: path.display().to_string(),
            offset: u64::try_from(written.len()).unwrap_or(u64::MAX),
            prefix_blake3: Hash(*blake3::hash(written.as_bytes()).as_bytes()),
        });
        let program = Program {
            source_id: Some(source_id),
            name: iteration.map(|iteration| format!("program of iteration {iteration}")),
            summary: None,
            actor: agent(Id::new(SYSTEM)?, None),
            part: Part::Code,
            media_type,
            code,
            parent_code,
            parents,
            inspirations: Vec::new(),
            ordinal,
            branch,
            fate,
            why: Why {
                summary,
                reasoning,
                provenance,
            },
            claimed: claimed.clone(),
            inputs,
        };
        let Some(subject) = self.lineage.put(program)? else {
            return Ok(());
        };
        measured.claimed = claimed;
        self.lineage.evaluate(subject, measured)
    }

    /// The parent's generation. A parent that is not there is evaluated by what its child says of it.
    fn ancestor(
        &mut self,
        id: &str,
        metrics: Option<Object<'_>>,
    ) -> Result<Option<tacho_schemas::Seq>> {
        let Some((seq, new)) = self.lineage.ancestor(id)? else {
            return Ok(None);
        };
        if new && self.lineage.place(id).is_none() {
            let mut measured = measured(self.lineage.sink, metrics)?;
            measured.name = Some("as a child says");
            self.lineage.evaluate(seq, measured)?;
        }
        Ok(Some(seq))
    }

    /// The parent's code; what the child says of the parent's numbers is held against the parent.
    fn parent(&mut self, id: &str, said: Option<&Object<'_>>) -> Result<Option<String>> {
        let text = match self.lineage.place(id) {
            Some(place) => self.read(place)?.map(tolerant),
            None => None,
        };
        let Some(object) = text.as_deref().and_then(|text| Object::read(text).ok()) else {
            return Ok(None);
        };
        let own = object
            .peek("metrics")
            .and_then(|raw| Object::read(raw.get()).ok());
        if let (Some(said), Some(own)) = (said, own) {
            let differs = said
                .iter()
                .any(|(key, raw)| own.peek(key).map(|own| own.get()) != Some(raw.get()));
            if differs {
                self.lineage.sink.lose("parent_metrics_differ");
            }
        }
        Ok(object.peek_text("code"))
    }
}

/// The number the system selects by, and the others. Whether an evaluation ran to its end is said only where it did not.
fn measured(sink: &mut Sink<'_>, metrics: Option<Object<'_>>) -> Result<Measured> {
    let mut measured = Measured::default();
    let Some(mut metrics) = metrics else {
        return Ok(measured);
    };
    if metrics.peek("error").is_some() {
        measured.passed = Some(false);
    }
    if metrics
        .peek("timeout")
        .is_some_and(|raw| raw.get() == "true")
    {
        metrics.take("timeout");
        measured.passed = Some(false);
        measured.error = Some("timeout".to_owned());
    }
    measured.main = metrics.metric(sink, MAIN, MAIN)?;
    measured.metrics = metrics.metrics(sink)?;
    Ok(measured)
}

/// What the model was told becomes input, what it answered is the rationale.
fn conversation(sink: &mut Sink<'_>, prompts: Object<'_>) -> (Vec<Attachment>, Option<String>) {
    let (mut inputs, mut answers) = (Vec::new(), Vec::new());
    for (template, raw) in prompts.iter() {
        let Ok(mut prompt) = Object::read(raw.get()) else {
            sink.lose("prompt_not_an_object");
            continue;
        };
        for side in ["system", "user"] {
            if let Some(text) = prompt.text(sink, side) {
                inputs.push(Attachment {
                    role: Role::Input,
                    path: Some(format!("prompts/{template}/{side}")),
                    media_type: Some("text/plain".to_owned()),
                    unredacted_blake3: None,
                    bytes: text.into_bytes(),
                });
            }
        }
        answers.extend(
            prompt
                .value::<Vec<String>>(sink, "responses")
                .unwrap_or_default(),
        );
        prompt.rest(sink, "prompt");
    }
    // One record carries 256 artefacts; the change itself needs three.
    let over = inputs.len().saturating_sub(200);
    sink.lose_many("prompts_over_100", u64::try_from(over).unwrap_or(u64::MAX));
    inputs.truncate(200);
    let answer = (!answers.is_empty()).then(|| answers.join("\n\n"));
    (inputs, answer)
}

/// A moment in seconds since 1970, as decimal text, without rounding.
fn seconds(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let digits = fraction.len().min(9);
    let nanos = match fraction.get(..digits) {
        Some("") | None => 0,
        Some(kept) => {
            let kept: i64 = kept.parse().ok()?;
            kept * 10_i64.pow(9 - u32::try_from(digits).ok()?)
        }
    };
    let nanos = if text.starts_with('-') { -nanos } else { nanos };
    whole
        .checked_mul(1_000_000_000)?
        .checked_add(nanos)
        .map(Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_to_the_last_digit() {
        for (text, nanos) in [
            ("1750749044.8636587", Some(1_750_749_044_863_658_700)),
            ("0", Some(0)),
            ("0.0", Some(0)),
            ("-1.5", Some(-1_500_000_000)),
            ("4102444800.1234567899", Some(4_102_444_800_123_456_789)),
            ("1e9", None),
            ("NaN", None),
            ("1.+5", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(seconds(text).map(|time| time.0), nanos, "{text}");
        }
    }
}
