//! A full-screen program in a cell: resize, colours, Ctrl-C, Ctrl-Z, as outside.

use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, MasterPty, PtySize, native_pty_system};

use crate::user::{User, has_cells};

/// A machine under load is slow.
const PATIENCE: Duration = Duration::from_secs(60);

struct Screen {
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn std::io::Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    bytes: Receiver<Vec<u8>>,
    parser: vt100::Parser,
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}

impl Screen {
    fn open(user: &User, args: &[&str]) -> Self {
        let pair = native_pty_system().openpty(size(80, 24)).unwrap();
        let child = pair.slave.spawn_command(user.in_terminal(args)).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (to, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read) = reader.read(&mut buffer) {
                if read == 0 || to.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        let (rows, cols) = (NonZero::new(24).unwrap(), NonZero::new(80).unwrap());
        Self {
            writer: pair.master.take_writer().unwrap(),
            master: pair.master,
            child,
            bytes,
            parser: vt100::Parser::new(rows, cols, 0),
        }
    }

    fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// Reads what comes until the screen is as it should be.
    #[track_caller]
    fn until(&mut self, what: &str, good: impl Fn(&vt100::Screen) -> bool) {
        let began = Instant::now();
        while !good(self.parser.screen()) {
            assert!(began.elapsed() < PATIENCE, "never: {what}\n{}", self.text());
            if let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(20)) {
                self.parser.process(&bytes);
            }
        }
    }

    #[track_caller]
    fn shows(&mut self, words: &str) {
        self.until(words, |screen| screen.contents().contains(words));
    }

    /// Waits until the shell asks for the next command.
    #[track_caller]
    fn prompts(&mut self) {
        self.until("a prompt", |s| s.contents().trim_end().ends_with("[in]"));
    }

    fn keys(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    fn resize(&mut self, cols: u16, rows: u16) {
        self.master.resize(size(cols, rows)).unwrap();
        let (rows, cols) = (NonZero::new(rows).unwrap(), NonZero::new(cols).unwrap());
        self.parser.screen_mut().set_size(rows, cols);
    }

    fn end(&mut self) -> u32 {
        let began = Instant::now();
        loop {
            while let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(20)) {
                self.parser.process(&bytes);
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(
                began.elapsed() < PATIENCE,
                "it never ends:\n{}",
                self.text()
            );
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shell in a cell, with a prompt of ours.
fn in_a_shell(user: &User) -> Screen {
    let mut screen = Screen::open(user, &["run", "--", "bash", "--norc", "--noprofile", "-i"]);
    screen.shows("$ ");
    screen.keys("PS1='[in] '; clear\r");
    screen.until("a prompt of ours", |s| s.contents().starts_with("[in] "));
    screen
}

#[test]
fn a_shell_and_an_editor_in_a_cell_have_their_whole_terminal() {
    let has = |program: &str| std::path::Path::new("/usr/bin").join(program).exists();
    if !has_cells() || !has("bash") || !has("vim") {
        eprintln!("skipped: it needs a cell, bash and vim");
        return;
    }
    let user = User::new();
    let mut screen = in_a_shell(&user);

    screen.keys("vim -u NONE -N note\r");
    screen.shows("\"note\" [New]");
    screen.keys("ione line\x1b:echohl ErrorMsg | echo 'in colour' | echohl None\r");
    screen.until("a colour", |s| {
        let rows = s.contents();
        let row = rows.lines().position(|line| line.contains("in colour"));
        let row = row.and_then(|row| u16::try_from(row).ok());
        row.and_then(|row| s.cell(row, 0)).is_some_and(|cell| {
            cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default
        })
    });
    screen.resize(100, 30);
    // Drawn anew first: that takes messages away.
    screen.until("the last row but one is drawn", |s| {
        s.cell(28, 0).is_some_and(|cell| cell.contents() == "~")
    });
    screen.keys(":echo 'is' &columns 'by' &lines\r");
    screen.shows("is 100 by 30");
    screen.keys(":w\r");
    screen.shows("written");
    // Ctrl-C leaves the insert mode, and does not end the editor.
    screen.keys("omore");
    screen.shows("more");
    screen.shows("-- INSERT --");
    screen.keys("\x03");
    screen.until("no insert mode", |s| !s.contents().contains("-- INSERT --"));
    screen.keys(":echo 'mode' mode()\r");
    screen.shows("mode n");
    // Ctrl-Z stops it, the shell goes on, and `fg` brings it back.
    screen.keys("\x1a");
    screen.shows("Stopped");
    screen.prompts();
    screen.keys("echo sum $((40 + 2)) $(stty size)\r");
    screen.shows("sum 42 30 100");
    screen.keys("fg\r");
    screen.until("the editor again", |s| {
        s.contents().contains("one line") && s.contents().contains("more") && s.alternate_screen()
    });
    screen.keys(":q!\r");
    screen.until("the shell again", |s| !s.alternate_screen());
    // Ctrl-C ends what runs in front, and nothing else.
    screen.keys("clear; sleep 98765\r");
    screen.until("a clear screen", |s| !s.contents().contains("sum 42"));
    until_sleeps("98765");
    screen.keys("\x03");
    screen.prompts();
    screen.keys("echo code $?\r");
    screen.shows("code 130");
    screen.keys("exit 9\r");
    assert_eq!(screen.end(), 9, "{}", screen.text());
    let note = std::fs::read_to_string(user.path("home/proj/note")).unwrap();
    assert_eq!(note, "one line\n");
}

#[test]
fn a_monitor_in_a_cell_shows_its_processes_in_colour() {
    if !has_cells() || !std::path::Path::new("/usr/bin/htop").exists() {
        eprintln!("skipped: it needs a cell and htop");
        return;
    }
    let user = User::new();
    let mut screen = in_a_shell(&user);
    screen.keys("htop\r");
    let footer = |s: &vt100::Screen, row: u16| {
        let cells = (0..100).filter_map(|col| s.cell(row, col));
        let text: String = cells.map(vt100::Cell::contents).collect();
        text.contains("F10Quit")
    };
    screen.until("its last row", |s| footer(s, 23));
    screen.until("colours", |s| {
        let mut cells = (0..24).flat_map(|row| (0..80).filter_map(move |col| s.cell(row, col)));
        cells.any(|cell| cell.bgcolor() != vt100::Color::Default)
    });
    // The shell and the monitor are there; who runs outside is not.
    screen.shows("bash --norc");
    assert!(!screen.text().contains("tests/cell"), "{}", screen.text());
    screen.resize(100, 30);
    screen.until("its last row, farther down", |s| footer(s, 29));
    screen.keys("\x1a");
    screen.shows("Stopped");
    screen.prompts();
    screen.keys("fg\r");
    screen.until("the monitor again", |s| {
        footer(s, 29) && s.alternate_screen()
    });
    screen.keys("\x03");
    screen.until("the shell again", |s| !s.alternate_screen());
    screen.prompts();
    screen.keys("exit 8\r");
    assert_eq!(screen.end(), 8, "{}", screen.text());
}

fn until_sleeps(mark: &str) {
    crate::user::until("it sleeps", || crate::user::marked(mark) == 1);
}
