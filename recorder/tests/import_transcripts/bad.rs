//! Files that are torn, strange, hostile or meant for another importer.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;

use serde_json::json;
use tacho_recorder::ErrorKind;
use tacho_recorder::import::Format;
use tacho_schemas::Kind;
use tacho_schemas::content::Field;
use tacho_schemas::record::Role;

use crate::claude_code::Script;
use crate::harness::{Bench, fixture, losses, record, roles};

fn hello() -> String {
    let mut script = Script::default();
    script.user(json!("hello"));
    script.text
}

/// A name, a file and what is lost of it.
type Case<'a> = (&'a str, Vec<u8>, &'a [(&'a str, u64)]);

#[test]
fn lines_that_cannot_be_read_are_counted() {
    let good = hello();
    let bomb = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let wide = format!("[{}0]", "0,".repeat(1 << 21));
    let twice = good.replacen(
        "\"type\":\"user\"",
        "\"type\":\"assistant\",\"type\":\"user\"",
        1,
    );
    let old = good.replace("2026-01-02", "1970-01-01");
    let new = good.replace("2026-01-02", "2100-12-31");
    let far = good.replace("2026-01-02", "9999-01-01");
    let cases: &[Case<'_>] = &[
        (
            "torn",
            format!("{good}{{\"type\": \"us").into(),
            &[("line_torn", 1)],
        ),
        ("without end", good.trim_end().into(), &[]),
        ("crlf", good.replace('\n', "\r\n").into(), &[]),
        ("bom", format!("\u{feff}{good}").into(), &[]),
        ("blank", format!("\n\n{good}  \n").into(), &[]),
        (
            "latin1",
            [good.as_bytes(), b"{\"a\": \"\xe9\"}\n"].concat(),
            &[("line_not_utf8", 1)],
        ),
        (
            "nul",
            [good.as_bytes(), b"\0\0\0\n"].concat(),
            &[("line_not_json", 1)],
        ),
        (
            "bomb",
            format!("{good}{bomb}\n").into(),
            &[("line_too_deep", 1)],
        ),
        (
            "wide",
            format!("{good}{wide}\n").into(),
            &[("line_with_too_many_values", 1)],
        ),
        ("twice", twice.into(), &[("key_repeated", 1)]),
        ("1970", old.into(), &[]),
        ("2100", new.into(), &[]),
        ("9999", far.into(), &[("time_malformed", 1)]),
    ];
    let mut bench = Bench::new();
    for (name, bytes, expected) in cases {
        let path = bench.file(name, bytes);
        let imported = bench.import(&path, Some(Format::ClaudeCode)).unwrap();
        let expected: BTreeMap<_, _> = expected.iter().copied().collect();
        let mut found = losses(&imported);
        // The session's line and the message's line have the same time.
        found.entry("time_malformed").and_modify(|n| *n = 1);
        assert_eq!(found, expected, "{name}");
        let made = imported.counts.get(&Kind::Message).copied();
        assert_eq!(made, Some(1), "{name}");
    }
    let records = bench.records();
    let years: Vec<_> = records
        .of(Kind::Message)
        .iter()
        .filter_map(|s| record(s).claimed.as_ref()?.start)
        .map(|time| time.to_string()[..4].to_owned())
        .collect();
    assert!(years.contains(&"1970".to_owned()) && years.contains(&"2100".to_owned()));
    bench.audit();
}

#[test]
fn files_that_are_none_are_refused_with_advice() {
    let mut bench = Bench::new();
    let fifo = bench.dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let utf16: Vec<u8> = std::iter::once(0xfeff_u16)
        .chain(hello().encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let folder = bench.dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let cases = [
        (fifo, "is not a plain file"),
        (folder, "is a directory"),
        (bench.file("utf16", utf16), "is in UTF-16"),
        (
            bench.file("gzip", b"\x1f\x8b\x08\x00"),
            "is compressed with gzip",
        ),
        (bench.file("zip", b"PK\x03\x04"), "is a zip archive"),
        (bench.dir.path().join("nothing"), "cannot read"),
    ];
    let before = bench.records().of(Kind::Import).len();
    for (path, told) in cases {
        for format in [
            None,
            Some(Format::Atif),
            Some(Format::ClaudeCode),
            Some(Format::Codex),
        ] {
            let refused = bench.import(&path, format).unwrap_err();
            assert!(refused.to_string().contains(told), "{refused}");
        }
    }
    let empty = bench.file("empty", "");
    let refused = bench.import(&empty, None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert!(refused.hint().unwrap().contains("`codex`"), "{refused:?}");
    assert_eq!(bench.records().of(Kind::Import).len(), before);
    assert!(
        bench
            .import(&empty, Some(Format::ClaudeCode))
            .unwrap()
            .counts
            .is_empty()
    );
    bench.audit();
}

#[test]
fn the_wrong_importer_reports_that_it_understood_nothing() {
    let mut bench = Bench::new();
    for name in [
        "claude-code/representative_messages.jsonl",
        "codex/made-modern.jsonl",
        "codex/made-first.jsonl",
        "atif/made-1.8.json",
        "README.md",
    ] {
        let path = fixture(name);
        for (format_name, format, _) in Format::ALL {
            if name.starts_with(format_name) {
                continue;
            }
            let request = tacho_recorder::import::Request {
                path: path.clone(),
                format: Some(*format),
                again: true,
                range: None,
            };
            match bench.request(&request) {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Usage, "{error}"),
                Ok(imported) => {
                    assert!(!imported.losses.is_empty(), "{name} as {format_name}");
                    let made: u64 = imported.counts.values().sum();
                    assert!(made <= 2, "{name} as {format_name}: {:?}", imported.counts);
                }
            }
        }
    }
    bench.audit();
}

#[test]
fn a_file_that_grows_is_read_as_far_as_it_was() {
    let mut bench = Bench::new();
    let path = bench.file("grows", hello().repeat(2000));
    let mut end = OpenOptions::new().append(true).open(&path).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let imported = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                end.write_all(hello().as_bytes()).unwrap();
            }
        });
        let imported = bench.import(&path, None);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        imported
    });
    // Each reader of the file ends with a whole line or a torn one, never in the middle of nowhere.
    let imported = imported.unwrap();
    assert!(imported.counts[&Kind::Message] >= 2000);
    assert!(
        imported.losses.keys().all(|what| what == "line_torn"),
        "{:?}",
        imported.losses
    );
    bench.audit();
}

#[test]
fn a_line_without_end_is_passed_over() {
    let mut bench = Bench::new();
    let path = bench.file("sparse", hello());
    let file = OpenOptions::new().append(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length + (80 << 20)).unwrap();
    let imported = bench.import(&path, None).unwrap();
    assert_eq!(losses(&imported), BTreeMap::from([("line_too_long", 1)]));
    assert_eq!(imported.counts[&Kind::Message], 1);
    assert!(peak_memory() < 600 << 20, "{}", peak_memory());
    let records = bench.records();
    let originals: usize = records
        .of(Kind::Import)
        .iter()
        .map(|s| {
            roles(s)
                .iter()
                .filter(|role| **role == Role::Original)
                .count()
        })
        .sum();
    assert!(originals >= 20, "all of it is kept");
    let open = records.of(Kind::Import)[0];
    assert!(open.text(Field::Digest).is_some());
    bench.audit();
}

/// The most memory that this process has used.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}
