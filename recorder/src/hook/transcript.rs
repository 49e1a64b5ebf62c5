//! Why an agent makes a call, from its own transcript, as it stood when the call was asked about.
//!
//! A transcript is the agent's word about itself, in a file that it may be able to write: so what is taken from it is kept with the
//! place in the file and the BLAKE3 of everything before it. If that beginning later reads otherwise, the transcript was
//! rewritten, and that is a finding. The whole file is hashed each time; only its last megabytes are read as text.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use tacho_schemas::Hash;

use super::Agent;
use crate::files;
use crate::import::json::Json;

/// The end of the file that is read as text, in bytes. A call's own turn is at the end.
const TAIL: usize = 4 << 20;

/// The longest transcript that is hashed: beyond it there is no rationale, which policy can deny.
const MAX: u64 = 1 << 30;

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// The most words of each sort that are taken, in bytes.
const MAX_WORDS: usize = 64 << 10;

/// A place in a transcript and the hash of everything before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Mark {
    /// In bytes.
    pub offset: u64,
    /// BLAKE3 of the file up to there.
    pub prefix_blake3: Hash,
}

/// What a transcript says about a call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// What was said before the call.
    pub summary: String,
    /// What was thought before the call.
    pub reasoning: String,
    /// The model that answered, as the transcript names it.
    pub model: Option<String>,
    /// Whether the call itself stands in the transcript.
    pub has_call: bool,
    /// How far the transcript went.
    pub mark: Option<Mark>,
    /// Whether the beginning still is what it was at an earlier call; none if there was none.
    pub unchanged: Option<bool>,
}

/// Reads a transcript for the words that led to a call. One that cannot be read gives nothing: no rationale is a fact too.
pub fn look(agent: Agent, path: &Path, call_id: Option<&str>, earlier: Option<Mark>) -> Found {
    let Some(read) = Read::all(path, earlier) else {
        // What was there before and is gone was changed.
        return Found {
            unchanged: earlier.map(|_| false),
            ..Found::default()
        };
    };
    let mut found = match agent {
        Agent::ClaudeCode => claude_code(&read.tail, call_id),
        Agent::Codex => codex(&read.tail, call_id),
        Agent::Copilot | Agent::Cursor | Agent::Gemini | Agent::Generic => Found::default(),
    };
    found.mark = Some(read.mark);
    found.unchanged = earlier.map(|_| read.unchanged);
    found
}

/// A transcript, read once.
struct Read {
    mark: Mark,
    unchanged: bool,
    tail: String,
}

impl Read {
    fn all(path: &Path, earlier: Option<Mark>) -> Option<Self> {
        let mut file: File = files::open_read(path).ok()?;
        let meta = file.metadata().ok()?;
        if !meta.is_file() || meta.len() > MAX {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        let mut tail: Vec<u8> = Vec::new();
        let mut piece = vec![0; PIECE];
        let mut at = 0_u64;
        let mut unchanged = false;
        // Up to where it went when it was opened; it may grow under our hands.
        while at < meta.len() {
            let mut want = usize::try_from(meta.len() - at).map_or(PIECE, |left| left.min(PIECE));
            if let Some(earlier) = earlier
                && at < earlier.offset
            {
                let left = earlier.offset - at;
                want = usize::try_from(left).map_or(want, |left| left.min(want));
            }
            let got = file.read(piece.get_mut(..want)?).ok()?;
            let bytes = piece.get(..got).filter(|bytes| !bytes.is_empty())?;
            hasher.update(bytes);
            at += u64::try_from(got).ok()?;
            if let Some(earlier) = earlier
                && at == earlier.offset
            {
                unchanged = Hash(*hasher.finalize().as_bytes()) == earlier.prefix_blake3;
            }
            tail.extend_from_slice(bytes);
            if tail.len() > 2 * TAIL {
                tail.drain(..tail.len() - TAIL);
            }
        }
        Some(Self {
            mark: Mark {
                offset: at,
                prefix_blake3: Hash(*hasher.finalize().as_bytes()),
            },
            unchanged,
            tail: String::from_utf8_lossy(&tail).into_owned(),
        })
    }
}

/// Lines from the last one back, those that are objects.
fn backwards(tail: &str) -> impl Iterator<Item = &str> {
    tail.lines().rev().filter(|line| line.starts_with('{'))
}

/// Puts words before others, as long as there is room.
fn before(words: &mut String, more: &str) {
    if more.is_empty() || words.len() + more.len() > MAX_WORDS {
        return;
    }
    *words = match words.is_empty() {
        true => more.to_owned(),
        false => format!("{more}\n\n{words}"),
    };
}

/// An answer of Claude comes as several lines with one `message.id`; results of its first calls may stand between them.
fn claude_code(tail: &str, call_id: Option<&str>) -> Found {
    let mut found = Found::default();
    let mut message_id: Option<String> = None;
    for line in backwards(tail) {
        // Lines of megabytes hold what tools brought, and need not be looked into.
        let relevant = line.contains("\"assistant\"") || line.contains("\"user\"");
        if !relevant {
            continue;
        }
        let Ok((line, _)) = Json::read(line) else {
            continue;
        };
        let Some(message) = line.get("message") else {
            continue;
        };
        let blocks = message.list("content").unwrap_or_default();
        if line.text("type") == Some("user") {
            let only_results = !blocks.is_empty()
                && blocks
                    .iter()
                    .all(|block| block.text("type") == Some("tool_result"));
            if message_id.is_some() && !only_results {
                break;
            }
            continue;
        }
        if line.text("type") != Some("assistant") {
            continue;
        }
        if message_id.is_none() {
            let here = blocks.iter().any(|block| {
                block.text("type") == Some("tool_use")
                    && call_id.is_some_and(|id| block.text("id") == Some(id))
            });
            if !here {
                continue;
            }
            found.has_call = true;
            found.model = message.text("model").map(str::to_owned);
            message_id = Some(message.text("id").unwrap_or_default().to_owned());
        } else if message.text("id") != message_id.as_deref() {
            break;
        }
        for block in blocks.iter().rev() {
            match (block.text("text"), block.text("thinking")) {
                (Some(said), _) => before(&mut found.summary, said),
                (_, Some(thought)) => before(&mut found.reasoning, thought),
                _ => {}
            }
        }
    }
    found
}

/// An answer of Codex is a run of items; it ends where the user, or the result of a call, comes.
fn codex(tail: &str, call_id: Option<&str>) -> Found {
    let mut found = Found::default();
    for line in backwards(tail) {
        if !line.contains("\"response_item\"") && !line.contains("\"turn_context\"") {
            continue;
        }
        let Ok((line, _)) = Json::read(line) else {
            continue;
        };
        let Some(item) = line.get("payload") else {
            continue;
        };
        if line.text("type") == Some("turn_context") {
            if found.has_call {
                found.model = item.text("model").map(str::to_owned);
                break;
            }
            continue;
        }
        match item.text("type") {
            Some("function_call" | "custom_tool_call" | "local_shell_call") => {
                found.has_call |= call_id.is_some_and(|id| item.text("call_id") == Some(id));
            }
            _ if !found.has_call => {}
            Some("message") if item.text("role") == Some("assistant") => {
                before(&mut found.summary, &parts(item, "content"));
            }
            Some("reasoning") => {
                before(&mut found.reasoning, &parts(item, "content"));
                before(&mut found.reasoning, &parts(item, "summary"));
            }
            _ => break,
        }
    }
    found
}

/// The texts of a list of parts.
fn parts(item: &Json<'_>, key: &str) -> String {
    let parts = item.list(key).unwrap_or_default();
    let texts: Vec<&str> = parts.iter().filter_map(|part| part.text("text")).collect();
    texts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64, bytes: &[u8]) -> Mark {
        Mark {
            offset,
            prefix_blake3: Hash(*blake3::hash(bytes).as_bytes()),
        }
    }

    #[test]
    fn words_before_the_call_and_only_of_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.jsonl");
        let text = concat!(
            r#"{"type":"assistant","message":{"id":"m0","model":"x","content":[{"type":"text","text":"old"},{"type":"tool_use","id":"t0"}]}}"#,
            "\n",
            r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t0"}]}}"#,
            "\n",
            r#"{"type":"assistant","message":{"id":"m1","model":"y","content":[{"type":"thinking","thinking":"because"}]}}"#,
            "\n",
            r#"{"type":"assistant","message":{"id":"m1","model":"y","content":[{"type":"text","text":"first one"}]}}"#,
            "\n",
            r#"{"type":"assistant","message":{"id":"m1","model":"y","content":[{"type":"tool_use","id":"t1"}]}}"#,
            "\n",
            r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1"}]}}"#,
            "\n",
            r#"{"type":"assistant","message":{"id":"m1","model":"y","content":[{"type":"tool_use","id":"t2"}]}}"#,
            "\n",
            r#"{"type":"attachment","#,
        );
        std::fs::write(&path, text).unwrap();
        let found = look(Agent::ClaudeCode, &path, Some("t2"), None);
        assert_eq!(
            (found.summary.as_str(), found.reasoning.as_str()),
            ("first one", "because")
        );
        assert_eq!(found.model.as_deref(), Some("y"));
        assert_eq!(found.mark, Some(at(text.len() as u64, text.as_bytes())));
        let other = look(Agent::ClaudeCode, &path, Some("t9"), None);
        assert!(!other.has_call && other.summary.is_empty() && other.mark.is_some());
    }

    #[test]
    fn a_beginning_that_changed_shows_wherever_it_did() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.jsonl");
        let mut text = vec![b'a'; PIECE + 7];
        std::fs::write(&path, &text).unwrap();
        let mark = look(Agent::Codex, &path, None, None).mark.unwrap();
        text.extend_from_slice(b"more");
        std::fs::write(&path, &text).unwrap();
        let again = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            look(Agent::Codex, &path, None, Some(mark)).unchanged
        };
        assert_eq!(again(&text), Some(true));
        for place in [0, PIECE, PIECE + 6] {
            let mut changed = text.clone();
            changed[place] = b'b';
            assert_eq!(again(&changed), Some(false), "{place}");
        }
        assert_eq!(again(&text[..100]), Some(false));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            look(Agent::Codex, &path, None, Some(mark)).unchanged,
            Some(false)
        );
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert_eq!(look(Agent::Codex, &path, None, None), Found::default());
    }
}
