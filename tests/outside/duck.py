"""JSON Lines read by duckdb and written as Parquet with the recipe of the README: as many rows as lines, and the same values.

    duck.py RECIPE LINES
"""

import json
import os
import sys
import tempfile

import duckdb


def run(recipe, text):
    """Carries out the recipe on these lines, and returns the rows of the Parquet file."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "records.jsonl"), "w") as out:
            out.write(text)
        os.chdir(folder)
        duckdb.sql(recipe)
        rows = duckdb.sql("SELECT seq, epoch_ns(time), kind, leaf, mono, text_of FROM 'records.parquet' ORDER BY seq").fetchall()
        os.chdir("/")
        return rows


def main():
    recipe = open(sys.argv[1]).read()
    text = open(sys.argv[2]).read()
    lines = sorted((json.loads(line) for line in text.splitlines()), key=lambda line: line["seq"])
    rows = run(recipe, text)
    if not lines or len(rows) != len(lines):
        sys.exit(f"{len(lines)} lines became {len(rows)} rows")
    for line, (seq, time, kind, leaf, mono, texts) in zip(lines, rows):
        nanos = line["time"].rstrip("Z").partition(".")[2].ljust(9, "0")
        same = (seq, kind, leaf, mono) == (line["seq"], line["kind"], line["leaf"], line["mono"])
        if not same or time % 10**9 != int(nanos) or json.loads(texts) != line["text_of"]:
            sys.exit(f"record {seq} is another one in Parquet")
    for what, bad in (
        ("a line that is cut off", text[: len(text) - 40]),
        ("a number that is text", text.replace('"seq":0,', '"seq":"zero",', 1)),
        ("a time that is none", text.replace(lines[0]["time"], "yesterday", 1)),
    ):
        try:
            run(recipe, bad)
        except duckdb.Error:
            continue
        sys.exit(f"{what} was taken")
    print(f"{len(rows)} rows, nanoseconds kept; three bad files refused")


main()
