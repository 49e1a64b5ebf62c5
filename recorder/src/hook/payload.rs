//! What a harness wrote, read without doubt.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Agent, Ask, MAX_ASK, MAX_PAYLOAD, Moment, Refusal};
use crate::import::json::{Fault, Json};

/// One object, its members as they stand in the text.
#[derive(Debug)]
pub(super) struct Payload<'a> {
    text: &'a str,
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Payload<'a> {
    /// Reads the members of an object that nothing precedes and nothing follows.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Refusal::CutShort);
        }
        if bytes.len() > MAX_PAYLOAD {
            return Err(Refusal::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Refusal::NotJson)?;
        let Members(members, repeated) =
            serde_json::from_str(text).map_err(|error| match error.classify() {
                serde_json::error::Category::Eof => Refusal::CutShort,
                _ => Refusal::NotJson,
            })?;
        if repeated {
            return Err(Refusal::RepeatedKey);
        }
        Ok(Self { text, members })
    }

    /// Reads all of it as strictly as the strictest reader of it would: another one may run the tool.
    pub(super) fn strictly(&self) -> Result<(), Refusal> {
        if self.text.len() > MAX_ASK {
            return Err(Refusal::TooLong);
        }
        match Json::read(self.text) {
            Ok((_, repeated)) if repeated > 0 => Err(Refusal::RepeatedKey),
            Ok((value, _)) if has_nul(&value) => Err(Refusal::Nul),
            Ok(_) => Ok(()),
            Err(Fault::Torn) => Err(Refusal::CutShort),
            Err(Fault::NotJson) => Err(Refusal::NotJson),
            Err(Fault::TooDeep | Fault::TooLarge) => Err(Refusal::TooLong),
        }
    }

    /// Who seems to have sent it, by signs that others do not have; none if it may be anybody's.
    pub(super) fn sender(&self) -> Option<&'static str> {
        let has = |key: &str| self.members.contains_key(key);
        let event = self.words("hook_event_name").unwrap_or_default();
        let before_or_after = |name: &str| name == "BeforeTool" || name == "AfterTool";
        Some(match () {
            () if has("cursor_version") || (has("conversation_id") && has("generation_id")) => {
                "Cursor"
            }
            () if has("agent_action_name") => "Windsurf",
            () if has("clineVersion") => "Cline",
            () if has("tacho") => "generic",
            () if has("toolName") || has("toolArgs") || has("sessionId") => "Copilot CLI",
            () if before_or_after(&event) => "Gemini CLI",
            () if has("turn_id") && has("model") => "Codex",
            () if has("timestamp") && has("transcript_path") => "Gemini CLI",
            () if has("timestamp") && !has("transcript_path") => "Copilot CLI",
            // A session begins and ends alike in both.
            () if has("prompt_id") || (has("tool_use_id") && !has("turn_id")) => "Claude Code",
            () => return None,
        })
    }

    /// A member as it stands; none if it is null.
    pub(super) fn raw(&self, key: &str) -> Option<&'a RawValue> {
        let raw = self.members.get(key).copied()?;
        (raw.get() != "null").then_some(raw)
    }

    /// A text, half surrogate pairs replaced.
    pub(super) fn words(&self, key: &str) -> Option<String> {
        words(self.raw(key)?)
    }

    /// A text that has to be there and to say something.
    pub(super) fn need(&self, key: &'static str) -> Result<String, Refusal> {
        self.words(key)
            .filter(|text| !text.is_empty())
            .ok_or(Refusal::Field(key))
    }

    /// An object that has to be there, as it stands.
    pub(super) fn object(&self, key: &'static str) -> Result<Box<RawValue>, Refusal> {
        self.raw(key)
            .filter(|raw| raw.get().starts_with('{'))
            .map(ToOwned::to_owned)
            .ok_or(Refusal::Field(key))
    }

    /// A path, if it is absolute.
    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.words(key)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    }

    /// A member as text: a string's characters, anything else as JSON.
    pub(super) fn any(&self, key: &str) -> Option<String> {
        let raw = self.raw(key)?;
        Some(words(raw).unwrap_or_else(|| raw.get().to_owned()))
    }

    /// What Claude Code says of a call, and Codex, which copied it, in the same words. `own` are the dialect's other fields.
    pub(super) fn call(
        &self,
        agent: Agent,
        event: String,
        moment: Moment,
        own: &[&str],
    ) -> Result<Ask, Refusal> {
        const SHARED: [&str; 11] = [
            "agent_id",
            "agent_type",
            "cwd",
            "hook_event_name",
            "permission_mode",
            "session_id",
            "tool_input",
            "tool_name",
            "tool_response",
            "tool_use_id",
            "transcript_path",
        ];
        let call_id = self.words("tool_use_id");
        if event == "PreToolUse" && call_id.is_none() {
            return Err(Refusal::Field("tool_use_id"));
        }
        let about_a_tool = matches!(moment, Moment::Before | Moment::After);
        Ok(Ask {
            agent,
            moment,
            session: self.need("session_id")?,
            tool: match about_a_tool {
                true => self.need("tool_name")?,
                false => String::new(),
            },
            input: match about_a_tool {
                true => self.object("tool_input")?,
                false => empty(),
            },
            call_id,
            cwd: self.need("cwd")?,
            transcript: self.path("transcript_path"),
            model: None,
            subagent: self.words("agent_id"),
            ended: None,
            exit: None,
            output: None,
            rationale: None,
            extra: self.rest(&[SHARED.as_slice(), own].concat()),
            event,
        })
    }

    /// The members that are none of these.
    pub(super) fn rest(&self, known: &[&str]) -> Vec<(String, Box<RawValue>)> {
        self.members
            .iter()
            .filter(|(key, _)| !known.contains(&key.as_str()))
            .map(|(key, raw)| (key.clone(), (*raw).to_owned()))
            .collect()
    }
}

/// The characters of a JSON string; none if it is something else.
pub(super) fn words(raw: &RawValue) -> Option<String> {
    crate::import::raw::text(raw)
}

/// A JSON object without members.
pub(super) fn empty() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

fn has_nul(value: &Json<'_>) -> bool {
    match value {
        Json::Text(text) => text.contains('\0'),
        Json::List(values) => values.iter().any(has_nul),
        Json::Object(entries) => entries
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

/// The members, and whether a key stands twice.
struct Members<'a>(BTreeMap<String, &'a RawValue>, bool);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members(BTreeMap::new(), false);
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    members.1 |= members.0.insert(key, value).is_some();
                }
                Ok(members)
            }
        }
        d.deserialize_map(Object)
    }
}
