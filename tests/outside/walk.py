"""Walks through README's "An auditor's walk" exactly as it is written: walk.py TOP FOLDER FINGERPRINT

Each line with `$` in that section is given to bash, in FOLDER, which holds `march.tacho` and `schemas`; what stands below it has to come
out, line by line, `…` standing for anything. Ends with 1 if a command fails or says something else.
"""

import re
import subprocess
import sys
from pathlib import Path

TITLE = "### An auditor's walk"


def commands(text):
    """(command, lines that it prints) of the section."""
    section = text.partition(TITLE)[2].partition("\n## ")[0].partition("\n### ")[0]
    found = []
    for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:].partition("     # ")[0], []))
            elif line.startswith("> "):
                found[-1] = (found[-1][0] + "\n" + line[2:], [])
            elif found:
                found[-1][1].append(line)
    return found


def fits(said, shown):
    pattern = ".*".join(map(re.escape, shown.split("…")))
    return any(re.fullmatch(pattern, line) for line in said)


def main(top, folder, fingerprint):
    steps = commands((Path(top) / "README.md").read_text())
    if len(steps) < 6:
        print(f"only {len(steps)} steps were found")
        return 1
    for command, shown in steps:
        run = ["bash", "-c", "set -e -o pipefail\n" + command]
        done = subprocess.run(run, cwd=folder, capture_output=True, text=True, env=environment(fingerprint))
        said = (done.stdout + done.stderr).splitlines()
        missing = [line for line in shown if not fits(said, line)]
        if done.returncode or missing:
            print(f"$ {command}\nended with {done.returncode}, and lacks {missing}:\n" + "\n".join(said))
            return 1
    print(f"{len(steps)} steps, each as it is written")
    return 0


def environment(fingerprint):
    import os

    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "FINGERPRINT": fingerprint, "LC_ALL": "C.UTF-8",
            **{key: value for key, value in os.environ.items() if key.startswith(("PIP_", "UV_", "http", "HTTP", "SSL"))}}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
