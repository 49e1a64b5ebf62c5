//! Verification: a fold over the records, in order.
//!
//! ```text
//! bytes ──Single::check (any thread)──▶ Single ──Fold::push (in order)──▶ Fold ──Fold::finish(evidence)──▶ Report
//! ```
//!
//! The fold needs a few hundred bytes, however long the log is. It never says more than it checked: a list of what was wrong
//! is not a verdict, so [`Report`] answers integrity, authenticity, completeness, time, meaning and content apart, and a check
//! of nothing is never good.
//!
//! Three published attacks on sealed logs were omissions of the verifier (eprint 2023/867). Hence: both bounds of each epoch
//! are checked, epochs count without gaps, exactly one seal ends each, empty ones too, and no index is evidence.

mod ends;
mod report;
mod single;
pub mod switch;

use std::collections::{BTreeMap, BTreeSet};

use crate::body::Body;
use crate::body::log::{Genesis, Key, KeyOp, KeyRole, Seal, SealReason};
use crate::content::{Held, Slot};
use crate::hash::{Hash, LogId, Origin};
use crate::record::Via;
use crate::scalar::{Seq, Time};
use crate::sign::{self, PublicKey, Purpose};
use crate::tree::{self, Frontier};

pub use ends::{Evidence, Mark};
pub use report::{
    Anchor, Authenticity, Breach, Clocks, Completeness, Content, Integrity, Meaning, Report,
    SPELT_OUT, Violation,
};
pub use single::{Meant, Single, Vault};

/// How far the wall clock may move against the boot clock between two records before it counts as a jump: 2 s.
const JUMP_NS: i128 = 2_000_000_000;

/// One epoch: whose key, and which tree sizes it signs.
#[derive(Clone, Debug)]
struct Epoch {
    number: u64,
    key: PublicKey,
    /// The epoch's first record.
    first: Seq,
    /// The smallest tree that it signs: the one that ends with the record which names its key.
    signs_from: u64,
}

/// What the records before some tree size come to.
#[derive(Clone, Copy, Debug)]
struct State {
    root: Hash,
    /// None behind hidden records.
    head: Option<Hash>,
    boots: Boots,
}

/// Which record may be the last boot record.
#[derive(Clone, Copy, Debug, Default)]
struct Boots {
    /// The last that was understood; 0 before the first.
    last: Seq,
    /// The first record after it that was not understood or is hidden: that one and those after it may be boot records.
    unclear: Option<Seq>,
}

/// The state of a verification between two records.
#[derive(Clone, Debug)]
pub struct Fold {
    genesis: Option<Genesis>,
    /// The identity key signed the genesis.
    genesis_signed: bool,
    log_id: Option<LogId>,
    tree: Frontier,
    /// The chain hash of the last record; none behind hidden ones.
    head: Option<Hash>,
    /// How many records were passed over, of which only subtrees are known.
    hidden: u64,
    epochs: Vec<Epoch>,
    /// Log keys and the first record each is valid after.
    log_keys: Vec<(Seq, PublicKey)>,
    sealed: bool,
    stopped: bool,
    broken_epochs: u64,
    holes: BTreeMap<Seq, BTreeSet<Slot>>,
    erasures: BTreeSet<Seq>,
    /// Tree sizes at which a signature of the log holds: the records before each are as they were signed.
    vouched: Vec<u64>,
    /// The smallest tree size at which something signed does not fit the records: the fault lies somewhere before it.
    doubted: Option<u64>,
    /// Sizes at which the state is wanted, and what it was.
    wanted: BTreeSet<u64>,
    seen: BTreeMap<u64, State>,
    boots: Boots,
    last: Option<(Time, u64)>,
    integrity: Integrity,
    clocks: Clocks,
    meaning: Meaning,
    content: Content,
}

impl Fold {
    /// Starts before the first record. `wanted` are the tree sizes that the evidence will speak of.
    pub fn new(wanted: impl IntoIterator<Item = u64>) -> Self {
        Self {
            genesis: None,
            genesis_signed: false,
            log_id: None,
            tree: Frontier::new(),
            head: Some(Hash::ZERO),
            hidden: 0,
            epochs: Vec::new(),
            log_keys: Vec::new(),
            sealed: false,
            stopped: false,
            broken_epochs: 0,
            holes: BTreeMap::new(),
            erasures: BTreeSet::new(),
            vouched: Vec::new(),
            doubted: None,
            wanted: wanted.into_iter().collect(),
            seen: BTreeMap::new(),
            boots: Boots::default(),
            last: None,
            integrity: Integrity::default(),
            clocks: Clocks::default(),
            meaning: Meaning::default(),
            content: Content::default(),
        }
    }

    /// How many records were taken.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Also keeps the state at these tree sizes. False if one of them was passed before it was wanted: then only a fold from the
    /// beginning can tell.
    pub fn want(&mut self, sizes: impl IntoIterator<Item = u64>) -> bool {
        self.wanted.extend(sizes);
        let passed = self.wanted.range(..=self.tree.size());
        passed.clone().all(|size| self.seen.contains_key(size))
    }

    /// Whether nothing that is wrong was found so far.
    pub fn is_sound(&self) -> bool {
        self.integrity.count == 0
    }

    /// Whether the last record is the seal of a clean stop.
    pub fn is_stopped(&self) -> bool {
        self.sealed && self.stopped
    }

    /// Whether the genesis is that of this log.
    pub(crate) fn is_of(&self, origin: &Origin, log_id: LogId) -> bool {
        let named = self.genesis.as_ref().map(|genesis| &genesis.origin);
        named == Some(origin) && self.log_id == Some(log_id)
    }

    /// How many texts and descriptors fit their commitments so far, and how many are withheld.
    pub(crate) fn texts(&self) -> (u64, u64) {
        (self.content.opened, self.content.withheld)
    }

    /// The tree so far.
    pub fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// Notes something wrong that the caller found, such as a tile that differs.
    pub fn breach(&mut self, breach: Breach, seq: Option<Seq>, what: impl Into<String>) {
        self.integrity.count += 1;
        if let Some(seq) = seq {
            self.integrity.first_bad =
                Some(self.integrity.first_bad.map_or(seq, |first| first.min(seq)));
        }
        let violations = &self.integrity.violations;
        if violations.len() < SPELT_OUT || violations.iter().all(|v| v.breach != breach) {
            self.integrity.violations.push(Violation {
                breach,
                seq,
                what: what.into(),
            });
        }
    }

    /// Notes that something signed about the first `size` records does not fit them. Which of them is to blame it cannot say.
    fn doubt(&mut self, breach: Breach, size: u64, what: impl Into<String>) {
        let first_bad = self.integrity.first_bad;
        self.breach(breach, Some(Seq(size.saturating_sub(1))), what);
        self.integrity.first_bad = first_bad;
        self.doubted = Some(self.doubted.map_or(size, |least| least.min(size)));
    }

    /// Notes that the caller compared so many tiles.
    pub fn compared_tiles(&mut self, count: u64) {
        self.integrity.tiles += count;
    }

    /// Takes the next record. `row_seq` is the number under which the store keeps it.
    pub fn push(&mut self, row_seq: Seq, bytes: &[u8], checked: crate::Result<Single>) {
        let here = Seq(self.tree.size());
        if row_seq != here {
            self.breach(
                Breach::Sequence,
                Some(here.min(row_seq)),
                format!("record {here} is kept as {row_seq}"),
            );
        }
        let leaf = match checked {
            Ok(single) => {
                let leaf = single.leaf;
                self.take(here, bytes, single, row_seq == here);
                leaf
            }
            Err(error) => {
                self.breach(Breach::Canon, Some(here), error.to_string());
                self.head = self.head.map(|head| crate::chain::link(&head, bytes));
                self.boots.unclear.get_or_insert(here);
                self.sealed = false;
                tree::leaf_hash(bytes)
            }
        };
        // A tree of 2^64 records cannot come to be: seq is a u64 too.
        if self.tree.append(leaf).is_err() {
            self.breach(Breach::Sequence, Some(here), "the tree is full");
        }
        self.look();
    }

    /// Passes over records that are hidden: `covers` are the roots of the largest complete subtrees that cover them, from the left.
    ///
    /// What they say is not known: their place in the tree is, if the roots that were signed come out.
    pub fn hide(&mut self, count: u64, covers: &[Hash]) -> crate::Result<()> {
        let start = self.tree.size();
        let end = start
            .checked_add(count)
            .filter(|end| *end > start)
            .ok_or(crate::Error::Bundle("it hides no records, or too many"))?;
        let mut hashes = covers.iter();
        for (level, _) in tree::covers(start, end) {
            let root = hashes.next().copied();
            let root = root.ok_or(crate::Error::Bundle("a hidden run has too few hashes"))?;
            self.tree.append_subtree(level, root)?;
        }
        if hashes.next().is_some() {
            return Err(crate::Error::Bundle("a hidden run has too many hashes"));
        }
        if start == 0 {
            self.breach(Breach::Genesis, Some(Seq(0)), "the first record is hidden");
        }
        self.hidden = self.hidden.saturating_add(count);
        (self.head, self.last, self.sealed) = (None, None, false);
        self.boots.unclear.get_or_insert(Seq(start));
        self.look();
        Ok(())
    }

    /// Keeps the state, if they are wanted at this size.
    fn look(&mut self) {
        let size = self.tree.size();
        if self.wanted.contains(&size) {
            let state = State {
                root: self.tree.root(),
                head: self.head,
                boots: self.boots,
            };
            self.seen.insert(size, state);
        }
    }

    /// Takes a record. `in_place` says whether it is kept under the number of its place.
    fn take(&mut self, here: Seq, bytes: &[u8], single: Single, in_place: bool) {
        if single.frame.seq != here {
            self.breach(
                Breach::Sequence,
                Some(here),
                format!("record {here} says that it is {}", single.frame.seq),
            );
        }
        if self.head.is_some_and(|head| single.frame.prev != head) {
            self.break_chain(here, in_place && single.frame.seq == here);
        }
        self.head = Some(single.chain);
        self.sealed = false;
        if let Some(held) = single.held {
            self.open(here, held);
        }
        match single.meaning {
            Ok(meant) => self.understand(here, bytes, &meant, single.signed.as_deref()),
            Err(error) => {
                if here == Seq(0) {
                    self.breach(
                        Breach::Genesis,
                        Some(here),
                        format!("the first record is no genesis: {error}"),
                    );
                }
                self.boots.unclear.get_or_insert(here);
                self.meaning.not_checked += 1;
                self.meaning.first.get_or_insert(here);
                self.meaning.why.get_or_insert_with(|| error.to_string());
            }
        }
    }

    /// Takes what the vault row of a record says of it.
    fn open(&mut self, here: Seq, held: Held) {
        self.content.checked = true;
        self.content.opened += held.opened;
        self.content.withheld += held.withheld;
        if held.garbled {
            let what = format!("the vault row of {here} cannot be read");
            self.breach(Breach::Content, Some(here), what);
        }
        for slot in held.wrong {
            let what = format!("{slot} of {here} is not what was committed to");
            self.breach(Breach::Content, Some(here), what);
        }
        if !held.holes.is_empty() {
            self.holes.insert(here, held.holes.into_iter().collect());
        }
    }

    /// Notes that a record does not follow the one before it. If that one is there, it is the first that may be bad.
    fn break_chain(&mut self, here: Seq, in_sequence: bool) {
        match here.0.checked_sub(1) {
            Some(before) if in_sequence => self.breach(
                Breach::Chain,
                Some(Seq(before)),
                format!("record {before}, or the link to it in record {here}, was changed"),
            ),
            Some(_) => self.breach(
                Breach::Chain,
                Some(here),
                format!("record {here} does not follow the record before it"),
            ),
            None => self.breach(
                Breach::Chain,
                Some(here),
                "the first record follows another",
            ),
        }
    }

    fn understand(&mut self, here: Seq, bytes: &[u8], meant: &Meant, signed: Option<&[u8]>) {
        self.compare_clocks(here, meant);
        match &meant.body {
            Some(Body::Genesis(genesis)) => self.begin(here, bytes, genesis, signed),
            _ if here == Seq(0) => {
                self.breach(
                    Breach::Genesis,
                    Some(here),
                    "the first record is no genesis",
                );
            }
            Some(Body::Boot(_)) => {
                self.boots = Boots {
                    last: here,
                    unclear: None,
                };
            }
            Some(Body::Seal(seal)) => self.end_epoch(here, seal, signed),
            Some(Body::Key(key)) => self.change_key(here, key, signed),
            Some(Body::Erasure(_)) if meant.via == Via::Human => {
                self.erasures.insert(here);
            }
            _ => {}
        }
    }

    fn compare_clocks(&mut self, here: Seq, meant: &Meant) {
        let now = (meant.time, meant.mono);
        self.clocks.first.get_or_insert(meant.time);
        self.clocks.last = Some(meant.time);
        let reset = matches!(&meant.body, Some(Body::Boot(boot)) if boot.mono_reset);
        if let (Some((time, mono)), false) = (self.last, reset) {
            let wall = i128::from(now.0.0) - i128::from(time.0);
            let boot = i128::from(now.1) - i128::from(mono);
            if boot < 0 || (wall - boot).abs() > JUMP_NS {
                self.clocks.jumps += 1;
                self.clocks.first_jump.get_or_insert(here);
            }
        }
        self.last = Some(now);
    }

    fn begin(&mut self, here: Seq, bytes: &[u8], genesis: &Genesis, signed: Option<&[u8]>) {
        if here != Seq(0) {
            self.breach(
                Breach::Genesis,
                Some(here),
                format!("record {here} is a second genesis"),
            );
            return;
        }
        self.genesis_signed = self.check_signature(
            here,
            Purpose::Genesis,
            &genesis.identity_key,
            genesis.signature.as_ref(),
            signed,
        );
        self.log_id = Some(LogId::of_genesis(bytes));
        self.log_keys.push((here, genesis.log_key));
        self.epochs.push(Epoch {
            number: 0,
            key: genesis.epoch_key,
            first: here,
            signs_from: 1,
        });
        self.genesis = Some(genesis.clone());
    }

    fn end_epoch(&mut self, here: Seq, seal: &Seal, signed: Option<&[u8]>) {
        let Some(epoch) = self.epochs.last().cloned() else {
            return;
        };
        let before = self.integrity.count;
        let size = here.next().0;
        if seal.epoch != epoch.number {
            let what = format!(
                "the seal at {here} closes epoch {}, but epoch {} is open",
                seal.epoch, epoch.number
            );
            self.doubt(Breach::Seal, size, what);
        }
        if seal.first != epoch.first {
            let what = format!(
                "the seal at {here} begins at {}, but its epoch at {}",
                seal.first, epoch.first
            );
            self.doubt(Breach::Seal, size, what);
        }
        if seal.root != self.tree.root() {
            let what = format!("the seal at {here} has another root than the records before it");
            self.doubt(Breach::Seal, size, what);
        }
        self.check_signature(
            here,
            Purpose::Seal,
            &epoch.key,
            seal.signature.as_ref(),
            signed,
        );
        if self.is_used(&seal.next_key) {
            let what = format!("the seal at {here} names a key that was used before");
            self.doubt(Breach::Seal, size, what);
        }
        self.integrity.seals += 1;
        self.sealed = true;
        self.stopped = seal.reason == SealReason::Stop;
        if self.integrity.count == before {
            self.vouched.push(size);
        }
        let number = epoch.number.saturating_add(1);
        self.epochs.push(Epoch {
            number,
            key: seal.next_key,
            first: here.next(),
            signs_from: size,
        });
    }

    /// Whether an epoch had this key.
    fn is_used(&self, key: &PublicKey) -> bool {
        self.epochs.iter().any(|epoch| epoch.key == *key)
    }

    fn change_key(&mut self, here: Seq, key: &Key, signed: Option<&[u8]>) {
        let Some(identity) = self.genesis.as_ref().map(|g| g.identity_key) else {
            return;
        };
        if signed.is_some() {
            self.check_signature(
                here,
                Purpose::Key,
                &identity,
                key.signature.as_ref(),
                signed,
            );
        }
        let Ok(public) = <[u8; 32]>::try_from(key.public_key.as_slice()).map(crate::scalar::Fixed)
        else {
            return;
        };
        let size = here.next().0;
        match (key.role, key.op) {
            (KeyRole::Log, KeyOp::Rotate) => self.log_keys.push((here, public)),
            (KeyRole::Epoch, KeyOp::Break) => {
                let next = self.epochs.last().map_or(0, |e| e.number.saturating_add(1));
                if key.epoch != Some(next) {
                    let what = format!("the break at {here} does not begin epoch {next}");
                    self.doubt(Breach::Key, size, what);
                }
                if self.is_used(&public) {
                    let what = format!("the break at {here} names a key that was used before");
                    self.doubt(Breach::Key, size, what);
                }
                self.broken_epochs += 1;
                self.epochs.push(Epoch {
                    number: next,
                    key: public,
                    first: here,
                    signs_from: size,
                });
            }
            (KeyRole::Log | KeyRole::Epoch, _) => {
                let what = format!("a {} of a {} key is not foreseen", key.op, key.role);
                self.doubt(Breach::Key, size, what);
            }
            _ => {}
        }
    }

    fn check_signature(
        &mut self,
        here: Seq,
        purpose: Purpose,
        key: &PublicKey,
        signature: Option<&crate::scalar::Fixed<64>>,
        signed: Option<&[u8]>,
    ) -> bool {
        let good = match (signature, signed) {
            (Some(signature), Some(signed)) => {
                sign::verify(key, purpose, signed, signature).is_ok()
            }
            _ => false,
        };
        if !good {
            let what = format!("the signature inside record {here} does not verify");
            self.doubt(Breach::Signature, here.next().0, what);
        }
        good
    }

    /// The epoch that signs a tree of this size.
    fn epoch_at(&self, size: u64) -> Option<&Epoch> {
        self.epochs.iter().rev().find(|e| e.signs_from <= size)
    }

    /// The log key that signs a tree of this size.
    fn log_key_at(&self, size: u64) -> Option<PublicKey> {
        self.log_keys
            .iter()
            .rev()
            .find(|(from, _)| from.0 < size)
            .map(|(_, key)| *key)
    }
}
