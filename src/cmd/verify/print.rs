//! The verdict in words, one line an answer.

use tacho_recorder::acts;
use tacho_schemas::bundle::Told;
use tacho_schemas::verify::{Anchor, Authenticity, Completeness, Report};

use super::Besides;
use crate::term::{Failure, Term, Tone, count, safe};

pub(super) fn print(
    term: &mut Term,
    report: &Report,
    besides: Besides<'_>,
    unmet: &[String],
    narrow: bool,
    good: bool,
) -> Result<(), Failure> {
    let told = besides.told;
    let origin = report
        .origin
        .as_ref()
        .map_or("no log".to_owned(), ToString::to_string);
    term.line(format!(
        "{}  {}",
        term.paint(Tone::Strong, &origin),
        match told {
            Some(told) => count(told.head.size, "record"),
            None => count(report.size, "record"),
        }
    ))?;
    if let Some(told) = told {
        say_of_bundle(term, report, told)?;
    }
    let integrity = &report.integrity;
    let mut rows: Vec<(&str, Tone, String)> = Vec::new();
    rows.push(match integrity.count {
        0 => (
            "integrity",
            Tone::Good,
            format!(
                "each record is as it was written: {}, {}, {} agree",
                count(integrity.seals, "seal"),
                count(integrity.checkpoints, "checkpoint"),
                count(integrity.tiles, "tile")
            ),
        ),
        violations => ("integrity", Tone::Bad, broken(report, violations)),
    });
    rows.push(match &report.authenticity {
        Authenticity::Anchored {
            identity,
            by: Anchor::Named,
        } => (
            "authenticity",
            Tone::Good,
            format!("signed under {identity}, the key you named"),
        ),
        Authenticity::Anchored {
            identity,
            by: Anchor::Pinned,
        } => (
            "authenticity",
            Tone::Good,
            format!("signed under {identity}, the key pinned for this log"),
        ),
        Authenticity::SelfConsistent { identity } => (
            "authenticity",
            Tone::Warn,
            format!("self-consistent, not anchored: nobody vouches for {identity}"),
        ),
        Authenticity::Failed => ("authenticity", Tone::Bad, "not shown: see below".to_owned()),
    });
    rows.push(match report.completeness {
        Completeness::CompleteUpTo { size } if size == report.size => (
            "completeness",
            Tone::Good,
            format!("complete up to {size}, by a mark from outside: that is all of it"),
        ),
        Completeness::CompleteUpTo { size } => (
            "completeness",
            Tone::Good,
            format!("complete up to {size}, by a mark from outside; then open tail"),
        ),
        Completeness::Excerpt { shown, marked } => (
            "completeness",
            Tone::Warn,
            format!(
                "an excerpt, {shown} of {} records: what is not shown is not judged{}",
                report.size,
                marked.map_or(String::new(), |size| format!(
                    "; a mark from outside fits at {size}"
                ))
            ),
        ),
        Completeness::OpenTail => (
            "completeness",
            Tone::Warn,
            "open tail: nothing from outside says where the log ends (`--against`)".to_owned(),
        ),
    });
    let clocks = &report.clocks;
    rows.push(match (clocks.first, clocks.last, clocks.jumps) {
        (Some(first), Some(last), 0) => (
            "time",
            Tone::Good,
            // Whole seconds; each record has the rest.
            format!(
                "{:.19}Z to {:.19}Z, the clocks agree",
                first.to_string(),
                last.to_string()
            ),
        ),
        (Some(_), Some(_), jumps) => {
            let at = clocks.first_jump.unwrap_or_default();
            (
                "time",
                Tone::Warn,
                format!(
                    "the clocks disagree {}, first at record {at}",
                    count(jumps, "time")
                ),
            )
        }
        _ => ("time", Tone::Warn, "no record says".to_owned()),
    });
    let meaning = &report.meaning;
    rows.push(match (meaning.not_checked, meaning.first) {
        (0, _) => (
            "meaning",
            Tone::Good,
            "every record is understood".to_owned(),
        ),
        (number, first) => (
            "meaning",
            Tone::Bad,
            format!(
                "not checked ({number}), first {}: {}",
                first.unwrap_or_default(),
                safe(meaning.why.as_deref().unwrap_or(""))
            ),
        ),
    });
    if report.witnesses_needed > 0 {
        let text = format!(
            "the log asks for {}, and this version cannot check any",
            report.witnesses_needed
        );
        rows.push(("witnesses", Tone::Bad, text));
    }
    let content = &report.content;
    rows.push(match (content.checked, content.missing) {
        (false, _) => ("content", Tone::Warn, "not looked at".to_owned()),
        (true, 0) => (
            "content",
            Tone::Good,
            format!(
                "{} texts and files are what was committed to{}",
                content.opened,
                match content.withheld {
                    0 => String::new(),
                    withheld => format!("; {withheld} are withheld, their commitments stand"),
                }
            ),
        ),
        (true, missing) => (
            "content",
            Tone::Bad,
            format!("{missing} texts or files are gone, and nothing excuses it"),
        ),
    });
    rows.extend(besides.acts.and_then(row_of_acts));
    for (name, tone, text) in rows {
        term.line(format!("  {name:<13} {}", term.paint(tone, &text)))?;
    }
    if report.unsigned > 0 {
        term.line(format!(
            "  {:<13} {} after the last durable signature",
            "",
            count(report.unsigned, "record")
        ))?;
    }
    if report.broken_epochs > 0 {
        let text = format!(
            "{} ended without a seal, since the key was lost: only the identity key vouches for the end",
            count(report.broken_epochs, "epoch")
        );
        term.line(format!("  {:<13} {}", "", term.paint(Tone::Warn, &text)))?;
    }
    for violation in &integrity.violations {
        let mark = term.paint(Tone::Bad, "✗");
        term.line(format!(
            "  {mark} {:<11} {}",
            violation.breach.name(),
            safe(&violation.what)
        ))?;
    }
    let rest = integrity
        .count
        .saturating_sub(u64::try_from(integrity.violations.len()).unwrap_or(0));
    if rest > 0 {
        term.line(format!("  … and {rest} more"))?;
    }
    for finding in besides.acts.iter().flat_map(|acts| &acts.findings) {
        let mark = term.paint(Tone::Bad, "✗");
        term.line(format!(
            "  {mark} {:<11} record {}: {}",
            "act",
            finding.seq,
            safe(&finding.why)
        ))?;
    }
    for what in unmet {
        term.line(format!(
            "  {} {}",
            term.paint(Tone::Bad, "✗ required"),
            safe(what)
        ))?;
    }
    let verdict = match (good, narrow) {
        (true, false) if report.broken_epochs > 0 => term.paint(
            Tone::Warn,
            "verified, but for what the lost key would have sealed (`--require sealed`)",
        ),
        (true, false) => term.paint(Tone::Good, "verified"),
        (true, true) => term.paint(
            Tone::Good,
            "the records are as they were written; by whom was not asked",
        ),
        (false, _) if integrity.count > 0 || besides.acts.is_some_and(|a| !a.is_good()) => {
            term.paint(Tone::Bad, "NOT VERIFIED")
        }
        (false, _) => term.paint(
            Tone::Warn,
            "not verified: not everything that was asked has a good answer",
        ),
    };
    term.line(verdict)
}

/// Whether people did what the log says that they did; nothing where it says nothing of anybody.
fn row_of_acts(acts: &acts::Report) -> Option<(&'static str, Tone, String)> {
    let unsigned = match acts.unsigned {
        0 => String::new(),
        1 => "; 1 kill, lease or note is signed by nobody".to_owned(),
        unsigned => format!("; {unsigned} kills, leases or notes are signed by nobody"),
    };
    match (acts.wrong, acts.checked) {
        (0, 0) => None,
        (0, checked) => Some((
            "people",
            Tone::Good,
            match checked {
                1 => format!("1 act or enrolment is signed by whom it says{unsigned}"),
                _ => format!("{checked} acts and enrolments are signed by whom they say{unsigned}"),
            },
        )),
        (wrong, _) => Some((
            "people",
            Tone::Bad,
            format!(
                "{} not what the log says",
                match wrong {
                    1 => "1 act is".to_owned(),
                    wrong => format!("{wrong} acts are"),
                }
            ),
        )),
    }
}

/// What a bundle is of. Its words are the exporter's: nobody signed them.
fn say_of_bundle(term: &mut Term, report: &Report, told: &Told) -> Result<(), Failure> {
    let head = &told.head;
    let selection = match head.selection.as_str() {
        "" => "all records".to_owned(),
        filter => format!("records that meet `{}`", safe(filter)),
    };
    term.line(format!(
        "  {:<13} {} of size {} shown: {} chosen, {} because others need them",
        "bundle", report.shown, head.size, head.chosen, head.support
    ))?;
    term.line(format!(
        "  {:<13} it says that it was made by {} on {:.19}Z of {selection}",
        "",
        safe(head.software.as_str()),
        head.made.to_string(),
    ))?;
    for loss in &told.losses {
        term.line(format!(
            "  {:<13} it says that it lacks: {} {}",
            "",
            loss.count,
            safe(loss.what.as_str())
        ))?;
    }
    Ok(())
}

fn broken(report: &Report, violations: u64) -> String {
    let integrity = &report.integrity;
    let first = match integrity.first_bad {
        Some(seq) => format!("first bad record {seq}"),
        None => "no single record can be named".to_owned(),
    };
    let proven = match integrity.proven {
        0 => "nothing is proven".to_owned(),
        size => format!("records before {size} are still proven"),
    };
    format!("{}; {first}; {proven}", count(violations, "violation"))
}
