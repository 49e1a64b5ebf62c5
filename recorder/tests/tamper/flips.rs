//! Byte flips.
