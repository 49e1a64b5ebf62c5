//! What a call would do, as vectors: `fixtures/policy/shell.toml`, `paths.toml`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tacho_policy::classify::Classifier;
use tacho_policy::{Call, Classified, Json, Request, Resolver, classify};
use tacho_schemas::Id;
use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Effects};

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/policy");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// A disk with links and no files.
#[derive(Default)]
struct Disk {
    links: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

impl Resolver for Disk {
    fn resolve(&self, path: &str) -> Option<String> {
        let path = path.replace('~', "/home/me");
        let mut at = String::new();
        for name in path.split('/') {
            match name {
                "" | "." => {}
                ".." => at.truncate(at.rfind('/').unwrap_or(0)),
                name => {
                    at = format!("{at}/{name}");
                    if let Some(goal) = self.links.get(&at) {
                        at.clone_from(goal);
                    }
                }
            }
        }
        Some(at)
    }

    fn read(&self, resolved: &str) -> Option<Vec<u8>> {
        let text = self.files.get(resolved).cloned().unwrap_or_default();
        Some(text.into_bytes())
    }
}

fn call(tool: &str, input: &Json) -> Call {
    Call {
        agent: Id::new("me").unwrap(),
        cwd: "/w".to_owned(),
        harness: None,
        input: input.clone(),
        tool: Id::new(tool).unwrap(),
        workspace: "/w".to_owned(),
    }
}

fn input(fields: &[(&str, &str)]) -> Json {
    let fields = fields
        .iter()
        .map(|(n, v)| ((*n).to_owned(), Json::Text((*v).to_owned())));
    Json::Map(fields.collect())
}

fn changed(classified: &Classified) -> BTreeSet<String> {
    let targets = classified.targets.iter().filter(|t| t.access.changes());
    targets.map(|t| t.name().to_owned()).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    line: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    run: Option<String>,
    #[serde(default)]
    before: String,
    #[serde(default)]
    part: String,
    #[serde(default)]
    times: usize,
    #[serde(default)]
    after: String,
    class: Option<Class>,
    effects: Option<Effects>,
    #[serde(default)]
    parts: Vec<String>,
    #[serde(default)]
    writes: Vec<String>,
    #[serde(default)]
    reads: Vec<String>,
    exact: Option<bool>,
}

#[test]
fn shell_lines() {
    let lines: Lines = toml::from_str(&fixture("shell.toml")).unwrap();
    assert!(lines.line.len() > 100);
    let mut wrong = Vec::new();
    for line in &lines.line {
        let text = line.run.clone().unwrap_or_else(|| {
            format!(
                "{}{}{}",
                line.before,
                line.part.repeat(line.times),
                line.after
            )
        });
        let began = Instant::now();
        let call = call("Bash", &input(&[("command", &text)]));
        let got = classify(&call, &Disk::default());
        let took = began.elapsed();
        let shown: String = text.chars().take(70).collect();
        let mut differs = |what: &str, got: String, wanted: String| {
            if got != wanted {
                wrong.push(format!("{shown:?}\n    {what}: {got}, not {wanted}"));
            }
        };
        // A part with a star: it and others.
        let parts: BTreeSet<_> = got.parts.iter().map(|p| p.name()).collect();
        if let [some] = line.parts.as_slice()
            && let Some(one) = some.strip_suffix('*')
        {
            differs("parts", parts.contains(one).to_string(), "true".to_owned());
        } else {
            let wanted: BTreeSet<_> = line.parts.iter().map(String::as_str).collect();
            differs("parts", format!("{parts:?}"), format!("{wanted:?}"));
        }
        differs(
            "class",
            got.class.to_string(),
            line.class.unwrap_or(Class::Read).to_string(),
        );
        differs(
            "effects",
            format!("{} {:?}", got.effects, got.notes),
            format!("{} {:?}", line.effects.unwrap_or(Effects::Known), got.notes),
        );
        differs(
            "notes",
            got.notes.is_empty().to_string(),
            (got.effects != Effects::Unknown).to_string(),
        );
        for file in &line.writes {
            differs(
                file,
                changed(&got).contains(file).to_string(),
                "true".to_owned(),
            );
        }
        for file in &line.reads {
            let read = got
                .targets
                .iter()
                .any(|t| !t.access.changes() && t.name() == file);
            differs(file, read.to_string(), "true".to_owned());
        }
        if let Some(exact) = line.exact {
            let request = Request::of(&call, &got);
            differs("exact", request.is_exact().to_string(), exact.to_string());
        }
        // Far above what it takes, and far below what an exponent would.
        differs(
            "slow",
            (took > Duration::from_secs(5)).to_string(),
            "false".to_owned(),
        );
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paths {
    links: BTreeMap<String, String>,
    path: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    write: String,
    #[serde(default)]
    content: String,
    relative: Option<String>,
    #[serde(default)]
    outside: bool,
    #[serde(default)]
    parts: BTreeSet<Part>,
}

#[test]
fn paths() {
    let paths: Paths = toml::from_str(&fixture("paths.toml")).unwrap();
    let disk = Disk {
        links: paths.links,
        ..Disk::default()
    };
    let mut wrong = Vec::new();
    for row in &paths.path {
        let write = call(
            "Write",
            &input(&[("file_path", &row.write), ("content", &row.content)]),
        );
        let got = classify(&write, &disk);
        let target = got.targets.first().unwrap();
        let right = got.parts == row.parts
            && got.outside == row.outside
            && target.is_exact()
            && (row.relative.is_none() || target.relative == row.relative);
        if !right {
            wrong.push(format!(
                "{}: {:?} outside {} {target:?}",
                row.write, got.parts, got.outside
            ));
        }
        // The same through the shell.
        let quoted = row.write.replace('~', "$HOME");
        let line = call("Bash", &input(&[("command", &format!("cat x > {quoted}"))]));
        let shell = classify(&line, &disk);
        if shell.outside != row.outside || row.content.is_empty() && shell.parts != row.parts {
            wrong.push(format!("{} by shell: {:?}", row.write, shell.parts));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let parts: BTreeSet<_> = paths.path.iter().flat_map(|r| &r.parts).collect();
    let all = Part::ALL.iter().filter(|(_, _, p)| *p != Part::Code);
    for (_, name, part) in all {
        assert!(parts.contains(part), "no row has a file of {name}");
    }
}

#[test]
fn an_edit_is_known_to_the_byte_before_it_happens() {
    let mut disk = Disk::default();
    disk.files
        .insert("/w/ci/.travis.yml".to_owned(), "a: 1\nb: 1\n".to_owned());
    let patch =
        "*** Begin Patch\n*** Update File: ci/.travis.yml\n@@ a: 1\n-b: 1\n+b: 2\n*** End Patch\n";
    let edits = r#"{"file_path":"ci/.travis.yml","edits":[{"old_string":"b: 1","new_string":"b: 3"},{"old_string":"3","new_string":"2"}]}"#;
    for (tool, given, after) in [
        (
            "Edit",
            input(&[
                ("file_path", "/w/ci/.travis.yml"),
                ("old_string", "b: 1"),
                ("new_string", "b: 2"),
            ]),
            Some("a: 1\nb: 2\n"),
        ),
        (
            "replace",
            input(&[
                ("file_path", "ci/.travis.yml"),
                ("old_string", "b: 1"),
                ("new_string", "b: 2"),
            ]),
            Some("a: 1\nb: 2\n"),
        ),
        (
            "edit",
            input(&[
                ("path", "ci/.travis.yml"),
                ("old_str", "b: 1"),
                ("new_str", "b: 2"),
            ]),
            Some("a: 1\nb: 2\n"),
        ),
        (
            "MultiEdit",
            Json::parse(edits).unwrap(),
            Some("a: 1\nb: 2\n"),
        ),
        (
            "apply_patch",
            input(&[("command", patch)]),
            Some("a: 1\nb: 2\n"),
        ),
        (
            "Write",
            input(&[("file_path", "ci/.travis.yml"), ("content", "c\n")]),
            Some("c\n"),
        ),
        // Twice, or not at all: what happens then is the tool's to say.
        (
            "Edit",
            input(&[
                ("file_path", "ci/.travis.yml"),
                ("old_string", "1"),
                ("new_string", "2"),
            ]),
            None,
        ),
        (
            "Edit",
            input(&[
                ("file_path", "ci/.travis.yml"),
                ("old_string", "zzz"),
                ("new_string", "2"),
            ]),
            None,
        ),
        ("Edit", input(&[("file_path", "ci/.travis.yml")]), None),
    ] {
        let call = call(tool, &given);
        let got = classify(&call, &disk);
        let [target] = got.targets.as_slice() else {
            panic!("{tool}: {got:?}");
        };
        assert_eq!(got.parts, BTreeSet::from([Part::Ci]), "{tool}");
        let wanted = after.map(|text| tacho_schemas::Hash::sha256(text.as_bytes()));
        assert_eq!(target.after, wanted, "{tool} {given}");
        assert_eq!(
            Request::of(&call, &got).is_exact(),
            after.is_some(),
            "{tool}"
        );
    }
}

#[test]
fn what_a_patch_does_not_say_plainly_is_unknown() {
    for patch in [
        "",
        "*** Begin Patch\n*** Update File: a\n",
        "*** Begin Patch\n*** Rename File: a\n*** End Patch\n",
        "*** Begin Patch\n+x\n*** End Patch\n",
        "*** Begin Patch\n*** Add File: a\nx\n*** End Patch\n",
        "--- a\n+++ b\n",
    ] {
        let got = classify(
            &call("apply_patch", &input(&[("command", patch)])),
            &Disk::default(),
        );
        assert_eq!(got.effects, Effects::Unknown, "{patch:?}");
    }
    let moved = "*** Begin Patch\n*** Update File: a\n*** Move to: .github/workflows/a.yml\n*** Delete File: Makefile\n*** End Patch\n";
    let got = classify(
        &call("apply_patch", &input(&[("input", moved)])),
        &Disk::default(),
    );
    assert_eq!(got.parts, BTreeSet::from([Part::Ci, Part::Build]));
    assert_eq!(changed(&got).len(), 3);
}

#[test]
fn a_tool_that_nobody_knows_may_do_anything() {
    for tool in ["mcp__github__create_file", "Frobnicate"] {
        let got = classify(&call(tool, &Json::Null), &Disk::default());
        assert_eq!((got.class, got.effects), (Class::Execute, Effects::Unknown));
    }
    // A known tool without what it needs.
    for (tool, given) in [
        ("Bash", "{}"),
        ("Bash", r#"{"command":"ls","cmd":"rm -rf ."}"#),
        ("Write", "[]"),
        ("Bash", r#"{"command":7}"#),
    ] {
        let got = classify(&call(tool, &Json::parse(given).unwrap()), &Disk::default());
        assert_eq!(got.effects, Effects::Unknown, "{tool} {given}");
    }
    // Words instead of a line.
    let words = Json::parse(r#"{"command":["bash","-lc","echo x > Jenkinsfile"]}"#).unwrap();
    assert_eq!(
        classify(&call("shell", &words), &Disk::default()).parts,
        BTreeSet::from([Part::Ci])
    );
    // Two names for the file: both count.
    let two = input(&[
        ("path", ".github/workflows/x.yml"),
        ("file_path", "a.txt"),
        ("content", ""),
    ]);
    assert_eq!(
        classify(&call("Write", &two), &Disk::default()).parts,
        BTreeSet::from([Part::Ci])
    );
}

#[test]
fn tables_of_ones_own_add_rows_and_take_none_away() {
    let parts = "[[part]]\npart = \"code\"\nroot = [\"agent/**\"]\n";
    let commands = "[[command]]\nnames = [\"make\"]\nclass = \"execute\"\neffects = \"bounded\"\n";
    let own = Classifier::new(parts, commands).unwrap();
    let write = |path: &str| call("Write", &input(&[("file_path", path), ("content", "")]));
    assert_eq!(
        own.classify(&write("agent/loop.py"), &Disk::default())
            .parts,
        BTreeSet::from([Part::Code])
    );
    assert_eq!(
        own.classify(&write("Makefile"), &Disk::default()).parts,
        BTreeSet::from([Part::Build])
    );
    let make = call("Bash", &input(&[("command", "make test")]));
    assert_eq!(
        own.classify(&make, &Disk::default()).effects,
        Effects::Bounded
    );
    assert_eq!(classify(&make, &Disk::default()).effects, Effects::Unknown);
    for (parts, commands) in [
        ("[[part]]\npart = \"soul\"\n", ""),
        ("x = 1", ""),
        ("", "[[command]]\n"),
        ("[[part]]\npart = \"ci\"\nroot = [\"[\"]\n", ""),
    ] {
        let error = Classifier::new(parts, commands).unwrap_err();
        assert!(error.to_string().starts_with("the table of "), "{error}");
    }
}

/// Pieces of shell in any order: each line is read in good time and without a panic, and one that writes a file of CI at its end never
/// passes as one that changes nothing.
#[test]
fn any_line_is_read_in_good_time() {
    use proptest::prelude::*;
    let pieces = [
        "(",
        ")",
        "((",
        "))",
        "{",
        "}",
        "[[",
        "]]",
        "$(",
        "`",
        "\"",
        "'",
        "$",
        "${",
        "<<EOF\n",
        "EOF\n",
        "\n",
        ";",
        "&&",
        "||",
        "|",
        "&",
        "if",
        "then",
        "fi",
        "for x in",
        "do",
        "done",
        "case x in",
        "esac",
        "x)",
        ";;",
        "echo",
        "rm",
        "x",
        "a=b",
        "a=(",
        ">",
        "<",
        ">&",
        "!",
        "coproc",
        "function",
        "time",
        "\\",
        "#",
        "*",
        "{a,b}",
        "@(",
        "~",
        "é",
        "\u{202e}",
        "eval",
        "bash -c",
        "cd",
        "git",
        "-C",
    ];
    let lines = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 500,
        ..ProptestConfig::default()
    });
    runner
        .run(&lines, |pieces| {
            for glue in ["", " "] {
                let line = pieces.join(glue);
                let began = Instant::now();
                let read = |line: &str| {
                    classify(
                        &call("Bash", &input(&[("command", line)])),
                        &Disk::default(),
                    )
                };
                read(&line);
                let got = read(&format!("{line}\necho x > .gitlab-ci.yml"));
                prop_assert!(began.elapsed() < Duration::from_secs(20), "{line:?}");
                // Either it is seen, or the line is not understood; a comment, a text or a here-document may also swallow it.
                let swallows = line.contains(['#', '\'', '"', '`', '\\'])
                    || line.contains("<<")
                    || line.contains("$");
                prop_assert!(
                    swallows || got.parts.contains(&Part::Ci) || got.effects == Effects::Unknown,
                    "{line:?} {got:?}"
                );
            }
            Ok(())
        })
        .unwrap();
}
