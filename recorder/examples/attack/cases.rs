//! The cases: what is done to the log, and what a verifier must say.

use std::fs;
use std::path::{Path, PathBuf};

use ciborium::Value;
use ed25519_dalek::SigningKey;
use rusqlite::{Connection, params};
use serde_json::{Value as Json, json};
use tacho_recorder::index::Index;
use tacho_recorder::log::Log;
use tacho_recorder::pack::{Packer, Unpacker};
use tacho_recorder::{LogDir, Reader, keys};
use tacho_schemas::body::Body;
use tacho_schemas::body::human::{Act, Answer, Approval, Basis, Erased, Erasure};
use tacho_schemas::body::log::{Key, KeyOp, KeyRole, SealReason};
use tacho_schemas::content::{Field, MAX_ROW, Row, Salted, Slot};
use tacho_schemas::record::{Kind, Record, Via};
use tacho_schemas::scalar::{Blob, List, Set};
use tacho_schemas::sign::{self, Fingerprint, Purpose};
use tacho_schemas::{Fixed, Hash, Origin, Seq};

use crate::base::{self, Made};
use crate::forge::{self, Loot, as_is, no_key, replace, sql};

/// What a verifier must say.
struct Expect {
    exit: u8,
    breaches: &'static [&'static str],
    first_bad: Option<u64>,
    proven: u64,
    complete_up_to: Option<u64>,
    authenticity: &'static str,
    not_checked: u64,
    error: Option<&'static str>,
    start: Option<&'static str>,
}

const SOUND: Expect = Expect {
    exit: 0,
    breaches: &[],
    first_bad: None,
    proven: 28,
    complete_up_to: None,
    authenticity: "anchored",
    not_checked: 0,
    error: None,
    start: None,
};

fn bad(breaches: &'static [&'static str], first_bad: Option<u64>, proven: u64) -> Expect {
    Expect {
        exit: 1,
        breaches,
        first_bad,
        proven,
        ..SOUND
    }
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    Packer::new().unwrap().pack(bytes).unwrap()
}

/// Changes packed bytes where they lie.
fn repack(case: &Case, table: &str, column: &str, row: &str, change: &dyn Fn(&mut Vec<u8>)) {
    sql(&case.work, |db| {
        let select = format!("SELECT {column} FROM {table} WHERE {row}");
        let mut packed: Vec<u8> = db.query_row(&select, [], |found| found.get(0)).unwrap();
        change(&mut packed);
        let update = format!("UPDATE {table} SET {column} = ?1 WHERE {row}");
        assert_eq!(db.execute(&update, [packed]).unwrap(), 1);
    });
}

struct Maker {
    fixtures: PathBuf,
    identity: SigningKey,
    /// The usual log after its second stop.
    whole: Made,
    /// Its directory after its first stop.
    early: PathBuf,
    scratch: tempfile::TempDir,
}

struct Case {
    dir: PathBuf,
    work: PathBuf,
    what: &'static str,
    trust: Option<Fingerprint>,
}

pub(crate) fn make(fixtures: &Path) {
    let key_file = |name: &str, seed: u8| {
        let path = fixtures.join("keys").join(name);
        if !path.exists() {
            keys::write(&path, &SigningKey::from_bytes(&[seed; 32])).unwrap();
        }
        base::fixture_key(&path)
    };
    let identity = key_file("identity.pem", 7);
    let stranger = key_file("stranger.pem", 8);
    let logs = fixtures.join("logs");
    for entry in fs::read_dir(&logs).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        }
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut whole = base::usual(&scratch.path().join("whole"), &identity);
    let early = scratch.path().join("early");
    copy(&whole.path, &early);
    base::go_on(&mut whole);
    let maker = Maker {
        fixtures: fixtures.to_owned(),
        identity,
        whole,
        early,
        scratch,
    };
    maker.sound();
    maker.newer();
    maker.records();
    maker.farther_out();
    maker.ends();
    maker.seals_and_keys(&stranger);
    maker.vault_and_artefacts();
    maker.store();
    maker.wal();
    maker.index();
    maker.checkpoints();
    maker.marks(&stranger);
    maker.wide();
}

/// Copies a directory as an attacker or a backup would.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(&name));
        } else if name != "reserve" && name != "log.db-shm" {
            fs::copy(entry.path(), to.join(&name)).unwrap();
        }
    }
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
}

impl Maker {
    fn epoch(&self, number: usize) -> &SigningKey {
        &self.whole.epochs[number]
    }

    fn log_key(&self) -> SigningKey {
        keys::read(&self.whole.path.join("keys/log.pem")).unwrap()
    }

    fn origin(&self) -> Origin {
        Origin::from_parts("tacho.invalid", [7; 16]).unwrap()
    }

    /// A case made from a copy of the whole log.
    fn case(&self, name: &str, what: &'static str) -> Case {
        self.case_of(name, what, &self.whole.path)
    }

    fn case_of(&self, name: &str, what: &'static str, log: &Path) -> Case {
        let work = self.scratch.path().join("case").join(name);
        copy(log, &work);
        let identity = Fixed(self.identity.verifying_key().to_bytes());
        Case {
            dir: self.fixtures.join("logs").join(name),
            work,
            what,
            trust: Some(Fingerprint::of(&identity)),
        }
    }

    /// Takes the whole log apart, lets `f` change it, and puts it together: relinked, re-signed with the epoch keys that `keys`
    /// names, and with tiles and vault that fit.
    fn rewrite(
        &self,
        case: &Case,
        keys: &dyn Fn(u64) -> Option<SigningKey>,
        patch: &dyn Fn(u64, Vec<u8>) -> Vec<u8>,
        f: impl FnOnce(&mut Loot),
    ) -> Vec<Vec<u8>> {
        let mut loot = forge::loot(&case.work);
        f(&mut loot);
        let records = forge::relink(&mut loot.records, keys, patch);
        replace(&case.work, &records, &loot.vault);
        records
    }

    /// Signs the ends anew with the keys of the last epoch: statement, and a checkpoint over all.
    fn resign_ends(&self, case: &Case, records: &[Vec<u8>], kept: usize) {
        forge::sign_commit(&case.work, &self.origin(), records, 5, self.epoch(5));
        let mut entries = forge::checkpoints(&case.work);
        entries.truncate(kept);
        let size = records.len();
        entries.push(forge::checkpoint(
            &self.origin(),
            records,
            size,
            &self.log_key(),
            5,
            self.epoch(5),
        ));
        fs::write(case.work.join("checkpoints"), entries.concat()).unwrap();
    }

    /// The key of the epoch that was open when the attacker came, and the one after.
    fn stolen(&self) -> impl Fn(u64) -> Option<SigningKey> + '_ {
        |epoch| (epoch == 4).then(|| self.epoch(4).clone())
    }

    /// The keys of all epochs: more than any attacker gets.
    fn all(&self) -> impl Fn(u64) -> Option<SigningKey> + '_ {
        |epoch| Some(self.epoch(epoch as usize).clone())
    }

    fn sound(&self) {
        let fresh = self.scratch.path().join("fresh");
        Made::begin(&fresh, &self.identity, 9).close();
        self.case_of("sound-fresh", "a log that was made and stopped", &fresh)
            .starts()
            .end(Expect {
                proven: 3,
                start: Some("opens"),
                ..SOUND
            });

        self.case(
            "sound",
            "two runs, five epochs, one of them empty, stopped cleanly",
        )
        .starts()
        .end(Expect {
            start: Some("opens"),
            ..SOUND
        });
        self.case(
            "sound-marked",
            "the same, held against the last receipt of a record",
        )
        .receipt(self.whole.receipts.last().unwrap())
        .end(Expect {
            complete_up_to: Some(27),
            ..SOUND
        });
        let all = forge::checkpoints(&self.whole.path);
        self.case(
            "sound-marked-checkpoint",
            "the same, held against its last checkpoint, kept elsewhere",
        )
        .note(all.last().unwrap())
        .end(Expect {
            complete_up_to: Some(28),
            ..SOUND
        });
        let last = all.last().unwrap();
        let line = last.lines().find(|l| l.contains("/e5 ")).unwrap();
        self.case(
            "sound-marked-log-line",
            "the same, and of the checkpoint kept elsewhere only the log key's line is left",
        )
        .note(&last.replace(&format!("{line}\n"), ""))
        .end(Expect {
            complete_up_to: Some(28),
            ..SOUND
        });
        self.case(
            "sound-no-pin",
            "the same, and nobody says which identity key is the right one",
        )
        .trusting(None)
        .end(Expect {
            exit: 1,
            authenticity: "self_consistent",
            ..SOUND
        });

        self.live(
            "sound-live-copy",
            "copied while the recorder was running: the last records are in the WAL",
        )
        .starts()
        .end(Expect {
            proven: 30,
            start: Some("opens"),
            ..SOUND
        });
        let case = self.live("sound-unclean", "the recorder was killed and started again");
        self.whole.adopt(&case.work).close();
        // 28 boot, 29 and 30 messages, 31 boot, 32 gap, 33 seal, 34 seal of the stop.
        case.end(Expect {
            proven: 35,
            ..SOUND
        });

        let case = self.live(
            "sound-key-break",
            "an epoch key was lost, and the identity key ended the epoch for all to see",
        );
        fs::remove_file(case.work.join("keys/epoch.pem")).unwrap();
        let options = base::options(&self.whole.clock);
        Log::break_epoch(&case.work, &self.identity, &options).unwrap();
        self.whole.adopt(&case.work).close();
        // 28 boot, 29 and 30 messages, 31 break, 32 boot, 33 gap, 34 seal, 35 seal of the stop.
        case.end(Expect {
            proven: 36,
            ..SOUND
        });

        let case = self.case(
            "sound-log-key-rotated",
            "the key that signs checkpoints was replaced by leave of the identity key",
        );
        let mut log = self.whole.adopt(&case.work);
        log.log().rotate_log_key(&self.identity).unwrap();
        log.say("A new key signs.", 30);
        log.close();
        case.starts().end(Expect {
            proven: 32,
            start: Some("opens"),
            ..SOUND
        });
    }

    /// A copy of the log while its third run goes on: 28 boot, 29 and 30 messages, all in the WAL.
    fn live(&self, name: &str, what: &'static str) -> Case {
        let run = self.scratch.path().join(format!("run-{name}"));
        copy(&self.whole.path, &run);
        let mut log = self.whole.adopt(&run);
        log.say("One more.", 29);
        log.say("And another.", 30);
        let case = self.case_of(name, what, &run);
        case.keep_receipts(&log);
        log.close();
        case
    }

    fn newer(&self) {
        let case = self.case(
            "newer-kind",
            "a newer version wrote a kind of record that this one does not know",
        );
        let records = self.rewrite(
            &case,
            &self.stolen(),
            &|seq, bytes| match seq {
                23 => forge::patch_map(&bytes, |map| forge::set(map, 5, Value::from(99))),
                _ => bytes,
            },
            |_| (),
        );
        self.resign_ends(&case, &records, 6);
        case.end(Expect {
            exit: 1,
            not_checked: 1,
            ..SOUND
        });

        let case = self.case(
            "newer-kind-artefact",
            "a newer version wrote kinds of records that this one does not know, with artefacts",
        );
        // The only one that uses its artefact, and one of two that share theirs.
        let records = self.rewrite(
            &case,
            &self.all(),
            &|seq, bytes| match seq {
                4 | 10 => forge::patch_map(&bytes, |map| forge::set(map, 5, Value::from(99))),
                _ => bytes,
            },
            |_| (),
        );
        self.resign_ends(&case, &records, 0);
        case.end(Expect {
            exit: 1,
            not_checked: 2,
            ..SOUND
        });

        let case = self.case("newer-tables", "a newer version wrote the database");
        sql(&case.work, |db| {
            db.pragma_update(None, "user_version", 2).unwrap()
        });
        case.starts().end(Expect {
            exit: 2,
            error: Some("newer_version"),
            start: Some("newer_version"),
            ..SOUND
        });
    }

    fn records(&self) {
        let case = self.case("edit", "a record was changed where it stands");
        sql(&case.work, |db| {
            let mut bytes = forge::bytes_of(db, 12);
            let at = bytes.windows(11).position(|w| w == b"claude-code").unwrap();
            bytes[at] = b'C';
            forge::set_bytes(db, 12, &bytes);
        });
        case.end(bad(
            &["chain", "checkpoint", "forked", "seal"],
            Some(12),
            10,
        ));

        let case = self.case(
            "edit-rehash",
            "a record was changed, and all hashes after it made anew",
        );
        self.rewrite(&case, &no_key, &as_is, edit_12);
        case.end(bad(&["checkpoint", "forked", "signature"], Some(10), 10));

        let case = self.case("delete", "a record was taken out");
        sql(&case.work, |db| {
            db.execute_batch(
                "DELETE FROM records WHERE seq = 12; DELETE FROM vault WHERE seq = 12",
            )
            .unwrap();
        });
        case.end(bad(
            &["chain", "checkpoint", "seal", "sequence", "truncated"],
            Some(12),
            10,
        ));

        let case = self.case(
            "delete-relink",
            "a record was taken out, and the rest numbered and linked anew",
        );
        self.rewrite(&case, &no_key, &as_is, |loot| {
            loot.records.remove(12);
            let vault = std::mem::take(&mut loot.vault);
            let moved = vault.into_iter().filter(|(seq, _)| *seq != 12);
            loot.vault = moved
                .map(|(seq, row)| (seq - u64::from(seq > 12), row))
                .collect();
        });
        move_refs(&case, 1);
        case.end(bad(
            &["checkpoint", "seal", "signature", "truncated"],
            Some(10),
            10,
        ));

        let case = self.case("reorder", "two records changed places");
        sql(&case.work, |db| {
            let (a, b) = (forge::bytes_of(db, 12), forge::bytes_of(db, 13));
            forge::set_bytes(db, 12, &b);
            forge::set_bytes(db, 13, &a);
        });
        case.end(bad(
            &[
                "chain",
                "checkpoint",
                "content",
                "forked",
                "seal",
                "sequence",
            ],
            Some(12),
            10,
        ));

        let case = self.case(
            "reorder-relink",
            "two records changed places, and all were numbered and linked anew",
        );
        self.rewrite(&case, &no_key, &as_is, |loot| {
            loot.records.swap(12, 13);
            let (a, b) = (loot.vault[&12].clone(), loot.vault[&13].clone());
            loot.vault.insert(12, b);
            loot.vault.insert(13, a);
        });
        case.end(bad(&["checkpoint", "forked", "signature"], Some(10), 10));

        let case = self.case(
            "duplicate-seq",
            "two rows of the database bear the same number",
        );
        let bytes = Connection::open(case.work.join("log.db"))
            .map(|db| forge::bytes_of(&db, 26))
            .unwrap();
        let file = case.work.join("log.db");
        let image = fs::read(&file).unwrap();
        let at = image.windows(bytes.len()).position(|w| w == bytes).unwrap();
        // Before the bytes stand the row's number and a head of four bytes.
        let old = image[at - 5..at + 40].to_vec();
        assert_eq!(old[0], 26);
        let mut new = old.clone();
        new[0] = 25;
        forge::overwrite(&file, &old, &new);
        case.end(bad(&["hole", "sequence"], Some(25), 25));

        let case = self.case(
            "duplicate-seq-inside",
            "a record bears the number of the one before, and all was linked anew",
        );
        self.rewrite(
            &case,
            &no_key,
            &|seq, bytes| match seq {
                13 => forge::patch_map(&bytes, |map| forge::set(map, 1, Value::from(12))),
                _ => bytes,
            },
            |_| (),
        );
        case.end(bad(
            &["checkpoint", "forked", "sequence", "signature"],
            Some(13),
            10,
        ));

        let case = self.case(
            "duplicate-key",
            "a record holds a key twice, so that two readers can read two things",
        );
        self.rewrite(
            &case,
            &no_key,
            &|seq, bytes| match seq {
                12 => forge::patch_map(&bytes, |map| {
                    map.insert(6, (Value::from(5), Value::from(13)))
                }),
                _ => bytes,
            },
            |_| (),
        );
        case.end(bad(
            &["canon", "checkpoint", "forked", "signature"],
            Some(12),
            10,
        ));

        let case = self.case(
            "record-negative",
            "a row with a negative number, where no reader that starts at 0 looks",
        );
        sql(&case.work, |db| {
            db.execute_batch("INSERT INTO records SELECT -5, bytes FROM records WHERE seq = 12")
                .unwrap();
        });
        case.starts().end(Expect {
            start: Some("corrupt"),
            ..bad(&["store"], None, 28)
        });

        let case = self.case("record-beyond", "a row with a number far behind the end");
        sql(&case.work, |db| {
            db.execute_batch("INSERT INTO records SELECT 5000, bytes FROM records WHERE seq = 12")
                .unwrap();
        });
        case.end(bad(
            &["chain", "hole", "sequence", "store", "tile"],
            Some(28),
            28,
        ));
    }

    fn farther_out(&self) {
        let case = self.case(
            "record-far-beyond",
            "a row with a number so large that whoever counts up to it never ends",
        );
        sql(&case.work, |db| {
            db.execute_batch(
                "INSERT INTO records SELECT 4611686018427387904, bytes FROM records WHERE seq = 12",
            )
            .unwrap();
        });
        case.starts().end(Expect {
            start: Some("corrupt"),
            ..bad(&["store"], None, 28)
        });
    }

    fn ends(&self) {
        let drop_from = |case: &Case, from: i64| {
            sql(&case.work, |db| {
                for table in ["records", "vault"] {
                    db.execute(
                        &format!("DELETE FROM {table} WHERE seq >= ?1"),
                        params![from],
                    )
                    .unwrap();
                }
            });
        };
        let case = self.case("drop-last-5", "the last five records were dropped");
        drop_from(&case, 23);
        case.starts().end(Expect {
            start: Some("corrupt"),
            ..bad(&["store", "truncated"], Some(23), 22)
        });

        let case = self.case(
            "drop-all",
            "all records were dropped, and what else the database held",
        );
        sql(&case.work, |db| {
            for table in ["records", "vault", "tiles", "artefacts", "refs", "commits"] {
                db.execute(&format!("DELETE FROM {table}"), []).unwrap();
            }
        });
        case.starts().end(Expect {
            authenticity: "failed",
            start: Some("corrupt"),
            ..bad(&["checkpoint", "empty"], None, 0)
        });

        let case = self.case("drop-database", "the database was deleted");
        fs::remove_file(case.work.join("log.db")).unwrap();
        case.starts().end(Expect {
            exit: 2,
            error: Some("missing"),
            start: Some("missing"),
            ..SOUND
        });

        let case = self.case(
            "cut-at-stop",
            "the log was cut where it was stopped before, and the rest left alone",
        );
        drop_from(&case, 21);
        case.starts().end(Expect {
            start: Some("refused"),
            ..bad(&["truncated"], Some(21), 21)
        });

        self.case_of(
            "restored-older",
            "an older copy of the directory was put back: without a mark nothing can show that",
            &self.early,
        )
        .end(Expect {
            proven: 21,
            ..SOUND
        });
        self.case_of(
            "restored-older-marked",
            "an older copy of the directory was put back",
            &self.early,
        )
        .receipt(self.whole.receipts.last().unwrap())
        .end(bad(&["truncated"], Some(21), 21));
        let case = self.case_of(
            "restored-older-new-keys",
            "older records were put back beneath newer keys",
            &self.early,
        );
        fs::remove_dir_all(case.work.join("keys")).unwrap();
        copy(&self.whole.path.join("keys"), &case.work.join("keys"));
        case.starts().end(Expect {
            proven: 21,
            start: Some("refused"),
            ..SOUND
        });
        let case = self.case_of(
            "restored-older-new-checkpoints",
            "older records were put back beside newer checkpoints",
            &self.early,
        );
        fs::copy(
            self.whole.path.join("checkpoints"),
            case.work.join("checkpoints"),
        )
        .unwrap();
        case.starts().end(Expect {
            start: Some("refused"),
            ..bad(&["truncated"], Some(21), 21)
        });

        for (name, what, more, expect) in [
            (
                "restored-started",
                "an older copy was put back and started again; the mark speaks of more records",
                2,
                bad(&["truncated"], Some(25), 25),
            ),
            (
                "restored-started-longer",
                "an older copy was put back, started again, and grew beyond the mark",
                9,
                bad(&["forked"], Some(0), 0),
            ),
        ] {
            let case = self.case_of(name, what, &self.early);
            let mut log = self.whole.adopt(&case.work);
            for n in 0..more {
                log.say("It never happened.", 22 + n);
            }
            log.close();
            case.receipt(self.whole.receipts.last().unwrap())
                .end(expect);
        }

        let case = self.case(
            "empty-epoch-dropped",
            "the seal of an empty epoch was dropped with all that came after",
        );
        drop_from(&case, 9);
        let records = forge::records(&case.work);
        forge::sign_commit(&case.work, &self.origin(), &records, 1, self.epoch(1));
        let mut entries = forge::checkpoints(&case.work);
        entries.truncate(2);
        fs::write(case.work.join("checkpoints"), entries.concat()).unwrap();
        sql(&case.work, |db| {
            db.execute_batch("DELETE FROM refs; UPDATE artefacts SET refs = 1")
                .unwrap()
        });
        case.end(bad(&["store"], Some(9), 9));

        let case = self.case(
            "commit-removed",
            "the statement over the last commit was removed",
        );
        sql(&case.work, |db| {
            db.execute_batch("DELETE FROM commits").unwrap()
        });
        case.end(bad(&["commit"], None, 28));

        let case = self.case(
            "commit-unsigned",
            "the signature of the statement over the last commit was zeroed",
        );
        sql(&case.work, |db| {
            db.execute_batch("UPDATE commits SET signature = zeroblob(64)")
                .unwrap()
        });
        case.end(bad(&["commit"], None, 28));

        let case = self.case(
            "commit-boot",
            "the statement over the last commit names a boot that never was; the open epoch's key signed it",
        );
        let records = forge::records(&case.work);
        let (origin, key) = (self.origin(), self.epoch(5));
        let mut commit = forge::commit(&origin, &records, 5);
        commit.boot = Seq(9999);
        forge::put_commit(&case.work, &commit, key);
        case.end(bad(&["commit"], None, 28));

        for (name, what, mark, expect) in [
            (
                "rewrite-open-epoch",
                "the open epoch was rewritten with its stolen key: without a mark nothing can show that",
                false,
                SOUND,
            ),
            (
                "rewrite-open-epoch-marked",
                "the open epoch was rewritten with its stolen key",
                true,
                bad(&["forked"], Some(0), 0),
            ),
        ] {
            let mut case = self.case(name, what);
            let records = self.rewrite(&case, &self.stolen(), &as_is, |loot| edit(loot, 23));
            self.resign_ends(&case, &records, 6);
            if mark {
                case = case.receipt(self.whole.receipts.last().unwrap());
            }
            case.end(expect);
        }
    }

    fn seals_and_keys(&self, stranger: &SigningKey) {
        let newest = |_| Some(self.epoch(5).clone());
        let case = self.case(
            "reseal-newer-key",
            "an old epoch was changed, and every seal made anew with the newest key",
        );
        let records = self.rewrite(&case, &newest, &as_is, edit_12);
        let mut entries = forge::checkpoints(&case.work);
        entries.truncate(3);
        for (size, epoch) in [(17, 3), (21, 4), (22, 4), (28, 5)] {
            entries.push(forge::checkpoint(
                &self.origin(),
                &records,
                size,
                &self.log_key(),
                epoch,
                self.epoch(5),
            ));
        }
        fs::write(case.work.join("checkpoints"), entries.concat()).unwrap();
        forge::sign_commit(&case.work, &self.origin(), &records, 5, self.epoch(5));
        case.end(bad(&["checkpoint", "signature"], Some(2), 2));

        let case = self.case(
            "rewrite-stolen-keys",
            "everything was rewritten as one epoch with the keys of the end",
        );
        let records = self.rewrite(&case, &newest, &as_is, |loot| {
            let last = loot.records.pop().unwrap();
            let (mut kept, mut vault) = (Vec::new(), std::collections::BTreeMap::new());
            for record in loot.records.drain(..) {
                if record.kind == Kind::Seal {
                    continue;
                }
                if let Some(row) = loot.vault.remove(&record.seq.0) {
                    vault.insert(kept.len() as u64, row);
                }
                kept.push(record);
            }
            kept.push(seal(last, |s| {
                (s.epoch, s.first, s.next_key) = (0, Seq(0), public(self.epoch(5)))
            }));
            (loot.records, loot.vault) = (kept, vault);
        });
        move_refs(&case, 3);
        forge::sign_commit(&case.work, &self.origin(), &records, 1, self.epoch(5));
        let entry = forge::checkpoint(
            &self.origin(),
            &records,
            records.len(),
            &self.log_key(),
            1,
            self.epoch(5),
        );
        fs::write(case.work.join("checkpoints"), entry).unwrap();
        case.end(Expect {
            not_checked: 1,
            ..bad(&["signature"], Some(0), 0)
        });

        let case = self.case("seal-unsigned", "the last seal's signature was stripped");
        sql(&case.work, |db| {
            let bytes = forge::bytes_of(db, 27);
            forge::set_bytes(
                db,
                27,
                &tacho_schemas::canon::without(&bytes, &[15, 59]).unwrap(),
            );
        });
        case.end(Expect {
            not_checked: 1,
            ..bad(&["checkpoint", "commit", "store"], Some(28), 22)
        });

        let case = self.case(
            "seal-unsigned-middle",
            "an old seal's signature was stripped, and all was linked anew",
        );
        self.rewrite(
            &case,
            &no_key,
            &|seq, bytes| match seq {
                16 => tacho_schemas::canon::without(&bytes, &[15, 59]).unwrap(),
                _ => bytes,
            },
            |_| (),
        );
        case.end(Expect {
            not_checked: 1,
            ..bad(&["checkpoint", "commit", "seal", "signature"], Some(10), 10)
        });

        let case = self.case(
            "genesis-unsigned",
            "the signature of the identity key was stripped",
        );
        self.rewrite(
            &case,
            &self.all(),
            &|seq, bytes| match seq {
                0 => tacho_schemas::canon::without(&bytes, &[15, 59]).unwrap(),
                _ => bytes,
            },
            |_| (),
        );
        case.end(Expect {
            not_checked: 1,
            authenticity: "failed",
            ..bad(&["checkpoint", "forked", "genesis", "store"], Some(0), 0)
        });

        let case = self.case(
            "genesis-stranger",
            "the genesis names the trusted identity key, but a stranger signed it and all that follows from it",
        );
        let records = self.rewrite(&case, &self.all(), &as_is, |loot| {
            let genesis = &mut loot.records[0];
            let unsigned = genesis.encode_unsigned().unwrap();
            genesis
                .body
                .set_signature(Some(sign::sign(stranger, Purpose::Genesis, &unsigned)));
        });
        self.resign_ends(&case, &records, 0);
        case.end(Expect {
            authenticity: "failed",
            ..bad(&["signature"], Some(0), 0)
        });

        let case = self.case(
            "seal-gap",
            "an epoch was left out: its records and its seal, with all keys at hand",
        );
        let records = self.rewrite(&case, &self.all(), &as_is, |loot| {
            loot.records.remove(9);
            let vault = std::mem::take(&mut loot.vault);
            loot.vault = vault
                .into_iter()
                .map(|(seq, row)| (seq - u64::from(seq > 9), row))
                .collect();
        });
        move_refs(&case, 1);
        self.resign_ends(&case, &records, 0);
        case.end(Expect {
            not_checked: 1,
            ..bad(&["checkpoint", "commit", "seal", "signature"], Some(9), 9)
        });

        let case = self.case(
            "key-swapped",
            "the log was made anew under another identity key; the right one is pinned",
        );
        let (other, _) = self.other_identity(stranger);
        let swap = |from: &Path, to: &Path| {
            for file in ["log.db", "checkpoints"] {
                fs::copy(from.join(file), to.join(file)).unwrap();
            }
        };
        swap(&other, &case.work);
        case.end(Expect {
            authenticity: "failed",
            ..bad(&["identity"], Some(0), 0)
        });
        let case = self.case(
            "key-swapped-no-pin",
            "the log was made anew under another identity key, and nobody knows the right one",
        );
        swap(&other, &case.work);
        case.trusting(None).end(Expect {
            exit: 1,
            authenticity: "self_consistent",
            ..SOUND
        });

        let case = self.case(
            "break-forged",
            "an epoch was broken by someone who does not have the identity key",
        );
        let records = self.rewrite(&case, &no_key, &as_is, |loot| {
            let mut record = message_record(loot);
            record.via = Via::Recorder;
            record.auth = None;
            record.content = None;
            record.kind = Kind::Key;
            record.seq = Seq(28);
            record.prev = forge::relink(&mut loot.records.clone(), &no_key, &as_is)
                .iter()
                .fold(Hash::ZERO, |head, bytes| {
                    tacho_schemas::chain::link(&head, bytes)
                });
            record.body = Key {
                signature: None,
                epoch: Some(6),
                op: KeyOp::Break,
                role: KeyRole::Epoch,
                public_key: Blob::new(stranger.verifying_key().to_bytes().to_vec()).unwrap(),
                holder: None,
                groups: None,
                assurance: None,
                consumes: None,
            }
            .into();
            let unsigned = record.encode_unsigned().unwrap();
            record
                .body
                .set_signature(Some(sign::sign(stranger, Purpose::Key, &unsigned)));
            loot.records.push(record);
        });
        forge::sign_commit(&case.work, &self.origin(), &records, 6, stranger);
        case.end(bad(&["signature", "store"], Some(28), 28));

        let case = self.case(
            "approval-imported",
            "an approval that came from a file, as if a human had given it here",
        );
        let records = self.rewrite(&case, &self.stolen(), &as_is, |loot| {
            let mut record = message_record(loot);
            record.via = Via::Import;
            record.import = Some(Seq(2));
            record.auth = None;
            record.content = None;
            record.kind = Kind::Approval;
            record.body = Approval {
                request_digest: Hash::sha256(b"request"),
                target: Seq(4),
                answer: Answer::Approve,
                not_after: None,
                act: act(),
            }
            .into();
            loot.vault.remove(&23);
            loot.records[23] = record;
        });
        self.resign_ends(&case, &records, 6);
        case.end(Expect {
            exit: 1,
            not_checked: 1,
            ..SOUND
        });

        let case = self.case(
            "seal-by-caller",
            "a seal that came through the API, to end an epoch for a caller",
        );
        let records = self.rewrite(&case, &self.stolen(), &as_is, |loot| {
            let mut record = loot.records[20].clone();
            record.via = Via::Api;
            loot.vault.remove(&23);
            loot.records[23] = seal(record, |s| (s.epoch, s.first) = (4, Seq(21)));
        });
        self.resign_ends(&case, &records, 6);
        case.end(Expect {
            exit: 1,
            not_checked: 1,
            ..SOUND
        });
    }

    /// The same story under another identity, with the same name.
    fn other_identity(&self, stranger: &SigningKey) -> (PathBuf, Made) {
        let path = self.scratch.path().join("other-identity");
        let mut other = base::usual(&path, stranger);
        base::go_on(&mut other);
        (path, other)
    }

    fn vault_and_artefacts(&self) {
        let with_row = |case: &Case, seq: i64, f: &dyn Fn(&mut Row)| {
            sql(&case.work, |db| {
                let packed: Option<Vec<u8>> = db
                    .query_row("SELECT row FROM vault WHERE seq = ?1", [seq], |r| r.get(0))
                    .ok();
                let mut row = packed.map_or(Row::empty(), |packed| {
                    Row::decode(&Unpacker::new().unwrap().unpack(&packed, MAX_ROW).unwrap())
                        .unwrap()
                });
                f(&mut row);
                let packed = Packer::new().unwrap().pack(&row.encode().unwrap()).unwrap();
                db.execute(
                    "INSERT OR REPLACE INTO vault VALUES (?1, ?2)",
                    params![seq, packed],
                )
                .unwrap();
            });
        };
        let salted = |text: &str| Salted {
            salt: Fixed([5; 32]),
            bytes: text.into(),
        };

        let case = self.case("vault-edit", "a rationale was changed in the vault");
        with_row(&case, 6, &|row| {
            let fields = row.content.as_mut().unwrap();
            fields.get_mut(&Field::Reasoning.number()).unwrap().bytes =
                b"It was always like that.".to_vec();
        });
        case.end(bad(&["content"], Some(6), 6));

        let case = self.case(
            "vault-added",
            "text was added to a record that committed to none",
        );
        with_row(&case, 8, &|row| {
            row.content
                .get_or_insert_default()
                .insert(Field::Detail.number(), salted("sealed by hand"));
        });
        case.end(bad(&["content"], Some(8), 8));

        let case = self.case(
            "vault-surplus",
            "the vault has a row that belongs to no record",
        );
        with_row(&case, 500, &|row| {
            row.content
                .get_or_insert_default()
                .insert(Field::Text.number(), salted("never said"));
        });
        case.end(bad(&["surplus"], None, 28));

        let case = self.case(
            "vault-removed",
            "a vault row was removed, and no erasure says why",
        );
        sql(&case.work, |db| {
            db.execute_batch("DELETE FROM vault WHERE seq = 12")
                .unwrap()
        });
        case.end(bad(&["hole"], Some(12), 12));

        let case = self.case("vault-garbled", "a vault row was overwritten with zeros");
        sql(&case.work, |db| {
            db.execute_batch("UPDATE vault SET row = zeroblob(length(row)) WHERE seq = 12")
                .unwrap();
        });
        case.end(bad(&["content"], Some(12), 12));

        let case = self.case(
            "vault-unused-bit",
            "a bit of a vault row was flipped that unpacking passes over",
        );
        repack(&case, "vault", "row", "seq = 12", &|packed| {
            packed[4] ^= 0x10
        });
        case.end(bad(&["content"], Some(12), 12));

        let case = self.case(
            "vault-two-frames",
            "a vault row has a second frame behind the first",
        );
        repack(&case, "vault", "row", "seq = 12", &|packed| {
            packed.extend(pack(b""))
        });
        case.end(bad(&["content"], Some(12), 12));

        let case = self.case(
            "vault-skippable-frame",
            "a vault row has bytes behind it that unpacking passes over",
        );
        repack(&case, "vault", "row", "seq = 12", &|packed| {
            packed.extend([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'h', b'o', b't'])
        });
        case.end(bad(&["content"], Some(12), 12));

        let case = self.case(
            "erasure-faked",
            "text was removed, and an erasure that no enrolled human signed shall excuse it",
        );
        let records = self.rewrite(&case, &self.stolen(), &as_is, |loot| {
            let mut record = message_record(loot);
            record.via = Via::Human;
            record.content = None;
            record.kind = Kind::Erasure;
            let erased = Erased {
                seq: Seq(6),
                fields: Some(Set::of(vec![Field::Reasoning.number()]).unwrap()),
                places: None,
            };
            record.body = Erasure {
                act: act(),
                erased: List::new(vec![erased]).unwrap(),
                basis: Basis::Law,
            }
            .into();
            loot.vault.remove(&23);
            loot.records[23] = record;
        });
        self.resign_ends(&case, &records, 6);
        with_row(&case, 6, &|row| {
            assert!(row.erase(Slot::Field(Field::Reasoning.number())))
        });
        case.end(bad(&["hole"], Some(6), 6));

        let file = b"link 41 s, codegen 20 s\n";
        let name = blake3::hash(file);
        let case = self.case("artefact-edit", "the bytes of an artefact were changed");
        sql(&case.work, |db| {
            let packed = pack(b"link 1 s, codegen 20 s \n");
            db.execute(
                "UPDATE artefacts SET bytes = ?2 WHERE blake3 = ?1",
                params![name.as_bytes(), packed],
            )
            .unwrap();
        });
        case.end(bad(&["artefact"], Some(4), 4));

        let case = self.case(
            "artefact-unused-bit",
            "a bit of a packed artefact was flipped that unpacking passes over",
        );
        let this = format!("blake3 = x'{}'", name.to_hex());
        repack(&case, "artefacts", "bytes", &this, &|packed| {
            packed[4] ^= 0x10
        });
        case.end(bad(&["artefact"], Some(4), 4));

        let case = self.case("artefact-removed", "an artefact was removed");
        sql(&case.work, |db| {
            db.execute(
                "DELETE FROM artefacts WHERE blake3 = ?1",
                params![name.as_bytes()],
            )
            .unwrap();
        });
        case.end(bad(&["artefact"], Some(4), 4));

        let case = self.case(
            "artefact-surplus",
            "an artefact that no record uses was added",
        );
        sql(&case.work, |db| {
            let name = blake3::hash(b"never there");
            let packed = pack(b"never there");
            db.execute(
                "INSERT INTO artefacts VALUES (?1, 1, 11, ?2)",
                params![name.as_bytes(), packed],
            )
            .unwrap();
        });
        case.end(bad(&["artefact"], None, 28));

        let case = self.case(
            "artefact-renamed",
            "the name of an artefact was changed in the table, and not in the index by which it is found",
        );
        let packed = pack(file);
        let row = |name: &[u8; 32]| {
            // One user takes no byte: it is in the row's head.
            let size = u8::try_from(file.len()).unwrap();
            [name.as_slice(), &[size], &packed[..4]].concat()
        };
        let mut other = *name.as_bytes();
        other[31] ^= 1;
        forge::overwrite(
            &case.work.join("log.db"),
            &row(name.as_bytes()),
            &row(&other),
        );
        case.end(bad(&["artefact"], Some(4), 4));

        let case = self.case("artefact-count", "the number of an artefact's users was changed, so that an erasure would free it too early");
        sql(&case.work, |db| {
            db.execute_batch("UPDATE artefacts SET refs = 1 WHERE refs = 2")
                .unwrap()
        });
        case.end(bad(&["artefact"], None, 28));
    }

    fn store(&self) {
        let unreadable = || Expect {
            authenticity: "failed",
            ..bad(&["empty", "store"], None, 0)
        };
        for (name, what, statements) in [
            (
                "view-named-records",
                "`records` is a view that hides what it does not want to show",
                "ALTER TABLE records RENAME TO hidden; CREATE VIEW records AS SELECT seq, bytes FROM hidden WHERE seq < 12",
            ),
            (
                "trigger",
                "a trigger waits for the next record",
                "CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM vault; END",
            ),
            ("extra-table", "a table that is none of ours", "CREATE TABLE notes (text TEXT)"),
            (
                "other-table",
                "`records` allows a number twice",
                "CREATE TABLE r (seq INTEGER, bytes BLOB NOT NULL) STRICT; INSERT INTO r SELECT * FROM records;
                 DROP TABLE records; ALTER TABLE r RENAME TO records",
            ),
            ("application-id", "the database says that it is another program's", "PRAGMA application_id = 1"),
        ] {
            let case = self.case(name, what);
            sql(&case.work, |db| db.execute_batch(statements).unwrap());
            case.starts().end(Expect { start: Some("corrupt"), ..unreadable() });
        }

        for (name, what, statements) in [
            (
                "ref-moved",
                "a caller's reference leads to another record",
                "UPDATE refs SET seq = 18 WHERE seq = 17",
            ),
            (
                "ref-removed",
                "a caller's reference was forgotten, so that a retry would be recorded twice",
                "DELETE FROM refs WHERE seq = 17",
            ),
            (
                "ref-surplus",
                "a reference that no record has was added",
                "INSERT INTO refs VALUES (zeroblob(32), 12)",
            ),
        ] {
            let case = self.case(name, what);
            sql(&case.work, |db| db.execute_batch(statements).unwrap());
            case.end(bad(&["store"], None, 28));
        }
    }

    fn wal(&self) {
        let frame = 24 + 16_384;
        let flip = |case: &Case, at: usize| {
            let path = case.work.join("log.db-wal");
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= 0x10;
            fs::write(path, bytes).unwrap();
        };
        let case = self.live(
            "wal-flip",
            "a bit of the WAL was flipped, and SQLite would drop all that follows without a word",
        );
        flip(&case, 32 + 24 + 8000);
        case.starts().end(Expect {
            start: Some("corrupt"),
            ..bad(&["store", "truncated"], Some(28), 28)
        });

        let case = self.live("wal-flip-header", "a bit of the WAL's head was flipped");
        flip(&case, 20);
        case.starts().end(Expect {
            start: Some("corrupt"),
            ..bad(&["store", "truncated"], Some(28), 28)
        });

        let last = |case: &Case| {
            let length = fs::metadata(case.work.join("log.db-wal")).unwrap().len() as usize;
            assert_eq!((length - 32) % frame, 0);
            length - 100
        };
        let case = self.live(
            "wal-flip-tail",
            "a bit of the last commit in the WAL was flipped: without a mark it looks like a crash",
        );
        let at = last(&case);
        flip(&case, at);
        case.starts().end(Expect {
            proven: 29,
            start: Some("opens"),
            ..SOUND
        });
        let case = self.live(
            "wal-flip-tail-marked",
            "a bit of the last commit in the WAL was flipped",
        );
        let at = last(&case);
        flip(&case, at);
        let mark = case.kept_receipt();
        case.receipt(&mark).end(bad(&["truncated"], Some(29), 29));

        let case = self.live(
            "wal-removed",
            "the WAL was removed from a log that was running",
        );
        fs::remove_file(case.work.join("log.db-wal")).unwrap();
        case.starts().end(Expect {
            start: Some("refused"),
            ..bad(&["truncated"], Some(28), 28)
        });

        let case = self.live(
            "wal-removed-mid-epoch",
            "the WAL was moved into the database up to a point, and then removed",
        );
        {
            let db = Connection::open(case.work.join("log.db")).unwrap();
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                .unwrap();
            drop(db);
            for file in ["log.db-wal", "log.db-shm"] {
                let _ = fs::remove_file(case.work.join(file));
            }
        }
        case.starts().end(Expect {
            start: Some("corrupt"),
            ..bad(&["store"], Some(31), 30)
        });
    }

    fn checkpoints(&self) {
        let case = self.case("checkpoints-removed", "the checkpoints file was removed");
        fs::remove_file(case.work.join("checkpoints")).unwrap();
        case.starts().end(Expect {
            start: Some("refused"),
            ..bad(&["checkpoint"], None, 28)
        });

        let case = self.case("checkpoints-emptied", "the checkpoints file was emptied");
        fs::write(case.work.join("checkpoints"), "").unwrap();
        case.starts().end(Expect {
            start: Some("refused"),
            ..bad(&["checkpoint"], None, 28)
        });

        let entries = forge::checkpoints(&self.whole.path);
        let write = |case: &Case, entries: &[String]| {
            fs::write(case.work.join("checkpoints"), entries.concat()).unwrap();
        };
        let case = self.case(
            "checkpoint-dropped",
            "the last checkpoint was dropped: seal and statement prove the end all the same",
        );
        write(&case, &entries[..6]);
        case.end(SOUND);

        let case = self.case("checkpoints-reordered", "two checkpoints changed places");
        let mut swapped = entries.clone();
        swapped.swap(3, 4);
        write(&case, &swapped);
        case.end(bad(&["checkpoint"], None, 28));

        let case = self.case(
            "checkpoint-unsigned",
            "the epoch key's line was stripped from a checkpoint",
        );
        let mut stripped = entries.clone();
        let line = stripped[6]
            .lines()
            .find(|l| l.starts_with('\u{2014}') && l.contains("/e5 "))
            .unwrap()
            .to_owned();
        stripped[6] = stripped[6].replace(&format!("{line}\n"), "");
        write(&case, &stripped);
        case.end(bad(&["checkpoint"], None, 28));

        let case = self.case(
            "checkpoint-half",
            "the last checkpoint is there only in part",
        );
        let mut half = entries.clone();
        let length = half[6].len() - 30;
        half[6].truncate(length);
        write(&case, &half);
        case.starts().end(Expect {
            start: Some("opens"),
            ..bad(&["checkpoint"], None, 28)
        });

        let case = self.case(
            "mixed-roots",
            "one checkpoint, rightly signed, has the root of another history",
        );
        let mut loot = forge::loot(&case.work);
        edit_12(&mut loot);
        let records = forge::relink(&mut loot.records, &no_key, &as_is);
        let mut mixed = entries;
        mixed[3] = forge::checkpoint(
            &self.origin(),
            &records,
            17,
            &self.log_key(),
            3,
            self.epoch(3),
        );
        write(&case, &mixed);
        case.end(bad(&["checkpoint"], Some(10), 10));
    }

    fn marks(&self, stranger: &SigningKey) {
        let fork = self.scratch.path().join("fork");
        copy(&self.early, &fork);
        let mut fork = self.whole.adopt(&fork);
        for n in 0..9 {
            fork.say("In the other history.", 22 + n);
        }
        let theirs = fork.receipts.last().unwrap().clone();
        fork.close();
        self.case(
            "two-forks",
            "the log went on twice from one copy; the mark is a checkpoint of the shorter history",
        )
        .replaced_by(&fork.path)
        .note(forge::checkpoints(&self.whole.path).last().unwrap())
        .end(bad(&["forked"], Some(0), 0));
        self.case(
            "two-forks-other-side",
            "the log went on twice from one copy; the mark is a receipt of the longer history",
        )
        .receipt(&theirs)
        .end(bad(&["truncated"], Some(28), 28));

        let other = self.scratch.path().join("second");
        let mut other = Made::begin(&other, stranger, 10);
        let foreign = (0..3).map(|n| other.say("Elsewhere.", 2 + n)).last();
        assert_eq!(foreign, Some(Seq(4)));
        self.case("receipts-swapped", "the mark is a receipt of another log")
            .receipt(other.receipts.last().unwrap())
            .end(bad(&["forked"], None, 28));
        other.close();

        let mut altered = self.whole.receipts[3].clone();
        altered.leaf = self.whole.receipts[4].leaf;
        self.case(
            "receipt-altered",
            "the mark is a receipt whose leaf was changed",
        )
        .receipt(&altered)
        .end(bad(&["commit"], None, 28));

        let case = self.case(
            "receipt-chain",
            "the mark is a receipt whose chain hash, which no signature covers, was changed",
        );
        let records = forge::records(&case.work);
        let mut altered = forge::receipt(&self.origin(), &records, 5, 5, self.epoch(5));
        altered.chain = Hash([1; 32]);
        case.receipt(&altered).end(bad(&["commit"], None, 28));
    }

    /// Logs with more than 256 records, so that there is a tile.
    fn wide(&self) {
        let path = self.scratch.path().join("wide");
        let mut log = Made::begin(&path, &self.identity, 11);
        for seq in 2..302 {
            log.say(&format!("Line {seq}."), seq);
        }
        log.close();
        self.case_of("sound-wide", "three hundred records and a full tile", &path)
            .starts()
            .end(Expect {
                proven: 303,
                start: Some("opens"),
                ..SOUND
            });
        for (name, what, statements, start) in [
            (
                "tile-edit",
                "a hash of a tile was changed",
                "UPDATE tiles SET hashes = zeroblob(32) || substr(hashes, 33)",
                "refused",
            ),
            (
                "tile-removed",
                "a tile was removed",
                "DELETE FROM tiles",
                "corrupt",
            ),
            (
                "tile-surplus",
                "a tile that does not exist was added",
                "INSERT INTO tiles SELECT 1, hashes FROM tiles",
                "opens with {\"tile\"}",
            ),
        ] {
            let case = self.case_of(name, what, &path);
            // No `||` of blobs in SQLite: the result is text, which a STRICT column refuses.
            let statements = statements.replace(
                "zeroblob(32) || substr(hashes, 33)",
                "CAST(zeroblob(32) || substr(hashes, 33) AS BLOB)",
            );
            sql(&case.work, |db| db.execute_batch(&statements).unwrap());
            case.starts().end(Expect {
                start: Some(start),
                ..if name == "tile-edit" {
                    bad(&["tile"], Some(0), 0)
                } else {
                    bad(&["tile"], None, 303)
                }
            });
        }
    }
}

impl Maker {
    /// An index is a convenience: whatever stands in it, the log is judged by itself.
    fn index(&self) {
        let case = self.case(
            "stale-index",
            "the index beside the log was built before its last records, and two of the older ones were taken out of it",
        );
        let dir = LogDir::open_to_read(&self.early).unwrap();
        let mut index = Index::open(&dir).unwrap();
        index
            .catch_up(&Reader::open(&dir).unwrap(), |_, _| ())
            .unwrap();
        drop(index);
        let conn = Connection::open(self.early.join("index.db")).unwrap();
        let gone = conn.execute("DELETE FROM words WHERE rowid IN (3, 4)", []);
        assert_eq!(gone.unwrap(), 2);
        // All of it in one file.
        conn.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
            .unwrap();
        drop(conn);
        fs::rename(self.early.join("index.db"), case.work.join("index.db")).unwrap();
        case.end(SOUND);
    }
}

impl Case {
    /// The start of a recorder is tried too, so the keys are kept.
    fn starts(self) -> Self {
        fs::create_dir_all(self.dir.join("log/keys")).unwrap();
        for entry in fs::read_dir(self.work.join("keys")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(
                entry.path(),
                self.dir.join("log/keys").join(entry.file_name()),
            )
            .unwrap();
        }
        self
    }

    fn trusting(mut self, trust: Option<Fingerprint>) -> Self {
        self.trust = trust;
        self
    }

    fn replaced_by(self, log: &Path) -> Self {
        for file in ["log.db", "checkpoints"] {
            fs::copy(log.join(file), self.work.join(file)).unwrap();
        }
        self
    }

    fn receipt(self, receipt: &tacho_schemas::receipt::Receipt) -> Self {
        fs::create_dir_all(&self.dir).unwrap();
        fs::write(self.dir.join("mark"), receipt.encode().unwrap()).unwrap();
        self
    }

    fn note(self, entry: &str) -> Self {
        fs::create_dir_all(&self.dir).unwrap();
        fs::write(self.dir.join("mark"), entry.strip_suffix('\n').unwrap()).unwrap();
        self
    }

    /// Puts aside the last receipt of a run that is copied while it goes on.
    fn keep_receipts(&self, log: &Made) {
        let last = log.receipts.last().unwrap().encode().unwrap();
        fs::write(self.work.with_extension("receipt"), last).unwrap();
    }

    fn kept_receipt(&self) -> tacho_schemas::receipt::Receipt {
        let bytes = fs::read(self.work.with_extension("receipt")).unwrap();
        tacho_schemas::receipt::Receipt::decode(&bytes).unwrap()
    }

    fn end(self, expect: Expect) {
        let log = self.dir.join("log");
        fs::create_dir_all(&log).unwrap();
        let mut packer = Packer::new().unwrap();
        for file in ["log.db", "log.db-wal", "index.db"] {
            match fs::read(self.work.join(file)) {
                Ok(bytes) if !bytes.is_empty() => {
                    fs::write(
                        log.join(format!("{file}.zst")),
                        packer.pack(&bytes).unwrap(),
                    )
                    .unwrap();
                }
                _ => {}
            }
        }
        if let Ok(bytes) = fs::read(self.work.join("checkpoints")) {
            fs::write(log.join("checkpoints"), bytes).unwrap();
        }
        let mut case = json!({ "what": self.what, "trust": self.trust.map(|t| t.to_string()) });
        let object = case.as_object_mut().unwrap();
        let mut expected = json!({ "exit": expect.exit });
        let fields = expected.as_object_mut().unwrap();
        match expect.error {
            Some(error) => {
                fields.insert("error".to_owned(), error.into());
            }
            None => {
                fields.insert("breaches".to_owned(), json!(expect.breaches));
                fields.insert("first_bad".to_owned(), json!(expect.first_bad));
                fields.insert("proven".to_owned(), expect.proven.into());
                fields.insert("complete_up_to".to_owned(), json!(expect.complete_up_to));
                fields.insert("authenticity".to_owned(), expect.authenticity.into());
                fields.insert("not_checked".to_owned(), expect.not_checked.into());
            }
        }
        object.insert("expect".to_owned(), expected);
        object.insert(
            "start".to_owned(),
            expect.start.map_or(Json::Null, Json::from),
        );
        let text = serde_json::to_string_pretty(&case).unwrap() + "\n";
        fs::write(self.dir.join("case.json"), text).unwrap();
    }
}

/// Lets the callers' references follow their records, which moved down.
fn move_refs(case: &Case, by: i64) {
    sql(&case.work, |db| {
        db.execute("UPDATE refs SET seq = seq - ?1", [by]).unwrap();
    });
}

fn edit_12(loot: &mut Loot) {
    edit(loot, 12);
}

/// Lets another agent have said it.
fn edit(loot: &mut Loot, seq: usize) {
    loot.records[seq].actor.id = base::id("someone-else");
}

fn message_record(loot: &Loot) -> Record {
    loot.records[23].clone()
}

fn seal(mut record: Record, f: impl FnOnce(&mut tacho_schemas::body::log::Seal)) -> Record {
    let Body::Seal(seal) = &mut record.body else {
        panic!("record {} is no seal", record.seq);
    };
    assert_eq!(seal.reason, SealReason::Stop);
    f(seal);
    record
}

fn public(key: &SigningKey) -> Fixed<32> {
    Fixed(key.verifying_key().to_bytes())
}

fn act() -> Act {
    Act {
        key: Fingerprint::of(&Fixed([3; 32])),
        assurance: None,
        statement: Blob::new(b"yes".to_vec()).unwrap(),
        sshsig: Blob::new(vec![0; 100]).unwrap(),
    }
}
