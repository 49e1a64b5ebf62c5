"""Holds records against our CDDL with `cddl-verifier`: cddl.py CDDL FOLDER.

Each record has to fit, and none may when its version is text, when a key is added that nobody knows, or when its encoding is
not deterministic. Exit 0: so it is; 1: it is not.

(`pycddl` 0.6.4 would do, but takes only the first of several values inside an array: `a = [+ (1 / 2)]` refuses `[2]`.)
"""

import re
import sys
from pathlib import Path

from cddl_verifier import CBORDecodeError, Validator

# This tool matches whole texts, so the anchors are left out, as the CDDL itself says.
text = re.sub(r'(\.regexp) "\^(.*)\$"', r'\1 "\2"', Path(sys.argv[1]).read_text())
validator = Validator(text)
# One record of each shape is enough: the log repeats itself.
shapes = {}
for file in sorted(Path(sys.argv[2]).glob("*.cbor")):
    data = file.read_bytes()
    shapes.setdefault(len(data), (file.name, data))


def fits(data):
    try:
        return validator.validate(data, root_type="record", require_deterministic=True).valid
    except CBORDecodeError:
        return False


if len(shapes) < 5:
    sys.exit("no: there are hardly any records")
for name, data in shapes.values():
    # A map of fewer than 24 entries; the first is key 0, the version, 1.
    if not (0xA0 <= data[0] < 0xB7 and data[1:3] == b"\x00\x01"):
        sys.exit(f"no: {name} does not begin as a record")
    if not fits(data):
        sys.exit(f"no: {name} does not fit")
    for what, damaged in (
        ("a version that is text", data[:2] + b"\x61\x31" + data[3:]),
        ("a key that nobody knows", bytes([data[0] + 1]) + data[1:] + b"\x19\x03\xe7\x00"),
        ("a version in two bytes", data[:2] + b"\x18\x01" + data[3:]),
        ("a byte behind it", data + b"\x00"),
    ):
        if fits(damaged):
            sys.exit(f"no: {name} fits with {what}")
print(f"{len(shapes)} records of different length fit, and none when damaged")
