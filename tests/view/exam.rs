//! The reviewer's exam (`fixtures/exam`), each question in a terminal of its own.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::pty::Pty;
use crate::home::Home;

#[derive(Deserialize)]
struct Exam {
    files: Vec<String>,
    question: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    ask: String,
    keys: String,
    least: usize,
    see: Vec<String>,
}

#[test]
fn every_question_is_answered_from_a_cold_start() {
    let exams = Path::new("fixtures/exam");
    let mut files: Vec<PathBuf> = fs::read_dir(exams)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let mut asked = 0;
    for file in files {
        let exam: Exam = toml::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let home = Home::with_log();
        for file in &exam.files {
            let path = fs::canonicalize(Path::new("fixtures").join(file)).unwrap();
            home.run(["import", path.to_str().unwrap()]).good();
        }
        // The exam's numbers are those of a log that only holds the files: `init` writes a few records more.
        let first = home
            .run([
                "list",
                "--json",
                "--filter",
                "kind:import",
                "--from",
                "0",
                "-n",
                "1",
            ])
            .good()
            .json();
        let shift = first[0]["seq"].as_u64().unwrap() - 2;
        for question in &exam.question {
            asked += 1;
            let mut pty = Pty::open(&home, &["view"], (100, 30));
            pty.until("at rest");
            pty.settle();
            let keys = pty.keys(&shifted(&question.keys, shift));
            assert!(
                keys <= 20 && keys <= question.least + 1,
                "{}: {keys} keys",
                question.ask
            );
            for words in &question.see {
                let words = shifted(words, shift);
                pty.until(&words);
            }
            pty.keys("q");
            pty.end();
        }
    }
    assert!(asked >= 15);
}

/// Numbers of records so many further on.
fn shifted(text: &str, by: u64) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let mut marked = false;
    while let Some(c) = chars.next() {
        out.push(c);
        marked = c == '#' || (marked && c == ' ');
        let mut digits = String::new();
        while marked && chars.peek().is_some_and(char::is_ascii_digit) {
            digits.extend(chars.next());
        }
        match digits.parse::<u64>() {
            Ok(seq) if seq > 1 => out.push_str(&(seq + by).to_string()),
            _ => out.push_str(&digits),
        }
    }
    out
}
