#!/usr/bin/env bash
# A full-screen program inside a cell, in a real terminal: keys, Ctrl-C, Ctrl-Z, a new size. Needs tmux and vim.
#
#   tests/outside/cell.sh TACHO
set -euo pipefail
tacho=$1
command -v tmux >/dev/null && command -v vim >/dev/null || { echo "there is no tmux or no vim"; exit 3; }
work=$(mktemp -d)
socket=tacho-cell-$$
t() { tmux -L "$socket" -f /dev/null "$@"; }
trap 't kill-server 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir -p "$work/home/proj"
t new-session -d -x 100 -y 30 "cd '$work/home/proj' && env -i HOME='$work/home' TERM=screen PATH=/usr/bin:/bin PS1='OUT> ' sh -i"
# see WHAT: waits until the screen shows it.
see() {
    for _ in $(seq 150); do
        t capture-pane -p | grep -qF -- "$1" && return
        sleep 0.1
    done
    echo "never seen: $1"
    t capture-pane -p
    exit 1
}
t send-keys "'$tacho' run -- sh -i" Enter
see '$ '
t send-keys 'stty size; tty' Enter
see '30 100'
see '/dev/pts/0'
t send-keys 'sleep 100; echo "slept $?"' Enter
sleep 0.5
t send-keys C-c
t send-keys 'echo still-"here"' Enter
see 'still-here'
t send-keys 'exit' Enter
see 'session'
t send-keys "clear; '$tacho' run -- vim -u NONE -N /tmp/x" Enter
see '~'
t send-keys 'ihello from inside' Escape
see 'hello from inside'
t send-keys C-z
see 'topped'
t send-keys 'fg' Enter
see 'hello from inside'
t resize-window -x 80 -y 20
t send-keys ':set columns? lines?' Enter
see 'columns=80'
t send-keys Enter ':q!' Enter
see 'OUT>'
echo "keys, Ctrl-C, Ctrl-Z, a new size"
