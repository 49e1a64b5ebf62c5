"""What was signed about the log after a commit: the statement, receipts, and marks that were kept outside it (proof.cddl)."""

import json
from datetime import datetime, timezone

from . import canon, note, tree
from .cddl import Mismatch
from .record import SCHEMA


def statement(data):
    """A commit's statement from its bytes, or None. It has no extensions."""
    try:
        value = canon.decode(data)
        SCHEMA.check("commit", value)
    except (canon.NotCanonical, Mismatch, TypeError):
        return None
    return value if min(value) >= 0 else None


class Receipt:
    """A mark: the receipt of a record."""

    def __init__(self, data):
        value = canon.decode(data)
        SCHEMA.check("receipt", value)
        if min(value) < 0 or min(value[323]) < 0:
            raise Mismatch("a receipt with an extension")
        self.value = value
        self.size = value[323][60]
        self.sizes = self.size, value[1] + 1  # its chain hash is that after its record

    def judge(self, judge):
        value, said = self.value, self.value[323]
        name = "a mark from outside"
        led = tree.inclusion_root(value[1], said[60], value[324], value.get(326, []))
        if led != said[61] or value[1] == said[60] - 1 and value[325] != said[322]:
            return judge.breach("commit", None, f"{name}: the receipt itself is bad")
        state = judge.walk.states.get(value[1] + 1)
        fits = judge.commit(name, said, value[59], True)
        if fits and state and state.head not in (None, value[325]):
            return judge.breach("commit", None, f"{name}: the receipt itself is bad: the record has another chain hash")
        return fits


class Noted:
    """A mark: a checkpoint. The log key's line is enough."""

    def __init__(self, data):
        try:
            self.checkpoint = note.parse(data)
            self.size = self.checkpoint.size
        except note.BadCheckpoint as error:
            self.checkpoint, self.fault, self.size = None, error, 0
        self.sizes = (self.size,)

    def judge(self, judge):
        if self.checkpoint is None:
            return judge.breach("checkpoint", None, f"a mark from outside: {self.fault}")
        return judge.checkpoint("a mark from outside", self.checkpoint, True)


def from_json(text):
    """The canonical bytes of a receipt that was printed as JSON: names for numbers, hex for bytes, RFC 3339 for the time."""
    names = {"seq": 1, "signature": 59, "commit": 323, "leaf": 324, "chain": 325, "inclusion_path": 326, "time": 3,
             "origin": 51, "size": 60, "root": 61, "epoch": 69, "log_id": 320, "boot_seq": 321, "head": 322}  # fmt: skip

    def value(name, item):
        if isinstance(item, dict):
            return {names[key]: value(key, inner) for key, inner in item.items()}
        if isinstance(item, list):
            return [value(name, inner) for inner in item]
        if name == "time":
            return moment(item)
        return bytes.fromhex(item) if isinstance(item, str) and name != "origin" else item

    try:
        return canon.encode(value("", json.loads(text)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Mismatch("JSON, but no receipt") from error


def moment(text):
    """Nanoseconds since 1970 of a time in UTC."""
    whole, _, part = text.removesuffix("Z").partition(".")
    if not text.endswith("Z") or len(part) > 9 or not (part or "0").isdecimal():
        raise ValueError(text)
    since = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86400 + since.seconds) * 10**9 + int(part.ljust(9, "0"))


def marks(data):
    """The marks in a file: JSON receipts a line each, or one receipt as CBOR, or one checkpoint. ValueError if they are none."""
    try:
        if data.lstrip()[:1] == b"{":
            return [Receipt(from_json(line)) for line in data.splitlines() if line.strip()]
        if b"\xa0" <= data[:1] <= b"\xbb":
            return [Receipt(data)]
        return [Noted(data)]
    except (canon.NotCanonical, Mismatch, note.BadNote) as error:
        raise ValueError(f"neither a receipt nor a checkpoint: {error}") from error
