//! The threads that read the log, so that the screen never waits.
//!
//! One gives rows by number, tells how many there are, and nothing else; it holds a moment of the log as long as it is busy. The
//! other has the index: it answers what needs thought, follows the log, and takes in a little more between two questions. However
//! far behind the index is, a new record is on the screen at once. A third one verifies, when asked.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tacho_recorder::audit::{Question, audit};
use tacho_recorder::export::bundle::{self, Opened};
use tacho_recorder::filter::Filter;
use tacho_recorder::index::Index;
use tacho_recorder::read::View;
use tacho_recorder::store::Still;
use tacho_recorder::{Clock, Error, ErrorKind, LogDir, Reader};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::Anchor;

use crate::answer;
use crate::app::{Event, Source, WorkerNews};
use crate::ask::{Answer, Ask, News, Reply, Slot, Trouble, Verification};

/// How often the index looks for new records, and a log that cannot be opened is tried again.
const EVERY: Duration = Duration::from_millis(200);

/// How often it is looked how many records there are: a new one shall be on the screen within 250 ms.
const LOOK: Duration = Duration::from_millis(100);

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
    pub(crate) source: Source,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) trust: Option<(Fingerprint, Anchor)>,
    /// Of a log that is broken: how many records are proven, and what lay there when they were.
    pub(crate) proven: Option<(u64, Still)>,
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
    /// Starts the threads; what they find comes as events. A bundle is verified first, and one that does not verify is refused.
    pub(crate) fn start(setting: Setting, news: Sender<Event>) -> Result<Self, String> {
        let workers = Self {
            setting: setting.clone(),
            rows: Arc::default(),
            deep: Arc::default(),
            news: news.clone(),
        };
        let (desk, to) = (Arc::clone(&workers.deep), news.clone());
        let no_thread = |error| format!("cannot start the threads that read the log: {error}");
        match setting.source.clone() {
            Source::Bundle(path) => {
                let question = bundle::Question {
                    trust: setting.trust,
                    marks: Vec::new(),
                };
                let opened =
                    bundle::open(&path, &question, |_, _| ()).map_err(|error| {
                        match error.hint() {
                            Some(hint) => format!("{error}; {hint}"),
                            None => error.to_string(),
                        }
                    })?;
                let report = Box::new(opened.report.clone());
                tell(&news, News::Verification(Verification::Done(report), None));
                let mut opened = Some(opened);
                spawn("answers", move || {
                    // Nobody writes to what only we know: there is nothing to open anew.
                    let open = || Ok(opened.take());
                    forever(&to, open, |opened| match opened {
                        Some(opened) => of_bundle(opened, &desk, &setting, &to),
                        None => Ok(Closed),
                    });
                })
                .map_err(no_thread)?;
            }
            Source::Log(dir) => {
                if setting.proven.is_none() {
                    let (rows_desk, to, dir) =
                        (Arc::clone(&workers.rows), news.clone(), dir.clone());
                    spawn("rows", move || {
                        forever(
                            &to,
                            || Reader::open(&dir),
                            |reader| rows(&rows_desk, &reader, &to),
                        );
                    })
                    .map_err(no_thread)?;
                }
                spawn("answers", move || {
                    forever(
                        &to,
                        || open_log(&dir, &setting),
                        |(reader, index)| {
                            let place = answer::Place::Log(&dir);
                            deep(mind(reader, index, place, &setting), &desk, &to)
                        },
                    );
                })
                .map_err(no_thread)?;
            }
        }
        Ok(workers)
    }

    /// Shows what verification proved of a log that is broken.
    pub(crate) fn prove(&mut self, size: u64, before: Still) {
        let mut setting = self.setting.clone();
        setting.proven = Some((size, before));
        // Without threads what is on the screen stays, and what is wrong with the log with it.
        if let Ok(workers) = Self::start(setting, self.news.clone()) {
            *self = workers;
        }
    }

    /// Asks; an older question of the same sort is forgotten.
    pub(crate) fn ask(&self, number: u64, ask: Ask) {
        let whole = self.setting.proven.is_none() && !self.setting.source.is_bundle();
        match &ask {
            Ask::Rows(rows) if whole && rows.filter == Filter::Everything => {
                self.rows.put(number, ask);
            }
            _ => self.deep.put(number, ask),
        }
    }

    /// Verifies all of it, in the background.
    pub(crate) fn verify(&self) {
        let (setting, to) = (self.setting.clone(), self.news.clone());
        let started = spawn("verify", move || {
            let mut told = Instant::now();
            let progress = |done, all| {
                if told.elapsed() > Duration::from_millis(100) {
                    told = Instant::now();
                    let running = Verification::Running { done, all };
                    tell(&to, News::Verification(running, None));
                }
            };
            let (report, before) = match &setting.source {
                Source::Log(dir) => {
                    // Looked at first: what is proven is proven of what lay there then.
                    let before = Still::now(dir).ok();
                    let question = Question {
                        trust: setting.trust,
                        threads: 1,
                        ..Question::default()
                    };
                    (audit(dir, &question, progress), before)
                }
                Source::Bundle(path) => {
                    let question = bundle::Question {
                        trust: setting.trust,
                        marks: Vec::new(),
                    };
                    let report = bundle::verify(path, &question, progress);
                    (report.map(|(report, _)| report), None)
                }
            };
            let end = match report {
                Ok(report) => Verification::Done(Box::new(report)),
                Err(error) => Verification::Failed(Trouble::from(&error)),
            };
            tell(&to, News::Verification(end, before));
        });
        if let Err(error) = started {
            let what = format!("cannot start to verify: {error}");
            let failed = Verification::Failed(Trouble { what, next: None });
            tell(&self.news, News::Verification(failed, None));
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

/// Opens and works until nobody asks any more; a log that cannot be opened or read is told of and tried again.
fn forever<T>(
    to: &Sender<Event>,
    mut open: impl FnMut() -> Result<T, Error>,
    mut work: impl FnMut(T) -> Result<Closed, Error>,
) {
    let (mut told, mut locked) = (None, false);
    loop {
        match open() {
            Err(error) if error.kind() == ErrorKind::Busy => {
                if !locked {
                    locked = true;
                    tell(to, News::Locked);
                }
            }
            opened => {
                locked = false;
                match opened.and_then(&mut work) {
                    Ok(Closed) => return,
                    // Read without locks and somebody wrote, or a lock came: it is opened anew, which says so if it is locked.
                    Err(error) if error.kind() == ErrorKind::Busy => {}
                    Err(error) => {
                        let trouble = Trouble::from(&error);
                        if told.as_ref() != Some(&trouble) {
                            told = Some(trouble.clone());
                            tell(to, News::Trouble(trouble));
                        }
                    }
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
    tell(
        to,
        News::Reply(Reply {
            slot,
            number,
            answer,
            last: true,
        }),
    );
    Ok(())
}

fn rows(desk: &Desk, reader: &Reader, to: &Sender<Event>) -> Result<Closed, Error> {
    let mut view: Option<View<'_>> = None;
    let mut since = Instant::now();
    let mut known = None;
    let mut count = |size: u64| {
        if known != Some(size) {
            known = Some(size);
            tell(to, News::Size(size));
        }
    };
    loop {
        let patience = if view.is_some() { HELD } else { LOOK };
        let Ok(asked) = desk.take(patience) else {
            return Ok(Closed);
        };
        let Some((number, ask)) = asked else {
            view = None;
            match reader.snapshot().and_then(|now| now.last_seq()) {
                Ok(last) => count(last.map_or(0, |last| last.saturating_add(1))),
                Err(error) if error.kind() == ErrorKind::Busy => return Err(error),
                // What is wrong with the log as a whole, the one with the index tells.
                Err(_) => {}
            }
            continue;
        };
        if since.elapsed() > LOOK {
            view = None;
        }
        let view = match &view {
            Some(view) => view,
            None => {
                since = Instant::now();
                match View::new(reader) {
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
        // After the rows, which would be asked for anew otherwise.
        count(view.size());
    }
}

fn open_log(dir: &LogDir, setting: &Setting) -> Result<(Reader, Index), Error> {
    Ok(match &setting.proven {
        None => (Reader::open(dir)?, Index::open(dir)?),
        Some((size, before)) => (
            Reader::open_proven(dir, *size, before.clone())?,
            Index::apart("the log is broken, and it covers what is proven")?,
        ),
    })
}

fn mind<'a>(
    reader: Reader,
    index: Index,
    place: answer::Place<'a>,
    setting: &'a Setting,
) -> answer::Mind<'a> {
    answer::Mind {
        index,
        reader,
        place,
        proven: setting.proven.as_ref().map(|(size, _)| *size),
        clock: &*setting.clock,
        paint: None,
    }
}

fn of_bundle(
    opened: Opened,
    desk: &Desk,
    setting: &Setting,
    to: &Sender<Event>,
) -> Result<Closed, Error> {
    let index = Index::apart("it covers what the bundle shows")?;
    let place = answer::Place::Bundle(&opened.told, opened.shown);
    deep(mind(opened.reader, index, place, setting), desk, to)
}

fn deep(mut mind: answer::Mind<'_>, desk: &Desk, to: &Sender<Event>) -> Result<Closed, Error> {
    // The index has a beginning before anything is asked of it.
    let (first, mut behind) = mind.follow(None)?;
    tell(to, News::Standing(first.clone()));
    let mut standing = Some(first);
    loop {
        let patience = if behind { Duration::ZERO } else { EVERY };
        match desk.take(patience) {
            Err(Closed) => return Ok(Closed),
            Ok(Some((number, ask))) => {
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
                reply(desk, to, number, ask, found)?;
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
