//! The reviewer's exam (`fixtures/exam`): questions, and the fewest keys that answer each from a cold start.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use tacho_viewer::Theme;

use super::support::{Watch, by_name, keys_of};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exam {
    /// The files that are imported, in this order.
    files: Vec<String>,
    /// The log of the same files in these tests.
    log: String,
    question: Vec<Question>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    ask: String,
    keys: String,
    /// How many keys that is.
    least: usize,
    /// What the screen then shows.
    see: Vec<String>,
}

#[test]
fn every_question_is_answered_in_few_keys() {
    let (mut asked, mut wrong) = (0, Vec::new());
    let mut files: Vec<PathBuf> = fs::read_dir("../fixtures/exam")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    for file in files {
        let exam: Exam = toml::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert!(!exam.files.is_empty());
        for question in &exam.question {
            asked += 1;
            let keys = keys_of(&question.keys).len();
            let mut watch = Watch::open(&by_name(&exam.log).path(), (100, 30), Theme::Dark);
            watch.keys(&question.keys);
            let text = watch.text();
            if keys > 20 || keys != question.least {
                wrong.push(format!("{}: {keys} keys", question.ask));
            }
            for words in question.see.iter().filter(|words| !text.contains(*words)) {
                wrong.push(format!("{}\n`{words}` is not on:\n{text}", question.ask));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked >= 15, "{asked} questions");
}
