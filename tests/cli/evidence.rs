//! Keys and proofs.

use super::home::{Home, MESSAGE};

fn vkey(home: &Home) -> String {
    let keys = &home.run(["key", "show", "--json"]).good().json()[0];
    keys["vkeys"]["log"].as_str().unwrap().to_owned()
}

#[test]
fn a_proof_holds_with_the_log_and_without() {
    let home = Home::with_log();
    home.record_many(300);
    let text = home.run(["prove", "inclusion", "7"]).good().out;
    assert!(
        text.starts_with("c2sp.org/tlog-proof@v1\nindex 7\n"),
        "{text}"
    );
    let ran = home
        .run(["prove", "inclusion", "7", "--out", "p", "--record", "r"])
        .good();
    assert_eq!(ran.out, "");
    assert_eq!(std::fs::read_to_string(home.path("p")).unwrap(), text);
    home.run(["prove", "inclusion", "7", "--out", "p"])
        .refused_with_hint(2, "cannot write `p`: file exists");
    home.run(["prove", "check", "p"]).good();

    let key = vkey(&home);
    std::fs::rename(home.log(), home.path("away")).unwrap();
    let check = ["prove", "check", "p", "--record", "r", "--vkey", &key];
    assert!(
        home.run(check)
            .good()
            .out
            .starts_with("holds: record 7 is among the 305 that")
    );
    let mut record = std::fs::read(home.path("r")).unwrap();
    *record.last_mut().unwrap() ^= 1;
    std::fs::write(home.path("r"), record).unwrap();
    let ran = home.run(check);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.starts_with("DOES NOT HOLD for record 7"), "{ran:?}");
    std::fs::rename(home.path("away"), home.log()).unwrap();

    std::fs::write(home.path("p"), text.replace("index 7", "index 8")).unwrap();
    assert_eq!(home.run(["prove", "check", "p"]).code, 1);
    std::fs::write(home.path("p"), "hello").unwrap();
    home.run(["prove", "check", "p"])
        .refused_with_hint(2, "`p` is no proof");
    home.run(["prove", "inclusion", "999"])
        .refused_with_hint(2, "there is no record 999");
    let json = &home
        .run(["prove", "inclusion", "7", "--json"])
        .good()
        .json()[0];
    assert_eq!(json["proof"], text.as_str());
    assert_eq!(json["vkey"], key.as_str());
}

#[test]
fn a_log_is_shown_to_have_only_grown() {
    let home = Home::with_log();
    home.record_many(300);
    let ran = home.run(["prove", "consistency", "3"]).good();
    let lines: Vec<_> = ran.out.lines().collect();
    assert!(
        lines[0].starts_with("from 3 ") && lines[1].starts_with("to 305 "),
        "{ran:?}"
    );
    let json = &home
        .run(["prove", "consistency", "3", "200", "--json"])
        .good()
        .json()[0];
    assert_eq!(json["to"]["size"], 200);
    assert!(json["path"].as_array().unwrap().len() > 5);
    let ran = home.run(["prove", "consistency", "305", "305"]).good();
    assert_eq!(ran.out.lines().count(), 2);
    home.run(["prove", "consistency", "0"])
        .refused_with_hint(2, "every log begins with nothing");
    home.run(["prove", "consistency", "9", "5"])
        .refused_with_hint(2, "size 9 is larger than size 5");
    home.run(["prove", "consistency", "999"])
        .refused_with_hint(2, "the log has 305 records");
}

#[test]
fn no_proof_is_made_of_a_damaged_log() {
    let home = Home::with_log();
    home.record_many(3);
    let path = home.log().join("checkpoints");
    let text = std::fs::read_to_string(&path).unwrap();
    // The root of the last checkpoint.
    let root = text
        .lines()
        .rfind(|l| l.len() == 44 && l.ends_with('='))
        .unwrap();
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    std::fs::write(&path, text.replace(root, other)).unwrap();
    for verb in [
        &["prove", "inclusion", "4"][..],
        &["prove", "consistency", "4"],
        &["export", "tiles", "t"],
    ] {
        home.run(verb)
            .refused_with_hint(2, "the newest checkpoint does not fit the log");
    }
    std::fs::remove_file(&path).unwrap();
    home.run(["prove", "inclusion", "4"])
        .refused_with_hint(2, "the log has no checkpoint yet");
    assert!(!home.path("t").exists());
}

#[test]
fn keys_are_shown_and_replaced() {
    let home = Home::with_log();
    let first = vkey(&home);
    let ran = home.run(["key", "show"]).good();
    assert!(
        ran.out.contains(&first) && ran.out.contains("/e1+"),
        "{ran:?}"
    );
    let ran = home.run(["key", "rotate"]).good();
    assert_eq!(
        ran.out,
        "epoch 1 ends with record 4, and its key is destroyed\n"
    );
    let ran = home.run(["key", "rotate", "--log-key"]).good();
    let second = vkey(&home);
    assert_ne!(first, second);
    assert!(ran.out.contains(&second), "{ran:?}");
    assert!(
        home.run(["key", "show"])
            .good()
            .out
            .contains("was replaced by record 7")
    );
    let keys = &home.run(["key", "show", "--json"]).good().json()[0];
    let epochs = keys["epochs"].as_array().unwrap();
    let numbers: Vec<_> = epochs
        .iter()
        .map(|e| e["epoch"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..5).collect::<Vec<_>>());
    let mut next = 0;
    for epoch in epochs {
        assert_eq!(epoch["first"], next);
        next = epoch["last"].as_u64().map_or(0, |last| last + 1);
    }
    home.record(&[MESSAGE]).good();
    home.run(["verify"]).good();
    home.run(["prove", "inclusion", "2"]).good();
    home.run(["key", "rotate", "--log-key", "--identity", "nowhere"])
        .refused_with_hint(2, "cannot open");
    let receipt = home.run(["key", "rotate", "--json"]).good().json();
    assert!(receipt[0]["commit"]["size"].is_number());
}

#[test]
fn a_lost_epoch_key_is_broken_visibly_and_only_then() {
    let home = Home::with_log();
    home.record(&[MESSAGE]).good();
    home.run(["key", "rotate", "--log-key"]).good();
    home.run(["key", "break", "--yes"])
        .refused_with_hint(2, "the epoch's key is not lost");
    std::fs::remove_file(home.log().join("keys/epoch.pem")).unwrap();
    home.record(&[MESSAGE]).refused_with_hint(2, "no key in");
    home.run(["key", "break"])
        .refused_with_hint(2, "not confirmed, so nothing was changed");
    let aside = home.path("log.pem");
    std::fs::rename(home.log().join("keys/log.pem"), &aside).unwrap();
    home.run(["key", "break", "--yes"])
        .refused_with_hint(2, "the log key is lost too");
    std::fs::rename(&aside, home.log().join("keys/log.pem")).unwrap();
    home.run(["key", "break", "--yes", "--identity", "nowhere"])
        .refused_with_hint(2, "cannot open");
    home.run(["key", "break", "--yes"]).good();
    home.record(&[MESSAGE]).good();
    let ran = home.run(["verify"]).good();
    assert!(ran.out.contains("1 epoch ended without a seal"), "{ran:?}");
    assert!(!ran.out.ends_with("\nverified\n"), "{ran:?}");
    let ran = home.run(["verify", "--require", "sealed"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("✗ required sealed: 1 epoch"), "{ran:?}");
    assert!(
        home.run(["key", "show"])
            .good()
            .out
            .contains("BROKEN: its key was lost")
    );
}

#[test]
fn another_identity_replaces_nothing() {
    let home = Home::with_log();
    home.run(["--log", "other", "init", "--identity", "other.pem"])
        .good();
    home.run(["key", "rotate", "--log-key", "--identity", "other.pem"])
        .refused(2, "is not the one that answers for the log");
    std::fs::remove_file(home.log().join("keys/epoch.pem")).unwrap();
    home.run(["key", "break", "--yes", "--identity", "other.pem"])
        .refused(2, "is not the one that answers for the log");
}
