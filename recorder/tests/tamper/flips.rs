//! Every byte of a log is flipped, one at a time.
//!
//! The usual run takes a sample; `TACHO_ALL=1 cargo test --release -p tacho-recorder --test tamper` takes all of them, for a
//! quarter of an hour.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use tacho_recorder::Reader;
use tacho_recorder::store::{Artefact, CommitRow, Counts, TileId};
use tacho_schemas::Hash;

use super::*;

/// Flips each byte in two ways, or a sample of them, and counts.
struct Flipper {
    log: PathBuf,
    question: Question,
    every: usize,
    tried: usize,
    /// What was not caught: the place, the flip.
    slipped: Vec<(usize, u8)>,
    _scratch: tempfile::TempDir,
}

/// How much denser the sample is when all shall be tried: dense enough for each byte of the small log.
const ALL: usize = 397;

fn all() -> bool {
    std::env::var_os("TACHO_ALL").is_some()
}

impl Flipper {
    fn new(case: &str, every: usize) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        let folder = logs().join(case);
        unpack(&folder.join("log"), &log);
        let text = fs::read_to_string(folder.join("case.json")).unwrap();
        let case: Case = serde_json::from_str(&text).unwrap();
        let question = Question {
            threads: 1,
            ..question(&folder, case.trust.as_deref())
        };
        assert!(look(&log, &question).unwrap().is_good());
        Self {
            log,
            question,
            // A wide log takes long to look at: even of all flips in it, only some are tried.
            every: if all() { every.div_ceil(ALL) } else { every },
            tried: 0,
            slipped: Vec::new(),
            _scratch: scratch,
        }
    }

    fn flip(&mut self, file: &str, range: Range<usize>) {
        let path = self.log.join(file);
        let image = fs::read(&path).unwrap();
        for at in range.step_by(self.every) {
            // One bit, another one in each place, and all eight.
            let one = 1 << (at / self.every % 8);
            let flips = if all() {
                vec![one, 0xff]
            } else {
                vec![if (at / self.every).is_multiple_of(2) {
                    one
                } else {
                    0xff
                }]
            };
            for flip in flips {
                self.tried += 1;
                // No connection is open now: closing this file takes nobody's lock away.
                let file = File::options().write(true).open(&path).unwrap();
                file.write_all_at(&[image[at] ^ flip], u64::try_from(at).unwrap())
                    .unwrap();
                drop(file);
                if look(&self.log, &self.question).is_ok_and(|report| report.is_good()) {
                    self.slipped.push((at, flip));
                }
            }
            let file = File::options().write(true).open(&path).unwrap();
            file.write_all_at(&image[at..=at], u64::try_from(at).unwrap())
                .unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), image);
    }
}

/// Everything that a reader gets to see.
#[derive(Debug, Eq, PartialEq)]
struct Seen {
    records: Vec<(u64, Vec<u8>)>,
    vault: Vec<(u64, Vec<u8>)>,
    tiles: Vec<Option<Vec<u8>>>,
    artefacts: Vec<(Hash, u64, u64, Option<Artefact>)>,
    references: Vec<(Vec<u8>, i64)>,
    commit: Option<CommitRow>,
    counts: Counts,
}

fn see(log: &Path) -> Result<Seen, Error> {
    let reader = Reader::open(&LogDir::open(log)?)?;
    let snapshot = reader.snapshot()?;
    let (mut records, mut vault) = (Vec::new(), Vec::new());
    snapshot.records(0..u64::MAX, |seq, bytes| {
        records.push((seq, bytes.to_vec()));
        Ok::<(), Error>(())
    })?;
    snapshot.vault_rows(0..u64::MAX, |seq, bytes| {
        vault.push((seq, bytes.to_vec()));
        Ok::<(), Error>(())
    })?;
    let mut artefacts = Vec::new();
    snapshot.artefacts(|name, refs, size| {
        artefacts.push((name, refs, size, snapshot.artefact(&name)?));
        Ok::<(), Error>(())
    })?;
    let mut references = Vec::new();
    snapshot.references(|key, seq| {
        references.push((key.to_vec(), seq));
        Ok::<(), Error>(())
    })?;
    Ok(Seen {
        records,
        vault,
        tiles: vec![
            snapshot.tile(TileId::new(0, 0)?)?,
            snapshot.tile(TileId::new(1, 0)?)?,
        ],
        artefacts,
        references,
        commit: snapshot.commit_row()?,
        counts: snapshot.counts()?,
    })
}

/// Where these bytes stand in the file of the database; they are short enough to stand in one page.
fn place(image: &[u8], bytes: &[u8]) -> Range<usize> {
    let mut places = image
        .windows(bytes.len())
        .enumerate()
        .filter(|(_, w)| *w == bytes);
    let (at, _) = places.next().unwrap();
    assert!(places.next().is_none(), "the same bytes stand there twice");
    at..at + bytes.len()
}

fn packed_artefacts(log: &Path) -> Vec<Vec<u8>> {
    let conn = rusqlite::Connection::open(log.join("log.db")).unwrap();
    let mut rows = conn.prepare("SELECT bytes FROM artefacts").unwrap();
    rows.query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn no_flip_in_records_vault_artefacts_or_statement_slips_through() {
    let mut flipper = Flipper::new("sound", 23);
    let seen = see(&flipper.log).unwrap();
    let artefacts = packed_artefacts(&flipper.log);
    let image = fs::read(flipper.log.join("log.db")).unwrap();
    let commit = seen.commit.unwrap();
    let rows = seen
        .records
        .into_iter()
        .chain(seen.vault)
        .map(|(_, bytes)| bytes);
    for bytes in rows
        .chain(artefacts)
        .chain([commit.statement, commit.signature])
    {
        flipper.flip("log.db", place(&image, &bytes));
    }
    // An artefact's name stands in the table and in its index.
    for (name, ..) in seen.artefacts {
        let places = image.windows(32).enumerate();
        let places = places.filter(|(_, bytes)| *bytes == name.as_bytes());
        let places: Vec<_> = places.map(|(at, _)| at).collect();
        assert!(places.len() >= 2);
        for at in places {
            flipper.flip("log.db", at..at + 32);
        }
    }
    println!("{} flips", flipper.tried);
    assert_eq!(flipper.slipped, []);
}

#[test]
fn no_flip_in_a_tile_slips_through() {
    let mut flipper = Flipper::new("sound-wide", 197);
    let seen = see(&flipper.log).unwrap();
    let image = fs::read(flipper.log.join("log.db")).unwrap();
    flipper.flip("log.db", place(&image, seen.tiles[0].as_ref().unwrap()));
    println!("{} flips", flipper.tried);
    assert_eq!(flipper.slipped, []);
}

#[test]
fn no_flip_in_the_checkpoints_slips_through() {
    let mut flipper = Flipper::new("sound", 13);
    let length = fs::read(flipper.log.join("checkpoints")).unwrap().len();
    flipper.flip("checkpoints", 0..length);
    println!("{} flips", flipper.tried);
    assert_eq!(flipper.slipped, []);
}

#[test]
fn any_other_flip_in_the_database_is_caught_or_changes_nothing_that_is_read() {
    for (case, every) in [("sound", 397), ("sound-wide", 9973)] {
        let mut flipper = Flipper::new(case, every);
        let before = see(&flipper.log).unwrap();
        let path = flipper.log.join("log.db");
        let image = fs::read(&path).unwrap();
        flipper.flip("log.db", 0..image.len());
        let mut changed = Vec::new();
        for (at, flip) in std::mem::take(&mut flipper.slipped) {
            let mut bytes = image.clone();
            bytes[at] ^= flip;
            fs::write(&path, bytes).unwrap();
            if see(&flipper.log).unwrap() != before {
                changed.push((at, flip));
            }
        }
        println!("{case}: {} flips", flipper.tried);
        assert_eq!(changed, [], "{case}");
    }
}
