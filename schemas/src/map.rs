//! One table per structure: number, name, type.
//!
//! The two macros here turn such a table into a type with one serde implementation that has two spellings: integers in
//! CBOR (not human readable) and names in JSON (human readable). What a field is called and which number it bears
//! therefore stands in one place, and `record.cddl` is checked against it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Visitor};

/// A structure whose fields have numbers and names in the one registry.
pub trait Keys {
    /// Each field's number and name, ascending by number.
    const KEYS: &'static [(i64, &'static str)];
    /// The structure's own name, for the schema tests.
    const NAME: &'static str;
}

/// Reads a map key, as a number or as a name, into the number.
pub(crate) struct Key(pub(crate) &'static [(i64, &'static str)]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = i64;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<i64, D::Error> {
        d.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's number or name")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<i64, E> {
        if number < 0 || self.0.iter().any(|(n, _)| *n == number) {
            Ok(number)
        } else {
            Err(E::custom(format_args!("unknown key {number}")))
        }
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<i64, E> {
        let number = i64::try_from(number).map_err(|_| E::custom("unknown key"))?;
        self.visit_i64(number)
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<i64, E> {
        let known = self.0.iter().find(|(_, n)| *n == name);
        known.map(|(number, _)| *number).ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|(_, n)| format!("`{n}`")).collect();
            E::custom(format_args!(
                "unknown field `{}`; known here: {}",
                name.escape_debug(),
                names.join(", ")
            ))
        })
    }
}

/// Reads an enumeration's value, a number in CBOR and a name in JSON, into the number.
pub(crate) struct Choice {
    pub(crate) what: &'static str,
    pub(crate) values: &'static [(u64, &'static str)],
}

impl<'de> DeserializeSeed<'de> for Choice {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<u64, D::Error> {
        // Each format has one spelling: a name in CBOR would be a second one for the same meaning.
        if d.is_human_readable() {
            d.deserialize_str(self)
        } else {
            d.deserialize_u64(self)
        }
    }
}

impl Visitor<'_> for Choice {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a word for {}", Words(self.what))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<u64, E> {
        let known = self.values.iter().find(|(_, n)| *n == name);
        known.map(|(number, _)| *number).ok_or_else(|| {
            let names: Vec<_> = self.values.iter().map(|(_, n)| format!("`{n}`")).collect();
            E::custom(format_args!(
                "unknown {} `{}`; known: {}",
                Words(self.what),
                name.escape_debug(),
                names.join(", ")
            ))
        })
    }
}

/// A type's name as words: `ActorType` is `actor type`.
pub(crate) struct Words(pub(crate) &'static str);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, c) in self.0.char_indices() {
            if place > 0 && c.is_ascii_uppercase() {
                f.write_str(" ")?;
            }
            write!(f, "{}", c.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

/// Says that a structure has none of its fields.
pub(crate) fn empty<E: serde::de::Error>(name: &'static str) -> E {
    E::custom(format_args!("an empty {}", Words(name)))
}

/// Says that a required field is missing.
pub(crate) fn missing<E: serde::de::Error>(name: &str) -> E {
    E::custom(format_args!("missing field `{name}`"))
}

/// Says that a field stands twice (JSON only: the walker has excluded it in CBOR).
pub(crate) fn twice<E: serde::de::Error>(name: &str) -> E {
    E::custom(format_args!("field `{name}` stands twice"))
}

/// Makes a structure from a table of `number "name" => field: req|opt Type`.
macro_rules! cbor_map {
    ($(#[$meta:meta])* pub struct $name:ident {
        $( $(#[$fmeta:meta])* $key:literal $label:literal => $field:ident : $mode:ident $ty:ty ),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub struct $name { $( $(#[$fmeta])* pub $field: $crate::map::cbor_map!(@type $mode $ty), )+ }

        impl $crate::map::Keys for $name {
            const KEYS: &'static [(i64, &'static str)] = &[$(($key, $label)),+];
            const NAME: &'static str = stringify!($name);
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let names = s.is_human_readable();
                let count = 0 $( + $crate::map::cbor_map!(@count $mode self.$field) )+;
                let mut map = s.serialize_map(Some(count))?;
                $( $crate::map::cbor_map!(@put $mode map names $key $label self.$field); )+
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Reader;
                impl<'de> serde::de::Visitor<'de> for Reader {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a map")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        $( let mut $field: Option<$ty> = None; )+
                        let mut known = false;
                        let keys = <$name as $crate::map::Keys>::KEYS;
                        while let Some(key) = map.next_key_seed($crate::map::Key(keys))? {
                            known |= key >= 0;
                            match key {
                                $( $key => if $field.replace(map.next_value()?).is_some() {
                                    return Err($crate::map::twice($label));
                                }, )+
                                // Negative keys are extensions that every reader may ignore.
                                _ => { map.next_value::<serde::de::IgnoredAny>()?; }
                            }
                        }
                        let read = $name { $( $field: $crate::map::cbor_map!(@take $mode $field $label), )+ };
                        // Extensions alone are nothing, and nothing has one spelling: absent.
                        if known { Ok(read) } else { Err($crate::map::empty(stringify!($name))) }
                    }
                }
                d.deserialize_map(Reader)
            }
        }
    };
    (@type req $ty:ty) => { $ty };
    (@type opt $ty:ty) => { Option<$ty> };
    (@count req $value:expr) => { 1 };
    (@count opt $value:expr) => { usize::from($value.is_some()) };
    (@put req $map:ident $names:ident $key:literal $label:literal $value:expr) => {
        $crate::map::cbor_map!(@entry $map $names $key $label &$value)
    };
    (@put opt $map:ident $names:ident $key:literal $label:literal $value:expr) => {
        if let Some(value) = &$value { $crate::map::cbor_map!(@entry $map $names $key $label value) }
    };
    (@entry $map:ident $names:ident $key:literal $label:literal $value:expr) => {
        if $names { $map.serialize_entry($label, $value)? } else { $map.serialize_entry(&$key, $value)? }
    };
    (@take req $field:ident $label:literal) => { $field.ok_or_else(|| $crate::map::missing($label))? };
    (@take opt $field:ident $label:literal) => { $field };
}
pub(crate) use cbor_map;

/// Makes an enumeration from a table of `number "name" => Variant`.
macro_rules! cbor_enum {
    ($(#[$meta:meta])* pub enum $name:ident {
        $( $(#[$vmeta:meta])* $number:literal $label:literal => $variant:ident ),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $name { $( $(#[$vmeta])* $variant = $number ),+ }

        impl $name {
            /// Every value with its number and name, ascending by number.
            pub const ALL: &'static [(u64, &'static str, Self)] = &[$(($number, $label, Self::$variant)),+];

            /// The name used in JSON and on screens.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $label ),+ }
            }

            /// The number used in CBOR.
            pub fn number(self) -> u64 {
                match self { $( Self::$variant => $number ),+ }
            }

            /// Finds the value of a number.
            pub fn from_number(number: u64) -> Option<Self> {
                match number { $( $number => Some(Self::$variant), )+ _ => None }
            }

            /// Finds the value of a name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $( $label => Some(Self::$variant), )+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.serialize_str(self.name()) } else { s.serialize_u64(self.number()) }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                use serde::de::{DeserializeSeed as _, Error as _};
                let choice = $crate::map::Choice { what: stringify!($name), values: &[$(($number, $label)),+] };
                let number = choice.deserialize(d)?;
                Self::from_number(number)
                    .ok_or_else(|| D::Error::custom(format_args!("unknown {} {number}", $crate::map::Words(stringify!($name)))))
            }
        }
    };
}
pub(crate) use cbor_enum;
