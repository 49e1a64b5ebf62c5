//! `tacho view`: look at a log.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::signal::{Signal, raise};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;
use tacho_recorder::{LogDir, Reader, SystemClock};
use tacho_schemas::verify::Anchor;
use tacho_viewer::{App, Event, Keymap, Options, Screen, Theme, plain, term};

use crate::cmd::verify::pinned;
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term};

/// Look at a log: replay and explain it, in the terminal
///
/// Reads only; nothing is written but the index beside the log. Seven screens are lenses on one record: timeline, explain, diff,
/// lineage, replay, inbox, health. `?` shows all keys, `q` leaves. What somebody says stands behind a bar (┃); text that an agent
/// wrote never reaches your terminal unescaped. Where stdout is no terminal, and with --plain, the same answers come as lines.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho view\n  tacho view ./log --filter 'kind:mutation since:1d'\n  tacho view --screen explain --seq 31\n  tacho view --screen health --plain"
)]
pub(crate) struct Args {
    /// The log's directory, like --log
    #[arg(value_name = "LOG")]
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
    let dir = LogDir::open_to_read(&path)?;
    if !dir.database().exists() {
        return Err(place::nowhere(dir.path()));
    }
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let is_plain = args.plain || dumb || !std::io::stdout().is_terminal();
    let options = Options {
        trust: pinned(&Reader::open(&dir).ok()).map(|key| (key, Anchor::Pinned)),
        name: name(&path),
        command: command(args, &path),
        dir,
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
    let shown = term::run(&mut app, &mut || {
        // The shell wakes us; if we cannot be stopped, we go on.
        let _ = raise(Signal::SIGTSTP);
    });
    shown.map_err(|e| Failure::new(format!("the terminal failed: {}", place::plain(&e))))?;
    Ok(Exit::Done)
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
