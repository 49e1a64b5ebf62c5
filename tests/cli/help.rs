//! The help of every verb is a file beside this one. `UPDATE=1 cargo test --test cli` writes them anew.

use std::collections::BTreeSet;
use std::path::Path;

use super::home::Home;

/// Finds the verbs in a help text.
fn verbs(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list.take_while(|line| !line.is_empty());
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Visits the help of a verb and of the verbs below it.
fn visit(home: &Home, verb: &[String], seen: &mut Vec<(String, String)>) {
    let mut args = verb.to_vec();
    args.push("--help".to_owned());
    let ran = home.run(&args).good();
    assert_eq!(ran.err, "");
    for below in verbs(&ran.out) {
        let mut path = verb.to_vec();
        path.push(below);
        visit(home, &path, seen);
    }
    let name = if verb.is_empty() {
        "tacho".to_owned()
    } else {
        verb.join("-")
    };
    seen.push((name, ran.out));
}

#[test]
fn the_help_of_each_verb_is_as_it_was_read_last() {
    let home = Home::empty();
    let mut seen = Vec::new();
    visit(&home, &[], &mut seen);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help");
    let update = std::env::var_os("UPDATE").is_some();
    let mut names = BTreeSet::new();
    for (name, text) in &seen {
        let path = folder.join(format!("{name}.txt"));
        if update {
            std::fs::write(&path, text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(*text, kept, "{name}; UPDATE=1 writes the files anew");
        names.insert(format!("{name}.txt"));
    }
    for file in std::fs::read_dir(&folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "no verb has the help in {name}");
    }
}

#[test]
fn every_verb_that_does_something_shows_an_example() {
    let home = Home::empty();
    let mut seen = Vec::new();
    visit(&home, &[], &mut seen);
    assert!(seen.len() > 10, "{}", seen.len());
    for (name, text) in seen {
        let group = text.contains("\nCommands:\n");
        assert!(group || text.contains("Example"), "{name} has no example");
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{name} has long lines"
        );
    }
}

#[test]
fn what_is_no_verb_is_refused_and_nothing_at_all_is_helped() {
    let home = Home::empty();
    let ran = home.run(["lits"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("list"), "{ran:?}");
    let ran = home.run::<&str>([]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("Usage: tacho"), "{ran:?}");
    assert!(home.run(["--version"]).good().out.starts_with("tacho "));
}

#[test]
fn each_shell_gets_completions() {
    let home = Home::empty();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = home.run(["completions", shell]).good();
        assert!(ran.out.contains("consistency"), "{shell}");
    }
    assert_eq!(home.run(["completions", "sh"]).code, 2);
}
