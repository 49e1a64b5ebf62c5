//! What a shell line would do.
//!
//! The line is parsed and walked as a shell would run it, with what can be known of it: words that need no running to be known,
//! variables that the line itself sets, the folder that it changes to. Whatever stays unknown makes the effects unknown. See
//! [`super`] for what this is worth.

use std::collections::{BTreeSet, HashMap};

use brush_parser::ast::{
    AndOr, Command, CommandPrefixOrSuffixItem as Item, CompoundCommand, CompoundList, Pipeline,
    Program,
};
use brush_parser::{ParserOptions, parse_tokens, uncached_tokenize_str};

use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Effects};

use crate::request::Access;

use super::change::Change;
use super::commands::Commands;
use super::{guard, path};

mod command;
mod simple;
mod special;
mod word;

use word::{Vars, Word};

/// How often a shell may stand in a shell.
const MAX_SHELLS: usize = 8;

/// How many commands of one line are looked at.
const MAX_COMMANDS: usize = 2_000;

/// A file that a line touches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Touch {
    /// Absolute, not made plain; relative to a folder that is not known: nothing.
    pub(crate) path: Option<String>,
    pub(crate) access: Access,
    /// Whether what lies beneath it is touched too, or the path is a shell's pattern.
    pub(crate) beneath: bool,
    pub(crate) change: Change,
}

/// What a line would do.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) class: Class,
    pub(crate) effects: Effects,
    pub(crate) touches: Vec<Touch>,
    pub(crate) parts: BTreeSet<Part>,
    /// Why effects are unknown, for people.
    pub(crate) notes: Vec<String>,
}

/// Reads a shell line that starts in a folder.
pub(crate) fn read(line: &str, cwd: &str, commands: &Commands) -> Reading {
    let mut walk = Walk {
        commands,
        reading: Reading {
            class: Class::Read,
            effects: Effects::Known,
            touches: Vec::new(),
            parts: BTreeSet::new(),
            notes: Vec::new(),
        },
        functions: HashMap::new(),
        shells: 0,
        left: MAX_COMMANDS,
    };
    let mut here = Here {
        cwd: Some(cwd.to_owned()),
        vars: Vars::new(cwd),
    };
    walk.line(line, &mut here);
    walk.reading
}

/// Where a command runs.
#[derive(Clone, Debug)]
struct Here {
    /// The folder, if that is known.
    cwd: Option<String>,
    vars: Vars,
}

/// What a command reads.
#[derive(Clone, Debug)]
enum Input {
    /// What came in.
    Given,
    /// This text.
    Text(String),
    /// What nobody knows.
    Unknown,
}

struct Walk<'a> {
    commands: &'a Commands,
    reading: Reading,
    functions: HashMap<String, CompoundCommand>,
    shells: usize,
    left: usize,
}

/// Which of two classes says more.
fn rank(class: Class) -> u8 {
    match class {
        Class::Read => 0,
        Class::Write => 1,
        Class::Execute => 2,
        Class::Network => 3,
        Class::Delegate => 4,
        Class::Schedule => 5,
        Class::Configure => 6,
    }
}

impl Walk<'_> {
    fn class(&mut self, class: Class) {
        if rank(class) > rank(self.reading.class) {
            self.reading.class = class;
        }
    }

    fn effects(&mut self, effects: Effects) {
        self.reading.effects = self.reading.effects.max(effects);
    }

    /// Nobody knows what happens.
    fn unknown(&mut self, why: impl Into<String>) {
        self.effects(Effects::Unknown);
        self.class(Class::Execute);
        let why = why.into();
        if self.reading.notes.len() < 16 && !self.reading.notes.contains(&why) {
            self.reading.notes.push(why);
        }
    }

    fn touch(&mut self, here: &Here, word: &Word, access: Access, beneath: bool, change: Change) {
        let (text, beneath) = match word {
            Word::Known(text) => (Some(text), beneath),
            Word::Pattern(text) => (Some(text), true),
            Word::Unknown => (None, beneath),
        };
        if let Some(text) = text {
            if access.changes()
                && matches!(
                    text.as_str(),
                    "/dev/null" | "/dev/stdout" | "/dev/stderr" | "/dev/tty" | "-"
                )
            {
                return;
            }
            if text.starts_with("/dev/tcp/") || text.starts_with("/dev/udp/") {
                self.class(Class::Network);
                self.unknown("talks to another machine through /dev/tcp");
                return;
            }
        }
        let joined = text.and_then(|text| {
            let rooted = text.starts_with('/') || text.starts_with('~');
            match &here.cwd {
                Some(cwd) => Some(path::join(cwd, text)),
                None => rooted.then(|| text.clone()),
            }
        });
        if access.changes() {
            self.class(Class::Write);
            if joined.is_none() {
                self.unknown("changes a file whose name its text does not show");
            }
        }
        self.reading.touches.push(Touch {
            path: joined,
            access,
            beneath,
            change,
        });
    }

    /// A line in the shell's language.
    fn line(&mut self, line: &str, here: &mut Here) {
        if let Some(why) = guard::refuse(line) {
            self.unknown(format!("is not read: {why}"));
            return;
        }
        if self.shells >= MAX_SHELLS {
            self.unknown("has shells in shells in shells");
            return;
        }
        let options = ParserOptions::default();
        let tokenize = || uncached_tokenize_str(line, &options.tokenizer_options());
        let Some(Ok(tokens)) = guard::deeply(tokenize) else {
            self.unknown("is not shell that can be read");
            return;
        };
        if let Some(why) = guard::refuse_tokens(&tokens) {
            self.unknown(format!("is not read: {why}"));
            return;
        }
        self.shells = self.shells.saturating_add(1);
        // A syntax tree is walked and dropped as deep as it was built.
        let walked = guard::deeply(|| match parse_tokens(&tokens, &options) {
            Ok(program) => self.program(&program, here),
            Err(_) => self.unknown("is not shell that can be read"),
        });
        if walked.is_none() {
            self.unknown("is not shell that can be read");
        }
        self.shells = self.shells.saturating_sub(1);
    }

    fn program(&mut self, program: &Program, here: &mut Here) {
        for list in &program.complete_commands {
            self.list(list, here, &Input::Given);
        }
    }

    fn list(&mut self, list: &CompoundList, here: &mut Here, input: &Input) {
        for item in &list.0 {
            self.pipeline(&item.0.first, here, input);
            for next in &item.0.additional {
                let (AndOr::And(pipeline) | AndOr::Or(pipeline)) = next;
                self.pipeline(pipeline, here, input);
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, here: &mut Here, input: &Input) {
        match pipeline.seq.as_slice() {
            [alone] => self.command(alone, here, input),
            several => {
                let mut input = input.clone();
                for command in several {
                    // Each one runs in a shell of its own, and reads what the one before writes.
                    self.command(command, &mut here.clone(), &input);
                    input = self.output(command, here);
                }
            }
        }
    }

    /// What a command writes, as far as that is plain: `echo` and `printf` with known words.
    fn output(&self, command: &Command, here: &Here) -> Input {
        let Command::Simple(simple) = command else {
            return Input::Unknown;
        };
        let mut words = simple.word_or_name.iter().map(|w| here.vars.word(&w.value));
        let items = simple.suffix.iter().flat_map(|s| &s.0);
        let mut text = Vec::new();
        for item in items {
            match item {
                Item::Word(word) => match here.vars.word(&word.value) {
                    Word::Known(word) => text.push(word),
                    _ => return Input::Unknown,
                },
                _ => return Input::Unknown,
            }
        }
        match words.next() {
            Some(Word::Known(name))
                if name == "echo" && !text.iter().any(|t| t.starts_with('-')) =>
            {
                Input::Text(format!("{}\n", text.join(" ")))
            }
            Some(Word::Known(name)) if name == "printf" && text.len() == 1 => {
                let text = text.concat();
                match text.contains(['%', '\\']) {
                    true => Input::Unknown,
                    false => Input::Text(text),
                }
            }
            _ => Input::Unknown,
        }
    }

    fn command(&mut self, command: &Command, here: &mut Here, input: &Input) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => {
                self.unknown("has too many commands");
                return;
            }
        }
        match command {
            Command::Simple(simple) => self.simple(simple, here, input),
            Command::Compound(compound, redirects) => {
                let mut input = input.clone();
                for redirect in redirects.iter().flat_map(|r| &r.0) {
                    self.redirect(redirect, here, &mut input);
                }
                self.compound(compound, here, &input);
            }
            Command::Function(function) => {
                let name = function.fname.value.clone();
                self.functions.insert(name, function.body.0.clone());
                if let Some(redirects) = &function.body.1 {
                    for redirect in &redirects.0 {
                        self.redirect(redirect, here, &mut Input::Given);
                    }
                }
            }
            Command::ExtendedTest(test, redirects) => {
                // A test looks; what is substituted in its words runs.
                let text = test.expr.to_string();
                self.substitutions(&text, here);
                for redirect in redirects.iter().flat_map(|r| &r.0) {
                    self.redirect(redirect, here, &mut Input::Given);
                }
            }
        }
    }

    fn compound(&mut self, compound: &CompoundCommand, here: &mut Here, input: &Input) {
        match compound {
            CompoundCommand::Arithmetic(arithmetic) => {
                self.substitutions(&arithmetic.expr.value, here);
                here.vars.forget_all();
            }
            CompoundCommand::ArithmeticForClause(clause) => {
                let parts = [&clause.initializer, &clause.condition, &clause.updater];
                for part in parts.into_iter().flatten() {
                    self.substitutions(&part.value, here);
                }
                here.vars.forget_all();
                self.list(&clause.body.list, here, input);
            }
            CompoundCommand::BraceGroup(group) => self.list(&group.list, here, input),
            CompoundCommand::Subshell(shell) => self.list(&shell.list, &mut here.clone(), input),
            CompoundCommand::ForClause(clause) => {
                let words: Option<Vec<Word>> = clause.values.as_ref().map(|values| {
                    let words = values.iter().map(|w| {
                        self.substitutions(&w.value, here);
                        here.vars.word(&w.value)
                    });
                    words.collect()
                });
                let name = &clause.variable_name;
                // What one round sets, the next one sees.
                match words.filter(|w| w.len() <= 32) {
                    Some(words) => {
                        for word in words {
                            here.vars.set(name, word);
                            self.list(&clause.body.list, here, input);
                        }
                    }
                    None => {
                        here.vars.set(name, Word::Unknown);
                        self.list(&clause.body.list, here, input);
                    }
                }
            }
            CompoundCommand::CaseClause(clause) => {
                self.substitutions(&clause.value.value, here);
                for case in &clause.cases {
                    let mut inner = here.clone();
                    if let Some(list) = &case.cmd {
                        self.list(list, &mut inner, input);
                    }
                    here.join(&inner);
                }
            }
            CompoundCommand::IfClause(clause) => {
                self.list(&clause.condition, here, input);
                let mut branches = vec![&clause.then];
                for other in clause.elses.iter().flatten() {
                    if let Some(condition) = &other.condition {
                        self.list(condition, here, input);
                    }
                    branches.push(&other.body);
                }
                let before = here.clone();
                for branch in branches {
                    let mut inner = before.clone();
                    self.list(branch, &mut inner, input);
                    here.join(&inner);
                }
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                // How often it runs is not known, so neither is what it sets or where it ends up.
                let mut inner = here.clone();
                inner.vars.forget_all();
                self.list(&clause.0, &mut inner, input);
                let once = inner.clone();
                self.list(&clause.1.list, &mut inner, input);
                if inner.cwd != once.cwd {
                    inner.cwd = None;
                    self.list(&clause.1.list, &mut inner, input);
                }
                here.join(&inner);
            }
            CompoundCommand::Coprocess(process) => {
                self.command(&process.body, &mut here.clone(), input);
            }
        }
    }

    /// Walks what is substituted in a word: `$(…)`, backquotes.
    fn substitutions(&mut self, word: &str, here: &Here) {
        if !word.contains(['$', '`', '<', '>']) {
            return;
        }
        self.run_all(word::substituted(word), here);
    }

    fn run_all(&mut self, lines: Option<Vec<String>>, here: &Here) {
        match lines {
            Some(lines) => {
                for line in lines {
                    self.line(&line, &mut here.clone());
                }
            }
            None => self.unknown("has a word that cannot be read"),
        }
    }
}

impl Here {
    /// What is known whichever way was taken.
    fn join(&mut self, other: &Self) {
        if self.cwd != other.cwd {
            self.cwd = None;
        }
        self.vars.join(&other.vars);
    }
}
