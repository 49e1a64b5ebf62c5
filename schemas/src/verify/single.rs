//! What can be checked of one record without any other: the part that callers run on many threads.

use crate::body::Body;
use crate::canon::{self, MAX_RECORD};
use crate::chain;
use crate::content::{Held, Row};
use crate::error::Result;
use crate::hash::Hash;
use crate::record::{Frame, Record, Via};
use crate::scalar::Time;
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
    pub meaning: Result<Meant>,
    /// What the vault row says of it; `None` if the vault was not looked at.
    pub held: Option<Held>,
    /// The bytes that a signature inside covers, where the kind has one.
    pub signed: Option<Vec<u8>>,
}

/// What the fold needs of a record that was understood.
#[derive(Clone, Debug)]
pub struct Meant {
    /// The recorder's wall clock.
    pub time: Time,
    /// The recorder's CLOCK_BOOTTIME.
    pub mono: u64,
    /// How the record came in.
    pub via: Via,
    /// Its body, if the record changes how others are judged: most do not, and are let go where they were checked.
    pub body: Option<Body>,
}

impl Meant {
    fn of(record: Record) -> Self {
        let judges = matches!(
            record.body,
            Body::Boot(_) | Body::Erasure(_) | Body::Genesis(_) | Body::Key(_) | Body::Seal(_)
        );
        Self {
            time: record.time,
            mono: record.mono,
            via: record.via,
            body: judges.then_some(record.body),
        }
    }
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
        Self::check_and_show(bytes, vault, |_| ())
    }

    /// The same; a record that is understood is shown to `see` before all but what the fold needs is let go.
    pub fn check_and_show(
        bytes: &[u8],
        vault: Vault<'_>,
        see: impl FnOnce(&Record),
    ) -> Result<Self> {
        let entries = canon::check_entries(bytes, MAX_RECORD)?;
        let frame = Frame::of(bytes, &entries)?;
        let meaning = Record::decode_checked(bytes, &entries);
        if let Ok(record) = &meaning {
            see(record);
        }
        let held = match vault {
            Vault::Skipped => None,
            Vault::Row(row) => Some(
                match (row.map_or(Ok(Row::empty()), Row::decode), &meaning) {
                    (Ok(row), Ok(record)) => row.check(record),
                    (Ok(row), Err(_)) => row.unopened(),
                    (Err(_), _) => Held {
                        garbled: true,
                        ..Held::default()
                    },
                },
            ),
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
            meaning: meaning.map(Meant::of),
            held,
            signed,
        })
    }
}

/// Where a record keeps its own signature: `body`, `signature`.
const SIGNATURE: &[i64] = &[15, 59];
