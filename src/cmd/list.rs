//! `tacho list`: records, one a line.

use tacho_recorder::read::{Shown, View};
use tacho_schemas::content::Field;

use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Show records
///
/// One line a record: number, time, kind, way in, actor, and the first words. Each record is checked against the tree and its text
/// against its commitment before it is shown; a line that does not fit begins with `!`, and the exit code is then 1.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho list\n  tacho list --from 100 --count 20\n  tacho list --json | jq .kind"
)]
pub(crate) struct Args {
    /// The first record to show [default: so that the last COUNT are shown]
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,

    /// How many records to show; 0 for all that follow
    #[arg(long, short = 'n', default_value_t = 50)]
    count: u64,

    /// Print each record as one JSON line, whole
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let reader = place::reader(&place.open_to_read()?)?;
    let view = View::new(&reader)?;
    let size = view.size();
    let count = if args.count == 0 { size } else { args.count };
    let from = args.from.unwrap_or_else(|| size.saturating_sub(count));
    if from >= size {
        term.note(format!(
            "the log has {size} records, so none from {from} on"
        ));
        return Ok(Exit::Done);
    }
    let width = size.to_string().len();
    let mut doubtful = 0;
    view.records(from..from.saturating_add(count), |shown| {
        doubtful += u64::from(!shown.doubts.is_empty());
        match args.json {
            true => term.line(to_json(&shown)?),
            false => {
                let line = to_line(term, &shown, width);
                term.line(line)
            }
        }
    })?;
    if doubtful > 0 {
        term.note(format!(
            "{doubtful} records are not what was recorded; run `tacho verify`"
        ));
        return Ok(Exit::Negative);
    }
    Ok(Exit::Done)
}

fn to_line(term: &Term, shown: &Shown, width: usize) -> String {
    let seq = term.paint(Tone::Strong, &format!("{:>width$}", shown.seq.0));
    let line = match &shown.meaning {
        Ok(record) => {
            let time = term.paint(Tone::Dim, &format!("{:.19}Z", record.time.to_string()));
            let words = first_words(shown);
            format!(
                "{seq}  {time}  {:<10}  {:<8}  {:<16}  {words}",
                record.kind.name(),
                record.via.name(),
                record.actor.id.as_str()
            )
        }
        Err(why) => format!(
            "{seq}  {}",
            term.paint(Tone::Warn, &format!("not understood: {}", safe(why)))
        ),
    };
    match shown.doubts.is_empty() {
        true => format!("  {}", line.trim_end()),
        false => format!(
            "{} {}  {}",
            term.paint(Tone::Bad, "!"),
            line.trim_end(),
            term.paint(Tone::Bad, &shown.doubts.join("; "))
        ),
    }
}

/// The words that say most about a record, cut to a line.
fn first_words(shown: &Shown) -> String {
    const FIELDS: [Field; 12] = [
        Field::Summary,
        Field::Text,
        Field::Path,
        Field::Command,
        Field::Name,
        Field::Goal,
        Field::Reason,
        Field::Detail,
        Field::Error,
        Field::Output,
        Field::Reasoning,
        Field::Input,
    ];
    let text = FIELDS
        .iter()
        .find_map(|field| shown.text(*field))
        .unwrap_or_default();
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default()
        .trim();
    let mut words: String = first.chars().take(72).collect();
    if words.len() < first.len() {
        words.push('…');
    }
    safe(&words).into_owned()
}

/// A record with its text, by the names of the registry.
fn to_json(shown: &Shown) -> Result<String, Failure> {
    let failed = |e: serde_json::Error| Failure::new(e.to_string());
    let mut value = match &shown.meaning {
        Ok(record) => serde_json::to_value(record).map_err(failed)?,
        Err(why) => serde_json::json!({ "seq": shown.seq, "not_understood": why }),
    };
    if let Some(object) = value.as_object_mut() {
        let mut text = serde_json::Map::new();
        for (number, salted) in shown.row.content.iter().flatten() {
            let name = Field::from_number(*number)
                .map_or_else(|| number.to_string(), |f| f.name().to_owned());
            text.insert(
                name,
                String::from_utf8_lossy(&salted.bytes).into_owned().into(),
            );
        }
        object.insert("text_of".to_owned(), text.into());
        if !shown.doubts.is_empty() {
            object.insert("doubts".to_owned(), shown.doubts.clone().into());
        }
    }
    serde_json::to_string(&value).map_err(failed)
}
