//! Records of the log about itself.

use crate::error::{Error, Result};
use crate::hash::{Hash, Origin};
use crate::map::{cbor_enum, cbor_map};
use crate::scalar::{Blob, Fixed, Id, List, Seq, Set, Time};
use crate::sign::PublicKey;

/// The only suite: BLAKE3, SHA-256, HMAC-SHA256, Ed25519.
pub const SUITE: u64 = 1;

cbor_map! {
    /// The first record. SHA-256 of its bytes is the log id. Its three keys differ.
    pub struct Genesis {
        /// The algorithms.
        50 "suite" => suite: req u64,
        /// The log's name.
        51 "origin" => origin: req Origin,
        /// The offline key that answers for the log.
        52 "identity_key" => identity_key: req PublicKey,
        /// The key that signs checkpoints.
        53 "log_key" => log_key: req PublicKey,
        /// The key of epoch 0.
        54 "epoch_key" => epoch_key: req PublicKey,
        /// The policy in force from the start.
        55 "policy_digest" => policy_digest: opt Hash,
        /// That epochs are sealed, which a verifier holds the log to: version 1 always seals.
        56 "sealing" => sealing: req bool,
        /// How many witnesses a checkpoint needs. This version checks none, so that a log which needs some is not good.
        57 "witness_quorum" => witness_quorum: req u64,
        /// The log that this one continues.
        58 "predecessor" => predecessor: opt Predecessor,
        /// By the identity key, over the record without this field.
        59 "signature" => signature: opt Fixed<64>,
    }
}

impl Genesis {
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::Meaning(why.to_owned()));
        if self.suite != SUITE {
            return refuse("the suite is not known");
        }
        if self.signature.is_none() {
            return refuse("a genesis needs a signature");
        }
        if !self.sealing {
            return refuse("a log of version 1 is sealed");
        }
        if self.identity_key == self.log_key
            || self.identity_key == self.epoch_key
            || self.log_key == self.epoch_key
        {
            return refuse("identity, log and epoch key must differ");
        }
        Ok(())
    }
}

cbor_map! {
    /// The end of the log that this one continues.
    pub struct Predecessor {
        /// Its name.
        51 "origin" => origin: req Origin,
        /// How many records it had.
        60 "size" => size: req u64,
        /// Its root at that size.
        61 "root" => root: req Hash,
        /// Why it ended.
        62 "succession" => succession: req Succession,
    }
}

cbor_enum! {
    /// Why a log continues another.
    pub enum Succession {
        /// The other was restored from a backup.
        1 "restored" => Restored,
        /// The other was found damaged.
        2 "damaged" => Damaged,
        /// The other was closed on purpose.
        3 "closed" => Closed,
    }
}

cbor_map! {
    /// The recorder started.
    pub struct Boot {
        /// The kernel's boot id: `mono` values compare only within one.
        63 "boot_id" => boot_id: req Fixed<16>,
        /// Whether the last stop was clean.
        64 "clean" => clean: req bool,
        /// How many records lay after the last durable commit signature and were taken over.
        65 "recovered" => recovered: req u64,
        /// Whether `mono` is smaller than before, or of another boot.
        66 "mono_reset" => mono_reset: req bool,
        /// The recorder's version.
        67 "software" => software: req Id,
        /// Whether a human accepted that records were lost.
        68 "loss_accepted" => loss_accepted: req bool,
    }
}

cbor_enum! {
    /// Why an epoch was sealed.
    pub enum SealReason {
        /// So many records, or so much time.
        1 "cadence" => Cadence,
        /// An unclean stop came before.
        2 "unclean_start" => UncleanStart,
        /// The recorder stopped.
        3 "stop" => Stop,
        /// A mutation is about to take effect.
        4 "mutation" => Mutation,
        /// Asked for.
        5 "asked" => Asked,
    }
}

cbor_map! {
    /// Closes an epoch. The epoch's records are `first` up to the record before the seal; the seal's own `prev` is the chain
    /// head over them.
    pub struct Seal {
        /// By the key of the epoch that ends, over the record without this field.
        59 "signature" => signature: opt Fixed<64>,
        /// The tree's root over all records before the seal.
        61 "root" => root: req Hash,
        /// The epoch that ends, counted from 0 without gaps.
        69 "epoch" => epoch: req u64,
        /// Its first record; the seal itself if the epoch was empty.
        70 "first" => first: req Seq,
        /// The key of the next epoch.
        71 "next_key" => next_key: req PublicKey,
        /// Why now.
        72 "seal_reason" => reason: req SealReason,
    }
}

cbor_enum! {
    /// What happens to a key.
    pub enum KeyOp {
        /// It is valid from here on.
        1 "add" => Add,
        /// It replaces the one before.
        2 "rotate" => Rotate,
        /// It is no longer valid.
        3 "retire" => Retire,
        /// The one before is lost; this one goes on. Stays visible for ever.
        4 "break" => Break,
    }
}

cbor_enum! {
    /// What a key is for.
    pub enum KeyRole {
        /// Signs checkpoints.
        1 "log" => Log,
        /// Signs commits and one seal.
        2 "epoch" => Epoch,
        /// Signs a human's acts.
        3 "human" => Human,
        /// Cosigns checkpoints from another host.
        4 "witness" => Witness,
        /// Renews leases and engages the switch.
        5 "watchdog" => Watchdog,
    }
}

cbor_enum! {
    /// Why the agent's user could not have made a signature by this key.
    pub enum Assurance {
        /// It could have.
        1 "none" => None,
        /// The agent of the key asks for each use.
        2 "confirm" => Confirm,
        /// The key belongs to another user.
        3 "other_uid" => OtherUid,
        /// The key is in hardware and needs a touch.
        4 "touch" => Touch,
        /// The key is on another host.
        5 "other_host" => OtherHost,
    }
}

cbor_map! {
    /// A key comes or goes. Signed by the identity key, or, for keys of humans, allowed by approvals.
    pub struct Key {
        /// By the identity key, over the record without this field.
        59 "signature" => signature: opt Fixed<64>,
        /// The epoch that the key begins (role epoch).
        69 "epoch" => epoch: opt u64,
        /// What happens.
        73 "op" => op: req KeyOp,
        /// What the key is for.
        74 "key_role" => role: req KeyRole,
        /// 32 bytes of Ed25519, or an OpenSSH public key blob (human, watchdog).
        75 "public_key" => public_key: req Blob<2048>,
        /// Whose key it is (role human, witness, watchdog).
        76 "holder" => holder: opt Id,
        /// The groups the holder counts in (role human).
        77 "groups" => groups: opt Set<Id, 32>,
        /// What stands behind a signature by it (role human).
        78 "assurance" => assurance: opt Assurance,
        /// The approvals this rests on, each used once.
        79 "consumes" => consumes: opt Set<Seq, 32>,
    }
}

impl Key {
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::Meaning(why.to_owned()));
        let ours = matches!(self.role, KeyRole::Log | KeyRole::Epoch);
        if ours && self.public_key.as_slice().len() != 32 {
            return refuse("a log or epoch key has 32 bytes");
        }
        if ours && self.signature.is_none() {
            return refuse("a log or epoch key needs the identity key's signature");
        }
        if !ours && self.signature.is_none() && self.consumes.is_none() {
            return refuse("a key needs the identity key's signature or approvals");
        }
        if (self.role == KeyRole::Epoch) != self.epoch.is_some() {
            return refuse("`epoch` stands if and only if the role is epoch");
        }
        if ours == self.holder.is_some() {
            return refuse("`holder` stands if and only if the role is human, witness or watchdog");
        }
        if self.role != KeyRole::Human && (self.groups.is_some() || self.assurance.is_some()) {
            return refuse("`groups` and `assurance` stand only if the role is human");
        }
        Ok(())
    }
}

cbor_map! {
    /// A policy comes into force; its text is an artefact.
    pub struct Policy {
        /// The digest that verdicts name.
        55 "policy_digest" => policy_digest: req Hash,
        /// The approvals this rests on, each used once.
        79 "consumes" => consumes: opt Set<Seq, 32>,
        /// The policy record that this one replaces.
        80 "supersedes" => supersedes: opt Seq,
        /// The preset it was made from.
        81 "preset" => preset: opt Id,
    }
}

cbor_enum! {
    /// What sort of thing is missing.
    pub enum GapKind {
        /// The recorder was not running.
        1 "recorder_down" => RecorderDown,
        /// A tool call of the agent never asked the gate.
        2 "ungated" => Ungated,
        /// A result without its action, or an action without its result.
        3 "unpaired" => Unpaired,
        /// What was executed is not what was approved.
        4 "mismatch" => Mismatch,
        /// A guard vanished for a while.
        5 "unguarded" => Unguarded,
        /// Records were lost with the WAL, and a human accepted it.
        6 "lost" => Lost,
        /// A prefix of a transcript changed after it was read.
        7 "rewritten" => Rewritten,
    }
}

cbor_map! {
    /// Something is known to be missing.
    pub struct Gap {
        /// What sort.
        82 "gap" => gap: req GapKind,
        /// How many things, where that is known.
        83 "count" => count: opt u64,
        /// Since when.
        84 "since" => since: opt Time,
        /// Until when.
        85 "until" => until: opt Time,
    }
}

cbor_enum! {
    /// How much an alarm matters.
    pub enum Severity {
        /// Look at it.
        1 "notice" => Notice,
        /// Look at it today.
        2 "warning" => Warning,
        /// Look at it now.
        3 "critical" => Critical,
    }
}

cbor_map! {
    /// A rule raised something; the records it is about are causes.
    pub struct Alarm {
        /// The rule.
        86 "rule" => rule: req Id,
        /// How much it matters.
        87 "severity" => severity: req Severity,
    }
}

cbor_enum! {
    /// Which end of something that lasts.
    pub enum Phase {
        /// Its beginning.
        1 "open" => Open,
        /// Its end.
        2 "close" => Close,
        /// More of what its beginning brought.
        3 "part" => Part,
    }
}

cbor_map! {
    /// Records are taken over from a file. The opening record is what `import` points to; the closing one reports losses.
    pub struct Import {
        /// How many records were made (closing).
        83 "count" => count: opt u64,
        /// Which end.
        88 "phase" => phase: req Phase,
        /// The file's format.
        89 "format" => format: req Id,
        /// Of what version.
        90 "format_version" => format_version: opt Id,
        /// What was not understood (closing).
        91 "losses" => losses: opt List<Loss, 256>,
    }
}

impl Import {
    pub(crate) fn check(&self) -> Result<()> {
        if self.phase != Phase::Close && (self.count.is_some() || self.losses.is_some()) {
            return Err(Error::Meaning(
                "`count` and `losses` stand only when the import closes".to_owned(),
            ));
        }
        Ok(())
    }
}

cbor_map! {
    /// Things of a file that were not understood.
    pub struct Loss {
        /// How many.
        83 "count" => count: req u64,
        /// What they are.
        92 "what" => what: req Id,
    }
}
