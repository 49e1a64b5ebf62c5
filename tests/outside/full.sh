#!/usr/bin/env bash
# Exports onto a disk that is really full: full.sh TACHO LOG. Needs a namespace of its own for a small tmpfs; ends with 77 where there is none.
#
# Each export has to fail with a sentence, and to leave nothing at all on the disk.
set -euo pipefail

tacho=$1 log=$2
unshare -Urm true 2>/dev/null || exit 77
unshare -Urm bash -euo pipefail -c '
    disk=$(mktemp -d)
    mount -t tmpfs -o size=64k tmpfs "$disk"
    for format in bundle jsonl csv "report --framework eu-ai-act"; do
        code=0
        said=$("$1" --log "$2" export $format "$disk/out" 2>&1) || code=$?
        [[ $code == 2 && $said == *"No space left"* || $code == 2 && $said == *"no space"* || $code == 2 && $said == *"cannot write"* ]] ||
            { echo "$format ended with $code: $said"; exit 1; }
        [[ -z $(ls -A "$disk") ]] || { echo "$format left $(ls -A "$disk")"; exit 1; }
    done
    echo "four exports onto a full disk, and nothing left on it"
' _ "$tacho" "$log"
