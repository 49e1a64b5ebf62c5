//! The same by others: notes by `signed_note`, tiles and proofs by `tlog_tiles`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use signed_note::{StandardSigner, StandardVerifier, VerifierList};
use tacho_schemas::checkpoint::Checkpoint;
use tacho_schemas::note::{Algorithm, Note, Vkey};
use tacho_schemas::tile::{Tile, tiles_between};
use tacho_schemas::tree::{Frontier, consistency_proof, inclusion_proof, leaf_hash};
use tacho_schemas::{Error, Hash};
use tlog_tiles::tlog;

/// Their form of a private key.
fn their_signer(name: &str, seed: &[u8; 32], vkey: &Vkey) -> StandardSigner {
    let key = STANDARD.encode([&[1], &seed[..]].concat());
    StandardSigner::new(&format!("PRIVATE+KEY+{name}+{}+{key}", vkey.id())).unwrap()
}

fn their_verifier(vkey: &Vkey) -> VerifierList {
    let verifier = StandardVerifier::new(&vkey.to_string()).unwrap();
    VerifierList::new(vec![Box::new(verifier)])
}

/// The nodes of a tree in their order, with their reader.
struct Stored(Vec<tlog::Hash>);

impl tlog::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        let at = |index: &u64| self.0[usize::try_from(*index).unwrap()];
        Ok(indexes.iter().map(at).collect())
    }
}

impl Stored {
    fn grow(size: u64) -> Self {
        let mut stored = Self(Vec::new());
        for index in 0..size {
            let more = tlog::stored_hashes(index, &index.to_be_bytes(), &stored).unwrap();
            stored.0.extend(more);
        }
        stored
    }

    /// Our way to ask for a node.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Error> {
        let at = tlog::stored_hash_index(u8::try_from(level).unwrap(), index);
        Ok(Hash(self.0[usize::try_from(at).unwrap()].0))
    }
}

fn ours(hashes: Vec<tlog::Hash>) -> Vec<Hash> {
    hashes.into_iter().map(|hash| Hash(hash.0)).collect()
}

proptest! {
    #[test]
    fn notes_are_the_same_bytes_and_verify_on_both_sides(
        seed: [u8; 32],
        name in "[a-zA-Zé/.-]{1,30}",
        text in "([ -~é—]{0,20}\n){1,6}",
    ) {
        let key = SigningKey::from_bytes(&seed);
        let vkey = Vkey::new(&name, Algorithm::Ed25519, &key.verifying_key()).unwrap();
        let note = Note::sign(&text, &name, &key).unwrap();

        let mut theirs = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        theirs.add_sigs(&[&their_signer(&name, &seed, &vkey)]).unwrap();
        let bytes = theirs.to_bytes();
        prop_assert_eq!(note.to_string().into_bytes(), bytes.clone());

        let read = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
        prop_assert!(read.verify(&their_verifier(&vkey)).is_ok());
        let read = Note::parse(&bytes).unwrap();
        prop_assert_eq!(read.text(), text);
        prop_assert_eq!(read.verify(&[vkey]).unwrap().len(), 1);
    }

    #[test]
    fn what_we_accept_they_accept(
        at: prop::sample::Index,
        byte: u8,
    ) {
        let key = SigningKey::from_bytes(&[3; 32]);
        let vkey = Vkey::new("a/b", Algorithm::Ed25519, &key.verifying_key()).unwrap();
        let good = Note::sign("a/b\n\n7\n", "a/b", &key).unwrap().to_string();
        let mut bytes = good.into_bytes();
        let at = at.index(bytes.len());
        let changed = bytes[at] != byte;
        bytes[at] = byte;
        let theirs = signed_note::Note::from_bytes(&bytes);
        match Note::parse(&bytes) {
            Ok(note) => {
                prop_assert!(theirs.is_ok());
                // Each single byte matters.
                prop_assert_eq!(note.verify(&[vkey]).is_err(), changed);
            }
            Err(_) => prop_assert!(changed),
        }
    }

    #[test]
    fn checkpoints_read_the_same(origin in "[ -~]{1,40}", size: u64, root: [u8; 32], extra in "(x[ -~]{0,9}\n){0,2}") {
        let theirs = tlog_tiles::Checkpoint::new(&origin, size, tlog::Hash(root), &extra).unwrap();
        let text = String::from_utf8(theirs.to_bytes()).unwrap();
        let checkpoint = Checkpoint::parse(&text).unwrap();
        prop_assert_eq!(checkpoint.to_string(), text);
        prop_assert_eq!(checkpoint.origin(), origin);
        prop_assert_eq!((checkpoint.size(), checkpoint.root()), (size, &Hash(root)));
        if extra.is_empty() {
            prop_assert_eq!(Checkpoint::new(checkpoint.origin(), size, Hash(root)).unwrap(), checkpoint);
        }
    }

    #[test]
    fn tiles_have_the_same_paths(level in 0_u8..64, index: u64, width in 1_u16..=256) {
        let tile = Tile::new(level, index, width).unwrap();
        let theirs = tlog_tiles::Tile::new(8, level, index, width.into(), false);
        // Theirs name the height, which is always 8 here.
        prop_assert_eq!(tile.path(), theirs.path().replacen("tile/8/", "tile/", 1));
        prop_assert_eq!(Tile::parse(&tile.path()), Ok(tile));
        let entries = Tile::new(0, index, width).unwrap();
        prop_assert_eq!(Tile::parse_entries(&entries.entries_path()), Ok(entries));
    }

    #[test]
    fn trees_have_the_same_tiles(old in 0_u64..1 << 55, more in 0_u64..100_000) {
        let (new, name) = (old + more, |tile: Tile| (tile.level(), tile.index(), u32::from(tile.width())));
        let theirs = tlog_tiles::Tile::new_tiles(8, old, new);
        let theirs = theirs.iter().map(|tile| (tile.level(), tile.level_index(), tile.width()));
        prop_assert!(tiles_between(old, new).map(name).eq(theirs));
    }

    #[test]
    fn proofs_are_the_same((size, part) in (1_u64..700).prop_flat_map(|size| (Just(size), 0..size))) {
        let stored = Stored::grow(size);
        let nodes = |level, index| stored.node(level, index);
        let theirs = tlog::prove_record(size, part, &stored).unwrap();
        prop_assert_eq!(inclusion_proof(part, size, nodes).unwrap(), ours(theirs));
        let theirs = tlog::prove_tree(size, part + 1, &stored).unwrap();
        prop_assert_eq!(consistency_proof(part + 1, size, nodes).unwrap(), ours(theirs));

        let mut frontier = Frontier::new();
        for index in 0..size {
            frontier.append(leaf_hash(&index.to_be_bytes())).unwrap();
        }
        prop_assert_eq!(frontier.root(), Hash(tlog::tree_hash(size, &stored).unwrap().0));
    }
}
