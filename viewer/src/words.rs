//! Marks and words on the screens, as the help explains them.

use crate::theme::Glyphs;

/// Each mark or word with what it stands for.
pub(crate) fn all(glyphs: &Glyphs) -> [(&'static str, &'static str); 13] {
    [
        (glyphs.ok, "allowed, or as it should be"),
        (glyphs.hold, "waits for a human, or wants a look"),
        (glyphs.deny, "denied, or failed"),
        (glyphs.absent, "absent: nothing of it is recorded"),
        (
            glyphs.claim,
            "left of a claim: somebody says it of themselves, and nothing proves it",
        ),
        (glyphs.best, "the best score; of equal ones the last"),
        (glyphs.human, "a generation that a human approved"),
        (glyphs.alive, "a generation in its population"),
        (glyphs.dot, "an evicted one: it left the population"),
        (
            "missing",
            "a parent that is named and was not in what was imported",
        ),
        (
            "drift",
            "changes from the root on, or since a human last approved one",
        ),
        (
            "switched off",
            "who is killed stands in a banner on every screen, and in replay",
        ),
        (
            "epoch",
            "records between two seals, which end its signing key",
        ),
    ]
}

/// Those that say this.
pub(crate) fn find(glyphs: &Glyphs, query: &str) -> Vec<(&'static str, &'static str)> {
    let query = query.to_lowercase();
    let says = |(mark, what): &(&str, &str)| mark.contains(&query) || what.contains(&query);
    all(glyphs).into_iter().filter(says).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::{ASCII, UNICODE};

    #[test]
    fn a_word_is_found_by_itself_and_by_what_it_means() {
        for query in ["drift", "evicted", "★", "Switched", "claim"] {
            assert_eq!(find(&UNICODE, query).len(), 1, "{query}");
        }
        assert_eq!(find(&ASCII, "").len(), all(&ASCII).len());
        assert!(find(&ASCII, "zebra").is_empty());
    }
}
