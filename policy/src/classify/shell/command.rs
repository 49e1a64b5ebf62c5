//! One command with its words: by the table, or by code of its own where the table cannot say it.

use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Effects};

use super::super::change::{Change, read_patch};
use super::super::commands::{Operands, Row, Special};
use super::word::{Word, base, is_of_system};
use super::{Here, Input, Walk};
use crate::request::Access;

/// How often a function may call itself.
const MAX_CALLS: usize = 16;

impl Walk<'_> {
    /// Runs a command.
    pub(super) fn run(&mut self, words: &[Word], here: &mut Here, input: &Input) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return self.unknown("has too many commands"),
        }
        let Some((first, rest)) = words.split_first() else {
            return;
        };
        let Word::Known(name) = first else {
            return self.unknown("runs a program whose name its text does not show");
        };
        if let Some(body) = self.functions.get(name).cloned() {
            // What a function is given, its body does not know.
            self.shells = self.shells.saturating_add(1);
            if self.shells > MAX_CALLS {
                self.unknown("calls functions in functions in functions");
            } else {
                self.compound(&body, here, input);
            }
            self.shells = self.shells.saturating_sub(1);
            return;
        }
        if name.contains('/') && !is_of_system(name) {
            self.touch(here, first, Access::Execute, false, Change::Unknown);
            return self.unknown(format!("runs the program {name}"));
        }
        let name = base(name);
        if name == "apply_patch" || name == "applypatch" {
            return self.apply_patch(rest, here, input);
        }
        let first_known = rest.iter().find_map(|w| match w {
            Word::Known(text) => Some(text.as_str()),
            _ => None,
        });
        let Some(row) = self.commands.find(name, first_known).cloned() else {
            return self.unknown(format!("runs {name}, of which nothing is known"));
        };
        match row.special {
            None => self.by_table(name, &row, rest, here),
            Some(Special::Awk) => self.awk(rest, here),
            Some(Special::Cd) => self.cd(rest, here),
            Some(Special::Dd) => self.dd(rest, here),
            Some(Special::Eval) => match known(rest) {
                Some(words) => self.line(&words.join(" "), here),
                None => self.unknown("evaluates what its text does not show"),
            },
            Some(Special::Find) => self.find(rest, here),
            Some(Special::Gh) => self.gh(rest),
            Some(Special::Git) => self.git(rest, here),
            Some(Special::Root) => {
                self.unknown(format!("runs as another user by {name}"));
                self.wrapped(&row, rest, here, input);
            }
            Some(Special::Sed) => self.sed(rest, here),
            Some(Special::Shell) => self.shell(name, rest, here, input),
            Some(Special::Trap) => match rest {
                [Word::Known(line), ..] if line != "-" && !line.is_empty() => {
                    self.line(line, &mut here.clone());
                }
                [Word::Known(_), ..] | [] => {}
                _ => self.unknown("evaluates what its text does not show"),
            },
            Some(Special::Wrapper) => self.wrapped(&row, rest, here, input),
            Some(Special::Xargs) => {
                let (options, command) = head(&row, rest);
                if options.iter().any(|o| !matches!(o, Word::Known(_))) {
                    return self.unknown("has an option that its text does not show");
                }
                if command.is_empty() {
                    return;
                }
                let mut command = command.to_vec();
                command.push(Word::Unknown);
                self.run(&command, &mut here.clone(), &Input::Unknown);
            }
        }
    }

    fn by_table(&mut self, name: &str, row: &Row, words: &[Word], here: &Here) {
        self.class(row.class);
        self.effects(row.effects);
        if row.effects == Effects::Unknown {
            self.unknown(format!("runs {name}, which may do anything"));
            self.class(row.class);
        }
        self.reading.parts.extend(row.parts.iter().copied());
        let Some(operands) = self.operands(name, row, words, here) else {
            return;
        };
        let operands = operands.get(row.skip..).unwrap_or_default();
        let touch = |walk: &mut Self, word: &Word, access: Access, beneath: bool| {
            let change = if access == Access::Delete {
                Change::Delete
            } else {
                Change::Unknown
            };
            walk.touch(here, word, access, beneath, change);
        };
        match (row.args, operands.split_last()) {
            (Operands::None, _) | (_, None) => {}
            (Operands::Read, _) => operands
                .iter()
                .for_each(|w| touch(self, w, Access::Read, true)),
            (Operands::Write, _) => operands
                .iter()
                .for_each(|w| touch(self, w, Access::Write, true)),
            (Operands::Delete, _) => operands
                .iter()
                .for_each(|w| touch(self, w, Access::Delete, true)),
            (Operands::Copy | Operands::Link | Operands::Move, Some((last, others))) => {
                let from = if row.args == Operands::Move {
                    Access::Delete
                } else {
                    Access::Read
                };
                for other in others {
                    touch(self, other, from, true);
                    // In a folder, the file keeps its name.
                    if let (Word::Known(file), Word::Known(folder)) = (other, last) {
                        let inside = format!("{}/{}", folder.trim_end_matches('/'), base(file));
                        touch(self, &Word::Known(inside), Access::Write, false);
                    }
                }
                match (row.args, others) {
                    (Operands::Link, []) => {
                        if let Word::Known(goal) = last {
                            touch(
                                self,
                                &Word::Known(base(goal).to_owned()),
                                Access::Write,
                                false,
                            );
                        }
                    }
                    _ => touch(self, last, Access::Write, true),
                }
            }
        }
    }

    /// The operands; options are looked at. `None` if an option makes everything unknown.
    fn operands(
        &mut self,
        name: &str,
        row: &Row,
        words: &[Word],
        here: &Here,
    ) -> Option<Vec<Word>> {
        let mut operands = Vec::new();
        let mut words = words.iter();
        let mut only_operands = false;
        while let Some(word) = words.next() {
            let text = match word {
                Word::Known(text) if !only_operands && text.len() > 1 && text.starts_with('-') => {
                    text
                }
                // What is not known may be an option.
                Word::Unknown
                    if !only_operands && !(row.unknown.is_empty() && row.writes.is_empty()) =>
                {
                    self.unknown(format!(
                        "gives {name} an option that its text does not show"
                    ));
                    operands.push(word.clone());
                    continue;
                }
                _ => {
                    operands.push(word.clone());
                    continue;
                }
            };
            if text == "--" {
                only_operands = true;
                continue;
            }
            let (option, value) = match text.split_once('=') {
                Some((option, value)) if text.starts_with("--") => (option, Some(value)),
                _ => (text.as_str(), None),
            };
            if row.unknown.iter().any(|o| same(o, option)) {
                self.unknown(format!("runs {name} {option}, which may do anything"));
                return None;
            }
            if let Some(written) = row.writes.iter().find(|o| same(o, option)) {
                let value = match (value, option.strip_prefix(written.as_str())) {
                    (Some(value), _) => Some(Word::Known(value.to_owned())),
                    (None, Some(glued)) if !glued.is_empty() && !option.starts_with("--") => {
                        Some(Word::Known(glued.to_owned()))
                    }
                    _ => words.next().cloned(),
                };
                if let Some(value) = value {
                    self.touch(here, &value, Access::Write, true, Change::Unknown);
                }
                continue;
            }
            if value.is_none() && row.values.iter().any(|o| o == option) {
                words.next();
            }
        }
        Some(operands)
    }

    /// A command that runs the command in its words.
    fn wrapped(&mut self, row: &Row, words: &[Word], here: &mut Here, input: &Input) {
        let (options, command) = head(row, words);
        for option in options {
            match option {
                Word::Known(text) if row.unknown.iter().any(|o| same(o, text)) => {
                    self.unknown(format!("runs another command by {text}"));
                }
                Word::Known(_) => {}
                _ => self.unknown("has an option that its text does not show"),
            }
        }
        let command = command.get(row.skip..).unwrap_or_default();
        // `env A=b command`
        let set = command
            .iter()
            .take_while(|w| matches!(w, Word::Known(t) if t.split_once('=').is_some_and(|(n, _)| !n.is_empty() && !n.contains('/'))))
            .count();
        for word in command.iter().take(set) {
            if let Word::Known(text) = word
                && let Some((name, _)) = text.split_once('=')
                && super::is_trap(name)
            {
                self.unknown(format!("sets {name}, which makes programs run others"));
            }
        }
        self.run(command.get(set..).unwrap_or_default(), here, input);
    }

    fn cd(&mut self, words: &[Word], here: &mut Here) {
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

    fn dd(&mut self, words: &[Word], here: &Here) {
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

    fn shell(&mut self, name: &str, words: &[Word], here: &mut Here, input: &Input) {
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
                    drop(words.next())
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

    fn apply_patch(&mut self, words: &[Word], here: &Here, input: &Input) {
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

    fn find(&mut self, words: &[Word], here: &Here) {
        let is_test = |w: &Word| matches!(w, Word::Known(t) if t.starts_with(['-', '(', ')', '!']));
        let folders: Vec<&Word> = words.iter().take_while(|w| !is_test(w)).collect();
        let mut rest = words.iter().skip(folders.len());
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

    fn sed(&mut self, words: &[Word], here: &Here) {
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

    fn awk(&mut self, words: &[Word], here: &Here) {
        let mut words = words.iter();
        let program = loop {
            match words.next() {
                Some(Word::Known(text)) if text == "-F" || text == "-v" => drop(words.next()),
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

    fn gh(&mut self, words: &[Word]) {
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

    fn git(&mut self, words: &[Word], here: &mut Here) {
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
                if !(verb == "stash" && has(&["pop", "apply", "branch"]))
                    && !(verb == "worktree" && has(&["add", "move", "remove"])) =>
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

/// Splits off the options of a command that runs another one.
fn head<'w>(row: &Row, words: &'w [Word]) -> (&'w [Word], &'w [Word]) {
    let mut at = 0_usize;
    while let Some(Word::Known(text)) = words.get(at) {
        if text == "--" {
            at = at.saturating_add(1);
            break;
        }
        if !text.starts_with('-') || text == "-" {
            break;
        }
        let takes_value = row.values.iter().any(|o| o == text);
        at = at.saturating_add(if takes_value { 2 } else { 1 });
    }
    words.split_at_checked(at).unwrap_or((words, &[]))
}

/// Whether a word is this option: `--output`, `-o`, `-oFILE`, or one letter among several.
fn same(option: &str, word: &str) -> bool {
    if option == word {
        return true;
    }
    match (option.strip_prefix('-'), word.strip_prefix('-')) {
        (Some(letter), Some(letters)) if letter.len() == 1 && !letters.starts_with('-') => {
            letters.contains(letter)
        }
        // GNU takes the beginning of a long name for the name.
        (Some(long), Some(short))
            if long.starts_with('-') && short.starts_with('-') && short.len() > 2 =>
        {
            let name = short.split('=').next().unwrap_or(short);
            long.starts_with(name)
        }
        _ => false,
    }
}

/// The texts of words that are all known.
fn known(words: &[Word]) -> Option<Vec<&str>> {
    words
        .iter()
        .map(|w| match w {
            Word::Known(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
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
