//! `tacho demo`: what this is for, in a few seconds.

mod damage;
mod story;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tacho_recorder::audit::{Question, audit};
use tacho_recorder::log::{Beginning, Log};
use tacho_recorder::read::{Shown, View};
use tacho_recorder::{LogDir, Reader, keys};
use tacho_schemas::content::{Descriptor, Field};
use tacho_schemas::record::Role;
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::{Anchor, Completeness, Mark, Report};
use tacho_schemas::{Kind, Origin, Seq};

use crate::place;
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Watch an agent change itself, and attacks on the record of it fail
///
/// Makes a log of its own in a temporary folder, with keys of its own, and removes it at the end. Four copies of the log are then
/// damaged, each in another way, and verified. The exit code is 1 if any damage was not caught.
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

/// One attack on a copy.
struct Attack {
    name: &'static str,
    title: &'static str,
    how: &'static str,
    /// Whether somebody who has nothing but the folder could notice.
    shows_alone: bool,
}

const ATTACKS: [Attack; 4] = [
    Attack {
        name: "edited",
        title: "A better score",
        how: "One byte of a record is changed: 0.78 becomes 0.98.",
        shows_alone: true,
    },
    Attack {
        name: "reworded",
        title: "A better reason",
        how: "The record stays; the agent's words in the vault become \"Fix a typo in the length test\".",
        shows_alone: true,
    },
    Attack {
        name: "cut",
        title: "The end is cut off",
        how: "An older copy of the folder is put back: the last 5 records never were. All signatures are real.",
        shows_alone: false,
    },
    Attack {
        name: "rewritten",
        title: "History is rewritten",
        how: "The same, with the keys stolen at that time: the log goes on with a harmless story, signed by the true keys.",
        shows_alone: false,
    },
];

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
    show.heading("An agent improves itself; then somebody attacks the record of it")?;
    show.line("")?;
    let scene = stage.record()?;
    tell(&mut show, &stage, &scene)?;

    let fates = ATTACKS
        .iter()
        .map(|attack| stage.attack(attack, &scene))
        .collect::<Result<Vec<_>, _>>()?;
    show.heading("3  Four attacks, each on a copy")?;
    for (letter, (attack, fate)) in ('a'..).zip(ATTACKS.iter().zip(&fates)) {
        report(&mut show, letter, attack, fate)?;
    }
    let caught = fates.iter().filter(|fate| fate.caught).count();
    if args.json {
        let kept = args.keep.as_ref().map(|dir| dir.to_string_lossy());
        let attacks: Vec<_> = ATTACKS.iter().zip(&fates).map(to_json).collect();
        let value = serde_json::json!({ "sound": scene.is_sound(), "caught": caught, "attacks": attacks, "kept": kept });
        show.term.line(value.to_string())?;
    } else {
        close(&mut show, args, &scene, caught, began)?;
    }
    Ok(match caught == ATTACKS.len() && scene.is_sound() {
        true => Exit::Done,
        false => Exit::Negative,
    })
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
    refs: story::Refs,
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

    /// Records the session in two runs; between them somebody copies the folder.
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
            place::options()?,
        )?;
        let refs = story::improve(&log)?;
        log.close()?;
        self.go_on()?;
        damage::copy(&path, &self.path.join("cut"))?;
        damage::copy(&path, &self.path.join("rewritten"))?;

        let log = Log::open(&path, place::options()?)?;
        let receipt = story::reach_for_tests(&log, refs)?;
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
            refs,
            sound,
        })
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
        let last = Seq(scene.sound.size.saturating_sub(1));
        match attack.name {
            "edited" => {
                damage::copy(&self.path.join("log"), &copy)?;
                let seq = scene.refs.evaluation;
                damage::edit_record(&copy, seq, story::SCORE, "0.98")?;
            }
            "reworded" => {
                damage::copy(&self.path.join("log"), &copy)?;
                // The last records: action, outcome, session, seal.
                let seq = Seq(last.0.saturating_sub(3));
                damage::edit_text(&copy, seq, Field::Summary, "Fix a typo in the length test")?;
            }
            "rewritten" => {
                let log = Log::open(&copy, place::options()?)?;
                story::read_tests(&log, scene.refs)?;
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

/// Shows what was recorded, and that it is sound.
fn tell(show: &mut Show<'_>, stage: &Stage, scene: &Scene) -> Result<(), Failure> {
    show.heading("1  What the agent did")?;
    show.text("", "quill, a support agent, is told to raise its own score. It changes its prompt, and the score rises. Then it reaches for the test that judges it.")?;
    show.line("")?;
    let dir = LogDir::open_to_read(&stage.path.join("log"))?;
    let reader = Reader::open(&dir)?;
    let view = View::new(&reader)?;
    view.records(0..view.size(), |shown| show.record(&shown))?;
    show.line("")?;
    mutation(show, &view, scene.refs.mutation)?;

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
    show.line("")
}

/// Shows a mutation as a reviewer asks for it.
fn mutation(show: &mut Show<'_>, view: &View<'_>, seq: Seq) -> Result<(), Failure> {
    let shown = view.record(seq)?;
    show.line(format!(
        "   What record {seq} changed, as the bytes show, and why, as the agent says:"
    ))?;
    let diff = diff(view, &shown)?;
    for line in diff
        .lines()
        .filter(|l| !l.starts_with("---") && !l.starts_with("+++"))
    {
        let tone = match line.chars().next() {
            Some('+') => Tone::Good,
            Some('-') => Tone::Bad,
            _ => continue,
        };
        show.painted("     ", tone, &safe(line))?;
    }
    let why = shown.text(Field::Summary).unwrap_or_default();
    show.painted("     ", Tone::Strong, &format!("\"{}\"", safe(why)))?;
    show.line("")
}

/// The text of the diff that a record carries.
fn diff(view: &View<'_>, shown: &Shown) -> Result<String, Failure> {
    let artefacts = shown
        .meaning
        .as_ref()
        .map(|r| r.artefacts())
        .unwrap_or_default();
    let place = (0..).zip(artefacts).find(|(_, a)| a.role == Role::Diff);
    let held = place.and_then(|(place, _)| shown.row.artefacts.as_ref()?.get(&place));
    let Some(held) = held else {
        return Ok(String::new());
    };
    let hash = Descriptor::decode(&held.bytes)?.blake3;
    let artefact = view.snapshot().artefact(&hash)?;
    let bytes = artefact.map(|a| a.bytes).unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn report(show: &mut Show<'_>, letter: char, attack: &Attack, fate: &Fate) -> Result<(), Failure> {
    show.line("")?;
    let title = show.term.paint(Tone::Strong, attack.title);
    show.line(format!("   {letter}  {title}"))?;
    show.text("   ", attack.how)?;
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
    let tone = match caught == ATTACKS.len() {
        true => Tone::Good,
        false => Tone::Bad,
    };
    let verdict = format!("{caught} of {} attacks were caught", ATTACKS.len());
    show.painted("", tone, &format!("{verdict} ({seconds:.1} s)"))?;
    show.text_at(0, "The last two pass every check that needs only the folder: keep receipts and checkpoints where the agent cannot reach them.")?;
    show.line("")?;
    show.heading("Try next")?;
    let rows = match &args.keep {
        Some(dir) => {
            let dir = safe(&dir.to_string_lossy()).into_owned();
            [
                (
                    format!("tacho --log {dir}/log why {}", scene.refs.mutation),
                    "seven answers about the change",
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
            ("tacho record --help".to_owned(), "write to it"),
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

    /// One record in one line: number, kind, what it says, and what led to it.
    fn record(&mut self, shown: &Shown) -> Result<(), Failure> {
        let Ok(record) = &shown.meaning else {
            return self.line(format!("   {:>3}  not understood", shown.seq.0));
        };
        let words = match record.kind {
            Kind::Genesis => "names the log and its keys",
            Kind::Boot => "the recorder starts",
            Kind::Seal => "closes the epoch: its key is destroyed",
            _ => [
                Field::Text,
                Field::Error,
                Field::Output,
                Field::Name,
                Field::Summary,
                Field::Reason,
            ]
            .iter()
            .find_map(|field| shown.text(*field))
            .unwrap_or_default(),
        };
        let causes: Vec<_> = record.causes().iter().map(ToString::to_string).collect();
        let causes = match causes.is_empty() {
            true => String::new(),
            false => format!("← {}", causes.join(", ")),
        };
        let seq = self
            .term
            .paint(Tone::Strong, &format!("{:>3}", shown.seq.0));
        let causes = self.term.paint(Tone::Dim, &causes);
        let line = format!(
            "   {seq}  {:<10}  {:<50}  {causes}",
            record.kind.name(),
            safe(words)
        );
        self.line(line.trim_end())
    }
}
