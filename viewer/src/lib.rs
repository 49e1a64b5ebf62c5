//! The terminal UI that replays and explains a Tachograph log.
