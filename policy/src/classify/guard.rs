//! Looks at a shell line before it is parsed: what is too long or nests too deep is not parsed at all.
//!
//! The parser descends once per nesting, so its stack is as deep as the line; and it tries one reading after the other. Both are
//! bounded here, by counting more than could nest.

/// The longest line that is parsed, in bytes.
pub(crate) const MAX_BYTES: usize = 64 << 10;

/// The deepest nesting that is parsed.
pub(crate) const MAX_DEPTH: usize = 100;

/// The most brackets that may open in a line, wherever they close.
const MAX_OPENED: usize = 2_000;

/// The stack on which a line is parsed, in bytes.
pub(crate) const STACK: usize = 64 << 20;

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
