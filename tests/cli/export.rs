//! Evidence that leaves: every format holds what was chosen, checked, and says what is not in it.

use std::fs;

use super::home::Home;

/// An action with a rationale, and a mutation with files.
const WORK: [&str; 3] = [
    r#"{"kind":"session","actor":{"type":"agent","id":"quill"},"body":{"phase":"open","agent":"quill"},"content":{"workspace":"/src/app"}}"#,
    r#"{"kind":"action","actor":{"type":"agent","id":"quill"},"body":{"tool":"edit_file","parts":["prompt"],"rationale":{"source":"given"}},"content":{"summary":"shorter answers","reasoning":"users said so","input":"{\"path\":\"p.md\"}","alternatives":[{"option":"wait"}]}}"#,
    r#"{"kind":"mutation","actor":{"type":"agent","id":"quill"},"body":{"change":"modify","known":"declared","parts":["prompt"],"rationale":{"source":"absent"}},"content":{"path":"p.md"},"artefacts":[{"role":"before","text":"be kind"},{"role":"after","text":"be brief"}]}"#,
];

fn home() -> Home {
    let home = Home::with_log();
    home.record(&WORK).good();
    home
}

/// What lies in the home's own folder, besides its log and settings.
fn files(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.path(".")).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|n| n != "state" && n != "config").collect();
    names.sort();
    names
}

#[test]
fn lines_hold_every_record_and_say_what_is_not_in_them() {
    let home = home();
    let all = home.run(["export", "jsonl"]);
    assert_eq!(all.code, 0, "{all:?}");
    let size = home
        .run(["list", "--json", "--count", "0"])
        .good()
        .json()
        .len();
    let lines = all.json();
    assert_eq!(lines.len(), size);
    assert!(
        all.err.contains(&format!(
            "{size} of {size} records chosen, {size} lines written"
        )),
        "{}",
        all.err
    );
    assert!(
        all.err.contains("not in it: 2 bytes_of_artefact"),
        "{}",
        all.err
    );
    let of = |kind: &str| lines.iter().find(|line| line["kind"] == kind).unwrap();
    let action = of("action");
    assert_eq!(action["text_of"]["alternatives"][0]["option"], "wait");
    assert_eq!(action["text_of"]["summary"], "shorter answers");
    assert_eq!(of("mutation")["files"][1]["size_bytes"], 8);
}

#[test]
fn what_is_withheld_is_named_and_its_commitment_stays() {
    let home = home();
    let ran = home.run([
        "export",
        "jsonl",
        "--filter",
        "kind:action,mutation",
        "--withhold",
        "reasoning,before",
    ]);
    let lines = ran.json();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert_eq!(lines[0]["withheld"][0], "reasoning");
    assert!(lines[0]["text_of"].get("reasoning").is_none());
    assert!(lines[0]["content"]["reasoning"].is_string());
    assert_eq!(lines[1]["withheld"][0], "artefact:0");
    assert_eq!(lines[1]["files"].as_array().unwrap().len(), 1);
    assert!(!ran.out.contains("users said so"));
    assert!(
        ran.err.contains("not in it: 1 withheld:reasoning"),
        "{}",
        ran.err
    );
    home.run(["export", "jsonl", "--withhold", "reasonings"])
        .refused_with_hint(2, "`reasonings` is neither a field of text nor a role");
}

#[test]
fn a_file_is_there_whole_or_not_at_all() {
    let home = home();
    home.run(["export", "jsonl", "out.jsonl"]);
    assert_eq!(files(&home), ["out.jsonl"]);
    let kept = fs::read(home.path("out.jsonl")).unwrap();
    home.run(["export", "jsonl", "out.jsonl"])
        .refused_with_hint(2, "exists");
    assert_eq!(fs::read(home.path("out.jsonl")).unwrap(), kept);
    // A record that is not what was recorded ends the export, and nothing stays.
    let database = home.log().join("log.db");
    let conn = rusqlite::Connection::open(&database).unwrap();
    conn.execute("UPDATE vault SET row = zeroblob(length(row))", [])
        .unwrap();
    drop(conn);
    home.run(["export", "jsonl", "other.jsonl"])
        .refused_with_hint(2, "its vault row cannot be read");
    assert_eq!(files(&home), ["out.jsonl"]);
}

#[test]
fn an_export_of_nothing_is_not_a_good_answer() {
    let home = home();
    home.run(["export", "jsonl", "--filter", "kind:kill"])
        .refused(1, "no record was chosen");
    home.run(["export", "jsonl", "--filter", "kind:"])
        .refused(2, "in the filter");
}
