//! Exported tiles, read by other people's code.

use std::fs;
use std::path::Path;

use super::home::Home;

/// Checks an export as a stranger would: with `signed_note` and `tlog_tiles`, and SHA-256.
///
/// Returns how many records it holds.
fn check(dir: &Path, vkey: &str) -> Result<u64, String> {
    use signed_note::{Note, StandardVerifier, VerifierList};
    let text = fs::read(dir.join("checkpoint")).map_err(|e| e.to_string())?;
    let note = Note::from_bytes(&text).map_err(|e| format!("{e:?}"))?;
    let key = StandardVerifier::new(vkey).map_err(|e| format!("{e:?}"))?;
    let known = VerifierList::new(vec![Box::new(key)]);
    let (signed, _) = note.verify(&known).map_err(|e| format!("{e:?}"))?;
    if signed.is_empty() {
        return Err("nobody signed".to_owned());
    }
    let body = std::str::from_utf8(note.text()).map_err(|e| e.to_string())?;
    let mut lines = body.lines();
    let origin = lines.next().unwrap_or_default();
    if !vkey.starts_with(&format!("{origin}+")) {
        return Err("another origin".to_owned());
    }
    let size: u64 = lines.next().and_then(|l| l.parse().ok()).ok_or("no size")?;
    let root = lines.next().ok_or("no root")?;

    let mut leaves = Vec::new();
    let mut read = 0;
    while read < size {
        let width = (size - read).min(256);
        let path = dir.join(path("entries", read / 256, width));
        let bundle = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut rest = bundle.as_slice();
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let entry = tail.get(..length).ok_or("a short bundle")?;
            leaves.push(tlog_tiles::record_hash(entry));
            rest = tail.get(length..).ok_or("a short bundle")?;
        }
        read += width;
    }
    if leaves.len() as u64 != size {
        return Err(format!("{} entries for size {size}", leaves.len()));
    }
    compare_tiles(dir, &leaves)?;
    let computed = tree(&leaves).ok_or("no leaves")?;
    match computed.to_string() == root {
        true => Ok(size),
        false => Err("another root".to_owned()),
    }
}

fn path(level: &str, index: u64, width: u64) -> String {
    assert!(index < 1000, "this test is about small logs");
    match width {
        256 => format!("tile/{level}/{index:03}"),
        width => format!("tile/{level}/{index:03}.p/{width}"),
    }
}

/// Compares every hash tile with the leaves.
fn compare_tiles(dir: &Path, leaves: &[tlog_tiles::Hash]) -> Result<(), String> {
    let mut row = leaves.to_vec();
    for level in 0.. {
        if row.is_empty() {
            return Ok(());
        }
        for (index, hashes) in (0..).zip(row.chunks(256)) {
            let path = dir.join(path(&level.to_string(), index, hashes.len() as u64));
            let tile = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let expected: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
            if tile != expected {
                return Err(format!("{} differs", path.display()));
            }
        }
        row = row.chunks_exact(256).filter_map(tree).collect();
    }
    Ok(())
}

/// The root over a row of hashes (RFC 6962).
fn tree(row: &[tlog_tiles::Hash]) -> Option<tlog_tiles::Hash> {
    if let [one] = row {
        return Some(*one);
    }
    let split = row.len().checked_next_power_of_two()? / 2;
    let (left, right) = row.split_at_checked(split)?;
    Some(tlog_tiles::node_hash(tree(left)?, tree(right)?))
}

#[test]
fn a_stranger_can_check_an_export_and_sees_every_flipped_bit() {
    let home = Home::with_log();
    home.record_many(700);
    let made = &home.run(["export", "tiles", "t", "--json"]).good().json()[0];
    assert_eq!(made["size"], 705);
    let vkey = made["vkey"].as_str().unwrap();
    let dir = home.path("t");
    assert_eq!(check(&dir, vkey), Ok(705));
    let mut files = Vec::new();
    walk(&dir, &mut files);
    assert_eq!(files.len() as u64, made["files"].as_u64().unwrap());
    assert_eq!(files.len(), 1 + 3 + 3 + 1);
    for file in files {
        let sound = fs::read(&file).unwrap();
        // Below the log's own signature stands the epoch's, which a stranger who knows one key passes over.
        let last = match file.ends_with("checkpoint") {
            true => 150,
            false => sound.len() - 1,
        };
        for at in [0, last / 2, last] {
            let mut flipped = sound.clone();
            flipped[at] ^= 1;
            fs::write(&file, flipped).unwrap();
            assert!(check(&dir, vkey).is_err(), "{} at {at}", file.display());
        }
        fs::write(&file, sound).unwrap();
    }
    assert_eq!(check(&dir, vkey), Ok(705));
    home.run(["--log", "other", "init"]).good();
    let other = &home
        .run(["--log", "other", "key", "show", "--json"])
        .good()
        .json()[0];
    assert!(check(&dir, other["vkeys"]["log"].as_str().unwrap()).is_err());
}

fn walk(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

#[test]
fn an_export_is_never_mixed_with_other_files() {
    let home = Home::with_log();
    fs::create_dir(home.path("t")).unwrap();
    home.run(["export", "tiles", "t"]).good();
    home.run(["export", "tiles", "t"])
        .refused_with_hint(2, "`t` is not empty");
    home.run(["export", "tiles", "a/b"])
        .refused(2, "cannot use `a/b`: no such file");
}
