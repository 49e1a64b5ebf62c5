//! Lineages of others become records, and a second reader counts what the importers made of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tacho_recorder::audit::{Question, audit};
use tacho_recorder::import::{Format, Imported, Known, Request, import};
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::read::{Shown, View};
use tacho_recorder::{Error, ErrorKind, LogDir, Reader, SystemClock, keys};
use tacho_schemas::body::change::{Change, Evaluation, Fate, Generation, Mutation};
use tacho_schemas::body::{Body, Part, RationaleSource};
use tacho_schemas::canon;
use tacho_schemas::content::{Field, MAX_ROW, Provenance};
use tacho_schemas::record::{ActorType, Role};
use tacho_schemas::{Hash, Kind, Origin, Seq};

/// A log that is imported into.
struct Place {
    log: Option<Log>,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let identity = keys::generate().unwrap();
        let beginning = Beginning {
            path: &path,
            origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
            identity: &identity,
            predecessor: None,
        };
        let options = Options::new(Arc::new(SystemClock::new().unwrap()), "test").for_import();
        let log = Some(Log::create(beginning, options).unwrap());
        Self { log, dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Writes a file beside the log.
    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn request(&self, request: &Request) -> Result<Imported, Error> {
        self.watched(request, &mut |_, _| ())
    }

    fn watched(
        &self,
        request: &Request,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Imported, Error> {
        let reader = Reader::open(&LogDir::open_to_read(&self.path())?)?;
        let view = View::new(&reader)?;
        let log = self.log.as_ref().unwrap();
        import(log, &view, request, &mut Known::default(), progress)
    }

    fn import(&self, path: &Path, format: Option<Format>) -> Result<Imported, Error> {
        self.request(&asked(path, format))
    }

    /// Closes the log, verifies it, and reads all records of an import.
    fn records(mut self, imported: &Imported) -> Vec<Shown> {
        self.log.take().unwrap().close().unwrap();
        let dir = LogDir::open(&self.path()).unwrap();
        let report = audit(&dir, &Question::default(), |_, _| ()).unwrap();
        assert!(report.has_integrity(), "{report:#?}");
        drop(dir);
        let reader = Reader::open(&LogDir::open_to_read(&self.path()).unwrap()).unwrap();
        let view = View::new(&reader).unwrap();
        let mut records = Vec::new();
        let (open, close) = imported.records;
        view.records(open.0..close.0 + 1, |shown| {
            assert!(shown.doubts.is_empty(), "{:?}", shown.doubts);
            records.push(shown);
            Ok::<(), Error>(())
        })
        .unwrap();
        records
    }
}

fn asked(path: &Path, format: Option<Format>) -> Request {
    Request {
        path: path.to_owned(),
        format,
        range: None,
        again: false,
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/lineages")
        .join(name)
}

fn imported(path: &Path, format: Option<Format>) -> (Imported, Graph) {
    let place = Place::new();
    let imported = place.import(path, format).unwrap();
    let records = place.records(&imported);
    (imported, Graph::of(&records))
}

/// What the records say, by number and by the source's ids.
#[derive(Default)]
struct Graph {
    generations: BTreeMap<Seq, (Generation, Row)>,
    mutations: BTreeMap<Seq, (Mutation, Row)>,
    evaluations: Vec<(Evaluation, Row)>,
    kinds: BTreeMap<Kind, u64>,
}

/// The texts of a record, its artefacts' roles and paths, and who acted.
struct Row {
    text: BTreeMap<Field, String>,
    provenance: Option<Provenance>,
    roles: Vec<Role>,
    actor: (ActorType, String, Option<String>),
    start: Option<i64>,
    causes: Vec<Seq>,
}

impl Row {
    fn of(shown: &Shown) -> Self {
        let record = shown.meaning.as_ref().unwrap();
        let fields = record.kind.fields().iter();
        let text = fields.filter_map(|field| Some((*field, shown.text(*field)?.to_owned())));
        let provenance = shown.row.text(Field::Provenance);
        Self {
            text: text.collect(),
            provenance: provenance.map(|bytes| canon::decode(bytes, MAX_ROW).unwrap()),
            roles: record.artefacts().iter().map(|a| a.role).collect(),
            actor: (
                record.actor.actor_type,
                record.actor.id.to_string(),
                record.actor.model.as_ref().map(ToString::to_string),
            ),
            start: record
                .claimed
                .as_ref()
                .and_then(|c| c.start)
                .map(|time| time.0),
            causes: record.causes().to_vec(),
        }
    }

    fn get(&self, field: Field) -> &str {
        self.text.get(&field).map_or("", String::as_str)
    }
}

impl Graph {
    fn of(records: &[Shown]) -> Self {
        let mut graph = Self::default();
        for shown in records {
            let record = shown.meaning.as_ref().unwrap();
            *graph.kinds.entry(record.kind).or_default() += 1;
            let row = Row::of(shown);
            match &record.body {
                Body::Generation(body) => {
                    graph.generations.insert(shown.seq, ((**body).clone(), row));
                }
                Body::Mutation(body) => {
                    graph.mutations.insert(shown.seq, ((**body).clone(), row));
                }
                Body::Evaluation(body) => graph.evaluations.push(((**body).clone(), row)),
                _ => {}
            }
        }
        // One lineage, named by its first generation.
        let first = graph.generations.keys().next().copied();
        for (seq, (body, _)) in &graph.generations {
            assert_eq!(body.lineage, first.filter(|first| first != seq));
        }
        graph
    }

    fn source_id(&self, seq: Seq) -> &str {
        self.generations[&seq].1.get(Field::SourceId)
    }

    fn with_fate(&self, fate: Fate) -> BTreeSet<&str> {
        self.generations
            .values()
            .filter(|(body, _)| body.fate == fate)
            .map(|(_, row)| row.get(Field::SourceId))
            .collect()
    }

    /// Child and parent, by the source's ids.
    fn edges(&self, inspirations: bool) -> BTreeSet<(String, String)> {
        let mut edges = BTreeSet::new();
        for (body, row) in self.generations.values() {
            let list = if inspirations {
                body.inspirations.as_ref().map(|l| l.as_slice())
            } else {
                body.parents.as_ref().map(|l| l.as_slice())
            };
            for seq in list.unwrap_or_default() {
                let child = row.get(Field::SourceId).to_owned();
                edges.insert((child, self.source_id(*seq).to_owned()));
            }
        }
        edges
    }

    fn with_rationale(&self, source: RationaleSource) -> usize {
        self.mutations
            .values()
            .filter(|(body, _)| body.rationale.as_ref().unwrap().source == source)
            .count()
    }

    fn evaluation_of(&self, id: &str) -> &(Evaluation, Row) {
        self.evaluations
            .iter()
            .find(|(body, _)| body.subject.is_some_and(|seq| self.source_id(seq) == id))
            .unwrap()
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

fn one(losses: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    losses.iter().map(|(what, n)| (what.as_str(), *n)).collect()
}

#[test]
fn islands_of_codeevolve_become_what_their_files_say() {
    for (name, prompts, solutions, failed, explained) in [
        ("codeevolve/island1.jsonl", 28, 104, 50, 130),
        ("codeevolve/island3.jsonl", 23, 102, 61, 123),
    ] {
        let path = fixture(name);
        let bytes = std::fs::read(&path).unwrap();
        let lines: Vec<&str> = std::str::from_utf8(&bytes).unwrap().lines().collect();
        let run: Value = serde_json::from_str(lines[0]).unwrap();
        let programs: Vec<Value> = lines[1..]
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let (imported, graph) = imported(&path, None);
        assert_eq!(imported.format, Format::CodeEvolve);
        assert!(imported.guessed.is_some());

        // As many as the description of the data says, and as many as the file holds.
        assert_eq!(programs.len(), prompts + solutions);
        assert_eq!(graph.generations.len(), programs.len());
        assert_eq!(graph.mutations.len(), programs.len());
        assert_eq!(graph.evaluations.len(), programs.len());
        let of_part = |part| {
            let parts = |m: &Mutation| m.parts.as_ref().unwrap().as_slice().to_vec();
            let all = graph.mutations.values();
            all.filter(|(m, _)| parts(m) == [part]).count()
        };
        assert_eq!(of_part(Part::Prompt), prompts);
        assert_eq!(of_part(Part::Code), solutions);

        let ids = |keep: &dyn Fn(&Value) -> bool| -> BTreeSet<&str> {
            let kept = programs.iter().filter(|p| keep(p));
            kept.map(|p| text(p, "id").unwrap()).collect()
        };
        let lives = |p: &Value| p["alive"].as_bool().unwrap();
        let errs = |p: &Value| !p["error"].is_null();
        assert_eq!(graph.with_fate(Fate::Alive), ids(&lives));
        assert_eq!(graph.with_fate(Fate::Failed), ids(&errs));
        assert_eq!(graph.with_fate(Fate::Failed).len(), failed);
        assert_eq!(
            graph.with_fate(Fate::Evicted),
            ids(&|p| !lives(p) && !errs(p))
        );
        assert!(graph.with_fate(Fate::Missing).is_empty());

        let edges = |keys: &[&str]| -> BTreeSet<(String, String)> {
            let mut edges = BTreeSet::new();
            for program in &programs {
                let id = text(program, "id").unwrap().to_owned();
                for key in keys {
                    let named = match &program[*key] {
                        Value::Array(ids) => ids.iter().collect(),
                        one => vec![one],
                    };
                    for name in named.into_iter().filter_map(Value::as_str) {
                        edges.insert((id.clone(), name.to_owned()));
                    }
                }
            }
            edges
        };
        assert_eq!(graph.edges(false), edges(&["parent_id"]));
        assert_eq!(graph.edges(true), edges(&["prompt_id", "inspiration_ids"]));

        assert_eq!(graph.with_rationale(RationaleSource::Transcript), explained);
        assert_eq!(graph.with_rationale(RationaleSource::Absent), 2);
        let mut seen = 0;
        for (seq, (generation, row)) in &graph.generations {
            let id = row.get(Field::SourceId);
            let (line, program) = lines[1..]
                .iter()
                .zip(&programs)
                .find(|(_, p)| text(p, "id") == Some(id))
                .unwrap();
            let mutations = generation.mutations.as_ref().unwrap().as_slice();
            let [mutation] = mutations else {
                panic!("{mutations:?}")
            };
            assert!(mutation < seq && row.causes.contains(mutation));
            let (mutation, why) = &graph.mutations[mutation];
            assert_eq!(why.get(Field::SourceId), id);
            assert_eq!(
                why.get(Field::Reasoning),
                text(program, "model_msg").unwrap_or("")
            );
            let creates = program["parent_id"].is_null();
            let change = if creates {
                Change::Create
            } else {
                Change::Modify
            };
            assert_eq!(mutation.change, change);
            let roles: &[Role] = if creates {
                &[Role::After, Role::Diff]
            } else {
                &[Role::Before, Role::After, Role::Diff]
            };
            assert_eq!(why.roles, roles);
            assert!(mutation.added.unwrap() + mutation.removed.unwrap() > 0);
            let model = program["model_id"].as_u64().map(|n| format!("model-{n}"));
            assert_eq!(why.actor.2, model);
            if let Some(provenance) = &why.provenance {
                let upto = &bytes[..usize::try_from(provenance.offset).unwrap()];
                assert!(upto.ends_with(format!("{line}\n").as_bytes()));
                assert_eq!(
                    provenance.prefix_blake3,
                    Hash(*blake3::hash(upto).as_bytes())
                );
                seen += 1;
            }
            let code = text(program, "code").unwrap();
            assert_eq!(
                row.get(Field::Digest),
                blake3::hash(code.as_bytes()).to_string()
            );
            assert_eq!(row.roles, [Role::Part]);
            assert_eq!(generation.ordinal, program["generation"].as_u64());
            let island = format!("island-{}", program["island_found"]);
            assert_eq!(generation.branch.as_ref().unwrap().as_str(), island);

            // Digit by digit as the file has it.
            let (evaluation, said) = graph.evaluation_of(id);
            let written = line.split("\"fitness\": ").nth(1).unwrap();
            let written = written.split([',', '}']).next().unwrap();
            let main = evaluation.main.as_ref().unwrap();
            assert_eq!(
                (main.metric.as_str(), main.score.as_str()),
                ("fitness", written)
            );
            let others = evaluation
                .metrics
                .as_ref()
                .map_or(0, |m| m.as_slice().len());
            assert_eq!(others, program["eval_metrics"].as_object().unwrap().len());
            let passed = program["returncode"].as_i64().map(|code| code == 0);
            assert_eq!(evaluation.passed, passed);
            assert_eq!(said.get(Field::Error), text(program, "error").unwrap_or(""));
        }
        assert_eq!(seen, explained);

        // What models answered and could not be applied.
        let state = &run["evolve_state"];
        let tried = state["errors"].as_array().unwrap().len();
        assert_eq!(graph.kinds[&Kind::Action], tried as u64);
        assert_eq!(graph.kinds[&Kind::Outcome], tried as u64);

        let mut losses: BTreeMap<String, u64> = BTreeMap::new();
        for value in [&run, state] {
            for (key, value) in value.as_object().unwrap() {
                let size = value.as_array().map_or(1, Vec::len) as u64;
                losses.insert(format!("run:{key}"), size);
            }
        }
        for used in ["run:kind", "run:evolve_state", "run:errors"] {
            losses.remove(used);
        }
        let migrants = programs
            .iter()
            .filter(|p| p["has_migrated"] == true)
            .count();
        losses.insert("field:has_migrated".to_owned(), migrants as u64);
        losses.insert("error:epoch".to_owned(), tried as u64);
        assert_eq!(imported.losses, losses, "{name}");
    }
}

#[test]
fn a_checkpoint_of_openevolve_becomes_what_its_files_say() {
    let path = fixture("openevolve/checkpoint_90");
    let mut programs = BTreeMap::new();
    for entry in std::fs::read_dir(path.join("programs")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let program: Value = serde_json::from_slice(&bytes).unwrap();
        programs.insert(text(&program, "id").unwrap().to_owned(), (program, bytes));
    }
    let metadata: Value =
        serde_json::from_slice(&std::fs::read(path.join("metadata.json")).unwrap()).unwrap();
    let (imported, graph) = imported(&path, None);
    assert_eq!(imported.format, Format::OpenEvolve);
    assert!(imported.guessed.is_some());

    let parents: BTreeSet<&str> = programs
        .values()
        .filter_map(|(p, _)| text(p, "parent_id"))
        .collect();
    let members = members_of(&metadata);
    let members: BTreeSet<&str> = members.iter().map(String::as_str).collect();
    let there: BTreeSet<&str> = programs.keys().map(String::as_str).collect();
    let gone: BTreeSet<&str> = parents.difference(&there).copied().collect();
    let missing: BTreeSet<&str> = parents
        .union(&members)
        .filter(|id| !there.contains(*id))
        .copied()
        .collect();
    assert_eq!((programs.len(), gone.len()), (60, 3));
    assert_eq!(graph.with_fate(Fate::Missing), missing);
    assert_eq!(graph.with_fate(Fate::Alive), there);
    assert_eq!(graph.generations.len(), there.len() + missing.len());
    assert_eq!(graph.mutations.len(), there.len());
    assert_eq!(graph.evaluations.len(), there.len() + gone.len());
    let edges: BTreeSet<(String, String)> = programs
        .iter()
        .map(|(id, (p, _))| (id.clone(), text(p, "parent_id").unwrap().to_owned()))
        .collect();
    assert_eq!(graph.edges(false), edges);
    // One dropped parent ran out of time, as its child says.
    let timed_out: Vec<_> = graph
        .evaluations
        .iter()
        .filter(|(body, _)| body.passed == Some(false))
        .collect();
    let [(late, said)] = timed_out[..] else {
        panic!("{}", timed_out.len())
    };
    assert!(gone.contains(graph.source_id(late.subject.unwrap())));
    assert_eq!(said.get(Field::Error), "timeout");
    // Four children of dropped parents.
    assert_eq!(
        edges
            .iter()
            .filter(|(_, p)| gone.contains(p.as_str()))
            .count(),
        4
    );
    assert_eq!(graph.with_rationale(RationaleSource::Transcript), 60);
    for (mutation, row) in graph.mutations.values() {
        let (program, bytes) = &programs[row.get(Field::SourceId)];
        assert_eq!(row.get(Field::Summary), "Full rewrite");
        let answer = &program["prompts"]["full_rewrite_user"]["responses"][0];
        assert_eq!(row.get(Field::Reasoning), answer.as_str().unwrap());
        let provenance = row.provenance.as_ref().unwrap();
        assert_eq!(provenance.offset, bytes.len() as u64);
        assert_eq!(
            provenance.prefix_blake3,
            Hash(*blake3::hash(bytes).as_bytes())
        );
        let known = there.contains(text(program, "parent_id").unwrap());
        assert_eq!(mutation.added.is_some(), known);
        assert_eq!(row.roles.contains(&Role::Diff), known);
        assert_eq!(row.roles.iter().filter(|r| **r == Role::Input).count(), 2);
        let time = program["timestamp"].as_f64().unwrap();
        assert!((row.start.unwrap() as f64 / 1e9 - time).abs() < 1e-5);
    }
    for (id, (program, bytes)) in &programs {
        let (evaluation, _) = graph.evaluation_of(id);
        let written = std::str::from_utf8(bytes).unwrap();
        let written = written.split("\"metrics\": {").nth(1).unwrap();
        let written = written.split("\"combined_score\": ").nth(1).unwrap();
        let written = written.split([',', '}']).next().unwrap().trim();
        assert_eq!(evaluation.main.as_ref().unwrap().score.as_str(), written);
        let count = program["metrics"].as_object().unwrap().len() - 1 + 2;
        assert_eq!(evaluation.metrics.as_ref().unwrap().as_slice().len(), count);
        assert_eq!(evaluation.passed, None);
    }
    assert_eq!(
        one(&imported.losses),
        [
            ("file:best_program_info.json", 1),
            ("metadata:best_program_id", 1),
            ("metadata:current_island", 1),
            ("metadata:feature_map", 7),
            ("metadata:island_generations", 4),
            ("metadata:last_iteration", 1),
            ("metadata:last_migration_generation", 1),
            ("on_two_islands", 1),
        ]
    );
    for name in ["openevolve/checkpoint_10", "openevolve/checkpoint_50"] {
        let path = fixture(name);
        let metadata = std::fs::read(path.join("metadata.json")).unwrap();
        let members = members_of(&serde_json::from_slice(&metadata).unwrap());
        let (imported, graph) = self::imported(&path, None);
        let missing = graph.with_fate(Fate::Missing);
        assert_eq!(missing, members.iter().map(String::as_str).collect());
        assert_eq!(graph.generations.len(), members.len());
        assert_eq!(imported.counts[&Kind::Generation], members.len() as u64);
        assert!(graph.mutations.is_empty() && graph.evaluations.is_empty());
    }
}

/// The ids on islands and in the archive.
fn members_of(metadata: &Value) -> BTreeSet<String> {
    let islands = metadata["islands"].as_array().unwrap().iter();
    let ids = islands
        .chain([&metadata["archive"]])
        .flat_map(|list| list.as_array().unwrap());
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn archives_of_adas_become_what_their_files_say() {
    for (name, skipped) in [("arc", 3), ("drop", 4), ("mgsm", 1), ("mmlu", 3)] {
        let path = fixture(&format!("adas/{name}_gpt3.5_results.json"));
        let bytes = std::fs::read(&path).unwrap();
        let designs: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
        let (imported, graph) = imported(&path, None);
        assert_eq!(imported.format, Format::Adas);
        assert_eq!(graph.generations.len(), designs.len());
        assert_eq!(graph.mutations.len(), designs.len());
        assert_eq!(graph.evaluations.len(), designs.len() * 2);
        assert_eq!(
            graph.with_rationale(RationaleSource::Transcript),
            designs.len()
        );
        assert!(graph.edges(false).is_empty() && graph.edges(true).is_empty());
        let initial = |d: &Value| d["generation"] == "initial";
        let made = designs.iter().filter(|d| !initial(d)).count();
        let mut losses = vec![("parents_not_stated", made as u64)];
        losses.insert(0, ("generation_not_in_file", skipped));
        assert_eq!(one(&imported.losses), losses, "{name}");
        let rows = graph.generations.iter().zip(graph.mutations.values());
        for (design, ((seq, (generation, row)), (mutation, why))) in designs.iter().zip(rows) {
            assert_eq!(row.get(Field::Name), text(design, "name").unwrap());
            assert_eq!(generation.ordinal, design["generation"].as_u64());
            assert_eq!(mutation.change, Change::Create);
            if let Some(thought) = text(design, "thought") {
                assert_eq!(why.get(Field::Reasoning), thought);
            } else {
                let kept: Value = serde_json::from_str(why.get(Field::Reasoning)).unwrap();
                assert_eq!(kept, design["thought"]);
            }
            let by = if initial(design) {
                ActorType::System
            } else {
                ActorType::Agent
            };
            assert_eq!(why.actor.0, by);
            let provenance = why.provenance.as_ref().unwrap();
            let upto = &bytes[..usize::try_from(provenance.offset).unwrap()];
            assert!(upto.ends_with(b"}"));
            assert_eq!(
                provenance.prefix_blake3,
                Hash(*blake3::hash(upto).as_bytes())
            );
            let own: Vec<_> = graph
                .evaluations
                .iter()
                .filter(|(e, _)| e.subject == Some(*seq))
                .collect();
            let [(selected, _), (tested, _)] = own[..] else {
                panic!("{}", own.len())
            };
            // Put together again, the numbers are the source's text.
            let metrics = selected.metrics.as_ref().unwrap().as_slice();
            let again = |low: &str, high: &str, median: &str| {
                format!("95% Bootstrap Confidence Interval: ({low}%, {high}%), Median: {median}%")
            };
            let main = selected.main.as_ref().unwrap();
            assert_eq!(main.metric.as_str(), "fitness-median-percent");
            let [low, high] = metrics else {
                panic!("{metrics:?}")
            };
            assert_eq!(low.metric.as_str(), "fitness-ci95-low-percent");
            assert_eq!(
                again(low.score.as_str(), high.score.as_str(), main.score.as_str()),
                text(design, "fitness").unwrap()
            );
            let metrics = tested.metrics.as_ref().unwrap().as_slice();
            let [median, low, high] = metrics else {
                panic!("{metrics:?}")
            };
            assert!(tested.main.is_none());
            assert_eq!(
                again(
                    low.score.as_str(),
                    high.score.as_str(),
                    median.score.as_str()
                ),
                text(design, "test_fitness").unwrap()
            );
        }
    }
}

#[test]
fn what_was_imported_before_is_refused_with_its_records() {
    for name in [
        "adas/arc_gpt3.5_results.json",
        "codeevolve/island3.jsonl",
        "openevolve/checkpoint_10",
    ] {
        let place = Place::new();
        let path = fixture(name);
        let first = place.import(&path, None).unwrap();
        let error = place.import(&path, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        let (open, close) = first.records;
        let said = format!("as records {open} to {close}");
        assert!(error.to_string().ends_with(&said), "{error}");
        let again = Request {
            again: true,
            ..asked(&path, None)
        };
        assert_eq!(place.request(&again).unwrap().losses, first.losses);
        place.records(&first);
    }
}

#[test]
fn every_file_under_every_wrong_importer_is_refused_or_counted() {
    let place = Place::new();
    let mut last = None;
    for name in [
        "adas/drop_gpt3.5_results.json",
        "adas/LICENSE",
        "codeevolve/island3.jsonl",
        "openevolve/checkpoint_10",
        "openevolve/checkpoint_10/metadata.json",
        "openevolve/checkpoint_90/programs/0cb69f79-6fdc-4caf-8a52-3a7a1bb654e6.json",
        "README.md",
        "",
    ] {
        for (format_name, format, _) in Format::ALL {
            let request = Request {
                again: true,
                ..asked(&fixture(name), Some(*format))
            };
            let made: BTreeSet<Kind> = match place.request(&request) {
                Err(error) => {
                    assert_eq!(
                        error.kind(),
                        ErrorKind::Usage,
                        "{name} as {format_name}: {error}"
                    );
                    continue;
                }
                Ok(imported) => {
                    let made = imported.counts.keys().copied().collect();
                    if !imported.losses.is_empty() {
                        last = Some(imported);
                    }
                    made
                }
            };
            let right = name.starts_with(format_name.replace("claude-code", "-").as_str());
            assert!(
                right || made.is_empty(),
                "{name} as {format_name}: {made:?}"
            );
        }
    }
    place.records(&last.unwrap());
}

/// A line of CodeEvolve.
fn program(id: &str, parent: Option<&str>) -> String {
    let parent = parent.map_or("null".to_owned(), |p| format!("\"{p}\""));
    format!(
        r#"{{"kind": "solution", "id": "{id}", "code": "x = {id}\n", "parent_id": {parent}, "fitness": 0.5, "alive": true, "returncode": 0, "model_msg": "since {id}", "model_id": 0}}"#
    )
}

#[test]
fn bad_lines_are_counted_and_the_rest_is_kept() {
    let good = program("a", None);
    let bomb = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let surrogate = good.replace("since a", r"since \ud83d");
    let odd = good.replace(
        "\"fitness\": 0.5",
        "\"fitness\": NaN, \"eval_metrics\": {\"x\": -Infinity, \"y\": 1e400, \"z\": true}",
    );
    for (name, text, generations, losses) in [
        ("torn", format!("{good}\n{}", program("b", Some("a")).get(..60).unwrap()), 1, vec![("line_torn", 1)]),
        ("crlf", format!("{good}\r\n{}\r\n", program("b", Some("a"))), 2, vec![]),
        ("bom", format!("\u{feff}{good}\n{}", program("b", Some("a"))), 2, vec![]),
        ("empty", String::new(), 0, vec![]),
        ("blank", "\n\n \n".to_owned(), 0, vec![]),
        ("bomb", format!("{bomb}\n{good}\n"), 1, vec![("line_not_an_object", 1)]),
        (
            "bomb inside",
            format!("{}\n", good.replace("\"code\"", &format!("\"deep\": {bomb}, \"code\""))),
            1,
            vec![("field:deep", 1)],
        ),
        (
            "bomb for a number",
            format!("{}\n", good.replace("0.5", &bomb)),
            1,
            vec![("not_a_number:fitness", 1)],
        ),
        (
            "keys twice",
            format!("{}\n", good.replace("\"alive\": true", "\"alive\": 7, \"alive\": true")),
            1,
            vec![("key_repeated", 1)],
        ),
        (
            "ids twice",
            format!("{good}\n{}\n{good}\n", program("b", Some("a"))),
            2,
            vec![("id_repeated", 1)],
        ),
        (
            "circle",
            format!("{}\n{}\n{}\n", program("a", Some("c")), program("b", Some("a")), program("c", Some("b"))),
            3,
            vec![("cycle", 1)],
        ),
        ("own parent", format!("{}\n", program("a", Some("a"))), 1, vec![("cycle", 1)]),
        // Two children name one parent that is not there.
        ("orphans", format!("{}\n{}\n", program("b", Some("a")), program("c", Some("a"))), 3, vec![]),
        ("children first", format!("{}\n{}\n{good}\n", program("c", Some("b")), program("b", Some("a"))), 3, vec![]),
        ("half a pair", format!("{surrogate}\n"), 1, vec![]),
        ("no number", format!("{odd}\n"), 1, vec![("not_a_number:z", 1)]),
        (
            "strange",
            "1\n\"x\"\n{}\n{\"kind\": \"new\"}\n{\"kind\": \"prompt\"}\n{x}\n".to_owned(),
            0,
            vec![
                ("line:new", 1),
                ("line_not_an_object", 2),
                ("line_not_json", 1),
                ("line_without_kind", 1),
                ("program_without_id", 1),
            ],
        ),
        (
            "wrong types",
            "{\"kind\": \"prompt\", \"id\": \"a\", \"code\": 7, \"alive\": \"no\", \"generation\": -1, \"error\": [], \"parent_id\": {}}\n".to_owned(),
            1,
            vec![
                ("fate_not_stated", 1),
                ("malformed:alive", 1),
                ("malformed:code", 1),
                ("malformed:error", 1),
                ("malformed:generation", 1),
                ("malformed:parent_id", 1),
                ("program_without_code", 1),
            ],
        ),
    ] {
        let place = Place::new();
        let path = place.file("lineage.jsonl", &text);
        let imported = place.import(&path, Some(Format::CodeEvolve)).unwrap();
        assert_eq!(one(&imported.losses), losses, "{name}");
        let graph = Graph::of(&place.records(&imported));
        assert_eq!(graph.generations.len(), generations, "{name}");
        match name {
            "circle" => assert_eq!(graph.edges(false).len(), 2),
            "orphans" => {
                assert_eq!(graph.with_fate(Fate::Missing), BTreeSet::from(["a"]));
                assert_eq!(graph.edges(false).len(), 2);
            }
            "children first" => assert_eq!(graph.edges(false).len(), 2),
            "half a pair" => {
                let (_, row) = graph.mutations.values().next().unwrap();
                assert!(row.get(Field::Reasoning).starts_with("since \u{fffd}"));
            }
            "no number" => {
                let (evaluation, _) = &graph.evaluations[0];
                let main = evaluation.main.as_ref().unwrap();
                assert_eq!(main.score.as_str(), "NaN");
                assert!(!main.score.is_finite());
                let metrics = evaluation.metrics.as_ref().unwrap().as_slice();
                let written: Vec<_> = metrics.iter().map(|m| m.score.as_str()).collect();
                assert_eq!(written, ["-Infinity", "1e400"]);
            }
            _ => {}
        }
    }
}

#[test]
fn what_is_no_plain_text_file_is_refused_before_anything_is_recorded() {
    let place = Place::new();
    let utf16: Vec<u8> = "\u{feff}{\"kind\": 1}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let fifo = place.dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let folder = place.dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    for (path, said) in [
        (place.file("utf16", utf16), "is in UTF-16"),
        (
            place.file("gzip", [0x1f, 0x8b, 8, 0]),
            "is compressed with gzip",
        ),
        (fifo, "is not a plain file"),
        (folder, "is a directory"),
    ] {
        for format in [Format::Adas, Format::ClaudeCode, Format::CodeEvolve] {
            let error = place.import(&path, Some(format)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().ends_with(said), "{error}");
        }
        assert!(place.import(&path, None).is_err());
        assert!(place.import(&path, Some(Format::OpenEvolve)).is_err());
        assert!(place.import(&path, Some(Format::Git)).is_err());
    }
    let gone = place.dir.path().join("gone");
    for (_, format, _) in Format::ALL {
        assert!(place.import(&gone, Some(*format)).is_err());
    }
    let path = place.file("torn.json", "[{\"thought\": \"x\", \"code\": \"y\", \"fitn");
    let error = place.import(&path, Some(Format::Adas)).unwrap_err();
    assert!(error.to_string().contains("is not a JSON array of designs"));
    let path = place.file("last.jsonl", program("a", None));
    let last = place.import(&path, Some(Format::CodeEvolve)).unwrap();
    // Boot and genesis alone stand before it: no refused import left a record.
    assert_eq!(last.records.0, Seq(2));
    place.records(&last);
}

#[test]
fn a_file_that_grows_or_changes_while_it_is_read_does_no_harm() {
    let place = Place::new();
    let path = place.file("grows.jsonl", format!("{}\n", program("a", None)));
    let mut grown = false;
    let imported = place
        .watched(&asked(&path, Some(Format::CodeEvolve)), &mut |_, _| {
            if !std::mem::replace(&mut grown, true) {
                let mut file = std::fs::OpenOptions::new()
                    .append(true)
                    .open(&path)
                    .unwrap();
                writeln!(file, "{}", program("b", Some("a"))).unwrap();
            }
        })
        .unwrap();
    assert_eq!(imported.counts[&Kind::Generation], 1);
    let mut changed = false;
    let other = place.file("other.jsonl", format!("{}\n", program("z", None)));
    let imported = place
        .watched(&asked(&other, Some(Format::CodeEvolve)), &mut |_, _| {
            if !std::mem::replace(&mut changed, true) {
                std::fs::write(&other, "{}").unwrap();
            }
        })
        .unwrap();
    assert_eq!(one(&imported.losses), [("changed_while_read", 1)]);
    place.records(&imported);
}

#[test]
fn checkpoints_of_any_time_and_with_links_are_read() {
    let place = Place::new();
    place.file(
        "c/metadata.json",
        r#"{"islands": [["a", "b"], ["c"]], "archive": ["a"]}"#,
    );
    for (id, rest) in [
        ("a", r#""timestamp": 0.0, "metrics": {"combined_score": 1}"#),
        (
            "b",
            r#""timestamp": 4102444800.5, "parent_id": "a", "metadata": {"parent_metrics": {"combined_score": 2}}"#,
        ),
        (
            "d",
            r#""timestamp": "soon", "metrics": {"error": 0.0, "x": NaN}"#,
        ),
    ] {
        let text = format!(r#"{{"id": "{id}", "code": "{id}", {rest}}}"#);
        place.file(&format!("c/programs/{id}.json"), text);
    }
    place.file("c/programs/e.json", "{\"id\": ");
    let secret = place.file("secret.json", r#"{"id": "secret", "code": "secret"}"#);
    let path = place.dir.path().join("c");
    std::os::unix::fs::symlink(secret, path.join("programs/z.json")).unwrap();
    let imported = place.import(&path, None).unwrap();
    assert_eq!(
        one(&imported.losses),
        [
            ("parent_metrics_differ", 1),
            ("program_torn", 1),
            ("time_malformed", 1),
        ]
    );
    let graph = Graph::of(&place.records(&imported));
    assert_eq!(graph.with_fate(Fate::Alive), BTreeSet::from(["a", "b"]));
    assert_eq!(graph.with_fate(Fate::Failed), BTreeSet::from(["d"]));
    assert_eq!(graph.with_fate(Fate::Missing), BTreeSet::from(["c"]));
    let times: Vec<_> = graph.mutations.values().map(|(_, row)| row.start).collect();
    assert_eq!(times, [Some(0), Some(4_102_444_800_500_000_000), None]);
}

/// Runs git on our behalf, and returns what it prints.
fn git(path: &Path, args: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("git");
    command
        .env_remove("GIT_DIR")
        .envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Ann Author"),
            ("GIT_AUTHOR_EMAIL", "ann@example.org"),
            ("GIT_COMMITTER_NAME", "Carl"),
            ("GIT_COMMITTER_EMAIL", "carl@example.org"),
        ])
        .arg("-C")
        .arg(path)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {args:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A stream for `git fast-import`.
#[derive(Default)]
struct History {
    stream: Vec<u8>,
    mark: usize,
}

impl History {
    fn data(&mut self, bytes: &[u8]) {
        self.stream
            .extend(format!("data {}\n", bytes.len()).bytes());
        self.stream.extend(bytes);
        self.stream.push(b'\n');
    }

    fn commit(&mut self, branch: &str, message: &[u8], time: u64, merge: Option<&str>) {
        self.mark += 1;
        let head = format!(
            "commit refs/heads/{branch}\nmark :{}\nauthor Ann Author <ann@example.org> {time} +0100\ncommitter Carl <carl@example.org> {} +0000\n",
            self.mark,
            time + 60,
        );
        self.stream.extend(head.bytes());
        self.data(message);
        if let Some(merge) = merge {
            self.stream.extend(format!("merge {merge}\n").bytes());
        }
    }

    fn file(&mut self, mode: &str, path: &str, bytes: &[u8]) {
        self.stream
            .extend(format!("M {mode} inline {path}\n").bytes());
        self.data(bytes);
    }

    fn line(&mut self, line: &str) {
        self.stream.extend(format!("{line}\n").bytes());
    }

    fn into_repository(self, path: &Path, bare: bool) {
        std::fs::create_dir_all(path).unwrap();
        let init: &[&str] = if bare {
            &["init", "-q", "--bare", "-b", "main"]
        } else {
            &["init", "-q", "-b", "main"]
        };
        git(path, init, b"");
        git(path, &["fast-import", "--quiet"], &self.stream);
    }
}

#[test]
fn two_thousand_commits_become_generations() {
    let place = Place::new();
    let path = place.dir.path().join("repo");
    let mut history = History::default();
    for n in 0..2000_u64 {
        let branch = if n % 10 == 4 && n > 10 {
            "side"
        } else {
            "main"
        };
        let merge = (n % 10 == 6 && n > 20).then_some("refs/heads/side");
        let message = match n % 3 {
            0 => format!("Change {n}\n\nBecause of {n}.\nAnd more.\n"),
            1 => format!("Change {n}\n"),
            _ => String::new(),
        };
        history.commit(branch, message.as_bytes(), 1_000_000 * n, merge);
        if branch == "side" && n == 14 {
            history.line("from :14");
        }
        if n % 50 == 7 {
            continue; // An empty commit.
        }
        let lines: String = (0..20)
            .map(|k| format!("{k} {}\n", n * u64::from(k == n % 20)))
            .collect();
        history.file("100644", &format!("src/f{}.txt", n % 40), lines.as_bytes());
        match n % 100 {
            21 => history.file(
                "100644",
                "blob.bin",
                &[0, 1, 2, u8::try_from(n % 251).unwrap()],
            ),
            32 => history.file("100755", "run.sh", b"#!/bin/sh\n"),
            33 => history.file("100644", "run.sh", b"#!/bin/sh\n"),
            43 => history.file("120000", "link", format!("to-{n}").as_bytes()),
            52 => history.line("R src/f1.txt src/moved.txt"),
            55 => history.line("D src/f2.txt"),
            _ => {}
        }
    }
    history.into_repository(&path, true);
    let imported = place.import(&path, None).unwrap();
    assert_eq!(imported.format, Format::Git);
    assert!(imported.guessed.is_some());
    let commits: usize = git(&path, &["rev-list", "--count", "HEAD"], b"")
        .parse()
        .unwrap();
    let raw = git(
        &path,
        &[
            "log",
            "--diff-merges=first-parent",
            "--raw",
            "-M",
            "--root",
            "--format=",
            "HEAD",
        ],
        b"",
    );
    let parents = git(&path, &["rev-list", "--parents", "HEAD"], b"");
    let trees = git(&path, &["log", "--format=%H %T %ct %at", "HEAD"], b"");
    let numstat = git(
        &path,
        &[
            "log",
            "--diff-merges=first-parent",
            "--numstat",
            "--no-renames",
            "--root",
            "--format=",
            "HEAD",
            "--",
            "src/f7.txt",
        ],
        b"",
    );
    let records = place.records(&imported);
    for shown in &records {
        // Not the first name alone: three letters come up by chance among so many hashes.
        let bytes = String::from_utf8_lossy(&shown.bytes);
        assert!(!bytes.contains("Ann Author") && !bytes.contains("example.org"));
    }
    let graph = Graph::of(&records);
    assert!(commits > 1900);
    assert_eq!(graph.generations.len(), commits);
    assert_eq!(graph.mutations.len(), raw.lines().count());
    for (letter, change) in [
        ("A", Change::Create),
        ("D", Change::Delete),
        ("R", Change::Rename),
    ] {
        let counted = raw
            .lines()
            .filter(|line| line.split(' ').nth(4).unwrap().starts_with(letter));
        let made = graph.mutations.values().filter(|(m, _)| m.change == change);
        assert_eq!(made.count(), counted.count(), "{letter}");
    }
    assert!(
        graph
            .mutations
            .values()
            .any(|(m, _)| m.change == Change::Mode)
    );
    let mut edges = BTreeSet::new();
    for line in parents.lines() {
        let mut ids = line.split(' ');
        let child = ids.next().unwrap();
        edges.extend(ids.map(|parent| (child.to_owned(), parent.to_owned())));
    }
    assert!(edges.len() >= commits);
    assert_eq!(graph.edges(false), edges);
    let named: usize = graph
        .generations
        .values()
        .map(|(g, _)| g.mutations.as_ref().map_or(0, |m| m.as_slice().len()))
        .sum();
    assert_eq!(named, graph.mutations.len());
    for line in trees.lines() {
        let [id, tree, committed, authored] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (generation, row) = graph
            .generations
            .values()
            .find(|(_, row)| row.get(Field::SourceId) == id)
            .unwrap();
        assert_eq!(row.get(Field::Digest), tree);
        let nanos = |text: &str| text.parse::<i64>().unwrap() * 1_000_000_000;
        assert_eq!(row.start, Some(nanos(committed)));
        for seq in generation.mutations.iter().flat_map(|m| m.as_slice()) {
            let (_, why) = &graph.mutations[seq];
            assert_eq!(why.start, Some(nanos(authored)));
            assert_eq!(why.get(Field::Name), "Ann Author <ann@example.org>");
            assert!(why.actor.1.starts_with("git-author-"));
        }
    }
    let counted: u64 = numstat
        .lines()
        .map(|line| line.split('\t').next().unwrap().parse::<u64>().unwrap())
        .sum();
    let added = graph
        .mutations
        .values()
        .filter(|(_, row)| row.get(Field::Path) == "src/f7.txt");
    assert_eq!(added.map(|(m, _)| m.added.unwrap()).sum::<u64>(), counted);
    let binaries = raw.lines().filter(|line| line.ends_with("blob.bin"));
    let sides = binaries
        .map(|line| if line.contains(" A\t") { 1 } else { 2 })
        .sum::<u64>();
    assert_eq!(one(&imported.losses), [("blob_not_kept", sides)]);
}

#[test]
fn ranges_shallow_clones_and_what_is_no_repository() {
    let place = Place::new();
    let path = place.dir.path().join("repo");
    let mut history = History::default();
    for n in 0..5_u64 {
        history.commit("main", format!("c{n}").as_bytes(), n, None);
        history.file("100644", "a", format!("{n}\n").as_bytes());
    }
    history.into_repository(&path, false);
    let ranged = |range: &str| Request {
        range: Some(range.to_owned()),
        ..asked(&path, Some(Format::Git))
    };
    for (range, said) in [
        ("nowhere..main", "is not a range of commits"),
        ("--all", "is not a range of commits"),
        ("--output=/tmp/x", "is not a range of commits"),
        ("main main", "is not a range of commits"),
        ("", "is not a range of commits"),
        ("main..main", "there are no commits in"),
    ] {
        let error = place.request(&ranged(range)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{range}");
        assert!(error.to_string().contains(said), "{range}: {error}");
    }
    let error = place
        .request(&Request {
            range: Some("a..b".to_owned()),
            ..asked(&fixture("adas/arc_gpt3.5_results.json"), None)
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a range of commits is for git repositories"
    );
    let inside = path.join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::create_dir_all(place.dir.path().join("fake/.git")).unwrap();
    for other in [
        inside,
        place.dir.path().join("fake"),
        place.file("file", "x"),
    ] {
        let error = place.import(&other, Some(Format::Git)).unwrap_err();
        assert!(
            error.to_string().contains("is not a git repository"),
            "{error}"
        );
    }
    let empty = place.dir.path().join("empty");
    History::default().into_repository(&empty, false);
    let error = place.import(&empty, None).unwrap_err();
    assert!(error.to_string().ends_with("has no commits"), "{error}");

    let shallow = place.dir.path().join("shallow");
    let url = format!("file://{}", path.display());
    git(
        place.dir.path(),
        &[
            "clone",
            "-q",
            "--depth",
            "2",
            &url,
            shallow.to_str().unwrap(),
        ],
        b"",
    );
    let cut = place.import(&shallow, None).unwrap();
    assert_eq!(one(&cut.losses), [("changes_unknown_without_parent", 1)]);
    assert_eq!(cut.counts[&Kind::Generation], 3);
    assert_eq!(cut.counts[&Kind::Mutation], 1);
    let some = place.request(&ranged("main~3..main~1")).unwrap();
    assert_eq!(some.counts[&Kind::Generation], 3);
    assert_eq!(some.counts[&Kind::Mutation], 2);
    assert!(some.losses.is_empty());
    // The same commits under another name.
    let error = place.request(&ranged("main~3..HEAD~1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    let graph = Graph::of(&place.records(&some));
    assert_eq!(graph.with_fate(Fate::Missing).len(), 1);
    assert_eq!(graph.edges(false).len(), 2);
}

#[test]
fn a_hostile_repository_runs_nothing() {
    let place = Place::new();
    let path = place.dir.path().join("repo");
    let mark = place.dir.path().join("mark");
    let script = place.file("script", format!("#!/bin/sh\ntouch {}\n", mark.display()));
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let script = script.to_str().unwrap();
    let mut history = History::default();
    let mut odd = b"Subject\n\n".to_vec();
    odd.extend([0xff, 0xfe, b'\n']);
    history.commit("main", &odd, 1, None);
    history.file("100644", ".gitattributes", b"* diff=evil filter=evil\n");
    history.file("100644", "\"line\\nfeed\\377\"", b"1\n");
    history.file("100644", "big", "x\n".repeat(600_000).as_bytes());
    history.commit("main", b"two", 4_102_444_800, None);
    history.file("100644", "\"line\\nfeed\\377\"", b"2\n");
    history.line("M 160000 0123456789012345678901234567890123456789 module");
    for n in 0..300 {
        history.file("100644", &format!("many/{n}"), format!("{n}\n").as_bytes());
    }
    history.into_repository(&path, false);
    for setting in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.smudge",
        "filter.evil.clean",
        "credential.helper",
        "gpg.program",
        "alias.rev-list",
        "pager.rev-list",
    ] {
        git(&path, &["config", setting, script], b"");
    }
    for name in [
        "post-index-change",
        "reference-transaction",
        "post-checkout",
    ] {
        std::fs::copy(script, path.join(".git/hooks").join(name)).unwrap();
    }
    // A replacement that would hide the second commit's parent.
    let head = git(&path, &["rev-parse", "HEAD"], b"");
    let other = git(&path, &["commit-tree", "-m", "hidden", "HEAD^{tree}"], b"");
    git(
        &path,
        &["update-ref", &format!("refs/replace/{head}"), &other],
        b"",
    );
    let _ = std::fs::remove_file(&mark);

    let imported = place.import(&path, None).unwrap();
    assert!(!mark.exists());
    assert_eq!(
        one(&imported.losses),
        [
            ("blob_not_kept", 1),
            ("commit_not_utf8", 1),
            ("mutations_only_in_manifest", 46),
            ("path_not_utf8", 2),
            ("submodule", 1),
        ]
    );
    let graph = Graph::of(&place.records(&imported));
    assert_eq!(graph.generations.len(), 2);
    assert_eq!(graph.mutations.len(), 3 + 302);
    assert_eq!(graph.edges(false).len(), 1);
    let (last, row) = graph.generations.values().next_back().unwrap();
    assert_eq!(last.mutations.as_ref().unwrap().as_slice().len(), 256);
    assert_eq!(row.roles, [Role::Manifest]);
    assert_eq!(row.get(Field::Summary), "two");
    let strange = graph
        .mutations
        .values()
        .find(|(_, row)| row.get(Field::Path).contains('\n'));
    let (_, row) = strange.unwrap();
    assert_eq!(row.get(Field::Path), "line\nfeed\u{fffd}");
}
