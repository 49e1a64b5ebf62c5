"""The verdict on a log: what was signed about it, the first bad record, and how much is proven (verify.md, sections 6 to 9).

`judge` takes a source, which is a `log.Log` or anything else that gives records, vault, tiles, artefacts, refs, the last
commit and checkpoints in the same way, and marks that were kept outside it.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

from . import canon, hashes, keys, note, record
from .log import Unreadable
from .marks import statement
from .walk import OUTSIDE, POINT, Breach, Walk


@dataclass
class Verdict:
    breaches: list = field(default_factory=list)
    first_bad: int | None = None
    proven: int = 0
    size: int = 0
    complete_up_to: int | None = None
    authenticity: str = "failed"  # anchored, self_consistent or failed
    identity: str | None = None
    origin: str | None = None
    log_id: str | None = None
    not_checked: int = 0
    first_not_checked: tuple | None = None
    witnesses_needed: int = 0
    seals: int = 0
    broken_epochs: int = 0
    checkpoints: int = 0
    opened: int = 0
    missing: int = 0

    @property
    def exit(self):
        good = not self.breaches and not self.not_checked and not self.witnesses_needed
        return 0 if good and self.authenticity == "anchored" else 1


class Judge:
    """Holds the walk to what was signed."""

    def __init__(self, source, trust, marks):
        self.source, self.marks = source, marks
        self.wanted, self.notes = set(), []
        self.verdict = Verdict()
        self.read_statements()
        self.walk = Walk(source, trust, self.verdict, self.wanted)
        self.breach, self.up_to = self.walk.breach, self.walk.up_to

    def read_statements(self):
        """So that the walk knows at which sizes to look."""
        data = self.source.checkpoints()
        for number, text in enumerate(note.split(data or b""), 1):
            try:
                checkpoint = note.parse(text)
                self.wanted.add(checkpoint.size)
            except note.BadNote as error:
                checkpoint = error
            self.notes.append((number, checkpoint))
        self.no_notes = data is None or not self.notes
        try:
            self.commit_row = self.source.commit()
        except Unreadable:
            self.commit_row = (None, None)
        self.statement = None
        if self.commit_row:
            self.statement = statement(self.commit_row[0])
            if self.statement:
                self.wanted.add(self.statement[60])
        for mark in self.marks:
            self.wanted.update(mark.sizes)

    def statements(self):
        if self.no_notes and self.walk.tree.size:
            self.breach("checkpoint", None, "the file of checkpoints is missing or empty")
        before = 0
        for number, checkpoint in self.notes:
            name = f"checkpoint {number}"
            if isinstance(checkpoint, note.BadNote):
                self.breach("checkpoint", None, f"{name} is malformed: {checkpoint}")
            elif self.walk.genesis is None:
                self.breach("checkpoint", None, f"{name}: there is no genesis")
            elif checkpoint.size < before:
                self.breach("checkpoint", None, f"{name} is of an earlier size than the one before it")
            elif self.checkpoint(name, checkpoint, False):
                before = checkpoint.size
                self.verdict.checkpoints += 1
        name = "the statement over the last commit"
        if self.commit_row:
            if self.statement is None:
                self.breach("commit", None, f"{name} cannot be read")
            else:
                self.commit(name, self.statement, self.commit_row[1], False)
        elif self.walk.tree.size:
            self.breach("commit", None, f"{name} is missing")
        for mark in self.marks:
            if self.walk.genesis is None:
                self.breach("forked", None, "a mark from outside: there is no genesis")
            elif mark.judge(self):
                self.complete(mark.size)

    def complete(self, size):
        self.verdict.complete_up_to = max(size, self.verdict.complete_up_to or 0)

    def checkpoint(self, name, checkpoint, outside):
        origin = self.walk.genesis[record.ORIGIN]
        if checkpoint.size == 0:
            return self.breach("checkpoint", None, f"{name}: is about no record")
        if checkpoint.origin != origin:
            return self.breach("forked" if outside else "checkpoint", None, f"{name}: is of another log")
        state = self.walk.states.get(checkpoint.size)
        log_key = state.log_key if state else self.walk.log_key
        good = checkpoint.signed_by(origin, log_key)
        if good and state and not outside:
            good = checkpoint.signed_by(f"{origin}/e{state.epoch}", state.epoch_key)
        if not good:
            return self.breach("checkpoint", None, f"{name}: lacks a good signature of the log key and the epoch's key")
        return self.fits(name, checkpoint.size, checkpoint.root, None, outside, "checkpoint")

    def commit(self, name, said, signature, outside):
        if self.walk.genesis is None or said[51] != self.walk.genesis[record.ORIGIN] or said[320] != self.walk.log_id:
            return self.breach("forked", None, f"{name}: is of another log")
        state = self.walk.states.get(said[60])
        if said[60] == 0 or state and said[69] != state.epoch:
            return self.breach("commit", None, f"{name}: names epoch {said[69]}, which does not sign at its size")
        # Behind the end of a log that was cut, the epoch may be one whose key is not known any more.
        key = self.walk.epoch_keys.get(said[69])
        message = hashes.signed("commit", canon.encode(said))
        if key and not (isinstance(signature, bytes) and keys.verify(key, signature, message)):
            return self.breach("commit", None, f"{name}: its signature does not verify")
        if state and state.root == said[61] and state.head in (None, said[322]) and not may_be_boot(said[321], said[60], state):
            return self.breach("commit", None, f"{name}: names record {said[321]} as the last boot, not {state.boot}")
        return self.fits(name, said[60], said[61], said[322], outside, "forked")

    def fits(self, name, size, root, head, outside, wrong):
        state = self.walk.states.get(size)
        if state is None:
            what = f"{name}: {size} records were signed, but the log ends after {self.walk.tree.size}"
            self.up_to("truncated", self.walk.tree.size, what)
            return False
        if state.root is None:
            self.breach("bundle", None, f"{name}: is of size {size}, and the bundle does not show the tree at that size")
            return False
        if state.root != root or head is not None and state.head not in (None, head):
            what = f"{name}: another history was signed at size {size}"
            if outside:
                self.up_to("forked", size - 1, what, OUTSIDE)
            else:
                self.up_to(wrong, size - 1, what)
            return False
        if not outside:
            self.walk.good.add(size)
        return True

    # The end

    def conclude(self):
        """The first bad record, and how many records are proven all the same."""
        good = sorted(self.walk.good)
        lowest = []
        for seq, sort in self.walk.found:
            bound = seq if sort == POINT else 0 if sort == OUTSIDE else good[bisect_right(good, seq) - 1]
            lowest.append((seq, sort, bound))
        self.verdict.first_bad = min(lowest)[2] if lowest else None
        self.verdict.proven = min([bound for _, _, bound in lowest] + [good[-1]])


def may_be_boot(boot, size, state):
    """Whether a record may be the last boot record of so many: one that was not understood may be one of a newer version."""
    return boot == state.boot or state.unclear is not None and state.unclear <= boot < size


def judge(source, trust=None, marks=()):
    """The verdict on a source: trust is a fingerprint, or fingerprints by origin, or None if nobody says which key is the
    right one."""
    verdict = Verdict()
    if source.readable:
        try:
            judge = Judge(source, trust, marks)
            judge.walk.records()
            judge.walk.derived()
            judge.statements()
            judge.conclude()
            verdict = judge.verdict
        except Unreadable as error:
            source.readable = False
            verdict.breaches.append(Breach("store", None, str(error)))
    verdict.breaches += [Breach(*breach) for breach in source.breaches]
    if not source.readable:
        verdict.breaches.append(Breach("empty", None, "no records could be read"))
    return verdict
