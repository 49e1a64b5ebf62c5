//! `record.schema.json` is `record.cddl` in the words of JSON Schema: made from it, never edited. `UPDATE_SCHEMA=1` writes it anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tacho_schemas::Kind;
use tacho_schemas::content::Field;

/// A rule of the CDDL: its comment, and the lines inside.
struct Rule {
    comment: String,
    lines: Vec<String>,
    choice: bool,
}

/// Reads the rules `name = { … }` and `name = &( … )`.
fn rules(text: &str) -> BTreeMap<String, Rule> {
    let mut rules = BTreeMap::new();
    let (mut comment, mut open): (Vec<&str>, Option<(String, Rule)>) = (Vec::new(), None);
    for line in text.lines() {
        if let Some((name, mut rule)) = open.take() {
            if line == "}" || line == ")" {
                rules.insert(name, rule);
            } else {
                rule.lines.push(line.trim().to_owned());
                open = Some((name, rule));
            }
            continue;
        }
        let begins = line
            .strip_suffix(" = {")
            .map(|name| (name, false))
            .or(line.strip_suffix(" = &(").map(|name| (name, true)));
        match (begins, line.strip_prefix("; ")) {
            (Some((name, choice)), _) => {
                let comment = std::mem::take(&mut comment).join(" ");
                let lines = Vec::new();
                open = Some((
                    name.to_owned(),
                    Rule {
                        comment,
                        lines,
                        choice,
                    },
                ));
            }
            // Examples in diagnostic notation begin with a brace.
            (None, Some(text)) if !text.starts_with('{') && !text.starts_with(' ') => {
                comment.push(text)
            }
            _ => comment.clear(),
        }
    }
    rules
}

/// Puts the lines of a comment that goes on back on the line of its field.
fn joined(lines: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in lines {
        match (line.strip_prefix(';'), all.last_mut()) {
            (Some(more), Some(last)) => *last = format!("{last} {}", more.trim()),
            _ => all.push(line.clone()),
        }
    }
    all
}

/// The JSON Schema of a type expression.
fn type_of(text: &str) -> Value {
    let hex =
        |bytes: u64| json!({"type": "string", "pattern": format!("^[0-9a-f]{{{}}}$", 2 * bytes)});
    if let Some(inner) = text.strip_prefix("[1*") {
        let (most, item) = inner.strip_suffix(']').unwrap().split_once(' ').unwrap();
        let most: u64 = most.parse().unwrap();
        return json!({"type": "array", "minItems": 1, "maxItems": most, "items": type_of(item)});
    }
    if let Some(size) = text.strip_prefix("bstr .size ") {
        return match size.strip_prefix("(1..") {
            Some(most) => {
                let most: u64 = most.strip_suffix(')').unwrap().parse().unwrap();
                json!({"type": "string", "pattern": "^([0-9a-f]{2})+$", "maxLength": 2 * most})
            }
            None => hex(size.parse().unwrap()),
        };
    }
    let bound = |text: &str| format!("#/$defs/{text}");
    match text {
        "uint" => json!({"type": "integer", "minimum": 0}),
        "uint .size 4" => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        "int64" => json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
        "positive" => json!({"type": "integer", "minimum": 1}),
        "per-mille" => json!({"type": "integer", "minimum": 0, "maximum": 1000}),
        "bool" => json!({"type": "boolean"}),
        "true" => json!({"const": true}),
        "tstr" => json!({"type": "string"}),
        "public-key" => hex(32),
        "signature" => hex(64),
        number if number.parse::<u64>().is_ok() => json!({"const": number.parse::<u64>().unwrap()}),
        name => json!({"$ref": bound(name)}),
    }
}

/// The JSON Schema of a rule.
fn schema_of(rule: &Rule) -> Value {
    let mut schema = Map::new();
    if !rule.comment.is_empty() {
        schema.insert("description".to_owned(), rule.comment.clone().into());
    }
    let lines = joined(&rule.lines);
    if rule.choice {
        let names = lines.iter().map(|line| line.split_once(':').unwrap().0);
        schema.insert("enum".to_owned(), names.collect());
        return schema.into();
    }
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for line in lines.iter().filter(|line| line.contains("=>")) {
        let (left, comment) = line.split_once(';').unwrap();
        let (name, description) = comment.trim().split_once(": ").unwrap();
        let (key, of) = left.split_once("=>").unwrap();
        let of = of.trim().trim_end_matches(',');
        let mut property = type_of(of);
        property["description"] = description.trim().into();
        properties.insert(name.to_owned(), property);
        if !key.trim().starts_with('?') {
            required.push(Value::from(name));
        }
    }
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    schema.into()
}

/// The whole document.
fn made() -> Value {
    let rules = rules(&format!(
        "{}\n{}",
        include_str!("../record.cddl"),
        include_str!("../proof.cddl")
    ));
    let mut defs = Map::new();
    let mut todo = vec![
        "record".to_owned(),
        "alternative".to_owned(),
        "provenance".to_owned(),
        "descriptor".to_owned(),
        "kind".to_owned(),
    ];
    todo.extend(Kind::ALL.iter().map(|(_, name, _)| (*name).to_owned()));
    while let Some(name) = todo.pop() {
        if defs.contains_key(&name) {
            continue;
        }
        let schema = match name.as_str() {
            "seq" => {
                json!({"description": "A record's number: its place in the log, from 0.", "type": "integer", "minimum": 0})
            }
            "hash" => json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
            "fingerprint" => {
                json!({"description": "SHA-256 of a public key in OpenSSH's wire encoding.", "type": "string", "pattern": "^[0-9a-f]{64}$"})
            }
            "moment" => {
                json!({"description": "RFC 3339 in UTC, to the nanosecond. A statement of some clock, never an order.", "type": "string", "format": "date-time", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?Z$"})
            }
            "id" => {
                json!({"description": "An opaque identifier.", "type": "string", "pattern": "^[!-~]{1,64}$"})
            }
            "decimal" => {
                json!({"description": "A number from outside, as its source wrote it.", "type": "string", "pattern": "^[!-~]{1,40}$"})
            }
            "origin" => {
                json!({"description": "The name of a log.", "type": "string", "pattern": "^[a-z0-9.-]{1,200}/[0-9a-f]{32}$"})
            }
            other => schema_of(
                rules
                    .get(other)
                    .unwrap_or_else(|| panic!("no rule {other}")),
            ),
        };
        let mut find = vec![&schema];
        while let Some(value) = find.pop() {
            match value {
                Value::Object(map) => find.extend(map.values()),
                Value::Array(list) => find.extend(list),
                Value::String(text) => {
                    todo.extend(text.strip_prefix("#/$defs/").map(str::to_owned))
                }
                _ => {}
            }
        }
        defs.insert(name, schema);
    }
    // A record and what a line has beside it are one object here.
    let mut record = defs.remove("record").unwrap();
    let texts = Field::ALL.iter().map(|(_, name, field)| {
        let value = match field {
            Field::Alternatives => json!({"type": "array", "minItems": 1, "maxItems": 32, "items": {"$ref": "#/$defs/alternative"}}),
            Field::Provenance => json!({"$ref": "#/$defs/provenance"}),
            _ => json!({"type": "string", "minLength": 1}),
        };
        ((*name).to_owned(), value)
    });
    let texts: Map<String, Value> = texts.collect();
    let mut file = defs.remove("descriptor").unwrap();
    file["description"] = "A file that the record names; its bytes are not here.".into();
    file["properties"]["place"] = json!({"description": "Its place among the record's artefacts, from 0.", "type": "integer", "minimum": 0});
    file["properties"]["role"] = json!({"$ref": "#/$defs/role"});
    let required = file["required"].as_array_mut().unwrap();
    required.splice(0..0, [json!("place"), json!("role")]);
    defs.insert("file".to_owned(), file);
    defs.insert("slots".to_owned(), json!({"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^([a-z_]+|artefact:[0-9]+)$"}}));
    let beside = json!({
        "leaf": {"description": "SHA-256 over 00 and the record's bytes: its leaf in the log's tree (RFC 6962).", "$ref": "#/$defs/hash"},
        "text_of": {"description": "Free text by field: each fits its commitment in `content`.", "type": "object", "properties": texts, "additionalProperties": false},
        "files": {"description": "Files by their hashes: each descriptor fits its commitment in `artefacts`.", "type": "array", "minItems": 1, "items": {"$ref": "#/$defs/file"}},
        "withheld": {"description": "Text and files that whoever exported left out.", "$ref": "#/$defs/slots"},
        "gone": {"description": "Text and files that the log no longer holds.", "$ref": "#/$defs/slots"},
        "doubts": {"description": "What does not fit; only on screens, never in an export.", "type": "array", "items": {"type": "string"}},
    });
    let properties = record["properties"].as_object_mut().unwrap();
    properties.insert("kind".to_owned(), json!({"description": "What the record is about; decides what `body` and `content` may have.", "$ref": "#/$defs/kind"}));
    properties.insert(
        "body".to_owned(),
        json!({"description": "What the kind asks for.", "type": "object"}),
    );
    properties.insert("content".to_owned(), json!({"description": "Commitments to free text, by field.", "type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/hash"}}));
    properties.extend(beside.as_object().unwrap().clone());
    let required = record["required"].as_array_mut().unwrap();
    required.extend([
        json!("kind"),
        json!("body"),
        json!("leaf"),
        json!("text_of"),
    ]);
    let kinds = Kind::ALL.iter().map(|(_, name, kind)| {
        let fields: Vec<_> = kind.fields().iter().map(|field| field.name()).collect();
        json!({
            "if": {"properties": {"kind": {"const": name}}},
            "then": {"properties": {
                "body": {"$ref": format!("#/$defs/{name}")},
                "content": {"propertyNames": {"enum": fields}},
                "text_of": {"propertyNames": {"enum": fields}},
            }},
        })
    });
    record["allOf"] = kinds.collect();
    record["allOf"].as_array_mut().unwrap().push(json!({
        "if": {"properties": {"via": {"const": "import"}}}, "then": {"required": ["import"]}, "else": {"properties": {"import": false}},
    }));
    defs.insert("record".to_owned(), record);
    defs.insert("unread".to_owned(), json!({
        "description": "A record that the program which exported it does not understand.",
        "type": "object",
        "properties": {
            "seq": {"$ref": "#/$defs/seq"},
            "not_understood": {"description": "Why.", "type": "string"},
            "bytes": {"description": "Its canonical bytes.", "type": "string", "pattern": "^([0-9a-f]{2})+$"},
            "leaf": {"$ref": "#/$defs/hash"},
            "text_of": {"type": "object", "maxProperties": 0},
        },
        "required": ["seq", "not_understood", "bytes", "leaf", "text_of"],
        "additionalProperties": false,
    }));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:tacho:v1:record",
        "title": "Tachograph record, version 1",
        "description": "A line of `tacho export jsonl`: one record with its text. Made from record.cddl, which explains more. Byte strings are lower-case hex.",
        "if": {"required": ["not_understood"]},
        "then": {"$ref": "#/$defs/unread"},
        "else": {"$ref": "#/$defs/record"},
        "$defs": defs,
    })
}

#[test]
fn the_schema_is_the_cddl() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/record.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&made()).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
    }
    // The order of keys has no meaning, and another crate's features may change it.
    let kept: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(
        kept == made(),
        "UPDATE_SCHEMA=1 writes record.schema.json anew"
    );
}
