//! A gate that runs, and what a program or a person needs to talk to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::Home;

/// A daemon that is stopped when it is let go.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) reviewers: PathBuf,
}

impl Daemon {
    pub(crate) fn start(home: &Home, args: &[&str]) -> Self {
        let mut command = home.command(["serve"]);
        command.args(args).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            let mut why = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut why)
                .unwrap();
            panic!("it did not start: {why}");
        };
        Self {
            reviewers: ready["reviewers"].as_str().unwrap().into(),
            child,
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Ends it, and returns what it said.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        let mut said = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        said
    }

    pub(crate) fn session(&self, home: &Home) -> (u64, PathBuf) {
        let open = json!({ "agent": "agent", "workspace": home.path("work") });
        let opened = post(&self.reviewers, "/v1/sessions", &open);
        let socket = opened["socket"].as_str().unwrap().into();
        (opened["session"].as_u64().unwrap(), socket)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// HTTP as any program would speak it.
pub(crate) fn post(socket: &Path, path: &str, body: &Value) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"))
}

pub(crate) fn edit(home: &Home, content: &str) -> Value {
    let path = home.path("work/.github/workflows/deploy.yml");
    json!({
        "tool": "Write", "cwd": home.path("work"),
        "input": { "file_path": path, "content": content },
        "rationale": { "summary": "the \u{1b}[31mpipeline\u{1b}[0m is slow" },
    })
}

pub(crate) fn keygen(home: &Home, name: &str) -> PathBuf {
    let path = home.path(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    path
}

/// A home with a log, a workspace, and alice in `reviewers`. Her key lies where the agent's user can read it.
pub(crate) fn house() -> (Home, PathBuf) {
    let home = Home::with_log();
    std::fs::create_dir(home.path("work")).unwrap();
    let key = keygen(&home, "alice");
    let ran = home.run(["approver", "add", "alice", "alice.pub"]).good();
    assert!(ran.out.contains("assurance  none"), "{ran:?}");
    assert!(
        ran.err.contains("counts only under observe and solo"),
        "{ran:?}"
    );
    (home, key)
}

pub(crate) fn first_hold(home: &Home) -> Value {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let ran = home.run(["holds", "--json"]).good();
        if let Some(hold) = ran.json().pop() {
            return hold;
        }
        assert!(Instant::now() < until, "nothing is held");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn digits(hold: &Value) -> String {
    hold["digest"].as_str().unwrap().chars().take(4).collect()
}
