//! Nothing here: the targets are in `tests/decoders.rs`.
