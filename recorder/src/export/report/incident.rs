//! A template for reporting an incident: the fields that two laws ask for, those that the log can fill filled.

use tacho_schemas::verify::Authenticity;

use super::Page;
use super::card::moment;
use super::html::Esc;
use crate::error::Result;

/// A field: its name, what belongs there, and which law asks for it.
type Field = (&'static str, &'static str, &'static str);

/// What people have to write.
const FIELDS: [Field; 15] = [
    (
        "became-aware",
        "When you became aware, date and time. The deadlines run from here",
        "AI Act Art. 73(2)",
    ),
    ("date", "Date of the incident", "SB 53 (1); AI Act Art. 73"),
    (
        "statement",
        "Short and plain statement of what happened",
        "SB 53 (3)",
    ),
    (
        "why",
        "Why it is a serious incident (Art. 3(49)), or a critical safety incident (SB 53)",
        "SB 53 (2); AI Act Art. 3(49), 73(1)",
    ),
    (
        "internal",
        "Whether it has to do with internal use of a frontier model",
        "SB 53 (4)",
    ),
    (
        "provider",
        "Provider, and deployer if another; contact",
        "AI Act Art. 73(1)",
    ),
    (
        "system",
        "AI system: name, version, registration in the EU database",
        "AI Act Art. 49, 73",
    ),
    (
        "where",
        "Member states and persons concerned",
        "AI Act Art. 73(1), (2)",
    ),
    (
        "harm",
        "Harm to health, property, environment, fundamental rights or critical infrastructure",
        "AI Act Art. 3(49)",
    ),
    (
        "cause",
        "Causal link between system and incident: shown, suspected, or likely",
        "AI Act Art. 73(2)",
    ),
    (
        "deadline",
        "Deadline: 15 days; 2 days if widespread or critical infrastructure; 10 days after a death; SB 53: 15 days, 24 hours on imminent danger of death or serious injury",
        "AI Act Art. 73(2) to (4); SB 53",
    ),
    (
        "first",
        "Whether this is a first, incomplete report",
        "AI Act Art. 73(5)",
    ),
    (
        "investigation",
        "Investigation: risk assessment and corrective action",
        "AI Act Art. 73(6)",
    ),
    (
        "unaltered",
        "That the system was not altered, before the authority was informed, in ways that affect finding the causes",
        "AI Act Art. 73(6)",
    ),
    (
        "amends",
        "Which earlier report this one amends",
        "SB 53; AI Act Art. 73(5)",
    ),
];

impl Page<'_> {
    pub(super) fn incident(&mut self) -> Result<()> {
        self.html.raw("<section id=\"incident\" aria-labelledby=\"incident-h\">\n<h2 id=\"incident-h\">Incident template</h2>\n<p>The fields that EU AI Act Art. 73 and California SB 53 (section 22757.13) ask for, in our words. Nothing here says that there was an incident. What you write stays in this window: print it, or save it as PDF.</p>\n<h3>From the log</h3>\n<dl>\n")?;
        let log = self.log;
        let identity = match &log.authenticity {
            Authenticity::Anchored { identity, .. } | Authenticity::SelfConsistent { identity } => {
                identity.to_string()
            }
            Authenticity::Failed => "not shown".to_owned(),
        };
        let period = match (self.gathered.first, self.gathered.last) {
            (Some(first), Some(last)) => format!("{} to {}", moment(first), moment(last)),
            _ => "no records".to_owned(),
        };
        let origin = log.origin.as_ref().map_or("", |origin| origin.as_str());
        for (name, text) in [
            ("Log", origin.to_owned()),
            ("Identity key", identity),
            ("Size and root", format!("{} records, {}", log.size, log.root)),
            ("Records from", period),
            ("Kept as evidence", "yes, by whoever keeps the log: records are never taken out, and an erasure of text is itself a record".to_owned()),
        ] {
            self.html.put(format_args!("<div><dt>{name}</dt><dd>{}</dd></div>\n", Esc(text)))?;
        }
        self.html.raw("</dl>\n<p class=\"quiet\"><code>tacho export bundle --incident SEQ OUT</code> writes a record, what led to it, and what came of it.</p>\n<h3>From you</h3>\n<form class=\"template\">\n")?;
        for (id, label, source) in FIELDS {
            self.html.put(format_args!(
                "<div><label for=\"i-{id}\">{} <span class=\"quiet\">{}</span></label><textarea id=\"i-{id}\" rows=\"2\" autocomplete=\"off\"></textarea></div>\n",
                Esc(label), Esc(source)
            ))?;
        }
        self.html.raw("</form>\n</section>\n")
    }
}
