//! Each of the seven answers.

use std::collections::BTreeSet;

use tacho_schemas::body::change::Mutation;
use tacho_schemas::body::work::{Decision, Outcome, Status, Verdict};
use tacho_schemas::body::{Body, Rationale, RationaleSource};
use tacho_schemas::canon;
use tacho_schemas::content::{Alternative, Field, MAX_ROW, Provenance};
use tacho_schemas::links::Link;
use tacho_schemas::record::{Record, Redaction, Role, Via};
use tacho_schemas::{Kind, Seq, tree};

use super::{About, MANY, Statement};
use crate::error::{Error, Result};
use crate::read::Shown;

fn fact(text: impl Into<String>) -> Statement {
    Statement::Fact { text: text.into() }
}

fn absent(text: impl Into<String>) -> Statement {
    Statement::Absent { text: text.into() }
}

/// A thing with its article.
fn a(thing: &str) -> String {
    let article = if thing.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {thing}")
}

impl About<'_> {
    pub(super) fn what_happened(&self) -> Vec<Statement> {
        let record = self.record;
        let mut statements = vec![fact(format!("{} {}", record.actor.id, deed(record)))];
        for (field, what) in [
            (Field::Name, "name"),
            (Field::Text, "words"),
            (Field::Path, "path"),
            (Field::Command, "command"),
            (Field::Input, "input"),
            (Field::Output, "output"),
            (Field::Error, "error"),
            (Field::Reason, "reason"),
            (Field::Detail, "detail"),
            (Field::Workspace, "workspace"),
        ] {
            if let Some(text) = self.shown.text(field) {
                statements.push(self.claim(what, text));
            }
        }
        let way = match record.via {
            Via::Gate => "it came through the gate, which decided it",
            Via::Api => "a caller appended it; nobody here saw it happen",
            Via::Watch => "the watcher saw it",
            Via::Human => "a human did it through tacho",
            Via::Recorder => "the recorder wrote it by itself",
            Via::Import => "it was imported from a file; nobody here saw it happen",
        };
        statements.push(fact(format!(
            "recorded {} by the recorder's clock; {way}",
            record.time
        )));
        if let Some(start) = record.claimed.as_ref().and_then(|c| c.start) {
            statements.push(self.claim("time", &start.to_string()));
        }
        statements
    }

    pub(super) fn why(&self) -> Result<Vec<Statement>> {
        let rationale = match &self.record.body {
            Body::Action(body) => body.rationale.as_ref(),
            Body::Mutation(body) => body.rationale.as_ref(),
            // The why of an outcome is that of its action, of a generation that of its mutations.
            Body::Outcome(body) => {
                return match body.of {
                    Some(of) => Ok(vec![self.point("of action", of)?]),
                    None => Ok(vec![absent(
                        "the action that it is the outcome of is not in the log",
                    )]),
                };
            }
            Body::Generation(body) => {
                let mutations = body
                    .mutations
                    .as_ref()
                    .map(|m| m.as_slice())
                    .unwrap_or_default();
                let mut statements = Vec::new();
                for seq in mutations.iter().take(MANY) {
                    let shown = self.view.record(*seq)?;
                    if let Ok(record) = &shown.meaning
                        && let Body::Mutation(mutation) = &record.body
                    {
                        statements.push(self.point("made by", *seq)?);
                        let about = About {
                            shown: &shown,
                            record,
                            ..*self
                        };
                        statements.extend(about.rationale(mutation.rationale.as_ref()));
                    }
                }
                if statements.is_empty() {
                    statements.push(absent("no mutation is recorded that made it"));
                }
                return Ok(statements);
            }
            _ => {
                let said: Vec<_> = [
                    (Field::Goal, "goal"),
                    (Field::Reasoning, "reasoning"),
                    (Field::Reason, "reason"),
                ]
                .into_iter()
                .filter_map(|(field, what)| {
                    self.shown.text(field).map(|text| self.claim(what, text))
                })
                .collect();
                return Ok(match said.is_empty() {
                    true => vec![absent(format!(
                        "{} carries no rationale of its own",
                        a(self.record.kind.name())
                    ))],
                    false => said,
                });
            }
        };
        Ok(self.rationale(rationale))
    }

    fn rationale(&self, rationale: Option<&Rationale>) -> Vec<Statement> {
        let Some(rationale) = rationale else {
            return vec![absent(
                "no rationale was recorded, and the record does not say that one was asked for",
            )];
        };
        let mut statements = Vec::new();
        for (field, what) in [
            (Field::Goal, "goal"),
            (Field::Summary, "summary"),
            (Field::Reasoning, "reasoning"),
            (Field::ExpectedEffect, "expected effect"),
        ] {
            if let Some(text) = self.shown.text(field) {
                statements.push(self.claim(what, text));
            }
        }
        let alternatives = self.shown.row.text(Field::Alternatives);
        let alternatives =
            alternatives.and_then(|bytes| canon::decode::<Vec<Alternative>>(bytes, MAX_ROW).ok());
        for alternative in alternatives.unwrap_or_default() {
            let why_not = alternative
                .why_not
                .map_or("no reason is given against it".to_owned(), |why| why);
            statements.push(self.claim(
                "alternative",
                &format!("{} (not chosen: {why_not})", alternative.option),
            ));
        }
        if let Some(confidence) = rationale.confidence {
            statements.push(self.claim("confidence", &format!("{} per mille", confidence.value())));
        }
        statements.push(match rationale.source {
            RationaleSource::Absent => {
                absent("the rationale is absent: it was looked for, and there is none")
            }
            RationaleSource::Given => fact("the rationale was given together with the request"),
            RationaleSource::Human => fact("a human wrote the rationale"),
            RationaleSource::Transcript => match self.provenance() {
                Some(from) => fact(format!(
                    "taken from `{}` up to byte {}, whose BLAKE3 up to there was {}",
                    from.path, from.offset, from.prefix_blake3
                )),
                None => fact("taken from the agent's transcript"),
            },
        });
        statements
    }

    fn provenance(&self) -> Option<Provenance> {
        canon::decode(self.shown.row.text(Field::Provenance)?, MAX_ROW).ok()
    }

    pub(super) fn what_it_saw(&self) -> Result<Vec<Statement>> {
        let mut statements = Vec::new();
        if let Some(session) = self.record.session {
            statements.push(self.point("in session", session)?);
        }
        if let Some(generation) = self.record.generation {
            statements.push(self.point("as generation", generation)?);
        }
        // Back along causal links, nearest first; the last one is the goal, or as near to it as the log reaches.
        let mut seen = BTreeSet::from([self.record.seq]);
        let mut front = vec![self.record.clone()];
        let mut told = 0;
        while let Some(record) = front.pop() {
            let mut causes: Vec<_> = record
                .links()
                .into_iter()
                .filter(|(link, _)| link.is_causal())
                .collect();
            causes.sort_by_key(|(_, seq)| *seq);
            for (link, seq) in causes.into_iter().rev() {
                if told >= MANY || !seen.insert(seq) {
                    continue;
                }
                told += 1;
                statements.push(self.point(link.name(), seq)?);
                if let Ok(record) = self.view.record(seq)?.meaning {
                    front.insert(0, record);
                }
            }
        }
        match told {
            0 => statements.push(absent("no cause is recorded")),
            MANY => statements.push(absent(format!(
                "the chain goes on; only the nearest {MANY} causes are shown"
            ))),
            _ => {}
        }
        Ok(statements)
    }

    pub(super) fn what_changed(&self) -> Result<Vec<Statement>> {
        let mutations = match &self.record.body {
            Body::Mutation(_) => vec![self.record.seq],
            Body::Generation(body) => body
                .mutations
                .as_ref()
                .map(|m| m.as_slice().to_vec())
                .unwrap_or_default(),
            _ => {
                let effects = (self.effects)(self.record.seq)?;
                let mut found = Vec::new();
                for (_, seq) in effects {
                    if self
                        .view
                        .record(seq)?
                        .meaning
                        .is_ok_and(|r| r.kind == Kind::Mutation)
                    {
                        found.push(seq);
                    }
                }
                found.sort_unstable();
                found.dedup();
                found
            }
        };
        let mut statements = Vec::new();
        for seq in mutations.iter().take(MANY) {
            statements.extend(self.change(*seq)?);
        }
        if mutations.is_empty() {
            statements.push(absent("no change of a part is recorded with it"));
        }
        Ok(statements)
    }

    fn change(&self, seq: Seq) -> Result<Vec<Statement>> {
        let shown = self.view.record(seq)?;
        let Ok(record) = &shown.meaning else {
            return Ok(Vec::new());
        };
        let Body::Mutation(body) = &record.body else {
            return Ok(Vec::new());
        };
        let parts = parts(body);
        let mut statements = Vec::new();
        let count = |n: Option<u64>| n.map_or("?".to_owned(), |n| n.to_string());
        statements.push(fact(format!(
            "#{seq} {} {parts}: {} lines added, {} removed",
            body.change,
            count(body.added),
            count(body.removed)
        )));
        let path = shown.text(Field::Path).map(str::to_owned);
        let mut has_diff = false;
        for (role, descriptor) in shown.descriptors() {
            match self.view.snapshot().artefact(&descriptor.blake3) {
                Ok(Some(kept)) if role == Role::Diff => {
                    has_diff = true;
                    let text = String::from_utf8_lossy(&kept.bytes).into_owned();
                    statements.push(Statement::Diff {
                        seq,
                        path: path.clone(),
                        text,
                    });
                }
                Ok(Some(kept)) => statements.push(fact(format!(
                    "{role}: {} bytes, SHA-256 {}",
                    kept.bytes.len(),
                    descriptor.sha256
                ))),
                _ => statements.push(Statement::Doubt {
                    text: format!("the {role} of #{seq} cannot be read"),
                }),
            }
        }
        if !has_diff {
            statements.push(absent("no diff was kept"));
        }
        Ok(statements)
    }

    pub(super) fn who_allowed_it(&self) -> Result<Vec<Statement>> {
        let mut statements = Vec::new();
        let action = match &self.record.body {
            Body::Action(body) => Some((self.record.clone(), body.verdict.clone())),
            Body::Mutation(body) => self.action(body.action)?,
            Body::Outcome(body) => self.action(body.of)?,
            _ => None,
        };
        if let Some((record, _)) = &action
            && record.seq != self.record.seq
        {
            statements.push(self.point("action", record.seq)?);
        }
        match action {
            Some((record, Some(verdict))) if matches!(record.via, Via::Gate | Via::Recorder) => {
                statements.push(fact(decided(&verdict)));
                // A hold that people let go names the rules that asked for them.
                for seq in record.causes() {
                    if let Some((_, Some(held))) = self.action(Some(*seq))?
                        && held.decision == Decision::Hold
                    {
                        statements.push(self.point("held as", *seq)?);
                        statements.extend(held.obligations.iter().flatten().map(|asked| {
                            let rule = asked.rule.as_ref().map_or("unnamed", |rule| rule.as_str());
                            fact(format!(
                                "rule `{rule}` asks for {} of `{}`",
                                asked.k, asked.group
                            ))
                        }));
                    }
                }
                for seq in verdict.consumes.iter().flatten() {
                    statements.push(self.point("approved by", *seq)?);
                }
            }
            Some((record, Some(verdict))) => {
                let by = Self::speaker(&record);
                statements.push(Statement::Claim {
                    by,
                    what: "verdict".to_owned(),
                    text: decided(&verdict),
                });
            }
            _ => {}
        }
        let nobody = match self.record.via {
            Via::Import => "nobody here decided: it was imported after the fact",
            Via::Api => "nobody here decided: a caller reported it",
            Via::Watch => "nobody here decided: the watcher found it",
            _ if statements.is_empty() => "nothing here needed a decision",
            _ => return Ok(statements),
        };
        statements.push(absent(nobody));
        Ok(statements)
    }

    fn action(&self, seq: Option<Seq>) -> Result<Option<(Record, Option<Verdict>)>> {
        let Some(seq) = seq else { return Ok(None) };
        let Ok(record) = self.view.record(seq)?.meaning else {
            return Ok(None);
        };
        let verdict = match &record.body {
            Body::Action(body) => body.verdict.clone(),
            _ => None,
        };
        Ok(Some((record, verdict)))
    }

    pub(super) fn what_came_of_it(&self) -> Result<Vec<Statement>> {
        let mut statements = Vec::new();
        let mut seen = BTreeSet::from([self.record.seq]);
        let mut front = vec![(self.record.seq, 0)];
        while let Some((from, depth)) = front.pop() {
            let mut effects: Vec<_> = (self.effects)(from)?
                .into_iter()
                .filter(|(link, _)| link.is_causal())
                .collect();
            effects.sort_by_key(|(_, seq)| *seq);
            for (link, seq) in effects {
                if statements.len() >= MANY || !seen.insert(seq) {
                    continue;
                }
                statements.push(self.effect(link, seq)?);
                if depth < 2 {
                    front.insert(0, (seq, depth + 1));
                }
            }
        }
        let scores = match self.record.kind {
            Kind::Generation => self.scores(self.record)?,
            Kind::Mutation => self.scores_of_made()?,
            _ => Vec::new(),
        };
        statements.splice(0..0, scores);
        match statements.len() {
            0 => statements.push(absent("nothing that came later points to it")),
            MANY.. => statements.push(absent(format!(
                "there is more; only {MANY} effects are shown"
            ))),
            _ => {}
        }
        Ok(statements)
    }

    fn effect(&self, link: Link, seq: Seq) -> Result<Statement> {
        let shown = self.view.record(seq)?;
        let outcome = shown.meaning.as_ref().ok().and_then(|r| match &r.body {
            Body::Outcome(body) => Some(ended(body)),
            Body::Evaluation(body) => body
                .main
                .as_ref()
                .map(|m| format!("{} {}", m.metric, m.score)),
            _ => None,
        });
        let mut statement = self.point(link.name(), seq)?;
        if let (Statement::Record { words, .. }, Some(outcome)) = (&mut statement, outcome) {
            *words = if words.is_empty() {
                outcome
            } else {
                format!("{outcome}: {words}")
            };
        }
        Ok(statement)
    }

    pub(super) fn how_we_know(&self) -> Result<Vec<Statement>> {
        let seq = self.record.seq;
        let leaf = tree::leaf_hash(&self.shown.bytes);
        let mut statements: Vec<_> = self
            .shown
            .doubts
            .iter()
            .map(|doubt| Statement::Doubt {
                text: doubt.clone(),
            })
            .collect();
        let rests_on = self.view.rests_on();
        let rests_on = rests_on
            .unwrap_or_else(|| format!("and the tree with the root {} holds it", self.view.root()));
        statements.push(fact(format!(
            "record {seq} of {}: its {} bytes are the leaf {leaf}, {rests_on}",
            self.view.size(),
            self.shown.bytes.len(),
        )));
        if !self.shown.withheld.is_empty() {
            let slots: Vec<_> = self
                .shown
                .withheld
                .iter()
                .map(ToString::to_string)
                .collect();
            statements.push(absent(format!(
                "withheld from this bundle, each proven by its commitment alone: {}",
                slots.join(", ")
            )));
        }
        let held = self
            .shown
            .row
            .content
            .as_ref()
            .map_or(0, std::collections::BTreeMap::len)
            + self
                .shown
                .row
                .artefacts
                .as_ref()
                .map_or(0, std::collections::BTreeMap::len);
        let committed = self
            .record
            .content
            .as_ref()
            .map_or(0, std::collections::BTreeMap::len)
            + self.record.artefacts().len();
        statements.push(fact(format!(
            "{held} of {committed} texts and files are held and fit their commitments"
        )));
        for Redaction { secret, count } in self.record.redacted() {
            statements.push(fact(format!(
                "finding: {count} × {secret} was taken out before anything was stored"
            )));
        }
        if let Some(auth) = &self.record.auth
            && let Some(uid) = auth.uid
        {
            statements.push(fact(format!(
                "the caller had the user id {uid}, as the recorder saw"
            )));
        }
        if let Some(import) = self.record.import {
            statements.push(self.point("import", import)?);
        }
        statements.push(absent(
            "signatures, seals and the chain are asked by `tacho verify`, not here",
        ));
        Ok(statements)
    }

    fn claim(&self, what: &str, text: &str) -> Statement {
        Statement::Claim {
            by: Self::speaker(self.record),
            what: what.to_owned(),
            text: text.to_owned(),
        }
    }
}

/// What the actor did, in a clause.
fn deed(record: &Record) -> String {
    match &record.body {
        Body::Action(body) => {
            let class = body
                .class
                .map_or(String::new(), |class| format!(" ({class})"));
            format!("asked to use `{}`{class}", body.tool)
        }
        Body::Outcome(body) => format!("reported that it {}", ended(body)),
        Body::Message(body) => format!("said something as {}", body.speaker),
        Body::Mutation(body) => format!("changed {} ({})", parts(body), body.change),
        Body::Generation(body) => format!("became a new generation ({})", body.fate),
        Body::Evaluation(body) => match &body.main {
            Some(main) => format!("was measured: {} {}", main.metric, main.score),
            None => "was measured, without a number".to_owned(),
        },
        Body::Session(body) => match body.phase {
            tacho_schemas::body::log::Phase::Close => format!("ended a session of {}", body.agent),
            _ => format!("began a session of {}", body.agent),
        },
        Body::Approval(body) => format!("answered #{} with {}", body.target, body.answer),
        Body::Kill(body) => match (&body.target, body.about) {
            (Some(target), _) => format!("pulled the off switch for {} `{target}`", body.scope),
            (None, Some(about)) => format!("pulled the off switch for {} #{about}", body.scope),
            (None, None) => format!("pulled the off switch for {}", body.scope),
        },
        Body::Release(body) => format!("released the off switch of #{}", body.kill),
        _ => format!("wrote a {} record", record.kind),
    }
}

/// The names of what a mutation changed.
fn parts(body: &Mutation) -> String {
    let names: Vec<_> = body.parts.iter().flatten().map(|p| p.name()).collect();
    match names.is_empty() {
        true => "a part that was not classified".to_owned(),
        false => names.join(", "),
    }
}

fn ended(body: &Outcome) -> String {
    match body.status {
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::TimedOut => "did not end in time",
        Status::Cancelled => "was called off",
        Status::Killed => "was killed",
        Status::Unknown => "ended in a way that is not known",
    }
    .to_owned()
}

fn decided(verdict: &Verdict) -> String {
    let answer = match (verdict.decision, verdict.deny_kind) {
        (Decision::Allow, _) => "allowed".to_owned(),
        (Decision::Hold, _) => "held for humans".to_owned(),
        (Decision::Deny, Some(kind)) => format!("denied ({kind})"),
        (Decision::Deny, None) => "denied".to_owned(),
    };
    let rules: Vec<_> = verdict
        .rules
        .iter()
        .flatten()
        .map(|rule| format!("`{rule}`"))
        .collect();
    match rules.is_empty() {
        true => format!("{answer}, no rule is named"),
        false => format!("{answer} by {}", rules.join(", ")),
    }
}

/// Reads one record of the view; for helpers that need only this.
pub(super) fn record(about: &About<'_>, seq: Seq) -> Result<Option<(Shown, Record)>, Error> {
    let shown = about.view.record(seq)?;
    Ok(match shown.meaning.clone() {
        Ok(record) => Some((shown, record)),
        Err(_) => None,
    })
}
