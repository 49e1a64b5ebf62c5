"""What a record of version 1 has to keep to be understood: record.cddl, and what CDDL cannot say.

Numbers of fields and values are those of record.cddl; only those that verification needs have a name here.
"""

from . import cddl

VERSION, SEQ, PREV, KIND, ACTOR, VIA, IMPORT, AUTH, REF, SESSION, BODY, CONTENT, ARTEFACTS, REDACTED = (
    0, 1, 2, 5, 6, 7, 8, 9, 11, 12, 15, 16, 17, 18,
)  # fmt: skip
ACTOR_ID, UID, TOKEN, CELL, ROLE, COMMITMENT = 25, 28, 29, 30, 34, 35
ORIGIN, IDENTITY_KEY, LOG_KEY, EPOCH_KEY, WITNESS_QUORUM, SIGNATURE, ROOT = 51, 52, 53, 54, 57, 59, 61
EPOCH, FIRST, NEXT_KEY, SEAL_REASON, KEY_OP, KEY_ROLE, PUBLIC_KEY, HOLDER, GROUPS, ASSURANCE, CONSUMES = (
    69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79,
)  # fmt: skip
ERASED, FIELDS, PLACES = 180, 178, 179

GENESIS, BOOT, SEAL, KEY = 0, 1, 2, 3
SESSION_KIND, ACTION, EVALUATION, IMPORT_KIND = 5, 7, 12, 21
ERASURE = 18
GATE, API, WATCH, RECORDER, VIA_IMPORT = 1, 2, 3, 5, 6
VIA_NAMES = {1: "gate", 2: "api", 3: "watch", 4: "human", 5: "recorder", 6: "import"}
STOP = 3
LOG_ROLE, EPOCH_ROLE, HUMAN_ROLE, WITNESS_ROLE, WATCHDOG_ROLE = 1, 2, 3, 4, 5
ROTATE, BREAK = 2, 4

CALLERS = {5, 6, 7, 9, 10, 11, 12}
BY_VIA = {API: CALLERS, VIA_IMPORT: CALLERS, WATCH: CALLERS | {19, 20}}
POINTERS = {8, 12, 13, 14, 41, 79, 96, 97, 120, 127, 138, 139, 141, 144, 145, 146, 152, 163, 169, 173, 176}
SETS = {14, 41, 77, 79, 114, 119, 139, 145, 160, 178, 179}
ASCENDING_BY = {99: 102, 180: 1, 18: 43}
NONE_TWICE = {121, 144, 146}
RATIONALE_FIELDS = {201, 202, 203, 204, 205, 206}

SCHEMA = cddl.Schema("record.cddl", "proof.cddl")


def begins(value):
    """Whether the value begins as a record of any version does: version, number, chain hash before."""
    numbers = [value.get(VERSION), value.get(SEQ)] if isinstance(value, dict) else [None]
    return all(type(n) is int and n >= 0 for n in numbers) and SCHEMA.fits("hash", value.get(PREV))


class NotUnderstood(Exception):
    """The record is whole, but it says something that version 1 does not."""


def understand(value):
    """Raises NotUnderstood unless the value is a record as version 1 may write it."""
    try:
        SCHEMA.check("record", value)
    except cddl.Mismatch as error:
        raise NotUnderstood(str(error)) from error
    _walk(value, value[SEQ], 0)
    kind, via, body = value[KIND], value[VIA], value[BODY]
    need(value.get(IMPORT) is not None if via == VIA_IMPORT else IMPORT not in value, "import stands with the wrong way in")
    need(kind in BY_VIA.get(via, {kind}), f"kind {kind} cannot come that way")
    check = {GENESIS: _genesis, KEY: _key, ACTION: _action, EVALUATION: _evaluation}.get(kind)
    if check:
        check(value, body)
    if kind in (SESSION_KIND, IMPORT_KIND):
        closing = {SESSION_KIND: {100, 101}, IMPORT_KIND: {83, 91}}[kind]
        need(body[88] == 2 or not closing & body.keys(), "what only a closing record has")
        need(kind != SESSION_KIND or body[88] != 3, "a session with the phase part")
    if 115 in body and body[115][40] == 4:
        need(not {41, 42} & body[115].keys(), "a rationale that is absent has evidence or confidence")
        need(not RATIONALE_FIELDS & value.get(CONTENT, {}).keys(), "a rationale that is absent has words")
    if 167 in body:
        allowed = {1: set(), 2: {168}, 3: {169}, 4: {169}, 5: {168}}[body[167]]
        need({168, 169} & body.keys() == allowed, "a scope with another target than it has to have")
    if kind == ERASURE:
        need(all({FIELDS, PLACES} & entry.keys() for entry in body[ERASED]), "an erasure of nothing")


def need(good, what):
    if not good:
        raise NotUnderstood(what)


def _walk(value, seq, depth):
    """The rules that hold wherever a number stands: pointers, sets, orders."""
    for key, item in value.items():
        if key < 0:
            continue
        if key in POINTERS or key == FIRST or key == 1 and depth:
            bound = seq + 1 if key == FIRST else seq
            for number in item if isinstance(item, list) else [item]:
                need(number < bound, f"{number} does not come before the record")
        if key in SETS:
            order = [text.encode() if isinstance(text, str) else text for text in item]
            need(all(a < b for a, b in zip(order, order[1:])), f"the set {key} does not ascend")
        if key in ASCENDING_BY:
            order = [entry[ASCENDING_BY[key]] for entry in item]
            need(all(a < b for a, b in zip(order, order[1:])), f"the list {key} does not ascend")
        if key in NONE_TWICE:
            need(all(a not in item[:at] for at, a in enumerate(item)), f"something stands twice in {key}")
        if key == REDACTED and depth == 0:
            need(all(entry[83] for entry in item), "a redaction that is counted not once")
        for inner in item if isinstance(item, list) else [item]:
            if isinstance(inner, dict):
                _walk(inner, seq, depth + 1)


def _genesis(_, body):
    need(len({body[IDENTITY_KEY], body[LOG_KEY], body[EPOCH_KEY]}) == 3, "the keys of a genesis do not differ")


def _key(_, body):
    role = body[KEY_ROLE]
    if role in (LOG_ROLE, EPOCH_ROLE):
        need(len(body[PUBLIC_KEY]) == 32 and SIGNATURE in body, "a log or epoch key without 32 bytes and a signature")
    need(SIGNATURE in body or CONSUMES in body, "a key that nothing allows")
    need((EPOCH in body) == (role == EPOCH_ROLE), "an epoch with a key of another role, or none with an epoch key")
    need((HOLDER in body) == (role in (HUMAN_ROLE, WITNESS_ROLE, WATCHDOG_ROLE)), "a holder with the wrong role, or none")
    need(role == HUMAN_ROLE or not {GROUPS, ASSURANCE} & body.keys(), "groups or assurance of no human")


def _action(value, body):
    verdict = body.get(116)
    if verdict is None:
        return
    decision = verdict[117]
    need((118 in verdict) == (decision == 2), "a deny kind without a deny, or a deny without one")
    need(decision == 3 or not {121, 123} & verdict.keys(), "obligations or a deadline without a hold")
    need(decision == 1 or CONSUMES not in verdict, "consumes without an allow")
    if decision == 3 and value[VIA] in (GATE, RECORDER):
        need({121, 122, 123} <= verdict.keys(), "a hold without digest, obligations and deadline")


def _evaluation(_, body):
    need({155, 156, 159} & body.keys(), "an evaluation without a measurement")
