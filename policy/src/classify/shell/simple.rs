//! One simple command as the parser gives it: its words, what it sets, and where its input and output go.

use brush_parser::ast::{
    Assignment, AssignmentName, AssignmentValue, CommandPrefixOrSuffixItem as Item,
    IoFileRedirectKind as Kind, IoFileRedirectTarget as Goal, IoRedirect, SimpleCommand,
};

use super::super::change::Change;
use super::word::{self, Word};
use super::{Here, Input, Walk};
use crate::request::Access;

impl Walk<'_> {
    pub(super) fn redirect(&mut self, redirect: &IoRedirect, here: &Here, input: &mut Input) {
        match redirect {
            IoRedirect::File(_, kind, goal) => {
                let access = match kind {
                    Kind::Read | Kind::DuplicateInput => Access::Read,
                    _ => Access::Write,
                };
                match goal {
                    Goal::Filename(word) => {
                        self.substitutions(&word.value, here);
                        let word = here.vars.word(&word.value);
                        if access == Access::Read {
                            *input = Input::Unknown;
                        }
                        self.touch(here, &word, access, false, Change::Unknown);
                    }
                    Goal::Fd(_) => {}
                    Goal::ProcessSubstitution(_, shell) => {
                        *input = Input::Unknown;
                        self.list(&shell.list, &mut here.clone(), &Input::Unknown);
                    }
                    Goal::Duplicate(word) => {
                        self.substitutions(&word.value, here);
                        match here.vars.word(&word.value) {
                            // A descriptor, or the end of one.
                            Word::Known(text)
                                if text
                                    .trim_end_matches('-')
                                    .bytes()
                                    .all(|b| b.is_ascii_digit()) => {}
                            word => self.touch(here, &word, access, false, Change::Unknown),
                        }
                    }
                }
            }
            IoRedirect::OutputAndError(word, _) => {
                self.substitutions(&word.value, here);
                let word = here.vars.word(&word.value);
                self.touch(here, &word, Access::Write, false, Change::Unknown);
            }
            IoRedirect::HereDocument(_, document) => {
                *input = if document.requires_expansion {
                    self.run_all(word::substituted_in_text(&document.doc.value), here);
                    here.vars
                        .text(&document.doc.value)
                        .map_or(Input::Unknown, Input::Text)
                } else {
                    Input::Text(document.doc.value.clone())
                };
            }
            IoRedirect::HereString(_, word) => {
                self.substitutions(&word.value, here);
                *input = match here.vars.word(&word.value) {
                    Word::Known(text) => Input::Text(format!("{text}\n")),
                    _ => Input::Unknown,
                };
            }
        }
    }

    pub(super) fn simple(&mut self, simple: &SimpleCommand, here: &mut Here, input: &Input) {
        let mut input = input.clone();
        let mut words: Vec<Word> = Vec::new();
        let mut set: Vec<(String, Word)> = Vec::new();
        let mut outputs = Vec::new();
        let prefix = simple.prefix.iter().flat_map(|p| &p.0);
        let suffix = simple.suffix.iter().flat_map(|s| &s.0);
        let all = prefix.map(|i| (true, i)).chain(suffix.map(|i| (false, i)));
        if let Some(name) = &simple.word_or_name {
            self.substitutions(&name.value, here);
            words.extend(here.vars.words(&name.value));
        }
        for (is_prefix, item) in all {
            match item {
                Item::IoRedirect(redirect) => {
                    if let IoRedirect::File(
                        _,
                        Kind::Write | Kind::Append | Kind::Clobber,
                        Goal::Filename(word),
                    ) = redirect
                    {
                        self.substitutions(&word.value, here);
                        outputs.push((
                            here.vars.word(&word.value),
                            matches!(redirect, IoRedirect::File(_, Kind::Append, _)),
                        ));
                    } else {
                        self.redirect(redirect, here, &mut input);
                    }
                }
                Item::Word(word) => {
                    self.substitutions(&word.value, here);
                    words.extend(here.vars.words(&word.value));
                }
                Item::AssignmentWord(assignment, word) => {
                    self.substitutions(&word.value, here);
                    if is_prefix {
                        set.push(assigned(assignment, here));
                    } else {
                        words.extend(here.vars.words(&word.value));
                        // `export A=b`, `declare A=b`
                        let (name, value) = assigned(assignment, here);
                        if is_trap(&name) {
                            self.unknown(format!("sets {name}, which makes programs run others"));
                        }
                        here.vars.set(&name, value);
                    }
                }
                Item::ProcessSubstitution(_, shell) => {
                    self.list(&shell.list, &mut here.clone(), &Input::Unknown);
                    words.push(Word::Known("/dev/fd/63".to_owned()));
                }
            }
        }
        let written = self.written(&words, &input, &outputs);
        for (word, _) in &outputs {
            self.touch(here, word, Access::Write, false, written.clone());
        }
        for (name, _) in &set {
            if is_trap(name) {
                self.unknown(format!("sets {name}, which makes programs run others"));
            }
        }
        if words.is_empty() {
            for (name, value) in set {
                here.vars.set(&name, value);
            }
            return;
        }
        self.run(&words, here, &input);
    }

    /// What a file is after a command wrote to it, where that is plain: `cat > f <<EOF`, `echo text > f`.
    fn written(&self, words: &[Word], input: &Input, outputs: &[(Word, bool)]) -> Change {
        let [(_, false)] = outputs else {
            return Change::Unknown;
        };
        match (words, input) {
            ([Word::Known(name)], Input::Text(text)) if name == "cat" => {
                Change::Content(text.clone().into_bytes())
            }
            _ => Change::Unknown,
        }
    }
}

/// A variable and what is assigned to it.
fn assigned(assignment: &Assignment, here: &Here) -> (String, Word) {
    match (&assignment.name, &assignment.value) {
        (AssignmentName::VariableName(name), AssignmentValue::Scalar(word))
            if !assignment.append =>
        {
            (name.clone(), here.vars.word(&word.value))
        }
        (AssignmentName::VariableName(name) | AssignmentName::ArrayElementName(name, _), _) => {
            (name.clone(), Word::Unknown)
        }
    }
}

/// Variables by which a program runs another one, or finds another one than its name says.
pub(super) fn is_trap(name: &str) -> bool {
    const NAMES: [&str; 24] = [
        "PATH",
        "BASH_ENV",
        "ENV",
        "IFS",
        "PROMPT_COMMAND",
        "SHELL",
        "SHELLOPTS",
        "BASHOPTS",
        "PS4",
        "EDITOR",
        "VISUAL",
        "PAGER",
        "MANPAGER",
        "LESSOPEN",
        "LESSCLOSE",
        "BROWSER",
        "NODE_OPTIONS",
        "RUBYOPT",
        "PERL5OPT",
        "PYTHONSTARTUP",
        "JAVA_TOOL_OPTIONS",
        "HOME",
        "CDPATH",
        "TMPDIR",
    ];
    const STARTS: [&str; 9] = [
        "LD_",
        "DYLD_",
        "GIT_",
        "BASH_FUNC",
        "PYTHONPATH",
        "PYTHONHOME",
        "CLAUDE_",
        "CODEX_",
        "TACHO_",
    ];
    NAMES.contains(&name) || STARTS.iter().any(|start| name.starts_with(start))
}
