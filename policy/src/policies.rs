//! The rules in force: Cedar text, checked before it decides anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr as _;
use std::sync::LazyLock;

use cedar_policy::{
    Effect, Entities, Policy, PolicySet, Schema, SchemaFragment, ValidationMode, Validator,
};
use tacho_schemas::{Hash, Id};

use crate::entity::Kinds;
use crate::hold::Obligation;
use crate::request::Act;

mod check;
mod gate;
mod slice;

pub use check::{Enrolled, Problem};
use slice::Slice;

/// What policies may ask about, as text.
pub const SCHEMA: &str = include_str!("../../schemas/tacho.cedarschema");

/// The BLAKE3 `derive_key` context of policy digests (domains.md).
const CONTEXT: &str = "tacho/v1/policy";

/// The longest policy that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// A ready-made policy.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Preset {
    /// Record only.
    Observe,
    /// One human is enrolled: holds what matters, and that human may approve.
    Solo,
    /// Holds CI, deployment, permissions, training and evaluations; the rest flows, some of it with a finding.
    Standard,
    /// Holds every part.
    Strict,
}

impl Preset {
    /// Every preset, from the least strict.
    pub const ALL: [Self; 4] = [Self::Observe, Self::Solo, Self::Standard, Self::Strict];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Solo => "solo",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }

    /// Finds the preset of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// Its rules.
    pub fn text(self) -> &'static str {
        match self {
            Self::Observe => include_str!("../presets/observe.cedar"),
            Self::Solo => include_str!("../presets/solo.cedar"),
            Self::Standard => include_str!("../presets/standard.cedar"),
            Self::Strict => include_str!("../presets/strict.cedar"),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What stands around a rule's condition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The sentence of `@explain`: shown to the model and to people.
    pub explain: Option<String>,
    /// The sentence of `@finding` (permits only): what it allows flows, and a reviewer should look at it.
    pub finding: Option<String>,
    /// The places that a gate asks for; none for other rules.
    pub gate: Option<Obligation>,
    /// Whether it permits.
    pub permits: bool,
    /// Its text.
    pub text: String,
}

/// A checked policy, ready to decide. See [`crate::decide`].
pub struct Policies {
    name: String,
    text: String,
    pub(crate) kinds: Kinds,
    pub(crate) schema: Schema,
    pub(crate) groups: BTreeSet<Id>,
    pub(crate) rules: BTreeMap<Id, Rule>,
    /// The rules that can fire for a deed, and no others.
    pub(crate) slices: HashMap<Act, Slice>,
    /// The actions with their groups: all that evaluation needs of entities when an agent acts.
    pub(crate) actions: Entities,
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policies({}, {} rules)", self.name, self.rules.len())
    }
}

/// Why a text is no policy that may decide.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Error(pub Vec<Problem>);

impl Policies {
    /// A preset. Each one parses; tests hold them to it.
    pub fn preset(preset: Preset) -> Result<Self, Error> {
        Self::parse(preset.name(), preset.text())
    }

    /// Reads a policy and checks it: strict validation against the schema, and the one form of a gate.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let (read, all) = Self::read(name, text)?;
        let problems = read.check_form(&all);
        if problems.is_empty() {
            Ok(read)
        } else {
            Err(Error(problems))
        }
    }

    /// Reads a policy without checking more than it takes to decide by it.
    pub(crate) fn read(name: &str, text: &str) -> Result<(Self, PolicySet), Error> {
        let broken = |what: String| Error(vec![Problem::of_file(what)]);
        if text.len() > MAX_BYTES {
            return Err(broken(format!("is longer than {MAX_BYTES} bytes")));
        }
        let set = PolicySet::from_str(text).map_err(|e| Error(check::syntax(text, &e)))?;
        let (policies, rules) = gate::rules(&set).map_err(Error)?;
        let groups: BTreeSet<Id> = rules
            .values()
            .filter_map(|r| r.gate.as_ref().map(|g| g.group.clone()))
            .collect();
        let schema = schema(&groups).map_err(broken)?;
        let kinds = Kinds::new().map_err(broken)?;
        let actions = schema
            .action_entities()
            .map_err(|e| broken(e.to_string()))?;
        let slices = Slice::all(&policies, &kinds, &actions).map_err(broken)?;
        // Whole: a rule for a deed that does not exist is in no slice, and must not go unseen.
        let all = PolicySet::from_policies(policies).map_err(|e| broken(e.to_string()))?;
        let read = Self {
            name: name.to_owned(),
            text: text.to_owned(),
            kinds,
            schema,
            groups,
            rules,
            slices,
            actions,
        };
        Ok((read, all))
    }

    /// Its name: a preset's, or that of a file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bundle as it is stored: its text.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The digest that verdicts name (domains.md, `tacho/v1/policy`).
    pub fn digest(&self) -> Hash {
        digest(self.bytes())
    }

    /// The rules by id.
    pub fn rules(&self) -> &BTreeMap<Id, Rule> {
        &self.rules
    }

    /// The groups that rules ask.
    pub fn groups(&self) -> &BTreeSet<Id> {
        &self.groups
    }

    /// The schema with the groups of this policy, as text.
    pub fn schema_text(&self) -> String {
        let groups: BTreeSet<_> = self.groups.iter().map(Id::as_str).chain(DEFAULTS).collect();
        let fields: Vec<_> = groups.iter().map(|g| format!("{g:?}: Long")).collect();
        let line = format!("type Approvals = {{ {} }};", fields.join(", "));
        SCHEMA.replace("type Approvals = { \"reviewers\": Long };", &line)
    }

    fn check_form(&self, all: &PolicySet) -> Vec<Problem> {
        let result = Validator::new(self.schema.clone()).validate(all, ValidationMode::Strict);
        let errors = result.validation_errors();
        let mut problems: Vec<Problem> = errors
            .map(|e| Problem::of_rule(e.policy_id().to_string(), said(e)))
            .collect();
        // A rule that can never apply is a slip, and a text with letters that look like others is worse.
        let warnings = result.validation_warnings();
        problems.extend(warnings.map(|w| Problem::of_rule(w.policy_id().to_string(), said(w))));
        problems.extend(gate::check(all, &self.rules));
        problems
    }
}

/// The digest of a policy bundle (domains.md, `tacho/v1/policy`).
pub fn digest(bundle: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(bundle);
    Hash(*hasher.finalize().as_bytes())
}

/// Groups that the schema has without being asked.
const DEFAULTS: [&str; 1] = ["reviewers"];

/// The schema with these groups among the approvals.
fn schema(groups: &BTreeSet<Id>) -> Result<Schema, String> {
    static BASE: LazyLock<Result<serde_json::Value, String>> = LazyLock::new(|| {
        let (fragment, _) =
            SchemaFragment::from_cedarschema_str(SCHEMA).map_err(|e| e.to_string())?;
        fragment.to_json_value().map_err(|e| e.to_string())
    });
    let mut base = BASE.clone()?;
    let fields = base
        .pointer_mut("/~1commonTypes/Approvals/attributes")
        .or(None);
    let fields = match fields {
        Some(fields) => fields,
        None => base
            .get_mut("")
            .and_then(|n| n.pointer_mut("/commonTypes/Approvals/attributes"))
            .ok_or("the schema has no type `Approvals`")?,
    };
    for group in groups {
        if let Some(fields) = fields.as_object_mut() {
            fields.insert(
                group.as_str().to_owned(),
                serde_json::json!({ "type": "EntityOrCommon", "name": "Long" }),
            );
        }
    }
    Schema::from_json_value(base).map_err(|e| e.to_string())
}

/// What Cedar says of a rule, which it names itself.
fn said(problem: &dyn fmt::Display) -> String {
    let text = problem.to_string();
    match text
        .split_once("`, ")
        .filter(|_| text.starts_with("for policy `"))
    {
        Some((_, what)) => format!("is wrong: {what}"),
        None => format!("is wrong: {text}"),
    }
}

/// Whether a rule permits.
pub(crate) fn permits(policy: &Policy) -> bool {
    policy.effect() == Effect::Permit
}
