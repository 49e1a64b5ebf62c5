//! Human acts as files that `ssh-keygen -Y verify` checks: the statement that was signed, its SSHSIG, and who may sign.
//!
//! ```text
//! 17.statement  the bytes that were signed         acts.jsonl       which record, which key, which namespace
//! 17.sig        the signature, armoured            allowed_signers  the humans' keys, as the log enrolled them
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use tacho_schemas::Hash;
use tacho_schemas::body::Body;
use tacho_schemas::body::human::Act;
use tacho_schemas::body::log::{KeyOp, KeyRole};
use tacho_schemas::sign::Fingerprint;

use super::whole::Whole;
use super::{Losses, trust};
use crate::error::{Error, ErrorKind, Result};
use crate::read::Shown;

/// Acts under way, into one new folder.
#[derive(Debug)]
pub struct Acts<'a> {
    dir: &'a Path,
    index: String,
    /// The humans' keys: holder and OpenSSH key blob, by fingerprint.
    signers: BTreeMap<Hash, (String, Vec<u8>)>,
    /// Acts written.
    pub written: u64,
    /// Records without an act, by kind.
    pub losses: Losses,
}

impl<'a> Acts<'a> {
    /// Begins in an empty folder.
    pub fn new(dir: &'a Path) -> Self {
        Self {
            dir,
            index: String::new(),
            signers: BTreeMap::new(),
            written: 0,
            losses: Losses::new(),
        }
    }

    /// Remembers whose key a record enrols. Every record of a key is shown, whatever was chosen.
    pub fn enrol(&mut self, shown: &Shown) -> Result<()> {
        trust(shown)?;
        if let Ok(record) = &shown.meaning
            && let Body::Key(key) = &record.body
            && key.role == KeyRole::Human
            && matches!(key.op, KeyOp::Add | KeyOp::Rotate)
            && let Some(holder) = &key.holder
        {
            let blob = key.public_key.as_slice().to_vec();
            self.signers
                .insert(Hash::sha256(&blob), (holder.to_string(), blob));
        }
        Ok(())
    }

    /// Writes the act of a record, if it has one.
    pub fn take(&mut self, shown: &Shown) -> Result<()> {
        trust(shown)?;
        let act = match shown.meaning.as_ref().map(|record| &record.body) {
            Ok(Body::Approval(body)) => Some(&body.act),
            Ok(Body::Kill(body)) => body.act.as_ref(),
            Ok(Body::Lease(body)) => body.act.as_ref(),
            Ok(Body::Note(body)) => body.act.as_ref(),
            Ok(Body::Erasure(body)) => Some(&body.act),
            _ => None,
        };
        let Some(act) = act else {
            let kind = shown
                .meaning
                .as_ref()
                .map_or("not_understood", |r| r.kind.name());
            *self.losses.entry(format!("no_act:{kind}")).or_default() += 1;
            return Ok(());
        };
        self.write(shown, act)
    }

    fn write(&mut self, shown: &Shown, act: &Act) -> Result<()> {
        let seq = shown.seq;
        let put = |name: String, bytes: &[u8]| {
            let mut file = Whole::create(&self.dir.join(name))?;
            file.write(bytes)?;
            file.finish()
        };
        put(format!("{seq}.statement"), act.statement.as_slice())?;
        put(
            format!("{seq}.sig"),
            armoured(act.sshsig.as_slice()).as_bytes(),
        )?;
        let holder = self
            .signers
            .get(&act.key.0)
            .map(|(holder, _)| holder.as_str());
        let kind = shown
            .meaning
            .as_ref()
            .map_or("", |record| record.kind.name());
        let line = json!({
            "record": seq, "kind": kind, "leaf": tacho_schemas::tree::leaf_hash(&shown.bytes),
            "key": Fingerprint::to_string(&act.key), "assurance": act.assurance, "holder": holder,
            "namespace": namespace(act.sshsig.as_slice()),
            "statement": format!("{seq}.statement"), "signature": format!("{seq}.sig"),
        });
        self.index.push_str(&format!("{line}\n"));
        self.written += 1;
        Ok(())
    }

    /// Writes who may sign, and last the index: a folder with an index is whole.
    pub fn finish(&self) -> Result<()> {
        let mut allowed = String::new();
        for (holder, blob) in self.signers.values() {
            let kind = strings(blob)
                .next()
                .and_then(|text| std::str::from_utf8(text).ok());
            // Both stand in a file whose lines and spaces mean something.
            let plain = |text: &str| {
                text.bytes()
                    .all(|b| b.is_ascii_graphic() && !b"\"*?!,#".contains(&b))
            };
            match kind.filter(|kind| plain(kind) && plain(holder)) {
                Some(kind) => {
                    allowed.push_str(&format!("{holder} {kind} {}\n", BASE64.encode(blob)))
                }
                None => {
                    let what = format!(
                        "the key of `{}` cannot be written for OpenSSH",
                        holder.escape_debug()
                    );
                    return Err(Error::new(ErrorKind::Corrupt, what));
                }
            }
        }
        for (name, text) in [("allowed_signers", &allowed), ("acts.jsonl", &self.index)] {
            let mut file = Whole::create(&self.dir.join(name))?;
            file.write(text.as_bytes())?;
            file.finish()?;
        }
        Ok(())
    }
}

/// An SSHSIG in the armour that `ssh-keygen` writes (OpenSSH PROTOCOL.sshsig).
fn armoured(blob: &[u8]) -> String {
    let text = BASE64.encode(blob);
    let mut out = String::from("-----BEGIN SSH SIGNATURE-----\n");
    for (place, c) in text.chars().enumerate() {
        if place > 0 && place % 70 == 0 {
            out.push('\n');
        }
        out.push(c);
    }
    out.push_str("\n-----END SSH SIGNATURE-----\n");
    out
}

/// The namespace of an SSHSIG: after magic and version come the key and the namespace.
fn namespace(blob: &[u8]) -> Option<&str> {
    let rest = blob.strip_prefix(b"SSHSIG")?.get(4..)?;
    std::str::from_utf8(strings(rest).nth(1)?).ok()
}

/// The strings of SSH's wire format, each after its length, as far as they are whole.
fn strings(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some(text)
    })
}
