//! The threads that read the log, so that the screen never waits.
//!
//! One gives rows by number and nothing else, and holds a moment of the log as long as it is busy. The other has the index: it
//! answers what needs thought, follows the log, and takes in a little more between two questions. A third one verifies, when asked.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tacho_recorder::audit::{Question, audit};
use tacho_recorder::filter::Filter;
use tacho_recorder::index::Index;
use tacho_recorder::read::View;
use tacho_recorder::{Clock, Error, ErrorKind, LogDir, Reader};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::Anchor;

use crate::answer;
use crate::app::{Event, WorkerNews};
use crate::ask::{Answer, Ask, News, Reply, Slot, Trouble, Verification};

/// How often a log is looked at for new records.
const EVERY: Duration = Duration::from_millis(200);

/// A moment of the log is held no longer than this between two questions: the writer's WAL grows meanwhile.
const HELD: Duration = Duration::from_millis(50);

/// Where questions wait for a thread.
#[derive(Debug, Default)]
struct Desk {
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    asks: BTreeMap<Slot, (u64, Ask)>,
    closed: bool,
}

impl Desk {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A thread that panicked held no half-made state here.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, number: u64, ask: Ask) {
        self.waiting().asks.insert(ask.slot(), (number, ask));
        self.bell.notify_one();
    }

    /// Puts back what is not finished, unless something newer waits there.
    fn put_back(&self, number: u64, ask: Ask) {
        self.waiting()
            .asks
            .entry(ask.slot())
            .or_insert((number, ask));
    }

    fn close(&self) {
        self.waiting().closed = true;
        self.bell.notify_all();
    }

    /// The most urgent question, or none within a time; an error once nobody asks any more.
    fn take(&self, patience: Duration) -> Result<Option<(u64, Ask)>, Closed> {
        let until = Instant::now() + patience;
        let mut waiting = self.waiting();
        loop {
            if waiting.closed {
                return Err(Closed);
            }
            if let Some((_, found)) = waiting.asks.pop_first() {
                return Ok(Some(found));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let waited = self.bell.wait_timeout(waiting, left);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Nobody asks any more.
struct Closed;

/// What the threads need to know.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) dir: LogDir,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) trust: Option<(Fingerprint, Anchor)>,
}

/// The threads behind a screen; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Workers {
    setting: Setting,
    rows: Arc<Desk>,
    deep: Arc<Desk>,
    news: Sender<Event>,
}

impl Workers {
    /// Starts the threads; what they find comes as events.
    pub(crate) fn start(setting: Setting, news: Sender<Event>) -> std::io::Result<Self> {
        let workers = Self {
            setting: setting.clone(),
            rows: Arc::default(),
            deep: Arc::default(),
            news: news.clone(),
        };
        let (desk, to, dir) = (Arc::clone(&workers.rows), news.clone(), setting.dir.clone());
        spawn("rows", move || forever(&to, || rows(&desk, &dir, &to)))?;
        let (desk, to) = (Arc::clone(&workers.deep), news);
        spawn("answers", move || {
            forever(&to, || deep(&desk, &setting, &to))
        })?;
        Ok(workers)
    }

    /// Asks; an older question of the same sort is forgotten.
    pub(crate) fn ask(&self, number: u64, ask: Ask) {
        match &ask {
            Ask::Rows(rows) if rows.filter == Filter::Everything => self.rows.put(number, ask),
            _ => self.deep.put(number, ask),
        }
    }

    /// Verifies the whole log, in the background.
    pub(crate) fn verify(&self) {
        let (setting, to) = (self.setting.clone(), self.news.clone());
        let started = spawn("verify", move || {
            let question = Question {
                trust: setting.trust,
                threads: 1,
                ..Question::default()
            };
            let mut told = Instant::now();
            let report = audit(&setting.dir, &question, |done, all| {
                if told.elapsed() > Duration::from_millis(100) {
                    told = Instant::now();
                    tell(&to, News::Verification(Verification::Running { done, all }));
                }
            });
            let end = match report {
                Ok(report) => Verification::Done(Box::new(report)),
                Err(error) => Verification::Failed(Trouble::from(&error)),
            };
            tell(&to, News::Verification(end));
        });
        if let Err(error) = started {
            let what = format!("cannot start to verify: {error}");
            let failed = Verification::Failed(Trouble { what, next: None });
            tell(&self.news, News::Verification(failed));
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.rows.close();
        self.deep.close();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let made = thread::Builder::new().name(name.to_owned()).spawn(work);
    made.map(drop)
}

fn tell(to: &Sender<Event>, news: News) {
    // If the screen is gone, so is the reason to tell it.
    let _ = to.send(Event::News(WorkerNews(news)));
}

/// Works until nobody asks any more; a log that cannot be opened is told of and tried again.
fn forever(to: &Sender<Event>, mut work: impl FnMut() -> Result<Closed, Error>) {
    let mut told = None;
    loop {
        match work() {
            Ok(Closed) => return,
            // Read without locks, and somebody wrote: it is opened anew at once.
            Err(error) if error.kind() == ErrorKind::Busy => {}
            Err(error) => {
                let trouble = Trouble::from(&error);
                if told.as_ref() != Some(&trouble) {
                    told = Some(trouble.clone());
                    tell(to, News::Trouble(trouble));
                }
            }
        }
        thread::sleep(EVERY);
    }
}

/// Answers one question; what goes wrong with it is its answer, except what concerns the log as a whole.
fn reply(
    desk: &Desk,
    to: &Sender<Event>,
    number: u64,
    ask: Ask,
    found: Result<Answer, Error>,
) -> Result<(), Error> {
    let slot = ask.slot();
    let answer = match found {
        Ok(answer) => answer,
        Err(error) if error.kind() == ErrorKind::Busy => {
            desk.put_back(number, ask);
            return Err(error);
        }
        Err(error) => Answer::Failed(Trouble::from(&error)),
    };
    let last = !matches!(answer, Answer::Count { done: false, .. });
    tell(
        to,
        News::Reply(Reply {
            slot,
            number,
            answer,
            last,
        }),
    );
    Ok(())
}

fn rows(desk: &Desk, dir: &LogDir, to: &Sender<Event>) -> Result<Closed, Error> {
    let reader = Reader::open(dir)?;
    let mut view: Option<View<'_>> = None;
    let mut since = Instant::now();
    loop {
        let patience = if view.is_some() {
            HELD
        } else {
            Duration::from_secs(3600)
        };
        let Ok(asked) = desk.take(patience) else {
            return Ok(Closed);
        };
        let Some((number, ask)) = asked else {
            view = None;
            continue;
        };
        if since.elapsed() > EVERY {
            view = None;
        }
        let view = match &view {
            Some(view) => view,
            None => {
                since = Instant::now();
                match View::new(&reader) {
                    Ok(new) => view.insert(new),
                    Err(error) => {
                        reply(desk, to, number, ask, Err(error))?;
                        continue;
                    }
                }
            }
        };
        let found = match &ask {
            Ask::Rows(rows) => answer::rows::by_number(view, rows),
            _ => continue,
        };
        reply(desk, to, number, ask, found)?;
    }
}

fn deep(desk: &Desk, setting: &Setting, to: &Sender<Event>) -> Result<Closed, Error> {
    let reader = Reader::open(&setting.dir)?;
    let mut mind = answer::Mind {
        index: Index::open(&setting.dir)?,
        reader,
        dir: &setting.dir,
        clock: &*setting.clock,
        paint: None,
    };
    // The index has a beginning before anything is asked of it.
    let (first, mut behind) = mind.follow(None)?;
    tell(to, News::Standing(first.clone()));
    let mut standing = Some(first);
    loop {
        let patience = if behind { Duration::ZERO } else { EVERY };
        match desk.take(patience) {
            Err(Closed) => return Ok(Closed),
            Ok(Some((number, ask))) => {
                let count = ask.slot() == Slot::Count;
                let found = mind.answer(&ask, &mut |answer| {
                    let slot = ask.slot();
                    tell(
                        to,
                        News::Reply(Reply {
                            slot,
                            number,
                            answer,
                            last: false,
                        }),
                    );
                });
                if let (true, Ok((_, Some(more)))) = (count, &found) {
                    desk.put_back(number, more.clone());
                }
                reply(desk, to, number, ask, found.map(|(answer, _)| answer))?;
            }
            Ok(None) => {
                // Nothing is asked: look what is new.
                let (now, more) = mind.follow(standing.as_ref())?;
                behind = more;
                if standing.as_ref() != Some(&now) {
                    tell(to, News::Standing(now.clone()));
                    standing = Some(now);
                }
            }
        }
    }
}
