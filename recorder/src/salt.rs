//! Salts for commitments: 256 random bits each, of the system's generator, drawn some ahead.
//!
//! A system call for each text would cost as much as hashing it. What is drawn belongs to one thread and is wiped where it is taken
//! from, so a salt is in two places for no longer than it takes to copy it.

use std::cell::RefCell;

use tacho_schemas::Fixed;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::{Error, ErrorKind, Result};

/// Salts drawn at once.
const DRAWN: usize = 32;

thread_local! {
    static AHEAD: RefCell<Ahead> = RefCell::new(Ahead { salts: Zeroizing::new([[0; 32]; DRAWN]), left: 0 });
}

/// The first so many of these are not taken yet.
struct Ahead {
    salts: Zeroizing<[[u8; 32]; DRAWN]>,
    left: usize,
}

/// A salt that nobody has got before.
pub(crate) fn salt() -> Result<Fixed<32>> {
    AHEAD.with_borrow_mut(|ahead| {
        if ahead.left == 0 {
            getrandom::fill(ahead.salts.as_flattened_mut()).map_err(|e| {
                Error::new(ErrorKind::Io, "the system gives no random numbers").with_source(e)
            })?;
            ahead.left = DRAWN;
        }
        ahead.left -= 1;
        let salt = ahead
            .salts
            .get_mut(ahead.left)
            .ok_or_else(|| Error::new(ErrorKind::Io, "no salt is left"))?;
        let taken = Fixed(*salt);
        salt.zeroize();
        Ok(taken)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_are_the_same_and_none_is_what_wiping_leaves() {
        let mut all: HashSet<_> = (0..3 * DRAWN).map(|_| salt().unwrap().0).collect();
        let other =
            std::thread::spawn(|| (0..DRAWN).map(|_| salt().unwrap().0).collect::<Vec<_>>());
        all.extend(other.join().unwrap());
        assert_eq!(all.len(), 4 * DRAWN);
        assert!(!all.contains(&[0; 32]));
    }
}
