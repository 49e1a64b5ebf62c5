#!/usr/bin/env bash
# Real agents, without a network: their own programs, our gate and hooks, a model that says what a script says.
#
#   tests/outside/agents.sh          Claude Code of one version, and Codex
#   tests/outside/agents.sh --all    every version; what cannot be installed is a failure
#
# For each: (a) an allowed action runs and is recorded with its rationale, (b) an edit of the guard surface is denied and the model
# hears why, (c) an edit of a workflow waits, is approved with an enrolled key, passes once, and becomes a mutation that names
# rationale, approver and rule; other content waits again; a retry with another description still fits, (d) with the gate killed nothing
# runs where the version can deny, and `reconcile` shows it where it cannot, (e) the settings come back to the byte.
# Ends with a line `N passed, N failed, N skipped`.
set -uo pipefail

name=agents
# shellcheck source=tests/outside/agents.bash
. "$(dirname "$0")/agents.bash"
tacho=$built

says_no() {
    local code=0
    "$@" || code=$?
    [[ $code == 1 ]]
}

# A box: a home, a log with an enrolled person, a gate, a workspace.
setup() {
    box=$(mktemp -d "${TMPDIR:-/tmp}/tacho-agents.XXXXXX")
    export HOME=$box/home XDG_STATE_HOME=$box/s XDG_CONFIG_HOME=$box/c XDG_RUNTIME_DIR=$box/r
    unset TACHO_LOG CODEX_HOME ANTHROPIC_API_KEY SSH_AUTH_SOCK
    log=$box/s/tachograph/default
    ws=$box/ws
    mkdir -p "$HOME" "$XDG_RUNTIME_DIR" "$ws/.github/workflows" "$ws/.claude"
    git init -q "$ws"
    printf 'on: push\njobs: {}\n' >"$ws/.github/workflows/deploy.yml"
    "$tacho" init >/dev/null
    ssh-keygen -q -t ed25519 -N '' -C reviewer -f "$box/key"
    "$tacho" approver add anna "$box/key.pub" >/dev/null || return 1
    serve
}

serve() {
    "$tacho" serve --preset solo >"$box/serve.out" 2>"$box/serve.err" &
    gate=$!
    serving
}

# agent TURN...: runs the agent with a model that says these turns.
agent() {
    model "$@"
    case $kind in
    claude)
        (cd "$ws" && ANTHROPIC_BASE_URL=http://127.0.0.1:$port ANTHROPIC_API_KEY=none DISABLE_TELEMETRY=1 DISABLE_AUTOUPDATER=1 \
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 timeout 120 "$cli" -p "improve the pipeline" \
            --model claude-sonnet-4-5 --allowedTools Bash,Write,Edit,Read </dev/null >"$box/agent.out" 2>&1)
        ;;
    codex)
        mkdir -p "$HOME/.codex"
        cat >"$HOME/.codex/config.toml" <<END
model = "scripted"
model_provider = "scripted"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[model_providers.scripted]
name = "scripted"
base_url = "http://127.0.0.1:$port/v1"
wire_api = "responses"
env_key = "MODEL_KEY"
request_max_retries = 0
stream_max_retries = 0
END
        # The hook is in the user's settings, which Codex skips until somebody trusts it: here the test does.
        (cd "$ws" && MODEL_KEY=none timeout 120 "$cli" exec --skip-git-repo-check --dangerously-bypass-hook-trust \
            "improve the pipeline" </dev/null >"$box/agent.out" 2>&1)
        ;;
    esac
    done_with_model
}

# shell COMMAND [WHY [DESCRIPTION]]: a turn that calls the agent's shell.
shell() {
    python3 - "$kind" "$@" <<'END'
import json, sys
kind, command, why, about = (sys.argv[1:] + ["", "run it"])[:4] if len(sys.argv) < 5 else sys.argv[1:5]
call = {"tool": "Bash", "input": {"command": command, "description": about}}
if kind == "codex":
    call = {"tool": "exec_command", "input": {"cmd": command}}
print(json.dumps({"think": why or "because", "say": "I do it now.", "call": call}))
END
}

# change PATH CONTENT [WHY]: a turn that writes a file by the agent's own tool, or by its shell where it has none.
change() {
    if [[ $kind == codex ]]; then
        # Its patch tool, which it takes out of the command line before a shell sees it.
        shell "apply_patch <<'END'
*** Begin Patch
*** Update File: $1
@@
-$(head -1 "$1")
+$2
*** End Patch
END
" "${3-}"
    else
        python3 -c 'import json, sys
print(json.dumps({"think": sys.argv[3], "call": {"tool": "Write", "input": {"file_path": sys.argv[1], "content": sys.argv[2] + "\n"}}}))' \
            "$1" "$2" "${3-because}"
    fi
}

# Claude Code refuses to write over a file that it has not read.
look() {
    [[ $kind == codex ]] || python3 -c 'import json, sys
print(json.dumps({"call": {"tool": "Read", "input": {"file_path": sys.argv[1]}}}))' "$1"
}

records() { "$tacho" list --count 0 --json ${1:+--filter "$1"}; }
heard() { grep -qF "$1" "$box/heard"; }
transcript() { find "$HOME" -name '*.jsonl' \( -path '*/projects/*' -o -path '*/sessions/*' \) -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-; }
# The newest open hold: its number, and the four characters that stand for its digest.
hold() { "$tacho" holds --json | tail -1 | python3 -c 'import json, sys
for line in sys.stdin:
    held = json.loads(line)
    print(held["hold"], held["digest"][:4])'; }

# approve_when_held: waits for a hold and approves it with the enrolled key.
approve_when_held() {
    local seq= code=
    for _ in $(seq 300); do
        read -r seq code < <(hold 2>/dev/null)
        [[ -n $seq ]] && break
        sleep 0.1
    done
    [[ -n $seq ]] || return 1
    "$tacho" approve "$seq" --key "$box/key" --yes-digest "$code" >"$box/approved" 2>&1
}

try() {
    local id=$1 scope=$2 settings
    name="$kind $version"
    setup || {
        failed=$((failed + 1))
        echo "  FAIL  $name: no gate"
        teardown
        return
    }
    settings=$ws/.claude/settings.json
    [[ $kind == claude ]] || settings=$HOME/.codex/hooks.json
    # The user's own settings, laid out in the user's own way.
    if [[ $kind == claude ]]; then
        printf '{ "permissions" : {"allow": [ "Read" ]},\n\t"env": {"A":"b" } }' >"$settings"
    else
        mkdir -p "$(dirname "$settings")"
        printf '{"description":"mine","hooks":{ "Stop": [] } }' >"$settings"
    fi
    cp "$settings" "$box/settings.before"
    cd "$ws" || return
    ok "the hook is installed, and its canary denied" "$tacho" hook install "$id" --scope "$scope" --cli "$cli" --hold 20
    cp "$settings" "$box/settings.installed"
    ok "a second install changes nothing" "$tacho" hook install "$id" --scope "$scope" --cli "$cli" --hold 20
    ok "the settings are those of the first" cmp "$settings" "$box/settings.installed"
    ok "hook check" "$tacho" hook check "$id" --cli "$cli"

    # (a)
    agent "$(shell "echo hello > $ws/hello.txt" "the greeting is missing")"
    ok "(a) an allowed action runs" test -s "$ws/hello.txt"
    ok "(a) it is recorded, with its rationale" python3 - <(records "kind:action verdict:allow \"hello.txt\"") <<'END'
import json, sys
records = [json.loads(line) for line in open(sys.argv[1])]
text = json.dumps(records)
assert records and "the greeting is missing" in text and '"transcript"' in text, text[:2000]
END
    ok "(a) it has an outcome" test -n "$(records kind:outcome)"

    # (b)
    agent "$(look "$settings")" "$(change "$settings" '{}' "the hooks are slow")"
    ok "(b) the guard surface is untouched" cmp "$settings" "$box/settings.installed"
    ok "(b) the model hears why not" heard "Do not try to reach the same in another way"
    ok "(b) the deny is recorded" test -n "$(records 'kind:action verdict:deny' | grep -F "$(basename "$settings")")"

    # (c)
    local deploy=$ws/.github/workflows/deploy.yml
    cp "$deploy" "$box/deploy.before"
    approve_when_held &
    local approver=$!
    agent "$(look "$deploy")" "$(change "$deploy" 'on: tag' "deploy only what is tagged")"
    wait "$approver"
    ok "(c) the edit is held, and passes once it is approved" grep -q 'on: tag' "$deploy"
    ok "(c) the approval was taken" test -s "$box/approved"
    local mutation
    mutation=$(records kind:mutation | tail -1 | python3 -c 'import json, sys; print(json.loads(sys.stdin.read() or "{}").get("seq", ""))')
    ok "(c) it is a mutation" test -n "$mutation"
    ok "(c) why names rationale, approver and rule" python3 - <("$tacho" why "${mutation:-0}" 2>&1) <<'END'
import sys
said = open(sys.argv[1]).read()
for word in ("deploy only what is tagged", "anna", "hold-pipeline"):
    assert word in said, f"{word} is missing in:\n{said}"
END
    cp "$deploy" "$box/deploy.after"
    cp "$box/deploy.before" "$deploy"
    agent "$(look "$deploy")" "$(change "$deploy" 'on: tag' "once more")"
    ok "(c) it passes only once" cmp "$deploy" "$box/deploy.before"
    ok "(c) the model hears that it waits" heard "it waits as hold"
    agent "$(look "$deploy")" "$(change "$deploy" 'on: never' "something else")"
    ok "(c) other content is held again" cmp "$deploy" "$box/deploy.before"
    ok "(c) there are two open holds by now" test "$("$tacho" holds --json | wc -l)" = 2
    if [[ $kind == claude ]]; then
        printf '#!/bin/sh\necho ran >> %s/ran\n' "$ws" >"$ws/release.sh"
        agent "$(shell "sh $ws/release.sh" "a" "release it")"
        ok "(c) a command of unknown effects is held" test ! -e "$ws/ran"
        approve_when_held
        agent "$(shell "sh $ws/release.sh" "b" "quite another description")"
        ok "(c) a retry with another description fits the approval" test -s "$ws/ran"
    fi

    # (d)
    kill -9 "$gate"
    wait "$gate" 2>/dev/null
    agent "$(shell "echo ungated > $ws/ungated.txt" "nobody looks")"
    ok "(d) without a gate nothing runs" test ! -e "$ws/ungated.txt"
    ok "(d) the model hears that there is no gate" heard "no gate listens"
    # The hook itself is gone: what then happens is the harness's own choice.
    mv "$settings" "$box/kept"
    sed "s#$tacho#$box/gone#" "$box/kept" >"$settings"
    agent "$(shell "echo ungated > $ws/ungated.txt" "nobody looks")"
    if [[ $closes == yes ]]; then
        ok "(d) without a hook nothing runs in this version" test ! -e "$ws/ungated.txt"
    else
        ok "(d) this version runs it when the hook is gone" test -e "$ws/ungated.txt"
        # 1, a negative answer: 2 would be a failure, which shows nothing.
        ok "(d) reconcile shows the ungated call" says_no "$tacho" reconcile "$(transcript)"
        ok "(d) as a gap record" test -n "$(records kind:gap | grep ungated)"
    fi
    mv "$box/kept" "$settings"
    ok "(d) the log is sound" "$tacho" verify

    # (e)
    ok "(e) the hook is taken out" "$tacho" hook uninstall "$id" --scope "$scope"
    ok "(e) the settings are what they were, to the byte" cmp "$settings" "$box/settings.before"
    cd "$top" || return
    if [[ -n ${KEEP-} ]]; then echo "  kept $box"; else teardown; fi
}

# The process itself: what a harness sees when things go wrong around it.
alone() {
    name=hook
    setup || {
        failed=$((failed + 1))
        echo "  FAIL  $name: no gate"
        teardown
        return
    }
    local call key held
    key=$("$tacho" key show --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["log_keys"][-1]["fingerprint"])')
    call=("$tacho" hook --agent claude-code --origin "$("$tacho" key show --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["origin"])')"
        --key "$key" --switch "$log.run" --door "$log.run/sessions/hooks.sock" --hold 20)
    payload() {
        printf '{"session_id":"%s","transcript_path":"/none","cwd":"%s","hook_event_name":"PreToolUse","tool_name":"Write","tool_input":{"file_path":"%s","content":"x"},"tool_use_id":"%s"}' \
            "$1" "$ws" "$2" "$1"
    }
    payload one "$ws/.github/workflows/deploy.yml" >"$box/held.json"
    payload two "$ws/a.txt" >"$box/plain.json"
    ok "allows what is allowed, without a word" test -z "$("${call[@]}" <"$box/plain.json")"
    "${call[@]}" <"$box/held.json" >"$box/answer" 2>"$box/err" &
    held=$!
    for _ in $(seq 100); do [[ -n $(hold 2>/dev/null) ]] && break; sleep 0.1; done
    kill -TERM "$held"
    wait "$held"
    ok "a SIGTERM while it waits is answered with a deny" grep -q '"permissionDecision":"deny"' "$box/answer"
    sleep 60 | timeout --preserve-status -s TERM 1 "${call[@]}" >"$box/answer" 2>"$box/err"
    ok "a SIGTERM before it was told anything is exit 2 with a reason" test "${PIPESTATUS[1]}" = 2 -a -s "$box/err" -a ! -s "$box/answer"
    code=0
    "${call[@]}" <"$box/held.json" >&- 2>"$box/err" || code=$?
    ok "a closed stdout is exit 2 with a reason" test "$code" = 2 -a -s "$box/err"
    code=0
    "$tacho" hook --agent claude-code --nonsense <"$box/plain.json" >"$box/answer" 2>"$box/err" || code=$?
    ok "a command that is not understood is exit 2 with a reason" test "$code" = 2 -a -s "$box/err" -a ! -s "$box/answer"
    "${call[@]/#SHA256:*/SHA256:$(printf 'A%.0s' $(seq 43))}" <"$box/plain.json" >"$box/answer"
    ok "a gate with another key is not believed" grep -q 'is not the gate' "$box/answer"
    mv "$log.run/armed" "$log.run/KILL"
    "${call[@]}" <"$box/plain.json" >"$box/answer"
    ok "the off switch stops the agent" grep -q '"continue":false' "$box/answer"
    mv "$log.run/KILL" "$log.run/armed"
    ok "and an armed one does not" test -z "$("${call[@]}" <"$box/plain.json")"
    kill -9 "$gate"
    "${call[@]}" <"$box/plain.json" >"$box/answer"
    ok "without a gate it denies" grep -q '"permissionDecision":"deny"' "$box/answer"
    teardown
}

mkdir -p "$cache"
echo "real agents: allow, deny, hold, kill, and back"
[[ $mode == --all ]] && versions="2.1.197 2.1.330" || versions="2.1.330"
if ! command -v ssh-keygen >/dev/null || ! command -v git >/dev/null; then
    skip "there is no ssh-keygen or no git"
else
    alone
    for version in $versions; do
        if dir=$(program claude @anthropic-ai/claude-code "$version"); then
            cli=$dir/node_modules/.bin/claude
            kind=claude closes=no
            [[ $version == 2.1.197 ]] || closes=yes
            try claude-code project
        else
            name="claude $version"
            skip "it cannot be installed"
        fi
    done
    version=0.169.0
    if dir=$(program codex @openai/codex "$version"); then
        cli=$dir/node_modules/.bin/codex
        kind=codex closes=no
        try codex user
    else
        name="codex $version"
        skip "it cannot be installed"
    fi
fi
counted
