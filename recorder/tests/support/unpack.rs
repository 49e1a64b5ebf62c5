//! The logs of the fixtures, for every crate's tests.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tacho_recorder::pack::Unpacker;

/// Copies a log of the fixtures to where the recorder may be started on it: unpacked, and closed to others.
pub(crate) fn unpack(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            unpack(&entry.path(), &to.join(name));
            continue;
        }
        let mut bytes = fs::read(entry.path()).unwrap();
        if name.ends_with(".zst") {
            bytes = Unpacker::new().unwrap().unpack(&bytes, 8 << 20).unwrap();
        }
        let path = to.join(name.trim_end_matches(".zst"));
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}
