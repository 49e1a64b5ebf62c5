//! One target for each decoder. What a decoder takes, it must write as it was, and nothing may panic.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a target may fail loudly"
)]

use std::sync::LazyLock;

use seeds::Seeds;
use tacho_recorder::filter::Filter;
use tacho_schemas::canon::{self, MAX_RECORD};
use tacho_schemas::checkpoint::Checkpoint;
use tacho_schemas::content::{Field, Row};
use tacho_schemas::event::Event;
use tacho_schemas::note::{Note, Vkey};
use tacho_schemas::proof::Proof;
use tacho_schemas::receipt::{Commit, Receipt};
use tacho_schemas::record::Frame;
use tacho_schemas::tile::{self, Tile};
use tacho_schemas::{Record, Time, sign};

#[allow(dead_code, reason = "the targets use a part")]
#[path = "../../schemas/tests/support/logs.rs"]
mod logs;
#[allow(dead_code, reason = "the targets use a part")]
#[path = "../../schemas/tests/support/samples.rs"]
mod samples;
#[path = "decoders/seeds.rs"]
mod seeds;

static SEEDS: LazyLock<Seeds> = LazyLock::new(Seeds::make);

/// How many inputs `cargo test` tries; `BOLERO_RANDOM_ITERATIONS` says otherwise.
const ITERATIONS: usize = 4_000;

macro_rules! fuzz {
    ($seeds:ident, $test:expr) => {
        bolero::check!()
            .with_iterations(ITERATIONS)
            .with_max_len(512)
            .for_each(|input: &[u8]| $test(&seeds::near(&SEEDS.$seeds, input)))
    };
}

#[test]
fn record() {
    fuzz!(records, |bytes: &[u8]| {
        let canonical = canon::check(bytes, MAX_RECORD).is_ok();
        if let Ok(record) = Record::decode(bytes) {
            assert!(canonical && Frame::read(bytes).is_ok());
            let again = record.encode().unwrap();
            // Shorter only if the bytes hold extensions, which readers pass over.
            assert!(again == bytes || again.len() < bytes.len());
        }
        let _ = canon::entries(bytes).is_ok_and(|_| canonical);
        let _ = canonical && canon::without(bytes, &[15, 59]).is_ok();
    });
}

#[test]
fn event() {
    fuzz!(events, |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(event) = Event::from_json(&text) {
            assert!(event.body.kind().is_some_and(|kind| kind.is_for_callers()));
            event
                .content
                .iter()
                .for_each(|(field, bytes)| field.check(bytes).unwrap());
        }
    });
}

#[test]
fn note() {
    fuzz!(notes, |bytes: &[u8]| {
        if let Ok(note) = Note::parse(bytes) {
            assert_eq!(note.to_string().as_bytes(), bytes);
        }
    });
}

#[test]
fn checkpoint() {
    fuzz!(checkpoints, |bytes: &[u8]| {
        if let Some(checkpoint) = str_of(bytes).and_then(|text| Checkpoint::parse(text).ok()) {
            assert_eq!(checkpoint.to_string().as_bytes(), bytes);
        }
    });
}

#[test]
fn proof() {
    fuzz!(proofs, |bytes: &[u8]| {
        if let Ok(proof) = Proof::parse(bytes) {
            assert_eq!(proof.to_string().as_bytes(), bytes);
        }
    });
}

#[test]
fn vkey() {
    fuzz!(vkeys, |bytes: &[u8]| {
        if let Some(key) = str_of(bytes).and_then(|text| Vkey::parse(text).ok()) {
            assert_eq!(key.to_string().as_bytes(), bytes);
        }
    });
}

#[test]
fn bundle() {
    fuzz!(bundles, |bytes: &[u8]| {
        for width in [1, 11, 256] {
            if let Ok(entries) = tile::decode_bundle(bytes, width) {
                assert_eq!(tile::encode_bundle(&entries).unwrap(), bytes);
            }
        }
    });
}

#[test]
fn tile_path() {
    fuzz!(paths, |bytes: &[u8]| {
        let Some(path) = str_of(bytes) else { return };
        assert!(
            Tile::parse(path).is_ok_and(|tile| tile.path() == path) || Tile::parse(path).is_err()
        );
        let entries = Tile::parse_entries(path);
        assert!(entries.is_err() || entries.is_ok_and(|tile| tile.entries_path() == path));
    });
}

#[test]
fn receipt() {
    let key = logs::public(&logs::sound().epoch_key());
    fuzz!(receipts, |bytes: &[u8]| {
        if let Ok(commit) = Commit::decode(bytes) {
            assert_eq!(commit.encode().unwrap(), bytes);
        }
        if let Ok(receipt) = Receipt::decode(bytes) {
            assert_eq!(receipt.encode().unwrap(), bytes);
            let said = receipt.commit.encode().unwrap();
            let signed = sign::verify(&key, sign::Purpose::Commit, &said, &receipt.signature);
            assert!(receipt.verify(&key).is_err() || signed.is_ok());
        }
    });
}

#[test]
fn row() {
    let record = samples::full(tacho_schemas::Kind::Message);
    fuzz!(rows, |bytes: &[u8]| {
        if let Ok(row) = Row::decode(bytes) {
            let again = row.encode().unwrap();
            assert!(again == bytes || again.len() < bytes.len());
            assert_eq!(row.check(&record).opened, 0);
        }
        for (_, _, field) in Field::ALL {
            let _ = field.check(bytes);
        }
    });
}

/// What is printed is read as the same, and what is wrong has a caret beneath it.
#[test]
fn filter() {
    let now = Time(1_764_000_000_000_000_000);
    fuzz!(filters, |bytes: &[u8]| {
        let Some(text) = str_of(bytes) else { return };
        match Filter::parse(text, now) {
            Ok(filter) => assert_eq!(Filter::parse(&filter.to_string(), now), Ok(filter)),
            Err(error) => assert!(error.caret(text).contains('^')),
        }
    });
}

fn str_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
