//! A log that Tessera wrote: sixteen checkpoints, and the tiles and bundles of each size.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tacho_schemas::Error;
use tacho_schemas::checkpoint::Signed;
use tacho_schemas::note::{Note, Vkey};
use tacho_schemas::tile::{TileData, Tiles, decode_bundle, encode_bundle, node, tiles_of};
use tacho_schemas::tree::{
    Frontier, consistency_proof, empty_root, inclusion_proof, leaf_hash, root_of,
    verify_consistency, verify_inclusion,
};

use super::{files, folder, read};

const SET: &str = "tessera-log";

#[test]
fn each_size_has_a_good_checkpoint_and_its_tiles() {
    let mut unread: BTreeSet<PathBuf> = files(SET).into_iter().collect();
    let mut take = |path: &str| {
        unread.remove(&folder(SET).join(path));
        read(SET, path)
    };
    let known = [Vkey::parse(String::from_utf8(take("log.vkey")).unwrap().trim()).unwrap()];
    let mut roots = Vec::new();
    for size in 0..16 {
        let note = Note::parse(&take(&format!("log/checkpoint.{size}"))).unwrap();
        let signed = Signed::open(&note, &known).unwrap();
        assert!(signed.by_log());
        let checkpoint = signed.checkpoint;
        assert_eq!(checkpoint.size(), size);

        let mut frontier = Frontier::new();
        let mut growing = Tiles::new();
        let tiles: Vec<_> = tiles_of(size).collect();
        assert_eq!(tiles.len(), usize::from(size > 0));
        for tile in tiles {
            let bundle = take(&format!("log/{}", tile.entries_path()));
            let entries = decode_bundle(&bundle, tile.width()).unwrap();
            assert_eq!(encode_bundle(&entries).unwrap(), bundle);
            for entry in &entries {
                frontier.append(leaf_hash(entry)).unwrap();
                assert!(growing.push(leaf_hash(entry)).unwrap().is_empty());
            }
            let data = TileData::from_bytes(tile, &take(&format!("log/{}", tile.path()))).unwrap();
            assert_eq!(growing.partial(), std::slice::from_ref(&data));
            proofs_hold(size, checkpoint.root(), &data, &roots);
        }
        assert_eq!(frontier.root(), *checkpoint.root());
        roots.push(*checkpoint.root());
    }
    assert_eq!(roots.first(), Some(&empty_root()));
    assert_eq!(take("log/checkpoint"), read(SET, "log/checkpoint.15"));
    assert!(unread.is_empty(), "{unread:?}");
}

/// Makes every proof of this tree from its tile and checks it against the signed roots.
fn proofs_hold(
    size: u64,
    root: &tacho_schemas::Hash,
    tile: &TileData,
    roots: &[tacho_schemas::Hash],
) {
    let nodes = |level, index| node::<Error, _>(level, index, |_, _| Ok(tile));
    assert_eq!(root_of(size, nodes).unwrap(), *root);
    for (index, leaf) in (0..).zip(tile.hashes()) {
        let path = inclusion_proof(index, size, nodes).unwrap();
        verify_inclusion(leaf, index, size, &path, root).unwrap();
    }
    for (older, old_root) in (0..).zip(roots).skip(1) {
        let path = consistency_proof(older, size, nodes).unwrap();
        verify_consistency(older, size, &path, old_root, root).unwrap();
    }
}
