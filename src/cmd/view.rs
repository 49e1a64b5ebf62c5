//! `tacho view`: look at a log.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::signal::{Signal, raise};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;
use tacho_recorder::enrol::Enrolled;
use tacho_recorder::export::bundle;
use tacho_recorder::read::View;
use tacho_recorder::{LogDir, Reader, SystemClock};
use tacho_schemas::act::Verb;
use tacho_schemas::verify::Anchor;
use tacho_viewer::{
    App, Deed, Event, Keymap, Options, Outside, Screen, Source, Theme, plain, term,
};

use crate::cmd::holds::client;
use crate::cmd::verify::{pinned, vouched};
use crate::cmd::{approve, export, kill, release};
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term};

/// Look at a log: replay and explain it, in the terminal
///
/// Seven screens are lenses on one record: timeline, explain, diff, lineage, replay, inbox, health. `?` shows all keys, `q` leaves.
/// What somebody says stands behind a bar (┃); text that an agent wrote never reaches your terminal unescaped. Where stdout is no
/// terminal, and with --plain, the same answers come as lines.
///
/// Reads only, but for the index beside the log, unless --key names your key: then holds can be answered, and agents killed and
/// released, each in a dialog that wants words and not keys. A bundle of evidence is verified and needs no log.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho view\n  tacho view ./log --filter 'kind:mutation since:1d'\n  tacho view --screen explain --seq 31\n  tacho view --screen health --plain\n  tacho view march.tacho\n  tacho view --key ~/.ssh/id_ed25519_sk --screen inbox"
)]
pub(crate) struct Args {
    /// The log's directory, like --log, or a bundle
    #[arg(value_name = "LOG|BUNDLE")]
    directory: Option<PathBuf>,

    /// Only records that meet this; see `tacho list --help`
    #[arg(
        long,
        short = 'f',
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,

    /// Begin at this record [default: the newest]
    #[arg(long, value_name = "SEQ")]
    seq: Option<u64>,

    /// Begin with this screen
    #[arg(long, value_name = "SCREEN", default_value = "timeline", value_parser = screens())]
    screen: String,

    /// Colours [default: dark or light, as the terminal says; mono with NO_COLOR]
    #[arg(long, value_name = "THEME", value_parser = themes())]
    theme: Option<String>,

    /// Draw with ASCII signs only
    #[arg(long)]
    ascii: bool,

    /// Print lines and leave: for pipes and screen readers
    #[arg(long)]
    plain: bool,

    /// Your key, or its .pub where an ssh-agent has it: lets you answer holds, kill and release
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Other keys for actions [default: $XDG_CONFIG_HOME/tachograph/view.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

fn screens() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(Screen::ALL.map(Screen::name))
}

fn themes() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(Theme::ALL.map(|(name, _)| name))
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let path = match &args.directory {
        Some(path) => path.clone(),
        None => place.log()?,
    };
    if !path.is_symlink() && !path.exists() {
        return Err(place::nowhere(&path));
    }
    let place = Place::at(path.clone());
    let (source, trust) = match bundle::is_bundle(&path) {
        true => (Source::Bundle(path.clone()), vouched(&path)?),
        false => {
            let dir = LogDir::open_to_read(&path)?;
            if !dir.database().exists() {
                return Err(place::nowhere(dir.path()));
            }
            let pin = pinned(&Reader::open(&dir).ok());
            (Source::Log(dir), pin.map(|key| (key, Anchor::Pinned)))
        }
    };
    let signer = match &args.key {
        Some(key) => Some(signer(&source, key)?),
        None => None,
    };
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let is_plain = args.plain || dumb || !std::io::stdout().is_terminal();
    let options = Options {
        trust,
        name: name(&path),
        command: command(args, &path),
        source,
        signer,
        clock: Arc::new(SystemClock::new()?),
        theme: theme(args, is_plain),
        ascii: args.ascii,
        keys: keys(args)?,
        screen: Screen::from_name(&args.screen).unwrap_or_default(),
        filter: args.filter.clone(),
        seq: args.seq,
    };
    let mut app = App::new(options).map_err(Failure::new)?;
    if is_plain {
        let lines = plain(&mut app).map_err(Failure::new)?;
        lines.iter().try_for_each(|line| term.line(line))?;
        return Ok(Exit::Done);
    }
    let to = app.sender();
    let mut signals = Signals::new([SIGTERM, SIGHUP])
        .map_err(|e| Failure::new(format!("cannot listen for signals: {e}")))?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            // If nobody hears, it has ended already.
            let _ = to.send(Event::Stop);
        }
    });
    let mut hands = Hands {
        place: &place,
        key: args.key.as_ref(),
        term,
    };
    let shown = term::run(&mut app, &mut hands);
    shown.map_err(|e| Failure::new(format!("the terminal failed: {}", place::plain(&e))))?;
    Ok(Exit::Done)
}

/// What is done outside of the screen.
struct Hands<'a> {
    place: &'a Place,
    key: Option<&'a PathBuf>,
    term: &'a mut Term,
}

impl Outside for Hands<'_> {
    fn suspend(&mut self) {
        // The shell wakes us; if we cannot be stopped, we go on.
        let _ = raise(Signal::SIGTSTP);
    }

    fn wake(&mut self) {
        // If it does not come, nothing is done, and that is said.
        let _ = raise(Signal::SIGWINCH);
    }

    fn carry_out(&mut self, deed: &Deed) -> Result<Vec<String>, Vec<String>> {
        self.carry(deed).map_err(|failure| {
            let mut said = vec![failure.what().to_owned()];
            said.extend(failure.advice().map(str::to_owned));
            said
        })
    }
}

impl Hands<'_> {
    fn carry(&mut self, deed: &Deed) -> Result<Vec<String>, Failure> {
        if let Deed::Export {
            filter,
            proven,
            path,
        } = deed
        {
            let path = PathBuf::from(path);
            return export::into_file((filter, *proven), path, self.place, self.term);
        }
        let key = self
            .key
            .ok_or_else(|| Failure::new("nothing is written without `--key FILE`"))?;
        approve::outside_a_cell()?;
        match deed {
            Deed::Answer {
                hold,
                digest,
                approve,
                reason,
            } => {
                let gate = client(self.place)?;
                let held = approve::find(&gate, hold.0)?;
                if held.digest != *digest {
                    return Err(Failure::new("the request is not the one that was shown")
                        .hint("look at it again: nothing was signed"));
                }
                let verb = match approve {
                    true => Verb::Approve,
                    false => Verb::Reject,
                };
                self.term
                    .note("signing: your key may want a passphrase or a touch");
                let answered = approve::give(&gate, &held, verb, Some(key), Some(reason.clone()))?;
                Ok(approve::said(*hold, verb, &answered))
            }
            Deed::Kill { target, reason } => {
                let order = kill::Order {
                    target,
                    reason,
                    key: Some(key),
                    freeze: false,
                };
                let done = kill::engage(self.place, &order)?;
                let mut said = vec![done.said()];
                said.extend(done.doubts());
                done.check()?;
                Ok(said)
            }
            Deed::Release {
                kill,
                digits,
                reason,
            } => {
                let args = release::Args {
                    kill: Some(kill.0),
                    reason: reason.clone(),
                    key: Some(key.clone()),
                    digits: Some(digits.clone()),
                    json: false,
                };
                self.term
                    .note("signing: your key may want a passphrase or a touch");
                Ok(release::release(&args, self.place, self.term)?.said())
            }
            Deed::Export { .. } => Ok(Vec::new()),
        }
    }
}

/// Who signs with a key, as the log knows them. Nobody else can write anything, so it is asked before anything is shown.
fn signer(source: &Source, key: &PathBuf) -> Result<String, Failure> {
    let Source::Log(dir) = source else {
        return Err(Failure::new("nothing is written into a bundle")
            .hint("leave `--key` away, or name the log"));
    };
    approve::outside_a_cell()?;
    let (_, human) = approve::find_key(Some(key))?;
    let reader = place::reader(dir)?;
    let enrolled = Enrolled::read(&View::new(&reader)?)?;
    match enrolled.signer(&human.fingerprint()) {
        Some(signer) => Ok(crate::term::safe(signer.holder.as_str()).into_owned()),
        None => {
            Err(Failure::new("this key is nobody's in the log")
                .hint("`tacho approver add` enrols it"))
        }
    }
}

/// How the log is called: its directory's own name.
fn name(path: &std::path::Path) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    crate::term::safe(&name.unwrap_or_else(|| path.display().to_string())).into_owned()
}

/// The command that opens the same log.
fn command(args: &Args, path: &std::path::Path) -> String {
    match (&args.directory, std::env::var_os("TACHO_LOG")) {
        (None, None) => "tacho view".to_owned(),
        _ => format!(
            "tacho view '{}'",
            path.display().to_string().replace('\'', "'\\''")
        ),
    }
}

fn theme(args: &Args, is_plain: bool) -> Theme {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    match (args.theme.as_deref().and_then(Theme::from_name), no_colour) {
        (Some(theme), _) => theme,
        (None, true) => Theme::Mono,
        (None, false) if is_plain => Theme::Mono,
        (None, false) => term::guess_theme(),
    }
}

fn keys(args: &Args) -> Result<Keymap, Failure> {
    let path = match &args.keys {
        Some(path) => path.clone(),
        None => {
            let path = place::settings("view.toml")?;
            if !path.exists() {
                return Ok(Keymap::default());
            }
            path
        }
    };
    let bytes = place::read(&path)?;
    let text = String::from_utf8_lossy(&bytes);
    Keymap::parse(&text).map_err(|why| Failure::new(format!("in `{}`: {why}", path.display())))
}
