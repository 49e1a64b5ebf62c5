//! The literals of all patterns, found in one pass over the text.
//!
//! Text holds hardly any of them, so most of the pass only has to see that none begins here. Four tables, one for each of the
//! first four bytes, say for a byte which of 64 groups of literals have it in that place; where all four agree on a group, a
//! literal may begin, and only there a trie is walked. Unlike the steps of an automaton, those of the tables do not wait for each
//! other: that is half the time.

use std::iter;

use aho_corasick::{
    AhoCorasick, Anchored, BuildError, Input, StartKind, automaton::OverlappingState,
};

/// Bytes that the tables look at.
const SEEN: usize = 4;

/// By place and byte, the groups of literals, one a bit, that have this byte there.
type Tables = [[u64; 256]; SEEN];

/// Literals, whatever their case.
#[derive(Debug)]
pub(super) struct Literals {
    tables: Box<Tables>,
    trie: AhoCorasick,
}

/// Where a literal stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hit {
    /// Its place among the literals.
    pub(super) literal: usize,
    /// Where it begins.
    pub(super) at: usize,
}

impl Literals {
    /// Takes ASCII literals; none of them is empty.
    pub(super) fn new(literals: &[&[u8]]) -> Result<Self, BuildError> {
        let trie = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .start_kind(StartKind::Anchored)
            .build(literals)?;
        let mut beginnings: Vec<_> = literals
            .iter()
            .map(|l| l.get(..SEEN).unwrap_or(l).to_ascii_lowercase())
            .collect();
        beginnings.sort();
        beginnings.dedup();
        let mut tables = Box::new([[0; 256]; SEEN]);
        // Neighbours have their first bytes in common, so a group of them lets little else pass.
        for (place, beginning) in beginnings.iter().enumerate() {
            let group = 1_u64 << (place * 64 / beginnings.len());
            for (at, table) in tables.iter_mut().enumerate() {
                for (byte, groups) in (0..=u8::MAX).zip(table) {
                    // Behind a short literal may stand whatever there is.
                    if beginning
                        .get(at)
                        .is_none_or(|b| b.eq_ignore_ascii_case(&byte))
                    {
                        *groups |= group;
                    }
                }
            }
        }
        Ok(Self { tables, trie })
    }

    /// Finds all of them, also those within others: by where they begin, the shortest first.
    pub(super) fn find<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = Hit> + 'a {
        self.candidates(bytes).flat_map(move |at| {
            let mut state = OverlappingState::start();
            let ends = iter::from_fn(move || {
                let input = Input::new(bytes).range(at..).anchored(Anchored::Yes);
                self.trie.find_overlapping(input, &mut state);
                state.get_match()
            });
            // Where one ends that begins here, another may end that begins behind it: that one has a candidate of its own.
            ends.filter(move |found| found.start() == at)
                .map(move |found| Hit {
                    literal: found.pattern().as_usize(),
                    at,
                })
        })
    }

    /// Where one may begin: each place where one does, and a few others.
    fn candidates<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let [first, second, third, fourth] = &*self.tables;
        let groups =
            |table: &[u64; 256], byte: &u8| table.get(usize::from(*byte)).copied().unwrap_or(0);
        let may_begin = move |(_, window): &(usize, &[u8])| match window {
            [a, b, c, d] => {
                groups(first, a) & groups(second, b) & groups(third, c) & groups(fourth, d) != 0
            }
            _ => true,
        };
        // The last bytes have no window of their own.
        let rest = bytes.len().saturating_sub(SEEN - 1)..bytes.len();
        let windows = bytes.windows(SEEN).enumerate().filter(may_begin);
        windows.map(|(at, _)| at).chain(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOME: [&[u8]; 9] = [
        b"sk",
        b"sk-",
        b"sk-ant-",
        b"token",
        b"_token: ",
        b"ken",
        b"[redacted:",
        b"://",
        b"\\/",
    ];

    proptest! {
        /// As a plain search finds them, in whatever the literals and pieces of them make.
        #[test]
        fn all_are_found_where_they_stand(
            pieces in prop::collection::vec((0..SOME.len(), 0..12_usize, any::<bool>(), "[ -~é]{0,2}"), 0..40),
        ) {
            let mut text = Vec::new();
            for (which, length, upper, between) in &pieces {
                let piece = SOME[*which].iter().take(*length);
                text.extend(piece.map(|b| if *upper { b.to_ascii_uppercase() } else { *b }));
                text.extend_from_slice(between.as_bytes());
            }
            let literals = Literals::new(&SOME).unwrap();
            let mut found: Vec<_> = literals.find(&text).map(|hit| (hit.at, hit.literal)).collect();
            let mut wanted = Vec::new();
            for at in 0..text.len() {
                for (place, literal) in SOME.iter().enumerate() {
                    if text[at..].len() >= literal.len() && text[at..at + literal.len()].eq_ignore_ascii_case(literal) {
                        wanted.push((at, place));
                    }
                }
            }
            found.sort_unstable();
            prop_assert_eq!(found, wanted);
        }
    }
}
