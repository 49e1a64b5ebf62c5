//! The tree with holes, and the items of a bundle against their CDDL.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

use proptest::collection::vec;
use proptest::prelude::*;
use tacho_schemas::bundle::{
    Because, Block, Checkpoints, End, FORMAT, Head, Item, LastCommit, Piece, Sort, Step,
    encode_steps, read_frame,
};
use tacho_schemas::content::Slot;
use tacho_schemas::receipt::Commit;
use tacho_schemas::scalar::{Blob, Fixed, List, Seq, Time};
use tacho_schemas::tree::{self, Frontier};
use tacho_schemas::{Hash, Id, LogId, Origin};

const CDDL: &str = concat!(
    include_str!("../record.cddl"),
    "\n",
    include_str!("../proof.cddl"),
    "\n",
    include_str!("../bundle.cddl")
);

/// The hash of a complete subtree.
fn node(leaves: &[Hash], level: u32, index: u64) -> Hash {
    let width = 1_usize << level;
    let start = index as usize * width;
    let mut subtree = Frontier::new();
    for leaf in &leaves[start..start + width] {
        subtree.append(*leaf).unwrap();
    }
    subtree.root()
}

proptest! {
    #[test]
    fn hidden_runs_leave_every_root_as_it_is(size in 1_u64..300, cuts in vec(0_u64..300, 0..12)) {
        let leaves: Vec<_> = (0..size).map(|n| tree::leaf_hash(&n.to_be_bytes())).collect();
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < size).chain([0, size]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let (mut holes, mut whole) = (Frontier::new(), Frontier::new());
        for (turn, run) in cuts.windows(2).enumerate() {
            for seq in run[0]..run[1] {
                whole.append(leaves[seq as usize]).unwrap();
                if turn % 2 == 0 {
                    holes.append(leaves[seq as usize]).unwrap();
                }
            }
            if turn % 2 == 1 {
                for (level, index) in tree::covers(run[0], run[1]) {
                    holes.append_subtree(level, node(&leaves, level, index)).unwrap();
                }
            }
            prop_assert_eq!(holes.root(), whole.root());
            prop_assert_eq!(&holes, &whole);
        }
    }

    #[test]
    fn covers_are_the_run_and_few(start in 0_u64..1 << 40, length in 1_u64..1 << 40) {
        let mut at = start;
        let mut count = 0;
        for (level, index) in tree::covers(start, start + length) {
            prop_assert_eq!(index << level, at);
            at += 1 << level;
            count += 1;
        }
        prop_assert_eq!(at, start + length);
        prop_assert!(count <= 128);
    }

    #[test]
    fn any_bytes_are_a_frame_or_not(bytes in vec(any::<u8>(), 0..64)) {
        let mut rest = bytes.as_slice();
        while let Ok(Some((_, inside))) = read_frame(&mut rest) {
            let _ = Item::decode(&inside);
        }
    }
}

#[test]
fn a_subtree_must_lie_where_one_can() {
    let mut tree = Frontier::new();
    tree.append(Hash::ZERO).unwrap();
    assert!(tree.append_subtree(1, Hash::ZERO).is_err());
    assert!(tree.append_subtree(64, Hash::ZERO).is_err());
    tree.append_subtree(0, Hash::ZERO).unwrap();
    assert_eq!(tree.size(), 2);
    assert_eq!(tree::covers(5, 5).count(), 0);
    assert_eq!(tree::covers(0, u64::MAX).count(), 64);
}

fn items() -> Vec<Item> {
    let origin = Origin::from_parts("tacho.invalid", [7; 16]).unwrap();
    let log_id = LogId(Hash([1; 32]));
    let head = Head {
        origin: origin.clone(),
        size: 9,
        root: Hash([2; 32]),
        software: Id::new("tacho/1").unwrap(),
        log_id,
        format: Id::new(FORMAT).unwrap(),
        made: Time(5),
        selection: "kind:action".to_owned(),
        chosen: 3,
        support: 1,
        withhold: List::some(vec![Id::new("input").unwrap()]).unwrap(),
        item: Sort::Head,
    };
    let commit = Commit {
        time: Time(5),
        origin,
        size: 9,
        root: Hash([2; 32]),
        epoch: 0,
        log_id,
        boot: Seq(1),
        head: Hash([3; 32]),
    };
    let row = vec![0xa1, 0x19, 0x01, 0x32, 0xa1, 0x18, 0xc8, 0x82, 0x58, 0x20];
    let row = [row, vec![0; 32], vec![0x41, 0x61]].concat();
    let slots = [Slot::Field(201), Slot::Artefact(0)];
    let shown = Step::show(vec![0xa0], Some(row), &slots, Some(Because::Policy)).unwrap();
    let hidden = Step::hide(4, vec![Hash::ZERO]).unwrap();
    let steps = encode_steps(vec![shown, hidden]).unwrap();
    if let Err(why) = cddl_cat::validate_cbor_bytes("steps", CDDL, &steps) {
        panic!("steps: {why:?}");
    }
    vec![
        Item::Head(Box::new(head)),
        Item::Checkpoints(Checkpoints {
            notes: List::new(vec!["a note\n\n— a b\n".to_owned()]).unwrap(),
            item: Sort::Checkpoints,
        }),
        Item::LastCommit(Box::new(LastCommit {
            signature: Fixed([4; 64]),
            commit,
            item: Sort::LastCommit,
        })),
        Item::Block(Block {
            item: Sort::Block,
            unpacked: 3,
            packed: Blob::new(vec![1]).unwrap(),
        }),
        Item::Piece(Piece {
            blake3: Hash([5; 32]),
            item: Sort::Piece,
            unpacked: 3,
            packed: Blob::new(vec![1]).unwrap(),
            from: 0,
        }),
        Item::End(Box::new(End {
            losses: None,
            sha256: Hash([6; 32]),
            item: Sort::End,
            shown: 4,
            hidden: 5,
            held: 2,
            withheld: 1,
            files: 1,
        })),
    ]
}

#[test]
fn every_item_conforms_and_survives() {
    for item in items() {
        let framed = item.frame().unwrap();
        let mut rest = framed.as_slice();
        let (_, inside) = read_frame(&mut rest).unwrap().unwrap();
        assert!(rest.is_empty());
        assert_eq!(Item::decode(&inside).unwrap(), item);
        if let Err(why) = cddl_cat::validate_cbor_bytes("item", CDDL, &inside) {
            panic!("{item:?}: {why:?}");
        }
        for cut in 0..framed.len() {
            let mut short = &framed[..cut];
            assert!(!matches!(read_frame(&mut short), Ok(Some(_))), "{cut}");
        }
    }
}

#[test]
fn the_digest_covers_the_end_too() {
    use sha2::Digest as _;
    let Some(Item::End(end)) = items().pop() else {
        panic!("no end")
    };
    let digest = |end: &End| {
        let inside = Item::End(Box::new(end.clone())).encode().unwrap();
        End::digest(sha2::Sha256::new(), &inside).unwrap()
    };
    let other = End {
        sha256: Hash([9; 32]),
        ..(*end).clone()
    };
    assert_eq!(digest(&end), digest(&other));
    let other = End { files: 2, ..*end };
    assert_ne!(
        digest(&other),
        digest(&End {
            files: 1,
            ..other.clone()
        })
    );
}
