"""Takes the records out of an export's bundles: records.py DIR TARGET writes TARGET/<seq>.cbor."""

import struct
import sys
from pathlib import Path

target = Path(sys.argv[2])
target.mkdir()
seq = 0
# Bundles are numbered with leading zeros, so their names are in their order.
for bundle in sorted(p for p in (Path(sys.argv[1]) / "tile/entries").rglob("*") if p.is_file()):
    data = bundle.read_bytes()
    while data:
        (length,) = struct.unpack_from(">H", data)
        (target / f"{seq:06}.cbor").write_bytes(data[2 : 2 + length])
        data = data[2 + length :]
        seq += 1
print(seq)
