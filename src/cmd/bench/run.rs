//! What a cell costs: a program that does nothing, and one that works on many files, inside and outside.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tacho_recorder::run::{Level, Reach};

use super::ground::Ground;
use super::stats::{median, millis};
use super::table::Row;
use crate::place;
use crate::term::{Failure, Term};

/// How long a gate may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes, copies, reads, searches and removes thousands of small files, as builds and installers do.
const FILES: &str = "rm -rf b && mkdir b && cd b && i=0 && while [ $i -lt 40 ]; do mkdir d$i && j=0 && while [ $j -lt 40 ]; do \
echo \"$i $j and a line of text\" > d$i/f$j; j=$((j+1)); done; i=$((i+1)); done; for k in 1 2 3; do cp -r d* ../c$k 2>/dev/null || \
{ mkdir -p ../c$k && cp -r d* ../c$k; }; done; grep -rl 39 .. | wc -l; find .. -name 'f3*' | wc -l; cd .. && rm -rf b c1 c2 c3";

pub(super) fn measure(
    options: &super::Options,
    ground: &Ground,
    term: &mut Term,
) -> Result<Vec<Row>, Failure> {
    let rounds = if options.quick { 3 } else { 11 };
    let house = House::make(ground)?;
    let (mut bare, mut ours, mut outside, mut inside) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let progress = &mut term.progress("running");
        progress.show(round, rounds);
        bare.push(house.time(&["true"], false)?);
        ours.push(house.time(&["true"], true)?);
        outside.push(house.time(&["sh", "-c", FILES], false)?);
        inside.push(house.time(&["sh", "-c", FILES], true)?);
    }
    let level = house.level;
    drop(house);
    // The start of a run is its own row: here it would hide what files cost.
    let overhead = |(all, nothing): (&f64, &f64)| (all - nothing).max(0.0);
    let worked: Vec<f64> = inside.iter().zip(&ours).map(overhead).collect();
    let ratios: Vec<f64> = worked.iter().zip(&outside).map(|(i, o)| i / o).collect();
    Ok(vec![
        Row::against(
            format!("`tacho run -- true` with a gate that runs, p50 ({level:?})"),
            ("true p50", median(bare)),
            median(ours),
            "ms",
        ),
        Row::against(
            "8,000 small files made, copied, read and removed, p50",
            ("outside p50", median(outside)),
            median(worked),
            "ms",
        )
        .ratio(median(ratios)),
    ])
}

/// A home with a log, a gate and a workspace.
struct House {
    home: PathBuf,
    workspace: PathBuf,
    level: Level,
    gate: Option<Child>,
}

impl Drop for House {
    fn drop(&mut self) {
        let Some(mut gate) = self.gate.take() else {
            return;
        };
        if let Ok(pid) = i32::try_from(gate.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = gate.wait();
    }
}

impl House {
    fn make(ground: &Ground) -> Result<Self, Failure> {
        let home = ground.at("home");
        let workspace = home.join("work");
        place::make_private(&home)?;
        place::make_private(&workspace)?;
        let mut house = Self {
            home,
            workspace,
            level: Reach::find(&place::exe()?).level,
            gate: None,
        };
        house.done(&mut house.tacho(&["init"])?)?;
        let gate = house.quiet(&mut house.tacho(&["serve"])?).spawn();
        house.gate = Some(gate.map_err(|e| Failure::new(place::plain(&e)))?);
        let began = Instant::now();
        let socket = house.home.join("state/tachograph/default/reviewers.sock");
        while !socket.exists() {
            if began.elapsed() > PATIENCE {
                return Err(Failure::new("the gate did not start"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(house)
    }

    fn tacho(&self, args: &[&str]) -> Result<Command, Failure> {
        let mut command = Command::new(place::exe()?);
        command.args(args);
        Ok(command)
    }

    fn done(&self, command: &mut Command) -> Result<(), Failure> {
        let ran = self.quiet(command).status();
        match ran.map_err(|e| Failure::new(place::plain(&e)))?.success() {
            true => Ok(()),
            false => Err(Failure::new("a program of the benchmark failed")),
        }
    }

    fn quiet<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .current_dir(&self.workspace)
            .env("HOME", &self.home)
            .env("XDG_STATE_HOME", self.home.join("state"))
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .env_remove("TACHO_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
    }

    /// How long a program takes, in ms.
    fn time(&self, argv: &[&str], inside: bool) -> Result<f64, Failure> {
        let mut command = match (inside, argv) {
            (true, _) => self.tacho(&[&["run", "--"], argv].concat())?,
            (false, [program, rest @ ..]) => {
                let mut command = Command::new(program);
                command.args(rest);
                command
            }
            (false, []) => return Err(Failure::new("nothing to run")),
        };
        let began = Instant::now();
        self.done(&mut command)?;
        Ok(millis(began.elapsed()))
    }
}
