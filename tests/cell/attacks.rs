//! Attacks from inside, as data: `attacks.json`. Each names the row of the threat table that it tries, the script, and what it must say.

use std::fs;
use std::os::unix::net::UnixListener;

use serde::Deserialize;

use crate::user::{User, has_cells, marked, said};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Which row of the threat table.
    row: String,
    /// Done in the shell that starts `tacho run`.
    #[serde(default)]
    outer: String,
    /// A program without which nothing is shown.
    needs: Option<String>,
    /// Sockets that somebody listens on.
    #[serde(default)]
    listen: Vec<String>,
    #[serde(rename = "abstract")]
    without_path: Option<String>,
    script: String,
    says: String,
    /// What must not be there outside afterwards.
    absent: Option<String>,
    /// Whose command line must be nobody's afterwards.
    gone: Option<String>,
}

#[test]
fn what_is_tried_from_inside_a_cell_does_not_work() {
    if !has_cells() {
        return;
    }
    let text = include_str!("attacks.json");
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    let user = User::new();
    let (mut tried, mut skipped, mut wrong) = (0, 0, Vec::new());
    for case in &cases {
        if let Some(program) = &case.needs
            && !["/usr/bin", "/bin"]
                .iter()
                .any(|dir| fs::exists(format!("{dir}/{program}")).unwrap())
        {
            skipped += 1;
            eprintln!("skipped: {}: there is no {program}", case.name);
            continue;
        }
        let mut listening = Vec::new();
        for name in &case.listen {
            let path = user.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = fs::remove_file(&path);
            listening.push(UnixListener::bind(&path).unwrap());
            // Everybody may connect, as to a socket of the same user.
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        if let Some(name) = &case.without_path {
            use std::os::linux::net::SocketAddrExt as _;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
            listening.push(UnixListener::bind_addr(&address).unwrap());
        }
        let mut command = user.command(std::path::Path::new("sh"));
        let start = format!(
            "{}\nexec \"$TACHO\" run --env OUTER -- sh -c \"$SCRIPT\"",
            case.outer
        );
        let binary = user.binary();
        let ran = command
            .args(["-c", &start])
            .env("TACHO", binary)
            .env("SCRIPT", &case.script)
            .env("OUTER", std::process::id().to_string())
            .output()
            .unwrap();
        tried += 1;
        let out = String::from_utf8_lossy(&ran.stdout);
        if out.trim_end() != case.says {
            wrong.push(format!("{} ({}): {}", case.name, case.row, said(&ran)));
        }
        if let Some(name) = &case.absent
            && user.path(name).exists()
        {
            wrong.push(format!("{}: {name} was left behind", case.name));
        }
        if let Some(mark) = &case.gone
            && marked(mark) > 0
        {
            wrong.push(format!("{}: it lives on", case.name));
        }
    }
    eprintln!("{tried} tried, {skipped} skipped");
    assert!(
        wrong.is_empty(),
        "{} of {tried} broke:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(tried > 20);
}

#[test]
fn a_workspace_around_the_log_is_refused() {
    let user = User::new();
    for (place, sentence) in [
        ("home", "no cell may see"),
        ("home/.local/state/tachograph/default", "no cell may see"),
        ("home/.config/tachograph", "no cell may see"),
    ] {
        let ran = user
            .tacho(["run", "--", "true"])
            .current_dir(user.path(place))
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(125), "{place}: {}", said(&ran));
        assert!(said(&ran).contains(sentence), "{place}: {}", said(&ran));
    }
}

#[test]
fn exit_codes_are_the_agents() {
    let user = User::new();
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 143),
        ("exec /no/such/program", 127),
    ] {
        let ran = user.inside(&[], script);
        assert_eq!(ran.status.code(), Some(code), "{script}: {}", said(&ran));
    }
    let ran = user.run(["run", "--", "no-such-agent"]);
    assert_eq!(ran.status.code(), Some(127), "{}", said(&ran));
}

#[test]
fn nothing_of_ours_is_left_in_a_home() {
    let user = User::new();
    let list = |user: &User| {
        let mut names = Vec::new();
        let mut next = vec![user.path("home")];
        while let Some(dir) = next.pop() {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                names.push(entry.path());
                if entry.file_type().unwrap().is_dir() && !entry.path().ends_with("tachograph") {
                    next.push(entry.path());
                }
            }
        }
        names.sort();
        names
    };
    let before = list(&user);
    let ran = user.inside(&[], "touch ~/.cache/x /tmp/y; true");
    assert!(ran.status.success(), "{}", said(&ran));
    assert_eq!(list(&user), before);
}

#[test]
fn where_there_are_no_namespaces_landlock_holds_what_it_can_and_says_the_rest_aloud() {
    let user = User::new();
    if !user.run(["cell-probe", "landlock"]).status.success() {
        eprintln!("skipped: no Landlock on this machine");
        return;
    }
    let script = "cat ~/.local/state/tachograph/default/log.db >/dev/null 2>&1 && echo broke; \
                  ls ~/.local/state/tachograph/default/keys >/dev/null 2>&1 && echo broke; \
                  cat ~/.ssh/id_ed25519 2>/dev/null && echo broke; \
                  mv ~/.local/state/tachograph/default.run/armed /tmp/ 2>/dev/null && echo broke; \
                  touch ~/x 2>/dev/null && echo broke; echo x > made && cat made; cat ~/readme";
    let ran = user.inside(&["--level", "landlock"], script);
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout),
        "x\nseen",
        "{}",
        said(&ran)
    );
    assert!(
        said(&ran).contains("NOT CONFINED AS DESIGNED"),
        "{}",
        said(&ran)
    );
    let ran = user.inside(&["--level", "process-group"], "echo runs");
    assert!(
        said(&ran).contains("runs") && said(&ran).contains("NOT CONFINED AS DESIGNED"),
        "{}",
        said(&ran)
    );
}

/// Runs something where no user namespace can be made, as in many containers.
fn without_namespaces(user: &User, args: &str) -> Option<std::process::Output> {
    let script = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces && exec {} {args}",
        user.binary().display()
    );
    let mut command = user.command(std::path::Path::new("unshare"));
    let ran = command
        .args(["--user", "--map-root-user", "sh", "-c", &script])
        .output()
        .unwrap();
    if said(&ran).contains("unshare:") {
        eprintln!("skipped: no user namespace, so none in which there are none");
        return None;
    }
    Some(ran)
}

#[test]
fn without_user_namespaces_everything_else_works_on_a_lower_level_and_aloud() {
    let user = User::new();
    let Some(ran) = without_namespaces(&user, "run -- sh -c 'echo runs; exit 7'") else {
        return;
    };
    assert_eq!(ran.status.code(), Some(7), "{}", said(&ran));
    for words in [
        "runs",
        "NOT CONFINED AS DESIGNED",
        "because: ",
        "to reach a cell: ",
    ] {
        assert!(said(&ran).contains(words), "{}", said(&ran));
    }
    let ran = without_namespaces(&user, "doctor").unwrap();
    assert!(said(&ran).contains("to reach the next: "), "{}", said(&ran));
    let ran = without_namespaces(&user, "drill --within 10s --json").unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    // The demo tells the same story there.
    let ran = without_namespaces(&user, "demo --json").unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    let answer: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_ne!(answer["live"]["level"], "cell", "{answer}");
    assert_eq!(answer["live"]["sound"], true, "{answer}");
}
