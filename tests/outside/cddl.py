"""Holds records against our CDDL with `pycddl`: cddl.py CDDL FOLDER.

Each record has to fit, and none may when a byte is appended or its first key is changed. Exit 0: so it is; 1: it is not.
"""

import sys
from pathlib import Path

from pycddl import Schema, ValidationError

schema = Schema(Path(sys.argv[1]).read_text())
files = sorted(Path(sys.argv[2]).glob("*.cbor"))


def fits(data):
    try:
        schema.validate_cbor(data)
    except (ValidationError, ValueError):
        return False
    return True


if not files:
    sys.exit("no: there are no records")
for file in files:
    data = file.read_bytes()
    if not fits(data):
        sys.exit(f"no: {file.name} does not fit")
    # The version, the first entry of the map, becomes text.
    if fits(data[:2] + b"\x61\x31" + data[3:]):
        sys.exit(f"no: {file.name} fits with a version that is text")
print(f"{len(files)} records fit, and none when damaged")
