"""Gives the checker logs that were made to break it, not to deceive it: python -m tacho_check.hostile fixtures/logs

Each run is a process of its own with a gigabyte of memory and a minute of time. It has to end with 1 or 2, as the case says, and
without a traceback.
"""

import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import zstandard

from .fixtures import unpacked

MEMORY, SECONDS = 1 << 30, 60
SEED, DAMAGES = 7, 40


def bomb(size):
    """A zstd frame of so many zeros, a few kilobytes long."""
    packer, parts = zstandard.ZstdCompressor(level=19).compressobj(), []
    zeros = bytes(1 << 24)
    for _ in range(size // len(zeros)):
        parts.append(packer.compress(zeros))
    return b"".join(parts) + packer.flush()


def sql(statement, *values):
    def change(log):
        database = sqlite3.connect(log / "log.db")
        database.execute(statement, values)
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()

    return change


def write(name, data):
    return lambda log: (log / name).write_bytes(data)


def instead(name, make):
    """Something else where a file was."""

    def change(log):
        (log / name).rename(log.parent / "elsewhere")
        make(log / name)

    return change


def sparse(name, size):
    def change(log):
        with open(log / name, "wb") as file:
            file.truncate(size)

    return change


def cut(name, part):
    return lambda log: os.truncate(log / name, int((log / name).stat().st_size * part))


def damage(number):
    def change(log):
        chance = random.Random(SEED * 1000 + number)
        data = bytearray((log / "log.db").read_bytes())
        for _ in range(chance.choice((1, 8, 200))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        (log / "log.db").write_bytes(data)

    return change


def cases():
    """(name, what is done to a sound log, exit codes that are right, whether it is about a mark)."""
    yield "no directory", lambda log: shutil.rmtree(log), {2}
    yield "a file for a directory", lambda log: (shutil.rmtree(log), log.write_bytes(b"")), {2}
    yield "no database", lambda log: (log / "log.db").unlink(), {2}
    for name in ("log.db", "checkpoints"):
        yield f"{name} is a symlink", instead(name, lambda path: path.symlink_to(path.parent.parent / "elsewhere")), {2}
        yield f"{name} is a symlink to nothing", instead(name, lambda path: path.symlink_to("nothing")), {2}
        yield f"{name} is a pipe", instead(name, os.mkfifo), {2}
        yield f"{name} is a directory", instead(name, os.mkdir), {2}
    yield "the WAL is a symlink", lambda log: (log / "log.db-wal").symlink_to("log.db"), {2}
    yield "the WAL is a pipe", lambda log: os.mkfifo(log / "log.db-wal"), {2}
    yield "a WAL of zeros", sparse("log.db-wal", 1 << 26), {1}
    for part in (0, 0.001, 0.1, 0.5, 0.9, 0.9999):
        yield f"a database cut to {part}", cut("log.db", part), {1}
    yield "a database of zeros", sparse("log.db", 1 << 20), {1}
    yield "a database of words", write("log.db", b"not a database " * 999), {1}
    row = "UPDATE vault SET row = ? WHERE seq = 6"
    yield "a vault row of 2 GiB, packed", sql(row, bomb(1 << 31)), {1}
    yield "a vault row that says it has 2^62 bytes", sql(row, b"\x28\xb5\x2f\xfd\xe0" + b"\0\0\0\0\0\0\0\x40"), {1}
    yield "a vault row with a window of 2^41 bytes", sql(row, b"\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00"), {1}
    yield "a vault row cut short", sql(row, b"\x28\xb5\x2f\xfd"), {1}
    yield "a vault row that is empty", sql(row, b""), {1}
    yield "an artefact of 2 GiB, packed", sql("UPDATE artefacts SET bytes = ?", bomb(1 << 31)), {1}
    record = "UPDATE records SET bytes = ? WHERE seq = 6"
    yield "a record of 16 MiB", sql(record, bytes(1 << 24)), {1}
    yield "a record of nothing", sql(record, b""), {1}
    yield "a record 65,535 deep", sql(record, b"\x81" * 65_535), {1}
    yield "a record with an array of 2^64-1", sql(record, b"\x9b" + b"\xff" * 8), {1}
    yield "a record with a map of 2^64-1", sql(record, b"\xbb" + b"\xff" * 8), {1}
    yield "a record with a text of 2^64-1", sql(record, b"\x7b" + b"\xff" * 8), {1}
    yield "a statement of 16 MiB", sql("UPDATE commits SET statement = ?", bytes(1 << 24)), {1}
    yield "a signature of nothing", sql("UPDATE commits SET signature = ?", b""), {1}
    yield "a table with a hostile name", sql('CREATE TABLE "\x1b[2J\x07" (x)'), {1}
    yield "a tile of nothing", sql("INSERT INTO tiles VALUES (0, x'')"), {1}
    yield "checkpoints of blank lines", write("checkpoints", b"\n" * 1_000_000), {1}
    yield "checkpoints that are no text", write("checkpoints", os.urandom(1 << 20)), {1}
    yield (
        "a checkpoint of a huge size",
        write("checkpoints", b"a\n" + b"9" * 100_000 + b"\nAAAA\n\n\xe2\x80\x94 a AAAAAAAA\n\n"),
        {1},
    )
    yield "a checkpoint of two terabytes", sparse("checkpoints", 1 << 41), {2}
    for number in range(DAMAGES):
        yield f"a database with damage {number}", damage(number), {0, 1, 2}


def held():
    """Marks that are none."""
    yield "nothing", b"", {2}
    yield "zeros", bytes(1000), {2}
    yield "JSON, deep", b'{"seq":' * 100_000, {2}
    yield "JSON that is another", b'{"a": 1}', {2}
    yield "JSON with a huge number", b'{"seq": 1' + b"0" * 5000 + b"}", {2}
    yield "half a receipt", b"\xa6\x01\x18", {2}
    yield "two terabytes", None, {2}


def run(log, *more):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    trust = "SHA256:z/fSv0Z0RZS+Lccbc6ZoOWwt/fbj1VFJGSBKQbo4icE"
    command = [sys.executable, "-m", "tacho_check", str(log), "--trust", trust, *more]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, preexec_fn=limit)
    except subprocess.TimeoutExpired:
        return None, b"it took too long"
    return done.returncode, done.stdout + done.stderr


def main(fixtures):
    passed = failed = 0

    def judge(name, codes, code, said):
        nonlocal passed, failed
        good = code in codes and b"Traceback" not in said and b"\x1b" not in said
        passed, failed = passed + good, failed + (not good)
        if not good:
            print(f"{name}: exit code {code}\n{said.decode('utf-8', 'replace')[-800:]}")

    with tempfile.TemporaryDirectory() as folder:
        sound = unpacked(Path(fixtures) / "sound", Path(folder) / "sound")
        judge("sound", {0}, *run(sound))
        for number, (name, change, codes) in enumerate(cases()):
            log = Path(folder) / str(number) / "log"
            shutil.copytree(sound, log)
            change(log)
            judge(name, codes, *run(log))
            shutil.rmtree(log.parent)
        for name, data, codes in held():
            mark = Path(folder) / "mark"
            if data is None:
                sparse("mark", 1 << 41)(Path(folder))
            else:
                mark.write_bytes(data)
            judge(f"a mark: {name}", codes, *run(sound, "--against", str(mark)))
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tacho_check.hostile fixtures/logs")
    sys.exit(main(sys.argv[1]))
