//! Which part a file is of: the table `parts.toml`.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use serde::Deserialize;

use tacho_schemas::body::Part;

use super::Error;
use super::path::{below, fold};

const BUILT_IN: &str = include_str!("../../parts.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    part: Vec<Row>,
    #[serde(default)]
    content: Vec<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    part: Part,
    #[serde(default)]
    anywhere: Vec<String>,
    #[serde(default)]
    root: Vec<String>,
    #[serde(default)]
    absolute: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    part: Part,
    files: String,
    contains: Vec<String>,
}

/// Where a pattern holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Absolute,
    Anywhere,
    Root,
}

/// The table of parts.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    patterns: GlobSet,
    rows: Vec<(Part, Place, Vec<String>)>,
    contents: Vec<(Part, GlobMatcher, Vec<String>)>,
}

impl Parts {
    /// Reads the built-in table and one more.
    pub(crate) fn new(more: &str) -> Result<Self, Error> {
        let mut set = GlobSetBuilder::new();
        let (mut rows, mut contents) = (Vec::new(), Vec::new());
        for text in [BUILT_IN, more] {
            let file: File = toml::from_str(text).map_err(|e| Error::new("parts", &e))?;
            for row in file.part {
                let places = [
                    (Place::Anywhere, &row.anywhere),
                    (Place::Root, &row.root),
                    (Place::Absolute, &row.absolute),
                ];
                for (place, patterns) in places {
                    for pattern in patterns {
                        let pattern = fold(pattern);
                        let pattern = pattern.trim_start_matches('/');
                        let full = match place {
                            Place::Anywhere => format!("**/{pattern}"),
                            Place::Absolute | Place::Root => pattern.to_owned(),
                        };
                        set.add(glob(&full)?);
                        let example = example(pattern);
                        rows.push((row.part, place, example));
                    }
                }
            }
            for content in file.content {
                let files = glob(&format!("**/{}", fold(&content.files)))?.compile_matcher();
                contents.push((content.part, files, content.contains));
            }
        }
        let patterns = set.build().map_err(|e| Error::new("parts", &e))?;
        Ok(Self {
            patterns,
            rows,
            contents,
        })
    }

    /// The parts of a file: `path` is plain and absolute.
    pub(crate) fn of(&self, path: &str, workspace: &str) -> BTreeSet<Part> {
        let inside = below(path, workspace);
        let name = fold(inside.unwrap_or(path));
        let name = name.trim_start_matches(['/', '~']).trim_start_matches('/');
        let hits = self.patterns.matches(name).into_iter();
        let rows = hits.filter_map(|hit| self.rows.get(hit));
        rows.filter(|(_, place, _)| match place {
            Place::Anywhere => true,
            Place::Root => inside.is_some(),
            Place::Absolute => inside.is_none(),
        })
        .map(|(part, ..)| *part)
        .collect()
    }

    /// The parts that may lie in a folder, or in whatever a shell pattern matches: `path` is plain and absolute.
    ///
    /// Only what a pattern's own words say: that some folder of sources holds a Dockerfile is not known here.
    pub(crate) fn beneath(&self, path: &str, workspace: &str) -> BTreeSet<Part> {
        let mut found = self.of(path, workspace);
        let mut all = |wanted: &dyn Fn(Place, &[String]) -> bool| {
            let rows = self.rows.iter();
            let hits = rows.filter(|(_, place, example)| wanted(*place, example));
            found.extend(hits.map(|(part, ..)| *part));
        };
        let (folder, home) = (fold(path), fold(workspace));
        if below(&home, &folder).is_some() {
            // The workspace itself, or a folder above it.
            all(&|_, _| true);
            return found;
        }
        let inside = below(&folder, &home);
        let names: Vec<Name<'_>> = inside
            .unwrap_or(&folder)
            .split('/')
            .filter(|n| !n.is_empty() && *n != "~")
            .map(|text| Name {
                text,
                is_pattern: text.contains(['*', '?', '[']),
            })
            .collect();
        all(&|place, example| match place {
            Place::Root => inside.is_some() && fits(&names, example),
            Place::Absolute => inside.is_none() && fits(&names, example),
            // Somewhere below these folders the example's own may begin.
            Place::Anywhere => {
                (0..names.len()).any(|at| names.get(at..).is_some_and(|tail| fits(tail, example)))
            }
        });
        found
    }

    /// The parts that a file shows by its content.
    pub(crate) fn of_content(&self, path: &str, content: &[u8]) -> BTreeSet<Part> {
        let path = fold(path);
        let mut found = BTreeSet::new();
        for (part, files, words) in &self.contents {
            if files.is_match(&path) {
                let text = String::from_utf8_lossy(content);
                if words.iter().any(|w| text.contains(w.as_str())) {
                    found.insert(*part);
                }
            }
        }
        found
    }
}

fn glob(pattern: &str) -> Result<globset::Glob, Error> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|e| Error::new("parts", &e))
}

/// One path that a pattern matches, name by name: the words that a person sees in it.
fn example(pattern: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            // The first of the alternatives.
            '{' => {
                let inner: String = rest.by_ref().take_while(|c| *c != '}').collect();
                plain.push_str(inner.split(',').next().unwrap_or_default());
            }
            c => plain.push(c),
        }
    }
    plain
        .split('/')
        .map(|name| match name {
            "**" => "x".to_owned(),
            // `*.tf` is no file called `.tf`.
            name if name.starts_with("*.") => name.replacen('*', "x", 1).replace('*', ""),
            name => match name.replace('*', "") {
                bare if bare.is_empty() => "x".to_owned(),
                bare => bare,
            },
        })
        .collect()
}

/// A name in a path, perhaps a shell pattern.
struct Name<'a> {
    text: &'a str,
    is_pattern: bool,
}

/// Whether names lead to a path or to a folder above it.
fn fits(names: &[Name<'_>], path: &[String]) -> bool {
    names.len() <= path.len()
        && !names.is_empty()
        && names.iter().zip(path).all(|(name, part)| {
            name.text == part.as_str()
                || (name.is_pattern
                    // A shell's `*` passes over hidden names.
                    && (!part.starts_with('.') || name.text.starts_with('.'))
                    && GlobBuilder::new(name.text)
                        .build()
                        .map_or(true, |g| g.compile_matcher().is_match(part)))
        })
}
