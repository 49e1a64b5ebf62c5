//! Where policies come from: a preset, a file, or the log; and who is enrolled, as the log says.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use tacho_policy::policies::MAX_BYTES;
use tacho_policy::{Approver, Policies, Preset};
use tacho_recorder::read::{Shown, View};
use tacho_recorder::{LogDir, Reader};
use tacho_schemas::body::Body;
use tacho_schemas::body::log::Assurance;
use tacho_schemas::body::log::{KeyOp, KeyRole};
use tacho_schemas::content::Descriptor;
use tacho_schemas::record::{Role, Via};
use tacho_schemas::{Hash, Kind, Seq};

use crate::place::{self, Place};
use crate::term::{Failure, safe};

/// The log, if there is one.
pub(super) fn log(place: &Place) -> Result<Option<(LogDir, Reader)>, Failure> {
    if !place.log()?.exists() {
        return Ok(None);
    }
    let dir = place.open_to_read()?;
    let reader = place::reader(&dir)?;
    Ok(Some((dir, reader)))
}

/// The policy that was named; else the one in force; else the default.
pub(super) fn policy(named: Option<&str>, place: &Place) -> Result<Policies, Failure> {
    if let Some(named) = named {
        return self::named(named);
    }
    if let Some((_dir, reader)) = log(place)? {
        let view = View::new(&reader)?;
        if let Some((_, policies)) = in_force(&view, None)? {
            return Ok(policies);
        }
    }
    self::named(Preset::Solo.name())
}

/// A preset.
pub(crate) fn policy_of(preset: Preset) -> Result<Policies, Failure> {
    parse(preset.name(), preset.text())
}

/// A preset, or a file.
fn named(name: &str) -> Result<Policies, Failure> {
    let (name, text) = match Preset::from_name(name) {
        Some(preset) => (preset.name(), preset.text().to_owned()),
        None => (name, read(Path::new(name))?),
    };
    parse(name, &text)
}

fn parse(name: &str, text: &str) -> Result<Policies, Failure> {
    Policies::parse(name, text).map_err(|error| {
        let problems: Vec<_> = error
            .0
            .iter()
            .map(|p| safe(&p.to_string()).into_owned())
            .collect();
        Failure::new(format!("`{name}` is no policy that may decide"))
            .below(problems.join("\n"))
            .hint("`tacho policy show --schema` prints what rules may ask about")
    })
}

/// Reads a text file that is not too large.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let cannot = |e: std::io::Error| {
        let presets = Preset::ALL.map(Preset::name).join(", ");
        Failure::new(format!(
            "cannot read `{}`: {}",
            path.display(),
            place::plain(&e)
        ))
        .hint(format!("the presets are {presets}"))
    };
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(limit.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if text.len() > MAX_BYTES {
        let what = format!("`{}` is longer than {MAX_BYTES} bytes", path.display());
        return Err(Failure::new(what));
    }
    Ok(text)
}

/// Whether a record is the recorder's own word, and not somebody's claim.
pub(super) fn counts(via: Via) -> bool {
    matches!(via, Via::Gate | Via::Human | Via::Recorder)
}

/// The policy in force at the end of the log, or the one with this digest.
pub(crate) fn in_force(
    view: &View<'_>,
    digest: Option<Hash>,
) -> Result<Option<(Seq, Policies)>, Failure> {
    let mut found = None;
    view.of_kind(Kind::Policy, |shown| {
        if let Ok(record) = &shown.meaning
            && let Body::Policy(body) = &record.body
            && counts(record.via)
            && digest.is_none_or(|d| d == body.policy_digest)
            && let Some(text) = bundle(view, &shown, body.policy_digest)?
        {
            let name = body.preset.as_ref().map_or("policy", |p| p.as_str());
            found = Some((shown.seq, name.to_owned(), text));
        }
        Ok::<(), Failure>(())
    })?;
    if let Some((seq, name, text)) = found {
        return Ok(Some((seq, parse(&name, &text)?)));
    }
    // A preset needs no artefact to be known.
    let preset = Preset::ALL.into_iter().find_map(|preset| {
        let policies = Policies::preset(preset).ok()?;
        (Some(policies.digest()) == digest).then_some(policies)
    });
    Ok(preset.map(|policies| (Seq(0), policies)))
}

/// The text of a policy record, held against the digest.
fn bundle(view: &View<'_>, shown: &Shown, digest: Hash) -> Result<Option<String>, Failure> {
    let Ok(record) = &shown.meaning else {
        return Ok(None);
    };
    let place = (0..)
        .zip(record.artefacts())
        .find(|(_, a)| a.role == Role::Policy);
    let held = place.and_then(|(place, _)| shown.row.artefacts.as_ref()?.get(&place));
    let Some(held) = held else {
        return Ok(None);
    };
    let hash = Descriptor::decode(&held.bytes)?.blake3;
    let Some(artefact) = view.snapshot().artefact(&hash)? else {
        return Ok(None);
    };
    let text = String::from_utf8(artefact.bytes).ok();
    Ok(text.filter(|text| tacho_policy::policies::digest(text.as_bytes()) == digest))
}

/// Who may approve, as the log says: one entry for each key.
pub(super) fn enrolled(view: &View<'_>) -> Result<Vec<Approver>, Failure> {
    let mut keys: BTreeMap<Vec<u8>, Approver> = BTreeMap::new();
    view.of_kind(Kind::Key, |shown| {
        if let Ok(record) = &shown.meaning
            && let Body::Key(key) = &record.body
            && key.role == KeyRole::Human
            && counts(record.via)
        {
            let bytes = key.public_key.as_slice().to_vec();
            match (key.op, &key.holder) {
                (KeyOp::Add | KeyOp::Rotate, Some(human)) => {
                    let approver = Approver {
                        groups: key.groups.iter().flatten().cloned().collect(),
                        human: human.clone(),
                        initiator: false,
                        launcher: false,
                        seq: shown.seq,
                        weak: key.assurance.is_none_or(|a| a == Assurance::None),
                    };
                    keys.insert(bytes, approver);
                }
                _ => drop(keys.remove(&bytes)),
            }
        }
        Ok::<(), Failure>(())
    })?;
    Ok(keys.into_values().collect())
}
