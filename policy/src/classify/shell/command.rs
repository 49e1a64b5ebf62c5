//! One command with its words: by the table, or by code of its own where the table cannot say it.

use tacho_schemas::body::work::Effects;

use super::super::change::Change;
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
        let is = |wanted: &str| {
            rest.iter()
                .any(|w| matches!(w, Word::Known(t) if t == wanted))
        };
        if name == "command" && (is("-v") || is("-V")) {
            return;
        }
        if matches!(
            name,
            "read" | "mapfile" | "readarray" | "getopts" | "let" | "unset" | "printf"
        ) {
            // Sets variables to what its text does not show.
            here.vars.forget_all();
        }
        for word in rest {
            if matches!(
                name,
                "export" | "declare" | "typeset" | "readonly" | "local"
            ) && let Word::Known(text) = word
                && super::simple::is_trap(text.split('=').next().unwrap_or_default())
            {
                self.unknown(format!("sets {text}, which makes programs run others"));
            }
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
                    if !(only_operands || row.unknown.is_empty() && row.writes.is_empty()) =>
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
                let glued = option
                    .strip_prefix(written.as_str())
                    .filter(|g| !g.is_empty());
                let value = match (value, glued) {
                    (Some(value), _) => Some(Word::Known(value.to_owned())),
                    (None, Some(glued)) if !option.starts_with("--") => {
                        Some(Word::Known(glued.to_owned()))
                    }
                    _ if option == written => words.next().cloned(),
                    // One letter among several: its value may be the next word, which may be an option as well.
                    _ => words.clone().next().cloned(),
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
                && super::simple::is_trap(name)
            {
                self.unknown(format!("sets {name}, which makes programs run others"));
            }
        }
        self.run(command.get(set..).unwrap_or_default(), here, input);
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
pub(super) fn same(option: &str, word: &str) -> bool {
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
pub(super) fn known(words: &[Word]) -> Option<Vec<&str>> {
    words
        .iter()
        .map(|w| match w {
            Word::Known(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}
