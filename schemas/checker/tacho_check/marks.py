"""What was signed about the log after a commit: the statement, receipts, and marks that were kept outside it (proof.cddl)."""

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

    def judge(self, judge):
        value, said = self.value, self.value[323]
        name = "a mark from outside"
        led = tree.inclusion_root(value[1], said[60], value[324], value.get(326, []))
        if led != said[61] or value[1] == said[60] - 1 and value[325] != said[322]:
            return judge.breach("commit", None, f"{name}: the receipt itself is bad")
        return judge.commit(name, said, value[59], True)


class Noted:
    """A mark: a checkpoint. The log key's line is enough."""

    def __init__(self, data):
        self.checkpoint = note.parse(data)
        self.size = self.checkpoint.size

    def judge(self, judge):
        return judge.checkpoint("a mark from outside", self.checkpoint, True)


def mark(data):
    """A mark from the bytes of its file. Raises ValueError if they are none."""
    try:
        if b"\xa0" <= data[:1] <= b"\xbb":
            return Receipt(data)
        return Noted(data)
    except (canon.NotCanonical, Mismatch, note.BadNote) as error:
        raise ValueError(f"neither a receipt nor a checkpoint: {error}") from error
