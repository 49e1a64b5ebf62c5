"""OCSF events, by ocsf-json-schema (the schemas that OCSF published) and jsonschema; the same events after damage are refused.

    ocsf.py EVENTS RECORDS.jsonl

Each action, mutation, approval, key, policy, kill, release and alarm of the records is one event. The packaged schemas end with 1.8.0: of
events of 1.9.0 the profile `record_integrity` is taken off first, and chain.py checks what was in it.
"""

import copy
import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

made = {}


def validator(event):
    profiles = tuple(event["metadata"].get("profiles", []))
    key = (event["class_uid"], profiles)
    if key not in made:
        schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(event["metadata"]["version"]))
        name = schemas.lookup_class_name_from_uid(event["class_uid"])
        made[key] = Draft202012Validator(schemas.get_class_schema(name, list(profiles)))
    return made[key]


EVENTS = {"action", "mutation", "approval", "key", "policy", "kill", "release", "alarm"}


def as_1_8(event):
    event.pop("attestation_list", None)
    metadata = event["metadata"]
    profiles = [name for name in metadata.pop("profiles", []) if name != "record_integrity"]
    metadata.update({"version": "1.8.0"} | ({"profiles": profiles} if profiles else {}))
    return event


def main():
    events = [as_1_8(json.loads(line)) for line in open(sys.argv[1])]
    records = [json.loads(line) for line in open(sys.argv[2])]
    expected = [record["seq"] for record in records if record["kind"] in EVENTS]
    if [event["metadata"]["sequence"] for event in events] != expected:
        sys.exit(f"{len(events)} events of {len(expected)} records")
    classes, refused = {}, 0
    for event in events:
        judge = validator(event)
        for error in judge.iter_errors(event):
            sys.exit(f"{event['metadata']['uid']}: {error.message} at {error.json_path}")
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            sys.exit(f"{event['metadata']['uid']}: type_uid is not of class and activity")
        classes[event["class_uid"]] = classes.get(event["class_uid"], 0) + 1
        if classes[event["class_uid"]] > 3:
            continue
        damaged = [{k: v for k, v in event.items() if k != key} for key in ("time", "metadata", "severity_id", "type_uid")]
        damaged += [{**event, "activity_id": 77}, {**event, "surprise": 1}, {**event, "time": "now"}]
        other = copy.deepcopy(event)
        other["metadata"]["product"] = {}
        damaged.append(other)
        if event["class_uid"] == 6003:
            damaged.append({k: v for k, v in event.items() if k != "api"})
        for other in damaged:
            if judge.is_valid(other):
                sys.exit(f"{event['metadata']['uid']}: a damaged event was taken: {other}")
            refused += 1
    if not events or not refused:
        sys.exit("nothing was checked")
    print(f"{len(events)} events of classes {sorted(classes)} fit, {refused} damaged ones do not")


main()
