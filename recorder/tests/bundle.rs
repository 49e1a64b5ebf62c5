//! Bundles: what is shown is proven, and nothing that is wrong with one stays unseen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

#[path = "support/unpack.rs"]
mod unpack;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha2::{Digest as _, Sha256};
use tacho_recorder::audit::{self, audit};
use tacho_recorder::export::bundle::{Ask, Question, verify, write};
use tacho_recorder::export::withhold::Withhold;
use tacho_recorder::filter::Filter;
use tacho_recorder::{ErrorKind, LogDir, Reader};
use tacho_schemas::bundle::{End, Item, MAX_STEPS, Step, encode_steps, read_frame};
use tacho_schemas::scalar::{Blob, List};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::{Anchor, Completeness, Report};
use tacho_schemas::{Hash, Time, canon};
use tempfile::TempDir;

use unpack::unpack;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/logs")
}

/// A log of the fixtures, and which identity key is trusted for it.
struct Log {
    _folder: TempDir,
    dir: LogDir,
    trust: Option<(Fingerprint, Anchor)>,
}

impl Log {
    fn of(case: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        unpack(&case.join("log"), &path);
        let told: serde_json::Value =
            serde_json::from_slice(&fs::read(case.join("case.json")).unwrap()).unwrap();
        let trust = told["trust"].as_str();
        Some(Self {
            dir: LogDir::open_to_read(&path).ok()?,
            _folder: folder,
            trust: trust.map(|key| (key.parse().unwrap(), Anchor::Named)),
        })
    }

    fn sound() -> Self {
        Self::of(&fixtures().join("sound")).unwrap()
    }

    fn write(&self, filter: &str, out: &Path) -> tacho_recorder::Result<Report> {
        self.write_without(filter, &[], out)
    }

    fn write_without(
        &self,
        filter: &str,
        withhold: &[&str],
        out: &Path,
    ) -> tacho_recorder::Result<Report> {
        let filter = Filter::parse(filter, Time(0)).unwrap();
        let ask = Ask {
            filter: &filter,
            withhold: Withhold::parse(withhold.iter().copied()).unwrap(),
            joins: Vec::new(),
            software: "test",
            made: Time(0),
        };
        let made = write(&self.dir, &Reader::open(&self.dir)?, &ask, out, |_, _| ())?;
        assert_eq!(made.bytes, fs::metadata(out).unwrap().len());
        Ok(made.report)
    }

    fn verify(&self, path: &Path) -> Report {
        let question = Question {
            trust: self.trust,
            ..Question::default()
        };
        verify(path, &question, |_, _| ()).unwrap().0
    }
}

fn breaches(report: &Report) -> BTreeSet<&'static str> {
    let violations = report.integrity.violations.iter();
    violations.map(|v| v.breach.name()).collect()
}

#[test]
fn a_bundle_of_a_log_has_the_verdict_of_the_log() {
    let (mut good, mut bad) = (0, 0);
    for case in fs::read_dir(fixtures()).unwrap() {
        let case = case.unwrap().path();
        if !case.join("case.json").exists() {
            continue;
        }
        let Some(log) = Log::of(&case) else { continue };
        let question = audit::Question {
            trust: log.trust,
            ..audit::Question::default()
        };
        let of_log = audit(&log.dir, &question, |_, _| ());
        let folder = tempfile::tempdir().unwrap();
        for (place, filter) in ["", "seq:3..5", "kind:action -seq:2", "seq:1"]
            .iter()
            .enumerate()
        {
            let out = folder.path().join(format!("{place}.tacho"));
            let written = log.write(filter, &out);
            let sound = of_log.as_ref().is_ok_and(Report::is_good);
            let integral = of_log.as_ref().is_ok_and(Report::has_integrity);
            let name = case.file_name().unwrap().to_string_lossy().into_owned();
            match written {
                Ok(_) => {
                    let report = log.verify(&out);
                    if sound {
                        assert!(report.is_good(), "{name} {filter}: {report:?}");
                        good += 1;
                    } else if filter.is_empty() && !integral {
                        // What a bundle does not carry (indices, counters, tiles) cannot show in it.
                        let of_log = breaches(of_log.as_ref().unwrap());
                        let only = ["tile", "store", "surplus", "artefact", "checkpoint"];
                        let carried = of_log.iter().any(|b| !only.contains(b));
                        assert!(!(carried && report.has_integrity()), "{name}: {of_log:?}");
                    }
                    assert!(!matches!(
                        report.completeness,
                        Completeness::CompleteUpTo { .. }
                    ));
                    assert!(filter.is_empty() || report.shown < report.size || report.shown < 8);
                }
                Err(error) if error.kind() == ErrorKind::Missing => {}
                Err(error) => {
                    assert!(!sound, "{name} {filter}: {error}");
                    assert!(!out.exists(), "{name}");
                    bad += 1;
                }
            }
            let parts = fs::read_dir(folder.path()).unwrap();
            let parts = parts.filter(|e| {
                e.as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .contains(".part")
            });
            assert_eq!(parts.count(), 0, "{name} left something behind");
        }
    }
    assert!(good > 20 && bad > 50, "{good} good, {bad} bad");
}

#[test]
fn what_is_withheld_is_counted_and_what_is_hidden_is_not_claimed() {
    let log = Log::sound();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.tacho");
    log.write_without("seq:5..9", &["all"], &out).unwrap();
    let report = log.verify(&out);
    assert!(report.is_good(), "{report:?}");
    assert!(
        report.content.withheld > 0 && report.content.opened == 0,
        "{:?}",
        report.content
    );
    assert!(
        matches!(report.completeness, Completeness::Excerpt { shown, marked: None } if shown == report.shown)
    );
    assert!(report.shown < report.size);
    // Nothing that is there is overwritten.
    let error = log.write("", &out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
}

/// The items of a bundle.
fn items(path: &Path) -> Vec<Item> {
    let bytes = fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut items = Vec::new();
    while let Ok(Some((_, inside))) = read_frame(&mut rest) {
        items.push(Item::decode(&inside).unwrap());
    }
    items
}

/// Writes items as a bundle whose SHA-256 is right: what a forger would do.
fn forge(items: Vec<Item>, path: &Path) {
    let mut bytes = Vec::new();
    for mut item in items {
        if let Item::End(end) = &mut item {
            let inside = Item::End(end.clone()).encode().unwrap();
            end.sha256 = End::digest(Sha256::new().chain_update(&bytes), &inside).unwrap();
        }
        bytes.extend(item.frame().unwrap());
    }
    fs::write(path, bytes).unwrap();
}

fn packed(bytes: &[u8]) -> Blob<{ 40 << 20 }> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).unwrap();
    Blob::new(packer.finish().unwrap()).unwrap()
}

fn inflate(packed: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    flate2::read::ZlibDecoder::new(packed)
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

/// Changes the steps of the first block.
fn steps(items: &mut [Item], change: impl FnOnce(&mut Vec<Step>)) {
    let block = items.iter_mut().find_map(|item| match item {
        Item::Block(block) => Some(block),
        _ => None,
    });
    let block = block.unwrap();
    let read: List<Step, MAX_STEPS> =
        canon::decode(&inflate(block.packed.as_slice()), 64 << 20).unwrap();
    let mut steps = read.as_slice().to_vec();
    change(&mut steps);
    let bytes = encode_steps(steps).unwrap();
    block.unpacked = bytes.len() as u64;
    block.packed = packed(&bytes);
}

fn first_with_row(steps: &mut [Step]) -> &mut Step {
    steps.iter_mut().find(|step| step.row.is_some()).unwrap()
}

type Change = fn(&mut Vec<Item>);

/// What a forger might do, and what it is found as.
const FORGERIES: &[(&str, Change, &str)] = &[
    ("nothing", |_| (), ""),
    (
        "a record is left out",
        |items| steps(items, |s| drop(s.remove(3))),
        "chain",
    ),
    (
        "a record stands twice",
        |items| steps(items, |s| s.insert(3, s[3].clone())),
        "sequence",
    ),
    (
        "two records change places",
        |items| steps(items, |s| s.swap(3, 4)),
        "sequence",
    ),
    (
        "a record is changed",
        |items| {
            steps(items, |s| {
                let mut bytes = s[4].record.as_ref().unwrap().as_slice().to_vec();
                let end = bytes.len() - 1;
                bytes[end] ^= 1;
                s[4].record = Some(Blob::new(bytes).unwrap());
            });
        },
        "checkpoint",
    ),
    (
        "the genesis is hidden",
        |items| {
            steps(items, |s| {
                let leaf = tacho_schemas::tree::leaf_hash(s[0].record.as_ref().unwrap().as_slice());
                s[0] = Step::hide(1, vec![leaf]).unwrap();
            });
        },
        "genesis",
    ),
    (
        "a seal is hidden",
        |items| {
            steps(items, |s| {
                let is_seal = |step: &Step| {
                    step.record.as_ref().is_some_and(|bytes| {
                        tacho_schemas::Kind::peek(bytes.as_slice())
                            == Some(tacho_schemas::Kind::Seal)
                    })
                };
                let place = s.iter().position(is_seal).unwrap();
                let leaf =
                    tacho_schemas::tree::leaf_hash(s[place].record.as_ref().unwrap().as_slice());
                s[place] = Step::hide(1, vec![leaf]).unwrap();
            });
        },
        "commit",
    ),
    (
        "a text is missing without a word",
        |items| steps(items, |s| first_with_row(s).row = None),
        "hole",
    ),
    (
        "what is there is said to be withheld",
        |items| {
            steps(items, |s| {
                let step = first_with_row(s);
                let row =
                    tacho_schemas::content::Row::decode(step.row.as_ref().unwrap().as_slice())
                        .unwrap();
                let field = row
                    .content
                    .as_ref()
                    .and_then(|c| c.keys().next().copied())
                    .unwrap_or(200);
                step.withheld_fields = Some(tacho_schemas::scalar::Set::new(vec![field]).unwrap());
            });
        },
        "content",
    ),
    (
        "another text stands there",
        |items| {
            steps(items, |s| {
                let step = first_with_row(s);
                let mut bytes = step.row.as_ref().unwrap().as_slice().to_vec();
                let end = bytes.len() - 1;
                bytes[end] ^= 1;
                step.row = Some(Blob::new(bytes).unwrap());
            });
        },
        "content",
    ),
    (
        "a run hides nothing",
        |items| steps(items, |s| s.push(Step::hide(0, vec![Hash::ZERO]).unwrap())),
        "bundle",
    ),
    (
        "a run lies",
        |items| steps(items, |s| s.push(Step::hide(4, vec![Hash::ZERO]).unwrap())),
        "bundle",
    ),
    (
        "no checkpoints",
        |items| items.retain(|i| !matches!(i, Item::Checkpoints(_))),
        "checkpoint",
    ),
    (
        "no commit",
        |items| items.retain(|i| !matches!(i, Item::LastCommit(_))),
        "commit",
    ),
    (
        "the end comes twice",
        |items| items.push(items.last().unwrap().clone()),
        "bundle",
    ),
    (
        "the head comes twice",
        |items| items.insert(1, items[0].clone()),
        "bundle",
    ),
    ("the end is missing", |items| drop(items.pop()), "bundle"),
    (
        "the head counts otherwise",
        |items| {
            if let Item::Head(head) = &mut items[0] {
                head.chosen += 1;
            }
        },
        "bundle",
    ),
    (
        "the head says that the log is longer",
        |items| {
            if let Item::Head(head) = &mut items[0] {
                head.size += 7;
            }
        },
        "bundle",
    ),
    (
        "blocks claim a huge size",
        |items| {
            for item in items {
                if let Item::Block(block) = item {
                    block.unpacked = u64::MAX / 2;
                }
            }
        },
        "bundle",
    ),
    (
        "a block is a bomb",
        |items| {
            for item in items {
                if let Item::Block(block) = item {
                    block.packed = packed(&vec![0; 60 << 20]);
                }
            }
        },
        "bundle",
    ),
    (
        "a file claims ten gigabytes",
        |items| {
            for item in items {
                if let Item::Piece(piece) = item {
                    piece.unpacked = 10 << 30;
                }
            }
        },
        "bundle",
    ),
    (
        "a file begins ten gigabytes on",
        |items| {
            for item in items {
                if let Item::Piece(piece) = item {
                    piece.from = 10 << 30;
                }
            }
        },
        "bundle",
    ),
    (
        "a file is a bomb",
        |items| {
            for item in items {
                if let Item::Piece(piece) = item {
                    piece.packed = packed(&vec![0; 60 << 20]);
                }
            }
        },
        "bundle",
    ),
    (
        "bytes stand behind the packed ones",
        |items| {
            for item in items {
                if let Item::Block(block) = item {
                    let bytes = [block.packed.as_slice(), b"more"].concat();
                    block.packed = Blob::new(bytes).unwrap();
                }
            }
        },
        "bundle",
    ),
    (
        "a file is left out",
        |items| {
            let place = items
                .iter()
                .position(|i| matches!(i, Item::Piece(_)))
                .unwrap();
            items.remove(place);
        },
        "artefact",
    ),
    (
        "a file stands twice",
        |items| {
            let place = items
                .iter()
                .position(|i| matches!(i, Item::Piece(_)))
                .unwrap();
            items.insert(place, items[place].clone());
        },
        "bundle",
    ),
    (
        "a file has other bytes",
        |items| {
            for item in items {
                if let Item::Piece(piece) = item {
                    let mut bytes = inflate(piece.packed.as_slice());
                    bytes.push(b'!');
                    piece.unpacked = bytes.len() as u64;
                    piece.packed = packed(&bytes);
                }
            }
        },
        "artefact",
    ),
    (
        "a file that nobody asks for",
        |items| {
            let place = items
                .iter()
                .position(|i| matches!(i, Item::Piece(_)))
                .unwrap();
            let mut other = items[place].clone();
            if let Item::Piece(piece) = &mut other {
                piece.blake3 = Hash::ZERO;
            }
            items.insert(place, other);
        },
        "surplus",
    ),
];

#[test]
fn no_forgery_stays_unseen() {
    let log = Log::sound();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.tacho");
    log.write("", &out).unwrap();
    let forged = folder.path().join("forged.tacho");
    for (what, change, breach) in FORGERIES {
        let mut items = items(&out);
        change(&mut items);
        forge(items, &forged);
        let report = log.verify(&forged);
        match *breach {
            "" => assert!(report.is_good(), "{what}: {report:?}"),
            breach => {
                assert!(
                    breaches(&report).contains(breach),
                    "{what}: {:?}",
                    report.integrity
                );
                assert!(!report.has_integrity(), "{what}");
            }
        }
    }
}

#[test]
fn no_damage_stays_unseen() {
    let log = Log::sound();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.tacho");
    log.write("seq:3..6", &out).unwrap();
    let whole = fs::read(&out).unwrap();
    let damaged = folder.path().join("damaged.tacho");
    let question = Question {
        trust: log.trust,
        ..Question::default()
    };
    let ask = |bytes: &[u8]| {
        fs::write(&damaged, bytes).unwrap();
        verify(&damaged, &question, |_, _| ())
    };
    assert!(ask(&whole).unwrap().0.is_good());
    let mut state = 7_u64;
    for _ in 0..250 {
        // Any cheap sequence will do.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let place = (state >> 33) as usize % whole.len();
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (state >> 20 & 7);
        if let Ok((report, _)) = ask(&bytes) {
            assert!(!report.has_integrity(), "byte {place}");
        }
        if let Ok((report, _)) = ask(&whole[..place]) {
            assert!(!report.has_integrity(), "cut at {place}");
            assert_eq!(report.integrity.proven, 0);
        }
    }
    let more = [whole.as_slice(), b"\x41\x00"].concat();
    assert!(ask(&more).is_ok_and(|(report, _)| !report.has_integrity()));
    for bytes in [
        &b""[..],
        b"PK\x03\x04",
        b"{}",
        &[0x5a, 0xff, 0xff, 0xff, 0xff],
        &[0x41],
    ] {
        let error = ask(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{bytes:?}");
    }
}
