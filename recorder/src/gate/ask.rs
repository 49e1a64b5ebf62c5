//! A question, read: what is asked, by whom, what it would touch, and what lies there now.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tacho_policy::{Act, Classified, Request, Resolver as _, classify};
use tacho_schemas::body::Part;
use tacho_schemas::record::Role;
use tacho_schemas::{Hash, Seq};

use super::action::text;
use super::disk::Disk;
use super::state::{Session, Standing, parts};
use super::wire::Decide;
use super::{Gate, Peer};
use crate::error::{Error, ErrorKind, Result};
use crate::import::pieces;

/// A question, with who asks it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) peer: Peer,
    pub(super) session: Seq,
    pub(super) ask: Decide,
}

/// A question, read and classified.
pub(super) struct Read {
    pub(super) asked: Arc<Asked>,
    pub(super) session: Session,
    pub(super) request: Arc<Request>,
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) input: String,
    /// The bytes of the parts it changes, as they are, by resolved path.
    pub(super) before: Arc<HashMap<String, Option<Vec<u8>>>>,
    pub(super) diff: Option<String>,
    pub(super) switch: Standing,
}

impl Gate {
    /// Reads a question: what is asked, and what lies on the disk now.
    pub(super) fn read_call(&self, asked: &Arc<Asked>) -> Result<Read> {
        let session = {
            let state = self.lock();
            let found = state.sessions.get(&asked.session).filter(|s| s.open);
            found.cloned().ok_or_else(|| {
                Error::new(
                    ErrorKind::Missing,
                    format!("there is no open session {}", asked.session),
                )
            })?
        };
        let ask = &asked.ask;
        if !ask.cwd.starts_with('/') {
            return Err(Error::new(ErrorKind::Usage, "`cwd` is no absolute path"));
        }
        let call = tacho_policy::Call {
            agent: session.agent.clone(),
            cwd: ask.cwd.clone(),
            harness: session.harness.clone(),
            input: ask.input.clone(),
            tool: ask.tool.clone(),
            workspace: session.workspace.clone(),
        };
        let disk = Disk::of(session.uid.unwrap_or(asked.peer.uid));
        let classified = self.guard_own(classify(&call, &disk));
        let request = Request::of(&call, &classified);
        let mut before = HashMap::new();
        if request.act == Act::Mutate {
            for target in request.targets.iter().filter(|t| t.access.changes()) {
                if let Some(resolved) = &target.resolved {
                    let there = std::fs::symlink_metadata(resolved).is_ok();
                    let bytes = disk.read(resolved).filter(|_| there);
                    before.insert(resolved.clone(), bytes);
                }
            }
        }
        let switch = self.standing(&session, &parts(&request));
        let bytes = request.to_bytes();
        Ok(Read {
            diff: proposed_diff(&request, &before, ask),
            asked: Arc::clone(asked),
            request: Arc::new(request),
            bytes: Arc::new(bytes),
            input: ask.input.to_text(),
            before: Arc::new(before),
            session,
            switch,
        })
    }

    /// What lies in this log's own folders is guard surface, wherever they are.
    pub(super) fn guard_own(&self, mut classified: Classified) -> Classified {
        let own = [self.log.path(), self.switch.dir()];
        for target in classified.targets.iter_mut().filter(|t| t.access.changes()) {
            let resolved = target.resolved.as_ref().map(Path::new);
            if resolved.is_some_and(|path| own.iter().any(|own| path.starts_with(own))) {
                target.parts.insert(Part::GuardSurface);
                classified.parts.insert(Part::GuardSurface);
            }
        }
        classified
    }
}

/// The change that an edit tool would make, as unified diff; only where the bytes are those that the request binds.
fn proposed_diff(
    request: &Request,
    before: &HashMap<String, Option<Vec<u8>>>,
    ask: &Decide,
) -> Option<String> {
    let mut changed = request.targets.iter().filter(|t| t.access.changes());
    let (target, None) = (changed.next()?, changed.next()) else {
        return None;
    };
    let resolved = target.resolved.as_ref()?;
    let old = before.get(resolved)?.clone().unwrap_or_default();
    let old = String::from_utf8(old).ok()?;
    let field = |name| ask.input.field(name).and_then(text);
    let new = match (field("content"), field("old_string"), field("new_string")) {
        (Some(content), _, _) => content.to_owned(),
        (None, Some(from), Some(to)) => {
            let all = matches!(
                ask.input.field("replace_all"),
                Some(tacho_policy::Json::Bool(true))
            );
            match all {
                true => old.replace(from, to),
                false => old.replacen(from, to, 1),
            }
        }
        _ => return None,
    };
    let digest: [u8; 32] = Sha256::digest(new.as_bytes()).into();
    if target.after != Some(Hash(digest)) {
        return None;
    }
    let changed = pieces::changed(Some(target.name()), Some(&old), Some(&new), false);
    let diff = changed.files.into_iter().find(|f| f.role == Role::Diff)?;
    String::from_utf8(diff.bytes).ok()
}
