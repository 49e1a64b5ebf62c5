//! How things look: twelve roles and the tones of code, four themes, and the glyphs.
//!
//! A theme uses the terminal's own sixteen colours and never paints the background. Every state has a glyph and a word before it
//! has a colour, and opposites are blue and orange or red, so that nothing is told by colour alone. `mono` sets no colour at all.

use ratatui::style::{Color, Modifier, Style};

/// What a piece of text is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Role {
    Text,
    Dim,
    /// Headings, and where to look.
    Accent,
    /// What somebody says, and the bar left of it.
    Claim,
    Bar,
    /// What checked bytes show.
    Fact,
    Ok,
    Hold,
    Deny,
    Kill,
    Add,
    Remove,
    /// Words of a line that differ.
    AddWord,
    RemoveWord,
    /// Code: words of the language, texts and numbers, comments, names.
    Keyword,
    Literal,
    Comment,
    Name,
}

/// A set of colours.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Theme {
    /// For a dark background.
    #[default]
    Dark,
    /// For a light background.
    Light,
    /// As much contrast as there is.
    Contrast,
    /// No colours, only bold, underlined and reversed.
    Mono,
}

impl Theme {
    /// All themes, in the order in which a key goes through them.
    pub const ALL: [(&'static str, Self); 4] = [
        ("dark", Self::Dark),
        ("light", Self::Light),
        ("contrast", Self::Contrast),
        ("mono", Self::Mono),
    ];

    /// The theme of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(known, _)| *known == name)
            .map(|(_, theme)| *theme)
    }

    /// The next one.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Dark => Self::Light,
            Self::Light => Self::Contrast,
            Self::Contrast => Self::Mono,
            Self::Mono => Self::Dark,
        }
    }

    /// How text of a role looks.
    pub(crate) fn style(self, role: Role) -> Style {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let mono = match role {
            Role::Dim | Role::Comment => plain.add_modifier(Modifier::DIM),
            Role::Accent | Role::Ok | Role::Keyword => bold,
            Role::Claim => plain.add_modifier(Modifier::ITALIC),
            Role::Hold | Role::Deny => bold,
            Role::Kill => bold.add_modifier(Modifier::REVERSED),
            Role::AddWord | Role::RemoveWord => bold.add_modifier(Modifier::UNDERLINED),
            _ => plain,
        };
        if self == Self::Mono {
            return mono;
        }
        let light = self == Self::Light;
        let pick = |on_dark, on_light| if light { on_light } else { on_dark };
        let colour = match role {
            Role::Text | Role::Fact | Role::Name | Role::Claim => return mono,
            Role::Dim | Role::Comment => {
                return match self {
                    Self::Contrast => plain,
                    _ => plain.fg(Color::DarkGray),
                };
            }
            Role::Accent => pick(Color::Cyan, Color::Blue),
            Role::Bar => pick(Color::Yellow, Color::Magenta),
            Role::Ok | Role::Add | Role::AddWord => pick(Color::LightBlue, Color::Blue),
            Role::Hold => pick(Color::Yellow, Color::Magenta),
            Role::Deny | Role::Kill | Role::Remove | Role::RemoveWord => {
                pick(Color::LightRed, Color::Red)
            }
            Role::Keyword => pick(Color::Magenta, Color::Magenta),
            Role::Literal => pick(Color::Green, Color::Green),
        };
        match (self, role) {
            (Self::Contrast, _) => mono.fg(colour).add_modifier(Modifier::BOLD),
            // Colour says it: bold is for where to look.
            (_, Role::Accent | Role::Kill | Role::AddWord | Role::RemoveWord) => mono.fg(colour),
            _ => plain.fg(colour),
        }
    }
}

/// The signs that stand for things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glyphs {
    pub(crate) ok: &'static str,
    pub(crate) hold: &'static str,
    pub(crate) deny: &'static str,
    pub(crate) killed: &'static str,
    pub(crate) absent: &'static str,
    /// Left of what somebody says, and of nothing else.
    pub(crate) claim: &'static str,
    pub(crate) cursor: &'static str,
    pub(crate) line: &'static str,
    pub(crate) side: &'static str,
    pub(crate) dot: &'static str,
    pub(crate) alive: &'static str,
    pub(crate) human: &'static str,
    pub(crate) best: &'static str,
    pub(crate) folded: &'static str,
    pub(crate) branch: &'static str,
    pub(crate) trunk: &'static str,
    pub(crate) down: &'static str,
    pub(crate) arrow: &'static str,
    pub(crate) here: &'static str,
    /// Left of a record that is marked to be exported.
    pub(crate) picked: &'static str,
    pub(crate) bars: [&'static str; 9],
}

/// For terminals and fonts of today.
pub(crate) const UNICODE: Glyphs = Glyphs {
    ok: "✓",
    hold: "!",
    deny: "x",
    killed: "#",
    absent: "∅",
    claim: "┃",
    cursor: ">",
    line: "─",
    side: "│",
    dot: "·",
    alive: "○",
    human: "◆",
    best: "★",
    folded: "▸",
    branch: "├─",
    trunk: "│ ",
    down: "↓",
    arrow: "→",
    here: "▲",
    picked: "•",
    bars: [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
};

/// For all others.
pub(crate) const ASCII: Glyphs = Glyphs {
    ok: "+",
    hold: "!",
    deny: "x",
    killed: "#",
    absent: "-",
    claim: "|",
    cursor: ">",
    line: "-",
    side: ":",
    dot: ".",
    alive: "o",
    human: "@",
    best: "*",
    folded: "+",
    branch: "|-",
    trunk: "| ",
    down: "v",
    arrow: "->",
    here: "^",
    picked: "*",
    bars: [" ", ".", ".", ":", ":", "-", "=", "+", "#"],
};
