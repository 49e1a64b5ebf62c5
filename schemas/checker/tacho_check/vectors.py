"""Holds the checker's own parts to vectors that others wrote, and to the values in the documents:
python -m tacho_check.vectors FIXTURES
"""

import base64
import json
import re
import sys
from pathlib import Path

from . import canon, cddl, hashes, keys, note, record, tree


def canonical(folder):
    """Bytes that are canonical and bytes that are not."""
    for path in sorted((folder / "canon").glob("*/*.hex")):
        text = path.read_text("utf-8")
        most = re.search(r"^# max (\d+)", text, re.MULTILINE)
        data = bytes.fromhex("".join(line for line in text.splitlines() if not line.startswith("#")))
        try:
            good = canon.encode(canon.decode(data, int(most[1]) if most else canon.MAX_BYTES)) == data
        except canon.NotCanonical:
            good = False
        yield path.name, good == (path.parent.name == "accept")


def signatures(folder):
    """Ed25519: 43 of the 914 vectors of CCTV are good by the strict rules; Wycheproof says which of its own are."""
    cases = json.loads((folder / "vectors/cctv-ed25519/ed25519vectors.json").read_text("utf-8"))
    low = ("low_order_R", "low_order_A", "non_canonical_R", "non_canonical_A", "low_order_residue")
    for case in cases:
        good = keys.verify(bytes.fromhex(case["key"]), bytes.fromhex(case["sig"]), case["msg"].encode())
        yield f"CCTV {case['number']}", good != any(flag in low for flag in case["flags"] or ())
    tests = json.loads((folder / "vectors/wycheproof/ed25519_test.json").read_text("utf-8"))
    for group in tests["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            good = keys.verify(key, bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            yield f"Wycheproof {case['tcId']}", good == (case["result"] == "valid")


def proofs(folder):
    """Inclusion and consistency in the tree."""
    data = folder / "vectors/transparency-dev-merkle/testdata"
    for path in sorted(data.glob("*/**/*.json")):
        case = json.loads(path.read_text("utf-8"))
        path_ = [base64.b64decode(node) for node in case["proof"] or []]
        if "leafIdx" in case:
            leaf, root = base64.b64decode(case["leafHash"] or ""), base64.b64decode(case["root"] or "")
            good = tree.inclusion_root(case["leafIdx"], case["treeSize"], leaf, path_) == root
        else:
            roots = [base64.b64decode(case[name] or "") for name in ("root1", "root2")]
            good = tree.consistent(case["size1"], case["size2"], *roots, path_)
        yield str(path.relative_to(data)), good != case["wantErr"]


def notes(folder):
    """Notes that others signed, and the examples of note.md."""
    for case in json.loads((folder / "vectors/c2sp-notes/notes.json").read_text("utf-8")):
        if case["kind"] == "checkpoint" and case["expect"] == "valid":
            name, _, key = case["vkey"].split("+", 2)
            key = base64.b64decode(key)
            if key[:1] == note.ED25519:
                yield case["id"], note.parse(case["note"].encode()).signed_by(name, key[1:])
    page = (cddl.SCHEMAS / "note.md").read_text("utf-8")
    blocks = dict(re.findall(r"^```(\w[\w-]*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    for name, _, key in (line.split("+", 2) for line in blocks["vkey"].splitlines()[:2]):
        for block in ("checkpoint", "cosigned"):
            yield f"note.md, {block}, {name}", note.parse(blocks[block].encode()).signed_by(name, base64.b64decode(key)[1:])


def values(_):
    """The values of domains.md."""
    page = (cddl.SCHEMAS / "domains.md").read_text("utf-8")
    one = hashes.chain(hashes.GENESIS_PREV, b"one")
    salt, message = bytes(range(32)), 6
    for value in (
        one,
        hashes.chain(one, b"two"),
        tree.leaf_hash(b"one"),
        hashes.commitment("content", salt, message, 200, "Grüße".encode()),
        hashes.commitment("content", salt, message, 200, b""),
    ):
        yield "domains.md", f"`{value.hex()}`" in page


def schema(_):
    """That the CDDL is read and not passed over: a record that fits, and ones that nearly do."""
    good = {0: 1, 1: 9, 2: bytes(32), 3: 0, 4: 0, 6: {24: 1, 25: "a"}, 7: 2, 5: 6, 15: {104: 1}}
    worse = [{15: {104: 5}}, {15: {104: 1, 170: 1}}, {2: bytes(31)}, {6: {24: 1, 25: "a b"}}, {6: {24: 1, 25: "a\n"}},
             {3: b""}, {3: 2**63}, {0: 2}, {7: 6}, {8: 3}, {14: [9]}, {14: [2, 1]}, {14: list(range(257))},
             {16: {-1: bytes(32)}}, {9: {28: 2**32}}, {5: 2}]  # fmt: skip
    for number, change in enumerate([{}, {-1: 7}] + worse):
        try:
            record.understand(good | change)
            fits = True
        except record.NotUnderstood:
            fits = False
        yield f"record {number}", fits == (number < 2)


def main(folder):
    passed = failed = 0
    for check in (canonical, signatures, proofs, notes, values, schema):
        results = list(check(Path(folder)))
        if not results:
            results = [("no vectors", False)]
        for name, good in results:
            passed, failed = passed + good, failed + (not good)
            if not good:
                print(f"{check.__name__}: {name}")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tacho_check.vectors FIXTURES")
    sys.exit(main(sys.argv[1]))
