//! Evidence that leaves: every format holds what was chosen, checked, and says what is not in it.

use std::fs;

use super::home::{Home, MESSAGE};

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
        .refused(1, "nothing was written");
    home.run(["export", "jsonl", "--filter", "kind:"])
        .refused(2, "in the filter");
}

#[test]
fn a_bundle_is_verified_without_a_log_and_claims_only_what_it_shows() {
    let home = home();
    home.record_many(20);
    let ran = home.run([
        "export",
        "bundle",
        "m.tacho",
        "--filter",
        "kind:mutation",
        "--withhold",
        "before",
        "--json",
    ]);
    let made = &ran.json()[0];
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((&made["chosen"], &made["withheld"]), (&1.into(), &1.into()));
    let size = made["size"].as_u64().unwrap();
    assert!(made["shown"].as_u64().unwrap() < size, "{made}");
    // The pin vouches here.
    let here = home.run(["verify", "m.tacho"]).good();
    assert!(here.out.contains("an excerpt"), "{}", here.out);
    assert!(here.out.contains("1 are withheld"), "{}", here.out);
    assert!(here.out.ends_with("verified\n"), "{}", here.out);
    let whole = home.run(["verify", "m.tacho", "--require", "complete"]);
    assert_eq!(whole.code, 1);
    assert!(whole.out.contains("✗ required complete"), "{}", whole.out);
    // Elsewhere, by the fingerprint alone.
    let keys = home.run(["key", "show", "--json"]).good().json();
    let identity = keys[0]["identity"].as_str().unwrap().to_owned();
    let elsewhere = Home::empty();
    fs::copy(home.path("m.tacho"), elsewhere.path("m.tacho")).unwrap();
    assert_eq!(elsewhere.run(["verify", "m.tacho"]).code, 1);
    elsewhere
        .run(["verify", "m.tacho", "--trust", &identity])
        .good();
    // A receipt that was kept is compared if the bundle shows the tree at its size.
    let receipt = home.record(&[MESSAGE]).good().out;
    fs::write(home.path("receipt.json"), receipt).unwrap();
    home.run([
        "export",
        "bundle",
        "n.tacho",
        "-f",
        "kind:mutation",
        "--against",
        "receipt.json",
    ]);
    let joined = home
        .run(["verify", "n.tacho", "--against", "receipt.json"])
        .good();
    assert!(
        joined.out.contains("a mark from outside fits"),
        "{}",
        joined.out
    );
    let later = home.run(["verify", "m.tacho", "--against", "receipt.json"]);
    assert_eq!(later.code, 1, "{later:?}");
    home.run(["export", "bundle", "m.tacho"])
        .refused_with_hint(2, "exists");
    home.run(["export", "bundle", "-"])
        .refused_with_hint(2, "needs a file");
    home.run(["export", "bundle", "x.tacho", "-f", "kind:kill"])
        .refused_with_hint(2, "no record meets the filter");
    assert_eq!(files(&home), ["m.tacho", "n.tacho", "receipt.json"]);
}

#[test]
fn a_disk_that_fills_up_leaves_no_half_file() {
    let home = home();
    home.record_many(1000);
    for format in ["bundle", "jsonl", "csv", "report --framework eu-ai-act"] {
        // The shell's limit stands for the disk: a write beyond it fails. SQLite needs 32 KiB beside the log.
        let limit = 70;
        let script = format!(
            "trap '' XFSZ; ulimit -f {limit}; exec {} export {format} full.out",
            env!("CARGO_BIN_EXE_tacho")
        );
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]).current_dir(home.path("."));
        for (name, value) in home.command(["x"]).get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{format}: {said}");
        assert!(said.contains("cannot write `"), "{said}");
        assert_eq!(files(&home), Vec::<String>::new(), "{format}");
    }
}

/// The lines of a file that was exported.
fn exported(home: &Home, args: &[&str]) -> (Vec<String>, String) {
    let ran = home.run(["export"].iter().chain(args));
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = ran.out.lines().map(|line| line.trim_end().to_owned());
    (lines.collect(), ran.err)
}

#[test]
fn a_sample_is_drawn_by_its_seed_alone() {
    let home = home();
    home.record_many(40);
    let (population, _) = exported(&home, &["csv"]);
    let draw = |seed: &str| exported(&home, &["csv", "--sample", "5", "--seed", seed]).0;
    let sample = draw("a");
    assert_eq!(sample.len(), 6);
    assert_eq!(sample, draw("a"));
    assert_ne!(sample, draw("b"));
    for row in &sample[1..] {
        let (row, _) = row.rsplit_once(',').unwrap();
        assert!(population.iter().any(|other| other == row), "{row}");
    }
    // What a spreadsheet would run is text.
    home.record(&[r#"{"kind":"message","actor":{"type":"agent","id":"=cmd|calc!A1"},"body":{"speaker":"assistant"}}"#])
        .good();
    let (rows, said) = exported(&home, &["csv", "-f", "actor:=cmd*"]);
    assert!(rows[1].contains(",'=cmd|calc!A1,"), "{}", rows[1]);
    assert!(said.contains("not in it: 1 guarded_cells"), "{said}");
    assert_eq!(home.run(["export", "csv", "--sample", "5"]).code, 2);
}

#[test]
fn every_record_becomes_something_or_is_counted() {
    let home = home();
    let key = home.identity();
    let key = key.to_str().unwrap();
    let size = home
        .run(["list", "--json", "--count", "0"])
        .good()
        .json()
        .len();
    for args in [&["ocsf"][..], &["intoto", "--key", key]] {
        let (lines, said) = exported(&home, args);
        let lost = said
            .lines()
            .filter(|line| line.contains("no_class:") || line.contains("no_statement:"));
        let lost: usize = lost
            .map(|line| {
                line.split("not in it: ")
                    .nth(1)
                    .unwrap()
                    .split(' ')
                    .next()
                    .unwrap()
                    .parse::<usize>()
                    .unwrap()
            })
            .sum();
        assert_eq!(lines.len() + lost, size, "{args:?}: {said}");
        assert!(!lines.is_empty());
    }
    home.run(["export", "ocsf", "-f", "kind:boot"])
        .refused(1, "nothing was written");
    home.run(["export", "intoto", "--key", "none.pem"])
        .refused(2, "none.pem");
    home.run(["export", "acts", "acts"])
        .refused(1, "nothing was written");
}

#[test]
fn ocsf_events_form_a_chain_on_request() {
    let home = home();
    let events = |args: &[&str]| {
        let (lines, _) = exported(&home, args);
        let events = lines
            .iter()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        events.collect::<Vec<_>>()
    };
    let plain = events(&["ocsf"]);
    assert!(
        plain
            .iter()
            .all(|event| event.get("attestation_list").is_none()
                && event["metadata"]["version"] == "1.8.0")
    );
    let chained = events(&["ocsf", "--record-integrity"]);
    assert_eq!(plain.len(), chained.len());
    let mut before = serde_json::Value::Null;
    for event in &chained {
        assert_eq!(event["metadata"]["version"], "1.9.0");
        assert!(
            event["metadata"]["profiles"]
                .as_array()
                .unwrap()
                .iter()
                .any(|name| name == "record_integrity")
        );
        let attestation = &event["attestation_list"][0];
        assert_eq!(
            attestation["prev_event"]["fingerprint"],
            before["fingerprint"]
        );
        assert_eq!(attestation["prev_event"]["uid"], before["uid"]);
        before = attestation.clone();
    }
    assert_eq!(before["fingerprint"]["value"].as_str().unwrap().len(), 64);
}

#[test]
fn a_report_names_its_controls_and_leaves_nothing_else_behind() {
    let home = home();
    home.record(&[r#"{"kind":"mutation","actor":{"type":"agent","id":"quill"},"body":{"change":"create","known":"declared","rationale":{"source":"given"}},"content":{"path":"</script><script>alert(1)</script>","summary":"\u202eevil"},"artefacts":[{"role":"after","text":"</pre><b>"}]}"#]).good();
    let ran = home
        .run([
            "export",
            "report",
            "--framework",
            "eu-ai-act",
            "r.html",
            "--json",
        ])
        .good();
    let made = &ran.json()[0];
    assert_eq!(made["good"], true, "{made}");
    assert_eq!(made["mutations"], serde_json::json!({"shown": 2, "of": 2}));
    let controls: u64 = made["controls"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(controls, 15);
    let page = fs::read_to_string(home.path("r.html")).unwrap();
    assert_eq!(page.len() as u64, made["bytes"].as_u64().unwrap());
    assert_eq!(page.matches("<script").count(), 2, "the data and ours");
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)"));
    assert!(page.contains("\\u{202e}evil") && !page.contains('\u{202e}'));
    assert!(page.find("id=\"verdict\"").unwrap() < page.find("id=\"controls\"").unwrap());
    for word in [
        "not by this tool",
        "Nothing was checked again here",
        "Art. 14(4)(e)",
        "kind:mutation",
    ] {
        assert!(page.contains(word), "{word}");
    }
    assert!(!page.to_lowercase().contains(">compliant"));
    // What is in it is a bundle that stands by itself.
    let (_, rest) = page.split_once("id=\"evidence\">").unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    let data: String = data.split_whitespace().collect();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap();
    fs::write(home.path("evidence.tacho"), bytes).unwrap();
    home.run(["verify", "evidence.tacho"]).good();

    home.run(["export", "report", "--framework", "eu-ai-act", "r.html"])
        .refused_with_hint(2, "exists");
    home.run(["export", "report", "--framework", "soc2", "s.html"])
        .refused_with_hint(2, "`soc2` is no framework");
    home.run(["export", "report", "--framework", "eu-ai-act", "-"])
        .refused_with_hint(2, "needs a file");
    assert_eq!(home.run(["export", "report", "s.html"]).code, 2);
    // Nothing in the period is no reason for no report: it says so.
    let none = home
        .run([
            "export",
            "report",
            "--framework",
            "nist-800-53",
            "--until",
            "2001-01-01",
            "n.html",
            "--json",
        ])
        .good();
    assert_eq!(none.json()[0]["selected"], 0);
    // What is withheld is neither on the page nor in its evidence.
    home.run([
        "export",
        "report",
        "--framework",
        "eu-ai-act",
        "--withhold",
        "all",
        "w.html",
    ])
    .good();
    let page = fs::read_to_string(home.path("w.html")).unwrap();
    assert!(
        !page.contains("evil") && !page.contains("be brief"),
        "withheld text is there"
    );
    assert_eq!(
        files(&home),
        ["evidence.tacho", "n.html", "r.html", "w.html"]
    );
}

/// Everything below a folder, with the bytes of each file.
fn tree(dir: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => all.extend(tree(&entry.path())),
            kind if kind.is_symlink() => all.push((entry.path(), b"a link".into())),
            _ => all.push((entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    all.sort();
    all
}

/// What an agent calls its files names no file of ours.
#[test]
fn names_that_lead_elsewhere_lead_nowhere() {
    let home = Home::with_log();
    let escapes = [
        "../../escaped",
        "/etc/escaped",
        "a/../../escaped",
        "..\u{0}",
    ];
    for path in escapes {
        let event = serde_json::json!({
            "kind": "mutation",
            "actor": { "type": "agent", "id": "quill" },
            "body": { "change": "modify", "known": "declared", "parts": ["prompt"], "rationale": { "source": "absent" } },
            "content": { "path": path },
            "artefacts": [
                { "role": "before", "text": format!("before {path}"), "path": path },
                { "role": "after", "text": format!("after {path}"), "path": path },
            ],
        });
        home.record(&[&event.to_string()]).good();
    }
    let elsewhere = home.path("elsewhere");
    fs::write(&elsewhere, "it was here before").unwrap();
    std::os::unix::fs::symlink(&elsewhere, home.path("link.tacho")).unwrap();
    fs::create_dir(home.path("out")).unwrap();
    let ours = |home: &Home| {
        let mut all = tree(&home.path("."));
        let of_exports = ["out", "link.tacho", "state"];
        all.retain(|(path, _)| {
            !of_exports
                .iter()
                .any(|name| path.starts_with(home.path(name)))
        });
        all
    };
    let before = ours(&home);
    for args in [
        &["bundle", "out/all.tacho"][..],
        &["bundle", "link.tacho"],
        &["tiles", "out/tiles"],
        &["acts", "out/acts"],
        &["report", "--framework", "eu-ai-act", "out/report.html"],
        &["jsonl", "out/all.jsonl"],
        &["csv", "out/all.csv"],
    ] {
        let args: Vec<String> = std::iter::once("export".to_owned())
            .chain(args.iter().map(
                |word| match word.contains("out/") || word.contains("link") {
                    true => home.path(word).to_str().unwrap().to_owned(),
                    false => (*word).to_owned(),
                },
            ))
            .collect();
        let ran = home.run(&args);
        // A link is not followed, and nobody acted here.
        let due = match (args[1].as_str(), args[2].ends_with("link.tacho")) {
            (_, true) => 2,
            ("acts", _) => 1,
            _ => 0,
        };
        assert_eq!(ran.code, due, "{ran:?}");
    }
    assert_eq!(ours(&home), before);
    let bundle = home.path("out/all.tacho");
    let seen = home.run(["verify".as_ref(), bundle.as_os_str()]);
    assert_eq!(seen.code, 0, "{seen:?}");
    assert_eq!(ours(&home), before);
}
