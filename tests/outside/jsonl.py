"""Records as JSON Lines, by jsonschema: every line fits the schema, and none of the same lines does after damage.

    jsonl.py SCHEMA LINES [--from N]
"""

import copy
import json
import sys

from jsonschema import Draft202012Validator, FormatChecker


def damages(line):
    """The ways in which a line may be wrong; each yields what it did and the line."""
    for key in ("seq", "time", "kind", "leaf", "prev", "body", "actor", "text_of"):
        other = copy.deepcopy(line)
        if other.pop(key, None) is not None:
            yield f"without {key}", other
    for key, value in (
        ("seq", -1),
        ("seq", "7"),
        ("time", "yesterday"),
        ("time", 1795500000000000000),
        ("leaf", "00"),
        ("leaf", line["leaf"].upper() + "0"),
        ("kind", "confession"),
        ("via", "telepathy"),
        ("surprise", True),
        ("text_of", {"nonsense": "x"}),
        ("withheld", []),
    ):
        yield f"{key} is {value!r}", {**line, key: value}
    other = copy.deepcopy(line)
    other["body"]["surprise"] = 1
    yield "a body with more", other


def main():
    schema = json.load(open(sys.argv[1]))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    lines = [json.loads(line) for line in open(sys.argv[2])]
    kinds, wrong = set(), 0
    for line in lines:
        for error in validator.iter_errors(line):
            sys.exit(f"record {line['seq']}: {error.message} at {error.json_path}")
        if line["kind"] in kinds:
            continue
        # Damage is tried on the first record of each kind.
        kinds.add(line["kind"])
        for what, other in damages(line):
            wrong += 1
            if validator.is_valid(other):
                sys.exit(f"record {line['seq']}, {what}, was taken")
    if not lines or wrong < 50:
        sys.exit("nothing was checked")
    print(f"{len(lines)} lines of {len(kinds)} kinds fit, {wrong} damaged ones do not")


main()
