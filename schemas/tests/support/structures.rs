//! Every structure and every enumeration of the format, as the code has them.

use tacho_schemas::body::{self, Body};
use tacho_schemas::content::{Alternative, Descriptor, Field, Provenance, Row};
use tacho_schemas::receipt::{Commit, Receipt};
use tacho_schemas::record::{self, Actor, Artefact, Auth, Claimed, Record, Redaction};
use tacho_schemas::{Keys, Kind, bundle};

/// A structure's name and its fields: number and name.
pub(crate) type Structure = (String, Vec<(i64, &'static str)>);

/// An enumeration's name and its values: number and name.
pub(crate) type Enumeration = (String, Vec<(u64, &'static str)>);

/// Every structure of the format with its keys.
pub(crate) fn structures() -> Vec<Structure> {
    fn of<T: Keys>() -> Structure {
        (kebab(T::NAME), T::KEYS.to_vec())
    }
    let mut all = vec![
        of::<Record>(),
        of::<Actor>(),
        of::<Auth>(),
        of::<Claimed>(),
        of::<Artefact>(),
        of::<Redaction>(),
        of::<Alternative>(),
        of::<Provenance>(),
        of::<Descriptor>(),
        of::<Row>(),
        of::<Commit>(),
        of::<Receipt>(),
        of::<bundle::Head>(),
        of::<bundle::Checkpoints>(),
        of::<bundle::LastCommit>(),
        of::<bundle::Block>(),
        of::<bundle::Step>(),
        of::<bundle::Piece>(),
        of::<bundle::End>(),
        of::<body::Rationale>(),
        of::<body::log::Predecessor>(),
        of::<body::log::Loss>(),
        of::<body::work::Guard>(),
        of::<body::work::Usage>(),
        of::<body::work::Verdict>(),
        of::<body::work::Obligation>(),
        of::<body::work::Stop>(),
        of::<body::change::Metric>(),
        of::<body::human::Act>(),
        of::<body::human::Erased>(),
    ];
    all.extend(
        Body::KEYS
            .iter()
            .map(|(kind, keys)| (kind.to_string(), keys.to_vec())),
    );
    all
}

macro_rules! enumerations {
    ($($module:ident::$name:ident),+ $(,)?) => {
        /// Every enumeration of the format with its values.
        pub(crate) fn enumerations() -> Vec<Enumeration> {
            vec![
                ("kind".to_owned(), Kind::ALL.iter().map(|(n, name, _)| (*n, *name)).collect()),
                ("content-field".to_owned(), Field::ALL.iter().map(|(n, name, _)| (*n, *name)).collect()),
                $((
                    kebab(stringify!($name)),
                    $module::$name::ALL.iter().map(|(n, name, _)| (*n, *name)).collect(),
                )),+
            ]
        }
    };
}

use body::{change, human, log, work};

enumerations! {
    bundle::Because,
    record::ActorType,
    record::Via,
    record::Role,
    body::Part,
    body::RationaleSource,
    log::Succession,
    log::SealReason,
    log::KeyOp,
    log::KeyRole,
    log::Assurance,
    log::GapKind,
    log::Severity,
    log::Phase,
    work::Confinement,
    work::GuardLevel,
    work::Speaker,
    work::Class,
    work::Effects,
    work::Decision,
    work::DenyKind,
    work::Status,
    work::Match,
    change::Change,
    change::Known,
    change::AppliedBy,
    change::Fate,
    human::Answer,
    human::Scope,
    human::Trigger,
    human::Mark,
    human::Basis,
}

/// `ActorType` is `actor-type` in CDDL.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
