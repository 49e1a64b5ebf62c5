"""python -m tacho_check LOG: checks one log, or one bundle, and says what was found."""

import argparse
import json
import os
import sys

from . import bundle
from .keys import fingerprint, trusted
from .log import CannotRead, Log, read_plain
from .marks import marks
from .verdict import judge

SHOWN = 20
SMALL = 1 << 20


def safe(text):
    """Text that moves no cursor and hides nothing, whoever wrote it."""
    return "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text)


def arguments():
    parser = argparse.ArgumentParser(prog="python -m tacho_check", description="Checks a Tachograph log, or a bundle of one.")
    parser.add_argument("log", help="the log's directory, or the bundle's file")
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--trust", metavar="KEY", help="the identity key: its fingerprint (SHA256:…), 64 hex digits, or a PEM file"
    )
    who.add_argument("--pinned", metavar="FILE", help="a file of lines with an origin and its identity key in hex")
    parser.add_argument(
        "--against", metavar="MARK", action="append", default=[], help="a receipt or checkpoint kept elsewhere"
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    return parser.parse_args()


def small(path):
    """The bytes of a file that has no reason to be large."""
    data = read_plain(path, SMALL)
    if data is None:
        raise CannotRead(f"{path} is missing")
    return data


def trust(options):
    try:
        if options.trust:
            return trusted(options.trust)
        if options.pinned:
            lines = small(options.pinned).decode().splitlines()
            pairs = [line.split() for line in lines if line.strip()]
            return {origin: fingerprint(bytes.fromhex(key)) for origin, key in pairs}
    except (OSError, ValueError) as error:
        raise CannotRead(f"not a key: {error}") from error
    return None


def kept(paths):
    found = []
    for path in paths:
        try:
            found += marks(small(path))
        except ValueError as error:
            raise CannotRead(f"{path}: {error}") from error
    return found


def as_json(verdict):
    breaches = [{"breach": name, "seq": seq, "what": what} for name, seq, what in verdict.breaches[:SHOWN]]
    fields = {name: value for name, value in vars(verdict).items() if name not in ("breaches", "first_not_checked")}
    names = sorted({breach.name for breach in verdict.breaches})
    return fields | {
        "good": verdict.exit == 0,
        "breaches": names,
        "count": len(verdict.breaches),
        "first_breaches": breaches,
    }


def as_text(verdict):
    yield f"log           {verdict.origin or 'unknown'}, {verdict.size} records"
    if verdict.breaches:
        first = "" if verdict.first_bad is None else f", the first bad record at the latest is {verdict.first_bad}"
        yield f"integrity     BROKEN: {len(verdict.breaches)} breaches{first}"
        for name, _, what in verdict.breaches[:SHOWN]:
            yield f"              {name}: {what}"
        if len(verdict.breaches) > SHOWN:
            yield f"              and {len(verdict.breaches) - SHOWN} more"
    else:
        yield f"integrity     holds: {verdict.seals} seals, {verdict.checkpoints} checkpoints"
    yield f"proven        records 0 to {verdict.proven - 1}" if verdict.proven else "proven        nothing"
    yield (
        "authenticity  "
        + {
            "anchored": f"signed by the trusted {verdict.identity}",
            "self_consistent": f"signed by {verdict.identity}, which nobody vouches for (--trust)",
            "failed": "not shown",
        }[verdict.authenticity]
    )
    if verdict.complete_up_to is None:
        yield "completeness  open tail: no mark from outside was held against it (--against)"
    else:
        yield f"completeness  complete up to {verdict.complete_up_to} records, by a mark from outside"
    yield f"content       {verdict.opened} texts and artefacts opened, {verdict.missing} missing"
    if verdict.not_checked:
        seq, why = verdict.first_not_checked
        yield f"meaning       not checked: {verdict.not_checked} records, the first is {seq}: {why}"
    if verdict.witnesses_needed:
        yield f"witnesses     {verdict.witnesses_needed} are asked for, and none is checked here"
    yield "verdict       " + ("good" if verdict.exit == 0 else "not good")


def main():
    options = arguments()
    try:
        wanted, held = trust(options), kept(options.against)
        head = None
        if os.path.isdir(options.log):
            with Log(options.log) as log:
                verdict = judge(log, wanted, held)
        else:
            verdict, head = bundle.judge(options.log, wanted, held)
    except (CannotRead, OSError, MemoryError) as error:
        print(f"tacho_check: {safe(str(error)) or 'out of memory'}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(as_json(verdict), indent=2))
    else:
        lines = list(as_text(verdict))
        if head:
            says = f"bundle        {head[333]} records chosen by {head[332]!r}, {head[334]} more because others need them, as it says"
            lines.insert(1, says)
        print("\n".join(safe(line) for line in lines))
    return verdict.exit


if __name__ == "__main__":
    sys.exit(main())
