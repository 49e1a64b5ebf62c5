//! `tacho view` in a real terminal: taken over and given back, and the reviewer's exam from cold starts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

#[path = "cli/daemon.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod daemon;
#[path = "cli/home.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod home;
mod view {
    pub(crate) mod act;
    pub(crate) mod exam;
    pub(crate) mod pty;
}

use std::time::Duration;

use home::Home;
use view::pty::Pty;

const WORKED: &str = r#"{"kind":"action","actor":{"type":"agent","id":"builder"},"body":{"tool":"Bash","rationale":{"source":"given"}},"content":{"summary":"\u001b]0;PWNED\u0007\u001b[31mHOSTILE\u001b[2J\u009b31m\u202egnp"}}"#;

fn home() -> Home {
    let home = Home::with_log();
    home.record(&[WORKED, home::MESSAGE, WORKED]).good();
    home
}

#[test]
fn from_start_to_quit_the_terminal_comes_back() {
    let home = home();
    let mut pty = Pty::open(&home, &["view"], (80, 24));
    pty.until("builder");
    assert!(pty.screen().alternate_screen());
    pty.keys("k enter");
    pty.until("says, summary");
    pty.keys("esc q");
    assert_eq!(pty.end(), 0);
    assert!(!pty.screen().alternate_screen());
    assert!(!pty.screen().hide_cursor());
    assert!(!pty.screen().bracketed_paste());
}

#[test]
fn what_an_agent_says_never_reaches_the_wire_unescaped() {
    let home = home();
    let mut pty = Pty::open(&home, &["view"], (160, 50));
    pty.until("\\x1b[31mHOSTILE");
    for keys in [
        "k k enter",
        "d",
        "4",
        "5",
        "6",
        "7",
        "1 / HOSTILE enter",
        "?",
    ] {
        pty.keys(keys);
        pty.settle();
    }
    pty.keys("esc q");
    pty.end();
    let raw = pty.raw();
    for bytes in [
        "\x1b[31mHOSTILE",
        "\x1b]0;",
        "PWNED\x07",
        "\u{9b}31m",
        "\u{202e}",
    ] {
        let found = raw
            .windows(bytes.len())
            .any(|window| window == bytes.as_bytes());
        assert!(!found, "{bytes:?} is on the wire");
    }
}

#[test]
fn the_window_may_change() {
    let home = home();
    let mut pty = Pty::open(&home, &["view"], (80, 24));
    pty.until("builder");
    pty.resize((52, 14));
    pty.until("needs 60x16, have 52x14");
    pty.resize((160, 50));
    // The answers stand beside the list now.
    pty.until("Proof");
    pty.keys("q");
    assert_eq!(pty.end(), 0);
}

#[test]
fn a_signal_ends_it_and_the_terminal_comes_back() {
    let home = home();
    let mut pty = Pty::open(&home, &["view"], (80, 24));
    pty.until("builder");
    pty.signal("TERM");
    assert_eq!(pty.end(), 0);
    assert!(!pty.screen().alternate_screen());
}

#[test]
fn killed_it_leaves_the_log_as_it_was() {
    let home = home();
    let mut pty = Pty::open(&home, &["view"], (80, 24));
    pty.until("builder");
    pty.signal("KILL");
    pty.end();
    home.run(["verify"]).good();
    let mut pty = Pty::open(&home, &["view"], (80, 24));
    pty.until("builder");
    pty.keys("q");
    assert_eq!(pty.end(), 0);
}

#[test]
fn it_can_be_suspended() {
    let home = home();
    let tacho = env!("CARGO_BIN_EXE_tacho");
    let script =
        format!("set -m; '{tacho}' view; echo SUSPENDED; read x; fg >/dev/null; echo ENDED");
    let mut pty = Pty::shell(&home, &script, (80, 24));
    pty.until("builder");
    pty.keys("ctrl-z");
    pty.until("SUSPENDED");
    assert!(!pty.screen().alternate_screen());
    pty.keys("enter");
    pty.until("builder");
    assert!(pty.screen().alternate_screen());
    pty.keys("q");
    pty.until("ENDED");
    assert!(!pty.screen().alternate_screen());
}

#[test]
fn nothing_happens_while_nothing_happens() {
    let home = home();
    let mut pty = Pty::open(&home, &["view"], (80, 24));
    pty.until("verified");
    pty.settle();
    let before = pty.raw().len();
    std::thread::sleep(Duration::from_millis(1500));
    pty.settle();
    assert_eq!(pty.raw().len(), before, "something was drawn");
    pty.keys("q");
    pty.end();
}

#[test]
fn without_a_terminal_it_prints_lines() {
    let home = home();
    let ran = home
        .run(["view", "--screen", "explain", "--seq", "4"])
        .good();
    assert!(ran.out.contains("says:"), "{ran:?}");
    assert!(
        ran.out.contains("\\x1b[31mHOSTILE") && !ran.out.contains('\x1b'),
        "{ran:?}"
    );
    let ran = home
        .run(["view", "--plain", "--filter", "kind:action"])
        .good();
    assert!(ran.out.contains("filter kind:action: 2 found"), "{ran:?}");
    home.run(["view", "--filter", "kind:acton"])
        .refused(2, "in the filter");
    home.run(["view", "/nowhere/at/all"])
        .refused_with_hint(2, "there is no log");
    home.run(["view", "--screen", "explain", "--seq", "999"])
        .refused(2, "there is no");
    std::fs::write(home.path("keys.toml"), "[keys]\nquit = []\n").unwrap();
    home.run(["view", "--keys", "keys.toml"]).refused(2, "quit");
}
