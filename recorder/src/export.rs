//! Records in formats that others read. Every record is checked before it leaves.

pub mod atif;
