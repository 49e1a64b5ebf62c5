//! What the off switch is about: everything, or one agent, session, lineage or part.

use std::fmt::{self, Write as _};

use tacho_schemas::body::Part;
use tacho_schemas::body::human::Scope;
use tacho_schemas::{Id, Seq};

use crate::error::{Error, ErrorKind, Result};

/// How far a kill or a lease reaches, and to whom.
///
/// As text: `all`, `agent:ID`, `session:SEQ`, `lineage:SEQ`, `part:NAME`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Target {
    /// Everything.
    All,
    /// One agent, by its id.
    Agent(Id),
    /// One session, by the record that opened it.
    Session(Seq),
    /// One lineage, by its first generation.
    Lineage(Seq),
    /// Whoever touches one part.
    Part(Part),
}

impl Target {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || {
            Error::new(
                ErrorKind::Usage,
                format!("`{}` is no scope", text.escape_default()),
            )
            .with_hint("name `all`, `agent:ID`, `session:SEQ`, `lineage:SEQ` or `part:NAME`")
        };
        if text == "all" {
            return Ok(Self::All);
        }
        let (scope, name) = text.split_once(':').ok_or_else(bad)?;
        let seq = || name.parse().map(Seq).map_err(|_| bad());
        match scope {
            "agent" => Id::new(name).map(Self::Agent).map_err(|_| bad()),
            "session" => seq().map(Self::Session),
            "lineage" => seq().map(Self::Lineage),
            "part" => Part::from_name(name).map(Self::Part).ok_or_else(bad),
            _ => Err(bad()),
        }
    }

    /// Takes the three fields that a kill or lease record has for it; `None` if they name nothing that we know.
    pub fn from_fields(scope: Scope, id: Option<&Id>, about: Option<Seq>) -> Option<Self> {
        match (scope, id, about) {
            (Scope::All, None, None) => Some(Self::All),
            (Scope::Agent, Some(id), None) => Some(Self::Agent(id.clone())),
            (Scope::Session, None, Some(seq)) => Some(Self::Session(seq)),
            (Scope::Lineage, None, Some(seq)) => Some(Self::Lineage(seq)),
            (Scope::Part, Some(id), None) => Part::from_name(id.as_str()).map(Self::Part),
            _ => None,
        }
    }

    /// The three fields that a kill or lease record has for it: scope, id, record.
    pub fn fields(&self) -> Result<(Scope, Option<Id>, Option<Seq>)> {
        Ok(match self {
            Self::All => (Scope::All, None, None),
            Self::Agent(id) => (Scope::Agent, Some(id.clone()), None),
            Self::Session(seq) => (Scope::Session, None, Some(*seq)),
            Self::Lineage(seq) => (Scope::Lineage, None, Some(*seq)),
            Self::Part(part) => (Scope::Part, Some(Id::new(part.name())?), None),
        })
    }

    /// The name of the flag: `KILL`, or `killed.<scope>.<id>` with every byte that is not a letter, digit, `-` or `_` as `%XX`.
    pub(super) fn flag(&self) -> String {
        let (scope, name) = match self {
            Self::All => return super::KILL.to_owned(),
            Self::Agent(id) => ("agent", id.as_str().to_owned()),
            Self::Session(seq) => ("session", seq.0.to_string()),
            Self::Lineage(seq) => ("lineage", seq.0.to_string()),
            Self::Part(part) => ("part", part.name().to_owned()),
        };
        let mut flag = format!("{}{scope}.", super::KILLED);
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                flag.push(char::from(byte));
            } else {
                // Writing to a string does not fail.
                let _ = write!(flag, "%{byte:02X}");
            }
        }
        flag
    }

    /// Reads the name of a flag; `None` if none of ours looks like it.
    pub(super) fn from_flag(flag: &str) -> Option<Self> {
        if flag == super::KILL {
            return Some(Self::All);
        }
        let (scope, escaped) = flag.strip_prefix(super::KILLED)?.split_once('.')?;
        let mut name = String::new();
        let mut bytes = escaped.bytes();
        while let Some(byte) = bytes.next() {
            let byte = match byte {
                b'%' => {
                    let digits = [bytes.next()?, bytes.next()?];
                    let digits = std::str::from_utf8(&digits).ok()?;
                    u8::from_str_radix(digits, 16).ok()?
                }
                byte => byte,
            };
            name.push(char::from(byte));
        }
        let target = Self::parse(&format!("{scope}:{name}")).ok()?;
        // One spelling only.
        (target.flag() == flag).then_some(target)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Agent(id) => write!(f, "agent:{id}"),
            Self::Session(seq) => write!(f, "session:{seq}"),
            Self::Lineage(seq) => write!(f, "lineage:{seq}"),
            Self::Part(part) => write!(f, "part:{part}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_flags_and_fields_go_there_and_back() {
        for (text, flag) in [
            ("all", "KILL"),
            ("agent:coder", "killed.agent.coder"),
            (
                "agent:../a b%c".split(' ').next().unwrap(),
                "killed.agent.%2E%2E%2Fa",
            ),
            ("session:12", "killed.session.12"),
            ("lineage:0", "killed.lineage.0"),
            ("part:guard_surface", "killed.part.guard_surface"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.to_string(), text);
            assert_eq!(target.flag(), flag);
            assert_eq!(Target::from_flag(flag), Some(target.clone()));
            let (scope, id, seq) = target.fields().unwrap();
            assert_eq!(Target::from_fields(scope, id.as_ref(), seq), Some(target));
        }
    }

    #[test]
    fn the_longest_id_is_a_name_that_a_file_may_have() {
        let id = Id::new("/".repeat(64)).unwrap();
        assert!(Target::Agent(id).flag().len() < 255);
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "All",
            "agent",
            "agent:",
            "agent:a b",
            "session:x",
            "session:-1",
            "part:heart",
            "team:a",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
        for flag in [
            "armed",
            "kill",
            "killed.agent",
            "killed.agent.%6",
            "killed.agent.%61",
            "killed.agent.%2e",
            "killed.session.012",
            "killed.part.x",
            "killed.team.a",
        ] {
            assert_eq!(Target::from_flag(flag), None, "{flag}");
        }
    }
}
