//! What an appender gets back: a promise that can be checked without the log.
//!
//! One signature serves a whole group commit, so it cannot name each record. A receipt therefore carries the inclusion
//! proof of its record in the signed tree: seq, leaf and chain hash are then as firm as the signature itself, and a record
//! that is absent later is proof against the log, never "it was the crash".
//!
//! A receipt or statement has no extensions: it is read only if it would be written as the same bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::canon::{self, MAX_RECORD};
use crate::chain;
use crate::error::{Error, Result};
use crate::hash::{Hash, LogId, Origin};
use crate::map::cbor_map;
use crate::record::Frame;
use crate::scalar::{Fixed, List, Seq, Time};
use crate::sign::{self, PublicKey, Purpose};
use crate::tree;

cbor_map! {
    /// The state of a log after one group commit: what the epoch key signs, once a commit.
    pub struct Commit {
        /// The recorder's wall clock.
        3 "time" => time: req Time,
        /// The log's name.
        51 "origin" => origin: req Origin,
        /// How many records there are.
        60 "size" => size: req u64,
        /// The tree's root over them.
        61 "root" => root: req Hash,
        /// The epoch whose key signs.
        69 "epoch" => epoch: req u64,
        /// The log.
        320 "log_id" => log_id: req LogId,
        /// The boot record of the recorder that runs.
        321 "boot_seq" => boot: req Seq,
        /// The chain hash of the last record.
        322 "head" => head: req Hash,
    }
}

impl Commit {
    /// Encodes the statement: what is signed.
    pub fn encode(&self) -> Result<Vec<u8>> {
        canon::encode(self, MAX_RECORD)
    }

    /// Decodes a statement.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        whole(bytes)
    }

    /// Checks the signature of the epoch's key.
    pub fn verify(&self, key: &PublicKey, signature: &Fixed<64>) -> Result<()> {
        sign::verify(key, Purpose::Commit, &self.encode()?, signature)
    }
}

cbor_map! {
    /// A receipt.
    ///
    /// ```text
    /// {1: 7, 59: h'<64 bytes>', 323: {3: …, 51: "tacho.invalid/…", 60: 8, …}, 324: h'<leaf>', 325: h'<chain>', 326: [h'…', …]}
    /// ```
    pub struct Receipt {
        /// The record.
        1 "seq" => seq: req Seq,
        /// By the epoch's key, over `commit`.
        59 "signature" => signature: req Fixed<64>,
        /// The log after the commit that made the record durable.
        323 "commit" => commit: req Commit,
        /// The record's leaf hash.
        324 "leaf" => leaf: req Hash,
        /// The record's chain hash.
        325 "chain" => chain: req Hash,
        /// The inclusion proof of the leaf; absent in a tree of one record.
        326 "inclusion_path" => path: opt List<Hash, 64>,
    }
}

impl Receipt {
    /// Encodes the receipt.
    pub fn encode(&self) -> Result<Vec<u8>> {
        canon::encode(self, MAX_RECORD)
    }

    /// Decodes a receipt.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        whole(bytes)
    }

    /// Checks the receipt by itself: signature, inclusion, and that a last record is the head.
    ///
    /// This makes `seq` and `leaf` firm. `chain` is firm only if the record is the head, or together with the record's bytes
    /// ([`Self::verify_record`]).
    pub fn verify(&self, epoch_key: &PublicKey) -> Result<()> {
        self.commit.verify(epoch_key, &self.signature)?;
        let path = self.path.as_ref().map(List::as_slice).unwrap_or_default();
        tree::verify_inclusion(
            &self.leaf,
            self.seq.0,
            self.commit.size,
            path,
            &self.commit.root,
        )?;
        if self.seq.next().0 == self.commit.size && self.chain != self.commit.head {
            return Err(Error::Proof("the last record is not the head of the chain"));
        }
        Ok(())
    }

    /// Checks that these are the bytes of the record that the receipt is for: number, leaf and chain hash fit.
    pub fn verify_record(&self, bytes: &[u8]) -> Result<()> {
        let frame = Frame::read(bytes)?;
        if frame.seq != self.seq {
            return Err(Error::Proof("the record has another number"));
        }
        if tree::leaf_hash(bytes) != self.leaf {
            return Err(Error::Proof("the record has another leaf hash"));
        }
        if chain::link(&frame.prev, bytes) != self.chain {
            return Err(Error::Proof("the record has another chain hash"));
        }
        Ok(())
    }
}

/// Decodes what must be written as it was read.
fn whole<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T> {
    let value = canon::decode(bytes, MAX_RECORD)?;
    if canon::encode(&value, MAX_RECORD)? != bytes {
        return Err(Error::Meaning(
            "has extensions, where none may be".to_owned(),
        ));
    }
    Ok(value)
}
