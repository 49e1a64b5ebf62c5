//! `tacho export tiles`: checkpoint, tiles and records as C2SP tlog-tiles.

use std::fs;
use std::path::{Path, PathBuf};

use tacho_recorder::checkpoints;
use tacho_recorder::read::View;
use tacho_schemas::tile::{Tile, TileData, Tiles, WIDTH, encode_bundle};
use tacho_schemas::tree::{self, Frontier};

use super::super::prove::Newest;
use crate::place::{self, Place};
use crate::term::{Exit, Failure, Progress, Term, Tone, safe};

/// Write checkpoint, tiles and records as a folder of plain files
///
/// The layout is C2SP tlog-tiles: any web server can serve it, and any C2SP client can read and check it. It holds what the
/// newest checkpoint covers. The records are there, the texts they commit to are not: those stay in the vault.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  tacho export tiles /srv/www/log")]
pub(crate) struct Args {
    /// A new or empty folder
    dir: PathBuf,

    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, place: &Place, term: &mut Term) -> Result<Exit, Failure> {
    let log = place.open_to_read()?;
    let note = checkpoints::newest(&log)?;
    let reader = place::reader(&log)?;
    let view = View::new(&reader)?;
    let newest = Newest::of(&view, note)?;
    let size = newest.checkpoint.size();
    make_empty(&args.dir)?;

    let mut export = Export {
        dir: &args.dir,
        tiles: Tiles::new(),
        tree: Frontier::new(),
        bundle: Vec::new(),
        files: 0,
        progress: term.progress("exporting"),
        size,
    };
    view.records(0..size, |shown| {
        if !shown.in_tree {
            return Err(Failure::new(format!("record {} is not what was recorded, so nothing is exported from it on", shown.seq))
                .hint("run `tacho verify` to see what is still proven; the folder has no checkpoint and is no export"));
        }
        export.take(shown.bytes)
    })?;
    let root = export.end()?;
    if root != *newest.checkpoint.root() {
        return Err(Failure::new(
            "the exported records do not have the root that the checkpoint signs",
        )
        .hint("run `tacho verify`; the folder has no checkpoint and is no export"));
    }
    // Last: a folder with a checkpoint is whole.
    let checkpoint = args.dir.join("checkpoint");
    place::write_new(&checkpoint, newest.note.to_string().as_bytes())?;
    let files = export.files.saturating_add(1);
    drop(export);

    let vkey = newest.log_vkey()?.to_string();
    if args.json {
        let made = serde_json::json!({
            "dir": args.dir.to_string_lossy(), "size": size, "root": root, "files": files, "vkey": vkey,
        });
        term.line(made.to_string())?;
        return Ok(Exit::Done);
    }
    term.line(format!(
        "exported {size} records as {files} files to {}",
        term.paint(Tone::Strong, &safe(&args.dir.to_string_lossy()))
    ))?;
    term.line("check it with this key, which you hand out by another way:")?;
    term.line(format!("  {}", term.paint(Tone::Strong, &vkey)))?;
    Ok(Exit::Done)
}

/// Makes the folder, or sees that the one there is empty.
pub(super) fn make_empty(dir: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| {
        Failure::new(format!(
            "cannot use `{}`: {}",
            dir.display(),
            place::plain(&e)
        ))
    };
    match fs::create_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            if fs::read_dir(dir).map_err(failed)?.next().is_some() {
                return Err(Failure::new(format!("`{}` is not empty", dir.display()))
                    .hint("name a new folder: an export is never mixed with other files"));
            }
            Ok(())
        }
        other => other.map_err(failed),
    }
}

/// An export under way.
struct Export<'a> {
    dir: &'a Path,
    tiles: Tiles,
    tree: Frontier,
    /// The records of the bundle that is not full.
    bundle: Vec<Vec<u8>>,
    files: u64,
    progress: Progress,
    size: u64,
}

impl Export<'_> {
    fn take(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        let leaf = tree::leaf_hash(&bytes);
        self.tree.append(leaf)?;
        self.bundle.push(bytes);
        for tile in self.tiles.push(leaf)? {
            self.tile(&tile)?;
        }
        if self.bundle.len() == usize::from(WIDTH) {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is not full, and returns the root.
    fn end(&mut self) -> Result<tacho_schemas::Hash, Failure> {
        if !self.bundle.is_empty() {
            self.flush()?;
        }
        for tile in self.tiles.partial() {
            self.tile(&tile)?;
        }
        Ok(self.tree.root())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let bundle = std::mem::take(&mut self.bundle);
        let width = u16::try_from(bundle.len()).unwrap_or(WIDTH);
        let index = self.tree.size().saturating_sub(1) / u64::from(WIDTH);
        let place = Tile::new(0, index, width)?.entries_path();
        self.write(&place, &encode_bundle(&bundle)?)?;
        self.progress.show(self.tree.size(), self.size);
        Ok(())
    }

    fn tile(&mut self, tile: &TileData) -> Result<(), Failure> {
        self.write(&tile.tile().path(), &tile.to_bytes())
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.dir.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| {
                Failure::new(format!(
                    "cannot make `{}`: {}",
                    folder.display(),
                    place::plain(&e)
                ))
            })?;
        }
        self.files = self.files.saturating_add(1);
        place::write_new(&path, bytes)
    }
}
