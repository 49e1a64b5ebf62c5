"""Statements: signatures by securesystemslib, statements by in-toto-attestation, subjects against the records; then damage.

    intoto.py ENVELOPES KEY.pem RECORDS.jsonl
"""

import base64
import copy
import json
import sys

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from in_toto_attestation.v1.statement import Statement
from google.protobuf import json_format
import in_toto_attestation.v1.statement_pb2 as spb
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey


def check(envelope, key):
    """Verifies an envelope, and returns its statement."""
    # Reading takes the parts out of the dictionary.
    read = Envelope.from_dict(copy.deepcopy(envelope))
    read.verify([key], 1)
    if read.payload_type != "application/vnd.in-toto+json":
        raise ValueError("another payload type")
    statement = json.loads(read.payload)
    message = json_format.ParseDict(statement, spb.Statement())
    Statement.copy_from_pb(message).validate()
    return statement


def main():
    lines = [json.loads(line) for line in open(sys.argv[1])]
    private = load_pem_private_key(open(sys.argv[2], "rb").read(), None)
    public = private.public_key().public_bytes_raw().hex()
    keyid = lines[0]["signatures"][0]["keyid"]
    key = SSlibKey(keyid, "ed25519", "ed25519", {"public": public})
    records = {json.loads(line)["seq"]: json.loads(line) for line in open(sys.argv[3])}
    kinds = {}
    for envelope in lines:
        statement = check(envelope, key)
        record = statement["predicate"]["record"]
        if record != records[record["seq"]]:
            sys.exit(f"record {record['seq']} is another one in its statement")
        hashes = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
        for file in record.get("files", []):
            if file["role"] in ("before", "after") and file["sha256"] not in hashes.values():
                sys.exit(f"record {record['seq']}: a file is no subject")
        kinds[statement["predicateType"]] = kinds.get(statement["predicateType"], 0) + 1
    due = [r["seq"] for r in records.values() if r["kind"] == "mutation" or r["kind"] == "action" and "verdict" in r["body"]]
    stated = [json.loads(base64.b64decode(line["payload"]))["predicate"]["record"]["seq"] for line in lines]
    if stated != sorted(due):
        sys.exit(f"{len(stated)} statements of {len(due)} records")
    refused = 0
    first = lines[0]
    payload = json.loads(base64.b64decode(first["payload"]))

    def altered(change):
        other = copy.deepcopy(payload)
        change(other)
        return {**first, "payload": base64.b64encode(json.dumps(other).encode()).decode()}

    stranger = SSlibKey(keyid, "ed25519", "ed25519", {"public": "5866666666666666666666666666666666666666666666666666666666666666"})
    signature = bytearray(base64.b64decode(first["signatures"][0]["sig"]))
    signature[3] ^= 1
    cases = [
        (altered(lambda s: s["predicate"]["record"].update(seq=7)), key),
        (altered(lambda s: s["subject"][0]["digest"].update(sha256="00" * 32)), key),
        ({**first, "payloadType": "text/plain"}, key),
        ({**first, "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}]}, key),
        ({**first, "payload": lines[-1]["payload"]}, key),
        (first, stranger),
    ]
    for envelope, by in cases:
        try:
            check(envelope, by)
        except VerificationError:
            refused += 1
            continue
        sys.exit(f"a damaged envelope was taken: {envelope}")
    # The statement's own validator refuses too.
    for wrong in ({"subject": []}, {"_type": "https://example.com"}, {"predicateType": ""}):
        try:
            Statement.copy_from_pb(json_format.ParseDict({**payload, **wrong}, spb.Statement())).validate()
        except ValueError:
            refused += 1
            continue
        sys.exit(f"a damaged statement was taken: {wrong}")
    print(f"{len(lines)} statements {kinds} verify, {refused} damaged ones do not")


main()
