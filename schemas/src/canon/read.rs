//! From checked bytes to types: serde over slices.
//!
//! ciborium reads through a stream, a buffer and every spelling of CBOR; after [`super::check`] there is one spelling left and the
//! bytes lie in memory, so this reads each item where it lies. Each asked type gets the one major type that may stand for it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::{ARRAY, BYTES, MAP, NINT, TEXT, UINT, Walker};

/// Why bytes do not become the type.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl serde::de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl From<crate::Error> for Refusal {
    fn from(error: crate::Error) -> Self {
        Self(error.to_string())
    }
}

/// Reads one item.
pub(super) struct Reader<'de> {
    walker: Walker<'de>,
}

impl<'de> Reader<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self {
            walker: Walker { bytes, at: 0 },
        }
    }

    fn text(&mut self, length: u64) -> Result<&'de str, Refusal> {
        std::str::from_utf8(self.walker.take(self.walker.at, length)?)
            .map_err(|e| Refusal(e.to_string()))
    }

    /// Reads an item's head, which must be of this type.
    fn expect<V: Visitor<'de>>(&mut self, major: u8, visitor: &V) -> Result<u64, Refusal> {
        match self.walker.head()? {
            (found, argument) if found == major => Ok(argument),
            (found, argument) => Err(serde::de::Error::invalid_type(
                unexpected(found, argument),
                visitor,
            )),
        }
    }
}

fn unexpected(major: u8, argument: u64) -> Unexpected<'static> {
    match major {
        UINT => Unexpected::Unsigned(argument),
        NINT => Unexpected::Signed(negative(argument)),
        BYTES => Unexpected::Other("byte string"),
        TEXT => Unexpected::Other("text"),
        ARRAY => Unexpected::Seq,
        MAP => Unexpected::Map,
        _ => Unexpected::Bool(argument == TRUE),
    }
}

/// The argument of a negative integer, which the walker has seen to fit.
fn negative(argument: u64) -> i64 {
    i64::try_from(argument).map_or(i64::MIN, |n| !n)
}

/// Major type 7 with this argument is `true`.
const TRUE: u64 = 21;

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Refusal;

    /// For other integers and booleans: no visitor of theirs takes something else for them.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.walker.head()? {
            (UINT, argument) => visitor.visit_u64(argument),
            (NINT, argument) => visitor.visit_i64(negative(argument)),
            (BYTES, length) => {
                visitor.visit_borrowed_bytes(self.walker.take(self.walker.at, length)?)
            }
            (TEXT, length) => visitor.visit_borrowed_str(self.text(length)?),
            (ARRAY, length) => all(
                Items {
                    reader: self,
                    left: length,
                },
                |items| visitor.visit_seq(items),
            ),
            (MAP, length) => all(
                Items {
                    reader: self,
                    left: length,
                },
                |items| visitor.visit_map(items),
            ),
            (_, argument) => visitor.visit_bool(argument == TRUE),
        }
    }

    /// What asks for a number takes nothing else: a value of an enumeration has a name too, in JSON.
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let number = self.expect(UINT, &visitor)?;
        visitor.visit_u64(number)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let length = self.expect(TEXT, &visitor)?;
        visitor.visit_borrowed_str(self.text(length)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let length = self.expect(BYTES, &visitor)?;
        visitor.visit_borrowed_bytes(self.walker.take(self.walker.at, length)?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let left = self.expect(ARRAY, &visitor)?;
        all(Items { reader: self, left }, |items| {
            visitor.visit_seq(items)
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let left = self.expect(MAP, &visitor)?;
        all(Items { reader: self, left }, |items| {
            visitor.visit_map(items)
        })
    }

    /// There is no null, so what stands here is the value.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.walker.item(1)?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char unit unit_struct tuple_struct struct enum identifier
    }
}

/// The entries of an array or a map that are still to come.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    left: u64,
}

/// Shows all entries to a visitor, and refuses if it leaves some unread.
fn all<'r, 'de, T>(
    mut items: Items<'r, 'de>,
    visit: impl FnOnce(&mut Items<'r, 'de>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let value = visit(&mut items)?;
    match items.left {
        0 => Ok(value),
        left => Err(Refusal(format!("{left} entries too many"))),
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refusal> {
        match self.left.checked_sub(1) {
            None => Ok(None),
            Some(left) => {
                self.left = left;
                seed.deserialize(&mut *self.reader).map(Some)
            }
        }
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.left).ok()
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.left).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use crate::canon::{check, read};
    use crate::content::{Row, Salted};
    use crate::scalar::Fixed;

    type Nested = BTreeMap<i64, Vec<(bool, i64, String)>>;

    fn nested() -> impl Strategy<Value = Nested> {
        let items = vec((any::<bool>(), any::<i64>(), ".{0,8}"), 0..4);
        btree_map(any::<i64>(), items, 0..4)
    }

    proptest! {
        #[test]
        fn what_ciborium_reads_is_read_the_same(value in nested()) {
            let mut bytes = Vec::new();
            ciborium::into_writer(&value, &mut bytes).unwrap();
            let theirs: Nested = ciborium::from_reader(&bytes[..]).unwrap();
            prop_assert_eq!(read::<Nested>(&bytes), Ok(theirs));
        }

        #[test]
        fn rows_come_back(texts in btree_map(any::<u64>(), (any::<u8>(), vec(any::<u8>(), 0..40)), 1..5)) {
            let salted = |(n, (salt, bytes))| (n, Salted { salt: Fixed([salt; 32]), bytes });
            let row = Row { content: Some(texts.into_iter().map(salted).collect()), artefacts: None };
            prop_assert_eq!(read::<Row>(&row.encode().unwrap()), Ok(row));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..64)) {
            // Unchecked ones too: no panic, no endless loop.
            let (ours, theirs) = (read::<Nested>(&bytes), ciborium::from_reader::<Nested, _>(&bytes[..]));
            if check(&bytes, 4096).is_ok() {
                prop_assert_eq!(ours.ok(), theirs.ok());
            }
        }
    }

    #[test]
    fn no_type_stands_for_another() {
        assert!(read::<String>(b"\x41a").is_err(), "bytes for text");
        assert!(read::<Fixed<1>>(b"\x61a").is_err(), "text for bytes");
        assert!(read::<(u8, u8)>(b"\x83\x01\x02\x03").is_err(), "too many");
        assert!(read::<(u8, u8)>(b"\x81\x01").is_err(), "too few");
        assert!(read::<u64>(b"\x20").is_err(), "negative");
        assert!(read::<u8>(b"\x19\x01\x00").is_err(), "too large");
        assert!(read::<bool>(b"\x01").is_err(), "a number for true");
        assert_eq!(
            read::<i64>(b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff"),
            Ok(i64::MIN)
        );
    }
}
