//! What changed, word by word: a part before and after, with the reason that was given for it.

use std::time::{Duration, Instant};

use similar::{Algorithm, ChangeTag, DiffOp, DiffTag, TextDiff};
use tacho_recorder::filter::{Filter, Pattern, Term};
use tacho_recorder::index::{Order, Query};
use tacho_recorder::read::{Shown, View};
use tacho_recorder::{Error, why};
use tacho_schemas::body::Body;
use tacho_schemas::body::change::Mutation;
use tacho_schemas::content::Field;
use tacho_schemas::links::Link;
use tacho_schemas::record::{ActorType, Record, Role as Artefact};
use tacho_schemas::{Kind, Seq};

use super::Mind;
use super::paint::Painter;
use crate::doc::Piece;
use crate::row::parts;
use crate::text::{said, said_lines};
use crate::theme::Role;

/// Lines around a change that stay.
const CONTEXT: usize = 3;

/// A comparison may take so long; then it is coarser.
const PATIENCE: Duration = Duration::from_millis(500);

/// The longest text that is compared.
const LONGEST: usize = 4 << 20;

/// Generations that are walked back.
const STEPS: usize = 4096;

/// What a part is compared with.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Against {
    /// What it was before.
    #[default]
    Parent,
    /// What it was at the root of its lineage.
    Root,
    /// What it was when a human last approved a change of it.
    Approved,
}

impl Against {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Root => "root",
            Self::Approved => "last approved by a human",
        }
    }

    pub(crate) fn next(self) -> Self {
        match self {
            Self::Parent => Self::Root,
            Self::Root => Self::Approved,
            Self::Approved => Self::Parent,
        }
    }
}

/// All that changed with a record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) files: Vec<FileChange>,
    /// What stands in the place of files.
    pub(crate) none: Option<String>,
}

/// One part, before and after.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileChange {
    /// Its path, or what it is called.
    pub(crate) name: String,
    pub(crate) part: String,
    /// Which states are compared.
    pub(crate) sides: (String, String),
    pub(crate) added: usize,
    pub(crate) removed: usize,
    pub(crate) lines: Vec<DiffLine>,
    /// Why, as the agent says: what sort of reason, and its lines.
    pub(crate) reasons: Vec<(String, Vec<String>)>,
    /// The whole of both sides, to colour them.
    text: Option<(String, String)>,
}

/// What a line is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sort {
    Same,
    Add,
    Remove,
    /// So many lines that are the same are left out.
    Gap,
}

/// Pieces of a line; true marks words that differ.
type Marked = Vec<(Piece, bool)>;

/// One line of a comparison.
#[derive(Clone, Debug)]
pub(crate) struct DiffLine {
    pub(crate) sort: Sort,
    /// Its number before and after.
    pub(crate) old: Option<usize>,
    pub(crate) new: Option<usize>,
    /// `strong` marks words that differ.
    pub(crate) pieces: Vec<(Piece, bool)>,
}

impl FileChange {
    /// Whether colours for code make sense.
    pub(crate) fn is_code(&self) -> bool {
        self.text.is_some()
    }

    /// Colours both sides as code.
    pub(crate) fn paint(&mut self, painter: &Painter) {
        let Some((old, new)) = &self.text else {
            return;
        };
        let old = painter.paint(&self.name, old);
        let new = painter.paint(&self.name, new);
        for line in &mut self.lines {
            let (painted, number) = match line.sort {
                Sort::Remove => (&old, line.old),
                _ => (&new, line.new),
            };
            let found = number.and_then(|n| painted.get(n.checked_sub(1)?));
            if let Some(found) = found {
                line.pieces = lay_over(&line.pieces, found);
            }
        }
    }
}

/// Gives pieces of a line the roles of the same text.
fn lay_over(pieces: &[(Piece, bool)], roles: &[Piece]) -> Vec<(Piece, bool)> {
    let mut roles = roles
        .iter()
        .flat_map(|piece| piece.text.chars().map(|c| (c, piece.role)));
    let mut out: Vec<(Piece, bool)> = Vec::new();
    for (piece, strong) in pieces {
        for c in piece.text.chars() {
            let role = match roles.next() {
                Some((found, role)) if found == c => role,
                // Painted text and shown text differ: no colours are better than wrong ones.
                _ => return pieces.to_vec(),
            };
            match out.last_mut() {
                Some((last, was)) if last.role == role && was == strong => last.text.push(c),
                _ => out.push((
                    Piece {
                        role,
                        text: c.to_string(),
                    },
                    *strong,
                )),
            }
        }
    }
    out
}

impl Mind<'_> {
    pub(super) fn diff(&mut self, seq: Seq, against: Against) -> Result<Changes, Error> {
        let mutations = self.mutations(seq)?;
        let mut changes = Changes::default();
        for mutation in mutations {
            let file = match against {
                Against::Parent => self.since_parent(mutation)?,
                _ => self.since_earlier(mutation, against)?,
            };
            match file {
                Ok(file) => changes.files.push(file),
                Err(why) => changes.none = Some(why),
            }
        }
        if changes.files.is_empty() && changes.none.is_none() {
            changes.none = Some(format!("#{seq} changed no part, and no change came of it"));
        }
        Ok(changes)
    }

    /// The mutations that a record is, made, or led to.
    fn mutations(&mut self, seq: Seq) -> Result<Vec<Seq>, Error> {
        let view = View::new(&self.reader)?;
        let Ok(record) = view.record(seq)?.meaning else {
            return Ok(Vec::new());
        };
        let of = |seq: Seq| -> Result<Vec<Seq>, Error> {
            Ok(match view.record(seq)?.meaning.map(|r| r.body) {
                Ok(Body::Generation(body)) => body.mutations.iter().flatten().copied().collect(),
                _ => Vec::new(),
            })
        };
        Ok(match &record.body {
            Body::Mutation(_) => vec![seq],
            Body::Generation(_) => of(seq)?,
            Body::Evaluation(body) => body.subject.map_or(Ok(Vec::new()), of)?,
            _ => {
                let mut found = Vec::new();
                for link in self.index.effects(seq)? {
                    let record = view.record(link.seq)?.meaning;
                    if record.is_ok_and(|r| r.kind == Kind::Mutation) {
                        found.push(link.seq);
                    }
                }
                found.dedup();
                if let (true, Body::Outcome(body)) = (found.is_empty(), &record.body) {
                    for link in body
                        .of
                        .map_or(Ok(Vec::new()), |of| self.index.effects(of))?
                    {
                        let record = view.record(link.seq)?.meaning;
                        if record.is_ok_and(|r| r.kind == Kind::Mutation) {
                            found.push(link.seq);
                        }
                    }
                }
                found
            }
        })
    }

    fn since_parent(&self, seq: Seq) -> Result<Result<FileChange, String>, Error> {
        let view = View::new(&self.reader)?;
        let shown = view.record(seq)?;
        let Some(body) = mutation(&shown) else {
            return Ok(Err(format!("#{seq} is not understood")));
        };
        let mut file = FileChange::about(&shown, body);
        file.sides = ("before".to_owned(), format!("#{seq}"));
        let before = artefact(&view, &shown, Artefact::Before)?;
        let after = artefact(&view, &shown, Artefact::After)?;
        if before.is_some() || after.is_some() {
            file.compare(before.unwrap_or_default(), after.unwrap_or_default());
            return Ok(Ok(file));
        }
        match artefact(&view, &shown, Artefact::Diff)? {
            Some(diff) => {
                file.read(&diff);
                Ok(Ok(file))
            }
            None => Ok(Err(format!(
                "of #{seq} no bytes were kept: neither before, after, nor a diff"
            ))),
        }
    }

    /// Compares what a mutation made with what the part was earlier.
    fn since_earlier(
        &mut self,
        seq: Seq,
        against: Against,
    ) -> Result<Result<FileChange, String>, Error> {
        let view = View::new(&self.reader)?;
        let shown = view.record(seq)?;
        let Some(body) = mutation(&shown) else {
            return Ok(Err(format!("#{seq} is not understood")));
        };
        let Some(after) = artefact(&view, &shown, Artefact::After)? else {
            return Ok(Err(format!("of #{seq} the bytes after it were not kept")));
        };
        // The search on the way takes a moment of its own.
        drop(view);
        let way = self.way_back(&shown, body)?;
        let view = View::new(&self.reader)?;
        let earlier = match against {
            Against::Approved => way.iter().find(|seq| {
                let record = view.record(**seq).ok().and_then(|s| s.meaning.ok());
                record.is_some_and(|record| is_by_human(&record))
            }),
            _ => way.last(),
        };
        let Some(earlier) = earlier else {
            return Ok(Err(match against {
                Against::Approved => "no human approved any change on the way here".to_owned(),
                _ => format!("#{seq} is the first change of this part"),
            }));
        };
        let then = view.record(*earlier)?;
        let Some(before) = artefact(&view, &then, Artefact::After)? else {
            return Ok(Err(format!(
                "of #{earlier} the bytes after it were not kept"
            )));
        };
        let mut file = FileChange::about(&shown, body);
        file.sides = (
            format!("after #{earlier}, {}", against.name()),
            format!("#{seq}"),
        );
        file.compare(before, after);
        Ok(Ok(file))
    }

    /// Earlier changes of the same part, the newest first.
    fn way_back(&self, shown: &Shown, body: &Mutation) -> Result<Vec<Seq>, Error> {
        let mut way = Vec::new();
        let path = shown.text(Field::Path).map(str::to_owned);
        let same = |other: &Shown| -> bool {
            mutation(other).is_some_and(|found| match &path {
                Some(path) => other.text(Field::Path) == Some(path),
                None => found.parts == body.parts,
            })
        };
        let mut generation = None;
        for link in self.index.effects(shown.seq)? {
            if link.relation == Link::Mutation {
                generation = Some(link.seq);
            }
        }
        // By the lineage where there is one, else by the path.
        if let Some(mut at) = generation {
            let view = View::new(&self.reader)?;
            for _ in 0..STEPS {
                let Ok(Body::Generation(found)) = view.record(at)?.meaning.map(|r| r.body) else {
                    break;
                };
                for seq in found.mutations.iter().flatten() {
                    if *seq != shown.seq && same(&view.record(*seq)?) {
                        way.push(*seq);
                    }
                }
                match found.parents.iter().flatten().next() {
                    Some(parent) => at = *parent,
                    None => break,
                }
            }
            return Ok(way);
        }
        let Some(path) = &path else {
            return Ok(way);
        };
        let filter = Filter::all(vec![
            super::kinds(&[Kind::Mutation]),
            Filter::Term(Term::Path(vec![Pattern::exact(path.as_str())])),
        ]);
        let query = Query {
            filter: &filter,
            range: 0..shown.seq.0,
            order: Order::NewestFirst,
        };
        self.index.search(&self.reader, &query, |other| {
            if same(&other) {
                way.push(other.seq);
            }
            Ok::<_, Error>(match way.len() < STEPS {
                true => std::ops::ControlFlow::Continue(()),
                false => std::ops::ControlFlow::Break(()),
            })
        })?;
        Ok(way)
    }
}

/// Whether a human stood behind a change.
pub(super) fn is_by_human(record: &Record) -> bool {
    match &record.body {
        Body::Mutation(body) => {
            record.actor.actor_type == ActorType::Human
                || body
                    .approvals
                    .as_ref()
                    .is_some_and(|a| !a.as_slice().is_empty())
        }
        _ => false,
    }
}

/// What a record says of a mutation.
pub(super) fn mutation(shown: &Shown) -> Option<&Mutation> {
    match &shown.meaning {
        Ok(record) => match &record.body {
            Body::Mutation(body) => Some(body),
            _ => None,
        },
        Err(_) => None,
    }
}

/// The text of an artefact of a record, if it is held.
pub(super) fn artefact(
    view: &View<'_>,
    shown: &Shown,
    role: Artefact,
) -> Result<Option<String>, Error> {
    let descriptors = shown.descriptors();
    let Some((_, descriptor)) = descriptors.into_iter().find(|(found, _)| *found == role) else {
        return Ok(None);
    };
    let kept = view.snapshot().artefact(&descriptor.blake3)?;
    Ok(kept.map(|kept| String::from_utf8_lossy(&kept.bytes).into_owned()))
}

impl FileChange {
    fn about(shown: &Shown, body: &Mutation) -> Self {
        let mut reasons = Vec::new();
        for (field, what) in [
            (Field::Goal, "goal"),
            (Field::Summary, "summary"),
            (Field::Reasoning, "reasoning"),
            (Field::ExpectedEffect, "expected effect"),
        ] {
            if let Some(text) = shown.text(field) {
                reasons.push((what.to_owned(), said_lines(text)));
            }
        }
        let path = shown
            .text(Field::Path)
            .map_or_else(|| why::first_words(shown), str::to_owned);
        Self {
            name: said(&path),
            part: parts(body.parts.iter().flatten()),
            reasons,
            ..Self::default()
        }
    }

    /// Compares two texts.
    fn compare(&mut self, before: String, after: String) {
        if before.len().max(after.len()) > LONGEST {
            let words = format!(
                "too long to compare: {} and {} bytes",
                before.len(),
                after.len()
            );
            self.lines.push(plain(Sort::Gap, None, None, words));
            return;
        }
        let (old, new) = (said_lines(&before), said_lines(&after));
        let old: Vec<&str> = old.iter().map(String::as_str).collect();
        let new: Vec<&str> = new.iter().map(String::as_str).collect();
        let diff = TextDiff::configure()
            .algorithm(Algorithm::Patience)
            .deadline(Instant::now() + PATIENCE)
            .diff_slices(&old, &new);
        let mut last = 0;
        for group in diff.grouped_ops(CONTEXT) {
            let begin = group.first().map_or(0, |op| op.new_range().start);
            self.gap(begin.saturating_sub(last));
            for op in &group {
                self.op(op, &old, &new);
            }
            last = group.last().map_or(last, |op| op.new_range().end);
        }
        self.gap(new.len().saturating_sub(last));
        self.text = Some((old.join("\n"), new.join("\n")));
    }

    fn gap(&mut self, same: usize) {
        if same > 0 {
            let plural = if same == 1 { "" } else { "s" };
            let words = format!("{same} line{plural} the same");
            self.lines.push(plain(Sort::Gap, None, None, words));
        }
    }

    fn op(&mut self, op: &DiffOp, old: &[&str], new: &[&str]) {
        let (before, after) = (op.old_range(), op.new_range());
        if op.tag() == DiffTag::Equal {
            for (at, now) in before.zip(after) {
                let words = new.get(now).copied().unwrap_or_default();
                self.lines.push(plain(
                    Sort::Same,
                    Some(at + 1),
                    Some(now + 1),
                    words.to_owned(),
                ));
            }
            return;
        }
        let pairs: Vec<_> = before.clone().zip(after.clone()).collect();
        let words: Vec<_> = pairs
            .iter()
            .map(|(at, now)| {
                let (at, now) = (old.get(*at), new.get(*now));
                by_word(
                    at.copied().unwrap_or_default(),
                    now.copied().unwrap_or_default(),
                )
            })
            .collect();
        for (place, at) in before.enumerate() {
            let pieces = words.get(place).map_or_else(
                || one(Role::Text, old.get(at).copied().unwrap_or_default(), false),
                |(was, _)| was.clone(),
            );
            self.removed += 1;
            self.lines.push(DiffLine {
                sort: Sort::Remove,
                old: Some(at + 1),
                new: None,
                pieces,
            });
        }
        for (place, now) in after.enumerate() {
            let pieces = words.get(place).map_or_else(
                || one(Role::Text, new.get(now).copied().unwrap_or_default(), false),
                |(_, is)| is.clone(),
            );
            self.added += 1;
            self.lines.push(DiffLine {
                sort: Sort::Add,
                old: None,
                new: Some(now + 1),
                pieces,
            });
        }
    }

    /// Reads a unified diff.
    fn read(&mut self, text: &str) {
        let (mut old, mut new) = (0, 0);
        for line in said_lines(text) {
            if line.starts_with("--- ") || line.starts_with("+++ ") {
                continue;
            }
            if let Some(head) = line.strip_prefix("@@ ") {
                let number = |sign: char| -> usize {
                    let found = head
                        .split_whitespace()
                        .find_map(|word| word.strip_prefix(sign));
                    let first = found.and_then(|word| word.split(',').next());
                    first.and_then(|digits| digits.parse().ok()).unwrap_or(1)
                };
                (old, new) = (number('-'), number('+'));
                self.lines.push(plain(Sort::Gap, None, None, line.clone()));
                continue;
            }
            let mut chars = line.chars();
            let (sort, at, now) = match chars.next() {
                Some('+') => (Sort::Add, None, Some(new)),
                Some('-') => (Sort::Remove, Some(old), None),
                _ => (Sort::Same, Some(old), Some(new)),
            };
            old += usize::from(at.is_some());
            new += usize::from(now.is_some());
            self.added += usize::from(sort == Sort::Add);
            self.removed += usize::from(sort == Sort::Remove);
            self.lines
                .push(plain(sort, at, now, chars.as_str().to_owned()));
        }
    }
}

fn one(role: Role, text: &str, strong: bool) -> Vec<(Piece, bool)> {
    let text = text.to_owned();
    vec![(Piece { role, text }, strong)]
}

fn plain(sort: Sort, old: Option<usize>, new: Option<usize>, words: String) -> DiffLine {
    DiffLine {
        sort,
        old,
        new,
        pieces: one(Role::Text, &words, false),
    }
}

/// Two lines with the words marked that differ; if almost all do, none are.
fn by_word(old: &str, new: &str) -> (Marked, Marked) {
    let diff = TextDiff::configure()
        .deadline(Instant::now() + PATIENCE / 10)
        .diff_words(old, new);
    if diff.ratio() < 0.4 {
        return (one(Role::Text, old, false), one(Role::Text, new, false));
    }
    let (mut was, mut is) = (Vec::new(), Vec::new());
    for change in diff.iter_all_changes() {
        let piece = |strong| {
            let text = change.value().to_owned();
            let role = Role::Text;
            (Piece { role, text }, strong)
        };
        match change.tag() {
            ChangeTag::Equal => {
                was.push(piece(false));
                is.push(piece(false));
            }
            ChangeTag::Delete => was.push(piece(true)),
            ChangeTag::Insert => is.push(piece(true)),
        }
    }
    (was, is)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(file: &FileChange) -> Vec<String> {
        let strong = |pieces: &[(Piece, bool)]| -> String {
            let marked = pieces.iter().map(|(piece, strong)| match strong {
                true => format!("[{}]", piece.text),
                false => piece.text.clone(),
            });
            marked.collect()
        };
        let line = |line: &DiffLine| {
            let sign = match line.sort {
                Sort::Same => ' ',
                Sort::Add => '+',
                Sort::Remove => '-',
                Sort::Gap => '…',
            };
            format!("{sign}{}", strong(&line.pieces))
        };
        file.lines.iter().map(line).collect()
    }

    #[test]
    fn words_that_differ_are_marked() {
        let mut file = FileChange::default();
        let before = "one\ntwo\nthree\nfour\nfive\nthe plan is long\nsix\n";
        let after = "one\ntwo\nthree\nfour\nfive\nthe plan is short\nsix\nseven\n";
        file.compare(before.to_owned(), after.to_owned());
        assert_eq!(
            shown(&file),
            [
                "…2 lines the same",
                " three",
                " four",
                " five",
                "-the plan is [long]",
                "+the plan is [short]",
                " six",
                "+seven"
            ]
        );
        assert_eq!((file.added, file.removed), (2, 1));
    }

    #[test]
    fn a_unified_diff_is_read_with_its_numbers() {
        let mut file = FileChange::default();
        file.read("--- a\n+++ b\n@@ -3,2 +3,2 @@\n same\n-old\n+new\n");
        assert_eq!(shown(&file), ["…@@ -3,2 +3,2 @@", " same", "-old", "+new"]);
        assert_eq!((file.lines[2].old, file.lines[3].new), (Some(4), Some(4)));
    }

    #[test]
    fn what_an_agent_wrote_is_escaped() {
        let mut file = FileChange::default();
        file.compare(String::new(), "a\x1b[31mb\u{202e}\n".to_owned());
        assert_eq!(shown(&file), ["+a\\x1b[31mb\\u{202e}"]);
    }
}
