# What the scripts that drive real agents share; sourced by agents.sh and cell.sh, which set `name` and make `box`.
# shellcheck shell=bash disable=SC2034,SC2154

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cache=${TACHO_OUTSIDE:-$top/target/outside}/npm
built=${TACHO:-${CARGO_TARGET_DIR:-$top/target}/debug/tacho}
mode=${1-}
passed=0 failed=0 skipped=0
# How long anything may take, in tenths of a second.
patience=1200

pass() {
    passed=$((passed + 1))
    echo "  pass  $name: $1"
}

fail() {
    failed=$((failed + 1))
    echo "  FAIL  $name: $1"
    tail -20 "$box/said" 2>/dev/null | sed 's/^/        /'
}

# ok WHAT COMMAND...: the command has to succeed.
ok() {
    local what=$1
    shift
    if "$@" >"$box/said" 2>&1; then pass "$what"; else fail "$what"; fi
}

# skip WHY [HOW_MANY]: checks that cannot be had here.
skip() {
    if [[ $mode == --all ]]; then
        failed=$((failed + 1))
        echo "  FAIL  $name: $1"
    else
        skipped=$((skipped + ${2:-1}))
        echo "  skip  $name: $1"
    fi
}

# The last line, and whether all is well.
counted() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [[ $failed == 0 && $passed != 0 ]]
}

# until_ COMMAND...: waits until it succeeds.
until_() {
    for _ in $(seq $patience); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}

# program AGENT PACKAGE VERSION: prints the folder that the agent is in; installed once and kept.
program() {
    local dir=$cache/$1-$3
    if [[ ! -x $dir/node_modules/.bin/$1 ]]; then
        command -v npm >/dev/null || return 1
        npm install --no-audit --no-fund --prefix "$dir" "$2@$3" >"$cache/$1-$3.log" 2>&1 || return 1
    fi
    HOME=$cache "$dir/node_modules/.bin/$1" --version 2>/dev/null | grep -qF "$3" || return 1
    echo "$dir"
}

# Waits for the gate whose number is in `gate` until it says where it listens, or ends.
serving() {
    until_ test -s "$box/serve.out" -o ! -e "/proc/$gate"
    [[ -s $box/serve.out ]] || {
        cat "$box/serve.err"
        return 1
    }
}

teardown() {
    kill "$gate" 2>/dev/null
    wait "$gate" 2>/dev/null
    rm -rf "$box"
}

# model TURN...: starts the model with these turns.
model() {
    printf '%s\n' "$@" >"$box/script"
    rm -f "$box/heard" "$box/port"
    python3 "$here/model.py" "$box/script" "$box/heard" >"$box/port" 2>"$box/model.err" &
    model=$!
    until_ test -s "$box/port"
    port=$(cat "$box/port")
}

done_with_model() {
    kill "$model" 2>/dev/null
    wait "$model" 2>/dev/null
}
