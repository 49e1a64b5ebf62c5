"""Asks two verifiers that share no code about bundles: bundles.py TACHO FIXTURES COUNT

First a bundle of each log of `fixtures/logs` that gives one, whole and as an excerpt; then COUNT damages of one byte, by a fixed seed; then
forgeries: the same, but inside of what is packed, with the lengths and the SHA-256 put right again, so that it is the rules that catch them.
They have to agree on exit code, authenticity, first bad record, how much is proven, completeness and the rules that were broken. Needs
`tacho_check` on the path. Ends with 1 if they do not agree on all.
"""

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tacho_check import bundle, canon
from tacho_check.fixtures import unpacked
from tacho_check.log import CannotRead

TRUST = "SHA256:z/fSv0Z0RZS+Lccbc6ZoOWwt/fbj1VFJGSBKQbo4icE"
SEED = 20260107
FILTERS = ("", "seq:3..5")
LOGS = ("sound", "sound-key-break", "sound-wide")


def export(tacho, log, out, *more):
    run = [tacho, "--log", str(log), "export", "bundle", str(out), *more]
    return subprocess.run(run, capture_output=True).returncode in (0, 1) and out.exists()


def theirs(tacho, path):
    done = subprocess.run([tacho, "verify", str(path), "--trust", TRUST, "--json"], capture_output=True)
    if done.returncode not in (0, 1):
        return (done.returncode,)
    found = json.loads(done.stdout)
    complete, integrity, whose = found["completeness"], found["integrity"], found["authenticity"]
    complete = complete["complete_up_to"]["size"] if "complete_up_to" in complete else None
    whose = whose if isinstance(whose, str) else next(iter(whose))
    names = sorted({violation["breach"] for violation in integrity["violations"]})
    return done.returncode, whose, integrity["first_bad"], integrity["proven"], complete, names


def ours(path):
    try:
        found, _ = bundle.judge(path, TRUST)
    except CannotRead:
        return (2,)
    names = sorted({breach.name for breach in found.breaches})
    return found.exit, found.authenticity, found.first_bad, found.proven, found.complete_up_to, names


def items(data):
    at, found = 0, []
    while at < len(data):
        _, length, inner = canon._head(data, at)
        found.append(canon.decode(data[inner : inner + length], bundle.MAX_ITEM))
        at = inner + length
    return found


def sealed(found):
    """The bytes of a bundle of these items, with its SHA-256 put right."""
    data = b""
    for entry in found:
        if entry[340] == bundle.END:
            bare = {key: value for key, value in entry.items() if key != 301}
            entry = bare | {301: hashlib.sha256(data + canon.encode(bare)).digest()}
        inside = canon.encode(entry)
        data += canon._spell(canon.BYTES, len(inside)) + inside
    return data


def flipped(data, chance):
    data = bytearray(data)
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def forged(data, chance):
    """A bundle in which something is changed inside, and all outside fits; and what."""
    found = items(data)
    how = chance.choice(("record", "record", "row", "row", "cover", "step", "twice", "note", "signature", "root", "count", "file", "reason"))
    blocks = [entry for entry in found if entry[340] == bundle.BLOCK]
    block = chance.choice(blocks)
    steps = canon.decode(zlib.decompress(block[342]), bundle.MAX_BLOCK)
    some = lambda key: chance.choice([step for step in steps if key in step] or [{}])
    if how in ("record", "row"):
        key = 345 if how == "record" else 346
        if step := some(key):
            step[key] = flipped(step[key], chance)
    elif how == "cover":
        if step := some(344):
            step[344][0] = flipped(step[344][0], chance)
    elif how == "step" and len(steps) > 1:
        steps.pop(chance.randrange(len(steps)))
    elif how == "twice":
        at = chance.randrange(len(steps))
        steps.insert(at, steps[at])
    elif how == "reason":
        some(345)[349] = 1 + chance.randrange(5)
    elif how == "note":
        notes = chance.choice([entry for entry in found if entry[340] == bundle.CHECKPOINTS])[336]
        at = chance.randrange(len(notes))
        text = notes[at]
        place = chance.randrange(len(text))
        notes[at] = text[:place] + chance.choice("A7/\n ") + text[place + 1 :]
    elif how in ("signature", "root"):
        commit = next(entry for entry in found if entry[340] == bundle.COMMIT)
        if how == "signature":
            commit[59] = flipped(commit[59], chance)
        else:
            commit[323][61] = flipped(commit[323][61], chance)
    elif how == "count":
        entry = chance.choice((found[0], found[-1]))
        key = chance.choice((60, 333, 334) if entry is found[0] else (351, 352, 353, 354, 355))
        entry[key] += 1
    elif how == "file":
        pieces = [entry for entry in found if entry[340] == bundle.PIECE]
        if pieces:
            piece = chance.choice(pieces)
            data = zlib.decompress(piece[342])
            data = flipped(data, chance) if data else b"!"
            piece.update({341: len(data), 342: zlib.compress(data)})
    packed = canon.encode(steps) if steps else b""
    if how not in ("note", "signature", "root", "count", "file"):
        block.update({341: len(packed), 342: zlib.compress(packed)})
    return sealed(found), how


def main(tacho, fixtures, count):
    chance, differ, bad, made = random.Random(SEED), [], 0, 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        folder = Path(folder)

        def compare(what, path):
            mine, other = ours(path), theirs(tacho, path)
            if mine != other:
                differ.append(f"{what}\n  checker {mine}\n  tacho   {other}")
            return mine[0] != 0

        def of_log(case):
            log = unpacked(case, folder / case.name)
            found = 0
            for number, text in enumerate(FILTERS):
                out = folder / f"{case.name}.{number}.tacho"
                if export(tacho, log, out, "--filter", text):
                    compare(f"{case.name}, {text!r}", out)
                    found += 1
            return found

        cases = sorted(case.parent for case in fixtures.glob("*/case.json"))
        made = sum(pool.map(of_log, cases))
        wholes = [folder / f"{name}.{number}.tacho" for name in LOGS for number in range(len(FILTERS))]
        wholes = [path.read_bytes() for path in wholes]

        def of_bytes(number, what, data):
            path = folder / f"{number}.damaged"
            path.write_bytes(data)
            caught = compare(f"{number}: {what}", path)
            path.unlink()
            return caught

        jobs = []
        for number in range(count):
            jobs.append((number, "a byte", flipped(chance.choice(wholes), chance)))
        for number in range(count, count + max(1, count // 3)):
            data, how = forged(chance.choice(wholes), chance)
            jobs.append((number, how, data))
        bad = sum(pool.map(lambda job: of_bytes(*job), jobs))
    for what in differ[:20]:
        print(what)
    print(f"{made} bundles of {len(cases)} logs, {count} damages and {len(jobs) - count} forgeries, {bad} of them caught; {len(differ)} not agreed on")
    good = made > 40 and bad >= count and not differ
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
