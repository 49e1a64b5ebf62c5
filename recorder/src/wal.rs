//! Looks at SQLite's write-ahead log before SQLite does.
//!
//! SQLite reads a WAL up to the first frame that does not check out, and takes everything after it for leftovers. After a
//! power cut that is right; after damage in the middle it silently drops commits that were acknowledged. So we look first:
//! a frame that fails, followed by frames that fit, is no ordinary crash.
//!
//! Format: <https://sqlite.org/fileformat2.html#the_write_ahead_log>. The header is 32 bytes, each frame 24 bytes and a page:
//!
//! ```text
//! header  377f0682 (sums over little-endian words) or 377f0683 (big-endian) | 3007000 | page size | checkpoint number
//!         salt 1 | salt 2 | sum 1 | sum 2 of the 24 bytes before
//! frame   page number | pages in the database if this commits, else 0 | salt 1 | salt 2
//!         sum 1 | sum 2 of the first 8 bytes and the page, going on from the frame before
//! ```
//!
//! The sums run through the whole file, so a frame after a bad one is judged by the sum *stored* in the bad one.
//!
//! Two things must hold for the alarm to be free of false ones, and [`crate::store`] sees to both: pages reach the WAL only
//! in a COMMIT (no cache spill), and after an unclean stop the WAL begins anew, with other salts, before anything is added (else
//! frames of a torn transaction lie behind new ones with the same salts).
//!
//! Sums and salts are no protection against someone who can write the file: he makes them fit. They find accidents and crude
//! cuts; signatures and the chain find the rest.

use std::fs::File;
use std::io::{BufReader, ErrorKind as IoKind, Read};
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;

const HEADER: usize = 32;
const FRAME: usize = 24;
const VERSION: u32 = 3_007_000;

/// What a write-ahead log turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wal {
    /// There is none, or it has no bytes: the log was stopped cleanly.
    Empty,
    /// It ends with a commit; what lies behind is from an earlier use of the file.
    Clean(Committed),
    /// The last transaction is incomplete and nothing that fits follows: an ordinary crash, none of it was acknowledged.
    TornTail {
        /// What is whole.
        committed: Committed,
        /// Bytes of the incomplete transaction.
        bytes_after: u64,
    },
    /// A frame is damaged and frames that fit follow: SQLite would drop them without a word.
    Damaged {
        /// What is whole, before the damage.
        committed: Committed,
        /// The damaged frame, counted from 1.
        frame: u64,
        /// Frames after it that fit.
        later_frames: u64,
        /// How many of those end a transaction. With more than one, acknowledged commits are lost for certain; with one at
        /// most, a power cut that wrote the last transaction out of order looks the same.
        later_commits: u64,
    },
    /// The header is damaged and something follows: SQLite would drop all of it without a word.
    BadHeader {
        /// What is wrong with it.
        why: &'static str,
        /// Bytes that follow the header.
        bytes_after: u64,
    },
}

/// The whole transactions at the beginning of a write-ahead log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Committed {
    /// Frames up to and with the last commit.
    pub frames: u64,
    /// Transactions.
    pub commits: u64,
    /// Pages of the database after the last one.
    pub db_pages: u32,
}

/// Reads a write-ahead log once, in little memory, and says what it is.
///
/// Only while no connection is open: one that writes would change the file meanwhile.
pub fn inspect(path: &Path) -> Result<Wal> {
    let file = match files::open_read(path) {
        Ok(file) => file,
        Err(e) if e.kind() == crate::ErrorKind::Missing => return Ok(Wal::Empty),
        Err(e) => return Err(e),
    };
    let length = file
        .metadata()
        .map_err(|e| Error::io("read", path, e))?
        .len();
    scan(BufReader::with_capacity(1 << 17, file), length).map_err(|e| Error::io("read", path, e))
}

fn scan(mut input: BufReader<File>, length: u64) -> std::io::Result<Wal> {
    if length == 0 {
        return Ok(Wal::Empty);
    }
    let mut bytes = [0; HEADER];
    if read_full(&mut input, &mut bytes)? < HEADER {
        // SQLite makes the header durable before the first frame, so nothing was ever committed here.
        return Ok(Wal::TornTail {
            committed: Committed::default(),
            bytes_after: length,
        });
    }
    let bytes_after = length.saturating_sub(HEADER as u64);
    let header = match Header::parse(&bytes) {
        Ok(header) => header,
        Err(_) if bytes_after == 0 => {
            return Ok(Wal::TornTail {
                committed: Committed::default(),
                bytes_after: length,
            });
        }
        Err(why) => return Ok(Wal::BadHeader { why, bytes_after }),
    };

    let mut committed = Committed::default();
    let mut sum = header.sum;
    let mut buffer = vec![0; FRAME + header.page_size];
    let mut number = 0;
    // The first frame that does not fit, and what comes after it.
    let mut bad: Option<Bad> = None;
    let mut later = (0, 0);
    // Bytes of frames that belong to this use of the file and to no whole transaction.
    let mut open_bytes = 0;
    loop {
        let read = read_full(&mut input, &mut buffer)?;
        if read < buffer.len() {
            // Whatever is left is no frame; unless leftovers came before it, it is the beginning of one.
            if bad.is_none_or(|b| b.salted) {
                open_bytes += read as u64;
            }
            break;
        }
        number += 1;
        let frame = Frame::parse(&buffer);
        let salted = frame.salts == header.salts;
        match bad {
            None => {
                let computed = header.sum_frame(sum, &buffer);
                if salted && computed == frame.sum && frame.page != 0 {
                    sum = frame.sum;
                    open_bytes += buffer.len() as u64;
                    if frame.commit_pages != 0 {
                        committed.frames = number;
                        committed.commits += 1;
                        committed.db_pages = frame.commit_pages;
                        open_bytes = 0;
                    }
                } else {
                    if salted {
                        open_bytes += buffer.len() as u64;
                    }
                    bad = Some(Bad {
                        frame: number,
                        salted,
                        stored: frame.sum,
                        computed: Some(computed),
                    });
                }
            }
            Some(ref mut b) => {
                // Damage in the page leaves the stored sum right, damage in the stored sum leaves the computed one right.
                let fits = salted
                    && (header.sum_frame(b.stored, &buffer) == frame.sum
                        || b.computed
                            .is_some_and(|c| header.sum_frame(c, &buffer) == frame.sum));
                if fits {
                    later.0 += 1;
                    later.1 += u64::from(frame.commit_pages != 0);
                }
                if salted {
                    open_bytes += buffer.len() as u64;
                }
                b.stored = frame.sum;
                b.computed = None;
            }
        }
    }
    Ok(match bad {
        Some(b) if later.0 > 0 => Wal::Damaged {
            committed,
            frame: b.frame,
            later_frames: later.0,
            later_commits: later.1,
        },
        _ if open_bytes > 0 => Wal::TornTail {
            committed,
            bytes_after: open_bytes,
        },
        _ => Wal::Clean(committed),
    })
}

/// The first frame that does not fit, and the sums from which the frame after it may go on.
#[derive(Clone, Copy)]
struct Bad {
    frame: u64,
    salted: bool,
    stored: Sum,
    computed: Option<Sum>,
}

type Sum = (u32, u32);

struct Header {
    big_endian: bool,
    page_size: usize,
    salts: [u8; 8],
    sum: Sum,
}

impl Header {
    fn parse(bytes: &[u8; HEADER]) -> Result<Self, &'static str> {
        let mut words = bytes.chunks_exact(4).map(be_word);
        let mut word = || words.next().unwrap_or_default();
        let (magic, version, page_size) = (word(), word(), word());
        let (_, _, _) = (word(), word(), word());
        let stored = (word(), word());
        let big_endian = match magic {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return Err("it does not begin as a write-ahead log does"),
        };
        let mut salts = [0; 8];
        for (to, from) in salts.iter_mut().zip(bytes.iter().skip(16)) {
            *to = *from;
        }
        let summed = bytes.first_chunk::<24>().map_or(&[][..], |b| b);
        if add(big_endian, (0, 0), summed) != stored {
            return Err("its checksum is wrong");
        }
        if version != VERSION {
            return Err("its version is unknown");
        }
        if !page_size.is_power_of_two() || !(512..=65_536).contains(&page_size) {
            return Err("its page size is impossible");
        }
        Ok(Self {
            big_endian,
            page_size: usize::try_from(page_size).map_err(|_| "its page size is impossible")?,
            salts,
            sum: stored,
        })
    }

    /// Goes on from a sum over the first 8 bytes of a frame and over its page.
    fn sum_frame(&self, from: Sum, frame: &[u8]) -> Sum {
        let head = frame.get(..8).unwrap_or_default();
        let page = frame.get(FRAME..).unwrap_or_default();
        add(self.big_endian, add(self.big_endian, from, head), page)
    }
}

struct Frame {
    page: u32,
    commit_pages: u32,
    salts: [u8; 8],
    sum: Sum,
}

impl Frame {
    fn parse(bytes: &[u8]) -> Self {
        let mut words = bytes.chunks_exact(4).map(be_word);
        let mut word = || words.next().unwrap_or_default();
        let (page, commit_pages) = (word(), word());
        let (_, _) = (word(), word());
        let sum = (word(), word());
        let mut salts = [0; 8];
        for (to, from) in salts.iter_mut().zip(bytes.iter().skip(8)) {
            *to = *from;
        }
        Self {
            page,
            commit_pages,
            salts,
            sum,
        }
    }
}

/// SQLite's sum, over pairs of words.
fn add(big_endian: bool, (mut s1, mut s2): Sum, bytes: &[u8]) -> Sum {
    let word = |b: &[u8; 4]| {
        if big_endian {
            u32::from_be_bytes(*b)
        } else {
            u32::from_le_bytes(*b)
        }
    };
    for pair in bytes.chunks_exact(8) {
        if let (Some(a), Some(b)) = (pair.first_chunk::<4>(), pair.last_chunk::<4>()) {
            s1 = s1.wrapping_add(word(a)).wrapping_add(s2);
            s2 = s2.wrapping_add(word(b)).wrapping_add(s1);
        }
    }
    (s1, s2)
}

fn be_word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |b| u32::from_be_bytes(*b))
}

/// Reads until the buffer is full or the file ends.
fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|r| !r.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(e) if e.kind() == IoKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(read)
}
