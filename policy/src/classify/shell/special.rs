//! Commands that the table cannot say: each read by code of its own.

use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Effects};

use super::super::change::{Change, read_patch};
use super::command::{known, same};
use super::word::Word;
use super::{Here, Input, Walk};
use crate::request::Access;

impl Walk<'_> {
    pub(super) fn cd(&mut self, words: &[Word], here: &mut Here) {
        let mut folders = words
            .iter()
            .filter(|w| !matches!(w, Word::Known(t) if t == "-L" || t == "-P" || t == "--"));
        here.cwd = match (folders.next(), &here.cwd) {
            (None, _) => Some("~".to_owned()),
            (Some(Word::Known(folder)), _) if folder == "-" => None,
            (Some(Word::Known(folder)), Some(cwd)) => Some(super::path::join(cwd, folder)),
            (Some(Word::Known(folder)), None) => {
                (folder.starts_with('/') || folder.starts_with('~')).then(|| folder.clone())
            }
            _ => None,
        };
        let pwd = here.cwd.clone().map_or(Word::Unknown, Word::Known);
        here.vars.set("PWD", pwd);
    }

    pub(super) fn dd(&mut self, words: &[Word], here: &Here) {
        self.class(Class::Write);
        for word in words {
            match word {
                Word::Known(text) => match text.split_once('=') {
                    Some(("of", file)) => {
                        let file = Word::Known(file.to_owned());
                        self.touch(here, &file, Access::Write, false, Change::Unknown);
                    }
                    Some(("if", file)) => {
                        let file = Word::Known(file.to_owned());
                        self.touch(here, &file, Access::Read, false, Change::Unknown);
                    }
                    _ => {}
                },
                _ => self.unknown("gives dd an operand that its text does not show"),
            }
        }
    }

    pub(super) fn shell(&mut self, name: &str, words: &[Word], here: &mut Here, input: &Input) {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word {
                // `-c`, `-lc`, `-ec`, …
                Word::Known(text)
                    if text.starts_with('-') && !text.starts_with("--") && text.contains('c') =>
                {
                    return match words.next() {
                        Some(Word::Known(line)) => self.line(line, &mut here.clone()),
                        _ => self.unknown("evaluates what its text does not show"),
                    };
                }
                Word::Known(text) if text == "-o" || text == "-O" || text == "+o" => {
                    _ = words.next()
                }
                Word::Known(text)
                    if matches!(
                        text.as_str(),
                        "-" | "-s"
                            | "-e"
                            | "-u"
                            | "-x"
                            | "-l"
                            | "-i"
                            | "--login"
                            | "--norc"
                            | "--noprofile"
                            | "-eu"
                            | "-ex"
                            | "-eux"
                    ) => {}
                Word::Known(text) => {
                    if !text.starts_with('-') {
                        self.touch(here, word, Access::Execute, false, Change::Unknown);
                    }
                    return self.unknown(format!("runs a script by {name}"));
                }
                _ => return self.unknown(format!("runs a script by {name}")),
            }
        }
        match input {
            Input::Text(line) => self.line(line, &mut here.clone()),
            Input::Given | Input::Unknown => {
                self.unknown(format!("gives {name} commands that its text does not show"))
            }
        }
    }

    pub(super) fn apply_patch(&mut self, words: &[Word], here: &Here, input: &Input) {
        self.class(Class::Write);
        let text = match (words, input) {
            ([Word::Known(text)], _) => Some(text.as_str()),
            ([], Input::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let Some(files) = text.and_then(read_patch) else {
            return self.unknown("applies a patch that cannot be read");
        };
        for file in files {
            let path = Word::Known(file.path);
            match (file.to, &file.change) {
                (Some(to), _) => {
                    self.touch(here, &path, Access::Delete, false, Change::Delete);
                    self.touch(
                        here,
                        &Word::Known(to),
                        Access::Write,
                        false,
                        Change::Unknown,
                    );
                }
                (None, Change::Delete) => {
                    self.touch(here, &path, Access::Delete, false, Change::Delete)
                }
                (None, _) => self.touch(here, &path, Access::Write, false, file.change),
            }
        }
    }

    pub(super) fn find(&mut self, words: &[Word], here: &Here) {
        let is_test = |w: &Word| matches!(w, Word::Known(t) if t.starts_with(['-', '(', ')', '!']));
        let is_option = |w: &&Word| matches!(w, Word::Known(t) if matches!(t.as_str(), "-L" | "-H" | "-P") || t.starts_with("-O"));
        let options = words.iter().take_while(is_option).count();
        let words = words.get(options..).unwrap_or_default();
        let mut folders: Vec<&Word> = words.iter().take_while(|w| !is_test(w)).collect();
        let mut rest = words.iter().skip(folders.len());
        let here_folder = Word::Known(".".to_owned());
        if folders.is_empty() {
            folders.push(&here_folder);
        }
        while let Some(word) = rest.next() {
            let Word::Known(test) = word else { continue };
            match test.as_str() {
                "-delete" => {
                    for folder in &folders {
                        self.touch(here, folder, Access::Delete, true, Change::Unknown);
                    }
                }
                "-exec" | "-execdir" | "-ok" | "-okdir" => {
                    let command = rest
                        .by_ref()
                        .take_while(|w| !matches!(w, Word::Known(t) if t == ";" || t == "+"));
                    // `{}` is some file beneath the folders.
                    let command: Vec<Word> = command
                        .map(|w| match w {
                            Word::Known(t) if t.contains("{}") => match folders.as_slice() {
                                [Word::Known(folder)] => Word::Pattern(folder.clone()),
                                _ => Word::Unknown,
                            },
                            w => w.clone(),
                        })
                        .collect();
                    self.run(&command, &mut here.clone(), &Input::Unknown);
                }
                "-fprint" | "-fprint0" | "-fprintf" | "-fls" => {
                    if let Some(file) = rest.next() {
                        self.touch(here, file, Access::Write, false, Change::Unknown);
                    }
                }
                _ => {}
            }
        }
        for folder in folders {
            self.touch(here, folder, Access::Read, true, Change::Unknown);
        }
    }

    pub(super) fn sed(&mut self, words: &[Word], here: &Here) {
        let (mut scripts, mut files) = (Vec::new(), Vec::new());
        let (mut in_place, mut only_operands) = (false, false);
        let mut given = false;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word {
                Word::Known(text) if !only_operands && text == "--" => only_operands = true,
                Word::Known(text) if !only_operands && (text == "-e" || text == "--expression") => {
                    given = true;
                    scripts.extend(words.next().cloned());
                }
                Word::Known(text)
                    if !only_operands
                        && (text == "-f" || text == "--file" || text.starts_with("--file=")) =>
                {
                    return self.unknown("runs a script by sed");
                }
                Word::Known(text) if !only_operands && text.starts_with('-') && text.len() > 1 => {
                    in_place |= text.starts_with("--in-place")
                        || (!text.starts_with("--") && text.contains('i'));
                    if !text.starts_with("--") && text.contains('f') {
                        return self.unknown("runs a script by sed");
                    }
                    if !text.starts_with("--") && text.ends_with('e') {
                        given = true;
                        scripts.extend(words.next().cloned());
                    }
                }
                word => files.push(word.clone()),
            }
        }
        if !given && !files.is_empty() {
            scripts.push(files.remove(0));
        }
        if !scripts
            .iter()
            .all(|s| matches!(s, Word::Known(text) if is_plain_sed(text)))
        {
            self.unknown("runs a sed script that may write or run anything");
        }
        for file in &files {
            let access = if in_place {
                Access::Write
            } else {
                Access::Read
            };
            self.touch(here, file, access, true, Change::Unknown);
        }
    }

    pub(super) fn awk(&mut self, words: &[Word], here: &Here) {
        let mut words = words.iter();
        let program = loop {
            match words.next() {
                Some(Word::Known(text)) if text == "-F" || text == "-v" => _ = words.next(),
                Some(Word::Known(text)) if text.starts_with("-F") || text.starts_with("-v") => {}
                other => break other,
            }
        };
        match program {
            Some(Word::Known(text))
                if !text.starts_with('-')
                    && !text.contains(['>', '|', '@'])
                    && !text.contains("system")
                    && !text.contains("getline") => {}
            None => return,
            _ => self.unknown("runs an awk program that may write or run anything"),
        }
        for file in words {
            self.touch(here, file, Access::Read, true, Change::Unknown);
        }
    }

    pub(super) fn gh(&mut self, words: &[Word]) {
        self.class(Class::Network);
        let Some(words) = known(words) else {
            return self.unknown("gives gh a word that its text does not show");
        };
        let mut words = words.into_iter().filter(|w| !w.starts_with('-'));
        let (group, verb) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let looks = [
            "list", "view", "status", "diff", "checks", "watch", "download", "browse", "search",
        ];
        match group {
            "workflow" | "run" | "secret" | "variable" | "cache" | "ruleset"
                if !looks.contains(&verb) =>
            {
                self.effects(Effects::Bounded);
                self.reading.parts.insert(Part::Ci);
            }
            "release" if !looks.contains(&verb) => {
                self.effects(Effects::Bounded);
                self.reading.parts.insert(Part::Deploy);
            }
            "api" | "extension" | "alias" | "config" | "auth" | "codespace" | "repo"
                if !looks.contains(&verb) =>
            {
                self.unknown(format!("runs gh {group}, which may do anything"));
            }
            "pr" if verb == "merge" || verb == "checkout" => {
                self.unknown("runs gh pr, which changes what is in a branch")
            }
            _ => self.effects(Effects::Bounded),
        }
    }

    pub(super) fn git(&mut self, words: &[Word], here: &mut Here) {
        // Options before the verb can name another repository, other settings, other programs.
        let mut place = here.clone();
        let mut words = words.iter();
        let verb = loop {
            match words.next() {
                Some(Word::Known(text)) if text == "-C" => {
                    let folder: Vec<Word> = words.next().cloned().into_iter().collect();
                    self.cd(&folder, &mut place);
                }
                Some(Word::Known(text))
                    if matches!(
                        text.as_str(),
                        "--no-pager" | "-P" | "--no-optional-locks" | "--version" | "--help" | "-v"
                    ) => {}
                Some(Word::Known(text)) if text.starts_with('-') => {
                    return self.unknown(format!("runs git {text}, which may run anything"));
                }
                Some(Word::Known(text)) => break text.as_str(),
                Some(_) => return self.unknown("gives git a word that its text does not show"),
                None => return,
            }
        };
        let rest: Vec<Word> = words.cloned().collect();
        let texts: Vec<&str> = rest
            .iter()
            .filter_map(|w| match w {
                Word::Known(t) => Some(t.as_str()),
                _ => None,
            })
            .collect();
        let has = |wanted: &[&str]| texts.iter().any(|t| wanted.iter().any(|w| same(w, t)));
        let write = |walk: &mut Self, effects: Effects| {
            walk.class(Class::Write);
            walk.effects(effects);
        };
        match verb {
            "status" | "log" | "show" | "diff" | "blame" | "describe" | "rev-parse"
            | "rev-list" | "ls-files" | "ls-tree" | "cat-file" | "grep" | "shortlog" | "reflog"
            | "name-rev" | "merge-base" | "for-each-ref" | "show-ref" | "cherry" | "range-diff"
            | "check-ignore" | "check-attr" | "count-objects" | "var" | "version" | "help"
            | "whatchanged" | "diff-tree" | "diff-index" | "verify-commit" | "symbolic-ref" => {
                if has(&[
                    "--output",
                    "--ext-diff",
                    "--textconv",
                    "-O",
                    "--open-files-in-pager",
                ]) {
                    self.unknown("runs git with an option that writes or runs something");
                }
            }
            "add" | "commit" | "branch" | "tag" | "stash" | "notes" | "init" | "gc" | "prune"
            | "fsck" | "worktree" | "bundle" | "update-index"
                if !(verb == "stash" && has(&["pop", "apply", "branch"])
                    || verb == "worktree" && has(&["add", "move", "remove"])) =>
            {
                write(self, Effects::Bounded);
            }
            "mv" | "rm" => {
                write(self, Effects::Known);
                for word in rest
                    .iter()
                    .filter(|w| !matches!(w, Word::Known(t) if t.starts_with('-')))
                {
                    self.touch(
                        &place,
                        word,
                        if verb == "rm" {
                            Access::Delete
                        } else {
                            Access::Write
                        },
                        true,
                        Change::Unknown,
                    );
                }
            }
            "checkout" | "restore" if texts.contains(&"--") || verb == "restore" => {
                write(self, Effects::Bounded);
                let named = rest.iter().skip_while(|w| {
                    verb == "checkout" && !matches!(w, Word::Known(t) if t == "--")
                });
                for word in named.filter(|w| !matches!(w, Word::Known(t) if t.starts_with('-'))) {
                    self.touch(&place, word, Access::Write, true, Change::Unknown);
                }
            }
            "config" => {
                if has(&[
                    "--get",
                    "--list",
                    "-l",
                    "--get-all",
                    "--get-regexp",
                    "get",
                    "list",
                ]) {
                    return;
                }
                self.class(Class::Configure);
                self.effects(Effects::Bounded);
                self.reading.parts.insert(Part::Permissions);
            }
            "remote" | "fetch" | "clone" | "ls-remote" | "submodule"
                if !has(&["--upload-pack", "-u", "foreach", "update", "add", "set-url"]) =>
            {
                self.class(Class::Network);
                self.effects(Effects::Bounded);
            }
            "push" => {
                self.class(Class::Network);
                self.unknown("pushes commits, whose content is not looked at here");
            }
            _ => {
                write(self, Effects::Unknown);
                self.unknown(format!(
                    "runs git {verb}, which changes files that its text does not name"
                ));
            }
        }
    }
}

/// A sed script of substitutions, deletions and prints: it writes no file and runs no command.
fn is_plain_sed(script: &str) -> bool {
    script.split([';', '\n']).all(|command| {
        let command = command.trim();
        let command = command.trim_start_matches(|c: char| {
            c.is_ascii_digit() || matches!(c, ',' | '$' | '!' | ' ' | '~' | '+')
        });
        let command = match command.strip_prefix('/') {
            // `/pattern/command`
            Some(rest) => match rest.split_once('/') {
                Some((_, rest)) => rest.trim_start_matches(['!', ' ', 'I']),
                None => return false,
            },
            None => command,
        };
        match command.chars().next() {
            None => true,
            Some('s') => {
                let mut rest = command.chars().skip(1);
                let Some(mark) = rest.next() else {
                    return false;
                };
                let rest: String = rest.collect();
                let mut pieces = rest.split(mark);
                let flags = pieces.by_ref().nth(2);
                pieces.next().is_none()
                    && flags.is_some_and(|f| {
                        f.chars().all(|c| {
                            c.is_ascii_digit() || matches!(c, 'g' | 'p' | 'i' | 'I' | 'm' | 'M')
                        })
                    })
            }
            Some(
                'p' | 'd' | 'q' | '=' | 'n' | 'N' | 'D' | 'P' | 'h' | 'H' | 'g' | 'G' | 'x' | '{'
                | '}',
            ) => command.len() <= 2,
            _ => false,
        }
    })
}
