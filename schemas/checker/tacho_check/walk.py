"""The walk over the records: each one by itself, the chain, the tree, the epochs, the vault, and what is derived from them.

verify.md, sections 2 to 5. What was signed about the whole is judged in verdict.py.
"""

import hashlib
from typing import NamedTuple

from blake3 import blake3

from . import canon, hashes, keys, record, tree
from .cddl import Mismatch
from .log import Broken, Unreadable, unpack, vault_row
from .record import SCHEMA

FAR = 1 << 20  # a record's number this far behind the count is no record's
POINT, SPAN, OUTSIDE = range(3)  # what a breach says of the first bad record


class Breach(NamedTuple):
    name: str
    seq: int | None  # where it stands, if anywhere
    what: str


class State(NamedTuple):
    """What holds after so many records."""

    root: bytes
    head: bytes
    epoch: int
    epoch_key: bytes | None
    log_key: bytes | None
    boot: int  # the last boot record that was understood
    unclear: int | None  # the first record after it that was not, and so may be another


class Walk:
    """Walks a source once. `wanted` are the sizes at which something was signed; `states` is what holds at them."""

    def __init__(self, source, trust, verdict, wanted):
        self.source, self.trust, self.verdict, self.wanted = source, trust, verdict, wanted
        self.tree, self.tiled, self.head = tree.Tree(), tree.Tiles(), hashes.GENESIS_PREV
        self.genesis = self.log_id = None  # body and hash of the first record
        self.log_key = self.epoch_key = None
        self.epoch = self.epoch_first = 0
        self.epoch_keys = {}
        self.stopped_at = None
        self.boot, self.unclear = 0, None
        self.all_read = True  # every record was understood
        self.uses = {}  # BLAKE3 of an artefact: (seq of the record or None, SHA-256, size) of each descriptor
        self.references = {}
        self.states = {}
        self.good = {0}  # sizes up to which something rightly signed fits
        self.found = []  # (seq, sort) of what decides on the first bad record

    def breach(self, name, seq, what):
        self.verdict.breaches.append(Breach(name, seq, what))

    def at(self, name, seq, what):
        """A breach that points at one record."""
        self.breach(name, seq, what)
        self.found.append((seq, POINT))

    def up_to(self, name, seq, what, sort=SPAN):
        """A breach which says that something is bad between the last good statement and this record."""
        self.breach(name, seq, what)
        self.found.append((seq, sort))

    # Records

    def records(self):
        count, low = self.source.counts()
        if not count:
            self.breach("empty", None, "there are no records")
        if low is not None and low < 0:
            self.breach("store", None, "there are records with negative numbers")
        vault = Vault(self.source.vault())
        last = -1
        for number, data in self.source.records():
            if number >= count + FAR:
                self.breach("store", None, f"a record has the number {number}, but there are {count}")
                break
            last = number
            self.one(number, data, vault)
        self.last_number = last
        read = self.tree.size
        if count != read:
            self.breach("store", None, f"{read} records were read, but there are {count}")
        for number in vault.rest(last):
            self.breach("surplus", None, f"the vault has a row {number}, but there is no such record")
        self.verdict.size = read

    def one(self, number, data, vault):
        seq = self.tree.size
        misnumbered = number != seq
        if misnumbered:
            self.at("sequence", min(seq, number), f"record {seq} is kept as {number}")
        if not isinstance(data, bytes):
            self.at("canon", seq, f"record {seq} is no bytes")
            data = b""
        value = None
        try:
            value = canon.decode(data)
            if not record.begins(value):
                value = None
                raise canon.NotCanonical("it does not begin with version, seq and prev")
        except canon.NotCanonical as error:
            self.at("canon", seq, f"record {seq} is not canonical: {error}")
            self.not_read(seq)
        if value is not None:
            if value[record.SEQ] != seq:
                misnumbered = True
                self.at("sequence", seq, f"record {seq} says that it is another")
            if self.head is not None and value[record.PREV] != self.head:
                where = seq if misnumbered or seq == 0 else seq - 1
                self.at("chain", where, f"record {seq} does not follow the one before it")
                # From here on the chain is held to what the record says, so that one break is found once.
                self.head = value[record.PREV]
            self.meaning(seq, number, data, value, vault)
        else:
            vault.take(number)
        # Behind hidden records of a bundle the chain is taken up from what the record says.
        before = value[record.PREV] if self.head is None and value is not None else self.head
        self.head = None if before is None else hashes.chain(before, data)
        leaf = tree.leaf_hash(data)
        self.tree.add(leaf)
        self.tiled.add(leaf)
        self.look()

    def look(self):
        size = self.tree.size
        if size in self.wanted:
            of_epoch = self.epoch, self.epoch_key, self.log_key
            self.states[size] = State(self.tree.root(), self.head, *of_epoch, self.boot, self.unclear)

    def not_read(self, seq):
        self.all_read = False
        if self.unclear is None:
            self.unclear = seq

    def meaning(self, seq, number, data, value, vault):
        row = vault.take(number)
        held = None
        if row is not None:
            try:
                held = self.read_row(row)
            except Broken as error:
                self.at("content", seq, f"the vault row of {seq} cannot be read: {error}")
                held = False
        try:
            record.understand(value)
        except record.NotUnderstood as error:
            self.verdict.not_checked += 1
            self.not_read(seq)
            if self.verdict.first_not_checked is None:
                self.verdict.first_not_checked = (seq, str(error))
            if held:
                for _, descriptor in held.get(307, {}).values():
                    self.use(descriptor, None)
            if seq == 0:
                self.at("genesis", 0, f"the first record is no genesis: {error}")
            return
        kind, body = value[record.KIND], value[record.BODY]
        if kind == record.GENESIS or seq == 0:
            self.begin(seq, kind, data, value, body)
        elif kind == record.SEAL and self.genesis:
            self.seal(seq, value, body)
        elif kind == record.KEY and self.genesis:
            self.key(seq, value, body)
        elif kind == record.BOOT:
            self.boot, self.unclear = seq, None
        if record.REF in value:
            key = reference(value)
            self.references[key] = None if key in self.references else number  # no two records bear the same
        if held is not False:
            self.content(seq, kind, value, held or {})

    @staticmethod
    def read_row(row):
        return vault_row(row)

    # Genesis, seals and keys

    def begin(self, seq, kind, data, value, body):
        if kind != record.GENESIS:
            return self.at("genesis", 0, "the first record is no genesis")
        if seq:
            return self.at("genesis", seq, f"record {seq} is a second genesis")
        self.genesis, self.log_id = body, hashes.sha256(data)
        self.log_key = body[record.LOG_KEY]
        self.open_epoch(0, body[record.EPOCH_KEY], 0)
        verdict = self.verdict
        verdict.log_id, verdict.origin = self.log_id.hex(), body[record.ORIGIN]
        verdict.identity = keys.fingerprint(body[record.IDENTITY_KEY])
        verdict.witnesses_needed = body[record.WITNESS_QUORUM]
        good = self.signed(value, body, "genesis", body[record.IDENTITY_KEY])
        if not good:
            self.at("signature", 0, "the identity key did not sign the genesis")
        trust = self.trust.get(verdict.origin) if isinstance(self.trust, dict) else self.trust
        if trust in (None, verdict.identity):
            if good:
                verdict.authenticity = "anchored" if trust else "self_consistent"
        else:
            self.at("identity", 0, f"the log is signed by {verdict.identity}, not by the trusted {trust}")

    @staticmethod
    def signed(value, body, purpose, key):
        bare = {**value, record.BODY: {k: v for k, v in body.items() if k != record.SIGNATURE}}
        return keys.verify(key, body[record.SIGNATURE], hashes.signed(purpose, canon.encode(bare)))

    def seal(self, seq, value, body):
        self.verdict.seals += 1
        good = True

        def bad(name, what):
            nonlocal good
            good = False
            self.up_to(name, seq, what)

        if body[record.EPOCH] != self.epoch:
            bad("seal", f"the seal at {seq} closes epoch {body[record.EPOCH]}, but epoch {self.epoch} is open")
        if body[record.FIRST] != self.epoch_first:
            bad("seal", f"the seal at {seq} begins at {body[record.FIRST]}, but its epoch at {self.epoch_first}")
        if body[record.ROOT] != self.tree.root():
            bad("seal", f"the seal at {seq} has another root than the records before it")
        if not self.signed(value, body, "seal", self.epoch_key):
            bad("signature", f"the signature inside record {seq} does not verify")
        if body[record.NEXT_KEY] in self.epoch_keys.values():
            bad("seal", f"the seal at {seq} names a key that was used before")
        if good:
            self.good.add(seq + 1)
        self.open_epoch(self.epoch + 1, body[record.NEXT_KEY], seq + 1)
        if body[record.SEAL_REASON] == record.STOP:
            self.stopped_at = seq

    def open_epoch(self, epoch, key, first):
        self.epoch, self.epoch_key, self.epoch_first = epoch, key, first
        self.epoch_keys[epoch] = key

    def key(self, seq, value, body):
        role, op = body[record.KEY_ROLE], body[record.KEY_OP]
        if record.SIGNATURE in body and not self.signed(value, body, "key", self.genesis[record.IDENTITY_KEY]):
            self.up_to("signature", seq, f"the signature inside record {seq} does not verify")
        if role == record.LOG_ROLE and op == record.ROTATE:
            self.log_key = body[record.PUBLIC_KEY]
        elif role == record.EPOCH_ROLE and op == record.BREAK:
            self.verdict.broken_epochs += 1
            if body[record.EPOCH] != self.epoch + 1:
                what = f"record {seq} begins epoch {body[record.EPOCH]}, but epoch {self.epoch} is open"
                self.up_to("key", seq, what)
            if body[record.PUBLIC_KEY] in self.epoch_keys.values():
                self.up_to("key", seq, f"record {seq} begins an epoch with a key that was used before")
            self.open_epoch(self.epoch + 1, body[record.PUBLIC_KEY], seq)
        elif role in (record.LOG_ROLE, record.EPOCH_ROLE):
            self.up_to("key", seq, f"record {seq} does to a key what is not foreseen")

    # Content and artefacts

    def content(self, seq, kind, value, held):
        fields, places = held.get(306, {}), held.get(307, {})
        committed = value.get(record.CONTENT, {})
        artefacts = value.get(record.ARTEFACTS, [])
        if fields.keys() - committed.keys() or places.keys() - set(range(len(artefacts))):
            self.at("content", seq, f"the vault holds for {seq} what the record did not commit to")
        for number, commitment in committed.items():
            if number < 0:
                continue
            if number not in fields:
                self.lacks(seq, "field", number)
            elif hashes.commitment("content", fields[number][0], kind, number, fields[number][1]) != commitment:
                self.at("content", seq, f"field {number} of {seq} is not what was committed to")
            else:
                self.verdict.opened += 1
        for place, artefact in enumerate(artefacts):
            if place not in places:
                self.lacks(seq, "artefact", place)
                continue
            salt, descriptor = places[place]
            role = artefact[record.ROLE]
            if hashes.commitment("artefact", salt, kind, role, descriptor) != artefact[record.COMMITMENT]:
                self.at("content", seq, f"artefact {place} of {seq} is not what was committed to")
                continue
            self.verdict.opened += 1
            fault = self.use(descriptor, seq)
            if fault:
                self.at("artefact", seq, f"artefact {place} of {seq} {fault}")

    def lacks(self, seq, sort, number):
        # No erasure excuses a hole yet: its signature has no statement that could be checked (verify.md).
        self.verdict.missing += 1
        self.at("hole", seq, f"{sort} {number} of {seq} is gone")

    def use(self, packed, seq):
        """Notes that a record, or none that was understood, names an artefact; says what is wrong with the descriptor."""
        try:
            descriptor = canon.decode(packed, canon.ROW_BYTES)
            SCHEMA.check("descriptor", descriptor)
        except (canon.NotCanonical, Mismatch) as error:
            return f"has a descriptor that is none: {error}"
        self.uses.setdefault(descriptor[300], []).append((seq, descriptor[301], descriptor[302]))
        return None

    def artefacts(self):
        """Holds the table to the descriptors, in one pass."""
        missing = dict(self.uses)
        good = True
        indexed = {name for (name,) in self.source.artefact_names()}
        try:
            for name, refs, size, packed in self.source.artefacts():
                uses = missing.pop(name, [])
                good = good and refs == len(uses) and name in indexed
                for seq, fault in artefact_faults(name, size, packed, uses):
                    self.at("artefact", seq, f"an artefact of {seq} {fault}")
        except Unreadable:
            pass  # what was not read is missing
        for seq in sorted({use[0] for uses in missing.values() for use in uses if use[0] is not None}):
            self.at("artefact", seq, f"an artefact of {seq} is gone")
        if not good or missing:
            self.breach("artefact", None, "the artefacts are not those that the records use, as often as they do")

    # What is derived from the records

    def derived(self):
        self.tiles()
        self.artefacts()
        if self.all_read and dict(self.source.refs()) != self.references:
            self.breach("store", None, "the references of callers are not those of the records")
        if not self.source.has_wal and self.tree.size > 1 and self.stopped_at != self.tree.size - 1:
            self.at("store", self.last_number + 1, "the log was not stopped cleanly, but its WAL is gone")

    def tiles(self):
        there = dict(self.source.tiles())
        count = tree.tile_count(self.last_number + 1)
        if len(there) != count:
            self.breach("tile", None, f"there are {len(there)} tiles where {count} are full")
        for number, (first, width, row) in self.tiled.full.items():
            found = there.get(number)
            if not isinstance(found, bytes):
                self.breach("tile", None, f"tile {number} is missing")
            elif found != row:
                place = next(at for at in range(tree.TILE) if found[32 * at : 32 * at + 32] != row[32 * at : 32 * at + 32])
                self.at("tile", first + place * width, f"tile {number} differs from the records")


class Vault:
    """Gives the vault's rows in step with the records, each at most once."""

    def __init__(self, rows):
        self._rows = iter(rows)
        self._next = next(self._rows, None)
        self.surplus = []

    def take(self, number):
        while self._next and self._next[0] < number:
            if self._next[0] < 0:
                self.surplus.append(self._next[0])
            self._next = next(self._rows, None)
        if self._next and self._next[0] == number:
            row = self._next[1]
            self._next = next(self._rows, None)
            return row
        return None

    def rest(self, last):
        while self._next:
            if self._next[0] > last:
                self.surplus.append(self._next[0])
            self._next = next(self._rows, None)
        return self.surplus


def artefact_faults(name, size, packed, uses):
    """(seq, what is wrong with the bytes) for each use by a record that was understood."""
    most = max((use[2] for use in uses), default=0)
    blake, sha, total, fault = blake3(), hashlib.sha256(), 0, None
    try:
        for piece in unpack(packed, most):
            blake.update(piece)
            sha.update(piece)
            total += len(piece)
    except Broken as error:
        fault = f"cannot be read: {error}"
    found = blake.digest(), sha.digest(), total, size
    for seq, expected, length in uses:
        if seq is not None and fault:
            yield seq, fault
        elif seq is not None and found != (name, expected, length, length):
            yield seq, "has other bytes than its descriptor says"


def reference(value):
    auth = value.get(record.AUTH, {})
    texts = (
        record.VIA_NAMES[value[record.VIA]], auth.get(record.UID), auth.get(record.TOKEN), auth.get(record.CELL),
        value.get(record.IMPORT), value.get(record.SESSION), value[record.ACTOR][record.ACTOR_ID], value[record.REF],
    )  # fmt: skip
    return hashes.ref("" if text is None else str(text) for text in texts)
