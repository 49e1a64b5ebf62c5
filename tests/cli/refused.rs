//! What goes wrong: one clear sentence, the next step, the right exit code, never a panic.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::home::{Home, MESSAGE};

#[test]
fn without_a_log_every_verb_says_how_to_make_one() {
    let home = Home::empty();
    for verb in [
        &["record"][..],
        &["import", "transcript.jsonl"],
        &["list"],
        &["why", "1"],
        &["verify"],
        &["prove", "inclusion", "1"],
        &["prove", "consistency", "1"],
        &["export", "tiles", "out"],
        &["key", "show"],
        &["key", "rotate"],
        &["serve"],
        &["approver", "list"],
    ] {
        home.run(verb).refused_with_hint(2, "there is no log in `");
    }
    assert!(!home.path("out").exists());
    std::fs::create_dir(home.path("empty")).unwrap();
    for verb in ["record", "list", "verify"] {
        let ran = home.run(["--log", "empty", verb]);
        ran.refused_with_hint(2, "there is no log in `");
    }
    assert_eq!(std::fs::read_dir(home.path("empty")).unwrap().count(), 0);
}

#[test]
fn lines_that_are_no_events() {
    let home = Home::with_log();
    let with = |old: &str, new: &str| MESSAGE.replacen(old, new, 1).into_bytes();
    let many: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    let causes = format!(r#"{{"causes":[{}],"#, many.join(","));
    let artefact = r#"{"role":"part","text":"x"}"#;
    let artefacts = format!(r#"{{"artefacts":[{}],"#, vec![artefact; 300].join(","));
    let long_text = "x".repeat(33 << 20);
    let long_line = "x".repeat(100_000_000);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("not UTF-8", b"\xff\xfe".to_vec(), "the line is not UTF-8"),
        ("NUL", b"\0\0".to_vec(), "not JSON"),
        (
            "NUL in a text",
            with("done", "do\0ne"),
            "not JSON: control character",
        ),
        ("an array", b"[1,2]".to_vec(), "an event is a JSON object"),
        ("nothing in it", b"{}".to_vec(), "missing field `kind`"),
        (
            "half a line",
            MESSAGE.as_bytes()[..40].to_vec(),
            "it ends too early",
        ),
        ("deep", vec![b'['; 100_000], "an event is a JSON object"),
        (
            "deep objects",
            br#"{"kind":"#.repeat(5000),
            "not understood",
        ),
        (
            "unknown kind",
            with("message", "massage"),
            "unknown kind `massage`; known: `genesis`",
        ),
        (
            "unknown field",
            with("{", r#"{"mood":1,"#),
            "unknown field `mood`",
        ),
        (
            "unknown content",
            with(r#""text""#, r#""goal""#),
            "`message` has no content `goal`",
        ),
        (
            "an article",
            with("message", "action"),
            "in `body`: unknown field `speaker`",
        ),
        (
            "bad id",
            with("quill", "quill 2"),
            "id: must be 1 to 64 bytes of printable ASCII",
        ),
        (
            "later cause",
            with("{", r#"{"causes":[99],"#),
            "cause 99 does not come before the record",
        ),
        (
            "later session",
            with("{", r#"{"session":99,"#),
            "session 99 does not come before the record",
        ),
        ("many causes", with("{", &causes), "more than 256 causes"),
        (
            "many artefacts",
            with("{", &artefacts),
            "more than 256 artefacts",
        ),
        (
            "seal",
            br#"{"kind":"seal"}"#.to_vec(),
            "`seal` is for the recorder alone to write",
        ),
        (
            "approval",
            with("message", "approval"),
            "`approval` is for the recorder alone to write",
        ),
        (
            "long text",
            with("done", &long_text),
            "the event's texts are longer than 32 MiB",
        ),
        (
            "long line",
            with("done", &long_line),
            "the line is longer than 64 MiB",
        ),
    ];
    let count = cases.len();
    let mut input = Vec::new();
    for (_, line, _) in &cases {
        input.extend(line);
        input.push(b'\n');
    }
    input.extend(MESSAGE.as_bytes());
    let ran = home.feed(["record"], &input);
    assert_eq!(ran.json().len(), 1, "the last line is good");
    for (number, (name, _, sentence)) in (1..).zip(&cases) {
        let start = format!("tacho: line {number}: ");
        let said = ran
            .err
            .lines()
            .find(|line| line.starts_with(&start))
            .unwrap_or("");
        assert!(said.contains(sentence), "{name}: {said}");
        assert!(said.len() < 500, "{name}: {said}");
    }
    let all = count + 1;
    ran.refused(2, &format!("not recorded: {count} of {all} lines"));
    home.run(["verify"]).good();
}

#[test]
fn an_action_is_named_as_such() {
    let home = Home::with_log();
    let action = r#"{"kind":"action","actor":{"type":"agent","id":"q"},"body":{"tool":"t"},"content":{"text":"x"}}"#;
    home.record(&[action])
        .refused(2, "`action` has no content `text`; it may have `goal`");
}

#[test]
fn doors_that_stand_open() {
    let home = Home::with_log();
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&home.log(), 0o755);
    home.record(&[MESSAGE])
        .refused_with_hint(2, "is open to others (mode 755)");
    open(&home.log(), 0o700);
    for key in ["keys/log.pem", "keys/epoch.pem"] {
        open(&home.log().join(key), 0o644);
        let ran = home.record(&[MESSAGE]);
        ran.refused_with_hint(2, "can be read or written by others");
        open(&home.log().join(key), 0o600);
    }
    open(&home.identity(), 0o644);
    home.run(["key", "rotate", "--log-key"])
        .refused_with_hint(2, "can be read or written by others");
    home.run(["--log", "other", "init"])
        .refused_with_hint(2, "can be read or written by others");
    open(&home.identity(), 0o600);
    home.record(&[MESSAGE]).good();
}

#[test]
fn paths_that_are_something_else() {
    let home = Home::with_log();
    symlink(home.log(), home.path("link")).unwrap();
    std::fs::write(home.path("file"), "x").unwrap();
    symlink(home.path("nowhere"), home.path("dangling")).unwrap();
    for verb in ["record", "list", "verify"] {
        let ran = home.run(["--log", "link", verb]);
        ran.refused_with_hint(2, "link` is a symlink");
        let ran = home.run(["--log", "file", verb]);
        ran.refused_with_hint(2, "file` is not a directory");
        let ran = home.run(["--log", "dangling", verb]);
        ran.refused_with_hint(2, "dangling` is a symlink");
    }
    // A log that lies elsewhere, in part.
    for file in ["log.db", "log.db-wal", "checkpoints"] {
        let (path, aside) = (home.log().join(file), home.path("aside"));
        let was_there = std::fs::rename(&path, &aside).is_ok();
        symlink(&aside, &path).unwrap();
        for verb in ["list", "verify"] {
            home.run([verb])
                .refused(2, &format!("{file}` is a symlink"));
        }
        std::fs::remove_file(&path).unwrap();
        if was_there {
            std::fs::rename(&aside, &path).unwrap();
        }
    }
    home.run(["verify"]).good();
    home.run(["init"]).refused_with_hint(2, "is not empty");
    home.run(["--log", "new", "init", "--domain", "Not A Domain"])
        .refused(2, "needs a domain of lower-case letters");
    assert!(!home.path("new").exists());
    home.run(["--log", "new", "init", "--identity", "new/id.pem"])
        .refused_with_hint(2, "is inside the log");
}

#[test]
fn a_path_need_not_be_text() {
    let home = Home::empty();
    let name = OsString::from_vec(b"caf\xe9\x1b[31m".to_vec());
    let with = |verb: &[&str]| {
        let mut args: Vec<OsString> = vec!["--log".into(), name.clone()];
        args.extend(verb.iter().map(OsString::from));
        home.run(args)
    };
    with(&["list"]).refused(2, "there is no log in `");
    let made = with(&["init", "--json"]).good().json();
    assert!(made[0]["log"].as_str().unwrap().contains("caf"));
    let input = format!("{MESSAGE}\n");
    let mut args: Vec<OsString> = vec!["--log".into(), name.clone()];
    args.push("record".into());
    home.feed(args, input.as_bytes()).good();
    with(&["verify"]).good();
    let list = with(&["list"]).good();
    assert!(!list.out.contains('\x1b'));
    with(&["export", "tiles", "tiles"]).good();
    let ran = with(&["init"]).refused(2, "is not empty");
    assert!(!ran.err.contains('\x1b'), "{ran:?}");
}

#[test]
fn without_a_home_the_log_must_be_named() {
    let home = Home::with_log();
    let mut command = home.command(["list"]);
    command.env_remove("HOME").env_remove("XDG_STATE_HOME");
    let ran = super::home::finish(command.spawn().unwrap(), b"");
    ran.refused_with_hint(2, "neither XDG_STATE_HOME nor HOME names a directory");
    let mut command = home.command(["list"]);
    command.env_remove("HOME").env_remove("XDG_STATE_HOME");
    command.env("TACHO_LOG", home.log());
    super::home::finish(command.spawn().unwrap(), b"").good();
}
