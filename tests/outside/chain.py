"""OCSF events with the profile record_integrity: fingerprints by rfc8785 and hashlib, and the chain; then damage.

    chain.py EVENTS
"""

import copy
import hashlib
import json
import sys

import rfc8785


def broken(events):
    """What is wrong with a chain, or None."""
    before = None
    for event in events:
        (attestation,) = event["attestation_list"]
        bare = copy.deepcopy(event)
        del bare["attestation_list"][0]["fingerprint"]
        if hashlib.sha256(rfc8785.dumps(bare)).hexdigest() != attestation["fingerprint"]["value"]:
            return f"{event['metadata']['uid']} has another fingerprint"
        points = attestation.get("prev_event")
        if points != (before and {"uid": before["metadata"]["uid"], "type_uid": before["type_uid"],
                                  "fingerprint": before["attestation_list"][0]["fingerprint"]}):  # fmt: skip
            return f"{event['metadata']['uid']} does not follow the one before it"
        before = event
    return None


def main():
    events = [json.loads(line) for line in open(sys.argv[1])]
    if len(events) < 3 or broken(events):
        sys.exit(broken(events) or "too few events")
    changed = copy.deepcopy(events)
    changed[1]["severity_id"] = 6
    damaged = [changed, events[:1] + events[2:], events[1:], [events[1], events[0], *events[2:]]]
    for other in damaged:
        if not broken(other):
            sys.exit("a damaged chain was taken")
    print(f"{len(events)} events in a chain, {len(damaged)} damaged ones found")


main()
