//! The canary: an action that every policy denies, sent through a hook's command as a harness would run it. The answer must be a
//! no, and the no must be in the log.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tacho_recorder::hook::Agent;
use tacho_recorder::read::View;
use tacho_schemas::body::Body;
use tacho_schemas::body::work::Decision;
use tacho_schemas::content::Field;
use tacho_schemas::record::Via;

use crate::cmd::doctor::Finding;
use crate::place::{self, Place};

/// Runs the canary and says how it went.
pub(super) fn run(agent: Agent, line: &str, place: &Place) -> Finding {
    match sing(agent, line, place) {
        Ok(seq) => Finding::good(format!(
            "the canary was denied through the installed command, and the deny is record {seq}"
        )),
        Err(why) => Finding::bad(
            format!("the canary failed: {why}"),
            "do not rely on this hook: install it again, and look at `tacho doctor`",
        ),
    }
}

fn sing(agent: Agent, line: &str, place: &Place) -> Result<u64, String> {
    let mut random = [0; 8];
    place::random(&mut random).map_err(|e| e.what().to_owned())?;
    let name = format!("tachograph-canary-{}", u64::from_be_bytes(random));
    let payload = agent.canary(&name);
    let mut child = Command::new("/bin/sh")
        .args(["-c", line])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("the command cannot be run: {}", place::plain(&e)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read answers all the same, and wrongly.
        let _ = stdin.write_all(payload.as_bytes());
    }
    let said = child
        .wait_with_output()
        .map_err(|e| format!("the command cannot be run: {}", place::plain(&e)))?;
    if said.status.code() != Some(0) {
        let words = String::from_utf8_lossy(&said.stderr);
        return Err(format!("the hook did not answer: {}", words.trim()));
    }
    if !agent.is_deny(&said.stdout) {
        return Err("the answer is not a deny".to_owned());
    }
    recorded(&name, place)
}

/// Finds the deny among the newest records.
fn recorded(name: &str, place: &Place) -> Result<u64, String> {
    let fail = |error: &dyn std::fmt::Display| format!("the log cannot be read: {error}");
    let dir = place.open_to_read().map_err(|e| fail(&e.what()))?;
    let reader = place::reader(&dir).map_err(|e| fail(&e.what()))?;
    let view = View::new(&reader).map_err(|e| fail(&e))?;
    let first = view.size().saturating_sub(4_096);
    let mut found = None;
    view.records::<tacho_recorder::Error>(first..view.size(), |shown| {
        if let Ok(record) = &shown.meaning
            && record.via == Via::Gate
            && shown.in_tree
            && shown
                .text(Field::Input)
                .is_some_and(|input| input.contains(name))
            && let Body::Action(action) = &record.body
            && action
                .verdict
                .as_ref()
                .is_some_and(|v| v.decision == Decision::Deny)
        {
            found = Some(shown.seq.0);
        }
        Ok(())
    })
    .map_err(|e| fail(&e))?;
    found.ok_or_else(|| "it was denied, but no record says so".to_owned())
}
