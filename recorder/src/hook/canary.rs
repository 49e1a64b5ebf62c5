//! The canary: an action that every policy denies, in each harness's words.

use serde_json::{Value, json};

use super::Agent;

/// What the input of a canary contains, and of nothing else: the gate denies it whatever the policy.
pub const MARK: &str = "tachograph-canary-";

/// The harness's session of all canaries.
const SESSION: &str = "canary";

impl Agent {
    /// What the harness would send before it runs a canary of this name.
    pub fn canary(self, name: &str) -> String {
        let command = format!(": {name}");
        let payload = match self {
            Self::ClaudeCode => json!({
                "session_id": SESSION, "transcript_path": "/nonexistent", "cwd": "/", "prompt_id": name,
                "permission_mode": "default", "hook_event_name": "PreToolUse", "tool_name": "Bash",
                "tool_input": {"command": command}, "tool_use_id": name,
            }),
            Self::Codex => json!({
                "session_id": SESSION, "turn_id": name, "transcript_path": null, "cwd": "/",
                "hook_event_name": "PreToolUse", "model": SESSION, "permission_mode": "default", "tool_name": "Bash",
                "tool_input": {"command": command}, "tool_use_id": name,
            }),
            Self::Copilot => json!({
                "sessionId": SESSION, "timestamp": 0, "cwd": "/", "toolName": "bash", "toolArgs": {"command": command},
            }),
            Self::Cursor => json!({
                "conversation_id": SESSION, "generation_id": name, "session_id": SESSION, "cursor_version": "0",
                "hook_event_name": "preToolUse", "workspace_roots": ["/"], "tool_name": "Shell",
                "tool_input": {"command": command}, "tool_use_id": name, "cwd": "/",
            }),
            Self::Gemini => json!({
                "session_id": SESSION, "transcript_path": "", "cwd": "/", "hook_event_name": "BeforeTool",
                "timestamp": "1970-01-01T00:00:00Z", "tool_name": "run_shell_command", "tool_input": {"command": command},
            }),
            Self::Generic => json!({
                "tacho": 1, "event": "before", "session": SESSION, "cwd": "/", "tool": "shell",
                "input": {"command": command}, "call": name,
            }),
        };
        payload.to_string()
    }

    /// Whether what a hook said is a no, as this harness reads it.
    pub fn is_deny(self, stdout: &[u8]) -> bool {
        let Ok(said) = serde_json::from_slice::<Value>(stdout) else {
            return false;
        };
        let pointer = match self {
            Self::ClaudeCode | Self::Codex => "/hookSpecificOutput/permissionDecision",
            Self::Copilot => "/permissionDecision",
            Self::Cursor => "/permission",
            Self::Gemini | Self::Generic => "/decision",
        };
        said.pointer(pointer).and_then(Value::as_str) == Some("deny")
    }
}
