//! `tacho demo`: what this is for, in a few seconds.

pub(crate) mod agent;
mod damage;
mod live;
mod story;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tacho_recorder::audit::{Question, audit};
use tacho_recorder::import::Imported;
use tacho_recorder::log::{Beginning, Log};
use tacho_recorder::read::View;
use tacho_recorder::why::{Gain, largest_gain};
use tacho_recorder::{LogDir, Reader, keys};
use tacho_schemas::content::Field;
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::{Anchor, Completeness, Mark, Report};
use tacho_schemas::{Origin, Seq};

use super::why;
use crate::place;
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Watch real agents change themselves, and attacks on the record of it fail
///
/// Imports a real lineage of a system that rewrites itself and a real transcript (both come with the program), verifies them, and
/// explains the change that gained most. Then four copies of the log are damaged, each in another way, and verified. At last a small
/// scripted agent changes itself behind a real gate, in a cell where this machine has one, and is killed. All of it happens in logs of
/// their own in a temporary folder, with keys of their own, and is removed at the end. The exit code is 1 if any damage was not
/// caught, or the agent got what it must not.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tacho demo\n  tacho demo --keep ./demo")]
pub(crate) struct Args {
    /// Make it in this new folder and keep it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,

    /// Print only what came of each attack, as JSON
    #[arg(long)]
    json: bool,
}

/// Lines of a text or a diff that are shown.
const LINES: usize = 6;

/// One attack on a copy.
struct Attack {
    name: &'static str,
    title: &'static str,
    how: String,
    /// Whether somebody who has nothing but the folder could notice.
    shows_alone: bool,
}

/// The four attacks.
fn attacks(scene: &Scene) -> [Attack; 4] {
    let gain = &scene.gain;
    let dropped = scene.sound.size.saturating_sub(scene.older);
    [
        Attack {
            name: "edited",
            title: "A better score",
            how: format!(
                "A few bytes of record {} are changed: {} becomes {}.",
                gain.evaluation,
                gain.after,
                better(&gain.after)
            ),
            shows_alone: true,
        },
        Attack {
            name: "reworded",
            title: "A better reason",
            how: format!(
                "Record {} stays; the agent's words in the vault become \"{HARMLESS}\".",
                gain.mutation
            ),
            shows_alone: true,
        },
        Attack {
            name: "cut",
            title: "The end is cut off",
            how: format!("An older copy of the folder is put back: the last {dropped} records, the whole transcript, never were. All signatures are real."),
            shows_alone: false,
        },
        Attack {
            name: "rewritten",
            title: "History is rewritten",
            how: "The same, with the keys stolen at that time: the log goes on as long with a harmless story, signed by the true keys.".to_owned(),
            shows_alone: false,
        },
    ]
}

/// What the second attack makes of a rationale.
const HARMLESS: &str = "Fix a typo in a comment";

/// A higher number of the same length.
fn better(score: &str) -> String {
    let mut raised = false;
    score
        .chars()
        .map(|c| match c {
            '0'..='8' if !raised && score.starts_with("0.") && c != '0' => {
                raised = true;
                '9'
            }
            c => c,
        })
        .collect()
}

/// What came of an attack.
struct Fate {
    caught: bool,
    /// What verify says of the copy alone, where that is good.
    good_alone: bool,
    breach: &'static str,
    first_bad: Option<Seq>,
    what: String,
}

pub(crate) fn run(args: &Args, term: &mut Term) -> Result<Exit, Failure> {
    let began = Instant::now();
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))
            .map_err(|e| Failure::new(format!("cannot listen for signals: {e}")))?;
    }
    let stage = Stage::new(args.keep.as_deref(), stopped)?;
    let mut show = Show {
        term,
        quiet: args.json,
    };
    show.heading("Real agents change themselves; then somebody attacks the record of it")?;
    show.line("")?;
    let scene = stage.record()?;
    tell(&mut show, &stage, &scene)?;

    let attacks = attacks(&scene);
    let fates = attacks
        .iter()
        .map(|attack| stage.attack(attack, &scene))
        .collect::<Result<Vec<_>, _>>()?;
    show.heading("4  Four attacks, each on a copy")?;
    for (letter, (attack, fate)) in ('a'..).zip(attacks.iter().zip(&fates)) {
        report(&mut show, letter, attack, fate)?;
    }
    let live = live::play(&stage)?;
    live::tell(&mut show, &live)?;
    let caught = fates.iter().filter(|fate| fate.caught).count();
    if args.json {
        let kept = args.keep.as_ref().map(|dir| dir.to_string_lossy());
        let all: Vec<_> = attacks.iter().zip(&fates).map(to_json).collect();
        let value = serde_json::json!({
            "sound": scene.is_sound(), "gain": scene.gain, "caught": caught, "attacks": all, "live": live, "kept": kept,
        });
        show.term.line(value.to_string())?;
    } else {
        close(&mut show, args, &scene, caught, began)?;
    }
    Ok(
        match caught == attacks.len() && scene.is_sound() && live.is_good() {
            true => Exit::Done,
            false => Exit::Negative,
        },
    )
}

fn to_json((attack, fate): (&Attack, &Fate)) -> serde_json::Value {
    serde_json::json!({
        "attack": attack.name, "caught": fate.caught, "good_alone": fate.good_alone,
        "breach": fate.breach, "first_bad": fate.first_bad, "what": fate.what,
    })
}

/// Where the demo plays; removed at the end, however it ends, unless it is to be kept.
struct Stage {
    path: PathBuf,
    keep: bool,
    stopped: Arc<AtomicBool>,
}

/// What the recorded session left.
struct Scene {
    trust: Fingerprint,
    mark: Mark,
    lineage: Imported,
    transcript: Imported,
    /// The change that gained most, as its source says.
    gain: Gain,
    /// How many records an older copy of the folder has.
    older: u64,
    /// What a verification of the sound log says.
    sound: Report,
}

impl Scene {
    /// Whether the log verifies, up to the receipt.
    fn is_sound(&self) -> bool {
        self.sound.is_good() && matches!(self.sound.completeness, Completeness::CompleteUpTo { .. })
    }
}

impl Stage {
    fn new(keep: Option<&Path>, stopped: Arc<AtomicBool>) -> Result<Self, Failure> {
        let path = match keep {
            Some(path) => path.to_owned(),
            None => {
                let mut id = [0; 8];
                place::random(&mut id)?;
                std::env::temp_dir().join(format!("tacho-demo-{:016x}", u64::from_be_bytes(id)))
            }
        };
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| {
            let failure = Failure::new(format!(
                "cannot make `{}`: {}",
                path.display(),
                place::plain(&e)
            ));
            match keep {
                Some(_) => failure.hint("name a folder that does not exist yet"),
                None => failure.hint("set TMPDIR to a folder that can be written"),
            }
        })?;
        Ok(Self {
            path,
            keep: keep.is_some(),
            stopped,
        })
    }

    /// Imports the files in two runs; between them somebody copies the folder.
    fn record(&self) -> Result<Scene, Failure> {
        let path = self.path.join("log");
        let identity_path = self.path.join("identity.pem");
        let mut id = [0; 16];
        place::random(&mut id)?;
        place::make_private(&path)?;
        let identity = keys::create_identity(&identity_path, &path)?;
        let log = Log::create(
            Beginning {
                path: &path,
                origin: Origin::from_parts("tacho.invalid", id)?,
                identity: &identity,
                predecessor: None,
            },
            place::options()?.for_import(),
        )?;
        let lineage = story::LINEAGE.import(&self.path, &log)?;
        log.close()?;
        self.go_on()?;
        let (older, gain) = self.largest_gain()?;
        damage::copy(&path, &self.path.join("cut"))?;
        damage::copy(&path, &self.path.join("rewritten"))?;

        let log = Log::open(&path, place::options()?.for_import())?;
        let transcript = story::TRANSCRIPT.import(&self.path, &log)?;
        let receipt = story::note(&log, story::TRUE_NOTE)?;
        log.close()?;
        self.go_on()?;
        let text = serde_json::to_vec(&receipt).map_err(|e| Failure::new(e.to_string()))?;
        place::write_new(&self.path.join("receipt.json"), &text)?;
        let trust = keys::fingerprint(&identity.verifying_key());
        let mark = Mark::Receipt(Box::new(receipt));
        let sound = self.verify("log", trust, vec![mark.clone()])?;
        Ok(Scene {
            trust,
            mark,
            lineage,
            transcript,
            gain,
            older,
            sound,
        })
    }

    /// How many records there are now, and which change gained most.
    fn largest_gain(&self) -> Result<(u64, Gain), Failure> {
        let reader = Reader::open(&LogDir::open_to_read(&self.path.join("log"))?)?;
        let view = View::new(&reader)?;
        let gain = largest_gain(&view)?;
        let gain = gain.ok_or_else(|| Failure::new("no change in the lineage was measured"))?;
        Ok((view.size(), gain))
    }

    fn verify(&self, log: &str, trust: Fingerprint, marks: Vec<Mark>) -> Result<Report, Failure> {
        self.go_on()?;
        let question = Question {
            trust: Some((trust, Anchor::Named)),
            marks,
            ..Question::default()
        };
        let dir = LogDir::open_to_read(&self.path.join(log))?;
        Ok(audit(&dir, &question, |_, _| ())?)
    }

    /// Damages a copy, and verifies it alone and against the receipt.
    fn attack(&self, attack: &Attack, scene: &Scene) -> Result<Fate, Failure> {
        let copy = self.path.join(attack.name);
        match attack.name {
            "edited" => {
                damage::copy(&self.path.join("log"), &copy)?;
                let score = &scene.gain.after;
                damage::edit_record(&copy, scene.gain.evaluation, score, &better(score))?;
            }
            "reworded" => {
                damage::copy(&self.path.join("log"), &copy)?;
                damage::edit_text(&copy, scene.gain.mutation, Field::Reasoning, HARMLESS)?;
            }
            "rewritten" => {
                let log = Log::open(&copy, place::options()?)?;
                while story::note(&log, story::HARMLESS_NOTE)?.seq.0 < scene.sound.size {}
                log.close()?;
            }
            // It is an older copy.
            _ => {}
        }
        let alone = self.verify(attack.name, scene.trust, Vec::new())?;
        let held = self.verify(attack.name, scene.trust, vec![scene.mark.clone()])?;
        let first = held.integrity.violations.first();
        Ok(Fate {
            caught: !held.is_good() && alone.is_good() != attack.shows_alone,
            good_alone: alone.is_good(),
            breach: first.map_or("none", |v| v.breach.name()),
            first_bad: held.integrity.first_bad,
            what: first.map_or_else(String::new, |v| v.what.clone()),
        })
    }

    /// Stops where Ctrl-C asks for it.
    fn go_on(&self) -> Result<(), Failure> {
        match self.stopped.load(Ordering::Relaxed) {
            true => Err(Failure::new("interrupted")),
            false => Ok(()),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed from a temporary folder stays there, and holds nothing of worth.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Shows what was recorded, that it is sound, and the change that gained most.
fn tell(show: &mut Show<'_>, stage: &Stage, scene: &Scene) -> Result<(), Failure> {
    show.heading("1  Two real files become records")?;
    for (file, imported) in [
        (&story::LINEAGE, &scene.lineage),
        (&story::TRANSCRIPT, &scene.transcript),
    ] {
        let name = show.term.paint(Tone::Strong, file.name);
        show.line(format!("   {name}"))?;
        show.text("   ", file.what)?;
        let counts = imported.counts.iter();
        let counts: Vec<_> = counts
            .map(|(kind, count)| format!("{count} {}", kind.name()))
            .collect();
        let (open, close) = imported.records;
        let counts = counts.join(", ");
        show.text("   ", &format!("records {open} to {close}: {counts}"))?;
        let lost: u64 = imported.losses.values().sum();
        let lost = match lost {
            0 => "everything was understood".to_owned(),
            _ => format!(
                "{lost} things were not understood; the last record counts them by type, and the original is kept"
            ),
        };
        show.text("   ", &lost)?;
    }
    show.line("")?;

    show.heading("2  Is it what was written?")?;
    let sound = &scene.sound;
    let (mark, tone) = match scene.is_sound() {
        true => ("✓", Tone::Good),
        false => ("✗ NOT SHOWN:", Tone::Bad),
    };
    for line in [
        format!(
            "each of the {} records is as it was written, and in its place",
            sound.size
        ),
        "the log is signed by the key that we trust".to_owned(),
        "nothing is missing up to a receipt that was kept elsewhere".to_owned(),
        format!(
            "{} texts and files are those that the records commit to",
            sound.content.opened
        ),
    ] {
        show.marked(mark, tone, &line)?;
    }
    show.line("")?;

    show.heading("3  The change that gained most: what `tacho why` says of it")?;
    show.line("")?;
    explain(show, stage, scene)?;
    show.line("")
}

/// The seven answers about the change that gained most.
fn explain(show: &mut Show<'_>, stage: &Stage, scene: &Scene) -> Result<(), Failure> {
    let dir = LogDir::open_to_read(&stage.path.join("log"))?;
    let reader = Reader::open(&dir)?;
    let explanation = why::ask(&dir, &reader, scene.gain.mutation, |_, _| ())?;
    if show.quiet {
        return Ok(());
    }
    let printer = why::Printer {
        shown: LINES,
        width: 80,
        more: "",
    };
    printer.print(show.term, &explanation)
}

fn report(show: &mut Show<'_>, letter: char, attack: &Attack, fate: &Fate) -> Result<(), Failure> {
    show.line("")?;
    let title = show.term.paint(Tone::Strong, attack.title);
    show.line(format!("   {letter}  {title}"))?;
    show.text("   ", &attack.how)?;
    if fate.good_alone {
        show.text(
            "   ",
            "Alone it verifies: nothing in the folder can tell. The receipt can:",
        )?;
    }
    let (mark, tone, word) = match fate.caught {
        true => ("✗", Tone::Good, "caught"),
        false => ("!", Tone::Bad, "NOT CAUGHT"),
    };
    let place = match fate.first_bad {
        Some(seq) => format!(", first bad record {seq}"),
        None => String::new(),
    };
    let head = show.term.paint(tone, &format!("{mark} {word}"));
    show.line(format!("      {head}{place}"))?;
    show.text("     ", &safe(&fate.what))
}

fn close(
    show: &mut Show<'_>,
    args: &Args,
    scene: &Scene,
    caught: usize,
    began: Instant,
) -> Result<(), Failure> {
    let seconds = began.elapsed().as_secs_f32();
    show.line("")?;
    let tone = match caught == attacks(scene).len() {
        true => Tone::Good,
        false => Tone::Bad,
    };
    let verdict = format!("{caught} of {} attacks were caught", attacks(scene).len());
    show.painted("", tone, &format!("{verdict} ({seconds:.1} s)"))?;
    show.text_at(0, "The last two pass every check that needs only the folder: keep receipts and checkpoints where the agent cannot reach them.")?;
    show.line("")?;
    show.heading("Try next")?;
    let rows = match &args.keep {
        Some(dir) => {
            let dir = safe(&dir.to_string_lossy()).into_owned();
            [
                (
                    format!("tacho --log {dir}/log why {}", scene.gain.generation),
                    "the way from the root to what that change made",
                ),
                (
                    format!("tacho --log {dir}/reworded verify --trust {dir}/identity.pem"),
                    "an attack, as verify sees it",
                ),
                (
                    format!(
                        "tacho --log {dir}/cut verify --trust {dir}/identity.pem --against {dir}/receipt.json"
                    ),
                    "the receipt at work",
                ),
            ]
        }
        None => [
            ("tacho init".to_owned(), "make your own log"),
            (
                "tacho import ~/.claude/projects/*/*.jsonl".to_owned(),
                "what your own agent did",
            ),
            (
                "tacho demo --keep ./demo".to_owned(),
                "keep all this, to look into it",
            ),
        ],
    };
    for (command, what) in rows {
        let command = show.term.paint(Tone::Strong, &command);
        show.line(format!("  {command}"))?;
        show.line(format!("      {what}"))?;
    }
    Ok(())
}

/// Prints in 80 columns; nothing, where only JSON is wanted.
struct Show<'a> {
    term: &'a mut Term,
    quiet: bool,
}

impl Show<'_> {
    fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        match self.quiet {
            true => Ok(()),
            false => self.term.line(text),
        }
    }

    fn heading(&mut self, text: &str) -> Result<(), Failure> {
        self.painted("", Tone::Strong, text)
    }

    fn painted(&mut self, indent: &str, tone: Tone, text: &str) -> Result<(), Failure> {
        let text = self.term.paint(tone, text);
        self.line(format!("{indent}{text}"))
    }

    fn marked(&mut self, mark: &str, tone: Tone, text: &str) -> Result<(), Failure> {
        let mark = self.term.paint(tone, mark);
        self.line(format!("   {mark} {text}"))
    }

    /// Prints words in lines of 80 columns.
    fn text(&mut self, indent: &str, text: &str) -> Result<(), Failure> {
        self.text_at(indent.len() + 3, text)
    }

    fn text_at(&mut self, indent: usize, text: &str) -> Result<(), Failure> {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if indent + line.chars().count() + 1 + word.chars().count() > 80 && !line.is_empty() {
                self.line(format!("{:indent$}{line}", ""))?;
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(format!("{:indent$}{line}", ""))
    }
}
