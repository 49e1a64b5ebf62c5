//! Notes and keys from the specifications and from logs that run.

use tacho_schemas::checkpoint::{Checkpoint, Signed};
use tacho_schemas::note::{Algorithm, Note, Vkey};

use super::{files, json, text, unhex};

#[test]
fn notes_verify_and_are_written_as_they_were_read() {
    assert_eq!(files("c2sp-notes").len(), 2);
    let cases = json("c2sp-notes", "notes.json");
    let (mut valid, mut checkpoints) = (0, 0);
    for case in cases.as_array().unwrap() {
        let id = text(case, "id");
        let bytes = text(case, "note");
        let note = Note::parse(bytes.as_bytes()).unwrap();
        assert_eq!(note.to_string(), bytes, "{id}");
        if text(case, "kind") == "checkpoint" {
            let checkpoint = Checkpoint::parse(note.text()).unwrap();
            assert_eq!(checkpoint.to_string(), note.text(), "{id}");
            checkpoints += 1;
        }
        let Some(vkey) = case["vkey"].as_str() else {
            continue;
        };
        assert_eq!(text(case, "expect"), "valid", "{id}");
        let known = [Vkey::parse(vkey).unwrap()];
        let signers = note.verify(&known).unwrap();
        assert_eq!(signers.len(), 1, "{id}");
        // Any change of the text makes the note false.
        let changed = bytes.replacen(|c: char| c.is_ascii_lowercase(), "X", 1);
        assert!(
            Note::parse(changed.as_bytes())
                .unwrap()
                .verify(&known)
                .is_err(),
            "{id}"
        );
        valid += 1;
    }
    assert_eq!((valid, checkpoints), (4, 4));
}

#[test]
fn a_key_may_be_named_otherwise_than_its_log() {
    let cases = json("c2sp-notes", "notes.json");
    let mut seen = 0;
    for case in cases.as_array().unwrap() {
        if case["key_name_differs_from_origin"].as_bool() != Some(true) {
            continue;
        }
        let known = [Vkey::parse(text(case, "vkey")).unwrap()];
        let note = Note::parse(text(case, "note").as_bytes()).unwrap();
        let signed = Signed::open(&note, &known).unwrap();
        assert_eq!(signed.checkpoint.origin(), "go.sum database tree");
        assert!(signed.by("sum.golang.org"));
        assert!(!signed.by_log());
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn the_cosignature_of_the_specification_has_its_time() {
    let cases = json("c2sp-notes", "notes.json");
    let mut cases = cases.as_array().unwrap().iter();
    let case = cases
        .find(|case| case["id"] == "c2sp-cosignature-layout")
        .unwrap();
    let note = Note::parse(text(case, "note").as_bytes()).unwrap();
    let [log, witness] = note.signatures() else {
        panic!("not two signatures");
    };
    assert_eq!(log.signature().len(), 64);
    assert_eq!(witness.signature().len(), 72);
    let time = witness.signature().first_chunk().unwrap();
    assert_eq!(u64::from_be_bytes(*time), 1_679_315_147);
}

#[test]
fn vkeys_have_the_ids_that_others_count() {
    let cases = json("c2sp-notes", "vkeys.json");
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let vkey = Vkey::parse(text(case, "vkey")).unwrap();
        assert_eq!(vkey.to_string(), text(case, "vkey"));
        assert_eq!(vkey.name(), text(case, "name"));
        assert_eq!(vkey.id().to_string(), text(case, "key_id_hex"));
        let public = vkey.public().unwrap();
        assert_eq!(public.as_bytes()[..], unhex(case, "public_key_hex")[..]);
        let algorithm = match case["sig_type"].as_u64() {
            Some(1) => Algorithm::Ed25519,
            Some(4) => Algorithm::Cosignature,
            other => panic!("type {other:?}"),
        };
        assert_eq!(vkey.algorithm(), algorithm);
        assert_eq!(Vkey::new(vkey.name(), algorithm, public).unwrap(), vkey);
    }
}
