//! Free text and artefacts: committed to in the record, kept in the vault, erasable.
//!
//! A commitment is `HMAC-SHA256(salt, domain ‖ 00 ‖ u16 kind ‖ u16 field ‖ u64 length ‖ bytes)`, integers big-endian, with a
//! salt of 32 fresh random bytes for each field. Whoever holds salt and bytes can check it; once both are erased, nothing
//! can be guessed from what remains, and every chain hash and proof over the record still holds.
//!
//! A text has at least one byte: of nothing there is no field and no commitment.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;

use crate::canon;
use crate::error::{Error, Result};
use crate::hash::Hash;
use crate::map::{cbor_enum, cbor_map};
use crate::record::{Kind, Record, Role};
use crate::scalar::{Fixed, List};

/// The largest decoded vault row in bytes: all free text and descriptors of one record.
pub const MAX_ROW: usize = 32 << 20;

/// The domain of content commitments.
pub const CONTENT_DOMAIN: &str = "tacho/v1/content";

/// The domain of artefact commitments.
pub const ARTEFACT_DOMAIN: &str = "tacho/v1/artefact";

cbor_enum! {
    /// A field of free text. Numbers are from the one registry.
    pub enum Field {
        /// What was said or noted.
        200 "text" => Text,
        /// What is to be reached.
        201 "goal" => Goal,
        /// The rationale in short.
        202 "summary" => Summary,
        /// The rationale at length.
        203 "reasoning" => Reasoning,
        /// What else was thought of, and why not: canonical CBOR of [`Alternative`]s.
        204 "alternatives" => Alternatives,
        /// What it should bring.
        205 "expected_effect" => ExpectedEffect,
        /// Where a rationale was taken from: canonical CBOR of [`Provenance`].
        206 "provenance" => Provenance,
        /// The path of a file or part.
        207 "path" => Path,
        /// The exact request that policy decided.
        208 "request" => Request,
        /// What goes into a tool.
        209 "input" => Input,
        /// What comes out of a tool.
        210 "output" => Output,
        /// What went wrong.
        211 "error" => Error,
        /// A name for people.
        212 "name" => Name,
        /// The folder that an agent works in.
        213 "workspace" => Workspace,
        /// Why, as the one who acts says.
        214 "reason" => Reason,
        /// The digest of a generation's parts, or of the conditions of an evaluation.
        215 "digest" => Digest,
        /// Particulars for people.
        216 "detail" => Detail,
        /// The command that was run.
        217 "command" => Command,
        /// The id that the thing has in its source.
        218 "source_id" => SourceId,
        /// What the agent is told.
        219 "answer_text" => AnswerText,
        /// The conditions of an evaluation: harness, data, seeds.
        220 "conditions" => Conditions,
        /// What the gate knew when it decided: the other half of the decision, beside the request.
        221 "facts" => Facts,
        /// The salt of a hold's `request_digest`, as 64 hex digits.
        222 "request_salt" => RequestSalt,
    }
}

/// How the bytes of a field are to be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// UTF-8.
    Text,
    /// Canonical CBOR.
    Cbor,
}

impl Field {
    /// How the field's bytes are to be read.
    pub fn form(self) -> Form {
        match self {
            Self::Alternatives | Self::Provenance => Form::Cbor,
            _ => Form::Text,
        }
    }

    /// Checks that bytes are of the field's form.
    pub fn check(self, bytes: &[u8]) -> Result<()> {
        let bad = |_| Error::Meaning(format!("content `{self}` is malformed"));
        match self {
            Self::Alternatives => canon::decode::<Alternatives>(bytes, MAX_ROW)
                .map(drop)
                .map_err(bad),
            Self::Provenance => canon::decode::<Provenance>(bytes, MAX_ROW)
                .map(drop)
                .map_err(bad),
            _ => std::str::from_utf8(bytes)
                .map(drop)
                .map_err(|_| Error::Meaning(format!("content `{self}` is not UTF-8"))),
        }
    }
}

/// The words of a rationale.
pub(crate) const RATIONALE: [Field; 6] = [
    Field::Goal,
    Field::Summary,
    Field::Reasoning,
    Field::Alternatives,
    Field::ExpectedEffect,
    Field::Provenance,
];

impl Kind {
    /// The content that a record of this kind may have.
    pub fn fields(self) -> &'static [Field] {
        use Field as F;
        const ACTION: &[Field] = &{
            let [a, b, c, d, e, f] = RATIONALE;
            [
                a,
                b,
                c,
                d,
                e,
                f,
                F::Path,
                F::Request,
                F::Facts,
                F::RequestSalt,
                F::Input,
                F::Command,
                F::Reason,
                F::AnswerText,
                F::SourceId,
            ]
        };
        const MUTATION: &[Field] = &{
            let [a, b, c, d, e, f] = RATIONALE;
            [a, b, c, d, e, f, F::Path, F::Name, F::Reason, F::SourceId]
        };
        match self {
            Self::Boot | Self::Seal => &[F::Detail],
            Self::Genesis
            | Self::Approval
            | Self::Kill
            | Self::Release
            | Self::Lease
            | Self::Erasure => &[F::Reason],
            Self::Key | Self::Policy => &[F::Name, F::Reason],
            Self::Session => &[
                F::Name,
                F::Workspace,
                F::Goal,
                F::Command,
                F::SourceId,
                F::Reason,
            ],
            Self::Message => &[F::Text, F::Reasoning, F::SourceId],
            Self::Action => ACTION,
            Self::Outcome => &[F::Output, F::Error, F::SourceId],
            Self::Mutation => MUTATION,
            Self::Generation => &[F::Name, F::Digest, F::SourceId, F::Summary, F::Error],
            Self::Evaluation => &[F::Name, F::Conditions, F::Digest, F::Error, F::SourceId],
            Self::Note => &[F::Text],
            Self::Drill | Self::Gap | Self::Alarm => &[F::Detail],
            Self::Import => &[F::Path, F::Name, F::Digest, F::Detail],
        }
    }
}

/// All that the agent thought of, in one content field.
pub type Alternatives = List<Alternative, 32>;

cbor_map! {
    /// Something else the agent thought of.
    pub struct Alternative {
        /// What.
        36 "option" => option: req String,
        /// Why it was not chosen.
        37 "why_not" => why_not: opt String,
    }
}

cbor_map! {
    /// Where in a transcript a rationale was found.
    pub struct Provenance {
        /// Where in it, in bytes.
        38 "offset" => offset: req u64,
        /// BLAKE3 of the transcript up to the offset.
        39 "prefix_blake3" => prefix_blake3: req Hash,
        /// The transcript.
        207 "path" => path: req String,
    }
}

cbor_map! {
    /// What an artefact is. Its bytes are kept once, by their BLAKE3 hash.
    pub struct Descriptor {
        /// BLAKE3 of the bytes.
        300 "blake3" => blake3: req Hash,
        /// SHA-256 of the bytes, for other people's tools.
        301 "sha256" => sha256: req Hash,
        /// How many bytes.
        302 "size_bytes" => size: req u64,
        /// Where they came from.
        303 "file" => path: opt String,
        /// What they are (RFC 6838).
        304 "media_type" => media_type: opt String,
        /// BLAKE3 of the bytes before secrets were taken out, where any were.
        305 "unredacted_blake3" => unredacted_blake3: opt Hash,
    }
}

impl Descriptor {
    /// Encodes the descriptor: what is committed to.
    pub fn encode(&self) -> Result<Vec<u8>> {
        canon::encode(self, MAX_ROW)
    }

    /// Decodes a descriptor.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        canon::decode(bytes, MAX_ROW)
    }

    /// Describes bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            blake3: Hash(*blake3::hash(bytes).as_bytes()),
            sha256: Hash::sha256(bytes),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            path: None,
            media_type: None,
            unredacted_blake3: None,
        }
    }
}

/// Bytes with the salt of their commitment: `[salt, bytes]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Salted {
    /// 32 random bytes of this field alone.
    pub salt: Fixed<32>,
    /// What was committed to.
    pub bytes: Vec<u8>,
}

impl Serialize for Salted {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        (self.salt, Raw(&self.bytes)).serialize(s)
    }
}

impl<'de> Deserialize<'de> for Salted {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_tuple(2, SaltedReader)
    }
}

struct SaltedReader;

impl<'de> serde::de::Visitor<'de> for SaltedReader {
    type Value = Salted;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a salt and bytes")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        use serde::de::Error as _;
        let (Some(salt), Some(RawBuf(bytes)), None) = (
            seq.next_element()?,
            seq.next_element()?,
            // ciborium would take what is left over for the next thing in the row.
            seq.next_element::<serde::de::IgnoredAny>()?,
        ) else {
            return Err(A::Error::custom("a slot is a salt and bytes, nothing else"));
        };
        Ok(Salted { salt, bytes })
    }
}

struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.0)
    }
}

struct RawBuf(Vec<u8>);

impl<'de> Deserialize<'de> for RawBuf {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_byte_buf(crate::scalar::ByteBuf).map(Self)
    }
}

cbor_map! {
    /// What the vault holds for one record.
    pub struct Row {
        /// Free text by field number.
        306 "fields_held" => content: opt BTreeMap<u64, Salted>,
        /// Descriptors (canonical CBOR of [`Descriptor`]) by their place in the record.
        307 "artefacts_held" => artefacts: opt BTreeMap<u64, Salted>,
    }
}

/// One erasable thing of a record.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Slot {
    /// A content field, by number.
    Field(u64),
    /// An artefact, by its place in the record.
    Artefact(u64),
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(number) => match Field::from_number(*number) {
                Some(field) => write!(f, "content `{field}`"),
                None => write!(f, "content {number}"),
            },
            Self::Artefact(place) => write!(f, "artefact {place}"),
        }
    }
}

impl Row {
    /// A row that holds nothing.
    pub fn empty() -> Self {
        Self {
            content: None,
            artefacts: None,
        }
    }

    /// Says whether the row holds nothing.
    pub fn is_empty(&self) -> bool {
        self.content.is_none() && self.artefacts.is_none()
    }

    /// Encodes the row.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let slots = self.content.iter().chain(&self.artefacts).flatten();
        // Beside a text stand its salt and the heads of three items and a pair.
        let about = slots
            .map(|(_, salted)| salted.bytes.len() + 64)
            .sum::<usize>();
        canon::encode_about(self, about + 16, MAX_ROW)
    }

    /// Decodes a row.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        canon::decode(bytes, MAX_ROW)
    }

    /// Returns the text of a field.
    pub fn text(&self, field: Field) -> Option<&[u8]> {
        self.content
            .as_ref()?
            .get(&field.number())
            .map(|s| s.bytes.as_slice())
    }

    /// Takes a slot out, and says whether it was there.
    pub fn erase(&mut self, slot: Slot) -> bool {
        fn take(map: &mut Option<BTreeMap<u64, Salted>>, key: u64) -> bool {
            let taken = map.as_mut().is_some_and(|m| m.remove(&key).is_some());
            if map.as_ref().is_some_and(BTreeMap::is_empty) {
                *map = None;
            }
            taken
        }
        match slot {
            Slot::Field(number) => take(&mut self.content, number),
            Slot::Artefact(place) => take(&mut self.artefacts, place),
        }
    }

    /// Holds the row against the commitments of its record.
    ///
    /// A hole may be excused by an erasure that comes later; text that does not fit, or that no commitment asks for, never.
    pub fn check(&self, record: &Record) -> Held {
        let mut held = Held::default();
        let empty = BTreeMap::new();
        let content = self.content.as_ref().unwrap_or(&empty);
        for (field, commitment) in record.content.iter().flatten() {
            held.judge(
                Slot::Field(field.number()),
                content.get(&field.number()),
                |kept| commit(&kept.salt, record.kind, *field, &kept.bytes) == *commitment,
            );
        }
        let committed = |number: &u64| {
            Field::from_number(*number)
                .is_some_and(|f| record.content.as_ref().is_some_and(|c| c.contains_key(&f)))
        };
        held.wrong.extend(
            content
                .keys()
                .filter(|n| !committed(n))
                .map(|n| Slot::Field(*n)),
        );

        let artefacts = self.artefacts.as_ref().unwrap_or(&empty);
        for (place, artefact) in (0..).zip(record.artefacts()) {
            let mut descriptor = None;
            held.judge(Slot::Artefact(place), artefacts.get(&place), |kept| {
                let commitment =
                    commit_artefact(&kept.salt, record.kind, artefact.role, &kept.bytes);
                if commitment == artefact.commitment {
                    descriptor = Descriptor::decode(&kept.bytes).ok();
                }
                descriptor.is_some()
            });
            held.artefacts.extend(descriptor);
        }
        let places = u64::try_from(record.artefacts().len()).unwrap_or(u64::MAX);
        held.wrong.extend(
            artefacts
                .keys()
                .filter(|p| **p >= places)
                .map(|p| Slot::Artefact(*p)),
        );
        held
    }

    /// Takes the row of a record that was not understood: what it commits to is not known, so nothing is opened, but the artefacts
    /// that are named here are in use.
    pub fn unopened(&self) -> Held {
        let named = self.artefacts.iter().flat_map(BTreeMap::values);
        Held {
            artefacts: named
                .filter_map(|kept| Descriptor::decode(&kept.bytes).ok())
                .collect(),
            ..Held::default()
        }
    }
}

/// What a row says of its record.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// How many commitments were opened and fit.
    pub opened: u64,
    /// What is committed to but not held.
    pub holes: Vec<Slot>,
    /// How many more are not held because whoever handed them out left them out, and says so.
    pub withheld: u64,
    /// What is held but does not fit, or was never committed to.
    pub wrong: Vec<Slot>,
    /// The row cannot be read at all.
    pub garbled: bool,
    /// The descriptors of artefacts whose commitments fit: their bytes are still to be looked at. All descriptors, if the record
    /// was not understood.
    pub artefacts: Vec<Descriptor>,
}

impl Held {
    /// Takes it that these were left out on purpose. What is there all the same, or was never committed to, is wrong.
    pub(crate) fn excuse(&mut self, withheld: &[Slot]) {
        for slot in withheld {
            match self.holes.iter().position(|hole| hole == slot) {
                Some(place) => {
                    self.holes.swap_remove(place);
                    self.withheld += 1;
                }
                None => self.wrong.push(*slot),
            }
        }
    }

    fn judge(&mut self, slot: Slot, kept: Option<&Salted>, fits: impl FnOnce(&Salted) -> bool) {
        match kept {
            None => self.holes.push(slot),
            Some(kept) if fits(kept) => self.opened += 1,
            Some(_) => self.wrong.push(slot),
        }
    }
}

/// Commits to a field's bytes.
pub fn commit(salt: &Fixed<32>, kind: Kind, field: Field, bytes: &[u8]) -> Hash {
    mac(salt, CONTENT_DOMAIN, kind, field.number(), bytes)
}

/// Commits to the canonical bytes of an artefact's descriptor.
pub fn commit_artefact(salt: &Fixed<32>, kind: Kind, role: Role, descriptor: &[u8]) -> Hash {
    mac(salt, ARTEFACT_DOMAIN, kind, role.number(), descriptor)
}

fn mac(salt: &Fixed<32>, domain: &str, kind: Kind, field: u64, bytes: &[u8]) -> Hash {
    let short = |n: u64| u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes();
    // RFC 2104 fills keys shorter than a block with zeros.
    let mut key = [0; 64];
    key.split_at_mut(32).0.copy_from_slice(&salt.0);
    let mut mac = Hmac::<Sha256>::new(&key.into());
    mac.update(domain.as_bytes());
    mac.update(&[0]);
    mac.update(&short(kind.number()));
    mac.update(&short(field));
    mac.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    mac.update(bytes);
    Hash(mac.finalize().into_bytes().into())
}
