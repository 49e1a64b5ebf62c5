"""What stands in SQLite's write-ahead log, and what SQLite would pass over without a word (sqlite.org/fileformat2, section 4).

SQLite reads frames up to the first whose checksum is wrong and takes the rest for a crash. If a frame behind that one fits the
frame before itself, it was no crash.
"""

import struct

MAGIC = (0x377F0682, 0x377F0683)
VERSION = 3007000
HEADER, FRAME = 32, 24


def _sums(order, data, first, second):
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for a, b in zip(words[::2], words[1::2]):
        first = first + a + second & 0xFFFFFFFF
        second = second + b + first & 0xFFFFFFFF
    return first, second


def damage(file):
    """One sentence about the first damage that no crash makes, or None. `file` is open for reading bytes."""
    header = file.read(HEADER)
    if len(header) < HEADER:
        return None
    magic, version, page, _, salt1, salt2, sum1, sum2 = struct.unpack(">8I", header)
    if magic not in MAGIC or version != VERSION or page < 512 or page > 65536 or page & page - 1:
        return "the WAL has no header of a WAL"
    order = "<>"[magic & 1]
    before = _sums(order, header[:24], 0, 0)
    if before != (sum1, sum2):
        return "the header of the WAL has a wrong checksum, and all that follows is lost with it"
    number, broken, before = 0, None, [before]
    while len(frame := file.read(FRAME + page)) == FRAME + page:
        number += 1
        _, _, *salts, stored1, stored2 = struct.unpack(">6I", frame[:FRAME])
        stored = stored1, stored2
        sums = [_sums(order, frame[:8] + frame[FRAME:], *start) for start in before]
        fits = salts == [salt1, salt2] and stored in sums
        if fits and broken:
            return f"the WAL is damaged at frame {broken}, and frame {number} is lost with it"
        if not fits and not broken:
            broken = number
        # A frame behind a broken one is held to what that one states, and to what it should have stated.
        before = [stored, sums[0]]
    return None
