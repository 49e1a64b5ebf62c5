//! Bundles of a public log with proofs inside: two as it made them, three with a line of the checkpoint taken out.

use serde_json::Value;
use tacho_schemas::checkpoint::Signed;
use tacho_schemas::note::{Algorithm, Note, Vkey};
use tacho_schemas::proof::Proof;
use tacho_schemas::tree::{leaf_hash, verify_inclusion};
use tacho_schemas::{Error, Hash};

use super::{files, text, unbase64};

const SET: &str = "sigstore-conformance-rekor2";

#[test]
fn damaged_checkpoints_are_refused_whole_and_proofs_hold() {
    let files = files(SET);
    let (mut good, mut damaged, mut proofs) = (0, 0, 0);
    for path in &files {
        if path.file_name().unwrap() != "bundle.sigstore.json" {
            continue;
        }
        let parse =
            |path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
        let known = [log_key(&parse(path.with_file_name("trusted_root.json")))];
        let bundle = parse(path.clone());
        let entry = &bundle["verificationMaterial"]["tlogEntries"][0];
        let inclusion = &entry["inclusionProof"];
        let number = |field| text(inclusion, field).parse::<u64>().unwrap();
        let hash = |text: &str| Hash::from_slice(&unbase64(text)).unwrap();

        let leaf = unbase64(text(entry, "canonicalizedBody"));
        let hashes = inclusion["hashes"].as_array().unwrap().iter();
        let siblings: Vec<_> = hashes.map(|one| hash(one.as_str().unwrap())).collect();
        let (index, size) = (number("logIndex"), number("treeSize"));
        let root = hash(text(inclusion, "rootHash"));
        verify_inclusion(&leaf_hash(&leaf), index, size, &siblings, &root).unwrap();
        proofs += 1;

        let envelope = text(&inclusion["checkpoint"], "envelope");
        let note = Note::parse(envelope.as_bytes()).unwrap();
        // The first line is in all five by the log's key, and true in two.
        assert_eq!(note.signatures()[0].id(), known[0].id());
        if path.parent().unwrap().to_str().unwrap().ends_with("_fail") {
            assert!(matches!(note.verify(&known), Err(Error::Signature(_))));
            damaged += 1;
        } else {
            let signed = Signed::open(&note, &known).unwrap();
            assert_eq!(
                (signed.checkpoint.size(), *signed.checkpoint.root()),
                (size, root)
            );
            assert!(signed.by_log());
            // The same as one file.
            let proof = Proof::new(index, siblings, note).unwrap();
            let again = Proof::parse(proof.to_string().as_bytes()).unwrap();
            assert_eq!(again, proof);
            assert_eq!(again.verify(&leaf, &known).unwrap(), signed);
            assert!(again.verify(b"another leaf", &known).is_err());
            good += 1;
        }
    }
    assert_eq!((good, damaged, proofs), (2, 3, 5));
    assert_eq!(files.len(), 10);
}

/// The Ed25519 key in the trusted root; its note name is the log's host.
fn log_key(trusted_root: &Value) -> Vkey {
    let mut logs = trusted_root["tlogs"].as_array().unwrap().iter();
    let log = logs
        .find(|log| log["publicKey"]["keyDetails"] == "PKIX_ED25519")
        .unwrap();
    let der = unbase64(text(&log["publicKey"], "rawBytes"));
    let key = ed25519_dalek::VerifyingKey::from_bytes(der.last_chunk().unwrap()).unwrap();
    let name = text(log, "baseUrl").strip_prefix("https://").unwrap();
    Vkey::new(name, Algorithm::Ed25519, &key).unwrap()
}
