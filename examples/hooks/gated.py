#!/usr/bin/env python3
"""An agent of your own, gated: ask before each tool call, tell what came of it.

    tacho hook install generic      prints the command of the hook, one line
    TACHO_HOOK='tacho hook --agent generic …' python3 gated.py 'make test'

The rule: run the tool only if the hook ended with 0 AND said {"decision": "allow"}. Everything else is a no.
What is sent stands in schemas/hook-generic.schema.json.
"""
import json
import os
import shlex
import subprocess
import sys
import uuid

HOOK = shlex.split(os.environ["TACHO_HOOK"])
SESSION = str(uuid.uuid4())


def tell(event, **more):
    said = {"tacho": 1, "event": event, "session": SESSION, "cwd": os.getcwd(), **more}
    return subprocess.run(HOOK, input=json.dumps(said).encode(), capture_output=True, timeout=600)


def may(tool, given, call, why):
    try:
        hook = tell("before", tool=tool, input=given, call=call, rationale={"summary": why})
        answer = json.loads(hook.stdout) if hook.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False, "the gate did not answer"
    if answer.get("stop"):
        sys.exit(f"stopped: {answer.get('reason')}")
    return answer.get("decision") == "allow", answer.get("reason", "the gate did not say yes")


def run(command, why):
    given, call = {"command": command}, str(uuid.uuid4())
    allowed, reason = may("shell", given, call, why)
    if not allowed:
        return f"denied: {reason}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    ended = "succeeded" if done.returncode == 0 else "failed"
    tell("after", tool="shell", input=given, call=call, ended=ended, exit=done.returncode, output=done.stdout + done.stderr)
    return done.stdout + done.stderr


if __name__ == "__main__":
    print(run(" ".join(sys.argv[1:]), "the user asked for it"))
    tell("end")
