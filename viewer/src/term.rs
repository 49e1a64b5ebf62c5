//! A real terminal: taken over, and given back whatever happens.
//!
//! It is restored on leaving, on a panic, on SIGTERM and SIGHUP (which come as [`Event::Stop`]), and while suspended. Each frame
//! is one synchronised update (DEC private mode 2026), so that none is seen half drawn.

use std::io::{self, Stdout, Write};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::clipboard::CopyToClipboard;
use crossterm::cursor::Show;
use crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
    KeyCode, KeyEvent, KeyModifiers,
};
use crossterm::execute;
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use crate::app::{App, Effect, Event};
use crate::deed::Outside;
use crate::theme::Theme;

/// The shortest time between two frames.
const FRAME: Duration = Duration::from_millis(8);

/// How long nothing may happen before somebody looks whether something should.
const IDLE: Duration = Duration::from_secs(3600);

/// Light or dark, as the terminal says within a moment; dark if it does not.
pub fn guess_theme() -> Theme {
    let mut options = terminal_colorsaurus::QueryOptions::default();
    options.timeout = Duration::from_millis(50);
    match terminal_colorsaurus::theme_mode(options) {
        Ok(terminal_colorsaurus::ThemeMode::Light) => Theme::Light,
        _ => Theme::Dark,
    }
}

/// How long the thread that listens may take to look up.
const PARKS: Duration = Duration::from_secs(2);

/// Shows the viewer until somebody leaves; what it cannot do itself, `outside` does.
pub fn run(app: &mut App, outside: &mut dyn Outside) -> io::Result<()> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // The words of a panic must not be drawn into a screen that is about to go.
        let _ = give_back();
        hook(info);
    }));
    take_over()?;
    let _guard = Guard;
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let ear = Arc::new(Ear::default());
    listen(app.sender(), Arc::clone(&ear))?;
    wipe(&mut terminal)?;
    loop {
        draw(&mut terminal, app)?;
        let drawn = Instant::now();
        // What happens between two frames is drawn with the second one.
        while !app.wait(if app.is_moving() {
            Duration::from_millis(250)
        } else {
            IDLE
        }) {}
        let effects = app.effects();
        for effect in effects {
            match effect {
                Effect::Quit => return Ok(()),
                Effect::Copy(text) => {
                    execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))?;
                }
                Effect::Do(deed) => {
                    // Whoever signs may be asked for a passphrase, which our thread must not take away.
                    ear.close();
                    outside.wake();
                    let parked = ear.is_parked(PARKS);
                    give_back()?;
                    let came = match parked {
                        true => outside.carry_out(&deed),
                        false => Err(vec![
                            "nothing was done: the terminal could not be given back".to_owned(),
                        ]),
                    };
                    take_over()?;
                    ear.open();
                    app.done(came);
                    wipe(&mut terminal)?;
                }
                Effect::Redraw => wipe(&mut terminal)?,
                Effect::Suspend => {
                    give_back()?;
                    outside.suspend();
                    take_over()?;
                    wipe(&mut terminal)?;
                }
            }
        }
        thread::sleep(FRAME.saturating_sub(drawn.elapsed()));
    }
}

/// Clears the screen, so that everything is drawn anew. `Terminal::clear` would ask where the cursor is, and the answer would have
/// to come past the thread that listens.
fn wipe(terminal: &mut Terminal<CrosstermBackend<Stdout>>) -> io::Result<()> {
    let size = terminal.size()?;
    terminal.resize(size.into())
}

fn draw(terminal: &mut Terminal<CrosstermBackend<Stdout>>, app: &mut App) -> io::Result<()> {
    execute!(io::stdout(), BeginSynchronizedUpdate)?;
    let drawn = terminal.draw(|frame| app.draw(frame)).map(drop);
    execute!(io::stdout(), EndSynchronizedUpdate)?;
    drawn
}

/// Gives the terminal back when dropped.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = give_back();
    }
}

fn take_over() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        EnableMouseCapture,
        EnableBracketedPaste
    )
}

fn give_back() -> io::Result<()> {
    let restored = execute!(
        io::stdout(),
        DisableBracketedPaste,
        DisableMouseCapture,
        LeaveAlternateScreen,
        Show
    );
    disable_raw_mode()?;
    restored?;
    io::stdout().flush()
}

/// Whether our thread listens, or somebody else reads the terminal.
#[derive(Debug, Default)]
struct Ear {
    state: Mutex<Heard>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    closed: bool,
    parked: bool,
}

impl Ear {
    fn state(&self) -> MutexGuard<'_, Heard> {
        // A thread that panicked held no half-made state here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.state().closed = true;
    }

    fn open(&self) {
        self.state().closed = false;
        self.bell.notify_all();
    }

    /// Waits until nobody of ours reads the terminal; false if it takes too long.
    fn is_parked(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.state();
        while !state.parked {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.bell.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Stands aside as long as somebody else reads; says whether somebody did.
    fn stand_aside(&self) -> bool {
        let mut state = self.state();
        let aside = state.closed;
        while state.closed {
            state.parked = true;
            self.bell.notify_all();
            state = self
                .bell
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.parked = false;
        aside
    }
}

/// Hears the terminal on a thread of its own.
fn listen(to: Sender<Event>, ear: Arc<Ear>) -> io::Result<()> {
    let made = thread::Builder::new()
        .name("terminal".to_owned())
        .spawn(move || {
            let mut late = Late::default();
            loop {
                let read = event::read();
                // What woke us while somebody else reads is nobody's.
                if ear.stand_aside() && read.is_ok() {
                    continue;
                }
                let event = match read {
                    Ok(event::Event::Key(key)) if late.takes(key) => continue,
                    Ok(event::Event::Key(key)) => Event::Key(key),
                    Ok(event::Event::Mouse(mouse)) => Event::Mouse(mouse),
                    Ok(event::Event::Paste(text)) => Event::Paste(text),
                    Ok(event::Event::Resize(..)) => Event::Resize,
                    Ok(event::Event::FocusGained | event::Event::FocusLost) => continue,
                    // The terminal is gone.
                    Err(_) => Event::Stop,
                };
                let stop = matches!(event, Event::Stop);
                if to.send(event).is_err() || stop {
                    return;
                }
            }
        });
    made.map(drop)
}

/// The terminal's answer to the question for its colours, when it comes too late: `ESC ] 11 ; rgb:… BEL` reads as keys.
#[derive(Debug, Default)]
struct Late(Option<Instant>);

impl Late {
    /// Whether a key is part of such an answer and nobody's.
    fn takes(&mut self, key: KeyEvent) -> bool {
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match (self.0, key.code) {
            (None, KeyCode::Char(']')) if alt => self.0 = Some(Instant::now()),
            (None, _) => return false,
            (Some(_), KeyCode::Char('\\')) if alt => self.0 = None,
            (Some(_), KeyCode::Char('g')) if ctrl => self.0 = None,
            // An answer comes in one piece.
            (Some(since), _) if since.elapsed() > Duration::from_millis(300) => {
                self.0 = None;
                return false;
            }
            (Some(_), _) => {}
        }
        true
    }
}
