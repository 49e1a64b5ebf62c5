"""Checks an export, a proof and a consistency proof with `aics-tlog`, somebody else's reading of C2SP.

    aics.py tiles DIR VKEY
    aics.py proof FILE RECORD VKEY
    aics.py grown JSON

Exit 0: holds; 1: does not.
"""

import base64
import json
import sys
from pathlib import Path

import aics_tlog as tlog
from aics_tlog.tiles import TileMissingError, TileVerificationError


def signed(note, vkey):
    """The checkpoint in a note, if the log's key signed it."""
    key = tlog.parse_vkey(vkey)
    result = tlog.verify_checkpoint(tlog.parse_note(note), key, expected_origin=key.name)
    if not result.ok:
        raise ValueError(result.error)
    return tlog.parse_checkpoint(tlog.parse_note(note).text)


def tiles(folder, vkey):
    folder = Path(folder)
    checkpoint = signed((folder / "checkpoint").read_bytes(), vkey)
    size, root = checkpoint.size, checkpoint.root
    reader = tlog.FileSystemTileReader(folder)
    report = tlog.audit_tiles(reader, size, root)
    for index in {0, size // 2, size - 1}:
        proof = tlog.inclusion_proof_from_tiles(reader, index, size)
        entry = tlog.read_entry(reader, index, size)
        if not tlog.verify_leaf_inclusion(entry, index, size, proof, root):
            raise ValueError(f"record {index} is not in the tree")
    return f"{size} records, {report.tiles} tiles, {report.bundles} bundles"


def proof(file, record, vkey):
    head, _, note = Path(file).read_text().partition("\n\n")
    header, index, *path = head.split("\n")
    if header != "c2sp.org/tlog-proof@v1":
        raise ValueError("no proof")
    index = int(index.removeprefix("index "))
    checkpoint = signed(note, vkey)
    path = [base64.b64decode(line, validate=True) for line in path]
    leaf = Path(record).read_bytes()
    if not tlog.verify_leaf_inclusion(leaf, index, checkpoint.size, path, checkpoint.root):
        raise ValueError("the record is not in the tree")
    return f"record {index} of {checkpoint.size}"


def grown(file):
    said = json.loads(Path(file).read_text())
    decode = base64.b64decode
    old, new = said["from"], said["to"]
    path = [decode(line) for line in said["path"]]
    roots = decode(old["root"]), decode(new["root"])
    if not tlog.verify_consistency(old["size"], new["size"], *roots, path):
        raise ValueError("the one is not a beginning of the other")
    return f"{old['size']} to {new['size']}"


if __name__ == "__main__":
    check = {"tiles": tiles, "proof": proof, "grown": grown}[sys.argv[1]]
    try:
        print(check(*sys.argv[2:]))
    except (ValueError, TileMissingError, TileVerificationError) as no:
        sys.exit(f"no: {no}")
