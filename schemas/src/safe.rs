//! Text that an agent wrote, on its way to a person.
//!
//! A terminal obeys what it is shown: escape sequences move the cursor and forge lines, marks for right-to-left text turn words
//! around, characters without width hide others. Terminals and libraries that drop them hide evidence instead. So everything that
//! is not plainly visible is shown as an escape; this is the one function that does it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns `text` with everything invisible or commanding made visible; tabs and line feeds too.
pub fn safe(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// The same for text that is shown in a block of its own: line feeds and tabs stay.
pub fn safe_block(text: &str) -> Cow<'_, str> {
    escape(text, |c| c == '\n' || c == '\t')
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(|c| keep(c) || !is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if keep(c) || !is_hidden(c) => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if u32::from(c) < 0x100 => {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\x{:02x}", u32::from(c));
            }
            c => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(shown)
}

/// Control characters (Cc), and those that format or are not seen (Cf, Zl, Zp, fillers, tags, variation selectors).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2 | 0x115f..=0x1160
            | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164
            | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x110bd | 0x110cd | 0x13430..=0x1345f
            | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_or_hides_is_shown() {
        for (text, shown) in [
            ("plain – text, ünïcode 日本", "plain – text, ünïcode 日本"),
            ("a\x1b[31mb", "a\\x1b[31mb"),
            ("bell\x07 c1\u{9b}31m", "bell\\x07 c1\\x9b31m"),
            ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
            ("abc\u{202e}txt.exe", "abc\\u{202e}txt.exe"),
            ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
            ("nul\0", "nul\\x00"),
        ] {
            assert_eq!(safe(text), shown);
        }
        assert_eq!(safe_block("two\nlines\x1b"), "two\nlines\\x1b");
    }
}
