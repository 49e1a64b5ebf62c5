//! What lies over a screen: help, palette, the filter's input, a question for one more key. Esc closes the topmost.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};
use tacho_recorder::filter::{self, Filter, FilterError};
use tacho_schemas::Seq;

use crate::app::{App, Screen};
use crate::ask::Ask;
use crate::dialog::Dialog;
use crate::keys::{Action, Entry, TABLE};

/// One layer.
#[derive(Clone, Debug)]
pub(crate) enum Layer {
    Help {
        query: String,
        scroll: usize,
    },
    Palette {
        query: String,
        chosen: usize,
    },
    Filter(Box<Editor>),
    Goto(String),
    Dialog(Box<Dialog>),
    /// What came of a deed; any key closes it.
    Notice {
        is_good: bool,
        lines: Vec<String>,
    },
    Copy,
    Mark,
    JumpMark,
}

/// After `y`: a key, what it copies.
pub(crate) const COPIES: [(char, Action, &str); 5] = [
    ('i', Action::CopyId, "id"),
    ('h', Action::CopyHash, "leaf hash"),
    ('r', Action::CopyRecord, "record as JSON"),
    ('p', Action::CopyProof, "command for the proof"),
    ('c', Action::CopyCommand, "command for this view"),
];

/// A line that is being typed, with what completes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Editor {
    pub(crate) text: String,
    /// Where the next character goes, in bytes.
    pub(crate) at: usize,
    pub(crate) error: Option<FilterError>,
    /// What the word here could become, and which of them is chosen.
    pub(crate) choices: Vec<String>,
    pub(crate) chosen: usize,
}

impl Layer {
    pub(crate) fn help() -> Self {
        Self::Help {
            query: String::new(),
            scroll: 0,
        }
    }

    pub(crate) fn palette() -> Self {
        Self::Palette {
            query: String::new(),
            chosen: 0,
        }
    }

    pub(crate) fn filter(text: &str) -> Self {
        Self::Filter(Box::new(Editor {
            text: text.to_owned(),
            at: text.len(),
            ..Editor::default()
        }))
    }
}

/// Entries of the key table that fit what is typed, the best first; all, in their order, if nothing is.
pub(crate) fn find(query: &str) -> Vec<&'static Entry> {
    let query = query.trim();
    if query.is_empty() {
        return TABLE.iter().collect();
    }
    let pattern = Pattern::parse(query, CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut found: Vec<(u32, &Entry)> = Vec::new();
    let mut buffer = Vec::new();
    let text = |entry: &Entry| format!("{} {}", entry.name, entry.what);
    // Whoever types a word that stands there wants no others that could be read into it.
    let word = query.to_lowercase();
    let stands = |entry: &Entry| text(entry).to_lowercase().contains(&word);
    let stands_there = TABLE.iter().any(stands);
    for entry in TABLE.iter().filter(|entry| !stands_there || stands(entry)) {
        let text = text(entry);
        let hay = nucleo_matcher::Utf32Str::new(&text, &mut buffer);
        if let Some(score) = pattern.score(hay, &mut matcher) {
            // What is called so comes before what only mentions it.
            let named = if entry.name.contains(query) { 1000 } else { 0 };
            found.push((score + named, entry));
        }
    }
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, entry)| entry).collect()
}

impl App {
    /// Gives a key to the topmost layer, which stays only if it is put back.
    pub(crate) fn key_in(&mut self, layer: Layer, key: KeyEvent) {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        if key.code == KeyCode::Esc || (ctrl && key.code == KeyCode::Char('c')) {
            return;
        }
        match layer {
            Layer::Copy => {
                let found = COPIES.iter().find(|(c, ..)| key.code == KeyCode::Char(*c));
                if let Some((_, action, _)) = found {
                    self.act(*action);
                }
            }
            Layer::Mark => {
                if let KeyCode::Char(c) = key.code {
                    self.markers.insert(c, self.here());
                    self.say(format!(
                        "marker {c} is set at #{}; '{c} comes back",
                        self.cursor
                    ));
                }
            }
            Layer::JumpMark => {
                if let KeyCode::Char(c) = key.code {
                    match self.markers.get(&c) {
                        Some(place) => self.jump(*place),
                        None => self.say(format!("there is no marker {c}; m{c} sets it")),
                    }
                }
            }
            Layer::Goto(mut digits) => match key.code {
                KeyCode::Char(c) if c.is_ascii_digit() && digits.len() < 19 => {
                    digits.push(c);
                    self.layers.push(Layer::Goto(digits));
                }
                KeyCode::Backspace => {
                    digits.pop();
                    self.layers.push(Layer::Goto(digits));
                }
                KeyCode::Enter => {
                    if let Ok(seq) = digits.parse::<u64>() {
                        let last = self.standing.size.saturating_sub(1);
                        if seq > last {
                            self.say(format!("the log ends with #{last}"));
                        }
                        self.open(self.screen, Seq(seq.min(last)));
                    }
                }
                _ => self.layers.push(Layer::Goto(digits)),
            },
            Layer::Help { query, scroll } => self.key_in_help(query, scroll, key),
            Layer::Palette { query, chosen } => self.key_in_palette(query, chosen, key),
            Layer::Filter(editor) => self.key_in_filter(editor, key),
            Layer::Dialog(dialog) => self.key_in_dialog(dialog, key),
            Layer::Notice { .. } => {}
        }
    }

    fn key_in_help(&mut self, mut query: String, mut scroll: usize, key: KeyEvent) {
        match key.code {
            KeyCode::Enter | KeyCode::Char('?') => return,
            KeyCode::Down => scroll = scroll.saturating_add(1),
            KeyCode::Up => scroll = scroll.saturating_sub(1),
            KeyCode::PageDown => scroll = scroll.saturating_add(10),
            KeyCode::PageUp => scroll = scroll.saturating_sub(10),
            KeyCode::Backspace => {
                query.pop();
                scroll = 0;
            }
            KeyCode::Char(c) if !c.is_control() => {
                query.push(c);
                scroll = 0;
            }
            _ => {}
        }
        self.layers.push(Layer::Help { query, scroll });
    }

    fn key_in_palette(&mut self, mut query: String, mut chosen: usize, key: KeyEvent) {
        match key.code {
            KeyCode::Enter => {
                if let Some(entry) = find(&query).get(chosen) {
                    match entry.works(self.screen) {
                        Ok(()) => self.act(entry.action),
                        Err(why) => self.say(format!("{}: {why}", entry.name)),
                    }
                }
                return;
            }
            KeyCode::Down | KeyCode::Tab => chosen = chosen.saturating_add(1),
            KeyCode::Up | KeyCode::BackTab => chosen = chosen.saturating_sub(1),
            KeyCode::Backspace => {
                query.pop();
                chosen = 0;
            }
            KeyCode::Char(c) if !c.is_control() => {
                query.push(c);
                chosen = 0;
            }
            _ => {}
        }
        chosen = chosen.min(find(&query).len().saturating_sub(1));
        self.layers.push(Layer::Palette { query, chosen });
    }

    fn key_in_filter(&mut self, mut editor: Box<Editor>, key: KeyEvent) {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => {
                match Filter::parse(&editor.text, self.now()) {
                    Ok(filter) => {
                        let text = editor.text.trim().to_owned();
                        self.show(Screen::Timeline);
                        self.set_filter(text, filter);
                        return;
                    }
                    Err(error) => editor.error = Some(error),
                }
                self.layers.push(Layer::Filter(editor));
                return;
            }
            KeyCode::Tab => editor.complete(),
            KeyCode::Down => {
                let last = editor.choices.len().saturating_sub(1);
                editor.chosen = editor.chosen.saturating_add(1).min(last);
            }
            KeyCode::Up => editor.chosen = editor.chosen.saturating_sub(1),
            KeyCode::Left => editor.at = before(&editor.text, editor.at),
            KeyCode::Right => {
                let next = editor
                    .text
                    .get(editor.at..)
                    .and_then(|rest| rest.chars().next());
                editor.at += next.map_or(0, char::len_utf8);
            }
            KeyCode::Home => editor.at = 0,
            KeyCode::End => editor.at = editor.text.len(),
            KeyCode::Char('u') if ctrl => {
                editor.text.drain(..editor.at);
                editor.at = 0;
            }
            KeyCode::Char('w') if ctrl => {
                let from = editor.word();
                editor.text.drain(from..editor.at);
                editor.at = from;
            }
            KeyCode::Backspace => {
                let from = before(&editor.text, editor.at);
                editor.text.drain(from..editor.at);
                editor.at = from;
            }
            KeyCode::Char(c) if !ctrl && !c.is_control() => {
                editor.insert(c.encode_utf8(&mut [0; 4]))
            }
            _ => {}
        }
        if !matches!(key.code, KeyCode::Down | KeyCode::Up) {
            editor.error = None;
            if let Some(ask) = editor.suggest() {
                self.layers.push(Layer::Filter(editor));
                return self.ask(ask);
            }
        }
        self.layers.push(Layer::Filter(editor));
    }
}

/// Where the character before a place begins.
fn before(text: &str, at: usize) -> usize {
    let last = text.get(..at).and_then(|text| text.chars().next_back());
    at - last.map_or(0, char::len_utf8)
}

impl Editor {
    pub(crate) fn insert(&mut self, text: &str) {
        // A filter longer than this says nothing more.
        if self.text.len() + text.len() <= 2048 {
            self.text.insert_str(self.at, text);
            self.at += text.len();
        }
    }

    /// Where the word begins that is being typed.
    fn word(&self) -> usize {
        let typed = self.text.get(..self.at).unwrap_or_default().trim_end();
        let begins = |c: char| c.is_whitespace() || "(|".contains(c);
        typed.rfind(begins).map_or(0, |place| place + 1)
    }

    /// The beginning of a value or key that is being typed, and where it begins.
    fn typed(&self) -> (usize, &str) {
        let word = self.word();
        let text = self.text.get(word..self.at).unwrap_or_default();
        let minus = text.len() - text.trim_start_matches(['-', '!']).len();
        (word + minus, text.get(minus..).unwrap_or_default())
    }

    /// Finds what could stand here; what only the index knows is asked for.
    fn suggest(&mut self) -> Option<Ask> {
        self.choices.clear();
        self.chosen = 0;
        let (_, typed) = self.typed();
        let Some((name, values)) = typed.split_once(':') else {
            if typed.is_empty() {
                return None;
            }
            let keys = filter::keys().map(|(name, _)| format!("{name}:"));
            let functions = ["under(", "over("].map(str::to_owned);
            let all = keys.chain(functions).filter(|name| name.starts_with(typed));
            self.choices = all.collect();
            self.choices.sort();
            return None;
        };
        let (_, key) = filter::keys().find(|(known, _)| *known == name)?;
        let begins = values.rsplit(',').next().unwrap_or_default().to_owned();
        Some(Ask::Names { key: key?, begins })
    }

    /// Takes values that the index knows.
    pub(crate) fn take_names(&mut self, names: &[String]) {
        let (_, typed) = self.typed();
        if let Some((head, values)) = typed.split_once(':') {
            let kept = values
                .rsplit_once(',')
                .map_or(String::new(), |(kept, _)| format!("{kept},"));
            let made = names.iter().map(|name| format!("{head}:{kept}{name}"));
            self.choices = made.filter(|made| made != typed).collect();
        }
    }

    /// Takes over the chosen completion.
    fn complete(&mut self) {
        let (from, _) = self.typed();
        if let Some(choice) = self.choices.get(self.chosen) {
            let ends = if choice.ends_with([':', '(']) {
                ""
            } else {
                " "
            };
            let text = format!("{choice}{ends}");
            self.text.replace_range(from..self.at, &text);
            self.at = from + text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor.suggest();
        editor
    }

    #[test]
    fn keys_and_values_complete() {
        assert_eq!(typed("ki").choices, ["kind:"]);
        assert_eq!(typed("-ru").choices, ["rule:"]);
        assert_eq!(typed("a (und").choices, ["under("]);
        let mut editor = typed("-kind:mu");
        editor.take_names(&["mutation".to_owned()]);
        editor.complete();
        assert_eq!(editor.text, "-kind:mutation ");
        let mut editor = typed("via:import kind:action,mu");
        editor.take_names(&["mutation".to_owned()]);
        editor.complete();
        assert_eq!(editor.text, "via:import kind:action,mutation ");
        assert_eq!(editor.at, editor.text.len());
    }

    #[test]
    fn the_palette_finds_by_name_first() {
        assert_eq!(find("health").first().map(|e| e.name), Some("health"));
        assert_eq!(find("linea").first().map(|e| e.name), Some("lineage"));
        assert_eq!(find("").len(), TABLE.len());
        let reasons = find("reason");
        assert!(!reasons.is_empty() && reasons.iter().all(|e| e.what.contains("reason")));
        // Letters that stand apart are tried where no word fits.
        assert!(find("scrn").iter().any(|e| e.what.contains("screen")));
        assert!(find("zzzz").is_empty());
    }
}
