//! A terminal, and our binary in it.

use std::io::{Read as _, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::home::Home;

/// A machine under load is slow.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Pty {
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    bytes: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    raw: Vec<u8>,
}

fn some(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap()
}

fn size((cols, rows): (u16, u16)) -> PtySize {
    PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}

impl Pty {
    pub(crate) fn open(home: &Home, args: &[&str], cells: (u16, u16)) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tacho"));
        command.args(args);
        Self::run(home, command, cells)
    }

    pub(crate) fn shell(home: &Home, script: &str, cells: (u16, u16)) -> Self {
        let mut command = CommandBuilder::new("sh");
        command.args(["-c", script]);
        Self::run(home, command, cells)
    }

    fn run(home: &Home, mut command: CommandBuilder, cells: (u16, u16)) -> Self {
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", home.path(""));
        command.env("XDG_STATE_HOME", home.path("state"));
        command.env("XDG_CONFIG_HOME", home.path("config"));
        command.env("TERM", "xterm-256color");
        command.cwd(home.path(""));
        let pair = native_pty_system().openpty(size(cells)).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
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
        Self {
            writer: pair.master.take_writer().unwrap(),
            master: pair.master,
            child,
            bytes,
            parser: vt100::Parser::new(some(cells.1), some(cells.0), 0),
            raw: Vec::new(),
        }
    }

    /// Takes in what comes within a time; false if nothing did.
    fn read(&mut self, patience: Duration) -> bool {
        let Ok(bytes) = self.bytes.recv_timeout(patience) else {
            return false;
        };
        // The question for colours is answered as a terminal does: in one piece.
        if bytes.windows(4).any(|w| w == b"\x1b]11") {
            self.writer
                .write_all(b"\x1b]11;rgb:0000/0000/0000\x07\x1b[?62c")
                .unwrap();
        }
        self.parser.process(&bytes);
        self.raw.extend(bytes);
        true
    }

    /// Waits until nothing comes any more.
    pub(crate) fn settle(&mut self) {
        while self.read(Duration::from_millis(300)) {}
    }

    /// Waits until the screen shows some words.
    #[track_caller]
    pub(crate) fn until(&mut self, words: &str) {
        let began = Instant::now();
        while !self.shows(words) {
            self.read(Duration::from_millis(50));
            assert!(
                began.elapsed() < PATIENCE,
                "`{words}` never came:\n{}",
                self.text()
            );
        }
    }

    pub(crate) fn shows(&self, words: &str) -> bool {
        self.text().contains(words)
    }

    pub(crate) fn text(&self) -> String {
        self.parser.screen().contents()
    }

    pub(crate) fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(crate) fn resize(&mut self, cells: (u16, u16)) {
        self.master.resize(size(cells)).unwrap();
        self.parser
            .screen_mut()
            .set_size(some(cells.1), some(cells.0));
    }

    pub(crate) fn signal(&mut self, name: &str) {
        let id = self.child.process_id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Types keys by their names; other words letter by letter, `_` is a space. Returns how many.
    pub(crate) fn keys(&mut self, script: &str) -> usize {
        let mut all = 0;
        for word in script.split_whitespace() {
            let named = match word {
                "enter" => Some("\r"),
                "esc" => Some("\x1b"),
                "tab" => Some("\t"),
                "up" => Some("\x1b[A"),
                "down" => Some("\x1b[B"),
                "right" => Some("\x1b[C"),
                "left" => Some("\x1b[D"),
                "home" => Some("\x1b[H"),
                "end" => Some("\x1b[F"),
                "pgup" => Some("\x1b[5~"),
                "pgdn" => Some("\x1b[6~"),
                "space" => Some(" "),
                "backspace" => Some("\x7f"),
                "ctrl-z" => Some("\x1a"),
                _ => None,
            };
            let strokes: Vec<String> = match named {
                Some(key) => vec![key.to_owned()],
                None => word
                    .chars()
                    .map(|c| if c == '_' && word.len() > 1 { ' ' } else { c })
                    .map(String::from)
                    .collect(),
            };
            for stroke in strokes {
                all += 1;
                self.writer.write_all(stroke.as_bytes()).unwrap();
                self.writer.flush().unwrap();
                // An escape alone is a key only if nothing follows it at once; a completion needs its answer.
                let pause = if ["\x1b", "\t"].contains(&stroke.as_str()) {
                    150
                } else {
                    20
                };
                std::thread::sleep(Duration::from_millis(pause));
                while self.read(Duration::from_millis(250)) {}
            }
        }
        all
    }

    /// Waits until the program has ended; returns its exit code.
    #[track_caller]
    pub(crate) fn end(&mut self) -> u32 {
        let began = Instant::now();
        loop {
            self.read(Duration::from_millis(20));
            if let Some(status) = self.child.try_wait().unwrap() {
                self.settle();
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

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
