//! All of an event that could hold a secret.

use std::borrow::Cow;

use tacho_schemas::Hash;
use tacho_schemas::canon::{self, MAX_RECORD};
use tacho_schemas::content::{Alternative, Field, Form, MAX_ROW, Provenance};
use tacho_schemas::event::{Attachment, Event};

use super::{Found, Redactor};
use crate::draft::unrecordable;
use crate::error::{Error, Result};

impl Redactor {
    /// Takes secrets out of all text, files, paths and media types of an event.
    ///
    /// Ids and numbers stand in the record itself and can never be erased, and one that is changed names something else: an event
    /// with a secret there is refused.
    pub fn redact_event(&self, event: &mut Event) -> Result<Found> {
        self.refuse_secret_ids(event)?;
        let mut found = Found::default();
        for (field, bytes) in &mut event.content {
            match field.form() {
                Form::Text => {
                    let (redacted, more) = self.redact_bytes(bytes);
                    if let Cow::Owned(redacted) = redacted {
                        *bytes = redacted;
                    }
                    found.merge(&more);
                }
                Form::Cbor => self.redact_cbor(*field, bytes, &mut found)?,
            }
        }
        for file in &mut event.artefacts {
            self.redact_file(file, &mut found);
        }
        Ok(found)
    }

    fn refuse_secret_ids(&self, event: &Event) -> Result<()> {
        let actor = &event.actor;
        let ids = [
            ("actor.id", Some(&actor.id)),
            ("actor.model", actor.model.as_ref()),
            ("actor.on_behalf_of", actor.on_behalf_of.as_ref()),
            ("ref", event.reference.as_ref()),
        ];
        for (name, id) in ids {
            if let Some(kind) = id.and_then(|id| self.find(id.as_str())) {
                return Err(secret_id(name, kind.as_str()));
            }
        }
        let body = canon::encode(&event.body, MAX_RECORD)?;
        if !self.may_hold(&body) {
            return Ok(());
        }
        for text in canon::texts(&body)? {
            if let Some(kind) = self.find(text) {
                return Err(secret_id("body", kind.as_str()));
            }
        }
        Ok(())
    }

    /// Redacts the texts inside; encodes anew only if one has changed.
    fn redact_cbor(&self, field: Field, bytes: &mut Vec<u8>, found: &mut Found) -> Result<()> {
        let before = found.clone();
        match field {
            Field::Alternatives => {
                let mut list: Vec<Alternative> = canon::decode(bytes, MAX_ROW)?;
                for alternative in &mut list {
                    self.redact_text(&mut alternative.option, found);
                    if let Some(why_not) = &mut alternative.why_not {
                        self.redact_text(why_not, found);
                    }
                }
                if *found != before {
                    *bytes = canon::encode(&list, MAX_ROW)?;
                }
            }
            Field::Provenance => {
                let mut provenance: Provenance = canon::decode(bytes, MAX_ROW)?;
                self.redact_text(&mut provenance.path, found);
                if *found != before {
                    *bytes = canon::encode(&provenance, MAX_ROW)?;
                }
            }
            // A field of a form that is not known here would pass unseen.
            _ => {
                return Err(unrecordable(&format!(
                    "content `{field}` cannot be redacted"
                )));
            }
        }
        Ok(())
    }

    fn redact_file(&self, file: &mut Attachment, found: &mut Found) {
        for text in [&mut file.path, &mut file.media_type].into_iter().flatten() {
            self.redact_text(text, found);
        }
        let (redacted, more) = self.redact_bytes(&file.bytes);
        if let Cow::Owned(redacted) = redacted {
            let original = Hash(*blake3::hash(&file.bytes).as_bytes());
            file.unredacted_blake3.get_or_insert(original);
            file.bytes = redacted;
        }
        found.merge(&more);
    }

    fn redact_text(&self, text: &mut String, found: &mut Found) {
        let redacted = self.redact(text);
        found.merge(&redacted.found);
        if let Cow::Owned(redacted) = redacted.text {
            *text = redacted;
        }
    }
}

fn secret_id(name: &str, kind: &str) -> Error {
    unrecordable(&format!("`{name}` looks like a secret: {kind}"))
        .with_hint("ids stand in the record for ever; use an opaque id instead")
}
