//! A report for auditors: one HTML file that works offline, prints, and checks itself where it is read.
//!
//! ```text
//! audit ─▶ gather (two passes) ─▶ bundle of what is shown ─▶ page, with the bundle in it ─▶ its name
//! ```
//!
//! The page shows records; the bundle in it proves them. `check.js` holds each text, file, time and number on the page against the
//! bundle, and the bundle against its own signatures, and says what it could not check. Rows of controls are data (`frameworks/`).
//! Nothing grows with the log: the newest of each sort are shown, and it is said of how many.

mod card;
mod cards;
mod framework;
mod gather;
mod html;
mod incident;
mod lineage;
mod rows;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tacho_schemas::Time;
use tacho_schemas::record::Role;
use tacho_schemas::verify::{Breach, Report};

use super::Losses;
use super::bundle;
use super::whole::Whole;
use super::withhold::Withhold;
use crate::audit::{Question, audit};
use crate::dir::LogDir;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::filter::{Filter, Term};
use crate::read::View;
use crate::store::Reader;

pub use framework::{Check, Control, Evidence, Framework, Reach, Source, framework};
pub use rows::{State, Tally};

use gather::Gathered;
use html::{Esc, Html};

const STYLE: &str = include_str!("report/page.css");
const SCRIPT: &str = include_str!("report/check.js");

/// How many bytes of files and text go into the evidence of changes.
const BUDGET: u64 = 16 << 20;

/// Roles of files that are not in the evidence of a report: whole states and sources, which a bundle can bring.
const LEFT_OUT: [&str; 3] = ["manifest", "original", "part"];

/// What is asked for.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The rows.
    pub framework: &'a Framework,
    /// Which records.
    pub filter: &'a Filter,
    /// What does not leave.
    pub withhold: Withhold,
    /// Whom to trust, and what is known from outside.
    pub question: Question,
    /// What writes it.
    pub software: &'a str,
    /// When.
    pub made: Time,
}

/// A report that was written.
#[derive(Debug)]
pub struct Made {
    /// The verification of the log.
    pub report: Report,
    /// Whether log and acts of people were found good.
    pub good: bool,
    /// How many rows are in which state.
    pub tally: Tally,
    /// How many records it is about.
    pub selected: u64,
    /// How many records are in its evidence.
    pub shown: u64,
    /// How many changes are shown, and of how many.
    pub mutations: (u64, u64),
    /// Its length in bytes.
    pub bytes: u64,
    /// What is not in its evidence.
    pub losses: Losses,
}

/// A page under way, and what it is made from.
struct Page<'a> {
    html: Html,
    view: &'a View<'a>,
    gathered: Gathered,
    withhold: &'a Withhold,
    ask: &'a Ask<'a>,
    log: &'a Report,
    told: &'a bundle::Made,
}

/// Writes a report. `progress` hears how far the work is: steps done, of how many.
pub fn write(
    dir: &LogDir,
    reader: &Reader,
    ask: &Ask<'_>,
    path: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Made> {
    let file = Whole::create(path)?;
    let size = bundle::signed_size(dir, &View::new(reader)?)?;
    let all = size.saturating_mul(6);
    let log = audit(dir, &ask.question, |done, _| progress(done, all))?;
    sound(&log)?;
    let mut gathered = Gathered::read(dir, reader, (ask.framework, ask.filter, size), |done| {
        progress(size.saturating_add(done), all);
    })?;
    within_budget(reader, &mut gathered)?;

    let withhold = Withhold::parse(ask.withhold.names().into_iter().chain(LEFT_OUT))?;
    let filter = Filter::Term(Term::Seq(gather::spans(&gathered.shown())));
    let evidence = Beside::new(path)?;
    let told = bundle::write(
        dir,
        reader,
        &bundle::Ask {
            filter: &filter,
            withhold: withhold.clone(),
            joins: Vec::new(),
            software: ask.software,
            made: ask.made,
        },
        &evidence.0,
        |done, _| progress(size.saturating_mul(3).saturating_add(done), all),
    )?;
    let bytes = std::fs::read(&evidence.0).map_err(|e| Error::io("read", &evidence.0, e))?;
    drop(evidence);

    let count = |list: &gather::Newest| u64::try_from(list.seqs.len()).unwrap_or(u64::MAX);
    let mutations = (count(&gathered.mutations), gathered.mutations.of);
    let selected = gathered.selected;
    let good = log.is_good() && gathered.acts.is_good();
    let view = View::new(reader)?;
    let mut page = Page {
        html: Html::new(file),
        view: &view,
        gathered,
        withhold: &withhold,
        ask,
        log: &log,
        told: &told,
    };
    let tally = page.write(&bytes)?;
    let written = page.html.finish()?;
    let losses = told
        .told
        .losses
        .iter()
        .map(|loss| (loss.what.to_string(), loss.count));
    Ok(Made {
        losses: losses.collect(),
        shown: told.report.shown,
        bytes: written,
        mutations,
        selected,
        tally,
        good,
        report: log,
    })
}

/// What is gone is gone, and the report says so. Of a log that breaks any other rule there is nothing to report but that.
fn sound(log: &Report) -> Result<()> {
    let violations = &log.integrity.violations;
    match violations
        .iter()
        .find(|violation| violation.breach != Breach::Hole)
    {
        None => Ok(()),
        Some(violation) => {
            let what = format!(
                "the log does not verify, so no report is made of it: {}",
                violation.what
            );
            Err(Error::new(ErrorKind::Corrupt, what)
                .with_hint("run `tacho verify` to see what is still proven"))
        }
    }
}

/// Leaves out the oldest changes whose text and files would be too much for one page.
fn within_budget(reader: &Reader, gathered: &mut Gathered) -> Result<()> {
    let view = View::new(reader)?;
    let mut left = BUDGET;
    let mut kept = 0;
    for seq in gathered.mutations.seqs.iter().rev() {
        let shown = view.record(*seq)?;
        let files = shown.descriptors().into_iter();
        let files =
            files.filter(|(role, _)| matches!(role, Role::Before | Role::After | Role::Diff));
        let texts = shown.row.content.iter().flat_map(|held| held.values());
        let texts = texts.map(|salted| u64::try_from(salted.bytes.len()).unwrap_or(u64::MAX));
        let mut bytes = files.map(|(_, descriptor)| descriptor.size).chain(texts);
        let Some(rest) = bytes.try_fold(left, u64::checked_sub) else {
            break;
        };
        left = rest;
        kept += 1;
    }
    gathered.mutations.keep_last(kept);
    Ok(())
}

/// The evidence, for as long as the page is being made.
struct Beside(PathBuf);

impl Beside {
    fn new(path: &Path) -> Result<Self> {
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(|e| {
            Error::new(ErrorKind::Io, "the system gives no random numbers").with_source(e)
        })?;
        let name = format!(".report.{}.tacho", hex::encode(random));
        Ok(Self(files::parent(path).join(name)))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It has no name that anybody knows; an error that matters is on its way already.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What a policy for scripts and styles names an inline one by.
fn csp_hash(text: &str) -> String {
    format!(
        "'sha256-{}'",
        STANDARD.encode(Sha256::digest(text.as_bytes()))
    )
}

impl Page<'_> {
    fn write(&mut self, evidence: &[u8]) -> Result<Tally> {
        self.head()?;
        self.verdict()?;
        let tally = self.controls()?;
        self.mutations()?;
        self.holds()?;
        self.switch()?;
        self.alarms()?;
        self.lineage()?;
        self.incident()?;
        self.how_to_check()?;
        self.html
            .raw("</main>\n<script type=\"text/plain\" id=\"evidence\">\n")?;
        self.html.base64(evidence)?;
        // The text of the script is what its hash in the head is over: not a byte more.
        self.html.raw("</script>\n<script>")?;
        self.html.raw(SCRIPT)?;
        self.html.raw("</script>\n</body>\n</html>\n")?;
        Ok(tally)
    }

    fn head(&mut self) -> Result<()> {
        let title = format!("Evidence: {}", self.ask.framework.title);
        self.html.put(format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>",
            csp_hash(STYLE), csp_hash(SCRIPT), Esc(&title)
        ))?;
        self.html.raw(STYLE)?;
        let origin = self
            .log
            .origin
            .as_ref()
            .map_or("", |origin| origin.as_str());
        let filter = self.ask.filter.to_string();
        let filter = if filter.is_empty() {
            "all records".to_owned()
        } else {
            filter
        };
        let period = match (self.gathered.first, self.gathered.last) {
            (Some(first), Some(last)) => {
                format!("{} to {}", card::moment(first), card::moment(last))
            }
            _ => "no records".to_owned(),
        };
        self.html.put(format_args!(
            "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#verdict\">Skip to the verdict</a>\n<header>\n<p class=\"kind\">Evidence from a flight recorder of agents</p>\n<h1>{}</h1>\n<dl class=\"about\"><div><dt>Log</dt><dd class=\"mono\">{}</dd></div><div><dt>Period</dt><dd>{period}</dd></div><div><dt>Selection</dt><dd class=\"mono\">{}</dd></div><div><dt>About</dt><dd>{} of {} records</dd></div><div><dt>Made</dt><dd>{} by {}</dd></div></dl>\n",
            Esc(&self.ask.framework.title), Esc(origin), Esc(&filter), self.gathered.selected, self.log.size,
            card::moment(self.ask.made), Esc(self.ask.software)
        ))?;
        self.html.raw("<nav aria-label=\"Contents\"><a href=\"#verdict\">Verdict</a> <a href=\"#controls\">Controls</a> <a href=\"#changes\">Changes</a> <a href=\"#holds\">Holds</a> <a href=\"#switch\">Off switch</a> <a href=\"#alarms\">Alarms</a> <a href=\"#lineage\">Lineage</a> <a href=\"#incident\">Incident</a> <a href=\"#check\">Check it</a></nav>\n</header>\n<main>\n")
    }

    fn how_to_check(&mut self) -> Result<()> {
        let losses = &self.told.told.losses;
        self.html.raw("<section id=\"check\" aria-labelledby=\"check-h\">\n<h2 id=\"check-h\">How to check this without this page</h2>\n<p>At the end of this file stands the evidence, as base64: a bundle, which <code>tacho verify</code> and the independent checker in Python read. Take it out with nothing of ours:</p>\n<pre class=\"code\" tabindex=\"0\" aria-label=\"Commands\">\npython3 -c &quot;import base64,sys; sys.stdout.buffer.write(base64.b64decode(open(sys.argv[1]).read().split(&#39;id=\\&quot;evidence\\&quot;&gt;&#39;)[1].split(&#39;&lt;&#39;)[0]))&quot; REPORT.html &gt; evidence.tacho\npython -m tacho_check evidence.tacho --trust SHA256:…     # schemas/checker\ntacho verify evidence.tacho --trust SHA256:…</pre>\n<p>The fingerprint of the identity key has to come to you by another way than this file.</p>\n<p id=\"save\" hidden></p>\n")?;
        self.html.put(format_args!(
            "<h3>What is not in the evidence</h3>\n<p>{} of {} records are in it: those that this page shows, and those that they need to be checked. Records that are counted in the table of controls and not shown here are in the log; <code>tacho export bundle --filter …</code> brings them.</p>\n<ul>\n",
            self.told.report.shown, self.log.size
        ))?;
        for loss in losses {
            self.html.put(format_args!(
                "<li>{} {}</li>\n",
                loss.count,
                Esc(loss.what.as_str())
            ))?;
        }
        self.html.raw("</ul>\n<h3>Sources</h3>\n<ul>\n")?;
        for source in &self.ask.framework.sources {
            self.html.put(format_args!(
                "<li>{}: <a href=\"{1}\" rel=\"noreferrer\">{1}</a></li>\n",
                Esc(&source.title),
                Esc(&source.url)
            ))?;
        }
        self.html.raw("</ul>\n</section>\n")
    }
}
