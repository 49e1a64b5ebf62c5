//! What each kind of record asks for.
//!
//! Grouped as a reader meets them: the [`log`] itself, an agent's [`work`], the [`change`]s it makes, and the [`human`] acts.

pub mod change;
pub mod human;
pub mod log;
pub mod work;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::canon;
use crate::content::{Field, RATIONALE};
use crate::error::{Error, Result};
use crate::map::{Keys, cbor_enum, cbor_map};
use crate::record::Kind;
use crate::scalar::{Fixed, Seq, Set};

macro_rules! bodies {
    ($($variant:ident($module:ident::$name:ident)),+ $(,)?) => {
        /// The body of a record, by kind.
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum Body {
            $(
                #[doc = concat!("The body of a `", stringify!($variant), "` record.")]
                $variant(Box<$module::$name>),
            )+
            /// Passed over while the envelope is read; the kind says how to read it.
            Unread,
        }

        impl Body {
            /// The kind this body belongs to.
            pub fn kind(&self) -> Option<Kind> {
                match self { $( Self::$variant(_) => Some(Kind::$variant), )+ Self::Unread => None }
            }

            /// Decodes the checked bytes of a body.
            pub(crate) fn decode(kind: Kind, bytes: &[u8]) -> Result<Self> {
                Ok(match kind { $( Kind::$variant => Self::$variant(canon::read(bytes)?), )+ })
            }

            /// Reads a body of a kind from any serde format.
            pub fn deserialize_as<'de, D: Deserializer<'de>>(kind: Kind, d: D) -> Result<Self, D::Error> {
                Ok(match kind { $( Kind::$variant => Self::$variant(Deserialize::deserialize(d)?), )+ })
            }

            /// The fields of each kind's body, for the schema tests.
            pub const KEYS: &'static [(Kind, &'static [(i64, &'static str)])] =
                &[$((Kind::$variant, <$module::$name as Keys>::KEYS)),+];
        }

        impl Serialize for Body {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                match self {
                    $( Self::$variant(body) => body.serialize(s), )+
                    Self::Unread => Err(serde::ser::Error::custom("the body has not been read")),
                }
            }
        }

        $(
            impl From<$module::$name> for Body {
                fn from(body: $module::$name) -> Self {
                    Self::$variant(Box::new(body))
                }
            }
        )+
    };
}

bodies! {
    Genesis(log::Genesis),
    Boot(log::Boot),
    Seal(log::Seal),
    Key(log::Key),
    Policy(log::Policy),
    Session(work::Session),
    Message(work::Message),
    Action(work::Action),
    Approval(human::Approval),
    Outcome(work::Outcome),
    Mutation(change::Mutation),
    Generation(change::Generation),
    Evaluation(change::Evaluation),
    Kill(human::Kill),
    Release(human::Release),
    Drill(human::Drill),
    Lease(human::Lease),
    Note(human::Note),
    Erasure(human::Erasure),
    Gap(log::Gap),
    Alarm(log::Alarm),
    Import(log::Import),
}

impl<'de> Deserialize<'de> for Body {
    /// Passes over the value: which type it has, the envelope's `kind` says.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(d)?;
        Ok(Self::Unread)
    }
}

impl Body {
    /// The signature inside, where the kind has one.
    pub fn signature(&self) -> Option<&Fixed<64>> {
        match self {
            Self::Genesis(b) => b.signature.as_ref(),
            Self::Key(b) => b.signature.as_ref(),
            Self::Seal(b) => b.signature.as_ref(),
            _ => None,
        }
    }

    /// Puts a signature inside, or takes it out; does nothing where the kind has none.
    pub fn set_signature(&mut self, signature: Option<Fixed<64>>) {
        match self {
            Self::Genesis(b) => b.signature = signature,
            Self::Key(b) => b.signature = signature,
            Self::Seal(b) => b.signature = signature,
            _ => {}
        }
    }

    /// The rationale, where the kind has one.
    pub fn rationale(&self) -> Option<&Rationale> {
        match self {
            Self::Action(b) => b.rationale.as_ref(),
            Self::Mutation(b) => b.rationale.as_ref(),
            _ => None,
        }
    }

    /// Puts in order what a caller may bring in any order, and says of a rationale that was left out where it comes from: from
    /// the caller, if there are words of it in the content, or from nowhere.
    pub(crate) fn complete(&mut self, has_words: bool) {
        let rationale = match self {
            Self::Session(b) => {
                b.guards
                    .iter_mut()
                    .for_each(|guards| guards.sort_by_key(|guard| guard.part));
                return;
            }
            Self::Action(b) => &mut b.rationale,
            Self::Mutation(b) => &mut b.rationale,
            _ => return,
        };
        rationale.get_or_insert(Rationale {
            source: if has_words {
                RationaleSource::Given
            } else {
                RationaleSource::Absent
            },
            evidence: None,
            confidence: None,
        });
    }

    /// Checks that a record with this body may have these fields of content.
    pub(crate) fn check_content<'a>(&self, fields: impl Iterator<Item = &'a Field>) -> Result<()> {
        let absent = |r: &Rationale| r.source == RationaleSource::Absent;
        let words = RATIONALE.as_slice();
        match fields.into_iter().find(|field| words.contains(field)) {
            Some(field) if self.rationale().is_some_and(absent) => Err(Error::Meaning(format!(
                "the rationale is absent, so there is no `{field}`"
            ))),
            _ => Ok(()),
        }
    }

    /// Checks what the types alone cannot say.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::Meaning(why.to_owned()));
        match self {
            Self::Genesis(g) => g.check(),
            Self::Seal(s) if s.signature.is_none() => refuse("a seal needs a signature"),
            Self::Key(k) => k.check(),
            Self::Session(s) => s.check(),
            Self::Action(a) => {
                Rationale::check(a.rationale.as_ref())?;
                a.verdict.as_ref().map_or(Ok(()), work::Verdict::check)
            }
            Self::Mutation(m) => Rationale::check(m.rationale.as_ref()),
            Self::Generation(g) => g.check(),
            Self::Evaluation(e) => e.check(),
            Self::Release(r) if r.k == 0 => refuse(work::NOBODY),
            Self::Import(i) => i.check(),
            Self::Erasure(e) => e.check(),
            Self::Kill(k) => human::check_target(k.scope, k.target.as_ref(), k.about),
            Self::Lease(l) => human::check_target(l.scope, l.target.as_ref(), l.about),
            _ => Ok(()),
        }
    }
}

cbor_enum! {
    /// A named piece of the agent or its pipeline.
    pub enum Part {
        /// The agent's own program.
        1 "code" => Code,
        /// Prompts and instructions.
        2 "prompt" => Prompt,
        /// Tools and skills.
        3 "tools" => Tools,
        /// What the agent remembers between sessions.
        4 "memory" => Memory,
        /// Model weights and adapters.
        5 "weights" => Weights,
        /// Where data comes from and how it is cleaned.
        6 "data_ingestion" => DataIngestion,
        /// Dependencies and their locks.
        7 "dependencies" => Dependencies,
        /// Compute, quotas, machines.
        8 "resources" => Resources,
        /// Training configuration and rewards.
        9 "training" => Training,
        /// Tests.
        10 "tests" => Tests,
        /// Evaluations and holdouts.
        11 "evaluations" => Evaluations,
        /// Continuous integration.
        12 "ci" => Ci,
        /// Build files.
        13 "build" => Build,
        /// Deployment.
        14 "deploy" => Deploy,
        /// What the agent may do.
        15 "permissions" => Permissions,
        /// The parts that watch the agent: policy, log, hooks.
        16 "guard_surface" => GuardSurface,
    }
}

cbor_enum! {
    /// Where a rationale comes from.
    pub enum RationaleSource {
        /// The agent gave it with the request.
        1 "given" => Given,
        /// Taken from the agent's transcript; content `provenance` says where.
        2 "transcript" => Transcript,
        /// A human wrote it.
        3 "human" => Human,
        /// There is none: neither words nor evidence nor confidence.
        4 "absent" => Absent,
    }
}

cbor_map! {
    /// Why, as the agent says: a claim. Its words are content (`goal`, `summary`, `reasoning`, `alternatives`,
    /// `expected_effect`).
    pub struct Rationale {
        /// Where it comes from.
        40 "source" => source: req RationaleSource,
        /// Records it points to.
        41 "evidence" => evidence: opt Set<Seq, 256>,
        /// How sure the agent says it is, per mille.
        42 "confidence" => confidence: opt PerMille,
    }
}

impl Rationale {
    /// Checks the rationale of an action or mutation.
    fn check(rationale: Option<&Self>) -> Result<()> {
        let Some(rationale) = rationale else {
            return Err(Error::Meaning(
                "`rationale` must stand; its source `absent` says that there is none".to_owned(),
            ));
        };
        let says_something = rationale.evidence.is_some() || rationale.confidence.is_some();
        if rationale.source == RationaleSource::Absent && says_something {
            return Err(Error::Meaning(
                "a rationale that is absent has neither evidence nor confidence".to_owned(),
            ));
        }
        Ok(())
    }
}

/// 0 to 1000.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct PerMille(u16);

impl PerMille {
    /// Checks and takes a number.
    pub fn new(value: u16) -> Result<Self> {
        if value <= 1000 {
            Ok(Self(value))
        } else {
            Err(Error::Name {
                what: "confidence",
                why: "is given per mille, 0 to 1000",
            })
        }
    }

    /// The number.
    pub fn value(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for PerMille {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(u16::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}
