//! Records in formats that others read. Every record is checked before it leaves.
//!
//! ```text
//! select ─▶ Shown (checked) ─▶ withhold ─▶ line | bundle | report | … ─▶ whole (a file, or none)
//! ```

pub mod acts;
pub mod atif;
pub mod bundle;
pub mod line;
pub mod ocsf;
pub mod population;
pub mod report;
pub mod select;
pub mod statement;
pub mod whole;
pub mod withhold;

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::read::Shown;

/// What a format cannot hold, or what was left out: how often, by a name that stays the same.
pub type Losses = BTreeMap<String, u64>;

/// Refuses a record that is not what was recorded. What is gone may have been erased by law.
pub fn trust(shown: &Shown) -> Result<()> {
    if shown.doubts.len() == shown.holes.len() {
        return Ok(());
    }
    let why = shown.doubts.join("; ");
    Err(
        Error::new(ErrorKind::Corrupt, format!("record {}: {why}", shown.seq))
            .with_hint("run `tacho verify` to see what is still proven"),
    )
}
