//! A log in memory, written as a recorder would write it, with keys that are as good as real ones.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use tacho_schemas::body::Body;
use tacho_schemas::body::log::{Boot, Genesis, Key, KeyOp, KeyRole, Seal, SealReason};
use tacho_schemas::body::work::{Message, Speaker};
use tacho_schemas::checkpoint::{Checkpoint, epoch_name};
use tacho_schemas::content::{Field, Row, Salted, commit};
use tacho_schemas::note::Note;
use tacho_schemas::receipt::{Commit, Receipt};
use tacho_schemas::record::{Actor, ActorType, VERSION, Via};
use tacho_schemas::scalar::{Blob, Fixed, Id, List, Seq, Time};
use tacho_schemas::sign::{self, Fingerprint, PublicKey, Purpose};
use tacho_schemas::tree::{Batch, Frontier, leaf_hash};
use tacho_schemas::verify::{Anchor, Evidence, Fold, Mark, Report, Single, Vault};
use tacho_schemas::{Hash, Kind, LogId, Origin, Record, chain};

/// The log with all secrets that were ever used for it.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) identity: SigningKey,
    pub(crate) log_key: SigningKey,
    /// The keys of the epochs; the last one is the open one's.
    pub(crate) epochs: Vec<SigningKey>,
    /// The open epoch's first record.
    pub(crate) first: Seq,
    pub(crate) records: Vec<Vec<u8>>,
    /// Vault rows, beside the records.
    pub(crate) rows: Vec<Option<Row>>,
    pub(crate) checkpoints: Vec<Note>,
    pub(crate) time: i64,
    pub(crate) mono: u64,
    origin: Origin,
}

pub(crate) fn secret(log: u8, number: u8) -> SigningKey {
    let mut seed = [number; 32];
    seed[0] = log;
    SigningKey::from_bytes(&seed)
}

pub(crate) fn public(key: &SigningKey) -> PublicKey {
    Fixed(key.verifying_key().to_bytes())
}

impl Log {
    /// A log with a genesis and a boot record.
    pub(crate) fn new(number: u8) -> Self {
        let mut log = Self {
            identity: secret(number, 1),
            log_key: secret(number, 2),
            epochs: vec![secret(number, 100)],
            first: Seq(0),
            records: Vec::new(),
            rows: Vec::new(),
            checkpoints: Vec::new(),
            time: 1_795_500_000_000_000_000,
            mono: 1_000_000_000,
            origin: Origin::from_parts("tacho.invalid", [number; 16]).unwrap(),
        };
        let genesis = log.genesis();
        let identity = log.identity.clone();
        log.push_signed(genesis, Purpose::Genesis, &identity);
        log.push(Self::boot(false));
        log
    }

    pub(crate) fn genesis(&self) -> Genesis {
        Genesis {
            suite: 1,
            origin: self.origin.clone(),
            identity_key: public(&self.identity),
            log_key: public(&self.log_key),
            epoch_key: public(&self.epochs[0]),
            policy_digest: None,
            sealing: true,
            witness_quorum: 0,
            predecessor: None,
            signature: None,
        }
    }

    pub(crate) fn boot(mono_reset: bool) -> Boot {
        Boot {
            boot_id: Fixed([7; 16]),
            clean: true,
            recovered: 0,
            mono_reset,
            software: Id::new("test").unwrap(),
            loss_accepted: false,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.records.len()).unwrap()
    }

    /// The chain hash of the last record.
    pub(crate) fn head(&self) -> Hash {
        self.head_at(self.records.len())
    }

    pub(crate) fn head_at(&self, size: usize) -> Hash {
        self.records[..size]
            .iter()
            .fold(Hash::ZERO, |head, bytes| chain::link(&head, bytes))
    }

    pub(crate) fn tree_at(&self, size: usize) -> Batch {
        let mut tree = Batch::new(Frontier::new());
        for bytes in &self.records[..size] {
            tree.push(leaf_hash(bytes)).unwrap();
        }
        tree
    }

    pub(crate) fn root(&self) -> Hash {
        self.tree_at(self.records.len()).frontier().root()
    }

    fn epoch(&self) -> u64 {
        u64::try_from(self.epochs.len()).unwrap() - 1
    }

    pub(crate) fn epoch_key(&self) -> SigningKey {
        self.epochs.last().unwrap().clone()
    }

    /// An envelope that follows the last record, a millisecond later.
    pub(crate) fn record(&self, body: impl Into<Body>) -> Record {
        let body = body.into();
        Record {
            version: VERSION,
            seq: Seq(self.size()),
            prev: self.head(),
            time: Time(self.time),
            mono: self.mono,
            kind: body.kind().unwrap(),
            actor: Actor {
                actor_type: ActorType::System,
                id: Id::new("recorder").unwrap(),
                model: None,
                on_behalf_of: None,
            },
            via: Via::Recorder,
            import: None,
            auth: None,
            claimed: None,
            reference: None,
            session: None,
            generation: None,
            causes: None,
            body,
            content: None,
            artefacts: None,
            redacted: None,
        }
    }

    pub(crate) fn push_bytes(&mut self, bytes: Vec<u8>, row: Option<Row>) -> Seq {
        let seq = Seq(self.size());
        self.records.push(bytes);
        self.rows.push(row);
        self.time += 1_000_000;
        self.mono += 1_000_000;
        seq
    }

    pub(crate) fn push(&mut self, body: impl Into<Body>) -> Seq {
        let bytes = self.record(body).encode().unwrap();
        self.push_bytes(bytes, None)
    }

    pub(crate) fn push_signed(
        &mut self,
        body: impl Into<Body>,
        purpose: Purpose,
        key: &SigningKey,
    ) -> Seq {
        let mut record = self.record(body);
        let unsigned = record.encode_unsigned().unwrap();
        record
            .body
            .set_signature(Some(sign::sign(key, purpose, &unsigned)));
        self.push_bytes(record.encode().unwrap(), None)
    }

    /// Something said, with its text in the vault.
    pub(crate) fn say(&mut self, text: &str) -> Seq {
        let mut record = self.record(Message {
            speaker: Speaker::Assistant,
            usage: None,
        });
        let byte = u8::try_from(self.size() % 251).unwrap();
        let kept = Salted {
            salt: Fixed([byte; 32]),
            bytes: text.as_bytes().to_vec(),
        };
        let commitment = commit(&kept.salt, Kind::Message, Field::Text, &kept.bytes);
        record.content = Some(BTreeMap::from([(Field::Text, commitment)]));
        let row = Row {
            content: Some(BTreeMap::from([(Field::Text.number(), kept)])),
            artefacts: None,
        };
        self.push_bytes(record.encode().unwrap(), Some(row))
    }

    /// The seal that would come next, unsigned.
    pub(crate) fn next_seal(&self, next: &SigningKey) -> Seal {
        Seal {
            signature: None,
            root: self.root(),
            epoch: self.epoch(),
            first: self.first,
            next_key: public(next),
            reason: SealReason::Cadence,
        }
    }

    /// Seals the open epoch.
    pub(crate) fn seal(&mut self) -> Seq {
        let next = self.next_epoch_key();
        let seal = self.next_seal(&next);
        let key = self.epoch_key();
        self.push_seal(seal, &key, next)
    }

    pub(crate) fn next_epoch_key(&self) -> SigningKey {
        let number = u8::try_from(self.epochs.len()).unwrap();
        secret(self.identity.to_bytes()[0], 100 + number)
    }

    pub(crate) fn push_seal(&mut self, seal: Seal, by: &SigningKey, next: SigningKey) -> Seq {
        let at = self.push_signed(seal, Purpose::Seal, by);
        self.epochs.push(next);
        self.first = at.next();
        at
    }

    /// Goes on after the epoch's key was lost.
    pub(crate) fn break_epoch(&mut self) -> Seq {
        let next = self.next_epoch_key();
        let key = self.key(KeyRole::Epoch, KeyOp::Break, &next);
        let identity = self.identity.clone();
        let at = self.push_signed(key, Purpose::Key, &identity);
        self.epochs.push(next);
        self.first = at;
        at
    }

    pub(crate) fn key(&self, role: KeyRole, op: KeyOp, key: &SigningKey) -> Key {
        Key {
            signature: None,
            epoch: (role == KeyRole::Epoch).then_some(self.epoch() + 1),
            op,
            role,
            public_key: Blob::new(public(key).0.to_vec()).unwrap(),
            holder: None,
            groups: None,
            assurance: None,
            consumes: None,
        }
    }

    /// Rotates the log key.
    pub(crate) fn rotate(&mut self) -> Seq {
        let next = secret(self.identity.to_bytes()[0], 3);
        let key = self.key(KeyRole::Log, KeyOp::Rotate, &next);
        let identity = self.identity.clone();
        let at = self.push_signed(key, Purpose::Key, &identity);
        self.log_key = next;
        at
    }

    /// A checkpoint of the whole log as it is now.
    pub(crate) fn signed_head(&self) -> Note {
        let text = Checkpoint::new(self.origin.as_str(), self.size(), self.root()).unwrap();
        self.sign_text(&text.to_string())
    }

    pub(crate) fn sign_text(&self, text: &str) -> Note {
        let mut note = Note::sign(text, self.origin.as_str(), &self.log_key).unwrap();
        let name = epoch_name(&self.origin, self.epoch());
        note.add_signature(&name, &self.epoch_key()).unwrap();
        note
    }

    pub(crate) fn checkpoint(&mut self) -> Note {
        let note = self.signed_head();
        self.checkpoints.push(note.clone());
        note
    }

    /// The statement over the whole log as it is now.
    pub(crate) fn commit(&self) -> (Commit, Fixed<64>) {
        let commit = Commit {
            time: Time(self.time),
            origin: self.origin.clone(),
            size: self.size(),
            root: self.root(),
            epoch: self.epoch(),
            log_id: LogId::of_genesis(&self.records[0]),
            boot: self.last_boot(),
            head: self.head(),
        };
        let bytes = commit.encode().unwrap();
        let signature = sign::sign(&self.epoch_key(), Purpose::Commit, &bytes);
        (commit, signature)
    }

    /// The last boot record, or 0.
    fn last_boot(&self) -> Seq {
        let boot = self
            .records
            .iter()
            .rposition(|bytes| Record::decode(bytes).is_ok_and(|record| record.kind == Kind::Boot));
        Seq(u64::try_from(boot.unwrap_or_default()).unwrap())
    }

    /// A receipt of a record, as of now.
    pub(crate) fn receipt(&self, seq: Seq) -> Receipt {
        let (commit, signature) = self.commit();
        let place = usize::try_from(seq.0).unwrap();
        let path = self.tree_at(self.records.len()).path(seq.0).unwrap();
        Receipt {
            seq,
            signature,
            commit,
            leaf: leaf_hash(&self.records[place]),
            chain: self.head_at(place + 1),
            path: List::some(path).unwrap(),
        }
    }

    /// What the log's own directory holds as evidence, and the right trust.
    pub(crate) fn evidence(&self) -> Evidence {
        Evidence {
            checkpoints: self.checkpoints.clone(),
            commit: Some(self.commit()),
            marks: Vec::new(),
            trust: Some((Fingerprint::of(&public(&self.identity)), Anchor::Named)),
        }
    }

    pub(crate) fn evidence_with(&self, mark: Mark) -> Evidence {
        Evidence {
            marks: vec![mark],
            ..self.evidence()
        }
    }

    /// Folds all records and does not finish.
    pub(crate) fn fold(&self, evidence: &Evidence) -> Fold {
        let mut fold = Fold::new(evidence.sizes());
        for ((seq, bytes), row) in (0..).zip(&self.records).zip(&self.rows) {
            let row = row.as_ref().map(|row| row.encode().unwrap());
            let single = Single::check(bytes, Vault::Row(row.as_deref()));
            fold.push(Seq(seq), bytes, single);
        }
        fold
    }

    pub(crate) fn verify(&self, evidence: &Evidence) -> Report {
        self.fold(evidence).finish(evidence)
    }
}

/// Eleven records: genesis, boot, three messages, a seal, two messages, an empty epoch's seal after the next, and a message.
///
/// ```text
/// 0 genesis  1 boot  2 3 4 said  5 seal of epoch 0  6 7 said  8 seal of epoch 1  9 seal of the empty epoch 2  10 said
/// ```
pub(crate) fn sound() -> Log {
    sound_of(1)
}

pub(crate) fn sound_of(number: u8) -> Log {
    let mut log = Log::new(number);
    log.say("one");
    log.say("two");
    log.checkpoint();
    log.say("three");
    log.seal();
    log.checkpoint();
    log.say("four");
    log.say("five");
    log.seal();
    log.seal();
    log.say("six");
    log.checkpoint();
    log
}
