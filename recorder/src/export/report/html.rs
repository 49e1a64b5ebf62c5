//! A page under way. Text of the log reaches it through [`Esc`] and [`Block`] alone.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tacho_schemas::safe::{safe, safe_block};

use crate::error::Result;
use crate::export::whole::Whole;

/// So many bytes are gathered before they are written.
const GATHER: usize = 1 << 16;

/// A page that is written as it grows.
pub(super) struct Html {
    file: Whole,
    gathered: String,
}

impl Html {
    pub(super) fn new(file: Whole) -> Self {
        Self {
            file,
            gathered: String::new(),
        }
    }

    /// Appends markup of our own.
    pub(super) fn raw(&mut self, markup: &str) -> Result<()> {
        self.gathered.push_str(markup);
        if self.gathered.len() >= GATHER {
            self.file.write(self.gathered.as_bytes())?;
            self.gathered.clear();
        }
        Ok(())
    }

    /// Appends markup with values in it; each must be a number or an [`Esc`].
    pub(super) fn put(&mut self, markup: fmt::Arguments<'_>) -> Result<()> {
        // Writing to a string does not fail.
        let _ = self.gathered.write_fmt(markup);
        self.raw("")
    }

    /// Appends bytes as base64.
    pub(super) fn base64(&mut self, bytes: &[u8]) -> Result<()> {
        // A multiple of three, so that the pieces join, and of four to a line.
        for line in bytes.chunks(96) {
            STANDARD.encode_string(line, &mut self.gathered);
            self.raw("\n")?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<u64> {
        self.file.write(self.gathered.as_bytes())?;
        let bytes = self.file.written();
        self.file.finish()?;
        Ok(bytes)
    }
}

/// Text from anywhere, as it may stand between tags and in quoted attributes: on one line, nothing hidden, nothing marked up.
pub(super) struct Esc<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Esc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        entities(f, &safe(self.0.as_ref()))
    }
}

/// The same for a block of text: line feeds and tabs stay.
pub(super) struct Block<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Block<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        entities(f, &safe_block(self.0.as_ref()))
    }
}

fn entities(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        let (plain, marked) = rest.split_at(at);
        f.write_str(plain)?;
        let mut chars = marked.chars();
        f.write_str(match chars.next() {
            Some('&') => "&amp;",
            Some('<') => "&lt;",
            Some('>') => "&gt;",
            Some('"') => "&quot;",
            _ => "&#39;",
        })?;
        rest = chars.as_str();
    }
    f.write_str(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_place() {
        let hostile = "</script><b>\"x\" & 'y'\u{202e}\n\t\0";
        assert_eq!(
            Esc(hostile).to_string(),
            "&lt;/script&gt;&lt;b&gt;&quot;x&quot; &amp; &#39;y&#39;\\u{202e}\\n\\t\\x00"
        );
        assert_eq!(
            Block(hostile).to_string(),
            "&lt;/script&gt;&lt;b&gt;&quot;x&quot; &amp; &#39;y&#39;\\u{202e}\n\t\\x00"
        );
    }
}
