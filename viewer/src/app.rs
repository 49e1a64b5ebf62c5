//! The state of the viewer, and what an event does to it. Draws nothing, reads nothing: it asks the workers and hears from them.

mod go;
mod hear;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crossterm::event::{KeyEvent, KeyEventKind, MouseEvent};
use ratatui::layout::Rect;
use tacho_recorder::filter::Filter;
use tacho_recorder::{Clock, LogDir};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::Anchor;
use tacho_schemas::{Seq, Time};

use crate::answer::diff::Against;
use crate::ask::{Ask, CopyWhat, Count, News, Slot, Standing, Trouble, Verification};
use crate::deed::Deed;
use crate::keys::{Action, Chord, Keymap};
use crate::layer::Layer;
use crate::screen::diff::Diff;
use crate::screen::explain::Explain;
use crate::screen::health::HealthScreen;
use crate::screen::inbox::Inbox;
use crate::screen::lineage::{Lineage, Order};
use crate::screen::replay::Replay;
use crate::screen::timeline::Timeline;
use crate::theme::{ASCII, Glyphs, Theme, UNICODE};
use crate::worker::{Setting, Workers};

/// The smallest screen on which something can be shown.
pub(crate) const SMALLEST: (u16, u16) = (60, 16);

/// The lenses on one cursor.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Screen {
    /// All records.
    #[default]
    Timeline,
    /// Seven answers about one record.
    Explain,
    /// What changed.
    Diff,
    /// The graph of generations.
    Lineage,
    /// The world as of a record.
    Replay,
    /// What waits for humans.
    Inbox,
    /// Whether the log is whole.
    Health,
}

impl Screen {
    /// All screens, by their numbers.
    pub const ALL: [Self; 7] = [
        Self::Timeline,
        Self::Explain,
        Self::Diff,
        Self::Lineage,
        Self::Replay,
        Self::Inbox,
        Self::Health,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeline => "timeline",
            Self::Explain => "explain",
            Self::Diff => "diff",
            Self::Lineage => "lineage",
            Self::Replay => "replay",
            Self::Inbox => "inbox",
            Self::Health => "health",
        }
    }

    /// The screen of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|screen| screen.name() == name)
    }
}

/// What is looked at.
#[derive(Clone, Debug)]
pub enum Source {
    /// A log.
    Log(LogDir),
    /// A bundle of evidence; it needs no log.
    Bundle(PathBuf),
}

impl Source {
    pub(crate) fn is_bundle(&self) -> bool {
        matches!(self, Self::Bundle(_))
    }
}

/// What to show, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The log, or the bundle.
    pub source: Source,
    /// As whom holds can be answered and the off switch used; without a name nothing can be written.
    pub signer: Option<String>,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
    /// Whose log it should be, if that is known.
    pub trust: Option<(Fingerprint, Anchor)>,
    /// How the log is called in titles.
    pub name: String,
    /// The command that opens this log, for what is copied.
    pub command: String,
    /// Colours.
    pub theme: Theme,
    /// Only ASCII for signs.
    pub ascii: bool,
    /// Which keys do what.
    pub keys: Keymap,
    /// What to show first.
    pub screen: Screen,
    /// Only records that meet this.
    pub filter: String,
    /// The record to begin at; else the newest.
    pub seq: Option<u64>,
}

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A key.
    Key(KeyEvent),
    /// The mouse.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size, or was away.
    Resize,
    /// Time to end.
    Stop,
    /// A worker found something.
    News(WorkerNews),
}

/// What a worker found; made and read only here.
#[derive(Debug)]
pub struct WorkerNews(pub(crate) News);

/// What the terminal must do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Put this onto the clipboard.
    Copy(String),
    /// Have this done; [`App::done`] hears what came of it.
    Do(Deed),
    /// End.
    Quit,
    /// Draw everything anew.
    Redraw,
    /// Give the terminal back until somebody wakes us.
    Suspend,
}

/// Where somebody was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) screen: Screen,
    pub(crate) seq: Seq,
}

/// What a click at a place does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hit {
    Act(Action),
    /// Selects a record.
    Row(Seq),
    /// Opens a record.
    Link(Seq),
    /// Orders the generations.
    SortBy(Order),
    /// The scrub bar: from its first cell on.
    Scrub(u16, u16),
}

/// The viewer.
#[derive(Debug)]
pub struct App {
    pub(crate) options: Options,
    pub(crate) theme: Theme,
    pub(crate) glyphs: &'static Glyphs,
    workers: Workers,
    events: Receiver<Event>,
    to_events: Sender<Event>,
    number: u64,
    wanted: HashMap<Slot, u64>,
    pub(crate) effects: Vec<Effect>,

    pub(crate) screen: Screen,
    /// The record that all screens are about; beyond the end until the log is there.
    pub(crate) cursor: Seq,
    pub(crate) standing: Standing,
    pub(crate) known: bool,
    /// How many records there were when the index was followed last; the standing may count later ones.
    followed: u64,
    pub(crate) trouble: Option<Trouble>,
    /// The trouble is only that somebody holds the log locked.
    pub(crate) locked: bool,
    /// Why the log cannot be read, if only what is proven of it is shown.
    pub(crate) refused: Option<Trouble>,
    /// What is proven is being opened.
    proving: bool,
    pub(crate) verification: Verification,
    back: Vec<Place>,
    forward: Vec<Place>,
    pub(crate) markers: BTreeMap<char, Place>,
    /// Records that are marked to be exported.
    pub(crate) picked: BTreeSet<Seq>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) toast: Option<(String, Instant)>,
    pub(crate) hits: Vec<(Rect, Hit)>,

    pub(crate) filter_text: String,
    pub(crate) filter: Filter,
    /// How many records meet the filter, and whether all were counted.
    pub(crate) count: Option<Count>,
    /// What n and N go to, and how it is called.
    seek: Option<(Filter, String)>,

    pub(crate) timeline: Timeline,
    pub(crate) explain: Explain,
    pub(crate) diff: Diff,
    pub(crate) lineage: Lineage,
    pub(crate) replay: Replay,
    pub(crate) inbox: Inbox,
    pub(crate) health: HealthScreen,
}

/// How long a word at the bottom stays, at least.
const TOAST: Duration = Duration::from_secs(4);

impl App {
    /// Opens a log to look at it. Nothing is written, except the index beside the log.
    pub fn new(options: Options) -> Result<Self, String> {
        let filter = Filter::parse(&options.filter, Time(options.clock.wall_ns()))
            .map_err(|error| format!("in the filter: {error}"))?;
        let (to_events, events) = channel();
        let setting = Setting {
            source: options.source.clone(),
            clock: Arc::clone(&options.clock),
            trust: options.trust,
            proven: None,
        };
        let workers = Workers::start(setting, to_events.clone())?;
        let mut app = Self {
            theme: options.theme,
            glyphs: if options.ascii { &ASCII } else { &UNICODE },
            workers,
            events,
            to_events,
            number: 0,
            wanted: HashMap::new(),
            effects: Vec::new(),
            screen: options.screen,
            cursor: Seq(options.seq.unwrap_or(u64::MAX)),
            standing: Standing::default(),
            known: false,
            followed: 0,
            trouble: None,
            locked: false,
            refused: None,
            proving: false,
            verification: Verification::default(),
            back: Vec::new(),
            forward: Vec::new(),
            markers: BTreeMap::new(),
            picked: BTreeSet::new(),
            layers: Vec::new(),
            toast: None,
            hits: Vec::new(),
            filter_text: options.filter.clone(),
            filter,
            count: None,
            seek: None,
            timeline: Timeline::new(options.seq.is_none()),
            explain: Explain::default(),
            diff: Diff::default(),
            lineage: Lineage::default(),
            replay: Replay::default(),
            inbox: Inbox::default(),
            health: HealthScreen::default(),
            options,
        };
        app.ask_rows();
        if app.filter != Filter::Everything {
            app.ask_count();
        }
        app.enter(app.screen);
        Ok(app)
    }

    /// Where events are sent to.
    pub fn sender(&self) -> Sender<Event> {
        self.to_events.clone()
    }

    /// Waits for something to happen, handles it and all that has happened meanwhile; false if nothing did.
    pub fn wait(&mut self, patience: Duration) -> bool {
        let patience = self
            .replay
            .patience()
            .map_or(patience, |beat| beat.min(patience));
        let first = self.events.recv_timeout(patience).ok();
        let mut happened = first.is_some();
        if let Some(event) = first {
            self.handle(event);
        }
        // A burst is drawn once; a bound keeps the screen alive under a flood.
        for _ in 0..256 {
            let Ok(event) = self.events.try_recv() else {
                break;
            };
            self.handle(event);
        }
        happened |= self.beat();
        if self
            .toast
            .as_ref()
            .is_some_and(|(_, since)| since.elapsed() > TOAST)
        {
            self.toast = None;
            happened = true;
        }
        happened
    }

    /// Waits until every question has its answer and the index is complete, or the time is over; for tests, pictures and pipes.
    pub fn settle(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            let complete = self.known && self.standing.indexed == self.standing.size;
            let verified = !matches!(self.verification, Verification::Running { .. });
            let rows = self.timeline.window.is_some();
            // Of a log that cannot be read there are no answers.
            let answered = complete && rows && self.wanted.is_empty();
            if verified && !self.proving && (answered || self.trouble.is_some()) {
                return true;
            }
            if Instant::now() > until {
                return false;
            }
            self.wait(Duration::from_millis(20));
        }
    }

    /// Draws in other colours from here on.
    pub fn set_theme(&mut self, theme: Theme) {
        self.theme = theme;
    }

    /// What is asked and not answered, in a line.
    pub fn open_questions(&self) -> String {
        let mut open: Vec<String> = self.wanted.keys().map(|slot| format!("{slot:?}")).collect();
        open.sort();
        if let Verification::Running { done, all } = &self.verification {
            open.push(format!("verification at {done} of {all}"));
        }
        let Standing { size, indexed, .. } = &self.standing;
        open.push(format!("index at {indexed} of {size}"));
        open.join(", ")
    }

    /// What the terminal must do since this was asked last.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether something is sure to happen by itself soon: playing, or a word that goes away.
    pub fn is_moving(&self) -> bool {
        self.replay.is_playing() || self.toast.is_some()
    }

    /// The time, by the clock of the options.
    pub(crate) fn now(&self) -> Time {
        Time(self.options.clock.wall_ns())
    }

    /// Handles one event.
    pub fn handle(&mut self, event: Event) {
        match event {
            Event::Key(key) if key.kind == KeyEventKind::Release => return,
            Event::Key(key) => self.key(key),
            Event::Mouse(mouse) => self.mouse(mouse),
            Event::Paste(text) => self.paste(&text),
            Event::Resize => self.effects.push(Effect::Redraw),
            Event::Stop => self.effects.push(Effect::Quit),
            Event::News(WorkerNews(news)) => self.news(news),
        }
        self.refresh();
    }

    fn key(&mut self, key: KeyEvent) {
        self.toast = None;
        if let Some(layer) = self.layers.pop() {
            return self.key_in(layer, key);
        }
        let Some(chord) = Chord::of(key) else { return };
        if let Some(action) = self.options.keys.action(chord, self.screen) {
            self.act(action);
        }
    }

    /// Does what a key, a click or the palette asks for.
    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::Quit => self.effects.push(Effect::Quit),
            Action::Redraw => self.effects.push(Effect::Redraw),
            Action::Suspend => self.effects.push(Effect::Suspend),
            Action::Show(screen) => self.show(screen),
            Action::Help => self.layers.push(Layer::help()),
            Action::Palette => self.layers.push(Layer::palette()),
            Action::Filter => self.layers.push(Layer::filter(&self.filter_text)),
            Action::Goto => self.layers.push(Layer::Goto(String::new())),
            Action::Copy => self.layers.push(Layer::Copy),
            Action::Mark => self.layers.push(Layer::Mark),
            Action::JumpMark => self.layers.push(Layer::JumpMark),
            Action::CopyId => self.copy(format!("#{}", self.cursor)),
            Action::CopyHash => self.ask(Ask::Copy(self.cursor, CopyWhat::Hash)),
            Action::CopyRecord => self.ask(Ask::Copy(self.cursor, CopyWhat::Record)),
            Action::CopyProof => self.copy(format!("tacho prove inclusion {}", self.cursor)),
            Action::CopyCommand => self.copy(self.command()),
            Action::Approve | Action::Deny | Action::Kill | Action::Release | Action::Export => {
                self.open_dialog(action);
            }
            Action::Pick => self.pick(),
            Action::Out => self.out(),
            Action::Back => self.travel(true),
            Action::Forward => self.travel(false),
            Action::Theme => {
                self.theme = self.theme.next();
                let name = Theme::ALL.iter().find(|(_, theme)| *theme == self.theme);
                self.say(format!("theme {}", name.map_or("", |(name, _)| name)));
            }
            Action::Verify => {
                self.verify();
                self.show(Screen::Health);
            }
            Action::Same => self.same(),
            Action::Next => self.seek(true),
            Action::Previous => self.seek(false),
            Action::Follow => {
                self.timeline.follow = !self.timeline.follow;
                if self.timeline.follow {
                    self.show(Screen::Timeline);
                    self.cursor = Seq(u64::MAX);
                    self.ask_rows();
                }
            }
            Action::Diff | Action::DiffRoot => {
                self.diff.against = match action {
                    Action::DiffRoot if self.screen == Screen::Diff => self.diff.against.next(),
                    Action::DiffRoot => Against::Root,
                    _ => Against::Parent,
                };
                self.show(Screen::Diff);
            }
            Action::Step => self.step(true),
            Action::StepBack => self.step(false),
            other => self.act_on_screen(other),
        }
    }

    fn act_on_screen(&mut self, action: Action) {
        match self.screen {
            Screen::Timeline => self.timeline_act(action),
            Screen::Explain => self.explain_act(action),
            Screen::Diff => self.diff_act(action),
            Screen::Lineage => self.lineage_act(action),
            Screen::Replay => self.replay_act(action),
            Screen::Inbox => self.inbox_act(action),
            Screen::Health => self.health_act(action),
        }
    }

    pub(crate) fn say(&mut self, text: String) {
        self.toast = Some((text, Instant::now()));
    }

    pub(crate) fn copy(&mut self, text: String) {
        let shown = crate::text::cut(&crate::text::said(&text), 48);
        self.say(format!("copied {shown}"));
        self.effects.push(Effect::Copy(text));
    }

    /// The command that opens this view again.
    pub(crate) fn command(&self) -> String {
        let mut command = format!("{} --seq {}", self.options.command, self.cursor);
        if self.screen != Screen::Timeline {
            command.push_str(&format!(" --screen {}", self.screen.name()));
        }
        if !self.filter_text.is_empty() {
            // For a shell: what is between single quotes stays as it is.
            let quoted = self.filter_text.replace('\'', "'\\''");
            command.push_str(&format!(" --filter '{quoted}'"));
        }
        command
    }

    fn paste(&mut self, text: &str) {
        if let Some(Layer::Filter(editor)) = self.layers.last_mut() {
            // A line end in pasted text is no Enter.
            let line: String = text.chars().filter(|c| !c.is_control()).collect();
            editor.insert(&line);
        }
    }
}
