//! The doors: who may ask what through which socket, and what crowds, strangers and impostors get.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use tacho_policy::Preset;
use tacho_recorder::gate::client::Client;
use tacho_recorder::gate::wire::{CloseSession, GateStatus, OpenSession, SessionOpened};
use tacho_recorder::gate::{Wanted, server};
use tacho_recorder::{ErrorKind, Result};
use tacho_schemas::Id;
use tacho_schemas::body::log::Assurance;
use tacho_schemas::body::work::DenyKind;
use tacho_schemas::sign::Fingerprint;
use tokio::sync::watch;

use super::support::{House, Person};

/// A gate behind its doors, on threads of its own.
struct Open {
    house: House,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<Result<()>>>,
}

impl Open {
    fn new(house: House) -> Self {
        let (stop, stopped) = watch::channel(false);
        let gate = Arc::clone(&house.gate);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(server::serve(gate, stopped, move || {
                ready.send(()).unwrap()
            }))
        });
        is_ready.recv().unwrap();
        Self {
            house,
            stop,
            thread: Some(thread),
        }
    }

    fn key(&self) -> Fingerprint {
        Fingerprint::of(&self.house.gate.log().prove(b"").0)
    }

    fn reviewers(&self) -> Client {
        let socket = self.house.gate.reviewers_socket();
        Client::new(&socket, Some(self.key()), Duration::from_secs(20))
    }

    fn session(&self) -> (SessionOpened, Client) {
        let open = OpenSession {
            agent: Id::new("agent").unwrap(),
            workspace: self.house.work().to_str().unwrap().to_owned(),
            harness: None,
            harness_version: None,
            lineage: None,
            confinement: None,
            parent: None,
            launcher: None,
            goal: None,
            command: None,
            source_id: None,
            reference: None,
        };
        let opened = self.reviewers().open_session(&open).unwrap();
        let client = Client::new(
            opened.socket.as_ref(),
            Some(self.key()),
            Duration::from_secs(60),
        );
        (opened, client)
    }

    fn close(&self, opened: &SessionOpened) {
        let close = CloseSession {
            exit: None,
            signal: None,
            reason: None,
        };
        let reviewers = self.reviewers();
        reviewers.close_session(opened.session, &close).unwrap();
    }

    fn stop(&mut self) {
        self.stop.send(true).unwrap();
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

fn open() -> (Open, Person) {
    let alice = Person::new("alice", 1);
    let house = House::new(
        Wanted::Preset(Preset::Solo),
        &[(&alice, Assurance::OtherHost)],
    );
    (Open::new(house), alice)
}

#[test]
fn a_call_goes_through_its_sessions_socket_and_no_other() {
    let (mut open, alice) = open();
    let (opened, agent) = open.session();
    let read = open
        .house
        .ask("Read", &serde_json::json!({ "file_path": "x" }));
    assert!(agent.decide(&read).unwrap().allows());
    // What people may do, agents may not even name.
    for path in ["/v1/holds", "/v1/status"] {
        let error = agent.get::<serde_json::Value>(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
    }
    let error = open.reviewers().decide(&read).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    let hooks = Client::new(
        &open.house.gate.hooks_socket(),
        None,
        Duration::from_secs(5),
    );
    assert!(hooks.get::<serde_json::Value>("/v1/status").is_err());
    // A hold is approved while the agent waits at its door.
    let ask = open.house.edit("on: push");
    let waiting = std::thread::spawn({
        let agent = agent.clone();
        move || agent.decide(&ask).unwrap()
    });
    let held = loop {
        if let Some(held) = open.reviewers().holds().unwrap().holds.pop() {
            break held;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    open.house.approve(held.hold, &alice).unwrap();
    let answer = waiting.join().unwrap();
    assert!(answer.allows() && answer.approved, "{answer:?}");
    open.close(&opened);
    assert!(agent.decide(&read).is_err());
    open.stop();
}

#[test]
fn a_closed_session_ends_its_connections() {
    let (mut open, _) = open();
    let (opened, _) = open.session();
    let mut stream = UnixStream::connect(&opened.socket).unwrap();
    // Sooner than who says nothing is shown out.
    let soon = Some(Duration::from_secs(5));
    stream.set_read_timeout(soon).unwrap();
    stream
        .write_all(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut answer = [0; 1024];
    assert!(stream.read(&mut answer).unwrap() > 0);
    open.close(&opened);
    assert_eq!(stream.read(&mut answer).unwrap(), 0);
    open.stop();
}

#[test]
fn a_stop_and_a_deadline_are_denies() {
    let (mut open, _) = open();
    let (_, agent) = open.session();
    let mut ask = open.house.edit("on: push");
    ask.deadline_ms = Some(50);
    let answer = agent.decide(&ask).unwrap();
    assert_eq!(answer.deny_kind, Some(DenyKind::Unapproved));
    assert!(answer.hold.is_some());
    let ask = open.house.edit("on: pull_request");
    let waiting = std::thread::spawn(move || agent.decide(&ask).unwrap());
    while open.house.gate.status().waiting == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    open.stop();
    let answer = waiting.join().unwrap();
    assert_eq!(answer.deny_kind, Some(DenyKind::Unapproved));
    assert!(answer.reason.contains("the gate stops"), "{answer:?}");
    assert!(!open.house.gate.reviewers_socket().exists());
}

#[test]
fn the_switch_ends_a_wait() {
    let (mut open, _) = open();
    let (_, agent) = open.session();
    let ask = open.house.edit("on: push");
    let waiting = std::thread::spawn(move || agent.decide(&ask).unwrap());
    while open.house.gate.status().waiting == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let all = tacho_recorder::switch::Target::All;
    open.house.switch().engage(&all).unwrap();
    assert!(waiting.join().unwrap().killed);
    open.stop();
}

/// Somebody else listens where the gate should, and says yes to all.
#[test]
fn an_impostor_is_not_believed() {
    let (mut open, _) = open();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("gate.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let yes = r#"{"verdict":"allow","reason":"yes","rules":[],"approved":false,"killed":false}"#;
    let good = open.house.gate.log().prove(b"something else");
    std::thread::spawn(move || {
        for proof in [
            String::new(),
            format!(
                "tacho-key: {}\r\ntacho-proof: {}\r\n",
                hex(&good.0.0),
                hex(&good.1.0)
            ),
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 65536];
            let _ = stream.read(&mut buffer).unwrap();
            let length = yes.len();
            let answer = format!("HTTP/1.1 200 OK\r\n{proof}content-length: {length}\r\n\r\n{yes}");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let client = Client::new(&socket, Some(open.key()), Duration::from_secs(10));
    let ask = open
        .house
        .ask("Read", &serde_json::json!({ "file_path": "x" }));
    for why in ["it proves nothing", "its proof is false"] {
        let error = client.decide(&ask).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    open.stop();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Agents that fill their door keep nobody from answering, and what is too long or no HTTP gets an answer or a closed door.
#[test]
fn a_flood_at_one_door_leaves_the_others_open() {
    let (mut open, _) = open();
    let (opened, agent) = open.session();
    let idle: Vec<_> = (0..400)
        .filter_map(|_| UnixStream::connect(&opened.socket).ok())
        .collect();
    for mut stream in idle.iter().take(100) {
        let _ = stream.write_all(b"POST /v1/decide HT");
    }
    let status: GateStatus = open.reviewers().get("/v1/status").unwrap();
    assert_eq!(status.sessions.len(), 1);
    drop(idle);
    let long = "x".repeat(9 << 20);
    let ask = open
        .house
        .ask("Read", &serde_json::json!({ "file_path": long }));
    assert!(agent.decide(&ask).is_err());
    let mut stream = UnixStream::connect(&opened.socket).unwrap();
    stream.write_all(&[0xff; 4096]).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    let read = open
        .house
        .ask("Read", &serde_json::json!({ "file_path": "x" }));
    assert!(agent.decide(&read).unwrap().allows());
    open.stop();
}

#[test]
fn hundreds_of_agents_wait_at_their_doors() {
    let alice = Person::new("alice", 1);
    let house = House::new(
        Wanted::Preset(Preset::Solo),
        &[(&alice, Assurance::OtherHost)],
    );
    let mut open = Open::new(house);
    let (opened, _) = open.session();
    let answers = std::thread::scope(|scope| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let asked = scope.spawn({
            let (socket, open) = (opened.socket.clone(), &open);
            move || {
                let asks: Vec<_> = (0..300)
                    .map(|n| serde_json::to_vec(&open.house.edit(&n.to_string())).unwrap())
                    .collect();
                runtime.block_on(ask_all(socket, asks))
            }
        });
        while open.house.gate.status().waiting < 300 {
            std::thread::sleep(Duration::from_millis(20));
        }
        open.house.gate.look_at_switch();
        open.house
            .switch()
            .engage(&tacho_recorder::switch::Target::All)
            .unwrap();
        asked.join().unwrap()
    });
    assert_eq!(answers.len(), 300);
    for answer in answers {
        assert!(answer.contains(r#""killed":true"#), "{answer}");
    }
    open.stop();
}

async fn ask_all(socket: String, asks: Vec<Vec<u8>>) -> Vec<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut tasks = tokio::task::JoinSet::new();
    for ask in asks {
        let socket = socket.clone();
        tasks.spawn(async move {
            let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
            let head = format!(
                "POST /v1/decide HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                ask.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&ask).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        });
    }
    tasks.join_all().await
}

/// Whoever sends a letter a second is shown out, and nobody waits for them.
#[test]
fn the_slow_are_shown_out() {
    let (mut open, _) = open();
    let (opened, agent) = open.session();
    let began = std::time::Instant::now();
    let slow = |whole: &'static str| {
        let mut stream = UnixStream::connect(&opened.socket).unwrap();
        std::thread::spawn(move || {
            for letter in whole.as_bytes().iter().cycle() {
                if stream.write_all(&[*letter]).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(500));
                stream.set_nonblocking(true).unwrap();
                let mut answer = [0; 512];
                match stream.read(&mut answer) {
                    Ok(0) => break,
                    Ok(read) => return String::from_utf8_lossy(&answer[..read]).into_owned(),
                    Err(_) => stream.set_nonblocking(false).unwrap(),
                }
            }
            String::new()
        })
    };
    let head = slow("GET /v1/health HTTP/1.1 or so");
    let mut body = UnixStream::connect(&opened.socket).unwrap();
    let begin = "POST /v1/decide HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{";
    body.write_all(begin.as_bytes()).unwrap();
    let read = open
        .house
        .ask("Read", &serde_json::json!({ "file_path": "x" }));
    assert!(agent.decide(&read).unwrap().allows());
    let mut answer = String::new();
    let _ = body.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let answer = head.join().unwrap();
    assert!(!answer.contains("200 OK"), "{answer}");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    open.stop();
}

/// Whoever follows the log gets each record once, from where they want, and comes back without a gap.
#[test]
fn people_follow_the_log_and_note_what_they_see() {
    use std::io::BufRead as _;
    let (mut open, alice) = open();
    let (_, agent) = open.session();
    let follow = |path: &str| {
        let mut stream = UnixStream::connect(open.house.gate.reviewers_socket()).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let limit = Some(Duration::from_secs(20));
        stream.set_read_timeout(limit).unwrap();
        std::io::BufReader::new(stream)
    };
    let next = |from: &mut std::io::BufReader<UnixStream>| -> serde_json::Value {
        loop {
            let mut line = String::new();
            assert_ne!(from.read_line(&mut line).unwrap(), 0, "it ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    };
    let mut all = follow("/v1/tail?after=0");
    assert_eq!(next(&mut all)["seq"], 1);
    let mut new = follow("/v1/tail");
    let mut head = String::new();
    while head.lines().last() != Some("") {
        assert_ne!(new.read_line(&mut head).unwrap(), 0);
    }
    assert!(
        head.contains("200 OK") && head.contains("text/event-stream"),
        "{head}"
    );
    let read = open
        .house
        .ask("Read", &serde_json::json!({ "file_path": "x" }));
    let action = agent.decide(&read).unwrap().action.unwrap();
    let seen = next(&mut new);
    assert_eq!(
        (&seen["seq"], &seen["kind"]),
        (&action.0.into(), &"action".into())
    );
    assert_eq!(seen["text_of"]["summary"], "because", "{seen}");
    for expected in 2..=action.0 {
        assert_eq!(next(&mut all)["seq"], expected);
    }
    for bad in ["/v1/tail?after=x", "/v1/tail?from=1", "/v1/tail?after=-1"] {
        let mut line = String::new();
        follow(bad).read_line(&mut line).unwrap();
        assert!(line.contains("400"), "{bad}: {line}");
    }
    // No agent follows it.
    assert!(agent.get::<serde_json::Value>("/v1/tail").is_err());

    let note = |text: &str, signed: Option<serde_json::Value>| {
        let mut note = serde_json::json!({ "about": [action], "text": text, "mark": "explained" });
        if let Some(signed) = signed {
            note["signed"] = signed;
        }
        open.reviewers()
            .post::<tacho_recorder::gate::wire::Recorded>("/v1/note", &note)
    };
    let mut statement = open
        .house
        .act_statement(tacho_schemas::act::Verb::Note, &alice);
    statement.target = Some(action);
    statement.digest = Some(tacho_schemas::Hash::sha256(b"as it should be"));
    let signed = serde_json::to_value(House::signed(&statement, &alice)).unwrap();
    assert!(note("something else", Some(signed.clone())).is_err());
    let noted = note("as it should be", Some(signed.clone())).unwrap().seq;
    assert!(note("as it should be", Some(signed)).is_err());
    assert!(note(" ", None).is_err());
    note("by whom it was not said", None).unwrap();
    let seen = next(&mut new);
    assert_eq!(
        (&seen["seq"], &seen["kind"]),
        (&noted.0.into(), &"note".into())
    );
    assert_eq!(seen["actor"]["id"], "alice");
    let unsigned = next(&mut new);
    assert!(
        unsigned["actor"]["id"]
            .as_str()
            .unwrap()
            .starts_with("uid-")
    );
    let report = open.house.acts();
    let report = report.report();
    assert_eq!((report.wrong, report.checked, report.unsigned), (0, 2, 1));
    // A stop ends the streams.
    open.stop();
    let mut rest = String::new();
    while new.read_line(&mut rest).unwrap() != 0 {}
}
