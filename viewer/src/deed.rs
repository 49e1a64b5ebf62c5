//! What the viewer has somebody else do: it signs nothing, kills nothing and writes no file by itself.

use tacho_schemas::{Hash, Seq};

/// Something to be done, as it was typed into a dialog.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Deed {
    /// Answer a hold, and sign for it.
    Answer {
        /// The hold.
        hold: Seq,
        /// The request that was shown: another one must not be answered in its place.
        digest: Hash,
        /// Approve it, or deny it.
        approve: bool,
        /// Why, and how much of the request was looked at.
        reason: String,
    },
    /// Engage the off switch.
    Kill {
        /// The scope, as `tacho kill` takes it.
        target: String,
        /// Why.
        reason: String,
    },
    /// Release a kill, and sign for it.
    Release {
        /// The kill.
        kill: Seq,
        /// The first digits of its hash, as typed.
        digits: String,
        /// Why.
        reason: String,
    },
    /// Write records into a file that does not exist.
    Export {
        /// Which records, in the language of filters.
        filter: String,
        /// Only what verification proves of a log that is broken.
        proven: bool,
        /// The file; one that ends with `.jsonl` gets JSON Lines, any other a bundle.
        path: String,
    },
}

/// What a terminal cannot do, and whoever runs the viewer can.
pub trait Outside {
    /// Stops the process; returns when it goes on.
    fn suspend(&mut self);

    /// Makes a thread that waits for the terminal look up, as a change of the window's size does.
    fn wake(&mut self);

    /// Does something, with the terminal given back: whoever signs may be asked for a passphrase. Says what came of it.
    fn carry_out(&mut self, deed: &Deed) -> Result<Vec<String>, Vec<String>>;
}
