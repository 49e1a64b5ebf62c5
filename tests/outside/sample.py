"""A population and a sample of it as CSV, read by duckdb and drawn again with hashlib.

    sample.py POPULATION SAMPLE COUNT SEED RECORDS.jsonl
"""

import hashlib
import json
import sys
import tempfile

import duckdb


def rows(path):
    # Nothing is guessed: a reader that guesses takes a torn row for a file of one column.
    with open(path, newline="") as file:
        names = file.readline().strip().split(",")
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    how = "header = true, strict_mode = true, auto_detect = false, delim = ',', quote = '\"'"
    read = duckdb.sql(f"SELECT * FROM read_csv('{path}', {how}, columns = {{{columns}}})")
    return [dict(zip(read.columns, row)) for row in read.fetchall()]


def main():
    population, sample = rows(sys.argv[1]), rows(sys.argv[2])
    count, seed = int(sys.argv[3]), sys.argv[4]
    records = {json.loads(line)["seq"]: json.loads(line) for line in open(sys.argv[5])}
    if sorted(int(row["seq"]) for row in population) != sorted(records):
        sys.exit(f"{len(population)} rows of {len(records)} records")
    for row in population:
        record = records[int(row["seq"])]
        if (row["leaf"], row["kind"], row["actor"]) != (record["leaf"], record["kind"], record["actor"]["id"]):
            sys.exit(f"record {row['seq']} is another one in the population")

    def drawn(seed):
        rank = lambda row: hashlib.sha256(f"{seed}\n{row['seq']}".encode()).hexdigest()
        return sorted(sorted((row["seq"] for row in population), key=lambda seq: rank({"seq": seq}))[:count], key=int)

    ours = [row["seq"] for row in sample]
    if len(ours) != min(count, len(population)) or ours != drawn(seed):
        sys.exit(f"another sample: {ours}, not {drawn(seed)}")
    if ours == drawn(seed + "x"):
        sys.exit("another seed draws the same sample")
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as broken:
        # A reader that takes a torn row would take anything.
        broken.write(open(sys.argv[1]).read() + '1,2,"three\n')
        broken.flush()
        try:
            rows(broken.name)
        except duckdb.Error:
            pass
        else:
            sys.exit("a torn row was taken")
    print(f"{len(population)} rows; the {len(ours)} drawn again are the same")


main()
