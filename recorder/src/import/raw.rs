//! JSON as others write it: Python's bare `NaN`, keys that come twice, lone surrogates, numbers whose digits matter.
//!
//! Values stay text until somebody asks for them, so numbers are kept as they were written and deep nesting in a value that nobody
//! asks for costs nothing. Whoever reads an object takes its members out; what is left at the end was not understood.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tacho_schemas::body::change::Metric;
use tacho_schemas::scalar::Decimal;

use super::{Sink, pieces};
use crate::error::Result;

/// The most metrics of one evaluation.
const MAX_METRICS: usize = 256;

/// Python's words for what JSON has no number for, and as many bytes of JSON to put in their place, so that no offset moves.
const WORDS: [(&str, &str); 3] = [
    (
        "-Infinity",
        "\"\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\"",
    ),
    ("Infinity", "\"\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\""),
    ("NaN", "\"\u{7f}\""),
];

/// Puts strings in the place of bare `NaN` and `Infinity`; [`number`] reads them as the words they were.
pub(super) fn tolerant(text: String) -> String {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return text;
    }
    let mut bytes = text.into_bytes();
    let (mut at, mut quoted) = (0, false);
    while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
        at += match rest {
            [b'\\', ..] if quoted => 2,
            [b'"', ..] => {
                quoted = !quoted;
                1
            }
            _ if quoted => 1,
            _ => {
                let found = WORDS
                    .iter()
                    .find(|(word, _)| rest.starts_with(word.as_bytes()));
                if let Some((word, instead)) = found {
                    if let Some(place) = rest.get_mut(..word.len()) {
                        place.copy_from_slice(instead.as_bytes());
                    }
                    word.len()
                } else {
                    1
                }
            }
        };
    }
    // ASCII was put in the place of ASCII.
    String::from_utf8(bytes).unwrap_or_default()
}

/// A text without its byte order mark.
pub(super) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// A number as its source wrote it.
pub(super) fn number(raw: &RawValue) -> Option<&str> {
    let text = raw.get();
    if let Some((word, _)) = WORDS.iter().find(|(_, instead)| *instead == text) {
        return Some(word);
    }
    matches!(text.as_bytes().first(), Some(b'-' | b'0'..=b'9')).then_some(text)
}

/// A text; half a surrogate pair, which Python writes and UTF-8 does not have, becomes a replacement character.
pub(crate) fn text(raw: &RawValue) -> Option<String> {
    if !raw.get().starts_with('"') {
        return None;
    }
    if let Ok(text) = serde_json::from_str(raw.get()) {
        return Some(text);
    }
    struct Lossy(String);
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = Lossy;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Lossy, E> {
            Ok(Lossy(String::from_utf8_lossy(bytes).into_owned()))
        }
    }
    impl<'de> Deserialize<'de> for Lossy {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            d.deserialize_bytes(Bytes)
        }
    }
    serde_json::from_str::<Lossy>(raw.get())
        .ok()
        .map(|lossy| lossy.0)
}

/// The values of an array; none if it is none.
pub(super) fn array(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// An object whose members are read one by one.
#[derive(Default)]
pub(super) struct Object<'a> {
    members: BTreeMap<String, &'a RawValue>,
    repeated: u64,
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object::default();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    // The last one counts, as for the programs that write and read such files.
                    if object.members.insert(key, value).is_some() {
                        object.repeated += 1;
                    }
                }
                Ok(object)
            }
        }
        d.deserialize_map(Members)
    }
}

impl<'a> Object<'a> {
    /// Reads an object, or says in one word why there is none.
    pub(super) fn read(text: &'a str) -> Result<Self, &'static str> {
        serde_json::from_str(unmarked(text)).map_err(|error| match error.classify() {
            serde_json::error::Category::Eof => "torn",
            serde_json::error::Category::Data => "not_an_object",
            _ => "not_json",
        })
    }

    /// The members with their values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members
            .iter()
            .map(|(key, value)| (key.as_str(), *value))
    }

    /// Looks at a member without taking it; none if it is null.
    pub(super) fn peek(&self, key: &str) -> Option<&'a RawValue> {
        self.members
            .get(key)
            .copied()
            .filter(|raw| raw.get() != "null")
    }

    /// Looks at a text without taking it.
    pub(super) fn peek_text(&self, key: &str) -> Option<String> {
        self.peek(key).and_then(text)
    }

    /// Takes a member; none if it is null.
    pub(super) fn take(&mut self, key: &str) -> Option<&'a RawValue> {
        self.members.remove(key).filter(|raw| raw.get() != "null")
    }

    fn take_as<T>(
        &mut self,
        sink: &mut Sink<'_>,
        key: &str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.take(key)?);
        if value.is_none() {
            sink.lose(&format!("malformed:{key}"));
        }
        value
    }

    /// Takes a text; what is something else is counted, here and below.
    pub(super) fn text(&mut self, sink: &mut Sink<'_>, key: &str) -> Option<String> {
        self.take_as(sink, key, text)
    }

    /// Takes any value that JSON reads as this type.
    pub(super) fn value<T: serde::de::DeserializeOwned>(
        &mut self,
        sink: &mut Sink<'_>,
        key: &str,
    ) -> Option<T> {
        self.take_as(sink, key, |raw| serde_json::from_str(raw.get()).ok())
    }

    /// Takes an object.
    pub(super) fn object(&mut self, sink: &mut Sink<'_>, key: &str) -> Option<Self> {
        self.take_as(sink, key, |raw| Self::read(raw.get()).ok())
    }

    /// Takes a number, as it was written.
    pub(super) fn metric(
        &mut self,
        sink: &mut Sink<'_>,
        key: &str,
        name: &str,
    ) -> Result<Option<Metric>> {
        match self.take(key) {
            Some(raw) => metric(sink, name, raw),
            None => Ok(None),
        }
    }

    /// Takes all members as metrics.
    pub(super) fn metrics(self, sink: &mut Sink<'_>) -> Result<Vec<Metric>> {
        let mut metrics = Vec::new();
        for (name, raw) in self.iter() {
            let Some(metric) = metric(sink, name, raw)? else {
                continue;
            };
            if metrics.len() < MAX_METRICS {
                metrics.push(metric);
            } else {
                sink.lose("metrics_over_256");
            }
        }
        sink.lose_many("key_repeated", self.repeated);
        Ok(metrics)
    }

    /// Counts what nobody took and what says something: null, false and empty things do not.
    pub(super) fn rest(self, sink: &mut Sink<'_>, whose: &str) {
        for (key, raw) in self.iter() {
            if !matches!(raw.get(), "null" | "false" | "\"\"" | "[]" | "{}") {
                sink.lose(&format!("{whose}:{key}"));
            }
        }
        sink.lose_many("key_repeated", self.repeated);
    }

    /// Counts what nobody took, arrays and objects by how many things are in them.
    pub(super) fn rest_by_size(self, sink: &mut Sink<'_>, whose: &str) {
        for (key, raw) in self.iter() {
            let size = match raw.get().as_bytes().first() {
                Some(b'[') => array(raw).map(|values| values.len()),
                Some(b'{') => Object::read(raw.get()).ok().map(|o| o.members.len()),
                _ if raw.get() == "null" => Some(0),
                _ => None,
            };
            let size = size.map_or(1, |size| u64::try_from(size).unwrap_or(u64::MAX));
            sink.lose_many(&format!("{whose}:{key}"), size);
        }
        sink.lose_many("key_repeated", self.repeated);
    }
}

/// One measured number; none, and counted, if it is no number.
pub(super) fn metric(sink: &mut Sink<'_>, name: &str, raw: &RawValue) -> Result<Option<Metric>> {
    let Some(number) = number(raw) else {
        sink.lose(&format!("not_a_number:{name}"));
        return Ok(None);
    };
    let Ok(score) = Decimal::new(number) else {
        sink.lose("number_too_long");
        return Ok(None);
    };
    Ok(Some(Metric {
        metric: pieces::id(sink, name)?,
        score,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_become_readable_and_no_byte_moves() {
        let text = r#"{"a": NaN, "b": [-Infinity, Infinity], "NaN": "NaN \" NaN", "c": 1e-7}"#;
        let kind = tolerant(text.to_owned());
        assert_eq!(kind.len(), text.len());
        let object = Object::read(&kind).unwrap();
        assert_eq!(number(object.peek("a").unwrap()), Some("NaN"));
        let b = array(object.peek("b").unwrap()).unwrap();
        assert_eq!(number(b[0]), Some("-Infinity"));
        assert_eq!(number(b[1]), Some("Infinity"));
        assert_eq!(object.peek_text("NaN").unwrap(), "NaN \" NaN");
        assert_eq!(number(object.peek("NaN").unwrap()), None);
        assert_eq!(number(object.peek("c").unwrap()), Some("1e-7"));
    }

    #[test]
    fn halves_of_pairs_repeated_keys_and_bombs_are_survived() {
        let object = Object::read(r#"{"a": "x\ud83d", "b": 1, "b": 2}"#).unwrap();
        assert!(object.peek_text("a").unwrap().starts_with('x'));
        assert_eq!(number(object.peek("b").unwrap()), Some("2"));
        assert_eq!(object.repeated, 1);
        let bomb = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let object = Object::read(&bomb).unwrap();
        assert!(
            serde_json::from_str::<serde_json::Value>(object.peek("a").unwrap().get()).is_err()
        );
        assert_eq!(Object::read("{\"a\": ").err(), Some("torn"));
        assert_eq!(Object::read("[1]").err(), Some("not_an_object"));
        assert_eq!(Object::read("{a}").err(), Some("not_json"));
    }
}
