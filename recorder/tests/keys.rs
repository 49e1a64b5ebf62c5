//! A seal may be interrupted between any two steps, and the key that the log expects is found again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ed25519_dalek::VerifyingKey;
use tacho_recorder::keys::{self, KeyRing, PromoteStep, Recovered};
use tacho_recorder::{Error, ErrorKind};

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn whole(dir: &Path) -> bool {
    names(dir) == BTreeSet::from(["epoch.pem".to_owned(), "log.pem".to_owned()])
}

fn ring(dir: &Path) -> (KeyRing, VerifyingKey, VerifyingKey) {
    let ring = KeyRing::create(dir).unwrap();
    let log = ring.log().verifying_key();
    let epoch = ring.epoch().unwrap().verifying_key();
    (ring, log, epoch)
}

#[test]
fn a_seal_without_a_crash_changes_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ring, log, first) = ring(dir.path());
    let next = ring.make_next().unwrap();
    assert_eq!(ring.make_next().unwrap(), next);
    assert_eq!(ring.epoch().unwrap().verifying_key(), first);
    let mut steps = Vec::new();
    ring.promote_next(&mut |step| {
        steps.push(step);
        Ok(())
    })
    .unwrap();
    let (quick, usual) = PromoteStep::ALL.split_last().unwrap();
    assert_eq!(
        (steps.as_slice(), *quick),
        (usual, PromoteStep::OldReplaced)
    );
    assert_eq!(ring.epoch().unwrap().verifying_key(), next);
    assert!(whole(dir.path()));
    let error = ring.promote_next(&mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let (again, done) = KeyRing::recover(dir.path(), &log, &next).unwrap();
    assert_eq!(again.epoch().unwrap().verifying_key(), next);
    assert_eq!(done, []);
}

#[test]
fn a_next_key_that_could_not_be_written_is_tried_again() {
    let base = tempfile::tempdir().unwrap();
    let (mut ring, _, _) = ring(base.path());
    // What a full disk leaves of a key.
    keys_file(&base.path().join("epoch-next.pem"), b"").unwrap();
    let next = ring.make_next().unwrap();
    ring.promote_next(&mut |_| Ok(())).unwrap();
    assert_eq!(ring.epoch().unwrap().verifying_key(), next);
}

#[test]
fn a_crash_before_the_commit_drops_the_next_key() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ring, log, first) = ring(dir.path());
    ring.make_next().unwrap();
    drop(ring);
    let (ring, done) = KeyRing::recover(dir.path(), &log, &first).unwrap();
    assert_eq!(ring.epoch().unwrap().verifying_key(), first);
    assert_eq!(done, [Recovered::NextDropped]);
    assert!(whole(dir.path()));
}

#[test]
fn a_crash_while_the_next_key_is_written_drops_it() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("keys");
    fs::create_dir(&dir).unwrap();
    let (mut ring, log, first) = ring(&dir);
    ring.make_next().unwrap();
    drop(ring);
    let next = fs::read(dir.join("epoch-next.pem")).unwrap();
    for length in 0..next.len() {
        let half = keys_file(&dir.join("epoch-next.pem"), &next[..length]);
        half.unwrap();
        let (_, done) = KeyRing::recover(&dir, &log, &first).unwrap();
        assert_eq!(done, [Recovered::NextDropped], "{length} bytes");
        assert!(whole(&dir));
    }
}

fn keys_file(path: &Path, bytes: &[u8]) -> tacho_recorder::Result<()> {
    let _ = fs::remove_file(path);
    tacho_recorder::files::write_new(path, bytes)
}

#[test]
fn a_crash_at_any_step_after_the_commit_ends_with_the_next_key() {
    // `None` is the crash right after the commit, before the first step.
    let usual = PromoteStep::ALL
        .into_iter()
        .filter(|step| *step != PromoteStep::OldReplaced);
    for at in std::iter::once(None).chain(usual.map(Some)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut ring, log, first) = ring(dir.path());
        let next = ring.make_next().unwrap();
        if at.is_some() {
            let error = ring
                .promote_next(&mut |step| {
                    if Some(step) == at {
                        return Err(Error::new(ErrorKind::Interrupted, "crash"));
                    }
                    Ok(())
                })
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interrupted);
            // Neither key signs in this process any more.
            assert_eq!(ring.epoch().unwrap_err().kind(), ErrorKind::Poisoned);
            assert_eq!(ring.make_next().unwrap_err().kind(), ErrorKind::Poisoned);
        }
        drop(ring);
        let (ring, done) = KeyRing::recover(dir.path(), &log, &next).unwrap();
        assert_eq!(ring.epoch().unwrap().verifying_key(), next, "{at:?}");
        assert!(whole(dir.path()), "{at:?}: {:?}", names(dir.path()));
        let expected: &[Recovered] = match at {
            None | Some(PromoteStep::CurrentSetAside) => {
                &[Recovered::NextPromoted, Recovered::PastDestroyed]
            }
            Some(PromoteStep::NextInPlace | PromoteStep::NamesDurable | PromoteStep::OldZeroed) => {
                &[Recovered::PastDestroyed]
            }
            Some(PromoteStep::OldUnlinked | PromoteStep::OldGone | PromoteStep::OldReplaced) => &[],
        };
        assert_eq!(done, expected, "{at:?}");
        // And the log cannot go back.
        let error = KeyRing::recover(dir.path(), &log, &first).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
    }
}

#[test]
fn a_crash_within_recovery_is_recovered_from() {
    // Every mix of files in which a whole copy of the expected key is somewhere.
    let source = tempfile::tempdir().unwrap();
    let (ring, log, right) = ring(source.path());
    drop(ring);
    let right_pem = fs::read(source.path().join("epoch.pem")).unwrap();
    let log_pem = fs::read(source.path().join("log.pem")).unwrap();
    let other = tempfile::tempdir().unwrap();
    keys::write(&other.path().join("k"), &keys::generate().unwrap()).unwrap();
    let wrong_pem = fs::read(other.path().join("k")).unwrap();
    let zeros = vec![0; wrong_pem.len()];
    let contents: [Option<&[u8]>; 4] = [None, Some(&right_pem), Some(&wrong_pem), Some(&zeros)];
    let mut tried = 0;
    for current in contents {
        for next in contents {
            for old in contents {
                let files = [
                    ("epoch.pem", current),
                    ("epoch-next.pem", next),
                    ("epoch-old.pem", old),
                ];
                let dir = tempfile::tempdir().unwrap();
                keys_file(&dir.path().join("log.pem"), &log_pem).unwrap();
                for (name, bytes) in files {
                    if let Some(bytes) = bytes {
                        keys_file(&dir.path().join(name), bytes).unwrap();
                    }
                }
                let before = names(dir.path());
                let result = KeyRing::recover(dir.path(), &log, &right);
                if files.iter().any(|(_, b)| *b == Some(right_pem.as_slice())) {
                    let (ring, _) = result.unwrap();
                    assert_eq!(ring.epoch().unwrap().verifying_key(), right);
                    assert!(whole(dir.path()), "{before:?} -> {:?}", names(dir.path()));
                } else {
                    // Without the key nothing is touched.
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::Refused);
                    assert_eq!(names(dir.path()), before);
                }
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 64);
}

#[test]
fn two_names_for_one_key_do_not_wipe_it() {
    let dir = tempfile::tempdir().unwrap();
    let (ring, log, epoch) = ring(dir.path());
    drop(ring);
    fs::hard_link(
        dir.path().join("epoch.pem"),
        dir.path().join("epoch-old.pem"),
    )
    .unwrap();
    KeyRing::recover(dir.path(), &log, &epoch).unwrap();
    KeyRing::recover(dir.path(), &log, &epoch).unwrap();
    assert!(whole(dir.path()));
}

#[test]
fn old_secrets_are_overwritten_before_they_are_unlinked() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ring, _, _) = ring(dir.path());
    ring.make_next().unwrap();
    let old = dir.path().join("epoch-old.pem");
    ring.promote_next(&mut |step| {
        let bytes = fs::read(&old).unwrap_or_default();
        match step {
            PromoteStep::NamesDurable => assert!(bytes.starts_with(b"-----BEGIN")),
            PromoteStep::OldZeroed => assert_eq!(bytes, [0; 119]),
            _ => {}
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn without_a_fitting_key_only_a_break_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (ring, log, epoch) = ring(dir.path());
    drop(ring);
    let lost = keys::generate().unwrap().verifying_key();
    let error = KeyRing::recover(dir.path(), &log, &lost).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.hint().unwrap().contains("tacho key break"));
    // The file is still there: the break may not be what its owner wants.
    KeyRing::recover(dir.path(), &log, &epoch).unwrap();

    let next = KeyRing::prepare_break(dir.path()).unwrap();
    let (ring, done) = KeyRing::recover(dir.path(), &log, &next).unwrap();
    assert_eq!(ring.epoch().unwrap().verifying_key(), next);
    assert_eq!(done, [Recovered::NextPromoted, Recovered::PastDestroyed]);
    assert!(whole(dir.path()));
}

#[test]
fn another_log_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (ring, log, epoch) = ring(dir.path());
    drop(ring);
    assert_eq!(
        KeyRing::recover(dir.path(), &epoch, &epoch)
            .unwrap_err()
            .kind(),
        ErrorKind::Refused
    );
    fs::remove_file(dir.path().join("log.pem")).unwrap();
    assert_eq!(
        KeyRing::recover(dir.path(), &log, &epoch)
            .unwrap_err()
            .kind(),
        ErrorKind::Refused
    );
}

/// The quick way: no name changes, the old secret is gone at once, and both ways follow each other in any order.
#[test]
fn the_next_key_but_one_is_written_over_the_old_one() {
    for ways in 0..16_u32 {
        let dir = tempfile::tempdir().unwrap();
        let (mut ring, log, mut expected) = ring(dir.path());
        let mut gone = Vec::new();
        for place in 0..4 {
            gone.push(ring.epoch().unwrap().to_bytes());
            let next = ring.make_next().unwrap();
            assert_eq!(ring.make_next().unwrap(), next);
            let quick = ways >> place & 1 == 1;
            match quick {
                true => ring.replace_with_next(&mut |_| Ok(())).unwrap(),
                false => ring.promote_next(&mut |_| Ok(())).unwrap(),
            }
            assert_eq!(ring.epoch().unwrap().verifying_key(), next);
            assert_eq!(whole(dir.path()), !quick, "{ways} {place}");
            expected = next;
            for name in names(dir.path()) {
                let kept = keys::read(&dir.path().join(&name)).unwrap();
                assert!(!gone.contains(&kept.to_bytes()), "{name} in {ways} {place}");
            }
        }
        drop(ring);
        let (ring, _) = KeyRing::recover(dir.path(), &log, &expected).unwrap();
        assert_eq!(ring.epoch().unwrap().verifying_key(), expected);
        assert!(whole(dir.path()));
    }
}

#[test]
fn a_crash_while_the_old_key_is_overwritten_is_recovered_from() {
    for swapped in [false, true] {
        let base = tempfile::tempdir().unwrap();
        let (mut ring, log, _) = ring(base.path());
        ring.make_next().unwrap();
        if swapped {
            ring.replace_with_next(&mut |_| Ok(())).unwrap();
        }
        let next = ring.make_next().unwrap();
        let old = base.path().join(if swapped {
            "epoch-next.pem"
        } else {
            "epoch.pem"
        });
        let before = fs::read(&old).unwrap();
        let error = ring
            .replace_with_next(&mut |_| Err(Error::new(ErrorKind::Interrupted, "crash")))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert_eq!(ring.epoch().unwrap_err().kind(), ErrorKind::Poisoned);
        let after = fs::read(&old).unwrap();
        assert!(before != after && before.len() == after.len());
        // However far the write came.
        for written in 0..=after.len() {
            let torn = [&after[..written], &before[written..]].concat();
            keys_file(&old, &torn).unwrap();
            let copy = tempfile::tempdir().unwrap();
            for name in names(base.path()) {
                let bytes = fs::read(base.path().join(&name)).unwrap();
                keys_file(&copy.path().join(&name), &bytes).unwrap();
            }
            let (ring, _) = KeyRing::recover(copy.path(), &log, &next).unwrap();
            assert_eq!(ring.epoch().unwrap().verifying_key(), next, "{written}");
            assert!(whole(copy.path()));
        }
    }
}
