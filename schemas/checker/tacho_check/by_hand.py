"""python -m tacho_check.by_hand BUNDLE OUT [SEQ]: takes a bundle apart for openssl, ssh-keygen and cmp. It judges nothing.

Into the new folder OUT: the identity key and the log key; the genesis as it was signed, and the signature; the newest checkpoint, the same;
`root`, which the records and hidden runs give at its size; and of one record (SEQ, else the first with a text) its bytes, its text, what the
commitment is made over, the salt and the commitment. The log's README walks through them.
"""

import base64
import os
import struct
import sys
from pathlib import Path

from . import bundle, canon, note, record, tree

# The head of an Ed25519 public key in DER (RFC 8410).
DER = bytes.fromhex("302a300506032b6570032100")


def pem(key):
    return f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(DER + key).decode()}\n-----END PUBLIC KEY-----\n".encode()


def openssh(key):
    wire = b"".join(struct.pack(">I", len(part)) + part for part in (b"ssh-ed25519", key))
    return f"ssh-ed25519 {base64.b64encode(wire).decode()} identity\n".encode()


def parts(path):
    """(checkpoints, steps) of a bundle."""
    with open(path, "rb") as file:
        items = [bundle.item(inside) for _, inside in bundle.frames(file)]
    notes = [text for sort, value in items if sort == bundle.CHECKPOINTS for text in value[336]]
    return notes, [step for sort, value in items if sort == bundle.BLOCK for step in bundle.steps(value)]


def apart(path, wanted):
    """The files to write, by name."""
    notes, steps = parts(path)
    newest = note.parse(notes[-1].encode())
    grown, chosen, genesis, log_key = tree.Tree(), None, None, None
    root = None
    for step in steps:
        if 343 in step:
            start = grown.size
            for width, hash_ in zip(tree.covers(start, start + step[343]), step[344]):
                grown.add_subtree(width, hash_)
        else:
            value, seq = canon.decode(step[345]), grown.size
            if seq == 0:
                genesis, log_key = value, value[record.BODY][record.LOG_KEY]
            body = value[record.BODY]
            rotates = value[record.KIND] == record.KEY and (body[record.KEY_ROLE], body[record.KEY_OP]) == (record.LOG_ROLE, record.ROTATE)
            if rotates and seq < newest.size:
                log_key = body[record.PUBLIC_KEY]
            fields = canon.decode(step[346], canon.ROW_BYTES).get(306) if 346 in step else None
            if fields and (seq == wanted or wanted is None and chosen is None):
                chosen = seq, step[345], value, fields
            grown.add(tree.leaf_hash(step[345]))
        if grown.size == newest.size:
            root = grown.root()
    if chosen is None or root is None:
        raise SystemExit("by_hand: no such record with a text in it, or the tree is not shown at the newest checkpoint")
    bare = {**genesis, record.BODY: {k: v for k, v in genesis[record.BODY].items() if k != record.SIGNATURE}}
    line = next(line for line in newest.lines if line[0] == newest.origin)
    seq, data, value, fields = chosen
    field, (salt, text) = min(fields.items())
    head = struct.pack(">HHQ", value[record.KIND], field, len(text))
    print(f"record {seq}, of kind {value[record.KIND]}, field {field}: {len(text)} bytes of text; checkpoint of {newest.size} records")
    return {
        "identity.pem": pem(genesis[record.BODY][record.IDENTITY_KEY]),
        "identity.pub": openssh(genesis[record.BODY][record.IDENTITY_KEY]),
        "log.pem": pem(log_key),
        "genesis.signed": b"tacho/v1/sign/genesis\0" + canon.encode(bare),
        "genesis.sig": genesis[record.BODY][record.SIGNATURE],
        "checkpoint.signed": newest.text,
        "checkpoint.sig": line[2],
        "root": base64.b64encode(root) + b"\n",
        "record": data,
        "text": text,
        "text.committed": b"tacho/v1/content\0" + head + text,
        "salt": salt.hex().encode(),
        "commitment": value[record.CONTENT][field].hex().encode() + b"\n",
    }


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    folder = Path(sys.argv[2])
    files = apart(sys.argv[1], int(sys.argv[3]) if len(sys.argv) == 4 else None)
    os.mkdir(folder, 0o700)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
