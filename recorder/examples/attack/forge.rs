//! An attacker's tools: the directory of a log taken apart and put together again, without any of our own safeguards.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ciborium::Value;
use ed25519_dalek::SigningKey;
use rusqlite::{Connection, params};
use tacho_schemas::body::Body;
use tacho_schemas::canon::{self, MAX_RECORD};
use tacho_schemas::checkpoint::{Checkpoint, epoch_name};
use tacho_schemas::note::Note;
use tacho_schemas::receipt::{Commit, Receipt};
use tacho_schemas::record::{Kind, Record};
use tacho_schemas::scalar::List;
use tacho_schemas::sign::{self, Purpose};
use tacho_schemas::tile::Tiles;
use tacho_schemas::tree::{Batch, Frontier, leaf_hash};
use tacho_schemas::{Hash, LogId, Origin, Seq, Time, chain};

/// The parts of a log that its records do not follow from.
pub(crate) struct Loot {
    pub(crate) records: Vec<Record>,
    pub(crate) vault: BTreeMap<u64, Vec<u8>>,
}

/// Runs statements on a log's database and leaves no WAL behind.
pub(crate) fn sql(log: &Path, f: impl FnOnce(&Connection)) {
    let conn = Connection::open(log.join("log.db")).unwrap();
    f(&conn);
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    drop(conn);
    for file in ["log.db-wal", "log.db-shm"] {
        let _ = fs::remove_file(log.join(file));
    }
}

pub(crate) fn bytes_of(conn: &Connection, seq: u64) -> Vec<u8> {
    conn.query_row(
        "SELECT bytes FROM records WHERE seq = ?1",
        [seq as i64],
        |r| r.get(0),
    )
    .unwrap()
}

pub(crate) fn set_bytes(conn: &Connection, seq: u64, bytes: &[u8]) {
    let changed = conn
        .execute(
            "UPDATE records SET bytes = ?2 WHERE seq = ?1",
            params![seq as i64, bytes],
        )
        .unwrap();
    assert_eq!(changed, 1);
}

/// Takes a log apart.
pub(crate) fn loot(log: &Path) -> Loot {
    let conn = Connection::open(log.join("log.db")).unwrap();
    let mut rows = conn
        .prepare("SELECT bytes FROM records ORDER BY seq")
        .unwrap();
    let records = rows
        .query_map([], |r| r.get::<_, Vec<u8>>(0))
        .unwrap()
        .map(|b| Record::decode(&b.unwrap()).unwrap())
        .collect();
    let mut rows = conn.prepare("SELECT seq, row FROM vault").unwrap();
    let vault = rows
        .query_map([], |r| Ok((r.get::<_, i64>(0)? as u64, r.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    Loot { records, vault }
}

/// The records' bytes.
pub(crate) fn records(log: &Path) -> Vec<Vec<u8>> {
    let records = loot(log).records;
    records.iter().map(|r| r.encode().unwrap()).collect()
}

/// Numbers and links the records anew and gives each seal the root before it and, where there is a key for it, a signature.
///
/// `patch` may change the bytes of a record as it is put down.
pub(crate) fn relink(
    records: &mut [Record],
    key_of_epoch: &dyn Fn(u64) -> Option<SigningKey>,
    patch: &dyn Fn(u64, Vec<u8>) -> Vec<u8>,
) -> Vec<Vec<u8>> {
    let (mut head, mut tree) = (Hash::ZERO, Frontier::new());
    let mut all = Vec::new();
    for (seq, record) in (0..).zip(records) {
        record.seq = Seq(seq);
        record.prev = head;
        if let Body::Seal(seal) = &mut record.body {
            seal.root = tree.root();
            if let Some(key) = key_of_epoch(seal.epoch) {
                let unsigned = record.encode_unsigned().unwrap();
                record
                    .body
                    .set_signature(Some(sign::sign(&key, Purpose::Seal, &unsigned)));
            }
        }
        let bytes = patch(seq, canon::encode(record, MAX_RECORD).unwrap());
        head = chain::link(&head, &bytes);
        tree.append(leaf_hash(&bytes)).unwrap();
        all.push(bytes);
    }
    all
}

pub(crate) fn no_key(_: u64) -> Option<SigningKey> {
    None
}

pub(crate) fn as_is(_: u64, bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// Puts these records in the place of all, with the tiles and the vault rows that belong to them.
pub(crate) fn replace(log: &Path, records: &[Vec<u8>], vault: &BTreeMap<u64, Vec<u8>>) {
    sql(log, |conn| {
        conn.execute_batch("BEGIN; DELETE FROM records; DELETE FROM tiles; DELETE FROM vault;")
            .unwrap();
        let mut tiles = Tiles::new();
        for (seq, bytes) in (0_i64..).zip(records) {
            conn.execute("INSERT INTO records VALUES (?1, ?2)", params![seq, bytes])
                .unwrap();
            for tile in tiles.push(leaf_hash(bytes)).unwrap() {
                let id = (i64::from(tile.tile().level()) << 48) + tile.tile().index() as i64;
                conn.execute(
                    "INSERT INTO tiles VALUES (?1, ?2)",
                    params![id, tile.to_bytes()],
                )
                .unwrap();
            }
        }
        for (seq, row) in vault {
            conn.execute(
                "INSERT INTO vault VALUES (?1, ?2)",
                params![*seq as i64, row],
            )
            .unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
    });
}

/// The root and head over the first `size` records.
pub(crate) fn state_at(records: &[Vec<u8>], size: usize) -> (Hash, Hash) {
    let (mut head, mut tree) = (Hash::ZERO, Frontier::new());
    for bytes in &records[..size] {
        head = chain::link(&head, bytes);
        tree.append(leaf_hash(bytes)).unwrap();
    }
    (tree.root(), head)
}

/// The statement over all records.
pub(crate) fn commit(origin: &Origin, records: &[Vec<u8>], epoch: u64) -> Commit {
    let (root, head) = state_at(records, records.len());
    let boot = records
        .iter()
        .rposition(|bytes| Record::decode(bytes).is_ok_and(|record| record.kind == Kind::Boot));
    Commit {
        time: Time(1_767_225_600_900_000_000),
        origin: origin.clone(),
        size: records.len() as u64,
        root,
        epoch,
        log_id: LogId::of_genesis(&records[0]),
        boot: Seq(boot.unwrap() as u64),
        head,
    }
}

/// Signs a statement and puts it in the place of the last.
pub(crate) fn put_commit(log: &Path, commit: &Commit, key: &SigningKey) {
    let statement = commit.encode().unwrap();
    let signature = sign::sign(key, Purpose::Commit, &statement);
    sql(log, |conn| {
        conn.execute(
            "INSERT OR REPLACE INTO commits (id, statement, signature) VALUES (0, ?1, ?2)",
            params![statement, signature.0.as_slice()],
        )
        .unwrap();
    });
}

/// Writes a statement over all records, signed by this key.
pub(crate) fn sign_commit(
    log: &Path,
    origin: &Origin,
    records: &[Vec<u8>],
    epoch: u64,
    key: &SigningKey,
) {
    put_commit(log, &commit(origin, records, epoch), key);
}

/// A receipt of one record by the statement over all.
pub(crate) fn receipt(
    origin: &Origin,
    records: &[Vec<u8>],
    seq: usize,
    epoch: u64,
    key: &SigningKey,
) -> Receipt {
    let commit = commit(origin, records, epoch);
    let mut tree = Batch::new(Frontier::new());
    for bytes in records {
        tree.push(leaf_hash(bytes)).unwrap();
    }
    Receipt {
        seq: Seq(seq as u64),
        signature: sign::sign(key, Purpose::Commit, &commit.encode().unwrap()),
        commit,
        leaf: leaf_hash(&records[seq]),
        chain: state_at(records, seq + 1).1,
        path: List::some(tree.path(seq as u64).unwrap()).unwrap(),
    }
}

/// One checkpoint over the first `size` records.
pub(crate) fn checkpoint(
    origin: &Origin,
    records: &[Vec<u8>],
    size: usize,
    log_key: &SigningKey,
    epoch: u64,
    epoch_key: &SigningKey,
) -> String {
    let (root, _) = state_at(records, size);
    let text = Checkpoint::new(origin.as_str(), size as u64, root)
        .unwrap()
        .to_string();
    let mut note = Note::sign(&text, origin.as_str(), log_key).unwrap();
    note.add_signature(&epoch_name(origin, epoch), epoch_key)
        .unwrap();
    format!("{note}\n")
}

/// The entries of a checkpoints file.
pub(crate) fn checkpoints(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log.join("checkpoints")).unwrap();
    let mut entries = Vec::new();
    let mut entry = String::new();
    let mut signed = false;
    for line in text.split_inclusive('\n') {
        entry.push_str(line);
        if line == "\n" && signed {
            entries.push(std::mem::take(&mut entry));
        }
        signed = line.starts_with('\u{2014}');
    }
    assert!(entry.is_empty());
    entries
}

/// Changes the outer map of a record, and encodes it without our checks.
pub(crate) fn patch_map(bytes: &[u8], f: impl FnOnce(&mut Vec<(Value, Value)>)) -> Vec<u8> {
    let Value::Map(mut map) = ciborium::from_reader(bytes).unwrap() else {
        panic!("a record is a map");
    };
    f(&mut map);
    let mut out = Vec::new();
    ciborium::into_writer(&Value::Map(map), &mut out).unwrap();
    out
}

/// Sets an entry of a map.
pub(crate) fn set(map: &mut [(Value, Value)], key: i64, value: Value) {
    let entry = map
        .iter_mut()
        .find(|(k, _)| *k == Value::from(key))
        .unwrap();
    entry.1 = value;
}

/// Changes bytes of a file where they are found; they must stand there once.
pub(crate) fn overwrite(path: &Path, old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let mut bytes = fs::read(path).unwrap();
    let places: Vec<usize> = bytes
        .windows(old.len())
        .enumerate()
        .filter(|(_, w)| *w == old)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(places.len(), 1, "{places:?}");
    bytes[places[0]..][..new.len()].copy_from_slice(new);
    fs::write(path, bytes).unwrap();
}
