//! Verification: a sound log is good, and each way to spoil it shows as what it is.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

use ciborium::Value;
use logs::{Log, public, secret, sound, sound_of};
use proptest::prelude::*;
use tacho_schemas::body::Body;
use tacho_schemas::body::human::{Act, Basis, Erased, Erasure};
use tacho_schemas::body::log::{KeyOp, KeyRole};
use tacho_schemas::checkpoint::Checkpoint;
use tacho_schemas::content::{Descriptor, Row, Salted, Slot};
use tacho_schemas::note::Note;
use tacho_schemas::receipt::{Commit, Receipt};
use tacho_schemas::record::Via;
use tacho_schemas::scalar::{Blob, Fixed, List, Seq, Set};
use tacho_schemas::sign::{self, Fingerprint, Purpose};
use tacho_schemas::verify::{
    Anchor, Authenticity, Breach, Completeness, Evidence, Fold, Mark, Report, SPELT_OUT, Single,
    Vault,
};
use tacho_schemas::{Error, Hash, Kind, LogId, Record};

#[allow(dead_code, reason = "each test uses a part")]
#[path = "support/logs.rs"]
mod logs;
#[allow(dead_code, reason = "each test uses a part")]
#[path = "support/samples.rs"]
mod samples;

fn breaches(report: &Report) -> Vec<Breach> {
    let mut all: Vec<_> = report
        .integrity
        .violations
        .iter()
        .map(|v| v.breach)
        .collect();
    all.dedup();
    all
}

fn assert_good(report: &Report) {
    assert!(report.is_good(), "{report:#?}");
}

#[test]
fn a_sound_log_is_good() {
    let log = sound();
    let report = log.verify(&log.evidence());
    assert_good(&report);
    assert!(report.has_integrity());
    assert_eq!(report.size, 11);
    assert_eq!(report.root, log.root());
    assert_eq!(report.head, Some(log.head()));
    assert_eq!(report.log_id, Some(LogId::of_genesis(&log.records[0])));
    assert_eq!(report.unsigned, 0);
    assert!(!report.sealed);
    assert_eq!(
        (report.integrity.seals, report.integrity.checkpoints),
        (3, 3)
    );
    assert_eq!(report.integrity.proven, 11);
    assert_eq!(report.integrity.first_bad, None);
    assert_eq!(report.completeness, Completeness::OpenTail);
    assert_eq!(report.clocks.jumps, 0);
    assert_eq!((report.content.opened, report.content.missing), (6, 0));
    let identity = Fingerprint::of(&public(&log.identity));
    let by = Anchor::Named;
    assert_eq!(report.authenticity, Authenticity::Anchored { identity, by });
}

#[test]
fn without_trust_a_log_is_only_self_consistent() {
    let log = sound();
    let evidence = Evidence {
        trust: None,
        ..log.evidence()
    };
    let report = log.verify(&evidence);
    assert!(report.has_integrity() && !report.is_good());
    assert!(matches!(
        report.authenticity,
        Authenticity::SelfConsistent { .. }
    ));
}

#[test]
fn a_log_that_ends_in_a_seal_is_sealed_and_not_complete() {
    let mut log = sound();
    log.seal();
    let report = log.verify(&log.evidence());
    assert_good(&report);
    assert!(report.sealed);
    assert_eq!(report.completeness, Completeness::OpenTail);
}

#[test]
fn a_log_of_one_record_verifies() {
    let mut log = Log::new(1);
    log.records.truncate(1);
    log.rows.truncate(1);
    log.checkpoint();
    let receipt = Mark::Receipt(Box::new(log.receipt(Seq(0))));
    let report = log.verify(&log.evidence_with(receipt));
    assert_good(&report);
    assert_eq!(report.completeness, Completeness::CompleteUpTo { size: 1 });
}

#[test]
fn the_vault_need_not_be_looked_at() {
    let log = sound();
    let evidence = log.evidence();
    let mut fold = Fold::new(evidence.sizes());
    for (seq, bytes) in (0..).zip(&log.records) {
        fold.push(Seq(seq), bytes, Single::check(bytes, Vault::Skipped));
    }
    let report = fold.finish(&evidence);
    assert_good(&report);
    assert!(!report.content.checked);
}

/// What an attacker without keys can do: change bytes, rows and files.
type Spoil = fn(&mut Log, &mut Evidence);

fn set(log: &mut Log, seq: usize, edit: impl FnOnce(&mut Record)) {
    let mut record = Record::decode(&log.records[seq]).unwrap();
    edit(&mut record);
    log.records[seq] = record.encode().unwrap();
}

/// Makes the links of the records from `from` on fit, as who has no keys can.
fn rechain(log: &mut Log, from: usize) {
    for seq in from..log.records.len() {
        let head = log.head_at(seq);
        set(log, seq, |r| r.prev = head);
    }
}

/// Name, edit, the breach that shows first, and the first record that may be bad.
const SPOILS: &[(&str, Spoil, Breach, Option<u64>)] = &[
    (
        "no records",
        |log, _| {
            log.records.clear();
            log.rows.clear();
        },
        Breach::Empty,
        None,
    ),
    (
        "a byte of nonsense",
        |log, _| log.records[3].push(0),
        Breach::Canon,
        Some(3),
    ),
    (
        "no record at all",
        |log, _| log.records[3] = vec![0x01],
        Breach::Canon,
        Some(3),
    ),
    (
        "an earlier time",
        |log, _| set(log, 3, |r| r.time.0 -= 1),
        Breach::Chain,
        Some(3),
    ),
    // Record 4 does not say which of the two was changed, so the earlier one is named.
    (
        "another link in record 4",
        |log, _| set(log, 4, |r| r.prev = Hash([1; 32])),
        Breach::Chain,
        Some(3),
    ),
    // Nothing follows it that would show: all that lies behind the seal of 9 is in doubt.
    (
        "an earlier time of the last record",
        |log, _| set(log, 10, |r| r.time.0 -= 1),
        Breach::Checkpoint,
        Some(10),
    ),
    // The chain holds, so only the signatures tell: the checkpoint over four records does not fit, none before it does.
    (
        "all links after a change are made to fit",
        |log, _| {
            set(log, 2, |r| r.time.0 -= 1);
            rechain(log, 3);
        },
        Breach::Seal,
        Some(0),
    ),
    (
        "the same behind a checkpoint",
        |log, _| {
            set(log, 4, |r| r.time.0 += 1);
            rechain(log, 5);
        },
        Breach::Seal,
        Some(4),
    ),
    (
        "another text",
        |log, _| {
            log.rows[3]
                .as_mut()
                .unwrap()
                .content
                .as_mut()
                .unwrap()
                .get_mut(&200)
                .unwrap()
                .bytes = b"no".to_vec();
        },
        Breach::Content,
        Some(3),
    ),
    (
        "a text too many",
        |log, _| log.rows[1] = log.rows[2].clone(),
        Breach::Content,
        Some(1),
    ),
    (
        "a text is gone",
        |log, _| log.rows[3] = None,
        Breach::Hole,
        Some(3),
    ),
    (
        "a record is gone",
        |log, _| {
            log.records.remove(3);
            log.rows.remove(3);
        },
        Breach::Sequence,
        Some(3),
    ),
    (
        "two records are swapped",
        |log, _| log.records.swap(3, 4),
        Breach::Sequence,
        Some(3),
    ),
    (
        "a record stands twice",
        |log, _| {
            let again = log.records[3].clone();
            log.records.insert(3, again);
            log.rows.insert(3, log.rows[3].clone());
        },
        Breach::Sequence,
        Some(4),
    ),
    (
        "the genesis is gone",
        |log, _| {
            log.records.remove(0);
            log.rows.remove(0);
        },
        Breach::Sequence,
        Some(0),
    ),
    (
        "another origin in the genesis",
        |log, _| {
            set(log, 0, |r| {
                if let Body::Genesis(g) = &mut r.body {
                    g.origin = samples::origin();
                }
            });
        },
        Breach::Signature,
        Some(0),
    ),
    (
        "a predecessor's prev in the genesis",
        |log, _| set(log, 0, |r| r.prev = Hash([1; 32])),
        Breach::Chain,
        Some(0),
    ),
    (
        "a seal says another reason",
        |log, _| {
            set(log, 5, |r| {
                if let Body::Seal(s) = &mut r.body {
                    s.reason = tacho_schemas::body::log::SealReason::Asked;
                }
            });
        },
        Breach::Signature,
        Some(5),
    ),
    (
        "a seal is gone",
        |log, _| {
            log.records.remove(5);
            log.rows.remove(5);
        },
        Breach::Sequence,
        Some(5),
    ),
    (
        "no checkpoints",
        |_, evidence| evidence.checkpoints.clear(),
        Breach::Checkpoint,
        None,
    ),
    (
        "checkpoints in another order",
        |_, evidence| evidence.checkpoints.swap(0, 1),
        Breach::Checkpoint,
        None,
    ),
    (
        "no commit",
        |_, evidence| evidence.commit = None,
        Breach::Commit,
        None,
    ),
    (
        "another commit time",
        |_, evidence| evidence.commit.as_mut().unwrap().0.time.0 += 1,
        Breach::Commit,
        None,
    ),
    (
        "a commit of another log",
        |_, evidence| evidence.commit = Some(sound_of(2).commit()),
        Breach::Forked,
        None,
    ),
    (
        "a checkpoint of another log",
        |_, evidence| evidence.checkpoints[0] = sound_of(2).signed_head(),
        Breach::Checkpoint,
        None,
    ),
    (
        "cut off at the end",
        |log, _| {
            log.records.truncate(10);
            log.rows.truncate(10);
        },
        Breach::Truncated,
        Some(10),
    ),
    (
        "cut off at an earlier seal",
        |log, _| {
            log.records.truncate(6);
            log.rows.truncate(6);
        },
        Breach::Truncated,
        Some(6),
    ),
    (
        "another key is trusted",
        |_, evidence| {
            evidence.trust = Some((Fingerprint::of(&public(&secret(9, 9))), Anchor::Pinned));
        },
        Breach::Identity,
        Some(0),
    ),
];

#[test]
fn each_way_to_spoil_a_log_shows() {
    for (name, spoil, breach, first_bad) in SPOILS {
        let mut log = sound();
        let mut evidence = log.evidence();
        spoil(&mut log, &mut evidence);
        let report = log.verify(&evidence);
        assert!(!report.is_good(), "{name}");
        assert_eq!(
            breaches(&report).first(),
            Some(breach),
            "{name}: {report:#?}"
        );
        assert_eq!(
            report.integrity.first_bad,
            first_bad.map(Seq),
            "{name}: {report:#?}"
        );
        let proven = report.integrity.proven;
        assert!(
            first_bad.is_none_or(|bad| proven <= bad),
            "{name}: {proven}"
        );
    }
}

/// Each checkpoint vouches for itself: fewer of them prove less, and nothing false.
#[test]
fn a_checkpoint_may_be_missing_among_others() {
    let mut log = sound();
    log.checkpoints.remove(1);
    assert_good(&log.verify(&log.evidence()));
}

#[test]
fn what_lies_before_the_first_bad_record_is_still_proven() {
    let mut log = sound();
    let evidence = log.evidence();
    set(&mut log, 7, |r| r.time.0 += 1);
    let report = log.verify(&evidence);
    assert_eq!(report.integrity.first_bad, Some(Seq(7)));
    assert_eq!(
        report.integrity.proven, 6,
        "by the first seal and its checkpoint"
    );
}

/// Name, what is written, and the first breach with its record.
type Written = (&'static str, fn(&mut Log), Option<(Breach, u64)>);

/// What a dishonest recorder can do, or who stole the keys of one epoch: write a log that is wrong from the start.
#[test]
fn a_log_that_was_written_wrong_shows() {
    let with = |write: fn(&mut Log)| {
        let mut log = Log::new(1);
        log.say("one");
        log.checkpoint();
        write(&mut log);
        let report = log.verify(&log.evidence());
        let first = report
            .integrity
            .violations
            .first()
            .map(|v| (v.breach, v.seq.unwrap().0));
        (first, report)
    };
    let cases: &[Written] = &[
        ("nothing wrong", |_| (), None),
        (
            "a second genesis",
            |log| {
                let (genesis, identity) = (log.genesis(), log.identity.clone());
                log.push_signed(genesis, Purpose::Genesis, &identity);
            },
            Some((Breach::Genesis, 3)),
        ),
        (
            "a seal of another epoch",
            |log| {
                let next = log.next_epoch_key();
                let mut seal = log.next_seal(&next);
                seal.epoch = 1;
                let key = log.epoch_key();
                log.push_seal(seal, &key, next);
            },
            Some((Breach::Seal, 3)),
        ),
        (
            "a seal that begins too late",
            |log| {
                let next = log.next_epoch_key();
                let mut seal = log.next_seal(&next);
                seal.first = Seq(1);
                let key = log.epoch_key();
                log.push_seal(seal, &key, next);
            },
            Some((Breach::Seal, 3)),
        ),
        (
            "a seal over another root",
            |log| {
                let next = log.next_epoch_key();
                let mut seal = log.next_seal(&next);
                seal.root = Hash([1; 32]);
                let key = log.epoch_key();
                log.push_seal(seal, &key, next);
            },
            Some((Breach::Seal, 3)),
        ),
        (
            "a seal that names its own key again",
            |log| {
                let key = log.epoch_key();
                let seal = log.next_seal(&key);
                log.push_seal(seal, &key.clone(), key);
            },
            Some((Breach::Seal, 3)),
        ),
        (
            "a seal by the log key",
            |log| {
                let next = log.next_epoch_key();
                let (seal, key) = (log.next_seal(&next), log.log_key.clone());
                log.push_seal(seal, &key, next);
            },
            Some((Breach::Signature, 3)),
        ),
        (
            "a seal that is signed as a commit",
            |log| {
                let next = log.next_epoch_key();
                let (seal, key) = (log.next_seal(&next), log.epoch_key());
                log.push_signed(seal, Purpose::Commit, &key);
                log.epochs.push(next);
            },
            Some((Breach::Signature, 3)),
        ),
        (
            "a log key that is added",
            |log| {
                let key = log.key(KeyRole::Log, KeyOp::Add, &secret(1, 50));
                let identity = log.identity.clone();
                log.push_signed(key, Purpose::Key, &identity);
            },
            Some((Breach::Key, 3)),
        ),
        (
            "an epoch key that is rotated without a seal",
            |log| {
                let key = log.key(KeyRole::Epoch, KeyOp::Rotate, &secret(1, 50));
                let identity = log.identity.clone();
                log.push_signed(key, Purpose::Key, &identity);
            },
            Some((Breach::Key, 3)),
        ),
        (
            "a break of another epoch",
            |log| {
                let mut key = log.key(KeyRole::Epoch, KeyOp::Break, &secret(1, 101));
                key.epoch = Some(7);
                let identity = log.identity.clone();
                log.push_signed(key, Purpose::Key, &identity);
                log.epochs.push(secret(1, 101));
            },
            Some((Breach::Key, 3)),
        ),
        (
            "a break that names a key again",
            |log| {
                let first = log.epochs[0].clone();
                let key = log.key(KeyRole::Epoch, KeyOp::Break, &first);
                let identity = log.identity.clone();
                log.push_signed(key, Purpose::Key, &identity);
                log.epochs.push(first);
            },
            Some((Breach::Key, 3)),
        ),
        (
            "a break by the log key",
            |log| {
                let key = log.key(KeyRole::Epoch, KeyOp::Break, &secret(1, 101));
                let log_key = log.log_key.clone();
                log.push_signed(key, Purpose::Key, &log_key);
                log.epochs.push(secret(1, 101));
            },
            Some((Breach::Signature, 3)),
        ),
        (
            "a log that starts with a message",
            |log| {
                let first = Record::decode(&log.records[2]).unwrap();
                let mut log2 = log.clone();
                (log2.records, log2.rows) = (Vec::new(), Vec::new());
                let record = log2.record(first.body);
                log.records = vec![record.encode().unwrap()];
                log.rows = vec![None];
                log.checkpoints.clear();
            },
            Some((Breach::Genesis, 0)),
        ),
    ];
    for (name, write, expected) in cases {
        let (first, report) = with(*write);
        assert_eq!(first, *expected, "{name}: {report:#?}");
        assert_eq!(report.is_good(), expected.is_none(), "{name}");
        assert_eq!(
            report.integrity.first_bad,
            expected.map(|(_, seq)| Seq(seq)),
            "{name}"
        );
    }
}

#[test]
fn the_callers_own_findings_count() {
    let found = [
        Breach::Tile,
        Breach::Surplus,
        Breach::Artefact,
        Breach::Store,
    ];
    for breach in found {
        let log = sound();
        let evidence = log.evidence();
        let mut fold = log.fold(&evidence);
        fold.compared_tiles(1);
        fold.breach(breach, Some(Seq(4)), "found by the caller");
        let report = fold.finish(&evidence);
        assert!(!report.is_good() && !report.has_integrity());
        assert_eq!(report.integrity.first_bad, Some(Seq(4)));
        assert_eq!(breaches(&report), [breach]);
        assert_eq!(report.integrity.tiles, 1);
    }
}

#[test]
fn every_breach_is_provoked_somewhere_here() {
    let source = include_str!("verify.rs");
    for (_, name, breach) in Breach::ALL {
        let variant = format!("Breach::{breach:?}");
        assert!(
            source.matches(&variant).count() > 0,
            "`{name}` is never provoked"
        );
    }
}

#[test]
fn a_row_that_the_store_keeps_elsewhere_shows() {
    let log = sound();
    let evidence = log.evidence();
    let mut fold = Fold::new(evidence.sizes());
    for (seq, bytes) in (0..).zip(&log.records) {
        let kept = if seq == 4 { 14 } else { seq };
        fold.push(Seq(kept), bytes, Single::check(bytes, Vault::Skipped));
    }
    let report = fold.finish(&evidence);
    assert_eq!(breaches(&report), [Breach::Sequence]);
    assert_eq!(report.integrity.first_bad, Some(Seq(4)));
}

#[test]
fn a_garbled_vault_row_shows() {
    let log = sound();
    let evidence = log.evidence();
    let mut fold = Fold::new(evidence.sizes());
    for (seq, bytes) in (0..).zip(&log.records) {
        let vault = if seq == 2 {
            Vault::Row(Some(b"\xff"))
        } else {
            Vault::Skipped
        };
        fold.push(Seq(seq), bytes, Single::check(bytes, vault));
    }
    let report = fold.finish(&evidence);
    assert_eq!(breaches(&report), [Breach::Content]);
    assert_eq!(report.integrity.first_bad, Some(Seq(2)));
}

#[test]
fn violations_beyond_the_spelt_out_ones_are_counted() {
    let mut log = Log::new(1);
    for _ in 0..50 {
        log.say("x");
    }
    log.checkpoint();
    let evidence = log.evidence();
    for row in &mut log.rows {
        *row = None;
    }
    let report = log.verify(&evidence);
    assert_eq!(report.integrity.violations.len(), SPELT_OUT);
    assert_eq!((report.integrity.count, report.content.missing), (50, 50));
}

/// Rewrites epoch 0 with another text, and signs its seal anew.
fn rewritten(by: impl FnOnce(&Log) -> ed25519_dalek::SigningKey) -> Log {
    let old = sound();
    let mut log = Log::new(1);
    log.say("one");
    log.say("TWO");
    log.say("three");
    let next = log.next_epoch_key();
    let (seal, key) = (log.next_seal(&next), by(&old));
    log.push_seal(seal, &key, next);
    log.say("four");
    log.say("five");
    log.seal();
    log.seal();
    log.say("six");
    log
}

#[test]
fn an_epoch_cannot_be_sealed_again_by_a_newer_key() {
    // The newest epoch's key is all that a thief of the machine gets; older ones are erased.
    let mut log = rewritten(|old| old.epoch_key());
    log.checkpoint();
    let report = log.verify(&log.evidence());
    assert_eq!(breaches(&report), [Breach::Signature]);
    assert_eq!(report.integrity.violations[0].seq, Some(Seq(5)));
    // No signature before the bad seal says where the other history begins, and one after it proves nothing.
    assert_eq!(report.integrity.first_bad, Some(Seq(0)));
    assert_eq!(report.integrity.proven, 0);
}

#[test]
fn a_forged_history_is_held_against_a_mark_from_outside() {
    let old = sound();
    // All keys were stolen: the new history is sound in itself.
    let mut log = rewritten(|old| old.epochs[0].clone());
    log.checkpoint();
    assert_good(&log.verify(&log.evidence()));
    for mark in [
        Mark::Checkpoint(old.signed_head()),
        Mark::Checkpoint(old.checkpoints[0].clone()),
        Mark::Receipt(Box::new(old.receipt(Seq(3)))),
    ] {
        let report = log.verify(&log.evidence_with(mark));
        assert_eq!(breaches(&report), [Breach::Forked], "{report:#?}");
        assert_eq!(report.completeness, Completeness::OpenTail);
        assert!(!report.is_good());
        assert_eq!(
            (report.integrity.first_bad, report.integrity.proven),
            (Some(Seq(0)), 0)
        );
    }
    // Another mark, on which both histories agree, still proves what lies before it.
    let mut agreed = Log::new(1);
    agreed.say("one");
    let mut evidence = log.evidence_with(Mark::Checkpoint(old.signed_head()));
    let agreed = Mark::Checkpoint(agreed.signed_head());
    evidence.marks.push(agreed);
    let report = log.verify(&evidence);
    assert_eq!(
        (report.integrity.first_bad, report.integrity.proven),
        (Some(Seq(3)), 3)
    );
}

/// Holes and the caller's findings take back what signatures prove from there on.
#[test]
fn proven_ends_at_the_first_bad_record() {
    let mut log = sound();
    log.rows[3] = None;
    let report = log.verify(&log.evidence());
    assert_eq!(breaches(&report), [Breach::Hole]);
    assert_eq!(
        (report.integrity.first_bad, report.integrity.proven),
        (Some(Seq(3)), 3)
    );
    assert_eq!(report.unsigned, 0, "all of it is signed all the same");
}

#[test]
fn an_empty_epoch_cannot_be_taken_out() {
    let old = sound();
    let mut log = Log::new(1);
    for text in ["one", "two", "three"] {
        log.say(text);
    }
    log.seal();
    log.say("four");
    log.say("five");
    log.seal();
    // The seal of the empty epoch 2 is left out; who holds the key of epoch 3 goes on.
    log.say("six");
    let next = log.next_epoch_key();
    let mut seal = log.next_seal(&next);
    seal.epoch = 3;
    let key = old.epochs[3].clone();
    log.push_seal(seal, &key, next);
    log.checkpoint();
    let report = log.verify(&log.evidence());
    let found = breaches(&report);
    assert!(
        found.contains(&Breach::Seal) && found.contains(&Breach::Signature),
        "{report:#?}"
    );
    // The seal that is missing would have been record 9.
    assert_eq!(report.integrity.first_bad, Some(Seq(9)));
}

#[test]
fn a_log_that_was_cut_at_a_seal_lacks_what_a_mark_saw() {
    let whole = sound();
    let mut cut = Log::new(1);
    for text in ["one", "two", "three"] {
        cut.say(text);
    }
    cut.seal();
    cut.checkpoint();
    // The cut log is sound in itself: only the mark from outside tells.
    assert_good(&cut.verify(&cut.evidence()));
    for mark in [
        Mark::Checkpoint(whole.signed_head()),
        Mark::Receipt(Box::new(whole.receipt(Seq(2)))),
        Mark::Receipt(Box::new(whole.receipt(Seq(10)))),
    ] {
        let report = cut.verify(&cut.evidence_with(mark));
        assert_eq!(breaches(&report), [Breach::Truncated], "{report:#?}");
        assert_eq!(report.integrity.first_bad, Some(Seq(6)));
    }
}

#[test]
fn marks_vouch_for_the_records_before_them() {
    let mut log = sound();
    let note = Mark::Checkpoint(log.signed_head());
    let receipt = Mark::Receipt(Box::new(log.receipt(Seq(2))));
    log.say("seven");
    for mark in [note, receipt] {
        let report = log.verify(&log.evidence_with(mark));
        assert_good(&report);
        assert_eq!(report.completeness, Completeness::CompleteUpTo { size: 11 });
    }
}

#[test]
fn receipts_cannot_be_swapped_or_altered() {
    let (log, other) = (sound(), sound_of(2));
    let judge = |receipt| {
        let mark = Mark::Receipt(Box::new(receipt));
        breaches(&log.verify(&log.evidence_with(mark)))
    };
    let good = log.receipt(Seq(4));
    assert_eq!(judge(good.clone()), []);
    assert_eq!(judge(other.receipt(Seq(4))), [Breach::Forked]);

    let mut altered = good.clone();
    altered.seq = Seq(3);
    assert_eq!(judge(altered), [Breach::Commit]);
    let mut altered = good.clone();
    altered.leaf = log.receipt(Seq(3)).leaf;
    assert_eq!(judge(altered), [Breach::Commit]);
    let mut altered = good.clone();
    altered.path = None;
    assert_eq!(judge(altered), [Breach::Commit]);
    let mut altered = good.clone();
    altered.signature = Fixed([0; 64]);
    assert_eq!(judge(altered), [Breach::Commit]);
    let mut altered = good.clone();
    altered.commit.epoch = 0;
    assert_eq!(judge(altered), [Breach::Commit]);
    // The other log's commit under this log's name.
    let mut altered = other.receipt(Seq(4));
    altered.commit.origin = good.commit.origin.clone();
    altered.commit.log_id = good.commit.log_id;
    assert_eq!(judge(altered), [Breach::Commit]);
    // No signature covers the chain hash, except the head's; the records do.
    for seq in [4, 10] {
        let mut altered = log.receipt(Seq(seq));
        altered.chain = Hash([1; 32]);
        assert_eq!(judge(altered), [Breach::Commit]);
    }
}

/// A statement says which run of the recorder it is of.
#[test]
fn a_statement_names_the_last_boot() {
    let signed = |log: &Log, boot| {
        let mut commit = log.commit().0;
        commit.boot = Seq(boot);
        let bytes = commit.encode().unwrap();
        let signature = sign::sign(&log.epoch_key(), Purpose::Commit, &bytes);
        (commit, signature)
    };
    let judge = |log: &Log, boot| {
        let evidence = Evidence {
            commit: Some(signed(log, boot)),
            ..log.evidence()
        };
        let report = log.verify(&evidence);
        let (commit, signature) = signed(log, boot);
        let mut receipt = log.receipt(Seq(3));
        (receipt.commit, receipt.signature) = (commit, signature);
        let marked = log.verify(&log.evidence_with(Mark::Receipt(Box::new(receipt))));
        assert_eq!(breaches(&marked), breaches(&report));
        assert_eq!(report.integrity.first_bad, None);
        breaches(&report)
    };
    let mut log = sound();
    assert_eq!(judge(&log, 1), []);
    for boot in [0, 2, 10, 11, 9999] {
        assert_eq!(judge(&log, boot), [Breach::Commit], "{boot}");
    }
    let second = log.push(Log::boot(false));
    log.say("seven");
    log.checkpoint();
    assert_eq!(judge(&log, second.0), []);
    assert_eq!(judge(&log, 1), [Breach::Commit]);

    // What a newer version wrote may be a boot record.
    let newer = log.push_bytes(newer_kind(&log), None);
    log.say("eight");
    log.checkpoint();
    for (boot, due) in [
        (second.0, vec![]),
        (newer.0, vec![]),
        (newer.0 + 1, vec![]),
        (newer.0 + 2, vec![Breach::Commit]),
        (second.0 + 1, vec![Breach::Commit]),
    ] {
        assert_eq!(judge(&log, boot), due, "{boot}");
    }
}

/// A record of a kind that does not exist yet, to follow the last one.
fn newer_kind(log: &Log) -> Vec<u8> {
    let bytes = log.record(Log::boot(false)).encode().unwrap();
    let Value::Map(mut entries) = ciborium::from_reader(bytes.as_slice()).unwrap() else {
        panic!("not a map")
    };
    for (key, value) in &mut entries {
        if *key == 5.into() {
            *value = 99.into();
        }
    }
    let mut newer = Vec::new();
    ciborium::into_writer(&Value::Map(entries), &mut newer).unwrap();
    newer
}

/// Anybody can name a key in a genesis.
#[test]
fn a_genesis_that_its_identity_key_did_not_sign_anchors_nothing() {
    let mut log = Log::new(1);
    (log.records, log.rows) = (Vec::new(), Vec::new());
    let genesis = log.genesis();
    log.push_signed(genesis, Purpose::Genesis, &secret(2, 1));
    log.push(Log::boot(false));
    log.say("one");
    log.checkpoint();
    for trust in [log.evidence().trust, None] {
        let report = log.verify(&Evidence {
            trust,
            ..log.evidence()
        });
        assert_eq!(breaches(&report), [Breach::Signature]);
        assert_eq!(report.authenticity, Authenticity::Failed);
    }
}

/// The vault row of a record that means nothing to us is still a row, and the artefacts in it are in use.
#[test]
fn the_row_of_a_record_of_a_newer_kind_is_not_opened() {
    let mut log = sound();
    let descriptor = Descriptor::of(b"never tampering");
    let held = |bytes| Salted {
        salt: Fixed([5; 32]),
        bytes,
    };
    let row = Row {
        content: Some([(999, held(b"text".to_vec()))].into()),
        artefacts: Some(
            [
                (0, held(descriptor.encode().unwrap())),
                (1, held(b"of a newer form".to_vec())),
            ]
            .into(),
        ),
    };
    let bytes = newer_kind(&log);
    let row_bytes = row.encode().unwrap();
    let single = Single::check(&bytes, Vault::Row(Some(&row_bytes))).unwrap();
    assert!(single.meaning.is_err());
    assert_eq!(single.held.unwrap().artefacts, [descriptor]);
    log.push_bytes(bytes.clone(), Some(row));
    log.checkpoint();
    let report = log.verify(&log.evidence());
    assert!(report.has_integrity() && !report.is_good(), "{report:#?}");
    assert_eq!(report.meaning.not_checked, 1);

    let garbled = Single::check(&bytes, Vault::Row(Some(b"\xff"))).unwrap();
    assert!(garbled.held.unwrap().garbled);
}

#[test]
fn a_receipt_stands_alone() {
    let log = sound();
    let key = public(&log.epoch_key());
    for seq in 0..log.size() {
        log.receipt(Seq(seq)).verify(&key).unwrap();
    }
    let wrong = public(&log.epochs[0]);
    let said = log.receipt(Seq(3)).verify(&wrong);
    assert!(matches!(said, Err(Error::Signature(_))), "{said:?}");
}

#[test]
fn a_receipt_is_for_the_bytes_of_its_record() {
    let (log, other) = (sound(), sound_of(2));
    for (seq, bytes) in (0..).zip(&log.records) {
        log.receipt(Seq(seq)).verify_record(bytes).unwrap();
    }
    let receipt = log.receipt(Seq(3));
    let refused = |receipt: &Receipt, bytes: &[u8]| receipt.verify_record(bytes).unwrap_err();
    let of = |what| Error::Proof(what);
    assert_eq!(
        refused(&receipt, &log.records[4]),
        of("the record has another number")
    );
    assert_eq!(
        refused(&receipt, &other.records[3]),
        of("the record has another leaf hash")
    );
    // The signature says nothing of a chain hash that is not the head's: only the bytes do.
    let mut altered = receipt;
    altered.chain = Hash([1; 32]);
    altered.verify(&public(&log.epoch_key())).unwrap();
    assert_eq!(
        refused(&altered, &log.records[3]),
        of("the record has another chain hash")
    );
    assert!(matches!(
        refused(&altered, b"no record"),
        Error::Canon { .. }
    ));
}

#[test]
fn receipts_and_statements_have_no_extensions() {
    let receipt = sound().receipt(Seq(3));
    let bytes = receipt.encode().unwrap();
    assert_eq!(Receipt::decode(&bytes).unwrap(), receipt);
    let extend = |bytes: &[u8]| {
        let Value::Map(mut entries) = ciborium::from_reader(bytes).unwrap() else {
            panic!("not a map")
        };
        entries.push(((-1).into(), 1.into()));
        let mut more = Vec::new();
        ciborium::into_writer(&Value::Map(entries), &mut more).unwrap();
        tacho_schemas::canon::check(&more, more.len()).unwrap();
        more
    };
    let refused = Error::Meaning("has extensions, where none may be".to_owned());
    assert_eq!(Receipt::decode(&extend(&bytes)), Err(refused.clone()));
    let statement = receipt.commit.encode().unwrap();
    assert_eq!(Commit::decode(&statement).unwrap(), receipt.commit);
    assert_eq!(Commit::decode(&extend(&statement)), Err(refused));
}

#[test]
fn a_genesis_whose_keys_are_not_apart_is_none() {
    let mut log = Log::new(1);
    log.log_key = log.identity.clone();
    let mut record = Record::decode(&log.records[0]).unwrap();
    record.body = log.genesis().into();
    let unsigned = record.encode_unsigned().unwrap();
    let signature = sign::sign(&log.identity, Purpose::Genesis, &unsigned);
    record.body.set_signature(Some(signature));
    let mut bytes = Vec::new();
    ciborium::into_writer(&record, &mut bytes).unwrap();
    log.records = vec![bytes];
    log.rows = vec![None];
    log.checkpoint();
    let report = log.verify(&log.evidence());
    assert_eq!(breaches(&report).first(), Some(&Breach::Genesis));
    let what = &report.integrity.violations[0].what;
    assert!(
        what.ends_with("identity, log and epoch key must differ"),
        "{what}"
    );
}

/// A log that asks for witnesses is not good before somebody has asked them.
#[test]
fn a_log_that_needs_witnesses_is_not_good() {
    let mut log = Log::new(1);
    let mut genesis = log.genesis();
    genesis.witness_quorum = 2;
    (log.records, log.rows) = (Vec::new(), Vec::new());
    let identity = log.identity.clone();
    log.push_signed(genesis, Purpose::Genesis, &identity);
    log.checkpoint();
    let report = log.verify(&log.evidence());
    assert_eq!(report.witnesses_needed, 2);
    assert!(report.has_integrity() && !report.is_good());
}

#[test]
fn checkpoints_need_both_keys_of_their_size() {
    let log = sound();
    let text = Checkpoint::new(log.genesis().origin.as_str(), log.size(), log.root());
    let text = text.unwrap().to_string();
    let origin = log.genesis().origin;
    let judge = |note: Note| {
        let mut evidence = log.evidence();
        evidence.checkpoints.push(note);
        breaches(&log.verify(&evidence))
    };
    let only_log = Note::sign(&text, origin.as_str(), &log.log_key).unwrap();
    assert_eq!(judge(only_log), [Breach::Checkpoint]);
    let only_epoch = Note::sign(&text, &format!("{origin}/e3"), &log.epoch_key()).unwrap();
    assert_eq!(judge(only_epoch), [Breach::Checkpoint]);
    let mut older = Note::sign(&text, origin.as_str(), &log.log_key).unwrap();
    older
        .add_signature(&format!("{origin}/e0"), &log.epochs[0])
        .unwrap();
    assert_eq!(
        judge(older),
        [Breach::Checkpoint],
        "the key of an epoch that had ended"
    );
    let mut pretended = Note::sign(&text, origin.as_str(), &log.log_key).unwrap();
    pretended
        .add_signature(&format!("{origin}/e3"), &log.epochs[0])
        .unwrap();
    assert_eq!(judge(pretended), [Breach::Checkpoint]);
    assert_eq!(
        judge(log.sign_text("no checkpoint\n")),
        [Breach::Checkpoint]
    );
    assert_eq!(judge(log.sign_text(&text)), []);
    let other_root = Checkpoint::new(origin.as_str(), log.size(), Hash([1; 32])).unwrap();
    assert_eq!(
        judge(log.sign_text(&other_root.to_string())),
        [Breach::Checkpoint]
    );
}

#[test]
fn a_lost_key_is_survived_and_shows_for_ever() {
    let mut log = sound();
    log.break_epoch();
    log.say("after");
    log.checkpoint();
    log.seal();
    log.checkpoint();
    let report = log.verify(&log.evidence());
    assert_good(&report);
    assert_eq!(report.broken_epochs, 1);
    assert_eq!(report.integrity.seals, 4);
}

#[test]
fn a_rotated_log_key_signs_from_its_record_on() {
    let mut log = sound();
    let old_key = log.log_key.clone();
    log.rotate();
    log.checkpoint();
    log.say("after");
    assert_good(&log.verify(&log.evidence()));

    let mut stale = log.clone();
    stale.log_key = old_key;
    let mut evidence = log.evidence();
    evidence.checkpoints.push(stale.signed_head());
    assert_eq!(breaches(&log.verify(&evidence)), [Breach::Checkpoint]);
    // Kept outside, the old key's word against the log is a fork, not nonsense.
    let report = log.verify(&log.evidence_with(Mark::Checkpoint(stale.signed_head())));
    assert_eq!(breaches(&report), [Breach::Forked]);
}

#[test]
fn what_is_not_understood_is_neither_good_nor_a_violation() {
    let mut log = Log::new(1);
    let record = log.record(Log::boot(false));
    let mut value: Value = ciborium::from_reader(&record.encode().unwrap()[..]).unwrap();
    let Value::Map(entries) = &mut value else {
        panic!("not a map")
    };
    let kind = entries.iter_mut().find(|(key, _)| *key == 5.into());
    kind.unwrap().1 = 22.into();
    let mut bytes = Vec::new();
    ciborium::into_writer(&value, &mut bytes).unwrap();
    log.push_bytes(bytes, None);
    log.say("after");
    log.seal();
    log.checkpoint();
    let report = log.verify(&log.evidence());
    assert!(!report.is_good());
    assert!(report.has_integrity());
    assert_eq!(report.integrity.count, 0);
    assert_eq!(
        (report.meaning.not_checked, report.meaning.first),
        (1, Some(Seq(2)))
    );
    let why = report.meaning.why.unwrap();
    assert_eq!(why, "not understood: unknown kind 22");
}

#[test]
fn clock_jumps_are_counted_and_no_violation() {
    let jumps = |change: fn(&mut Log)| {
        let mut log = Log::new(1);
        log.say("before");
        change(&mut log);
        log.say("after");
        log.checkpoint();
        let report = log.verify(&log.evidence());
        assert_good(&report);
        (report.clocks.jumps, report.clocks.first_jump)
    };
    assert_eq!(jumps(|_| ()), (0, None));
    assert_eq!(
        jumps(|log| log.time += 1_900_000_000),
        (0, None),
        "below two seconds"
    );
    assert_eq!(jumps(|log| log.time += 2_100_000_000), (1, Some(Seq(3))));
    assert_eq!(
        jumps(|log| log.time -= 3_600_000_000_000),
        (1, Some(Seq(3)))
    );
    assert_eq!(
        jumps(|log| log.mono -= 500_000),
        (0, None),
        "it has gone on by one"
    );
    assert_eq!(jumps(|log| log.mono = 5), (1, Some(Seq(3))));
    let reboot = |log: &mut Log| {
        log.mono = 5;
        log.time += 60_000_000_000;
        log.push(Log::boot(true));
    };
    assert_eq!(
        jumps(reboot),
        (0, None),
        "a boot says that the clock began anew"
    );
}

#[test]
fn an_erasure_by_nobody_enrolled_excuses_nothing() {
    let erase = |via: Via| {
        let mut log = Log::new(1);
        let said = log.say("secret");
        let mut record = log.record(Erasure {
            act: Act {
                key: Fingerprint(Hash([1; 32])),
                assurance: None,
                statement: Blob::new(vec![1]).unwrap(),
                sshsig: Blob::new(vec![1]).unwrap(),
            },
            erased: List::new(vec![Erased {
                seq: said,
                fields: Some(Set::of(vec![200]).unwrap()),
                places: None,
            }])
            .unwrap(),
            basis: Basis::Law,
        });
        record.via = via;
        log.push_bytes(record.encode().unwrap(), None);
        log.checkpoint();
        assert_good(&log.verify(&log.evidence()));
        assert!(log.rows[2].as_mut().unwrap().erase(Slot::Field(200)));
        log.rows[2] = None;
        let report = log.verify(&log.evidence());
        assert_eq!(breaches(&report), [Breach::Hole]);
        assert_eq!((report.content.missing, report.content.erased), (1, 0));
        report.integrity.violations[0].what.clone()
    };
    assert!(erase(Via::Human).contains("no enrolled human signed it"));
    assert!(erase(Via::Recorder).contains("no erasure says why"));
}

#[test]
fn unsigned_records_at_the_end_are_counted() {
    let mut log = sound();
    let evidence = log.evidence();
    log.say("seven");
    log.say("eight");
    let report = log.verify(&evidence);
    assert_good(&report);
    assert_eq!(report.unsigned, 2);
}

#[test]
fn every_flipped_byte_of_a_record_is_caught() {
    let log = sound();
    let evidence = log.evidence();
    for (place, bytes) in log.records.iter().enumerate() {
        for at in (0..bytes.len()).step_by(7) {
            let mut spoilt = log.clone();
            spoilt.records[place][at] ^= 0x01;
            let report = spoilt.verify(&evidence);
            assert!(report.integrity.count > 0, "byte {at} of record {place}");
            let first = report.integrity.first_bad.unwrap();
            assert!(usize::try_from(first.0).unwrap() <= place, "{report:#?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_change_of_any_record_is_caught(
        place in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        xor in 1_u8..,
    ) {
        let mut log = sound();
        let evidence = log.evidence();
        let place = place.index(log.records.len());
        let at = at.index(log.records[place].len());
        log.records[place][at] ^= xor;
        let report = log.verify(&evidence);
        prop_assert!(!report.has_integrity());
        prop_assert!(!report.is_good());
    }

    #[test]
    fn any_log_is_good_as_it_was_written(steps in proptest::collection::vec(0_u8..6, 0..30)) {
        let mut log = Log::new(1);
        for step in steps {
            match step {
                0 => drop(log.seal()),
                1 => drop(log.checkpoint()),
                2 => drop(log.break_epoch()),
                _ => drop(log.say("x")),
            }
        }
        log.checkpoint();
        let mark = Mark::Receipt(Box::new(log.receipt(Seq(log.size() - 1))));
        let report = log.verify(&log.evidence_with(mark));
        prop_assert!(report.is_good(), "{:#?}", report);
        let size = log.size();
        prop_assert_eq!(report.completeness, Completeness::CompleteUpTo { size });
    }
}

/// A key that only one of many kinds of record would need is not asked of the others.
#[test]
fn kinds_of_the_verifier_are_those_of_the_format() {
    let signing: Vec<_> = Kind::ALL
        .iter()
        .filter(|(_, _, kind)| samples::full(*kind).body.signature().is_some())
        .map(|(_, name, _)| *name)
        .collect();
    assert_eq!(signing, ["genesis", "seal", "key"]);
}

#[test]
fn hidden_records_are_passed_over_and_never_under_a_signature() {
    use tacho_schemas::tree;
    use tacho_schemas::verify::Completeness;
    let log = sound();
    let evidence = log.evidence();
    let wanted: std::collections::BTreeSet<u64> = evidence.sizes().collect();
    // The records that no key, seal or signed size needs, one run at a time.
    let needed = |seq: u64| {
        let kind = tacho_schemas::Kind::peek(&log.records[seq as usize]);
        use tacho_schemas::Kind as K;
        matches!(kind, Some(K::Genesis | K::Seal | K::Key))
    };
    let size = log.records.len() as u64;
    let show = |hide: &dyn Fn(u64) -> bool| {
        let mut fold = Fold::new(evidence.sizes());
        for seq in 0..size {
            let bytes = &log.records[seq as usize];
            if hide(seq) {
                fold.hide(1, &[tree::leaf_hash(bytes)]).unwrap();
            } else {
                fold.push(Seq(seq), bytes, Single::check(bytes, Vault::Skipped));
            }
        }
        fold.finish(&evidence)
    };
    let report = show(&|seq| !needed(seq));
    assert!(report.has_integrity(), "{:?}", report.integrity);
    assert!(report.shown < report.size && report.head.is_some() == needed(size - 1));
    assert!(
        matches!(report.completeness, Completeness::Excerpt { shown, .. } if shown == report.shown)
    );
    assert!(!show(&|seq| seq == 0).has_integrity());

    // A run over a size at which something was signed leaves that unseen.
    let cut = *wanted.iter().find(|cut| **cut > 1 && **cut < size).unwrap();
    let leaf = |seq: u64| tree::leaf_hash(&log.records[seq as usize]);
    let covers: Vec<_> = tree::covers(cut - 1, cut + 1)
        .map(|(level, index)| match level {
            0 => leaf(index),
            _ => tree::node_hash(&leaf(2 * index), &leaf(2 * index + 1)),
        })
        .collect();
    let mut fold = Fold::new(evidence.sizes());
    for seq in 0..size {
        let bytes = &log.records[seq as usize];
        if seq == cut - 1 {
            assert!(fold.hide(2, &covers[1..]).is_err(), "too few");
            fold = Fold::new(evidence.sizes());
            for (seq, bytes) in (0..seq).zip(&log.records) {
                fold.push(Seq(seq), bytes, Single::check(bytes, Vault::Skipped));
            }
            fold.hide(2, &covers).unwrap();
        } else if seq != cut {
            fold.push(Seq(seq), bytes, Single::check(bytes, Vault::Skipped));
        }
    }
    assert!(breaches(&fold.finish(&evidence)).contains(&Breach::Bundle));
}
