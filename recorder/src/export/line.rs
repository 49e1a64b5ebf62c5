//! A record as one line of JSON (`record.schema.json`): its fields by their names, its leaf, its text, and the hashes of its files.

use tacho_schemas::canon;
use tacho_schemas::content::{Alternatives, Descriptor, Field, MAX_ROW, Provenance, Slot};
use tacho_schemas::record::Record;
use tacho_schemas::tree;

use serde::Serialize;

use super::withhold::Withhold;
use super::{Losses, trust};
use crate::error::{Error, ErrorKind, Result};
use crate::read::Shown;

/// Records written as lines, and what did not go into them.
#[derive(Debug, Default)]
pub struct Lines {
    withhold: Withhold,
    /// Lines written.
    pub written: u64,
    /// What is not in them.
    pub losses: Losses,
}

impl Lines {
    /// Begins to write lines without what is withheld.
    pub fn new(withhold: Withhold) -> Self {
        Self {
            withhold,
            ..Self::default()
        }
    }

    /// Appends a record and a line feed; refuses one that is not what was recorded.
    pub fn take(&mut self, mut shown: Shown, out: &mut Vec<u8>) -> Result<()> {
        trust(&shown)?;
        let withheld = self.withhold.take_out(&mut shown, &mut self.losses);
        let mut lose = |what: &str, count: usize| {
            if count > 0 {
                let lost = u64::try_from(count).unwrap_or(u64::MAX);
                *self.losses.entry(what.to_owned()).or_default() += lost;
            }
        };
        lose("gone", shown.holes.len());
        lose("not_understood", usize::from(shown.meaning.is_err()));
        let files = shown.row.artefacts.as_ref();
        lose("bytes_of_artefact", files.map_or(0, |files| files.len()));
        write(&shown, &withheld, out)?;
        out.push(b'\n');
        self.written += 1;
        Ok(())
    }
}

/// What a line says beside the record itself.
#[derive(Serialize)]
struct Beside<'a> {
    leaf: tacho_schemas::Hash,
    text_of: Texts<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<File>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    withheld: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone: Vec<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    doubts: &'a [String],
}

/// A record that this version does not understand: its bytes, for one that does.
#[derive(Serialize)]
struct Unread<'a> {
    seq: tacho_schemas::Seq,
    not_understood: &'a str,
    bytes: String,
}

/// A file that a record names.
#[derive(Serialize)]
struct File {
    place: u64,
    role: tacho_schemas::record::Role,
    #[serde(flatten)]
    descriptor: Descriptor,
}

/// Appends a record as one JSON object. `withheld` is what was taken out of its row.
pub fn write(shown: &Shown, withheld: &[Slot], out: &mut Vec<u8>) -> Result<()> {
    let names = |slots: &[Slot]| slots.iter().map(name).collect::<Vec<_>>();
    let beside = Beside {
        leaf: tree::leaf_hash(&shown.bytes),
        text_of: Texts(shown),
        files: match &shown.meaning {
            Ok(record) => files(shown, record),
            Err(_) => Vec::new(),
        },
        withheld: names(withheld),
        gone: names(&shown.holes),
        doubts: &shown.doubts,
    };
    // Two objects become one: the second goes on where the first would end.
    match &shown.meaning {
        Ok(record) => put(record, out)?,
        Err(why) => put(
            &Unread {
                seq: shown.seq,
                not_understood: why,
                bytes: hex::encode(&shown.bytes),
            },
            out,
        )?,
    }
    out.pop();
    let seam = out.len();
    put(&beside, out)?;
    if let Some(brace) = out.get_mut(seam) {
        *brace = b',';
    }
    Ok(())
}

fn put(value: &impl Serialize, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, value).map_err(|e| {
        Error::new(
            ErrorKind::Unrecordable,
            "a record cannot be written as JSON",
        )
        .with_source(e)
    })
}

/// The name of a field, or `artefact:` and its place.
fn name(slot: &Slot) -> String {
    match slot {
        Slot::Field(number) => {
            Field::from_number(*number).map_or_else(|| number.to_string(), |f| f.name().to_owned())
        }
        Slot::Artefact(place) => format!("artefact:{place}"),
    }
}

fn files(shown: &Shown, record: &Record) -> Vec<File> {
    let held = shown.row.artefacts.iter().flatten();
    held.filter_map(|(place, salted)| {
        let artefact = record.artefacts().get(usize::try_from(*place).ok()?)?;
        Some(File {
            place: *place,
            role: artefact.role,
            descriptor: Descriptor::decode(&salted.bytes).ok()?,
        })
    })
    .collect()
}

/// The texts of a record by field; what is CBOR within is JSON here.
struct Texts<'a>(&'a Shown);

impl Serialize for Texts<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let held = self.0.row.content.iter().flatten();
        let mut map = s.serialize_map(None)?;
        for (number, salted) in held {
            let Some(field) = Field::from_number(*number) else {
                continue;
            };
            match field {
                Field::Alternatives => {
                    if let Ok(all) = canon::decode::<Alternatives>(&salted.bytes, MAX_ROW) {
                        map.serialize_entry(field.name(), &all)?;
                    }
                }
                Field::Provenance => {
                    if let Ok(from) = canon::decode::<Provenance>(&salted.bytes, MAX_ROW) {
                        map.serialize_entry(field.name(), &from)?;
                    }
                }
                _ => match std::str::from_utf8(&salted.bytes) {
                    Ok(text) => map.serialize_entry(field.name(), text)?,
                    Err(_) => {
                        map.serialize_entry(field.name(), &String::from_utf8_lossy(&salted.bytes))?
                    }
                },
            }
        }
        map.end()
    }
}
