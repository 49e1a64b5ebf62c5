//! Notes, checkpoints and proof files: the rules one by one, and the examples in `note.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use std::collections::HashMap;
use std::ops::{Add, Mul};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{SigningKey, Verifier as _};
use proptest::prelude::*;
use sha2::{Digest as _, Sha512};
use tacho_schemas::checkpoint::{Checkpoint, Signed, cosign, epoch_name};
use tacho_schemas::note::{Algorithm, KeyId, Note, SignatureLine, Vkey};
use tacho_schemas::proof::Proof;
use tacho_schemas::tile::{Tile, TileData, Tiles, decode_bundle, encode_bundle, partial_tiles_of};
use tacho_schemas::tree::{Batch, Frontier, leaf_hash, root_of};
use tacho_schemas::{Error, Hash, Origin};

const ORIGIN: &str = "tacho.invalid/9f86d081884c7d659a2feaa0c55ad015";
const WITNESS: &str = "witness.invalid/w1";
const TIME: u64 = 1_767_139_200;
const LEAVES: [&[u8]; 3] = [b"first", b"second", b"third"];

/// A worthless key: everybody can make it.
fn key(whose: &str) -> SigningKey {
    let seed = Hash::sha256(format!("worthless test key: {whose}").as_bytes());
    SigningKey::from_bytes(seed.as_bytes())
}

fn vkey(name: &str, algorithm: Algorithm, whose: &str) -> Vkey {
    Vkey::new(name, algorithm, &key(whose).verifying_key()).unwrap()
}

fn epoch() -> String {
    epoch_name(&Origin::new(ORIGIN).unwrap(), 0)
}

/// The keys that the reader of the examples knows.
fn known() -> [Vkey; 3] {
    [
        vkey(ORIGIN, Algorithm::Ed25519, "log"),
        vkey(&epoch(), Algorithm::Ed25519, "epoch 0"),
        vkey(WITNESS, Algorithm::Cosignature, "witness"),
    ]
}

/// The example: three leaves, two signatures of the log.
fn example() -> (Note, Batch) {
    let mut batch = Batch::new(Frontier::new());
    for leaf in LEAVES {
        batch.push(leaf_hash(leaf)).unwrap();
    }
    let checkpoint = Checkpoint::new(ORIGIN, 3, batch.frontier().root()).unwrap();
    let mut note = Note::sign(&checkpoint.to_string(), ORIGIN, &key("log")).unwrap();
    note.add_signature(&epoch(), &key("epoch 0")).unwrap();
    (note, batch)
}

fn cosigned() -> Note {
    let (mut note, _) = example();
    cosign(&mut note, WITNESS, &key("witness"), TIME).unwrap();
    note
}

/// The fenced blocks of `note.md` by their label.
fn examples() -> HashMap<String, String> {
    let document = include_str!("../note.md");
    let mut blocks = HashMap::new();
    for (number, part) in document.split("```").enumerate() {
        if number % 2 == 1 {
            let (label, block) = part.split_once('\n').unwrap();
            assert!(
                blocks.insert(label.to_owned(), block.to_owned()).is_none(),
                "{label}"
            );
        }
    }
    blocks
}

#[test]
fn the_document_shows_what_the_code_writes() {
    let blocks = examples();
    let vkeys: String = known().map(|vkey| format!("{vkey}\n")).concat();
    assert_eq!(blocks["vkey"], vkeys);
    let (note, batch) = example();
    assert_eq!(blocks["checkpoint"], note.to_string());
    assert_eq!(blocks["cosigned"], cosigned().to_string());
    let proof = Proof::new(1, batch.path(1).unwrap(), note).unwrap();
    assert_eq!(blocks["tlog-proof"], proof.to_string());
    let bundle = encode_bundle(&LEAVES).unwrap();
    assert_eq!(blocks["bundle"].trim(), hex::encode(bundle));
    assert_eq!(blocks.len(), 6, "{:?}", blocks.keys());
}

#[test]
fn a_reader_of_the_document_alone_can_verify_it() {
    let blocks = examples();
    let known: Vec<_> = blocks["vkey"]
        .lines()
        .map(|line| Vkey::parse(line).unwrap())
        .collect();

    let note = Note::parse(blocks["checkpoint"].as_bytes()).unwrap();
    let signed = Signed::open(&note, &known).unwrap();
    assert_eq!(signed.signatures.len(), 2);
    assert!(signed.by_log() && signed.by(&epoch()) && !signed.by(WITNESS));
    assert!(signed.checkpoint.is_of(&Origin::new(ORIGIN).unwrap()));

    let note = Note::parse(blocks["cosigned"].as_bytes()).unwrap();
    let cosigned = Signed::open(&note, &known).unwrap();
    assert_eq!(cosigned.checkpoint, signed.checkpoint);
    assert_eq!(cosigned.signatures[2].time, Some(TIME));

    let proof = Proof::parse(blocks["tlog-proof"].as_bytes()).unwrap();
    assert_eq!(proof.verify(b"second", &known).unwrap(), signed);
    assert!(proof.verify(b"first", &known).is_err());

    let bundle = hex::decode(blocks["bundle"].trim()).unwrap();
    let entries = decode_bundle(&bundle, 3).unwrap();
    let leaf = |_, index| Ok::<_, Error>(leaf_hash(entries[usize::try_from(index).unwrap()]));
    assert_eq!(root_of(1, leaf).unwrap(), leaf_hash(b"first"));
    let mut frontier = Frontier::new();
    for entry in entries {
        frontier.append(leaf_hash(entry)).unwrap();
    }
    assert_eq!(frontier.root(), *signed.checkpoint.root());
    // The tree of which these are some: 1,234,068 full tiles of level 0, and 112 leaves.
    let partial: Vec<_> = partial_tiles_of(315_921_520).collect();
    for path in blocks["tiles"].lines() {
        let tile = Tile::parse(path).or_else(|_| Tile::parse_entries(path));
        let tile = tile.unwrap();
        assert!(tile.is_full() || partial.contains(&tile), "{path}");
    }
}

#[test]
fn unknown_signers_are_ignored_and_known_ones_must_be_right() {
    let note = cosigned();
    let [log, epoch, witness] = known();
    // Whoever knows one key sees one signature.
    for one in [&log, &epoch, &witness] {
        let known = [one.clone()];
        let verified = note.verify(&known).unwrap();
        assert_eq!(verified.len(), 1);
        assert_eq!(verified[0].key, one);
    }
    // The right name with another key is another key.
    let stranger = vkey(ORIGIN, Algorithm::Ed25519, "stranger");
    assert!(note.verify(&[stranger]).is_err());
    assert!(note.verify(&[]).is_err());
    // One false line of a known key spoils the true ones.
    let mut false_line = epoch.id().0.to_vec();
    false_line.extend([1; 64]);
    let line = format!("— {} {}", epoch.name(), STANDARD.encode(false_line));
    let mut spoiled = Note::sign(note.text(), ORIGIN, &key("log")).unwrap();
    spoiled.add(SignatureLine::parse(&line).unwrap()).unwrap();
    assert_eq!(
        spoiled.verify(&[log.clone(), epoch.clone()]),
        Err(Error::Signature(
            "a signature by a known key does not verify"
        ))
    );
    assert_eq!(spoiled.verify(&[log]).unwrap().len(), 1);
}

#[test]
fn a_known_key_signs_once() {
    let (note, _) = example();
    let text = note.to_string();
    let line = text.lines().find(|line| line.starts_with('—')).unwrap();
    let twice = format!("{text}{line}\n");
    let twice = Note::parse(twice.as_bytes()).unwrap();
    assert_eq!(
        twice.verify(&known()),
        Err(Error::Signature("a known key signed twice"))
    );
    // Nobody cares how often a stranger does.
    assert_eq!(twice.verify(&known()[1..]).unwrap().len(), 1);
    // And we do not write such a note.
    let mut note = note;
    assert!(note.add_signature(ORIGIN, &key("log")).is_err());
    // A key that is listed twice is still one key.
    let [log, ..] = known();
    assert_eq!(note.verify(&[log.clone(), log]).unwrap().len(), 1);
}

/// Ids have 32 bits: a hundred thousand keys are enough to find two that share one.
#[test]
fn two_known_keys_with_one_id_are_refused() {
    let mut seen: HashMap<KeyId, u64> = HashMap::new();
    let bytes = |n: u64| Hash::sha256(&n.to_be_bytes()).0;
    let parse = |n: u64| {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes(n)).ok()?;
        Vkey::new("a/b", Algorithm::Ed25519, &key).ok()
    };
    let (one, other) = (0..10_000_000)
        .find_map(|n| {
            let id = KeyId::of("a/b", Algorithm::Ed25519, &bytes(n));
            let earlier = seen.insert(id, n)?;
            Some((parse(earlier)?, parse(n)?))
        })
        .unwrap();
    assert_eq!(one.id(), other.id());
    let field = STANDARD.encode([&one.id().0[..], &[0; 64]].concat());
    let line = format!("text\n\n— a/b {field}\n");
    let note = Note::parse(line.as_bytes()).unwrap();
    assert_eq!(
        note.verify(&[one, other]),
        Err(Error::Signature("two known keys have the same name and id"))
    );
}

/// A signature that the equation holds for and that its maker can turn into others: R is the neutral point.
///
/// Verifiers that are not strict accept it, so two of them could disagree about one note.
#[test]
fn signatures_are_verified_strictly() {
    let (key, [log, ..]) = (key("log"), known());
    let text = "text\n";
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let challenge = Sha512::new()
        .chain_update(neutral)
        .chain_update(key.verifying_key().as_bytes())
        .chain_update(text);
    let secret = key.to_scalar();
    let s = number_like(secret, &challenge.finalize()) * secret;
    let signature = [neutral, s.to_bytes()].concat();
    let loose = ed25519_dalek::Signature::from_slice(&signature).unwrap();
    assert!(key.verifying_key().verify(text.as_bytes(), &loose).is_ok());

    let field = STANDARD.encode([&log.id().0[..], &signature].concat());
    let note = Note::parse(format!("{text}\n— {ORIGIN} {field}\n").as_bytes()).unwrap();
    assert!(note.verify(&[log]).is_err());
}

/// Reads little-endian bytes as a scalar, whose type has no name here.
fn number_like<S>(_: S, bytes: &[u8]) -> S
where
    S: From<u64> + Add<Output = S> + Mul<Output = S>,
{
    bytes.iter().rev().fold(S::from(0), |sum, byte| {
        sum * S::from(256) + S::from(u64::from(*byte))
    })
}

#[test]
fn notes_are_bounded_but_take_many_signatures() {
    let [log, ..] = known();
    let mut note = Note::sign("text\n", ORIGIN, &key("log")).unwrap();
    // Post-quantum signatures of 2,424 bytes and a time.
    let large = STANDARD.encode([9; 4 + 8 + 2420]);
    for n in 0..20 {
        note.add(SignatureLine::parse(&format!("— w{n} {large}")).unwrap())
            .unwrap();
    }
    let text = note.to_string();
    assert_eq!(Note::parse(text.as_bytes()).unwrap(), note);
    assert_eq!(note.verify(&[log]).unwrap().len(), 1);
    for n in 20..127 {
        note.add(SignatureLine::parse(&format!("— w{n} AAAAAAA=")).unwrap())
            .unwrap();
    }
    let last = "— last AAAAAAA=";
    assert!(note.add(SignatureLine::parse(last).unwrap()).is_err());
    assert!(Note::parse(note.to_string().as_bytes()).is_ok());
    let more = format!("{note}{last}\n");
    assert_eq!(
        Note::parse(more.as_bytes()),
        Err(Error::Note("too many signatures"))
    );

    let long = "x".repeat(128 * 1024);
    assert!(Note::parse(format!("{long}\n\n{last}\n").as_bytes()).is_err());
    assert!(Note::sign(&format!("{long}\n"), "a", &key("log")).is_err());
}

#[test]
fn malformed_notes_are_refused() {
    let line = "— a/b AAAAAAA=";
    for good in [
        format!("text\n\n{line}\n"),
        format!("a\n\nb\n\n\n{line}\n{line}\n"),
    ] {
        let note = Note::parse(good.as_bytes()).unwrap();
        assert_eq!(note.to_string(), good);
    }
    for bad in [
        String::new(),
        "\n".to_owned(),
        "text\n".to_owned(),
        "text\n\n".to_owned(),
        format!("text\n{line}\n"),
        format!("{line}\n"),
        format!("text\n\n{line}"),
        format!("text\n\n{line}\n\n"),
        format!("text\r\n\r\n{line}\r\n"),
        format!("te\txt\n\n{line}\n"),
        format!("te\0xt\n\n{line}\n"),
        format!("text\n\n{line}\r\n"),
        format!("text\n\n{line} \n"),
        format!("text\n\nx{line}\n"),
        "text\n\n- a/b AAAAAAA=\n".to_owned(),
        "text\n\n—a/b AAAAAAA=\n".to_owned(),
        "text\n\n— AAAAAAA=\n".to_owned(),
        "text\n\n—  AAAAAAA=\n".to_owned(),
        "text\n\n— a+b AAAAAAA=\n".to_owned(),
        "text\n\n— a\u{a0}b AAAAAAA=\n".to_owned(),
        // Base64: no padding, bits that say nothing, another alphabet, four bytes.
        "text\n\n— a/b AAAAAAA\n".to_owned(),
        "text\n\n— a/b AAAAAAB=\n".to_owned(),
        "text\n\n— a/b AAAAAA_=\n".to_owned(),
        "text\n\n— a/b AAAAAA==\n".to_owned(),
        format!("text\n\n— {} AAAAAAA=\n", "n".repeat(256)),
    ] {
        assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(Note::parse(b"te\xffxt\n\n\xe2\x80\x94 a/b AAAAAAA=\n").is_err());
    for text in ["", "text", "te\rxt\n", "text\n\u{1b}[0m\n"] {
        assert!(Note::sign(text, "a/b", &key("log")).is_err(), "{text:?}");
    }
    for name in ["", "a b", "a+b", "a\nb", "a\u{2003}b"] {
        assert!(Note::sign("text\n", name, &key("log")).is_err(), "{name:?}");
    }
}

#[test]
fn malformed_vkeys_are_refused() {
    let good = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    assert!(Vkey::parse(good).is_ok());
    let weak = STANDARD.encode([&[1, 1][..], &[0; 31]].concat());
    for bad in [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        "example.com/foo+530d903a+",
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2",
        "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeQ==",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        &format!("{good}\n"),
        &format!(" {good}"),
    ] {
        assert!(Vkey::parse(bad).is_err(), "{bad:?}");
    }
    assert_eq!(
        Vkey::parse(&good.replace("530d903a", "530d903b")),
        Err(Error::Name {
            what: "vkey",
            why: "has an id that does not belong to its key"
        })
    );
    let id = KeyId::of("a", Algorithm::Ed25519, &[&[1][..], &[0; 31]].concat());
    assert_eq!(
        Vkey::parse(&format!("a+{id}+{weak}")),
        Err(Error::Signature("the key is weak"))
    );
    // A kind that we do not trust can be read, kept and written.
    for foreign in ["a+01234567+AgAA", "a+01234567+BgAA", "a+01234567+/wAA"] {
        let vkey = Vkey::parse(foreign).unwrap();
        assert!(matches!(vkey.algorithm(), Algorithm::Foreign(_)));
        assert!(vkey.public().is_none());
        assert_eq!(vkey.to_string(), foreign);
    }
    let public = key("log").verifying_key();
    assert!(Vkey::new("a", Algorithm::Foreign(1), &public).is_err());
}

#[test]
fn malformed_checkpoints_are_refused() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for good in [
        format!("go.sum database tree\n1\n{root}\n"),
        format!("o\n18446744073709551615\n{root}\nextension\nanother\n"),
        format!("o\n0\n{empty}\n"),
    ] {
        assert_eq!(Checkpoint::parse(&good).unwrap().to_string(), good);
    }
    for bad in [
        String::new(),
        "\n".to_owned(),
        "o\n1\n".to_owned(),
        format!("o\n1\n{root}"),
        format!("\n1\n{root}\n"),
        format!("o\n1\n{root}\n\n"),
        format!("o\n1\n{root}\n\nextension\n"),
        format!("o\n1\n{root}\r\n"),
        format!("o\t\n1\n{root}\n"),
        format!("o\n\n{root}\n"),
        format!("o\n01\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n-1\n{root}\n"),
        format!("o\n 1\n{root}\n"),
        format!("o\n0x1\n{root}\n"),
        format!("o\n١\n{root}\n"),
        format!("o\n18446744073709551616\n{root}\n"),
        format!("o\n0\n{root}\n"),
        "o\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I\n".to_owned(),
        "o\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n".to_owned(),
        "o\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==\n".to_owned(),
        "o\n1\n\n".to_owned(),
    ] {
        assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
    }
    assert!(Checkpoint::new("a\nb", 1, Hash::ZERO).is_err());
    assert!(Checkpoint::new("", 1, Hash::ZERO).is_err());
    assert!(Checkpoint::new("o", 0, Hash::ZERO).is_err());
    // Only a checkpoint can be cosigned.
    let mut note = Note::sign("text\n", "a", &key("log")).unwrap();
    assert!(cosign(&mut note, WITNESS, &key("witness"), TIME).is_err());
}

#[test]
fn malformed_proofs_are_refused() {
    let (note, batch) = example();
    let good = Proof::new(1, batch.path(1).unwrap(), note.clone()).unwrap();
    let good = good.with_extra(b"anything").unwrap();
    let text = good.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra YW55dGhpbmc=\nindex 1\n"));
    assert_eq!(Proof::parse(text.as_bytes()).unwrap(), good);
    assert_eq!(good.extra(), Some(&b"anything"[..]));
    for (from, to) in [
        ("@v1\n", "@v2\n"),
        ("@v1\n", "@v1\r\n"),
        ("index 1\n", "index 01\n"),
        ("index 1\n", "index  1\n"),
        ("index 1\n", ""),
        ("index 1\n", "index 1\nindex 1\n"),
        ("index 1\n", "index 1\n\n"),
        ("extra YW55dGhpbmc=\n", "extra \n"),
        ("extra YW55dGhpbmc=\n", "extra YW55dGhpbmc\n"),
        ("extra YW55dGhpbmc=\n", "extra YQ==\nextra YQ==\n"),
        ("extra YW55dGhpbmc=\n", "\n"),
        ("\n\ntacho", "\ntacho"),
        ("\n\ntacho", "\nAAAA\n\ntacho"),
    ] {
        let bad = text.replacen(from, to, 1);
        assert_ne!(bad, text, "{from:?}");
        assert!(Proof::parse(bad.as_bytes()).is_err(), "{from:?} -> {to:?}");
    }
    assert!(good.clone().with_extra(b"").is_err());
    assert!(Proof::new(1, vec![Hash::ZERO; 65], note.clone()).is_err());
    let zero = format!("{}\n", STANDARD.encode([0; 32]));
    let long = text.replacen("index 1\n", &format!("index 1\n{}", zero.repeat(65)), 1);
    assert!(Proof::parse(long.as_bytes()).is_err());
}

#[test]
fn a_proof_needs_the_log_itself() {
    let (note, batch) = example();
    let [log, epoch, witness] = known();
    let proof = |note| Proof::new(1, batch.path(1).unwrap(), note).unwrap();
    assert!(proof(cosigned()).verify(b"second", &[log]).is_ok());
    // Neither a cosigner nor an epoch key alone speaks for the log.
    assert!(proof(cosigned()).verify(b"second", &[witness]).is_err());
    assert!(proof(note.clone()).verify(b"second", &[epoch]).is_err());
    // Nor does the key of another log, nor a cosigner that took the log's name.
    let other = "tacho.invalid/00000000000000000000000000000000";
    let by_other = Note::sign(note.text(), other, &key("other")).unwrap();
    let known = [vkey(other, Algorithm::Ed25519, "other")];
    assert!(Signed::open(&by_other, &known).is_ok());
    assert!(proof(by_other).verify(b"second", &known).is_err());
    let mut by_name = note;
    cosign(&mut by_name, ORIGIN, &key("witness"), TIME).unwrap();
    let known = [vkey(ORIGIN, Algorithm::Cosignature, "witness")];
    assert!(proof(by_name).verify(b"second", &known).is_err());
}

#[test]
fn malformed_tiles_are_refused() {
    for good in [
        "tile/0/000",
        "tile/63/x001/x234/067.p/1",
        "tile/7/x018/x446/x744/x073/x709/x551/615",
    ] {
        assert_eq!(Tile::parse(good).unwrap().path(), good);
    }
    for bad in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/64/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/1000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/x1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/257",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000/",
        "tile/0/+01",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/entries/000",
        "tile/8/0/000",
    ] {
        assert!(Tile::parse(bad).is_err(), "{bad:?}");
    }
    assert!(Tile::parse_entries("tile/0/000").is_err());
    assert!(Tile::parse_entries("tile/entries/entries/000").is_err());
    assert!(Tile::parse_entries("tile/entries/0").is_err());
    let tile = Tile::new(0, 0, 2).unwrap();
    assert!(TileData::from_bytes(tile, &[0; 64]).is_ok());
    for length in [0, 32, 63, 65, 96] {
        assert!(TileData::from_bytes(tile, &vec![0; length]).is_err());
    }
    let resume = |count| Tiles::resume(2, |_| Ok::<_, Error>(vec![Hash::ZERO; count]));
    assert!(resume(2).is_ok() && resume(1).is_err() && resume(3).is_err());
}

#[test]
fn malformed_bundles_are_refused() {
    let long = vec![7; 65_535];
    let entries = [&b""[..], b"x", &long];
    let bundle = encode_bundle(&entries).unwrap();
    assert_eq!(decode_bundle(&bundle, 3).unwrap(), entries);
    assert!(decode_bundle(&bundle, 2).is_err());
    assert!(decode_bundle(&bundle, 4).is_err());
    assert!(decode_bundle(&bundle[..bundle.len() - 1], 3).is_err());
    assert!(decode_bundle(&[0], 1).is_err());
    assert!(encode_bundle(&[vec![7; 65_536]]).is_err());
    assert!(encode_bundle::<&[u8]>(&[]).is_err());
    assert!(encode_bundle(&[b"x"; 257]).is_err());
}

/// Puts a byte, takes one out or changes one.
fn mutate(text: &str, at: prop::sample::Index, byte: u8, how: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let at = at.index(bytes.len());
    match how % 3 {
        0 => bytes[at] = byte,
        1 => bytes.insert(at, byte),
        _ => drop(bytes.remove(at)),
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_changed_proof_file_is_caught(at: prop::sample::Index, byte: u8, how: u8) {
        let (note, batch) = example();
        let good = Proof::new(1, batch.path(1).unwrap(), note).unwrap().to_string();
        let bytes = mutate(&good, at, byte, how);
        if let Ok(proof) = Proof::parse(&bytes) {
            prop_assert_eq!(proof.to_string().into_bytes(), bytes.clone());
            let known = known();
            let outcome = proof.verify(b"second", &known);
            // Only a line that now is a stranger's may differ.
            if bytes != good.as_bytes() {
                prop_assert!(outcome.is_err() || outcome.unwrap().signatures.len() == 1);
            }
        }
    }

    #[test]
    fn what_is_read_is_written_the_same(at: prop::sample::Index, byte: u8, how: u8, noise: Vec<u8>) {
        let note = cosigned();
        for bytes in [mutate(&note.to_string(), at, byte, how), noise] {
            if let Ok(note) = Note::parse(&bytes) {
                prop_assert_eq!(note.to_string().into_bytes(), bytes.clone());
            }
            let text = String::from_utf8_lossy(&bytes);
            if let Ok(checkpoint) = Checkpoint::parse(&text) {
                prop_assert_eq!(checkpoint.to_string(), text.as_ref());
            }
        }
        let [vkey, ..] = known().map(|vkey| mutate(&vkey.to_string(), at, byte, how));
        let vkey = String::from_utf8_lossy(&vkey);
        if let Ok(read) = Vkey::parse(&vkey) {
            prop_assert_eq!(read.to_string(), vkey.as_ref());
        }
    }
}
