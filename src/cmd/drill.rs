//! `tacho drill`: does the off switch work, today, on this machine?

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tacho_recorder::draft::Way;
use tacho_recorder::run::card::Ended;
use tacho_recorder::run::{self, Bind, Card, Duty, How, Level, Plan, Reach, Setup, Streams, tree};
use tacho_recorder::switch::{Switch, Target, acts};
use tacho_schemas::Origin;
use tacho_schemas::body::work::Stop;

use crate::keep::Keeper;
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Term, Tone, safe};

/// Try the off switch on a scratch cell
///
/// Starts a cell with processes that fork, hide in sessions of their own, ignore SIGTERM and stand still, orders a kill of it with a
/// switch of its own, and counts who lives on. Nobody else is touched. The result is recorded.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tacho drill\n  tacho drill --within 1s --json")]
pub(crate) struct Args {
    /// How many processes the scratch cell holds
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=512))]
    processes: u16,

    /// How long a kill may take
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = place::duration)]
    within: Duration,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What a drill measured, in ns after the order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drilled {
    pub(crate) t_order: u64,
    /// The flag was durable.
    pub(crate) flag: u64,
    /// A question to the switch was answered with a stop.
    pub(crate) seen: u64,
    /// Nothing ran any more.
    pub(crate) empty: u64,
    pub(crate) ended: Ended,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let level = Reach::find(&place::exe()?).level;
    let drilled = drill(level, u64::from(args.processes), &std::env::temp_dir())?;
    let within = u64::try_from(args.within.as_nanos()).unwrap_or(u64::MAX);
    let passed = drilled.ended.survivors == 0 && drilled.empty <= within;
    let stop = Stop {
        t_order: drilled.t_order,
        t_empty: Some(drilled.t_order.saturating_add(drilled.empty)),
        processes: Some(drilled.ended.processes),
        survivors: drilled.ended.survivors,
    };
    let ms = |ns: u64| Duration::from_nanos(ns).as_secs_f64() * 1000.0;
    let detail = format!(
        "flag durable after {:.2} ms, next question stopped after {:.2} ms, empty after {:.2} ms, allowed {} ms",
        ms(drilled.flag),
        ms(drilled.seen),
        ms(drilled.empty),
        args.within.as_millis()
    );
    let keeper = Keeper::open(place)?;
    let seq = keeper.append(acts::drill(level, stop, passed, &detail)?, Way::recorder())?;
    keeper.close()?;
    if args.json {
        term.line(serde_json::json!({
            "passed": passed, "level": level, "flag_ms": ms(drilled.flag), "decide_ms": ms(drilled.seen), "empty_ms": ms(drilled.empty),
            "processes": drilled.ended.processes, "survivors": drilled.ended.survivors, "record": seq.0,
        }).to_string())?;
    } else {
        let word = if passed {
            term.paint(Tone::Good, "passed")
        } else {
            term.paint(Tone::Bad, "FAILED")
        };
        term.line(format!(
            "{word}: {} processes, {} live on; record {seq}",
            drilled.ended.processes, drilled.ended.survivors
        ))?;
        term.line(format!("  {detail}"))?;
        if let Some(warning) = level.warning() {
            term.note(safe(warning));
        }
    }
    Ok(if passed { Exit::Done } else { Exit::Negative })
}

/// A folder that goes with the drill.
struct Scratch(PathBuf);

impl Scratch {
    fn new(at: &Path) -> Result<Self, Failure> {
        let mut name = [0; 8];
        place::random(&mut name)?;
        let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = at.join(format!("tacho-drill-{hex}"));
        place::make_private(&path)?;
        let path = std::fs::canonicalize(&path).map_err(|e| Failure::new(place::plain(&e)))?;
        Ok(Self(path))
    }

    fn below(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.0.join(name);
        place::make_private(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed from a temporary folder, its cleaner takes.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A tree of so many: children and grandchildren, some deaf to SIGTERM, one in a session of its own, one stopped.
fn tree_of(processes: u64) -> String {
    let plain = processes.saturating_sub(5);
    format!(
        "i=0; while [ $i -lt {plain} ]; do (trap '' TERM; sleep 600) & i=$((i+1)); done; \
         setsid sleep 600 & (setsid sh -c 'sleep 600 & sleep 600' &) ; sleep 600 & kill -STOP $!; trap '' TERM HUP INT; sleep 600"
    )
}

/// Makes a scratch cell with a switch of its own, fills it, and kills it.
pub(crate) fn drill(level: Level, processes: u64, at: &Path) -> Result<Drilled, Failure> {
    let scratch = Scratch::new(at)?;
    let workspace = scratch.below("workspace")?;
    let mut id = [0; 16];
    place::random(&mut id)?;
    let origin = Origin::from_parts("tacho.invalid", id)?;
    let switch = Switch::of(&scratch.0.join("log"), origin.clone());
    switch.create()?;
    let plan = Plan {
        argv: vec!["/bin/sh".into(), "-c".into(), tree_of(processes).into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: workspace.clone(),
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        exe: place::exe()?,
        binds: vec![Bind {
            path: workspace,
            how: How::Write,
        }],
        managed: Vec::new(),
        switch: switch.dir().to_owned(),
        door: None,
        supervisor: std::process::id(),
    };
    let duty = Duty {
        origin,
        agent: None,
        sessions: Vec::new(),
        lineages: Vec::new(),
        epoch: 0,
        leased: false,
    };
    let setup = Setup {
        plan,
        level,
        duty,
        switch: switch.clone(),
    };
    let null = || -> Result<std::os::fd::OwnedFd, Failure> {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null");
        Ok(file.map_err(|e| Failure::new(place::plain(&e)))?.into())
    };
    let streams = Streams {
        fds: [null()?, null()?, null()?],
    };
    let killer = {
        let switch = switch.clone();
        std::thread::spawn(move || order(&switch, processes))
    };
    // This thread starts the cell and must outlive it: the cell's processes die with the thread that started them.
    let end = run::run(&setup, streams, &mut |_| {});
    let drilled = killer
        .join()
        .map_err(|_| Failure::new("the drill broke off"))?;
    end?;
    drilled
}

/// Waits until the tree stands, then orders.
fn order(switch: &Switch, processes: u64) -> Result<Drilled, Failure> {
    let began = Instant::now();
    let card = loop {
        let full =
            |card: &Card| u64::try_from(tree::below(card.init).len()).is_ok_and(|n| n >= processes);
        if let Some(card) = Card::all(switch.dir()).into_iter().find(full) {
            break card;
        }
        if began.elapsed() > Duration::from_secs(20) {
            // Ends whatever came up.
            switch.engage(&Target::All)?;
            return Err(Failure::new("the scratch cell did not fill in time"));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let before = tree::below(card.init);
    let t_order = place::boottime()?;
    let held = card.hold();
    let flagged = switch.flag(&Target::All);
    let stops = switch.engaged_for(&Target::All).is_yes();
    let seen = place::boottime()?.saturating_sub(t_order);
    // The disk and the processes do not wait for each other.
    let (ended, empty, synced, flag) = std::thread::scope(|scope| {
        let synced = scope.spawn(|| (switch.sync(), place::boottime()));
        let ended = held.map(|held| held.end()).unwrap_or_default();
        let empty = place::boottime();
        let (synced, flag) = synced
            .join()
            .map_err(|_| Failure::new("the drill broke off"))?;
        Ok::<_, Failure>((ended, empty?, synced, flag?))
    })?;
    let mut ended = ended;
    let empty = empty.saturating_sub(t_order);
    let flag = flag.saturating_sub(t_order);
    // The supervisor ends the cell too, and whoever comes second finds nobody to count.
    let all = u64::try_from(before.len())
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    ended.processes = ended.processes.max(all);
    let left = before.into_iter().filter(|p| p.lives()).count();
    ended.survivors = ended.survivors.max(u64::try_from(left).unwrap_or(u64::MAX));
    flagged?;
    synced?;
    if !stops {
        return Err(Failure::new(
            "the switch was engaged and says that it is not",
        ));
    }
    Ok(Drilled {
        t_order,
        flag,
        seen,
        empty,
        ended,
    })
}
