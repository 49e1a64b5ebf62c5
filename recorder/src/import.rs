//! Real files become records: other people's transcripts and lineages.
//!
//! What an importer makes is a claim of the file: `via import`, with the file's own times as claimed times. The original bytes are
//! kept as artefacts, so that a better importer can read them again; what this one did not understand is counted by type in the
//! closing `import` record, and nothing is dropped in silence.
//!
//! ```text
//! file ─▶ guess ─▶ import(open, original bytes) ─▶ session, message, action, … (cause, claimed time) ─▶ import(close, losses)
//! ```

mod adas;
mod atif;
mod claude_code;
mod codeevolve;
mod codex;
mod git;
pub(crate) mod json;
mod lineage;
pub(crate) mod lines;
mod openevolve;
pub(crate) mod pieces;
pub(crate) mod raw;
mod sink;
mod transcript;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tacho_schemas::body::Body;
use tacho_schemas::body::log::Phase;
use tacho_schemas::content::Field;
use tacho_schemas::{Hash, Kind, Seq};

use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::log::Log;
use crate::read::View;

use lines::Lines;
pub use sink::Sink;

/// A format of other people's files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Archives of ADAS, a JSON array of agent designs.
    Adas,
    /// Trajectories in the Agent Trajectory Interchange Format, one document a file.
    Atif,
    /// Transcripts of Claude Code, `.claude/projects/*/<session>.jsonl`.
    ClaudeCode,
    /// Islands of CodeEvolve, one JSON object a line.
    CodeEvolve,
    /// Rollouts of Codex, `.codex/sessions/**/rollout-*.jsonl`.
    Codex,
    /// Git repositories.
    Git,
    /// Checkpoints of OpenEvolve, a folder.
    OpenEvolve,
}

impl Format {
    /// Every format with its name and what it is.
    pub const ALL: &'static [(&'static str, Self, &'static str)] = &[
        (
            "adas",
            Self::Adas,
            "archives of ADAS (a JSON array of agent designs)",
        ),
        (
            "atif",
            Self::Atif,
            "trajectories in the Agent Trajectory Interchange Format 1.4 to 1.8 (*.json)",
        ),
        (
            "claude-code",
            Self::ClaudeCode,
            "transcripts of Claude Code (.claude/projects/*/*.jsonl)",
        ),
        (
            "codeevolve",
            Self::CodeEvolve,
            "islands of CodeEvolve (prompts and solutions, one JSON object a line)",
        ),
        (
            "codex",
            Self::Codex,
            "rollouts of Codex (.codex/sessions/**/rollout-*.jsonl)",
        ),
        (
            "git",
            Self::Git,
            "git repositories (a folder with .git, or a bare one)",
        ),
        (
            "openevolve",
            Self::OpenEvolve,
            "checkpoints of OpenEvolve (a folder with metadata.json and programs/)",
        ),
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, format, _)| *format == self)
            .map_or("unknown", |(name, ..)| name)
    }

    /// Finds a format by name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(n, ..)| *n == name)
            .map(|(_, format, _)| *format)
    }

    /// Guesses the format of a file or folder, and says by what.
    fn guess(path: &Path) -> Result<(Self, &'static str)> {
        if path.is_dir() {
            if let Some(why) = openevolve::looks_like(path) {
                return Ok((Self::OpenEvolve, why));
            }
            if let Some(why) = git::looks_like(path) {
                return Ok((Self::Git, why));
            }
        }
        let head = lines::head(path)?;
        let guesses = [
            (Self::Atif, atif::looks_like(&head)),
            (Self::ClaudeCode, claude_code::looks_like(&head)),
            (Self::Codex, codex::looks_like(&head)),
        ];
        if let Some(found) = guesses
            .into_iter()
            .find_map(|(format, why)| Some((format, why?)))
        {
            return Ok(found);
        }
        if let Some(why) = codeevolve::looks_like(&head) {
            return Ok((Self::CodeEvolve, why));
        }
        if let Some(why) = adas::looks_like(&head) {
            return Ok((Self::Adas, why));
        }
        let names: Vec<_> = Self::ALL
            .iter()
            .map(|(name, ..)| format!("`{name}`"))
            .collect();
        Err(Error::new(
            ErrorKind::Usage,
            format!("the format of {} cannot be guessed", Quoted(path)),
        )
        .with_hint(format!("name it with `--format`: {}", names.join(", "))))
    }
}

/// What is to be imported, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// A file or folder.
    pub path: PathBuf,
    /// Its format; guessed if not named.
    pub format: Option<Format>,
    /// Which commits of a git repository; all behind `HEAD` if not named.
    pub range: Option<String>,
    /// Although it was imported before.
    pub again: bool,
}

/// What became of a file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Its format.
    pub format: Format,
    /// By what the format was guessed, if it was.
    pub guessed: Option<&'static str>,
    /// The opening and the closing import record.
    pub records: (Seq, Seq),
    /// Records made, by kind.
    pub counts: BTreeMap<Kind, u64>,
    /// What was not understood, by type.
    pub losses: BTreeMap<String, u64>,
    /// What the source says twice and the records say once, by type.
    pub repeats: BTreeMap<String, u64>,
}

/// Imports a file. `progress` hears how many bytes of how many are read.
///
/// The log must be open in this process alone and its epochs must not end by themselves meanwhile
/// ([`crate::log::Options::for_import`]): records under way name each other by number.
pub fn import(
    log: &Log,
    view: &View<'_>,
    request: &Request,
    known: &mut Known,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Imported> {
    let (format, guessed) = match request.format {
        Some(format) => (format, None),
        None => Format::guess(&request.path).map(|(format, why)| (format, Some(why)))?,
    };
    let source = Source::open(format, request)?;
    let (digest, lengths) = source.digest()?;
    let length = lengths.first().copied().unwrap_or(0);
    if !request.again
        && let Some((open, close)) = find(view, &digest)?
    {
        let until = close.map_or("its end".to_owned(), |seq| seq.to_string());
        return Err(Error::new(
            ErrorKind::Exists,
            format!(
                "{} was imported before, as records {open} to {until}",
                Quoted(&request.path)
            ),
        )
        .with_hint("`--again` imports it once more"));
    }
    // A document is looked at before anything is recorded of it.
    let document = match format {
        Format::Atif => Some(atif::Document::read(&request.path)?),
        _ => None,
    };
    let mut sink = Sink::open(log, format, &request.path, &source, &lengths, &digest)?;
    match (format, &source) {
        (Format::Atif, _) => {
            if let Some(document) = &document {
                document.import(&mut sink, known, progress)?;
            }
        }
        (Format::Codex, _) => {
            let lines = Lines::open(&request.path, length)?;
            codex::import(lines, &request.path, &mut sink, known, progress)?;
        }
        (Format::Adas, _) => adas::import(&request.path, &mut sink, progress)?,
        (Format::ClaudeCode, _) => {
            let lines = Lines::open(&request.path, length)?;
            claude_code::import(lines, &request.path, &mut sink, known, progress)?;
        }
        (Format::CodeEvolve, _) => {
            let lines = Lines::open(&request.path, length)?;
            codeevolve::import(lines, &request.path, &mut sink, progress)?;
        }
        (Format::Git, Source::Git(history)) => git::import(history, &mut sink, progress)?,
        (Format::OpenEvolve, Source::Files(files)) => {
            openevolve::import(files, &mut sink, progress)?;
        }
        (Format::Git, Source::Files(_)) | (Format::OpenEvolve, Source::Git(_)) => {}
    }
    let closed = sink.close(format)?;
    Ok(Imported {
        format,
        guessed,
        records: closed.records,
        counts: closed.counts,
        losses: closed.losses,
        repeats: closed.repeats,
    })
}

/// What earlier files of the same run said, so that sub-agents in files of their own find their parents.
#[derive(Debug, Default)]
pub struct Known {
    /// Sessions by the id that their source gave them.
    pub(crate) sessions: BTreeMap<String, Seq>,
}

/// What is read, and what of it is kept as it is.
enum Source {
    /// Files, whose bytes are kept.
    Files(Vec<PathBuf>),
    /// A repository, whose ids are kept.
    Git(git::History),
}

impl Source {
    /// Opens what the user named; refuses what is not of the format as a whole, before anything is recorded.
    fn open(format: Format, request: &Request) -> Result<Self> {
        let path = &request.path;
        if request.range.is_some() && format != Format::Git {
            return Err(Error::new(
                ErrorKind::Usage,
                "a range of commits is for git repositories",
            ));
        }
        Ok(match format {
            Format::Adas => {
                adas::check(path)?;
                Self::Files(vec![path.to_owned()])
            }
            Format::Atif | Format::ClaudeCode | Format::CodeEvolve | Format::Codex => {
                Self::Files(vec![path.to_owned()])
            }
            Format::Git => Self::Git(git::history(path, request.range.as_deref())?),
            Format::OpenEvolve => Self::Files(openevolve::files(path)?),
        })
    }

    /// What it is recognised by when it comes again, and how long its files are: what they grow by is not part of the import.
    fn digest(&self) -> Result<(Hash, Vec<u64>)> {
        match self {
            Self::Files(files) => lines::digest(files),
            Self::Git(history) => Ok((history.digest, Vec::new())),
        }
    }
}

/// Finds the import of a file with this digest.
fn find(view: &View<'_>, digest: &Hash) -> Result<Option<(Seq, Option<Seq>)>> {
    let wanted = digest.to_string();
    let mut found: Option<(Seq, Option<Seq>)> = None;
    let mut open = None;
    // Import records are few; all others are passed over by their kind, without decoding them.
    view.of_kind(Kind::Import, |shown| {
        let Ok(record) = &shown.meaning else {
            return Ok(());
        };
        let Body::Import(body) = &record.body else {
            return Ok(());
        };
        match body.phase {
            Phase::Open if shown.text(Field::Digest) == Some(&wanted) => open = Some(shown.seq),
            Phase::Close if open.is_some() && record.causes().first().copied() == open => {
                found = open.take().map(|seq| (seq, Some(shown.seq)));
            }
            _ => {}
        }
        Ok::<(), Error>(())
    })?;
    Ok(found.or(open.map(|seq| (seq, None))))
}

/// Whether a file's beginning looks like a rollout of Codex.
pub(crate) fn looks_like_codex(head: &str) -> bool {
    codex::looks_like(head).is_some()
}
