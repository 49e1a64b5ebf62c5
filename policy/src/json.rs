//! JSON that keeps what others' readers lose.
//!
//! What an approval binds must be what a tool gets. A reader that rounds numbers or keeps the last of two equal keys would take two
//! inputs for one; so numbers keep their text and a key that stands twice is refused.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 64;

/// A JSON value with numbers as text and keys in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Fields by name.
    Map(BTreeMap<String, Json>),
}

/// Why a text is no JSON that can be decided on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not JSON that can be decided on: {0}")]
pub struct Error(String);

impl Json {
    /// Reads a whole text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|e| Error(e.to_string()))?;
        let mut reader = Reader { rest: raw.get() };
        let value = reader.value(0)?;
        reader.blank();
        if reader.rest.is_empty() {
            Ok(value)
        } else {
            Err(Error("something stands after its end".to_owned()))
        }
    }

    /// A field of a map.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields.get(name),
            _ => None,
        }
    }

    /// A text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The one spelling: no blanks, keys ascending by their bytes, numbers as they were written.
    pub fn to_text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| serde_json::to_string(text).map_err(|_| fmt::Error);
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => f.write_str(number),
            Self::Text(value) => f.write_str(&text(value)?),
            Self::List(values) => {
                f.write_str("[")?;
                for (place, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if place == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Map(fields) => {
                f.write_str("{")?;
                for (place, (name, value)) in fields.iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{value}", text(name)?)?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Walks a text that is known to be JSON.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn next_is(&mut self, c: char) -> bool {
        self.blank();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes the bytes before `end`.
    fn take(&mut self, end: usize) -> Result<&'a str, Error> {
        let (taken, rest) = self.rest.split_at_checked(end).ok_or_else(broken)?;
        self.rest = rest;
        Ok(taken)
    }

    fn value(&mut self, depth: usize) -> Result<Json, Error> {
        if depth > MAX_DEPTH {
            return Err(Error(format!("nested deeper than {MAX_DEPTH}")));
        }
        self.blank();
        match self.rest.bytes().next() {
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.text().map(Json::Text),
            _ => {
                let end = self
                    .rest
                    .find([',', ']', '}', ' ', '\t', '\n', '\r'])
                    .unwrap_or(self.rest.len());
                match self.take(end)? {
                    "null" => Ok(Json::Null),
                    "true" => Ok(Json::Bool(true)),
                    "false" => Ok(Json::Bool(false)),
                    "" => Err(broken()),
                    number => Ok(Json::Number(number.to_owned())),
                }
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Json, Error> {
        let mut fields = BTreeMap::new();
        self.next_is('{');
        while !self.next_is('}') {
            self.blank();
            let name = self.text()?;
            if !self.next_is(':') {
                return Err(broken());
            }
            let value = self.value(depth.saturating_add(1))?;
            if fields.contains_key(&name) {
                let name = name.escape_debug();
                return Err(Error(format!("the field `{name}` stands twice")));
            }
            fields.insert(name, value);
            self.next_is(',');
        }
        Ok(Json::Map(fields))
    }

    fn list(&mut self, depth: usize) -> Result<Json, Error> {
        let mut values = Vec::new();
        self.next_is('[');
        while !self.next_is(']') {
            values.push(self.value(depth.saturating_add(1))?);
            self.next_is(',');
        }
        Ok(Json::List(values))
    }

    fn text(&mut self) -> Result<String, Error> {
        let mut bytes = self.rest.bytes().enumerate().skip(1);
        let end = loop {
            match bytes.next() {
                Some((place, b'"')) => break place.saturating_add(1),
                Some((_, b'\\')) => drop(bytes.next()),
                Some(_) => {}
                None => return Err(broken()),
            }
        };
        // Also refuses what is no text at all, such as half a surrogate pair.
        serde_json::from_str(self.take(end)?).map_err(|e| Error(e.to_string()))
    }
}

fn broken() -> Error {
    Error("it is broken".to_owned())
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => s.serialize_unit(),
            Self::Bool(value) => s.serialize_bool(*value),
            Self::Number(number) => {
                use serde::ser::Error as _;
                let raw = RawValue::from_string(number.clone()).map_err(S::Error::custom)?;
                raw.serialize(s)
            }
            Self::Text(text) => s.serialize_str(text),
            Self::List(values) => {
                let mut list = s.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|v| list.serialize_element(v))?;
                list.end()
            }
            Self::Map(fields) => {
                let mut map = s.serialize_map(Some(fields.len()))?;
                fields
                    .iter()
                    .try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    /// Reads from `serde_json` only: the text itself is needed.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(d)?;
        Self::parse(raw.get()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_meaning_has_one_spelling() {
        for (text, spelling) in [
            (
                " { \"b\" : [ 1 , 2.50, -0 ] , \"a\" : null } ",
                r#"{"a":null,"b":[1,2.50,-0]}"#,
            ),
            (r#""\u0041\n""#, r#""A\n""#),
            ("18446744073709551617", "18446744073709551617"),
            ("1e400", "1e400"),
            ("[]", "[]"),
            ("{}", "{}"),
            ("[[],{},\"]\",\"\\\"}\"]", "[[],{},\"]\",\"\\\"}\"]"),
        ] {
            let read = Json::parse(text).unwrap();
            assert_eq!(read.to_text(), spelling);
            assert_eq!(Json::parse(spelling).unwrap(), read);
            assert_eq!(serde_json::to_string(&read).unwrap(), spelling);
            assert_eq!(serde_json::from_str::<Json>(text).unwrap(), read);
        }
    }

    #[test]
    fn what_two_readers_could_take_for_two_things_is_refused() {
        let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":[{"a":1,"a":1}]}"#,
            r#""\ud800""#,
            r#"{"\udfff":1}"#,
            "1 2",
            "{",
            "",
            "01",
            "nul",
            "\u{feff}1",
            &deep,
        ] {
            Json::parse(text).unwrap_err();
        }
        // No stack is used up by what is only deep.
        Json::parse(&"[".repeat(1_000_000)).unwrap_err();
        Json::parse(&format!("{}{}", "[".repeat(200_000), "]".repeat(200_000))).unwrap_err();
    }
}
