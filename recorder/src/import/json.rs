//! JSON that somebody else wrote, as a tree that borrows from its text.
//!
//! Beside what `serde_json::Value` does: keys keep their order, a key that stands twice is seen, and a text that is small but would
//! become a huge tree is refused.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Number;

/// The most values that a text may hold: as a tree they take memory, however short they are written.
const MAX_VALUES: u32 = 1 << 21;

/// A value.
#[derive(Debug)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Object(Vec<(Cow<'a, str>, Self)>),
}

/// Why a text is no tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// It ends too early.
    Torn,
    /// It is something else.
    NotJson,
    /// It is nested too deeply.
    TooDeep,
    /// It holds too many values.
    TooLarge,
}

impl<'a> Json<'a> {
    /// Reads a text, and says how many keys stand in it more than once. The last of them counts, as for most readers.
    pub(crate) fn read(text: &'a str) -> Result<(Self, u32), Fault> {
        let tree = Tree {
            values: &Cell::new(0),
            repeated: &Cell::new(0),
        };
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = tree
            .deserialize(&mut reader)
            .and_then(|value| reader.end().map(|()| value));
        match read {
            Ok(value) => Ok((value, tree.repeated.get())),
            Err(_) if tree.values.get() >= MAX_VALUES => Err(Fault::TooLarge),
            Err(error) if error.is_eof() => Err(Fault::Torn),
            Err(error) if error.to_string().starts_with("recursion limit") => Err(Fault::TooDeep),
            Err(_) => Err(Fault::NotJson),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries
                .iter()
                .rev()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text under a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn count(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    pub(crate) fn list(&self, key: &str) -> Option<&[Self]> {
        match self.get(key)? {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn entries(&self) -> &[(Cow<'a, str>, Self)] {
        match self {
            Self::Object(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The same as text.
    pub(crate) fn to_text(&self) -> String {
        // A tree has no key that is not a text and no number that is not finite, so nothing can fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => s.serialize_unit(),
            Self::Bool(value) => s.serialize_bool(*value),
            Self::Number(number) => number.serialize(s),
            Self::Text(text) => s.serialize_str(text),
            Self::List(values) => s.collect_seq(values),
            Self::Object(entries) => {
                let mut map = s.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Tree<'c> {
    values: &'c Cell<u32>,
    repeated: &'c Cell<u32>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        let values = self.values.get();
        if values >= MAX_VALUES {
            return Err(D::Error::custom("too many values"));
        }
        self.values.set(values + 1);
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::with_capacity(8);
        while let Some(key) = map.next_key_seed(Key)? {
            entries.push((key, map.next_value_seed(self)?));
        }
        let repeated = repeated(&entries);
        if repeated > 0 {
            self.repeated
                .set(self.repeated.get().saturating_add(repeated));
        }
        Ok(Json::Object(entries))
    }
}

/// How many keys stand there once more than they should.
fn repeated(entries: &[(Cow<'_, str>, Json<'_>)]) -> u32 {
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_ref()).collect();
    keys.sort_unstable();
    let pairs = keys.windows(2).filter(|pair| match pair {
        [one, next] => one == next,
        _ => false,
    });
    u32::try_from(pairs.count()).unwrap_or(u32::MAX)
}

/// A key, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_sees_what_stands_twice() {
        let text = r#"{"b":1,"a":[true,null,-2,1.5,"x\ny"],"b":{"c":"é"}}"#;
        let (json, repeated) = Json::read(text).unwrap();
        assert_eq!(repeated, 1);
        assert_eq!(json.get("b").unwrap().text("c"), Some("é"));
        assert_eq!(json.to_text(), text);
    }

    #[test]
    fn says_what_is_wrong() {
        let fault = |text: &str| Json::read(text).map(drop).unwrap_err();
        assert_eq!(fault(r#"{"a": "#), Fault::Torn);
        assert_eq!(fault(r#"{"a" 1}"#), Fault::NotJson);
        assert_eq!(fault("{} {}"), Fault::NotJson);
        assert_eq!(fault(&"[".repeat(100_000)), Fault::TooDeep);
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES as usize));
        assert_eq!(fault(&many), Fault::TooLarge);
    }
}
