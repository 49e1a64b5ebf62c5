//! What a tool call would do, read from its text.
//!
//! This is advice to policy and never the boundary. A program can do what its name does not say, a script can be written now and run
//! later, a path can lead elsewhere by the time it is opened. What is certain is only that the cell confines a process and that
//! the watcher sees bytes change. So everything that is not understood is `unknown`, and a policy lets unknown effects flow only
//! where something else bounds them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use tacho_schemas::Hash;
use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Effects};

use crate::json::Json;
use crate::request::{Access, Call, Target};

pub mod change;
mod commands;
mod guard;
mod parts;
mod path;
mod shell;
pub mod tools;

use change::Change;
use commands::Commands;
use parts::Parts;
pub(crate) use path::plain;
use tools::{Does, Tool};

/// The longest input that is looked at, in bytes of its texts.
const MAX_INPUT: usize = 16 << 20;

/// What a call would do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Classified {
    /// What is done to the bytes of each target, in the same order: for whoever shows the change or makes it.
    pub changes: Vec<Change>,
    /// What it does.
    pub class: Class,
    /// How well its effects are known.
    pub effects: Effects,
    /// Why they are not known, each a half sentence that begins with a verb. They may quote the call: pass them through
    /// [`tacho_schemas::safe`] before a person sees them.
    pub notes: Vec<String>,
    /// Whether something that it changes lies outside the workspace.
    pub outside: bool,
    /// The parts that it changes or may change.
    pub parts: BTreeSet<Part>,
    /// The parts that it reads.
    pub reads: BTreeSet<Part>,
    /// The files that it touches.
    pub targets: Vec<Target>,
}

/// What a caller knows of the disk. This crate never looks.
pub trait Resolver {
    /// The absolute path that an absolute path leads to as the kernel would walk it: every symbolic link followed, `.` and `..`
    /// taken where they stand. Of a file that does not exist, the path that it would have. `~` and `~/…` are the caller's home.
    /// `None` where nobody could tell.
    fn resolve(&self, path: &str) -> Option<String>;

    /// The bytes of a file at a resolved path: no bytes if it does not exist, `None` if they could not be read or are too many.
    fn read(&self, resolved: &str) -> Option<Vec<u8>>;
}

/// A disk of which nothing is known.
#[derive(Clone, Copy, Debug)]
pub struct Unseen;

impl Resolver for Unseen {
    fn resolve(&self, _: &str) -> Option<String> {
        None
    }

    fn read(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

/// Why a table cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the table of {table}: {what}")]
pub struct Error {
    table: &'static str,
    what: String,
}

impl Error {
    fn new(table: &'static str, what: &dyn std::fmt::Display) -> Self {
        let what = what.to_string().trim().to_owned();
        Self { table, what }
    }
}

/// Classifies a call by the built-in tables.
pub fn classify(call: &Call, resolver: &dyn Resolver) -> Classified {
    static BUILT_IN: LazyLock<Result<Classifier, Error>> =
        LazyLock::new(|| Classifier::new("", ""));
    match &*BUILT_IN {
        Ok(classifier) => classifier.classify(call, resolver),
        // Tests read the tables; a table that cannot be read knows nothing.
        Err(error) => Classified::unknown(error.to_string()),
    }
}

/// The tables, built-in ones with rows of one's own.
#[derive(Clone, Debug)]
pub struct Classifier {
    parts: Parts,
    commands: Commands,
}

impl Classified {
    fn unknown(why: String) -> Self {
        Self {
            changes: Vec::new(),
            class: Class::Execute,
            effects: Effects::Unknown,
            notes: vec![why],
            outside: false,
            parts: BTreeSet::new(),
            reads: BTreeSet::new(),
            targets: Vec::new(),
        }
    }

    fn of(class: Class, effects: Effects) -> Self {
        Self {
            class,
            effects,
            notes: Vec::new(),
            ..Self::unknown(String::new())
        }
    }
}

impl Classifier {
    /// Reads tables in the form of `parts.toml` and `commands.toml`, whose rows are added to the built-in ones.
    pub fn new(parts: &str, commands: &str) -> Result<Self, Error> {
        Ok(Self {
            parts: Parts::new(parts)?,
            commands: Commands::new(commands)?,
        })
    }

    /// Classifies a call.
    pub fn classify(&self, call: &Call, resolver: &dyn Resolver) -> Classified {
        let Some(tool) = tools::find(call.tool.as_str()) else {
            return Classified::unknown(format!(
                "uses {}, a tool of which nothing is known",
                call.tool
            ));
        };
        let ground = Ground {
            call,
            parts: &self.parts,
            resolver,
        };
        if size(&call.input) > MAX_INPUT {
            return Classified::unknown("has an input of more than 16 MiB".to_owned());
        }
        match tool.does {
            Does::Shell => self.shell(tool, &ground),
            Does::Patch => ground.patch(tool),
            Does::Write | Does::Edit | Does::Delete => ground.edit(tool),
            Does::Read => {
                let mut read = Classified::of(Class::Read, Effects::Known);
                for path in ground.paths(tool) {
                    ground.touch(&mut read, path, Access::Read, true, Change::Unknown);
                }
                read
            }
            Does::Nothing => {
                let class = tool.class.unwrap_or(Class::Execute);
                let mut done = Classified::of(class, tool.effects.unwrap_or(Effects::Known));
                done.parts.extend(tool.parts.iter().copied());
                done
            }
        }
    }

    fn shell(&self, tool: &Tool, ground: &Ground<'_>) -> Classified {
        // A list of words is what some harnesses give; it is run without a shell.
        let texts: Vec<String> = tool
            .text
            .iter()
            .filter_map(|name| ground.call.input.field(name))
            .filter_map(command_line)
            .collect();
        let [line] = texts.as_slice() else {
            return Classified::unknown(
                "has no command that can be read, or more than one".to_owned(),
            );
        };
        let cwd = ["workdir", "dir_path", "directory", "cwd"]
            .iter()
            .find_map(|name| ground.call.input.field(name)?.as_text())
            .map_or(ground.call.cwd.clone(), |dir| {
                path::join(&ground.call.cwd, dir)
            });
        let reading = shell::read(line, &cwd, &self.commands);
        let mut done = Classified::of(reading.class, reading.effects);
        done.notes = reading.notes;
        done.parts = reading.parts;
        for touch in reading.touches {
            if let Some(path) = &touch.path {
                ground.touch(&mut done, path, touch.access, touch.beneath, touch.change);
            }
        }
        done
    }
}

/// A command as a line: a text, or words that are quoted again. The words `bash -lc LINE` are the line.
fn command_line(input: &Json) -> Option<String> {
    if let Some(line) = input.as_text() {
        return Some(line.to_owned());
    }
    let words: Vec<&str> = input
        .as_list()?
        .iter()
        .map(Json::as_text)
        .collect::<Option<_>>()?;
    let quoted = words
        .iter()
        .map(|w| format!("'{}'", w.replace('\'', "'\\''")));
    (!words.is_empty()).then(|| quoted.collect::<Vec<_>>().join(" "))
}

/// How many bytes the texts of an input have.
fn size(input: &Json) -> usize {
    match input {
        Json::Text(text) => text.len(),
        Json::List(list) => list.iter().map(size).fold(0, usize::saturating_add),
        Json::Map(fields) => fields.values().map(size).fold(0, usize::saturating_add),
        _ => 0,
    }
}

/// What a call stands on.
struct Ground<'a> {
    call: &'a Call,
    parts: &'a Parts,
    resolver: &'a dyn Resolver,
}

impl<'a> Ground<'a> {
    /// Every path that the input names: a tool takes one of them, and which one is not ours to guess.
    fn paths(&self, tool: &Tool) -> Vec<&'a str> {
        let named = |name: &String| self.call.input.field(name)?.as_text();
        tool.path.iter().filter_map(named).collect()
    }

    fn edit(&self, tool: &Tool) -> Classified {
        let mut done = Classified::of(Class::Write, Effects::Known);
        let input = &self.call.input;
        let (access, change) = match tool.does {
            Does::Delete => (Access::Delete, Change::Delete),
            Does::Edit => (
                Access::Write,
                change::read_edit(input, &tool.old, &tool.new, &tool.all),
            ),
            _ => {
                let content = Tool::text(&tool.text, input).map(|t| t.as_bytes().to_vec());
                (
                    Access::Write,
                    content.map_or(Change::Unknown, Change::Content),
                )
            }
        };
        let paths = self.paths(tool);
        if paths.is_empty() {
            done.effects = Effects::Unknown;
            done.notes.push("names no file".to_owned());
        }
        for path in paths {
            self.touch(&mut done, path, access, false, change.clone());
        }
        done
    }

    fn patch(&self, tool: &Tool) -> Classified {
        let mut done = Classified::of(Class::Write, Effects::Known);
        let Some(files) = Tool::text(&tool.text, &self.call.input).and_then(change::read_patch)
        else {
            done.effects = Effects::Unknown;
            done.notes
                .push("applies a patch that cannot be read".to_owned());
            return done;
        };
        for file in files {
            match (&file.to, &file.change) {
                (Some(to), change) => {
                    // What the old file becomes is what the new one is.
                    let made = self
                        .bytes(&file.path)
                        .and_then(|before| change.apply(&before));
                    self.touch(&mut done, &file.path, Access::Delete, false, Change::Delete);
                    let made = made.map_or(Change::Unknown, Change::Content);
                    self.touch(&mut done, to, Access::Write, false, made);
                }
                (None, Change::Delete) => {
                    self.touch(&mut done, &file.path, Access::Delete, false, Change::Delete)
                }
                (None, change) => {
                    self.touch(&mut done, &file.path, Access::Write, false, change.clone())
                }
            }
        }
        done
    }

    fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let resolved = self.resolver.resolve(&path::join(&self.call.cwd, path))?;
        self.resolver.read(&resolved)
    }

    /// Adds a file to what a call touches.
    fn touch(
        &self,
        done: &mut Classified,
        given: &str,
        access: Access,
        beneath: bool,
        change: Change,
    ) {
        let joined = path::join(&self.call.cwd, given);
        let plain = path::plain(&joined);
        let resolved = self.resolver.resolve(&joined).map(|r| path::plain(&r));
        let workspace = path::plain(&self.call.workspace);
        let real_workspace = self
            .resolver
            .resolve(&workspace)
            .map_or(workspace.clone(), |w| path::plain(&w));
        // Its name and what the name leads to: an edit through a link changes both.
        let mut parts = BTreeSet::new();
        let mut look = |path: &str, workspace: &str| {
            parts.extend(if beneath {
                self.parts.beneath(path, workspace)
            } else {
                self.parts.of(path, workspace)
            });
        };
        look(&plain, &workspace);
        if let Some(resolved) = &resolved
            && (resolved, &real_workspace) != (&plain, &workspace)
        {
            look(resolved, &real_workspace);
        }
        let before = match (&resolved, beneath && access.changes()) {
            (Some(resolved), false) if !parts.is_empty() || access.changes() => {
                self.resolver.read(resolved)
            }
            _ => None,
        };
        let after = match access {
            Access::Delete if !beneath => Some(Vec::new()),
            Access::Write => before.as_deref().and_then(|before| change.apply(before)),
            _ => None,
        };
        if let Some(after) = &after {
            parts.extend(self.parts.of_content(&plain, after));
        }
        let real = resolved.as_deref().unwrap_or(&plain);
        let inside = path::below(real, &real_workspace).or_else(|| {
            // Where nothing could be resolved, texts are compared with texts.
            resolved
                .is_none()
                .then(|| path::below(&plain, &workspace))
                .flatten()
        });
        if access.changes() {
            let scratch = real.starts_with("/tmp/") || real.starts_with("/var/tmp/");
            done.outside |= inside.is_none() && !scratch;
            done.parts.extend(parts.iter().copied());
        } else {
            done.reads.extend(parts.iter().copied());
        }
        done.targets.push(Target {
            access,
            after: after.as_deref().map(Hash::sha256),
            before: before.as_deref().map(Hash::sha256),
            parts,
            path: given.to_owned(),
            relative: inside.map(str::to_owned),
            resolved,
        });
        done.changes.push(change);
    }
}
