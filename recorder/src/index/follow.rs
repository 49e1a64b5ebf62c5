//! Bringing the index to where the log is.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rusqlite::{Connection, Statement, params};
use tacho_schemas::Seq;
use tacho_schemas::body::Body;
use tacho_schemas::body::log::Phase;
use tacho_schemas::canon;
use tacho_schemas::content::{Alternative, Field, Form, MAX_ROW, Row};
use tacho_schemas::record::Record;

use super::schema::{BLOCK, MADE_BY, Transaction, empty, sql, stored};
use super::{Index, Stamp};
use crate::error::{Error, ErrorKind, Result};
use crate::filter::{Fact, Key, Lineages, facts, paths};
use crate::links;
use crate::read::{Shown, View};
use crate::store::Reader;

/// Records of one transaction, at most; other followers wait for it.
const BATCH: u64 = 8192;

/// Bytes of text of one transaction, about.
const BATCH_BYTES: usize = 32 << 20;

/// Records and bytes of text, about, that are handed over at once, and how many such hands full the reading thread may be ahead. One
/// record may have 32 MiB.
const FOUND: usize = 128;
const FOUND_BYTES: usize = 1 << 20;
const AHEAD: usize = 2;

/// A word between the texts of a record, so that no phrase is found across two of them.
const BETWEEN: char = '\u{f8ff}';

/// What every record has.
pub(super) const ANY_RECORD: &str = "za";

/// What no record has.
pub(super) const NOTHING: &str = "zn";

/// What records have of which nothing is known: they are not understood, or not those in the tree.
pub(super) const UNKNOWN: &str = "zu";

impl Index {
    /// Takes in all that the log holds by now; `progress` hears how many records of how many are done.
    pub fn catch_up(&mut self, reader: &Reader, mut progress: impl FnMut(u64, u64)) -> Result<()> {
        loop {
            let (done, all) = self.catch_up_some(reader)?;
            progress(done, all);
            if done >= all {
                return Ok(());
            }
        }
    }

    /// Takes in a few thousand records; says how many are done, of how many. For whoever has other work between.
    pub fn catch_up_some(&mut self, reader: &Reader) -> Result<(u64, u64)> {
        let (done, all, erased) = self.soundly(|index| index.batch(reader))?;
        if erased {
            self.soundly(|index| index.forget())?;
        }
        Ok((done, all))
    }

    /// Takes in some records; says how many are done, of how many, and whether text was erased.
    ///
    /// This thread reads and checks them, another one writes what they say.
    fn batch(&mut self, reader: &Reader) -> Result<(u64, u64, bool)> {
        // In this order: nobody moves the stamp from here on, and the log seen is no older than the stamp.
        let transaction = Transaction::begin(&mut self.conn, "BEGIN IMMEDIATE")?;
        let stamp = Stamp::read(&transaction)?;
        let view = View::new(reader)?;
        let fits = stamp
            .as_ref()
            .is_none_or(|stamp| stamp.fits(&view).unwrap_or(false));
        let from = match stamp {
            Some(stamp) if fits => stamp.size,
            _ => 0,
        };
        if fits && from == view.size() && from > 0 {
            return Ok((from, from, false));
        }
        if from == 0 {
            empty(&transaction)?;
            self.lineages = Lineages::default();
        }
        let (send, receive) = sync_channel(AHEAD);
        thread::scope(|scope| {
            let writing = scope.spawn(move || write(transaction, &receive));
            let mut source = Source {
                view: &view,
                lineages: &mut self.lineages,
                send,
                found: Vec::with_capacity(FOUND),
                names: HashSet::new(),
                bytes: 0,
                handed: 0,
                erased: false,
            };
            let read = source.read(from);
            // The writer ends when it hears the end, or nothing more.
            drop(source);
            let written = writing.join().unwrap_or_else(|_| Err(ended()));
            let (to, erased) = match (read, written) {
                (Ok(read), Ok(())) => read,
                // Whose error it is that nobody takes in what was read, the writer knows.
                (_, Err(error)) | (Err(error), Ok(())) => return Err(error),
            };
            Ok((to, view.size(), erased))
        })
    }

    /// Writes the words anew without the erased ones, which deleting alone leaves in the file.
    fn forget(&mut self) -> Result<()> {
        self.conn
            .execute_batch("INSERT INTO words (words) VALUES ('optimize')")
            .map_err(sql("write"))?;
        // If another reader is at work, its next writer empties the file; nothing waits for it.
        let busy = self
            .conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            });
        busy.map(drop).map_err(sql("write"))
    }
}

impl Stamp {
    /// Says whether the index is of this log.
    pub(super) fn fits(&self, view: &View<'_>) -> Result<bool> {
        Ok(self.made_by == MADE_BY
            && self.size <= view.size()
            && self.origin == origin(view)?
            && self.root == view.stamp_at(self.size)?)
    }
}

/// The log's name; empty if its first record cannot be read.
fn origin(view: &View<'_>) -> Result<String> {
    if view.size() == 0 {
        return Ok(String::new());
    }
    Ok(match view.record(Seq(0))?.meaning {
        Ok(Record {
            body: Body::Genesis(genesis),
            ..
        }) => genesis.origin.to_string(),
        _ => String::new(),
    })
}

/// What the reading thread hands to the writing one.
enum Next {
    Records(Vec<Found>),
    /// All was read: the values of open keys, and the stamp to set.
    End(HashSet<(Key, String)>, Stamp),
}

/// One record, read.
struct Found {
    seq: Seq,
    told: Told,
    /// None if it is not known what it means, or its words alone are to be taken in again.
    record: Option<Record>,
    again: bool,
}

/// Reads records for the writing thread.
struct Source<'a> {
    view: &'a View<'a>,
    lineages: &'a mut Lineages,
    send: SyncSender<Next>,
    found: Vec<Found>,
    names: HashSet<(Key, String)>,
    /// Bytes of text so far, and of those that were handed over.
    bytes: usize,
    handed: usize,
    erased: bool,
}

impl Source<'_> {
    /// Reads a batch; says up to where, and whether text was erased.
    fn read(&mut self, from: u64) -> Result<(u64, bool)> {
        let view = self.view;
        let mut to = from;
        while to < view.size().min(from + BATCH) && self.bytes < BATCH_BYTES {
            let piece = to..view.size().min(to + BATCH / 8);
            view.records(piece.clone(), |shown| self.record(shown))?;
            to = piece.end;
        }
        self.hand_over()?;
        let stamp = Stamp {
            made_by: MADE_BY.to_owned(),
            origin: origin(view)?,
            size: to,
            root: view.stamp_at(to)?,
        };
        let names = std::mem::take(&mut self.names);
        self.tell(Next::End(names, stamp))?;
        Ok((to, self.erased))
    }

    fn record(&mut self, shown: Shown) -> Result<()> {
        let told = self.told(&shown)?;
        let record = shown.meaning.ok().filter(|_| shown.in_tree);
        let erasure = match &record {
            Some(Record {
                body: Body::Erasure(erasure),
                ..
            }) => Some(erasure.clone()),
            _ => None,
        };
        self.push(shown.seq, told, record, false)?;
        for erased in erasure.iter().flat_map(|e| &e.erased) {
            if erased.seq < shown.seq {
                self.erased = true;
                let told = self.told(&self.view.record(erased.seq)?)?;
                self.push(erased.seq, told, None, true)?;
            }
        }
        Ok(())
    }

    fn told(&mut self, shown: &Shown) -> Result<Told> {
        let (names, mut told) = (&mut self.names, Told::default());
        told.take(shown, self.view, self.lineages, |key, value| {
            names.insert((key, value.into_owned()));
        })?;
        Ok(told)
    }

    fn push(&mut self, seq: Seq, told: Told, record: Option<Record>, again: bool) -> Result<()> {
        self.bytes += told.text.len() + told.path.len();
        self.found.push(Found {
            seq,
            told,
            record,
            again,
        });
        match self.found.len() < FOUND && self.bytes - self.handed < FOUND_BYTES {
            true => Ok(()),
            false => self.hand_over(),
        }
    }

    fn hand_over(&mut self) -> Result<()> {
        self.handed = self.bytes;
        let found = std::mem::replace(&mut self.found, Vec::with_capacity(FOUND));
        self.tell(Next::Records(found))
    }

    fn tell(&self, next: Next) -> Result<()> {
        self.send.send(next).map_err(|_| ended())
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Io, "the thread that writes the index ended")
}

/// Writes what comes into the index, and the stamp last; all of it or nothing.
fn write(transaction: Transaction<&mut Connection>, found: &Receiver<Next>) -> Result<()> {
    let mut writer = Writer::new(&transaction)?;
    for next in found {
        match next {
            Next::Records(found) => found.iter().try_for_each(|found| writer.take(found))?,
            Next::End(names, stamp) => {
                writer.end(&names, &stamp)?;
                return transaction.commit();
            }
        }
    }
    Ok(())
}

/// Writes records into the index, within the caller's transaction.
struct Writer<'a> {
    conn: &'a Connection,
    words: Statement<'a>,
    effects: Statement<'a>,
    sessions: HashMap<u64, Activity>,
    block: Option<(u64, i64, i64)>,
}

/// What the words of a record are written with.
pub(super) const TELL: &str =
    "INSERT INTO words (rowid, facts, text, path) VALUES (?1, ?2, ?3, ?4)";

/// What is told of a record: facts, text and paths.
#[derive(Default)]
pub(super) struct Told {
    facts: String,
    text: String,
    path: String,
}

impl Told {
    /// Takes a record in, in place of the last one; `open` hears its facts under open keys.
    pub(super) fn take(
        &mut self,
        shown: &Shown,
        view: &View<'_>,
        lineages: &mut Lineages,
        mut open: impl FnMut(Key, Cow<'_, str>),
    ) -> Result<()> {
        let Self {
            facts: words,
            text,
            path,
        } = self;
        words.clear();
        text.clear();
        path.clear();
        words.push_str(ANY_RECORD);
        match shown.meaning.as_ref().ok().filter(|_| shown.in_tree) {
            None => {
                words.push(' ');
                words.push_str(UNKNOWN);
            }
            Some(record) => {
                let lineage = lineages.of(view, record)?;
                for fact in facts(record, lineage) {
                    words.push(' ');
                    token(&fact, words);
                    let (key, value) = fact;
                    if key.is_open() {
                        open(key, value);
                    }
                }
                text_of(&shown.row, text);
                for found in paths(&shown.row) {
                    path.push_str(&found);
                    path.push(' ');
                    path.push(BETWEEN);
                    path.push(' ');
                }
            }
        }
        Ok(())
    }

    /// Writes it with [`TELL`].
    pub(super) fn write(&self, tell: &mut Statement<'_>, seq: Seq) -> Result<()> {
        tell.execute(params![stored(seq.0), self.facts, self.text, self.path])
            .map(drop)
            .map_err(sql("write"))
    }
}

/// What happened in a session.
#[derive(Default)]
struct Activity {
    records: u64,
    newest: u64,
}

impl<'a> Writer<'a> {
    fn new(conn: &'a Connection) -> Result<Self> {
        let prepare = |text| conn.prepare(text).map_err(sql("write"));
        Ok(Self {
            conn,
            words: prepare(TELL)?,
            effects: prepare("INSERT OR IGNORE INTO effects VALUES (?1, ?2, ?3)")?,
            sessions: HashMap::new(),
            block: None,
        })
    }

    fn take(&mut self, found: &Found) -> Result<()> {
        if found.again {
            self.conn
                .prepare_cached("DELETE FROM words WHERE rowid = ?1")
                .and_then(|mut s| s.execute([stored(found.seq.0)]))
                .map_err(sql("write"))?;
        }
        found.told.write(&mut self.words, found.seq)?;
        let Some(record) = &found.record else {
            return Ok(());
        };
        for link in links::causes(record) {
            self.effects
                .execute([
                    stored(link.seq.0),
                    stored(record.seq.0),
                    i64::try_from(link.relation.number()).unwrap_or(0),
                ])
                .map_err(sql("write"))?;
        }
        self.time(record)?;
        if let Some(session) = record.session {
            let activity = self.sessions.entry(session.0).or_default();
            activity.records += 1;
            activity.newest = record.seq.0;
        }
        self.body(record)
    }

    fn time(&mut self, record: &Record) -> Result<()> {
        let (number, time) = (record.seq.0 / BLOCK, record.time.0);
        match &mut self.block {
            Some((block, oldest, newest)) if *block == number => {
                *oldest = time.min(*oldest);
                *newest = time.max(*newest);
                Ok(())
            }
            other => {
                let ended = other.replace((number, time, time));
                self.end_block(ended)
            }
        }
    }

    fn end_block(&mut self, ended: Option<(u64, i64, i64)>) -> Result<()> {
        let Some((block, oldest, newest)) = ended else {
            return Ok(());
        };
        self.conn
            .prepare_cached(
                "INSERT INTO blocks VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE \
                 SET oldest = min(oldest, excluded.oldest), newest = max(newest, excluded.newest)",
            )
            .and_then(|mut s| s.execute([stored(block), oldest, newest]))
            .map(drop)
            .map_err(sql("write"))
    }

    /// What has a table of its own.
    fn body(&mut self, record: &Record) -> Result<()> {
        let seq = stored(record.seq.0);
        let time = record.time.0;
        let number = |seq: Option<Seq>| seq.map(|seq| stored(seq.0));
        let conn = self.conn;
        let put = |text: &str, values: &[&dyn rusqlite::ToSql]| {
            conn.prepare_cached(text)
                .and_then(|mut s| s.execute(values))
                .map(drop)
                .map_err(sql("write"))
        };
        match &record.body {
            Body::Session(b) if b.phase == Phase::Open => put(
                "INSERT OR REPLACE INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, 1, ?1)",
                params![
                    seq,
                    b.agent.as_str(),
                    b.harness.as_ref().map(|h| h.as_str()),
                    number(b.lineage),
                    number(b.parent.or(record.session)),
                    time
                ],
            ),
            Body::Session(_) => put(
                "UPDATE sessions SET closed = ?2 WHERE seq = ?1",
                params![number(record.session), seq],
            ),
            Body::Generation(b) => put(
                "INSERT OR REPLACE INTO generations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    seq,
                    stored(b.lineage.unwrap_or(record.seq).0),
                    time,
                    b.ordinal.map(stored),
                    b.branch.as_ref().map(|b| b.as_str()),
                    stored(b.fate.number()),
                    listed(b.parents.iter().flatten())
                ],
            ),
            Body::Evaluation(b) => put(
                "INSERT OR REPLACE INTO evaluations VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    seq,
                    number(b.subject.or(record.generation)),
                    b.benchmark.as_ref().map(|b| b.as_str()),
                    b.main.as_ref().map(|m| m.metric.as_str()),
                    b.main.as_ref().map(|m| m.score.as_str()),
                    b.passed
                ],
            ),
            _ => Ok(()),
        }
    }

    /// Writes what was gathered.
    fn end(mut self, names: &HashSet<(Key, String)>, stamp: &Stamp) -> Result<()> {
        let last = self.block.take();
        self.end_block(last)?;
        for (key, value) in names {
            self.conn
                .prepare_cached("INSERT OR IGNORE INTO names VALUES (?1, ?2)")
                .and_then(|mut s| s.execute([key.name(), value]))
                .map_err(sql("write"))?;
        }
        for (session, activity) in &self.sessions {
            self.conn
                .prepare_cached(
                    "UPDATE sessions SET records = records + ?2, newest = ?3 WHERE seq = ?1",
                )
                .and_then(|mut s| {
                    s.execute([
                        stored(*session),
                        stored(activity.records),
                        stored(activity.newest),
                    ])
                })
                .map_err(sql("write"))?;
        }
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO stamp VALUES (0, ?1, ?2, ?3, ?4)")
            .and_then(|mut s| {
                s.execute(params![
                    stamp.made_by,
                    stamp.origin,
                    stored(stamp.size),
                    stamp.root.as_bytes()
                ])
            })
            .map(drop)
            .map_err(sql("write"))
    }
}

/// Numbers between spaces.
fn listed<'a>(all: impl Iterator<Item = &'a Seq>) -> String {
    all.map(|seq| seq.to_string()).collect::<Vec<_>>().join(" ")
}

/// All text of a record but its paths.
fn text_of(row: &Row, into: &mut String) {
    let mut add = |text: &str| {
        into.push_str(text);
        into.push(' ');
        into.push(BETWEEN);
        into.push(' ');
    };
    for (number, salted) in row.content.iter().flatten() {
        let Some(field) = Field::from_number(*number) else {
            continue;
        };
        match (field, field.form()) {
            (Field::Path | Field::Workspace | Field::Provenance, _) => {}
            (Field::Alternatives, _) => {
                let all = canon::decode::<Vec<Alternative>>(&salted.bytes, MAX_ROW);
                for alternative in all.unwrap_or_default() {
                    add(&alternative.option);
                    alternative.why_not.iter().for_each(|why| add(why));
                }
            }
            (_, Form::Cbor) => {}
            (_, Form::Text) => {
                if let Ok(text) = std::str::from_utf8(&salted.bytes) {
                    add(text);
                }
            }
        }
    }
}

/// A fact as one word of the index: a letter for the key, then digits.
fn token((key, value): &Fact<'_>, into: &mut String) {
    into.push(letter(*key));
    token_of(*key, value, into);
}

/// The beginning of the word of a fact whose value begins so.
pub(super) fn prefix(key: Key, value: &str) -> String {
    let mut text = String::from(letter(key));
    token_of(key, value, &mut text);
    text
}

fn token_of(key: Key, value: &str, into: &mut String) {
    match key {
        Key::Session | Key::Generation | Key::Lineage => into.push_str(value),
        _ => into.push_str(&hex::encode(value)),
    }
}

fn letter(key: Key) -> char {
    match key {
        Key::Actor => 'a',
        Key::Agent => 'b',
        Key::By => 'c',
        Key::Generation => 'd',
        Key::Kind => 'e',
        Key::Lineage => 'f',
        Key::Model => 'g',
        Key::Part => 'h',
        Key::Rationale => 'i',
        Key::Rule => 'j',
        Key::Session => 'k',
        Key::Status => 'l',
        Key::Tool => 'm',
        Key::Verdict => 'n',
        Key::Via => 'o',
    }
}
