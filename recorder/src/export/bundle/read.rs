//! Verification of a bundle, which needs no log: frames are read in order, blocks are unpacked and checked by a few threads, and
//! one thread folds what they found. A bundle may claim any size: memory is taken as bytes come, up to the caps of the format.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::bufread::ZlibDecoder;
use sha2::{Digest as _, Sha256};
use tacho_schemas::bundle::{
    Block, Checked, End, FrameError, Head, Item, MAX_BLOCK, MAX_PIECE, Piece, Reading, Told,
    check_block, read_frame,
};
use tacho_schemas::sign::Fingerprint;
use tacho_schemas::verify::{Anchor, Mark, Report};
use tacho_schemas::{Hash, Origin};

use crate::error::{Error, ErrorKind, Quoted, Result};

/// What is asked of a bundle.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The identity key that is trusted, and why.
    pub trust: Option<(Fingerprint, Anchor)>,
    /// Marks that the reader kept.
    pub marks: Vec<Mark>,
}

/// Blocks that a thread may be ahead.
const AHEAD: usize = 1;

/// Why reading ended early.
enum Stop {
    /// The bundle is bad.
    Bad(String),
    /// It could not be read at all.
    Failed(Error),
}

impl From<tacho_schemas::Error> for Stop {
    fn from(error: tacho_schemas::Error) -> Self {
        Self::Bad(error.to_string())
    }
}

/// What the reading thread hands on: items in their order.
enum Next {
    Item(Item),
    /// A block went to the next checking thread.
    Block,
    /// The last item, and what its SHA-256 must be.
    End(Item, Hash),
    Stop(Stop),
}

fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let meta = file.metadata().map_err(|e| Error::io("open", path, e))?;
    if !meta.is_file() {
        let what = format!("{} is not a plain file", Quoted(path));
        return Err(Error::new(ErrorKind::Usage, what));
    }
    Ok(file)
}

/// Whether a path is that of a file, and so of a bundle: a log is a directory.
pub fn is_bundle(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file())
}

/// The name of the log that a bundle says it is of. Nothing has been checked.
pub fn origin(path: &Path) -> Result<Option<Origin>> {
    let mut from = BufReader::new(open(path)?);
    Ok(match read_frame(&mut from) {
        Ok(Some((_, inside))) => match Item::decode(&inside) {
            Ok(Item::Head(head)) => Some(head.origin),
            _ => None,
        },
        _ => None,
    })
}

/// Verifies a bundle. `progress` hears how many records of how many were passed.
///
/// An error means that the file could not be read; whatever is wrong with what is in it is in the report. One that is no bundle at
/// all is an error too: there is nothing to report about.
pub fn verify(
    path: &Path,
    question: &Question,
    progress: impl FnMut(u64, u64),
) -> Result<(Report, Told)> {
    verify_and(path, question, progress, |_| Ok(()))
}

/// What is met on the way through a bundle, before anything is known of whether it is good.
pub(super) enum Met<'a> {
    /// The first item.
    Head(&'a Head),
    /// The inside of a block.
    Steps(&'a [u8]),
    /// A piece of a file, and its bytes.
    Piece(&'a Piece, &'a [u8]),
}

/// Verifies a bundle, and shows all that is in it to `meet` in the same pass: what was met is what was verified.
pub(super) fn verify_and(
    path: &Path,
    question: &Question,
    progress: impl FnMut(u64, u64),
    meet: impl FnMut(Met<'_>) -> Result<()>,
) -> Result<(Report, Told)> {
    let file = open(path)?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let (order, ordered) = sync_channel::<Next>(2 * threads);
        let mut blocks = Vec::new();
        let mut checked = Vec::new();
        for _ in 0..threads {
            let (send_block, take_block) = sync_channel::<Block>(AHEAD);
            let (send_steps, take_steps) = sync_channel(AHEAD);
            blocks.push(send_block);
            checked.push(take_steps);
            scope.spawn(move || check_all(&take_block, &send_steps));
        }
        scope.spawn(move || {
            let mut from = BufReader::with_capacity(1 << 18, file);
            if let Err(stop) = read_all(&mut from, path, &order, &blocks) {
                // Nobody listens any more if the fold has ended.
                let _ = order.send(Next::Stop(stop));
            }
        });
        fold_all(&ordered, &checked, (path, question), progress, meet)
    })
}

/// Reads frames to the end of the file.
fn read_all(
    from: &mut BufReader<File>,
    path: &Path,
    order: &SyncSender<Next>,
    blocks: &[SyncSender<Block>],
) -> std::result::Result<(), Stop> {
    let mut sha256 = Sha256::new();
    let mut turn = blocks.iter().cycle();
    let gone = |_| Stop::Bad("reading ended".to_owned());
    loop {
        let (head, inside) = match read_frame(from) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(()),
            Err(FrameError::Malformed(why)) => return Err(why.into()),
            Err(FrameError::Io(error)) => return Err(Stop::Failed(Error::io("read", path, error))),
        };
        match Item::decode(&inside)? {
            Item::Block(block) => {
                order.send(Next::Block).map_err(gone)?;
                if let Some(thread) = turn.next()
                    && thread.send(block).is_err()
                {
                    return Err(Stop::Bad("a thread that checks blocks ended".to_owned()));
                }
            }
            item @ Item::End(_) => {
                let digest = End::digest(sha256.clone(), &inside)?;
                order.send(Next::End(item, digest)).map_err(gone)?;
            }
            item => order.send(Next::Item(item)).map_err(gone)?,
        }
        sha256.update(&head);
        sha256.update(&inside);
    }
}

/// The steps of a block, and the bytes that they were read from.
type CheckedBlock = std::result::Result<(Vec<Checked>, Vec<u8>), Stop>;

/// Unpacks and checks the blocks that come.
fn check_all(blocks: &Receiver<Block>, steps: &SyncSender<CheckedBlock>) {
    for block in blocks {
        let checked = unpack(block.packed.as_slice(), block.unpacked, MAX_BLOCK)
            .and_then(|bytes| Ok((check_block(&bytes)?, bytes)));
        if steps.send(checked).is_err() {
            return;
        }
    }
}

/// Unpacks bytes that say how many they are; more than that, or than `cap`, are never made.
fn unpack(packed: &[u8], unpacked: u64, cap: usize) -> std::result::Result<Vec<u8>, Stop> {
    let bad = |why: &str| Stop::Bad(format!("packed bytes {why}"));
    let size = usize::try_from(unpacked).ok().filter(|size| *size <= cap);
    let size = size.ok_or_else(|| bad("claim to be more than are allowed"))?;
    let mut bytes = Vec::new();
    let mut unpacker = ZlibDecoder::new(packed).take(unpacked.saturating_add(1));
    unpacker
        .read_to_end(&mut bytes)
        .map_err(|_| bad("cannot be unpacked"))?;
    if bytes.len() != size {
        return Err(bad("are not as many as they say"));
    }
    if !unpacker.into_inner().into_inner().is_empty() {
        return Err(bad("have others behind them"));
    }
    Ok(bytes)
}

/// Takes what was read, in order, and reports.
fn fold_all(
    ordered: &Receiver<Next>,
    checked: &[Receiver<CheckedBlock>],
    (path, question): (&Path, &Question),
    mut progress: impl FnMut(u64, u64),
    mut meet: impl FnMut(Met<'_>) -> Result<()>,
) -> Result<(Report, Told)> {
    let no_bundle = |why: String| {
        let what = format!("{} is no bundle: {why}", Quoted(path));
        Error::new(ErrorKind::Usage, what).with_hint("`tacho export bundle` makes one")
    };
    let head = match ordered.recv() {
        Ok(Next::Item(Item::Head(head))) => *head,
        Ok(Next::Stop(Stop::Failed(error))) => return Err(error),
        Ok(Next::Stop(Stop::Bad(why))) => return Err(no_bundle(why)),
        Ok(_) => return Err(no_bundle("it has no head".to_owned())),
        Err(_) => return Err(no_bundle("it is empty".to_owned())),
    };
    let all = head.size;
    meet(Met::Head(&head))?;
    let mut reading =
        Reading::begin(head, question.marks.clone()).map_err(|e| no_bundle(e.to_string()))?;
    let mut turn = checked.iter().cycle();
    let mut passed = 0;
    let mut take = |next: Next| -> std::result::Result<(), Stop> {
        match next {
            Next::Block => {
                let steps = turn.next().map(Receiver::recv);
                let Some(Ok(steps)) = steps else {
                    return Err(Stop::Bad("a thread that checks blocks ended".to_owned()));
                };
                let (steps, bytes) = steps?;
                meet(Met::Steps(&bytes)).map_err(Stop::Failed)?;
                for step in &steps {
                    passed += match step {
                        Checked::Hidden { count, .. } => *count,
                        Checked::Shown { .. } => 1,
                    };
                }
                progress(passed.min(all), all);
                reading.steps(steps)?;
            }
            Next::Item(Item::Checkpoints(item)) => reading.checkpoints(&item)?,
            Next::Item(Item::LastCommit(item)) => reading.commit(*item)?,
            Next::Item(Item::Piece(piece)) => {
                let bytes = unpack(piece.packed.as_slice(), piece.unpacked, MAX_PIECE)?;
                reading.piece(&piece, &bytes)?;
                meet(Met::Piece(&piece, &bytes)).map_err(Stop::Failed)?;
            }
            Next::End(Item::End(end), sha256) => reading.end(end, sha256)?,
            Next::Item(_) | Next::End(..) => {
                return Err(Stop::Bad("it has two heads".to_owned()));
            }
            Next::Stop(stop) => return Err(stop),
        }
        Ok(())
    };
    let mut fault = None;
    for next in ordered {
        match take(next) {
            Ok(()) => {}
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Bad(why)) => {
                fault = Some(why);
                break;
            }
        }
    }
    Ok(reading.finish(question.trust, fault))
}
