//! The disk and the keys beneath a log.
