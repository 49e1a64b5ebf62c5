"""Flips one bit of a file: flip.py FILE OFFSET (a negative one counts from the end)."""

import sys
from pathlib import Path

path = Path(sys.argv[1])
data = bytearray(path.read_bytes())
data[int(sys.argv[2])] ^= 1
path.write_bytes(data)
