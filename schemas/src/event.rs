//! What a caller brings: a record without the parts that only the recorder may set.
//!
//! In JSON, one object a line, by `event.schema.json`:
//!
//! ```json
//! {"kind": "message", "actor": {"type": "agent", "id": "claude-code"}, "body": {"speaker": "assistant"}, "content": {"text": "done"}}
//! ```

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::body::Body;
use crate::canon;
use crate::content::{Alternatives, Field, MAX_ROW, Provenance, RATIONALE};
use crate::error::{Error, Result};
use crate::record::{Actor, Claimed, Kind, MAX_ARTEFACTS, MAX_CAUSES, Role};
use crate::scalar::{Id, Seq};

/// A record to be: everything but number, time, way in and proof of the caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Who acts.
    pub actor: Actor,
    /// What the kind asks for; names the kind.
    pub body: Body,
    /// The caller's idempotency key.
    pub reference: Option<Id>,
    /// The source's own times.
    pub claimed: Option<Claimed>,
    /// The session's opening record.
    pub session: Option<Seq>,
    /// The generation in force.
    pub generation: Option<Seq>,
    /// What led to this; any order.
    pub causes: Vec<Seq>,
    /// Free text.
    pub content: BTreeMap<Field, Vec<u8>>,
    /// Files.
    pub artefacts: Vec<Attachment>,
}

/// A file that comes with an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attachment {
    /// What it is to the record.
    pub role: Role,
    /// Where it came from.
    pub path: Option<String>,
    /// What it is (RFC 6838).
    pub media_type: Option<String>,
    /// BLAKE3 of the bytes before secrets were taken out, where any were.
    pub unredacted_blake3: Option<crate::Hash>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Event {
    /// Makes an event of an actor and a body; the rest is empty.
    pub fn new(actor: Actor, body: impl Into<Body>) -> Self {
        Self {
            actor,
            body: body.into(),
            reference: None,
            claimed: None,
            session: None,
            generation: None,
            causes: Vec::new(),
            content: BTreeMap::new(),
            artefacts: Vec::new(),
        }
    }

    /// Adds text under a field.
    #[must_use]
    pub fn with(mut self, field: Field, text: impl Into<Vec<u8>>) -> Self {
        self.content.insert(field, text.into());
        self
    }

    /// Reads one event of `event.schema.json`. A set of the body may come in any order, and a rationale that is left out is filled
    /// in: `given` if the content has words of one, else `absent`.
    pub fn from_json(text: &str) -> Result<Self> {
        // An array would be read as the fields in their order.
        if text.trim_start().starts_with('[') {
            return Err(Error::Meaning("an event is a JSON object".to_owned()));
        }
        let json: Json<'_> = match serde_json::from_str(text) {
            Ok(json) => json,
            Err(error) => {
                // Whose kind it is says more than which of its fields is wrong.
                if let Ok(JustKind { kind }) = serde_json::from_str(text) {
                    for_callers(kind)?;
                }
                return Err(meaning(&error));
            }
        };
        for_callers(json.kind)?;
        let mut body = serde_json::Deserializer::from_str(json.body.get());
        let mut body = Body::deserialize_as(json.kind, &mut body)
            .map_err(|e| Error::Meaning(format!("in `body`: {}", without_place(&e))))?;
        let content = json.content.0.into_iter().map(|(field, value)| {
            let bytes = read_content(field, value.get())?;
            Ok((field, bytes))
        });
        let content = content.collect::<Result<BTreeMap<_, _>>>()?;
        let allowed = json.kind.fields();
        if let Some(field) = content.keys().find(|f| !allowed.contains(f)) {
            let names: Vec<_> = allowed.iter().map(|f| format!("`{f}`")).collect();
            return Err(Error::Meaning(format!(
                "`{}` has no content `{field}`; it may have {}",
                json.kind,
                names.join(", ")
            )));
        }
        // An empty text is no text, so it is not kept and says nothing.
        let texts = || content.iter().filter(|(_, text)| !text.is_empty());
        let words = |(field, _): (&Field, &Vec<u8>)| RATIONALE.contains(field);
        body.complete(texts().any(words));
        let checked = body
            .check()
            .and_then(|()| body.check_content(texts().map(|(field, _)| field)));
        checked.map_err(|e| match e {
            Error::Meaning(why) => Error::Meaning(format!("in `body`: {why}")),
            other => other,
        })?;
        let artefacts = json.artefacts.into_iter().map(JsonArtefact::read);
        let artefacts = artefacts.collect::<Result<Vec<_>>>()?;
        if artefacts.len() > MAX_ARTEFACTS {
            return Err(Error::Meaning(format!(
                "more than {MAX_ARTEFACTS} artefacts"
            )));
        }
        if json.causes.len() > MAX_CAUSES {
            return Err(Error::Meaning(format!("more than {MAX_CAUSES} causes")));
        }
        Ok(Self {
            actor: json.actor,
            body,
            reference: json.reference,
            claimed: json.claimed,
            session: json.session,
            generation: json.generation,
            causes: json.causes,
            content,
            artefacts,
        })
    }
}

fn for_callers(kind: Kind) -> Result<()> {
    if kind.is_for_callers() {
        return Ok(());
    }
    let callers = Kind::ALL.iter().filter(|(_, _, k)| k.is_for_callers());
    let names: Vec<_> = callers.map(|(_, name, _)| format!("`{name}`")).collect();
    Err(Error::Meaning(format!(
        "`{kind}` is for the recorder alone to write; a caller may write {}",
        names.join(", ")
    )))
}

fn meaning(error: &serde_json::Error) -> Error {
    use serde_json::error::Category;
    Error::Meaning(match error.classify() {
        Category::Data => without_place(error),
        Category::Eof => "not JSON: it ends too early".to_owned(),
        // An event is one line.
        _ => format!("not JSON: {error}").replace(" at line 1 column ", " at column "),
    })
}

/// The message in plain words, without the line and column, which count within the event and would mislead in a stream of lines.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(message, _)| message);
    // The names of Rust's types mean nothing to whoever wrote the JSON.
    const NOT_NEGATIVE: &str = "a whole number, 0 or more";
    [
        ("u64", NOT_NEGATIVE),
        ("u32", NOT_NEGATIVE),
        ("u16", NOT_NEGATIVE),
        ("i64", "a whole number"),
    ]
    .iter()
    .fold(message.to_owned(), |message, (name, words)| {
        message.replace(&format!("expected {name}"), &format!("expected {words}"))
    })
}

/// An event of which only the kind is read.
#[derive(Deserialize)]
struct JustKind {
    kind: Kind,
}

/// Reads a field that stands: `null` is no second spelling of leaving it out.
fn given<'de, D, T>(d: D) -> std::result::Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    use serde::de::Error as _;
    Option::deserialize(d)?
        .map(Some)
        .ok_or_else(|| D::Error::custom("a field is null; leave out what is not there"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Json<'a> {
    kind: Kind,
    actor: Actor,
    #[serde(borrow)]
    body: &'a RawValue,
    #[serde(rename = "ref", default, deserialize_with = "given")]
    reference: Option<Id>,
    #[serde(default, deserialize_with = "given")]
    claimed: Option<Claimed>,
    #[serde(default, deserialize_with = "given")]
    session: Option<Seq>,
    #[serde(default, deserialize_with = "given")]
    generation: Option<Seq>,
    #[serde(default)]
    causes: Vec<Seq>,
    #[serde(default, borrow)]
    content: JsonContent<'a>,
    #[serde(default)]
    artefacts: Vec<JsonArtefact>,
}

/// Content by field, refusing a field that stands twice.
#[derive(Default)]
struct JsonContent<'a>(BTreeMap<Field, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for JsonContent<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = JsonContent<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of text by field")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut content = BTreeMap::new();
                while let Some((field, value)) = map.next_entry::<Field, &'de RawValue>()? {
                    if content.insert(field, value).is_some() {
                        return Err(crate::map::twice(field.name()));
                    }
                }
                Ok(JsonContent(content))
            }
        }
        d.deserialize_map(Reader)
    }
}

fn read_content(field: Field, json: &str) -> Result<Vec<u8>> {
    let place = |e: serde_json::Error| {
        Error::Meaning(format!("in `content.{field}`: {}", without_place(&e)))
    };
    match field {
        Field::Alternatives => {
            let list: Alternatives = serde_json::from_str(json).map_err(place)?;
            canon::encode(&list, MAX_ROW)
        }
        Field::Provenance => canon::encode(
            &serde_json::from_str::<Provenance>(json).map_err(place)?,
            MAX_ROW,
        ),
        _ => Ok(serde_json::from_str::<String>(json)
            .map_err(place)?
            .into_bytes()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct JsonArtefact {
    role: Role,
    #[serde(default, deserialize_with = "given")]
    path: Option<String>,
    #[serde(default, deserialize_with = "given")]
    media_type: Option<String>,
    #[serde(default, deserialize_with = "given")]
    text: Option<String>,
    #[serde(default, deserialize_with = "given")]
    base64: Option<String>,
}

impl JsonArtefact {
    fn read(self) -> Result<Attachment> {
        let bytes = match (self.text, self.base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => STANDARD.decode(base64).map_err(|_| {
                Error::Meaning("in `artefacts`: `base64` is not base64 with padding".to_owned())
            })?,
            _ => {
                return Err(Error::Meaning(
                    "in `artefacts`: give either `text` or `base64`".to_owned(),
                ));
            }
        };
        Ok(Attachment {
            role: self.role,
            path: self.path,
            media_type: self.media_type,
            unredacted_blake3: None,
            bytes,
        })
    }
}
