//! The canonical encoding: one value, one spelling.
//!
//! RFC 8949 section 4.2.1 with everything removed that we do not need. ciborium alone accepts long integers, indefinite
//! lengths, any key order, tags and trailing bytes, also when its output is encoded again and compared; so a walker of
//! our own reads the bytes first and refuses at the first offence, and a reader of our own (`read`, four times as
//! fast) makes types of what is left. What the walker refuses, beyond malformed CBOR:
//!
//! - integers and lengths that are not in their shortest form, and integers outside i64 and u64
//! - indefinite lengths, tags, floats, `null`, `undefined` and every simple value but `false` and `true`
//! - map keys that are not integers, not in ascending order of their encoding, or repeated
//! - empty maps and arrays (absent is the only spelling of nothing)
//! - more than eight containers inside each other, and bytes after the end
//!
//! The walker knows no field and no version: it holds for records that this version does not understand.

mod read;

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The largest record in bytes: what an entry bundle of C2SP tlog-tiles can hold.
pub const MAX_RECORD: usize = 65_535;

/// The most containers that may lie inside each other.
pub const MAX_DEPTH: usize = 8;

/// A rule of the canonical encoding, named by what is wrong.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// A break code outside an indefinite length.
    Break,
    /// More than [`MAX_DEPTH`] containers inside each other.
    Depth,
    /// A map key that stands twice.
    DuplicateKey,
    /// A map or array without entries.
    Empty,
    /// A floating-point number.
    Float,
    /// An indefinite length.
    Indefinite,
    /// An integer below -2^63.
    IntRange,
    /// A map key that is not an integer.
    KeyType,
    /// An integer or length longer than it need be.
    NonShortest,
    /// `null`.
    Null,
    /// Additional information 28, 29 or 30, which RFC 8949 reserves.
    Reserved,
    /// A simple value other than `false` and `true`.
    Simple,
    /// A tag.
    Tag,
    /// More bytes than the place allows.
    TooLong,
    /// Bytes after the end.
    Trailing,
    /// The end before the item is complete.
    Truncated,
    /// `undefined`.
    Undefined,
    /// Text that is not UTF-8.
    Utf8,
    /// A map key out of order.
    UnsortedKey,
}

impl Rule {
    /// The name by which vectors call the rule, e.g. `non-shortest`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Break => "break",
            Self::Depth => "depth",
            Self::DuplicateKey => "duplicate-key",
            Self::Empty => "empty",
            Self::Float => "float",
            Self::Indefinite => "indefinite",
            Self::IntRange => "int-range",
            Self::KeyType => "key-type",
            Self::NonShortest => "non-shortest",
            Self::Null => "null",
            Self::Reserved => "reserved",
            Self::Simple => "simple",
            Self::Tag => "tag",
            Self::TooLong => "too-long",
            Self::Trailing => "trailing",
            Self::Truncated => "truncated",
            Self::Undefined => "undefined",
            Self::Utf8 => "utf8",
            Self::UnsortedKey => "unsorted-key",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Checks that `bytes` are one item in canonical encoding, at most `max` bytes long.
pub fn check(bytes: &[u8], max: usize) -> Result<()> {
    if bytes.len() > max {
        return Err(Error::Canon {
            rule: Rule::TooLong,
            offset: max,
        });
    }
    let mut walker = Walker { bytes, at: 0 };
    walker.item(0)?;
    walker.end()
}

/// Encodes a value, and refuses to return what [`check`] would refuse.
pub fn encode<T: Serialize>(value: &T, max: usize) -> Result<Vec<u8>> {
    encode_about(value, 256, max)
}

/// Encodes a value that is expected to take about so many bytes: memory is then taken once.
pub(crate) fn encode_about<T: Serialize>(value: &T, about: usize, max: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(about.min(max));
    ciborium::into_writer(value, &mut bytes).map_err(|e| Error::Meaning(e.to_string()))?;
    check(&bytes, max)?;
    Ok(bytes)
}

/// Decodes a value after [`check`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T> {
    check(bytes, max)?;
    read(bytes)
}

/// Decodes a value from bytes that [`check`] has passed.
pub(crate) fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T> {
    T::deserialize(&mut read::Reader::new(bytes)).map_err(|refusal| Error::Meaning(refusal.0))
}

/// The entries of a map: each key and where in the bytes its value lies.
pub type Entries = Vec<(i128, Range<usize>)>;

/// Returns the entries of a checked map.
pub fn entries(bytes: &[u8]) -> Result<Entries> {
    let mut walker = Walker { bytes, at: 0 };
    let (major, count) = walker.head()?;
    if major != MAP {
        return Err(Error::Meaning("not a map".to_owned()));
    }
    let mut found = Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(32));
    walker.map(count, 0, |key, range| found.push((key, range)))?;
    Ok(found)
}

/// Returns where in the bytes of a checked map the value of a key lies; what stands behind it is not walked through.
pub fn entry(bytes: &[u8], wanted: i128) -> Result<Option<Range<usize>>> {
    let mut walker = Walker { bytes, at: 0 };
    let (major, count) = walker.head()?;
    if major != MAP {
        return Err(Error::Meaning("not a map".to_owned()));
    }
    for _ in 0..count {
        let key = walker.key()?;
        let start = walker.at;
        walker.item(1)?;
        if key == wanted {
            return Ok(Some(start..walker.at));
        }
    }
    Ok(None)
}

/// Checks bytes as [`check`] does, and returns the entries if they are a map: one walk for both.
pub fn check_entries(bytes: &[u8], max: usize) -> Result<Entries> {
    let is_map = bytes.first().is_some_and(|first| first >> 5 == MAP);
    if bytes.len() > max || !is_map || bytes.first() == Some(&(MAP << 5)) {
        check(bytes, max)?;
        return entries(bytes);
    }
    let mut walker = Walker { bytes, at: 0 };
    let (_, count) = walker.head()?;
    let mut found = Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(32));
    walker.map(count, 0, |key, range| found.push((key, range)))?;
    walker.end()?;
    Ok(found)
}

/// Returns every text string of a checked item, in their order, however deep it lies.
pub fn texts(bytes: &[u8]) -> Result<Vec<&str>> {
    let mut walker = Walker { bytes, at: 0 };
    let mut found = Vec::new();
    // Without indefinite lengths an item is its heads and strings in a row.
    while walker.at < bytes.len() {
        match walker.head()? {
            (TEXT, length) => found.extend(std::str::from_utf8(walker.take(walker.at, length)?)),
            (BYTES, length) => drop(walker.take(walker.at, length)?),
            _ => {}
        }
    }
    Ok(found)
}

/// Returns the checked map `bytes` without the entry at `path`, as canonical bytes again.
///
/// Signatures inside a record are made and checked over these bytes, so that fields which this version does not know are
/// signed too.
pub fn without(bytes: &[u8], path: &[i64]) -> Result<Vec<u8>> {
    let missing = || Error::Meaning("has no such field to take out".to_owned());
    let (&key, rest) = path.split_first().ok_or_else(missing)?;
    let found = entries(bytes)?;
    let place = found
        .iter()
        .position(|(k, _)| *k == i128::from(key))
        .ok_or_else(missing)?;
    let range = found
        .get(place)
        .map(|(_, range)| range.clone())
        .ok_or_else(missing)?;
    // The key starts where the value before it ends, or after the map's head.
    let before = match place.checked_sub(1).and_then(|i| found.get(i)) {
        Some((_, range)) => range.end,
        None => head_len(found.len()),
    };
    let cut = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
    let mut out = Vec::with_capacity(bytes.len());
    if rest.is_empty() {
        write_map_head(&mut out, found.len().saturating_sub(1));
        out.extend_from_slice(cut(head_len(found.len()), before));
    } else {
        out.extend_from_slice(cut(0, range.start));
        out.extend_from_slice(&without(cut(range.start, range.end), rest)?);
    }
    out.extend_from_slice(cut(range.end, bytes.len()));
    Ok(out)
}

fn head_len(count: usize) -> usize {
    match count {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}

fn write_map_head(out: &mut Vec<u8>, count: usize) {
    match (u8::try_from(count), u16::try_from(count)) {
        (Ok(n), _) if n < 24 => out.push(0xa0 | n),
        (Ok(n), _) => out.extend_from_slice(&[0xb8, n]),
        (_, Ok(n)) => {
            out.push(0xb9);
            out.extend_from_slice(&n.to_be_bytes());
        }
        _ => {
            out.push(0xba);
            out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

// CBOR major types.
const UINT: u8 = 0;
const NINT: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walker<'a> {
    fn item(&mut self, depth: usize) -> Result<()> {
        let start = self.at;
        let offence = |rule| {
            Err(Error::Canon {
                rule,
                offset: start,
            })
        };
        let (major, argument) = self.head()?;
        match major {
            UINT | NINT => {}
            BYTES => {
                self.take(start, argument)?;
            }
            TEXT => {
                std::str::from_utf8(self.take(start, argument)?)
                    .or_else(|_| offence(Rule::Utf8).map(|()| ""))?;
            }
            ARRAY | MAP if argument == 0 => return offence(Rule::Empty),
            ARRAY | MAP if depth >= MAX_DEPTH => return offence(Rule::Depth),
            ARRAY => {
                for _ in 0..argument {
                    self.item(depth + 1)?;
                }
            }
            MAP => self.map(argument, depth, |_, _| ())?,
            TAG => return offence(Rule::Tag),
            // Major type 7: `head` has let only `false` and `true` through.
            _ => {}
        }
        Ok(())
    }

    /// Reads so many entries of a map at this depth, and shows each key and where its value lies.
    fn map(
        &mut self,
        count: u64,
        depth: usize,
        mut seen: impl FnMut(i128, Range<usize>),
    ) -> Result<()> {
        let mut last: &[u8] = &[];
        for _ in 0..count {
            let from = self.at;
            let key = self.key()?;
            let start = self.at;
            let spelt = self.bytes.get(from..start).unwrap_or_default();
            let rule = match spelt.cmp(last) {
                std::cmp::Ordering::Greater => None,
                std::cmp::Ordering::Equal => Some(Rule::DuplicateKey),
                std::cmp::Ordering::Less => Some(Rule::UnsortedKey),
            };
            if let Some(rule) = rule {
                return Err(Error::Canon { rule, offset: from });
            }
            last = spelt;
            self.item(depth + 1)?;
            seen(key, start..self.at);
        }
        Ok(())
    }

    /// Refuses bytes after the item.
    fn end(&self) -> Result<()> {
        if self.at < self.bytes.len() {
            return Err(Error::Canon {
                rule: Rule::Trailing,
                offset: self.at,
            });
        }
        Ok(())
    }

    /// Reads the initial byte and its argument.
    #[inline]
    fn head(&mut self) -> Result<(u8, u64)> {
        let start = self.at;
        let offence = |rule| {
            Err(Error::Canon {
                rule,
                offset: start,
            })
        };
        let first = self.byte(start)?;
        let (major, info) = (first >> 5, first & 0x1f);
        if info < 24 && major < TAG {
            // Most items: the argument stands in the first byte.
            return Ok((major, u64::from(info)));
        }
        if major == 7 {
            return match info {
                20 | 21 => Ok((major, u64::from(info))),
                22 => offence(Rule::Null),
                23 => offence(Rule::Undefined),
                25..=27 => offence(Rule::Float),
                28..=30 => offence(Rule::Reserved),
                31 => offence(Rule::Break),
                _ => offence(Rule::Simple),
            };
        }
        let (argument, least) = match info {
            0..=23 => (u64::from(info), 0),
            24 => (u64::from(self.byte(start)?), 24),
            25 => (u64::from(u16::from_be_bytes(self.array(start)?)), 0x100),
            26 => (u64::from(u32::from_be_bytes(self.array(start)?)), 0x1_0000),
            27 => (u64::from_be_bytes(self.array(start)?), 0x1_0000_0000),
            28..=30 => return offence(Rule::Reserved),
            _ if major == UINT || major == NINT || major == TAG => return offence(Rule::Reserved),
            _ => return offence(Rule::Indefinite),
        };
        if argument < least {
            return offence(Rule::NonShortest);
        }
        if major == NINT && i64::try_from(argument).is_err() {
            return offence(Rule::IntRange);
        }
        Ok((major, argument))
    }

    /// Reads a map key, which must be an integer.
    fn key(&mut self) -> Result<i128> {
        let start = self.at;
        match self.head()? {
            (UINT, n) => Ok(i128::from(n)),
            (NINT, n) => Ok(-1 - i128::from(n)),
            _ => Err(Error::Canon {
                rule: Rule::KeyType,
                offset: start,
            }),
        }
    }

    fn take(&mut self, item: usize, length: u64) -> Result<&'a [u8]> {
        let slice = usize::try_from(length)
            .ok()
            .and_then(|n| self.at.checked_add(n))
            .and_then(|end| self.bytes.get(self.at..end))
            .ok_or(Error::Canon {
                rule: Rule::Truncated,
                offset: item,
            })?;
        self.at += slice.len();
        Ok(slice)
    }

    fn byte(&mut self, item: usize) -> Result<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte.ok_or(Error::Canon {
            rule: Rule::Truncated,
            offset: item,
        })
    }

    fn array<const N: usize>(&mut self, item: usize) -> Result<[u8; N]> {
        let end = self.at.saturating_add(N);
        let slice = self.bytes.get(self.at..end).and_then(|s| s.try_into().ok());
        self.at = end;
        slice.ok_or(Error::Canon {
            rule: Rule::Truncated,
            offset: item,
        })
    }
}
