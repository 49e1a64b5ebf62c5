//! What a tool call would do, read from its text.
//!
//! This is advice to policy and never the boundary. A program can do what its name does not say, a script can be written now and run
//! later, a path can lead elsewhere by the time it is opened. What is certain is only that the cell confines a process and that
//! the watcher sees bytes change. So everything that is not understood is `unknown`, and a policy lets unknown effects flow only
//! where something else bounds them.

use std::collections::BTreeSet;

use tacho_schemas::body::Part;
use tacho_schemas::body::work::{Class, Effects};

use crate::request::{Call, Target};

pub mod tools;

/// What a call would do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Classified {
    /// What it does.
    pub class: Class,
    /// How well its effects are known.
    pub effects: Effects,
    /// Whether something that it changes lies outside the workspace.
    pub outside: bool,
    /// The parts that it changes or may change.
    pub parts: BTreeSet<Part>,
    /// The parts that it reads.
    pub reads: BTreeSet<Part>,
    /// The files that it touches.
    pub targets: Vec<Target>,
}

/// What a caller knows of the disk. This crate never looks.
pub trait Resolver {
    /// The absolute path that an absolute path leads to, every symbolic link in it followed; of a file that does not exist, the
    /// path that it would have. `~` and `~/…` are the home of the caller. `None` where nobody could tell.
    fn resolve(&self, path: &str) -> Option<String>;

    /// The bytes of a file at a resolved path: no bytes if it does not exist, `None` if they could not be read or are too many.
    fn read(&self, resolved: &str) -> Option<Vec<u8>>;
}

/// A disk of which nothing is known.
#[derive(Clone, Copy, Debug)]
pub struct Unseen;

impl Resolver for Unseen {
    fn resolve(&self, _: &str) -> Option<String> {
        None
    }

    fn read(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

/// Classifies a call.
pub fn classify(call: &Call, resolver: &dyn Resolver) -> Classified {
    let _ = (call, resolver);
    Classified {
        class: Class::Execute,
        effects: Effects::Unknown,
        outside: false,
        parts: BTreeSet::new(),
        reads: BTreeSet::new(),
        targets: Vec::new(),
    }
}
