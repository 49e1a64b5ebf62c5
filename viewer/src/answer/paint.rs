//! Colours of code: which words of a text are the language's own, which are names, numbers, comments.

use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet};

use crate::doc::Piece;
use crate::theme::Role;

/// The longest text that is coloured, in bytes and lines.
const LONGEST: usize = 256 << 10;
const MOST_LINES: usize = 5_000;

/// Knows the languages.
#[derive(Debug)]
pub(crate) struct Painter {
    languages: SyntaxSet,
    roles: Vec<(Scope, Role)>,
}

/// Beginnings of scope names (TextMate grammars) and what they are to us.
const ROLES: [(&str, Role); 12] = [
    ("comment", Role::Comment),
    ("string", Role::Literal),
    ("constant", Role::Literal),
    ("keyword", Role::Keyword),
    ("storage", Role::Keyword),
    ("variable.language", Role::Keyword),
    ("entity.name", Role::Name),
    ("support", Role::Name),
    ("markup.heading", Role::Keyword),
    ("markup.bold", Role::Keyword),
    ("markup.raw", Role::Literal),
    ("punctuation.definition.comment", Role::Comment),
];

impl Painter {
    pub(crate) fn new() -> Self {
        let roles = ROLES
            .iter()
            .filter_map(|(name, role)| Some((Scope::new(name).ok()?, *role)));
        Self {
            languages: two_face::syntax::extra_newlines(),
            roles: roles.collect(),
        }
    }

    /// Colours a text, line by line; nothing if it is too long or its language is not known.
    pub(crate) fn paint(&self, name: &str, text: &str) -> Vec<Vec<Piece>> {
        if text.len() > LONGEST || text.lines().count() > MOST_LINES {
            return Vec::new();
        }
        let Some(language) = self.language(name, text) else {
            return Vec::new();
        };
        let mut state = ParseState::new(language);
        let mut stack = ScopeStack::new();
        let mut lines = Vec::new();
        for line in text.lines() {
            let whole = format!("{line}\n");
            let Ok(ops) = state.parse_line(&whole, &self.languages) else {
                return Vec::new();
            };
            let mut pieces: Vec<Piece> = Vec::new();
            let mut from = 0;
            let mut push = |range: std::ops::Range<usize>, stack: &ScopeStack| {
                let words = whole.get(range).unwrap_or_default().trim_end_matches('\n');
                if !words.is_empty() {
                    pieces.push(Piece {
                        role: self.role(stack),
                        text: words.to_owned(),
                    });
                }
            };
            for (at, op) in ops {
                push(from..at, &stack);
                from = at;
                if stack.apply(&op).is_err() {
                    return Vec::new();
                }
            }
            push(from..whole.len(), &stack);
            lines.push(pieces);
        }
        lines
    }

    fn role(&self, stack: &ScopeStack) -> Role {
        let scopes = stack.as_slice().iter().rev();
        let mut roles = scopes.filter_map(|scope| {
            let found = self
                .roles
                .iter()
                .find(|(known, _)| known.is_prefix_of(*scope));
            found.map(|(_, role)| *role)
        });
        roles.next().unwrap_or(Role::Text)
    }

    /// The language of a text: by the end of its name, its first line, or what its first lines look like.
    fn language(&self, name: &str, text: &str) -> Option<&SyntaxReference> {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending);
        let by_name = ending.and_then(|ending| self.languages.find_syntax_by_extension(ending));
        let by_line = || {
            self.languages
                .find_syntax_by_first_line(text.lines().next()?)
        };
        let by_look = || {
            let begins = |words: &[&str]| {
                let mut lines = text.lines().take(60);
                lines.any(|line| words.iter().any(|word| line.starts_with(word)))
            };
            let ending = match () {
                () if begins(&["import ", "from ", "def ", "async def ", "class "]) => "py",
                () if begins(&["fn ", "use ", "pub "]) => "rs",
                () if begins(&["# ", "## ", "```"]) => "md",
                () if begins(&["{\"", "[{"]) => "json",
                () => return None,
            };
            self.languages.find_syntax_by_extension(ending)
        };
        by_name.or_else(by_line).or_else(by_look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_gets_roles_and_keeps_its_text() {
        let painter = Painter::new();
        let text = "def f(x):\n    # why\n    return 'a' + 1\n";
        let lines = painter.paint("a.py", text);
        let words: Vec<String> = lines
            .iter()
            .map(|line| line.iter().map(|piece| piece.text.as_str()).collect())
            .collect();
        assert_eq!(words.join("\n"), text.trim_end());
        let role = |line: usize, text: &str| {
            lines[line]
                .iter()
                .find(|piece| piece.text.contains(text))
                .map(|piece| piece.role)
        };
        assert_eq!(role(0, "def"), Some(Role::Keyword));
        assert_eq!(role(1, "why"), Some(Role::Comment));
        assert_eq!(role(2, "1"), Some(Role::Literal));
        assert!(painter.paint("plain words", "plain words").is_empty());
    }
}
