"""Bundles: chosen records of a log in one file (bundle.cddl; verify.md, section 11).

Read in one pass, an item at a time; what is packed is unpacked up to what it says, and never beyond its cap.
"""

import hashlib
import zlib

from blake3 import blake3

from . import canon, note, record, tree
from .cddl import Mismatch, Schema
from .log import SCHEMA as ROWS
from .log import Broken, CannotRead, open_plain
from .verdict import Judge, Verdict
from .walk import Breach, State, Walk

SCHEMA = Schema("record.cddl", "proof.cddl", "bundle.cddl")
FORMAT = "tacho-bundle-1"
MAX_ITEM = 40 << 20
MAX_BLOCK = 36 << 20
MAX_PIECE = 1 << 20
HEAD, CHECKPOINTS, COMMIT, BLOCK, PIECE, END = range(1, 7)
RULES = {HEAD: "head", CHECKPOINTS: "checkpoints", COMMIT: "last-commit", BLOCK: "block", PIECE: "piece", END: "end"}
MISSING = State(None, None, 0, None, None, 0, None)


class Unreadable(Exception):
    """The bundle cannot be read to its end."""


def frames(file):
    """(bytes of the head, inside) of each item's byte string."""
    while first := file.read(1):
        major, info = first[0] >> 5, first[0] & 31
        if major != 2 or info > 26:
            raise Unreadable("an item is not in a byte string")
        more = file.read({24: 1, 25: 2, 26: 4}.get(info, 0))
        length = int.from_bytes(more, "big") if info > 23 else info
        if len(more) < {24: 1, 25: 2, 26: 4}.get(info, 0):
            raise Unreadable("it is cut off")
        if length > MAX_ITEM:
            raise Unreadable("an item is too long")
        if info > 23 and length < {24: 24, 25: 1 << 8, 26: 1 << 16}[info]:
            raise Unreadable("a length is not in its shortest form")
        inside = file.read(length)
        if len(inside) < length:
            raise Unreadable("it is cut off")
        yield first + more, inside


def item(inside):
    """(sort, value) of an item."""
    try:
        value = canon.decode(inside, MAX_ITEM)
        sort = value.get(340) if isinstance(value, dict) else None
        if sort not in RULES or sort is True:
            raise Mismatch("an item of no known sort")
        SCHEMA.check(RULES[sort], value)
    except (canon.NotCanonical, Mismatch, TypeError) as error:
        raise Unreadable(str(error)) from error
    return sort, value


def inflate(packed, size, most):
    if size > most:
        raise Unreadable("packed bytes claim to be too many")
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, size + 1)
    except zlib.error as error:
        raise Unreadable("packed bytes cannot be unpacked") from error
    if not unpacker.eof and len(data) == size:
        try:  # the checksum behind the last byte may be still to be read
            data += unpacker.decompress(unpacker.unconsumed_tail, 1)
        except zlib.error as error:
            raise Unreadable("packed bytes cannot be unpacked") from error
    if len(data) != size or not unpacker.eof or unpacker.unused_data:
        raise Unreadable("packed bytes are not what they say")
    return data


def steps(block):
    try:
        value = canon.decode(inflate(block[342], block[341], MAX_BLOCK), MAX_BLOCK)
        if not isinstance(value, list) or len(value) > 4096:
            raise Mismatch("no list of steps")
        for step in value:
            # What a row says is looked at with its record: a bad one is no bad bundle.
            row = step.get(346, b"") if isinstance(step, dict) else None
            if not isinstance(row, bytes) or len(row) > canon.ROW_BYTES:
                raise Mismatch("a step is no step")
            bare = {key: item for key, item in step.items() if key != 346}
            SCHEMA.check("step", bare)
            for key in (347, 348):
                if not all(a < b for a, b in zip(bare.get(key, []), bare.get(key, [])[1:])):
                    raise Mismatch("what is withheld does not ascend")
            shows = {345, 346, 347, 348, 349} & step.keys()
            hides = {343, 344} & step.keys()
            if not (hides == {343, 344} and not shows or 345 in shows and not hides):
                raise Mismatch("a step neither shows a record nor hides some")
    except (canon.NotCanonical, Mismatch) as error:
        raise Unreadable(str(error)) from error
    return value


class Excerpt(Walk):
    """Walks the records of a bundle; what is hidden is passed over."""

    def __init__(self, trust, verdict, wanted):
        super().__init__(None, trust, verdict, wanted)
        self.shown = self.hidden = self.withheld = 0
        self.reasons = 0
        self.log_keys, self.epochs = [], []  # (first size at which it signs, …)
        self.without = set(), set()

    def open_epoch(self, epoch, key, first):
        super().open_epoch(epoch, key, first)
        self.epochs.append((self.tree.size + 1, epoch, key))

    def step(self, step):
        if 343 in step:
            return self.hide(step[343], step[344])
        seq = self.tree.size
        self.shown += 1
        self.reasons += 349 in step
        self.without = set(step.get(347, [])), set(step.get(348, []))
        self.one(seq, step[345], Row(step.get(346)))
        if not self.log_keys or self.log_keys[-1][1] != self.log_key:
            self.log_keys.append((self.tree.size, self.log_key))

    def hide(self, count, covers):
        start = self.tree.size
        if not 0 < count < (1 << 64) - start:
            raise Unreadable("it hides no records, or too many")
        widths = list(tree.covers(start, start + count))
        if len(widths) != len(covers):
            raise Unreadable("a hidden run has too few or too many hashes")
        for width, root in zip(widths, covers):
            self.tree.add_subtree(width, root)
        if start == 0:
            self.at("genesis", 0, "the first record is hidden")
        self.hidden += count
        self.head = None
        if self.unclear is None:
            self.unclear = start
        self.look()

    @staticmethod
    def read_row(row):
        try:
            value = canon.decode(row, canon.ROW_BYTES)
            ROWS.check("row", value)
        except (canon.NotCanonical, Mismatch) as error:
            raise Broken(str(error)) from error
        return value

    def content(self, seq, kind, value, held):
        left = self.without
        super().content(seq, kind, value, held)
        for sort, numbers in zip(("field", "artefact"), left):
            for number in numbers:
                what = f"{sort} {number} of {seq} is said to be withheld, and is there, or was never committed to"
                self.at("content", seq, what)

    def lacks(self, seq, sort, number):
        numbers = self.without[0 if sort == "field" else 1]
        if number in numbers:
            numbers.discard(number)
            self.withheld += 1
        else:
            super().lacks(seq, sort, number)

    def use(self, packed, seq):
        return super().use(packed, self.tree.size if seq is None else seq)

    def keys_at(self, size):
        """State of the keys at a size that the bundle does not show."""
        epochs = [found for found in self.epochs if found[0] <= size]
        log_keys = [key for first, key in self.log_keys if first <= size]
        if not epochs or not log_keys:
            return MISSING
        return MISSING._replace(epoch=epochs[-1][1], epoch_key=epochs[-1][2], log_key=log_keys[-1])


class Row:
    """The row of one record, taken as from a vault."""

    def __init__(self, row):
        self.row = row

    def take(self, _):
        return self.row


class OfBundle(Judge):
    """Judges what a bundle holds as what a log holds is judged."""

    def __init__(self, trust, marks):
        self.marks, self.verdict = marks, Verdict()
        self.wanted, self.notes = set(), []
        self.statement = self.commit_row = None
        for mark in marks:
            self.wanted.update(mark.sizes)
        self.walk = Excerpt(trust, self.verdict, self.wanted)
        self.breach, self.up_to = self.walk.breach, self.walk.up_to
        self.stage, self.head, self.end = HEAD, None, None
        self.open, self.last_file, self.files = None, b"", 0
        self.wants = {}  # BLAKE3 of a file: (seq of the first that names it, SHA-256, size)

    # Items, in their order

    def read(self, file):
        digest = hashlib.sha256()
        for head, inside in frames(file):
            sort, value = item(inside)
            if sort < self.stage or self.end or (sort == HEAD) != (self.head is None):
                raise Unreadable("its items are out of order")
            self.stage = sort
            getattr(self, "take_" + RULES[sort].replace("-", "_"))(value)
            if sort == END:
                without = canon.encode({key: entry for key, entry in value.items() if key != 301})
                before = digest.copy()
                before.update(without)
                if before.digest() != value[301]:
                    self.end = None
                    raise Unreadable("its SHA-256 is another than it says")
            digest.update(head + inside)
        if not self.end:
            raise Unreadable("it is cut off")

    def take_head(self, value):
        self.head = value

    def take_checkpoints(self, value):
        for text in value[336]:
            try:
                found = note.parse(text.encode())
                self.wanted.add(found.size)
            except note.BadCheckpoint as error:
                found = error
            except note.BadNote as error:
                raise Unreadable(f"a checkpoint is no note: {error}") from error
            self.notes.append((len(self.notes) + 1, found))

    def take_last_commit(self, value):
        if self.statement:
            raise Unreadable("it has two last commits")
        self.statement = {key: entry for key, entry in value[323].items() if key >= 0}
        self.commit_row = None, value[59]
        self.wanted.add(self.statement[60])

    def take_block(self, value):
        for step in steps(value):
            self.walk.step(step)

    def take_piece(self, value):
        if not self.walk.tree.size:
            raise Unreadable("its items are out of order")
        name = value[300]
        if not self.open or self.open[0] != name:
            self.close()
            if self.last_file >= name and self.files:
                raise Unreadable("its files are out of order, or one stands twice")
            self.last_file = name
            self.open = [name, 0, blake3(), hashlib.sha256()]
        if self.open[1] != value[350]:
            raise Unreadable("the pieces of a file do not follow each other")
        data = inflate(value[342], value[341], MAX_PIECE)
        self.open[1] += len(data)
        self.open[2].update(data)
        self.open[3].update(data)

    def close(self):
        """Holds a file against the descriptors that name it."""
        if not self.open:
            return
        name, size, blake, sha = self.open
        self.open = None
        self.files += 1
        uses = self.walk.uses.pop(name, None)
        if uses is None:
            return self.breach("surplus", None, "a file belongs to no record")
        seq, expected, length = uses[0]
        if (blake.digest(), sha.digest(), size) != (name, expected, length):
            self.walk.at("artefact", seq, f"an artefact of {seq} has other bytes")
        self.differing(uses)

    def differing(self, uses):
        for seq, expected, length in uses[1:]:
            if (expected, length) != uses[0][1:]:
                self.walk.at("artefact", seq, f"an artefact of {seq} has another SHA-256 or size than the same one before")

    def take_end(self, value):
        if not self.walk.tree.size:
            raise Unreadable("it shows nothing of the tree")
        self.close()
        self.end = value

    # What it says of itself

    def judge(self):
        walk, head, end = self.walk, self.head, self.end
        for uses in walk.uses.values():
            walk.at("artefact", uses[0][0], f"an artefact of {uses[0][0]} is missing")
            self.differing(uses)
        size = walk.tree.size
        if (size, walk.tree.root()) != (head[60], head[61]):
            self.breach("bundle", None, "it says that the log has another size or root than it shows")
        if walk.genesis is None or (walk.genesis[record.ORIGIN], walk.log_id) != (head[51], head[320]):
            self.breach("bundle", None, "it names another log than it shows")
        signed = [found.size for _, found in self.notes if not isinstance(found, note.BadNote)]
        signed += [self.statement[60]] if self.statement else []
        if size not in signed:
            self.breach("bundle", None, "nothing that was signed covers its last records")
        counted = walk.shown, walk.hidden, self.verdict.opened, walk.withheld, self.files
        chosen = walk.shown - walk.reasons
        says = tuple(end[key] for key in (351, 352, 353, 354, 355))
        if counted != says or (head[333], head[334]) != (chosen, walk.reasons):
            self.breach("bundle", None, "it counts other things than are in it")
        for size in self.wanted - walk.states.keys():
            if 0 < size <= walk.tree.size:
                walk.states[size] = walk.keys_at(size)
        self.verdict.size = walk.tree.size
        self.no_notes = not self.notes
        self.statements()
        self.conclude()

    def complete(self, size):
        if not self.walk.hidden:
            super().complete(size)


def judge(path, trust=None, marks=()):
    """The verdict on a bundle, and its head. CannotRead if it is none."""
    file = open_plain(path)
    if file is None:
        raise CannotRead(f"{path} is missing")
    with file:
        reading = OfBundle(trust, marks)
        try:
            reading.read(file)
        except Unreadable as error:
            if reading.head is None:
                raise CannotRead(f"{path} is no bundle: {error}") from error
            broken = Verdict()
            broken.breaches.append(Breach("bundle", None, f"the bundle cannot be read: {error}"))
            return broken, reading.head
        reading.judge()
        return reading.verdict, reading.head
