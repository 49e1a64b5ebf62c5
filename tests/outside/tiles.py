"""Checks an export of tiles, written from the C2SP documents alone (signed-note, tlog-checkpoint, tlog-tiles).

    tiles.py DIR VKEY      exit 0: holds; 1: does not, with one sentence why

Shares no code with the program that wrote the export. Needs SHA-256 from Python and Ed25519 from `cryptography`.
"""

import base64
import hashlib
import struct
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class No(Exception):
    """The export does not hold."""


def sha256(data):
    return hashlib.sha256(data).digest()


def read(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise No(f"{path}: {error.strerror}") from error


def place(index, width):
    """The number of a tile as a path: 1234067 is x001/x234/067."""
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    return "/".join(groups) + ("" if width == 256 else f".p/{width}")


def open_note(data, vkey):
    """Returns the text of a note, if the key signed it."""
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    if key[:1] != b"\x01" or sha256(name.encode() + b"\n" + key)[:4].hex() != key_id:
        raise No("the vkey is malformed")
    text, found, lines = data.decode().rpartition("\n\n")
    text += "\n"
    if not found or not lines.endswith("\n"):
        raise No("the checkpoint is no note")
    good = 0
    for line in lines[:-1].split("\n"):
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if dash != "\u2014" or signer != name or signature[:4].hex() != key_id:
            continue
        Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text.encode())
        good += 1
    if good != 1:
        raise No(f"{good} signatures by the key")
    return name, text


def leaves(folder, size):
    """Yields the hash of each record."""
    for index in range(-(-size // 256)):
        width = min(256, size - 256 * index)
        bundle = read(folder / "tile/entries" / place(index, width))
        for _ in range(width):
            (length,) = struct.unpack_from(">H", bundle)
            entry, bundle = bundle[2 : 2 + length], bundle[2 + length :]
            if len(entry) != length:
                raise No(f"bundle {index} ends within an entry")
            yield sha256(b"\0" + entry)
        if bundle:
            raise No(f"bundle {index} holds more than {width} entries")


def root(hashes):
    """The root over a row of hashes: the left side is the largest power of two below the number."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\1" + root(hashes[:split]) + root(hashes[split:]))


def check(folder, vkey):
    origin, text = open_note(read(folder / "checkpoint"), vkey)
    named, size, expected = text.split("\n")[:3]
    if named != origin or str(int(size)) != size:
        raise No("the checkpoint is of another log, or its size is no plain number")
    row = all_leaves = list(leaves(folder, int(size)))
    level, files = 0, 1 + -(-int(size) // 256)
    while row:
        for index in range(-(-len(row) // 256)):
            hashes = row[256 * index : 256 * (index + 1)]
            tile = read(folder / f"tile/{level}" / place(index, len(hashes)))
            if tile != b"".join(hashes):
                raise No(f"tile {index} of level {level} differs from the records")
            files += 1
        full = len(row) // 256
        row = [root(row[256 * i : 256 * (i + 1)]) for i in range(full)]
        level += 1
    if base64.b64encode(root(all_leaves)).decode() != expected:
        raise No("the records have another root than the checkpoint")
    there = sum(path.is_file() for path in folder.rglob("*"))
    if there != files:
        raise No(f"{there} files where {files} belong")
    return int(size)


if __name__ == "__main__":
    try:
        print(check(Path(sys.argv[1]), sys.argv[2]), "records hold")
    except InvalidSignature:
        sys.exit("no: the signature does not verify")
    except (No, ValueError, struct.error) as no:
        sys.exit(f"no: {no}")
