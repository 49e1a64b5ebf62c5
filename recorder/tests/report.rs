//! Reports of bad logs: none is made, or it says what is missing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tacho_recorder::audit::Question;
use tacho_recorder::error::ErrorKind;
use tacho_recorder::export::bundle;
use tacho_recorder::export::line::Lines;
use tacho_recorder::export::report::{Ask, Made, framework, write};
use tacho_recorder::export::select;
use tacho_recorder::export::withhold::Withhold;
use tacho_recorder::filter::Filter;
use tacho_recorder::{LogDir, Reader};
use tacho_schemas::Time;

/// A copy of the sound log of the fixtures.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/logs/sound/log");
        unpack(&from, &folder.path().join("log"));
        Self { folder }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn sql(&self, text: &str) {
        let database = Connection::open(self.log().join("log.db")).unwrap();
        assert_ne!(database.execute(text, []).unwrap(), 0, "{text}");
        database
            .pragma_update(None, "wal_checkpoint", "TRUNCATE")
            .ok();
    }

    fn report(&self, name: &str) -> tacho_recorder::Result<Made> {
        let dir = LogDir::open_to_read(&self.log())?;
        let framework = framework("eu-ai-act")?;
        let ask = Ask {
            framework: &framework,
            filter: &Filter::Everything,
            withhold: Withhold::default(),
            question: Question::default(),
            software: "test",
            made: Time(0),
        };
        write(
            &dir,
            &Reader::open(&dir)?,
            &ask,
            &self.folder.path().join(name),
            |_, _| (),
        )
    }

    fn bundle(&self, name: &str) -> tacho_recorder::Result<bundle::Made> {
        let dir = LogDir::open_to_read(&self.log())?;
        let ask = bundle::Ask {
            filter: &Filter::Everything,
            withhold: Withhold::default(),
            joins: Vec::new(),
            software: "test",
            made: Time(0),
        };
        bundle::write(
            &dir,
            &Reader::open(&dir)?,
            &ask,
            &self.folder.path().join(name),
            |_, _| (),
        )
    }

    fn lines(&self) -> tacho_recorder::Result<(String, u64)> {
        let dir = LogDir::open_to_read(&self.log())?;
        let reader = Reader::open(&dir)?;
        let (mut lines, mut out) = (Lines::new(Withhold::default()), Vec::new());
        select::each(
            &dir,
            &reader,
            (&Filter::Everything, u64::MAX),
            |_, _| (),
            |shown| lines.take(shown, &mut out),
        )?;
        let gone = lines.losses.get("gone").copied().unwrap_or(0);
        Ok((String::from_utf8(out).unwrap(), gone))
    }

    /// What lies beside the log.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "log").collect()
    }
}

fn unpack(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            unpack(&path, &to.join(name));
        } else if let Some(plain) = name.strip_suffix(".zst") {
            let bytes = zstd::decode_all(fs::File::open(&path).unwrap()).unwrap();
            fs::write(to.join(plain), bytes).unwrap();
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(to, mode).unwrap();
    for entry in fs::read_dir(to).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(path, mode).unwrap();
        }
    }
}

#[test]
fn a_report_is_the_same_log_in_two_readings() {
    let bench = Bench::new();
    let made = bench.report("r.html").unwrap();
    assert!(made.report.has_integrity());
    assert_eq!(made.selected, made.report.size);
    assert_eq!(made.mutations.0, made.mutations.1);
    assert_eq!(bench.files(), ["r.html"]);
    let error = bench.report("r.html").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
}

#[test]
fn of_an_altered_log_there_is_no_report() {
    for change in [
        "UPDATE records SET bytes = CAST(substr(bytes, 1, length(bytes) - 1) || x'00' AS BLOB) WHERE seq = 4",
        "DELETE FROM records WHERE seq = (SELECT max(seq) FROM records)",
        "UPDATE commits SET signature = zeroblob(64)",
    ] {
        let bench = Bench::new();
        bench.sql(change);
        let error = bench.report("r.html").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{change}: {error}");
        assert_eq!(bench.files(), Vec::<String>::new(), "{change}");
    }
}

#[test]
fn what_the_vault_lacks_is_counted_everywhere() {
    let bench = Bench::new();
    let whole = bench.bundle("whole.tacho").unwrap();
    bench.sql("DELETE FROM vault WHERE seq = (SELECT min(seq) FROM vault WHERE seq > 2)");
    let made = bench.report("r.html").unwrap();
    assert!(made.report.content.missing > 0 && !made.good);
    let page = fs::read_to_string(bench.folder.path().join("r.html")).unwrap();
    assert!(
        page.contains("texts or files are gone"),
        "the page hides it"
    );
    let holed = bench.bundle("holed.tacho").unwrap();
    assert_eq!(holed.report.content.missing, made.report.content.missing);
    assert_eq!(
        holed.report.content.opened + holed.report.content.missing,
        whole.report.content.opened
    );
    let (lines, gone) = bench.lines().unwrap();
    assert_eq!(gone, made.report.content.missing);
    assert!(lines.contains("\"gone\":["));
}

#[test]
fn an_artefact_of_ten_gigabytes_is_refused_before_it_is_read() {
    // 10 GiB by its row; and one whose bytes unpack to 256 MiB, whatever the row says.
    let bomb = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 256 << 20), 1).unwrap();
    let bomb: String = bomb.iter().map(|byte| format!("{byte:02x}")).collect();
    for change in [
        "UPDATE artefacts SET size = 10737418240".to_owned(),
        format!("UPDATE artefacts SET bytes = x'{bomb}'"),
    ] {
        let bench = Bench::new();
        bench.sql(&change);
        let began = std::time::Instant::now();
        for error in [
            bench.bundle("b.tacho").unwrap_err(),
            bench.report("r.html").unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
        assert!(began.elapsed().as_secs() < 60);
        assert_eq!(bench.files(), Vec::<String>::new());
        // JSON Lines name files and do not read them.
        bench.lines().unwrap();
    }
}
