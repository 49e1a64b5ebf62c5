//! Records of humans, and of the off switch.

use crate::body::log::Assurance;
use crate::body::work::{Confinement, Stop};
use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::map::{cbor_enum, cbor_map};
use crate::scalar::{Blob, Id, List, Seq, Set, Time};
use crate::sign::Fingerprint;

cbor_map! {
    /// The signature of a human act: the exact statement and the SSHSIG over it, checkable by `ssh-keygen -Y verify`.
    pub struct Act {
        /// The key that signed.
        31 "key" => key: req Fingerprint,
        /// What stands behind it.
        78 "assurance" => assurance: opt Assurance,
        /// The bytes that were signed.
        161 "statement" => statement: req Blob<4096>,
        /// The SSHSIG blob (OpenSSH PROTOCOL.sshsig), not armoured.
        162 "sshsig" => sshsig: req Blob<4096>,
    }
}

cbor_enum! {
    /// A human's answer.
    pub enum Answer {
        /// Yes, once.
        1 "approve" => Approve,
        /// No.
        2 "reject" => Reject,
    }
}

cbor_map! {
    /// A human's signed answer to one hold.
    pub struct Approval {
        /// The digest that it binds: for a hold, the hold's own; for a kill, the leaf hash of the kill record.
        122 "request_digest" => request_digest: req Hash,
        /// The hold, the kill to release, or the policy to replace.
        163 "target" => target: req Seq,
        /// The answer.
        164 "answer" => answer: req Answer,
        /// When it ends.
        165 "not_after" => not_after: opt Time,
        /// The signature.
        166 "act" => act: req Act,
    }
}

cbor_enum! {
    /// How far the off switch reaches.
    pub enum Scope {
        /// Everything.
        1 "all" => All,
        /// One agent.
        2 "agent" => Agent,
        /// One session.
        3 "session" => Session,
        /// One lineage.
        4 "lineage" => Lineage,
        /// One part.
        5 "part" => Part,
    }
}

cbor_enum! {
    /// What engaged the switch.
    pub enum Trigger {
        /// A human.
        1 "human" => Human,
        /// A watchdog.
        2 "watchdog" => Watchdog,
        /// An agent, for itself and what it started.
        3 "agent" => Agent,
        /// A lease ran out.
        4 "lease" => Lease,
        /// An alarm policy.
        5 "alarm" => Alarm,
        /// The flag was found engaged, removed or foreign.
        6 "flag" => Flag,
    }
}

/// Says whether a scope's target is named as it must be: agents and parts by id, sessions and lineages by record.
pub(crate) fn check_target(scope: Scope, id: Option<&Id>, seq: Option<Seq>) -> Result<()> {
    let good = match scope {
        Scope::All => id.is_none() && seq.is_none(),
        Scope::Agent | Scope::Part => id.is_some() && seq.is_none(),
        Scope::Session | Scope::Lineage => id.is_none() && seq.is_some(),
    };
    if good {
        Ok(())
    } else {
        Err(Error::Meaning(
            "the target does not fit the scope".to_owned(),
        ))
    }
}

cbor_map! {
    /// The off switch is engaged.
    pub struct Kill {
        /// When it was ordered, on CLOCK_BOOTTIME.
        131 "t_order" => t_order: opt u64,
        /// The signature, where a key was at hand.
        166 "act" => act: opt Act,
        /// How far.
        167 "scope" => scope: req Scope,
        /// The agent or part.
        168 "target_id" => target: opt Id,
        /// The session or lineage.
        169 "about" => about: opt Seq,
        /// What engaged it.
        170 "trigger" => trigger: req Trigger,
        /// Whether processes stay frozen for forensics.
        171 "freeze" => freeze: req bool,
        /// When the flag was durable, on CLOCK_BOOTTIME.
        172 "t_flag" => t_flag: opt u64,
    }
}

cbor_map! {
    /// The off switch is released.
    pub struct Release {
        /// The approvals this rests on, each used once.
        79 "consumes" => consumes: opt Set<Seq, 32>,
        /// How many distinct humans were needed, at least 1.
        125 "k" => k: req u64,
        /// The kill.
        173 "kill" => kill: req Seq,
        /// Whether one human alone did it.
        174 "single_person" => single_person: req bool,
    }
}

cbor_map! {
    /// The off switch is tried on a scratch cell.
    pub struct Drill {
        /// What confined the scratch cell, as in a session.
        98 "confinement" => confinement: opt Confinement,
        /// How it went.
        130 "stop" => stop: req Stop,
        /// Whether it went as it should.
        159 "passed" => passed: req bool,
    }
}

cbor_map! {
    /// A permission to go on until a moment.
    pub struct Lease {
        /// The signature.
        166 "act" => act: opt Act,
        /// How far.
        167 "scope" => scope: req Scope,
        /// The agent or part.
        168 "target_id" => target: opt Id,
        /// The session or lineage.
        169 "about" => about: opt Seq,
        /// When it ends, on CLOCK_BOOTTIME of this boot.
        175 "until_mono" => until_mono: req u64,
        /// The lease that it renews.
        176 "renews" => renews: opt Seq,
    }
}

cbor_enum! {
    /// What a note says of a finding.
    pub enum Mark {
        /// Somebody looks at it.
        1 "open" => Open,
        /// It is as it should be.
        2 "explained" => Explained,
        /// It is not.
        3 "incident" => Incident,
    }
}

cbor_map! {
    /// A reviewer's note; the records it is about are causes.
    pub struct Note {
        /// The rule of the finding.
        86 "rule" => rule: opt Id,
        /// The signature.
        166 "act" => act: opt Act,
        /// What it says of a finding.
        177 "mark" => mark: opt Mark,
    }
}

cbor_enum! {
    /// Why content is erased.
    pub enum Basis {
        /// A law asks for it.
        1 "law" => Law,
        /// It was a secret.
        2 "secret" => Secret,
        /// Its time of keeping is over.
        3 "retention" => Retention,
    }
}

cbor_map! {
    /// Content or artefacts of one record that were erased. At least one of the two lists.
    pub struct Erased {
        /// The record.
        1 "seq" => seq: req Seq,
        /// The fields, by number.
        178 "fields" => fields: opt Set<u64, 64>,
        /// The artefacts, by their place in the record.
        179 "places" => places: opt Set<u64, 256>,
    }
}

cbor_map! {
    /// Content was erased, by a human who was enrolled.
    pub struct Erasure {
        /// The signature: without a valid one the holes are violations.
        166 "act" => act: req Act,
        /// What, ascending by record, none twice.
        180 "erased" => erased: req List<Erased, 256>,
        /// Why.
        181 "basis" => basis: req Basis,
    }
}

impl Erasure {
    pub(crate) fn check(&self) -> Result<()> {
        if (&self.erased)
            .into_iter()
            .any(|e| e.fields.is_none() && e.places.is_none())
        {
            return Err(Error::Meaning("an erasure of nothing".to_owned()));
        }
        if !self.erased.as_slice().is_sorted_by(|a, b| a.seq < b.seq) {
            return Err(Error::Meaning(
                "what is erased must ascend by record, with none twice".to_owned(),
            ));
        }
        Ok(())
    }
}
