//! What callers bring: the schema says what the code reads, and a refusal says what is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tacho_schemas::body::RationaleSource;
use tacho_schemas::content::{Alternatives, Field, Form, Provenance};
use tacho_schemas::event::Event;
use tacho_schemas::record::{ActorType, Role};
use tacho_schemas::scalar::{Seq, Time};
use tacho_schemas::{Error, Kind, canon};

#[allow(dead_code, reason = "each test uses a part")]
#[path = "support/samples.rs"]
mod samples;
#[path = "support/structures.rs"]
mod structures;

static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../event.schema.json")).unwrap());

fn callers() -> impl Iterator<Item = (&'static str, Kind)> {
    let kinds = Kind::ALL
        .iter()
        .filter(|(_, _, kind)| kind.is_for_callers());
    kinds.map(|(_, name, kind)| (*name, *kind))
}

fn names(object: &Value) -> BTreeSet<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn texts(array: &Value) -> BTreeSet<&str> {
    let texts = array.as_array().into_iter().flatten();
    texts.map(|t| t.as_str().unwrap()).collect()
}

/// An event of a kind with everything it can have.
fn everything(kind: Kind) -> Value {
    let record = samples::full(kind);
    let content = kind.fields().iter().map(|field| {
        let value = match field {
            Field::Alternatives => json!([{"option": "wait", "why_not": "the build is red"}]),
            Field::Provenance => {
                json!({"offset": 8191, "prefix_blake3": "07".repeat(32), "path": "t.jsonl"})
            }
            _ => json!("text"),
        };
        (field.name().to_owned(), value)
    });
    json!({
        "kind": kind.name(),
        "actor": record.actor,
        "body": record.body,
        "ref": record.reference,
        "claimed": record.claimed,
        "session": 5,
        "generation": 9,
        "causes": [24, 5],
        "content": content.collect::<serde_json::Map<_, _>>(),
        "artefacts": [
            {"role": "before", "path": "a.txt", "media_type": "text/plain", "text": "a"},
            {"role": "after", "base64": "YQ=="},
        ],
    })
}

fn read(event: &Value) -> Result<Event, Error> {
    Event::from_json(&event.to_string())
}

#[test]
fn everything_survives() {
    for (name, kind) in callers() {
        let event = read(&everything(kind)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let record = samples::full(kind);
        assert_eq!(event.body, record.body, "{name}");
        assert_eq!(event.actor, record.actor);
        assert_eq!(event.reference, record.reference);
        assert_eq!(event.claimed, record.claimed);
        assert_eq!(
            (event.session, event.generation),
            (Some(Seq(5)), Some(Seq(9)))
        );
        assert_eq!(event.causes, [Seq(24), Seq(5)]);
        assert_eq!(event.content.len(), kind.fields().len());
        for (field, bytes) in &event.content {
            field.check(bytes).unwrap();
            match (field, field.form()) {
                (Field::Alternatives, _) => {
                    let list: Alternatives = canon::decode(bytes, 1 << 20).unwrap();
                    assert_eq!(list.as_slice()[0].option, "wait");
                }
                (Field::Provenance, _) => {
                    let provenance: Provenance = canon::decode(bytes, 1 << 20).unwrap();
                    assert_eq!(provenance.offset, 8191);
                }
                (_, form) => assert_eq!((form, bytes.as_slice()), (Form::Text, &b"text"[..])),
            }
        }
        let [before, after] = event.artefacts.as_slice() else {
            panic!("{name} lost an artefact")
        };
        assert_eq!((before.role, after.role), (Role::Before, Role::After));
        assert_eq!(before.bytes, after.bytes);
        assert_eq!(before.path.as_deref(), Some("a.txt"));
    }
}

#[test]
fn the_examples_of_the_schema_are_read() {
    let examples = SCHEMA["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 3);
    for example in examples {
        read(example).unwrap_or_else(|e| panic!("{example}: {e}"));
        fits(example, &SCHEMA, "example");
    }
    let mutation = read(&examples[1]).unwrap();
    assert_eq!(mutation.actor.actor_type, ActorType::Agent);
    let end = mutation.claimed.unwrap().end;
    assert_eq!(end, Some(Time(1_795_500_000_000_000_000)));
}

#[test]
fn the_schema_has_the_names_of_the_code() {
    let defs = &SCHEMA["$defs"];
    for (name, keys) in structures::structures() {
        // `artefact` is another thing here: it brings the bytes.
        if let (Some(schema), true) = (defs.get(&name), name != "artefact") {
            let expected: BTreeSet<_> = keys.iter().map(|(_, name)| *name).collect();
            assert_eq!(names(&schema["properties"]), expected, "{name}");
        }
    }
    for (name, values) in structures::enumerations() {
        if let Some(schema) = defs.get(&name) {
            let expected: BTreeSet<_> = values.iter().map(|(_, name)| *name).collect();
            assert_eq!(texts(&schema["enum"]), expected, "{name}");
        }
    }
    let kinds: BTreeSet<_> = callers().map(|(name, _)| name).collect();
    assert_eq!(texts(&SCHEMA["properties"]["kind"]["enum"]), kinds);
    let structures = structures::structures();
    let enumerations = structures::enumerations();
    let scalars = [
        "id",
        "decimal",
        "moment",
        "seq",
        "hash",
        "count",
        "int64",
        "per-mille",
        "content",
    ];
    for name in names(defs) {
        let known = scalars.contains(&name)
            || structures.iter().any(|(n, _)| n == name)
            || enumerations.iter().any(|(n, _)| n == name);
        assert!(known, "`{name}` is not in the code");
    }
}

#[test]
fn each_kind_has_its_body_and_content() {
    let cases = SCHEMA["allOf"].as_array().unwrap();
    assert_eq!(cases.len(), callers().count());
    for (case, (name, kind)) in cases.iter().zip(callers()) {
        assert_eq!(case["if"]["properties"]["kind"]["const"], name);
        let then = &case["then"]["properties"];
        assert_eq!(then["body"]["$ref"], format!("#/$defs/{name}"));
        let fields: BTreeSet<_> = kind.fields().iter().map(|f| f.name()).collect();
        assert_eq!(
            texts(&then["content"]["propertyNames"]["enum"]),
            fields,
            "{name}"
        );
    }
    let all: BTreeSet<_> = callers()
        .flat_map(|(_, k)| k.fields())
        .map(|f| f.name())
        .collect();
    assert_eq!(names(&SCHEMA["$defs"]["content"]["properties"]), all);
}

fn resolve(schema: &Value) -> &Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(target) => resolve(&SCHEMA["$defs"][target.strip_prefix("#/$defs/").unwrap()]),
        None => schema,
    }
}

/// The schema of a property, with the body and content that the kind decides.
fn inside<'s>(schema: &'s Value, value: &Value, key: &str) -> &'s Value {
    if key == "body" && schema.get("allOf").is_some() {
        return resolve(&SCHEMA["$defs"][value["kind"].as_str().unwrap()]);
    }
    let known = schema["properties"].get(key);
    resolve(known.unwrap_or_else(|| panic!("`{key}` is not in the schema")))
}

/// The part of JSON Schema that ours uses: enough to see that what the code takes, the schema takes.
fn fits(value: &Value, schema: &Value, at: &str) {
    let schema = resolve(schema);
    if let Some(allowed) = schema.get("enum") {
        assert!(allowed.as_array().unwrap().contains(value), "{at}: {value}");
        return;
    }
    match (schema["type"].as_str().unwrap(), value) {
        ("object", Value::Object(map)) => {
            for key in texts(&schema["required"]) {
                assert!(map.contains_key(key), "{at} lacks `{key}`");
            }
            for (key, inner) in map {
                fits(inner, inside(schema, value, key), &format!("{at}.{key}"));
            }
        }
        ("array", Value::Array(items)) => {
            let least = schema["minItems"].as_u64().unwrap_or(0);
            let most = schema["maxItems"].as_u64().unwrap();
            let count = u64::try_from(items.len()).unwrap();
            assert!((least..=most).contains(&count), "{at} has {count} items");
            items
                .iter()
                .for_each(|item| fits(item, &schema["items"], at));
        }
        ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => {}
        ("integer", Value::Number(number)) => assert!(!number.is_f64(), "{at}: {number}"),
        (wanted, _) => panic!("{at} is {value}, not {wanted}"),
    }
}

#[test]
fn what_the_code_takes_the_schema_takes() {
    for (name, kind) in callers() {
        fits(&everything(kind), &SCHEMA, name);
    }
}

/// Takes away each field of an object in turn, all the way down, and compares with `required`.
fn try_without(event: &Value, pointer: &str, schema: &Value, tried: &mut u32) {
    let value = event.pointer(pointer).unwrap();
    match value {
        Value::Object(map) => {
            let required = texts(&schema["required"]);
            for key in map.keys() {
                let mut less = event.clone();
                let object = less.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
                object.remove(key);
                let last = object.is_empty();
                let answer = read(&less);
                let needed = required.contains(key.as_str());
                // `text` or `base64`: one of them must be there.
                let one_of = schema.get("oneOf").is_some() && (key == "text" || key == "base64");
                if !(last || one_of) {
                    assert_eq!(
                        answer.is_err(),
                        needed,
                        "{pointer} without `{key}`: {answer:?}"
                    );
                }
                if needed {
                    let text = answer.unwrap_err().to_string();
                    assert!(text.contains(&format!("missing field `{key}`")), "{text}");
                }
                *tried += 1;
                try_without(
                    event,
                    &format!("{pointer}/{key}"),
                    inside(schema, value, key),
                    tried,
                );
            }
        }
        Value::Array(items) => {
            for i in 0..items.len() {
                try_without(
                    event,
                    &format!("{pointer}/{i}"),
                    resolve(&schema["items"]),
                    tried,
                );
            }
        }
        _ => {}
    }
}

#[test]
fn what_the_code_needs_the_schema_requires() {
    let mut tried = 0;
    for (_, kind) in callers() {
        try_without(&everything(kind), "", &SCHEMA, &mut tried);
    }
    assert!(tried > 200, "{tried}");
}

const BAD: &[(&str, &str)] = &[
    ("", "not JSON: it ends too early"),
    (r#"{"kind": "message""#, "not JSON: it ends too early"),
    ("{]", "not JSON: key must be a string at column 2"),
    ("7", "invalid type: integer `7`, expected an object"),
    (
        r#"{"kind": "evaluation", "actor": {"type": "system", "id": "ci"}, "body": {"passed": true}} {}"#,
        "not JSON: trailing characters at column 91",
    ),
    (
        r#"{"kind": "massage", "actor": {"type": "agent", "id": "a"}, "body": {}}"#,
        "unknown kind `massage`; known: `genesis`, `boot`, `seal`, `key`, `policy`, `session`, `message`, `action`, `approval`, `outcome`, `mutation`, `generation`, `evaluation`, `kill`, `release`, `drill`, `lease`, `note`, `erasure`, `gap`, `alarm`, `import`",
    ),
    (
        r#"{"kind": 6, "actor": {"type": "agent", "id": "a"}, "body": {}}"#,
        "invalid type: integer `6`, expected a word for kind",
    ),
    (
        r#"{"actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}}"#,
        "missing field `kind`",
    ),
    (
        r#"{"kind": "message", "body": {"speaker": "user"}}"#,
        "missing field `actor`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}}"#,
        "missing field `body`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "seq": 4}"#,
        "unknown field `seq`, expected one of `kind`, `actor`, `body`, `ref`, `claimed`, `session`, `generation`, `causes`, `content`, `artefacts`",
    ),
    (
        r#"{"kind": "message", "kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}}"#,
        "duplicate field `kind`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "robot", "id": "a"}, "body": {"speaker": "user"}}"#,
        "unknown actor type `robot`; known: `agent`, `human`, `system`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": 1, "id": "a"}, "body": {"speaker": "user"}}"#,
        "invalid type: integer `1`, expected a word for actor type",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "Ada L"}, "body": {"speaker": "user"}}"#,
        "id: must be 1 to 64 bytes of printable ASCII without spaces",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent"}, "body": {"speaker": "user"}}"#,
        "missing field `id`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a", "id": "b"}, "body": {"speaker": "user"}}"#,
        "field `id` stands twice",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a", "25": "b"}, "body": {"speaker": "user"}}"#,
        "unknown field `25`; known here: `type`, `id`, `model`, `on_behalf_of`",
    ),
    (
        r#"{"kind": "message", "actor": [], "body": {"speaker": "user"}}"#,
        "invalid type: sequence, expected a map",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {}}"#,
        "in `body`: missing field `speaker`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": []}"#,
        "in `body`: invalid type: sequence, expected a map",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "judge"}}"#,
        "in `body`: unknown speaker `judge`; known: `user`, `assistant`, `system`, `tool`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user", "usage": {}}}"#,
        "in `body`: an empty usage",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user", "usage": {"tokens_in": -1}}}"#,
        "in `body`: invalid value: integer `-1`, expected a whole number, 0 or more",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user", "usage": {"tokens_in": 1.0}}}"#,
        "in `body`: invalid type: floating point `1.0`, expected a whole number, 0 or more",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user", "usage": {"cost": 0.1}}}"#,
        "in `body`: invalid type: floating point `0.1`, expected a string",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user", "usage": null}}"#,
        "in `body`: invalid type: null, expected a map",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "ref": ""}"#,
        "id: must be 1 to 64 bytes of printable ASCII without spaces",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "claimed": {}}"#,
        "an empty claimed",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "claimed": {"start": "yesterday"}}"#,
        "time: is not RFC 3339, such as 2026-11-24T06:00:00Z",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "claimed": {"end": "9999-01-01T00:00:00Z"}}"#,
        "time: lies outside 1677 to 2262",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "session": "12"}"#,
        r##"invalid type: string "12", expected a whole number, 0 or more"##,
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "content": {"test": "x"}}"#,
        "unknown field `test`; known: `text`, `goal`, `summary`, `reasoning`, `alternatives`, `expected_effect`, `provenance`, `path`, `request`, `input`, `output`, `error`, `name`, `workspace`, `reason`, `digest`, `detail`, `command`, `source_id`, `answer_text`, `conditions`, `facts`, `request_salt`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "content": {"path": "x"}}"#,
        "`message` has no content `path`; it may have `text`, `reasoning`, `source_id`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "content": {"text": "x", "text": "y"}}"#,
        "field `text` stands twice",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "content": {"text": 7}}"#,
        "in `content.text`: invalid type: integer `7`, expected a string",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "content": []}"#,
        "invalid type: sequence, expected an object of text by field",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "artefacts": [{"role": "diff"}]}"#,
        "in `artefacts`: give either `text` or `base64`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "artefacts": [{"role": "diff", "text": "", "base64": ""}]}"#,
        "in `artefacts`: give either `text` or `base64`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "artefacts": [{"role": "diff", "base64": "YQ"}]}"#,
        "in `artefacts`: `base64` is not base64 with padding",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "artefacts": [{"role": "virus", "text": ""}]}"#,
        "unknown role `virus`; known: `original`, `before`, `after`, `diff`, `manifest`, `evidence`, `policy`, `part`, `input`, `output`, `statement`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "artefacts": [{"role": "diff", "text": "", "size": 1}]}"#,
        "unknown field `size`, expected one of `role`, `path`, `media_type`, `text`, `base64`",
    ),
    (
        r#"{"kind": "action", "actor": {"type": "agent", "id": "a"}, "body": {"tool": "x", "parts": []}}"#,
        "in `body`: a list must have 1 to 16 entries",
    ),
    (
        r#"{"kind": "action", "actor": {"type": "agent", "id": "a"}, "body": {"tool": "x", "parts": "tests"}}"#,
        r##"in `body`: invalid type: string "tests", expected a list"##,
    ),
    (
        r#"{"kind": "action", "actor": {"type": "agent", "id": "a"}, "body": {"tool": "x", "verdict": {"decision": "deny"}}}"#,
        "in `body`: `deny_kind` stands if and only if the decision is deny",
    ),
    (
        r#"{"kind": "action", "actor": {"type": "agent", "id": "a"}, "body": {"tool": "x", "rationale": {"source": "given", "confidence": 1001}}}"#,
        "in `body`: confidence: is given per mille, 0 to 1000",
    ),
    (
        r#"{"kind": "action", "actor": {"type": "agent", "id": "a"}, "body": {"tool": "x", "verdict": {"decision": "allow", "policy_digest": "00"}}}"#,
        "in `body`: hash: is not 32 bytes long",
    ),
    (
        r#"{"kind": "action", "actor": {"type": "agent", "id": "a"}, "body": {"tool": "x"}, "content": {"alternatives": []}}"#,
        "in `content.alternatives`: a list must have 1 to 32 entries",
    ),
    (
        r#"{"kind": "action", "actor": {"type": "agent", "id": "a"}, "body": {"tool": "x"}, "content": {"alternatives": [{"why_not": "y"}]}}"#,
        "in `content.alternatives`: missing field `option`",
    ),
    (
        r#"{"kind": "action", "actor": {"type": "agent", "id": "a"}, "body": {"tool": "x"}, "content": {"provenance": "t.jsonl"}}"#,
        r##"in `content.provenance`: invalid type: string "t.jsonl", expected a map"##,
    ),
    (
        r#"{"kind": "evaluation", "actor": {"type": "system", "id": "ci"}, "body": {}}"#,
        "in `body`: an empty evaluation",
    ),
    (
        r#"{"kind": "kill", "actor": {"type": "agent", "id": "a"}, "body": {"scope": "all", "trigger": "agent", "freeze": false}}"#,
        "`kill` is for the recorder alone to write; a caller may write `session`, `message`, `action`, `outcome`, `mutation`, `generation`, `evaluation`",
    ),
    (
        r#"{"kind": "seal"}"#,
        "`seal` is for the recorder alone to write; a caller may write `session`, `message`, `action`, `outcome`, `mutation`, `generation`, `evaluation`",
    ),
    (
        r#"{"root": "00", "kind": "seal", "epoch": 1}"#,
        "`seal` is for the recorder alone to write; a caller may write `session`, `message`, `action`, `outcome`, `mutation`, `generation`, `evaluation`",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "ref": null}"#,
        "a field is null; leave out what is not there",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "claimed": null}"#,
        "a field is null; leave out what is not there",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "session": null}"#,
        "a field is null; leave out what is not there",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "generation": null}"#,
        "a field is null; leave out what is not there",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "artefacts": [{"role": "diff", "text": "x", "path": null}]}"#,
        "a field is null; leave out what is not there",
    ),
    (
        r#"{"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}, "content": {"text": null}}"#,
        "in `content.text`: invalid type: null, expected a string",
    ),
    (
        r#"{"kind": "action", "actor": {"type": "agent", "id": "a"}, "body": {"tool": "x", "rationale": {"source": "absent"}}, "content": {"goal": "x"}}"#,
        "in `body`: the rationale is absent, so there is no `goal`",
    ),
    (
        r#"{"kind": "action", "actor": {"type": "agent", "id": "a"}, "body": {"tool": "x", "rationale": {"source": "absent", "confidence": 1}}}"#,
        "in `body`: a rationale that is absent has neither evidence nor confidence",
    ),
    (
        r#"{"kind": "action", "actor": {"type": "agent", "id": "a"}, "body": {"tool": "x", "verdict": {"decision": "hold", "obligations": [{"group": "g", "k": 0}]}}}"#,
        "in `body`: `k` must be at least 1",
    ),
    (
        r#"{"kind": "session", "actor": {"type": "agent", "id": "a"}, "body": {"phase": "open", "agent": "a", "exit": 0}}"#,
        "in `body`: `exit` and `signal` stand only when the session closes",
    ),
    (
        r#"{"kind": "session", "actor": {"type": "agent", "id": "a"}, "body": {"phase": "open", "agent": "a", "confinement": 3}}"#,
        "in `body`: invalid type: integer `3`, expected a word for confinement",
    ),
    (
        r#"{"kind": "evaluation", "actor": {"type": "system", "id": "ci"}, "body": {"subject": 9}}"#,
        "in `body`: an evaluation has `main`, `metrics` or `passed`",
    ),
    (
        r#"{"kind": "approval", "actor": {"type": "human", "id": "h"}, "body": {}}"#,
        "`approval` is for the recorder alone to write; a caller may write `session`, `message`, `action`, `outcome`, `mutation`, `generation`, `evaluation`",
    ),
];

#[test]
fn refusals_say_what_is_wrong() {
    for (input, message) in BAD {
        let error = Event::from_json(input).expect_err(input);
        let text = match error {
            Error::Meaning(text) => text,
            other => panic!("{input}: {other:?}"),
        };
        assert_eq!(&text, message, "{input}");
    }
}

#[test]
fn sets_may_come_in_any_order() {
    let action = json!({
        "kind": "action", "actor": {"type": "agent", "id": "a"},
        "body": {
            "tool": "x", "parts": ["deploy", "code", "deploy"],
            "rationale": {"source": "given", "evidence": [9, 3, 9]},
            "verdict": {"decision": "allow", "rules": ["b", "a"], "consumes": [5, 4]},
        },
    });
    let body = serde_json::to_value(read(&action).unwrap().body).unwrap();
    assert_eq!(body["parts"], json!(["code", "deploy"]));
    assert_eq!(body["rationale"]["evidence"], json!([3, 9]));
    assert_eq!(body["verdict"]["rules"], json!(["a", "b"]));
    assert_eq!(body["verdict"]["consumes"], json!([4, 5]));

    let session = |guards: Value| {
        read(&json!({
            "kind": "session", "actor": {"type": "agent", "id": "a"},
            "body": {"phase": "open", "agent": "a", "guards": guards},
        }))
    };
    let guard = |part: &str, level: &str| json!({"part": part, "level": level});
    let (tests, code) = (guard("tests", "enforced"), guard("code", "neither"));
    let event = session(json!([&tests, &code])).unwrap();
    let body = serde_json::to_value(event.body).unwrap();
    assert_eq!(body["guards"], json!([code, tests]));
    assert!(session(json!([tests, guard("tests", "neither")])).is_err());
}

#[test]
fn a_rationale_that_is_left_out_is_filled_in() {
    let source = |kind: &str, body: Value, content: Value| {
        let event = json!({"kind": kind, "actor": {"type": "agent", "id": "a"}, "body": body, "content": content});
        read(&event).map(|event| event.body.rationale().unwrap().source)
    };
    let bodies = [
        ("action", json!({"tool": "x"})),
        ("mutation", json!({"change": "modify", "known": "declared"})),
    ];
    let provenance = json!({"offset": 1, "prefix_blake3": "07".repeat(32), "path": "t.jsonl"});
    for (kind, body) in bodies {
        let with = |content: Value| source(kind, body.clone(), content).unwrap();
        assert_eq!(with(json!({})), RationaleSource::Absent);
        assert_eq!(
            with(json!({"path": "a", "reason": "b"})),
            RationaleSource::Absent
        );
        assert_eq!(
            with(json!({"goal": ""})),
            RationaleSource::Absent,
            "an empty text is none"
        );
        for field in ["goal", "summary", "reasoning", "expected_effect"] {
            assert_eq!(with(json!({field: "x"})), RationaleSource::Given, "{field}");
        }
        assert_eq!(
            with(json!({"alternatives": [{"option": "x"}]})),
            RationaleSource::Given
        );
        assert_eq!(
            with(json!({"provenance": provenance})),
            RationaleSource::Given
        );
        let mut said = body.clone();
        said["rationale"] = json!({"source": "human"});
        assert_eq!(source(kind, said, json!({})), Ok(RationaleSource::Human));
    }
}

#[test]
fn too_many_things_are_refused() {
    let base = json!({"kind": "message", "actor": {"type": "agent", "id": "a"}, "body": {"speaker": "user"}});
    let with = |key: &str, value: Value| {
        let mut event = base.clone();
        event[key] = value;
        read(&event).map_err(|e| e.to_string())
    };
    let attachment = json!({"role": "diff", "text": "x"});
    assert!(with("causes", json!((0..256).collect::<Vec<_>>())).is_ok());
    assert!(with("artefacts", json!(vec![&attachment; 256])).is_ok());
    let said = with("causes", json!((0..257).collect::<Vec<_>>()));
    assert_eq!(said.unwrap_err(), "not understood: more than 256 causes");
    let said = with("artefacts", json!(vec![&attachment; 257]));
    assert_eq!(said.unwrap_err(), "not understood: more than 256 artefacts");
}

#[test]
fn kinds_of_the_recorder_are_refused_by_name() {
    for (_, name, kind) in Kind::ALL {
        let event = json!({"kind": name, "actor": {"type": "human", "id": "h"}, "body": samples::full(*kind).body});
        assert_eq!(read(&event).is_ok(), kind.is_for_callers(), "{name}");
    }
}

#[test]
fn text_of_any_language_survives() {
    let text = "Wegen „Größe“, 原因, 🚗 and \u{0} too";
    let event = json!({"kind": "message", "actor": {"type": "human", "id": "h"}, "body": {"speaker": "user"}, "content": {"text": text}});
    assert_eq!(read(&event).unwrap().content[&Field::Text], text.as_bytes());
}
