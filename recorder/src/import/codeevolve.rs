//! Lineages of CodeEvolve: one JSON object a line, first the state of the run, then its prompts and solutions.
//!
//! Prompts evolve beside the programs that are written under them. A solution's prompt is among its inspirations: the solution was made
//! under it, not of it. The file is read twice, first for who names whom, then in an order where parents come before children.

use std::collections::HashMap;
use std::path::Path;

use tacho_schemas::body::Part;
use tacho_schemas::body::change::Fate;
use tacho_schemas::body::work::{Action, Class, Outcome, Status};
use tacho_schemas::content::{Field, Provenance};
use tacho_schemas::event::Event;
use tacho_schemas::scalar::Set;
use tacho_schemas::{Hash, Id, Seq};

use super::Sink;
use super::lineage::{self, Lineage, Measured, Program, Why, island, media_type};
use super::lines::{Again, Lines};
use super::pieces::{agent, id};
use super::raw::{Object, array, tolerant};
use crate::error::Result;

const SYSTEM: &str = "codeevolve";

/// Says by what a file's beginning looks like such a lineage.
pub(super) fn looks_like(head: &str) -> Option<&'static str> {
    // The first line may be longer than what is looked at.
    let line = head.lines().next()?.trim_start();
    let run = line.starts_with("{\"kind\": \"run\"") || line.starts_with("{\"kind\":\"run\"");
    if run && line.contains("\"evolve_state\"") {
        return Some("it begins with the state of a run (`evolve_state`)");
    }
    let line = tolerant(line.to_owned());
    let object = Object::read(&line).ok()?;
    let has = |key| object.iter().any(|(k, _)| k == key);
    (has("model_msg") && has("prompt_id") && has("island_found"))
        .then_some("its lines have `model_msg`, `prompt_id` and `island_found`")
}

/// Where a program stands in the file.
struct Stand {
    start: u64,
    end: u64,
    /// BLAKE3 of the file up to its end.
    prefix: Hash,
}

/// Reads a lineage into the sink.
pub(super) fn import(
    mut lines: Lines,
    path: &Path,
    sink: &mut Sink<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let (all, mut start) = (lines.length.saturating_mul(2), 0);
    let (mut names, mut stands, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    let mut by_id = HashMap::new();
    while let Some(line) = lines.next()? {
        progress(line.end, all);
        let stand = Stand {
            start,
            end: line.end,
            prefix: lines.prefix_hash(),
        };
        start = line.end;
        let text = match line.text {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => tolerant(text),
            Err(why) => {
                sink.lose(why);
                continue;
            }
        };
        let object = match Object::read(&text) {
            Ok(object) => object,
            Err(why) => {
                sink.lose(&format!("line_{why}"));
                continue;
            }
        };
        match object.peek_text("kind").as_deref() {
            Some("run") => runs.push(stand),
            Some("prompt" | "solution") => match object.peek_text("id") {
                Some(id) if by_id.contains_key(&id) => sink.lose("id_repeated"),
                Some(id) => {
                    by_id.insert(id, names.len());
                    names.push(named(&object));
                    stands.push(stand);
                }
                None => sink.lose("program_without_id"),
            },
            Some(kind) => sink.lose(&format!("line:{kind}")),
            None => sink.lose("line_without_kind"),
        }
    }
    let order = lineage::order(&names, &by_id);
    drop(names);
    let mut reader = Reader {
        lineage: Lineage::new(sink, SYSTEM, by_id),
        again: Again::open(path)?,
        stands,
        path: path.display().to_string(),
    };
    let mut done = lines.length;
    for place in order {
        reader.program(place)?;
        done += reader
            .stands
            .get(place)
            .map_or(0, |stand| stand.end - stand.start);
        progress(done, all);
    }
    for run in runs {
        reader.run(&run)?;
    }
    Ok(())
}

/// The ids that a program names: its parent, its prompt, and what inspired it.
fn named(object: &Object<'_>) -> Vec<String> {
    let mut named: Vec<String> = ["parent_id", "prompt_id"]
        .iter()
        .filter_map(|key| object.peek_text(key))
        .collect();
    let inspirations = object.peek("inspiration_ids").and_then(array);
    named.extend(
        inspirations
            .unwrap_or_default()
            .into_iter()
            .filter_map(super::raw::text),
    );
    named
}

struct Reader<'a, 'log> {
    lineage: Lineage<'a, 'log>,
    again: Again,
    stands: Vec<Stand>,
    path: String,
}

impl Reader<'_, '_> {
    fn line(&mut self, place: usize) -> Result<Option<String>> {
        match self.stands.get(place) {
            Some(stand) => self.again.line(stand.start, stand.end),
            None => Ok(None),
        }
    }

    fn provenance(&self, stand: &Stand) -> Provenance {
        Provenance {
            path: self.path.clone(),
            offset: stand.end,
            prefix_blake3: stand.prefix,
        }
    }

    fn program(&mut self, place: usize) -> Result<()> {
        let Some(text) = self.line(place)?.map(tolerant) else {
            self.lineage.sink.lose("changed_while_read");
            return Ok(());
        };
        let Ok(mut object) = Object::read(&text) else {
            self.lineage.sink.lose("changed_while_read");
            return Ok(());
        };
        let sink = &mut *self.lineage.sink;
        let source_id = object.text(sink, "id");
        if source_id.as_deref().and_then(|id| self.lineage.place(id)) != Some(place) {
            self.lineage.sink.lose("changed_while_read");
            return Ok(());
        }
        let sink = &mut *self.lineage.sink;
        let kind = object.text(sink, "kind").unwrap_or_default();
        let parent = object.text(sink, "parent_id");
        let prompt = object.text(sink, "prompt_id");
        let inspirations: Vec<String> = object.value(sink, "inspiration_ids").unwrap_or_default();
        let code = object.text(sink, "code");
        if code.is_none() {
            sink.lose("program_without_code");
        }
        let language = object.text(sink, "language");
        let media_type = media_type(sink, language);
        let message = object.text(sink, "model_msg");
        let model = object.value::<u64>(sink, "model_id");
        let ordinal = object.value::<u64>(sink, "generation");
        let branch = object
            .value::<u64>(sink, "island_found")
            .map(island)
            .transpose()?;
        let iteration = object.value::<u64>(sink, "iteration_found");
        let alive = object.value::<bool>(sink, "alive");
        let code_returned = object.value::<i64>(sink, "returncode");
        let error = object.text(sink, "error").filter(|e| !e.is_empty());
        let main = object.metric(sink, "fitness", "fitness")?;
        let metrics = match object.object(sink, "eval_metrics") {
            Some(metrics) => metrics.metrics(sink)?,
            None => Vec::new(),
        };
        object.rest(sink, "field");
        let failed = error.is_some() || code_returned.is_some_and(|code| code != 0);
        let fate = match (alive, failed) {
            (Some(true), _) => Fate::Alive,
            (_, true) => Fate::Failed,
            (Some(false), false) => Fate::Evicted,
            (None, false) => {
                sink.lose("fate_not_stated");
                Fate::Alive
            }
        };
        let actor = match model {
            Some(model) => agent(Id::new(SYSTEM)?, Some(Id::new(format!("model-{model}"))?)),
            // The first programs were given to the run, not made by a model of it.
            None => self.lineage.system()?,
        };

        let parent_code = self.code_of(parent.as_deref())?;
        let parents = self.ancestors(parent.into_iter())?;
        let inspirations = self.ancestors(prompt.into_iter().chain(inspirations))?;
        let provenance = self.stands.get(place).map(|stand| self.provenance(stand));
        let program = Program {
            source_id,
            name: iteration.map(|iteration| format!("{kind} of iteration {iteration}")),
            summary: None,
            actor,
            part: match kind.as_str() {
                "prompt" => Part::Prompt,
                _ => Part::Code,
            },
            media_type,
            code,
            parent_code,
            parents,
            inspirations,
            ordinal,
            branch,
            fate,
            why: Why {
                summary: None,
                reasoning: message,
                provenance,
            },
            claimed: None,
            inputs: Vec::new(),
        };
        let Some(subject) = self.lineage.put(program)? else {
            return Ok(());
        };
        let passed = match (failed, code_returned) {
            (true, _) => Some(false),
            (false, Some(_)) => Some(true),
            (false, None) => None,
        };
        let measured = Measured {
            main,
            metrics,
            passed,
            error,
            ..Measured::default()
        };
        self.lineage.evaluate(subject, measured)
    }

    fn ancestors(&mut self, ids: impl Iterator<Item = String>) -> Result<Vec<Seq>> {
        let mut found = Vec::new();
        for id in ids {
            found.extend(self.lineage.ancestor(&id)?.map(|(seq, _)| seq));
        }
        Ok(found)
    }

    /// The code of a program that is in the file.
    fn code_of(&mut self, id: Option<&str>) -> Result<Option<String>> {
        let Some(place) = id.and_then(|id| self.lineage.place(id)) else {
            return Ok(None);
        };
        let Some(text) = self.line(place)?.map(tolerant) else {
            return Ok(None);
        };
        Ok(Object::read(&text).ok().and_then(|o| o.peek_text("code")))
    }

    /// The state of the run. Of what it holds, answers of models that could not be applied become failed actions.
    fn run(&mut self, stand: &Stand) -> Result<()> {
        let text = self.again.line(stand.start, stand.end)?.map(tolerant);
        let Some(mut run) = text.as_deref().and_then(|text| Object::read(text).ok()) else {
            self.lineage.sink.lose("changed_while_read");
            return Ok(());
        };
        run.take("kind");
        if let Some(mut state) = run.object(self.lineage.sink, "evolve_state") {
            for raw in state.take("errors").and_then(array).unwrap_or_default() {
                match Object::read(raw.get()) {
                    Ok(error) => self.attempt(error, stand)?,
                    Err(_) => self.lineage.sink.lose("run:errors"),
                }
            }
            state.rest_by_size(self.lineage.sink, "run");
        }
        run.rest_by_size(self.lineage.sink, "run");
        Ok(())
    }

    /// A model's answer that could not be applied: nothing changed, but it was tried.
    fn attempt(&mut self, mut error: Object<'_>, stand: &Stand) -> Result<()> {
        let sink = &mut *self.lineage.sink;
        let motive = error.text(sink, "motive");
        let of_prompt = motive
            .as_deref()
            .is_some_and(|m| m.ends_with("meta_prompt"));
        let (answer, parent, part) = match of_prompt {
            true => ("prompt_diff", "parent_prompt", Part::Prompt),
            false => ("sol_diff", "parent_sol", Part::Code),
        };
        let answer = error.text(sink, answer);
        let message = error.text(sink, "error_msg");
        let tool = id(sink, motive.as_deref().unwrap_or("unnamed"))?;
        let mut parents = Vec::new();
        for key in ["parent_prompt", "parent_sol"] {
            if let Some(program) = error.object(sink, key)
                && let Some(id) = program.peek_text("id")
            {
                parents.push((key == parent, id));
            }
        }
        // The epoch is a number of the run, which the record has no place for.
        error.rest(sink, "error");
        let mut causes = Vec::new();
        // What it was to change comes first.
        parents.sort_by_key(|(is_parent, _)| !is_parent);
        for (_, id) in parents {
            causes.extend(self.lineage.ancestor(&id)?.map(|(seq, _)| seq));
        }
        let mut why = Why {
            summary: None,
            reasoning: answer,
            provenance: Some(self.provenance(stand)),
        };
        let (rationale, words) = lineage::rationale(&mut why)?;
        let body = Action {
            tool,
            class: Some(Class::Write),
            effects: None,
            parts: Some(Set::of(vec![part])?),
            rationale: Some(rationale),
            verdict: None,
        };
        let mut event = Event::new(agent(Id::new(SYSTEM)?, None), body);
        event.content = words;
        event.causes = causes;
        let Some(action) = self.lineage.sink.put(event)? else {
            return Ok(());
        };
        let body = Outcome {
            exit: None,
            signal: None,
            usage: None,
            of: Some(action),
            status: Status::Failed,
            matched: None,
            stop: None,
        };
        let mut event = Event::new(self.lineage.system()?, body);
        if let Some(message) = message {
            event = event.with(Field::Error, message);
        }
        event.causes = vec![action];
        self.lineage.sink.put(event)?;
        Ok(())
    }
}
