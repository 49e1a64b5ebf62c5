//! A harness calls: read, ask, answer, in one write and before any deadline of the harness.
//!
//! Ends with 0 and a document of the dialect, or with 2 and a reason on stderr, and nothing else: other codes, a signal, or an
//! answer cut short let most harnesses run the tool. So a signal is answered with a no, and a panic too.

use std::io::{self, Read as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tacho_recorder::hook::client::Hook;
use tacho_recorder::hook::{Agent, Answer, Ask, MAX_PAYLOAD, Moment, Output};

use super::Called;

/// How long the harness may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(20);

/// What happens while we wait.
enum News {
    /// The harness's words were read.
    Asked(Box<Ask>),
    /// There is an answer.
    Answered(Answer),
    /// They could not be read.
    Refused(String),
    /// Somebody wants us to end.
    Signal,
}

/// Answers, and returns the exit code.
pub(super) fn run(called: &Called) -> u8 {
    let began = Instant::now();
    // Whatever a panic would print is no answer of ours.
    std::panic::set_hook(Box::new(|_| {}));
    let agent = called.agent;
    let hook = match called.hook() {
        Ok(hook) => hook,
        Err(reason) => return say(&agent.refuse(&reason)),
    };
    // Before anything else, and without a gate.
    let stopped = hook.stopped();
    let (send, news) = mpsc::channel();
    if listen(&send).is_err() {
        return say(&agent.refuse("tachograph denies this: it cannot hear signals"));
    }
    let worker = {
        let hook = hook.clone();
        move || work(&hook, stopped, &send, began)
    };
    if thread::Builder::new().spawn(worker).is_err() {
        return say(&agent.refuse("tachograph denies this: the system gives no threads"));
    }
    let mut asked: Option<Box<Ask>> = None;
    let mut until = PATIENCE;
    loop {
        let answer = match news.recv_timeout(until.saturating_sub(began.elapsed())) {
            Ok(News::Asked(ask)) => {
                until = hook.deadline(ask.moment);
                asked = Some(ask);
                continue;
            }
            Ok(News::Answered(answer)) => answer,
            Ok(News::Refused(reason)) => return say(&agent.refuse(&reason)),
            Ok(News::Signal) => Answer::deny(
                "tachograph denies this: the hook was told to end before there was an answer",
            ),
            Err(RecvTimeoutError::Timeout) => {
                Answer::deny("tachograph denies this: there was no answer in time")
            }
            Err(RecvTimeoutError::Disconnected) => {
                Answer::deny("tachograph denies this: the hook failed within")
            }
        };
        return say(&match &asked {
            Some(ask) => agent.answer(ask, &answer),
            None => agent.refuse(reason(&answer)),
        });
    }
}

/// The command in the settings is not what we understand.
pub(super) fn misused(error: &str) -> u8 {
    let first = error.lines().next().unwrap_or_default();
    say(&Output::refusal(&format!(
        "tachograph denies this: its hook is not installed properly ({first}); run `tacho hook install`"
    )))
}

fn reason(answer: &Answer) -> &str {
    match answer {
        Answer::Deny { reason, .. } => reason,
        Answer::Allow { .. } => "tachograph denies this",
    }
}

/// Hears of signals that would end us without an answer.
fn listen(send: &Sender<News>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let send = send.clone();
    thread::Builder::new().spawn(move || {
        for _ in signals.forever() {
            // Nobody listens any more when the answer is out.
            if send.send(News::Signal).is_err() {
                break;
            }
        }
    })?;
    Ok(())
}

/// The waiting, on a thread of its own: a panic in it, or an end without an answer, is heard as a hang-up.
fn work(hook: &Hook, stopped: Option<String>, send: &Sender<News>, began: Instant) {
    let tell = |news| {
        // If nobody listens, the answer is out.
        let _ = send.send(news);
    };
    let ask = match read(hook.agent) {
        Ok(ask) => ask,
        Err(why) => {
            let reason = stopped.unwrap_or(why);
            return tell(News::Refused(reason));
        }
    };
    tell(News::Asked(Box::new(ask.clone())));
    if let Some(reason) = stopped {
        // What has happened is told all the same: a switch stops actions, not their record.
        if ask.moment != Moment::Before {
            let _ = hook.ask(&ask, began);
        }
        return tell(News::Answered(Answer::Deny { reason, stop: true }));
    }
    tell(News::Answered(hook.ask(&ask, began)));
}

fn read(agent: Agent) -> Result<Ask, String> {
    let mut bytes = Vec::with_capacity(16 << 10);
    let most = u64::try_from(MAX_PAYLOAD)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    match io::stdin().lock().take(most).read_to_end(&mut bytes) {
        Ok(_) => agent.parse(&bytes).map_err(|refusal| refusal.to_string()),
        Err(_) => Err("tachograph denies this: what the harness sent cannot be read".to_owned()),
    }
}

/// Writes the answer in one write; what cannot be written whole is a no by exit code.
fn say(output: &Output) -> u8 {
    if output.exit == 0 {
        let whole = output.stdout.is_empty()
            || !is_nowhere()
                && nix::unistd::write(io::stdout(), &output.stdout)
                    .is_ok_and(|written| written == output.stdout.len());
        if whole {
            return 0;
        }
        // Whoever can no longer hear us may still look at how we end.
        let _ =
            io::stderr().write_all(b"tachograph denies this: the answer could not be written\n");
        return 2;
    }
    let _ = io::stderr().write_all(output.stderr.as_bytes());
    output.exit
}

/// Whether what we say goes nowhere: a stdout that was closed is opened on `/dev/null` before `main`.
fn is_nowhere() -> bool {
    let null = nix::sys::stat::makedev(1, 3);
    nix::sys::stat::fstat(io::stdout()).is_ok_and(|stdout| stdout.st_rdev == null)
}
