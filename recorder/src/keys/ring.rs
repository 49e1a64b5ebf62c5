//! The keys in a log's `keys/`: the stable log key, and the epoch key that each seal replaces.

use std::fmt;
use std::path::{Path, PathBuf};

use ed25519_dalek::{SigningKey, VerifyingKey};

use super::{generate, overwrite, read, write, zero};
use crate::error::{Error, ErrorKind, Quoted, Result};
use crate::files;

const LOG: &str = "log.pem";
const NEXT_LOG: &str = "log-next.pem";
const CURRENT: &str = "epoch.pem";
const NEXT: &str = "epoch-next.pem";
const OLD: &str = "epoch-old.pem";

/// The signing keys of one log.
///
/// A seal ends an epoch in this order, and a crash between any two steps is put right by [`KeyRing::recover`]:
///
/// 1. [`KeyRing::make_next`]: the next key is made, written to `epoch-next.pem`, and durable.
/// 2. The caller commits; the last record of that commit is the seal, which names the next key. The log now expects it.
/// 3. [`KeyRing::promote_next`]: `epoch.pem` becomes `epoch-old.pem`, `epoch-next.pem` becomes `epoch.pem`, both durable; the
///    old secret is overwritten and unlinked, both durable; only then does [`KeyRing::epoch`] give the new key.
///
/// Where somebody waits for a seal, [`KeyRing::replace_with_next`] is the third step: the old secret's file takes the key of the epoch
/// after the next. Then the names of the two files are swapped, until a promotion or a recovery puts them right.
///
/// INVARIANT: between the first moment that the log may name a key and the end of its epoch, a whole copy of it is on disk.
#[derive(Debug)]
pub struct KeyRing {
    dir: PathBuf,
    log: SigningKey,
    epoch: SigningKey,
    next: Option<SigningKey>,
    /// The current key lies in `epoch-next.pem`, and the next one in `epoch.pem`.
    swapped: bool,
    /// A promotion began and did not end: the old key may not sign any more, the new one not yet.
    moving: bool,
    /// The log key that a rotation will put in place.
    next_log: Option<SigningKey>,
}

/// A point in [`KeyRing::promote_next`] that has just been passed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PromoteStep {
    /// The current key is now called old.
    CurrentSetAside,
    /// The next key is now called current.
    NextInPlace,
    /// Both names are durable.
    NamesDurable,
    /// The old secret is overwritten, durably.
    OldZeroed,
    /// The old key's name is gone.
    OldUnlinked,
    /// And durably so.
    OldGone,
    /// The old secret is overwritten by the key of the epoch after the next, durably.
    OldReplaced,
}

impl PromoteStep {
    /// All steps in their order, the quick way's last.
    pub const ALL: [Self; 7] = [
        Self::CurrentSetAside,
        Self::NextInPlace,
        Self::NamesDurable,
        Self::OldZeroed,
        Self::OldUnlinked,
        Self::OldGone,
        Self::OldReplaced,
    ];
}

/// Something that [`KeyRing::recover`] had to put right.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Recovered {
    /// A seal was not committed: its next key was destroyed unused.
    NextDropped,
    /// A seal was committed: its next key was put in place.
    NextPromoted,
    /// The key that the log expects had been set aside and was put back.
    OldRestored,
    /// A key that the log has moved past was destroyed.
    PastDestroyed,
}

/// Which of the keys that a log expects are there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Present {
    /// The log key.
    pub log: bool,
    /// The current epoch's key.
    pub epoch: bool,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NextDropped => "destroyed the key of a seal that was not committed",
            Self::NextPromoted => "put in place the key of a seal that was committed",
            Self::OldRestored => "put back the epoch key that had been set aside",
            Self::PastDestroyed => "destroyed an epoch key that the log has moved past",
        })
    }
}

impl KeyRing {
    /// Makes the first two keys of a new log.
    pub fn create(dir: &Path) -> Result<Self> {
        let ring = Self {
            dir: dir.to_owned(),
            log: generate()?,
            epoch: generate()?,
            next: None,
            swapped: false,
            moving: false,
            next_log: None,
        };
        write(&ring.path(LOG), &ring.log)?;
        write(&ring.path(CURRENT), &ring.epoch)?;
        Ok(ring)
    }

    /// Opens the ring with the keys that the log expects, and ends whatever a crash interrupted.
    ///
    /// `epoch` is the key named by the newest seal (or by genesis). Whichever file holds it becomes the current one; all
    /// other epoch keys are destroyed. If none fits, nothing is touched and the answer is [`ErrorKind::Refused`]: a log
    /// whose key is lost must say so by a signed break, not go on with another.
    pub fn recover(
        dir: &Path,
        log: &VerifyingKey,
        epoch: &VerifyingKey,
    ) -> Result<(Self, Vec<Recovered>)> {
        let at = |name: &str| dir.join(name);
        // A rotation whose record is durable, and whose file had not moved yet.
        if let Found::Key(key) = readable(&at(NEXT_LOG))?
            && key.verifying_key() == *log
        {
            zero(&at(LOG))?;
            files::rename(&at(NEXT_LOG), &at(LOG))?;
            files::sync_dir(dir)?;
        }
        let log_key = match readable(&at(LOG))? {
            Found::Key(key) if key.verifying_key() == *log => key,
            found => {
                return Err(Error::new(
                    ErrorKind::Refused,
                    format!("{} {}", Quoted(&at(LOG)), found.instead_of("the log's key")),
                )
                .with_hint(
                    "restore `log.pem`, or start a new log that names this one as its predecessor",
                ));
            }
        };
        let mut found = None;
        for name in [CURRENT, NEXT, OLD] {
            if let Found::Key(key) = readable(&at(name))?
                && key.verifying_key() == *epoch
            {
                found = Some((name, key));
                break;
            }
        }
        let Some((name, epoch)) = found else {
            return Err(Error::new(
                ErrorKind::Refused,
                format!("no key in {} is the one that the log's current epoch needs", Quoted(dir)),
            )
            .with_hint("restore the key, or run `tacho key break` to end the epoch visibly with the identity key"));
        };

        // Order: the key that fits gets its name, durably, before any other secret is destroyed.
        let mut done = Vec::new();
        if name != CURRENT {
            if present(&at(CURRENT))? {
                // `epoch-old.pem` is free or itself the key that fits; in the second case what is current is from a lost future.
                if name == OLD {
                    destroy(&at(CURRENT))?;
                } else {
                    destroy(&at(OLD))?;
                    files::rename(&at(CURRENT), &at(OLD))?;
                }
            }
            files::rename(&at(name), &at(CURRENT))?;
            files::sync_dir(dir)?;
            done.push(if name == NEXT {
                Recovered::NextPromoted
            } else {
                Recovered::OldRestored
            });
        }
        for (stray, what) in [
            (NEXT, Recovered::NextDropped),
            (OLD, Recovered::PastDestroyed),
        ] {
            if present(&at(stray))? {
                destroy(&at(stray))?;
                files::sync_dir(dir)?;
                done.push(what);
            }
        }
        let ring = Self {
            dir: dir.to_owned(),
            log: *log_key,
            epoch: *epoch,
            next: None,
            swapped: false,
            moving: false,
            next_log: None,
        };
        Ok((ring, done))
    }

    /// Says which of the two keys that the log expects are in some file; changes nothing.
    pub fn present(dir: &Path, log: &VerifyingKey, epoch: &VerifyingKey) -> Result<Present> {
        let holds = |names: &[&str], key: &VerifyingKey| -> Result<bool> {
            for name in names {
                if let Found::Key(found) = readable(&dir.join(name))?
                    && found.verifying_key() == *key
                {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        Ok(Present {
            log: holds(&[LOG, NEXT_LOG], log)?,
            epoch: holds(&[CURRENT, NEXT, OLD], epoch)?,
        })
    }

    /// Makes a key for an epoch after a break, where no file holds the current one; then commit the break, then recover.
    ///
    /// A key left in `epoch-next.pem` is destroyed: it was never named, or it would have fitted.
    pub fn prepare_break(dir: &Path) -> Result<VerifyingKey> {
        let path = dir.join(NEXT);
        destroy(&path)?;
        let key = generate()?;
        write(&path, &key)?;
        Ok(key.verifying_key())
    }

    /// The stable key, which witnesses know.
    pub fn log(&self) -> &SigningKey {
        &self.log
    }

    /// Makes the key that will replace the log key, and makes it durable; then commit the key record that names it.
    pub fn make_next_log(&mut self) -> Result<VerifyingKey> {
        destroy(&self.path(NEXT_LOG))?;
        let key = generate()?;
        write(&self.path(NEXT_LOG), &key)?;
        let public = key.verifying_key();
        self.next_log = Some(key);
        Ok(public)
    }

    /// Puts the next log key in place, after the record that names it is durable.
    pub fn promote_log(&mut self) -> Result<()> {
        let Some(next) = self.next_log.take() else {
            return Err(Error::new(
                ErrorKind::Usage,
                "there is no next log key to put in place",
            ));
        };
        zero(&self.path(LOG))?;
        files::rename(&self.path(NEXT_LOG), &self.path(LOG))?;
        files::sync_dir(&self.dir)?;
        self.log = next;
        Ok(())
    }

    /// The key of the current epoch; refused while a promotion is unfinished.
    pub fn epoch(&self) -> Result<&SigningKey> {
        if self.moving {
            return Err(unfinished());
        }
        Ok(&self.epoch)
    }

    /// Step 1 of a seal: makes the next key and makes it durable.
    ///
    /// Asked again before a promotion, it gives the same key: a seal that could not be committed may be tried again.
    pub fn make_next(&mut self) -> Result<VerifyingKey> {
        if self.moving {
            return Err(unfinished());
        }
        if let Some(next) = &self.next {
            return Ok(next.verifying_key());
        }
        // Both files are in use only while there is a next key.
        let [_, path] = self.places();
        // What a full disk let us write of an earlier try was named by nothing.
        destroy(&path)?;
        let key = generate()?;
        write(&path, &key)?;
        let public = key.verifying_key();
        self.next = Some(key);
        Ok(public)
    }

    /// Step 3 of a seal, only after the seal is committed: puts the next key in place and destroys the old one.
    ///
    /// `step` hears of each point passed; an error of it, or of the disk, leaves a ring that signs nothing more under an epoch
    /// key, and files that [`KeyRing::recover`] puts right.
    pub fn promote_next(&mut self, step: &mut dyn FnMut(PromoteStep) -> Result<()>) -> Result<()> {
        if self.moving {
            return Err(unfinished());
        }
        let Some(next) = self.next.take() else {
            return Err(Error::new(
                ErrorKind::Usage,
                "there is no next epoch key to put in place",
            ));
        };
        self.moving = true;
        let (current, old) = (self.path(CURRENT), self.path(OLD));
        if self.swapped {
            // The next key has its name already.
            files::rename(&self.path(NEXT), &old)?;
            step(PromoteStep::CurrentSetAside)?;
            self.swapped = false;
            return self.end_promotion(next, &old, step);
        }
        // Renamed, not replaced: a rename over `epoch.pem` would free the old secret's blocks with the secret still in them.
        files::rename(&current, &old)?;
        step(PromoteStep::CurrentSetAside)?;
        files::rename(&self.path(NEXT), &current)?;
        self.end_promotion(next, &old, step)
    }

    fn end_promotion(
        &mut self,
        next: SigningKey,
        old: &Path,
        step: &mut dyn FnMut(PromoteStep) -> Result<()>,
    ) -> Result<()> {
        step(PromoteStep::NextInPlace)?;
        files::sync_dir(&self.dir)?;
        step(PromoteStep::NamesDurable)?;
        zero(old)?;
        step(PromoteStep::OldZeroed)?;
        files::remove_if_there(old)?;
        step(PromoteStep::OldUnlinked)?;
        files::sync_dir(&self.dir)?;
        step(PromoteStep::OldGone)?;
        self.epoch = next;
        self.moving = false;
        Ok(())
    }

    /// Step 3 where somebody waits, only after the seal is committed: the key after the next is written over the old one. One fsync
    /// destroys the old secret and makes the new one durable; no name changes.
    ///
    /// A crash within leaves rubbish or a key that nothing names in the old file, and the key that the log expects in the other:
    /// [`KeyRing::recover`] tells them apart by the log.
    pub fn replace_with_next(
        &mut self,
        step: &mut dyn FnMut(PromoteStep) -> Result<()>,
    ) -> Result<()> {
        if self.moving {
            return Err(unfinished());
        }
        let after = generate()?;
        let Some(next) = self.next.take() else {
            return Err(Error::new(
                ErrorKind::Usage,
                "there is no next epoch key to put in place",
            ));
        };
        self.moving = true;
        let [current, _] = self.places();
        overwrite(&current, &after)?;
        step(PromoteStep::OldReplaced)?;
        self.swapped = !self.swapped;
        (self.epoch, self.next) = (next, Some(after));
        self.moving = false;
        Ok(())
    }

    /// The files of the current key and of the next one.
    fn places(&self) -> [PathBuf; 2] {
        match self.swapped {
            false => [self.path(CURRENT), self.path(NEXT)],
            true => [self.path(NEXT), self.path(CURRENT)],
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// What a key file turned out to hold.
enum Found {
    Key(Box<SigningKey>),
    Nothing,
    Rubbish,
}

impl Found {
    fn instead_of(&self, wanted: &str) -> String {
        match self {
            Self::Key(_) => format!("holds another key than {wanted}"),
            Self::Nothing => "is missing".to_owned(),
            Self::Rubbish => "holds no key".to_owned(),
        }
    }
}

/// Reads a key file that may be missing, half written or half erased; a file open to others is still an error.
fn readable(path: &Path) -> Result<Found> {
    match read(path) {
        Ok(key) => Ok(Found::Key(Box::new(key))),
        Err(e) if e.kind() == ErrorKind::Missing => Ok(Found::Nothing),
        Err(e) if e.kind() == ErrorKind::Corrupt => Ok(Found::Rubbish),
        Err(e) => Err(e),
    }
}

fn present(path: &Path) -> Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("open", path, e)),
    }
}

/// Overwrites and unlinks; the caller makes the missing name durable.
fn destroy(path: &Path) -> Result<()> {
    zero(path)?;
    files::remove_if_there(path)
}

fn unfinished() -> Error {
    Error::new(
        ErrorKind::Poisoned,
        "the change to the next epoch key did not finish",
    )
    .with_hint("start again; the keys are put right from the log")
}
