//! A log to import into, and its records to look at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tacho_recorder::audit::{Question, audit};
use tacho_recorder::import::{Format, Imported, Known, Request, import};
use tacho_recorder::log::{Beginning, Log, Options};
use tacho_recorder::read::{Shown, View};
use tacho_recorder::{LogDir, Reader, Result, SystemClock, keys};
use tacho_schemas::body::Body;
use tacho_schemas::content::{Descriptor, Field};
use tacho_schemas::record::{Record, Role};
use tacho_schemas::{Kind, Origin, Seq};

pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    log: Option<Log>,
    known: Known,
}

/// A file of `fixtures/traces`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/traces")
        .join(name)
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new(Arc::new(SystemClock::new().unwrap()), "test").for_import();
        let beginning = Beginning {
            path: &dir.path().join("log"),
            origin: Origin::from_parts("tacho.invalid", [7; 16]).unwrap(),
            identity: &keys::generate().unwrap(),
            predecessor: None,
        };
        let log = Log::create(beginning, options).unwrap();
        Self {
            dir,
            log: Some(log),
            known: Known::default(),
        }
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn request(&mut self, request: &Request) -> Result<Imported> {
        let log = self.log.as_ref().unwrap();
        let reader = Reader::open(&LogDir::open_to_read(log.path())?)?;
        import(
            log,
            &View::new(&reader)?,
            request,
            &mut self.known,
            &mut |_, _| {},
        )
    }

    pub(crate) fn import(&mut self, path: &Path, format: Option<Format>) -> Result<Imported> {
        self.request(&Request {
            path: path.to_owned(),
            format,
            again: false,
            range: None,
        })
    }

    /// Imports a text under the format that is guessed, and gives what became of it.
    pub(crate) fn text(&mut self, name: &str, text: &str) -> (Imported, Records) {
        let path = self.file(name, text);
        self.path(&path)
    }

    pub(crate) fn path(&mut self, path: &Path) -> (Imported, Records) {
        let imported = self.import(path, None).unwrap();
        let records = self.records();
        (imported, records)
    }

    fn open(&self) -> (LogDir, Reader) {
        let dir = LogDir::open_to_read(&self.dir.path().join("log")).unwrap();
        let reader = Reader::open(&dir).unwrap();
        (dir, reader)
    }

    pub(crate) fn records(&self) -> Records {
        let (_, reader) = self.open();
        let view = View::new(&reader).unwrap();
        let (mut records, mut files) = (Vec::new(), BTreeMap::new());
        view.records(0..view.size(), |shown| {
            assert!(shown.doubts.is_empty(), "{:?}", shown.doubts);
            let is_import = record(&shown).kind == Kind::Import;
            let held = shown.row.artefacts.iter().flatten();
            for (place, kept) in held.filter(|_| !is_import) {
                let descriptor = Descriptor::decode(&kept.bytes).unwrap();
                let found = view.snapshot().artefact(&descriptor.blake3).unwrap();
                files.insert((shown.seq, *place), found.unwrap().bytes);
            }
            records.push(shown);
            Ok::<(), tacho_recorder::Error>(())
        })
        .unwrap();
        Records {
            shown: records,
            files,
        }
    }

    pub(crate) fn export(&self, session: Seq) -> Result<tacho_recorder::export::atif::Exported> {
        let (_, reader) = self.open();
        tacho_recorder::export::atif::export(&View::new(&reader)?, session, "test")
    }

    /// Closes the log, and has it checked as a whole.
    pub(crate) fn audit(&mut self) {
        if let Some(log) = self.log.take() {
            log.close().unwrap();
        }
        let dir = LogDir::open(&self.dir.path().join("log")).unwrap();
        let report = audit(&dir, &Question::default(), |_, _| ()).unwrap();
        assert!(report.has_integrity(), "{report:#?}");
    }
}

/// All records of a log.
pub(crate) struct Records {
    shown: Vec<Shown>,
    files: BTreeMap<(Seq, u64), Vec<u8>>,
}

impl Records {
    pub(crate) fn of(&self, kind: Kind) -> Vec<&Shown> {
        self.shown
            .iter()
            .filter(|s| record(s).kind == kind)
            .collect()
    }

    pub(crate) fn get(&self, seq: Seq) -> &Shown {
        &self.shown[usize::try_from(seq.0).unwrap()]
    }

    /// An artefact of a record, as text.
    pub(crate) fn file(&self, shown: &Shown, place: u64) -> &str {
        std::str::from_utf8(&self.files[&(shown.seq, place)]).unwrap()
    }

    /// The action with an id of its source.
    pub(crate) fn action(&self, source_id: &str) -> &Shown {
        let found = self.of(Kind::Action).into_iter();
        let mut found = found.filter(|s| s.text(Field::SourceId) == Some(source_id));
        found.next().unwrap()
    }
}

pub(crate) fn record(shown: &Shown) -> &Record {
    shown.meaning.as_ref().unwrap()
}

macro_rules! bodies {
    ($($name:ident: $variant:ident => $body:path),+ $(,)?) => {
        $(pub(crate) fn $name(shown: &Shown) -> &$body {
            match &record(shown).body { Body::$variant(body) => body, other => panic!("{other:?}") }
        })+
    };
}

bodies! {
    message: Message => tacho_schemas::body::work::Message,
    action: Action => tacho_schemas::body::work::Action,
    outcome: Outcome => tacho_schemas::body::work::Outcome,
    session: Session => tacho_schemas::body::work::Session,
    mutation: Mutation => tacho_schemas::body::change::Mutation,
}

/// The files of a record by role.
pub(crate) fn roles(shown: &Shown) -> Vec<Role> {
    record(shown).artefacts().iter().map(|a| a.role).collect()
}

pub(crate) fn losses(imported: &Imported) -> BTreeMap<&str, u64> {
    imported
        .losses
        .iter()
        .map(|(what, count)| (what.as_str(), *count))
        .collect()
}
