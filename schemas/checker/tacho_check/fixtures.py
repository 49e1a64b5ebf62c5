"""Runs the checker over the cases of fixtures/logs: python -m tacho_check.fixtures DIR"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import zstandard

from .log import CannotRead, Log
from .marks import marks
from .verdict import judge


def unpacked(case, target):
    """A copy of the case's log with its databases unpacked."""
    shutil.copytree(case / "log", target)
    for packed in target.glob("*.zst"):
        with open(packed, "rb") as source, open(packed.with_suffix(""), "wb") as out:
            zstandard.ZstdDecompressor().copy_stream(source, out)
        packed.unlink()
    return target


def answer(case, expected):
    """What the checker finds, in the shape of `expect`."""
    with tempfile.TemporaryDirectory() as folder:
        target = unpacked(case, Path(folder) / "log")
        kept = case / "mark"
        try:
            held = marks(kept.read_bytes()) if kept.exists() else []
            with Log(target) as log:
                found = judge(log, expected["trust"], held)
        except CannotRead:
            return {"exit": 2}
    answer = {name: getattr(found, name) for name in
              ("exit", "first_bad", "proven", "complete_up_to", "authenticity", "not_checked")}  # fmt: skip
    return answer | {"breaches": sorted({breach.name for breach in found.breaches})}


def main(folder):
    passed = failed = 0
    for path in sorted(Path(folder).glob("*/case.json")):
        expected = json.loads(path.read_text("utf-8"))
        wanted = {name: value for name, value in expected["expect"].items() if name != "error"}
        found = answer(path.parent, expected)
        if found == wanted:
            passed += 1
        else:
            failed += 1
            print(f"{path.parent.name}: {expected['what']}")
            for name in sorted(wanted.keys() | found.keys()):
                if wanted.get(name) != found.get(name):
                    print(f"  {name}: expected {wanted.get(name)}, found {found.get(name)}")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tacho_check.fixtures fixtures/logs")
    sys.exit(main(sys.argv[1]))
