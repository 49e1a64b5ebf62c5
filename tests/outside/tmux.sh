#!/usr/bin/env bash
# The viewer in tmux: start, keys, another size, a dialog, suspend, and the end, by what tmux says is on the screen.
#
#   tests/outside/tmux.sh TACHO      the binary; HOME and XDG_STATE_HOME name a place with a log in it
#
# Waits for what must come, as long as a busy machine may need. Uses a server of its own, and ends it.
set -euo pipefail
tacho=$1
dir=$(mktemp -d)
socket=$dir/tmux
tmux=(env -u TMUX tmux -f /dev/null -S "$socket")
trap '"${tmux[@]}" kill-server 2>/dev/null || true; rm -rf "$dir"' EXIT

fail() {
    echo "$1" >&2
    "${tmux[@]}" capture-pane -p -t main >&2 || true
    exit 1
}

# until WORDS: the screen shows them, within two minutes.
until_shown() {
    for _ in $(seq 1200); do
        if "${tmux[@]}" capture-pane -p -t main 2>/dev/null | grep -qF -- "$1"; then return; fi
        sleep 0.1
    done
    fail "\`$1\` never came"
}

keys() { "${tmux[@]}" send-keys -t main "$@"; }
size() { "${tmux[@]}" resize-window -t main -x "$1" -y "$2"; }

"${tmux[@]}" new-session -d -s main -x 100 -y 30 "sh -c 'set -m; \"$tacho\" view; echo SUSPENDED; read x; fg >/dev/null; echo ENDED; read x'"
until_shown 'verified to #'
until_shown '1 timeline'
keys 2
until_shown 'Proof'
keys '?'
until_shown 'type to search'
keys Escape
keys /
keys -l 'kind:message'
keys Enter
until_shown 'match'
keys K
until_shown 'read only'
keys 7
until_shown 'integrity'
size 52 14
until_shown 'needs 60x16, have 52x14'
size 160 50
keys 1
until_shown 'Proof'
# Copied through the terminal: tmux takes it over as its own, where it is asked to.
keys y i
until_shown 'copied #'
keys C-z
until_shown SUSPENDED
"${tmux[@]}" display-message -p -t main '#{alternate_on}' | grep -qx 0 || fail 'suspended, it keeps the screen'
keys Enter
until_shown '1 timeline'
keys q
until_shown ENDED
"${tmux[@]}" display-message -p -t main '#{alternate_on} #{cursor_flag}' | grep -qx '0 1' || fail 'it does not give the screen back'
echo "start, keys, three sizes, a filter, help, a copy, suspended and woken, the end"
