//! What can be checked of one record without any other: the part that callers run on many threads.

use crate::body::Body;
use crate::canon;
use crate::chain;
use crate::content::{Held, Row};
use crate::error::Result;
use crate::hash::Hash;
use crate::record::{Frame, Record};
use crate::tree;

/// What one record's bytes say by themselves.
#[derive(Clone, Debug)]
pub struct Single {
    /// What every version shares.
    pub frame: Frame,
    /// The chain hash over these bytes and the `prev` they carry.
    pub chain: Hash,
    /// The leaf hash.
    pub leaf: Hash,
    /// What the record means, if this version knows.
    pub meaning: Result<Record>,
    /// What the vault row says of it; `None` if the vault was not looked at.
    pub held: Option<Held>,
    /// The bytes that a signature inside covers, where the kind has one.
    pub signed: Option<Vec<u8>>,
}

/// Whether a check looks at the vault, and what it holds.
#[derive(Clone, Copy, Debug)]
pub enum Vault<'a> {
    /// The vault is not looked at.
    Skipped,
    /// The row of the record, decompressed; `None` if there is none.
    Row(Option<&'a [u8]>),
}

impl Single {
    /// Checks one record.
    ///
    /// Only bytes that are no record at all are an error; meaning that this version does not know is kept as such.
    pub fn check(bytes: &[u8], vault: Vault<'_>) -> Result<Self> {
        let frame = Frame::read(bytes)?;
        let meaning = Record::decode_checked(bytes);
        let held = match (vault, &meaning) {
            (Vault::Skipped, _) | (_, Err(_)) => None,
            (Vault::Row(None), Ok(record)) => Some(Row::empty().check(record)),
            (Vault::Row(Some(row)), Ok(record)) => Some(match Row::decode(row) {
                Ok(row) => row.check(record),
                Err(_) => Held {
                    garbled: true,
                    ..Held::default()
                },
            }),
        };
        let signed = match meaning.as_ref().map(|r| &r.body) {
            Ok(Body::Genesis(_) | Body::Seal(_)) => Some(canon::without(bytes, SIGNATURE)?),
            Ok(Body::Key(key)) if key.signature.is_some() => {
                Some(canon::without(bytes, SIGNATURE)?)
            }
            _ => None,
        };
        Ok(Self {
            frame,
            chain: chain::link(&frame.prev, bytes),
            leaf: tree::leaf_hash(bytes),
            meaning,
            held,
            signed,
        })
    }
}

/// Where a record keeps its own signature: `body`, `signature`.
const SIGNATURE: &[i64] = &[15, 59];
