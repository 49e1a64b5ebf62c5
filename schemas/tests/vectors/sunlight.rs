//! Two checkpoints of one log with one size and two roots, each cosigned: a split view, as it looks to whoever has both.

use tacho_schemas::checkpoint::{Checkpoint, Signed, cosign};
use tacho_schemas::note::{Algorithm, Note, Vkey};
use tacho_schemas::tile::{Tile, TileData, Tiles, node, partial_tiles_of, tiles_of};
use tacho_schemas::tree::{Frontier, root_of};
use tacho_schemas::{Error, Hash};

use super::{files, json, read};

const SET: &str = "sunlight-cosigned";
/// When both were cosigned.
const TIME: u64 = 1_767_139_200;

fn cosigner(file: &str) -> Vkey {
    let description = json(SET, file);
    Vkey::parse(description["verifier_keys"][0].as_str().unwrap()).unwrap()
}

fn open(folder: &str) -> Checkpoint {
    let known = [cosigner(&format!("{folder}/{folder}.v0.json"))];
    let note = Note::parse(&read(SET, &format!("{folder}/checkpoint"))).unwrap();
    let signed = Signed::open(&note, &known).unwrap();
    let [one] = signed.signatures.as_slice() else {
        panic!("not one known signature");
    };
    assert_eq!((one.key, one.time), (&known[0], Some(TIME)));
    // A cosigner saw it. That is not the log saying so.
    assert!(!signed.by_log());
    signed.checkpoint
}

#[test]
fn cosignatures_verify_and_show_the_split() {
    let (mirror, witness) = (open("mirror"), open("witness"));
    assert_eq!((mirror.size(), witness.size()), (300, 300));
    assert!(mirror.contradicts(&witness));
    assert!(!mirror.contradicts(&mirror));
}

#[test]
fn a_foreign_signature_is_ignored_even_if_its_key_is_known() {
    let bytes = read(SET, "witness/checkpoint");
    let note = Note::parse(&bytes).unwrap();
    let [log, _] = note.signatures() else {
        panic!("not two signatures");
    };
    // The line is of type 05. With a vkey of that type and id, it still counts for nothing.
    let foreign = format!("{}+{}+BQ==", log.name(), log.id());
    let foreign = Vkey::parse(&foreign).unwrap();
    assert_eq!(foreign.algorithm(), Algorithm::Foreign(5));
    let witness = cosigner("witness/witness.v0.json");
    assert_eq!(note.verify(&[foreign.clone(), witness]).unwrap().len(), 1);
    assert!(note.verify(&[foreign]).is_err());
}

#[test]
fn a_cosignature_is_bound_to_its_time_and_text() {
    let known = [cosigner("mirror/mirror.v0.json")];
    let bytes = String::from_utf8(read(SET, "mirror/checkpoint")).unwrap();
    for (from, to) in [
        ("\n300\n", "\n301\n"),
        // The line's base64 starts with key id and time.
        (" P7FI7wAAAABpVGeA", " P7FI7wAAAABpVGeB"),
        (" P7FI7wAAAABpVGeA", " P7FI7wAAAAAAAAAA"),
    ] {
        let changed = bytes.replace(from, to);
        assert_ne!(changed, bytes);
        let note = Note::parse(changed.as_bytes()).unwrap();
        assert!(
            matches!(note.verify(&known), Err(Error::Signature(_))),
            "{to}"
        );
    }
    let mut note = Note::parse(bytes.as_bytes()).unwrap();
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    for time in [0, 1 << 63] {
        assert!(cosign(&mut note, "w", &key, time).is_err());
    }
}

#[test]
fn the_tiles_lead_to_the_root_that_was_cosigned() {
    // 2 checkpoints, 2 descriptions, 3 tiles.
    assert_eq!(files(SET).len(), 7);
    let read_tile = |tile: Tile| {
        let bytes = read(SET, &format!("mirror/{}", tile.path()));
        TileData::from_bytes(tile, &bytes).unwrap()
    };
    let tiles: Vec<_> = tiles_of(300).map(read_tile).collect();
    assert_eq!(tiles.len(), 3);

    // Growing from the leaves makes the same tiles.
    let mut frontier = Frontier::new();
    let mut growing = Tiles::new();
    let mut made = Vec::new();
    let leaves = tiles.iter().filter(|data| data.tile().level() == 0);
    for leaf in leaves.flat_map(TileData::hashes) {
        frontier.append(*leaf).unwrap();
        made.extend(growing.push(*leaf).unwrap());
    }
    made.extend(growing.partial());
    assert_eq!(made, tiles);

    // So does taking up the tree from the partial ones, and the nodes in the tiles lead to the root.
    let partial = |tile| Ok::<_, Error>(read_tile(tile).hashes().to_vec());
    assert_eq!(Tiles::resume(300, partial).unwrap(), growing);
    assert_eq!(partial_tiles_of(300).count(), 2);
    let nodes = |level, index| {
        node::<Error, Vec<Hash>>(level, index, |level, index| {
            let mut all = tiles.iter();
            let found =
                all.find(|data| (data.tile().level(), data.tile().index()) == (level, index));
            Ok(found.unwrap().hashes().to_vec())
        })
    };
    let root = *open("mirror").root();
    assert_eq!(frontier.root(), root);
    assert_eq!(root_of(300, nodes).unwrap(), root);
    assert_eq!(Frontier::from_nodes(300, nodes).unwrap(), frontier);
}
