#!/bin/sh
# Asks before one command and tells what came of it, with nothing but a shell and jq.
#
#     TACHO_HOOK='tacho hook --agent generic …' ./gated.sh 'make test' 'the user asked for it'
#
# The rule: run the tool only if the hook ended with 0 AND said {"decision": "allow"}. Everything else is a no.
set -u
command=$1
why=${2:-}
call=$$-$(date +%s)

say() {
    jq -nc --arg event "$1" --arg command "$command" --arg why "$why" --arg call "$call" --arg cwd "$PWD" --arg session "shell-$PPID" \
        --argjson more "$2" '{tacho: 1, event: $event, session: $session, cwd: $cwd, tool: "shell", input: {command: $command}, call: $call} + $more'
}

answer=$(say before "$(jq -nc --arg why "$why" '{rationale: {summary: $why}}')" | eval "$TACHO_HOOK") || answer='{}'
if [ "$(printf '%s' "$answer" | jq -r .decision 2>/dev/null)" != allow ]; then
    printf '%s' "$answer" | jq -r '.reason // "the gate did not say yes"' >&2
    exit 1
fi
output=$(sh -c "$command" 2>&1)
code=$?
printf '%s\n' "$output"
[ "$code" = 0 ] && ended=succeeded || ended=failed
say after "$(jq -nc --arg ended "$ended" --argjson exit "$code" --arg output "$output" '{ended: $ended, exit: $exit, output: $output}')" |
    eval "$TACHO_HOOK" >/dev/null
exit "$code"
