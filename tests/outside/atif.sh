#!/bin/sh
# Exported trajectories are held against the models of the PyPI package `atif`, which others wrote. Three damaged ones must be refused.
#
# Usage: tests/outside/atif.sh [TACHO]
set -eu
cd "$(dirname "$0")/../.."
tacho=$(realpath "${1:-target/debug/tacho}")
venv=target/outside/atif
skip() { echo "skipped: $1" >&2; exit 0; }

[ -x "$tacho" ] || { echo "atif.sh: build \`tacho\` first" >&2; exit 2; }
command -v python3 >/dev/null || skip "there is no python3"
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import atif' 2>/dev/null; then
    python3 -m venv "$venv" || skip "python3 makes no virtual environment"
    "$venv/bin/pip" install --quiet 'atif==1.8.0' || skip "the package \`atif\` cannot be installed"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CONFIG_HOME="$work/config" TACHO_LOG="$work/log"
"$tacho" init >/dev/null
for file in fixtures/traces/atif/*.json fixtures/traces/codex/*.jsonl fixtures/traces/claude-code/*.jsonl; do
    "$tacho" import "$file" >/dev/null
done
# Sessions that no other one started; `made-sub-agent` comes after its parent only by another call, so it is one too.
sessions=$("$tacho" list -n 0 --json | "$venv/bin/python" -c '
import json, sys
for line in sys.stdin:
    record = json.loads(line)
    if record["kind"] == "session" and "parent" not in record["body"]:
        print(record["seq"])')
for session in $sessions; do
    "$tacho" export atif --session "$session" "$work/$session.json" 2>/dev/null
done

"$venv/bin/python" - "$work" <<'PYTHON'
import copy, glob, json, sys
from atif import Trajectory
from pydantic import ValidationError

documents = [json.load(open(path)) for path in sorted(glob.glob(sys.argv[1] + "/*.json"))]
assert len(documents) >= 8, documents
steps = calls = 0
for document in documents:
    trajectory = Trajectory.model_validate(document)
    assert trajectory.schema_version == "ATIF-v1.8"
    steps += len(trajectory.steps)
    calls += sum(len(step.tool_calls or []) for step in trajectory.steps)
    json.dumps(trajectory.to_json_dict())
assert steps and calls

with_call = next(d for d in documents if any(s.get("observation") and s.get("tool_calls") for s in d["steps"]))

def numbers(document):
    document["steps"][-1]["step_id"] += 1

def names(document):
    step = next(s for s in document["steps"] if s.get("observation") and s.get("tool_calls"))
    step["observation"]["results"][0]["source_call_id"] = "nobody"

def metrics(document):
    step = next(s for s in document["steps"] if s["source"] != "agent")
    step["metrics"] = {"prompt_tokens": 1}

for damage in (numbers, names, metrics):
    document = copy.deepcopy(with_call)
    damage(document)
    try:
        Trajectory.model_validate(document)
    except ValidationError:
        continue
    sys.exit(f"a document with wrong {damage.__name__} was accepted")
print(f"ok: {len(documents)} documents, {steps} steps, {calls} calls accepted; 3 damaged ones refused")
PYTHON
