"""Damages sound logs at random, and asks two verifiers that share no code: agree.py TACHO FIXTURES COUNT

They have to agree on exit code, authenticity, first bad record, how much is proven, completeness, what was not understood, and the rules that
were broken. Needs `tacho_check` on the path. Ends with 1 if they do not agree on all.
"""

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from tacho_check.fixtures import unpacked
from tacho_check.log import CannotRead, Log
from tacho_check.marks import marks
from tacho_check.verdict import judge

TRUST = "SHA256:z/fSv0Z0RZS+Lccbc6ZoOWwt/fbj1VFJGSBKQbo4icE"
SEED = 20260101
LOGS = ("sound", "sound-key-break", "sound-log-key-rotated", "sound-unclean", "sound-wide")
MARKS = ("sound-marked", "sound-marked-checkpoint", "two-forks", "restored-started")
COLUMNS = (
    ("records", "seq", "bytes"),
    ("records", "seq", "bytes"),
    ("records", "seq", "bytes"),
    ("vault", "seq", "row"),
    ("tiles", "id", "hashes"),
    ("artefacts", "rowid", "bytes"),
    ("refs", "seq", "key"),
    ("commits", "id", "statement"),
    ("commits", "id", "signature"),
)


def flipped(data, chance):
    """The bytes with one of them changed, taken out or put in."""
    data, at, how = bytearray(data), chance.randrange(len(data)), chance.random()
    if how < 0.7:
        data[at] ^= 1 << chance.randrange(8)
    elif how < 0.85:
        del data[at]
    else:
        data.insert(at, chance.randrange(256))
    return bytes(data)


def damage(log, chance):
    """Damages a log in one place, and says where."""
    if chance.random() < 0.1:
        path = log / "checkpoints"
        path.write_bytes(flipped(path.read_bytes(), chance))
        return "checkpoints"
    database = sqlite3.connect(log / "log.db")
    (last,) = database.execute("SELECT max(seq) FROM records").fetchone()
    seq, how = chance.randrange(last + 1), chance.random()
    if how < 0.06:
        where = f"records from {seq} on taken out"
        database.execute("DELETE FROM records WHERE seq >= ?", (seq,))
    elif how < 0.12:
        where = f"record {seq} taken out"
        database.execute("DELETE FROM records WHERE seq = ?", (seq,))
    elif how < 0.15:
        where = f"vault row {seq} taken out"
        database.execute("DELETE FROM vault WHERE seq = ?", (seq,))
    else:
        table, key, column = chance.choice(COLUMNS)
        rows = database.execute(f"SELECT {key}, {column} FROM {table} ORDER BY {key}").fetchall()
        where = table
        if rows:
            number, data = chance.choice(rows)
            where = f"{column} of {table} {number}"
            database.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {key} = ?", (flipped(data, chance), number))
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    for left in ("log.db-wal", "log.db-shm"):
        (log / left).unlink(missing_ok=True)
    return where


def theirs(tacho, log, mark):
    more = ["--against", str(mark)] if mark else []
    run = [tacho, "verify", "--log", str(log), "--trust", TRUST, "--json", *more]
    done = subprocess.run(run, capture_output=True)
    if done.returncode == 2:
        return (2,)
    found = json.loads(done.stdout)
    complete, integrity = found["completeness"], found["integrity"]
    complete = complete["complete_up_to"]["size"] if isinstance(complete, dict) else None
    whose = found["authenticity"]
    whose = whose if isinstance(whose, str) else next(iter(whose))
    unknown = found["meaning"]["not_checked"]
    names = sorted({violation["breach"] for violation in integrity["violations"]})
    return done.returncode, whose, integrity["first_bad"], integrity["proven"], complete, unknown, names


def ours(log, mark):
    try:
        with Log(log) as source:
            found = judge(source, TRUST, marks(mark.read_bytes()) if mark else [])
    except CannotRead:
        return (2,)
    names = sorted({breach.name for breach in found.breaches})
    return found.exit, found.authenticity, found.first_bad, found.proven, found.complete_up_to, found.not_checked, names


def main(tacho, fixtures, count):
    chance, differ, bad = random.Random(SEED), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sound = {name: unpacked(fixtures / name, folder / name) for name in LOGS}
        for number in range(count):
            log = folder / "damaged"
            shutil.rmtree(log, ignore_errors=True)
            name = chance.choice(LOGS)
            shutil.copytree(sound[name], log)
            where = damage(log, chance)
            mark = fixtures / chance.choice(MARKS) / "mark" if chance.random() < 0.3 else None
            mine, other = ours(log, mark), theirs(tacho, log, mark)
            bad += mine[0] != 0
            if mine != other:
                differ += 1
                print(f"{number}: {name}, {where}, {mark}\n  checker {mine}\n  tacho   {other}")
    print(f"{count - differ} of {count} damages agreed on, {bad} of them caught")
    return 0 if count and bad > count // 2 and not differ else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
