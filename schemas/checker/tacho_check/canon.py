"""Canonical bytes: the one spelling of each value (record.cddl, "Canonical bytes").

Reads CBOR (RFC 8949) by hand, because libraries accept more than one spelling. What is read here and written again by
`encode` gives the same bytes, so an entry can be cut out of a record by reading, dropping and writing it.
"""

MAX_BYTES = 65_535
MAX_DEPTH = 8
ROW_BYTES = 32 << 20

BYTES, TEXT, ARRAY, MAP = 2, 3, 4, 5


class NotCanonical(Exception):
    """The bytes are not the one spelling of a value."""


def decode(data, max_bytes=MAX_BYTES):
    """The value that the bytes spell: int, bytes, str, bool, list, or dict with integer keys."""
    if len(data) > max_bytes:
        raise NotCanonical(f"longer than {max_bytes} bytes")
    value, end = _value(data, 0, 0)
    if end != len(data):
        raise NotCanonical(f"something follows at byte {end}")
    return value


def _head(data, at):
    """Major type, argument, and the byte after them. The argument is spelled as short as can be."""
    if at >= len(data):
        raise NotCanonical("the bytes end too early")
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if info < 24:
        return major, info, at
    if info > 27:
        raise NotCanonical(f"indefinite or reserved at byte {at - 1}")
    width = 1 << info - 24
    if at + width > len(data):
        raise NotCanonical("the bytes end too early")
    argument = int.from_bytes(data[at : at + width], "big")
    if major == 7 or argument < (24 if width == 1 else 1 << 4 * width):
        raise NotCanonical(f"not the shortest spelling, or a float, at byte {at - 1}")
    return major, argument, at + width


def _value(data, at, depth):
    start = at
    major, argument, at = _head(data, at)
    if major == 0:
        return argument, at
    if major == 1:
        if argument >= 1 << 63:
            raise NotCanonical(f"below -2^63 at byte {start}")
        return -1 - argument, at
    if major in (BYTES, TEXT):
        end = at + argument
        if end > len(data):
            raise NotCanonical("the bytes end too early")
        raw = bytes(data[at:end])
        if major == BYTES:
            return raw, end
        try:
            return raw.decode("utf-8"), end
        except UnicodeDecodeError as error:
            raise NotCanonical(f"no UTF-8 at byte {start}") from error
    if major == 7 and argument in (20, 21):
        return argument == 21, at
    if major not in (ARRAY, MAP):
        raise NotCanonical(f"a tag, null or other simple value at byte {start}")
    if argument == 0:
        raise NotCanonical(f"an empty map or array at byte {start}")
    if depth == MAX_DEPTH:
        raise NotCanonical(f"more than {MAX_DEPTH} deep at byte {start}")
    if argument > len(data) - at:
        raise NotCanonical("the bytes end too early")
    if major == ARRAY:
        items = []
        for _ in range(argument):
            item, at = _value(data, at, depth + 1)
            items.append(item)
        return items, at
    entries, before = {}, b""
    for _ in range(argument):
        key_at = at
        if data[at : at + 1] > b"\x3f":
            raise NotCanonical(f"a key that is no integer at byte {at}")
        key, at = _value(data, at, depth + 1)
        spelled = bytes(data[key_at:at])
        if spelled <= before:
            raise NotCanonical(f"a key out of order or twice at byte {key_at}")
        before = spelled
        entries[key], at = _value(data, at, depth + 1)
    return entries, at


def _spell(major, argument):
    if argument < 24:
        return bytes([major << 5 | argument])
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * width:
            return bytes([major << 5 | info]) + argument.to_bytes(width, "big")
    raise NotCanonical("a number above 2^64-1")


def encode(value):
    """The canonical bytes of a value that `decode` can give."""
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _spell(0, value) if value >= 0 else _spell(1, -1 - value)
    if isinstance(value, bytes):
        return _spell(BYTES, len(value)) + value
    if isinstance(value, str):
        raw = value.encode()
        return _spell(TEXT, len(raw)) + raw
    if isinstance(value, list):
        return _spell(ARRAY, len(value)) + b"".join(map(encode, value))
    entries = sorted((encode(key), encode(item)) for key, item in value.items())
    return _spell(MAP, len(entries)) + b"".join(key + item for key, item in entries)
