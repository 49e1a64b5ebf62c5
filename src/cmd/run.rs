//! `tacho run`: an agent in its cell, from the first record to the last.

mod gate;

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use tacho_recorder::run::plan::{self, Home};
use tacho_recorder::run::{self, Bind, Duty, End, How, Level, Plan, Reach, Setup, Streams};
use tacho_recorder::switch::{Engaged, Switch};

use tacho_schemas::Id;

use self::gate::Session;
use crate::cmd::serve;
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Run an agent in a cell
///
/// The agent sees the system read-only, your home read-only and without your credentials, and its workspace, the current folder. The
/// log, its keys and the policy are not there. `tacho kill` ends it with everything that it started. Exits as the agent does; 125 if
/// no cell could be made, 137 if it was killed.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tacho run -- claude\n  tacho run --name fixer --write ../library -- codex exec 'fix the tests'"
)]
pub(crate) struct Args {
    /// The agent's id in the log [default: the command's name]
    #[arg(long, value_name = "ID")]
    name: Option<String>,

    /// Start the gate with this preset, if none runs: observe, solo, standard or strict
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,

    /// Sign for this preset in the place of the policy in force: your key, or its .pub where an ssh-agent has it
    #[arg(long, value_name = "FILE", requires = "preset")]
    key: Option<PathBuf>,

    /// Let it run only while somebody renews a lease for it (`tacho lease`)
    #[arg(long)]
    leased: bool,

    /// Show the agent another folder, read-only; repeatable
    #[arg(long, value_name = "DIR")]
    read: Vec<PathBuf>,

    /// Let the agent change another folder; repeatable
    #[arg(long, value_name = "DIR")]
    write: Vec<PathBuf>,

    /// Keep another variable of the environment; repeatable
    #[arg(long, value_name = "NAME")]
    env: Vec<OsString>,

    /// Run on this level or not at all, and not on the highest that this machine has
    #[arg(long, value_enum, value_name = "LEVEL")]
    level: Option<Asked>,

    /// The agent's command
    #[arg(last = true, required = true, value_name = "AGENT")]
    argv: Vec<OsString>,
}

/// A level, as people name it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Asked {
    /// Namespaces of its own
    Cell,
    /// Landlock rules
    Landlock,
    /// A process tree that can be ended, nothing more
    ProcessGroup,
}

impl Asked {
    fn level(self) -> Level {
        match self {
            Self::Cell => Level::Cell,
            Self::Landlock => Level::Landlock,
            Self::ProcessGroup => Level::ProcessGroup,
        }
    }
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    match start(args, place, term) {
        Ok(exit) => Ok(exit),
        Err(failure) => {
            let _ = term.fail(&failure);
            Ok(Exit::Code(125))
        }
    }
}

fn start(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    if std::env::var_os("HOME").is_some() && Path::new(plan::INSIDE).exists() {
        return Err(Failure::new("this is a cell already").hint("start agents from outside"));
    }
    make_log(place, term)?;
    let dir = place.open_to_read()?;
    let origin = place::origin(&dir)?;
    let switch = Switch::of(dir.path(), origin.clone());
    let agent = name(args)?;
    let level = level(args, term)?;
    let mut duty = Duty {
        origin,
        agent: Some(agent.clone()),
        sessions: Vec::new(),
        lineages: Vec::new(),
        epoch: 0,
        leased: args.leased,
    };
    duty.epoch = match switch.engaged(duty.who()) {
        Engaged::No { epoch } => epoch,
        Engaged::Yes(stop) => {
            return Err(Failure::new(stop.to_string())
                .hint("`tacho status` shows it, `tacho release` ends it"));
        }
    };
    let mut plan = plan(args, place, &switch, dir.path())?;
    if level == Level::Cell {
        plan.managed = Session::managed(place)?;
    } else {
        term.note("the hook is not wired on this level: `tacho hook install` does that in the agent's own settings");
    }
    if let (Some(key), Some(preset)) = (&args.key, &args.preset) {
        serve::sign_for(key, &serve::preset(preset)?, place, term)?;
    }
    let session = Session::open(
        place,
        &agent,
        &args.argv,
        &plan.cwd,
        level,
        args.preset.as_deref(),
        term,
    )?;
    duty.sessions.push(session.seq);
    plan.door = Some(session.door.clone());
    let setup = Setup {
        plan,
        level,
        duty,
        switch,
    };
    let ended = inside(&setup, term);
    session.close(ended.as_ref().ok(), term);
    Ok(match ended? {
        End::Exited(code) => Exit::Code(u8::try_from(code & 0xff).unwrap_or(125)),
        End::Signalled(signal) => {
            Exit::Code(u8::try_from(signal.saturating_add(128) & 0xff).unwrap_or(125))
        }
        End::Stopped(stopped) => {
            let took =
                std::time::Duration::from_nanos(stopped.t_empty.saturating_sub(stopped.t_order));
            term.note(format!(
                "killed: {}; empty after {:.1} ms, {} live on",
                safe(&stopped.why.to_string()),
                took.as_secs_f64() * 1000.0,
                stopped.ended.survivors,
            ));
            Exit::Code(137)
        }
    })
}

/// Runs the agent on our own three streams.
fn inside(setup: &Setup, term: &mut Term) -> Result<End, Failure> {
    let taken = |e| {
        Failure::new(format!(
            "cannot take the standard streams: {}",
            place::plain(&e)
        ))
    };
    let streams = Streams {
        fds: [
            std::io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .map_err(taken)?,
            std::io::stdout()
                .as_fd()
                .try_clone_to_owned()
                .map_err(taken)?,
            std::io::stderr()
                .as_fd()
                .try_clone_to_owned()
                .map_err(taken)?,
        ],
    };
    Ok(run::run(setup, streams, &mut |text| term.note(safe(text)))?)
}

/// Makes the log of a newcomer; one that is there is left as it is.
fn make_log(place: &Place, term: &mut Term) -> Result<(), Failure> {
    let path = place.log()?;
    if path.is_symlink() || path.exists() {
        return Ok(());
    }
    let made = std::process::Command::new(place::exe()?)
        .arg("--log")
        .arg(&path)
        .arg("init")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .map_err(|e| Failure::new(format!("cannot make a log: {}", place::plain(&e))))?;
    if !made.success() {
        return Err(Failure::new("cannot make a log").hint("`tacho init` says why"));
    }
    term.note(format!(
        "made a log in `{}`; `tacho key show` names its keys",
        safe(&path.display().to_string())
    ));
    Ok(())
}

/// The agent's id: as given, or made of the command's name.
fn name(args: &Args) -> Result<Id, Failure> {
    let text = match &args.name {
        Some(name) => name.clone(),
        None => {
            let program = args
                .argv
                .first()
                .map(Path::new)
                .and_then(Path::file_name)
                .unwrap_or_default();
            let name: String = program
                .to_string_lossy()
                .chars()
                .filter(char::is_ascii_graphic)
                .take(64)
                .collect();
            if name.is_empty() {
                "agent".to_owned()
            } else {
                name
            }
        }
    };
    Id::new(text).map_err(|e| Failure::from(e).hint("name the agent with `--name ID`"))
}

/// The highest level that this machine has, said aloud where it is not the highest there is.
fn level(args: &Args, term: &mut Term) -> Result<Level, Failure> {
    let exe = place::exe()?;
    if let Some(asked) = args.level {
        let level = asked.level();
        warn(level, None, term);
        return Ok(level);
    }
    let reach = Reach::find(&exe);
    warn(reach.level, reach.why.as_deref(), term);
    if let Some(next) = &reach.next {
        term.note(format!("to reach a cell: {next}"));
    }
    Ok(reach.level)
}

fn warn(level: Level, why: Option<&str>, term: &mut Term) {
    if let Some(warning) = level.warning() {
        let text = term.paint(Tone::Bad, "NOT CONFINED AS DESIGNED");
        term.note(format!("{text}: {warning}"));
        if let Some(why) = why {
            term.note(format!("because: {}", safe(why)));
        }
    }
}

/// What the cell shows and what not.
fn plan(args: &Args, place: &Place, switch: &Switch, log: &Path) -> Result<Plan, Failure> {
    let real = |path: &Path| {
        std::fs::canonicalize(path).map_err(|e| {
            Failure::new(format!(
                "cannot open `{}`: {}",
                safe(&path.display().to_string()),
                place::plain(&e)
            ))
        })
    };
    let cwd = real(Path::new("."))?;
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute());
    // Ours first and whatever else is asked for: a workspace in the same place is then refused, and does not take it away.
    let mut binds = Vec::new();
    let ours = [log.to_owned(), switch.dir().to_owned()].into_iter();
    for path in ours.chain(place.hidden()?) {
        if let Ok(path) = std::fs::canonicalize(path) {
            binds.push(Bind {
                path,
                how: How::Hide,
            });
        }
    }
    let hidden = binds.len();
    let mut add = |path: PathBuf, how: How| {
        if !binds.iter().skip(hidden).any(|bind| bind.path == path) {
            binds.push(Bind { path, how });
        }
    };
    let written = args
        .write
        .iter()
        .map(|path| real(path))
        .collect::<Result<Vec<_>, _>>()?;
    add(cwd.clone(), How::Write);
    for path in &written {
        add(path.clone(), How::Write);
    }
    for path in &args.read {
        add(real(path)?, How::Read);
    }
    if let Some(home) = home
        .and_then(|home| std::fs::canonicalize(home).ok())
        .filter(|home| home != Path::new("/"))
    {
        for (names, how) in [
            (Home::HIDDEN, How::Hide),
            (Home::SCRATCH, How::Scratch),
            (Home::WRITE, How::Write),
        ] {
            for name in names {
                let path = home.join(name);
                // A link leads to what is shown or hidden where it lies.
                if std::fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_symlink()) {
                    add(path, how);
                }
            }
        }
        let writes: Vec<PathBuf> = std::iter::once(&cwd).chain(&written).cloned().collect();
        for path in sockets(&home) {
            // What lies in the workspace is the agent's own.
            if !writes.iter().any(|write| path.starts_with(write)) {
                add(path, How::Hide);
            }
        }
        add(home, How::Read);
    }
    let plan = Plan {
        argv: args.argv.clone(),
        env: plan::environment(std::env::vars_os(), &args.env),
        cwd,
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        exe: place::exe()?,
        binds,
        managed: Vec::new(),
        switch: switch.dir().to_owned(),
        door: None,
        supervisor: std::process::id(),
    };
    plan.check()?;
    Ok(plan)
}

/// How deep a home is searched for sockets, and how many names are looked at.
const DEEP: usize = 3;
const NAMES: usize = 20_000;

/// The sockets in a home: a read-only view does not keep anybody from connecting to them.
fn sockets(home: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::FileTypeExt as _;
    let (mut found, mut seen, mut next) = (Vec::new(), 0, vec![(home.to_owned(), 0)]);
    while let Some((dir, depth)) = next.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            seen += 1;
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_socket() {
                found.push(entry.path());
            } else if kind.is_dir() && depth < DEEP && seen < NAMES {
                next.push((entry.path(), depth + 1));
            }
        }
    }
    found
}
