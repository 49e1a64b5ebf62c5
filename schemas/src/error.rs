//! What can be wrong with bytes that claim to be ours.

use crate::canon::Rule;

/// Why bytes, a note, a proof or a signature was refused.
///
/// Exhaustive on purpose: whoever decides or verifies has to look at each case.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The bytes are not the one canonical encoding; `offset` is the first byte of the offending item.
    #[error("not canonical: {rule} at byte {offset}")]
    Canon {
        /// The rule that is broken.
        rule: Rule,
        /// Where, in bytes from the start of the encoding.
        offset: usize,
    },
    /// The bytes are canonical, but mean nothing that this version knows.
    #[error("not understood: {0}")]
    Meaning(String),
    /// A signed note (C2SP signed-note) is malformed.
    #[error("signed note: {0}")]
    Note(&'static str),
    /// A checkpoint (C2SP tlog-checkpoint) is malformed.
    #[error("checkpoint: {0}")]
    Checkpoint(&'static str),
    /// An inclusion or consistency proof (RFC 6962) does not hold or is malformed.
    #[error("proof: {0}")]
    Proof(&'static str),
    /// A tile or an entry bundle (C2SP tlog-tiles), or the path of one, is malformed.
    #[error("tile: {0}")]
    Tile(&'static str),
    /// A bundle (`bundle.cddl`) is malformed.
    #[error("bundle: {0}")]
    Bundle(&'static str),
    /// A signature does not verify, or the key that should have made it is not one.
    #[error("signature: {0}")]
    Signature(&'static str),
    /// A text that names a thing (origin, id, key) is malformed.
    #[error("{what}: {why}")]
    Name {
        /// Which kind of name.
        what: &'static str,
        /// The rule it breaks.
        why: &'static str,
    },
}

/// The result of reading or checking the format.
pub type Result<T, E = Error> = std::result::Result<T, E>;
