//! Mutations and verdicts as in-toto statements in DSSE envelopes (`schemas/statement.md`), one JSON object a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tacho_schemas::body::Body;
use tacho_schemas::content::{Descriptor, Field};
use tacho_schemas::record::{Record, Role};
use tacho_schemas::{Hash, Origin};

use super::withhold::Withhold;
use super::{Losses, line, trust};
use crate::error::{Error, ErrorKind, Result};
use crate::keys;
use crate::read::{Shown, View};

/// The type of what is signed.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The predicate of a mutation.
pub const MUTATION: &str = "urn:tacho:v1:mutation";

/// The predicate of an action that was decided.
pub const VERDICT: &str = "urn:tacho:v1:verdict";

/// Statements under way.
#[derive(Debug)]
pub struct Statements {
    key: SigningKey,
    keyid: String,
    withhold: Withhold,
    log: Value,
    origin: Origin,
    /// Envelopes written.
    pub written: u64,
    /// Records that became none, by kind, and what is not in the others.
    pub losses: Losses,
}

impl Statements {
    /// Begins to state things about a log, signed by the exporter's key.
    pub fn new(key: SigningKey, withhold: Withhold, view: &View<'_>) -> Result<Self> {
        let history = view.history(None, 1)?;
        Ok(Self {
            keyid: keys::fingerprint(&key.verifying_key()).to_string(),
            key,
            withhold,
            log: json!({
                "origin": history.origin, "log_id": history.log_id, "size": view.size(), "root": view.root(),
            }),
            origin: history.origin,
            written: 0,
            losses: Losses::new(),
        })
    }

    /// Appends the statement of a record that is a mutation or was decided, and a line feed; counts the others.
    pub fn take(&mut self, mut shown: Shown, out: &mut Vec<u8>) -> Result<()> {
        trust(&shown)?;
        let predicate = match shown.meaning.as_ref().map(|record| &record.body) {
            Ok(Body::Mutation(_)) => MUTATION,
            Ok(Body::Action(body)) if body.verdict.is_some() => VERDICT,
            Ok(Body::Action(_)) => return self.lose("action_without_verdict"),
            Ok(body) => {
                let kind = body.kind().map_or("unread", |kind| kind.name());
                return self.lose(kind);
            }
            Err(_) => return self.lose("not_understood"),
        };
        let withheld = self.withhold.take_out(&mut shown, &mut self.losses);
        let subject = match &shown.meaning {
            Ok(record) => self.subjects(&shown, record),
            Err(_) => Vec::new(),
        };
        let mut told = Vec::new();
        line::write(&shown, &withheld, &mut told)?;
        let failed =
            |e| Error::new(ErrorKind::Unrecordable, "a statement cannot be written").with_source(e);
        let told: Box<RawValue> = serde_json::from_slice(&told).map_err(failed)?;
        #[derive(serde::Serialize)]
        struct Predicate<'a> {
            log: &'a Value,
            record: Box<RawValue>,
        }
        #[derive(serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Statement<'a> {
            #[serde(rename = "_type")]
            of: &'static str,
            subject: Vec<Value>,
            predicate_type: &'static str,
            predicate: Predicate<'a>,
        }
        let payload = serde_json::to_vec(&Statement {
            of: "https://in-toto.io/Statement/v1",
            subject,
            predicate_type: predicate,
            predicate: Predicate {
                log: &self.log,
                record: told,
            },
        })
        .map_err(failed)?;
        let signature = self.key.sign(&pae(PAYLOAD_TYPE, &payload));
        let envelope = json!({
            "payloadType": PAYLOAD_TYPE,
            "payload": BASE64.encode(&payload),
            "signatures": [{ "keyid": self.keyid, "sig": BASE64.encode(signature.to_bytes()) }],
        });
        serde_json::to_writer(&mut *out, &envelope).map_err(failed)?;
        out.push(b'\n');
        self.written += 1;
        Ok(())
    }

    fn lose(&mut self, what: &str) -> Result<()> {
        *self
            .losses
            .entry(format!("no_statement:{what}"))
            .or_default() += 1;
        Ok(())
    }

    /// The record by SHA-256 of its bytes, then its files by theirs; a deleted one as it was.
    fn subjects(&self, shown: &Shown, record: &Record) -> Vec<Value> {
        let of =
            |name: String, sha256: Hash| json!({ "name": name, "digest": { "sha256": sha256 } });
        let mut all = vec![of(
            format!("{}#{}", self.origin, shown.seq),
            Hash::sha256(&shown.bytes),
        )];
        let path = shown.text(Field::Path);
        for (place, salted) in shown.row.artefacts.iter().flatten() {
            let role = usize::try_from(*place)
                .ok()
                .and_then(|place| record.artefacts().get(place))
                .map(|artefact| artefact.role);
            let (Some(role), Ok(descriptor)) = (role, Descriptor::decode(&salted.bytes)) else {
                continue;
            };
            if !matches!(role, Role::Before | Role::After | Role::Part) {
                continue;
            }
            let name = descriptor.path.as_deref().or(path).unwrap_or("unnamed");
            all.push(of(format!("{role}:{name}"), descriptor.sha256));
        }
        all
    }
}

/// What DSSE signs: type and payload, each after its length.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::pae;

    #[test]
    fn what_is_signed_is_that_of_the_specification() {
        // The example of the DSSE protocol document.
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
