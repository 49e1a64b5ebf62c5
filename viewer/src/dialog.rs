//! Dialogs before what cannot be taken back: what it is about, and words to be typed.
//!
//! None acts on one key. Enter alone cancels; what is typed in the first moment is not heard, nor are keys that repeat; a paste is
//! not heard at all. How much of a request was on the screen, and for how long, goes with the answer.

use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use tacho_recorder::filter::Filter;
use tacho_recorder::switch::Target;
use tacho_schemas::{Hash, Seq};

use crate::answer::explain::MARGIN;
use crate::app::{App, Effect, Screen};
use crate::deed::Deed;
use crate::doc::{self, Line};
use crate::draw::{Pen, inset};
use crate::keys::Action;
use crate::layer::Layer;
use crate::screen::Scroll;
use crate::screen::inbox::{fate, quorum};
use crate::text::{self, count, moment, thousands};
use crate::theme::Role;

/// Nothing is heard before somebody can have seen what it is about.
const DEAF: Duration = Duration::from_millis(300);

/// Characters of a digest that stand for a request.
const OF_REQUEST: usize = 4;

/// Characters of a hash that stand for a kill, as `tacho release` asks for.
const OF_KILL: usize = 8;

/// A word or sentence that is typed holds no more bytes.
const LONGEST: usize = 400;

/// What a dialog is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum About {
    Approve(Seq, Hash),
    Deny(Seq, Hash),
    Kill(Vec<(String, &'static str)>),
    Release(Seq, Hash, Vec<String>),
    Export {
        filter: String,
        what: String,
        /// Only what is proven of a broken log.
        proven: bool,
    },
}

/// A line that is typed.
#[derive(Clone, Debug)]
struct Field {
    label: &'static str,
    text: String,
    /// What must stand there.
    must: Must,
}

#[derive(Clone, Debug)]
enum Must {
    Be(String),
    BeScope,
    BeSomething,
    Free,
}

/// A dialog.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    about: About,
    opened: Instant,
    scroll: Scroll,
    /// Rows of what it is about that were on the screen so far.
    seen: usize,
    fields: Vec<Field>,
    at: usize,
    error: Option<String>,
}

impl Dialog {
    pub(crate) fn new(about: About) -> Self {
        let field = |label, must| Field {
            label,
            text: String::new(),
            must,
        };
        let first = |hash: &Hash, many| Must::Be(hash.to_string().chars().take(many).collect());
        let fields = match &about {
            About::Approve(_, digest) => vec![
                field("type", first(digest, OF_REQUEST)),
                field("why", Must::Free),
            ],
            About::Deny(_, digest) => vec![
                field("why", Must::BeSomething),
                field("type", first(digest, OF_REQUEST)),
            ],
            About::Kill(_) => vec![
                field("scope", Must::BeScope),
                field("why", Must::BeSomething),
            ],
            About::Release(_, leaf, _) => vec![
                field("type", first(leaf, OF_KILL)),
                field("why", Must::BeSomething),
            ],
            About::Export { .. } => vec![field("file", Must::BeSomething)],
        };
        Self {
            about,
            opened: Instant::now(),
            scroll: Scroll::default(),
            seen: 0,
            fields,
            at: 0,
            error: None,
        }
    }

    fn title(&self) -> String {
        match &self.about {
            About::Approve(seq, _) => format!("approve #{}", thousands(seq.0)),
            About::Deny(seq, _) => format!("deny #{}", thousands(seq.0)),
            About::Kill(_) => "kill".to_owned(),
            About::Release(seq, ..) => format!("release kill #{}", thousands(seq.0)),
            About::Export { .. } => "export".to_owned(),
        }
    }

    /// What is typed, if it is all there; else which line is not, and why.
    fn ready(&self) -> Result<(), (usize, String)> {
        for (place, field) in self.fields.iter().enumerate() {
            let typed = field.text.trim();
            let why = match &field.must {
                Must::Be(wanted) if typed != wanted => "these are not the characters".to_owned(),
                Must::BeScope => match Target::parse(typed) {
                    Ok(_) => continue,
                    Err(error) => text::said(error.hint().unwrap_or("no such scope")),
                },
                Must::BeSomething if typed.is_empty() => format!("`{}` is empty", field.label),
                _ => continue,
            };
            return Err((place, why));
        }
        Ok(())
    }

    fn typed(&self, label: &str) -> String {
        let field = self.fields.iter().find(|field| field.label == label);
        field.map_or(String::new(), |field| field.text.trim().to_owned())
    }

    /// How much was looked at, for the record.
    fn looked(&self) -> String {
        let all = self.scroll.all;
        let seconds = self.opened.elapsed().as_secs();
        format!("{} of {all} lines were seen, {seconds} s", self.seen)
    }

    fn deed(&self) -> Deed {
        let why = self.typed("why");
        match &self.about {
            About::Approve(hold, digest) | About::Deny(hold, digest) => Deed::Answer {
                hold: *hold,
                digest: *digest,
                approve: matches!(self.about, About::Approve(..)),
                reason: match why.is_empty() {
                    true => format!("({})", self.looked()),
                    false => format!("{why} ({})", self.looked()),
                },
            },
            About::Kill(_) => Deed::Kill {
                target: self.typed("scope"),
                reason: why,
            },
            About::Release(kill, ..) => Deed::Release {
                kill: *kill,
                digits: self.typed("type"),
                reason: why,
            },
            About::Export { filter, proven, .. } => Deed::Export {
                filter: filter.clone(),
                proven: *proven,
                path: self.typed("file"),
            },
        }
    }
}

impl App {
    /// Opens a dialog, or says why there is none.
    pub(crate) fn open_dialog(&mut self, action: Action) {
        match self.about(action) {
            Ok(about) => {
                if let About::Approve(seq, _) | About::Deny(seq, _) = &about {
                    self.timeline.follow = false;
                    self.cursor = *seq;
                }
                self.layers
                    .push(Layer::Dialog(Box::new(Dialog::new(about))));
            }
            Err(why) => self.say(why),
        }
    }

    fn about(&self, action: Action) -> Result<About, String> {
        if action == Action::Export {
            return self.about_export();
        }
        match action {
            Action::Release if self.standing.kills.is_empty() => {
                return Err("nothing is killed".to_owned());
            }
            Action::Approve | Action::Deny if self.inbox.chosen().is_none() => {
                return Err("nothing is held".to_owned());
            }
            _ => {}
        }
        let by_hand = match action {
            Action::Kill => "tacho kill".to_owned(),
            Action::Release => "tacho release".to_owned(),
            Action::Deny => format!("tacho deny {}", self.inbox_seq()),
            _ => format!("tacho approve {}", self.inbox_seq()),
        };
        if self.options.signer.is_none() {
            return Err(format!(
                "read only without --key FILE; `{by_hand}` does it elsewhere"
            ));
        }
        if self.screen == Screen::Replay {
            return Err("nothing is done from the past: esc leaves replay".to_owned());
        }
        match action {
            Action::Kill => Ok(About::Kill(self.scopes())),
            Action::Release => {
                let kills = &self.standing.kills;
                let here = kills.iter().find(|kill| kill.seq == self.cursor);
                let kill = here.or(kills.first()).ok_or("nothing is killed")?;
                let said = vec![format!(
                    "#{} at {}: {} was killed.",
                    thousands(kill.seq.0),
                    moment(kill.time),
                    kill.target
                )];
                Ok(About::Release(kill.seq, kill.leaf, said))
            }
            _ => {
                let hold = self.inbox.chosen().ok_or("nothing is held")?;
                if !hold.is_open(self.now()) {
                    return Err(format!("#{}: {}", hold.seq, fate(hold, self.now()).1));
                }
                let digest = hold.digest.ok_or("the hold names no request")?;
                Ok(match action {
                    Action::Deny => About::Deny(hold.seq, digest),
                    _ => About::Approve(hold.seq, digest),
                })
            }
        }
    }

    fn inbox_seq(&self) -> Seq {
        self.inbox.chosen().map_or(self.cursor, |hold| hold.seq)
    }

    fn about_export(&self) -> Result<About, String> {
        if self.options.source.is_bundle() {
            return Err("this is an export already: copy the file".to_owned());
        }
        let numbers: Vec<String> = self.picked.iter().map(ToString::to_string).collect();
        Ok(match (numbers.is_empty(), &self.filter) {
            (false, _) => About::Export {
                filter: format!("seq:{}", numbers.join(",")),
                what: format!("the {} that you marked", count(size(&numbers), "record")),
                proven: self.refused.is_some(),
            },
            (true, Filter::Everything) => match self.proven() {
                Some(0) => return Err("nothing is proven, so nothing can be exported".to_owned()),
                Some(proven) => About::Export {
                    filter: format!("seq:0..{}", proven - 1),
                    what: format!("what is proven, {},", count(proven, "record")),
                    proven: true,
                },
                None => About::Export {
                    filter: String::new(),
                    what: format!("all {}", count(self.standing.size, "record")),
                    proven: false,
                },
            },
            (true, _) => About::Export {
                filter: self.filter_text.clone(),
                what: format!("the records that meet {}", text::said(&self.filter_text)),
                proven: self.refused.is_some(),
            },
        })
    }

    /// What could be killed from here.
    fn scopes(&self) -> Vec<(String, &'static str)> {
        let mut all = Vec::new();
        if let Some(row) = self.timeline.row(self.cursor) {
            if row.is_agent {
                all.push((
                    format!("agent:{}", row.who),
                    "this agent, wherever it works",
                ));
            }
            if let Some(session) = row.session {
                all.push((format!("session:{session}"), "this session only"));
            }
        }
        if let Some(lineage) = self.lineage.number() {
            all.push((
                format!("lineage:{lineage}"),
                "this lineage, all its generations",
            ));
        }
        all.retain(|(scope, _)| Target::parse(scope).is_ok());
        all.push(("all".to_owned(), "everybody that this recorder gates"));
        all
    }

    pub(crate) fn key_in_dialog(&mut self, mut dialog: Box<Dialog>, key: KeyEvent) {
        let deaf = dialog.opened.elapsed() < DEAF || key.kind == KeyEventKind::Repeat;
        if deaf {
            return self.layers.push(Layer::Dialog(dialog));
        }
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        let fields = dialog.fields.len();
        match key.code {
            KeyCode::Enter => {
                if dialog
                    .fields
                    .iter()
                    .all(|field| field.text.trim().is_empty())
                {
                    return self.say("cancelled: nothing was typed".to_owned());
                }
                match dialog.ready() {
                    Ok(()) => return self.effects.push(Effect::Do(dialog.deed())),
                    Err((place, why)) => {
                        // Going on to the next line is no mistake.
                        let next = place != dialog.at && dialog.error.is_none();
                        dialog.error = (!next).then_some(why);
                        dialog.at = place;
                    }
                }
            }
            KeyCode::Tab => dialog.at = (dialog.at + 1) % fields.max(1),
            KeyCode::BackTab => dialog.at = (dialog.at + fields.max(1) - 1) % fields.max(1),
            KeyCode::Down => drop(dialog.scroll.act(Action::Down)),
            KeyCode::Up => drop(dialog.scroll.act(Action::Up)),
            KeyCode::PageDown => drop(dialog.scroll.act(Action::PageDown)),
            KeyCode::PageUp => drop(dialog.scroll.act(Action::PageUp)),
            KeyCode::Char(c) => {
                let at = dialog.at;
                dialog.error = None;
                if let Some(field) = dialog.fields.get_mut(at) {
                    match (ctrl, c) {
                        (true, 'u') => field.text.clear(),
                        (false, c) if !c.is_control() && field.text.len() < LONGEST => {
                            field.text.push(c);
                        }
                        _ => {}
                    }
                }
            }
            KeyCode::Backspace => {
                let at = dialog.at;
                dialog.error = None;
                if let Some(field) = dialog.fields.get_mut(at) {
                    field.text.pop();
                }
            }
            _ => {}
        }
        self.layers.push(Layer::Dialog(dialog));
    }

    /// What came of a deed.
    pub fn done(&mut self, came: Result<Vec<String>, Vec<String>>) {
        let is_good = came.is_ok();
        let lines = came.unwrap_or_else(|lines| lines);
        match (is_good, lines.as_slice()) {
            (true, [line]) => self.say(text::said(line)),
            _ => {
                let lines = lines.iter().map(|line| text::said(line)).collect();
                self.layers.push(Layer::Notice { is_good, lines });
            }
        }
        self.timeline.asked = None;
        if self.screen == Screen::Inbox {
            self.ask(crate::ask::Ask::Holds);
        }
    }

    fn dialog_lines(&self, about: &About) -> Option<Vec<Line>> {
        let says = |text: String| Line::new(Role::Text, text).hang(2);
        Some(match about {
            About::Approve(seq, _) | About::Deny(seq, _) => self.request_lines(*seq)?,
            About::Kill(scopes) => {
                let mut lines = vec![
                    says("Their processes end, and whoever asks the gate is denied, until a release that other people sign for.".to_owned()),
                    Line::default(),
                ];
                lines.extend(scopes.iter().map(|(scope, what)| {
                    Line::new(Role::Accent, format!("{scope:<22} ")).with(Role::Dim, *what).indent(2).cut()
                }));
                lines
            }
            About::Release(_, leaf, said) => {
                let mut lines: Vec<Line> = said.iter().cloned().map(says).collect();
                lines.push(says(format!("Its hash is {leaf}.")));
                lines.push(says("Whoever ordered it does not count, unless only one person is enrolled.".to_owned()));
                lines
            }
            About::Export { what, proven: true, .. } => vec![
                says(format!("Write {what} into a file that does not exist yet.")),
                says("Its name must end with .jsonl: no bundle can be made of a broken log.".to_owned()),
            ],
            About::Export { what, .. } => vec![
                says(format!("Write {what} into a file that does not exist yet.")),
                says("A name that ends with .jsonl gets JSON Lines, any other a bundle, which can be verified without this log.".to_owned()),
            ],
        })
    }

    /// What is asked for, to the last word, and then what else is known of it.
    fn request_lines(&self, seq: Seq) -> Option<Vec<Line>> {
        let explained = self.explain.whole(seq)?;
        let hold = self.inbox.chosen().filter(|hold| hold.seq == seq)?;
        let mut lines: Vec<Line> = explained.first().cloned().into_iter().collect();
        if hold.input.is_empty() {
            lines.push(
                Line::new(Role::Text, hold.target.as_str())
                    .indent(MARGIN)
                    .quoted(),
            );
        }
        lines.extend(hold.input.iter().map(|line| {
            Line::new(Role::Claim, line.as_str())
                .indent(MARGIN)
                .quoted()
        }));
        lines.push(Line::default());
        // Its input stands above already.
        let rest = explained
            .iter()
            .skip_while(|line| line.label != Some("Why"));
        lines.extend(rest.cloned());
        Some(lines)
    }

    pub(crate) fn draw_dialog(
        &self,
        pen: &mut Pen<'_>,
        all: Rect,
        dialog: &mut Dialog,
    ) -> Option<(u16, u16)> {
        let is_request = matches!(dialog.about, About::Approve(..) | About::Deny(..));
        let across = inset(all, 2, 1);
        let lines = self.dialog_lines(&dialog.about);
        let rows = doc::rows(
            lines.as_deref().unwrap_or_default(),
            usize::from(across.width.saturating_sub(4)),
        );
        let fields = u16::try_from(dialog.fields.len()).unwrap_or(2);
        let below = fields + 3;
        let wanted = u16::try_from(rows.len()).unwrap_or(u16::MAX);
        let height = wanted.saturating_add(below + 2).min(across.height);
        let area = Rect {
            y: across.y + (across.height - height) / if is_request { 1 } else { 2 },
            height,
            ..across
        };
        let inside = pen.boxed(area, &dialog.title());
        let body = Rect {
            height: inside.height.saturating_sub(below),
            ..inside
        };
        let top = dialog.scroll.fit(rows.len(), body.height);
        for (y, row) in (body.top()..body.bottom()).zip(rows.iter().skip(top)) {
            let label = lines
                .as_deref()
                .and_then(|lines| lines.get(row.line))
                .and_then(|line| line.label);
            pen.row(body, y, row, label);
        }
        if lines.is_none() {
            pen.text(body.x, body.y, body.width, Role::Dim, "reading");
        }
        dialog.seen = dialog
            .seen
            .max((top + usize::from(body.height)).min(rows.len()));
        let mut y = body.bottom();
        let line = pen.glyphs.line.repeat(usize::from(inside.width));
        pen.text(inside.x, y, inside.width, Role::Dim, &line);
        if is_request {
            let seen = format!(" seen {} of {} lines ", dialog.seen, rows.len());
            let role = if dialog.seen < rows.len() {
                Role::Hold
            } else {
                Role::Dim
            };
            pen.right(inside, y, role, &seen);
            if let Some(hold) = self.inbox.chosen() {
                let (_, left) = fate(hold, self.now());
                let text = format!(" {}   {left} ", quorum(hold));
                pen.text(inside.x + 1, y, inside.width, Role::Dim, &text);
            }
        }
        y += 1;
        let mut cursor = None;
        for (place, field) in dialog.fields.iter().enumerate() {
            let here = place == dialog.at;
            let mut style = pen.theme.style(if here { Role::Accent } else { Role::Dim });
            if here {
                style = style.add_modifier(Modifier::BOLD);
            }
            let mut x = inside.x + pen.styled(inside.x, y, 7, style, field.label);
            x = x.max(inside.x + 5) + 1;
            if let Must::Be(wanted) = &field.must {
                x += pen.text(x, y, 12, Role::Hold, wanted) + 1;
                let as_whom = match (&dialog.about, &self.options.signer) {
                    (About::Release(..) | About::Approve(..) | About::Deny(..), Some(name)) => {
                        format!("to sign as {name}:")
                    }
                    _ => "to do it:".to_owned(),
                };
                x += pen.text(x, y, 40, Role::Text, &as_whom) + 1;
            }
            let room = inside.right().saturating_sub(x + 1);
            let hidden = text::width(&field.text).saturating_sub(usize::from(room));
            let used = pen.text(x, y, room, Role::Text, text::skip(&field.text, hidden));
            if here {
                cursor = Some((x + used, y));
            } else if field.text.is_empty() && matches!(field.must, Must::Free) {
                pen.text(x, y, room, Role::Dim, "(may stay empty)");
            }
            y += 1;
        }
        match &dialog.error {
            Some(error) => {
                let text = format!("{} {error}", pen.glyphs.deny);
                pen.text(inside.x, y, inside.width, Role::Deny, &text);
            }
            None => {
                let help = match dialog.fields.len() {
                    1 => "⏎ does it   esc or ⏎ alone cancels",
                    _ => "tab next line   ⏎ does it   ↓ ↑ scroll   esc or ⏎ alone cancels",
                };
                pen.text(inside.x, y + 1, inside.width, Role::Dim, help);
            }
        }
        cursor
    }
}

fn size<T>(all: &[T]) -> u64 {
    u64::try_from(all.len()).unwrap_or(u64::MAX)
}
