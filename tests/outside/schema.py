"""Holds events against event.schema.json with `jsonschema`: schema.py SCHEMA GOOD BAD, two files of JSON lines.

Every line of GOOD has to fit, and no line of BAD. Exit 0: so it is; 1: it is not.
"""

import json
import sys
from pathlib import Path

import jsonschema

schema = json.loads(Path(sys.argv[1]).read_text())
kind = jsonschema.validators.validator_for(schema)
kind.check_schema(schema)
validator = kind(schema)
counts = []
for name, wanted in ((sys.argv[2], True), (sys.argv[3], False)):
    lines = [line for line in Path(name).read_text().splitlines() if line]
    for number, line in enumerate(lines, 1):
        if validator.is_valid(json.loads(line)) != wanted:
            sys.exit(f"no: line {number} of {name} {'is refused' if wanted else 'is taken'}")
    counts.append(len(lines))
if 0 in counts:
    sys.exit("no: nothing was checked")
print(f"{counts[0]} events fit, {counts[1]} do not")
