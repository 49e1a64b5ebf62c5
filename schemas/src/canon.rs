//! The strict canonical walker.

/// A rule of the canonical encoding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rule {
    /// Nothing may follow.
    Trailing,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes after the end")
    }
}
