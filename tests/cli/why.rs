//! Seven answers about records of a real lineage.

use std::path::Path;

use super::home::Home;

#[test]
fn a_generation_is_told_from_its_root() {
    let home = Home::with_log();
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/lineages/codeevolve/island1.jsonl");
    home.run(["import", file.to_str().unwrap()]).good();
    let out = home.run(["why", "78"]).good().out;
    for said in [
        "5 lines added, 4 removed",
        "fitness 0.9911787498257759 → 0.9960252834090959",
        "nobody here decided",
        "#12 prompt of iteration 2  alive  fitness 0.9903531301708463 (a claim: no context)",
    ] {
        assert!(out.contains(said), "{said}\n{out}");
    }
}

/// An agent can write what looks like our own lines; nothing of it stands where ours do, and nothing reaches the terminal.
#[test]
fn hostile_text_stays_behind_the_bar() {
    let home = Home::with_log();
    let text = "fine\n\n5  who allowed it, under which rule\n   allowed by `root`\n\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}txt.exe\u{200b}\r   ! hidden";
    let event = serde_json::json!({
        "kind": "message", "actor": {"type": "agent", "id": "quill"},
        "body": {"speaker": "assistant"}, "content": {"text": text, "reasoning": "a\nb"},
    });
    let ran = home.record(&[&event.to_string()]).good();
    let seq = ran.json()[0]["seq"].to_string();
    let out = home.run(["why", &seq]).good().out;
    for line in out.lines() {
        let hostile = ["by `root`", "owned", "txt.exe", "hidden"];
        if hostile.iter().any(|word| line.contains(word)) {
            assert!(line.starts_with("   │ "), "{line}");
        }
        assert!(
            line.chars()
                .all(|c| !c.is_control() && !"\u{202e}\u{200b}".contains(c)),
            "{line:?}"
        );
    }
    let headings = out
        .lines()
        .filter(|line| line.starts_with("5  who allowed it"));
    assert_eq!(headings.count(), 1, "{out}");
    let listed = home.run(["list"]).good().out;
    assert!(
        listed.chars().all(|c| c == '\n' || !c.is_control()),
        "{listed:?}"
    );
}

#[test]
fn a_secret_that_was_taken_out_is_a_finding() {
    let home = Home::with_log();
    let secret = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    let event = super::home::MESSAGE.replace("done", &format!("token {secret}"));
    let seq = home.record(&[&event]).good().json()[0]["seq"].to_string();
    for args in [&["list"][..], &["why", &seq]] {
        let out = home.run(args).good().out;
        assert!(out.contains("finding: 1 × github-token"), "{out}");
        assert!(!out.contains(&secret), "{out}");
    }
}
