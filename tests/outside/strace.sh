#!/bin/sh
# Fails or kills the recorder at single system calls, and sees that no receipt is lost; and that no commit costs more than it has to.
#
#   tests/outside/strace.sh          a sample, about a minute
#   tests/outside/strace.sh --all    each call, each error
#
# Needs strace. Only calls on files of the log are touched: what the recorder says on stdout is what it acknowledged.
set -eu
cd "$(dirname "$0")/../.."
command -v strace >/dev/null || { echo "SKIPPED: there is no strace"; exit 0; }
every=23
[ "${1:-}" = --all ] && every=1

# As the tests are built, so that nothing is compiled twice.
cargo build --quiet --locked --workspace --example append
append=${CARGO_TARGET_DIR:-target}/debug/examples/append
base=$(mktemp -d -p "$( [ -d /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}" )")
trap 'rm -rf "$base"' EXIT
log=$base/log
runs=0 failed=0 acknowledged=0 refused=0

files="-P $log"
for file in log.db log.db-wal log.db-shm checkpoints .checkpoints.new lock reserve keys \
    keys/log.pem keys/epoch.pem keys/epoch-next.pem keys/epoch-old.pem; do
    files="$files -P $log/$file"
done

# The log as it lies there before a run: none, stopped cleanly, or left behind by a kill.
before() {
    rm -rf "$log"
    [ "$1" = new ] || cp -a "$base/$1" "$log"
}

# One run with one fault, and the check of what it left.
once() { # state, fault
    before "$1"
    set +e
    # shellcheck disable=SC2086
    timeout 60 strace -f -qq -o /dev/null $files -e "trace=$calls" -e "inject=$2" "$append" run "$log" \
        >"$base/said" 2>"$base/complaints"
    code=$?
    set -e
    runs=$((runs + 1))
    acknowledged=$((acknowledged + $(grep -c '^@' "$base/said" || true)))
    refused=$((refused + $(grep -c '^error' "$base/said" || true)))
    case $code in
    0 | 3 | 137) ;;
    *)
        failed=$((failed + 1))
        echo "FAILED: $1, $2: exit $code"
        cat "$base/complaints"
        return
        ;;
    esac
    if ! "$append" check "$log" <"$base/said" >"$base/checked" 2>&1; then
        failed=$((failed + 1))
        echo "FAILED: $1, $2: what it left does not check out"
        grep '^error' "$base/said" || true
        grep -v '^ ' "$base/checked" | head -4
    fi
}

calls=pwrite64,write,fsync,fdatasync,ftruncate,fallocate,openat,rename,unlink
"$append" run "$log" >/dev/null
mv "$log" "$base/clean"
# Left behind: killed while it syncs, as late as leaves something in the WAL. How often it syncs depends on how SQLite was built.
for nth in 24 20 16 13 11 9 7 5 3; do
    before clean
    strace -f -qq -o /dev/null -e trace=fsync,fdatasync -e "inject=fsync,fdatasync:signal=KILL:when=$nth" \
        "$append" run "$log" >/dev/null 2>&1 || true
    [ -s "$log/log.db-wal" ] && break
done
[ -s "$log/log.db-wal" ] || { echo "nothing was left behind"; exit 1; }
mv "$log" "$base/left"

for state in clean left new; do
    for call in $(echo "$calls" | tr , ' '); do
        before "$state"
        # shellcheck disable=SC2086
        strace -f -qq -o "$base/trace" $files -e "trace=$call" "$append" run "$log" >/dev/null
        # A call that another thread interrupts is told in two lines.
        count=$(grep -c "$call(" "$base/trace" || true)
        faults="error=EIO error=ENOSPC signal=KILL"
        case $call in pwrite64 | write) faults="$faults retval=0" ;; esac
        for fault in $faults; do
            # Another place for each fault, so that a sample of all calls is seen.
            k=$((1 + runs % every))
            while [ "$k" -le "$count" ]; do
                once "$state" "$call:$fault:when=$k"
                k=$((k + every))
            done
        done
        echo "$state $call: $count calls, $runs runs so far"
    done
done
# Whoever asks for the times of the write-ahead log between two commits makes the next sync write the inode too (Linux 6.13 and later).
before clean
strace -f -qq -o "$base/trace" -P "$log/log.db-wal" -e trace=%%stat,fdatasync "$append" run "$log" >/dev/null
asked=$(awk '/fdatasync\(/ { commits++; next } commits { asked++ } END { print asked + 0 }' "$base/trace")
commits=$(grep -c 'fdatasync(' "$base/trace")
echo "the write-ahead log's times were asked for $asked times behind the first of $commits syncs"
if [ "$asked" -gt $((commits / 4)) ]; then
    failed=$((failed + 1))
    echo "FAILED: no commit may ask for them"
fi
echo "$runs runs, $acknowledged receipts, $refused errors told, $failed failed"
[ "$failed" -eq 0 ]
