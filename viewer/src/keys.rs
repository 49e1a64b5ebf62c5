//! Every key, once: the table behind the keyboard, the hint bar, the help, the palette and the settings file.

use std::collections::BTreeMap;
use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::app::Screen;

/// What a key does.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Action {
    Approve,
    Back,
    Bottom,
    Copy,
    CopyCommand,
    CopyHash,
    CopyId,
    CopyProof,
    CopyRecord,
    Deny,
    Diff,
    DiffRoot,
    Down,
    Enter,
    Export,
    Filter,
    Follow,
    Forward,
    Goto,
    HalfDown,
    HalfUp,
    Help,
    JumpMark,
    Kill,
    Left,
    Line,
    Mark,
    Next,
    NextLineage,
    NextPane,
    Out,
    PageDown,
    PageUp,
    Palette,
    Pick,
    Play,
    Previous,
    PreviousLineage,
    Quit,
    Redraw,
    Release,
    Right,
    Same,
    Show(Screen),
    Slower,
    Faster,
    Sort,
    Step,
    StepBack,
    StepBy,
    Suspend,
    Theme,
    Top,
    Up,
    Verify,
    Zoom,
}

/// Where a key means something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Where {
    Everywhere,
    On(&'static [Screen]),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) action: Action,
    /// Its name in the settings file and the palette.
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [&'static str],
    pub(crate) whence: Where,
    /// What it does, for the help.
    pub(crate) what: &'static str,
    /// Short, for the hint bar; empty if it never stands there.
    pub(crate) hint: &'static str,
}

const fn key(
    action: Action,
    name: &'static str,
    keys: &'static [&'static str],
    whence: Where,
    what: &'static str,
    hint: &'static str,
) -> Entry {
    Entry {
        action,
        name,
        keys,
        whence,
        what,
        hint,
    }
}

use Action as A;
use Screen as S;
use Where::{Everywhere, On};

const GRAPH: Where = On(&[S::Lineage]);
const INBOX: Where = On(&[S::Inbox]);
const REPLAY: Where = On(&[S::Replay]);

/// The table, in the order in which help shows it and hints are taken.
#[rustfmt::skip]
pub(crate) const TABLE: &[Entry] = &[
    // What most people come for; the hint bar takes from the top.
    key(A::Enter, "open", &["enter"], Everywhere, "explain the record here; open the link or the row here", "explain"),
    key(A::Diff, "diff", &["d"], Everywhere, "what changed, against the parent", "diff"),
    key(A::Approve, "approve", &["A"], INBOX, "approve the request here: a dialog, which acts when you have typed its digest", "approve"),
    key(A::Deny, "deny", &["X"], INBOX, "deny the request here: a dialog, which wants a reason", "deny"),
    key(A::Sort, "sort", &["s"], GRAPH, "order by tree, score, gain, or what lacks a reason", "sort"),
    key(A::Line, "line", &["o"], GRAPH, "only the way from the root to the generation here, or all again", "one line"),
    key(A::Play, "play", &["space"], REPLAY, "play, pause", "play"),
    key(A::StepBy, "step-by", &[";"], REPLAY, "what a step is: record, action, mutation, generation", "step by"),
    key(A::Filter, "filter", &["/"], Everywhere, "show only records that meet a filter, such as status:failed or words; tab completes, and the last filter is there to change", "filter"),
    key(A::Show(S::Timeline), "timeline", &["1"], Everywhere, "screen: all records", ""),
    key(A::Show(S::Explain), "explain", &["2"], Everywhere, "screen: the seven answers about the record here", ""),
    key(A::Show(S::Diff), "changes", &["3"], Everywhere, "screen: what changed", ""),
    key(A::Show(S::Lineage), "lineage", &["4"], Everywhere, "screen: generations in their tree, with scores, gains, reasons, drift", "lineage"),
    key(A::Show(S::Replay), "replay", &["5"], Everywhere, "screen: the agent's prompt, tools and rules as of the record here", "replay"),
    key(A::Show(S::Inbox), "inbox", &["6", "a"], Everywhere, "screen: what waits for humans", "inbox"),
    key(A::Show(S::Health), "health", &["7"], Everywhere, "screen: is this log whole, and how do we know", "health"),
    key(A::Copy, "copy", &["y"], Everywhere, "copy through the terminal; then i id, h hash, r record, p proof, c command", "copy"),
    key(A::Help, "help", &["?"], Everywhere, "all keys; type a word to search", "help"),
    key(A::Palette, "palette", &[":", "ctrl-p"], Everywhere, "find an action by its name", "palette"),
    key(A::Out, "out", &["esc"], Everywhere, "one layer back; clears the filter last; never quits", ""),
    key(A::Quit, "quit", &["q", "ctrl-c"], Everywhere, "leave", "quit"),
    // Moving.
    key(A::Down, "down", &["j", "down"], Everywhere, "down", ""),
    key(A::Up, "up", &["k", "up"], Everywhere, "up", ""),
    key(A::Left, "left", &["h", "left"], Everywhere, "fold; scroll to the left", ""),
    key(A::Right, "right", &["l", "right"], Everywhere, "unfold; scroll to the right", ""),
    key(A::HalfDown, "half-down", &["ctrl-d"], Everywhere, "half a page down", ""),
    key(A::HalfUp, "half-up", &["ctrl-u"], Everywhere, "half a page up", ""),
    key(A::PageDown, "page-down", &["pgdn"], Everywhere, "a page down", ""),
    key(A::PageUp, "page-up", &["pgup"], Everywhere, "a page up", ""),
    key(A::Top, "top", &["g", "home"], Everywhere, "to the first", ""),
    key(A::Bottom, "bottom", &["G", "end"], Everywhere, "to the last", ""),
    key(A::Goto, "goto", &["#"], Everywhere, "to a record by its number", ""),
    key(A::StepBack, "step-back", &[","], Everywhere, "one step back in time", ""),
    key(A::Step, "step", &["."], Everywhere, "one step on in time", ""),
    key(A::Same, "same", &["*"], Everywhere, "seek records of the same kind as the one here; then n and N go to them", ""),
    key(A::Next, "next", &["n"], Everywhere, "to the next one that is sought", ""),
    key(A::Previous, "previous", &["N"], Everywhere, "to the one before that is sought", ""),
    key(A::Back, "back", &["["], Everywhere, "back to where you were", ""),
    key(A::Forward, "forward", &["]"], Everywhere, "forward again", ""),
    key(A::Mark, "mark", &["m"], Everywhere, "set a marker here; then a letter", ""),
    key(A::JumpMark, "jump-mark", &["'"], Everywhere, "to a marker; then its letter", ""),
    key(A::NextPane, "next-pane", &["tab"], Everywhere, "to the next pane or link; on lineage, to the best generation", ""),
    key(A::Zoom, "zoom", &["z"], Everywhere, "the pane alone, or all panes again", ""),
    key(A::Follow, "follow", &["f"], Everywhere, "follow new records as they come", ""),
    key(A::DiffRoot, "diff-root", &["D"], Everywhere, "what changed, against the root of the lineage", ""),
    key(A::NextLineage, "next-lineage", &["}"], GRAPH, "the next lineage of this log", ""),
    key(A::PreviousLineage, "previous-lineage", &["{"], GRAPH, "the lineage before", ""),
    key(A::Faster, "faster", &["+"], REPLAY, "play faster", ""),
    key(A::Slower, "slower", &["-"], REPLAY, "play slower", ""),
    key(A::Verify, "verify", &["v"], Everywhere, "verify the whole log in the background; again goes on with what is new; on health, stops it and goes on", "verify"),
    key(A::Pick, "pick", &["space"], On(&[S::Timeline, S::Explain, S::Diff, S::Lineage]), "mark the record here for e, or take the mark away", ""),
    key(A::Export, "export", &["e"], Everywhere, "write what is marked, else what meets the filter, into a new file", ""),
    key(A::Kill, "kill", &["K"], Everywhere, "stop agents: a dialog, which acts when you have typed whom and why", ""),
    key(A::Release, "release", &["R"], Everywhere, "undo a kill: a dialog, which acts when you have typed its hash and why", ""),
    key(A::Theme, "theme", &["T"], Everywhere, "the next theme: dark, light, contrast, mono", ""),
    key(A::Redraw, "redraw", &["ctrl-l"], Everywhere, "draw everything anew", ""),
    key(A::Suspend, "suspend", &["ctrl-z"], Everywhere, "suspend; `fg` comes back", ""),
    // After y, and from the palette.
    key(A::CopyId, "copy-id", &[], Everywhere, "copy the record's number", ""),
    key(A::CopyHash, "copy-hash", &[], Everywhere, "copy the record's leaf hash", ""),
    key(A::CopyRecord, "copy-record", &[], Everywhere, "copy the record as JSON", ""),
    key(A::CopyProof, "copy-proof", &[], Everywhere, "copy the command that makes the proof", ""),
    key(A::CopyCommand, "copy-command", &[], Everywhere, "copy the command that opens this view again", ""),
];

/// Whose keys stay where everybody knows them.
pub(crate) const DANGER: [Action; 4] = [A::Approve, A::Deny, A::Kill, A::Release];

impl Entry {
    /// Whether the key means something on a screen; if not, why.
    pub(crate) fn works(&self, screen: Screen) -> Result<(), String> {
        match self.whence {
            Everywhere => Ok(()),
            On(screens) if screens.contains(&screen) => Ok(()),
            On(screens) => {
                let names: Vec<_> = screens.iter().map(|s| s.name()).collect();
                Err(format!("only on {}", names.join(", ")))
            }
        }
    }
}

/// A key with what is held down.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Chord {
    code: Code,
    ctrl: bool,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Code {
    Char(char),
    Named(&'static str),
}

const NAMED: [(&str, KeyCode, &str); 14] = [
    ("enter", KeyCode::Enter, "⏎"),
    ("esc", KeyCode::Esc, "esc"),
    ("tab", KeyCode::Tab, "tab"),
    ("backtab", KeyCode::BackTab, "shift-tab"),
    ("backspace", KeyCode::Backspace, "backspace"),
    ("up", KeyCode::Up, "↑"),
    ("down", KeyCode::Down, "↓"),
    ("left", KeyCode::Left, "←"),
    ("right", KeyCode::Right, "→"),
    ("pgup", KeyCode::PageUp, "PgUp"),
    ("pgdn", KeyCode::PageDown, "PgDn"),
    ("home", KeyCode::Home, "Home"),
    ("end", KeyCode::End, "End"),
    ("delete", KeyCode::Delete, "delete"),
];

impl Chord {
    /// The chord of an event, if it is one that can be bound.
    pub(crate) fn of(event: KeyEvent) -> Option<Self> {
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        if event.modifiers.contains(KeyModifiers::ALT) {
            return None;
        }
        let code = match event.code {
            KeyCode::Char(c) => Code::Char(c),
            other => Code::Named(NAMED.iter().find(|(_, code, _)| *code == other)?.0),
        };
        Some(Self { code, ctrl })
    }

    /// Reads `j`, `ctrl-d`, `pgdn`, `space`.
    fn parse(text: &str) -> Option<Self> {
        let (ctrl, rest) = match text.strip_prefix("ctrl-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut chars = rest.chars();
        let code = match (chars.next(), chars.next()) {
            (Some(c), None) => Code::Char(c),
            _ if rest == "space" => Code::Char(' '),
            _ => Code::Named(NAMED.iter().find(|(name, ..)| *name == rest)?.0),
        };
        Some(Self { code, ctrl })
    }
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ctrl {
            f.write_str("^")?;
        }
        match self.code {
            Code::Char(' ') => f.write_str("space"),
            Code::Char(c) => write!(f, "{c}"),
            Code::Named(name) => {
                let shown = NAMED.iter().find(|(n, ..)| *n == name);
                f.write_str(shown.map_or(name, |(_, _, shown)| shown))
            }
        }
    }
}

/// Which keys do what, after the user's settings.
#[derive(Clone, Debug)]
pub struct Keymap {
    bound: BTreeMap<Chord, Vec<Action>>,
}

impl Default for Keymap {
    fn default() -> Self {
        let mut bound = BTreeMap::new();
        for entry in TABLE {
            for text in entry.keys {
                if let Some(chord) = Chord::parse(text) {
                    bound
                        .entry(chord)
                        .or_insert_with(Vec::new)
                        .push(entry.action);
                }
            }
        }
        Self { bound }
    }
}

impl Keymap {
    /// Reads the user's settings: a table `[keys]` with a list of keys for each action that has others.
    ///
    /// ```toml
    /// [keys]
    /// follow = ["F"]
    /// quit = ["ctrl-q"]
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Settings {
            #[serde(default)]
            keys: BTreeMap<String, Vec<String>>,
        }
        let settings: Settings = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        let mut map = Self::default();
        for (name, keys) in &settings.keys {
            let Some(entry) = TABLE.iter().find(|entry| entry.name == name) else {
                return Err(format!(
                    "there is no action `{name}`; `?` in the viewer lists them"
                ));
            };
            if DANGER.contains(&entry.action) {
                return Err(format!(
                    "`{name}` cannot have other keys: what it does cannot be taken back"
                ));
            }
            for actions in map.bound.values_mut() {
                actions.retain(|action| *action != entry.action);
            }
            for key in keys {
                let chord = Chord::parse(key).ok_or_else(|| {
                    format!("`{key}` is no key; such as `j`, `ctrl-d`, `space`, `pgdn`")
                })?;
                let actions = map.bound.entry(chord).or_default();
                if let Some(danger) = DANGER.iter().find(|danger| actions.contains(danger)) {
                    let other = TABLE.iter().find(|e| e.action == *danger);
                    let other = other.map_or("", |e| e.name);
                    return Err(format!(
                        "`{key}` belongs to `{other}`, and cannot have another meaning"
                    ));
                }
                // One key, one meaning on each screen: what was there gives way.
                actions.retain(|action| {
                    let other = TABLE.iter().find(|e| e.action == *action);
                    !other.is_some_and(|other| overlap(other.whence, entry.whence))
                });
                actions.push(entry.action);
            }
        }
        if map
            .bound
            .values()
            .flatten()
            .all(|action| *action != Action::Quit)
        {
            return Err("no key is left to quit with".to_owned());
        }
        Ok(map)
    }

    /// What a key does on a screen.
    pub(crate) fn action(&self, chord: Chord, screen: Screen) -> Option<Action> {
        let actions = self.bound.get(&chord)?;
        let entry = |action: &Action| TABLE.iter().find(|e| e.action == *action);
        actions
            .iter()
            .copied()
            .find(|action| entry(action).is_some_and(|e| e.works(screen).is_ok()))
    }

    /// The keys of an action.
    pub(crate) fn keys(&self, action: Action) -> Vec<Chord> {
        let bound = self.bound.iter();
        let mut keys: Vec<Chord> = bound
            .filter(|(_, actions)| actions.contains(&action))
            .map(|(chord, _)| *chord)
            .collect();
        // As the table has them: the letter before its arrow.
        let entry = TABLE.iter().find(|e| e.action == action);
        let place = |chord: &Chord| {
            entry.and_then(|e| e.keys.iter().position(|k| Chord::parse(k) == Some(*chord)))
        };
        keys.sort_by_key(|chord| place(chord).unwrap_or(usize::MAX));
        keys
    }

    /// The keys of an action as help shows them.
    pub(crate) fn shown(&self, action: Action) -> String {
        let keys = self.keys(action);
        let keys: Vec<String> = keys.iter().map(Chord::to_string).collect();
        keys.join(" ")
    }
}

fn overlap(one: Where, other: Where) -> bool {
    match (one, other) {
        (On(one), On(other)) => one.iter().any(|screen| other.contains(screen)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings_on_a_screen_and_every_name_is_unique() {
        let mut names: Vec<_> = TABLE.iter().map(|e| e.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        for (place, one) in TABLE.iter().enumerate() {
            for text in one.keys {
                assert!(Chord::parse(text).is_some(), "{text}");
                for other in TABLE.iter().skip(place + 1) {
                    let clash = other.keys.contains(text) && overlap(one.whence, other.whence);
                    assert!(!clash, "{text}: {} and {}", one.name, other.name);
                }
            }
        }
    }

    #[test]
    fn keys_can_be_moved_but_not_lost() {
        let map = Keymap::parse("[keys]\nfollow = [\"F\"]\n").unwrap();
        let f = Chord::parse("F").unwrap();
        assert_eq!(map.action(f, Screen::Timeline), Some(Action::Follow));
        assert_eq!(
            map.action(Chord::parse("f").unwrap(), Screen::Timeline),
            None
        );
        assert!(
            Keymap::parse("[keys]\nquit = []")
                .unwrap_err()
                .contains("quit")
        );
        assert!(
            Keymap::parse("[keys]\nfolow = []")
                .unwrap_err()
                .contains("folow")
        );
        assert!(Keymap::parse("[keys]\nfollow = [\"hyper-x\"]").is_err());
        assert!(Keymap::parse("nonsense").is_err());
        for danger in [
            "kill = [\"k\"]",
            "follow = [\"K\"]",
            "approve = [\"enter\"]",
        ] {
            let why = Keymap::parse(&format!("[keys]\n{danger}\n")).unwrap_err();
            assert!(why.contains("cannot have"), "{why}");
        }
    }

    #[test]
    fn a_moved_key_takes_the_place_of_what_was_there() {
        let map = Keymap::parse("[keys]\nfollow = [\"j\"]\n").unwrap();
        let j = Chord::parse("j").unwrap();
        assert_eq!(map.action(j, Screen::Timeline), Some(Action::Follow));
        assert_eq!(map.shown(Action::Down), "↓");
    }
}
