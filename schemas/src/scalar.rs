//! The small values records are made of, each checked when it is made.

use std::fmt;
use std::marker::PhantomData;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::hash::{Hash, LogId, Origin};

/// A record's number: its leaf index in the tree. Genesis is 0.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The record after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A moment of a wall clock: nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// A time is a statement of some clock and never an order: order is [`Seq`]. RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Time(pub i64);

impl Time {
    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |_| Error::Name {
            what: "time",
            why: "is not RFC 3339, such as 2026-11-24T06:00:00Z",
        };
        let stamp: jiff::Timestamp = text.parse().map_err(bad)?;
        i64::try_from(stamp.as_nanosecond())
            .map(Self)
            .map_err(|_| Error::Name {
                what: "time",
                why: "lies outside 1677 to 2262",
            })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(stamp) => stamp.fmt(f),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            s.collect_str(self)
        } else {
            s.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            Self::parse(&String::deserialize(d)?).map_err(D::Error::custom)
        } else {
            i64::deserialize(d).map(Self)
        }
    }
}

/// Makes a text type that is checked once, when it is made or read.
macro_rules! checked_text {
    ($(#[$meta:meta])* $name:ident, $check:path) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks and takes a text.
            pub fn new(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(d)?).map_err(D::Error::custom)
            }
        }
    };
}

checked_text! {
    /// An opaque identifier: 1 to 64 bytes of printable ASCII without spaces.
    ///
    /// Identifiers stand in records and can never be erased, so they must not be names of people or paths.
    Id, check_id
}

checked_text! {
    /// A number from outside, as its source wrote it: 1 to 40 bytes of printable ASCII without spaces.
    ///
    /// Kept as text, so that nothing is rounded. `NaN` and `inf` are possible; see [`Decimal::is_finite`].
    Decimal, check_decimal
}

impl Decimal {
    /// Says whether the text is an ordinary number.
    pub fn is_finite(&self) -> bool {
        self.0.parse::<f64>().is_ok_and(f64::is_finite)
    }
}

fn check_id(text: &str) -> Result<()> {
    check_ascii(
        "id",
        text,
        64,
        "must be 1 to 64 bytes of printable ASCII without spaces",
    )
}

fn check_decimal(text: &str) -> Result<()> {
    check_ascii(
        "decimal",
        text,
        40,
        "must be 1 to 40 bytes of printable ASCII without spaces",
    )
}

fn check_ascii(what: &'static str, text: &str, max: usize, why: &'static str) -> Result<()> {
    let good =
        !text.is_empty() && text.len() <= max && text.bytes().all(|b| (0x21..=0x7e).contains(&b));
    if good {
        Ok(())
    } else {
        Err(Error::Name { what, why })
    }
}

/// Makes `Serialize` and `Deserialize` of a byte type: a byte string in CBOR, hex in JSON.
macro_rules! bytes_serde {
    ([$($generics:tt)*] $name:ty, $from:expr) => {
        impl<$($generics)*> Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                let bytes: &[u8] = self.as_ref();
                if s.is_human_readable() { s.serialize_str(&hex::encode(bytes)) } else { s.serialize_bytes(bytes) }
            }
        }

        impl<'de, $($generics)*> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let bytes = if d.is_human_readable() {
                    hex::decode(String::deserialize(d)?).map_err(D::Error::custom)?
                } else {
                    d.deserialize_byte_buf(ByteBuf)?
                };
                $from(bytes).map_err(D::Error::custom)
            }
        }
    };
}

pub(crate) struct ByteBuf;

impl serde::de::Visitor<'_> for ByteBuf {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

/// Exactly `N` bytes: a key, a signature, a boot id.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fixed<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Debug for Fixed<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

fn fixed<const N: usize>(bytes: Vec<u8>) -> Result<Fixed<N>> {
    bytes.try_into().map(Fixed).map_err(|_| Error::Name {
        what: "byte string",
        why: "has the wrong length",
    })
}

bytes_serde!([const N: usize] Fixed<N>, fixed::<N>);
bytes_serde!([] Hash, |b: Vec<u8>| Hash::from_slice(&b));
bytes_serde!([] LogId, |b: Vec<u8>| Hash::from_slice(&b).map(LogId));

impl<const N: usize> AsRef<[u8]> for Fixed<N> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for LogId {
    fn as_ref(&self) -> &[u8] {
        &self.0.0
    }
}

/// 1 to `MAX` bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blob<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Blob<MAX> {
    /// Checks the length and takes the bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self> {
        if bytes.is_empty() || bytes.len() > MAX {
            return Err(Error::Name {
                what: "byte string",
                why: "is empty or too long",
            });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> AsRef<[u8]> for Blob<MAX> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

bytes_serde!([const MAX: usize] Blob<MAX>, Blob::<MAX>::new);

/// 1 to `MAX` values.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// Sorts the values; equal ones keep their order.
    pub(crate) fn sort_by_key<K: Ord>(&mut self, key: impl FnMut(&T) -> K) {
        self.0.sort_by_key(key);
    }

    /// Says whether a value stands twice.
    pub(crate) fn repeats(&self) -> bool
    where
        T: PartialEq,
    {
        let before = |place| self.0.iter().take(place);
        let mut values = self.0.iter().enumerate();
        values.any(|(place, value)| before(place).any(|earlier| earlier == value))
    }

    /// Checks the count and takes the values.
    pub fn new(values: Vec<T>) -> Result<Self> {
        if values.is_empty() || values.len() > MAX {
            return Err(Error::Name {
                what: "list",
                why: "is empty or too long",
            });
        }
        Ok(Self(values))
    }

    /// Takes the values; `None` if there are none.
    pub fn some(values: Vec<T>) -> Result<Option<Self>> {
        if values.is_empty() {
            Ok(None)
        } else {
            Self::new(values).map(Some)
        }
    }

    /// The values.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a List<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // Not `Vec::deserialize`: ciborium reads a byte string as a list of small integers, a second spelling.
        let values = d.deserialize_any(ListReader::<T, MAX>(PhantomData))?;
        Ok(Self(values))
    }
}

/// Reads 1 to `MAX` values.
struct ListReader<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> serde::de::Visitor<'de> for ListReader<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let count = || A::Error::custom(format_args!("a list must have 1 to {MAX} entries"));
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            if values.len() == MAX {
                return Err(count());
            }
            values.push(value);
        }
        if values.is_empty() {
            return Err(count());
        }
        Ok(values)
    }
}

/// 1 to `MAX` values, ascending, none twice: a set has one spelling.
///
/// Numbers and enumerations ascend by number, texts by their bytes. In JSON any order is read and put right.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Set<T, const MAX: usize>(Vec<T>);

impl<T: Ord, const MAX: usize> Set<T, MAX> {
    /// Checks count and order, and takes the values.
    pub fn new(values: Vec<T>) -> Result<Self> {
        if values.is_empty() || values.len() > MAX {
            return Err(Error::Name {
                what: "list",
                why: "is empty or too long",
            });
        }
        if !values.is_sorted_by(|a, b| a < b) {
            return Err(Error::Name {
                what: "list",
                why: "must ascend, with nothing twice",
            });
        }
        Ok(Self(values))
    }

    /// Puts the values in order, each once, and takes them.
    pub fn of(mut values: Vec<T>) -> Result<Self> {
        values.sort_unstable();
        values.dedup();
        Self::new(values)
    }

    /// Puts the values in order, each once, and takes them; `None` if there are none.
    pub fn some(values: Vec<T>) -> Result<Option<Self>> {
        if values.is_empty() {
            Ok(None)
        } else {
            Self::of(values).map(Some)
        }
    }
}

impl<T, const MAX: usize> Set<T, MAX> {
    /// The values.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a Set<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'de, T: Deserialize<'de> + Ord, const MAX: usize> Deserialize<'de> for Set<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let any_order = d.is_human_readable();
        let values = d.deserialize_any(ListReader::<T, MAX>(PhantomData))?;
        let set = if any_order {
            Self::of(values)
        } else {
            Self::new(values)
        };
        set.map_err(D::Error::custom)
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(d)?).map_err(D::Error::custom)
    }
}
