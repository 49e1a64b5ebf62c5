//! Git repositories: a commit is a generation, each file that it changes is a mutation.
//!
//! What a commit says of itself (message, author, dates) is a claim of whoever made it. Names and mails of people stand in erasable
//! content alone; the actor's id is a keyed hash of them. A merge is compared with its first parent. The repository is the original
//! and is not copied whole: kept are the ids of all commits, which no other content can have, and the changed texts.

mod repo;

use std::collections::HashMap;

use tacho_schemas::body::change::{Change, Fate, Generation, Known, Mutation};
use tacho_schemas::content::Field;
use tacho_schemas::event::{Attachment, Event};
use tacho_schemas::record::{Actor, ActorType, Claimed, Role};
use tacho_schemas::scalar::List;
use tacho_schemas::{Id, Seq, Time};

use super::Sink;
use super::lineage::{Why, rationale};
use super::pieces::{changed, other};
use crate::error::Result;
use repo::{Changed, Talk};

pub(super) use repo::{History, history, looks_like};

/// The longest blob that is kept.
const MAX_BLOB: u64 = 1 << 20;

/// The most mutations that a generation names itself; more stand in its manifest.
const MAX_MUTATIONS: usize = 256;

/// The most parents that a generation names.
const MAX_PARENTS: usize = 64;

/// Reads the commits into the sink.
pub(super) fn import(
    history: &History,
    sink: &mut Sink<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let repo = &history.repo;
    let mut reader = Reader {
        sink,
        objects: repo.talk(&["cat-file", "--batch"])?,
        sizes: repo.talk(&["cat-file", "--batch-check"])?,
        changes: repo.talk(&[
            "diff-tree",
            "--stdin",
            "--no-commit-id",
            "-r",
            "-z",
            "-M",
            "--root",
            "--raw",
            "--no-abbrev",
            "--no-ext-diff",
            "--no-textconv",
            "--ignore-submodules=none",
        ])?,
        key: *history.digest.as_bytes(),
        made: HashMap::new(),
        first: None,
    };
    let all = u64::try_from(history.commits.len()).unwrap_or(u64::MAX);
    for (done, id) in (1..).zip(&history.commits) {
        reader.commit(id)?;
        progress(done, all);
    }
    Ok(())
}

struct Reader<'a, 'log> {
    sink: &'a mut Sink<'log>,
    objects: Talk,
    sizes: Talk,
    changes: Talk,
    /// For the ids of authors: who does not have it cannot try names.
    key: [u8; 32],
    made: HashMap<String, Seq>,
    first: Option<Seq>,
}

impl Reader<'_, '_> {
    fn commit(&mut self, id: &str) -> Result<()> {
        let Some(bytes) = self.objects.commit(id)? else {
            self.sink.lose("commit_not_readable");
            return Ok(());
        };
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                self.sink.lose("commit_not_utf8");
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
        };
        let commit = Commit::read(self.sink, &text);
        let mut parents = Vec::new();
        for parent in &commit.parents {
            parents.extend(self.generation_of(parent)?);
        }
        let over = parents.len().saturating_sub(MAX_PARENTS);
        self.sink
            .lose_many("parents_over_64", u64::try_from(over).unwrap_or(0));
        parents.truncate(MAX_PARENTS);

        let mut mutations = Vec::new();
        let parent = commit.parents.first().copied();
        let comparable = match parent {
            Some(parent) => self.sizes.header(parent)?.is_some(),
            None => true,
        };
        if comparable {
            let mut changes = Vec::new();
            self.changes.changes(id, parent, |change| {
                changes.push(change);
                Ok(())
            })?;
            for change in changes {
                mutations.extend(self.mutation(&commit, change, &parents)?);
            }
        } else {
            // All its files would look new.
            self.sink.lose("changes_unknown_without_parent");
        }

        let body = Generation {
            lineage: self.first,
            parents: List::some(parents.clone())?,
            inspirations: None,
            mutations: List::some(mutations.iter().copied().take(MAX_MUTATIONS).collect())?,
            ordinal: None,
            branch: None,
            fate: Fate::Alive,
        };
        let mut event = Event::new(self.author(commit.committer.who)?, body)
            .with(Field::Name, short(id))
            .with(Field::SourceId, id)
            .with(Field::Digest, commit.tree);
        if !commit.subject.is_empty() {
            event = event.with(Field::Summary, commit.subject);
        }
        if mutations.len() > MAX_MUTATIONS {
            let more = mutations.len() - MAX_MUTATIONS;
            self.sink.lose_many(
                "mutations_only_in_manifest",
                u64::try_from(more).unwrap_or(0),
            );
            let lines: Vec<_> = mutations.iter().map(ToString::to_string).collect();
            event.artefacts = vec![Attachment {
                role: Role::Manifest,
                path: None,
                media_type: Some("text/plain".to_owned()),
                unredacted_blake3: None,
                bytes: format!("mutations\n{}\n", lines.join("\n")).into_bytes(),
            }];
        }
        event.claimed = commit.committer.claimed();
        event.causes = parents;
        let room = tacho_schemas::record::MAX_CAUSES - event.causes.len();
        event.causes.extend(mutations.into_iter().take(room));
        self.put(id, event)?;
        Ok(())
    }

    fn put(&mut self, id: &str, event: Event) -> Result<Option<Seq>> {
        let seq = self.sink.put(event)?;
        if let Some(seq) = seq {
            self.first.get_or_insert(seq);
            self.made.insert(id.to_owned(), seq);
        }
        Ok(seq)
    }

    /// The generation of a parent; a new one with fate `missing` if it lies outside of what is imported.
    fn generation_of(&mut self, id: &str) -> Result<Option<Seq>> {
        if let Some(seq) = self.made.get(id) {
            return Ok(Some(*seq));
        }
        let body = Generation {
            lineage: self.first,
            parents: None,
            inspirations: None,
            mutations: None,
            ordinal: None,
            branch: None,
            fate: Fate::Missing,
        };
        let event = Event::new(other(ActorType::System, "git")?, body)
            .with(Field::Name, short(id))
            .with(Field::SourceId, id);
        self.put(id, event)
    }

    fn mutation(
        &mut self,
        commit: &Commit<'_>,
        change: Changed,
        parents: &[Seq],
    ) -> Result<Option<Seq>> {
        let path = self.path(&change.path);
        let from = change.from.as_deref().map(|from| self.path(from));
        let before = self.text(&change.old_mode, &change.old)?;
        let after = self.text(&change.new_mode, &change.new)?;
        let what = match change.status.as_bytes().first() {
            Some(b'A') => Change::Create,
            Some(b'D') => Change::Delete,
            Some(b'R') => Change::Rename,
            Some(b'M') if change.old == change.new => Change::Mode,
            Some(b'M' | b'T') => Change::Modify,
            _ => {
                self.sink.lose(&format!("status:{}", change.status));
                Change::Modify
            }
        };
        if change.old_mode != change.new_mode && matches!(what, Change::Modify | Change::Rename) {
            self.sink.lose("mode_changed_too");
        }
        let complete = before != Side::Unknown && after != Side::Unknown;
        let mut files = changed(Some(&path), before.text(), after.text(), true);
        if !complete {
            // A difference with something unknown would lie.
            files.files.retain(|file| file.role != Role::Diff);
        }
        if let Some(from) = from {
            for file in &mut files.files {
                if file.role == Role::Before {
                    file.path = Some(from.clone());
                }
            }
        }
        let (rationale, words) = rationale(&mut Why {
            summary: Some(commit.subject.to_owned()),
            reasoning: Some(commit.body.to_owned()),
            provenance: None,
        })?;
        let body = Mutation {
            parts: None,
            rationale: Some(rationale),
            change: what,
            known: Known::Declared,
            proposer: None,
            action: None,
            approvals: None,
            applied_by: None,
            reverts: None,
            added: complete.then_some(files.added),
            removed: complete.then_some(files.removed),
        };
        let mut event = Event::new(self.author(commit.author.who)?, body);
        event.content = words;
        event = event.with(Field::Path, path);
        if !commit.author.who.is_empty() {
            event = event.with(Field::Name, commit.author.who);
        }
        event.artefacts = files.files;
        event.claimed = commit.author.claimed();
        event.causes = parents.to_vec();
        self.sink.put(event)
    }

    fn path(&mut self, bytes: &[u8]) -> String {
        if std::str::from_utf8(bytes).is_err() {
            self.sink.lose("path_not_utf8");
        }
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Reads one side of a change.
    fn text(&mut self, mode: &str, id: &str) -> Result<Side> {
        if id.bytes().all(|b| b == b'0') {
            return Ok(Side::Nothing);
        }
        if mode == "160000" {
            self.sink.lose("submodule");
            return Ok(Side::Unknown);
        }
        let text = match self.sizes.header(id)? {
            None => {
                self.sink.lose("blob_missing");
                return Ok(Side::Unknown);
            }
            Some((_, size)) if size > MAX_BLOB => None,
            Some(_) => self
                .objects
                .object(id, MAX_BLOB)?
                .and_then(|(_, bytes)| String::from_utf8(bytes).ok())
                .filter(|text| !text.contains('\0')),
        };
        Ok(match text {
            Some(text) => Side::Text(text),
            None => {
                self.sink.lose("blob_not_kept");
                Side::Unknown
            }
        })
    }

    /// Somebody, by a keyed hash of name and mail.
    fn author(&self, who: &str) -> Result<Actor> {
        let hash = blake3::keyed_hash(&self.key, who.as_bytes()).to_hex();
        let id = Id::new(format!("git-author-{}", hash.get(..8).unwrap_or_default()))?;
        let robot = who.contains("[bot]");
        Ok(Actor {
            // Git cannot tell an agent that commits under a person's name from the person.
            actor_type: if robot {
                ActorType::System
            } else {
                ActorType::Human
            },
            id,
            model: None,
            on_behalf_of: None,
        })
    }
}

/// One side of a changed file.
#[derive(Eq, PartialEq)]
enum Side {
    /// The file is not there.
    Nothing,
    /// Its text.
    Text(String),
    /// It is there, but not kept.
    Unknown,
}

impl Side {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Who did something, and when.
#[derive(Clone, Copy, Default)]
struct Stamp<'a> {
    /// Name and mail.
    who: &'a str,
    time: Option<Time>,
}

impl<'a> Stamp<'a> {
    /// Reads "Name <mail> seconds zone".
    fn read(sink: &mut Sink<'_>, line: &'a str) -> Self {
        let (who, when) = match line.rfind('>').and_then(|at| line.split_at_checked(at + 1)) {
            Some(parts) => parts,
            None => (line, ""),
        };
        let seconds = when.split_whitespace().next().unwrap_or_default();
        let time = seconds
            .parse::<i64>()
            .ok()
            .and_then(|seconds| seconds.checked_mul(1_000_000_000))
            .map(Time);
        if time.is_none() {
            sink.lose("time_malformed");
        }
        Self {
            who: who.trim(),
            time,
        }
    }

    fn claimed(&self) -> Option<Claimed> {
        self.time.map(|time| Claimed {
            start: Some(time),
            end: None,
        })
    }
}

/// What a commit says of itself.
#[derive(Default)]
struct Commit<'a> {
    tree: &'a str,
    parents: Vec<&'a str>,
    author: Stamp<'a>,
    committer: Stamp<'a>,
    subject: &'a str,
    body: &'a str,
}

impl<'a> Commit<'a> {
    fn read(sink: &mut Sink<'_>, text: &'a str) -> Self {
        let mut commit = Self::default();
        let (headers, message) = text.split_once("\n\n").unwrap_or((text, ""));
        for line in headers.lines() {
            // The rest of a signature or of another long header.
            if line.starts_with(' ') {
                continue;
            }
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "tree" => commit.tree = value,
                "parent" => commit.parents.push(value),
                "author" => commit.author = Stamp::read(sink, value),
                "committer" => commit.committer = Stamp::read(sink, value),
                _ => sink.lose(&format!("commit:{key}")),
            }
        }
        let message = message.trim();
        let (subject, body) = message.split_once('\n').unwrap_or((message, ""));
        commit.subject = subject.trim();
        commit.body = body.trim();
        commit
    }
}

/// A commit's id for people.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
