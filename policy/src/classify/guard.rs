//! Looks at a shell line before it is parsed: what is too long or nests too deep is not parsed at all.
//!
//! The parser descends once per nesting, so its stack is as deep as the line; and it tries one reading after the other. Both are
//! bounded here: the stack by counting more than could nest, the readings by counting what the parser takes back. Measured with
//! brush-parser 0.4: a line that is wrong behind twenty plain brackets takes two seconds, and each further one doubles it.

use std::panic::AssertUnwindSafe;

use brush_parser::Token;

/// The longest line that is parsed, in bytes.
pub(crate) const MAX_BYTES: usize = 64 << 10;

/// The deepest nesting that is parsed.
pub(crate) const MAX_DEPTH: usize = 100;

/// The most brackets that may open in a line, wherever they close.
const MAX_OPENED: usize = 2_000;

/// The stack on which a line is parsed, in bytes.
const STACK: usize = 64 << 20;

/// Words that begin something which may hold another of its kind.
const OPEN: [&str; 9] = [
    "if", "while", "until", "for", "case", "select", "coproc", "function", "!",
];
/// Words that end it.
const CLOSE: [&str; 3] = ["fi", "done", "esac"];

/// Says why a line is not parsed.
pub(crate) fn refuse(line: &str) -> Option<&'static str> {
    if line.len() > MAX_BYTES {
        return Some("it is longer than 64 KiB");
    }
    if line.contains('\0') {
        return Some("it has a NUL byte in it");
    }
    // What closes in a quoted text closes nothing. A line can be written so that this count takes texts for code and the reverse;
    // hence the cap on all that ever opens, and a stack that is large enough for as many.
    let (mut depth, mut deepest, mut opened) = (0_usize, 0_usize, 0_usize);
    let (mut quote, mut escaped) = (None, false);
    for c in line.chars() {
        match c {
            '(' | '{' | '[' => {
                depth = depth.saturating_add(1);
                opened = opened.saturating_add(1);
            }
            ')' | '}' | ']' if quote.is_none() => depth = depth.saturating_sub(1),
            '\'' | '"' if !escaped && quote == Some(c) => quote = None,
            '\'' | '"' if !escaped && quote.is_none() => quote = Some(c),
            _ => {}
        }
        escaped = c == '\\' && !escaped && quote != Some('\'');
        deepest = deepest.max(depth);
    }
    if opened > MAX_OPENED {
        return Some("it opens more than 2,000 brackets");
    }
    let mut words = 0_usize;
    for word in line.split(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')'))
    {
        if OPEN.contains(&word) {
            words = words.saturating_add(1);
        } else if CLOSE.contains(&word) {
            words = words.saturating_sub(1);
        }
        deepest = deepest.max(depth.saturating_add(words));
    }
    (deepest > MAX_DEPTH).then_some("it nests deeper than 100")
}

/// The most plain brackets inside each other, and the most `case`: what the parser reads again and again where a line is wrong.
const MAX_RETRIED: usize = 8;

/// Says why tokens are not parsed.
pub(crate) fn refuse_tokens(tokens: &[Token]) -> Option<&'static str> {
    let is = |token: &Token, text: &str| token.to_str() == text;
    let cases = tokens
        .iter()
        .filter(|t| matches!(t, Token::Word(..)) && is(t, "case"))
        .count();
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for token in tokens.iter().filter(|t| matches!(t, Token::Operator(..))) {
        if is(token, "(") {
            depth = depth.saturating_add(1);
        } else if is(token, ")") && cases == 0 {
            // In a `case` a bracket closes that never opened.
            depth = depth.saturating_sub(1);
        }
        deepest = deepest.max(depth);
    }
    (deepest > MAX_RETRIED || cases > MAX_RETRIED)
        .then_some("its brackets would take too long to read")
}

/// Does work whose depth follows the line's, on a stack that is deep enough. `None` if the parser, which is others' work, panics on
/// the line: then nobody knows what it means.
pub(crate) fn deeply<T>(work: impl FnOnce() -> T) -> Option<T> {
    let on_a_large_stack = AssertUnwindSafe(|| stacker::grow(STACK, work));
    std::panic::catch_unwind(on_a_large_stack).ok()
}

/// Whether a word can be read in good time: it has few brackets, or nothing in it is substituted.
pub(crate) fn is_readable(word: &str) -> bool {
    !word.contains(['$', '`']) || word.matches('(').count() <= MAX_RETRIED
}
