//! A hook goes into settings of any layout and comes out again to the byte.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::PathBuf;

use serde_json::Value;
use tacho_recorder::hook::Agent;
use tacho_recorder::hook::harness::Scope;
use tacho_recorder::hook::install::{Command, Door, add, installed, is_bare, remove};
use tacho_schemas::Hash;
use tacho_schemas::sign::Fingerprint;

fn command(agent: Agent, program: &str, hold: u64) -> Command {
    Command {
        program: PathBuf::from(program),
        agent,
        origin: "tacho.invalid/00112233445566778899aabbccddeeff".to_owned(),
        key: Fingerprint(Hash([7; 32])),
        door: Door::Log("/l og/default.run/sessions/hooks.sock".into()),
        switch: "/l og/default.run".into(),
        hold,
    }
}

fn gated() -> impl Iterator<Item = Agent> {
    Agent::all().filter(|agent| *agent != Agent::Generic)
}

/// Settings as people lay them out. `MINE` stands for a hook of their own.
const LAYOUTS: [&str; 14] = [
    "{}",
    "{}\n",
    "{ }\n",
    "{\n}\n",
    "\n\n{\"a\":1}",
    "{\"a\":[1,2],\"hooks\":{}}",
    "{\"hooks\":{\"EVENT\":[]}}",
    "{\"hooks\":{\"EVENT\":[MINE]},\"z\":null}",
    "{\n  \"hooks\": {\n    \"EVENT\": [\n      MINE\n    ],\n    \"Other\": []\n  }\n}\n",
    "{\n\t\"a\": \"ünï\\u00e9 \\\"hooks\\\": {\",\n\t\"hooks\": {\n\t\t\"Other\": [MINE]\n\t}\n}",
    "{\r\n    \"a\": 1,\r\n    \"b\": {}\r\n}\r\n",
    "{ \"hooks\" : { \"Other\" : [ ] , \"EVENT\" : [ MINE , MINE ] } , \"n\": 1.50 }",
    "{\n  \"hooks\":\n  {\n  }\n}\n",
    "{\"permissions\":{\"hooks\":{\"EVENT\":[1]}}}",
];

const MINE: &str =
    r#"{"matcher":"Bash","hooks":[{"type":"command","command":"/usr/bin/true hook"}]}"#;

#[test]
fn every_layout_comes_back_to_the_byte() {
    for agent in gated() {
        let harness = agent.harness();
        let event = harness.listens.first().unwrap().event;
        for layout in LAYOUTS {
            let before = layout.replace("EVENT", event).replace("MINE", MINE);
            let ours = command(agent, "/opt/it's here/tacho", 60);
            let with = add(&ours, Scope::Project, Some(&before)).unwrap();
            let found = installed(agent, Scope::Project, &with).unwrap();
            assert_eq!(found.len(), harness.listens.len(), "{agent}: {with}");
            assert_eq!(
                add(&ours, Scope::Project, Some(&with)).unwrap(),
                with,
                "{agent}"
            );
            // Whatever was there is there.
            let (old, new): (Value, Value) = (
                serde_json::from_str(&before).unwrap(),
                serde_json::from_str(&with).unwrap(),
            );
            for (key, value) in old.as_object().unwrap() {
                if key != "hooks" {
                    assert_eq!(new.get(key), Some(value), "{agent}");
                }
            }
            assert_eq!(
                with.matches("/usr/bin/true hook").count(),
                before.matches("/usr/bin/true hook").count()
            );
            let back = remove(agent, Scope::Project, &with).unwrap();
            let value: Value = serde_json::from_str(&back).unwrap();
            // Containers that were empty are the one thing that is not told apart; the verb keeps the bytes of such files.
            let told_apart = !before.contains("{ }")
                && !before.contains("{\n}")
                && !before.contains("\"hooks\":{}")
                && !before.contains("[]}")
                && !before.contains("{\n  }");
            if told_apart {
                assert_eq!(back, before, "{agent}");
            } else {
                let bare = |value: &Value| {
                    let mut value = value.clone();
                    let hooks = value.get_mut("hooks").and_then(Value::as_object_mut);
                    if let Some(hooks) = hooks {
                        hooks.retain(|_, list| list.as_array().is_none_or(|list| !list.is_empty()));
                    }
                    if value
                        .get("hooks")
                        .is_some_and(|h| h.as_object().is_some_and(serde_json::Map::is_empty))
                    {
                        value.as_object_mut().unwrap().remove("hooks");
                    }
                    value
                };
                assert_eq!(bare(&value), bare(&old), "{agent}: {before}");
            }
        }
    }
}

#[test]
fn what_was_changed_in_between_stays_and_an_old_hook_makes_way() {
    for agent in gated() {
        let harness = agent.harness();
        let event = harness.listens.first().unwrap().event;
        let first = add(&command(agent, "/old/tacho", 60), Scope::User, None).unwrap();
        let second = add(&command(agent, "/new/tacho", 30), Scope::User, Some(&first)).unwrap();
        assert!(!second.contains("/old/tacho") && second.contains("/new/tacho"));
        assert_eq!(
            installed(agent, Scope::User, &second).unwrap().len(),
            harness.listens.len()
        );
        let bare = remove(agent, Scope::User, &second).unwrap();
        assert!(is_bare(agent, Scope::User, &bare), "{agent}: {bare}");
        // Somebody adds a hook of theirs after ours, and a setting.
        let mut value: Value = serde_json::from_str(&second).unwrap();
        value["mine"] = true.into();
        value["hooks"][event]
            .as_array_mut()
            .unwrap()
            .push(serde_json::from_str(MINE).unwrap());
        let edited = serde_json::to_string_pretty(&value).unwrap();
        let rest = remove(agent, Scope::User, &edited).unwrap();
        let rest: Value = serde_json::from_str(&rest).unwrap();
        assert_eq!(rest["mine"], true);
        assert_eq!(rest["hooks"][event].as_array().unwrap().len(), 1);
        assert!(!rest.to_string().contains("--agent"));
    }
}

#[test]
fn managed_settings_of_codex_are_toml_and_come_back_to_the_byte() {
    let ours = command(Agent::Codex, "/opt/tachograph/tacho", 540);
    for before in [
        "",
        "# mine\n",
        "allowed_approval_policies = [\"never\"]",
        "[hooks]\nmanaged_dir = \"/opt/x\"\n[[hooks.PreToolUse]]\nmatcher = \"^Bash$\"\n[[hooks.PreToolUse.hooks]]\ntype = \"command\"\ncommand = \"/opt/x/y\"\n",
        "[features]\nhooks = true\nx = false\n",
    ] {
        let with = add(&ours, Scope::Managed, Some(before)).unwrap();
        assert_eq!(
            installed(Agent::Codex, Scope::Managed, &with)
                .unwrap()
                .len(),
            3,
            "{with}"
        );
        assert_eq!(add(&ours, Scope::Managed, Some(&with)).unwrap(), with);
        let table: toml::Table = toml::from_str(&with).unwrap();
        assert!(table["hooks"]["managed_dir"].is_str());
        assert_eq!(
            table["features"]["hooks"].as_bool(),
            Some(true),
            "or `-c features.hooks=false` turns it off"
        );
        assert_eq!(remove(Agent::Codex, Scope::Managed, &with).unwrap(), before);
    }
    for bad in [
        "[hooks]\nx = 1\n",
        "not toml",
        "hooks = 1\n",
        "[features]\nx = true\n",
        "[features]\nhooks = false\n",
        "features = 1\n",
    ] {
        add(&ours, Scope::Managed, Some(bad)).unwrap_err();
    }
}

#[test]
fn a_hold_longer_than_the_harness_waits_is_refused_and_so_are_settings_that_cannot_be_read() {
    for agent in gated() {
        let longest = agent.harness().longest_hold();
        add(&command(agent, "/t/tacho", longest), Scope::User, None).unwrap();
        let error = add(&command(agent, "/t/tacho", longest + 1), Scope::User, None).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
        let ours = command(agent, "/t/tacho", 60);
        for bad in [
            "[]",
            "{\"a\":1,\"a\":2}",
            "{\"hooks\":[]}",
            "{\"hooks\":{\"PreToolUse\":{},\"BeforeTool\":1,\"preToolUse\":\"x\"}}",
            "{ // a comment\n}",
            "{\"hooks\":",
        ] {
            add(&ours, Scope::User, Some(bad)).unwrap_err();
        }
        let mut relative = command(agent, "tacho", 60);
        add(&relative, Scope::User, None).unwrap_err();
        relative.program = "/t/tacho\nx".into();
        add(&relative, Scope::User, None).unwrap_err();
    }
    add(&command(Agent::Generic, "/t/tacho", 60), Scope::User, None).unwrap_err();
}

/// The line is one that a shell splits into the same words.
#[test]
fn a_shell_reads_the_line_as_the_words() {
    let ours = command(Agent::Codex, "/bin/echo", 60);
    let line = format!("printf '%s\\n' {}", ours.line());
    let said = std::process::Command::new("/bin/sh")
        .args(["-c", &line])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let mut words = vec!["/bin/echo".to_owned()];
    words.extend(ours.args());
    assert_eq!(said.lines().collect::<Vec<_>>(), words);
}
