//! Records as events of the Open Cybersecurity Schema Framework (OCSF) 1.8.0, one JSON object a line.
//!
//! ```text
//! action, mutation, approval ─▶ API Activity (6003)         alarm ─▶ Detection Finding (2004)
//! key, policy, kill, release ─▶ Entity Management (3004)    others ─▶ counted: OCSF has no class that says what they say
//! ```
//!
//! `time` has milliseconds there; the nanoseconds stand in `metadata.original_time`. The SHA-256 of the record's bytes is
//! `raw_data_hash`, so that an event can be found in a bundle.
//!
//! On request the profile `record_integrity` of OCSF 1.9.0 is added: events in the standard's own words of a chain.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tacho_schemas::body::Body;
use tacho_schemas::body::change::Change;
use tacho_schemas::body::human::{Answer, Scope};
use tacho_schemas::body::log::{KeyOp, Severity};
use tacho_schemas::body::work::{Class, Decision};
use tacho_schemas::content::{Descriptor, Field};
use tacho_schemas::record::{ActorType, Record, Role};
use tacho_schemas::{Hash, Id, Origin, Seq, tree};

use super::withhold::Withhold;
use super::{Losses, trust};
use crate::error::{Error, ErrorKind, Result};
use crate::read::{Shown, View};

/// The version that is written.
pub const VERSION: &str = "1.8.0";

/// The version that brought the profile `record_integrity`.
const WITH_INTEGRITY: &str = "1.9.0";

/// The largest integer that JSON's readers agree on (RFC 8785 takes numbers as doubles).
const EXACT: u64 = 1 << 53;

const API_ACTIVITY: u64 = 6003;
const ENTITY_MANAGEMENT: u64 = 3004;
const DETECTION_FINDING: u64 = 2004;

/// Events under way.
#[derive(Debug)]
pub struct Events {
    withhold: Withhold,
    origin: Origin,
    software: String,
    chain: Option<Chain>,
    /// Events written.
    pub written: u64,
    /// Records that became none, by kind, and what is not in the others.
    pub losses: Losses,
}

/// What a record is in OCSF.
struct Event {
    class: u64,
    activity: u64,
    severity: u64,
    fields: Map<String, Value>,
}

impl Events {
    /// Begins to write the events of a log.
    pub fn new(
        withhold: Withhold,
        view: &View<'_>,
        software: &str,
        integrity: bool,
    ) -> Result<Self> {
        Ok(Self {
            chain: integrity.then(Chain::default),
            withhold,
            origin: view.history(None, 1)?.origin,
            software: software.to_owned(),
            written: 0,
            losses: Losses::new(),
        })
    }

    /// Appends a record as an event, and a line feed; counts what OCSF has no class for.
    pub fn take(&mut self, mut shown: Shown, out: &mut Vec<u8>) -> Result<()> {
        trust(&shown)?;
        self.withhold.take_out(&mut shown, &mut self.losses);
        let Ok(record) = &shown.meaning else {
            return self.lose("no_class:not_understood".to_owned());
        };
        let Some(event) = event_of(record, &shown) else {
            return self.lose(format!("no_class:{}", record.kind));
        };
        let texts = shown.row.content.iter().flat_map(|held| held.keys());
        for field in texts.filter_map(|number| Field::from_number(*number)) {
            if !matches!(field, Field::Path | Field::Summary) {
                self.lose(format!("text:{field}"))?;
            }
        }
        let mut value = self.finish(record, &shown, event);
        if let Some(chain) = &mut self.chain {
            chain.link(&mut value, self.origin.as_str());
        }
        serde_json::to_writer(&mut *out, &value).map_err(|e| {
            Error::new(ErrorKind::Unrecordable, "an event cannot be written").with_source(e)
        })?;
        out.push(b'\n');
        self.written += 1;
        Ok(())
    }

    fn lose(&mut self, what: String) -> Result<()> {
        *self.losses.entry(what).or_default() += 1;
        Ok(())
    }

    fn finish(&self, record: &Record, shown: &Shown, event: Event) -> Value {
        let mut fields = event.fields;
        let version = match &self.chain {
            Some(_) => WITH_INTEGRITY,
            None => VERSION,
        };
        let mut metadata = json!({
            "version": version,
            "product": { "name": "Tachograph", "vendor_name": "Tachograph", "version": self.software },
            "uid": format!("{}#{}", self.origin, record.seq),
            "sequence": record.seq,
            "log_name": self.origin,
            "event_code": record.kind,
            "original_time": record.time,
        });
        if let (Some(session), Some(metadata)) = (record.session, metadata.as_object_mut()) {
            metadata.insert(
                "correlation_uid".to_owned(),
                format!("session#{session}").into(),
            );
        }
        let profiles = [
            ("ai_operation", fields.contains_key("ai_model")),
            ("record_integrity", self.chain.is_some()),
        ];
        let profiles: Vec<_> = profiles.iter().filter(|(_, has)| *has).collect();
        if let (false, Some(metadata)) = (profiles.is_empty(), metadata.as_object_mut()) {
            let names = profiles.iter().map(|(name, _)| Value::from(*name));
            metadata.insert("profiles".to_owned(), names.collect());
        }
        let common = json!({
            "class_uid": event.class,
            "category_uid": event.class / 1000,
            "activity_id": event.activity,
            "type_uid": event.class * 100 + event.activity,
            "severity_id": event.severity,
            "time": record.time.0.div_euclid(1_000_000),
            "metadata": metadata,
            "raw_data_hash": sha256(&Hash::sha256(&shown.bytes)),
            "raw_data_size": shown.bytes.len(),
        });
        if let Value::Object(common) = common {
            fields.extend(common);
        }
        // What OCSF has no place for, by our names.
        let unmapped = json!({
            "via": record.via, "causes": record.causes(), "generation": record.generation,
            "leaf": tree::leaf_hash(&shown.bytes), "body": record.body,
        });
        fields.insert("unmapped".to_owned(), unmapped);
        fields.into()
    }
}

/// The chain of the events that are written: each has its fingerprint, and that of the one before it, which the fingerprint covers.
///
/// The fingerprint is SHA-256 over the event by RFC 8785, without the fingerprint itself. The chain is the file's: it shows that events
/// were changed or taken out after the export. Whose they are, and that they are those of the log, the bundle shows; so none is signed.
#[derive(Debug, Default)]
struct Chain {
    before: Option<Value>,
}

impl Chain {
    fn link(&mut self, event: &mut Value, origin: &str) {
        exact(event);
        let uid = event.pointer("/metadata/uid").cloned().unwrap_or_default();
        let mut attestation = object(json!({ "uid": uid, "chain_uid": origin }));
        if let Some(before) = self.before.take() {
            attestation.insert("prev_event".to_owned(), before);
        }
        let mut put = |attestation: &Map<String, Value>| {
            if let Some(event) = event.as_object_mut() {
                event.insert("attestation_list".to_owned(), json!([attestation]));
            }
            let mut bytes = Vec::new();
            canonical(event, &mut bytes);
            bytes
        };
        let hash = Hash(Sha256::digest(put(&attestation)).into());
        let fingerprint = json!({
            "algorithm": "SHA-256", "algorithm_id": 3, "encoding_id": 1, "serialization_id": 2, "value": hash,
        });
        attestation.insert("fingerprint".to_owned(), fingerprint.clone());
        put(&attestation);
        self.before = Some(json!({
            "uid": uid, "type_uid": event.get("type_uid"), "fingerprint": fingerprint,
        }));
    }
}

/// Writes numbers that not every reader takes as they are as text.
fn exact(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let size = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
            if size.is_none_or(|size| size > EXACT) {
                *value = number.to_string().into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(exact),
        Value::Object(fields) => fields.values_mut().for_each(exact),
        _ => {}
    }
}

/// Appends a value by RFC 8785. Names are ASCII here, so their order by bytes is that by UTF-16; numbers are integers below 2^53.
fn canonical(value: &Value, out: &mut Vec<u8>) {
    let list = |out: &mut Vec<u8>, place: usize| {
        if place > 0 {
            out.push(b',');
        }
    };
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            for (place, (name, value)) in fields.into_iter().enumerate() {
                list(out, place);
                canonical(&Value::from(name.as_str()), out);
                out.push(b':');
                canonical(value, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (place, value) in items.iter().enumerate() {
                list(out, place);
                canonical(value, out);
            }
            out.push(b']');
        }
        // What is no container is spelled there as it is by RFC 8785.
        plain => out.extend_from_slice(plain.to_string().as_bytes()),
    }
}

fn sha256(hash: &Hash) -> Value {
    json!({ "algorithm": "SHA-256", "algorithm_id": 3, "value": hash })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// An API activity by the record's actor.
fn api(record: &Record, activity: u64, operation: &str) -> Event {
    let mut fields = object(json!({
        "actor": actor(record),
        "api": { "operation": operation, "request": { "uid": record.seq.to_string() } },
        "src_endpoint": { "name": record.actor.id, "uid": record.actor.id },
    }));
    if let Some(model) = &record.actor.model {
        // The name is the caller's; whose model it is the log does not say.
        let model = json!({ "name": model, "ai_provider": "unknown" });
        fields.insert("ai_model".to_owned(), model);
    }
    Event {
        class: API_ACTIVITY,
        activity,
        severity: 1,
        fields,
    }
}

fn actor(record: &Record) -> Value {
    let kind = match record.actor.actor_type {
        ActorType::Human => (1, "User"),
        ActorType::System => (3, "System"),
        ActorType::Agent => (99, "agent"),
    };
    json!({ "user": { "uid": record.actor.id, "type_id": kind.0, "type": kind.1 } })
}

fn event_of(record: &Record, shown: &Shown) -> Option<Event> {
    let mut event = match &record.body {
        Body::Action(body) => {
            let activity = match body.class {
                Some(Class::Read) => 2,
                Some(Class::Write) => 3,
                _ => 99,
            };
            let mut event = api(record, activity, body.tool.as_str());
            if activity == 99 {
                let name = body.class.map_or("call", Class::name);
                event.fields.insert("activity_name".to_owned(), name.into());
            }
            if let Some(verdict) = &body.verdict {
                let (status, name) = match verdict.decision {
                    Decision::Allow => (1, "Success"),
                    Decision::Deny => (2, "Failure"),
                    Decision::Hold => (99, "hold"),
                };
                let rules = verdict.rules.iter().flatten();
                let rules: Vec<_> = rules
                    .map(|rule| json!({ "decision": verdict.decision, "policy": { "uid": rule } }))
                    .collect();
                status_of(
                    &mut event,
                    status,
                    name,
                    verdict.deny_kind.map(|kind| kind.name()),
                );
                if !rules.is_empty()
                    && let Some(actor) =
                        event.fields.get_mut("actor").and_then(Value::as_object_mut)
                {
                    actor.insert("authorizations".to_owned(), rules.into());
                }
                if verdict.decision == Decision::Deny {
                    event.severity = 3;
                }
            }
            resources(
                &mut event,
                shown,
                record,
                body.parts.iter().flatten().map(|p| p.name()),
            );
            event
        }
        Body::Mutation(body) => {
            let activity = match body.change {
                Change::Create => 1,
                Change::Delete => 4,
                Change::Modify | Change::Rename | Change::Mode => 3,
            };
            let mut event = api(record, activity, "mutation");
            event.severity = 2;
            status_of(&mut event, 1, "Success", Some(body.change.name()));
            resources(
                &mut event,
                shown,
                record,
                body.parts.iter().flatten().map(|p| p.name()),
            );
            event
        }
        Body::Approval(body) => {
            let mut event = api(record, 99, "approval");
            event
                .fields
                .insert("activity_name".to_owned(), body.answer.name().into());
            let (status, name) = match body.answer {
                Answer::Approve => (1, "Success"),
                Answer::Reject => (2, "Failure"),
            };
            status_of(&mut event, status, name, None);
            event
        }
        Body::Key(body) => {
            let activity = match body.op {
                KeyOp::Add => 6,
                KeyOp::Retire => 7,
                _ => 3,
            };
            let name = body.holder.as_ref().map_or(body.role.name(), Id::as_str);
            entity(
                record,
                activity,
                json!({ "name": name, "type": format!("{} key", body.role) }),
            )
        }
        Body::Policy(_) => {
            let uid = format!("policy#{}", record.seq);
            entity(
                record,
                3,
                json!({ "name": "policy", "type": "policy", "uid": uid }),
            )
        }
        Body::Kill(body) => {
            let mut event = entity(
                record,
                12,
                switched(body.scope, body.target.as_ref(), body.about),
            );
            event.severity = 4;
            event
        }
        Body::Release(body) => entity(
            record,
            13,
            json!({ "name": "switch", "type": "off switch", "uid": format!("kill#{}", body.kill) }),
        ),
        Body::Alarm(body) => Event {
            class: DETECTION_FINDING,
            activity: 1,
            severity: match body.severity {
                Severity::Notice => 2,
                Severity::Warning => 3,
                Severity::Critical => 5,
            },
            fields: object(json!({
                "finding_info": { "uid": record.seq.to_string(), "title": body.rule },
                "status_id": 1, "status": "New",
            })),
        },
        _ => return None,
    };
    if let Some(summary) = shown.text(Field::Summary) {
        event.fields.insert("message".to_owned(), summary.into());
    }
    Some(event)
}

fn status_of(event: &mut Event, id: u64, name: &str, detail: Option<&str>) {
    event.fields.insert("status_id".to_owned(), id.into());
    event.fields.insert("status".to_owned(), name.into());
    if let Some(detail) = detail {
        event
            .fields
            .insert("status_detail".to_owned(), detail.into());
    }
}

fn entity(record: &Record, activity: u64, entity: Value) -> Event {
    Event {
        class: ENTITY_MANAGEMENT,
        activity,
        severity: 1,
        fields: object(json!({ "actor": actor(record), "entity": entity })),
    }
}

/// What the switch reaches.
fn switched(scope: Scope, target: Option<&Id>, about: Option<Seq>) -> Value {
    let uid = target.map_or_else(
        || about.map_or_else(|| scope.name().to_owned(), |seq| format!("{scope}#{seq}")),
        ToString::to_string,
    );
    json!({ "name": uid, "type": format!("scope {scope}"), "uid": uid })
}

/// The path and the parts that a record is about, with the hashes of its files.
fn resources<'a>(
    event: &mut Event,
    shown: &Shown,
    record: &Record,
    parts: impl Iterator<Item = &'a str>,
) {
    let parts: Vec<_> = parts.collect();
    let Some(name) = shown.text(Field::Path).or(parts.first().copied()) else {
        return;
    };
    let mut data = Map::new();
    for (place, salted) in shown.row.artefacts.iter().flatten() {
        let artefact = usize::try_from(*place)
            .ok()
            .and_then(|p| record.artefacts().get(p));
        if let (Some(artefact), Ok(file)) = (artefact, Descriptor::decode(&salted.bytes))
            && matches!(artefact.role, Role::Before | Role::After | Role::Diff)
        {
            data.insert(artefact.role.name().to_owned(), sha256(&file.sha256));
        }
    }
    let mut resource = object(json!({ "name": name, "labels": parts }));
    if !data.is_empty() {
        resource.insert("data".to_owned(), data.into());
    }
    event
        .fields
        .insert("resources".to_owned(), json!([resource]));
}
