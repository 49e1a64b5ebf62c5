//! Good inputs to start from, and how to spoil them.

use tacho_schemas::note::{Algorithm, Vkey};
use tacho_schemas::proof::Proof;
use tacho_schemas::scalar::Seq;
use tacho_schemas::tile;

use crate::{logs, samples};

/// Good inputs, by decoder.
pub(crate) struct Seeds {
    pub(crate) records: Vec<Vec<u8>>,
    pub(crate) events: Vec<Vec<u8>>,
    pub(crate) notes: Vec<Vec<u8>>,
    pub(crate) checkpoints: Vec<Vec<u8>>,
    pub(crate) proofs: Vec<Vec<u8>>,
    pub(crate) vkeys: Vec<Vec<u8>>,
    pub(crate) bundles: Vec<Vec<u8>>,
    pub(crate) paths: Vec<Vec<u8>>,
    pub(crate) receipts: Vec<Vec<u8>>,
    pub(crate) rows: Vec<Vec<u8>>,
    pub(crate) filters: Vec<Vec<u8>>,
}

impl Seeds {
    pub(crate) fn make() -> Self {
        let log = logs::sound();
        let schema = include_str!("../../../schemas/event.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        let examples = schema["examples"].as_array().unwrap();
        let notes = &log.checkpoints;
        let receipts: Vec<_> = (0..log.size()).map(|seq| log.receipt(Seq(seq))).collect();
        let proofs = receipts.iter().map(|receipt| {
            let path = receipt.path.as_ref().unwrap().as_slice().to_vec();
            Proof::new(receipt.seq.0, path, log.signed_head()).unwrap()
        });
        let origin = log.genesis().origin;
        let vkey = Vkey::new(
            origin.as_str(),
            Algorithm::Ed25519,
            &log.log_key.verifying_key(),
        );
        let paths = [
            "tile/0/x001/x234/067.p/8",
            "tile/2/000",
            "tile/entries/067.p/44",
        ];
        let filters = [
            "kind:mutation -path:*.md",
            "(agent:quill | session:12) verdict:deny since:2026-01-01 until:2h",
            "under(31) \"the cache\" -(over(3) part:tests)",
            "since:yesterday é*",
        ];
        Self {
            filters: filters.iter().map(|f| f.as_bytes().to_vec()).collect(),
            records: samples::all()
                .iter()
                .map(|s| s.record.encode().unwrap())
                .collect(),
            events: examples
                .iter()
                .map(|e| e.to_string().into_bytes())
                .collect(),
            notes: notes.iter().map(|n| n.to_string().into_bytes()).collect(),
            checkpoints: notes.iter().map(|n| n.text().as_bytes().to_vec()).collect(),
            proofs: proofs.map(|p| p.to_string().into_bytes()).collect(),
            vkeys: vec![vkey.unwrap().to_string().into_bytes()],
            bundles: vec![tile::encode_bundle(&log.records).unwrap()],
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
            receipts: receipts.iter().map(|r| r.encode().unwrap()).collect(),
            rows: log
                .rows
                .iter()
                .flatten()
                .map(|r| r.encode().unwrap())
                .collect(),
        }
    }
}

/// Turns noise into an input: a good one with edits, or, one time in eight, the noise itself.
pub(crate) fn near(seeds: &[Vec<u8>], noise: &[u8]) -> Vec<u8> {
    let Some((&first, rest)) = noise.split_first() else {
        return Vec::new();
    };
    if first % 8 == 0 {
        return rest.to_vec();
    }
    let mut bytes = seeds[usize::from(first) % seeds.len()].clone();
    // Few edits: with many, nothing is good enough to be decoded to its end.
    for edit in rest.chunks_exact(4).take(usize::from(first % 4)) {
        let &[what, high, low, byte] = edit else {
            break;
        };
        let at = usize::from(u16::from_be_bytes([high, low])) % (bytes.len() + 1);
        match what % 6 {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            4 => bytes.extend_from_within(at..),
            _ => bytes.insert(at, byte),
        }
    }
    bytes
}
