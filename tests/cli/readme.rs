//! What README shows of `why` is what `why` says. `UPDATE_README=1 cargo test --test cli readme` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use super::home::Home;

/// Begins the comment before each block: `<!-- why SEQ of FILE: SECTIONS -->`.
const MARK: &str = "<!-- why ";

/// The block that belongs to a comment: the file is imported into a log of its own, and the named sections are kept.
fn block(comment: &str) -> String {
    let wanted = comment.strip_prefix(MARK).unwrap();
    let (seq, rest) = wanted.split_once(" of ").unwrap();
    let (file, sections) = rest.trim_end_matches(" -->").split_once(": ").unwrap();
    let home = Home::with_log();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = |args: [&str; 2]| {
        let mut command = home.command(args);
        command.current_dir(root).env("COLUMNS", "80");
        let ran = super::home::finish(command.spawn().unwrap(), b"");
        ran.good().out
    };
    run(["import", file]);
    let said = run(["why", seq]);
    let mut parts = said.split("\n\n");
    let mut shown = format!(
        "```console\n$ tacho import {file}\n$ tacho why {seq}\n{}\n",
        parts.next().unwrap()
    );
    let parts: Vec<_> = parts.collect();
    for section in sections.split(' ') {
        let begins = match section {
            "path" => "   the path".to_owned(),
            number => format!("{number}  "),
        };
        // A quoted text has bars, never an empty line: a section is one part.
        let part = parts.iter().find(|part| part.starts_with(&begins)).unwrap();
        write!(shown, "\n{}\n", part.trim_end()).unwrap();
    }
    shown + "```\n"
}

#[test]
fn readme_shows_what_why_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (mut made, mut blocks) = (String::new(), 0);
    let mut lines = readme.split_inclusive('\n');
    while let Some(line) = lines.next() {
        made.push_str(line);
        if line.starts_with(MARK) {
            blocks += 1;
            made.push_str(&block(line.trim_end()));
            assert_eq!(lines.next(), Some("```console\n"));
            lines.find(|line| *line == "```\n").unwrap();
        }
    }
    assert!(blocks >= 3, "README shows {blocks} answers of why");
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, made).unwrap();
    } else {
        assert!(
            made == readme,
            "README differs; UPDATE_README=1 writes it anew:\n{made}"
        );
    }
}
