"""Signed notes and checkpoints (C2SP signed-note and tlog-checkpoint; note.md)."""

import base64
import binascii
import re
from dataclasses import dataclass

from . import keys
from .hashes import sha256

ED25519 = b"\x01"
DASH = "\u2014 "


class BadNote(Exception):
    """The bytes are no note, or no checkpoint."""


class BadCheckpoint(BadNote):
    """The bytes are a note, but their text is no checkpoint."""


@dataclass
class Checkpoint:
    text: bytes
    origin: str
    size: int
    root: bytes
    lines: list  # (name, key id, signature)

    def signed_by(self, name, key):
        """Whether exactly one line bears this name and key id, and verifies."""
        key_id = sha256(name.encode() + b"\n" + ED25519 + key)[:4]
        found = [line[2] for line in self.lines if line[0] == name and line[1] == key_id]
        return len(found) == 1 and keys.verify(key, found[0], self.text)


def _base64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadNote("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise BadNote("base64 that is spelled otherwise than it has to be")
    return data


def parse(data):
    """A checkpoint from the bytes of one note."""
    try:
        note = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadNote("not UTF-8") from error
    if any(c < " " and c != "\n" or c == "\x7f" for c in note):
        raise BadNote("a control character")
    text, found, lines = note.rpartition("\n\n")
    if not found or not text or not lines.endswith("\n"):
        raise BadNote("it is not whole")
    signatures = []
    for line in lines[:-1].split("\n"):
        name, space, encoded = line.removeprefix(DASH).partition(" ")
        if not line.startswith(DASH) or not space or not name or "+" in name or re.search(r"\s", name):
            raise BadNote("a line that is no signature")
        raw = _base64(encoded)
        if len(raw) < 5:
            raise BadNote("a signature that is too short")
        signatures.append((name, raw[:4], raw[4:]))
    body = text.split("\n")
    if len(body) != 3 or not body[0] or not re.fullmatch("0|[1-9][0-9]{0,18}", body[1]):
        raise BadCheckpoint("not origin, size and root")
    try:
        root = _base64(body[2])
    except BadNote as error:
        raise BadCheckpoint("a root that is not base64") from error
    if len(root) != 32:
        raise BadCheckpoint("a root that is not 32 bytes long")
    return Checkpoint((text + "\n").encode(), body[0], int(body[1]), root, signatures)


def split(data):
    """The notes of a `checkpoints` file: text, blank line, signature lines, blank line, and so on. A last one without its blank
    line comes cut short by that, so that it is not whole."""
    parts = data.split(b"\n\n")
    tail = parts.pop()
    notes = [text + b"\n\n" + lines + b"\n" for text, lines in zip(parts[::2], parts[1::2])]
    rest = b"\n\n".join(parts[len(notes) * 2 :] + [tail])
    return notes + [rest.rstrip(b"\n")] if rest else notes
